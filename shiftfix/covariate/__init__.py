"""Importance weights when p(x) moves and p(y given x) stays.

======================  =========================================================================
``LogisticWeighter``    odds of a logistic source-versus-target classifier; the default
``ClassifierWeighter``  odds of any scikit-learn classifier, cross-fitted when it is flexible
``ULSIF``               ratio by least squares on kernels, closed form
``RULSIF``              the same for a bounded, relative ratio
``KLIEP``               ratio by maximum likelihood on kernels
``KMM``                 weights that match kernel means; none for new rows by itself
``TableColumns``        numbers from a table with gaps and categories, for ``LogisticWeighter(features=...)``
======================  =========================================================================
"""

from shiftfix.covariate._classifier import ClassifierWeighter
from shiftfix.covariate._classifier import with_seeds as with_seeds
from shiftfix.covariate._finishing import LOG_RATIO_BOUND as LOG_RATIO_BOUND  # for ``large``
from shiftfix.covariate._finishing import Clip as Clip
from shiftfix.covariate._finishing import bounded as bounded
from shiftfix.covariate._finishing import finished_weights as finished_weights
from shiftfix.covariate._finishing import learn_clip as learn_clip
from shiftfix.covariate._kernel_mean import KMM
from shiftfix.covariate._kliep import KLIEP
from shiftfix.covariate._least_squares import RULSIF, ULSIF
from shiftfix.covariate._logistic import LogisticWeighter
from shiftfix.covariate._logistic_solver import NEWTON_COLUMNS as NEWTON_COLUMNS  # for ``large``
from shiftfix.covariate._logistic_solver import factorize as factorize
from shiftfix.covariate._logistic_solver import secant_solve as secant_solve
from shiftfix.covariate._odds import stack_rows as stack_rows
from shiftfix.covariate._refit import weight_refits as weight_refits  # for ``risk``
from shiftfix.covariate._table_columns import RawColumn as RawColumn
from shiftfix.covariate._table_columns import TableColumns
from shiftfix.covariate._table_columns import are_numbers as are_numbers
from shiftfix.covariate._table_columns import check_raw_rows as check_raw_rows
from shiftfix.covariate._table_columns import columns_of as columns_of
from shiftfix.covariate._table_columns import comparable_rows as comparable_rows
from shiftfix.covariate._table_columns import frame_like as frame_like
from shiftfix.covariate._table_columns import read_column as read_column
from shiftfix.covariate._table_columns import reads_raw_rows as reads_raw_rows

__all__ = ["KLIEP", "KMM", "RULSIF", "ULSIF", "ClassifierWeighter", "LogisticWeighter", "TableColumns"]
