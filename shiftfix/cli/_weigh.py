"""``shiftfix weigh``: two samples in, a weight for each source row out."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shiftfix._naming import one_line
from shiftfix._verdict import VERDICT_WARNINGS
from shiftfix.cli._encode import fit_encoder
from shiftfix.cli._output_file import write_text_file
from shiftfix.cli._safe_csv import harmless_csv
from shiftfix.cli._samples import columns_of_run
from shiftfix.cli._tables import Tables
from shiftfix.cli._weigh_options import LOGISTIC, RELATIVE
from shiftfix.cli._weights_table import weight_table
from shiftfix.cli._words import out_of
from shiftfix.exceptions import UncalibratedRatioWarning

TOLD_BY_VERDICT = (*VERDICT_WARNINGS, UncalibratedRatioWarning)


def weigh_tables(
    tables: Tables, options: Mapping[str, Any], files: Mapping[str, Any]
) -> tuple[Any, dict[str, Any], str]:
    """Weights of the source rows.

    Parameters
    ----------
    tables : Tables
        Without labels.
    options : mapping
        The command's options with their defaults.
    files : mapping
        Of :func:`files_of_run`.

    Returns
    -------
    table : pandas.DataFrame
    record : dict
    page : str
        What the weights are worth, for people.
    """
    weighter = make_weighter(options)
    encoder = fit_encoder(tables.source, tables.target, tables.numeric, tables.text)
    source, target = encoder.transform(tables.source), encoder.transform(tables.target)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        weighter.fit(source, target, sample_weight_source=tables.sample_weight)
    # The verdict says so too, and in no words of Python.
    said = [str(found.message) for found in caught if not issubclass(found.category, TOLD_BY_VERDICT)]
    notices = list(dict.fromkeys([*tables.notices, *said]))
    record = weights_record(weighter.summary_, columns_of_run(tables, options), options, files, notices)
    table = weight_table(weighter.source_weights_, tables, options["id"])
    return table, record, f"{type(weighter).__name__}\n{weighter.summary_}"


def make_weighter(options: Mapping[str, Any]) -> Any:
    """Unfitted weighter of a method by its name."""
    from shiftfix import covariate

    method, common = options["method"], {"clip": options["clip"], "min_ess": options["min_ess"]}
    if method in LOGISTIC:
        return covariate.LogisticWeighter(options["penalty"], features=options["features"], **common)
    if method == "boosting":
        from sklearn.ensemble import HistGradientBoostingClassifier

        return covariate.ClassifierWeighter(
            HistGradientBoostingClassifier(), calibration="sigmoid", random_state=options["seed"], **common
        )
    kernels = {"ulsif": covariate.ULSIF, "rulsif": covariate.RULSIF, "kliep": covariate.KLIEP, "kmm": covariate.KMM}
    own = {"alpha": options["alpha"]} if method in RELATIVE else {}
    return kernels[method](bandwidth=options["bandwidth"], random_state=options["seed"], **own, **common)


def weights_record(
    summary: Any,
    columns: Mapping[str, Any],
    options: Mapping[str, Any],
    files: Mapping[str, Any],
    notices: list[str],
) -> dict[str, Any]:
    """What a run found, as summary.json tells it.

    Parameters
    ----------
    summary : WeightSummary
    columns, options, files : mapping
        What each column was, the command's options with their defaults, and both samples.
    notices : list of str
        What was ignored or warned of.
    """
    from shiftfix.report import versions, weight_record

    verdict = summary.verdict
    return {
        "verdict": verdict.level,
        "reasons": list(verdict.reasons),
        "action": verdict.action,
        "weights": weight_record(summary),
        "notices": notices,
        **files,
        "passes": None,
        "columns": dict(columns),
        "options": dict(options),
        "versions": versions(),
    }


def write_weights(folder: Path, table: Any, record: Mapping[str, Any], page: str) -> None:
    """Write weights.csv or weights.parquet, and summary.txt."""
    if record["options"]["format"] == "parquet":
        table.rename_axis("row").reset_index().to_parquet(folder / "weights.parquet", index=False)
    else:
        write_text_file(folder / "weights.csv", harmless_csv(table))
    write_text_file(folder / "summary.txt", weights_text(record, page))


def weights_text(record: Mapping[str, Any], page: str) -> str:
    """A record of weights for people, as summary.txt holds it."""
    columns = record["columns"]
    rows = [
        *(("notice", notice) for notice in record["notices"]),
        *((f"{name} file", _told_file(record[name])) for name in ("source", "target")),
        *((f"{role} column", columns[role]) for role in ("label", "weight", "id") if columns[role]),
        ("numeric columns", ", ".join(columns["numeric"]) or "none"),
        ("text columns", ", ".join(columns["text"]) or "none"),
        ("seed", str(record["options"]["seed"])),
        ("versions", ", ".join(f"{name} {number}" for name, number in record["versions"].items())),
    ]
    return "\n".join([page, *(f"{label:<27}{one_line(value)}" for label, value in rows), ""])


def _told_file(sample: Mapping[str, Any]) -> str:
    """A sample as summary.txt names it: of files that are not read twice, how many there are."""
    digest = sample["sha256"]
    return (
        f"{sample['file']} ({out_of(sample['files'], 'file')})"
        if digest is None
        else f"{sample['file']} (sha256 {digest})"
    )
