"""What is compared on the tables: a name, and what makes a learner of classes or of numbers.

RealMLP-TD-S comes from pytabkit, which is no extra of the package: install it beside with ``torch`` pinned. Learners
without a treatment of text get its indicators.
"""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.neural_network import MLPClassifier as PlainClassifier
from sklearn.neural_network import MLPRegressor as PlainRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from shiftfix.mlp import MLPClassifier, MLPRegressor


class Indicators:
    """A learner behind indicators of text, and behind a scaler where it has none.

    Parameters
    ----------
    learner : estimator
    scales : bool, default=False
    """

    def __init__(self, learner: Any, scales: bool = False) -> None:
        self.learner = learner
        indicators = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), make_column_selector(dtype_exclude="number")),
            remainder="passthrough",
        )
        self.encoder = make_pipeline(indicators, StandardScaler() if scales else "passthrough")

    def fit(self, X: pd.DataFrame, y: np.ndarray, **weights: Any) -> "Indicators":
        self.learner.fit(self.encoder.fit_transform(X), y, **weights)
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return self.learner.predict(self.encoder.transform(X))

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return self.learner.predict_proba(self.encoder.transform(X))

    @property
    def classes_(self) -> np.ndarray:
        return self.learner.classes_


def ours(is_classes: bool, seed: int, **settings: Any) -> Any:
    return (MLPClassifier if is_classes else MLPRegressor)(random_state=seed, **settings)


def real_mlp(is_classes: bool, seed: int, **settings: Any) -> Any:
    """RealMLP-TD-S as pytabkit has it: one network, a fifth of the rows held out, 256 epochs."""
    from pytabkit import RealMLP_TD_S_Classifier, RealMLP_TD_S_Regressor

    kind = RealMLP_TD_S_Classifier if is_classes else RealMLP_TD_S_Regressor
    return kind(device="cpu", random_state=seed, n_threads=1, verbosity=0, **settings)


def for_log_loss(is_classes: bool, seed: int) -> Any:
    """The same without label smoothing, its epoch chosen by the log loss; the numbers of regressions do not change."""
    return real_mlp(is_classes, seed, **({"use_ls": False, "val_metric_name": "cross_entropy"} if is_classes else {}))


def plain(is_classes: bool, seed: int) -> Any:
    """scikit-learn's, as it comes."""
    return Indicators((PlainClassifier if is_classes else PlainRegressor)(random_state=seed), scales=True)


METHODS = {
    "tabular": lambda is_classes, seed: ours(is_classes, seed, preset="tabular"),
    "default": lambda is_classes, seed: Indicators(ours(is_classes, seed)),
    "realmlp_td_s": real_mlp,
    "realmlp_td_s_log_loss": for_log_loss,
    "sklearn": plain,
}
TAKES_WEIGHTS = {"tabular", "default", "sklearn"}
