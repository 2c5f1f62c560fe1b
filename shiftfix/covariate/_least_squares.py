"""Covariate weights by least squares: uLSIF and its relative form RuLSIF.

The ratio is modelled as theta' phi(x) with Gaussian kernels phi around target rows. With E_S and E_T the mean of
phi phi' over the source and over the target, and h the mean of phi over the target,

    H = alpha E_T + (1 - alpha) E_S,      theta = (H + penalty I)^-1 h,

which minimises theta' H theta / 2 - h' theta + penalty |theta|^2 / 2, and the model is max(0, theta' phi). The authors
cut theta at 0 instead of the model. A sum of kernels with positive coefficients falls off on all sides: where the
target is wider than the source in several features, the ratio has a hollow in the middle that only negative
coefficients can make, and the cut ratio goes the wrong way. alpha = 0 is uLSIF: the
ratio w of target to source. alpha > 0 fits the relative ratio r = w / (alpha w + 1 - alpha), at most 1 / alpha.

Kernel width and penalty are those of the least leave-one-out error.
Source: Kanamori, Hido & Sugiyama (2009), JMLR 10:1391-1445, section 4 (the estimator and its leave-one-out score);
Yamada, Suzuki, Kanamori, Hachiya & Sugiyama (2013), Neural Computation 25(5):1324-1370 (the relative ratio).
"""

from abc import abstractmethod
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._kernels import (
    BANDWIDTH_FACTORS,
    KernelSetup,
    candidates,
    kernel_times,
    prepare_kernels,
)
from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_count, check_generator, check_number
from shiftfix._validation import check_matrix
from shiftfix.covariate._base import BaseWeighter, FittedRatio
from shiftfix.covariate._leave_one_out import kernel_moments, leave_one_out_scores

# Kernel values lie in [0, 1] and so do the entries of H: these penalties run from none that matters to all that does.
PENALTIES = tuple(10.0**exponent for exponent in (-4, -3.5, -3, -2.5, -2, -1.5, -1, 0, 1))


def solve_coefficients(H: Floats, h: Floats, penalty: float) -> NDArray[Any]:
    """Theta = (H + penalty I)^-1 h, shape (n_centers,); a penalty of 0 needs a regular H."""
    return np.linalg.solve(H + penalty * np.eye(len(h)), h)


def relative_to_ratio(relative: Floats, alpha: float, largest: float) -> Floats:
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


class KernelChoice(NamedTuple):
    """Bandwidths and penalties compared, their scores, the best of either, and the coefficients these give."""

    bandwidths: Floats
    penalties: Floats
    scores: Floats
    bandwidth: float
    penalty: float
    coef: Floats


def choose_kernel(setup: KernelSetup, bandwidths: Floats, penalties: Floats, alpha: float) -> KernelChoice:
    """The bandwidth and the penalty of least leave-one-out error; of a sample of one row, the smoothest."""
    if min(setup.counts_source.sum(), setup.counts_target.sum()) < 2:
        # Nothing remains to fit when the only row is left out: be as smooth as the grid allows.
        bandwidths, penalties = bandwidths[[bandwidths.argmax()]], penalties[[penalties.argmax()]]
        E_source, _ = kernel_moments(setup.source, setup.counts_source, setup.centers, bandwidths)
        E_target, h = kernel_moments(setup.target, setup.counts_target, setup.centers, bandwidths)
        scores, H = np.full((1, 1), np.nan), alpha * E_target + (1 - alpha) * E_source
        k = m = 0
    else:
        samples = setup.source, setup.target, setup.counts_source, setup.counts_target
        scores, H, h = leave_one_out_scores(*samples, setup.centers, bandwidths, penalties, alpha)
        k, m = (int(place) for place in np.unravel_index(scores.argmin(), scores.shape))
    penalty = float(penalties[m])
    return KernelChoice(
        bandwidths, penalties, scores, float(bandwidths[k]), penalty, solve_coefficients(H[k], h[k], penalty)
    )


def model_log_ratio(values: Floats, alpha: float, n_source: float) -> Floats:
    """Log w from values of the model, which for alpha > 0 are relative ratios; at least -log(n_source)."""
    w = relative_to_ratio(values, alpha, n_source) if alpha > 0 else values
    return np.log(np.maximum(w, 1 / n_source))


class _LeastSquaresWeighter(BaseWeighter):
    """What ULSIF and RULSIF share."""

    bandwidth: Any
    penalty: Any
    n_centers: int
    random_state: Any

    @property
    @abstractmethod
    def _alpha(self) -> float:
        """Checked relative parameter."""

    def _fit_log_ratio(self, X_source: Any, X_target: Any, counts_source: Floats, counts_target: Floats) -> FittedRatio:
        alpha = self._alpha
        check_count(self.n_centers, "n_centers")
        penalties = candidates(self.penalty, "penalty", PENALTIES)
        candidates(self.bandwidth, "bandwidth", ())
        generator = check_generator(self.random_state)
        setup = prepare_kernels(X_source, X_target, counts_source, counts_target, self.n_centers, generator)
        bandwidths = candidates(self.bandwidth, "bandwidth", setup.median * np.array(BANDWIDTH_FACTORS))
        choice = choose_kernel(setup, bandwidths, penalties, alpha)

        self.bandwidths_, self.penalties_, self.loo_scores_ = choice.bandwidths, choice.penalties, choice.scores
        self.bandwidth_, self.penalty_, self.coef_ = choice.bandwidth, choice.penalty, choice.coef
        self.scaler_ = setup.scaler
        self.centers_ = setup.scaler.inverse_transform(setup.centers)
        self._centers = setup.centers
        n_source, n_target = float(counts_source.sum()), float(counts_target.sum())
        at_source, at_target = (model_log_ratio(self._model(X), alpha, n_source) for X in (X_source, X_target))
        return FittedRatio(at_source, at_target, n_source, n_target)

    def _model(self, X: Any) -> Floats:
        return np.maximum(kernel_times(self.scaler_.transform(X), self._centers, self.bandwidth_, self.coef_), 0)

    def _log_ratio(self, X: Any) -> Floats:
        return model_log_ratio(self._model(X), self._alpha, self.n_source_)


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
    source_weights_ : ndarray of shape (n_source,)
        Finished weights of the fitted source rows, those with repeat count 0 too; what ``transform`` gives of them.
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
    n_source_, n_target_ : float
        Rows of each sample, or the totals of their repeat counts.
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

    See Also
    --------
    RULSIF : A bounded, relative ratio by least squares.
    KLIEP : The ratio by maximum likelihood on kernels.
    LogisticWeighter : Odds of a logistic source-versus-target classifier; the default.

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
        bandwidth: Any = "auto",
        penalty: Any = "auto",
        *,
        n_centers: int = 100,
        clip: str | float | None = "sqrt",
        min_ess: float = 100,
        normalize: Literal["mean"] | None = "mean",
        random_state: Any = 0,
    ) -> None:
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
    source_weights_ : ndarray of shape (n_source,)
        Finished weights of the fitted source rows, those with repeat count 0 too; what ``transform`` gives of them.
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
    n_source_, n_target_ : float
        Rows of each sample, or the totals of their repeat counts.
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

    See Also
    --------
    ULSIF : The ratio by least squares on kernels.
    LogisticWeighter : Odds of a logistic source-versus-target classifier; the default.

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
        alpha: float = 0.1,
        *,
        bandwidth: Any = "auto",
        penalty: Any = "auto",
        n_centers: int = 100,
        clip: str | float | None = "sqrt",
        min_ess: float = 100,
        normalize: Literal["mean"] | None = "mean",
        random_state: Any = 0,
    ) -> None:
        self.alpha = alpha
        self.bandwidth = bandwidth
        self.penalty = penalty
        self.n_centers = n_centers
        self.clip = clip
        self.min_ess = min_ess
        self.normalize = normalize
        self.random_state = random_state

    @property
    def _alpha(self) -> float:
        return check_number(self.alpha, "alpha", least=0, below=1)

    def relative_ratio(self, X: Any) -> Floats:
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
