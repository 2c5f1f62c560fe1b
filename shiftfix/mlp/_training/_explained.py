"""What code of the user's raises, in words that say where it came up and what to do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._training._ranks import RankedRows
from shiftfix.mlp._training._several import RowsOfX, tensors_of
from shiftfix.mlp._training._stored_rows import StoredRows

# Of a message of torch's: some show whole tensors.
LONGEST_MESSAGE = 200


@contextmanager
def explained(found: str | Callable[[], str], advice: str) -> Iterator[None]:
    """Turn what code of the user's raises into a ShiftDataError; ``found`` may be made when it is needed."""
    try:
        yield
    except (ShiftDataError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a module and a loss can raise anything
        said = (str(error).splitlines() or [type(error).__name__])[0][:LONGEST_MESSAGE]
        raise ShiftDataError(f"{found if isinstance(found, str) else found()} ({said}): {advice}") from error


def shapes_text(X: RowsOfX) -> str:
    """Shape and type of one input, or of several."""
    read_later = isinstance(X, StoredRows | RankedRows)
    parts: tuple[Any, ...] = (X,) if read_later else tensors_of(X)
    return ", ".join(f"{tuple(part.shape)} and {part.dtype}" for part in parts)
