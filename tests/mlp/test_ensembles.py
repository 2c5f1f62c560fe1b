"""Networks trained together equal the same networks trained one by one, and are averaged in prediction."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.mlp import MLPClassifier, MLPRegressor

N_MODELS = 3
# In units of a standardised y, or of a probability. Batched products sum in another order than single ones: float32
# rounding, 6e-8, grows to about 1e-6 in the runs below.
TOLERANCE = 1e-5


def blobs(n=90, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    y = np.tanh(X[:, 0]) + 0.5 * X[:, 1] * X[:, 2] + 0.3 * rng.normal(size=n)
    return X, y, rng.exponential(size=n)


def labels(y, n_classes=3):
    return np.digitize(y, np.quantile(y, np.arange(1, n_classes) / n_classes))


def one_by_one(model, *rows, **settings):
    """Single fits from the seeds of each member of an ensemble."""
    seeds = model._seeds(model.n_models)
    found = []
    for k in range(model.n_models):
        single = type(model)(**{**model.get_params(), "n_models": 1})
        own = seeds | {"start": [seeds["start"][k]], "order": [seeds["order"][k]]}
        single._seeds = lambda n_models, own=own: own
        found.append(single.fit(*rows, **settings))
    return found


def settings_of(**settings):
    common = {"hidden_layer_sizes": (10, 6), "dropout": 0.0, "batch_size": 16, "max_epochs": 6, "learning_rate": 0.01}
    stopping = {"early_stopping": False, "validation_fraction": 0.1}
    return {**common, **stopping, "n_models": N_MODELS, "random_state": 0, **settings}


RUNS = {
    "full batch": {"batch_size": None},
    "mini-batches": {},
    "one row left over": {"batch_size": 89},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "batch norm": {"batch_norm": True},
    "clip_norm": {"clip_norm": 0.2},
    "clip_value": {"clip_value": 0.01},
    "max_norm": {"max_norm": 0.8},
    "l1 and l2": {"l1": 0.01, "l2": 0.05},
    "decoupled": {"l1": 0.1, "l2": 0.5, "decoupled": True},
    "lars": {"optimizer": "lars", "learning_rate": 0.5},
    "lars and batch norm": {"optimizer": "lars", "learning_rate": 0.5, "batch_norm": True},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1},
    "adamw": {"optimizer": "adamw"},
    "rmsprop": {"optimizer": "rmsprop", "learning_rate": 1e-3},
    "resample": {"weighting": "resample"},
    "resample and batch norm": {"weighting": "resample", "batch_norm": True},
    "exponent and clip": {"exponent": 0.5, "clip": "sqrt"},
    "schedule and warm-up": {"schedule": "cosine", "warmup": 2},
    "early stopping": {"early_stopping": True, "patience": 2, "max_epochs": 40, "validation_fraction": 0.3},
    "all": {
        "early_stopping": True,
        "patience": 3,
        "max_epochs": 40,
        "validation_fraction": 0.3,
        "batch_norm": True,
        "clip_norm": 0.5,
        "max_norm": 1.5,
        "l1": 1e-3,
        "l2": 1e-2,
        "decoupled": True,
        "optimizer": "momentum",
        "learning_rate": 0.05,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "weighted"), [("mini-batches", False), ("all", False), *((name, True) for name in RUNS)]
)
def test_members_of_a_regression_equal_single_fits(name, weighted):
    X, y, w = blobs()
    w = w if weighted else None
    model = MLPRegressor(**settings_of(**RUNS[name])).fit(X, y, sample_weight=w)
    singles = one_by_one(model, X, y, w)
    members = model.predict_members(X)
    for k, single in enumerate(singles):
        assert_allclose(members[k], single.predict(X), rtol=0, atol=TOLERANCE)
        assert model.best_epoch_[k] == single.best_epoch_
        for entry in ("train_loss", "train_loss_unweighted", "validation_loss", "validation_loss_unweighted"):
            assert (entry in model.history_) == (entry in single.history_)
            together = [values[k] for values in model.history_.get(entry, [])][: single.n_epochs_]
            assert_allclose(together, single.history_.get(entry, []), rtol=1e-4)
        effect = [values[k] for values in model.history_.get("weight_effect", [])][: single.n_epochs_]
        assert_allclose(effect, single.history_.get("weight_effect", []), rtol=1e-4)
    assert model.n_epochs_ == max(single.n_epochs_ for single in singles)
    assert_allclose(model.predict(X), members.mean(axis=0), rtol=1e-12)
    assert model.n_parameters_ == N_MODELS * singles[0].n_parameters_


@pytest.mark.slow
def test_each_member_has_its_own_best_epoch():
    """In the run above they differ, so that a common one could not pass."""
    X, y, w = blobs()
    model = MLPRegressor(**settings_of(**RUNS["early stopping"])).fit(X, y, sample_weight=w)
    losses = np.array(model.history_["validation_loss"])
    assert len(set(model.best_epoch_.tolist())) > 1
    assert model.n_epochs_ == model.best_epoch_.max() + 2
    for k, best in enumerate(model.best_epoch_):
        # Within its patience: a later fall, while others still train, does not count.
        assert losses[best - 1, k] == losses[: best + 2, k].min()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_classes", "settings"),
    [
        (3, {}),
        (2, {"loss": "binary_cross_entropy"}),
        (3, {"loss": "polynomial_tail", "label_smoothing": 0.1}),
        (3, {"class_weight": "balanced", "batch_norm": True}),
        (3, {"early_stopping": True, "patience": 2, "max_epochs": 40, "learning_rate": 0.03}),
    ],
)
def test_members_of_a_classification_equal_single_fits(n_classes, settings):
    X, y, w = blobs()
    y = labels(y, n_classes)
    model = MLPClassifier(**settings_of(**settings)).fit(X, y, sample_weight=w)
    members = model.predict_proba_members(X)
    assert members.shape == (N_MODELS, 90, n_classes)
    for k, single in enumerate(one_by_one(model, X, y, w)):
        assert_allclose(members[k], single.predict_proba(X), rtol=0, atol=TOLERANCE)
        assert model.best_epoch_[k] == single.best_epoch_
    assert_allclose(model.predict_proba(X), members.mean(axis=0), rtol=1e-12)
    assert np.array_equal(model.predict(X), model.classes_[members.mean(axis=0).argmax(axis=1)])


@pytest.mark.slow
def test_several_outputs_and_an_eval_set():
    X, y, w = blobs()
    y = np.column_stack([y, X[:, 0]])
    held_out = (X[:30] + 0.1, y[:30], w[:30])
    model = MLPRegressor(**settings_of(early_stopping=True, patience=2, max_epochs=30))
    model.fit(X, y, sample_weight=w, eval_set=held_out)
    members = model.predict_members(X)
    assert members.shape == (N_MODELS, 90, 2)
    for k, single in enumerate(one_by_one(model, X, y, w, eval_set=held_out)):
        assert_allclose(members[k], single.predict(X), rtol=0, atol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_one_model_is_the_default_and_the_first_of_several(estimator):
    X, y, w = blobs()
    y = labels(y) if estimator is MLPClassifier else y
    settings = settings_of()
    default = {name: value for name, value in settings.items() if name != "n_models"}
    outputs = [
        estimator(**changed).fit(X, y, sample_weight=w)._outputs(X)
        for changed in (default, {**settings, "n_models": 1}, settings)
    ]
    assert outputs[0].shape[0] == 1
    assert np.array_equal(outputs[0], outputs[1])
    assert_allclose(outputs[2][:1], outputs[0], atol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [16, None])
def test_members_differ(batch_size):
    """By their starts: alike in all else, two networks of a full batch would be one."""
    X, y, _ = blobs()
    members = MLPRegressor(**settings_of(batch_size=batch_size)).fit(X, y).predict_members(X)
    for a, b in [(0, 1), (0, 2), (1, 2)]:
        assert np.abs(members[a] - members[b]).max() > 0.05


@pytest.mark.slow
def test_members_walk_in_orders_of_their_own():
    """From one start, without dropout, only the order of the rows tells them apart."""
    X, y, _ = blobs()
    model = MLPRegressor(**settings_of(initializer=0.1, optimizer="sgd", hidden_layer_sizes=()))
    members = model.fit(X, y).predict_members(X)
    assert np.abs(members[0] - members[1]).max() > 1e-4
    together = MLPRegressor(**settings_of(initializer=0.1, optimizer="sgd", batch_size=None, hidden_layer_sizes=()))
    members = together.fit(X, y).predict_members(X)
    assert_allclose(members[0], members[1], atol=TOLERANCE)


def test_members_have_masks_of_their_own():
    """Alike in start and rows, with dropout on: they part."""
    X, y, _ = blobs()
    model = MLPRegressor(**settings_of(initializer=0.1, batch_size=None, input_dropout=0.3, hidden_layer_sizes=()))
    members = model.fit(X, y).predict_members(X)
    assert np.abs(members[0] - members[1]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("n_models", [1, 2])
def test_history_has_a_number_per_model(n_models):
    X, y, w = blobs()
    settings = settings_of(n_models=n_models, early_stopping=True, validation_fraction=0.3)
    model = MLPRegressor(**settings).fit(X, y, sample_weight=w)
    per_model = [name for name in model.history_ if "loss" in name or name == "weight_effect"]
    assert len(per_model) == 5
    for name in per_model:
        values = model.history_[name]
        assert len(values) == model.n_epochs_
        assert np.shape(values) == ((model.n_epochs_,) if n_models == 1 else (model.n_epochs_, n_models))
        assert isinstance(values[0], float if n_models == 1 else list)
    for name in ("gradient_norm", "activation_norm"):
        assert np.shape(model.history_[name]) == (model.n_epochs_, len(model.layer_names_))
    if n_models == 1:
        assert isinstance(model.best_epoch_, int)
    else:
        assert model.best_epoch_.shape == (n_models,)
        assert model.best_epoch_.dtype == np.int64


@pytest.mark.slow
def test_without_early_stopping_the_last_epoch_is_the_best():
    X, y, _ = blobs()
    assert MLPRegressor(**settings_of()).fit(X, y).best_epoch_.tolist() == [6, 6, 6]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"dropout": 0.3, "batch_norm": True, "dropconnect": 0.1, "input_noise": 0.1}])
def test_an_ensemble_can_be_pickled_and_saved(settings, tmp_path):
    X, y, w = blobs()
    model = MLPClassifier(**settings_of(**settings)).fit(X, labels(y), sample_weight=w)
    model.save(tmp_path / "model")
    for copied in (pickle.loads(pickle.dumps(model)), MLPClassifier.load(tmp_path / "model")):
        assert np.array_equal(copied.predict_proba_members(X), model.predict_proba_members(X))
        assert np.array_equal(copied.best_epoch_, model.best_epoch_)
        assert copied.history_ == model.history_


@pytest.mark.slow
def test_members_are_predicted_in_chunks_along_the_rows():
    """9000 rows are more than one pass takes; each row's prediction is what it is alone, in float64."""
    X, y, _ = blobs()
    model = MLPRegressor(**settings_of()).fit(X, y)
    many = np.tile(X, (100, 1))
    assert_allclose(model.predict_members(many), np.tile(model.predict_members(X), (1, 100)), rtol=1e-12)


@pytest.mark.slow
def test_members_of_a_partial_fit_equal_single_ones():
    X, y, _ = blobs()
    model = MLPRegressor(**settings_of(batch_norm=True))
    seeds = model._seeds(N_MODELS)
    for _ in range(4):
        model.partial_fit(X, y)
    members = model.predict_members(X)
    for k in range(N_MODELS):
        single = MLPRegressor(**settings_of(batch_norm=True, n_models=1))
        own = seeds | {"start": [seeds["start"][k]], "order": [seeds["order"][k]]}
        single._seeds = lambda n_models, own=own: own
        for _ in range(4):
            single.partial_fit(X, y)
        assert_allclose(members[k], single.predict(X), rtol=0, atol=TOLERANCE)


@pytest.mark.slow
def test_a_warm_start_goes_on_from_every_member():
    """At a learning rate that moves nothing, they stay what they were."""
    X, y, _ = blobs()
    model = MLPRegressor(**settings_of(warm_start=True)).fit(X, y)
    members = model.predict_members(X)
    assert_allclose(model.set_params(learning_rate=1e-12).fit(X, y).predict_members(X), members, atol=1e-7)
