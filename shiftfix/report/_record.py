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
# Share of the prediction that is written as 100%.
ALL_OF_IT = 0.995

PACKAGES = ("shiftfix", "numpy", "pandas", "scikit-learn", "scipy", "torch")


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
        WeightSummary, of the power of the weights that was used, or None) and "priors" (a list of dicts by class; None
        where class shares were not asked for); of covariate shift alone the "exponent" of the weights, 0 where they are
        not used. Of a diagnosed model also "correction" ("none", "weights", "prior" or "labels"), "diagnosis" (of
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
        summary = summary_of_used(model, sample_weight)
        shift, verdict, priors = "covariate", model.verdict_, None
    exponent = {} if isinstance(model, LabelShiftClassifier) else {"exponent": float(model.exponent_)}
    return {
        "shift": shift,
        "verdict": verdict.level,
        "reasons": list(verdict.reasons),
        "action": verdict.action,
        "corrected": model.corrected_,
        "weights": weight_record(summary),
        "priors": priors,
        **exponent,
    }


def summary_of_used(
    model: CovariateShiftClassifier | CovariateShiftRegressor, sample_weight: ArrayLike | None
) -> WeightSummary:
    """What the weights are worth that the model was trained with, or would have been: a power of those estimated."""
    summary: WeightSummary = model.summary_
    if not 0 < model.exponent_ < 1:
        return summary
    used = summarize_weights(model.weights_, sample_weight=sample_weight)
    names = ("effective_size", "max_weight", "pareto_k", "pareto_k_threshold")
    # The balance is that of the whole weights.
    return dataclasses.replace(summary, worst_balanced=None, **{name: getattr(used, name) for name in names})


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
        "corrected": changes_predictions(model),
        "weights": None,
        "priors": None,
        "correction": "labels",
        "used": model.correction_,
        "n_labels": model.n_labels_,
        "shares": {name: float(share) for name, share in model.weights_.items()},
    }


def changes_predictions(model: FewLabel) -> bool:
    """Whether target labels asked for a correction, of half a percent of the prediction at least."""
    return bool(model.weights_.get("nothing", 0.0) < ALL_OF_IT)


def automatic_record(model: Automatic, y: ArrayLike | None, sample_weight: ArrayLike | None) -> Record:
    """The record of a model that was diagnosed first."""
    diagnosis, corrector = model.diagnosis_, model.corrector_
    summary = summary_of_shares(model, y, sample_weight)
    return {
        "shift": model.shift,
        "verdict": diagnosis.verdict.level,
        "reasons": list(diagnosis.verdict.reasons),
        "action": diagnosis.verdict.action,
        "corrected": changes_predictions(corrector) if model.correction_ == "labels" else model.correction_ != "none",
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
