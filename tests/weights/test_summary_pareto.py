"""Pareto k, the raw mean's standard error and the worst balance in the summary of weights."""

import numpy as np
import pytest

from shiftfix.weights import balance_table, pareto_k, pareto_k_threshold, summarize_weights


def pareto_weights(k, n=10_000):
    """Quantiles of a Pareto distribution of tail index k, mean 1 for k < 1."""
    u = (np.arange(n) + 0.5) / n
    return (1 - k) * u**-k if k < 1 else u**-k / np.mean(u**-k)


@pytest.mark.parametrize(("k", "verdict"), [(0.3, "ok"), (0.6, "ok"), (0.85, "caution"), (1.3, "abstain")])
def test_the_tail_decides(k, verdict):
    """Clipped at 5 all have over 100 effective rows; threshold .7, fit of exact quantiles within .05 of k."""
    summary = summarize_weights(pareto_weights(k), clip=5)
    assert summary.pareto_k == pytest.approx(k, abs=0.05)
    assert summary.pareto_k_threshold == 0.7
    assert summary.verdict == verdict
    assert ("Pareto k" in "".join(summary.reasons)) == (verdict != "ok")


def test_a_tail_that_cannot_be_judged_is_a_reason_for_care_only():
    summary = summarize_weights([1.0] * 500 + [1.5])
    assert summary.pareto_k == np.inf
    assert summary.verdict == "caution"
    assert "tail" in summary.reasons[0]


def test_k_is_that_of_the_raw_weights(rng):
    w = rng.exponential(size=500)
    summary = summarize_weights(w, clip=1)
    assert (summary.pareto_k, summary.pareto_k_threshold) == (pareto_k(w), pareto_k_threshold(500))


def test_standard_error_of_the_raw_mean():
    summary = summarize_weights([0.5, 1.5] * 200)
    assert summary.raw_mean_se == pytest.approx(0.5 / 20)
    assert summarize_weights(np.full(50, 1e308)).raw_mean_se == pytest.approx(0, abs=1e295)


def test_names_the_three_worst_balanced(rng):
    X_source, X_target = rng.normal(size=(400, 4)), rng.normal([0, 0.5, 2, 1], 1, (300, 4))
    balance = balance_table(X_source, X_target, np.ones(400), feature_names=["a", "b", "c<", "d"], squares=False)
    summary = summarize_weights(np.ones(400), balance=balance)
    assert [entry.name for entry in summary.worst_balanced] == ["c<", "d", "b"]
    assert [entry.after for entry in summary.worst_balanced] == balance.worst(3).after.tolist()
    lines = str(summary).splitlines()
    assert [line.split()[0] for line in lines if "(s.e." in line][1:] == ["worst", "d", "b"]
    assert "c&lt;" in summary._repr_html_()
    assert "c<" not in summary._repr_html_()
    assert summarize_weights(np.ones(400)).worst_balanced is None
