"""One picture of a diagnosis: the evidence for each kind of shift, each on its own scale from 0 to 1."""

import textwrap
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from shiftfix._door import PublicCalls
from shiftfix._naming import one_line
from shiftfix.detect import ShiftDiagnosis
from shiftfix.display._axes import BLACK, GREY, TITLE_WIDTH, get_axes, legend_above
from shiftfix.exceptions import ShiftDataError

LEVEL = 0.05
# Characters that fit beside the default axes.
NAME_WIDTH = 30
# Standard errors to either side of a 95% interval.
WIDTH_95 = 1.96
FINDINGS = {
    "none": "leave the model as it is",
    "weights": "train on weighted source rows",
    "prior": "correct the class shares",
    "labels": "follow the target labels as far as they say",
}


class DrawnEvidence(NamedTuple):
    """A row of the plot.

    Attributes
    ----------
    name : str
        What is told.
    value, low, high : float
        From 0 to 1; NaN where it is not known, and where there is no interval.
    told : str
        The same in words, at the right.
    is_shift : bool
        Whether it says that something moved, beyond chance.
    """

    name: str
    value: float
    low: float
    high: float
    told: str
    is_shift: bool


class DiagnosisDisplay(PublicCalls):
    """What speaks for each kind of shift, and what nobody can tell.

    A row per question: a filled diamond where something moved beyond chance, a hollow circle where it was not seen, and
    words alone where only target labels would tell. Make one with :meth:`from_diagnosis`.

    Parameters
    ----------
    evidence : tuple of DrawnEvidence
        From the top down.
    title : str
        The finding.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    moved_, unmoved_ : Line2D or None
        Values (x) at their rows (y), drawn downwards from 0; those that moved beyond chance, and those that did not.
    intervals_ : LineCollection
    words_ : list of Text
        At the right, one per row.

    See Also
    --------
    shiftfix.detect.diagnose_shift : Makes the diagnosis.
    shiftfix.report.shift_report : The same and more as a page.
    """

    def __init__(self, evidence: tuple[DrawnEvidence, ...], *, title: str) -> None:
        self.evidence = evidence
        self.title = title

    @classmethod
    def from_diagnosis(cls, diagnosis: ShiftDiagnosis, *, ax: Any = None) -> Self:
        """Draw what :func:`shiftfix.detect.diagnose_shift` found.

        Parameters
        ----------
        diagnosis : ShiftDiagnosis
            Or a fitted model that has one as ``diagnosis_``.
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        DiagnosisDisplay

        Raises
        ------
        ShiftDataError
            For anything else.
        MissingDependencyError
            When matplotlib is not installed.
        """
        found = getattr(diagnosis, "diagnosis_", diagnosis)
        if not isinstance(found, ShiftDiagnosis):
            raise ShiftDataError(
                f"A ShiftDiagnosis is needed, and a {type(diagnosis).__name__} was given: pass what diagnose_shift "
                "returns, or a fitted ShiftCorrectedClassifier or ShiftCorrectedRegressor."
            )
        title = f"{found.verdict.level}: {FINDINGS[found.correction]}"
        return cls(evidence_in(found), title=title).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw on ``ax`` or a new figure; returns self."""
        n = len(self.evidence)
        ax = get_axes(ax, size=(7.6, 1.5 + 0.42 * n))
        rows = np.arange(n)
        value, low, high = np.array([drawn[1:4] for drawn in self.evidence], dtype=np.float64).T
        moved = np.array([drawn.is_shift for drawn in self.evidence])
        ax.hlines(rows, 0, 1, color="0.9", linewidth=0.8, zorder=0)
        between = np.isfinite(low) & np.isfinite(high)
        self.intervals_ = ax.hlines(rows[between], low[between], high[between], color=GREY, linewidth=2, zorder=2)
        self.moved_ = _marks(ax, value, rows, moved, "shown by the data", marker="D", color=BLACK)
        hollow = {"marker": "o", "color": GREY, "markerfacecolor": "white"}
        self.unmoved_ = _marks(ax, value, rows, ~moved, "not shown", **hollow)
        self.words_ = [
            ax.annotate(
                one_line(drawn.told),
                (1.02, row),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize="small",
                color="0.3",
                parse_math=False,
                annotation_clip=False,
            )
            for row, drawn in enumerate(self.evidence)
        ]
        ax.set_yticks(rows, [shortened(drawn.name) for drawn in self.evidence], parse_math=False)
        ax.set(xlim=(-0.02, 1.02), ylim=(n - 0.4, -0.6), xlabel="share, or distance from alike (0) to apart (1)")
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        if self.moved_ is None and self.unmoved_ is None:
            ax.set_title(
                "\n".join(textwrap.wrap(self.title, TITLE_WIDTH)), loc="left", fontsize="medium", parse_math=False
            )
        else:
            legend_above(ax, self.title, ncols=2)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def shortened(name: str) -> str:
    """A name that fits beside the axes."""
    line = one_line(name)
    return line if len(line) <= NAME_WIDTH else f"{line[: NAME_WIDTH - 1]}…"


def _marks(
    ax: Any, value: NDArray[np.float64], rows: NDArray[np.intp], chosen: NDArray[np.bool_], label: str, **look: Any
) -> Any:
    """Points of the chosen rows that have a value; None without any."""
    here = chosen & np.isfinite(value)
    if not here.any():
        return None
    return ax.plot(value[here], rows[here], linestyle="none", label=label, zorder=3, ms=6, **look)[0]


def _row(name: str, value: float | None, told: str, is_shift: bool = False, error: float = np.nan) -> DrawnEvidence:
    """A row; None is not known. The interval ends at 0 and 1."""
    known = np.nan if value is None else float(value)
    low, high = max(known - WIDTH_95 * error, 0.0), min(known + WIDTH_95 * error, 1.0)
    low, high = (low, high) if np.isfinite(error) else (np.nan, np.nan)
    return DrawnEvidence(name, known, low, high, told, is_shift)


def _p(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def evidence_in(found: ShiftDiagnosis) -> tuple[DrawnEvidence, ...]:
    """All rows, in the order in which one decides."""
    made = [
        _of_samples(found),
        _of_columns(found),
        _of_label_shift(found),
        _of_weights(found),
        _of_lost_mass(found),
        _of_novel(found),
        _of_concept(found),
    ]
    return tuple(row for row in made if row is not None)


def _of_samples(found: ShiftDiagnosis) -> DrawnEvidence | None:
    """How far a classifier tells the samples apart: AUC from 0.5 to 1 as 0 to 1."""
    if found.samples is None:
        return None
    auc = found.samples.effect_size
    told = f"AUC {auc:.2f}, {_p(found.samples.p_value)}"
    return _row("samples differ", max(2 * auc - 1, 0.0), told, found.samples.p_value <= LEVEL)


def _of_columns(found: ShiftDiagnosis) -> DrawnEvidence | None:
    """The column that moved most."""
    described = [c for c in (found.columns.columns if found.columns is not None else ()) if c.describes_rows]
    if not described:
        return None
    worst = described[0]
    return _row(
        f"most moved: {worst.name}", worst.effect_size, f"{_p(worst.adjusted)}, adjusted", worst.adjusted <= LEVEL
    )


def _of_label_shift(found: ShiftDiagnosis) -> DrawnEvidence | None:
    """How much one change of the class shares explains."""
    fit = found.label_shift
    if fit is None:
        return None
    if not fit.moved or not np.isfinite(fit.explained_share):
        return _row(
            "label shift explains", None, "not seen: the scores did not move" if not fit.moved else fit.reason[:40]
        )
    told = f"{fit.explained_share:.0%} of it; label shift {'fits' if fit.passes else 'does not fit'}"
    return _row("label shift explains", max(fit.explained_share, 0.0), told, fit.passes, fit.explained_share_error)


def _of_weights(found: ShiftDiagnosis) -> DrawnEvidence | None:
    """How many rows weights keep."""
    if found.overlap is None:
        return None
    kept = found.overlap.effective_size / found.overlap.n_source
    helps = "they help" if found.weights_help else "not shown to help"
    return _row("covariate shift: weights keep", kept, f"{kept:.0%} of the rows; {helps}", found.weights_help)


def _of_lost_mass(found: ShiftDiagnosis) -> DrawnEvidence | None:
    """How much of the target no source row stands for."""
    if found.overlap is None or found.overlap.target_lost_mass is None:
        return None
    lost = found.overlap.target_lost_mass
    return _row("target beyond the source", lost, f"{lost:.1%} of the target", lost > LEVEL)


def _of_novel(found: ShiftDiagnosis) -> DrawnEvidence | None:
    """Rows of a class that the source never had."""
    if found.novel is None:
        return None
    share = found.novel.effect_size
    return _row("rows unlike any class", share, f"{share:.1%}, {_p(found.novel.p_value)}", found.novel.p_value <= LEVEL)


def _of_concept(found: ShiftDiagnosis) -> DrawnEvidence:
    """Whether p(y given x) moved: a p-value, or that nobody can tell."""
    if found.concept is None:
        return _row("concept shift", None, f"not known: {found.n_labels} target labels")
    moved = found.concept.p_value <= LEVEL
    return _row(
        "concept shift", None, f"{'seen' if moved else 'not beyond chance'} ({_p(found.concept.p_value)})", moved
    )
