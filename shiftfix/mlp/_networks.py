"""Read a network from a file, whichever it is."""

import os

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._classifier import MLPClassifier
from shiftfix.mlp._regressor import MLPRegressor
from shiftfix.mlp._saving import read, unpack_estimator


def load_network(path: str | os.PathLike[str]) -> MLPClassifier | MLPRegressor:
    """The classifier or regressor in a file that its ``save`` wrote.

    Parameters
    ----------
    path : str or path-like

    Raises
    ------
    FileNotFoundError
    ShiftDataError
        For a damaged file, a checkpoint, one of another program, or of another estimator.
    """
    content = read(path, "model")
    found = content.get("class") if type(content) is dict else None
    if found == "MLPClassifier":
        return unpack_estimator(content, MLPClassifier)
    if found == "MLPRegressor":
        return unpack_estimator(content, MLPRegressor)
    what = f"a {found[:40]}: use {found[:40]}.load" if type(found) is str else "no network: take another copy"
    raise ShiftDataError(f"{os.fsdecode(path)!r} holds {what}.")
