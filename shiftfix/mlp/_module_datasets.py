"""Rows out of a torch Dataset or DataLoader: read once, into memory, in the order of the dataset."""

from collections.abc import Callable
from typing import Any

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    default_collate,
)

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._training import explained


def is_dataset(X: Any) -> bool:
    """Whether rows come as a Dataset or DataLoader."""
    return isinstance(X, Dataset | DataLoader)


def _draws_all_once(sampler: Any) -> bool:
    """Whether a sampler takes each row once, in some order."""
    if type(sampler) is RandomSampler:
        return not sampler.replacement and sampler.num_samples == len(sampler.data_source)
    return type(sampler) is SequentialSampler


def _check_sampler(loader: DataLoader[Any], name: str) -> None:
    """Raise ShiftDataError for a loader that draws rows of its own choice."""
    plain = type(loader.batch_sampler) in (BatchSampler, type(None))
    if not (plain and _draws_all_once(loader.sampler)):
        chosen = loader.sampler if plain else loader.batch_sampler
        raise ShiftDataError(
            f"{name} is a DataLoader that draws its rows by a {type(chosen).__name__}: pass its dataset, and weights "
            "as sample_weight; batches are cut by batch_size."
        )


def _items_of(dataset: Any, name: str) -> list[Any]:
    """All items of a dataset."""
    if not hasattr(dataset, "__len__"):
        raise ShiftDataError(
            f"{name} is a {type(dataset).__name__} without a length: rows are read into memory; pass a Dataset with "
            "__len__ and __getitem__."
        )
    if len(dataset) == 0:
        raise ShiftDataError(f"{name} is a {type(dataset).__name__} with no rows: pass at least one.")
    return [dataset[i] for i in range(len(dataset))]


def _batch_of_all(X: Any, name: str) -> Any:
    """All items of a dataset as one batch."""
    collate: Callable[..., Any] = default_collate
    if isinstance(X, DataLoader):
        _check_sampler(X, name)
        collate = X.collate_fn if X.batch_sampler is not None else collate
        X = X.dataset
    if type(X) is TensorDataset and collate is default_collate:  # a subclass may change its items
        return X.tensors
    items = _items_of(X, name)
    with explained(
        f"The items of {name} cannot be stacked", "return arrays, tensors or numbers of one shape and type."
    ):
        return collate(items)


def rows_of_dataset(X: Any, name: str) -> list[Any]:
    """Columns of a Dataset or DataLoader: [X], [X, y] or [X, y, sample_weight].

    Parameters
    ----------
    X : Dataset or DataLoader
        Its items are (x,), (x, y) or (x, y, weight), x itself a dict or a tuple for several inputs; or x alone.
    name : str

    Raises
    ------
    ShiftDataError
        For other items, a dataset without length or rows, and a loader that draws rows of its own choice.
    """
    batch = _batch_of_all(X, name)
    if not isinstance(batch, tuple | list):
        return [batch]
    if len(batch) not in (1, 2, 3):
        raise ShiftDataError(
            f"The items of {name} have {len(batch)} parts: (x, y) or (x, y, weight) is needed; pass several inputs as "
            "one dict or tuple x."
        )
    x, *rest = batch
    return [tuple(x) if isinstance(x, list) else x, *rest]  # torch stacks a tuple to a list


def unpacked(X: Any, y: Any, sample_weight: Any, named: Callable[[str], str] = str) -> tuple[Any, Any, Any]:
    """X, y and weights, out of a Dataset or DataLoader where X is one; ``named`` is what messages call them."""
    if not is_dataset(X):
        return X, y, sample_weight
    x, *rest = [*rows_of_dataset(X, named("X")), None, None][:3]
    y, sample_weight = (
        _the_one_given(pair, named(what), named("X"))
        for what, *pair in (("y", rest[0], y), ("sample_weight", rest[1], sample_weight))
    )
    return x, y, sample_weight


def _the_one_given(pair: list[Any], what: str, items: str) -> Any:
    """Of two values the one that is not None; raise ShiftDataError when both are given."""
    given = [value for value in pair if value is not None]
    if len(given) == 2:
        raise ShiftDataError(f"{what} is given twice, by the items of {items} and beside it: drop one.")
    return given[0] if given else None


def inputs_of(X: Any, name: str = "X") -> Any:
    """X, or the inputs in a Dataset or DataLoader."""
    return rows_of_dataset(X, name)[0] if is_dataset(X) else X
