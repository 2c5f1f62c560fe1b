"""Covariate weights of data that do not fit in memory, or lie on a cluster: the answer of ``LogisticWeighter``.

Assumes p(y | x) is shared and only p(x) moves. The log odds of a logistic source-versus-target classifier are exact
sums over rows, made by passes; see ``_fit`` for the passes, ``_newton`` for how few they are. Source: Bickel,
Brueckner & Scheffer (2009), JMLR 10:2137-2155; Qin (1998), Biometrika 85(3):619-630.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from shiftfix._door import PublicCalls
from shiftfix._learner import unchanged_on_error
from shiftfix._naming import OVERFLOW, chosen_columns, column_names
from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_count, check_number, check_option
from shiftfix._validation import check_matrix, check_same_columns
from shiftfix._verdict import tell
from shiftfix.covariate import Clip
from shiftfix.exceptions import PoorOverlapWarning, ShiftDataError
from shiftfix.large._checkpoint import fit_mark
from shiftfix.large._driver import Passes
from shiftfix.large._engines import Engine, KeepsConnections, opened_engine
from shiftfix.large._fit import FitSettings, ProgressCall, StreamedFit, StreamFitter
from shiftfix.large._logistic_sums import LogisticPoint
from shiftfix.large._parquet import refuse_folder_inside
from shiftfix.large._sources import UnitPlan, check_column_names, check_kept, is_files, make_plan
from shiftfix.large._sql import Dialect, weight_expression
from shiftfix.large._units import block_height
from shiftfix.large._weight_files import Manifest, WeightRule, write_all
from shiftfix.weights import BalanceTable, WeightSummary, check_clip

LARGEST_PENALTY_C = 1e100


class StreamingLogisticWeighter(PublicCalls, KeepsConnections):
    """Weight source rows by the odds that they came from the target, in passes over files, arrays or a cluster.

    The answer is that of :class:`shiftfix.covariate.LogisticWeighter` with linear features: the same objective, ridge,
    standardisation, clip and verdict, its optimum reached to ``tol`` standard errors. Memory does not grow with the
    rows. Coefficients are the same to the last bit for every engine, number of workers and order in which they finish.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the L2 penalty on the coefficients of the standardised columns; the intercept is free.
    columns : list of str, default=None
        Columns of files or frames that the samples are compared by. None takes all, and then both must have the same.
    clip : "sqrt", float, percentile such as "99%", "ess", "pareto" or None, default="sqrt"
        Upper bound of a weight before normalisation, as in memory. Percentiles and "ess" are found to 0.4%, the
        few largest weights smoothed by "pareto" to 3%.
    min_ess : float, default=100
        For ``clip="ess"``.
    normalize : {"mean", None}, default="mean"
        ``"mean"`` divides by the mean clipped weight of the source.
    warm_start_rows : int, default=0
        Rows of a sample whose solution the passes begin at: two passes fewer for 500,000 of ten million rows. 0 begins
        at the moments.
    economical : bool, default=False
        One pass after the sample's fit, and a step from there; needs ``warm_start_rows``. The error left is of second
        order: ``steps_left_`` is how far, in standard errors, the sample says that the step missed, and that much is
        corrected. Clip, mean and summary are then the sample's.
    max_passes : int, default=50
        Passes over all rows after which no further step is taken; the summary's is made in any case.
    tol : float, default=1e-6
        Standard errors from the optimum, in any coefficient, at which the fit ends.
    warm_start : bool, default=False
        Whether a second ``fit`` begins at the solution of the first when it has as many columns.
    rows_per_unit : int, default=1_000_000
        Rows that are worked on together, at least a row group as far as that is not longer. Sums are rounded by units:
        another number changes the last digits.
    engine : {"serial", "threads", "dask", "ray"} or object with ``map`` and ``close``, default="serial"
        Who does the work. An engine of one's own yields ``work(unit, *arguments)`` in the order of the units.
    n_workers : int, default=None
        Threads, or processes of a cluster that is made on this machine (by a script under ``__name__ == "__main__"``);
        None means 2.
    scheduler : str or distributed.Client, default=None
        Address of a Dask or Ray cluster, or a Dask client. Files must have the same names on all machines.
    retries : int, default=2
        How often work on a unit is tried again that failed for other reasons than its data.
    checkpoint : str or path-like, default=None
        File that keeps the state after each pass. A fit of the same data that was stopped goes on from it, to the same
        last bit.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Slope of the log odds, per unit of the columns as given.
    intercept_ : float
        It contains log(n_target / n_source).
    standard_errors_ : ndarray of shape (n_features,)
        Of ``coef_``, from the inverse Hessian.
    steps_left_ : float
        How far a coefficient is from the optimum at most, in standard errors: by the Newton step that is left, or,
        where the last step was so short that its error is known without another pass, three times that. Infinite where
        samples are all but separable and steps still change log odds much. See ``economical`` for its meaning there.
    gradient_norm_ : float
        Largest entry of the gradient of the penalised mean loss, over the standardised columns, at the last point that
        was measured.
    n_passes_ : int
        Passes over all rows; the sample is none.
    n_source_, n_target_ : float
        Rows of each sample, or totals of their weights.
    log_clip_, log_mean_ : float
        Logarithms of the clip and of the mean clipped weight.
    balance_ : BalanceTable
        Means of the columns before and after weighting.
    summary_ : WeightSummary
        Effective size, overlap and the verdict, from weights in bins of 0.4% and the largest ones one by one.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when the columns have names.

    Raises
    ------
    ShiftDataError
        By ``fit``: for files that disagree in names or types of columns, before a row is read; for cells that are no
        finite numbers, naming file, column and count.
    UnitError
        By ``fit`` and ``write_weights``, for a unit at which work failed for good.
    MissingDependencyError
        For an engine or files whose library is not installed.

    Warns
    -----
    PoorOverlapWarning
        By ``fit``, when the verdict is "abstain".
    sklearn.exceptions.ConvergenceWarning
        By ``fit``, when more than ``tol`` standard errors are left.

    See Also
    --------
    shiftfix.covariate.LogisticWeighter : Odds of a logistic source-versus-target classifier; the default.
    read_manifest : What was written.

    Notes
    -----
    What a fit costs: passes x (bytes to decode) / (cores x rate), and 8 d^2 bytes per unit that travel to the driver in
    a pass with a Hessian (d columns), 8 d in others. Cold it takes the pass of the moments, two or three with a Hessian
    and the last; from a sample two or three in all. Beyond 1000 columns no Hessian of all rows is made: that of a
    sample of at least 20 rows per column serves, corrected by what the gradients tell, and more passes are made.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X_source, X_target = rng.normal(0, 1, (2000, 1)), rng.normal(0.5, 1, (500, 1))
    >>> w = StreamingLogisticWeighter().fit(X_source, X_target).transform(X_source)
    >>> round(float(np.average(X_source[:, 0], weights=w)), 1)
    0.5
    """

    coef_: Floats
    intercept_: float
    standard_errors_: Floats
    steps_left_: float
    gradient_norm_: float
    n_passes_: int
    n_source_: float
    n_target_: float
    log_clip_: float
    log_mean_: float
    balance_: BalanceTable
    summary_: WeightSummary
    n_features_in_: int
    _point: LogisticPoint
    _clip: Clip
    _columns: tuple[str, ...]
    _named: bool

    def __init__(
        self,
        C: float = 1.0,
        *,
        columns: Sequence[str] | None = None,
        clip: str | float | None = "sqrt",
        min_ess: float = 100,
        normalize: Literal["mean"] | None = "mean",
        warm_start_rows: int = 0,
        economical: bool = False,
        max_passes: int = 50,
        tol: float = 1e-6,
        warm_start: bool = False,
        rows_per_unit: int = 1_000_000,
        engine: Any = "serial",
        n_workers: int | None = None,
        scheduler: Any = None,
        retries: int = 2,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        self.C = C
        self.columns = columns
        self.clip = clip
        self.min_ess = min_ess
        self.normalize = normalize
        self.warm_start_rows = warm_start_rows
        self.economical = economical
        self.max_passes = max_passes
        self.tol = tol
        self.warm_start = warm_start
        self.rows_per_unit = rows_per_unit
        self.engine = engine
        self.n_workers = n_workers
        self.scheduler = scheduler
        self.retries = retries
        self.checkpoint = checkpoint

    def _check_settings(self) -> FitSettings:
        check_number(self.C, "C", above=0)
        check_number(self.C, "C", least=1 / LARGEST_PENALTY_C)
        check_option(self.normalize, "normalize", ["mean", None])
        check_option(self.economical, "economical", [True, False])
        check_option(self.warm_start, "warm_start", [True, False])
        check_clip(self.clip, self.min_ess)
        check_count(self.rows_per_unit, "rows_per_unit")
        check_count(self.retries, "retries", least=0)
        rows = check_count(self.warm_start_rows, "warm_start_rows", least=0)
        if self.economical and not rows:
            raise ShiftDataError("economical=True begins at a sample: pass warm_start_rows, for example 200_000.")
        return FitSettings(
            float(min(self.C, LARGEST_PENALTY_C)),
            self.clip,
            float(self.min_ess),
            rows,
            self.economical,
            check_count(self.max_passes, "max_passes"),
            float(check_number(self.tol, "tol", above=0)),
            self.checkpoint,
        )

    def fit(
        self,
        source: Any,
        target: Any,
        *,
        sample_weight_source: Any = None,
        sample_weight_target: Any = None,
        progress: ProgressCall | None = None,
    ) -> Self:
        """Learn the density ratio of two samples.

        Parameters
        ----------
        source : str, path-like, list of them, pyarrow.dataset.Dataset, array-like, memory map or Dask collection
            Rows of the population that has labels: a Parquet or Arrow file, a folder (also one with ``key=value``
            folders, whose keys are columns when ``columns`` names them), a pattern such as ``"data/*.parquet"``; or an
            array of shape (n_source, n_features), a frame, a ``numpy.memmap``; or a Dask array or frame.
        target : like ``source``
            Rows of the population that matters; the same columns.
        sample_weight_source, sample_weight_target : str or array-like of shape (n_rows,), default=None
            Repeat counts of the rows: of files the name of a column of theirs, of arrays an array.
        progress : callable, default=None
            Called as ``progress(pass, units_done, n_units)``.

        Returns
        -------
        self

        Raises
        ------
        ShiftDataError
            For input that cannot be used; the estimator is then left as it was.
        UnitError
            When work on a unit failed for good.
        """
        settings = self._check_settings()
        weights = (sample_weight_source, sample_weight_target)
        plan = make_plan((source, target), check_column_names(self.columns), weights, int(self.rows_per_unit))
        with unchanged_on_error(self), self._engine() as engine:
            chosen = settings._asdict() | {"checkpoint": None, "weights": [isinstance(w, str) and w for w in weights]}
            mark = "" if self.checkpoint is None else fit_mark(plan.units, plan.columns, chosen)
            fitter = StreamFitter(Passes(engine, plan.units, progress), plan.columns, settings, mark)
            self._keep_fit(fitter.run(self._known(len(plan.columns))), plan)
            for warning in self._doubts_of(settings):
                tell(warning)
            return self

    def _engine(self) -> AbstractContextManager[Engine]:
        return opened_engine(self.engine, self.n_workers, self.scheduler, int(self.retries))

    def _known(self, n_columns: int) -> LogisticPoint | None:
        """The last solution, when a fit shall begin there and may."""
        known = getattr(self, "_point", None) if self.warm_start else None
        return known if known is not None and len(known.slope) == n_columns else None

    def _keep_fit(self, found: StreamedFit, plan: UnitPlan) -> None:
        """Set what was learned."""
        point, solution, finished = found.point, found.solution, found.finished
        if not np.isfinite(found.scales.scale).all():
            column = plan.columns[int(np.flatnonzero(~np.isfinite(found.scales.scale))[0])]
            raise ShiftDataError(OVERFLOW.format(np.inf).format(column=f"column {column!r}"))
        self.coef_ = point.slope.copy()
        self.intercept_ = float(point.intercept - point.slope @ point.centre)
        self.standard_errors_ = solution.errors[1:] / found.scales.scale
        self.steps_left_ = solution.left
        self.gradient_norm_ = float(np.abs(solution.now.gradient).max())
        self.n_passes_ = found.n_passes
        self.n_source_, self.n_target_ = found.scales.totals
        self.log_clip_, self.log_mean_ = finished.clip.log_threshold, finished.log_mean
        self.balance_, self.summary_ = finished.balance, finished.summary
        self.n_features_in_ = len(plan.columns)
        self._point, self._clip, self._columns, self._named = point, finished.clip, plan.columns, plan.named
        if plan.named:
            self.feature_names_in_ = np.asarray(plan.columns, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _doubts_of(self, settings: FitSettings) -> Iterator[Warning]:
        """What the user must know of a fit."""
        if self.steps_left_ > settings.tol and (np.isinf(self.steps_left_) or not settings.economical):
            yield ConvergenceWarning(
                f"After {self.n_passes_} passes (max_passes={settings.max_passes}) a coefficient is still "
                f"{self.steps_left_:.2g} standard errors from the optimum, and tol={settings.tol:.2g} is asked for: "
                "raise max_passes or tol, or lower C where the samples are separable."
            )
        if self.summary_.verdict == "abstain":
            reasons = "; ".join(self.summary_.reasons)
            yield PoorOverlapWarning(f"The data do not support weighting: {reasons}. {self.summary_.verdict.action}")

    def _rule(self) -> WeightRule:
        log_size = float(np.log(self.n_source_ / self.n_target_))
        return WeightRule(self._point, log_size, self._clip, self.log_mean_ if self.normalize == "mean" else 0.0)

    def _blocks_of(self, X: Any) -> Iterator[Floats]:
        """Rows of an array less the centre, block by block, shape (n_features, n_rows)."""
        check_is_fitted(self, "coef_")
        if self._named and column_names(X) is not None:
            missing = [name for name in self._columns if name not in column_names(X)]  # type: ignore[operator]
            if not missing:
                X = chosen_columns(X, self._columns)
        matrix = check_matrix(X, "X", dtype=[np.float64, np.float32])
        names = list(self._columns) if self._named else None
        check_same_columns(names, X if hasattr(X, "columns") else matrix, "source", "X", self.n_features_in_)
        height = block_height(matrix.shape[1])
        for begin in range(0, len(matrix), height):
            yield matrix[begin : begin + height].T - self._point.centre[:, np.newaxis]

    def log_ratio(self, X: Any) -> Floats:
        """Estimated log(target density / source density) of rows in memory, neither clipped nor normalised.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,)
            Within +-500.

        Raises
        ------
        ShiftDataError
            For NaN, infinite values or columns other than those fitted.
        """
        return np.concatenate([self._rule().log_ratio(Z) for Z in self._blocks_of(X)])

    def transform(self, X: Any) -> Floats:
        """Finished weights of source rows in memory: clipped, then divided by the mean over the fitted source.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,)
            No unit.

        Raises
        ------
        ShiftDataError
            For NaN, infinite values or columns other than those fitted.
        """
        return np.concatenate([self._rule().weigh(Z) for Z in self._blocks_of(X)])

    def write_weights(
        self,
        source: Any,
        folder: str | os.PathLike[str],
        *,
        keep: Sequence[str] = (),
        progress: ProgressCall | None = None,
    ) -> Manifest:
        """Write the weights of source rows as Parquet files, one per unit, in the order of the rows.

        No file is seen before it is whole. A call that was stopped is completed by the same call; ``_manifest.json``,
        with the rows of each file, is written last and says that nothing is missing.

        Parameters
        ----------
        source : like ``source`` of ``fit``
        folder : str or path-like
            Made where it is not there; without other Parquet files. All workers must see it.
        keep : sequence of str, default=()
            Columns of Parquet files to copy beside ``weight``: a key, say.
        progress : callable, default=None
            Called as ``progress(1, units_done, n_units)``.

        Returns
        -------
        Manifest
            files, rows, total and largest weight.

        Raises
        ------
        ShiftDataError
            For other columns than those fitted, cells that are no finite numbers, a folder of other files or of rows.
        """
        check_is_fitted(self, "coef_")
        refuse_folder_inside(folder, source)
        names = list(self._columns) if self._named and (is_files(source) or column_names(source)) else None
        plan = make_plan((source,), names, (None,), int(self.rows_per_unit))
        if len(plan.columns) != self.n_features_in_:
            raise ShiftDataError(
                f"The source has {len(plan.columns)} columns, and {self.n_features_in_} were fitted: pass the same."
            )
        kept = check_kept(source, keep)
        with self._engine() as engine:
            return write_all(Passes(engine, plan.units, progress), self._rule(), folder, kept)

    def weight_sql(self, dialect: Dialect = "duckdb") -> str:
        """The finished weight as one SQL expression of the columns.

        Parameters
        ----------
        dialect : {"duckdb", "postgres", "snowflake", "spark", "bigquery", "mysql"}, default="duckdb"

        Returns
        -------
        str
            For ``SELECT *, <expression> AS weight FROM source``; NULL where a value is missing or not finite.

        Raises
        ------
        ShiftDataError
            For ``clip="pareto"``, whose weights are no such expression, and columns or dialects that cannot be told.
        """
        check_is_fitted(self, "coef_")
        rule = self._rule()
        if rule.clip.tail is not None:
            raise ShiftDataError('Smoothed weights are no SQL expression: fit with clip="sqrt", or use write_weights.')
        return weight_expression(
            rule.point, rule.log_size, rule.clip.log_threshold, rule.log_mean, self._columns, dialect
        )
