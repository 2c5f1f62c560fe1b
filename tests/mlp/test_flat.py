"""The step that is written out against autograd, on the same masks, and what it leaves alone."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from shiftfix.mlp import MLPClassifier, MLPRegressor, WeightedTrainer
from shiftfix.mlp._network import _dropout
from shiftfix.mlp._network._dropout import Dropout
from shiftfix.mlp._network._module import build_mlp
from shiftfix.mlp._settings import Training
from shiftfix.mlp._training import _loop
from shiftfix.mlp._training._batches import Rows
from shiftfix.mlp._training._flat import flat_step
from shiftfix.mlp._training._loop import backward_pass, run_epoch
from shiftfix.mlp._training._losses import CLASSIFICATION_LOSSES, REGRESSION_LOSSES
from shiftfix.mlp._training._run import make_run
from shiftfix.mlp._training._slopes import ACTIVATION_RULES

N_ROWS, N_FEATURES = 7, 3
DROPS = {
    "none": {"dropout": 0.0},
    "all": {"dropout": 0.5, "input_dropout": 0.2},
    "some": {"dropout": (0.0, 0.3)},
    "too rare to be drawn": {"dropout": 1e-7, "input_dropout": 1e-7},
}
LOSSES = {
    **CLASSIFICATION_LOSSES,
    **REGRESSION_LOSSES,
    "cross_entropy, smoothed": partial(CLASSIFICATION_LOSSES["cross_entropy"], label_smoothing=0.1),
    "binary_cross_entropy, smoothed": partial(CLASSIFICATION_LOSSES["binary_cross_entropy"], label_smoothing=0.1),
    "own": lambda z, y: z.clamp_(-9.0, 1.0).square().sum(dim=1) * (1 + y),
}
# Rounding of a sum of a few dozen products of order 1, in another order.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5}


@pytest.fixture(autouse=True)
def few_masks_ahead(monkeypatch):
    """Networks this small need no 2^16 entries of a mask; 300 are used up within a few steps."""
    monkeypatch.setattr(_dropout, "DRAWN_AT_ONCE", 300)


def without_flat(monkeypatch):
    monkeypatch.setattr(_loop, "flat_step", lambda *given: None)


def network(activation, hidden, n_outputs, n_models=1, dtype=torch.float64, seed=0, **drops):
    """A network with biases off 0, whose layers draw from a generator of their own."""
    drops = {name: rate[: len(hidden)] if isinstance(rate, tuple) else rate for name, rate in drops.items()}
    generator = torch.Generator().manual_seed(seed)
    module = build_mlp(
        N_FEATURES, hidden, n_outputs, "relu", init_generators=[generator] * n_models,
        dropout_generator=torch.Generator().manual_seed(seed + 1), **{"dropout": 0.0, **drops},
    ).to(dtype)  # fmt: skip
    for i, layer in enumerate(module):
        if isinstance(layer, nn.ReLU):
            module[i] = activation()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=dtype))
    return module


def rows_for(loss_name, n_outputs, n_models=1, n_rows=N_ROWS, dtype=torch.float64, seed=5):
    """A batch, each model's own: weights with two zeros in them."""
    generator = torch.Generator().manual_seed(seed)
    shape = (n_rows,) if n_models == 1 else (n_models, n_rows)
    draw = partial(torch.randn, generator=generator, dtype=dtype)
    X, weight = draw(*shape, N_FEATURES), draw(shape).exp()
    weight[..., :2] = 0
    if loss_name in REGRESSION_LOSSES:
        return Rows(X, draw(*shape, n_outputs), weight)
    return Rows(X, torch.randint(max(2, n_outputs), shape, generator=generator), weight)


def plain_run(module, loss, n_rows, n_models=1, **settings):
    settings = {"batch_size": n_rows, "max_epochs": 5, **settings}
    own = [layer.generator for layer in module if isinstance(layer, Dropout)]
    return make_run(
        module, loss, n_rows, list(range(n_models)), Training(**settings), n_models=n_models, writes_out=True,
        generators={"dropout": own[0]} if own else {},
    )  # fmt: skip


def flat_of(run, rows, n_models=1):
    X = rows.X if n_models == 1 else rows.X[0]
    return flat_step(run.module, run.loss, run.optimizer, X[:1], n_models)


def gradients_both_ways(module, loss, rows, n_models, batch_size):
    """Losses and gradients by autograd and written out."""
    found = []
    for way in ("autograd", "flat"):
        run = plain_run(copy.deepcopy(module), loss, batch_size, n_models)
        run.module.train()
        if way == "autograd":
            losses = backward_pass(run, rows)
        else:
            flat = flat_of(run, rows, n_models)
            lead = rows.weight.shape
            given = flat.prepared(
                Rows(rows.X, rows.y.flatten(0, len(lead) - 1), rows.weight.flatten()), batch_size, True
            )
            y, share = (part.view(*lead, *part.shape[1:]) for part in (given.y, given.weight))
            losses = flat.losses([flat.gradients(Rows(rows.X, y, share))])
        found.append((losses, [parameter.grad.clone() for parameter in run.module.parameters()]))
    return found


def assert_same_gradients(module, loss, rows, n_models=1, batch_size=N_ROWS, dtype=torch.float64):
    (losses, gradients), (own_losses, own) = gradients_both_ways(module, loss, rows, n_models, batch_size)
    assert_allclose(own_losses, losses, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    scale = max(float(gradient.abs().max()) for gradient in gradients)
    assert scale > 1e-6
    for found, expected in zip(own, gradients, strict=True):
        assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * scale)


class TestTheGradientIsAutograds:
    """The same masks, to 1e-10 of the largest entry in float64; a right program misses by 1e-15."""

    @pytest.mark.slow
    @pytest.mark.parametrize("n_models", [1, 3])
    @pytest.mark.parametrize("loss_name", LOSSES)
    @pytest.mark.parametrize("activation", ACTIVATION_RULES)
    def test_every_combination(self, activation, loss_name, n_models):
        for drops in DROPS.values():
            for hidden in ((), (5,), (6, 4)):
                for n_outputs in (1,) if loss_name.startswith("binary") else (2, 3):
                    if isinstance(drops["dropout"], tuple) and len(hidden) != 2:
                        continue
                    module = network(activation, hidden, n_outputs, n_models, **drops)
                    rows = rows_for(loss_name, n_outputs, n_models)
                    assert_same_gradients(module, LOSSES[loss_name], rows, n_models)

    @pytest.mark.parametrize("n_models", [1, 3])
    @pytest.mark.parametrize("loss_name", ["cross_entropy", "binary_cross_entropy", "squared_error", "huber"])
    @pytest.mark.parametrize("activation", ACTIVATION_RULES)
    def test_in_single_precision(self, activation, loss_name, n_models):
        n_outputs = 1 if loss_name.startswith("binary") else 3
        module = network(activation, (6, 4), n_outputs, n_models, torch.float32, dropout=0.5)
        rows = rows_for(loss_name, n_outputs, n_models, dtype=torch.float32)
        assert_same_gradients(module, LOSSES[loss_name], rows, n_models, dtype=torch.float32)

    @pytest.mark.parametrize("loss_name", ["cross_entropy", "squared_error", "binary_cross_entropy"])
    @pytest.mark.parametrize("activation", ACTIVATION_RULES)
    def test_three_layers_with_dropout(self, activation, loss_name):
        n_outputs = 1 if loss_name.startswith("binary") else 3
        module = network(activation, (6, 4, 5), n_outputs, dropout=0.5, input_dropout=0.2)
        assert_same_gradients(module, LOSSES[loss_name], rows_for(loss_name, n_outputs))

    @pytest.mark.parametrize("n_models", [1, 3])
    @pytest.mark.parametrize("n_rows", [1, 2, 6])
    def test_a_short_batch_is_divided_by_the_rows_of_a_full_one(self, n_rows, n_models):
        for loss_name in ("cross_entropy", "squared_error"):
            module = network(nn.ReLU, (6, 4), 2, n_models, dropout=0.5)
            rows = rows_for(loss_name, 2, n_models, n_rows)
            rows.weight += 1
            assert_same_gradients(module, LOSSES[loss_name], rows, n_models)

    def test_options_of_an_activation_are_its_own(self):
        for activation in (
            partial(nn.LeakyReLU, 0.3), partial(nn.GELU, "tanh"), partial(nn.ELU, 0.5), partial(nn.Softplus, 2.0, 1.0),
        ):  # fmt: skip
            module = network(activation, (6, 4), 3, dropout=0.5)
            assert_same_gradients(module, LOSSES["cross_entropy"], rows_for("cross_entropy", 3))

    def test_of_one_number(self):
        module = network(nn.ReLU, (6,), 1)
        assert_same_gradients(module, LOSSES["squared_error"], rows_for("squared_error", 1))

    def test_large_logits_stay_finite(self):
        module, rows = network(nn.ReLU, (6,), 3), rows_for("cross_entropy", 3)
        rows.X *= 1e4
        assert_same_gradients(module, LOSSES["cross_entropy"], rows)


STEPS = [
    *({"optimizer": name} for name in ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "lars")),
    {"l2": 0.1},
    {"l2": 0.1, "l1": 0.05, "optimizer": "momentum"},
    {"l2": 0.1, "decoupled": True},
    {"l1": 0.1, "l2": 0.1, "decoupled": True, "optimizer": "adamw"},
    {"max_norm": 0.5},
    {"clip_norm": 0.05},
    {"clip_value": 0.01, "clip_norm": 0.02},
    {"warmup": 3},
    {"schedule": "cosine"},
    {"weighting": "resample"},
    {"optimizer": partial(torch.optim.Adam, betas=(0.5, 0.9), weight_decay=0.1, eps=1e-3, fused=True)},
    {"optimizer": partial(torch.optim.Adam, amsgrad=True, fused=True)},
    {"optimizer": partial(torch.optim.AdamW, maximize=True)},
]


@pytest.mark.parametrize("n_models", [1, 3])
@pytest.mark.parametrize("settings", STEPS, ids=str)
def test_epochs_of_the_trainer_are_autograds(settings, n_models, monkeypatch):
    """Three epochs of batches of 4, 4 and 2 rows: losses, norms, parameters and the optimiser's state, to 1e-10."""
    rows = rows_for("cross_entropy", 3, n_rows=10)
    found = []
    for _ in range(2):
        module = network(nn.ReLU, (6, 4), 3, n_models, dropout=0.5, input_dropout=0.2)
        run = plain_run(
            module, LOSSES["cross_entropy"], 10, n_models, **{"learning_rate": 0.01, **settings, "batch_size": 4}
        )
        met = []
        for _ in range(3):
            met.append(torch.stack(run_epoch(run, rows)))
            run.schedule.step()
        norms = [run.history[name] for name in ("gradient_norm", "activation_norm")]
        state = [value for p in module.parameters() for value in run.optimizer.state.get(p, {}).values()]
        state = [value.clone() for value in state if isinstance(value, torch.Tensor)]
        found.append(
            (torch.stack(met), torch.tensor(norms), [p.detach() for p in module.parameters()], state, run.flat)
        )
        without_flat(monkeypatch)
    assert found[0][-1] is not None
    assert found[1][-1] is None
    for own, expected in zip(found[0][:2], found[1][:2], strict=True):
        assert_allclose(own, expected, rtol=1e-6 if own is found[0][1] else 1e-10)
    for own, expected in zip([*found[0][2], *found[0][3]], [*found[1][2], *found[1][3]], strict=True):
        assert_allclose(own, expected, rtol=1e-10, atol=1e-10)


class TestWhatIsTaken:
    def step_of(self, module, loss=LOSSES["cross_entropy"], rows=None, **given):
        optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad])
        rows = torch.zeros(1, N_FEATURES) if rows is None else rows
        return flat_step(module, loss, optimizer, rows, **given)

    def linear(self, n_in=N_FEATURES, n_out=2, **given):
        with torch.random.fork_rng(devices=[]):
            return nn.Linear(n_in, n_out, **given)

    def test_the_networks_of_the_estimators(self, monkeypatch):
        """By default, with penalties, several models and sparse rows; not with what autograd has to do."""
        taken = []
        real = _loop.flat_step
        monkeypatch.setattr(_loop, "flat_step", lambda *given: taken.append(real(*given)) or taken[-1])
        X = np.random.default_rng(0).normal(size=(30, 3))
        settings = {"max_epochs": 2, "random_state": 0}
        for more in (
            {},
            {"dropout": 0.2, "input_dropout": 0.1},
            {"n_models": 2},
            {"l2": 0.1, "max_norm": 1.0},
            {"optimizer": "lars"},
        ):
            MLPClassifier((4,), **settings, **more).fit(X, X[:, 0] > 0)
            MLPRegressor((4,), **settings, **more).fit(X, X[:, :2])
        assert None not in taken
        taken.clear()
        for more in ({"batch_norm": True}, {"input_noise": 0.1}, {"dropconnect": 0.1}, {"precision": "bfloat16"}):
            MLPClassifier((4,), **settings, **more).fit(X, X[:, 0] > 0)
        assert set(taken) == {None}

    def test_plain_sequences(self):
        linear = self.linear
        assert self.step_of(nn.Sequential(linear(n_out=4), nn.Tanh(), nn.Identity(), linear(4))) is None
        assert self.step_of(nn.Sequential(linear(n_out=4), nn.Tanh(), linear(4))) is not None
        assert self.step_of(nn.Sequential(linear())) is not None

    @pytest.mark.parametrize(
        "make",
        [
            lambda linear: linear(),
            lambda linear: nn.Sequential(nn.ReLU(), linear()),
            lambda linear: nn.Sequential(linear(), nn.ReLU()),
            lambda linear: nn.Sequential(linear(), Dropout(0.5, None)),
            lambda linear: nn.Sequential(linear(n_out=4), Dropout(0.5, None), nn.ReLU(), linear(4)),
            lambda linear: nn.Sequential(linear(n_out=4), nn.ReLU(), nn.Dropout(0.5), linear(4)),
            lambda linear: nn.Sequential(linear(n_out=4), nn.BatchNorm1d(4), linear(4)),
            lambda linear: nn.Sequential(linear(n_out=4), nn.PReLU(), linear(4)),
            lambda linear: nn.Sequential(linear(bias=False)),
            lambda linear: nn.Sequential(linear().to(torch.bfloat16)),
            lambda linear: nn.Sequential(linear().double()),
            lambda linear: nn.Sequential(linear(n_in=4)),
            lambda linear: nn.Sequential(nn.Sequential(linear())),
            lambda linear: nn.utils.parametrizations.weight_norm(linear()),
            lambda linear: nn.Sequential(nn.utils.parametrizations.weight_norm(linear())),
            lambda linear: nn.Sequential(*[linear(n_out=3)] * 2),
            lambda linear: nn.Sequential(linear().requires_grad_(False), linear(2)),
            lambda linear: type("Own", (nn.Sequential,), {})(linear()),
            lambda linear: nn.Sequential(linear(n_out=4), type("Own", (nn.ReLU,), {})(), linear(4)),
        ],
    )  # fmt: skip
    def test_what_is_left_to_autograd(self, make):
        assert self.step_of(make(self.linear)) is None

    @pytest.mark.parametrize(
        "touch",
        [
            lambda module: module.register_forward_hook(lambda *given: None),
            lambda module: module[0].register_forward_pre_hook(lambda *given: None),
            lambda module: module[1].register_full_backward_hook(lambda *given: None),
            lambda module: module[2].weight.register_hook(lambda gradient: gradient),
            lambda module: module[2].bias.register_post_accumulate_grad_hook(lambda parameter: None),
            lambda module: setattr(module[1], "forward", lambda x: x),
            lambda module: module[0].bias.requires_grad_(False),
        ],
    )
    def test_what_is_hooked_into(self, touch):
        module = nn.Sequential(self.linear(n_out=4), nn.ReLU(), self.linear(4))
        assert self.step_of(module) is not None
        touch(module)
        assert self.step_of(module) is None

    @pytest.mark.parametrize("rows", [torch.zeros(1, 4), torch.zeros(1, 2, 3), torch.zeros(1, 3).double(), "rows"])
    def test_other_rows(self, rows):
        assert self.step_of(nn.Sequential(self.linear()), rows=rows) is None

    def test_other_numbers_of_models_and_lower_precision(self):
        assert self.step_of(nn.Sequential(self.linear()), n_models=2) is None
        assert self.step_of(nn.Sequential(self.linear()), autocast=torch.bfloat16) is None


DATA = np.random.default_rng(3).normal(size=(90, 4))
LABELS = (DATA[:, 0] + 0.5 * DATA[:, 1] > 0).astype(int)
WEIGHT = np.random.default_rng(4).exponential(size=90)
FIT = {
    "hidden_layer_sizes": (6, 5),
    "dropout": 0.3,
    "batch_size": 16,
    "max_epochs": 6,
    "n_models": 1,
    "random_state": 0,
}


def fitted(**settings):
    return MLPClassifier(**{**FIT, **settings}).fit(DATA, LABELS, WEIGHT)


class TestWhatStays:
    @pytest.mark.parametrize("n_models", [1, 2])
    def test_a_fit_tells_what_it_told(self, n_models, monkeypatch):
        """The same masks, and so the same numbers up to rounding in float32, 1e-6 a step; 36 steps."""
        own = fitted(n_models=n_models)
        without_flat(monkeypatch)
        other = fitted(n_models=n_models)
        assert own.history_.keys() == other.history_.keys()
        for name, values in own.history_.items():
            assert_allclose(values, other.history_[name], rtol=1e-3, atol=1e-5, err_msg=name)
        assert_allclose(own.predict_proba(DATA), other.predict_proba(DATA), atol=1e-4)
        assert own.layer_names_ == other.layer_names_

    def test_state_and_parameters_are_views_while_training_and_their_own_afterwards(self):
        seen = []

        def look(run):
            parameters = list(run.module.parameters())
            moments = [run.optimizer.state[p]["exp_avg"] for p in parameters]
            seen.append([len({t.untyped_storage().data_ptr() for t in part}) for part in (parameters, moments)])

        model = fitted(callbacks=look)
        assert seen == [[1, 1]] * model.n_epochs_
        assert {p.untyped_storage().nbytes() for p in model.module_.parameters()} == {
            p.numel() * 4 for p in model.module_.parameters()
        }
        assert all(p.grad is None for p in model.module_.parameters())
        online = MLPClassifier(**FIT).partial_fit(DATA, LABELS, classes=[0, 1])
        states = online._training_state["run"]["optimizer"]["state"].values()
        for tensor in (value for state in states for value in state.values()):
            assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()

    def test_hooks_of_a_callback_are_called_and_the_numbers_stay(self):
        """From the third epoch to the fourth: autograd takes over, and hands back."""
        calls, handles, kinds = [], [], []

        def hook(run):
            kinds.append(run.flat is None)
            if run.epoch == 2:
                handles.append(run.module[0].register_forward_hook(lambda *given: calls.append(run.epoch)))
            if run.epoch == 4:
                handles.pop().remove()

        own, plain = fitted(callbacks=hook, early_stopping=False), fitted(early_stopping=False)
        assert kinds == [False, False, True, True, False, False]
        assert set(calls) == {2, 3}
        assert_allclose(own.history_["train_loss"], plain.history_["train_loss"], rtol=1e-4)

    def test_what_a_callback_puts_in_is_trained_on(self):
        """New data behind a parameter, another parameter, other moments, other options of the optimiser."""

        def exchange(change):
            def callback(run):
                if run.epoch == 2:
                    change(run)

            return fitted(callbacks=callback, early_stopping=False, dropout=0.0, max_epochs=3)

        def data(run):
            run.module[0].weight.data = torch.zeros_like(run.module[0].weight)

        def in_place(run):
            with torch.no_grad():
                run.module[0].weight.zero_()

        expected, found = exchange(in_place), exchange(data)
        for a, b in zip(expected.module_.parameters(), found.module_.parameters(), strict=True):
            assert torch.equal(a, b)

        def moments(run):
            state = copy.deepcopy(run.optimizer.state_dict())
            for entry in state["state"].values():
                entry["exp_avg"].zero_()
            run.optimizer.load_state_dict(state)

        def moments_in_place(run):
            for entry in run.optimizer.state.values():
                entry["exp_avg"].zero_()

        expected, found = exchange(moments_in_place), exchange(moments)
        for a, b in zip(expected.module_.parameters(), found.module_.parameters(), strict=True):
            assert torch.equal(a, b)

        def uphill(run):
            run.optimizer.param_groups[0]["maximize"] = True

        plain = fitted(early_stopping=False, dropout=0.0, max_epochs=3)
        assert exchange(uphill).history_["train_loss"][2] > exchange(lambda run: None).history_["train_loss"][2]
        assert exchange(lambda run: None).history_ == plain.history_

    def test_modules_of_the_users_are_left_to_autograd(self, monkeypatch):
        """To the bit: wrapped in another module, one must give the same numbers."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
        settings = {"max_epochs": 4, "batch_size": 16, "random_state": 0}
        own = WeightedTrainer(module, **settings).fit(DATA, LABELS, WEIGHT)
        without_flat(monkeypatch)
        other = WeightedTrainer(module, **settings).fit(DATA, LABELS, WEIGHT)
        for a, b in zip(own.module_.parameters(), other.module_.parameters(), strict=True):
            assert torch.equal(a, b)
