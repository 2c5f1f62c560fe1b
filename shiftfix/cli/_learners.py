"""The learners that the command line can train, by name."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from shiftfix.cli._exit import UsageError

FOREST_LEAF = 5
# Of all layers: more would not fit into the memory of a usual machine with what training adds.
MOST_WEIGHTS = 100_000_000
MOST_LAYERS = 100
LONGEST_QUOTE = 40  # characters


def make_learner(task: str, options: Mapping[str, Any]) -> Any:
    """Unfitted estimator for the task.

    Parameters
    ----------
    task : {"classification", "regression"}
    options : mapping
        With ``learner``, ``seed`` and, for "mlp", ``hidden``, ``epochs`` and ``dropout``.

    Returns
    -------
    estimator

    Raises
    ------
    UsageError
        For a learner that does not do the task.
    """
    makers = {"mlp": _network, "forest": _forest, "boosting": _boosting, "logistic": _linear, "linear": _linear}
    return makers[options["learner"]](task == "classification", options)


def _network(classifies: bool, options: Mapping[str, Any]) -> Any:
    from shiftfix.mlp import MLPClassifier, MLPRegressor

    settings = {"max_epochs": options["epochs"], "random_state": options["seed"]}
    if options["dropout"] is not None:
        settings["dropout"] = options["dropout"]
    return (MLPClassifier if classifies else MLPRegressor)(tuple(options["hidden"]), **settings)


def _forest(classifies: bool, options: Mapping[str, Any]) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    forest = RandomForestClassifier if classifies else RandomForestRegressor
    return forest(min_samples_leaf=FOREST_LEAF, random_state=options["seed"])


def _boosting(classifies: bool, options: Mapping[str, Any]) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    return (HistGradientBoostingClassifier if classifies else HistGradientBoostingRegressor)(
        random_state=options["seed"]
    )


def _linear(classifies: bool, options: Mapping[str, Any]) -> Any:
    """Logistic regression for classes, ridge for numbers."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    name = options["learner"]
    if classifies != (name == "logistic"):
        task, other = ("classification", "logistic") if classifies else ("regression", "linear")
        raise UsageError(f"--learner {name} does no {task}, which is the task here: pass --learner {other}.")
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000) if classifies else Ridge())


def hidden_sizes(text: str) -> list[int]:
    """Units of the hidden layers from "64,64".

    Raises
    ------
    UsageError
        For anything but whole numbers >= 1, and for more than a machine has memory for.
    """
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1:
        raise UsageError(f"--hidden {_cut(text)}: whole numbers >= 1 separated by commas are needed, such as 64,64.")
    check_hidden_weights(sizes, 1)
    return sizes


def check_hidden_weights(sizes: Sequence[int], n_features: int) -> None:
    """Raise UsageError for hidden layers that a machine has no memory for, with rows of so many features."""
    weights = sum(map(math.prod, itertools.pairwise([n_features, *sizes])))
    if len(sizes) > MOST_LAYERS or weights > MOST_WEIGHTS:
        raise UsageError(
            f"--hidden {_cut(','.join(map(str, sizes)))}: {len(sizes)} layers with {weights:,} weights, and at most "
            f"{MOST_LAYERS} with {MOST_WEIGHTS:,} are supported: take fewer or smaller ones, such as 256,256."
        )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}..."
