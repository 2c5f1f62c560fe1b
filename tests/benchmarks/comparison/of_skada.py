"""The questions put to skada: `python tests/benchmarks/comparison/of_skada.py [FILE]`."""

import numpy as np
import probe
import skada
from skada.metrics import ImportanceWeightedScorer
from sklearn.linear_model import LinearRegression, LogisticRegression


def merged(X_source, X_target):
    """Both samples in one array, and which is which: 1 source, -2 target."""
    return np.vstack([X_source, X_target]), np.repeat([1, -2], [len(X_source), len(X_target)])


def weights_of(adapter, shift=1.0):
    """Weights of the source rows."""
    X_source, _, X_target, _ = probe.covariate(shift=shift)
    X, domain = merged(X_source, X_target)
    _, given = adapter.fit_transform(X, sample_domain=domain)
    return given["sample_weight"][domain > 0]


ADAPTERS = {
    "density": skada.DensityReweightAdapter,
    "discriminator": skada.DiscriminatorReweightAdapter,
    "KLIEP": lambda: skada.KLIEPReweightAdapter(gamma=[0.1, 1.0], random_state=0),
    "KMM": skada.KMMReweightAdapter,
}


def weights():
    return "; ".join(f"{name} {probe.correlation_of(weights_of(make()))}" for name, make in ADAPTERS.items())


def learner():
    X_source, y_source, X_target, _ = probe.covariate()
    X, domain = merged(X_source, X_target)
    y = np.append(y_source, np.full(len(X_target), np.nan))
    model = skada.DensityReweight(LinearRegression().set_fit_request(sample_weight=True))
    return f"density {probe.error_of_model(model.fit(X, y, sample_domain=domain))}"


def accuracy():
    _, X_source, y_source, X_target, _ = probe.accuracy()
    X, domain = merged(X_source, X_target)
    y = np.append(y_source, np.full(len(X_target), -1))
    pipe = skada.make_da_pipeline(LogisticRegression().set_score_request(sample_weight=True)).fit(
        X, y, sample_domain=domain
    )
    return f"{ImportanceWeightedScorer()(pipe, X, y, sample_domain=domain):.3f}, by a scorer for the choice of models"


def no_overlap():
    w = weights_of(skada.DensityReweightAdapter(), shift=8.0)
    return f"the largest of {len(w)} weights has {w.max() / w.sum():.0%} of the sum"


probe.tell(
    "skada",
    {
        "weights": weights,
        "learner": learner,
        "shares": probe.absent("skada", "quantif", "label_shift", "prevalence", "prior"),
        "shares_interval": probe.absent("skada", "interval", "quantif"),
        "accuracy": accuracy,
        "accuracy_interval": probe.absent("skada", "interval", "bootstrap"),
        "sets": probe.absent("skada", "conformal", "interval", "coverage"),
        "moved": probe.absent("skada", "drift", "two_sample", "shift_test", "pvalue"),
        "no_overlap": no_overlap,
        "few_labels": probe.absent("skada", "few_label", "few_shot", "finetune", "fine_tune"),
        "alone": probe.absent("skada", "abstain", "verdict", "diagnos"),
    },
)
