"""Weights written back as Parquet: one file per unit, whole or not there, and a manifest when all are.

A file is written beside its final name, brought to the disk and renamed. What a stopped run has written is known by the
mark of the fit in its footer and by its rows, and is not written again. The manifest, with the rows of each file, comes
last: where it stands, nothing is missing.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shiftfix._atomic import replace_file
from shiftfix._door import public
from shiftfix._numerics import Floats
from shiftfix._printed import printed
from shiftfix._setting_checks import import_optional
from shiftfix.covariate import Clip, bounded, finished_weights
from shiftfix.exceptions import ShiftDataError
from shiftfix.large._driver import Passes, Statistic
from shiftfix.large._logistic_sums import LogisticPoint
from shiftfix.large._parquet import rows_of_file
from shiftfix.large._units import Unit, refuse_bad_cells, unit_blocks

# Readers of a folder leave out what begins with an underscore.
MANIFEST = "_manifest.json"
MARK = b"shiftfix.weights"


class WeightRule(NamedTuple):
    """What makes weights of rows.

    Attributes
    ----------
    point : LogisticPoint
    log_size : float
        log(n_source / n_target).
    clip : Clip
    log_mean : float
        Logarithm of what clipped weights are divided by.
    """

    point: LogisticPoint
    log_size: float
    clip: Clip
    log_mean: float

    def log_ratio(self, Z: Floats) -> Floats:
        """Log ratios, within +-500, of rows less the centre, shape (n_columns, n_rows)."""
        h: Floats = self.point.slope @ Z
        return bounded(h + (self.point.intercept + self.log_size))

    def weigh(self, Z: Floats) -> Floats:
        """Finished weights of rows less the centre."""
        return finished_weights(self.log_ratio(Z), self.clip, self.log_mean)


@printed
class WeightFile(NamedTuple):
    """One file of weights: its name, what its rows are, how many, and the sum of their weights."""

    file: str
    rows_of: str
    start: int
    stop: int | None
    rows: int
    total: float
    largest: float


@printed
class Manifest(NamedTuple):
    """What was written.

    Attributes
    ----------
    files : list of WeightFile
        In the order of the source's rows.
    rows : int
    total, largest : float
        Sum and largest of all weights.
    """

    files: list[WeightFile]
    rows: int
    total: float
    largest: float


def mark_of(rule: WeightRule, keep: Sequence[str], unit: Unit) -> str:
    """What tells a file of these weights from any other."""
    numbers: list[Any] = [rule.point.intercept, *rule.point.slope, *rule.point.centre, rule.log_size, rule.log_mean]
    numbers += [rule.clip.log_threshold, *(() if rule.clip.tail is None else np.concatenate(rule.clip.tail))]
    rows = [unit.name, *unit.part.stamp(unit.start, unit.stop)]
    text = json.dumps([list(map(float.hex, map(float, numbers))), list(keep), rows])
    return hashlib.sha256(text.encode()).hexdigest()


def part_name(number: int) -> str:
    """Name of the file of a unit, by its place."""
    return f"weights-{number:06d}.parquet"


def _written_before(path: Path, mark: str) -> tuple[int, float, float] | None:
    """Rows, sum and largest weight of a file of the same weights; None where it is missing, damaged or of others.

    Raises
    ------
    ShiftDataError
        For a file of that name that holds no weights of this module's.
    """
    parquet = import_optional("pyarrow.parquet", "large")
    try:
        metadata = parquet.read_metadata(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        if _begins_as_parquet(path):
            return None
        metadata = None
    try:
        found = json.loads(metadata.metadata[MARK])
        if found["mark"] != mark or found["rows"] != metadata.num_rows:
            return None
        return metadata.num_rows, float.fromhex(found["total"]), float.fromhex(found["largest"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # no metadata, or those of others
        raise ShiftDataError(
            f"{str(path)!r} was not written by write_weights, and would be replaced: pass another folder."
        ) from error


def _begins_as_parquet(path: Path) -> bool:
    """Whether a file that cannot be read may have been one of Parquet, or is empty."""
    with open(path, "rb") as file:
        return file.read(4) in (b"PAR1", b"")


def _unit_weights(unit: Unit, rule: WeightRule) -> Floats:
    blocks = [rule.weigh(Z) for Z, _ in unit_blocks(unit, rule.point.centre)]
    weights = np.concatenate(blocks) if blocks else np.zeros(0)
    if not np.isfinite(weights).all():
        refuse_bad_cells(unit)
    return weights


def _kept_columns(unit: Unit, keep: Sequence[str]) -> dict[str, Any]:
    """Other columns of the rows of a unit, as they are in its file."""
    if not keep:
        return {}
    path = unit.part.path  # type: ignore[attr-defined]
    frame = rows_of_file(path, keep, unit.start, (unit.stop or 0) - unit.start)
    return {name: frame[name].to_arrow() for name in keep}


def unit_write(unit: Unit, rule: WeightRule, folder: str, numbers: dict[str, int], keep: Sequence[str]) -> list[Any]:
    """Write the weights of a unit, unless they are there; returns its WeightFile in a list.

    Parameters
    ----------
    unit : Unit
    rule : WeightRule
    folder : str
    numbers : dict of str to int
        Place of each unit, by its name.
    keep : sequence of str
        Columns to copy beside the weights.
    """
    name = part_name(numbers[unit.name])
    path, mark = Path(folder) / name, mark_of(rule, keep, unit)
    found = _written_before(path, mark)
    if found is None:
        arrow, parquet = (import_optional(module, "large") for module in ("pyarrow", "pyarrow.parquet"))
        weights = _unit_weights(unit, rule)
        total, largest = float(np.sum(weights)), float(weights.max(initial=0.0))
        told = {"mark": mark, "rows": len(weights), "total": total.hex(), "largest": largest.hex()}
        table = arrow.table({**_kept_columns(unit, keep), "weight": weights})
        table = table.replace_schema_metadata({MARK: json.dumps(told).encode()})
        # Weights of rows differ: no dictionary, no statistics to be had of them.
        replace_file(path, lambda file: parquet.write_table(table, file, compression="snappy", use_dictionary=False))
        found = len(weights), total, largest
    return [WeightFile(name, unit.part.name, unit.start, unit.stop, *found)]


def _both_lists(earlier: list[Any], later: list[Any]) -> list[Any]:
    return earlier + later


WRITTEN = Statistic(unit_write, _both_lists)


def write_all(passes: Passes, rule: WeightRule, folder: str | os.PathLike[str], keep: Sequence[str]) -> Manifest:
    """Write the weights of all units, then the manifest.

    Parameters
    ----------
    passes : Passes
        Over the units of the source.
    rule : WeightRule
    folder : path
        Made where it is not there. The workers must see it under this name.
    keep : sequence of str

    Raises
    ------
    ShiftDataError
        For a folder that holds other Parquet files or the rows themselves, and for a file.
    """
    where = Path(folder)
    if where.exists() and not where.is_dir():
        raise ShiftDataError(f"{str(folder)!r} is a file: pass a folder for the weights.")
    where.mkdir(parents=True, exist_ok=True)
    numbers = {unit.name: place for place, unit in enumerate(passes.units)}
    _refuse_strangers(where, passes.units)
    (where / MANIFEST).unlink(missing_ok=True)
    found = passes.run(WRITTEN, rule, os.fspath(where), numbers, tuple(keep))
    files = [WeightFile(*file) for file in found]
    rows, total = sum(f.rows for f in files), float(sum(f.total for f in files))
    manifest = Manifest(files, rows, total, max(f.largest for f in files))
    text = json.dumps(
        {"rows": rows, "total": total, "largest": manifest.largest, "files": [f._asdict() for f in files]}, indent=1
    )
    replace_file(where / MANIFEST, lambda file: file.write(text.encode()))  # type: ignore[arg-type]
    return manifest


def _refuse_strangers(folder: Path, units: Sequence[Unit]) -> None:
    """Raise for Parquet files that readers of the folder would take along, and for any that must not be replaced."""
    ours = {part_name(i) for i in range(len(units))}
    read = {os.path.realpath(unit.part.path) for unit in units if hasattr(unit.part, "path")}
    for path in map(folder.joinpath, sorted(ours)):
        if os.path.realpath(path) in read:
            raise ShiftDataError(f"{str(path)!r} holds the rows to be weighted: pass another folder.")
        if path.exists():
            _written_before(path, "")
    others = sorted(path.name for path in folder.glob("*.parquet") if path.name not in ours)
    if others:
        raise ShiftDataError(
            f"{str(folder)!r} holds {len(others)} other Parquet files, such as {others[0]!r}: pass an empty folder."
        )


@public
def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """The manifest of a folder of weights.

    Parameters
    ----------
    folder : str or path-like

    Returns
    -------
    Manifest
        files, rows, total and largest weight.

    Raises
    ------
    ShiftDataError
        Where there is none, so that the weights are not complete, or a damaged one.

    See Also
    --------
    StreamingLogisticWeighter : Importance weights by passes over files.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise ShiftDataError(f"{str(folder)!r} holds no {MANIFEST}: the weights are not complete. Write them again.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        files = [WeightFile(**file) for file in found["files"]]
        return Manifest(files, found["rows"], found["total"], found["largest"])
    except (ValueError, KeyError, TypeError) as error:
        raise ShiftDataError(f"{str(path)!r} is damaged: write the weights again.") from error
