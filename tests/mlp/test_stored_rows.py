"""Rows that are read by blocks: memory maps larger than a window, and Parquet files."""

import functools

import numpy as np
import pytest
import torch

from shiftfix.exceptions import MissingDependencyError, ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor, ParquetRows, WeightedTrainer, _storage
from shiftfix.mlp._training import _stored_rows
from shiftfix.mlp._training._stored_rows import BlockCache, StoredRows, block_order

SETTINGS = {"max_epochs": 2, "batch_size": 16, "random_state": 0}


@pytest.fixture
def small(monkeypatch):
    """Windows of 120 numbers, blocks of 30."""
    monkeypatch.setattr(_stored_rows, "WINDOW_NUMBERS", 120)
    monkeypatch.setattr(_stored_rows, "BLOCK_NUMBERS", 30)
    monkeypatch.setattr(_storage, "BLOCK_NUMBERS", 30)


def numbers(n_rows=100, n_columns=3):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_columns)).astype(np.float32)
    return X, (X[:, 0] > 0).astype(int), rng.exponential(size=n_rows)


def mapped(folder, X):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


def orders(starts, n_rows, most, n_models=1):
    return block_order(np.array(starts), n_rows, most, [torch.Generator().manual_seed(k) for k in range(n_models)])


def test_an_order_by_blocks_takes_each_row_once_and_a_window_at_a_time():
    starts = [0, 10, 10, 25, 40, 41, 60, 80, 85]  # one is empty
    order = orders(starts, 100, 40).numpy()
    assert sorted(order) == list(range(100))
    block = np.searchsorted(starts, order, side="right") - 1
    changes = [sorted(set(block[:cut]) & set(block[cut:])) for cut in range(1, 100)]
    assert sum(not shared for shared in changes) >= 1  # a cut that no block reaches over
    assert len({tuple(orders(starts, 100, 40).tolist()), tuple(order.tolist())}) == 1


def test_models_read_the_same_blocks_at_a_time():
    order = orders(np.arange(0, 200, 10), 200, 40, n_models=3).numpy()
    assert order.shape == (3, 200)
    assert (np.sort(order, axis=1) == np.arange(200)).all()
    for start in range(0, 200, 40):
        window = np.sort(order[:, start : start + 40] // 10, axis=1)
        assert (window == window[0]).all()
    assert not np.array_equal(order[0], order[1])


@pytest.mark.parametrize("position", [0, 57, 99])
def test_every_row_is_equally_likely_at_every_place(position):
    """Of 2,000 orders, the mean place of a row has a standard error of .65."""
    generator = torch.Generator().manual_seed(1)
    starts = np.arange(0, 100, 10)
    places = [int((block_order(starts, 100, 40, [generator]) == position).nonzero()) for _ in range(2000)]
    assert abs(np.mean(places) - 49.5) < 3
    assert abs(np.std(places) - 28.9) < 2


class Counting:
    """A storage of blocks of 10 rows that counts what is read."""

    def __init__(self, n_rows, width):
        self.table = np.arange(n_rows * width, dtype=np.float64).reshape(n_rows, width)
        self.shape, self.dtype, self.regular = self.table.shape, self.table.dtype, 10
        self.starts, self.read = np.arange(0, n_rows, 10), []

    def block(self, place):
        self.read.append(place)
        return self.table[self.starts[place] :][:10].copy()


def test_rows_are_those_asked_for_and_each_block_is_read_once_an_epoch(small):
    storage = Counting(200, 3)
    rows = StoredRows(BlockCache(storage), finish=torch.as_tensor)
    order = orders(storage.starts, 200, 40)
    found = torch.cat([rows.index_select(0, part) for part in order.split(16)])
    np.testing.assert_array_equal(found.numpy(), storage.table[order.numpy()])
    assert sorted(storage.read) == list(range(20))
    assert sum(map(len, rows.cache.kept.values())) <= 40


def test_some_rows_of_a_storage_are_cut_as_an_array_is(small):
    storage = Counting(200, 3)
    rows, table = StoredRows(BlockCache(storage)), storage.table
    index = np.array([3, 50, 51, 120, 199, 7])
    assert rows[index].shape == (6, 3)
    np.testing.assert_array_equal(rows[index][1:4], table[index][1:4])
    np.testing.assert_array_equal(rows[index][np.array([2, 0])][:], table[[51, 3]])
    np.testing.assert_array_equal(rows[np.arange(200) % 2 == 0][:], table[::2])
    np.testing.assert_array_equal(np.concatenate(list(rows[np.arange(30)].split([12, 18]))), table[:30])
    sorted_rows = rows[np.arange(0, 200, 2)]
    np.testing.assert_array_equal(sorted_rows.starts, np.arange(0, 100, 5))
    assert rows[np.arange(40)].starts is None  # they fit one window
    assert not torch.equal(rows.parts()[0], sorted_rows.parts()[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        functools.partial(MLPClassifier, (4,), n_models=1),
        functools.partial(MLPRegressor, (4,), n_models=2, early_stopping=False),
        functools.partial(WeightedTrainer, torch.nn.Linear(3, 2)),
    ],
    ids=["classifier", "regressor", "trainer"],
)
def test_what_is_mapped_and_fits_a_window_is_as_in_memory(make, tmp_path):
    X, y, w = numbers()
    found, expected = (make(**SETTINGS).fit(rows, y, w) for rows in (mapped(tmp_path, X), X))
    for name, value in expected.module_.state_dict().items():
        assert torch.equal(found.module_.state_dict()[name], value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["map", "parquet"])
@pytest.mark.parametrize("weighting", ["loss", "resample"])
def test_full_batches_make_the_model_that_rows_in_memory_make(small, kind, weighting, tmp_path):
    """The order of the rows does not matter then, but for rounding; nor do rows of weight 0, which are left out."""
    X, y, w = numbers()
    w[::7] = 0
    settings = {
        "weighting": weighting,
        "max_epochs": 4 if weighting == "loss" else 1,
        "batch_size": None,
        "early_stopping": False,
        "random_state": 0,
        "n_models": 1,
        "dropout": 0.0,
    }
    expected = MLPClassifier((4,), **settings).fit(X, y, w)
    stored = mapped(tmp_path, X) if kind == "map" else written(tmp_path, X, y, w)
    found = MLPClassifier((4,), **settings).fit(stored, y, w)
    for name, value in expected.module_.state_dict().items():
        torch.testing.assert_close(found.module_.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.predict_proba(stored), expected.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(found.scaler_.mean_, expected.scaler_.mean_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.scaler_.scale_, expected.scaler_.scale_, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.int16])
def test_rows_of_few_bits_are_scaled_as_an_array_of_them_is(dtype, small, tmp_path):
    """The sum of a column, of its squares and the distance of two values all are beyond either type."""
    X, y, _ = numbers(4000)
    X[:, 1] = np.where(X[:, 1] > -1, 30_000, -32_000)
    stored = mapped(tmp_path, (X * [100, 1, 100]).astype(dtype))
    settings = SETTINGS | {"batch_size": None, "early_stopping": False, "n_models": 1, "dropout": 0.0}
    found, expected = (MLPClassifier((4,), **settings).fit(rows, y) for rows in (stored, np.array(stored)))
    np.testing.assert_allclose(found.scaler_.mean_, expected.scaler_.mean_, rtol=1e-12)
    np.testing.assert_allclose(found.scaler_.scale_, expected.scaler_.scale_, rtol=1e-12)
    np.testing.assert_allclose(found.predict_proba(stored), expected.predict_proba(np.array(stored)), atol=1e-6)
    np.testing.assert_array_equal(found.predict_proba(stored), found.predict_proba(np.array(stored)))


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["loss", "resample"])
def test_stored_rows_are_learned_from_with_early_stopping_and_a_checkpoint(small, weighting, tmp_path):
    X, y, w = numbers(300)
    rows = written(tmp_path, X, y, w)
    settings = {"max_epochs": 6, "batch_size": 32, "learning_rate": 0.03, "random_state": 0, "weighting": weighting}
    make = functools.partial(MLPClassifier, (8,), n_models=1, early_stopping=True, **settings)
    through = make().fit(rows, rows.column("label"), rows.column("weight"))
    assert through.score(rows, y) > 0.9
    half = make(checkpoint=tmp_path / "run").set_params(max_epochs=3)
    half.fit(rows, y, w)
    resumed = make(checkpoint=tmp_path / "run", resume=True).fit(rows, y, w)
    for name, value in through.module_.state_dict().items():
        assert torch.equal(resumed.module_.state_dict()[name], value)
    other = written(tmp_path / "other", X + 1, y, w)
    with pytest.raises(ShiftDataError, match="other rows"):
        make(checkpoint=tmp_path / "run", resume=True).fit(other, y, w)


@pytest.mark.slow
def test_a_module_takes_images_and_whole_numbers_from_a_map(small, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 4, 4)).astype(np.uint8)
    words = mapped(tmp_path, rng.integers(0, 5, (60, 2)))
    with torch.random.fork_rng():
        net = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Flatten(), torch.nn.Linear(6, 2))
        flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
    trainer = WeightedTrainer(net, **SETTINGS).fit(words, np.arange(60) % 2)
    assert trainer.predict_outputs(words).shape == (60, 2)
    pixels = mapped(tmp_path, images.astype(np.float64) / 255)
    settings = SETTINGS | {"batch_size": None, "early_stopping": False}
    found, expected = (WeightedTrainer(flat, **settings).fit(X, np.arange(60) % 2) for X in (pixels, np.array(pixels)))
    np.testing.assert_allclose(found.predict_outputs(pixels), expected.predict_outputs(pixels), atol=1e-6)


def written(folder, X, y, w, rows_per_group=7):
    """ParquetRows of two files of small row groups, whose columns stand in another order."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    folder.mkdir(exist_ok=True)
    names = [f"x{k}" for k in range(X.shape[1])]
    table = pyarrow.table({"label": y, **dict(zip(names[::-1], X.T[::-1], strict=True)), "weight": w})
    half = len(y) // 3
    parquet.write_table(table.slice(0, half), folder / "a.parquet", row_group_size=rows_per_group)
    parquet.write_table(table.slice(half), folder / "b.parquet", row_group_size=rows_per_group)
    return ParquetRows(folder, names)


def test_parquet_files_are_read_by_row_groups(tmp_path):
    X, y, w = numbers(40)
    rows = written(tmp_path, X, y, w)
    assert (rows.shape, rows.dtype, len(rows), len(rows.files)) == ((40, 3), np.float32, 40, 2)
    np.testing.assert_array_equal(rows.starts, [0, 7, 13, 20, 27, 34])
    np.testing.assert_array_equal(np.concatenate([rows.block(k) for k in range(6)]), X)
    np.testing.assert_array_equal(rows.column("label"), y)
    np.testing.assert_array_equal(rows.column("weight"), w)
    again = ParquetRows([tmp_path / "b.parquet", str(tmp_path / "a*.parquet")], ["x1", "weight"])
    assert again.dtype == np.float64
    np.testing.assert_array_equal(again.column("label"), np.r_[y[13:], y[:13]])


def test_names_of_columns_are_those_of_the_features(tmp_path):
    X, y, w = numbers(40)
    rows = written(tmp_path, X, y, w)
    model = MLPClassifier((2,), n_models=1, **SETTINGS).fit(rows, y)
    assert model.feature_names_in_.tolist() == ["x0", "x1", "x2"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(ParquetRows(tmp_path, ["x1", "x0", "x2"]))
    with torch.random.fork_rng():
        net = torch.nn.Linear(3, 2)
    trainer = WeightedTrainer(net, **SETTINGS).fit(rows, y)
    assert trainer.feature_names_in_.tolist() == ["x0", "x1", "x2"]


def test_what_cannot_be_read(tmp_path, monkeypatch):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"x": [1.0, None, 2.0], "t": ["a", "b", "c"], "z": [1.0, np.inf, 2.0]})
    parquet.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "b.txt").write_text("no")
    twice = tmp_path / "twice.pq"
    columns = [pyarrow.array([1.0, 2.0]), pyarrow.array([3.0, 4.0]), pyarrow.array([0, 1])]
    parquet.write_table(pyarrow.Table.from_arrays(columns, names=["x", "x", "y"]), twice)
    np.testing.assert_array_equal(ParquetRows(twice, ["y"]).column("y"), [0, 1])  # the others need not be one
    y = np.array([0, 1, 0])
    for call, words in [
        (lambda: ParquetRows(tmp_path / "none*", ["x"]), "names no Parquet file"),
        (lambda: ParquetRows(3, ["x"]), "path=3"),
        (lambda: ParquetRows(tmp_path, "x"), "a list of names"),
        (lambda: ParquetRows(tmp_path, ["x", "x"]), "each once"),
        (lambda: ParquetRows(tmp_path, ["x", "q"]), "has no column 'q'"),
        (lambda: ParquetRows(tmp_path, ["t"]), "'t' of .* is of type string"),
        (lambda: ParquetRows(twice, ["y", "x"]), "has 2 columns 'x'"),
        (lambda: ParquetRows(twice, ["y"]).column("x"), "has 2 columns 'x'"),
        (lambda: ParquetRows(tmp_path / "b.txt", ["x"]), "cannot be read as Parquet"),
        (lambda: ParquetRows(tmp_path, ["z"]).column("q"), "has no column 'q'"),
        (lambda: MLPClassifier((2,)).fit(ParquetRows(tmp_path, ["x"]), y), "'x' of .* has 1 missing values"),
        (lambda: MLPClassifier((2,)).fit(ParquetRows(tmp_path, ["z"]), y), "contains inf in column 'z', row 1"),
        (lambda: MLPClassifier((2,)).fit(ParquetRows(tmp_path, ["z"]), None), "y is None"),
    ]:
        with pytest.raises(ShiftDataError, match=words):
            call()
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"shiftfix\[large\]"):
        ParquetRows(tmp_path, ["x"])


def test_a_map_is_checked(small, tmp_path):
    X, y, _ = numbers()
    X[70, 2] = np.nan
    with pytest.raises(ShiftDataError, match="contains nan in column 2, row 70"):
        MLPClassifier((2,), n_models=1, **SETTINGS).fit(mapped(tmp_path, X), y)
    with pytest.raises(ShiftDataError, match="2D array"):
        MLPClassifier((2,), n_models=1, **SETTINGS).fit(mapped(tmp_path, X.ravel()), np.arange(300) % 2)
    X[70, 2] = 1e30
    with pytest.raises(ShiftDataError, match="column 2"):
        MLPClassifier((2,), n_models=1, **SETTINGS).fit(mapped(tmp_path, X.astype(float) ** 9), y)
    X, _, _ = numbers()
    X = X.astype(float) * [1, 1e-170, 1]
    with pytest.raises(ShiftDataError, match=r"of column 1 differ by .*e-170 at most, which vanishes when squared"):
        MLPClassifier((2,), n_models=1, **SETTINGS).fit(mapped(tmp_path, X), y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        MLPClassifier((2,), n_models=1, **SETTINGS).fit(mapped(tmp_path, np.ones((100, 3))), y[:99])


def test_a_preset_is_refused_for_what_is_read_by_blocks(small, tmp_path):
    """Its scales are medians and quantiles of all rows; several networks, which need none, are trained."""
    X, y, w = numbers()
    rows = written(tmp_path, X, y, w)
    with pytest.raises(ShiftDataError, match=r"preset='tabular' learns medians and quantiles .* np\.array\(X\)"):
        MLPClassifier((2,), preset="tabular").fit(rows, y)
    assert MLPClassifier((2,), n_models=2, max_epochs=1, random_state=0).fit(rows, y).n_models_ == 2


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_blocks_of_a_map_are_read_again_as_they_were(mode, tmp_path):
    """Pages are given back after each block; what was written to a map of its own copy stays."""
    np.save(tmp_path / "rows.npy", np.arange(60_000.0).reshape(20_000, 3))
    rows = np.load(tmp_path / "rows.npy", mmap_mode=mode)
    if mode != "r":
        rows[7] = -1
    expected = np.array(rows)
    for part in (rows, rows[5:]):
        storage = _storage.MemoryMap(part)
        for _ in range(2):
            blocks = [storage.block(place) for place in range(len(storage.starts))]
            np.testing.assert_array_equal(np.concatenate(blocks), expected[len(expected) - len(part) :])
