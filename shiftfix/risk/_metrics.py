"""What a model is judged by, as a function of a mass on (row, label).

Labelled rows with weights put their mass on the label that they have; rows without labels spread theirs over the labels
by class probabilities. One function of the mass then serves both: for a mean loss the mass-weighted mean of a table
with the loss of every label at every row.
Source: Naeini, Cooper & Hauskrecht (2015), AAAI, equation 1 (expected calibration error); Provost & Domingos (2001),
"Well-trained PETs: improving probability estimation trees" (areas of each class against the others; theirs are weighted
by the class shares, these count alike).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_number, check_option
from shiftfix._validation import check_vector
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk._losses import LEAST_PROBABILITY

CALIBRATION_BINS = 15


class Outputs(NamedTuple):
    """What a model says of rows.

    Attributes
    ----------
    predicted : ndarray of shape (n_rows,)
        Position of the predicted class, or the predicted value.
    proba : ndarray of shape (n_rows, n_classes) or None
        None for values, and for classifiers that have none.
    """

    predicted: NDArray[Any]
    proba: Floats | None

    def at(self, rows: Any) -> "Outputs":
        """Those of some rows."""
        return Outputs(self.predicted[rows], None if self.proba is None else self.proba[rows])

    @property
    def confidence(self) -> Floats:
        """Probability of the predicted class, shape (n_rows,)."""
        P: Any = self.proba
        return P[np.arange(len(self.predicted)), self.predicted]


class RiskMetric(NamedTuple):
    """One way to judge a model.

    Attributes
    ----------
    name : str
    prepare : callable
        ``prepare(outputs, y, n_classes)`` gives what ``value`` needs to know of rows; y is None for rows without
        labels, and is read for values alone.
    value : callable
        ``value(prepared, mass)`` with a mass of shape (n_rows, n_classes), or (n_rows, 1) of values.
    low, high : float
        Bounds of the metric.
    is_mean : bool
        Whether it is a mean loss, or a function of one: ``prepared`` is then the table of losses.
    is_root : bool
        Whether it is the root of the mean loss.
    is_share : bool
        Whether it is a share of rows, or a chance, whose error depends on it as that of a share does.
    of_each_class : bool
        Whether every class counts alike, however few its rows.
    is_gap : bool
        Whether it is made of absolute differences, which noise makes larger.
    of : {"classes", "probabilities", "values"}
        What it judges.
    """

    name: str
    prepare: Callable[[Outputs, Any, int], Any]
    value: Callable[[Any, Floats], float]
    low: float
    high: float
    is_mean: bool
    is_root: bool = False
    is_share: bool = False
    of_each_class: bool = False
    is_gap: bool = False
    of: str = "probabilities"

    def of_mean(self, mean: float) -> float:
        """The metric from the mean loss."""
        return float(np.sqrt(max(mean, 0.0))) if self.is_root else mean

    def error_of_mean(self, mean: float, error: float) -> float:
        """Standard error of the metric from that of the mean loss."""
        return error / (2 * float(np.sqrt(mean))) if self.is_root and mean > 0 else error


def mean_of_table(table: Floats, mass: Floats) -> float:
    """Mean loss under a mass of the same shape."""
    return float(np.vdot(table, mass) / mass.sum())


def root_of_table(table: Floats, mass: Floats) -> float:
    """Root of the mean loss under a mass of the same shape."""
    return float(np.sqrt(np.vdot(table, mass) / mass.sum()))


def right_table(outputs: Outputs, _y: Any, n_classes: int) -> Floats:
    """1 where the prediction is the label; shape (n_rows, n_classes)."""
    return np.eye(n_classes)[outputs.predicted]


def log_loss_table(outputs: Outputs, _y: Any, _n_classes: int) -> Floats:
    """Log loss of every label; shape (n_rows, n_classes)."""
    P: Any = outputs.proba
    return -np.log(np.maximum(P, LEAST_PROBABILITY))


def brier_table(outputs: Outputs, _y: Any, n_classes: int) -> Floats:
    """Brier score of every label, halved for two classes; shape (n_rows, n_classes)."""
    P: Any = outputs.proba
    return (np.square(P).sum(axis=1, keepdims=True) + 1 - 2 * P) / (2 if n_classes == 2 else 1)


def squared_column(outputs: Outputs, y: Any, _n_classes: int) -> Floats:
    """Squared errors, shape (n_rows, 1)."""
    return np.square(y - outputs.predicted)[:, np.newaxis]


def absolute_column(outputs: Outputs, y: Any, _n_classes: int) -> Floats:
    """Absolute errors, shape (n_rows, 1)."""
    return np.abs(y - outputs.predicted)[:, np.newaxis]


def pinball_column(quantile: float) -> Callable[[Outputs, Any, int], Floats]:
    """Pinball losses of a predicted quantile, shape (n_rows, 1)."""

    def column(outputs: Outputs, y: Any, _n_classes: int) -> Floats:
        residual = y - outputs.predicted
        return np.maximum(quantile * residual, (quantile - 1) * residual)[:, np.newaxis]

    return column


def balanced_accuracy(right: Floats, mass: Floats) -> float:
    """Mean over the classes of the share that is right, NaN where one has no mass; ``right`` as :func:`right_table`."""
    with np.errstate(invalid="ignore"):
        return float(np.mean((right * mass).sum(axis=0) / mass.sum(axis=0)))


def ranked_scores(outputs: Outputs, _y: Any, n_classes: int) -> list[tuple[int, NDArray[np.intp]]]:
    """Class and the rank of each row by its probability; of two classes the second alone."""
    P: Any = outputs.proba
    return [(k, np.unique(P[:, k], return_inverse=True)[1]) for k in range(1 if n_classes == 2 else 0, n_classes)]


def area_under_curve(ranks: NDArray[np.intp], positive: Floats, negative: Floats) -> float:
    """P(rank of a positive > rank of a negative), ties counted half; masses of the rows on either side."""
    gains, losses = np.bincount(ranks, positive), np.bincount(ranks, negative)
    below = np.cumsum(losses) - losses / 2
    return float(gains @ below / (gains.sum() * losses.sum()))


def mean_area(ranked: list[tuple[int, NDArray[np.intp]]], mass: Floats) -> float:
    """Mean over the classes of the area of each against the others; NaN where one has no mass."""
    if not (mass.sum(axis=0) > 0).all():
        return float("nan")
    total = mass.sum(axis=1)
    return float(np.mean([area_under_curve(ranks, mass[:, k], total - mass[:, k]) for k, ranks in ranked]))


class Binned(NamedTuple):
    """Bin, confidence, and which class is predicted, of each row."""

    bins: NDArray[np.intp]
    confidence: Floats
    predicted: NDArray[Any]


def binned_confidence(outputs: Outputs, _y: Any, _n_classes: int) -> Binned:
    """Rows by the confidence in their predicted class, in 15 bins of equal width."""
    confidence = outputs.confidence
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.intp) - 1, 0, CALIBRATION_BINS - 1)
    return Binned(bins, confidence, outputs.predicted)


def calibration_error(rows: Binned, mass: Floats) -> float:
    """Mean over the rows of how far accuracy and confidence of their bin lie apart."""
    right, total = mass[np.arange(len(mass)), rows.predicted], mass.sum(axis=1)
    gap = np.bincount(rows.bins, right - total * rows.confidence, CALIBRATION_BINS)
    return float(np.abs(gap).sum() / total.sum())


METRICS = {
    metric.name: metric
    for metric in (
        RiskMetric("accuracy", right_table, mean_of_table, 0, 1, True, is_share=True, of="classes"),
        RiskMetric("log_loss", log_loss_table, mean_of_table, 0, float(-np.log(LEAST_PROBABILITY)), True),
        RiskMetric("brier", brier_table, mean_of_table, 0, 2, True),
        RiskMetric("auc", ranked_scores, mean_area, 0, 1, False, is_share=True, of_each_class=True),
        RiskMetric(
            "balanced_accuracy",
            right_table,
            balanced_accuracy,
            0,
            1,
            False,
            is_share=True,
            of_each_class=True,
            of="classes",
        ),
        RiskMetric("calibration_error", binned_confidence, calibration_error, 0, 1, False, is_gap=True),
        RiskMetric("rmse", squared_column, root_of_table, 0, np.inf, True, True, of="values"),
        RiskMetric("mae", absolute_column, mean_of_table, 0, np.inf, True, of="values"),
        RiskMetric("pinball", pinball_column(0.5), mean_of_table, 0, np.inf, True, of="values"),
    )
}


def own_losses(loss: Callable[[Any, Any], Any], classes: NDArray[Any] | None) -> RiskMetric:
    """The metric of a user's loss ``loss(y, outputs)``: one number per row, outputs as the model gives them."""

    def call(y: Any, outputs: Outputs, said: Any) -> Floats:
        return check_vector(loss(y, said), "metric(y, outputs)", len(outputs.predicted))

    def table(outputs: Outputs, y: Any, n_classes: int) -> Floats:
        if classes is None:
            return call(y, outputs, outputs.predicted)[:, np.newaxis]
        said = classes[outputs.predicted] if outputs.proba is None else outputs.proba
        n_rows = len(outputs.predicted)
        return np.column_stack([call(np.repeat(classes[k], n_rows), outputs, said) for k in range(n_classes)])

    of = "values" if classes is None else "classes"
    name = getattr(loss, "__name__", type(loss).__name__)
    return RiskMetric(name, table, mean_of_table, -np.inf, np.inf, True, of=of)


def check_metric(metric: Any, quantile: float, classes: NDArray[Any] | None, has_proba: bool) -> RiskMetric:
    """The metric of a name or a user's loss, for the model at hand.

    Parameters
    ----------
    metric : str or callable
    quantile : float
        Of "pinball".
    classes : ndarray of shape (n_classes,) or None
        None for regressors.
    has_proba : bool

    Raises
    ------
    ShiftDataError
        For a name that is not known, and a metric that the model does not have.
    """
    check_number(quantile, "quantile", above=0, below=1)
    if callable(metric):
        return own_losses(metric, classes)
    found = METRICS[check_option(metric, "metric", METRICS)]
    if (found.of == "values") != (classes is None):
        kind = "a regressor" if classes is None else "a classifier"
        fitting = [name for name, m in METRICS.items() if (m.of == "values") == (classes is None)]
        raise ShiftDataError(f"metric={metric!r} does not judge {kind}: one of {', '.join(fitting)} does.")
    if found.of == "probabilities" and not has_proba:
        raise ShiftDataError(
            f"metric={metric!r} judges probabilities, and the model has no predict_proba: take 'accuracy', or a "
            "model that has."
        )
    if metric == "brier" and classes is not None and len(classes) == 2:
        return found._replace(high=1)
    return found._replace(prepare=pinball_column(quantile)) if metric == "pinball" else found
