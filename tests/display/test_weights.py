import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.covariate import LogisticWeighter
from shiftfix.display import WeightDisplay
from shiftfix.exceptions import ShiftDataError
from shiftfix.weights import clip_weights, effective_sample_size
from tests.display.helpers import labels, pyplot


def test_bars_count_rows_by_log_weight():
    """Weights 0.1, 2, 20 and 100 in 3 bins over log10 from -1 to 2: 1, 2 and 1 + 4 rows."""
    w = [0.1, 2, 2, 20, 100, 100, 100, 100]
    display = WeightDisplay.from_weights(w, bins=3)
    assert [bar.get_height() for bar in display.bars_] == [1, 2, 5]
    assert_allclose([bar.get_x() for bar in display.bars_], [-1, 0, 1], atol=1e-12)
    assert display.clip_line_ is None


def test_clip_and_effective_size(rng):
    w = rng.exponential(size=300)
    display = WeightDisplay.from_weights(w, clip=2.0)
    assert display.clip_line_.get_xdata()[0] == pytest.approx(np.log10(2))
    assert display.effective_size == pytest.approx(effective_sample_size(clip_weights(w, 2.0)))
    text = labels(display.ax_)
    assert f"ESS {display.effective_size:.0f} of 300 rows" in text
    assert f"clip at 2 ({np.mean(w > 2):.1%} of rows above)" in text


def test_zeros_and_counts():
    display = WeightDisplay.from_weights([0, 0, 1, 2], sample_weight=[1, 2, 3, 4], bins=2)
    assert [bar.get_height() for bar in display.bars_] == [3, 4]
    assert "3 rows of weight 0 not shown" in labels(display.ax_)


def test_one_value_is_one_bar():
    assert sum(bar.get_height() > 0 for bar in WeightDisplay.from_weights(np.ones(10)).bars_) == 1


@pytest.mark.slow
def test_from_a_weighter(rng):
    X, Y = rng.normal(size=(400, 2)), rng.normal(0.5, 1, (300, 2))
    weighter = LogisticWeighter(clip=1.5).fit(X, Y)
    display = WeightDisplay.from_estimator(weighter, X, Y)
    assert_allclose(display.weights, np.exp(weighter.log_ratio(X)))
    assert display.clip == pytest.approx(1.5)
    assert display.effective_size == pytest.approx(weighter.summary_.effective_size)
    assert WeightDisplay.from_estimator(LogisticWeighter(clip=None).fit(X, Y), X).clip_line_ is None


@pytest.mark.slow
def test_axes_are_used_or_made(rng):
    _, ax = pyplot().subplots()
    display = WeightDisplay.from_weights(rng.exponential(size=50), ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert display.plot().ax_ is not ax
    assert "target / source" in ax.get_xlabel()
    assert ax.get_ylabel() == "source rows"


@pytest.mark.slow
@pytest.mark.parametrize("w", [np.exp(np.linspace(-9, 9, 50)), np.linspace(0.8, 1.3, 50), np.linspace(0.1, 9, 50)])
def test_ticks_are_weights(w):
    """A label is the number 10^tick, written out or as a power."""
    ax = WeightDisplay.from_weights(w).ax_
    ax.figure.canvas.draw()
    ticks = [(t, label.get_text()) for t, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)]
    ticks = [(t, text) for t, text in ticks if text]
    assert len(ticks) >= 3
    for tick, text in ticks:
        value = 10.0 ** int(text[5:-2]) if text.startswith("$") else float(text)
        assert value == pytest.approx(10**tick, rel=1e-4)


def test_errors():
    with pytest.raises(ShiftDataError, match="negative"):
        WeightDisplay.from_weights([1, -1])
    with pytest.raises(ShiftDataError, match="bins"):
        WeightDisplay.from_weights([1, 2], bins=0)
