"""Sets of labels that hold the true one as often as asked for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, check_is_fitted

from shiftfix._learner import fit_weighted_of
from shiftfix._numerics import Floats
from shiftfix._row_order import Rows, order_of_rows
from shiftfix._setting_checks import check_option
from shiftfix._validation import check_rows
from shiftfix.conformal._base import BaseConformal, HeldOut, Weighed
from shiftfix.conformal._calibrated import UseOfLabels
from shiftfix.conformal._coverage import CoverageSummary
from shiftfix.conformal._data import Conditional, Labelled, Unlabelled, labels_of_rows
from shiftfix.conformal._label_scores import LABEL_SCORES, LabelScore, label_scores, proba_at_target
from shiftfix.conformal._quantile import stratum_numbers
from shiftfix.conformal._ranked import (
    EQUAL_SHARES,
    NO_STRATUM,
    covers_for_certain,
    totals_of,
    weight_under_by_stratum,
)
from shiftfix.conformal._target_weights import TargetWeights, target_class_weights
from shiftfix.exceptions import ShiftDataError


def proba_of_classes(model: Any, X: Any, classes: NDArray[Any]) -> Floats:
    """Class probabilities in the order of ``classes``, 0 for a class that the model does not know."""
    if not np.isin(model.classes_, classes).all():
        raise ShiftDataError(
            f"The classifier knows the classes {model.classes_.tolist()}, and y holds {classes.tolist()}: pass rows of "
            "all its classes."
        )
    proba = np.zeros((_num_samples(X), len(classes)))
    proba[:, np.searchsorted(classes, model.classes_)] = model.predict_proba(X)
    return proba


class ConformalClassifier(ClassifierMixin, BaseConformal):
    """Sets of labels that hold the true one with a given probability, on the target.

    Split or cross conformal prediction around any classifier. Without target rows coverage holds for rows like the
    source; with them under covariate shift, the calibration rows weighted by ``weighter``, or under label shift,
    weighted by ``prior``; with ``conditional="class"`` under every label shift, without weights.

    Parameters
    ----------
    estimator : classifier with ``predict_proba``
        Cloned before fitting. A trained one in ``sklearn.frozen.FrozenEstimator`` is used as it is; then X and y must
        be rows it was not trained on, and all of them calibrate.
    conformity_score : {"lac", "aps"}, default="lac"
        "lac", 1 minus the probability of the label, gives the smallest sets; "aps", the probability of the likelier
        labels plus a fraction of the label's own, coverage that is more even over easy and hard rows.
    weighter : weighter, default=None
        Fitted on both samples, without its own clip. None means ``LogisticWeighter()`` where there are target rows,
        unless ``prior`` or ``conditional="class"`` says that the labels moved.
    prior : prior estimator or array-like of shape (n_classes,), default=None
        For label shift: estimated from the scores of the calibration rows and of the target, or known, in the order
        of the sorted classes. Scores are made of the probabilities at this prior. With ``conditional="class"`` that is
        all it does: it makes sets smaller, and coverage does not depend on it.
    conditional : {None, "class", "group"}, default=None
        "class": coverage in each class, and so whatever the class shares of the target are. "group": in each of
        ``groups``. Of level 1 - a either needs 1 / a - 1 calibration rows in each.
    cv : int, default=None
        None holds out ``calibration_fraction`` of the rows; a number of folds trains as many models, and every row
        calibrates by the one that did not see it. Sets are then smaller for few rows, and cost as many models.
    calibration_fraction : float in (0, 1), default=0.5
    clip : None, float, "sqrt", percentile or "ess", default=None
        Largest weight of ``weighter``, in units of their mean. A clip makes fewer sets infinite and costs coverage,
        which ``clip_cost_`` bounds and which is added to the level.
    use_labels : {"auto", "combine", "alone"}, default="auto"
        Whether target labels calibrate together with the weighted source rows or alone, valid whatever moved. "auto"
        combines them unless the labels speak against the source rows (p < .2), which is no proof that they agree.
    random_state : int, numpy Generator, RandomState or None, default=0
        For the rows held out.

    Attributes
    ----------
    estimators_ : list of classifier
        The model, or that of each fold.
    classes_ : ndarray of shape (n_classes,)
    weighter_ : weighter or None
    prior_ : prior estimator or None
    class_weight_ : ndarray of shape (n_classes,) or None
        Target / source share of each class by ``prior``.
    clip_, clip_cost_ : float
        Largest weight at mean 1 (infinity for none), and how much coverage that may cost.
    n_calibration_ : float
        Rows that calibrate (with sample_weight: their total).
    effective_size_ : float
        Equally weighted rows they are worth, in the smallest class or group where coverage holds in each.
    labels_used_ : {"combine", "alone"} or None
        What was done with target labels.
    contradiction_ : float or None
        P-value of "sets of the weighted source rows cover the target" by the labels.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had string column names.

    See Also
    --------
    ConformalRegressor : Intervals around any regressor.
    CoverageSummary : What such sets cost and what their coverage rests on.
    shiftfix.display.CoverageDisplay : Draws the coverage of sets and intervals.

    Notes
    -----
    A label is in the set when its p-value exceeds 1 - level; see :func:`conformal_p_values`. A row in a region that
    the source hardly holds has so much weight of its own that all labels are in its set: nothing smaller is known to
    cover. An empty set says that no label fits.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from shiftfix.simulate import gaussian_covariate_shift
    >>> problem = gaussian_covariate_shift(1000, 500, conditional="logistic", random_state=0)
    >>> model = ConformalClassifier(LogisticRegression()).fit(problem.X_source, problem.y_source, problem.X_target)
    >>> sets = model.predict_set(problem.X_target, level=0.9)
    >>> sets.shape
    (500, 2)
    """

    classes_: NDArray[Any]
    class_weight_: Any

    def __init__(
        self,
        estimator: Any,
        conformity_score: LabelScore = "lac",
        *,
        weighter: Any = None,
        prior: Any = None,
        conditional: Conditional = None,
        cv: int | None = None,
        calibration_fraction: float = 0.5,
        clip: Any = None,
        use_labels: UseOfLabels = "auto",
        random_state: Any = 0,
    ) -> None:
        self.estimator = estimator
        self.conformity_score = conformity_score
        self.weighter = weighter
        self.prior = prior
        self.conditional = conditional
        self.cv = cv
        self.calibration_fraction = calibration_fraction
        self.clip = clip
        self.use_labels = use_labels
        self.random_state = random_state

    def _check_own_settings(self) -> None:
        check_option(self.conformity_score, "conformity_score", LABEL_SCORES)
        check_option(self.conditional, "conditional", [None, "class", "group"])
        if self.prior is None:
            return
        if self.weighter is not None:
            raise ShiftDataError("weighter is for covariate shift and prior for label shift: pass one of them.")
        if self.clip is not None:
            raise ShiftDataError("clip is for the weights of a weighter: leave it out with prior.")

    def _needs_target(self) -> bool:
        return self.weighter is not None or hasattr(self.prior, "adjust_proba")

    def _weighs_classes(self) -> bool:
        return self.prior is not None

    def _read_y(self, y: Any, name: str) -> NDArray[Any]:
        return labels_of_rows(y, name)

    def _fit_model(self, source: Labelled, rng: np.random.Generator) -> Any:
        if isinstance(self.estimator, FrozenEstimator):
            return self.estimator
        return fit_weighted_of(self.estimator, source.X, source.y, source.counts)

    def _set_classes(self, source: Labelled, target: Unlabelled | None) -> None:
        found = np.unique(source.y)
        known = getattr(self.estimator, "classes_", found) if isinstance(self.estimator, FrozenEstimator) else found
        if not hasattr(self.estimator, "predict_proba"):
            raise ShiftDataError(
                f"{type(self.estimator).__name__} has no predict_proba, and the scores are made of it: pass a "
                "classifier that has one, for example in CalibratedClassifierCV."
            )
        if len(known) < 2:
            raise ShiftDataError(f"y holds one class only ({known.tolist()[0]!r}): at least two classes are needed.")
        self.classes_ = np.asarray(known)
        for labels, name in ((found, "y"), (np.unique(target.y) if target is not None else known[:0], "X_target")):
            if len(labels) and (stratum_numbers(labels, self.classes_) == NO_STRATUM).any():
                raise ShiftDataError(
                    f"{name} holds labels that are not among the classes {self.classes_.tolist()}: drop those rows."
                )

    def _places(self, y: NDArray[Any]) -> Rows:
        """Place of each label among the classes."""
        return np.searchsorted(self.classes_, y)

    def _strata_of(self, source: Labelled) -> tuple[NDArray[Any], Rows]:
        if self.conditional == "class":
            return self.classes_, self._places(source.y)
        return super()._strata_of(source)

    def _strata_of_labels(self, y: NDArray[Any], known: NDArray[Any]) -> Rows:
        return self._places(y) if self.conditional == "class" else super()._strata_of_labels(y, known)

    def _strata_to_split_by(self, source: Labelled, strata: Rows) -> Rows:
        places = np.unique(source.y, return_inverse=True)[1]
        return np.unique(strata * (places.max() + 1) + places, return_inverse=True)[1]

    def _scores(self, models: Sequence[Any], X: Any) -> list[Floats]:
        """Scores of all classes at rows by each of several models, arrays of shape (n_rows, n_classes)."""
        probas = [proba_of_classes(model, X, self.classes_) for model in models]
        if self.class_weight_ is not None:
            probas = [proba_at_target(proba, self.class_weight_) for proba in probas]
        return label_scores(probas, self.conformity_score)

    def _own_scores(self, models: Sequence[Any], number: int, X: Any, y: NDArray[Any]) -> Floats:
        first = models[:1] if number > 0 and self.conformity_score == "aps" else []
        return self._scores([*first, models[number]], X)[-1][np.arange(len(y)), self._places(y)]

    def _weigh(self, source: Labelled, target: Unlabelled | None, parts: Sequence[HeldOut]) -> Weighed:
        self.class_weight_ = None
        if self.prior is None:
            return super()._weigh(source, target, parts)
        proba = np.concatenate(
            [proba_of_classes(part.model, self._rows_of(source, part)[0], self.classes_) for part in parts]
        )
        rows = np.concatenate([part.rows for part in parts])
        places = self._places(source.y)
        dealt = None if target is None else self._dealt_proba(target.X, parts)
        weights = target_class_weights(self.prior, proba, places[rows], dealt, self.classes_, source.repeats[rows])
        self.class_weight_ = raw = np.asarray(weights.class_weight)
        if self.conditional == "class":  # within a class all weigh the same
            weights, raw = replace(weights, class_weight=None), np.ones(len(self.classes_))
        return Weighed(weights, raw[places], raw[self._places(self._target_labels(target))])

    def _target_labels(self, target: Unlabelled | None) -> NDArray[Any]:
        """Known labels of target rows; none without any."""
        return self.classes_[:0] if target is None or not len(target.y) else target.y

    def _dealt_proba(self, X: Any, parts: Sequence[HeldOut]) -> Floats:
        """Probabilities of target rows, each by one of the models in turn, as those of the source rows are."""
        order = order_of_rows(X)
        proba = np.empty((len(order), len(self.classes_)))
        for number, part in enumerate(parts):
            rows = order[number :: len(parts)]
            if rows.size:
                proba[rows] = proba_of_classes(part.model, _safe_indexing(X, rows), self.classes_)
        return proba

    def _set_learned(self, X: Any, parts: Any, calibrated: Any, weights: TargetWeights) -> None:
        super()._set_learned(X, parts, calibrated, weights)
        self.prior_ = weights.prior

    def _own_weights(self, X: Any) -> Floats:
        """Weights of rows with each class, shape (n_rows, n_classes)."""
        weights, shape = self._calibrated.weights, (_num_samples(X), len(self.classes_))
        if weights.class_weight is not None:
            return np.broadcast_to(weights.finish(weights.class_weight), shape)
        return np.broadcast_to(weights.of_rows(X, shape[0])[:, np.newaxis], shape)

    def _class_strata(self, strata: Rows) -> Rows:
        """Stratum of rows with each class, shape (n_rows, n_classes)."""
        if self.conditional == "class":
            return np.broadcast_to(np.arange(len(self.classes_)), (len(strata), len(self.classes_)))
        return np.broadcast_to(strata[:, np.newaxis], (len(strata), len(self.classes_)))

    def _shares_below(self, X: Any, strata: Rows, own: Floats) -> Floats:
        """1 minus the p-value of each class at each row, shape (n_rows, n_classes)."""
        of_class = self._class_strata(strata)
        below = np.zeros(own.shape)
        for scores, ranked in zip(self._scores(self.estimators_, X), self._calibrated.ranked, strict=True):
            for k in range(len(self.classes_)):
                below[:, k] += weight_under_by_stratum(ranked, of_class[:, k], scores[:, k])
        total = totals_of(self._calibrated.pooled)[of_class] + own
        return np.divide(below, total, out=np.zeros(own.shape), where=total > 0)

    def predict_set(self, X: ArrayLike, level: float = 0.9, *, groups: ArrayLike | None = None) -> NDArray[np.bool_]:
        """Labels that each row may have.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Target rows.
        level : float in (0, 1), default=0.9
            Probability with which a set holds the true label.
        groups : array-like of shape (n_rows,), default=None
            For ``conditional="group"``. All labels are in the set of a row of a group without calibration rows.

        Returns
        -------
        ndarray of bool of shape (n_rows, n_classes)
            Columns in the order of ``classes_``.

        Raises
        ------
        ShiftDataError
            For a level outside (0, 1), rows that cannot be read, and groups that are missing.
        """
        X, strata, used = self._read_new(X, level, groups)
        return self._sets(X, strata, self._own_weights(X), used)

    def _sets(self, X: Any, strata: Rows, own: Floats, level: float) -> NDArray[np.bool_]:
        if level >= 1:
            return np.ones(own.shape, dtype=bool)
        return self._shares_below(X, strata, own) < level * (1 - EQUAL_SHARES)

    def p_values(self, X: ArrayLike, *, groups: ArrayLike | None = None) -> NDArray[np.float64]:
        """P-value of each label at each row: a set of a level holds the labels whose p-value exceeds 1 - level.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Target rows.
        groups : array-like of shape (n_rows,), default=None
            For ``conditional="group"``.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            In (0, 1]; with clipped weights larger by ``clip_cost_``.

        Raises
        ------
        ShiftDataError
            For rows that cannot be read, and groups that are missing.
        """
        X, strata, _ = self._read_new(X, 0.5, groups)
        return np.minimum(1 - self._shares_below(X, strata, self._own_weights(X)) + self.clip_cost_, 1)

    def summarize(self, X: ArrayLike, level: float = 0.9, *, groups: ArrayLike | None = None) -> CoverageSummary:
        """What sets of rows cost, and what their coverage rests on.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Target rows.
        level : float in (0, 1), default=0.9
        groups : array-like of shape (n_rows,), default=None
            For ``conditional="group"``.

        Returns
        -------
        CoverageSummary

        Raises
        ------
        ShiftDataError
            As :meth:`predict_set`.
        """
        X, strata, used = self._read_new(X, level, groups)
        own, of_class = self._own_weights(X), self._class_strata(strata)
        everywhere = covers_for_certain(totals_of(self._calibrated.pooled)[of_class], own, used)
        always = self.classes_[everywhere.all(axis=0)].tolist()
        size = float(self._sets(X, strata, own, used).sum(axis=1).mean())
        return self._summarize(level, np.asarray(everywhere.all(axis=1)), size, "labels", tuple(always))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Mean class probabilities of ``estimators_``, shape (n_rows, n_classes)."""
        check_is_fitted(self, "estimators_")
        X = check_rows(X, "X")
        return np.mean([proba_of_classes(model, X, self.classes_) for model in self.estimators_], axis=0)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Likeliest class of each row, by the mean probabilities.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        check_is_fitted(self, "estimators_")
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
