"""The cards of the data sets: one TOML file each, in ``datasets/`` at the top of the repository.

An installed wheel carries the same folder as ``shiftfix/datasets/cards``.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from shiftfix._door import public
from shiftfix._setting_checks import check_option
from shiftfix.exceptions import ShiftDataError

REQUIRED_KEYS = {"name", "title", "licence", "source", "shift", "assumption", "rows", "features", "traps"}
OPTIONAL_KEYS = {"files", "recipe", "builtin", "split"}
FILE_KEYS = {"role", "name", "bytes", "sha256", "url", "bundled", "note"}
# A name that stays in its folder and is a file's on every system, Windows included.
SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}(?<!\.)")
RESERVED_NAME = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(\..*)?", re.IGNORECASE)
WORD = re.compile(r"(?s).+")
SHA256 = re.compile(r"[0-9a-f]{64}")
ADDRESS = re.compile(r"(https?|file)://[!-~]+")


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

    See Also
    --------
    load : The data, after checking the files.
    load_card : Origin, licence, shift and files of one.

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

    See Also
    --------
    load : The data, after checking the files.
    list_datasets : Names of the data sets.

    Examples
    --------
    >>> load_card("airfoil")["assumption"]
    'covariate'
    """
    check_option(name, "name", list_datasets())
    path = cards_folder() / f"{name}.toml"
    try:
        card = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ShiftDataError(f"the card {path} cannot be read ({error}): install shiftfix again.") from error
    check_card(card, name)
    return card


def check_card(card: dict[str, Any], name: str) -> None:
    """Raise ShiftDataError unless a card has its keys, its own name, and files with safe names and checksums."""
    missing, unknown = REQUIRED_KEYS - set(card), set(card) - REQUIRED_KEYS - OPTIONAL_KEYS
    if missing or unknown:
        raise ShiftDataError(f"the card {name!r} lacks the keys {sorted(missing)} and has unknown {sorted(unknown)}.")
    if card["name"] != name:
        raise ShiftDataError(f"the card {name!r} calls itself {card['name']!r}: its name is that of its file.")
    entries = card.get("files", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ShiftDataError(f"the card {name!r} has files = {entries!r}: one table per file is needed.")
    for entry in entries:
        check_entry(entry, name)


def _is_text(value: Any, form: re.Pattern[str]) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def check_entry(entry: dict[str, Any], card: str) -> None:
    """Raise ShiftDataError unless a card's entry names a file in its own folder and how to recognise it."""
    where = f"the card {card!r} has a file with"
    check_safe_name(entry.get("name"), f"{where} the name")
    if not _is_text(entry.get("role"), WORD):
        raise ShiftDataError(f"{where} the role {entry.get('role')!r}: a word is needed.")
    if type(entry.get("bytes")) is not int or entry["bytes"] < 1:
        raise ShiftDataError(f"{where} bytes = {entry.get('bytes')!r}: a whole number >= 1 is needed.")
    if not _is_text(entry.get("sha256"), SHA256):
        raise ShiftDataError(f"{where} sha256 = {entry.get('sha256')!r}: 64 hexadecimal digits are needed.")
    if "url" in entry and not _is_text(entry["url"], ADDRESS):
        raise ShiftDataError(f"{where} the address {entry['url']!r}: one that begins with https:// is needed.")


def check_safe_name(name: Any, what: str) -> str:
    """The name, when it is one of a plain file or folder on every system and leads nowhere else.

    Raises
    ------
    ShiftDataError
        For separators, dots at either end, zero bytes, names that a system reserves, and over 100 characters.
    """
    if not isinstance(name, str) or not SAFE_NAME.fullmatch(name) or RESERVED_NAME.fullmatch(name):
        raise ShiftDataError(
            f"{what} {name!r}: at most 100 letters, digits, _, - and . are needed, no separator, no dot at either "
            "end, and no name that a system reserves."
        )
    return name
