"""Values that a preset gives to settings left at their defaults."""

from collections.abc import Mapping
from typing import Any

_TABULAR: dict[str, Any] = {
    "hidden_layer_sizes": (64, 64, 64),
    "dropout": 0.0,
    "schedule": "cosine_log",
    "max_epochs": 128,
    "patience": 128,
    "n_models": 8,
}
# By preset: of the classifier, then of the regressor.
CLASS_PRESETS: dict[str, Mapping[str, Any]] = {
    "tabular": _TABULAR | {"activation": "selu", "learning_rate": 0.04},
}
NUMBER_PRESETS: dict[str, Mapping[str, Any]] = {
    "tabular": _TABULAR | {"activation": "selu", "learning_rate": 0.07},
}


def preset_values(presets: Mapping[str, Mapping[str, Any]], preset: object) -> Mapping[str, Any]:
    """Values by the names of the settings; none for what is no preset, which the check of the settings refuses."""
    return presets.get(preset, {}) if isinstance(preset, str) else {}
