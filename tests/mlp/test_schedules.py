"""Rates of every epoch against formulas in numpy, a scripted plateau, and a warm-up that leaves no trace."""

import io
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.optim import lr_scheduler

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._training._schedules import SCHEDULES, WarmUp, check_schedule, make_schedule

LR = 0.3
LENGTHS = [1, 2, 3, 4, 10, 100, 101]


def optimizer_of(n_groups=1, make=torch.optim.SGD):
    """Group i has the rate LR / (i + 1); the gradients are 1."""
    groups = [{"params": [torch.zeros(1, dtype=torch.float64)], "lr": LR / (i + 1)} for i in range(n_groups)]
    optimizer = make(groups, lr=LR)
    for group in groups:
        group["params"][0].grad = torch.ones(1, dtype=torch.float64)
    return optimizer


def rates_of(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def positions(optimizer):
    return np.array([group["params"][0].item() for group in optimizer.param_groups])


def run(optimizer, schedule, losses):
    """Rates during each epoch; one loss per epoch."""
    rates = []
    for loss in losses:
        rates.append(rates_of(optimizer))
        optimizer.step()
        schedule.step(loss)
    return np.array(rates)


FACTORS = {
    None: lambda t, n: np.ones(n),
    "step": lambda t, n: 0.1 ** (t // np.ceil(n / 3)),
    "multistep": lambda t, n: 0.1 ** ((t >= np.ceil(n / 2)).astype(float) + (t >= np.ceil(3 * n / 4))),
    "exponential": lambda t, n: 0.01 ** (t / max(1, n - 1)),
    "cosine": lambda t, n: (1 + np.cos(np.pi * t / n)) / 2,
}


@pytest.mark.parametrize("name", FACTORS)
@pytest.mark.parametrize("n", LENGTHS)
def test_the_rate_of_every_epoch(name, n):
    """torch works them out one from the other, so rounding adds up: 1e-12 at a hundred epochs; a boundary one epoch
    off misses by a factor of ten."""
    optimizer = optimizer_of(2)
    found = run(optimizer, make_schedule(name, optimizer, n, 10), [None] * n)
    expected = LR * FACTORS[name](np.arange(n), n)
    assert_allclose(found, np.column_stack([expected, expected / 2]), rtol=1e-10)


def test_landmarks():
    ends = {}
    for name in ("step", "multistep", "exponential", "cosine"):
        optimizer = optimizer_of()
        ends[name] = run(optimizer, make_schedule(name, optimizer, 60, 10), [None] * 60)[:, 0] / LR
        if name == "cosine":
            assert rates_of(optimizer)[0] == pytest.approx(0, abs=1e-15)
    assert_allclose(ends["step"][[0, 19, 20, 39, 40, 59]], [1, 1, 0.1, 0.1, 0.01, 0.01])
    assert_allclose(ends["multistep"][[0, 29, 30, 44, 45, 59]], [1, 1, 0.1, 0.1, 0.01, 0.01])
    assert_allclose(ends["exponential"][[0, -1]], [1, 0.01])
    assert ends["cosine"][30] == pytest.approx(0.5)


@pytest.mark.parametrize(("patience", "wait"), [(1, 1), (3, 1), (4, 2), (10, 5)])
def test_a_plateau_halves_the_rate(patience, wait):
    """Two falling losses, then none: the first halving comes after wait + 1 epochs in a row without less, the next
    after as many again; a new least loss starts the count anew."""
    losses = [2.0, 1.0, *[1.0, 1.5] * (wait + 1), 0.5, *[0.5] * wait, 0.4]
    factor, best, bad, expected = 1.0, np.inf, 0, []
    for loss in losses:
        expected.append(LR * factor)
        bad = 0 if loss < best else bad + 1
        best = min(best, loss)
        if bad > wait:
            factor, bad = factor / 2, 0
    assert expected[-1] == LR / 4
    optimizer = optimizer_of()
    found = run(optimizer, make_schedule("plateau", optimizer, 100, patience), losses)
    assert_allclose(found[:, 0], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (partial(lr_scheduler.StepLR, step_size=2), [1, 1, 0.1, 0.1, 0.01]),
        (partial(lr_scheduler.LambdaLR, lr_lambda=lambda t: 1 / (1 + t)), [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]),
        (partial(lr_scheduler.ReduceLROnPlateau, factor=0.1, patience=0), [1, 1, 0.1, 0.01, 0.001]),
        (lr_scheduler.LinearLR, np.linspace(1 / 3, 1, 6)[:5]),
    ],
)
def test_any_scheduler_of_torch(schedule, factors):
    check_schedule(schedule)
    optimizer = optimizer_of()
    found = run(optimizer, make_schedule(schedule, optimizer, 5, 10), [1.0] * 5)
    assert_allclose(found[:, 0], LR * np.array(factors), rtol=1e-12)


@pytest.mark.parametrize("schedule", [None, *SCHEDULES, partial(lr_scheduler.CosineAnnealingWarmRestarts, T_0=3)])
@pytest.mark.parametrize("stop", [0, 1, 5, 11])
def test_a_resumed_schedule_goes_on_alike(schedule, stop):
    """Bit for bit, through a file that holds plain data only, momentum and all."""
    momentum = partial(torch.optim.SGD, momentum=0.9)
    losses = [1.0, *[0.9] * 11]
    optimizer = optimizer_of(2, momentum)
    whole = run(optimizer, make_schedule(schedule, optimizer, 12, 4), losses)

    first = optimizer_of(2, momentum)
    made = make_schedule(schedule, first, 12, 4)
    before = run(first, made, losses[:stop])
    file = io.BytesIO()
    torch.save({"schedule": made.state_dict(), "optimizer": first.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)

    second = optimizer_of(2, momentum)
    made = make_schedule(schedule, second, 12, 4)
    made.load_state_dict(state["schedule"])
    second.load_state_dict(state["optimizer"])
    after = run(second, made, losses[stop:])
    assert np.array_equal(np.concatenate([before.reshape(-1, 2), after]), whole)


@pytest.mark.parametrize("n_steps", [0, 1, 3, 7])
@pytest.mark.parametrize("schedule", [None, "exponential", "step"])
def test_warm_up_scales_the_scheduled_rate_and_leaves_no_trace(n_steps, schedule):
    """Epochs of two steps, gradients of 1: each step moves by (k + 1) / n of the scheduled rate, and the schedule is
    bit for bit what it is without."""
    plain, warmed = optimizer_of(2), optimizer_of(2)
    scheduled = run(plain, make_schedule(schedule, plain, 6, 10), [None] * 6)
    made, warm_up = make_schedule(schedule, warmed, 6, 10), WarmUp(warmed, n_steps)
    moved, rates = [], []
    for step in range(12):
        before = positions(warmed)
        warm_up.before_step(step)
        warmed.step()
        warm_up.after_step()
        moved.append(before - positions(warmed))
        rates.append(rates_of(warmed))
        if step % 2:
            made.step()
    assert np.array_equal(rates, np.repeat(scheduled, 2, axis=0))
    factor = np.minimum(1, (np.arange(12) + 1) / max(1, n_steps))
    assert_allclose(moved, factor[:, None] * np.repeat(scheduled, 2, axis=0), rtol=1e-9)


def test_warm_up_resumes_from_the_step_number_alone():
    """Ten steps at once, or four, a state, and six by another warm-up: the same place."""
    places = []
    for parts in [range(10)], [range(4), range(4, 10)]:
        state, place = None, torch.zeros(1, dtype=torch.float64)
        for steps in parts:
            optimizer = optimizer_of()
            optimizer.param_groups[0]["params"][0].copy_(place)
            if state is not None:
                optimizer.load_state_dict(state)
            warm_up = WarmUp(optimizer, 8)
            for step in steps:
                warm_up.before_step(step)
                optimizer.step()
                warm_up.after_step()
            state, place = optimizer.state_dict(), optimizer.param_groups[0]["params"][0].clone()
        places.append(place.item())
    assert places[0] == places[1]
    assert places[0] == pytest.approx(-LR * (sum(range(1, 9)) / 8 + 2))


@pytest.mark.parametrize("schedule", ["linear", 3, True, ["step"], np.array(["step"])])
def test_unknown_schedules(schedule):
    with pytest.raises(ShiftDataError, match="schedule="):
        check_schedule(schedule)


@pytest.mark.parametrize(
    "schedule", ["plateau", lr_scheduler.ReduceLROnPlateau, partial(lr_scheduler.ReduceLROnPlateau, patience=2)]
)
def test_a_plateau_needs_validation_rows(schedule):
    check_schedule(schedule, True)
    with pytest.raises(ShiftDataError, match=r"early_stopping=True or pass an eval_set"):
        check_schedule(schedule, False)
    optimizer = optimizer_of()
    made = make_schedule(schedule, optimizer, 10, 10)
    optimizer.step()
    with pytest.raises(ShiftDataError, match=r"early_stopping=True or pass an eval_set"):
        made.step(None)


def test_the_others_need_none():
    for schedule in (None, "step", "multistep", "exponential", "cosine", lr_scheduler.StepLR):
        check_schedule(schedule, False)


def test_a_function_that_makes_none():
    with pytest.raises(ShiftDataError, match="makes a list"):
        make_schedule(lambda optimizer: [], optimizer_of(), 10, 10)
