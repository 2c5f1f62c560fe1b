"""A model, labelled source rows and target rows, read once: what every estimate of the risk is made from.

Rows stand in an order that depends on what they hold alone, so that what is drawn from them does too.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from shiftfix._crossfit import Rows, check_groups, out_of_fold
from shiftfix._learner import fit_weighted_of
from shiftfix._numerics import Floats
from shiftfix._row_order import order_of_rows
from shiftfix._setting_checks import check_methods
from shiftfix._target_sample import TargetSample, labelled_rows, target_rows
from shiftfix._validation import check_vector
from shiftfix._values import as_array
from shiftfix.covariate import are_numbers
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import positions_among
from shiftfix.risk._folds import new_folds
from shiftfix.risk._inputs import check_source, check_target, check_value_source, values_of_rows
from shiftfix.risk._metrics import Outputs, RiskMetric, check_metric
from shiftfix.risk._scores import SourceRows

N_FOLDS = 5


class Known(NamedTuple):
    """Labels of some target rows.

    Attributes
    ----------
    rows : ndarray of int, shape (n_labels,)
        Which target rows.
    y : ndarray of shape (n_labels,)
        Positions of classes, or values.
    probability : ndarray of shape (n_labels,) or None
        With which each was drawn; None for labels at random.
    """

    rows: Rows
    y: NDArray[Any]
    probability: Floats | None


class Problem(NamedTuple):
    """What is known.

    Attributes
    ----------
    X_source, X_target : array-like of n_source and n_target rows
    y : ndarray of shape (n_source,)
        Positions of classes, or values.
    source, target : Outputs
        What the model says.
    metric : RiskMetric
    classes : ndarray of shape (n_classes,) or None
    known : Known or None
    groups : sequence of (name, mask of the source rows, mask of the target rows)
    crossfitted : bool
        Whether the outputs are those of models fitted here.
    """

    X_source: Any
    X_target: Any
    y: NDArray[Any]
    source: Outputs
    target: Outputs
    metric: RiskMetric
    classes: NDArray[Any] | None
    known: Known | None
    groups: list[tuple[Any, NDArray[np.bool_], NDArray[np.bool_]]]
    crossfitted: bool

    @property
    def n_source(self) -> int:
        """Source rows."""
        return len(self.y)

    @property
    def n_target(self) -> int:
        """Target rows."""
        return len(self.target.predicted)

    @property
    def n_classes(self) -> int:
        """Columns of a mass: classes, or 1 for values."""
        return 1 if self.classes is None else len(self.classes)

    def labels(self, y: NDArray[Any]) -> Floats:
        """Mass 1 on the label of each row, shape (n_rows, n_classes)."""
        return np.ones((len(y), 1)) if self.classes is None else np.eye(self.n_classes)[y]

    def losses(self, outputs: Outputs, y: NDArray[Any]) -> Floats:
        """The loss of each labelled row, for a metric that is a mean; shape (n_rows,)."""
        table = self.metric.prepare(outputs, y, self.n_classes)
        return table[:, 0] if self.classes is None else table[np.arange(len(y)), y]


def is_fitted(model: Any) -> bool:
    """Whether a model has been fitted; what cannot be fitted is taken as it is."""
    if not callable(getattr(model, "fit", None)):
        return True
    try:
        check_is_fitted(model)
    except NotFittedError:
        return False
    return True


def said_of(model: Any, X: Any, classes: NDArray[Any] | None) -> Outputs:
    """What a fitted model says of rows."""
    if classes is None:
        return Outputs(values_of_rows(model.predict(X), "model.predict(X)"), None)
    predicted = positions_among(model.predict(X), "model.predict(X)", classes)
    proba = np.asarray(model.predict_proba(X), dtype=np.float64) if hasattr(model, "predict_proba") else None
    return Outputs(predicted, proba)


def _as_columns(outputs: Outputs) -> Floats:
    """One row of numbers for each: the prediction, then the probabilities."""
    first = outputs.predicted[:, np.newaxis].astype(np.float64)
    return first if outputs.proba is None else np.hstack([first, outputs.proba])


def _as_outputs(columns: Floats, is_class: bool) -> Outputs:
    predicted = columns[:, 0].astype(np.intp) if is_class else columns[:, 0]
    return Outputs(predicted, columns[:, 1:] if columns.shape[1] > 1 else None)


def _crossfitted_outputs(
    model: Any, source: SourceRows, X_target: Any, classes: NDArray[Any] | None, rng: np.random.Generator
) -> tuple[Outputs, Outputs]:
    """Outputs of both samples by models that did not see the rows; target rows are dealt to them in turn."""
    n_folds = N_FOLDS if classes is None else min(N_FOLDS, int(np.unique(source.labels, return_counts=True)[1].min()))
    n_folds = min(n_folds, len(source.labels))
    if n_folds < 2:
        raise ShiftDataError(
            "The model is not fitted, and cross-fitting it here needs two source rows, of every class: collect more, "
            "or pass a fitted model."
        )
    folds = new_folds(
        n_folds, source.X, source.labels, None, source.rows, source.groups, stratified=classes is not None, rng=rng
    )

    def fit(rows: Rows) -> Any:
        return fit_weighted_of(model, _safe_indexing(source.X, rows), source.labels[rows], None, fallback=None, rng=rng)

    def says(fitted: Any, X: Any, rows: Rows) -> Floats:
        return _as_columns(said_of(fitted, _safe_indexing(X, rows), classes))

    found = out_of_fold(
        folds,
        fit,
        lambda fitted, rows: says(fitted, source.X, rows),
        score_target=lambda fitted, rows: says(fitted, X_target, rows),
        target_order=order_of_rows(X_target),
    )
    assert found.target_scores is not None
    here = found.by_row(len(source.labels))
    return _as_outputs(here, classes is not None), _as_outputs(found.target_scores, classes is not None)


def _labels_of_target(
    X_target: Any, labels: Any, rows: Any, probability: Any, n_target: int, classes: NDArray[Any] | None
) -> Known | None:
    """Labels of target rows, however they were given."""
    carried = isinstance(X_target, TargetSample) and X_target.y is not None
    if labels is None and not carried:
        return None
    given = labelled_rows(X_target if labels is None else TargetSample(None, y=labels, rows=rows), n_target)
    if not len(given.y):
        return None
    name = "target_labels"
    y = check_vector(given.y, name) if classes is None else positions_among(given.y, name, classes)
    if probability is None:
        return Known(given.rows, y, None)
    chances = check_vector(probability, "sampling_probability", len(y), of="labels")
    if not ((chances > 0) & (chances <= 1)).all():
        raise ShiftDataError(
            f"sampling_probability holds {chances.min():g} to {chances.max():g}: pass the probability with which each "
            "labelled row was drawn, above 0 and at most 1."
        )
    return Known(given.rows, y, chances)


def _known_columns(known: Known | None, n_target: int) -> list[Floats]:
    """What tells target rows of the same features apart: whether they have a label, which, and by what chance."""
    if known is None:
        return []
    columns = np.zeros((3, n_target))
    columns[0, known.rows] = 1
    columns[1, known.rows] = known.y
    columns[2, known.rows] = 0 if known.probability is None else known.probability
    return list(columns)


def _default_rows(labels: Any, rows: Any) -> Any:
    """Positions of labels: as given, else the first rows."""
    return np.arange(as_array(labels, "target_labels").size) if rows is None and labels is not None else rows


def _check_group_pair(groups: Any, n_source: int, n_target: int) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Group of each row of both samples."""
    if groups is None:
        return None
    if not isinstance(groups, tuple | list) or len(groups) != 2:
        raise ShiftDataError(
            f"groups is a {type(groups).__name__}: pass a pair, the groups of the source rows and of the target rows."
        )
    here, there = (
        check_groups(part, n, f"groups[{i}]", of)
        for i, (part, n, of) in enumerate(
            zip(groups, (n_source, n_target), ("source rows", "target rows"), strict=True)
        )
    )
    if here is None or there is None:
        raise ShiftDataError("groups holds None: pass the groups of the source rows and of the target rows.")
    return here, there


def _group_masks(pair: tuple[NDArray[Any], NDArray[Any]] | None) -> list[Any]:
    """Name and rows of each group of the target."""
    if pair is None:
        return []
    return [(name, pair[0] == name, pair[1] == name) for name in np.unique(pair[1]).tolist()]


def _classes_of(model: Any, y: NDArray[Any], fitted: bool) -> NDArray[Any] | None:
    if not is_classifier(model):
        return None
    return np.asarray(model.classes_) if fitted else np.unique(y)


def _read_source(model: Any, X: Any, y: Any) -> SourceRows:
    check_methods(model, "model", ["predict"], "a classifier or regressor")
    if not (is_classifier(model) or is_regressor(model)):
        raise ShiftDataError(f"model is a {type(model).__name__}: a classifier or regressor is needed.")
    return (check_source if is_classifier(model) else check_value_source)(X, y, None, None)


def _refuse_unlike_rows(X: Any, X_target: Any) -> None:
    """Raise for a frame of words beside an array, whose columns nothing matches."""
    if hasattr(X, "columns") != hasattr(X_target, "columns") and not (are_numbers(X) and are_numbers(X_target)):
        raise ShiftDataError(
            "Of X_source and X_target one is a data frame and the other is not, and they hold more than numbers: pass "
            "both as data frames with the same columns."
        )


def read_problem(
    model: Any,
    X_source: Any,
    y_source: Any,
    X_target: Any,
    *,
    metric: Any,
    quantile: float,
    target_labels: Any,
    rows: Any,
    sampling_probability: Any,
    groups: Any,
    rng: np.random.Generator,
) -> Problem:
    """Check everything, ask the model, and put the rows in order; see :func:`shiftfix.risk.target_risk`."""
    given = _read_source(model, X_source, y_source)
    target = check_target(given.X, target_rows(X_target))
    _refuse_unlike_rows(given.X, target)
    n_target = np.shape(target)[0] if hasattr(target, "shape") else len(target)
    if n_target == 0:
        raise ShiftDataError("X_target has no rows: pass at least one.")
    pair = _check_group_pair(groups, len(given.labels), n_target)
    fitted = is_fitted(model)
    classes = _classes_of(model, given.labels, fitted)
    if fitted:
        here, there = said_of(model, given.X, classes), said_of(model, target, classes)
    else:
        here, there = _crossfitted_outputs(model, given, target, classes, rng)
    judged = check_metric(metric, quantile, classes, here.proba is not None)
    rows = _default_rows(target_labels, rows)
    known = _labels_of_target(X_target, target_labels, rows, sampling_probability, n_target, classes)
    y = given.labels if classes is None else positions_among(given.labels, "y_source", classes)
    first = order_of_rows(given.X, y, *(() if pair is None else pair[:1]))
    second = order_of_rows(target, *_known_columns(known, n_target), *(() if pair is None else pair[1:]))
    place = np.empty(n_target, dtype=np.intp)
    place[second] = np.arange(n_target)
    if known is not None:
        known = known._replace(rows=place[known.rows])
    ordered = None if pair is None else (pair[0][first], pair[1][second])
    problem = Problem(
        _safe_indexing(given.X, first),
        _safe_indexing(target, second),
        y[first],
        here.at(first),
        there.at(second),
        judged,
        classes,
        known,
        _group_masks(ordered),
        not fitted,
    )
    return problem._replace(metric=judged_as_share(problem)) if callable(metric) else problem


def judged_as_share(problem: Problem) -> RiskMetric:
    """A user's loss, whose mean is a share where no loss is other than 0 or 1, and some are either."""
    losses = problem.metric.prepare(problem.source, problem.y, problem.n_classes)
    is_share = np.array_equal(np.unique(losses), [0, 1])
    return problem.metric._replace(low=0, high=1, is_share=True) if is_share else problem.metric
