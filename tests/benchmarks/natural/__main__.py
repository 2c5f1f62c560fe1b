"""Compare corrections with doing nothing, on natural splits and on shifts of known cause made from them.

    python -m tests.benchmarks.natural --quick
    python -m tests.benchmarks.natural --jobs 2 --cache FOLDER --out tests/benchmarks/results/natural.json

Prints a table for each kind of shift and half of the data sets, and writes them, with one line per split and method,
as JSON. What needs a file or a package that is not here is left out, and told.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from tests.benchmarks.natural.controls import CONTROLS
from tests.benchmarks.natural.learners import CLASSIFIERS
from tests.benchmarks.natural.methods import METHODS
from tests.benchmarks.natural.runs import Plan, Unit, controls_of, readable, run_all
from tests.benchmarks.natural.splits import CLASSIFICATION, MOST_ROWS, REGRESSION, SPLITS
from tests.benchmarks.natural.summary import as_columns, tables, text

GROUPS = {
    "all": list(SPLITS),
    "classification": list(CLASSIFICATION),
    "regression": list(REGRESSION),
    "design": [name for name, split in SPLITS.items() if split.half == "design"],
    "confirm": [name for name, split in SPLITS.items() if split.half == "confirm"],
}
QUICK = {
    "splits": ["adult_men_women", "california_inland_coast", "wine_red_white", "elec2_1997_1998", "quality_red_white"],
    "learners": ["logistic"],
    "seeds": [0],
    "draws": 1,
}


def names(text, known, groups=None):
    """Names of a comma-separated list, of which some may stand for a group."""
    found = []
    for name in text.split(","):
        if name not in known and name not in (groups or {}):
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join([*(groups or {}), *known])}")
        found += (groups or {}).get(name, [name])
    return list(dict.fromkeys(found))


def numbers(text):
    return [int(part) for part in text.split(",") if part]


def parser():
    made = argparse.ArgumentParser(prog="python -m tests.benchmarks.natural", description=__doc__.splitlines()[0])
    available = [name for name, method in METHODS.items() if method.available()]
    controls = ["natural", *CONTROLS]
    made.add_argument("--methods", type=lambda text: names(text, METHODS), default=available)
    made.add_argument("--splits", type=lambda text: names(text, SPLITS, GROUPS))
    made.add_argument("--controls", type=lambda text: names(text, controls), default=controls)
    made.add_argument("--learners", type=lambda text: names(text, CLASSIFIERS))
    made.add_argument("--seeds", type=numbers, help="each draws other rows and folds; 0,1,2 unless --quick")
    made.add_argument("--control-seeds", type=numbers, help="of these, for which controls are made; the first")
    made.add_argument("--labels", type=numbers, default=[25, 50, 100, 200], help="how many target labels")
    made.add_argument("--draws", type=int, help="of the labels; 2 unless --quick")
    made.add_argument("--rows", type=int, default=MOST_ROWS, help="of each side, at most")
    made.add_argument("--jobs", type=int, default=1, help="processes")
    made.add_argument("--cache", type=Path, help="folder; what was found with the same sources is not found again")
    made.add_argument("--only-kept", action="store_true", help="tables of what the cache holds, without a run")
    made.add_argument("--out", type=Path, help="file of JSON")
    made.add_argument("--quick", action="store_true", help="five splits, one learner, one seed")
    return made


def settings(arguments):
    """The arguments, with what was left out filled in."""
    whole = {"splits": GROUPS["all"], "learners": list(CLASSIFIERS), "seeds": [0, 1, 2], "draws": 2}
    for name, value in (QUICK if arguments.quick else whole).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    # Every change is measured against these.
    arguments.methods = list(dict.fromkeys(["uncorrected", "temperature", *arguments.methods]))
    return arguments


def main(argv=None):
    asked = settings(parser().parse_args(argv))
    say = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731, T201
    splits, left_out = readable(asked.splits)
    for name, why in left_out.items():
        say(f"left out: {name}: {why}")
    control_seeds = asked.seeds[:1] if asked.control_seeds is None else asked.control_seeds
    plan = Plan(
        tuple(asked.methods),
        controls_of(asked.controls),
        tuple(asked.labels),
        asked.draws,
        asked.rows,
        tuple(control_seeds),
    )
    units = [Unit(split, learner, seed) for split in splits for learner in asked.learners for seed in asked.seeds]
    start = time.time()
    found = tables(run_all(units, plan, asked.jobs, asked.cache, asked.only_kept, say))
    sys.stdout.write(text(found) + "\n")
    if asked.out is not None:
        told = {
            "settings": plan._asdict() | {"learners": asked.learners, "seeds": asked.seeds, "jobs": asked.jobs},
            "seconds": round(time.time() - start),
            "left_out": left_out,
            **as_columns(found),
        }
        asked.out.write_text(json.dumps(told).replace("], [", "],\n[") + "\n")


if __name__ == "__main__":
    main()
