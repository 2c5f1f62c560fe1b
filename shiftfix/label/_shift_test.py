"""Whether the class prior moved at all: a two-sample test of equal mean scores.

Under label shift the mean score is A q on the target and A p on the source; with an invertible confusion matrix A they
are equal exactly when q = p. Then the scores of both samples have one distribution, so that permuting the rows gives
exact p-values. Source: Hotelling (1931), Ann. Math. Stat. 2(3):360-378, for the statistic; Good (2005), Permutation,
Parametric and Bootstrap Tests of Hypotheses, for exactness.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from shiftfix._door import public
from shiftfix._permutation import permutation_p_value
from shiftfix._row_order import order_of_rows
from shiftfix._setting_checks import check_count, check_generator
from shiftfix._validation import check_repeat_counts, check_scores

# Rows in the smaller sample up to which rows are permuted. Above, chi-squared is as right, and faster.
MOST_PERMUTED = 5000
N_PERMUTATIONS = 999


def _whitened(scores: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Centred rows in units of the shrunk covariance of both samples together; one column per direction that varies.

    The covariance is shrunk towards its mean eigenvalue by r / (r + N), r its rank and N the rows: with as many
    classes as rows every split would otherwise be equally far apart. Permutations leave it as it is, so any shrinkage
    keeps the test exact.
    """
    total = counts.sum()
    centred = scores - counts @ scores / total
    values, vectors = np.linalg.eigh((centred.T * counts) @ centred / total)
    # Scores vary within [0, 1]: less than this is rounding (they sum to 1, so one direction never varies).
    kept = values > max(1e-10 * values[-1], 1e-20)
    values, vectors = values[kept], vectors[:, kept]
    rank = len(values)
    shrinkage = rank / (rank + total)
    return centred @ (vectors / np.sqrt((1 - shrinkage) * values + shrinkage * values.mean())) if rank else None


def mean_score_p_value(
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    source_counts: NDArray[np.float64],
    target_counts: NDArray[np.float64],
    *,
    n_permutations: int = N_PERMUTATIONS,
    rng: np.random.Generator,
) -> float:
    """As :func:`mean_score_test`, from checked scores and repeat counts."""
    permutes = min(source_counts.sum(), target_counts.sum()) <= MOST_PERMUTED
    if permutes:  # of positions, and the same rows in another order shall get the same answer
        order, target_order = order_of_rows(source, counts=source_counts), order_of_rows(target, counts=target_counts)
        source, source_counts = source[order], source_counts[order]
        target, target_counts = target[target_order], target_counts[target_order]
    rows = _whitened(np.vstack([source, target]), np.append(source_counts, target_counts))
    if rows is None:
        return 1.0
    samples = [(rows[: len(source)], source_counts), (rows[len(source) :], target_counts)]
    (small, counts), (large, large_counts) = sorted(samples, key=lambda sample: sample[1].sum())
    n_small, n_large = counts.sum(), large_counts.sum()
    if not permutes:
        difference = counts @ small / n_small - large_counts @ large / n_large
        # The total scatter is within + between; Hotelling's statistic is the one with the within part.
        total = difference @ difference / (1 / n_small + 1 / n_large)
        within = total / max(1 - total / (n_small + n_large), 1e-12)
        return float(chi2.sf(within, rows.shape[1]))
    return permutation_p_value(small, large, counts, large_counts, n_permutations=n_permutations, rng=rng)


@public
def mean_score_test(
    scores_source: ArrayLike,
    scores_target: ArrayLike,
    *,
    sample_weight_source: ArrayLike | None = None,
    sample_weight_target: ArrayLike | None = None,
    n_permutations: int = N_PERMUTATIONS,
    random_state: int | np.random.Generator | np.random.RandomState | None = None,
) -> float:
    """P-value of "the mean scores of source and target are equal": of "the class prior did not move".

    Hotelling's two-sample statistic with a lightly shrunk covariance of both samples together. Up to 5,000 rows in the
    smaller sample its distribution is found by permuting the rows, so the size is exact for any number of classes and
    rows, if the rows are independent; beyond, it is chi-squared.

    Parameters
    ----------
    scores_source : array-like of shape (n_source, n_classes)
        Class probabilities of source rows that the classifier was not trained on.
    scores_target : array-like of shape (n_target, n_classes)
        By the same classifier.
    sample_weight_source, sample_weight_target : array-like, default=None
        Repeat counts of the rows.
    n_permutations : int, default=999
    random_state : int, numpy Generator or RandomState, default=None
        For the permutations.

    Returns
    -------
    float
        In (0, 1]; 1 when the scores never vary.

    Raises
    ------
    ShiftDataError
        For scores that are no probabilities, or samples with different numbers of columns.

    See Also
    --------
    label_shift_test : Does one change of the class shares explain the scores?
    shiftfix.detect.score_test : Did the scores of a model move?

    Examples
    --------
    >>> import numpy as np
    >>> scores = np.repeat([[0.9, 0.1], [0.2, 0.8]], [50, 50], axis=0)
    >>> mean_score_test(scores, scores[:40], random_state=0) < 0.01
    True
    >>> mean_score_test(scores, scores[30:70], random_state=0) > 0.5
    True
    """
    source = check_scores(scores_source, "scores_source")
    target = check_scores(scores_target, "scores_target", source.shape[1])
    source_counts = check_repeat_counts(sample_weight_source, len(source), "sample_weight_source")
    target_counts = check_repeat_counts(sample_weight_target, len(target), "sample_weight_target")
    n_permutations = check_count(n_permutations, "n_permutations")
    rng = check_generator(random_state)
    return mean_score_p_value(source, target, source_counts, target_counts, n_permutations=n_permutations, rng=rng)
