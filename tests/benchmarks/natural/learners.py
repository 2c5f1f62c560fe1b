"""The three learners, for classes and for values."""

from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

BOOSTING = {"max_iter": 50, "max_leaf_nodes": 15}
NETWORK = {"hidden_layer_sizes": (32,), "max_iter": 30, "batch_size": 50, "learning_rate_init": 3e-3}

CLASSIFIERS = {
    "logistic": lambda seed: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    "boosting": lambda seed: HistGradientBoostingClassifier(random_state=seed, **BOOSTING),
    "mlp": lambda seed: make_pipeline(StandardScaler(), MLPClassifier(random_state=seed, **NETWORK)),
}
REGRESSORS = {
    "logistic": lambda seed: make_pipeline(StandardScaler(), Ridge()),
    "boosting": lambda seed: HistGradientBoostingRegressor(random_state=seed, **BOOSTING),
    "mlp": lambda seed: make_pipeline(StandardScaler(), MLPRegressor(random_state=seed, **NETWORK)),
}
