"""Runs of the output step alone, each in a process of its own that can be killed; started by ``test_output.py``.

Reads one JSON object a line: ``folder``, ``run`` (a number for the record), ``exchange`` (whether the system exchanges
two folders at once), ``stop_at`` (die before this system call, counted from 1, of those that Python reports; null runs
on and on until killed). Answers with the number of the forked process, then, when it is dead, with how it ended.
"""

import json
import os
import signal
import sys
from pathlib import Path

from shiftfix.cli import _workplace
from shiftfix.cli._exit import OutputError
from shiftfix.cli._output import FILES, new_folder
from shiftfix.cli._results import seal

WATCHED = ("open", "os.", "shutil.", "ctypes.", "fcntl.")


def write_results(folder, run, overwrite=True):
    """What a run writes, without the run."""
    with new_folder(Path(folder), overwrite) as new:
        for name in FILES[:-1]:
            (new / name).write_text(f"{name} of run {run}\n" * 100)
        seal(new, {"run": run})


def die_before(step):
    """Kill this process before its system call number ``step``."""
    seen = 0

    def hook(event, _):
        nonlocal seen
        if event.startswith(WATCHED):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def child(order):
    os.fsync = lambda descriptor: None  # a kill loses nothing that was written
    if not order["exchange"]:
        _workplace._exchange = lambda one, other: False
    if order["stop_at"] is not None:
        die_before(order["stop_at"])
        write_results(order["folder"], order["run"])
        os._exit(0)
    while True:
        try:
            write_results(order["folder"], order["run"])
        except OutputError:
            os._exit(5)


def main():
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                child(json.loads(line))
            finally:
                os._exit(1)
        os.write(1, b"%d\n" % pid)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    main()
