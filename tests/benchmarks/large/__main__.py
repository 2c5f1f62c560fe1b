"""CPU seconds of the whole process tree, peak memory and passes.

python -m tests.benchmarks.large --rows 1000000 10000000 --cases cold warm --out tests/benchmarks/results/large.json
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.large.cases import CASES

ROOT = Path(__file__).resolve().parents[3]


def run_case(name, source, target):
    """In this process: the case, and what it took."""
    begin = time.perf_counter()
    found = CASES[name](source, target)
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return found | {
        "cpu_s": round(sum(u.ru_utime + u.ru_stime for u in usage), 2),
        "wall_s": round(time.perf_counter() - begin, 2),
        "peak_mb": round(max(u.ru_maxrss for u in usage) / 1024, 1),
    }


def measure(name, folders):
    """The same in a process of its own, imports included."""
    command = [sys.executable, "-m", "tests.benchmarks.large", "--one", name, *folders]
    found = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    if found.returncode:
        return {"failed": found.stderr.strip().splitlines()[-1:]}
    return json.loads(found.stdout.splitlines()[-1])


def compare(found):
    """Note how far coefficients are from those in memory, in standard errors of the first case that tells them."""
    exact = np.array(found.get("in_memory", {}).get("coef", np.nan))
    errors = next((np.array(case["errors"]) for case in found.values() if "errors" in case), np.nan)
    for case in found.values():
        if "coef" in case:
            case["standard_errors_from_in_memory"] = float(np.max(np.abs(np.array(case.pop("coef")) - exact) / errors))
        case.pop("errors", None)
        sys.stdout.write(f"{case}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--folder", default=str(Path(tempfile.gettempdir()) / "shiftfix-large"))
    parser.add_argument("--compression", default="snappy")
    parser.add_argument("--out")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        sys.stdout.write(json.dumps(run_case(*given.one)) + "\n")
        return
    results = {}
    for n_rows in given.rows:
        make_data = [
            sys.executable,
            "-m",
            "tests.benchmarks.large.make_data",
            given.folder,
            str(n_rows),
            given.compression,
        ]
        subprocess.run(make_data, cwd=ROOT, check=True)
        folders = [f"{given.folder}/{n_rows}-{given.compression}/{name}" for name in ("source", "target")]
        for name in given.cases:
            found = results.setdefault(str(n_rows), {})[name] = measure(name, folders)
            shown = {k: v for k, v in found.items() if k not in ("coef", "errors")}
            sys.stdout.write(f"{n_rows:>10,} {name:<18} {shown}\n")
            sys.stdout.flush()
        compare(results[str(n_rows)])
    if given.out:
        Path(given.out).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
