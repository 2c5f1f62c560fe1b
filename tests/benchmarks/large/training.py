"""One epoch of a network from rows in memory, of a memory map and of Parquet row groups: rows per CPU second, peak MB.

python -m tests.benchmarks.large.training --out tests/benchmarks/results/large_training.json

Each case is a process of its own; the CPU seconds are those of ``fit`` alone. The peak is that of the whole process
(VmHWM), which counts the pages of a map that it holds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.memory import peak_mb

ROOT = Path(__file__).resolve().parents[3]
CHUNK_NUMBERS, GROUP = 10_000_000, 100_000
KINDS = ("array", "memmap", "parquet")


def make_rows(folder, n_rows, n_columns, kinds):
    """The same rows as a memory map and as a Parquet file, and their labels, unless they are there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    map_path, parquet_path = folder / "rows.npy", folder / "rows.parquet"
    if (folder / "labels.npy").exists():
        return
    names = [f"x{j}" for j in range(n_columns)]
    rows = np.lib.format.open_memmap(map_path, "w+", np.float32, (n_rows, n_columns))
    labels = np.empty(n_rows, np.int8)
    writer = None
    rng = np.random.default_rng(0)
    height = CHUNK_NUMBERS // n_columns
    for begin in range(0, n_rows, height):
        part = rng.random((min(height, n_rows - begin), n_columns), dtype=np.float32)
        rows[begin : begin + len(part)] = part
        labels[begin : begin + len(part)] = part[:, 0] > part[:, 1]
        if "parquet" in kinds:
            table = pa.table(dict(zip(names, part.T, strict=True)))
            writer = writer or pq.ParquetWriter(parquet_path, table.schema, compression="snappy", use_dictionary=False)
            writer.write_table(table, row_group_size=GROUP)
    rows.flush()
    if writer is not None:
        writer.close()
    np.save(folder / "labels.npy", labels)


def run_kind(kind, folder):
    from shiftfix.mlp import MLPClassifier, ParquetRows

    folder = Path(folder)
    n_columns = int(folder.name.split("x")[1])
    if kind == "parquet":
        X = ParquetRows(folder / "rows.parquet", [f"x{j}" for j in range(n_columns)])
    else:
        X = np.load(folder / "rows.npy", mmap_mode="r")
        X = np.array(X) if kind == "array" else X
    y = np.load(folder / "labels.npy")
    model = MLPClassifier((32,), n_models=1, batch_size=4096, max_epochs=1, early_stopping=False, random_state=0)
    before, begin = peak_mb(), time.process_time()
    model.fit(X, y)
    spent = time.process_time() - begin
    return {
        "rows": len(y),
        "cpu_s": round(spent, 2),
        "rows_per_cpu_s": round(len(y) / spent),
        "peak_mb_before": round(before),
        "peak_mb": round(peak_mb()),
    }


def measure(kind, folder):
    command = [sys.executable, "-m", "tests.benchmarks.large.training", "--one", kind, str(folder)]
    found = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True
    )
    return json.loads(found.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=40)
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", default=str(Path(tempfile.gettempdir()) / "shiftfix-training"))
    parser.add_argument("--out", help="JSON file to add to.")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        sys.stdout.write(json.dumps(run_kind(*given.one)) + "\n")
        return
    size = f"{given.rows}x{given.columns}"
    folder = Path(given.folder) / size
    make_rows(folder, given.rows, given.columns, given.kinds)
    found = {}
    for kind in given.kinds:
        runs = [measure(kind, folder) for _ in range(given.repeats)]
        found[kind] = {key: float(np.median([run[key] for run in runs])) for key in runs[0]}
        sys.stdout.write(f"{kind}: {found[kind]}\n")
        sys.stdout.flush()
    if given.out:
        out = Path(given.out)
        earlier = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
        out.write_text(json.dumps(earlier | {size: found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
