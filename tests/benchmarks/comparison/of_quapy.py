"""The questions put to QuaPy: `python tests/benchmarks/comparison/of_quapy.py [FILE]`."""

import probe
import quapy
from quapy.method.aggregative import EMQ, PACC
from quapy.method.confidence import AggregativeBootstrap
from sklearn.linear_model import LogisticRegression

quapy.environ["N_JOBS"] = 1


def shares():
    (X_source, y_source), (X_target, _) = probe.shares()
    found = {
        name: method(LogisticRegression()).fit(X_source, y_source).predict(X_target)[1]
        for name, method in (("EMQ", EMQ), ("PACC", PACC))
    }
    return "; ".join(f"{name} {share:.3f}" for name, share in found.items())


def interval():
    (X_source, y_source), (X_target, _) = probe.shares()
    model = AggregativeBootstrap(PACC(LogisticRegression()), random_state=0).fit(X_source, y_source)
    _, region = model.predict_conf(X_target)
    low, high = (end[1] for end in (region.I_low, region.I_high))
    return f"PACC {low:.2f} to {high:.2f}"


probe.tell(
    "quapy",
    {
        "weights": probe.absent("quapy", "density_ratio", "reweight", "kliep", "kmm"),
        "learner": probe.absent("quapy", "domain_adapt", "covariate_shift", "reweight"),
        "shares": shares,
        "shares_interval": interval,
        "accuracy": probe.absent("quapy", "accuracy_pred", "risk", "accuracy_estim", "leave_one_out_accuracy"),
        "accuracy_interval": probe.absent("quapy", "accuracy_interval", "risk"),
        "sets": probe.absent("quapy", "conformal", "coverage"),
        "moved": probe.absent("quapy", "drift_test", "two_sample", "shift_test", "detect"),
        "no_overlap": probe.absent("quapy", "overlap", "positivity"),
        "few_labels": probe.absent("quapy", "few_label", "few_shot", "finetune"),
        "alone": probe.absent("quapy", "abstain", "verdict", "diagnos"),
    },
)
