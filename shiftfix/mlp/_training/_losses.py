"""Losses per row; the weighting and averaging is done once, in the training loop.

Each takes outputs of shape (n_rows, n_outputs) and targets, and returns one loss per row, (n_rows,), in the precision
and on the device of the outputs. With z the outputs, y the target and m_k = z_k - log sum_{j != k} e^{z_j} the margin
of class k (for two classes the difference of the logits):

=======================  ==============================================================  =================
``cross_entropy``        -log softmax(z)_y, in nats                                      proper
``binary_cross_entropy`` the same for two classes and one column, the logit of class 1   proper
``polynomial_tail``      log(1 + e^{-m_y}) up to m_y = beta, then falls like m_y^-alpha  proper, by its link
``squared_error``        (z - y)^2                                                       the mean
``absolute_error``       |z - y|                                                         the median
``huber``                (z - y)^2 / 2 up to delta, a line beyond it                     between the two
``smooth_l1``            ``huber`` / beta with delta = beta                              between the two
=======================  ==============================================================  =================

The last column says what the expected loss is least for: the true probabilities (:func:`class_probabilities` gets them
from the logits), or a centre of y. The losses of a regression are averaged over the outputs.

Label smoothing of eps puts (1 - eps) l(z, y) + eps / K sum_k l(z, k) in the place of l(z, y): Szegedy, Vanhoucke,
Ioffe, Shlens & Wojna (2016), CVPR, section 7.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional

from shiftfix._setting_checks import check_number
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._settings import ClassLoss, NumberLoss

# Of the bend of the polynomial tail: beyond it e^-|beta| nears the least float32.
LARGEST_BETA = 80.0
# Logits within which the least smoothed loss is looked for.
LARGEST_LOGIT = 1e6


def _check_smoothing(label_smoothing: float) -> None:
    check_number(label_smoothing, "label_smoothing", least=0, below=1)


def cross_entropy(logits: Tensor, class_index: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """-log softmax(logits)[class], in nats; through log-sum-exp, so that large logits stay finite.

    Parameters
    ----------
    logits : Tensor of shape (n_rows, n_classes)
    class_index : Tensor of int64 of shape (n_rows,)
    label_smoothing : float in [0, 1), default=0.0
        eps of the formula at the top of this file.

    Returns
    -------
    Tensor of shape (n_rows,)

    Raises
    ------
    ShiftDataError
        For a setting out of its range.
    """
    _check_smoothing(label_smoothing)
    return functional.cross_entropy(logits, class_index, reduction="none", label_smoothing=label_smoothing)


def binary_cross_entropy(logits: Tensor, class_index: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """-log of the logistic probability of the class, in nats, from the logit of class 1.

    Parameters
    ----------
    logits : Tensor of shape (n_rows, 1)
    class_index : Tensor of int64 of shape (n_rows,)
        0 or 1.
    label_smoothing : float in [0, 1), default=0.0

    Returns
    -------
    Tensor of shape (n_rows,)

    Raises
    ------
    ShiftDataError
        For a setting out of its range.
    """
    _check_smoothing(label_smoothing)
    share = class_index.to(logits.dtype) * (1 - label_smoothing) + label_smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits.squeeze(1), share, reduction="none")


def class_margins(logits: Tensor) -> Tensor:
    """m_k = z_k - log sum_{j != k} e^{z_j} of every class k, shape (n_rows, n_classes), for two classes or more.

    log(sum e^z - e^{z_k}) loses all digits where class k is nearly all of the sum. That can be the largest logit only,
    which is left out of its own sum instead; every other class has a share of at most one half.
    """
    top = torch.zeros_like(logits, dtype=torch.bool).scatter(1, logits.argmax(dim=1, keepdim=True), True)
    without_top = logits.masked_fill(top, -math.inf).logsumexp(dim=1, keepdim=True)
    # The share of the largest is replaced before the logarithm: an infinity there would turn its gradient into NaN.
    share = logits.softmax(dim=1).masked_fill(top, 0.0)
    rest = torch.where(top, without_top, logits.logsumexp(dim=1, keepdim=True) + torch.log1p(-share))
    return logits - rest


def _join(alpha: float, beta: float) -> tuple[float, float, float]:
    # Height and steepness of the logistic loss at beta, and the length c over which the tail halves for alpha = 1.
    check_number(alpha, "alpha", above=0, below=math.inf)
    check_number(beta, "beta", least=-LARGEST_BETA, most=LARGEST_BETA)
    height, steepness = math.log1p(math.exp(-beta)), 1 / (1 + math.exp(beta))
    return height, steepness, alpha * height / steepness


def tail_loss(margin: Tensor, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
    """l(m) of :func:`polynomial_tail`, elementwise."""
    height, _, length = _join(alpha, beta)
    # 0 below beta, so that the branch not taken has a finite gradient; not by clamp, for at its bound some versions of
    # torch pass the gradient on and some do not.
    past = margin - beta
    beyond = torch.where(past >= 0, past, torch.zeros_like(past))
    tail = height * torch.exp(-alpha * torch.log1p(beyond / length))
    return torch.where(margin < beta, -functional.logsigmoid(margin), tail)


def polynomial_tail(
    logits: Tensor, class_index: Tensor, label_smoothing: float = 0.0, alpha: float = 1.0, beta: float = 1.0
) -> Tensor:
    """Loss of the margin of the class that is logistic at first and falls like a power of the margin later.

    With m = m_y as at the top of this file, L0 = log(1 + e^-beta), S0 = 1 / (1 + e^beta) and c = alpha L0 / S0,

        l(m) = log(1 + e^-m)               for m < beta,
        l(m) = a / (m - beta + c)^alpha    for m >= beta, with a = L0 c^alpha.

    Value and slope (-S0) join at beta, so that l is convex in m, and l(m_y) in the logits. Once a network separates
    its training rows, exponential tails make the weights of the rows lose their effect; under a power they keep it.
    Up to beta this is the cross entropy.

    The tail 1 / (m - (beta - 1))^alpha and the analysis are those of the source. Its experiments have two classes and
    divide the logistic part by log(1 + e^-beta), so that it meets that tail in value but not in slope: a kink at beta.
    Here the tail is fitted to the logistic part instead, and more classes enter by the margin.

    Parameters
    ----------
    logits : Tensor of shape (n_rows, n_classes)
        With two columns or more.
    class_index : Tensor of int64 of shape (n_rows,)
    label_smoothing : float in [0, 1), default=0.0
    alpha : float > 0, default=1.0
        Power of the tail: the smaller, the heavier.
    beta : float in [-80, 80], default=1.0
        Margin at which the tail begins.

    Returns
    -------
    Tensor of shape (n_rows,)

    Raises
    ------
    ShiftDataError
        For a setting out of its range.

    See Also
    --------
    weighted_loss : The objective, for a loop of your own.
    MLPClassifier : A network for classes, with row weights and dropout.

    References
    ----------
    Wang, Chatterji, Haque & Hashimoto (2022), "Is importance weighting incompatible with interpolating classifiers?",
    ICLR; the authors' code for the experiments.
    """
    _check_smoothing(label_smoothing)
    margins = class_margins(logits)
    own = tail_loss(margins.gather(1, class_index[:, None]).squeeze(1), alpha, beta)
    if label_smoothing == 0:
        return own
    return (1 - label_smoothing) * own + label_smoothing * tail_loss(margins, alpha, beta).mean(dim=1)


def _check_shapes(prediction: Tensor, y: Tensor) -> None:
    # (n,) against (n, 1) would be n x n residuals.
    if prediction.shape != y.shape:
        raise ShiftDataError(
            f"The outputs have shape {tuple(prediction.shape)} and y has {tuple(y.shape)}: both need to be "
            "(n_rows, n_outputs), also for one output."
        )


def squared_error(prediction: Tensor, y: Tensor) -> Tensor:
    """Mean over the outputs of (prediction - y)^2, for y of shape (n_rows, n_outputs)."""
    _check_shapes(prediction, y)
    return (prediction - y).square().mean(dim=1)


def absolute_error(prediction: Tensor, y: Tensor) -> Tensor:
    """Mean over the outputs of abs(prediction - y), for y of shape (n_rows, n_outputs)."""
    _check_shapes(prediction, y)
    return (prediction - y).abs().mean(dim=1)


def huber(prediction: Tensor, y: Tensor, delta: float = 1.0) -> Tensor:
    """Mean over the outputs of r^2 / 2 where abs(r) <= delta and delta (abs(r) - delta / 2) elsewhere, r the residual.

    Parameters
    ----------
    prediction, y : Tensor of shape (n_rows, n_outputs)
    delta : float > 0, default=1.0
        In the unit of y, which for ``MLPRegressor`` is the standardised y's, unless ``standardize=False``.

    Returns
    -------
    Tensor of shape (n_rows,)

    Raises
    ------
    ShiftDataError
        For shapes that differ, or a delta out of its range.

    See Also
    --------
    smooth_l1 : The same on another scale.
    weighted_loss : The objective, for a loop of your own.

    References
    ----------
    Huber (1964), Annals of Mathematical Statistics 35:73-101.
    """
    check_number(delta, "delta", above=0, below=math.inf)
    _check_shapes(prediction, y)
    return functional.huber_loss(prediction, y, reduction="none", delta=delta).mean(dim=1)


def smooth_l1(prediction: Tensor, y: Tensor, beta: float = 1.0) -> Tensor:
    """``huber`` / beta with delta = beta: the absolute error less beta / 2, its corner rounded within beta.

    Parameters
    ----------
    prediction, y : Tensor of shape (n_rows, n_outputs)
    beta : float > 0, default=1.0
        In the unit of y, as of :func:`huber`.

    Returns
    -------
    Tensor of shape (n_rows,)

    Raises
    ------
    ShiftDataError
        For shapes that differ, or a beta out of its range.

    See Also
    --------
    huber : Squared near 0, absolute beyond.
    weighted_loss : The objective, for a loop of your own.
    """
    check_number(beta, "beta", above=0, below=math.inf)
    _check_shapes(prediction, y)
    return functional.smooth_l1_loss(prediction, y, reduction="none", beta=beta).mean(dim=1)


CLASSIFICATION_LOSSES: dict[ClassLoss, Callable[..., Any]] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "polynomial_tail": polynomial_tail,
}
REGRESSION_LOSSES: dict[NumberLoss, Callable[..., Any]] = {
    "squared_error": squared_error,
    "absolute_error": absolute_error,
    "huber": huber,
    "smooth_l1": smooth_l1,
}


def class_probabilities(loss: ClassLoss | Callable[..., Any], logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Class probabilities whose expected loss the logits minimise.

    One column is taken for the logit of class 1; several give their softmax, except for ``polynomial_tail``. There the
    expected loss sum_k eta_k l(m_k) is stationary where v_k = -eta_k l'(m_k) satisfies

        v_j = sum_{k != j} v_k P_kj,  P_kj = e^{z_j} / sum_{i != k} e^{z_i} = s_j / (1 - s_k),  s = softmax(z).

    P is a Markov chain, and as s_k (1 - s_k) P_kj = s_k s_j is symmetric, v is proportional to s_k (1 - s_k):

        eta_k = s_k (1 - s_k) / -l'(m_k), divided by its sum over k.

    The loss is convex in the logits, so the stationary point is the least. Left of beta -l' = 1 - s_k: the softmax.

    Parameters
    ----------
    loss : str or callable
        A key of ``CLASSIFICATION_LOSSES``, or ``polynomial_tail`` with its settings bound by ``functools.partial``; any
        other function is taken for a cross entropy.
    logits : ndarray of float64 of shape (n_rows, n_outputs)

    Returns
    -------
    ndarray of float64 of shape (n_rows, n_classes)
        Rows sum to 1. Trained with label smoothing eps, the logits minimise the expected loss under the smoothed
        probabilities (1 - eps) eta + eps / K, and these are returned.
    """
    z = torch.tensor(logits, dtype=torch.float64)
    if z.shape[1] == 1:
        return torch.cat([-z, z], dim=1).sigmoid().numpy()
    settings = loss.keywords if isinstance(loss, partial) else {}
    if loss != "polynomial_tail" and getattr(loss, "func", loss) is not polynomial_tail:
        return z.softmax(dim=1).numpy()
    alpha, beta = settings.get("alpha", 1.0), settings.get("beta", 1.0)
    _, steepness, length = _join(alpha, beta)
    m = class_margins(z)
    # s = sigmoid(m), and everything in logarithms, as s (1 - s) is 0 in floating point beyond m = 750.
    log_slope = math.log(steepness) - (alpha + 1) * torch.log1p((m - beta).clamp(min=0) / length)
    log_slope = torch.where(m < beta, functional.logsigmoid(-m), log_slope)
    return (functional.logsigmoid(m) + functional.logsigmoid(-m) - log_slope).softmax(dim=1).numpy()


def loss_floor(loss: Callable[..., Any], n_outputs: int) -> float:
    """Least value that the loss of one row can have, a float.

    Without label smoothing it is 0, approached as the logits grow, and needs no call. With it a row of class 0 is least
    at logits t (1, 0, ..., 0) for some t, as the loss is convex and treats the other classes alike; t is searched for
    within +-1e6. For the cross entropy the result is the entropy of the smoothed target.

    Parameters
    ----------
    loss : callable
        A classification loss with its settings bound, for example by ``functools.partial``.
    n_outputs : int
        Columns of the logits.
    """
    first = torch.zeros(1, n_outputs, dtype=torch.float64)
    first[0, 0] = 1.0
    class_index = torch.zeros(1, dtype=torch.int64)
    found = minimize_scalar(
        lambda t: float(loss(t * first, class_index)),
        bounds=(-LARGEST_LOGIT, LARGEST_LOGIT),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return float(found.fun)


def check_loss(loss: Any, losses: Mapping[Any, Callable[..., Any]]) -> Callable[..., Any]:
    """The function for a key of ``losses``, one of the two tables above; a callable as it is; anything else raises."""
    if isinstance(loss, type):
        raise ShiftDataError(
            f"loss is the class {loss.__name__}: pass an object that returns one loss per row, such as "
            f'{loss.__name__}(reduction="none").'
        )
    if callable(loss):
        return loss
    if not (isinstance(loss, str) and loss in losses):
        raise ShiftDataError(
            f"loss={loss!r}: one of {', '.join(map(repr, losses))}, or a function (outputs, targets) that returns one "
            "loss per row, is needed."
        )
    return losses[loss]


def _is_one_number(values: Any) -> bool:
    return isinstance(values, int | float) or (isinstance(values, torch.Tensor) and values.ndim == 0)


def check_row_losses(values: Any, n_rows: int) -> None:
    """Raise unless a loss returned a floating-point tensor of shape (n_rows,)."""
    advice = "return one loss per row, a torch tensor of shape (n_rows,)"
    if isinstance(values, torch.Tensor) and values.shape == (n_rows,) and values.is_floating_point():
        return
    if _is_one_number(values):
        raise ShiftDataError('the loss returned a number: return one loss per row (reduction="none").')
    if not isinstance(values, torch.Tensor):
        raise ShiftDataError(f"the loss returned a {type(values).__name__}: {advice}.")
    if values.shape == (n_rows,):
        raise ShiftDataError(f"the loss returned a tensor of {values.dtype}: {advice} and of a floating-point type.")
    if values.shape == (n_rows, n_rows):
        raise ShiftDataError(
            f"the loss returned {n_rows} x {n_rows} numbers for {n_rows} rows, as outputs (n_rows, 1) against targets "
            '(n_rows,) do: pass y[:, None], flatten the outputs, or name the loss ("squared_error").'
        )
    raise ShiftDataError(
        f"the loss returned a tensor of shape {tuple(values.shape)} for {n_rows} rows: {advice}, for example by "
        ".mean(dim=1) over several outputs."
    )
