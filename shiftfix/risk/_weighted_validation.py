"""Importance-weighted cross-validation: what a learner is worth on the target, by labelled source rows alone.

Assumes that p(y | x) is shared and that the source has rows wherever the target has. The weighted mean of held-out
scores, sum w s / sum w with w the ratio of target to source, then estimates the mean score on the target, however the
learner was trained. It is the estimate by which ``exponent="cv"`` chooses.
Source: Sugiyama, Krauledat & Müller (2007), JMLR 8:985-1005, section 3.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone, is_classifier
from sklearn.utils import _safe_indexing

from shiftfix._crossfit import Fold, Rows, check_folds, check_groups, out_of_fold
from shiftfix._door import public
from shiftfix._learner import Fallback
from shiftfix._numerics import Floats
from shiftfix._printed import Printed
from shiftfix._setting_checks import check_generator, check_methods, check_number, check_option
from shiftfix._target_sample import target_rows
from shiftfix._validation import check_labels, check_repeat_counts, check_rows, check_weights
from shiftfix._values import one_per_row
from shiftfix._verdict import Verdict, tell
from shiftfix.exceptions import PoorOverlapWarning, ShiftDataError
from shiftfix.risk._exponent import by_position, fit_tempered, folds_that_judge, weighted_means
from shiftfix.risk._inputs import check_target
from shiftfix.risk._label_plan import refuse_huge
from shiftfix.risk._row_scores import row_scorer, weighted_mean_score
from shiftfix.risk._weighter import check_weighter, default_weighter, fit_weighter
from shiftfix.weights import effective_sample_size_of


@dataclass(frozen=True)
class WeightedScores(Printed):
    """Result of :func:`iw_cross_val_score`; ``print`` it for two lines.

    Attributes
    ----------
    scores : ndarray of shape (n_folds,)
        Weighted mean of each fold, large being good, as ``cross_val_score`` gives.
    mean : float
        Weighted mean over all rows held out.
    standard_error : float
        Of ``mean``, given the weights, from the rows (or, with groups, from the groups).
    row_scores, weights : ndarray of shape (n_judged,)
        Score and weight of each row that was held out.
    rows : ndarray of int, shape (n_judged,)
        Their positions in X.
    effective_size : float
        Kish's, of the weights, in rows.
    verdict : Verdict
        On the weights.

    See Also
    --------
    iw_cross_val_score : A learner's score on the target by weighted source rows.
    """

    scores: Floats
    mean: float
    standard_error: float
    row_scores: Floats = field(repr=False)
    weights: Floats = field(repr=False)
    rows: NDArray[np.intp] = field(repr=False)
    effective_size: float
    verdict: Verdict

    def __str__(self) -> str:
        return (
            f"Weighted cross-validation: {self.mean:.4g} +- {self.standard_error:.2g} (one standard error, given the "
            f"weights; {len(self.scores)} folds, {self.effective_size:.0f} effective of {len(self.rows)} rows; verdict "
            f"on the weights: {self.verdict}).\nAssumes that p(y given x) is shared, and that the source has rows "
            "wherever the target has."
        )


class WeighedRows(NamedTuple):
    """Rows with labels, weights and repeat counts, checked."""

    X: Any
    y: Any
    weights: Floats
    counts: Floats | None
    verdict: Verdict


class Trained(NamedTuple):
    """How the learner is trained on a fold."""

    estimator: Any
    exponent: float
    fallback: Fallback
    fit_params: dict[str, Any] | None

    def fit(self, rows: WeighedRows, training: Rows, rng: np.random.Generator) -> Any:
        """The model of some rows."""
        X, y = _safe_indexing(rows.X, training), _safe_indexing(rows.y, training)
        counts = None if rows.counts is None else rows.counts[training]
        if self.fit_params is None:
            weights = rows.weights[training]
            return fit_tempered(self.estimator, X, y, weights, self.exponent, counts, fallback=self.fallback, rng=rng)
        counted = {} if counts is None else {"sample_weight": counts}
        return clone(self.estimator).fit(X, y, **self.fit_params, **counted)


def scores_of_folds(
    trained: Trained, rows: WeighedRows, folds: list[Fold], scorer: Any, rng: np.random.Generator
) -> tuple[Floats, Rows, Floats]:
    """Score of each fold; the rows held out, and the score of each (the mean, where several folds held it out).

    Returns
    -------
    scores : ndarray of shape (n_folds,)
    judged : ndarray of int, shape (n_judged,)
    row_scores : ndarray of shape (n_judged,)
    """
    mass = rows.weights if rows.counts is None else rows.weights * rows.counts
    of_folds: list[float] = []

    def score(model: Any, held_out: Rows) -> Floats:
        found = scorer(model, _safe_indexing(rows.X, held_out), _safe_indexing(rows.y, held_out))
        of_folds.append(weighted_mean_score(found, mass[held_out]))
        return np.asarray(found)

    found = out_of_fold(folds, lambda training: trained.fit(rows, training, rng), score)
    judged = np.unique(found.rows)
    return np.array(of_folds), judged, found.by_row(len(rows.weights))[judged]


@public
def iw_cross_val_score(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    X_target: Any = None,
    *,
    weighter: Any = None,
    weights: ArrayLike | None = None,
    scoring: Any = None,
    cv: Any = 5,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    exponent: float = 0,
    fit_params: dict[str, Any] | None = None,
    fallback: Fallback = None,
    random_state: Any = 0,
) -> WeightedScores:
    """Cross-validated score of an estimator on the target, by weights of the labelled source rows.

    Parameters
    ----------
    estimator : classifier or regressor
        Cloned for every fold.
    X : array-like of shape (n_source, n_features)
        Source rows.
    y : array-like of shape (n_source,)
        Their labels or values.
    X_target : array-like of shape (n_target, n_features) or TargetSample, default=None
        Target rows; required unless ``weights`` are given.
    weighter : weighter, default=None
        From ``shiftfix.covariate``, fitted once to all rows of both samples. None means ``LogisticWeighter()``.
    weights : array-like of shape (n_source,), default=None
        Weights to judge by instead: ratios of target to source at the rows of X.
    scoring : {None, "accuracy", "neg_log_loss", "neg_mean_squared_error", "neg_mean_absolute_error"} or callable
        None means minus :func:`row_losses`. A callable ``scoring(model, X, y)`` gives one loss per row, small being
        good, such as :func:`row_losses`; the score is minus its weighted mean.
    cv : int, splitter or iterable, default=5
        Folds; an int means shuffled ones, for classifiers stratified.
    groups : array-like of shape (n_source,), default=None
        Rows of one group stay in one fold, and the standard error is that of groups.
    sample_weight : array-like of shape (n_source,), default=None
        Repeat counts of the source rows.
    exponent : float, default=0
        The estimator is trained with weights ** exponent; 0 means without. Whichever trains, the full weights judge.
    fit_params : dict, default=None
        Handed to every fit as it is, uncut: ``{"X_target": TargetSample(X_target)}`` for a meta-estimator. Not together
        with an ``exponent``.
    fallback : {None, "resample"}, default=None
        For an estimator that takes no weights, with ``exponent`` or ``sample_weight``.
    random_state : int, RandomState, Generator or None, default=0
        For the folds.

    Returns
    -------
    WeightedScores

    Raises
    ------
    ShiftDataError
        For unusable data or settings, too few rows for two folds, folds that judge rows they learn from, and folds
        without weight.

    Warns
    -----
    PoorOverlapWarning
        When the verdict on the weights is "abstain": a few rows decide then, and the standard error is too small.

    See Also
    --------
    WeightedScores : What it returns.
    make_weighted_scorer : The same for a grid search.
    target_risk : A metric on the target, with its interval.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> X = np.linspace(-2, 2, 200)[:, np.newaxis]
    >>> result = iw_cross_val_score(LinearRegression(), X, X[:, 0] ** 2, X[100:150])
    >>> len(result.scores), result.mean < 0
    (5, True)
    """
    check_methods(estimator, "estimator", ["fit", "predict"], "a classifier or regressor that is fitted anew")
    check_number(exponent, "exponent", least=0, most=1)
    check_option(fallback, "fallback", [None, "resample"])
    check_folds(cv)
    _check_fit_params(fit_params)
    if fit_params is not None and exponent != 0:
        raise ShiftDataError(f"exponent={exponent:g} and fit_params, which bring weights of their own: pass one.")
    scorer, rng = row_scorer(scoring), check_generator(random_state)
    rows, together = _weighed_rows(estimator, X, y, X_target, weighter, weights, groups, sample_weight)
    counted = np.arange(len(rows.weights)) if rows.counts is None else np.flatnonzero(rows.counts)
    folds = folds_that_judge(estimator, rows.X, rows.y, rows.counts, counted, cv, together, rng)
    if not folds:
        raise ShiftDataError("y leaves nothing to learn from or to judge in two folds: pass more rows of every class.")
    trained = Trained(estimator, exponent, fallback, fit_params)
    scores, judged, row_scores = scores_of_folds(trained, rows, folds, scorer, rng)
    return _summed_up(scores, judged, row_scores, rows, together)


def _check_fit_params(fit_params: Any) -> None:
    named = isinstance(fit_params, dict) and all(isinstance(name, str) for name in fit_params)
    if fit_params is not None and not named:
        raise ShiftDataError(f"fit_params is a {type(fit_params).__name__}: pass a dict of names and values, or None.")


def _weighed_rows(
    estimator: Any, X: Any, y: Any, X_target: Any, weighter: Any, weights: Any, groups: Any, sample_weight: Any
) -> tuple[WeighedRows, NDArray[Any] | None]:
    """The source rows with their weights, and their groups."""
    check_weighter(weighter)
    if is_classifier(estimator):
        y = check_labels(y if y is None else one_per_row(y, "y"), "y")
    X, y = by_position(estimator, check_rows(X, "X"), y)
    n_rows = len(y)
    together = check_groups(groups, n_rows)
    counts = None if sample_weight is None else check_repeat_counts(sample_weight, n_rows)
    if weights is not None:
        if weighter is not None or X_target is not None:
            raise ShiftDataError("weights and what they would be estimated from: pass weights, or X_target.")
        given = check_weights(weights, "weights", n_rows)
        refuse_huge(given, "weights")
        return WeighedRows(X, y, given, counts, Verdict("ok")), together
    target = check_target(X, target_rows(X_target))
    chosen = default_weighter(estimator, X, target) if weighter is None else weighter
    fitted = fit_weighter(chosen, X, target, counts, together)
    verdict = fitted.summary_.verdict
    if verdict == "abstain":
        tell(PoorOverlapWarning(f"The data do not support weighting: {'; '.join(verdict.reasons)}. {verdict.action}"))
    return WeighedRows(X, y, fitted.source_weights_, counts, verdict), together


def _summed_up(
    scores: Floats, judged: Rows, row_scores: Floats, rows: WeighedRows, together: NDArray[Any] | None
) -> WeightedScores:
    """Mean and standard error over all rows held out."""
    w = rows.weights[judged]
    counts = np.ones(len(judged)) if rows.counts is None else rows.counts[judged]
    groups = None if together is None else np.unique(together[judged], return_inverse=True)[1]
    means, errors = weighted_means(row_scores[np.newaxis], w, counts, groups)
    size = effective_sample_size_of(w, counts)
    return WeightedScores(scores, means[0], errors[0], row_scores, w, judged, float(size), rows.verdict)
