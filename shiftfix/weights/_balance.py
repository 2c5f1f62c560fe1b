"""Does the weighted source look like the target? Standardised mean differences, before and after weighting.

For a quantity g of a row, with target mean m_T, source mean under weights w and a standard deviation s,

    SMD = (m_T - sum w g / sum w) / s,

target minus source. s does not depend on the weights, so that before and after can be compared. The standard
error takes the weights and s as fixed: var = [Var_T(g) / n_T + sum v^2 (g - mean)^2] / s^2, v = w / sum w.

Sources: Stuart (2010), "Matching methods for causal inference", Statist. Sci. 25(1):1-21: divide
by the standard deviation of the whole treated group (here the target: both stand for the population the weights
aim at), the same before and after. Austin (2009), Statist. Med. 28(25):3083-3107: the pooled alternative
sqrt((s_S^2 + s_T^2) / 2), squares besides means, and 0.1 as the usual limit. Hajek (1971): the weighted mean as
a ratio, and its linearised variance.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from shiftfix._blocks import ColumnSpread, column_spread
from shiftfix._door import public
from shiftfix._setting_checks import check_option
from shiftfix._validation import check_matrix, check_repeat_counts, check_two_samples, check_vector, check_weights
from shiftfix.exceptions import ShiftDataError
from shiftfix.weights._balance_moments import (
    Floats,
    Scale,
    common_scale,
    compare_means,
    compare_squares,
    means_by_sums,
    row_shares,
)
from shiftfix.weights._balance_table import BalanceTable


class _Part(NamedTuple):
    """Entries of one kind: their names, and their columns of the table."""

    names: Sequence[str]
    kind: str
    columns: dict[str, Floats]


def _table(parts: Sequence[_Part]) -> BalanceTable:
    """One part below the other."""
    return BalanceTable(
        names=tuple(name for part in parts for name in part.names),
        kinds=tuple(part.kind for part in parts for _ in part.names),
        **{key: np.concatenate([part.columns[key] for part in parts]) for key in parts[0].columns},
    )


def _squares_part(
    samples: Sequence[Any],
    counts: Sequence[Floats],
    spreads: Sequence[ColumnSpread],
    shares: Floats,
    names: Sequence[str],
    scale: Scale,
) -> _Part:
    flat = [row_shares(np.ones(c.size), c) for c in counts]
    four = [np.stack([f[0], s[0], f[1], s[1]]) for f, s in zip(flat, [shares, flat[1]], strict=True)]
    found, has_square = compare_squares(samples, spreads, four, scale)
    kept = {key: values[has_square] for key, values in found.items()}
    return _Part([f"{name}^2" for name, keep in zip(names, has_square, strict=True) if keep], "square", kept)


def _score_parts(scores: Sequence[Floats], counts: Sequence[Floats], shares: Floats, scale: Scale) -> list[_Part]:
    least, most = min(values.min() for values in scores), max(values.max() for values in scores)
    sides = [values[:, np.newaxis] for values in scores]
    columns = {"score": sides}
    if least < 0 < most:
        columns["|score|"] = [np.abs(values) for values in sides]
    parts = []
    for label, pair in columns.items():
        spreads = [column_spread(values, c) for values, c in zip(pair, counts, strict=True)]
        parts.append(_Part([label], "score", compare_means(pair[0], spreads, shares, scale)))
    return parts


def balance_table_of(
    samples: Sequence[Any],
    counts: Sequence[Floats],
    w: Floats,
    spreads: Sequence[ColumnSpread],
    names: Sequence[str],
    *,
    scores: Sequence[Floats] | None = None,
    scale: Scale = "target",
    squares: bool = True,
) -> BalanceTable:
    """:func:`balance_table` of checked rows whose spreads are known.

    Parameters
    ----------
    samples : sequence of two ndarray or csr_array of shape (n_rows, n_features)
        Source and target rows. The target's are read for the squares only.
    counts : sequence of two ndarray of shape (n_rows,)
        Their repeat counts, positive.
    w : ndarray of shape (n_source,)
        Finished weights, positive somewhere.
    spreads : sequence of two ColumnSpread
        Of the samples.
    names : sequence of str of length n_features
    scores : sequence of two ndarray of shape (n_rows,), default=None
    scale : {"target", "pooled"}, default="target"
    squares : bool, default=True
        Not for sparse rows.

    Returns
    -------
    BalanceTable
    """
    shares = row_shares(w / w.max(), counts[0])
    parts = [_Part(names, "feature", compare_means(samples[0], spreads, shares, scale))]
    if squares:
        parts.append(_squares_part(samples, counts, spreads, shares, names, scale))
    if scores is not None:
        parts += _score_parts(scores, counts, shares, scale)
    return _table(parts)


def _check_score(score: Any, X_source: Any, X_target: Any, sizes: Sequence[int]) -> list[Floats]:
    """Model scores of the source and of the target rows, from a callable or a pair."""
    if callable(score):
        score = (score(X_source), score(X_target))
    if not isinstance(score, tuple | list) or len(score) != 2:
        raise ShiftDataError(
            f"score is {type(score).__name__}: pass a function of X, or a pair (scores of the source rows, scores of "
            "the target rows)."
        )
    return [check_vector(score[i], f"score of {name}", sizes[i]) for i, name in enumerate(["X_source", "X_target"])]


def _check_names(feature_names: Sequence[str] | None, found: list[str] | None, n_features: int) -> list[str]:
    """Names as given, those of the columns, or x0, x1, ..."""
    if feature_names is None:
        return [f"x{j}" for j in range(n_features)] if found is None else found
    if (
        isinstance(feature_names, str)
        or not isinstance(feature_names, Iterable)
        or getattr(feature_names, "ndim", 1) == 0
    ):
        raise ShiftDataError(f"feature_names is a {type(feature_names).__name__}: pass a list, one name per column.")
    names = [str(name) for name in feature_names]
    if len(names) != n_features:
        raise ShiftDataError(f"feature_names has {len(names)} names for {n_features} columns: pass one per column.")
    return names


def _present_rows(arrays: Sequence[Any], present: Sequence[NDArray[np.bool_]]) -> list[Any]:
    return [array[rows] for array, rows in zip(arrays, present, strict=True)]


@public
def balance_table(
    X_source: Any,
    X_target: Any,
    weights: ArrayLike,
    *,
    score: Callable[[Any], ArrayLike] | Sequence[ArrayLike] | None = None,
    feature_names: Sequence[str] | None = None,
    sample_weight_source: ArrayLike | None = None,
    sample_weight_target: ArrayLike | None = None,
    scale: Scale = "target",
    squares: bool = True,
) -> BalanceTable:
    """Compare the moments of the source with those of the target, before and after weighting.

    A weighter balances what its model contains: linear log odds balance the means and may leave spreads and
    correlations as they were, with an effective size and a Pareto k that look perfect. The squares see a changed
    spread of one feature. Only the score sees what the model itself is about to meet: a target with more rows near
    the decision boundary has a smaller mean ``|score|``, whatever the features' own moments say.

    Parameters
    ----------
    X_source : array-like or sparse matrix of shape (n_source, n_features)
    X_target : array-like or sparse matrix of shape (n_target, n_features)
        The same columns. float32 rows are not copied.
    weights : array-like of shape (n_source,)
        Finished weights of the source rows; the scale does not matter.
    score : callable or pair of array-like, default=None
        Model scores of the rows, signed with 0 at the decision boundary: ``decision_function``, or the logit of
        a probability. A function is called with X_source and X_target as given; a pair holds arrays of shape
        (n_source,) and (n_target,). Where no score is below 0 (or none above), ``|score|`` would repeat the
        score's row and is left out, so probabilities show less than their logits.
    feature_names : sequence of str of length n_features, default=None
        None takes the column names of X_source, or x0, x1, ...
    sample_weight_source, sample_weight_target : array-like, default=None
        Repeat counts of the rows; they multiply the weights.
    scale : {"target", "pooled"}, default="target"
        Standard deviation divided by, unweighted: that of the target, or sqrt((s_source^2 + s_target^2) / 2).
        The pooled one also serves where the target is constant.
    squares : bool, default=True
        Also compare the squares of ((x - target mean) / standard deviation), except of features with two values.
        Not for sparse rows.

    Returns
    -------
    BalanceTable

    Raises
    ------
    ShiftDataError
        For NaN or infinite values, columns that differ, unusable weights (also zero wherever the repeat counts
        are not), scores or names of another length, or an unknown scale.

    See Also
    --------
    BalanceTable : What it returns.
    shiftfix.display.BalanceDisplay : Draws the balance of features.

    Notes
    -----
    Time is linear in n, extra memory a block of rows. The weights are taken as fixed; weights fitted to the same
    rows balance better than that, so the standard errors after weighting err on the large side.

    References
    ----------
    Stuart (2010), Statist. Sci. 25(1):1-21. Austin (2009), Statist. Med. 28(25):3083-3107.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X_source, X_target = rng.normal(0, 1, (4000, 1)), rng.normal(0.5, 1, (4000, 1))
    >>> table = balance_table(X_source, X_target, np.exp(0.5 * X_source[:, 0]))
    >>> table.names, table.before.round(1).tolist(), bool((abs(table.after) < 0.1).all())
    (('x0', 'x0^2'), [0.5, -0.2], True)
    """
    check_option(scale, "scale", ["target", "pooled"])
    check_option(squares, "squares", [True, False])
    source, target, found = check_two_samples(
        X_source, X_target, partial(check_matrix, dtype=[np.float64, np.float32], accept_sparse=True)
    )
    if squares and sparse.issparse(source):
        raise ShiftDataError("squares=True would fill in a sparse matrix: pass arrays, or squares=False.")
    sizes = source.shape[0], target.shape[0]
    names = _check_names(feature_names, found, source.shape[1])
    w = check_weights(weights, "weights", sizes[0], of="source rows")
    w = w / w.max()  # only ratios matter, and the sums of huge weights overflow
    counts = [
        check_repeat_counts(sample_weight_source, sizes[0], "sample_weight_source"),
        check_repeat_counts(sample_weight_target, sizes[1], "sample_weight_target"),
    ]
    if not (counts[0] @ w > 0):
        raise ShiftDataError("weights are zero wherever sample_weight_source is not: no source row is left.")
    scores = None if score is None else _check_score(score, X_source, X_target, sizes)

    present = [c > 0 for c in counts]
    if not all(p.all() for p in present):
        (source, target), counts = _present_rows([source, target], present), _present_rows(counts, present)
        scores = None if scores is None else _present_rows(scores, present)
    samples = [source, target]
    spreads = [column_spread(X, c) for X, c in zip(samples, counts, strict=True)]
    return balance_table_of(samples, counts, w[present[0]], spreads, names, scores=scores, scale=scale, squares=squares)


def balance_table_of_sums(
    first: Floats,
    second: Floats,
    totals: Floats,
    spreads: Sequence[ColumnSpread],
    names: Sequence[str],
) -> BalanceTable:
    """:func:`balance_table_of` the features alone, from sums over the source's rows.

    Parameters
    ----------
    first : ndarray of shape (2, n_features)
        Sums of c v y and of c v^2 y, with y = x - target mean, v the weight and c the repeat count of a row.
    second : ndarray of shape (n_features,)
        Sum of c v^2 y^2.
    totals : ndarray of shape (2,)
        Sums of c v and of c v^2.
    spreads : sequence of two ColumnSpread
    names : sequence of str of length n_features
    """
    divisor = common_scale([spread.deviation for spread in spreads], "target")
    unit = np.where(divisor > 0, divisor, 1.0)
    by_share = first / np.array([[totals[0]], [totals[0] ** 2]]) / unit
    by_square = second / totals[0] ** 2 / unit**2
    columns = means_by_sums(by_share, by_square, float(totals[1] / totals[0] ** 2), spreads, divisor)
    return _table([_Part(names, "feature", columns)])
