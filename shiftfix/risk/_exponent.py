"""How far to weight: the exponent of the training weights, chosen by importance-weighted cross-validation.

Training with w ** exponent trades the bias of not weighting (0) for the variance of weighting fully (1). Whichever
exponent trains, the held-out rows are judged with the full weights: their weighted mean loss estimates the target
loss, and tempered weights would favour their own exponent. Weights cost precision for certain and help only a model
that is wrong somewhere, so that not weighting is the choice unless another is better beyond chance.
The calibration of an exponent is fitted to the rows that judge it, and lowers their loss by more than that of others:
by tr(J^-1 C) / sum w, J = sum v H and C = sum v w g g', v its training weights, g and H slope and curvature of a row's
loss. Where the calibration is right E[g g'] = H, and that is k sum v w / (sum v sum w) for k parameters; the gains are
less by the difference.
Source: Shimodaira (2000), J. Statist. Plann. Inference 90:227-244, section 8, the exponent; Sugiyama, Krauledat &
Müller (2007), JMLR 8:985-1005, section 3, the cross-validation; Takeuchi (1976), Suri-Kagaku 153:12-18, the optimism.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples

from shiftfix._crossfit import Fold, Rows, is_fold_count, out_of_fold
from shiftfix._learner import Fallback, fit_weighted_of
from shiftfix._row_order import order_of_rows
from shiftfix._setting_checks import check_count
from shiftfix._values import as_array, one_per_row
from shiftfix._verdict import Verdict
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import LEAST_SCORE, CalibrationKind, fit_log_scores, log_scores, softmax_block
from shiftfix.risk._fold_models import FoldModels, fit_each
from shiftfix.risk._folds import counted_folds, new_folds
from shiftfix.risk._losses import LEAST_PROBABILITY, row_losses
from shiftfix.weights import normalize_weights_of

EXPONENTS = (0.0, 0.5, 1.0)
# Standard errors that a gain over exponent 0 must have: a correction has to earn its place.
ONE_SIDED = 1.64
Losses = dict[float, tuple[float, float]]


def exponents_of(exponent: float | str, verdict: Verdict, usable: bool) -> tuple[float, ...]:
    """Exponents to compare: one alone where there is nothing to choose or, on "abstain", nothing to choose by.

    Parameters
    ----------
    exponent : float or "cv"
    verdict : Verdict
        On the weights.
    usable : bool
        Whether they are to be used.
    """
    if not usable:
        return (0.0,)
    if not isinstance(exponent, str):
        return (exponent,)
    # On a few heavy rows cross-validation is sure of itself and wrong.
    return (1.0,) if verdict == "abstain" else EXPONENTS


def tempered_weights(
    weights: NDArray[np.float64], exponent: float, counts: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Shift weights to train with: the weights themselves at exponent 1, else tempered and rescaled to mean 1."""
    if exponent == 1:
        return weights
    return normalize_weights_of(weights**exponent, np.ones(len(weights)) if counts is None else counts)


def fit_tempered(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    weights: NDArray[np.float64],
    exponent: float,
    counts: NDArray[np.float64] | None,
    *,
    fallback: Fallback,
    rng: np.random.Generator,
) -> Any:
    """Fitted clone of the estimator, by tempered weights times repeat counts; without weights at exponent 0."""
    w = None if exponent == 0 else tempered_weights(weights, exponent, counts)
    if counts is not None:
        w = counts if w is None else w * counts
    return fit_weighted_of(estimator, X, y, w, fallback=fallback, rng=rng)


def most_folds(cv: int, y: NDArray[Any], stratified: bool) -> int:
    """At most ``cv`` folds of labels or values that all leave something to learn and to judge; 0 where none do."""
    n_folds = min(check_count(cv, "cv", 2), len(y))
    if stratified:
        sizes = np.unique(y, return_counts=True)[1]
        n_folds = min(n_folds, int(sizes.max()))
        if sizes.size < 2 or (sizes.size == 2 and sizes.min() == 1):
            return 0
    return n_folds if n_folds >= 2 else 0


def folds_that_judge(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    counts: NDArray[np.float64] | None,
    rows: Rows,
    cv: Any,
    groups: NDArray[Any] | None,
    rng: Any,
) -> list[Fold]:
    """Folds of the rows that count; none where there are too few."""
    if not is_fold_count(cv):
        return counted_folds(cv, X, y, rows, groups)
    labels, stratified = np.asarray(y), is_classifier(estimator)
    n_folds = most_folds(cv, labels[rows], stratified)
    return [] if n_folds == 0 else new_folds(n_folds, X, labels, counts, rows, groups, stratified=stratified, rng=rng)


def by_position(estimator: Any, X: Any, y: Any) -> tuple[Any, Any]:
    """Rows and their labels or values, ready to be taken by position."""
    X, y = indexable(X, y)
    if not is_classifier(estimator):
        return X, as_array(y, "y")
    y = one_per_row(y, "y", warn=False)
    check_classification_targets(y)
    return X, y


class Judged(NamedTuple):
    """What the models of all folds say of the rows they did not see.

    Attributes
    ----------
    rows : ndarray of int of shape (n_judged,)
    losses : ndarray of shape (n_exponents, n_judged)
        Of calibrated probabilities, or squared errors.
    says : Says
    scales, biases : ndarray of shape (n_exponents, n_classes), or None for values
        Of the calibration of each.
    n_fitted : int
        Parameters of one calibration.
    """

    rows: Rows
    losses: NDArray[np.float64]
    says: "Says"
    scales: NDArray[np.float64] | None = None
    biases: NDArray[np.float64] | None = None
    n_fitted: int = 0


class Says(NamedTuple):
    """What models say of rows that they did not see: log probabilities, decision values, or predictions.

    Attributes
    ----------
    source : ndarray of shape (n_exponents, n_judged, n_outputs)
    target : ndarray of shape (n_exponents, n_target, n_outputs) or None
        Of each target row by the models of one fold.
    rows : ndarray of int of shape (n_judged,)
        Source row of each.
    classes : ndarray of shape (n_classes,)
        Of the outputs; empty for predictions.
    """

    source: NDArray[np.float64]
    target: NDArray[np.float64] | None
    rows: Rows
    classes: NDArray[Any]


class Choice(NamedTuple):
    """The exponent chosen, and the evidence.

    Attributes
    ----------
    exponent : float
    losses : dict of float to (float, float)
        Weighted mean loss of each exponent, and its standard error given the weights.
    gains : dict of float to (float, float)
        Of each exponent above 0: loss at 0 minus its own, and the standard error of the difference.
    scale, bias : ndarray of shape (n_classes,), or None
        Calibration of the exponent chosen: softmax(scale * logits + bias).
    says : Says or None
        Out of fold, of all exponents in the order of ``losses``; None without folds.
    """

    exponent: float
    losses: Losses
    gains: Losses
    scale: NDArray[np.float64] | None = None
    bias: NDArray[np.float64] | None = None
    says: Says | None = None


def logits_of(model: Any, X: Any, classes: NDArray[Any]) -> NDArray[np.float64]:
    """Log probabilities, or decision values without ``predict_proba``, in the order of ``classes``."""
    if not np.isin(model.classes_, classes).all():
        raise ShiftDataError(
            f"A classifier knows the classes {model.classes_.tolist()}, and y holds {classes.tolist()}: pass rows of "
            "all its classes."
        )
    known = np.searchsorted(classes, model.classes_)
    if hasattr(model, "predict_proba"):
        proba = np.zeros((_num_samples(X), len(classes)))
        proba[:, known] = model.predict_proba(X)
        return log_scores(np.maximum(proba, LEAST_SCORE))
    decision = np.asarray(model.decision_function(X), dtype=np.float64)
    if decision.ndim == 1:
        decision = np.column_stack([np.zeros(len(decision)), decision])
    found = np.full((len(decision), len(classes)), decision.min() - np.ptp(decision))
    found[:, known] = decision
    return found


def predicted_numbers(model: Any, X: Any, classes: NDArray[Any]) -> NDArray[np.float64]:
    """Predictions as numbers, shape (n_rows, n_outputs); of classes their places."""
    found = np.asarray(model.predict(X))
    if is_classifier(model):
        found = np.searchsorted(classes, found)
    return found.reshape(len(found), -1).astype(np.float64)


def judges_by_probability(estimator: Any) -> bool:
    """Whether a classifier says how sure it is; others are judged by whether they are right."""
    return is_classifier(estimator) and (hasattr(estimator, "predict_proba") or hasattr(estimator, "decision_function"))


def positions_in(parts: Sequence[Rows], n_rows: int) -> Rows:
    """The positions that stand in some part, in order and once each."""
    stands = np.zeros(n_rows, dtype=bool)
    for part in parts:
        stands[part] = True
    return np.flatnonzero(stands)


def _judge(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    weights: NDArray[np.float64],
    counts: NDArray[np.float64] | None,
    folds: list[Fold],
    exponents: Sequence[float],
    *,
    fallback: Fallback,
    rng: np.random.Generator,
    X_target: Any = None,
) -> Judged:
    """Out-of-fold losses of every exponent, and what its models say of both samples."""
    by_probability = judges_by_probability(estimator)
    learned = positions_in([fold.training for fold in folds], len(weights))
    classes = np.unique(np.asarray(y)[learned]) if is_classifier(estimator) else np.empty(0)
    said = logits_of if by_probability else predicted_numbers

    def fit(training: Rows) -> FoldModels:
        X_training, y_training = _safe_indexing(X, training), _safe_indexing(y, training)
        repeats = None if counts is None else counts[training]

        def tempered(exponent: float) -> Callable[[Any, Any], Any]:
            w = weights[training]
            return lambda learner, rows: fit_tempered(
                learner, rows, y_training, w, exponent, repeats, fallback=fallback, rng=rng
            )

        drops_rows = bool((weights[training] == 0).any()) or (repeats is not None and bool((repeats == 0).any()))
        return fit_each(
            estimator, X_training, y_training, [tempered(exponent) for exponent in exponents], drops_rows=drops_rows
        )

    def score(models: FoldModels, held_out: Rows) -> NDArray[np.float64]:
        X_held_out, y_held_out = models.rows(_safe_indexing(X, held_out)), _safe_indexing(y, held_out)
        outputs = np.stack([said(model, X_held_out, classes) for model in models.learners], axis=1)
        if by_probability:
            return outputs
        losses = np.stack([row_losses(model, X_held_out, y_held_out) for model in models.learners], axis=1)
        return np.concatenate([losses[:, :, np.newaxis], outputs], axis=2)

    def score_target(models: FoldModels, rows: Rows) -> NDArray[np.float64]:
        X_dealt = models.rows(_safe_indexing(X_target, rows))
        return np.stack([said(model, X_dealt, classes) for model in models.learners], axis=1)

    dealt: dict[str, Any] = (
        {} if X_target is None else {"score_target": score_target, "target_order": order_of_rows(X_target)}
    )
    found = out_of_fold(folds, fit, score, **dealt)
    judged = positions_in([found.rows], len(weights))
    # A row of memory for each exponent: how numbers lie there decides how their sums round.
    values = np.ascontiguousarray(np.moveaxis(found.by_row(len(weights))[judged], 1, 0))
    target = None if X_target is None else np.moveaxis(np.asarray(found.target_scores), 1, 0)
    says = Says(values if by_probability else values[:, :, 1:], target, judged, classes)
    if not by_probability:
        return Judged(judged, np.ascontiguousarray(values[:, :, 0]), says)
    here = np.ones(len(judged)) if counts is None else counts[judged]
    kind: CalibrationKind = "temperature" if hasattr(estimator, "predict_proba") else "bcts"
    codes = np.searchsorted(classes, np.asarray(y)[judged])
    parts = [
        _after_calibration(z, codes, tempered_weights(weights[judged], exponent, here) * here, kind)
        for z, exponent in zip(values, exponents, strict=True)
    ]
    losses, scales, biases = (np.array(part) for part in zip(*parts, strict=True))
    return Judged(judged, losses, says, scales, biases, 1 if kind == "temperature" else len(classes))


def _after_calibration(
    z: NDArray[np.float64], codes: NDArray[np.intp], weight: NDArray[np.float64], kind: CalibrationKind
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Log loss of each row after the calibration, and its scale and bias."""
    scale, bias, _ = fit_log_scores(z, codes, weight, kind)
    proba, _ = softmax_block(z, scale, bias)
    own = proba[np.arange(len(codes)), codes]
    return -np.log(np.maximum(own, LEAST_PROBABILITY)), scale, bias


def choose_exponent(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    weights: NDArray[np.float64],
    *,
    rng: np.random.Generator,
    sample_weight: NDArray[np.float64] | None = None,
    cv: Any = 3,
    groups: NDArray[Any] | None = None,
    fallback: Fallback = None,
    exponents: Sequence[float] = EXPONENTS,
    X_target: Any = None,
) -> Choice:
    """Exponent that is shown to lower the estimated target loss; 0 where none is.

    Parameters
    ----------
    estimator : estimator
        Fitted once for every exponent and fold.
    X, y : array-like of n_rows rows
        Source rows and their labels or values.
    weights : ndarray of shape (n_rows,)
        Finished importance weights, target / source.
    rng : numpy.random.Generator
        For the folds and for ``fallback``.
    sample_weight : ndarray of shape (n_rows,), default=None
        Repeat counts of the rows. A row that counts zero times is no row: it does not move the folds.
    cv : int, splitter or iterable, default=3
        Folds; an int means shuffled ones, for classifiers stratified, and as many as the rows allow. Of a row held out
        several times the mean counts, a row never held out does not count.
    groups : ndarray of shape (n_rows,), default=None
        Rows of one group stay in one fold.
    fallback : {None, "resample"}, default=None
        As in :func:`shiftfix.corrected.fit_weighted`.
    exponents : sequence of float, default=(0, 0.5, 1)
        Those compared; of one alone the loss and the calibration are found.
    X_target : array-like of n_target rows, default=None
        Rows for the models of the folds to speak of, each row dealt to one fold.

    Returns
    -------
    Choice
        Of the exponents whose gain over 0 is more than 1.64 standard errors the one of largest gain, else 0.

    Raises
    ------
    ShiftDataError
        For folds that judge rows they learn from, and for a learner that takes no weights.
    """
    X, y = by_position(estimator, X, y)
    X_target = None if X_target is None else indexable(X_target)[0]
    rows = np.arange(len(weights)) if sample_weight is None else np.flatnonzero(sample_weight)
    folds = folds_that_judge(estimator, X, y, sample_weight, rows, cv, groups, rng)
    if not folds:
        return Choice(exponents[0], {}, {})
    judged = _judge(
        estimator, X, y, weights, sample_weight, folds, exponents, fallback=fallback, rng=rng, X_target=X_target
    )
    counts = np.ones(len(judged.rows)) if sample_weight is None else sample_weight[judged.rows]
    together = None if groups is None else np.unique(groups[judged.rows], return_inverse=True)[1]
    return _choice_of(judged, exponents, weights[judged.rows], counts, together)


def _choice_of(
    judged: Judged,
    exponents: Sequence[float],
    w: NDArray[np.float64],
    counts: NDArray[np.float64],
    groups: NDArray[np.intp] | None,
) -> Choice:
    """The exponent whose losses are shown to be lower, by the weights of the rows judged."""
    losses = dict(zip(exponents, zip(*weighted_means(judged.losses, w, counts, groups), strict=True), strict=True))
    means, errors = weighted_means(judged.losses[0] - judged.losses[1:], w, counts, groups)
    first = optimism(exponents[0], w, counts, judged.n_fitted)
    less = [optimism(exponent, w, counts, judged.n_fitted) - first for exponent in exponents[1:]]
    gains = dict(zip(exponents[1:], zip((np.array(means) - less).tolist(), errors, strict=True), strict=True))
    place = _shown(list(gains.values()))
    if judged.scales is None or judged.biases is None:
        return Choice(exponents[place], losses, gains, says=judged.says)
    return Choice(exponents[place], losses, gains, judged.scales[place], judged.biases[place], judged.says)


def optimism(exponent: float, w: NDArray[np.float64], counts: NDArray[np.float64], n_fitted: int) -> float:
    """By how much a calibration under w ** exponent lowers the weighted mean loss of the rows it is fitted to."""
    trained = w**exponent * counts
    return n_fitted * float(trained @ w) / float(trained.sum() * (w @ counts))


def weighted_means(
    values: NDArray[np.float64],
    w: NDArray[np.float64],
    counts: NDArray[np.float64],
    groups: NDArray[np.intp] | None = None,
) -> tuple[list[float], list[float]]:
    """Of each row of values sum w v / sum w, and its standard error given the weights.

    A column counted c times is c columns of the same value. Of columns in groups, numbered from 0, the groups are taken
    for independent, and not the columns.
    """
    total = w @ counts
    means = values @ (w * counts) / total
    apart = values - means[:, np.newaxis]
    if groups is None:
        return means.tolist(), (np.sqrt(apart**2 @ (w**2 * counts)) / total).tolist()
    sums = np.array([np.bincount(groups, weights=row) for row in apart * (w * counts)]).reshape(
        len(values), int(groups.max()) + 1
    )
    return means.tolist(), (np.sqrt((sums**2).sum(axis=1)) / total).tolist()


def _shown(gains: list[tuple[float, float]]) -> int:
    """Place of the largest gain beyond chance, counted from 1; 0 for none."""
    beyond = [gain if gain > ONE_SIDED * error else 0.0 for gain, error in gains]
    return int(np.argmax([0.0, *beyond]))
