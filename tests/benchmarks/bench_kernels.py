"""Time and memory of the kernel weighters; prints one JSON object.

    OMP_NUM_THREADS=2 python tests/benchmarks/bench_kernels.py [repeats]

Each fit runs in a fresh process, whose peak memory beyond that of the loaded package and the data is reported.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
import warnings

CASES = {
    "ULSIF, full grid": ("ULSIF", {}, 20_000, 10_000, 20),
    "RULSIF, full grid": ("RULSIF", {}, 20_000, 10_000, 20),
    "KLIEP, cross-validated": ("KLIEP", {}, 20_000, 10_000, 20),
    "KMM, 20 features": ("KMM", {}, 10_000, 10_000, 20),
    "KMM, 2 features": ("KMM", {}, 10_000, 10_000, 2),
}
MODULES = {"ULSIF": "_least_squares", "RULSIF": "_least_squares", "KLIEP": "_kliep", "KMM": "_kernel_mean"}


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name):
    """One fit, as a dict of seconds, extra and total peak memory in MB, and correlation with the true log ratio."""
    import importlib

    import numpy as np

    from shiftfix.simulate import gaussian_covariate_shift

    method, settings, n_source, n_target, n_features = CASES[name]
    mean_shift, scale = np.eye(n_features)[0], np.append([0.5**0.5] * 2, np.ones(n_features - 2))
    problem = gaussian_covariate_shift(n_source, n_target, mean_shift=mean_shift, scale=scale, random_state=0)
    weighter = getattr(importlib.import_module(f"shiftfix.covariate.{MODULES[method]}"), method)(**settings)
    before = peak_mb()
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        weighter.fit(problem.X_source, problem.X_target)
    seconds = time.perf_counter() - start
    extra = peak_mb() - before
    log_ratio = weighter.log_ratio(problem.X_source)
    return {
        "seconds": seconds,
        "extra_mb": extra,
        "peak_mb": peak_mb(),
        "correlation": float(np.corrcoef(log_ratio, np.log(problem.source_weights))[0, 1]),
        "certificate": getattr(weighter, "gap_", getattr(weighter, "residual_", None)),
        "iterations": getattr(weighter, "n_iter_", None),
        "warnings": [warning.category.__name__ for warning in caught],
    }


def main(repeats):
    results = {}
    for name in CASES:
        runs = [
            json.loads(
                subprocess.run([sys.executable, __file__, "--one", name], check=True, capture_output=True).stdout
            )
            for _ in range(repeats)
        ]
        results[name] = {**runs[0], "seconds": statistics.median(run["seconds"] for run in runs)}
    sys.stdout.write(
        json.dumps({"threads": os.environ.get("OMP_NUM_THREADS"), "repeats": repeats, "fits": results}, indent=2)
    )


if __name__ == "__main__":
    if "--one" in sys.argv:
        sys.stdout.write(json.dumps(measure(sys.argv[-1])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
