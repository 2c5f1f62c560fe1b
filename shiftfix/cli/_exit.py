"""Exit codes, the errors that lead to them, and how they are shown: one message on stderr, no traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from shiftfix._naming import one_line
from shiftfix.cli._process import Stopped, make_printable, notes_of, stop_received, stopped_by
from shiftfix.exceptions import (
    ChecksumError,
    DatasetNotFoundError,
    MissingDependencyError,
    NotIdentifiedError,
    ShiftDataError,
)

REPAIRED = 6
EXIT_CODES = (
    "Exit codes: 0 done; 1 a fault in shiftfix; 2 usage or a bad option; 3 the data cannot be used, or were "
    "not found; 4 the data do not support the correction (--on-abstain error, --exit-code); 5 the output cannot be "
    "written; 6 corrected, or can be (--exit-code); above 128 stopped by a signal (130 by Ctrl-C, 141 "
    "where the reader of a pipe left)."
)


class CommandError(Exception):
    """An error that ends the command; each argument is a message of its own."""

    exit_code = 1

    @property
    def lines(self) -> tuple[str, ...]:
        """The messages, each on one line; what is unprintable in them is spelled out."""
        return tuple(one_line(str(message)) for message in self.args)

    def __str__(self) -> str:
        if len(self.lines) < 2:
            return "".join(self.lines)
        return "\n".join([f"{len(self.lines)} things stand in the way:", *(f"  - {line}" for line in self.lines)])


class UsageError(CommandError):
    """Options that do not exist, or not together."""

    exit_code = 2


class InputError(CommandError):
    """Files that cannot be used."""

    exit_code = 3


class UnsupportedError(CommandError):
    """Data that do not support the correction."""

    exit_code = 4


class OutputError(CommandError):
    """A folder that cannot be written."""

    exit_code = 5


class ReaderLeftError(CommandError):
    """Who read standard output from a pipe wants no more of it: nothing is wrong, and nothing is said."""

    exit_code = 141  # as shells have it of SIGPIPE


@contextmanager
def exit_codes(debug: bool) -> Iterator[None]:
    """Turn errors into a message on stderr and an exit code; with ``debug`` let them through."""
    make_printable()
    try:
        yield
        sys.stdout.flush()
    except typer.Exit:
        raise
    except (KeyboardInterrupt, Stopped) as error:
        raise typer.Exit(_told_stop(error)) from None
    except Exception as error:
        if debug:
            raise
        stop = stop_received()
        raise typer.Exit(show(error) if stop is None else _told_stop(stop)) from None


def _told_stop(error: KeyboardInterrupt | Stopped) -> int:
    """Print that a command was stopped; return its exit code."""
    message, exit_code = stopped_by(error)
    typer.echo(message, err=True)
    return exit_code


def show(error: Exception) -> int:
    """Print an error as one message; return its exit code."""
    if isinstance(error, ReaderLeftError):
        return error.exit_code
    typer.echo(f"shiftfix: {' '.join([_message(error), *map(one_line, notes_of(error))])}", err=True)
    return _exit_code(error)


def _exit_code(error: Exception) -> int:
    if isinstance(error, CommandError):
        return error.exit_code
    if isinstance(error, NotIdentifiedError):
        return UnsupportedError.exit_code
    if isinstance(error, MissingDependencyError):
        return UsageError.exit_code
    # What a learner refuses is the data too: scikit-learn raises plain ValueErrors. So is what the system refuses:
    # what it refuses to write is an OutputError by then.
    if isinstance(error, OSError | ValueError | FloatingPointError) or _is_out_of_memory(error):
        return InputError.exit_code
    return CommandError.exit_code


def _is_out_of_memory(error: Exception) -> bool:
    # torch raises RuntimeErrors of its own making.
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def _message(error: Exception) -> str:
    if isinstance(error, CommandError):
        return str(error)
    # Others end their lines to be readable, and what they quote may do so to deceive.
    text = one_line(" ".join(str(error).split()))
    if isinstance(error, DatasetNotFoundError):
        return f"{text} On the command line these are --data-home FOLDER and --download."
    if isinstance(error, ShiftDataError | NotIdentifiedError | ChecksumError | MissingDependencyError):
        return text
    if _is_out_of_memory(error):
        return "there is not enough memory for so many rows, columns or --hidden units: take fewer."
    if isinstance(error, OSError):
        return one_line(f"{error.filename or 'a file'} cannot be used ({error.strerror or error}).")
    if isinstance(error, ValueError | FloatingPointError):
        return f"the model could not be fitted: {text}"
    return f"unexpected {type(error).__name__}: {text}. Run again with --debug for the traceback and report it."
