"""Labels, probabilities, scores and files of a trained module; the manners scikit-learn expects of both kinds."""

import copy
import os
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from shiftfix.corrected import CovariateShiftClassifier, CovariateShiftRegressor
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, WeightedTrainer, polynomial_tail
from shiftfix.mlp._saving import read, write_atomically

QUICK = {"max_epochs": 3, "batch_size": 8, "learning_rate": 0.01, "random_state": 0}
RNG = np.random.default_rng(0)
N = 40
X = RNG.normal(size=(N, 4))
Y = (X[:, 0] > 0).astype(int)


def net(n_out=2, width=8):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, n_out))


def fitted(module=None, loss="cross_entropy", X=X, y=Y, w=None, **settings):
    return WeightedTrainer(net() if module is None else module, loss, **QUICK | settings).fit(X, y, w)


# name: labels of the two classes, of any kind, in their order
LABELS = {
    "text": ["no", "yes"],
    "bools": [False, True],
    "signs": [-1, 1],
    "from one": [1, 2],
    "far apart": [10, 2**63],
    "floats": [-1.0, 1.0],
    "floats from zero": [0.0, 1.0],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("loss", ["cross_entropy", "polynomial_tail", "binary_cross_entropy"])
def test_labels_of_every_kind_stand_for_the_columns(kind, loss):
    names = np.array(LABELS[kind], dtype=np.uint64 if kind == "far apart" else None)
    module = net(1 if loss == "binary_cross_entropy" else 2)
    model, plain = fitted(module, loss, y=names[Y]), fitted(module, loss)
    assert np.array_equal(model.predict_outputs(X), plain.predict_outputs(X))
    assert model.classes_.tolist() == names.tolist()
    assert plain.classes_.tolist() == [0, 1]
    assert np.array_equal(model.predict(X), names[plain.predict(X)])
    assert model.score(X, names[Y]) == plain.score(X, Y) == np.mean(plain.predict(X) == Y)
    with_eval = WeightedTrainer(module, loss, **QUICK).fit(X, names[Y], eval_set=(X, names[Y]))
    assert np.isfinite(with_eval.history_["validation_loss"]).all()
    with pytest.raises(ShiftDataError, match="eval_set's y holds"):
        WeightedTrainer(module, loss, **QUICK).fit(X, names[Y], eval_set=(X, np.full(N, 77)))


def test_probabilities_are_the_softmax_of_the_outputs():
    z = (model := fitted()).predict_outputs(X).astype(float)
    assert_allclose(model.predict_proba(X), np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), rtol=1e-12)
    assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X), rtol=1e-12)
    z = (model := fitted(net(1), "binary_cross_entropy")).predict_outputs(X).astype(float)[:, 0]
    assert_allclose(model.predict_proba(X)[:, 1], 1 / (1 + np.exp(-z)), rtol=1e-12)
    assert np.array_equal(model.predict(X), (z > 0).astype(int))


@pytest.mark.slow
def test_settings_bound_to_a_loss_of_ours_leave_it_one_of_classes():
    bound = fitted(loss=partial(polynomial_tail, alpha=1.0, beta=1.0), y=np.array(["a", "b"])[Y])
    named = fitted(loss="polynomial_tail")
    assert_allclose(bound.predict_proba(X), named.predict_proba(X), rtol=1e-12)
    assert set(bound.predict(X)) <= {"a", "b"}


def test_classes_that_the_rows_lack_keep_their_columns():
    model = fitted(net(3), y=Y + 1)
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.predict_proba(X).shape == (N, 3)
    assert fitted(y=np.full(N, True)).classes_.tolist() == [False, True]


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (np.where(np.arange(N) == 3, 3, Y), "class index 3"),
        (Y * 2, "class index 2"),
        (Y + np.arange(N) % 3, r"class index|holds"),
        (np.array(["a", "b", "c"])[np.arange(N) % 3], r"y holds 3 classes \('a', 'b', 'c'\), and .*outputs are for 2"),
        (np.array(["a"] * N), r"y holds 1 classes \('a'\)"),
        (np.arange(N) - 1, r"y holds 40 classes \(-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, \.\.\.\)"),
        (Y + 0.5, "continuous numbers"),
        (np.where(Y, np.nan, 0), "y contains NaN"),
        (np.where(Y, np.inf, 0), "infinity"),
        (np.array([None, "a"] * (N // 2), dtype=object), "y contains NaN or None"),
        (np.ma.array(Y, mask=Y == 1), "y is a masked array with"),
        (np.full(N, "2020-01-01", dtype="M8[D]"), "datetime64"),
        (np.eye(2)[Y], r"y has shape \(40, 2\)"),
    ],
)
def test_labels_that_fit_no_columns_are_named(y, said):
    with pytest.raises(ShiftDataError, match=said):
        fitted(y=y)


def test_kinds_of_estimator():
    """A function of the user's is neither: it has no labels and no score."""
    classifier, regressor = WeightedTrainer(net()), WeightedTrainer(net(1), "huber")
    own = WeightedTrainer(net(), nn.CrossEntropyLoss(reduction="none"), **QUICK)
    assert (is_classifier(classifier), is_regressor(classifier)) == (True, False)
    assert (is_classifier(regressor), is_regressor(regressor)) == (False, True)
    assert (is_classifier(own), is_regressor(own)) == (False, False)
    assert [hasattr(model, "predict_proba") for model in (classifier, regressor, own)] == [True, False, False]
    assert [hasattr(model, "score") for model in (classifier, regressor, own)] == [True, True, False]
    assert np.array_equal(own.fit(X, Y).predict(X), own.predict_outputs(X))
    for use in (classifier.predict, classifier.predict_proba, classifier.predict_outputs):
        with pytest.raises(NotFittedError):
            use(X)
    with pytest.raises(NotFittedError):
        classifier.score(X, Y)


@pytest.mark.slow
def test_scores_are_weighted():
    w = RNG.exponential(size=N)
    model = fitted()
    assert model.score(X, Y, w) == pytest.approx(np.average(model.predict(X) == Y, weights=w))
    numbers = fitted(net(1), "squared_error", y=X[:, 1])
    assert numbers.score(X, X[:, 1], w) == pytest.approx(r2_score(X[:, 1], numbers.predict(X), sample_weight=w))
    several = fitted(net(2), "squared_error", y=X[:, :2])
    assert several.score(X, X[:, :2]) == pytest.approx(r2_score(X[:, :2], several.predict(X)), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_modules_of_every_precision_are_scored(dtype):
    """Squares of y overflow float16, and bfloat16 is no type of numpy's: y is what the module's type makes of it."""
    y = 1000 * X[:, 1]
    model = fitted(net(1).to(dtype), "absolute_error", y=y)
    y = torch.tensor(y).to(dtype).double().numpy()
    assert model.score(X, y) == pytest.approx(r2_score(y, model.predict(X).astype(float)), rel=1e-12)


def test_a_refit_forgets_the_classes_and_names_before():
    model = fitted(X=pd.DataFrame(X, columns=list("abcd")), y=np.array(["a", "b"])[Y])
    model.set_params(module=net(1), loss="huber").fit(X, X[:, 0])
    assert not hasattr(model, "classes_")
    assert not hasattr(model, "feature_names_in_")
    assert model.n_features_in_ == 4
    assert model.predict(X).shape == (N,)


def test_predictions_follow_the_loss_of_the_fit():
    model = fitted(y=np.array(["a", "b"])[Y])
    expected = model.predict(X)
    assert np.array_equal(model.set_params(loss="huber").predict(X), expected)


@pytest.mark.slow
def test_searches_pipelines_and_corrections_take_it():
    y = np.array(["no", "yes"])[Y]
    search = GridSearchCV(WeightedTrainer(net(), **QUICK), {"learning_rate": [0.01, 0.1]}, cv=3, scoring="roc_auc")
    assert 0 <= search.fit(X, y).best_score_ <= 1
    assert set(make_pipeline(StandardScaler(), WeightedTrainer(net(), **QUICK)).fit(X, y).predict(X)) <= {"no", "yes"}
    corrected = CovariateShiftClassifier(WeightedTrainer(net(), **QUICK), random_state=0).fit(X, y, X_target=X + 0.3)
    assert set(corrected.predict(X)) <= {"no", "yes"}
    numbers = WeightedTrainer(net(1), "squared_error", **QUICK)
    corrected = CovariateShiftRegressor(numbers, random_state=0).fit(X, X[:, 0], X_target=X + 0.3)
    assert corrected.predict(X).shape == (N,)


# ------------------------------------------------------------------------------------------- files


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model"


OWN = nn.CrossEntropyLoss(reduction="none")
SAVED = {
    "labels": (lambda: fitted(y=np.array(["no", "yes"])[Y], w=1.0 + Y), {}),
    "numbers": (lambda: fitted(net(2), "huber", y=X[:, 1:3]), {}),
    "a loss of one's own": (lambda: fitted(loss=OWN), {"loss": OWN}),
    "an optimizer class": (lambda: fitted(optimizer=torch.optim.SGD), {"optimizer": torch.optim.SGD}),
    "frame": (lambda: fitted(X=pd.DataFrame(X, columns=list("abcd"))), {}),
    "a device": (lambda: fitted(device=torch.device("cpu"), random_state=np.int64(3)), {}),
}


@pytest.mark.parametrize("kind", SAVED)
def test_what_is_saved_comes_back(kind, path):
    make, needed = SAVED[kind]
    model = make()
    model.save(path)
    untrained = net()
    before = copy.deepcopy(untrained.state_dict())
    found = WeightedTrainer.load(path, untrained, **needed)
    assert np.array_equal(found.predict_outputs(X), model.predict_outputs(X))
    assert np.array_equal(found.predict(X), model.predict(X))
    assert all(torch.equal(value, before[name]) for name, value in untrained.state_dict().items())
    kept = {name for name in vars(model) if name.endswith("_")}
    assert {name for name in vars(found) if name.endswith("_")} == kept
    same = {"module", "loss", "optimizer", "device"}
    assert {k: v for k, v in found.get_params().items() if k not in same} == {
        k: v for k, v in model.get_params().items() if k not in same
    }
    assert found.history_ == model.history_
    assert not found.module_.training
    if needed:
        with pytest.raises(ShiftDataError, match=rf"{next(iter(needed))} was one: pass what it was"):
            WeightedTrainer.load(path, untrained)


def test_a_lazy_module_takes_the_shapes_of_the_file(path):
    model = fitted(nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.LazyLinear(2)))
    model.save(path)
    found = WeightedTrainer.load(path, nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.LazyLinear(2)))
    assert np.array_equal(found.predict_outputs(X), model.predict_outputs(X))


def test_several_inputs_come_back(path):
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net()

        def forward(self, one, other):
            return self.inner(one + other)

    rows = {"one": X, "other": X}
    model = fitted(Sum(), X=rows)
    model.save(path)
    found = WeightedTrainer.load(path, Sum())
    assert np.array_equal(found.predict(rows), model.predict(rows))
    with pytest.raises(ShiftDataError, match="was trained on a dict"):
        found.predict(X)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (net(3), r"The module's 2.weight is \(3, 8\) of torch.float32, and in the file it is \(2, 8\)"),
        (net(2, 9), r"The module's 0.weight is \(9, 4\)"),
        (net().double(), r"The module's 0.weight is \(8, 4\) of torch.float64, and in the file .*float32"),
        (nn.Linear(4, 2), r"it lacks \['0.bias', .*\] and adds \['bias', 'weight'\]"),
        (None, "a torch.nn.Module is needed"),
        (nn.Linear, "a torch.nn.Module is needed"),
    ],
)
def test_another_module_is_refused_before_anything_is_loaded(module, said, path):
    fitted().save(path)
    with pytest.raises(ShiftDataError, match=said):
        WeightedTrainer.load(path, module)


def test_what_belongs_to_one_training_stays_out_of_the_file(path, tmp_path):
    model = fitted(checkpoint=tmp_path / "run", callbacks=lambda run: None)
    model.save(path)
    found = WeightedTrainer.load(path, net())
    assert (found.checkpoint, found.callbacks, found.resume) == (None, None, False)
    with pytest.raises(ShiftDataError, match="max_epochs is in the file: set it after load"):
        WeightedTrainer.load(path, net(), max_epochs=3)
    model.set_params(loss="huber")
    with pytest.raises(ShiftDataError, match="loss was changed after fit"):
        model.save(path)
    with pytest.raises(NotFittedError):
        WeightedTrainer(net()).save(path)


@pytest.mark.slow
def test_files_of_other_estimators(path, tmp_path):
    MLPClassifier((4,), max_epochs=1).fit(X, Y).save(path)
    with pytest.raises(ShiftDataError, match="holds a MLPClassifier, and a WeightedTrainer is needed"):
        WeightedTrainer.load(path, net())
    fitted().save(path)
    with pytest.raises(ShiftDataError, match="holds a WeightedTrainer, and a MLPClassifier is needed"):
        MLPClassifier.load(path)
    with pytest.raises(FileNotFoundError):
        WeightedTrainer.load(tmp_path / "none", net())
    with pytest.raises(ShiftDataError, match="no existing directory"):
        fitted().save(tmp_path / "none" / "model")
    damaged = path.read_bytes()
    path.write_bytes(damaged[: len(damaged) // 2])
    with pytest.raises(ShiftDataError, match="damaged"):
        WeightedTrainer.load(path, net())


class Odd(nn.Sequential):
    """Keeps an object in its state."""

    def get_extra_state(self):
        return object()

    def set_extra_state(self, state):
        pass


def test_a_state_that_takes_pickle_is_not_saved(path):
    with pytest.raises(ShiftDataError, match="could not be read back without running code"):
        fitted(Odd(net())).save(path)
    assert os.listdir(path.parent) == []


WIDE = {"type": "array", "dtype": "<i8", "shape": [3], "values": torch.arange(3)}
BACKWARDS = WIDE | {"shape": [2], "values": torch.tensor([1, 0])}
FORGED = {
    "no dict": lambda c: c.update(settings=3),
    "a setting out of range": lambda c: c["settings"].update(learning_rate=-1.0),
    "a setting of another type": lambda c: c["settings"].update(max_epochs="x"),
    "an unknown setting": lambda c: c["settings"].update(other=1),
    "the module as a setting": lambda c: c["settings"].update(module=1),
    "a path to write to": lambda c: c["settings"].update(checkpoint="somewhere"),
    "threads": lambda c: c["settings"].update(n_threads=-1),
    "a loss that is none": lambda c: c["settings"].update(loss="none"),
    "a setting that cannot be read": lambda c: c["settings"].update(clip={"type": "list", "items": 3}),
    "needed without end": lambda c: c["fitted"].update(_needed=["other"]),
    "needed of another type": lambda c: c["fitted"].update(_needed=[[]]),
    "no parameters": lambda c: c.update(module=3),
    "a parameter that is none": lambda c: c["module"].update({"0.weight": [1.0]}),
    "a key that is no text": lambda c: c["module"].update({3: torch.zeros(1)}),
    "NaN": lambda c: c["module"].update({"0.bias": torch.full((8,), torch.nan)}),
    "no classes": lambda c: c["fitted"].pop("classes_"),
    "classes that are none": lambda c: c["fitted"].update(classes_=3),
    "more classes": lambda c: c["fitted"].update(classes_=WIDE),
    "a history that is none": lambda c: c["fitted"].update(history_={"type": "?"}),
    "an attribute of its own": lambda c: c["fitted"].update(predict=3),
    "a history of no lists": lambda c: c["fitted"].update(history_={"type": "dict", "items": [["a", 3]]}),
    "layers of no names": lambda c: c["fitted"].update(layer_names_={"type": "list", "items": [3]}),
    "epochs below none": lambda c: c["fitted"].update(n_epochs_=-1),
    "rows that are no number": lambda c: c["fitted"].update(effective_sample_size_=float("nan")),
    "classes out of order": lambda c: c["fitted"].update(classes_=BACKWARDS),
    "columns of another number": lambda c: c["fitted"]["_form"].update(parts=[[["a"], [4], False]]),
    "no form": lambda c: c["fitted"].pop("_form"),
    "a form of no parts": lambda c: c["fitted"]["_form"].update(parts=[]),
    "a form of other names": lambda c: c["fitted"]["_form"].update(names=3),
    "a form of other shapes": lambda c: c["fitted"]["_form"].update(parts=[[None, [-1], True]]),
}


@pytest.mark.parametrize("kind", FORGED)
def test_forged_content_is_refused(kind, path):
    fitted().save(path)
    content = read(path, "model")
    FORGED[kind](content)
    write_atomically(content, path, "model")
    with pytest.raises(ShiftDataError):
        WeightedTrainer.load(path, net()).predict(X)
