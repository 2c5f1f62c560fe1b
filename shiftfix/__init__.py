"""shiftfix: repair models under distribution shift.

A model was trained on one population (the source) and is used on another (the target).

=================  ============================================================================
``weights``        what a weight vector is worth: clip, normalise, temper, effective size, verdict
``covariate``      importance weights when p(x) moves
``label``          target class priors when p(y) moves
``mlp``            weighted training of dropout-regularised multilayer perceptrons on PyTorch
``risk``           losses of a model, row by row
``conformal``      prediction sets that keep their coverage on the target
``report``         the record of a run: what was found, done and advised
``corrected``      a weighter or a prior with any estimator, as scikit-learn meta-estimators
``display``        plots: weights, overlap, balance
``simulate``       shifts with a known answer
``datasets``       find, verify and read the data sets with a card
``large``          the same answers from data that do not fit in memory, or lie on a cluster
=================  ============================================================================

``save_model`` writes a fitted model, and ``load_model`` reads it, without executing anything.

Subpackages load on first use, so that ``import shiftfix`` is cheap and loads no torch.
"""

import importlib
from importlib.metadata import version as _version
from typing import Any

__version__ = _version("shiftfix")

__all__ = [
    "__version__",
    "conformal",
    "corrected",
    "covariate",
    "datasets",
    "detect",
    "display",
    "exceptions",
    "label",
    "large",
    "load_model",
    "mlp",
    "report",
    "risk",
    "save_model",
    "simulate",
    "weights",
]


def __getattr__(name: str) -> Any:
    if name in ("load_model", "save_model"):
        return getattr(importlib.import_module("shiftfix._model_files"), name)
    if name in __all__:
        return importlib.import_module(f"shiftfix.{name}")
    raise AttributeError(f"module 'shiftfix' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
