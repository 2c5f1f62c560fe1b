"""Where a drop of performance comes from: other x, other y at the same x, or x that the source has not.

With p and q the densities of x in source and target, and s(x) proportional to p q / (p + q), which lies where both
have rows, the mean loss changes by

    E_target[l] - E_source[l] = (E_s[l_source] - E_source[l_source])     x moved, within the source's support
                              + (E_s[l_target] - E_s[l_source])          y given x moved
                              + (E_target[l_target] - E_s[l_target]),    x moved, beyond the source's support

l_source and l_target the mean losses at x under either p(y | x). Means over s are weighted means over the source, with
weights q / (p + q), and over the target, with weights p / (p + q).
Source: Cai, Namkoong & Yadlowsky (2023), "Diagnosing model performance under distribution shift", equations 2 to 4.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.stats import norm

from shiftfix._door import public
from shiftfix._numerics import Floats
from shiftfix._printed import printed
from shiftfix._setting_checks import check_number
from shiftfix._validation import check_vector
from shiftfix._verdict import caller_warns
from shiftfix.covariate import LogisticWeighter
from shiftfix.detect._labelled import check_labelled_rows
from shiftfix.detect._permuted import check_raw_samples, refuse_few_rows, standardized
from shiftfix.detect._result import ShiftTest, stopwatch
from shiftfix.exceptions import ShiftDataError

LEAST_LABELS = 20
# Largest standardized difference of the two weighted samples, beyond what is chance.
MOST_IMBALANCE = 0.1
CHANCE = 3.0


@printed
class Part(NamedTuple):
    """A part of the change of the mean loss, and its confidence interval, in units of the loss.

    See Also
    --------
    PerformanceDrop : The parts of a change of the loss.
    performance_drop : By target labels: where a change of the loss comes from.
    """

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:+.3g} ({self.low:+.3g} to {self.high:+.3g})"


@dataclass(frozen=True)
class PerformanceDrop(ShiftTest):
    """Outcome of :func:`performance_drop`: a :class:`ShiftTest` of the whole change, and its parts.

    Attributes
    ----------
    total : Part or None
        Mean loss on the target less that on the source.
    features, labels, support : Part or None
        What is due to other x within the source's support, to another p(y given x), and to x beyond the source's
        support; they add up to the total. None where they cannot be told apart.
    imbalance : float
        Largest difference of the weighted samples, in standard deviations, less what is chance; 0 when balanced.

    See Also
    --------
    performance_drop : By target labels: where a change of the loss comes from.
    Part : One of them.
    """

    total: Part | None = None
    features: Part | None = None
    labels: Part | None = None
    support: Part | None = None
    imbalance: float = 0.0


class WeightedMean(NamedTuple):
    """A weighted mean, what each row adds to its error, and how it follows the logits of the weights, row by row."""

    mean: float
    errors: Floats
    slopes: Floats


class SharedWeights(NamedTuple):
    """Weights that make both samples one of s(x), and the error of the model behind them.

    Attributes
    ----------
    source, target : ndarray of shape (n_rows,)
        q / (p + q) and p / (p + q).
    columns : sequence of two ndarray of shape (n_rows, 1 + n_columns)
        Of the logit log(q / p), which is linear in them.
    errors : sequence of two ndarray of shape (n_rows, 1 + n_columns)
        What each row adds to the error of its coefficients.
    """

    source: Floats
    target: Floats
    columns: tuple[Floats, Floats]
    errors: tuple[Floats, Floats]


def weighted_mean_of(losses: Floats, weights: Floats) -> WeightedMean:
    """Self-normalised weighted mean with its linearised errors; the weights are logistic functions of their logits."""
    mean = float(weights @ losses / weights.sum())
    errors = weights * (losses - mean) / weights.sum()
    return WeightedMean(mean, errors, errors * (1 - weights))


def shared_weights(source: Floats, target: Floats) -> SharedWeights:
    """Weights by a logistic domain classifier, and the error of each row in its coefficients.

    The error is H^-1 x (t - u): x the columns, t 1 for target, u the probability of target, H = sum u (1 - u) x x'.
    """
    with caller_warns():
        weighter = LogisticWeighter().fit(source, target)
    log_ratios = [weighter.log_ratio(source), weighter.log_ratio(target)]
    size = np.log(len(target) / len(source))
    columns = [np.column_stack([np.ones(len(X)), X]) for X in (source, target)]
    u = [expit(log_ratio + size) for log_ratio in log_ratios]
    information = sum((X.T * (p * (1 - p))) @ X for X, p in zip(columns, u, strict=True))
    inverse = np.linalg.pinv(information, hermitian=True)
    errors = (-u[0][:, np.newaxis] * columns[0]) @ inverse, ((1 - u[1])[:, np.newaxis] * columns[1]) @ inverse
    return SharedWeights(expit(log_ratios[0]), expit(-log_ratios[1]), (columns[0], columns[1]), errors)


class Difference(NamedTuple):
    """A difference of means, what rows add to its error, and its gradient by the coefficients of the weights."""

    estimate: float
    source: Floats
    target: Floats
    gradient: Floats


def _with_interval(part: Difference, shared: SharedWeights, places: NDArray[np.intp], z: float) -> Part:
    """Estimate and interval of +- z standard errors: of the losses, and of the weights."""
    source, target = part.source + shared.errors[0] @ part.gradient, shared.errors[1] @ part.gradient
    target[places] += part.target
    reach = z * float(np.sqrt(np.square(source).sum() + np.square(target).sum()))
    return Part(part.estimate, part.estimate - reach, part.estimate + reach)


def decompose_drop(
    source: Floats, target: Floats, shared: SharedWeights, places: NDArray[np.intp], z: float
) -> tuple[Part, Part, Part, Part]:
    """Total change and its three parts, with intervals of +- z standard errors.

    Parameters
    ----------
    source, target : ndarray of shape (n_rows,)
        Losses.
    shared : SharedWeights
    places : ndarray of int, of the shape of ``target``
        The target rows that have losses.
    z : float
    """
    there, here = weighted_mean_of(source, np.ones(len(source))), weighted_mean_of(target, np.ones(len(target)))
    shared_there = weighted_mean_of(source, shared.source)
    shared_here = weighted_mean_of(target, shared.target[places])
    # The weights of the target fall where the logit rises.
    rise, fall = shared_there.slopes @ shared.columns[0], -shared_here.slopes @ shared.columns[1][places]
    idle = np.zeros(len(target))
    parts = (
        Difference(here.mean - there.mean, -there.errors, here.errors, np.zeros_like(rise)),
        Difference(shared_there.mean - there.mean, shared_there.errors - there.errors, idle, rise),
        Difference(shared_here.mean - shared_there.mean, -shared_there.errors, shared_here.errors, fall - rise),
        Difference(here.mean - shared_here.mean, np.zeros(len(source)), here.errors - shared_here.errors, -fall),
    )
    total, features, labels, support = (_with_interval(part, shared, places, z) for part in parts)
    return total, features, labels, support


def largest_imbalance(source: Floats, target: Floats, source_shared: Floats, target_shared: Floats) -> float:
    """Largest difference of weighted means of columns and squares, in pooled standard deviations, less chance."""
    largest = 0.0
    for power in (1, 2):
        # Cut, so that no few rows decide.
        rows = [np.clip(X, -3, 3) ** power for X in (source, target)]
        for ours, theirs in zip(rows[0].T, rows[1].T, strict=True):
            one, other = weighted_mean_of(ours, source_shared), weighted_mean_of(theirs, target_shared)
            error = np.sqrt(np.square(one.errors).sum() + np.square(other.errors).sum())
            largest = max(largest, abs(one.mean - other.mean) - CHANCE * float(error))
    return largest


def _parts_in_words(parts: tuple[Part, Part, Part] | None) -> str:
    if parts is None:
        return (
            "How much of it is due to other rows and how much to other labels cannot be told: no weights make the "
            "samples alike where they overlap."
        )
    return f"Other x {parts[0]}, other y at the same x {parts[1]}, x the source lacks {parts[2]}."


@public
def performance_drop(
    losses_source: ArrayLike,
    losses_target: ArrayLike,
    X_source: Any,
    X_target: Any,
    *,
    rows: ArrayLike | None = None,
    confidence: float = 0.95,
) -> PerformanceDrop:
    """Split the change of the mean loss from source to target by where it comes from.

    Parameters
    ----------
    losses_source : array-like of shape (n_source,)
        Of source rows that the model was not trained on (:mod:`shiftfix.risk` has losses).
    losses_target : array-like of shape (n_labels,)
        Of the labelled target rows; at least 20.
    X_source : array-like or data frame of shape (n_source, n_features)
    X_target : array-like or data frame of shape (n_target, n_features)
        All target rows.
    rows : array-like of int, shape (n_labels,), default=None
        Which target rows are labelled; None means the first ones.
    confidence : float, default=0.95
        From .01 on.

    Returns
    -------
    PerformanceDrop
        Its p-value is that of "the mean loss is the same"; its statistic the change in standard errors, its effect
        size the change. The parts are None where the weighted samples differ by more than a tenth of a standard
        deviation that is not chance, in a column or its square.

    Raises
    ------
    ShiftDataError
        For data that cannot be used, fewer than 20 labels, and positions beyond the rows.

    See Also
    --------
    PerformanceDrop : The parts of a change of the loss.
    shiftfix.risk.target_risk : A metric on the target, with its interval.
    concept_test : By target labels: did p(y given x) move?

    Notes
    -----
    The weights are those of a logistic domain classifier on the columns; the intervals hold its sampling error.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, x_target = rng.normal(size=(2000, 1)), rng.normal(0.5, 1, size=(1000, 1))
    >>> drop = performance_drop(x[:, 0] ** 2, x_target[:, 0] ** 2 + 1, x, x_target)
    >>> round(drop.labels.estimate)
    1
    """
    clock = stopwatch()
    confidence = check_number(confidence, "confidence", least=0.01, below=1)
    source, target, names = check_raw_samples(X_source, X_target)
    ours = _check_losses(check_vector(losses_source, "losses_source", source.shape[0]))
    theirs = _check_losses(check_vector(losses_target, "losses_target"))
    refuse_few_rows(len(theirs), "losses_target", LEAST_LABELS)
    _, places = check_labelled_rows(np.zeros(len(theirs)), rows, target.shape[0], whole=False)
    numbers, target_numbers = standardized(source, target, names)
    shared = shared_weights(numbers, target_numbers)
    z = float(norm.ppf((1 + confidence) / 2))
    total, *found = decompose_drop(ours, theirs, shared, places, z)
    imbalance = largest_imbalance(numbers, target_numbers, shared.source, shared.target)
    parts = (found[0], found[1], found[2]) if imbalance <= MOST_IMBALANCE else None
    features, labels, support = parts or (None, None, None)
    error = (total.high - total.low) / (2 * z)
    statistic = total.estimate / error if error > 0 else 0.0
    return PerformanceDrop(
        statistic,
        float(2 * norm.sf(abs(statistic))),
        total.estimate,
        len(ours),
        len(theirs),
        "Change of the mean loss",
        clock(),
        "change",
        _parts_in_words(parts),
        total,
        features,
        labels,
        support,
        imbalance,
    )


def _check_losses(losses: Floats) -> Floats:
    """The losses; those that overflow are refused."""
    if np.abs(losses).max() > np.sqrt(np.finfo(float).max) / len(losses):
        raise ShiftDataError(
            f"The losses reach {np.abs(losses).max():.3g}, which overflows when squared: rescale them."
        )
    return losses
