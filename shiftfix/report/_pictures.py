"""What the page draws, as numbers: shares of both samples in bins, made where the data are at hand."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix._naming import column_names
from shiftfix._numerics import Floats
from shiftfix.detect import pair_columns

Record = dict[str, Any]
N_BINS = 24
MOST_BARS, MOST_DRAWN = 6, 6
# Bins end at these quantiles of both samples together; what lies beyond is counted in the last ones.
TAIL = 0.005


def bin_limits(values: Floats) -> Floats:
    """Ends of equal bins; one bin per value where there are few."""
    distinct = np.unique(values)
    if 1 < len(distinct) <= N_BINS:
        middles = (distinct[1:] + distinct[:-1]) / 2
        steps = distinct[[1, -1]] - distinct[[0, -2]]
        return np.concatenate([[distinct[0] - steps[0] / 2], middles, [distinct[-1] + steps[1] / 2]])
    low, high = np.quantile(values, [TAIL, 1 - TAIL])
    if not high > low:
        low, high = distinct[0] - 0.5, distinct[-1] + 0.5
    return np.linspace(low, high, N_BINS + 1)


def bin_shares(values: Floats, limits: Floats) -> list[float]:
    """Share of the values in each bin; the last ones hold what lies beyond."""
    if not len(values):
        return [0.0] * (len(limits) - 1)
    counts, _ = np.histogram(np.clip(values, limits[0], limits[-1]), limits)
    return [round(float(count) / len(values), 5) for count in counts]


def picture_of_numbers(name: str, source: Floats, target: Floats) -> Record:
    """A column of numbers: bins, and the shares of both samples in them."""
    limits = bin_limits(np.concatenate([source, target]))
    return {
        "name": name,
        "kind": "number",
        "limits": [float(limit) for limit in limits],
        "source": bin_shares(source, limits),
        "target": bin_shares(target, limits),
        "medians": [float(np.median(part)) if len(part) else None for part in (source, target)],
    }


def picture_of_categories(name: str, source: NDArray[Any], target: NDArray[Any]) -> Record:
    """A column of categories: those that moved most, and their shares."""
    names = np.unique(np.concatenate([source, target]))
    shares = [np.array([np.mean(part == value) if len(part) else 0.0 for value in names]) for part in (source, target)]
    order = np.argsort(-np.abs(shares[1] - shares[0]), kind="stable")[:MOST_BARS]
    return {
        "name": name,
        "kind": "category",
        "names": [str(names[i]) for i in order],
        "source": [round(float(shares[0][i]), 5) for i in order],
        "target": [round(float(shares[1][i]), 5) for i in order],
        "more": int(len(names) - len(order)),
    }


def pictures_of_columns(X_source: Any, X_target: Any, wanted: list[str]) -> list[Record]:
    """Pictures of the columns of these names."""
    names, own = names_of(X_source), column_names(X_source)
    found = []
    for name in wanted[:MOST_DRAWN]:
        place = names.index(name)
        pair = pair_columns(one_column(X_source, place), one_column(X_target, place), None if own is None else [name])[
            0
        ]
        found.append(picture_of_pair(name, pair))
    return found


def picture_of_pair(name: str, pair: Any) -> Record:
    """One column of both samples."""
    if pair.both.numbers is not None:
        made = picture_of_numbers(name, *pair.numbers)
    else:
        known = [
            part[~gap] for part, gap in zip(pair.halves(pair.both.text), pair.halves(pair.both.missing), strict=True)
        ]
        made = picture_of_categories(name, *known)
    return made | {"missing": [float(np.mean(part)) for part in pair.halves(pair.both.missing)]}


def names_of(X: Any) -> list[str]:
    """The user's names of the columns, or their positions as the tests call them."""
    return column_names(X) or [f"column {place}" for place in range(np.shape(X)[1])]


def one_column(X: Any, place: int) -> Any:
    """A table of one column."""
    if hasattr(X, "iloc"):
        return X.iloc[:, [place]]
    return X[:, [place]] if not hasattr(X, "columns") else X[[X.columns[place]]]


def picture_of_ratio(weighter: Any, X_source: Any, X_target: Any) -> Record:
    """How both samples lie along the density ratio, in powers of ten."""
    ours, theirs = (np.asarray(weighter.log_ratio(X)) / np.log(10) for X in (X_source, X_target))
    made = picture_of_numbers("density ratio", ours, theirs)
    clip = float(weighter.log_clip_) / np.log(10)
    return made | {"clip": clip if np.isfinite(clip) else None}
