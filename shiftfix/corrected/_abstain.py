"""What to do when the evidence does not support a correction: leave the model alone, refuse, or go on all the same."""

from typing import Literal, NamedTuple

from shiftfix._verdict import Verdict, tell
from shiftfix.exceptions import NotIdentifiedError, PoorIdentificationWarning, PoorOverlapWarning

OnAbstain = Literal["uncorrected", "error", "correct"]


class Words(NamedTuple):
    """How a meta-estimator says that it abstains.

    Attributes
    ----------
    finding : str
        What the data do not support; the reasons follow.
    remedy : str
        Sentence after the reasons of an error; "" for none.
    uncorrected, corrected : str
        Sentences after the reasons of a warning: what was done.
    category : type of Warning
    """

    finding: str
    remedy: str
    uncorrected: str
    corrected: str
    category: type[Warning]


WEIGHTING = Words(
    "The data do not support weighting",
    'Collect more rows where it says, drop the features that separate the samples, or pass on_abstain="uncorrected".',
    'The estimator was fitted without weights. Pass on_abstain="correct" to use them all the same.',
    "The estimator was weighted all the same.",
    PoorOverlapWarning,
)
PRIOR = Words(
    "The scores do not tell the target prior",
    "",
    "Predictions are left uncorrected.",
    "Predictions are corrected all the same.",
    PoorIdentificationWarning,
)


def decide(verdict: Verdict, on_abstain: OnAbstain, words: Words) -> bool:
    """Whether to correct, by the verdict and by what the user wants where it is "abstain".

    Parameters
    ----------
    verdict : Verdict
        Of the weights, or of the prior.
    on_abstain : {"uncorrected", "error", "correct"}
        On "abstain": warn and do not correct, raise, or warn and correct.
    words : Words

    Returns
    -------
    bool

    Raises
    ------
    NotIdentifiedError
        On "abstain" with "error".

    Warns
    -----
    words.category
        On "abstain" otherwise; shown at the line that called the caller.
    """
    if verdict != "abstain":
        return True
    finding = f"{words.finding}: {'; '.join(verdict.reasons)}."
    if on_abstain == "error":
        raise NotIdentifiedError(finding, remedy=words.remedy)
    use = on_abstain == "correct"
    tell(words.category(f"{finding} {words.corrected if use else words.uncorrected}"))
    return use
