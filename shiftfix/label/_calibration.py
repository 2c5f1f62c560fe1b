"""Calibration of classifier scores for label shift: temperature, bias-corrected temperature, vector scaling.

With z = log scores, a_k > 0 a scale (an inverse temperature) and b_k a bias, the calibrated scores are

    P_k(x) = exp(a_k z_k(x) + b_k) / sum_j exp(a_j z_j(x) + b_j)

===============  ================================================  =====================
``none``         a = 1, b = 0                                      no parameter
``temperature``  one a for all classes, b = 0                      1
``bcts``         one a for all classes, a b per class (BCTS)       n_classes
``vector``       an a and a b per class                            2 n_classes - 1
===============  ================================================  =====================

fitted by maximum likelihood on labelled rows that the classifier was not trained on. The mean negative log likelihood

    F(a, b) = sum_i s_i [log sum_k exp(a_k z_ik + b_k) - a_{y_i} z_{iy_i} - b_{y_i}],    s_i = c_i / sum(c)

is convex in (a, b), which it is not in the temperature 1 / a. Its derivative in b_k is the mean calibrated score of
class k minus the frequency of class k: with a bias, the two agree at the optimum, and that is what the correction by
priors needs. Where a sample is separated by the scores F has no least value for finite a; a is therefore kept between
1e-3 and 1e2, and b is then finite for every class with a row.

Sources: Guo, Pleiss, Sun & Weinberger (2017), "On calibration of modern neural networks", ICML, section 4.2 (vector and
temperature scaling); Alexandari, Kundaje & Shrikumar (2020), "Maximum likelihood with bias-corrected calibration is
hard-to-beat at label shift adaptation", ICML (BCTS, and the prior to divide by); Bertsekas (1982), "Projected
Newton methods for optimization problems with simple constraints", SIAM J. Control Optim. 20(2):221-246; Nocedal
& Wright (2006), "Numerical Optimization", section 7.1 (inexact Newton); Steele, Lea & Flood (2014),
"Fast splittable pseudorandom number generators", OOPSLA (the mixing function that orders the folds).
"""

import warnings

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from shiftfix._blocks import row_blocks
from shiftfix._validation import check_class_order, check_option, check_scores
from shiftfix.label._labels import check_as_many, class_counts, class_positions

CALIBRATIONS = ("none", "temperature", "bcts", "vector")

# The least normal float32. Scores of exactly 0 are mostly a softmax in float32 that rounds off what lies 88 to 104
# below the largest logit; a higher floor would throw away the order of the small scores, which an overconfident network
# needs once its scale is brought down.
FLOOR = float(np.finfo(np.float32).tiny)
SCALE_BOUNDS = (1e-3, 1e2)
# Largest entry of the projected gradient; those of b are differences of probabilities.
TOLERANCE = 1e-10
MAX_ITERATIONS = 200
SUFFICIENT_DECREASE = 1e-4
# Rounding error of F per unit of the largest scaled log score.
ROUNDING = 4 * float(np.finfo(np.float64).eps)
# Where every row is far on one side F is almost straight, and a Newton step has no measure.
LEAST_CURVATURE = 1e-8
LEAST_BLOCK_ROWS = 16
N_FOLDS = 5
# Fits without a fold only serve to be compared.
FOLD_TOLERANCE = 1e-5
# Entries of all such fits of a kind together: with more, fewer folds are held out. Each fit keeps four fifths of the
# rows, as fewer rows per class would favour kinds without biases.
CHOICE_ENTRIES = 10_000_000
# A kind of more parameters must gain this many standard errors in held-out loss: biases fitted to few labels cost more
# than they gain, and a full standard error would do without them too long. A scale per class acts most where
# the source has few rows of a class and a shifted target many, so what it gains on the source must be beyond doubt.
STANDARD_ERRORS = {"temperature": 0.5, "bcts": 0.5, "vector": 2.0}
# A projected gradient above this is reported.
POOR_TOLERANCE = 1e-6


def log_scores(scores):
    """Logarithm in float64 of the scores, those below ``FLOOR`` (1.2e-38) raised to it; same shape."""
    z = np.maximum(scores, FLOOR, dtype=np.float64)
    return np.log(z, out=z)


def softmax_block(z, scale, bias):
    """Calibrated scores of a block of rows and the logarithms of their normalisers, in float64."""
    logits = z * scale
    logits += bias
    top = logits.max(axis=1)
    logits -= top[:, np.newaxis]
    P = np.exp(logits, out=logits)
    total = P.sum(axis=1)
    P /= total[:, np.newaxis]
    return P, top + np.log(total)


class Likelihood:
    """F over (a, b) of one kind, its gradient, and products with its Hessian, in blocks of rows.

    Parameters are one vector: one scale, or one per class, then the biases unless the kind has none. Biases are those
    of log scores centred by class: with them, scale and bias of a class that always scores low are not confounded.

    Parameters
    ----------
    z : ndarray of shape (n_rows, n_classes)
        Log scores.
    class_index : ndarray of shape (n_rows,)
    share : ndarray of shape (n_rows,)
        Repeat counts divided by their sum.
    kind : {"temperature", "bcts", "vector"}
    """

    def __init__(self, z, class_index, share, kind):
        self.z, self.class_index, self.share = z, class_index, share
        n_classes = z.shape[1]
        self.n_scales = n_classes if kind == "vector" else 1
        self.has_bias = kind != "temperature"
        self.centre = share @ z if self.has_bias else np.zeros(n_classes)
        self.frequency = np.bincount(class_index, weights=share, minlength=n_classes)
        own = z[np.arange(len(z)), class_index] - self.centre[class_index]
        self.own_scores = np.bincount(class_index, weights=share * own, minlength=n_classes)
        self.P = np.empty_like(z)

    def split(self, point):
        """Scale and centred bias, each of shape (n_classes,), from a vector of parameters."""
        n_classes = self.z.shape[1]
        scale = np.broadcast_to(point[: self.n_scales], n_classes)
        return scale, point[self.n_scales :] if self.has_bias else np.zeros(n_classes)

    def join(self, scales, biases):
        """Vector of parameters from per-class terms: terms of a shared scale are added up."""
        parts = [scales if self.n_scales > 1 else [scales.sum()], biases if self.has_bias else []]
        return np.concatenate(parts)

    def __call__(self, point):
        """F and its gradient; ``P`` and ``curvature``, the diagonal of the Hessian, are kept for this point."""
        scale, bias = self.split(point)
        value = -(scale @ self.own_scores + bias @ self.frequency)
        scales, biases = -self.own_scores, -self.frequency
        scale_curvature, bias_curvature, shared = 0.0, 0.0, 0.0
        for rows in row_blocks(*self.z.shape, least=LEAST_BLOCK_ROWS):
            z, share = self.z[rows] - self.centre, self.share[rows]
            P, normalizer = softmax_block(z, scale, bias)
            self.P[rows] = P
            value += share @ normalizer
            biases = biases + share @ P
            Pz = P * z
            scales = scales + share @ Pz
            if self.n_scales == 1:
                shared += share @ (np.einsum("ij,ij->i", Pz, z) - Pz.sum(axis=1) ** 2)
            else:
                scale_curvature = scale_curvature + share @ (Pz * z * (1 - P))
            if self.has_bias:
                bias_curvature = bias_curvature + share @ (P * (1 - P))
        first = [shared] if self.n_scales == 1 else scale_curvature
        self.curvature = np.concatenate([first, bias_curvature]) if self.has_bias else np.asarray(first)
        return value, self.join(scales, biases)

    def hessian_product(self, direction):
        """Hessian at the last point evaluated, times a direction."""
        scale, bias = self.split(direction)
        scales, biases = 0.0, 0.0
        for rows in row_blocks(*self.z.shape, least=LEAST_BLOCK_ROWS):
            z, P = self.z[rows] - self.centre, self.P[rows]
            change = z * scale
            change += bias
            change -= np.einsum("ij,ij->i", P, change)[:, np.newaxis]
            change *= P
            biases = biases + self.share[rows] @ change
            change *= z
            scales = scales + self.share[rows] @ change
        return self.join(scales, biases)


def conjugate_gradients(product, gradient, curvature, rtol):
    """Approximate solution of H step = -gradient, with the diagonal of H as preconditioner."""
    step, residual = np.zeros_like(gradient), -gradient
    preconditioned = residual / curvature
    direction, size = preconditioned, residual @ preconditioned
    goal = rtol**2 * size
    for _ in range(2 * len(gradient) + 5):
        bent = product(direction)
        bend = direction @ bent
        if bend <= 1e-14 * (direction * curvature) @ direction:
            break
        step = step + (size / bend) * direction
        residual = residual - (size / bend) * bent
        preconditioned = residual / curvature
        size, old = residual @ preconditioned, size
        if size <= goal:
            break
        direction = preconditioned + (size / old) * direction
    return step if step.any() else -gradient / curvature


def projected_newton(objective, start, tolerance=TOLERANCE):
    """Least F over scales within ``SCALE_BOUNDS`` and any biases.

    Returns
    -------
    point : ndarray
    gradient_norm : float
        Largest entry of the projected gradient at ``point``.
    """
    lower, upper = np.full(len(start), -np.inf), np.full(len(start), np.inf)
    lower[: objective.n_scales], upper[: objective.n_scales] = SCALE_BOUNDS
    point = np.clip(start, lower, upper)
    value, gradient = objective(point)

    def free_parts(point, gradient):
        return ~(((point <= lower) & (gradient > 0)) | ((point >= upper) & (gradient < 0)))

    for _ in range(MAX_ITERATIONS):
        free = free_parts(point, gradient)
        norm = np.abs(gradient * free).max()
        if norm <= tolerance:
            break
        curvature = np.maximum(objective.curvature, LEAST_CURVATURE)
        step = conjugate_gradients(
            lambda direction, free=free: objective.hessian_product(direction) * free,
            gradient * free,
            curvature,
            min(0.1, np.sqrt(norm)),
        )
        for direction in (step, -gradient * free / curvature):
            found = search(objective, point, direction, value, gradient, lower, upper, norm, free_parts)
            if found is not None:
                break
        if found is None:
            objective(point)
            break  # rounding: no step lowers F any more, and the gradient says how close it is
        point, value, gradient = found
    return point, float(np.abs(gradient * free_parts(point, gradient)).max())


def search(objective, point, direction, value, gradient, lower, upper, norm, free_parts):
    """The longest of the steps 1, 1/2, 1/4, .. along the projected path that lowers F enough, or None."""
    rounding = ROUNDING * (1 - np.log(FLOOR) * point[: objective.n_scales].max())
    for halvings in range(60):
        candidate = np.clip(point + 0.5**halvings * direction, lower, upper)
        new_value, new_gradient = objective(candidate)
        # Near the optimum F no longer tells points apart, and the gradient does.
        if abs(new_value - value) <= rounding:
            if np.abs(new_gradient * free_parts(candidate, new_gradient)).max() < norm:
                return candidate, new_value, new_gradient
        elif new_value <= value + SUFFICIENT_DECREASE * (gradient @ (candidate - point)):
            return candidate, new_value, new_gradient
    return None


def fit_log_scores(z, class_index, sample_weight, kind, start=None, tolerance=TOLERANCE):
    """Scale and bias of a kind from log scores, and the gradient left; ``start`` is a scale and bias to begin at."""
    n_classes = z.shape[1]
    if kind == "none":
        return np.ones(n_classes), np.zeros(n_classes), 0.0
    if start is None:
        # Each kind starts at the one that it contains: overconfident scores are far from their optimum.
        simpler = {"temperature": "none", "bcts": "temperature", "vector": "bcts"}[kind]
        start = fit_log_scores(z, class_index, sample_weight, simpler, None, max(tolerance, FOLD_TOLERANCE))[:2]
    scale, bias = start
    objective = Likelihood(z, class_index, sample_weight / sample_weight.sum(), kind)
    centred_bias = bias + scale * objective.centre
    start = np.concatenate([scale[: objective.n_scales], centred_bias if objective.has_bias else []])
    point, gradient_norm = projected_newton(objective, start, tolerance)
    scale, centred_bias = objective.split(point)
    bias = centred_bias - scale * objective.centre
    return scale.copy(), bias - bias.mean(), gradient_norm


def fit_calibration(scores, class_index, sample_weight, kind):
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
        warnings.warn(
            f"The calibration {kind!r} stopped at a gradient of {gradient_norm:.1g} instead of {TOLERANCE:.0e}: the "
            "scores nearly separate the labels. Take a simpler kind.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return scale, bias


def calibrate(scores, scale, bias):
    """Calibrated scores softmax(scale * log(scores) + bias); same shape and dtype as ``scores``."""
    calibrated = np.empty_like(scores)
    for rows in row_blocks(*scores.shape, least=LEAST_BLOCK_ROWS):
        calibrated[rows] = softmax_block(log_scores(scores[rows]), scale, bias)[0]
    return calibrated


def scrambled(numbers):
    """Pseudo-random 64-bit integers, the same for the same numbers: the mixing function of SplitMix64."""
    h = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def held_out_counts(class_index, sample_weight, n_folds):
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

    def dealt(position):
        rounds, rest = np.divmod(position, n_folds)
        turn = scrambled((first_round[label] + rounds)[:, np.newaxis] * n_folds + folds).argsort(axis=1).argsort(axis=1)
        return rounds[:, np.newaxis] + np.clip(rest[:, np.newaxis] - turn, 0, 1)

    counts = np.empty((len(order), n_folds))
    counts[order] = dealt(end) - dealt(np.maximum(end - weight, 0))
    counts[totals[class_index] <= 1] = 0
    return counts


def calibrated_losses(z, class_index, rows, scale, bias):
    """Negative log of the calibrated score of the true class, for the rows at the given positions."""
    losses = np.empty(len(rows))
    for block in row_blocks(len(rows), z.shape[1], least=LEAST_BLOCK_ROWS):
        chosen = rows[block]
        truth = class_index[chosen]
        _, normalizer = softmax_block(z[chosen], scale, bias)
        losses[block] = normalizer - scale[truth] * z[chosen, truth] - bias[truth]
    return losses


def choose_calibration(scores, class_index, sample_weight, n_folds=N_FOLDS):
    """Kind with the least held-out log loss, the simpler one unless the gain is clear.

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
    # Rows are dealt out in the order of one fixed combination of their scores; equal rows are exchangeable. Rounded, so
    # that equal rows tie wherever they lie in memory.
    direction = np.arange(1, z.shape[1] + 1) * 0.6180339887498949 % 1
    order = np.argsort(np.round(z @ direction, 9), kind="stable")
    held_out = np.empty((len(z), n_folds))
    held_out[order] = held_out_counts(class_index[order], sample_weight[order], n_folds)
    held_out = held_out[:, : max(1, CHOICE_ENTRIES // z.size)]
    total = held_out.sum()
    if total == 0:
        return "none", {}
    losses, kept = {}, "none"
    start = np.ones(z.shape[1]), np.zeros(z.shape[1])
    for kind in CALIBRATIONS:
        losses[kind] = np.zeros_like(held_out)
        for fold, counts in enumerate(held_out.T):
            rows = np.flatnonzero(counts > 0)
            if len(rows):
                rest = np.maximum(sample_weight - counts, 0)
                # Each fit starts at the one before it, of another fold or of the simpler kind.
                scale, bias, _ = fit_log_scores(z, class_index, rest, kind, start, FOLD_TOLERANCE)
                start = scale, bias
                losses[kind][rows, fold] = calibrated_losses(z, class_index, rows, scale, bias)
        gain = losses[kept] - losses[kind]
        mean = np.sum(held_out * gain) / total
        error = np.sqrt(np.sum(held_out * (gain - mean) ** 2)) / total
        if mean > STANDARD_ERRORS.get(kind, 0) * error:
            kept = kind
    return kept, {kind: float(np.sum(held_out * loss) / total) for kind, loss in losses.items()}


class ScoreCalibrator(BaseEstimator):
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
        Calibrated scores are softmax(scale_ * log(scores) + bias_); scales lie within [1e-3, 1e2], biases average 0.
    losses_ : dict of str to float
        Held-out negative log likelihood of each kind, in nats per row; empty unless ``kind="auto"``.

    Raises
    ------
    ShiftDataError
        By ``fit`` and ``transform``, for scores that are no probabilities, lengths that differ, labels not among
        ``classes``, a class without rows, or one class only.

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

    def __init__(self, kind="auto"):
        self.kind = kind

    def fit(self, scores, y, *, classes=None, sample_weight=None):
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
        classes, class_index = class_positions(y, "y", classes)
        check_class_order(scores, "scores", classes)
        scores = check_scores(scores, "scores", len(classes))
        check_as_many(class_index, scores, "y", "scores")
        counts, _ = class_counts(class_index, sample_weight, classes, "y")
        kind, losses = self.kind, {}
        if kind == "auto":
            kind, losses = choose_calibration(scores, class_index, counts)
        self.scale_, self.bias_ = fit_calibration(scores, class_index, counts, kind)
        self.classes_, self.kind_, self.losses_ = classes, kind, losses
        return self

    def transform(self, scores):
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
