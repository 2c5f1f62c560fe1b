"""The verdict in one line, and five short answers: what somebody reads who reads nothing else."""

from typing import Any, NamedTuple

from shiftfix.report._parts import (
    Tone,
    chance_in_words,
    in_digits,
    inside,
    is_kept_by_labels,
    is_seen,
    percent,
    sentence,
    signed_interval,
)

DONE = {
    "none": "The model is left as it is",
    "weights": "Repaired: trained on weighted source rows",
    "prior": "Repaired: the class shares are corrected",
    "labels": "Repaired by labels of target rows",
    "kept": "The model is left as it is: the target labels ask for no correction",
}
TO_DO = {
    "none": "Leave the model as it is",
    "weights": "Can be repaired: train on weighted source rows",
    "prior": "Can be repaired: correct the class shares",
    "labels": "The target labels decide how far it is corrected",
}
NOT_REPAIRABLE = "Not repairable with these data"
LEVELS = {"ok": "OK", "caution": "With care", "abstain": "Do not rely on it"}
FEWEST_LABELS = 20


class ShortAnswer(NamedTuple):
    """A question, a word or two, and why."""

    question: str
    short: str
    tone: Tone
    why: str
    section: str


def verdict_of(record: Any) -> Any:
    """Level, reasons and action: of the record, or of the diagnosis that it holds alone."""
    said = record if "verdict" in record else record["diagnosis"]
    return {name: said[name] for name in ("verdict", "reasons", "action")}


def correction_of(record: Any) -> str:
    """Name of the correction, as a diagnosis has it."""
    found = record.get("correction") or inside(record, "diagnosis", "correction")
    if found is not None:
        return str(found)
    if not record.get("corrected"):
        return "none"
    return "prior" if record.get("shift") == "label" else "weights"


def headline(record: Any) -> str:
    """What was done, or is to be done."""
    level, correction = verdict_of(record)["verdict"], correction_of(record)
    if level == "abstain" and correction == "none":
        return NOT_REPAIRABLE
    return (DONE if "corrected" in record else TO_DO)["kept" if is_kept_by_labels(record) else correction]


def columns_of_record(record: Any) -> Any:
    """The tests of the columns, by the diagnosis or made for the page."""
    return inside(record, "diagnosis", "columns") or record.get("columns_tested")


def has_moved(record: Any) -> bool:
    """Whether any test says that the samples differ, at 5% for all together."""
    tests = [inside(record, "diagnosis", name) for name in ("samples", "scores", "novel")] + [columns_of_record(record)]
    known = [test["p_value"] for test in tests if inside(test, "p_value") is not None]
    return bool(known) and min(known) * len(known) <= 0.05


def did_it_move(record: Any) -> ShortAnswer:
    question, test = "Did the data change?", inside(record, "diagnosis", "samples")
    if test is None and columns_of_record(record) is None:
        return ShortAnswer(question, "Not asked", "plain", "No test of the rows was made.", "moved")
    told = "column by column" if test is None else f"AUC {test['effect_size']:.2f}, {chance_in_words(test['p_value'])}"
    if has_moved(record):
        return ShortAnswer(question, "Yes", "caution", f"More than chance explains ({told}).", "moved")
    return ShortAnswer(question, "Not seen", "ok", f"Nothing beyond chance ({told}).", "moved")


def does_it_matter(record: Any) -> ShortAnswer:
    question, drop = "Does it matter for this model?", inside(record, "diagnosis", "performance")
    scores = inside(record, "diagnosis", "scores")
    if drop is not None:
        total = drop["total"]
        ends = signed_interval(*(total[name] for name in ("estimate", "low", "high")))
        worse = is_seen(drop) and total["estimate"] > 0
        told = f"By the target labels its {loss_of(record)} changes by {ends}."
        return ShortAnswer(question, "Yes" if worse else "Not seen", "caution" if worse else "ok", told, "matters")
    if scores is None:
        return ShortAnswer(question, "Not asked", "plain", "What the model says was not compared.", "matters")
    chance = chance_in_words(scores["p_value"])
    if is_seen(scores):
        return ShortAnswer(question, "Probably", "caution", f"What the model says moved ({chance}).", "matters")
    return ShortAnswer(
        question, "Not seen", "ok", f"What the model says did not move beyond chance ({chance}).", "matters"
    )


def loss_of(record: Any) -> str:
    """The mean loss that a drop of performance is told in."""
    is_class = inside(record, "diagnosis", "is_class")
    return "mean squared error" if is_class is False else "error rate"


def which_kind(record: Any) -> ShortAnswer:
    question, diagnosis = "Which kind of shift is it?", record.get("diagnosis")
    if diagnosis is None:
        told = f"The correction takes it for {record.get('shift', 'some')} shift."
        return ShortAnswer(question, "Assumed", "plain", told, "kind")
    decision = inside(diagnosis, "mechanism", "decision")
    if diagnosis["n_labels"] >= FEWEST_LABELS and decision not in (None, "undecided"):
        return ShortAnswer(
            question, decision.capitalize(), "plain", f"By {diagnosis['n_labels']} target labels.", "kind"
        )
    if not has_moved(record):
        return ShortAnswer(question, "None seen", "ok", "There is nothing to name.", "kind")
    if inside(diagnosis, "label_shift", "passes"):
        told = "A change of the class shares explains it; other causes can look alike."
        return ShortAnswer(question, "Label shift fits", "caution", told, "kind")
    return ShortAnswer(question, "Not known", "caution", "Without target labels it cannot be told for sure.", "kind")


def is_it_usable(record: Any) -> ShortAnswer:
    question, correction = "Is there a correction?", correction_of(record)
    overlap = overlap_of(record)
    if correction == "none" and inside(overlap, "verdict", "level") == "abstain":
        reasons = overlap["verdict"]["reasons"]
        return ShortAnswer(question, "No", "abstain", sentence(reasons[0] if reasons else "No overlap."), "usable")
    if is_kept_by_labels(record):
        return ShortAnswer(
            question, "None", "plain", "By the target labels the model predicts best as it is.", "usable"
        )
    if correction == "none":
        return ShortAnswer(
            question, "None", "plain", "No correction is needed, or none has earned its place.", "usable"
        )
    return ShortAnswer(question, "Yes", "ok", f"{DONE[correction].removeprefix('Repaired: ').capitalize()}.", "usable")


def overlap_of(record: Any) -> Any:
    """What weights are worth: by the diagnosis, or of those that are used."""
    return inside(record, "diagnosis", "overlap") or record.get("weights")


def what_does_it_bring(record: Any) -> ShortAnswer:
    question = "What does it bring?"
    for row in record.get("before_after") or []:
        changed = f"{row['metric'].capitalize()} changes by {change_in_words(row['change'])}"
        told = f"{changed} on {row['n_rows']:,} labelled target rows."
        return ShortAnswer(question, *_gain(row["change"], row["better"]), told, "gain")
    score = record.get("target_score")
    if score is not None:
        before, after = in_digits(score["uncorrected"]), in_digits(score["corrected"])
        return ShortAnswer(
            question, "Measured", "plain", f"Target {score['metric']} {before} before, {after} after.", "gain"
        )
    if correction_of(record) == "none" or is_kept_by_labels(record):
        return ShortAnswer(
            question, "Nothing", "plain", "The model is not changed: there is no before and after.", "gain"
        )
    return estimated_gain(question, record)


def estimated_gain(question: str, record: Any) -> ShortAnswer:
    """What a correction is estimated to bring without labels, and on what that rests."""
    if correction_of(record) == "weights" and inside(record, "diagnosis", "gain"):
        gain, error = record["diagnosis"]["gain"]
        told = f"Estimated loss lower by {in_digits(gain, 2)} ± {in_digits(error, 1)}, if p(y given x) is shared."
        return ShortAnswer(question, "Estimated", "plain", told, "gain")
    for row in record.get("expected") or []:
        told = f"Accuracy is expected to change by {change_in_words(row['change'])}, if label shift is what moved."
        return ShortAnswer(question, "Estimated", "plain", told, "gain")
    return ShortAnswer(question, "Not known", "caution", unmeasured(record), "gain")


def change_in_words(change: Any) -> str:
    """A change and its interval; no interval where no row's value changed."""
    if change["value"] == change["low"] == change["high"] == 0:
        return "0 (the same in every row)"
    return signed_interval(*(change[name] for name in ("value", "low", "high")))


def unmeasured(record: Any) -> str:
    """What is known of a correction without labels."""
    # By new class shares; what another correction changes is not known here.
    share = inside(record, "diagnosis", "prior_changes") if correction_of(record) == "prior" else None
    known = "" if share is None else f" It changes {percent(share, 1)} of the predictions."
    return f"Only target labels can measure it.{known}"


def _gain(change: Any, better: str) -> tuple[str, Tone]:
    """Whether an interval of a change lies on one side of 0."""
    low, high = (change["low"], change["high"]) if better == "higher" else (-change["high"], -change["low"])
    if low > 0:
        return "A gain", "ok"
    return ("A loss", "abstain") if high < 0 else ("No clear change", "plain")


def answers_of(record: Any) -> list[ShortAnswer]:
    """All five, in the order in which one decides."""
    asked = (did_it_move, does_it_matter, which_kind, is_it_usable, what_does_it_bring)
    return [ask(record) for ask in asked]
