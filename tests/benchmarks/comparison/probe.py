"""Questions that the comparison asks of every package, the data they are asked on, and how an answer is kept.

A package's file answers each question by a call that tells what it found, or by ``absent``: the words that were looked
for among its public names, and the names found. Only numpy and scikit-learn are needed here, so that each package runs
in an environment of its own.
"""

import datetime
import importlib
import importlib.metadata
import json
import pkgutil
import platform
import sys
import time
import traceback
import warnings

import numpy as np
from sklearn.linear_model import LinearRegression, LogisticRegression

QUESTIONS = {
    "weights": "importance weights: correlation of their logarithm with the true log ratio, N(0, 1) to N(1, 1)",
    "learner": "a line trained with them, y = x^2: mean squared error on the target (7 without weights, 2 at best)",
    "shares": "class shares from scores under label shift: share of class 1, truly 0.90",
    "shares_interval": "a 95% interval of that share",
    "accuracy": "accuracy on the target without its labels, truly {truth:.3f}",
    "accuracy_interval": "a 95% interval of that accuracy",
    "sets": "90% intervals after a covariate shift: share of the target's values inside",
    "moved": "a test of shift: what it says of samples that moved, and of samples that did not",
    "no_overlap": "samples 8 standard deviations apart: what it says",
    "few_labels": "a correction of the model by 50 target labels",
    "alone": "says that a correction is not supported, and leaves the model alone",
}


def covariate(n_source=2000, n_target=500, shift=1.0):
    """N(0, 1) to N(shift, 1) and y = x^2 + noise: X_source, y_source, X_target, y_target."""
    rng = np.random.default_rng(0)
    X_source, X_target = rng.normal(size=(n_source, 1)), rng.normal(shift, 1, (n_target, 1))
    return X_source, squares(X_source, rng), X_target, squares(X_target, rng)


def squares(X, rng):
    """y = x^2 + N(0, 0.1^2)."""
    return X[:, 0] ** 2 + rng.normal(0, 0.1, len(X))


def shares(share=0.9, n=1000):
    """Two unit normals 2 apart, half of the source in class 1: X_source, y_source, X_target, y_target."""
    rng = np.random.default_rng(1)
    y_source, y_target = (np.arange(n) < n // 2).astype(int), (np.arange(n) < share * n).astype(int)
    return (*((rng.normal(2.0 * y - 1)[:, None], y) for y in (y_source, y_target)),)


def accuracy():
    """A logistic model trained on other rows, held-out source rows, and a target two features of which moved."""
    rng = np.random.default_rng(2)
    draw = lambda n, mean: rng.normal(size=(n, 2)) + mean  # noqa: E731
    X_learn, X_source, X_target = draw(2000, 0.0), draw(2000, 0.0), draw(2000, [1.0, 0.0])
    labels = [
        (rng.random(len(X)) < 1 / (1 + np.exp(-X[:, 0] - X[:, 1]))).astype(int) for X in (X_learn, X_source, X_target)
    ]
    model = LogisticRegression().fit(X_learn, labels[0])
    return model, X_source, labels[1], X_target, labels[2]


def true_accuracy():
    """Of the model of ``accuracy`` in the population of the target: the mean chance of its label over 400,000 rows."""
    X = np.random.default_rng(3).normal(size=(400_000, 2)) + np.array([1.0, 0.0])
    chance = 1 / (1 + np.exp(-X[:, 0] - X[:, 1]))
    return np.mean(np.where(accuracy()[0].predict(X) == 1, chance, 1 - chance))


def correlation_of(w):
    """Of log weights with x - 1/2, over the source rows of ``covariate`` with a positive weight."""
    x = covariate()[0][:, 0]
    w = np.asarray(w, dtype=float).ravel()
    kept = w > 0
    told = f"correlation {np.corrcoef(np.log(w[kept]), x[kept])[0, 1]:+.2f}"
    return told if kept.all() else f"{told}, {np.mean(~kept):.0%} of the weights 0"


def error_of(w):
    """Mean squared error on the target of a line trained with weights."""
    X_source, y_source, X_target, y_target = covariate()
    line = LinearRegression().fit(X_source, y_source, sample_weight=w)
    return f"{np.mean((line.predict(X_target) - y_target) ** 2):.2f}"


def error_of_model(model):
    """The same of a model that was trained."""
    _, _, X_target, y_target = covariate()
    return f"{np.mean((np.ravel(model.predict(X_target)) - y_target) ** 2):.2f}"


def public_names(package, words):
    """Public classes and functions below a package whose name holds a word; modules that fail are left out."""
    module = importlib.import_module(package)
    found = set()
    for each in [module, *submodules(module)]:
        for name, thing in vars(each).items():
            ours = str(getattr(thing, "__module__", "")).split(".")[0] == package
            if not name.startswith("_") and ours and callable(thing) and any(word in name.lower() for word in words):
                found.add(f"{thing.__module__}.{name}")
    return sorted(found)


def submodules(module):
    """All modules below one, without tests."""
    for found in pkgutil.walk_packages(module.__path__, module.__name__ + ".", onerror=lambda name: None):
        if not any(
            part.startswith(("_", "test", "conftest", "cli", "ui", "legacy")) for part in found.name.split(".")[1:]
        ):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    yield importlib.import_module(found.name)
            except BaseException:  # an optional library is missing, or a module that runs something
                continue


def absent(package, *words):
    """An answer: no public name holds any of the words, or those that do, which then are to be run."""

    def look():
        names = public_names(package, words)
        if names:
            raise LookupError(f"names to be run: {names}")
        return None

    look.words = words
    return look


def answers(package, asked):
    """All answers of a package: what was found, None for what it does not do, or the error that it raised."""
    kept = {}
    for question in QUESTIONS:
        call, start = asked[question], time.process_time()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                found = {"found": call()}
            except Exception as error:
                traceback.print_exc()
                found = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
        if words := getattr(call, "words", None):
            found["looked_for"] = list(words)
        told = sorted({f"{w.category.__name__}: {str(w.message)[:160]}" for w in caught if about_us(w)})
        kept[question] = {**found, "warned": told, "cpu_seconds": round(time.process_time() - start, 2)}
    return {
        "package": package,
        "version": importlib.metadata.version(package),
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pandas": version_of("pandas"),
        "scikit-learn": importlib.metadata.version("scikit-learn"),
        "answers": kept,
    }


def version_of(package):
    """A version, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def about_us(warning):
    """Whether a warning is about the data, and not about somebody's old code."""
    return not issubclass(warning.category, DeprecationWarning | FutureWarning | PendingDeprecationWarning)


def tell(package, asked):
    """Write the answers to the file named on the command line, or to standard output."""
    text = json.dumps(answers(package, asked), indent=1, default=str)
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            file.write(text + "\n")
    else:
        sys.stdout.write(text + "\n")
