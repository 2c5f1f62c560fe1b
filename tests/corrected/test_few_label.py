"""Corrections by a few target labels: what they repair, what must not change them, errors."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import expit
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from shiftfix.corrected import FewLabelClassifier, FewLabelRegressor, TargetSample
from shiftfix.exceptions import ShiftDataError

FOLDS = StratifiedKFold(3)


def logistic_rows(rng, n, coef, intercept=0.0):
    """Rows of unit Gaussians with P(1 | x) = expit(intercept + x . coef)."""
    X = rng.normal(size=(n, len(coef)))
    return X, (rng.random(n) < expit(intercept + X @ coef)).astype(int)


def fitted(rng, intercept=0.0, m=60, coef=(2.0, 0.0), target_coef=None, **settings):
    """A model of the source corrected by m labels of a target whose intercept or coefficients moved; the rest."""
    X, y = logistic_rows(rng, 400, coef)
    X_target, y_target = logistic_rows(rng, 2000, coef if target_coef is None else target_coef, intercept)
    model = FewLabelClassifier(LogisticRegression(), random_state=0, **settings)
    model.fit(X, y, X_target=TargetSample(X_target, y=y_target[:m], rows=np.arange(m)))
    return model, X_target[m:], y_target[m:]


# ------------------------------------------------------------------------------------------- what it repairs


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_moved_intercept_is_found(seed):
    """Intercept 0 -> 2 and 60 labels: at least half of the log loss above the truth's is made up (59 to 95% in four
    runs), and of the distance of the mean prediction, .50 uncorrected and .77 in truth (44 to 93%), a third."""
    rng = np.random.default_rng(seed)
    model, X, y = fitted(rng, intercept=2.0)
    truth = expit(2 + 2 * X[:, 0])

    def loss(p):
        return -np.log(np.where(y == 1, p, 1 - p)).mean()

    before, after = model.estimator_.predict_proba(X)[:, 1], model.predict_proba(X)[:, 1]
    assert loss(after) - loss(truth) < 0.5 * (loss(before) - loss(truth))
    assert truth.mean() - after.mean() < 0.66 * (truth.mean() - before.mean())
    assert model.weights_["nothing"] < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_reversed_feature_is_found(seed):
    """p(y given x) turned round: accuracy .25 uncorrected, .80 at best, above .6 with 100 labels."""
    model, X, y = fitted(np.random.default_rng(seed), m=100, coef=(2.0, 1.0), target_coef=(-2.0, 1.0))
    assert model.estimator_.score(X, y) < 0.4
    assert model.score(X, y) > 0.6


@pytest.mark.slow
def test_nothing_moved_is_left_alone():
    """Twenty targets like the source, 50 labels each: "nothing" keeps most, no accuracy falls by more than a point."""
    kept, lost = [], []
    for seed in range(20):
        model, X, y = fitted(np.random.default_rng(seed), m=50)
        kept.append(model.weights_["nothing"])
        lost.append(model.estimator_.score(X, y) - model.score(X, y))
    assert np.mean(kept) > 0.6
    assert np.mean(lost) < 0.003
    assert max(lost) < 0.02


@pytest.mark.slow
def test_three_classes_with_words_for_labels(rng):
    centres = np.array([[0.0, 0], [2, 0], [0, 2]])
    words = np.array(["low", "middle", "top"])
    y, y_target = rng.integers(3, size=300), rng.choice(3, size=600, p=[0.05, 0.05, 0.9])
    X, X_target = centres[y] + rng.normal(size=(300, 2)), centres[y_target] + rng.normal(size=(600, 2))
    model = FewLabelClassifier(LogisticRegression(), random_state=0)
    model.fit(X, words[y], X_target=TargetSample(X_target, y=words[y_target[:50]], rows=range(50)))
    assert model.classes_.tolist() == words.tolist()
    assert model.score(X_target[50:], words[y_target[50:]]) > model.estimator_.score(
        X_target[50:], words[y_target[50:]]
    )
    P = model.predict_proba(X_target)
    assert_allclose(P.sum(axis=1), 1)
    assert model.estimator_.predict_proba(X_target)[:, 2].mean() + 0.03 < P[:, 2].mean() < 0.9


@pytest.mark.parametrize("seed", range(3))
def test_a_moved_line_is_found(seed):
    """y = x0 + 1 for x0 + x1: errors of standard deviation 1.4 uncorrected, below .5 with 60 labels."""
    rng = np.random.default_rng(seed)
    X, X_target = rng.normal(size=(2, 500, 2))
    noise = rng.normal(size=(2, 500)) * 0.3
    values = X_target[:, 0] + 1 + noise[1]
    model = FewLabelRegressor(LinearRegression(), random_state=0)
    model.fit(X, X.sum(axis=1) + noise[0], X_target=TargetSample(X_target, y=values[:60], rows=np.arange(60)))
    # Half of a common residual, about 1.4 / 2; out of fold on the source they are .3.
    common = np.median(np.abs(model.estimator_.predict(X_target[:60]) - values[:60])) / 0.6745
    assert model.scale_ == pytest.approx(common / 2)
    errors = [np.sqrt(np.mean((m.predict(X_target[60:]) - values[60:]) ** 2)) for m in (model.estimator_, model)]
    assert errors[0] > 1.2
    assert errors[1] < 0.6


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_fewer_than_five_labels_are_no_evidence(rng, kind):
    X, y = logistic_rows(rng, 200, (2.0,))
    target = TargetSample(X + 1, y=[1, 1, 1, 1], rows=[0, 5, 7, 9])
    make = FewLabelClassifier(LogisticRegression()) if kind == "classifier" else FewLabelRegressor(Ridge())
    model = make.fit(X, y, X_target=target)
    assert model.weights_ == {"nothing": 1.0}
    assert model.correction_.startswith("100% uncorrected")
    assert_allclose(model.predict(X), model.estimator_.predict(X))


def test_labels_of_one_class_move_the_model_a_little(rng):
    """Ten labels of one class: still probabilities, and on that class's side of before."""
    model, X, _ = fitted(rng, intercept=9.0, m=10)
    before, after = (made.predict_proba(X)[:, 1].mean() for made in (model.estimator_, model))
    assert before <= after < 1


# ------------------------------------------------------------------------------------------- calibration


@pytest.mark.slow
def test_the_temperature_is_that_of_out_of_fold_scores(rng):
    """A model whose logits are tripled gets temperature 3 by rows it was not trained on."""
    X, y = logistic_rows(rng, 20_000, (1.0,))
    plain = LogisticRegression(C=1e6).fit(X, y)
    tripled = clone(plain).fit(X, y)
    tripled.coef_, tripled.intercept_ = 3 * plain.coef_, 3 * plain.intercept_
    X, y = logistic_rows(rng, 20_000, (1.0,))
    target = TargetSample(X[:50], y=y[:50])
    model = FewLabelClassifier(FrozenEstimator(tripled), a0=1e6).fit(X, y, X_target=target)
    assert model.temperature_ == pytest.approx(3, rel=0.1)
    assert_allclose(model.predict_proba(X), plain.predict_proba(X), atol=0.02)
    raw = FewLabelClassifier(FrozenEstimator(tripled), a0=1e6, calibrate=None).fit(X, y, X_target=target)
    assert raw.temperature_ == 1
    assert_allclose(raw.predict_proba(X), np.clip(tripled.predict_proba(X), 1e-6, 1), atol=1e-6)


@pytest.mark.slow
def test_scores_of_zero_stay_finite(rng):
    X, y = logistic_rows(rng, 200, (1.0, 1.0))
    forest = RandomForestClassifier(5, random_state=0)
    model = FewLabelClassifier(forest, random_state=0).fit(X, y, X_target=TargetSample(X, y=1 - y))
    P = model.predict_proba(X)
    assert np.isfinite(np.log(P)).all()
    assert (P > 0).all()


# ------------------------------------------------------------------------------------------- what must not matter


def answers(order=None, rows=None, unit=None, flip=False, kind="classifier", n_classes=2):
    """Predictions after changes that must not matter; the folds are those of whole blocks of rows."""
    rng = np.random.default_rng(0)
    X, X_target = rng.normal(size=(2, 150, 3))
    y = (X[:, 0] * 1.5 + rng.normal(size=150) > 0).astype(int) + (n_classes == 3) * (X[:, 1] > 0.5)
    y_target = (X_target[:, 1] + rng.normal(size=150) > -0.5).astype(int) + (n_classes == 3) * (X_target[:, 2] > 0.5)
    labels = np.arange(40) * 3
    few = y_target[labels]
    if unit is not None:
        X, X_target = X * unit + 3, X_target * unit + 3
    if order is not None:
        position = np.argsort(order)
        X_asked, X_target, labels = X_target, X_target[order], position[labels]
    else:
        X_asked = X_target
    if rows is not None:
        labels, few = labels[rows], few[rows]
    if kind == "regressor":
        model = FewLabelRegressor(LinearRegression(), random_state=0)
        model.fit(X, y * 1.0, X_target=TargetSample(X_target, y=few * 1.0, rows=labels))
        return model.predict(X_asked)
    model = FewLabelClassifier(LogisticRegression(C=1e6, tol=1e-10, max_iter=2000), cv=FOLDS)
    turned = np.array([n_classes - 1, *range(n_classes - 1)]) if flip else np.arange(n_classes)
    model.fit(X, turned[y], X_target=TargetSample(X_target, y=turned[few], rows=labels))
    return model.predict_proba(X_asked)[:, turned]


KINDS = pytest.mark.parametrize(("kind", "n_classes"), [("classifier", 2), ("classifier", 3), ("regressor", 0)])


@pytest.mark.slow
@KINDS
def test_the_order_of_target_rows_and_labels_does_not_matter(kind, n_classes):
    rng = np.random.default_rng(1)
    expected = answers(kind=kind, n_classes=n_classes)
    assert_allclose(answers(order=rng.permutation(150), kind=kind, n_classes=n_classes), expected, atol=1e-8)
    assert_allclose(answers(rows=rng.permutation(40), kind=kind, n_classes=n_classes), expected, atol=1e-8)


@pytest.mark.slow
@KINDS
def test_units_of_columns_do_not_matter(kind, n_classes):
    expected = answers(kind=kind, n_classes=n_classes)
    assert_allclose(answers(unit=np.array([100.0, 0.01, -1.0]), kind=kind, n_classes=n_classes), expected, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("n_classes", [2, 3])
def test_names_of_classes_do_not_matter(n_classes):
    """Classes renamed, so that their columns are in another order."""
    assert_allclose(answers(flip=True, n_classes=n_classes), answers(n_classes=n_classes), atol=1e-4)


@pytest.mark.slow
def test_a_mask_is_its_positions(rng):
    X, y = logistic_rows(rng, 200, (2.0,))
    mask = np.zeros(200, bool)
    mask[[3, 50, 7, 120, 9, 80]] = True
    targets = [TargetSample(X, y=y[mask], rows=mask), TargetSample(X, y=y[mask], rows=np.flatnonzero(mask))]
    one, other = (
        FewLabelClassifier(LogisticRegression(), random_state=0).fit(X, y, X_target=target) for target in targets
    )
    assert np.array_equal(one.predict_proba(X), other.predict_proba(X))


@pytest.mark.slow
def test_counts_are_repeated_rows(rng):
    X, y = logistic_rows(rng, 90, (2.0, 1.0))
    counts = rng.integers(0, 3, 90)
    target = TargetSample(X + 0.5, y=y[:30], rows=np.arange(30))
    folds = [(np.arange(30, 90), np.arange(30)), (np.arange(60), np.arange(60, 90))]
    weighted = FewLabelClassifier(LogisticRegression(C=1e6, tol=1e-9), cv=folds)
    weighted.fit(X, y, X_target=target, sample_weight=counts)
    block = np.repeat(np.arange(90), counts)
    folds = [tuple(np.flatnonzero(np.isin(block, side)) for side in fold) for fold in folds]
    repeated = FewLabelClassifier(LogisticRegression(C=1e6, tol=1e-9), cv=folds).fit(X[block], y[block], target)
    assert weighted.temperature_ == pytest.approx(repeated.temperature_, rel=1e-4)
    assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_groups_stay_in_one_fold(rng, kind):
    """Each row stands there twice, and a tree knows its twin: without groups it looks better than it is."""
    X, y = logistic_rows(rng, 150, (1.0, 0.0))
    X, y, groups = np.tile(X, (2, 1)), np.tile(y, 2), np.tile(np.arange(150), 2)
    target = TargetSample(X[:40], y=y[:40])
    if kind == "classifier":
        model = FewLabelClassifier(DecisionTreeClassifier(random_state=0), random_state=0)
        apart, together = (clone(model).fit(X, y, X_target=target, groups=g).temperature_ for g in (None, groups))
    else:
        model = FewLabelRegressor(DecisionTreeRegressor(random_state=0), random_state=0)
        noise = X[:, 1] + y
        target = TargetSample(X[:40], y=noise[:40])
        apart, together = (clone(model).fit(X, noise, X_target=target, groups=g).scale_ for g in (None, groups))
    assert together > 1.5 * apart


@pytest.mark.slow
def test_sparse_rows_are_those_of_arrays(rng):
    X, y = logistic_rows(rng, 150, (2.0, 1.0, 0.0))
    X = X * (rng.random(X.shape) < 0.5)
    made = [
        FewLabelClassifier(LogisticRegression(), random_state=0)
        .fit(of(X), y, X_target=TargetSample(of(X), y=1 - y[:40], rows=np.arange(40)))
        .predict_proba(of(X))
        for of in (np.asarray, sparse.csr_array)
    ]
    assert_allclose(made[0], made[1], atol=1e-6)


# ------------------------------------------------------------------------------------------- kinds of rows and learners


@pytest.mark.slow
def test_frames_with_categories_and_gaps(rng):
    """The pipeline encodes for itself; the correction finds that only one ward changed."""
    pandas = pytest.importorskip("pandas")

    def frame(n, acute):
        ward = np.where(rng.random(n) < 0.5, "acute", "day")
        y = np.where(rng.random(n) < np.where(ward == "acute", acute, 0.2), "back", "gone")
        return pandas.DataFrame({"ward": ward}), y

    (X, y), (X_target, y_target) = frame(400, 0.8), frame(1000, 0.1)
    target = TargetSample(X_target, y=y_target[:80], rows=np.arange(80))
    model = FewLabelClassifier(make_pipeline(OneHotEncoder(), LogisticRegression()), random_state=0)
    model.fit(X, y, X_target=target)
    assert model.estimator_.score(X_target, y_target) < 0.6
    assert model.score(X_target, y_target) > 0.8
    assert list(model.feature_names_in_) == ["ward"]
    # A gap, and a category that nobody has seen, in new rows of a learner that takes them.
    X["age"], X_target["age"] = 1.0 * (y == "back"), 1.0 * (y_target == "back")
    model = FewLabelClassifier(HistGradientBoostingClassifier(random_state=0), random_state=0)
    for rows in (X, X_target):
        rows["ward"] = rows["ward"].astype("category")
    model.fit(X, y, X_target=target)
    new = X_target.head(3).assign(age=[np.nan, 0, 1])
    assert np.isfinite(model.predict_proba(new)).all()


@pytest.mark.slow
def test_text_is_read_by_levels_of_the_scores_alone(rng):
    words = np.array(["good day", "bad day", "good night", "bad night"])
    X = words[rng.integers(4, size=200)]
    y = np.char.startswith(X, "good").astype(int)
    model = FewLabelClassifier(
        make_pipeline(CountVectorizer(), LogisticRegression()), levels=("intercept", "slope"), random_state=0
    )
    model.fit(X, y, X_target=TargetSample(X, y=1 - y[:30], rows=np.arange(30)))
    assert set(model.weights_) == {"nothing", "intercept", "slope"}
    assert model.predict(X[:5]).shape == (5,)


@pytest.mark.slow
def test_clones_searches_and_pickles(rng):
    X, y = logistic_rows(rng, 200, (2.0, 1.0))
    target = TargetSample(rng.normal(size=(200, 2)), y=y[:20], rows=np.arange(20))
    assert repr(target) == "TargetSample(shape=(200, 2), 20 labels)"
    model = FewLabelClassifier(make_pipeline(StandardScaler(), LogisticRegression()), random_state=0)
    search = GridSearchCV(model, {"estimator__logisticregression__C": [0.1, 1.0], "a0": [2.0, 4.0]}, cv=2)
    search.fit(X, y, X_target=target)
    best = search.best_estimator_
    assert best.n_labels_ == 20
    assert np.array_equal(pickle.loads(pickle.dumps(best)).predict_proba(X), best.predict_proba(X))
    assert best.n_features_in_ == 2


def test_a_frozen_model_is_used_as_it_is(rng):
    X, y = logistic_rows(rng, 300, (2.0, 1.0))
    trained = LogisticRegression().fit(*logistic_rows(rng, 300, (2.0, 1.0)))
    target = TargetSample(X, y=y[:30], rows=np.arange(30))
    model = FewLabelClassifier(FrozenEstimator(trained)).fit(X, y, X_target=target)
    assert_allclose(model.estimator_.predict_proba(X), trained.predict_proba(X))
    again = FewLabelClassifier(FrozenEstimator(trained)).fit(X, y, X_target=target)
    assert np.array_equal(model.predict_proba(X), again.predict_proba(X))


@pytest.mark.slow
def test_a_model_without_residuals_or_a_constant_one(rng):
    X = rng.normal(size=(60, 2))
    target = TargetSample(X, y=X[:, 0] + 1)
    exact = FewLabelRegressor(LinearRegression(), random_state=0).fit(X, X[:, 0], X_target=target)
    assert np.abs(exact.predict(X) - X[:, 0] - 1).mean() < 0.5
    flat = FewLabelRegressor(DummyRegressor(), random_state=0).fit(X, X[:, 0], X_target=target)
    assert np.isfinite(flat.predict(X)).all()


@pytest.mark.slow
def test_what_each_expert_got_in_words(rng):
    model, _, _ = fitted(rng, intercept=3.0)
    assert sum(model.weights_.values()) == pytest.approx(1)
    assert list(model.weights_) == ["nothing", "intercept", "slope", "linear", "smooth"]
    largest = max(model.weights_.values())
    assert model.correction_.startswith(f"{round(100 * largest)}% ")
    alone, _, _ = fitted(rng, m=100)
    assert list(alone.weights_)[-1] == "target"


# ------------------------------------------------------------------------------------------- errors

X, Y = np.random.default_rng(0).normal(size=(40, 2)), np.tile([0, 1], 20)


def fit_classifier(target, learner=None, y=Y, **settings):
    learner = LogisticRegression() if learner is None else learner
    return FewLabelClassifier(learner, **settings).fit(X, y, X_target=target)


GOOD = TargetSample(X, y=Y[:10], rows=np.arange(10))
WRONG = {
    "no target": (lambda: fit_classifier(None), "X_target is missing"),
    "no labels": (lambda: fit_classifier(TargetSample(X)), "no labels.*TargetSample"),
    "bare rows": (lambda: fit_classifier(X), "no labels.*TargetSample"),
    "too many labels": (lambda: fit_classifier(TargetSample(X, Y, range(10))), "40 labels, and rows names 10"),
    "labels for all rows": (lambda: fit_classifier(TargetSample(X, Y[:10])), "10 labels, and X has 40"),
    "a short mask": (lambda: fit_classifier(TargetSample(X, Y[:2], [True, True])), r"mask of shape \(2,\)"),
    "positions beyond": (lambda: fit_classifier(TargetSample(X, [0, 1], [1, 40])), "from 1 to 40.*40 rows"),
    "negative positions": (lambda: fit_classifier(TargetSample(X, [0, 1], [-1, 4])), "from -1 to 4"),
    "a row twice": (lambda: fit_classifier(TargetSample(X, [0, 1], [4, 4])), "names row 4 2 times"),
    "no positions": (lambda: fit_classifier(TargetSample(X, [0, 1], [0.5, 1])), "array of float64"),
    "a class unknown": (lambda: fit_classifier(TargetSample(X, [0, 7], [1, 2])), "holds 7, and the source holds 0, 1"),
    "a gap": (lambda: fit_classifier(TargetSample(X, [0, np.nan], [1, 2])), "NaN or None"),
    "no labels in it": (lambda: fit_classifier(TargetSample(X, [], np.zeros(40, bool))), "is empty"),
    "no probabilities": (lambda: fit_classifier(GOOD, LinearSVC()), "CalibratedClassifierCV"),
    "levels": (lambda: fit_classifier(GOOD, levels=("cubic",)), "levels=.*'intercept', 'slope'"),
    "a level twice": (lambda: fit_classifier(GOOD, levels=("slope", "slope")), "each once"),
    "a0": (lambda: fit_classifier(GOOD, a0=-1), "a0=-1"),
    "experts": (lambda: fit_classifier(GOOD, experts="all"), "experts='all'"),
    "calibrate": (lambda: fit_classifier(GOOD, calibrate="platt"), "calibrate='platt'"),
    "cv": (lambda: fit_classifier(GOOD, cv="five"), "cv='five'"),
    "other columns": (lambda: fit_classifier(TargetSample(X[:, :1], Y[:2], [0, 1])), "1 columns"),
    "a single class": (lambda: fit_classifier(GOOD, y=np.zeros(40, int)), "one class only|holds 1"),
    "values": (
        lambda: FewLabelRegressor(Ridge()).fit(X, X[:, 0], X_target=TargetSample(X, [0.5, np.nan], [0, 1])),
        "contains NaN",
    ),
    "text for values": (
        lambda: FewLabelRegressor(Ridge()).fit(X, X[:, 0], X_target=TargetSample(X, ["a", "b"], [0, 1])),
        "cannot be read as numbers",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name):
    call, message = WRONG[name]
    with pytest.raises(ShiftDataError, match=message):
        call()


def test_a_failed_fit_leaves_it_as_it_was():
    model = fit_classifier(GOOD)
    before = model.predict_proba(X)
    with pytest.raises(ShiftDataError):
        model.fit(X, Y, X_target=TargetSample(X, [0, 7], [1, 2]))
    assert np.array_equal(model.predict_proba(X), before)
