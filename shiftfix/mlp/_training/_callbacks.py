"""What happens beside the training: a small protocol for the user's own steps.

A callback is an object with any of the methods

    on_fit_start(run)     before the first epoch
    on_epoch_end(run)     after each epoch, its validation and its entries in the history
    on_fit_end(run)       after the best epoch is back in place

or a plain function of ``run``, which is called at the end of each epoch. ``run`` is the :class:`Run` of the loop:
``run.epoch`` (from 1), ``run.max_epochs``, ``run.history``, ``run.module``, ``run.optimizer``; setting
``run.stop = True`` ends the training after the epoch, or before the first. A checkpoint does not keep it: to resume
is to go on.
"""

from collections.abc import Sequence
from typing import Any

from shiftfix.exceptions import ShiftDataError

EVENTS = ("on_fit_start", "on_epoch_end", "on_fit_end")


def check_callbacks(callbacks: Any) -> tuple[Any, ...]:
    """Tuple of the callbacks of None, one callback, or a list of them.

    Raises
    ------
    ShiftDataError
        For one that has none of the methods and is not a function either, and for a class.
    """
    if callbacks is None:
        return ()
    found = tuple(callbacks) if isinstance(callbacks, list | tuple) else (callbacks,)
    for callback in found:
        if isinstance(callback, type):
            raise ShiftDataError(f"callbacks holds the class {callback.__qualname__}: pass an object of it.")
        if not (callable(callback) or any(callable(getattr(callback, event, None)) for event in EVENTS)):
            raise ShiftDataError(
                f"callbacks holds {callback!r}: a function of the run, or an object with one of "
                f"{', '.join(EVENTS)}, is needed."
            )
    return found


def notify(callbacks: Sequence[Any], event: str, run: Any) -> None:
    """Call every callback that listens to the event."""
    for callback in callbacks:
        method = getattr(callback, event, None)
        if method is not None:
            method(run)
        elif event == "on_epoch_end" and not any(hasattr(callback, other) for other in EVENTS):
            callback(run)
