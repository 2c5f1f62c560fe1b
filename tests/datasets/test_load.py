"""The facts about each data set come from its publication or from counting in the file with other tools."""

import subprocess
import sys

import numpy as np
import pytest

from shiftfix.datasets import load
from shiftfix.exceptions import MissingDependencyError, ShiftDataError


@pytest.mark.parametrize("name", ["digits", "breast_cancer"])
def test_bundled_with_scikit_learn(name):
    bunch = load(name)
    assert bunch.data.shape == (bunch.card["rows"], bunch.card["features"])
    assert bunch.target.shape == (bunch.card["rows"],)
    assert len(bunch.feature_names) == bunch.card["features"]
    assert all(type(name) is str for name in bunch.feature_names)
    assert bunch.card["title"] in bunch.DESCR
    assert bunch.recipe == bunch.card["recipe"]


def test_clinic_as_frames():
    pandas = pytest.importorskip("pandas")
    bunch = load("clinic", as_frame=True)
    assert list(bunch.X_source.columns) == bunch.feature_names
    assert isinstance(bunch.X_target, pandas.DataFrame)
    assert len(bunch.X_source) + len(bunch.X_target) == bunch.card["rows"]
    assert bunch.recipe is None


def test_frames_without_pandas_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependencyError, match=r"shiftfix\[cli\]"):
        load("clinic", as_frame=True)


def test_airfoil(load_real):
    raw, logs = load_real("airfoil"), load_real("airfoil", log_columns=True)
    assert raw.data.shape == (1503, 5)
    # The first row of the file.
    assert raw.data[0].tolist() == [800, 0, 0.3048, 71.3, 0.00266337]
    assert raw.target[0] == 126.201
    assert np.array_equal(logs.data[:, [0, 4]], np.log(raw.data[:, [0, 4]]))
    assert np.array_equal(logs.data[:, 1:4], raw.data[:, 1:4])
    assert logs.feature_names[0] == "log_frequency"


def test_california_housing(load_real):
    bunch = load_real("california_housing")
    assert bunch.data.shape == (20640, 8)
    assert np.isnan(bunch.data).sum() == 207
    assert np.isnan(bunch.data[:, bunch.feature_names.index("total_bedrooms")]).sum() == 207
    assert len(bunch.X_source) == 6551
    assert len(bunch.X_target) == 14089
    assert bunch.target[0] == 452600
    assert (bunch.target == 500001).sum() == 965
    assert bunch.ocean_proximity[0] == "NEAR BAY"
    assert bunch.y_source.mean() < bunch.y_target.mean()


def test_cifar10_scores(load_real):
    bunch = load_real("cifar10_label_shift_predictions")
    assert bunch.scores_source.shape == (10000, 10)
    assert bunch.scores_target.shape == (1000, 10)
    # The accuracy printed in the authors' notebook, three digits.
    assert (bunch.scores_target.argmax(axis=1) == bunch.y_target).mean() == pytest.approx(0.707, abs=5e-4)
    assert np.abs(bunch.scores_source.sum(axis=1) - 1).max() < 1e-5


def test_fashion_mnist(load_real):
    bunch = load_real("fashion_mnist")
    assert bunch.data.shape == (20_000, 784)
    assert bunch.data_held_out.shape == (10_000, 784)
    assert bunch.data.dtype == np.float32
    assert (bunch.data.min(), bunch.data.max()) == (0, 1)
    # Published mean of the 60,000 images: 0.2860. Of a third of them: within 0.003.
    assert bunch.data.mean(dtype=np.float64) == pytest.approx(0.2860, abs=0.003)
    assert np.bincount(bunch.target_held_out).tolist() == [1000] * 10
    assert bunch.target[:5].tolist() == [9, 0, 0, 3, 0]


def test_lalonde(load_real):
    pytest.importorskip("pandas")
    bunch = load_real("lalonde")
    assert (len(bunch.X_source), len(bunch.X_target), len(bunch.X_treated)) == (15992, 260, 185)
    assert bunch.X_source.dtype == np.float64
    # age is int8 in the file, where 45 squared overflows.
    assert (bunch.X_source[:, 0] ** 2).max() > 3000
    assert bunch.y_source.mean() == pytest.approx(14847, abs=1)
    assert bunch.y_target.mean() == pytest.approx(4555, abs=1)
    # Dehejia & Wahba (1999): the experimental contrast is 1,794 dollars.
    assert bunch.y_treated.mean() - bunch.y_target.mean() == pytest.approx(1794.34, abs=0.01)


def test_options_are_checked():
    with pytest.raises(ShiftDataError, match=r"digits has no option \['as_frame'\]"):
        load("digits", as_frame=True)
    with pytest.raises(ShiftDataError, match="as_frame=1"):
        load("clinic", as_frame=1)
    with pytest.raises(ShiftDataError, match="download"):
        load("digits", download="yes")


@pytest.mark.slow
def test_the_import_needs_no_optional_library():
    code = (
        "import sys; sys.modules['pandas'] = sys.modules['matplotlib'] = None; "
        "from shiftfix.datasets import load; print(load('clinic').y_source.size, 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "600 False"
