"""Errors and warnings of shiftfix."""

from collections.abc import Iterable
from typing import Any, Self


class ShiftDataError(ValueError):
    """The data or a setting cannot be used: what was found, what is needed, what to do.

    See Also
    --------
    NotIdentifiedError : Data that cannot tell the answer.
    """


class NotIdentifiedError(ValueError):
    """The data cannot tell the answer, however many rows there are.

    Attributes
    ----------
    confounded : list of list
        Groups of classes that the scores cannot tell apart; empty when not about classes.
    finding, remedy : str
        What was found, and what to do about it in Python; the two make the message.

    See Also
    --------
    ShiftDataError : Data or settings that cannot be used.
    PoorIdentificationWarning : An estimate no better than a guess.
    """

    def __init__(self, finding: str, confounded: Iterable[Iterable[Any]] = (), remedy: str = "") -> None:
        super().__init__(f"{finding} {remedy}".rstrip())
        self.finding, self.remedy = finding, remedy
        self.confounded = [list(group) for group in confounded]

    def __reduce__(self) -> tuple[type[Self], tuple[str, list[list[Any]], str]]:
        return type(self), (self.finding, self.confounded, self.remedy)


class DatasetNotFoundError(FileNotFoundError):
    """The files of a data set are in none of the places looked at.

    See Also
    --------
    ChecksumError : A file is not the one on the card.
    shiftfix.datasets.load : The data, after checking the files.
    """


class ChecksumError(OSError):
    """A file exists, but its sha256 is not the one on the data set's card.

    See Also
    --------
    DatasetNotFoundError : The files are nowhere.
    shiftfix.datasets.load : The data, after checking the files.
    """


class MissingDependencyError(ImportError):
    """An optional library is needed for this call and is not installed.

    See Also
    --------
    ShiftDataError : Data or settings that cannot be used.
    """


class PoorOverlapWarning(UserWarning):
    """The source holds too little of what the target is made of; weights cannot repair that.

    See Also
    --------
    shiftfix.display.OverlapDisplay : Draws the log ratio of both samples.
    shiftfix.weights.summarize_weights : Size, overlap, verdict.
    """


class PoorIdentificationWarning(UserWarning):
    """An estimate is defined, but its sampling error makes it no better than a guess.

    See Also
    --------
    NotIdentifiedError : Data that cannot tell the answer.
    shiftfix.label.confusion_matrices : Joint and conditional confusion matrices.
    """


class LabelShiftRejectedWarning(UserWarning):
    """Something else than the class shares moved, so that correcting them alone is not supported.

    See Also
    --------
    shiftfix.label.label_shift_fit : How much of what moved does one change of the class shares explain?
    shiftfix.corrected.LabelShiftClassifier : A classifier that follows the target's class shares.
    """


class InactiveWeightsWarning(UserWarning):
    """The fitted model interpolates its training rows, so the row weights no longer act.

    See Also
    --------
    shiftfix.display.LearningCurveDisplay : Draws losses by epoch, and whether weights still act.
    shiftfix.mlp.MLPClassifier : A network for classes, with row weights and dropout.
    """


class UncalibratedRatioWarning(UserWarning):
    """Estimated density ratios do not average 1 over the source, as true ones do.

    See Also
    --------
    shiftfix.covariate.ClassifierWeighter : Odds of any classifier, cross-fitted where it is flexible.
    shiftfix.covariate.LogisticWeighter : Odds of a logistic source-versus-target classifier; the default.
    """


class SymmetricUnitsWarning(UserWarning):
    """The units of a hidden layer start equal, and training cannot tell them apart.

    See Also
    --------
    shiftfix.mlp.MLPClassifier : A network for classes, with row weights and dropout.
    IdleUnitsWarning : Units that are never active.
    """


class LowEffectiveSizeWarning(UserWarning):
    """The row weights leave few effective rows to train on, or to stop by.

    See Also
    --------
    shiftfix.weights.effective_sample_size : Kish's, in rows.
    PoorOverlapWarning : Too little source where the target is.
    """


class NonFiniteLossWarning(UserWarning):
    """The training loss became infinite or NaN, and an earlier epoch was kept.

    See Also
    --------
    GradientWarning : Gradients that vanish or explode.
    shiftfix.mlp.MLPClassifier : A network for classes, with row weights and dropout.
    """


class GradientWarning(UserWarning):
    """The gradient of a layer vanished or exploded.

    See Also
    --------
    NonFiniteLossWarning : A loss that is no number.
    shiftfix.mlp.MLPClassifier : A network for classes, with row weights and dropout.
    """


class IdleUnitsWarning(UserWarning):
    """Most units of a layer are dead or saturated, so that they neither act nor learn.

    See Also
    --------
    SymmetricUnitsWarning : Units that start equal.
    shiftfix.mlp.MLPClassifier : A network for classes, with row weights and dropout.
    """
