"""Leave-one-out errors of least-squares density ratios, for all rows by one inverse.

Without row i the matrix H + penalty I becomes M - c phi phi' with one M for all rows of a sample, and by Sherman and
Morrison

    (M - c phi phi')^-1 b = M^-1 b + c M^-1 phi (phi' M^-1 b) / (1 - c phi' M^-1 phi).

Source: Kanamori, Hido & Sugiyama (2009), JMLR 10:1391-1445, section 4. The model and its letters stand in
``_least_squares.py``.
"""

from collections.abc import Sequence

import numpy as np

from shiftfix._blocks import row_blocks
from shiftfix._kernels import gaussian_kernel, squared_distances
from shiftfix._numerics import Floats


def kernel_moments(
    X: Floats, counts: Floats, centers: Floats, bandwidths: Sequence[float] | Floats
) -> tuple[Floats, Floats]:
    """Mean of phi phi' and of phi over the rows, for each bandwidth; two ndarrays.

    Shapes (n_bandwidths, n_centers, n_centers) and (n_bandwidths, n_centers).
    """
    squared = np.zeros((len(bandwidths), len(centers), len(centers)))
    mean = np.zeros((len(bandwidths), len(centers)))
    for rows in row_blocks(len(X), len(centers)):
        distances = squared_distances(X[rows], centers)
        for k, bandwidth in enumerate(bandwidths):
            phi = gaussian_kernel(distances, bandwidth)
            weighted = phi * counts[rows, np.newaxis]
            squared[k] += phi.T @ weighted
            mean[k] += weighted.sum(axis=0)
    return squared / counts.sum(), mean / counts.sum()


def penalized_inverses(G: Floats, penalties: Sequence[float] | Floats) -> Floats:
    """(G + penalty I)^-1 for every penalty from one eigendecomposition; (n_penalties, n_centers, n_centers)."""
    values, vectors = np.linalg.eigh(G)
    values = np.maximum(values, 0)
    return np.stack([(vectors / (values + penalty)) @ vectors.T for penalty in penalties])


def held_out_values(
    phi: Floats, inverse: Floats, solution: Floats, quadratic: Floats, linear: Floats, scale: float
) -> Floats:
    """max(0, theta' phi) at each row with the theta of all the others, shape (n_rows,).

    Parameters
    ----------
    phi : ndarray of shape (n_rows, n_centers)
    inverse : ndarray of shape (n_centers, n_centers)
        M^-1.
    solution : ndarray of shape (n_centers,)
        M^-1 h.
    quadratic, linear : ndarray of shape (n_rows,)
        What leaving the row out takes from M, quadratic * phi phi', and from ``scale`` * h, linear * phi.
    scale : float
    """
    leverage = np.einsum("ij,ij->i", phi @ inverse, phi)
    fitted = scale * (phi @ solution) - linear * leverage
    return np.maximum(fitted / (1 - quadratic * leverage), 0)


def leave_one_out_scores(
    source: Floats,
    target: Floats,
    counts_source: Floats,
    counts_target: Floats,
    centers: Floats,
    bandwidths: Sequence[float] | Floats,
    penalties: Sequence[float] | Floats,
    alpha: float = 0.0,
) -> tuple[Floats, Floats, Floats]:
    """Leave-one-out error of every bandwidth and penalty, and the moments it came from.

    Each row of either sample is left out alone, once for each time it counts: a source row out of E_S, a target row
    out of h and E_T. With v_i = max(0, theta_(i)' phi_i) the value at the row left out, the error is

        alpha / 2 mean_T v_j^2 + (1 - alpha) / 2 mean_S v_i^2 - mean_T v_j.

    Kanamori and others leave out pairs, source row i with target row i, for the first min(n_source, n_target)
    rows. That passes over the rest of the larger sample and depends on the order of the rows; single rows do neither,
    and cost the same.

    Parameters
    ----------
    source, target : ndarray of shape (n_rows, n_features)
        Of each at least two rows, counting repeats.
    counts_source, counts_target : ndarray of shape (n_rows,)
        Repeat counts. A row that counts less than 1 is left out as a whole.
    centers : ndarray of shape (n_centers, n_features)
    bandwidths, penalties : sequence of float
        All > 0.
    alpha : float, default=0.0

    Returns
    -------
    scores : ndarray of shape (n_bandwidths, n_penalties)
    H : ndarray of shape (n_bandwidths, n_centers, n_centers)
    h : ndarray of shape (n_bandwidths, n_centers)
    """
    n_source, n_target = counts_source.sum(), counts_target.sum()
    E_source, _ = kernel_moments(source, counts_source, centers, bandwidths)
    E_target, h = kernel_moments(target, counts_target, centers, bandwidths)
    scores = np.zeros((len(bandwidths), len(penalties)))
    H = alpha * E_target + (1 - alpha) * E_source
    # Sample, its size, M before the penalty, what a row takes from M and from h, the new size's effect on h, and the
    # factors of v^2 and v in the error.
    of_source = n_source / (n_source - 1) * (1 - alpha) * E_source + alpha * E_target
    of_target = n_target / (n_target - 1) * alpha * E_target + (1 - alpha) * E_source
    left_source = (1 - alpha) / (n_source - 1), 0.0, 1.0
    left_target = alpha / (n_target - 1), 1 / (n_target - 1), n_target / (n_target - 1)
    for X, counts, G, (quadratic, linear, scale), square, value in [
        (source, counts_source, of_source, left_source, 0.5 * (1 - alpha), 0.0),
        (target, counts_target, of_target, left_target, 0.5 * alpha, 1.0),
    ]:
        inverses = [penalized_inverses(matrix, penalties) for matrix in G]
        for rows in row_blocks(len(X), len(centers)):
            distances = squared_distances(X[rows], centers)
            share = counts[rows] / counts.sum()
            left_out = np.minimum(counts[rows], 1)
            for k, bandwidth in enumerate(bandwidths):
                phi = gaussian_kernel(distances, bandwidth)
                for m, inverse in enumerate(inverses[k]):
                    v = held_out_values(phi, inverse, inverse @ h[k], quadratic * left_out, linear * left_out, scale)
                    scores[k, m] += share @ (square * v**2 - value * v)
    return scores, H, h
