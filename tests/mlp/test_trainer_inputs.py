"""What users bring to WeightedTrainer: arrays of every layout and type, several inputs, datasets, and mistakes."""

import re
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset, WeightedRandomSampler

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor, WeightedTrainer

QUICK = {"max_epochs": 2, "batch_size": 8, "learning_rate": 0.01, "random_state": 0}
RNG = np.random.default_rng(0)
N = 33  # a lone last row in batches of 8
X = RNG.normal(size=(N, 4)).astype(np.float32).astype(float)
Y = (X[:, 0] > 0).astype(int)
WORDS = RNG.integers(0, 5, (N, 3))


def seeded(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def net(n_out=2, *more):
    return seeded(lambda: nn.Sequential(nn.Linear(4, 8), nn.Tanh(), *more, nn.Linear(8, n_out)))


def outputs(X=X, y=Y, w=None, module=None, loss="cross_entropy", **settings):
    model = WeightedTrainer(net() if module is None else module, loss, **QUICK | settings).fit(X, y, w)
    return model.predict_outputs(X)


class Both(nn.Module):
    """Numbers and words."""

    def __init__(self):
        super().__init__()
        self.a, self.e = nn.Linear(4, 2), nn.Embedding(5, 2)

    def forward(self, numbers, words):
        return self.a(numbers) + self.e(words).mean(1)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


# name: the same numbers another way; each is exact in the type it takes
LAYOUTS = {
    "negative strides": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "Fortran order": np.asfortranarray,
    "every second": lambda a: np.repeat(a, 2, axis=0)[::2],
    "read only": read_only,
    "masked, none of it": np.ma.array,
    "list": lambda a: a.tolist(),
    "tensor": torch.tensor,
    "tensor on its side": lambda a: torch.tensor(np.ascontiguousarray(np.moveaxis(a, 0, -1))).movedim(-1, 0),
    "list of tensors": lambda a: [torch.tensor(row) for row in a],
}
FLOATS = {
    "long double": lambda a: a.astype(np.longdouble),
    "float32": lambda a: a.astype(np.float32),
    "tensor with gradient": lambda a: torch.tensor(a, requires_grad=True),
    "parameter": lambda a: nn.Parameter(torch.tensor(a)),
}
WHOLE = {kind: lambda a, kind=kind: a.astype(kind) for kind in ("u1", "u2", "u4", "u8", "i1", ">i2", ">u8", "i4")} | {
    f"torch.{kind}": lambda a, kind=kind: torch.tensor(a).to(getattr(torch, kind)) for kind in ("uint16", "int16")
}
FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}
COLUMNS = {
    "pandas": pd.Series,
    "polars": pl.Series,
    "nullable": lambda a: pd.Series(a, dtype="Int64"),
    "categorical": lambda a: pd.Series(a).astype("category"),
    "objects": lambda a: a.astype(object),
}


@pytest.fixture(scope="module")
def expected():
    return outputs()


@pytest.mark.parametrize("way", [*LAYOUTS, *FLOATS, *FRAMES])
def test_rows_of_every_layout_and_type_are_the_same_rows(way, expected):
    found = outputs((LAYOUTS | FLOATS | FRAMES)[way](X))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("way", [*LAYOUTS, *WHOLE, *COLUMNS])
def test_labels_of_every_layout_and_type_are_the_same_labels(way, expected):
    assert np.array_equal(outputs(y=(LAYOUTS | WHOLE | COLUMNS)[way](Y)), expected)


@pytest.mark.slow
@pytest.mark.parametrize("way", [*LAYOUTS, *FLOATS])
@pytest.mark.parametrize("loss", ["squared_error", nn.MSELoss(reduction="none")])
def test_numbers_of_every_layout_and_type_are_the_same_targets(way, loss):
    module = nn.Sequential(net(1), nn.Flatten(0))
    y = X[:, 1]
    assert np.array_equal(
        outputs(y=(LAYOUTS | FLOATS)[way](y), module=module, loss=loss), outputs(y=y, module=module, loss=loss)
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", [*LAYOUTS, *FLOATS])
def test_weights_of_every_layout_and_type_are_the_same_weights(way):
    w = 1.0 + Y
    assert np.array_equal(outputs(w=(LAYOUTS | FLOATS)[way](w)), outputs(w=w))


@pytest.mark.parametrize("way", [*LAYOUTS, *WHOLE])
def test_words_of_every_layout_and_type_reach_an_embedding(way):
    module = seeded(lambda: nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 2)))
    assert np.array_equal(outputs((LAYOUTS | WHOLE)[way](WORDS), module=module), outputs(WORDS, module=module))


@pytest.mark.slow
def test_half_precision_rows_are_rounded_and_no_more():
    rounded = X.astype(np.float16)
    assert np.array_equal(outputs(rounded), outputs(rounded.astype(float)))
    brain = torch.tensor(X).bfloat16()
    assert np.array_equal(outputs(brain), outputs(brain.double().numpy()))


def test_whole_numbers_where_the_training_had_floats_are_such_numbers():
    model = WeightedTrainer(net(), **QUICK).fit(X, Y)
    whole = X.round()
    assert np.array_equal(model.predict_outputs(whole.astype(int)), model.predict_outputs(whole))


@pytest.mark.slow
def test_a_frame_of_bools_and_numbers_is_read_by_column():
    frame = pd.DataFrame(X, columns=list("abcd")).assign(b=X[:, 1] > 0, c=pd.array(Y, dtype="Int64"))
    numbers = np.column_stack([X[:, 0], X[:, 1] > 0, Y, X[:, 3]])
    assert np.array_equal(outputs(frame), outputs(numbers))
    with pytest.raises(ShiftDataError, match=r"^X contains NaN .*first in column 'c', row 5\)"):
        outputs(frame.assign(c=frame["c"].where(np.arange(N) != 5)))
    with pytest.raises(ShiftDataError, match=r"^Column 'd' of X is of type .*encode categories first"):
        outputs(frame.assign(d="x"))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_what_is_not_finite_is_named_by_column_and_row(value):
    spoiled = X.copy()
    spoiled[7, 2] = value
    what = {"nan": "NaN", "inf": "infinity"}.get(str(value), "1e+300, too large for the module's torch.float32")
    for name, given in {
        "'c'": pd.DataFrame(spoiled, columns=list("abcd")),
        "2": spoiled,
        "2 ": torch.tensor(spoiled),
    }.items():
        with pytest.raises(
            ShiftDataError, match=re.escape(f"X contains {what} (1 non-finite") + f".*column {name.strip()}, row 7"
        ):
            outputs(given)
    with pytest.raises(ShiftDataError, match=r"^X\['numbers'\] contains .*column 2, row 7"):
        outputs({"numbers": spoiled, "words": WORDS}, module=seeded(Both))
    with pytest.raises(ShiftDataError, match=r"^X contains .* row 7 at \(0, 0, 2\)"):
        outputs(spoiled[:, None, None, :])
    with pytest.raises(ShiftDataError, match=r"^the eval_set's X contains .*column 2, row 7"):
        WeightedTrainer(net(), **QUICK).fit(X, Y, eval_set=(spoiled, Y))
    model = WeightedTrainer(net(4), "huber", **QUICK)
    with pytest.raises(ShiftDataError, match=r"^y contains .*column 'c', row 7"):
        model.fit(X, pd.DataFrame(spoiled, columns=list("abcd")))
    with pytest.raises(ShiftDataError, match=r"^X contains .*column 2, row 7"):
        model.fit(X, X).predict(spoiled)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.ma.array(X, mask=X > 2), "X is a masked array with"),
        ([[1.0], [2.0, 3.0]], "X is a list that makes no array"),
        ([torch.tensor(row, requires_grad=True) for row in X], "X is a list that makes no array.*with a gradient"),
        (None, "X is a NoneType"),
        ("text", "X is a str"),
        ((), "X has shape|training rows had"),
        ({}, r"X is a dict with keys \[\]"),
        ({1: X}, r"X is a dict with keys \[1\]"),
        (np.full((N, 4), 2**64 - 1, dtype=np.uint64), "X holds 18446744073709551615"),
        (np.full((N, 4), "2020-01-01", dtype="M8[D]"), "X is an array of datetime64"),
        (torch.tensor(X).to_sparse(), "X is a tensor of layout torch.sparse_coo"),
        (torch.zeros(N, 4, device="meta"), "on meta"),
        (X + 1j, "The module fails on rows of"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(given, said):
    model = WeightedTrainer(net(), **QUICK).fit(X, Y)
    for use in (lambda: WeightedTrainer(net(), **QUICK).fit(given, Y), lambda: model.predict(given)):
        with pytest.raises(ShiftDataError, match=said):
            use()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (X[:, :3], r"fails on rows of shape \(33, 3\) .*fit, which was given shape \(n, 4\)"),
        (X[0], r"X has shape \(4,\), and the training rows had \(n, 4\)"),
        ((X, X), "X is a tuple of 2 arrays, and the module was trained on one array"),
        ({"x": X}, r"X is a dict of \['x'\], and the module was trained on one array"),
        (pd.DataFrame(X, columns=list("dcba")), "has the columns of the training X in another order"),
        (pd.DataFrame(X, columns=list("abcx")), r"lacks \['d'\] and adds \['x'\]"),
    ],
)
def test_rows_of_another_form_than_those_of_the_fit_are_refused(given, said):
    model = WeightedTrainer(net(), **QUICK).fit(pd.DataFrame(X, columns=list("abcd")), Y)
    assert model.feature_names_in_.tolist() == list("abcd")
    assert model.n_features_in_ == 4
    for use in (model.predict, model.predict_proba, model.predict_outputs, lambda rows: model.score(rows, Y)):
        with pytest.raises(ShiftDataError, match=said):
            use(given)


def test_an_eval_set_of_another_width_is_named():
    with pytest.raises(ShiftDataError, match=r"fails on rows of the eval_set's X, of shape \(2, 3\)"):
        WeightedTrainer(net(), **QUICK).fit(X, Y, eval_set=(X[:, :3], Y))


# ------------------------------------------------------------------------------------------- several inputs


@pytest.mark.slow
def test_a_tuple_goes_in_by_order_and_a_dict_by_name():
    """The same numbers as through one tensor that the module cuts itself."""

    class Cut(Both):
        def forward(self, x):
            return super().forward(x[:, :4], x[:, 4:].long())

    module = seeded(Both)
    whole = seeded(Cut)
    w = 1.0 + Y
    fit = lambda module, X: WeightedTrainer(module, early_stopping=True, **QUICK).fit(X, Y, w)  # noqa: E731
    wanted = fit(whole, np.column_stack([X, WORDS])).predict_outputs(np.column_stack([X, WORDS]))
    named = {"numbers": X, "words": WORDS}
    model = fit(module, named)
    assert_allclose(model.predict_outputs(named), wanted, atol=1e-6)
    assert np.array_equal(model.predict_outputs({"words": WORDS, "numbers": X}), model.predict_outputs(named))
    ordered = fit(module, (X, WORDS))
    assert_allclose(ordered.predict_outputs((X, WORDS)), wanted, atol=1e-6)
    assert "Embedding" in model.summary()
    assert not hasattr(model, "n_features_in_")
    with pytest.raises(ShiftDataError, match=r"a tuple of 2 arrays, and the module was trained on a dict"):
        model.predict((X, WORDS))
    with pytest.raises(ShiftDataError, match=r"X\['numbers'\] has 33 rows and X\['words'\] has 5"):
        fit(module, {"numbers": X, "words": WORDS[:5]})
    with pytest.raises(ShiftDataError, match="unexpected keyword argument 'other'"):
        fit(module, {"numbers": X, "other": WORDS})


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["loss", "resample"])
def test_several_inputs_resume_bit_for_bit(weighting, tmp_path):
    named, settings = {"numbers": X, "words": WORDS}, QUICK | {"weighting": weighting}
    w = 1.0 + Y
    whole = WeightedTrainer(seeded(Both), **settings | {"max_epochs": 4}).fit(named, Y, w)
    path = tmp_path / "run"
    WeightedTrainer(seeded(Both), checkpoint=path, **settings).fit(named, Y, w)
    resumed = WeightedTrainer(seeded(Both), checkpoint=path, resume=True, **settings | {"max_epochs": 4})
    assert np.array_equal(resumed.fit(named, Y, w).predict_outputs(named), whole.predict_outputs(named))


# ------------------------------------------------------------------------------------------- datasets


class Items(Dataset):
    def __init__(self, item):
        self.item = item

    def __len__(self):
        return N

    def __getitem__(self, i):
        if not 0 <= i < N:
            raise IndexError(i)
        return self.item(i)


class Endless(IterableDataset):
    def __iter__(self):
        yield from zip(X, Y, strict=True)


TX, TY = torch.tensor(X), torch.tensor(Y)
W = 1.0 + Y
PAIRS = TensorDataset(TX, TY)


@pytest.mark.parametrize(
    "given",
    [
        (PAIRS, None, None),
        (TensorDataset(TX), Y, None),
        (Items(lambda i: (X[i], Y[i])), None, None),
        (Items(lambda i: X[i]), Y, None),
        (Items(lambda i: [X[i], "ab"[Y[i]]]), None, None),
        (Subset(PAIRS, range(N)), None, None),
        (DataLoader(PAIRS, batch_size=5, shuffle=True, drop_last=True), None, None),
        (TensorDataset(TX, TY, torch.tensor(W)), None, None),
        (PAIRS, None, W),
        (DataLoader(PAIRS, batch_size=5, shuffle=True), None, W),
        (Items(lambda i: (X[i], int(Y[i]), W[i])), None, None),
    ],
)
def test_a_dataset_is_its_rows(given):
    """Weights stay with their rows, also beside a loader that shuffles."""
    rows, y, w = given
    weighted = w is not None or len(rows[0] if isinstance(rows, Dataset) else ()) == 3
    model = WeightedTrainer(net(), **QUICK).fit(rows, y, w)
    expected = outputs(w=W if weighted else None)
    assert_allclose(model.predict_outputs(X), expected, atol=1e-7)
    assert np.array_equal(model.predict_outputs(rows), model.predict_outputs(X))


class Moved(TensorDataset):
    """Changes its items."""

    def __getitem__(self, i):
        x, y = super().__getitem__(i)
        return x + 1, y


@pytest.mark.slow
def test_the_items_of_a_subclass_are_the_rows():
    found = WeightedTrainer(net(), **QUICK).fit(Moved(TX, TY)).predict_outputs(X)
    assert_allclose(found, WeightedTrainer(net(), **QUICK).fit(X + 1, Y).predict_outputs(X), atol=1e-7)


def test_a_dataset_scores_and_stops():
    model = WeightedTrainer(net(), **QUICK).fit(PAIRS, eval_set=PAIRS)
    assert model.score(PAIRS) == model.score(X, Y)
    assert (
        model.history_["validation_loss"]
        == WeightedTrainer(net(), **QUICK).fit(X, Y, eval_set=(X, Y)).history_["validation_loss"]
    )


def test_items_with_several_inputs():
    named = Items(lambda i: ({"numbers": X[i], "words": WORDS[i]}, Y[i]))
    ordered = Items(lambda i: ((X[i], WORDS[i]), Y[i]))
    one = WeightedTrainer(seeded(Both), **QUICK).fit(named).predict_outputs({"numbers": X, "words": WORDS})
    two = WeightedTrainer(seeded(Both), **QUICK).fit(ordered).predict_outputs((X, WORDS))
    assert np.array_equal(one, two)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((PAIRS, Y), "y is given twice"),
        ((TensorDataset(TX, TY, TY), None, W), "sample_weight is given twice"),
        ((TensorDataset(TX, TY, TY, TY),), "have 4 parts"),
        ((TensorDataset(TX),), "the target y is None"),
        ((Endless(),), "without a length"),
        ((DataLoader(Endless()),), "without a length|draws its rows"),
        (
            (DataLoader(PAIRS, sampler=WeightedRandomSampler([1.0] * N, N)),),
            "draws its rows by a WeightedRandomSampler",
        ),
        ((Items(lambda i: (X[i, : 1 + i % 2], Y[i])),), "The items of X cannot be stacked"),
        ((Items(lambda i: (object(), Y[i])),), "The items of X cannot be stacked"),
        ((Subset(PAIRS, []),), "no rows"),
        ((Items(lambda i: (X[i] * np.nan, Y[i])),), "X contains NaN .*column 0, row 0"),
    ],
)
def test_what_a_dataset_cannot_be(given, said):
    with pytest.raises(ShiftDataError, match=said):
        WeightedTrainer(net(), **QUICK).fit(*given)


# Where numbers are asked for one per row.
NO_NUMBERS = [
    ([[1.0]] * (N - 1) + [[1.0, 2.0]], "makes no array"),
    ([torch.tensor(1.0, requires_grad=True)] * N, "makes no array"),
    (np.ma.array(np.ones(N), mask=np.arange(N) == 3), "is a masked array with 1 masked"),
    (np.full(N, 1j), "holds complex numbers"),
    (torch.full((N,), 1j), "holds complex numbers"),
]


@pytest.mark.parametrize(("given", "said"), NO_NUMBERS)
def test_what_are_no_numbers_is_refused_wherever_they_are_asked_for(given, said):
    classifier, trainer = WeightedTrainer(net(), **QUICK), WeightedTrainer(net(1), "huber", **QUICK)
    fitted, network = WeightedTrainer(net(1), "huber", **QUICK).fit(X, Y), MLPRegressor((4,), max_epochs=1)
    for name, call in {
        "y": lambda: trainer.fit(X, given),
        "sample_weight": lambda: classifier.fit(X, Y, given),
        "the eval_set's y": lambda: trainer.fit(X, Y, eval_set=(X, given)),
        "the eval_set's sample_weight": lambda: classifier.fit(X, Y, eval_set=(X, Y, given)),
        "y ": lambda: fitted.score(X, given),
        "sample_weight ": lambda: fitted.score(X, Y, given),
    }.items():
        with pytest.raises(ShiftDataError, match=f"{name.strip()} ((is|holds) .*)?{said}"):
            call()
    for call in (
        lambda: network.fit(X, given),
        lambda: network.fit(X, Y, given),
        lambda: network.fit(X, Y, eval_set=(X, given)),
        lambda: network.partial_fit(X, given),
        lambda: MLPClassifier((4,)).partial_fit(X, Y, classes=given),
    ):
        with pytest.raises(ShiftDataError, match=said):
            call()


def test_rows_beside_labels_of_another_number():
    with pytest.raises(ShiftDataError, match=r"y has 5 labels for 33 rows"):
        WeightedTrainer(net(), **QUICK).fit(X, Y[:5])
    with pytest.raises(ShiftDataError, match=r"sample_weight has 5 values for 33 rows"):
        WeightedTrainer(net(), **QUICK).fit(X, Y, torch.ones(5, requires_grad=True))
    assert partial(WeightedTrainer, net())(**QUICK).fit(X, Y).score(X, Y) >= 0


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_are_refused():
    with pytest.raises(ShiftDataError, match="padded to one shape"):
        WeightedTrainer(net(), **QUICK).fit(torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]), [0, 1])
