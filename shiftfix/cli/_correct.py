"""``shiftfix correct``: two files in, a folder with weights, predictions and the corrected model out."""

import dataclasses
import json
import platform
import re
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

from shiftfix.cli._encode import encoded_names, fit_encoder
from shiftfix.cli._exit import InputError, UnsupportedError, UsageError
from shiftfix.cli._output import check_output, new_folder
from shiftfix.cli._tables import prepare_tables, read_table, sha256
from shiftfix.exceptions import NotIdentifiedError, ShiftDataError
from shiftfix.weights._transform import check_clip

FOREST_LEAF = 5

FILES_TEXT = """\
predictions.csv  one line per target row, counted from 0
weights.csv      one line per source row, counted from 0: target / source, mean 1; all 1 when uncorrected.
                 Adjusting class probabilities uses no weights; these are then for information.
model.joblib     joblib.load(...).predict(data_frame) takes the raw columns. Load only files you trust.
"""


def run_correct(source, target, out, options):
    """Read, fit, write.

    Parameters
    ----------
    source, target, out : pathlib.Path
    options : dict
        The command's options by name; None where not given.

    Returns
    -------
    dict
        What summary.json holds.

    Raises
    ------
    CommandError
        As described in ``_exit``.
    """
    options = _with_defaults(options)
    final = check_output(out, options["overwrite"])
    tables = prepare_tables(
        read_table(source, "source"),
        read_table(target, "target"),
        label=options["label"],
        weight=options["weight"],
        drop=options["drop"],
        shift=options["shift"],
        task=options["task"],
        unseen_category=options["unseen_category"],
    )
    learner = make_learner(tables.task, options)
    encoder = fit_encoder(tables.source, tables.target, tables.numeric, tables.text)
    X_source, X_target = encoder.transform(tables.source), encoder.transform(tables.target)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = fit_covariate if options["shift"] == "covariate" else fit_label
        try:
            model, weights, report = fit(learner, X_source, X_target, tables, options)
        except NotIdentifiedError as error:
            raise UnsupportedError(_on_the_command_line(str(error), encoder)) from error
        report["target_score"] = _target_score(model, learner, X_source, X_target, tables)
    # Each fold of the prior repeats the learner's warning; once is enough.
    said = [_on_the_command_line(str(warning.message), encoder) for warning in caught]
    notices = list(dict.fromkeys([*tables.notices, *said]))
    report["reasons"] = [_on_the_command_line(reason, encoder) for reason in report["reasons"]]
    summary = {
        "task": tables.task,
        **report,
        "notices": notices,
        "source": {"file": str(source), "sha256": sha256(source), "rows": len(tables.source)},
        "target": {"file": str(target), "sha256": sha256(target), "rows": len(tables.target)},
        "columns": {
            "label": options["label"],
            "weight": options["weight"],
            "numeric": tables.numeric,
            "text": tables.text,
            "dropped": options["drop"],
        },
        "options": {key: value for key, value in options.items() if key not in ("overwrite", "quiet", "debug")},
        "versions": _versions(),
    }
    _write(final, encoder, model, weights, tables, summary)
    return summary


def _on_the_command_line(text, encoder):
    """A message of the library with the names of columns and options as this command has them."""
    names = encoded_names(encoder)
    text = re.sub(r"column (\d+)", lambda match: f"column {names[int(match[1])]!r}", text)
    return re.sub(r'on_abstain="(\w+)"', r"--on-abstain \1", text)


def _with_defaults(options):
    """Options with defaults in place of None; refuses those that the shift or the learner has no use for."""
    given = dict(options)
    owner = {
        "clip": ("shift", "covariate"),
        "correction": ("shift", "label"),
        "hidden": ("learner", "mlp"),
        "epochs": ("learner", "mlp"),
        "dropout": ("learner", "mlp"),
    }
    for name, (option, value) in owner.items():
        if given[name] is not None and given[option] != value:
            raise UsageError(f"--{name} is for --{option} {value}, and --{option} is {given[option]}: leave it out.")
    if given["shift"] == "label" and given["on_abstain"] == "correct":
        raise UsageError(
            "--on-abstain correct is for --shift covariate: under label shift there is no prior to correct "
            "with when the scores cannot tell it. Pass uncorrected or error."
        )
    if given["shift"] == "label" and given["task"] == "regression":
        raise UsageError("--shift label is about classes, and --task is regression: pass --shift covariate.")
    if given["correction"] is None and given["shift"] == "label":
        given["correction"] = "adjust"
    if given["shift"] == "covariate":
        given["clip"] = _clip(given["clip"])
    if given["learner"] == "mlp":
        given["hidden"] = _sizes(given["hidden"] or "256,256")
        given["epochs"] = 100 if given["epochs"] is None else given["epochs"]
    return given


def _clip(text):
    if text in (None, "none"):
        return "sqrt" if text is None else None
    try:
        value = float(text)
    except ValueError:
        value = text
    try:
        check_clip(value, 1)
        known = value != np.inf
    except ShiftDataError:
        known = False
    if not known:
        raise UsageError(
            f'--clip {text}: "sqrt", "none", "ess", "pareto", a percentile such as "99%" or a number > 0 is needed.'
        )
    return value


def _sizes(text):
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1:
        raise UsageError(f"--hidden {text}: whole numbers >= 1 separated by commas are needed, such as 64,64.")
    return sizes


def make_learner(task, options):
    """Unfitted estimator for the task.

    Parameters
    ----------
    task : {"classification", "regression"}
    options : dict
        With ``learner``, ``seed`` and, for "mlp", ``hidden``, ``epochs`` and ``dropout``.

    Raises
    ------
    UsageError
        For a learner that does not do the task.
    """
    from sklearn import ensemble, linear_model
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    name, seed, classifies = options["learner"], options["seed"], task == "classification"
    if name == "mlp":
        from shiftfix.mlp import MLPClassifier, MLPRegressor

        settings = {"max_epochs": options["epochs"], "random_state": seed}
        if options["dropout"] is not None:
            settings["dropout"] = options["dropout"]
        return (MLPClassifier if classifies else MLPRegressor)(tuple(options["hidden"]), **settings)
    if name == "forest":
        forest = ensemble.RandomForestClassifier if classifies else ensemble.RandomForestRegressor
        return forest(min_samples_leaf=FOREST_LEAF, random_state=seed)
    if name == "boosting":
        boosting = ensemble.HistGradientBoostingClassifier if classifies else ensemble.HistGradientBoostingRegressor
        return boosting(random_state=seed)
    if classifies != (name == "logistic"):
        other = "logistic" if classifies else "linear"
        raise UsageError(f"--learner {name} does no {task}, which is the task here: pass --learner {other}.")
    last = linear_model.LogisticRegression(max_iter=1000) if classifies else linear_model.Ridge()
    return make_pipeline(StandardScaler(), last)


def fit_covariate(learner, X_source, X_target, tables, options):
    """Fitted model, shift weight of each source row, and what there is to say about them."""
    from shiftfix.corrected import CovariateShiftClassifier, CovariateShiftRegressor
    from shiftfix.covariate import LogisticWeighter

    corrected = CovariateShiftClassifier if tables.task == "classification" else CovariateShiftRegressor
    model = corrected(learner, LogisticWeighter(clip=options["clip"]), on_abstain=options["on_abstain"])
    model.fit(X_source, tables.y, X_target=X_target, sample_weight=tables.sample_weight)
    summary = model.summary_
    report = {
        "shift": "covariate",
        "verdict": summary.verdict.level,
        "reasons": list(summary.reasons),
        "corrected": model.corrected_,
        "weights": _weights_record(summary),
        "priors": None,
    }
    return model, model.weights_, report


def fit_label(learner, X_source, X_target, tables, options):
    """Fitted model, shift weight of each source row, and what there is to say about them.

    The verdict is "abstain" when the scores cannot tell the prior, "caution" when it could but the
    model was retrained on weights that summarize_weights calls less than "ok", else "ok".
    """
    from shiftfix.corrected import LabelShiftClassifier
    from shiftfix.weights import summarize_weights

    model = LabelShiftClassifier(
        learner,
        correction=options["correction"],
        on_abstain=options["on_abstain"],
        random_state=options["seed"],
    )
    model.fit(X_source, tables.y, X_target=X_target, sample_weight=tables.sample_weight)
    weights = model.prior_.transform(tables.y) if model.corrected_ else np.ones(len(tables.y))
    summary = summarize_weights(weights, sample_weight=tables.sample_weight)
    verdict, reasons = "ok", []
    if not model.corrected_:
        verdict, reasons = "abstain", [model.prior_.reason_ or "the scores do not tell the classes apart"]
    elif options["correction"] == "retrain" and summary.verdict != "ok":
        verdict, reasons = "caution", list(summary.reasons)
    # What was estimated, used or not: beside its interval it tells why.
    interval, estimate = np.full((len(model.classes_), 2), np.nan), model.target_prior_
    if hasattr(model.prior_, "target_prior_"):
        interval, estimate = model.prior_.interval(0.95), model.prior_.target_prior_
    priors = [
        {
            "class": value.item(),
            "source": float(p),
            "target": float(q),
            "low": float(low),
            "high": float(high),
        }
        for value, p, q, (low, high) in zip(model.classes_, model.source_prior_, estimate, interval, strict=True)
    ]
    report = {
        "shift": "label",
        "verdict": verdict,
        "reasons": reasons,
        "corrected": model.corrected_,
        "weights": _weights_record(summary),
        "priors": [_finite(prior) for prior in priors],
    }
    return model, weights, report


def _weights_record(summary):
    record = dataclasses.asdict(summary)
    # Said once, at the top: under label shift the verdict there is about the prior.
    del record["verdict"]
    return _finite(record)


def _finite(value):
    """The value with None for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _target_score(model, learner, X_source, X_target, tables):
    """Score of the corrected and of the plain learner on the target, where its labels are known."""
    if tables.y_target is None:
        return None
    from sklearn.metrics import accuracy_score, root_mean_squared_error

    from shiftfix.corrected import fit_weighted

    plain = model.estimator_
    if model.corrected_ and getattr(model, "correction", None) != "adjust":
        # Weights of one, not none: a network given weights stops early, and the two must stop alike.
        ones = np.ones(len(tables.y)) if tables.sample_weight is None else tables.sample_weight
        plain = fit_weighted(learner, X_source, tables.y, ones)
    name, score = "accuracy", accuracy_score
    if tables.task == "regression":
        name, score = "root mean squared error", root_mean_squared_error
    return {
        "metric": name,
        "uncorrected": float(score(tables.y_target, plain.predict(X_target))),
        "corrected": float(score(tables.y_target, model.predict(X_target))),
    }


def _versions():
    packages = ["shiftfix", "numpy", "pandas", "scikit-learn", "scipy", "torch"]
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


def _write(final, encoder, model, weights, tables, summary):
    import joblib
    import pandas as pd
    from sklearn.pipeline import Pipeline

    pipeline = Pipeline([("encode", encoder), ("model", model)])
    predictions = pd.DataFrame({"prediction": pipeline.predict(tables.target)})
    if tables.task == "classification":
        names = [f"probability_{value}" for value in model.classes_]
        probabilities = pd.DataFrame(pipeline.predict_proba(tables.target), columns=names)
        predictions = pd.concat([predictions, probabilities], axis=1)
    if not np.isfinite(predictions.select_dtypes("number").to_numpy()).all():
        raise InputError("the model predicts values that are not finite: look for extreme values in the columns.")
    table = pd.DataFrame({"weight": weights})
    if tables.sample_weight is not None:
        table["total_weight"] = weights * tables.sample_weight
    with new_folder(final) as folder:
        predictions.to_csv(folder / "predictions.csv", index_label="row", lineterminator="\n")
        table.to_csv(folder / "weights.csv", index_label="row", lineterminator="\n")
        joblib.dump(pipeline, folder / "model.joblib")
        text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
        Path(folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        Path(folder / "summary.txt").write_text(summary_text(summary), encoding="utf-8")


def summary_rows(summary):
    """Label and value of each line that a person wants first: list of (str, str)."""
    weights, options = summary["weights"], summary["options"]
    learner = options["learner"]
    if learner == "mlp":
        learner += f" ({', '.join(map(str, options['hidden']))} hidden units, at most {options['epochs']} epochs)"
    if not summary["corrected"]:
        done = "nothing: the model was fitted without weights"
    elif summary["shift"] == "covariate":
        done = "the model was trained on weighted source rows"
    elif options["correction"] == "adjust":
        done = "the class probabilities were adjusted to the target's class shares"
    else:
        done = "the model was trained again on source rows weighted by class"
    rows = [
        ("shift assumed", summary["shift"]),
        ("task, learner", f"{summary['task']}, {learner}"),
        ("rows", f"{summary['source']['rows']} source, {summary['target']['rows']} target"),
        ("features", f"{len(summary['columns']['numeric'])} numeric, {len(summary['columns']['text'])} text"),
        ("verdict", summary["verdict"]),
        *(("  because", reason) for reason in summary["reasons"]),
        ("corrected", done),
        ("effective sample size", f"{weights['effective_size']:.1f} of {weights['n_source']:g} rows"),
        ("largest weight (mean 1)", f"{weights['max_weight']:.2f}"),
    ]
    if weights["domain_auc"] is not None:
        rows += [
            ("target mass lost", f"{weights['target_lost_mass']:.1%}"),
            ("domain AUC", f"{weights['domain_auc']:.3f} (0.5: the samples look alike)"),
        ]
    for prior in summary["priors"] or []:
        interval = "no interval" if prior["low"] is None else f"95% {prior['low']:.3f} to {prior['high']:.3f}"
        interval += "" if summary["corrected"] else ", not used"
        rows.append((f"share of {prior['class']}", f"{prior['source']:.3f} -> {prior['target']:.3f} ({interval})"))
    score = summary["target_score"]
    if score is not None:
        rows.append(
            (
                f"target {score['metric']}",
                f"{score['uncorrected']:.4f} uncorrected, {score['corrected']:.4f} corrected",
            )
        )
    return rows


def summary_text(summary):
    """The summary for people, as summary.txt holds it."""
    columns = summary["columns"]
    rows = [
        *summary_rows(summary),
        *(("notice", notice) for notice in summary["notices"]),
        ("source file", f"{summary['source']['file']} (sha256 {summary['source']['sha256']})"),
        ("target file", f"{summary['target']['file']} (sha256 {summary['target']['sha256']})"),
        ("label column", columns["label"]),
        ("numeric columns", ", ".join(columns["numeric"]) or "none"),
        ("text columns", ", ".join(columns["text"]) or "none"),
        ("encoding", "medians from source and target features, text values from the source; no labels used"),
        ("seed", str(summary["options"]["seed"])),
        ("versions", ", ".join(f"{name} {number}" for name, number in summary["versions"].items())),
    ]
    width = max(len(label) for label, _ in rows) + 2
    return "\n".join(f"{label:<{width}}{value}" for label, value in rows) + "\n\n" + FILES_TEXT
