"""Run the recipe on a data set's card: rows in, shifted samples out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from shiftfix._door import public
from shiftfix._setting_checks import check_generator, check_option
from shiftfix._validation import check_labels
from shiftfix._values import as_array
from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate._label import dirichlet_prior, knock_out_prior, label_shift, tweak_one_prior
from shiftfix.simulate._problem import ShiftProblem
from shiftfix.simulate._tilt import exponential_tilt

RECIPE_KEYS = {"simulator", "features", "parameters"}


def _prior(value: ArrayLike | dict[str, Any], name: str, n_classes: int, generator: np.random.Generator) -> ArrayLike:
    """A vector of probabilities from itself or from the table of a protocol."""
    if not isinstance(value, dict):
        return value
    settings = dict(value)
    protocol = check_option(settings.pop("protocol", None), f"{name}.protocol", ["tweak_one", "knock_out", "dirichlet"])
    try:
        if protocol == "tweak_one":
            return tweak_one_prior(n_classes, **settings)
        if protocol == "knock_out":
            return knock_out_prior(n_classes, **settings)
        return dirichlet_prior(n_classes, random_state=generator, **settings)
    except TypeError as error:
        raise ShiftDataError(f"the recipe's {name} does not fit the protocol {protocol!r} ({error}).") from error


def _named_positions(features: Sequence[Any], names: list[str]) -> list[int]:
    missing = [feature for feature in features if feature not in names]
    if missing:
        raise ShiftDataError(
            f"the recipe names the features {missing}, and feature_names has {names or 'none'}: pass the "
            "feature_names of the data set."
        )
    return [names.index(feature) for feature in features]


def _positions(features: Sequence[Any], n_features: int, feature_names: Sequence[str] | None) -> list[int]:
    """Column positions of the names or positions in a recipe."""
    if any(isinstance(feature, str) for feature in features):
        return _named_positions(features, [] if feature_names is None else [str(name) for name in feature_names])
    if any(not 0 <= feature < n_features for feature in features):
        raise ShiftDataError(f"the recipe asks for the columns {features} of {n_features}: positions start at 0.")
    return list(features)


def _check_recipe(recipe: Any) -> None:
    if not isinstance(recipe, dict) or set(recipe) - RECIPE_KEYS or "simulator" not in recipe:
        found = sorted(recipe) if isinstance(recipe, dict) else type(recipe).__name__
        raise ShiftDataError(f"the recipe has {found}: a dict with simulator, parameters and maybe features is needed.")


def _drawn_priors(parameters: dict[str, Any], n_classes: int, generator: np.random.Generator) -> dict[str, Any]:
    """The priors that a recipe gives, drawn where it says how to draw them."""
    given = [name for name in ("source_prior", "target_prior") if name in parameters]
    return {name: _prior(parameters[name], name, n_classes, generator) for name in given}


@public
def from_recipe(
    X: ArrayLike,
    y: ArrayLike,
    recipe: dict[str, Any],
    *,
    feature_names: Sequence[str] | None = None,
    random_state: int | np.random.Generator | np.random.RandomState | None = None,
) -> ShiftProblem:
    """Make the shifted samples a recipe describes.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
    y : array-like of shape (n_rows,)
    recipe : dict
        ``simulator``: "exponential_tilt" or "label_shift". ``parameters``: its keyword arguments, without
        the random state. ``features``, optional: names or positions of the columns to keep, in the order
        of ``beta``; the shift stays a covariate shift in the kept columns because it is made from them. A
        prior may be a list or a table with ``protocol`` "tweak_one" (index, probability), "knock_out"
        (index, fraction_removed) or "dirichlet" (alpha).
    feature_names : sequence of str, default=None
        Names of the columns of X; needed when the recipe uses names.
    random_state : int, RandomState, Generator or None, default=None

    Returns
    -------
    ShiftProblem
        With the kept columns only.

    Raises
    ------
    ShiftDataError
        For an unknown simulator, key, parameter or feature, and whatever the simulator raises.

    See Also
    --------
    shiftfix.datasets.load : The data, after checking the files.
    label_shift : Real rows drawn class by class.
    exponential_tilt : Real rows drawn in proportion to exp(x'beta).

    Examples
    --------
    >>> recipe = {"simulator": "exponential_tilt", "features": ["a"], "parameters": {"beta": [0.5]}}
    >>> X = np.random.default_rng(0).normal(size=(20, 2))
    >>> from_recipe(X, X[:, 0], recipe, feature_names=["a", "b"], random_state=0).X_source.shape
    (10, 1)
    """
    _check_recipe(recipe)
    simulator = check_option(recipe["simulator"], "simulator", ["exponential_tilt", "label_shift"])
    parameters = dict(recipe.get("parameters", {}))
    if "random_state" in parameters:
        raise ShiftDataError("the recipe fixes random_state: pass it to from_recipe instead.")
    generator = check_generator(random_state)
    X, y = as_array(X, "X"), as_array(y, "y")
    if X.ndim != 2:
        raise ShiftDataError(f"X has shape {X.shape}, and a 2D array (n_rows, n_features) is needed.")
    if "features" in recipe:
        X = X[:, _positions(recipe["features"], X.shape[1], feature_names)]
    if simulator == "label_shift":
        parameters |= _drawn_priors(parameters, np.unique(check_labels(y, "y")).size, generator)
    simulate = exponential_tilt if simulator == "exponential_tilt" else label_shift
    try:
        return simulate(X, y, **parameters, random_state=generator)
    except TypeError as error:
        raise ShiftDataError(f"the recipe's parameters do not fit {simulator} ({error}).") from error
