"""The one-standard-error rule: the simplest choice that is not shown to be worse than the best.

Choices are compared on the same rows, or the same folds: the standard error is that of the difference from the best,
which is smaller than the best one's own where rows are hard or easy for both.
Source: Breiman, Friedman, Olshen & Stone (1984), "Classification and Regression Trees", section 3.4.3 (the rule).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._door import plain, public
from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_number
from shiftfix._validation import check_matrix, check_vector, check_weights
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk._exponent import weighted_means
from shiftfix.risk._label_plan import refuse_huge

MOST_ERRORS = 1e100


def first_within(means: Floats, errors: Floats, order: NDArray[np.intp], n_errors: float) -> int:
    """Of the choices, simplest first, that which is behind the best by so many standard errors at most.

    Parameters
    ----------
    means, errors : ndarray of shape (n_choices,)
        Of the best one's scores less their own.
    order : ndarray of int, shape (n_choices,)
        Choices from the simplest on.
    n_errors : float
    """
    near = means <= n_errors * errors
    return int(order[near[order]][0])


@public
def simplest_within_one_error(row_scores: ArrayLike, weights: ArrayLike | None = None, *, n_errors: float = 1.0) -> int:
    """Position of the simplest choice whose weighted mean score is within one standard error of the best.

    Parameters
    ----------
    row_scores : array-like of shape (n_choices, n_rows)
        Score of each row under each choice, large being good, the simplest choice first: the ``row_scores`` of several
        :func:`iw_cross_val_score`.
    weights : array-like of shape (n_rows,), default=None
        Weights of the rows; None means ones.
    n_errors : float, default=1
        Standard errors of the difference from the best.

    Returns
    -------
    int

    See Also
    --------
    OneStandardErrorRule : The same for a grid search.
    iw_cross_val_score : A learner's score on the target by weighted source rows.

    Examples
    --------
    >>> simplest_within_one_error([[0.0, 2.0, 1.0], [1.0, 2.0, 1.0], [1.1, 1.9, 1.1]])
    1
    """
    scores = check_matrix(row_scores, "row_scores")
    refuse_huge(scores, "row_scores")
    check_number(n_errors, "n_errors", least=0, most=MOST_ERRORS)
    w = np.ones(scores.shape[1]) if weights is None else check_weights(weights, "weights", scores.shape[1])
    refuse_huge(w, "weights")
    ones = np.ones(scores.shape[1])
    best = int(np.argmax(weighted_means(scores, w, ones)[0]))
    means, errors = weighted_means(scores[best] - scores, w, ones)
    return first_within(np.array(means), np.array(errors), np.arange(len(scores)), n_errors)


@dataclass(frozen=True)
class OneStandardErrorRule:
    """``GridSearchCV(..., refit=OneStandardErrorRule("C"))``: the simplest setting within one standard error.

    Parameters
    ----------
    complexity : str or callable
        Name of the searched setting that makes the model less simple as it grows, with "-" before it if it makes the
        model simpler ("-alpha"), or a function of the dict of settings that gives a number. Ties are broken by the
        score.
    n_errors : float, default=1
        Standard errors, over folds, of the difference from the best.
    metric : str, default="score"
        Which of several metrics.

    Raises
    ------
    ShiftDataError
        When called, for a setting that was not searched, complexities that are no numbers, fewer than two folds, and
        scores that are missing throughout.

    See Also
    --------
    simplest_within_one_error : The simplest choice that is not shown to be worse.
    make_weighted_scorer : The same for a grid search.

    Examples
    --------
    >>> rule = OneStandardErrorRule("-alpha")
    >>> folds = {"split0_test_score": [0.81, 0.8, 0.5], "split1_test_score": [0.79, 0.8, 0.4]}
    >>> rule({"params": [{"alpha": 1}, {"alpha": 10}, {"alpha": 100}], **folds})
    1
    """

    complexity: str | Callable[[dict[str, Any]], float]
    n_errors: float = 1.0
    metric: str = "score"

    def __call__(self, cv_results: Mapping[str, Any]) -> int:
        """Index of the setting, from ``cv_results_``."""
        check_number(self.n_errors, "n_errors", least=0, most=MOST_ERRORS)
        scores = scores_by_fold(cv_results, self.metric)
        complexities = np.array([self._complexity(params) for params in cv_results["params"]])
        usable = np.isfinite(scores).all(axis=0)
        if not usable.any() or len(scores) < 2:
            raise ShiftDataError(
                f"cv_results_ has {len(scores)} folds and {usable.sum()} settings with a score in all of them: at "
                "least 2 folds and one setting are needed."
            )
        means = np.where(usable, scores.mean(axis=0), -np.inf)
        behind = scores[:, [int(np.argmax(means))]] - scores
        errors = behind.std(axis=0, ddof=1) / np.sqrt(len(scores))
        gaps = np.where(usable, behind.mean(axis=0), np.inf)
        return first_within(gaps, errors, np.lexsort([-means, complexities]), self.n_errors)

    def _complexity(self, params: dict[str, Any]) -> float:
        """How far from simple a setting is."""
        by = plain(self.complexity)
        if callable(by) and not isinstance(by, type):
            return float(check_number(by(params), "what complexity gives"))
        if not isinstance(by, str) or by.removeprefix("-") not in params:
            raise ShiftDataError(
                f"complexity={by!r}: the name of a setting that was searched, {sorted(params)}, or a function is "
                "needed."
            )
        name = by.removeprefix("-")
        value = float(check_vector([params[name]], f"the values of {name}")[0])
        return -value if by.startswith("-") else value


def scores_by_fold(cv_results: Mapping[str, Any], metric: str) -> Floats:
    """Scores of a search, shape (n_folds, n_settings)."""
    found: list[Any] = []
    metric = plain(metric)
    while f"split{len(found)}_test_{metric}" in cv_results:
        found.append(cv_results[f"split{len(found)}_test_{metric}"])
    if not found:
        raise ShiftDataError(f"metric={metric!r} is none of the search: pass one of its names.")
    return np.array(found, dtype=np.float64)
