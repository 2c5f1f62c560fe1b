"""One look at a weight vector: is it fit to repair a model with?"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._door import public
from shiftfix._naming import one_line
from shiftfix._numerics import Floats
from shiftfix._printed import Printed, Printout, printed
from shiftfix._setting_checks import check_number
from shiftfix._validation import check_repeat_counts, check_weights
from shiftfix._verdict import KeepsVerdicts, Verdict, judge
from shiftfix.exceptions import ShiftDataError
from shiftfix.weights._balance_table import BalanceTable
from shiftfix.weights._effective_size import effective_sample_size_of
from shiftfix.weights._pareto import EQUAL_TO, pareto_k_of, pareto_k_threshold_of, smooth_weights_of
from shiftfix.weights._transform import ClipRule, check_clip, clip_threshold_of

# Engineering choices, not theorems: below 100 effective rows a mean is known to a tenth of its standard
# deviation at best, below 30 its normal approximation fails too; a tenth (three tenths) of the target
# that no source row stands for bounds what weighting can reach. The target's own size counts like the effective size: a
# ratio estimated from ten target rows is no better than their mean, however many source rows are weighted by it.
ESS_CAUTION, ESS_ABSTAIN = 100, 30
LOST_CAUTION, LOST_ABSTAIN = 0.10, 0.30
# Above 1 the weights' tail has no finite mean (Vehtari et al. 2024); the threshold for care depends on n.
K_ABSTAIN = 1.0
# A standardised mean difference above 0.1 is commonly called an imbalance (Austin 2009, Stat. Med. 28(25):3083-3107);
# here it must be above that by two standard errors, since the worst of many features is shown.
GAP_CAUTION, GAP_ERRORS = 0.1, 2.0
# Features named in the summary.
WORST_BALANCED = 3
# A true ratio averages 1 over the source; an estimate outside this range is not close to one.
RAW_MEAN_LOW, RAW_MEAN_HIGH = 0.7, 1.4
ACTION = "Collect more rows where it says, drop the features that separate the samples, or go on unweighted."


@printed
class Imbalance(NamedTuple):
    """One entry of a BalanceTable: standardised mean differences, in standard deviations."""

    name: str
    before: float
    after: float
    se_after: float


@dataclass(frozen=True)
class WeightSummary(Printed, KeepsVerdicts):
    """What weights are worth; ``print`` it for a short table.

    Attributes
    ----------
    n_source : float
        Source rows (with sample_weight: their total).
    effective_size : float
        Kish effective sample size of the weights after clipping, in rows.
    raw_mean : float
        Mean of the weights before clipping and normalisation; true ratios average 1.
    raw_mean_se : float
        Its standard error, sd(w) / sqrt(n), the ratio taken as known; it misleads where pareto_k is large.
    pareto_k, pareto_k_threshold : float
        Shape of the tail of the weights before clipping, and the value it should stay below at this n; see
        :func:`shiftfix.weights.pareto_k` for its infinite values.
    clip : float
        Threshold applied to the raw weights; infinity for none.
    smoothed : bool
        Whether the tail was Pareto-smoothed instead.
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
    worst_balanced : tuple of (name, before, after, se_after) or None
        The three entries worst balanced after weighting, worst first: target minus source mean in standard
        deviations, before and after weighting, and the standard error of the latter. None without a balance table.
        Weighters look at the features and their squares (of sparse rows, and beyond ten million entries, at the
        features alone).
    max_weight : float
        Largest weight after clipping, at mean 1.
    verdict : Verdict
        "ok", "caution" or "abstain" (the data support no weights), with the reasons; see :func:`summarize_weights`.
    """

    n_source: float
    effective_size: float
    raw_mean: float
    raw_mean_se: float
    pareto_k: float
    pareto_k_threshold: float
    clip: float
    smoothed: bool
    clipped_share: float
    target_clipped_share: float | None
    target_lost_mass: float | None
    target_outside_share: float | None
    target_outside_feature: str | None
    n_target: float | None
    domain_auc: float | None
    worst_balanced: tuple[Imbalance, ...] | None
    max_weight: float
    verdict: Verdict

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the verdict is not "ok"; empty when it is."""
        return self.verdict.reasons

    def _rows(self) -> list[tuple[str, str]]:
        """Labels and values of the printed table."""
        rows = [
            ("source rows", f"{self.n_source:g}"),
            *([] if self.n_target is None else [("target rows", f"{self.n_target:g}")]),
            (
                "effective sample size",
                f"{self.effective_size:.1f} ({self.effective_size / self.n_source:.1%})",
            ),
            ("Pareto k", f"{self.pareto_k:.2f} (below {self.pareto_k_threshold:.2f} is good)"),
            ("raw mean weight (truth 1)", f"{self.raw_mean:.3f} (s.e. {self.raw_mean_se:.3f})"),
            ("largest weight (mean 1)", f"{self.max_weight:.2f}"),
            ("clip", "none, tail smoothed" if self.smoothed else "none" if np.isinf(self.clip) else f"{self.clip:.3g}"),
            ("source rows clipped", f"{self.clipped_share:.1%}"),
            *self._overlap_rows(),
        ]
        rows += _balance_rows(self.worst_balanced or ())
        return [*rows, ("verdict", str(self.verdict)), *(("  because", reason) for reason in self.reasons)]

    def _overlap_rows(self) -> list[tuple[str, str]]:
        rows = []
        if self.target_clipped_share is not None:
            above = "target rows above the clip" if np.isfinite(self.clip) else "target above every weight"
            rows.append((above, f"{self.target_clipped_share:.1%}"))
            rows.append(("target mass lost", f"{self.target_lost_mass:.1%}"))
        if self.target_outside_share is not None:
            rows.append(
                ("target outside the source", f"{self.target_outside_share:.1%} ({self.target_outside_feature})")
            )
        if self.domain_auc is not None:
            rows.append(("domain AUC", f"{self.domain_auc:.3f}"))
        return rows

    def __str__(self) -> str:
        return "\n".join(f"{label:<27}{value}" for label, value in self._rows())

    def _printout(self) -> Printout:
        return Printout(tuple(self._rows()))


def _in_order(values: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Values in increasing order and their counts."""
    if counts.min() == counts.max():  # numbers are sorted faster than rows
        return np.sort(values), counts
    order = np.argsort(values)
    return values[order], counts[order]


def exceeds(weights: Floats, reach: float) -> NDArray[np.bool_]:
    """Which weights are above ``reach`` by more than rounding: a clip that is itself a weight cuts none of its ties."""
    return weights / (1 + EQUAL_TO) > reach


def probability_larger(values: Floats, others: Floats, counts: Floats, other_counts: Floats) -> float:
    """P(value > other), ties counted half: the area under the ROC curve; a float.

    Parameters
    ----------
    values, others : ndarray of shape (n_values,), (n_others,)
    counts, other_counts : ndarray of the same shapes
        Repeat counts.
    """
    # Sorted questions find their answers in memory that is still near.
    values, counts = _in_order(values, counts)
    others, other_counts = _in_order(others, other_counts)
    below = np.append(0, np.cumsum(other_counts))
    first = np.searchsorted(others, values, "left")
    last = first.copy()
    tied = np.flatnonzero(others[np.minimum(first, others.size - 1)] == values)
    last[tied] = np.searchsorted(others, values[tied], "right")
    wins = below[first] + below[last]
    return float(counts @ wins / (2 * below[-1] * counts.sum()))


class _Overlap(NamedTuple):
    """What the raw weights of the target rows tell; see WeightSummary."""

    n_target: float
    clipped_share: float
    lost_mass: float
    auc: float


def _overlap(w: Floats, counts: Floats, target: tuple[Floats, Floats], threshold: float) -> _Overlap:
    """From weights and counts of both samples; ``threshold`` is the clip, infinite for none."""
    w_target, target_counts = target
    reach = threshold if np.isfinite(threshold) else w[counts > 0].max()
    kept = np.divide(reach, w_target, out=np.ones_like(w_target), where=w_target > reach)
    return _Overlap(
        float(target_counts.sum()),
        float(np.average(exceeds(w_target, reach), weights=target_counts)),
        float(np.average(1 - kept, weights=target_counts)),
        probability_larger(w_target, w, target_counts, counts),
    )


def _raw_mean(w: Floats, counts: Floats) -> tuple[float, float]:
    """Mean of raw weights and its standard error."""
    # Through the largest weight, so that sums of huge weights do not overflow.
    mean = float(w.max() * np.average(w / w.max(), weights=counts))
    spread = float(np.sqrt(np.average((w / w.max() - mean / w.max()) ** 2, weights=counts)))
    return mean, float(w.max() * spread / np.sqrt(float(counts.sum())))


def _least_balanced(balance: BalanceTable) -> tuple[str, float] | None:
    """The entry furthest beyond its error, and its absolute difference, where that is large."""
    # The largest difference may be within its error while a smaller one is far beyond its own.
    with np.errstate(invalid="ignore"):
        beyond = np.fmax(np.abs(balance.after) - GAP_ERRORS * balance.se_after, -np.inf)
    place = int(np.argmax(beyond))
    return (balance.names[place], float(abs(balance.after[place]))) if beyond[place] > GAP_CAUTION else None


def _balance_rows(worst: tuple[Imbalance, ...]) -> list[tuple[str, str]]:
    """Labels and values of the printed table for the moments that are least balanced."""
    shown = [one_line(name if len(name) <= 30 else name[:29] + "…") for name, *_ in worst]
    values = [f"{name} {gap:+.3f} (s.e. {error:.3f})" for name, (_, _, gap, error) in zip(shown, worst, strict=True)]
    return list(zip(["worst balanced (SD)", *[""] * len(values)], values, strict=False))


def _worst_balanced(balance: BalanceTable) -> tuple[Imbalance, ...]:
    worst = balance.worst(WORST_BALANCED)
    return tuple(map(Imbalance, worst.names, *(c.tolist() for c in (worst.before, worst.after, worst.se_after))))


def _out_of_bounds(
    effective_size: float, n_target: float | None, lost: float | None, outside: float | None, feature: str | None
) -> tuple[list[str], list[str]]:
    """What speaks against weighting, and what asks for care, of sizes and shares."""
    where = f" in {feature}" if feature else " in one feature"
    judged = [
        (effective_size, -1, ESS_CAUTION, ESS_ABSTAIN, "the effective sample size is only {:.1f} rows"),
        (n_target, -1, ESS_CAUTION, ESS_ABSTAIN, "the target sample has only {:g} rows"),
        (lost, 1, LOST_CAUTION, LOST_ABSTAIN, "no source row stands for {:.0%} of the target"),
        (outside, 1, LOST_CAUTION, LOST_ABSTAIN, "{:.0%} of the target lies outside the source's range" + where),
    ]
    abstain, caution = [], []
    for value, sign, careful, refuse, words in judged:
        if value is None:
            continue
        # A clip that seeks an effective size of 100 may miss it by rounding.
        careful, refuse = (bound + sign * EQUAL_TO * bound for bound in (careful, refuse))
        if sign * value > sign * refuse:
            abstain.append(words.format(value))
        elif sign * value > sign * careful:
            caution.append(words.format(value))
    return abstain, caution


def judge_weights(
    effective_size: float,
    overlap: _Overlap | None,
    outside: tuple[float | None, str | None],
    raw_mean: float,
    k: float,
    k_threshold: float,
    least_balanced: tuple[str, float] | None,
) -> Verdict:
    """Verdict; sizes in rows, ``outside`` the share of the target (0 to 1) and the feature, None where not known."""
    n_target, lost = (None, None) if overlap is None else (overlap.n_target, overlap.lost_mass)
    abstain, caution = _out_of_bounds(effective_size, n_target, lost, *outside)
    if k == np.inf:
        caution.append("fewer than 5 weights make up the tail: nothing tells how heavy it is")
    elif k > K_ABSTAIN:
        abstain.append(f"the largest weights have no finite mean (Pareto k {k:.2f} > {K_ABSTAIN:g})")
    elif k >= k_threshold:
        caution.append(f"a few weights decide (Pareto k {k:.3f}, good below {k_threshold:.3f} at this size)")
    if not RAW_MEAN_LOW <= raw_mean <= RAW_MEAN_HIGH:
        caution.append(f"the raw weights average {raw_mean:.3g}, and density ratios average 1")
    if least_balanced is not None:
        name, gap = least_balanced
        caution.append(f"weighting leaves {one_line(name)} {gap:.2f} standard deviations off the target")
    return judge(abstain, caution, ACTION)


def summary_of(
    w: Floats,
    counts: Floats,
    *,
    target: tuple[Floats, Floats] | None = None,
    outside: tuple[float | None, str | None] = (None, None),
    balance: BalanceTable | None = None,
    clip: ClipRule = None,
    min_ess: float = 100,
) -> WeightSummary:
    """:func:`summarize_weights` of checked weights and settings.

    Parameters
    ----------
    w, counts : ndarray of shape (n_source,)
        Raw weights and repeat counts of the source rows.
    target : pair of ndarray of shape (n_target,), default=None
        The same of the target rows.
    outside : (float, str), default=(None, None)
        Share of the target outside the source's range, and in which feature.
    balance : BalanceTable, default=None
    clip : "sqrt", float, percentile such as "99%", "ess", "pareto" or None, default=None
    min_ess : float, default=100

    Returns
    -------
    WeightSummary
    """
    threshold = clip_threshold_of(w, counts, clip, min_ess)
    smooth = isinstance(clip, str) and clip == "pareto"
    clipped = smooth_weights_of(w, counts) if smooth else np.minimum(w, threshold)
    effective_size = effective_sample_size_of(clipped, counts)
    overlap = None if target is None else _overlap(w, counts, target, threshold)
    n_source = float(counts.sum())
    raw_mean, raw_mean_se = _raw_mean(w, counts)
    k, k_threshold = pareto_k_of(w, counts), pareto_k_threshold_of(n_source)
    least_balanced = None if balance is None else _least_balanced(balance)
    scaled = clipped / clipped.max()
    return WeightSummary(
        n_source=n_source,
        effective_size=effective_size,
        raw_mean=raw_mean,
        raw_mean_se=raw_mean_se,
        pareto_k=k,
        pareto_k_threshold=k_threshold,
        clip=threshold,
        smoothed=smooth,
        clipped_share=float(np.average(exceeds(w, threshold), weights=counts)),
        target_clipped_share=None if overlap is None else overlap.clipped_share,
        target_lost_mass=None if overlap is None else overlap.lost_mass,
        target_outside_share=outside[0],
        target_outside_feature=outside[1],
        n_target=None if overlap is None else overlap.n_target,
        domain_auc=None if overlap is None else overlap.auc,
        worst_balanced=None if balance is None else _worst_balanced(balance),
        max_weight=float(scaled[counts > 0].max() / np.average(scaled, weights=counts)),
        verdict=judge_weights(effective_size, overlap, outside, raw_mean, k, k_threshold, least_balanced),
    )


def _check_findings(balance: object, share: object, feature: object) -> None:
    """Raise ShiftDataError for findings of the user's that are of another kind."""
    if not (balance is None or isinstance(balance, BalanceTable)):
        raise ShiftDataError(f"balance is a {type(balance).__name__}: pass what balance_table returns, or None.")
    if share is not None:
        check_number(share, "target_outside_share", least=0, most=1)
    if not (feature is None or isinstance(feature, str)):
        raise ShiftDataError(f"target_outside_feature is a {type(feature).__name__}: pass a feature's name, or None.")


@public
def summarize_weights(
    weights: ArrayLike,
    *,
    target_weights: ArrayLike | None = None,
    target_outside_share: float | None = None,
    target_outside_feature: str | None = None,
    balance: BalanceTable | None = None,
    clip: ClipRule = None,
    min_ess: float = 100,
    sample_weight: ArrayLike | None = None,
    target_sample_weight: ArrayLike | None = None,
) -> WeightSummary:
    """Describe raw weights, what a clip does to them, and whether to use them.

    The verdict is "abstain" when the effective sample size or the target sample is below 30 rows, Pareto k is above
    1 (and could be estimated), or more than 30% of the target mass is lost or lies outside the source's range; "ok"
    when both sizes are at least 100, k is below its threshold, both shares at most 10% and the raw mean weight within
    [0.7, 1.4], and no mean in the balance table more than 0.1 standard deviations off by two standard errors; "caution"
    otherwise. These cut-offs are engineering choices, not theorems. No imbalance alone makes it "abstain": how much of
    it matters depends on the model to be repaired.

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
    balance : BalanceTable, default=None
        Of the finished weights, by :func:`shiftfix.weights.balance_table`; its three worst entries are kept.
    clip : "sqrt", float, percentile such as "99%", "ess", "pareto" or None, default=None
        As :func:`shiftfix.weights.clip_threshold`.
    min_ess : float, default=100
        As there.
    sample_weight, target_sample_weight : array-like, default=None
        Repeat counts of the source and the target rows.

    Returns
    -------
    WeightSummary

    Raises
    ------
    ShiftDataError
        For NaN, infinite, negative, empty or all-zero weights, also those zero wherever the repeat counts are not, and
        for a clip that is not known.

    See Also
    --------
    WeightSummary : What it returns.
    effective_sample_size : Kish's, in rows.
    shiftfix.display.WeightDisplay : Draws the weights and their clip.
    """
    w = check_weights(weights)
    counts = check_repeat_counts(sample_weight, w.size)
    if not (counts @ (w > 0)):
        raise ShiftDataError("weights are zero wherever sample_weight is not: no row is left to summarize.")
    check_clip(clip, min_ess)
    _check_findings(balance, target_outside_share, target_outside_feature)
    target = None
    if target_weights is not None:
        w_target = check_weights(target_weights, "target_weights")
        target = w_target, check_repeat_counts(target_sample_weight, w_target.size, "target_sample_weight")
    return summary_of(
        w,
        counts,
        target=target,
        outside=(target_outside_share, target_outside_feature),
        balance=balance,
        clip=clip,
        min_ess=min_ess,
    )
