"""``shiftfix correct``: two samples in, weights, predictions and the corrected model out."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shiftfix._verdict import VERDICT_WARNINGS
from shiftfix.cli._automatic import (
    advice_on_labels,
    check_supported,
    make_automatic,
    raw_learner,
    raw_samples,
    rows_to_score,
    scoring_notices,
    target_sample,
)
from shiftfix.cli._encode import encoded_rows, fit_encoder
from shiftfix.cli._exit import UnsupportedError
from shiftfix.cli._learners import check_hidden_weights
from shiftfix.cli._output_file import write_text_file
from shiftfix.cli._predict import prediction_table
from shiftfix.cli._safe_csv import harmless_csv
from shiftfix.cli._samples import columns_of_run, roles_of
from shiftfix.cli._tables import Tables
from shiftfix.cli._weights_table import weight_table
from shiftfix.exceptions import NotIdentifiedError

ABSTAINED = "To fit without the correction, pass --on-abstain uncorrected."
ANYHOW = "the data do not support weighting, and nothing was weighted; --on-abstain correct weights all the same."
REJECTED = (
    "label shift is not what moved, and nothing was corrected; --drop columns that name the samples (ids, dates), "
    "label 50 target rows or more, or pass --causes label if the label causes the features and nothing else moved."
)


def correct_tables(
    tables: Tables, learner: Any, options: Mapping[str, Any], files: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Model of the raw columns, and record of a run.

    Parameters
    ----------
    tables : Tables
    learner : estimator
    options : mapping
        The command's options with their defaults.
    files : mapping
        Of :func:`files_of_run`.

    Raises
    ------
    UnsupportedError
        Where the data do not support the correction, and that was to be an error.
    """
    from shiftfix.report import fit_record, run_pictures, run_record

    roles = roles_of(options)
    encoder = fit_encoder(
        *(tables.source, tables.target, tables.numeric, tables.text), identifier=roles.id, left_out=roles.taken
    )
    check_hidden_weights(options["hidden"] or [], len(encoder[-1].names))
    plan = (plan_by_evidence if options["shift"] == "auto" else plan_as_assumed)(encoder, learner, tables, options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            plan.model.fit(plan.X_source, tables.y, X_target=plan.sample, sample_weight=tables.sample_weight)
            fit = fit_record(plan.model, tables.y, sample_weight=tables.sample_weight)
        except NotIdentifiedError as error:
            raise UnsupportedError(f"{error.finding} {ABSTAINED}") from error
        score, compared = _scores(plan, tables)
        drawn = run_pictures(plan.model, fit.get("diagnosis"), raw_samples(tables), (plan.X_source, plan.X_target))
    check_supported(fit, options)
    # What the record says of the verdict is not said twice, and each fold of the prior repeats the learner's warning.
    said = [str(warning.message) for warning in caught if not issubclass(warning.category, VERDICT_WARNINGS)]
    said += advice_on_labels(fit["verdict"], tables) if "diagnosis" in fit else _advice(plan.model, fit)
    record = run_record(
        fit,
        task=tables.task,
        target_score=score,
        notices=list(dict.fromkeys([*tables.notices, *scoring_notices(tables), *said])),
        columns=columns_of_run(tables, options),
        options=options,
        **files,
    )
    return plan.saved, {**record, **drawn, "before_after": compared}


class Plan(NamedTuple):
    """What is fitted, and on what.

    Attributes
    ----------
    model : meta-estimator
    learner : estimator
        The one inside.
    saved : estimator
        The model of the raw columns, fitted when ``model`` is.
    X_source, X_target : data frame
    sample : data frame or TargetSample
        What ``model`` is given of the target.
    """

    model: Any
    learner: Any
    saved: Any
    X_source: Any
    X_target: Any
    sample: Any


def plan_by_evidence(encoder: Any, learner: Any, tables: Tables, options: Mapping[str, Any]) -> Plan:
    """A diagnosis of the raw columns, of which it speaks, and what it leads to."""
    inner = raw_learner(encoder, learner)
    samples = raw_samples(tables)
    model = make_automatic(inner, tables.task, samples, options)
    return Plan(model, inner, model, *samples, target_sample(samples, tables.known))


def plan_as_assumed(encoder: Any, learner: Any, tables: Tables, options: Mapping[str, Any]) -> Plan:
    """The correction that was asked for, on encoded columns."""
    from sklearn.pipeline import Pipeline

    X_source, X_target = encoded_rows(encoder, tables.source), encoded_rows(encoder, tables.target)
    model = make_model(learner, tables.task, options)
    return Plan(model, learner, Pipeline([("encode", encoder), ("model", model)]), X_source, X_target, X_target)


def _advice(model: Any, fit: Mapping[str, Any]) -> list[str]:
    """What to do where nothing was corrected, in words of the command line."""
    if fit["verdict"] != "abstain" or fit["corrected"]:
        return []
    if fit["shift"] == "covariate":
        return [ANYHOW]
    return [] if model.label_shift_fit_ is None else [REJECTED]


def make_model(learner: Any, task: str, options: Mapping[str, Any]) -> Any:
    """Unfitted meta-estimator for the shift that is assumed."""
    from shiftfix.corrected import CovariateShiftClassifier, CovariateShiftRegressor, LabelShiftClassifier
    from shiftfix.covariate import LogisticWeighter

    if options["shift"] == "covariate":
        corrected = CovariateShiftClassifier if task == "classification" else CovariateShiftRegressor
        return corrected(
            learner,
            LogisticWeighter(clip=options["clip"]),
            exponent=options["exponent"],
            on_abstain=options["on_abstain"],
            random_state=options["seed"],
        )
    return LabelShiftClassifier(
        learner,
        correction=options["correction"],
        on_abstain=options["on_abstain"],
        on_reject=options["on_abstain"],
        causes=options["causes"],
        random_state=options["seed"],
    )


def _scores(plan: Plan, tables: Tables) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Score of the corrected and of the plain learner on the target rows whose labels are known and were not used.

    In one number, and with intervals; None and none where there are no such rows.
    """
    fresh = rows_to_score(tables)
    if tables.y_target is None or not fresh.any():
        return None, []
    from shiftfix.report import compare_models

    before, rows, labels = _uncorrected(plan, tables), plan.X_target[fresh], tables.y_target[fresh]
    return _score_of_both(before, plan.model, rows, labels), compare_models(before, plan.model, rows, labels)


def _score_of_both(before: Any, after: Any, rows: Any, labels: Any) -> dict[str, Any]:
    from sklearn.base import is_regressor
    from sklearn.metrics import accuracy_score, root_mean_squared_error

    name, score = "accuracy", accuracy_score
    if is_regressor(after):
        name, score = "root mean squared error", root_mean_squared_error
    return {
        "metric": name,
        "uncorrected": float(score(labels, before.predict(rows))),
        "corrected": float(score(labels, after.predict(rows))),
    }


def _uncorrected(plan: Plan, tables: Tables) -> Any:
    """The learner as it is without a correction."""
    from shiftfix.corrected import fit_weighted

    if not _is_retrained(plan.model):
        return plan.model.estimator_
    # Weights of one, not none: a network given weights stops early, and the two must stop alike.
    ones = np.ones(len(tables.y)) if tables.sample_weight is None else tables.sample_weight
    return fit_weighted(plan.learner, plan.X_source, tables.y, ones)


def _is_retrained(model: Any) -> bool:
    """Whether the correction is one of training."""
    if hasattr(model, "correction_"):
        return bool(model.correction_ == "weights")
    return model.corrected_ and getattr(model, "correction", None) != "adjust"


def write_corrected(folder: Path, model: Any, tables: Tables, record: Mapping[str, Any]) -> None:
    """Write predictions.csv, weights.csv, model.skops and summary.txt."""
    from sklearn.pipeline import Pipeline

    from shiftfix import save_model
    from shiftfix.report import source_weights, summary_text

    predictions = prediction_table(model, tables.target)
    if tables.ids[1] is not None:
        predictions.insert(0, record["columns"]["id"], tables.ids[1])
    weights = source_weights(model[-1] if isinstance(model, Pipeline) else model, tables.y)
    write_text_file(folder / "predictions.csv", harmless_csv(predictions))
    write_text_file(folder / "weights.csv", harmless_csv(weight_table(weights, tables, record["columns"]["id"])))
    save_model(model, folder / "model.skops")
    write_text_file(folder / "summary.txt", summary_text(dict(record)))
