"""The training loop against hand-computed steps and exact equivalences."""

import numpy as np
import pytest
import torch
from torch import nn

from shiftfix.exceptions import NonFiniteLossWarning
from shiftfix.mlp._training._batches import Rows, strided
from shiftfix.mlp._training._devices import limited_threads
from shiftfix.mlp._training._loop import (
    CHUNK,
    chunk_size,
    fit_loop,
    forward,
    mean_losses,
    run_epoch,
    train_step,
)
from shiftfix.mlp._training._losses import squared_error
from shiftfix.mlp._training._run import Run


def linear(weight=0.0):
    module = nn.Sequential(nn.utils.skip_init(nn.Linear, 1, 1, bias=False)).double()
    nn.init.constant_(module[0].weight, weight)
    return module


def rows(x, y, w):
    column = lambda values: torch.tensor(values, dtype=torch.float64)[:, None]  # noqa: E731
    return Rows(column(x), column(y), torch.tensor(w, dtype=torch.float64))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def start(module, *, lr, batch_size, max_epochs=1, loss=squared_error, seed=0, **settings):
    optimizer = torch.optim.SGD(module.parameters(), lr=lr)
    generators = {"order 0": generator(seed)}
    return Run(module, loss, optimizer, generators, batch_size, max_epochs, **settings)


def test_one_step_is_the_weighted_gradient_over_the_batch_size():
    """theta = 0, loss (theta x - y)^2: gradient -2 sum w x y / B = -2 (1*1*2*.5 + 2*3*1.5) / 2 = -11."""
    module, data = linear(), rows([1.0, 2.0], [2.0, 3.0], [0.5, 1.5])
    losses = train_step(start(module, lr=0.1, batch_size=2), data)
    assert losses.tolist() == [4, 9]
    assert module[0].weight.item() == pytest.approx(0.1 * (2 * 0.5 * 2 + 2 * 1.5 * 2 * 3) / 2)


def test_a_batch_is_not_divided_by_its_own_weights():
    """Two rows in separate batches of nominal size 2: steps w_i x_i y_i, not x_i y_i."""
    module, data = linear(), rows([1.0], [1.0], [0.25])
    train_step(start(module, lr=1.0, batch_size=2), data)
    assert module[0].weight.item() == pytest.approx(2 * 0.25 / 2)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 7])
def test_first_order_the_epoch_moves_by_the_full_weighted_gradient(batch_size, rng):
    """With a tiny step, one epoch of any batch size moves by lr * sum(w grad) / batch_size: every row,
    those of the short last batch too, counts once."""
    x, y, w = rng.normal(size=7), rng.normal(size=7), rng.exponential(size=7)
    module = linear()
    run_epoch(start(module, lr=1e-7, batch_size=batch_size), rows(x, y, w))
    assert module[0].weight.item() == pytest.approx(1e-7 * 2 * np.sum(w * x * y) / batch_size, rel=1e-5)


def test_drawing_rows_by_weight_has_the_same_expected_step(rng):
    """28,000 draws from 4000 copies of 7 rows, in 40 tiny steps, move by the weighted gradient: 5 standard errors
    allowed. Multiplying the drawn rows' losses by their weights once more would give sum(w^2 grad)."""
    x, y, w = rng.normal(size=7), rng.normal(size=7), rng.exponential(size=7)
    w /= w.mean()
    module = linear()
    run = start(module, lr=1e-7, batch_size=700, weighting="resample")
    run_epoch(run, rows(*(np.tile(values, 4000) for values in (x, y, w))))
    gradients = 2 * x * y
    mean = np.sum(w * gradients) / 7
    deviation = np.sqrt((np.sum(w * gradients**2) / 7 - mean**2) / 7 / 4000)
    assert module[0].weight.item() / 4e-6 == pytest.approx(mean, abs=5 * deviation)
    assert abs(np.sum(w**2 * gradients) / np.sum(w) - mean) > 10 * deviation


def test_the_mean_loss_is_a_ratio_over_all_rows():
    data = rows([0.0] * 4, [1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 2.0, 1.0])
    weighted, unweighted, pull = mean_losses(start(linear(), lr=1.0, batch_size=1), data)
    assert weighted.item() == pytest.approx((1 + 18 + 16) / 4)
    assert unweighted.item() == pytest.approx((1 + 4 + 9 + 16) / 4)
    assert pull.item() == pytest.approx((4 + 9) / 2)


@pytest.mark.slow
def test_full_batch_training_solves_weighted_least_squares(rng):
    """theta = sum w x y / sum w x^2."""
    x, y, w = rng.normal(size=30), rng.normal(size=30), rng.exponential(size=30)
    module = linear()
    fit_loop(start(module, lr=0.2, batch_size=30, max_epochs=300), rows(x, y, w / w.mean()))
    assert module[0].weight.item() == pytest.approx(np.sum(w * x * y) / np.sum(w * x * x), abs=1e-8)


def test_best_epoch_is_restored_and_patience_counts():
    """Training pulls theta to 1; validation is best at 0.5: overshoot, stop `patience` epochs later, go back."""
    module = linear()
    validation = rows([1.0], [0.5], [1.0])
    run = start(module, lr=0.05, batch_size=1, max_epochs=100, patience=4)
    fit_loop(run, rows([1.0], [1.0], [1.0]), validation)
    losses = run.history["validation_loss"]
    assert run.best_epoch.item() == int(np.argmin(losses)) + 1
    assert len(losses) == run.best_epoch.item() + 4
    assert mean_losses(run, validation)[0].item() == pytest.approx(min(losses))


@pytest.mark.slow
def test_validation_weights_choose_the_epoch():
    """The same two validation rows, weighted towards the early or the late optimum."""

    def best(weights):
        run = start(linear(), lr=0.02, batch_size=1, max_epochs=200, patience=5)
        fit_loop(run, rows([1.0], [1.0], [1.0]), rows([1.0, 1.0], [0.2, 0.9], weights))
        return run.best_epoch.item()

    assert best([1.0, 0.01]) < best([1.0, 1.0]) < best([0.01, 1.0])


def test_a_loss_that_blows_up_at_once_is_an_error():
    module = linear()
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        fit_loop(start(module, lr=1e200, batch_size=1, max_epochs=9), rows([1.0], [1.0], [1.0]))
    assert module[0].weight.item() == 0, "the start is back"


@pytest.mark.parametrize("held_out", [False, True])
def test_a_loss_that_blows_up_later_keeps_the_best_epoch(held_out):
    """theta goes .2, .36, .488, and then the rate is raised so that its square overflows."""

    def spoil(run):
        if run.epoch == 3:
            run.optimizer.param_groups[0]["lr"] = 1e200

    module, data = linear(), rows([1.0], [1.0], [1.0])
    run = start(module, lr=0.1, batch_size=1, max_epochs=50)
    with pytest.warns(NonFiniteLossWarning, match="training stopped, and the network of epoch 3 is kept"):
        fit_loop(run, data, data if held_out else None, callbacks=[spoil])
    assert module[0].weight.item() == pytest.approx(0.488)
    assert run.best_epoch.item() == 3
    assert len(run.history["train_loss"]) == (4 if held_out else 5)


def test_a_callback_stops_and_sees_the_run():
    seen = []

    def stop_after_three(run):
        seen.append((run.epoch, len(run.history["train_loss"]), run.module[0].weight.item()))
        run.stop = run.epoch == 3

    run = start(linear(), lr=0.1, batch_size=1, max_epochs=50)
    fit_loop(run, rows([1.0], [1.0], [1.0]), callbacks=[stop_after_three])
    assert [s[:2] for s in seen] == [(1, 1), (2, 2), (3, 3)]
    assert [s[2] for s in seen] == pytest.approx([0.2, 0.36, 0.488])


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


def test_rows_of_many_numbers_go_through_in_small_parts():
    """Two to the 23 numbers at a time; 3 x 224 x 224 images 55 at a time. The outputs come back in order."""
    assert chunk_size(torch.zeros(10, 3, 224, 224)) == 55
    assert chunk_size(torch.zeros(10, 20)) == chunk_size(torch.zeros(10, dtype=torch.int64)) == CHUNK
    assert chunk_size(torch.zeros(1).expand(3, 2**24)) == 1
    sizes, X = [], torch.arange(140.0)[:, None].expand(140, 3 * 224 * 224)

    class First(nn.Module):
        def forward(self, X):
            sizes.append(len(X))
            return X[:, :1]

    assert torch.equal(forward(First(), X), X[:, :1])
    assert sizes == [55, 55, 30]


@pytest.mark.parametrize("weighting", ["loss", "resample"])
def test_the_share_of_the_weight_on_fitted_rows(weighting):
    """Losses .001 and 1 that never change, weights 1/2 and 3/2: the pull is .5005 throughout, 5% of it is .025, and the
    fitted row has a quarter of the weight. When rows are drawn, that is how often it comes: in 4000 draws within .035,
    five standard errors, and the pull within .09 of its start."""
    constant = lambda outputs, y: y[:, 0] + 0 * outputs[:, 0]  # noqa: E731
    n = 1 if weighting == "loss" else 2000
    run = start(linear(), lr=0.1, batch_size=2 * n, loss=constant, weighting=weighting)
    fit_loop(run, rows([1.0, 1.0] * n, [0.001, 1.0] * n, [0.5, 1.5] * n))
    share, effect = (1e-12, 1e-12) if weighting == "loss" else (0.035, 0.09)
    assert run.history["train_interpolation"] == pytest.approx([0.25], abs=share)
    assert run.history["weight_effect"] == pytest.approx([1.0], abs=effect)


@pytest.mark.parametrize("n_rows", [9, 1000, 2**24 + 4, 2**26 + 1])
def test_a_sample_of_rows_goes_from_the_first_to_the_last_in_even_steps(n_rows, monkeypatch):
    """By whole numbers; the rows take no memory. A place just between two rows may be either."""
    found = []
    monkeypatch.setattr(Rows, "lazily", lambda self, index: (found.extend(index.tolist()), self.take(index))[1])
    column = torch.zeros(1).expand(n_rows)
    assert len(strided(Rows(column[:, None], column, column), 7)) == 7
    assert (found[0], found[-1]) == (0, n_rows - 1)
    assert all(abs(6 * place - k * (n_rows - 1)) <= 3 for k, place in enumerate(found))
