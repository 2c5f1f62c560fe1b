"""What ``import shiftfix`` gives, and what it leaves alone."""

import ast
import doctest
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import shiftfix

SUBPACKAGES = [
    "conformal",
    "corrected",
    "covariate",
    "datasets",
    "detect",
    "display",
    "label",
    "large",
    "mlp",
    "report",
    "risk",
    "simulate",
    "weights",
]
PACKAGE = Path(shiftfix.__file__).parent


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
def test_import_is_light():
    heavy = "('torch', 'matplotlib', 'sklearn', 'pandas', 'typer', 'dask')"
    assert run(f"import sys, shiftfix; print([m for m in {heavy} if m in sys.modules])") == "[]"


LIGHT = [name for name in SUBPACKAGES if name != "mlp"] + ["exceptions"]


@pytest.fixture(scope="module")
def loaded_by():
    """Heavy modules that each subpackage adds to those imported before it, in one process.

    What none adds, none needs: the first that loads a heavy module is named.
    """
    return json.loads(
        run(
            "import json, sys, shiftfix\n"
            "heavy, added = {'torch', 'matplotlib', 'dask'}, {}\n"
            f"for name in {LIGHT}:\n"
            "    before = heavy & set(sys.modules)\n"
            "    getattr(shiftfix, name)\n"
            "    added[name] = sorted(heavy & set(sys.modules) - before)\n"
            "print(json.dumps(added))"
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", LIGHT)
def test_only_mlp_loads_torch(loaded_by, name):
    assert loaded_by[name] == []


@pytest.mark.slow
def test_importing_everything_changes_nothing_global():
    code = (
        "import numpy as np, sklearn, torch, warnings\n"
        "state = lambda: (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), sklearn.get_config(),\n"
        "    list(warnings.filters), torch.get_num_threads(), torch.get_default_dtype(), np.geterr())\n"
        "import sklearn.linear_model, sklearn.ensemble, sklearn.frozen, sklearn.datasets, scipy.optimize, scipy.stats\n"
        "before = state()\n"
        "import shiftfix\n"
        f"[getattr(shiftfix, name) for name in {SUBPACKAGES}]\n"
        "print(state() == before)"
    )
    assert run(code) == "True"


def test_the_catalogue():
    assert [
        n for n in shiftfix.__all__ if n not in ("__version__", "exceptions", "load_model", "save_model")
    ] == SUBPACKAGES
    assert dir(shiftfix) == shiftfix.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        shiftfix.nothing  # noqa: B018


@pytest.mark.parametrize("name", SUBPACKAGES)
def test_every_public_name_is_there_documented_and_in_the_folders_table(name):
    module = getattr(shiftfix, name)
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        thing = getattr(module, public)
        assert inspect.getdoc(thing), public
        assert public in module.__doc__ or public in ("WeightSummary", "clip_threshold"), public
        if callable(thing) and not inspect.isclass(thing):
            assert "Parameters" in thing.__doc__ or not inspect.signature(thing).parameters, public


PUBLIC_MODULES = [m.name for m in pkgutil.walk_packages([str(PACKAGE)], "shiftfix.") if ".cli" not in m.name]


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_examples_in_docstrings_run(name):
    """Doctests print what they say; numpy 2 prints scalars with their type, so examples convert them."""
    module = importlib.import_module(name)
    with torch.random.fork_rng():  # a module of the reader's own starts from torch's global generator
        result = doctest.testmod(module, extraglobs=vars(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_file_touches_a_global_generator_or_filter(path):
    """No numpy.random.<function> but constructors, no torch.manual_seed, no warnings.filterwarnings at import."""
    allowed = {"default_rng", "Generator", "RandomState", "SeedSequence"}
    # And given back: tests/mlp/test_loop.py.
    borrowed = {"_devices.py": {"set_num_threads"}}.get(path.name, set())
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "random":
            assert node.attr in allowed | borrowed, f"{path}: random.{node.attr}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
            assert node.attr not in {"manual_seed", "seed", "set_num_threads", "set_default_dtype"} - borrowed, path
    for node in ast.parse(path.read_text()).body:
        assert not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)), f"{path}: call at import"


def test_no_seed_is_fixed_inside():
    """random_state=None gives fresh entropy: two simulated problems differ."""
    first, second = (shiftfix.simulate.gaussian_covariate_shift(5, 5) for _ in range(2))
    assert not np.array_equal(first.X_source, second.X_source)
