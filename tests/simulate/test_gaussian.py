import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate import (
    gaussian_chi2,
    gaussian_clipped_mean,
    gaussian_clipped_square,
    gaussian_covariate_shift,
    gaussian_domain_auc,
    gaussian_ess_share,
    gaussian_log_ratio,
    gaussian_share_above_clip,
)


def test_log_ratio_of_a_shift_of_one():
    """G1: log w = x - 1/2. Rounding only; an inverted ratio has slope -1."""
    x = np.linspace(-3, 4, 15)[:, np.newaxis]
    assert_allclose(gaussian_log_ratio(x, 1.0), x[:, 0] - 0.5, atol=1e-14)


def test_log_ratio_is_the_difference_of_two_log_densities(rng):
    """Against scipy's densities; rounding misses by about 1e-14 of values up to 30."""
    mu, s = np.array([0.5, -1.0, 0.2]), np.array([0.7, 1.2, 1.0])
    X = rng.normal(size=(50, 3)) * 2
    truth = multivariate_normal(mu, np.diag(s**2)).logpdf(X) - multivariate_normal(np.zeros(3), np.eye(3)).logpdf(X)
    assert_allclose(gaussian_log_ratio(X, mu, s), truth, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("clip", "mean", "square", "share"),
    [
        (2, 0.809390, 1.036125, 0.423422),
        (5, 0.953646, 1.913918, 0.133621),
        (10, 0.989621, 2.397907, 0.035727),
    ],
)
def test_clip_closed_forms_at_the_golden_values(clip, mean, square, share):
    """G9, six digits as printed, so 5e-7 is their rounding."""
    assert gaussian_clipped_mean(clip, 1.0) == pytest.approx(mean, abs=5.1e-7)
    assert gaussian_clipped_square(clip, 1.0) == pytest.approx(square, abs=5.1e-7)
    assert gaussian_share_above_clip(clip, 1.0) == pytest.approx(share, abs=5.1e-7)


@pytest.mark.slow
@given(
    clip=st.floats(0.05, 50),
    shift=st.floats(0.1, 2.5),
    angle=st.floats(0, 6.28),
    sign=st.sampled_from([-1, 1]),
)
def test_clip_closed_forms_against_numerical_integration(clip, shift, angle, sign):
    """Only |mu| counts. quad misses by less than 1e-9 with the kink named; a factor forgotten by 1e-2."""
    w = lambda x: np.exp(shift * x - shift**2 / 2)  # noqa: E731
    kink = [(np.log(clip) + shift**2 / 2) / shift]
    limits = {"a": -12, "b": 14, "points": kink if -12 < kink[0] < 14 else None, "limit": 200}
    vector = sign * shift * np.array([np.cos(angle), np.sin(angle)])
    mean = quad(lambda x: min(w(x), clip) * norm.pdf(x), **limits)[0]
    square = quad(lambda x: min(w(x), clip) ** 2 * norm.pdf(x), **limits)[0]
    share = quad(lambda x: (w(x) > clip) * norm.pdf(x, shift), **limits)[0]
    assert gaussian_clipped_mean(clip, vector) == pytest.approx(mean, abs=1e-7)
    assert gaussian_clipped_square(clip, vector) == pytest.approx(square, rel=1e-6)
    assert gaussian_share_above_clip(clip, vector) == pytest.approx(share, abs=1e-7)


@pytest.mark.slow
@given(mu=st.floats(-1.5, 1.5), s=st.floats(0.2, 1.3))
def test_chi2_against_numerical_integration(mu, s):
    """E_S w^2 - 1 for one feature; quad misses by less than 1e-8 relative, a lost 1/s by s itself."""
    log_ratio = lambda x: 2 * norm.logpdf(x, mu, s) - norm.logpdf(x)  # noqa: E731
    # The integrand is a normal density around 2 mu / (2 - s^2) with standard deviation s / sqrt(2 - s^2).
    centre, width = 2 * mu / (2 - s**2), s / np.sqrt(2 - s**2)
    truth = quad(lambda x: np.exp(log_ratio(x)), centre - 12 * width, centre + 12 * width, limit=200)[0]
    assert gaussian_chi2(mu, s) + 1 == pytest.approx(truth, rel=1e-7)


def test_golden_chi2_ess_and_auc():
    assert gaussian_chi2(1.0) == pytest.approx(np.e - 1, rel=1e-12)
    assert gaussian_ess_share(1.0) == pytest.approx(0.367879, abs=5.1e-7)
    assert gaussian_domain_auc(1.0) == pytest.approx(0.760250, abs=5.1e-7)
    # Variance shift, s^2 = 1.5: E w^2 = 1 / sqrt(s^2 (2 - s^2)).
    assert gaussian_chi2(0.0, np.sqrt(1.5)) + 1 == pytest.approx(1.154701, abs=5.1e-7)
    # 20 features each shifted by 0.5: ESS share exp(-5).
    assert gaussian_ess_share(np.full(20, 0.5)) == pytest.approx(np.exp(-5), rel=1e-12)


def test_divergence_beyond_its_domain():
    assert gaussian_chi2(0.0, np.sqrt(2.0)) == np.inf
    assert gaussian_ess_share(0.0, 1.5) == 0
    assert gaussian_chi2(30.0) == np.inf  # exp(900) has no float64
    assert gaussian_chi2(0.0) == 0


def test_no_shift_is_the_limit_of_the_clip_forms():
    assert gaussian_clipped_mean(2.0, 0.0) == 1
    assert gaussian_clipped_mean(0.5, 0.0) == 0.5
    assert gaussian_clipped_square(0.5, 0.0) == 0.25
    assert gaussian_share_above_clip(1.0, 0.0) == 0
    assert gaussian_share_above_clip(0.5, 0.0) == 1
    assert gaussian_domain_auc(0.0) == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_weighted_source_moments_are_the_target_moments(seed):
    """n = 40000, mu = 0.7, s = 0.9. Largest misses of a right program in 300 runs: mean weight 0.011,
    weighted mean 0.018, weighted variance 0.021, mean 1 / w 0.019. Inverted weights miss by 1.4."""
    problem = gaussian_covariate_shift(40_000, 40_000, mean_shift=0.7, scale=0.9, random_state=seed)
    w, x = problem.source_weights, problem.X_source[:, 0]
    assert w.mean() == pytest.approx(1, abs=0.025)
    assert np.average(x, weights=w) == pytest.approx(0.7, abs=0.045)
    assert np.average((x - 0.7) ** 2, weights=w) == pytest.approx(0.81, abs=0.05)
    assert problem.X_target.mean() == pytest.approx(0.7, abs=0.02)
    assert problem.X_target.std() == pytest.approx(0.9, abs=0.02)
    # 1 / w averages 1 over the target, for the same reason.
    assert (1 / problem.target_weights).mean() == pytest.approx(1, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(("power", "line", "risk"), [(0, (1, 0), 7), (0.5, (0.75, 1), 3.0625), (1, (0, 2), 2)])
def test_weighted_line_through_a_parabola(power, line, risk):
    """G7: intercept, slope and target risk at gamma 0, 1/2, 1. Means over 20 samples of 20000 rows; the
    largest standard error of such a mean is 0.044 (gamma 0, the risk), allowed 0.2; the risks lie 1 apart."""
    found = []
    for seed in range(20):
        p = gaussian_covariate_shift(20_000, 20_000, noise=0.0, random_state=seed)
        slope, intercept = np.polyfit(p.X_source[:, 0], p.y_source, 1, w=p.source_weights ** (power / 2))
        loss = (p.y_target - intercept - slope * p.X_target[:, 0]) ** 2
        found.append((intercept, slope, loss.mean()))
    assert_allclose(np.mean(found, axis=0), (*line, risk), atol=0.2)


@pytest.mark.parametrize("conditional", ["linear", "quadratic", "logistic"])
def test_the_conditional_is_shared(conditional):
    """Rows of both samples in the same cell have the same mean of y. 60000 rows each, cell width 0.1 around
    x = 0.5: about 2000 rows per sample, standard error at most 0.016, allowed 0.08."""
    p = gaussian_covariate_shift(60_000, 60_000, conditional=conditional, noise=0.1, random_state=3)
    means = [y[np.abs(X[:, 0] - 0.5) < 0.05].mean() for X, y in ((p.X_source, p.y_source), (p.X_target, p.y_target))]
    truth = {"linear": 0.5, "quadratic": 0.25, "logistic": 1 / (1 + np.exp(-1))}[conditional]
    assert_allclose(means, truth, atol=0.08)


def test_shapes_callables_and_repr():
    p = gaussian_covariate_shift(
        6, 4, mean_shift=[1.0, 2.0], conditional=lambda X, generator: X[:, 0] > 0, random_state=0
    )
    assert p.X_source.shape == (6, 2)
    assert p.X_target.shape == (4, 2)
    assert p.kind == "covariate"
    assert_allclose(p.source_weights, np.exp(gaussian_log_ratio(p.X_source, [1.0, 2.0])))
    assert np.array_equal(p.y_target, p.X_target[:, 0] > 0)
    assert repr(p).startswith("ShiftProblem(covariate shift, n_source=6, n_target=4, n_features=2")
    assert "array" not in repr(p)
    with pytest.raises(AttributeError):
        p.kind = "label"


def test_the_same_seed_gives_the_same_rows_and_kinds_of_seed_work():
    a, b = (gaussian_covariate_shift(5, 5, random_state=7) for _ in range(2))
    assert np.array_equal(a.X_target, b.X_target)
    assert not np.array_equal(a.X_target, gaussian_covariate_shift(5, 5, random_state=8).X_target)
    for state in (None, np.random.RandomState(0), np.random.default_rng(0)):
        assert gaussian_covariate_shift(5, 5, random_state=state).X_source.shape == (5, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_source": 0}, "n_source=0"),
        ({"mean_shift": [1.0, 2.0], "n_features": 3}, "mean_shift has 2 values for 3 features"),
        ({"scale": 0.0}, "must be > 0"),
        ({"conditional": "cubic"}, "'cubic'"),
        ({"noise": -1.0}, "noise=-1.0"),
        ({"conditional": lambda X, generator: X}, "returned shape"),
        ({"mean_shift": 50.0}, "overflows"),
        ({"mean_shift": np.nan}, "NaN"),
        ({"random_state": "a"}, "random_state"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ShiftDataError, match=message):
        gaussian_covariate_shift(**{"n_source": 5, "n_target": 5, **settings})


def test_bad_clip():
    with pytest.raises(ShiftDataError, match="clip=0"):
        gaussian_clipped_mean(0)
