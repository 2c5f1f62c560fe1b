"""Covariate weights from a logistic source-versus-target classifier.

Assumes p(y | x) is shared and only p(x) moves. With labels -1 (source) and +1 (target) and
log odds h(x) = intercept + coef' x [+ x' quadratic x], Bayes' rule gives

    w(x) = (n_source / n_target) * exp(h(x)),

because the odds are (n_target p_target) / (n_source p_source). The size factor enters before any clip:
clipping exp(h) itself would clip w at c * n_source / n_target.
Source: Bickel, Brueckner & Scheffer (2009), JMLR 10:2137-2155; Qin (1998), Biometrika 85(3):619-630.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import _safe_indexing

from shiftfix._blocks import ColumnSpread, column_spread
from shiftfix._crossfit import Rows, folds_of_numbers
from shiftfix._naming import OVERFLOW, CellError, ColumnError, column_names, made_names
from shiftfix._numerics import Floats
from shiftfix._row_order import content_order
from shiftfix._setting_checks import check_count, check_number, check_option
from shiftfix._validation import check_matrix
from shiftfix.covariate._base import BaseWeighter, FittedRatio
from shiftfix.covariate._logistic_columns import EXPANSIONS, Columns, made_columns, make_columns, n_columns
from shiftfix.covariate._logistic_solver import NEWTON_COLUMNS, Factor, Objective, solve
from shiftfix.covariate._odds import odds_to_log_ratio, stack_rows
from shiftfix.covariate._samples import Samples
from shiftfix.exceptions import ShiftDataError

C_GRID = (100.0, 10.0, 1.0, 0.1, 0.01)
# Penalties beyond these are all there is, and none.
LEAST_C, MOST_C = 1e-100, 1e100
# Of squares the spread is taken, which squares them again.
LARGEST_SQUARED = 1e75
N_FOLDS = 5
# Held-out losses of a choice between a few models are told apart well before this many rows.
CHOICE_ROWS = 50_000
CHOICE_TOLERANCE = 1e-5


def domain_log_loss(log_odds: Sequence[Floats], counts: Sequence[Floats]) -> float:
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


def _rows_at(arrays: Sequence[Any], rows: Sequence[Rows]) -> list[Any]:
    return [array[positions] for array, positions in zip(arrays, rows, strict=True)]


def _side_of(pair: Sequence[Any], side: int, samples: Any, counts: Any) -> tuple[Any, Any]:
    """Rows of both samples and their counts on one side of a pair of folds: 0 to learn from, 1 held out."""
    rows = [fold[side] for fold in pair]
    return _rows_at(samples, rows), _rows_at(counts, rows)


def held_out_losses(
    samples: Sequence[Any],
    counts: Sequence[Floats],
    features: Sequence[str],
    penalties: Sequence[float],
    *,
    max_iter: int = 1000,
) -> dict[str, dict[float, float]]:
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
        Of features, a dict of C: mean cross entropy in nats.
    """
    total = sum(c.sum() for c in counts)
    kept = [order[:: -(-len(order) // CHOICE_ROWS)] for order in content_order(samples)]
    samples, counts = _rows_at(samples, kept), _rows_at(counts, kept)
    folds = [folds_of_numbers(np.arange(len(rows)) % N_FOLDS) for rows in kept]
    # The penalty per row is that of the fit on all rows.
    each = [1 / (C * total) for C in penalties]
    losses = {name: dict.fromkeys(penalties, 0.0) for name in features}
    for name in features:
        rows, columns = made_columns(samples, counts, name)
        fits = list(_fits_along(rows, columns, counts, each, max_iter))
        for pair in zip(*folds, strict=True):
            learned, judged = (_side_of(pair, side, rows, counts) for side in (0, 1))
            for C, fit in zip(penalties, fits, strict=True):
                losses[name][C] += fit.loss_without(learned, judged, max_iter) / N_FOLDS
    return losses


class WholeFit(NamedTuple):
    """A fit to all rows, near which those without a fold are.

    Attributes
    ----------
    columns : Columns
    penalty : float
    point : ndarray of shape (1 + n_columns,)
        The solution.
    factor : tuple or None
        Cholesky factor of a Hessian near it; None of too many columns.
    """

    columns: Columns
    penalty: float
    point: Floats
    factor: Factor | None

    def loss_without(self, learned: tuple[Any, Any], judged: tuple[Any, Any], max_iter: int) -> float:
        """Mean cross entropy at the rows judged, of a fit to those to learn from; each pair is samples and counts."""
        objective = Objective(*learned, self.columns, self.penalty)
        point = solve(objective, self.point, max_iter, CHOICE_TOLERANCE, self.factor).point
        return domain_log_loss([self.columns.log_odds(X, point[1:], point[0]) for X in judged[0]], judged[1])


def _fits_along(
    samples: Sequence[Any], columns: Columns, counts: Sequence[Floats], penalties: Sequence[float], max_iter: int
) -> Iterator[WholeFit]:
    """Fits to all rows, one for each penalty; each begins where the last one ended."""
    point = None
    for penalty in penalties:
        objective = Objective(samples, counts, columns, penalty)
        point, _, _, factor = solve(objective, point, max_iter, CHOICE_TOLERANCE)
        yield WholeFit(columns, penalty, point, factor)


def refuse_large_squares(spreads: Sequence[ColumnSpread]) -> None:
    """Raise for columns whose products overflow."""
    reach = np.max([np.maximum(np.abs(spread.low), np.abs(spread.high)) for spread in spreads], axis=0)
    if (reach > LARGEST_SQUARED).any():
        column = int(np.flatnonzero(reach > LARGEST_SQUARED)[0])
        found = OVERFLOW.format(reach[column]).rstrip(".")
        raise ColumnError(f'{found}, or pass features="linear".', column)


class ModelChoice(NamedTuple):
    """Features and C, and the held-out loss of every one compared; None when nothing was to be chosen."""

    features: str
    C: float
    losses: dict[str, dict[float, float]] | None


def choose_model(
    samples: Sequence[Any],
    counts: Sequence[Floats],
    features: Sequence[str],
    penalties: Sequence[float],
    *,
    max_iter: int = 1000,
) -> ModelChoice:
    """The features and the C of least held-out loss; arguments as :func:`held_out_losses`, the simplest first."""
    if len(features) * len(penalties) == 1:
        return ModelChoice(features[0], penalties[0], None)
    if min(X.shape[0] for X in samples) < N_FOLDS:
        # Too few rows to hold any out: the simplest features, the default penalty.
        return ModelChoice(features[0], penalties[0] if len(penalties) == 1 else 1.0, None)
    losses = held_out_losses(samples, counts, features, penalties, max_iter=max_iter)
    pairs = [(name, C) for name in features for C in penalties]
    return ModelChoice(*min(pairs, key=lambda pair: losses[pair[0]][pair[1]]), losses)


def features_to_compare(features: str, samples: Sequence[Any]) -> list[str]:
    """What ``features`` stands for, the simplest first.

    Raises
    ------
    ShiftDataError
        For features that would fill in a sparse matrix.
    """
    is_sparse = sparse.issparse(samples[0])
    if is_sparse and features in ("squares", "quadratic"):
        raise ShiftDataError(f"features={features!r} would fill in a sparse matrix: pass arrays, or features='linear'.")
    if features != "auto":
        return [features]
    widest = min(NEWTON_COLUMNS, min(X.shape[0] for X in samples) // 2)
    wide = [n for n in EXPANSIONS[1:] if not is_sparse and n_columns(n, samples[0].shape[1]) <= widest]
    return ["linear", *wide]


def linear_columns(samples: Sequence[Any], counts: Sequence[Floats], spreads: Sequence[ColumnSpread]) -> Columns:
    """The features standardised over both samples.

    Raises
    ------
    ShiftDataError
        When the values of a column overflow when squared.
    """
    columns, variance = make_columns(samples, counts, "linear", spreads)
    if not np.isfinite(variance).all():
        column = int(np.flatnonzero(~np.isfinite(variance))[0])
        largest = max(abs(X[:, [column]]).max() for X in samples)
        raise ColumnError(OVERFLOW.format(largest), column)
    return columns


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
    source_weights_ : ndarray of shape (n_source,)
        Finished weights of the fitted source rows, those with repeat count 0 too; what ``transform`` gives of them.
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
        Of features, a dict of C: held-out log loss in nats per row; None when nothing was to be chosen.
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

    See Also
    --------
    ClassifierWeighter : Odds of any classifier, cross-fitted where it is flexible.
    TableColumns : Numbers from a table with gaps and categories.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X_source, X_target = rng.normal(0, 1, (2000, 1)), rng.normal(0.5, 1, (500, 1))
    >>> w = LogisticWeighter().fit_transform(X_source, X_target)
    >>> round(float(np.average(X_source[:, 0], weights=w)), 1)
    0.5
    """

    _own_output = False

    def __init__(
        self,
        C: float | Literal["cv"] = 1.0,
        *,
        features: Any = "linear",
        clip: str | float | None = "sqrt",
        min_ess: float = 100,
        normalize: Literal["mean"] | None = "mean",
        max_iter: int = 1000,
        tol: float = 1e-8,
        warm_start: bool = False,
    ) -> None:
        self.C = C
        self.features = features
        self.clip = clip
        self.min_ess = min_ess
        self.normalize = normalize
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start

    def _uses_transformer(self) -> bool:
        return not isinstance(self.features, str) and hasattr(self.features, "transform")

    def _check_rows(self, X: Any, name: str) -> Any:
        if not self._uses_transformer():
            return check_matrix(X, name, dtype=[np.float64, np.float32], accept_sparse=True)
        if X is None:
            raise ShiftDataError(f"{name} is None: pass an array or a frame of shape (n_rows, n_features).")
        rows = X if hasattr(X, "columns") else sparse.csr_array(X) if sparse.issparse(X) else np.asarray(X)
        if len(rows.shape) != 2 or 0 in rows.shape:
            raise ShiftDataError(f"{name} has shape {tuple(rows.shape)}: rows and columns are needed.")
        return rows

    def _fit_features(self, source: Any, target: Any) -> tuple[Any, Any]:
        self.transformer_: Any = None
        if not self._uses_transformer():
            check_option(self.features, "features", [*EXPANSIONS, "auto"])
            return source, target
        self.transformer_ = clone(self.features).fit(stack_rows(source, target))
        return self._transformed(source, "X_source"), self._transformed(target, "X_target")

    def _transformed(self, X: Any, name: str) -> Any:
        found = self.transformer_.transform(X)
        names = made_names(self.transformer_, found, column_names(X)) if len(np.shape(found)) == 2 else None
        kinds, made = [np.float64, np.float32], f"{name} transformed"
        try:
            matrix = check_matrix(found, made, dtype=kinds, accept_sparse=True, names=names)
        except CellError as error:
            raise ShiftDataError(
                f"{error.finding}: features={type(self.features).__name__}(...) leaves them so. Let it encode and "
                "impute what is no number."
            ) from error
        if matrix.shape[0] != X.shape[0]:
            raise ShiftDataError(
                f"{type(self.features).__name__} turned {X.shape[0]} rows of {name} into {matrix.shape[0]}: "
                "features needs a transformer that keeps the rows."
            )
        return matrix

    def _matrix_names(self, samples: Samples) -> list[str] | None:
        if self.transformer_ is None:
            return samples.names
        one = self.transformer_.transform(_safe_indexing(samples.rows[0], [0]))
        return made_names(self.transformer_, one, samples.names)

    def _features(self, X: Any) -> Any:
        return X if self.transformer_ is None else self._transformed(X, "X")

    def _check_settings(self) -> None:
        if isinstance(self.C, str):
            check_option(self.C, "C", ["cv"])
        else:
            check_number(self.C, "C", above=0)
            check_number(self.C, "C", least=LEAST_C)
        check_option(self.warm_start, "warm_start", [True, False])
        check_count(self.max_iter, "max_iter")
        check_number(self.tol, "tol", above=0)

    def _fit_log_ratio(self, X_source: Any, X_target: Any, counts_source: Floats, counts_target: Floats) -> FittedRatio:
        self._check_settings()
        samples, counts = [X_source, X_target], [counts_source, counts_target]
        n_source, n_target = (float(c.sum()) for c in counts)
        names = features_to_compare("linear" if self._uses_transformer() else self.features, samples)
        spreads = [column_spread(X, c) for X, c in zip(samples, counts, strict=True)]
        if tuple(names) != ("linear",):
            refuse_large_squares(spreads)
        columns = linear_columns(samples, counts, spreads)
        penalties = C_GRID if isinstance(self.C, str) else (float(min(self.C, MOST_C)),)
        choice = choose_model(samples, counts, names, penalties, max_iter=self.max_iter)
        if choice.features != "linear":
            columns, _ = make_columns(samples, counts, choice.features, spreads)
        objective = Objective(samples, counts, columns, 1 / (choice.C * (n_source + n_target)))
        point, gradient_norm, n_iter, _ = solve(objective, self._start(columns), self.max_iter, self.tol)

        self.features_, self.C_, self.held_out_losses_ = choice
        self.gradient_norm_, self.n_iter_ = gradient_norm, n_iter
        self.intercept_, self.coef_, self.quadratic_ = columns.polynomial(point[1:], point[0])
        self._solution = columns, point
        at_source, at_target = (odds_to_log_ratio(h, n_source, n_target) for h in objective.log_odds(point))
        # Where no copy of a block is made, the solver's h and that of ``_log_ratio`` are one, to the last bit.
        kept = objective.in_place[0]
        found = self._unsolved()
        return FittedRatio(at_source, at_target, n_source, n_target, kept=kept, spreads=spreads, warnings=found)

    def _start(self, columns: Columns) -> Floats | None:
        """Where the solver begins: at the last solution, when that is asked for and has the same columns."""
        if not self.warm_start or not hasattr(self, "_solution"):
            return None
        previous, point = self._solution
        same = previous.expansion == columns.expansion and len(previous.scale) == len(columns.scale)
        return point if same else None

    def _unsolved(self) -> list[Warning]:
        if self.gradient_norm_ <= self.tol:
            return []
        return [
            ConvergenceWarning(
                f"The solver stopped after {self.n_iter_} of {self.max_iter} iterations with a gradient of "
                f"{self.gradient_norm_:.2g}, and tol={self.tol:.2g} is asked for: raise max_iter or tol."
            )
        ]

    def _log_ratio(self, X: Any) -> Floats:
        columns, point = self._solution
        return odds_to_log_ratio(columns.log_odds(X, point[1:], point[0]), self.n_source_, self.n_target_)
