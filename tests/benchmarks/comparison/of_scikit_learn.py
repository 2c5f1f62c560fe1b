"""The questions put to scikit-learn: `python tests/benchmarks/comparison/of_scikit_learn.py [FILE]`."""

import probe


def absent(*words):
    """No public name of scikit-learn holds a word."""
    return probe.absent("sklearn", *words)


RATIO = absent("density_ratio", "importance_weight", "covariate_shift", "reweight", "domain_adapt")
SHARES = absent("quantif", "label_shift", "prior_shift", "saerens", "prevalence")
RISK = absent("without_label", "unlabel", "unsupervised_accuracy", "confidence_based")
answers = {
    "weights": RATIO,
    "learner": RATIO,
    "shares": SHARES,
    "shares_interval": SHARES,
    "accuracy": RISK,
    "accuracy_interval": RISK,
    "sets": absent("conformal", "prediction_interval"),
    "moved": absent("drift", "two_sample", "domain_classifier", "mmd"),
    "no_overlap": absent("overlap", "support_check", "positivity"),
    "few_labels": absent("few_label", "few_shot", "target_label", "finetune", "fine_tune"),
    "alone": absent("abstain", "verdict", "diagnos"),
}
probe.tell("scikit-learn", answers)
