"""Import skops, without the libraries of tensors that its import would bring.

skops asks scikit-learn for all of its estimators, and scikit-learn imports every package inside it in search of them,
those for torch and dask among its externals too, of which it then takes none: seconds and hundreds of megabytes.
"""

import pkgutil
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from shiftfix._setting_checks import import_optional

# Packages in which scikit-learn takes nothing for an estimator.
WITHOUT_ESTIMATORS = frozenset({"externals", "tests"})


def skops_io() -> Any:
    """The module ``skops.io``.

    Raises
    ------
    MissingDependencyError
        Without skops.
    """
    discovery = None if "skops.io" in sys.modules else _module("sklearn.utils.discovery")
    if getattr(discovery, "pkgutil", None) is not pkgutil:
        return import_optional("skops.io", "cli")
    import_optional("skops", "cli")
    # Whoever asks for the estimators meanwhile finds the same.
    vars(discovery)["pkgutil"] = SimpleNamespace(walk_packages=packages_with_estimators)
    try:
        return import_optional("skops.io", "cli")
    finally:
        vars(discovery)["pkgutil"] = pkgutil


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:  # another version of scikit-learn
        return None


def packages_with_estimators(path: Iterable[str], prefix: str) -> Iterator[pkgutil.ModuleInfo]:
    """As :func:`pkgutil.walk_packages`, but for what is inside packages without estimators."""
    for found in pkgutil.iter_modules(path, prefix):
        yield found
        if found.ispkg and found.name.rpartition(".")[2] not in WITHOUT_ESTIMATORS:
            package = _module(found.name)
            yield from packages_with_estimators(getattr(package, "__path__", []), found.name + ".")
