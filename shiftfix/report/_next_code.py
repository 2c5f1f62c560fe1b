"""The next action as code: what to run in Python, or at the command line where the record is of a command."""

import re
import shlex
from typing import Any

from shiftfix._naming import one_line
from shiftfix.report._answers import correction_of, verdict_of
from shiftfix.report._parts import inside

ASKED = re.compile(r"Label (\d+)\b|(\d+) target rows")
DEFAULT_LABELS = 50
# What a column without a name is called.
POSITION = re.compile(r"column (\d+)")
MOST_DROPPED = 20
# Options of a run on files that the next one needs too, and their defaults as a record has them.
REPEATED: dict[str, Any] = {
    **dict.fromkeys(("id", "weight", "sep", "decimal", "causes", "dropout")),
    **{"drop": [], "missing": [], "dates": "refuse", "learner": "mlp", "task": "auto", "unseen_category": "error"},
    **{"hidden": [128], "epochs": 200, "seed": 0},
}


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


def code_for_dropping(record: Any) -> str:
    """Leave out the columns that name rows, and ask again."""
    names = [column["name"] for column in inside(record, "diagnosis", "columns", "columns") or []
             if column["kind"] not in ("number", "category")][:MOST_DROPPED]  # fmt: skip
    places = [POSITION.fullmatch(name) for name in names]
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


def repeated_options(record: Any) -> list[str]:
    """The options of a run that another one on the same files takes too, where they are not the defaults."""
    words = []
    for name, default in REPEATED.items():
        value = inside(record, "options", name)
        if value is None or value == default:
            continue
        several = [",".join(map(str, value))] if name == "hidden" else value if isinstance(value, list) else [value]
        words += [word for one in several for word in (f"--{name.replace('_', '-')}", str(one))]
    return words


def command_line(record: Any) -> str:
    """The command that fits with target labels, for a run on files."""
    files = [str(inside(record, side, "file")) for side in ("source", "target")]
    known = inside(record, "options", "target_labels")
    where = f"the column {known}" if known else "a column, blank elsewhere, called known_label here,"
    options = ["--label", str(inside(record, "columns", "label")), "--target-labels", str(known or "known_label")]
    words = [*files, *options, *repeated_options(record), "--out", "repaired_by_labels"]
    return f"""\
# Write the labels you find into {one_line(where)} of the target file.
shiftfix correct {shlex.join(words)}
"""


def next_code(record: Any) -> tuple[str, str]:
    """What the code does, and the code."""
    action = verdict_of(record)["action"]
    if action.startswith("Drop"):
        return "Leave out what only names rows, and ask again:", code_for_dropping(record)
    if "label" in action.lower() and not action.startswith("Deploy"):
        if inside(record, "source", "file") and inside(record, "columns", "label"):
            return "Label target rows, and correct by them, at the command line:", command_line(record)
        return "Draw rows to label, and correct by them:", code_for_labels(record)
    if "corrected" not in record and correction_of(record) != "none":
        return "Fit with the correction that the evidence supports:", code_for_fitting(record)
    return "Predict, and look again when new rows have come:", code_for_monitoring(record)
