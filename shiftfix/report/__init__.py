"""What is known of a corrected model, as one record (a dict that JSON can hold) and as a page that people read.

======================  ========================================================================
``shift_report``        a diagnosis or a corrected model as one HTML page: a ``ShiftReport``
``report_from_record``  the same of a record that is there, such as a ``summary.json``
``ShiftReport``         the page: ``save``, ``to_html``, ``to_dict``
``report_record``       everything known of a diagnosis or a model: what the page shows
``diagnosis_record``    a diagnosis with all its tests
``fit_record``          what a fitted meta-estimator did and why: verdict, weights, priors
``run_record``          the same with where the data came from, the options and the versions
``source_weights``      shift weight of each source row, whatever the meta-estimator
``summary_rows``        what a person wants of a record first: labels and values
``summary_text``        a record for people, as text
======================  ========================================================================

jinja2 (extra ``report``) is loaded by the first page, not by importing this folder.
"""

from shiftfix.report._diagnosis import diagnosis_record
from shiftfix.report._page import ShiftReport, report_from_record, report_record, shift_report
from shiftfix.report._record import fit_record, run_record, source_weights
from shiftfix.report._record import versions as versions
from shiftfix.report._record import weight_record as weight_record
from shiftfix.report._run_pictures import compare_models as compare_models
from shiftfix.report._run_pictures import run_pictures as run_pictures
from shiftfix.report._summary import summary_rows, summary_text

__all__ = [
    "ShiftReport",
    "diagnosis_record",
    "fit_record",
    "report_from_record",
    "report_record",
    "run_record",
    "shift_report",
    "source_weights",
    "summary_rows",
    "summary_text",
]
