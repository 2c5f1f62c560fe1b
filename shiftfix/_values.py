"""Values that would be read as others in silence: masked, complex, dates, labels that a float cannot tell apart."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d

from shiftfix.exceptions import ShiftDataError

# From here on neighbouring whole numbers are one and the same float.
LARGEST_WHOLE = 2.0**53


def as_array(values: Any, name: str) -> NDArray[Any]:
    """The values as an array of whatever type; raise ShiftDataError for what is none, such as a ragged list.

    A tensor comes without its gradient.
    """
    refuse_masked(values, name)
    if not isinstance(values, type) and callable(getattr(values, "detach", None)):
        values = values.detach().cpu()
    if not isinstance(values, type) and callable(getattr(values, "toarray", None)):
        raise ShiftDataError(f"{name} is a sparse matrix, which cannot be used here: pass {name}.toarray().")
    try:
        array = np.asarray(values)
    except MemoryError:
        raise
    except Exception as error:  # what the entries raise is theirs: a tensor with a gradient, a RuntimeError
        raise ShiftDataError(
            f"{name} is a {type(values).__name__} that makes no array, such as a list of rows of different lengths or "
            "of tensors with a gradient: pass an array-like with as many values in each row."
        ) from error
    _refuse_things(array, type(values).__name__, name)
    return array


def one_per_row(values: Any, name: str, *, warn: bool = True) -> NDArray[Any]:
    """Labels or numbers as an array of shape (n_rows,); a single column is taken, if asked with a warning.

    Raises
    ------
    ShiftDataError
        For another shape.
    """
    array = as_array(values, name)
    if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
        raise ShiftDataError(f"{name} has shape {array.shape}: pass one label or value per row, of shape (n_rows,).")
    return np.asarray(column_or_1d(array, warn=warn))


def _refuse_things(array: NDArray[Any], kind: str, name: str) -> None:
    """Raise for one text or object, of which numpy makes an array without dimensions, and for named fields."""
    if (array.ndim == 0 and array.dtype.kind in "OSU") or array.dtype.kind == "V":
        what = "array with named fields" if array.dtype.kind == "V" else kind
        raise ShiftDataError(f"{name} is a{'n' * (what[0] in 'aeiou')} {what}: pass an array-like of values.")


def refuse_masked(values: Any, name: str) -> None:
    """Raise for a masked array in which anything is masked: what lies under the mask is no value."""
    if np.ma.isMaskedArray(values) and np.ma.getmaskarray(values).any():
        n_masked = int(np.ma.getmaskarray(values).sum())
        raise ShiftDataError(
            f"{name} is a masked array with {n_masked} masked entries, which are missing: impute them, drop their "
            f"rows, or pass {name}.filled(np.nan) to a learner that takes NaN."
        )


def refuse_no_numbers(dtype: Any, name: str, advice: str) -> None:
    """Raise for complex numbers, dates and durations, which would be read as other numbers in silence.

    Parameters
    ----------
    dtype : dtype of numpy, pandas or polars, or None
    name : str
        What messages call the values.
    advice : str
        What to do.
    """
    kinds = {"c": "complex numbers", "M": "dates", "m": "durations"}
    kind = _kind_of(dtype)
    if kind in kinds:
        # scikit-learn's checks of estimators look for its own words.
        begin = "Complex data not supported: " * (kind == "c")
        raise ShiftDataError(f"{begin}{name} holds {kinds[kind]}: {advice}.")


def _kind_of(dtype: Any) -> str:
    """Letter that numpy has for a type; those of polars have none."""
    if callable(getattr(dtype, "is_temporal", None)) and dtype.is_temporal():
        return "m" if str(dtype).startswith(("Duration", "Time")) else "M"
    return getattr(dtype, "kind", "")


def refuse_no_numbers_among(array: NDArray[Any], name: str, advice: str) -> None:
    """The same for numpy's own scalars in an array of objects, which become floats without a word."""
    if array.dtype.kind == "O":
        for dtype in {entry.dtype for entry in array.flat if isinstance(entry, np.generic)}:
            refuse_no_numbers(dtype, name, advice)


def is_missing(label: Any) -> bool:
    """Whether a label is None, NaN, NaT or pandas.NA, without loading pandas."""
    try:
        return label is None or bool(label != label)
    except TypeError:  # pandas.NA: neither equal to itself nor not
        return True


def refuse_unusable_labels(array: NDArray[Any], name: str, *, whole: bool) -> None:
    """Raise for missing, mixed or merged labels; with ``whole`` also for dates, complex numbers and fractions."""
    refuse_missing_labels(array, name)
    _refuse_infinity(array, name)
    _refuse_mixed_labels(array, name)
    _refuse_unordered(array, name)
    _refuse_merged(array, name)
    if whole:
        advice = "class labels are text or whole numbers; turn them into text, if meant so"
        refuse_no_numbers(array.dtype, name, advice)
        refuse_no_numbers_among(array, name, advice)
        _refuse_fractions(_floats_among(array), name)


def _floats_among(array: NDArray[Any]) -> NDArray[Any]:
    """The floats in an array of objects; any other array as it is."""
    if array.dtype.kind != "O":
        return array
    return np.array([label for label in array if isinstance(label, float | np.floating)], dtype=np.float64)


def _refuse_merged(array: NDArray[Any], name: str) -> None:
    """Raise for floats so large that different whole numbers are the same float."""
    floats = _floats_among(array)
    if floats.dtype.kind != "f":
        return
    large = np.isfinite(floats) & (np.abs(floats.astype(np.float64)) >= LARGEST_WHOLE)
    if large.any():
        raise ShiftDataError(
            f"{name} holds the label {floats[large][0]:g} as a float, and floats from {LARGEST_WHOLE:.0f} on do not "
            "tell neighbouring whole numbers apart: pass int64, or text."
        )


def refuse_missing_labels(array: NDArray[Any], name: str) -> None:
    """Raise for None, NaN and their like among labels or values."""
    missing = array != array if array.dtype.kind in "fcmM" else np.zeros(array.shape, bool)
    if array.dtype.kind == "O":
        missing = np.array([is_missing(label) for label in array.ravel()], bool).reshape(array.shape)
    if missing.any():
        row = int(np.nonzero(missing)[0][0])
        raise ShiftDataError(
            f"{name} contains NaN or None ({missing.sum()} missing labels, the first at position {row}): "
            "drop those rows; they belong to no class."
        )


def _refuse_infinity(array: NDArray[Any], name: str) -> None:
    if np.isinf(_floats_among(array).astype(np.float64) if array.dtype.kind in "fO" else 0.0).any():
        raise ShiftDataError(f"{name} contains infinity: pass one class label per row.")


def _refuse_unordered(array: NDArray[Any], name: str) -> None:
    """Raise for complex numbers, and for objects that neither compare nor sort as labels do."""
    refuse_no_numbers(array.dtype if array.dtype.kind == "c" else None, name, "labels are text or whole numbers")
    if array.dtype.kind == "O":
        try:
            np.unique(array)
        except TypeError as error:
            kinds = ", ".join(sorted({type(label).__name__ for label in array}))
            raise ShiftDataError(
                f"{name} holds labels of type {kinds}, which have no order: pass text or whole numbers."
            ) from error


def _refuse_mixed_labels(array: NDArray[Any], name: str) -> None:
    if array.dtype.kind == "O" and len({isinstance(label, str) for label in array}) > 1:
        raise ShiftDataError(f"{name} mixes text and other labels: turn all of them into text or all into numbers.")


def _refuse_fractions(array: NDArray[Any], name: str) -> None:
    if array.dtype.kind == "f" and (array != np.floor(array)).any():
        raise ShiftDataError(
            f"Unknown label type: {name} holds continuous numbers, and class labels are needed; label shift is about "
            "classes."
        )
