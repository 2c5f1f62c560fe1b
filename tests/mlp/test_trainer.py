"""Training of a user's own module: exact equivalences of weights, state left alone, and messages."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, WeightedTrainer


def built(*makers, seed=0):
    """Sequential of what the functions make, from a seed, with torch's global generator left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(*(make() for make in makers))


def linear(n_in, n_out):
    return partial(nn.Linear, n_in, n_out)


def plain(n_out=2, *more):
    return built(linear(4, 8), nn.Tanh, *more, linear(8, n_out))


def conv():
    return built(partial(nn.Conv2d, 1, 3, 3), nn.ReLU, nn.Flatten, linear(3 * 16, 2))


def images(rng, n):
    y = rng.integers(0, 2, n)
    return rng.normal(size=(n, 1, 6, 6)) + y[:, None, None, None], y


def rows(rng, n):
    X = rng.normal(size=(n, 4))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


NETS = {"plain": (plain, rows), "conv": (conv, images)}
FULL_BATCH = {"batch_size": None, "early_stopping": False, "learning_rate": 0.05, "max_epochs": 20, "random_state": 0}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.InactiveWeightsWarning")
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("kind", NETS)
@settings(max_examples=5)
@given(seed=st.integers(0, 99))
def test_integer_weights_are_repeated_rows(kind, optimizer, seed):
    """In float64, where rounding stays far below 1e-6; zero weights leave rows out."""
    rng = np.random.default_rng(seed)
    make, sample = NETS[kind]
    X, y = sample(rng, 30)
    counts = rng.integers(0, 4, 30)
    counts[0] = 2
    model = WeightedTrainer(make().double(), optimizer=optimizer, **FULL_BATCH)
    weighted = model.fit(X, y, sample_weight=counts).predict_outputs(X)
    repeated = model.fit(np.repeat(X, counts, axis=0), np.repeat(y, counts)).predict_outputs(X)
    assert weighted.dtype == np.float64
    assert_allclose(weighted, repeated, atol=1e-6, rtol=0)
    assert np.abs(weighted - model.fit(X, y).predict_outputs(X)).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("scale", [1e-300, 1e-3, 7.0, 1e300])
def test_only_ratios_of_weights_matter(kind, scale, rng):
    """Mini-batches, dropout-free, weighted early stopping; the sums of weights round differently."""
    make, sample = NETS[kind]
    X, y = sample(rng, 150)
    w = rng.exponential(size=150)
    model = WeightedTrainer(make().double(), batch_size=32, max_epochs=10, random_state=0)
    expected = model.fit(X, y, sample_weight=w).predict_outputs(X)
    assert_allclose(model.fit(X, y, sample_weight=scale * w).predict_outputs(X), expected, atol=1e-6, rtol=0)


def test_rows_of_weight_zero_are_dropped(rng):
    X, y = rows(rng, 100)
    w = np.where(np.arange(100) % 4 == 0, 0.0, rng.exponential(size=100))
    spoiled = np.where(w == 0, 77, y)  # a class index beyond the outputs
    model = WeightedTrainer(plain(), max_epochs=3, random_state=0)
    found = model.fit(X, spoiled, sample_weight=w).predict_outputs(X)
    assert np.array_equal(found, model.fit(X[w > 0], y[w > 0], sample_weight=w[w > 0]).predict_outputs(X))


@pytest.mark.slow
def test_a_linear_module_is_weighted_least_squares(rng):
    """theta = sum w x y / sum w x^2, for a function of the user's as for the name."""
    x, w = rng.normal(size=60), rng.exponential(size=60)
    y = 2 * x + rng.normal(size=60)
    exact = np.sum(w * x * y) / np.sum(w * x * x)
    module = built(partial(nn.Linear, 1, 1, bias=False)).double()
    for loss in ("squared_error", lambda z, y: (z - y[:, None]).square().sum(dim=1)):
        model = WeightedTrainer(module, loss, optimizer="sgd", **FULL_BATCH | {"learning_rate": 0.2, "max_epochs": 100})
        model.fit(x[:, None], y, sample_weight=w)
        assert model.predict_outputs([[1.0]]).item() == pytest.approx(exact, abs=1e-8)


# ------------------------------------------------------------------------------------------- state left alone

dropping = partial(plain, 2, partial(nn.Dropout, 0.5))


@pytest.mark.slow
def test_the_global_generators_are_left_alone_and_leave_the_fit_alone(rng):
    """With torch's own dropout, which draws from the global generator; also when the fit fails."""
    X, y = rows(rng, 80)
    model = WeightedTrainer(dropping(), max_epochs=4, random_state=1)
    with torch.random.fork_rng(devices=[]):
        found = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
            found.append(model.fit(X, y).predict_outputs(X))
            assert torch.equal(torch.get_rng_state(), before[0])
            assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002

        def fail(run):
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            clone(model).set_params(callbacks=fail).fit(X, y)
        assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(*found)


@pytest.mark.slow
def test_one_seed_one_model(rng):
    X, y = rows(rng, 80)
    fit = lambda seed: WeightedTrainer(dropping(), max_epochs=4, random_state=seed).fit(X, y).predict_outputs(X)  # noqa: E731
    assert np.array_equal(fit(1), fit(1))
    assert not np.array_equal(fit(1), fit(2))
    assert not np.array_equal(fit(None), fit(None))


def test_dropout_is_on_while_training_and_off_afterwards(rng):
    X, y = rows(rng, 80)
    model = WeightedTrainer(dropping(), max_epochs=2, random_state=0).fit(X, y)
    assert not model.module_.training
    assert np.array_equal(model.predict_outputs(X), model.predict_outputs(X))
    without = WeightedTrainer(plain(2, nn.Identity), max_epochs=2, random_state=0).fit(X, y)
    assert not np.allclose(model.predict_outputs(X), without.predict_outputs(X), atol=1e-4)


def test_the_users_module_is_not_changed(rng):
    X, y = rows(rng, 80)
    module = plain(2, partial(nn.BatchNorm1d, 8), nn.Dropout)
    before, mode = copy.deepcopy(module.state_dict()), [layer.training for layer in module.modules()]
    model = WeightedTrainer(module, max_epochs=2, random_state=0).fit(X, y)
    assert model.module is module
    assert model.module_ is not module
    after = module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert [layer.training for layer in module.modules()] == mode
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not torch.equal(model.module_[0].weight, module[0].weight)


def test_a_module_may_use_the_names_of_our_own_layers(rng):
    """Submodules and attributes called generator, masks and row_weight are the user's."""

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.generator = plain()
            self.masks, self.row_weight = [1, 2], "mine"

        def forward(self, x):
            return self.generator(x)

    X, y = rows(rng, 80)
    model = WeightedTrainer(Named(), max_epochs=2, random_state=0).fit(X, y)
    assert isinstance(model.module_.generator, nn.Sequential)
    assert (model.module_.masks, model.module_.row_weight) == ([1, 2], "mine")
    assert np.array_equal(
        model.predict_outputs(X), WeightedTrainer(plain(), max_epochs=2, random_state=0).fit(X, y).predict_outputs(X)
    )


@pytest.mark.parametrize("options", [{}, {"l1": 0.1, "l2": 0.1, "max_norm": 0.01}, {"l1": 0.1, "decoupled": True}])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "lars", partial(torch.optim.SGD, weight_decay=0.1)])
def test_frozen_parameters_stay(optimizer, options, rng):
    X, y = rows(rng, 60)
    module = plain()
    module[0].weight.requires_grad_(False)
    model = WeightedTrainer(module, optimizer=optimizer, max_epochs=2, random_state=0, **options).fit(X, y)
    assert torch.equal(model.module_[0].weight, module[0].weight)
    assert not torch.equal(model.module_[0].bias, module[0].bias)
    assert not model.module_[0].weight.requires_grad


# ------------------------------------------------------------------------------------------- kinds of input


@pytest.mark.slow
def test_a_loss_of_torch_is_the_same_as_the_named_one(rng):
    X, y = rows(rng, 120)
    w = rng.exponential(size=120)
    own = WeightedTrainer(
        nn.Sequential(plain(1), nn.Flatten(0)), nn.BCEWithLogitsLoss(reduction="none"), max_epochs=5, random_state=0
    )
    named = WeightedTrainer(plain(1), "binary_cross_entropy", max_epochs=5, random_state=0)
    # Without early stopping, as the named loss holds out rows by class.
    for model in (own, named):
        model.set_params(early_stopping=False)
    own.fit(X, y.astype(float), sample_weight=w)
    named.fit(X, y, sample_weight=w)
    assert own.predict_outputs(X).shape == (120,)
    assert named.predict_outputs(X).shape == (120, 1)
    assert_allclose(own.predict_outputs(X), named.predict_outputs(X)[:, 0], atol=1e-6)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.CrossEntropyLoss(reduction="sum")])
def test_a_forgotten_reduction_is_named(loss, rng):
    with pytest.raises(ShiftDataError, match=r'returned a number: return one loss per row \(reduction="none"\)'):
        WeightedTrainer(plain(), loss).fit(*rows(rng, 20))


def test_y_of_another_shape_than_the_outputs_is_an_error(rng):
    X, _ = rows(rng, 40)
    for n_out, y in ((2, X[:, 0]), (1, X[:, :2]), (3, X[:, :2])):
        with pytest.raises(ShiftDataError, match=rf"outputs have shape \(\d+, {n_out}\) and y has \(\d+, \d\)"):
            WeightedTrainer(plain(n_out), "squared_error").fit(X, y)
    with pytest.raises(ShiftDataError, match=r"X has 40 rows and y has shape \(39,\): pass one y per row"):
        WeightedTrainer(plain(1), "squared_error").fit(X, X[:39, 0])
    with pytest.raises(ShiftDataError, match="y contains NaN"):
        WeightedTrainer(plain(1), "squared_error").fit(X, np.where(X[:, 0] > 0, np.nan, 0))


@pytest.mark.parametrize(
    ("loss", "n_out", "largest"),
    [("cross_entropy", 2, 2), ("polynomial_tail", 3, 3), ("binary_cross_entropy", 1, 2)],
)
def test_a_class_index_beyond_the_outputs_is_an_error(loss, n_out, largest, rng):
    """binary_cross_entropy would train on the target 2 and never say so."""
    X, y = rows(rng, 60)
    model = WeightedTrainer(plain(n_out), loss, max_epochs=1)
    wrong = np.where(np.arange(60) == 17, largest, y)
    with pytest.raises(ShiftDataError, match=f"class index {largest}, and the module's outputs are for {largest} cla"):
        model.fit(X, wrong)
    with pytest.raises(ShiftDataError, match=f"class index {largest}"):
        model.fit(X, y, eval_set=(X, wrong))
    with pytest.raises(ShiftDataError, match=r"y has shape \(60, 1\): pass a 1D array with one label per row"):
        model.fit(X, y[:, None])
    with pytest.raises(ShiftDataError, match="y holds continuous numbers, and the loss needs class labels"):
        model.fit(X, y + 0.5)
    model.fit(X, y)


@pytest.mark.parametrize(
    ("loss", "module", "needed"),
    [
        ("binary_cross_entropy", plain(2), r"\(n_rows, 1\)"),
        ("cross_entropy", plain(1), r"\(n_rows, n_classes\)"),
        ("polynomial_tail", nn.Sequential(plain(1), nn.Flatten(0)), r"\(n_rows, n_classes\)"),
    ],
)
def test_outputs_that_a_named_loss_cannot_take_are_named(loss, module, needed, rng):
    with pytest.raises(ShiftDataError, match=f"needs outputs of shape {needed}, and the module's have"):
        WeightedTrainer(module, loss).fit(*rows(rng, 20))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint8, np.bool_])
def test_whole_numbers_reach_an_embedding(dtype, rng):
    words = rng.integers(0, 2, (60, 3)).astype(dtype)
    module = built(partial(nn.Embedding, 5, 4), nn.Flatten, linear(12, 2))
    y = words[:, 0].astype(int)
    model = WeightedTrainer(module, learning_rate=0.1, max_epochs=30, random_state=0).fit(words, y)
    assert (model.predict_outputs(words).argmax(axis=1) == y).all()


def test_a_module_in_float64_trains_in_float64(rng):
    X, y = rng.normal(size=(40, 4)), rng.normal(size=40)
    model = WeightedTrainer(plain(1).double(), "huber", max_epochs=2, random_state=0)
    model.fit(X.astype(np.float32), y.astype(np.float32))
    assert {parameter.dtype for parameter in model.module_.parameters()} == {torch.float64}
    assert model.predict_outputs(X.astype(np.float32)).dtype == np.float64


def test_tensors_arrays_and_lists_are_the_same_rows(rng):
    X, y = rows(rng, 50)
    w = rng.exponential(size=50)
    model = WeightedTrainer(plain(), max_epochs=2, random_state=0)
    expected = model.fit(X, y, sample_weight=w).predict_outputs(X)
    gradient = torch.as_tensor(X).requires_grad_()
    assert np.array_equal(model.fit(gradient, torch.as_tensor(y), sample_weight=w).predict_outputs(gradient), expected)
    assert np.array_equal(model.fit(X.tolist(), y.tolist(), sample_weight=w.tolist()).predict_outputs(X), expected)
    assert gradient.grad is None


def test_outputs_of_any_shape_are_predicted(rng):
    """More rows than one chunk, outputs (n, 2, 3)."""
    X = rng.normal(size=(9000, 4)).astype(np.float32)
    module = nn.Sequential(plain(6), nn.Unflatten(1, (2, 3)))
    loss = lambda outputs, y: (outputs - y).square().mean(dim=(1, 2))  # noqa: E731
    model = WeightedTrainer(module, loss, max_epochs=1, random_state=0).fit(X[:50], rng.normal(size=(50, 2, 3)))
    found = model.predict_outputs(X)
    assert found.shape == (9000, 2, 3)
    assert_allclose(found[8500:8510], model.predict_outputs(X[8500:8510]), atol=1e-6)
    with pytest.raises(NotFittedError):
        clone(model).predict_outputs(X)


@pytest.mark.slow
def test_an_optimiser_class_is_the_same_as_its_name(rng):
    """torch's fused and plain kernels round differently: 1e-5."""
    X, y = rows(rng, 80)
    fit = lambda optimizer: WeightedTrainer(plain(), optimizer=optimizer, max_epochs=5, random_state=0).fit(X, y)  # noqa: E731
    assert_allclose(fit(torch.optim.Adam).predict_outputs(X), fit("adam").predict_outputs(X), atol=1e-5)
    momentum = fit(partial(torch.optim.SGD, momentum=0.9))
    assert_allclose(momentum.predict_outputs(X), fit("momentum").predict_outputs(X), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETS)
def test_bfloat16_is_close(kind, rng):
    """8 bits of precision in the products: logits of order 1 within 0.1; losses stay float32."""
    make, sample = NETS[kind]
    X, y = sample(rng, 100)
    w = rng.exponential(size=100)
    settings = {"max_epochs": 10, "learning_rate": 0.01, "random_state": 0}
    exact = WeightedTrainer(make(), **settings).fit(X, y, sample_weight=w)
    rounded = WeightedTrainer(make(), precision="bfloat16", **settings).fit(X, y, sample_weight=w)
    assert {parameter.dtype for parameter in rounded.module_.parameters()} == {torch.float32}
    assert np.isfinite(rounded.predict_outputs(X)).all()
    assert_allclose(rounded.predict_outputs(X), exact.predict_outputs(X), atol=0.1)
    assert rounded.history_["train_loss"] == pytest.approx(exact.history_["train_loss"], rel=0.02)
    assert rounded.history_["train_loss"] != exact.history_["train_loss"]


# ------------------------------------------------------------------------------------------- scikit-learn's manners


def test_settings_and_clones(rng):
    X, y = rows(rng, 40)
    module = plain()
    model = WeightedTrainer(module, max_epochs=2, random_state=0)
    assert model.get_params()["module"] is module
    assert set(WeightedTrainer(module).get_params()) - {"module", "loss"} <= set(MLPClassifier().get_params())
    copied = clone(model.fit(X, y))
    assert not hasattr(copied, "module_")
    assert copied.module is not module
    assert np.array_equal(copied.fit(X, y).predict_outputs(X), model.predict_outputs(X))
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_outputs(X), model.predict_outputs(X))
    assert "max_epochs=2" in repr(model)


@pytest.mark.parametrize("module", [None, nn.Linear, lambda x: x, "relu"])
def test_what_is_no_module_is_refused(module, rng):
    with pytest.raises(ShiftDataError, match=r"module is a .*: a torch.nn.Module is needed"):
        WeightedTrainer(module).fit(*rows(rng, 20))


def test_a_module_without_parameters_to_train_is_refused(rng):
    for module in (nn.ReLU(), plain().requires_grad_(False)):
        with pytest.raises(ShiftDataError, match="module has no parameter to train"):
            WeightedTrainer(module).fit(*rows(rng, 20))


@pytest.mark.parametrize("X", [np.full((20, 4), np.nan), np.full((20, 4), 1e39), np.empty((0, 4)), 3.0])
def test_rows_that_cannot_be_used(X):
    with pytest.raises(ShiftDataError, match=r"^X (contains|has shape)"):
        WeightedTrainer(plain()).fit(X, np.zeros(20, int))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_leaves_its_generator_alone(rng):
    X, y = rows(rng, 200)
    before = torch.cuda.get_rng_state()
    fit = lambda device: WeightedTrainer(dropping(), device=device, max_epochs=3, random_state=0).fit(X, y)  # noqa: E731
    assert np.array_equal(fit("cuda").predict_outputs(X), fit("cuda").predict_outputs(X))
    fit("cpu")
    assert torch.equal(torch.cuda.get_rng_state(), before)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([["a"], ["b"]]), r"^X is an array of .*: pass numbers"),
        (np.array([[1.0], [2.0]], dtype=object), r"^X is an array of .*: pass numbers"),
        (sparse.csr_array([[1.0], [2.0]]), r"^X is a sparse matrix.*: pass X\.toarray\(\)"),
    ],
    ids=["text", "objects", "sparse"],
)
def test_what_torch_cannot_read_is_named(values, said):
    trainer = WeightedTrainer(built(partial(nn.Linear, 1, 2)), max_epochs=1, random_state=0)
    with pytest.raises(ShiftDataError, match=said):
        trainer.fit(values, [0, 1])
    with pytest.raises(ShiftDataError, match=said):
        trainer.fit([[1.0], [2.0]], [0, 1]).predict_outputs(values)
    with pytest.raises(ShiftDataError, match=r"^y is an array of .*: pass numbers"):
        trainer.set_params(loss="huber").fit([[1.0], [2.0]], ["yes", "no"])


def test_a_warm_up_that_would_outlast_the_training():
    trainer = WeightedTrainer(built(partial(nn.Linear, 1, 2)), warmup=6, max_epochs=5, random_state=0)
    with pytest.raises(ShiftDataError, match=r"warmup=6 epochs and max_epochs=5: .*lower warmup"):
        trainer.fit([[1.0], [2.0]], [0, 1])
    trainer.set_params(max_epochs=6).fit([[1.0], [2.0]], [0, 1])
