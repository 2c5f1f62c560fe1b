"""A Gaussian process with numbers for labels, at several noises at once.

r = delta + noise, delta ~ N(0, K), noise ~ N(0, s^2). With C = (K + s^2 I)^-1:

* log evidence = -1/2 r' C r + 1/2 log |C| - n/2 log(2 pi)
* without number i, r_i ~ N(r_i - (C r)_i / C_ii, 1 / C_ii)
* at another row, the mean of delta is k' C r

One eigendecomposition of K serves every noise.

Source: Rasmussen & Williams (2006), "Gaussian Processes for Machine Learning", equations 2.30, 5.10 and 5.12.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from shiftfix._numerics import Floats


class GaussianFit(NamedTuple):
    """A fitted correction.

    Attributes
    ----------
    log_evidence : float
        In nats.
    left_out : ndarray of shape (n_labels,)
        Density of each number without it.
    missed : ndarray of shape (n_labels,)
        Each number less its mean without it.
    dual : ndarray of shape (n_labels,)
        C r.
    """

    log_evidence: float
    left_out: Floats
    missed: Floats
    dual: Floats


def fit_gaussian(covariance: Floats, residuals: Floats, noises: tuple[float, ...]) -> list[GaussianFit]:
    """Fit a correction at every noise.

    Parameters
    ----------
    covariance : ndarray of shape (n_labels, n_labels)
        K.
    residuals : ndarray of shape (n_labels,)
        r, in standard deviations.
    noises : tuple of float
        Values of s, in the same unit.

    Returns
    -------
    list of GaussianFit
    """
    values, vectors = np.linalg.eigh(covariance)
    turned = vectors.T @ residuals
    fits = []
    for noise in noises:
        precision = 1 / (np.maximum(values, 0) + noise**2)
        dual = vectors @ (precision * turned)
        own = vectors**2 @ precision
        log_evidence = -0.5 * float(turned**2 @ precision - np.log(precision).sum() + len(turned) * np.log(2 * np.pi))
        fits.append(GaussianFit(log_evidence, norm.pdf(dual / np.sqrt(own)) * np.sqrt(own), dual / own, dual))
    return fits
