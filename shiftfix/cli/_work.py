"""Who works on files that do not fit in memory, when a run is one of them, and what it has no use for."""

import glob
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from shiftfix.cli._standard_input import STANDARD
from shiftfix.cli._words import quoted

CSV_ENDINGS = (".csv", ".csv.gz")
CLUSTERS = ("dask", "ray")
# Options of which only one value can be had of files that do not fit: how it is read, and what a word of CSV means.
FIXED: dict[str, tuple[Any, ...]] = {
    "method": ("logistic",),
    "features": (None, "linear"),
    "sep": (None,),
    "decimal": (None,),
    "missing": ([],),
    "dates": ("refuse",),
    "unseen_category": ("error",),
    "format": (None, "parquet"),
}


class Work(NamedTuple):
    """Who does the work, none of which changes a weight; None where not given.

    Attributes
    ----------
    engine : {"serial", "threads", "dask", "ray"} or None
    scheduler : str or None
        Address of a cluster.
    workers : int or None
    sql : str or None
        Dialect of a file with the weight as an expression.
    """

    engine: str | None
    scheduler: str | None
    workers: int | None
    sql: str | None

    @property
    def asked_for(self) -> list[str]:
        """Options that were given, as they are typed."""
        return [f"--{name}" for name, value in self._asdict().items() if value is not None]


def stands_for_several(path: Path) -> bool:
    """Whether a path stands for several files: a folder, or a pattern that is no file's name."""
    return path.is_dir() or (glob.has_magic(str(path)) and not os.path.lexists(path))


def is_read_in_passes(source: Path, target: Path, work: Work) -> bool:
    """Whether a run is one of passes over files."""
    return bool(work.asked_for) or stands_for_several(source) or stands_for_several(target)


def misused(source: Path, target: Path, out: Path, options: Mapping[str, Any], work: Work) -> Iterator[str]:
    """What is wrong with the options, as far as no file need be read for it."""
    several = [str(path) for path in (source, target) if stands_for_several(path)]
    why = " ".join(work.asked_for) or several[0]
    for path in (source, target):
        if path == STANDARD or path.name.lower().endswith(CSV_ENDINGS):
            yield (
                f"{quoted(str(path))} is no Parquet or Arrow file, which {quoted(why)} asks for: pass files, folders "
                "or patterns of Parquet, or a file for each sample and none of --engine, --scheduler, --workers, --sql."
            )
    for name, allowed in FIXED.items():
        if options[name] not in allowed:
            shown = " ".join(options[name]) if isinstance(options[name], list) else options[name]
            yield (
                f"--{name.replace('_', '-')} {shown} is for two files that fit in memory, and {quoted(why)} asks for "
                "passes over files: leave one of them out."
            )
    if options["penalty"] == "cv":
        yield f"--penalty cv is for two files that fit in memory, and {quoted(why)} is given: pass a number."
    if out == STANDARD:
        yield "--out - prints weights of two files that fit in memory: name a folder, which gets them in parts."
    else:
        yield from _inside(out, source, target)
    if work.sql is not None and options["clip"] == "pareto":
        yield "--sql writes no weights of --clip pareto, whose tail is no expression: leave one of them out."
    yield from _misused_work(work)


def _inside(out: Path, *samples: Path) -> Iterator[str]:
    from shiftfix.large import folder_around

    for path in samples:
        # A folder around files that are read is refused with their names.
        if not path.is_relative_to(out) and folder_around(out, path) is not None:
            yield (
                f"--out {quoted(str(out))} lies in {quoted(str(path))}, whose files are read: the weights would be "
                "among them the next time. Name a folder outside of it."
            )


def _misused_work(work: Work) -> Iterator[str]:
    if work.scheduler is not None and work.engine not in CLUSTERS:
        yield f"--scheduler is the address of a cluster: pass --engine {' or '.join(CLUSTERS)} with it."
    if work.workers is not None and work.engine == "serial":
        yield "--workers is for --engine threads, dask and ray, and --engine is serial: leave it out."
    if work.workers is not None and work.scheduler is not None:
        yield "--workers is for a cluster that is made on this machine, and --scheduler names another: leave one out."
