"""The cards of the data sets: one TOML file each, in ``datasets/`` at the top of the repository.

An installed wheel carries the same folder as ``shiftfix/datasets/cards``.
"""

import tomllib
from pathlib import Path
from typing import Any

from shiftfix._door import public
from shiftfix._validation import check_option

REQUIRED_KEYS = {"name", "title", "licence", "source", "shift", "assumption", "rows", "features", "traps"}
OPTIONAL_KEYS = {"files", "recipe", "builtin", "split"}
FILE_KEYS = {"role", "name", "bytes", "sha256", "url", "bundled", "note"}


def cards_folder() -> Path:
    """The folder with the cards and the small bundled files: in the wheel, else in the repository."""
    here = Path(__file__).resolve().parent
    installed = here / "cards"
    return installed if installed.is_dir() else here.parents[1] / "datasets"


@public
def list_datasets() -> list[str]:
    """Names of the data sets that have a card, sorted.

    Returns
    -------
    list of str

    Examples
    --------
    >>> "digits" in list_datasets()
    True
    """
    return sorted(path.stem for path in cards_folder().glob("*.toml"))


@public
def load_card(name: str) -> dict[str, Any]:
    """The card of a data set: origin, licence, shift, traps, files with checksums, recipe.

    Parameters
    ----------
    name : str
        One of ``list_datasets()``.

    Returns
    -------
    dict
        See the README in the folder of the cards for the keys.

    Raises
    ------
    ShiftDataError
        For a name without a card.

    Examples
    --------
    >>> load_card("airfoil")["assumption"]
    'covariate'
    """
    check_option(name, "name", list_datasets())
    with (cards_folder() / f"{name}.toml").open("rb") as stream:
        return tomllib.load(stream)
