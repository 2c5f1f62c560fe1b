"""Covariate weights by least squares: uLSIF and its relative form RuLSIF.

The ratio is modelled as theta' phi(x) with Gaussian kernels phi around target rows. With E_S and E_T the mean of
phi phi' over the source and over the target, and h the mean of phi over the target,

    H = alpha E_T + (1 - alpha) E_S,      theta = (H + penalty I)^-1 h,

which minimises theta' H theta / 2 - h' theta + penalty |theta|^2 / 2, and the model is max(0, theta' phi). The authors
cut theta at 0 instead of the model. A sum of kernels with positive coefficients falls off on all sides: where the
target is wider than the source in several features, the ratio has a hollow in the middle that only negative
coefficients can make, and the cut ratio goes the wrong way. alpha = 0 is uLSIF: the
ratio w of target to source. alpha > 0 fits the relative ratio r = w / (alpha w + 1 - alpha), at most 1 / alpha.

Kernel width and penalty are those of the least leave-one-out error. Without row i the matrix becomes M - c phi phi'
with one M for all rows of a sample, and by Sherman and Morrison

    (M - c phi phi')^-1 b = M^-1 b + c M^-1 phi (phi' M^-1 b) / (1 - c phi' M^-1 phi).

Source: Kanamori, Hido & Sugiyama (2009), JMLR 10:1391-1445, section 4 (the estimator and its leave-one-out score);
Yamada, Suzuki, Kanamori, Hachiya & Sugiyama (2013), Neural Computation 25(5):1324-1370 (the relative ratio).
"""

from abc import abstractmethod

import numpy as np

from shiftfix._blocks import row_blocks
from shiftfix._kernels import (
    BANDWIDTH_FACTORS,
    candidates,
    gaussian_kernel,
    kernel_times,
    prepare_kernels,
    squared_distances,
)
from shiftfix._validation import check_count, check_generator, check_matrix, check_number
from shiftfix.covariate._base import BaseWeighter

# Kernel values lie in [0, 1] and so do the entries of H: these penalties run from none that matters to all that does.
PENALTIES = tuple(10.0**exponent for exponent in (-4, -3.5, -3, -2.5, -2, -1.5, -1, 0, 1))


def solve_coefficients(H, h, penalty):
    """Theta = (H + penalty I)^-1 h, shape (n_centers,); a penalty of 0 needs a regular H."""
    return np.linalg.solve(H + penalty * np.eye(len(h)), h)


def relative_to_ratio(relative, alpha, largest):
    """W = (1 - alpha) r / (1 - alpha r), same shape as ``relative``.

    Parameters
    ----------
    relative : ndarray
        Relative ratio r = w / (alpha w + 1 - alpha), not negative.
    alpha : float
        In [0, 1).
    largest : float
        Upper bound of w. It stands for every r that reaches the bound's own relative ratio: an estimated r may pass
        1 / alpha, which no w gives.
    """
    bound = largest / (alpha * largest + 1 - alpha)
    r = np.minimum(relative, bound)
    return (1 - alpha) * r / (1 - alpha * r)


def kernel_moments(X, counts, centers, bandwidths):
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


def penalized_inverses(G, penalties):
    """(G + penalty I)^-1 for every penalty from one eigendecomposition; (n_penalties, n_centers, n_centers)."""
    values, vectors = np.linalg.eigh(G)
    values = np.maximum(values, 0)
    return np.stack([(vectors / (values + penalty)) @ vectors.T for penalty in penalties])


def held_out_values(phi, inverse, solution, quadratic, linear, scale):
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


def leave_one_out_scores(source, target, counts_source, counts_target, centers, bandwidths, penalties, alpha=0.0):
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


class _LeastSquaresWeighter(BaseWeighter):
    """What ULSIF and RULSIF share."""

    @property
    @abstractmethod
    def _alpha(self):
        """Checked relative parameter."""

    def _fit_log_ratio(self, X_source, X_target, sample_weight_source, sample_weight_target):
        alpha = self._alpha
        check_count(self.n_centers, "n_centers")
        penalties = candidates(self.penalty, "penalty", PENALTIES)
        candidates(self.bandwidth, "bandwidth", ())
        setup = prepare_kernels(
            X_source,
            X_target,
            sample_weight_source,
            sample_weight_target,
            self.n_centers,
            check_generator(self.random_state),
        )
        bandwidths = candidates(self.bandwidth, "bandwidth", setup.median * np.array(BANDWIDTH_FACTORS))
        n_source, n_target = sample_weight_source.sum(), sample_weight_target.sum()
        if min(n_source, n_target) < 2:
            # Nothing remains to fit when the only row is left out: be as smooth as the grid allows.
            bandwidths, penalties = bandwidths[[bandwidths.argmax()]], penalties[[penalties.argmax()]]
            E_source, _ = kernel_moments(setup.source, setup.counts_source, setup.centers, bandwidths)
            E_target, h = kernel_moments(setup.target, setup.counts_target, setup.centers, bandwidths)
            scores, H = np.full((1, 1), np.nan), alpha * E_target + (1 - alpha) * E_source
            k = m = 0
        else:
            scores, H, h = leave_one_out_scores(
                setup.source,
                setup.target,
                setup.counts_source,
                setup.counts_target,
                setup.centers,
                bandwidths,
                penalties,
                alpha,
            )
            k, m = np.unravel_index(scores.argmin(), scores.shape)
        self.bandwidths_, self.penalties_, self.loo_scores_ = bandwidths, penalties, scores
        self.bandwidth_, self.penalty_ = float(bandwidths[k]), float(penalties[m])
        self.coef_ = solve_coefficients(H[k], h[k], self.penalty_)
        self.scaler_ = setup.scaler
        self.centers_ = setup.scaler.inverse_transform(setup.centers)
        self.n_source_ = float(n_source)
        self._centers = setup.centers

    def _model(self, X):
        return np.maximum(kernel_times(self.scaler_.transform(X), self._centers, self.bandwidth_, self.coef_), 0)

    def _log_ratio(self, X):
        w = relative_to_ratio(self._model(X), self._alpha, self.n_source_) if self._alpha > 0 else self._model(X)
        return np.log(np.maximum(w, 1 / self.n_source_))


class ULSIF(_LeastSquaresWeighter):
    """Weight source rows by a least-squares fit of the density ratio with Gaussian kernels.

    The features are standardised inside, by both samples together. Shapes that no linear log ratio has are within
    reach in few dimensions; like all methods with kernels it fades as the dimension grows (see the notebook), where
    ``LogisticWeighter`` is the better choice.

    Parameters
    ----------
    bandwidth : "auto", float or sequence of float, default="auto"
        Width of the kernels, in units of the standardised features; of several the one with the least leave-one-out
        error. ``"auto"`` tries eight multiples, from 0.2 to 3.3, of the median distance between rows.
    penalty : "auto", float or sequence of float, default="auto"
        Ridge penalty of the coefficients, > 0, chosen together with ``bandwidth``. ``"auto"`` tries nine from 1e-4
        to 10.
    n_centers : int, default=100
        Kernels, around target rows drawn without replacement; all distinct target rows where there are no more.
    clip : "sqrt", float, percentile such as "99%", "ess", "pareto" or None, default="sqrt"
        Upper bound of a weight before normalisation; ``"sqrt"`` is mean(w) * sqrt(n_source). The other rules:
        :func:`shiftfix.weights.clip_threshold`.
    min_ess : float, default=100
        For ``clip="ess"``: effective sample size to reach, in rows from 1 on, a share of the source rows below 1.
    normalize : {"mean", None}, default="mean"
        ``"mean"`` divides by the mean clipped weight of the source.
    random_state : int, RandomState, Generator or None, default=0
        Draws the centres. The default is a number, not None, so that the same data give the same weights.

    Attributes
    ----------
    bandwidth_, penalty_ : float
        Those chosen.
    bandwidths_, penalties_ : ndarray
        Those tried.
    loo_scores_ : ndarray of shape (n_bandwidths, n_penalties)
        Leave-one-out errors; NaN when a sample has a single row.
    coef_ : ndarray of shape (n_centers,)
        Coefficients of the kernels, of either sign.
    centers_ : ndarray of shape (n_centers, n_features)
        Centres of the kernels, in the units of the features.
    scaler_ : StandardScaler
        Of both samples together.
    n_source_ : float
        Source rows, or the total of their sample weights.
    log_clip_, log_mean_ : float
        Logarithms of the clip and of the mean clipped weight.
    summary_ : WeightSummary
        Effective size, overlap and the verdict.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when ``X_source`` had column names.

    Raises
    ------
    ShiftDataError
        By ``fit`` and ``transform``, for input or settings that cannot be used.

    Notes
    -----
    A ratio below 1 / n_source is raised to it, so that its logarithm is finite: all such rows together weigh no more
    than one. The coefficients are not cut at 0, as in the source, but the model is.
    Source: Kanamori, Hido & Sugiyama (2009), JMLR 10:1391-1445, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X_source, X_target = rng.normal(0, 1, (2000, 1)), rng.normal(0.5, 1, (500, 1))
    >>> w = ULSIF().fit_transform(X_source, X_target)
    >>> round(float(np.average(X_source[:, 0], weights=w)), 1)
    0.5
    """

    _alpha = 0.0

    def __init__(
        self,
        bandwidth="auto",
        penalty="auto",
        *,
        n_centers=100,
        clip="sqrt",
        min_ess=100,
        normalize="mean",
        random_state=0,
    ):
        self.bandwidth = bandwidth
        self.penalty = penalty
        self.n_centers = n_centers
        self.clip = clip
        self.min_ess = min_ess
        self.normalize = normalize
        self.random_state = random_state


class RULSIF(_LeastSquaresWeighter):
    """Weight source rows by a least-squares fit of the relative density ratio, which is bounded.

    What is fitted is r = w / (alpha w + 1 - alpha), the target density relative to a mixture of both; it never
    exceeds 1 / alpha and is easier to estimate than w. ``transform`` and ``log_ratio`` turn it back into
    w = (1 - alpha) r / (1 - alpha r), as every weighter gives w; ``relative_ratio`` gives r itself, which may
    serve as a flattened training weight.

    Parameters
    ----------
    alpha : float, default=0.1
        Share of the target in the mixture, in [0, 1); 0 is exactly ``ULSIF``.
    bandwidth, penalty : "auto", float or sequence of float, default="auto"
        As for ``ULSIF``.
    n_centers : int, default=100
        As for ``ULSIF``.
    clip : "sqrt", float, percentile such as "99%", "ess", "pareto" or None, default="sqrt"
        Upper bound of a weight w before normalisation; ``"sqrt"`` is mean(w) * sqrt(n_source). The other rules:
        :func:`shiftfix.weights.clip_threshold`.
    min_ess : float, default=100
        For ``clip="ess"``: effective sample size to reach, in rows from 1 on, a share of the source rows below 1.
    normalize : {"mean", None}, default="mean"
        ``"mean"`` divides by the mean clipped weight of the source.
    random_state : int, RandomState, Generator or None, default=0
        Draws the centres. The default is a number, not None, so that the same data give the same weights.

    Attributes
    ----------
    bandwidth_, penalty_ : float
        Those chosen.
    bandwidths_, penalties_ : ndarray
        Those tried.
    loo_scores_ : ndarray of shape (n_bandwidths, n_penalties)
        Leave-one-out errors; NaN when a sample has a single row.
    coef_ : ndarray of shape (n_centers,)
        Coefficients of the kernels, of either sign.
    centers_ : ndarray of shape (n_centers, n_features)
        Centres of the kernels, in the units of the features.
    scaler_ : StandardScaler
        Of both samples together.
    n_source_ : float
        Source rows, or the total of their sample weights.
    log_clip_, log_mean_ : float
        Logarithms of the clip and of the mean clipped weight.
    summary_ : WeightSummary
        Effective size, overlap and the verdict.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when ``X_source`` had column names.

    Raises
    ------
    ShiftDataError
        By ``fit`` and ``transform``, for input or settings that cannot be used.

    Notes
    -----
    The estimate of r may pass 1 / alpha, where no w exists; w is held at n_source, the largest value that one of
    n_source weights of mean 1 can have. A w below 1 / n_source is raised to it, so that its logarithm is
    finite. The coefficients are not cut at 0, as those of ``ULSIF`` are in its source, but the model is.
    Source: Yamada, Suzuki, Kanamori, Hachiya & Sugiyama (2013), Neural Computation 25(5):1324-1370.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X_source, X_target = rng.normal(0, 1, (2000, 1)), rng.normal(0.5, 1, (500, 1))
    >>> w = RULSIF(alpha=0.2).fit_transform(X_source, X_target)
    >>> round(float(np.average(X_source[:, 0], weights=w)), 1)
    0.5
    """

    def __init__(
        self,
        alpha=0.1,
        *,
        bandwidth="auto",
        penalty="auto",
        n_centers=100,
        clip="sqrt",
        min_ess=100,
        normalize="mean",
        random_state=0,
    ):
        self.alpha = alpha
        self.bandwidth = bandwidth
        self.penalty = penalty
        self.n_centers = n_centers
        self.clip = clip
        self.min_ess = min_ess
        self.normalize = normalize
        self.random_state = random_state

    @property
    def _alpha(self):
        return check_number(self.alpha, "alpha", least=0, below=1)

    def relative_ratio(self, X):
        """Estimated relative ratio r, between 0 and 1 / alpha.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,)
            Neither clipped nor normalised; its mean over the mixture of the samples is about 1.

        Raises
        ------
        ShiftDataError
            For NaN, infinite values or columns other than those fitted.
        """
        self.log_ratio(X)  # the checks
        r = self._model(check_matrix(X, "X"))
        return np.minimum(r, 1 / self._alpha) if self._alpha > 0 else r
