"""What a training borrows from torch and gives back: options, threads, global generators; and the device it runs on."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch

from shiftfix._door import own_options
from shiftfix._setting_checks import check_count
from shiftfix.exceptions import ShiftDataError

# By process: a forked child must not wait for a thread that it does not have.
TURNS: dict[int, threading.RLock] = {}


@contextmanager
def own_torch_options() -> Iterator[None]:
    """``own_options``, and torch as it comes: with gradients, on the CPU unless told otherwise, in full precision.

    All of these belong to the thread. The default precision is the process's and is left alone: tensors made here say
    which they have.
    """
    with ExitStack() as stack:
        stack.enter_context(own_options(own_output=True))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


class ThreadNumbers:
    """Torch's number of CPU threads, which each thread of the process has for itself.

    A new thread starts with the number that any thread set last. Where that is one of those asked for in here, the
    number to go back to is what the first of the threads inside found.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.asked: list[int] = []
        self.outside = 1
        self.mine = threading.local()
        self.process_of_many: int | None = None
        self.told_of_forks = False

    def after_fork(self) -> None:
        """In a child: a lock that no thread of the parent holds; and one thread, where the others stayed behind."""
        self.lock = threading.RLock()
        if self.process_of_many is not None:
            torch.set_num_threads(1)

    def allowed(self, n_threads: int) -> int:
        """No more than the processors; and one in a child forked after several, which would wait for them for ever."""
        if self.process_of_many not in (None, os.getpid()):
            return 1
        return min(n_threads, os.cpu_count() or 1)

    def borrow(self, n_threads: int) -> int:
        """Set the number of this thread; returns the one to give back."""
        if not self.told_of_forks and hasattr(os, "register_at_fork"):
            self.told_of_forks = True
            os.register_at_fork(after_in_child=self.after_fork)
        with self.lock:
            own, self.mine.depth = torch.get_num_threads(), getattr(self.mine, "depth", 0) + 1
            if not self.asked:
                self.outside = own
            before = self.outside if self.mine.depth == 1 and own in self.asked else own
            self.asked.append(n_threads)
            if n_threads > 1:
                self.process_of_many = os.getpid()
            torch.set_num_threads(n_threads)
        return before

    def give_back(self, n_threads: int, before: int) -> None:
        """Set the number that this thread had before."""
        with self.lock:
            self.asked.remove(n_threads)
            self.mine.depth -= 1
            torch.set_num_threads(before)


THREAD_NUMBERS = ThreadNumbers()


def resolve_device(device: str | torch.device) -> torch.device:
    """torch.device for "auto", a name, or a torch.device that this machine has."""
    if isinstance(device, str) and device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, TypeError, ValueError, AssertionError, NotImplementedError) as error:
        raise ShiftDataError(
            f"device={device!r} cannot be used here ({str(error).splitlines()[0][:200]}): pass "
            '"cpu", "auto", or a device that torch finds on this machine.'
        ) from error
    return resolved


@contextmanager
def limited_threads(n_threads: int | None) -> Iterator[None]:
    """Run torch on this many CPU threads inside the block; the caller's number comes back. None changes nothing.

    No more threads are made than there are processors: a thousand end the process where the system allows fewer.

    Layers of a few hundred units are too small to share out: on a machine with other work, threads that wait for each
    other at every layer made one fit ten times slower.
    """
    if n_threads is None:
        yield
        return
    wanted = THREAD_NUMBERS.allowed(check_count(n_threads, "n_threads"))
    before = THREAD_NUMBERS.borrow(wanted)
    try:
        yield
    finally:
        THREAD_NUMBERS.give_back(wanted, before)


@contextmanager
def generators_put_back(generators: Mapping[str, torch.Generator]) -> Iterator[None]:
    """Leave generators as they were before the block."""
    before = {name: generator.get_state() for name, generator in generators.items()}
    try:
        yield
    finally:
        for name, generator in generators.items():
            generator.set_state(before[name])


@contextmanager
def borrowed_generators(device: torch.device, seed: int) -> Iterator[dict[str, torch.Generator]]:
    """Torch's global generators that a module on this device draws from, by name: seeded, and put back afterwards.

    They are the process's: threads that borrow them take turns.
    """
    generators = {"torch": torch.default_generator}
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        generators["cuda"] = torch.cuda.default_generators[index]
    elif device.type == "mps":
        generators["mps"] = torch.mps._get_default_mps_generator()
    with TURNS.setdefault(os.getpid(), threading.RLock()), generators_put_back(generators):
        for generator in generators.values():
            generator.manual_seed(seed)
        yield generators
