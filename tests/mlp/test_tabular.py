"""The preset for tables: its quantiles, layers, rates and categories, and what must hold for any training."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor, polynomial_tail
from shiftfix.mlp._categories import coded, learn_categories
from shiftfix.mlp._inputs import feature_scaler, scaled_rows
from shiftfix.mlp._network import build_network
from shiftfix.mlp._network._tabular import PLACES, WAVES, PeriodicEmbedding
from shiftfix.mlp._saving._model import pack_estimator, unpack_estimator
from shiftfix.mlp._settings import Classes, Fitting, Network, Training, part_of
from shiftfix.mlp._table_scaler import MOST_LEVELS, smooth_bound, table_scaler, weighted_quantiles
from shiftfix.mlp._training._optimizers import base_rate, make_optimizer
from shiftfix.mlp._training._schedules import make_schedule

SMALL = {"preset": "tabular", "hidden_layer_sizes": (8,), "max_epochs": 4, "n_models": 2, "random_state": 0}
ONE = SMALL | {"n_models": 1}


def seeded(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def a_frame(n_rows=60, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, n_rows),
            "city": rng.choice(["Ulm", "Bonn", "Kiel"], n_rows),
            "size": pd.Categorical(rng.choice(["S", "M"], n_rows)),
            "debt": rng.exponential(size=n_rows),
        }
    )
    y = np.where((frame["city"] == "Ulm") ^ (rng.random(n_rows) < 0.1), "yes", "no")
    return frame, y, rng


@pytest.mark.parametrize("standardize", [True, False])
def test_no_rows_are_scaled_to_none_of_the_same_width(standardize):
    X = np.column_stack([np.arange(6.0), np.arange(6) % 3])
    table = table_scaler(X, np.ones(6), [1], standardize)
    for scaler in (table, feature_scaler(X, np.ones(6)), None):
        found = scaled_rows(X[:0], scaler)
        assert (found.shape, found.dtype) == ((0, scaled_rows(X, scaler).shape[1]), torch.float32)


# --------------------------------------------------------------------------------------------- quantiles


@pytest.mark.parametrize("seed", range(4))
def test_weighted_quantiles_are_those_of_repeated_rows(seed):
    rng = np.random.default_rng(seed)
    values, counts = rng.integers(0, 9, 20).astype(float), rng.integers(1, 5, 20)
    levels = np.array([0.1, 0.25, 0.5, 0.75, 0.99])
    expected = np.quantile(np.repeat(values, counts), levels, method="averaged_inverted_cdf")
    assert_array_equal(weighted_quantiles(values, counts.astype(float), levels), expected)
    assert_array_equal(weighted_quantiles(values, counts * 1e-3 / 7, levels), expected)
    assert np.median(np.repeat(values, counts)) == weighted_quantiles(values, 1.0 * counts, np.array([0.5]))[0]


def test_numbers_by_hand():
    """Median 3, quartiles 2 and 4: 3 -> 0, 4 -> .5 / sqrt(1 + 1/36), 1e6 near 3."""
    X = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])
    scaler = table_scaler(X, np.ones(5), [], True)
    assert (scaler.center[0], scaler.scale[0]) == (3, 2)
    found = scaler.transform(np.array([[3.0], [4.0], [1e6], [-1e300]]))[:, 0]
    assert_allclose(found, [0, 0.5 / np.sqrt(1 + 1 / 36), 3, -3], rtol=1e-9, atol=1e-12)
    assert smooth_bound(np.array([3.0]))[0] == pytest.approx(3 / np.sqrt(2))


def test_columns_without_quartiles():
    """Half of the range where the quartiles meet, and 1 for a constant."""
    X = np.array([[0.0, 7.0]] * 9 + [[4.0, 7.0]])
    scaler = table_scaler(X, np.ones(10), [], True)
    assert_array_equal(scaler.scale, [2, 1])
    assert_array_equal(scaler.transform(X)[0], [0, 0])


def test_sparse_columns_have_the_quantiles_of_dense_ones():
    X = np.random.default_rng(0).normal(size=(50, 3)) * (np.random.default_rng(1).random((50, 3)) < 0.6)
    dense, thin = (table_scaler(rows, np.ones(50), [], True) for rows in (X, sparse.csr_array(X)))
    assert_array_equal(dense.center, thin.center)
    assert_array_equal(dense.scale, thin.scale)


def test_indicators_by_hand():
    X = np.array([[0.0, 5.0], [2.0, 6.0], [2.0, 7.0], [-1.0, 8.0]])
    scaler = table_scaler(X, np.ones(4), [0], False)
    assert_array_equal(scaler.transform(X), [[5, 1, 0], [6, 0, 1], [7, 0, 1], [8, 0, 0]])
    assert_array_equal(scaler.transform(np.array([[1.0, 9.0]])), [[9, 0, 0]])  # a level that no training row had


def test_the_levels_of_most_weight_are_kept():
    codes = np.repeat(np.arange(MOST_LEVELS + 2), 2).astype(float)
    weight = np.where(codes == 1, 0.1, np.where(codes == 50, 0.2, 1.0))
    kept = table_scaler(codes[:, np.newaxis], weight, [0], True).indicator_codes
    assert len(kept) == MOST_LEVELS
    assert not {1, 50} & set(kept.tolist())


# ------------------------------------------------------------------------------------------------ layers


def test_the_embedding_is_its_formula():
    layer = PeriodicEmbedding(2, seeded(0)).double()
    x = torch.tensor([[0.3, -1.2, 5.0], [2.0, 0.0, 6.0]], dtype=torch.float64)
    found = layer(x).detach().numpy()
    c, b = layer.frequency.detach().numpy(), layer.phase.detach().numpy()
    W, d = layer.mixing.detach().numpy(), layer.offset.detach().numpy()
    for row in range(2):
        placed = [np.cos(2 * np.pi * (c[j, 0] * float(x[row, j]) + b[j, 0])) @ W[j] + d[j, 0] for j in range(2)]
        assert_allclose(found[row], np.concatenate([x[row], *placed]), rtol=1e-12)
    assert c.shape == (2, 1, WAVES)
    assert found.shape == (2, 3 + 2 * PLACES)


def test_several_embeddings_are_each_a_single_one():
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(9))
    several = PeriodicEmbedding(3, seeded(1, 2))
    for place, seed in enumerate((1, 2)):
        assert_allclose(several(x)[place].detach(), PeriodicEmbedding(3, seeded(seed))(x).detach(), atol=1e-6)
    own = torch.stack([x, 2 * x])
    assert_allclose(several(own)[1].detach(), PeriodicEmbedding(3, seeded(2))(2 * x).detach(), atol=1e-6)


def network(n_models=1, **settings):
    settings = Network(hidden_layer_sizes=(8, 6), preset="tabular", activation="selu", **settings)
    return build_network(settings, 5, 2, list(range(n_models)), n_numbers=3)


@pytest.mark.parametrize("n_models", [1, 3])
def test_each_group_moves_at_its_own_rate(n_models):
    """One step of gradient descent with gradients of 1 moves each parameter by its rate."""
    module = network(n_models)
    optimizer = make_optimizer("sgd", module.parameters(), 0.01)
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    moved = {name: float((before[name] - value).mean().detach()) / 0.01 for name, value in module.named_parameters()}
    width = 5 + 3 * PLACES
    matrices = [width**-0.5, 8**-0.5, 6**-0.5]
    assert_allclose([rate for name, rate in moved.items() if name.endswith("weight")], matrices, rtol=1e-3)
    assert_allclose([rate for name, rate in moved.items() if name.endswith("bias")], [0.1] * 3, rtol=1e-3)
    assert moved["1.scale"] == pytest.approx(6, rel=1e-3)
    assert moved["0.frequency"] == pytest.approx(0.1, rel=1e-3)
    assert base_rate(optimizer) == pytest.approx(0.01)


def test_the_network_starts_near_no_output():
    """The last layer is a tenth of the usual, the biases of the others are random, the scales 1."""
    module = network()
    assert module(torch.randn(9, 5, generator=torch.Generator().manual_seed(0))).std() < 0.3
    assert module[-1].weight.std().item() == pytest.approx(0.1 / 6**0.5, rel=0.6)
    assert module[2].bias.std() > 0.3
    assert (module[1].scale == 1).all()


def test_four_cycles_each_twice_as_long():
    """log2(1 + 15 t) is whole at t = 0, 1/15, 3/15, 7/15 and 1: there the rate is 0."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = make_optimizer("sgd", [parameter], 0.3)
    schedule, rates = make_schedule("cosine_log", optimizer, 150, 10), []
    for _ in range(150):
        rates.append(base_rate(optimizer))
        optimizer.step()
        schedule.step()
    t = (np.arange(150) + 0.5) / 150
    assert_allclose(rates, 0.15 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * t))), rtol=1e-9)
    dips = [place for place in range(1, 149) if rates[place] < min(rates[place - 1], rates[place + 1])]
    assert_allclose(dips, [10, 30, 70], atol=1)


# ------------------------------------------------------------------------------------- what it replaces


def test_settings_left_at_their_defaults_are_replaced():
    model = MLPClassifier(preset="tabular", learning_rate=0.2, batch_size=32)
    training, asked = part_of(model, Training), model.get_params()
    assert (training.learning_rate, training.batch_size, training.schedule) == (0.2, 32, "cosine_log")
    assert (asked["schedule"], asked["n_models"], asked["hidden_layer_sizes"]) == (None, None, (128,))
    assert part_of(MLPClassifier(), Training).schedule is None
    members = [part_of(kind, Fitting).n_models for kind in (model, MLPClassifier(), MLPRegressor(n_models=3))]
    assert members == [8, None, 3]
    assert part_of(MLPClassifier(preset="tabular", n_models=1), Fitting).n_models == 1
    assert part_of(model, Training).validation_fraction == 0.1


def test_smoothing_only_where_a_temperature_takes_it_back():
    smoothing = lambda **settings: part_of(MLPClassifier(preset="tabular", **settings), Classes).label_smoothing  # noqa: E731
    assert smoothing() == 0.1
    assert smoothing(label_smoothing=0.2) == 0.2
    assert smoothing(temperature=None) == smoothing(early_stopping=False) == smoothing(loss=polynomial_tail) == 0


def test_cloning_and_setting():
    model = clone(MLPRegressor(preset="tabular", hidden_layer_sizes=[4], n_models=3))
    assert model.get_params()["preset"] == "tabular"
    assert part_of(model, Network).hidden_layer_sizes == [4]
    assert part_of(model.set_params(preset=None), Training).schedule is None


@pytest.mark.parametrize("wrong", ["Tabular", True, 1, [], np.nan])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_unknown_presets_are_refused(kind, wrong):
    with pytest.raises(ShiftDataError, match="preset="):
        kind(preset=wrong, max_epochs=1).fit(np.eye(4), [0, 1] * 2)


# ------------------------------------------------------------------------------------------- categories


@pytest.mark.parametrize(
    "make",
    [
        lambda frame: frame,
        lambda frame: frame.astype({"city": "string"}),
        lambda frame: frame.astype({"city": object, "size": object}),
        lambda frame: frame.astype({"city": "category"}),
        lambda frame: pl.DataFrame({name: frame[name].tolist() for name in frame}),
        lambda frame: pl.DataFrame({name: frame[name].tolist() for name in frame}).with_columns(
            pl.col("city").cast(pl.Categorical), pl.col("size").cast(pl.Enum(["M", "S"]))
        ),
    ],
    ids=["str", "string", "object", "category", "polars", "polars categories"],
)
def test_one_frame_in_all_its_types(make):
    frame, _, _ = a_frame(8)
    categories = learn_categories(make(frame))
    assert {place: levels.tolist() for place, levels in categories.items()} == {
        1: sorted(set(frame["city"])),
        2: ["M", "S"],
    }
    codes = np.asarray(coded(make(frame), categories).to_numpy(), dtype=float)
    assert_array_equal(codes[:, 1], [categories[1].tolist().index(city) for city in frame["city"]])
    assert_array_equal(codes[:, 0], frame["age"])


def test_numbers_are_no_categories():
    frame = pd.DataFrame({"a": [1, 2], "b": [True, False], "c": np.array([1.5, 2], dtype=object)})
    assert learn_categories(frame) == {}
    assert learn_categories(frame.to_numpy()) == {}


def test_the_frame_of_the_user_stays_as_it_is():
    frame, y, _ = a_frame()
    before = frame.copy()
    MLPClassifier(**ONE).fit(frame, y).predict(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_missing_and_new_levels_have_no_indicator():
    frame, y, _ = a_frame()
    model = MLPClassifier(**ONE).fit(frame, y)
    other = frame.head(2).assign(city=["Rom", None])
    assert_array_equal(*model.predict_proba(other.assign(age=40.0, debt=1.0, size="S")))
    assert np.isfinite(model.predict_proba(frame.head(2).assign(size=["XL", np.nan]))).all()


@pytest.mark.slow
def test_it_learns_from_a_category():
    """The label is the city nine times in ten; without the column nothing tells it."""
    frame, y, _ = a_frame(400)
    model = MLPClassifier(preset="tabular", max_epochs=32, n_models=2, random_state=0).fit(frame, y)
    assert model.score(*a_frame(400, 1)[:2]) > 0.85


def test_text_without_a_preset_is_refused_as_before():
    frame, y, _ = a_frame()
    with pytest.raises((ShiftDataError, ValueError), match="city"):
        MLPClassifier(max_epochs=1).fit(frame, y)
    with pytest.raises((ShiftDataError, ValueError), match="numbers"):
        MLPClassifier(**ONE).fit(frame.to_numpy(), y)


# ------------------------------------------------------------------------------------------- invariances


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_a_weight_of_two_is_the_row_twice(kind):
    """Without noise and with all rows in each step; float32 sums in another order are 1e-4 apart after 4 epochs."""
    frame, y, rng = a_frame()
    y = y if kind is MLPClassifier else frame["age"].to_numpy() / 10
    counts = rng.integers(1, 4, len(y))
    repeated = np.repeat(np.arange(len(y)), counts)
    settings = ONE | {"batch_size": None, "early_stopping": False, "learning_rate": 0.02, "optimizer": "momentum"}
    settings |= {"dropout": 0.0}  # the masks of twice the rows are others
    weighted = kind(**settings).fit(frame, y, counts)
    twice = kind(**settings).fit(frame.iloc[repeated].reset_index(drop=True), y[repeated])
    assert_array_equal(weighted.scaler_.center, twice.scaler_.center)
    assert_array_equal(weighted.scaler_.scale, twice.scaler_.scale)
    tell = "predict_proba" if kind is MLPClassifier else "predict"
    assert_allclose(getattr(weighted, tell)(frame), getattr(twice, tell)(frame), rtol=1e-3, atol=1e-4)
    unweighted = kind(**settings).fit(frame, y)
    assert np.abs(getattr(unweighted, tell)(frame) - getattr(twice, tell)(frame)).max() > 2e-3


def test_rows_of_weight_0_leave_no_trace():
    frame, y, _ = a_frame()
    more = pd.concat([frame, frame.head(5).assign(city="Rom", age=1e9)], ignore_index=True)
    weight = np.r_[np.ones(60), np.zeros(5)]
    settings = ONE | {"early_stopping": False}
    found = MLPClassifier(**settings).fit(more, np.r_[y, y[:5]], weight)
    assert_array_equal(found.predict_proba(frame), MLPClassifier(**settings).fit(frame, y).predict_proba(frame))


def test_the_first_of_several_models_is_the_single_one():
    frame, y, _ = a_frame(120)
    settings = SMALL | {"early_stopping": False}
    several = MLPClassifier(**settings).fit(frame, y)
    single = MLPClassifier(**settings | {"n_models": 1, "hidden_layer_sizes": (8,)}).fit(frame, y)
    assert single.n_parameters_ * 2 == several.n_parameters_
    assert_allclose(several.predict_proba_members(frame)[0], single.predict_proba_members(frame)[0], atol=1e-4)


def test_rows_are_held_out_without_weights_too():
    frame, y, _ = a_frame(120)
    assert MLPClassifier(**SMALL).fit(frame, y).validation_effective_sample_size_ == 12
    assert MLPClassifier(**SMALL).fit(frame.head(60), y[:60]).validation_effective_sample_size_ is None


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_a_resumed_run_is_the_whole_one(kind, tmp_path):
    frame, y, rng = a_frame(120)
    y = y if kind is MLPClassifier else frame["debt"].to_numpy()
    weight = rng.exponential(size=120)
    settings = SMALL | {"dropout": 0.2}
    whole = kind(**settings).fit(frame, y, weight)

    class Stop:
        def on_epoch_end(self, run):
            run.stop = run.epoch == 2

    path = tmp_path / "run"
    kind(**settings, checkpoint=path, callbacks=Stop()).fit(frame, y, weight)
    resumed = kind(**settings, checkpoint=path, resume=True).fit(frame, y, weight)
    assert_array_equal(resumed.predict(frame), whole.predict(frame))
    for name, value in whole.module_.state_dict().items():
        assert_array_equal(resumed.module_.state_dict()[name], value)


def test_calls_on_all_rows_are_epochs():
    frame, y, _ = a_frame()
    settings = SMALL | {"early_stopping": False}
    whole = MLPClassifier(**settings).fit(frame, y)
    steps = MLPClassifier(**settings)
    for _ in range(4):
        steps.partial_fit(frame, y, classes=np.unique(y))
    assert_array_equal(steps.predict_proba(frame), whole.predict_proba(frame))


def test_going_on_from_the_fitted_network():
    frame, y, _ = a_frame()
    model = MLPClassifier(**SMALL, warm_start=True).fit(frame, y)
    scaler = model.scaler_
    assert model.fit(frame, y).scaler_ is scaler


@pytest.mark.slow
def test_samples_with_dropout_and_the_summary():
    frame, y, _ = a_frame()
    model = MLPRegressor(**SMALL | {"dropout": 0.3}, input_noise=0.1, dropconnect=0.1).fit(frame, y == "yes")
    assert model.predict_mc(frame, 3, random_state=0).shape == (6, 60)
    assert "PeriodicEmbedding" in model.summary()
    assert f"{model.n_parameters_:,} parameters" in model.summary()


# ------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_saved_and_read_back(kind, tmp_path):
    frame, y, _ = a_frame()
    y = y if kind is MLPClassifier else frame["debt"].to_numpy()
    model = kind(**SMALL).fit(frame, y)
    model.save(tmp_path / "model")
    other = kind.load(tmp_path / "model")
    assert_array_equal(other.predict(frame), model.predict(frame))
    assert other.get_params()["preset"] == "tabular"
    half = kind(**SMALL).partial_fit(frame, y, **({"classes": np.unique(y)} if kind is MLPClassifier else {}))
    half.save(tmp_path / "half")
    assert_array_equal(
        kind.load(tmp_path / "half").partial_fit(frame, y).predict(frame), half.partial_fit(frame, y).predict(frame)
    )


FORGED = {
    "no scaler": lambda c: c["fitted"].update(scaler_=None),
    "no categories": lambda c: c["fitted"].pop("categories_"),
    "categories of no column": lambda c: c["fitted"]["categories_"]["items"][0].__setitem__(0, 99),
    "unsorted levels": lambda c: c["fitted"]["categories_"]["items"][0][1]["values"].reverse(),
    "no preset": lambda c: c["settings"].update(preset=None),
    "another preset": lambda c: c["settings"].update(preset="other"),
    "wide": lambda c: c["settings"].update(hidden_layer_sizes={"type": "tuple", "items": [2**40]}),
    "many": lambda c: c["settings"].update(n_models=10_000),
    **{
        f"{name} {what}": lambda c, name=name, change=change: scaler_items(c).__setitem__(
            name, change(scaler_items(c)[name])
        )
        for name in ("numbers", "center", "scale", "indicator_columns", "indicator_codes")
        for what, change in {
            "negative": lambda v: v | {"values": -v["values"] - 1},
            "short": lambda v: v | {"values": v["values"][:-1], "shape": [len(v["values"]) - 1]},
            "none": lambda v: None,
            "text": lambda v: "text",
        }.items()
        if (name, what) != ("center", "negative")
    },
    "more columns": lambda c: scaler_items(c).update(n_features_in=7),
    "bounded by text": lambda c: scaler_items(c).update(bounded="yes"),
    "alike": lambda c: scaler_items(c)["indicator_codes"]["values"].fill_(0),
    "unknown level": lambda c: scaler_items(c)["indicator_codes"]["values"].add_(100),
}


class Items(dict):
    """Encoded attributes of the scaler by name, written through."""

    def __init__(self, pairs):
        super().__init__(dict(pairs))
        self.pairs = pairs

    def __setitem__(self, name, value):
        next(pair for pair in self.pairs if pair[0] == name)[1] = value

    def update(self, **values):
        for name, value in values.items():
            self[name] = value


def scaler_items(content):
    return Items(content["fitted"]["scaler_"]["fitted"]["items"])


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_forged_files_are_refused(forge):
    frame, y, _ = a_frame(20)
    content = pack_estimator(MLPClassifier(**ONE | {"max_epochs": 1}).fit(frame, y))
    forge(content)
    with pytest.raises(ShiftDataError):
        unpack_estimator(content, MLPClassifier)


@pytest.mark.parametrize("multiple", [0.0, 2.0, None, "text", np.nan])
def test_forged_rates_are_refused(multiple):
    frame, y, _ = a_frame(20)
    content = pack_estimator(MLPClassifier(**ONE).partial_fit(frame, y, classes=np.unique(y)))

    def forge(part):
        for item in part if isinstance(part, list) else part.values() if isinstance(part, dict) else ():
            if isinstance(item, list) and item[:1] == ["multiple"]:
                item[1] = multiple
            forge(item)

    forge(content["fitted"])
    with pytest.raises(ShiftDataError, match="rates"):
        unpack_estimator(content, MLPClassifier)


# ------------------------------------------------------------------------------------- hostile rows


def test_sparse_rows_train_as_dense_ones():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)) * (rng.random((60, 4)) < 0.5)
    y = X[:, 0] > 0
    dense = MLPClassifier(**SMALL).fit(X, y).predict_proba(X)
    assert_allclose(
        MLPClassifier(**SMALL).fit(sparse.csr_matrix(X), y).predict_proba(sparse.csr_matrix(X)), dense, atol=1e-6
    )


def test_numbers_of_any_size():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)) * [1e150, 1e-300, 1]
    model = MLPClassifier(**SMALL).fit(X, X[:, 0] > 0)
    assert np.isfinite(model.predict_proba(-X * [1e150, 1, 1e300])).all()
    with pytest.raises(ValueError, match="overflow"):
        table_scaler(np.repeat([[-1.7e308], [1.7e308]], 2, axis=0), np.ones(4), [], True)


def test_rows_as_they_come():
    X = np.random.default_rng(0).normal(size=(60, 3))
    model = MLPRegressor(**SMALL, standardize=False).fit(X, X[:, 0])
    assert_array_equal(model.scaler_.transform(X), X)
    assert model.target_scaler_ is None


def test_only_categories():
    frame, y, _ = a_frame()
    model = MLPClassifier(**SMALL).fit(frame[["city", "size"]], y)
    assert model.predict(frame[["city", "size"]]).shape == (60,)
    with pytest.raises(ValueError, match="feature"):
        model.predict(frame[["size", "city"]])
