"""What the page draws and compares of a run on files."""

from typing import Any

from numpy.typing import NDArray

from shiftfix.detect import feature_tests
from shiftfix.report._before_after import compare_on, metrics_of
from shiftfix.report._diagnosis import as_plain
from shiftfix.report._expected import expected_accuracy
from shiftfix.report._gather import some_rows, wanted_columns, weighter_of
from shiftfix.report._pictures import picture_of_ratio, pictures_of_columns
from shiftfix.report._record import Record


def run_pictures(found: Any, diagnosis: Record | None, columns: tuple[Any, Any], rows: tuple[Any, Any]) -> Record:
    """Every column by itself where no diagnosis has asked, and the pictures of those that moved most.

    Parameters
    ----------
    found : ShiftDiagnosis or fitted meta-estimator
    diagnosis : dict or None
        Of :func:`diagnosis_record`.
    columns : pair of data frames
        Source and target as the files have them.
    rows : pair of data frames
        The same as the weighter reads them.

    Returns
    -------
    dict
        "columns_tested", "pictures" and "expected", as of :func:`report_record`.
    """
    tested = as_plain(feature_tests(*columns)) if diagnosis is None else None
    weighter = weighter_of(found)
    wanted = wanted_columns(tested if diagnosis is None else diagnosis["columns"])
    source, target = map(some_rows, columns)
    ours, theirs = map(some_rows, rows)
    return {
        "columns_tested": tested,
        "pictures": {
            "columns": pictures_of_columns(source, target, wanted),
            "ratio": None if weighter is None else picture_of_ratio(weighter, ours, theirs),
        },
        "expected": expected_accuracy(found),
    }


def compare_models(before: Any, after: Any, X: Any, y: NDArray[Any]) -> list[Record]:
    """Two models by every metric on the same labelled target rows; empty below two of them."""
    return [compare_on(metric, before, after, X, y) for metric in metrics_of(before, after)] if len(y) > 1 else []
