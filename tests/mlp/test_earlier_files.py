"""Files of versions that had no presets and no temperature are read, and predict as those versions did."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor, WeightedTrainer
from shiftfix.mlp._module_files import pack_module
from shiftfix.mlp._saving._model import pack_estimator, unpack_estimator

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 2))
Y = (X[:, 0] > 0).astype(int)
LATER_SETTINGS, LATER = ("preset", "temperature"), ("categories_", "temperature_")


def as_earlier(content):
    """The content without what was added."""
    for name in LATER_SETTINGS:
        content["settings"].pop(name, None)
    for name in LATER:
        content["fitted"].pop(name, None)
    if "n_models" in content["settings"]:
        content["settings"]["n_models"] = 1
    return content


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_networks_of_earlier_files(kind):
    model = kind((3,), max_epochs=2, random_state=0).fit(X, Y)
    found = unpack_estimator(as_earlier(pack_estimator(model)), kind)
    assert_array_equal(found.predict(X), model.predict(X))
    assert found.categories_ == {}
    assert getattr(found, "temperature_", 1.0) == 1
    assert found.set_params(warm_start=True).fit(X, Y).n_epochs_ == 2


@pytest.mark.parametrize("name", LATER)
def test_later_files_must_have_them(name):
    content = pack_estimator(MLPClassifier((3,), max_epochs=1, random_state=0).fit(X, Y))
    del content["fitted"][name]
    with pytest.raises(ShiftDataError, match=f"{name} is missing"):
        unpack_estimator(content, MLPClassifier)


def test_trainers_of_earlier_files(tmp_path, monkeypatch):
    module = nn.Sequential(nn.utils.skip_init(nn.Linear, 2, 2))
    with torch.no_grad():
        module[0].weight.copy_(torch.eye(2))
        module[0].bias.zero_()
    model = WeightedTrainer(module, max_epochs=2, random_state=0).fit(X, Y)
    monkeypatch.setattr("shiftfix.mlp._trainer.pack_module", lambda *given: as_earlier(pack_module(*given)))
    model.save(tmp_path / "earlier")
    found = WeightedTrainer.load(tmp_path / "earlier", module)
    assert_array_equal(found.predict_proba(X), model.predict_proba(X))
    assert found.temperature_ == 1
