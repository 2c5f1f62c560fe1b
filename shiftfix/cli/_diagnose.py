"""``shiftfix diagnose``: two files in, what moved between them and what to do about it."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shiftfix._verdict import VERDICT_WARNINGS
from shiftfix.cli._automatic import advice_on_labels, raw_learner, raw_samples, raw_weighter, target_sample
from shiftfix.cli._encode import fit_encoder
from shiftfix.cli._learners import check_hidden_weights
from shiftfix.cli._output_file import check_output_file, write_output_file
from shiftfix.cli._refusals import Refusals
from shiftfix.cli._samples import checked_samples, columns_of_run, files_of_run
from shiftfix.cli._tables import Tables


def run_diagnose(
    source: Path, target: Path, out: Path | None, options: Mapping[str, Any], overwrite: bool
) -> tuple[Any, list[str]]:
    """Read, fit, test, write.

    Parameters
    ----------
    source, target : pathlib.Path
    out : pathlib.Path or None
        JSON file to write; None writes nothing.
    options : mapping
        The command's options by name; None where not given.
    overwrite : bool
        Replace ``out``.

    Returns
    -------
    diagnosis : ShiftDiagnosis
    notices : list of str
        What was ignored, filled in or warned of.

    Raises
    ------
    CommandError
        As described in ``_exit``.
    """
    refusals = Refusals()
    if out is not None:
        refusals.of(check_output_file, out, [source, target], overwrite)
    options, tables, learner = checked_samples(source, target, options, refusals)
    files = files_of_run(source, target, tables)
    diagnosis, warned = _diagnosed(tables, learner, options)
    notices = list(dict.fromkeys([*tables.notices, *warned, *advice_on_labels(diagnosis.verdict, tables)]))
    if out is not None:
        record = _record(diagnosis, tables, files, options, notices)
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
        write_output_file(f"{text}\n", out, overwrite)
    return diagnosis, notices


def _diagnosed(tables: Tables, learner: Any, options: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """The diagnosis, and what was warned of."""
    from shiftfix.detect import diagnose_shift

    encoder = fit_encoder(tables.source, tables.target, tables.numeric, tables.text)
    check_hidden_weights(options["hidden"] or [], len(encoder[-1].names))
    model, samples = raw_learner(encoder, learner), raw_samples(tables)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        diagnosis = diagnose_shift(
            samples.source,
            tables.y,
            target_sample(samples, tables.known),
            model,
            causes=options["causes"],
            sample_weight=tables.sample_weight,
            weighter=raw_weighter(model, samples, options["clip"]),
            random_state=options["seed"],
        )
    return diagnosis, [str(found.message) for found in caught if not issubclass(found.category, VERDICT_WARNINGS)]


def _record(
    diagnosis: Any, tables: Tables, files: dict[str, Any], options: Mapping[str, Any], notices: list[str]
) -> dict[str, Any]:
    from shiftfix.report import diagnosis_record, run_record

    return run_record(
        {"diagnosis": diagnosis_record(diagnosis)},
        task=tables.task,
        target_score=None,
        notices=notices,
        columns=columns_of_run(tables, options),
        options=options,
        **files,
    )
