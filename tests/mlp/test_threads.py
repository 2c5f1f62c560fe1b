"""Networks in several threads at once: the answers of one after the other, and torch as it was."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed

from shiftfix.mlp import MLPClassifier, MLPRegressor, WeightedTrainer
from shiftfix.mlp._training import limited_threads

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(400, 5)), RNG.integers(0, 2, 400)
SMALL = {"hidden_layer_sizes": (16,), "max_epochs": 4, "batch_size": 32, "random_state": 0}


def dropping_module():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return torch.nn.Sequential(
            torch.nn.Linear(5, 16), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(16, 2)
        )


MODULE = dropping_module()


def fitted_answer(kind):
    if kind == "trainer":
        return WeightedTrainer(MODULE, max_epochs=4, batch_size=32, random_state=0).fit(X, Y).predict(X)
    if kind == "masks":
        return MLPRegressor(**SMALL, dropout=0.5).fit(X, Y).predict_mc(X, 3)
    return MLPClassifier(**SMALL, dropout=0.5, n_models=2, n_threads=kind).fit(X, Y).predict_proba(X)


def at_once(calls):
    """Results of the calls, each in a thread of its own that is as new as they come."""
    found = [None] * len(calls)
    barrier = threading.Barrier(len(calls))

    def run(place, call):
        barrier.wait()
        found[place] = call()

    threads = [threading.Thread(target=run, args=item) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["trainer", "masks", 1])
def test_threads_give_the_answer_of_turns(kind):
    expected = fitted_answer(kind)
    state = torch.get_rng_state()
    for found in at_once([lambda: fitted_answer(kind)] * 4):
        assert np.array_equal(found, expected)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.slow
def test_different_estimators_at_once():
    kinds = ["trainer", 1, "masks", "trainer"]
    expected = [fitted_answer(kind) for kind in kinds]
    for one, other in zip(at_once([lambda kind=kind: fitted_answer(kind) for kind in kinds]), expected, strict=True):
        assert np.array_equal(one, other)


NUMBER = """
import numpy as np, torch
from joblib import Parallel, delayed
torch.set_num_threads(2)
from shiftfix.mlp import MLPClassifier
X = np.random.default_rng(0).normal(size=(500, 20))
model = MLPClassifier((16,), max_epochs=1, random_state=0).fit(X, X[:, 0] > 0)
expected = model.predict_proba(X)
found = Parallel(n_jobs=4, backend="threading")(delayed(model.predict_proba)(X) for _ in range(20))
assert all(np.array_equal(part, expected) for part in found)
import threading
numbers = [torch.get_num_threads()]
thread = threading.Thread(target=lambda: numbers.append(torch.get_num_threads()))
thread.start(); thread.join()
print(numbers)
"""


@pytest.mark.slow
def test_the_number_of_threads_is_as_before_in_old_and_new_threads():
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    found = subprocess.run([sys.executable, "-c", NUMBER], check=True, capture_output=True, text=True, env=environment)
    assert found.stdout.strip() == "[2, 2]"


def test_numbers_of_threads_nest_and_overlap():
    """Two blocks that begin and end in turn: each thread has its own number, and a new one the number from outside."""
    outside = torch.get_num_threads()
    first_in, second_in, first_out = (threading.Event() for _ in range(3))
    seen = {}

    def first():
        with limited_threads(2):
            first_in.set()
            second_in.wait(10)
            seen["first"] = torch.get_num_threads()
        seen["first, after"] = torch.get_num_threads()
        first_out.set()

    def second():
        first_in.wait(10)
        with limited_threads(1):
            second_in.set()
            first_out.wait(10)
            seen["second"] = torch.get_num_threads()
            with limited_threads(2):
                seen["inner"] = torch.get_num_threads()
            seen["second again"] = torch.get_num_threads()
        seen["second, after"] = torch.get_num_threads()

    at_once([first, second])
    many = min(2, os.cpu_count() or 1)
    assert seen == {
        "first": many,
        "first, after": outside,
        "second": 1,
        "inner": many,
        "second again": 1,
        "second, after": outside,
    }
    assert torch.get_num_threads() == outside
    assert at_once([torch.get_num_threads]) == [outside]


@pytest.mark.slow
def test_one_estimator_answers_many_threads_whatever_the_type_of_its_settings():
    model = MLPClassifier(**SMALL | {"batch_size": np.int64(32)}, dropout=np.float32(0.5), n_threads=np.array(1)).fit(
        X, Y
    )
    expected = model.predict_proba(X)
    for found in Parallel(n_jobs=4, backend="threading")(delayed(model.predict_proba)(X) for _ in range(20)):
        assert np.array_equal(found, expected)


FORKED = """
import os, sys, threading, time
import numpy as np, torch
from shiftfix.mlp import WeightedTrainer
X, y = np.eye(40), np.arange(40) % 2
net = torch.nn.Sequential(torch.nn.Linear(40, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2))
started = threading.Event()
class Wait:
    def on_epoch_end(self, run):
        started.set(); time.sleep(0.3)
thread = threading.Thread(target=lambda: WeightedTrainer(net, max_epochs=3, callbacks=Wait()).fit(X, y))
thread.start()
started.wait()
child = os.fork()
if child == 0:
    WeightedTrainer(net, max_epochs=1).fit(X, y)
    os._exit(0)
print(os.waitpid(child, 0)[1])
thread.join()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_forked_during_a_fit_does_not_wait_for_it():
    code = [sys.executable, "-W", "ignore", "-c", FORKED]
    found = subprocess.run(code, check=True, capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "0"


MANY = """
import os, signal, sys
import numpy as np
import torch
from shiftfix.mlp import MLPClassifier, WeightedTrainer
X = np.random.default_rng(0).normal(size=(3000, 200))
y = (X[:, 0] > 0).astype(int)
kind, n_threads = sys.argv[1], int(sys.argv[2])
def model():
    if kind == "module":
        return WeightedTrainer(torch.nn.Linear(200, 2), loss="cross_entropy", max_epochs=1, n_threads=n_threads)
    return MLPClassifier((256,), max_epochs=1, n_threads=n_threads)
known = model().fit(X, y)
child = os.fork()
if child == 0:
    signal.alarm(60)
    known.predict_proba(X)
    model().fit(X, y).predict(X)
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("torch_threads", ["1", "2"])
@pytest.mark.parametrize(("kind", "n_threads"), [("network", "1"), ("network", "2"), ("module", "2")])
def test_a_child_forked_after_a_fit_ends(kind, n_threads, torch_threads):
    """Whatever torch's own number is, which this package leaves alone: a child lacks the threads of its parent."""
    code = [sys.executable, "-W", "ignore", "-c", MANY, kind, n_threads]
    options = {**os.environ, "OMP_NUM_THREADS": torch_threads}
    found = subprocess.run(code, check=True, capture_output=True, text=True, timeout=180, env=options)
    assert found.stdout.strip() == "0"
