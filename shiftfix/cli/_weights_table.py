"""The weight of each source row, as a table."""

from typing import Any

from numpy.typing import NDArray

from shiftfix.cli._tables import Tables


def weight_table(weights: NDArray[Any], tables: Tables, identifier: str | None) -> Any:
    """Data frame of the weight of each source row, beside what names it and what it counted for before.

    Parameters
    ----------
    weights : ndarray of shape (n_source,)
    tables : Tables
    identifier : str or None
        Column that names the rows.
    """
    import pandas as pd

    table = pd.DataFrame({"weight": weights})
    if tables.ids[0] is not None:
        table.insert(0, str(identifier), tables.ids[0])
    if tables.sample_weight is not None:
        table["total_weight"] = weights * tables.sample_weight
    return table
