"""Confusion counts and soft confusion matrices of 10 classes over ten million rows in memory, in CPU seconds."""

import time

import numpy as np

from shiftfix.large._engines import one_blas_thread
from shiftfix.large._score_sums import Layout, unit_scores
from shiftfix.large._units import ArrayPart, Unit

N_CLASSES = 10
PIECE = 1_000_000
CLASSES = tuple(map(float, range(N_CLASSES)))


def pieces(n_rows, seed=0):
    """Labels, predicted labels and float32 scores, a million rows at a time."""
    rng = np.random.default_rng(seed)
    for _ in range(n_rows // PIECE):
        labels = rng.integers(0, N_CLASSES, PIECE)
        predicted = np.where(rng.random(PIECE) < 0.7, labels, rng.integers(0, N_CLASSES, PIECE))
        scores = rng.random((PIECE, N_CLASSES), dtype=np.float32)
        scores[np.arange(PIECE), predicted] += 2
        scores /= scores.sum(axis=1, keepdims=True)
        yield labels, predicted, scores


def count(n_rows=10_000_000):
    """CPU seconds of each way, and the counts."""
    spent, counts = dict.fromkeys(("labels", "arg max of scores", "soft"), 0.0), np.zeros((N_CLASSES, N_CLASSES))
    for labels, predicted, scores in pieces(n_rows):
        tables = {
            "labels": np.column_stack([predicted, labels]).astype(np.float32),
            "arg max of scores": np.column_stack([scores, labels.astype(np.float32)]),
        }
        tables["soft"] = tables["arg max of scores"]
        for name, table in tables.items():
            unit = Unit(ArrayPart(table, None, ("x",) * table.shape[1], name), 0, len(table), 0)
            begin = time.process_time()
            with one_blas_thread():
                found = unit_scores(unit, Layout(CLASSES, name == "soft"))[0]
            spent[name] += time.process_time() - begin
            counts += found.scores * (name == "labels")
    return {f"cpu_s, {name}": round(seconds, 3) for name, seconds in spent.items()} | {"rows": int(counts.sum())}
