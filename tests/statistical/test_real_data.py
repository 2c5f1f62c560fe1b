"""Real data with published or experimental answers."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from shiftfix.corrected import CovariateShiftRegressor, LabelShiftClassifier
from shiftfix.covariate import ClassifierWeighter, LogisticWeighter
from shiftfix.exceptions import LabelShiftRejectedWarning, PoorOverlapWarning
from shiftfix.label import BBSE, MLLS, adjust_proba, label_shift_test
from shiftfix.mlp import MLPClassifier
from shiftfix.simulate import exponential_tilt, label_shift, tweak_one_prior
from shiftfix.weights import balance_table
from tests.conftest import SHARED_DATA


@pytest.mark.parametrize(
    ("prior", "least"),
    [(BBSE(), 0.965), (BBSE("hard"), 0.965), (MLLS("none", n_bootstrap=0), 0.985), (MLLS(n_bootstrap=0), 0.992)],
    ids=["soft", "hard", "MLLS uncalibrated", "MLLS"],
)
def test_cifar10_scores_of_a_real_network(load_real, prior, least):
    """1,000 label-shifted rows: .707 unadjusted; .988 with soft and .976 with hard BBSE, .993 with MLLS, .991 without
    calibration. Nothing is random, and the true shares give .993."""
    data = load_real("cifar10_label_shift_predictions")
    prior = clone(prior).fit(data.scores_source, data.y_source, data.scores_target)
    accuracy = lambda scores: np.mean(scores.argmax(axis=1) == data.y_target)  # noqa: E731
    assert accuracy(data.scores_target) == pytest.approx(0.707)
    assert accuracy(prior.adjust_proba(data.scores_target)) >= least
    truth = np.bincount(data.y_target, minlength=10) / len(data.y_target)
    error = np.sqrt(np.diag(prior.prior_covariance_))
    assert (np.abs(prior.target_prior_ - truth) < 4 * error + 0.005).all()


def test_fashion_mnist_when_nine_of_ten_are_shirts(load_real):
    """Network 784-256-256-10, dropout .5, on a balanced 3,000-row source; 90% of the target are class 6.

    Required: 20 points above uncorrected and within 4 of the true prior's. Measured over four seeds of data and
    network: 34 to 48 points above, and 0.9 to 1.3 below.
    """
    data = load_real("fashion_mnist")
    rng = np.random.default_rng(0)
    source = np.concatenate([rng.permutation(np.flatnonzero(data.target == k))[:300] for k in range(10)])
    target_prior = tweak_one_prior(10, 6, 0.9)
    shirts = label_shift(
        data.data_held_out,
        data.target_held_out,
        target_prior,
        n_target=1000,
        source_prior=np.full(10, 0.1),
        n_source=100,
        random_state=0,
    )
    X_target, y_target = shirts.X_target, shirts.y_target
    steps = {"learning_rate": 1e-3, "batch_size": 256, "max_epochs": 15, "early_stopping": False}
    network = MLPClassifier((256, 256), dropout=0.5, standardize=False, random_state=0, **steps)
    model = LabelShiftClassifier(network, cv=3, random_state=0)
    model.fit(data.data[source], data.target[source], X_target=X_target)
    scores = model.estimator_.predict_proba(X_target)
    uncorrected = np.mean(scores.argmax(axis=1) == y_target)
    corrected = model.score(X_target, y_target)
    oracle = np.mean(adjust_proba(scores, model.source_prior_, target_prior).argmax(axis=1) == y_target)
    assert corrected >= uncorrected + 0.20
    assert corrected >= oracle - 0.04


def test_fashion_mnist_beyond_a_linear_model(load_real):
    """Network 784-256-256-10, dropout .5 after both layers, on 4,000 images, tested on 10,000.

    Required: .825. Measured over three seeds: .8314 to .8359; logistic regression reaches .8064 and is to be left
    behind. One standard error of the test is .004, but the test is always the same.
    """
    data = load_real("fashion_mnist")
    network = MLPClassifier(
        (256, 256), dropout=0.5, schedule="cosine", max_epochs=30, standardize=False, random_state=0
    )
    network.fit(data.data[:4000], data.target[:4000])
    assert network.score(data.data_held_out, data.target_held_out) >= 0.825


def real_folder(name):
    """Where data without a card lie; the test is skipped when they are nowhere."""
    homes = [Path(home) for home in (os.environ.get("SHIFTFIX_DATA"), SHARED_DATA) if home]
    folder = next((home / name for home in homes if (home / name).is_dir()), None)
    if folder is None:
        pytest.skip(f"the {name} data are in none of {', '.join(map(str, homes))}")
    return folder


def with_zero_earnings(X):
    """The eight covariates and Dehejia & Wahba's indicators of no earnings in 1974 and 1975."""
    return np.column_stack([X, X[:, 6] == 0, X[:, 7] == 0])


def test_lalonde_survey_weighted_to_the_trial(load_real):
    """CPS mean re78 14,847 dollars, NSW controls 4,555: the weighted survey comes within 600 (measured 5,083; the
    corrected line 4,890), with 241 effective rows and the verdict "caution", since the survey hardly holds such
    people."""
    data = load_real("lalonde")
    assert data.y_source.mean() == pytest.approx(14846.66, abs=0.01)
    assert data.y_target.mean() == pytest.approx(4554.80, abs=0.01)
    weighter = LogisticWeighter().fit(with_zero_earnings(data.X_source), with_zero_earnings(data.X_target))
    w = weighter.transform(with_zero_earnings(data.X_source))
    assert np.average(data.y_source, weights=w) == pytest.approx(data.y_target.mean(), abs=600)
    assert weighter.summary_.verdict == "caution"
    assert 100 < weighter.summary_.effective_size < 500
    survey = CovariateShiftRegressor(LinearRegression(), exponent=1.0).fit(
        with_zero_earnings(data.X_source), data.y_source, X_target=with_zero_earnings(data.X_target)
    )
    assert survey.predict(with_zero_earnings(data.X_target)).mean() == pytest.approx(data.y_target.mean(), abs=1000)


@pytest.mark.parametrize("seed", range(5))
def test_airfoil_tilt_is_recovered(load_real, seed):
    """beta = (-1, 0, 0, 0, 1) on the log columns: correlation of the log weights at least .98 (measured .9895 to
    .9992 over eight seeds)."""
    data = load_real("airfoil", log_columns=True)
    problem = exponential_tilt(data.data, data.target, [-1, 0, 0, 0, 1], random_state=seed)
    weighter = LogisticWeighter().fit(problem.X_source, problem.X_target)
    found = weighter.log_ratio(problem.X_source)
    truth = np.log(problem.source_weights)
    assert np.corrcoef(found, truth)[0, 1] >= 0.98
    assert np.polyfit(truth, found, 1)[0] == pytest.approx(1, abs=0.4)


def test_wine_red_to_white_is_refused():
    """No overlap (domain AUC .996, 2.1 effective rows, Pareto k 2.5): the verdict is to abstain, and the fit is the
    unweighted one."""
    folder = real_folder("wine_quality")
    red, white = (np.loadtxt(folder / f"winequality-{color}.csv", delimiter=",") for color in ("red", "white"))
    with pytest.warns(PoorOverlapWarning, match="fitted without weights"):
        model = CovariateShiftRegressor(LinearRegression()).fit(red[:, :11], red[:, 11], X_target=white[:, :11])
    assert model.summary_.verdict == "abstain"
    assert model.summary_.domain_auc > 0.99
    assert_allclose(
        model.predict(white[:, :11]), LinearRegression().fit(red[:, :11], red[:, 11]).predict(white[:, :11])
    )


def inland_to_coast(data, seed):
    """4,000 inland and 2,000 coastal blocks: six features each, and the prices in dollars.

    Without longitude and latitude, which tell the coast from inland by themselves.
    """
    rng = np.random.default_rng(seed)
    source = rng.choice(len(data.X_source), 4000, replace=False)
    target = rng.choice(len(data.X_target), 2000, replace=False)
    X_source, X_target = data.X_source[source, 2:], data.X_target[target, 2:]
    middle = np.nanmedian(np.vstack([X_source, X_target]), axis=0)
    X_source, X_target = (np.where(np.isnan(X), middle, X) for X in (X_source, X_target))
    return X_source, data.y_source[source], X_target, data.y_target[target]


def worst_difference(X_source, X_target, weights):
    """Largest absolute standardised mean difference before and after weighting."""
    table = balance_table(X_source, X_target, weights, squares=False)
    return np.abs(table.before).max(), np.abs(table.after).max()


@pytest.mark.parametrize("seed", range(3))
def test_california_linear_weights_are_refused(load_real, seed):
    """Room counts have long tails and the ratio is not log-linear in them: the verdict on the default weights is to
    abstain, and the fit is the unweighted one.

    Measured over 20 draws: always abstain; 12 to 128 effective rows of 4,000; the worst standardised difference rises
    from .49 to .55 before weighting to .91 to 2.2 after.
    """
    X_source, y_source, X_target, _ = inland_to_coast(load_real("california_housing"), seed)
    with pytest.warns(PoorOverlapWarning, match="fitted without weights"):
        model = CovariateShiftRegressor(LinearRegression()).fit(X_source, y_source, X_target=X_target)
    assert model.summary_.verdict == "abstain"
    before, after = worst_difference(X_source, X_target, model.weighter_.transform(X_source))
    assert after > before
    unweighted = LinearRegression().fit(X_source, y_source)
    assert_allclose(model.predict(X_target), unweighted.predict(X_target))


@pytest.mark.parametrize("seed", range(3))
def test_california_balance_does_not_repair_a_label_shift(load_real, seed):
    """Weights of a cross-fitted boosting balance the six features, and still close a third of the price gap only.

    A coastal block costs more than an inland block with the same features, so p(y given x) moves as well, and no weight
    of x repairs that. The shift is nearly one of the price class: class shares repair far more of the accuracy.

    Measured over 20 draws: verdict ok, 1,440 to 1,810 effective rows; worst standardised difference .49 to .55
    before, .08 to .11 after, .74 to .88 with inverted weights; .31 to .35 of the price gap closed; mean error of the
    line -88,000 to -82,000 dollars before, -76,000 to -67,000 after; accuracy .71 to .75 before, .77 to .81 after
    (.05 to .08 gained), .91 to .94 with the class shares (.13 to .16 above the weights), .93 to .94 for calling every
    block expensive.
    """
    X_source, y_source, X_target, y_target = inland_to_coast(load_real("california_housing"), seed)
    boosting = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8)
    weighter = ClassifierWeighter(boosting, random_state=0)
    w = weighter.fit_transform(X_source, X_target)
    assert weighter.summary_.verdict == "ok"
    assert 1200 < weighter.summary_.effective_size < 2200
    before, after = worst_difference(X_source, X_target, w)
    _, inverted = worst_difference(X_source, X_target, 1 / w)
    assert before > 0.45
    assert after < 0.16
    assert inverted > before

    gap = y_target.mean() - y_source.mean()
    assert 0.25 < (np.average(y_source, weights=w) - y_source.mean()) / gap < 0.42
    line = LinearRegression().fit(X_source, y_source, sample_weight=w)
    assert line.predict(X_target).mean() - y_target.mean() < -50_000

    cut = np.median(y_source)
    label, truth = (y_source > cut).astype(int), (y_target > cut).astype(int)
    learner = make_pipeline(StandardScaler(), LogisticRegression())
    plain = learner.fit(X_source, label).score(X_target, truth)
    weighted = learner.fit(X_source, label, logisticregression__sample_weight=w).score(X_target, truth)
    with pytest.warns(LabelShiftRejectedWarning, match="corrected all the same"):
        by_class = LabelShiftClassifier(learner, causes="label", random_state=0).fit(X_source, label, X_target)
    assert weighted > plain + 0.02
    assert by_class.score(X_target, truth) > weighted + 0.06
    # Calling every coastal block expensive is as good: the class shares are most of what there is to know.
    assert by_class.score(X_target, truth) < truth.mean() + 0.02


BOOSTING = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, random_state=0)


def label_shift_repair(learner, X_source, y_source, X_target, y_target, seed):
    """Accuracy before, after and with the true shares; error of the estimated share; p-value of label shift.

    Nothing without labels tells these shifts from those a correction would harm: they are refused, unless it is known
    that y causes x. The test gets a model of half the source rows, and the scores of the other half.
    """
    with pytest.warns(LabelShiftRejectedWarning, match="corrected all the same"):
        model = LabelShiftClassifier(learner, causes="label", random_state=seed).fit(X_source, y_source, X_target)
    assert model.verdict_ == "caution"
    scores = model.estimator_.predict_proba(X_target)
    truth = np.array([np.mean(y_target == 0), np.mean(y_target == 1)])
    best = adjust_proba(scores, model.source_prior_, truth).argmax(axis=1)
    half = clone(learner).fit(X_source[::2], y_source[::2])
    outcome = label_shift_test(
        half.predict_proba(X_source[1::2]), y_source[1::2], half.predict_proba(X_target), random_state=seed
    )
    accuracies = [np.mean(found == y_target) for found in (scores.argmax(axis=1), model.predict(X_target), best)]
    return *accuracies, model.target_prior_[1] - truth[1], outcome.p_value


@pytest.fixture(scope="module")
def adult():
    """Eleven features without the education; incomes above 50,000 dollars; years of education."""
    pandas = pytest.importorskip("pandas")
    folder = real_folder("adult")
    names = (
        "age workclass fnlwgt education years marital occupation relationship race sex gain loss hours country income"
    )
    parts = [
        pandas.read_csv(folder / f"adult-{part}.csv.gz", header=None, names=names.split(), skipinitialspace=True)
        for part in ("train", "test")
    ]
    table = pandas.concat(parts, ignore_index=True)
    rich = table["income"].str.startswith(">").to_numpy().astype(int)
    return table.drop(columns=["fnlwgt", "education", "years", "income"]), rich, table["years"].to_numpy()


@pytest.mark.parametrize("seed", range(3))
def test_adult_school_to_degree(adult, seed):
    """Schooled to at most a high-school diploma, used on degrees: told that y causes x, the correction repairs nearly
    what the true shares do, though label shift holds only partly.

    Measured over ten draws: accuracy .65 to .70 before, .78 to .81 after (.09 to .16 gained), from .002 above to .011
    below the true shares; share of high incomes .13 in the source, about .48 in the target, estimated .02 too low to
    .11 too high; p-values of the label shift test at most .01 in nine draws and .52 in one.
    """
    X, rich, years = adult
    rng = np.random.default_rng(seed)
    source = rng.choice(np.flatnonzero(years <= 9), 4000, replace=False)
    target = rng.choice(np.flatnonzero(years >= 13), 2000, replace=False)
    text = X.select_dtypes(exclude="number").columns.tolist()
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    learner = make_pipeline(make_column_transformer((codes, text), remainder="passthrough"), BOOSTING)
    before, after, best, error, _ = label_shift_repair(
        learner, X.iloc[source], rich[source], X.iloc[target], rich[target], seed
    )
    assert after > before + 0.06
    assert after > best - 0.03
    assert abs(error) < 0.2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("direction", ["inland to coast", "coast to inland"])
def test_california_class_shares(load_real, direction, seed):
    """Prices above the source's median, longitude and latitude left out: label shift holds nearly in one direction.

    Measured over ten draws. Inland to coast: accuracy .72 to .76 before, .91 to .93 after (.16 to .20 gained), .01 to
    .02 below the true shares; the share is .06 to .08 too low, and every p-value the least possible, .0025. Coast to
    inland: .84 to .87 before, .93 to .95 after (.07 to .10 gained), at most .005 below the true shares; the share is
    .01 to .03 too high, and one of ten p-values is below .05. A constant answer is right for about .94 and .91.
    """
    data = load_real("california_housing")
    rng = np.random.default_rng(seed)
    samples = [(data.X_source, data.y_source), (data.X_target, data.y_target)]
    if direction == "coast to inland":
        samples = samples[::-1]
    (X, price), (X_other, price_other) = samples
    source, target = rng.choice(len(X), 4000, replace=False), rng.choice(len(X_other), 2000, replace=False)
    cut = np.median(price[source])
    before, after, best, error, p_value = label_shift_repair(
        BOOSTING,
        X[source, 2:],
        (price[source] > cut).astype(int),
        X_other[target, 2:],
        (price_other[target] > cut).astype(int),
        seed,
    )
    if direction == "inland to coast":
        assert after > before + 0.12
        assert after > best - 0.05
        assert -0.15 < error < -0.02
        assert p_value < 0.05
    else:
        assert after > before + 0.04
        assert after > best - 0.02
        assert abs(error) < 0.08
