"""One loader per data set, and the door to them."""

import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.datasets
from numpy.typing import NDArray
from sklearn.utils import Bunch

from shiftfix._door import public
from shiftfix._setting_checks import check_option, import_optional
from shiftfix.datasets._cards import load_card
from shiftfix.datasets._clinic import FEATURE_NAMES, LABEL, NUMERIC_FEATURES
from shiftfix.datasets._files import read_role
from shiftfix.datasets._readers import read_columns, read_idx, read_numbers
from shiftfix.exceptions import ShiftDataError

FASHION_POOL = 20_000  # rows of the cut file; a whole file is cut to the same rows
AIRFOIL_NAMES = ["frequency", "angle", "chord", "velocity", "suction"]
CALIFORNIA_NUMERIC = [
    "longitude",
    "latitude",
    "housing_median_age",
    "total_rooms",
    "total_bedrooms",
    "population",
    "households",
    "median_income",
]
CALIFORNIA_LABEL = "median_house_value"
LALONDE_NAMES = ["age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75"]

Reader = Callable[[str], bytes]  # the verified bytes of the file that plays a role


def _digits(read: Reader) -> Bunch:
    data = sklearn.datasets.load_digits()
    return Bunch(data=data.data, target=data.target, feature_names=list(data.feature_names))


def _breast_cancer(read: Reader) -> Bunch:
    data = sklearn.datasets.load_breast_cancer()
    return Bunch(data=data.data, target=data.target, feature_names=data.feature_names.tolist())


def _airfoil(read: Reader, log_columns: bool = False) -> Bunch:
    check_option(log_columns, "log_columns", [True, False])
    table = read_numbers(read("table"))
    names = list(AIRFOIL_NAMES)
    if log_columns:
        for column in (0, 4):
            table[:, column] = np.log(table[:, column])
            names[column] = f"log_{names[column]}"
    return Bunch(data=table[:, :5], target=table[:, 5], feature_names=names)


def _california_housing(read: Reader) -> Bunch:
    columns = read_columns(read("table"), {*CALIFORNIA_NUMERIC, CALIFORNIA_LABEL})
    data = np.column_stack([columns[name] for name in CALIFORNIA_NUMERIC])
    price, proximity = columns[CALIFORNIA_LABEL], columns["ocean_proximity"]
    inland = proximity == "INLAND"
    return Bunch(
        data=data,
        target=price,
        ocean_proximity=proximity,
        X_source=data[inland],
        y_source=price[inland],
        X_target=data[~inland],
        y_target=price[~inland],
        feature_names=list(CALIFORNIA_NUMERIC),
    )


def _frame(columns: dict[str, NDArray[Any]]) -> Any:
    pandas = import_optional("pandas", extra="cli")
    return pandas.DataFrame(columns)


def _clinic(read: Reader, as_frame: bool = False) -> Bunch:
    check_option(as_frame, "as_frame", [True, False])
    source = read_columns(read("source"), NUMERIC_FEATURES)
    target = read_columns(read("target"), NUMERIC_FEATURES)
    y_source = source.pop(LABEL)
    return Bunch(
        X_source=_frame(source) if as_frame else source,
        y_source=y_source,
        X_target=_frame(target) if as_frame else target,
        y_target=None,
        feature_names=list(FEATURE_NAMES),
        numeric_features=list(NUMERIC_FEATURES),
        categorical_features=[name for name in FEATURE_NAMES if name not in NUMERIC_FEATURES],
    )


def _fashion_mnist(read: Reader) -> Bunch:
    parts = []
    for part in ("source", "held_out"):
        images = read_idx(read(f"{part}_images"), f"{part}_images")
        labels = read_idx(read(f"{part}_labels"), f"{part}_labels")
        if images.ndim != 3 or images.shape[1:] != (28, 28) or labels.ndim != 1:
            raise ShiftDataError(
                f"fashion_mnist: images have shape {images.shape} and labels {labels.shape}, and (n, 28, 28) "
                "and (n,) are needed: the two files are swapped or of another data set."
            )
        # Cut and whole files mix: both begin with the same rows.
        rows = min(len(images), len(labels), FASHION_POOL)
        pixels = images[:rows].reshape(rows, -1).astype(np.float32) / np.float32(255)
        parts += [pixels, labels[:rows].astype(np.int64)]
    names = [f"pixel_{row}_{column}" for row in range(28) for column in range(28)]
    return Bunch(
        data=parts[0],
        target=parts[1],
        data_held_out=parts[2],
        target_held_out=parts[3],
        feature_names=names,
    )


def _cifar10_scores(read: Reader) -> Bunch:
    labels = {part: read_numbers(read(f"{part}_labels"))[:, 0].astype(np.int64) for part in ("source", "target")}
    return Bunch(
        scores_source=read_numbers(read("source_scores")),
        y_source=labels["source"],
        scores_target=read_numbers(read("target_scores")),
        y_target=labels["target"],
        feature_names=[f"class_{k}" for k in range(10)],
    )


def _lalonde(read: Reader) -> Bunch:
    pandas = import_optional("pandas", extra="cli")
    survey, trial = (pandas.read_stata(io.BytesIO(read(role))) for role in ("survey", "trial"))

    def numbers(table: Any, names: str | list[str]) -> NDArray[np.float64]:
        # The survey stores age as int8, where 45**2 overflows.
        return table[names].to_numpy(dtype=np.float64)

    controls = trial[trial["treat"] == 0]
    treated = trial[trial["treat"] == 1]
    return Bunch(
        X_source=numbers(survey, LALONDE_NAMES),
        y_source=numbers(survey, "re78"),
        X_target=numbers(controls, LALONDE_NAMES),
        y_target=numbers(controls, "re78"),
        X_treated=numbers(treated, LALONDE_NAMES),
        y_treated=numbers(treated, "re78"),
        feature_names=list(LALONDE_NAMES),
    )


LOADERS: dict[str, Callable[..., Bunch]] = {
    "airfoil": _airfoil,
    "breast_cancer": _breast_cancer,
    "california_housing": _california_housing,
    "cifar10_label_shift_predictions": _cifar10_scores,
    "clinic": _clinic,
    "digits": _digits,
    "fashion_mnist": _fashion_mnist,
    "lalonde": _lalonde,
}


@public
def load(
    name: str, *, data_home: str | os.PathLike[str] | None = None, download: bool = False, **options: bool
) -> Bunch:
    """Read a data set that has a card, after checking its files.

    Files are looked for as ``<home>/<name>/<file>`` with home the argument ``data_home``, then
    ``$SHIFTFIX_DATA``, then ``$XDG_CACHE_HOME/shiftfix`` or ``~/.cache/shiftfix``. The sha256 of every file
    is checked on every read. Nothing is downloaded unless ``download=True``.

    Parameters
    ----------
    name : str
        One of ``list_datasets()``.
    data_home : path-like, default=None
        Folder to look in first, and to download into.
    download : bool, default=False
        Fetch a missing file from the address on the card; it is kept only when its sha256 is right.
    **options
        "airfoil": ``log_columns`` (bool, default False) takes the logarithm of frequency and suction,
        as the authors' code does before the tilt. "clinic": ``as_frame`` (bool, default False) returns
        pandas data frames instead of dicts of columns.

    Returns
    -------
    sklearn.utils.Bunch
        Always ``name``, ``feature_names``, ``DESCR``, ``card`` (dict) and ``recipe`` (dict or None).

        A pool with a recipe for ``shiftfix.simulate.from_recipe`` has ``data`` of shape
        (n_rows, n_features) and ``target`` of shape (n_rows,): here, as in scikit-learn, the labels.
        These are "digits", "breast_cancer", "airfoil" and "fashion_mnist" (which adds
        ``data_held_out`` and ``target_held_out``).

        A natural pair has ``X_source``, ``y_source``, ``X_target`` and ``y_target`` (None for "clinic"):
        "clinic", "california_housing" (inland, coast; also ``data``, ``target``, ``ocean_proximity``)
        and "lalonde" (survey, controls of the trial; also ``X_treated``, ``y_treated``).
        "cifar10_label_shift_predictions" has ``scores_source`` and ``scores_target`` in place of X.

    Raises
    ------
    ShiftDataError
        For an unknown name or option, or a file that is not what its card says.
    DatasetNotFoundError
        When a file is in none of the folders; the message lists them and every way out.
    ChecksumError
        When a file has another sha256 than the card's.
    MissingDependencyError
        For "lalonde" and ``as_frame=True`` without pandas.

    See Also
    --------
    load_card : Origin, licence, shift and files of one.
    shiftfix.simulate.from_recipe : Runs the recipe on a data set's card.

    Examples
    --------
    >>> load("digits").data.shape
    (1797, 64)
    """
    card = load_card(name)
    allowed = {"airfoil": {"log_columns"}, "clinic": {"as_frame"}}.get(name, set())
    if set(options) - allowed:
        raise ShiftDataError(
            f"{name} has no option {sorted(set(options) - allowed)}: it takes {sorted(allowed) or 'none'}."
        )
    check_option(download, "download", [True, False])

    def read(role: str) -> bytes:
        return read_role(card, role, data_home, download)[0]

    if name not in LOADERS:
        raise ShiftDataError(f"{name} has a card and no loader: read its files as the card says.")
    bunch = LOADERS[name](read, **options)
    bunch.name = name
    bunch.card = card
    bunch.recipe = card.get("recipe")
    bunch.DESCR = _description(card)
    return bunch


def _description(card: dict[str, Any]) -> str:
    lines = [card["title"], "=" * len(card["title"]), ""]
    lines += [f"{key}: {card[key]}" for key in ("rows", "features", "shift", "assumption", "licence", "source")]
    lines += ["", "Traps", "-----"] + [f"- {trap}" for trap in card["traps"]]
    return "\n".join(lines)
