"""The process around a command: its signals and its standard streams.

SIGTERM and SIGHUP end a command as Ctrl-C does, by an exception, so that what it was writing is removed. Nothing is
unprintable, and standard output that takes no more is an error like any other; but where its reader has left, as
``head`` does, the command ends without a word.
"""

import errno
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any

STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")  # SIGHUP is none of Windows
# Seconds until a signal is sent again: one that came too early, and one whose exception was dropped.
PUT_OFF, DROPPED = 0.05, 1.0
# Signals that asked this process to stop: a library may make another error of what they raise, or none.
_RECEIVED: list[int] = []
# Whether the command ends by a signal that was received, or is over.
_ANSWERED = threading.Event()
HIGHEST_STANDARD_DESCRIPTOR = 2


class Stopped(BaseException):
    """The system asked the process to end.

    Attributes
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, as an exception that can be watched."""


def stopped_by(error: KeyboardInterrupt | Stopped) -> tuple[str, int]:
    """Message and exit code, as shells have it, of a command that was stopped."""
    _ANSWERED.set()
    number = error.number if isinstance(error, Stopped) else signal.SIGINT
    said = [f"shiftfix: stopped by {signal.Signals(number).name}.", *notes_of(error)]
    return " ".join(said), 128 + number


def notes_of(error: BaseException) -> list[str]:
    """What was added to an error on its way (``add_note``)."""
    return list(getattr(error, "__notes__", []))


def stop_received() -> Stopped | None:
    """The first signal that asked to stop in :func:`clean_process`, whatever became of what it raised."""
    if not _RECEIVED:
        return None
    _ANSWERED.set()
    return Stopped(_RECEIVED[0])


@contextmanager
def clean_process() -> Iterator[None]:
    """Have signals raise exceptions and streams take everything in the block."""
    _RECEIVED.clear()
    _ANSWERED.clear()
    streams, handlers, hook = (sys.stdout, sys.stderr), _end_by_exception(), sys.unraisablehook
    try:
        sys.unraisablehook = partial(_tell_if_no_stop, hook)
        _guard_streams()
        yield
    finally:
        sys.stdout, sys.stderr, sys.unraisablehook = *streams, hook
        for number, handler in handlers.items():
            signal.signal(number, handler)
        _ANSWERED.set()
        _RECEIVED.clear()


def _end_by_exception() -> dict[int, Any]:
    """Have the signals that ask a process to end raise an exception; those that are ignored (``nohup``) stay so.

    Returns what handled them before.
    """
    numbers = [getattr(signal, name) for name in STOPPING if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():  # only there can they be handled
        return {}
    at_first = (signal.SIG_DFL, signal.default_int_handler)
    handlers = {number: handler for number in numbers if (handler := signal.getsignal(number)) in at_first}
    for number in handlers:
        signal.signal(number, _stop)
    return handlers


def _stop(number: int, frame: FrameType | None) -> None:
    # While torch starts, its C++ calls Python where an exception cannot pass: the process would abort.
    if getattr(getattr(sys.modules.get("torch"), "__spec__", None), "_initializing", False):
        _send_again(number, PUT_OFF)
        return
    _RECEIVED.append(number)
    error = Interrupted() if number == signal.SIGINT else Stopped(number)
    # Python drops what is raised in a finalizer, and libraries drop what they do not expect: nobody ends by it then.
    weakref.finalize(error, _send_again, number, DROPPED).atexit = False
    try:
        raise error
    finally:
        del error  # its traceback has this frame, which would keep it


def _send_again(number: int, seconds: float) -> None:
    """Send a signal later, unless it was answered: to the main thread, which another thread's would not wake."""
    main = threading.main_thread().ident

    def send() -> None:
        if _ANSWERED.is_set():
            return
        if main is None or not hasattr(signal, "pthread_kill"):  # Windows
            signal.raise_signal(number)
        else:
            signal.pthread_kill(main, number)

    if not _ANSWERED.is_set():
        again = threading.Timer(seconds, send)
        again.daemon = True
        again.start()


def _tell_if_no_stop(hook: Callable[[Any], Any], found: Any) -> None:
    """Tell of what Python cannot raise, but of a signal's nothing: it is sent again."""
    if not isinstance(found.exc_value, Stopped | Interrupted):
        hook(found)


class GuardedStream:
    """A stream that after its first failure discards what it is given.

    Parameters
    ----------
    stream : text stream
    on_failure : callable
        Called with the first OSError.
    """

    def __init__(self, stream: Any, on_failure: Callable[[OSError], None]) -> None:
        self._stream = stream
        self._on_failure = on_failure

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, as text streams do."""
        if not isinstance(text, str):
            raise TypeError(f"text is written here, not {type(text).__name__}")
        if not text:  # typer asks in this way what a stream takes, and swallows the answer
            return 0
        try:
            return int(self._stream.write(text))
        except OSError as error:
            self._fail(error)
            return len(text)

    def flush(self) -> None:
        """Flush, as text streams do."""
        try:
            self._stream.flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        # What is in its buffer would fail again when Python ends, with an exit code of Python's own.
        with suppress(OSError, ValueError):
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, self._stream.fileno())
            os.close(sink)
        self._on_failure(error)


def _guard_streams() -> None:
    """Have standard output and error take every character, and their failures be ours; open them where they are closed.

    Nobody reads the message that standard error does not take.
    """
    # A file opened later must not become number 1 or 2, where others print.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= HIGHEST_STANDARD_DESCRIPTOR:
        pass
    os.close(descriptor)
    sys.stdout = GuardedStream(sys.stdout or _sink(), _not_printed)
    sys.stderr = GuardedStream(sys.stderr or _sink(), lambda error: None)
    make_printable()


def _sink() -> Any:
    return open(os.devnull, "w", encoding="utf-8")


def _not_printed(error: OSError) -> None:
    from shiftfix.cli._exit import OutputError, ReaderLeftError

    if error.errno == errno.EPIPE:
        raise ReaderLeftError from error
    raise OutputError(
        f"standard output cannot be written ({error.strerror}), so not everything was printed; files that were to be "
        "written are complete."
    )


def make_printable() -> None:
    """Have standard output and error show a character that their encoding lacks by its number."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
