"""StreamingLogisticWeighter against LogisticWeighter in memory, whose solver has tests of its own."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

from shiftfix.covariate import LogisticWeighter
from shiftfix.exceptions import PoorOverlapWarning, ShiftDataError
from shiftfix.large import StreamingLogisticWeighter
from shiftfix.weights import effective_sample_size

pytest.importorskip("polars")
pytest.importorskip("pyarrow")

NAMES = ["a", "b", "c", "d"]


def two_samples(seed=0, sizes=(6000, 4000), shift=0.4):
    rng = np.random.default_rng(seed)
    mix = np.eye(4) + 0.4 * np.tri(4, k=-1)
    X, X_target = (rng.normal(size=(n, 4)) @ mix for n in sizes)
    return X, X_target + shift * np.array([1, -0.5, 0, 0.3])


X, X_TARGET = two_samples()
IN_MEMORY = LogisticWeighter(tol=1e-13).fit(X, X_TARGET)


def write_files(folder, X, groups, row_group=500, **columns):
    """Rows as Parquet files of these lengths."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    ends = np.cumsum(groups)
    assert ends[-1] == len(X)
    for i, (start, end) in enumerate(zip(ends - groups, ends, strict=True)):
        table = pa.table({name: X[start:end, j] for j, name in enumerate(NAMES[: X.shape[1]])})
        for name, values in columns.items():
            table = table.append_column(name, pa.array(values[start:end]))
        pq.write_table(table, folder / f"part-{i:02d}.parquet", row_group_size=row_group)
    return folder


def apart(made, reference=IN_MEMORY):
    """Largest difference of the coefficients, in standard errors."""
    return np.max(np.abs(made.coef_ - reference.coef_) / made.standard_errors_)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Files of very unequal sizes, one of them empty."""
    where = tmp_path_factory.mktemp("samples")
    return write_files(where / "source", X, [4000, 0, 3, 1997]), write_files(where / "target", X_TARGET, [100, 3900])


@pytest.mark.parametrize("settings", [{}, {"rows_per_unit": 701}, {"warm_start_rows": 2000}], ids=str)
def test_the_optimum_weights_and_verdict_are_those_in_memory(settings):
    """A right program misses by 1e-6 standard errors at most (its tol); here 1e-8."""
    made = StreamingLogisticWeighter(**settings).fit(X, X_TARGET)
    assert apart(made) < 1e-6
    assert made.steps_left_ <= 1e-6
    assert made.gradient_norm_ < 1e-5  # before the last step
    assert_allclose(made.transform(X), IN_MEMORY.source_weights_, rtol=1e-7)
    assert_allclose(made.log_ratio(X), IN_MEMORY.log_ratio(X), rtol=0, atol=1e-7)
    assert (made.n_source_, made.n_target_) == (6000, 4000)
    ours, theirs = made.summary_, IN_MEMORY.summary_
    assert ours.verdict == theirs.verdict
    assert ours.effective_size == pytest.approx(theirs.effective_size, rel=1e-5)
    assert ours.effective_size == pytest.approx(effective_sample_size(made.transform(X)), rel=1e-5)
    # Its standard error is .08 at this tail; bins move it by an eighth of that.
    assert ours.pareto_k == pytest.approx(theirs.pareto_k, abs=0.03)
    assert ours.domain_auc == pytest.approx(theirs.domain_auc, abs=1e-5)
    assert ours.raw_mean == pytest.approx(theirs.raw_mean, rel=1e-6)
    assert ours.max_weight == pytest.approx(theirs.max_weight, rel=3e-3)
    assert ours.target_outside_share == pytest.approx(theirs.target_outside_share)
    assert ours.target_lost_mass == pytest.approx(theirs.target_lost_mass, abs=1e-5)


def test_the_balance_is_that_of_the_rows():
    from shiftfix.weights import balance_table

    made = StreamingLogisticWeighter(rows_per_unit=999).fit(X, X_TARGET)
    table = balance_table(X, X_TARGET, made.transform(X), squares=False)
    for name in ("source_mean", "weighted_mean", "target_mean", "scale", "before", "after", "se_before", "se_after"):
        assert_allclose(getattr(made.balance_, name), getattr(table, name), rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_what_is_left_is_told(seed):
    """Also where the last step was not measured; among 48 fits the truth was at most what was told."""
    source, target = two_samples(seed, (6000, 4000), 0.4 + 0.2 * seed)
    for rows in (0, 2000):
        made = StreamingLogisticWeighter(warm_start_rows=rows).fit(source, target)
        reference = LogisticWeighter(tol=1e-14).fit(source, target)
        assert apart(made, reference) <= 1.01 * made.steps_left_ + 1e-10
        assert made.log_mean_ == pytest.approx(reference.log_mean_, abs=1e-6)


def test_standard_errors_are_those_of_the_information():
    """Of one column and an intercept, the inverse of a 2 x 2 matrix written out."""
    made = StreamingLogisticWeighter(np.inf).fit(X[:, :1], X_TARGET[:, :1])
    z = np.append(X[:, 0], X_TARGET[:, 0])
    p = 1 / (1 + np.exp(-(made.intercept_ + made.coef_[0] * z)))
    w = p * (1 - p)
    variance = w.sum() / (w.sum() * (w * z**2).sum() - (w * z).sum() ** 2)
    # The Hessian is that of the pass before the last two, some standard errors away.
    assert made.standard_errors_[0] == pytest.approx(np.sqrt(variance), rel=1e-3)


@pytest.mark.parametrize("clip", ["99%", "ess", "pareto", 2.0, None])
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")
def test_every_clip_is_that_in_memory(clip):
    """Percentiles, effective sizes and tails are found in bins of 0.4%; of a smoothed tail two weights miss by 2.5%."""
    source, target = two_samples(3, shift=1.0)
    made = StreamingLogisticWeighter(clip=clip, min_ess=2000).fit(source, target)
    reference = LogisticWeighter(clip=clip, min_ess=2000, tol=1e-12).fit(source, target)
    assert made.log_clip_ == pytest.approx(reference.log_clip_, abs=4e-3)
    assert_allclose(made.transform(source), reference.source_weights_, rtol=5e-2 if clip == "pareto" else 1e-2)
    assert made.transform(source).mean() == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_files_folders_patterns_and_lists_are_one_sample(folders):
    source, target = folders
    made = StreamingLogisticWeighter(rows_per_unit=1500).fit(source, str(target / "*.parquet"))
    again = StreamingLogisticWeighter(rows_per_unit=1500).fit(sorted(source.glob("*.parquet")), target)
    assert apart(made) < 1e-6
    assert np.array_equal(made.coef_, again.coef_)
    assert made.feature_names_in_.tolist() == NAMES
    assert made.summary_.verdict == IN_MEMORY.summary_.verdict


@pytest.mark.slow
def test_an_arrow_dataset_and_arrow_files(folders, tmp_path):
    import pyarrow as pa
    import pyarrow.dataset as ds

    source, target = folders
    table = ds.dataset(target).to_table()
    with pa.ipc.new_file(tmp_path / "target.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=700)
    made = StreamingLogisticWeighter().fit(ds.dataset(source), tmp_path / "target.arrow")
    assert apart(made) < 1e-6


@pytest.mark.slow
def test_columns_of_folders(tmp_path):
    """Hive's folders: a column that is constant within a file."""
    day = np.repeat([1.0, 2.0, 3.0], 500)
    for value in (1, 2, 3):
        write_files(tmp_path / "source" / f"day={value}", X[:1500][day == value][:, :2], [500])
        kept = X_TARGET[:1500][day == value][: 150 * value, :2]
        write_files(tmp_path / "target" / f"day={value}", kept, [150 * value])
    made = StreamingLogisticWeighter(columns=["day", "a", "b"]).fit(tmp_path / "source", tmp_path / "target")
    table = np.column_stack([day, X[:1500, :2]])
    table_target = np.vstack([np.column_stack([day, X_TARGET[:1500, :2]])[day == v][: int(150 * v)] for v in (1, 2, 3)])
    reference = LogisticWeighter(tol=1e-13).fit(table, table_target)
    assert apart(made, reference) < 1e-6


@pytest.mark.slow
def test_a_memory_map_is_read_where_it_lies(tmp_path):
    for name, rows in (("source", X), ("target", X_TARGET)):
        stored = np.memmap(tmp_path / name, dtype="float32", mode="w+", shape=rows.shape)
        stored[:] = rows
        stored.flush()
    maps = [np.memmap(tmp_path / n, dtype="float32", mode="r").reshape(-1, 4) for n in ("source", "target")]
    whole = [np.memmap(tmp_path / n, dtype="float32", mode="r", shape=(len(m), 4)) for n, m in
             zip(("source", "target"), maps, strict=True)]  # fmt: skip
    made = StreamingLogisticWeighter(rows_per_unit=1000).fit(*whole)
    reference = LogisticWeighter(tol=1e-13).fit(
        X.astype("float32").astype(float), X_TARGET.astype("float32").astype(float)
    )
    assert apart(made, reference) < 1e-6


def test_a_memory_map_travels_as_a_path(tmp_path):
    import pickle

    from shiftfix.large._sources import make_plan

    stored = np.memmap(tmp_path / "rows", dtype="float64", mode="w+", shape=(20_000, 4))
    units = make_plan((stored, stored), None, (None, None), 5000).units
    assert max(len(pickle.dumps(unit)) for unit in units) < 1000


@pytest.mark.slow
def test_dask_collections_by_their_pieces():
    dask_array = pytest.importorskip("dask.array")
    pieces = [dask_array.from_array(rows, chunks=(1700, -1)) for rows in (X, X_TARGET)]
    made = StreamingLogisticWeighter(warm_start_rows=1000).fit(*pieces)
    assert apart(made) < 1e-6
    with pytest.raises(ShiftDataError, match="rechunk"):
        StreamingLogisticWeighter().fit(pieces[0].rechunk({1: 2}), pieces[1])


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1, 0.1], ids=["counts", "shares"])
def test_sample_weights_are_repeat_counts(tmp_path, scale):
    rng = np.random.default_rng(1)
    counts = [rng.integers(0, 4, len(rows)).astype(float) for rows in (X, X_TARGET)]
    repeated = [np.repeat(rows, c.astype(int), axis=0) for rows, c in zip((X, X_TARGET), counts, strict=True)]
    weights = [c * scale for c in counts]
    keywords = dict(zip(("sample_weight_source", "sample_weight_target"), weights, strict=True))
    reference = LogisticWeighter(tol=1e-13).fit(X, X_TARGET, **keywords)
    made = StreamingLogisticWeighter(warm_start_rows=900).fit(X, X_TARGET, **keywords)
    source = write_files(tmp_path / "source", X, [5000, 1000], weight=weights[0])
    target = write_files(tmp_path / "target", X_TARGET, [4000], weight=weights[1])
    of_files = StreamingLogisticWeighter(columns=NAMES).fit(
        source, target, sample_weight_source="weight", sample_weight_target="weight"
    )
    for fitted in (made, of_files):
        assert apart(fitted, reference) < 1e-6
        assert_allclose(fitted.transform(X), reference.source_weights_, rtol=1e-6)
        assert fitted.summary_.effective_size == pytest.approx(reference.summary_.effective_size, rel=1e-5)
    if scale == 1:
        assert apart(made, LogisticWeighter(tol=1e-13).fit(*repeated)) < 1e-6


def test_seconds_since_1970():
    """An offset of 1e5 standard deviations: scikit-learn's lbfgs stops at once on it."""
    source, target = X.copy(), X_TARGET.copy()
    for rows in (source, target):
        rows[:, 0] = 1.7e9 + 1e4 * rows[:, 0]
    made = StreamingLogisticWeighter().fit(source, target)
    assert_allclose(made.coef_ * [1e4, 1, 1, 1], IN_MEMORY.coef_, rtol=1e-6)
    assert_allclose(made.transform(source), IN_MEMORY.source_weights_, rtol=1e-6)


def test_collinear_and_constant_columns():
    """The ridge shares a coefficient among equal columns; a constant has none."""
    wide = [np.column_stack([rows, rows[:, 0], np.full(len(rows), 1.7e9 + 0.1)]) for rows in (X, X_TARGET)]
    made = StreamingLogisticWeighter().fit(*wide)
    reference = LogisticWeighter(tol=1e-13).fit(*wide)
    assert_allclose(made.coef_[[0, 4]], reference.coef_[[0, 4]], rtol=1e-6)
    assert made.coef_[0] == pytest.approx(made.coef_[4], rel=1e-9)
    assert abs(made.coef_[5]) < 1e-30
    assert_allclose(made.transform(wide[0]), reference.source_weights_, rtol=1e-6)


@pytest.mark.slow
def test_values_at_the_end_of_the_range_are_not_outside():
    """Of two levels, and of a constant that is rounded when its mean is taken off, in several units."""
    flags = [(rows > 0.3).astype(float) * 0.1 + 0.7 for rows in (X, X_TARGET)]
    made = StreamingLogisticWeighter(rows_per_unit=501).fit(*flags)
    assert made.summary_.target_outside_share == 0
    constant = [np.column_stack([rows, np.full(len(rows), 1.7e9 + 0.1)]) for rows in (X, X_TARGET)]
    made = StreamingLogisticWeighter(rows_per_unit=501, warm_start_rows=1000).fit(*constant)
    assert abs(made.coef_[4]) < 1e-30
    assert_allclose(made.coef_[:4], IN_MEMORY.coef_, rtol=1e-6)


def test_separable_samples_have_the_penalised_answer_and_a_warning():
    rng = np.random.default_rng(0)
    source, target = rng.uniform(0, 1, (500, 2)), rng.uniform([1.5, 0], [2.5, 1], (500, 2))
    with pytest.warns(PoorOverlapWarning):
        made = StreamingLogisticWeighter().fit(source, target)
    with pytest.warns(PoorOverlapWarning):
        reference = LogisticWeighter(tol=1e-12).fit(source, target)
    assert_allclose(made.coef_, reference.coef_, rtol=1e-5)
    assert np.isfinite(made.transform(source)).all()
    with pytest.warns(ConvergenceWarning, match="standard errors"), pytest.warns(PoorOverlapWarning):
        StreamingLogisticWeighter(max_passes=4).fit(source, target)


@pytest.mark.slow
def test_one_pass_tells_its_error():
    """Of 20 draws the error was below what is told in all, by a factor of 8 at least."""
    for seed in range(3):
        source, target = two_samples(seed, (20_000, 20_000))
        made = StreamingLogisticWeighter(economical=True, warm_start_rows=4000).fit(source, target)
        full = StreamingLogisticWeighter(tol=1e-9).fit(source, target)
        assert made.n_passes_ == 1
        assert apart(made, full) < made.steps_left_ < 1


def test_a_second_fit_begins_at_the_first():
    made = StreamingLogisticWeighter(warm_start=True).fit(X, X_TARGET)
    first = made.n_passes_
    assert made.fit(X, X_TARGET).n_passes_ < first
    assert apart(made) < 1e-6


def test_columns_beyond_newtons(monkeypatch):
    """The Hessian of a sample serves to the end."""
    import shiftfix.large._fit as fit

    monkeypatch.setattr(fit, "NEWTON_COLUMNS", 2)
    made = StreamingLogisticWeighter(warm_start_rows=1500, tol=1e-7).fit(X, X_TARGET)
    assert apart(made) < 1e-6


class Interrupted(SystemExit):
    pass


@pytest.mark.slow
def test_a_fit_that_was_stopped_goes_on_to_the_same_last_bit(folders, tmp_path):
    settings = {"rows_per_unit": 900, "tol": 1e-9}
    whole = StreamingLogisticWeighter(**settings).fit(*folders)

    def stop(number, done, of):
        if number == 3 and done == 2:
            raise Interrupted

    stopped = StreamingLogisticWeighter(checkpoint=tmp_path / "state", **settings)
    with pytest.raises(Interrupted):
        stopped.fit(*folders, progress=stop)
    assert not hasattr(stopped, "coef_")
    passes = []
    resumed = stopped.fit(*folders, progress=lambda number, done, of: passes.append(number))
    assert min(passes) == 3
    assert np.array_equal(resumed.coef_, whole.coef_)
    assert resumed.log_mean_ == whole.log_mean_
    # Of other data it is none.
    other = StreamingLogisticWeighter(checkpoint=tmp_path / "state", **settings).fit(folders[1], folders[0])
    assert_allclose(other.coef_, -whole.coef_, rtol=1e-6)


def test_a_fit_that_fails_leaves_the_estimator_as_it_was(folders):
    made = StreamingLogisticWeighter().fit(X, X_TARGET)
    before = dict(vars(made))
    bad = X.copy()
    bad[77, 2] = np.inf
    with pytest.raises(ShiftDataError):
        made.fit(bad, X_TARGET)
    assert vars(made) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"C": 0}, "C=0"),
        ({"tol": 0}, "tol=0"),
        ({"engine": "spark"}, "engine='spark'"),
        ({"engine": 3}, "engine is a int"),
        ({"economical": True}, "warm_start_rows"),
        ({"clip": "much"}, "clip='much'"),
        ({"columns": "a"}, "columns='a'"),
        ({"rows_per_unit": 0}, "rows_per_unit=0"),
    ],
    ids=str,
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ShiftDataError, match=message):
        StreamingLogisticWeighter(**settings).fit(X, X_TARGET)


def test_other_columns_are_refused():
    made = StreamingLogisticWeighter().fit(X, X_TARGET)
    with pytest.raises(ShiftDataError, match="columns"):
        StreamingLogisticWeighter().fit(X, X_TARGET[:, :3])
    with pytest.raises(ShiftDataError, match="3 columns"):
        made.transform(X[:, :3])
