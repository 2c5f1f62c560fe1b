"""``shiftfix correct``: two files in, a folder with weights, predictions and the corrected model out."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from shiftfix.cli._encode import encoded_names, fit_encoder
from shiftfix.cli._exit import UnsupportedError
from shiftfix.cli._files import read_table, sha256
from shiftfix.cli._learners import check_hidden_weights, make_learner
from shiftfix.cli._options import with_defaults
from shiftfix.cli._output import new_folder
from shiftfix.cli._predict import prediction_table
from shiftfix.cli._results import seal, writing
from shiftfix.cli._tables import Tables, prepare_tables
from shiftfix.exceptions import NotIdentifiedError


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
    options = with_defaults(options)
    with new_folder(out, options["overwrite"], [source, target]) as folder:
        encoder, model, tables, record = _fit_and_judge(source, target, options)
        with writing(out):
            _write(folder, encoder, model, tables, record)
    return record


def _fit_and_judge(source: Path, target: Path, options: Mapping[str, Any]) -> tuple[Any, Any, Tables, dict[str, Any]]:
    """Encoder, model, tables and record of a run."""
    from shiftfix.report import fit_record, run_record

    frames = read_table(source, "source"), read_table(target, "target")
    digests = sha256(source), sha256(target)
    tables = prepare_tables(
        *frames,
        **{name: options[name] for name in ("label", "weight", "drop", "shift", "task", "unseen_category")},
    )
    learner = make_learner(tables.task, options)
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
            raise UnsupportedError(_on_the_command_line(str(error), encoder)) from error
        score = _target_score(model, learner, X_source, X_target, tables)
    # Each fold of the prior repeats the learner's warning; once is enough.
    said = [_on_the_command_line(str(warning.message), encoder) for warning in caught]
    fit["reasons"] = [_on_the_command_line(reason, encoder) for reason in fit["reasons"]]
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
            "numeric": tables.numeric,
            "text": tables.text,
            "dropped": options["drop"],
        },
        options={key: value for key, value in options.items() if key not in ("overwrite", "quiet", "debug")},
    )
    return encoder, model, tables, record


def make_model(learner: Any, task: str, options: Mapping[str, Any]) -> Any:
    """Unfitted meta-estimator for the shift that is assumed."""
    from shiftfix.corrected import CovariateShiftClassifier, CovariateShiftRegressor, LabelShiftClassifier
    from shiftfix.covariate import LogisticWeighter

    if options["shift"] == "covariate":
        corrected = CovariateShiftClassifier if task == "classification" else CovariateShiftRegressor
        return corrected(learner, LogisticWeighter(clip=options["clip"]), on_abstain=options["on_abstain"])
    return LabelShiftClassifier(
        learner,
        correction=options["correction"],
        on_abstain=options["on_abstain"],
        random_state=options["seed"],
    )


def _on_the_command_line(text: str, encoder: Any) -> str:
    """A message of the library with the names of columns and options as this command has them."""
    names = encoded_names(encoder)
    text = re.sub(r"column (\d+)", lambda match: f"column {names[int(match[1])]!r}", text)
    return re.sub(r'on_abstain="(\w+)"', r"--on-abstain \1", text)


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
    if tables.sample_weight is not None:
        table["total_weight"] = weights * tables.sample_weight
    predictions.to_csv(folder / "predictions.csv", index_label="row", lineterminator="\n")
    table.to_csv(folder / "weights.csv", index_label="row", lineterminator="\n")
    save_model(pipeline, folder / "model.skops")
    # Half a surrogate pair stands for a byte of a path that is not UTF-8.
    (folder / "summary.txt").write_text(summary_text(record), encoding="utf-8", errors="backslashreplace")
    seal(folder, record)
