"""How much of a prediction each expert gets, by what it said of labels that it did not see.

    w = argmax over the simplex of  sum_i log sum_k w_k p_k(i)  +  a0 log w_0

with p_k(i) the probability (or density) that expert k gave label i without it. Expert 0 corrects nothing, and its a0
pseudo-rows are what the others must outweigh. The objective is concave; the steps of EM raise it, and where no
derivative w.r.t. a weight exceeds m + a0 by a share t, it is within (m + a0) t of its maximum.

Sources: Yao, Vehtari, Simpson & Gelman (2018), Bayesian Analysis 13(3):917-1007 (stacking by left-out log scores);
Dempster, Laird & Rubin (1977), JRSS B 39:1-38, section 4.3 (mixtures by EM).
"""

import numpy as np
from scipy.special import softmax

from shiftfix._numerics import Floats

# Share by which the largest derivative may exceed its bound.
TOLERANCE = 1e-6
MOST_STEPS = 20_000
# A density of 0 for all experts is a rounded one.
LEAST_DENSITY = 1e-300


def stack(left_out: Floats, pseudo_rows: float) -> Floats:
    """Weights of the experts.

    Parameters
    ----------
    left_out : ndarray of shape (n_labels, n_experts)
        Probabilities or densities of the labels; column 0 is of the expert that corrects nothing.
    pseudo_rows : float
        a0, not negative.

    Returns
    -------
    ndarray of shape (n_experts,)
        Sums to 1.
    """
    p = np.maximum(left_out, LEAST_DENSITY)
    total = len(p) + pseudo_rows
    w = np.full(p.shape[1], 1 / p.shape[1])
    for _ in range(MOST_STEPS):
        slope = (1 / (p @ w)) @ p
        slope[0] += pseudo_rows / w[0] if pseudo_rows else 0.0
        if slope.max() <= total * (1 + TOLERANCE):
            break
        w = w * slope / total
        w /= w.sum()
    return w


def evidence_weights(log_evidence: Floats) -> Floats:
    """Weights of the members of one expert, in proportion to their evidence; same shape, sum 1."""
    return np.asarray(softmax(log_evidence))
