"""Rows out of a torch Dataset or DataLoader: read once, into memory, in the order of the dataset."""

from typing import Any

from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler, default_collate

from shiftfix.exceptions import ShiftDataError


def is_dataset(X: Any) -> bool:
    """Whether rows come as a Dataset or DataLoader."""
    return isinstance(X, Dataset | DataLoader)


def _dataset_and_collate(X: Any, name: str) -> tuple[Any, Any]:
    """The dataset, and what stacks its items; raise ShiftDataError for a loader that draws rows of its own choice."""
    if not isinstance(X, DataLoader):
        return X, default_collate
    sampler = X.sampler
    drawn = type(sampler) is RandomSampler and (sampler.replacement or sampler.num_samples != len(sampler.data_source))
    own_batches = X.batch_sampler is not None and type(X.batch_sampler) is not BatchSampler
    if own_batches or drawn or type(sampler) not in (RandomSampler, SequentialSampler):
        chosen = X.batch_sampler if own_batches else sampler
        raise ShiftDataError(
            f"{name} is a DataLoader that draws its rows by a {type(chosen).__name__}: pass its dataset, and weights "
            "as sample_weight; batches are cut by batch_size."
        )
    return X.dataset, default_collate if X.batch_sampler is None else X.collate_fn


def _batch_of_all(X: Any, name: str) -> Any:
    """All items of a dataset as one batch."""
    dataset, collate = _dataset_and_collate(X, name)
    tensors = getattr(dataset, "tensors", None)
    if isinstance(tensors, tuple) and collate is default_collate:  # a TensorDataset
        return tensors
    try:
        n_rows = len(dataset)
    except TypeError as error:
        raise ShiftDataError(
            f"{name} is a {type(dataset).__name__} without a length: rows are read into memory; pass a Dataset with "
            "__len__ and __getitem__."
        ) from error
    items = [dataset[i] for i in range(n_rows)]
    if not items:
        raise ShiftDataError(f"{name} is a {type(dataset).__name__} with no rows: pass at least one.")
    try:
        return collate(items)
    except (TypeError, RuntimeError, ValueError, KeyError) as error:
        said = (str(error).splitlines() or [""])[0]
        raise ShiftDataError(
            f"The items of {name} cannot be stacked ({said}): return arrays, tensors or numbers of one shape and type."
        ) from error


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


def unpacked(X: Any, y: Any, sample_weight: Any, name: str = "") -> tuple[Any, Any, Any]:
    """X, y and weights, out of a Dataset or DataLoader where X is one; ``name`` stands ahead of "X" in messages."""
    if not is_dataset(X):
        return X, y, sample_weight
    columns = rows_of_dataset(X, f"{name}X")
    beside = [("y", y), ("sample_weight", sample_weight)]
    for part, (what, given) in zip(columns[1:], beside, strict=False):
        if given is not None and part is not None:
            raise ShiftDataError(f"{name}{what} is given twice, by the items of {name}X and beside it: drop one.")
    found = [*columns[1:], None, None][:2]
    y, sample_weight = (other if part is None else part for part, (_, other) in zip(found, beside, strict=True))
    return columns[0], y, sample_weight


def inputs_of(X: Any, name: str = "X") -> Any:
    """X, or the inputs in a Dataset or DataLoader."""
    return rows_of_dataset(X, name)[0] if is_dataset(X) else X
