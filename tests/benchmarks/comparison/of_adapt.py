"""The questions put to adapt: `python tests/benchmarks/comparison/of_adapt.py [FILE]`."""

import numpy as np
import probe
from adapt.instance_based import KLIEP, KMM, ULSIF, TrAdaBoost
from sklearn.linear_model import LinearRegression, LogisticRegression

METHODS = {"KLIEP": KLIEP, "uLSIF": ULSIF, "KMM": KMM}


def fitted(method, shift=1.0):
    """An adapted line."""
    X_source, y_source, X_target, _ = probe.covariate(shift=shift)
    model = method(LinearRegression(), Xt=X_target, kernel="rbf", gamma=1.0, verbose=0, random_state=0)
    return model.fit(X_source, y_source)


def weights():
    return "; ".join(
        f"{name} {probe.correlation_of(fitted(method).predict_weights())}" for name, method in METHODS.items()
    )


def learner():
    return "; ".join(f"{name} {probe.error_of_model(fitted(method))}" for name, method in METHODS.items())


def no_overlap():
    w = np.ravel(fitted(KLIEP, shift=8.0).predict_weights())
    return f"the largest of {len(w)} weights has {w.max() / w.sum():.0%} of the sum"


def few_labels():
    model, X_source, y_source, X_target, y_target = probe.accuracy()
    labels = 1 - y_target  # exchanged over there
    boosted = TrAdaBoost(
        LogisticRegression(), Xt=X_target[:50], yt=labels[:50], n_estimators=10, verbose=0, random_state=0
    )
    boosted.fit(X_source, y_source)
    before, after = (np.mean(np.ravel(m.predict(X_target[50:])) == labels[50:]) for m in (model, boosted))
    return f"TrAdaBoost: accuracy {before:.2f} -> {after:.2f} where the labels are exchanged"


probe.tell(
    "adapt",
    {
        "weights": weights,
        "learner": learner,
        "shares": probe.absent("adapt", "quantif", "label_shift", "prevalence"),
        "shares_interval": probe.absent("adapt", "interval", "quantif"),
        "accuracy": probe.absent("adapt", "risk", "accuracy_estim", "importance_weighted"),
        "accuracy_interval": probe.absent("adapt", "interval", "bootstrap"),
        "sets": probe.absent("adapt", "conformal", "interval", "coverage"),
        "moved": probe.absent("adapt", "drift", "two_sample", "shift_test"),
        "no_overlap": no_overlap,
        "few_labels": few_labels,
        "alone": probe.absent("adapt", "abstain", "verdict", "diagnos"),
    },
)
