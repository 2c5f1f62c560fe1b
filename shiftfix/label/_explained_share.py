"""How much of what tells source from target rows one change of the class shares accounts for.

Under label shift the density ratio is r_w(x) = sum_k w_k p(k given x), w = q / p: no domain classifier can tell the
samples apart better. So the held-out log loss of r_w is compared with those of classifiers that may use everything,
each sample counting one half,

    a = log 2,   b = loss of r_w,   c = loss of a ridge logistic on columns and scores,   d = the same with log r_w as
    offset,      gain G = a - loss,      S = G_b / max(G_b, G_c, G_d),      z = (G_d - G_b) / SE,

w, c and d learned without the fold that is judged. S is 1 under label shift; a z far above 0 says that something else
moved too. Passing is no proof: a covariate shift along the score has the same ratio. And where the scores hardly tell
the classes apart, a large change of class shares moves them by next to nothing, V = |mean score of the target less that
of the source| / |q - p|; whatever else moved a little would be taken for it, 1 / V times as large.
Source: Saerens, Latinne & Decaestecker (2002), Neural Computation 14(1):21-41, equation 2.4 (posteriors under another
prior), for r_w; Qin (1998), Biometrika 85(3):619-630, for the logistic density ratio. The rule of passing was chosen on
natural and simulated shifts.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import MaxAbsScaler

from shiftfix._blocks import row_blocks
from shiftfix._crossfit import Fold, shuffled_folds
from shiftfix._door import public
from shiftfix._numerics import Floats
from shiftfix._row_order import order_of_rows
from shiftfix._validation import check_matrix, check_same_columns, column_names
from shiftfix._verdict import caller_warns
from shiftfix.exceptions import NotIdentifiedError, ShiftDataError
from shiftfix.label._label_shift_rule import LabelShiftFit, rule_of_passing, unjudged
from shiftfix.label._likelihood import log_scores
from shiftfix.label._mlls import MLLS
from shiftfix.label._shift_test import mean_score_p_value
from shiftfix.label._source import read_source, read_target

N_FOLDS = 5
# Columns up to which their squares are used too, and beyond which the rows are projected.
MOST_SQUARED = 60
MOST_COLUMNS, PROJECTED = 200, 100
# Larger numbers are put in units of the largest of their column: their squares overflow.
LARGEST = 1e100
# Standardised values are cut here: one outlier squared would decide the held-out loss.
CUT = 5.0
# Penalty |coefficients|^2 / 2 beside the sum of the rows' losses.
RIDGE = 1.0


class DomainRows(NamedTuple):
    """Rows of both samples, source first.

    Attributes
    ----------
    scores : ndarray of shape (n_rows, n_classes)
    columns : ndarray of shape (n_rows, n_columns)
        Features, if any, and log scores.
    is_target : ndarray of bool of shape (n_rows,)
    labels : ndarray of int of shape (n_source,)
    counts : ndarray of shape (n_rows,)
    """

    scores: NDArray[Any]
    columns: Floats
    is_target: NDArray[np.bool_]
    labels: NDArray[np.intp]
    counts: Floats

    def balanced(self, rows: NDArray[np.intp]) -> Floats:
        """Weights of some rows, of sum one half for each sample."""
        weight, target = self.counts[rows], self.is_target[rows]
        totals = np.bincount(target, weights=weight, minlength=2)
        return weight / (2 * totals[target.astype(np.intp)])


def domain_losses(log_odds: Floats, is_target: NDArray[np.bool_]) -> Floats:
    """Negative log probability of the sample each row comes from; shape (n_rows,)."""
    return np.logaddexp(0.0, np.where(is_target, -log_odds, log_odds))


def offset_logistic(
    columns: Floats, is_target: NDArray[np.bool_], weight: Floats, offset: Floats, penalty: float
) -> tuple[Floats, float]:
    """Coefficients and intercept that minimise the weighted log loss of offset + columns @ coefficients + intercept.

    Parameters
    ----------
    columns : ndarray of shape (n_rows, n_columns)
    is_target : ndarray of bool of shape (n_rows,)
    weight : ndarray of shape (n_rows,)
        Of sum 1; 0 leaves a row out.
    offset : ndarray of shape (n_rows,)
    penalty : float
        Times |coefficients|^2 / 2; the intercept is free.
    """
    sign = np.where(is_target, 1.0, -1.0)

    blocks = row_blocks(*columns.shape)

    def objective(point: Floats) -> tuple[float, Floats]:
        value = float(penalty / 2 * (point[:-1] @ point[:-1]))
        gradient: Floats = np.append(penalty * point[:-1], 0.0)
        for rows in blocks:
            # Both products of a block while it is at hand: what takes time is reading it.
            margin = sign[rows] * (offset[rows] + columns[rows] @ point[:-1] + point[-1])
            slope = -weight[rows] * sign[rows] * expit(-margin)
            value += float(weight[rows] @ np.logaddexp(0.0, -margin))
            gradient[:-1] += columns[rows].T @ slope
            gradient[-1] += slope.sum()
        return value, gradient

    start = np.zeros(columns.shape[1] + 1)
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-6})
    return found.x[:-1], float(found.x[-1])


def _standardised(columns: Floats, share: Floats, out: Floats) -> None:
    """Write the columns into ``out``, in units of their spread weighted by ``share``, cut; constant ones are 0.

    ``out`` may be the columns themselves.

    In blocks: a table of a million rows and its copies do not fit where they are worked on fast.
    """
    blocks = row_blocks(*columns.shape)
    centre = sum((share[rows] @ columns[rows] for rows in blocks), np.zeros(columns.shape[1]))
    squares, room = np.zeros(columns.shape[1]), np.empty((blocks[0].stop, columns.shape[1]))
    for rows in blocks:
        apart = np.subtract(columns[rows], centre, out=room[: rows.stop - rows.start])
        squares += share[rows] @ np.square(apart, out=apart)
    spread = np.sqrt(squares)
    divisor = np.where(spread > np.abs(centre) * 1e-9, spread, np.inf)
    for rows in blocks:
        made = np.subtract(columns[rows], centre, out=out[rows])
        made /= divisor
        np.clip(made, -CUT, CUT, out=made)


def _judged_columns(rows: DomainRows, share: Floats) -> Floats:
    """What the classifiers see, standardised by the rows they learn from, of balanced weights ``share``."""
    n_rows, n_columns = rows.columns.shape
    squares = n_columns <= MOST_SQUARED
    made = np.empty((n_rows, 2 * n_columns if squares else n_columns))
    linear = made[:, :n_columns]
    _standardised(rows.columns, share, linear)
    if squares:
        squared = np.multiply(linear, linear, out=made[:, n_columns:])
        _standardised(squared, share, squared)
    return made


def _fitted_prior(rows: DomainRows, training: NDArray[np.intp]) -> MLLS:
    """Calibration and class shares learned from some rows."""
    n_source = len(rows.labels)
    source, target = training[training < n_source], training[training >= n_source]
    prior = MLLS(n_bootstrap=0)
    with caller_warns():
        prior.fit(
            rows.scores[source],
            rows.labels[source],
            rows.scores[target],
            classes=np.arange(rows.scores.shape[1]),
            sample_weight_source=rows.counts[source],
            sample_weight_target=rows.counts[target],
        )
    return prior


def _label_ratio(rows: DomainRows, training: NDArray[np.intp]) -> Floats:
    """Log r_w of every row, with calibration and class weights learned from some of them."""
    prior = _fitted_prior(rows, training)
    ratio = prior.calibrate(rows.scores) @ (prior.target_prior_ / prior.score_prior_)
    return np.log(np.maximum(ratio, np.finfo(np.float64).tiny))


def fold_losses(rows: DomainRows, fold: Fold) -> Floats:
    """Losses b, c and d at the rows held out, shape (n_held_out, 3)."""
    training, held_out = fold
    # Rows held out weigh nothing: a copy of the others would take longer than they do.
    share = np.zeros(len(rows.is_target))
    share[training] = rows.balanced(training)
    share /= share.sum()
    ratio, columns = _label_ratio(rows, training), _judged_columns(rows, share)
    penalty = RIDGE / rows.counts[training].sum()
    said = [ratio[held_out]]
    for offset in (np.zeros(len(ratio)), ratio):
        coefficients, intercept = offset_logistic(columns, rows.is_target, share, offset, penalty)
        said.append((offset + columns @ coefficients)[held_out] + intercept)
    return np.column_stack([domain_losses(log_odds, rows.is_target[held_out]) for log_odds in said])


def held_out_losses_of(rows: DomainRows, folds: list[Fold]) -> Floats:
    """Losses b, c and d of every row by the fold that held it out, shape (n_rows, 3)."""
    losses = np.empty((len(rows.is_target), 3))
    for fold in folds:
        losses[fold.held_out] = fold_losses(rows, fold)
    return losses


def _mean_and_error(rows: DomainRows) -> Callable[[Floats], tuple[float, float]]:
    """Function that gives the balanced mean of values of all rows, and its standard error."""
    sides = [np.flatnonzero(rows.is_target == side) for side in (False, True)]

    def of(values: Floats) -> tuple[float, float]:
        mean, variance = 0.0, 0.0
        for side in sides:
            c = rows.counts[side]
            centre = float(np.average(values[side], weights=c))
            mean += centre / 2
            variance += float(np.average(np.square(values[side] - centre), weights=c)) / (4 * c.sum())
        return mean, float(np.sqrt(variance))

    return of


def judge_label_shift(
    rows: DomainRows, losses: Floats, p_value: float, visible_share: float, uses_features: bool
) -> LabelShiftFit:
    """The explained share and the rule of passing, from held-out losses b, c and d.

    Parameters
    ----------
    rows : DomainRows
    losses : ndarray of shape (n_rows, 3)
    p_value : float
        Of the test that the mean scores did not move.
    visible_share : float
    uses_features : bool
    """
    of, gains = _mean_and_error(rows), np.log(2) - losses
    means = [of(gains[:, k])[0] for k in range(3)]
    best = int(np.argmax(means))
    further, error = of(gains[:, 2] - gains[:, 0])
    z = further / error if error > 0 else 0.0
    share, share_error = float("nan"), float("nan")
    if means[best] > 0:
        share = means[0] / means[best]
        # Where r_w itself is the best, S is 1, as surely as it is better than the next.
        other = best if best else 1 + int(np.argmax(means[1:]))
        share_error = of(gains[:, 0] - share * gains[:, other])[1] / means[best]
    passes, reason = rule_of_passing(share, share_error, z, p_value, visible_share)
    return LabelShiftFit(
        share, share_error, z, means[0], means[best], p_value, visible_share, uses_features, passes, reason
    )


def visible_share_of(rows: DomainRows, prior: MLLS | None = None) -> float:
    """How far the mean calibrated scores moved for each unit of the change of class shares; NaN without a change.

    ``prior`` is one that was fitted to all rows, where there is one.
    """
    prior = _fitted_prior(rows, np.arange(len(rows.is_target))) if prior is None else prior
    calibrated = prior.calibrate(rows.scores)
    means = [
        np.average(calibrated[side], axis=0, weights=rows.counts[side]) for side in (rows.is_target, ~rows.is_target)
    ]
    step = float(np.linalg.norm(prior._estimated_prior - prior.score_prior_))
    return float(np.linalg.norm(means[0] - means[1])) / step if step > 0 else float("nan")


def projected(X: Any) -> Floats:
    """Rows as a dense table of few columns: the first principal directions of sparse or very wide ones."""
    if X.shape[0] and abs(X).max() > LARGEST:
        X = MaxAbsScaler().set_output(transform="default").fit_transform(X)
    if not sparse.issparse(X) and X.shape[1] <= MOST_COLUMNS:
        return np.asarray(X, dtype=np.float64)
    n_columns = min(PROJECTED, X.shape[1] - 1, X.shape[0] - 1)
    if n_columns < 1:
        return np.asarray(X.toarray() if sparse.issparse(X) else X, dtype=np.float64)
    found: Floats = TruncatedSVD(n_columns, random_state=0).set_output(transform="default").fit_transform(X)
    return found


def _domain_folds(labels: NDArray[np.intp], scores: Floats, target_scores: Floats, n_folds: int) -> list[Fold]:
    """Folds of both samples, the source's stratified by class; by what the rows hold."""
    n_source, n_target = len(labels), len(target_scores)
    order, target_order = order_of_rows(scores, labels), order_of_rows(target_scores)
    number = np.empty(n_source + n_target, dtype=np.intp)
    for k, fold in enumerate(shuffled_folds(n_folds, labels[order], stratified=True, seed=0)):
        number[order[fold.held_out]] = k
    number[n_source + target_order] = np.random.default_rng(0).permutation(n_target) % n_folds
    return [Fold(np.flatnonzero(number != k), np.flatnonzero(number == k)) for k in range(n_folds)]


def explained_share_of(
    scores: NDArray[Any],
    labels: NDArray[np.intp],
    target_scores: NDArray[Any],
    features: Floats | None,
    counts: Floats,
    target_counts: Floats,
    prior: Any = None,
) -> LabelShiftFit:
    """As :func:`label_shift_fit`, of checked arrays.

    ``features`` are those of both samples, source first; ``prior`` an estimator that was fitted to the same rows and is
    used again where it is one of the kind that is needed.
    """
    p_value = mean_score_p_value(
        np.asarray(scores, np.float64),
        np.asarray(target_scores, np.float64),
        counts,
        target_counts,
        rng=np.random.default_rng(0),
    )
    every = np.vstack([scores, target_scores])
    z = log_scores(every)
    z -= z.mean(axis=1)[:, np.newaxis]
    columns = z[:, 1:] if features is None else np.hstack([features, z[:, 1:]])
    is_target = np.repeat([False, True], [len(scores), len(target_scores)])
    rows = DomainRows(every, columns, is_target, labels, np.append(counts, target_counts))
    n_folds = int(min(N_FOLDS, np.bincount(labels).min(), len(target_scores)))
    if n_folds < 2:
        reason = "a class has a single source row, or the target a single row, so that nothing can be held out"
        return unjudged(p_value, features is not None, reason)
    folds = _domain_folds(labels, every[~is_target], every[is_target], n_folds)
    fits = type(prior) is MLLS and prior.calibration == "auto" and hasattr(prior, "target_prior_")
    try:
        losses, visible = held_out_losses_of(rows, folds), visible_share_of(rows, prior if fits else None)
    except NotIdentifiedError as error:
        return unjudged(p_value, features is not None, str(error).rstrip("."))
    return judge_label_shift(rows, losses, p_value, visible, features is not None)


@public
def label_shift_fit(
    scores_source: ArrayLike,
    y_source: ArrayLike,
    scores_target: ArrayLike,
    X_source: Any = None,
    X_target: Any = None,
    *,
    classes: ArrayLike | None = None,
    sample_weight_source: ArrayLike | None = None,
    sample_weight_target: ArrayLike | None = None,
) -> LabelShiftFit:
    """Share of what tells the samples apart that one change of the class shares explains, and whether that is all.

    Label shift says that the samples differ by r_w(x) = sum_k w_k p(k given x) alone. A ridge logistic on features,
    their squares (up to 60 columns) and scores looks for anything else, out of fold. Without features it sees the
    scores alone, and a change that they do not show goes unseen.

    Parameters
    ----------
    scores_source : array-like of shape (n_source, n_classes)
        Class probabilities of labelled source rows that the classifier was NOT trained on.
    y_source : array-like of shape (n_source,)
    scores_target : array-like of shape (n_target, n_classes)
        By the same classifier.
    X_source, X_target : array-like or sparse matrix of shape (n_rows, n_features), default=None
        Numbers: features, or a network's last layer. Sparse rows, and more than 200 columns, are projected to 100.
    classes : array-like of shape (n_classes,), default=None
        Label of each column; None means the sorted labels.
    sample_weight_source, sample_weight_target : array-like, default=None
        Repeat counts of the rows.

    Returns
    -------
    LabelShiftFit
        It passes where the mean scores moved (level 0.02), S is at least 1/2, and no other classifier is clearly
        better (z < 1.64), or S - 1.64 SE(S) is at least .8. Passing is no proof: a covariate shift along the score has
        the same ratio.

    Raises
    ------
    ShiftDataError
        For scores that are no probabilities, features of one sample only, and rows that do not match.

    See Also
    --------
    LabelShiftFit : What it returns.
    label_shift_test : Does one change of the class shares explain the scores?
    shiftfix.corrected.LabelShiftClassifier : A classifier that follows the target's class shares.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> def draw(share, n, move=0.0):
    ...     y = (rng.random(n) < share).astype(int)
    ...     x = np.column_stack([rng.normal(2 * y - 1), rng.normal(move, 1, n)])
    ...     p = 1 / (1 + np.exp(-2 * x[:, 0]))
    ...     return np.column_stack([1 - p, p]), y, x
    >>> scores, y, X = draw(0.5, 1000)
    >>> scores_target, _, X_target = draw(0.2, 1000)
    >>> label_shift_fit(scores, y, scores_target, X, X_target).passes
    True
    >>> scores_target, _, X_target = draw(0.2, 1000, move=0.5)  # something that the classes do not explain
    >>> label_shift_fit(scores, y, scores_target, X, X_target).passes
    False
    """
    classes, source = read_source(scores_source, y_source, classes, sample_weight_source, "soft")
    target = read_target(scores_target, classes, sample_weight_target, "soft")
    features = _checked_features(X_source, X_target, len(source.scores), len(target.scores))
    here, there = np.flatnonzero(source.counts), np.flatnonzero(target.counts)
    if features is not None:
        features = features[np.append(here, len(source.scores) + there)]
    return explained_share_of(
        np.asarray(source.scores[here], dtype=np.float64),
        source.class_index[here],
        np.asarray(target.scores[there], dtype=np.float64),
        features,
        source.counts[here],
        target.counts[there],
    )


def _checked_features(X_source: Any, X_target: Any, n_source: int, n_target: int) -> Floats | None:
    """Features of both samples, one below the other, or None for none."""
    if (X_source is None) != (X_target is None):
        raise ShiftDataError("X_source and X_target belong together: pass the features of both samples, or neither.")
    if X_source is None:
        return None
    first, second = (
        check_matrix(X, name, accept_sparse=True) for X, name in ((X_source, "X_source"), (X_target, "X_target"))
    )
    check_same_columns(column_names(X_source), X_target, "X_source", "X_target", first.shape[1])
    for X, size, name in ((first, n_source, "source"), (second, n_target, "target")):
        if X.shape[0] != size:
            raise ShiftDataError(f"X_{name} has {X.shape[0]} rows for {size} of scores_{name}: pass one row for each.")
    stacked = sparse.vstack if sparse.issparse(first) or sparse.issparse(second) else np.vstack
    return projected(stacked([first, second]))
