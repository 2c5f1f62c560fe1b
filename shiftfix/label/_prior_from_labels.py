"""The target prior from a few labels of the target, and intervals; with the scores of all target rows if there are any.

Nothing is assumed of what moved, but that the labelled rows were drawn at random from the target. With y_k the
indicator of class k, s_k its score, n labelled and N further target rows:

* counts: q_k = mean y_k
* prediction-powered: q_k = lambda mean_N s_k + mean_n (y_k - lambda s_k), with variance
  lambda^2 var(s_k) / N + var_n(y_k - lambda s_k) / n

lambda = sum_k cov_n(y_k, s_k) / ((1 + n / N) sum_k var(s_k)), within [0, 1], has the least sum of variances; one for
all classes keeps the sum of the shares. Intervals are Wilson's, with as many labels as give a count that variance.

Sources: Angelopoulos, Duchi & Zrnic (2023), "PPI++: Efficient prediction-powered inference", arXiv:2311.01453 (the
estimate of a mean, and power tuning); Wilson (1927), JASA 22(158):209-212; Brown, Cai & DasGupta (2001), Statistical
Science 16(2):101-133 (Jeffreys' intervals).
"""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta, norm

from shiftfix._door import public
from shiftfix._naming import one_line
from shiftfix._numerics import Floats
from shiftfix._printed import Printout, printed
from shiftfix._setting_checks import check_number, check_option
from shiftfix._validation import check_scores
from shiftfix.exceptions import ShiftDataError
from shiftfix.label._labels import check_as_many, class_positions

# Labels of each class that are added to the counts, so that no share is 0 (Jeffreys' prior).
PSEUDO_LABELS = 0.5


@printed
class LabelledPrior(NamedTuple):
    """Class shares of the target by a few of its labels.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    shares : ndarray of shape (n_classes,)
        Estimated shares, with half a label of every class added: none is 0, and they sum to 1.
    unbiased : ndarray of shape (n_classes,)
        The same before that: frequencies, or what the scores make of them, which may lie a little below 0.
    effective_labels : ndarray of shape (n_classes,)
        Labels whose plain count would be as exact, for each class: the number of labels without scores.
    n_labels : int
    power : float
        lambda, between 0 (the scores are not used) and 1.

    See Also
    --------
    prior_from_labels : Class shares by a few target labels.
    """

    classes: NDArray[Any]
    shares: Floats
    unbiased: Floats
    effective_labels: Floats
    n_labels: int
    power: float

    def interval(
        self, level: float = 0.95, kind: Literal["wilson", "dirichlet"] = "wilson"
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Interval of each share, one by one.

        Parameters
        ----------
        level : float, default=0.95
            Chance to hold the true share.
        kind : {"wilson", "dirichlet"}, default="wilson"
            Wilson's score interval, or quantiles of the posterior under Jeffreys' prior.

        Returns
        -------
        low, high : ndarray of shape (n_classes,)
        """
        check_number(level, "level", above=0, below=1)
        check_option(kind, "kind", ["wilson", "dirichlet"])
        share, n = np.clip(self.unbiased, 0, 1), self.effective_labels
        if kind == "wilson":
            return wilson_interval(share, n, level)
        tail = (1 - level) / 2
        a, b = share * n + PSEUDO_LABELS, (1 - share) * n + PSEUDO_LABELS
        return beta.ppf(tail, a, b), beta.ppf(1 - tail, a, b)

    def _printout(self) -> Printout:
        cells = zip(self.classes, self.shares, *self.interval(), self.effective_labels, strict=True)
        rows = tuple(
            (one_line(str(label)), f"{share:.3f}", f"{low:.3f} to {high:.3f}", f"{labels:.4g}")
            for label, share, low, high, labels in cells
        )
        foot = f"{self.n_labels} target labels; scores of the other rows used by {self.power:.2g}"
        return Printout(rows, ("class", "share", "95% interval", "labels it is worth"), foot=(foot,))


def wilson_interval(share: Floats, n: Floats, level: float) -> tuple[Floats, Floats]:
    """Wilson's score interval of shares among n rows; low and high, same shape."""
    return wilson_ends(share, n, norm.ppf((1 + level) / 2))


def wilson_ends(share: Floats, n: Floats, z: float) -> tuple[Floats, Floats]:
    """The shares whose own standard error, of n rows, puts them within z of those found; low and high, same shape."""
    z2 = z**2 / n
    middle = (share + z2 / 2) / (1 + z2)
    reach = np.sqrt(z2 * share * (1 - share) + z2**2 / 4) / (1 + z2)
    return np.clip(middle - reach, 0, 1), np.clip(middle + reach, 0, 1)


class PoweredShares(NamedTuple):
    """Shares, their variances, and lambda."""

    shares: Floats
    variances: Floats
    power: float


def powered_shares(Y: Floats, scores: Floats, further: Floats) -> PoweredShares:
    """Prediction-powered shares.

    Parameters
    ----------
    Y, scores : ndarray of shape (n_labels, n_classes)
        Indicators of the labels, and scores of the same rows.
    further : ndarray of shape (n_further, n_classes)
        Scores of target rows without a label.

    Returns
    -------
    PoweredShares
    """
    n, n_further = len(Y), len(further)
    spread = np.concatenate([scores, further]).var(axis=0)
    covariance = ((Y - Y.mean(axis=0)) * (scores - scores.mean(axis=0))).sum() / max(n - 1, 1)
    total = (1 + n / n_further) * spread.sum()
    power = float(np.clip(covariance / total, 0, 1)) if total > 0 else 0.0
    rest = Y - power * scores
    variances = power**2 * spread / n_further + rest.var(axis=0) * n / max(n - 1, 1) / n
    return PoweredShares(power * further.mean(axis=0) + rest.mean(axis=0), variances, power)


@public
def prior_from_labels(
    y: ArrayLike,
    scores: ArrayLike | None = None,
    scores_unlabelled: ArrayLike | None = None,
    *,
    classes: ArrayLike | None = None,
) -> LabelledPrior:
    """Class shares of the target from labels of rows drawn at random from it.

    Counting assumes nothing of what moved. Scores of the labelled and of all other target rows, by any model that was
    not trained on them, make it more exact as far as they go with the labels, and do no harm where they do not.

    Parameters
    ----------
    y : array-like of shape (n_labels,)
        Labels of target rows drawn at random.
    scores : array-like of shape (n_labels, n_classes), default=None
        Class probabilities of these rows.
    scores_unlabelled : array-like of shape (n_rows, n_classes), default=None
        Class probabilities of the other target rows, by the same model.
    classes : array-like of shape (n_classes,), default=None
        Labels of the columns, or all that there may be. None means the sorted labels of ``y``.

    Returns
    -------
    LabelledPrior
        ``shares``, and ``interval(level)``.

    Raises
    ------
    ShiftDataError
        For one kind of scores without the other, scores that are no probabilities or not one row per label, and labels
        that are not among ``classes``.

    See Also
    --------
    LabelledPrior : What it returns.
    MLLS : Maximum likelihood on calibrated scores; the most precise.
    shiftfix.corrected.FewLabelClassifier : Corrects a classifier by a few target labels.

    Notes
    -----
    Counting 100 labels leaves shares within 10 points at 95%. Adjusting a model by counts alone lost more than a point
    of accuracy in a tenth to a fifth of natural shifts: ``FewLabelClassifier`` is the way to use labels.

    References
    ----------
    Angelopoulos, Duchi & Zrnic (2023), "PPI++: Efficient prediction-powered inference", arXiv:2311.01453.

    Examples
    --------
    >>> prior = prior_from_labels(["ill"] * 20 + ["well"] * 30)
    >>> prior.shares.round(3).tolist()
    [0.402, 0.598]
    >>> low, high = prior.interval(0.95)
    >>> low.round(2).tolist(), high.round(2).tolist()
    ([0.28, 0.46], [0.54, 0.72])
    """
    labels, codes = class_positions(y, "y", classes)
    if (scores is None) != (scores_unlabelled is None):
        raise ShiftDataError("scores and scores_unlabelled belong together: pass both, or neither.")
    n, n_classes = len(codes), len(labels)
    Y = np.eye(n_classes)[codes]
    unbiased, effective, power = Y.mean(axis=0), np.full(n_classes, float(n)), 0.0
    if scores is not None:
        own = check_scores(scores, "scores", n_classes)
        check_as_many(codes, own, "y", "scores")
        further = check_scores(scores_unlabelled, "scores_unlabelled", n_classes)  # type: ignore[arg-type]
        powered = powered_shares(Y, own, further)
        plain = Y.var(axis=0) / max(n - 1, 1)
        seen = (plain > 0) & (powered.variances > 0)
        effective[seen] = n * plain[seen] / powered.variances[seen]
        unbiased, power = powered.shares, powered.power
    made = np.maximum(unbiased, 0) * n + PSEUDO_LABELS
    return LabelledPrior(labels, made / made.sum(), unbiased, effective, n, power)
