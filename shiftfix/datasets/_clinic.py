"""A made-up clinic: covariate shift with mixed columns, missing values and a known truth.

The source is last year's patients, the target this year's older and sicker ones. Every column is drawn from a
table of probabilities, so the ratio of the two populations is exact:

    p(x) = p(age) p(sex) p(ward) p(smoker) p(blood_pressure given age) p(cholesterol given age, ward)

Age, ward and blood pressure given age move; the rest, and P(readmitted given x), are shared.
"""

import csv
import io
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.utils import Bunch

from shiftfix._door import public
from shiftfix._setting_checks import check_count, check_generator, check_number, check_option
from shiftfix.exceptions import ShiftDataError

NUMERIC_FEATURES = ("age", "blood_pressure", "cholesterol")
FEATURE_NAMES = ("age", "sex", "blood_pressure", "cholesterol", "ward", "smoker")
LABEL = "readmitted"

ClinicColumns = dict[str, NDArray[Any]]
Population = Literal["source", "target"]

AGES = np.arange(20, 96)
PRESSURES = np.arange(80, 221)
CHOLESTEROLS = np.arange(100, 381)
SEXES = np.array(["female", "male"])
WARDS = np.array(["medicine", "surgery", "emergency"])
SMOKERS = np.array(["never", "former", "current"])

SEX_SHARES = np.array([0.52, 0.48])
SMOKER_SHARES = np.array([0.5, 0.3, 0.2])
WARD_SHARES = {"source": np.array([0.45, 0.35, 0.20]), "target": np.array([0.42, 0.23, 0.35])}
AGE_LAW = {"source": (50.0, 15.0), "target": (65.0, 12.0)}  # mean and standard deviation, years
PRESSURE_RISE = {"source": 0.0, "target": 4.0}  # mmHg
MISSING_SHARES = np.array([0.05, 0.08, 0.25])  # of cholesterol, by ward: no time to measure in an emergency


def _bell(grid: NDArray[Any], mean: ArrayLike, deviation: float) -> NDArray[np.float64]:
    """Probabilities on a grid, proportional to a normal density; one row per mean."""
    mean = np.atleast_1d(mean)[:, np.newaxis]
    density = np.exp(-((grid - mean) ** 2) / (2 * deviation**2))
    return density / density.sum(axis=1, keepdims=True)


def _draw(uniforms: NDArray[np.float64], probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions drawn by inverting the distribution function, one per row."""
    cumulative = np.cumsum(probabilities, axis=1)
    # The last sum is 1 up to rounding: a uniform beyond it must not fall off the end.
    cumulative[:, -1] = 1.0
    return (uniforms[:, np.newaxis] >= cumulative).sum(axis=1)


def _pressure_law(age: NDArray[Any], population: Population) -> NDArray[np.float64]:
    return _bell(PRESSURES, 102 + 0.5 * age + PRESSURE_RISE[population], 15.0)


def readmission_probability(columns: ClinicColumns) -> NDArray[np.float64]:
    """P(readmitted given x), the same in both populations.

    Risk falls with age up to 50 and rises after it, so no straight line in age fits both populations.
    A missing cholesterol counts as 200: the probability depends on what the files show and on nothing else.

    Parameters
    ----------
    columns : dict of str to ndarray of shape (n_rows,)
        The features; see ``FEATURE_NAMES``. Cholesterol in mg/dl, NaN where missing; blood pressure in
        mmHg; age in years.

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    age = columns["age"]
    cholesterol = np.where(np.isnan(columns["cholesterol"]), 200.0, columns["cholesterol"])
    log_odds = (
        -2.3
        + 1.6 * np.abs(age - 50) / 10
        + 0.02 * (columns["blood_pressure"] - 130)
        + 0.4 * (cholesterol - 200) / 40
        + 0.6 * (columns["ward"] == "emergency")
        - 0.4 * (columns["ward"] == "surgery")
        + 0.5 * (columns["smoker"] == "current")
        + 0.1 * (columns["sex"] == "male")
    )
    return expit(log_odds)


def clinic_ratio(columns: ClinicColumns) -> NDArray[np.float64]:
    """The true ratio of the target to the source population at the rows, no unit.

    Parameters
    ----------
    columns : dict of str to ndarray of shape (n_rows,)
        As for ``readmission_probability``.

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    age = columns["age"].astype(np.int64)
    pressure = columns["blood_pressure"].astype(np.int64)
    rows = np.arange(len(age))
    ratio = np.ones(len(age))
    signs: dict[Population, int] = {"target": 1, "source": -1}
    for population, sign in signs.items():
        density = _bell(AGES, *AGE_LAW[population])[0, age - AGES[0]]
        density = density * _pressure_law(age, population)[rows, pressure - PRESSURES[0]]
        density = density * ((columns["ward"][:, np.newaxis] == WARDS) @ WARD_SHARES[population])
        ratio = ratio * density**sign
    return ratio


def _draw_population(
    n_rows: int, population: Population, state: np.random.RandomState
) -> tuple[ClinicColumns, NDArray[np.str_]]:
    uniforms = state.random_sample((8, n_rows))
    one = np.ones((n_rows, 1))
    age = AGES[_draw(uniforms[0], one * _bell(AGES, *AGE_LAW[population]))]
    ward = _draw(uniforms[1], one * WARD_SHARES[population])
    cholesterol = CHOLESTEROLS[_draw(uniforms[2], _bell(CHOLESTEROLS, 165 + 0.7 * age, 35.0))].astype(float)
    cholesterol[uniforms[3] < MISSING_SHARES[ward]] = np.nan
    columns = {
        "age": age.astype(float),
        "sex": SEXES[_draw(uniforms[4], one * SEX_SHARES)],
        "blood_pressure": PRESSURES[_draw(uniforms[5], _pressure_law(age, population))].astype(float),
        "cholesterol": cholesterol,
        "ward": WARDS[ward],
        "smoker": SMOKERS[_draw(uniforms[6], one * SMOKER_SHARES)],
    }
    label = np.where(uniforms[7] < readmission_probability(columns), "yes", "no")
    return columns, label


@public
def make_clinic(
    n_source: int = 600,
    n_target: int = 400,
    random_state: int | np.random.Generator | np.random.RandomState | None = 0,
) -> Bunch:
    """Draw the clinic data, with the labels of both populations and the true weights.

    The defaults give exactly the rows of ``clinic_source.csv`` and ``clinic_target.csv``.

    Parameters
    ----------
    n_source, n_target : int, default=600 and 400
        Rows, at least 1 each.
    random_state : int, RandomState, Generator or None, default=0

    Returns
    -------
    sklearn.utils.Bunch
        ``X_source``, ``X_target``: dicts of columns, each an ndarray of shape (n_rows,), floats (age in
        years, blood_pressure in mmHg, cholesterol in mg/dl with NaN) or strings. ``y_source``,
        ``y_target``: "yes" or "no". ``p_source``, ``p_target``: P(readmitted given x).
        ``source_weights``, ``target_weights``: the true ratio. ``feature_names``.

    Raises
    ------
    ShiftDataError
        For sizes below 1 or an unknown kind of random state.

    See Also
    --------
    write_clinic : Writes its two files.
    load : The data, after checking the files.

    Examples
    --------
    >>> clinic = make_clinic()
    >>> bool(clinic.X_target["age"].mean() > clinic.X_source["age"].mean())
    True
    """
    check_count(n_source, "n_source")
    check_count(n_target, "n_target")
    # RandomState's streams are frozen by numpy's policy: the files come out the same with every release.
    if isinstance(random_state, np.random.RandomState):
        state = random_state
    elif isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        state = np.random.RandomState(check_number(random_state, "random_state", least=0, most=2**32 - 1))
    else:
        state = np.random.RandomState(check_generator(random_state).integers(2**32))
    X_source, y_source = _draw_population(n_source, "source", state)
    X_target, y_target = _draw_population(n_target, "target", state)
    return Bunch(
        X_source=X_source,
        y_source=y_source,
        X_target=X_target,
        y_target=y_target,
        p_source=readmission_probability(X_source),
        p_target=readmission_probability(X_target),
        source_weights=clinic_ratio(X_source),
        target_weights=clinic_ratio(X_target),
        feature_names=list(FEATURE_NAMES),
    )


def _csv_text(columns: ClinicColumns, label: NDArray[np.str_] | None = None) -> str:
    names = list(FEATURE_NAMES) + ([] if label is None else [LABEL])
    values = [
        ["" if np.isnan(v) else f"{v:.0f}" for v in columns[name]] if name in NUMERIC_FEATURES else columns[name]
        for name in FEATURE_NAMES
    ]
    if label is not None:
        values.append(label)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*values, strict=True))
    return text.getvalue()


@public
def write_clinic(
    folder: str | os.PathLike[str],
    n_source: int = 600,
    n_target: int = 400,
    random_state: int | np.random.Generator | np.random.RandomState | None = 0,
    overwrite: bool = False,
) -> list[Path]:
    """Write ``clinic_source.csv`` (with ``readmitted``) and ``clinic_target.csv`` (without).

    Parameters
    ----------
    folder : path-like
        An existing folder.
    n_source, n_target, random_state
        As for ``make_clinic``; the defaults give the committed files byte for byte.
    overwrite : bool, default=False
        Replace files of these names that hold something else.

    Returns
    -------
    list of pathlib.Path

    Raises
    ------
    ShiftDataError
        When the folder does not exist, or one of the files would replace another.

    See Also
    --------
    make_clinic : Generates the made-up clinic data.
    """
    check_option(overwrite, "overwrite", [True, False])
    clinic, home = make_clinic(n_source, n_target, random_state), Path(os.fsdecode(folder))
    if not home.is_dir():
        raise ShiftDataError(f"folder={str(home)!r} is no folder: make it first.")
    contents = {
        home / "clinic_source.csv": _csv_text(clinic.X_source, clinic.y_source).encode(),
        home / "clinic_target.csv": _csv_text(clinic.X_target).encode(),
    }
    for path, content in contents.items():
        if os.path.lexists(path) and not overwrite and not (path.is_file() and path.read_bytes() == content):
            raise ShiftDataError(f"{path} holds something else: name another folder, or pass overwrite=True.")
    for path, content in contents.items():
        path.write_bytes(content)
    return list(contents)
