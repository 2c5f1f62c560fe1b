"""Table of the layers of any torch module: name, kind, shape of the output, parameters."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

HEAD = ("layer", "kind", "output", "parameters")
Line = tuple[str, str, str, str]


def describe(module: nn.Module, input_shape: tuple[int, ...] | Callable[[int], Any]) -> str:
    """Table of the layers of a module: name, kind, shape of the output, parameters.

    Parameters
    ----------
    module : torch.nn.Module
    input_shape : tuple of int or callable
        Of one row; or a function that runs the module on so many rows.

    Returns
    -------
    str
        Modules without children, and those with parameters of their own beside their children's, in the order in which
        they return first, n for the number of rows; at the end those that are never called but have parameters. The
        last line has the total, in which a parameter that two layers share counts once.
    """
    layers = _described_layers(module)
    if not callable(input_shape):
        input_shape = partial(_run_on_zeros, module, input_shape)
    two, three = (_output_shapes(module, layers, partial(input_shape, n_rows)) for n_rows in (2, 3))
    called = [_line(name, layers[name], _output_text(two[name], three[name])) for name in two]
    others = [_line(name, layer, "not called") for name, layer in layers.items() if name not in two and _n_own(layer)]
    total = sum(p.numel() for p in module.parameters())
    return _layer_table([HEAD, *called, *others], f"{total:,} parameters")


def _described_layers(module: nn.Module) -> dict[str, nn.Module]:
    """Modules without children, and those with parameters of their own, by name."""
    return {
        name or "module": layer
        for name, layer in module.named_modules()
        if not list(layer.children()) or list(layer.parameters(recurse=False))
    }


def _n_own(layer: nn.Module) -> int:
    """Number of a layer's parameters, without its children's."""
    return sum(p.numel() for p in layer.parameters(recurse=False))


def _line(name: str, layer: nn.Module, output: str) -> Line:
    return name, type(layer).__name__, output, f"{_n_own(layer):,}"


def _output_text(of_two: tuple[int, ...], of_three: tuple[int, ...]) -> str:
    """Shape of an output for n rows, from those for two and for three rows.

    The axis of the rows is the one that grows with them: by several for a row where others were merged in.
    """
    sizes = [(a, b - a) for a, b in zip(of_two, of_three, strict=True)]
    texts = [f"{growth if growth > 1 else ''}n" if growth else str(a) for a, growth in sizes]
    return f"({', '.join(texts)})"


def _layer_table(lines: list[Line], last: str) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    rows = ["  ".join((*(line[i].ljust(widths[i]) for i in range(3)), line[3].rjust(widths[3]))) for line in lines]
    rule = "-" * len(rows[0])
    return "\n".join([rows[0], rule, *rows[1:], rule, last])


def _run_on_zeros(module: nn.Module, row_shape: tuple[int, ...], n_rows: int) -> None:
    first = next(module.parameters(), torch.empty(0))
    rows = torch.zeros((n_rows, *row_shape), dtype=first.dtype, device=first.device)
    try:
        module(rows)
    except RuntimeError:
        module(rows.long())  # a layer that looks its rows up in a table takes whole numbers


@torch.no_grad()
def _output_shapes(
    module: nn.Module, layers: dict[str, nn.Module], run: Callable[[], Any]
) -> dict[str, tuple[int, ...]]:
    """Shape of each layer's first output tensor, in the order of the calls, when the module is run."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Callable[..., Any]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            while isinstance(output, tuple | list) and output:
                output = output[0]
            if isinstance(output, torch.Tensor):
                shapes.setdefault(name, tuple(output.shape))

        return hook

    handles = [layer.register_forward_hook(note(name)) for name, layer in layers.items()]
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
        for part, training in modes.items():
            part.training = training
    return shapes
