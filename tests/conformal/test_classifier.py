"""Sets of labels: by brute force from the parts they are made of, invariances, what they rest on, errors."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from shiftfix.conformal import ConformalClassifier
from shiftfix.corrected import TargetSample
from shiftfix.covariate import LogisticWeighter
from shiftfix.exceptions import NotIdentifiedError, ShiftDataError
from shiftfix.label import BBSE, MLLS
from tests.conformal import brute_force

RNG = np.random.default_rng(0)
X, X_TARGET = RNG.normal(size=(300, 2)), RNG.normal((0.7, 0.0), 1, (120, 2))
NAMES = np.array(["a", "b", "c"])


def labels(rng, X):
    logits = np.column_stack([np.zeros(len(X)), X[:, 0], 1.5 * X[:, 1]])
    return NAMES[(logits + rng.gumbel(size=logits.shape)).argmax(axis=1)]


Y, Y_TARGET = labels(RNG, X), labels(RNG, X_TARGET)
FROZEN = FrozenEstimator(LogisticRegression().fit(X[:100], Y[:100]))
TILT = brute_force.KnownTilt((0.7, 0.0), 0.245)


def expected_sets(scores, y, new_scores, weights, own, level, *, by_class=False):
    """Sets by the definition: a row and a label at a time."""
    sets = np.zeros(new_scores.shape, dtype=bool)
    for row in range(len(new_scores)):
        for k in range(new_scores.shape[1]):
            here = y == NAMES[k] if by_class else np.ones(len(y), dtype=bool)
            p = brute_force.p_value(scores[here], weights[here], own[row, k], new_scores[row, k])
            sets[row, k] = p > 1 - level + 1e-9
    return sets


def frozen_scores(X, y=None):
    scores = 1 - FROZEN.predict_proba(X)
    return scores if y is None else scores[np.arange(len(y)), np.searchsorted(NAMES, y)]


REST, Y_REST = X[100:], Y[100:]
OWN = frozen_scores(REST, Y_REST)
SHARES = np.unique(Y_REST, return_counts=True)[1] / len(Y_REST)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_without_a_target(level):
    model = ConformalClassifier(FROZEN).fit(REST, Y_REST)
    expected = expected_sets(OWN, Y_REST, frozen_scores(X_TARGET), np.ones(200), np.ones((120, 3)), level)
    assert_array_equal(model.predict_set(X_TARGET, level), expected)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_covariate_shift(level):
    model = ConformalClassifier(FROZEN, weighter=TILT).fit(REST, Y_REST, X_TARGET)
    w, own = (np.exp(rows @ [0.7, 0] - 0.245) for rows in (REST, X_TARGET))
    expected = expected_sets(OWN, Y_REST, frozen_scores(X_TARGET), w, np.tile(own[:, None], 3), level)
    assert_array_equal(model.predict_set(X_TARGET, level), expected)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_label_shift(level):
    """Scores of the probabilities at the target's shares, weights of the labels."""
    q = np.array([0.2, 0.3, 0.5])
    model = ConformalClassifier(FROZEN, prior=q).fit(REST, Y_REST)
    p = SHARES
    assert_allclose(model.class_weight_, q / p)

    def scores(rows):
        raw = FROZEN.predict_proba(rows) * q / p
        return 1 - raw / raw.sum(axis=1, keepdims=True)

    places = np.searchsorted(NAMES, Y_REST)
    own = scores(REST)[np.arange(200), places]
    expected = expected_sets(own, Y_REST, scores(X_TARGET), (q / p)[places], np.tile(q / p, (120, 1)), level)
    assert_array_equal(model.predict_set(X_TARGET, level), expected)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_by_class(level):
    """Each class by itself, also with target rows; the prior only changes the scores."""
    model = ConformalClassifier(FROZEN, conditional="class").fit(REST, Y_REST, X_TARGET)
    new = frozen_scores(X_TARGET)
    expected = expected_sets(OWN, Y_REST, new, np.ones(200), np.ones((120, 3)), level, by_class=True)
    assert_array_equal(model.predict_set(X_TARGET, level), expected)
    assert model.weighter_ is None
    even = ConformalClassifier(FROZEN, conditional="class", prior=SHARES)
    assert_array_equal(even.fit(REST, Y_REST).predict_set(X_TARGET, level), expected)


@pytest.mark.parametrize("score", ["lac", "aps"])
def test_folds_by_brute_force(score):
    """Every row is compared with the score that the model of its fold gives to the row to be judged."""
    model = ConformalClassifier(LogisticRegression(), score, cv=3, weighter=TILT).fit(X, Y, X_TARGET)
    w, own = np.exp(X @ [0.7, 0] - 0.245), np.exp(X_TARGET @ [0.7, 0] - 0.245)
    inside = np.zeros((120, 3))
    for scores, ranked in zip(model._scores(model.estimators_, X_TARGET), model._calibrated.ranked, strict=True):
        weight = np.diff(ranked[0].below)
        inside += [[weight[ranked[0].scores >= s].sum() for s in row] for row in scores]
    expected = (inside + own[:, None] / w.mean()) / (w.sum() / w.mean() + own[:, None] / w.mean())
    assert_allclose(model.p_values(X_TARGET), expected, atol=1e-10)
    assert_array_equal(model.predict_set(X_TARGET, 0.8), expected > 0.2)
    assert sum(ranked[0].total for ranked in model._calibrated.ranked) == pytest.approx(300)


def test_folds_are_scored_by_the_model_that_did_not_see_them():
    model = ConformalClassifier(LogisticRegression(), cv=3, random_state=3).fit(X, Y)
    found = []
    for fitted in model.estimators_:
        scores = (1 - fitted.predict_proba(X))[np.arange(300), np.searchsorted(NAMES, Y)]
        found.append(scores)
    for number, ranked in enumerate(model._calibrated.ranked):
        assert np.isin(ranked[0].scores, found[number]).all()
        assert len(ranked[0].scores) == 100


@pytest.mark.parametrize(
    "options", [{}, {"cv": 3}, {"conformity_score": "aps"}, {"conditional": "class"}, {"weighter": TILT}]
)
def test_sets_grow_with_the_level_and_agree_with_p_values(options):
    model = ConformalClassifier(LogisticRegression(), **options).fit(X, Y, X_TARGET)
    sets = [model.predict_set(X_TARGET, level) for level in (0.3, 0.6, 0.9, 0.99)]
    assert all((small <= large).all() for small, large in pairwise(sets))
    p = model.p_values(X_TARGET)
    assert ((p > 0) & (p <= 1)).all()
    assert_array_equal(sets[2], p > 0.1 + 1e-9)


def test_groups_are_calibrated_by_themselves():
    """As the rows of the group alone; all labels for a group that was never seen."""
    groups = np.where(REST[:, 1] > 0, "up", "down")
    model = ConformalClassifier(FROZEN, conditional="group").fit(REST, Y_REST, groups=groups)
    asked = np.where(X_TARGET[:, 1] > 0, "up", "down")
    asked[0] = "sideways"
    found = model.predict_set(X_TARGET, groups=asked)
    assert found[0].all()
    for name in ("up", "down"):
        alone = ConformalClassifier(FROZEN).fit(REST[groups == name], Y_REST[groups == name])
        here = asked == name
        assert_array_equal(found[here], alone.predict_set(X_TARGET[here]))
    told = model.summarize(X_TARGET, groups=asked)
    assert told.infinite_share == pytest.approx(1 / 120)
    assert "in each group" in told.assumes


def test_too_few_rows_of_a_class_put_it_into_every_set():
    """Eight rows are too few at .9 (the 9th of 9 is needed), and nine are enough."""
    few = np.concatenate([np.flatnonzero(Y_REST != "c"), np.flatnonzero(Y_REST == "c")[:9]])
    model = ConformalClassifier(FROZEN, conditional="class").fit(REST[few], Y_REST[few])
    assert model.summarize(X_TARGET).always_in == ()
    model.fit(REST[few[:-1]], Y_REST[few[:-1]])
    told = model.summarize(X_TARGET)
    assert told.always_in == ("c",)
    assert "always in: 'c'" in str(told)
    assert model.predict_set(X_TARGET)[:, 2].all()


def test_a_row_far_from_the_source_gets_all_labels():
    """Its own weight alone is more than a tenth of all."""
    model = ConformalClassifier(FROZEN, weighter=TILT).fit(REST, Y_REST, X_TARGET)
    total = np.exp(REST @ [0.7, 0] - 0.245).sum()
    edge = (np.log(total / 9) + 0.245) / 0.7
    found = model.predict_set([[edge - 0.01, 5], [edge + 0.01, 5]])
    assert found.all(axis=1).tolist() == [False, True]
    assert model.summarize([[edge - 0.01, 5], [edge + 0.01, 5]]).infinite_share == 0.5


def test_repeat_counts_are_rows():
    """Of a frozen classifier a weight of 2 is the row twice, and of 0 no row."""
    counts = RNG.integers(0, 3, 200)
    twice = np.repeat(np.arange(200), counts)
    for options in ({}, {"conditional": "class"}, {"weighter": LogisticWeighter()}):
        model = ConformalClassifier(FROZEN, **options)
        first = clone(model).fit(REST, Y_REST, X_TARGET, sample_weight=counts).p_values(X_TARGET)
        second = clone(model).fit(REST[twice], Y_REST[twice], X_TARGET).p_values(X_TARGET)
        assert_allclose(first, second, atol=1e-6)


def test_labels_combine_or_stand_alone():
    """Labels that agree join the weighted rows; labels of another rule calibrate alone, and cover it."""
    agree = TargetSample(X_TARGET, y=Y_TARGET[:60], rows=np.arange(60))
    model = ConformalClassifier(FROZEN).fit(REST, Y_REST, agree)
    assert (model.labels_used_, model.n_calibration_) == ("combine", 260)
    turned = TargetSample(X_TARGET, y=NAMES[(np.searchsorted(NAMES, Y_TARGET) + 1) % 3][:60], rows=np.arange(60))
    model.fit(REST, Y_REST, turned)
    assert (model.labels_used_, model.n_calibration_) == ("alone", 60)
    assert model.contradiction_ < 1e-3
    alone = ConformalClassifier(FROZEN).fit(X_TARGET[:60], turned.y)
    assert_array_equal(model.predict_set(X_TARGET), alone.predict_set(X_TARGET))
    assert "nothing of what moved" in model.summarize(X_TARGET).assumes
    assert "60 target labels calibrate without the source rows" in str(model.summarize(X_TARGET))


@pytest.mark.parametrize(
    "options", [{"prior": MLLS(n_bootstrap=0)}, {"conditional": "class"}, {"cv": 3}, {"conformity_score": "aps"}]
)
def test_labels_with_every_kind_of_set(options):
    few = TargetSample(X_TARGET, y=Y_TARGET[:40], rows=np.arange(40))
    for use in ("combine", "alone"):
        model = ConformalClassifier(LogisticRegression(), use_labels=use, **options).fit(X, Y, few)
        assert model.labels_used_ == use
        assert model.predict_set(X_TARGET).any()


def test_the_prior_is_estimated_by_models_that_did_not_see_the_rows():
    for cv in (None, 3):
        model = ConformalClassifier(LogisticRegression(), prior=BBSE(), cv=cv).fit(X, Y, X_TARGET)
        assert_allclose(model.class_weight_, model.prior_.class_weight_)
        assert "p(x given y)" in model.summarize(X_TARGET).assumes


def test_what_coverage_rests_on():
    said = {
        "nothing has moved": ConformalClassifier(FROZEN).fit(REST, Y_REST),
        "p(y given x) is the same": ConformalClassifier(FROZEN).fit(REST, Y_REST, X_TARGET),
        "whatever the class shares are": ConformalClassifier(FROZEN, conditional="class").fit(REST, Y_REST),
        "1 - 2 (1 - level)": ConformalClassifier(LogisticRegression(), cv=2).fit(X, Y),
    }
    for words, model in said.items():
        assert words in str(model.summarize(X_TARGET))


def test_clipped_weights_are_paid_for():
    model = ConformalClassifier(FROZEN, weighter=TILT, clip=1.5).fit(REST, Y_REST, X_TARGET)
    told = model.summarize(X_TARGET, 0.8)
    assert told.clip == 1.5
    assert told.level_used == pytest.approx(0.8 + model.clip_cost_)
    assert 0 < model.clip_cost_ < 0.2
    assert "may cost" in str(told)
    hard = ConformalClassifier(FROZEN, weighter=TILT, clip=0.3).fit(REST, Y_REST, X_TARGET)
    told = hard.summarize(X_TARGET, 0.9)
    assert (told.level_used >= 1, told.verdict.level, told.infinite_share) == (True, "abstain", 1.0)
    assert hard.predict_set(X_TARGET, 0.9).all()


def test_a_class_that_the_training_half_lacks():
    y = Y.copy()
    y[0] = "z"
    model = ConformalClassifier(LogisticRegression()).fit(X, y)
    assert model.classes_.tolist() == ["a", "b", "c", "z"]
    assert model.predict_set(X).shape == (300, 4)


def test_gaps_and_categories():
    rows = X.copy()
    rows[::7, 0] = np.nan
    model = ConformalClassifier(HistGradientBoostingClassifier(max_iter=5, random_state=0)).fit(rows, Y, X_TARGET)
    assert model.predict_set(rows).shape == (300, 3)


def test_groups_of_rows_are_held_out_together():
    groups = np.repeat(np.arange(30), 10)

    class Remembers(LogisticRegression):
        seen: list = []  # noqa: RUF012

        def fit(self, X, y):
            self.seen.append(X)
            return super().fit(X, y)

    ConformalClassifier(Remembers()).fit(X, Y, groups=groups)
    trained = [group for group in range(30) if (Remembers.seen[0] == X[group * 10]).all(axis=1).any()]
    assert len(Remembers.seen[0]) == 10 * len(trained)


def test_another_seed_holds_out_other_rows():
    one, other = (ConformalClassifier(LogisticRegression(), random_state=s).fit(X, Y).p_values(X) for s in (1, 2))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "fit", "message"),
    [
        ({"conformity_score": "best"}, {}, "conformity_score='best'"),
        ({"conditional": "row"}, {}, "conditional='row'"),
        ({"cv": 1}, {}, "cv=1"),
        ({"cv": [([0], [1])]}, {}, "number of folds"),
        ({"calibration_fraction": 1}, {}, "calibration_fraction=1"),
        ({"clip": "pareto"}, {}, "pareto"),
        ({"clip": 0}, {}, "clip=0"),
        ({"weighter": 3}, {}, "no weighter"),
        ({"weighter": TILT, "prior": MLLS()}, {}, "one of them"),
        ({"prior": [0.2, 0.3, 0.5], "clip": 2.0}, {}, "leave it out with prior"),
        ({"prior": [0.5, 0.5]}, {}, "2 values for 3 classes"),
        ({"use_labels": "none"}, {}, "use_labels='none'"),
        ({"weighter": TILT}, {}, "X_target is missing"),
        ({"prior": MLLS()}, {}, "X_target is missing"),
        ({"conditional": "group"}, {}, "needs the group of each row"),
        ({}, {"X_target": X_TARGET[:, :1]}, "1 columns"),
        ({}, {"X_target": TargetSample(X_TARGET, y=["q"], rows=[0])}, "not among the classes"),
        ({"clip": 5.0}, {"X_target": TargetSample(X_TARGET, y=["a"], rows=[0])}, "pass clip=None"),
        (
            {"conditional": "group"},
            {"groups": np.tile([0, 1], 150), "X_target": TargetSample(X_TARGET, y=["a"], rows=[0])},
            "groups of source rows only",
        ),
    ],
)
def test_errors(options, fit, message):
    with pytest.raises(ShiftDataError, match=message):
        ConformalClassifier(LogisticRegression(), **options).fit(X, Y, **fit)


def test_more_errors():
    model = ConformalClassifier(LogisticRegression()).fit(X, Y)
    for level in (0, 1, "high", np.nan):
        with pytest.raises(ShiftDataError, match="level="):
            model.predict_set(X, level)
    with pytest.raises(ShiftDataError, match="groups is for"):
        model.predict_set(X, groups=Y)
    with pytest.raises(ShiftDataError, match="no predict_proba"):
        ConformalClassifier(LinearSVC()).fit(X, Y)
    with pytest.raises(ShiftDataError, match="one class only"):
        ConformalClassifier(LogisticRegression()).fit(X, np.repeat("a", 300))
    with pytest.raises(ShiftDataError, match="not among the classes"):
        ConformalClassifier(FROZEN).fit(X, np.tile(["a", "q"], 150))
    grouped = ConformalClassifier(LogisticRegression(), conditional="group").fit(X, Y, groups=np.tile([0, 1], 150))
    with pytest.raises(ShiftDataError, match="needs the group of each row"):
        grouped.predict_set(X)
    with pytest.raises((NotIdentifiedError, ShiftDataError)):
        ConformalClassifier(LogisticRegression(), prior=BBSE()).fit(np.zeros((300, 1)), Y, np.zeros((50, 1)))


def test_a_fit_that_fails_leaves_the_model_as_it_was():
    model = ConformalClassifier(LogisticRegression()).fit(X, Y)
    before = model.p_values(X_TARGET)
    with pytest.raises(ShiftDataError):
        model.fit(X, np.repeat("a", 300))
    assert_array_equal(model.p_values(X_TARGET), before)
