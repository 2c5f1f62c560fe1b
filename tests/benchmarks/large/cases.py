"""What is measured, each in a process of its own."""

import glob
import shutil
import time
from importlib.util import find_spec

import numpy as np

from tests.benchmarks.large.other_engines import dask_ml, spark

SAMPLE_ROWS = 200_000


def told(progress):
    """Function for ``progress`` that notes the CPU seconds since the start at the end of each pass."""
    begin = time.process_time()

    def note(number, done, of):
        if done == of:
            progress.append((number, round(time.process_time() - begin, 2)))

    return note


def streaming(source, target, **settings):
    """Fit; coefficients in the units of the columns, their errors, and passes."""
    from shiftfix.large import StreamingLogisticWeighter

    passes = []
    weighter = StreamingLogisticWeighter(**settings).fit(source, target, progress=told(passes))
    return weighter, {
        "passes": weighter.n_passes_,
        "cpu_s_at_ends_of_passes": passes,
        "standard_errors_left": weighter.steps_left_,
        "gradient": weighter.gradient_norm_,
        "verdict": str(weighter.summary_.verdict),
        "domain_auc": weighter.summary_.domain_auc,
        "coef": weighter.coef_.tolist(),
        "errors": weighter.standard_errors_.tolist(),
    }


def cold(source, target):
    return streaming(source, target)[1]


def warm(source, target):
    return streaming(source, target, warm_start_rows=SAMPLE_ROWS)[1]


def economical(source, target):
    return streaming(source, target, warm_start_rows=SAMPLE_ROWS, economical=True)[1]


def threads(source, target):
    return streaming(source, target, warm_start_rows=SAMPLE_ROWS, engine="threads", n_workers=2)[1]


def warm_and_written(source, target):
    """Fit from a sample, and the weights of the source written."""
    weighter, found = streaming(source, target, warm_start_rows=SAMPLE_ROWS)
    begin = time.process_time()
    folder = source.rstrip("/") + "-weights"
    shutil.rmtree(folder, ignore_errors=True)
    manifest = weighter.write_weights(source, folder)
    shutil.rmtree(folder)
    return found | {
        "writing_cpu_s": time.process_time() - begin,
        "rows": manifest.rows,
        "mean": manifest.total / manifest.rows,
    }


def in_memory_table(source, target):
    """Both samples in one float64 array, and which rows are the target's."""
    import pyarrow.parquet as pq

    files = [sorted(glob.glob(f"{folder}/*.parquet")) for folder in (source, target)]
    sizes = [sum(pq.read_metadata(f).num_rows for f in some) for some in files]
    n_columns = pq.read_metadata(files[0][0]).num_columns
    X, at = np.empty((sum(sizes), n_columns)), 0
    for path in [*files[0], *files[1]]:
        file = pq.ParquetFile(path)
        for batch in file.iter_batches(batch_size=65_536):
            for j, column in enumerate(batch.columns):
                X[at : at + batch.num_rows, j] = column.to_numpy()
            at += batch.num_rows
    return X, np.repeat([0, 1], sizes)


def scikit_learn(source, target, solver):
    from sklearn.linear_model import LogisticRegression

    X, y = in_memory_table(source, target)
    model = LogisticRegression(solver=solver, max_iter=1000).fit(X, y)
    return {"iterations": int(model.n_iter_[0]), "coef": model.coef_[0].tolist()}


def lbfgs(source, target):
    return scikit_learn(source, target, "lbfgs")


def newton_cholesky(source, target):
    return scikit_learn(source, target, "newton-cholesky")


def in_memory(source, target):
    """LogisticWeighter, to a gradient where rounding begins."""
    from shiftfix.covariate import LogisticWeighter

    X, y = in_memory_table(source, target)
    n_source = int((y == 0).sum())
    weighter = LogisticWeighter(tol=1e-14).fit(X[:n_source], X[n_source:])
    return {"steps": weighter.n_iter_, "gradient": weighter.gradient_norm_, "coef": weighter.coef_.tolist()}


def confusion(source, target):
    """Counts and soft sums of 10 classes over ten million rows of scores."""
    from tests.benchmarks.large.confusion_counts import count

    return count()


CASES = {
    case.__name__: case
    for case in (cold, warm, warm_and_written, economical, threads, in_memory, lbfgs, newton_cholesky, confusion)
}
CASES |= {case.__name__: case for case, package in ((spark, "pyspark"), (dask_ml, "dask_ml")) if find_spec(package)}
