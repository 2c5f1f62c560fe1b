"""Which correction the evidence supports, if any: a correction has to earn its place.

Class shares are corrected where they moved and nothing that tells the samples apart speaks against label shift;
weights are used where they are shown to lower the loss of this model; a model is left alone otherwise. Labels of
target rows beat all that is inferred without them.
"""

from typing import Any, NamedTuple

from shiftfix._verdict import Verdict
from shiftfix.detect._diagnosis import (
    ALL_CORRECTIONS,
    FEW_LABELS,
    Causes,
    Correction,
    Corrections,
    ShiftDiagnosis,
    column_to_drop,
)
from shiftfix.detect._evidence import PriorEvidence, ShiftEvidence
from shiftfix.detect._result import LEVEL, ShiftTest

# Target rows below which the tests would hardly see a shift.
MANY_ROWS = 30
# As many labels as anyone will get by asking for them.
MOST_LABELS = 500
# Level of the test that the samples differ at all, without which no weights are used.
DIFFERS = 0.01
# Share of the target that no source row stands for, above which more labels of the same rows are no remedy.
LOST = 0.1
# Labels from which on "a few hundred" is no advice.
A_FEW_HUNDRED = 200
MONITOR = "Deploy, and monitor."
RELABEL = "Label target rows where the source has none: no correction reaches them."
NO_OVERLAP = "source rows do not stand for the target's, whatever their weights"
NO_PROBABILITIES = (
    "the target labels are not used: they correct class probabilities, and the model has none; scikit-learn's "
    "CalibratedClassifierCV around it gives some"
)
ALIKE = (
    "without labels this cannot be told from a covariate shift along the model's score, under which the class shares "
    "must not be corrected"
)


class Question(NamedTuple):
    """What is to be decided.

    Attributes
    ----------
    causes : {None, "label", "features"}
    allowed : tuple of {"none", "weights", "prior", "labels"}
        Corrections to choose from.
    n_target, n_labels : int
    unused_labels : str
        Why target labels that there are cannot be used; empty otherwise.
    """

    causes: Causes
    allowed: Corrections
    n_target: int
    n_labels: int
    unused_labels: str = ""


def corrections_for(estimator: Any, is_class: bool) -> Corrections:
    """Corrections that a model can take: without class probabilities only weights."""
    if not is_class or hasattr(estimator, "predict_proba"):
        return ALL_CORRECTIONS
    return ("none", "weights")


def supports_prior(labels: PriorEvidence | None, causes: Causes) -> bool:
    """Whether the class shares are to be corrected."""
    if labels is None or causes == "features" or not labels.is_estimated:
        return False
    return labels.fit.passes or causes == "label"


def differ(samples: ShiftTest | None) -> bool:
    """Whether the samples surely differ, or nobody could ask."""
    return samples is None or samples.p_value <= DIFFERS


def decide_correction(evidence: ShiftEvidence, samples: ShiftTest | None, question: Question) -> Correction:
    """What the evidence supports, of what is allowed; ``samples`` is the test whether they differ, if there is one."""
    if question.n_labels and "labels" in question.allowed:
        return "labels"
    if "prior" in question.allowed and supports_prior(evidence.labels, question.causes):
        return "prior"
    helps = evidence.weighing is not None and evidence.choice.exponent > 0
    if "weights" in question.allowed and helps and question.causes != "label" and differ(samples):
        return "weights"
    return "none"


def labels_to_ask(n_target: int, needed: int | None = None, *, corrected: bool = False) -> str:
    """How many labels to ask for: what repairs most models, and what would decide where that is not much more.

    ``corrected`` where something is corrected without them, which fewer labels need not do better.
    """
    decides = needed is not None and needed <= min(MOST_LABELS, n_target)
    asked = min(n_target, max(FEW_LABELS, needed if decides and needed is not None else 0))
    repairs = "judge the correction" if corrected else "repair what can be repaired"
    purpose = f"they tell which shift it is, and {repairs}" if decides else f"they {repairs}"
    further = f" About {needed:,} would tell which shift it is." if needed is not None and not decides else ""
    return f"Label {asked} target rows drawn at random and pass them: {purpose}.{further}"


def verdict_on_prior(labels: PriorEvidence, question: Question, needed: int | None) -> Verdict:
    """On a model whose class shares are corrected."""
    fit, asked = labels.fit, labels_to_ask(question.n_target, needed, corrected=True)
    if question.causes == "label":
        if fit.passes:
            return Verdict("ok", ["the label causes the features, and nothing else is seen to have moved"], MONITOR)
        return Verdict("caution", [f"the label causes the features, but {fit.reason}"], asked)
    reasons = [fit.reason, ALIKE]
    if not fit.uses_features:
        reasons.append("only scores were compared: features, or a network's last layer, would show more")
    return Verdict("caution", reasons, asked)


def verdict_on_weights(evidence: ShiftEvidence, question: Question) -> Verdict:
    """On a model trained with weights."""
    weighing = evidence.weighing
    assert weighing is not None
    gain, error = next(iter(evidence.choice.gains.values()))
    reasons = [f"weights lower the estimated target loss by {gain:.2g} +- {error:.1g}, if p(y given x) is shared"]
    reasons += [*weighing.weighter.summary_.reasons, *weighing.unbalanced_score]
    return Verdict("caution", reasons, labels_to_ask(question.n_target, corrected=True))


def verdict_on_labels(found: ShiftDiagnosis, question: Question) -> Verdict:
    """On a model that is corrected by target labels."""
    reasons = [f"{question.n_labels} target labels decide how much of which correction is used"]
    if question.n_labels < FEW_LABELS / 2:
        return Verdict("caution", [*reasons, "so few tell little"], labels_to_ask(question.n_target))
    drop = found.performance
    if drop is not None and drop.p_value <= LEVEL and drop.effect_size > 0:
        reasons.append(f"without correction the model's mean loss is higher by {drop.effect_size:.2g} on the target")
        more = "a few hundred target rows in all" if question.n_labels < A_FEW_HUNDRED else "further target rows"
        return Verdict("caution", reasons, f"Label {more}, drawn at random: they bring back more of it.")
    return Verdict("ok", reasons, "Deploy, and monitor; every further label, drawn at random, makes it better.")


def against_prior(labels: PriorEvidence | None, question: Question) -> list[str]:
    """Why the class shares are not corrected; empty where they did not move."""
    if labels is None or not labels.fit.moved:
        return []
    if not getattr(labels.prior, "identified_", False):
        return [f"the class shares cannot be told: {'; '.join(labels.verdict.reasons)}"]
    if not labels.fit.passes:
        return [f"the scores moved, but label shift is not shown: {labels.fit.reason}"]
    if question.causes == "features":
        return ["a label shift would explain what moved, but the features cause the label"]
    if not labels.is_estimated:
        return ["a label shift would explain what moved, but the class shares did not move beyond chance"]
    return ["a label shift would explain what moved, and the class shares are not to be corrected, or cannot be here"]


def against_weights(evidence: ShiftEvidence, samples: ShiftTest | None, question: Question) -> list[str]:
    """Why weights are not used; empty where that was not asked."""
    if not evidence.choice.gains:
        return []
    if evidence.choice.exponent == 0:
        return ["weights are not shown to help this model"]
    if question.causes == "label":
        return ["weights would help, if p(y given x) were shared, but the label causes the features"]
    if not differ(samples):
        return ["weights seem to help this model, but the samples do not surely differ"]
    return ["weights would help this model, and are not to be used"]


def verdict_on_nothing(
    found: ShiftDiagnosis, evidence: ShiftEvidence, question: Question, needed: int | None
) -> Verdict:
    """On a model that is left alone."""
    ask = labels_to_ask(question.n_target, needed)
    unused = [question.unused_labels] if question.unused_labels else []
    if not found.moved:
        if question.n_target < MANY_ROWS or (found.samples is None and found.scores is None):
            few = f"{question.n_target} target rows would hardly show a shift"
            return Verdict("caution", [*unused, few], "Collect more target rows.")
        return Verdict("caution" if unused else "ok", [*unused, "no shift was detected"], MONITOR)
    reasons = [*unused, *against_prior(evidence.labels, question)]
    weighing = evidence.weighing
    if weighing is not None and not weighing.usable:
        summary = weighing.weighter.summary_
        lost = (summary.target_lost_mass or 0) > LOST
        drop = column_to_drop(found.columns)
        why = [NO_OVERLAP] if lost else list(summary.reasons[:1])
        return Verdict("abstain", [*why, *reasons], drop or (RELABEL if lost else ask))
    reasons += against_weights(evidence, found.samples, question)
    reasons = reasons or ["the samples differ, and nothing supports a correction"]
    return Verdict("caution", reasons, column_to_drop(found.columns) or ask)


def verdict_on(found: ShiftDiagnosis, evidence: ShiftEvidence, question: Question) -> Verdict:
    """What may be said of a model as the correction leaves it."""
    needed = None if found.mechanism is None else found.mechanism.labels_needed
    if found.correction == "labels":
        return verdict_on_labels(found, question)
    if found.correction == "prior" and evidence.labels is not None:
        return verdict_on_prior(evidence.labels, question, needed)
    if found.correction == "weights":
        return verdict_on_weights(evidence, question)
    return verdict_on_nothing(found, evidence, question, needed)
