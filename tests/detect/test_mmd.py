"""Maximum mean discrepancy against its definition."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix import detect
from shiftfix.detect import _mmd as module
from shiftfix.detect import mmd_test
from shiftfix.detect._mmd import mmd_squared

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("entries", [2**21, 100])
def test_the_squared_discrepancy_by_its_definition(entries, monkeypatch):
    """Mean kernel within source, within target, less twice that between, whatever the blocks."""
    monkeypatch.setattr(module, "PRODUCT_ENTRIES", entries)
    rows, labels = RNG.normal(size=(30, 2)), np.array([RNG.permutation(np.arange(30) < 12) for _ in range(3)])
    found = mmd_squared(rows, labels, [0.5, 2.0])
    for b, y in enumerate(labels):
        for k, width in enumerate([0.5, 2.0]):
            kernel = np.exp(-((rows[:, np.newaxis] - rows) ** 2).sum(axis=2) / (2 * width**2))
            expected = kernel[y][:, y].mean() + kernel[~y][:, ~y].mean() - 2 * kernel[y][:, ~y].mean()
            assert_allclose(found[b, k], expected, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("change", [lambda X: X + 0.5, lambda X: X * 0.5, lambda X: np.sign(X) * np.sqrt(np.abs(X))])
def test_sees_any_difference(change):
    source, target = RNG.normal(size=(300, 2)), change(RNG.normal(size=(300, 2)))
    assert mmd_test(source, target, random_state=0).p_value < 0.01


def test_large_samples_are_drawn_from():
    found = mmd_test(RNG.normal(size=(300, 2)), RNG.normal(size=(50, 2)), max_rows=100, n_permutations=9)
    assert (found.n_source, found.n_target) == (100, 50)


@pytest.mark.slow
def test_the_effect_does_not_grow_with_the_rows():
    sizes = [
        mmd_test(RNG.normal(size=(n, 1)), RNG.normal(1, 1, (n, 1)), bandwidths=1.0, n_permutations=99, random_state=0)
        for n in (200, 1000)
    ]
    assert sizes[0].effect_size == pytest.approx(sizes[1].effect_size, abs=0.1)
    assert "MMD" in str(sizes[0])


def test_bad_widths_are_refused():
    with pytest.raises(ValueError, match="bandwidths"):
        mmd_test(np.eye(6), np.eye(6), bandwidths=[1.0, -1.0])


@pytest.mark.slow
def test_size():
    """300 problems without shift at level .05: 15 expected, standard deviation 3.8."""
    rejected = [
        mmd_test(rng.normal(size=(60, 3)), rng.normal(size=(60, 3)), n_permutations=99, random_state=rng).p_value
        <= 0.05
        for rng in map(np.random.default_rng, range(300))
    ]
    assert 4 <= sum(rejected) <= 28


def test_every_result_is_one_type():
    results = [getattr(detect, name) for name in ("FeatureTests", "MechanismTest", "PerformanceDrop")]
    assert all(issubclass(result, detect.ShiftTest) for result in results)
