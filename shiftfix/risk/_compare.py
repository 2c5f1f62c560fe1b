"""Estimates of the risk side by side: do they agree, and what would each say if another assumption held?"""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from shiftfix._door import public
from shiftfix._naming import one_line
from shiftfix._numerics import Floats
from shiftfix._printed import Printed, Printout
from shiftfix._setting_checks import check_count, check_option
from shiftfix._verdict import KeepsVerdicts, Verdict, judge
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk._estimate import RiskEstimate
from shiftfix.risk._interval import Answer, interval_of_draws, resampled_values, rows_behind, values_of_groups
from shiftfix.risk._method import RiskMethod, ones_of
from shiftfix.risk._ppi_risk import LabelsRisk
from shiftfix.risk._problem import Problem, read_problem
from shiftfix.risk._target_risk import (
    LABELLED_METHODS,
    UNLABELLED_METHODS,
    Asked,
    as_estimate,
    check_risk_settings,
    method_of,
    unfit,
)
from shiftfix.risk._tools import Tools
from shiftfix.risk._worlds import World, draw_worlds, world_weights

N_WORLDS = 5
DISAGREE = "Label some target rows, drawn at random, and take method='ppi': unlabelled rows cannot settle it."


@dataclass(frozen=True)
class RiskComparison(Printed, KeepsVerdicts):
    """Estimates of the risk side by side; ``print`` it for a table.

    Attributes
    ----------
    estimates : dict of str to RiskEstimate
        By the name of the method.
    disagreement : float
        Largest difference of two estimates whose verdict is not "abstain", in standard errors of that difference.
    disagree : bool
        Whether that is more than chance explains, all pairs together.
    errors : dict of str to dict of str to float
        Of an assumption, of a method: mean error where that assumption holds, in targets made of source rows. Small on
        the row whose assumption you believe is what a method needs; what stands in the other rows is its price when you
        are wrong.
    verdict : Verdict
        "caution" where the estimates disagree, or some refuse; "abstain" where all do.
    seconds : float

    See Also
    --------
    compare_risks : Several methods side by side.
    RiskEstimate : Value, interval, what it assumes.
    """

    estimates: dict[str, RiskEstimate]
    disagreement: float
    disagree: bool
    errors: dict[str, dict[str, float]]
    verdict: Verdict
    seconds: float = field(default=0.0, compare=False)

    def __getitem__(self, method: str) -> RiskEstimate:
        return self.estimates[method]

    def _rows(self) -> list[str]:
        worlds = list(self.errors)
        first = next(iter(self.estimates.values()))
        head = f"{one_line(first.metric):<18}{'value':>9}{f'{first.level:.0%} interval':>22}  {'verdict':<9}"
        rows = [head + "".join(f"{'if ' + world:>20}" for world in worlds)]
        for name, found in self.estimates.items():
            interval = f"{found.low:.4g} to {found.high:.4g}"
            errors = "".join(
                f"{self.errors[world][name]:>+20.4f}" if name in self.errors[world] else " " * 20 for world in worlds
            )
            rows.append(f"{name:<18}{found.value:>9.4g}{interval:>22}  {found.verdict!s:<9}{errors}")
        return rows

    def _printout(self) -> Printout:
        worlds, first = list(self.errors), next(iter(self.estimates.values()))
        rows = [
            (
                name,
                f"{found.value:.4g}",
                f"{found.low:.4g} to {found.high:.4g}",
                str(found.verdict),
                *(f"{self.errors[world][name]:+.4f}" if name in self.errors[world] else "" for world in worlds),
            )
            for name, found in self.estimates.items()
        ]
        heads = (
            one_line(first.metric),
            "value",
            f"{first.level:.0%} interval",
            "verdict",
            *(f"if {w}" for w in worlds),
        )
        return Printout(tuple(rows), heads, foot=tuple(self._foot()))

    def __str__(self) -> str:
        return "\n".join([*self._rows(), *self._foot()])

    def _foot(self) -> list[str]:
        """What the methods say together, and what each rests on."""
        lines = [f"verdict: {self.verdict}" + "".join(f"; {reason}" for reason in self.verdict.reasons)]
        if self.verdict.action:
            lines.append(self.verdict.action)
        sharing: dict[str, list[str]] = {}
        for name, found in self.estimates.items():
            sharing.setdefault(found.assumes, []).append(name)
        return lines + [f"{', '.join(names)}: {one_line(assumed)}." for assumed, names in sharing.items()]


def _methods_asked(methods: Any, problem: Problem) -> list[str]:
    """Names of the methods to compare: those asked for, or all that can estimate the metric."""
    known = [*UNLABELLED_METHODS, *LABELLED_METHODS]
    if methods is None:
        return [name for name in known if not unfit(name, problem)]
    if isinstance(methods, str) or not isinstance(methods, Sequence) or not methods:
        raise ShiftDataError(f"methods={methods!r}: a list of names is needed, such as ['doubly_robust', 'atc'].")
    names = list(dict.fromkeys(check_option(name, "methods", known) for name in methods))
    for name in names:
        needed = unfit(name, problem)
        if needed:
            raise ShiftDataError(f"methods holds {name!r}, which needs {needed}.")
    return names


def _answers(methods: dict[str, Any], asked: Asked) -> tuple[dict[str, Answer], dict[str, Floats]]:
    """Answers, and the draws behind those that are resampled, which all rest on the same rows."""
    resampled = {name: m for name, m in methods.items() if isinstance(m, RiskMethod) and m.is_possible}
    answers = {name: m.answer(asked.level) for name, m in methods.items() if isinstance(m, LabelsRisk)}
    answers |= {
        name: Answer.unknown(1 + len(m.problem.groups))
        for name, m in methods.items()
        if isinstance(m, RiskMethod) and not m.is_possible
    }
    if not resampled:
        return answers, {}
    draws = resampled_values(list(resampled.values()), asked.n_bootstrap, asked.rng)
    for i, (name, method) in enumerate(resampled.items()):
        values = values_of_groups(method, ones_of(method.problem))
        answers[name] = interval_of_draws(values, draws[:, i], asked.level, method.problem.metric, rows_behind(method))
    return answers, {name: draws[:, i, 0] for i, name in enumerate(resampled)}


def _largest_difference(
    estimates: dict[str, RiskEstimate], draws: dict[str, Floats], level: float
) -> tuple[float, bool, tuple[str, str]]:
    """Largest difference in its standard errors, whether it is beyond chance among all pairs, and of which two."""
    names = [name for name, found in estimates.items() if _is_known(found)]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    found = [
        (abs(estimates[a].value - estimates[b].value) / _error_between(estimates, draws, a, b), a, b) for a, b in pairs
    ]
    if not found:
        return 0.0, False, ("", "")
    largest, a, b = max(found)
    return largest, largest > float(norm.isf((1 - level) / (2 * len(pairs)))), (a, b)


def _is_known(found: RiskEstimate) -> bool:
    """Whether an estimate and its error stand for something."""
    return found.verdict != "abstain" and found.standard_error > 0 and bool(np.isfinite(found.value))


def _error_between(estimates: dict[str, RiskEstimate], draws: dict[str, Floats], a: str, b: str) -> float:
    """Standard error of the difference of two estimates: from the draws they share, else as if they were apart."""
    apart = float(np.hypot(estimates[a].standard_error, estimates[b].standard_error))
    if a not in draws or b not in draws:
        return apart
    # Two estimates may move together to the last digit; what is left of their difference is rounding.
    return max(float(np.nanstd(draws[a] - draws[b], ddof=1)), 1e-9 * apart)


def _errors_in(world: World, names: list[str], tools: Tools, rng: np.random.Generator) -> Floats:
    """Error of each method in a world; NaN of a method that half of the rows cannot be asked by."""
    here, counts = Tools(world.problem, tools.chosen_weighter, tools.loss_model, rng), ones_of(world.problem)
    errors = np.full(len(names), np.nan)
    for i, name in enumerate(names):
        method = UNLABELLED_METHODS[name](world.problem, here)
        if method.is_possible:
            errors[i] = method.value(method.learn(counts), counts) - world.truth
    return errors


def _errors_by_assumption(
    problem: Problem, tools: Tools, names: list[str], n_worlds: int, rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Mean error of each method that needs no labels, in worlds in which each assumption holds."""
    errors: dict[str, dict[str, float]] = {}
    for assumption, weights in world_weights(problem, tools).items() if n_worlds else ():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = [_errors_in(world, names, tools, rng) for world in draw_worlds(problem, weights, n_worlds, rng)]
        told = np.array(found).reshape(-1, len(names))
        means = {name: float(np.nanmean(e)) for name, e in zip(names, told.T, strict=True) if np.isfinite(e).any()}
        errors[assumption] = means
    return errors


def _compared_verdict(estimates: dict[str, RiskEstimate], disagree: bool, pair: tuple[str, str]) -> Verdict:
    refused = [name for name, found in estimates.items() if found.verdict == "abstain"]
    if len(refused) == len(estimates):
        return judge(["no method is supported by the data"], [], DISAGREE)
    cautions = [f"{' and '.join(pair)} differ by more than chance explains"] if disagree else []
    cautions += [f"the data do not support {', '.join(refused)}"] if refused else []
    return judge([], cautions, DISAGREE)


@public
def compare_risks(
    model: Any,
    X_source: Any,
    y_source: ArrayLike,
    X_target: Any,
    *,
    metric: Any = "accuracy",
    methods: Sequence[str] | None = None,
    target_labels: ArrayLike | None = None,
    rows: ArrayLike | None = None,
    sampling_probability: ArrayLike | None = None,
    weighter: Any = None,
    loss_model: Any = None,
    groups: tuple[ArrayLike, ArrayLike] | None = None,
    quantile: float = 0.5,
    level: float = 0.95,
    n_bootstrap: int = 200,
    n_worlds: int = N_WORLDS,
    random_state: Any = 0,
) -> RiskComparison:
    """Estimate a risk by several methods: side by side, and under one another's assumptions.

    Parameters
    ----------
    model, X_source, y_source, X_target
        As for :func:`target_risk`, as are the settings that are not named here.
    metric : str or callable, default="accuracy"
    methods : list of str, default=None
        Names of methods of :func:`target_risk`; None means all that can estimate the metric.
    target_labels, rows, sampling_probability, weighter, loss_model, groups, quantile, level
        As for :func:`target_risk`.
    n_bootstrap : int, default=200
        Draws of both samples; all methods see the same ones, so that what they share does not count as disagreement.
    n_worlds : int, default=5
        Pairs of targets made of source rows for each assumption; 0 leaves the errors under the assumptions out.
    random_state : int, numpy Generator or RandomState, default=0

    Returns
    -------
    RiskComparison

    Raises
    ------
    ShiftDataError
        As :func:`target_risk`.

    See Also
    --------
    RiskComparison : What it returns.
    target_risk : A metric on the target, with its interval.
    shiftfix.display.RiskDisplay : Draws estimates of the risk side by side.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(600, 2)), rng.integers(0, 2, 600)
    >>> model = LogisticRegression().fit(X[:200], y[:200])
    >>> found = compare_risks(model, X[200:], y[200:], X[200:] + 0.1, methods=["source", "doc"], n_bootstrap=20)
    >>> found.disagree, list(found.errors)
    (False, ['no shift', 'covariate shift', 'label shift'])
    """
    start = time.perf_counter()
    asked = check_risk_settings("auto", level, n_bootstrap, random_state, weighter, loss_model)
    n_worlds = check_count(n_worlds, "n_worlds", least=0)
    problem = read_problem(
        model,
        X_source,
        y_source,
        X_target,
        metric=metric,
        quantile=quantile,
        target_labels=target_labels,
        rows=rows,
        sampling_probability=sampling_probability,
        groups=groups,
        rng=asked.rng,
    )
    names, tools = _methods_asked(methods, problem), Tools(problem, weighter, loss_model, asked.rng)
    made = {name: method_of(name, problem, tools) for name in names}
    answers, draws = _answers(made, asked)
    estimates = {name: as_estimate(method, answers[name], asked.level) for name, method in made.items()}
    largest, disagree, pair = _largest_difference(estimates, draws, asked.level)
    unlabelled = [name for name in names if name in UNLABELLED_METHODS]
    return RiskComparison(
        estimates,
        largest,
        disagree,
        _errors_by_assumption(problem, tools, unlabelled, n_worlds, asked.rng),
        _compared_verdict(estimates, disagree, pair),
        time.perf_counter() - start,
    )
