"""Whether a moved prior is corrected: by the fit of label shift, what the user knows, and what is wanted."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import logit
from scipy.stats import norm
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from shiftfix.corrected import LabelShiftClassifier
from shiftfix.corrected._gate import act_on
from shiftfix.detect._label_gate import features_of
from shiftfix.exceptions import LabelShiftRejectedWarning, NotIdentifiedError, ShiftDataError
from shiftfix.label import MLLS, LabelShiftFit, label_shift_fit

REJECTED = LabelShiftFit(0.3, 0.05, 5.0, 0.03, 0.1, 0.001, 0.4, True, False, "something else moved")
PASSED = REJECTED._replace(passes=True, reason="nothing is better")


def draw(rng, share, n, move=0.0):
    """Classes N(-1, 1) and N(1, 1) in one column; another that they do not explain."""
    y = (rng.random(n) < share).astype(int)
    return np.column_stack([rng.normal(2 * y - 1, 1), rng.normal(move, 1, n)]), y


class TestActing:
    @pytest.mark.parametrize("on_reject", ["uncorrected", "correct", "error"])
    @pytest.mark.parametrize("causes", [None, "label"])
    def test_a_fit_that_passes_is_corrected(self, on_reject, causes):
        corrected, verdict = act_on(PASSED, on_reject, causes)
        assert (corrected, verdict, verdict.reasons) == (True, "ok", ())
        corrected, verdict = act_on(PASSED._replace(uses_features=False), on_reject, causes)
        assert (corrected, verdict) == (True, "caution")
        assert "only the scores were compared" in verdict.reasons[0]

    @pytest.mark.parametrize(
        ("on_reject", "causes", "corrected"),
        [
            ("uncorrected", None, False),
            ("correct", None, True),
            ("uncorrected", "label", True),
            ("correct", "label", True),
            ("error", "label", True),
        ],
    )
    def test_one_that_does_not_warns(self, on_reject, causes, corrected):
        with pytest.warns(
            LabelShiftRejectedWarning, match="Label shift is not what moved: something else moved"
        ) as told:
            found, verdict = act_on(REJECTED, on_reject, causes)
        assert len(told) == 1
        assert (found, verdict) == (corrected, "caution" if corrected else "abstain")
        assert verdict.reasons == ("something else moved",)
        assert "Label 50 target rows" in verdict.action
        assert ("corrected all the same" if corrected else "left uncorrected") in str(told[0].message)

    def test_or_raises(self):
        with pytest.raises(NotIdentifiedError, match=r'something else moved\. Label 50 target rows.*causes="label"'):
            act_on(REJECTED, "error", None)


@pytest.mark.slow
class TestFits:
    def test_label_shift_is_corrected_and_says_what_it_found(self, rng):
        (X, y), (X_target, y_target) = draw(rng, 0.5, 1200), draw(rng, 0.85, 800)
        model = LabelShiftClassifier(LogisticRegression(), random_state=0).fit(X, y, X_target)
        assert (model.corrected_, model.verdict_) == (True, "ok")
        assert model.label_shift_fit_.passes
        assert model.label_shift_fit_.uses_features
        assert model.target_prior_[1] == pytest.approx(0.85, abs=0.04)
        assert_allclose(logit(model.interval()), logit(model.prior_.interval()) + np.array([-0.05, 0.05]))
        assert model.score(X_target, y_target) > model.estimator_.score(X_target, y_target) + 0.03

    def test_something_else_is_left_alone(self, rng):
        (X, y), (X_target, _) = draw(rng, 0.5, 1200), draw(rng, 0.85, 800, move=1)
        model = LabelShiftClassifier(LogisticRegression(), random_state=0)
        with pytest.warns(LabelShiftRejectedWarning, match="left uncorrected") as told:
            model.fit(X, y, X_target)
        assert len(told) == 1
        assert (model.corrected_, model.verdict_) == (False, "abstain")
        assert_allclose(model.target_prior_, model.source_prior_)
        assert (model.predict(X) == LogisticRegression().fit(X, y).predict(X)).all()
        for settings in ({"on_reject": "correct"}, {"causes": "label"}):
            with pytest.warns(LabelShiftRejectedWarning, match="corrected all the same"):
                all_the_same = LabelShiftClassifier(LogisticRegression(), random_state=0, **settings).fit(
                    X, y, X_target
                )
            assert (all_the_same.corrected_, all_the_same.verdict_) == (True, "caution")
            assert all_the_same.target_prior_[1] == pytest.approx(0.85, abs=0.06)
        with pytest.raises(NotIdentifiedError, match="Label shift is not what moved"):
            model.set_params(on_reject="error").fit(X, y, X_target)
        assert model.verdict_ == "abstain"  # as it was

    def test_ids_left_in_are_no_label_shift(self, rng):
        """Row numbers from 1,000 on in one file and from 5,000 on in the other: the classifier reads them."""
        (X, y), (X_target, _) = draw(rng, 0.5, 400), draw(rng, 0.6, 300)
        X = np.column_stack([X, 1000 + np.arange(400)])
        X_target = np.column_stack([X_target, 5000 + np.arange(300)])
        model = LabelShiftClassifier(GaussianNB(), random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, y, X_target)
        assert not model.corrected_
        assert model.label_shift_fit_ is None or not model.label_shift_fit_.passes
        assert_allclose(model.target_prior_, model.source_prior_)

    def test_given_scores_alone_are_compared_alone(self, rng):
        (X, y), (X_target, _) = draw(rng, 0.5, 800), draw(rng, 0.85, 800, move=1)
        trained = LogisticRegression().fit(*draw(rng, 0.5, 800))
        scores = {"scores_source": trained.predict_proba(X), "scores_target": trained.predict_proba(X_target)}
        model = LabelShiftClassifier(LogisticRegression(), random_state=0).fit(X, y, **scores)
        assert (model.corrected_, model.verdict_) == (True, "caution")
        assert "only the scores were compared" in model.verdict_.reasons[0]
        with pytest.warns(LabelShiftRejectedWarning):
            seen = LabelShiftClassifier(LogisticRegression(), random_state=0).fit(X, y, X_target, **scores)
        assert not seen.corrected_
        by_hand = label_shift_fit(scores["scores_source"], y, scores["scores_target"], X, X_target)
        assert_allclose(seen.label_shift_fit_[:6], by_hand[:6], rtol=1e-6)

    def test_texts_are_compared_by_their_scores(self, rng):
        words = {"spam": ["buy", "now", "free"], "ham": ["meet", "lunch", "report"]}

        def texts(prior, n):
            y = np.where(rng.random(n) < prior, "spam", "ham")
            return [
                " ".join([*rng.choice(words[label], 2), *rng.choice(["the", "a", "buy", "meet"], 3)]) for label in y
            ], y

        X, y = texts(0.5, 400)
        model = LabelShiftClassifier(make_pipeline(CountVectorizer(), LogisticRegression()), random_state=0)
        model.fit(X, y, texts(0.9, 400)[0])
        assert not model.label_shift_fit_.uses_features
        assert (model.corrected_, model.verdict_) == (True, "caution")
        assert "the rows make no numbers" in model.verdict_.reasons[0]


def test_features_of_tables(rng):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"ward": ["day", "night", "day", "day"], "age": [1.0, np.nan, 3.0, 4.0]})
    found = features_of(frame, frame.iloc[:2])
    assert found.shape[0] == 6
    assert np.isfinite(found).all()
    assert_allclose(found[:2], found[4:])
    assert found.shape[1] >= 2
    assert len(np.unique(found[[0, 1]], axis=0)) == 2
    images = rng.normal(size=(5, 4, 3))
    assert_allclose(features_of(images, images[:2]), np.vstack([images, images[:2]]).reshape(7, 12))
    assert features_of(sparse.csr_array(np.eye(30)), sparse.csr_array(np.eye(30))).shape == (60, 29)
    assert features_of(["a text"], ["another text"]) is None


@pytest.mark.slow
class TestThreeWorlds:
    def test_where_the_fit_is_rejected_the_interval_reaches_over_all_of_them(self, rng):
        (X, y), (X_target, _) = draw(rng, 0.5, 1000), draw(rng, 0.85, 600, move=1)
        model = LabelShiftClassifier(LogisticRegression(), random_state=0)
        with pytest.warns(LabelShiftRejectedWarning):
            model.fit(X, y, X_target)
        found, estimated = model.interval(0.9), model.prior_.interval(0.9)
        # Nothing moved for y: p by counts of 1,000 rows.
        share = (np.bincount(y) + 0.5) / 1001
        half = norm.ppf(0.95) * np.sqrt(share * (1 - share) / 1000)
        assert (found[:, 0] <= share - half + 1e-12).all()
        assert (found[:, 1] >= share + half - 1e-12).all()
        assert (found[:, 0] <= estimated[:, 0]).all()
        assert (found[:, 1] >= estimated[:, 1]).all()
        # p(y given x) stayed: the mean calibrated score, between the other two.
        mean = model.predict_proba(X_target).mean(axis=0)
        assert ((found[:, 0] < mean) & (mean < found[:, 1])).all()
        assert_allclose(found[0], 1 - found[1][::-1], atol=0.02)
        # Both ends of what the three worlds ask for, moved outwards by half a unit of log odds and no further.
        assert logit(found[1, 0]) == pytest.approx(logit((share - half)[1]) - 0.5, abs=1e-9)
        assert logit(found[1, 1]) == pytest.approx(logit(estimated[1, 1]) + 0.5, abs=1e-9)
        assert (np.diff(model.interval(0.99)) > np.diff(found)).all()
        with pytest.raises(ShiftDataError, match="level"):
            model.interval(1.0)

    def test_where_nothing_was_found_to_have_moved_it_reaches_beyond_the_estimate_s(self, rng):
        """p(y given x) may have moved all the same, by half a unit of log odds."""
        X, y = draw(rng, 0.5, 600)
        model = LabelShiftClassifier(LogisticRegression(), random_state=0).fit(X, y, X)
        assert (model.corrected_, model.label_shift_fit_) == (False, None)
        assert_allclose(logit(model.interval()), logit(model.prior_.interval()) + np.array([-0.5, 0.5]))


@pytest.mark.slow
def test_a_temperature_changes_no_prediction_and_lowers_the_loss_where_nothing_is_corrected(rng):
    """Naive Bayes given each column four times is four times too sure."""
    (X, y), (X_target, _), (fresh, truth) = draw(rng, 0.5, 800), draw(rng, 0.5, 300), draw(rng, 0.5, 2000)
    X, X_target, fresh = (np.tile(part, 4) for part in (X, X_target, fresh))
    model = LabelShiftClassifier(GaussianNB(), random_state=0).fit(X, y, X_target)
    raw = LabelShiftClassifier(GaussianNB(), calibrate=None, random_state=0).fit(X, y, X_target)
    assert not model.corrected_
    assert raw.calibrator_ is None
    assert_allclose(raw.predict_proba(fresh), GaussianNB().fit(X, y).predict_proba(fresh))
    assert (model.predict(fresh) == raw.predict(fresh)).all()
    assert log_loss(truth, model.predict_proba(fresh)) < log_loss(truth, raw.predict_proba(fresh)) - 0.1
    assert model.calibrator_.scale_[0] == pytest.approx(0.25, abs=0.08)
    for threshold in (0.2, 0.5, 0.9):
        by_raw = raw.predict_proba(fresh)[:, 1] > model.adjusted_threshold(threshold)
        assert np.array_equal(by_raw, model.predict_proba(fresh)[:, 1] > threshold)


@pytest.mark.parametrize("setting", ["on_reject", "causes", "calibrate"])
def test_settings_are_checked(setting, rng):
    X, y = draw(rng, 0.5, 50)
    with pytest.raises(ShiftDataError, match=setting):
        LabelShiftClassifier(LogisticRegression(), **{setting: "features"}).fit(X, y, X)


@pytest.mark.slow
def test_nothing_that_moved_is_a_result_and_no_warning(rng):
    """A prior estimator that asks for no shift itself: the gate says that there is none, with the verdict "ok"."""
    y, y_target = rng.integers(0, 2, 300), rng.integers(0, 2, 200)
    X, X_target = (rng.normal(2 * k - 1)[:, np.newaxis] for k in (y, y_target))
    model = LabelShiftClassifier(LogisticRegression(), MLLS(n_bootstrap=0), random_state=0).fit(X, y, X_target)
    assert not model.corrected_
    assert model.verdict_ == "ok"
    assert model.verdict_.reasons[0].startswith("no shift was detected")


@pytest.mark.slow
def test_a_score_of_zero_does_not_decide_the_temperature(rng):
    """A tree ensemble of few votes says 0 and 1; its other scores stay told apart."""
    X = rng.normal(size=(600, 3))
    y = (X[:, 0] + rng.normal(0, 0.3, 600) > 0).astype(int)
    forest = RandomForestClassifier(30, min_samples_leaf=5, random_state=0)
    model = LabelShiftClassifier(forest, random_state=0).fit(X, y, X[::2])
    scores = np.array([[0.7, 0.3], [0.9, 0.1]])
    assert np.ptp(model.adjust_proba(scores)[:, 0]) > 0.1
