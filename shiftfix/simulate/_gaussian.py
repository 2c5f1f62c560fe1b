"""Covariate shift between two normal distributions: the ratio and its moments in closed form.

The source is N(0, I), the target N(mu, diag(s^2)). Notation: mu mean shift, s target standard
deviations, d = |mu|, c clip, Phi the standard normal distribution function.

    log w(x) = sum_j  x_j^2 / 2 - (x_j - mu_j)^2 / (2 s_j^2) - log s_j

The closed forms of the clipped ratio hold for s = 1, where log w(x) = mu'x - d^2 / 2 is itself normal:
N(-d^2/2, d^2) over the source, N(+d^2/2, d^2) over the target, and w > c exactly where mu'x / d > a with
a = (log c + d^2/2) / d. So they are moments of a truncated lognormal variable: w times the source density of
z = mu'x / d is the normal density around d, and w^2 times it is exp(d^2) times the normal density around 2 d.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from shiftfix._door import public
from shiftfix._setting_checks import check_count, check_generator, check_number
from shiftfix._validation import check_matrix, check_vector
from shiftfix._values import as_array
from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate._conditional import Conditional, draw_outcome
from shiftfix.simulate._problem import ShiftProblem, exp_weights

# In standard deviations of the source; squares of it are numbers.
MOST_SHIFT = 1e100


def _number_or_vector(value: ArrayLike, name: str) -> NDArray[np.float64]:
    """Checked finite numbers of shape () or (n_features,)."""
    array = as_array(value, name)
    vector = check_vector(np.atleast_1d(array), name, of="features")
    return vector.reshape(array.shape)


def _parameters(
    mean_shift: ArrayLike, scale: ArrayLike, n_features: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean shift and standard deviations as vectors of shape (n_features,)."""
    mu = _number_or_vector(mean_shift, "mean_shift")
    if mu.ndim == 0:
        # A scalar is a distance: it stands for the same divergence in any dimension.
        mu = np.append(mu, np.zeros(n_features - 1))
    mu = check_vector(mu, "mean_shift", n_features, of="features")
    s = _number_or_vector(scale, "scale")
    s = check_vector(np.full(n_features, s) if s.ndim == 0 else s, "scale", n_features, of="features")
    _refuse_scale(s)
    return _bounded_shift(mu), s


def _refuse_scale(s: NDArray[np.float64]) -> None:
    """Raise for standard deviations that are not positive, or whose squares are no numbers."""
    if (s <= 0).any():
        raise ShiftDataError(f"scale holds {s.min():g}: standard deviations must be > 0.")
    if (s < 1 / MOST_SHIFT).any() or (s > MOST_SHIFT).any():
        raise ShiftDataError(
            f"scale holds {s[(s < 1 / MOST_SHIFT) | (s > MOST_SHIFT)][0]:g}: standard deviations from "
            f"{1 / MOST_SHIFT:g} to {MOST_SHIFT:g} are needed, for the log ratio has their squares."
        )


def _bounded_shift(mu: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shift; raises for one whose square overflows."""
    if (np.abs(mu) > MOST_SHIFT).any():
        raise ShiftDataError(
            f"mean_shift holds {mu[np.abs(mu) > MOST_SHIFT][0]:g}: at most {MOST_SHIFT:g} standard deviations are "
            "needed, for the log ratio has the square."
        )
    return mu


@public
def gaussian_log_ratio(X: ArrayLike, mean_shift: ArrayLike = 1.0, scale: ArrayLike = 1.0) -> NDArray[np.float64]:
    """Logarithm of the true ratio of N(mean_shift, diag(scale^2)) to N(0, I).

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
    mean_shift : float or array-like of shape (n_features,), default=1.0
        Mean of the target. A number is a shift along the first feature.
    scale : float or array-like of shape (n_features,), default=1.0
        Standard deviations of the target, > 0.

    Returns
    -------
    ndarray of shape (n_rows,)
        log w, no unit.

    Raises
    ------
    ShiftDataError
        For bad rows, a vector of another length, or a standard deviation that is not positive.

    See Also
    --------
    gaussian_covariate_shift : N(0, I) to N(mu, diag(s^2)).
    shiftfix.covariate.LogisticWeighter : Odds of a logistic source-versus-target classifier; the default.

    Examples
    --------
    >>> float(gaussian_log_ratio([[2.0]])[0])
    1.5
    """
    rows = check_matrix(X, "X")
    mu, s = _parameters(mean_shift, scale, rows.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        log_ratio = (rows**2 / 2 - ((rows - mu) / s) ** 2 / 2 - np.log(s)).sum(axis=1)
    if not np.isfinite(log_ratio).all():
        raise ShiftDataError(f"X holds {np.abs(rows).max():.3g}, whose square overflows: pass rows of a smaller scale.")
    return log_ratio


def _distance(mean_shift: ArrayLike) -> float:
    mu = np.atleast_1d(_number_or_vector(mean_shift, "mean_shift"))
    return float(np.linalg.norm(_bounded_shift(mu)))


def _distance_and_cut(mean_shift: ArrayLike, clip: float) -> tuple[float, float]:
    """The distance d = |mu| and the point a of mu'x / d beyond which w > clip."""
    d = _distance(mean_shift)
    log_clip = np.log(float(check_number(clip, "clip", above=0, below=np.inf)))
    if d == 0:
        # w is 1 everywhere: above the clip always or never.
        return d, -np.inf if log_clip < 0 else np.inf
    return d, (log_clip + d**2 / 2) / d


@public
def gaussian_clipped_mean(clip: float, mean_shift: ArrayLike = 1.0) -> float:
    """Expectation of min(w, clip) over the source, for scale 1.

    E_S min(w, c) = Phi(a - d) + c Phi(-a), with d = ``|mean_shift|`` and a = (log c + d^2/2) / d. The first
    term is P_T(w <= c), the second c P_S(w > c).

    Parameters
    ----------
    clip : float
        Upper bound c of the weights, > 0.
    mean_shift : float or array-like of shape (n_features,), default=1.0

    Returns
    -------
    float
        At most 1: a clip takes mass away.

    See Also
    --------
    gaussian_clipped_square : Mean square of clipped weights.
    gaussian_share_above_clip : Target share above the clip.
    shiftfix.weights.clip_weights : Min(w, c).

    Examples
    --------
    >>> round(gaussian_clipped_mean(2.0), 6)
    0.80939
    """
    d, a = _distance_and_cut(mean_shift, clip)
    return float(norm.cdf(a - d) + float(clip) * norm.sf(a))


@public
def gaussian_clipped_square(clip: float, mean_shift: ArrayLike = 1.0) -> float:
    """Expectation of min(w, clip)^2 over the source, for scale 1.

    E_S min(w, c)^2 = exp(d^2) Phi(a - 2 d) + c^2 Phi(-a), with d and a as in ``gaussian_clipped_mean``.

    Parameters
    ----------
    clip : float
        Upper bound c of the weights, > 0.
    mean_shift : float or array-like of shape (n_features,), default=1.0

    Returns
    -------
    float

    See Also
    --------
    gaussian_clipped_mean : Mean of clipped weights.
    gaussian_share_above_clip : Target share above the clip.
    """
    d, a = _distance_and_cut(mean_shift, clip)
    with np.errstate(over="ignore"):
        return float(np.exp(d**2 + norm.logcdf(a - 2 * d)) + np.exp(2 * np.log(float(clip)) + norm.logsf(a)))


@public
def gaussian_share_above_clip(clip: float, mean_shift: ArrayLike = 1.0) -> float:
    """Share of the target whose weight is above the clip, P_T(w > clip) = Phi(d - a), for scale 1.

    Parameters
    ----------
    clip : float
        Upper bound c of the weights, > 0.
    mean_shift : float or array-like of shape (n_features,), default=1.0

    Returns
    -------
    float
        Between 0 and 1.

    See Also
    --------
    gaussian_clipped_mean : Mean of clipped weights.
    gaussian_clipped_square : Mean square of clipped weights.

    Examples
    --------
    >>> round(gaussian_share_above_clip(10.0), 6)
    0.035727
    """
    d, a = _distance_and_cut(mean_shift, clip)
    return float(norm.cdf(d - a))


@public
def gaussian_chi2(mean_shift: ArrayLike = 1.0, scale: ArrayLike = 1.0) -> float:
    """Chi-squared divergence of the target from the source, E_S[w^2] - 1.

    Per feature E_S[w^2] = exp(mu^2 / (2 - s^2)) / (s sqrt(2 - s^2)), finite only for s^2 < 2: completing
    the square in the integral of p_T^2 / p_S, whose exponent is x^2/2 - (x - mu)^2 / s^2.

    Parameters
    ----------
    mean_shift : float or array-like of shape (n_features,), default=1.0
    scale : float or array-like of shape (n_features,), default=1.0
        Standard deviations of the target, > 0. A number stands for every feature of ``mean_shift``.

    Returns
    -------
    float
        Infinite when a target variance is 2 or more.

    See Also
    --------
    gaussian_ess_share : Effective size, as a share.
    exponential_chi2 : Chi-square divergence.
    gaussian_covariate_shift : N(0, I) to N(mu, diag(s^2)).

    Examples
    --------
    >>> round(gaussian_chi2(1.0), 6)
    1.718282
    """
    n_features = max(as_array(mean_shift, "mean_shift").size, as_array(scale, "scale").size)
    mu, s = _parameters(mean_shift, scale, n_features)
    if (s**2 >= 2).any():
        return np.inf
    with np.errstate(over="ignore"):
        return float(np.expm1((mu**2 / (2 - s**2) - np.log(s) - np.log(2 - s**2) / 2).sum()))


@public
def gaussian_ess_share(mean_shift: ArrayLike = 1.0, scale: ArrayLike = 1.0) -> float:
    """Limit of the effective sample size divided by n_source, 1 / (1 + chi2).

    Parameters
    ----------
    mean_shift, scale : float or array-like of shape (n_features,), default=1.0
        As for ``gaussian_chi2``.

    Returns
    -------
    float
        Between 0 and 1; 0 when the chi-squared divergence is infinite.

    See Also
    --------
    gaussian_chi2 : Chi-square divergence.
    shiftfix.weights.effective_sample_size : Kish's, in rows.

    Examples
    --------
    >>> round(gaussian_ess_share(1.0), 6)
    0.367879
    """
    return 1 / (1 + gaussian_chi2(mean_shift, scale))


@public
def gaussian_domain_auc(mean_shift: ArrayLike = 1.0) -> float:
    """Area under the curve of the best source-versus-target classifier, for scale 1.

    Phi(d / sqrt(2)): the difference of a target and a source draw of mu'x / d is N(d, 2).

    Parameters
    ----------
    mean_shift : float or array-like of shape (n_features,), default=1.0

    Returns
    -------
    float
        0.5 without a shift, towards 1 without overlap.

    See Also
    --------
    gaussian_covariate_shift : N(0, I) to N(mu, diag(s^2)).
    shiftfix.detect.classifier_test : Can a model tell source from target rows?

    Examples
    --------
    >>> round(gaussian_domain_auc(1.0), 6)
    0.76025
    """
    return float(norm.cdf(_distance(mean_shift) / np.sqrt(2)))


@public
def gaussian_covariate_shift(
    n_source: int,
    n_target: int,
    *,
    n_features: int | None = None,
    mean_shift: ArrayLike = 1.0,
    scale: ArrayLike = 1.0,
    conditional: Conditional = "quadratic",
    noise: float = 0.1,
    random_state: int | np.random.Generator | np.random.RandomState | None = None,
) -> ShiftProblem:
    """Covariate shift from N(0, I) to N(mean_shift, diag(scale^2)) with the exact ratio.

    Parameters
    ----------
    n_source, n_target : int
        Rows, at least 1 each.
    n_features : int, default=None
        None means the length of ``mean_shift`` or ``scale`` where one is a vector, else 1.
    mean_shift : float or array-like of shape (n_features,), default=1.0
        Mean of the target. A number is a shift along the first feature, so that the divergence does
        not grow with the number of features.
    scale : float or array-like of shape (n_features,), default=1.0
        Standard deviations of the target, > 0; a number stands for every feature.
    conditional : {"quadratic", "linear", "logistic"} or callable, default="quadratic"
        p(y given x), the same in both: mean_j x_j^2 + noise, sum_j x_j / sqrt(n_features) + noise, a
        0/1 label with log odds 2 sum_j x_j / sqrt(n_features), or ``f(X, generator)`` returning y.
    noise : float, default=0.1
        Standard deviation of the normal error of y, for the first two.
    random_state : int, RandomState, Generator or None, default=None

    Returns
    -------
    ShiftProblem
        With ``source_weights`` and ``target_weights``; kind "covariate".

    Raises
    ------
    ShiftDataError
        For sizes below 1, a vector of another length, a scale that is not positive, an unknown
        conditional, or a shift so large that a weight overflows.

    See Also
    --------
    gaussian_log_ratio : The true log ratio.
    gaussian_chi2 : Chi-square divergence.
    exponential_tilt : Real rows drawn in proportion to exp(x'beta).

    Notes
    -----
    A linear fit of y = x^2 (one feature, no noise) is the standard case where weights must help: weighted
    least squares with w^g gives the line 1 - g^2 mu^2 + 2 g mu x, whose target risk
    2 + 4 mu^2 (1-g)^2 + mu^4 (1-g)^4 falls from 7 (g = 0) to 2 (g = 1) at mu = 1, because w^g times the
    source density is proportional to N(g mu, 1). The power of the ratio is from Shimodaira (2000), Journal
    of Statistical Planning and Inference 90(2):227-244.

    Examples
    --------
    >>> problem = gaussian_covariate_shift(100, 50, n_features=2, random_state=0)
    >>> problem.X_source.shape, problem.source_weights.shape
    ((100, 2), (100,))
    """
    n_source, n_target = check_count(n_source, "n_source"), check_count(n_target, "n_target")
    if n_features is None:
        n_features = max(as_array(mean_shift, "mean_shift").size, as_array(scale, "scale").size)
    n_features = check_count(n_features, "n_features")
    mu, s = _parameters(mean_shift, scale, n_features)
    generator = check_generator(random_state)
    X_source = generator.standard_normal((n_source, n_features))
    X_target = mu + s * generator.standard_normal((n_target, n_features))
    return ShiftProblem(
        X_source,
        draw_outcome(X_source, conditional, noise, generator),
        X_target,
        draw_outcome(X_target, conditional, noise, generator),
        kind="covariate",
        description=f"N(0, I) to a normal at distance {np.linalg.norm(mu):g}",
        source_weights=exp_weights(gaussian_log_ratio(X_source, mu, s)),
        target_weights=exp_weights(gaussian_log_ratio(X_target, mu, s)),
    )
