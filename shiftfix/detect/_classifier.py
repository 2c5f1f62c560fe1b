"""Classifier two-sample test: can a model that is trained on some rows tell source from target on others?

With labels y (target or not), both centred within folds, least squares with a ridge on the rows outside fold k scores
the rows within it by x' (G_-k + r I)^-1 g_-k, where G = sum x x' and g = sum x y; the statistic is the covariance of
scores and labels, summed over the folds,

    t = sum_k g_k' (G_-k + r I)^-1 g_-k.

Only g depends on the labels, so the refits for permuted labels are one product of matrices, and their number costs
little. Linear features, and linear with squares and products, are two such statistics under one null.
Any other classifier learns from half of the rows and is judged on the other half by the Mann-Whitney statistic, whose
permutations need no refit. Scores of several folds' models are never pooled into one such statistic: rows that share a
model are dependent, and its size would be about twice the nominal one.
Sources: Lopez-Paz & Oquab (2017), "Revisiting classifier two-sample tests", ICLR; Kim, Ramdas, Singh & Wasserman
(2021), Ann. Statist. 49(1):411-434.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import rankdata
from sklearn.utils import _safe_indexing

from shiftfix._blocks import PRODUCT_ENTRIES, row_blocks
from shiftfix._crossfit import assign_folds
from shiftfix._door import public
from shiftfix._numerics import Floats
from shiftfix._row_order import Rows
from shiftfix._setting_checks import check_count, check_generator, check_methods
from shiftfix._validation import check_vector
from shiftfix.covariate import stack_rows, with_seeds
from shiftfix.detect._permuted import (
    LargestOf,
    PooledRows,
    check_raw_samples,
    largest_of,
    permuted_labels,
    pool,
    standardized,
)
from shiftfix.detect._result import ShiftTest, stopwatch
from shiftfix.exceptions import ShiftDataError

N_FOLDS = 10
# Columns up to which products of every two of them are made; above, squares only.
MOST_PRODUCTS = 33
MOST_COLUMNS = 1000
# Ridge in units of a mean diagonal entry of G and of columns per row.
RIDGE = 1.0
N_PERMUTATIONS = 499
LEARNER_METHODS = ("fit", "predict")


def quadratic_features(rows: Floats) -> Floats:
    """The columns, their squares and, of few columns, the products of every two: each of unit scale where normal."""
    first, second = _factors(rows.shape[1])
    products = rows[:, first] * rows[:, second]
    products[:, first == second] /= np.sqrt(2)
    return np.concatenate([rows, products], axis=1)


def _factors(n_columns: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and second column of every product."""
    alone = np.arange(n_columns)
    first, second = np.triu_indices(n_columns) if n_columns <= MOST_PRODUCTS else (alone, alone)
    return first, second


class FoldSums(NamedTuple):
    """What the statistic needs of each fold.

    Attributes
    ----------
    gram : ndarray of shape (n_folds, n_features, n_features)
    moments : ndarray of shape (n_folds, n_features, n_labels)
        Sums of features times labels, for every assignment of labels.
    n_rows : int
    """

    gram: Floats
    moments: Floats
    n_rows: int

    def first_columns(self, n_columns: int) -> "FoldSums":
        """The same of the first features alone."""
        return FoldSums(self.gram[:, :n_columns, :n_columns], self.moments[:, :n_columns], self.n_rows)


def _fold_features(rows: Floats, quadratic: bool, n_beside: int = 0) -> Iterator[tuple[slice, Floats]]:
    """Features of the rows of a fold, centred over all of them, block by block.

    ``n_beside`` are the columns that the caller needs beside them: with those a block holds as many entries as a fast
    product of matrices needs, and no table of all features is made.
    """
    mean = rows.mean(axis=0)
    if quadratic:
        first, second = _factors(rows.shape[1])
        products = (rows.T @ rows / len(rows))[first, second]
        mean = np.append(mean, np.where(first == second, products / np.sqrt(2), products))
    for part in row_blocks(len(rows), len(mean) + n_beside, entries=PRODUCT_ENTRIES):
        yield part, (quadratic_features(rows[part]) if quadratic else rows[part]) - mean


def fold_sums(rows: Floats, labels: NDArray[np.bool_], folds: list[Rows]) -> FoldSums:
    """Sums over the folds of quadratic features, for labels of shape (n_labels, n_rows)."""
    grams, moments = [], []
    width = rows.shape[1] + len(_factors(rows.shape[1])[0])
    for held_out in folds:
        gram, moment = np.zeros((width, width)), np.zeros((width, len(labels)))
        for part, features in _fold_features(rows[held_out], True, len(labels)):
            gram += features.T @ features
            moment += features.T @ labels[:, held_out[part]].T.astype(np.float64)
        grams.append(gram)
        moments.append(moment)
    return FoldSums(np.array(grams), np.array(moments), len(rows))


def coefficients(sums: FoldSums, fold: int) -> Floats:
    """Ridge coefficients by the rows outside a fold, shape (n_features, n_labels)."""
    gram, moments = sums.gram.sum(axis=0) - sums.gram[fold], sums.moments.sum(axis=0) - sums.moments[fold]
    ridge = RIDGE * len(gram) / sums.n_rows * max(np.trace(gram) / len(gram), np.finfo(float).tiny)
    return cho_solve(cho_factor(gram + ridge * np.eye(len(gram))), moments)


def cross_fitted_statistics(sums: FoldSums) -> Floats:
    """Covariance of labels and scores by models that never saw them, for every assignment of labels; (n_labels,)."""
    folds = range(len(sums.gram))
    return np.sum([(sums.moments[k] * coefficients(sums, k)).sum(axis=0) for k in folds], axis=0)


def rank_auc(scores: Floats, is_target: NDArray[np.bool_]) -> float:
    """Chance that a target row has the higher score of a pair, ties half; .5 where one sample is missing."""
    n_target = int(is_target.sum())
    n_pairs = n_target * (len(is_target) - n_target)
    if n_pairs == 0:
        return 0.5
    return float((rankdata(scores)[is_target].sum() - n_target * (n_target + 1) / 2) / n_pairs)


def _mean_auc(pooled: PooledRows, folds: list[Rows], sums: FoldSums, quadratic: bool) -> float:
    """Mean over the folds of the AUC within each, by the model of the observed labels."""
    observed = sums._replace(moments=sums.moments[..., :1])
    scores = []
    for k, fold in enumerate(folds):
        slopes = coefficients(observed, k)[:, 0]
        scores.append(
            np.concatenate([features @ slopes for _, features in _fold_features(pooled.rows[fold], quadratic)])
        )
    aucs = [rank_auc(score, pooled.is_target[fold]) for score, fold in zip(scores, folds, strict=True)]
    return float(np.average(aucs, weights=[len(fold) for fold in folds]))


def least_squares_test(pooled: PooledRows, n_permutations: int, rng: np.random.Generator) -> tuple[LargestOf, float]:
    """Largest of the linear and the quadratic statistic, and the AUC of the features it belongs to."""
    n_columns = pooled.rows.shape[1]
    if n_columns == 0:
        return LargestOf(0.0, 1.0, 0), 0.5
    numbers = rng.permutation(len(pooled.rows)) % N_FOLDS
    folds = [np.flatnonzero(numbers == k) for k in range(N_FOLDS)]
    quadratic = fold_sums(pooled.rows, permuted_labels(pooled.is_target, n_permutations, rng), folds)
    linear = quadratic.first_columns(n_columns)
    found = largest_of(np.column_stack([cross_fitted_statistics(sums) for sums in (linear, quadratic)]))
    return found, _mean_auc(pooled, folds, [linear, quadratic][found.place], found.place == 1)


def _domain_scores(model: Any, rows: Any, n_rows: int) -> Floats:
    """One number per row, larger for the target, by the most detailed answer that a classifier gives."""
    if hasattr(model, "decision_function"):
        return check_vector(model.decision_function(rows), "scores of the classifier", n_rows)
    if hasattr(model, "predict_proba"):
        return check_vector(np.asarray(model.predict_proba(rows))[:, 1], "scores of the classifier", n_rows)
    return check_vector(model.predict(rows), "predictions of the classifier", n_rows)


def _halves(source: Any, target: Any, seed: int) -> list[Rows]:
    """Which rows of both samples together learn, and which are judged; as many of each sample in either."""
    numbers = np.concatenate(assign_folds(standardized(source, target, None), 2, seed))
    return [np.flatnonzero(numbers == 0), np.flatnonzero(numbers == 1)]


def held_out_auc_test(
    classifier: Any, source: Any, target: Any, n_permutations: int, rng: np.random.Generator
) -> tuple[LargestOf, float]:
    """Mann-Whitney test of the scores on half of the rows by a classifier fitted to the other half; and their AUC."""
    rows = stack_rows(source, target)
    is_target = np.repeat([False, True], [source.shape[0], target.shape[0]])
    learn, judged = _halves(source, target, int(rng.integers(2**31)))
    model = with_seeds(classifier, rng).fit(_safe_indexing(rows, learn), is_target[learn].astype(int))
    scores = _domain_scores(model, _safe_indexing(rows, judged), len(judged))
    order = np.lexsort([is_target[judged], scores])
    ranks, labels = rankdata(scores)[order], is_target[judged][order]
    sums = permuted_labels(labels, n_permutations, rng) @ ranks
    # The learner knows which side is the target, so that only high scores of it speak of a shift.
    return largest_of(sums[:, np.newaxis]), rank_auc(scores, is_target[judged])


def _refuse_wide(n_columns: int) -> None:
    if n_columns > MOST_COLUMNS:
        raise ShiftDataError(
            f"The rows have {n_columns} columns (categories and gaps have their own), and least squares takes at most "
            f"{MOST_COLUMNS}: pass classifier=, or use mmd_test."
        )


@public
def classifier_test(
    X_source: Any,
    X_target: Any,
    *,
    classifier: Any = None,
    n_permutations: int = N_PERMUTATIONS,
    random_state: int | np.random.Generator | np.random.RandomState | None = None,
) -> ShiftTest:
    """Test whether a classifier can tell source from target rows that it has not seen.

    Its size is exact whatever the data, if the rows are independent. By default least squares on linear features, and
    on linear features with squares and products, cross-fitted in ten folds: it sees moved means, spreads and
    correlations. Another classifier sees what it can learn from half of the rows.

    Parameters
    ----------
    X_source : array-like or data frame of shape (n_source, n_features)
        Gaps and categories are welcome.
    X_target : array-like or data frame of shape (n_target, n_features)
    classifier : classifier, default=None
        Cloned, seeded where its ``random_state`` is unset, and fitted to half of the rows; it must take the rows as
        they are. None means least squares.
    n_permutations : int, default=499
        The least p-value is 1 / (n_permutations + 1).
    random_state : int, numpy Generator or RandomState, default=None
        For folds and permutations.

    Returns
    -------
    ShiftTest
        Its effect size is the AUC: .5 where nothing can be told apart, 1 where everything can.

    Raises
    ------
    ShiftDataError
        For sparse rows, fewer than five rows, and more than 1,000 columns without ``classifier``.

    See Also
    --------
    mmd_test : Kernel means: any difference.
    feature_tests : Every column by itself.
    shiftfix.covariate.ClassifierWeighter : Odds of any classifier, cross-fitted where it is flexible.

    Notes
    -----
    Products of every two columns are made up to 33 columns, squares only above. With 20,000 + 20,000 rows of 30
    columns: two CPU seconds, 150 MB.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X_source, X_target = rng.normal(size=(300, 2)), rng.normal(size=(300, 2)) * [1, 2]
    >>> found = classifier_test(X_source, X_target, random_state=0)
    >>> found.p_value, found.effect_size > 0.6
    (0.002, True)
    """
    clock = stopwatch()
    source, target, names = check_raw_samples(X_source, X_target)
    n_permutations, rng = check_count(n_permutations, "n_permutations"), check_generator(random_state)
    if classifier is None:
        pooled = pool(source, target, names)
        _refuse_wide(pooled.rows.shape[1])
        found, auc = least_squares_test(pooled, n_permutations, rng)
        method = f"Classifier test (least squares, {['linear', 'quadratic'][found.place]} features)"
    else:
        check_methods(classifier, "classifier", LEARNER_METHODS, "a classifier")
        found, auc = held_out_auc_test(classifier, source, target, n_permutations, rng)
        method = f"Classifier test ({type(classifier).__name__}, held-out half)"
    n_source, n_target = source.shape[0], target.shape[0]
    return ShiftTest(found.statistic, found.p_value, auc, n_source, n_target, method, clock(), "AUC")
