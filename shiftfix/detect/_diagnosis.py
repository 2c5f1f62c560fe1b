"""A diagnosis: the evidence for each kind of shift, what it cannot exclude, and what to do."""

from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Literal, NamedTuple

from shiftfix._naming import one_line
from shiftfix._printed import Printed, Printout, printed
from shiftfix._verdict import KeepsVerdicts, Verdict
from shiftfix.detect._features import ColumnShift, FeatureTests
from shiftfix.detect._mechanism import MechanismTest
from shiftfix.detect._performance import PerformanceDrop
from shiftfix.detect._result import LEVEL, ShiftTest
from shiftfix.label import ONE_SIDED, LabelShiftFit
from shiftfix.risk import WeightingEffect
from shiftfix.weights import WeightSummary

Correction = Literal["none", "weights", "prior", "labels"]
Corrections = tuple[Correction, ...]
ALL_CORRECTIONS: Corrections = ("none", "weights", "prior", "labels")
# Labels that repair most models that can be repaired, and below which a decision by them is not told.
FEW_LABELS, FEWEST_LABELS = 50, 20
Causes = Literal["label", "features"] | None
# Named in one line: columns by which the samples differ, columns that name rows, classes.
MOST_COLUMNS, MOST_IDENTIFIERS, MOST_CLASSES, MOST_REASONS = 4, 3, 4, 2
WIDTH = 17
WORDS: dict[Correction, str] = {
    "none": "leave the model as it is (probabilities calibrated)",
    "weights": "train on weighted source rows",
    "prior": "correct the class shares",
    "labels": "follow the target labels as far as they say",
}


@printed
class ClassShare(NamedTuple):
    """Share of one class: of the source, of the target by the scores, and its 95% interval there.

    The estimate takes label shift for granted and is NaN where there is none; the interval does not.

    See Also
    --------
    ShiftDiagnosis : What it returns.
    diagnose_shift : Evidence for each kind of shift, verdict, next action.
    """

    label: Any
    source: float
    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class ShiftDiagnosis(Printed, KeepsVerdicts):
    """What moved between two samples, as far as it can be told; ``print`` it for a page of at most 25 lines.

    Attributes
    ----------
    verdict : Verdict
        On the model as ``correction`` leaves it: "ok", "caution" or "abstain", the reasons, and the next action.
    correction : {"none", "weights", "prior", "labels"}
        What the evidence supports.
    n_source, n_target, n_labels : int
        Rows, as often as they count, and target labels among them.
    model : str
        Name of the model that was asked.
    is_class : bool
        Whether it predicts classes.
    source_loss : tuple of (float, float) or None
        Error rate, or mean squared error, of the model on source rows that it was not fitted with, and its standard
        error; None where nothing was asked out of fold.
    samples : ShiftTest or None
        Can a classifier tell the samples apart; None where the rows make no numbers.
    columns : FeatureTests or None
        Every column by itself, and those that only name rows.
    scores : ShiftTest or None
        Did what the model says move.
    label_shift : LabelShiftFit or None
        How much of what moved one change of class shares explains.
    class_shares : tuple of ClassShare
    overlap : WeightSummary or None
        Of the weights.
    gain : tuple of (float, float) or None
        By how much weights lower the estimated target loss of the model, and the standard error; None where they may
        not be used or were not asked for.
    weights_help : bool
        Whether that is more than chance, and the samples surely differ.
    effect : WeightingEffect or None
        What weights do to the model: balance of its score, share of target rows of which the prediction changes.
    prior_changes : float or None
        Share of target rows of which the predicted class changes when the class shares are corrected.
    novel : ShiftTest or None
        Are there rows of a class that the source never had.
    mechanism : MechanismTest or None
        Covariate or label shift, by the target labels; without labels how many would decide.
    concept : ShiftTest or None
        By 100 target labels or more: did p(y given x) move.
    performance : PerformanceDrop or None
        By 20 target labels or more: change of the error rate, or of the squared error, and where it comes from.
    cannot_exclude : tuple of str
        What may be there unseen.
    seconds : float

    See Also
    --------
    diagnose_shift : Evidence for each kind of shift, verdict, next action.
    """

    verdict: Verdict
    correction: Correction
    n_source: int
    n_target: int
    n_labels: int
    model: str
    is_class: bool = True
    source_loss: tuple[float, float] | None = None
    samples: ShiftTest | None = None
    columns: FeatureTests | None = None
    scores: ShiftTest | None = None
    label_shift: LabelShiftFit | None = None
    class_shares: tuple[ClassShare, ...] = ()
    overlap: WeightSummary | None = None
    gain: tuple[float, float] | None = None
    weights_help: bool = False
    effect: WeightingEffect | None = None
    prior_changes: float | None = None
    novel: ShiftTest | None = None
    mechanism: MechanismTest | None = None
    concept: ShiftTest | None = None
    performance: PerformanceDrop | None = None
    cannot_exclude: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)

    @property
    def moved(self) -> bool:
        """Whether any test says that the samples differ, at 5% for all together."""
        tests = [test for test in (self.samples, self.scores, self.columns, self.novel) if test is not None]
        return bool(tests) and min(test.p_value for test in tests) * len(tests) <= LEVEL

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Label and text of each line below the first that is printed."""
        parts = [("Model now", source_loss_in_words(self)), ("Did it move?", moved_in_words(self))]
        parts += [("Columns", text) for text in columns_in_words(self.columns)]
        parts += [
            ("Label shift", label_shift_in_words(self)),
            ("Class shares", shares_in_words(self.class_shares)),
            ("Covariate shift", weights_in_words(self)),
            ("Which of the two", mechanism_in_words(self)),
            ("Concept shift", concept_in_words(self)),
            ("Further out", "" if self.novel is None or self.novel.p_value > LEVEL else novel_in_words(self.novel)),
            ("Error", "" if self.performance is None else performance_in_words(self)),
            *[("Unseen", text) for text in self.cannot_exclude],
            ("Verdict", f"{self.verdict.level}: {WORDS[self.correction]}"),
            *[("because", text) for text in self.verdict.reasons],
            ("Next", self.verdict.action),
        ]
        return [(label, one_line(text)) for label, text in parts if text]

    def _head(self) -> str:
        labels = f", {self.n_labels} of them labelled" if self.n_labels else ""
        return f"{self.model}: {self.n_source} source rows, {self.n_target} target rows{labels}"

    def __str__(self) -> str:
        return "\n".join([self._head(), *(f"{label:<{WIDTH}}{text}" for label, text in self.lines)])

    def _printout(self) -> Printout:
        return Printout(tuple(self.lines), head=self._head())


def p_in_words(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def source_loss_in_words(found: ShiftDiagnosis) -> str:
    """How good the model is on source rows that it was not fitted with."""
    if found.source_loss is None:
        return ""
    loss, error = found.source_loss
    if found.is_class:
        told = f"accuracy {1 - loss:.3f} +- {error:.1g}"
    else:
        # The square root of a mean has half the relative error.
        root = sqrt(loss)
        told = f"root mean squared error {root:.3g} +- {error / (2 * root) if root else 0.0:.1g}"
    unknown = "" if found.performance is not None else "; on the target rows only labels can tell"
    return f"{told} on source rows that it was not fitted with{unknown}"


def performance_in_words(found: ShiftDiagnosis) -> str:
    """How the loss changed by the target labels, under its name."""
    loss = "error rate" if found.is_class else "mean squared error"
    return str(found.performance).replace("mean loss", loss).replace("\n", " ")


def moved_in_words(found: ShiftDiagnosis) -> str:
    """Whether the samples differ, and the model's scores."""
    parts = []
    if found.samples is not None:
        parts.append(
            f"samples: {'yes' if found.samples.p_value <= LEVEL else 'not beyond chance'} "
            f"(AUC {found.samples.effect_size:.2f}, {p_in_words(found.samples.p_value)})"
        )
    if found.scores is not None:
        parts.append(
            f"scores of the model: {'yes' if found.scores.p_value <= LEVEL else 'not beyond chance'} "
            f"({p_in_words(found.scores.p_value)})"
        )
    return "; ".join(parts)


def columns_in_words(columns: FeatureTests | None) -> list[str]:
    """By which columns the samples differ most, and which only name rows."""
    if columns is None:
        return []
    shifted = [f"{column.name} ({column.effect_size:.2f})" for column in columns.shifted[:MOST_COLUMNS]]
    lines = [f"differ most (distance): {', '.join(shifted)}"] if shifted else []
    return lines + [f"{identifier_in_words(column)}: drop it" for column in columns.identifiers[:MOST_IDENTIFIERS]]


def identifier_in_words(column: ColumnShift) -> str:
    """A column that names rows, and why it is taken for one."""
    article = "an" if column.kind == "identifier" else "a"
    return f"{column.name!r} looks like {article} {column.kind}, {column.why}"


def label_shift_in_words(found: ShiftDiagnosis) -> str:
    """What one change of the class shares explains, and what correcting it would do."""
    fit = found.label_shift
    if fit is None:
        return ""
    if not fit.moved:
        return f"not seen: {fit.reason}"
    if fit.explained_share == fit.explained_share:
        share = f"a change of class shares explains {fit.explained_share:.0%}"
        share += f" +- {fit.explained_share_error:.0%}" if fit.explained_share < 1 else ""
        rest = f"the rest is {'beyond' if fit.z >= ONE_SIDED else 'within'} chance, z = {fit.z:.1f}"
        text = f"{'possible' if fit.passes else 'no'}: {share} of what tells the samples apart ({rest})"
    else:
        text = f"{'possible' if fit.passes else 'not seen'}: {fit.reason}"
    if found.prior_changes is None or found.prior_changes != found.prior_changes:
        return text
    asked = "corrected all the same, they would change"
    if found.correction in ("prior", "labels"):
        asked = "correcting them changes" if found.correction == "prior" else "corrected alone, they would change"
    return f"{text}; {asked} {found.prior_changes:.1%} of the predictions"


def shares_in_words(shares: tuple[ClassShare, ...]) -> str:
    """Source share and interval of the target's, of the classes that may have moved most."""
    first = sorted(shares, key=lambda share: share.low - share.high)[:MOST_CLASSES]
    if len(shares) == 2:
        first = [shares[1]]
    told = [f"{s.label}: {s.source:.2f} in the source, {s.low:.2f} to {s.high:.2f} in the target" for s in first]
    more = f"; {len(shares) - len(first)} more" if len(shares) > max(len(first), 2) else ""
    return f"{'; '.join(told)}{more} (95%)" if told else ""


def weights_in_words(found: ShiftDiagnosis) -> str:
    """What weights are worth, and whether they help."""
    if found.overlap is None:
        return ""
    size = (
        f"weighted, the {found.overlap.n_source:.0f} source rows are worth {found.overlap.effective_size:.0f}; weights"
    )
    if found.overlap.verdict == "abstain":
        return f"no weighting: {'; '.join(found.overlap.verdict.reasons[:MOST_REASONS])}"
    if found.gain is None:
        return f"{size} were not tried on the model"
    gain, error = found.gain
    effect = "" if found.effect is None else f", changing {changes_in_words(found)}"
    helps = "seem to help" if found.weights_help else "are not shown to help"
    return f"{size} {helps} (loss {'lower' if gain >= 0 else 'higher'} by {abs(gain):.2g} +- {error:.1g}{effect})"


def changes_in_words(found: ShiftDiagnosis) -> str:
    """How much weights change the predictions."""
    assert found.effect is not None
    if found.is_class:
        return f"{found.effect.changed:.1%} of the predictions"
    return f"predictions by {found.effect.changed:.2g} standard deviations"


def concept_in_words(found: ShiftDiagnosis) -> str:
    """Whether p(y given x) moved, as far as labels tell."""
    parts = []
    if found.concept is not None:
        moved = "yes" if found.concept.p_value <= LEVEL else "not beyond chance"
        by_label = found.mechanism is not None and found.mechanism.decision == "label shift"
        why = "; a label shift moves p(y given x) too" if by_label and moved == "yes" else ""
        parts.append(f"{moved} ({p_in_words(found.concept.p_value)}{why})")
    return "; ".join(parts)


def mechanism_in_words(found: ShiftDiagnosis) -> str:
    """Which of the two it is, by enough labels."""
    if found.mechanism is None or found.n_labels < FEWEST_LABELS:
        return ""
    return f"by {found.n_labels} labels: {found.mechanism.decision}"


def column_to_drop(columns: FeatureTests | None) -> str:
    """What to do with columns that only name rows; empty without any."""
    names = [] if columns is None else [repr(column.name) for column in columns.identifiers[:MOST_IDENTIFIERS]]
    return f"Drop {', '.join(names)}, and diagnose again." if names else ""


def novel_in_words(novel: ShiftTest) -> str:
    share, p_value = f"{novel.effect_size:.1%}", p_in_words(novel.p_value)
    found = f"some {share} of the target rows lie beyond the source's rows of any class ({p_value})"
    return f"{found}: a new class, or rows that moved"
