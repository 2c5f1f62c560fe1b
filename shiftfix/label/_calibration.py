"""Calibration of classifier scores for label shift: temperature, bias-corrected temperature, vector scaling.

With z = log scores, a_k > 0 a scale (an inverse temperature) and b_k a bias, the calibrated scores are

    P_k(x) = exp(a_k z_k(x) + b_k) / sum_j exp(a_j z_j(x) + b_j)

===============  ================================================  =====================
``none``         a = 1, b = 0                                      no parameter
``temperature``  one a for all classes, b = 0                      1
``bcts``         one a for all classes, a b per class (BCTS)       n_classes
``vector``       an a and a b per class                            2 n_classes - 1
===============  ================================================  =====================

fitted by maximum likelihood (:mod:`shiftfix.label._likelihood`) on labelled rows that the classifier was not trained
on. With a bias, the mean calibrated score of a class equals its frequency at the optimum, and that is what the
correction by priors needs.

Sources: Guo, Pleiss, Sun & Weinberger (2017), "On calibration of modern neural networks", ICML, section 4.2 (vector and
temperature scaling); Alexandari, Kundaje & Shrikumar (2020), "Maximum likelihood with bias-corrected calibration is
hard-to-beat at label shift adaptation", ICML (BCTS, and the prior to divide by); Steele, Lea & Flood (2014),
"Fast splittable pseudorandom number generators", OOPSLA (the mixing function that orders the folds).
"""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from shiftfix._blocks import row_blocks
from shiftfix._door import PublicCalls
from shiftfix._learner import unchanged_on_error
from shiftfix._setting_checks import check_option
from shiftfix._validation import check_class_order, check_scores
from shiftfix._verdict import tell
from shiftfix.label._labels import check_as_many, class_positions, count_rows
from shiftfix.label._likelihood import (
    CALIBRATIONS,
    LEAST_BLOCK_ROWS,
    ROUGH_TOLERANCE,
    TOLERANCE,
    CalibrationKind,
    fit_log_scores,
    log_scores,
    softmax_block,
)

# Kinds after which the mean calibrated score of the rows fitted is their class frequency.
WITH_BIAS: tuple[CalibrationKind, ...] = ("bcts", "vector")
CALIBRATION_FOLDS = 5
# Entries of all such fits of a kind together: with more, fewer folds are held out. Each fit keeps four fifths of the
# rows, as fewer rows per class would favour kinds without biases.
CHOICE_ENTRIES = 10_000_000
# A kind of more parameters must gain this many standard errors in held-out loss: biases fitted to few labels cost more
# than they gain, and a full standard error would do without them too long. A scale per class acts most where
# the source has few rows of a class and a shifted target many, so what it gains on the source must be beyond doubt.
STANDARD_ERRORS = {"temperature": 0.5, "bcts": 0.5, "vector": 2.0}
# A projected gradient above this is reported.
POOR_TOLERANCE = 1e-6


def fit_calibration(
    scores: NDArray[Any], class_index: NDArray[np.intp], sample_weight: NDArray[np.float64], kind: CalibrationKind
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale and bias of maximum likelihood.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_classes)
        Class probabilities of rows that the classifier was not trained on, float32 or float64.
    class_index : ndarray of shape (n_rows,)
        True class of each row, as an index into the columns; every class needs a row of positive count.
    sample_weight : ndarray of shape (n_rows,)
        Repeat counts of the rows.
    kind : {"none", "temperature", "bcts", "vector"}

    Returns
    -------
    scale : ndarray of shape (n_classes,)
        Inverse temperatures, within [1e-3, 1e2].
    bias : ndarray of shape (n_classes,)
        Averages 0.

    Warns
    -----
    ConvergenceWarning
        When rounding keeps the projected gradient above 1e-6.
    """
    if kind == "none":
        return np.ones(scores.shape[1]), np.zeros(scores.shape[1])
    scale, bias, gradient_norm = fit_log_scores(log_scores(scores), class_index, sample_weight, kind)
    if gradient_norm > POOR_TOLERANCE:
        tell(
            ConvergenceWarning(
                f"The calibration {kind!r} stopped at a gradient of {gradient_norm:.1g} instead of {TOLERANCE:.0e}: "
                "the scores nearly separate the labels. Take a simpler kind."
            )
        )
    return scale, bias


def calibrate(scores: NDArray[Any], scale: NDArray[np.float64], bias: NDArray[np.float64]) -> NDArray[Any]:
    """Calibrated scores softmax(scale * log(scores) + bias); same shape and dtype as ``scores``."""
    calibrated = np.empty_like(scores)
    for rows in row_blocks(*scores.shape, least=LEAST_BLOCK_ROWS):
        calibrated[rows] = softmax_block(log_scores(scores[rows]), scale, bias)[0]
    return calibrated


def scrambled(numbers: NDArray[Any]) -> NDArray[np.uint64]:
    """Pseudo-random 64-bit integers, the same for the same numbers: the mixing function of SplitMix64."""
    h = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def held_out_counts(
    class_index: NDArray[np.intp], sample_weight: NDArray[np.float64], n_folds: int
) -> NDArray[np.float64]:
    """Counts of each row in each fold, shape (n_rows, n_folds), stratified by class.

    Within a class every ``n_folds`` counts in a row go to one fold each, in a scrambled order, so that no pattern in
    the order of the rows meets the folds; a row of count 2 is dealt as two rows. A class that counts one row or less is
    never held out: without it there is no bias to fit.
    """
    totals = np.bincount(class_index, weights=sample_weight)
    first_round = np.cumsum(np.ceil(totals / n_folds)) - np.ceil(totals / n_folds)
    order = np.argsort(class_index, kind="stable")
    weight, label = sample_weight[order], class_index[order]
    end = np.cumsum(weight)
    end -= (np.cumsum(totals) - totals)[label]
    folds = np.arange(n_folds)

    def dealt(position: NDArray[np.float64]) -> NDArray[np.float64]:
        rounds, rest = np.divmod(position, n_folds)
        turn = scrambled((first_round[label] + rounds)[:, np.newaxis] * n_folds + folds).argsort(axis=1).argsort(axis=1)
        return rounds[:, np.newaxis] + np.clip(rest[:, np.newaxis] - turn, 0, 1)

    counts = np.empty((len(order), n_folds))
    counts[order] = dealt(end) - dealt(np.maximum(end - weight, 0))
    counts[totals[class_index] <= 1] = 0
    return counts


def calibrated_losses(
    z: NDArray[np.float64],
    class_index: NDArray[np.intp],
    rows: NDArray[np.intp],
    scale: NDArray[np.float64],
    bias: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Negative log of the calibrated score of the true class, for the rows at the given positions."""
    losses = np.empty(len(rows))
    for block in row_blocks(len(rows), z.shape[1], least=LEAST_BLOCK_ROWS):
        chosen = rows[block]
        truth = class_index[chosen]
        _, normalizer = softmax_block(z[chosen], scale, bias)
        losses[block] = normalizer - scale[truth] * z[chosen, truth] - bias[truth]
    return losses


def choose_calibration(
    scores: NDArray[Any],
    class_index: NDArray[np.intp],
    sample_weight: NDArray[np.float64],
    n_folds: int = CALIBRATION_FOLDS,
) -> tuple[CalibrationKind, dict[str, float]]:
    """CalibrationKind with the least held-out log loss, the simpler one unless the gain is clear.

    Each kind is fitted without one of ``n_folds`` folds and scored on it. From the kind of fewest parameters on, a kind
    takes over when its mean loss is lower by more than half a standard error of the paired difference ("vector": two).

    Parameters
    ----------
    scores, class_index, sample_weight
        As for :func:`fit_calibration`.
    n_folds : int, default=5
        At least 2. Which rows make a fold depends on their scores and labels, not on their order. Of folds, fewer are
        held out where that would fit more than 10,000,000 scores per kind: all up to 2,000,000 scores, one from
        10,000,000 on, where it holds rows enough to tell the kinds apart.

    Returns
    -------
    kind : {"none", "temperature", "bcts", "vector"}
    losses : dict of str to float
        Mean held-out negative log likelihood of each kind, in nats per row. Empty, with kind "none", when no class
        counts more than one row: nothing can be held out then.
    """
    z = log_scores(scores)
    held_out = _dealt_to_folds(z, class_index, sample_weight, n_folds)[:, : max(1, CHOICE_ENTRIES // z.size)]
    total = held_out.sum()
    if total == 0:
        return "none", {}
    losses: dict[str, NDArray[np.float64]] = {}
    kept: CalibrationKind = "none"
    start = np.ones(z.shape[1]), np.zeros(z.shape[1])
    for kind in CALIBRATIONS:
        losses[kind], start = _held_out_losses(z, class_index, sample_weight, held_out, kind, start)
        gain = losses[kept] - losses[kind]
        mean = np.sum(held_out * gain) / total
        error = np.sqrt(np.sum(held_out * (gain - mean) ** 2)) / total
        if mean > STANDARD_ERRORS.get(kind, 0) * error:
            kept = kind
    return kept, {kind: float(np.sum(held_out * loss) / total) for kind, loss in losses.items()}


def _dealt_to_folds(
    z: NDArray[np.float64], class_index: NDArray[np.intp], sample_weight: NDArray[np.float64], n_folds: int
) -> NDArray[np.float64]:
    """Counts of each row in each fold, dealt out in the order of one fixed combination of the scores."""
    # Equal rows are exchangeable; rounded, so that equal rows tie wherever they lie in memory.
    direction = np.arange(1, z.shape[1] + 1) * 0.6180339887498949 % 1
    order = np.argsort(np.round(z @ direction, 9), kind="stable")
    held_out = np.empty((len(z), n_folds))
    held_out[order] = held_out_counts(class_index[order], sample_weight[order], n_folds)
    return held_out


def _held_out_losses(
    z: NDArray[np.float64],
    class_index: NDArray[np.intp],
    sample_weight: NDArray[np.float64],
    held_out: NDArray[np.float64],
    kind: CalibrationKind,
    start: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Loss of each row in each fold that holds it out, by the fit without that fold; and the last fit."""
    losses = np.zeros_like(held_out)
    for fold, counts in enumerate(held_out.T):
        rows = np.flatnonzero(counts > 0)
        if len(rows):
            rest = np.maximum(sample_weight - counts, 0)
            # Each fit starts at the one before it, of another fold or of the simpler kind.
            scale, bias, _ = fit_log_scores(z, class_index, rest, kind, start, ROUGH_TOLERANCE)
            start = scale, bias
            losses[rows, fold] = calibrated_losses(z, class_index, rows, scale, bias)
    return losses, start


class ScoreCalibrator(PublicCalls, BaseEstimator):
    """Class probabilities made to fit labelled rows: temperature, bias-corrected temperature or vector scaling.

    Maximum likelihood of the target prior and posterior adjustment take the scores for P(class given x) of the source;
    networks are overconfident, and their mean score misses the class frequencies.

    Parameters
    ----------
    kind : {"auto", "none", "temperature", "bcts", "vector"}, default="auto"
        "none" leaves the scores alone, "temperature" has one inverse temperature, "bcts" that and a bias per class,
        "vector" an inverse temperature and a bias per class. "auto" takes the one of least held-out log loss over five
        folds, a kind of more parameters only if it gains more than half a standard error (two for "vector").

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Label of each column.
    kind_ : str
        The kind fitted.
    scale_, bias_ : ndarray of shape (n_classes,)
        Calibrated scores are ``softmax(scale_ * log(scores) + bias_)``; scales within [1e-3, 1e2], biases average 0.
    losses_ : dict of str to float
        Held-out negative log likelihood of each kind, in nats per row; empty unless ``kind="auto"``.

    Raises
    ------
    ShiftDataError
        By ``fit`` and ``transform``, for scores that are no probabilities, lengths that differ, labels not among
        ``classes``, a class without rows, or one class only.

    See Also
    --------
    MLLS : Maximum likelihood on calibrated scores; the most precise.
    adjust_proba : Posteriors under another prior.

    Notes
    -----
    Fit on rows that the classifier was not trained on, else it looks better calibrated than it is. After "bcts" and
    "vector" the mean calibrated score of the rows fitted is their class frequency, so that is the prior that calibrated
    scores imply; after the other kinds divide by the mean calibrated score instead.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger (2017), ICML, section 4.2; Alexandari, Kundaje & Shrikumar (2020), ICML.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat(["a", "b"], 50)
    >>> right = np.arange(100) % 5 > 0  # says .99, and is right four times in five
    >>> scores = np.where((y == "a") == right, 0.99, 0.01)
    >>> scores = np.column_stack([scores, 1 - scores])
    >>> calibrator = ScoreCalibrator().fit(scores, y)
    >>> calibrator.kind_, calibrator.transform(scores[-1:]).round(3).tolist()
    ('temperature', [[0.2, 0.8]])
    """

    classes_: NDArray[Any]
    kind_: CalibrationKind
    scale_: NDArray[np.float64]
    bias_: NDArray[np.float64]
    losses_: dict[str, float]

    def __init__(self, kind: Literal["auto", "none", "temperature", "bcts", "vector"] = "auto") -> None:
        self.kind = kind

    def fit(
        self,
        scores: ArrayLike,
        y: ArrayLike,
        *,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Choose and fit the calibration.

        Parameters
        ----------
        scores : array-like of shape (n_rows, n_classes)
            Class probabilities of rows that the classifier was not trained on.
        y : array-like of shape (n_rows,)
            Their labels; every class needs a row.
        classes : array-like of shape (n_classes,), default=None
            Label of each column. None means the sorted labels of ``y``, the order of scikit-learn's ``classes_``.
        sample_weight : array-like of shape (n_rows,), default=None
            Repeat counts of the rows.

        Returns
        -------
        self
        """
        check_option(self.kind, "kind", ["auto", *CALIBRATIONS])
        labels, class_index = class_positions(y, "y", classes)
        check_class_order(scores, "scores", labels)
        checked = check_scores(scores, "scores", len(labels))
        check_as_many(class_index, checked, "y", "scores")
        counts, _ = count_rows(class_index, sample_weight, labels, "y")
        if self.kind == "auto":
            kind, losses = choose_calibration(checked, class_index, counts)
        else:
            kind, losses = self.kind, {}
        scale, bias = fit_calibration(checked, class_index, counts, kind)
        with unchanged_on_error(self):
            self.scale_, self.bias_ = scale, bias
            self.classes_, self.kind_, self.losses_ = labels, kind, losses
            return self

    def transform(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Calibrated scores.

        Parameters
        ----------
        scores : array-like of shape (n_rows, n_classes)
            Of the same classifier, with the columns of ``fit``.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            Rows sum to 1.

        Raises
        ------
        ShiftDataError
            For scores that are no probabilities or have another number of columns.
        """
        check_is_fitted(self, "scale_")
        return calibrate(check_scores(scores, "scores", len(self.classes_)), self.scale_, self.bias_)
