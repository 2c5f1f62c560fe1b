"""Estimates of the risk over repeated samples: a small part of ``measure_target_risk``."""

import numpy as np
import pytest

from shiftfix.covariate import LogisticWeighter
from shiftfix.risk import target_risk
from tests.statistical.measure_target_risk import bias_of, covariate, covered, fitted_model, none, truth_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("shift", "methods"), [("covariate", ("importance", "doubly_robust")), ("label", ("label_shift",))]
)
def test_intervals_hold_where_the_assumption_does(shift, methods):
    """Of 25 intervals at 95% six or more miss once in 830 times; the source as it is misses more than half."""
    told = covered(shift, 300, methods=(*methods, "source"), n_draws=25)["methods"]
    for method in methods:
        assert told[method]["coverage"] >= 20 / 25
        assert abs(told[method]["bias"]) < 0.02
    if shift == "covariate":
        assert told["source"]["coverage"] < 0.7


def test_a_wrong_ratio_is_refused():
    known = {"methods": ("importance",), "n_draws": 5}
    linear, chosen = (
        covered("wide", 1000, weighter=weighter, **known)["methods"]["importance"]
        for weighter in (LogisticWeighter(), None)
    )
    assert linear["refused"] == 1
    assert chosen["refused"] == 0
    assert abs(chosen["bias"]) < 0.02 < abs(linear["bias"])


def test_weights_see_noise_that_confidence_does_not():
    """Labels of a region are a coin's, and the target has more of it: confidence is off by 7 points, weights by 0."""
    told = bias_of("noisy", methods=("doubly_robust", "pape", "cbpe", "doc"), n_draws=3)["methods"]
    assert all(abs(told[m]["bias"]) < 0.02 for m in ("doubly_robust", "pape"))
    assert all(told[m]["bias"] > 0.05 for m in ("cbpe", "doc"))


def test_labels_hold_under_concept_shift():
    told = covered("concept", 300, methods=("ppi",), n_labels=100, n_target=1000, n_draws=60)["methods"]
    assert told["ppi"]["coverage"] >= 52 / 60


def test_groups_hold_together():
    """All of three groups and the whole at once in 30 draws; four or more misses happen once in 16 times, 7 never."""
    model, held = fitted_model(), 0
    truth = truth_of(model, "covariate", "accuracy")
    X_many, y_many = covariate(np.random.default_rng(1), 300_000)
    groups_many = np.digitize(X_many[:, 2], [-0.5, 0.5])
    right = model.predict(X_many) == y_many
    truths = [truth, *(right[groups_many == g].mean() for g in range(3))]
    for draw in range(30):
        rng = np.random.default_rng([3, draw])
        (X, y), (X_target, _) = none(rng, 600), covariate(rng, 600)
        pair = np.digitize(X[:, 2], [-0.5, 0.5]), np.digitize(X_target[:, 2], [-0.5, 0.5])
        found = target_risk(model, X, y, X_target, groups=pair, n_bootstrap=50)
        parts = [found, *found.groups]
        held += all(part.low <= value <= part.high for part, value in zip(parts, truths, strict=True))
    assert held >= 24
