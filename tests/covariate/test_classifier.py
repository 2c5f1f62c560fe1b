"""The classifier weighter against exact ratios, and what cross-fitting, size factor and calibration are worth."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import expit, logit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from shiftfix._crossfit import assign_folds
from shiftfix.corrected import CovariateShiftRegressor
from shiftfix.covariate import ClassifierWeighter
from shiftfix.covariate._odds import decision_is_log_odds, fit_sigmoid, proba_to_log_odds
from shiftfix.exceptions import PoorOverlapWarning, ShiftDataError, UncalibratedRatioWarning
from tests.strategies import two_samples

SMALL_SAMPLES = pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")
CATEGORIES = np.eye(3)


def three_levels(n_target):
    """Shares (.5, .3, .2) and (.1, .3, .6), exactly: w = (.2, 1, 3)."""
    source = np.repeat(CATEGORIES, [500, 300, 200], axis=0)
    return source, np.repeat(CATEGORIES, np.rint(np.array([0.1, 0.3, 0.6]) * n_target).astype(int), axis=0)


def gaussians(seed=0, n_source=1000, n_target=1000, d=5, shift=1.0):
    rng = np.random.default_rng(seed)
    X_source, X_target = rng.normal(size=(n_source, d)), rng.normal(size=(n_target, d))
    X_target[:, 0] += shift
    return X_source, X_target


def truth(X, shift=1.0):
    return shift * X[:, 0] - shift**2 / 2


EXACT = {
    "tree": DecisionTreeClassifier(random_state=0),
    "boosting": HistGradientBoostingClassifier(
        min_samples_leaf=1, early_stopping=False, max_iter=60, learning_rate=0.3
    ),
    "logistic": LogisticRegression(C=1e8, max_iter=1000, tol=1e-10),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression(C=1e8, max_iter=1000, tol=1e-10)),
}


@pytest.mark.slow
@pytest.mark.parametrize("n_target", [100, 1000, 10000])
@pytest.mark.parametrize("classifier", EXACT.values(), ids=EXACT.keys())
def test_saturated_classifiers_give_the_exact_ratios_at_every_size(classifier, n_target):
    """In-sample shares are exact; a forgotten size factor misses by 10 at the ends, one undone twice too."""
    source, target = three_levels(n_target)
    weighter = ClassifierWeighter(classifier, cv=None, clip=None, random_state=0).fit(source, target)
    assert_allclose(weighter.transform(CATEGORIES), [0.2, 1, 3], rtol=2e-3)
    assert_allclose(np.exp(weighter.log_ratio(CATEGORIES)), [0.2, 1, 3], rtol=2e-3)
    assert weighter.summary_.raw_mean == pytest.approx(1, abs=2e-3)
    clipped = ClassifierWeighter(classifier, cv=None, clip=2, normalize=None, random_state=0).fit(source, target)
    assert_allclose(clipped.transform(CATEGORIES), [0.2, 1, 2], rtol=2e-3)


@pytest.mark.parametrize("n_target", [100, 1000, 10000])
def test_cross_fitted_shares_are_near_the_exact_ratios(n_target):
    """The rarest group has 10 target rows: folds of 2 of them move its share by about a fifth."""
    source, target = three_levels(n_target)
    weighter = ClassifierWeighter(DecisionTreeClassifier(), clip=None, random_state=0).fit(source, target)
    assert weighter.cross_fitted_
    assert len(weighter.classifiers_) == 5
    assert_allclose(weighter.transform(CATEGORIES), [0.2, 1, 3], rtol=0.1)
    by_level = [weighter.source_weights_[source[:, k] == 1].mean() for k in range(3)]
    assert_allclose(by_level, [0.2, 1, 3], rtol=0.1)
    assert weighter.summary_.raw_mean == pytest.approx(1, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("n_source", "n_target"), [(3000, 300), (300, 3000)])
def test_sizes_do_not_scale_the_ratio(n_source, n_target):
    """Level of log w within .35; a forgotten factor is off by log 10 = 2.3."""
    X_source, X_target = gaussians(0, n_source, n_target, d=2, shift=0.7)
    classifier = HistGradientBoostingClassifier(max_iter=30, max_depth=2, learning_rate=0.1)
    weighter = ClassifierWeighter(classifier, clip=None, random_state=0).fit(X_source, X_target)
    assert np.mean(weighter.log_ratio(X_source) - truth(X_source, 0.7)) == pytest.approx(0, abs=0.35)
    assert weighter.summary_.raw_mean == pytest.approx(1, abs=0.3)


@pytest.mark.slow
@SMALL_SAMPLES
@pytest.mark.parametrize("seed", range(3))
def test_in_sample_forests_collapse_and_cross_fitted_ones_do_not(seed):
    """METHODS 1.1: in-sample raw mean .50 of 1, out of fold 1.07; n = 300 each, d = 5."""
    X_source, X_target = gaussians(seed, 300, 300)
    forest = RandomForestClassifier(50, min_samples_leaf=5)
    with pytest.warns(UncalibratedRatioWarning, match=r"average 0\.[2-6].*pass cv=5"):
        inside = ClassifierWeighter(forest, cv=None, clip=None, random_state=0).fit(X_source, X_target)
    assert inside.summary_.verdict != "ok"
    with warnings.catch_warnings():
        warnings.simplefilter("error", UncalibratedRatioWarning)
        outside = ClassifierWeighter(forest, clip=None, random_state=0).fit(X_source, X_target)
    assert outside.summary_.raw_mean == pytest.approx(1, abs=0.3)
    found = np.log(outside.source_weights_)
    assert np.corrcoef(found, truth(X_source))[0, 1] > 0.65
    assert outside.summary_.domain_auc < inside.summary_.domain_auc - 0.1


@pytest.mark.slow
@SMALL_SAMPLES
def test_out_of_fold_weights_do_not_see_their_own_row():
    """No shift at all: out of fold the AUC is .5 (over 20 seeds .45 to .56), in-sample a tree tells every row."""
    X_source, X_target = gaussians(0, 400, 400, d=3, shift=0.0)
    neighbours = KNeighborsClassifier(15)
    weighter = ClassifierWeighter(neighbours, random_state=0).fit(X_source, X_target)
    assert weighter.summary_.domain_auc == pytest.approx(0.5, abs=0.1)
    with pytest.warns(UncalibratedRatioWarning):
        inside = ClassifierWeighter(DecisionTreeClassifier(), cv=None, random_state=0).fit(X_source, X_target)
    assert inside.summary_.domain_auc == pytest.approx(1)


@pytest.mark.slow
@SMALL_SAMPLES
def test_fold_by_fold_by_hand():
    """Each fold's rows from the model of the others, with that model's own sizes; new rows from the average."""
    X_source, X_target = gaussians(0, 60, 41, d=2)
    splitter = StratifiedKFold(3, shuffle=True, random_state=1)
    weighter = ClassifierWeighter(GaussianNB(), cv=splitter, clip=None, normalize=None).fit(X_source, X_target)
    X, domain = np.vstack([X_source, X_target]), np.repeat([-1, 1], [60, 41])
    expected, models = np.empty(101), []
    for train, test in splitter.split(X, domain):
        models.append(
            (GaussianNB().fit(X[train], domain[train]), np.log((domain[train] < 0).sum() / (domain[train] > 0).sum()))
        )
        expected[test] = logit(models[-1][0].predict_proba(X[test])[:, 1]) + models[-1][1]
    assert_allclose(weighter.source_weights_, np.exp(expected[:60]), rtol=1e-9)
    new = np.array([[0.3, -0.2], [1.0, 1.0]])
    average = np.mean([logit(model.predict_proba(new)[:, 1]) + factor for model, factor in models], axis=0)
    assert_allclose(weighter.log_ratio(new), average, rtol=1e-9)
    assert_allclose(weighter.fit_transform(X_source, X_target), weighter.source_weights_)
    assert not np.allclose(weighter.transform(X_source), weighter.source_weights_)


@pytest.mark.slow
@SMALL_SAMPLES
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.UncalibratedRatioWarning")
def test_auto_cross_fits_all_but_linear_models():
    X_source, X_target = gaussians(0, 100, 100, d=2)
    linear = [
        None,
        LogisticRegression(),
        LinearDiscriminantAnalysis(),
        make_pipeline(PolynomialFeatures(2), LogisticRegression(max_iter=1000)),
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}),
    ]
    flexible = [
        GaussianNB(),
        make_pipeline(StandardScaler(), KNeighborsClassifier(20)),
        DecisionTreeClassifier(max_depth=2),
    ]
    assert [ClassifierWeighter(c).fit(X_source, X_target).cross_fitted_ for c in linear] == [False] * 5
    assert [ClassifierWeighter(c, random_state=0).fit(X_source, X_target).cross_fitted_ for c in flexible] == [True] * 3
    assert ClassifierWeighter(calibration="sigmoid").fit(X_source, X_target).cross_fitted_
    assert len(ClassifierWeighter(cv=3).fit(X_source, X_target).classifiers_) == 3


def test_rounded_probabilities_keep_their_log_odds():
    """Logistic regression 30 standard deviations out: p rounds to 1, and its log odds do not."""
    X_source, X_target = gaussians(0, 500, 500, d=1)
    weighter = ClassifierWeighter(clip=None).fit(X_source, X_target)
    far = np.array([[100.0], [-1000.0]])
    model = weighter.classifiers_[0]
    assert model.predict_proba(far)[0, 1] == 1
    assert_allclose(weighter.log_ratio(far)[0], model.coef_[0, 0] * 100 + model.intercept_[0], rtol=1e-12)
    assert weighter.log_ratio(far)[1] == -500  # the bound of every log ratio


@pytest.mark.parametrize("p", [0.0, 1e-20, 1e-9, 0.3, 1 - 1e-9, 1.0])
def test_probabilities_are_bounded_by_half_a_row(p):
    odds = proba_to_log_odds(np.array([[1 - p, p]]), 100)[0]
    assert odds == pytest.approx(np.clip(logit(p), *np.log([0.5 / 100, 2 * 100])), abs=6e-3)
    assert odds == pytest.approx(-proba_to_log_odds(np.array([[p, 1 - p]]), 100)[0])


@pytest.mark.slow
def test_decision_values_are_checked_against_probabilities():
    h = np.array([-2.0, 0.5, 40.0])
    proba = np.column_stack([expit(-h), expit(h)])
    assert decision_is_log_odds(h, proba)
    assert not decision_is_log_odds(2 * h, proba)
    assert not decision_is_log_odds(np.column_stack([h, h]), proba)
    X_source, X_target = gaussians(0, 300, 300, d=2)
    boosted = AdaBoostClassifier(random_state=0)
    weighter = ClassifierWeighter(boosted, cv=None).fit(X_source, X_target)
    p = weighter.classifiers_[0].predict_proba(X_source)[:, 1]
    assert_allclose(weighter.log_ratio(X_source), logit(p), atol=1e-9)


@pytest.mark.slow
def test_sigmoid_recovers_scaled_log_odds(rng):
    """Scores 3 h + 1 of true log odds h come back: slope 1/3, intercept -1/3, within 4 standard errors (.03)."""
    h = rng.normal(0, 2, 20000)
    domain = np.where(rng.uniform(size=20000) < expit(h), 1, -1)
    slope, intercept = fit_sigmoid(3 * h + 1, domain, np.ones(20000))
    assert slope == pytest.approx(1 / 3, abs=0.03)
    assert intercept == pytest.approx(-1 / 3, abs=0.1)
    counts = rng.integers(1, 3, 20000)
    assert_allclose(
        fit_sigmoid(h, domain, counts.astype(float)),
        fit_sigmoid(np.repeat(h, counts), np.repeat(domain, counts), np.ones(counts.sum())),
        atol=1e-6,
    )


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(4000, 4000), (6000, 600)])
@pytest.mark.parametrize("classifier", [LinearSVC(), RidgeClassifier(), GaussianNB()], ids=["svm", "ridge", "bayes"])
def test_calibrated_scores_are_log_odds(classifier, sizes):
    X_source, X_target = gaussians(3, *sizes, d=3)
    weighter = ClassifierWeighter(classifier, calibration="sigmoid", clip=None, random_state=0).fit(X_source, X_target)
    slope, level = np.polyfit(truth(X_source), weighter.log_ratio(X_source), 1)
    assert slope == pytest.approx(1, abs=0.2)
    assert level == pytest.approx(0, abs=0.25)
    assert weighter.summary_.raw_mean == pytest.approx(1, abs=0.25)


@pytest.mark.slow
@SMALL_SAMPLES  # the raw weights of the tree rightly draw the verdict "abstain" too
def test_calibration_mends_an_overconfident_forest():
    """Extra trees grown to purity on bootstrap-free samples: probabilities are extreme, the sigmoid shrinks them."""
    X_source, X_target = gaussians(0, 1500, 1500, d=3)
    tree = DecisionTreeClassifier(min_samples_leaf=10)
    with pytest.warns(UncalibratedRatioWarning, match=r"pass calibration=.sigmoid."):
        raw = ClassifierWeighter(tree, clip=None, random_state=0).fit(X_source, X_target)
    mended = ClassifierWeighter(tree, calibration="sigmoid", clip=None, random_state=0).fit(X_source, X_target)
    assert 0 < mended.calibration_[0] < 0.8
    assert abs(mended.summary_.raw_mean - 1) < 0.15 < abs(raw.summary_.raw_mean - 1)
    error = [np.mean((w.source_weights_ - np.exp(truth(X_source))) ** 2) for w in (mended, raw)]
    assert error[0] < 0.7 * error[1]


@pytest.mark.slow
@SMALL_SAMPLES
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.UncalibratedRatioWarning")
@given(samples=two_samples())
def test_swapping_the_samples_inverts_cross_fitted_ratios(samples):
    forth = ClassifierWeighter(GaussianNB(), cv=2, random_state=0).fit(*samples)
    back = ClassifierWeighter(GaussianNB(), cv=2, random_state=0).fit(*samples[::-1])
    assert_allclose(forth.log_ratio(samples[0]), -back.log_ratio(samples[0]), atol=1e-6)


@pytest.mark.slow
@SMALL_SAMPLES
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.UncalibratedRatioWarning")
@given(samples=two_samples(), seed=st.integers(0, 1000))
def test_row_order_does_not_matter_and_rows_keep_their_weights(samples, seed):
    X_source, X_target = samples
    order = np.random.default_rng(seed).permutation(len(X_source))
    weighter = ClassifierWeighter(GaussianNB(), cv=2, random_state=seed)
    w = weighter.fit_transform(X_source, X_target)
    assert_allclose(weighter.fit_transform(X_source[order], X_target[::-1]), w[order], rtol=1e-6)
    assert w.mean() == pytest.approx(1)


@pytest.mark.slow
@given(sizes=st.lists(st.integers(6, 40), min_size=2, max_size=2), n_folds=st.integers(2, 6), seed=st.integers(0, 99))
def test_folds_are_even(sizes, n_folds, seed):
    rng = np.random.default_rng(seed)
    samples = [rng.normal(size=(n, 2)) for n in sizes]
    for fold, size in zip(assign_folds(samples, n_folds, seed), sizes, strict=True):
        found = np.bincount(fold, minlength=n_folds)
        assert found.sum() == size
        assert np.ptp(found) <= 1


class RowsTogether(KFold):
    """Two folds by the third decimal of the first feature, so that copies of a row stay together."""

    def split(self, X, y=None, groups=None):
        side = np.floor(1000 * np.asarray(X)[:, 0]) % 2 > 0
        yield np.flatnonzero(~side), np.flatnonzero(side)
        yield np.flatnonzero(side), np.flatnonzero(~side)


@pytest.mark.parametrize("calibration", [None, "sigmoid"])
@pytest.mark.parametrize("cv", [None, RowsTogether(2)], ids=["in-sample", "folds"])
def test_repeat_counts_equal_repeated_rows(rng, cv, calibration):
    if cv is None and calibration:
        pytest.skip("refused")
    X_source, X_target = gaussians(0, 200, 150, d=2)
    counts = rng.integers(0, 4, 200)
    settings = {"cv": cv, "calibration": calibration, "clip": None}
    by_counts = ClassifierWeighter(GaussianNB(), **settings)
    w = by_counts.fit_transform(X_source, X_target, sample_weight_source=counts)
    repeated = ClassifierWeighter(GaussianNB(), **settings)
    w_repeated = repeated.fit_transform(np.repeat(X_source, counts, axis=0), X_target)
    assert_allclose(np.repeat(w, counts), w_repeated, rtol=1e-5)
    assert by_counts.summary_.effective_size == pytest.approx(repeated.summary_.effective_size)
    assert len(w) == 200
    assert_allclose(w[counts == 0], by_counts.transform(X_source[counts == 0]))
    assert by_counts.n_source_ == counts.sum()


@pytest.mark.slow
def test_the_corrected_learner_gets_out_of_fold_weights(rng):
    X_source, X_target = gaussians(0, 300, 300, d=2)
    weighter = ClassifierWeighter(GaussianNB(), random_state=0)
    model = CovariateShiftRegressor(Ridge(), weighter, exponent=1.0).fit(X_source, X_source[:, 0], X_target)
    assert_allclose(model.weights_, weighter.fit_transform(X_source, X_target))


@pytest.mark.slow
def test_unset_seeds_are_drawn_from_ours():
    X_source, X_target = gaussians(0, 100, 100, d=2)
    classifier = make_pipeline(StandardScaler(), ExtraTreesClassifier(5, min_samples_leaf=10))
    first, again, other = (
        ClassifierWeighter(classifier, random_state=seed).fit(X_source, X_target).source_weights_ for seed in (1, 1, 2)
    )
    assert_allclose(first, again)
    assert not np.allclose(first, other)


@pytest.mark.slow
def test_sparse_rows_are_those_of_the_array(rng):
    X_source, X_target = gaussians(0, 200, 150, d=4)
    X_source[X_source < 0.5], X_target[X_target < 0.5] = 0, 0
    settings = {"cv": 3, "random_state": 0}
    dense = ClassifierWeighter(LogisticRegression(), **settings).fit(X_source, X_target)
    sparse_ = ClassifierWeighter(LogisticRegression(), **settings)
    sparse_.fit(sparse.csr_array(X_source), sparse.csr_array(X_target))
    assert_allclose(sparse_.source_weights_, dense.source_weights_, rtol=1e-6)
    assert_allclose(sparse_.transform(sparse.csr_array(X_source)), dense.transform(X_source), rtol=1e-6)
    assert sparse_.summary_.target_outside_share == pytest.approx(dense.summary_.target_outside_share)


@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.UncalibratedRatioWarning")
def test_separated_samples_stay_finite_and_warn():
    X_source, X_target = np.linspace(0, 1, 60)[:, None], np.linspace(2, 3, 60)[:, None]
    with pytest.warns(PoorOverlapWarning):
        weighter = ClassifierWeighter(DecisionTreeClassifier(), clip=None, random_state=0).fit(X_source, X_target)
    assert_allclose(weighter.log_ratio([[0.5], [2.5]]), [-np.log(192), np.log(192)])  # 96 rows seen per fold
    assert np.isfinite(weighter.source_weights_).all()


X, X_TARGET = gaussians(0, 60, 40, d=2)


def weigh(classifier=None, weight=None, **settings):
    return ClassifierWeighter(classifier, **settings).fit(X, X_TARGET, sample_weight_source=weight)


ERRORS = {
    "isotonic": (lambda: weigh(calibration="isotonic"), "weights of 0 and infinity"),
    "isotonic inside": (
        lambda: weigh(make_pipeline(StandardScaler(), CalibratedClassifierCV(GaussianNB(), method="isotonic"))),
        "weights of 0 and infinity",
    ),
    "calibration unknown": (lambda: weigh(calibration="beta"), "calibration='beta'"),
    "calibration in-sample": (lambda: weigh(calibration="sigmoid", cv=None), "rows the classifier knows"),
    "balanced": (lambda: weigh(LogisticRegression(class_weight="balanced")), "applied twice"),
    "balanced in a pipeline": (
        lambda: weigh(make_pipeline(StandardScaler(), RandomForestClassifier(class_weight="balanced_subsample"))),
        "class_weight='balanced_subsample'.*applied twice",
    ),
    "priors": (lambda: weigh(GaussianNB(priors=[0.5, 0.5])), r"priors=\[0.5, 0.5\]"),
    "uniform prior": (lambda: weigh(BernoulliNB(fit_prior=False)), "fit_prior=False"),
    "no weights": (lambda: weigh(KNeighborsClassifier(), np.arange(60)), "KNeighborsClassifier takes no sample_weight"),
    "decision only": (lambda: weigh(LinearSVC()), 'pass calibration="sigmoid"'),
    "neither": (lambda: weigh(Ridge()), "neither predict_proba nor decision_function"),
    "cv word": (lambda: weigh(cv="five"), "cv='five'"),
    "one fold": (lambda: weigh(cv=1), "cv=1: a whole number >= 2"),
    "too many folds": (lambda: weigh(cv=41), "41 folds.*smaller one has 40"),
    "splitter in order": (lambda: weigh(cv=KFold(2)), "stratify the folds"),
    "seed": (lambda: weigh(random_state="a"), "random_state='a'"),
}


@pytest.mark.parametrize(("call", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_to_do(call, message):
    with pytest.raises(ShiftDataError, match=message):
        call()
