"""CPU seconds per epoch of the trainer, beside a loop written by hand and other libraries, and of many models at once.

All in one process on ONE torch thread, with dropout .5 (scikit-learn has none), Adam and per-row weights. A round runs
one epoch of each, so that a ratio compares neighbours in time; the first round is thrown away. "autograd" is ours
without the step that is written out; "floor" is what no step can go without, its matrix products, masks and Adam on one
vector. ``limit`` is what the project asks for; ratios of CPU time are kept and not asserted. What is asserted: that all
of them minimise the same loss, by training without dropout from the same start to the same parameters.

    pip install skorch
    OMP_NUM_THREADS=1 pytest -n 0 --benchmark-enable tests/benchmarks/test_trainer.py
"""

import itertools
import json
import statistics
import time

import numpy as np
import pytest
import torch
from sklearn import neural_network
from torch import nn
from torch.nn import functional

from shiftfix.mlp import MLPClassifier
from shiftfix.mlp._network._dropout import Dropout, Masks
from shiftfix.mlp._network._module import build_mlp
from shiftfix.mlp._training import _loop

# Features, hidden layers, classes, rows, batch size.
SIZES = {
    "784-256-256-10, 60,000 rows": (784, (256, 256), 10, 60_000, 256),
    "20-64-64-2, 20,000 rows": (20, (64, 64), 2, 20_000, 128),
}
LIMITS = {
    "784-256-256-10, 60,000 rows": {"by hand": 0.65, "skorch": 0.6},
    "20-64-64-2, 20,000 rows": {"by hand": 0.25, "skorch": 0.35},
}
ROUNDS = {"784-256-256-10, 60,000 rows": 7, "20-64-64-2, 20,000 rows": 25}


def make(n_features, n_classes, n_rows):
    """Rows in float32 with a class that depends on them, and exponential weights."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    y = (X[:, :10] @ rng.standard_normal((10, n_classes))).argmax(axis=1)
    return X, y, rng.exponential(size=n_rows).astype(np.float32)


def plain_network(n_features, hidden, n_classes, rate=0.5):
    layers, width = [], n_features
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(rate)]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, n_classes))


def hand_written(n_features, hidden, n_classes, n_rows, batch_size):
    """One epoch as a user of torch writes it: no loader, rows by index_select, torch's dropout and Adam."""
    X, y, w = (torch.as_tensor(part) for part in make(n_features, n_classes, n_rows))
    w = w / w.mean()
    net = plain_network(n_features, hidden, n_classes)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def epoch():
        net.train()
        for index in torch.randperm(n_rows).split(batch_size):
            optimizer.zero_grad()
            losses = functional.cross_entropy(net(X.index_select(0, index)), y.index_select(0, index), reduction="none")
            (losses * w.index_select(0, index)).mean().backward()
            optimizer.step()

    return epoch


def with_skorch(n_features, hidden, n_classes, n_rows, batch_size):
    """One epoch of skorch with its own recipe for weights: they travel with X in a dict, and get_loss uses them."""
    skorch = pytest.importorskip("skorch")
    X, y, w = make(n_features, n_classes, n_rows)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = plain_network(n_features, hidden, n_classes)

        def forward(self, X, w):
            return self.layers(X)

    class Weighted(skorch.NeuralNetClassifier):
        def get_loss(self, y_pred, y_true, X, *args, **kwargs):
            losses = super().get_loss(y_pred, y_true, X, *args, **kwargs)
            return (losses * X["w"]).mean()

    net = Weighted(
        Net, criterion=nn.CrossEntropyLoss, criterion__reduction="none", optimizer=torch.optim.Adam, lr=1e-3,
        batch_size=batch_size, max_epochs=1, train_split=None, verbose=0, iterator_train__shuffle=True,
    )  # fmt: skip
    net.initialize()
    data = {"X": X, "w": w / w.mean()}
    return lambda: net.partial_fit(data, y)


def with_scikit_learn(n_features, hidden, n_classes, n_rows, batch_size):
    """One epoch of scikit-learn's perceptron, which has no dropout."""
    X, y, w = make(n_features, n_classes, n_rows)
    net = neural_network.MLPClassifier(hidden, batch_size=batch_size, alpha=0.0, random_state=0)
    return lambda: net.partial_fit(X, y, sample_weight=w, classes=np.arange(n_classes)) and None


def floor(n_features, hidden, n_classes, n_rows, batch_size):
    """The products, masks and steps of Adam of an epoch, on numbers that nothing is done to."""
    widths = [n_features, *hidden, n_classes]
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(n_out, n_in, generator=generator) / 100 for n_in, n_out in itertools.pairwise(widths)]
    values = [torch.rand(batch_size, width, generator=generator) for width in widths]
    slopes = [torch.rand(batch_size, width, generator=generator) / 100 for width in widths]
    products = [torch.empty_like(weight) for weight in weights]
    masks = [Masks(0.5) for _ in hidden]
    vectors = [torch.full((sum(weight.numel() + len(weight) for weight in weights),), 1e-3) for _ in range(4)]
    steps = torch.zeros(())
    options = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0, "eps": 1e-8}

    def step():
        for k, weight in enumerate(weights):
            torch.mm(values[k], weight.T, out=values[k + 1])
        for k, mask in enumerate(masks):
            mask.take(values[k + 1], generator)
        for k, weight in reversed(list(enumerate(weights))):
            torch.mm(slopes[k + 1].T, values[k], out=products[k])
            if k:
                torch.mm(slopes[k + 1], weight, out=slopes[k])
        steps.add_(1)
        lists = [[vector] for vector in vectors]
        torch._fused_adam_(*lists, [], [steps], amsgrad=False, maximize=False, **options)

    return lambda: [step() for _ in range(-(-n_rows // batch_size))] and None


def by_autograd(epoch):
    """Ours, with the step that is written out switched off."""

    def switched():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_loop, "flat_step", lambda *given: None)
            return epoch()

    return switched


class Clock:
    """CPU seconds between the ends of epochs."""

    def __init__(self):
        self.marks = []

    def on_epoch_end(self, run):
        self.marks.append(time.process_time())


def ours(n_features, hidden, n_classes, n_rows, batch_size, n_models=1):
    """CPU seconds of one epoch, history, norms and all; the setting up of the fit is not in it, nor in the rivals."""
    X, y, w = make(n_features, n_classes, n_rows)

    def epoch():
        clock = Clock()
        model = MLPClassifier(
            hidden, dropout=0.5, batch_size=batch_size, max_epochs=2, early_stopping=False, callbacks=clock,
            n_models=n_models, standardize=False, random_state=0,
        )  # fmt: skip
        model.fit(X, y, sample_weight=w)
        return clock.marks[1] - clock.marks[0]

    return epoch


def timed(epoch):
    start = time.process_time()
    found = epoch()
    return found if isinstance(found, float) else time.process_time() - start


def race(cases, rounds):
    """CPU seconds of each case, round by round, without the first round."""
    seconds: dict = {name: [] for name in cases}
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            for _ in range(rounds + 1):
                for name, epoch in cases.items():
                    seconds[name].append(timed(epoch))
    finally:
        torch.set_num_threads(before)
    return {name: values[1:] for name, values in seconds.items()}


def keep(results, name, seconds, limits):
    path, kept = results
    own = seconds["ours"]
    kept["environment"] |= {"torch": torch.__version__, "threads": "1"}
    kept["cases"][name] = {
        "cpu_seconds": {case: statistics.median(values) for case, values in seconds.items()},
        "ratio": {
            case: statistics.median(np.divide(own, values)) for case, values in seconds.items() if case != "ours"
        },
        "limit": limits,
        "all_cpu_seconds": seconds,
    }
    path.write_text(json.dumps(kept, indent=1) + "\n")
    hand = seconds.get("by hand", own)
    for case, values in seconds.items():
        print(f"{name}: {case}: {statistics.median(values):.4f} s, {statistics.median(np.divide(values, hand)):.3f}")  # noqa: T201


@pytest.mark.parametrize("name", SIZES)
def test_an_epoch(name, results):
    sizes = SIZES[name]
    with torch.random.fork_rng():
        cases = {
            "ours": ours(*sizes),
            "by hand": hand_written(*sizes),
            "autograd": by_autograd(ours(*sizes)),
            "floor": floor(*sizes),
            "scikit-learn": with_scikit_learn(*sizes),
            "skorch": with_skorch(*sizes),
        }
    keep(results, name, race(cases, ROUNDS[name]), LIMITS[name])


def test_eight_models_at_once(results):
    """Beside eight fits, one after the other."""
    sizes = SIZES["20-64-64-2, 20,000 rows"]
    one = ours(*sizes)
    cases = {"ours": ours(*sizes, n_models=8), "eight fits": lambda: sum(one() for _ in range(8))}
    keep(results, "20-64-64-2, 20,000 rows, eight models", race(cases, 9), {"eight fits": 0.5})


def test_monte_carlo_dropout(results):
    """50 passes over 10,000 rows, beside the whole network run 50 times in training mode with torch's dropout."""
    n_features, hidden, n_classes, *_ = SIZES["784-256-256-10, 60,000 rows"]
    X, y, _ = make(n_features, n_classes, 10_000)
    model = MLPClassifier(hidden, n_models=1, max_epochs=1, standardize=False, random_state=0).fit(X, y)
    with torch.random.fork_rng():
        net = plain_network(n_features, hidden, n_classes).train()
    net.load_state_dict(model.module_.state_dict())
    rows = torch.as_tensor(X)
    found: dict = {}

    @torch.no_grad()
    def naive():
        start = time.process_time()
        found["naive"] = torch.stack([net(rows).softmax(dim=1) for _ in range(50)]).mean(dim=0).numpy()
        return time.process_time() - start

    def sampled():
        start = time.process_time()
        found["ours"] = model.predict_proba_mc(X, 50).mean(axis=0)
        return time.process_time() - start

    keep(results, "784-256-256-10, 50 passes", race({"ours": sampled, "naive": naive}, 3), {"naive": 0.5})
    # Means of 50 probabilities each; two right programs differ by .005 on average.
    assert np.abs(found["ours"] - found["naive"]).mean() < 0.02


@pytest.mark.parametrize("rate", [0.5, 0.01])
def test_dropout_alone(rate, results):
    """Forward and backward through one layer of 256 x 256 units, 200 times, beside torch's; of 8 and of 16 bits."""
    x = torch.ones(256, 256, requires_grad=True)
    layers = {"ours": Dropout(rate, torch.Generator().manual_seed(0)), "torch": nn.Dropout(rate)}

    def repeated(layer):
        def run():
            start = time.process_time()
            for _ in range(200):
                x.grad = None
                layer(x).backward(x.detach())
            return time.process_time() - start

        return run

    seconds = race({name: repeated(layer) for name, layer in layers.items()}, 9)
    keep(results, f"dropout {rate} of 256 x 256 units, 200 times", seconds, {})
    with torch.random.fork_rng():
        means = [layer(torch.ones(2000, 2000)).mean().item() for layer in layers.values()]
    # Of 4,000,000 units: five standard errors.
    assert means == pytest.approx([1, 1], abs=5 * np.sqrt(rate / (1 - rate) / 4e6))


def test_all_train_the_same_network():
    """Without dropout, from one start, over the rows in one order: parameters agree to 1e-4 after 40 steps."""
    n_features, hidden, n_classes, *_ = SIZES["20-64-64-2, 20,000 rows"]
    X, y, w = make(n_features, n_classes, 5_120)
    model = MLPClassifier(
        hidden, dropout=0.0, batch_size=5_120, max_epochs=40, early_stopping=False, n_models=1, learning_rate=1e-3,
        standardize=False, random_state=0,
    ).fit(X, y, sample_weight=w)  # fmt: skip
    net = build_mlp(n_features, hidden, n_classes, "relu", 0.0, torch.Generator(), None)
    net.load_state_dict(MLPClassifier(hidden, dropout=0.0, max_epochs=1, learning_rate=1e-12, early_stopping=False,
                                      n_models=1, standardize=False,
                                      random_state=0).fit(X, y).module_.state_dict())  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    rows, classes, weight = torch.as_tensor(X), torch.as_tensor(y), torch.as_tensor(w / w.mean())
    for _ in range(40):
        optimizer.zero_grad()
        (functional.cross_entropy(net(rows), classes, reduction="none") * weight).mean().backward()
        optimizer.step()
    for found, expected in zip(model.module_.parameters(), net.parameters(), strict=True):
        assert torch.allclose(found, expected, atol=1e-4)
