"""Settings that a layer has to itself: one value for all layers, or a list with one for each."""

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from shiftfix._door import plain
from shiftfix._setting_checks import check_count
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._settings import Network, check_fields, deviation, each, is_several, layer_sizes, rate


def per_layer(values: Any, n_layers: int) -> list[Any]:
    """A checked setting for each of the hidden layers, from one for all or from as many as there are."""
    return [plain(value) for value in values] if is_several(values) else [plain(values)] * n_layers


def layer_starts(network: Network) -> list[Any]:
    """The initializer of each linear layer, the output layer's last: where none is given for it, the one before."""
    n_layers = len(layer_sizes(network))
    starts = per_layer(network.initializer, n_layers + 1)
    return starts if len(starts) > n_layers else [*starts, starts[-1] if starts else "auto"]


def check_per_layer(values: Any, name: str, n_layers: int, what: str, check: Callable[..., Any] | None = None) -> None:
    """Raise ShiftDataError unless it is one value for all, or one for each of the hidden layers."""
    if is_several(values) and len(values) != n_layers:
        raise ShiftDataError(
            f"{name}={values!r}: {what}, or one for each of the {n_layers} hidden layers, is needed, and there are "
            f"{len(values)}."
        )
    if check is not None:
        each(check)(values, name)


def check_layers(network: Network, n_layers: int) -> None:
    """Raise ShiftDataError for settings of a layer that are too many, too few or out of range."""
    check_per_layer(network.activation, "activation", n_layers, "a name")
    if not (is_several(network.initializer) and len(network.initializer) == n_layers + 1):
        check_per_layer(network.initializer, "initializer", n_layers, "one for all (or one more for the output layer)")
    check_dropout(network.dropout, n_layers)
    check_per_layer(network.hidden_noise, "hidden_noise", n_layers, "a standard deviation", deviation)


def check_dropout(rates: Any, n_layers: int) -> None:
    """Raise ShiftDataError unless it is a rate, or one for each of the hidden layers."""
    if isinstance(rates, numbers.Real):
        return rate(rates, "dropout")
    if not isinstance(rates, tuple | list | np.ndarray) or len(rates) != n_layers:
        raise ShiftDataError(
            f"dropout={rates!r}: a rate, or one rate for each of the {n_layers} hidden layers, is needed."
        )
    for one in rates:
        rate(one, "dropout")


def check_network(network: Network) -> None:
    """Raise ShiftDataError for layers, or a setting for each of them, that cannot be."""
    sizes = layer_sizes(network)
    for size in sizes:
        check_count(size, "hidden_layer_sizes")
    check_fields(network)
    check_layers(network, len(sizes))
