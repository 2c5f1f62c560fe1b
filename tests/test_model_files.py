"""Model files: what goes in comes out; what was damaged or made up is one clear line, and nothing is executed."""

import copy
import functools
import io
import json
import os
import pickle
import subprocess
import sys
import time
import zipfile

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from shiftfix import load_model, save_model
from shiftfix.corrected import CovariateShiftClassifier, LabelShiftClassifier
from shiftfix.covariate import LogisticWeighter
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor, WeightedTrainer
from tests.registry import KERNEL_WEIGHTERS, LEARNERS, ODDS_WEIGHTERS, PRIORS, overlapping_scores, target_for

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*overlap", "ignore:The scores do not tell", "ignore:Label shift is not what moved"
)
RNG = np.random.default_rng(0)
X, X_TARGET = RNG.normal(size=(120, 3)), RNG.normal(0.3, 1, (90, 3))
Y = (X[:, 0] + RNG.normal(size=120) > 0).astype(int)
SMALL = {"max_epochs": 2, "random_state": 0}


def saved(model, path):
    save_model(model, path)
    return load_model(path)


SKOPS_ALONE = """
import sys
from pkgutil import walk_packages
from shiftfix._model_files._skops import skops_io
skops_io()
brought = {"torch", "dask"} & set(sys.modules)
from sklearn.utils import all_estimators, discovery
from skops.io import _trusted_types
from skops.io._utils import get_type_name
assert not brought, brought
assert discovery.pkgutil.walk_packages is walk_packages
names = [get_type_name(kind) for _, kind in all_estimators()]
assert _trusted_types.SKLEARN_ESTIMATOR_TYPE_NAMES == [name for name in names if name.startswith("sklearn.")]
"""


def test_skops_comes_alone_and_trusts_the_same_estimators():
    """Whoever asks scikit-learn for its estimators imports torch and dask where they are."""
    subprocess.run([sys.executable, "-c", SKOPS_ALONE], check=True)


# ------------------------------------------------------------------------------------------- round trips

MODELS = {
    **LEARNERS,
    "pipeline": lambda: make_pipeline(StandardScaler(), MLPClassifier((4,), **SMALL)),
    "network in a correction": lambda: CovariateShiftClassifier(MLPClassifier((4,), **SMALL), random_state=0),
    "ensemble in a correction": lambda: LabelShiftClassifier(MLPClassifier((4,), n_models=2, **SMALL), random_state=0),
    "networks one against the rest": lambda: OneVsRestClassifier(MLPClassifier((4,), batch_norm=True, **SMALL)),
    "forest": lambda: RandomForestClassifier(5, random_state=0),
    "trees": lambda: ExtraTreesRegressor(5, random_state=0),
    "tree": lambda: DecisionTreeClassifier(),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=5, random_state=0),
    "histogram boosting": lambda: HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5, random_state=0),
    "bagging": lambda: BaggingClassifier(n_estimators=3, max_features=2, random_state=0),
    "adaboost": lambda: AdaBoostClassifier(n_estimators=3, random_state=0),
    "a search": lambda: GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=3, scoring="neg_log_loss"),
    "a random search": lambda: RandomizedSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1]}, n_iter=2, cv=3
    ),
    "a search in a correction": lambda: LabelShiftClassifier(
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2), random_state=0
    ),
    "a tuned threshold": lambda: TunedThresholdClassifierCV(LogisticRegression(), cv=2),
    "a calibration": lambda: CalibratedClassifierCV(LogisticRegression(), cv=2),
    "boosting of categories": lambda: HistGradientBoostingClassifier(
        max_iter=5, min_samples_leaf=5, categorical_features=[2], random_state=0
    ),
    "a weighter that chose": lambda: CovariateShiftClassifier(LogisticRegression(), LogisticWeighter(features="auto")),
    "a ufunc": lambda: make_pipeline(FunctionTransformer(np.abs), LogisticRegression()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_model_predicts_as_before(name, tmp_path):
    model = MODELS[name]()
    corrected = hasattr(model, "estimator") and any(word in type(model).__name__ for word in ("Shift", "FewLabel"))
    keywords = {"X_target": target_for(type(model).__name__, X_TARGET)} if corrected else {}
    model.fit(X, Y, **keywords)
    found = saved(model, tmp_path / "model.skops")
    assert type(found) is type(model)
    assert np.array_equal(found.predict(X_TARGET), model.predict(X_TARGET))
    if hasattr(model, "predict_proba"):
        assert np.array_equal(found.predict_proba(X_TARGET), model.predict_proba(X_TARGET))
    assert os.listdir(tmp_path) == ["model.skops"]


WEIGHTERS = [name for name in (*KERNEL_WEIGHTERS, *ODDS_WEIGHTERS) if name != "logistic, everything chosen"]


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHTERS)
def test_a_weighter_weighs_as_before(name, tmp_path):
    model = {**KERNEL_WEIGHTERS, **ODDS_WEIGHTERS}[name]().fit(X, X_TARGET)
    found = saved(model, tmp_path / "model.skops")
    assert np.array_equal(found.transform(X), model.transform(X))
    assert str(found.summary_) == str(model.summary_)
    assert found.summary_.verdict.reasons == model.summary_.verdict.reasons


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_adjusts_as_before(name, tmp_path):
    scores, labels = overlapping_scores(0, [1 / 3] * 3, 300)
    target, _ = overlapping_scores(1, [0.2, 0.3, 0.5], 200)
    model = PRIORS[name]().fit(scores, labels, target)
    found = saved(model, tmp_path / "model.skops")
    assert np.array_equal(found.adjust_proba(target), model.adjust_proba(target))
    assert (found.verdict_, found.verdict_.reasons) == (model.verdict_, model.verdict_.reasons)


@pytest.mark.slow
def test_a_network_takes_part_in_files_of_skops_and_goes_on(tmp_path):
    model = MLPRegressor((4,), random_state=0).partial_fit(X, Y)
    found = skops.io.loads(skops.io.dumps(model), trusted=[MLPRegressor])
    assert np.array_equal(found.partial_fit(X, Y).predict(X), model.partial_fit(X, Y).predict(X))
    unfitted = skops.io.loads(skops.io.dumps(MLPRegressor((4, 3), l1=0.5)), trusted=[MLPRegressor])
    assert unfitted.get_params() == MLPRegressor((4, 3), l1=0.5).get_params()


def test_a_history_is_stored_as_arrays_and_read_as_lists(tmp_path):
    """Number by number a file of 200 epochs would have thousands of parts; gaps and endless losses stay what they are."""
    model = make_pipeline(StandardScaler(), MLPRegressor((4,), **SMALL)).fit(X, Y)
    history = {
        "train_loss": [1.5, np.nan, np.inf, *np.linspace(1, 0, 197).tolist()],
        "gradient_norm": np.random.default_rng(0).random((200, 3)).tolist(),
        "dead_units": [[0.5], [0.25, 0.125], *[[1.0]] * 198],
        "epoch": list(range(200)),
    }
    model[-1].history_ = history
    found = saved(model, tmp_path / "model.skops")
    assert repr(found[-1].history_) == repr(history)
    model[-1].history_ = {name: history[name] for name in ("train_loss", "gradient_norm")}
    save_model(model, tmp_path / "small.skops")
    whole = len(zipfile.ZipFile(tmp_path / "model.skops").read("schema.json"))
    assert len(zipfile.ZipFile(tmp_path / "small.skops").read("schema.json")) < whole / 3


def test_pickle_and_copies_keep_what_a_file_leaves_out(tmp_path):
    model = MLPRegressor((4,), checkpoint=tmp_path / "run.pt", callbacks=[print], progress=False, **SMALL)
    for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), pickle.loads(pickle.dumps(model, 0))):
        assert copied.get_params() == model.get_params()
    model.set_params(checkpoint=None, callbacks=None).fit(X, Y)
    for copied in (pickle.loads(pickle.dumps(model)), copy.copy(model)):
        assert np.array_equal(copied.predict(X), model.predict(X))


def linear(n_in, n_out):
    with torch.random.fork_rng():
        return torch.nn.Linear(n_in, n_out)


REFUSED = {
    "support vectors": lambda: SVC(random_state=0).fit(X, Y),
    "a function": lambda: make_pipeline(FunctionTransformer(lambda x: x), LogisticRegression()).fit(X, Y),
    "a function of a module": lambda: make_pipeline(FunctionTransformer(os.fspath), LogisticRegression()),
    "keys of truth values": lambda: LogisticRegression(class_weight={True: 1.0, False: 2.0}).fit(X, Y > 0),
    "a function of numpy that is no ufunc": lambda: make_pipeline(
        FunctionTransformer(np.atleast_2d), LogisticRegression()
    ).fit(X, Y),
    "a function made of another": lambda: make_pipeline(
        FunctionTransformer(functools.partial(np.clip, a_min=-1, a_max=1)), LogisticRegression()
    ).fit(X, Y),
    "a score of one's own": lambda: GridSearchCV(
        LogisticRegression(), {"C": [1.0]}, cv=2, scoring=lambda model, X, y: 1.0
    ).fit(X, Y),
    "a module": lambda: WeightedTrainer(linear(3, 2), max_epochs=1, random_state=0).fit(X, Y),
    "a network of a function": lambda: make_pipeline(
        MLPClassifier((3,), initializer=lambda w, g: w.fill_(0.1), **SMALL)
    ).fit(X, Y),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_what_would_take_pickle_is_refused(name, tmp_path):
    model = REFUSED[name]()
    if name == "a function of a module":
        model.steps[0][1].check_inverse = False
        model.steps[1][1].fit(X, Y)
    with pytest.raises(ShiftDataError, match="stored without pickle") as caught:
        save_model(model, tmp_path / "model.skops")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("loader", "change"),
    [
        ("PartialNode", lambda node: node["content"]["func"].update({"__class__": "system", "__module__": "posix"})),
        ("PartialNode", lambda node: node["content"]["func"].update({"__class__": "save", "__module__": "numpy"})),
        ("PartialNode", lambda node: node["content"]["args"]["content"].append({**JSON, "content": "1"})),
        ("PartialNode", lambda node: node.update({"__class__": "partialmethod"})),
    ],
)
def test_a_function_made_of_another_than_boosting_needs_is_refused(loader, change, tmp_path):
    model = HistGradientBoostingClassifier(max_iter=2, categorical_features=[2], random_state=0).fit(X, Y)
    content = skops.io.dumps(model)
    refused(reforged(content, lambda schema: change(next(nodes_of(schema, loader)))), tmp_path / "model")


@pytest.mark.parametrize(("module", "name"), [("numpy", "save"), ("numpy", "fromfile"), ("numpy.lib", "introspect")])
def test_functions_that_do_more_than_calculate_are_refused(module, name, tmp_path):
    content = skops.io.dumps(make_pipeline(FunctionTransformer(np.abs), LogisticRegression()).fit(X, Y))
    forge = lambda schema: next(nodes_of(schema, "FunctionNode")).update({"__class__": name, "__module__": module})  # noqa: E731
    refused(reforged(content, forge), tmp_path / "model")


def test_what_is_not_fitted_or_no_model_is_refused(tmp_path):
    with pytest.raises(NotFittedError):
        save_model(LogisticRegression(), tmp_path / "model.skops")
    with pytest.raises(ShiftDataError, match="is no estimator"):
        save_model({"a": 1}, tmp_path / "model.skops")
    with pytest.raises(ShiftDataError, match="lies in no existing directory"):
        save_model(LogisticRegression().fit(X, Y), tmp_path / "missing" / "model.skops")
    (tmp_path / "unfitted").write_bytes(skops.io.dumps(LogisticRegression()))
    with pytest.raises(ShiftDataError, match="a model that is not fitted"):
        load_model(tmp_path / "unfitted")


# ------------------------------------------------------------------------------------------- files of others


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def zipped_arrays():
    stream = io.BytesIO()
    np.savez(stream, a=np.ones(3))
    return stream.getvalue()


def office(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", "<xml/>")


OTHERS = {
    "pickle": (lambda path: path.write_bytes(pickle.dumps(Bomb())), "is a pickle, such as joblib writes"),
    "joblib": (lambda path: joblib.dump(Bomb(), path), "is a pickle, such as joblib writes"),
    "compressed joblib": (lambda path: joblib.dump(Bomb(), path, compress=("gzip", 3)), "is a gzip file"),
    "parquet": (lambda path: pd.DataFrame({"a": [1]}).to_parquet(path), "is a Parquet table"),
    "csv": (lambda path: path.write_text("a,b\n1,2\n"), "is no model of shiftfix"),
    "json": (lambda path: path.write_text("{}"), "is a JSON file"),
    "nothing": (lambda path: path.write_bytes(b""), "is empty"),
    "office": (office, "is a document of an office program"),
    "arrays": (lambda path: path.write_bytes(zipped_arrays()), "is an archive of arrays of numpy"),
    "torch": (lambda path: torch.save({"a": 1}, path), "was not written by shiftfix"),
    "a skops file of a stranger": (
        lambda path: path.write_bytes(skops.io.dumps(SVC(random_state=0).fit(X, Y))),
        r"holds 'sklearn\.svm\._classes\.SVC', which is not trusted",
    ),
    "a skops file of a number": (lambda path: path.write_bytes(skops.io.dumps(3)), "which is no estimator"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_of_another_program_is_named(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write, words = OTHERS[name]
    write(tmp_path / "model")
    with pytest.raises(ShiftDataError, match=f"{words}.*[Nn]othing in it was executed") as caught:
        load_model(tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["model"]


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none")
    with pytest.raises(ShiftDataError, match="is a directory"):
        load_model(tmp_path)


# ------------------------------------------------------------------------------------------- damaged and forged


@pytest.fixture(scope="module")
def forest():
    """A file of a forest behind a scaler."""
    model = make_pipeline(StandardScaler(), RandomForestClassifier(2, max_depth=3, random_state=0)).fit(X, Y)
    return skops.io.dumps(model)


@pytest.fixture(scope="module")
def network():
    return skops.io.dumps(make_pipeline(MLPClassifier((4,), **SMALL)).fit(X, Y))


def refused(content, path):
    path.write_bytes(content)
    started = time.perf_counter()
    with pytest.raises(
        ShiftDataError, match=r"damaged or cut short|holds no model that shiftfix can read|is no model"
    ) as caught:
        load_model(path)
    assert time.perf_counter() - started < 4
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    return str(caught.value)


@pytest.mark.parametrize("share", np.linspace(0.001, 0.999, 12).round(3))
@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_a_damaged_file_is_refused(share, how, forest, tmp_path):
    place = int(share * len(forest))
    if how == "cut":
        refused(forest[:place], tmp_path / "model")
        return
    damaged = bytearray(forest)
    damaged[place] ^= 255
    try:  # some bytes of an archive mean nothing
        (tmp_path / "model").write_bytes(damaged)
        found = load_model(tmp_path / "model")
    except ShiftDataError:
        return
    expected = skops.io.loads(forest, trusted=["sklearn.tree._tree.Tree"]).predict(X)
    assert np.array_equal(found.predict(X), expected)


def nodes_of(schema, loader=None, name=None):
    """All nodes of a schema of a loader, or of a class."""
    if isinstance(schema, dict):
        if "__loader__" in schema and (loader in (None, schema["__loader__"])) and name in (None, schema["__class__"]):
            yield schema
        for value in schema.values():
            yield from nodes_of(value, loader, name)
    elif isinstance(schema, list):
        for value in schema:
            yield from nodes_of(value, loader, name)


def reforged(content, change=None, arrays=None, compression=zipfile.ZIP_STORED):
    """The file with its schema changed in place, or with other arrays."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(made, "w", compression) as new:
        schema = json.loads(archive.read("schema.json"))
        if change is not None:
            schema = change(schema) or schema
        found = {} if arrays is None else arrays(schema, archive)
        for name in archive.namelist():
            if name != "schema.json":
                new.writestr(name, found.pop(name, None) or archive.read(name))
        new.writestr("schema.json", schema if isinstance(schema, str) else json.dumps(schema))
    return made.getvalue()


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def tree_array(part, change):
    """Change an array of the first tree."""

    def arrays(schema, archive):
        tree = next(nodes_of(schema, "TreeNode"))
        file = tree["content"]["content"][part]["file"]
        array = np.load(io.BytesIO(archive.read(file)))
        return {file: npy(change(array))}

    return lambda content: reforged(content, arrays=arrays)


def field(name, value, row=0):
    def change(nodes):
        nodes = nodes.copy()
        nodes[name][row] = value
        return nodes

    return tree_array("nodes", change)


def in_tree(change):
    return lambda content: reforged(content, lambda schema: change(next(nodes_of(schema, "TreeNode"))))


def set_in(place, *keys):
    """Set the last of the keys to a value, within nested dicts and lists."""

    def change(node):
        for key in keys[:-2]:
            node = node[key]
        node[keys[-2]] = keys[-1]

    return lambda content: reforged(content, lambda schema: change(next(nodes_of(schema, *place))))


def other_array(make):
    """Replace the largest array by other bytes."""

    def arrays(schema, archive):
        largest = max(
            (info for info in archive.infolist() if info.filename != "schema.json"), key=lambda i: i.file_size
        )
        return {largest.filename: make(archive.read(largest))}

    return lambda content: reforged(content, arrays=arrays)


def doubled(schema):
    """Lists that hold the one before twice, by its number: 2^60 leaves."""
    node = {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": [], "__id__": 1}
    for k in range(2, 62):
        again = {
            "__class__": "list",
            "__module__": "builtins",
            "__loader__": "ListNode",
            "content": [],
            "__id__": k - 1,
        }
        node = {**again, "content": [node, again], "__id__": k}
    schema["content"]["content"]["verbose"] = node


def circular(schema):
    schema["content"]["content"]["verbose"] = {
        "__class__": "Pipeline", "__module__": "sklearn.pipeline", "__loader__": "ObjectNode", "__id__": schema["__id__"],
    }  # fmt: skip


def called(module, name, loader="ListNode", **more):
    node = {"__class__": name, "__module__": module, "__loader__": loader, "content": []} | more
    return lambda content: reforged(content, lambda s: s["content"]["content"].update(verbose=node))


JSON = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode"}
FORGERIES = {
    "a child beyond the table": field("left_child", 10**6),
    "a child before its parent": field("left_child", 0),
    "a negative child": field("right_child", -7),
    "a column that is not there": field("feature", 999),
    "a negative column": field("feature", -2),
    "fewer values than nodes": tree_array("values", lambda values: values[:-1]),
    "fewer nodes than values": tree_array("nodes", lambda nodes: nodes[:-1]),
    "no nodes": tree_array("nodes", lambda nodes: nodes[:0]),
    "nodes of numbers": tree_array("nodes", lambda nodes: np.zeros(len(nodes))),
    "more nodes than there are": in_tree(lambda t: t["content"]["content"]["node_count"].update(content="1000000")),
    "nodes of text": in_tree(lambda t: t["content"]["content"]["node_count"].update(content='"3"')),
    "more outputs": in_tree(lambda t: t["__reduce__"]["args"]["content"][2].update(content="1000000000")),
    "more columns in a tree": in_tree(lambda t: t["__reduce__"]["args"]["content"][0].update(content="9")),
    "fewer columns in a forest": set_in((None, "RandomForestClassifier"), "content", "content", "n_features_in_", {**JSON, "content": "1"}),
    "an array larger than its file": other_array(lambda raw: raw[:-8]),
    "an array smaller than its file": other_array(lambda raw: raw + bytes(8)),
    "a huge array": other_array(lambda raw: raw.replace(b"(", b"(99999999999999, ", 1)[: len(raw)]),
    "an array of objects": other_array(lambda raw: npy(np.array([Bomb()], dtype=object))),
    "an array that is none": other_array(lambda raw: b"no array"),
    "deep lists": lambda content: reforged(content, lambda s: '{"a":' * 10**5 + "1" + "}" * 10**5),
    "deep objects": lambda content: reforged(
        content,
        lambda s: '{"__class__":"list","__module__":"builtins","__loader__":"ListNode","content":[' * 400
        + "]}" * 400,
    ),
    "no objects": lambda content: reforged(content, lambda s: "[]"),
    "no json": lambda content: reforged(content, lambda s: "{"),
    "an old protocol": lambda content: reforged(content, lambda s: s | {"protocol": 0}),
    "a newer protocol": lambda content: reforged(content, lambda s: s | {"protocol": 99}),
    "compressed": lambda content: reforged(content, compression=zipfile.ZIP_DEFLATED),
    "code": called("os", "mkdir", content=[{**JSON, "content": '"executed"'}]),
    "code by its type": called("os", "mkdir", "TypeNode"),
    "code by its function": called("os", "system", "FunctionNode"),
    "code of a method": called("operator", "methodcaller", "OperatorFuncNode", attrs={**JSON, "content": "1"}),
    "code of a constructor": called("subprocess", "Popen", "ConstructorFromReduceNode", content={**JSON, "content": "1"}),
    "code of a partial": called("functools", "partial", "PartialNode"),
    "a class in place of a list": called("shiftfix.mlp._classifier", "MLPClassifier"),
    "a tree in place of a list": called("sklearn.tree._tree", "Tree"),
    "an unknown loader": called("builtins", "list", "Node"),
    "a list of nothing": called("builtins", "list", content=None),
    "a number that is none": called("builtins", "str", "JsonNode", content="[[1]]"),
    "an endless number": called("builtins", "str", "JsonNode", content="9" * 10**5),
    "an array that is not there": called("numpy", "ndarray", "NdArrayNode", type="numpy", file="7.npy", __id__=7),
    "an array under another number": called("numpy", "ndarray", "NdArrayNode", type="numpy", file="schema.json", __id__=7),
    "names of numbers": called(3, 4),
    "no class": called(None, None, None),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_forest_is_refused(name, forest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(FORGERIES[name](forest), tmp_path / "model")
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("change", [doubled, circular])
def test_what_is_referred_to_again_is_not_made_again(change, forest, tmp_path):
    """skops alone walks all 2^60 leaves."""
    path, started = tmp_path / "model", time.perf_counter()
    path.write_bytes(reforged(forest, change))
    assert load_model(path).predict(X).shape == (120,)
    assert time.perf_counter() - started < 4


def state_of(schema):
    return next(nodes_of(schema, "ObjectNode", "MLPClassifier"))["content"]["content"]["shiftfix_network"]["content"]


def network_setting(name, value):
    def change(schema):
        settings = state_of(schema)["settings"]
        if name not in settings["content"]:
            settings["key_types"]["content"].append(settings["key_types"]["content"][0])
        settings["content"][name] = {**JSON, "content": json.dumps(value)}

    return change


def network_weight(schema, archive):
    weight = state_of(schema)["module"]["content"]["0.weight"]["content"]["values"]["file"]
    return {weight: npy(np.full((4, 3), np.nan, dtype=np.float32))}


NETWORKS = {
    "no models": lambda content: reforged(content, network_setting("n_models", 0)),
    "many models": lambda content: reforged(content, network_setting("n_models", 10**9)),
    "a huge layer": lambda content: reforged(content, network_setting("hidden_layer_sizes", 10**9)),
    "an unknown activation": lambda content: reforged(content, network_setting("activation", "eval")),
    "weights of NaN": lambda content: reforged(content, arrays=network_weight),
    "another class": lambda content: reforged(
        content, lambda s: state_of(s)["class"].update(content='"MLPRegressor"')
    ),
    "no state": lambda content: reforged(content, lambda s: state_of(s).clear()),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_a_forged_network_meets_the_checks_of_its_own_files(name, network, tmp_path):
    refused(NETWORKS[name](network), tmp_path / "model")


@pytest.mark.parametrize("field", ["left", "right", "feature_idx"])
def test_a_forged_booster_is_refused(field, tmp_path):
    model = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=5, random_state=0).fit(X, Y)
    model._predictors[0][0].nodes[field][0] = 10**6
    refused(skops.io.dumps(model), tmp_path / "model")


def test_a_path_in_a_file_makes_no_fit_write(network, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "model").write_bytes(reforged(network, network_setting("checkpoint", str(elsewhere))))
    load_model(tmp_path / "model")[-1].fit(X, Y)
    assert not elsewhere.exists()


@pytest.mark.slow
def test_importing_shiftfix_loads_neither_torch_nor_skops():
    code = "import sys, shiftfix; print([m for m in ('torch', 'skops', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_pipe_is_no_model(tmp_path):
    """Reading one would wait for ever, or find that it cannot be read twice."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="device or a pipe"):
        load_model(tmp_path / "pipe")
