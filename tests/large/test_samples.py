"""Samples as users give them: what a path, a frame, a map, a dataset or a Dask collection stands for, and what not."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from shiftfix.covariate import LogisticWeighter
from shiftfix.exceptions import PoorOverlapWarning, ShiftDataError
from shiftfix.label import BBSE
from shiftfix.large import StreamingBBSE, StreamingLogisticWeighter, read_manifest

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("polars")

RNG = np.random.default_rng(0)
SOURCE, TARGET = RNG.normal(0, 1, (2000, 2)), RNG.normal(0.5, 1, (1500, 2))
OTHER = RNG.normal(-1, 1, (2000, 2))
EXPECTED = LogisticWeighter(tol=1e-12).fit(SOURCE, TARGET)


def put(path, rows, names=("a", "b")):
    """A file of two columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(dict(zip(names, rows.T, strict=True))), path)
    return path


def fitted(source, target=TARGET, **settings):
    return StreamingLogisticWeighter(**settings).fit(source, target)


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_a_path_is_no_pattern_where_it_names_a_file(tmp_path, ending):
    named, like_it = tmp_path / "day[1]" / f"s[1] ä.{ending}", tmp_path / "day1" / f"s1 ä.{ending}"
    for path, rows in ((named, SOURCE), (like_it, OTHER)):
        path.parent.mkdir()
        table = pa.table({"a": rows[:, 0], "b": rows[:, 1]})
        if ending == "parquet":
            pq.write_table(table, path)
        else:
            with pa.ipc.new_file(path, table.schema) as file:
                file.write_table(table)
    target = put(tmp_path / "target.parquet", TARGET)
    assert_allclose(fitted(named, target).coef_, EXPECTED.coef_, rtol=1e-6)
    like_it.unlink()
    made = fitted(named.parent, target)
    assert_allclose(made.coef_, EXPECTED.coef_, rtol=1e-6)
    made.write_weights(named, tmp_path / "out", keep=["a"])
    assert_array_equal(pq.read_table(tmp_path / "out")["a"].to_numpy(), SOURCE[:, 0])


def test_columns_are_no_patterns(tmp_path):
    source, target = (put(tmp_path / f"{i}.parquet", rows, ("*", "^a.*$")) for i, rows in enumerate([SOURCE, TARGET]))
    assert_allclose(fitted(source, target).coef_, EXPECTED.coef_, rtol=1e-6)


@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
def test_columns_of_frames_are_no_patterns_and_one_of_a_name(library):
    names = ["z", "^a.*$", "*"]

    def frame(rows, names=names):
        columns = dict(zip(names, np.column_stack([rows[:, 0] ** 2, rows]).T, strict=True))
        return {"pandas": pd.DataFrame, "polars": pytest.importorskip("polars").DataFrame, "arrow": pa.table}[library](
            columns
        )

    made = fitted(frame(SOURCE), frame(TARGET), columns=names[1:])
    assert_allclose(made.coef_, EXPECTED.coef_, rtol=1e-6)
    assert_allclose(made.transform(frame(SOURCE)), EXPECTED.transform(SOURCE), rtol=1e-6)
    if library != "polars":  # which has no such frames
        twice = frame(SOURCE)
        twice = twice.set_axis(["a", "b", "b"], axis=1) if library == "pandas" else twice.rename_columns(list("abb"))
        with pytest.raises(ShiftDataError, match="several columns named 'b'"):
            fitted(twice, twice, columns=["b"])


def test_a_file_counts_once_by_whatever_names_it_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "s.parquet", SOURCE), put(tmp_path / "t.parquet", TARGET)
    made = fitted(["s.parquet", "./s.parquet", tmp_path / "s.parquet"], "t.parquet")
    assert made.n_source_ == 2000
    (tmp_path / "days").mkdir()
    (tmp_path / "days" / "s.parquet").symlink_to(tmp_path / "s.parquet")
    (tmp_path / "days" / "latest.parquet").symlink_to("s.parquet")
    for days in ("days", "days/*.parquet", ["days"]):
        assert fitted(days, "t.parquet").n_source_ == 2000
    for day in (1, 2):
        (tmp_path / "by_key" / f"day={day}").mkdir(parents=True)
        (tmp_path / "by_key" / f"day={day}" / "s.parquet").symlink_to(tmp_path / "s.parquet")
    assert fitted("by_key", "t.parquet", columns=["a", "b"]).n_source_ == 4000


def test_frames_with_numbers_for_names():
    source, target = pd.DataFrame(SOURCE), pd.DataFrame(TARGET)
    made = fitted(source, target)
    assert_allclose(made.transform(source), EXPECTED.transform(SOURCE), rtol=1e-6)
    assert_allclose(made.transform(source[[1, 0]]), made.transform(source))
    second = fitted(source, target, columns=["1"])
    assert_allclose(second.coef_, LogisticWeighter(tol=1e-12).fit(SOURCE[:, 1:], TARGET[:, 1:]).coef_, rtol=1e-6)


def test_arrow_tables(tmp_path):
    source, target = (pa.table({"a": rows[:, 0], "b": rows[:, 1]}) for rows in (SOURCE, TARGET))
    assert_allclose(fitted(source, target).coef_, EXPECTED.coef_, rtol=1e-6)
    assert_allclose(fitted(source, target, columns=["b", "a"]).coef_, EXPECTED.coef_[::-1], rtol=1e-6)


@pytest.mark.parametrize("change", ["of a map", "copy on write", "whole"])
def test_memory_maps_are_read_as_they_are_now(tmp_path, change):
    np.save(tmp_path / "s.npy", SOURCE)
    rows = np.load(tmp_path / "s.npy", mmap_mode="c" if change == "copy on write" else "r")
    if change == "of a map":
        rows = rows * 2 + 1
    elif change == "copy on write":
        rows *= 2
        rows += 1
    expected = EXPECTED if change == "whole" else LogisticWeighter(tol=1e-12).fit(SOURCE * 2 + 1, TARGET)
    assert_allclose(fitted(rows).coef_, expected.coef_, rtol=1e-6)


def test_arrow_datasets_stand_for_their_files_or_are_refused(tmp_path):
    import pyarrow.dataset as ds

    source, target = put(tmp_path / "s.parquet", SOURCE), put(tmp_path / "t.parquet", TARGET)
    assert_allclose(fitted(ds.dataset(source), ds.dataset(target)).coef_, EXPECTED.coef_, rtol=1e-6)
    some = ds.field("a") > 0
    for narrowed in (ds.dataset(source).filter(some), pq.ParquetDataset(source, filters=some)):
        with pytest.raises(ShiftDataError, match="The source is an Arrow dataset with a filter"):
            fitted(narrowed, target)
    with pytest.raises(ShiftDataError, match=r"whose columns \(\['a'\]\) are not those of its files"):
        fitted(ds.dataset(source, schema=pa.schema([("a", pa.float64())])), target, columns=["a"])


def test_types_that_no_reader_takes_are_refused_by_name(tmp_path):
    wide = pa.array([1, 2, 3], pa.decimal256(50, 2))
    pq.write_table(pa.table({"a": wide}), tmp_path / "s.parquet")
    with pytest.raises(ShiftDataError, match="Column 'a' holds decimal256"):
        fitted(tmp_path / "s.parquet", tmp_path / "s.parquet")


def test_dask_collections_that_cannot_be_cut_into_units():
    dask = pytest.importorskip("dask.array")
    frames = pytest.importorskip("dask.dataframe")
    known = dask.from_array(TARGET, chunks=(500, 2))
    assert_allclose(fitted(dask.from_array(SOURCE, chunks=(500, 2)), known).coef_, EXPECTED.coef_, rtol=1e-6)
    table = pd.DataFrame(TARGET, columns=["a", "b"])
    whole = frames.from_pandas(table, npartitions=2)
    for bad, message in ((known[:, known[0] > -9], "array of shape"), (known[:, 0], "Array"), (whole["a"], "Series")):
        with pytest.raises(ShiftDataError, match=f"The source is a Dask {message}"):
            fitted(bad, known)
    numbered = frames.from_pandas(table.set_axis([0, 1], axis=1), npartitions=2)
    source = frames.from_pandas(pd.DataFrame(SOURCE, columns=[0, 1]), npartitions=3)
    assert_allclose(fitted(source, numbered).coef_, EXPECTED.coef_, rtol=1e-6)
    dated = whole.assign(day=pd.Timestamp("2026-01-01"))
    with pytest.raises(ShiftDataError, match="Column 'day' of the source holds datetime64"):
        fitted(dated, whole, columns=["a", "day"])


@pytest.mark.slow
def test_a_cluster_in_hand():
    """Clients cannot be copied, and what is persisted lies on the cluster."""
    distributed = pytest.importorskip("distributed")
    dask = pytest.importorskip("dask.array")
    with distributed.Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as client:
        made = StreamingLogisticWeighter(0.5, engine="dask", scheduler=client)
        for weighter in (made, clone(made), StreamingBBSE(engine="dask", scheduler=client)):
            assert clone(weighter).scheduler is client
        assert clone(made).C == 0.5
        kept = dask.from_array(SOURCE, chunks=(500, 2)).persist()
        with pytest.raises(ShiftDataError, match="The source is persisted on a Dask cluster"):
            clone(made).fit(kept, dask.from_array(TARGET))
    with pytest.raises(ShiftDataError, match="scheduler=8786: an address"):
        fitted(SOURCE, engine="dask", scheduler=8786)


def test_sample_weights_of_files_that_cannot_be_counted(tmp_path):
    table = pa.table({"a": SOURCE[:, 0], "b": SOURCE[:, 1], "w": np.full(2000, 1e200)})
    pq.write_table(table, tmp_path / "s.parquet")
    target = put(tmp_path / "t.parquet", TARGET)
    with pytest.raises(ShiftDataError, match=r"s\.parquet, rows 0 to 2,000: the sample weights hold 1e\+200"):
        StreamingLogisticWeighter().fit(tmp_path / "s.parquet", target, sample_weight_source="w")


def test_values_that_vanish_when_squared_are_refused_as_in_memory():
    for made in (StreamingLogisticWeighter(), LogisticWeighter()):
        with pytest.raises(ShiftDataError, match="vanishes when squared"):
            made.fit(SOURCE * 1e-170, TARGET * 1e-170)


def test_a_checkpoint_is_of_the_rows_it_was_made_of(tmp_path):
    where = tmp_path / "state"
    fitted(SOURCE, checkpoint=where)
    assert_array_equal(fitted(OTHER, checkpoint=where).coef_, fitted(OTHER).coef_)
    counts = np.r_[np.ones(1000), np.zeros(1000)]
    made = StreamingLogisticWeighter(checkpoint=where).fit(OTHER, TARGET, sample_weight_source=counts)
    assert made.n_source_ == 1000
    np.save(tmp_path / "s.npy", SOURCE)
    fitted(np.load(tmp_path / "s.npy", mmap_mode="r"), checkpoint=where)
    np.save(tmp_path / "s.npy", OTHER)
    again = fitted(np.load(tmp_path / "s.npy", mmap_mode="r"), checkpoint=where)
    assert_allclose(again.coef_, fitted(OTHER).coef_, rtol=1e-9)
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    np.save(tmp_path / "mine.npy", SOURCE)
    np.savez(tmp_path / "mine.npz", SOURCE, np.array([{}], dtype=object))
    for mine in tmp_path.glob("mine.*"):
        before = mine.read_bytes()
        with pytest.raises(ShiftDataError, match=r"mine\.[a-z]+' is no state of a fit"):
            fitted(SOURCE, checkpoint=mine)
        assert mine.read_bytes() == before
    where.write_bytes(where.read_bytes()[:-30])
    assert_array_equal(fitted(SOURCE, checkpoint=where).coef_, fitted(SOURCE).coef_)


def test_what_is_written_through_a_map_is_noticed(tmp_path):
    rows = np.memmap(tmp_path / "s.bin", dtype=float, mode="w+", shape=SOURCE.shape)
    for values in (SOURCE, OTHER):
        rows[:] = values
        made = fitted(rows, checkpoint=tmp_path / "state")
        assert_allclose(made.coef_, fitted(values).coef_, rtol=1e-9)
        made = fitted(OTHER)
        made.write_weights(rows, tmp_path / "out")
        found = pq.read_table(tmp_path / "out")["weight"].to_numpy()
        assert_allclose(found, made.transform(values), rtol=1e-12)


def test_weights_follow_the_rows_that_are_given(tmp_path):
    source, target = put(tmp_path / "s.parquet", SOURCE), put(tmp_path / "t.parquet", TARGET)
    made = fitted(source, target)
    for rows in (SOURCE, OTHER):
        put(source, rows)
        made.write_weights(source, tmp_path / "of_files")
        made.write_weights(rows, tmp_path / "of_arrays")
        for folder in ("of_files", "of_arrays"):
            assert_allclose(pq.read_table(tmp_path / folder)["weight"].to_numpy(), made.transform(rows), rtol=1e-12)


def test_what_weights_would_replace_or_be_read_with_is_refused(tmp_path):
    source = put(tmp_path / "rows" / "weights-000000.parquet", SOURCE)
    made = fitted(tmp_path / "rows", put(tmp_path / "t.parquet", TARGET))
    before = source.read_bytes()
    with pytest.raises(ShiftDataError, match="holds the rows to be weighted"):
        made.write_weights(source, tmp_path / "rows")
    with pytest.raises(ShiftDataError, match="whose files are read"):
        made.write_weights(tmp_path / "rows", tmp_path / "rows" / "out")
    put(tmp_path / "mine" / "weights-000000.parquet", OTHER)
    with pytest.raises(ShiftDataError, match="was not written by write_weights"):
        made.write_weights(source, tmp_path / "mine")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "weights-000000.parquet").write_text("mine")
    with pytest.raises(ShiftDataError, match="was not written by write_weights"):
        made.write_weights(source, tmp_path / "text")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ShiftDataError, match="is a file"):
        made.write_weights(source, tmp_path / "file")
    assert source.read_bytes() == before
    made.write_weights(source, tmp_path / "out")
    (tmp_path / "out" / "_manifest.json").write_text("{")
    with pytest.raises(ShiftDataError, match="is damaged"):
        read_manifest(tmp_path / "out")


def test_columns_to_keep_have_one_type(tmp_path):
    for number, key in enumerate((np.arange(1000), np.array([f"k{j}" for j in range(1000)]))):
        table = pa.table({"key": key, "a": SOURCE[:1000, 0], "b": SOURCE[:1000, 1]})
        (tmp_path / "s").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "s" / f"{number}.parquet")
    made = fitted(tmp_path / "s", put(tmp_path / "t.parquet", TARGET), columns=["a", "b"])
    with pytest.raises(ShiftDataError, match=r"Column 'key' is string in .* and int64 in"):
        made.write_weights(tmp_path / "s", tmp_path / "out", keep=["key"])


def test_scores_of_frames_go_by_name():
    y = np.repeat([0, 1], 500)
    p, q = np.where(y, 0.7, 0.2), np.r_[np.full(900, 0.2), np.full(100, 0.8)]
    source, target = pd.DataFrame({"0": 1 - p, "1": p}), pd.DataFrame({"1": q, "0": 1 - q})
    expected = BBSE().fit(source, y, target[["0", "1"]]).target_prior_
    with pytest.raises(ShiftDataError, match=r"scores are \['0', '1'\], and those of the target's \['1', '0'\]"):
        StreamingBBSE().fit(source, target, label=y)
    assert_allclose(StreamingBBSE().fit(source, target, scores=["0", "1"], label=y).target_prior_, expected)
    swapped = StreamingBBSE(classes=[1, 0]).fit(source, target, scores=["1", "0"], label=y)
    assert_allclose(swapped.target_prior_, expected[::-1])
    with pytest.raises(ShiftDataError, match="source names the classes"):
        StreamingBBSE().fit(source[["1", "0"]], target, label=y)
    with pytest.raises(ShiftDataError, match="source names the classes"):
        StreamingBBSE().fit(pa.table({"1": p, "0": 1 - p}), pa.table({"1": q, "0": 1 - q}), label=y)
    with pytest.raises(ShiftDataError, match="is an array without names"):
        StreamingBBSE().fit(source.to_numpy(), target, scores=["0", "1"], label=y)


def optimum_apart(made, source, target, C):
    """Largest distance of the coefficients from the optimum, in standard errors, by Newton's steps in long double."""
    X = np.concatenate([source, target])
    sign = np.repeat([-1.0, 1.0], [len(source), len(target)])
    mean, scale, n = X.mean(axis=0), X.std(axis=0), len(X)
    Z = np.column_stack([np.ones(n), (X - mean) / scale]).astype(np.longdouble)
    ridge = np.diag(np.append(0.0, np.ones(X.shape[1]))) / (C * n)
    start = point = np.append(made.intercept_ + made.coef_ @ mean, made.coef_ * scale).astype(np.longdouble)
    for step in range(100):
        against = 1 / (1 + np.exp(sign * (Z @ point)))
        hessian = ((Z.T * (against * (1 - against))) @ Z / n + ridge).astype(float)
        if step == 0:
            errors = np.sqrt(np.diag(np.linalg.inv(hessian)) / n)
        point = point - np.linalg.solve(hessian, (ridge @ point - Z.T @ (sign * against) / n).astype(float))
    return float((np.abs(point - start)[1:] / errors[1:]).max())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("C", [1, 1e4, 1e8])
@pytest.mark.parametrize("shift", [1, 10, 100])
def test_how_far_the_optimum_is_told_where_samples_are_separable(C, shift):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        source, target = rng.normal(size=(400, 2)), rng.normal(size=(300, 2)) + np.array([shift, 0])
        made = StreamingLogisticWeighter(C)
        if shift > 1:
            with pytest.warns(PoorOverlapWarning):
                made.fit(source, target)
        else:
            made.fit(source, target)
        assert optimum_apart(made, source, target, C) <= max(1.5 * made.steps_left_, 1e-6)


def test_one_step_from_a_sample_tells_when_it_leads_nowhere():
    rng = np.random.default_rng(0)
    source = rng.normal(size=(3000, 2))
    target = source[::-1] + np.array([8, 0])
    made = StreamingLogisticWeighter(1e6, economical=True, warm_start_rows=600)
    with pytest.warns(ConvergenceWarning, match="inf standard errors"), pytest.warns(PoorOverlapWarning):
        made.fit(source, target)
    assert made.steps_left_ == np.inf


def test_a_warm_start_from_other_data_begins_anew():
    made = StreamingLogisticWeighter(warm_start=True).fit(SOURCE, TARGET)
    made.fit(SOURCE * 1e6, TARGET * 1e6)
    assert made.n_passes_ <= 6
    assert_allclose(made.coef_ * 1e6, EXPECTED.coef_, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")
@pytest.mark.parametrize("counted", [False, True])
def test_the_tail_of_the_weights_is_judged_as_in_memory(counted):
    """Weights near 1 and heavy tails: bins of the log weight would hide the shape of the one and tie the other."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        light = rng.standard_t(3, (20_000, 2)), rng.standard_t(3, (20_000, 2)) + 0.02
        heavy = rng.standard_cauchy((2000, 2)), rng.standard_cauchy((1500, 2)) + 0.3
        for source, target in (light, heavy):
            counts = {"sample_weight_source": rng.integers(0, 4, len(source)).astype(float)} if counted else {}
            settings = {"rows_per_unit": 3000}
            found = StreamingLogisticWeighter(**settings).fit(source, target, **counts).summary_
            expected = LogisticWeighter(tol=1e-10).fit(source, target, **counts).summary_
            assert found.pareto_k == pytest.approx(expected.pareto_k, abs=1e-3)
            assert found.verdict == expected.verdict.level
