"""What is known of a corrected model, as one record: a dict that JSON can hold.

====================  ==========================================================================
``diagnosis_record``  a diagnosis with all its tests
``fit_record``        what a fitted meta-estimator did and why: verdict, weights, priors
``run_record``        the same with where the data came from, the options and the versions
``source_weights``    shift weight of each source row, whatever the meta-estimator
``summary_rows``      what a person wants of a record first: labels and values
``summary_text``      a record for people, as text
====================  ==========================================================================
"""

from shiftfix.report._diagnosis import diagnosis_record
from shiftfix.report._record import fit_record, run_record, source_weights, summary_rows, summary_text
from shiftfix.report._record import versions as versions
from shiftfix.report._record import weight_record as weight_record

__all__ = ["diagnosis_record", "fit_record", "run_record", "source_weights", "summary_rows", "summary_text"]
