"""A record as labels and values that a person wants first, and as text."""

from collections.abc import Mapping
from typing import Any

from shiftfix._door import public
from shiftfix._naming import one_line
from shiftfix.report._parts import is_kept_by_labels
from shiftfix.report._record import Record

FILES_TEXT = """\
predictions.csv  one line per target row, counted from 0
weights.csv      one line per source row, counted from 0: target / source, mean 1; all 1 when uncorrected, or corrected
                 by target labels. Adjusting class probabilities uses no weights; these are then for information.
model.skops      shiftfix predict model.skops ROWS.csv, or shiftfix.load_model(...).predict(data_frame), takes the
                 raw columns. Loading it executes nothing.
"""


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
    if is_kept_by_labels(record):
        return f"nothing: by {n_labels} target labels the model predicts best as it is"
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


def _weight_rows(weights: Record, exponent: float) -> list[tuple[str, str]]:
    used = "" if exponent == 1 else f", of the weights to the power {exponent:g}, which are used"
    used = used if exponent else ", of the weights, which are not used"
    rows = [
        ("effective sample size", f"{weights['effective_size']:.1f} of {weights['n_source']:g} rows{used}"),
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
    action = [("next", record["action"])] if record["action"] else []
    return [("verdict", record["verdict"]), *(("  because", reason) for reason in record["reasons"]), *action]


def _correction_rows(record: Record) -> list[tuple[str, str]]:
    """Weights and class shares; of a diagnosed model, which tells them too, those that were used."""
    weights, priors = record["weights"], record["priors"] or []
    if "diagnosis" in record:
        weights = weights if record["correction"] == "weights" else None
        priors = [prior for prior in priors if prior["target"] is not None]
    rows = [] if weights is None else _weight_rows(weights, record.get("exponent", 1.0))
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
