"""Is there a shift, and of which kind? Every test returns a ``ShiftTest``.

======================  =========================================================================
``diagnose_shift``      all of it: evidence for each kind, verdict, next action; a ``ShiftDiagnosis``
``ClassShare``          in it, the share of one class in both samples
``classifier_test``     can a model tell source from target rows: moved means, spreads, correlations
``mmd_test``            kernel means: any difference
``feature_tests``       every column by itself; which differ most, which only name rows
``score_test``          did the scores of a model move
``covariate_or_label``  by target labels: did p(y given x) stay, or p(x given y)? And how many labels decide
``MechanismTest``       what it returns
``concept_test``        by 100 target labels or more: did p(y given x) move
``performance_drop``    by target labels: where a change of the loss comes from (``PerformanceDrop``, of ``Part``)
``novel_class_test``    are there rows of a class that the source never had
``FeatureTests``        what it returns, a ``ColumnShift`` for each column
``ShiftTest``           statistic, p-value, effect size, and what was done
======================  =========================================================================
"""

from shiftfix.detect._classifier import classifier_test
from shiftfix.detect._columns import pair_columns as pair_columns
from shiftfix.detect._columns import recognize_column as recognize_column
from shiftfix.detect._concept import concept_test
from shiftfix.detect._decision import NO_PROBABILITIES as NO_PROBABILITIES  # for ``corrected``
from shiftfix.detect._decision import corrections_for as corrections_for
from shiftfix.detect._diagnose import diagnose_shift
from shiftfix.detect._diagnose import diagnosis_of as diagnosis_of  # for ``corrected``
from shiftfix.detect._diagnose import shares_by_labels as shares_by_labels
from shiftfix.detect._diagnosis import Causes as Causes
from shiftfix.detect._diagnosis import ClassShare, ShiftDiagnosis
from shiftfix.detect._diagnosis import Corrections as Corrections
from shiftfix.detect._evidence import ShiftEvidence as ShiftEvidence
from shiftfix.detect._evidence import gather_evidence as gather_evidence
from shiftfix.detect._features import ColumnShift, FeatureTests, feature_tests
from shiftfix.detect._label_gate import ask_for_label_shift as ask_for_label_shift  # for ``corrected``
from shiftfix.detect._label_gate import features_of as features_of
from shiftfix.detect._mechanism import MechanismTest, covariate_or_label
from shiftfix.detect._mmd import mmd_test
from shiftfix.detect._novel import novel_class_test
from shiftfix.detect._performance import Part, PerformanceDrop, performance_drop
from shiftfix.detect._result import ShiftTest
from shiftfix.detect._row_names import names_of_rows as names_of_rows
from shiftfix.detect._samples import known_labels as known_labels
from shiftfix.detect._samples import read_samples as read_samples
from shiftfix.detect._samples import refuse_new_classes as refuse_new_classes
from shiftfix.detect._samples import refuse_unlike as refuse_unlike
from shiftfix.detect._scores import score_test

__all__ = [
    "ClassShare",
    "ColumnShift",
    "FeatureTests",
    "MechanismTest",
    "Part",
    "PerformanceDrop",
    "ShiftDiagnosis",
    "ShiftTest",
    "classifier_test",
    "concept_test",
    "covariate_or_label",
    "diagnose_shift",
    "feature_tests",
    "mmd_test",
    "novel_class_test",
    "performance_drop",
    "score_test",
]
