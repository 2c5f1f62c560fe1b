"""Whether p(y given x) moved: residuals of the source's model on labelled target rows against weighted source ones.

With r = y - f(x) for a model f of the source that saw neither row, w the density ratio target / source, and functions
phi of x (1, the model's score, the features),

    E_target[r phi(x)] = E_source[w(x) r phi(x)]

wherever p(y | x) is one and the same, whether or not f is right. A moved p(y | x) moves the left side. Errors of w
matter little where f is good, since r has mean 0 at every x then, and errors of f matter little where w is good.
Both samples are resampled, about the difference found, for the null distribution.
Source: Chernozhukov et al. (2018), Econometrics Journal 21(1):C1-C68, section 1, for the two errors that multiply;
Efron & Tibshirani (1993), "An Introduction to the Bootstrap", section 16.4, for tests by the bootstrap.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone, is_classifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import _safe_indexing
from sklearn.utils.multiclass import type_of_target

from shiftfix._crossfit import Fold, OutOfFold, assign_folds, folds_of_numbers, out_of_fold
from shiftfix._door import public
from shiftfix._numerics import Floats
from shiftfix._resample import resampled_counts
from shiftfix._row_order import content_order
from shiftfix._setting_checks import check_count, check_generator, check_methods
from shiftfix._validation import check_labels, check_vector
from shiftfix._verdict import caller_warns
from shiftfix.covariate import LogisticWeighter, with_seeds
from shiftfix.detect._labelled import check_labelled_rows
from shiftfix.detect._permuted import check_raw_samples, largest_of, standardized
from shiftfix.detect._result import ShiftTest, stopwatch
from shiftfix.exceptions import ShiftDataError

LEAST_LABELS = 100
N_FOLDS = 5
N_BOOTSTRAP = 399
# Features beyond these are left to the score: each adds noise to the sum of all.
MOST_FEATURES = 30


class Residuals(NamedTuple):
    """What a model gets wrong, and what it says, of source and labelled target rows.

    Attributes
    ----------
    source, target : ndarray of shape (n_rows, n_outputs)
        y less the prediction; of a classifier, for each class.
    source_scores, target_scores : ndarray of shape (n_rows, n_outputs)
        The predictions.
    """

    source: Floats
    target: Floats
    source_scores: Floats
    target_scores: Floats


def default_model(y: NDArray[Any]) -> Any:
    """Logistic regression for classes, ridge for numbers; standardised."""
    discrete = type_of_target(y) in ("binary", "multiclass")
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000) if discrete else Ridge())


def _says(model: Any, rows: Any, classes: NDArray[Any] | None) -> Floats:
    """Predictions of shape (n_rows, n_outputs): probabilities of all classes, or numbers."""
    if classes is None:
        return np.asarray(model.predict(rows), dtype=np.float64).reshape(rows.shape[0], -1)
    scores = np.zeros((rows.shape[0], len(classes)))
    scores[:, np.searchsorted(classes, model.classes_)] = model.predict_proba(rows)
    return scores


def _outcomes_of(y: NDArray[Any], classes: NDArray[Any] | None) -> Floats:
    """Numbers as one column; classes as one indicator each. Labels that are not among the classes have none."""
    if classes is None:
        return check_vector(y, "y")[:, np.newaxis]
    return (y[:, np.newaxis] == classes).astype(np.float64)


def cross_fitted_residuals(
    model: Any, source: Any, y_source: NDArray[Any], target: Any, y_target: NDArray[Any], folds: list[Fold]
) -> Residuals:
    """Residuals of source rows by models of the other folds, and of target rows dealt to these models in turn."""
    classes = np.unique(y_source) if is_classifier(model) else None

    def fit(rows: NDArray[np.intp]) -> Any:
        return clone(model).fit(_safe_indexing(source, rows), y_source[rows])

    found: OutOfFold = out_of_fold(
        folds,
        fit,
        lambda fitted, rows: _says(fitted, _safe_indexing(source, rows), classes),
        score_target=lambda fitted, rows: _says(fitted, _safe_indexing(target, rows), classes),
        target_order=np.arange(len(y_target)),
    )
    scores, target_scores = found.by_row(len(y_source)), np.asarray(found.target_scores)
    return Residuals(
        _outcomes_of(y_source, classes) - scores,
        _outcomes_of(y_target, classes) - target_scores,
        scores,
        target_scores,
    )


def _scaled_together(source: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Both samples in standard deviations of both; constant columns become 0."""
    scaler = StandardScaler().set_output(transform="default").fit(np.concatenate([source, target]))
    return scaler.transform(source), scaler.transform(target)


class Moments(NamedTuple):
    """Residuals times functions of x, row by row.

    Attributes
    ----------
    source, target : ndarray of shape (n_rows, n_moments)
    n_first : int
        Those of 1 and the score come first, so many; then those of the features.
    """

    source: Floats
    target: Floats
    n_first: int


def residual_moments(residuals: Residuals, source: Floats, target: Floats) -> Moments:
    """Residuals, residuals times their score, and residuals times every feature.

    Parameters
    ----------
    residuals : Residuals
    source, target : ndarray of shape (n_rows, n_features)
        Features in standard deviations.
    """
    scores = _scaled_together(residuals.source_scores, residuals.target_scores)
    made = []
    for errors, score, rows in zip(residuals[:2], scores, (source, target), strict=True):
        # The residuals of two classes are one another's negatives.
        kept = errors[:, :1] if errors.shape[1] == 2 else errors
        first = np.concatenate([kept, kept * score[:, : kept.shape[1]]], axis=1)
        of_features = (kept[:, :, np.newaxis] * rows[:, np.newaxis, :MOST_FEATURES]).reshape(len(rows), -1)
        made.append(np.concatenate([first, of_features], axis=1))
    return Moments(made[0], made[1], 2 * kept.shape[1])


def moment_gaps(moments: Moments, weights: Floats, n_bootstrap: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Target less weighted source moments, (n_moments,), and those of resampled rows, (n_bootstrap, n_moments)."""
    n_source, n_target = len(moments.source), len(moments.target)
    ones = [np.ones(n_source), np.ones(n_target)]
    draws = [np.array([side, *(resampled_counts(side, rng) for _ in range(n_bootstrap))]) for side in ones]
    weighted = draws[0] * weights
    gaps = draws[1] @ moments.target / n_target
    gaps -= weighted @ moments.source / weighted.sum(axis=1, keepdims=True)
    return gaps[0], gaps[1:]


def _squared_gaps(gap: Floats, drawn: Floats, n_first: int) -> Floats:
    """Sums of squared moments in standard errors, observed and under the null; those of the scores, and of all."""
    around = np.vstack([gap, drawn - gap])
    error = drawn.std(axis=0)
    z = np.divide(around, error, out=np.zeros_like(around), where=error > 0)
    sums = [np.square(part).sum(axis=1) for part in (z[:, :n_first], z) if part.shape[1]]
    return np.sqrt(np.column_stack(sums))


def _refuse_few_labels(n_labels: int) -> None:
    if n_labels < LEAST_LABELS:
        raise ShiftDataError(
            f"y_target has {n_labels} labels, and at least {LEAST_LABELS} are needed to tell whether p(y given x) "
            "moved: with fewer, only gross changes could be told from chance. Collect more labels."
        )


def _check_labels_of(y: Any, name: str, model: Any, n_rows: int) -> NDArray[Any]:
    """Classes for a classifier, numbers for others."""
    if is_classifier(model):
        return check_labels(y, name, n_rows)
    return check_vector(y, name, n_rows)


def _target_labels_of(y: NDArray[Any], model: Any) -> NDArray[Any]:
    return _check_labels_of(y, "y_target", model, len(y))


@public
def concept_test(
    X_source: Any,
    y_source: ArrayLike,
    X_target: Any,
    y_target: ArrayLike,
    *,
    rows: ArrayLike | None = None,
    estimator: Any = None,
    n_bootstrap: int = N_BOOTSTRAP,
    random_state: int | np.random.Generator | np.random.RandomState | None = None,
) -> ShiftTest:
    """Test by target labels whether p(y given x) moved: concept shift.

    Compares residuals of a cross-fitted source model on labelled target rows with importance-weighted ones of the
    source: in the mean, along the score, and along the features. Label shift moves p(y given x) too.

    Parameters
    ----------
    X_source : array-like or data frame of shape (n_source, n_features)
    y_source : array-like of shape (n_source,)
    X_target : array-like or data frame of shape (n_target, n_features)
        All target rows; the weights are learned from them.
    y_target : array-like of shape (n_labels,)
        At least 100.
    rows : array-like of int, shape (n_labels,), default=None
        Which target rows are labelled, best drawn at random; None means the first ones.
    estimator : classifier or regressor, default=None
        Cloned, seeded where its ``random_state`` is unset, and cross-fitted in five folds. A classifier needs
        ``predict_proba``. None means logistic or ridge regression by the kind of ``y_source``.
    n_bootstrap : int, default=399
    random_state : int, numpy Generator or RandomState, default=None
        For folds and bootstrap.

    Returns
    -------
    ShiftTest
        Its effect size is the root of the summed squared gaps of the mean residual and of the residual along the
        score, in units of y (for classes, probability). Where source and target overlap too little for weights, its
        p-value is 1 and its note says so.

    Raises
    ------
    ShiftDataError
        For fewer than 100 labels, and data that cannot be used.

    See Also
    --------
    covariate_or_label : By target labels: did p(y given x) stay, or p(x given y)?
    performance_drop : By target labels: where a change of the loss comes from.
    diagnose_shift : Evidence for each kind of shift, verdict, next action.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, X_target = rng.normal(size=(500, 2)), rng.normal(0.3, 1, size=(300, 2))
    >>> y, y_target = X[:, 0] + rng.normal(size=500), X_target[:, 1] + rng.normal(size=300)
    >>> concept_test(X, y, X_target, y_target, random_state=0).p_value < 0.01
    True
    """
    clock = stopwatch()
    source, target, names = check_raw_samples(X_source, X_target)
    n_bootstrap, rng = check_count(n_bootstrap, "n_bootstrap", 20), check_generator(random_state)
    y = check_labels(y_source, "y_source", source.shape[0], whole=False)
    labels, places = check_labelled_rows(y_target, rows, target.shape[0], whole=False)
    _refuse_few_labels(len(labels))
    model = default_model(y) if estimator is None else estimator
    check_methods(model, "estimator", ["fit", "predict"], "a classifier or a regressor")
    model = with_seeds(model, rng)
    y, labels = _check_labels_of(y, "y_source", model, len(y)), _target_labels_of(labels, model)
    numbers, target_numbers = standardized(source, target, names)
    with caller_warns():
        weighter = LogisticWeighter().fit(numbers, target_numbers)
    read = (numbers, target_numbers) if estimator is None else (source, target)
    # Folds and bootstrap go by position: in an order that follows from what the rows hold.
    first, second = content_order([numbers])[0], content_order([target_numbers[places]])[0]
    source, target = _safe_indexing(read[0], first), _safe_indexing(read[1], places[second])
    folds = folds_of_numbers(assign_folds([numbers[first]], N_FOLDS, int(rng.integers(2**31)))[0])
    residuals = cross_fitted_residuals(model, source, y[first], target, labels[second], folds)
    moments = residual_moments(residuals, numbers[first], target_numbers[places[second]])
    gap, drawn = moment_gaps(moments, weighter.source_weights_[first], n_bootstrap, rng)
    found = largest_of(_squared_gaps(gap, drawn, moments.n_first))
    lost = weighter.summary_.verdict == "abstain"
    return ShiftTest(
        found.statistic,
        1.0 if lost else found.p_value,
        float(np.sqrt(np.square(gap[: moments.n_first]).sum())),
        len(y),
        len(labels),
        "Concept test (importance-weighted residuals)",
        clock(),
        "gap of residuals",
        "Not told: source and target overlap too little for importance weights." if lost else "",
    )
