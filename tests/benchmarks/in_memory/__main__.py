"""CPU seconds of the package in memory, side by side with a peer or a floor, in one run.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.in_memory [--quick] [--rounds 3] [--only WORD] [--out FILE.json]

Each case runs in a process of its own, which makes the data and then goes round the calls: CPU seconds (of the process
and of those it started) are medians over the rounds, and ratios are taken round by round, so that both sides share the
machine and its load. "Peak" is the largest memory of the process, or of the command that it started, after the
package's first call.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import warnings
from pathlib import Path

from tests.benchmarks.conftest import environment
from tests.benchmarks.in_memory.cases import CASES, command

ROOT = Path(__file__).resolve().parents[3]


def cpu_seconds():
    return sum(os.times()[:4])


def measure(name, quick, rounds):
    """CPU seconds of every call of a case, round by round."""
    prepare, large, small = CASES[name]
    calls = prepare(*(small if quick and small else large))
    spent = {call: [] for call in calls}
    who = resource.RUSAGE_CHILDREN if prepare is command else resource.RUSAGE_SELF
    peak = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(rounds):
            for call, run in calls.items():
                start = cpu_seconds()
                run()
                spent[call].append(cpu_seconds() - start)
                # The package's own call comes first, and no later one lowers what is read here.
                peak = peak or resource.getrusage(who).ru_maxrss / 1024
    return {"seconds": spent, "peak_mb": peak}


def summarize(found):
    ours, *others = found["seconds"]
    medians = {call: statistics.median(seconds) for call, seconds in found["seconds"].items()}
    ratios = {
        other: statistics.median(
            own / max(theirs, 1e-3) for own, theirs in zip(found["seconds"][ours], found["seconds"][other], strict=True)
        )
        for other in others
    }
    return {"cpu_seconds": medians, "ratio": ratios, "peak_mb": found["peak_mb"], "all_seconds": found["seconds"]}


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.in_memory", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small data: minutes become seconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases with this word in their names")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        sys.stdout.write(json.dumps(measure(given.case, given.quick, given.rounds)))
        return
    kept = {"environment": environment(), "quick": given.quick, "cases": {}}
    for name in CASES:
        if given.only.casefold() not in name.casefold():
            continue
        words = ["--case", name, "--rounds", str(given.rounds), *(["--quick"] if given.quick else [])]
        run = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.in_memory", *words],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        own = kept["cases"][name] = summarize(json.loads(run.stdout))
        beside = ", ".join(f"{ratio:.2f} x {other}" for other, ratio in own["ratio"].items())
        sys.stdout.write(f"{name}: {own['cpu_seconds']['shiftfix']:.2f} CPU s, {own['peak_mb']:.0f} MB; {beside}\n")
        sys.stdout.flush()
        if given.out:
            given.out.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
