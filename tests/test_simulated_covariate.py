"""The simulated set of the benchmark: closed forms of its densities, and the tables by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.benchmarks import simulated_covariate as benchmark


def test_half_of_the_rows_fill_the_ellipse_evenly(rng):
    X, y = benchmark.draw(rng, 8000, 2)
    mean, shape = benchmark.ELLIPSE
    radius = np.linalg.norm((X[y == 0] - mean) @ np.linalg.inv(shape), axis=1)
    assert np.bincount(y).tolist() == [4000, 4000]
    assert radius.max() <= 1
    # The share within r of an even disk is r^2; Kolmogorov's bound at 1e-6 is 2.7 / sqrt(n).
    assert np.abs(np.sort(radius) ** 2 - (np.arange(4000) + 0.5) / 4000).max() < 2.7 / np.sqrt(4000)


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["after", "before"])
def test_rows_near_the_center_are_chosen(noise, rng, monkeypatch):
    """A normal blob times exp(-2 |x - c|^2) is normal, with the precisions added: of the first blob, without noise and
    with it, the column means are -1.409 and 3, or -.835 and 3. A pool so large that choosing does not deplete it."""
    monkeypatch.setattr(benchmark, "POOL", 1000)
    X, y = benchmark.target(rng, 800, 5, noise)
    (mean, shape), spread = benchmark.BLOBS[0], benchmark.NOISE**2 * np.eye(2) * (noise == "before")
    precision = np.linalg.inv(np.array(shape).T @ shape + spread)
    tilt = 2 * benchmark.STEEPNESS * np.eye(2)
    expected = np.linalg.solve(precision + tilt, precision @ mean + tilt @ benchmark.CENTER)
    rows = X[y == 1]
    assert len(rows) > 100
    assert_allclose(rows.mean(axis=0), expected, atol=5 * 0.65 / np.sqrt(len(rows)))


@pytest.mark.slow
def test_p_of_y_given_x_is_shared_only_where_noise_comes_before_the_choice():
    assert abs(benchmark.moved("before", 2, 12_000)) < 1
    assert benchmark.moved("after", 2, 12_000) > 1.5


def test_the_share_kept():
    rows = [
        {"one_points": 4.0, "one_points_error": 0.5, "cv_points": 3.0},
        {"one_points": 0.5, "one_points_error": 0.5, "cv_points": 0.2},
        {"one_points": -2.0, "one_points_error": 0.1, "cv_points": 0.0},
    ]
    assert benchmark.kept(rows) == pytest.approx({"all": 3.2 / 2.5, "helped": 3 / 4})
    assert benchmark.kept(rows[2:]) == {"all": None, "helped": None}


def test_changes_are_for_the_better():
    def row(accuracy, log_loss):
        return {"accuracy": accuracy, "log_loss": log_loss}

    rows = {"none": [row(80, 400), row(82, 420)], "one": [row(83, 390), row(84, 400)]}
    assert benchmark.change(rows, "one", "accuracy", 1) == pytest.approx((2.5, 0.5 / np.sqrt(2)))
    assert benchmark.change(rows, "one", "log_loss", -1) == pytest.approx((15, 5 / np.sqrt(2)))
