"""``shiftfix diagnose``: two samples in, what moved between them and what to do about it."""

import warnings
from collections.abc import Mapping
from typing import Any

from shiftfix._verdict import VERDICT_WARNINGS
from shiftfix.cli._automatic import advice_on_labels, raw_learner, raw_samples, raw_weighter, target_sample
from shiftfix.cli._encode import fit_encoder
from shiftfix.cli._learners import check_hidden_weights
from shiftfix.cli._samples import columns_of_run
from shiftfix.cli._tables import Tables


def diagnose_tables(
    tables: Tables, learner: Any, options: Mapping[str, Any], files: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The diagnosis of two samples, and its record.

    Parameters
    ----------
    tables : Tables
    learner : estimator
    options : mapping
        The command's options with their defaults.
    files : mapping
        Of :func:`files_of_run`.

    Returns
    -------
    diagnosis : ShiftDiagnosis
    record : dict
    """
    diagnosis, warned = _diagnosed(tables, learner, options)
    notices = list(dict.fromkeys([*tables.notices, *warned, *advice_on_labels(diagnosis.verdict, tables)]))
    return diagnosis, _record(diagnosis, tables, files, options, notices)


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
    diagnosis: Any, tables: Tables, files: Mapping[str, Any], options: Mapping[str, Any], notices: list[str]
) -> dict[str, Any]:
    from shiftfix.report import diagnosis_record, run_pictures, run_record

    found, samples = diagnosis_record(diagnosis), raw_samples(tables)
    record = run_record(
        {"diagnosis": found},
        task=tables.task,
        target_score=None,
        notices=notices,
        columns=columns_of_run(tables, options),
        options=options,
        **files,
    )
    return record | {"pictures": run_pictures(diagnosis, found, samples, samples)["pictures"]}
