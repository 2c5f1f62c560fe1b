"""Learners that take gaps, categories and text themselves get them as they are, wherever a learner can be given."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from shiftfix import load_model, save_model
from shiftfix.corrected import CovariateShiftClassifier, CovariateShiftRegressor, LabelShiftClassifier
from shiftfix.covariate import ClassifierWeighter, LogisticWeighter, TableColumns
from shiftfix.covariate._table_columns import check_raw_rows
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

GRADES = ["low", "middle", "high"]
CHANCE_SOURCE, CHANCE_TARGET = [0.6, 0.3, 0.1], [0.1, 0.3, 0.6]
RATIO = dict(zip(GRADES, np.divide(CHANCE_TARGET, CHANCE_SOURCE), strict=True))


def table(n_rows, chance, seed):
    """A frame with a category that moves, a number with gaps, and words."""
    rng = np.random.default_rng(seed)
    grade = rng.choice(GRADES, n_rows, p=chance)
    dose = np.where(rng.random(n_rows) < 0.2, np.nan, rng.normal(size=n_rows))
    words = np.where(grade == "high", "much more of it", "some of it")
    return pandas.DataFrame({"grade": grade, "dose": dose, "words": words})


SOURCE, TARGET = table(1500, CHANCE_SOURCE, 0), table(1200, CHANCE_TARGET, 1)
Y = np.random.default_rng(2).integers(0, 2, 1500)
NUMBERS = make_pipeline(SimpleImputer(), StandardScaler())


def encoder():
    return make_column_transformer((NUMBERS, ["dose"]), (OneHotEncoder(handle_unknown="ignore"), ["grade"]))


def as_categories(frame):
    return frame[["grade", "dose"]].astype({"grade": pandas.CategoricalDtype(GRADES)})


def codes(frame):
    return np.column_stack([frame["grade"].map(GRADES.index), frame["dose"]]).astype(float)


BOOSTING = HistGradientBoostingClassifier(
    learning_rate=0.5, max_iter=15, max_depth=2, random_state=0, categorical_features="from_dtype"
)
# name: learner, what it is given of a frame
LEARNERS = {
    "pipeline of a frame": (make_pipeline(encoder(), LogisticRegression(C=100)), lambda frame: frame),
    "pipeline of a polars frame": (make_pipeline(encoder(), LogisticRegression(C=100)), polars.from_pandas),
    "search of a pipeline": (
        GridSearchCV(make_pipeline(encoder(), LogisticRegression()), {"logisticregression__C": [1, 100]}, cv=2),
        lambda frame: frame,
    ),
    "words": (
        make_pipeline(
            make_column_transformer((TfidfVectorizer(), "words"), (OneHotEncoder(), ["grade"])),
            LogisticRegression(C=100),
        ),
        lambda frame: frame,
    ),
    "categories of a frame": (BOOSTING, as_categories),
    "gaps of an array": (
        HistGradientBoostingClassifier(learning_rate=0.5, max_iter=15, max_depth=2, random_state=0),
        codes,
    ),
    "gaps of a frame": (
        HistGradientBoostingClassifier(learning_rate=0.5, max_iter=15, max_depth=2, random_state=0),
        lambda frame: pandas.DataFrame(codes(frame)),
    ),
    "objects": (
        make_pipeline(make_column_transformer((OneHotEncoder(), [0])), LogisticRegression(C=100)),
        lambda frame: frame.to_numpy(object),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("cv", [None, 3])
@pytest.mark.parametrize("name", LEARNERS)
def test_a_classifier_weighter_finds_the_ratio_of_raw_rows(name, cv):
    """The grade alone moves, so the ratio is 1/6, 1 or 6. Over 10 seeds right programs missed by .25
    of it at most; allowed: .4."""
    learner, of = LEARNERS[name]
    weighter = ClassifierWeighter(learner, cv=cv, random_state=0).fit(of(SOURCE), of(TARGET))
    truth = SOURCE["grade"].map(RATIO).to_numpy()
    found = np.exp(weighter.log_ratio(of(SOURCE)))
    for grade in GRADES:
        here = (SOURCE["grade"] == grade).to_numpy()
        assert np.median(found[here]) == pytest.approx(truth[here][0], rel=0.4)
        assert np.median(weighter.source_weights_[here]) == pytest.approx(truth[here][0], rel=0.4)
    assert np.isfinite(weighter.summary_.effective_size)


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_corrected_estimators_take_what_their_learner_takes(name):
    learner, of = LEARNERS[name]
    counts = np.arange(1500) % 3
    for weighter in (None, ClassifierWeighter(learner, cv=2, random_state=0)):
        model = CovariateShiftClassifier(learner, weighter, exponent=1.0, on_abstain="correct", random_state=0)
        model.fit(of(SOURCE), Y, X_target=of(TARGET), sample_weight=counts)
        assert model.predict_proba(of(TARGET)).shape == (1200, 2)
        high = (SOURCE["grade"] == "high").to_numpy()
        assert model.weights_[high].mean() > 3 * model.weights_[~high].mean()
    model = LabelShiftClassifier(learner, random_state=0, cv=2).fit(of(SOURCE), Y, X_target=of(TARGET))
    assert_allclose(np.exp(model.predict_log_proba(of(TARGET))), model.predict_proba(of(TARGET)))


@pytest.mark.slow
def test_regressors_too():
    for learner, of in (
        (make_pipeline(encoder(), Ridge()), lambda f: f),
        (HistGradientBoostingRegressor(max_iter=10, random_state=0), codes),
    ):
        model = CovariateShiftRegressor(learner, exponent="cv", cv=2, random_state=0)
        model.fit(of(SOURCE), Y * 1.0, X_target=of(TARGET))
        assert np.isfinite(model.predict(of(TARGET))).all()


@pytest.mark.parametrize("learner", [None, LogisticRegression(), MLPClassifier()])
def test_learners_that_take_numbers_only_are_told_so(learner):
    for rows in (SOURCE, codes(SOURCE)):
        with pytest.raises(ShiftDataError, match=r"encode categories|SimpleImputer"):
            ClassifierWeighter(learner).fit(rows, rows)


def test_infinity_is_no_gap():
    rows = codes(SOURCE)
    rows[4, 1] = np.inf
    with pytest.raises(ShiftDataError, match="infinity in column 1"):
        ClassifierWeighter(HistGradientBoostingClassifier(random_state=0)).fit(rows, codes(TARGET))


@pytest.mark.slow
def test_rows_without_names_are_those_of_the_frame():
    """Fitted on a frame, asked of an array: the same columns, by their places."""
    weighter = ClassifierWeighter(HistGradientBoostingClassifier(max_iter=10, random_state=0), cv=2, random_state=0)
    frame = pandas.DataFrame(codes(SOURCE), columns=["a", "b"])
    weighter.fit(frame, pandas.DataFrame(codes(TARGET), columns=["a", "b"]))
    assert_array_equal(weighter.transform(frame), weighter.transform(codes(SOURCE)))


def test_table_columns_say_what_they_are():
    frame = pandas.DataFrame({"grade": ["low", "high", None, "low"], "dose": [1.0, np.nan, 3, 2]})
    made = TableColumns().fit(frame)
    assert made.get_feature_names_out().tolist() == [
        "grade=low",
        "grade=high",
        "grade is missing",
        "dose",
        "dose is missing",
    ]
    assert made.transform(frame).tolist() == [[1, 0, 0, 1, 0], [0, 1, 0, 2, 1], [0, 0, 1, 3, 0], [1, 0, 0, 2, 0]]
    unseen = pandas.DataFrame({"grade": ["other"], "dose": [0.5]})
    assert made.transform(unseen).tolist() == [[0, 0, 0, 0.5, 0]]


@pytest.mark.slow
def test_numbers_declared_to_be_categories_are_names():
    """Codes of which only the middle one moves: no line through them fits, and as categories they do. The true ratio is
    9, and with C = 100 the estimate misses by .15 of it at most over ten seeds; the line says 1.0."""
    rng = np.random.default_rng(0)
    codes = [rng.choice([1, 2, 3], 2000, p=chance) for chance in ([0.45, 0.1, 0.45], [0.05, 0.9, 0.05])]
    source, target = (pandas.DataFrame({"zip": pandas.Categorical(code)}) for code in codes)
    weighter = LogisticWeighter(C=100, features=TableColumns()).fit(source, target)
    assert sorted(weighter.transformer_.names_) == ["zip=1", "zip=2", "zip=3"]
    assert np.exp(weighter.log_ratio(source))[codes[0] == 2] == pytest.approx(9, rel=0.4)
    learner = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    model = CovariateShiftClassifier(learner, on_abstain="correct").fit(source, codes[0] % 2, X_target=target)
    assert isinstance(model.weighter_.transformer_, TableColumns)


def test_a_gap_does_not_make_other_categories_of_the_numbers():
    """With a gap pandas makes floats of integers: 1.0 is still 1, and so is a number that no frame declares."""
    made = TableColumns().fit(pandas.DataFrame({"zip": pandas.Categorical([1, 2, 2])}))
    assert made.names_ == ["zip=2", "zip=1"]
    for column in (pandas.Categorical([1.0, np.nan, 2.0]), [1.0, np.nan, 2.0], ["1", None, "2"]):
        assert made.transform(pandas.DataFrame({"zip": column})).tolist() == [[0, 1], [0, 0], [1, 0]]


def test_table_columns_take_the_columns_they_were_fitted_to():
    made = TableColumns().fit(pandas.DataFrame({"dose": [1.0, 2], "grade": ["low", "high"]}))
    for rows, message in (
        (pandas.DataFrame({"grade": ["low"], "dose": [1.0]}), "in another order"),
        (pandas.DataFrame({"dose": [1.0], "age": [3]}), "lacks \\['grade'\\] and adds \\['age'\\]"),
        (np.ones((2, 3)), "has 3 columns"),
        (pandas.DataFrame({"dose": ["much"], "grade": ["low"]}), "'much' in column 'dose', which held numbers"),
        (pandas.DataFrame({"dose": [np.inf], "grade": ["low"]}), "infinity in column 'dose'"),
        (np.ones((2, 2)) * 1j, "complex numbers"),
        (np.array([[np.complex128(1j), "low"]], dtype=object), "complex numbers"),
    ):
        with pytest.raises(ShiftDataError, match=message):
            made.transform(rows)
    with pytest.raises(NotFittedError):
        TableColumns().transform(np.ones((2, 2)))


@pytest.mark.slow
def test_many_numbers_are_not_read_one_by_one():
    """A pipeline may read anything, and an array of floats holds no objects: 40 MB of numbers take no more than a few
    times as much. As objects they take some 200 MB more."""
    X = np.random.default_rng(0).normal(size=(250_000, 20))
    tracemalloc.start()
    rows = check_raw_rows(X, "X")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert_array_equal(rows, X)
    assert peak < 3.5 * X.nbytes


@pytest.mark.slow
def test_summaries_are_of_the_columns_that_were_made():
    weighter = ClassifierWeighter(BOOSTING, random_state=0).fit(as_categories(SOURCE), as_categories(TARGET))
    assert np.isfinite(weighter.summary_.effective_size)
    assert LogisticWeighter(features=TableColumns()).fit(SOURCE, TARGET).coef_.shape == (7,)


@pytest.mark.slow
def test_class_weights_name_every_class():
    """A label that no row has is no error, as for scikit-learn; one without a weight is."""
    X, y = codes(SOURCE)[:200, :1], Y[:200]
    plain = MLPClassifier((4,), max_epochs=2, random_state=0).fit(X, y).predict_proba(X)
    of_another_fold = MLPClassifier((4,), max_epochs=2, random_state=0, class_weight={0: 1.0, 1: 1.0, 7: 3.0}).fit(X, y)
    assert_array_equal(of_another_fold.predict_proba(X), plain)
    weighted = MLPClassifier((4,), max_epochs=2, random_state=0, class_weight={0: 2.0, 1: 1.0}).fit(X, y)
    assert not np.array_equal(weighted.predict_proba(X), plain)
    for weights in ({0: 2.0}, {0: 2.0, 7: 1.0}, {}):
        with pytest.raises(ShiftDataError, match=r"no weight for \[.*1\].*Name every class"):
            MLPClassifier((4,), max_epochs=2, class_weight=weights).fit(X, y)


@pytest.mark.parametrize("make", [lambda: MLPClassifier((4,), max_epochs=2, random_state=0)])
def test_networks_have_log_probabilities(make):
    X = codes(SOURCE)[:200, :1]
    model = make().fit(X, Y[:200])
    assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))


DATES = {
    "seconds": lambda dates: dates.astype("datetime64[s]"),
    "nanoseconds": lambda dates: dates.astype("datetime64[ns]"),
    "time zone": lambda dates: dates.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
    "datetimes": lambda dates: pandas.Series(dates.dt.to_pydatetime(), dtype=object),
}


@pytest.mark.parametrize("kind", DATES)
def test_dates_are_days_in_whatever_unit_a_sample_counts_them(kind):
    """One sample in microseconds and the other in another unit: as if both held days, with a gap in either."""
    hours = [np.random.default_rng(seed).integers(0, 2400, 400).astype(float) + 300 * seed for seed in (0, 1)]
    stamps = [pandas.Series(pandas.Timestamp("2023-01-01") + pandas.to_timedelta(h, unit="h")) for h in hours]
    stamps = [dates.astype("datetime64[us]").where(hour != hour[0]) for dates, hour in zip(stamps, hours, strict=True)]
    days = [(dates - pandas.Timestamp(0)) / pandas.Timedelta("1D") for dates in stamps]
    weighter = LogisticWeighter(features=TableColumns())
    told = weighter.fit(*(pandas.DataFrame({"stamp": dates}) for dates in days)).source_weights_
    mixed = pandas.DataFrame({"stamp": stamps[0]}), pandas.DataFrame({"stamp": DATES[kind](stamps[1])})
    assert_allclose(weighter.fit(*mixed).source_weights_, told, rtol=1e-6)
    assert np.corrcoef(hours[0], np.log(told))[0, 1] > 0.9


@pytest.mark.slow
def test_a_model_with_the_default_weighter_of_raw_rows_goes_to_a_file_and_back(tmp_path):
    pytest.importorskip("skops")
    learner = make_pipeline(encoder(), LogisticRegression())
    model = CovariateShiftClassifier(learner, on_abstain="correct").fit(SOURCE, Y, X_target=TARGET)
    assert isinstance(model.weighter_.transformer_, TableColumns)
    save_model(model, tmp_path / "model.skops")
    again = load_model(tmp_path / "model.skops")
    assert_array_equal(again.predict_proba(TARGET), model.predict_proba(TARGET))
    assert_allclose(again.weighter_.transform(SOURCE), model.weighter_.transform(SOURCE))
