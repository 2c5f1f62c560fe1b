"""What may stand in a file of skops, checked before skops sees it.

A file of skops is an archive of arrays and ``schema.json``, a tree of objects: each says how it is made (its loader)
and of which class. skops asks whether a class is trusted, and trusts what a class is made of. Here each loader meets
the few classes it is for, so that nothing trusted is called in another role; arrays are as large as their files; and
nothing but arrays is shared, so that no small file holds endless content. What comes out is written anew, of known
parts alone.
"""

import io
import json
import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import sklearn.metrics
import sklearn.model_selection

from shiftfix._archive import member, require
from shiftfix._model_files._trees import TREE, TREE_PREDICTOR, check_predictor, check_tree

Node = dict[str, Any]

# Of this package: estimators, what they hold, and the two functions of the command line's encoder.
OURS = (
    "shiftfix.cli._encode.FilledNumbers",
    "shiftfix.cli._encode.NamedColumns",
    "shiftfix.conformal._band_models.PointModel",
    "shiftfix.conformal._band_models.QuantileModel",
    "shiftfix.conformal._calibrated.Calibrated",
    "shiftfix.conformal._classifier.ConformalClassifier",
    "shiftfix.conformal._ranked.RankedScores",
    "shiftfix.conformal._regressor.ConformalRegressor",
    "shiftfix.conformal._target_weights.TargetWeights",
    "shiftfix.corrected._auto.ShiftCorrectedClassifier",
    "shiftfix.corrected._auto.ShiftCorrectedRegressor",
    "shiftfix.corrected._covariate.CovariateShiftClassifier",
    "shiftfix.corrected._covariate.CovariateShiftRegressor",
    "shiftfix.corrected._few_binary.BinaryFit",
    "shiftfix.corrected._few_classes.ClassCorrection",
    "shiftfix.corrected._few_classes.Member",
    "shiftfix.corrected._few_kernels.PartScales",
    "shiftfix.corrected._few_label.FewLabelClassifier",
    "shiftfix.corrected._few_label.FewLabelRegressor",
    "shiftfix.corrected._few_numbers.NumberCorrection",
    "shiftfix.corrected._few_rows.LabelledFeatures",
    "shiftfix.corrected._few_rows.TargetColumns",
    "shiftfix.corrected._few_softmax.SoftmaxFit",
    "shiftfix.corrected._label.LabelShiftClassifier",
    "shiftfix.covariate._classifier.ClassifierWeighter",
    "shiftfix.covariate._classifier.FoldModel",
    "shiftfix.covariate._finishing.Clip",
    "shiftfix.covariate._kernel_mean.KMM",
    "shiftfix.covariate._kliep.Bowl",
    "shiftfix.covariate._kliep.KLIEP",
    "shiftfix.covariate._least_squares.RULSIF",
    "shiftfix.covariate._least_squares.ULSIF",
    "shiftfix.covariate._logistic.LogisticWeighter",
    "shiftfix.covariate._logistic_columns.Columns",
    "shiftfix.covariate._table_columns.TableColumns",
    "shiftfix.detect._diagnosis.ClassShare",
    "shiftfix.detect._diagnosis.ShiftDiagnosis",
    "shiftfix.detect._features.ColumnShift",
    "shiftfix.detect._features.FeatureTests",
    "shiftfix.detect._mechanism.MechanismTest",
    "shiftfix.detect._performance.Part",
    "shiftfix.detect._performance.PerformanceDrop",
    "shiftfix.detect._result.ShiftTest",
    "shiftfix.label._bbse.BBSE",
    "shiftfix.label._calibration.ScoreCalibrator",
    "shiftfix.label._gmm.GMM",
    "shiftfix.label._gmm.GroupMoments",
    "shiftfix.label._gmm.SourceMoments",
    "shiftfix.label._label_shift_rule.LabelShiftFit",
    "shiftfix.label._mlls.MLLS",
    "shiftfix.label._prior_from_labels.LabelledPrior",
    "shiftfix.label._rlls.RLLS",
    "shiftfix.label._rlls.RegularizedSource",
    "shiftfix.label._solution_error.SourceError",
    "shiftfix.label._source.Source",
    "shiftfix.label._source.SourceScores",
    "shiftfix.label._source.TargetScores",
    "shiftfix.mlp._classifier.MLPClassifier",
    "shiftfix.mlp._regressor.MLPRegressor",
    "shiftfix.risk._alarms.Watch",
    "shiftfix.risk._effect.WeightingEffect",
    "shiftfix.risk._evidence.BettingEvidence",
    "shiftfix.risk._monitor.RiskMonitor",
    "shiftfix.risk._stream_window.StreamWindow",
    "shiftfix.weights._summary.Imbalance",
    "shiftfix.weights._summary.WeightSummary",
)
FUNCTIONS = ("shiftfix.cli._encode.as_numbers", "shiftfix.cli._encode.as_text")
# What judges the candidates of a search, by the functions of sklearn.metrics.
SCORERS = (
    *(f"sklearn.metrics._scorer.{name}" for name in ("_PassthroughScorer", "_Scorer", "_CurveScorer")),
    *(f"sklearn.utils._metadata_requests.{name}" for name in ("MetadataRequest", "MethodMetadataRequest")),
)


def _names_in(module: ModuleType, wanted: Callable[[Any], bool]) -> tuple[str, ...]:
    """Full names of what a module of scikit-learn offers, as far as it is wanted."""
    offered = [vars(module).get(name) for name in module.__all__]
    return tuple(f"{part.__module__}.{part.__name__}" for part in offered if part is not None and wanted(part))


METRICS = _names_in(sklearn.metrics, lambda part: isinstance(part, FunctionType))
SPLITTERS = _names_in(sklearn.model_selection, lambda part: isinstance(part, type) and hasattr(part, "split"))
CALIBRATED = tuple(f"sklearn.calibration.{name}" for name in ("_CalibratedClassifier", "_SigmoidCalibration"))
# What histogram boosting makes ready for columns of categories.
PARTIAL, CHECK_ARRAY = "functools.partial", "sklearn.utils.validation.check_array"
TRUSTED = [
    *OURS,
    *FUNCTIONS,
    *SCORERS,
    *METRICS,
    *SPLITTERS,
    *CALIBRATED,
    PARTIAL,
    CHECK_ARRAY,
    TREE,
    TREE_PREDICTOR,
    "numpy.dtype",
]
# Parts of scikit-learn whose fitted objects compute in numpy. Compiled code of others (support vectors, neighbors,
# clusters) takes the sizes of fitted arrays for granted. Which of their classes are estimators, skops knows.
SKLEARN = tuple(
    f"sklearn.{part}."
    for part in (
        "_loss",
        "calibration",
        "compose",
        "decomposition._pca",
        "discriminant_analysis",
        "dummy",
        "ensemble._bagging",
        "ensemble._forest",
        "ensemble._gb",
        "ensemble._hist_gradient_boosting",
        "ensemble._stacking",
        "ensemble._voting",
        "ensemble._weight_boosting",
        "feature_selection",
        "frozen",
        "impute",
        "isotonic",
        "kernel_ridge",
        "linear_model",
        "model_selection",
        "multiclass",
        "multioutput",
        "naive_bayes",
        "neural_network",
        "pipeline",
        "preprocessing",
        "tree",
    )
)
PLAIN = (type(None), bool, int, float, str)
# A truth value as a key comes back as True, whichever it was.
KEYS = ("builtins.str", "builtins.int", "builtins.float", "numpy.str_", "numpy.int", "numpy.uint", "numpy.float")
MOST_DEPTH, MOST_EMPTY = 150, 2**26


@dataclass
class Archive:
    """The archive of a schema, and the arrays that were found to be as large as their files."""

    archive: zipfile.ZipFile
    arrays: dict[str, bytes] = field(default_factory=dict)


def full_name(node: Node) -> str:
    """Module and class of a node."""
    module, name = node["__module__"], node["__class__"]
    require({type(module), type(name)} == {str}, "its classes have no names")
    return f"{module}.{name}"


def is_one_of(name: str, known: tuple[str, ...]) -> bool:
    return name in known


def begins_with(name: str, known: tuple[str, ...]) -> bool:
    return name.startswith(known)


def check_array(file: str, archive: Archive) -> None:
    """Raise unless a part of the archive is an array of numbers or text that is as large as it says."""
    if file in archive.arrays:
        return
    content = member(archive.archive, file)
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, _, dtype = header(stream)
    require(not dtype.hasobject, "an array holds objects")
    require(math.prod(shape) * dtype.itemsize == len(content) - stream.tell(), "an array is not as large as it says")
    # What has no bytes can be long all the same.
    require(math.prod(max(size, 1) for size in shape) <= max(MOST_EMPTY, len(content)), "an array is of nothing")
    archive.arrays[file] = content


def array_of(node: Node, archive: Archive) -> Any:
    """The array of a checked node."""
    return np.load(io.BytesIO(archive.arrays[node["file"]]), allow_pickle=False)


def plain_of(node: Node) -> Any:
    """The value of a node that holds a number, text, a bool or None."""
    value = json.loads(node["content"])
    require(type(value) in PLAIN, "a plain value is none")
    return value


# ------------------------------------------------------------------------------------------- one function per loader


def items(node: Node, archive: Archive, depth: int) -> Node:
    return {"content": [checked(item, archive, depth) for item in node["content"]]}


def mapping(node: Node, archive: Archive, depth: int) -> Node:
    """A dict; the types of its keys stand beside it."""
    key_types = checked(node["key_types"], archive, depth)
    kinds = [full_name(kind) for kind in key_types["content"]]
    require(len(kinds) == len(node["content"]), "a dict has keys that are the same as text")
    require(all(kind.startswith(KEYS) for kind in kinds), "a dict has keys that are neither text nor numbers")
    content = {key: checked(value, archive, depth) for key, value in node["content"].items()}
    return {"content": content, "key_types": key_types}


def array(node: Node, archive: Archive, depth: int) -> Node:
    """An array of numbers, which may be shared, or one of objects as their list."""
    if node["type"] == "numpy":
        require(type(node["__id__"]) is int, "an array has no number")
        require(node["file"] == f"{node['__id__']}.npy", "an array is not where it should be")
        check_array(node["file"], archive)
        return {"type": "numpy", "file": node["file"], "__id__": node["__id__"]}
    shape = checked(node["shape"], archive, depth)
    sizes = [plain_of(size) for size in shape["content"]]
    require(len(sizes) in (1, 2), "an array of objects has another shape")
    require((node["type"], sizes[0]) == ("json", len(node["content"])), "an array of objects has another shape")
    return {"type": "json", "shape": shape, **items(node, archive, depth)}


def masked(node: Node, archive: Archive, depth: int) -> Node:
    """A masked array: what it holds and where it is masked."""
    return {"content": {name: checked(node["content"][name], archive, depth) for name in ("data", "mask")}}


def json_value(node: Node, archive: Archive, depth: int) -> Node:
    plain_of(node)
    return {"content": node["content"], "is_json": True}


def nothing(node: Node, archive: Archive, depth: int) -> Node:
    return {}


def inner(node: Node, archive: Archive, depth: int) -> Node:
    """What an object is made of, when there is something."""
    if node.get("content") is None:
        return {}
    content = checked(node["content"], archive, depth)
    if full_name(node) == TREE_PREDICTOR:
        check_predictor({name: array_of(part, archive) for name, part in content["content"].items()})
    return {"content": content}


def piece(node: Node, archive: Archive, depth: int) -> Node:
    """A slice."""
    ends = node["content"]
    require(set(ends) == {"start", "stop", "step"}, "a slice has no ends")
    require(set(map(type, ends.values())) <= {type(None), int}, "a slice has no ends")
    return {"content": ends}


def tree(node: Node, archive: Archive, depth: int) -> Node:
    made = reduced(node, archive, depth)
    n_features, n_classes, n_outputs = made["__reduce__"]["args"]["content"]
    state = made["content"]["content"]
    check_tree(
        plain_of(n_features),
        array_of(n_classes, archive),
        plain_of(n_outputs),
        array_of(state["nodes"], archive),
        array_of(state["values"], archive),
        (plain_of(state["node_count"]), plain_of(state["max_depth"])),
    )
    return made


def function(node: Node, archive: Archive, depth: int) -> Node:
    """A function that only calculates: of numpy and scipy, a ufunc."""
    name = full_name(node)
    if name in (*FUNCTIONS, *METRICS, CHECK_ARRAY):
        return {}
    module = node["__module__"]
    require(module.split(".")[0] == "numpy" or module.startswith("scipy.special"), "a function is unknown")
    found = getattr(import_module(module), node["__class__"], None)
    require(isinstance(found, np.ufunc), f"{name[:100]!r} does more than calculate")
    return {}


def partial_function(node: Node, archive: Archive, depth: int) -> Node:
    """A check of arrays, with its settings."""
    parts = {name: checked(node["content"][name], archive, depth) for name in ("func", "args", "kwds", "namespace")}
    require(full_name(parts["func"]) == CHECK_ARRAY, "a function is made of another one than is known")
    require(not parts["args"]["content"], "a function is made of another one than is known")
    return {"content": parts}


def reduced(node: Node, archive: Archive, depth: int) -> Node:
    arguments = checked(node["__reduce__"]["args"], archive, depth)
    return {"__reduce__": {"args": arguments}, "content": checked(node["content"], archive, depth)}


def loss(node: Node, archive: Archive, depth: int) -> Node:
    made = reduced(node, archive, depth)
    require(not made["content"]["content"], "a loss has a state")
    return made


def generator(node: Node, archive: Archive, depth: int) -> Node:
    """A generator of numpy's own kind, seeded by a pool of its own size."""
    parts = {name: checked(node["content"][name], archive, depth) for name in ("bit_generator", "seed_seq")}
    kind, size = parts["bit_generator"]["content"]["bit_generator"], parts["seed_seq"]["content"]["pool_size"]
    require((plain_of(kind), plain_of(size)) == ("PCG64", 4), "a generator is of another kind")
    return {"content": parts}


def legacy_generator(node: Node, archive: Archive, depth: int) -> Node:
    """A RandomState of numpy's Mersenne twister, whose place lies within its own key."""
    made = {"content": checked(node["content"], archive, depth)}
    state = made["content"]["content"]
    twister, place = array_of(state["state"]["content"]["key"], archive), plain_of(state["state"]["content"]["pos"])
    require(plain_of(state["bit_generator"]) == "MT19937", "a generator is of another kind")
    require((twister.shape, twister.dtype) == ((624,), np.uint32), "a generator is of another kind")
    require(place in range(625) and plain_of(state["has_gauss"]) in (0, 1), "a generator is of another kind")
    return made


Check = tuple[Callable[[str, tuple[str, ...]], bool], tuple[str, ...], Callable[[Node, Archive, int], Node]]
LOADERS: dict[str, Check] = {
    "JsonNode": (is_one_of, ("builtins.str",), json_value),
    "DictNode": (is_one_of, ("builtins.dict", "collections.OrderedDict"), mapping),
    "ListNode": (is_one_of, ("builtins.list",), items),
    "SetNode": (is_one_of, ("builtins.set",), items),
    "TupleNode": (is_one_of, ("builtins.tuple", *OURS), items),
    "SliceNode": (is_one_of, ("builtins.slice",), piece),
    "NdArrayNode": (begins_with, ("numpy.",), array),
    "MaskedArrayNode": (is_one_of, ("numpy.ma.MaskedArray",), masked),
    "DTypeNode": (is_one_of, ("numpy.dtype",), inner),
    "TypeNode": (begins_with, ("builtins.", "numpy."), nothing),
    "FunctionNode": (begins_with, (*FUNCTIONS, *METRICS, CHECK_ARRAY, "numpy.", "scipy.special."), function),
    "PartialNode": (is_one_of, (PARTIAL,), partial_function),
    "ObjectNode": (begins_with, (*OURS, TREE_PREDICTOR, *SCORERS, *SKLEARN), inner),
    "LossNode": (begins_with, ("sklearn._loss._loss.Cy",), loss),
    "TreeNode": (is_one_of, (TREE,), tree),
    "RandomStateNode": (is_one_of, ("numpy.random.mtrand.RandomState",), legacy_generator),
    "RandomGeneratorNode": (is_one_of, ("numpy.random._generator.Generator",), generator),
}


def checked(node: Node, archive: Archive, depth: int) -> Node:
    """A copy of a node of what is known of its kind.

    Raises
    ------
    ForeignError
        For what skops would not write of these kinds, or of other ones.
    """
    loader, name = node["__loader__"], full_name(node)
    require(depth <= MOST_DEPTH, "its objects stand too deep in one another")
    holds, known, make = LOADERS.get(loader, (is_one_of, (), nothing))
    require(holds(name, known), f"it holds {name[:100]!r}, which is not trusted")
    made = make(node, archive, depth + 1)
    return {"__class__": node["__class__"], "__module__": node["__module__"], "__loader__": loader, **made}


def checked_file(archive: zipfile.ZipFile) -> bytes:
    """A file of skops, written anew of its checked parts.

    Parameters
    ----------
    archive : zipfile.ZipFile
        Of :func:`shiftfix._archive.open_archive`.

    Raises
    ------
    ForeignError
        For all but what skops writes of estimators that are trusted.
    DamagedError
    """
    schema = json.loads(member(archive, "schema.json"))
    # Older ones were read with fewer checks.
    require(type(schema["protocol"]) is int and schema["protocol"] >= 2, "it is of an old skops")
    parts = Archive(archive)
    made = checked(schema, parts, 0) | {"protocol": schema["protocol"], "_skops_version": str(schema["_skops_version"])}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as new:
        for name, content in parts.arrays.items():
            new.writestr(name, content)
        new.writestr("schema.json", json.dumps(made))
    return stream.getvalue()
