"""The quadratic programme of kernel mean matching, by an interior-point method that needs products with K only.

Products run over blocks of a stored triangle of K, in single precision where double takes too much, and of kernels
computed anew where that does too. The conditions of optimality are checked in double precision at the end. The problem
and its letters stand in ``_kernel_mean.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from shiftfix._blocks import row_blocks
from shiftfix._kernels import gaussian_kernel, kernel_times, squared_distances
from shiftfix._numerics import Floats

# What the stored triangle of K may take: float64 up to about 8,000 rows, float32 up to 11,000, nothing stored beyond.
CACHE_BYTES = 2**28
STRIP_ROWS = 256
# Kernels that are made in single precision at a time: 1 MB.
ROUGH_ROWS, ROUGH_COLUMNS = 256, 1024
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

    def __init__(self, rows: Floats, bandwidth: float, cache_bytes: int = CACHE_BYTES) -> None:
        self.rows, self.bandwidth = rows, bandwidth
        n_entries = len(rows) * (len(rows) + STRIP_ROWS) / 2
        fitting = [dtype for dtype in (np.float64, np.float32) if n_entries * np.dtype(dtype).itemsize <= cache_bytes]
        self.dtype = fitting[0] if fitting else np.float64
        starts = range(0, len(rows), STRIP_ROWS)
        self.strips = [self._strip(start) for start in starts] if fitting else None

    def _strip(self, start: int) -> NDArray[Any]:
        """Kernel values of the rows from ``start`` on with themselves and all later ones."""
        strip = np.empty((min(STRIP_ROWS, len(self.rows) - start), len(self.rows) - start), self.dtype)
        for part in row_blocks(len(strip), strip.shape[1]):
            rows = self.rows[start:][part]
            strip[part] = gaussian_kernel(squared_distances(rows, self.rows[start:]), self.bandwidth)
        return strip

    def times(self, vector: Floats) -> Floats:
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

    def rough_times(self, vector: Floats) -> Floats:
        """K times ``vector`` in single precision, by kernels that are not stored; shape (n_rows,)."""
        rows, product = self.rows.astype(np.float32), np.zeros(len(vector))
        scaled, largest = rows / np.float32(self.bandwidth), np.abs(vector).max()
        if largest == 0:
            return product
        squares, values = np.einsum("ij,ij->i", scaled, scaled) / 2, (vector / largest).astype(np.float32)
        for start in range(0, len(rows), ROUGH_ROWS):
            block = slice(start, start + ROUGH_ROWS)
            for first in range(start, len(rows), ROUGH_COLUMNS):
                part = slice(first, first + ROUGH_COLUMNS)
                exponent = scaled[block] @ scaled[part].T
                exponent -= squares[block, np.newaxis]
                exponent -= squares[part]
                kernels = np.exp(exponent, out=exponent)
                product[block] += kernels @ values[part]
                # Of every pair of rows one kernel is made, which serves both.
                beyond = max(start + ROUGH_ROWS - first, 0)
                product[part][beyond:] += values[block] @ kernels[:, beyond:]
        return product * largest

    def exact_times(self, vector: Floats) -> Floats:
        """K times ``vector`` in double precision, shape (n_rows,)."""
        if self.strips is not None and self.dtype is np.float64:
            return self.times(vector)
        return kernel_times(self.rows, self.rows, self.bandwidth, vector)


class Products(Protocol):
    """Products with a kernel matrix."""

    def times(self, vector: Floats) -> Floats:
        """In the precision stored."""
        ...

    def exact_times(self, vector: Floats) -> Floats:
        """In double precision."""
        ...


def optimality_residual(beta: Floats, gradient: Floats, shares: Floats, bound: float, slack: float) -> float:
    """Largest violation of the Karush-Kuhn-Tucker conditions over the best multiplier of the band; a float.

    With multiplier nu: gradient + nu is 0 where 0 < beta < bound, >= 0 where beta = 0 and <= 0 where beta = bound;
    nu is 0 inside the band, >= 0 at its upper and <= 0 at its lower end. A mean outside the band violates its
    condition by the distance.
    """
    return _residual_and_multiplier(beta, gradient, shares, bound, slack)[0]


def _residual_and_multiplier(
    beta: Floats, gradient: Floats, shares: Floats, bound: float, slack: float
) -> tuple[float, float]:
    """The violation, and the multiplier of the band under which it is least."""
    largest = float(gradient[beta > 0].max(initial=-np.inf))
    least = float(gradient[beta < bound].min(initial=np.inf))
    outside = abs(float(shares @ beta) - 1) - slack
    nu = 0.0
    if outside >= -BAND_ROUNDING:
        # All weights at one bound leave one side only.
        nu = -largest if np.isinf(least) else -least if np.isinf(largest) else -0.5 * (largest + least)
        if slack > BAND_ROUNDING:
            nu = max(nu, 0.0) if shares @ beta > 1 else min(nu, 0.0)
    return max(largest + nu, -(least + nu), outside, 0.0), nu


def duality_gap(beta: Floats, gradient: Floats, shares: Floats, bound: float, slack: float, ridge: float) -> float:
    """Bound of what the objective lies above its least value, by weak duality; a float.

    The objective lies above its tangent at beta plus ridge / 2 * sum shares (beta' - beta)^2. With a multiplier nu of
    the band, the least of that over 0 <= beta' <= bound is a sum over the rows, and no more than the least value.
    """
    _, nu = _residual_and_multiplier(beta, gradient, shares, bound, slack)
    slope = gradient + nu
    # Where the parabola of a row is least, within the bounds; without a ridge at one of them.
    with np.errstate(divide="ignore", invalid="ignore"):
        best = np.where(slope == 0, beta, np.clip(beta - slope / ridge, 0, bound))
    away = best - beta
    fall = -float(shares @ (away * (slope + ridge / 2 * away)))
    end = min(1 + slack, bound) if nu > 0 else 1 - slack
    return max(fall + nu * (end - float(shares @ beta)), 0.0)


def pivoted_cholesky(
    rows: Floats, bandwidth: float, rank: int = MAX_RANK, tol: float = LOW_RANK_TOL
) -> tuple[Floats, Floats]:
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


def conjugate_gradients(
    times: Callable[[Floats], Floats],
    precondition: Callable[[Floats], Floats],
    right: Floats,
    enough: Callable[[Floats], bool],
) -> Floats:
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


@dataclass(frozen=True)
class Matching:
    """The problem for 0 <= beta <= bound, divided by n_source, with a factor of its kernel matrix.

    Attributes
    ----------
    kernel : SymmetricKernel, or one with the same products
    low_rank : tuple of ndarray
        As :func:`pivoted_cholesky` gives them.
    shares : ndarray of shape (n_rows,)
        Counts of the rows, divided by their sum.
    target_mean : ndarray of shape (n_rows,)
        Mean over the target of k(x_i, .).
    bound, ridge : float
    """

    kernel: Products
    low_rank: tuple[Floats, Floats]
    shares: Floats
    target_mean: Floats
    bound: float
    ridge: float

    def gradient(self, beta: Floats) -> Floats:
        """Gradient in double precision, shape (n_rows,)."""
        return self.kernel.exact_times(self.shares * beta) - self.target_mean + self.ridge * (beta - 1)

    def gradient_from(self, reference: Floats, at_reference: Floats, beta: Floats) -> Floats:
        """Gradient from that at a reference.

        Stored kernels may be in single precision: they multiply the difference from the reference, so that the error
        of the products vanishes with it.
        """
        away = beta - reference
        return at_reference + self.kernel.times(self.shares * away) + self.ridge * away


class Point(NamedTuple):
    """Weights, the multipliers z of beta >= 0 and y of beta <= bound, and nu of the mean."""

    beta: Floats
    z: Floats
    y: Floats
    nu: float


def newton_step(matching: Matching, at: Point, gradient: Floats, mean: float | None, tol: float) -> Point:
    """Changes of weights and multipliers that solve the linearised conditions.

    Newton's system, scaled to be symmetric, is solved by conjugate gradients, preconditioned with the low-rank factor,
    the diagonal it misses and the barrier.
    """
    (beta, z, y, nu), bound, shares = at, matching.bound, matching.shares
    root = np.sqrt(shares)
    factor, rest = matching.low_rank
    scaled_factor, missed = factor * root[:, np.newaxis], rest * shares
    mu = 0.1 * float(shares @ (beta * z + (bound - beta) * y)) / 2
    barrier = z / beta + y / (bound - beta) + matching.ridge
    right = -(gradient + nu) + mu / beta - mu / (bound - beta)
    diagonal = np.maximum(missed + barrier, 1e-14)
    over_root = np.divide(scaled_factor, np.sqrt(diagonal)[:, np.newaxis], out=scaled_factor)
    core = cho_factor(np.eye(factor.shape[1]) + over_root.T @ over_root)

    def times(v: Floats) -> Floats:
        return root * matching.kernel.times(root * v) + barrier * v

    def precondition(v: Floats) -> Floats:
        halved = v / np.sqrt(diagonal)
        return (halved - over_root @ cho_solve(core, over_root.T @ halved)) / np.sqrt(diagonal)

    def solve(right: Floats, wanted: float) -> Floats:
        return conjugate_gradients(times, precondition, right, lambda r: bool(np.abs(r / root).max() <= wanted))

    step = solve(root * right, max(0.02 * float(np.abs(right).max()), 0.02 * tol))
    step_nu = 0.0
    if mean is not None:
        along = solve(root, 1e-3)
        step_nu = float((root @ step - (mean - shares @ beta)) / (root @ along))
        step = step - step_nu * along
    step = step / root
    step_z = mu / beta - z - z * step / beta
    step_y = mu / (bound - beta) - y + y * step / (bound - beta)
    return Point(step, step_z, step_y, step_nu)


def moved(at: Point, step: Point, bound: float) -> Point:
    """The point after the step, or the part of it that leaves weights and multipliers inside their bounds."""
    pairs = (at.beta, step.beta), (bound - at.beta, -step.beta), (at.z, step.z), (at.y, step.y)
    length = min(1.0, STEP_TO_BOUNDARY * min(longest_step(values, change) for values, change in pairs))
    return Point(at.beta + length * step.beta, at.z + length * step.z, at.y + length * step.y, at.nu + length * step.nu)


def longest_step(values: Floats, step: Floats) -> float:
    """Length of the step, infinite where nothing falls, at which the first of the values reaches 0."""
    falling = step < 0
    return float((values[falling] / -step[falling]).min()) if falling.any() else np.inf


def solve_box(
    matching: Matching, mean: float | None, slack: float, tol: float, max_iter: int
) -> tuple[Floats, Floats, int]:
    """Interior-point solution for 0 <= beta <= bound, with shares' beta = ``mean`` unless that is None.

    ``slack`` is that of the band whose conditions of optimality end the iterations; infinite for no band.

    With gradient g, multipliers z of beta >= 0, y of beta <= bound and nu of the mean: g - z + y + nu = 0,
    beta z = mu and (bound - beta) y = mu for mu falling to 0.

    Returns
    -------
    beta : ndarray of shape (n_rows,)
        With entries that their multiplier outweighs set to the bound they tend to.
    gradient : ndarray of shape (n_rows,)
        In double precision.
    n_iter : int
    """
    bound, n_rows = matching.bound, len(matching.shares)
    start = np.full(n_rows, min(1.0, 0.5 * bound) if mean is None else mean)
    at = Point(start, np.full(n_rows, 0.1), np.full(n_rows, 0.1 / bound), 0.0)
    reference, at_reference = start, matching.gradient(start)
    gradient, best = at_reference, (np.inf, start, at_reference)
    for n_iter in range(1, max_iter + 1):
        beta, z, y, nu = at
        snapped = np.where(beta < z, 0.0, np.where(bound - beta < y, bound, beta))
        stationary = np.abs(gradient - z + y + nu).max()
        gap = max(float((beta * z).max()), float(((bound - beta) * y).max()))
        if max(stationary, gap) <= 2 * tol or n_iter == max_iter:
            reference, at_reference = snapped, matching.gradient(snapped)
            gradient = matching.gradient_from(reference, at_reference, beta)
            residual = optimality_residual(snapped, at_reference, matching.shares, bound, slack)
            if residual < best[0]:
                best = residual, snapped, at_reference
            if residual <= tol:
                break
        at = moved(at, newton_step(matching, at, gradient, mean, tol), bound)
        gradient = matching.gradient_from(reference, at_reference, at.beta)
    return best[1], best[2], n_iter


def solve_matching(matching: Matching, slack: float, tol: float, max_iter: int) -> tuple[Floats, Floats, int]:
    """Solve the quadratic programme.

    The best value for a given mean weight is convex in that mean: when the solution without the band has a mean outside
    it, the solution with the band lies on its nearer end.

    Parameters
    ----------
    matching : Matching
    slack : float
        Largest distance of the mean weight from 1.
    tol : float
        Residual (:func:`optimality_residual`) at which to stop.
    max_iter : int
        Interior-point steps.

    Returns
    -------
    beta, gradient : ndarray of shape (n_rows,)
        The gradient in double precision.
    n_iter : int
    """
    bound, shares = matching.bound, matching.shares
    beta, gradient, n_iter = solve_box(matching, None, np.inf, tol, max_iter)
    mean = float(shares @ beta)
    if abs(mean - 1) > slack:
        end = 1 + slack if mean > 1 else 1 - slack
        if end >= bound:  # slack 0 and bound 1
            beta = np.full(len(shares), bound)
            gradient = matching.gradient(beta)
        else:
            beta, gradient, n_iter = solve_box(matching, end, slack, tol, max_iter)
    return beta, gradient, n_iter
