"""Covariate weights by kernel mean matching (KMM).

The weights beta of the source rows make the weighted mean embedding of the source that of the target:

    minimise  1/2 beta' K beta - kappa' beta
    subject to  0 <= beta_i <= bound,   |sum(beta) - n_source| <= n_source * slack,

with K_il = k(x_i, x_l), kappa_i = (n_source / n_target) sum_j k(x_i, x'_j) and slack = (sqrt(n_source) - 1) /
sqrt(n_source). Divided by n_source, the gradient is the difference of the two mean embeddings at the source rows,

    g_i = (1 / n_source) sum_l beta_l k(x_i, x_l) - mean_T k(x_i, .),

which lies between -1 and bound: here every tolerance is in its unit. A row that counts c times is c rows of one weight.
``_kernel_mean_solver.py`` solves it, and ``_kernel_mean_many.py`` for more rows than kernels are stored of.
Source: Huang, Smola, Gretton, Borgwardt & Schoelkopf (2006), Advances in Neural Information Processing Systems 19,
equation 12.
"""

from typing import Any, Literal

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from shiftfix._blocks import row_blocks
from shiftfix._kernels import (
    LARGEST_SETTING,
    RATIO_FLOOR,
    candidates,
    distinct_rows,
    gaussian_kernel,
    kernel_times,
    prepare_kernels,
    squared_distances,
)
from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_count, check_generator, check_number
from shiftfix.covariate._base import BaseWeighter, FittedRatio
from shiftfix.covariate._kernel_mean_many import match_kernel_means
from shiftfix.covariate._kernel_mean_solver import SymmetricKernel


def kernel_average(X: Floats, rows: Floats, counts: Floats, values: Floats, bandwidth: float) -> Floats:
    """Average of ``values`` over the rows, weighted by counts and by the kernel around each row of X.

    Kernels are taken relative to the nearest row's, so that far away the average is the nearest row's value.
    """
    average = np.empty(len(X))
    for part in row_blocks(len(X), len(rows)):
        squares = squared_distances(X[part], rows)
        squares -= squares.min(axis=1, keepdims=True)
        phi = gaussian_kernel(squares, bandwidth)
        average[part] = phi @ (counts * values) / (phi @ counts)
    return average


class KMM(BaseWeighter):
    """Weight source rows so that their mean kernel embedding is that of the target.

    The features are standardised inside, by both samples together. The method gives weights of the fitted source
    rows and no function of x. ``transform`` and ``log_ratio`` return those weights for rows that equal a fitted source
    row; for any other row the average of the fitted weights with the kernel as weight, which is smoother.

    Parameters
    ----------
    bandwidth : "auto" or float, default="auto"
        Width of the kernel, in units of the standardised features; the method has no criterion to choose it by.
        ``"auto"`` is the median distance between rows.
    bound : float, default=1000.0
        Largest weight, B of the source; at least 1.
    slack : "auto" or float, default="auto"
        Largest distance of the mean weight from 1, >= 0; ``"auto"`` is (sqrt(n_source) - 1) / sqrt(n_source).
    ridge : "auto" or float, default="auto"
        Pull of every weight towards 1, >= 0: adds ridge / 2 times the mean of (beta - 1)^2 to the problem divided by
        n_source^2. 0 is the problem as published; see Notes. ``"auto"`` is 1 / n_source.
    clip : "sqrt", float, percentile such as "99%", "ess", "pareto" or None, default="sqrt"
        Upper bound of a weight before normalisation; ``"sqrt"`` is mean(w) * sqrt(n_source). The other rules:
        :func:`shiftfix.weights.clip_threshold`.
    min_ess : float, default=100
        For ``clip="ess"``: effective sample size to reach, in rows from 1 on, a share of the source rows below 1.
    normalize : {"mean", None}, default="mean"
        ``"mean"`` divides by the mean clipped weight of the source.
    tol : float, default=1e-6
        Largest violation of the optimality conditions, in units of the kernel, whose values lie in [0, 1].
    max_iter : int, default=100
        Interior-point steps, or low-rank problems; each takes products with the kernel matrix.
    random_state : int, RandomState, Generator or None, default=0
        Draws the rows for the median distance. The default is a number, not None, so that the same data give the
        same weights.

    Attributes
    ----------
    source_weights_ : ndarray of shape (n_source,)
        Finished weights of the fitted source rows, those with repeat count 0 too; what ``transform`` gives of them.
    bandwidth_ : float
    weights_ : ndarray of shape (n_distinct,)
        Solution for the distinct source rows, neither clipped nor normalised.
    rows_ : ndarray of shape (n_distinct, n_features)
        Those rows, sorted, in the units of the features.
    residual_ : float
        Largest violation of the optimality conditions, in double precision.
    gap_ : float
        Certified bound of how far the objective, divided by n_source^2, lies above its least value.
    n_iter_ : int
        Interior-point steps; with more than 11,000 rows low-rank problems solved.
    n_source_, n_target_ : float
        Rows of each sample, or the totals of their repeat counts.
    scaler_ : StandardScaler
        Of both samples together.
    log_clip_, log_mean_ : float
        Logarithms of the clip and of the mean clipped weight.
    summary_ : WeightSummary
        Effective size, overlap and the verdict.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when ``X_source`` had column names.

    Raises
    ------
    ShiftDataError
        By ``fit`` and ``transform``, for input or settings that cannot be used.

    Warns
    -----
    ConvergenceWarning
        By ``fit``, when ``residual_`` is above ``tol``.

    See Also
    --------
    KLIEP : The ratio by maximum likelihood on kernels.
    LogisticWeighter : Odds of a logistic source-versus-target classifier; the default.

    Notes
    -----
    The kernel matrix of smooth kernels is singular for all purposes: weights that differ wildly match the kernel means
    equally well, and the exact solution of the published problem follows their noise. On N(0, 1) -> N(1, 1) with 1,000
    rows its weights have no correlation with the truth. The ridge chooses among them the one nearest to no weighting.
    Time grows with the square of the source rows; memory stays bounded: at most 256 MiB of kernels are kept. Beyond
    some 11,000 distinct source rows, whose kernels take more, problems with a kernel matrix of rank 500 are solved
    instead, each corrected by one product with the whole matrix, until the conditions of the whole problem hold to
    ``tol`` as they do for fewer rows. A weight below 1e-6 is raised to it, so that its logarithm is finite.
    Source: Huang, Smola, Gretton, Borgwardt & Schoelkopf (2006), Advances in Neural Information Processing Systems 19,
    equation 12.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X_source, X_target = rng.normal(0, 1, (500, 1)), rng.normal(0.5, 1, (500, 1))
    >>> w = KMM().fit_transform(X_source, X_target)
    >>> bool(abs(np.average(X_source[:, 0], weights=w) - X_target.mean()) < 0.05)
    True
    """

    def __init__(
        self,
        bandwidth: Any = "auto",
        *,
        bound: float = 1000.0,
        slack: float | Literal["auto"] = "auto",
        ridge: float | Literal["auto"] = "auto",
        clip: str | float | None = "sqrt",
        min_ess: float = 100,
        normalize: Literal["mean"] | None = "mean",
        tol: float = 1e-6,
        max_iter: int = 100,
        random_state: Any = 0,
    ) -> None:
        self.bandwidth = bandwidth
        self.bound = bound
        self.slack = slack
        self.ridge = ridge
        self.clip = clip
        self.min_ess = min_ess
        self.normalize = normalize
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

    def _check_settings(self, n_source: float) -> tuple[float, float]:
        """Slack and ridge, as numbers; the other settings are only checked."""
        check_number(self.bound, "bound", least=1, most=LARGEST_SETTING)
        check_number(self.tol, "tol", above=0)
        check_count(self.max_iter, "max_iter")
        if not isinstance(self.bandwidth, str):
            check_number(self.bandwidth, "bandwidth", above=0)
        candidates(self.bandwidth, "bandwidth", ())
        slack = 1 - 1 / np.sqrt(n_source) if isinstance(self.slack, str) and self.slack == "auto" else self.slack
        check_number(slack, "slack", least=0)
        ridge = 1 / n_source if isinstance(self.ridge, str) and self.ridge == "auto" else self.ridge
        return slack, check_number(ridge, "ridge", least=0, most=LARGEST_SETTING)

    def _fit_log_ratio(self, X_source: Any, X_target: Any, counts_source: Floats, counts_target: Floats) -> FittedRatio:
        n_source, n_target = counts_source.sum(), counts_target.sum()
        slack, ridge = self._check_settings(n_source)
        generator = check_generator(self.random_state)
        setup = prepare_kernels(X_source, X_target, counts_source, counts_target, 1, generator)
        (bandwidth,) = candidates(self.bandwidth, "bandwidth", [setup.median]).tolist()
        distinct, counts = distinct_rows(X_source + 0.0, counts_source)
        rows = setup.scaler.transform(distinct)
        target_mean = kernel_times(rows, setup.target, bandwidth, setup.counts_target / setup.counts_target.sum())
        kernel, bound = SymmetricKernel(rows, bandwidth), float(self.bound)
        solved = match_kernel_means(
            kernel, counts / n_source, target_mean, bound, slack, ridge, tol=self.tol, max_iter=self.max_iter
        )
        self.bandwidth_, self.scaler_ = bandwidth, setup.scaler
        self.rows_, self._counts = distinct, counts
        self.weights_, self.residual_, self.gap_, self.n_iter_ = solved
        at_source, at_target = self._log_ratio(X_source), self._log_ratio(X_target)
        return FittedRatio(at_source, at_target, float(n_source), float(n_target), warnings=self._unsolved())

    def _unsolved(self) -> list[Warning]:
        if self.residual_ <= self.tol:
            return []
        return [
            ConvergenceWarning(
                f"KMM stopped with its optimality conditions violated by {self.residual_:.1e}, and tol={self.tol:g} "
                "was asked: raise max_iter or tol."
            )
        ]

    def _log_ratio(self, X: Any) -> Floats:
        position = {row.tobytes(): i for i, row in enumerate(self.rows_)}
        found = np.array([position.get(row.tobytes(), -1) for row in np.ascontiguousarray(X + 0.0)])
        w = self.weights_[found]
        new = found < 0
        if new.any():
            w[new] = kernel_average(
                self.scaler_.transform(X[new]),
                self.scaler_.transform(self.rows_),
                self._counts,
                self.weights_,
                self.bandwidth_,
            )
        return np.log(np.maximum(w, RATIO_FLOOR))
