"""More target labels than a process can hold, rows that make no numbers, labels that say little."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from shiftfix.corrected import FewLabelClassifier, FewLabelRegressor, TargetSample, _few_many
from shiftfix.corrected._few_classes import JudgedLabels, corrected_proba, learn_class_correction, probability_of
from shiftfix.corrected._few_gaussian import fit_gaussian
from shiftfix.corrected._few_many import DrawnLabels, draw_labels
from shiftfix.corrected._few_numbers import own_density
from shiftfix.corrected._few_rows import LabelledFeatures
from shiftfix.corrected._few_trained import known_to_all
from shiftfix.exceptions import ShiftDataError

CHANCE = np.random.default_rng(5)
TEXTS = np.array(["good day", "bad day", "good night", "bad night"])[CHANCE.integers(4, size=90)]
GOOD = np.char.startswith(TEXTS, "good").astype(int)


@pytest.fixture
def small(monkeypatch):
    """Processes hold 20 labels, and the estimator learns from 40 on."""
    monkeypatch.setattr(_few_many, "MOST_ENTRIES", 400)
    monkeypatch.setattr(_few_many, "LABELS_TO_TRAIN", 40)


def crossed(rng, n):
    """The sign of a product of two features, which no linear correction finds."""
    X = rng.normal(size=(n, 2))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


# ------------------------------------------------------------------------------------------- which labels


@pytest.mark.parametrize(("n_labels", "n_processes", "learned"), [(724, 1, 724), (725, 1, 724), (400, 10, 228)])
def test_a_process_learns_from_as_many_labels_as_its_table_holds(rng, n_labels, n_processes, learned):
    """724^2 and 10 x 228^2 are the largest below 2^19."""
    X = rng.normal(size=(n_labels, 2))
    drawn = draw_labels(X, np.zeros(n_labels), n_processes, np.random.default_rng(0))
    assert len(drawn.learned) == learned
    assert sorted(drawn.judged) == list(range(n_labels))
    assert sorted([*drawn.learned, *drawn.others]) == list(range(n_labels))
    if learned == n_labels:
        assert drawn.judged.tolist() == list(range(n_labels))


def test_labels_are_drawn_by_what_their_rows_hold(rng):
    X, y = crossed(rng, 900)
    order = rng.permutation(900)
    one, other = (draw_labels(X[rows], y[rows], 1, np.random.default_rng(3)) for rows in (np.arange(900), order))
    assert np.array_equal(X[one.judged], X[order][other.judged])


def test_so_many_are_judged_at_most(monkeypatch):
    monkeypatch.setattr(_few_many, "MOST_JUDGED", 800)
    drawn = draw_labels(np.arange(1000.0)[:, None], np.zeros(1000), 1, np.random.default_rng(0))
    assert (len(drawn.judged), drawn.n_learned, len(drawn.others)) == (800, 724, 76)


def test_classes_without_labels_get_probability_zero():
    P = known_to_all(np.array([[0.25, 0.75]]), np.array(["a", "c"]), np.array(["a", "b", "c"]))
    assert P.tolist() == [[0.25, 0.0, 0.75]]


# ------------------------------------------------------------------------------------------- how they are judged


def test_what_is_missed_of_a_number_is_its_distance_from_the_mean_without_it(rng):
    """By fitting without it: K_i,-i (K_-i,-i + s^2 I)^-1 r_-i."""
    A = rng.normal(size=(6, 6))
    K, r = A @ A.T, rng.normal(size=6)
    (fit,) = fit_gaussian(K, r, (0.8,))
    for i in range(6):
        o = np.delete(np.arange(6), i)
        mean = K[i, o] @ np.linalg.solve(K[np.ix_(o, o)] + 0.64 * np.eye(5), r[o])
        assert fit.missed[i] == pytest.approx(r[i] - mean)


def test_an_expert_is_judged_by_a_normal_of_its_own_errors():
    assert_allclose(own_density(np.array([3.0, -4.0])), norm.pdf([3, 4], scale=12.5**0.5))
    assert np.isfinite(own_density(np.zeros(3))).all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_labels_that_are_judged_only_are_predicted_not_learned(rng, n_classes):
    """The processes are those of the learned labels alone; with one expert of one level its weight alone may move."""
    X, scores = rng.normal(size=(30, 2)), rng.dirichlet(np.ones(n_classes), size=30)
    codes, labelled = np.arange(30) % n_classes, LabelledFeatures(None, np.empty((20, 0)), 1.0)
    judged = JudgedLabels(np.log(scores), codes, X[20:])
    both = learn_class_correction(judged, labelled, ("slope",), False, 0.0)
    first = learn_class_correction(judged.first(20), labelled, ("slope",), False, 0.0)
    for one, other in zip(both.members, first.members, strict=True):
        assert_allclose(one.fit.gradient, other.fit.gradient)
    # The shares are the best ones for what the correction says of all of them.
    slope = first._replace(weights={"nothing": 0.0}, members=first.members)
    assert_allclose(
        judged.others_by(slope), probability_of(corrected_proba(slope, np.log(scores[20:]), X[20:]), codes[20:])
    )


# ------------------------------------------------------------------------------------------- what comes of it


def test_many_labels_serve_as_well_as_training_on_them(small):
    """Classes that are the sign of a product on the target, and of one feature on the source. Right on new rows: the
    tree on 300 target labels .93 to .97, the source's .5; a slope by 20 labels finds none of it."""
    rng = np.random.default_rng(0)
    X, X_target = rng.normal(size=(300, 2)), crossed(rng, 1000)[0]
    y, y_target = (X[:, 0] > 0).astype(int), (X_target[:, 0] * X_target[:, 1] > 0).astype(int)
    tree = DecisionTreeClassifier(min_samples_leaf=5, random_state=0)
    target = TargetSample(X_target, y=y_target[:300], rows=np.arange(300))
    model = FewLabelClassifier(tree, random_state=0, levels=("intercept", "slope")).fit(X, y, X_target=target)
    rest = X_target[300:], y_target[300:]
    alone = DecisionTreeClassifier(min_samples_leaf=5, random_state=0).fit(X_target[:300], y_target[:300])
    assert alone.score(*rest) > 0.9
    assert model.score(*rest) >= alone.score(*rest) - 0.01
    assert model.weights_["trained"] > 0.9
    assert np.array_equal(model.target_estimator_.predict(X), alone.predict(X))
    assert model.notes_ == ("corrections learned from 20 of 300 labels, drawn at random",)
    assert model.correction_.endswith("% uncorrected; " + model.notes_[0])
    assert "the estimator trained on the target labels" in model.correction_


def test_many_numbers_serve_as_well_as_training_on_them(small):
    """Errors of the tree on 300 target values, and of the correction, within a tenth of one another."""
    rng = np.random.default_rng(0)
    X, X_target = rng.normal(size=(300, 2)), rng.normal(size=(1000, 2))
    values = np.abs(X_target[:, 0]) * 3
    tree = DecisionTreeRegressor(min_samples_leaf=5, random_state=0)
    target = TargetSample(X_target, y=values[:300], rows=np.arange(300))
    model = FewLabelRegressor(tree, random_state=0, levels=("intercept", "slope")).fit(X, X[:, 0], X_target=target)
    alone = DecisionTreeRegressor(min_samples_leaf=5, random_state=0).fit(X_target[:300], values[:300])
    size = [np.sqrt(np.mean((made.predict(X_target[300:]) - values[300:]) ** 2)) for made in (model, alone)]
    assert size[0] < 1.1 * size[1]
    assert model.weights_["trained"] > 0.9


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_where_nothing_moved_many_labels_change_little(small, kind):
    rng = np.random.default_rng(1)
    X, X_target = rng.normal(size=(2, 2000, 2))
    noise = rng.normal(size=(2, 2000))
    values, values_target = X[:, 0] + noise[0], X_target[:, 0] + noise[1]
    few = np.arange(100)
    if kind == "classifier":
        model = FewLabelClassifier(LogisticRegression(), random_state=0)
        model.fit(X, values > 0, X_target=TargetSample(X_target, y=values_target[few] > 0, rows=few))
        assert np.abs(model.predict_proba(X) - model.estimator_.predict_proba(X)).max() < 0.1
    else:
        model = FewLabelRegressor(Ridge(), random_state=0)
        model.fit(X, values, X_target=TargetSample(X_target, y=values_target[few], rows=few))
        assert np.abs(model.predict(X) - model.estimator_.predict(X)).max() < 0.3
    assert model.weights_["nothing"] > 0.5


def test_the_order_of_many_labels_does_not_matter(small):
    rng = np.random.default_rng(2)
    X, y = crossed(rng, 120)
    made, order = [], rng.permutation(120)
    for rows in (np.arange(120), order):
        model = FewLabelClassifier(LogisticRegression(tol=1e-10), random_state=0)
        made.append(model.fit(X, y, X_target=TargetSample(X[rows], y=y[rows])).predict_proba(X))
    assert_allclose(made[0], made[1], atol=1e-6)


def test_a_frozen_model_is_corrected_and_not_trained(small):
    X, y = crossed(np.random.default_rng(3), 100)
    frozen = FrozenEstimator(LogisticRegression().fit(X, y))
    model = FewLabelClassifier(frozen, random_state=0).fit(X, y, X_target=TargetSample(X, y=1 - y))
    assert model.target_estimator_ is None
    assert "trained" not in model.weights_
    assert model.notes_ == ("corrections learned from 20 of 100 labels, drawn at random",)


def test_experts_none_trains_nothing(small):
    X, y = crossed(np.random.default_rng(3), 100)
    model = FewLabelClassifier(LogisticRegression(), experts=None, random_state=0)
    assert model.fit(X, y, X_target=TargetSample(X, y=y)).target_estimator_ is None


@pytest.mark.slow
def test_five_thousand_labels_are_no_error():
    rng = np.random.default_rng(4)
    X, X_target = rng.normal(size=(2, 5000, 5))
    y = [(rows[:, k] + rng.normal(size=5000) > 0).astype(int) for k, rows in enumerate((X, X_target))]
    model = FewLabelClassifier(LogisticRegression(), random_state=0)
    model.fit(X, y[0], X_target=TargetSample(X_target, y=y[1]))
    assert model.score(X_target, y[1]) > 0.74
    assert "724 of 5000 labels" in model.correction_


# ------------------------------------------------------------------------------------------- labels of few classes


def test_a_class_without_labels_keeps_some_probability(small):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(150, 2))
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    target = TargetSample(X[:100], y=np.minimum(y[:100], 1))
    model = FewLabelClassifier(LogisticRegression(), random_state=0).fit(X, y, X_target=target)
    assert model.target_estimator_.classes_.tolist() == [0, 1]
    P = model.predict_proba(X)
    assert (P > 0).all()
    assert P[:, 2].mean() < model.estimator_.predict_proba(X)[:, 2].mean()


def test_labels_of_one_class_train_nothing(small):
    X, y = crossed(np.random.default_rng(6), 100)
    model = FewLabelClassifier(LogisticRegression(), random_state=0)
    model.fit(X, y, X_target=TargetSample(X, y=np.ones(100, int)))
    assert model.target_estimator_ is None
    assert model.predict_proba(X)[:, 1].mean() > model.estimator_.predict_proba(X)[:, 1].mean() + 0.2


@pytest.mark.parametrize("n_labels", [1, 4])
def test_fewer_labels_than_five_are_called_no_evidence(n_labels):
    X, y = crossed(np.random.default_rng(7), 60)
    target = TargetSample(X, y=y[:n_labels], rows=np.arange(n_labels))
    model = FewLabelClassifier(LogisticRegression()).fit(X, y, X_target=target)
    assert model.correction_ == "100% uncorrected; fewer than 5 labels are no evidence"


# ------------------------------------------------------------------------------------------- rows without numbers


class Flat(TransformerMixin, BaseEstimator):
    """Rows of several dimensions, flat."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.asarray(X).reshape(len(X), -1)

    def __sklearn_is_fitted__(self):
        return True


def read_as(kind):
    if kind in ("pandas", "polars"):
        return pytest.importorskip(kind).Series(TEXTS)
    return TEXTS.tolist() if kind == "list" else TEXTS


@pytest.mark.parametrize("kind", ["array", "list", "pandas", "polars"])
def test_the_default_levels_fall_back_for_texts(kind):
    texts = read_as(kind)
    model = FewLabelClassifier(make_pipeline(TfidfVectorizer(), LogisticRegression()), random_state=0)
    model.fit(texts, GOOD, X_target=TargetSample(texts, y=1 - GOOD[:60], rows=np.arange(60)))
    assert list(model.weights_) == ["nothing", "intercept", "slope"]
    note = "linear and smooth corrections left out, since X_target has shape (90,) and is no table"
    assert model.notes_ == (note,)
    # Labels turned round: the slope turns the scores round.
    assert np.mean(model.predict(texts) == 1 - GOOD) > 0.9


def test_many_texts_are_learned_from(small):
    model = FewLabelClassifier(make_pipeline(TfidfVectorizer(), LogisticRegression()), random_state=0)
    model.fit(TEXTS, GOOD, X_target=TargetSample(TEXTS, y=1 - GOOD))
    assert model.target_estimator_ is not None
    assert np.mean(model.predict(TEXTS) == 1 - GOOD) > 0.9


def test_a_hundred_labels_of_texts_need_no_further_setting():
    """A process of target labels alone would read features, and is left out."""
    texts, good = np.tile(TEXTS, 2), np.tile(GOOD, 2)
    learner = make_pipeline(TfidfVectorizer(), LogisticRegression())
    model = FewLabelClassifier(learner, levels=("intercept", "slope"), random_state=0)
    model.fit(texts, good, X_target=TargetSample(texts, y=good[:120], rows=np.arange(120)))
    assert list(model.weights_) == ["nothing", "intercept", "slope"]


def test_rows_of_three_dimensions(rng):
    X = rng.normal(size=(80, 3, 2))
    y = (X[:, 0, 0] > 0).astype(int)
    model = FewLabelClassifier(make_pipeline(Flat(), LogisticRegression()), random_state=0)
    model.fit(X, y, X_target=TargetSample(X, y=y[:30], rows=np.arange(30)))
    assert "shape (80, 3, 2)" in model.correction_
    assert model.predict_proba(X).shape == (80, 2)


def test_texts_of_a_regressor():
    lengths = np.char.str_len(TEXTS).astype(float)
    model = FewLabelRegressor(make_pipeline(TfidfVectorizer(), Ridge()), random_state=0)
    model.fit(TEXTS, lengths, X_target=TargetSample(TEXTS, y=lengths[:40] + 5, rows=np.arange(40)))
    assert "is no table" in model.correction_
    assert np.mean(model.predict(TEXTS) - lengths) == pytest.approx(5, abs=1)


def test_frames_with_categories_and_gaps_are_read_by_all_levels(rng):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"ward": rng.choice(["day", "acute"], 80), "age": rng.normal(60, 9, 80)})
    frame.loc[::7, "age"] = np.nan
    y = (frame["ward"] == "day").to_numpy().astype(int)
    learner = make_pipeline(make_column_transformer((OneHotEncoder(), ["ward"])), LogisticRegression())
    model = FewLabelClassifier(learner, random_state=0)
    model.fit(frame, y, X_target=TargetSample(frame, y=1 - y[:40], rows=np.arange(40)))
    assert list(model.weights_) == ["nothing", "intercept", "slope", "linear", "smooth"]
    assert model.notes_ == ()


def test_a_learner_that_cannot_learn_from_the_labels_is_left_out_with_a_word(small, rng):
    """No label is of category "night", which an encoder trained on the labels alone would not know."""
    pandas = pytest.importorskip("pandas")
    wards = pandas.DataFrame({"ward": [*rng.choice(["day", "acute"], 60), *["day", "acute", "night"] * 10]})
    y = (wards["ward"] == "day").to_numpy().astype(int)
    learner = make_pipeline(make_column_transformer((OneHotEncoder(), ["ward"])), LogisticRegression())
    model = FewLabelClassifier(learner, random_state=0)
    model.fit(wards, y, X_target=TargetSample(wards, y=y[:60], rows=np.arange(60)))
    assert model.target_estimator_ is None
    assert "cannot learn from the target labels alone (Found unknown categories ['night']" in model.correction_


# ------------------------------------------------------------------------------------------- errors

X, Y = np.random.default_rng(0).normal(size=(40, 2)), np.tile([0, 1], 20)


def fit(y, rows=None, texts=None, **settings):
    learner = LogisticRegression() if texts is None else make_pipeline(TfidfVectorizer(), LogisticRegression())
    given = X if texts is None else texts
    return FewLabelClassifier(learner, **settings).fit(given, Y, X_target=TargetSample(given, y=y, rows=rows))


WRONG = {
    "an unseen class": (lambda: fit([0, 7, 1], [0, 1, 2]), "holds 7.*Write labels as in the source, leave such rows"),
    "labels as text": (lambda: fit(["0", "1"], [0, 1]), "holds '0', '1'.*as in the source"),
    "gaps for unknown": (
        lambda: fit([None] * 30 + [1] * 10),
        r"NaN or None \(30 of 40, the first at position 0\): pass",
    ),
    "one label, no list": (lambda: fit(1, [0]), r"shape \(\): pass one label"),
    "two columns": (lambda: fit(np.ones((40, 2))), r"shape \(40, 2\): pass one label"),
    "a level that reads texts": (lambda: fit(Y, texts=TEXTS[:40], levels="linear"), r"shape \(40,\).*levels=\("),
    "a process that reads texts": (lambda: fit(Y, texts=TEXTS[:40], experts="target"), r'experts="auto"'),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name):
    call, message = WRONG[name]
    with pytest.raises(ShiftDataError, match=message):
        call()


def test_labels_that_are_all_judged_are_all_learned_from():
    assert DrawnLabels(np.arange(3), 3).others.size == 0


def test_a_linear_model_without_errors(small):
    """All experts' errors are rounding: still finite."""
    X = np.random.default_rng(0).normal(size=(60, 2))
    model = FewLabelRegressor(LinearRegression(), random_state=0).fit(X, X[:, 0], X_target=TargetSample(X, y=X[:, 0]))
    assert_allclose(model.predict(X), X[:, 0], atol=1e-6)
