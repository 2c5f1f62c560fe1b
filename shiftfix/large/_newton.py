"""Newton's method where every evaluation is a pass over the data: as few as can be, and the last one certifies.

How far a point is from the optimum is told in standard errors: the largest entry of the Newton step H^-1 g over that of
sqrt(diag(H^-1) / N). Newton's error is quadratic, e' = k e^2, and k is known after two passes: so it is known before a
pass whether it will be the last, need no Hessian and may sum what the summary needs. Source: Kelley (2003), "Solving
Nonlinear Equations with Newton's Method", section 2.3 (an old Hessian: e' = k' e (e + e_old)); Nocedal & Wright (2006),
"Numerical Optimization", equation 3.4 (sufficient decrease) and algorithm 7.4 (secants).
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from shiftfix._numerics import Floats
from shiftfix.covariate import factorize, secant_solve
from shiftfix.large._objective import Evaluation

PassKind = Literal["hessian", "gradient", "final"]
Evaluate = Callable[[Floats, PassKind], Evaluation]
SUFFICIENT_FALL = 1e-4
# Relative rounding error of a mean over many rows.
MEAN_ROUNDING = 1e-13
HALVINGS = 12
DAMPING_TRIED = (1e-6, 1e-4, 1e-2)
# Of Newton's constant k, sqrt(n_columns / N) times this before it is known: some more than was seen.
FIRST_GUESS = 3.0
# What is predicted comes out larger at times.
CAUTION = 3.0
EARLY = 30.0


class NewtonState(NamedTuple):
    """Where the solver stands between two passes; enough to go on from, to the last bit.

    Attributes
    ----------
    now : Evaluation
        ``hessian`` is that of an earlier point where ``fresh`` is false.
    fresh : bool
    steps, changes : ndarray of shape (n_pairs, 1 + n_columns)
        Steps taken since the Hessian was made, and how the gradient changed along them.
    lefts : ndarray
        Standard errors from the optimum, at each accepted point.
    """

    now: Evaluation
    fresh: bool
    steps: Floats
    changes: Floats
    lefts: Floats


class Solution(NamedTuple):
    """What the solver found.

    Attributes
    ----------
    now : Evaluation
        At the last point that was measured.
    left : float
        Standard errors from the optimum, in the coefficient that is furthest.
    errors : ndarray of shape (1 + n_columns,)
        Standard errors of intercept and beta.
    converged : bool
    beyond : ndarray of shape (1 + n_columns,)
        The solution less the last point that was measured: a step so short that its error is known without a pass.
    """

    now: Evaluation
    left: float
    errors: Floats
    converged: bool
    beyond: Floats

    @property
    def point(self) -> Floats:
        """The solution, shape (1 + n_columns,)."""
        return self.now.point + self.beyond


class _Step(NamedTuple):
    """A step, its length in standard errors, those, and all steps by its Hessian, this one last."""

    step: Floats
    left: float
    errors: Floats
    moved: Floats


def error_after(left: float, moved: Floats, reach: Floats) -> float:
    """Standard errors from the optimum, at most, where the step that leads there is told to be so many long.

    Along a step that changes no log odds by more than R the curvature stays above exp(-R t) of itself (Bach 2010,
    Electron. J. Statist. 4:384-414, section 2), so that the optimum on it lies within -log(1 - R) / R of its length.
    Infinite from R = 1 on: where samples are separable the curvature vanishes as fast as steps are taken, and a step
    that is short in standard errors may be the first of many.

    Parameters
    ----------
    left : float
        Length of the step in standard errors.
    moved : ndarray of shape (n_steps, 1 + n_columns)
        The step, and those taken since its Hessian was made.
    reach : ndarray of shape (1 + n_columns,)
        Largest of the standardised values of each column, behind 1 for the intercept.
    """
    change = float((np.abs(moved) @ reach).sum())
    if not change < 1:
        return np.inf
    return left * float(-np.log1p(-change) / change) if change > 0 else left


def begin(evaluation: Evaluation) -> NewtonState:
    """The state at the first point."""
    nothing = np.zeros((0, len(evaluation.point)))
    return NewtonState(evaluation, True, nothing, nothing, np.zeros(0))


def standard_errors(factor: Any, n_rows: float) -> Floats:
    """sqrt(diag(H^-1) / N) from a Cholesky factor of H; shape (1 + n_columns,)."""
    size = len(factor[0])
    inverse = cho_solve(factor, np.eye(size))
    return np.sqrt(np.maximum(np.diag(inverse), 0) / n_rows)


def _step_of(state: NewtonState, n_rows: float, frozen: bool) -> _Step:
    factor = factorize(state.now.hessian)
    pairs = list(zip(state.steps, state.changes, strict=True))
    step = -secant_solve(factor, pairs, state.now.gradient)
    errors = standard_errors(factor, n_rows)
    left = float(np.max(np.abs(step) / np.maximum(errors, np.finfo(float).tiny)))
    # A Hessian that is never made again is what the gradients correct.
    return _Step(step, left, errors, step[np.newaxis] if frozen else np.vstack([state.steps, step]))


def newton_constant(lefts: Floats, size: int, n_rows: float) -> float:
    """K of e' = k e^2: by the last two points, or a guess before there are two.

    Parameters
    ----------
    lefts : ndarray
        Standard errors from the optimum, point by point.
    size : int
        Coefficients.
    n_rows : float
    """
    guess = FIRST_GUESS * float(np.sqrt(size / n_rows))
    if len(lefts) < 2 or lefts[-1] >= lefts[-2]:
        return guess
    return min(guess, CAUTION * float(lefts[-1] / lefts[-2] ** 2))


def next_kind(lefts: Floats, fresh: bool, size: int, n_rows: float, tol: float, frozen: bool) -> PassKind:
    """What the next pass has to sum.

    Parameters
    ----------
    lefts : ndarray
        Standard errors from the optimum so far; the last one is that of the step about to be taken.
    fresh : bool
        Whether that step is by the Hessian of this point.
    size : int
    n_rows : float
    tol : float
    frozen : bool
        Whether no Hessian is ever made again.
    """
    here = float(lefts[-1])
    if here <= tol and not frozen:
        return "hessian"  # what is not known there is how far the curvature holds
    if frozen or not fresh:
        rate = float(lefts[-1] / lefts[-2]) if len(lefts) > 1 else 1.0
        if here * min(rate, 1.0) <= tol:
            return "final"
        return "gradient" if frozen else "hessian"
    k = newton_constant(lefts, size, n_rows)
    there = k * here**2
    # A last pass that comes too early costs little more than one without the weights, and may be the last after all.
    if there <= EARLY * tol or there * 2 * k * here * CAUTION <= tol:
        return "final"
    return "hessian"


def error_beyond(state: NewtonState, left: float, n_rows: float) -> float:
    """Standard errors from the optimum after one more step by an older Hessian, with no pass to measure them.

    e' = 2 k e e_old, e_old being how far the point of the Hessian was; infinite where k is not known yet.
    """
    if state.fresh or len(state.lefts) < 2:
        return np.inf
    k = newton_constant(state.lefts, len(state.now.point), n_rows)
    return CAUTION * 2 * k * left * float(state.lefts[-1])


def _is_lower(now: Evaluation, found: Evaluation, slope: float) -> bool:
    """Whether F fell enough; near the optimum F no longer tells points apart, and the gradient does."""
    if found.value <= now.value + SUFFICIENT_FALL * slope:
        return True
    same = abs(found.value - now.value) <= MEAN_ROUNDING * max(abs(now.value), 1.0)
    return same and bool(np.abs(found.gradient).max() <= np.abs(now.gradient).max())


def _search(evaluate: Evaluate, now: Evaluation, step: Floats, kind: PassKind, budget: int) -> Evaluation | None:
    """The longest of the steps 1, 1/2, 1/4, ... that lowers F enough; None where none does, or passes run out."""
    for halvings in range(min(HALVINGS, budget)):
        length = 0.5**halvings
        found = evaluate(now.point + length * step, kind)
        if np.isfinite(found.value) and _is_lower(now, found, length * float(now.gradient @ step)):
            return found
        kind = "hessian" if now.hessian is not None and kind == "final" else kind
    return None


def _damped(evaluate: Evaluate, now: Evaluation, budget: int) -> Evaluation | None:
    """The first step that lowers F with something added to the Hessian: far out F is almost straight."""
    for damping in DAMPING_TRIED:
        factor = cho_factor(now.hessian + damping * np.eye(len(now.point)), lower=True)
        found = _search(evaluate, now, -cho_solve(factor, now.gradient), "hessian", budget)
        if found is not None:
            return found
    return None


def _moved(state: NewtonState, found: Evaluation, lefts: Floats) -> NewtonState:
    """The state at a new point."""
    nothing = np.zeros((0, len(found.point)))
    if found.hessian is not None:
        return NewtonState(found, True, nothing, nothing, lefts)
    step, change = found.point - state.now.point, found.gradient - state.now.gradient
    steps, changes = state.steps, state.changes
    if step @ change > 0:
        steps, changes = np.vstack([steps, step]), np.vstack([changes, change])
    return NewtonState(found._replace(hessian=state.now.hessian), False, steps, changes, lefts)


def solve_by_passes(
    evaluate: Evaluate,
    state: NewtonState,
    n_rows: float,
    *,
    tol: float,
    passes_left: Callable[[], int],
    reach: Floats,
    frozen: bool = False,
    beyond_from: float = np.inf,
    keep: Callable[[NewtonState], None] | None = None,
) -> Solution:
    """Minimise F.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(point, kind)``: one pass. Of kind "hessian" it returns a Hessian; "final" may sum other things too.
    state : NewtonState
        Where to begin, with a Hessian.
    n_rows : float
        N.
    tol : float
        Standard errors from the optimum at which it is reached.
    passes_left : callable
        How many passes may still be made.
    reach : ndarray of shape (1 + n_columns,)
        Largest of the standardised values of each column, behind 1 for the intercept.
    frozen : bool, default=False
        Never make another Hessian: that of the start, corrected by what the gradients tell, serves to the end.
    beyond_from : float, default=inf
        Curvature of a row's loss in its log odds, on average, from which on the last step may go unmeasured where its
        error is known to be below ``tol``; infinity for never.
    keep : callable, default=None
        Called with the state after every accepted step.

    Returns
    -------
    Solution
    """
    stuck, nothing = False, np.zeros(len(state.now.point))
    while True:
        ahead = _step_of(state, n_rows, frozen)
        left = error_after(ahead.left, ahead.moved, reach)
        if left <= tol or passes_left() <= 0 or stuck:
            return Solution(state.now, left, ahead.errors, left <= tol, nothing)
        beyond = error_after(error_beyond(state, ahead.left, n_rows), ahead.moved, reach)
        if state.now.hessian[0, 0] >= beyond_from and beyond <= tol:
            return Solution(state.now, beyond, ahead.errors, True, ahead.step)
        lefts = np.append(state.lefts, ahead.left)
        kind = next_kind(lefts, state.fresh, len(state.now.point), n_rows, tol, frozen)
        found = _search(evaluate, state.now, ahead.step, kind, passes_left())
        if found is None and state.fresh and not frozen:
            found = _damped(evaluate, state.now, passes_left())
        if found is not None:
            state = _moved(state, found, lefts)
        elif state.fresh or frozen:
            stuck = True  # rounding: no step lowers F any more
        else:
            state = begin(evaluate(state.now.point, "hessian"))
        if keep is not None:
            keep(state)
