"""Settings stand once: declared in one concern, stored untouched, checked by what stands beside their type."""

import ast
import copy
import functools
import inspect
import pickle
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from sklearn.base import clone
from torch import nn

import shiftfix
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor, WeightedTrainer, _settings
from shiftfix.mlp._mlp import BaseMLP
from shiftfix.mlp._network._initializers import CONSTANTS, RANDOM
from shiftfix.mlp._network._module import ACTIVATIONS
from shiftfix.mlp._settings import Concern, Network, Penalties, Steps, Stopping, Training, check_fields, part_of
from shiftfix.mlp._training._losses import CLASSIFICATION_LOSSES, REGRESSION_LOSSES
from shiftfix.mlp._training._optimizers import OPTIMIZERS
from shiftfix.mlp._training._run import PRECISIONS

NET = nn.utils.skip_init(nn.Linear, 3, 2)  # torch's own start would draw from its global generator
nn.init.ones_(NET.weight)
nn.init.zeros_(NET.bias)
MAKE = {
    "classifier": MLPClassifier,
    "regressor": MLPRegressor,
    "trainer": functools.partial(WeightedTrainer, NET),
}
kinds = pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in MAKE.items()])
CONCERNS = [item for item in vars(_settings).values() if isinstance(item, type) and issubclass(item, Concern)]


def class_of(make):
    return type(make())


def parameters(make):
    return inspect.signature(class_of(make)).parameters


# ---------------------------------------------------------------------------------- one place


@kinds
def test_a_parameter_is_declared_in_exactly_one_place(make):
    """A concern declares it. The networks give five of them defaults of their own, and the classifier two more, which
    is all they may."""
    declared = [
        (name, base)
        for base in class_of(make).__mro__
        if issubclass(base, Concern)
        for name, kind in vars(base).get("__annotations__", {}).items()
        if "ClassVar" not in str(kind)
    ]
    own = ("learning_rate", "batch_size", "max_epochs", "validation_fraction", "patience")
    again = {("dropout", MLPClassifier), ("loss", MLPClassifier), *((name, BaseMLP) for name in own)}
    concerns = [(name, base) for name, base in declared if (name, base) not in again]
    assert sorted(name for name, _ in concerns) == sorted(parameters(make))
    assert all(base in CONCERNS for _, base in concerns)


def test_no_two_concerns_declare_one_parameter():
    """But for the loss, which a trainer of any module takes by position and from both tables."""
    names = [name for concern in CONCERNS for name in vars(concern).get("__annotations__", {})]
    assert sorted(name for name in set(names) if names.count(name) > 1) == ["loss"]


@pytest.mark.slow
def test_no_constructor_is_written_out():
    for kind in (MLPClassifier, MLPRegressor, WeightedTrainer):
        assert not any("__init__" in inspect.getsource(base) for base in kind.__mro__ if "shiftfix" in base.__module__)


def test_names_are_those_of_the_tables():
    for names, table in [
        (_settings.Activation, ACTIVATIONS),
        (_settings.OptimizerName, OPTIMIZERS),
        (_settings.RandomStart, RANDOM),
        (_settings.ConstantStart, CONSTANTS),
        (_settings.ClassLoss, CLASSIFICATION_LOSSES),
        (_settings.NumberLoss, REGRESSION_LOSSES),
        (_settings.Precision, PRECISIONS),
    ]:
        assert get_args(names) == tuple(table)


def test_a_part_has_the_settings_of_its_concern_and_no_other():
    model = MLPClassifier((3, 2), optimizer="sgd", patience=3, l1=0.5)
    assert vars(part_of(model, Network)) == {
        name: getattr(model, name) for name in (item.name for item in fields(Network))
    }
    assert part_of(model, Steps).optimizer == "sgd"
    assert part_of(model, Stopping).patience == 3
    assert part_of(part_of(model, Training), Penalties).l1 == 0.5
    assert not hasattr(part_of(model, Steps), "patience")


# ---------------------------------------------------------------------------------- scikit-learn's rules


@kinds
def test_the_constructor_stores_what_it_is_given(make):
    """Any objects at all: none is checked, copied or replaced."""
    given = {name: object() for name in parameters(make)}
    model = class_of(make)(**given)
    assert vars(model) == given
    assert model.get_params(deep=False) == given


@kinds
def test_the_first_parameters_go_by_position_and_the_others_by_name(make):
    positional = [p for p in parameters(make).values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    values = [object() for _ in positional]
    model = class_of(make)(*values)
    assert [getattr(model, p.name) for p in positional] == values
    with pytest.raises(TypeError, match="positional argument"):
        class_of(make)(*values, "sgd")


@kinds
def test_clone_set_params_repr_and_pickle(make):
    model = make(learning_rate=0.5, patience=3, random_state=0)
    assert model.set_params(l2=0.25) is model
    changed = {"learning_rate": 0.5, "patience": 3, "random_state": 0, "l2": 0.25}
    assert all(f"{name}={value}" in repr(model) for name, value in changed.items())
    assert "optimizer" not in repr(model)  # only what differs from the defaults
    for other in (clone(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(other) is type(model)
        assert repr(other) == repr(model)
        settings = other.get_params(deep=False)
        assert {name: settings[name] for name in changed} == changed
        assert settings.keys() == model.get_params(deep=False).keys()
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        model.set_params(depth=3)
    with pytest.raises(TypeError, match="depth"):
        make(depth=3)


def test_a_subclass_may_write_a_constructor_of_its_own():
    class Small(MLPClassifier):
        def __init__(self, width=4):
            super().__init__((width,), max_epochs=2, random_state=0)
            self.width = width

    model = clone(Small(5)).fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    assert model.get_params() == {"width": 5}
    assert [layer.out_features for layer in model.module_ if isinstance(layer, nn.Linear)] == [5, 2]


# ---------------------------------------------------------------------------------- checks


@kinds
def test_the_defaults_pass_their_checks(make):
    check_fields(make())


@pytest.mark.parametrize(
    "wrong",
    [
        {"activation": "softmax"},
        {"initializer": True},
        {"input_dropout": 1.0},
        {"input_noise": np.inf},
        {"batch_norm": 1},
        {"label_smoothing": -0.1},
        {"optimizer": "newton"},
        {"learning_rate": 0},
        {"warmup": -1},
        {"batch_size": 0},
        {"max_epochs": 1.5},
        {"early_stopping": None},
        {"validation_fraction": 1},
        {"patience": True},
        {"weighting": "both"},
        {"exponent": 1.1},
        {"clip": "big"},
        {"l1": -1},
        {"decoupled": "no"},
        {"max_norm": 0},
        {"n_models": 0},
        {"standardize": "yes"},
        {"precision": "float16"},
        {"n_threads": 0},
    ],
    ids=str,
)
def test_a_check_names_its_parameter(wrong):
    (name,) = wrong
    with pytest.raises(ShiftDataError, match=f"^{name}="):
        check_fields(MLPClassifier(**wrong))


@pytest.mark.slow
def test_weights_are_checked_once(monkeypatch):
    """At the door of ``fit``, whatever the settings; once more for the weights of an eval_set."""
    calls = []
    check = shiftfix._validation.check_weights
    monkeypatch.setattr(
        shiftfix._validation, "check_weights", lambda *args, **kw: calls.append(1) or check(*args, **kw)
    )
    for module in ("_transform", "_effective_size", "_pareto"):
        part = getattr(shiftfix.weights, module)
        monkeypatch.setattr(part, "check_weights", lambda *args, **kw: calls.append(1) or check(*args, **kw))
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(60, 3)), rng.uniform(1, 2, 60)
    y = (X[:, 0] > 0).astype(int)
    model = MLPClassifier((4,), max_epochs=2, clip="sqrt", exponent=0.5, class_weight="balanced", random_state=0)
    model.fit(X, y, sample_weight=w)
    assert len(calls) == 1
    model.fit(X, y, sample_weight=w, eval_set=(X, y, w))
    assert len(calls) == 3
    clone(model).set_params(class_weight=None).partial_fit(X, y, [0, 1], w)
    assert len(calls) == 4
    WeightedTrainer(NET, max_epochs=2, clip="sqrt", random_state=0).fit(X, y, sample_weight=w)
    assert len(calls) == 5


@pytest.mark.slow
def test_a_learned_attribute_has_one_writer():
    """Found in the text: ``self.name_ = ...`` once over all files, and not before the run has ended."""
    written = [
        node.attr
        for path in Path(_settings.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if node.attr.endswith("_") or node.attr in MLPClassifier._saved_private + MLPRegressor._saved_private
    ]
    assert {"module_", "history_", "classes_", "scaler_", "effective_sample_size_", "_training_state"} < set(written)
    # One for each estimator, and that of a file that is read.
    twice = {"_n_outputs", "module_"}
    assert {name for name in written if written.count(name) > 1} == twice


# ---------------------------------------------------------------------------------- words


def described(doc, section):
    """Names under a heading of a numpydoc docstring, with what follows their colon."""
    # Cleaned, as Python 3.13 does by itself.
    lines = re.search(rf"^{section}\n-+\n(.*?)(?:\n\n|\Z)", inspect.cleandoc(doc), re.DOTALL | re.MULTILINE)[1].split(
        "\n"
    )
    entries = [line.strip() for line in lines if re.match(r"\S", line)]
    return {
        name: kind for names, _, kind in (entry.partition(" : ") for entry in entries) for name in names.split(", ")
    }


@kinds
def test_every_parameter_is_documented_with_its_default_in_order(make):
    found = described(class_of(make).__doc__, "Parameters")
    assert list(found) == list(parameters(make))
    for name, parameter in parameters(make).items():
        if parameter.default is not parameter.empty:
            stated = re.search(r"default=(.*)$", found[name])[1]
            assert eval(stated) == parameter.default, name


@kinds
def test_every_learned_attribute_is_documented(make, rng):
    X, y = rng.normal(size=(40, 3)).astype(np.float32), np.arange(40) % 2
    settings = {"loss": "squared_error"} if class_of(make) is MLPRegressor else {}
    model = make(max_epochs=1, random_state=0, **settings).fit(X, y)
    documented = described(class_of(make).__doc__, "Attributes")
    learned = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    assert learned == set(documented) - {"feature_names_in_"}


def test_docstrings_are_written_out():
    """So that an editor, a search and a reader of the file find them whole."""
    for kind in (MLPClassifier, MLPRegressor, WeightedTrainer):
        # What the compiler and ``inspect`` clean may differ in is white space.
        squeezed = lambda text: re.sub(r"\s+", " ", text.replace("\\", ""))  # noqa: E731
        assert squeezed(kind.__doc__) in squeezed(inspect.getsource(kind))
