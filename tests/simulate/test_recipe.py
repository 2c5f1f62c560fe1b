import numpy as np
import pytest

from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate import exponential_tilt, from_recipe, label_shift, tweak_one_prior

X = np.random.default_rng(0).normal(size=(60, 3))
y = np.repeat([0, 1, 2], 20)
TILT = {"simulator": "exponential_tilt", "features": ["c", "a"], "parameters": {"beta": [1.0, -1.0]}}


def test_a_tilt_by_names_is_the_call_on_those_columns():
    found = from_recipe(X, y, TILT, feature_names=["a", "b", "c"], random_state=5)
    truth = exponential_tilt(X[:, [2, 0]], y, [1.0, -1.0], random_state=np.random.default_rng(5))
    assert np.array_equal(found.X_target, truth.X_target)
    assert np.array_equal(found.source_weights, truth.source_weights)
    assert TILT["parameters"] == {"beta": [1.0, -1.0]}


def test_a_label_shift_by_protocol_is_the_call_with_that_prior():
    recipe = {
        "simulator": "label_shift",
        "parameters": {
            "n_target": 10,
            "target_prior": {"protocol": "tweak_one", "index": 1, "probability": 0.8},
        },
    }
    found = from_recipe(X, y, recipe, random_state=5)
    truth = label_shift(X, y, tweak_one_prior(3, 1, 0.8), n_target=10, random_state=np.random.default_rng(5))
    assert np.array_equal(found.X_target, truth.X_target)
    assert "protocol" in recipe["parameters"]["target_prior"]


@pytest.mark.parametrize(
    "prior",
    [
        [0.2, 0.3, 0.5],
        {"protocol": "knock_out", "index": 0, "fraction_removed": 0.5},
        {"protocol": "dirichlet", "alpha": 2.0},
    ],
)
def test_other_priors(prior):
    recipe = {"simulator": "label_shift", "parameters": {"n_target": 10, "target_prior": prior}}
    assert len(from_recipe(X, y, recipe, random_state=0).y_target) == 10


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (None, "NoneType"),
        ({"parameters": {}}, "simulator"),
        ({**TILT, "seed": 1}, "seed"),
        ({"simulator": "concept_shift"}, "'concept_shift'"),
        ({**TILT, "features": ["a", "z"]}, r"\['z'\]"),
        ({**TILT, "features": [0, 7]}, "of 3"),
        ({**TILT, "parameters": {"gamma": 1}}, "do not fit exponential_tilt"),
        ({**TILT, "parameters": {"random_state": 1}}, "random_state"),
        ({"simulator": "label_shift", "parameters": {"target_prior": {"alpha": 1}}}, "protocol"),
        (
            {
                "simulator": "label_shift",
                "parameters": {"target_prior": {"protocol": "tweak_one", "alpha": 1}},
            },
            "does not fit the protocol",
        ),
    ],
)
def test_bad_recipes_are_named(recipe, message):
    with pytest.raises(ShiftDataError, match=message):
        from_recipe(X, y, recipe, feature_names=["a", "b", "c"])
