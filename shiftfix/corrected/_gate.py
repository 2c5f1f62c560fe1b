"""What follows for a prior from whether label shift is what moved."""

from collections.abc import Sequence
from typing import Literal

from shiftfix._verdict import Verdict, tell
from shiftfix.exceptions import LabelShiftRejectedWarning, NotIdentifiedError
from shiftfix.label import LabelShiftFit

OnReject = Literal["uncorrected", "correct", "error"]
Causes = Literal["label"] | None

WITHOUT_FEATURES = "; only the scores were compared, since the rows make no numbers: what they do not show went unseen"
LABELS_WOULD_TELL = (
    'Label 50 target rows or more, drop columns that name the samples (ids, dates), or pass causes="label" if you know '
    "that y causes x and nothing else moved."
)


def act_on(fit: LabelShiftFit, on_reject: OnReject, causes: Causes, names: Sequence[str] = ()) -> tuple[bool, Verdict]:
    """Whether to correct the prior, and the verdict on it.

    Parameters
    ----------
    fit : LabelShiftFit
    on_reject : {"uncorrected", "correct", "error"}
        Where the fit does not pass: warn and do not correct, warn and correct, or raise.
    causes : {None, "label"}
        "label": y is known to cause x, and the fit only warns.
    names : sequence of str, default=()
        In words, the columns that only name rows; told where the fit does not pass.

    Raises
    ------
    NotIdentifiedError
        Where something else moved, with "error".

    Warns
    -----
    LabelShiftRejectedWarning
        Where something else moved, or a correction is made that the fit does not support.
    """
    seen = "; ".join([fit.reason + WITHOUT_FEATURES * (not fit.uses_features), *names])
    if fit.passes:
        return True, Verdict("ok" if fit.uses_features else "caution", () if fit.uses_features else (seen,))
    finding = f"Label shift is not what moved: {seen}."
    use = causes == "label" or on_reject == "correct"
    if not fit.moved and not use:
        return False, Verdict("ok", (f"no shift was detected: {seen}",))
    if not use and on_reject == "error":
        raise NotIdentifiedError(finding, remedy=LABELS_WOULD_TELL)
    done = "The prior is corrected all the same." if use else "Predictions are left uncorrected."
    tell(LabelShiftRejectedWarning(f"{finding} {done}{'' if use else ' ' + LABELS_WOULD_TELL}"))
    return use, Verdict("caution" if use else "abstain", (seen,), LABELS_WOULD_TELL)
