"""Log ratios of the source rows against those of the target rows."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

from shiftfix._door import PublicCalls
from shiftfix._setting_checks import check_count
from shiftfix._validation import check_repeat_counts, check_vector
from shiftfix.display._axes import (
    LIMIT,
    LOG_10,
    SOURCE,
    TARGET,
    bin_edges,
    get_axes,
    legend_above,
    percent_in_title,
    ratio_ticks,
)
from shiftfix.weights import EQUAL_TO


class OverlapDisplay(PublicCalls):
    """Whether there are source rows where the target is.

    Two histograms of the log ratio, each of area 1. Where the target's lies to the right of every source row,
    no weight can repair the difference. Make one with :meth:`from_estimator` or :meth:`from_arrays`.

    Parameters
    ----------
    log_ratio_source : ndarray of shape (n_source,)
        log(target density / source density) at the source rows, natural logarithm, not clipped.
    log_ratio_target : ndarray of shape (n_target,)
    log_clip : float
        Logarithm of the clip; infinity for none.
    counts_source, counts_target : ndarray
        Repeat counts of the rows.
    domain_auc : float
        P(ratio of a target row > ratio of a source row), ties counted half.
    target_clipped_share : float
        Share of the target rows above the clip or, without one, above every source row.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    source_, target_ : StepPatch
        The histograms over log10 of the ratio; ``get_data()`` gives densities and edges.
    clip_line_ : Line2D
        At the clip or, without one, at the largest source ratio.

    See Also
    --------
    WeightDisplay : Draws the weights and their clip.
    BalanceDisplay : Draws the balance of features.
    shiftfix.weights.summarize_weights : Size, overlap, verdict.
    """

    def __init__(
        self,
        log_ratio_source: NDArray[np.float64],
        log_ratio_target: NDArray[np.float64],
        *,
        log_clip: float,
        counts_source: NDArray[np.float64],
        counts_target: NDArray[np.float64],
        domain_auc: float,
        target_clipped_share: float,
    ) -> None:
        self.log_ratio_source = log_ratio_source
        self.log_ratio_target = log_ratio_target
        self.log_clip = log_clip
        self.counts_source = counts_source
        self.counts_target = counts_target
        self.domain_auc = domain_auc
        self.target_clipped_share = target_clipped_share

    @classmethod
    def from_arrays(
        cls,
        log_ratio_source: ArrayLike,
        log_ratio_target: ArrayLike,
        *,
        log_clip: float = np.inf,
        sample_weight_source: ArrayLike | None = None,
        sample_weight_target: ArrayLike | None = None,
        ax: Any = None,
        bins: int = 40,
    ) -> Self:
        """Draw log ratios.

        Parameters
        ----------
        log_ratio_source : array-like of shape (n_source,)
            Natural logarithm of target / source density at the source rows.
        log_ratio_target : array-like of shape (n_target,)
        log_clip : float, default=inf
            Logarithm of the clip.
        sample_weight_source, sample_weight_target : array-like, default=None
            Repeat counts of the rows.
        ax : matplotlib Axes, default=None
            None makes a new figure.
        bins : int, default=40

        Returns
        -------
        OverlapDisplay

        Raises
        ------
        ShiftDataError
            For empty, NaN or infinite log ratios.
        MissingDependencyError
            When matplotlib is not installed.
        """
        source = check_vector(log_ratio_source, "log_ratio_source")
        target = check_vector(log_ratio_target, "log_ratio_target")
        counts_source = check_repeat_counts(sample_weight_source, source.size, "sample_weight_source")
        counts_target = check_repeat_counts(sample_weight_target, target.size, "sample_weight_target")
        source, counts_source = source[counts_source > 0], counts_source[counts_source > 0]
        target, counts_target = target[counts_target > 0], counts_target[counts_target > 0]
        reach = log_clip if np.isfinite(log_clip) else source.max()
        auc = roc_auc_score(
            np.repeat([0, 1], [source.size, target.size]),
            np.append(source, target),
            sample_weight=np.append(counts_source, counts_target),
        )
        display = cls(
            source,
            target,
            log_clip=float(log_clip),
            counts_source=counts_source,
            counts_target=counts_target,
            domain_auc=float(auc),
            # A clip that is itself a weight has none of its ties above it.
            target_clipped_share=float(np.average(target > reach + EQUAL_TO, weights=counts_target)),
        )
        return display.plot(ax=ax, bins=bins)

    @classmethod
    def from_estimator(
        cls,
        weighter: Any,
        X_source: ArrayLike,
        X_target: ArrayLike,
        *,
        sample_weight_source: ArrayLike | None = None,
        sample_weight_target: ArrayLike | None = None,
        ax: Any = None,
        bins: int = 40,
    ) -> Self:
        """Draw the log ratios of a fitted weighter at source and target rows.

        Parameters
        ----------
        weighter : fitted weighter
            With ``log_ratio`` and ``log_clip_``, as all in ``shiftfix.covariate``.
        X_source : array-like of shape (n_source, n_features)
        X_target : array-like of shape (n_target, n_features)
        sample_weight_source, sample_weight_target : array-like, default=None
            Repeat counts of the rows.
        ax : matplotlib Axes, default=None
        bins : int, default=40

        Returns
        -------
        OverlapDisplay

        Raises
        ------
        ShiftDataError
            For rows that cannot be used.
        """
        return cls.from_arrays(
            weighter.log_ratio(X_source),
            weighter.log_ratio(X_target),
            log_clip=weighter.log_clip_,
            sample_weight_source=sample_weight_source,
            sample_weight_target=sample_weight_target,
            ax=ax,
            bins=bins,
        )

    def plot(self, ax: Any = None, *, bins: int = 40) -> Self:
        """Draw, on ``ax`` or a new figure; returns self."""
        bins = check_count(bins, "bins")
        ax = get_axes(ax)
        source, target = self.log_ratio_source / LOG_10, self.log_ratio_target / LOG_10
        edges = bin_edges([source, target], bins)
        n_source, n_target = self.counts_source.sum(), self.counts_target.sum()
        in_source, _ = np.histogram(source, edges, weights=self.counts_source / n_source)
        in_target, _ = np.histogram(target, edges, weights=self.counts_target / n_target)
        width = edges[1] - edges[0]
        self.source_ = ax.stairs(
            in_source / width, edges, fill=True, color=SOURCE, alpha=0.45, label=f"source ({n_source:,.0f} rows)"
        )
        self.target_ = ax.stairs(
            in_target / width, edges, color=TARGET, linewidth=1.8, label=f"target ({n_target:,.0f} rows)"
        )
        clipped = np.isfinite(self.log_clip)
        reach = self.log_clip if clipped else self.log_ratio_source.max()
        where = "the clip" if clipped else "every source row"
        self.clip_line_ = ax.axvline(
            reach / LOG_10,
            color=LIMIT,
            linestyle="--",
            label=f"{self.target_clipped_share:.1%} of the target above {where}",
        )
        ax.set(xlabel="density ratio target / source (log scale)", ylabel="share of rows per factor of 10")
        ratio_ticks(ax)
        reached = percent_in_title(1 - self.target_clipped_share)
        finding = f"source rows reach {reached} of the target"
        legend_above(ax, finding, title=f"domain AUC {self.domain_auc:.3f}", title_fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self
