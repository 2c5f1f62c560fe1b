"""The training loop against hand-computed steps and exact equivalences."""

import numpy as np
import pytest
import torch
from torch import nn

from shiftfix.mlp._loop import Rows, fit_loop, limited_threads, run_epoch, train_step, weighted_loss
from shiftfix.mlp._losses import squared_error


def linear(weight=0.0):
    module = nn.Sequential(nn.utils.skip_init(nn.Linear, 1, 1, bias=False)).double()
    nn.init.constant_(module[0].weight, weight)
    return module


def rows(x, y, w):
    column = lambda values: torch.tensor(values, dtype=torch.float64)[:, None]  # noqa: E731
    return Rows(column(x), column(y), torch.tensor(w, dtype=torch.float64))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_one_step_is_the_weighted_gradient_over_the_batch_size():
    """theta = 0, loss (theta x - y)^2: gradient -2 sum w x y / B = -2 (1*1*2*.5 + 2*3*1.5) / 2 = -10."""
    module, data = linear(), rows([1.0, 2.0], [2.0, 3.0], [0.5, 1.5])
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    total = train_step(module, squared_error, optimizer, data, torch.tensor([0, 1]), 2)
    assert total.item() == pytest.approx(0.5 * 4 + 1.5 * 9)
    assert module[0].weight.item() == pytest.approx(1.0)


def test_a_batch_is_not_divided_by_its_own_weights():
    """Two rows in separate batches of nominal size 2: steps w_i x_i y_i, not x_i y_i."""
    module, data = linear(), rows([1.0], [1.0], [0.25])
    train_step(module, squared_error, torch.optim.SGD(module.parameters(), lr=1.0), data, torch.tensor([0]), 2)
    assert module[0].weight.item() == pytest.approx(2 * 0.25 / 2)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 7])
def test_first_order_the_epoch_moves_by_the_full_weighted_gradient(batch_size, rng):
    """With a tiny step, one epoch of any batch size moves by lr * sum(w grad) / batch_size: every row,
    those of the short last batch too, counts once."""
    x, y, w = rng.normal(size=7), rng.normal(size=7), rng.exponential(size=7)
    module = linear()
    run_epoch(
        module,
        squared_error,
        torch.optim.SGD(module.parameters(), lr=1e-7),
        rows(x, y, w),
        batch_size,
        generator(),
    )
    assert module[0].weight.item() == pytest.approx(1e-7 * 2 * np.sum(w * x * y) / batch_size, rel=1e-5)


def test_weighted_loss_is_a_ratio_over_all_rows():
    data = rows([0.0] * 4, [1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 2.0, 1.0])
    assert weighted_loss(linear(), squared_error, data) == pytest.approx((1 + 18 + 16) / 4)


def test_full_batch_training_solves_weighted_least_squares(rng):
    """theta = sum w x y / sum w x^2."""
    x, y, w = rng.normal(size=30), rng.normal(size=30), rng.exponential(size=30)
    module = linear()
    data = rows(x, y, w / w.mean())
    optimizer = torch.optim.SGD(module.parameters(), lr=0.2)
    fit_loop(
        module,
        squared_error,
        optimizer,
        data,
        None,
        batch_size=30,
        max_epochs=300,
        patience=1,
        generator=generator(),
    )
    assert module[0].weight.item() == pytest.approx(np.sum(w * x * y) / np.sum(w * x * x), abs=1e-8)


def test_best_epoch_is_restored_and_patience_counts():
    """Training pulls theta to 1; validation is best at 0.5: overshoot, stop `patience` epochs later, go back."""
    module = linear()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    training, validation = rows([1.0], [1.0], [1.0]), rows([1.0], [0.5], [1.0])
    result = fit_loop(
        module,
        squared_error,
        optimizer,
        training,
        validation,
        batch_size=1,
        max_epochs=100,
        patience=4,
        generator=generator(),
    )
    losses = result.history["validation_loss"]
    assert result.best_epoch == int(np.argmin(losses)) + 1
    assert len(losses) == result.best_epoch + 4
    assert weighted_loss(module, squared_error, validation) == pytest.approx(min(losses))


def test_validation_weights_choose_the_epoch():
    """The same two validation rows, weighted towards the early or the late optimum."""

    def best(weights):
        module = linear()
        optimizer = torch.optim.SGD(module.parameters(), lr=0.02)
        validation = rows([1.0, 1.0], [0.2, 0.9], weights)
        return fit_loop(
            module, squared_error, optimizer, rows([1.0], [1.0], [1.0]), validation,
            batch_size=1, max_epochs=200, patience=5, generator=generator(),
        ).best_epoch  # fmt: skip

    assert best([1.0, 0.01]) < best([1.0, 1.0]) < best([0.01, 1.0])


def test_a_loss_that_blows_up_is_an_error():
    module = linear()
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        fit_loop(
            module, squared_error, torch.optim.SGD(module.parameters(), lr=1e200), rows([1.0], [1.0], [1.0]), None,
            batch_size=1, max_epochs=9, patience=1, generator=generator(),
        )  # fmt: skip


def test_the_number_of_threads_is_borrowed_and_given_back():
    before = torch.get_num_threads()
    with limited_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), limited_threads(before + 2):
        raise ZeroDivisionError
    assert torch.get_num_threads() == before
    with limited_threads(None):
        assert torch.get_num_threads() == before
