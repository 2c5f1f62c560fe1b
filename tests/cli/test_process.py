"""Signals, closed streams and characters a terminal lacks: one clear line, the documented code, nothing left behind."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shiftfix.cli._app import app
from shiftfix.cli._output import FILES
from shiftfix.cli._workplace import workplace_of
from shiftfix.datasets._cards import cards_folder

CLINIC = [str(cards_folder() / "clinic_source.csv"), str(cards_folder() / "clinic_target.csv")]
CORRECT = ["correct", *CLINIC, "--label", "readmitted", "--shift", "covariate"]
QUICK = [*CORRECT, "--learner", "logistic", "--out"]
COMMAND = [sys.executable, "-c", "from shiftfix.cli import main; main()"]
# Whatever these tests were started under (nohup, the background of a shell), a signal does here what it does at first.
DEFAULT_SIGNALS = """
import os, signal, sys
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
INTERRUPTIBLE = [sys.executable, "-I", "-S", "-c", DEFAULT_SIGNALS, *COMMAND]


def shell(arguments, redirection, tmp_path, command=COMMAND, **environment):
    """Exit code and stderr of the command as a shell runs it."""
    quoted = " ".join(f"'{part}'" for part in [*command, *map(str, arguments)])
    script = f"set -o pipefail; {quoted} {redirection}"
    found = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, check=False
    )
    return found.returncode, found.stdout, found.stderr.decode()


# Standard output -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("redirection", ["> /dev/full", "| true"], ids=["full", "closed pipe"])
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["demo", "--list"]], ids=lambda words: words[0])
def test_output_that_takes_nothing_is_one_line_and_code_5(tmp_path, redirection, arguments):
    # What is read by nobody may fit into a pipe that is still open: then all is well.
    slow = "| sleep 0" if redirection == "| true" else redirection
    code, _, error = shell(arguments, slow, tmp_path)
    # A reader that has left is told nothing: 141 is what shells say of every command that it ends.
    assert code in ({5} if redirection == "> /dev/full" else {0, 141})
    assert error.count("\n") == (code == 5)
    assert ("standard output cannot be written" in error) == (code == 5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "expected"),
    [("> /dev/full", 5), ("| true", 141), (">&-", 0), (">&- 2>&- <&-", 0), ("2> /dev/full", 0)],
)
def test_the_results_are_whole_whatever_becomes_of_what_is_printed(tmp_path, redirection, expected):
    code, _, error = shell([*QUICK, "out"], redirection, tmp_path)
    assert code == expected
    assert "Traceback" not in error
    assert len(list((tmp_path / "out").iterdir())) == len(FILES)
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_characters_that_the_terminal_lacks_are_printed_by_number(tmp_path, encoding):
    code, output, error = shell([*QUICK, "aus-é-Ω"], "", tmp_path, PYTHONIOENCODING=encoding)
    assert (code, error) == (0, "")
    shown = {"ascii": b"aus-\\xe9-\\u03a9", "latin-1": b"aus-\xe9-\\u03a9", "utf-8": "aus-é-Ω".encode()}
    assert b"written: " + shown[encoding] in output


@pytest.mark.parametrize("charset", ["ascii", "utf-8"])
@pytest.mark.parametrize("name", ["é.csv", "\udcff.csv", "😀.csv"])
def test_messages_show_every_character(tmp_path, charset, name):
    arguments = ["correct", str(tmp_path / name), CLINIC[1], "--label", "y", "--shift", "label"]
    result = CliRunner(charset=charset).invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 3
    assert "does not exist" in result.stderr


# Signals -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("delay", [0.0, 0.3, 1.0])
def test_a_signal_ends_a_run_with_one_line_and_nothing_left(tmp_path, name, delay):
    long = [*INTERRUPTIBLE, *CORRECT, "--out", "out", "--epochs", "100000", "--hidden", "512,512"]
    with subprocess.Popen(long, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not workplace_of(tmp_path / "out").exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(getattr(signal, name))
        output, error = process.communicate(timeout=60)
    assert process.returncode == 128 + getattr(signal, name)
    assert (output, error) == ("", f"shiftfix: stopped by {name}.\n")
    assert os.listdir(tmp_path) == []


WHILE_TORCH_STARTS = """
import os, signal, sys, time
from shiftfix.cli import main

class Sender:
    def find_spec(self, name, path=None, target=None):
        if name == "torch.autograd":
            os.kill(os.getpid(), signal.SIG)

def start_torch():
    global whole
    whole = False
    import torch
    whole = True
    time.sleep(30)

sys.meta_path.insert(0, Sender())
sys.modules["shiftfix.cli"]._run = start_torch
try:
    main()
finally:
    print(whole)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_waits_until_torch_has_started(tmp_path, name):
    """Its C++ calls Python where an exception aborts the process."""
    command = [*INTERRUPTIBLE[:-1], WHILE_TORCH_STARTS.replace("SIG)", f"{name})")]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert found.returncode == 128 + getattr(signal, name)
    assert (found.stdout, found.stderr) == ("True\n", f"shiftfix: stopped by {name}.\n")


DROPPED = {
    "a finalizer": "Finalized()",
    "a library": "swallow()",
}
IS_DROPPED = """
import os, signal, sys, time
from shiftfix.cli import main

class Finalized:
    sent = False

    def __del__(self):
        if not Finalized.sent:
            Finalized.sent = True
            os.kill(os.getpid(), signal.SIG)
            for _ in range(1000):
                pass

def swallow():
    try:
        Finalized().__del__()
    except BaseException:
        pass

def wait():
    DROP
    time.sleep(30)

sys.modules["shiftfix.cli"]._run = wait
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("drop", DROPPED)
def test_a_signal_whose_exception_is_dropped_is_not_lost(tmp_path, name, drop):
    """It comes again, and ends a wait of the main thread. A library in C may drop what is raised while it looks whether
    a name is there."""
    command = [*INTERRUPTIBLE[:-1], IS_DROPPED.replace("SIG)", f"{name})").replace("DROP", DROPPED[drop])]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=20)
    assert (found.returncode, found.stderr) == (128 + getattr(signal, name), f"shiftfix: stopped by {name}.\n")


SWALLOWED = """
import os, signal, sys
import pandas as pd
from shiftfix.cli import main

def swallow(*arguments, **options):
    try:
        os.kill(os.getpid(), signal.SIG)
        for _ in range(1000):
            pass
    except BaseException:
        pass
    raise pd.errors.ParserError("Calling read(nbytes) on source failed.")

pd.read_csv = swallow
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_that_a_library_takes_for_an_error_of_the_file(tmp_path, name):
    """The parser of pandas lets no KeyboardInterrupt through, and says that the file cannot be read."""
    command = [*INTERRUPTIBLE[:-1], SWALLOWED.replace("SIG)", f"{name})"), *QUICK, "out"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (128 + getattr(signal, name), f"shiftfix: stopped by {name}.\n")
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_nohup_is_respected(tmp_path):
    code, _, _ = shell([*QUICK, "out"], "& pid=$!; sleep 1; kill -HUP $pid; wait $pid", tmp_path, INTERRUPTIBLE)
    assert code == 129
    script = " ".join(f"'{part}'" for part in [*COMMAND, *QUICK, "out"])
    found = subprocess.run(
        ["bash", "-c", f"trap '' HUP; {script} & sleep 1; kill -HUP $!; wait $!"], cwd=tmp_path, capture_output=True
    )
    assert found.returncode == 0, found.stderr


# Exit codes ----------------------------------------------------------------------------------------

INPUTS = {
    "too long": ("x" * 300 + ".csv", "File name too long"),
    "path too long": ("x/" * 3000 + "s.csv", "File name too long"),
    "device": ("/dev/null", "is a device"),
    "below a file": (CLINIC[0] + "/s.csv", "does not exist"),
    "a loop": ("loop.csv", "Too many levels"),
    "a pipe": ("pipe.csv", "is a device or a pipe"),
}


@pytest.mark.parametrize("which", ["source", "target"])
@pytest.mark.parametrize("case", INPUTS)
def test_inputs_that_cannot_be_opened(tmp_path, monkeypatch, which, case):
    monkeypatch.chdir(tmp_path)
    Path("loop.csv").symlink_to("loop.csv")
    os.mkfifo("pipe.csv")
    before = sorted(os.listdir(tmp_path))
    path, message = INPUTS[case]
    files = [path, CLINIC[1]] if which == "source" else [CLINIC[0], path]
    result = CliRunner().invoke(app, ["correct", *files, *CORRECT[3:], "--out", "out"])
    assert result.exit_code == 3, result.output
    assert message in result.stderr
    assert f"the {which} file" in result.stderr
    assert sorted(os.listdir(tmp_path)) == before


def test_an_input_in_a_folder_that_may_not_be_searched(tmp_path, monkeypatch):
    def refuse(path, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("shiftfix.cli._files.os.stat", refuse)
    from shiftfix.cli._exit import InputError
    from shiftfix.cli._files import read_table

    with pytest.raises(InputError, match="Permission denied"):
        read_table(tmp_path / "s.csv", "source")


HIDDEN = [
    "100000000",
    "9" * 30,
    "9" * 5000,
    "20000,20000",
    ",".join(["1"] * 101),
    "1," * 40000 + "1",
    "0",
    "-1",
    "1e9",
    "8,",
]


@pytest.mark.parametrize("hidden", HIDDEN, ids=lambda text: text[:12])
def test_networks_beyond_any_memory(tmp_path, hidden):
    result = CliRunner().invoke(app, [*CORRECT, "--out", str(tmp_path / "out"), f"--hidden={hidden}"])
    assert result.exit_code == 2, result.output
    assert "--hidden" in result.stderr
    assert len(result.stderr) < 400
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError(), 3, "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 3, "not enough memory"),
        (OSError(errno.EIO, "Input/output error", "s.csv"), 3, "s.csv cannot be used"),
        (KeyboardInterrupt(), 130, "stopped by SIGINT"),
    ],
)
def test_what_ends_a_run_has_its_code(tmp_path, monkeypatch, error, code, message):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr("shiftfix.cli._correct.fit_encoder", fail)
    result = CliRunner().invoke(app, [*QUICK, str(tmp_path / "out")])
    assert result.exit_code == code
    assert message in result.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("options", [["--seed", str(2**32)], ["--repeats", "0"], ["--seed", "-1"]])
def test_seeds_of_demos_are_bounded(options):
    assert CliRunner().invoke(app, ["demo", "digits", *options]).exit_code == 2


@pytest.mark.slow
def test_a_source_that_would_be_replaced(tmp_path):
    arguments = [*QUICK, str(tmp_path / "out")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    source = tmp_path / "out" / "s.csv"
    source.write_bytes(Path(CLINIC[0]).read_bytes())
    result = CliRunner().invoke(app, ["correct", str(source), *arguments[2:], "--overwrite"])
    assert result.exit_code == 5
    assert "which this run reads" in result.stderr
    assert source.exists()


@pytest.mark.slow
def test_python_runs_it_as_a_module(tmp_path):
    """For where the script is not on the path, as in a notebook's kernel."""
    found = subprocess.run(
        [sys.executable, "-m", "shiftfix", "demo", "--list"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "breast_cancer" in found.stdout
