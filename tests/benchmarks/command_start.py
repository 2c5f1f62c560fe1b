"""CPU seconds of the command line before it reads any data, beside a bare interpreter.

``python -m tests.benchmarks.command_start [--runs 9] [--imports]``; the median of whole processes, user and system.
``--imports`` lists what takes longest to import.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

COMMAND = [sys.executable, "-m", "shiftfix"]
AS_SCRIPT = "import sys; sys.argv = ['shiftfix']; from shiftfix.cli import main; main()"
CASES = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "shiftfix --version": [*COMMAND, "--version"],
    "shiftfix --help": [*COMMAND, "--help"],
    "shiftfix correct --help": [*COMMAND, "correct", "--help"],
    "shiftfix correct, missing files": [*COMMAND, "correct", "no.csv", "nor.csv", "--label", "y", "--out", "out"],
    "shiftfix predict, missing files": [*COMMAND, "predict", "no.skops", "no.csv"],
    "completion of a command": [sys.executable, "-c", AS_SCRIPT],
}
COMPLETES = {"_SHIFTFIX_COMPLETE": "complete_bash", "COMP_WORDS": "shiftfix d", "COMP_CWORD": "1"}


def cpu_seconds(arguments: list[str], folder: str, variables: dict[str, str]) -> float:
    """User and system time of one process."""
    before = os.times()
    subprocess.run(arguments, cwd=folder, env={**os.environ, **variables}, capture_output=True, check=False)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def slowest_imports(arguments: list[str], folder: str, n_shown: int = 15) -> list[str]:
    """Lines of ``-X importtime``, the longest last."""
    timed = [arguments[0], "-X", "importtime", *arguments[1:]]
    found = subprocess.run(timed, cwd=folder, capture_output=True, text=True, check=False).stderr.splitlines()
    lines = [line for line in found if line.startswith("import time:") and line.split("|")[1].strip().isdigit()]
    return sorted(lines, key=lambda line: int(line.split("|")[1]))[-n_shown:]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--imports", action="store_true")
    wanted = parser.parse_args()
    path = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in CASES.items():
            variables = {"PYTHONPATH": path} | (COMPLETES if name.startswith("completion") else {})
            cpu_seconds(arguments, folder, variables)  # the first run writes and reads files for all others
            times = [cpu_seconds(arguments, folder, variables) for _ in range(wanted.runs)]
            sys.stdout.write(
                f"{name:<34}{statistics.median(times):6.3f} CPU s  ({min(times):.3f} to {max(times):.3f})\n"
            )
            if wanted.imports and name != "python -c pass":
                sys.stdout.write("\n".join([*slowest_imports(arguments, folder), ""]))


if __name__ == "__main__":
    main()
