"""One self-contained page of everything known of a shift: what to do first, how it was found last."""

import copy
import html
import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from shiftfix._atomic import replace_file
from shiftfix._door import PublicCalls, public
from shiftfix.detect import ShiftDiagnosis
from shiftfix.exceptions import ShiftDataError
from shiftfix.report._gather import gather
from shiftfix.report._record import Corrected, Record
from shiftfix.report._render import render_page

FRAME_STYLE = "width:100%;height:46rem;border:1px solid #8884;border-radius:6px;background:transparent"


class ShiftReport(PublicCalls):
    """A page that says what moved, whether it can be repaired, and what to do; made by :func:`shift_report`.

    The page is one file without scripts that asks no other for anything, for screens of any width, light or dark, and
    for paper. A notebook shows it in a frame of its own.

    Parameters
    ----------
    record : dict
        What is known, as :func:`report_record` and the ``summary.json`` of the command line hold it.

    Raises
    ------
    MissingDependencyError
        By ``to_html`` and ``save``, when jinja2 is not installed (extra ``report``).

    See Also
    --------
    shift_report : The page of a diagnosis or a corrected model.
    report_from_record : The page of a record that is there.
    """

    def __init__(self, record: Record) -> None:
        self.record = record

    def to_dict(self) -> Record:
        """The record that the page shows: numbers, text, lists and dicts, as JSON has them."""
        return copy.deepcopy(self.record)

    def to_html(self) -> str:
        """The page, a whole HTML document."""
        return render_page(self.record)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write the page to a file, whole or not at all.

        Parameters
        ----------
        path : str or path-like
            In an existing directory.
        overwrite : bool, default=True
            Replace a file that stands there.

        Raises
        ------
        ShiftDataError
            For a missing directory, or a path that is no file.
        FileExistsError
            Without ``overwrite``, when a file stands there.
        """
        page = self.to_html().encode("utf-8", errors="backslashreplace")

        def write(file: Any) -> None:
            file.write(page)

        replace_file(path, write, overwrite=overwrite)

    def _repr_html_(self) -> str:
        """The page in a frame: neither its style nor anything else of it reaches the notebook around it."""
        return (
            f'<iframe sandbox title="shiftfix report" style="{FRAME_STYLE}" '
            f'srcdoc="{html.escape(self.to_html(), quote=True)}"></iframe>'
        )

    def __repr__(self) -> str:
        return f"ShiftReport(verdict={verdict_of_record(self.record)!r}); .save(path) writes the page"


def verdict_of_record(record: Record) -> str:
    """Its level."""
    return str(record["verdict"] if "verdict" in record else record["diagnosis"]["verdict"])


@public
def report_record(
    found: ShiftDiagnosis | Corrected,
    *,
    X_source: Any = None,
    y_source: ArrayLike | None = None,
    X_target: Any = None,
    y_target: ArrayLike | None = None,
) -> Record:
    """Everything known of a diagnosis or of a corrected model, as one dict that JSON can hold.

    Parameters
    ----------
    found : ShiftDiagnosis or fitted meta-estimator
        From ``shiftfix.corrected``.
    X_source : array-like or data frame of shape (n_source, n_features), default=None
        The rows it was made with: pictures of columns and weights need them, and neither object holds them.
    y_source : array-like of shape (n_source,), default=None
    X_target : array-like, data frame or TargetSample of shape (n_target, n_features), default=None
        Labels that a TargetSample carries are taken as those that were learned from, and are not scored.
    y_target : array-like of shape (n_target,), default=None
        Labels to score the model by, before and after; None or NaN where unknown.

    Returns
    -------
    dict
        What :func:`fit_record` or :func:`diagnosis_record` holds, with "model", "settings", "source", "target",
        "versions", and, as far as the data allow, "pictures", "before_after" (by labels) and "expected" (without).

    Raises
    ------
    ShiftDataError
        For anything else than a diagnosis or a fitted meta-estimator, and for samples that do not fit each other.

    See Also
    --------
    shift_report : The same as a page.
    report_from_record : The page of such a record.
    """
    return gather(found, X_source, y_source, X_target, y_target)


@public
def report_from_record(record: Mapping[str, Any]) -> ShiftReport:
    """The page of a record that is there, such as a ``summary.json`` that was read.

    Parameters
    ----------
    record : mapping
        Of :func:`report_record`, :func:`run_record`, :func:`fit_record`, or one with a "diagnosis" alone.

    Returns
    -------
    ShiftReport

    Raises
    ------
    ShiftDataError
        For a record without a verdict.

    See Also
    --------
    report_record : Everything known of a diagnosis or a model.
    run_record : What a run on files read, did and found.
    """
    if not isinstance(record, Mapping) or not ({"verdict", "diagnosis"} & set(record)):
        raise ShiftDataError(
            f"A record with a verdict is needed, and a {type(record).__name__} without one was given: pass what "
            "report_record returns, or the content of a summary.json."
        )
    return ShiftReport(copy.deepcopy(dict(record)))


@public
def shift_report(
    found: ShiftDiagnosis | Corrected,
    *,
    X_source: Any = None,
    y_source: ArrayLike | None = None,
    X_target: Any = None,
    y_target: ArrayLike | None = None,
) -> ShiftReport:
    """A page that a stakeholder can read: verdict and action first, how to reproduce it last.

    Parameters
    ----------
    found : ShiftDiagnosis or fitted meta-estimator
        From ``shiftfix.corrected``.
    X_source, y_source, X_target, y_target : default=None
        As for :func:`report_record`. What needs them and lacks them is said on the page.

    Returns
    -------
    ShiftReport
        ``save(path)`` writes it, a notebook shows it, ``to_dict()`` is its record.

    Raises
    ------
    ShiftDataError
        As :func:`report_record`.

    See Also
    --------
    shiftfix.detect.diagnose_shift : Makes the diagnosis.
    shiftfix.corrected.ShiftCorrectedClassifier : Diagnoses, and corrects what the evidence supports.
    shiftfix.display.DiagnosisDisplay : The evidence in one picture.

    Examples
    --------
    >>> import numpy as np
    >>> from shiftfix.detect import diagnose_shift
    >>> rng = np.random.default_rng(0)
    >>> X, X_target = rng.normal(size=(200, 2)), rng.normal(1, 1, (200, 2))
    >>> diagnosis = diagnose_shift(X, (X[:, 0] > 0).astype(int), X_target)
    >>> shift_report(diagnosis, X_source=X, X_target=X_target)
    ShiftReport(verdict='caution'); .save(path) writes the page
    """
    return ShiftReport(gather(found, X_source, y_source, X_target, y_target))
