"""Bad input over all public entry points: the error's type, and the words that tell what to do."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from shiftfix import conformal, corrected, covariate, datasets, detect, label, mlp, risk, simulate, weights
from shiftfix.exceptions import DatasetNotFoundError, NotIdentifiedError, ShiftDataError

RNG = np.random.default_rng(0)
X, X_TARGET = RNG.normal(size=(60, 2)), RNG.normal(size=(40, 2))
Y = np.tile([0, 1], 30)
NAN, INF = X.copy(), X.copy()
NAN[3, 1], INF[3, 1] = np.nan, np.inf
SCORES = np.tile([[0.8, 0.2], [0.3, 0.7]], (30, 1))
TINY = {"max_epochs": 1, "hidden_layer_sizes": (4,)}


def weigh(X_source=X, X_target=X_TARGET, sample_weight_source=None, **settings):
    return covariate.LogisticWeighter(**settings).fit(X_source, X_target, sample_weight_source=sample_weight_source)


def bbse(scores=SCORES, y=Y, target=SCORES, kind="soft", **keywords):
    return label.BBSE(kind).fit(scores, y, target, **keywords)


def mlls(target=SCORES, sample_weight_target=None, **settings):
    return label.MLLS(**({"n_bootstrap": 0} | settings)).fit(
        SCORES, Y, target, sample_weight_target=sample_weight_target
    )


def classify(X=X, y=Y, sample_weight=None, eval_set=None, **settings):
    return mlp.MLPClassifier(**(TINY | settings)).fit(X, y, sample_weight=sample_weight, eval_set=eval_set)


def regress(X=X, y=X[:, 0], **settings):
    return mlp.MLPRegressor(**(TINY | settings)).fit(X, y)


def covariate_shift(estimator=None, X=X, y=Y, X_target=X_TARGET, sample_weight=None, **settings):
    estimator = LogisticRegression() if estimator is None else estimator
    meta = corrected.CovariateShiftClassifier(estimator, **settings)
    return meta.fit(X, y, X_target=X_target, sample_weight=sample_weight)


def label_shift(estimator=None, X=X, y=Y, X_target=X_TARGET, sample_weight=None, **settings):
    estimator = LogisticRegression() if estimator is None else estimator
    meta = corrected.LabelShiftClassifier(estimator, **settings)
    return meta.fit(X, y, X_target=X_target, sample_weight=sample_weight)


def diagnose(y=Y):
    return detect.diagnose_shift(X, y, X_TARGET, LogisticRegression())


def validate(y=Y):
    return risk.iw_cross_val_score(LogisticRegression(), X, y, X_target=X_TARGET)


def sets_of_labels(y=Y):
    return conformal.ConformalClassifier(LogisticRegression()).fit(X, y, X_target=X_TARGET)


@pytest.mark.parametrize(
    "call", [covariate_shift, label_shift, diagnose, sets_of_labels, validate], ids=lambda call: call.__name__
)
def test_labels_of_two_columns_are_told_by_their_shape(call):
    """Rows where labels belong, say."""
    with pytest.raises(ShiftDataError, match=r"y has shape \(60, 2\): pass one label or value per row"):
        call(y=X)


def frame(names):
    return pytest.importorskip("pandas").DataFrame(X, columns=names)


THREE = np.array([[0.6, 0.2, 0.2], [0.2, 0.4, 0.4], [0.2, 0.4, 0.4]] * 4)

CASES = {
    # weights
    "weights empty": (lambda: weights.effective_sample_size([]), ShiftDataError, "weights is empty"),
    "weights negative": (lambda: weights.normalize_weights([1, -2]), ShiftDataError, r"negative value \(-2 at position 1"),
    "weights NaN": (lambda: weights.clip_weights([1, np.nan], 2), ShiftDataError, "contains NaN.*position 1"),
    "weights infinite": (lambda: weights.summarize_weights([1, np.inf]), ShiftDataError, "contains infinity"),
    "weights all zero": (lambda: weights.effective_sample_size([0, 0]), ShiftDataError, "all zero"),
    "weights 2D": (lambda: weights.normalize_weights(np.ones((2, 2))), ShiftDataError, r"shape \(2, 2\)"),
    "weights text": (lambda: weights.normalize_weights(["a"]), ShiftDataError, "cannot be read as numbers"),
    "clip zero": (lambda: weights.clip_weights([1.0], 0), ShiftDataError, "clip=0: a number > 0"),
    "clip negative": (lambda: weights.clip_threshold([1.0], -1), ShiftDataError, "clip=-1"),
    "clip NaN": (lambda: weights.clip_weights([1.0], np.nan), ShiftDataError, "clip=nan"),
    "clip word": (lambda: weights.clip_weights([1.0], "root"), ShiftDataError, "'root'.*\"pareto\" or None"),
    "clip percentile": (lambda: weights.clip_weights([1.0], "100%"), ShiftDataError, "'100%'.*\"99%\""),
    "clip percentile of zeros": (lambda: weights.clip_weights([0.0, 0, 1], "50%"), ShiftDataError, "share of the weights is 0"),
    "clip ess": (lambda: weights.clip_weights([1.0, 0, 3], "ess", min_ess=3), ShiftDataError, "only 2 rows have a positive"),
    "clip min_ess": (lambda: weights.clip_weights([1.0], "ess", min_ess=0), ShiftDataError, "min_ess=0: a number > 0"),
    "clip boolean": (lambda: weights.clip_weights([1.0], True), ShiftDataError, "clip=True"),
    "exponent above one": (lambda: weights.temper_weights([1.0], 2), ShiftDataError, "exponent=2.*>= 0 and <= 1"),
    "counts of another length": (
        lambda: weights.effective_sample_size([1, 2], sample_weight=[1]), ShiftDataError, "1 values for 2 rows",
    ),
    "target weights NaN": (
        lambda: weights.summarize_weights([1.0], target_weights=[np.nan]), ShiftDataError, "target_weights contains NaN",
    ),
    # weighter
    "source NaN": (lambda: weigh(NAN), ShiftDataError, "X_source contains NaN.*column 1, row 3.*SimpleImputer"),
    "target infinite": (lambda: weigh(X, INF), ShiftDataError, "X_target contains infinity"),
    "NaN in a named column": (
        lambda: weigh(frame(["age", "dose"]).assign(dose=np.nan)), ShiftDataError, "column 'dose'",
    ),
    "source None": (lambda: weigh(None), ShiftDataError, "X_source is None"),
    "source empty": (lambda: weigh(X[:0]), ShiftDataError, "X_source has no rows"),
    "target empty": (lambda: weigh(X, X[:0]), ShiftDataError, "X_target has no rows"),
    "no columns": (lambda: weigh(X[:, :0], X_TARGET[:, :0]), ShiftDataError, "0 feature"),
    "source 1D": (lambda: weigh(X[:, 0]), ShiftDataError, r"reshape\(-1, 1\)"),
    "source text": (lambda: weigh([["a"], ["b"]]), ShiftDataError, "OneHotEncoder"),
    "source sparse": (lambda: weigh(sparse.csr_array(X)), ShiftDataError, "toarray"),
    "complex numbers": (lambda: weigh(X + 1j), ShiftDataError, "(?i)complex"),
    "columns differ in number": (lambda: weigh(X, X_TARGET[:, :1]), ShiftDataError, "X_target has 1 columns, X_source has 2"),
    "columns differ in name": (
        lambda: weigh(frame(["age", "dose"]), frame(["age", "weight"])), ShiftDataError, r"lacks \['dose'\] and adds \['weight'\]",
    ),
    "columns in another order": (
        lambda: weigh(frame(["age", "dose"]), frame(["dose", "age"])), ShiftDataError, "another order",
    ),
    "C negative": (lambda: weigh(C=-1), ShiftDataError, "C=-1"),
    "weighter clip word": (lambda: weigh(clip="root"), ShiftDataError, "clip='root'"),
    "weighter min_ess": (lambda: weigh(clip="ess", min_ess=1e6), ShiftDataError, "min_ess=1e\\+06 asks for an effective size"),
    "weighter min_ess sign": (lambda: weigh(min_ess=-1), ShiftDataError, "min_ess=-1"),
    "weighter clip zero": (lambda: weigh(clip=0.0), ShiftDataError, "clip=0.0"),
    "normalize unknown": (lambda: weigh(normalize="sum"), ShiftDataError, "normalize='sum'.*'mean', None"),
    "sample weights negative": (lambda: weigh(sample_weight_source=-np.ones(60)), ShiftDataError, "sample_weight_source contains a neg"),
    "sample weights all zero": (lambda: weigh(sample_weight_source=np.zeros(60)), ShiftDataError, "all zero"),
    "sample weights too few": (lambda: weigh(sample_weight_source=np.ones(3)), ShiftDataError, "3 values for 60 rows"),
    "transform other columns": (lambda: weigh().transform(X[:, :1]), ShiftDataError, "X has 1 columns, X_source has 2"),
    "transform NaN": (lambda: weigh().log_ratio(NAN), ShiftDataError, "X contains NaN"),
    # prior
    "scores no probabilities": (lambda: bbse(10 * SCORES), ShiftDataError, "softmax the logits"),
    "scores negative": (lambda: bbse(SCORES - [[0.5, -0.5]]), ShiftDataError, "not made of probabilities"),
    "scores NaN": (lambda: bbse(np.where(SCORES == 0.2, np.nan, SCORES)), ShiftDataError, "scores_source contains NaN"),
    "scores 1D": (lambda: bbse(SCORES[:, 0]), ShiftDataError, 'predict_proba.*kind="hard"'),
    "scores and labels differ in length": (lambda: bbse(y=Y[:-1]), ShiftDataError, "59 labels for 60 rows"),
    "target scores of other width": (lambda: bbse(target=THREE), ShiftDataError, "scores_target has 3 columns for 2"),
    "a class without source rows": (lambda: bbse(THREE, [0, 1] * 6, THREE), ShiftDataError, "Collect rows of the missing"),
    "a named class without rows": (
        lambda: bbse(THREE, [0, 1] * 6, THREE, classes=[0, 1, 2]), ShiftDataError, r"no rows of \[2\]",
    ),
    "a label that classes do not name": (lambda: bbse(classes=[0, 2]), ShiftDataError, r"y_source holds \[1\]"),
    "classes repeat": (lambda: bbse(classes=[0, 0, 1]), ShiftDataError, "repeats a label"),
    "one class": (lambda: bbse(SCORES, np.zeros(60, int)), ShiftDataError, "one class only"),
    "labels NaN": (lambda: bbse(y=np.where(Y == 0, np.nan, 1.0)), ShiftDataError, "30 missing labels"),
    "labels None inside": (lambda: bbse(y=[None, "a"] * 30), ShiftDataError, "missing labels"),
    "labels continuous": (lambda: bbse(y=Y + 0.5), ShiftDataError, "continuous"),
    "labels infinite": (lambda: bbse(y=np.where(Y == 0, np.inf, 1.0)), ShiftDataError, "infinity"),
    "labels None": (lambda: bbse(y=None), ShiftDataError, "y_source is None"),
    "confounded classes": (lambda: bbse(THREE, [0, 1, 2] * 4, THREE), NotIdentifiedError, r"tell apart \[1, 2\]"),
    "kind unknown": (lambda: bbse(kind="firm"), ShiftDataError, "kind='firm'.*'soft', 'hard'"),
    "hard predictions of unknown classes": (lambda: bbse(Y, Y, Y + 5, kind="hard"), ShiftDataError, r"holds \[5, 6\]"),
    "weights for unknown labels": (lambda: bbse().transform([0, 7]), ShiftDataError, r"y holds \[7\]"),
    "adjusting other widths": (lambda: bbse().adjust_proba(THREE), ShiftDataError, "3 columns for 2 classes"),
    "interval level": (lambda: bbse().interval(95), ShiftDataError, "level=95: a number > 0 and < 1"),
    "prior does not sum to one": (lambda: label.adjust_proba(SCORES, [0.5, 0.5], [0.5, 0.6]), ShiftDataError, "target_prior is not"),
    "source prior with a zero": (lambda: label.adjust_proba(SCORES, [1.0, 0.0], [0.5, 0.5]), ShiftDataError, "is 0 for class 1"),
    "calibration unknown": (lambda: mlls(calibration="isotonic"), ShiftDataError, "calibration='isotonic'.*'bcts'"),
    "shrink unknown": (lambda: mlls(shrink=True), ShiftDataError, "shrink=True: one of None, 'significance'"),
    "bootstrap of a negative number": (lambda: mlls(n_bootstrap=-1), ShiftDataError, "n_bootstrap=-1: a whole number >= 0"),
    "bootstrap of a word": (lambda: label.RLLS(n_bootstrap="many").fit(SCORES, Y, SCORES), ShiftDataError, "n_bootstrap='many'"),
    "bootstrap of True": (lambda: mlls(n_bootstrap=True), ShiftDataError, "n_bootstrap=True"),
    "bootstrap without rows": (lambda: mlls().bootstrap(), ShiftDataError, "n_bootstrap=0 keeps no rows"),
    "prior seed": (lambda: mlls(random_state="a"), ShiftDataError, "random_state='a'"),
    "likelihood tolerance": (lambda: mlls(tol=0.0), ShiftDataError, "tol=0.0: a number > 0"),
    "likelihood steps": (lambda: mlls(max_iter=0), ShiftDataError, "max_iter=0"),
    "update NaN": (lambda: mlls().update(SCORES * np.nan), ShiftDataError, "scores_target contains NaN"),
    "update of other width": (lambda: mlls().update(THREE), ShiftDataError, "scores_target has 3 columns for 2"),
    "update without rows": (lambda: mlls().update(SCORES[:0]), ShiftDataError, "scores_target has no rows"),
    "target weights too few": (lambda: mlls(sample_weight_target=np.ones(3)), ShiftDataError, "3 values for 60 rows"),
    "interval of odds": (lambda: mlls().interval(of="odds"), ShiftDataError, "of='odds': one of 'prior', 'weight'"),
    "threshold of 1": (lambda: mlls().adjusted_threshold(1.0), ShiftDataError, "threshold=1.0: a number > 0 and < 1"),
    "calibrating other widths": (lambda: mlls().calibrate(THREE), ShiftDataError, "3 columns for 2 classes"),
    "counts for soft scores": (lambda: label.BBSE().fit_confusion([[2, 1], [1, 2]], [1, 1]), ShiftDataError, 'kind="hard"'),
    # network
    "net NaN": (lambda: classify(NAN), ValueError, "contains NaN"),
    "net one class": (lambda: classify(y=np.zeros(60, int)), ShiftDataError, "one class only"),
    "net labels continuous": (lambda: classify(y=Y + 0.3 * X[:, 0]), ValueError, "Unknown label type"),
    "net lengths differ": (lambda: classify(y=Y[:-1]), ValueError, "inconsistent numbers of samples"),
    "net weights negative": (lambda: classify(sample_weight=-np.ones(60)), ShiftDataError, "negative value"),
    "net weights all zero": (lambda: classify(sample_weight=np.zeros(60)), ShiftDataError, "all zero"),
    "net weights of one class only": (lambda: classify(sample_weight=Y), ShiftDataError, "one class only"),
    "dropout one": (lambda: classify(dropout=1.0), ShiftDataError, "dropout=1.0.*>= 0 and < 1"),
    "activation unknown": (lambda: classify(activation="swish"), ShiftDataError, "activation='swish'"),
    "optimizer unknown": (lambda: classify(optimizer="lion"), ShiftDataError, "optimizer='lion'"),
    "layer of no units": (lambda: classify(hidden_layer_sizes=(4, 0)), ShiftDataError, "hidden_layer_sizes=0"),
    "batch size": (lambda: classify(batch_size=0), ShiftDataError, "batch_size=0: a whole number >= 1"),
    "learning rate": (lambda: classify(learning_rate=0.0), ShiftDataError, "learning_rate=0.0"),
    "threads": (lambda: classify(n_threads=0), ShiftDataError, "n_threads=0"),
    "epochs not whole": (lambda: classify(max_epochs=1.5), ShiftDataError, "max_epochs=1.5"),
    "early stopping unknown": (lambda: classify(early_stopping="yes"), ShiftDataError, "early_stopping='yes'"),
    "random state": (lambda: classify(random_state="a"), ShiftDataError, "random_state='a'"),
    "device unknown": (lambda: classify(device="abacus"), ShiftDataError, "device='abacus' cannot be used"),
    "eval_set not a tuple": (lambda: classify(eval_set=X), ShiftDataError, "eval_set needs to be a tuple"),
    "eval_set lengths": (lambda: classify(eval_set=(X, Y[:5])), ShiftDataError, "60 rows of X and 5 of y"),
    "eval_set without y": (lambda: classify(eval_set=(X, None)), ShiftDataError, "60 rows of X and none of y"),
    "eval_set y in columns": (lambda: classify(eval_set=(X, np.column_stack([Y, Y]))), ShiftDataError, r"eval_set's y has shape \(60, 2\)"),
    "layers no tuple": (lambda: classify(hidden_layer_sizes=2.5), ShiftDataError, "hidden_layer_sizes=2.5: a tuple"),
    "labels of mixed kinds": (lambda: bbse(y=np.array([1, "a"] * 30, dtype=object)), ShiftDataError, "mixes text and other labels"),
    "labels with pandas.NA": (
        lambda: bbse(y=[pytest.importorskip("pandas").NA, "a"] * 30), ShiftDataError, "30 missing labels",
    ),
    "features too large to square": (lambda: weigh(X * 1e200, X_TARGET * 1e200), ShiftDataError, "overflow when squared"),
    "no iterations": (lambda: weigh(max_iter=0), ShiftDataError, "max_iter=0"),
    "class weights and retraining weights": (
        lambda: label_shift(LogisticRegression(class_weight="balanced"), correction="retrain"), ShiftDataError, "class_weight='balanced'",
    ),
    "eval_set of unknown classes": (lambda: classify(eval_set=(X, Y + 5)), ShiftDataError, "the eval_set's y holds"),
    "eval_set with early stopping off": (
        lambda: classify(eval_set=(X, Y), early_stopping=False), ShiftDataError, "drop one of them",
    ),
    "too few rows to hold any out": (
        lambda: classify(X[:2], Y[:2], early_stopping=True, validation_fraction=0.9), ShiftDataError, "2 rows cannot be split",
    ),
    "regression on text": (lambda: regress(y=["a"] * 60), ValueError, "(?i)could not convert|unsupported|string"),
    "learning rate that diverges": (
        lambda: regress(X, X[:, 0], optimizer="sgd", learning_rate=1e30, max_epochs=50), FloatingPointError, "lower learning_rate",
    ),
    # meta-estimators
    "covariate target missing": (lambda: covariate_shift(X_target=None), ShiftDataError, "X_target is missing"),
    "covariate target columns": (lambda: covariate_shift(X_target=X[:, :1]), ShiftDataError, "X_target has 1 columns"),
    "covariate lengths": (lambda: covariate_shift(y=Y[:-1]), ValueError, "inconsistent numbers of samples"),
    "learner without weights": (lambda: covariate_shift(KNeighborsClassifier()), ShiftDataError, "takes no sample_weight"),
    "covariate option": (lambda: covariate_shift(on_abstain="never"), ShiftDataError, "on_abstain='never'"),
    "exponent above 1": (lambda: covariate_shift(exponent=1.5), ShiftDataError, "exponent=1.5: a number >= 0 and <= 1"),
    "exponent word": (lambda: covariate_shift(exponent="auto"), ShiftDataError, 'number >= 0 and <= 1, or "cv"'),
    "no weighter": (lambda: covariate_shift(weighter=LogisticRegression()), ShiftDataError, "is no weighter"),
    "no prior": (lambda: label_shift(prior=[0.5, 0.5]), ShiftDataError, "is no prior estimator"),
    "scores of one dimension": (lambda: label.BBSE().fit(np.ones(3), [0, 1, 1], np.ones(3)), ShiftDataError, "needs class probabilities"),
    "labels for the counts": (
        lambda: label.BBSE("hard").fit_confusion([[4, 1], [1, 4]], ["a", "b"]), ShiftDataError, "how many target rows",
    ),
    "exponent folds": (lambda: covariate_shift(exponent="cv", cv=1), ShiftDataError, "cv=1: a whole number >= 2"),
    "fallback unknown": (lambda: covariate_shift(fallback="drop"), ShiftDataError, "fallback='drop'"),
    "covariate weights": (lambda: covariate_shift(sample_weight=np.ones(3)), ShiftDataError, "3 values for 60"),
    "no overlap as an error": (
        lambda: covariate_shift(X_target=X + 50, on_abstain="error"), NotIdentifiedError, "data do not support weighting",
    ),
    "covariate regressor NaN": (
        lambda: corrected.CovariateShiftRegressor(Ridge()).fit(X, NAN[:, 1], X_target=X), ValueError, "NaN",
    ),
    "label target missing": (lambda: label_shift(X_target=None), ShiftDataError, "X_target is missing"),
    "label one class": (lambda: label_shift(y=np.zeros(60, int)), ShiftDataError, "one class only"),
    "label regression": (lambda: label_shift(y=X[:, 0]), ShiftDataError, "continuous"),
    "label NaN": (lambda: label_shift(y=np.where(Y == 0, np.nan, 1)), ShiftDataError, "missing labels"),
    "label no probabilities": (lambda: label_shift(LinearSVC()), ShiftDataError, "CalibratedClassifierCV"),
    "label correction": (lambda: label_shift(correction="both"), ShiftDataError, "correction='both'.*'adjust', 'retrain'"),
    "label folds": (lambda: label_shift(cv=1), ShiftDataError, "cv=1: at least 2"),
    "label single row of a class": (lambda: label_shift(y=np.append(np.full(59, 1), 0)), ShiftDataError, "single row"),
    "label target empty": (lambda: label_shift(X_target=X[:0]), ShiftDataError, "X_target has no rows"),
    # simulators and data sets
    "prior of a simulator": (lambda: simulate.label_shift(X, Y, [0.5, 0.6], n_target=5), ShiftDataError, "sum"),
    "too few rows to draw": (lambda: simulate.label_shift(X, Y, [0.0, 1.0], n_target=500), ShiftDataError, "30"),
    "no source rows": (lambda: simulate.gaussian_covariate_shift(0, 5), ShiftDataError, "n_source=0"),
    "unknown data set": (lambda: datasets.load("nowhere"), ShiftDataError, "digits"),
    "data set not here": (
        lambda: datasets.load("airfoil", data_home="/nonexistent"), DatasetNotFoundError, "(?s)SHIFTFIX_DATA.*download",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorIdentificationWarning")
@pytest.mark.parametrize(("call", "error", "words"), CASES.values(), ids=CASES.keys())
def test_bad_input(call, error, words, monkeypatch, tmp_path):
    monkeypatch.delenv("SHIFTFIX_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(error, match=words) as caught:
        call()
    if isinstance(caught.value, ShiftDataError | NotIdentifiedError):
        assert "np.int64" not in str(caught.value)
        assert "np.str_" not in str(caught.value)


def test_there_are_many_cases_over_all_entry_points():
    assert len(CASES) >= 100
