"""``shiftfix demo``: known shifts, and what the repair is worth."""

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.table import Table
from rich.text import Text

from shiftfix.cli._demo_cases import DEMOS, OFFLINE, Demo, Outcome
from shiftfix.cli._exit import UsageError


def demo_names(name: str | None) -> list[str]:
    """Names to run: all that need no file, or the one given.

    Raises
    ------
    UsageError
        For a name that is none.
    """
    if name is None:
        return list(OFFLINE)
    if name not in DEMOS:
        raise UsageError(f"there is no demo {name!r}: the names are {', '.join(DEMOS)}.")
    return [name]


def list_demos(data_home: Path | None) -> Table:
    """Table of names, kinds of shift, and whether the data are here and whole."""
    from shiftfix.datasets import load
    from shiftfix.exceptions import ChecksumError, DatasetNotFoundError, ShiftDataError

    table = Table("name", "shift", "data", box=None, pad_edge=False)
    for name, demo in DEMOS.items():
        try:
            load(name, data_home=data_home, **dict(demo.options))
            found = "ready"
        except DatasetNotFoundError:
            found = "not found"
        except (ChecksumError, ShiftDataError):
            found = "damaged"
        table.add_row(name, demo.kind, found)
    return table


def run_demo(
    name: str,
    *,
    data_home: Path | None = None,
    download: bool = False,
    seed: int = 0,
    repeats: int | None = None,
) -> Group:
    """Run a demo over seeds and return what to print.

    Parameters
    ----------
    name : str
        A key of ``DEMOS``.
    data_home : path-like or None
    download : bool
    seed : int
        First of the seeds.
    repeats : int or None
        Number of seeds; None means the demo's own.

    Returns
    -------
    rich.console.Group
    """
    from shiftfix.datasets import load

    demo = DEMOS[name]
    data = load(name, data_home=data_home, download=download, **dict(demo.options))
    n_runs = 1 if demo.fixed else repeats or demo.repeats
    with warnings.catch_warnings():
        # What they say is in the verdict and in the numbers.
        warnings.simplefilter("ignore")
        outcomes = [demo.run(data, seed + run) for run in range(n_runs)]
    return render(name, demo, outcomes, seed)


def render(name: str, demo: Demo, outcomes: list[Outcome], seed: int) -> Group:
    """Table, verdict and sentence of a demo, medians over the outcomes."""
    score = np.median([outcome.score for outcome in outcomes], axis=0)
    effective = np.median([outcome.effective_size for outcome in outcomes], axis=0)
    seconds = np.median([outcome.seconds for outcome in outcomes], axis=0)
    lines = [_verdict(outcomes), *_medians(demo, outcomes, seed), demo.done]
    if demo.detail:
        lines.append(demo.detail.format(np.median([outcome.detail for outcome in outcomes])))
    return Group(_demo_table(name, demo, score, effective, seconds), Text("\n".join(lines) + "\n"))


def _demo_table(
    name: str, demo: Demo, score: NDArray[np.float64], effective: NDArray[np.float64], seconds: NDArray[np.float64]
) -> Table:
    """A row for each of the fits."""
    digits = ",.0f" if demo.better == 0 else ".3f"
    table = Table(title=f"{name}: {demo.kind} shift", title_justify="left", title_style="bold")
    table.add_column("")
    for head in (demo.metric, "ESS (rows)", "seconds"):
        table.add_column(head, justify="right")
    for place, row in enumerate(("uncorrected", "corrected", "oracle")):
        table.add_row(row, f"{score[place]:{digits}}", f"{effective[place]:,.0f}", f"{seconds[place]:.2f}")
    return table


def _verdict(outcomes: list[Outcome]) -> str:
    n_runs = len(outcomes)
    counts = Counter(outcome.verdict for outcome in outcomes)
    parts = [f"{verdict} in {count} of {n_runs} runs" for verdict, count in counts.most_common()]
    said = outcomes[0].verdict if n_runs == 1 else ", ".join(parts)
    reasons = "; ".join(dict.fromkeys(reason for outcome in outcomes for reason in outcome.reasons))
    return f"Verdict: {said}{f' ({reasons})' if reasons else ''}."


def _medians(demo: Demo, outcomes: list[Outcome], seed: int) -> list[str]:
    """What the numbers are medians of, and how often the correction helped."""
    n_runs = len(outcomes)
    if demo.fixed:
        return []
    if n_runs == 1:
        return [f"One run (seed {seed})."]
    better = sum(demo.better * (outcome.score[1] - outcome.score[0]) > 0 for outcome in outcomes)
    last = seed + n_runs - 1
    return [
        f"Every number is the median of {n_runs} runs (seeds {seed} to {last}); corrected beat uncorrected in {better}."
    ]
