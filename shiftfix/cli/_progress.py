"""Where a run is: its stages and their rows, on standard error, so that results can be piped.

A terminal shows the stage and the seconds so far, and nothing when the command has ended. Elsewhere nothing is shown
unless asked for; then each stage is a line of its own.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shiftfix._naming import one_line

Tell = Callable[[str], None]


def silent(stage: str) -> None:
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
    def tell(stage: str) -> None:
        sys.stderr.write(f"shiftfix: {time.monotonic() - begin:6.1f} s  {one_line(stage)}\n")
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
        yield lambda stage: shown.update(task, description=escape(one_line(stage)))
