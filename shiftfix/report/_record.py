"""One record of everything known of a corrected model.

The command line writes it as summary.json and summary.txt; whatever else shows a run reads the same dict.
"""

import dataclasses
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._door import public
from shiftfix._naming import one_line
from shiftfix._verdict import Verdict, judge
from shiftfix.corrected import (
    CovariateShiftClassifier,
    CovariateShiftRegressor,
    FewLabelClassifier,
    FewLabelRegressor,
    LabelShiftClassifier,
    ShiftCorrectedClassifier,
    ShiftCorrectedRegressor,
)
from shiftfix.label import positions_among
from shiftfix.report._diagnosis import diagnosis_record, plain_number
from shiftfix.weights import WeightSummary, summarize_weights

Record = dict[str, Any]
Automatic = ShiftCorrectedClassifier | ShiftCorrectedRegressor
FewLabel = FewLabelClassifier | FewLabelRegressor
Corrected = CovariateShiftClassifier | CovariateShiftRegressor | LabelShiftClassifier | FewLabel | Automatic

# Labels below which they tell little, and the number that repairs most models that can be repaired.
FEW, ENOUGH_LABELS = 25, 50

PACKAGES = ("shiftfix", "numpy", "pandas", "scikit-learn", "scipy", "torch")
FILES_TEXT = """\
predictions.csv  one line per target row, counted from 0
weights.csv      one line per source row, counted from 0: target / source, mean 1; all 1 when uncorrected, or corrected
                 by target labels. Adjusting class probabilities uses no weights; these are then for information.
model.skops      shiftfix predict model.skops ROWS.csv, or shiftfix.load_model(...).predict(data_frame), takes the
                 raw columns. Loading it executes nothing.
"""


@public
def source_weights(model: Corrected, y: ArrayLike) -> NDArray[np.float64]:
    """Shift weight of each source row, mean 1; ones when the model is not corrected.

    Parameters
    ----------
    model : fitted meta-estimator
        From ``shiftfix.corrected``.
    y : array-like of shape (n_source,)
        The labels it was fitted with.

    Returns
    -------
    ndarray of shape (n_source,)
        Before any ``sample_weight``. Of a model that adjusts its posteriors, the weights that would do the same.

    See Also
    --------
    fit_record : What a fitted meta-estimator did and why.
    shiftfix.weights.summarize_weights : Size, overlap, verdict.
    """
    if isinstance(model, Automatic):
        return source_weights(model.corrector_, y) if has_weights(model) else np.ones(len(np.asarray(y)))
    if isinstance(model, FewLabel):
        return np.ones(len(np.asarray(y)))
    if not isinstance(model, LabelShiftClassifier):
        return model.weights_
    if not model.corrected_:
        return np.ones(len(np.asarray(y)))
    return (model.target_prior_ / model.source_prior_)[positions_among(y, "y", model.classes_)]


def has_weights(model: Automatic) -> bool:
    """Whether the correction is one of weights, or would be the same as one."""
    return model.correction_ in ("weights", "prior")


@public
def fit_record(model: Corrected, y: ArrayLike | None = None, *, sample_weight: ArrayLike | None = None) -> Record:
    """What a fitted meta-estimator did and why.

    Parameters
    ----------
    model : fitted meta-estimator
        From ``shiftfix.corrected``.
    y : array-like of shape (n_source,), default=None
        The labels it was fitted with. Without them weights that the model does not keep are not told of.
    sample_weight : array-like of shape (n_source,), default=None
        The weights it was fitted with.

    Returns
    -------
    dict
        "shift" ("covariate", "label", "any" of a model corrected by target labels, or what a diagnosis chose from, such
        as "auto"), "verdict", its "reasons" and "action", "corrected", "weights" (a dict of the numbers of a
        WeightSummary, or None) and "priors" (a list of dicts by class; None where class shares were not asked for). Of
        a diagnosed model also "correction" ("none", "weights", "prior" or "labels"), "diagnosis" (of
        :func:`diagnosis_record`) and "used" (in words, how far target labels were followed; else None). Of one that
        target labels correct "correction", "used", "n_labels" and "shares" (of the prediction, by correction). Values
        are what JSON has; None stands for a number that is not finite.

    See Also
    --------
    run_record : The same with data, options and versions.
    diagnosis_record : A diagnosis with all its tests.
    """
    if isinstance(model, Automatic):
        return automatic_record(model, y, sample_weight)
    if isinstance(model, FewLabel):
        return few_label_record(model)
    if isinstance(model, LabelShiftClassifier):
        summary = summary_of_shares(model, y, sample_weight)
        shift, verdict, priors = "label", label_verdict(model, summary), prior_records(model)
    else:
        summary = model.summary_
        shift, verdict, priors = "covariate", model.verdict_, None
    return {
        "shift": shift,
        "verdict": verdict.level,
        "reasons": list(verdict.reasons),
        "action": verdict.action,
        "corrected": model.corrected_,
        "weights": weight_record(summary),
        "priors": priors,
    }


def summary_of_shares(model: Corrected, y: ArrayLike | None, sample_weight: ArrayLike | None) -> WeightSummary | None:
    """What weights of the source rows are worth that the labels imply; None without labels."""
    return None if y is None else summarize_weights(source_weights(model, y), sample_weight=sample_weight)


def few_label_record(model: FewLabel) -> Record:
    """The record of a model that target labels alone correct."""
    few = [f"{model.n_labels_} target labels tell little"] if model.n_labels_ < FEW else []
    verdict = judge([], few, f"Label {ENOUGH_LABELS} target rows drawn at random: they repair what they can.")
    return {
        "shift": "any",
        "verdict": verdict.level,
        "reasons": list(verdict.reasons) or [f"{model.n_labels_} target labels decide how much of which correction"],
        "action": verdict.action or "Deploy, and monitor.",
        "corrected": model.weights_.get("nothing", 0.0) < 1,
        "weights": None,
        "priors": None,
        "correction": "labels",
        "used": model.correction_,
        "n_labels": model.n_labels_,
        "shares": {name: float(share) for name, share in model.weights_.items()},
    }


def automatic_record(model: Automatic, y: ArrayLike | None, sample_weight: ArrayLike | None) -> Record:
    """The record of a model that was diagnosed first."""
    diagnosis, corrector = model.diagnosis_, model.corrector_
    summary = summary_of_shares(model, y, sample_weight)
    return {
        "shift": model.shift,
        "verdict": diagnosis.verdict.level,
        "reasons": list(diagnosis.verdict.reasons),
        "action": diagnosis.verdict.action,
        "corrected": model.correction_ != "none",
        "weights": weight_record(corrector.summary_ if model.correction_ == "weights" else summary),
        "priors": diagnosed_priors(model) or None,
        "correction": model.correction_,
        "used": corrector.correction_ if model.correction_ == "labels" else None,
        "diagnosis": diagnosis_record(diagnosis),
    }


def diagnosed_priors(model: Automatic) -> list[Record]:
    """Class by class as :func:`prior_records`, with None for a share of the target that was not used."""
    shares, corrector = model.diagnosis_.class_shares, model.corrector_
    source = getattr(corrector, "source_prior_", [share.source for share in shares])
    used = [share.estimate if model.correction_ == "labels" else np.nan for share in shares]
    if model.correction_ == "prior":
        used = corrector.target_prior_
    return [
        finite({"class": share.label, "source": float(p), "target": float(q), "low": share.low, "high": share.high})
        for share, p, q in zip(shares, source, used, strict=True)
    ]


def label_verdict(model: LabelShiftClassifier, summary: WeightSummary | None) -> Verdict:
    """The verdict on the prior; "caution" where the model was retrained on weights that are called less than "ok"."""
    if not model.corrected_ or model.correction == "adjust" or summary is None:
        return model.verdict_
    return judge([], summary.reasons, summary.verdict.action)


def weight_record(summary: WeightSummary | None) -> Record | None:
    """The numbers of a summary, without its verdict: under label shift that of the run is about the prior."""
    if summary is None:
        return None
    record = dataclasses.asdict(summary)
    del record["verdict"]
    return {name: finite(value) for name, value in record.items()}


def prior_records(model: LabelShiftClassifier) -> list[Record]:
    """Class by class: its share of the source, of the target as used, or else estimated, and its 95% interval."""
    estimate, interval = model.target_prior_, np.full((len(model.classes_), 2), np.nan)
    if hasattr(model.prior_, "target_prior_"):
        estimate = model.target_prior_ if model.corrected_ else model.prior_.target_prior_
        interval = model.interval(0.95)
    return [
        finite({"class": value, "source": p, "target": q, "low": low, "high": high})
        for value, p, q, (low, high) in zip(
            model.classes_.tolist(), model.source_prior_.tolist(), estimate.tolist(), interval.tolist(), strict=True
        )
    ]


def finite(value: Any) -> Any:
    """The value with None for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return plain_number(value)


def versions() -> dict[str, str]:
    """Version of Python and of the packages that the numbers may depend on."""
    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


@public
def run_record(
    fit: Record,
    *,
    task: str,
    target_score: Record | None,
    notices: list[str],
    source: Record,
    target: Record,
    columns: Record,
    options: Mapping[str, Any],
) -> Record:
    """What a run read, did and found.

    Parameters
    ----------
    fit : dict
        Of :func:`fit_record`, or the "diagnosis" alone where nothing was fitted to be kept.
    task : {"classification", "regression"}
    target_score : dict or None
        "metric", "uncorrected", "corrected", where the target's labels are known.
    notices : list of str
        What was ignored, filled in or warned of.
    source, target : dict
        "file", "sha256", "rows".
    columns : dict
        "label", "target_labels", "weight", "id", "numeric", "text", "dropped".
    options : mapping
        What the run was asked for; "learner", "seed" and, of a network, "hidden" and "epochs" are shown.

    Returns
    -------
    dict
        Ready for JSON.

    See Also
    --------
    fit_record : What a fitted meta-estimator did and why.
    summary_text : A record as text.
    """
    return {
        "task": task,
        **fit,
        "target_score": target_score,
        "notices": notices,
        "source": source,
        "target": target,
        "columns": columns,
        "options": dict(options),
        "versions": versions(),
    }


def _learner(options: Mapping[str, Any]) -> str:
    if options["learner"] != "mlp":
        return options["learner"]
    return f"mlp ({', '.join(map(str, options['hidden']))} hidden units, at most {options['epochs']} epochs)"


def _done(record: Record) -> str:
    """One sentence: what the correction was."""
    if "diagnosis" in record:
        return _done_by_evidence(record)
    if not record["corrected"]:
        return _left_alone(record["shift"], record["verdict"])
    if record["shift"] == "covariate":
        return "the model was trained on weighted source rows"
    if record["options"]["correction"] == "adjust":
        return "the class probabilities were adjusted to the target's class shares"
    return "the model was trained again on source rows weighted by class"


def _done_by_evidence(record: Record) -> str:
    """One sentence: what a diagnosis led to."""
    n_labels = record["diagnosis"]["n_labels"]
    return {
        "none": "nothing: the model was fitted on the source as it is",
        "weights": "the model was trained on weighted source rows",
        "prior": "the class probabilities were adjusted to the target's class shares",
        "labels": f"the predictions were corrected by {n_labels} target labels: {record['used']}",
    }[record["correction"]]


def _left_alone(shift: str, verdict: str) -> str:
    """One sentence: that nothing was corrected."""
    if verdict == "ok":
        return f"nothing: {'no weights are needed' if shift == 'covariate' else 'there is no shift to correct for'}"
    if shift == "covariate":
        return "nothing: the model was fitted without weights"
    return "nothing: the source's class shares were kept"


def _weight_rows(weights: Record) -> list[tuple[str, str]]:
    rows = [
        ("effective sample size", f"{weights['effective_size']:.1f} of {weights['n_source']:g} rows"),
        ("largest weight (mean 1)", f"{weights['max_weight']:.2f}"),
    ]
    if weights["domain_auc"] is not None:
        rows += [
            ("target mass lost", f"{weights['target_lost_mass']:.1%}"),
            ("domain AUC", f"{weights['domain_auc']:.3f} (0.5: the samples look alike)"),
        ]
    return rows


def _rows_of_target(record: Record) -> str:
    labelled = record.get("diagnosis", {}).get("n_labels", 0)
    return f"{record['target']['rows']} target" + (f", {labelled} of them labelled" if labelled else "")


def _verdict_rows(record: Record) -> list[tuple[str, str]]:
    """The verdict and why, or the diagnosis that ends with them."""
    if "diagnosis" in record:
        return [
            ("  because" if label == "because" else label.lower(), text) for label, text in record["diagnosis"]["lines"]
        ]
    return [("verdict", record["verdict"]), *(("  because", reason) for reason in record["reasons"])]


def _correction_rows(record: Record) -> list[tuple[str, str]]:
    """Weights and class shares; of a diagnosed model, which tells them too, those that were used."""
    weights, priors = record["weights"], record["priors"] or []
    if "diagnosis" in record:
        weights = weights if record["correction"] in ("weights", "prior") else None
        priors = [prior for prior in priors if prior["target"] is not None]
    rows = [] if weights is None else _weight_rows(weights)
    return rows + [_prior_row(prior, record["corrected"]) for prior in priors]


def _prior_row(prior: Record, corrected: bool) -> tuple[str, str]:
    interval = "no interval" if prior["low"] is None else f"95% {prior['low']:.3f} to {prior['high']:.3f}"
    interval += "" if corrected else ", not used"
    return f"share of {prior['class']}", f"{prior['source']:.3f} -> {prior['target']:.3f} ({interval})"


@public
def summary_rows(record: Record) -> list[tuple[str, str]]:
    """Label and value of each line that a person wants first.

    Parameters
    ----------
    record : dict
        Made by :func:`run_record`.

    Returns
    -------
    list of (str, str)

    See Also
    --------
    summary_text : A record as text.
    run_record : The same with data, options and versions.
    """
    rows = [
        ("shift assumed", record["shift"]),
        ("task, learner", f"{record['task']}, {_learner(record['options'])}"),
        ("rows", f"{record['source']['rows']} source, {_rows_of_target(record)}"),
        ("features", f"{len(record['columns']['numeric'])} numeric, {len(record['columns']['text'])} text"),
        *_verdict_rows(record),
        ("corrected", _done(record)),
        *_correction_rows(record),
    ]
    score = record["target_score"]
    if score is not None:
        values = f"{score['uncorrected']:.4f} uncorrected, {score['corrected']:.4f} corrected"
        rows.append((f"target {score['metric']}", values))
    return _on_one_line(rows)


def _on_one_line(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The rows with no line end of the data's in them."""
    return [(one_line(label), one_line(value)) for label, value in rows]


@public
def summary_text(record: Record) -> str:
    """A record for people, as summary.txt holds it.

    Parameters
    ----------
    record : dict
        Made by :func:`run_record`.

    Returns
    -------
    str

    See Also
    --------
    summary_rows : Labels and values for people.
    run_record : The same with data, options and versions.
    """
    columns = record["columns"]
    more = [
        *(("notice", notice) for notice in record["notices"]),
        ("source file", f"{record['source']['file']} (sha256 {record['source']['sha256']})"),
        ("target file", f"{record['target']['file']} (sha256 {record['target']['sha256']})"),
        ("label column", columns["label"]),
        *(
            (f"{role.replace('_', ' ')} column", columns[role])
            for role in ("target_labels", "weight", "id")
            if columns.get(role)
        ),
        ("numeric columns", ", ".join(columns["numeric"]) or "none"),
        ("text columns", ", ".join(columns["text"]) or "none"),
        ("encoding", "medians from source and target features, text values from the source; no labels used"),
        ("seed", str(record["options"]["seed"])),
        ("versions", ", ".join(f"{name} {number}" for name, number in record["versions"].items())),
    ]
    rows = summary_rows(record) + _on_one_line(more)
    width = max(len(label) for label, _ in rows) + 2
    return "\n".join(f"{label:<{width}}{value}" for label, value in rows) + "\n\n" + FILES_TEXT
