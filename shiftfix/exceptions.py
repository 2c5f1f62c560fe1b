"""Errors and warnings of shiftfix."""

from collections.abc import Iterable
from typing import Any, Self


class ShiftDataError(ValueError):
    """The data or a setting cannot be used: what was found, what is needed, what to do."""


class NotIdentifiedError(ValueError):
    """The data cannot tell the answer, however many rows there are.

    Attributes
    ----------
    confounded : list of list
        Groups of classes that the scores cannot tell apart; empty when not about classes.
    finding, remedy : str
        What was found, and what to do about it in Python; the two make the message.
    """

    def __init__(self, finding: str, confounded: Iterable[Iterable[Any]] = (), remedy: str = "") -> None:
        super().__init__(f"{finding} {remedy}".rstrip())
        self.finding, self.remedy = finding, remedy
        self.confounded = [list(group) for group in confounded]

    def __reduce__(self) -> tuple[type[Self], tuple[str, list[list[Any]], str]]:
        return type(self), (self.finding, self.confounded, self.remedy)


class DatasetNotFoundError(FileNotFoundError):
    """The files of a data set are in none of the places looked at."""


class ChecksumError(OSError):
    """A file exists, but its sha256 is not the one on the data set's card."""


class MissingDependencyError(ImportError):
    """An optional library is needed for this call and is not installed."""


class PoorOverlapWarning(UserWarning):
    """The source holds too little of what the target is made of; weights cannot repair that."""


class PoorIdentificationWarning(UserWarning):
    """An estimate is defined, but its sampling error makes it no better than a guess."""


class LabelShiftRejectedWarning(UserWarning):
    """Something else than the class shares moved, so that correcting them alone is not supported."""


class InactiveWeightsWarning(UserWarning):
    """The fitted model interpolates its training rows, so the row weights no longer act."""


class UncalibratedRatioWarning(UserWarning):
    """Estimated density ratios do not average 1 over the source, as true ones do."""


class SymmetricUnitsWarning(UserWarning):
    """The units of a hidden layer start equal, and training cannot tell them apart."""


class LowEffectiveSizeWarning(UserWarning):
    """The row weights leave few effective rows to train on, or to stop by."""


class NonFiniteLossWarning(UserWarning):
    """The training loss became infinite or NaN, and an earlier epoch was kept."""


class GradientWarning(UserWarning):
    """The gradient of a layer vanished or exploded."""


class IdleUnitsWarning(UserWarning):
    """Most units of a layer are dead or saturated, so that they neither act nor learn."""
