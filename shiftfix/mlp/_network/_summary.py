"""Table of the layers of any torch module: name, kind, shape of the output, parameters."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import nn

HEAD = ("layer", "kind", "output", "parameters")
Line = tuple[str, str, str, str]
# Of an output: the size of each axis for two rows, and its growth with a row more.
Axes: TypeAlias = list[tuple[int, int]]


def describe(
    module: nn.Module,
    input_shape: tuple[int, ...] | Callable[[int], Any],
    n_rows: int | None = None,
    *,
    sizes: bool = False,
) -> str:
    """Table of the layers of a module: name, kind, shape of the output, parameters.

    Parameters
    ----------
    module : torch.nn.Module
    input_shape : tuple of int or callable
        Of one row; or a function that runs the module on so many rows.
    n_rows : int or None, default=None
        Rows of a batch, for the shapes; None writes n.
    sizes : bool, default=False
        Whether to tell trained and frozen parameters apart, and the memory of parameters and outputs.

    Returns
    -------
    str
        Modules without children, and those with parameters of their own beside their children's, in the order in which
        they return first, n for the number of rows; at the end those that are never called but have parameters. The
        next line has the total, in which a parameter that two layers share counts once.
    """
    layers = _described_layers(module)
    if not callable(input_shape):
        input_shape = partial(_run_on_zeros, module, input_shape)
    two, three = (_output_shapes(module, layers, partial(input_shape, count)) for count in (2, 3))
    shapes = {name: _growing(two[name], three[name]) for name in two}
    called = [_line(name, layers[name], _output_text(shape, n_rows)) for name, shape in shapes.items()]
    others = [_line(name, layer, "not called") for name, layer in layers.items() if name not in two and _n_own(layer)]
    table = _layer_table([HEAD, *called, *others], f"{sum(p.numel() for p in module.parameters()):,} parameters")
    return "\n".join([table, *_size_lines(module, list(shapes.values()), n_rows)]) if sizes else table


def _size_lines(module: nn.Module, shapes: list[Axes], n_rows: int | None) -> list[str]:
    """Lines of trained and frozen parameters, and of the memory of all of them and of the outputs."""
    counts = [sum(p.numel() for p in module.parameters() if p.requires_grad is trained) for trained in (True, False)]
    held = sum(p.nbytes for p in (*module.parameters(), *module.buffers()))
    width = max((p.element_size() for p in module.parameters() if p.is_floating_point()), default=4)
    outputs = width * sum(math.prod(_sizes_at(shape, n_rows or 1)) for shape in shapes)
    batch = "a row" if n_rows is None else f"a batch of {n_rows:,} rows"
    return [
        f"{counts[0]:,} trained, {counts[1]:,} frozen",
        f"{held / 1e6:.3g} MB of parameters and averages, {outputs / 1e6:.3g} MB of outputs of all layers for {batch}",
    ]


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


def _growing(of_two: tuple[int, ...], of_three: tuple[int, ...]) -> Axes:
    """Size of each axis for two rows, and by how much it grows with one more.

    The axis of the rows is the one that grows with them: by several for a row where others were merged in.
    """
    return [(a, b - a) for a, b in zip(of_two, of_three, strict=True)]


def _sizes_at(shape: Axes, n_rows: int) -> list[int]:
    """Sizes of the axes for so many rows."""
    return [a + (n_rows - 2) * growth for a, growth in shape]


def _output_text(shape: Axes, n_rows: int | None) -> str:
    """Shape of an output, for n rows or for so many."""
    if n_rows is None:
        texts = [f"{growth if growth > 1 else ''}n" if growth else str(a) for a, growth in shape]
    else:
        texts = [str(size) for size in _sizes_at(shape, n_rows)]
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
