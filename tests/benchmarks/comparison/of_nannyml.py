"""The questions put to NannyML: `python tests/benchmarks/comparison/of_nannyml.py [FILE]`."""

import nannyml
import pandas as pd
import probe


def tables():
    """Source and target of the accuracy question as NannyML's reference and analysis."""
    model, X_source, y_source, X_target, _ = probe.accuracy()
    made = []
    for X in (X_source, X_target):
        frame = pd.DataFrame(X, columns=["a", "b"])
        made.append(frame.assign(score=model.predict_proba(X)[:, 1], guess=model.predict(X)))
    made[0]["y"] = y_source
    return made


def estimate():
    """CBPE of one chunk that holds the target."""
    reference, analysis = tables()
    cbpe = nannyml.CBPE(
        metrics=["accuracy"],
        y_true="y",
        y_pred="guess",
        y_pred_proba="score",
        problem_type="classification_binary",
        chunk_size=len(analysis),
    )
    return cbpe.fit(reference).estimate(analysis).filter(period="analysis").to_df()["accuracy"].iloc[0]


def interval():
    found = estimate()
    return f"{found['lower_confidence_boundary']:.3f} to {found['upper_confidence_boundary']:.3f} (sampling error only)"


def alerts(X_source, X_target):
    """How many of the features alert."""
    reference, analysis = (pd.DataFrame(X, columns=["x"]) for X in (X_source, X_target))
    test = nannyml.UnivariateDriftCalculator(
        column_names=["x"], continuous_methods=["kolmogorov_smirnov"], chunk_size=len(analysis)
    )
    found = test.fit(reference).calculate(analysis).filter(period="analysis").to_df()
    return bool(found[("x", "kolmogorov_smirnov", "alert")].iloc[0])


def moved():
    X_source, _, X_target, _ = probe.covariate()
    return f"alert {alerts(X_source[:1500], X_target)}, {alerts(X_source[:1500], X_source[1500:])}"


probe.tell(
    "nannyml",
    {
        "weights": probe.absent("nannyml", "density_ratio", "reweight", "importance_weight"),
        "learner": probe.absent("nannyml", "covariate_shift", "reweight", "adapt"),
        "shares": probe.absent("nannyml", "quantif", "label_shift", "prevalence"),
        "shares_interval": probe.absent("nannyml", "quantif", "label_shift", "prevalence"),
        "accuracy": lambda: f"{estimate()['value']:.3f} (CBPE)",
        "accuracy_interval": interval,
        "sets": probe.absent("nannyml", "conformal", "coverage"),
        "moved": moved,
        "no_overlap": probe.absent("nannyml", "overlap", "positivity"),
        "few_labels": probe.absent("nannyml", "few_label", "few_shot", "finetune"),
        "alone": probe.absent("nannyml", "abstain", "verdict", "diagnos"),
    },
)
