"""What is compared: the trainer's defaults, those it had before, and what scikit-learn has.

A method is a function of a seed that makes an estimator whose ``fit`` takes ``sample_weight``, under a name; classes
and values have one each.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier as PlainClassifier
from sklearn.neural_network import MLPRegressor as PlainRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shiftfix.mlp import MLPClassifier, MLPRegressor

# One wide network of two layers, in steps of 256 rows, a tenth of them held out; without weights nothing stopped it.
FIXED = {
    "hidden_layer_sizes": (256, 256),
    "learning_rate": 1e-3,
    "batch_size": 256,
    "max_epochs": 100,
    "patience": 10,
    "validation_fraction": 0.1,
    "n_models": 1,
}


class Method(NamedTuple):
    """One entry.

    Attributes
    ----------
    classifier, regressor : callable
        Of a seed, and whether there are weights.
    weights : bool, default=True
        Whether ``fit`` takes weights; else it is tried where there are none.
    package : str, default="sklearn"
        What it needs.
    """

    classifier: Callable[[int, bool], Any]
    regressor: Callable[[int, bool], Any]
    weights: bool = True
    package: str = "sklearn"

    def available(self):
        return find_spec(self.package) is not None


def networks(**settings):
    """Both estimators of the package with some settings."""
    return Method(
        lambda seed, weighted: MLPClassifier(random_state=seed, **settings),
        lambda seed, weighted: MLPRegressor(random_state=seed, **settings),
    )


def _before(kind, **settings):
    return lambda seed, weighted: kind(
        random_state=seed, early_stopping="auto" if weighted else False, **FIXED, **settings
    )


def _realmlp(name, seed):
    import pytabkit

    return getattr(pytabkit, f"RealMLP_TD_S_{name}")(random_state=seed, device="cpu", n_threads=1)


METHODS = {
    "before": Method(_before(MLPClassifier, dropout=0.5), _before(MLPRegressor)),
    "default": networks(),
    "one_network": networks(n_models=1),
    "sklearn_mlp": Method(
        lambda seed, weighted: make_pipeline(StandardScaler(), PlainClassifier(random_state=seed)),
        lambda seed, weighted: make_pipeline(StandardScaler(), PlainRegressor(random_state=seed)),
    ),
    "boosting": Method(
        lambda seed, weighted: HistGradientBoostingClassifier(random_state=seed),
        lambda seed, weighted: HistGradientBoostingRegressor(random_state=seed),
    ),
    "linear": Method(
        lambda seed, weighted: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        lambda seed, weighted: make_pipeline(StandardScaler(), Ridge()),
    ),
    "realmlp_s": Method(
        lambda seed, weighted: _realmlp("Classifier", seed),
        lambda seed, weighted: TransformedTargetRegressor(_realmlp("Regressor", seed), transformer=StandardScaler()),
        weights=False,
        package="pytabkit",
    ),
}


def fit(model, X, y, weight):
    """The fitted model; a pipeline's last step takes the weights."""
    if weight is None:
        return model.fit(X, y)
    step = f"{model.steps[-1][0]}__" if hasattr(model, "steps") else ""
    return model.fit(X, y, **{f"{step}sample_weight": weight})
