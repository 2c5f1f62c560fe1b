"""Which correction the evidence supports, if any: a correction has to earn its place.

Class shares are corrected where they moved and nothing that tells the samples apart speaks against label shift;
weights are used where they are shown to lower the loss of this model; a model is left alone otherwise. Labels of
target rows beat all that is inferred without them.
"""

from shiftfix._verdict import Verdict
from shiftfix.detect._diagnosis import Causes, Correction, Corrections
from shiftfix.detect._evidence import Evidence, PriorEvidence
from shiftfix.detect._result import ShiftTest

LABEL = "Label {} target rows drawn at random and pass them: they decide, and a few repair the model."
FEW_LABELS = 50
# Level of the test that the samples differ at all, without which no weights are used.
DIFFERS = 0.01
MONITOR = "Deploy, and monitor."
RELABEL = "Label target rows where the source has none: no correction reaches them."
NO_OVERLAP = "source rows do not stand for the target's, whatever their weights"
ALIKE = (
    "without labels this cannot be told from a covariate shift along the model's score, under which the class shares "
    "must not be corrected"
)


def supports_prior(labels: PriorEvidence | None, causes: Causes) -> bool:
    """Whether the class shares are to be corrected."""
    if labels is None or causes == "features" or not labels.is_estimated:
        return False
    return labels.fit.passes or causes == "label"


def supports_weights(evidence: Evidence, causes: Causes, samples: ShiftTest | None) -> bool:
    """Whether weights are to be used: where the samples surely differ, and weights are shown to help."""
    if samples is not None and samples.p_value > DIFFERS:
        return False
    return causes != "label" and evidence.weighing is not None and evidence.choice.exponent > 0


def decide_correction(
    evidence: Evidence, samples: ShiftTest | None, causes: Causes, n_labels: int, allowed: Corrections
) -> Correction:
    """What the evidence supports, of what is allowed; ``samples`` is the test whether they differ, if there is one."""
    if n_labels and "labels" in allowed:
        return "labels"
    if "prior" in allowed and supports_prior(evidence.labels, causes):
        return "prior"
    if "weights" in allowed and supports_weights(evidence, causes, samples):
        return "weights"
    return "none"


def labels_to_ask(needed: int | None) -> str:
    """How many labels to ask for: what would decide, and not fewer than repair anything."""
    return LABEL.format(FEW_LABELS if needed is None else max(FEW_LABELS, min(needed, 500)))


def verdict_on_prior(labels: PriorEvidence, causes: Causes, needed: int | None) -> Verdict:
    """On a model whose class shares are corrected."""
    fit = labels.fit
    if causes == "label":
        if fit.passes:
            return Verdict("ok", ["the label causes the features, and nothing else is seen to have moved"], MONITOR)
        return Verdict("caution", [f"the label causes the features, but {fit.reason}"], labels_to_ask(needed))
    reasons = [fit.reason, ALIKE]
    if not fit.uses_features:
        reasons.append("only scores were compared: features, or a network's last layer, would show more")
    return Verdict("caution", reasons, labels_to_ask(needed))


def verdict_on_weights(evidence: Evidence) -> Verdict:
    """On a model trained with weights."""
    weighing = evidence.weighing
    assert weighing is not None
    gain, error = next(iter(evidence.choice.gains.values()))
    reasons = [f"weights lower the estimated target loss by {gain:.2g} +- {error:.1g}, if p(y given x) is shared"]
    reasons += weighing.weighter.summary_.reasons
    if weighing.effect is not None and not weighing.effect.is_balanced:
        reasons.append(f"the weighted model score is still {weighing.effect.imbalance:.2f} deviations off the target's")
    return Verdict("caution", reasons, labels_to_ask(None))


def against_prior(labels: PriorEvidence | None) -> list[str]:
    """Why the class shares are not corrected; empty where they did not move."""
    if labels is None or not labels.fit.moved:
        return []
    if not getattr(labels.prior, "identified_", False):
        return [f"the class shares cannot be told: {'; '.join(labels.verdict.reasons)}"]
    return [f"the scores moved, but label shift is not shown: {labels.fit.reason}"]


def verdict_on_nothing(evidence: Evidence, moved: bool) -> Verdict:
    """On a model that is left alone."""
    weighing = evidence.weighing
    reasons = against_prior(evidence.labels)
    if weighing is not None and not weighing.usable:
        return Verdict("abstain", [NO_OVERLAP, *reasons], RELABEL)
    if not moved:
        return Verdict("ok", ["no shift was detected"], MONITOR)
    if evidence.choice.gains:
        reasons.append("weights are not shown to help this model")
    return Verdict("caution", reasons or ["the samples differ, and nothing supports a correction"], labels_to_ask(None))
