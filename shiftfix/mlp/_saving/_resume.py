"""Checkpoints: a run under way on disk, and whether another may go on from it."""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from shiftfix._door import plain
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._saving._encoding import PLAIN, digest
from shiftfix.mlp._saving._files import read, write_atomically
from shiftfix.mlp._settings import Running

# Settings that may differ between a run and the one that resumes it.
FREE_ON_RESUME = ("max_epochs", "n_threads", "progress", "callbacks", "checkpoint", "resume", "random_state")

NO_RUN = "holds no run that this version of shiftfix can go on from: take another copy, or start anew."


class Resumable(Protocol):
    """A run whose state can be taken and given."""

    def state_dict(self) -> dict[str, Any]:
        """All that changes while training."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""


def setting_text(value: Any) -> str:
    """A setting as text that is the same in another process: functions and classes by name, objects by their numbers.

    The layers of a torch module are told apart by those too; its parameters are not part of the text.
    """
    value = plain(value)
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {', '.join(map(setting_text, value))}"
    if isinstance(value, functools.partial):
        return f"partial({setting_text(value.func)}, {value.args!r}, {sorted(value.keywords.items())!r})"
    if not callable(value):
        return repr(value.tolist() if isinstance(value, np.ndarray) else value)
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    is_module = isinstance(value, torch.nn.Module)
    parts = [f"{setting_text(type(part))} {_numbers(part)}" for part in (value.modules() if is_module else [value])]
    if is_module:
        parts += [f"{name} {_shape(p)} {p.dtype} {p.requires_grad}" for name, p in value.named_parameters()]
    return "; ".join(parts)


def _shape(parameter: torch.nn.Parameter) -> tuple[int, ...] | None:
    """Shape of a parameter, None for one of a lazy layer."""
    return None if is_lazy(parameter) else tuple(parameter.shape)


def _numbers(value: Any) -> list[tuple[str, Any]]:
    """Attributes that are numbers, text or tuples of them, but for torch's note of the mode a module is in."""
    attributes = getattr(value, "__dict__", {})
    return sorted(
        (name, item)
        for name, item in attributes.items()
        if name != "training" and all(type(part) in PLAIN for part in (item if type(item) is tuple else (item,)))
    )


def holds_run(saved: Any) -> bool:
    """Whether content is that of a checkpoint, as far as it can be told before the run is made."""
    keys = {"fingerprint", "seeds", "run"}
    if type(saved) is not dict or set(saved) - {"processes"} != keys or type(saved["run"]) is not dict:
        return False
    return type(saved["run"].get("epoch")) is int and are_seeds(saved["seeds"])


def are_seeds(seeds: Any) -> bool:
    """Whether it is a dict of the seeds that a run draws."""
    if type(seeds) is not dict or set(seeds) != {"split", "dropout", "start", "order"}:
        return False
    lists = type(seeds["start"]) is list and type(seeds["order"]) is list
    return lists and all(
        type(seed) is int and 0 <= seed < 2**31
        for seed in (seeds["split"], seeds["dropout"], *seeds["start"], *seeds["order"])
    )


def saved_run(running: Running, max_epochs: int, seeds: dict[str, Any], n_processes: int = 1) -> dict[str, Any] | None:
    """The content of the checkpoint to resume from, or None for a fresh start.

    Raises
    ------
    ShiftDataError
        For a file that is there without ``resume``, holds more epochs than asked for, was written with other seeds, or
        by another number of processes.
    """
    if running.checkpoint is None or not os.path.exists(running.checkpoint):
        return None
    name = os.fspath(running.checkpoint)
    if not running.resume:
        raise ShiftDataError(f"{name!r} exists: pass resume=True to go on from it, or move it away.")
    saved = read(running.checkpoint, "checkpoint")
    if not holds_run(saved):
        raise ShiftDataError(f"{name!r} {NO_RUN}")
    if saved["run"]["epoch"] > max_epochs:
        raise ShiftDataError(
            f"{name!r} holds {saved['run']['epoch']} epochs, and max_epochs={max_epochs}: raise it to resume."
        )
    if saved.get("processes", 1) != n_processes:
        raise ShiftDataError(
            f"{name!r} was written by a training on {saved.get('processes', 1)} processes, and this one is on "
            f"{n_processes}: start as many to resume, or start anew."
        )
    if isinstance(running.random_state, int | np.integer) and saved["seeds"] != seeds:
        raise ShiftDataError(
            f"{name!r} was written with another random_state, or another n_models: pass the same ones to resume."
        )
    return saved


def fingerprint(settings: Mapping[str, Any], loss: Any, tensors: list[torch.Tensor]) -> str:
    """Digest of the settings, the parameters of a loss that has some, and the rows, which a resumed run must share."""
    texts = [[name, setting_text(value)] for name, value in sorted(settings.items()) if name not in FREE_ON_RESUME]
    more = list(loss.state_dict().values()) if isinstance(loss, torch.nn.Module) else []
    return digest(texts, [tensor.cpu() for tensor in (*tensors, *more)])


def go_on(run: Resumable, saved: dict[str, Any], mark: str, path: str | os.PathLike[str]) -> None:
    """Give a run the state of a checkpoint; raise ShiftDataError unless both have one fingerprint, and one form."""
    if saved["fingerprint"] != mark:
        raise ShiftDataError(
            f"{os.fspath(path)!r} was written with other settings or other rows: pass the same ones to resume, or "
            "another checkpoint to start anew."
        )
    try:
        run.load_state_dict(saved["run"])
    except Exception as error:  # what content that was made up raises is endless
        raise ShiftDataError(f"{os.fspath(path)!r} {NO_RUN}") from error


def checkpoint_writer(
    path: str | os.PathLike[str], mark: str, seeds: dict[str, Any], n_processes: int = 1
) -> Callable[[Resumable], None]:
    """Function that replaces the checkpoint by the state of a run."""
    several = {"processes": n_processes} if n_processes > 1 else {}

    def write(run: Resumable) -> None:
        content = {"fingerprint": mark, "seeds": seeds, "run": run.state_dict()} | several
        write_atomically(content, path, "checkpoint")

    return write
