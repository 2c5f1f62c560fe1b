"""Covariate weights by maximum likelihood: KLIEP.

The ratio is modelled as theta' phi(x) with Gaussian kernels phi around target rows and, where held-out rows prefer it,
one bowl, 1 minus a wide kernel around the mean of the source, and

    maximise  mean_T log(theta' phi)   subject to  mean_S theta' phi = 1,  theta >= 0,

which minimises the Kullback-Leibler divergence from the target density to (theta' phi) times the source density. The
bowl is what the kernels lack: their sums fall off on all sides, and the ratio to a target wider than the source in
several features has a hollow in the middle. With
b the mean of phi over the source and eta = b * theta, the constraint says that eta is a vector of shares: the problem
is that of the shares of a mixture with component values A = phi / b at the target rows,

    maximise  L(eta) = sum_j c_j log (A eta)_j   over eta >= 0 with sum(eta) = 1,      sum(c) = 1.

Dropping the sum constraint for a penalty, minimise sum(eta) - L(eta), leaves the maximiser as it is: scaling eta by t
changes the value by t - 1 - log t, least at t = 1. Newton's method with a logarithmic barrier solves that. How far the
answer may be from the best is known: L is concave and its gradient g has g' eta = 1, so

    L(best) - L(eta) <= g' (best - eta) <= max(g) - 1.

Source: Sugiyama, Suzuki, Nakajima, Kashima, von Buenau & Kawanabe (2008), Annals of the Institute of Statistical
Mathematics 60:699-746 (the problem, and likelihood cross-validation of the kernel width).
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.exceptions import ConvergenceWarning

from shiftfix._kernels import (
    BANDWIDTH_FACTORS,
    RATIO_FLOOR,
    KernelSetup,
    candidates,
    fold_counts,
    gaussian_kernel,
    kernel_mean,
    kernel_times,
    prepare_kernels,
    squared_distances,
)
from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_count, check_generator, check_number
from shiftfix.covariate._base import BaseWeighter, FittedRatio

# Kernels that no source row is near would get infinite coefficients, and target rows that no kernel is near an
# infinite loss; both underflow to 0 with narrow kernels.
LEAST_SOURCE_MEAN = 1e-12
LEAST_COMPONENT = 1e-100
# The bowl is near 0 at all source rows only where they are nearly one point beside the target: then it tells nothing.
LEAST_BOWL_MEAN = 1e-2
# For the comparison of bandwidths their log likelihoods need not be exact: they differ in the second digit.
VALIDATION_TOL = 1e-4
SHARE_OF_LONGEST_STEP = 0.995


def mixture_shares(A: Floats, shares: Floats, tol: float = 1e-9, max_iter: int = 200) -> tuple[Floats, float]:
    """Maximise sum_j shares_j log (A eta)_j over eta >= 0, sum(eta) = 1.

    Primal-dual Newton steps on min sum(eta) - L(eta): with z the multipliers of eta >= 0, gradient - z = 0 and
    eta * z = mu for mu falling to 0.

    Parameters
    ----------
    A : ndarray of shape (n_rows, n_components)
        Component values, > 0.
    shares : ndarray of shape (n_rows,)
        Weights of the rows, summing to 1.
    tol : float, default=1e-9
        Gap max(g) - 1 at which to stop.
    max_iter : int, default=200

    Returns
    -------
    eta : ndarray of shape (n_components,)
    gap : float
        Its certified distance from the best log likelihood; above ``tol`` when rounding or ``max_iter`` stopped it.
    """
    n_components = A.shape[1]
    eta, z = np.full(n_components, 1 / n_components), np.ones(n_components)
    best, best_gap = eta, np.inf
    for _ in range(max_iter):
        fitted = A @ eta
        pull = A.T @ (shares / fitted)
        # g is homogeneous of degree -1, so at eta / sum(eta) it is sum(eta) * pull.
        gap = float(eta.sum() * pull.max() - 1)
        if gap < best_gap:
            best, best_gap = eta / eta.sum(), gap
        if gap <= tol:
            break
        mu = 0.1 * float(eta @ z) / n_components
        scaled = A * (np.sqrt(shares) / fitted)[:, np.newaxis]
        curvature = scaled.T @ scaled
        curvature[np.diag_indices(n_components)] += z / eta
        try:
            step = cho_solve(cho_factor(curvature), pull - 1 + mu / eta)
        except np.linalg.LinAlgError:
            break
        step_z = mu / eta - z - z * step / eta
        eta = eta + _inner_length(eta, step) * step
        z = z + _inner_length(z, step_z) * step_z
    return best, max(best_gap, 0.0)


def _inner_length(values: Floats, step: Floats) -> float:
    """Step length, at most 1, that keeps the values positive."""
    falling = step < 0
    if not falling.any():
        return 1.0
    return min(1.0, SHARE_OF_LONGEST_STEP * float((values[falling] / -step[falling]).min()))


class Bowl(NamedTuple):
    """1 minus a wide kernel around the middle of the source.

    Attributes
    ----------
    middle : ndarray of shape (n_features,)
    width : float
    mean : float
        Over the source.
    """

    middle: Floats
    width: float
    mean: float

    def values(self, X: Floats) -> Floats:
        """Values at rows, shape (n_rows,)."""
        return bowl(X, self.middle, self.width)


def bowl(X: Floats, middle: Floats, width: float) -> Floats:
    """1 minus the Gaussian kernel around ``middle``, shape (n_rows,)."""
    return 1 - gaussian_kernel(squared_distances(X, middle[np.newaxis]), width)[:, 0]


def make_bowl(setup: KernelSetup) -> Bowl:
    """The bowl of two samples; as wide as the median distance between rows."""
    middle = np.average(setup.source, axis=0, weights=setup.counts_source)
    mean = float(np.average(bowl(setup.source, middle, setup.median), weights=setup.counts_source))
    return Bowl(middle, setup.median, max(mean, LEAST_BOWL_MEAN))


@dataclass(frozen=True)
class Components:
    """Component values A = phi / b at the target rows, for every bandwidth, without and with the bowl.

    Attributes
    ----------
    bandwidths : ndarray of shape (n_bandwidths,)
    distances : ndarray of shape (n_target, n_centers)
        Squared.
    source_means : list of ndarray of shape (n_centers,)
        b of the kernels of each bandwidth.
    bowl_values : ndarray of shape (n_target,)
        Of the bowl.
    """

    bandwidths: Floats
    distances: Floats
    source_means: list[Floats]
    bowl_values: Floats

    def values(self, k: int, with_bowl: int) -> Floats:
        """A, kept above 0, shape (n_target, n_components)."""
        kernels = gaussian_kernel(self.distances, self.bandwidths[k]) / self.source_means[k]
        kernels = np.maximum(kernels, LEAST_COMPONENT)
        return np.column_stack([kernels, self.bowl_values]) if with_bowl else kernels


def make_components(setup: KernelSetup, bandwidths: Floats, hollow: Bowl) -> Components:
    """Components of every bandwidth, and the bowl."""
    source_means = [
        np.maximum(kernel_mean(setup.source, setup.counts_source, setup.centers, bandwidth), LEAST_SOURCE_MEAN)
        for bandwidth in bandwidths
    ]
    bowl_values = np.maximum(hollow.values(setup.target) / hollow.mean, LEAST_COMPONENT)
    return Components(bandwidths, squared_distances(setup.target, setup.centers), source_means, bowl_values)


def held_out_likelihood(A: Floats, folds: Floats) -> float:
    """Mean log ratio of the target rows of each fold under the shares fitted to the other folds; a float.

    Parameters
    ----------
    A : ndarray of shape (n_rows, n_components)
    folds : ndarray of shape (n_rows, n_folds)
        Count of each row in each fold.
    """
    total = 0.0
    for k in range(folds.shape[1]):
        others = folds.sum(axis=1) - folds[:, k]
        kept, held = others > 0, folds[:, k] > 0
        eta, _ = mixture_shares(A[kept], others[kept] / others.sum(), tol=VALIDATION_TOL)
        total += float(folds[held, k] @ np.log(A[held] @ eta))
    return total / folds.sum()


def cross_validated(
    components: Components, counts: Floats, n_folds: int, generator: np.random.Generator
) -> tuple[Floats, int, int]:
    """Held-out scores, shape (n_bandwidths, 2), and the best of them: place of the bandwidth, and whether with bowl.

    With fewer than two folds nothing is held out: NaN, the widest kernels and no bowl.
    """
    scores = np.full((len(components.bandwidths), 2), np.nan)
    if n_folds < 2:
        return scores, int(components.bandwidths.argmax()), 0
    # The rows have an order by what they hold: deal them out in another, or the last fold gets the largest values.
    order = generator.permutation(len(counts))
    folds = np.empty((len(order), n_folds))
    folds[order] = fold_counts(counts[order], n_folds)
    for place in np.ndindex(scores.shape):
        scores[place] = held_out_likelihood(components.values(*place), folds)
    return scores, *divmod(int(scores.argmax()), 2)


class KLIEP(BaseWeighter):
    """Weight source rows by the density ratio under which the target is likeliest.

    The features are standardised inside, by both samples together. The optimiser stops with a proof of how far its
    answer is from the best. Like all methods with kernels it fades as the dimension grows, where
    ``LogisticWeighter`` is the better choice.

    Parameters
    ----------
    bandwidth : "auto", float or sequence of float, default="auto"
        Width of the kernels, in units of the standardised features; of several the one with the largest held-out
        likelihood. ``"auto"`` tries eight multiples, from 0.2 to 3.3, of the median distance between rows.
    n_centers : int, default=100
        Kernels, around target rows drawn without replacement; all distinct target rows where there are no more.
    cv : int, default=5
        Folds of the target rows, at least 2; no more are made than there are target rows.
    clip : "sqrt", float, percentile such as "99%", "ess", "pareto" or None, default="sqrt"
        Upper bound of a weight before normalisation; ``"sqrt"`` is mean(w) * sqrt(n_source). The other rules:
        :func:`shiftfix.weights.clip_threshold`.
    min_ess : float, default=100
        For ``clip="ess"``: effective sample size to reach, in rows from 1 on, a share of the source rows below 1.
    normalize : {"mean", None}, default="mean"
        ``"mean"`` divides by the mean clipped weight of the source.
    tol : float, default=1e-8
        Largest certified gap of the mean log likelihood to its maximum, in nats.
    max_iter : int, default=200
        Newton steps of the final fit.
    random_state : int, RandomState, Generator or None, default=0
        Draws the centres and the folds. The default is a number, not None, so that the same data give the same weights.

    Attributes
    ----------
    source_weights_ : ndarray of shape (n_source,)
        Finished weights of the fitted source rows, those with repeat count 0 too; what ``transform`` gives of them.
    bandwidth_ : float
        The one chosen.
    bandwidths_ : ndarray of shape (n_bandwidths,)
        Those tried.
    cv_scores_ : ndarray of shape (n_bandwidths, 2)
        Held-out mean log ratios without and with the bowl; NaN when no target row could be held out.
    gap_ : float
        No other coefficients have a mean log likelihood larger by more than this.
    coef_ : ndarray of shape (n_centers,)
        Coefficients of the kernels, not negative.
    bowl_coef_ : float
        Coefficient of the bowl, not negative; 0 when held-out rows do without. Its width is the median distance between
        rows.
    centers_ : ndarray of shape (n_centers, n_features)
        Centres of the kernels, in the units of the features.
    n_source_, n_target_ : float
        Rows of each sample, or the totals of their repeat counts.
    scaler_ : StandardScaler
        Of both samples together.
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

    Warns
    -----
    ConvergenceWarning
        By ``fit``, when ``gap_`` is above ``tol``.

    See Also
    --------
    ULSIF : The ratio by least squares on kernels.
    LogisticWeighter : Odds of a logistic source-versus-target classifier; the default.

    Notes
    -----
    Memory is n_target * n_centers numbers. A ratio below 1e-6 is raised to it, so that its logarithm is finite. A
    kernel whose mean over the source is below 1e-12 counts as having that mean.
    Source: Sugiyama, Suzuki, Nakajima, Kashima, von Buenau & Kawanabe (2008), Annals of the Institute of Statistical
    Mathematics 60:699-746.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X_source, X_target = rng.normal(0, 1, (2000, 1)), rng.normal(0.5, 1, (500, 1))
    >>> w = KLIEP().fit_transform(X_source, X_target)
    >>> round(float(np.average(X_source[:, 0], weights=w)), 1)
    0.5
    """

    def __init__(
        self,
        bandwidth: Any = "auto",
        *,
        n_centers: int = 100,
        cv: int = 5,
        clip: str | float | None = "sqrt",
        min_ess: float = 100,
        normalize: Literal["mean"] | None = "mean",
        tol: float = 1e-8,
        max_iter: int = 200,
        random_state: Any = 0,
    ) -> None:
        self.bandwidth = bandwidth
        self.n_centers = n_centers
        self.cv = cv
        self.clip = clip
        self.min_ess = min_ess
        self.normalize = normalize
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

    def _check_settings(self) -> None:
        check_count(self.n_centers, "n_centers")
        check_count(self.cv, "cv", least=2)
        check_number(self.tol, "tol", above=0)
        check_count(self.max_iter, "max_iter")
        candidates(self.bandwidth, "bandwidth", ())

    def _fit_log_ratio(self, X_source: Any, X_target: Any, counts_source: Floats, counts_target: Floats) -> FittedRatio:
        self._check_settings()
        generator = check_generator(self.random_state)
        setup = prepare_kernels(X_source, X_target, counts_source, counts_target, self.n_centers, generator)
        hollow = make_bowl(setup)
        bandwidths = candidates(self.bandwidth, "bandwidth", setup.median * np.array(BANDWIDTH_FACTORS))
        components = make_components(setup, bandwidths, hollow)
        n_folds = min(self.cv, int(setup.counts_target.sum()))
        scores, best, with_bowl = cross_validated(components, setup.counts_target, n_folds, generator)
        shares = setup.counts_target / setup.counts_target.sum()
        eta, gap = mixture_shares(components.values(best, with_bowl), shares, tol=self.tol, max_iter=self.max_iter)

        self.bandwidths_, self.cv_scores_, self.bandwidth_ = bandwidths, scores, float(bandwidths[best])
        self.coef_ = eta[: len(setup.centers)] / components.source_means[best]
        self.bowl_coef_ = float(eta[-1] / hollow.mean) if with_bowl else 0.0
        self.gap_, self.scaler_ = gap, setup.scaler
        self.centers_ = setup.scaler.inverse_transform(setup.centers)
        self._centers, self._bowl = setup.centers, hollow
        n_source, n_target = float(counts_source.sum()), float(counts_target.sum())
        at_source, at_target = self._log_ratio(X_source), self._log_ratio(X_target)
        return FittedRatio(at_source, at_target, n_source, n_target, warnings=self._unsolved())

    def _unsolved(self) -> list[Warning]:
        if self.gap_ <= self.tol:
            return []
        return [
            ConvergenceWarning(
                f"KLIEP stopped {self.gap_:.1e} nats from the maximum, and tol={self.tol:g} was asked: raise max_iter "
                "or tol, or widen the kernels."
            )
        ]

    def _log_ratio(self, X: Any) -> Floats:
        rows = self.scaler_.transform(X)
        w = kernel_times(rows, self._centers, self.bandwidth_, self.coef_)
        w += self.bowl_coef_ * self._bowl.values(rows)
        return np.log(np.maximum(w, RATIO_FLOOR))
