"""Weights stay alive: how much of the weight effect a trained network keeps, against the closed form of Bayes' rule.

Two 20-dimensional Gaussians, Bayes error 16%, 1000 rows. The weight effect is the share of fresh rows predicted class 1
by a network trained with weight w on class 1, minus that with 1/w. The log likelihood ratio is N(+-2 m^2, 4 m^2) with
m = Phi^-1(.84), so that the Bayes effect is known: .549 for w = 10 and .647 for w = 16.
"""

import functools
import re
import warnings

import numpy as np
import pytest
from scipy.stats import norm

from shiftfix.exceptions import InactiveWeightsWarning
from shiftfix.mlp import MLPClassifier

M = norm.ppf(0.84)
# The textbook's trainer: plain stochastic gradient descent, no dropout.
DESCENT = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 32}
ADAM = {"optimizer": "adam", "batch_size": 64}


def bayes_effect(w, m=M):
    share = lambda t: norm.sf(t, 2 * m**2, 2 * m) / 2 + norm.sf(t, -2 * m**2, 2 * m) / 2  # noqa: E731
    return share(-np.log(w)) - share(np.log(w))


def sample(rng, n, m=M):
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 20))
    X[:, 0] += m * (2 * y - 1)
    return X, y


def fit(seed, w, width, **settings):
    """Network, and the share of 20,000 fresh rows that it predicts class 1."""
    rng = np.random.default_rng(seed)
    (X, y), (fresh, _) = sample(rng, 1000), sample(rng, 20000)
    model = MLPClassifier((width, width), dropout=0.0, n_models=1, random_state=seed, **settings)
    model.fit(X, y, sample_weight=np.where(y == 1, w, 1.0))
    return model, (model.predict(fresh) == 1).mean()


@functools.cache
def plain_run():
    """Network, share of class 1 and warnings of 150 epochs without early stopping; two tests look at it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        return *fit(0, 10, 256, early_stopping=False, max_epochs=150, **DESCENT), told


def effect(seed, w, width, **settings):
    return fit(seed, w, width, **settings)[1] - fit(seed, 1 / w, width, **settings)[1]


@pytest.mark.parametrize(("w", "expected"), [(10, 0.5491), (16, 0.6468)])
def test_bayes_effect(w, expected):
    """The closed form against the rule itself on 400,000 rows; three standard errors are .003."""
    X, _ = sample(np.random.default_rng(0), 400_000)
    ratio = 2 * M * X[:, 0]
    simulated = (ratio > -np.log(w)).mean() - (ratio > np.log(w)).mean()
    assert bayes_effect(w) == pytest.approx(expected, abs=1e-4)
    assert simulated == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize(("w", "width", "settings"), [(10, 256, DESCENT), (16, 128, ADAM)], ids=["descent", "adam"])
def test_weighted_early_stopping_keeps_the_effect(w, width, settings):
    """Required: four fifths of the Bayes effect. Mean over six seeds of data and start; measured 1.05 and 1.08 of it,
    single seeds .79 to 1.36."""
    found = np.mean([effect(seed, w, width, **settings) for seed in range(6)]) / bayes_effect(w)
    assert 0.8 < found < 1.25


# Means so near that Bayes' rule moves .77 of the rows between 1:10 and 10:1; its error is 22.6%.
NEAR = 0.75285


def spread_of_the_defaults(seed):
    """Share of fresh rows predicted class 1 under 10:1 less that under 1:10."""
    rng = np.random.default_rng(seed)
    (X, y), (fresh, _) = sample(rng, 1000, NEAR), sample(rng, 20000, NEAR)
    fits = [MLPClassifier(random_state=seed).fit(X, y, np.where(y == 1, w, 1.0)) for w in (10, 1 / 10)]
    high, low = ((fitted.predict(fresh) == 1).mean() for fitted in fits)
    return high - low


@pytest.mark.slow
def test_the_defaults_keep_the_effect():
    """Required: within 15% of .77, in the mean over six seeds of data and start. Measured .99, single seeds .91 to
    1.06."""
    assert bayes_effect(10, NEAR) == pytest.approx(0.77, abs=1e-4)
    found = [spread_of_the_defaults(seed) for seed in range(6)]
    assert np.mean(found) / 0.77 == pytest.approx(1, abs=0.15)


@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.InactiveWeightsWarning")
def test_a_plain_run_loses_it():
    """150 epochs without early stopping keep .13 to .15 of it over three seeds, and less than a quarter is asserted."""
    _, share, _ = plain_run()
    _, inverse = fit(0, 1 / 10, 256, early_stopping=False, max_epochs=150, **DESCENT)
    assert share - inverse < bayes_effect(10) / 4


def test_the_diagnostic_fires_on_the_plain_run_and_not_on_the_early_stopped_one():
    """The weights' pull falls below 5% of its start in epoch 37 to 40 over three seeds; the epoch that early stopping
    keeps has half of it or more. A warning in the second fit would be an error."""
    plain, _, told = plain_run()
    assert [warning.category for warning in told] == [InactiveWeightsWarning]
    assert re.match("Since epoch .* hardly act any more: use early_stopping=True", str(told[0].message))
    pull = np.array(plain.history_["weight_effect"])
    assert pull[0] > 0.5
    assert np.flatnonzero(pull < 0.05)[0] + 1 <= 60
    assert (pull[60:] < 0.05).all()
    stopped, _ = fit(0, 10, 256, **DESCENT)
    assert stopped.history_["weight_effect"][stopped.best_epoch_ - 1] > 0.3
