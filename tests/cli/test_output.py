"""The folder of results: nothing of others is lost, one run at a time, and every death leaves a whole result."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from shiftfix.cli import _workplace
from shiftfix.cli._exit import OutputError
from shiftfix.cli._output import FILES, new_folder
from shiftfix.cli._results import foreign_files, seal
from shiftfix.cli._workplace import workplace_of
from tests.cli.output_steps import write_results

HERE = Path(__file__).resolve()


def contents(folder):
    """Bytes of every file, and None for every folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def run_of(folder):
    """Number of the run whose whole results stand in a folder."""
    assert sorted(os.listdir(folder)) == sorted(FILES)
    assert foreign_files(folder) == []
    return json.loads((folder / "summary.json").read_text())["run"]


@pytest.fixture(params=[True, False], ids=["exchange", "renames"])
def exchange(request, monkeypatch):
    """Both ways to swap two folders."""
    if not request.param:
        monkeypatch.setattr(_workplace, "_exchange", lambda one, other: False)
    return request.param


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """What a killed process has written is there for others, on the disk or not."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def out(tmp_path):
    """The name of a folder of results, beside a file of the user's."""
    (tmp_path / "mine.txt").write_text("mine")
    return tmp_path / "out"


# The truth: what stands there afterwards -----------------------------------------------------------


def test_results_come_whole_into_a_new_an_empty_and_an_earlier_folder(out, exchange):
    write_results(out, 1, overwrite=False)
    assert run_of(out) == 1
    write_results(out, 2)
    assert run_of(out) == 2
    empty = out.with_name("empty")
    empty.mkdir(mode=0o750)
    write_results(empty, 3, overwrite=False)
    assert run_of(empty) == 3
    assert empty.stat().st_mode & 0o777 == 0o750
    assert sorted(os.listdir(out.parent)) == ["empty", "mine.txt", "out"]


def test_a_private_folder_stays_private(out, exchange):
    write_results(out, 1)
    out.chmod(0o700)
    write_results(out, 2)
    assert out.stat().st_mode & 0o777 == 0o700


def test_a_link_is_followed(out):
    out.with_name("link").symlink_to(out)
    write_results(out.with_name("link"), 1)
    assert run_of(out) == 1
    assert out.with_name("link").is_symlink()


# What is not ours ----------------------------------------------------------------------------------


def add_file(folder):
    (folder / "thesis.txt").write_text("years of work")


def add_folder(folder):
    (folder / "data").mkdir()


def add_link(folder):
    (folder / "link.csv").symlink_to(folder.parent / "mine.txt")


def add_hidden(folder):
    (folder / ".git").write_text("")


def change_predictions(folder):
    (folder / "predictions.csv").write_text("mine now")


def change_summary(folder):
    (folder / "summary.json").write_text((folder / "summary.json").read_text().replace('"run": 1', '"run": 7'))


def put_a_folder_in_place_of_a_file(folder):
    (folder / "weights.csv").unlink()
    (folder / "weights.csv").mkdir()


def put_a_link_in_place_of_a_file(folder):
    """A link to the very bytes: removing it would be no loss, but it is not ours."""
    (folder / "weights.csv").rename(folder.parent / "w.csv")
    (folder / "weights.csv").symlink_to(folder.parent / "w.csv")


def forget_the_summary(folder):
    (folder / "summary.json").unlink()


INTERFERENCES = [
    add_file,
    add_folder,
    add_link,
    add_hidden,
    change_predictions,
    change_summary,
    put_a_folder_in_place_of_a_file,
    put_a_link_in_place_of_a_file,
    forget_the_summary,
]


@pytest.mark.parametrize("interfere", INTERFERENCES)
def test_overwrite_replaces_nothing_but_unchanged_results(out, interfere):
    write_results(out, 1)
    interfere(out)
    before = contents(out.parent)
    with pytest.raises(OutputError, match="not results of this command"):
        write_results(out, 2)
    assert contents(out.parent) == before


def run_while(out, overwrite, something_happens, run=2):
    """A run during which something happens, and what then stood in the folder above."""
    found = {}
    with pytest.raises(OutputError, match=r"the results of this run are in .*out\.[0-9]") as caught:
        _run_while(out, overwrite, something_happens, run, found)
    return found, str(caught.value)


def _run_while(out, overwrite, something_happens, run, found):
    with new_folder(out, overwrite) as new:
        for name in FILES[:-1]:
            (new / name).write_text("new")
        seal(new, {"run": run})
        something_happens(out)
        found.update(contents(out.parent))


def visible(files):
    return {name: content for name, content in files.items() if not name.startswith((".out.shiftfix", "out.1"))}


@pytest.mark.parametrize("interfere", INTERFERENCES)
def test_what_comes_during_the_run_stays_and_the_results_stand_beside(out, exchange, interfere):
    write_results(out, 1)
    before, message = run_while(out, True, interfere)
    assert visible(contents(out.parent)) == visible(before)
    assert f"{out}.1" in message
    assert run_of(out.with_name("out.1")) == 2
    assert not workplace_of(out).exists()


def make_file(out):
    out.write_text("mine")


def make_link(out):
    out.symlink_to(out.with_name("mine.txt"))


def make_folder_with_a_file(out):
    out.mkdir(exist_ok=True)
    add_file(out)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("make", [make_file, make_link, make_folder_with_a_file])
def test_what_comes_where_nothing_was_stays_too(out, exchange, overwrite, make):
    before, _ = run_while(out, overwrite, make)
    assert visible(contents(out.parent)) == visible(before)
    assert run_of(out.with_name("out.1")) == 2
    assert sorted(os.listdir(out.parent)) == ["mine.txt", "out", "out.1"]


def test_what_comes_into_an_empty_folder_stays_too(out):
    out.mkdir()
    run_while(out, False, make_folder_with_a_file)
    assert os.listdir(out) == ["thesis.txt"]


def test_the_place_beside_is_free_too(out):
    out.with_name("out.1").mkdir()
    out.with_name("out.2").write_text("mine")
    run_while(out, False, make_file)
    assert os.listdir(out.with_name("out.1")) == []
    assert run_of(out.with_name("out.3")) == 2


@pytest.mark.parametrize("name", ["out/s.csv", "out/predictions.csv", "out/deep/s.csv", "link.csv"])
def test_a_source_in_the_folder_is_not_replaced(out, name):
    write_results(out, 1)
    out.with_name("link.csv").symlink_to(out / "weights.csv")
    before = contents(out.parent)
    with pytest.raises(OutputError, match="which this run reads"), new_folder(out, True, [out.parent / name]):
        pass
    assert contents(out.parent) == before


@pytest.mark.parametrize("content", [{"thesis.txt": "years"}, {"new/../thesis.txt": "years"}, None, "link"])
def test_a_hidden_folder_of_another_is_not_touched(out, content):
    work = workplace_of(out)
    if content is None:
        work.write_text("a file")
    elif content == "link":
        out.with_name("private").mkdir()
        work.symlink_to(out.with_name("private"))
    else:
        work.mkdir()
        (work / "new").mkdir()
        for name, text in content.items():
            (work / name).write_text(text)
    before = contents(out.parent)
    with pytest.raises(OutputError, match="no run of it put there"):
        write_results(out, 1)
    assert contents(out.parent) == before


def test_what_a_killed_run_had_moved_away_with_files_of_others_is_shown(out):
    write_results(out, 1)
    work = workplace_of(out)
    work.mkdir()
    shutil.copytree(out, work / "ready")
    (work / "ready" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match=r"thesis.txt.*move it away"):
        write_results(out, 2)
    assert (work / "ready" / "thesis.txt").read_text() == "years of work"
    assert run_of(out) == 1


# Names that cannot be ------------------------------------------------------------------------------

BAD_NAMES = {
    "mine.txt": "is a file",
    "mine.txt/out": "no folder",
    "nowhere/out": "make it first",
    "x" * 250: "bytes too long",
    "é" * 124: "bytes too long",
    "x" * 300: "bytes too long",
    "a\0b": "zero byte",
    "loop": "leads to itself",
    ".": "the folder that you are in",
    "": "the folder that you are in",
    "..": "the folder that you are in",
    "/": "is a disk",
    "d/" * 3000: "cannot be written|no folder",
}


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: repr(name[:9]))
def test_names_that_cannot_be(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(OutputError, match=BAD_NAMES[name]):
        write_results(Path(name), 1)
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("name", ["with space", "line\nbreak", "-x", "é" * 120, "y" * 245, "out.1", "\udcff", "'"])
def test_names_that_can_be(tmp_path, name):
    write_results(tmp_path / name, 1)
    assert run_of(tmp_path / name) == 1
    assert os.listdir(tmp_path) == [name]


# Failures ------------------------------------------------------------------------------------------


def refuse(monkeypatch, owner, name, when=lambda *arguments: True):
    original = getattr(owner, name)

    def refused(*arguments, **options):
        if when(*arguments):
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, refused)


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Path, "mkdir"), (os, "open"), (os, "write"), (os, "ftruncate"), (os, "fsync"), (Path, "write_text")],
)
@pytest.mark.parametrize("earlier", [True, False])
def test_a_refusing_system_is_an_output_error_and_nothing_changes(out, monkeypatch, owner, name, earlier):
    if earlier:
        write_results(out, 1)
    before = contents(out.parent)
    with monkeypatch.context() as patched:
        refuse(patched, owner, name)
        with pytest.raises((OutputError, OSError), match="No space left"):
            write_results(out, 2)
    assert contents(out.parent) == before


def test_results_that_cannot_be_moved_into_place_are_kept_beside(out, exchange, monkeypatch):
    write_results(out, 1)
    monkeypatch.setattr(_workplace, "_exchange", lambda one, other: False)
    rename = Path.rename

    def busy(self, to):
        if to == out and self.name == "ready":
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(self, to)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", busy)
        with pytest.raises(OutputError, match=r"busy.*are in .*out\.1"):
            write_results(out, 2)
    assert run_of(out) == 1
    assert run_of(out.with_name("out.1")) == 2
    assert sorted(os.listdir(out.parent)) == ["mine.txt", "out", "out.1"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_whatever_ends_the_block_leaves_nothing(out, error):
    write_results(out, 1)
    before = contents(out.parent)

    def end(out):
        raise error

    with pytest.raises(error):
        _run_while(out, True, end, 2, {})
    assert contents(out.parent) == before


# Two runs, and dead ones ---------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_second_of_two_runs_fails_and_the_first_does_not_notice(out, overwrite):
    with new_folder(out, overwrite) as new:
        with pytest.raises(OutputError, match=rf"being written by another run \(process {os.getpid()}\)"):
            write_results(out, 2, overwrite)
        for name in FILES[:-1]:
            (new / name).write_text("first")
        seal(new, {"run": 1})
    assert run_of(out) == 1
    assert not workplace_of(out).exists()


def test_where_there_are_no_locks_the_folder_itself_is_one(out, monkeypatch):
    monkeypatch.setattr("shiftfix._locks.fcntl", None)
    with new_folder(out, False) as new:
        with pytest.raises(OutputError, match="remove it if none runs"):
            write_results(out, 2)
        seal(new, {"run": 1})
    write_results(out, 3)
    assert run_of(out) == 3


class Steps:
    """A process that forks runs of the output step; see ``output_steps.py``."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(HERE.with_name("output_steps.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self):
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def steps():
    steps = Steps()
    yield steps
    steps.process.stdin.close()
    steps.process.wait()
    steps.process.stdout.close()


def check_after_a_death(out, earlier, run, exchange):
    """One of the documented states; then the next run, with and without --overwrite, leaves one whole result."""
    work, found = workplace_of(out), None
    assert set(os.listdir(out.parent)) <= {"mine.txt", "out", work.name}
    if out.exists():
        found = run_of(out)
    elif (work / "old").exists():
        assert not exchange
        found = run_of(work / "old")
    # A process that repeats its run may die while it replaces its own results.
    assert found in {earlier, run}
    if found is not None:
        with pytest.raises(OutputError, match="not empty"):
            write_results(out, 99, overwrite=False)
        assert run_of(out) == found
    else:
        write_results(out, 99, overwrite=False)
        assert run_of(out) == 99
    assert sorted(os.listdir(out.parent)) == ["mine.txt", "out"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("earlier", "exchange"), [(None, True), (1, True), (1, False)], ids=["new", "exchange", "renames"]
)
def test_death_before_any_of_its_system_calls(tmp_path, steps, exchange, earlier):
    found = []
    for stop_at in range(1, 1000):
        out = tmp_path / str(stop_at) / "out"
        out.parent.mkdir()
        (out.parent / "mine.txt").write_text("mine")
        if earlier is not None:
            write_results(out, earlier)
        steps.start(folder=str(out), run=2, exchange=exchange, stop_at=stop_at)
        if steps.end() == 0:
            break
        found.append(check_after_a_death(out, earlier, 2, exchange))
    assert len(found) > 20  # it was killed at all
    assert set(found) == {earlier, 2}  # before and after the results came into place
    assert found == sorted(found, key=lambda run: run == 2)  # and never back


def kill_at_random(out, steps, generator, exchange, times):
    for run in range(100, 100 + times):
        if generator.random() < 0.3:
            with suppress(FileNotFoundError):
                shutil.rmtree(out)
        earlier = run_of(out) if out.exists() else None
        pid = steps.start(folder=str(out), run=run, exchange=exchange, stop_at=None)
        time.sleep(generator.uniform(0.0, 0.02))
        os.kill(pid, signal.SIGKILL)
        assert steps.end() == -signal.SIGKILL
        check_after_a_death(out, earlier, run, exchange)


@pytest.mark.slow
@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "renames"])
def test_thirty_kills_at_random_moments(out, steps, exchange):
    kill_at_random(out, steps, random.Random(0), exchange, 30)


@pytest.mark.slow
@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "renames"])
@pytest.mark.parametrize("seed", range(10))
def test_hundred_kills_at_random_moments(out, steps, exchange, seed):
    kill_at_random(out, steps, random.Random(seed), exchange, 100)
