"""Everything that is wrong with one run, told at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from shiftfix.cli._exit import CommandError, InputError


class Refusals:
    """Errors noted on the way to the point where the run cannot go on.

    Attributes
    ----------
    found : list of CommandError
    """

    def __init__(self) -> None:
        self.found: list[CommandError] = []

    def add(self, message: str) -> None:
        """Note that the data cannot be used."""
        self.found.append(InputError(message))

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note an error of the block instead of raising it."""
        try:
            yield
        except CommandError as error:
            self.found.append(error)

    def of(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """What a function returns, or None when it raises; the error is noted."""
        with self.noted():
            return function(*arguments, **options)
        return None

    def raise_found(self) -> None:
        """Raise all that was noted as one error, with the exit code of the first.

        Raises
        ------
        CommandError
            Its ``lines`` are the messages.
        """
        if self.found:
            lines = list(dict.fromkeys(line for error in self.found for line in error.lines))
            raise type(self.found[0])(*lines)
