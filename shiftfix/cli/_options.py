"""Options of ``shiftfix correct`` and ``shiftfix diagnose`` that belong together, and their defaults."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from shiftfix.cli._exit import UsageError
from shiftfix.cli._learners import hidden_sizes
from shiftfix.exceptions import ShiftDataError

# Options that only some shifts or learners have a use for.
OWNERS = {
    "clip": ("shift", ("covariate", "auto")),
    "exponent": ("shift", ("covariate",)),
    "causes": ("shift", ("label", "auto")),
    "correction": ("shift", ("label",)),
    "target_labels": ("shift", ("auto",)),
    "hidden": ("learner", ("mlp",)),
    "epochs": ("learner", ("mlp",)),
    "dropout": ("learner", ("mlp",)),
}
# Of the networks themselves; said here too, since they import torch.
DEFAULT_EPOCHS = 200
# Why what the data do not support is not corrected all the same.
NOTHING_TO_FORCE = {
    "auto": "with auto nothing is corrected beyond the evidence",
    "label": "under label shift there is no prior to correct with when the scores cannot tell it",
}


def with_defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with defaults in place of None, read from text where they are lists or numbers.

    Parameters
    ----------
    options : mapping
        The command's options by name; None where not given, and absent where it has none.

    Returns
    -------
    dict

    Raises
    ------
    UsageError
        For options that the shift or the learner has no use for, or that cannot be read.
    """
    given = dict(options)
    _check_together(given)
    if given["shift"] != "label":
        given["clip"] = read_clip(given.get("clip"))
    if given["shift"] == "covariate":
        given["exponent"] = read_exponent(given["exponent"])
    if given["shift"] == "label" and given["correction"] is None:
        given["correction"] = "adjust"
    if given["learner"] == "mlp":
        given["hidden"] = hidden_sizes(given["hidden"] or "128")
        given["epochs"] = DEFAULT_EPOCHS if given["epochs"] is None else given["epochs"]
    return given


def _check_together(given: Mapping[str, Any]) -> None:
    for name, (option, values) in OWNERS.items():
        if given.get(name) is not None and given[option] not in values:
            raise UsageError(
                f"--{name.replace('_', '-')} is for --{option} {' or '.join(values)}, and --{option} is "
                f"{given[option]}: leave it out."
            )
    if given["shift"] != "covariate" and given.get("on_abstain") == "correct":
        raise UsageError(
            f"--on-abstain correct is for --shift covariate: {NOTHING_TO_FORCE[given['shift']]}. Pass uncorrected or "
            "error, or --causes label if the label is known to cause the features."
        )
    if given["shift"] == "label":
        _check_label_shift(given)


def _check_label_shift(given: Mapping[str, Any]) -> None:
    if given["causes"] == "features":
        raise UsageError(
            "--causes features says that class shares do not move by themselves, and --shift label corrects them: pass "
            "--shift auto or covariate."
        )
    if given["task"] == "regression":
        raise UsageError("--shift label is about classes, and --task is regression: pass --shift covariate.")


def read_clip(text: str | None) -> str | float | None:
    """A clip as :func:`shiftfix.weights.clip_threshold` takes it.

    Raises
    ------
    UsageError
        For none that it knows.
    """
    if text in (None, "none"):
        return "sqrt" if text is None else None
    from shiftfix.weights import check_clip

    value: str | float
    try:
        value = float(text)
    except ValueError:
        value = str(text)
    try:
        check_clip(value, 1)
        known = value != np.inf
    except ShiftDataError:
        known = False
    if not known:
        raise UsageError(
            f'--clip {text}: "sqrt", "none", "ess", "pareto", a percentile such as "99%" or a number > 0 is needed.'
        )
    return value


def read_exponent(text: str | None) -> str | float:
    """An exponent as the meta-estimators take it.

    Raises
    ------
    UsageError
        For neither "cv" nor a number from 0 to 1.
    """
    if text in (None, "cv"):
        return "cv"
    with suppress(ValueError):
        value = float(str(text))
        if 0 <= value <= 1:
            return value
    raise UsageError(f'--exponent {text}: "cv" or a number from 0 to 1 is needed.')
