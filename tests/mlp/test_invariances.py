"""What row weights must and must not change, through the estimators: exact equivalences and a step by hand."""

import functools
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch.optim import lr_scheduler

from shiftfix.mlp import MLPClassifier, MLPRegressor
from shiftfix.mlp._training._losses import CLASSIFICATION_LOSSES, REGRESSION_LOSSES
from shiftfix.mlp._training._optimizers import OPTIMIZERS

EXACT = {
    "hidden_layer_sizes": (8, 6),
    "dropout": 0.0,
    "early_stopping": False,
    "batch_size": None,
    "max_epochs": 5,
    "random_state": 0,
}
NOISY = {
    "hidden_layer_sizes": (8, 6),
    "dropout": 0.3,
    "input_dropout": 0.1,
    "dropconnect": 0.1,
    "input_noise": 0.1,
    "batch_norm": True,
    "batch_size": 16,
    "max_epochs": 4,
    "n_models": 2,
    "random_state": 0,
}
# Optimisers that divide each gradient by its own size, whatever the size is.
ADAPTIVE = ("adagrad", "rmsprop", "adam", "adamw")


def sample(n=40, seed=0):
    """Rows, a noisy class, two numbers, and counts 0 to 3 that leave both classes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    y = (X[:, 0] + 0.5 * rng.normal(size=n) > 0).astype(int)
    numbers = np.column_stack([X[:, 1] ** 2, X[:, 0] + X[:, 2]])
    counts = rng.integers(0, 4, n)
    counts[:2], y[:2] = 1, [0, 1]
    return X, y, numbers, counts


def answer(model, X):
    return model.predict_proba(X) if isinstance(model, MLPClassifier) else model.predict(X)


def of(estimator, y, numbers):
    return y if estimator is MLPClassifier else numbers


def both(estimator, seed=0, **changes):
    """The model of the counted rows and that of the repeated ones."""
    X, y, numbers, counts = sample(seed=seed)
    target = of(estimator, y, numbers)
    make = lambda: estimator(**{**EXACT, **changes})  # noqa: E731
    return X, make().fit(X, target, counts), make().fit(np.repeat(X, counts, axis=0), np.repeat(target, counts, axis=0))


def assert_counts_equal_copies(estimator, seed=0, **changes):
    X, counted, copied = both(estimator, seed, **changes)
    assert_allclose(answer(counted, X), answer(copied, X), rtol=0, atol=1e-6)


CLASSIFICATION = [(MLPClassifier, loss, eps) for loss in CLASSIFICATION_LOSSES for eps in (0.0, 0.2)]
REGRESSION = [(MLPRegressor, loss, None) for loss in REGRESSION_LOSSES]
# An optimiser sees gradients and no losses: each loss meets two of them, and each of them a loss of either estimator.
MET = [
    (*kind, optimizer)
    for kind in CLASSIFICATION + REGRESSION
    for optimizer in OPTIMIZERS
    if optimizer in ("momentum", "adam") or kind[1:] in (("cross_entropy", 0.2), ("squared_error", None))
]


class TestIntegerWeightsEqualRepeatedRows:
    """Full batch, no dropout. Sums over 60 copies and over 40 counted rows are rounded differently in float32: after 5
    epochs that moves a prediction by 4e-7 at most over all the cases here; allowed 1e-6.
    """

    @pytest.mark.parametrize(("estimator", "loss", "smoothing", "optimizer"), MET)
    def test_losses_and_optimisers(self, estimator, loss, smoothing, optimizer):
        """Learning rate 1e-3: RMSprop and Adam, whose first steps are lr times the sign of the gradient, turn the
        rounding of a gradient near 0 into a step; at 1e-2 they come to 6e-7."""
        extra = {} if smoothing is None else {"label_smoothing": smoothing}
        assert_counts_equal_copies(estimator, loss=loss, optimizer=optimizer, learning_rate=1e-3, **extra)

    @pytest.mark.slow
    @pytest.mark.parametrize(("estimator", "loss", "smoothing", "optimizer"), MET)
    def test_batch_norm(self, estimator, loss, smoothing, optimizer):
        extra = {} if smoothing is None else {"label_smoothing": smoothing}
        assert_counts_equal_copies(
            estimator, loss=loss, optimizer=optimizer, learning_rate=1e-3, batch_norm=True, **extra
        )

    @pytest.mark.parametrize("class_weight", [None, {0: 3.0, 1: 0.25}, "balanced"])
    @pytest.mark.parametrize("batch_norm", [False, True])
    def test_class_weights(self, class_weight, batch_norm):
        assert_counts_equal_copies(MLPClassifier, class_weight=class_weight, batch_norm=batch_norm, optimizer="sgd")

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "penalty",
        [
            {"l1": 0.05, "l2": 0.1},
            {"l1": 0.05, "l2": 0.1, "decoupled": True},
            {"max_norm": 0.5},
            {"clip_norm": 0.05},
            {"clip_value": 0.01},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw"])
    @pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
    def test_penalties_and_bounds(self, estimator, optimizer, penalty):
        rate = 1e-3 if optimizer in ADAPTIVE else 0.05
        assert_counts_equal_copies(estimator, optimizer=optimizer, learning_rate=rate, **penalty)

    @pytest.mark.parametrize(
        "schedule",
        ["step", "multistep", "exponential", "cosine", functools.partial(lr_scheduler.StepLR, step_size=2)],
        ids=str,
    )
    def test_schedules_and_warm_up(self, schedule):
        assert_counts_equal_copies(MLPClassifier, schedule=schedule, warmup=3, optimizer="momentum", learning_rate=0.05)

    @pytest.mark.slow
    @settings(max_examples=15)
    @given(
        seed=st.integers(0, 2**16),
        activation=st.sampled_from(["relu", "tanh", "gelu", "identity"]),
        estimator=st.sampled_from([MLPClassifier, MLPRegressor]),
    )
    def test_any_rows(self, seed, activation, estimator):
        """Over 200 of these samples the two models agreed to 3.2e-7."""
        assert_counts_equal_copies(estimator, seed, activation=activation, optimizer="momentum", n_models=2)


@pytest.mark.parametrize(
    "scale", [0.3, *(pytest.param(scale, marks=pytest.mark.slow) for scale in (1e-6, 2.0**20, 1e6))]
)
@pytest.mark.parametrize(
    "changes",
    [
        {"early_stopping": True, "validation_fraction": 0.3},
        {"early_stopping": False, "weighting": "resample"},
        {"early_stopping": True, "clip": "sqrt", "exponent": 0.5, "validation_fraction": 0.3},
        {"early_stopping": False, "clip": "80%", "l1": 0.01, "l2": 0.01},
        {"early_stopping": False, "clip": 1.5, "exponent": 0.3},
    ],
    ids=str,
)
@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_only_ratios_of_weights_matter(estimator, changes, scale):
    """With everything on. The scale changes a weight of mean 1 by a rounding at most, and often by none."""
    found, expected = (scaled_fit(estimator, tuple(changes.items()), s) for s in (scale, 1.0))
    assert_allclose(found, expected, rtol=0, atol=1e-6)


@functools.cache
def scaled_fit(estimator, changes, scale):
    X, y, numbers, _ = sample(120)
    target, w = of(estimator, y, numbers), np.random.default_rng(1).exponential(size=120)
    more = {"class_weight": "balanced", "label_smoothing": 0.1} if estimator is MLPClassifier else {}
    model = estimator(**{**NOISY, **dict(changes), **more})
    return answer(model.fit(X, target, scale * w), X)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"early_stopping": True, "validation_fraction": 0.3},
        {"weighting": "resample", "early_stopping": False},
        {"clip": "90%", "early_stopping": False},
        {"clip": "sqrt", "exponent": 0.5, "early_stopping": False},
        {"clip": "ess", "early_stopping": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_rows_of_weight_zero_leave_no_trace(estimator, changes):
    """Not in the scaling, the split, the order, the clip, the class weights or the classes: bit for bit."""
    X, y, numbers, _ = sample(160)
    target, w = of(estimator, y, numbers), np.random.default_rng(1).exponential(size=160)
    place = np.random.default_rng(2).choice(160, 60)
    X_all = np.insert(X, place, 1e9, axis=0)
    w_all = np.insert(w, place, 0.0)
    target_all = np.insert(target, place, 7, axis=0)
    more = {"class_weight": "balanced"} if estimator is MLPClassifier else {}
    model = estimator(**{**NOISY, **changes, **more})
    with_zeros = model.fit(X_all, target_all, w_all)
    history, found = with_zeros.history_, answer(with_zeros, X)
    without = model.fit(X, target, w)
    assert np.array_equal(found, answer(without, X))
    assert history == without.history_


@pytest.mark.slow
@pytest.mark.parametrize("constant", [1.0, 0.1, 3e7])
@pytest.mark.parametrize("changes", [{}, {"weighting": "resample"}, {"clip": "sqrt", "exponent": 0.5}], ids=str)
def test_equal_weights_are_no_weights(changes, constant):
    """Bit for bit, and no weight effect is recorded; early stopping is off, which weights switch on."""
    X, y, numbers, _ = sample(60)
    for estimator in (MLPClassifier, MLPRegressor):
        target = of(estimator, y, numbers)
        model = estimator(**NOISY, early_stopping=False, **changes)
        found = answer(model.fit(X, target, np.full(60, constant)), X)
        assert "weight_effect" not in model.history_
        assert np.array_equal(found, answer(model.fit(X, target), X))


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_the_order_of_the_rows_matters_to_mini_batches_only(estimator):
    """``random_state`` draws positions. So a permutation gives the same full-batch model, up to rounding, and other
    mini-batches."""
    X, y, numbers, _ = sample(60)
    w = np.random.default_rng(1).exponential(size=60)
    target, order = of(estimator, y, numbers), np.random.default_rng(2).permutation(60)

    def change(**settings):
        model = estimator(**{**EXACT, "optimizer": "momentum", **settings})
        found = answer(model.fit(X, target, w), X)
        return np.abs(found - answer(model.fit(X[order], target[order], w[order]), X)).max()

    assert change() < 1e-6
    assert change(batch_size=8) > 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_nothing_global_is_read_or_changed(estimator):
    """Fits with everything on leave the global generators and the threads as they were, and do not depend on them."""
    X, y, numbers, _ = sample(120)
    target, w = of(estimator, y, numbers), np.random.default_rng(1).exponential(size=120)
    settings = {**NOISY, "schedule": "plateau", "early_stopping": True, "validation_fraction": 0.3}
    one_class = {"classes": [0, 1]} if estimator is MLPClassifier else {}

    def everything(seed):
        model = estimator(**{**settings, "random_state": seed}).fit(X, target, w)
        sampled = (model.predict_proba_mc if estimator is MLPClassifier else model.predict_mc)(X, n_samples=3)
        online = estimator(**{**settings, "random_state": seed, "early_stopping": "auto", "schedule": None})
        online.partial_fit(X, target, sample_weight=w, **one_class).partial_fit(X, target, sample_weight=w)
        return answer(model, X), sampled, answer(online, X)

    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    threads = torch.get_num_threads()
    first = everything(0)
    estimator(**{**settings, "max_epochs": 1, "n_threads": 2}).fit(X, target, w)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert torch.get_num_threads() == threads
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        again = everything(0)
    other = everything(1)
    for a, b, c in zip(first, again, other, strict=True):
        assert np.array_equal(a, b)
        assert not np.allclose(a, c, atol=1e-3)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("class_weight", "factor"), [(None, 1.0), ({0: 3.0, 1: 1.0}, 3.0), ("balanced", None)])
def test_the_validation_loss_is_the_fully_weighted_mean(class_weight, factor, exponent):
    """sum(w l) / sum(w) of the eval_set, l from ``predict_proba``, w times the class weight. The exponent has no
    part in it: it speaks of the training only. predict_proba runs in float64, the loss in float32."""
    X, y, _, counts = sample(80)
    w = 0.1 + counts
    held_out, labels, _, _ = sample(50, seed=1)
    v = np.random.default_rng(3).exponential(size=50) ** 2
    model = MLPClassifier(
        (8,), max_epochs=3, patience=9, class_weight=class_weight, exponent=exponent, learning_rate=0.02, random_state=0
    )
    model.fit(X, y, w, eval_set=(held_out, labels, 5 * v))
    # The ratio of the two class weights is all that matters.
    factor = w[y == 1].sum() / w[y == 0].sum() if factor is None else factor
    v = v * np.where(labels == 0, factor, 1.0)
    losses = -np.log(model.predict_proba(held_out)[np.arange(50), labels])
    best = model.best_epoch_ - 1
    expected = np.average(losses, weights=v)
    assert model.history_["validation_loss"][best] == pytest.approx(expected, rel=1e-5)
    assert model.history_["validation_loss_unweighted"][best] == pytest.approx(losses.mean(), rel=1e-5)
    assert abs(expected - losses.mean()) > 0.01 * expected, "a test that tells the two apart"


def test_the_validation_loss_of_numbers_is_the_fully_weighted_mean():
    X, _, numbers, counts = sample(80)
    held_out, _, target, v = sample(50, seed=1)
    model = MLPRegressor((8,), max_epochs=3, exponent=0.5, standardize=False, learning_rate=0.02, random_state=0)
    model.fit(X, numbers, 0.1 + counts, eval_set=(held_out, target, v))
    losses = ((model.predict(held_out) - target) ** 2).mean(axis=1)
    best = model.best_epoch_ - 1
    assert model.history_["validation_loss"][best] == pytest.approx(np.average(losses, weights=v), rel=1e-5)


@pytest.mark.parametrize("clip", [None, 1.5, "sqrt", "80%"])
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("class_weight", [None, {0: 1.0, 1: 4.0}])
def test_one_step_of_gradient_descent_by_hand(class_weight, exponent, clip):
    """Logistic regression from zero weights: step = lr mean_i u_i (onehot(y_i) - 1/2) x_i', where u is the class
    weight times min(w, c)^exponent, over its mean. Float32: 1e-6."""
    X, y, _, _ = sample(60)
    w = np.random.default_rng(1).exponential(size=60)
    model = MLPClassifier(
        **{**EXACT, "hidden_layer_sizes": (), "max_epochs": 1},
        initializer="zeros",
        standardize=False,
        optimizer="sgd",
        learning_rate=0.5,
        class_weight=class_weight,
        exponent=exponent,
        clip=clip,
    )
    model.fit(X, y, 100 * w)
    u = w / w.mean()
    bound = {None: np.inf, 1.5: 1.5, "sqrt": np.sqrt(60), "80%": np.sort(u)[47]}[clip]
    u = np.minimum(u, bound) ** exponent * np.where(y == 1, 1.0 if class_weight is None else 4.0, 1.0)
    u = u / u.mean()
    residual = u[:, np.newaxis] * (np.eye(2)[y] - 0.5)
    assert_allclose(model.module_[0].weight.detach(), 0.5 * residual.T @ X / 60, atol=1e-6)
    assert_allclose(model.module_[0].bias.detach(), 0.5 * residual.mean(axis=0), atol=1e-6)
    assert model.effective_sample_size_ == pytest.approx(u.sum() ** 2 / (u**2).sum())


def test_drawing_by_weight_makes_the_weighted_step_on_average():
    """The same step by drawn rows, the mean of 400 models: within 5 standard errors in each of the 8 weights; weights
    used a second time would miss by 20 in one of them."""
    X, y, _, _ = sample(30)
    w = np.random.default_rng(1).exponential(size=30)
    u = w / w.mean()
    step = lambda u: 0.5 * (u[:, np.newaxis] * (np.eye(2)[y] - 0.5)).T @ X / 30  # noqa: E731
    settings = {**EXACT, "hidden_layer_sizes": (), "max_epochs": 1, "weighting": "resample", "standardize": False}
    model = MLPClassifier(**settings, n_models=400, initializer="zeros", optimizer="sgd", learning_rate=0.5)
    found = model.fit(X, y, w).module_[0].weight.detach().numpy()
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / 20
    assert (np.abs(mean - step(u)) < 5 * error).all()
    assert (np.abs(step(u**2 / (u**2).mean()) - step(u)) > 20 * error).any()


@pytest.mark.parametrize("n_rows", [7, 8, 9])
def test_a_short_last_batch_counts_its_rows_once(n_rows):
    """A step so small that gradients do not change along an epoch: batches of 4 move the weights by the sum of
    w x y / 4 over all rows, in any order."""
    X, _, numbers, _ = sample(n_rows)
    y, w = numbers[:, 1], np.random.default_rng(1).exponential(size=n_rows)
    model = MLPRegressor(
        **{**EXACT, "hidden_layer_sizes": (), "max_epochs": 1, "batch_size": 4},
        initializer="zeros",
        standardize=False,
        optimizer="sgd",
        learning_rate=1e-6,
    ).fit(X, y, w)
    expected = 2 * (w / w.mean() * y) @ X / 4
    assert_allclose(model.module_[0].weight[0].detach().numpy() / 1e-6, expected, rtol=1e-4)


def test_batches_without_any_weight_do_not_happen():
    """95% of the weights are 0 and batches have 4 rows: 10 rows remain, and so 3 steps in an epoch."""
    X, y, _, _ = sample(200)
    w = np.zeros(200)
    w[::20] = 1 + np.arange(10)
    steps = []
    model = MLPClassifier((4,), batch_size=4, max_epochs=5, early_stopping=False, dropout=0.0, random_state=0)
    model.set_params(callbacks=lambda run: steps.append(run.step)).fit(X, y, w)
    assert steps == [3, 6, 9, 12, 15]
    assert min(itertools.chain.from_iterable(model.history_["gradient_norm"])) > 0
