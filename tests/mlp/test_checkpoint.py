"""Files: what goes in comes out, a killed or failing writer leaves a whole file, and no file runs code."""

import errno
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import time
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import shiftfix
from shiftfix import _atomic
from shiftfix._atomic import check_writable
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor
from shiftfix.mlp._network._module import build_mlp
from shiftfix.mlp._saving._encoding import decode as _decode
from shiftfix.mlp._saving._encoding import digest
from shiftfix.mlp._saving._encoding import encode as _encode
from shiftfix.mlp._saving._files import read, write_atomically
from shiftfix.mlp._saving._model import pack_estimator, unpack_estimator

CONTENT = {
    "epoch": 3,
    "loss": [0.5, float("inf"), 1e-300],
    "name": "Größe \ud800",
    "flags": (True, None, -(2**70)),
    "state": {0: {"step": torch.tensor(4.0), "average": torch.linspace(0, 1, 600, dtype=torch.float64)}},
}


def same(a, b):
    """Equal in type, order and every bit; tensors and arrays by dtype, shape and bytes."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a.items(), b.items(), strict=True))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
    if isinstance(a, np.ndarray) and a.dtype.kind == "O":
        return a.dtype == b.dtype and a.shape == b.shape and same(a.ravel().tolist(), b.ravel().tolist())
    if isinstance(a, np.longdouble):  # has bytes without meaning
        return a == b
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, StandardScaler):
        return same(vars(a), vars(b))
    return a == b or (a != a and b != b)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pt"


def saved(path, content=CONTENT, kind="checkpoint"):
    write_atomically(content, path, kind)
    return path


def forged(path, content=CONTENT, **header):
    """A file whose header is another one, with the digest that belongs to it."""
    fields = {"format": "shiftfix", "kind": "checkpoint", "version": 1, "shiftfix": "0.1.0"} | header
    torch.save({"header": fields | {"digest": digest(fields, content)}, "content": content}, path)
    return path


# ------------------------------------------------------------------------------------------- round trips

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=10,
)


@pytest.mark.slow
@settings(max_examples=25)
@given(content=values)
def test_whatever_plain_content_goes_in_comes_out(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.pt"
    assert same(read(saved(path, content), "checkpoint"), content)


def test_the_content_and_the_header_come_back(path):
    assert same(read(saved(str(path)), "checkpoint"), CONTENT)
    header = torch.load(path, weights_only=True)["header"]
    assert len(header.pop("digest")) == 32
    assert header == {"format": "shiftfix", "kind": "checkpoint", "version": 1, "shiftfix": shiftfix.__version__}
    assert os.listdir(path.parent) == ["model.pt"]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float64, torch.complex64])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 3)])
def test_tensors_of_every_kind_come_back(path, dtype, shape):
    tensor = torch.ones(shape, dtype=dtype)
    assert same(read(saved(path, [tensor]), "checkpoint"), [tensor])


def test_a_view_is_stored_without_the_memory_behind_it(path):
    """A row of a 4 MB matrix, a column of it, and a parameter with its gradient; about 12 kB in all."""
    matrix = torch.arange(1e6).reshape(1000, 1000)
    parameter = torch.nn.Parameter(torch.ones(3))
    found = read(saved(path, [matrix[5], matrix[:, 5], parameter]), "checkpoint")
    assert same(found, [matrix[5].clone(), matrix[:, 5].contiguous(), torch.ones(3)])
    assert path.stat().st_size < 20_000


def test_a_link_is_followed(path):
    target = path.with_name("elsewhere.pt")
    path.symlink_to(target)
    saved(path)
    assert path.is_symlink()
    assert same(read(target, "checkpoint"), CONTENT)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({"a": {"b": [1, np.float64(2)]}}, r"content\['a'\]\['b'\]\[1\] is .*a float64"),
        ({"weights": np.zeros(2)}, r"content\['weights'\] is array.*a ndarray"),
        ({"f": print}, r"content\['f'\] is .*builtin"),
        ({"s": {1, 2}}, r"content\['s'\].*a set"),
        ({"s": slice(2)}, r"content\['s'\].*a slice"),
        ({np.int64(3): 1}, "has the key .*a int64"),
        ([torch.eye(2).to_sparse()], r"content\[0\] is .*a Tensor"),
        ([torch.empty(2, device="meta")], r"content\[0\]"),
    ],
)
def test_what_could_not_be_read_back_is_refused_by_its_key(path, content, where):
    saved(path)
    with pytest.raises(ShiftDataError, match=where):
        write_atomically(content, path, "checkpoint")
    assert same(read(path, "checkpoint"), CONTENT)
    assert os.listdir(path.parent) == ["model.pt"]


# ------------------------------------------------------------------------------------------- places


def test_a_missing_directory_is_found_before_training(tmp_path):
    lost = tmp_path / "runs" / "model.pt"
    for call in (check_writable, partial(write_atomically, CONTENT, kind="model")):
        with pytest.raises(ShiftDataError, match=r"lies in no existing directory: create '.*runs'"):
            call(path=lost)


@pytest.mark.parametrize("place", ["", "/dev/null"])
def test_a_directory_or_a_device_is_not_replaced(tmp_path, place):
    with pytest.raises(ShiftDataError, match="is a directory or a device"):
        write_atomically(CONTENT, place or tmp_path, "model")
    with pytest.raises(ShiftDataError, match="is a directory or a device"):
        check_writable(place or tmp_path)


def test_a_directory_that_takes_no_file_is_found_before_training(path, monkeypatch):
    def refuse(*args):
        raise PermissionError(errno.EACCES, "Permission denied")

    check_writable(path)
    saved(path)
    check_writable(path)
    assert os.listdir(path.parent) == ["model.pt"]
    assert same(read(path, "checkpoint"), CONTENT)
    monkeypatch.setattr(_atomic, "open", refuse, raising=False)
    with pytest.raises(ShiftDataError, match=r"No file can be written to .* \(Permission denied\)"):
        check_writable(path)


# ------------------------------------------------------------------------------------------- failing and dying writers


@pytest.mark.parametrize("error", [OSError(errno.EIO, "bad disk"), RuntimeError("odd"), KeyboardInterrupt("stop")])
@pytest.mark.parametrize("target", ["torch.save", "os.replace", "os.fsync"])
def test_a_failing_write_keeps_the_old_file_and_nothing_else(path, monkeypatch, target, error):
    def fail(*args, **options):
        raise error

    saved(path)
    with monkeypatch.context() as patch:
        patch.setattr(target, fail)
        with pytest.raises(type(error), match=re.escape(str(error))):
            write_atomically({"epoch": 4}, path, "checkpoint")
    assert os.listdir(path.parent) == ["model.pt"]
    assert same(read(path, "checkpoint"), CONTENT)


@pytest.mark.parametrize("room", [0, 100, 5000, 300_000])
def test_a_full_disk_says_so_and_keeps_the_old_file(path, monkeypatch, room):
    class Full:
        """A file with room for so many bytes."""

        def __init__(self, path, mode):
            self.file = open(path, mode)  # noqa: SIM115
            self.name, self.left = self.file.name, room

        def write(self, data):
            self.left -= len(data)
            if self.left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(data)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

    saved(path)
    monkeypatch.setattr(_atomic, "open", Full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        write_atomically([torch.zeros(10**5)], path, "checkpoint")
    monkeypatch.undo()
    assert os.listdir(path.parent) == ["model.pt"]
    assert same(read(path, "checkpoint"), CONTENT)


def test_the_file_is_on_the_disk_before_it_replaces_the_old_one_and_the_directory_after(path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace

    def note_fsync(descriptor):
        calls.append(("fsync", os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))))
        fsync(descriptor)

    def note_replace(old, new):
        assert zipfile.is_zipfile(old)
        calls.append(("replace", os.path.basename(new)))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    saved(path)
    first, second, third = calls
    assert first[0] == "fsync"
    assert first[1].startswith(f".model.pt.{os.getpid()}.")
    assert (second, third) == (("replace", "model.pt"), ("fsync", path.parent.name))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_writer_killed_at_any_moment_leaves_a_whole_file(path):
    """5 MB in a loop, killed 8 times within the time of four writes."""
    chance, report = random.Random(0), []

    def write(number):
        write_atomically({"number": number, "rows": torch.full((1_250_000,), float(number))}, path, "checkpoint")

    write(0)
    started = time.perf_counter()
    write(0)
    one = time.perf_counter() - started
    for _ in range(8):
        first = read(path, "checkpoint")["number"]
        child = os.fork()
        if not child:
            try:
                for number in range(first + 1, 10**9):
                    write(number)
            finally:
                os._exit(1)
        time.sleep(chance.uniform(0, 4) * one)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        content = read(path, "checkpoint")
        whole = bool((content["rows"] == content["number"]).all()) and content["number"] >= first
        report.append((whole, content["number"], sorted(os.listdir(path.parent))))
    write(-1)
    assert all(whole for whole, _, _ in report)
    assert report[-1][1] > 0  # some writes were finished
    left = [len(names) - 1 for _, _, names in report]
    assert sum(left) > 0  # and some were cut off
    assert max(left) == 1  # the leftover of the one before was removed
    assert os.listdir(path.parent) == ["model.pt"]


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(path):
    """A process that has ended and been waited for; our parent and ourselves live."""
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    dead, alive, own = int(ended.stdout), os.getppid(), os.getpid()
    gone = [f".model.pt.{dead}.0123abcd.tmp", f".model.pt.{own}.0123abcd.tmp", f".model.pt.{10**30}.0123abcd.tmp"]
    kept = [
        f".model.pt.{alive}.0123abcd.tmp",
        f".other.pt.{dead}.0123abcd.tmp",
        f".modelXpt.{dead}.0123abcd.tmp",
        f".model.pt.{dead}.mine.tmp",
        f"model.pt.{dead}.0123abcd.tmp",
    ]
    for name in gone + kept:
        (path.parent / name).touch()
    saved(path)
    assert set(os.listdir(path.parent)) == {"model.pt", *kept}


def test_two_writers_of_one_process_do_not_take_each_others_file(path, monkeypatch):
    """The second writes in the middle of the first; the last to finish wins."""
    fsync = os.fsync

    def write_another(descriptor):
        monkeypatch.setattr(os, "fsync", fsync)
        saved(path, {"writer": 2})
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", write_another)
    saved(path, {"writer": 1})
    assert read(path, "checkpoint") == {"writer": 1}
    assert os.listdir(path.parent) == ["model.pt"]


# ------------------------------------------------------------------------------------------- damage


@pytest.mark.slow
def test_no_flipped_bit_goes_unnoticed(path):
    """In the tensors, the numbers and the text; headers of the archive may be without meaning.

    700 positions over the file, every third byte of the pickle, and of the tensor every 96th and a run of 40: the
    content comes back as it was, or an error; inside the tensor always an error.
    """
    whole = saved(path).read_bytes()
    start = whole.index(CONTENT["state"][0]["average"].numpy().tobytes())
    with zipfile.ZipFile(path) as archive:
        pickled = next(info for info in archive.infolist() if info.filename.endswith("data.pkl"))
    inside = set(range(start, start + 4800, 96)) | set(range(start + 2400, start + 2440))
    positions = inside | set(range(0, len(whole), max(1, len(whole) // 700)))
    positions |= set(range(pickled.header_offset, pickled.header_offset + pickled.file_size + 100, 3))
    for position in sorted(positions):
        for bit in (1, 128) if position in inside else (1 << position % 8,):
            damaged = bytearray(whole)
            damaged[position] ^= bit
            path.write_bytes(damaged)
            try:
                assert same(read(path, "checkpoint"), CONTENT), position
            except ShiftDataError:
                continue
            assert position not in inside


def test_damage_is_called_damage(path):
    whole = bytearray(saved(path).read_bytes())
    for position in (whole.index(np.linspace(0, 1, 600).tobytes()[800:840]), whole.index(b"_rebuild_tensor")):
        damaged = whole.copy()
        damaged[position + 3] ^= 16
        path.write_bytes(damaged)
        with pytest.raises(ShiftDataError, match="is damaged or cut short: take another copy"):
            read(path, "checkpoint")


@pytest.mark.slow
def test_a_truncated_file_is_called_damaged(path):
    whole = saved(path).read_bytes()
    for length in [*range(0, len(whole), 37), *range(len(whole) - 100, len(whole))]:
        path.write_bytes(whole[:length])
        text = "cut short" if length >= 4 else "was not written by shiftfix"
        with pytest.raises(ShiftDataError, match=text):
            read(path, "checkpoint")


def test_bytes_swapped_between_entries_are_noticed(path):
    """Content that differs in order, key, type or shape only has another digest."""
    pairs = [
        ([1, 2], [2, 1]),
        ([1], (1,)),
        ([[1], 2], [[1, 2]]),
        ({"a": 1}, {"b": 1}),
        ({1: "a"}, {"1": "a"}),
        (["ab", "c"], ["a", "bc"]),
        ([True], [1]),
        ([1], [1.0]),
        ([0.0], [-0.0]),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (torch.zeros(2, dtype=torch.float32), torch.zeros(2, dtype=torch.int32)),
    ]
    for a, b in pairs:
        assert digest(a) != digest(b), (a, b)
        assert digest(a) == digest(a)


# ------------------------------------------------------------------------------------------- files of others


class Bomb:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("form", ["pickle", "torch", "old torch", "inside our header"])
def test_code_in_a_file_is_not_executed(path, form):
    mark = path.with_name("executed")
    bomb = Bomb(mark)
    if form == "pickle":
        path.write_bytes(pickle.dumps(bomb))
    elif form == "torch":
        torch.save({"a": torch.ones(3), "b": bomb}, path)
    elif form == "old torch":
        torch.save(bomb, path, _use_new_zipfile_serialization=False)
    else:
        header = {"format": "shiftfix", "kind": "model", "version": 1, "shiftfix": "0.1.0", "digest": "0" * 32}
        torch.save({"header": header, "content": bomb}, path)
    with pytest.raises(ShiftDataError, match=r"was not written by shiftfix.*Nothing in it was executed"):
        read(path, "model")
    assert not mark.exists()
    if form in ("torch", "inside our header"):  # the trap works: pickle itself would have sprung it
        torch.load(path, weights_only=False)
        assert mark.exists()


def test_files_of_other_programs_are_refused(path):
    def arrays():
        with open(path, "wb") as file:
            np.savez(file, a=np.ones(3))

    def zipped():
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "text")

    writers = [
        lambda: path.write_text("a,b\n1,2\n"),
        lambda: path.write_bytes(b""),
        arrays,
        zipped,
        lambda: torch.save({"state": torch.ones(2)}, path),
        lambda: torch.save([1, 2], path),
        lambda: torch.save(torch.ones(3), path),
        lambda: torch.save({"header": {"format": "other", "version": 1}, "content": 1}, path),
        lambda: torch.save({"header": "shiftfix", "content": 1}, path),
    ]
    for write in writers:
        write()
        with pytest.raises(ShiftDataError, match="was not written by shiftfix"):
            read(path, "model")


def test_content_that_shiftfix_never_writes_is_refused(path):
    header = {"format": "shiftfix", "kind": "model", "version": 1, "shiftfix": "0.1.0", "digest": "0" * 32}
    for stored in ({"header": header, "content": {1, 2}}, {"header": header}, {"header": header, "content": 1}):
        torch.save(stored, path)
        with pytest.raises(ShiftDataError, match=r"is damaged|was not written by shiftfix"):
            read(path, "model")


def test_a_missing_file_and_a_directory(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        read(tmp_path / "none.pt", "model")
    with pytest.raises(ShiftDataError, match="is a directory"):
        read(tmp_path, "model")


def test_another_kind_and_a_newer_version(path):
    with pytest.raises(ShiftDataError, match=r"is a checkpoint, and a model is needed"):
        read(saved(path), "model")
    with pytest.raises(ShiftDataError, match=r"written by a newer shiftfix \(7\.1, this is .*\): upgrade"):
        read(forged(path, version=2, shiftfix="7.1"), "checkpoint")
    assert same(read(forged(path), "checkpoint"), CONTENT)


# ------------------------------------------------------------------------------------------- estimators


def through_file(estimator, path):
    write_atomically(pack_estimator(estimator), path, "model")
    return unpack_estimator(read(path, "model"), type(estimator))


def learned(estimator):
    return {name: value for name, value in vars(estimator).items() if name != "module_"}


CLASSES = {
    "int": np.array([3, -1, 7]),
    "int8": np.array([3, -1, 7], np.int8),
    "str": np.array(["a", "long name", "ü"]),
    "object": np.array(["a", "b", "c"], object),
    "bool": np.array([False, True]),
    "float": np.array([0.0, 1.0, 2.0]),
}


@pytest.mark.slow
@pytest.mark.parametrize("classes", CLASSES)
def test_a_classifier_comes_back_bit_by_bit(path, rng, classes):
    labels = CLASSES[classes]
    X = rng.normal(size=(120, 4))
    y = labels[rng.integers(0, len(labels), 120)]
    model = MLPClassifier((8, 5), max_epochs=3, batch_size=16, early_stopping=True, random_state=0).fit(X, y)
    found = through_file(model, path)
    assert same(learned(found), learned(model))
    assert same(found.get_params(), model.get_params())
    assert same(found.predict_proba(X), model.predict_proba(X))
    assert same(found.predict(X), model.predict(X))
    assert same(dict(found.module_.state_dict()), dict(model.module_.state_dict()))
    assert [str(layer) for layer in found.module_] == [str(layer) for layer in model.module_]


@pytest.mark.slow
@pytest.mark.parametrize("n_outputs", [None, 1, 3])
@pytest.mark.parametrize("standardize", [True, False])
def test_a_regressor_comes_back_bit_by_bit(path, rng, n_outputs, standardize):
    X = rng.normal(size=(60, 4)).astype(np.float32)
    y = rng.normal(size=60 if n_outputs is None else (60, n_outputs))
    w = rng.exponential(size=60)
    settings = {"standardize": standardize, "max_epochs": np.int64(2), "learning_rate": np.float32(0.01)}
    model = MLPRegressor([8], random_state=1, early_stopping=False, **settings).fit(X, y, sample_weight=w)
    found = through_file(model, path)
    assert same(learned(found), learned(model))
    assert same(found.predict(X), model.predict(X))
    # and is trained again to the same parameters
    assert same(found.fit(X, y, sample_weight=w).predict(X), model.predict(X))


def test_the_names_of_columns_come_back(path, rng):
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(rng.normal(size=(40, 2)), columns=["age", "income"])
    model = MLPRegressor((4,), max_epochs=1, random_state=0).fit(X, X["age"])
    found = through_file(model, path)
    assert same(found.feature_names_in_, model.feature_names_in_)
    assert same(found.scaler_, model.scaler_)
    assert same(found.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="feature names"):
        found.predict(X[["income", "age"]])


FITTED = {
    "arrays": [np.arange(6).reshape(2, 3).astype(kind) for kind in "?bBhHiIlLqQefdgFDG"],
    "empty and scalar arrays": [np.empty((0, 3)), np.array(4.0), np.empty(0, object), np.empty(0, "U3")],
    "orders": [np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(6, dtype=">i4"), np.arange(9.0)[::2]],
    "special floats": np.array([np.nan, -0.0, np.inf, 5e-324]),
    "dates": np.array(["2020-01-01", "NaT"], "datetime64[D]"),
    "text": np.array([["a", "ü"], ["", "longer"]]),
    "objects": np.array(["a", 1, None, 2.5, np.int8(3)], object),
    "numpy scalars": [np.float64(0.1), np.float32(0.1), np.int8(-3), np.bool_(True), np.str_("x"), np.longdouble(0.1)],
    "plain": [None, True, 3, -(2**80), 0.1, float("nan"), "text"],
    "nested": {"a": [1, (2, [3.0])], 4: {"b": ()}, np.int64(5): np.float64(1.0), (1, "x"): {}},
    "looks like an encoding": {"type": "array", "items": [1]},
    "state dict": {"state": {0: {"step": torch.tensor(3.0), "v": torch.ones(2, 2)}}, "param_groups": [{"lr": 0.1}]},
    "scalers": [
        StandardScaler().fit(np.random.default_rng(0).normal(size=(9, 3))),
        StandardScaler(with_std=False).fit(np.eye(3)),
        StandardScaler(with_mean=False, copy=False).fit(np.eye(3), sample_weight=[0.5, 1, 2]),
        StandardScaler().fit([[1.0, np.nan], [2.0, 3.0]]),
    ],
}


@pytest.mark.parametrize("name", FITTED)
def test_fitted_values_of_every_kind_come_back(path, name):
    value = FITTED[name]
    write_atomically(_encode(value, name), path, "model")
    assert same(_decode(read(path, "model")), value)


def test_what_is_packed_shares_no_memory(rng):
    X = rng.normal(size=(30, 2))
    model = MLPClassifier((4,), max_epochs=1, random_state=0).fit(X, X[:, 0] > 0)
    model.extra_ = [torch.zeros(2), np.zeros(2)]
    content = pack_estimator(model)
    one, two = unpack_estimator(content, MLPClassifier), unpack_estimator(content, MLPClassifier)
    expected = model.predict_proba(X)
    model.scaler_.mean_ += 1
    model.extra_[0] += 1
    one.extra_[0] += 1
    one.extra_[1] += 1
    with torch.no_grad():
        for parameter in (*model.module_.parameters(), *one.module_.parameters()):
            parameter.zero_()
    assert same(two.predict_proba(X), expected)
    assert same(two.extra_, [torch.zeros(2), np.zeros(2)])


def test_state_dicts_of_an_optimiser_continue(path, rng):
    """Two Adam steps in one go, or with a file between them: the same parameters."""
    X = torch.as_tensor(rng.normal(size=(20, 3)), dtype=torch.float32)

    def steps(n, module, optimizer):
        for _ in range(n):
            optimizer.zero_grad()
            module(X).square().mean().backward()
            optimizer.step()

    def start(seed):
        generator = torch.Generator().manual_seed(seed)
        module = build_mlp(3, (4,), 1, "relu", 0.0, generator, None)
        return module, torch.optim.Adam(module.parameters(), lr=0.1)

    module, optimizer = start(0)
    steps(1, module, optimizer)
    saved(path, {"module": module.state_dict(), "optimizer": optimizer.state_dict()})
    steps(1, module, optimizer)
    other, other_optimizer = start(1)
    content = read(path, "checkpoint")
    other.load_state_dict(content["module"])
    other_optimizer.load_state_dict(content["optimizer"])
    steps(1, other, other_optimizer)
    assert same(dict(other.state_dict()), dict(module.state_dict()))


def fitted_regressor(rng, **settings):
    X = rng.normal(size=(20, 2))
    return MLPRegressor((4,), max_epochs=1, **{"random_state": 0} | settings).fit(X, X[:, 0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer", torch.optim.SGD),
        ("optimizer", partial(torch.optim.SGD, momentum=0.5)),
        ("initializer", lambda weight, generator: weight.fill_(0.1)),
        ("random_state", np.random.default_rng(0)),
        ("random_state", np.random.RandomState(0)),
        ("device", torch.device("cpu")),
    ],
)
def test_a_setting_that_needs_pickle_is_named(rng, name, value):
    model = fitted_regressor(rng, **{name: value})
    with pytest.raises(ShiftDataError, match=rf"^{name}=.* cannot be stored without pickle: set it to a name, or use"):
        pack_estimator(model)


def test_a_function_deep_in_a_setting_is_named(rng):
    model = fitted_regressor(rng).set_params(hidden_layer_sizes=[4, {"a": (print,)}])
    with pytest.raises(ShiftDataError, match=r"hidden_layer_sizes\[1\]\['a'\]\[0\]=<built-in function print>"):
        pack_estimator(model)


@pytest.mark.parametrize(
    "value",
    [
        MinMaxScaler(),
        {"a": {1, 2}},
        np.array([b"x"]),
        np.array([[1], (2,), 3], object),
        np.zeros(2, [("a", int)]),
        np.ma.array([1, 2], mask=[0, 1]),
    ],
)
def test_an_attribute_that_needs_pickle_is_named(rng, value):
    model = fitted_regressor(rng)
    model.extra_ = value
    with pytest.raises(ShiftDataError, match=r"The fitted attribute extra_.* without pickle: use joblib"):
        pack_estimator(model)


def test_an_estimator_that_is_not_fitted_has_nothing_to_pack():
    with pytest.raises(NotFittedError):
        pack_estimator(MLPClassifier())


def test_another_class_is_named(rng):
    content = pack_estimator(fitted_regressor(rng))
    with pytest.raises(ShiftDataError, match=r"holds a MLPRegressor, and a MLPClassifier is needed: use MLPRegressor"):
        unpack_estimator(content, MLPClassifier)


def test_settings_and_values_of_a_newer_version_are_named(rng):
    content = pack_estimator(fitted_regressor(rng))
    newer = content | {"settings": content["settings"] | {"momentum": 0.9, "clip": 1}}
    with pytest.raises(ShiftDataError, match=r"sets momentum, which MLPRegressor does not have .*upgrade"):
        unpack_estimator(newer, MLPRegressor)
    for value in ({"type": "frame"}, {"items": []}, {"type": "array", "dtype": "<f77", "shape": [1], "values": 1}):
        with pytest.raises(ShiftDataError, match="holds no estimator that this version of shiftfix can read"):
            unpack_estimator(content | {"fitted": {"extra_": value}}, MLPRegressor)


def test_a_setting_that_the_file_lacks_has_its_default(rng):
    content = pack_estimator(fitted_regressor(rng))
    del content["settings"]["patience"]
    assert unpack_estimator(content, MLPRegressor).patience == MLPRegressor().patience


def test_content_that_is_no_estimator_is_refused(rng):
    content = pack_estimator(fitted_regressor(rng))
    for wrong in (None, [], {}, {"class": "MLPRegressor"}):
        with pytest.raises(ShiftDataError, match="holds no estimator"):
            unpack_estimator(wrong, MLPRegressor)
    wider = content | {"settings": content["settings"] | {"hidden_layer_sizes": 5}}
    with pytest.raises(ShiftDataError, match="parameters do not fit its settings"):
        unpack_estimator(wider, MLPRegressor)


def test_a_file_sets_no_other_attributes(rng):
    """Methods, settings and unlisted private attributes are not for a file to replace."""
    content = pack_estimator(fitted_regressor(rng))
    for name in ("predict", "__class__", "_loss", "n_threads"):
        found = unpack_estimator(content | {"fitted": content["fitted"] | {name: 77}}, MLPRegressor)
        assert vars(found).get(name) != 77
        assert type(found) is MLPRegressor
