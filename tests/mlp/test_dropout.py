import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from shiftfix.mlp._dropout import Dropout, keep_mask


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("bits", "keep_count"), [(8, 128), (8, 1), (8, 230), (16, 64881), (16, 30000)])
def test_masks_keep_the_stated_share(bits, keep_count):
    """1e6 Bernoulli draws, exact binomial test; a right program fails with probability 1e-6."""
    mask = keep_mask(1_000_000, keep_count, bits, generator(), "cpu")
    assert mask.shape == (1_000_000,)
    assert binomtest(int(mask.sum()), 1_000_000, keep_count / 2**bits).pvalue > 1e-6


@pytest.mark.parametrize("bits", [8, 16])
def test_every_place_inside_a_word_is_fair(bits):
    """The masks of one 64-bit draw: each keeps half, and any two agree half the time (5 sd allowed)."""
    n = 40_000
    mask = keep_mask(n * (64 // bits), 2 ** (bits - 1), bits, generator(1), "cpu").numpy()
    mask = mask.reshape(n, -1)
    allowed = 5 * 0.5 / np.sqrt(n)
    assert np.abs(mask.mean(axis=0) - 0.5).max() < allowed
    agree = (mask[:, :, None] == mask[:, None, :]).mean(axis=0)
    assert np.abs(agree[~np.eye(64 // bits, dtype=bool)] - 0.5).max() < allowed


@pytest.mark.parametrize("rate", [0.005, 0.1, 0.5, 0.9, 0.999])
def test_expectation_of_every_unit_is_unchanged(rate):
    """Mean of 4e6 masked ones: standard error sqrt(rate / keep / n); 5 of them are allowed."""
    layer = Dropout(rate, generator(2)).train()
    mean = layer(torch.ones(2000, 2000)).double().mean().item()
    assert mean == pytest.approx(1, abs=5 * np.sqrt(rate / (1 - rate) / 4e6))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_survivors_are_scaled_by_the_exact_keep_rate(rate):
    layer = Dropout(rate, generator()).train()
    out = layer(torch.full((50, 50), 3.0))
    kept = out[out != 0]
    assert torch.allclose(kept, torch.full_like(kept, 3 * 256 / layer.masks.keep_count))
    assert abs(layer.masks.keep_count / 256 - (1 - rate)) <= 1 / 512


def test_evaluation_passes_through_and_draws_nothing():
    private = generator()
    before = private.get_state()
    x = torch.randn(5, 5, generator=generator(3))
    assert torch.equal(Dropout(0.5, private).eval()(x), x)
    assert torch.equal(private.get_state(), before)


def test_the_generator_alone_decides():
    x = torch.ones(100, 100)
    one, same, other = (Dropout(0.5, generator(seed)).train()(x) for seed in (4, 4, 5))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_gradient_flows_through_the_survivors_only():
    x = torch.ones(40, 40, requires_grad=True)
    out = Dropout(0.5, generator()).train()(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())
