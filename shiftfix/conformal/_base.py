"""What the conformal estimators share: split, train, score, weigh, calibrate."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, _safe_indexing, get_tags
from sklearn.utils.validation import _num_samples, check_is_fitted

from shiftfix._crossfit import Fold, check_groups, is_fold_count
from shiftfix._door import PublicCalls
from shiftfix._learner import unchanged_on_error
from shiftfix._naming import column_names
from shiftfix._numerics import Floats
from shiftfix._row_order import Rows, order_of_rows
from shiftfix._setting_checks import check_count, check_generator, check_methods, check_number, check_option
from shiftfix._target_sample import target_rows
from shiftfix._validation import check_rows
from shiftfix.conformal._calibrated import (
    Calibrated,
    CalibrationRows,
    UseOfLabels,
    calibrate_with_labels,
    calibrated_on,
    part_numbers,
)
from shiftfix.conformal._coverage import CoverageSummary, assumption, verdict_on_sets
from shiftfix.conformal._data import Conditional, Labelled, Unlabelled, labelled_source, target_of
from shiftfix.conformal._quantile import stratum_numbers
from shiftfix.conformal._ranked import covers_for_certain, totals_of
from shiftfix.conformal._splits import content_folds, hold_out_share
from shiftfix.conformal._target_weights import TargetWeights, clipped, covariate_weights, weighter_for
from shiftfix.exceptions import ShiftDataError
from shiftfix.weights import check_clip


class HeldOut(NamedTuple):
    """A model, and the rows it did not see.

    Attributes
    ----------
    model : object
    rows : ndarray of int
        Source rows that it scores.
    labelled : ndarray of int
        Which of the labelled target rows it scores, of those dealt to the models in turn.
    """

    model: Any
    rows: Rows
    labelled: Rows


class Weighed(NamedTuple):
    """Weights of the target, and the raw ones of the source rows and of the labelled target rows."""

    weights: TargetWeights
    source: Floats
    labelled: Floats


class BaseConformal(PublicCalls, MetaEstimatorMixin, BaseEstimator):
    """Sets around the predictions of any estimator; the kind of set is the subclass's."""

    _own_output = False

    estimator: Any
    conformity_score: Any
    weighter: Any
    conditional: Conditional
    cv: Any
    calibration_fraction: float
    clip: Any
    use_labels: UseOfLabels
    random_state: Any
    _calibrated: Calibrated
    estimators_: list[Any]

    @abstractmethod
    def _check_own_settings(self) -> None:
        """Raise for settings of the subclass that are not known."""

    @abstractmethod
    def _read_y(self, y: Any, name: str) -> NDArray[Any]:
        """Labels or values, checked."""

    @abstractmethod
    def _fit_model(self, source: Labelled, rng: np.random.Generator) -> Any:
        """A model of some source rows."""

    @abstractmethod
    def _own_scores(self, models: Sequence[Any], number: int, X: Any, y: NDArray[Any]) -> Floats:
        """Score of each row with its own label or value by one of the models, shape (n_rows,)."""

    def _weighs_classes(self) -> bool:
        """Whether class shares are what moved."""
        return False

    def _trains(self) -> bool:
        """Whether anything is learned from source rows before they calibrate."""
        return not isinstance(self.estimator, FrozenEstimator)

    def _check_settings(self) -> None:
        """Raise for settings that are not known."""
        check_methods(self.estimator, "estimator", ["fit", "get_params"], "an estimator of scikit-learn's kind")
        check_option(self.use_labels, "use_labels", ["auto", "combine", "alone"])
        check_number(self.calibration_fraction, "calibration_fraction", above=0, below=1)
        if self.cv is not None:
            if not is_fold_count(self.cv):
                raise ShiftDataError(f"cv={self.cv!r}: a number of folds, or None for rows held out once, is needed.")
            check_count(self.cv, "cv", least=2)
        check_clip(self.clip, 100)
        if self.clip == "pareto":
            raise ShiftDataError('clip="pareto" smooths the weights of fitted rows, and rows to come need some too.')
        if self.weighter is not None and not hasattr(self.weighter, "log_ratio"):
            raise ShiftDataError(
                f"weighter={self.weighter!r} is no weighter: pass one from shiftfix.covariate, or None."
            )
        self._check_own_settings()

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_target: Any = None,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Train on some source rows, and calibrate on those held out.

        Parameters
        ----------
        X : array-like of shape (n_source, n_features)
            Source rows. A frozen estimator is calibrated on all of them: pass rows it was not trained on.
        y : array-like of shape (n_source,)
            Their labels or values.
        X_target : array-like of shape (n_target, n_features) or TargetSample, default=None
            Target rows, by which the source rows are weighted; None for a target that is like the source. With labels
            of some rows, ``TargetSample(X_target, y=labels, rows=positions)``, these calibrate too.
        sample_weight : array-like of shape (n_source,), default=None
            Repeat counts of the source rows: in training, in the weights and in calibration. Weights below 1
            compare the rows and are rescaled to average 1.
        groups : array-like of shape (n_source,), default=None
            With ``conditional="group"`` the group of each row, in which coverage shall hold; else rows of one group
            (one person, say) are held out together.

        Returns
        -------
        self

        Raises
        ------
        ShiftDataError
            For unusable data or settings, too few rows, a setting that needs target rows or groups without any, and a
            learner that takes no ``sample_weight``.
        NotIdentifiedError
            When the scores do not tell the target prior.

        Warns
        -----
        PoorOverlapWarning
            When the weighter's verdict is "abstain".
        """
        self._check_settings()
        source = labelled_source(X, self._read_y(y, "y"), sample_weight, groups)
        if self.conditional == "group" and source.groups is None:
            raise ShiftDataError('conditional="group" needs the group of each row: pass fit(X, y, groups=groups).')
        target = None if X_target is None and not self._needs_target() else self._read_target(source.X, X_target)
        rng = check_generator(self.random_state)
        with unchanged_on_error(self):
            self._learn(source, target, rng)
            return self

    def _needs_target(self) -> bool:
        """Whether a setting speaks of target rows."""
        return self.weighter is not None

    def _read_target(self, X: Any, X_target: Any) -> Unlabelled:
        """Target rows and their labels, checked."""
        target_rows(X_target)
        target = target_of(X, X_target)
        if not len(target.y):
            return target
        if self.conditional == "group":
            raise ShiftDataError(
                'conditional="group" knows the groups of source rows only, and X_target has labels: leave them out, or '
                "pass the labelled target rows as source rows of their own."
            )
        return target._replace(y=self._read_y(target.y, "y of the TargetSample"))

    def _learn(self, source: Labelled, target: Unlabelled | None, rng: np.random.Generator) -> None:
        """Set what is learned."""
        self._set_classes(source, target)
        known, strata = self._strata_of(source)
        parts = self._parts(source, strata, target, rng)
        rows = np.concatenate([part.rows for part in parts])
        weighed = self._weigh(source, target, parts)
        models = [part.model for part in parts]
        scores = np.concatenate(
            [self._own_scores(models, number, *self._rows_of(source, part)) for number, part in enumerate(parts)]
        )
        held_out = CalibrationRows(
            scores,
            part_numbers([part.rows for part in parts]),
            strata[rows],
            weighed.source[rows],
            source.repeats[rows],
        )
        if target is None or not len(target.y):
            calibrated = calibrated_on(held_out, weighed.weights, known, len(parts))
        else:
            labelled = self._labelled_rows(target, parts, known, weighed.labelled)
            calibrated = calibrate_with_labels(held_out, labelled, weighed.weights, known, len(parts), self.use_labels)
        self._set_learned(source.X, parts, calibrated, weighed.weights)

    def _set_learned(self, X: Any, parts: Sequence[HeldOut], calibrated: Calibrated, weights: TargetWeights) -> None:
        """Set the learned attributes that both kinds have."""
        self._calibrated, self.estimators_ = calibrated, [part.model for part in parts]
        self.weighter_, self.clip_, self.clip_cost_ = weights.weighter, weights.clip, weights.cost
        self.n_calibration_, self.effective_size_ = calibrated.n_rows, float(calibrated.sizes.min())
        self.labels_used_, self.contradiction_ = calibrated.labels, calibrated.contradiction
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                delattr(self, name)
        if len(np.shape(X)) == 2:
            self.n_features_in_ = int(np.shape(X)[1])
        names = column_names(X)
        if names is not None and all(isinstance(name, str) for name in X.columns):
            self.feature_names_in_ = np.asarray(names, dtype=object)

    def _set_classes(self, source: Labelled, target: Unlabelled | None) -> None:
        """Set the classes, where there are any."""

    def _rows_of(self, source: Labelled, part: HeldOut) -> tuple[Any, NDArray[Any]]:
        """Source rows that a model scores, with their labels or values."""
        return _safe_indexing(source.X, part.rows), source.y[part.rows]

    def _strata_of(self, source: Labelled) -> tuple[NDArray[Any], Rows]:
        """Labels of the strata in which coverage holds, and the stratum of each row."""
        if self.conditional == "group" and source.groups is not None:
            return np.unique(source.groups, return_inverse=True)
        return np.array([""]), np.zeros(len(source.y), dtype=np.intp)

    def _strata_of_labels(self, y: NDArray[Any], known: NDArray[Any]) -> Rows:
        """Stratum of labelled target rows."""
        return np.zeros(len(y), dtype=np.intp)

    def _folds(self, source: Labelled, strata: Rows, rng: np.random.Generator) -> list[Fold]:
        """Which rows train and which are held out."""
        everything = np.arange(len(source.y))
        if not self._trains():
            return [Fold(everything, everything)]
        together = None
        if source.groups is not None and self.conditional != "group":
            together = np.unique(source.groups, return_inverse=True)[1]
        options: dict[str, Any] = {"strata": strata, "counts": source.counts, "together": together}
        if self.cv is not None:
            return content_folds(int(self.cv), source.X, source.y, rng, **options)
        return [hold_out_share(source.X, source.y, self.calibration_fraction, rng, **options)]

    def _parts(
        self, source: Labelled, strata: Rows, target: Unlabelled | None, rng: np.random.Generator
    ) -> list[HeldOut]:
        """The models, and the rows that each did not see."""
        folds = self._folds(source, self._strata_to_split_by(source, strata), rng)
        order = np.empty(0, dtype=np.intp)
        if target is not None and len(target.y):
            order = order_of_rows(_safe_indexing(target.X, target.rows), target.y)
        return [
            HeldOut(self._fit_model(source.taken(fold.training), rng), fold.held_out, order[number :: len(folds)])
            for number, fold in enumerate(folds)
        ]

    def _strata_to_split_by(self, source: Labelled, strata: Rows) -> Rows:
        """Strata that each give their share of rows to hold out."""
        return strata

    def _labelled_rows(
        self, target: Unlabelled, parts: Sequence[HeldOut], known: NDArray[Any], raw: Floats
    ) -> CalibrationRows:
        """The labelled target rows, scored by the models they were dealt to."""
        dealt, models = [part.labelled for part in parts], [part.model for part in parts]
        scores = [
            self._own_scores(models, number, _safe_indexing(target.X, target.rows[rows]), target.y[rows])
            for number, rows in enumerate(dealt)
            if rows.size
        ]
        rows = np.concatenate(dealt)
        strata = self._strata_of_labels(target.y[rows], known)
        return CalibrationRows(np.concatenate(scores), part_numbers(dealt), strata, raw[rows], np.ones(len(rows)))

    def _weigh(self, source: Labelled, target: Unlabelled | None, parts: Sequence[HeldOut]) -> Weighed:
        """Weights by the target's features; 1 without target rows, and where no weights are needed."""
        n_source, n_labels = len(source.y), 0 if target is None else len(target.y)
        if target is None or (self.conditional == "class" and self.weighter is None):
            return Weighed(TargetWeights(), np.ones(n_source), np.ones(n_labels))
        together = None if self.conditional == "group" else source.groups
        weighter = weighter_for(self.weighter, self.estimator, source.X, target.X)
        weights, raw = covariate_weights(weighter, source.X, target.X, source.counts, together)
        raw_target = weights.raw_of_rows(target.X, _num_samples(target.X))
        weights = clipped(weights, raw, source.repeats, self.clip, raw_target)
        if n_labels and np.isfinite(weights.clip):
            raise ShiftDataError("clip is for weights without target labels, which bound them: pass clip=None.")
        return Weighed(weights, raw, raw_target[target.rows])

    def _strata_of_new(self, n_rows: int, groups: ArrayLike | None) -> Rows:
        """Stratum of rows to be judged."""
        if self.conditional != "group":
            if groups is not None:
                raise ShiftDataError('groups is for conditional="group" here: leave it out.')
            return np.zeros(n_rows, dtype=np.intp)
        found = check_groups(groups, n_rows)
        if found is None:
            raise ShiftDataError('conditional="group" needs the group of each row: pass groups=groups.')
        return stratum_numbers(found, self._calibrated.known)

    def _read_new(self, X: Any, level: float, groups: ArrayLike | None) -> tuple[Any, Rows, float]:
        """Rows to be judged, their strata, and the level of their thresholds."""
        check_is_fitted(self, "estimators_")
        check_number(level, "level", above=0, below=1)
        X = check_rows(X, "X")
        return X, self._strata_of_new(_num_samples(X), groups), level + self._calibrated.weights.cost

    def _summarize(
        self, level: float, infinite: NDArray[np.bool_], size: float, unit: str, always_in: tuple[Any, ...] = ()
    ) -> CoverageSummary:
        """What is known of sets, from what was found for the rows asked about."""
        known, weights = self._calibrated, self._calibrated.weights
        effective, share = float(known.sizes.min()), float(np.mean(infinite))
        return CoverageSummary(
            level, level + weights.cost, weights.clip, weights.cost, len(infinite), known.n_rows, effective, share,
            size, always_in, known.n_labels, known.labels, known.contradiction,
            assumption(
                covariate=weights.weighter is not None,
                label=weights.class_weight is not None,
                labels=known.labels,
                conditional=self.conditional,
                several=len(self.estimators_) > 1,
            ),
            verdict_on_sets(effective, share, level + weights.cost, weights.verdict),
            unit,
        )  # fmt: skip

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator).input_tags
        tags.input_tags.sparse, tags.input_tags.allow_nan = inner.sparse, inner.allow_nan
        return tags

    def _without_threshold(self, strata: Rows, own: Floats, level: float) -> NDArray[np.bool_]:
        """Whether rows get everything, shape (n_rows,)."""
        return covers_for_certain(totals_of(self._calibrated.pooled)[strata], own, level)
