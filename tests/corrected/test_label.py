"""The meta-estimator under label shift."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import logit
from scipy.stats import norm
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from shiftfix._row_order import order_of_rows
from shiftfix.corrected import LabelShiftClassifier
from shiftfix.exceptions import (
    LabelShiftRejectedWarning,
    NotIdentifiedError,
    PoorIdentificationWarning,
    ShiftDataError,
)
from shiftfix.label import BBSE, MLLS, adjust_proba
from shiftfix.label._careful_prior import careful_prior
from shiftfix.mlp import MLPClassifier


def gaussians(rng, prior, n):
    """Classes 0 and 1 are N(-1, 1) and N(1, 1): P(1 | x) has logit 2 x + logit(prior)."""
    y = (rng.random(n) < prior).astype(int)
    return rng.normal(2 * y - 1, 1)[:, np.newaxis], y


def bayes_accuracy(prior):
    threshold = -0.5 * np.log(prior / (1 - prior))
    return prior * norm.sf(threshold - 1) + (1 - prior) * norm.cdf(threshold + 1)


@pytest.mark.slow
@pytest.mark.parametrize("correction", ["adjust", "retrain"])
@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_reaches_bayes_accuracy_on_gaussians(correction, kind, rng):
    """Prior .5 -> .95: the uncorrected threshold scores .841, the best .960; sampling error .002 at 8,000 rows, and
    the prior's error (.01) costs next to nothing. Inverted weights would score below .7."""
    X, y = gaussians(rng, 0.5, 4000)
    X_target, y_target = gaussians(rng, 0.95, 8000)
    model = LabelShiftClassifier(LogisticRegression(), BBSE(kind), correction=correction, random_state=0)
    model.fit(X, y, X_target=X_target)
    assert model.target_prior_[1] == pytest.approx(0.95, abs=0.04)
    assert bayes_accuracy(0.95) == pytest.approx(0.960, abs=1e-3)
    assert model.score(X_target, y_target) == pytest.approx(bayes_accuracy(0.95), abs=0.01)
    assert model.estimator_.score(X_target, y_target) < 0.86 or correction == "retrain"
    exact = 1 / (1 + np.exp(-2 * X_target[:, 0] - np.log(0.95 / 0.05)))
    assert np.abs(model.predict_proba(X_target)[:, 1] - exact).mean() < 0.02


@pytest.mark.slow
def test_exactly_one_correction_is_applied(rng):
    X, y = gaussians(rng, 0.5, 2000)
    X_target, _ = gaussians(rng, 0.9, 2000)
    adjusted = LabelShiftClassifier(LogisticRegression(), random_state=0).fit(X, y, X_target=X_target)
    plain = LogisticRegression().fit(X, y)
    assert_allclose(adjusted.estimator_.predict_proba(X), plain.predict_proba(X))
    p, q = adjusted.score_prior_, adjusted.target_prior_
    assert_allclose(q, adjusted.prior_.target_prior_, atol=0.01)  # all but the part that sampling error explains
    by_hand = adjust_proba(adjusted.prior_.calibrate(plain.predict_proba(X)), p, q)
    assert_allclose(adjusted.predict_proba(X), by_hand)
    retrained = LabelShiftClassifier(LogisticRegression(), correction="retrain", calibrate=None, random_state=0)
    retrained.fit(X, y, X_target=X_target)
    weight = (retrained.target_prior_ / retrained.source_prior_)[y]
    by_hand = LogisticRegression().fit(X, y, sample_weight=weight)
    assert_allclose(retrained.predict_proba(X), by_hand.predict_proba(X))


@pytest.mark.slow
def test_a_class_gone_from_the_target_stays_known(rng):
    """The estimate of its prior is 0; retraining must neither fail nor forget the column."""
    X, y = gaussians(rng, 0.5, 1000)
    X = X + 3 * y[:, np.newaxis]
    model = LabelShiftClassifier(LogisticRegression(), BBSE("hard"), correction="retrain", random_state=0)
    model.fit(X, y, X_target=X[y == 1][:200])
    assert model.target_prior_[0] < 0.01
    assert model.predict_proba(X).shape == (1000, 2)
    assert model.score(X[y == 1], y[y == 1]) > 0.99


@pytest.mark.slow
def test_scores_are_out_of_fold():
    """A tree that memorises noise: in-sample scores are perfect and would take the target's noise for its
    prior; out of fold it is a coin, so there is no answer, and it says so."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 3)), np.tile([0, 1], 200)
    model = LabelShiftClassifier(DecisionTreeClassifier(random_state=0), random_state=0)
    with pytest.warns(PoorIdentificationWarning, match="left uncorrected"):
        model.fit(X, y, X_target=rng.normal(size=(400, 3)))
    assert np.abs(model.prior_.conditional_confusion_[0, 0] - 0.5) < 0.15
    assert not model.corrected_


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.LabelShiftRejectedWarning")
def test_an_overfitted_learner_still_finds_the_prior():
    """Ten repetitions; a 1-neighbour rule is perfect in-sample. In-sample scores would estimate the share of
    predictions, .8 * .9 + .2 * .1 = .74 or so, instead of .9; the mean out-of-fold estimate has standard error .01."""
    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X, y = gaussians(rng, 0.5, 1000)
        X_target, _ = gaussians(rng, 0.9, 1000)
        model = LabelShiftClassifier(KNeighborsClassifier(1), causes="label", random_state=seed)
        model.fit(X, y, X_target=X_target)
        found.append(model.target_prior_[1])
    assert np.mean(found) == pytest.approx(0.9, abs=0.04)


@pytest.mark.slow
def test_a_frozen_classifier_is_used_as_it_is(rng):
    X, y = gaussians(rng, 0.5, 1000)
    trained = LogisticRegression().fit(*gaussians(rng, 0.5, 1000))
    X_target, _ = gaussians(rng, 0.9, 1000)
    model = LabelShiftClassifier(FrozenEstimator(trained), BBSE()).fit(X, y, X_target=X_target)
    direct = BBSE().fit(trained.predict_proba(X), y, trained.predict_proba(X_target))
    q = careful_prior(direct.target_prior_, direct.source_prior_, direct.prior_covariance_, 1000)
    assert_allclose(model.target_prior_, q)
    assert_allclose(q, direct.target_prior_, atol=0.005)
    expected = adjust_proba(direct.calibrate(trained.predict_proba(X)), direct.source_prior_, q)
    assert_allclose(model.predict_proba(X), expected)
    with pytest.raises(ShiftDataError, match="cannot be retrained"):
        LabelShiftClassifier(FrozenEstimator(trained), correction="retrain").fit(X, y, X_target=X_target)


@pytest.mark.slow
def test_user_weights_are_repeat_counts(rng):
    """Folds fixed on whole blocks, so that a repeated row stays in one fold; the target is the same."""
    X, y = gaussians(rng, 0.5, 300)
    X_target, _ = gaussians(rng, 0.8, 200)
    counts = rng.integers(0, 4, 300)
    rows = np.repeat(np.arange(300), counts)
    folds = [(np.flatnonzero(np.arange(300) % 3 != k), np.flatnonzero(np.arange(300) % 3 == k)) for k in range(3)]
    repeated_folds = [(np.flatnonzero(rows % 3 != k), np.flatnonzero(rows % 3 == k)) for k in range(3)]
    for correction in ("adjust", "retrain"):
        make = lambda cv: LabelShiftClassifier(LogisticRegression(tol=1e-10), correction=correction, cv=cv)  # noqa: B023, E731
        weighted = make(folds).fit(X, y, X_target=X_target, sample_weight=counts)
        repeated = make(repeated_folds).fit(X[rows], y[rows], X_target=X_target)
        assert_allclose(weighted.target_prior_, repeated.target_prior_, atol=1e-6)
        assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator",
    [
        GaussianNB(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        MLPClassifier((16,), dropout=0.1, max_epochs=6, learning_rate=0.02, batch_size=64, random_state=0),
    ],
    ids=["naive Bayes", "pipeline", "network"],
)
@pytest.mark.parametrize("correction", ["adjust", "retrain"])
def test_any_probabilistic_classifier(estimator, correction, rng):
    X, y = gaussians(rng, 0.5, 1000)
    X_target, y_target = gaussians(rng, 0.95, 1000)
    names = np.array(["well", "ill"])
    model = LabelShiftClassifier(estimator, correction=correction, random_state=0)
    model.fit(X, names[y], X_target=X_target)
    assert model.classes_.tolist() == ["ill", "well"]
    assert model.score(X_target, names[y_target]) == pytest.approx(bayes_accuracy(0.95), abs=0.03)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.LabelShiftRejectedWarning")
def test_a_learner_without_weights_can_be_adjusted_but_not_retrained(rng):
    X, y = gaussians(rng, 0.5, 600)
    X_target, y_target = gaussians(rng, 0.9, 600)
    adjusted = LabelShiftClassifier(KNeighborsClassifier(25), causes="label", random_state=0)
    adjusted.fit(X, y, X_target=X_target)
    assert adjusted.score(X_target, y_target) > 0.88  # .928 is the best there is, .84 the uncorrected one
    with pytest.raises(ShiftDataError, match="takes no sample_weight"):
        LabelShiftClassifier(KNeighborsClassifier(25), correction="retrain", causes="label").fit(
            X, y, X_target=X_target
        )
    resampled = LabelShiftClassifier(
        KNeighborsClassifier(25), correction="retrain", fallback="resample", causes="label", random_state=0
    )
    assert resampled.fit(X, y, X_target=X_target).score(X_target, y_target) > 0.9


@pytest.mark.slow
def test_text_goes_in(rng):
    """Rows need not be numbers: the classifier alone reads them."""
    words = {"spam": ["buy", "now", "free"], "ham": ["meet", "lunch", "report"]}

    def texts(prior, n):
        y = np.where(rng.random(n) < prior, "spam", "ham")
        noise = ["the", "a", *words["spam"], *words["ham"]]
        return [" ".join([*rng.choice(words[label], 2), *rng.choice(noise, 3)]) for label in y], y

    X, y = texts(0.5, 400)
    X_target, _ = texts(0.9, 400)
    model = LabelShiftClassifier(make_pipeline(CountVectorizer(), LogisticRegression()), random_state=0)
    assert model.fit(X, y, X_target=X_target).target_prior_[1] == pytest.approx(0.9, abs=0.08)


def test_scores_that_say_nothing_are_reported(rng):
    X, y = gaussians(rng, 0.5, 100)
    constant = DummyClassifier(strategy="uniform")
    with pytest.warns(PoorIdentificationWarning, match="singular.*left uncorrected") as caught:
        model = LabelShiftClassifier(constant).fit(X, y, X_target=X)
    assert len(caught) == 1
    assert not model.corrected_
    assert_allclose(model.target_prior_, model.source_prior_)
    with pytest.raises(NotIdentifiedError, match="singular"):
        LabelShiftClassifier(constant, on_abstain="error").fit(X, y, X_target=X)


@pytest.mark.slow
def test_rare_classes_lower_the_number_of_folds(rng):
    X, y = gaussians(rng, 0.5, 60)
    y[:3] = 2
    X[:3] += 20
    model = LabelShiftClassifier(GaussianNB(), cv=5, random_state=0).fit(X, y, X_target=X)
    assert model.classes_.tolist() == [0, 1, 2]
    with pytest.raises(ShiftDataError, match="class 2 y has a single row"):
        LabelShiftClassifier(GaussianNB()).fit(X[2:], y[2:], X_target=X)


@pytest.mark.slow
def test_splitters_and_seeds(rng):
    X, y = gaussians(rng, 0.5, 300)
    X_target, _ = gaussians(rng, 0.8, 100)

    def fit(**settings):
        return LabelShiftClassifier(LogisticRegression(), **settings).fit(X, y, X_target=X_target).target_prior_[0]

    assert fit(random_state=0) == fit(random_state=0)
    assert fit(random_state=0) != fit(random_state=1)
    assert fit(cv=StratifiedKFold(4)) == fit(cv=StratifiedKFold(4))


def test_a_classifier_without_probabilities_is_told_what_to_do(rng):
    X, y = gaussians(rng, 0.5, 50)
    with pytest.raises(ShiftDataError, match=r"LinearSVC has no predict_proba.*CalibratedClassifierCV"):
        LabelShiftClassifier(LinearSVC()).fit(X, y, X_target=X)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorIdentificationWarning")
def test_fewer_target_rows_than_folds(rng):
    X, y = gaussians(rng, 0.5, 200)
    assert np.isfinite(LabelShiftClassifier(GaussianNB(), random_state=0).fit(X, y, X_target=X[:3]).target_prior_).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorIdentificationWarning")
@pytest.mark.parametrize("correction", ["adjust", "retrain"])
def test_when_it_abstains_nothing_is_corrected(correction):
    """A weak classifier, not a constant one: there is an estimate, and it must not be used in any way."""
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(80, 2)), np.tile([0, 0, 0, 1], 20)
    X[:, 0] += 0.2 * y
    counts = rng.integers(1, 4, 80)
    model = LabelShiftClassifier(LogisticRegression(), MLLS(), correction=correction, calibrate=None, random_state=0)
    model.fit(X, y, X_target=rng.normal(0.1, 1, (40, 2)), sample_weight=counts)
    assert not model.corrected_
    assert model.label_shift_fit_ is None
    plain = LogisticRegression().fit(X, y, sample_weight=counts)
    assert_allclose(model.predict_proba(X), plain.predict_proba(X))
    assert_allclose(model.target_prior_, model.source_prior_)
    assert np.abs(model.prior_.target_prior_ - model.source_prior_).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("calibration", ["none", "auto"])
def test_scores_of_a_balanced_classifier_are_divided_by_their_own_prior(calibration, rng):
    """class_weight="balanced" gives posteriors under equal priors, whatever the frequencies. Prior .1 -> .6: right is
    the Bayes accuracy, .861; dividing by the frequencies moves the threshold twice and scores .72. A calibration with a
    bias makes the frequencies the prior that the calibrated scores imply."""
    X, y = gaussians(rng, 0.1, 6000)
    X_target, y_target = gaussians(rng, 0.6, 6000)
    model = LabelShiftClassifier(LogisticRegression(class_weight="balanced"), MLLS(calibration), random_state=0)
    model.fit(X, y, X_target=X_target)
    assert_allclose(model.score_prior_, [0.5, 0.5] if calibration == "none" else [0.9, 0.1], atol=0.05)
    assert_allclose(model.source_prior_, [0.9, 0.1], atol=0.02)
    assert model.score(X_target, y_target) == pytest.approx(bayes_accuracy(0.6), abs=0.012)
    assert model.predict_proba(X_target)[:, 1].mean() == pytest.approx(0.6, abs=0.04)
    with pytest.raises(ShiftDataError, match="class_weight='balanced'"):
        model.set_params(correction="retrain").fit(X, y, X_target=X_target)


@pytest.mark.slow
def test_a_frozen_classifier_from_another_prior(rng):
    """Trained at .5, labelled rows at .1, target at .6."""
    trained = LogisticRegression().fit(*gaussians(rng, 0.5, 6000))
    X, y = gaussians(rng, 0.1, 6000)
    X_target, y_target = gaussians(rng, 0.6, 6000)
    model = LabelShiftClassifier(FrozenEstimator(trained), MLLS("none")).fit(X, y, X_target=X_target)
    assert model.score_prior_[1] == pytest.approx(0.5, abs=0.05)
    assert model.score(X_target, y_target) == pytest.approx(bayes_accuracy(0.6), abs=0.012)


@pytest.mark.slow
def test_calibrated_scores_are_divided_by_about_the_frequencies(rng):
    X, y = gaussians(rng, 0.3, 2000)
    model = LabelShiftClassifier(LogisticRegression(), random_state=0).fit(X, y, X_target=gaussians(rng, 0.6, 2000)[0])
    assert_allclose(model.source_prior_, [1 - y.mean(), y.mean()])
    # The mean out-of-fold score, which differs from the frequencies by less than its error, .3 / sqrt(2000).
    assert_allclose(model.score_prior_, model.source_prior_, atol=0.01)


@pytest.mark.slow
def test_each_target_row_is_scored_once_by_the_fold_in_turn(rng):
    """Fold i mod K scores row i, as each source row is scored by one fold."""
    X, y = gaussians(rng, 0.5, 90)
    X_target = 100.0 + np.arange(20.0)[:, np.newaxis]

    class Recorder(LogisticRegression):
        seen: list = []  # noqa: RUF012

        def predict_proba(self, X):
            if X[0, 0] >= 100:
                self.seen.append((X[:, 0] - 100).astype(int).tolist())
            return super().predict_proba(X)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabelShiftRejectedWarning)
        LabelShiftClassifier(Recorder(), cv=3, random_state=0).fit(X, y, X_target=X_target)
    assert Recorder.seen == [list(range(fold, 20, 3)) for fold in range(3)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorIdentificationWarning")
@pytest.mark.parametrize("cv", [3, StratifiedKFold(3)])
def test_a_class_whose_rows_all_weigh_nothing_is_no_class(cv, rng):
    X, y = gaussians(rng, 0.5, 120)
    y[:6] = 2
    for correction in ("adjust", "retrain"):
        model = LabelShiftClassifier(LogisticRegression(), cv=cv, correction=correction, random_state=0)
        model.fit(X, y, X_target=X, sample_weight=(y != 2).astype(float))
        assert model.classes_.tolist() == [0, 1]


@pytest.mark.slow
def test_weights_that_sum_to_one_are_no_heavier_penalty(rng):
    X, y = gaussians(rng, 0.5, 500)
    X_target, _ = gaussians(rng, 0.8, 300)

    def fit(weight):
        model = LabelShiftClassifier(LogisticRegression(), random_state=0)
        return model.fit(X, y, X_target=X_target, sample_weight=weight)

    assert_allclose(fit(np.full(500, 1 / 500)).predict_proba(X), fit(None).predict_proba(X), atol=1e-6)


def test_target_columns_are_compared_by_name(rng):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(rng.normal(size=(60, 2)), columns=["age", "dose"])
    y = np.tile([0, 1], 30)
    with pytest.raises(
        ShiftDataError, match=r"X_target has the columns of X in another order: use X_target\[X.columns\]"
    ):
        LabelShiftClassifier(LogisticRegression()).fit(X, y, X_target=X[["dose", "age"]])
    with pytest.raises(ShiftDataError, match=r"X_target lacks \['dose'\]"):
        LabelShiftClassifier(LogisticRegression()).fit(X, y, X_target=X.rename(columns={"dose": "weight"}))


def test_there_is_no_uncorrected_decision_function():
    assert not hasattr(LabelShiftClassifier(LogisticRegression()), "decision_function")


class TestScoresByHand:
    """Given scores instead of cross-fitted ones, and what belongs to exactly one correction."""

    def cross_fitted(self, rng):
        X, y = gaussians(rng, 0.4, 400)
        X_target, _ = gaussians(rng, 0.8, 250)
        folds = [(np.flatnonzero(np.arange(400) % 4 != k), np.flatnonzero(np.arange(400) % 4 == k)) for k in range(4)]
        scores, scores_target = np.empty((400, 2)), np.empty((250, 2))
        dealt = order_of_rows(X_target)
        for k, (training, held_out) in enumerate(folds):
            model = LogisticRegression().fit(X[training], y[training])
            scores[held_out] = model.predict_proba(X[held_out])
            scores_target[dealt[k::4]] = model.predict_proba(X_target[dealt[k::4]])
        return X, y, X_target, folds, scores, scores_target

    @pytest.mark.slow
    @pytest.mark.parametrize("correction", ["adjust", "retrain"])
    def test_equals_cross_fitting(self, correction, rng):
        X, y, X_target, folds, scores, scores_target = self.cross_fitted(rng)
        make = lambda cv: LabelShiftClassifier(LogisticRegression(), correction=correction, cv=cv)  # noqa: E731
        fitted = make(folds).fit(X, y, X_target)
        given = make(5).fit(X, y, scores_source=scores, scores_target=scores_target)
        assert_allclose(given.target_prior_, fitted.target_prior_, atol=1e-7)
        assert_allclose(given.predict_proba(X), fitted.predict_proba(X), atol=1e-6)
        direct = MLLS(shrink="significance").fit(scores, y, scores_target)
        assert_allclose(given.prior_.target_prior_, direct.target_prior_, atol=1e-9)
        q = careful_prior(direct.target_prior_, direct.source_prior_, direct.prior_covariance_, 250)
        assert_allclose(given.target_prior_, q, atol=1e-9)
        assert given.corrected_

    @pytest.mark.slow
    def test_repeat_counts_leave_rows_out_of_given_scores_too(self, rng):
        X, y, _, _, scores, scores_target = self.cross_fitted(rng)
        counts = rng.integers(0, 3, 400)
        rows = np.repeat(np.arange(400), counts)

        def fit(X, y, scores, weight=None):
            model = LabelShiftClassifier(LogisticRegression(tol=1e-10))
            return model.fit(X, y, sample_weight=weight, scores_source=scores, scores_target=scores_target)

        weighted, repeated = fit(X, y, scores, counts), fit(X[rows], y[rows], scores[rows])
        assert_allclose(weighted.target_prior_, repeated.target_prior_, atol=1e-6)
        assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-5)

    def test_both_or_neither_and_one_row_each(self, rng):
        X, y, _, _, scores, scores_target = self.cross_fitted(rng)
        model = LabelShiftClassifier(LogisticRegression())
        with pytest.raises(ShiftDataError, match="belong together"):
            model.fit(X, y, scores_source=scores)
        for wrong in (scores[:-1], np.vstack([scores, scores])):
            with pytest.raises(ShiftDataError, match=rf"scores_source has {len(wrong)} rows for 400 of X"):
                model.fit(X, y, scores_source=wrong, scores_target=scores_target)
        with pytest.raises(ShiftDataError, match="X_target is missing"):
            model.fit(X, y)

    @pytest.mark.slow
    def test_weights_belong_to_retraining_alone(self, rng):
        X, y, X_target, *_ = self.cross_fitted(rng)
        adjusted = LabelShiftClassifier(LogisticRegression(), random_state=0).fit(X, y, X_target)
        with pytest.raises(ShiftDataError, match="corrects the posteriors already"):
            adjusted.class_weight()
        retrained = LabelShiftClassifier(LogisticRegression(), correction="retrain", calibrate=None, random_state=0)
        retrained.fit(X, y, X_target)
        weight = retrained.target_prior_ / retrained.source_prior_
        assert retrained.class_weight() == pytest.approx({0: weight[0], 1: weight[1]})
        by_hand = LogisticRegression(class_weight=retrained.class_weight()).fit(X, y)
        assert_allclose(retrained.predict_proba(X), by_hand.predict_proba(X), atol=1e-8)
        assert retrained.adjusted_threshold(0.3) == 0.3

    @pytest.mark.slow
    @pytest.mark.parametrize("prior", [None, MLLS("vector"), MLLS("none"), BBSE("hard")], ids=str)
    @pytest.mark.parametrize("leave_out", [False, True])
    def test_thresholds_do_to_raw_scores_what_prediction_does(self, prior, leave_out, rng):
        """Also where the folds score few rows of a class: p is then another one than that of the scored rows."""
        X, y = gaussians(rng, 0.3, 1200)
        X_target, _ = gaussians(rng, 0.8, 500)
        rows = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:90]]) if leave_out else np.arange(1200)
        model = LabelShiftClassifier(LogisticRegression(), prior, cv=[(rows[::2], rows[1::2]), (rows[1::2], rows[::2])])
        model.fit(X, y, X_target)
        assert model.corrected_
        raw = model.estimator_.predict_proba(X)[:, 1]
        for threshold in (0.2, 0.5, 0.9):
            assert np.array_equal(raw > model.adjusted_threshold(threshold), model.predict_proba(X)[:, 1] > threshold)
        assert 0.05 < (raw > model.adjusted_threshold()).mean() < 0.99


class TestGating:
    @pytest.mark.slow
    def test_no_correction_where_no_shift_can_be_told(self, rng):
        X, y = gaussians(rng, 0.4, 400)
        model = LabelShiftClassifier(LogisticRegression(), calibrate=None, random_state=0)
        model.fit(X, y, gaussians(rng, 0.4, 200)[0])
        assert model.prior_.shrunk_
        assert not model.corrected_
        plain = LogisticRegression().fit(X, y)
        assert_allclose(model.predict_proba(X), plain.predict_proba(X))
        assert model.adjusted_threshold(0.4) == 0.4
        assert np.array_equal(model.target_prior_, model.source_prior_)

    @pytest.mark.slow
    def test_does_less_harm_without_a_shift_and_corrects_a_real_one(self):
        """24 problems of 50 target rows. Unshifted: the gain in expected accuracy is at least -.3 points with the test
        and below -.3 by the estimate as it is; drawn towards no shift it does less. Shifted from .5 to .9 it gains 4
        points or more."""
        gains = {"gated": [], "always": [], "by the estimate": [], "moved": []}
        for seed in range(24):
            rng = np.random.default_rng(seed)
            X, y = gaussians(rng, 0.5, 200)
            still, moved = gaussians(rng, 0.5, 50)[0], gaussians(rng, 0.9, 50)[0]
            # One kind of calibration, so that they differ in the test alone.
            prior = MLLS("bcts", n_bootstrap=0)
            for name, X_target in (("gated", still), ("always", still), ("moved", moved)):
                with warnings.catch_warnings():
                    for category in (PoorIdentificationWarning, LabelShiftRejectedWarning):
                        warnings.simplefilter("ignore", category)
                    model = LabelShiftClassifier(
                        LogisticRegression(),
                        prior,
                        cv=2,
                        random_state=seed,
                        on_reject="correct" if name == "always" else "uncorrected",
                    )
                    model.fit(X, y, X_target)
                # A threshold t on the raw score cuts x where logit t = intercept + slope x.
                slope, intercept = model.estimator_.coef_[0, 0], model.estimator_.intercept_[0]
                share = 0.9 if name == "moved" else 0.5
                thresholds = [0.5, model.adjusted_threshold(), model.prior_.adjusted_threshold()]
                before, after, by_the_estimate = (
                    share * norm.sf(cut - 1) + (1 - share) * norm.cdf(cut + 1)
                    for cut in (logit(thresholds) - intercept) / slope
                )
                gains[name].append(100 * (after - before))
                if name == "always":
                    gains["by the estimate"].append(100 * (by_the_estimate - before))
        means = {name: np.mean(gain) for name, gain in gains.items()}
        assert means["gated"] > -0.3
        assert means["by the estimate"] < -0.3
        assert means["by the estimate"] < means["always"] < means["gated"]
        assert means["moved"] > 4
