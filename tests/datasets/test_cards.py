import numpy as np
import pytest

from shiftfix.datasets import list_datasets, load, load_card
from shiftfix.datasets._cards import FILE_KEYS, OPTIONAL_KEYS, REQUIRED_KEYS, cards_folder
from shiftfix.datasets._load import LOADERS
from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate import from_recipe


def test_every_card_has_a_loader_and_the_reverse():
    assert list_datasets() == sorted(LOADERS)


@pytest.mark.parametrize("name", sorted(LOADERS))
def test_cards_keep_the_format(name):
    card = load_card(name)
    assert set(card) >= REQUIRED_KEYS
    assert set(card) <= REQUIRED_KEYS | OPTIONAL_KEYS
    assert card["name"] == name
    assert card["assumption"] in {"covariate", "label"}
    assert card["traps"]
    assert all(isinstance(trap, str) for trap in card["traps"])
    assert ("files" in card) != ("builtin" in card)
    assert ("recipe" in card) != ("split" in card)
    for entry in card.get("files", []):
        assert {"role", "name", "bytes", "sha256"} <= set(entry) <= FILE_KEYS
        assert len(bytes.fromhex(entry["sha256"])) == 32
        assert entry["bytes"] > 0
        assert "/" not in entry["name"]
    # One name may stand for two good contents (rebuilt, official), never one content for two entries.
    contents = [entry["sha256"] for entry in card.get("files", [])]
    assert len(set(contents)) == len(contents)


def test_no_package_hides_in_the_cards_folder():
    assert not (cards_folder() / "__init__.py").exists()
    text = (cards_folder() / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in list_datasets())


@pytest.mark.parametrize("name", ["breast_cancer", "digits"])
def test_recipes_of_bundled_data_run(name):
    bunch = load(name)
    problem = from_recipe(bunch.data, bunch.target, bunch.recipe, feature_names=bunch.feature_names, random_state=0)
    assert problem.kind == bunch.card["assumption"]
    w = problem.source_weights
    # Enough source rows behind the weights for the demonstrations.
    assert w.sum() ** 2 / (w**2).sum() > (80 if name == "breast_cancer" else 15)


@pytest.mark.parametrize("name", ["airfoil", "fashion_mnist"])
def test_recipes_of_downloaded_data_run(name, load_real):
    bunch = load_real(name, **({"log_columns": True} if name == "airfoil" else {}))
    problem = from_recipe(bunch.data, bunch.target, bunch.recipe, feature_names=bunch.feature_names, random_state=0)
    assert problem.kind == bunch.card["assumption"]
    assert np.isfinite(problem.source_weights).all()


def test_unknown_name():
    with pytest.raises(ShiftDataError, match="'mnist'"):
        load("mnist")
    with pytest.raises(ShiftDataError, match="airfoil"):
        load_card("../pyproject")
