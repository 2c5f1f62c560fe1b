"""Covariate shift on real rows: the target is drawn with probability proportional to exp(x'beta).

Because the draw looks at x only, p(y given x) is untouched, whatever the data. Source: Tibshirani, Foygel
Barber, Candes & Ramdas (2019), "Conformal prediction under covariate shift", NeurIPS 32, section 2.3, where
beta = (-1, 0, 0, 0, 1) tilts the airfoil data with log(frequency) and log(suction displacement) as the first
and last columns.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from shiftfix._door import public
from shiftfix._setting_checks import check_count, check_generator, check_number, check_option
from shiftfix._validation import check_matrix, check_vector
from shiftfix._values import as_array
from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate._problem import ShiftProblem


@public
def tilt_log_weights(X: ArrayLike, beta: ArrayLike, *, standardize: bool = False) -> NDArray[np.float64]:
    """Logarithm of exp(x'beta) divided by its mean over the rows.

    Works in log space: x'beta may be 800 and still gives finite weights.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        The whole pool.
    beta : array-like of shape (n_features,)
        Direction and strength, per unit of each feature (per standard deviation when standardised).
    standardize : bool, default=False
        Tilt (x - mean) / sd, mean and standard deviation of the pool; a constant feature stays 0.

    Returns
    -------
    ndarray of shape (n_rows,)
        log w, no unit; exp of it averages 1 over the rows.

    Raises
    ------
    ShiftDataError
        For bad rows or a beta of another length.

    See Also
    --------
    exponential_tilt : Real rows drawn in proportion to exp(x'beta).

    Examples
    --------
    >>> np.exp(tilt_log_weights([[0.0], [np.log(3)]], [1.0])).round(12).tolist()
    [0.5, 1.5]
    """
    pool = check_matrix(X, "X")
    direction = check_vector(beta, "beta", pool.shape[1], of="features")
    check_option(standardize, "standardize", [True, False])
    if standardize:
        deviation = pool.std(axis=0)
        pool = (pool - pool.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        log_tilt = pool @ direction
    if not np.isfinite(log_tilt).all():
        raise ShiftDataError(f"beta holds {np.abs(direction).max():.3g}, and x'beta overflows: pass a smaller beta.")
    return log_tilt - logsumexp(log_tilt) + np.log(len(pool))


def _check_one_target_size(n_target: int | None, target_fraction: float | None, draw: str) -> None:
    if n_target is not None and target_fraction is not None:
        raise ShiftDataError(
            f"n_target={n_target!r} and target_fraction={target_fraction!r} both set the target size: pass one."
        )
    if draw == "thin" and (n_target is not None or target_fraction is not None):
        raise ShiftDataError(
            'draw="thin" keeps a random number of rows: leave n_target and target_fraction out, or pass draw="replace".'
        )


@public
def exponential_tilt(
    X: ArrayLike,
    y: ArrayLike,
    beta: ArrayLike,
    *,
    source_fraction: float = 0.5,
    n_target: int | None = None,
    target_fraction: float | None = None,
    draw: Literal["replace", "thin"] = "replace",
    standardize: bool = False,
    random_state: int | np.random.Generator | np.random.RandomState | None = None,
) -> ShiftProblem:
    """Covariate shift by tilted sampling of real rows, with known weights.

    The rows are split at random. The first part is the source as it is. The target is drawn from the
    second part with probability proportional to exp(x'beta), so no row is in both samples.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
    y : array-like of shape (n_rows,)
        Labels or numbers; they go along with their rows and decide nothing.
    beta : array-like of shape (n_features,)
        Direction and strength of the tilt, per unit of each feature.
    source_fraction : float, default=0.5
        Share of the rows that becomes the source, between 0 and 1.
    n_target : int, default=None
        Target rows to draw, with ``draw="replace"``. At most one of ``n_target`` and
        ``target_fraction``; neither means as many as the second part has rows.
    target_fraction : float, default=None
        The same as a share of the second part; the paper draws 0.25.
    draw : {"replace", "thin"}, default="replace"
        "replace" draws independently with replacement, as the paper says: a row of large weight comes
        several times. "thin" keeps each row once with probability w / max(w): no repeats, and the
        number of target rows is random (expected: rows of the second part / max(w)). The authors' code
        repeats the thinning until a quarter of the rows is reached, which repeats rows too.
    standardize : bool, default=False
        Tilt (x - mean) / sd instead of x. The returned rows keep their own units either way.
    random_state : int, RandomState, Generator or None, default=None

    Returns
    -------
    ShiftProblem
        ``source_weights`` and ``target_weights`` are exp(x'beta) divided by its mean over all rows;
        kind "covariate". Over the random split a row enters the source with equal chances and the
        target in proportion to its weight, up to the sampling error of the second part's mean weight.

    Raises
    ------
    ShiftDataError
        For bad rows, a beta or y of another length, sizes that leave a sample without rows, or both
        n_target and target_fraction.

    See Also
    --------
    tilt_log_weights : Its true log weights.
    gaussian_covariate_shift : N(0, I) to N(mu, diag(s^2)).

    Examples
    --------
    >>> X = np.arange(40.0).reshape(20, 2)
    >>> problem = exponential_tilt(X, X[:, 0], [0.1, 0.0], n_target=5, random_state=0)
    >>> problem.X_source.shape, problem.X_target.shape
    ((10, 2), (5, 2))
    """
    rows = check_matrix(X, "X")
    n_rows = len(rows)
    labels = as_array(y, "y")
    if labels.shape != (n_rows,):
        raise ShiftDataError(f"y has shape {labels.shape} for {n_rows} rows: pass a 1D array with one value per row.")
    check_number(source_fraction, "source_fraction", above=0, below=1)
    check_option(draw, "draw", ["replace", "thin"])
    _check_one_target_size(n_target, target_fraction, draw)
    log_weights = tilt_log_weights(rows, beta, standardize=standardize)
    n_source = round(source_fraction * n_rows)
    n_rest = n_rows - n_source
    if n_source == 0 or n_rest == 0:
        raise ShiftDataError(
            f"source_fraction={source_fraction!r} of {n_rows} rows leaves {n_source} source rows and "
            f"{n_rest} to draw the target from: both need at least 1."
        )
    if target_fraction is not None:
        check_number(target_fraction, "target_fraction", above=0, most=1e6)
        n_target = max(1, round(target_fraction * n_rest))
    n_target = n_rest if n_target is None else check_count(n_target, "n_target")

    generator = check_generator(random_state)
    order = generator.permutation(n_rows)
    source, rest = order[:n_source], order[n_source:]
    relative = np.exp(log_weights[rest] - log_weights[rest].max())
    if draw == "replace":
        target = generator.choice(rest, size=n_target, p=relative / relative.sum())
    else:
        # The row of largest weight is kept for sure, so the target is never empty.
        target = rest[generator.random(n_rest) <= relative]
    weights = np.exp(log_weights)
    return ShiftProblem(
        rows[source],
        labels[source],
        rows[target],
        labels[target],
        kind="covariate",
        description="target rows drawn in proportion to exp(x'beta)",
        source_weights=weights[source],
        target_weights=weights[target],
    )
