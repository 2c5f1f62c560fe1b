"""``shiftfix correct``: two files in, a folder with weights, predictions and the corrected model out."""

import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from shiftfix.cli._columns import Reading, make_reading
from shiftfix.cli._encode import fit_encoder
from shiftfix.cli._exit import UnsupportedError
from shiftfix.cli._files import read_table, sha256
from shiftfix.cli._learners import check_hidden_weights, make_learner
from shiftfix.cli._options import with_defaults
from shiftfix.cli._output import new_folder
from shiftfix.cli._predict import prediction_table
from shiftfix.cli._refusals import Refusals
from shiftfix.cli._results import seal, writing
from shiftfix.cli._safe_csv import harmless_csv
from shiftfix.cli._tables import Roles, Tables, prepare_tables
from shiftfix.exceptions import (
    LabelShiftRejectedWarning,
    NotIdentifiedError,
    PoorIdentificationWarning,
    PoorOverlapWarning,
)

OF_THE_VERDICT = (PoorOverlapWarning, PoorIdentificationWarning, LabelShiftRejectedWarning)
ABSTAINED = "To fit without the correction, pass --on-abstain uncorrected."
ANYHOW = "the data do not support weighting, and nothing was weighted; --on-abstain correct weights all the same."
REJECTED = (
    "label shift is not what moved, and nothing was corrected; --drop columns that name the samples (ids, dates), "
    "label 50 target rows or more, or pass --causes label if the label causes the features and nothing else moved."
)


def run_correct(source: Path, target: Path, out: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Read, fit, write.

    Parameters
    ----------
    source, target, out : pathlib.Path
    options : mapping
        The command's options by name; None where not given.

    Returns
    -------
    dict
        What summary.json holds, without the digests of the files.

    Raises
    ------
    CommandError
        As described in ``_exit``.
    """
    refusals = Refusals()
    with ExitStack() as held:
        folder = refusals.of(held.enter_context, new_folder(out, options["overwrite"], [source, target]))
        options, tables, learner = _checked(source, target, options, refusals)
        encoder, model, record = _fit_and_judge(source, target, options, tables, learner)
        with writing(out):
            _write(folder, encoder, model, tables, record)
    return record


def _read_both(
    source: Path, target: Path, given: Mapping[str, Any], reading: Reading, refusals: Refusals
) -> Tables | None:
    """The two samples, or None where something is wrong with them, which is noted."""
    files = [refusals.of(read_table, path, name, reading) for path, name in [(source, "source"), (target, "target")]]
    if any(file is None for file in files):
        return None
    roles = Roles(given["label"], given["weight"], given["id"], given["drop"])
    choices = {name: given[name] for name in ("shift", "task", "unseen_category")}
    return prepare_tables(files[0], files[1], roles, **choices, refusals=refusals)


def _checked(
    source: Path, target: Path, given: Mapping[str, Any], refusals: Refusals
) -> tuple[Mapping[str, Any], Tables, Any]:
    """Options, the two samples and the learner; all that is wrong with them, and was noted, is told at once."""
    options = refusals.of(with_defaults, given)
    reading = refusals.of(make_reading, given["sep"], given["decimal"], given["missing"], given["dates"]) or Reading()
    tables = _read_both(source, target, given, reading, refusals)
    learner = refusals.of(make_learner, tables.task, options) if options and tables else None
    refusals.raise_found()
    assert tables is not None
    return options, tables, learner


def _fit_and_judge(
    source: Path, target: Path, options: Mapping[str, Any], tables: Tables, learner: Any
) -> tuple[Any, Any, dict[str, Any]]:
    """Encoder, model and record of a run."""
    from shiftfix.report import fit_record, run_record

    digests = sha256(source), sha256(target)
    encoder = fit_encoder(tables.source, tables.target, tables.numeric, tables.text)
    X_source, X_target = encoder.transform(tables.source), encoder.transform(tables.target)
    check_hidden_weights(options["hidden"] or [], X_source.shape[1])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = make_model(learner, tables.task, options)
            model.fit(X_source, tables.y, X_target=X_target, sample_weight=tables.sample_weight)
            fit = fit_record(model, tables.y, sample_weight=tables.sample_weight)
        except NotIdentifiedError as error:
            raise UnsupportedError(f"{error.finding} {ABSTAINED}") from error
        score = _target_score(model, learner, X_source, X_target, tables)
    # What the record says of the verdict is not said twice, and each fold of the prior repeats the learner's warning.
    said = [str(warning.message) for warning in caught if not issubclass(warning.category, OF_THE_VERDICT)]
    said += _advice(model, fit)
    record = run_record(
        fit,
        task=tables.task,
        target_score=score,
        notices=list(dict.fromkeys([*tables.notices, *said])),
        source={"file": str(source), "sha256": digests[0], "rows": len(tables.source)},
        target={"file": str(target), "sha256": digests[1], "rows": len(tables.target)},
        columns={
            "label": options["label"],
            "weight": options["weight"],
            "id": options["id"],
            "numeric": tables.numeric,
            "text": tables.text,
            "dropped": options["drop"],
        },
        options={key: value for key, value in options.items() if key != "overwrite"},
    )
    return encoder, model, record


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


def _target_score(
    model: Any, learner: Any, X_source: ArrayLike, X_target: ArrayLike, tables: Tables
) -> dict[str, Any] | None:
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


def _write(folder: Path, encoder: Any, model: Any, tables: Tables, record: dict[str, Any]) -> None:
    import pandas as pd
    from sklearn.pipeline import Pipeline

    from shiftfix import save_model
    from shiftfix.report import source_weights, summary_text

    pipeline = Pipeline([("encode", encoder), ("model", model)])
    predictions = prediction_table(pipeline, tables.target)
    weights = source_weights(model, tables.y)
    table = pd.DataFrame({"weight": weights})
    for frame, ids in zip((table, predictions), tables.ids, strict=True):
        if ids is not None:
            frame.insert(0, record["columns"]["id"], ids)
    if tables.sample_weight is not None:
        table["total_weight"] = weights * tables.sample_weight
    for name, frame in (("predictions.csv", predictions), ("weights.csv", table)):
        (folder / name).write_bytes(harmless_csv(frame).encode("utf-8", "backslashreplace"))
    save_model(pipeline, folder / "model.skops")
    # Half a surrogate pair stands for a byte of a path that is not UTF-8.
    (folder / "summary.txt").write_text(summary_text(record), encoding="utf-8", errors="backslashreplace")
    seal(folder, record)
