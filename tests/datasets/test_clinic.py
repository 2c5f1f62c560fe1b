import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.datasets import load, make_clinic, write_clinic
from shiftfix.datasets._cards import cards_folder
from shiftfix.exceptions import ShiftDataError


def test_writing_again_gives_the_committed_files_byte_for_byte(tmp_path):
    for path in write_clinic(tmp_path):
        assert path.read_bytes() == (cards_folder() / path.name).read_bytes()


def test_the_files_are_the_generated_rows():
    clinic, bunch = make_clinic(), load("clinic")
    for name in clinic.feature_names:
        assert np.array_equal(bunch.X_source[name], clinic.X_source[name], equal_nan=name == "cholesterol")
        assert np.array_equal(bunch.X_target[name], clinic.X_target[name], equal_nan=name == "cholesterol")
    assert np.array_equal(bunch.y_source, clinic.y_source)
    assert bunch.y_target is None
    assert "readmitted" not in bunch.X_target
    assert "readmitted" not in bunch.X_source
    assert np.isnan(bunch.X_source["cholesterol"]).any()
    assert not any((bunch.X_source[name] == "").any() for name in bunch.categorical_features)


@pytest.fixture(scope="module")
def large_clinic():
    return make_clinic(60_000, 60_000, random_state=1)


@pytest.mark.slow
def test_weighted_source_is_the_target(large_clinic):
    """60000 rows each; largest misses of a right program in 60 runs: mean weight 0.011, means of age and
    blood pressure over 100 0.004, shares 0.013. The unweighted mean age misses by 14 years."""
    c = large_clinic
    w = c.source_weights
    assert w.mean() == pytest.approx(1, abs=0.03)
    for name, scale in (("age", 100), ("blood_pressure", 100)):
        source = np.average(c.X_source[name], weights=w) / scale
        assert source == pytest.approx(c.X_target[name].mean() / scale, abs=0.02)
    for ward in ("medicine", "surgery", "emergency"):
        source = np.average(c.X_source["ward"] == ward, weights=w)
        assert source == pytest.approx((c.X_target["ward"] == ward).mean(), abs=0.02)
    # What is not told to the ratio follows: missing cholesterol through the ward, the label through x.
    source = np.average(np.isnan(c.X_source["cholesterol"]), weights=w)
    assert source == pytest.approx(np.isnan(c.X_target["cholesterol"]).mean(), abs=0.02)
    assert np.average(c.y_source == "yes", weights=w) == pytest.approx((c.y_target == "yes").mean(), abs=0.03)


@pytest.mark.slow
def test_labels_follow_the_known_probability_in_both_populations(large_clinic):
    """Within ten bins of p, share of "yes" minus mean p: standard error at most 0.008, allowed 0.04."""
    c = large_clinic
    for p, y in ((c.p_source, c.y_source), (c.p_target, c.y_target)):
        cell = np.minimum((p * 10).astype(int), 9)
        rows = np.bincount(cell, minlength=10)
        miss = np.bincount(cell, (y == "yes") - p, minlength=10) / np.maximum(rows, 1)
        assert_allclose(miss[rows > 3000], 0, atol=0.04)


def test_random_state():
    a, b = make_clinic(20, 10, random_state=3), make_clinic(20, 10, random_state=3)
    assert np.array_equal(a.X_target["age"], b.X_target["age"])
    assert not np.array_equal(a.X_target["age"], make_clinic(20, 10, random_state=4).X_target["age"])
    for state in (None, np.random.RandomState(0), np.random.default_rng(0)):
        assert len(make_clinic(20, 10, random_state=state).y_source) == 20


@pytest.mark.parametrize("settings", [{"n_source": 0}, {"n_target": 1.5}, {"random_state": "a"}])
def test_bad_settings(settings):
    with pytest.raises(ShiftDataError):
        make_clinic(**settings)
