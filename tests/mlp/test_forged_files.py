"""Files that were damaged or made up: each one clear line, in bounded time and memory, and nothing executed."""

import copy
import io
import os
import pickle
import resource
import struct
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import torch

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor
from shiftfix.mlp._saving._encoding import digest
from shiftfix.mlp._saving._files import read, write_atomically
from shiftfix.mlp._saving._model import pack_estimator

WORDS = r"damaged or cut short|was not written by shiftfix|holds no estimator|is needed|which MLP\w+ does not have"
MOST_SECONDS = 3.0


@pytest.fixture(scope="module")
def models():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    settings = {"max_epochs": 2, "random_state": 0}
    return {
        "classifier": MLPClassifier((6, 4), batch_norm=True, **settings).fit(
            X, np.array(["a", "b", "c"])[np.arange(60) % 3]
        ),
        "binary": MLPClassifier((5,), loss="binary_cross_entropy", n_models=2, **settings).fit(X, X[:, 0] > 0),
        "regressor": MLPRegressor((5,), **settings).fit(X, X[:, :2]),
        "going on": MLPRegressor((5,), **settings).partial_fit(X, X[:, 0]),
    }


@pytest.fixture(scope="module")
def whole(models, tmp_path_factory):
    """Bytes of a file of the classifier."""
    path = tmp_path_factory.mktemp("whole") / "model.pt"
    models["classifier"].save(path)
    return path.read_bytes()


def refused(path, cls=MLPClassifier):
    """The message with which a file is refused: one line, and soon."""
    started = time.perf_counter()
    with pytest.raises(ShiftDataError, match=WORDS) as caught:
        cls.load(path)
    assert time.perf_counter() - started < MOST_SECONDS
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    return str(caught.value)


# ------------------------------------------------------------------------------------------- damaged

DAMAGES = {
    **{f"cut to {share}": lambda b, s=share: b[: int(len(b) * s)] for share in np.linspace(0, 0.98, 15).round(2)},
    **{f"{n} bytes short": lambda b, n=n: b[:-n] for n in (1, 2, 5, 22, 60)},
    **{
        f"zeros from {s}": lambda b, s=s: b[: int(len(b) * s)] + bytes(len(b) - int(len(b) * s))
        for s in (0.1, 0.5, 0.9)
    },
    **{f"swapped halves of {n}": lambda b, n=n: b[n : 2 * n] + b[:n] + b[2 * n :] for n in (64, 512, 4096)},
    **{
        f"noise at {s}": lambda b, s=s: b[: int(len(b) * s)] + os.urandom(32) + b[int(len(b) * s) + 32 :]
        for s in (0.02, 0.3, 0.97)
    },
    **{f"a hole at {s}": lambda b, s=s: b[: int(len(b) * s)] + b[int(len(b) * s) + 7 :] for s in (0.03, 0.2, 0.5, 0.8)},
    "no directory": lambda b: b[: b.rindex(b"PK\x05\x06")],
    "a directory far away": lambda b: (
        b[: b.rindex(b"PK\x06\x06") + 48] + struct.pack("<Q", 2**62) + b[b.rindex(b"PK\x06\x06") + 56 :]
    ),
    "a directory of nothing": lambda b: (
        b[: b.rindex(b"PK\x06\x06") + 24] + bytes(32) + b[b.rindex(b"PK\x06\x06") + 56 :]
    ),
    "every bit turned": lambda b: bytes(x ^ 255 for x in b),
    "text": lambda b: b"PK\x03\x04 and more text",
    "only the mark": lambda b: b"PK\x03\x04",
    "an empty archive": lambda b: b"PK\x05\x06" + bytes(18),
    "the middle twice": lambda b: b[:3000] + b[2000:],
}


def test_there_are_forty_damages():
    assert len(DAMAGES) >= 40


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_refused(name, whole, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(DAMAGES[name](whole))
    refused(path)


# ------------------------------------------------------------------------------------------- forged archives


def rewritten(whole, change, **options):
    """The archive with its members changed by a function of name and content; a list of pairs comes back."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive, zipfile.ZipFile(made, "w", **options) as new:
        for info in archive.infolist():
            for name, content in change(info.filename, archive.read(info)):
                new.writestr(name, content)
    return made.getvalue()


def described(whole, pickled, **members):
    """The archive with other values."""

    def change(name, content):
        return [(name, pickled if name.endswith("data.pkl") else members.get(name.split("/")[-1], content))]

    return rewritten(whole, change)


def nested(depth, kind):
    """A few bytes of pickle whose lists or tuples hold the one before twice: 2^depth leaves."""
    parts = [b"\x80\x02]q\x00"]
    for k in range(1, depth):
        get, put = b"h" + bytes([k - 1]), b"q" + bytes([k])
        parts.append(get + get + b"\x86" + put if kind == "tuple" else b"]" + put + b"(" + get + get + b"e")
    return b"".join(parts) + b"."


def tensor_pickle(numel, shape, stride, n_tensors=1):
    """A list of tensors that are all of the memory "0"."""
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
        b"X\x03\x00\x00\x00cpu" + b"J" + struct.pack("<i", numel) + b"tQK\x00"
        b"(" + b"".join(b"J" + struct.pack("<i", n) for n in shape) + b"t"
        b"(" + b"".join(b"J" + struct.pack("<i", n) for n in stride) + b"t\x89ccollections\nOrderedDict\n)RtR"
    )
    return b"\x80\x02](" + tensor * n_tensors + b"e."


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def packed(whole):
    return rewritten(whole, lambda name, content: [(name, content)], compression=zipfile.ZIP_DEFLATED)


def overlapping(whole):
    """A directory whose entries all point at the one largest part, a hundred times."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as new:
        new.writestr("a/data.pkl", bytes(10**5))
        first = new.infolist()[0]
        for k in range(100):
            again = copy.copy(first)
            again.filename = f"a/{k:07d}p"  # as long as the name in its own header
            new.filelist.append(again)
            new.NameToInfo[again.filename] = again
        new._didModify = True
    return made.getvalue()


ARCHIVES = {
    "lists within lists": lambda w: described(w, nested(200, "list")),
    "tuples within tuples": lambda w: described(w, nested(200, "tuple")),
    "a key of tuples within tuples": lambda w: described(w, nested(60, "tuple")[:-1] + b"}h\x3bNs0."),
    "a list that holds itself": lambda w: described(w, b"\x80\x02]q\x00h\x00a."),
    "deep lists": lambda w: described(w, b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b"."),
    "an expanded tensor": lambda w: described(w, tensor_pickle(1, (30000, 20000), (0, 0)), **{"0": bytes(4)}),
    "a tensor larger than its memory": lambda w: described(w, tensor_pickle(10**9, (10**9,), (1,)), **{"0": bytes(4)}),
    "a tensor of many axes": lambda w: described(w, tensor_pickle(1, (1,) * 5000, (1,) * 5000), **{"0": bytes(4)}),
    "one memory for many": lambda w: described(
        w, tensor_pickle(10**6, (10**6,), (1,), 3000), **{"0": bytes(4 * 10**6)}
    ),
    "a negative size": lambda w: described(w, tensor_pickle(1, (-1,), (1,)), **{"0": bytes(4)}),
    "long text again and again": lambda w: described(
        w, b"\x80\x02](X" + struct.pack("<I", 10**6) + b"x" * 10**6 + b"q\x00" + b"h\x00" * 10**5 + b"e."
    ),
    "keys of one hash": lambda w: described(
        w,
        b"\x80\x02}("
        + b"".join(b"\x8a\x0b" + (k * (2**61 - 1)).to_bytes(11, "little", signed=True) + b"N" for k in range(1, 20000))
        + b"u.",
    ),
    "an endless number": lambda w: described(w, b"\x80\x02\x8b" + struct.pack("<I", 10**6) + b"\x7f" * 10**6 + b"."),
    "code": lambda w: described(w, pickle.dumps(Bomb(), 2)),
    "code of torch's kind": lambda w: described(w, b"\x80\x02cos\nmkdir\nX\x08\x00\x00\x00executed\x85R."),
    "an extension": lambda w: described(w, b"\x80\x02\x82\x01."),
    "values without an end": lambda w: described(w, b"\x80\x02]"),
    "nothing": lambda w: described(w, b""),
    "two sets of values": lambda w: rewritten(
        w, lambda name, content: [(name, content)] + ([("x/data.pkl", content)] if name.endswith("data.pkl") else [])
    ),
    "no values": lambda w: rewritten(w, lambda name, content: [] if name.endswith("data.pkl") else [(name, content)]),
    "a bomb": lambda w: rewritten(
        w,
        lambda name, content: [(name, bytes(3 * 10**8) if name.endswith("/0") else content)],
        compression=zipfile.ZIP_DEFLATED,
    ),
    "compressed": packed,
    "parts on one another": overlapping,
    "another order of bytes": lambda w: rewritten(
        w, lambda name, content: [(name, b"big" if name.endswith("byteorder") else content)]
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHIVES)
def test_a_forged_archive_is_refused(name, whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pt"
    path.write_bytes(ARCHIVES[name](whole))
    refused(path)
    assert os.listdir(tmp_path) == ["model.pt"]


SMALL_MACHINE = """
import resource, sys
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        MLPClassifier.load(path)
    except ShiftDataError:
        continue
    raise SystemExit(f"{path} was read")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_forged_files_take_no_memory(whole, models, tmp_path):
    """All of them, one after another: 200 MB at most, where an expanded tensor alone would take 2.4 GB."""
    large = [*(ARCHIVES[name](whole) for name in ARCHIVES if name not in ("one memory for many",))]
    paths = []
    for k, content in enumerate(large):
        paths.append(tmp_path / f"{k}.pt")
        paths[-1].write_bytes(content)
    for name in ("a huge layer", "many models", "wide text", "a long empty axis"):
        paths.append(tmp_path / f"{name}.pt")
        write_atomically(FORGERIES[name](fresh(models["classifier"])), paths[-1], "model")
    done = subprocess.run(
        [sys.executable, "-c", SMALL_MACHINE, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (60, 60)),
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200_000


# ------------------------------------------------------------------------------------------- forged content


def fresh(model):
    return copy.deepcopy(pack_estimator(model))


def setting(**values):
    return lambda content: content | {"settings": content["settings"] | values}


def fitted(**values):
    return lambda content: content | {"fitted": content["fitted"] | values}


def without(part, name):
    return lambda content: content | {part: {key: value for key, value in content[part].items() if key != name}}


def parameter(name, change):
    return lambda content: content | {"module": content["module"] | {name: change(content["module"][name])}}


def filled(value):
    return lambda tensor: torch.full_like(tensor, value)


def array(values, dtype=None):
    values = np.asarray(values, dtype)
    if values.dtype.kind in "UO":
        return {
            "type": "array",
            "dtype": values.dtype.str,
            "shape": list(values.shape),
            "values": values.ravel().tolist(),
        }
    flat = torch.from_numpy(values.ravel())
    return {"type": "array", "dtype": values.dtype.str, "shape": list(values.shape), "values": flat}


def scaler(**values):
    """The features' scaler with other learned values."""

    def change(content):
        content = copy.deepcopy(content)
        pairs = content["fitted"]["scaler_"]["fitted"]["items"]
        for pair in pairs:
            if pair[0] in values:
                pair[1] = values[pair[0]]
        return content

    return change


FORGERIES = {
    "no threads": setting(n_threads=0),
    "threads of text": setting(n_threads="many"),
    "no models": setting(n_models=0),
    "many models": setting(n_models=10**9),
    "a huge layer": setting(hidden_layer_sizes={"type": "tuple", "items": [20000, 20000]}),
    "an endless layer": setting(hidden_layer_sizes={"type": "tuple", "items": [2**80, 4]}),
    "other layers": setting(hidden_layer_sizes={"type": "tuple", "items": [4, 6]}),
    "layers of text": setting(hidden_layer_sizes="6,4"),
    "a negative layer": setting(hidden_layer_sizes={"type": "tuple", "items": [6, -4]}),
    "no batch norm": setting(batch_norm=False),
    "a batch of none": setting(batch_size=0),
    "an unknown activation": setting(activation="__class__"),
    "an activation too many": setting(activation={"type": "list", "items": ["relu"] * 3}),
    "an unknown activation in a list": setting(activation={"type": "list", "items": ["relu", "__class__"]}),
    "activations of other parameters": setting(activation={"type": "list", "items": ["prelu", "relu"]}),
    "activations within activations": setting(
        activation={"type": "list", "items": [{"type": "list", "items": ["relu", "relu"]}, "relu"]}
    ),
    "an initializer too many": setting(initializer={"type": "list", "items": ["auto"] * 4}),
    "an endless start": setting(initializer={"type": "list", "items": ["auto", 1e300]}),
    "a negative noise": setting(hidden_noise=-1.0),
    "an endless noise": setting(hidden_noise={"type": "list", "items": [0.1, float("inf")]}),
    "a noise of text": setting(hidden_noise="0.1"),
    "a decay of 1": setting(optimizer="momentum", running_decay=1.0),
    "a decay of an optimizer that has none": setting(running_decay=0.5),
    "an eps of 0": setting(eps=0.0),
    "an unknown schedule": setting(schedule="eval", optimizer="sgd", eps=0.5),
    "steps of text": fitted(n_steps_="3"),
    "batches below none": fitted(n_batches_=-1),
    "an unknown loss": setting(loss="loss"),
    "an unknown optimizer": setting(optimizer="eval"),
    "a dropout of 1": setting(dropout=1.0),
    "a dropout of NaN": setting(dropout=float("nan")),
    "a negative rate": setting(learning_rate=-1.0),
    "a negative seed": setting(random_state=-1),
    "a seed of text": setting(random_state="0"),
    "class weights of another kind": setting(class_weight=3),
    "an unknown setting": setting(__class__=3),
    "settings that are none": lambda content: content | {"settings": []},
    "an encoding that is none": setting(dropout={"type": "function", "items": []}),
    "no columns": without("fitted", "n_features_in_"),
    "columns of text": fitted(n_features_in_="3"),
    "zero columns": fitted(n_features_in_=0),
    "endless columns": fitted(n_features_in_=2**70),
    "more columns": fitted(n_features_in_=4),
    "true columns": fitted(n_features_in_=True),
    "no classes": without("fitted", "classes_"),
    "one class": fitted(classes_=array(["a"])),
    "classes twice": fitted(classes_=array(["a", "a", "b"])),
    "classes out of order": fitted(classes_=array(["c", "b", "a"])),
    "more classes": fitted(classes_=array(["a", "b", "c", "d"])),
    "classes in a table": fitted(classes_=array([["a", "b", "c"]])),
    "classes of NaN": fitted(classes_=array([0.0, 1.0, np.nan])),
    "classes of many kinds": fitted(classes_=array(["a", 1, None], object)),
    "classes that are a list": fitted(classes_={"type": "list", "items": ["a", "b", "c"]}),
    "wide text": fitted(classes_={"type": "array", "dtype": "<U1000000000", "shape": [3], "values": ["a", "b", "c"]}),
    "a long empty axis": fitted(
        extra_={"type": "array", "dtype": "<f8", "shape": [10**12, 0], "values": torch.empty(0)}
    ),
    "records": fitted(extra_={"type": "array", "dtype": "f4,f4", "shape": [1], "values": torch.ones(2)}),
    "an array of another size": fitted(extra_={"type": "array", "dtype": "<f8", "shape": [9], "values": torch.ones(2)}),
    "an array of no type": fitted(extra_={"type": "array", "dtype": "<f77", "shape": [1], "values": torch.ones(1)}),
    "a key that is no key": fitted(extra_={"type": "dict", "items": [[{"type": "list", "items": []}, 1]]}),
    "an outcome that is missing": without("fitted", "_n_outputs"),
    "other outputs": fitted(_n_outputs=2),
    "another loss in training": fitted(_trained_loss="binary_cross_entropy"),
    "a loss that is none": fitted(_trained_loss=None),
    "a scale of zero": scaler(scale_=array([1.0, 0.0, 1.0])),
    "a negative scale": scaler(scale_=array([1.0, -1.0, 1.0])),
    "a scale of NaN": scaler(scale_=array([1.0, np.nan, 1.0])),
    "scales of text": scaler(scale_="1"),
    "fewer scales": scaler(scale_=array([1.0, 1.0])),
    "an infinite mean": scaler(mean_=array([0.0, np.inf, 0.0])),
    "no mean": scaler(mean_=None),
    "a scaler that is none": fitted(scaler_=3),
    "a history of text": fitted(history_="history"),
    "a best epoch of text": fitted(best_epoch_="2"),
    "epochs of NaN": fitted(n_epochs_=float("nan")),
    "an effective size below 0": fitted(effective_sample_size_=-1.0),
    "names of numbers": fitted(feature_names_in_=array([1, 2, 3])),
    "fewer names": fitted(feature_names_in_=array(["a"], object)),
    "a device of numbers": fitted(device_=3),
    "weights of NaN": parameter("0.weight", filled(np.nan)),
    "infinite weights": parameter("0.bias", filled(np.inf)),
    "weights of another shape": parameter("0.weight", lambda t: t.mT.contiguous()),
    "weights of whole numbers": parameter("0.weight", lambda t: t.long()),
    "weights that are none": parameter("0.weight", lambda t: 3.0),
    "a negative variance": parameter("1.running_variance", filled(-1.0)),
    "a variance of NaN": parameter("1.running_variance", filled(np.nan)),
    "a layer that is missing": without("module", "0.weight"),
    "a layer too many": lambda content: content | {"module": content["module"] | {"99.weight": torch.ones(3)}},
    "a state that is none": fitted(_training_state=3),
    "a state of nothing": fitted(_training_state={"type": "dict", "items": []}),
    "a class that is none": lambda content: content | {"class": ["MLPClassifier"]},
    "no content": lambda content: {},
    "content that is none": lambda content: [content],
}


def test_there_are_enough_forgeries():
    assert len(FORGERIES) + len(ARCHIVES) >= 25


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_content_is_refused(name, models, tmp_path):
    path = tmp_path / "model.pt"
    write_atomically(FORGERIES[name](fresh(models["classifier"])), path, "model")
    refused(path)


STATES = {
    "a step of text": lambda run: run | {"step": "1"},
    "no optimizer": lambda run: {key: value for key, value in run.items() if key != "optimizer"},
    "an optimizer of another shape": lambda run: (
        run
        | {"optimizer": run["optimizer"] | {"state": {0: run["optimizer"]["state"][0] | {"exp_avg": torch.ones(7, 7)}}}}
    ),
    "an optimizer of NaN": lambda run: (
        run
        | {
            "optimizer": run["optimizer"]
            | {"state": {0: run["optimizer"]["state"][0] | {"exp_avg": torch.full((5, 3), np.nan)}}}
        }
    ),
    "a generator of nothing": lambda run: run | {"generators": {name: torch.empty(0) for name in run["generators"]}},
    "no generators": lambda run: run | {"generators": {}},
    "a history of text": lambda run: run | {"history": "history"},
}


@pytest.mark.parametrize("name", STATES)
def test_a_forged_state_of_training_is_refused(name, models, tmp_path):
    """It is used by the next call of ``partial_fit``."""
    model, path = copy.deepcopy(models["going on"]), tmp_path / "model.pt"
    model._training_state = model._training_state | {"run": STATES[name](model._training_state["run"])}
    write_atomically(pack_estimator(model), path, "model")
    refused(path, MLPRegressor)


CHECKPOINTS = {
    "nothing": lambda saved: {},
    "no run": lambda saved: saved | {"run": None},
    "no epoch": lambda saved: saved | {"run": {}},
    "an epoch of text": lambda saved: saved | {"run": saved["run"] | {"epoch": "1"}},
    "seeds of text": lambda saved: saved | {"seeds": "0"},
    "no seeds": lambda saved: saved | {"seeds": {}},
    "endless seeds": lambda saved: saved | {"seeds": saved["seeds"] | {"split": 2**70}},
    "no module": lambda saved: saved | {"run": {k: v for k, v in saved["run"].items() if k != "module"}},
    "another module": lambda saved: saved | {"run": saved["run"] | {"module": {"0.weight": torch.ones(9, 9)}}},
    "no optimizer": lambda saved: saved | {"run": saved["run"] | {"optimizer": None}},
    "a schedule of text": lambda saved: saved | {"run": saved["run"] | {"schedule": "step"}},
    "no generators": lambda saved: saved | {"run": saved["run"] | {"generators": {}}},
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_forged_checkpoint_is_refused(name, tmp_path):
    path, X = tmp_path / "run.pt", np.random.default_rng(0).normal(size=(30, 2))
    settings = {"random_state": None, "checkpoint": path, "max_epochs": 1, "schedule": "step"}
    MLPRegressor((3,), **settings).fit(X, X[:, 0])
    saved = read(path, "checkpoint")
    write_atomically(CHECKPOINTS[name](saved), path, "checkpoint")
    model = MLPRegressor((3,), **settings, resume=True).set_params(max_epochs=2, schedule="step")
    with pytest.raises(ShiftDataError, match="holds no run that this version of shiftfix can go on from") as caught:
        model.fit(X, X[:, 0])
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------- what is right stays right


@pytest.mark.parametrize("kind", ["classifier", "binary", "regressor", "going on"])
def test_a_file_that_is_whole_is_read(kind, models, tmp_path):
    model, path, X = models[kind], tmp_path / "model.pt", np.random.default_rng(1).normal(size=(9, 3))
    model.save(path)
    assert np.array_equal(type(model).load(path).predict(X), model.predict(X))


def test_a_file_makes_no_fit_write(models, tmp_path):
    """Not even one that was made up: a path, a callback and a device are no part of a model."""
    path, elsewhere = tmp_path / "model.pt", tmp_path / "elsewhere.pt"
    forged = setting(checkpoint=str(elsewhere), resume=True, device="meta", progress=True, callbacks="print")
    write_atomically(forged(fresh(models["classifier"])), path, "model")
    found = MLPClassifier.load(path)
    assert (found.checkpoint, found.resume, found.device, found.progress, found.callbacks) == (
        None,
        False,
        "cpu",
        False,
        None,
    )
    found.fit(np.eye(8, 3), np.arange(8) % 2)
    assert not elsewhere.exists()


def test_a_network_that_is_not_finite_is_not_saved(models, tmp_path):
    model = copy.deepcopy(models["regressor"])
    with torch.no_grad():
        model.module_[0].weight[0, 0] = np.nan
    with pytest.raises(ShiftDataError, match=r"^The network cannot be saved, for its parameters 0\.weight are NaN"):
        model.save(tmp_path / "model.pt")
    assert not (tmp_path / "model.pt").exists()


def test_the_digest_is_of_what_was_read(whole, tmp_path):
    """A forger who knows the digest is met by the checks; who does not, by the digest."""
    header = {"format": "shiftfix", "kind": "model", "version": 1, "shiftfix": "0.1.0"}
    content = {"class": "MLPClassifier"}
    torch.save({"header": header | {"digest": digest(header, {})}, "content": content}, tmp_path / "model.pt")
    assert "is damaged" in refused(tmp_path / "model.pt")
