"""What a training borrows from torch and gives back: threads and global generators; and the device it runs on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from shiftfix.exceptions import ShiftDataError


def resolve_device(device: str | torch.device) -> torch.device:
    """torch.device for "auto", a name, or a torch.device that this machine has."""
    if isinstance(device, str) and device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        raise ShiftDataError(
            f"device={device!r} cannot be used here ({str(error).splitlines()[0][:200]}): pass "
            '"cpu", "auto", or a device that torch finds on this machine.'
        ) from error
    return resolved


@contextmanager
def limited_threads(n_threads: int | None) -> Iterator[None]:
    """Run torch on this many CPU threads inside the block; the caller's number comes back. None changes nothing.

    Layers of a few hundred units are too small to share out: on a machine with other work, threads that wait for each
    other at every layer made one fit ten times slower.
    """
    before = torch.get_num_threads()
    try:
        if n_threads is not None:
            torch.set_num_threads(n_threads)
        yield
    finally:
        if n_threads is not None:
            torch.set_num_threads(before)


@contextmanager
def borrowed_generators(device: torch.device, seed: int) -> Iterator[dict[str, torch.Generator]]:
    """Torch's global generators that a module on this device draws from, by name: seeded, and put back afterwards."""
    generators = {"torch": torch.default_generator}
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        generators["cuda"] = torch.cuda.default_generators[index]
    elif device.type == "mps":
        generators["mps"] = torch.mps._get_default_mps_generator()
    before = {name: generator.get_state() for name, generator in generators.items()}
    try:
        for generator in generators.values():
            generator.manual_seed(seed)
        yield generators
    finally:
        for name, generator in generators.items():
            generator.set_state(before[name])
