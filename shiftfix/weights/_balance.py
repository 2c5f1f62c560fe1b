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

import html
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from shiftfix._blocks import column_spread, matrix_blocks
from shiftfix._validation import (
    check_matrix,
    check_option,
    check_repeat_counts,
    check_two_samples,
    check_vector,
    check_weights,
    import_optional,
)
from shiftfix.exceptions import ShiftDataError

# |SMD| that is usually called balanced (Austin 2009); shown only where sampling error does not explain it.
BALANCED = 0.1
PRINTED_ROWS = 20
# Beyond this many standard deviations rows are alike; the fourth power stays finite.
FAR = 1e70


@dataclass(frozen=True)
class BalanceTable:
    """Standardised mean differences before and after weighting; ``print`` it for a short table, worst first.

    Each array has one entry per row of the table, features in the order given, then squares, then scores.

    Attributes
    ----------
    names : tuple of str
        Feature name; ``name^2`` for a square; ``"score"`` and ``"|score|"``.
    kinds : tuple of {"feature", "square", "score"}
    source_mean, weighted_mean, target_mean : ndarray of shape (n_entries,)
        In the unit of the feature or score; a square is of the standardised feature, in squared standard deviations.
    scale : ndarray of shape (n_entries,)
        The standard deviation divided by, in the unit of the means.
    before, after : ndarray of shape (n_entries,)
        Standardised mean difference, target minus (weighted) source, in standard deviations. 0 where the
        quantity is one constant in both samples, infinite where it is two different constants.
    se_before, se_after : ndarray of shape (n_entries,)
        Their standard errors, weights and scale taken as fixed.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    source_mean: np.ndarray
    weighted_mean: np.ndarray
    target_mean: np.ndarray
    scale: np.ndarray
    before: np.ndarray
    after: np.ndarray
    se_before: np.ndarray
    se_after: np.ndarray

    def __len__(self):
        return len(self.names)

    @property
    def out_of_balance(self):
        """Whether the weighted difference exceeds 0.1 and twice its standard error; bools, (n_entries,)."""
        gap = np.abs(self.after)
        return (gap > BALANCED) & (gap > 2 * self.se_after)

    def worst(self, n=3):
        """The n entries with the largest absolute difference after weighting, as a table, worst first."""
        order = np.argsort(-np.abs(self.after), kind="stable")[:n]
        columns: dict[str, Any] = {}
        for field in fields(self):
            values = getattr(self, field.name)
            columns[field.name] = tuple(values[i] for i in order) if isinstance(values, tuple) else values[order]
        return BalanceTable(**columns)

    def to_frame(self):
        """The whole table as a pandas DataFrame, one row per entry, in the order of the features.

        Raises
        ------
        MissingDependencyError
            When pandas is not installed.
        """
        pandas = import_optional("pandas", "cli")
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return pandas.DataFrame(columns | {"out_of_balance": self.out_of_balance})

    def _cells(self):
        shown = self.worst(PRINTED_ROWS)
        for name, *numbers, mark in zip(
            shown.names, shown.before, shown.se_before, shown.after, shown.se_after, shown.out_of_balance, strict=True
        ):
            before, se_before, after, se_after = numbers
            yield name, f"{before:+.3f} ({se_before:.3f})", f"{after:+.3f} ({se_after:.3f})", "*" if mark else ""

    def _foot(self):
        rest = len(self) - PRINTED_ROWS
        found = f"{self.out_of_balance.sum()} of {len(self)} beyond {BALANCED} and two standard errors (*)"
        return found + (f"; {rest} smaller ones not shown" if rest > 0 else "")

    def __str__(self):
        width = max(24, *(min(len(name), 40) for name in self.names)) + 1
        lines = [f"{'target - source, in SD':<{width}}{'before (s.e.)':>17}{'after (s.e.)':>17}"]
        lines += [
            f"{name if len(name) <= 40 else name[:39] + '…':<{width}}{before:>17}{after:>17} {mark}".rstrip()
            for name, before, after, mark in self._cells()
        ]
        return "\n".join([*lines, self._foot()])

    def _repr_html_(self):
        body = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{before}</td><td>{after} {mark}</td></tr>"
            for name, before, after, mark in self._cells()
        )
        return (
            "<table><thead><tr><th>target - source, in SD</th><th>before (s.e.)</th><th>after (s.e.)</th></tr></thead>"
            f"<tbody>{body}</tbody></table><p>{self._foot()}</p>"
        )


def _moments(X, spread, row_weights, center, scale, n_powers=2):
    """Sums over the rows of row_weights times z, z^2 and z^4, z = (x - center) / scale; as many as asked for.

    ``row_weights`` has shape (n_weightings, n_rows), the answer (n_powers, n_weightings, n_features). Block by block:
    no copy of X. Of sparse rows at most two powers, from the sums of what is stored. ``spread`` is that of X.
    """
    sums = np.zeros((n_powers, len(row_weights), X.shape[1]))
    if sparse.issparse(X):
        total = row_weights.sum(axis=1)[:, np.newaxis]
        for rows in matrix_blocks(X):
            block, columns = X[rows].astype(np.float64, copy=False), row_weights[:, rows].T
            sums[0] += (block.T @ columns).T
            sums[1] += ((block * block).T @ columns).T
        sums[1] += total * center**2 - 2 * center * sums[0]
        sums[0] -= total * center
        return sums / np.stack([scale, scale**2])[:, np.newaxis]
    # Dividing the sums spares every block a pass, where no power can overflow or vanish.
    reach = np.maximum(np.abs(spread.low - center), np.abs(spread.high - center))
    is_tame = scale.min() > 1 / FAR and reach.max() < FAR and (reach < FAR * scale).all()
    for rows in matrix_blocks(X):
        z = X[rows] - center
        if not is_tame:
            z /= scale
            np.clip(z, -FAR, FAR, out=z)
        for power in range(n_powers):
            sums[power] += row_weights[:, rows] @ z
            if power < n_powers - 1:
                np.square(z, out=z)
    return sums / [[scale**power] for power in (1, 2, 4)[:n_powers]] if is_tame else sums


def _ratio(difference, scale):
    """Quotient of both, with 0 / 0 = 0 and d / 0 = +-inf; over 0, a rounding error is 0."""
    difference = np.where((scale == 0) & (np.abs(difference) <= 1e-12), 0.0, difference)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(difference == 0, 0.0, difference / scale)


def _has_two_values(samples, spreads):
    """Whether each column of the samples holds two values at most."""
    low, high = np.minimum(spreads[0].low, spreads[1].low), np.maximum(spreads[0].high, spreads[1].high)
    found = np.ones(low.size, bool)
    for X in samples:
        for rows in matrix_blocks(X):
            if not found.any():
                return found
            block = X[rows][:, found]
            found[found] = ((block == low[found]) | (block == high[found])).all(axis=0)
    return found


def _scale(deviations, scale_name):
    """Standard deviations to divide by, from those of the source and of the target."""
    pooled = np.hypot(*(deviation / np.sqrt(2) for deviation in deviations))
    return np.where(deviations[1] > 0, deviations[1], pooled) if scale_name == "target" else pooled


def _entries(means, target_mean, errors, spread, unit=1.0, shift=0.0):
    """Columns of a BalanceTable for quantities with these means, in ``unit`` from ``shift`` on.

    ``means`` and ``errors`` (standard errors of the differences) are pairs, before and after weighting.
    """
    return {
        "source_mean": shift + unit * means[0],
        "weighted_mean": shift + unit * means[1],
        "target_mean": shift + unit * target_mean,
        "scale": spread * unit,
        "before": _ratio(target_mean - means[0], spread),
        "after": _ratio(target_mean - means[1], spread),
        "se_before": _ratio(errors[0], spread),
        "se_after": _ratio(errors[1], spread),
    }


def _compare_means(source, spreads, shares, scale_name):
    """Columns of a BalanceTable for the features themselves, by one pass over the source.

    ``shares`` has shape (2, n_source): the share of each row in the weighted mean, and what it contributes to the
    variance of that mean.
    """
    of_source, of_target = spreads
    scale = _scale([of_source.deviation, of_target.deviation], scale_name)
    unit = np.where(scale > 0, scale, 1.0)
    first, second = _moments(source, of_source, shares, of_target.mean, unit)
    means = [np.clip((of_source.mean - of_target.mean) / unit, -FAR, FAR), first[0]]
    deviations = [np.minimum(spread.deviation / unit, FAR) for spread in spreads]
    weighted = second[1] - 2 * means[1] * first[1] + means[1] ** 2 * shares[1].sum()
    of_means = [deviations[0] ** 2 / of_source.total, np.maximum(weighted, 0)]
    errors = [np.sqrt(variance + deviations[1] ** 2 / of_target.total) for variance in of_means]
    found = _entries(means, 0.0, errors, np.where(scale > 0, 1.0, 0.0), unit, of_target.mean)

    # Nothing is to be rounded about a constant.
    constant = (of_source.low == of_source.high) & (of_target.low == of_target.high)
    exact = _ratio(of_target.mean - of_source.mean, scale)
    found["weighted_mean"] = np.where(constant, of_source.mean, found["weighted_mean"])
    found |= {"source_mean": of_source.mean, "target_mean": of_target.mean}
    found |= {name: np.where(constant, exact, found[name]) for name in ("before", "after")}
    found |= {name: np.where(constant, 0.0, found[name]) for name in ("se_before", "se_after")}
    return found


def _compare_squares(samples, spreads, shares, scale_name):
    """Columns of a BalanceTable for the squares of the standardised features, and which of them tell anything new.

    ``shares`` holds, for each sample, an array of shape (4, n_rows): the share of each row in the mean before and
    after weighting, and what it contributes to the variances of these means.
    """
    scale = _scale([spread.deviation for spread in spreads], scale_name)
    unit = np.where(scale > 0, scale, 1.0)
    sums = [
        _moments(X, spread, s, spreads[1].mean, unit, 3)[1:]
        for X, spread, s in zip(samples, spreads, shares, strict=True)
    ]
    means = [first[:2] for first, _ in sums]
    of_means = [
        np.maximum(second[2:] - 2 * mean * first[2:] + mean**2 * s[2:].sum(axis=1)[:, np.newaxis], 0)
        for (first, second), mean, s in zip(sums, means, shares, strict=True)
    ]
    deviations = [np.sqrt(np.maximum(second[0] - first[0] ** 2, 0)) for first, second in sums]
    deviations = [
        np.where(deviation > 1e-7, deviation, 0.0) for deviation in deviations
    ]  # the root of a rounding error
    found = _entries(means[0], means[1][0], np.sqrt(of_means[0] + of_means[1][0]), _scale(deviations, scale_name))
    # The square of a feature with two values is a line in it: it repeats the feature's own row.
    return found, ~_has_two_values(samples, spreads)


def _shares(weights, counts):
    """What each row adds to the weighted mean and to the variance of that mean, shape (2, n_rows).

    A row counted c times with weight v contributes c v to a mean and c v^2, not (c v)^2, to its variance.
    """
    v = weights / (counts @ weights)
    return np.stack([counts * v, counts * v * v])


def _table(parts):
    """BalanceTable of (names, kind, columns) triples, one below the other."""
    return BalanceTable(
        names=tuple(name for labels, _, _ in parts for name in labels),
        kinds=tuple(kind for labels, kind, _ in parts for _ in labels),
        **{key: np.concatenate([columns[key] for _, _, columns in parts]) for key in parts[0][2]},
    )


def mean_balance(source, weights, counts, spreads, names):
    """The features' rows of :func:`balance_table`, for checked rows whose moments are known.

    Parameters
    ----------
    source : ndarray or csr_array of shape (n_source, n_features)
    weights, counts : ndarray of shape (n_source,)
        Finished weights and repeat counts, positive.
    spreads : sequence of two ColumnSpread
        Of the source and of the target.
    names : sequence of str

    Returns
    -------
    BalanceTable
    """
    shares = _shares(weights / weights.max(), counts)
    return _table([(names, "feature", _compare_means(source, spreads, shares, "target"))])


def _scores(score, X_source, X_target, n_source, n_target):
    """Model scores of the source and of the target rows, from a callable or a pair."""
    if callable(score):
        score = (score(X_source), score(X_target))
    if not isinstance(score, tuple | list) or len(score) != 2:
        raise ShiftDataError(
            f"score is {type(score).__name__}: pass a function of X, or a pair (scores of the source rows, scores of "
            "the target rows)."
        )
    return (
        check_vector(score[0], "score of X_source", n_source),
        check_vector(score[1], "score of X_target", n_target),
    )


def balance_table(
    X_source,
    X_target,
    weights,
    *,
    score=None,
    feature_names=None,
    sample_weight_source=None,
    sample_weight_target=None,
    scale="target",
    squares=True,
):
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
    source, target, names = check_two_samples(
        X_source, X_target, partial(check_matrix, dtype=[np.float64, np.float32], accept_sparse=True)
    )
    if squares and sparse.issparse(source):
        raise ShiftDataError("squares=True would fill in a sparse matrix: pass arrays, or squares=False.")
    n_source, n_features = source.shape
    if feature_names is not None:
        names = [str(name) for name in feature_names]
        if len(names) != n_features:
            raise ShiftDataError(f"feature_names has {len(names)} names for {n_features} columns: pass one per column.")
    names = [f"x{j}" for j in range(n_features)] if names is None else names
    w = check_weights(weights, "weights", n_source, of="source rows")
    counts = check_repeat_counts(sample_weight_source, n_source, "sample_weight_source")
    counts_target = check_repeat_counts(sample_weight_target, target.shape[0], "sample_weight_target")
    if not (counts @ w > 0):
        raise ShiftDataError("weights are zero wherever sample_weight_source is not: no source row is left.")

    samples, all_counts = [source, target], [counts, counts_target]
    present = [c > 0 for c in all_counts]
    if not all(p.all() for p in present):
        samples = [X[p] for X, p in zip(samples, present, strict=True)]
        all_counts = [c[p] for c, p in zip(all_counts, present, strict=True)]
    w = w[present[0]]
    shares = _shares(w / w.max(), all_counts[0])

    spreads = [column_spread(X, c) for X, c in zip(samples, all_counts, strict=True)]
    parts = [(names, "feature", _compare_means(samples[0], spreads, shares, scale))]
    if squares:
        flat = [_shares(np.ones(c.size), c) for c in all_counts]
        four = [np.stack([f[0], s[0], f[1], s[1]]) for f, s in zip(flat, [shares, flat[1]], strict=True)]
        found, has_square = _compare_squares(samples, spreads, four, scale)
        kept = {key: values[has_square] for key, values in found.items()}
        parts.append(([f"{name}^2" for name, keep in zip(names, has_square, strict=True) if keep], "square", kept))
    if score is not None:
        scores = _scores(score, X_source, X_target, n_source, len(present[1]))
        scores = [values[p] for values, p in zip(scores, present, strict=True)]
        least, most = min(values.min() for values in scores), max(values.max() for values in scores)
        columns, labels = [[values[:, np.newaxis] for values in scores]], ["score"]
        if least < 0 < most:
            columns.append([np.abs(values) for values in columns[0]])
            labels.append("|score|")
        for label, sides in zip(labels, columns, strict=True):
            score_spreads = [column_spread(values, c) for values, c in zip(sides, all_counts, strict=True)]
            parts.append(([label], "score", _compare_means(sides[0], score_spreads, shares, scale)))
    return _table(parts)
