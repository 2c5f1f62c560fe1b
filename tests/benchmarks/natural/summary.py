"""Records to tables: mean change against the uncorrected model, and how often it is for the worse."""

from collections import defaultdict

import numpy as np

POINTS, MILLINATS, PERCENT = 100, 1000, 100
# Worse by more than so many points of accuracy; of values, by so many per cent of the root mean squared error.
WORSE, WORSE_VALUES = (0.3, 1, 3), (1, 3, 10)
LABEL_SHIFTS = ("label_mild", "label_strong")
# Source rows from which on a gate has to let a true label shift pass.
ROWS_TO_KEEP = 1000


def pair_of(record):
    return tuple(record[key] for key in ("split", "learner", "seed", "control"))


def changes(records):
    """Records that did not fail, with their changes for the better against the uncorrected model.

    Points of accuracy and millinats of log loss (``over_temperature``: against the calibrated model); of values, per
    cent of the root mean squared error.
    """
    beside = {(pair_of(r), r["method"]): r for r in records if r["method"] in ("uncorrected", "temperature")}
    for record in records:
        references = record.get("beside") or {
            name: beside.get((pair_of(record), name)) for name in ("uncorrected", "temperature")
        }
        first = references["uncorrected"]
        if "error" in record or first is None or "error" in first:
            continue
        if "rmse" in record:
            yield record | {"points": PERCENT * (1 - record["rmse"] / first["rmse"])}
            continue
        change = {
            "points": POINTS * (record["accuracy"] - first["accuracy"]),
            "millinats": MILLINATS * (first["log_loss"] - record["log_loss"]),
        }
        second = references.get("temperature")
        if second is not None and "error" not in second:
            change["over_temperature"] = MILLINATS * (second["log_loss"] - record["log_loss"])
        yield record | change


def mean_of(records, key):
    values = [record[key] for record in records if record.get(key) is not None]
    return float(np.mean(values)) if values else None


def summarize(records):
    """One row of a table: what a method did to some problems.

    Parameters
    ----------
    records : list of dict
        As ``changes`` gives them.

    Returns
    -------
    dict
        ``n``, mean ``points``, ``millinats`` and ``over_temperature``, ``worst`` (points), ``worse`` (shares of
        problems, by limit), ``acted`` (share), ``covered`` and ``width`` of intervals, ``covered_acted`` and
        ``covered_else`` where it acted and where it did not, ``seconds`` of CPU.
    """
    points = np.array([record["points"] for record in records])
    limits = WORSE_VALUES if "rmse" in records[0] else WORSE
    keys = ("points", "millinats", "over_temperature", "acted", "covered", "width", "seconds")
    return {
        "n": len(records),
        **{key: mean_of(records, key) for key in keys},
        "covered_acted": mean_of([record for record in records if record["acted"]], "covered"),
        "covered_else": mean_of([record for record in records if not record["acted"]], "covered"),
        "worst": float(points.min()),
        "worse": [float(np.mean(points < -limit)) for limit in limits],
    }


def grouped(records, *keys):
    """Summaries by the values of some keys, in the order in which they come."""
    groups = defaultdict(list)
    for record in changes(records):
        groups[tuple(record.get(key) for key in keys)].append(record)
    return [dict(zip(keys, values, strict=True)) | summarize(group) for values, group in groups.items()]


def gain_kept(records, least_rows=ROWS_TO_KEEP):
    """Gain in points of each method under true label shift, as a share of what correcting without a gate gains.

    On the problems of at least so many source rows, by control and half.
    """
    gains = defaultdict(dict)
    for record in changes(records):
        if record["control"] in LABEL_SHIFTS and record.get("n_source", 0) >= least_rows:
            gains[record["control"], record["half"], record["method"]][pair_of(record)] = record["points"]
    found = []
    for (control, half, method), own in gains.items():
        reference = gains.get((control, half, "label_ungated")) or gains.get((control, half, "label_default"), {})
        pairs = own.keys() & reference.keys()
        whole = sum(reference[pair] for pair in pairs)
        if whole > 0:
            kept = sum(own[pair] for pair in pairs) / whole
            found.append({"control": control, "half": half, "method": method, "n": len(pairs), "kept": kept})
    return found


def failures(records):
    """Errors of methods, and how often each came."""
    counts = defaultdict(int)
    for record in records:
        if "error" in record:
            counts[f"{record['method']}, {record['control']}: {record['error'][:160]}"] += 1
    return dict(counts)


def rounded(value, digits=3):
    """The same, with shorter numbers."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, list):
        return [rounded(part, digits) for part in value]
    return {key: rounded(part, digits) for key, part in value.items()} if isinstance(value, dict) else value


def tables(records):
    """All tables, as JSON can hold them."""
    classes = [record for record in records if "rmse" not in record]
    values = [record for record in records if "rmse" in record]
    found = {}
    for name, some in (("classification", classes), ("regression", values)):
        plain = [record for record in some if "labels" not in record]
        few = [record for record in some if "labels" in record]
        found[name] = {
            "by_half": grouped(plain, "control", "half", "method"),
            "by_learner": grouped(plain, "control", "learner", "method"),
            "by_split": grouped([r for r in plain if r["control"] == "natural"], "split", "method"),
            "few_labels_by_half": grouped(few, "half", "method", "labels"),
            "few_labels_by_learner": grouped(few, "learner", "method", "labels"),
        }
    return rounded(found | {"gain_kept": gain_kept(classes), "failures": failures(records)})


def as_columns(found):
    """Tables with their column names told once, which is shorter."""
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return {"columns": list(found[0]), "rows": [list(row.values()) for row in found]}
    return {key: as_columns(part) for key, part in found.items()} if isinstance(found, dict) else found


def number(value, form):
    return "" if value is None else format(value, form)


def table_text(rows, title, heads, name):
    """A table for people; ``name`` gives the first column of a row."""
    if not rows:
        return ""
    width = max(len(name(row)) for row in rows) + 2
    shares = WORSE if any(row.get("millinats") is not None for row in rows) else WORSE_VALUES
    unit = "points" if shares == WORSE else "% rmse"
    lines = [
        "",
        title,
        f"{heads:<{width}}{'n':>5}{unit:>8}{'mn':>8}{'mn-T':>8}"
        + "".join(f"{f'<-{limit}':>6}" for limit in shares)
        + f"{'worst':>8}{'acted':>7}{'cover':>7}{'if yes':>7}{'if no':>7}{'width':>7}{'s':>7}",
    ]
    lines += [
        f"{name(row):<{width}}{row['n']:>5}{row['points']:>8.2f}{number(row['millinats'], '.0f'):>8}"
        f"{number(row['over_temperature'], '.0f'):>8}"
        + "".join(f"{share:>6.0%}" for share in row["worse"])
        + f"{row['worst']:>8.1f}{number(row['acted'], '.0%'):>7}{number(row['covered'], '.2f'):>7}"
        f"{number(row['covered_acted'], '.2f'):>7}{number(row['covered_else'], '.2f'):>7}"
        f"{number(row['width'], '.2f'):>7}{row['seconds']:>7.2f}"
        for row in rows
    ]
    return "\n".join(lines)


LEGEND = """
points: mean change of accuracy against the uncorrected model (values: of the root mean squared error, per cent; more
is better). mn, mn-T: change of the log loss in millinats, against the uncorrected and the calibrated model. <-1: share
of problems worse than that. acted: share of problems corrected. cover, width: 95% intervals of the target's class
shares, also where the method acted (if yes) and where not (if no). s: CPU seconds. A problem is a split (or its
control), a learner and a seed."""


def kept_lines(rows):
    """Lines that tell how much of the gain under true label shift is kept."""
    if not rows:
        return []
    head = f"\ngain kept of correcting without a gate, {ROWS_TO_KEEP:,} source rows or more"
    return [head] + [
        f"{row['control']}, {row['half']}, {row['method']}: {row['kept']:.0%} (n={row['n']})"
        for row in rows
        if row["method"] not in ("uncorrected", "temperature")
    ]


def text(found):
    """The tables of ``tables`` as text."""
    parts = [LEGEND]
    for task in ("classification", "regression"):
        rows = found[task]["by_half"]
        for control, half in dict.fromkeys((row["control"], row["half"]) for row in rows):
            some = [row for row in rows if (row["control"], row["half"]) == (control, half)]
            parts.append(table_text(some, f"{task}, {control}, {half}", "method", lambda row: row["method"]))
        few = found[task]["few_labels_by_half"]
        for half in dict.fromkeys(row["half"] for row in few):
            some = sorted((r for r in few if r["half"] == half), key=lambda row: (row["method"], row["labels"]))
            parts.append(
                table_text(
                    some,
                    f"{task}, natural, {half}, with target labels",
                    "method, labels",
                    lambda row: f"{row['method']} {row['labels']}",
                )
            )
    parts += kept_lines(found["gain_kept"])
    parts += [f"FAILED {count} times: {error}" for error, count in found["failures"].items()]
    return "\n".join(part for part in parts if part)
