"""Losses, the pull of the weights and norms of layers against numpy; warnings that come, and that stay away."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from torch import nn

from shiftfix.exceptions import GradientWarning, InactiveWeightsWarning, LowEffectiveSizeWarning
from shiftfix.mlp import MLPClassifier, MLPRegressor, WeightedTrainer
from shiftfix.mlp._network._dropout import Dropout
from shiftfix.mlp._network._layers import GaussianNoise, Linear
from shiftfix.mlp._training._diagnostics import LayerNorms, loss_summary, warn_of_gradients


def numbers(*values):
    return torch.tensor(np.array(values, dtype=float))


class TestLossSummary:
    @pytest.mark.slow
    @given(
        losses=arrays(float, 9, elements=st.floats(0, 50)),
        w=arrays(float, 9, elements=st.floats(0.01, 20)),
        floor=st.floats(0, 1),
    )
    def test_against_numpy(self, losses, w, floor):
        w[0] = 2 * w[1]
        w = w / w.mean()
        found = loss_summary(torch.tensor(losses), torch.tensor(w), floor, False)
        pull = np.sum(np.abs(w - 1) * (losses - floor)) / np.sum(np.abs(w - 1))
        expected = [np.average(losses, weights=w), losses.mean(), pull]
        assert_allclose([float(part) for part in found], expected, rtol=1e-9, atol=1e-9)

    def test_models_are_kept_apart(self, rng):
        losses, w = torch.tensor(rng.exponential(size=(3, 8))), torch.tensor(rng.exponential(size=(3, 8)))
        for drawn in (False, True):
            together = loss_summary(losses, w, 0.1, drawn)
            alone = [loss_summary(losses[k], w[k], 0.1, drawn) for k in range(3)]
            for i in range(3):
                assert together[i].shape == (3,)
                assert_allclose(together[i], [float(a[i]) for a in alone], rtol=1e-12)

    @pytest.mark.slow
    def test_drawn_rows_estimate_the_same_three_numbers(self, rng):
        """200,000 draws in proportion to w from 9 rows: within 1%, 4 standard errors or more. Weights used a second
        time would miss each number by more than 5%."""
        losses, w = rng.exponential(size=9), rng.exponential(size=9) + 0.1
        w = w / w.mean()
        drawn = rng.choice(9, 200_000, p=w / 9)
        exact = [float(part) for part in loss_summary(numbers(*losses), numbers(*w), 0.05, False)]
        found = [float(part) for part in loss_summary(numbers(*losses[drawn]), numbers(*w[drawn]), 0.05, True)]
        assert_allclose(found, exact, rtol=0.01)
        twice = [float(part) for part in loss_summary(numbers(*losses[drawn]), numbers(*w[drawn]), 0.05, False)]
        assert (np.abs(np.array(twice) / exact - 1) > 0.05).all()

    def test_float32_sums_do_not_lose_digits(self):
        """1e8 + 1 is 1e8 in float32."""
        for part in loss_summary(torch.tensor([1e8, 1.0]), torch.tensor([0.5, 1.5]), 0.0, False)[1:]:
            assert float(part) == 50_000_000.5


def blobs(n=200, d=5, gap=2.0, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, d))
    X[:, 0] += gap * (y - 0.5)
    return X, y, rng.exponential(size=n) + 0.1


PLAIN = {"dropout": 0.0, "early_stopping": False, "random_state": 0}
inactive = pytest.mark.filterwarnings("ignore::shiftfix.exceptions.InactiveWeightsWarning")


class TestWeightEffect:
    @pytest.mark.slow
    def test_one_at_the_start(self):
        """A step too small to matter: the pull is that of the untrained network."""
        X, y, w = blobs()
        for more in ({}, {"label_smoothing": 0.2}, {"n_models": 2}, {"loss": "polynomial_tail"}):
            model = MLPClassifier((16,), learning_rate=1e-9, max_epochs=2, **PLAIN, **more).fit(X, y, w)
            assert_allclose(model.history_["weight_effect"], 1, atol=1e-5)

    @pytest.mark.slow
    @inactive
    @pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
    @pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
    def test_nothing_is_left_of_it_in_a_network_that_interpolates(self, loss, smoothing):
        """Label smoothing leaves each row a loss above 0 that no network can undercut; the effect still goes to 0."""
        X, y, w = blobs(60, 60, gap=0.5)
        steps = {"learning_rate": 0.01, "max_epochs": 60, "batch_size": 32}
        model = MLPClassifier((64,), loss=loss, label_smoothing=smoothing, **steps, **PLAIN)
        effect = model.fit(X, y, w).history_["weight_effect"]
        assert effect[0] > 0.3
        assert -1e-6 < effect[-1] < 0.01

    @pytest.mark.slow
    def test_it_stays_where_classes_overlap(self):
        """A linear model of classes 1 deviation apart: the least expected loss is .60 of log 2."""
        X, y, w = blobs(2000, 5, gap=1.0)
        effect = MLPClassifier((), learning_rate=0.02, max_epochs=30, **PLAIN).fit(X, y, w).history_["weight_effect"]
        assert 0.6 < min(effect) <= max(effect) < 1.1

    @pytest.mark.slow
    def test_the_first_epoch_against_numpy(self):
        """One full batch: the losses met are those of the start, so the effect is 1; after two, that of the first
        step, from predict_proba of a model stopped there."""
        X, y, w = blobs(80)
        settings = {**PLAIN, "batch_size": None, "learning_rate": 0.05}
        model = MLPClassifier((8,), max_epochs=2, **settings).fit(X, y, w)
        pulls = []
        for rate in (1e-12, 0.05):
            met = MLPClassifier((8,), max_epochs=1, **{**settings, "learning_rate": rate}).fit(X, y, w)
            losses = -np.log(met.predict_proba(X)[np.arange(80), y])
            distance = np.abs(w / w.mean() - 1)
            pulls.append(np.average(losses, weights=distance))
        assert_allclose(model.history_["weight_effect"], [1, pulls[1] / pulls[0]], rtol=1e-5)

    @pytest.mark.parametrize("scale", [1e-6, 1e6])
    @pytest.mark.parametrize("weighting", ["loss", "resample"])
    def test_the_scale_of_the_weights_does_not_matter(self, scale, weighting):
        X, y, w = blobs(100)
        model = MLPClassifier((8,), max_epochs=5, weighting=weighting, **PLAIN)
        once = model.fit(X, y, w).history_["weight_effect"]
        assert_allclose(model.fit(X, y, scale * w).history_["weight_effect"], once, atol=1e-5)

    def test_drawing_rows_tells_about_the_same(self):
        """A linear model that hardly moves: within 10% of 1 for 2000 rows drawn once."""
        X, _, _ = blobs(2000)
        w = np.where(np.abs(X[:, 1]) > 1, 3.0, 0.5)
        model = MLPRegressor((), learning_rate=1e-9, max_epochs=3, weighting="resample", early_stopping=False)
        effect = model.set_params(random_state=0).fit(X, X[:, 1] ** 2, w).history_["weight_effect"]
        assert_allclose(effect, 1, atol=0.1)

    def test_absent_for_equal_weights(self):
        X, y, _ = blobs(50)
        for w in (None, np.full(50, 3.0)):
            assert "weight_effect" not in MLPClassifier((4,), max_epochs=2, **PLAIN).fit(X, y, w).history_


class TestLayerNorms:
    def test_activations_and_gradients_by_hand(self):
        """h = relu(A x), z = B h, l = sum z: dl/dB = sum of h over the rows, dl/dA = 1[h > 0] B' x."""
        rng = np.random.default_rng(0)
        A, B, x = rng.normal(size=(3, 2)), rng.normal(size=(1, 3)), rng.normal(size=(5, 2))
        net = nn.Sequential(
            nn.utils.skip_init(nn.Linear, 2, 3, bias=False), nn.ReLU(), nn.utils.skip_init(nn.Linear, 3, 1, bias=False)
        ).double()
        with torch.no_grad():
            net[0].weight.copy_(torch.tensor(A))
            net[2].weight.copy_(torch.tensor(B))
        norms = LayerNorms(net)
        assert norms.names == ["0", "2"]
        with norms.watch():
            net(torch.tensor(x)).sum().backward()
        h = np.maximum(x @ A.T, 0)
        rms = lambda a: np.sqrt(np.mean(a**2))  # noqa: E731
        assert_allclose([float(norms.activations[k]) for k in "02"], [rms(h), rms(h @ B.T)], rtol=1e-6)
        slope = ((h > 0) * B).T @ x
        assert_allclose(
            [float(norms.gradients()[k]) for k in "02"],
            [np.sqrt((slope**2).sum()), np.sqrt((h.sum(axis=0) ** 2).sum())],
            rtol=1e-6,
        )

    def test_noise_is_left_out_of_the_activations_and_batch_norm_is_not(self):
        torch_generator = torch.Generator().manual_seed(0)
        for noise in (Dropout(0.9, torch_generator), GaussianNoise(100.0, torch_generator)):
            net = nn.Sequential(Linear(torch.ones(4, 1)), nn.Tanh(), noise).train()
            norms = LayerNorms(net)
            with norms.watch():
                net(torch.ones(3, 1))
            assert float(norms.activations["0"]) == pytest.approx(np.tanh(1), rel=1e-6)

    def test_norms_of_the_estimators_against_numpy(self):
        """One full batch of the smallest step: activations and gradients of the start, written out."""
        X, y, w = blobs(40)
        X = np.maximum(X, -1)
        model = MLPRegressor(
            (6,), learning_rate=1e-12, batch_size=None, max_epochs=1, standardize=False, random_state=0
        ).fit(X, y, w)
        A, a, B, b = (value.detach().numpy().astype(float) for value in model.module_.parameters())
        h = np.maximum(X @ A.T + a, 0)
        z = h @ B.T + b
        slope = 2 * (w / w.mean())[:, np.newaxis] * (z - y[:, np.newaxis]) / 40
        expected = [((slope @ B) * (h > 0)).T @ X, slope.T @ h]
        assert model.layer_names_ == ["0", "2"]
        assert_allclose(model.history_["gradient_norm"], [[np.sqrt((g**2).sum()) for g in expected]], rtol=1e-5)
        assert_allclose(model.history_["activation_norm"], [[np.sqrt((v**2).mean()) for v in (h, z)]], rtol=1e-5)

    def test_modules_of_ones_own(self):
        """Nested names; a layer called twice keeps its last activation and the sum of both gradients; a layer that is
        not called, and one that is frozen, have none."""

        class Own(nn.Module):
            def __init__(self):
                super().__init__()
                self.block = nn.Sequential(nn.utils.skip_init(nn.Linear, 2, 2, bias=False))
                self.unused = nn.utils.skip_init(nn.Linear, 2, 2)
                self.norm = nn.LayerNorm(2)
                self.frozen = nn.utils.skip_init(nn.Linear, 2, 1, bias=False).requires_grad_(False)

            def forward(self, x):
                return self.frozen(self.block(self.block(x)))

        net = Own()
        for layer, weight in ((net.block[0], 2 * torch.eye(2)), (net.frozen, torch.ones(1, 2))):
            with torch.no_grad():
                layer.weight.copy_(weight)
        norms = LayerNorms(net)
        assert norms.names == ["block.0", "unused", "frozen"]
        with norms.watch():
            net(torch.tensor([[1.0, 0.0]])).backward()
        assert float(norms.activations["block.0"]) == pytest.approx(4 / np.sqrt(2))
        assert np.isnan(norms.activations["unused"])
        assert float(norms.activations["frozen"]) == 4
        # z = 1' W W x: dz/dW = W'1 x' + 1 (W x)' = [[2, 0], [2, 0]] + [[2, 0], [2, 0]].
        assert float(norms.gradients()["block.0"]) == pytest.approx(np.sqrt(32))
        assert np.isnan(norms.gradients()["unused"])
        assert np.isnan(norms.gradients()["frozen"])

    def test_a_module_that_is_one_layer(self):
        norms = LayerNorms(nn.utils.skip_init(nn.Linear, 2, 1))
        assert norms.names == ["module"]

    def test_weights_computed_from_others_are_no_layers_weights(self):
        net = nn.Sequential(nn.utils.skip_init(nn.Linear, 2, 2))
        nn.init.eye_(net[0].weight)
        nn.init.zeros_(net[0].bias)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            nn.utils.weight_norm(net[0])
        norms = LayerNorms(net)
        assert norms.names == []
        with norms.watch():
            net(torch.ones(1, 2)).sum().backward()
        assert norms.gradients() == {}

    def test_hooks_are_taken_away(self):
        net = nn.Sequential(nn.utils.skip_init(nn.Linear, 2, 1))
        norms = LayerNorms(net)
        with pytest.raises(ZeroDivisionError), norms.watch():
            raise ZeroDivisionError
        assert not net[0]._forward_hooks


def silent(names, norms):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_gradients(names, norms)


class TestGradientRules:
    NAMES = ("in", "mid", "out")

    def test_vanishing_in_half_of_the_epochs_names_the_first_layer(self):
        healthy, vanished = [1.0, 0.1, 1.0], [1.0, 1e-6, 1e-5]
        silent(self.NAMES, [healthy, healthy, vanished])
        with pytest.warns(GradientWarning, match="layer 'mid' is 1e-06 of the largest layer's"):
            warn_of_gradients(self.NAMES, [healthy, vanished, vanished])

    @pytest.mark.parametrize(("share", "warns"), [(0.9e-4, True), (1.1e-4, False)])
    def test_the_threshold(self, share, warns):
        norms = [[50 * share, 50.0]] * 3
        if warns:
            with pytest.warns(GradientWarning, match="'in' is 9e-05"):
                warn_of_gradients(self.NAMES[:2], norms)
        else:
            silent(self.NAMES[:2], norms)

    def test_exploding_once_is_enough_and_names_the_worst(self):
        silent(self.NAMES, [[1.0, 999.0, 1.0]])
        with pytest.warns(GradientWarning, match=r"layer 'mid' reached a norm of 5e\+04"):
            warn_of_gradients(self.NAMES, [[1.0, 1.0, 1.0], [2e3, 5e4, 30.0], [1.0, 1.0, 1.0]])

    def test_an_infinite_gradient_is_the_worst_and_the_others_did_not_vanish_beside_it(self):
        with pytest.warns(GradientWarning, match="layer 'in' reached a norm of inf") as found:
            warn_of_gradients(self.NAMES, [[np.inf, 5.0, np.nan]])
        assert len(found) == 1

    def test_a_frozen_layer_hides_nothing(self):
        silent(self.NAMES, [[np.nan, 1.0, 1.0]] * 2)
        with pytest.warns(GradientWarning, match="layer 'mid'"):
            warn_of_gradients(self.NAMES, [[np.nan, 1e-7, 1.0]] * 2)

    def test_no_gradient_from_the_start(self):
        with pytest.warns(GradientWarning, match="No gradient reached any weight in the first epoch"):
            warn_of_gradients(self.NAMES, [[0.0, 0.0, 0.0]] * 4)

    def test_no_gradient_in_the_end_may_be_a_loss_of_zero(self):
        silent(self.NAMES, [[1.0, 1.0, 1.0], [1e-9, 1e-9, 1e-8], *[[0.0, 0.0, 0.0]] * 8])

    def test_nothing_to_judge(self):
        silent([], [])
        silent([], [[], []])
        silent(self.NAMES, [])
        silent(self.NAMES, [[np.nan] * 3] * 2)


class TestGradientWarning:
    @pytest.mark.slow
    def test_twelve_sigmoid_layers_vanish(self):
        X, y, _ = blobs()
        for estimator in (MLPClassifier, MLPRegressor):
            model = estimator((16,) * 12, activation="sigmoid", max_epochs=4, **PLAIN)
            with pytest.warns(GradientWarning, match="layer '0' is .* hardly learns"):
                model.fit(X, y)

    def test_ten_identity_layers_of_deviation_one_explode(self):
        X, y, _ = blobs()
        wide = lambda weight, generator: weight.normal_(generator=generator)  # noqa: E731
        model = MLPClassifier((10,) * 10, activation="identity", initializer=wide, max_epochs=2, **PLAIN)
        with pytest.warns(GradientWarning, match="reached a norm of"):
            model.fit(X, y)

    @pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
    def test_inputs_that_are_not_scaled_explode(self, estimator):
        X, y, _ = blobs()
        model = estimator((16,), standardize=False, max_epochs=2, **PLAIN)
        with pytest.warns(GradientWarning, match="scale the inputs"):
            model.fit(1e5 * X, y)

    def test_a_network_of_dead_units(self):
        """Biases of -100: no unit is ever active, and only the last bias learns."""
        net = nn.Sequential(nn.utils.skip_init(nn.Linear, 5, 8), nn.ReLU(), nn.utils.skip_init(nn.Linear, 8, 2))
        for layer in (net[0], net[2]):
            nn.init.constant_(layer.weight, 0.1)
            nn.init.constant_(layer.bias, -100.0)
        X, y, _ = blobs()
        with pytest.warns(GradientWarning, match="No gradient reached any weight"):
            WeightedTrainer(net, max_epochs=3, random_state=0).fit(X, y)

    @pytest.mark.slow
    @pytest.mark.parametrize("depth", [1, 2, 4, 6])
    @pytest.mark.parametrize("activation", ["relu", "leaky_relu", "gelu", "tanh", "identity"])
    def test_ordinary_networks_do_not_warn(self, activation, depth):
        """pytest turns warnings into errors. Of 100 such fits, the least median share of a layer was 3e-2 and the
        largest norm 120: a factor 300 and 8 from the thresholds."""
        X, y, _ = blobs(128, seed=depth)
        settings = {**PLAIN, "activation": activation, "max_epochs": 15, "batch_size": 64, "random_state": depth}
        MLPClassifier((32,) * depth, **settings).fit(X, y)
        MLPRegressor((32,) * depth, **settings).fit(X, X[:, 0] ** 2 + X[:, 1])

    @pytest.mark.slow
    @pytest.mark.parametrize("n", [6, 20])
    @pytest.mark.parametrize("more", [{}, {"dropout": 0.5}, {"batch_norm": True}], ids=str)
    def test_few_rows_do_not_warn(self, n, more):
        X, y, _ = blobs(n)
        y[:2] = [0, 1]
        MLPClassifier(**{**PLAIN, **more}).fit(X, y)
        MLPRegressor(**{**PLAIN, **more}).fit(X, X[:, 0])

    @pytest.mark.slow
    def test_a_converged_network_does_not_warn(self):
        X, y, _ = blobs(100)
        for estimator, target in ((MLPClassifier, y), (MLPRegressor, X[:, 0])):
            model = estimator((32, 32), learning_rate=0.01, max_epochs=60, batch_size=50, **PLAIN).fit(X, target)
            assert model.history_["train_loss"][-1] < 0.03

    @pytest.mark.slow
    def test_one_feature_and_one_unit_do_not_warn(self):
        X, _, _ = blobs(64, 1)
        for sizes, seed in itertools.product([(1,), (64, 64)], range(3)):
            MLPRegressor(sizes, max_epochs=40, batch_size=32, **{**PLAIN, "random_state": seed}).fit(X, X[:, 0] ** 2)


INTERPOLATING = {"hidden_layer_sizes": (64,), "learning_rate": 0.01, "max_epochs": 40}


class TestInactiveWeights:
    @pytest.mark.slow
    def test_a_network_that_interpolates(self):
        X, y, w = blobs(60, 60, gap=0.5)
        model = MLPClassifier(**INTERPOLATING, **PLAIN)
        with pytest.warns(InactiveWeightsWarning) as found:
            model.fit(X, y, w)
        first = int(np.argmax(np.array(model.history_["weight_effect"]) < 0.05)) + 1
        assert f"Since epoch {first} the pull of the weights is below 5%" in str(found[0].message)

    @pytest.mark.slow
    def test_one_of_numbers_too(self):
        X, _, w = blobs(40, 20)
        model = MLPRegressor(**INTERPOLATING, batch_size=16, **PLAIN)
        with pytest.warns(InactiveWeightsWarning, match="Since epoch"):
            model.fit(X, X[:, 0] + X[:, 1], w)

    @pytest.mark.slow
    def test_silent_without_weights_and_with_early_stopping(self):
        X, y, w = blobs(60, 60, gap=0.5)
        model = MLPClassifier(**INTERPOLATING, **PLAIN)
        model.fit(X, y)
        model.fit(X, y, np.full(60, 2.0))
        model.set_params(early_stopping=True, patience=300, validation_fraction=0.3).fit(X, y, w)

    @pytest.mark.slow
    def test_silent_where_classes_overlap(self):
        X, y, w = blobs(500, 5, gap=1.0)
        MLPClassifier((8,), max_epochs=60, **PLAIN).fit(X, y, w)

    def test_few_effective_rows_warn_through_fit(self):
        X, y, _ = blobs(300)
        w = np.where(np.arange(300) < 5, 1e4, 1.0)
        with pytest.warns(LowEffectiveSizeWarning, match="300 training rows worth 5"):
            MLPClassifier((4,), max_epochs=1, **PLAIN).fit(X, y, w)


@pytest.mark.slow
def test_a_loss_that_falls_below_zero_does_not_warn_of_inactive_weights():
    """Minus the log density of a normal distribution with its scale learned: no interpolation, and far below 0."""

    def negative_log_density(outputs, y):
        log_scale = outputs[:, 1].clamp(-5, 5)
        return log_scale + ((y - outputs[:, 0]) / log_scale.exp()).square() / 2

    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 2))
    trainer = WeightedTrainer(
        module, negative_log_density, learning_rate=0.01, max_epochs=40, early_stopping=False, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", InactiveWeightsWarning)
        trainer.fit(X, X[:, 0] + 0.05 * rng.normal(size=200), sample_weight=1 + rng.random(200))
    assert trainer.history_["weight_effect"][-1] < -0.05
