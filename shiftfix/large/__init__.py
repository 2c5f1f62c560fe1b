"""The same answers from data that do not fit in memory, or lie on a cluster.

=============================  =================================================================
``StreamingLogisticWeighter``  importance weights by passes over files, arrays, Dask collections
``StreamingBBSE``              target class priors from confusion matrices, in one pass
``StreamingMLLS``              target class priors of maximum likelihood on scores in cells
``read_manifest``              what ``write_weights`` wrote, when nothing is missing
``UnitError``                  work on some rows failed for good: which rows, and why
=============================  =================================================================

What a pass costs: decoded bytes / (cores x rate), and for each unit what travels to the driver: 8 d^2 bytes of a
Hessian over d columns, 8 d of a gradient, some 100 KB of weights in bins and up to 300 KB of the largest ones in the
last pass. Merging holds log2(units) results, and with them those that came before their turn: where units differ much
in cost, up to half of all. A cluster is the user's to start: ``engine="dask", scheduler=address`` (or a client) and
``engine="ray", scheduler=address``; files must have the same names everywhere.
"""

from shiftfix.large._engines import UnitError
from shiftfix.large._engines import make_engine as make_engine  # for the command line
from shiftfix.large._parquet import check_one_type as check_one_type
from shiftfix.large._parquet import folder_around as folder_around
from shiftfix.large._parquet import freeze_schema as freeze_schema
from shiftfix.large._parquet import list_files as list_files
from shiftfix.large._parquet import read_footers as read_footers
from shiftfix.large._streaming_bbse import StreamingBBSE
from shiftfix.large._streaming_mlls import StreamingMLLS
from shiftfix.large._units import BY_COLUMNS as BY_COLUMNS
from shiftfix.large._weight_files import read_manifest
from shiftfix.large._weighter import StreamingLogisticWeighter

__all__ = ["StreamingBBSE", "StreamingLogisticWeighter", "StreamingMLLS", "UnitError", "read_manifest"]
