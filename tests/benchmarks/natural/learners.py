"""The three learners, for classes and for values."""

from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# Light enough that a fit to 1,500 rows takes a tenth of a second, and overconfident as larger ones are.
BOOSTING = {"max_iter": 30, "max_leaf_nodes": 15, "learning_rate": 0.2}
NETWORK = {"hidden_layer_sizes": (32,), "max_iter": 30, "batch_size": 200, "learning_rate_init": 5e-3}

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
