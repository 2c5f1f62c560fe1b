"""A test of label shift: does one change of the class prior explain how the scores moved?

Assumes nothing of the shift. The moments of the scores that the class shares leave over (see :mod:`_gmm`) hold under
label shift and in general not otherwise; their misfit J is compared with that of samples drawn under the fitted label
shift model, or with chi-squared.
Source: Hansen (1982), Econometrica 50(4):1029-1054, section 4: the statistic.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from shiftfix._blocks import row_blocks
from shiftfix._door import public
from shiftfix._printed import Printed
from shiftfix._row_order import generator_of_sample, order_of_rows
from shiftfix._setting_checks import check_count, check_generator
from shiftfix._validation import check_repeat_counts, check_scores
from shiftfix.exceptions import ShiftDataError
from shiftfix.label._gmm import (
    ROW_BLOCK,
    GroupMoments,
    choose_moments,
    covariance_of_means,
    efficient_fit,
    gmm_prior,
    group_moments,
    score_moments,
)
from shiftfix.label._labels import check_as_many, class_positions, count_rows

# Bound of the temporary tables, in bootstrap samples.
BOOTSTRAP_BLOCK = 64


@dataclass(frozen=True)
class LabelShiftTest(Printed):
    """Outcome of :func:`label_shift_test`; printing it says what it does not show.

    Attributes
    ----------
    statistic : float
        J, the misfit of the moments, no unit.
    degrees_of_freedom : int
        Of its chi-squared distribution.
    p_value : float
        By the bootstrap; by chi-squared when ``n_bootstrap=0``.
    p_value_chi2 : float
    target_prior : ndarray of shape (n_classes,)
        The prior that fits best.
    moments : str
        Which moments were compared.

    See Also
    --------
    label_shift_test : Does one change of the class shares explain the scores?
    """

    statistic: float
    degrees_of_freedom: int
    p_value: float
    p_value_chi2: float
    target_prior: NDArray[np.float64]
    moments: str

    def __str__(self) -> str:
        return (
            f"Test of label shift: J = {self.statistic:.2f} on {self.degrees_of_freedom} degrees of freedom, "
            f"p = {self.p_value:.3g}; failure to reject is not evidence of label shift."
        )


def _bootstrap_statistics(
    moments: NDArray[np.float64],
    class_index: NDArray[np.intp],
    counts: NDArray[np.float64],
    prior: NDArray[np.float64],
    n_target: int,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """J of samples drawn under the fitted label shift model, shape (n_bootstrap,).

    The source is resampled within its classes; a target row draws a class by the prior, then a source row of it.
    """
    n_classes, n_moments = len(prior), moments.shape[1]
    members = [np.flatnonzero(class_index == k) for k in range(n_classes)]
    chance = [counts[rows] / counts[rows].sum() for rows in members]
    sizes = [max(1, round(counts[rows].sum())) for rows in members]
    first_index, second_index = np.triu_indices(n_moments)
    found = []
    for start in range(0, n_bootstrap, BOOTSTRAP_BLOCK):
        n = min(BOOTSTRAP_BLOCK, n_bootstrap - start)
        total = np.zeros((n, n_classes + 1))
        first = np.zeros((n, n_classes + 1, n_moments))
        upper = np.zeros((n, n_classes + 1, len(first_index)))
        target_sizes = rng.multinomial(n_target, prior, size=n)
        for k, rows in enumerate(members):
            source_draw = rng.multinomial(sizes[k], chance[k], size=n).astype(np.float64)
            target_draw = rng.multinomial(target_sizes[:, k], chance[k]).astype(np.float64)
            for draw, group in ((source_draw, k), (target_draw, n_classes)):
                total[:, group] += draw.sum(axis=1)
                for block in row_blocks(len(rows), 1, entries=ROW_BLOCK):
                    values, part = moments[rows[block]], draw[:, block]
                    first[:, group] += part @ values
                    upper[:, group] += part @ (values[:, first_index] * values[:, second_index])
        second = np.empty((n, n_classes + 1, n_moments, n_moments))
        second[..., first_index, second_index] = upper
        second[..., second_index, first_index] = upper
        covariance = covariance_of_means(total, first, second, total)
        mean = first / total[..., np.newaxis]
        source = GroupMoments(mean[:, :n_classes], covariance[:, :n_classes])
        found.append(efficient_fit(source, mean[:, n_classes], covariance[:, n_classes]).statistic)
    return np.concatenate(found)


@public
def label_shift_test(
    scores_source: ArrayLike,
    y_source: ArrayLike,
    scores_target: ArrayLike,
    *,
    classes: ArrayLike | None = None,
    n_bootstrap: int = 399,
    sample_weight_source: ArrayLike | None = None,
    sample_weight_target: ArrayLike | None = None,
    random_state: int | np.random.Generator | np.random.RandomState | None = None,
) -> LabelShiftTest:
    """Test whether one change of the class prior explains how the scores moved.

    Compares the target's means of the scores and of their products (for many classes or few rows: of their squares,
    or of the sum of squares) with the best mixture of the source classes'. A small p-value says that p(scores given y)
    moved too, so that correcting the prior alone is wrong. A large one says little: with 500 rows of each, three
    overlapping classes and one class's mean moved by 0.3 standard deviations, the test rejects about once in ten.

    Parameters
    ----------
    scores_source : array-like of shape (n_source, n_classes)
        Class probabilities of labelled source rows that the classifier was not trained on.
    y_source : array-like of shape (n_source,)
    scores_target : array-like of shape (n_target, n_classes)
        By the same classifier.
    classes : array-like of shape (n_classes,), default=None
        Label of each column; None means the sorted labels of ``y_source``.
    n_bootstrap : int, default=399
        Samples drawn under the fitted label shift model; 0 takes chi-squared's p-value, good from some thousand rows.
    sample_weight_source, sample_weight_target : array-like, default=None
        Repeat counts of the rows.
    random_state : int, numpy Generator or RandomState, default=None
        For the bootstrap.

    Returns
    -------
    LabelShiftTest

    Raises
    ------
    ShiftDataError
        For scores that are no probabilities, lengths that differ, a class without source rows, or scores that leave
        nothing to test (hard 0/1 scores: any mean is some mixture).

    See Also
    --------
    LabelShiftTest : What it returns.
    label_shift_fit : How much of what moved does one change of the class shares explain?
    mean_score_test : Did the class shares move at all?

    References
    ----------
    Hansen (1982), Econometrica 50(4):1029-1054, section 4: the statistic.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> def draw(share, n, move=0.0):
    ...     y = (rng.random(n) < share).astype(int)
    ...     p = 1 / (1 + np.exp(-2 * (rng.normal(2 * y - 1) + move)))
    ...     return np.column_stack([1 - p, p]), y
    >>> scores, y = draw(0.5, 1000)
    >>> label_shift_test(scores, y, draw(0.8, 1000)[0], random_state=0).p_value > 0.05
    True
    >>> label_shift_test(scores, y, draw(0.5, 1000, move=0.8)[0], random_state=0).p_value < 0.05
    True
    """
    labels, class_index = class_positions(y_source, "y_source", classes)
    source = check_scores(scores_source, "scores_source", len(labels))
    check_as_many(class_index, source, "y_source", "scores_source")
    counts, _ = count_rows(class_index, sample_weight_source, labels, "y_source")
    target = check_scores(scores_target, "scores_target", len(labels))
    target_counts = check_repeat_counts(sample_weight_target, len(target), "sample_weight_target")
    n_bootstrap = check_count(n_bootstrap, "n_bootstrap", least=0)
    rng = check_generator(random_state)
    kind = choose_moments(len(labels), min(counts.sum(), target_counts.sum()))
    fitted = gmm_prior(
        group_moments(source, class_index, len(labels), counts, kind),
        group_moments(target, None, 1, target_counts, kind),
    )
    if fitted.degrees_of_freedom < 1:
        raise ShiftDataError(
            "The scores leave nothing to test: their moments are no more than the classes, as with hard 0/1 scores. "
            "Pass class probabilities."
        )
    p_value = p_chi2 = float(chi2.sf(fitted.statistic, fitted.degrees_of_freedom))
    if n_bootstrap:
        order = order_of_rows(source, class_index, counts=counts)  # draws are of positions
        drawn = _bootstrap_statistics(
            score_moments(source[order], kind),
            class_index[order],
            counts[order],
            fitted.prior,
            max(1, round(target_counts.sum())),
            n_bootstrap,
            generator_of_sample(rng, class_index[order]),
        )
        p_value = float((1 + (drawn >= fitted.statistic).sum()) / (n_bootstrap + 1))
    return LabelShiftTest(fitted.statistic, fitted.degrees_of_freedom, p_value, p_chi2, fitted.prior, kind)
