"""The logistic weighter against closed forms, brute force and its own score equations."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import expit
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, StandardScaler

from shiftfix.covariate import LogisticWeighter
from shiftfix.covariate._logistic import domain_log_loss, held_out_losses
from shiftfix.exceptions import PoorOverlapWarning, ShiftDataError
from shiftfix.simulate import gaussian_covariate_shift
from shiftfix.weights import balance_table
from tests import oracles
from tests.strategies import counts, two_samples

SMALL_SAMPLES = pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")


@pytest.mark.parametrize("seed", range(5))
def test_two_gaussians_have_their_exact_log_odds(seed):
    """N(0, 1) -> N(1, 1), 15,000 and 5,000 rows: slope 1, intercept log(1/3) - 1/2 = -1.598612.

    Standard errors .0195 and .0153; allowed are 4 of them. Forgotten sizes miss the intercept by log 3.
    """
    rng = np.random.default_rng(seed)
    weighter = LogisticWeighter().fit(rng.normal(0, 1, (15000, 1)), rng.normal(1, 1, (5000, 1)))
    assert weighter.coef_[0] == pytest.approx(1, abs=4 * 0.0195)
    assert weighter.intercept_ == pytest.approx(-1.598612, abs=4 * 0.0153)
    x = np.array([[-1.0], [0.5], [2.0]])
    assert_allclose(weighter.log_ratio(x), x[:, 0] - 0.5, atol=4 * 0.05)
    # ESS / n = exp(-1) in the limit; the heavy right tail moves it by .03 between samples.
    assert weighter.summary_.effective_size / 15000 == pytest.approx(0.367879, abs=0.1)


@pytest.mark.parametrize(("mu", "n_source", "n_target"), [(0.5, 12000, 12000), (-0.8, 3000, 15000), (1.2, 9000, 900)])
def test_gaussian_slope_and_intercept_at_other_parameters(mu, n_source, n_target):
    """h = mu x - mu^2 / 2 + log(n_t / n_s); 6 standard errors of about 1 / sqrt(min n) are allowed."""
    rng = np.random.default_rng(1)
    weighter = LogisticWeighter().fit(rng.normal(0, 1, (n_source, 1)), rng.normal(mu, 1, (n_target, 1)))
    allowed = 6 / np.sqrt(min(n_source, n_target))
    assert weighter.coef_[0] == pytest.approx(mu, abs=allowed)
    assert weighter.intercept_ == pytest.approx(np.log(n_target / n_source) - mu**2 / 2, abs=allowed)


@pytest.mark.parametrize("n_target", [100, 500, 5000])
def test_one_hot_features_give_the_exact_ratios(n_target):
    """Shares (.5, .3, .2) and (.1, .3, .6), unpenalised: w = (.2, 1, 3) whatever the sizes."""
    categories = np.eye(3)
    source = np.repeat(categories, [500, 300, 200], axis=0)
    target = np.repeat(categories, np.rint(np.array([0.1, 0.3, 0.6]) * n_target).astype(int), axis=0)
    weighter = LogisticWeighter(C=np.inf, clip=None).fit(source, target)
    assert_allclose(weighter.transform(categories), [0.2, 1, 3], rtol=1e-5)
    assert weighter.summary_.effective_size / 1000 == pytest.approx(0.471698, abs=1e-5)
    assert weighter.summary_.raw_mean == pytest.approx(1, abs=1e-5)
    # KL(T || S) and KL(S || T) differ on purpose: a ratio the wrong way round swaps them, and changes their signs.
    assert weighter.log_ratio(target).mean() == pytest.approx(0.498224, abs=1e-5)
    assert -weighter.log_ratio(source).mean() == pytest.approx(0.584996, abs=1e-5)
    w = np.exp(weighter.log_ratio(categories))
    assert_allclose(w / (0.5 * w + 0.5), [1 / 3, 1, 1.5], rtol=1e-5)


@pytest.mark.parametrize("n_target", [100, 1000, 10000])
def test_the_clip_acts_on_the_ratio_not_on_the_odds(n_target):
    """min(w, 2) of (.2, 1, 3) is (.2, 1, 2), mean .8, at every ratio of the sample sizes."""
    categories = np.eye(3)
    source = np.repeat(categories, [500, 300, 200], axis=0)
    target = np.repeat(categories, np.rint(np.array([0.1, 0.3, 0.6]) * n_target).astype(int), axis=0)
    raw = LogisticWeighter(C=np.inf, clip=2, normalize=None).fit(source, target)
    assert_allclose(raw.transform(categories), [0.2, 1, 2], rtol=1e-5)
    assert raw.transform(source).mean() == pytest.approx(0.8, abs=1e-5)
    assert raw.summary_.clipped_share == pytest.approx(0.2)
    assert raw.summary_.target_clipped_share == pytest.approx(0.6)
    assert_allclose(
        LogisticWeighter(C=np.inf, clip=2).fit(source, target).transform(categories),
        [0.25, 1.25, 2.5],
        rtol=1e-5,
    )


def test_exponential_samples_have_a_linear_log_ratio():
    """Exp(1) -> Exp(.75): log w = log .75 + .25 x = -.287682 + .25 x. Standard errors about .01."""
    rng = np.random.default_rng(0)
    weighter = LogisticWeighter(clip=None).fit(rng.exponential(1, (30000, 1)), rng.exponential(1 / 0.75, (30000, 1)))
    assert weighter.coef_[0] == pytest.approx(0.25, abs=0.05)
    assert weighter.log_ratio([[0.0]])[0] == pytest.approx(-0.287682, abs=0.06)


@pytest.mark.slow
@SMALL_SAMPLES
@settings(max_examples=20)
@given(samples=two_samples(), C=st.sampled_from([0.01, 1.0, 100.0]))
def test_equals_a_general_optimiser_of_the_same_objective(samples, C):
    """BFGS on the penalised likelihood; both stop within 1e-4 of the optimum in h."""
    X_source, X_target = samples
    found = LogisticWeighter(C=C).fit(X_source, X_target).log_ratio(X_source)
    assert_allclose(found, oracles.logistic_ratio(X_source, X_target, C, X_source), atol=1e-3)


def test_unpenalised_score_equations_hold(rng):
    """sum_S p phi = sum_T (1 - p) phi for phi = (1, x), relative to n."""
    X_source, X_target = rng.normal(0, 1, (400, 3)), rng.normal(0.4, 1, (300, 3))
    weighter = LogisticWeighter(C=np.inf).fit(X_source, X_target)
    p_source, p_target = (expit(X @ weighter.coef_ + weighter.intercept_) for X in (X_source, X_target))
    left = np.append(p_source.sum(), p_source @ X_source)
    right = np.append((1 - p_target).sum(), (1 - p_target) @ X_target)
    assert_allclose(left / 700, right / 700, atol=1e-6)


@pytest.mark.slow
@SMALL_SAMPLES
@given(samples=two_samples())
def test_swapping_the_samples_inverts_the_ratio(samples):
    X_source, X_target = samples
    forth = LogisticWeighter().fit(X_source, X_target).log_ratio(X_source)
    back = LogisticWeighter().fit(X_target, X_source).log_ratio(X_source)
    assert_allclose(forth, -back, atol=1e-4)


@pytest.mark.slow
@SMALL_SAMPLES
@given(data=st.data())
def test_repeat_counts_equal_repeated_rows(data):
    X_source, X_target = data.draw(two_samples())
    c_source, c_target = data.draw(counts(len(X_source))), data.draw(counts(len(X_target)))
    by_counts = LogisticWeighter().fit(X_source, X_target, sample_weight_source=c_source, sample_weight_target=c_target)
    repeated = LogisticWeighter().fit(np.repeat(X_source, c_source, axis=0), np.repeat(X_target, c_target, axis=0))
    assert_allclose(by_counts.transform(X_source), repeated.transform(X_source), rtol=1e-3)
    assert by_counts.summary_.effective_size == pytest.approx(repeated.summary_.effective_size, rel=1e-3)


@pytest.mark.slow
@SMALL_SAMPLES
@given(samples=two_samples(), scale=st.floats(1e-3, 1e3), offset=st.floats(-100, 100))
def test_units_of_the_features_do_not_matter(samples, scale, offset):
    X_source, X_target = samples
    one = LogisticWeighter().fit(X_source, X_target).transform(X_source)
    other = LogisticWeighter().fit(offset + scale * X_source, offset + scale * X_target)
    assert_allclose(one, other.transform(offset + scale * X_source), rtol=1e-3)


@SMALL_SAMPLES
@pytest.mark.parametrize("clip", ["sqrt", None, 0.5, 2.0])
def test_finished_weights_average_one_over_the_source(rng, clip):
    X_source, X_target = rng.normal(0, 1, (500, 2)), rng.normal(0.7, 1, (80, 2))
    weighter = LogisticWeighter(clip=clip)
    w = weighter.fit_transform(X_source, X_target)
    assert w.mean() == pytest.approx(1, abs=1e-12)
    assert_allclose(w, weighter.transform(X_source))


def test_weighted_source_moments_approach_the_target(rng):
    """E_S[w x] = E_T[x]; the sampling error here is .03, an inverted ratio misses by 1.4."""
    X_source, X_target = rng.normal(0, 1, (20000, 1)), rng.normal(0.7, 1, (20000, 1))
    w = LogisticWeighter().fit_transform(X_source, X_target)
    assert np.average(X_source[:, 0], weights=w) == pytest.approx(0.7, abs=0.1)


@pytest.mark.parametrize("C", [1.0, 1e6])
def test_separable_samples_end_finite_and_warn(C):
    X_source, X_target = np.linspace(0, 1, 50)[:, None], np.linspace(2, 3, 50)[:, None]
    with pytest.warns(PoorOverlapWarning, match="data do not support weighting"):
        weighter = LogisticWeighter(C=C, clip=None).fit(X_source, X_target)
    assert np.isfinite(weighter.transform(X_source)).all()
    assert weighter.transform(X_source).mean() == pytest.approx(1)
    assert weighter.summary_.verdict == "abstain"


def test_constant_columns_and_one_row_do_no_harm(rng):
    X_source = np.column_stack([rng.normal(size=200), np.full(200, 3.0)])
    X_target = np.column_stack([rng.normal(0.3, 1, 200), np.full(200, 3.0)])
    with_constant = LogisticWeighter().fit(X_source, X_target).transform(X_source)
    without = LogisticWeighter().fit(X_source[:, :1], X_target[:, :1]).transform(X_source[:, :1])
    assert_allclose(with_constant, without, rtol=1e-4)
    with pytest.warns(PoorOverlapWarning):
        assert LogisticWeighter().fit_transform(X_source[:1], X_target) == pytest.approx(1)


def test_identical_samples_need_no_weights(rng):
    X = rng.normal(size=(300, 4))
    w = LogisticWeighter().fit_transform(X, X)
    assert_allclose(w, 1, atol=1e-6)


@SMALL_SAMPLES
def test_rows_that_count_zero_times_leave_no_trace(rng):
    X_source, X_target = rng.normal(size=(40, 2)), rng.normal(0.5, 1, (40, 2))
    outlier = np.vstack([X_source, [[1e6, -1e6]]])
    w = LogisticWeighter().fit(outlier, X_target, sample_weight_source=np.append(np.ones(40), 0))
    assert_allclose(w.transform(X_source), LogisticWeighter().fit_transform(X_source, X_target), rtol=1e-6)


def test_ok_samples_do_not_warn(rng):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogisticWeighter().fit(rng.normal(size=(500, 1)), rng.normal(0.2, 1, (500, 1)))


def test_summary_counts_repeated_target_rows(rng):
    X_source, X_target = rng.normal(size=(300, 2)), rng.normal(0.5, 1, (150, 2))
    counts = rng.integers(0, 4, 150)
    by_counts = LogisticWeighter(clip=1.2).fit(X_source, X_target, sample_weight_target=counts).summary_
    repeated = LogisticWeighter(clip=1.2).fit(X_source, np.repeat(X_target, counts, axis=0)).summary_
    for name in ("target_lost_mass", "target_clipped_share", "target_outside_share", "domain_auc", "n_target"):
        assert getattr(by_counts, name) == pytest.approx(getattr(repeated, name), abs=1e-6), name


def test_a_symmetric_gap_that_linear_log_odds_cannot_see_is_refused():
    """Source N(0, 1), target at -8 and 8: the ratio comes out flat and the effective size full."""
    rng = np.random.default_rng(0)
    X_source, X_target = rng.normal(size=(1000, 1)), rng.normal(size=(1000, 1)) + rng.choice([-8, 8], (1000, 1))
    with pytest.warns(PoorOverlapWarning, match="outside the source's range"):
        weighter = LogisticWeighter().fit(X_source, X_target)
    assert weighter.summary_.effective_size > 900
    assert weighter.summary_.target_outside_share > 0.95


@pytest.mark.parametrize(("n_target", "verdict"), [(10, "abstain"), (60, "caution")])
def test_a_ratio_from_few_target_rows_is_not_trusted(n_target, verdict, rng):
    """With 10 target rows in five dimensions the weighted mean errs twice as much as the unweighted one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorOverlapWarning)
        weighter = LogisticWeighter().fit(rng.normal(size=(2000, 5)), rng.normal(0.1, 1, (n_target, 5)))
    assert weighter.summary_.verdict == verdict


def test_weights_that_sum_to_one_compare_rows(rng):
    X_source, X_target = rng.normal(size=(500, 2)), rng.normal(0.5, 1, (300, 2))
    plain = LogisticWeighter().fit(X_source, X_target)
    shares = LogisticWeighter().fit(X_source, X_target, sample_weight_source=np.full(500, 1 / 500))
    assert_allclose(shares.transform(X_source), plain.transform(X_source), rtol=1e-6)
    assert shares.summary_.verdict == plain.summary_.verdict == "ok"


# ---------------------------------------------------------------------------- features, C, and the forms of input


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("d", "n", "least"), [(2, 2000, 0.97), (20, 5000, 0.985)])
def test_auto_features_find_a_variance_shift(d, n, least, seed):
    """N(0, I) -> N(e1, diag(.5, .5, 1, ..)): over 6 seeds the correlation was at least .996; linear h reaches .9.

    The effective size of the true weights is .385 n in expectation.
    """
    scale = np.append(np.sqrt([0.5, 0.5]), np.ones(d - 2))
    problem = gaussian_covariate_shift(n, n, n_features=d, mean_shift=1.0, scale=scale, random_state=seed)
    weighter = LogisticWeighter(features="auto").fit(problem.X_source, problem.X_target)
    truth = np.log(problem.source_weights)
    assert np.corrcoef(weighter.log_ratio(problem.X_source), truth)[0, 1] >= least
    true_size = problem.source_weights.sum() ** 2 / (problem.source_weights**2).sum()
    assert true_size / n == pytest.approx(0.385, rel=0.1)
    assert weighter.summary_.effective_size == pytest.approx(true_size, rel=0.1)
    assert weighter.features_ == "squares"
    linear = LogisticWeighter().fit(problem.X_source, problem.X_target)
    assert np.corrcoef(linear.log_ratio(problem.X_source), truth)[0, 1] < 0.94


def test_squares_are_those_of_the_closed_form():
    """N(0, 1) -> N(.5, .64): log w = x^2 / 2 - (x - .5)^2 / 1.28 - log .8, Q = -.28125, slope .78125."""
    rng = np.random.default_rng(0)
    weighter = LogisticWeighter(features="squares").fit(rng.normal(0, 1, (40000, 1)), rng.normal(0.5, 0.8, (20000, 1)))
    assert weighter.quadratic_[0, 0] == pytest.approx(-0.28125, abs=0.05)
    assert weighter.coef_[0] == pytest.approx(0.78125, abs=0.06)
    assert weighter.intercept_ == pytest.approx(-0.5 - np.log(0.8) + 0.5 - 0.25 / 1.28 + np.log(0.5), abs=0.06)


@pytest.mark.slow
def test_products_see_a_correlation_that_squares_do_not():
    """Unit variances, correlation 0 -> .6: log w has -x'(R^-1 - I)x / 2, whose only large part is the product."""
    rng = np.random.default_rng(0)
    R = np.array([[1, 0.6], [0.6, 1]])
    X_source, X_target = rng.normal(size=(8000, 2)), rng.multivariate_normal([0, 0], R, 8000)
    truth = -0.5 * np.einsum("ij,jk,ik->i", X_source, np.linalg.inv(R) - np.eye(2), X_source)
    auto = LogisticWeighter(features="auto").fit(X_source, X_target)
    assert auto.features_ == "quadratic"
    assert np.corrcoef(auto.log_ratio(X_source), truth)[0, 1] > 0.99
    assert_allclose(auto.quadratic_, -0.5 * (np.linalg.inv(R) - np.eye(2)), atol=0.1)
    squares = LogisticWeighter(features="squares").fit(X_source, X_target)
    assert np.corrcoef(squares.log_ratio(X_source), truth)[0, 1] < 0.8


@pytest.mark.slow
def test_auto_keeps_linear_log_odds_where_nothing_else_helps():
    chosen = [
        LogisticWeighter(features="auto").fit(rng.normal(size=(3000, 6)), rng.normal(0.3, 1, (3000, 6))).features_
        for rng in map(np.random.default_rng, range(6))
    ]
    assert chosen.count("linear") >= 4


@pytest.mark.parametrize("features", ["squares", "quadratic"])
def test_columns_made_once_give_the_losses_of_columns_made_by_every_pass(features, rng, monkeypatch):
    samples = [rng.normal(5, 2, (130, 3)), rng.normal(6, 1, (90, 3)).astype(np.float32)]
    counts = [rng.integers(1, 4, len(X)).astype(float) for X in samples]
    once = held_out_losses(samples, counts, [features], [10.0, 0.1])[features]
    monkeypatch.setattr("shiftfix.covariate._logistic_columns.MADE_ENTRIES", 0)
    anew = held_out_losses(samples, counts, [features], [10.0, 0.1])[features]
    assert_allclose(list(once.values()), list(anew.values()), rtol=1e-9)


@pytest.mark.slow
def test_held_out_losses_by_hand(rng):
    """Five systematic folds by the order of the one feature; scikit-learn's fits with the penalty of all rows."""
    X_source, X_target = rng.normal(0, 1, (60, 1)), rng.normal(0.7, 1, (45, 1))
    found = held_out_losses([X_source, X_target], [np.ones(60), np.ones(45)], ["linear"], [10.0, 0.05])
    for C in (10.0, 0.05):
        losses = []
        for fold in range(5):
            seen, held = zip(
                *[
                    (np.sort(X, axis=0)[np.arange(len(X)) % 5 != fold], np.sort(X, axis=0)[fold::5])
                    for X in (X_source, X_target)
                ],
                strict=True,
            )
            scaler = StandardScaler().fit(np.vstack(seen))
            domain = np.repeat([-1, 1], [len(X) for X in seen])
            model = LogisticRegression(C=C * 105 / len(domain), tol=1e-8).fit(scaler.transform(np.vstack(seen)), domain)
            h = [model.decision_function(scaler.transform(X)) for X in held]
            losses.append(domain_log_loss(h, [np.ones(len(X)) for X in held]))
        assert found["linear"][C] == pytest.approx(np.mean(losses), abs=1e-4)


def test_log_loss_of_knowing_nothing_is_log_two():
    assert domain_log_loss([np.zeros(3), np.zeros(2)], [np.ones(3), np.ones(2)]) == pytest.approx(np.log(2))
    right, wrong = [np.full(3, -5.0), np.full(2, 5.0)], [np.full(3, 5.0), np.full(2, -5.0)]
    assert (
        domain_log_loss(right, [np.ones(3), np.ones(2)]) < 0.01 < 4 < domain_log_loss(wrong, [np.ones(3), np.ones(2)])
    )


@pytest.mark.slow
@SMALL_SAMPLES
def test_cross_validated_penalty_shrinks_noise_and_keeps_signal(rng):
    noise = LogisticWeighter("cv").fit(rng.normal(size=(80, 30)), rng.normal(size=(80, 30)))
    assert noise.C_ == 0.01
    signal = LogisticWeighter("cv").fit(rng.normal(size=(2000, 2)), rng.normal(0.7, 1, (2000, 2)))
    assert signal.C_ >= 0.1
    (losses,) = signal.held_out_losses_.values()
    assert min(losses, key=losses.get) == signal.C_
    assert len(losses) == 5
    assert LogisticWeighter("cv", features="auto").fit(rng.normal(size=(3, 2)), rng.normal(size=(3, 2))).C_ == 1


@pytest.mark.slow
@SMALL_SAMPLES
@settings(max_examples=15)
@given(samples=two_samples(), seed=st.integers(0, 99))
def test_choices_depend_neither_on_row_order_nor_on_units_nor_on_the_direction(samples, seed):
    X_source, X_target = samples
    one = LogisticWeighter("cv", features="auto").fit(X_source, X_target)
    order = np.random.default_rng(seed).permutation(len(X_source))
    other = LogisticWeighter("cv", features="auto").fit(5 + 100 * X_source[order], 5 + 100 * X_target[::-1])
    assert (other.features_, other.C_) == (one.features_, one.C_)
    assert_allclose(other.log_ratio(5 + 100 * X_source), one.log_ratio(X_source), atol=1e-4)
    back = LogisticWeighter("cv", features="auto").fit(X_target, X_source)
    assert_allclose(back.log_ratio(X_source), -one.log_ratio(X_source), atol=1e-4)


@pytest.mark.slow
@SMALL_SAMPLES
@given(samples=two_samples())
def test_sparse_rows_are_those_of_the_array(samples):
    assert_sparse_is_dense(1.0, samples)


@pytest.mark.slow
@SMALL_SAMPLES
@settings(max_examples=10)
@given(samples=two_samples())
def test_sparse_rows_choose_the_penalty_of_the_array(samples):
    assert_sparse_is_dense("cv", samples)


def assert_sparse_is_dense(C, samples):
    X_source, X_target = (np.where(X > 0, X, 0) for X in samples)
    dense = LogisticWeighter(C).fit(X_source, X_target)
    as_sparse = LogisticWeighter(C).fit(sparse.csc_array(X_source), sparse.coo_array(X_target))
    assert_allclose(as_sparse.log_ratio(sparse.csr_matrix(X_source)), dense.log_ratio(X_source), atol=1e-5)
    assert_allclose(as_sparse.coef_, dense.coef_, rtol=1e-4, atol=1e-6)
    assert as_sparse.summary_.target_outside_share == pytest.approx(dense.summary_.target_outside_share)
    # Squares would fill a sparse matrix in, so its summary compares means only.
    means = balance_table(X_source, X_target, dense.transform(X_source), squares=False).worst(3)
    assert [entry.name for entry in as_sparse.summary_.worst_balanced] == list(means.names)


@pytest.mark.slow
def test_wide_sparse_text_like_rows():
    """3,000 columns, 1% filled: the rare columns that differ are found without a dense table."""
    rng = np.random.default_rng(0)
    X_source = sparse.random_array((4000, 3000), density=0.01, rng=rng, format="csr")
    X_target = sparse.random_array((4000, 3000), density=0.01, rng=rng, format="csr")
    X_target = sparse.csr_array(X_target + sparse.csr_array(np.eye(1, 3000)[np.zeros(4000, int)] * 0.1))
    with pytest.warns(PoorOverlapWarning):
        weighter = LogisticWeighter(C=0.01, tol=1e-5).fit(X_source, X_target)
    assert weighter.gradient_norm_ <= 1e-5
    assert np.argmax(np.abs(weighter.coef_)) == 0


@pytest.mark.slow
def test_single_precision_rows_give_the_answer_of_their_doubles(rng):
    X_source = rng.normal(0, 1, (3000, 3)).astype(np.float32)
    X_target = rng.normal(0.5, 1, (2000, 3)).astype(np.float32)
    for features in ("linear", "quadratic"):
        single = LogisticWeighter(features=features).fit(X_source, X_target)
        double = LogisticWeighter(features=features).fit(X_source.astype(float), X_target.astype(float))
        assert_allclose(single.transform(X_source), double.transform(X_source.astype(float)), rtol=1e-6)
        assert single.transform(X_source).dtype == np.float64


@pytest.mark.slow
def test_a_transformer_takes_frames_with_text():
    """Levels with shares (.5, .3, .2) and (.1, .3, .6): w = (.2, 1, 3), from their names."""
    pandas = pytest.importorskip("pandas")
    levels = np.array(["low", "mid", "high"])

    def frame(shares):
        return pandas.DataFrame({"level": np.repeat(levels, shares), "zero": 0.0})

    source, target = frame([500, 300, 200]), frame([50, 150, 300])
    encode = ColumnTransformer([("level", OneHotEncoder(handle_unknown="ignore"), ["level"])], remainder="passthrough")
    weighter = LogisticWeighter(C=np.inf, features=encode, clip=None)
    w = weighter.fit_transform(source, target)
    assert_allclose(np.unique(w.round(6)), [0.2, 1, 3], rtol=1e-4)
    assert weighter.n_features_in_ == 2
    assert list(weighter.feature_names_in_) == ["level", "zero"]
    counts = np.where(source["level"] == "mid", 0, 1)
    without = LogisticWeighter(C=np.inf, features=encode, clip=None).fit(source, target, sample_weight_source=counts)
    assert "x0_mid" not in str(without.transformer_.get_feature_names_out())
    with pytest.raises(ShiftDataError, match="zero"):
        weighter.transform(source[["level"]])
    polars = pytest.importorskip("polars")
    from_polars = LogisticWeighter(C=np.inf, features=encode, clip=None)
    assert_allclose(from_polars.fit_transform(polars.from_pandas(source), polars.from_pandas(target)), w, rtol=1e-6)


def test_a_transformer_equals_transforming_first(rng):
    X_source, X_target = rng.normal(size=(500, 2)), rng.normal(0.5, 0.8, (400, 2))
    squares = PolynomialFeatures(2, include_bias=False)
    inside = LogisticWeighter(features=squares).fit(X_source, X_target)
    outside = LogisticWeighter().fit(squares.fit_transform(X_source), squares.fit_transform(X_target))
    assert_allclose(inside.transform(X_source), outside.transform(squares.transform(X_source)), rtol=1e-6)
    assert len(inside.coef_) == 5


@pytest.mark.slow
def test_warm_start_changes_the_steps_and_not_the_answer(rng):
    X_source, X_target = rng.normal(size=(3000, 4)), rng.normal(0.5, 1, (2000, 4))
    cold = LogisticWeighter().fit(X_source, X_target)
    warm = LogisticWeighter(warm_start=True).fit(X_source, X_target)
    assert warm.n_iter_ == cold.n_iter_ > 1
    warm.fit(X_source, X_target)
    assert warm.n_iter_ == 0
    warm.fit(X_source[:, :2], X_target[:, :2])
    assert_allclose(warm.coef_, LogisticWeighter().fit(X_source[:, :2], X_target[:, :2]).coef_, atol=1e-6)
    moved = warm.fit(X_source[:, :2] + 3, X_target[:, :2] + 3)
    assert_allclose(moved.coef_, LogisticWeighter().fit(X_source[:, :2], X_target[:, :2]).coef_, atol=1e-6)


def test_the_gradient_is_certified_and_a_short_run_says_so(rng):
    X_source, X_target = rng.normal(size=(500, 3)), rng.normal(1, 1, (400, 3))
    weighter = LogisticWeighter().fit(X_source, X_target)
    X, domain = np.vstack([X_source, X_target]), np.repeat([0.0, 1.0], [500, 400])
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    residual = expit(X @ weighter.coef_ + weighter.intercept_) - domain
    by_hand = np.append(residual.sum(), Z.T @ residual + weighter.coef_ * X.std(axis=0)) / 900
    assert np.abs(by_hand).max() == pytest.approx(weighter.gradient_norm_, abs=1e-13)
    assert weighter.gradient_norm_ <= 1e-8
    with pytest.warns(ConvergenceWarning, match="after 1 of 1 iterations"):
        assert LogisticWeighter(max_iter=1).fit(X_source, X_target).gradient_norm_ > 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("features", ["quadratic", "auto"])
def test_separable_samples_end_finite_with_every_choice(features):
    X_source, X_target = np.linspace(0, 1, 50)[:, None], np.linspace(2, 3, 50)[:, None]
    with pytest.warns(PoorOverlapWarning):
        weighter = LogisticWeighter("cv", features=features).fit(X_source, X_target)
    assert np.isfinite(weighter.coef_).all()
    assert np.isfinite(weighter.transform(X_source)).all()
    assert weighter.summary_.verdict == "abstain"


S, T = np.random.default_rng(0).normal(size=(60, 2)), np.random.default_rng(1).normal(size=(40, 2))
ERRORS = {
    "features unknown": (lambda: LogisticWeighter(features="cubic").fit(S, T), "features='cubic'"),
    "features no transformer": (lambda: LogisticWeighter(features=3).fit(S, T), "features=3"),
    "C word": (lambda: LogisticWeighter("auto").fit(S, T), "C='auto'"),
    "squares of sparse rows": (
        lambda: LogisticWeighter(features="squares").fit(sparse.csr_array(S), sparse.csr_array(T)),
        "fill in a sparse",
    ),
    "one of two sparse": (lambda: LogisticWeighter().fit(S, sparse.csr_array(T)), "X_target is a sparse.*toarray"),
    "sparse NaN": (
        lambda: LogisticWeighter().fit(sparse.csr_array(np.where(S > 1, np.nan, 0)), sparse.csr_array(T)),
        "stored values",
    ),
    "transformer that drops rows": (
        lambda: LogisticWeighter(features=FunctionTransformer(lambda X: X[:3])).fit(S, T),
        "keeps the rows",
    ),
    "transformer that leaves NaN": (
        lambda: LogisticWeighter(features=FunctionTransformer(lambda X: X * np.nan)).fit(S, T),
        "X_source transformed contains NaN",
    ),
    "transformer of nothing": (lambda: LogisticWeighter(features=StandardScaler()).fit(None, T), "X_source is None"),
    "transformer of no rows": (lambda: LogisticWeighter(features=StandardScaler()).fit(S[:0], T), r"shape \(0, 2\)"),
    "transformer of other columns": (
        lambda: LogisticWeighter(features=StandardScaler()).fit(S, T[:, :1]),
        "X_target has 1 columns",
    ),
}


@pytest.mark.parametrize(("call", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_to_do(call, message):
    with pytest.raises(ShiftDataError, match=message):
        call()
