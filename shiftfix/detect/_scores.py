"""Whether the scores of a model moved: the means of class probabilities, or the distribution of other predictions."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from shiftfix._door import public
from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_count, check_generator
from shiftfix._validation import check_rows, check_scores, check_vector
from shiftfix.detect._column_tests import compare_numbers
from shiftfix.detect._permuted import refuse_few_rows
from shiftfix.detect._result import ShiftTest, stopwatch
from shiftfix.label import mean_score_test

N_PERMUTATIONS = 999


def mean_score_distance(source: Floats, target: Floats) -> float:
    """Half the sum of the absolute differences of the mean scores: how far the expected class shares lie apart."""
    return float(np.abs(target.mean(axis=0) - source.mean(axis=0)).sum() / 2)


def _count_scores(scores: Any, name: str) -> int:
    """Rows of scores of one or two dimensions; few are refused."""
    n_rows = check_vector(scores, name).size if np.ndim(scores) == 1 else len(check_scores(scores, name))
    refuse_few_rows(n_rows, name)
    return n_rows


def _compare_classes(scores_source: Any, scores_target: Any, n_permutations: int, rng: Any) -> tuple[float, float]:
    source = check_scores(scores_source, "scores_source")
    target = check_scores(scores_target, "scores_target", source.shape[1])
    p_value = mean_score_test(source, target, n_permutations=n_permutations, random_state=rng)
    return p_value, mean_score_distance(source, target)


@public
def score_test(
    scores_source: ArrayLike,
    scores_target: ArrayLike,
    *,
    n_permutations: int = N_PERMUTATIONS,
    random_state: int | np.random.Generator | np.random.RandomState | None = None,
) -> ShiftTest:
    """Test whether a model's scores moved: what of a shift the model sees.

    Class probabilities are compared by their means (:func:`shiftfix.label.mean_score_test`), which under label shift
    move exactly when the class shares do. One number per row (decision values, predictions of a regressor) is compared
    by its ranks, as a column of :func:`feature_tests` is.

    Parameters
    ----------
    scores_source : array-like of shape (n_source, n_classes) or (n_source,)
        Of source rows that the model was not trained on.
    scores_target : array-like of shape (n_target, n_classes) or (n_target,)
    n_permutations : int, default=999
        For class probabilities of up to 5,000 rows in the smaller sample.
    random_state : int, numpy Generator or RandomState, default=None
        For the permutations.

    Returns
    -------
    ShiftTest
        Its statistic and effect size are the distance: of class probabilities half the sum of the absolute differences
        of their means, of other scores that of Kolmogorov and Smirnov.

    Raises
    ------
    ShiftDataError
        For scores that are no probabilities or numbers, and fewer than five rows.

    See Also
    --------
    classifier_test : Can a model tell source from target rows?
    shiftfix.label.label_shift_test : Does one change of the class shares explain the scores?

    Examples
    --------
    >>> score_test(np.linspace(0, 1, 80), np.linspace(0.5, 1.5, 60)).p_value < 0.001
    True
    """
    clock = stopwatch()
    n_permutations, rng = check_count(n_permutations, "n_permutations"), check_generator(random_state)
    source, target = check_rows(scores_source, "scores_source"), check_rows(scores_target, "scores_target")
    n_source, n_target = (_count_scores(*scores) for scores in ((source, "scores_source"), (target, "scores_target")))
    if np.ndim(source) == np.ndim(target) == 1:
        both = np.concatenate([check_vector(source, "scores_source"), check_vector(target, "scores_target")])
        statistic, p_value, effect = compare_numbers(both, np.arange(len(both)) >= n_source)
        method, word = "Score test (ranks)", "distance"
    else:
        p_value, effect = _compare_classes(source, target, n_permutations, rng)
        statistic, method, word = effect, "Score test (mean class probabilities)", "distance of expected class shares"
    return ShiftTest(statistic, p_value, effect, n_source, n_target, method, clock(), word)
