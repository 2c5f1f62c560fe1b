"""Dropout masks: shares, fairness, expectation, and how they are drawn ahead."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from shiftfix.mlp._network._dropout import DRAWN_AT_ONCE, Dropout, Masks, keep_mask


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


@pytest.mark.slow
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


def test_masks_of_one_draw_follow_each_other_without_overlap():
    """In the order of the draw, whatever the shapes; the rest of a draw too short for the next mask is left."""
    masks, private = Masks(0.5), generator(6)
    shapes = [(3, 5), (7,), (2, 4, 8), (1, 1)]
    found = [masks.take(torch.empty(shape), private) for shape in shapes]
    assert [tuple(mask.shape) for mask in found] == shapes
    whole = 2 * keep_mask(DRAWN_AT_ONCE, 128, 8, generator(6), "cpu")
    assert torch.equal(torch.cat([mask.flatten() for mask in found]), whole[: 15 + 7 + 64 + 1])
    large = masks.take(torch.empty(DRAWN_AT_ONCE), private)
    again = generator(6)
    keep_mask(DRAWN_AT_ONCE, 128, 8, again, "cpu")
    assert torch.equal(large, 2 * keep_mask(DRAWN_AT_ONCE, 128, 8, again, "cpu"))


def test_a_tensor_larger_than_a_block_gets_one_draw():
    mask = Masks(0.25).take(torch.empty(3, DRAWN_AT_ONCE), generator())
    assert mask.shape == (3, DRAWN_AT_ONCE)
    assert not torch.equal(mask[0], mask[1])


def test_forgetting_leaves_all_to_the_generator():
    layer, x = Dropout(0.5, generator(1)).train(), torch.ones(10, 10)
    first = layer(x)
    assert not torch.equal(layer(x), first)
    layer.generator.manual_seed(1)
    assert not torch.equal(layer(x), first)  # still from the first draw
    layer.generator.manual_seed(1)
    layer.reset()
    assert torch.equal(layer(x), first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_masks_have_the_type_of_what_they_mask(dtype):
    """Also when it changes from one call to the next. bfloat16 has 8 bits: the scale is off by up to 2^-8."""
    layer = Dropout(0.1, generator()).train()
    layer(torch.ones(4, 4, dtype=torch.float32 if dtype == torch.float64 else torch.float64))
    out = layer(torch.ones(50, 50, dtype=dtype))
    assert out.dtype == dtype
    scale = 256 / layer.masks.keep_count
    precision = {torch.float32: 1e-7, torch.float64: 1e-15, torch.bfloat16: 2**-8}[dtype]
    assert out.max().item() == pytest.approx(scale, rel=precision)


def test_the_gradients_of_two_passes_keep_their_own_masks():
    """Masks wait in the graph while others are drawn, also past the end of a block."""
    layer = Dropout(0.5, generator()).train()
    x = torch.ones(DRAWN_AT_ONCE // 3, requires_grad=True)
    outputs = [layer(x) for _ in range(5)]
    for out in outputs:
        (gradient,) = torch.autograd.grad(out.sum(), x)
        assert torch.equal(gradient, out.detach())


@pytest.mark.parametrize("rate", [0, 1e-7])
def test_rates_that_round_to_zero_drop_nothing(rate):
    layer, x = Dropout(rate, None).train(), torch.ones(5, 5)
    assert not layer.masks.active
    assert layer(x) is x


@pytest.mark.slow
def test_rates_close_to_one_keep_the_scale_finite():
    layer = Dropout(1 - 1e-12, generator()).train()
    out = layer(torch.ones(1000, 1000))
    assert set(out.unique().tolist()) == {0.0, 65536.0}


@pytest.mark.parametrize(("rate", "bits"), [(0.0199, 16), (0.02, 8), (0.5, 8), (0.98, 8), (0.981, 16)])
def test_rates_that_eight_bits_cannot_tell_from_none_take_sixteen(rate, bits):
    """The rate that is drawn is within half a step of the one asked for."""
    masks = Masks(rate)
    assert masks.bits == bits
    assert abs(1 - masks.keep_count / 2**bits - rate) <= 0.5 / 2**bits
