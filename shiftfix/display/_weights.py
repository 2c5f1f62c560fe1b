"""Histogram of weights on a logarithmic axis."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._door import PublicCalls
from shiftfix._setting_checks import check_count
from shiftfix._validation import check_repeat_counts, check_weights
from shiftfix.display._axes import LIMIT, LOG_10, SOURCE, bin_edges, get_axes, legend_above, ratio_ticks
from shiftfix.weights import clip_threshold, clip_weights, effective_sample_size, exceeds


class WeightDisplay(PublicCalls):
    """How the weights of the source rows are spread, where they are clipped, what they are worth.

    Make one with :meth:`from_estimator` or :meth:`from_weights`.

    Parameters
    ----------
    weights : ndarray of shape (n_source,)
        Raw weights, target / source density ratio, no unit, not yet clipped.
    clip : float
        Upper bound in the unit of ``weights``; infinity for none.
    effective_size : float
        Kish effective sample size of the clipped weights, in rows.
    counts : ndarray of shape (n_source,)
        Repeat counts of the rows.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : BarContainer
        One bar per bin of log10 weight; its height is a number of rows.
    clip_line_ : Line2D or None

    See Also
    --------
    OverlapDisplay : Draws the log ratio of both samples.
    shiftfix.weights.summarize_weights : Size, overlap, verdict.
    """

    def __init__(
        self, weights: NDArray[np.float64], *, clip: float, effective_size: float, counts: NDArray[np.float64]
    ) -> None:
        self.weights = weights
        self.clip = clip
        self.effective_size = effective_size
        self.counts = counts

    @classmethod
    def from_weights(
        cls,
        weights: ArrayLike,
        *,
        clip: str | float | None = None,
        min_ess: float = 100,
        sample_weight: ArrayLike | None = None,
        ax: Any = None,
        bins: int = 40,
    ) -> Self:
        """Draw weights.

        Parameters
        ----------
        weights : array-like of shape (n_source,)
            Raw weights, no unit.
        clip : "sqrt", float, percentile such as "99%", "ess", "pareto" or None, default=None
            As :func:`shiftfix.weights.clip_threshold`.
        min_ess : float, default=100
            As there.
        sample_weight : array-like of shape (n_source,), default=None
            Repeat counts of the rows.
        ax : matplotlib Axes, default=None
            None makes a new figure.
        bins : int, default=40

        Returns
        -------
        WeightDisplay

        Raises
        ------
        ShiftDataError
            For unusable weights or an unknown clip.
        MissingDependencyError
            When matplotlib is not installed.
        """
        w = check_weights(weights)
        counts = check_repeat_counts(sample_weight, w.size)
        threshold = clip_threshold(w, clip, sample_weight=counts, min_ess=min_ess)
        clipped = clip_weights(w, clip if clip == "pareto" else threshold, sample_weight=counts)
        size = effective_sample_size(clipped, sample_weight=counts)
        return cls(w, clip=threshold, effective_size=size, counts=counts).plot(ax=ax, bins=bins)

    @classmethod
    def from_estimator(
        cls,
        weighter: Any,
        X_source: ArrayLike,
        X_target: Any = None,
        *,
        sample_weight_source: ArrayLike | None = None,
        ax: Any = None,
        bins: int = 40,
    ) -> Self:
        """Draw the raw weights of a fitted weighter at source rows, and its clip.

        Parameters
        ----------
        weighter : fitted weighter
            With ``log_ratio`` and ``log_clip_``, as all in ``shiftfix.covariate``.
        X_source : array-like of shape (n_source, n_features)
        X_target : ignored
            There so that all displays are called alike.
        sample_weight_source : array-like of shape (n_source,), default=None
            Repeat counts of the rows.
        ax : matplotlib Axes, default=None
        bins : int, default=40

        Returns
        -------
        WeightDisplay

        Raises
        ------
        ShiftDataError
            For rows that cannot be used.
        """
        clip = "pareto" if weighter.clip == "pareto" else float(np.exp(weighter.log_clip_))
        weights = np.exp(weighter.log_ratio(X_source))
        return cls.from_weights(weights, clip=clip, sample_weight=sample_weight_source, ax=ax, bins=bins)

    def plot(self, ax: Any = None, *, bins: int = 40) -> Self:
        """Draw, on ``ax`` or a new figure; returns self. Rows of weight 0 are counted in the legend."""
        bins = check_count(bins, "bins")
        ax = get_axes(ax)
        shown = (self.weights > 0) & (self.counts > 0)
        log_w = np.log(self.weights[shown]) / LOG_10
        edges = bin_edges([log_w], bins)
        heights, _ = np.histogram(log_w, edges, weights=self.counts[shown])
        total = self.counts.sum()
        label = f"ESS {self.effective_size:,.0f} of {total:,.0f} rows ({self.effective_size / total:.0%})"
        absent = self.counts[self.weights == 0].sum()
        if absent:
            label += f"\n{absent:,.0f} rows of weight 0 not shown"
        self.bars_ = ax.bar(
            edges[:-1],
            heights,
            np.diff(edges),
            align="edge",
            color=SOURCE,
            edgecolor="white",
            linewidth=0.3,
            label=label,
        )
        self.clip_line_ = None
        if np.isfinite(self.clip):
            share = self.counts[exceeds(self.weights, self.clip)].sum() / total
            self.clip_line_ = ax.axvline(
                np.log(self.clip) / LOG_10,
                color=LIMIT,
                linestyle="--",
                label=f"clip at {self.clip:.3g} ({share:.1%} of rows above)",
            )
        ax.set(xlabel="weight (target / source density, log scale)", ylabel="source rows")
        ratio_ticks(ax)
        legend_above(ax, f"the weighted rows are worth {self.effective_size:,.0f} of {total:,.0f}")
        self.ax_, self.figure_ = ax, ax.figure
        return self
