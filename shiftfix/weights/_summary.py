"""One look at a weight vector: is it fit to repair a model with?"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from shiftfix._validation import check_repeat_counts, check_weights
from shiftfix.weights._effective_size import effective_sample_size
from shiftfix.weights._transform import clip_threshold, clip_weights

# Engineering choices, not theorems: below 100 effective rows a mean is known to a tenth of its standard
# deviation at best, below 30 its normal approximation fails too; a tenth (three tenths) of the target
# that no source row stands for bounds what weighting can reach. The target's own size counts like the effective size: a
# ratio estimated from ten target rows is no better than their mean, however many source rows are weighted by it.
ESS_CAUTION, ESS_ABSTAIN = 100, 30
LOST_CAUTION, LOST_ABSTAIN = 0.10, 0.30
# A true ratio averages 1 over the source; an estimate outside this range is not close to one.
RAW_MEAN_LOW, RAW_MEAN_HIGH = 0.7, 1.4


@dataclass(frozen=True)
class WeightSummary:
    """What weights are worth; ``print`` it for a short table.

    Attributes
    ----------
    n_source : float
        Source rows (with sample_weight: their total).
    effective_size : float
        Kish effective sample size of the weights after clipping, in rows.
    raw_mean : float
        Mean of the weights before clipping and normalisation; true ratios average 1.
    clip : float
        Threshold applied to the raw weights; infinity for none.
    clipped_share : float
        Share of the source rows whose weight was clipped.
    target_clipped_share : float or None
        Share of the target rows with a raw weight above the clip or, without one, above the largest
        source weight: target mass that the clip affects. None without target weights.
    target_lost_mass : float or None
        Target mass that the source rows do not stand for: the mean over the target of
        max(0, 1 - reach / w), with reach the clip or, without one, the largest source weight.
        A row just above the clip loses little, a row outside the source's support everything.
        None without target weights.
    target_outside_share : float or None
        Share of the target rows outside the range of the source in the feature where it is largest. A ratio
        of a simple form may miss what this sees. None when not told.
    target_outside_feature : str or None
        That feature.
    n_target : float or None
        Target rows (with sample weights: their total). None without target weights.
    domain_auc : float or None
        P(weight of a target row > weight of a source row), ties counted half: 0.5 where the samples
        cannot be told apart, 1 where they do not overlap. None without target weights.
    max_weight : float
        Largest weight after clipping, at mean 1.
    verdict : {"ok", "caution", "abstain"}
        "abstain" means: do not weight, the data do not support it.
    reasons : tuple of str
        Why the verdict is not "ok"; empty when it is.
    """

    n_source: float
    effective_size: float
    raw_mean: float
    clip: float
    clipped_share: float
    target_clipped_share: float | None
    target_lost_mass: float | None
    target_outside_share: float | None
    target_outside_feature: str | None
    n_target: float | None
    domain_auc: float | None
    max_weight: float
    verdict: str
    reasons: tuple[str, ...]

    def __str__(self):
        rows = [
            ("source rows", f"{self.n_source:g}"),
            *([] if self.n_target is None else [("target rows", f"{self.n_target:g}")]),
            (
                "effective sample size",
                f"{self.effective_size:.1f} ({self.effective_size / self.n_source:.1%})",
            ),
            ("raw mean weight (truth 1)", f"{self.raw_mean:.3f}"),
            ("largest weight (mean 1)", f"{self.max_weight:.2f}"),
            ("clip", "none" if np.isinf(self.clip) else f"{self.clip:.3g}"),
            ("source rows clipped", f"{self.clipped_share:.1%}"),
        ]
        if self.target_clipped_share is not None:
            rows.append(("target rows above the clip", f"{self.target_clipped_share:.1%}"))
            rows.append(("target mass lost", f"{self.target_lost_mass:.1%}"))
        if self.target_outside_share is not None:
            rows.append(
                ("target outside the source", f"{self.target_outside_share:.1%} ({self.target_outside_feature})")
            )
        if self.domain_auc is not None:
            rows.append(("domain AUC", f"{self.domain_auc:.3f}"))
        rows.append(("verdict", self.verdict))
        rows += [("  because", reason) for reason in self.reasons]
        return "\n".join(f"{label:<27}{value}" for label, value in rows)


def _verdict(effective_size, n_target, lost, outside, feature, raw_mean):
    """Verdict and reasons; sizes in rows, shares of the target between 0 and 1, None where not known."""
    where = f" in {feature}" if feature else " in one feature"
    judged = [
        (effective_size, -1, ESS_CAUTION, ESS_ABSTAIN, "the effective sample size is only {:.1f} rows"),
        (n_target, -1, ESS_CAUTION, ESS_ABSTAIN, "the target sample has only {:g} rows"),
        (lost, 1, LOST_CAUTION, LOST_ABSTAIN, "no source row stands for {:.0%} of the target"),
        (outside, 1, LOST_CAUTION, LOST_ABSTAIN, "{:.0%} of the target lies outside the source's range" + where),
    ]
    abstain, caution = [], []
    for value, sign, careful, refuse, words in judged:
        if value is not None and sign * value > sign * refuse:
            abstain.append(words.format(value))
        elif value is not None and sign * value > sign * careful:
            caution.append(words.format(value))
    if not RAW_MEAN_LOW <= raw_mean <= RAW_MEAN_HIGH:
        caution.append(f"the raw weights average {raw_mean:.3g}, and density ratios average 1")
    verdict = "abstain" if abstain else "caution" if caution else "ok"
    return verdict, tuple(abstain + caution)


def summarize_weights(
    weights,
    *,
    target_weights=None,
    target_outside_share=None,
    target_outside_feature=None,
    clip=None,
    sample_weight=None,
    target_sample_weight=None,
):
    """Describe raw weights, what a clip does to them, and whether to use them.

    The verdict is "abstain" when the effective sample size or the target sample is below 30 rows, or more than 30%
    of the target mass is lost or lies outside the source's range; "ok" when both sizes are at least 100, both
    shares at most 10% and the raw mean weight within [0.7, 1.4]; "caution" otherwise. These cut-offs are engineering
    choices, not theorems.

    Parameters
    ----------
    weights : array-like of shape (n_source,)
        Raw weights of the source rows: target / source density ratio, no unit, not yet clipped.
    target_weights : array-like of shape (n_target,), default=None
        Raw weights of the target rows, by the same function. Without them the overlap on the
        target side is unknown, and the verdict rests on the effective size alone.
    target_outside_share : float in [0, 1], default=None
        As the attribute of WeightSummary; weights alone cannot tell it.
    target_outside_feature : str, default=None
        What to call that feature.
    clip : float, "sqrt" or None, default=None
        As :func:`shiftfix.weights.clip_threshold`.
    sample_weight, target_sample_weight : array-like, default=None
        Repeat counts of the source and the target rows.

    Returns
    -------
    WeightSummary

    Raises
    ------
    ShiftDataError
        For NaN, infinite, negative, empty or all-zero weights.
    """
    w = check_weights(weights)
    counts = check_repeat_counts(sample_weight, w.size)
    threshold = clip_threshold(w, clip, sample_weight=counts)
    clipped = clip_weights(w, None if np.isinf(threshold) else threshold)
    effective_size = effective_sample_size(clipped, sample_weight=counts)
    above = lost = auc = n_target = None
    if target_weights is not None:
        w_target = check_weights(target_weights, "target_weights")
        target_counts = check_repeat_counts(target_sample_weight, w_target.size, "target_sample_weight")
        n_target = float(target_counts.sum())
        reach = threshold if np.isfinite(threshold) else w[counts > 0].max()
        above = float(np.average(w_target > reach, weights=target_counts))
        kept = np.divide(reach, w_target, out=np.ones_like(w_target), where=w_target > reach)
        lost = float(np.average(1 - kept, weights=target_counts))
        auc = float(
            roc_auc_score(
                np.repeat([0, 1], [w.size, w_target.size]),
                np.append(w, w_target),
                sample_weight=np.append(counts, target_counts),
            )
        )
    # Through the largest weight, so that sums of huge weights do not overflow.
    raw_mean = float(w.max() * np.average(w / w.max(), weights=counts))
    verdict, reasons = _verdict(effective_size, n_target, lost, target_outside_share, target_outside_feature, raw_mean)
    scaled = clipped / clipped.max()
    return WeightSummary(
        n_source=float(counts.sum()),
        effective_size=effective_size,
        raw_mean=raw_mean,
        clip=threshold,
        clipped_share=float(np.average(w > threshold, weights=counts)),
        target_clipped_share=above,
        target_lost_mass=lost,
        target_outside_share=target_outside_share,
        target_outside_feature=target_outside_feature,
        n_target=n_target,
        domain_auc=auc,
        max_weight=float(scaled[counts > 0].max() / np.average(scaled, weights=counts)),
        verdict=verdict,
        reasons=reasons,
    )
