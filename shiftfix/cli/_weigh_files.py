"""``shiftfix weigh`` of Parquet files that need not fit in memory: passes over them, and weights in parts.

What ``shiftfix.large`` does is not done again here: the command says which files and columns, who works, where the
state is kept, and what the record holds.
"""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from shiftfix._naming import differences, one_line
from shiftfix.cli._exit import InputError, OutputError, UsageError
from shiftfix.cli._kept import KeptRun, kept_run
from shiftfix.cli._output_file import write_text_file
from shiftfix.cli._progress import Tell
from shiftfix.cli._refusals import Refusals
from shiftfix.cli._results import seal, writing
from shiftfix.cli._roles import Roles, check_roles, check_same_features, shared_features
from shiftfix.cli._runs import named
from shiftfix.cli._samples import KindsOfColumns, columns_of_run, roles_of
from shiftfix.cli._weigh import TOLD_BY_VERDICT, weights_record, weights_text
from shiftfix.cli._weigh_options import weigh_options
from shiftfix.cli._words import lacks_and_adds, out_of
from shiftfix.cli._work import CLUSTERS, Work, misused
from shiftfix.exceptions import ShiftDataError

SQL_FILE, PARTS = "weights.sql", "weights"


class FileSample(NamedTuple):
    """A sample by its files.

    Attributes
    ----------
    given : pathlib.Path
        As the user wrote it.
    footers : list of Footer
    """

    given: Path
    footers: list[Any]

    @property
    def columns(self) -> list[str]:
        """Names of the columns of its first file."""
        return list(self.footers[0].types)

    @property
    def files(self) -> list[str]:
        """Absolute paths: workers may stand elsewhere."""
        return [footer.path for footer in self.footers]

    @property
    def record(self) -> dict[str, Any]:
        """What the record tells of it."""
        rows = sum(sum(footer.groups) for footer in self.footers)
        return {"file": str(self.given), "sha256": None, "rows": rows, "files": len(self.footers)}


def run_weigh_files(
    source: Path, target: Path, out: Path, options: Mapping[str, Any], work: Work, overwrite: bool, tell: Tell
) -> tuple[str, dict[str, Any]]:
    """Check, fit by passes, write the weights; or go on where the same run was stopped.

    Parameters
    ----------
    source, target : pathlib.Path
        Files, folders or patterns.
    out : pathlib.Path
        Folder to make.
    options : mapping
        The command's options by name; None where not given. What files that do not fit have no use for is refused.
    work : Work
    overwrite : bool
        Replace the results of an earlier run.
    tell : callable
        Given the name of each stage.

    Returns
    -------
    page : str
        What the weights are worth, for people.
    record : dict
        What summary.json holds, without the digests of the files.

    Raises
    ------
    CommandError
        As described in ``_exit``.
    """
    refusals = Refusals()
    refusals.found += [UsageError(message) for message in misused(source, target, out, options, work)]
    given = refusals.of(weigh_options, options)
    refusals.raise_found()
    with _words_of_the_command():
        samples = _sample_of_files(source, "source", tell), _sample_of_files(target, "target", tell)
        columns = _shared_numbers(*samples, roles_of(given), refusals)
        with (
            kept_run(out, _identity_of_run(samples, columns, given), overwrite, _inputs(samples)) as kept,
            _engine(work, tell) as engine,
        ):
            return _weigh(samples, columns, given, work, engine, kept, tell)


@contextmanager
def _words_of_the_command() -> Iterator[None]:
    """Have errors of files name options, where Python's parameters stand in them."""
    from shiftfix.large import BY_COLUMNS

    try:
        yield
    except ShiftDataError as error:
        told = InputError(str(error).replace(BY_COLUMNS, "--drop COLUMN"))
        for note in getattr(error, "__notes__", []):
            told.add_note(note)
        raise told from error


def _sample_of_files(path: Path, name: str, tell: Tell) -> FileSample:
    """A sample by its files, whose ends alone are read."""
    from shiftfix.large import list_files, read_footers

    tell(f"finding the {name} files {path}")
    files = list(dict.fromkeys(map(os.path.abspath, list_files(path, name))))
    tell(f"reading the columns and sizes of {out_of(len(files), f'{name} file')}")
    return FileSample(path, read_footers(files))


def _shared_numbers(source: FileSample, target: FileSample, roles: Roles, refusals: Refusals) -> list[str]:
    """The features, which all files have as numbers."""
    from shiftfix.large import check_one_type, freeze_schema

    refusals.of(check_roles, roles)
    features = refusals.of(shared_features, source, target, roles) or []
    if features:
        refusals.of(check_same_features, features, target, roles)
    # What is copied or counts is the source's.
    for sample, apart in ((source, set(roles.taken) - {roles.weight, roles.id}), (target, set(roles.taken))):
        for footer in sample.footers[1:]:
            _compare(sample.footers[0], footer, apart, refusals)
    refusals.raise_found()
    if roles.id in source.columns:
        check_one_type(roles.id, {footer.path: footer.types[roles.id] for footer in source.footers}, "pass no --id")
    return list(freeze_schema([*source.footers, *target.footers], features, []))


def _compare(first: Any, footer: Any, apart: set[Any], refusals: Refusals) -> None:
    needed, found = ([name for name in each.types if name not in apart] for each in (first, footer))
    said = lacks_and_adds(*differences(needed, found))
    if said:
        refusals.add(
            f"{one_line(footer.path)} {said}, compared with {one_line(first.path)}: all files of a sample need the "
            "same columns; write them anew, or leave columns out with --drop."
        )


def _inputs(samples: Sequence[FileSample]) -> list[Path]:
    return [Path(file) for sample in samples for file in sample.files]


def _identity_of_run(
    samples: Sequence[FileSample], columns: Sequence[str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """What tells a run from others; who does the work is no part of it."""
    from shiftfix import __version__

    stamps = [[[file, *_size_and_time(file)] for file in sample.files] for sample in samples]
    deciding = {name: value for name, value in options.items() if name not in ("label", "drop", "format", "seed")}
    return {
        "command": "weigh",
        "version of shiftfix": __version__,
        "source (files, or their time of change)": stamps[0],
        "target (files, or their time of change)": stamps[1],
        "choice of columns": list(columns),
        "set of options": deciding,
    }


def _size_and_time(file: str) -> tuple[int, int]:
    found = os.stat(file)
    return found.st_size, found.st_mtime_ns


@contextmanager
def _engine(work: Work, tell: Tell) -> Iterator[Any]:
    """Who does the work, for all passes; what was made for it is ended again."""
    from shiftfix.large import make_engine

    name = work.engine or "threads"
    if name in CLUSTERS:
        tell(f"reaching {name} at {work.scheduler}" if work.scheduler else f"starting {name} on this machine")
        # Read when Dask is imported, here and by its workers: what they log of a command that is stopped is no news.
        os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")
    try:
        engine = make_engine(name, work.workers, work.scheduler, retries=2)
    except ShiftDataError as error:
        raise UsageError(f"--engine {name}: {error}") from error
    try:
        yield engine
    finally:
        engine.close()


def _weigh(
    samples: tuple[FileSample, FileSample],
    columns: list[str],
    options: Mapping[str, Any],
    work: Work,
    engine: Any,
    kept: KeptRun,
    tell: Tell,
) -> tuple[str, dict[str, Any]]:
    from shiftfix.large import StreamingLogisticWeighter, UnitError

    source, target = samples
    if kept.goes_on:
        tell("going on with the run that was stopped")
    weighter = StreamingLogisticWeighter(
        options["penalty"],
        columns=columns,
        clip=options["clip"],
        min_ess=options["min_ess"],
        engine=engine,
        checkpoint=kept.state,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            weighter.fit(
                source.files,
                target.files,
                sample_weight_source=options["weight"],
                progress=partial(_told_pass, tell),
            )
        except UnitError as error:
            raise InputError(str(error)) from error
    keep = [options["id"]] if options["id"] in source.columns else []
    try:
        manifest = weighter.write_weights(
            source.files, kept.results / PARTS, keep=keep, progress=lambda _, done, of: _told_parts(tell, done, of)
        )
    except UnitError as error:
        raise OutputError(f"the weights cannot be written: {error}.") from error
    record = _record_of_passes(weighter, samples, columns, options, manifest, _notices(caught, weighter, options))
    page = f"{type(weighter).__name__}\n{weighter.summary_}"
    with writing(kept.results):
        for left in (kept.results / PARTS).glob(".*.tmp"):  # by a worker that was killed
            left.unlink()
        if work.sql is not None:
            write_text_file(kept.results / SQL_FILE, weighter.weight_sql(work.sql) + "\n")  # type: ignore[arg-type]
        write_text_file(kept.results / "summary.txt", weights_text(record, page))
        seal(kept.results, record)
    return page, record


def _told_pass(tell: Tell, number: int, done: int, of: int) -> None:
    tell(f"pass {number}: {done} of {out_of(of, 'unit')}", passing=1 < done < of)


def _told_parts(tell: Tell, done: int, of: int) -> None:
    tell(f"writing weights: {done} of {out_of(of, 'part')}", passing=1 < done < of)


def _notices(caught: Sequence[Any], weighter: Any, options: Mapping[str, Any]) -> list[str]:
    from sklearn.exceptions import ConvergenceWarning

    told = (*TOLD_BY_VERDICT, ConvergenceWarning)
    notices = [str(found.message) for found in caught if not issubclass(found.category, told)]
    if any(issubclass(found.category, ConvergenceWarning) for found in caught):
        notices.append(
            f"after {weighter.n_passes_} passes a coefficient is still {weighter.steps_left_:.2g} standard errors from "
            f"the optimum: where the samples can be told apart entirely, pass a --penalty below {options['penalty']:g}."
        )
    return list(dict.fromkeys(notices))


def _record_of_passes(
    weighter: Any,
    samples: Sequence[FileSample],
    columns: Sequence[str],
    options: Mapping[str, Any],
    manifest: Any,
    notices: list[str],
) -> dict[str, Any]:
    source, target = samples
    if options["weight"] in target.columns:
        notices.append(f"the target's column {options['weight']!r} was ignored: --weight is about source rows.")
    columns_read = columns_of_run(KindsOfColumns(list(columns), []), options)
    files = {"source": source.record, "target": target.record}
    given = {**options, "format": "parquet"}
    record = weights_record(weighter.summary_, columns_read, given, files, notices)
    record["passes"] = {
        "passes": weighter.n_passes_,
        "standard_errors_left": float(weighter.steps_left_),
        "parts": len(manifest.files),
        "total_weight": manifest.total,
        "largest_weight": manifest.largest,
    }
    return named("weigh", record)
