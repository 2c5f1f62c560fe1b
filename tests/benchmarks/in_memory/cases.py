"""The cases: each makes its data and returns the calls to be compared, the package's own first."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from shiftfix.covariate import KMM, LogisticWeighter
from shiftfix.label import BBSE
from tests.benchmarks.test_label_shift import two_samples


def bbse(kind, n_rows, n_classes=1000):
    """A whole fit, with covariances, the verdict and which classes to merge, beside what counts and solves alone, and
    of soft scores beside the bare products behind the covariances of both samples' errors.
    """
    source, y, target, _ = two_samples(n_classes, n_rows, n_rows)

    def conditional():
        predicted = np.eye(n_classes, dtype=np.float32)[source.argmax(axis=1)] if kind == "hard" else source
        members = csr_array((np.ones(n_rows), (y, np.arange(n_rows))), shape=(n_classes, n_rows))
        return (members @ predicted).T / members.sum(axis=1)

    def floor():
        return np.linalg.solve(conditional(), target.mean(axis=0, dtype=np.float64))

    A = conditional()

    def products():
        inverse = np.linalg.inv(A)
        scatters = [rows.T @ rows for rows in (source, target)]
        return source @ inverse.T.astype(source.dtype), [inverse @ scatter @ inverse.T for scatter in scatters]

    calls = {"shiftfix": lambda: BBSE(kind).fit(source, y, target), "counts and solution": floor}
    return calls | ({"products of rows and classes": products} if kind == "soft" else {})


def gaussians(n_rows, n_features):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_features))
    X[n_rows // 2 :] += 0.5 / np.sqrt(n_features)
    return X, X[: n_rows // 2], X[n_rows // 2 :]


def logistic(n_rows, n_features=50):
    """A whole fit beside the product that a Hessian is made of."""
    X, source, target = gaussians(n_rows, n_features)
    return {"shiftfix": lambda: LogisticWeighter().fit(source, target), "X'X": lambda: X.T @ X}


def features_auto(n_rows, n_features=20):
    """The choice among linear, squares and quadratic, beside quadratic fits of scikit-learn."""
    X, source, target = gaussians(n_rows, n_features)
    domain = np.repeat([0, 1], n_rows // 2)

    def table():
        return StandardScaler().fit_transform(PolynomialFeatures(2, include_bias=False).fit_transform(X))

    def fit():
        return LogisticRegression(solver="newton-cholesky").fit(table(), domain)

    def choose():
        folds = StratifiedKFold(5)
        model = LogisticRegression(solver="newton-cholesky")
        return cross_val_score(model, table(), domain, cv=folds, scoring="neg_log_loss")

    return {
        "shiftfix": lambda: LogisticWeighter(features="auto").fit(source, target),
        "scikit-learn, one quadratic fit": fit,
        "scikit-learn, five folds of it": choose,
    }


def kernel_mean(n_rows, n_features=20):
    """Kernel mean matching to its certified optimum; no peer."""
    _, source, target = gaussians(2 * n_rows, n_features)
    return {"shiftfix": lambda: KMM().fit(source, target)}


def imports(module, peer):
    """Importing one module in a process of its own, beside another."""

    def run(name):
        return lambda: subprocess.run([sys.executable, "-c", f"import {name}"], check=True)

    return {"shiftfix": run(module), f"import {peer}": run(peer)}


# What is left of a covariate correction when the package's own work takes no time: the libraries are loaded, both files
# read, three models of three folds and the last one fitted, each asked for its rows, and the predictions written.
FITS_ALONE = """
import sys
import numpy as np, pandas as pd
from pyarrow import Table, csv, parquet
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
tables = [READ(path) for path in sys.argv[1:3]]
source, X_target = (table.to_pandas() for table in tables)
y = source.pop("label").to_numpy()
weight = np.random.default_rng(0).exponential(size=len(y))
for fold, (learned, held) in enumerate(StratifiedKFold(3, shuffle=True, random_state=0).split(source, y)):
    scaler = StandardScaler()
    Z = scaler.fit_transform(source.iloc[learned])
    asked = [scaler.transform(rows) for rows in (source.iloc[held], X_target.iloc[fold::3])]
    for exponent in (0, 0.5, 1):
        model = LogisticRegression(max_iter=1000).fit(Z, y[learned], weight[learned] ** exponent)
        for rows in asked:
            model.predict_proba(rows)
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
model.fit(source, y, logisticregression__sample_weight=weight)
found = {"prediction": model.predict(X_target), "probability": model.predict_proba(X_target)[:, 1]}
csv.write_csv(Table.from_pandas(pd.DataFrame(found)), sys.argv[3])
"""


def command(ending, shift, n_rows, n_features=20, learner="logistic"):
    """``shiftfix correct`` from files to files, beside reading alone, and a covariate correction beside what is left
    when the package's own work takes no time."""
    import pandas as pd
    import pyarrow as pa
    from pyarrow import csv, parquet

    folder = Path("/tmp") / f"shiftfix-in-memory-{n_rows}"
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    paths = {}
    for name, moved in (("source", 0.0), ("target", 0.3)):
        X = rng.normal(size=(n_rows, n_features))
        X[:, :3] += moved
        frame = pd.DataFrame(X, columns=[f"x{k}" for k in range(n_features)])
        if name == "source":
            frame["label"] = (rng.random(n_rows) < 1 / (1 + np.exp(-X[:, 0] - X[:, 1] / 2))).astype(int)
        paths[name] = folder / f"{name}.{ending}"
        table = pa.Table.from_pandas(frame, preserve_index=False)
        (csv.write_csv if ending == "csv" else parquet.write_table)(table, paths[name])

    def correct():
        options = ["--label", "label", "--shift", shift, "--learner", learner, "--out", str(folder / "out")]
        words = ["correct", str(paths["source"]), str(paths["target"]), "--overwrite", "--quiet", *options]
        subprocess.run([sys.executable, "-m", "shiftfix", *words], check=True)

    def read():
        reader = "csv.read_csv" if ending == "csv" else "parquet.read_table"
        each = "; ".join(f"{reader}({str(path)!r})" for path in paths.values())
        subprocess.run([sys.executable, "-c", f"from pyarrow import csv, parquet; {each}"], check=True)

    def fit():
        code = FITS_ALONE.replace("READ", "csv.read_csv" if ending == "csv" else "parquet.read_table")
        words = [str(paths["source"]), str(paths["target"]), str(folder / "fits.csv")]
        subprocess.run([sys.executable, "-c", code, *words], check=True)

    calls = {"shiftfix": correct, "reading alone, by pyarrow": read}
    return calls | ({"reading, its fits and writing alone": fit} if shift == "covariate" else {})


# Function, arguments, at the size that is asked about and at a small one.
CASES = {
    "BBSE soft, 1000 classes, 20,000 + 20,000 rows": (bbse, ("soft", 20_000), ("soft", 10_000)),
    "BBSE hard, 1000 classes, 20,000 + 20,000 rows": (bbse, ("hard", 20_000), ("hard", 10_000)),
    "LogisticWeighter, 1,000,000 x 50": (logistic, (1_000_000,), (100_000,)),
    'LogisticWeighter(features="auto"), 20,000 x 20': (features_auto, (20_000,), (4_000,)),
    "KMM, 10,000 + 10,000 rows x 20": (kernel_mean, (10_000,), (1_000,)),
    "import shiftfix.corrected": (imports, ("shiftfix.corrected", "sklearn.linear_model"), None),
    "import shiftfix.mlp": (imports, ("shiftfix.mlp", "torch"), None),
    "correct --shift covariate, Parquet": (
        command,
        ("parquet", "covariate", 1_000_000),
        ("parquet", "covariate", 50_000),
    ),
    "correct --shift covariate, CSV": (command, ("csv", "covariate", 1_000_000), ("csv", "covariate", 50_000)),
    "correct --shift label, Parquet": (command, ("parquet", "label", 1_000_000), ("parquet", "label", 50_000)),
    "correct --shift label, CSV": (command, ("csv", "label", 1_000_000), ("csv", "label", 50_000)),
}
