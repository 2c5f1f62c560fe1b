"""What callers may write: the names, order, kinds and defaults of the public surface, as a table beside this file.

A change here is a change for users. Defaults stand as JSON has them, so a tuple as a list.
"""

import inspect
import json
import typing
from pathlib import Path

import pytest

from shiftfix import mlp

SIGNATURES = json.loads((Path(__file__).parent / "signatures.json").read_text())


def named(name):
    thing = mlp
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


def as_json(parameter):
    default = parameter.default
    default = list(default) if isinstance(default, tuple) else default
    return [parameter.name, parameter.kind.name] + ([] if default is parameter.empty else [default])


@pytest.mark.parametrize("name", SIGNATURES)
def test_names_order_kinds_and_defaults(name):
    found = [as_json(parameter) for parameter in inspect.signature(named(name)).parameters.values()]
    assert found == SIGNATURES[name]
    # 0 == 0.0 == False
    types = lambda table: [[type(value) for value in row] for row in table]  # noqa: E731
    assert types(found) == types(SIGNATURES[name])


def test_the_table_holds_every_public_name():
    assert {name for name in SIGNATURES if "." not in name} == set(mlp.__all__)
    for kind in (mlp.MLPClassifier, mlp.MLPRegressor, mlp.WeightedTrainer):
        ours = [base for base in kind.__mro__ if base.__module__.startswith("shiftfix")]
        methods = {name for base in ours for name, item in vars(base).items() if inspect.isroutine(item)}
        methods |= {name for base in ours for name, item in vars(base).items() if isinstance(item, classmethod)}
        # Those that are there for some losses only.
        methods |= {
            name
            for base in ours
            for name, item in vars(base).items()
            if hasattr(type(item), "__get__") and hasattr(item, "fn")
        }
        public = {name for name in methods if not name.startswith(("_", "set_"))}
        assert public == {name.partition(".")[2] for name in SIGNATURES if name.startswith(f"{kind.__name__}.")}


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_argument_and_result_is_annotated(name):
    signature = inspect.signature(named(name))
    for parameter in signature.parameters.values():
        if parameter.name != "self":
            assert parameter.annotation is not parameter.empty, parameter.name
            assert typing.get_origin(parameter.annotation) is not typing.Annotated, parameter.name  # none of our checks
    assert inspect.isclass(named(name)) or signature.return_annotation is not signature.empty
