"""Which rows are held out for early stopping."""

import numpy as np

from shiftfix.exceptions import ShiftDataError


def random_split(n_rows, n_validation, rng):
    """Index of the training rows and of ``n_validation`` rows to hold out."""
    order = rng.permutation(n_rows)
    return order[n_validation:], order[:n_validation]


def stratified_split(y, n_validation, rng):
    """The same in the proportions of the classes, and never the last row of a class.

    Raises
    ------
    ShiftDataError
        When too few rows are left beside one of each class.
    """
    # One row of each class is pinned to the training rows, so that none is lost; the rest is split by class.
    order = rng.permutation(len(y))
    _, first = np.unique(y[order], return_index=True)
    pinned, rest = order[first], np.delete(order, first)
    if n_validation > len(rest):
        raise ShiftDataError(
            f"{len(y)} rows of {len(pinned)} classes cannot be split to hold out {n_validation}: pass more rows, an "
            "eval_set, a smaller validation_fraction, or early_stopping=False."
        )
    held_out = np.zeros(len(y), dtype=bool)
    # Rows of a class are spread evenly over [0, 1); the lowest places of all classes together are held out.
    place = np.empty(len(rest))
    for label in np.unique(y[rest]):
        members = np.flatnonzero(y[rest] == label)
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    held_out[rest[np.argsort(place, kind="stable")[:n_validation]]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
