"""Sections on the samples: who they are, whether they differ, whether that matters, and which kind of shift it is."""

from typing import Any

from shiftfix.report._answers import columns_of_record, loss_of
from shiftfix.report._parts import (
    Block,
    Grid,
    Listing,
    Note,
    Picture,
    Pictures,
    Section,
    Text,
    capitalized,
    chance_in_words,
    in_digits,
    inside,
    is_seen,
    percent,
    sentence,
    short,
    signed_interval,
)
from shiftfix.report._svg import bar, histogram, paired_bars, track

MOST_LISTED, MOST_CLASSES, MOST_NAMED = 12, 12, 6
MOST_NOTICES = 10
SHORT = 34  # characters of a name within a picture
# A distance, in words.
SIZES = ((0.1, "small"), (0.25, "moderate"), (0.5, "large"), (1.1, "very large"))


def samples_section(record: Any) -> Section:
    """The two samples."""
    sides = [record.get(side) or {} for side in ("source", "target")]
    counts = [inside(record, "diagnosis", f"n_{side}") for side in ("source", "target")]
    rows: list[list[Any]] = [
        ["Rows", *[count_of(side.get("rows", count)) for side, count in zip(sides, counts, strict=True)]]
    ]
    rows.append(["Labels", "all", labels_of_target(record)])
    for head, name in (("Columns", "columns"), ("File", "file")):
        if any(side.get(name) is not None for side in sides):
            rows.append([head, *[short(side.get(name, "–")) for side in sides]])
    blocks: list[Block] = [Grid("rows and labels", ["", "Source", "Target"], rows)]
    columns = record.get("columns") or {}
    if columns.get("label") is not None:
        blocks.append(Text(f"Label column: {short(columns['label'])}. {columns_of_files(columns)}"))
    return Section("samples", "The two samples", blocks + notice_blocks(record.get("notices") or []))


def notice_blocks(notices: Any) -> list[Block]:
    """What was ignored, filled in or warned of."""
    rest = len(notices) - MOST_NOTICES
    more = [f"{rest:,} more notices stand in the record."] if rest > 0 else []
    return [Note(sentence(notice)) for notice in [*notices[:MOST_NOTICES], *more]]


def columns_of_files(columns: Any) -> str:
    """How many columns of either type the files have."""
    return f"{len(columns.get('numeric') or [])} numeric and {len(columns.get('text') or [])} text columns."


def count_of(rows: Any) -> str:
    """A number of rows, where it is known."""
    return "not told" if rows is None else f"{rows:,.0f}"


def labels_of_target(record: Any) -> str:
    """How many labels of the target there are."""
    n_labels = inside(record, "diagnosis", "n_labels") or record.get("n_labels") or 0
    scored = next((row["n_rows"] for row in record.get("before_after") or []), 0)
    parts = [f"{n_labels:,} learned from"] if n_labels else ["none learned from"]
    return ", ".join(parts + ([f"{scored:,} to score by"] if scored else []))


def moved_section(record: Any) -> Section:
    """Did X change."""
    test, columns = inside(record, "diagnosis", "samples"), columns_of_record(record)
    blocks: list[Block] = [] if test is None else [Text(samples_in_words(test)), auc_grid(test)]
    blocks += column_blocks(columns) if columns else [Note("Columns were not compared: the rows are no table.")]
    drawn = inside(record, "pictures", "columns") or []
    if drawn:
        blocks.insert(-1, Pictures([picture_of_column(column, columns) for column in drawn]))
    return Section("moved", "Did the data change?", blocks)


def samples_in_words(test: Any) -> str:
    """The test of both samples together."""
    told = f"of 100 pairs of one row each, it tells {round(100 * test['effect_size'])} the right way round"
    if not is_seen(test):
        return f"A classifier cannot tell the samples apart beyond chance ({chance_in_words(test['p_value'])}): {told}."
    return f"A classifier can tell the samples apart ({chance_in_words(test['p_value'])}): {told}."


def auc_grid(test: Any) -> Grid:
    """AUC on its scale."""
    auc = test["effect_size"]
    picture = track((0.5, 1.0), 0.5, auc, [(auc, "target")], f"AUC {auc:.2f} between 0.5 and 1")
    return Grid(
        "how far apart the samples are", ["Measure", "Alike … apart", "Value"], [["AUC", picture, f"{auc:.2f}"]], True
    )


def size_in_words(distance: float) -> str:
    """How large a distance is."""
    return next(word for limit, word in SIZES if distance < limit)


def column_blocks(columns: Any) -> list[Block]:
    """Which columns differ, worst first, and which only name rows."""
    tested = [column for column in columns["columns"] if column["kind"] in ("number", "category")]
    shifted = sum(column["adjusted"] <= 0.05 for column in tested)
    rest = len(tested) - MOST_LISTED
    listed = [column_row(column) for column in tested[:MOST_LISTED]]
    blocks: list[Block] = [
        Text(
            f"Of {len(tested):,} columns, {shifted:,} {'differs' if shifted == 1 else 'differ'} beyond chance, their "
            "number taken into account."
            + (f" The {MOST_LISTED} with the largest distance are listed; {rest:,} more are not." if rest > 0 else "")
        ),
        Grid("columns, worst first", ["Column", "Type", "Distance", "", "Chance, adjusted"], listed),
    ]
    names = [column for column in columns["columns"] if column["kind"] not in ("number", "category")]
    points = [f"{short(column['name'])}: {column['kind']}, {sentence(column['why'])}" for column in names[:MOST_NAMED]]
    if points:
        blocks.insert(0, Listing("Columns that only name rows. A model must not use them:", points))
    return blocks


def column_row(column: Any) -> list[Any]:
    """One column as a row of the table."""
    distance, size = column["effect_size"], size_in_words(column["effect_size"])
    picture = bar(distance, f"distance {distance:.2f} of 1, {size}")
    chance = chance_in_words(column["adjusted"]) + (", differs" if column["adjusted"] <= 0.05 else "")
    return [short(column["name"]), column["kind"], picture, f"{distance:.2f}, {size}", chance]


def picture_of_column(column: Any, tests: Any) -> Picture:
    """A column of both samples."""
    name = short(column["name"])
    missing = [share for share in column.get("missing", []) if share > 0]
    gaps = f"Missing: {percent(column['missing'][0], 1)} → {percent(column['missing'][1], 1)}. " if missing else ""
    if column["kind"] == "category":
        rows = [*zip([short(n, SHORT) for n in column["names"]], column["source"], column["target"], strict=True)]
        more = f"{column['more']:,} more categories. " if column["more"] > 0 else ""
        svg = paired_bars(rows, f"shares of the categories of {name} in source and target")
        return Picture(name, svg, f"{gaps}{more}".strip())
    limits = column["limits"]
    ticks = [(0.0, in_digits(limits[0])), (0.5, in_digits((limits[0] + limits[-1]) / 2)), (1.0, in_digits(limits[-1]))]
    svg = histogram(column["source"], column["target"], ticks, f"{name}: shares of source and target rows by value")
    medians = " → ".join(in_digits(median) for median in column["medians"])
    return Picture(name, svg, f"{gaps}Median {medians}.")


def matters_section(record: Any) -> Section:
    """Does it matter for this model."""
    scores, drop = inside(record, "diagnosis", "scores"), inside(record, "diagnosis", "performance")
    blocks: list[Block] = source_loss_blocks(record)
    if scores is not None:
        moved = "moved" if is_seen(scores) else "did not move beyond chance"
        blocks.append(
            Text(f"What the model says of the rows {moved} ({chance_in_words(scores['p_value'])}). Rows can change "
                 "without that: in ways that this model does not look at.")
        )  # fmt: skip
    blocks += drop_blocks(drop, loss_of(record)) if drop is not None else [not_measured(record)]
    changed = changes(record)
    if changed:
        blocks.append(Listing("What corrections would change, whether or not they are used:", changed))
    return Section("matters", "Does it matter for this model?", blocks)


def source_loss_blocks(record: Any) -> list[Block]:
    """How good the model is where it comes from."""
    found = inside(record, "diagnosis", "source_loss")
    if found is None:
        return []
    loss, error = found
    if inside(record, "diagnosis", "is_class"):
        told = f"the model is right in {percent(1 - loss, 1)} ± {percent(error, 1)}"
    else:
        told = f"the model's root mean squared error is {in_digits(loss**0.5, 3)}"
    return [Text(f"On source rows that it was not fitted with {told}.")]


def not_measured(record: Any) -> Note:
    """Why nobody knows how wrong the model is there."""
    return Note(
        "How often the model is wrong on the target is not known: that needs labels of target rows. 20 give a first "
        "answer, 50 repair most of what can be repaired."
        if not record.get("before_after")
        else "The labels that were given to score by are used in “Before and after”, and nowhere else."
    )


def drop_blocks(drop: Any, loss: str) -> list[Block]:
    """Where a change of the loss comes from."""
    names = (
        ("total", f"{loss.capitalize()} on the target, less that on the source"),
        ("features", "due to other rows, of kinds that the source has"),
        ("labels", "due to other labels of the same kinds of rows"),
        ("support", "due to rows of kinds that the source has not"),
    )
    parts = [(text, drop[name]) for name, text in names if drop.get(name) is not None]
    reach = max(max(abs(part["low"]), abs(part["high"])) for _, part in parts) or 1.0
    rows = [[text, interval_picture(part, reach), part_in_words(part)] for text, part in parts]
    return [Grid(f"change of the {loss}, with 95% intervals", ["", "less … more", "Change"], rows)]


def interval_picture(part: Any, reach: float) -> Any:
    """An interval beside 0."""
    return track((-reach, reach), part["low"], part["high"], [(part["estimate"], "target")], part_in_words(part), 0.0)


def part_in_words(part: Any) -> str:
    """A change and its interval."""
    return signed_interval(*(part[name] for name in ("estimate", "low", "high")))


def changes(record: Any) -> list[str]:
    """How many predictions either correction would change."""
    diagnosis, found = record.get("diagnosis"), []
    if inside(diagnosis, "prior_changes") is not None:
        found.append(f"New class shares: {percent(diagnosis['prior_changes'], 1)} of the predicted classes.")
    changed = inside(diagnosis, "effect", "changed")
    if changed is not None and diagnosis["is_class"]:
        found.append(f"Weights: {percent(changed, 1)} of the predicted classes.")
    elif changed is not None:
        found.append(f"Weights: predictions by {in_digits(changed, 2)} standard deviations.")
    return found


def kind_section(record: Any) -> Section:
    """Which kind, and what cannot be known."""
    diagnosis = record.get("diagnosis")
    blocks: list[Block] = [] if diagnosis is None else [kinds_grid(diagnosis)]
    if diagnosis is None:
        blocks.append(Note(f"The correction takes it for {record.get('shift', 'some')} shift; a diagnosis asks."))
    blocks += share_blocks(shares_of(record))
    unseen = [sentence(text) for text in inside(diagnosis, "cannot_exclude") or []]
    if unseen:
        blocks.append(Listing("What may be there unseen:", [f"{capitalized(text)}." for text in unseen]))
    return Section("kind", "Which kind is it, and what cannot be known?", blocks)


def kinds_grid(diagnosis: Any) -> Grid:
    """Evidence for each kind."""
    lines: dict[str, list[str]] = {}
    for label, text in diagnosis.get("lines") or []:
        lines.setdefault(label, []).append(text)
    asked = (
        ("Label shift", "the classes come in other shares"),
        ("Covariate shift", "other kinds of rows come"),
        ("Concept shift", "the same rows have other labels"),
        ("Which of the two", "label or covariate shift, by target labels"),
        ("Further out", "rows beyond all that the source has"),
    )
    rows = [[name, meaning, evidence_of(name, lines.get(name), diagnosis)] for name, meaning in asked]
    return Grid("evidence for each kind", ["Kind", "What it means", "Evidence"], rows, is_ours=True)


def evidence_of(name: str, told: Any, diagnosis: Any) -> str:
    """What the diagnosis says of a kind, or why it says nothing."""
    if told:
        return sentence("; ".join(told))
    if name in ("Concept shift", "Which of the two"):
        needed = inside(diagnosis, "mechanism", "labels_needed")
        more = f" About {needed:,} would probably tell." if needed and name == "Which of the two" else ""
        few = "too few" if diagnosis["n_labels"] else "none"
        return f"Not known: only target labels tell, and there are {few}.{more}"
    return "Not seen." if name == "Further out" else "Not asked, or the rows do not allow it."


def shares_of(record: Any) -> list[Any]:
    """Class by class; without the estimates that take a label shift for granted which is not shown."""
    diagnosis = record.get("diagnosis")
    if diagnosis is None:
        return [share_of(row, row["target"], row["class"]) for row in record.get("priors") or []]
    granted = inside(diagnosis, "label_shift", "passes") or diagnosis["n_labels"] or diagnosis["correction"] == "prior"
    return [share_of(row, row["estimate"] if granted else None, row["label"]) for row in diagnosis["class_shares"]]


def share_of(row: Any, estimate: Any, label: Any) -> Any:
    """One class."""
    ends = {name: row[name] for name in ("source", "low", "high")}
    return {"label": label, "estimate": estimate} | ends


def share_blocks(shares: list[Any]) -> list[Block]:
    """Class shares of both samples; of many classes those that may have moved most."""
    if not shares:
        return []
    first = sorted(shares, key=moved_by, reverse=True)[:MOST_CLASSES]
    top = max([max(share["source"], share["high"] or 0.0, share["estimate"] or 0.0) for share in first])
    rows = [
        [short(share["label"]), percent(share["source"], 1), share_picture(share, top), share_in_words(share)]
        for share in first
    ]
    rest = len(shares) - len(first)
    more = f" {len(first)} of {len(shares):,} classes are listed, those that may have moved most." if rest else ""
    return [
        Grid("class shares", ["Class", "Source", f"0 … {percent(top)}", "Target, 95% interval"], rows),
        Text(
            f"Circle: share in the source. Bar: 95% interval in the target; diamond: estimate, if there is one.{more}"
        ),
    ]


def moved_by(share: Any) -> float:
    """How far a class share moved, as far as is known."""
    if share["estimate"] is not None:
        return abs(float(share["estimate"]) - float(share["source"]))
    return 0.0 if share["low"] is None else max(share["low"] - share["source"], share["source"] - share["high"], 0.0)


def share_picture(share: Any, top: float) -> Any:
    """Source share and interval of the target's."""
    points = [(share["source"], "source")]
    if share["estimate"] is not None:
        points.append((share["estimate"], "target"))
    return track((0.0, top), share["low"], share["high"], points, f"target {share_in_words(share)}")


def share_in_words(share: Any) -> str:
    """Estimate and interval of a class share in the target."""
    ends = "not known" if share["low"] is None else f"{percent(share['low'], 1)} to {percent(share['high'], 1)}"
    return ends if share["estimate"] is None else f"{percent(share['estimate'], 1)} ({ends})"
