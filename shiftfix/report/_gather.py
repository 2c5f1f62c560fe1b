"""A diagnosis or a fitted model, and the data it was made with, as one record."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.utils.validation import _num_samples, check_is_fitted

from shiftfix._learner import learner_of
from shiftfix._naming import one_line
from shiftfix._target_sample import TargetSample
from shiftfix.detect import ShiftDiagnosis, feature_tests, known_labels
from shiftfix.exceptions import ShiftDataError
from shiftfix.report._before_after import before_and_after, rows_at
from shiftfix.report._diagnosis import as_plain, diagnosis_record
from shiftfix.report._expected import expected_accuracy
from shiftfix.report._fingerprint import fingerprint_of
from shiftfix.report._pictures import MOST_DRAWN, names_of, picture_of_ratio, pictures_of_columns
from shiftfix.report._record import Automatic, Corrected, Record, fit_record, versions

LONGEST_SETTING = 300
# Rows that pictures are drawn from; more look the same.
MOST_ROWS = 20_000
# Probabilities that an accuracy is expected by: hundreds of draws go over all of them.


class Given(NamedTuple):
    """What was given beside the model.

    Attributes
    ----------
    X_source, y_source, X_target : as given, or None
    learned : ndarray of int
        Target rows whose labels were learned from.
    rows : ndarray of int
        Target rows to score.
    y : ndarray
        Their labels.
    """

    X_source: Any
    y_source: Any
    X_target: Any
    learned: NDArray[np.intp]
    rows: NDArray[np.intp]
    y: NDArray[Any]

    @property
    def has_both(self) -> bool:
        """Whether both samples are there."""
        return self.X_source is not None and self.X_target is not None

    @property
    def has_columns(self) -> bool:
        """Whether both are tables of columns."""
        return self.has_both and all(is_drawable(X) for X in (self.X_source, self.X_target))


def is_drawable(X: Any) -> bool:
    """Whether rows have columns that can be looked at one by one."""
    return not sparse.issparse(X) and (hasattr(X, "columns") or np.ndim(X) == 2)


def read_given(X_source: Any, y_source: Any, X_target: Any, y_target: Any) -> Given:
    """The data, those target rows told apart that were learned from and that can be scored."""
    none = np.zeros(0, dtype=np.intp)
    if X_source is not None and y_source is not None and _num_samples(X_source) != _num_samples(y_source):
        raise ShiftDataError(
            f"X_source has {_num_samples(X_source)} rows and y_source {_num_samples(y_source)}: pass one label per row."
        )
    if X_target is None:
        if y_target is not None:
            raise ShiftDataError("y_target needs the rows it belongs to: pass X_target too.")
        return Given(X_source, y_source, None, none, none, none)
    rows = X_target.X if isinstance(X_target, TargetSample) else X_target
    few = known_labels(X_target, None, None)
    learned = none if few is None else few.rows
    known = None if y_target is None else known_labels(rows, y_target, None)
    if known is None:
        return Given(X_source, y_source, rows, learned, none, none)
    fresh = ~np.isin(known.rows, learned)
    return Given(X_source, y_source, rows, learned, known.rows[fresh], known.y[fresh])


def gather(found: Any, X_source: Any, y_source: Any, X_target: Any, y_target: Any) -> Record:
    """Everything known; arguments as those of ``report_record``."""
    is_diagnosis = isinstance(found, ShiftDiagnosis)
    if not is_diagnosis and not isinstance(found, Corrected):
        raise ShiftDataError(
            f"found is a {type(found).__name__}: a ShiftDiagnosis or a fitted meta-estimator of shiftfix.corrected is "
            "needed. diagnose_shift makes the one, ShiftCorrectedClassifier(model).fit(...) the other."
        )
    given = read_given(X_source, y_source, X_target, y_target)
    if not is_diagnosis:
        check_is_fitted(found)
    part = of_diagnosis(found) if is_diagnosis else fit_record(found, y_source)
    refuse_other_samples(part.get("diagnosis"), given)
    tested = columns_tested(part.get("diagnosis"), given)
    return {
        "task": task_of(found),
        **part,
        "model": name_of_model(found),
        "settings": {} if is_diagnosis else settings_of(found),
        "source": sample_record(given.X_source, given.y_source, inside_count(part, "n_source")),
        "target": sample_record(given.X_target, None, inside_count(part, "n_target")),
        "columns_tested": tested,
        "pictures": pictures_of(found, tests_of_columns_in(part) or tested, given),
        "before_after": [] if is_diagnosis or not len(given.y) else scored(found, given),
        "expected": [] if isinstance(found, ShiftDiagnosis) else expected_accuracy(found),
        "notices": notices_of(found, given),
        "versions": versions(),
    }


def of_diagnosis(diagnosis: ShiftDiagnosis) -> Record:
    """The record of a diagnosis without a model that was fitted for it."""
    verdict = diagnosis.verdict
    said = {"verdict": verdict.level, "reasons": list(verdict.reasons), "action": verdict.action}
    return said | {"correction": diagnosis.correction, "diagnosis": diagnosis_record(diagnosis)}


def inside_count(part: Record, name: str) -> int | None:
    """Rows of a sample by the diagnosis."""
    return None if part.get("diagnosis") is None else part["diagnosis"][name]


def refuse_other_samples(diagnosis: Record | None, given: Given) -> None:
    """Raise for target rows that are not those of the diagnosis: their picture would be of something else."""
    if diagnosis is None or given.X_target is None or _num_samples(given.X_target) == diagnosis["n_target"]:
        return
    raise ShiftDataError(
        f"X_target has {_num_samples(given.X_target)} rows, and the diagnosis was made with {diagnosis['n_target']}: "
        "pass the rows it was made with."
    )


def task_of(found: Any) -> str:
    """Whether classes or values are predicted."""
    is_class = found.is_class if isinstance(found, ShiftDiagnosis) else is_classifier(found)
    return "classification" if is_class else "regression"


def name_of_model(found: Any) -> str:
    """The learner, and what corrects it."""
    if isinstance(found, ShiftDiagnosis):
        return found.model
    return f"{type(learner_of(found.estimator)).__name__} in {type(found).__name__}"


def settings_of(model: Any) -> dict[str, str]:
    """Every setting as Python writes it."""
    return {name: one_line(repr(value))[:LONGEST_SETTING] for name, value in model.get_params(deep=False).items()}


def sample_record(X: Any, y: Any, n_rows: int | None) -> Record:
    """Rows of a sample, and its fingerprint where it is there."""
    if X is None:
        return {"rows": n_rows}
    found = {"rows": int(_num_samples(X)), "columns": int(np.shape(X)[1]) if np.ndim(X) == 2 else None}
    return found | {"sha256": fingerprint_of(X), "sha256_labels": None if y is None else fingerprint_of(y)}


def columns_tested(diagnosis: Record | None, given: Given) -> Record | None:
    """Every column by itself, where no diagnosis has asked: None then, and where there is nothing to ask."""
    if diagnosis is not None or not given.has_columns:
        return None
    return as_plain(feature_tests(given.X_source, given.X_target))


def wanted_columns(tests: Record | None) -> list[str]:
    """Names of the columns that moved most."""
    columns = [] if tests is None else tests["columns"]
    return [column["name"] for column in columns if column["kind"] in ("number", "category")][:MOST_DRAWN]


def some_rows(X: Any, most: int = MOST_ROWS) -> Any:
    """At most so many rows, evenly picked."""
    n_rows = _num_samples(X)
    if n_rows <= most:
        return X
    return rows_at(X, np.unique(np.linspace(0, n_rows - 1, most).astype(np.intp)))


def weighter_of(found: Any) -> Any:
    """The fitted weighter inside; None where there is none."""
    inner = found.corrector_ if isinstance(found, Automatic) else found
    return getattr(inner, "weighter_", None)


def tests_of_columns_in(part: Record) -> Record | None:
    """What a diagnosis says of the columns."""
    return None if part.get("diagnosis") is None else part["diagnosis"]["columns"]


def pictures_of(found: Any, tests: Record | None, given: Given) -> Record:
    """Columns that moved most, and how the samples lie along their ratio."""
    if not given.has_columns:
        return {"columns": [], "ratio": None}
    X_source, X_target = some_rows(given.X_source), some_rows(given.X_target)
    if names_of(X_source) != names_of(X_target):
        X_target = X_target[list(X_source.columns)] if hasattr(X_target, "columns") else X_target
    weighter = weighter_of(found)
    return {
        "columns": pictures_of_columns(X_source, X_target, wanted_columns(tests)),
        "ratio": None if weighter is None else picture_of_ratio(weighter, X_source, X_target),
    }


def scored(model: Any, given: Given) -> list[Record]:
    """Before and after, on target rows that nothing was learned from."""
    return before_and_after(model, given.X_source, given.y_source, rows_at(given.X_target, given.rows), given.y)


def notices_of(found: Any, given: Given) -> list[str]:
    """What is not on the page, and what would bring it."""
    notices = []
    if not given.has_both:
        notices.append("Columns are not drawn: pass X_source and X_target for that.")
    if not len(given.y) and not isinstance(found, ShiftDiagnosis):
        notices.append("Nothing is scored: pass y_target, labels of target rows that were not learned from.")
    if len(given.y) and len(given.learned):
        notices.append(f"{len(given.learned)} target labels were learned from; the score is that of the others.")
    return notices
