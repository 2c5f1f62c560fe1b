"""X_val, y_val and sample_weight_val: an eval_set by other names, routed by scikit-learn, and told by partial_fit."""

import inspect

import numpy as np
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import TensorDataset

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor, WeightedTrainer

NAMES = ("X_val", "y_val", "sample_weight_val")
SETTINGS = {"max_epochs": 6, "batch_size": 16, "random_state": 0, "patience": 2}


def net(n_out=2):
    made = torch.nn.Sequential(torch.nn.utils.skip_init(torch.nn.Linear, 3, n_out))
    torch.nn.init.constant_(made[0].weight, 0.1)
    torch.nn.init.zeros_(made[0].bias)
    return made


MAKE = {
    "classifier": lambda **more: MLPClassifier((6,), **{**SETTINGS, "n_models": 1, **more}),
    "regressor": lambda **more: MLPRegressor((6,), **{**SETTINGS, "n_models": 1, **more}),
    "trainer": lambda **more: WeightedTrainer(net(), **{**SETTINGS, **more}),
}
kinds = pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in MAKE.items()])
estimators = pytest.mark.parametrize(
    "make", [pytest.param(MAKE[name], id=name) for name in ("classifier", "regressor")]
)


@pytest.fixture
def data(rng):
    X = rng.normal(size=(80, 3)).astype(np.float32)
    return X, (X[:, 0] + rng.normal(size=80) > 0).astype(int), rng.exponential(size=80) + 0.1


def split(data):
    """The first 60 rows as X, y and weights, and the last 20."""
    return [part[:60] for part in data], [part[60:] for part in data]


def named(held, weighted=True):
    return dict(zip(NAMES[: 3 if weighted else 2], held, strict=False))


# ------------------------------------------------------------------------------- fit


@kinds
@pytest.mark.parametrize("weighted", [True, False])
def test_they_are_the_eval_set_to_the_bit(make, weighted, data):
    rows, held = split(data)
    by_name = make().fit(*rows, **named(held, weighted))
    as_set = make().fit(*rows, eval_set=tuple(held[: 3 if weighted else 2]))
    assert by_name.history_ == as_set.history_
    assert len(by_name.history_["validation_loss"]) == by_name.n_epochs_
    assert np.array_equal(by_name.predict(data[0]), as_set.predict(data[0]))


@kinds
def test_they_switch_early_stopping_on(make, data):
    rows, held = split(data)
    assert "validation_loss" in make().fit(rows[0], rows[1], X_val=held[0], y_val=held[1]).history_


@pytest.mark.parametrize("kind", MAKE)
def test_the_validation_loss_is_the_weighted_one_of_these_rows(kind, data):
    """Against numpy, for one full batch and one epoch."""
    rows, held = split(data)
    model = MAKE[kind](max_epochs=1, batch_size=None).fit(*rows, **named(held))
    if kind == "regressor":
        scale = model.target_scaler_.scale_[0]
        losses = ((model.predict(held[0]) - held[1]) / scale) ** 2
    else:
        losses = -np.log(model.predict_proba(held[0])[np.arange(20), held[1]])
    expected = [np.average(losses, weights=held[2]), losses.mean()]
    found = [model.history_[name][0] for name in ("validation_loss", "validation_loss_unweighted")]
    assert_allclose(found, expected, rtol=1e-4)


def test_the_trainer_takes_a_dataset(data):
    rows, held = split(data)
    dataset = TensorDataset(*map(torch.tensor, held[:2]))
    by_set = MAKE["trainer"]().fit(*rows, X_val=dataset)
    assert by_set.history_ == MAKE["trainer"]().fit(*rows, eval_set=tuple(held[:2])).history_
    with pytest.raises(ShiftDataError, match="y_val is given twice, by the items of X_val and beside it"):
        MAKE["trainer"]().fit(*rows, X_val=dataset, y_val=held[1])


@kinds
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda held: named(held) | {"eval_set": tuple(held)}, "eval_set and X_val are both given"),
        (lambda held: {"X_val": held[0], "eval_set": tuple(held)}, "eval_set and X_val are both given"),
        (lambda held: {"y_val": held[1]}, "^y_val is given without X_val"),
        (lambda held: {"sample_weight_val": held[2]}, "^sample_weight_val is given without X_val"),
        (lambda held: {"eval_set": tuple(held), "y_val": held[1]}, "^y_val is given without X_val"),
        (lambda held: {"X_val": held[0]}, "^X_val is given without y_val"),
        (lambda held: {"X_val": held[0], "sample_weight_val": held[2]}, "^X_val is given without y_val"),
    ],
)
def test_what_does_not_go_together(make, given, said, data):
    rows, held = split(data)
    model = make()
    with pytest.raises(ShiftDataError, match=said):
        model.fit(*rows, **given(held))
    assert not hasattr(model, "module_")


@kinds
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"X_val": np.ones((20, 4))}, r"4 features|4 columns|X_val"),
        ({"X_val": np.full((20, 3), np.nan)}, "X_val"),
        ({"X_val": np.ones((0, 3))}, "X_val|0 sample"),
        ({"X_val": "rows"}, "X_val"),
        ({"y_val": np.ones(19, int)}, r"X_val has 20 rows of X and 19 of y|y_val"),
        ({"y_val": np.full(20, np.nan)}, "y_val"),
        ({"sample_weight_val": -np.ones(20)}, "sample_weight_val"),
        ({"sample_weight_val": np.ones(3)}, "sample_weight_val"),
        ({"sample_weight_val": np.zeros(20)}, "sample_weight_val"),
    ],
    ids=str,
)
def test_messages_call_them_by_their_names(make, change, said, data):
    rows, held = split(data)
    model = make()
    with pytest.raises((ValueError, TypeError), match=said) as caught:
        model.fit(*rows, **named(held) | change)
    assert "eval_set" not in str(caught.value)
    assert not hasattr(model, "module_")


@kinds
def test_without_early_stopping_they_are_of_no_use(make, data):
    rows, held = split(data)
    with pytest.raises(ShiftDataError, match="X_val is given with early_stopping=False"):
        make(early_stopping=False).fit(*rows, **named(held))


# ------------------------------------------------------------------------------- routing


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@kinds
@pytest.mark.usefixtures("routing")
def test_all_of_them_can_be_requested(make, data):
    model = make()
    requests = model.set_fit_request(
        sample_weight=True, eval_set=False, X_val=True, y_val="labels", sample_weight_val=None
    )
    assert requests is model
    routed = model.get_metadata_routing().fit.requests
    assert {name: routed[name] for name in NAMES} == {"X_val": True, "y_val": "labels", "sample_weight_val": None}


@pytest.mark.usefixtures("routing")
def test_of_partial_fit_too():
    for make in (MAKE["classifier"], MAKE["regressor"]):
        routed = make().set_partial_fit_request(X_val=True, y_val=True).get_metadata_routing().partial_fit.requests
        assert routed["X_val"] is routed["y_val"] is True


@kinds
def test_a_pipeline_transforms_them(make, data):
    """With transform_input the scaler sees X_val too: as scaled by hand."""
    rows, held = split(data)
    X, y, w = rows
    far = lambda values: (1000 + 50 * values).astype(np.float32)  # noqa: E731
    scaler = StandardScaler().fit(far(X), sample_weight=w)
    by_hand = make().fit(scaler.transform(far(X)), y, w, X_val=scaler.transform(far(held[0])), y_val=held[1])
    with sklearn.config_context(enable_metadata_routing=True):
        model = make().set_fit_request(sample_weight=True, X_val=True, y_val=True, sample_weight_val=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=True), model, transform_input=["X_val"])
        pipeline.fit(far(X), y, sample_weight=w, X_val=far(held[0]), y_val=held[1])
    assert pipeline[-1].history_ == by_hand.history_


# ------------------------------------------------------------------------------- partial_fit


def first_call(model):
    return {"classes": [0, 1]} if isinstance(model, MLPClassifier) else {}


@estimators
def test_partial_fit_tells_their_loss_and_trains_on_as_without_them(make, data):
    rows, held = split(data)
    watched, alone = make(dropout=0.3), make(dropout=0.3)
    for call in range(3):
        more = first_call(watched) if call == 0 else {}
        watched.partial_fit(rows[0], rows[1], sample_weight=rows[2], **more, **named(held))
        alone.partial_fit(rows[0], rows[1], sample_weight=rows[2], **more)
    assert np.array_equal(watched.predict(data[0]), alone.predict(data[0]))
    assert watched.history_["train_loss"] == alone.history_["train_loss"]
    assert "validation_loss" not in alone.history_
    told = watched.history_["validation_loss"]
    assert len(told) == 3
    if make is MAKE["classifier"]:
        losses = -np.log(watched.predict_proba(held[0])[np.arange(20), held[1]])
        assert told[-1] == pytest.approx(np.average(losses, weights=held[2]), rel=1e-4)
        assert watched.history_["validation_loss_unweighted"][-1] == pytest.approx(losses.mean(), rel=1e-4)


@estimators
@pytest.mark.parametrize("n_models", [1, 2])
def test_calls_without_them_have_no_loss(make, n_models, data):
    rows, held = split(data)
    model = make(n_models=n_models)
    for call, given in enumerate([{}, named(held), {}, named(held), {}]):
        model.partial_fit(rows[0], rows[1], **(first_call(model) if call == 0 else {}), **given)
    told = np.reshape(model.history_["validation_loss"], (5, -1))
    assert told.shape == (5, n_models)
    assert np.isnan(told).all(axis=1).tolist() == [True, False, True, False, True]
    assert {len(values) for values in model.history_.values()} == {5}


@estimators
def test_a_plateau_follows_them(make, data):
    """A rate too small to matter: the loss stands still, and the rate is halved after two calls more than it waits."""
    rows, held = split(data)
    model = make(schedule="plateau", optimizer="sgd", learning_rate=1e-6, patience=2)
    with pytest.raises(ShiftDataError, match="no validation rows"):
        model.partial_fit(rows[0], rows[1], **first_call(model))
    for call in range(4):
        model.partial_fit(rows[0], rows[1], **(first_call(model) if call == 0 else {}), **named(held))
    assert_allclose(model.history_["learning_rate"], [1e-6, 1e-6, 1e-6, 5e-7])
    with pytest.raises(ShiftDataError, match="no validation rows"):
        model.partial_fit(rows[0], rows[1])
    assert model.n_epochs_ == 4
    falling = make(schedule="plateau", optimizer="sgd", learning_rate=0.05, patience=2)
    for call in range(5):
        falling.partial_fit(rows[0], rows[1], **(first_call(falling) if call == 0 else {}), **named(rows))
    assert falling.history_["learning_rate"] == [0.05] * 5


@estimators
def test_partial_fit_refuses_half_of_them(make, data):
    rows, held = split(data)
    model = make()
    for given in ({"X_val": held[0]}, {"y_val": held[1]}, {"X_val": held[0], "y_val": held[1][:3]}):
        with pytest.raises(ShiftDataError, match=r"X_val|y_val"):
            model.partial_fit(rows[0], rows[1], **first_call(model), **given)
    assert not hasattr(model, "module_")


@estimators
def test_a_saved_model_goes_on_telling(make, data, tmp_path):
    rows, held = split(data)
    model = make().partial_fit(rows[0], rows[1], **first_call(make()), **named(held))
    model.save(tmp_path / "model.pt")
    found = type(model).load(tmp_path / "model.pt").partial_fit(rows[0], rows[1], **named(held))
    assert found.history_ == model.partial_fit(rows[0], rows[1], **named(held)).history_


def test_they_go_by_name_alone():
    for kind in (MLPClassifier, MLPRegressor, WeightedTrainer):
        parameters = inspect.signature(kind.fit).parameters
        assert {parameters[name].kind for name in NAMES} == {inspect.Parameter.KEYWORD_ONLY}
