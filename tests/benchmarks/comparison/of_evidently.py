"""The questions put to Evidently: `python tests/benchmarks/comparison/of_evidently.py [FILE]`."""

import json

import pandas as pd
import probe
from evidently import Report
from evidently.presets import DataDriftPreset


def share_of_drifted(X_source, X_target):
    """What the data drift preset says of one column."""
    reference, current = (pd.DataFrame(X, columns=["x"]) for X in (X_source, X_target))
    found = json.loads(Report([DataDriftPreset()]).run(current, reference).json())
    return found["metrics"][0]["value"]["share"]


def moved():
    X_source, _, X_target, _ = probe.covariate()
    told = (share_of_drifted(X_source[:1500], X) for X in (X_target, X_source[1500:]))
    return "share of drifted columns " + ", ".join(f"{share:.0f}" for share in told)


probe.tell(
    "evidently",
    {
        "weights": probe.absent("evidently", "density_ratio", "reweight", "importance_weight"),
        "learner": probe.absent("evidently", "covariate_shift", "reweight", "domain_adapt"),
        "shares": probe.absent("evidently", "quantif", "label_shift", "prevalence"),
        "shares_interval": probe.absent("evidently", "quantif", "label_shift", "prevalence"),
        "accuracy": probe.absent("evidently", "without_label", "cbpe", "confidence_based", "performance_estim"),
        "accuracy_interval": probe.absent("evidently", "without_label", "cbpe", "confidence_based"),
        "sets": probe.absent("evidently", "conformal"),
        "moved": moved,
        "no_overlap": probe.absent("evidently", "overlap", "positivity"),
        "few_labels": probe.absent("evidently", "few_label", "few_shot", "finetune"),
        "alone": probe.absent("evidently", "abstain", "verdict", "diagnos"),
    },
)
