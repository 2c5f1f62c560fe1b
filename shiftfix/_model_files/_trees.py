"""Decision trees from files: compiled code goes from row to row of their tables without a look at where they lead.

A row names its two children, which scikit-learn numbers after it, and the column it asks for: no child beyond the
table, no way back, and no column that the model does not have.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import ensemble

from shiftfix._archive import require

TREE = "sklearn.tree._tree.Tree"
TREE_PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
FORESTS = (
    ensemble.ExtraTreesClassifier,
    ensemble.ExtraTreesRegressor,
    ensemble.GradientBoostingClassifier,
    ensemble.GradientBoostingRegressor,
    ensemble.RandomForestClassifier,
    ensemble.RandomForestRegressor,
)


def need(holds: bool) -> None:
    """Raise ForeignError unless it holds."""
    require(holds, "a decision tree leads nowhere")


def check_tree_rows(
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
    need(set(map(type, (n_features, n_outputs, *counts))) == {int})
    need(n_features > 0 and nodes.ndim == 1)
    need(counts[0] == len(nodes) > 0)
    need(0 <= counts[1] <= len(nodes))
    need((n_classes.dtype, n_classes.shape) == (np.dtype(np.intp), (n_outputs,)))
    need(n_outputs > 0 and n_classes.min() > 0)
    need(values.shape == (len(nodes), n_outputs, int(n_classes.max())))
    inner = nodes["left_child"] != -1
    check_tree_rows(nodes["left_child"], nodes["right_child"], nodes["feature"], inner, n_features)


def check_predictor(parts: dict[str, NDArray[Any]]) -> None:
    """Raise ForeignError unless the parts of a ``TreePredictor`` fit together, but for its columns."""
    need(set(parts) == {"nodes", "binned_left_cat_bitsets", "raw_left_cat_bitsets"})
    nodes = parts.pop("nodes")
    need(nodes.ndim == 1 and len(nodes) > 0)
    inner = nodes["is_leaf"] == 0
    check_tree_rows(nodes["left"], nodes["right"], nodes["feature_idx"], inner, 2**31)
    by_category = nodes["bitset_idx"][inner & (nodes["is_categorical"] != 0)]
    for bitsets in parts.values():
        need(bitsets.dtype == np.uint32 and bitsets.ndim == 2 and bitsets.shape[1] == 8)
        need(bool((by_category < len(bitsets)).all()))


def members_of(part: Any) -> Iterable[Any]:
    """What a container or an object holds."""
    if isinstance(part, list | tuple | set):
        return part
    if isinstance(part, np.ndarray):
        return part.ravel() if part.dtype == object else ()
    return part.values() if isinstance(part, dict) else getattr(part, "__dict__", {}).values()


def parts_of(model: Any) -> Iterator[Any]:
    """A model and all objects in it, each once."""
    waiting, seen = [model], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        waiting.extend(members_of(part))


def check_columns(model: Any) -> None:
    """Raise ForeignError unless all trees in a model ask for columns that the estimators around them have."""
    for part in parts_of(model):
        for name in CHECKS.keys() & getattr(part, "__dict__", {}).keys():
            CHECKS[name](part)


def check_own(estimator: Any) -> None:
    """Raise unless a decision tree has the columns of its estimator."""
    need(estimator.tree_.n_features == estimator.n_features_in_)


def check_forest(estimator: Any) -> None:
    """Raise unless the trees of a forest have its columns; other ensembles check what they hand on."""
    if isinstance(estimator, FORESTS):
        members = np.ravel(np.array(estimator.estimators_, dtype=object))
        need({member.tree_.n_features for member in members} == {estimator.n_features_in_})


def check_booster(booster: Any) -> None:
    """Raise unless the columns of a booster's trees are its own, and those split by category have categories."""
    has_categories = np.asarray(booster._bin_mapper.is_categorical_) != 0
    need(has_categories.shape == (booster.n_features_in_,))
    for predictor in (one for group in booster._predictors for one in group):
        inner = predictor.nodes["is_leaf"] == 0
        columns, by_category = predictor.nodes["feature_idx"][inner], predictor.nodes["is_categorical"][inner] != 0
        need(bool((columns < booster.n_features_in_).all()))
        need(bool(has_categories[columns[by_category]].all()))


# By the attribute that holds the trees.
CHECKS = {"tree_": check_own, "estimators_": check_forest, "_predictors": check_booster}
