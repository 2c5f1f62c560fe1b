"""Two samples of Parquet files, correlated and in part log-normal, of which one file at a time is held."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

N_COLUMNS = 20
FILE_ROWS = 1_000_000
GROUP_ROWS = 131_072
# Shift of the target before the exponential, in standard deviations.
MEAN_SHIFT = np.where(np.arange(N_COLUMNS) % 2, -0.1, 0.1)


def make(folder, n_rows, compression="snappy"):
    """Half of the rows are the source's; returns the two folders, made unless they are there."""
    folders = [Path(folder) / f"{n_rows}-{compression}" / name for name in ("source", "target")]
    for domain, where in enumerate(folders):
        if (where / "_SUCCESS").exists():
            continue
        where.mkdir(parents=True, exist_ok=True)
        left, number = n_rows // 2, 0
        while left:
            size = min(left, FILE_ROWS)
            rng = np.random.default_rng([domain, number])
            mixed = rng.normal(size=(size, N_COLUMNS))
            mixed[:, 1:] += 0.5 * mixed[:, :-1]
            mixed += domain * MEAN_SHIFT
            # No Gaussians, and no ratio that is linear: amounts of money, say.
            np.exp(mixed[:, ::4] / 2, out=mixed[:, ::4])
            table = pa.table({f"x{j}": mixed[:, j] for j in range(N_COLUMNS)})
            path = where / f"part-{number:04d}.parquet"
            pq.write_table(table, path, row_group_size=GROUP_ROWS, compression=compression, use_dictionary=False)
            left, number = left - size, number + 1
        (where / "_SUCCESS").touch()
    return [str(where) for where in folders]


if __name__ == "__main__":
    make(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
