"""All plots speak alike: a title that says what was found, lower case, a color per meaning, no legend on data."""

import numpy as np
import pytest

from shiftfix._verdict import Verdict
from shiftfix.display import (
    BalanceDisplay,
    CoverageDisplay,
    LearningCurveDisplay,
    MonitorDisplay,
    OverlapDisplay,
    PriorDisplay,
    RiskDisplay,
    WeightDisplay,
)
from shiftfix.display._axes import CORRECTED, SOURCE, TARGET, TRUTH
from shiftfix.risk import RiskEstimate, RiskMonitor

RNG = np.random.default_rng(0)
X, X_TARGET = RNG.normal(size=(200, 2)), RNG.normal([2, 0], 1, (150, 2))


def estimate(value, level="ok"):
    return RiskEstimate(
        value, value - 0.05, value + 0.05, 0.02, "accuracy", "cbpe", "scores", 0.95, 200, 150, 0, Verdict(level)
    )


def watched(right):
    monitor = RiskMonitor(0.9, n_reference=1000, classes=[0, 1], window=200)
    history = []
    for batch in range(3):
        proba = np.full((100, 2), [0.1, 0.9])
        monitor.update(proba)
        rows = np.arange(100 * batch, 100 * batch + 100)
        monitor.update_labels(rows, np.where(np.arange(100) < 100 * right, 1, 0))
        history.append((monitor.estimate(), monitor.alarms_))
    return MonitorDisplay.from_history(history)


LOSSES = {"train_loss": [2.0, 1.0, 0.5], "validation_loss": [2.0, 1.0, 1.5], "weight_effect": [1.0, 0.2, 0.01]}

# Each: how it is drawn, and what its title must say.
FINDINGS = {
    "weights": (lambda: WeightDisplay.from_weights(np.r_[np.ones(50), np.zeros(50)]), "worth 50 of 100"),
    "overlap": (
        lambda: OverlapDisplay.from_arrays([0.0, 1.0, 2.0], [1.0, 1.5, 3.0, 4.0]),
        "source rows reach 50% of the target",
    ),
    "balance, out": (
        lambda: BalanceDisplay.from_weights(X, X_TARGET, np.ones(200), squares=False),
        "1 of 2 means stay",
    ),
    "balance, in": (lambda: BalanceDisplay.from_weights(X, X.copy(), np.ones(200)), "all 4 means are in balance"),
    "prior": (lambda: PriorDisplay.from_priors([0.5, 0.5], [0.8, 0.2]), "the share of 0 rises from 50% to 80%"),
    "prior, sure of nothing": (
        lambda: PriorDisplay.from_priors([0.5, 0.5], [0.6, 0.4], interval=[[0.4, 0.8], [0.2, 0.6]]),
        "no class share moved beyond its interval",
    ),
    "prior, the same": (lambda: PriorDisplay.from_priors([0.5, 0.5], [0.5, 0.5]), "no class share moved"),
    "curve": (lambda: LearningCurveDisplay.from_history({"train_loss": [2.0, 0.5]}), "from 2 to 0.5 in 2 epochs"),
    "curve, stopped": (lambda: LearningCurveDisplay.from_history(LOSSES, best_epoch=2), "in epoch 2 of 3"),
    "curve, effect": (lambda: LearningCurveDisplay.from_history(LOSSES, weight_effect=True), "hardly act any more"),
    "risk": (lambda: RiskDisplay.from_comparison({"a": estimate(0.8), "b": estimate(0.7)}), "between 0.7 and 0.8"),
    "risk, judged": (
        lambda: RiskDisplay.from_comparison({"a": estimate(0.8), "b": estimate(0.7)}, true_value=0.81),
        "1 of 2 supported intervals hold the truth",
    ),
    "risk, none": (lambda: RiskDisplay.from_comparison({"a": estimate(0.8, "abstain")}), "support no estimate"),
    "coverage, kept": (lambda: CoverageDisplay.from_coverage([0.8, 0.9], [0.8, 0.91], 200), "nowhere below"),
    "coverage, missed": (
        lambda: CoverageDisplay.from_coverage([0.8, 0.9], [0.5, 0.85], 200),
        "of 80% asked for, 50% are kept",
    ),
    "monitor, calm": (lambda: watched(0.95), "no alarm in 3 batches"),
    "monitor, alarm": (lambda: watched(0.1), "alarm on"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FINDINGS)
def test_the_title_says_the_finding(name):
    draw, words = FINDINGS[name]
    ax = draw().ax_
    assert words in ax.get_title(loc="left").replace("\n", " ")
    for text in (ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()):
        assert text[:1] == text[:1].lower()


@pytest.mark.slow
@pytest.mark.parametrize("name", FINDINGS)
def test_the_legend_lies_between_title_and_data(name):
    """In pixels, after the figure is laid out."""
    display = FINDINGS[name][0]()
    display.figure_.canvas.draw()
    ax = display.ax_
    legend, title = ax.get_legend().get_tightbbox(), ax._left_title.get_window_extent()
    assert legend.y0 >= ax.get_window_extent().y1 - 1
    assert title.y0 >= legend.y1 - 1
    assert title.y1 <= display.figure_.bbox.y1 + 1


@pytest.mark.slow
@pytest.mark.parametrize("name", FINDINGS)
def test_no_line_is_drawn_where_the_legend_stands(name):
    spines = FINDINGS[name][0]().ax_.spines
    assert not spines["top"].get_visible()
    assert not spines["right"].get_visible()


def test_one_color_means_one_thing():
    overlap = FINDINGS["overlap"][0]()
    prior = PriorDisplay.from_priors([0.5, 0.5], [0.8, 0.2], true_prior=[0.7, 0.3])
    balance = FINDINGS["balance, out"][0]()
    assert overlap.target_.get_edgecolor()[:3] == pytest.approx(_rgb(TARGET))
    assert overlap.source_.get_facecolor()[:3] == pytest.approx(_rgb(SOURCE))
    assert (prior.source_.get_color(), prior.target_.get_color()) == (SOURCE, TARGET)
    assert prior.truth_.get_color() == TRUTH
    assert balance.after_.lines[0].get_color() == CORRECTED


def _rgb(color):
    return tuple(int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))


def test_a_name_is_no_formula():
    display = PriorDisplay.from_priors([0.5, 0.5], [0.8, 0.2], classes=["$a", "b$"])
    display.figure_.canvas.draw()
    assert "$a" in display.ax_.get_title(loc="left")
