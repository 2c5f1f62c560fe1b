"""The textbook: numbers that are printed in it, traps it has for a reader, and which test holds each of its rows.

The printed numbers are those of w^2 from w = 1, two steps of one rate each; a network without hidden layers on the rows
-1 and 1 with targets 0 has that loss, and no gradient in its bias.
"""

import ast
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.optim import lr_scheduler

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor, WeightedTrainer
from shiftfix.mlp._network._dropout import Dropout
from shiftfix.mlp._settings import OptimizerName, Steps, check_steps
from shiftfix.mlp._training._optimizers import AveragedMomentum, make_optimizer, options_of
from shiftfix.mlp._training._schedules import USUAL_NAMES, make_schedule

X_PARABOLA, Y_PARABOLA = np.array([[-1.0], [1.0]]), np.zeros(2)
PARABOLA = {"initializer": 1.0, "standardize": False, "early_stopping": False, "batch_size": None, "random_state": 0}


def steps_on_the_parabola(n_steps, **settings):
    """w after each step of the estimator on w^2 from w = 1."""
    model = MLPRegressor((), **PARABOLA, **settings)
    places = []
    for n in range(1, n_steps + 1):
        weight, bias = model.set_params(max_epochs=n).fit(X_PARABOLA, Y_PARABOLA).module_.parameters()
        assert bias.item() == 0
        places.append(weight.item())
    return places


# ------------------------------------------------------------------------------- printed numbers


@pytest.mark.parametrize(
    ("settings", "printed"),
    [
        ({"optimizer": "averaged_momentum", "running_decay": 0.9, "learning_rate": 0.05}, [0.99, 0.9711]),
        ({"optimizer": "averaged_momentum", "learning_rate": 0.05}, [0.99, 0.9711]),
        ({"optimizer": "momentum", "learning_rate": 0.005}, [0.99, 0.9711]),  # a tenth of the rate
        ({"optimizer": "adagrad", "learning_rate": 0.01}, [0.990, 0.982965]),
        ({"optimizer": "adagrad", "learning_rate": 0.01, "eps": 1e-8}, [0.990, 0.982965]),
        ({"optimizer": "rmsprop", "running_decay": 0.9, "learning_rate": 0.01}, [0.968377, 0.945788]),
        ({"optimizer": "rmsprop", "running_decay": 0.9, "learning_rate": 0.01, "eps": 1e-10}, [0.968377, 0.945788]),
    ],
    ids=str,
)
def test_two_steps_are_the_printed_ones(settings, printed):
    """To the last digit printed. The usual momentum at the same rate is at .9, RMSProp's .99 at .9 after one step."""
    assert_allclose(steps_on_the_parabola(2, **settings), printed, atol=6e-7)


def test_a_network_of_3_3_2_2_has_26_parameters():
    """(3 + 1) 3 + (3 + 1) 2 + (2 + 1) 2."""
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    model = MLPClassifier((3, 2), max_epochs=1, random_state=0).fit(X, y)
    assert model.n_parameters_ == 26
    assert "26 parameters\n26 trained, 0 frozen" in model.summary()


# ------------------------------------------------------------------------------- averaged momentum, decay and eps


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_averaged_momentum_is_momentum_of_a_share_of_the_rate(decay):
    for n in (1, 2, 5):
        averaged = steps_on_the_parabola(n, optimizer="averaged_momentum", running_decay=decay, learning_rate=0.1)
        usual = steps_on_the_parabola(n, optimizer="momentum", running_decay=decay, learning_rate=0.1 * (1 - decay))
        assert_allclose(averaged, usual, rtol=1e-6)


def test_the_average_starts_at_0_and_leaves_what_has_no_gradient_alone():
    w, frozen = torch.ones(2, 2, requires_grad=True), torch.ones(2, requires_grad=True)
    made = AveragedMomentum([w, frozen], lr=0.5, momentum=0.75)
    w.grad = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert made.step(lambda: 7.0) == 7.0
    assert_allclose(w.detach(), 1 - 0.5 * 0.25 * w.grad)
    assert (frozen == 1).all()
    again = AveragedMomentum([w, frozen], lr=0.5, momentum=0.75)
    again.load_state_dict(made.state_dict())
    before = w.detach().clone()
    again.step()
    assert_allclose(w.detach(), before - 0.5 * (0.75 * 0.25 + 0.25) * w.grad)


@pytest.mark.parametrize(
    ("name", "first"), [("adagrad", 2 / 3), ("rmsprop", 2 / 1.2), ("adam", 2 / 3), ("adamw", 2 / 3)]
)
def test_eps_stands_beside_the_root(name, first):
    """g = 2 and eps = 1: g / (|g| + 1), and g / (sqrt(.01 g^2) + 1) for RMSProp; adamw decays by .01 of the rate."""
    (found,) = steps_on_the_parabola(1, optimizer=name, learning_rate=0.1, eps=1.0)
    assert found == pytest.approx((1 - 0.1 * 0.01 * (name == "adamw")) - 0.1 * first, abs=1e-6)


def test_settings_go_to_the_optimizer_by_its_own_names():
    w = [torch.zeros(1, requires_grad=True)]
    made = lambda name, **more: make_optimizer(name, w, 0.1, options_of(Steps(optimizer=name, **more))).defaults  # noqa: E731
    assert made("rmsprop", running_decay=0.5, eps=1e-3)["alpha"] == 0.5
    assert made("rmsprop", running_decay=0.5, eps=1e-3)["eps"] == 1e-3
    assert made("rmsprop")["momentum"] == 0
    for name in ("momentum", "averaged_momentum", "nesterov", "lars"):
        assert (made(name)["momentum"], made(name, running_decay=0.5)["momentum"]) == (0.9, 0.5)
    assert made("nesterov", running_decay=0.5)["nesterov"] is True
    assert (made("adagrad")["eps"], made("adam")["eps"], made("adagrad", eps=0.5)["eps"]) == (1e-10, 1e-8, 0.5)


def test_a_setting_that_the_optimizer_lacks_is_an_error():
    """And not left aside in silence."""
    takes = {"running_decay": {"momentum", "averaged_momentum", "nesterov", "lars", "rmsprop"}}
    takes["eps"] = {"adagrad", "rmsprop", "adam", "adamw"}
    for setting, takers in takes.items():
        for name in OptimizerName.__args__:
            if name in takers:
                check_steps(Steps(optimizer=name, **{setting: 0.5}))
                continue
            with pytest.raises(
                ShiftDataError, match=rf"^{setting}=0.5 is for optimizer=.*optimizer='{name}' has no such"
            ):
                check_steps(Steps(optimizer=name, **{setting: 0.5}))
        with pytest.raises(ShiftDataError, match=r"functools\.partial"):
            check_steps(Steps(optimizer=torch.optim.RMSprop, **{setting: 0.5}))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"running_decay": 1.0}, "^running_decay=1.0: a number >= 0 and < 1"),
        ({"running_decay": -0.1}, "^running_decay="),
        ({"running_decay": "0.9"}, "^running_decay='0.9'"),
        ({"running_decay": np.nan}, "^running_decay=nan"),
        ({"running_decay": True}, "^running_decay=True"),
        ({"running_decay": [0.9]}, "^running_decay="),
        ({"eps": 0.0}, "^eps=0.0: a number >= 1e-30"),
        ({"eps": -1e-8}, "^eps="),
        ({"eps": np.inf}, "^eps=inf"),
        ({"eps": 1e-300}, "^eps="),
        ({"eps": "small"}, "^eps='small'"),
        ({"eps": True}, "^eps=True"),
    ],
    ids=str,
)
def test_hostile_settings(settings, said):
    for model in (MLPRegressor((), optimizer="rmsprop", **settings), WeightedTrainer(torch.nn.Identity(), **settings)):
        with pytest.raises(ShiftDataError, match=said):
            model.fit(X_PARABOLA, Y_PARABOLA)


@pytest.mark.parametrize("setting", ["running_decay", "eps"])
def test_partial_fit_goes_on_with_the_settings_it_began_with(setting):
    model = MLPRegressor((), **PARABOLA, optimizer="rmsprop").partial_fit(X_PARABOLA, Y_PARABOLA)
    with pytest.raises(ShiftDataError, match="running_decay, eps"):
        model.set_params(**{setting: 0.5}).partial_fit(X_PARABOLA, Y_PARABOLA)


# ------------------------------------------------------------------------------- names of schedules


@pytest.mark.parametrize(("usual", "name"), USUAL_NAMES.items())
@pytest.mark.parametrize("n", [1, 7, 30])
def test_a_schedule_by_another_usual_name_is_the_same(usual, name, n):
    rates = []
    for schedule in (usual, name):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
        made, seen = make_schedule(schedule, optimizer, n, 10), []
        for _ in range(n):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            made.step()
        rates.append(seen)
    assert rates[0] == rates[1]
    assert (
        type(made.scheduler)
        is {
            "step": lr_scheduler.StepLR,
            "multistep": lr_scheduler.MultiStepLR,
            "exponential": lr_scheduler.ExponentialLR,
        }[name]
    )


@pytest.mark.parametrize("usual", USUAL_NAMES)
def test_the_estimators_take_the_usual_names(usual):
    other = {"schedule": USUAL_NAMES[usual], "optimizer": "sgd", "learning_rate": 0.1}
    assert steps_on_the_parabola(3, **{**other, "schedule": usual}) == steps_on_the_parabola(3, **other)


# ------------------------------------------------------------------------------- traps


def test_dropout_is_the_share_that_is_dropped_and_not_the_share_that_is_kept():
    """.2 drops a fifth and scales the rest by 1 / .8; taken for the share kept, four fifths would be 0."""
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    drop = next(m for m in MLPClassifier((4,), dropout=0.2, max_epochs=1).fit(X, y).module_ if isinstance(m, Dropout))
    drop.generator = torch.Generator().manual_seed(0)
    out = drop.train()(torch.ones(10_000))
    assert float((out == 0).float().mean()) == pytest.approx(0.2, abs=0.02)
    assert float(out.max()) == pytest.approx(1 / 0.8, rel=0.01)


def test_adam_corrects_its_averages_at_the_start():
    """The first step is one rate, whatever the gradient; without the correction it is .1 / sqrt(.001) = 3.2 rates."""
    for name in ("adam", "adamw"):
        (found,) = steps_on_the_parabola(1, optimizer=name, learning_rate=0.01)
        assert 1 - found == pytest.approx(0.01 * (1 + 0.01 * (name == "adamw")), rel=1e-4)


def test_the_documentation_tells_of_the_traps():
    for kind in (MLPClassifier, MLPRegressor):
        text = " ".join(kind.__doc__.split())
        assert "the share of units that is DROPPED. A text that gives the probability p of keeping" in text
        assert "texts that leave that out take a first step of 3.2 rates" in text
        assert "alpha dropout" in text


# ------------------------------------------------------------------------------- new settings survive everything


EVERYTHING = {
    "activation": ["selu", "prelu"],
    "initializer": ["auto", "lecun_uniform", "xavier_normal"],
    "dropout": 0.2,
    "hidden_noise": [0.1, 0.0],
    "optimizer": "averaged_momentum",
    "running_decay": 0.8,
    "learning_rate": 0.1,
    "schedule": "MultiStepLR",
    "batch_size": 16,
    "max_epochs": 6,
    "early_stopping": False,
    "random_state": 0,
}


@pytest.fixture
def data(rng):
    X = rng.normal(size=(60, 3))
    return X, np.eye(3)[np.digitize(X[:, 0], [-0.5, 0.5])], rng.exponential(size=60) + 0.1


@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.InactiveWeightsWarning")
@pytest.mark.parametrize("n_models", [1, 2])
def test_a_run_with_everything_new_resumes_to_the_bit(n_models, data, tmp_path):
    settings = {**EVERYTHING, "n_models": n_models}
    whole = MLPClassifier((6, 5), **settings).fit(*data)

    def stop(run):
        run.stop = run.epoch == 3

    path = tmp_path / "run.pt"
    MLPClassifier((6, 5), **settings, checkpoint=path, callbacks=stop).fit(*data)
    resumed = MLPClassifier((6, 5), **settings, checkpoint=path, resume=True).fit(*data)
    assert resumed.history_ == whole.history_
    assert np.array_equal(resumed.predict_proba(data[0]), whole.predict_proba(data[0]))
    for change in ({"running_decay": 0.7}, {"hidden_noise": 0.1}, {"activation": ["selu", "elu"]}):
        other = MLPClassifier((6, 5), **{**settings, **change}, checkpoint=path, resume=True)
        with pytest.raises(ShiftDataError, match="other settings or other rows"):
            other.fit(*data)


@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.InactiveWeightsWarning")
def test_a_list_of_functions_resumes_by_their_names(data, tmp_path):
    """And not by where they lie in memory."""
    settings = {**EVERYTHING, "initializer": [start_of_ones, "auto"], "max_epochs": 2}
    MLPClassifier((6, 5), **settings, checkpoint=tmp_path / "run.pt").fit(*data)
    settings["initializer"] = (start_of_ones, "auto")
    with pytest.raises(ShiftDataError, match="other settings"):
        MLPClassifier((6, 5), **settings, checkpoint=tmp_path / "run.pt", resume=True).fit(*data)
    settings["initializer"] = [start_of_ones, np.str_("auto")]
    MLPClassifier((6, 5), **settings, checkpoint=tmp_path / "run.pt", resume=True).fit(*data)


def start_of_ones(weight, generator):
    weight.normal_(0, 0.1, generator=generator)


@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.InactiveWeightsWarning")
def test_a_saved_model_with_everything_new_goes_on(data, tmp_path):
    model = MLPClassifier((6, 5), **EVERYTHING).partial_fit(data[0], data[1], sample_weight=data[2])
    model.save(tmp_path / "model.pt")
    found = MLPClassifier.load(tmp_path / "model.pt")
    assert repr(found) == repr(model)
    assert found.summary() == model.summary()
    for fitted in (found, model):
        fitted.partial_fit(data[0], data[1], sample_weight=data[2])
    assert np.array_equal(found.predict_proba(data[0]), model.predict_proba(data[0]))
    with pytest.raises(ShiftDataError, match="other layers than the settings ask for"):
        model.set_params(activation="selu").save(tmp_path / "model.pt")


@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.InactiveWeightsWarning")
def test_settings_of_numpys_types_give_the_same(data):
    typed = {
        "activation": np.array(["selu", "prelu"]),
        "initializer": np.array(["auto", "lecun_uniform", "xavier_normal"]),
        "hidden_noise": np.array([0.1, 0.0], dtype=np.float32).astype(np.float64).round(3),
        "running_decay": np.float64(0.8),
        "optimizer": np.str_("averaged_momentum"),
        "schedule": np.array("MultiStepLR"),
    }
    plain = MLPClassifier((6, 5), **EVERYTHING).fit(*data)
    assert np.array_equal(
        MLPClassifier((6, 5), **{**EVERYTHING, **typed}).fit(*data).predict_proba(data[0]), plain.predict_proba(data[0])
    )
    eps = {"optimizer": "rmsprop", "eps": np.array(1e-3), "running_decay": np.float32(0.5)}
    python = {**eps, "eps": 1e-3, "running_decay": 0.5}
    found = [
        MLPClassifier((6, 5), **{**EVERYTHING, **some}).fit(*data).predict_proba(data[0]) for some in (eps, python)
    ]
    assert np.array_equal(*found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.InactiveWeightsWarning")
def test_weights_are_repeated_rows_for_every_new_optimizer_and_activation(rng):
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    counts = rng.integers(1, 4, 40)
    rows = np.repeat(np.arange(40), counts)
    plain = {"dropout": 0.0, "early_stopping": False, "batch_size": None, "max_epochs": 5, "random_state": 0}
    for more in (
        *({"activation": name} for name in ("prelu", "elu", "selu", "silu", "mish", "softplus", "softsign")),
        {"optimizer": "averaged_momentum", "learning_rate": 0.05},
        {"optimizer": "rmsprop", "eps": 1e-3, "running_decay": 0.9},
        {"activation": ["prelu", "selu"], "batch_norm": True},
    ):
        model = MLPRegressor((6, 5), **plain, **more)
        repeated = model.fit(X[rows], y[rows]).predict(X)
        assert_allclose(model.fit(X, y, counts).predict(X), repeated, atol=2e-4, err_msg=str(more))


# ------------------------------------------------------------------------------- which test holds what


ROWS = {
    "the forward pass of every activation": "test_module::test_forward_is_the_textbook_formula",
    "ELU, SELU, SiLU, Mish, softplus, softsign learn": "test_activations::test_every_activation_learns",
    "PReLU: value and slopes": "test_activations::test_prelu_and_its_slope_are_those_of_the_formula",
    "PReLU: learned, not penalised": "test_activations::test_slopes_are_learned_counted_and_not_penalised",
    "the backward pass: gradients by differences": "test_gradients::test_every_entry_of_the_gradient",
    "activation per layer": "test_activations::test_each_hidden_layer_has_its_own_activation",
    "initializer per layer": "test_activations::test_each_layer_has_its_own_start_and_the_output_layer_the_last",
    "initializers: their laws": "test_initializers::test_weights_follow_their_law",
    "initializers: gains": "test_initializers::test_gains_keep_the_mean_square_of_a_normal_signal",
    "initializers that match: He, LeCun, Glorot": (
        "test_activations::test_auto_is_the_start_that_goes_with_the_activation"
    ),
    "initializers that match: variance is kept": (
        "test_activations::test_the_matched_start_keeps_signals_and_gradients_through_ten_layers"
    ),
    "symmetry of equal starts": "test_activations::test_units_are_alike_where_both_their_weights_in_and_out_are",
    "inverted dropout": "test_dropout::test_survivors_are_scaled_by_the_exact_keep_rate",
    "trap: keep or drop probability": (
        "test_textbook::test_dropout_is_the_share_that_is_dropped_and_not_the_share_that_is_kept"
    ),
    "dropout per layer": "test_module::test_each_layer_has_its_own_dropout_rate_and_zero_leaves_it_out",
    "trap: SELU takes alpha dropout": "test_activations::test_alpha_dropout_leaves_a_mean_of_0_and_a_variance_of_1",
    "SELU normalises itself": (
        "test_activations::test_selu_layers_stay_normal_under_their_dropout_and_not_under_the_other"
    ),
    "DropConnect": "test_layers::test_dropconnect_zeroes_weights_at_its_rate_and_scales_the_rest",
    "Monte-Carlo dropout": "test_monte_carlo::test_mean_and_variance_of_a_linear_network",
    "Gaussian noise on the input": "test_layers::test_noise_has_the_stated_moments",
    "Gaussian noise at every layer": (
        "test_activations::test_noise_of_hidden_layers_reaches_the_output_as_the_weights_say"
    ),
    "batch norm": "test_layers::test_equal_weights_give_the_textbook_formula",
    "losses": "test_losses::test_values_are_those_of_the_formula",
    "label smoothing": "test_losses::test_floor_of_cross_entropy_is_the_entropy_of_the_smoothed_target",
    "class weights": "test_row_weights::TestClassWeights::test_balanced_by_hand",
    "one-hot targets": "test_one_hot::test_a_fit_on_columns_is_the_fit_on_labels_to_the_bit",
    "one-hot is not multilabel": "test_one_hot::test_other_tables_are_refused",
    "optimizers: rules": "test_optimizers::test_the_path_is_that_of_the_published_rule",
    "momentum .99, .9711; AdaGrad .990, .982965; RMSProp .968377, .945788": (
        "test_textbook::test_two_steps_are_the_printed_ones"
    ),
    "momentum as an average": "test_textbook::test_averaged_momentum_is_momentum_of_a_share_of_the_rate",
    "eps of AdaGrad and RMSProp": "test_textbook::test_eps_stands_beside_the_root",
    "trap: Adam without bias correction": "test_textbook::test_adam_corrects_its_averages_at_the_start",
    "schedules": "test_schedules::test_the_rate_of_every_epoch",
    "schedules by their usual names": "test_textbook::test_a_schedule_by_another_usual_name_is_the_same",
    "warm-up": "test_schedules::test_warm_up_scales_the_scheduled_rate_and_leaves_no_trace",
    "plateau": "test_schedules::test_a_plateau_halves_the_rate",
    "L1, L2, elastic net": "test_regularizers::test_the_proximal_step_finds_the_lasso_and_the_elastic_net",
    "max norm": "test_regularizers::test_max_norm_bounds_units_and_nothing_else",
    "clipped gradients": "test_regularizers::test_clipping_by_hand",
    "mini-batches": "test_batches::test_every_row_comes_once_with_its_own_y_and_weight",
    "early stopping": "test_estimators::test_eval_set_decides_the_epoch_with_its_weights",
    "X_val, y_val, sample_weight_val": "test_held_out::test_they_are_the_eval_set_to_the_bit",
    "X_val through a pipeline": "test_held_out::test_a_pipeline_transforms_them",
    "26 parameters of 3-3-2-2": "test_textbook::test_a_network_of_3_3_2_2_has_26_parameters",
    "the summary": "test_units::test_the_summary_tells_frozen_parameters_the_batch_and_memory",
    "steps and batches per epoch": "test_units::test_steps_and_batches_are_told",
    "gradients that vanish or explode": "test_diagnostics::TestGradientRules::test_the_threshold",
    "dead ReLUs": "test_units::test_a_relu_is_dead_when_it_is_0_for_every_row",
    "saturated units": "test_units::test_a_unit_is_saturated_when_its_slope_is_small_for_most_rows",
    "a warning that names the layer": "test_units::test_dead_units_are_warned_of_by_the_name_of_their_layer",
    "ensembles": "test_ensembles::test_members_of_a_classification_equal_single_fits",
    "files": "test_textbook::test_a_saved_model_with_everything_new_goes_on",
    "resuming": "test_textbook::test_a_run_with_everything_new_resumes_to_the_bit",
}


@cache
def names_in(file):
    """Names of the tests of a file beside this one, those of its classes as Class::test."""
    found = set()
    for node in ast.parse((Path(__file__).parent / f"{file}.py").read_text(encoding="utf-8")).body:
        parts = node.body if isinstance(node, ast.ClassDef) else [node]
        ahead = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        found |= {f"{ahead}{part.name}" for part in parts if isinstance(part, ast.FunctionDef)}
    return found


@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_the_textbook_has_its_test(row):
    file, _, name = ROWS[row].partition("::")
    assert name in names_in(file)
