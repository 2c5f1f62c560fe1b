"""The questions put to MAPIE: `python tests/benchmarks/comparison/of_mapie.py [FILE]`."""

import numpy as np
import probe
from mapie.exchangeability_testing import FixedDatasetExchangeabilityTest
from mapie.regression import SplitConformalRegressor
from sklearn.linear_model import LinearRegression


def sets():
    X_source, y_source, X_target, y_target = probe.covariate()
    line = LinearRegression().fit(X_source[:1000], y_source[:1000])
    model = SplitConformalRegressor(line, confidence_level=0.9).conformalize(X_source[1000:], y_source[1000:])
    ends = model.predict_interval(X_target)[1][:, :, 0]
    inside = np.mean((ends[:, 0] <= y_target) & (y_target <= ends[:, 1]))
    return f"{inside:.3f}; the intervals know of no weights"


def moved():
    """It takes labeled rows in their order: source rows, then those of the target or of the source."""
    X_source, y_source, X_target, y_target = probe.covariate()
    told = []
    for X, y in ((X_target, y_target), (X_source[300:], y_source[300:])):
        test = FixedDatasetExchangeabilityTest("pvalue_permutation", {"pvalue_permutation": {"random_state": 0}})
        test.run(np.vstack([X_source[:300], X[:300]]), np.append(y_source[:300], y[:300]))
        told.append(str(test.is_exchangeable["pvalue_permutation"]))
    return f"exchangeable {', '.join(told)}; by labels of both"


probe.tell(
    "mapie",
    {
        "weights": probe.absent("mapie", "density_ratio", "reweight", "likelihood_ratio"),
        "learner": probe.absent("mapie", "covariate_shift", "reweight"),
        "shares": probe.absent("mapie", "quantif", "label_shift", "prevalence"),
        "shares_interval": probe.absent("mapie", "quantif", "label_shift", "prevalence"),
        "accuracy": probe.absent("mapie", "without_label", "unlabel", "target_risk"),
        "accuracy_interval": probe.absent("mapie", "without_label", "unlabel", "target_risk"),
        "sets": sets,
        "moved": moved,
        "no_overlap": probe.absent("mapie", "overlap", "positivity"),
        "few_labels": probe.absent("mapie", "few_label", "few_shot", "finetune"),
        "alone": probe.absent("mapie", "abstain", "verdict", "diagnos"),
    },
)
