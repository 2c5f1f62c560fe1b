"""Values that a preset gives to settings left at their defaults."""

from collections.abc import Mapping
from typing import Any

_TABULAR: dict[str, Any] = {
    "batch_size": 256,
    "hidden_layer_sizes": (64, 64, 64),
    "schedule": "cosine_log",
    "n_models": 8,
    "validation_fraction": 0.1,
}
# By preset: of the classifier, then of the regressor. Label smoothing keeps classes that are nearly separated from
# pulling at the weights to the end; what it does to the probabilities the temperature takes back.
CLASS_PRESETS: dict[str, Mapping[str, Any]] = {
    "tabular": _TABULAR
    | {
        "activation": "selu",
        "dropout": 0.15,
        "label_smoothing": 0.1,
        "learning_rate": 0.04,
        "max_epochs": 160,
        "patience": 160,
    },
}
NUMBER_PRESETS: dict[str, Mapping[str, Any]] = {
    "tabular": _TABULAR | {"activation": "gelu", "learning_rate": 0.1, "max_epochs": 192, "patience": 192},
}


def preset_values(presets: Mapping[str, Mapping[str, Any]], preset: object) -> Mapping[str, Any]:
    """Values by the names of the settings; none for what is no preset, which the check of the settings refuses."""
    return presets.get(preset, {}) if isinstance(preset, str) else {}
