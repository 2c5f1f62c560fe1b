"""Weights written back: whole files, a manifest that comes last, and calls that are killed and made again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.exceptions import ShiftDataError
from shiftfix.large import StreamingLogisticWeighter, read_manifest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("polars")
from tests.large.test_weighter import X_TARGET, X, write_files  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Source, target, a fitted weighter and the folder of its weights."""
    where = tmp_path_factory.mktemp("written")
    keys = np.arange(len(X))
    source = write_files(where / "source", X, [4000, 0, 3, 1997], key=keys)
    target = write_files(where / "target", X_TARGET, [4000], key=keys[:4000])
    made = StreamingLogisticWeighter(columns=["a", "b", "c", "d"], rows_per_unit=1000).fit(source, target)
    manifest = made.write_weights(source, where / "out", keep=["key"])
    return source, target, made, where / "out", manifest


def rows_of(folder):
    return pq.read_table(folder, schema=None).to_pydict()


@pytest.mark.slow
def test_every_row_has_the_weight_of_memory(written):
    _, _, made, folder, manifest = written
    found = rows_of(folder)
    assert found["key"] == list(range(6000))
    assert_allclose(found["weight"], made.transform(X), rtol=1e-12)
    assert np.mean(found["weight"]) == pytest.approx(1, abs=1e-9)
    assert manifest.rows == 6000
    assert manifest.total == pytest.approx(sum(found["weight"]))
    assert manifest.largest == max(found["weight"])
    assert [file.rows for file in manifest.files] == [1000] * 4 + [3] + [1000, 997]
    assert read_manifest(folder) == manifest


@pytest.mark.slow
def test_what_is_there_is_not_written_again(written):
    source, _, made, folder, manifest = written
    names = [folder / file.file for file in manifest.files]
    names[2].unlink()
    (folder / "_manifest.json").unlink()
    names[4].write_bytes(names[4].read_bytes()[:-20])
    before = {name: name.stat().st_mtime_ns for name in names if name.exists()}
    with pytest.raises(ShiftDataError, match="not complete"):
        read_manifest(folder)
    assert made.write_weights(source, folder, keep=["key"]) == manifest
    after = {name: name.stat().st_mtime_ns for name in names}
    assert [name for name in names if before.get(name) != after[name]] == [names[2], names[4]]


@pytest.mark.slow
def test_weights_of_another_fit_are_not_taken_for_these(written, tmp_path):
    source, target, made, _, _ = written
    made.write_weights(source, tmp_path / "out")
    other = StreamingLogisticWeighter(C=0.01, columns=["a", "b", "c", "d"], rows_per_unit=1000).fit(source, target)
    total = other.write_weights(source, tmp_path / "out").total
    assert total == pytest.approx(6000)
    assert_allclose(rows_of(tmp_path / "out")["weight"], other.transform(X), rtol=1e-12)


@pytest.mark.slow
def test_a_folder_with_other_files_and_arrays(written, tmp_path):
    source, _, made, _, _ = written
    pq.write_table(pa.table({"x": [1]}), tmp_path / "mine.parquet")
    with pytest.raises(ShiftDataError, match=r"mine\.parquet"):
        made.write_weights(source, tmp_path)
    manifest = made.write_weights(X, tmp_path / "arrays")
    assert_allclose(rows_of(tmp_path / "arrays")["weight"], made.transform(X), rtol=1e-12)
    assert manifest.rows == 6000
    with pytest.raises(ShiftDataError, match=r"part-00\.parquet has no columns \['nothing'\]"):
        made.write_weights(source, tmp_path / "kept", keep=["key", "nothing"])
    with pytest.raises(ShiftDataError, match="keep"):
        made.write_weights(X, tmp_path / "kept", keep=["key"])


WRITER = """
import pickle, sys, time
import shiftfix.large._weight_files as files
weighter = pickle.load(open(sys.argv[1], "rb"))
write = files._unit_weights
def slowly(unit, rule):
    time.sleep(0.3)
    return write(unit, rule)
files._unit_weights = slowly
weighter.write_weights(sys.argv[2], sys.argv[3])
"""


@pytest.mark.slow
def test_kill_minus_9_while_weights_are_written(written, tmp_path):
    """No file is seen that is not whole, and the same call completes them."""
    import pickle

    source, _, made, _, manifest = written
    (tmp_path / "weighter").write_bytes(pickle.dumps(made))
    out = tmp_path / "out"
    command = [sys.executable, "-c", WRITER, str(tmp_path / "weighter"), str(source), str(out)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)})
    while not (list(out.glob("weights-*.parquet")) if out.exists() else []):
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = sorted(out.glob("weights-*.parquet"))
    assert 0 < len(there) < len(manifest.files)
    assert not (out / "_manifest.json").exists()
    expected = {file.file: file.rows for file in manifest.files}
    assert all(pq.read_metadata(path).num_rows == expected[path.name] for path in there)
    again = made.write_weights(source, out)
    assert (again.rows, again.total) == (manifest.rows, manifest.total)
    assert json.loads((out / "_manifest.json").read_text())["rows"] == 6000
    assert sorted(p.name for p in out.iterdir()) == ["_manifest.json", *sorted(expected)]
