"""Penalised logistic regression of source (-1) against target (+1) rows, exactly and in blocks of rows.

With h = b + z' beta on standardised columns z, repeat counts c of total N, and y = -1 or +1, the objective is

    F(b, beta) = (1 / N) sum_i c_i log(1 + exp(-y_i h_i)) + |beta|^2 / (2 C N),

the objective of scikit-learn's LogisticRegression divided by C N, with a free intercept b. Its gradient and Hessian are
sums over rows, so that a pass over blocks of rows needs no table but one block:

    gradient = (1 / N) sum_i c_i (p_i - [y_i = 1]) (1, z_i) + (0, beta) / (C N),
    Hessian  = (1 / N) sum_i c_i p_i (1 - p_i) (1, z_i)(1, z_i)' + diag(0, 1, .., 1) / (C N).

With many rows, Newton's steps start from the solution on every 16th row, which is near, and with the Hessian of those
rows, which is near too; a Hessian is made of all rows only where the gradient no longer falls fast (Shamanskii's
method), since a pass without it costs a third. The gradient is always that of all rows, and so is the solution.
Source: Hastie, Tibshirani & Friedman (2009), "The Elements of Statistical Learning", equations 4.21 to 4.26 (the
sums); Kelley (2003), "Solving Nonlinear Equations with Newton's Method", section 2.3 (chord and Shamanskii);
Nocedal & Wright (2006), "Numerical Optimization", equation 3.4 (sufficient decrease), section 7.2 (L-BFGS).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.optimize import minimize

from shiftfix._blocks import matrix_blocks
from shiftfix._numerics import Floats
from shiftfix.covariate._logistic_columns import Columns, column_table

# A Cholesky factor, and whether it is the lower one.
Factor = tuple[Floats, bool]
# A step, and how the gradient changed along it.
Secant = tuple[Floats, Floats]
# Where F was evaluated, F and its gradient.
Evaluation = tuple[Floats, float, Floats]

# Beyond this many columns a Hessian costs more than the L-BFGS steps it saves.
NEWTON_COLUMNS = 1000
PILOT_STRIDE = 16
PILOT_ROWS_PER_COLUMN = 50
PILOT_TOLERANCE = 1e-3
# A Hessian serves as long as each step divides the gradient by this, or few enough steps are left: another one takes as
# long as two passes without it, and one more for every so many columns.
CHORD_GAIN = 8
COLUMNS_PER_PASS = 30
# Added to the Hessian, whose diagonal is at most 1/4, when the plain step fails.
DAMPINGS = (1e-4, 1e-2, 1.0)
SUFFICIENT_DECREASE = 1e-4
# Relative rounding error of a mean over many rows.
ROUNDING = 1e-13


@dataclass
class _Sums:
    """Sums over the rows of one sample, in the units of the columns as they lie in memory.

    Attributes
    ----------
    loss, pull, curve : float
        Of the losses, of their slopes in h and of their curvatures in h.
    pulls, curves : ndarray of shape (n_columns,)
        Of the slopes and of the curvatures times the row.
    table : ndarray of shape (n_columns, n_columns) or None
        Of the curvatures times the row's outer product; None when no Hessian is asked for.
    """

    loss: float
    pull: float
    curve: float
    pulls: Floats
    curves: Floats
    table: Floats | None


class LogisticSolution(NamedTuple):
    """Where the solver ended.

    Attributes
    ----------
    point : ndarray of shape (1 + n_columns,)
        Intercept first.
    gradient_norm : float
        Largest entry of the gradient at ``point``, from a full pass: above ``tol`` when not converged.
    n_iter : int
        Steps taken on the full objective.
    factor : tuple or None
        Cholesky factor of the last Hessian, which is nearly that of ``point``; None where none was made.
    """

    point: Floats
    gradient_norm: float
    n_iter: int
    factor: Factor | None


class Objective:
    """F, its gradient and its Hessian at (intercept, beta), by passes over the samples.

    Parameters
    ----------
    samples : list of two ndarray or csr_array
        Source and target rows.
    counts : list of two ndarray
        Their repeat counts.
    columns : Columns
    penalty : float
        1 / (C N); 0 for none.
    """

    def __init__(self, samples: Sequence[Any], counts: Sequence[Floats], columns: Columns, penalty: float) -> None:
        self.samples, self.counts, self.columns, self.penalty = samples, counts, columns, penalty
        self.total = float(sum(c.sum() for c in counts))
        self.n_rows = sum(X.shape[0] for X in samples)
        # Where and with what h was made last: the answer at the solution needs no further pass.
        self.last: tuple[Any, Any] = (None, None)
        self.in_place = [columns.in_place(X) for X in samples]

    def pilot(self) -> "Objective":
        """The same objective on every 16th row."""
        samples = [X[::PILOT_STRIDE] for X in self.samples]
        return Objective(samples, [c[::PILOT_STRIDE] for c in self.counts], self.columns, self.penalty)

    def log_odds(self, point: Floats) -> list[Floats]:
        """Log odds of both samples at a point, as a list of arrays of shape (n_rows,)."""
        if self.last[0] is not None and np.array_equal(point, self.last[0]):
            return self.last[1]
        return [self.columns.log_odds(X, point[1:], point[0]) for X in self.samples]

    def __call__(self, point: Floats, hessian: bool = False) -> tuple[float, Floats, Any]:
        """F, gradient of shape (1 + n_columns,) and, when asked, Hessian (otherwise None)."""
        scale = self.columns.scale
        size = len(scale)
        loss, gradient, H = 0.0, np.zeros(1 + size), np.zeros((1 + size, 1 + size)) if hessian else None
        log_odds = [np.empty(X.shape[0]) for X in self.samples]
        for i in range(2):
            sums = self._sums(i, point, log_odds[i], hessian)
            loss += sums.loss
            self._add(sums, self.columns.mean if self.in_place[i] else np.zeros(size), gradient, H)
        self.last = point.copy(), log_odds
        value = loss / self.total + self.penalty / 2 * (point[1:] @ point[1:])
        gradient[1:] /= scale
        gradient /= self.total
        gradient[1:] += self.penalty * point[1:]
        if H is not None:
            H[1:, :] /= scale[:, np.newaxis]
            H[:, 1:] /= scale
            H /= self.total
            H[np.arange(1, 1 + size), np.arange(1, 1 + size)] += self.penalty
        return float(value), gradient, H

    def _sums(self, i: int, point: Floats, log_odds: Floats, hessian: bool) -> _Sums:
        """Sums over the rows of one sample; writes their log odds into ``log_odds``."""
        X, c, in_place = self.samples[i], self.counts[i], self.in_place[i]
        sign = 1.0 if i == 0 else -1.0  # log odds speak for the target, and so against a source row
        size = len(point) - 1
        slope = point[1:] / self.columns.scale
        mean = self.columns.mean if in_place else np.zeros(size)
        intercept = point[0] - mean @ slope
        rows_of = matrix_blocks(X, size)
        height = rows_of[0].stop
        centred = None if in_place else column_table(height, size)
        # In the order of the block.
        n_scaled = height if hessian and not sparse.issparse(X) else 0
        scaled = np.empty((n_scaled, size)) if in_place else column_table(n_scaled, size)
        sums = _Sums(0.0, 0.0, 0.0, np.zeros(size), np.zeros(size), np.zeros((size, size)) if hessian else None)
        for rows in rows_of:
            count = c[rows]
            block = X[rows] if in_place else self.columns.centred(X[rows], centred)
            h = block @ slope
            h += intercept
            log_odds[rows] = h
            against = sign * h
            decay = np.exp(-np.abs(h))
            sums.loss += count @ (np.log1p(decay) + np.maximum(against, 0))
            residual = np.where(against >= 0, sign, sign * decay) / (1 + decay)
            residual *= count
            sums.pull += residual.sum()
            sums.pulls += block.T @ residual
            if sums.table is not None:
                weight = count * decay / (1 + decay) ** 2
                sums.curve += weight.sum()
                sums.curves += block.T @ weight
                sums.table += _weighted_products(block, weight, scaled)
        return sums

    @staticmethod
    def _add(sums: _Sums, mean: Floats, gradient: Floats, H: Floats | None) -> None:
        """Add the sums of one sample to gradient and Hessian, its rows less ``mean``."""
        gradient[0] += sums.pull
        gradient[1:] += sums.pulls - sums.pull * mean
        if H is not None and sums.table is not None:
            curve, curves = sums.curve, sums.curves
            H[0, 0] += curve
            H[0, 1:] += curves - curve * mean
            H[1:, 0] += curves - curve * mean
            H[1:, 1:] += sums.table + curve * np.outer(mean, mean) - np.outer(mean, curves) - np.outer(curves, mean)


def _weighted_products(block: Any, weight: Floats, scratch: Floats) -> Floats:
    """Sum over the rows of a block of weight * row row'; a dense block is scaled in ``scratch``."""
    if sparse.issparse(block):
        return (block.T @ block.multiply(weight[:, np.newaxis]).tocsr()).toarray()
    root = np.multiply(block, np.sqrt(weight)[:, np.newaxis], out=scratch[: len(block)])
    return root.T @ root


def factorize(H: Floats) -> Factor:
    """Cholesky factor of a positive semidefinite matrix, with the least ridge that makes it definite."""
    largest = max(np.abs(np.diag(H)).max(), np.finfo(float).tiny)
    for ridge in (1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-3, 1.0):
        try:
            return cho_factor(H + ridge * largest * np.eye(len(H)), lower=True)
        except LinAlgError:
            continue
    raise FloatingPointError("The Hessian is not finite.")


def _secants_between(now: tuple[Floats, float, Floats], found: tuple[Floats, float, Floats]) -> list[Secant]:
    """The step between two points and the change of the gradient along it; none where the function is not convex."""
    moved, change = found[0] - now[0], found[2] - now[2]
    return [(moved, change)] if moved @ change > 0 else []


def newton(
    objective: Objective, start: Floats, max_iter: int, tol: float, factor: Factor | None = None
) -> LogisticSolution:
    """Newton's method with a line search; the Hessian is reused while the gradient falls fast.

    Parameters
    ----------
    objective : Objective
    start : ndarray of shape (1 + n_columns,)
    max_iter : int
    tol : float
    factor : tuple, default=None
        Cholesky factor of a Hessian that is nearly that of ``start``; None has it made.

    Between two Hessians each step tells how the gradient changed along it, and the next ones heed that.
    """
    n_iter, refresh = 0, factor is None
    value, gradient, H = objective(start, hessian=refresh)
    now = start, value, gradient
    norm = np.abs(gradient).max()
    factor = factorize(H) if factor is None else factor
    pairs: list[Secant] = []
    while norm > tol and n_iter < max_iter:
        found = line_search(objective, now, -secant_solve(factor, pairs, now[2]))
        n_iter += 1
        if found is None and refresh:
            found = damped_step(objective, now, H)
            if found is None:
                break  # rounding: no step lowers F any more, and the gradient says how close it is
        if found is not None:
            pairs += _secants_between(now, found)
            now = found
        new_norm = np.abs(now[2]).max()
        refresh = new_norm > tol and _another_pays(norm, new_norm, tol, len(start))
        norm = new_norm
        if refresh:
            value, gradient, H = objective(now[0], hessian=True)
            now = now[0], value, gradient
            factor, pairs = factorize(H), []
    return LogisticSolution(now[0], float(norm), n_iter, factor)


def _another_pays(norm: float, new_norm: float, tol: float, size: int) -> bool:
    """Whether another Hessian is worth its time, by how a step changed the largest entry of the gradient."""
    if new_norm * CHORD_GAIN <= norm:
        return False
    if new_norm >= norm:
        return True
    steps_left = np.log(new_norm / tol) / np.log(norm / new_norm)
    return bool(steps_left > 2 + size / COLUMNS_PER_PASS)


def damped_step(objective: Objective, now: Evaluation, H: Floats) -> Evaluation | None:
    """The first step that lowers F with something added to the Hessian, or None.

    Where all rows are far on one side F is almost straight, and Newton's step has no measure.
    """
    for damping in DAMPINGS:
        step = -cho_solve(factorize(H + damping * np.eye(len(H))), now[2])
        found = line_search(objective, now, step)
        if found is not None:
            return found
    return None


def secant_solve(factor: Factor, pairs: Sequence[Secant], gradient: Floats) -> Floats:
    """The inverse Hessian times the gradient: that of ``factor``, made true to every (step, change of the gradient).

    The BFGS inverse by its two loops (Nocedal & Wright 2006, algorithm 7.4).
    """
    direction, lengths = gradient.copy(), []
    for moved, change in reversed(pairs):
        lengths.append(moved @ direction / (moved @ change))
        direction -= lengths[-1] * change
    direction = cho_solve(factor, direction)
    for moved, change in pairs:
        direction += (lengths.pop() - change @ direction / (moved @ change)) * moved
    return direction


def line_search(objective: Objective, now: Evaluation, step: Floats) -> Evaluation | None:
    """The longest of the steps 1, 1/2, 1/4, .. that lowers F enough: (point, F, gradient) there, or None."""
    point, value, gradient = now
    slack = ROUNDING * max(abs(value), 1.0)
    for halvings in range(40):
        length = 0.5**halvings
        candidate = point + length * step
        new_value, new_gradient, _ = objective(candidate)
        if new_value <= value + SUFFICIENT_DECREASE * length * (gradient @ step):
            return candidate, new_value, new_gradient
        # Near the optimum F no longer tells points apart, and the gradient does.
        if abs(new_value - value) <= slack:
            falls = np.abs(new_gradient).max() < np.abs(gradient).max()
            return (candidate, new_value, new_gradient) if falls else None
    return None


def lbfgs(objective: Objective, start: Floats, max_iter: int, tol: float) -> LogisticSolution:
    """Limited-memory quasi-Newton steps, for designs too wide for a Hessian; returns as ``newton``."""
    result = minimize(
        lambda point: objective(point)[:2],
        start,
        jac=True,
        method="L-BFGS-B",
        options={"gtol": tol, "ftol": 0, "maxiter": max_iter, "maxfun": 20 * max_iter, "maxcor": 20},
    )
    return LogisticSolution(result.x, float(np.abs(result.jac).max()), int(result.nit), None)


def solve(
    objective: Objective,
    start: Floats | None = None,
    max_iter: int = 1000,
    tol: float = 1e-8,
    factor: Factor | None = None,
) -> LogisticSolution:
    """Minimise F: Newton up to ``NEWTON_COLUMNS`` columns, L-BFGS beyond.

    Parameters
    ----------
    objective : Objective
    start : ndarray of shape (1 + n_columns,), default=None
        Where to begin; None means the intercept that fits the sizes, or the solution on every 16th row when that
        still leaves 50 rows per column.
    max_iter : int, default=1000
    tol : float, default=1e-8
        Largest gradient entry to stop at.
    factor : tuple, default=None
        Cholesky factor of a Hessian that is nearly that of ``start``, where one is known.
    """
    size = len(objective.columns.scale)
    method = newton if size <= NEWTON_COLUMNS else lbfgs
    known = {} if factor is None else {"factor": factor}
    if start is None:
        n_source, n_target = (c.sum() for c in objective.counts)
        start = np.append(np.log(n_target / n_source), np.zeros(size))
        if min(X.shape[0] for X in objective.samples) > PILOT_STRIDE * PILOT_ROWS_PER_COLUMN * size:
            pilot = objective.pilot()
            start = method(pilot, start, max_iter, max(tol, PILOT_TOLERANCE)).point
            if method is newton:
                known["factor"] = factorize(pilot(start, hessian=True)[2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return method(objective, start, max_iter, tol, **known)
