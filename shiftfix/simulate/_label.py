"""Label shift on real rows: class-wise resampling leaves p(x given y) alone and moves p(y).

Protocols of Lipton, Wang & Smola (2018), "Detecting and correcting for label shift with black box
predictors", ICML, experiments, paragraph "Label shift simulation", also used by Azizzadenesheli, Liu, Yang &
Anandkumar (2019), "Regularized learning for domain adaptation under label shifts", ICLR:
tweak-one gives one class probability rho and spreads the rest evenly, knock-out removes a share of one class,
and Dirichlet draws the whole prior.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._door import public
from shiftfix._setting_checks import check_count, check_generator, check_number, check_option
from shiftfix._validation import check_labels, check_prior
from shiftfix._values import as_array
from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate._problem import ShiftProblem


class _Wanted(NamedTuple):
    """The two samples that are asked for; a number of source rows comes with a prior."""

    classes: NDArray[Any]
    target_prior: NDArray[np.float64]
    source_prior: NDArray[np.float64] | None
    n_target: int
    n_source: int | None


# Concentrations that numpy's gamma deviates can be drawn for.
LEAST_ALPHA, MOST_ALPHA = 1e-300, 1e300


def _check_class_index(index: int, n_classes: int) -> int:
    if check_count(index, "index", least=0) >= n_classes:
        raise ShiftDataError(
            f"index={index} for {n_classes} classes: pass a class position between 0 and {n_classes - 1}."
        )
    return index


@public
def tweak_one_prior(n_classes: int, index: int, probability: float) -> NDArray[np.float64]:
    """Prior with one class at ``probability`` and the rest spread evenly over the others.

    Parameters
    ----------
    n_classes : int
        At least 2.
    index : int
        Position of the class that is set, from 0.
    probability : float
        Between 0 and 1.

    Returns
    -------
    ndarray of shape (n_classes,)

    Raises
    ------
    ShiftDataError
        For fewer than two classes, a position that does not exist, or a number outside [0, 1].

    See Also
    --------
    label_shift : Real rows drawn class by class.
    knock_out_prior : A prior that thins out a class.
    dirichlet_prior : A prior at random.

    Examples
    --------
    >>> tweak_one_prior(3, 0, 0.5).tolist()
    [0.5, 0.25, 0.25]
    """
    n_classes = check_count(n_classes, "n_classes", least=2)
    index = _check_class_index(index, n_classes)
    check_number(probability, "probability", least=0, most=1)
    prior = np.full(n_classes, (1 - probability) / (n_classes - 1))
    prior[index] = probability
    return prior


@public
def knock_out_prior(
    n_classes: int, index: int, fraction_removed: float, prior: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Prior after a share of the rows of one class is taken away and the rest kept.

    Lipton et al. knock rows out of the source; the same vector serves as a source or a target prior.

    Parameters
    ----------
    n_classes : int
        At least 2.
    index : int
        Position of the class that loses rows, from 0.
    fraction_removed : float
        Between 0 (nothing) and 1 (the class is gone).
    prior : array-like of shape (n_classes,), default=None
        Class probabilities before the removal. None means uniform.

    Returns
    -------
    ndarray of shape (n_classes,)

    Raises
    ------
    ShiftDataError
        For fewer than two classes, a position that does not exist, a share outside [0, 1], a prior
        that is no probability vector, or a removal that leaves nothing.

    See Also
    --------
    label_shift : Real rows drawn class by class.
    tweak_one_prior : A prior that gives one class a share.
    dirichlet_prior : A prior at random.

    Examples
    --------
    >>> knock_out_prior(3, 2, 1.0).tolist()
    [0.5, 0.5, 0.0]
    """
    n_classes = check_count(n_classes, "n_classes", least=2)
    index = _check_class_index(index, n_classes)
    check_number(fraction_removed, "fraction_removed", least=0, most=1)
    kept = np.full(n_classes, 1 / n_classes) if prior is None else check_prior(prior, "prior", n_classes).copy()
    kept[index] *= 1 - fraction_removed
    if kept.sum() == 0:
        raise ShiftDataError(f"class {index} held the whole prior and all of it is removed: nothing is left.")
    return kept / kept.sum()


@public
def dirichlet_prior(
    n_classes: int, alpha: float, random_state: int | np.random.Generator | np.random.RandomState | None = None
) -> NDArray[np.float64]:
    """Prior drawn from a symmetric Dirichlet distribution; a small alpha makes a large shift.

    Parameters
    ----------
    n_classes : int
        At least 2.
    alpha : float
        Concentration, > 0. The variance of each probability is (1/K)(1 - 1/K) / (K alpha + 1).
    random_state : int, RandomState, Generator or None, default=None

    Returns
    -------
    ndarray of shape (n_classes,)

    Raises
    ------
    ShiftDataError
        For fewer than two classes or an alpha that is not positive.

    See Also
    --------
    label_shift : Real rows drawn class by class.
    tweak_one_prior : A prior that gives one class a share.
    knock_out_prior : A prior that thins out a class.

    Examples
    --------
    >>> dirichlet_prior(3, 1.0, random_state=0).shape
    (3,)
    """
    n_classes = check_count(n_classes, "n_classes", least=2)
    check_number(alpha, "alpha", above=0, below=np.inf)
    check_number(alpha, "alpha", least=LEAST_ALPHA, most=MOST_ALPHA)
    generator = check_generator(random_state)
    # log Gamma(alpha) = log Gamma(alpha + 1) + log(U) / alpha: gamma draws of a tiny alpha underflow to 0,
    # all of them at once, and 0 / 0 is no prior.
    log_gamma = np.log(generator.standard_gamma(alpha + 1, n_classes))
    log_gamma += np.log1p(-generator.random(n_classes)) / alpha
    prior = np.exp(log_gamma - log_gamma.max())
    return prior / prior.sum()


def class_counts(prior: ArrayLike, n_rows: int) -> NDArray[np.int64]:
    """Whole rows per class that come nearest to prior * n_rows and sum to n_rows.

    Largest remainders: round down, then hand the missing rows to the largest fractions, the lower
    position first in a tie. Each count is within one row of prior * n_rows.
    """
    expected = np.asarray(prior) * n_rows
    # Rounding lets 0.3 * 10 fall just below 3; a relative 1e-9 is no row.
    counts = np.floor(expected + 1e-9 * n_rows).astype(np.int64)
    remainder = expected - counts
    # A tie in exact arithmetic must not be decided by the last bit.
    order = np.argsort(-remainder.round(9), kind="stable")
    counts[order[: n_rows - counts.sum()]] += 1
    return counts


def _source_counts(wanted: _Wanted, left: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Source rows per class from what is left, or None when that does not suffice."""
    if wanted.source_prior is None:
        # Everything left; a class without any source row has no weight.
        return left if (left >= 1).all() else None
    if wanted.n_source is not None:
        counts = class_counts(wanted.source_prior, wanted.n_source)
        return counts if (counts <= left).all() else None
    # The largest source with this prior. Rounding down can save up to one row per class.
    needed = wanted.source_prior > 0
    for size in range(int(((left + 1)[needed] / wanted.source_prior[needed]).min()), 0, -1):
        counts = class_counts(wanted.source_prior, size)
        if (counts <= left).all() and (counts[needed] >= 1).all():
            return counts
    return None


def _largest_target(available: NDArray[np.int64], wanted: _Wanted) -> int:
    """The largest feasible number of target rows below the one wanted; 0 when none is."""
    needed = wanted.target_prior > 0
    bound = int(((available + 1)[needed] / wanted.target_prior[needed]).min())
    for size in range(min(wanted.n_target - 1, bound), 0, -1):
        left = available - class_counts(wanted.target_prior, size)
        if (left >= 0).all() and _source_counts(wanted, left) is not None:
            return size
    return 0


@public
def label_shift(
    X: ArrayLike,
    y: ArrayLike,
    target_prior: ArrayLike,
    *,
    n_target: int,
    n_source: int | None = None,
    source_prior: ArrayLike | None = None,
    replace: bool = False,
    random_state: int | np.random.Generator | np.random.RandomState | None = None,
) -> ShiftProblem:
    """Label shift by drawing rows class by class; no row is in both samples.

    The number of rows per class is prior * size, rounded by largest remainders, so the samples have the
    priors they are asked for and not a random neighbour of them. Rows are drawn within each class
    without looking at x: p(x given y) stays.

    Parameters
    ----------
    X : array-like of shape (n_rows, ...)
        Rows of any kind: the array is only indexed along its first axis.
    y : array-like of shape (n_rows,)
        Class labels.
    target_prior : array-like of shape (n_classes,)
        Class probabilities of the target, in the sorted order of the labels.
    n_target : int
        Target rows, at least 1.
    n_source : int, default=None
        Source rows. None means all rows that the target leaves, as far as ``source_prior`` allows.
    source_prior : array-like of shape (n_classes,), default=None
        Class probabilities of the source. None means those of the data when ``n_source`` is given,
        else whatever is left.
    replace : bool, default=False
        False draws each row at most once. True splits every class at random into a source half and a
        target half and draws with replacement within the halves, for samples larger than the data.
    random_state : int, RandomState, Generator or None, default=None

    Returns
    -------
    ShiftProblem
        kind "label". ``source_prior`` and ``target_prior`` are the shares of the classes among the rows
        drawn, and ``source_weights`` = target / source share of the row's class, so the weighted class
        shares of the source are exactly those of the target. ``classes`` gives the order.

    Raises
    ------
    ShiftDataError
        When a class has too few rows (the message says how many there are, how many are needed, and
        the largest n_target that works), for vectors that are no priors, or for bad labels.

    See Also
    --------
    tweak_one_prior : A prior that gives one class a share.
    knock_out_prior : A prior that thins out a class.
    dirichlet_prior : A prior at random.

    Examples
    --------
    >>> y = np.repeat(["a", "b"], 50)
    >>> problem = label_shift(np.arange(100.0).reshape(-1, 1), y, [0.9, 0.1], n_target=20, random_state=0)
    >>> problem.source_prior.round(3).tolist(), problem.target_prior.tolist()
    ([0.4, 0.6], [0.9, 0.1])
    """
    labels = check_labels(y, "y")
    rows = as_array(X, "X")
    if rows.ndim == 0 or len(rows) != len(labels):
        raise ShiftDataError(
            f"X has shape {rows.shape} for {len(labels)} labels: pass an array with one row per label."
        )
    classes, codes = np.unique(labels, return_inverse=True)
    target_shares = check_prior(target_prior, "target_prior", classes.size)
    n_target = check_count(n_target, "n_target")
    check_option(replace, "replace", [True, False])
    source_shares = None if source_prior is None else check_prior(source_prior, "source_prior", classes.size)
    if n_source is not None:
        n_source = check_count(n_source, "n_source")
        if source_shares is None:
            source_shares = np.bincount(codes) / codes.size
    wanted = _Wanted(classes, target_shares, source_shares, n_target, n_source)
    generator = check_generator(random_state)
    members = [generator.permutation(np.flatnonzero(codes == k)) for k in range(classes.size)]
    parts = _draw_with_replacement(members, wanted, generator) if replace else _draw_once(members, wanted)
    source, target = (generator.permutation(np.concatenate(part)) for part in parts)
    drawn_source = np.bincount(codes[source], minlength=classes.size) / source.size
    drawn_target = np.bincount(codes[target], minlength=classes.size) / target.size
    # A class without source rows has no row to weigh: its infinite ratio is never looked up.
    ratio = np.divide(drawn_target, drawn_source, out=np.zeros(classes.size), where=drawn_source > 0)
    return ShiftProblem(
        rows[source],
        labels[source],
        rows[target],
        labels[target],
        kind="label",
        description=f"{classes.size} classes, largest change of a class share "
        f"{np.abs(drawn_target - drawn_source).max():.2f}",
        source_weights=ratio[codes[source]],
        source_prior=drawn_source,
        target_prior=drawn_target,
        classes=classes,
    )


def _draw_once(
    members: list[NDArray[np.int64]], wanted: _Wanted
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Row positions of both samples, per class, no row twice: the first of each class go to the target."""
    available = np.array([len(rows) for rows in members])
    counts_target = class_counts(wanted.target_prior, wanted.n_target)
    left = available - counts_target
    counts_source = _source_counts(wanted, left) if (left >= 0).all() else None
    if counts_source is None:
        raise _too_few(available, wanted)
    target = [rows[:count] for rows, count in zip(members, counts_target, strict=True)]
    ends = counts_target + counts_source
    source = [rows[start:end] for rows, start, end in zip(members, counts_target, ends, strict=True)]
    return source, target


def _check_halves(halves: list[tuple[NDArray[np.int64], NDArray[np.int64]]], classes: NDArray[Any]) -> None:
    for label, (half_target, half_source) in zip(classes.tolist(), halves, strict=True):
        if len(half_target) == 0:
            raise ShiftDataError(
                f"class {label!r} has {len(half_source)} row, and 2 are needed to keep source and "
                "target apart: drop the class or merge it."
            )


def _draw_with_replacement(
    members: list[NDArray[np.int64]], wanted: _Wanted, generator: np.random.Generator
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Row positions of both samples, per class, from disjoint halves."""
    halves = [(rows[: len(rows) // 2], rows[len(rows) // 2 :]) for rows in members]
    _check_halves(halves, wanted.classes)
    source = [half for _, half in halves]
    if wanted.source_prior is not None:
        n_source = sum(map(len, source)) if wanted.n_source is None else wanted.n_source
        counts = class_counts(wanted.source_prior, n_source)
        source = [generator.choice(half, n) for half, n in zip(source, counts, strict=True)]
    counts = class_counts(wanted.target_prior, wanted.n_target)
    target = [generator.choice(half, n) for (half, _), n in zip(halves, counts, strict=True)]
    return source, target


def _too_few(available: NDArray[np.int64], wanted: _Wanted) -> ShiftDataError:
    counts_target = class_counts(wanted.target_prior, wanted.n_target)
    if wanted.source_prior is None:
        counts_source = np.ones(available.size, dtype=np.int64)
    elif wanted.n_source is None:
        counts_source = (wanted.source_prior > 0).astype(np.int64)
    else:
        counts_source = class_counts(wanted.source_prior, wanted.n_source)
    needed = counts_target + counts_source
    k = int(np.argmax(needed - available))
    largest = _largest_target(available, wanted)
    advice = (
        f"the largest n_target that works is {largest}"
        if largest
        else "no n_target works with this source: ask for fewer source rows or another source_prior"
    )
    return ShiftDataError(
        f"class {wanted.classes.tolist()[k]!r} has {available[k]} rows, and {needed[k]} are needed "
        f"({counts_target[k]} target, at least {counts_source[k]} source): {advice}, or pass replace=True."
    )
