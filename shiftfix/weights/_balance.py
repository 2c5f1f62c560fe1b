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
from typing import Any

import numpy as np

from shiftfix._validation import (
    check_option,
    check_repeat_counts,
    check_two_samples,
    check_vector,
    check_weights,
    import_optional,
)
from shiftfix.exceptions import ShiftDataError

# Rows looked at together: 8192 rows of 50 features are 3 MB, so that the powers never cost another copy of X.
BLOCK_ROWS = 8192
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


def _blocks(X):
    return (slice(start, start + BLOCK_ROWS) for start in range(0, len(X), BLOCK_ROWS))


def _moments(X, row_weights, center, scale):
    """Sums over the rows of row_weights times z, z^2 and z^4, z = (x - center) / scale.

    ``row_weights`` has shape (n_rows, n_weightings), the answer (3, n_weightings, n_features). Block by block:
    no copy of X.
    """
    sums = np.zeros((3, row_weights.shape[1], X.shape[1]))
    for rows in _blocks(X):
        z = np.clip((X[rows] - center) / scale, -FAR, FAR)
        for power in range(3):
            sums[power] += row_weights[rows].T @ z
            if power < 2:
                z *= z
    return sums


def _spread(X, shares):
    """Mean, standard deviation (0 exactly for a constant), least and largest value, each (n_features,)."""
    low, high = np.full(X.shape[1], np.inf), np.full(X.shape[1], -np.inf)
    for rows in _blocks(X):
        present = X[rows][shares[rows] > 0]
        low = np.minimum(low, present.min(axis=0, initial=np.inf))
        high = np.maximum(high, present.max(axis=0, initial=-np.inf))
    middle = low / 2 + high / 2
    reach = np.where(low < high, high / 2 - low / 2, 1.0)
    first, second = _moments(X, shares[:, np.newaxis], middle, reach)[:2, 0]
    deviation = np.where(low < high, np.sqrt(np.maximum(second - first**2, 0)), 0.0) * reach
    return np.where(low < high, middle + reach * first, low), deviation, low, high


def _ratio(difference, scale):
    """Quotient of both, with 0 / 0 = 0 and d / 0 = +-inf; over 0, a rounding error is 0."""
    difference = np.where((scale == 0) & (np.abs(difference) <= 1e-12), 0.0, difference)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(difference == 0, 0.0, difference / scale)


def _has_two_values(sides):
    """Whether each column of the samples holds two values at most; ``sides`` are (X, shares, low, high)."""
    low = np.minimum(sides[0][2], sides[1][2])
    high = np.maximum(sides[0][3], sides[1][3])
    found = np.ones(low.size, bool)
    for X, shares, _, _ in sides:
        for rows in _blocks(X):
            if not found.any():
                return found
            present = X[rows][shares[rows] > 0][:, found]
            found[found] = ((present == low[found]) | (present == high[found])).all(axis=0)
    return found


def _compare(source, target, source_shares, target_shares, scale_name):
    """Columns of a BalanceTable for X itself, for the squares of its standardised columns, and which squares are new.

    ``source_shares`` is a pair of arrays of shape (n_source, 2), before and after weighting: the share of each row
    in the mean, and what it contributes to the mean's variance; ``target_shares`` the same, each (n_target,).
    """
    shares, squared_shares = source_shares
    target_share, target_squared = target_shares
    mean_source, sd_source, low_source, high_source = _spread(source, shares[:, 0])
    mean_target, sd_target, low_target, high_target = _spread(target, target_share)
    pooled = np.hypot(sd_source / np.sqrt(2), sd_target / np.sqrt(2))
    scale = np.where(sd_target > 0, sd_target, pooled) if scale_name == "target" else pooled
    unit = np.where(scale > 0, scale, 1.0)

    # Rows: before and after, then the same with squared shares, which the variances need.
    by_source = _moments(source, np.column_stack([shares, squared_shares]), mean_target, unit)
    by_target = _moments(target, np.column_stack([target_share, target_squared]), mean_target, unit)
    weight_total = squared_shares.sum(axis=0)

    def entries(first, second, unit_in, shift, spread):
        """Differences of a quantity whose weighted sums are ``first`` and those of its square ``second``."""
        means, target_mean = by_source[first][:2], by_target[first][0]
        variances = [
            by_source[second][2 + j] - 2 * means[j] * by_source[first][2 + j] + means[j] ** 2 * weight_total[j]
            for j in range(2)
        ]
        total = target_squared.sum()
        own = by_target[second][1] - 2 * target_mean * by_target[first][1] + target_mean**2 * total
        errors = [np.sqrt(np.maximum(v, 0) + np.maximum(own, 0)) for v in variances]
        return {
            "source_mean": shift + unit_in * means[0],
            "weighted_mean": shift + unit_in * means[1],
            "target_mean": shift + unit_in * target_mean,
            "scale": spread * unit_in,
            "before": _ratio(target_mean - means[0], spread),
            "after": _ratio(target_mean - means[1], spread),
            "se_before": _ratio(errors[0], spread),
            "se_after": _ratio(errors[1], spread),
        }

    plain = entries(0, 1, unit, mean_target, np.where(scale > 0, 1.0, 0.0))
    constant = (low_source == high_source) & (low_target == high_target)
    for name, exact in (("source_mean", mean_source), ("weighted_mean", mean_source), ("target_mean", mean_target)):
        plain[name] = np.where(constant, exact, plain[name])
    for name in ("before", "after"):
        plain[name] = np.where(constant, _ratio(mean_target - mean_source, scale), plain[name])
    for name in ("se_before", "se_after"):
        plain[name] = np.where(constant, 0.0, plain[name])

    square_sd = [np.sqrt(np.maximum(m[2][0] - m[1][0] ** 2, 0)) for m in (by_source, by_target)]
    square_sd = [np.where(sd > 1e-7, sd, 0.0) for sd in square_sd]  # the root of a rounding error
    pooled = np.hypot(*square_sd) / np.sqrt(2)
    square_scale = np.where(square_sd[1] > 0, square_sd[1], pooled) if scale_name == "target" else pooled
    square = entries(1, 2, 1.0, 0.0, square_scale)
    # The square of a feature with two values is a line in it: it repeats the feature's own row.
    two_values = _has_two_values(
        [(source, shares[:, 0], low_source, high_source), (target, target_share, low_target, high_target)]
    )
    return plain, square, ~two_values


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
    X_source : array-like of shape (n_source, n_features)
    X_target : array-like of shape (n_target, n_features)
        The same columns.
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
    source, target, names = check_two_samples(X_source, X_target)
    n_source, n_features = source.shape
    if feature_names is not None:
        names = [str(name) for name in feature_names]
        if len(names) != n_features:
            raise ShiftDataError(f"feature_names has {len(names)} names for {n_features} columns: pass one per column.")
    names = [f"x{j}" for j in range(n_features)] if names is None else names
    w = check_weights(weights, "weights", n_source, of="source rows")
    counts = check_repeat_counts(sample_weight_source, n_source, "sample_weight_source")
    counts_target = check_repeat_counts(sample_weight_target, len(target), "sample_weight_target")
    w = w / w.max()
    total = counts @ w
    if total == 0:
        raise ShiftDataError("weights are zero wherever sample_weight_source is not: no source row is left.")

    # A row counted c times with weight v contributes c v to a mean and c v^2, not (c v)^2, to its variance.
    before, after = np.full(n_source, 1 / counts.sum()), w / total
    shares = (
        np.column_stack([counts * before, counts * after]),
        np.column_stack([counts * before**2, counts * after**2]),
    )
    target_shares = (counts_target / counts_target.sum(), counts_target / counts_target.sum() ** 2)

    plain, square, has_square = _compare(source, target, shares, target_shares, scale)
    parts = [(names, "feature", plain)]
    if squares:
        kept = {key: values[has_square] for key, values in square.items()}
        parts.append(([f"{name}^2" for name, keep in zip(names, has_square, strict=True) if keep], "square", kept))
    if score is not None:
        of_source, of_target = _scores(score, X_source, X_target, n_source, len(target))
        least, most = min(of_source.min(), of_target.min()), max(of_source.max(), of_target.max())
        columns, labels = [(of_source, of_target)], ["score"]
        if least < 0 < most:
            columns.append((np.abs(of_source), np.abs(of_target)))
            labels.append("|score|")
        of_source, of_target = (np.column_stack(side) for side in zip(*columns, strict=True))
        parts.append((labels, "score", _compare(of_source, of_target, shares, target_shares, scale)[0]))
    return BalanceTable(
        names=tuple(name for labels, _, _ in parts for name in labels),
        kinds=tuple(kind for labels, kind, _ in parts for _ in labels),
        **{key: np.concatenate([values[key] for _, _, values in parts]) for key in plain},
    )
