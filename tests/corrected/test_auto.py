"""The estimator that diagnoses first: what it does is what its parts do, and in how many fits."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from shiftfix.corrected import (
    CovariateShiftRegressor,
    FewLabelClassifier,
    LabelShiftClassifier,
    ShiftCorrectedClassifier,
    ShiftCorrectedRegressor,
    TargetSample,
)
from shiftfix.detect import diagnose_shift
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import ScoreCalibrator


class Counted(LogisticRegression):
    """Counts its fits."""

    fits = 0

    def fit(self, X, y, sample_weight=None):
        type(self).fits += 1
        return super().fit(X, y, sample_weight)


def draw(rng, share, n, move=0.0):
    """Two classes two deviations apart, ``share`` of the second, moved along a direction of no class."""
    y = (np.arange(n) < share * n).astype(int)
    X = rng.normal(size=(n, 3))
    X[:, 0] += 2 * y
    X[:, 2] += move
    return X, y


@pytest.fixture
def label_shift(rng):
    return *draw(rng, 0.5, 800), *draw(rng, 0.9, 600)


@pytest.fixture
def no_shift(rng):
    return *draw(rng, 0.5, 500), *draw(rng, 0.5, 400)


@pytest.fixture
def bent(rng):
    """y = x^2 on N(0, 1) -> N(1, .5): a line needs weights."""
    X, X_target = rng.normal(size=(1000, 1)), rng.normal(1, 0.5, (800, 1))
    return X, X[:, 0] ** 2 + 0.1 * rng.normal(size=1000), X_target, X_target[:, 0] ** 2


@pytest.mark.slow
def test_fits_are_few(label_shift, no_shift):
    """Three folds, with and without weights, and once on everything; with labels the weights are not asked for."""
    for X, y, X_target, y_target in (label_shift, no_shift):
        for target, most in (
            (X_target, 7),
            (TargetSample(X_target, y=y_target[::10], rows=np.arange(0, len(y_target), 10)), 7),
        ):
            Counted.fits = 0
            ShiftCorrectedClassifier(Counted()).fit(X, y, X_target=target)
            assert Counted.fits <= most


@pytest.mark.slow
def test_label_shift_is_corrected_as_by_the_corrector_of_class_shares(label_shift):
    X, y, X_target, y_target = label_shift
    model = ShiftCorrectedClassifier(LogisticRegression()).fit(X, y, X_target=X_target)
    assert model.correction_ == "prior"
    assert isinstance(model.corrector_, LabelShiftClassifier)
    other = LabelShiftClassifier(LogisticRegression(), cv=3).fit(X, y, X_target=X_target)
    # Folds of other seeds are the only difference.
    assert_allclose(model.predict_proba(X_target), other.predict_proba(X_target), atol=0.05)
    assert model.score(X_target, y_target) > model.estimator_.score(X_target, y_target) + 0.03
    assert model.diagnosis_.verdict == model.corrector_.verdict_ == "caution"
    low, high = model.interval()[1]
    assert low < 0.9 < high
    assert_array_equal(model.classes_, [0, 1])


@pytest.mark.slow
def test_without_a_shift_the_model_is_left_alone_and_calibrated(no_shift):
    X, y, X_target, _ = no_shift
    model = ShiftCorrectedClassifier(GaussianNB()).fit(X, y, X_target=X_target)
    assert (model.correction_, model.diagnosis_.verdict) == ("none", "ok")
    plain = GaussianNB().fit(X, y)
    assert_array_equal(model.predict(X_target), plain.predict(X_target))
    scale = model.corrector_.calibrator_.scale_[0]
    by_hand = plain.predict_proba(X_target) ** scale
    assert_allclose(model.predict_proba(X_target), by_hand / by_hand.sum(axis=1, keepdims=True), atol=1e-5)
    assert_allclose(model.predict_log_proba(X_target), np.log(model.predict_proba(X_target)))
    raw = ShiftCorrectedClassifier(GaussianNB(), calibrate=None).fit(X, y, X_target=X_target)
    assert_allclose(raw.predict_proba(X_target), plain.predict_proba(X_target))


@pytest.mark.slow
def test_weights_are_used_where_they_help(bent):
    X, y, X_target, y_target = bent
    model = ShiftCorrectedRegressor(LinearRegression()).fit(X, y, X_target=X_target)
    assert model.correction_ == "weights"
    weights = model.corrector_.weights_
    by_hand = LinearRegression().fit(X, y, sample_weight=weights)
    assert_allclose(model.predict(X_target), by_hand.predict(X_target))
    assert model.score(X_target, y_target) > LinearRegression().fit(X, y).score(X_target, y_target) + 0.1
    for settings in ({"causes": "label"}, {"shift": "none"}):
        other = ShiftCorrectedRegressor(LinearRegression(), **settings).fit(X, y, X_target=X_target)
        assert other.correction_ == "none"
        assert_allclose(other.predict(X_target), LinearRegression().fit(X, y).predict(X_target))
    fixed = CovariateShiftRegressor(LinearRegression(), exponent=1.0).fit(X, y, X_target=X_target)
    assert_allclose(model.predict(X_target), fixed.predict(X_target))


@pytest.mark.slow
def test_target_labels_go_to_the_corrector_by_labels(label_shift):
    X, y, X_target, y_target = label_shift
    rows = np.random.default_rng(0).permutation(600)[:60]
    target = TargetSample(X_target, y=y_target[rows], rows=rows)
    model = ShiftCorrectedClassifier(LogisticRegression()).fit(X, y, X_target=target)
    assert (model.correction_, model.diagnosis_.n_labels) == ("labels", 60)
    few = FewLabelClassifier(LogisticRegression(), cv=3).fit(X, y, X_target=target)
    assert_allclose(model.predict_proba(X_target), few.predict_proba(X_target))
    low, high = model.interval()[1]
    assert low < 0.9 < high
    assert high - low < 0.25
    # The same choice without the labels, when it is asked for.
    plain = ShiftCorrectedClassifier(LogisticRegression(), shift="label").fit(X, y, X_target=target)
    assert (plain.correction_, plain.diagnosis_.n_labels) == ("prior", 0)


@pytest.mark.slow
def test_what_is_known_of_the_world_decides(label_shift, rng):
    X, y, X_target, _ = label_shift
    assert ShiftCorrectedClassifier(GaussianNB(), causes="features").fit(X, y, X_target=X_target).correction_ == "none"
    # Something else moved too, and still y causes x.
    X_moved = X_target + np.array([0, 0, 1])
    alone = ShiftCorrectedClassifier(GaussianNB()).fit(X, y, X_target=X_moved)
    assert alone.correction_ == "none"
    assert "label shift is not shown" in " ".join(alone.diagnosis_.verdict.reasons)
    known = ShiftCorrectedClassifier(GaussianNB(), causes="label").fit(X, y, X_target=X_moved)
    assert (known.correction_, known.diagnosis_.verdict) == ("prior", "caution")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "correction"),
    [
        (RidgeClassifier(), "none"),  # no probabilities: class shares cannot be corrected
        (KNeighborsClassifier(15), "prior"),  # takes no weights
        (make_pipeline(StandardScaler(), GaussianNB()), "prior"),
        (GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}), "prior"),
    ],
)
def test_learners_of_all_kinds(estimator, correction, label_shift):
    X, y, X_target, _ = label_shift
    model = ShiftCorrectedClassifier(estimator).fit(X, np.array(["no", "yes"])[y], X_target=X_target)
    assert model.correction_ == correction
    assert set(model.predict(X_target)) <= {"no", "yes"}
    assert hasattr(model, "predict_proba") == hasattr(estimator, "predict_proba")
    assert "samples: yes" in str(model.diagnosis_)


@pytest.mark.slow
def test_a_frozen_model_is_not_fitted_again(label_shift):
    X, y, X_target, _ = label_shift
    trained = Counted().fit(X[::2], y[::2])
    Counted.fits = 0
    model = ShiftCorrectedClassifier(FrozenEstimator(trained)).fit(X[1::2], y[1::2], X_target=X_target)
    assert (model.correction_, Counted.fits) == ("prior", 0)


@pytest.mark.slow
def test_texts_frames_and_gaps(rng):
    words = np.array(["good fine", "bad poor", "good", "poor dull"])
    kinds = rng.integers(0, 4, 200)
    model = ShiftCorrectedClassifier(make_pipeline(CountVectorizer(), LogisticRegression()))
    model.fit(words[kinds], kinds % 2, X_target=words[rng.integers(0, 4, 100)])
    assert model.diagnosis_.samples is None
    assert any("make no numbers" in text for text in model.diagnosis_.cannot_exclude)
    assert model.predict(words).tolist() == [0, 1, 0, 1]

    X, y = draw(rng, 0.5, 300)
    frame = pd.DataFrame({"size": X[:, 0], "color": np.where(X[:, 1] > 0, "red", "blue"), "age": X[:, 2]})
    frame.loc[::7, "age"] = np.nan
    encoded = make_column_transformer((OneHotEncoder(), ["color"]), remainder="passthrough")
    model = ShiftCorrectedClassifier(make_pipeline(encoded, HistGradientBoostingClassifier(max_iter=5, random_state=0)))
    model.fit(frame.iloc[::2], y[::2], X_target=frame.iloc[1::2].assign(size=lambda rows: rows["size"] + 3))
    assert model.diagnosis_.columns.shifted[0].name == "size"
    assert list(model.feature_names_in_) == ["size", "color", "age"]


@pytest.mark.slow
def test_it_goes_through_searches_and_clones(label_shift):
    X, y, X_target, _ = label_shift
    search = GridSearchCV(ShiftCorrectedClassifier(LogisticRegression()), {"estimator__C": [0.1, 1]}, cv=2)
    search.fit(X, y, X_target=TargetSample(X_target))
    assert search.best_estimator_.correction_ == "prior"
    copied = clone(ShiftCorrectedClassifier(LogisticRegression(), "label", causes="label", cv=2))
    assert copied.get_params(deep=False) | {"estimator": None} == {
        "estimator": None, "shift": "label", "causes": "label", "weighter": None, "cv": 2, "fallback": None,
        "random_state": 0, "calibrate": "temperature",
    }  # fmt: skip


@pytest.mark.slow
def test_weights_and_groups_are_carried(no_shift):
    """A row counted twice is two rows."""
    X, y, X_target, _ = no_shift
    counts = np.ones(len(y))
    counts[::3] = 2
    model = ShiftCorrectedClassifier(GaussianNB()).fit(
        X, y, X_target=X_target, sample_weight=counts, groups=np.arange(len(y)) // 2
    )
    plain = GaussianNB().fit(X, y, sample_weight=counts)
    assert_array_equal(model.predict(X_target), plain.predict(X_target))
    shares = model.diagnosis_.class_shares
    assert shares[1].source == pytest.approx((counts * y).sum() / counts.sum())


def test_no_warning_is_news(no_shift):
    X, y, X_target, _ = no_shift
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ShiftCorrectedClassifier(GaussianNB()).fit(X[::4], y[::4], X_target=X_target[:90] + np.array([0, 0, 9]))


@pytest.mark.parametrize(
    ("make", "finding"),
    [
        (lambda: ShiftCorrectedClassifier(GaussianNB(), shift="both"), "shift='both'"),
        (lambda: ShiftCorrectedClassifier(GaussianNB(), causes="y"), "causes='y'"),
        (lambda: ShiftCorrectedClassifier(GaussianNB(), calibrate="bcts"), "calibrate='bcts'"),
        (lambda: ShiftCorrectedClassifier(GaussianNB(), weighter="logistic"), "no weighter"),
        (lambda: ShiftCorrectedClassifier("GaussianNB"), "estimator"),
        (lambda: ShiftCorrectedRegressor(Ridge(), shift="label"), "about classes"),
        (lambda: ShiftCorrectedRegressor(GaussianNB()), "ShiftCorrectedClassifier can"),
        (lambda: ShiftCorrectedClassifier(Ridge()), "ShiftCorrectedRegressor can"),
    ],
)
def test_bad_settings(make, finding, no_shift):
    X, y, X_target, _ = no_shift
    with pytest.raises(ShiftDataError, match=finding):
        make().fit(X[::8], y[::8], X_target=X_target[::8])


def test_a_fit_that_fails_leaves_no_half(no_shift):
    X, y, X_target, _ = no_shift
    model = ShiftCorrectedClassifier(GaussianNB())
    with pytest.raises(ShiftDataError, match="X_target is missing"):
        model.fit(X, y)
    assert not hasattr(model, "diagnosis_")
    with pytest.raises(ShiftDataError, match="2"):
        model.fit(X[::8], y[::8], X_target=TargetSample(X_target[::8], y=[0, 1, 2, 0, 1], rows=range(5)))
    assert not hasattr(model, "estimator_")


@pytest.mark.slow
def test_the_temperature_is_that_of_scores_out_of_fold(rng):
    """An overconfident learner is cooled, whether or not anything is corrected."""
    X, y = rng.normal(size=(300, 20)), rng.integers(0, 2, 300)
    model = ShiftCorrectedClassifier(LogisticRegression(C=1e6)).fit(X, y, X_target=rng.normal(size=(200, 20)))
    assert model.corrector_.calibrator_.scale_[0] < 0.5
    assert isinstance(model.corrector_.calibrator_, ScoreCalibrator)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [LogisticRegression(), RidgeClassifier(), KNeighborsClassifier(15)])
def test_it_does_what_the_diagnosis_says(estimator, label_shift):
    X, y, X_target, _ = label_shift
    for target in (X_target, X_target + np.array([0, 0, 1.0])):
        model = ShiftCorrectedClassifier(estimator).fit(X, y, X_target=target)
        found = diagnose_shift(X, y, target, estimator)
        assert found == model.diagnosis_
        assert model.corrector_.verdict_ == model.diagnosis_.verdict
        assert model.corrector_.verdict_.reasons == model.diagnosis_.verdict.reasons


@pytest.mark.slow
def test_verdicts_of_regressors_agree(bent):
    X, y, X_target, _ = bent
    for settings in ({}, {"shift": "none"}, {"causes": "label"}):
        model = ShiftCorrectedRegressor(LinearRegression(), **settings).fit(X, y, X_target=X_target)
        assert model.corrector_.verdict_.reasons == model.diagnosis_.verdict.reasons
    assert "but the label causes the features" in model.diagnosis_.verdict.reasons[0]


@pytest.mark.slow
def test_labels_that_cannot_be_used_are_told(label_shift):
    X, y, X_target, y_target = label_shift
    target = TargetSample(X_target, y=y_target[:50], rows=np.arange(50))
    model = ShiftCorrectedClassifier(RidgeClassifier()).fit(X, y, X_target=target)
    assert "they correct class probabilities, and the model has none" in model.diagnosis_.verdict.reasons[0]
    assert "not used" in diagnose_shift(X, y, target, RidgeClassifier()).verdict.reasons[0]
    assert_allclose(model.decision_function(X), RidgeClassifier().fit(X, y).decision_function(X))
    assert not hasattr(ShiftCorrectedClassifier(LogisticRegression()), "decision_function")
    other = ShiftCorrectedClassifier(GaussianNB(), "label").fit(X, y, X_target=target)
    assert "shift='label'" in other.diagnosis_.verdict.reasons[0]


@pytest.mark.slow
def test_folds_from_a_generator_serve_all(no_shift):
    X, y, X_target, y_target = no_shift
    folds = [(np.arange(0, 500, 2), np.arange(1, 500, 2)), (np.arange(1, 500, 2), np.arange(0, 500, 2))]
    target = TargetSample(X_target, y=y_target[:30], rows=np.arange(30))
    found, again = (
        ShiftCorrectedClassifier(GaussianNB(), cv=cv).fit(X, y, X_target=target) for cv in (folds, (f for f in folds))
    )
    assert_allclose(again.predict_proba(X_target), found.predict_proba(X_target))


@pytest.mark.slow
def test_classes_that_do_not_count(no_shift):
    X, y, X_target, _ = no_shift
    labels = np.where(np.arange(500) % 5, y, 2)
    model = ShiftCorrectedClassifier(GaussianNB())
    model.fit(X, labels, X_target=X_target, sample_weight=(labels != 2).astype(float))
    assert model.classes_.tolist() == [0, 1]
    three = GaussianNB().fit(X, labels)
    with pytest.raises(ShiftDataError, match=r"knows the classes \[0, 1, 2\]"):
        ShiftCorrectedClassifier(FrozenEstimator(three)).fit(X, y, X_target=X_target)


@pytest.mark.slow
def test_rows_of_one_person_are_one_witness(rng):
    """30 persons of 20 rows that share a noise: the error of the gain is that of persons."""
    person = np.repeat(np.arange(30), 20)
    X = rng.normal(size=(600, 1)) + np.repeat(rng.normal(size=(30, 1)), 20, axis=0)
    y = X[:, 0] ** 2 + np.repeat(3 * rng.normal(size=30), 20)
    target = rng.normal(1, 0.5, (300, 1))
    alone = ShiftCorrectedRegressor(LinearRegression()).fit(X, y, X_target=target).diagnosis_
    grouped = ShiftCorrectedRegressor(LinearRegression()).fit(X, y, X_target=target, groups=person).diagnosis_
    assert grouped.gain[1] > 1.5 * alone.gain[1]
    assert "by their groups alone" in " ".join(grouped.cannot_exclude)
