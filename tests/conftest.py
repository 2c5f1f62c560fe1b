"""Shared fixtures: one thread per worker, where the real data lie, and which tests are slow."""

import gc
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# torch and the package take seconds to import: later, so that the process which hands out the tests of -n does without.

settings.register_profile("shiftfix", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("shiftfix")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Statistics, benchmarks and tests on real data are slow by nature; others say so themselves."""
    for item in items:
        slow_by_place = item.path.parent.name in ("statistical", "benchmarks") or "load_real" in item.fixturenames
        if slow_by_place or item.get_closest_marker("long"):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish():
    """What the imports and the collection made is there to stay: the garbage collector need not look at it again."""
    import torch

    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def load_real():
    """Load a data set that is not bundled; the test is skipped with a reason when its files are absent.

    $SHIFTFIX_DATA wins; otherwise ../shared/data beside the project is looked at.
    """
    from shiftfix import datasets
    from shiftfix.exceptions import DatasetNotFoundError

    def load(name, **options):
        home = None if os.environ.get("SHIFTFIX_DATA") else SHARED_DATA
        try:
            return datasets.load(name, data_home=home, **options)
        except DatasetNotFoundError as error:
            pytest.skip(str(error))

    return load


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def global_generators_untouched(request):
    """No test may leave numpy's or torch's global generator in another state than it found it."""
    if "sklearn_checks" in request.node.nodeid:  # scikit-learn's checks seed numpy's themselves
        yield
        return
    import torch

    before_numpy, before_torch = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    yield
    assert np.array_equal(np.random.get_state()[1], before_numpy)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before_torch)
