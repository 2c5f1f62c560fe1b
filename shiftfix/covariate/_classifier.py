"""Covariate weights from the odds of any source-versus-target classifier, cross-fitted when it is flexible.

Assumes p(y | x) is shared and only p(x) moves. With labels -1 (source) and +1 (target) and h(x) the log odds
of a classifier that saw n_source and n_target rows (or totals of repeat counts), Bayes' rule gives

    log w(x) = h(x) + log(n_source / n_target).

A classifier that can learn its rows by heart is sure of them, and its weights of these very rows collapse: a random
forest's average about 0.5 in place of 1. So each row gets its ratio from a model that never saw it.
Source: Bickel, Brueckner & Scheffer (2009), JMLR 10:2137-2155, section 3, for the ratio; Chernozhukov et al. (2018),
Econometrics Journal 21(1):C1-C68, definition 3.1, for the folds; Platt (1999), "Probabilistic outputs for support
vector machines", for the sigmoid on held-out scores.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.utils import _safe_indexing

from shiftfix._crossfit import Fold, Rows, check_folds, is_fold_count, out_of_fold
from shiftfix._learner import fit_weighted_of, learner_of, weight_parameter
from shiftfix._numerics import Floats
from shiftfix._row_order import equal_rows
from shiftfix._setting_checks import check_count, check_generator, check_methods, check_option
from shiftfix._validation import check_matrix
from shiftfix.covariate._base import BaseWeighter, FittedRatio
from shiftfix.covariate._folds import new_folds_of_samples, own_folds, stacked_groups
from shiftfix.covariate._odds import (
    SOURCE,
    TARGET,
    decision_is_log_odds,
    fit_sigmoid,
    odds_to_log_ratio,
    proba_to_log_odds,
    stack_rows,
)
from shiftfix.covariate._samples import Samples
from shiftfix.covariate._table_columns import check_raw_rows, comparable_rows, frame_like, reads_raw_rows
from shiftfix.exceptions import ShiftDataError, UncalibratedRatioWarning
from shiftfix.weights import RAW_MEAN_HIGH, RAW_MEAN_LOW, WeightSummary

AUTO_FOLDS = 5
ISOTONIC = (
    "Isotonic calibration gives probabilities of exactly 0 and 1, that is weights of 0 and infinity: "
    'use calibration="sigmoid".'
)


def with_seeds(classifier: Any, rng: np.random.Generator) -> Any:
    """Clone whose unset ``random_state`` parameters are seeded, so that no global generator is read."""
    clone_ = clone(classifier)
    parameters = clone_.get_params(deep=True)
    unset = [name for name in sorted(parameters) if name.split("__")[-1] == "random_state" and parameters[name] is None]
    return clone_.set_params(**{name: int(rng.integers(2**31 - 1)) for name in unset})


def _refuse_other_sizes(name: str, value: Any) -> None:
    """Raise for a setting that replaces the sizes of the two samples."""
    short = name.split("__")[-1]
    if short in ("class_weight", "priors", "class_prior") and value is not None:
        raise ShiftDataError(
            f"The classifier has {name}={value!r}: it replaces the sizes of the two samples by others, and the "
            f"factor n_source / n_target would then be applied twice. Set {name}=None: the sizes are undone here."
        )
    if short == "fit_prior" and value is False:
        raise ShiftDataError(
            f"The classifier has {name}=False: the factor n_source / n_target would then be applied twice. "
            f"Set {name}=True."
        )


def _refuse_unusable(classifier: Any) -> None:
    """Raise for classifiers whose odds are not those of the two samples."""
    parameters = classifier.get_params(deep=True)
    for name, value in parameters.items():
        _refuse_other_sizes(name, value)
    parts = [classifier, *parameters.values()]
    if any(isinstance(part, CalibratedClassifierCV) and part.method == "isotonic" for part in parts):
        raise ShiftDataError(ISOTONIC)


def score_kind(classifier: Any, X: Any, calibrated: bool) -> str:
    """Where a fitted classifier's log odds stand: "decision" or "proba".

    ``X`` are rows to compare the two at, and ``calibrated`` whether any increasing score will do.

    Raises
    ------
    ShiftDataError
        For a classifier without probabilities, unless it is calibrated and has decision values.
    """
    has_decision = hasattr(classifier, "decision_function")
    if hasattr(classifier, "predict_proba"):
        same = has_decision and decision_is_log_odds(classifier.decision_function(X), classifier.predict_proba(X))
        return "decision" if same else "proba"
    if has_decision and calibrated:
        return "decision"
    name = type(learner_of(classifier)).__name__
    if has_decision:
        raise ShiftDataError(
            f"{name} has no predict_proba, and its decision_function gives no log odds: "
            'pass calibration="sigmoid", or a classifier with predict_proba.'
        )
    raise ShiftDataError(f"{name} has neither predict_proba nor decision_function: use a classifier that has.")


def _shared_by_equal_rows(log_ratio: Floats, samples: Sequence[Any], counts: Floats) -> Floats:
    """Log ratios of which equal rows of one sample get their mean: which of them was dealt to which fold is chance."""
    first, second = (equal_rows(X) for X in samples)
    number = np.concatenate([first, first.max() + 1 + second])
    return (np.bincount(number, counts * log_ratio) / np.bincount(number, counts))[number]


class FoldModel(NamedTuple):
    """A fitted classifier, where its log odds stand, and how many rows of each sample it saw."""

    classifier: Any
    kind: str
    n_source: float
    n_target: float

    def log_ratio(self, X: Any) -> Floats:
        """Log ratio at rows, before any calibration."""
        if self.kind == "decision":
            log_odds = np.asarray(self.classifier.decision_function(X), dtype=np.float64)
        else:
            proba = np.asarray(self.classifier.predict_proba(X), np.float64)
            log_odds = proba_to_log_odds(proba, self.n_source + self.n_target)
        return odds_to_log_ratio(log_odds, self.n_source, self.n_target)


class ClassifierWeighter(BaseWeighter):
    """Weight source rows by the odds that they came from the target, by a classifier of your choice.

    The classifier is trained to tell source (-1) from target (+1) rows. Where it has a ``decision_function`` whose
    sigmoid is its probability (logistic models, gradient boosting), that is the log odds, free of rounding;
    otherwise they come from ``predict_proba``, both probabilities bounded below by half a row in the rows it was
    trained on.

    Cross-fitting. Flexible classifiers are trained once per fold, and each fitted row, of both samples, is judged by
    the model that did not see it: these ratios make ``source_weights_``, ``fit_transform`` and ``summary_``.
    ``transform`` and ``log_ratio`` average the log ratios of all models; they take any rows for new ones, so
    ``transform`` of the fitted source rows is partly in-sample: use ``source_weights_`` for those.

    Parameters
    ----------
    classifier : classifier, default=None
        With ``predict_proba``, or (when calibrated here) ``decision_function``. Cloned; an unset ``random_state`` of
        it is seeded from ours. None means ``LogisticRegression()``. To one that takes gaps or categories itself
        (``HistGradientBoostingClassifier``), and to a Pipeline, which may have an imputer or an encoder, frames and
        missing values go as they are.
    cv : "auto", int, None, splitter or list of (training, held-out), default="auto"
        Number of folds, at least 2; None fits once and judges the rows in-sample; a splitter, whose
        ``split(X, domain, groups)`` sees the source rows first, or a list of folds, whose positions count the source
        rows first, must hold every row out once. ``"auto"`` is None for linear models and 5
        for all others and whenever ``calibration`` is set. A model is linear when its last step (of a Pipeline, of
        a search) is one of scikit-learn's linear classifiers (``LinearClassifierMixin``): its score equations
        balance moments, and cross-fitting only adds noise.
    calibration : {None, "sigmoid"}, default=None
        ``"sigmoid"`` maps the out-of-fold scores to log odds by a logistic regression (Platt). "isotonic" is refused.
    clip : "sqrt", float, percentile such as "99%", "ess", "pareto" or None, default="sqrt"
        Upper bound c of a weight, after the size factor and before normalisation; ``"sqrt"`` is
        mean(w) * sqrt(n_source). The other rules:
        :func:`shiftfix.weights.clip_threshold`.
    min_ess : float, default=100
        For ``clip="ess"``: effective sample size to reach, in rows from 1 on, a share of the source rows below 1.
    normalize : {"mean", None}, default="mean"
        ``"mean"`` divides by the mean clipped weight of the source.
    random_state : int, numpy Generator or RandomState, default=None
        For the folds and the classifier's unset seeds.

    Attributes
    ----------
    source_weights_ : ndarray of shape (n_source,)
        Finished weights of the fitted source rows, out of fold when cross-fitted; no unit, mean 1 unless
        ``normalize=None``; in-sample, what ``transform`` gives up to rounding. A row with repeat count 0 gets what
        ``transform`` says.
    classifiers_ : list of classifier
        The fitted model of each fold; a single one in-sample.
    cross_fitted_ : bool
    calibration_ : tuple of float or None
        Slope and intercept of the sigmoid that turns scores into log w; None without calibration.
    n_source_, n_target_ : float
        Rows of each sample, or the totals of their repeat counts.
    log_clip_, log_mean_ : float
        Logarithms of the clip and of the mean clipped weight.
    summary_ : WeightSummary
        Effective size, raw mean weight, overlap and the verdict, out of fold when cross-fitted.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when ``X_source`` had column names.

    Raises
    ------
    ShiftDataError
        By ``fit``, for unusable data or settings, isotonic calibration, a classifier that reweights the classes
        (``class_weight``, ``priors``), one without probabilities that is not calibrated, or one that takes no
        ``sample_weight`` when repeat counts are given.

    Warns
    -----
    UncalibratedRatioWarning
        By ``fit``, when the raw weights average less than 0.7 or more than 1.4 over the source.
    PoorOverlapWarning
        By ``fit``, when the verdict is "abstain".

    See Also
    --------
    LogisticWeighter : Odds of a logistic source-versus-target classifier; the default.
    shiftfix.detect.classifier_test : Can a model tell source from target rows?

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> rng = np.random.default_rng(0)
    >>> X_source, X_target = rng.normal(0, 1, (2000, 1)), rng.normal(0.5, 1, (1000, 1))
    >>> boosting = HistGradientBoostingClassifier(max_iter=20, max_depth=2)
    >>> weighter = ClassifierWeighter(boosting, random_state=0)
    >>> w = weighter.fit_transform(X_source, X_target)
    >>> abs(float(np.average(X_source[:, 0], weights=w)) - 0.5) < 0.15
    True
    """

    _own_output = False

    def __init__(
        self,
        classifier: Any = None,
        *,
        cv: Any = "auto",
        calibration: Literal["sigmoid"] | None = None,
        clip: str | float | None = "sqrt",
        min_ess: float = 100,
        normalize: Literal["mean"] | None = "mean",
        random_state: int | np.random.Generator | np.random.RandomState | None = None,
    ) -> None:
        self.classifier = classifier
        self.cv = cv
        self.calibration = calibration
        self.clip = clip
        self.min_ess = min_ess
        self.normalize = normalize
        self.random_state = random_state

    def fit(
        self,
        X_source: Any,
        X_target: Any,
        *,
        sample_weight_source: ArrayLike | None = None,
        sample_weight_target: ArrayLike | None = None,
        groups_source: ArrayLike | None = None,
        groups_target: ArrayLike | None = None,
    ) -> Self:
        """Learn the density ratio of two samples.

        Parameters
        ----------
        X_source : array-like of shape (n_source, n_features)
            Rows of the population that has labels.
        X_target : array-like of shape (n_target, n_features)
            Rows of the population that matters; the same columns.
        sample_weight_source : array-like of shape (n_source,), default=None
            Repeat counts of the source rows: weight 2 is the same as the row twice, 0 leaves it out.
            Weights below 1 compare the rows and are rescaled to average 1.
        sample_weight_target : array-like of shape (n_target,), default=None
            Repeat counts of the target rows.
        groups_source : array-like of shape (n_source,), default=None
            Labels of rows that belong together (visits of one patient, say) and stay in one fold; the same label in
            ``groups_target`` is the same group. A number of folds is stratified by sample as far as the groups allow,
            a splitter gets the groups, a list of folds is taken as it is. None: every row is a group.
        groups_target : array-like of shape (n_target,), default=None
            The same of the target rows.

        Returns
        -------
        self

        Raises
        ------
        ShiftDataError
            For NaN or infinite values, an empty sample, columns that differ, negative or all-zero
            sample weights, groups of another length, fewer groups than folds, or a bad setting. The estimator is then
            left as it was.

        Warns
        -----
        UncalibratedRatioWarning
            When the raw weights average less than 0.7 or more than 1.4 over the source.
        PoorOverlapWarning
            When the verdict of ``summary_`` is "abstain".
        """
        samples = self._check_samples(X_source, X_target, sample_weight_source, sample_weight_target)
        return self._fit(samples, **self._fold_options(samples, groups_source, groups_target))

    def _fold_options(self, samples: Samples, groups_source: Any, groups_target: Any) -> dict[str, Any]:
        """What the folds are made of: groups of the rows that count, and the user's own folds of them."""
        groups = stacked_groups([groups_source, groups_target], [len(rows) for rows in samples.present])
        asked = self.cv is None or isinstance(self.cv, str) or is_fold_count(self.cv)
        return {
            "groups": None if groups is None else groups[np.concatenate(samples.present)],
            "folds": None if asked else own_folds(self.cv, samples, groups),
        }

    def fit_transform(
        self,
        X_source: Any,
        X_target: Any,
        *,
        sample_weight_source: ArrayLike | None = None,
        sample_weight_target: ArrayLike | None = None,
        groups_source: ArrayLike | None = None,
        groups_target: ArrayLike | None = None,
    ) -> Floats:
        """``fit``, then a copy of ``source_weights_``, shape (n_source,): out of fold when cross-fitted."""
        samples = self._check_samples(X_source, X_target, sample_weight_source, sample_weight_target)
        return self._fit(samples, **self._fold_options(samples, groups_source, groups_target)).source_weights_.copy()

    def _check_rows(self, X: Any, name: str) -> Any:
        if not reads_raw_rows(self.classifier):
            return check_matrix(X, name, accept_sparse=True)
        return check_raw_rows(X, name)

    def _features(self, X: Any) -> Any:
        return frame_like(X, self._library, self._column_names)

    def _described(
        self, matrices: tuple[Any, Any], names: list[str] | None
    ) -> tuple[tuple[Any, Any], list[str] | None]:
        return comparable_rows(matrices, names)

    def _folds_asked(self, classifier: Any, n_least: int) -> Any:
        """Number of folds, None for in-sample, or the user's own; ``n_least`` are the rows of the smaller sample."""
        cv = self.cv
        if not (cv is None or isinstance(cv, str)):
            check_folds(cv)
        elif isinstance(cv, str):
            check_option(cv, "cv", ["auto"])
            linear = isinstance(learner_of(classifier), LinearClassifierMixin)
            cv = None if linear and self.calibration is None else AUTO_FOLDS
        if cv is None and self.calibration is not None:
            raise ShiftDataError(
                f"calibration={self.calibration!r} with cv=None would calibrate on scores of rows the classifier "
                'knows: use cv="auto" or a number of folds.'
            )
        if is_fold_count(cv) and check_count(cv, "cv", least=2) > n_least:
            raise ShiftDataError(
                f"{cv} folds need as many rows of each sample, and the smaller one has {n_least}: pass more rows, "
                "fewer folds, or a linear classifier with cv=None."
            )
        return cv

    def _checked_classifier(self, weighted: bool) -> Any:
        if isinstance(self.calibration, str) and self.calibration == "isotonic":  # type: ignore[comparison-overlap]  # what users try
            raise ShiftDataError(ISOTONIC)
        check_option(self.calibration, "calibration", [None, "sigmoid"])
        classifier = LogisticRegression(max_iter=1000) if self.classifier is None else self.classifier
        check_methods(classifier, "classifier", ["fit", "get_params"], "a classifier of scikit-learn's kind, or None")
        _refuse_unusable(classifier)
        if weighted and weight_parameter(classifier) is None:
            raise ShiftDataError(
                f"{type(learner_of(classifier)).__name__} takes no sample_weight, so repeat counts cannot reach it: "
                "use a classifier that does, or repeat the rows."
            )
        return classifier

    def _fit_log_ratio(
        self,
        X_source: Any,
        X_target: Any,
        counts_source: Floats,
        counts_target: Floats,
        *,
        groups: NDArray[np.intp] | None = None,
        folds: list[Fold] | None = None,
    ) -> FittedRatio:
        n_rows = [X_source.shape[0], X_target.shape[0]]
        counts, domain = np.concatenate([counts_source, counts_target]), np.repeat([SOURCE, TARGET], n_rows)
        n_source, n_target = float(counts_source.sum()), float(counts_target.sum())
        weighted = bool((counts != 1).any())
        classifier = self._checked_classifier(weighted)
        rng = check_generator(self.random_state)
        cv = self._folds_asked(classifier, min(n_rows))
        X = stack_rows(X_source, X_target)
        if cv is None:
            # In-sample is one fold that is judged, and learned from, as a whole.
            folds = [Fold(np.arange(len(domain)), np.arange(len(domain)))]
        elif folds is None:
            samples, _ = comparable_rows((X_source, X_target), None)
            folds = new_folds_of_samples(cv, samples, domain, rng, groups)

        def fit(training: Rows) -> FoldModel:
            seen = [float(counts[training][domain[training] == side].sum()) for side in (SOURCE, TARGET)]
            if min(seen) == 0:
                raise ShiftDataError(
                    f"cv={self.cv!r} leaves a fold without rows of one of the samples to learn from: stratify the "
                    "folds by sample, as StratifiedKFold(shuffle=True) does."
                )
            weights = counts[training] if weighted else None
            rows = _safe_indexing(X, training)
            model = fit_weighted_of(with_seeds(classifier, rng), rows, domain[training], weights)
            return FoldModel(model, score_kind(model, rows, self.calibration is not None), *seen)

        found = out_of_fold(folds, fit, lambda model, rows: model.log_ratio(_safe_indexing(X, rows)), keep_models=True)
        log_ratio, calibration = found.by_row(len(domain)), None
        if cv is not None:
            log_ratio = _shared_by_equal_rows(log_ratio, [X_source, X_target], counts)
        if self.calibration == "sigmoid":
            slope, intercept = fit_sigmoid(log_ratio, domain, counts)
            calibration = (slope, odds_to_log_ratio(intercept, n_source, n_target))
            log_ratio = slope * log_ratio + calibration[1]
        self.cross_fitted_, self.calibration_ = cv is not None, calibration
        self._library = type(X).__module__.partition(".")[0] if hasattr(X, "columns") else None
        self.classifiers_, self._models = [model.classifier for model in found.models], found.models
        return FittedRatio(log_ratio[: n_rows[0]], log_ratio[n_rows[0] :], n_source, n_target, kept=True)

    def _log_ratio(self, X: Any) -> Floats:
        mean = np.mean([model.log_ratio(X) for model in self._models], axis=0)
        return mean if self.calibration_ is None else self.calibration_[0] * mean + self.calibration_[1]

    def _doubts(self, summary: WeightSummary) -> list[Warning]:
        doubts = super()._doubts(summary)
        if not RAW_MEAN_LOW <= summary.raw_mean <= RAW_MEAN_HIGH:
            remedy = 'pass calibration="sigmoid"' if self.cross_fitted_ else 'pass cv=5 and calibration="sigmoid"'
            doubts.append(
                UncalibratedRatioWarning(
                    f"The raw weights average {summary.raw_mean:.3g} over the source, and density ratios average 1 "
                    f"(accepted: {RAW_MEAN_LOW} to {RAW_MEAN_HIGH}): {remedy}, or a less flexible classifier."
                )
            )
        return doubts
