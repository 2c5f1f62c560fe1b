"""One temperature for the probabilities of a network, from rows that were held out of its training.

With P the probabilities of a row and a > 0 an inverse temperature, the scaled ones are P_k^a / sum_j P_j^a: the
softmax of the logits divided by 1 / a (Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks",
ICML, section 4.2). They keep the order of the classes. For an ensemble P is the mean of its members' probabilities
(Rahaman & Thiery 2021, "Uncertainty quantification and deep ensembles", NeurIPS, section 4: scaled after the mean).

a makes least, with shares s_i of the weights and n their effective size in rows (Kish),

    n sum_i s_i [log sum_k P_ik^a - a log P_iy] + (a - 1)^2 / (2 SPREAD^2),

which is strictly convex in a, where it is not in the temperature. The second term is a normal prior on a: the few rows
that are held out of a small table are often all right, and without it these would make every probability 0 or 1. The
temperature stays 1 unless it gains more than one nat over all rows, the price of a parameter (Akaike 1974, IEEE
Transactions on Automatic Control 19:716).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

# SPREAD of the prior. Of .25 to 1 it lost least on five tables of 100 to 2,000 rows with and without weights; 1 loses
# more than it gains there, and no prior loses a quarter of a nat per row.
SPREAD = 0.35
LEAST_GAIN = 1.0
INVERSE_BOUNDS = (0.05, 20.0)


def log_scores_of(proba: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of probabilities, finite where these are 0."""
    return np.log(np.maximum(proba, np.finfo(np.float64).tiny))


def scaled_proba(proba: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """P^a / sum P^a with a = 1 / temperature over the last axis, of the same shape; those given where a is 1."""
    if temperature == 1:
        return proba
    return _tilted(log_scores_of(proba), 1 / temperature)


def _tilted(z: NDArray[np.float64], inverse: float) -> NDArray[np.float64]:
    """Softmax of inverse z."""
    scores = inverse * z
    P = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return P / P.sum(axis=-1, keepdims=True)


def _log_likelihood(
    z: NDArray[np.float64], own: NDArray[np.float64], share: NDArray[np.float64], inverse: float
) -> float:
    """Weighted mean of the log probability of the labels, in nats."""
    top = z.max(axis=1)
    return float(share @ (inverse * (own - top) - np.log(np.exp(inverse * (z - top[:, np.newaxis])).sum(axis=1))))


def fit_temperature(
    proba: NDArray[np.float64], codes: NDArray[np.int64], weight: NDArray[np.float64], spread: float = SPREAD
) -> float:
    """Temperature of the rows held out, within 1/20 and 20.

    Parameters
    ----------
    proba : ndarray of shape (n_rows, n_classes)
        Of rows that the network was not trained on.
    codes : ndarray of int of shape (n_rows,)
        Column of each row's class.
    weight : ndarray of shape (n_rows,)
        Positive; only ratios matter.
    spread : float, default=0.35
        Of the prior; infinity for none.

    Returns
    -------
    float
        1 where the rows are of one class, or do not show that another gains.
    """
    if len(np.unique(codes)) < 2:
        return 1.0
    z, share = log_scores_of(proba), weight / weight.sum()
    own, n_rows = z[np.arange(len(z)), codes], 1 / float(share @ share)

    def slope(inverse: float) -> float:
        return n_rows * float(share @ ((_tilted(z, inverse) * z).sum(axis=1) - own)) + (inverse - 1) / spread**2

    least, most = INVERSE_BOUNDS
    if slope(least) >= 0:
        inverse = least
    elif slope(most) <= 0:
        inverse = most
    else:
        inverse = float(brentq(slope, least, most, xtol=1e-14, rtol=1e-14))
    gain = n_rows * (_log_likelihood(z, own, share, inverse) - _log_likelihood(z, own, share, 1.0))
    return 1 / inverse if gain > LEAST_GAIN else 1.0
