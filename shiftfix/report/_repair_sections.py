"""Sections on the correction: whether it is usable, what it brings, what to do next, and how to reproduce it."""

from typing import Any

from shiftfix.report._answers import change_in_words, correction_of, overlap_of
from shiftfix.report._next_code import is_of_files, next_code
from shiftfix.report._parts import (
    Block,
    Folded,
    Grid,
    Listing,
    Note,
    Picture,
    Pictures,
    Program,
    Section,
    Text,
    capitalized,
    in_digits,
    inside,
    is_kept_by_labels,
    percent,
    sentence,
    short,
)
from shiftfix.report._svg import histogram, track

USED = {
    "none": "No correction is used: none has earned its place. What follows is about weights, had they been used.",
    "weights": "The model is trained on weighted source rows.",
    "prior": "The class shares are corrected. No weights are used for that; what follows on them is for information.",
    "labels": "Target labels decide how much of which correction is used.",
    "kept": "Target labels were asked how much of which correction is used, and the answer is none.",
}
LONGEST_CODE = 4000
NAMES = {
    "nothing": "the model as it is",
    "intercept": "a constant",
    "slope": "slope and constant",
    "linear": "linear in the columns",
    "smooth": "smooth in the columns",
    "target": "target labels alone",
    "trained": "a model trained on the target labels",
}


def usable_section(record: Any) -> Section:
    """Is the correction usable."""
    blocks: list[Block] = [Text(USED["kept" if is_kept_by_labels(record) else correction_of(record)])]
    if record.get("used"):
        blocks.append(Text(f"How far they are followed: {sentence(record['used'])}."))
    blocks += parts_blocks(record.get("shares"))
    if correction_of(record) == "prior":
        blocks += shares_blocks(record)
    summary = overlap_of(record)
    if summary is None:
        return Section("usable", "Is the correction usable?", [*blocks, Note("No weights were estimated.")])
    blocks.append(Listing("What the weights are worth:", worth_of_weights(summary)))
    ratio = inside(record, "pictures", "ratio")
    if ratio is not None:
        blocks.append(Pictures([picture_of_overlap(ratio)]))
    return Section("usable", "Is the correction usable?", blocks + balance_blocks(summary.get("worst_balanced")))


def shares_blocks(record: Any) -> list[Block]:
    """What new class shares rest on."""
    fit, shares = inside(record, "diagnosis", "label_shift"), inside(record, "diagnosis", "class_shares")
    rows = [row for row in shares or record.get("priors") or [] if row["low"] is not None]
    points = [f"{capitalized(sentence(fit['reason']))}."] if fit is not None else []
    if rows:
        widest = max(rows, key=lambda row: row["high"] - row["low"])
        name, half = short(widest.get("label", widest.get("class"))), (widest["high"] - widest["low"]) / 2
        points.append(f"Class shares are known to within ± {percent(half, 1)} of the target or better; {name} least.")
    return [Listing("What the new class shares rest on:", points)] if points else []


def parts_blocks(shares: Any) -> list[Block]:
    """What each correction by target labels gets of the prediction."""
    if not shares:
        return []
    rows = [[NAMES.get(name, short(name)), percent(share)] for name, share in shares.items()]
    return [Grid("share of the prediction", ["Part", "Share"], rows)]


def worth_of_weights(summary: Any) -> list[str]:
    """Effective size, overlap and tail, in words."""
    size, n_rows = summary["effective_size"], summary["n_source"]
    points = [
        f"Effective sample size: the {in_digits(n_rows)} source rows, weighted, tell as much as {in_digits(size)} "
        f"unweighted ones ({percent(size / n_rows)})."
    ]
    if summary.get("target_lost_mass") is not None:
        stood = percent(1 - summary["target_lost_mass"], 1)
        points.append(f"Overlap: source rows stand for {stood} of the target.")
    if summary.get("target_outside_share"):
        name = short(summary["target_outside_feature"])
        share = percent(summary["target_outside_share"], 1)
        points.append(f"{share} of the target rows lie beyond all source rows in {name}.")
    points.append(tail_in_words(summary))
    points.append(f"The largest weight is {in_digits(summary['max_weight'])} times the mean.")
    level = inside(summary, "verdict", "level")
    reasons = [sentence(reason) for reason in inside(summary, "verdict", "reasons") or []]
    return points + [f"Weights {'may not be used' if level == 'abstain' else 'need care'}: {r}." for r in reasons]


def tail_in_words(summary: Any) -> str:
    """Whether few rows decide much."""
    k, limit = summary["pareto_k"], summary["pareto_k_threshold"]
    if k is None or limit is None:
        return "Pareto k: there is no tail to speak of, or too few rows to tell."
    word = "the weights' mean can be trusted" if k < limit else "a few rows decide much"
    return f"Pareto k is {in_digits(k, 2)} (should be below {in_digits(limit, 2)}): {word}."


def picture_of_overlap(ratio: Any) -> Picture:
    """Both samples along the density ratio."""
    low, high = ratio["limits"][0], ratio["limits"][-1]
    ticks = [(place, power_in_words(low + place * (high - low))) for place in (0.0, 0.5, 1.0)]
    svg = histogram(ratio["source"], ratio["target"], ticks, "source and target rows by their density ratio")
    return Picture(
        "Rows by their density ratio, target / source",
        svg,
        "Where the line stands and nothing is filled, the target has rows that the source has not.",
    )


def power_in_words(power: float) -> str:
    """A power of ten as a ratio."""
    return in_digits(10.0**power, 2) if abs(power) < 4 else f"1e{power:.0f}"


def balance_blocks(worst: Any) -> list[Block]:
    """The entries worst balanced, before and after weighting."""
    if not worst:
        return []
    rows = [[balance_name(row), balance_picture(row, worst), balance_numbers(row)] for row in map(named_balance, worst)]
    head = ["Column", "balanced … far off", "Before → after, in standard deviations"]
    return [Grid("balance, worst after weighting", head, rows)]


def named_balance(row: Any) -> Any:
    """An entry by its names, whether the record holds a tuple or a dict."""
    return row if isinstance(row, dict) else dict(zip(("name", "before", "after", "se_after"), row, strict=True))


def balance_name(row: Any) -> str:
    """A column, or its square."""
    name = short(row["name"])
    return f"{name.removesuffix('^2')}, squared" if name.endswith("^2") else name


def balance_numbers(row: Any) -> str:
    """Differences before and after."""
    return f"{in_digits(row['before'], 2)} → {in_digits(row['after'], 2)} (± {in_digits(row['se_after'], 1)})"


def balance_picture(row: Any, worst: Any) -> Any:
    """Both differences on one scale."""
    ends = [abs(value or 0.0) for entry in map(named_balance, worst) for value in (entry["before"], entry["after"])]
    points = [(abs(row[name] or 0.0), kind) for name, kind in (("before", "source"), ("after", "target"))]
    return track((0.0, max(*ends, 0.1)), None, None, points, f"before and after: {balance_numbers(row)}", 0.1)


def gain_section(record: Any) -> Section:
    """Before and after."""
    measured, score = record.get("before_after") or [], record.get("target_score")
    blocks: list[Block] = gain_blocks(measured) if measured else []
    if score is not None and not measured:
        rows = [[score["metric"], in_digits(score["uncorrected"], 4), in_digits(score["corrected"], 4)]]
        blocks.append(Grid("score on the target", ["Metric", "Before", "After"], rows))
    blocks += expected_blocks(record.get("expected")) + estimated_blocks(record)
    if not blocks:
        blocks.append(Note(unknown_gain(record)))
    return Section("gain", "Before and after", blocks)


def gain_blocks(measured: list[Any]) -> list[Block]:
    """Measured on labelled target rows."""
    n_rows = measured[0]["n_rows"]
    changed = "; ".join(f"{row['metric']} by {change_in_words(row['change'])}" for row in measured)
    return [
        Text(f"Both models on the same {n_rows:,} labelled target rows, which nothing was learned from."),
        Text(f"The correction changes {changed}."),
        before_after_grid("before and after, with 95% intervals", measured),
    ]


def expected_blocks(expected: Any) -> list[Block]:
    """What the source's recalls promise, without labels."""
    if not expected:
        return []
    told = (
        "Class shares of the target, times the share of source rows of each class that is said right. It holds if "
        "label shift is what moved; only target labels can show that."
    )
    return [before_after_grid("accuracy to expect without labels, with 95% intervals", expected), Text(told)]


def before_after_grid(caption: str, compared: list[Any]) -> Grid:
    """Metrics of both models, and the difference."""
    rows = [
        [
            f"{row['metric']} ({row['better']} is better)",
            *[f"{in_digits(row[side]['value'], 3)} ({ends_of(row[side])})" for side in ("before", "after")],
            change_picture(row["change"]),
            change_in_words(row["change"]),
        ]
        for row in compared
    ]
    return Grid(caption, ["Metric", "Before", "After", "less … more", "Change"], rows)


def ends_of(found: Any) -> str:
    """Ends of the interval of a mean."""
    return f"{in_digits(found['low'])} to {in_digits(found['high'])}"


def change_picture(change: Any) -> Any:
    """A change and its interval beside 0."""
    reach = max(abs(change["low"]), abs(change["high"])) or 1.0
    label = f"change {change_in_words(change)}"
    return track((-reach, reach), change["low"], change["high"], [(change["value"], "target")], label, 0.0)


def estimated_blocks(record: Any) -> list[Block]:
    """What weights are estimated to bring, without labels."""
    gain = inside(record, "diagnosis", "gain")
    if gain is None or None in gain:
        return []
    value, error = gain
    change = {"value": -value, "low": -value - 1.96 * error, "high": -value + 1.96 * error}
    used = "" if correction_of(record) == "weights" else " They are not used."
    what = "estimated loss with weights, less that without"
    row = [what, change_picture(change), change_in_words(change)]
    return [
        Grid(
            f"what weights {'would bring' if used else 'bring'}, with a 95% interval",
            ["", "less … more", "Change"],
            [row],
        ),
        Text(f"By cross-validation on weighted source rows; it holds if p(y given x) is shared.{used}"),
    ]


def unknown_gain(record: Any) -> str:
    """Why there is no before and after."""
    if correction_of(record) == "none" or is_kept_by_labels(record):
        return "Nothing is changed, so there is no before and after."
    how = "Leave the label column in the target file" if is_of_files(record) else "Pass them as y_target"
    return f"What the correction brings is not measured: that needs target labels that were not learned from. {how}."


def next_section(record: Any) -> Section:
    """What to do next."""
    head, code = next_code(record)
    names = "X_source, y_source, X_target and estimator are your samples and your unfitted model."
    return Section("next", "What to do next", [Program(code, head), *([] if is_of_files(record) else [Text(names)])])


def reproduce_section(record: Any) -> Section:
    """How to get the same page again."""
    settings = {**(record.get("options") or {}), **(record.get("settings") or {})}
    rows = [*model_rows(record, settings), *fingerprint_rows(record)]
    blocks: list[Block] = [Grid("versions, seeds and fingerprints", ["What", "Value"], rows)]
    if settings:
        text = "\n".join(f"{short(name)} = {sentence(value)}" for name, value in settings.items())
        blocks.append(Folded("All settings", text[:LONGEST_CODE]))
    lines = inside(record, "diagnosis", "lines")
    if lines:
        blocks.append(Folded("The diagnosis as it is printed", "\n".join(f"{a:<17}{sentence(b)}" for a, b in lines)))
    return Section("reproduce", "How to reproduce this", blocks)


def model_rows(record: Any, settings: Any) -> list[list[str]]:
    """The model, where chance starts from, and the versions."""
    versions = record.get("versions") or {}
    found = [["model", short(record["model"])]] if record.get("model") else []
    found += [[f"seed ({name})", short(settings[name])] for name in ("seed", "random_state") if name in settings]
    told = ", ".join(f"{name} {short(value)}" for name, value in versions.items())
    return [*found, ["versions", told or "not told"]]


def fingerprint_rows(record: Any) -> list[list[str]]:
    """The fingerprints of the data."""
    told = [
        (f"sha256 of the {side}{ending}", inside(record, side, name))
        for side in ("source", "target")
        for name, ending in (("sha256", ""), ("sha256_labels", "'s labels"))
    ]
    return [[head, short(value)] for head, value in told if value]
