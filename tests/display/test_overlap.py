import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.covariate import LogisticWeighter
from shiftfix.display import OverlapDisplay
from shiftfix.exceptions import ShiftDataError
from tests.display.helpers import labels


def test_histograms_hold_the_densities():
    """Ratios .1, 2, 2 against 2, 10 in 2 bins of width 1 in log10: source densities 1/3, 2/3, target 0, 1."""
    display = OverlapDisplay.from_arrays(np.log([0.1, 2, 2]), np.log([2, 10]), bins=2)
    values, edges, _ = display.source_.get_data()
    assert_allclose(values, [1 / 3, 2 / 3])
    assert_allclose(edges, [-1, 0, 1], atol=1e-12)
    assert_allclose(display.target_.get_data().values, [0, 1])


@pytest.mark.parametrize("mu", [0.5, 1.0])
def test_the_numbers_are_those_of_the_weighter(rng, mu):
    X, Y = rng.normal(size=(500, 1)), rng.normal(mu, 1, (400, 1))
    weighter = LogisticWeighter(clip=2).fit(X, Y)
    display = OverlapDisplay.from_estimator(weighter, X, Y)
    assert_allclose(display.log_ratio_target, weighter.log_ratio(Y))
    assert display.domain_auc == pytest.approx(weighter.summary_.domain_auc)
    assert display.target_clipped_share == pytest.approx(weighter.summary_.target_clipped_share)
    assert display.clip_line_.get_xdata()[0] == pytest.approx(np.log10(2))
    for artist in (display.source_, display.target_):
        values, edges, _ = artist.get_data()
        assert values @ np.diff(edges) == pytest.approx(1)
    assert f"{display.target_clipped_share:.1%} of the target above the clip" in labels(display.ax_)
    assert f"{display.domain_auc:.3f}" in display.ax_.get_legend().get_title().get_text()


def test_without_a_clip_the_largest_source_ratio_is_the_reach():
    display = OverlapDisplay.from_arrays([0.0, 1.0], [0.5, 2.0, 3.0, 1.0])
    assert display.target_clipped_share == 0.5
    assert display.clip_line_.get_xdata()[0] == pytest.approx(1 / np.log(10))
    assert "above every source row" in labels(display.ax_)


def test_repeat_counts_equal_repeated_rows(rng):
    a, b = rng.normal(size=20), rng.normal(size=15)
    c, d = rng.integers(0, 4, 20), rng.integers(0, 4, 15)
    counted = OverlapDisplay.from_arrays(a, b, sample_weight_source=c, sample_weight_target=d)
    repeated = OverlapDisplay.from_arrays(np.repeat(a, c), np.repeat(b, d))
    assert counted.domain_auc == pytest.approx(repeated.domain_auc)
    for name in ("source_", "target_"):
        for one, other in zip(
            getattr(counted, name).get_data()[:2], getattr(repeated, name).get_data()[:2], strict=True
        ):
            assert_allclose(one, other, atol=1e-12)


def test_axes_are_used_or_made():
    display = OverlapDisplay.from_arrays([0.0, 1], [0.0, 1])
    ax = display.ax_
    assert display.plot(ax).ax_ is ax
    assert "target / source" in ax.get_xlabel()


def test_errors():
    with pytest.raises(ShiftDataError, match="NaN"):
        OverlapDisplay.from_arrays([np.nan], [0.0])
