"""Compare the trainer's defaults with those before and with scikit-learn's learners.

    python -m tests.benchmarks.defaults --quick
    python -m tests.benchmarks.defaults --cache FOLDER --out tests/benchmarks/results/defaults.json

Prints a table for each part of the tasks. What needs a file or a package that is not here is left out, and told.

Three seeds tell a task on which a model makes six errors from another one by chance alone: the fresh tables are
judged once more by ten seeds that no rule and no look has met, 10 to 19, named here before they were run.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from tests.benchmarks.defaults.methods import METHODS
from tests.benchmarks.defaults.runs import digest, readable, run_unit, units_of
from tests.benchmarks.defaults.scenarios import SCENARIOS
from tests.benchmarks.defaults.summary import compared, price_of_weights, records_as_columns, text
from tests.benchmarks.defaults.tasks import TASKS
from tests.benchmarks.natural.__main__ import names, numbers

PARTS = ("design", "confirm", "fresh")
GROUPS = {"all": list(TASKS)}
GROUPS |= {part: [name for name, task in TASKS.items() if task.half == part] for part in PARTS}
QUICK = ["iris", "breast_cancer_200", "diabetes"]


def parser():
    made = argparse.ArgumentParser(prog="python -m tests.benchmarks.defaults", description=__doc__.splitlines()[0])
    available = [name for name, method in METHODS.items() if method.available()]
    made.add_argument("--tasks", type=lambda text: names(text, TASKS, GROUPS))
    made.add_argument("--scenarios", type=lambda text: names(text, SCENARIOS), default=list(SCENARIOS))
    made.add_argument("--methods", type=lambda text: names(text, METHODS), default=available)
    made.add_argument("--seeds", type=numbers, help="each draws other rows and weights; 0,1,2 unless --quick")
    made.add_argument("--cache", type=Path, help="folder; what was found with the same settings is not found again")
    made.add_argument("--stamp", help="of the sources; by default their digest, so that a change makes all anew")
    made.add_argument("--out", type=Path, help="file of JSON")
    made.add_argument("--quick", action="store_true", help="three small tasks, one seed")
    return made


def main(argv=None):
    asked = parser().parse_args(argv)
    asked.tasks = asked.tasks or (QUICK if asked.quick else GROUPS["all"])
    asked.seeds = asked.seeds or ([0] if asked.quick else [0, 1, 2])
    say = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731, T201
    tasks, left_out = readable(asked.tasks)
    for name, why in left_out.items():
        say(f"left out: {name}: {why}")
    stamp, start, records = digest() if asked.stamp is None else asked.stamp, time.time(), []
    # Every ratio is to these.
    methods = list(dict.fromkeys(["before", *asked.methods]))
    units = units_of(tasks, asked.scenarios, asked.seeds, methods)
    for unit in units:
        records.append(run_unit(unit, asked.cache, stamp))
        say(f"{len(records)}/{len(units)} {' '.join(map(str, unit))} ({time.time() - start:.0f} s)")
    halves = {half: [record for record in records if record["half"] == half] for half in PARTS}
    for half, part in halves.items():
        if part:
            sys.stdout.write(text(part, f"{half}: {len({record['task'] for record in part})} tasks") + "\n\n")
    if asked.out is not None:
        told = {"seconds": round(time.time() - start), "left_out": left_out, "seeds": asked.seeds}
        for half, part in filter(lambda pair: pair[1], halves.items()):
            told[half] = {"rows": compared(part), "price_of_weights": price_of_weights(part)}
        told["records"] = records_as_columns(records)
        asked.out.write_text(json.dumps(told).replace("}, {", "},\n{").replace("], [", "],\n[") + "\n")


if __name__ == "__main__":
    main()
