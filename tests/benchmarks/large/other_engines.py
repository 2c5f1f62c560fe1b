"""The same logistic regression by Spark's MLlib and by Dask-ML, where they are installed.

Both read the Parquet files themselves; two workers of this machine, no ridge, intercept fitted. The Java process of
Spark is waited for, so that its CPU seconds and its peak memory count as a child's.

    pip install pyspark dask-ml    # and a Java of 17 or later for Spark
"""

import glob
import os


def spark(source, target):
    """MLlib's LogisticRegression: L-BFGS over rows kept in the memory of the Java process."""
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.feature import VectorAssembler
    from pyspark.sql import SparkSession, functions

    make = SparkSession.builder.master("local[2]").appName("shiftfix").config("spark.driver.memory", "8g")
    session = make.config("spark.ui.enabled", "false").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    samples = [
        session.read.parquet(folder).withColumn("domain", functions.lit(float(domain)))
        for domain, folder in enumerate((source, target))
    ]
    columns = [name for name in samples[0].columns if name != "domain"]
    rows = VectorAssembler(inputCols=columns, outputCol="features").transform(samples[0].union(samples[1]))
    fitted = LogisticRegression(labelCol="domain", maxIter=1000, tol=1e-8).fit(rows.select("features", "domain"))
    found = {"iterations": int(fitted.summary.totalIterations), "coef": fitted.coefficients.toArray().tolist()}
    java = session.sparkContext._gateway.proc
    session.stop()
    java.stdin.close()
    java.wait()
    return found


def dask_ml(source, target):
    """Dask-ML's LogisticRegression (Newton's steps of dask-glm) over blocks read from the files, by two threads."""
    import dask
    import dask.array as da
    import numpy as np
    import pyarrow.parquet as pq
    from dask_ml.linear_model import LogisticRegression

    def block(path):
        return np.column_stack([column.to_numpy() for column in pq.read_table(path).columns])

    blocks, labels = [], []
    for domain, folder in enumerate((source, target)):
        for path in sorted(glob.glob(os.path.join(folder, "*.parquet"))):
            facts = pq.read_metadata(path)
            shape = (facts.num_rows, facts.num_columns)
            blocks.append(da.from_delayed(dask.delayed(block)(path), shape, dtype=float))
            labels.append(da.full(shape[0], domain, chunks=shape[0]))
    with dask.config.set(scheduler="threads", num_workers=2):
        X, y = da.concatenate(blocks), da.concatenate(labels)
        model = LogisticRegression(solver="newton", penalty="l2", C=1e12, max_iter=100).fit(X, y)
    return {"coef": np.ravel(model.coef_).tolist()}
