"""Trainings that several processes share: the model is that of one process, whoever has which rows."""

import signal

import numpy as np
import pytest
import torch

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import _storage
from shiftfix.mlp._training import _loop, _stored_rows
from tests.mlp.ranks_jobs import (
    DATA,
    FEW_KINDS,
    FEW_MODELS,
    MODELS,
    REFUSED,
    SHARDS,
    fit_all,
    fit_all_few,
    fit_few,
    fit_or_die,
    fit_stored,
    fit_through,
    fitted,
    is_tried,
    launch,
    learned,
    small_windows,
    stored,
    table,
    told,
    write_shards,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def alone():
    """What one process with all rows learns."""
    tried = {(model, order) for model in MODELS for order in DATA for kind in SHARDS if is_tried(model, order, kind)}
    return {(model, order): learned(fitted(model, order)) for model, order in tried}


@pytest.mark.parametrize("size", [2, 4])
def test_the_model_is_that_of_one_process(size, tmp_path, alone):
    assert launch(size, tmp_path, fit_all) == [0] * size
    for (model, order), expected in alone.items():
        for kind in (kind for kind in SHARDS if is_tried(model, order, kind)):
            found = [np.load(tmp_path / f"{model} {order} {kind} {rank}.npz") for rank in range(size)]
            for name, value in expected.items():
                if "saturated" in name or "dead" in name:  # of those a bound is told
                    continue
                np.testing.assert_allclose(found[0][name], value, rtol=2e-6, atol=1e-6, err_msg=f"{model} {name}")
                for other in found[1:]:
                    np.testing.assert_array_equal(other[name], found[0][name])


def test_a_process_may_have_no_row_that_is_held_out_or_looked_at_or_weighed(tmp_path, monkeypatch):
    monkeypatch.setattr(_loop, "CHUNK", 0)  # put back behind the test
    assert launch(3, tmp_path, fit_all_few) == [0] * 3
    for kind in FEW_KINDS:
        for model in FEW_MODELS:
            found = [np.load(tmp_path / f"{model} {kind} {rank}.npz") for rank in range(3)]
            for name, value in learned(fit_few(model, kind)).items():
                if "saturated" in name or "dead" in name:  # of those a bound is told
                    continue
                said = f"{model} {kind} {name}"
                np.testing.assert_allclose(found[0][name], value, rtol=2e-6, atol=1e-6, err_msg=said)
                for other in found[1:]:
                    np.testing.assert_array_equal(other[name], found[0][name], err_msg=said)


@pytest.mark.parametrize("order", DATA)
def test_the_step_of_one_process_is_the_weighted_gradient(order, alone):
    """So that of several is, by the test above."""
    X, y, w, _ = table(order)
    weight = torch.arange(6.0, dtype=torch.float64).view(2, 3).div(50).float().double().requires_grad_()
    bias = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    outputs = torch.as_tensor(X).double() @ weight.T + bias
    losses = torch.nn.functional.cross_entropy(outputs, torch.as_tensor(y), reduction="none")
    (torch.as_tensor(w / w.mean()) @ losses / len(y)).backward()
    found = alone["gradient", order]
    for name, start in (("weight", weight), ("bias", bias)):
        gradient = start.detach().numpy() - found[name]
        np.testing.assert_allclose(gradient, start.grad.numpy(), rtol=1e-6, atol=2e-6)


def test_rows_that_are_read_by_blocks_may_lie_with_any_process(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    for module in (_stored_rows, _storage):  # put back behind the test
        monkeypatch.setattr(module, "BLOCK_NUMBERS", 0)
    monkeypatch.setattr(_stored_rows, "WINDOW_NUMBERS", 0)
    small_windows()
    write_shards(tmp_path, 2)
    assert launch(2, tmp_path, fit_stored) == [0, 0]
    _, y, w, _ = table("sorted")
    for kind in ("map", "parquet"):
        expected = learned(MODELS["dropout"]().fit(stored(tmp_path, kind, ""), y, w))
        found = [np.load(tmp_path / f"{kind} {rank}.npz") for rank in range(2)]
        for name in (name for name in expected if "dead" not in name):
            np.testing.assert_allclose(found[0][name], expected[name], rtol=2e-6, atol=1e-6, err_msg=f"{kind} {name}")
            np.testing.assert_array_equal(found[1][name], found[0][name])


@pytest.mark.parametrize("model", ["dropout", "noisy"])
def test_a_process_is_killed_and_all_are_started_again(model, tmp_path):
    codes = launch(2, tmp_path, fit_or_die, model, True)
    assert codes[1] == -signal.SIGKILL
    assert codes[0] not in (0, None)  # it does not wait for ever, and does not go on alone
    assert (tmp_path / "run").exists()
    with pytest.raises(ShiftDataError, match="2 processes, and this one is on 1"):
        fitted(model, "sorted", max_epochs=4, checkpoint=tmp_path / "run", resume=True)
    assert launch(2, tmp_path, fit_or_die, model, False) == [0, 0]
    assert launch(2, tmp_path, fit_through, model) == [0, 0]
    for rank in (0, 1):
        resumed, through = np.load(tmp_path / f"{model} {rank}.npz"), np.load(tmp_path / f"{model} through {rank}.npz")
        assert set(resumed) == set(through)
        for name in through:
            np.testing.assert_array_equal(resumed[name], through[name], err_msg=name)


def test_what_one_process_finds_all_are_told(tmp_path):
    assert launch(2, tmp_path, told) == [0, 0]
    first, second = ((tmp_path / f"told {rank}").read_text().splitlines() for rank in (0, 1))
    said = dict(zip(REFUSED, zip(first, second, strict=True), strict=True))
    assert "Process 1 of 2 stopped, and the others with it" in said["NaN on one"][0]
    assert "NaN" in said["NaN on one"][0]
    assert "NaN" in said["NaN on one"][1]
    for case, words in {
        "settings": "differ in l2 (process 0: 0.0; process 1: 0.1)",
        "shapes": "different rows of X of shape (process 0: (3,); process 1: (2,))",
        "weights": "different sample_weight (process 0: True; process 1: False)",
        "rows to stop by": "differ in whether there are rows to stop by",
        "no weight": "sample_weight is all zero",
        "no weight for a module": "sample_weight is all zero",
        "constant on each": "column 2 differ by 1e-170 at most",
        "batch norm": "batch_norm=True, which looks at all rows",
        "several": "trains one network, and n_models=2",
        "stops on one": "1 epochs",
    }.items():
        assert words in said[case][0], case
        assert said[case][0] == said[case][1], case


def test_processes_must_know_of_each_other():
    with pytest.raises(ShiftDataError, match="init_process_group"):
        MODELS["dropout"](data_parallel=True).fit(*table("random")[:3])
    with pytest.raises(ShiftDataError, match="partial_fit trains in one process"):
        MODELS["dropout"](data_parallel=True).partial_fit(*table("random")[:2], classes=[0, 1])
