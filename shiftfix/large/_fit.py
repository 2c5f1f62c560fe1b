"""A logistic density ratio by passes over units: begin, solve, judge.

Cold, the first pass sums moments, which give the first step too. From a known point (a sample's solution, an earlier
fit's) the first pass sums moments, gradient and Hessian in one reading. The last pass sums gradient and weights.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import cho_solve

from shiftfix._naming import columns_named
from shiftfix._numerics import Floats
from shiftfix._validation import refuse_vanishing
from shiftfix._verdict import caller_warns
from shiftfix.covariate import NEWTON_COLUMNS, LogisticWeighter, factorize
from shiftfix.large._checkpoint import FitState, read_state, write_state
from shiftfix.large._driver import Passes, Statistic, check_both, merge_in_order
from shiftfix.large._logistic_sums import (
    LogisticPoint,
    merge_first,
    merge_logistic,
    unit_first,
    unit_logistic,
)
from shiftfix.large._moments import merge_moments, unit_moments
from shiftfix.large._newton import NewtonState, PassKind, Solution, begin, solve_by_passes, standard_errors
from shiftfix.large._objective import (
    Evaluation,
    Standardization,
    discriminant_point,
    evaluate_sums,
    make_scales,
    start_from_moments,
)
from shiftfix.large._sampling import merge_samples, sample_size, unit_sample
from shiftfix.large._summary_of_sums import FinishedRatio, finish_ratio
from shiftfix.large._units import ArrayPart, Unit
from shiftfix.large._weight_sums import MOST_TOP, FinalSums, FinalTask, merge_final, unit_final
from shiftfix.weights import n_tail_rows

MOMENTS = Statistic(unit_moments, merge_moments)
LOGISTIC = Statistic(unit_logistic, merge_logistic)
FIRST = Statistic(unit_first, merge_first)
FINAL = Statistic(unit_final, merge_final)
SAMPLE = Statistic(unit_sample, merge_samples)
# Rows of a sample per column, and in all, where a Hessian of all rows would be too large.
WIDE_ROWS_PER_COLUMN = 20
# Of the curvature at constant log odds.
LEAST_CURVATURE_SHARE = 0.01
# Gradient of the sample's fit.
SAMPLE_TOLERANCE = 1e-6


class FitSettings(NamedTuple):
    """Checked settings; see ``StreamingLogisticWeighter``."""

    C: float
    clip: Any
    min_ess: float
    warm_start_rows: int
    economical: bool
    max_passes: int
    tol: float
    checkpoint: Any


class StreamedFit(NamedTuple):
    """What a fit found.

    Attributes
    ----------
    point : LogisticPoint
        Log odds in the units of the columns.
    scales : Standardization
    solution : Solution
    finished : FinishedRatio
    n_passes : int
    """

    point: LogisticPoint
    scales: Standardization
    solution: Solution
    finished: FinishedRatio
    n_passes: int


class _Start(NamedTuple):
    """Where a fit begins, and the sample it was found on (rows and counts of both), if any."""

    point: LogisticPoint | None
    sample: list[tuple[Floats, Floats]] | None


class StreamFitter:
    """One fit.

    Parameters
    ----------
    passes : Passes
    names : sequence of str
        What messages call the columns.
    settings : FitSettings
    mark : str
        Fingerprint of the data and the settings, for the checkpoint.
    """

    def __init__(self, passes: Passes, names: tuple[str, ...], settings: FitSettings, mark: str) -> None:
        self.passes, self.names, self.settings, self.mark = passes, names, settings, mark
        self.frozen = len(names) > NEWTON_COLUMNS
        self.scales: Standardization = None  # type: ignore[assignment]
        self.moments: Any = None
        self.odds = 0.0
        # Weights at the point of the last pass that summed them, and the odds by which that pass was told its clip.
        self.judged: tuple[Floats, FinalSums] | None = None
        self.odds_before = 0.0

    def run(self, known: LogisticPoint | None) -> StreamedFit:
        """The fit; ``known`` is a point to begin at, such as an earlier solution."""
        stored = None if self.settings.checkpoint is None else read_state(self.settings.checkpoint, self.mark)
        if stored is not None:
            self._take_up(stored)
            return self._solved(stored.newton)
        start = self._start(known)
        state = begin(self._first_pass(start))
        if self.settings.economical and start.sample is not None:
            return self._economical(state, start)
        self._keep(state)
        return self._solved(state)

    def _take_up(self, stored: FitState) -> None:
        self.moments, self.odds, self.passes.n_passes = stored.moments, stored.log_odds_sum, stored.n_passes
        self.scales = make_scales(self.moments, self.settings.C)
        if stored.judged:
            self._evaluate(stored.newton.now.point, "final")

    def _keep(self, state: NewtonState) -> None:
        if self.settings.checkpoint is None:
            return
        judged = self.judged is not None and np.array_equal(self.judged[0], state.now.point)
        n_passes, odds = self.passes.n_passes - judged, self.odds_before if judged else self.odds
        write_state(self.settings.checkpoint, self.mark, FitState(self.moments, state, n_passes, odds, judged))

    # -- where to begin

    def _start(self, known: LogisticPoint | None) -> _Start:
        n_rows = self.settings.warm_start_rows
        if self.frozen:
            n_rows = max(n_rows, WIDE_ROWS_PER_COLUMN * len(self.names))
        if (known is not None and not self.frozen) or not n_rows:
            return _Start(known, None)
        drawn = self.passes.engine.map(SAMPLE.of_unit, self.passes.units, sample_size(list(self.passes.units), n_rows))
        both = merge_in_order(drawn, SAMPLE.merge)
        sample = [(np.zeros((0, len(self.names))), np.zeros(0)) if part is None else part.joined() for part in both]
        del both
        if not all((counts > 0).any() for _, counts in sample):
            return _Start(known, None)
        return _Start(_fit_sample(sample, self.settings.C) if known is None else known, sample)

    def _first_pass(self, start: _Start) -> Evaluation:
        if start.point is None:
            # The squares alone where no product of columns is wanted.
            self.moments = self.passes.run(MOMENTS, not self.frozen)
            self._scale()
            assert not self.frozen  # so many columns begin at a sample
            self.odds = self.scales.totals[1]
            return self._from_moments()
        found = self.passes.run(FIRST, start.point, not self.frozen)
        self.moments = found.moments
        self._scale()
        self._note_odds(found.logistic)
        evaluation = evaluate_sums(found.logistic, start.point, self.scales)
        if start.sample is None and not self.frozen:
            # An earlier solution may be of other data: no start at all is better then.
            flat = start_from_moments(self.moments, self.scales)
            if not evaluation.value < flat.value:
                self.odds = self.scales.totals[1]
                return self._from_moments()
        if evaluation.hessian is None:
            evaluation = evaluation._replace(hessian=self._on_sample(start, evaluation.point).hessian)
        return evaluation

    def _from_moments(self) -> Evaluation:
        """F at the discriminant of the moments, by one more pass, where it is lower than without any; else there."""
        flat = start_from_moments(self.moments, self.scales)
        point = discriminant_point(self.moments, self.scales)
        if point is None:
            return flat
        found = self._evaluate(point, "hessian")
        return found if np.isfinite(found.value) and found.value < flat.value else flat

    def _scale(self) -> None:
        check_both(self.moments)
        with columns_named(self.names):
            low, high = zip(*((part.low, part.high) for part in self.moments), strict=True)
            refuse_vanishing(np.minimum(*low), np.maximum(*high))
        self.scales = make_scales(self.moments, self.settings.C)

    def _note_odds(self, logistic: Any) -> None:
        self.odds = logistic[0].odds * self.scales.factors[0]

    def _on_sample(self, start: _Start, point: Floats) -> Evaluation:
        """F of the sample, with a Hessian, as if its rows were all."""
        assert start.sample is not None  # a point of a sample is asked for
        units = _sample_units(start.sample, self.names)
        sums = merge_in_order((unit_logistic(unit, self.scales.at(point), True) for unit in units), merge_logistic)
        return evaluate_sums(sums, self.scales.at(point), self._sample_scales(start))

    def _sample_scales(self, start: _Start) -> Standardization:
        """Scales under which sums over the sample stand for those over all rows."""
        assert start.sample is not None  # as above
        factors = [total / counts.sum() for total, (_, counts) in zip(self.scales.totals, start.sample, strict=True)]
        return self.scales._replace(factors=(factors[0], factors[1]))

    # -- the passes

    def _evaluate(self, point: Floats, kind: PassKind) -> Evaluation:
        at = self.scales.at(point)
        if kind == "final":
            self.odds_before = self.odds
            found = self.passes.run(FINAL, self._to_judge(at))
            self.judged = point, found
            logistic = found.logistic
        else:
            logistic = self.passes.run(LOGISTIC, at, kind == "hessian")
        self._note_odds(logistic)
        # The point itself comes back, to the last bit.
        return evaluate_sums(logistic, at, self.scales)._replace(point=point)

    def _to_judge(self, at: LogisticPoint, log_cap: float | None = None) -> FinalTask:
        """What a last pass at a point needs to know; the clip by the mean weight of the pass before."""
        n_source, n_target = self.scales.totals
        log_size = float(np.log(n_source / n_target))
        log_mean = log_size + float(np.log(max(self.odds, 1e-300) / n_source))
        if log_cap is None:
            log_cap = _log_cap_before(self.settings.clip, log_mean, n_source)
        log_cap = float("inf") if log_cap is None else log_cap
        low, high = self.moments[0].low, self.moments[0].high
        return FinalTask(at, log_size, log_cap, min(log_mean, log_cap), low, high, self._n_top())

    def _n_top(self) -> int:
        """Rows of the source whose weights are kept one by one: the tail whose shape is judged, and the one after."""
        least = self.moments[0].least * self.scales.factors[0]
        return min(math.ceil(n_tail_rows(self.scales.totals[0]) / least) + 1, MOST_TOP)

    def _solved(self, state: NewtonState) -> StreamedFit:
        solution = solve_by_passes(
            self._evaluate,
            state,
            self.scales.n_rows,
            tol=self.settings.tol,
            passes_left=lambda: self.settings.max_passes - self.passes.n_passes,
            reach=self._reach(),
            frozen=self.frozen,
            beyond_from=self._beyond_from(),
            keep=self._keep,
        )
        return self._judged_fit(solution)

    def _judged_fit(self, solution: Solution) -> StreamedFit:
        """The fit, after the passes that its summary still needs."""
        at = self.scales.at(solution.now.point)
        if self.judged is None or not np.array_equal(self.judged[0], solution.now.point):
            self._evaluate(solution.now.point, "final")
        finished = self._finish(self.judged[1].weights)  # type: ignore[index]
        if _log_cap_before(self.settings.clip, 0.0, 1.0) is None:
            # Only now is the clip known, by which the balance is judged.
            again = self.passes.run(FINAL, self._to_judge(at, finished.clip.log_threshold))
            finished = self._finish(again.weights)
        elif solution.beyond.any():
            moved = self.scales.at(solution.point)
            finished = finished.moved_by(self._change_of_mean(at, moved), self.settings.clip)
            at = moved
        return StreamedFit(at, self.scales, solution, finished, self.passes.n_passes)

    def _change_of_mean(self, before: LogisticPoint, after: LogisticPoint) -> float:
        """Change of the log mean weight between two near points: the weighted mean of the change of the log odds."""
        sums = self.judged[1].weights[0]  # type: ignore[index]
        assert sums is not None  # the source has rows
        mean = sums.first[0] / sums.totals[0]
        return float(after.intercept - before.intercept + (after.slope - before.slope) @ mean)

    def _finish(self, weights: Any, scales: Standardization | None = None) -> FinishedRatio:
        spreads = self._spreads(self.scales.factors)
        return finish_ratio(
            weights, spreads, scales or self.scales, self.names, self.settings.clip, self.settings.min_ess
        )

    def _spreads(self, factors: tuple[float, float]) -> list[Any]:
        return [part.spread(f) for part, f in zip(self.moments, factors, strict=True)]

    def _beyond_from(self) -> float:
        """Curvature from which on the last step may go unmeasured: where samples are separable errors vanish slower."""
        clip = self.settings.clip
        if self.frozen or clip == "pareto" or _log_cap_before(clip, 0.0, 1.0) is None:
            return float("inf")
        return self._least_curvature()

    def _least_curvature(self) -> float:
        """Curvature of a row's loss in its log odds, on average, below which samples are all but separable."""
        n_source, n_target = self.scales.totals
        return LEAST_CURVATURE_SHARE * n_source * n_target / (n_source + n_target) ** 2

    def _reach(self) -> Floats:
        """Largest of the standardised values of each column, behind 1 for the intercept."""
        ends = [np.abs(end - self.scales.mean) for part in self.moments for end in (part.low, part.high)]
        return np.append(1.0, np.max(ends, axis=0) / self.scales.scale)

    # -- one full pass

    def _economical(self, state: NewtonState, start: _Start) -> StreamedFit:
        """One Newton step from the sample's solution, and what the sample tells of its error.

        The step's error is of second order: H^-1 (g(new) - g(old) - H step), of which the sample's gradients and
        Hessian tell all but the sampling error. It is taken off, and its length in standard errors told.
        """
        now = state.now
        factor = factorize(now.hessian)
        step = -cho_solve(factor, now.gradient)
        before, after = (self._on_sample(start, point) for point in (now.point, now.point + step))
        curved = after.gradient - before.gradient - before.hessian @ step
        correction = -cho_solve(factor, curved)
        errors = standard_errors(factor, self.scales.n_rows)
        left = float(np.max(np.abs(correction) / np.maximum(errors, np.finfo(float).tiny)))
        if now.hessian[0, 0] < self._least_curvature():
            left = float("inf")  # one step and its correction lead nowhere near where samples are separable
        point = now.point + step + correction
        solution = Solution(now, left, errors, True, step + correction)
        scales = self._sample_scales(start)
        judged = self._to_judge(self.scales.at(point))
        units = _sample_units(start.sample or [], self.names)
        found = merge_in_order((unit_final(unit, judged) for unit in units), merge_final)
        finished = self._finish(found.weights, scales)
        return StreamedFit(self.scales.at(point), self.scales, solution, finished, self.passes.n_passes)


def _log_cap_before(rule: Any, log_mean: float, n_source: float) -> float | None:
    """Logarithm of the clip where it is known before the weights are, up to their mean; None where it is not."""
    if rule is None or rule == "pareto":
        return float("inf")
    if rule == "sqrt":
        return log_mean + float(np.log(n_source)) / 2
    return None if isinstance(rule, str) else float(np.log(float(rule)))


def _sample_units(sample: list[tuple[Floats, Floats]], names: tuple[str, ...]) -> list[Unit]:
    return [
        Unit(ArrayPart(rows, counts, names, "the sample"), 0, len(rows), domain)
        for domain, (rows, counts) in enumerate(sample)
    ]


def _fit_sample(sample: list[tuple[Floats, Floats]], C: float) -> LogisticPoint:
    """The ratio of a sample: where the passes begin."""
    (source, counts), (target, target_counts) = sample
    # Its sampling error is a hundred times this.
    weighter = LogisticWeighter(C, clip=None, normalize=None, tol=SAMPLE_TOLERANCE)
    with warnings.catch_warnings(), caller_warns():
        warnings.simplefilter("ignore")
        weighter.fit(source, target, sample_weight_source=counts, sample_weight_target=target_counts)
    centre = (source.mean(axis=0) + target.mean(axis=0)) / 2
    return LogisticPoint(float(weighter.intercept_ + weighter.coef_ @ centre), weighter.coef_.copy(), centre)


ProgressCall = Callable[[int, int, int], object]
