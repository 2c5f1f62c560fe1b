"""Starting weights: their spread in closed form, the signal through deep networks, and symmetry that never breaks."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import kstest, norm

from shiftfix.exceptions import ShiftDataError, SymmetricUnitsWarning
from shiftfix.mlp import MLPClassifier
from shiftfix.mlp._network._initializers import CONSTANTS, GAINS, RANDOM, initialize
from shiftfix.mlp._network._module import ACTIVATIONS, build_mlp

N_IN, N_OUT, GAIN = 300, 500, 1.7
DEVIATIONS = {
    "normal": 0.01,
    "uniform": 1 / (3 * N_IN) ** 0.5,
    "lecun_normal": 1 / N_IN**0.5,
    "lecun_uniform": 1 / N_IN**0.5,
    "xavier_normal": (2 / (N_IN + N_OUT)) ** 0.5,
    "xavier_uniform": (2 / (N_IN + N_OUT)) ** 0.5,
    "kaiming_normal": GAIN / N_IN**0.5,
    "kaiming_uniform": GAIN / N_IN**0.5,
}


def filled(initializer, seed=0):
    weight = torch.empty(N_OUT, N_IN)
    initialize(weight, initializer, GAIN, torch.Generator().manual_seed(seed))
    return weight.numpy().ravel().astype(float)


@pytest.mark.slow
@pytest.mark.parametrize("name", RANDOM)
def test_weights_follow_their_law(name):
    """150,000 draws against the distribution function: a spread wrong by 1% is rejected, a wrong law at once."""
    deviation = DEVIATIONS[name]
    law = (
        norm(0, deviation).cdf
        if name.endswith("normal")
        else lambda x: np.clip(x / (2 * 3**0.5 * deviation) + 0.5, 0, 1)
    )
    assert kstest(filled(name), law).pvalue > 0.001
    assert kstest(filled(name) * 1.02, law).pvalue < 0.001
    assert np.array_equal(filled(name), filled(name))
    assert not np.array_equal(filled(name), filled(name, seed=1))


def test_constants_and_functions():
    assert (filled("zeros") == 0).all()
    assert (filled("ones") == 1).all()
    assert (filled(0.25) == 0.25).all()
    assert (filled(lambda weight, generator: weight.fill_(3.0)) == 3).all()


@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name not in ("tanh", "sigmoid")])
def test_gains_keep_the_mean_square_of_a_normal_signal(activation):
    """1 / sqrt(E f(z)^2) by quadrature; tanh's 5/3 is a convention, and no gain keeps a sigmoid's."""
    f = lambda z: ACTIVATIONS[activation]()(torch.tensor(z, dtype=torch.float64)).item()  # noqa: E731
    square, _ = quad(lambda z: f(z) ** 2 * norm.pdf(z), -10, 10)
    assert GAINS[activation] == pytest.approx(square**-0.5, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "identity"])
@pytest.mark.parametrize("law", ["normal", "uniform"])
def test_the_signal_survives_twenty_layers(activation, law):
    """Kaiming: the mean square at the output stays within a factor of three; a deviation of .01 loses it altogether.
    (GELU is not homogeneous, so that small departures from a unit signal grow with the layers.)"""
    sizes = (400,) * 20
    X = torch.randn(200, 400, generator=torch.Generator().manual_seed(0))
    found = {}
    for initializer in (f"kaiming_{law}", "normal"):
        module = build_mlp(400, sizes, 400, activation, 0.0, torch.Generator().manual_seed(1), None, initializer)
        found[initializer] = module(X).square().mean().item()
    assert 1 / 3 < found[f"kaiming_{law}"] < 3
    assert found["normal"] < 1e-6


SETTINGS = {"hidden_layer_sizes": (5,), "max_epochs": 5, "batch_size": 16, "n_models": 1, "random_state": 0}


@pytest.fixture
def rows(rng):
    X = rng.normal(size=(80, 3))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def first_layer(model):
    return next(model.module_.parameters()).detach().numpy()


@pytest.mark.slow
@pytest.mark.parametrize("initializer", [0.1, "ones"])
def test_equal_units_stay_equal_without_dropout_and_part_with_it(initializer, rows):
    with pytest.warns(SymmetricUnitsWarning, match="stay equal for ever"):
        alike = first_layer(MLPClassifier(initializer=initializer, dropout=0.0, **SETTINGS).fit(*rows))
    assert np.ptp(alike, axis=0).max() < 1e-6
    assert (
        np.ptp(first_layer(MLPClassifier(initializer=initializer, dropout=0.5, **SETTINGS).fit(*rows)), axis=0).max()
        > 1e-3
    )


@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.GradientWarning")
def test_weights_of_zero_get_no_gradient(rows):
    with pytest.warns(SymmetricUnitsWarning, match="get no gradient"):
        model = MLPClassifier(initializer="zeros", dropout=0.5, **SETTINGS).fit(*rows)
    assert (first_layer(model) == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("initializer", [*RANDOM, lambda weight, generator: weight.normal_(generator=generator)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_start_trains_under_every_activation(initializer, activation, rows):
    model = MLPClassifier(initializer=initializer, activation=activation, dropout=0.1, **SETTINGS).fit(*rows)
    assert np.isfinite(model.predict_proba(rows[0])).all()


def test_a_linear_model_has_no_units_to_tell_apart(rows):
    MLPClassifier((), initializer="zeros", max_epochs=2).fit(*rows)


@pytest.mark.parametrize("initializer", ["he", True, np.nan, None])
def test_unknown_initializers(initializer, rows):
    with pytest.raises(ShiftDataError, match="initializer="):
        MLPClassifier(initializer=initializer, **SETTINGS).fit(*rows)
    assert set(CONSTANTS) == {"zeros", "ones"}
