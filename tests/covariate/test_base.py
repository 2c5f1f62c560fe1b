"""What the base class does for every weighter, and what it asks of a new one."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

from shiftfix import _validation
from shiftfix.covariate import KLIEP, KMM, ClassifierWeighter, LogisticWeighter
from shiftfix.covariate._base import BaseWeighter, FittedRatio
from shiftfix.exceptions import PoorOverlapWarning, ShiftDataError, UncalibratedRatioWarning
from tests.registry import KERNEL_WEIGHTERS, SQUARES_WEIGHTERS, WEIGHTERS

RNG = np.random.default_rng(0)
X_SOURCE, X_TARGET = RNG.normal(0, 1, (120, 2)), RNG.normal(0.3, 1, (100, 2))
COUNTS = RNG.integers(0, 3, 120).astype(float)
EVERY = WEIGHTERS | KERNEL_WEIGHTERS | SQUARES_WEIGHTERS
every_weighter = pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in EVERY.items()])
SMALL_SAMPLES = pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")


class Tilt(BaseWeighter):
    """Ratio exp(slope x - slope^2 / 2) of N(0, 1) to N(slope, 1), the slope the difference of the means."""

    def __init__(self, clip=None, min_ess=100, normalize="mean"):
        self.clip = clip
        self.min_ess = min_ess
        self.normalize = normalize

    def _fit_log_ratio(self, X_source, X_target, counts_source, counts_target):
        means = [np.average(X[:, 0], weights=c) for X, c in ((X_source, counts_source), (X_target, counts_target))]
        self.slope_ = means[1] - means[0]
        log_ratios = self._log_ratio(X_source), self._log_ratio(X_target)
        return FittedRatio(*log_ratios, counts_source.sum(), counts_target.sum())

    def _log_ratio(self, X):
        return self.slope_ * X[:, 0] - self.slope_**2 / 2


def test_a_method_is_two_functions():
    X_source, X_target = np.random.default_rng(1).normal([[0], [0.5]], 1, (2, 4000))[..., np.newaxis]
    weighter = Tilt().fit(X_source, X_target)
    w = weighter.source_weights_
    assert w.mean() == pytest.approx(1)
    assert np.average(X_source[:, 0], weights=w) == pytest.approx(0.5, abs=0.1)
    assert (weighter.n_source_, weighter.n_target_, weighter.summary_.verdict) == (4000, 4000, "ok")


@pytest.mark.slow
@SMALL_SAMPLES
@every_weighter
@pytest.mark.parametrize("counts", [None, COUNTS], ids=["whole", "counts of 0"])
def test_every_weighter_keeps_the_weights_of_its_rows(make, counts):
    """To the last digit those of ``transform``, unless they are out of fold; also of rows that do not count."""
    weighter = make()
    found = weighter.fit_transform(X_SOURCE, X_TARGET, sample_weight_source=counts)
    assert np.array_equal(found, weighter.source_weights_)
    assert not np.shares_memory(found, weighter.source_weights_)
    again = weighter.transform(X_SOURCE)
    if getattr(weighter, "cross_fitted_", False):
        assert not np.allclose(again, found)
    elif isinstance(weighter, ClassifierWeighter):
        assert_allclose(again, found, rtol=1e-12)
    else:
        assert np.array_equal(again, found)
    if counts is not None:
        assert_allclose(again[counts == 0], found[counts == 0], rtol=1e-12)


def repeated_rows(counts, **samples):
    """Both samples, the rows of the one that ``counts`` speaks of written out."""
    return {
        name: np.repeat(X, counts.astype(int), axis=0) if len(X) == len(counts) else X for name, X in samples.items()
    }


@pytest.mark.slow
@SMALL_SAMPLES
@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("name", WEIGHTERS | KERNEL_WEIGHTERS)
def test_a_row_that_counts_several_times_is_as_many_rows(name, side):
    """Rows to the right count up to four times, which moves the sample by half a deviation. The log ratio at five
    points agrees to rounding; where folds part the copies, to .15. Counts that are not heeded miss by .17 (KMM) or
    more, where folds part the copies by .79 or more."""
    samples = {"X_source": X_SOURCE, "X_target": X_TARGET}
    counts = np.clip(np.round(2 + 1.5 * samples[f"X_{side}"][:, 0]), 0, 4)
    points = np.column_stack([np.linspace(-1, 1, 5), np.zeros(5)])
    weighted = EVERY[name]().fit(**samples, **{f"sample_weight_{side}": counts})
    repeated = EVERY[name]().fit(**repeated_rows(counts, **samples)).log_ratio(points)
    parted = getattr(weighted, "cross_fitted_", False) or name == "logistic, everything chosen"
    assert_allclose(weighted.log_ratio(points), repeated, atol=0.25 if parted else 1e-6)
    assert np.abs(repeated - EVERY[name]().fit(**samples).log_ratio(points)).max() > (0.7 if parted else 0.15)


@SMALL_SAMPLES
@pytest.mark.parametrize("unit", [1e200, 1e300])
@pytest.mark.parametrize("name", [name for name in WEIGHTERS | KERNEL_WEIGHTERS if "classifier" not in name])
def test_values_that_overflow_say_what_to_do(name, unit):
    """Never a NaN. What a classifier of the user's makes of them is its own affair."""
    with pytest.raises(ShiftDataError, match="rescale the column"):
        EVERY[name]().fit(X_SOURCE * unit, X_TARGET * unit)


def test_a_ratio_that_is_no_number_is_refused():
    class Careless(Tilt):
        def _log_ratio(self, X):
            return super()._log_ratio(X) * np.where(X[:, 0] > 1, np.nan, 1.0)

    lost = (X_SOURCE[:, 0] > 1).sum() + (X_TARGET[:, 0] > 1).sum()
    with pytest.raises(ShiftDataError, match=rf"log ratio of {lost} rows is no number"):
        Careless().fit(X_SOURCE, X_TARGET)


@pytest.mark.slow
@SMALL_SAMPLES
@every_weighter
@pytest.mark.parametrize("clip", ["sqrt", "ess", "pareto"])
def test_a_fit_checks_its_data_once(make, clip, monkeypatch):
    """Two vectors of counts, and nothing that was made of them."""
    checked, check_vector = [], _validation.check_vector

    def spy(values, name, *arguments, **options):
        checked.append(name)
        return check_vector(values, name, *arguments, **options)

    monkeypatch.setattr(_validation, "check_vector", spy)
    make(clip=clip, min_ess=0.5).fit(X_SOURCE, X_TARGET, sample_weight_source=COUNTS, sample_weight_target=np.ones(100))
    assert checked == ["sample_weight_source", "sample_weight_target"]


@pytest.mark.slow
@every_weighter
@SMALL_SAMPLES
def test_a_fit_that_fails_leaves_the_estimator_as_it_was(make):
    """Out of reach of ``clip="ess"``, which is known only when all else has been learned."""
    weighter = make(clip="ess", min_ess=1e6)
    before = dict(vars(weighter))
    with pytest.raises(ShiftDataError, match="min_ess"):
        weighter.fit(X_SOURCE, X_TARGET)
    assert vars(weighter) == before
    weighter.set_params(min_ess=0.5).fit(X_SOURCE, X_TARGET).set_params(min_ess=1e6)
    before = dict(vars(weighter))
    with pytest.raises(ShiftDataError, match="min_ess"):
        weighter.fit(X_TARGET, X_SOURCE)
    assert vars(weighter).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(weighter).items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "category"),
    [
        (lambda: LogisticWeighter(max_iter=1), ConvergenceWarning),
        (lambda: KLIEP(max_iter=1), ConvergenceWarning),
        (lambda: KMM(max_iter=1), ConvergenceWarning),
        (LogisticWeighter, PoorOverlapWarning),
        (lambda: ClassifierWeighter(cv=None), UncalibratedRatioWarning),
        (lambda: ClassifierWeighter(cv=None), PoorOverlapWarning),
    ],
)
def test_warnings_point_at_the_line_that_fits(make, category):
    far = np.add(X_SOURCE, [10, 0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make().fit(X_SOURCE, X_TARGET if category is ConvergenceWarning else far)
        make().fit_transform(X_SOURCE, X_TARGET if category is ConvergenceWarning else far)
    found = [warning for warning in caught if warning.category is category]
    assert [warning.filename for warning in found] == [__file__] * 2
