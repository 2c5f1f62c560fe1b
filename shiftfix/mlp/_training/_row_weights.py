"""Row weights on their way into the loss: exponent, clip, class weights, mean 1; and the public weighted mean."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from shiftfix._setting_checks import check_number
from shiftfix._validation import check_sample_weight, check_vector
from shiftfix._verdict import tell
from shiftfix.exceptions import LowEffectiveSizeWarning, ShiftDataError
from shiftfix.mlp._settings import Weighting
from shiftfix.weights import clip_weights_of, effective_sample_size_of, normalize_weights_of

# Below these effective rows, and less than a third of the rows there are, training is led by a few rows, and the epoch
# is chosen by luck.
LEAST_TRAINING, LEAST_VALIDATION = 30, 10
# Rows that the weights are worth after clip="ess"; as of ``clip_weights``.
LEAST_CLIPPED_SIZE = 100


def weighted_loss(loss: torch.Tensor, w: torch.Tensor | ArrayLike) -> torch.Tensor:
    """Mean of w l over the rows: the objective of a hand-written loop.

    The sum is divided by the NUMBER of rows and not by the sum of the batch's weights: that would be a ratio of two
    random numbers, whose gradient is biased. So normalise the weights once, over all training rows, to mean 1.

    Parameters
    ----------
    loss : torch.Tensor of shape (n_rows,)
        One loss per row: ``reduction="none"``.
    w : torch.Tensor or array-like of shape (n_rows,)
        Non-negative weights of these rows, of mean 1 over the WHOLE training set, as
        :func:`shiftfix.weights.normalize_weights` returns them. Of another scale they scale the learning rate.

    Returns
    -------
    torch.Tensor of shape ()
        Differentiable with respect to ``loss``.

    Raises
    ------
    ShiftDataError
        For other shapes, among them (n, 1) against (n,), which would be multiplied to n x n; for negative or NaN
        weights; for a loss of whole numbers, to which the weights would be rounded.

    See Also
    --------
    WeightedTrainer : Trains a torch module of your own.
    polynomial_tail : A loss under which weights keep acting.
    huber : Squared near 0, absolute beyond.

    Examples
    --------
    >>> import torch
    >>> weighted_loss(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 1.5]))
    tensor(1.7500)

    >>> from shiftfix.weights import normalize_weights
    >>> X, y, module = torch.arange(6.0)[:, None], torch.arange(6.0), torch.nn.Linear(1, 1)
    >>> w = torch.as_tensor(normalize_weights([1, 1, 1, 2, 2, 2]))
    >>> optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    >>> for rows in torch.randperm(6).split(2):
    ...     optimizer.zero_grad()
    ...     weighted_loss((module(X[rows])[:, 0] - y[rows]).square(), w[rows]).backward()
    ...     optimizer.step()
    """
    if not isinstance(loss, torch.Tensor):
        raise ShiftDataError(f"loss is a {type(loss).__name__}: a torch tensor is needed.")
    w = torch.as_tensor(w, device=loss.device)
    if loss.ndim != 1 or w.shape != loss.shape or len(loss) == 0:
        raise ShiftDataError(
            f"loss has shape {tuple(loss.shape)} and w {tuple(w.shape)}: both need to be (n_rows,), one loss per row "
            '(reduction="none") and one weight.'
        )
    if not loss.is_floating_point():
        raise ShiftDataError(f"loss is a tensor of {loss.dtype}: a floating-point type is needed.")
    if not bool(((w >= 0) & (w < float("inf"))).all()):
        raise ShiftDataError("w holds negative, NaN or infinite weights: pass non-negative ones.")
    return torch.dot(loss, w.to(loss.dtype)) / len(loss)


def check_row_weights(
    sample_weight: ArrayLike | None, n_rows: int, name: str = "sample_weight", *, shared: bool = False
) -> NDArray[np.float64]:
    """Weights as float64 with largest 1: only ratios matter, and sums of huge weights would overflow.

    All may be 0 where they are ``shared``: other processes have more of them.
    """
    if shared and sample_weight is not None:
        own = check_vector(sample_weight, name, n_rows)
        if not own.any():
            return own
    weight = check_sample_weight(sample_weight, n_rows, name)
    return weight / weight.max()


def training_weights(weight: NDArray[np.float64], exponent: float, clip: float | str | None) -> NDArray[np.float64]:
    """min(w, c)^exponent of positive weights, before any normalisation.

    Parameters
    ----------
    weight : ndarray of shape (n_rows,)
    exponent : float in [0, 1]
    clip : as in ``shiftfix.weights.clip_weights``, or None
        A number bounds weights of mean 1.

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    if clip is not None:
        once = np.ones(len(weight))
        weight = clip_weights_of(normalize_weights_of(weight, once), once, clip, LEAST_CLIPPED_SIZE)
    return weight if exponent == 1 else weight**exponent


def weights_in_unit(
    weight: NDArray[np.float64], weighting: Weighting, unit: Mapping[str, float] | None
) -> tuple[NDArray[np.float64], dict[str, float]]:
    """The training weights of one call of ``partial_fit``, on one scale over all calls.

    The first call sets the unit of the weights: a mean of 1 in each call would forget that the rows of one call count
    more than those of another. The steps are those of ``fit``, so that they round alike.

    Parameters
    ----------
    weight : ndarray of shape (n_rows,)
        Positive.
    weighting : Weighting
    unit : dict or None
        What the first call returned; None in the first.

    Returns
    -------
    weight : ndarray of shape (n_rows,)
    unit : dict of str to float
    """
    unit = {"largest": weight.max()} if unit is None else dict(unit)
    weight = weight / unit["largest"]
    if weighting.clip is not None:
        weight = weight / unit.setdefault("mean", weight.mean())
        weight = clip_weights_of(weight, np.ones(len(weight)), weighting.clip, LEAST_CLIPPED_SIZE)
    return weight**weighting.exponent, unit


def class_weights(
    class_weight: Any, index: NDArray[np.int64], weight: NDArray[np.float64], classes: NDArray[Any]
) -> NDArray[np.float64]:
    """Weight of each row's class.

    Parameters
    ----------
    class_weight : None, "balanced" or dict
        "balanced" is total / (n_classes * weight of the class), where both count rows by their weight. A dict names
        every class; labels that are no classes are ignored.
    index : ndarray of int of shape (n_rows,)
        Positions in ``classes``.
    weight : ndarray of shape (n_rows,)
    classes : ndarray of shape (n_classes,)

    Returns
    -------
    ndarray of shape (n_classes,)

    Raises
    ------
    ShiftDataError
        For a dict without a class of y, weights that are not positive numbers, and "balanced" for a class without
        rows.
    """
    if class_weight is None:
        return np.ones(len(classes))
    if isinstance(class_weight, str) and class_weight == "balanced":
        mass = np.bincount(index, weights=weight, minlength=len(classes))
        if not mass.all():
            absent = classes[mass == 0].tolist()
            raise ShiftDataError(
                f'class_weight="balanced" needs rows of every class, and there are none of {absent}: pass a dict.'
            )
        return mass.sum() / (len(classes) * mass)
    if not isinstance(class_weight, dict):
        raise ShiftDataError(f'class_weight={class_weight!r}: None, "balanced" or a dict of classes is needed.')
    return _weights_by_name(class_weight, classes)


def _weights_by_name(class_weight: dict[Any, Any], classes: NDArray[Any]) -> NDArray[np.float64]:
    """Weight of each class, all of which must be named."""
    known = classes.tolist()
    # A label too many may be that of rows in another fold.
    absent = [label for label in known if label not in class_weight]
    if absent:
        raise ShiftDataError(
            f"class_weight has no weight for {absent}: it names {list(class_weight)}, and the classes of y are "
            f"{known}. Name every class, with 1.0 where its rows count as they are."
        )
    for label, value in class_weight.items():
        check_number(value, f"class_weight[{label!r}]", above=0, below=np.inf)
    return np.array([class_weight[label] for label in known], dtype=np.float64)


def effective_size(weight: NDArray[np.float64]) -> float:
    """Kish effective size of weights, in rows."""
    return effective_sample_size_of(weight, np.ones(len(weight)))


def warn_of_few_rows(
    weight: NDArray[np.float64], validation_weight: NDArray[np.float64] | None
) -> tuple[float, float | None]:
    """Effective sizes of both sets in rows, the second None without one; warns where the weights leave too little."""
    size = effective_size(weight)
    if size < LEAST_TRAINING and size < len(weight) / 3:
        tell(
            LowEffectiveSizeWarning(
                f"The weights make {len(weight)} training rows worth {size:.1f}: a few rows lead the fit. Set "
                'exponent=0.5, clip="sqrt" or clip="ess", or a milder class_weight, or collect source rows where the '
                "target lies."
            )
        )
    if validation_weight is None:
        return size, None
    held_out = effective_size(validation_weight)
    if held_out < LEAST_VALIDATION and held_out < len(validation_weight) / 3:
        tell(
            LowEffectiveSizeWarning(
                f"The weights make {len(validation_weight)} validation rows worth {held_out:.1f}, so that the best "
                "epoch is mostly luck: raise validation_fraction, pass an eval_set, or set clip."
            )
        )
    return size, held_out
