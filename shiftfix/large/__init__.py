"""The same answers from data that do not fit in memory, or lie on a cluster.

=============================  ================================================================
``StreamingLogisticWeighter``  importance weights by passes over files, arrays, Dask collections
``UnitError``                  work on some rows failed for good: which rows, and why
=============================  ================================================================
"""

from shiftfix.large._engines import UnitError
from shiftfix.large._weighter import StreamingLogisticWeighter

__all__ = ["StreamingLogisticWeighter", "UnitError"]
