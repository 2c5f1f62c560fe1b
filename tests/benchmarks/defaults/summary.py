"""What the records say of each method, by scenario: ranks, and ratios to the defaults before."""

import numpy as np
from scipy.stats import rankdata

MEASURES = ("error", "log_loss", "seconds")


def records_as_columns(records):
    """Records as names once and a row of values each, to four digits."""
    names = list(dict.fromkeys(name for record in records for name in record))
    short = lambda value: float(f"{value:.4g}") if isinstance(value, float) else value  # noqa: E731
    return {"columns": names, "rows": [[short(record.get(name)) for name in names] for record in records]}


def means(records):
    """Mean over seeds of each measure, by scenario, task and method; where one seed failed there is none."""
    groups = {}
    for record in records:
        groups.setdefault((record["scenario"], record["task"], record["method"]), []).append(record)
    return {
        key: {name: float(np.mean([record[name] for record in group])) for name in MEASURES}
        for key, group in groups.items()
        if not any("failed" in record for record in group)
    }


def ratios(found, scenario, method, base, name):
    """Measure of a method over that of another one, by task, where both have it."""
    tasks = [task for place, task, one in found if place == scenario and one == method]
    return {
        task: found[scenario, task, method][name] / found[scenario, task, base][name]
        for task in tasks
        if (scenario, task, base) in found
    }


def mean_ranks(found, scenario, methods, name):
    """Mean rank of each method over the tasks that all of them have; 1 is the best."""
    tasks = list(dict.fromkeys(task for place, task, _ in found if place == scenario))
    whole = [task for task in tasks if all((scenario, task, method) in found for method in methods)]
    table = [rankdata([found[scenario, task, method][name] for method in methods]) for task in whole]
    return dict(zip(methods, np.mean(table, axis=0), strict=True)) if table else {}


def compared(records, base="before"):
    """A row for each scenario and method: mean ranks, geometric means of the ratios to ``base``, the worst of them.

    Methods that have not met every scenario are told apart by having no rank.
    """
    found = means(records)
    scenarios = list(dict.fromkeys(record["scenario"] for record in records))
    methods = list(dict.fromkeys(record["method"] for record in records))
    met = {method: {place for place, _, one in found if one == method} for method in methods}
    everywhere = [method for method in methods if len(met[method]) == len(scenarios)]
    rows = []
    for scenario in scenarios:
        ranks = {name: mean_ranks(found, scenario, everywhere, name) for name in MEASURES[:2]}
        for method in methods:
            parts = {name: ratios(found, scenario, method, base, name) for name in MEASURES}
            if not parts["error"]:
                continue
            row = {"scenario": scenario, "method": method, "tasks": len(parts["error"])}
            row |= {f"rank_{name}": ranks[name].get(method) for name in ranks}
            row |= {name: float(np.exp(np.mean(np.log(list(part.values()))))) for name, part in parts.items()}
            for name in MEASURES[:2]:
                worst = max(parts[name], key=parts[name].get)
                row |= {f"worst_{name}": parts[name][worst], f"worst_{name}_task": worst}
            rows.append(row)
    return rows


def price_of_weights(records):
    """Error under exponential random weights over that without weights, by method; geometric mean over the tasks."""
    found, rows = means(records), {}
    for method in dict.fromkeys(record["method"] for record in records):
        parts = [
            numbers["error"] / found["unweighted", task, method]["error"]
            for (scenario, task, one), numbers in found.items()
            if one == method and scenario == "exponential" and ("unweighted", task, method) in found
        ]
        if parts:
            rows[method] = float(np.exp(np.mean(np.log(parts))))
    return rows


def text(records, title):
    """Table for a terminal."""
    lines = [title, f"{'':32}  rank (error, log loss)   ratio to before: error  log loss  CPU   worst task"]
    for row in compared(records):
        places = [row[f"rank_{name}"] for name in MEASURES[:2]]
        ranks = "  ".join("  . " if place is None else f"{place:4.2f}" for place in places)
        worst = "  ".join(f"{row[f'worst_{name}']:5.2f} {row[f'worst_{name}_task']}" for name in MEASURES[:2])
        lines.append(
            f"{row['scenario']:14}{row['method']:18}{ranks:>14}{'':14}{row['error']:8.3f}{row['log_loss']:9.3f}"
            f"{row['seconds']:8.2f}   {worst}"
        )
    told = ", ".join(f"{method} {ratio:.3f}" for method, ratio in price_of_weights(records).items())
    lines.append(f"error under exponential weights over that without: {told}")
    lines += [f"FAILED: {record}" for record in records if "failed" in record]
    return "\n".join(lines)
