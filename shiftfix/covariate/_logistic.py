"""Covariate weights from a logistic source-versus-target classifier.

Assumes p(y | x) is shared and only p(x) moves. With labels -1 (source) and +1 (target) and
log odds h(x) = intercept + coef' x [+ x' quadratic x], Bayes' rule gives

    w(x) = (n_source / n_target) * exp(h(x)),

because the odds are (n_target p_target) / (n_source p_source). The size factor enters before any clip:
clipping exp(h) itself would clip w at c * n_source / n_target.
Source: Bickel, Brueckner & Scheffer (2009), JMLR 10:2137-2155; Qin (1998), Biometrika 85(3):619-630.
"""

import warnings
from importlib import import_module
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from shiftfix._blocks import column_spread
from shiftfix._crossfit import content_order
from shiftfix._validation import check_count, check_matrix, check_number, check_option
from shiftfix.covariate._base import BaseWeighter
from shiftfix.covariate._logistic_solver import EXPANSIONS, NEWTON_COLUMNS, Objective, make_columns, n_columns, solve
from shiftfix.exceptions import ShiftDataError

SOURCE, TARGET = -1, 1
C_GRID = (100.0, 10.0, 1.0, 0.1, 0.01)
N_FOLDS = 5
# Held-out losses of a choice between a few models are told apart well before this many rows.
CHOICE_ROWS = 50_000
CHOICE_TOLERANCE = 1e-5


def odds_to_log_ratio(log_odds, n_source, n_target):
    """Log w = h + log(n_source / n_target), same shape as ``log_odds``.

    Parameters
    ----------
    log_odds : ndarray of shape (n_rows,)
        log P(target | x) / P(source | x) by a classifier fitted to both samples.
    n_source, n_target : float
        Rows (or total sample weights) the classifier saw of each.
    """
    return log_odds + np.log(n_source / n_target)


def domain_log_loss(log_odds, counts):
    """Mean cross entropy of source and target rows, in nats; a float.

    Parameters
    ----------
    log_odds : list of two ndarray of shape (n_rows,)
        At source and at target rows.
    counts : list of two ndarray of shape (n_rows,)
        Repeat counts.
    """
    source, target = log_odds
    loss = counts[0] @ np.logaddexp(0, source) + counts[1] @ np.logaddexp(0, -target)
    return float(loss / (counts[0].sum() + counts[1].sum()))


def held_out_losses(samples, counts, features, penalties, *, max_iter=1000):
    """Held-out log loss of every choice of features and C, by five folds.

    The log loss is proper: in expectation it is least at the true ratio. Folds are systematic in an order of the rows
    that depends on their values alone, so neither the order of the rows nor chance has a part in the choice. Of
    each sample at most 50,000 rows, evenly spread in that order, are used.

    Parameters
    ----------
    samples : list of two matrices
        Source and target rows.
    counts : list of two ndarray
        Their repeat counts.
    features : sequence of {"linear", "squares", "quadratic"}
    penalties : sequence of float
        Values of C, for all rows.

    Returns
    -------
    dict
        (features, C): mean cross entropy in nats.
    """
    total = sum(c.sum() for c in counts)
    samples, counts, folds = [list(part) for part in (samples, counts, samples)]
    for i, order in enumerate(content_order(samples)):
        kept = order[:: -(-len(order) // CHOICE_ROWS)]
        samples[i], counts[i], folds[i] = samples[i][kept], counts[i][kept], np.arange(len(kept)) % N_FOLDS
    losses: dict = {(name, C): 0.0 for name in features for C in penalties}
    for fold in range(N_FOLDS):
        seen = [np.flatnonzero(f != fold) for f in folds]
        held = [np.flatnonzero(f == fold) for f in folds]
        part = [X[i] for X, i in zip(samples, seen, strict=True)]
        part_counts = [c[i] for c, i in zip(counts, seen, strict=True)]
        held_counts = [c[i] for c, i in zip(counts, held, strict=True)]
        for name in features:
            columns, _ = make_columns(part, part_counts, name)
            point = None
            for C in penalties:
                # The penalty per row is that of the fit on all rows.
                objective = Objective(part, part_counts, columns, 1 / (C * total))
                point, _, _ = solve(objective, point, max_iter, CHOICE_TOLERANCE)
                h = [columns.log_odds(X[i], point[1:], point[0]) for X, i in zip(samples, held, strict=True)]
                losses[name, C] += domain_log_loss(h, held_counts) / N_FOLDS
    return losses


def stack_rows(source, target):
    """Both samples one below the other: arrays, sparse matrices, or data frames of one library."""
    if hasattr(source, "columns"):
        library = import_module(type(source).__module__.partition(".")[0])
        options = {"how": "vertical_relaxed"} if library.__name__ == "polars" else {"ignore_index": True}
        return library.concat([source, target], **options)
    if sparse.issparse(source):
        return sparse.vstack([source, target], format="csr")
    return np.concatenate([source, target])


class LogisticWeighter(BaseWeighter):
    """Weight source rows by the odds that they came from the target.

    Linear log odds are exact for two Gaussians with one covariance, for exponential tilts and for one-hot features;
    where spreads differ the log ratio has squares. In-sample weights are right for a regularised logistic model: its
    score equations balance the moments.

    The solver is our own and exact: Newton's method on sums over blocks of rows, so that neither a stacked nor a
    standardised copy of the data is made, L-BFGS beyond 1000 columns. ``gradient_norm_`` certifies the optimum. Sparse
    matrices stay sparse and float32 arrays float32; all sums are in float64.

    Parameters
    ----------
    C : float or "cv", default=1.0
        Inverse strength of the L2 penalty on the coefficients of the standardised columns; the intercept is
        free. ``"cv"`` takes the C of (100, 10, 1, .1, .01) with the least held-out log loss, by five folds.
        ``numpy.inf`` removes the penalty, and then separable samples have no finite answer.
    features : {"linear", "squares", "quadratic", "auto"} or transformer, default="linear"
        What h is linear in: the features, also their squares, also their products in pairs. ``"auto"`` takes
        the one with the least held-out log loss, leaving out those with more than 1000 columns or more than half
        as many as the smaller sample has rows. A transformer (a ColumnTransformer, say) is cloned, fitted to both
        samples together and applied to all rows, which may then be frames with text columns or missing values;
        it does not see repeat counts. For sparse rows only "linear", "auto" (then the same) and transformers.
    clip : "sqrt", float, percentile such as "99%", "ess", "pareto" or None, default="sqrt"
        Upper bound c of a weight, applied to (n_source / n_target) exp(h) before normalisation;
        ``"sqrt"`` is mean(w) * sqrt(n_source). The other rules:
        :func:`shiftfix.weights.clip_threshold`.
    min_ess : float, default=100
        For ``clip="ess"``: effective sample size to reach, in rows from 1 on, a share of the source rows below 1.
    normalize : {"mean", None}, default="mean"
        ``"mean"`` divides by the mean clipped weight of the source.
    max_iter : int, default=1000
        Iterations of the solver.
    tol : float, default=1e-8
        Largest gradient entry of the mean loss at which the solver stops.
    warm_start : bool, default=False
        Whether a second ``fit`` begins at the solution of the first when it has the same columns. The answer is
        the same, sooner.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Slope of h, per unit of the features as given (of the transformer's output, when there is one).
    quadratic_ : ndarray of shape (n_features, n_features) or None
        Symmetric Q of the part x' Q x of h, in the units of the features; None for linear h.
    intercept_ : float
        Intercept of h; it contains log(n_target / n_source).
    C_ : float
        The penalty used.
    features_ : {"linear", "squares", "quadratic"}
        The columns used; "linear" with a transformer.
    held_out_losses_ : dict or None
        (features, C): held-out log loss in nats per row; None when nothing was to be chosen.
    transformer_ : transformer or None
        The fitted clone.
    gradient_norm_ : float
        Largest entry of the gradient of the penalised mean loss at the solution, over the standardised columns.
    n_iter_ : int
        Steps of the solver over all rows.
    n_source_, n_target_ : float
        Rows of each sample, or the totals of their sample weights.
    log_clip_, log_mean_ : float
        Logarithms of the clip and of the mean clipped weight.
    summary_ : WeightSummary
        Effective size, overlap and the verdict.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when ``X_source`` had column names.

    Raises
    ------
    ShiftDataError
        By ``fit`` and ``transform``, for input that cannot be used.

    Warns
    -----
    PoorOverlapWarning
        By ``fit``, when the verdict is "abstain".
    sklearn.exceptions.ConvergenceWarning
        By ``fit``, when ``gradient_norm_`` stays above ``tol``.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X_source, X_target = rng.normal(0, 1, (2000, 1)), rng.normal(0.5, 1, (500, 1))
    >>> w = LogisticWeighter().fit_transform(X_source, X_target)
    >>> round(float(np.average(X_source[:, 0], weights=w)), 1)
    0.5
    """

    def __init__(
        self,
        C=1.0,
        *,
        features="linear",
        clip="sqrt",
        min_ess=100,
        normalize="mean",
        max_iter=1000,
        tol=1e-8,
        warm_start=False,
    ):
        self.C = C
        self.features = features
        self.clip = clip
        self.min_ess = min_ess
        self.normalize = normalize
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start

    def _uses_transformer(self):
        return not isinstance(self.features, str) and hasattr(self.features, "transform")

    def _check_rows(self, X, name):
        if not self._uses_transformer():
            return check_matrix(X, name, dtype=[np.float64, np.float32], accept_sparse=True)
        if X is None:
            raise ShiftDataError(f"{name} is None: pass an array or a frame of shape (n_rows, n_features).")
        rows = X if hasattr(X, "columns") else sparse.csr_array(X) if sparse.issparse(X) else np.asarray(X)
        if len(rows.shape) != 2 or 0 in rows.shape:
            raise ShiftDataError(f"{name} has shape {tuple(rows.shape)}: rows and columns are needed.")
        return rows

    def _fit_features(self, source, target):
        self.transformer_: Any = None
        if not self._uses_transformer():
            check_option(self.features, "features", [*EXPANSIONS, "auto"])
            return source, target
        self.transformer_ = clone(self.features).fit(stack_rows(source, target))
        return self._transformed(source, "X_source"), self._transformed(target, "X_target")

    def _transformed(self, X, name):
        found = self.transformer_.transform(X)
        matrix = check_matrix(found, f"{name} transformed", dtype=[np.float64, np.float32], accept_sparse=True)
        if matrix.shape[0] != X.shape[0]:
            raise ShiftDataError(
                f"{type(self.features).__name__} turned {X.shape[0]} rows of {name} into {matrix.shape[0]}: "
                "features needs a transformer that keeps the rows."
            )
        return matrix

    def _features(self, X):
        return X if self.transformer_ is None else self._transformed(X, "X")

    def _fit_log_ratio(self, X_source, X_target, sample_weight_source, sample_weight_target):
        if not isinstance(self.C, str):
            check_number(self.C, "C", above=0)
        else:
            check_option(self.C, "C", ["cv"])
        check_count(self.max_iter, "max_iter")
        check_number(self.tol, "tol", above=0)
        samples, counts = [X_source, X_target], [sample_weight_source, sample_weight_target]
        self.n_source_, self.n_target_ = (float(c.sum()) for c in counts)
        columns = self._choose(samples, counts)
        previous = getattr(self, "_solution", None) if self.warm_start else None
        start = None
        if previous is not None and previous[0].expansion == self.features_:
            same = len(previous[0].scale) == len(columns.scale)
            start = previous[1] if same else None
        penalty = 1 / (self.C_ * (self.n_source_ + self.n_target_))
        objective = Objective(samples, counts, columns, penalty)
        point, self.gradient_norm_, self.n_iter_ = solve(objective, start, self.max_iter, self.tol)
        if self.gradient_norm_ > self.tol:
            warnings.warn(
                f"The solver stopped after {self.n_iter_} of {self.max_iter} iterations with a gradient of "
                f"{self.gradient_norm_:.2g}, and tol={self.tol:.2g} is asked for: raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )
        self._solution = columns, point
        self._fitted_log_odds = objective.log_odds(point)
        self.intercept_, self.coef_, self.quadratic_ = columns.polynomial(point[1:], point[0])

    def _choose(self, samples, counts):
        """Set ``features_``, ``C_`` and ``held_out_losses_``; return the standardised columns."""
        self.features_ = "linear" if self._uses_transformer() else self.features
        is_sparse = sparse.issparse(samples[0])
        if is_sparse and self.features_ in ("squares", "quadratic"):
            raise ShiftDataError(
                f"features={self.features!r} would fill in a sparse matrix: pass arrays, or features='linear'."
            )
        names = [self.features_]
        if self.features_ == "auto":
            widest = min(NEWTON_COLUMNS, min(X.shape[0] for X in samples) // 2)
            names = ["linear"]
            names += [n for n in EXPANSIONS[1:] if not is_sparse and n_columns(n, samples[0].shape[1]) <= widest]
        self.features_ = names[0]
        penalties = C_GRID if self.C == "cv" else (float(self.C),)
        self.C_ = penalties[0]
        self.held_out_losses_ = None
        self._fitted_spreads = [column_spread(X, c) for X, c in zip(samples, counts, strict=True)]
        columns, variance = make_columns(samples, counts, "linear", self._fitted_spreads)
        if not np.isfinite(variance).all():
            column = int(np.flatnonzero(~np.isfinite(variance))[0])
            largest = max(abs(X[:, [column]]).max() for X in samples)
            raise ShiftDataError(
                f"The values of column {column} overflow when squared (largest {largest:.3g}): "
                "rescale the column, for example to thousands or logarithms."
            )
        if len(names) * len(penalties) > 1:
            if min(X.shape[0] for X in samples) < N_FOLDS:
                # Too few rows to hold any out: the simplest features, the default penalty.
                self.C_ = 1.0 if self.C == "cv" else self.C_
            else:
                self.held_out_losses_ = held_out_losses(samples, counts, names, penalties, max_iter=self.max_iter)
                self.features_, self.C_ = min(self.held_out_losses_, key=self.held_out_losses_.__getitem__)
        if self.features_ != "linear":
            columns, _ = make_columns(samples, counts, self.features_, self._fitted_spreads)
        return columns

    def _fitted_log_ratios(self, source, target):
        # Held only from one step of fit to the next.
        log_odds = self.__dict__.pop("_fitted_log_odds")
        return tuple(odds_to_log_ratio(h, self.n_source_, self.n_target_) for h in log_odds)

    def _spreads(self, samples, counts):
        return self.__dict__.pop("_fitted_spreads")

    def _log_ratio(self, X):
        columns, point = self._solution
        return odds_to_log_ratio(columns.log_odds(X, point[1:], point[0]), self.n_source_, self.n_target_)
