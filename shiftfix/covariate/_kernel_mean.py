"""Covariate weights by kernel mean matching (KMM).

The weights beta of the source rows make the weighted mean embedding of the source that of the target:

    minimise  1/2 beta' K beta - kappa' beta
    subject to  0 <= beta_i <= bound,   |sum(beta) - n_source| <= n_source * slack,

with K_il = k(x_i, x_l), kappa_i = (n_source / n_target) sum_j k(x_i, x'_j) and slack = (sqrt(n_source) - 1) /
sqrt(n_source). Divided by n_source, the gradient is the difference of the two mean embeddings at the source rows,

    g_i = (1 / n_source) sum_l beta_l k(x_i, x_l) - mean_T k(x_i, .),

which lies between -1 and bound: here every tolerance is in its unit. A row that counts c times is c rows of one weight.
The problem is solved by an interior-point method whose linear systems need products with K only. They run over blocks
of a stored triangle of K, in single precision where double takes too much, and of kernels computed anew where that
does too. The conditions of optimality are checked in double precision at the end.
Source: Huang, Smola, Gretton, Borgwardt & Schoelkopf (2006), Advances in Neural Information Processing Systems 19,
equation 12.
"""

import warnings

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.exceptions import ConvergenceWarning

from shiftfix._blocks import row_blocks
from shiftfix._kernels import (
    RATIO_FLOOR,
    candidates,
    distinct_rows,
    gaussian_kernel,
    kernel_times,
    prepare_kernels,
    squared_distances,
)
from shiftfix._validation import check_count, check_generator, check_number
from shiftfix.covariate._base import BaseWeighter

# What the stored triangle of K may take: float64 up to about 8,000 rows, float32 up to 11,000, nothing stored beyond.
CACHE_BYTES = 2**28
STRIP_ROWS = 256
# The preconditioner need not be exact: what its factor leaves out of K counts with its diagonal.
MAX_RANK = 500
LOW_RANK_TOL = 1e-10
CONJUGATE_STEPS = 200
STEP_TO_BOUNDARY = 0.99
# Means this close to an end of the band lie on it: weights set to 0 at the end of the iterations move them a little.
BAND_ROUNDING = 1e-6


class SymmetricKernel:
    """Products with the kernel matrix of rows with themselves, from strips of its upper triangle.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
    bandwidth : float
    cache_bytes : int
        Bound of what is stored; without room for single precision every product computes the kernels again.
    """

    def __init__(self, rows, bandwidth, cache_bytes=CACHE_BYTES):
        self.rows, self.bandwidth = rows, bandwidth
        n_entries = len(rows) * (len(rows) + STRIP_ROWS) / 2
        fitting = [dtype for dtype in (np.float64, np.float32) if n_entries * np.dtype(dtype).itemsize <= cache_bytes]
        self.dtype = fitting[0] if fitting else np.float64
        starts = range(0, len(rows), STRIP_ROWS)
        self.strips = [self._strip(start) for start in starts] if fitting else None

    def _strip(self, start):
        """Kernel values of the rows from ``start`` on with themselves and all later ones."""
        strip = np.empty((min(STRIP_ROWS, len(self.rows) - start), len(self.rows) - start), self.dtype)
        for part in row_blocks(len(strip), strip.shape[1]):
            rows = self.rows[start:][part]
            strip[part] = gaussian_kernel(squared_distances(rows, self.rows[start:]), self.bandwidth)
        return strip

    def times(self, vector):
        """K times ``vector`` in the precision stored, shape (n_rows,)."""
        if self.strips is None:
            return self.exact_times(vector)
        vector = vector.astype(self.dtype)
        product = np.zeros(len(vector))
        start = 0
        for strip in self.strips:
            stop = start + len(strip)
            product[start:stop] += strip @ vector[start:]
            product[stop:] += vector[start:stop] @ strip[:, len(strip) :]
            start = stop
        return product

    def exact_times(self, vector):
        """K times ``vector`` in double precision, shape (n_rows,)."""
        if self.strips is not None and self.dtype is np.float64:
            return self.times(vector)
        return kernel_times(self.rows, self.rows, self.bandwidth, vector)


def optimality_residual(beta, gradient, shares, bound, slack):
    """Largest violation of the Karush-Kuhn-Tucker conditions over the best multiplier of the band; a float.

    With multiplier nu: gradient + nu is 0 where 0 < beta < bound, >= 0 where beta = 0 and <= 0 where beta = bound;
    nu is 0 inside the band, >= 0 at its upper and <= 0 at its lower end. A mean outside the band violates its
    condition by the distance.
    """
    largest = float(gradient[beta > 0].max(initial=-np.inf))
    least = float(gradient[beta < bound].min(initial=np.inf))
    outside = abs(float(shares @ beta) - 1) - slack
    nu = 0.0
    if outside >= -BAND_ROUNDING:
        # All weights at one bound leave one side only.
        nu = -largest if np.isinf(least) else -least if np.isinf(largest) else -0.5 * (largest + least)
        if slack > BAND_ROUNDING:
            nu = max(nu, 0.0) if shares @ beta > 1 else min(nu, 0.0)
    return max(largest + nu, -(least + nu), outside, 0.0)


def pivoted_cholesky(rows, bandwidth, rank=MAX_RANK, tol=LOW_RANK_TOL):
    """Factor L of shape (n_rows, at most rank) with K close to L L', and the diagonal of K - L L'.

    Every step takes the row whose diagonal is worst approximated, and stops when none is off by more than ``tol``.
    """
    n_rows = len(rows)
    factor, rest = np.zeros((n_rows, min(rank, n_rows))), np.ones(n_rows)
    for k in range(factor.shape[1]):
        pivot = int(rest.argmax())
        if rest[pivot] <= tol:
            return factor[:, :k], rest
        column = gaussian_kernel(squared_distances(rows, rows[[pivot]]), bandwidth)[:, 0]
        factor[:, k] = (column - factor[:, :k] @ factor[pivot, :k]) / np.sqrt(rest[pivot])
        rest = np.maximum(rest - factor[:, k] ** 2, 0)
        rest[pivot] = 0
    return factor, rest


def conjugate_gradients(times, precondition, right, enough):
    """Solve a positive definite system until ``enough(residual)``; the solution's approximation."""
    solution, residual = np.zeros(len(right)), right.copy()
    direction, old = np.zeros(len(right)), 1.0
    for _ in range(CONJUGATE_STEPS):
        if enough(residual):
            break
        improved = precondition(residual)
        product = float(residual @ improved)
        direction = improved + product / old * direction
        old = product
        image = times(direction)
        length = product / float(direction @ image)
        solution += length * direction
        residual -= length * image
    return solution


def mean_gradient(kernel, shares, target_mean, ridge, beta):
    """Gradient in double precision, shape (n_rows,)."""
    return kernel.exact_times(shares * beta) - target_mean + ridge * (beta - 1)


def solve_box(kernel, low_rank, shares, target_mean, bound, mean, slack, ridge, tol, max_iter):
    """Interior-point solution for 0 <= beta <= bound, with shares' beta = ``mean`` unless that is None.

    ``slack`` is that of the band whose conditions of optimality end the iterations; infinite for no band.

    With gradient g, multipliers z of beta >= 0, y of beta <= bound and nu of the mean: g - z + y + nu = 0,
    beta z = mu and (bound - beta) y = mu for mu falling to 0. Newton's system, scaled to be symmetric, is solved by
    conjugate gradients, preconditioned with the low-rank factor, the diagonal it misses and the barrier.

    Returns
    -------
    beta : ndarray of shape (n_rows,)
        With entries that their multiplier outweighs set to the bound they tend to.
    gradient : ndarray of shape (n_rows,)
        In double precision.
    n_iter : int
    """
    factor, rest = low_rank
    root = np.sqrt(shares)
    scaled_factor, missed = factor * root[:, np.newaxis], rest * shares
    beta = np.full(len(shares), min(1.0, 0.5 * bound) if mean is None else mean)
    z, y, nu = np.full(len(shares), 0.1), np.full(len(shares), 0.1 / bound), 0.0
    # Stored kernels may be in single precision: multiply the difference from a reference, so that the error of the
    # products vanishes with it.
    reference, at_reference = beta, mean_gradient(kernel, shares, target_mean, ridge, beta)
    gradient, best = at_reference, (np.inf, beta, at_reference)
    for n_iter in range(1, max_iter + 1):
        snapped = np.where(beta < z, 0.0, np.where(bound - beta < y, bound, beta))
        stationary = np.abs(gradient - z + y + nu).max()
        gap = max(float((beta * z).max()), float(((bound - beta) * y).max()))
        if max(stationary, gap) <= 2 * tol or n_iter == max_iter:
            reference, at_reference = snapped, mean_gradient(kernel, shares, target_mean, ridge, snapped)
            gradient = at_reference + kernel.times(shares * (beta - reference)) + ridge * (beta - reference)
            residual = optimality_residual(snapped, at_reference, shares, bound, slack)
            if residual < best[0]:
                best = residual, snapped, at_reference
            if residual <= tol:
                break
        mu = 0.1 * float(shares @ (beta * z + (bound - beta) * y)) / 2
        barrier = z / beta + y / (bound - beta) + ridge
        right = -(gradient + nu) + mu / beta - mu / (bound - beta)
        diagonal = np.maximum(missed + barrier, 1e-14)
        over_diagonal = scaled_factor / diagonal[:, np.newaxis]
        core = cho_factor(np.eye(factor.shape[1]) + scaled_factor.T @ over_diagonal)

        def times(v, barrier=barrier):
            return root * kernel.times(root * v) + barrier * v

        def precondition(v, diagonal=diagonal, over_diagonal=over_diagonal, core=core):
            return v / diagonal - over_diagonal @ cho_solve(core, over_diagonal.T @ v)

        wanted = max(0.02 * float(np.abs(right).max()), 0.02 * tol)

        def enough(residual, wanted=wanted):
            return bool(np.abs(residual / root).max() <= wanted)

        step = conjugate_gradients(times, precondition, root * right, enough)
        step_nu = 0.0
        if mean is not None:
            along = conjugate_gradients(times, precondition, root, lambda r: bool(np.abs(r / root).max() <= 1e-3))
            step_nu = float((root @ step - (mean - shares @ beta)) / (root @ along))
            step = step - step_nu * along
        step = step / root
        step_z = mu / beta - z - z * step / beta
        step_y = mu / (bound - beta) - y + y * step / (bound - beta)
        length = STEP_TO_BOUNDARY * min(
            longest_step(values, change)
            for values, change in ((beta, step), (bound - beta, -step), (z, step_z), (y, step_y))
        )
        length = min(1.0, length)
        beta, z, y, nu = beta + length * step, z + length * step_z, y + length * step_y, nu + length * step_nu
        gradient = at_reference + kernel.times(shares * (beta - reference)) + ridge * (beta - reference)
    return best[1], best[2], n_iter


def longest_step(values, step):
    """Length of the step, infinite where nothing falls, at which the first of the values reaches 0."""
    falling = step < 0
    return float((values[falling] / -step[falling]).min()) if falling.any() else np.inf


def match_kernel_means(kernel, shares, target_mean, bound, slack, ridge=0.0, tol=1e-6, max_iter=100):
    """Solve the quadratic programme.

    The best value for a given mean weight is convex in that mean: when the solution without the band has a mean outside
    it, the solution with the band lies on its nearer end.

    Parameters
    ----------
    kernel : SymmetricKernel
    shares : ndarray of shape (n_rows,)
        Counts of the rows, divided by their sum.
    target_mean : ndarray of shape (n_rows,)
        Mean over the target of k(x_i, .).
    bound : float
        Largest weight.
    slack : float
        Largest distance of the mean weight from 1.
    ridge : float, default=0.0
    tol : float, default=1e-6
        Residual (:func:`optimality_residual`) at which to stop.
    max_iter : int, default=100
        Interior-point steps.

    Returns
    -------
    beta : ndarray of shape (n_rows,)
    residual : float
        In double precision.
    n_iter : int
    """
    low_rank = pivoted_cholesky(kernel.rows, kernel.bandwidth)
    beta, gradient, n_iter = solve_box(kernel, low_rank, shares, target_mean, bound, None, np.inf, ridge, tol, max_iter)
    mean = float(shares @ beta)
    if abs(mean - 1) > slack:
        end = 1 + slack if mean > 1 else 1 - slack
        if end >= bound:  # slack 0 and bound 1
            beta = np.full(len(shares), bound)
            gradient = mean_gradient(kernel, shares, target_mean, ridge, beta)
        else:
            beta, gradient, n_iter = solve_box(
                kernel, low_rank, shares, target_mean, bound, end, slack, ridge, tol, max_iter
            )
    return beta, optimality_residual(beta, gradient, shares, bound, slack), n_iter


def kernel_average(X, rows, counts, values, bandwidth):
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
        Interior-point steps; each takes some products with the kernel matrix.
    random_state : int, RandomState, Generator or None, default=0
        Draws the rows for the median distance. The default is a number, not None, so that the same data give the
        same weights.

    Attributes
    ----------
    bandwidth_ : float
    weights_ : ndarray of shape (n_distinct,)
        Solution for the distinct source rows, neither clipped nor normalised.
    rows_ : ndarray of shape (n_distinct, n_features)
        Those rows, sorted, in the units of the features.
    residual_ : float
        Largest violation of the optimality conditions, in double precision.
    n_iter_ : int
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

    Notes
    -----
    The kernel matrix of smooth kernels is singular for all purposes: weights that differ wildly match the kernel means
    equally well, and the exact solution of the published problem follows their noise. On N(0, 1) -> N(1, 1) with 1,000
    rows its weights have no correlation with the truth. The ridge chooses among them the one nearest to no weighting.
    Time grows with the square of the source rows; memory stays bounded: at most 256 MiB of kernels are kept. A weight
    below 1e-6 is raised to it, so that its logarithm is finite.
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
        bandwidth="auto",
        *,
        bound=1000.0,
        slack="auto",
        ridge="auto",
        clip="sqrt",
        min_ess=100,
        normalize="mean",
        tol=1e-6,
        max_iter=100,
        random_state=0,
    ):
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

    def _fit_log_ratio(self, X_source, X_target, sample_weight_source, sample_weight_target):
        check_number(self.bound, "bound", least=1)
        check_number(self.tol, "tol", above=0)
        check_count(self.max_iter, "max_iter")
        if not isinstance(self.bandwidth, str):
            check_number(self.bandwidth, "bandwidth", above=0)
        candidates(self.bandwidth, "bandwidth", ())
        n_source = sample_weight_source.sum()
        slack = 1 - 1 / np.sqrt(n_source) if isinstance(self.slack, str) and self.slack == "auto" else self.slack
        check_number(slack, "slack", least=0)
        ridge = 1 / n_source if isinstance(self.ridge, str) and self.ridge == "auto" else self.ridge
        check_number(ridge, "ridge", least=0)
        setup = prepare_kernels(
            X_source, X_target, sample_weight_source, sample_weight_target, 1, check_generator(self.random_state)
        )
        (self.bandwidth_,) = candidates(self.bandwidth, "bandwidth", [setup.median]).tolist()
        self.scaler_ = setup.scaler
        self.rows_, self._counts = distinct_rows(X_source + 0.0, sample_weight_source)
        rows = setup.scaler.transform(self.rows_)
        target_mean = kernel_times(rows, setup.target, self.bandwidth_, setup.counts_target / setup.counts_target.sum())
        self.weights_, self.residual_, self.n_iter_ = match_kernel_means(
            SymmetricKernel(rows, self.bandwidth_),
            self._counts / n_source,
            target_mean,
            float(self.bound),
            slack,
            ridge,
            tol=self.tol,
            max_iter=self.max_iter,
        )
        if self.residual_ > self.tol:
            warnings.warn(
                f"KMM stopped with its optimality conditions violated by {self.residual_:.1e}, and tol={self.tol:g} "
                "was asked: raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _log_ratio(self, X):
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
