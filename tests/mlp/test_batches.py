import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from shiftfix.mlp._training import _batches
from shiftfix.mlp._training._batches import Rows, batches, epoch_order, resampled_order


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def numbered(n_rows):
    """Row i has X = (i, -i), y = 2 i, weight 3 i."""
    i = torch.arange(n_rows, dtype=torch.float32)
    return Rows(torch.stack([i, -i], dim=1), 2 * i, 3 * i)


@pytest.mark.slow
@given(
    n_rows=st.integers(1, 60),
    batch_size=st.integers(1, 70),
    n_models=st.integers(1, 3),
    block=st.sampled_from([1, 40, 2**18]),
)
def test_every_row_comes_once_with_its_own_y_and_weight(n_rows, batch_size, n_models, block):
    """Whatever the size of the blocks that are gathered at once."""
    order = epoch_order(n_rows, generators(*range(n_models)))
    before, _batches.GATHERED_AT_ONCE = _batches.GATHERED_AT_ONCE, block
    try:
        found = list(batches(numbered(n_rows), order, batch_size))
    finally:
        _batches.GATHERED_AT_ONCE = before
    assert [b.y.shape[-1] for b in found[:-1]] == [batch_size] * (len(found) - 1)
    assert len(found) == -(-n_rows // batch_size)
    y = torch.cat([b.y for b in found], dim=-1)
    assert torch.equal(y, 2.0 * order)
    assert torch.equal(torch.sort(y.reshape(n_models, -1), dim=1).values[0], 2 * torch.arange(n_rows).float())
    for b in found:
        assert torch.equal(b.X[..., 0] * 2, b.y)
        assert torch.equal(b.X[..., 1] * -3, b.weight)


def test_orders_differ_between_epochs_and_models_and_repeat_with_the_seed():
    one, two = generators(0, 0)
    first, second = epoch_order(50, [one]), epoch_order(50, [one])
    assert not torch.equal(first, second)
    assert torch.equal(epoch_order(50, [two]), first)
    several = epoch_order(50, generators(0, 1))
    assert torch.equal(several[0], first)
    assert not torch.equal(several[1], first)


def test_rows_are_drawn_in_proportion_to_their_weights():
    """70,000 draws from 7 weights, chi-square test; a right program fails with probability 1e-6."""
    weight = torch.tensor([0.1, 2.0, 0.5, 1.0, 3.0, 0.4, 1.0]).repeat(10_000)
    order = resampled_order(weight, generators(0))
    assert order.shape == (70_000,)
    counts = np.bincount(order.numpy() % 7, minlength=7)
    assert chisquare(counts, 70_000 * weight[:7].numpy() / 8.0).pvalue > 1e-6


@pytest.mark.parametrize("weight", [[1.0], [1e-30, 1.0, 1e-30], [5.0, 5.0]])
def test_drawn_rows_exist(weight):
    order = resampled_order(torch.tensor(weight), generators(0, 1))
    assert order.shape == (2, len(weight))
    assert 0 <= int(order.min()) <= int(order.max()) < len(weight)


def test_rows_of_weight_zero_are_never_drawn():
    weight = torch.zeros(1000)
    weight[500:510] = torch.rand(10, generator=generators(1)[0])
    order = resampled_order(weight, generators(0, 1))
    assert order.shape == (2, 1000)
    assert 500 <= int(order.min()) <= int(order.max()) < 510


def test_draws_are_independent_of_one_another():
    """Neighbouring draws of 4 equal rows: 16 pairs, chi-square test over 100,000 of them; a right program fails with
    probability 1e-6."""
    order = resampled_order(torch.ones(200_000), generators(0)) % 4
    pairs = np.bincount((4 * order[::2] + order[1::2]).numpy(), minlength=16)
    assert chisquare(pairs).pvalue > 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("n_rows", [3, 4])
def test_all_orders_are_as_likely(n_rows):
    """12,000 epochs; a right program fails with probability 1e-6."""
    generator = generators(0)
    codes = [int("".join(map(str, epoch_order(n_rows, generator).tolist()))) for _ in range(12_000)]
    _, counts = np.unique(codes, return_counts=True)
    assert len(counts) == {3: 6, 4: 24}[n_rows]
    assert chisquare(counts).pvalue > 1e-6


@pytest.mark.parametrize("shape", [(5,), (2, 5)])
def test_rows_of_images_keep_their_shape(shape):
    X = torch.arange(7 * 12.0).reshape(7, 1, 3, 4)
    index = torch.tensor([6, 0, 3, 3, 1]).expand(shape)
    taken = Rows(X, torch.arange(14).reshape(7, 2), torch.arange(7.0)).take(index)
    assert taken.X.shape == (*shape, 1, 3, 4)
    assert taken.y.shape == (*shape, 2)
    assert torch.equal(taken.X, X[index])
    assert torch.equal(taken.weight, index.float())
