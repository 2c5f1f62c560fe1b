"""What the plots share: axes on demand, a color per meaning, and a title that says what was found.

Labels are in lower case, a legend stands above the data, and the title above the legend.
"""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix._setting_checks import import_optional

# From the palette of Okabe & Ito (2008), "Color universal design", which color-blind readers can tell apart; what is
# drawn in them also differs in shape or line. One color means one thing in all plots.
BLUE, VERMILION, GREEN, PURPLE, GREY, BLACK = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666", "#222222"
SOURCE, TARGET = BLUE, VERMILION
CORRECTED, UNCORRECTED = GREEN, GREY
TRUTH, LIMIT, HELD_OUT, COST = BLACK, GREY, PURPLE, PURPLE
ALARM = BLACK
# Characters of a title that fit the narrowest of our figures.
TITLE_WIDTH = 58
LONGEST_NAME = 28
LOG_10 = np.log(10)


def get_axes(ax: Any, size: tuple[float, float] = (6.4, 4.0)) -> Any:
    """The axes given, or those of a new figure of ``size`` inches."""
    pyplot = import_optional("matplotlib.pyplot", "plots")
    if ax is None:
        _, ax = pyplot.subplots(figsize=size, layout="constrained")
    return ax


def bin_edges(samples: Sequence[NDArray[np.float64]], n_bins: int) -> NDArray[np.float64]:
    """Equal bins over all samples; one value gets a bin of width 1 around it."""
    least = min(sample.min() for sample in samples)
    most = max(sample.max() for sample in samples)
    if most - least < 1e-9 * max(1.0, abs(most)):
        least, most = least - 0.5, most + 0.5
    return np.linspace(least, most, n_bins + 1)


def ratio_ticks(ax: Any) -> None:
    """Write an axis of log10 ratios as the ratios themselves: 0.1, 1, 10."""
    ticker = import_optional("matplotlib.ticker", "plots")
    low, high = ax.get_xlim()
    if high - low > 2.2:
        ax.xaxis.set_major_locator(ticker.MaxNLocator(nbins=8, integer=True))
    else:
        values = np.concatenate([np.array([1, 2, 5]) * 10.0**k for k in range(int(low) - 2, int(high) + 3)])
        if np.count_nonzero((values >= 10**low) & (values <= 10**high)) < 3:
            values = ticker.MaxNLocator(nbins=6).tick_values(10**low, 10**high)
        inside = np.log10(values[(values >= 10**low) & (values <= 10**high)])
        ax.xaxis.set_major_locator(ticker.FixedLocator(inside))
    far = max(abs(low), abs(high)) > 4
    ax.xaxis.set_major_formatter(
        ticker.FuncFormatter(lambda x, _: f"$10^{{{x:.0f}}}$" if far else f"{float(f'{10.0**x:.6g}'):g}")
    )
    ax.set_xlim(low, high)


def name_ticks(ax: Any, names: Iterable[Any]) -> None:
    """Name the rows 0, 1, ... of an axis, long names shortened."""
    labels = [name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…" for name in map(str, names)]
    ax.set_yticks(np.arange(len(labels)), labels, parse_math=False)


def legend_above(ax: Any, finding: str = "", **options: Any) -> Any:
    """Legend over the axes, where it hides no data, and over it the finding as a title; no line is drawn there."""
    ax.spines[["top", "right"]].set_visible(False)
    legend = ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1), fontsize="small", frameon=False, alignment="left", **options
    )
    if finding:
        # In points; the distance stays when the figure is laid out.
        height = (legend.get_tightbbox().y1 - ax.bbox.y1) * 72 / ax.figure.dpi
        lines = textwrap.wrap(finding, TITLE_WIDTH)
        ax.set_title("\n".join(lines), loc="left", fontsize="medium", pad=height + 3, parse_math=False)
    return legend


def percent_in_title(share: float) -> str:
    """A share in words that fit a title; what is not all of it is not called 100%."""
    text = f"{share:.0%}"
    return f"{share:.1%}" if text in ("0%", "100%") and 0 < share < 1 else text
