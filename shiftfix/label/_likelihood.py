"""Likelihood of labels under calibrated scores, and its maximum.

With z = log scores, a_k > 0 a scale and b_k a bias of class k, the calibrated scores are softmax(a z + b). The mean
negative log likelihood of the labels y,

    F(a, b) = sum_i s_i [log sum_k exp(a_k z_ik + b_k) - a_{y_i} z_{iy_i} - b_{y_i}],    s_i = c_i / sum(c)

with repeat counts c, is convex in (a, b), which it is not in the temperature 1 / a. Where a sample is separated by the
scores F has no least value for finite a; a is therefore kept between 1e-3 and 1e2, and b is then finite for every class
with a row.

Sources: Bertsekas (1982), "Projected Newton methods for optimization problems with simple constraints", SIAM J.
Control Optim. 20(2):221-246; Nocedal & Wright (2006), "Numerical Optimization", section 7.1 (inexact Newton).
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpocon, dpotrf, dpotrs

from shiftfix._blocks import PRODUCT_ENTRIES, row_blocks
from shiftfix.label._labels import class_totals

CalibrationKind = Literal["none", "temperature", "bcts", "vector"]
CALIBRATIONS: tuple[CalibrationKind, ...] = ("none", "temperature", "bcts", "vector")

# The least normal float32. Scores of exactly 0 are mostly a softmax in float32 that rounds off what lies 88 to 104
# below the largest logit; a higher floor would throw away the order of the small scores, which an overconfident network
# needs once its scale is brought down.
FLOOR = float(np.finfo(np.float32).tiny)
SCALE_BOUNDS = (1e-3, 1e2)
# Largest entry of the projected gradient; those of b are differences of probabilities.
TOLERANCE = 1e-10
# Fits that only serve to be compared, or to start another.
ROUGH_TOLERANCE = 1e-5
MAX_ITERATIONS = 200
# Share of the gain that the slope promises which a step must bring.
ARMIJO = 1e-4
# Rounding error of F per unit of the largest scaled log score.
ROUNDING_PER_SCORE = 4 * float(np.finfo(np.float64).eps)
# Where every row is far on one side F is almost straight, and a Newton step has no measure.
LEAST_CURVATURE = 1e-8
LEAST_BLOCK_ROWS = 16
# Columns below which rows are summed column by column: in the order of numpy's own sum.
NARROW = 8
# Parameters up to which the Hessian is made and factored: products with it, some sixty in a step, cost more.
FACTORED_PARAMETERS = 3000
# Least reciprocal condition number of a Hessian that is solved with, and what is added to the diagonal of one below it,
# in units of that diagonal.
LEAST_CONDITION, DAMPING = 1e-14, 1e-11


def log_scores(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Logarithm in float64 of the scores, those below ``FLOOR`` (1.2e-38) raised to it; same shape."""
    z = np.maximum(scores, FLOOR, dtype=np.float64)
    return np.log(z, out=z)


def softmax_block(
    z: NDArray[np.float64], scale: NDArray[np.float64], bias: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Calibrated scores of a block of rows and the logarithms of their normalizers, in float64."""
    logits = z * scale
    logits += bias
    top = _over_columns(np.maximum, logits)
    logits -= top[:, np.newaxis]
    P = np.exp(logits, out=logits)
    total = _over_columns(np.add, P)
    P /= total[:, np.newaxis]
    return P, top + np.log(total)


def _over_columns(combine: np.ufunc, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maximum or sum of every row; of few columns column by column, which spares numpy's loop over short rows."""
    if table.shape[1] >= NARROW:
        return np.asarray(combine.reduce(table, axis=1))
    found: NDArray[np.float64] = table[:, 0].copy()
    for column in table.T[1:]:
        combine(found, column, out=found)
    return found


class Likelihood:
    """F over (a, b) of one kind, its gradient, and products with its Hessian, in blocks of rows.

    Parameters are one vector: one scale, or one per class, then the biases unless the kind has none. Biases are those
    of log scores centred by class: with them, scale and bias of a class that always scores low are not confounded.

    Parameters
    ----------
    z : ndarray of shape (n_rows, n_classes)
        Log scores.
    class_index : ndarray of shape (n_rows,)
    share : ndarray of shape (n_rows,)
        Repeat counts divided by their sum.
    kind : {"temperature", "bcts", "vector"}
    """

    curvature: NDArray[np.float64]

    def __init__(
        self, z: NDArray[np.float64], class_index: NDArray[np.intp], share: NDArray[np.float64], kind: CalibrationKind
    ) -> None:
        self.z, self.class_index, self.share = z, class_index, share
        n_classes = z.shape[1]
        self.n_scales = n_classes if kind == "vector" else 1
        self.has_bias = kind != "temperature"
        self.centre = share @ z if self.has_bias else np.zeros(n_classes)
        self.frequency = class_totals(class_index, share, n_classes)
        own = z[np.arange(len(z)), class_index] - self.centre[class_index]
        self.own_scores = class_totals(class_index, share * own, n_classes)
        self.P = np.empty_like(z)
        self.blocks = row_blocks(*z.shape, least=LEAST_BLOCK_ROWS)
        # Taken off once where that makes no second table of many blocks: products with the Hessian are many.
        self.only_block = z - self.centre if len(self.blocks) == 1 else None

    def centred(self, rows: slice) -> NDArray[np.float64]:
        """Log scores of a block of rows less their centre; not to be changed."""
        return self.z[rows] - self.centre if self.only_block is None else self.only_block

    def split(self, point: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scale and centred bias, each of shape (n_classes,), from a vector of parameters."""
        n_classes = self.z.shape[1]
        scale = np.broadcast_to(point[: self.n_scales], n_classes)
        return scale, point[self.n_scales :] if self.has_bias else np.zeros(n_classes)

    def join(self, scales: NDArray[np.float64], biases: NDArray[np.float64]) -> NDArray[np.float64]:
        """Vector of parameters from per-class terms: terms of a shared scale are added up."""
        parts = [scales if self.n_scales > 1 else [scales.sum()], biases if self.has_bias else []]
        return np.concatenate(parts)

    def __call__(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """F and its gradient; ``P`` and ``curvature``, the diagonal of the Hessian, are kept for this point."""
        scale, bias = self.split(point)
        value: Any = -(scale @ self.own_scores + bias @ self.frequency)
        scales, biases = -self.own_scores, -self.frequency
        scale_curvature: Any = 0.0
        bias_curvature: Any = 0.0
        shared = 0.0
        for rows in self.blocks:
            z, share = self.centred(rows), self.share[rows]
            P, normalizer = softmax_block(z, scale, bias)
            self.P[rows] = P
            value += share @ normalizer
            biases = biases + share @ P
            Pz = P * z
            scales = scales + share @ Pz
            if self.n_scales == 1:
                shared += share @ (np.einsum("ij,ij->i", Pz, z) - _over_columns(np.add, Pz) ** 2)
            else:
                scale_curvature = scale_curvature + share @ (Pz * z * (1 - P))
            if self.has_bias:
                bias_curvature = bias_curvature + share @ (P * (1 - P))
        first = [shared] if self.n_scales == 1 else scale_curvature
        self.curvature = np.concatenate([first, bias_curvature]) if self.has_bias else np.asarray(first)
        return value, self.join(scales, biases)

    def hessian_product(self, direction: NDArray[np.float64]) -> NDArray[np.float64]:
        """Hessian at the last point evaluated, times a direction."""
        scale, bias = direction[: self.n_scales], direction[self.n_scales :]
        scales: Any = 0.0
        biases: Any = 0.0
        for rows in self.blocks:
            z, P = self.centred(rows), self.P[rows]
            change = z * scale
            if self.has_bias:
                change += bias
            change -= np.einsum("ij,ij->i", P, change)[:, np.newaxis]
            change *= P
            biases = biases + self.share[rows] @ change
            change *= z
            scales = scales + self.share[rows] @ change
        return self.join(scales, biases)

    def hessian(self) -> NDArray[np.float64]:
        """Hessian at the last point evaluated, of a kind with biases; shape (n_parameters, n_parameters).

        The softmax of a row has covariance diag(p) - p p', so that a diagonal is left of which products of rows go off.
        """
        n_scales, n_classes = self.n_scales, self.z.shape[1]
        found = np.zeros((n_scales + n_classes, n_scales + n_classes))
        first, second, crossed = np.zeros(n_classes), np.zeros(n_classes), np.zeros(n_classes)
        for rows in row_blocks(*self.z.shape, entries=PRODUCT_ENTRIES):
            z, share, P = self.z[rows] - self.centre, self.share[rows], self.P[rows]
            Pz = P * z
            first += share @ P
            crossed += share @ Pz
            second += share @ (Pz * z)
            spread = np.hstack([Pz if n_scales > 1 else Pz.sum(axis=1, keepdims=True), P])
            spread *= np.sqrt(share)[:, np.newaxis]
            found -= spread.T @ spread
        scales, biases = np.arange(n_scales), n_scales + np.arange(n_classes)
        found[scales, scales] += second if n_scales > 1 else second.sum()
        found[scales, biases] += crossed  # one row, or the diagonal
        found[biases, scales] += crossed
        found[biases, biases] += first
        return found


def direct_newton_step(
    hessian: NDArray[np.float64], gradient: NDArray[np.float64], free: NDArray[np.bool_], n_scales: int
) -> NDArray[np.float64] | None:
    """Solution of H step = -gradient over the free parameters; damped where H hardly tells some of them.

    One bias for all classes changes nothing: along it, where gradients are 0, the Hessian is filled in. None where it
    is not positive definite even so.
    """
    filled = hessian.copy()
    n_classes = len(gradient) - n_scales
    filled[n_scales:, n_scales:] += np.trace(hessian[n_scales:, n_scales:]) / n_classes**2
    kept = np.flatnonzero(free)
    root = np.sqrt(np.maximum(np.diag(filled)[kept], LEAST_CURVATURE))
    scaled = filled[np.ix_(kept, kept)] / root / root[:, np.newaxis]
    for damping in (0.0, DAMPING):
        scaled[np.diag_indices(len(kept))] += damping
        factor, failed = dpotrf(scaled, lower=1, clean=0)
        if not failed and dpocon(factor, np.abs(scaled).sum(axis=0).max(), uplo="L")[0] >= LEAST_CONDITION:
            step = np.zeros_like(gradient)
            step[kept] = -dpotrs(factor, gradient[kept] / root, lower=1)[0] / root
            return step
    return None


def inexact_newton_step(
    product: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    gradient: NDArray[np.float64],
    curvature: NDArray[np.float64],
    rtol: float,
) -> NDArray[np.float64]:
    """Approximate solution of H step = -gradient by conjugate gradients, preconditioned by the diagonal of H."""
    if len(gradient) == 1:
        return -gradient / curvature  # the diagonal is all of H
    step, residual = np.zeros_like(gradient), -gradient
    preconditioned = residual / curvature
    direction, size = preconditioned, residual @ preconditioned
    goal = rtol**2 * size
    for _ in range(2 * len(gradient) + 5):
        bent = product(direction)
        bend = direction @ bent
        if bend <= 1e-14 * (direction * curvature) @ direction:
            break
        step = step + (size / bend) * direction
        residual = residual - (size / bend) * bent
        preconditioned = residual / curvature
        size, old = residual @ preconditioned, size
        if size <= goal:
            break
        direction = preconditioned + (size / old) * direction
    return step if step.any() else -gradient / curvature


class Box:
    """Bounds of the parameters: scales within ``SCALE_BOUNDS``, biases free."""

    def __init__(self, n_scales: int, size: int) -> None:
        self.n_scales = n_scales
        self.lower, self.upper = np.full(size, -np.inf), np.full(size, np.inf)
        self.lower[:n_scales], self.upper[:n_scales] = SCALE_BOUNDS

    def inside(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """The nearest point within the bounds."""
        return np.clip(point, self.lower, self.upper)

    def free(self, point: NDArray[np.float64], gradient: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Parameters that a step against the gradient does not push over a bound."""
        return ~(((point <= self.lower) & (gradient > 0)) | ((point >= self.upper) & (gradient < 0)))

    def gradient_norm(self, point: NDArray[np.float64], gradient: NDArray[np.float64]) -> float:
        """Largest entry of the projected gradient."""
        return float(np.abs(gradient * self.free(point, gradient)).max())


def projected_newton(
    objective: Likelihood, start: NDArray[np.float64], tolerance: float = TOLERANCE
) -> tuple[NDArray[np.float64], float]:
    """Least F over scales within ``SCALE_BOUNDS`` and any biases.

    Returns
    -------
    point : ndarray
    gradient_norm : float
        Largest entry of the projected gradient at ``point``.
    """
    box = Box(objective.n_scales, len(start))
    point = box.inside(start)
    value, gradient = objective(point)
    for _ in range(MAX_ITERATIONS):
        free = box.free(point, gradient)
        norm = np.abs(gradient * free).max()
        if norm <= tolerance:
            break
        curvature = np.maximum(objective.curvature, LEAST_CURVATURE)
        step = None
        if objective.has_bias and len(point) <= FACTORED_PARAMETERS:
            step = direct_newton_step(objective.hessian(), gradient, free, objective.n_scales)
        if step is None:
            step = inexact_newton_step(
                lambda direction, free=free: objective.hessian_product(direction) * free,  # type: ignore[misc]
                gradient * free,
                curvature,
                min(0.1, np.sqrt(norm)),
            )
        for direction in (step, -gradient * free / curvature):
            found = projected_step(objective, box, point, direction, value, gradient)
            if found is not None:
                break
        if found is None:
            objective(point)
            break  # rounding: no step lowers F any more, and the gradient says how close it is
        point, value, gradient = found
    return point, box.gradient_norm(point, gradient)


def projected_step(
    objective: Likelihood,
    box: Box,
    point: NDArray[np.float64],
    direction: NDArray[np.float64],
    value: float,
    gradient: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]] | None:
    """The longest of the steps 1, 1/2, 1/4, .. along the projected path that lowers F enough, or None."""
    norm = box.gradient_norm(point, gradient)
    rounding = ROUNDING_PER_SCORE * (1 - np.log(FLOOR) * point[: box.n_scales].max())
    for halvings in range(60):
        candidate = box.inside(point + 0.5**halvings * direction)
        new_value, new_gradient = objective(candidate)
        # Near the optimum F no longer tells points apart, and the gradient does.
        if abs(new_value - value) <= rounding:
            if box.gradient_norm(candidate, new_gradient) < norm:
                return candidate, new_value, new_gradient
        elif new_value <= value + ARMIJO * (gradient @ (candidate - point)):
            return candidate, new_value, new_gradient
    return None


def fit_log_scores(
    z: NDArray[np.float64],
    class_index: NDArray[np.intp],
    sample_weight: NDArray[np.float64],
    kind: CalibrationKind,
    start: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    tolerance: float = TOLERANCE,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Scale and bias of a kind from log scores, and the gradient left; ``start`` is a scale and bias to begin at."""
    n_classes = z.shape[1]
    if kind == "none":
        return np.ones(n_classes), np.zeros(n_classes), 0.0
    if start is None:
        # Each kind starts at the one that it contains: overconfident scores are far from their optimum.
        simpler = CALIBRATIONS[CALIBRATIONS.index(kind) - 1]
        start = fit_log_scores(z, class_index, sample_weight, simpler, None, max(tolerance, ROUGH_TOLERANCE))[:2]
    scale, bias = start
    objective = Likelihood(z, class_index, sample_weight / sample_weight.sum(), kind)
    centred_bias = bias + scale * objective.centre
    point = np.concatenate([scale[: objective.n_scales], centred_bias if objective.has_bias else []])
    point, gradient_norm = projected_newton(objective, point, tolerance)
    scale, centred_bias = objective.split(point)
    bias = centred_bias - scale * objective.centre
    return scale.copy(), bias - bias.mean(), gradient_norm
