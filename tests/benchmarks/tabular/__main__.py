"""The preset for tables beside RealMLP-TD-S, the defaults and scikit-learn's network; results as JSON.

    python -m tests.benchmarks.tabular --halves design --out /tmp/tabular.json

Each table x method x seed is one fit in this process on one thread, timed in CPU seconds; what the file holds already
is not run again. y of a regression is divided by its deviation over all rows, so that 1 is the error of the mean. With
``--weights`` rows count by exponential random weights, which tell of nothing: what is lost is their price.
"""

import argparse
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.tabular.methods import METHODS, TAKES_WEIGHTS
from tests.benchmarks.tabular.tables import HALVES, Table, draw


def measured(method: str, training: Table, judged: Table, seed: int, weighted: bool) -> dict[str, float]:
    """Error and log loss, or the root mean square error, and CPU seconds to fit and to predict."""
    scale = 1.0 if training.is_classes else np.std(np.concatenate([training.y, judged.y]))
    weights = {"sample_weight": np.random.default_rng(seed).exponential(size=len(training.y))} if weighted else {}
    started = time.process_time()
    learner = METHODS[method](training.is_classes, seed)
    y = training.y if training.is_classes else (training.y / scale).astype(np.float64)
    learner.fit(training.X, y, **weights)
    fitted = time.process_time()
    predicted = np.asarray(learner.predict(judged.X))
    found = {"cpu": fitted - started, "cpu_predict": time.process_time() - fitted}
    if not training.is_classes:
        return found | {"rmse": float(np.sqrt(np.mean((predicted.ravel() - judged.y / scale) ** 2)))}
    proba = np.asarray(learner.predict_proba(judged.X), dtype=np.float64)
    own = proba[np.arange(len(judged.y)), np.searchsorted(learner.classes_, judged.y)]
    return found | {
        "error": float(np.mean(predicted != judged.y)),
        "log_loss": float(-np.log(np.maximum(own, 1e-7)).mean()),
    }


def summary(results: dict[str, dict[str, float]], names: list[str], methods: list[str]) -> str:
    """Means over the seeds by table, mean ranks, and means of ratios to the first method."""
    lines = []
    for score in ("error", "log_loss", "rmse", "cpu"):
        rows = {}
        for name in names:
            found = [
                [value[score] for key, value in results.items() if key.split("/")[:2] == [name, m] and score in value]
                for m in methods
            ]
            if all(found):
                rows[name] = [float(np.mean(values)) for values in found]
        if not rows:
            continue
        table = np.array(list(rows.values()))
        ranks = (
            (table[:, :, None] > table[:, None] + 1e-12).sum(2) + (table[:, :, None] == table[:, None]).sum(2) / 2 + 0.5
        )
        lines.append(f"{score:<16}" + "".join(f"{m[:21]:>23}" for m in methods))
        lines += [f"  {name:<14}" + "".join(f"{value:>23.4f}" for value in row) for name, row in rows.items()]
        lines.append(f"  {'mean rank':<14}" + "".join(f"{value:>23.2f}" for value in ranks.mean(axis=0)))
        ratio = np.exp(np.log((table + 1e-4) / (table[:, :1] + 1e-4)).mean(axis=0))
        lines.append(f"  {'ratio to first':<14}" + "".join(f"{value:>23.3f}" for value in ratio))
    return "\n".join(lines)


def parsed() -> Any:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tabular", description=__doc__)
    parser.add_argument("--halves", default="design", help="design, confirm, or both with a comma")
    parser.add_argument("--methods", default="tabular,realmlp_td_s,realmlp_td_s_log_loss,default,sklearn")
    parser.add_argument("--tables", default="")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--weights", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    asked = parsed()
    warnings.simplefilter("ignore")
    methods = [m for m in asked.methods.split(",") if not asked.weights or m in TAKES_WEIGHTS]
    names = [name for half in asked.halves.split(",") for name in HALVES[half]]
    names = [name for name in names if not asked.tables or name in asked.tables.split(",")]
    results = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    for seed in range(asked.seeds):
        for name in names:
            training, judged = draw(name, seed)
            for method in methods:
                key = f"{name}/{method}/{seed}" + "/weighted" * asked.weights
                if key not in results:
                    results[key] = measured(method, training, judged, seed, asked.weights)
                    partial = asked.out.with_suffix(".part")
                    partial.write_text(json.dumps(results, indent=1, sort_keys=True))
                    os.replace(partial, asked.out)
    print(summary(results, names, methods))  # noqa: T201


if __name__ == "__main__":
    main()
