"""Target prior from more moments of the scores than there are classes.

Assumes p(x | y) is shared. For any functions g of the scores, E_T[g] = M q with M_j = E_S[g | y = j]. With L moments,
the K - 1 free shares leave L - (K - 1) equations over, which hold under label shift and in general not otherwise:
:func:`label_shift_test` tests them.
Source: Hansen (1982), Econometrica 50(4):1029-1054: efficient weight V^-1, statistic J; two samples, so V adds up both
errors, V = Cov_T(g) / n_t + sum_j q_j^2 Cov_S(g | y = j) / n_j.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from shiftfix._blocks import row_blocks
from shiftfix._numerics import simplex_least_squares
from shiftfix.exceptions import ShiftDataError
from shiftfix.label._base import BasePriorEstimator, Estimate, Learned
from shiftfix.label._identification import PSEUDO_ROWS
from shiftfix.label._source import CalibrationOption, Source, SourceScores, TargetScores

MOMENTS = ("products", "squares", "sum of squares")
# Covariances of moments are estimated, so each moment needs rows; and K matrices of L x L are kept.
ROWS_PER_MOMENT = 10
MOST_MOMENTS = 100
# Directions of the moments' correlation matrix below this share of the largest are taken as redundant: rounding of
# float32 scores leaves about 1e-13, moments that are truly different far more.
REDUNDANT = 1e-8
# Solves, each with the covariance at the prior before it: the third changes the prior by less than its error / n.
STEPS = 3
# Bound of the temporary tables, in rows.
ROW_BLOCK = 4096


class GroupMoments(NamedTuple):
    """Mean of the moments per group of rows, and the sampling covariance of that mean."""

    mean: NDArray[np.float64]
    """Shape (n_groups, n_moments)."""
    covariance: NDArray[np.float64]
    """Shape (n_groups, n_moments, n_moments)."""


class MomentPrior(NamedTuple):
    """Prior by the generalised method of moments."""

    prior: NDArray[np.float64]
    """Shape (n_classes,), on the simplex."""
    covariance: NDArray[np.float64]
    """Shape (n_classes, n_classes): (D' V^-1 D)^-1 over the shares that sum to 1; its rows sum to 0."""
    statistic: float
    """J, at the best shares that sum to 1, of any sign: chi-squared even where a share is 0."""
    degrees_of_freedom: int
    """Moments that are not redundant, less the shares they tell: L - (K - 1)."""
    influence: NDArray[np.float64]
    """Shape (n_classes, n_moments): change of the prior per change of the target's moments; for any other covariance
    C of the moments, influence @ C @ influence.T is that of the prior."""


def choose_moments(n_classes: int, n_rows: float) -> str:
    """The richest of ``MOMENTS`` with at most a tenth of ``n_rows`` (the smaller sample), and at most 100, moments."""
    n_free = n_classes - 1
    sizes = {"products": n_free + n_free * n_classes // 2, "squares": n_free + n_classes, "sum of squares": n_classes}
    most = min(n_rows / ROWS_PER_MOMENT, MOST_MOMENTS)
    return next((kind for kind in MOMENTS if sizes[kind] <= most), MOMENTS[-1])


def score_moments(scores: NDArray[Any], kind: str) -> NDArray[np.float64]:
    """Moments of each row of scores, shape (n_rows, n_moments), float64.

    The last class's score is one less the others', so it adds nothing to the scores themselves. "products" are all
    P_j P_k of the free classes (with the scores: every quadratic), "squares" the P_k^2 of all classes, "sum of
    squares" is one number per row.
    """
    scores = np.asarray(scores, dtype=np.float64)
    free = scores[:, :-1]
    if kind == "products":
        first, second = np.triu_indices(free.shape[1])
        return np.hstack([free, free[:, first] * free[:, second]])
    if kind == "squares":
        return np.hstack([free, scores**2])
    return np.column_stack([free, (scores**2).sum(axis=1)])


def group_moments(
    scores: NDArray[Any],
    group: NDArray[np.intp] | None,
    n_groups: int,
    sample_weight: NDArray[np.float64],
    kind: str,
    pseudo_rows: float = 0.0,
) -> GroupMoments:
    """Moments of groups of rows: the classes of the source, or the target as one group.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_classes)
    group : ndarray of shape (n_rows,) or None
        Group of each row, each with a row at least; None means one group.
    n_groups : int
    sample_weight : ndarray of shape (n_rows,)
        Repeat counts.
    kind : str
        Of ``MOMENTS``.
    pseudo_rows : float, default=0.0
        Rows to add to each group's covariance, spread over the corners of the simplex, where a sample is too small to
        show rare events; they widen the spread, but neither move the mean nor count as sample size.

    Returns
    -------
    GroupMoments
    """
    corners = score_moments(np.eye(scores.shape[1]), kind)
    n_moments = corners.shape[1]
    total, first = np.zeros(n_groups), np.zeros((n_groups, n_moments))
    second = np.zeros((n_groups, n_moments, n_moments))
    for k in range(n_groups):
        rows = np.arange(len(scores)) if group is None else np.flatnonzero(group == k)
        for part in row_blocks(len(rows), 1, entries=ROW_BLOCK):
            block = rows[part]
            moments = score_moments(scores[block], kind)
            weighted = moments * sample_weight[block, np.newaxis]
            total[k] += sample_weight[block].sum()
            first[k] += weighted.sum(axis=0)
            second[k] += weighted.T @ moments
    share = pseudo_rows / len(corners)
    return GroupMoments(
        first / total[:, np.newaxis],
        covariance_of_means(
            total + pseudo_rows, first + share * corners.sum(axis=0), second + share * corners.T @ corners, total
        ),
    )


def covariance_of_means(
    total: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    sample_size: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sampling covariance of means, from sums of moments and of their outer products; leading axes are batches."""
    mean = first / total[..., np.newaxis]
    spread = second / total[..., np.newaxis, np.newaxis] - mean[..., :, np.newaxis] * mean[..., np.newaxis, :]
    return spread / sample_size[..., np.newaxis, np.newaxis]


def moment_noise(
    source_covariance: NDArray[np.float64], target_covariance: NDArray[np.float64], prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """V, the sampling covariance of mean_T g - M q; leading axes are batches."""
    noise: NDArray[np.float64] = target_covariance + np.einsum("...j,...jab->...ab", prior**2, source_covariance)
    return noise


class WeightedFit(NamedTuple):
    """Best shares that sum to 1 under one weight of the moments; leading axes are batches."""

    shares: NDArray[np.float64]
    """Shape (..., n_classes), of any sign."""
    whitening: NDArray[np.float64]
    """Shape (..., n_moments, n_moments): a root of the weight V^+."""
    inverse: NDArray[np.float64]
    """Shape (..., n_classes - 1, n_moments): change of the free shares per change of the whitened moments."""
    statistic: NDArray[np.float64]
    """J, shape (...)."""
    n_moments: NDArray[np.intp]
    """How many moments are not redundant, shape (...)."""


def weighted_fit(
    source_mean: NDArray[np.float64], target_mean: NDArray[np.float64], noise: NDArray[np.float64]
) -> WeightedFit:
    """Best shares that sum to 1 under the weight V^+, with V the noise; leading axes are batches."""
    scale = np.sqrt(np.maximum(np.diagonal(noise, axis1=-2, axis2=-1), 0))
    # Moments that never vary would divide 0 by 0, and rounding alone must not pass for variation.
    scale = np.where(scale > 1e-12, scale, np.inf)
    values, vectors = np.linalg.eigh(noise / (scale[..., :, np.newaxis] * scale[..., np.newaxis, :]))
    kept = values > REDUNDANT * values[..., -1:]
    factor = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1)), 0)
    whitening = factor[..., :, np.newaxis] * np.swapaxes(vectors, -1, -2) / scale[..., np.newaxis, :]
    last = source_mean[..., -1, :]
    design = whitening @ np.swapaxes(source_mean[..., :-1, :] - last[..., np.newaxis, :], -1, -2)
    gap = (whitening @ (target_mean - last)[..., np.newaxis])[..., 0]
    inverse = np.linalg.pinv(design, rcond=1e-8)
    free = (inverse @ gap[..., np.newaxis])[..., 0]
    statistic = np.square(gap - (design @ free[..., np.newaxis])[..., 0]).sum(axis=-1)
    shares = np.concatenate([free, 1 - free.sum(axis=-1, keepdims=True)], axis=-1)
    return WeightedFit(shares, whitening, inverse, statistic, kept.sum(axis=-1))


def efficient_fit(
    source: GroupMoments, target_mean: NDArray[np.float64], target_covariance: NDArray[np.float64]
) -> WeightedFit:
    """The fit of the last step, each with V at the shares of the step before; leading axes are batches."""
    n_classes = source.mean.shape[-2]
    prior = np.full((*target_mean.shape[:-1], n_classes), 1 / n_classes)
    for _ in range(STEPS):
        noise = moment_noise(source.covariance, target_covariance, prior)
        fit = weighted_fit(source.mean, target_mean, noise)
        prior = np.maximum(fit.shares, 0)
        prior = prior / prior.sum(axis=-1, keepdims=True)
    return fit


def gmm_prior(source: GroupMoments, target: GroupMoments) -> MomentPrior:
    """Target prior by the efficient generalised method of moments, on the simplex.

    Minimises (mean_T g - M q)' V^-1 (mean_T g - M q), where V is taken at the prior of the step before, three times
    from equal shares on. Redundant moments are left out of V^-1 (a pseudo-inverse).

    Parameters
    ----------
    source : GroupMoments
        One group per class.
    target : GroupMoments
        One group.

    Returns
    -------
    MomentPrior
        Where the moments do not tell some classes apart, shares of least norm; check the confusion matrix before.
    """
    fit = efficient_fit(source, target.mean[0], target.covariance[0])
    # The last share is one less the others.
    complete = np.vstack([fit.inverse, -fit.inverse.sum(axis=0)])
    prior = fit.shares
    if (prior < 0).any():
        prior = simplex_least_squares(fit.whitening @ source.mean.T, fit.whitening @ target.mean[0])
    return MomentPrior(
        prior,
        complete @ complete.T,
        float(fit.statistic),
        int(fit.n_moments - np.linalg.matrix_rank(fit.inverse)),
        complete @ fit.whitening,
    )


class SourceMoments(NamedTuple):
    """Moments of the source classes, for targets of any size."""

    n_rows: float
    """Sum of the repeat counts."""
    plain: dict[str, GroupMoments]
    """By kind: the richest that the source allows, and the poorer ones that a target of fewer rows gets by with."""
    cautious: dict[str, GroupMoments]
    """The same with pseudo rows."""


def source_moments(sample: SourceScores, n_classes: int) -> SourceMoments:
    """Moments of the source classes of every kind that a target may need."""
    n_rows = sample.counts.sum()
    kinds = MOMENTS[MOMENTS.index(choose_moments(n_classes, n_rows)) :]
    plain, cautious = (
        {
            kind: group_moments(sample.scores, sample.class_index, n_classes, sample.counts, kind, extra)
            for kind in kinds
        }
        for extra in (0.0, PSEUDO_ROWS)
    )
    return SourceMoments(n_rows, plain, cautious)


def estimate_by_moments(learned: SourceMoments, target: TargetScores) -> tuple[str, MomentPrior, NDArray[np.float64]]:
    """CalibrationKind of moments, the prior by them, and its covariance with pseudo rows in both samples."""
    scores, counts = target.scores, target.counts
    kind = choose_moments(scores.shape[1], min(learned.n_rows, counts.sum()))
    plain, cautious = (group_moments(scores, None, 1, counts, kind, extra) for extra in (0.0, PSEUDO_ROWS))
    source, source_cautious = learned.plain[kind], learned.cautious[kind]
    found = gmm_prior(source, plain)
    if np.linalg.matrix_rank(found.influence) < scores.shape[1] - 1:
        # Moments that never vary in these rows have no weight, though they tell the prior exactly: with the pseudo
        # rows they vary.
        found = gmm_prior(source_cautious, cautious)
        noise = moment_noise(source.covariance, plain.covariance[0], found.prior)
        found = found._replace(covariance=found.influence @ noise @ found.influence.T)
    noise = moment_noise(source_cautious.covariance, cautious.covariance[0], found.prior)
    return kind, found, found.influence @ noise @ found.influence.T


class GMM(BasePriorEstimator):
    """Target prior by the generalised method of moments: products of the scores beside the scores themselves.

    More moments than classes, weighted by how precisely each is known. Between :class:`BBSE` (as many moments as
    classes) and :class:`MLLS` in precision, and like the former it needs no calibration. ``p_value_`` tests whether
    label shift explains the target's scores.

    Assumes that p(x given y) stayed, and gives an answer whatever moved. :func:`label_shift_fit` asks whether one
    change of the class shares is what moved; ``LabelShiftClassifier`` does so before it corrects.

    Parameters
    ----------
    calibration : {"none", "auto", "temperature", "bcts", "vector"}, default="none"
        Of the scores, fitted on the labelled source rows.
    shrink : {None, "significance"}, default=None
        "significance" takes the source prior when the mean scores of source and target do not differ at level 0.02.

    Attributes
    ----------
    statistic_, degrees_of_freedom_, p_value_ : float, int, float
        Misfit J of the moments and its chi-squared test; small p-values speak against label shift, large ones for
        nothing. NaN p-value where the moments are no more than the classes. With few rows use :func:`label_shift_test`.
    moments_ : str
        The moments used: "products" of the scores, "squares" or "sum of squares", by the numbers of classes and rows.
    classes_ : ndarray of shape (n_classes,)
    source_prior_, target_prior_ : ndarray of shape (n_classes,)
        p and q; q is >= 0 and sums to 1.
    class_weight_ : ndarray of shape (n_classes,)
        q / p: what training rows are weighted by.
    score_prior_ : ndarray of shape (n_classes,)
        The prior that the calibrated scores imply: what posteriors are divided by.
    calibration_, calibration_scale_, calibration_bias_ : str, ndarray and ndarray of shape (n_classes,)
        The calibration that was fitted: softmax(scale * log(scores) + bias).
    shift_p_value_, shrunk_ : float or None, bool
        With ``shrink``, the test that nothing moved, and whether the source prior stands in for the estimate.
    joint_confusion_, conditional_confusion_ : ndarray of shape (n_classes, n_classes)
        P(predicted i, true j), which sums to 1, and P(predicted i given true j), whose columns do.
    condition_number_, smallest_singular_value_ : float
        Of the joint matrix; errors of the mean prediction grow up to 1 / ``smallest_singular_value_`` in the weights.
    identified_ : bool
        False when the estimate is vague (its variances sum to more than a quarter of those of a uniform
        draw from the simplex) and also cannot be told from the source prior (Wald test at level 0.05).
    reason_ : str
        What the verdict rests on; when ``identified_`` is False, why not, and which classes to merge.
    verdict_ : Verdict
        "abstain" when the prior is not identified, else "ok", which has a reason where ``shrink`` found no shift.
    prior_covariance_ : ndarray of shape (n_classes, n_classes)
        Asymptotic sampling covariance, from both samples.

    See Also
    --------
    MLLS : Maximum likelihood on calibrated scores; the most precise.
    label_shift_test : Does one change of the class shares explain the scores?

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y, y_target = np.repeat([0, 1], 500), np.repeat([0, 1], [900, 100])
    >>> x, x_target = rng.normal(2 * y - 1), rng.normal(2 * y_target - 1)
    >>> p, p_target = (1 / (1 + np.exp(-2 * v)) for v in (x, x_target))
    >>> gmm = GMM().fit(np.column_stack([1 - p, p]), y, np.column_stack([1 - p_target, p_target]))
    >>> gmm.target_prior_.round(1)
    array([0.9, 0.1])
    """

    statistic_: float
    degrees_of_freedom_: int
    p_value_: float
    moments_: str

    def __init__(
        self, calibration: CalibrationOption = "none", *, shrink: Literal["significance"] | None = None
    ) -> None:
        self.calibration = calibration
        self.shrink = shrink

    def _fit_source(self, source: Source, sample: SourceScores, raw: NDArray[Any]) -> Learned:
        n_classes = len(source.classes)
        if n_classes > MOST_MOMENTS:
            raise ShiftDataError(
                f"GMM keeps a covariance of the moments per class, and there are {n_classes} classes (at most "
                f"{MOST_MOMENTS}): use MLLS or BBSE."
            )
        return Learned(source_moments(sample, n_classes))

    def _estimate(self, source: Source, learned: SourceMoments, target: TargetScores, raw: NDArray[Any]) -> Estimate:
        kind, found, cautious_covariance = estimate_by_moments(learned, target)
        tested = found.degrees_of_freedom > 0
        return Estimate(
            found.prior,
            found.covariance,
            cautious_covariance,
            {
                "moments_": kind,
                "statistic_": found.statistic,
                "degrees_of_freedom_": found.degrees_of_freedom,
                "p_value_": float(chi2.sf(found.statistic, found.degrees_of_freedom)) if tested else np.nan,
            },
        )
