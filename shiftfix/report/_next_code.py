"""The next action as code: what to run in Python, or at the command line where the record is of a command."""

import os.path
import re
import shlex
from collections.abc import Collection
from typing import Any

from shiftfix._naming import one_line
from shiftfix.report._answers import correction_of, verdict_of
from shiftfix.report._parts import inside

ASKED = re.compile(r"Label (\d+)\b|(\d+) target rows")
DEFAULT_LABELS = 50
# What a column without a name is called.
POSITION = re.compile(r"column (\d+)")
MOST_DROPPED = 20
NUMBERED = re.compile(r"(?P<stem>.*?)(?:_(?P<number>\d+))?")
# Options of a run on files that the next one needs too, and their defaults as a record has them.
REPEATED: dict[str, Any] = {
    **dict.fromkeys(("id", "weight", "sep", "decimal", "causes", "dropout")),
    **{"drop": [], "missing": [], "dates": "refuse", "learner": "mlp", "task": "auto", "unseen_category": "error"},
    **{"hidden": [128], "epochs": 200, "seed": 0},
}
# Those that say how the rows of a file are read.
OF_ROWS = ("sep", "decimal", "missing", "dates", "unseen_category")


def labels_asked(record: Any) -> int:
    """How many labels the action asks for."""
    found = ASKED.search(verdict_of(record)["action"])
    asked = int(next(filter(None, found.groups()))) if found else DEFAULT_LABELS
    n_target = inside(record, "target", "rows") or inside(record, "diagnosis", "n_target") or asked
    return min(asked, n_target)


def corrector_of(record: Any) -> str:
    """The meta-estimator that diagnoses, for the task."""
    is_class = inside(record, "diagnosis", "is_class")
    is_class = record.get("task") != "regression" if is_class is None else is_class
    return f"ShiftCorrected{'Classifier' if is_class else 'Regressor'}"


def code_for_labels(record: Any) -> str:
    """Draw rows, label them, fit again."""
    corrector, asked = corrector_of(record), labels_asked(record)
    return f"""\
import numpy as np
from shiftfix.corrected import {corrector}, TargetSample
from shiftfix.report import shift_report

rows = np.random.default_rng(0).choice(len(X_target), size={asked}, replace=False)
y_few = label(rows)  # your part: the labels of these rows of X_target, in this order

target = TargetSample(X_target, y=y_few, rows=rows)
model = {corrector}(estimator).fit(X_source, y_source, X_target=target)
shift_report(model, X_source=X_source, y_source=y_source, X_target=target).save("report.html")
"""


def named_rows(record: Any) -> list[str]:
    """The columns that only name rows."""
    columns = inside(record, "diagnosis", "columns", "columns") or []
    return [column["name"] for column in columns if column["kind"] not in ("number", "category")][:MOST_DROPPED]


def code_for_dropping(record: Any) -> str:
    """Leave out the columns that name rows, and ask again."""
    names = named_rows(record)
    places = [POSITION.fullmatch(name) for name in names]
    drop: list[Any]
    if all(places):
        drop = [int(place[1]) for place in places if place is not None]
        kept = "X_source, X_target = (np.delete(X, drop, axis=1) for X in (X_source, X_target))"
    else:
        drop, kept = names, "X_source, X_target = (X.drop(columns=drop) for X in (X_source, X_target))"
    return f"""\
import numpy as np
from shiftfix.detect import diagnose_shift

drop = {drop!a}
{kept}
print(diagnose_shift(X_source, y_source, X_target))
"""


def code_for_fitting(record: Any) -> str:
    """Fit with what the evidence supports, and predict."""
    corrector = corrector_of(record)
    return f"""\
from shiftfix.corrected import {corrector}

model = {corrector}(estimator).fit(X_source, y_source, X_target=X_target)
predictions = model.predict(X_target)
"""


def code_for_monitoring(record: Any) -> str:
    """Predict, and look at the newest rows again later."""
    first = "predictions = model.predict(X_target)" if "corrected" in record else "estimator.fit(X_source, y_source)"
    return f"""\
from shiftfix.detect import diagnose_shift

{first}

# Later, with the newest rows: has anything moved since?
print(diagnose_shift(X_source, y_source, X_target, estimator))
"""


def is_of_files(record: Any) -> bool:
    """Whether the record is of a run on files, and says enough to make another one."""
    return bool(inside(record, "source", "file") and inside(record, "target", "file") and label_column(record))


def label_column(record: Any) -> Any:
    return inside(record, "columns", "label")


def repeated_options(record: Any, only: Collection[str] = tuple(REPEATED)) -> list[str]:
    """The options of a run that another one on the same files takes too, where they are not the defaults."""
    words = []
    for name, default in REPEATED.items():
        value = inside(record, "options", name)
        if name not in only or value is None or value == default:
            continue
        several = [",".join(map(str, value))] if name == "hidden" else value if isinstance(value, list) else [value]
        words += [word for one in several for word in (f"--{name.replace('_', '-')}", str(one))]
    return words


def command(record: Any, name: str, *more: str, target: str | None = None) -> str:
    """A command on the files of a run, with its options; ``target`` in place of its target."""
    files = [str(inside(record, "source", "file")), target or str(inside(record, "target", "file"))]
    words = [name, *files, "--label", str(label_column(record)), *repeated_options(record), *more]
    return f"shiftfix {shlex.join(words)}\n"


def known_labels_column(record: Any) -> list[str]:
    """The option of target labels, where the run was given some."""
    known = inside(record, "options", "target_labels")
    return [] if known is None else ["--target-labels", str(known)]


def command_for_labels(record: Any) -> str:
    """Fit with target labels."""
    known, file = known_labels_column(record), str(inside(record, "target", "file"))
    if known:
        told = f"# Write further labels, of rows drawn at random, into the column {known[1]} of the target file."
    else:
        stem, dot, ending = os.path.basename(file).partition(".")
        copy = os.path.join(os.path.dirname(file), f"{stem}_labelled{dot}{ending}")
        told = (
            f"# Copy the target file to {os.path.basename(copy)}, and write the labels of {labels_asked(record)} rows, "
            "drawn at random, into a new column known_label, blank elsewhere."
        )
        file = copy
    asked = known or ["--target-labels", "known_label"]
    out = new_folder_name(record, "repaired_by_labels")
    return f"{one_line(told)}\n" + command(record, "correct", *asked, "--out", out, target=file)


def new_folder_name(record: Any, name: str) -> str:
    """A name for the results, which is not that of the run's own: those would be in the way."""
    own = NUMBERED.fullmatch(os.path.basename(os.path.normpath(record.get("folder") or "")))
    if own is None or own["stem"] != name:
        return name
    return f"{name}_{int(own['number'] or 1) + 1}"


def command_for_dropping(record: Any) -> str:
    """Ask, or correct, without the columns that name rows."""
    dropped = [word for name in named_rows(record) for word in ("--drop", name)]
    last = ["--out", new_folder_name(record, "repaired_without_them")] if "corrected" in record else []
    return command(record, "correct" if last else "diagnose", *known_labels_column(record), *dropped, *last)


def command_for_fitting(record: Any) -> str:
    """Fit with what the evidence supports."""
    return command(record, "correct", *known_labels_column(record), "--out", "repaired")


def command_for_monitoring(record: Any) -> str:
    """Predict newer rows, and look at them."""
    newest = "newest.csv"
    look = "# Has anything moved since? newest.csv stands for the newest rows.\n"
    look += command(record, "diagnose", target=newest)
    if "corrected" not in record:
        return look
    model = os.path.join(record.get("folder") or "", "model.skops")
    words = ["predict", model, newest, *repeated_options(record, OF_ROWS), "--out", "newest_predictions.csv"]
    return f"{look}shiftfix {shlex.join(words)}\n"


def next_code(record: Any) -> tuple[str, str]:
    """What the code does, and the code: commands where the record is of one, else Python."""
    action, at = verdict_of(record)["action"], int(is_of_files(record))
    if action.startswith("Drop"):
        made = (code_for_dropping, command_for_dropping)
        return "Leave out what only names rows, and ask again:", made[at](record)
    if "label" in action.lower() and not action.startswith("Deploy"):
        made = (code_for_labels, command_for_labels)
        return f"{'Label target rows' if at else 'Draw rows to label'}, and correct by them:", made[at](record)
    if "corrected" not in record and correction_of(record) != "none":
        made = (code_for_fitting, command_for_fitting)
        return "Fit with the correction that the evidence supports:", made[at](record)
    made = (code_for_monitoring, command_for_monitoring)
    return "Predict, and look again when new rows have come:", made[at](record)
