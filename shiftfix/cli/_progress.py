"""Where a run is: its stages and their rows, on standard error, so that results can be piped.

A terminal shows the stage and the seconds so far, and nothing when the command has ended. Elsewhere nothing is shown
unless asked for; then each stage is a line of its own.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from shiftfix._naming import one_line

# Between two lines that tell how far a stage is.
SECONDS_BETWEEN = 5.0


class Tell(Protocol):
    """What a run calls with the name of each stage as it begins."""

    def __call__(self, stage: str, *, passing: bool = False) -> None:
        """Show a stage; one that is ``passing`` tells how far another one is, and may be left out."""


def silent(stage: str, *, passing: bool = False) -> None:
    """Show nothing of a stage."""


@contextmanager
def stages(*, verbose: bool, quiet: bool = False) -> Iterator[Tell]:
    """What a run calls with the name of each stage as it begins.

    Parameters
    ----------
    verbose : bool
        A line for each stage, on a terminal or not.
    quiet : bool, default=False
        Show nothing, unless ``verbose``.
    """
    if verbose:
        yield _lines_since(time.monotonic())
    elif quiet or not sys.stderr.isatty():
        yield silent
    else:
        with _spinner() as tell:
            yield tell


def _lines_since(begin: float) -> Tell:
    told = begin

    def tell(stage: str, *, passing: bool = False) -> None:
        nonlocal told
        now = time.monotonic()
        if passing and now - told < SECONDS_BETWEEN:
            return
        told = now
        sys.stderr.write(f"shiftfix: {now - begin:6.1f} s  {one_line(stage)}\n")
        sys.stderr.flush()

    return tell


@contextmanager
def _spinner() -> Iterator[Tell]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("starting", total=None)

        def tell(stage: str, *, passing: bool = False) -> None:
            shown.update(task, description=escape(one_line(stage)))

        yield tell
