"""Decision trees from files: compiled code goes from row to row of their tables without a look at where they lead.

A row names its two children, which scikit-learn numbers after it, and the column it asks for: no child beyond the
table, no way back, and no column that the model does not have.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from shiftfix._archive import ForeignError

TREE = "sklearn.tree._tree.Tree"
TREE_PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
FORESTS = (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
BOOSTERS = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)


def need(holds: bool) -> None:
    """Raise ForeignError unless it holds."""
    if not holds:
        raise ForeignError("a decision tree leads nowhere")


def check_rows(
    left: NDArray[Any], right: NDArray[Any], columns: NDArray[Any], inner: NDArray[np.bool_], most: int
) -> None:
    """Raise unless the children of inner rows stand after them in the table, and their columns are below ``most``."""
    own, n_rows = np.flatnonzero(inner), len(inner)
    for children in (left[inner].astype(np.int64), right[inner].astype(np.int64)):
        need(bool(((children > own) & (children < n_rows)).all()))
    asked = columns[inner]
    need(bool(((asked >= 0) & (asked < most)).all()))


def check_tree(
    n_features: Any,
    n_classes: NDArray[Any],
    n_outputs: Any,
    nodes: NDArray[Any],
    values: NDArray[Any],
    counts: tuple[Any, Any],
) -> None:
    """Raise ForeignError unless the parts of a ``Tree`` fit together.

    Parameters
    ----------
    n_features : int
    n_classes : ndarray of int of shape (n_outputs,)
    n_outputs : int
    nodes : ndarray of records of shape (n_nodes,)
    values : ndarray of shape (n_nodes, n_outputs, max(n_classes))
    counts : tuple of int
        Number of nodes and depth, as the tree says.
    """
    need(all(type(number) is int for number in (n_features, n_outputs, *counts)))
    need(n_features > 0 and nodes.ndim == 1 and counts[0] == len(nodes) > 0 and 0 <= counts[1] <= len(nodes))
    need(
        n_classes.dtype == np.intp and n_classes.shape == (n_outputs,) and n_outputs > 0 and bool((n_classes > 0).all())
    )
    need(values.shape == (len(nodes), n_outputs, int(n_classes.max())))
    inner = nodes["left_child"] != -1
    check_rows(nodes["left_child"], nodes["right_child"], nodes["feature"], inner, n_features)


def check_predictor(parts: dict[str, NDArray[Any]]) -> None:
    """Raise ForeignError unless the parts of a ``TreePredictor`` fit together, but for its columns."""
    need(set(parts) == {"nodes", "binned_left_cat_bitsets", "raw_left_cat_bitsets"})
    nodes = parts.pop("nodes")
    need(nodes.ndim == 1 and len(nodes) > 0)
    inner = nodes["is_leaf"] == 0
    check_rows(nodes["left"], nodes["right"], nodes["feature_idx"], inner, 2**31)
    by_category = nodes["bitset_idx"][inner & (nodes["is_categorical"] != 0)]
    for bitsets in parts.values():
        need(bitsets.dtype == np.uint32 and bitsets.ndim == 2 and bitsets.shape[1] == 8)
        need(bool((by_category < len(bitsets)).all()))


def parts_of(model: Any) -> Iterator[Any]:
    """A model and all objects in it, each once."""
    waiting, seen = [model], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list | tuple | set):
            waiting += part
        elif isinstance(part, np.ndarray):
            waiting += part.ravel().tolist() if part.dtype == object else []
        else:
            waiting += getattr(part, "__dict__", {}).values()


def check_columns(model: Any) -> None:
    """Raise ForeignError unless all trees in a model ask for columns that the estimators around them have."""
    for part in parts_of(model):
        if hasattr(part, "tree_"):
            need(part.tree_.n_features == part.n_features_in_)
        if isinstance(part, FORESTS) and hasattr(part, "estimators_"):
            members = np.ravel(np.array(part.estimators_, dtype=object))
            need(all(member.tree_.n_features == part.n_features_in_ for member in members))
        if isinstance(part, BOOSTERS) and hasattr(part, "_predictors"):
            for predictor in (one for group in part._predictors for one in group):
                check_booster(predictor.nodes, part)


def check_booster(nodes: NDArray[Any], booster: Any) -> None:
    """Raise unless the columns of a booster's tree are its own, and those split by category have categories."""
    inner = nodes["is_leaf"] == 0
    columns, by_category = nodes["feature_idx"][inner], nodes["is_categorical"][inner] != 0
    need(bool((columns < booster.n_features_in_).all()))
    has_categories = np.asarray(booster._bin_mapper.is_categorical_) != 0
    need(has_categories.shape == (booster.n_features_in_,) and bool(has_categories[columns[by_category]].all()))
