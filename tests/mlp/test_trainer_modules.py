"""What modules do to WeightedTrainer: lone rows, outputs of every shape, sparse gradients, odd states, and mistakes."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn
from torch.nn.utils import parametrizations

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import WeightedTrainer, huber
from shiftfix.mlp._training._batches import part_sizes

QUICK = {"max_epochs": 2, "batch_size": 8, "learning_rate": 0.01, "random_state": 0}
RNG = np.random.default_rng(0)
N = 33  # a lone last row in batches of 8
X = RNG.normal(size=(N, 4))
Y = (X[:, 0] > 0).astype(int)
IMAGES = RNG.normal(size=(N, 3, 4, 4))
VOXELS = IMAGES[:, :, :, :, None]
WORDS = RNG.integers(0, 5, (N, 3))


def built(*makers):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(*(make() for make in makers))


def linear(*sizes):
    return partial(nn.Linear, *sizes)


def net(n_out=2, *more):
    return built(linear(4, 8), nn.Tanh, *more, linear(8, n_out))


def flat_net(n_out=1):
    return nn.Sequential(net(n_out), nn.Flatten(0))


class Custom(nn.Module):
    """A module whose forward is a function of itself and the rows."""

    def __init__(self, function):
        super().__init__()
        self.layer, self.function = net(), function

    def forward(self, x):
        return self.function(self, x)


def fitted(module, loss="cross_entropy", X=X, y=Y, w=None, eval_set=None, **settings):
    return WeightedTrainer(module, loss, **QUICK | settings).fit(X, y, w, eval_set)


# ------------------------------------------------------------------------------------------- lone rows

COMPARING = {  # name: module, its rows
    "BatchNorm1d": (lambda: net(2, partial(nn.BatchNorm1d, 8)), X),
    "BatchNorm1d of this batch": (lambda: net(2, partial(nn.BatchNorm1d, 8, track_running_stats=False)), X),
    "SyncBatchNorm": (lambda: net(2, partial(nn.SyncBatchNorm, 8)), X),
    "LazyBatchNorm1d": (lambda: net(2, nn.LazyBatchNorm1d), X),
    "GroupNorm": (lambda: net(2, partial(nn.GroupNorm, 8, 8)), X),
    "BatchNorm2d": (
        lambda: built(partial(nn.Conv2d, 3, 2, 4), partial(nn.BatchNorm2d, 2), nn.Flatten, linear(2, 2)),
        IMAGES,
    ),
    "BatchNorm3d": (
        lambda: built(partial(nn.Conv3d, 3, 2, (4, 4, 1)), partial(nn.BatchNorm3d, 2), nn.Flatten, linear(2, 2)),
        VOXELS,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", COMPARING)
@pytest.mark.parametrize("weighting", ["loss", "resample"])
def test_a_lone_last_row_joins_the_batch_before(kind, weighting):
    make, rows = COMPARING[kind]
    sizes = []

    def note(module, inputs, output):
        if module.training:
            sizes.append(len(inputs[0]))

    module = make()
    w = np.r_[np.ones(17), np.zeros(N - 17)]  # 17 rows are left, again with a lone one
    for weight, expected in ((None, [8, 8, 8, 9]), (w, [8, 9]), (1.0 + Y, [8, 8, 8, 9])):
        sizes.clear()
        seen = nn.Sequential(module, nn.Identity())
        seen[1].register_forward_hook(note)
        fitted(seen, X=rows, w=weight, weighting=weighting, early_stopping=False, max_epochs=1)
        assert sizes[-len(expected) :] == expected


@pytest.mark.parametrize("kind", COMPARING)
def test_batches_that_are_lone_rows_all_along_are_refused(kind):
    make, rows = COMPARING[kind]
    with pytest.raises(ShiftDataError, match="raise batch_size above 1"):
        fitted(make(), X=rows, batch_size=1)
    with pytest.raises(ShiftDataError, match=r"fails (in training )?on"):
        fitted(make(), X=rows[:1], y=Y[:1])


@pytest.mark.slow
def test_layers_that_take_a_lone_row_are_left_to_it():
    model = fitted(net(2, partial(nn.LayerNorm, 8)), batch_size=1)
    assert np.isfinite(model.predict_outputs(X)).all()


def test_rows_without_space_to_normalize_over_are_named():
    module = built(partial(nn.Conv2d, 3, 2, 4), partial(nn.InstanceNorm2d, 2), nn.Flatten, linear(2, 2))
    with pytest.raises(ShiftDataError, match=r"fails .*more than 1 spatial element"):
        fitted(module, X=IMAGES)


@pytest.mark.slow
def test_a_row_that_joins_a_batch_counts_as_before():
    """9 rows in batches of 8 that must not end alone: one step of 9 / 8 the gradient of all rows."""

    def refuse_one(module, x):
        assert len(x) > 1 or not module.training
        return module.layer(x)

    module = Custom(refuse_one).double()
    settings = {"optimizer": "sgd", "early_stopping": False, "max_epochs": 5}
    joined = fitted(module, X=X[:9], y=Y[:9], batch_size=8, learning_rate=0.08, **settings)
    whole = fitted(module, X=X[:9], y=Y[:9], batch_size=None, learning_rate=0.09, **settings)
    assert_allclose(joined.predict_outputs(X), whole.predict_outputs(X), atol=1e-12)


@pytest.mark.parametrize(
    ("n", "size", "least", "found"),
    [(9, 8, 1, [8, 1]), (9, 8, 2, [9]), (17, 8, 2, [8, 9]), (16, 8, 2, [8, 8]), (10, 8, 2, [8, 2]), (1, 8, 2, [1]),
     (3, 1, 2, [1, 1, 1]), (7, 8, 2, [7])],
)  # fmt: skip
def test_sizes_of_parts(n, size, least, found):
    assert part_sizes(n, size, least) == found


def test_a_lone_row_in_the_validation_pass():
    """8193 rows of batch statistics: no chunk of the pass is a single row."""
    module = net(2, partial(nn.BatchNorm1d, 8, track_running_stats=False))
    rows = np.random.default_rng(1).normal(size=(8193, 4))
    y = (rows[:, 0] > 0).astype(int)
    model = fitted(module, eval_set=(rows, y), max_epochs=1)
    assert np.isfinite(model.history_["validation_loss"]).all()
    assert len(model.predict(rows)) == 8193
    with pytest.raises(ShiftDataError, match="more than one row where batch norm compares them"):
        model.predict(X[:1])
    with pytest.raises(ShiftDataError, match=r"fails on rows of the eval_set's X"):
        fitted(module, eval_set=(X[:1], Y[:1]))


@pytest.mark.slow
def test_the_trial_leaves_the_training_alone():
    """The batch statistics and the dropout masks are those of the training only."""
    model = fitted(net(2, partial(nn.BatchNorm1d, 8), partial(nn.Dropout, 0.5)), early_stopping=False)
    assert int(model.module_[2].num_batches_tracked) == 2 * 4
    rows, y = X[:32], Y[:32]  # without a lone row nothing but the trial of two rows is new
    seen = []

    def note(run):
        seen.append(run.step)

    fitted(net(), X=rows, y=y, callbacks=note, early_stopping=False)
    assert seen == [4, 8]


# ------------------------------------------------------------------------------------------- outputs

CLASS_LOSSES = ["cross_entropy", "polynomial_tail"]
NUMBER_LOSSES = ["squared_error", "absolute_error", "huber", "smooth_l1", partial(huber, delta=2.0)]


@pytest.mark.slow
@pytest.mark.parametrize("loss", NUMBER_LOSSES)
def test_one_number_as_a_column_or_not(loss):
    for module in (net(1), flat_net()):
        for y in (X[:, 1], X[:, [1]]):
            model = fitted(module, loss, y=y)
            assert_allclose(model.predict(X).ravel(), fitted(net(1), loss, y=X[:, 1]).predict(X), atol=1e-6)
    assert fitted(net(1), loss, y=X[:, 1]).predict(X).shape == (N,)
    assert fitted(net(1), loss, y=X[:, [1]]).predict(X).shape == (N, 1)
    assert fitted(net(1), loss, y=X[:, 1]).predict_outputs(X).shape == (N, 1)


@pytest.mark.parametrize("loss", NUMBER_LOSSES)
def test_numbers_of_several_axes_are_averaged(loss):
    y = RNG.normal(size=(N, 2, 3))
    cube = nn.Sequential(net(6), nn.Unflatten(1, (2, 3)))
    found = fitted(cube, loss, y=y)
    assert found.predict(X).shape == (N, 2, 3)
    expected = fitted(net(6), loss, y=y.reshape(N, 6)).predict(X)
    assert_allclose(found.predict(X).reshape(N, 6), expected, atol=1e-6)
    with pytest.raises(ShiftDataError, match=r"outputs have shape \(2, 2, 3\) and y has \(2, 3, 2\)"):
        fitted(cube, loss, y=y.reshape(N, 3, 2))


@pytest.mark.slow
def test_one_logit_as_a_column_or_not():
    assert_allclose(
        fitted(flat_net(), "binary_cross_entropy").predict_proba(X),
        fitted(net(1), "binary_cross_entropy").predict_proba(X),
        atol=1e-7,
    )


@pytest.mark.parametrize("loss", ["binary_cross_entropy", *CLASS_LOSSES, *NUMBER_LOSSES])
@pytest.mark.parametrize("shape", [(), (1,), (2,), (2, 3)])
def test_outputs_of_every_shape_train_or_are_named(loss, shape):
    module = flat_net() if shape == () else nn.Sequential(net(int(np.prod(shape))), nn.Unflatten(1, shape))
    takes = shape in {"binary_cross_entropy": [(), (1,)]}.get(loss if isinstance(loss, str) else "", [])
    takes |= loss in CLASS_LOSSES and shape == (2,)
    takes |= loss in NUMBER_LOSSES and shape in [(), (1,)]
    if takes:
        assert len(fitted(module, loss).predict(X)) == N
        return
    with pytest.raises(ShiftDataError, match=r"needs outputs of shape|outputs have shape"):
        fitted(module, loss)


OWN = {
    "logit": nn.BCEWithLogitsLoss(reduction="none"),
    "square": nn.MSELoss(reduction="none"),
    "class": nn.CrossEntropyLoss(reduction="none"),
    "bug": lambda outputs, y: outputs.nothing,
}


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("dtype", [bool, int, np.uint8, float])
@pytest.mark.parametrize("shape", [(), (1,), (2,), (2, 3)])
def test_a_loss_of_ones_own_trains_or_is_explained(kind, dtype, shape):
    """No raw error of torch for any pair of outputs and y."""
    module = flat_net() if shape == () else nn.Sequential(net(int(np.prod(shape))), nn.Unflatten(1, shape))
    try:
        assert fitted(module, OWN[kind], y=Y.astype(dtype), max_epochs=1).predict(X).shape == (N, *shape)
    except ShiftDataError as error:
        assert "The loss fails on outputs of shape" in str(error) or "the loss returned" in str(error)  # noqa: PT017


def a_tuple(self, x):
    return self.layer(x), x


def a_tuple_when_training(self, x):
    return a_tuple(self, x) if self.training else self.layer(x)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (a_tuple, "The module returns a tuple of 2: one tensor is needed"),
        (a_tuple_when_training, "The module returns a tuple of 2: one tensor is needed"),
        (lambda self, x: {"logits": self.layer(x)}, "The module returns a dict: one tensor is needed"),
        (lambda self, x: self.layer(x).mean(0, keepdim=True), r"outputs of shape \(1, 2\) for 2 rows"),
        (lambda self, x: self.layer(x).sum(), r"outputs of shape \(\) for 2 rows"),
        (lambda self, x: self.layer(x).detach(), "A gradient step fails"),
        (lambda self, x: self.nothing(x), "The module fails on rows of X, of shape .*nothing"),
        (lambda self, x: self.layer(x) if len(x) > 2 else 1 / 0, "The module fails on rows of X.*division by zero"),
    ],
)
def test_modules_that_cannot_be_trained_are_explained(function, said):
    with pytest.raises(ShiftDataError, match=said):
        fitted(Custom(function))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")
def test_a_module_that_cannot_be_copied_is_named():
    with pytest.raises(ShiftDataError, match="pass the module that it was scripted or traced from"):
        fitted(torch.jit.trace(net(), torch.zeros(2, 4)))

    class Uncopied(Custom):
        def __deepcopy__(self, memo):
            raise TypeError("no copies")

    with pytest.raises(ShiftDataError, match=r"module cannot be copied \(no copies\)"):
        fitted(Uncopied(lambda self, x: self.layer(x)))


# ------------------------------------------------------------------------------------------- parameters and state


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"l1": 0.01, "clip_norm": 1.0}, {"l2": 0.01, "decoupled": True, "max_norm": 1}]
)
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "lars"])
def test_sparse_embeddings_train_as_dense_ones(optimizer, options):
    both = []
    for sparse in (True, False):
        module = built(partial(nn.EmbeddingBag, 5, 4, sparse=sparse), linear(4, 2))
        both.append(fitted(module, X=WORDS, optimizer=optimizer, **options).predict_outputs(WORDS))
    assert_allclose(*both, atol=1e-7)


def test_an_optimizer_for_sparse_gradients_gets_them():
    module = lambda: built(partial(nn.EmbeddingBag, 5, 2, sparse=True))  # noqa: E731
    assert fitted(module(), X=WORDS, optimizer=torch.optim.SparseAdam).n_epochs_ == 2
    for optimizer, said in ((torch.optim.Adam, "does not support sparse"), (torch.optim.LBFGS, "closure")):
        with pytest.raises(ShiftDataError, match=f"A gradient step fails .*{said}"):
            fitted(module(), X=WORDS, optimizer=optimizer)


@pytest.mark.slow
def test_lazy_layers_start_from_the_seed(tmp_path):
    make = lambda: nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.LazyLinear(2))  # noqa: E731
    first = fitted(make(), checkpoint=tmp_path / "run").predict_outputs(X)
    assert np.array_equal(fitted(make()).predict_outputs(X), first)
    assert not np.array_equal(fitted(make(), random_state=1).predict_outputs(X), first)
    resumed = fitted(make(), checkpoint=tmp_path / "run", resume=True, max_epochs=3)
    assert np.array_equal(resumed.predict_outputs(X), fitted(make(), max_epochs=3).predict_outputs(X))


@pytest.mark.slow
def test_states_beyond_finite_tensors():
    """A mask of -inf is no diverged training, and a module may keep text in its state."""

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = net()
            self.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))
            self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

        def get_extra_state(self):
            return {"text": "kept"}

        def set_extra_state(self, state):
            self.state = state

        def forward(self, x):
            self.calls += 1
            return self.layer(x)

    found = fitted(Odd(), eval_set=(X, Y)).predict_outputs(X)
    assert np.array_equal(found, fitted(net(), eval_set=(X, Y)).predict_outputs(X))
    fitted(Odd(), early_stopping=False)


@pytest.mark.parametrize("kind", ["half", "bfloat16", "double"])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_modules_in_other_precisions(kind, loss):
    module = getattr(net(2 if loss == "cross_entropy" else 1), kind)()
    found = fitted(module, loss).predict(X)
    assert found.shape == (N,)
    assert np.isfinite(found).all()


@pytest.mark.slow
def test_shared_and_parametrized_weights():
    tied, last = built(linear(4, 4), linear(4, 2))
    model = fitted(nn.Sequential(tied, nn.Tanh(), tied, last), optimizer="lars", l2=0.1)
    assert model.module_[0].weight is model.module_[2].weight
    assert model.n_parameters_ == 20 + 10
    normed = built(lambda: parametrizations.weight_norm(nn.Linear(4, 8)), nn.Tanh, linear(8, 2))
    assert np.isfinite(fitted(normed).predict_outputs(X)).all()


@pytest.mark.slow
def test_what_fails_on_a_later_row_is_explained():
    """A word beyond the table and a class beyond the outputs, far from the rows of the trial; in both kinds of rows."""
    module = built(partial(nn.Embedding, 5, 4), nn.Flatten, linear(12, 2))
    words = np.where(np.arange(N)[:, None] == 30, 5, WORDS)
    with pytest.raises(ShiftDataError, match=r"The module fails in training on rows of shape .*index out of range"):
        fitted(module, X=words)
    with pytest.raises(ShiftDataError, match=r"The module fails in training on rows of shape .*index out of range"):
        fitted(module, X=WORDS, eval_set=(words, Y))
    with pytest.raises(ShiftDataError, match=r"The module fails on rows of shape .*index out of range"):
        fitted(module, X=WORDS).predict(words)
    with pytest.raises(ShiftDataError, match=r"The loss fails on outputs .*out of bounds"):
        fitted(net(), nn.CrossEntropyLoss(reduction="none"), y=np.where(np.arange(N) == 30, 2, Y))
