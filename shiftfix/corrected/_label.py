"""Correct any probabilistic classifier for a moved class prior.

Assumes p(x | y) is shared and p(y) moves. The scores that the prior is learned from must come from rows the
classifier was not trained on, so they are made out of fold. Target rows are dealt to the fold models in
turn: source and target scores then come from the same mixture of models, as the confusion-matrix
equation needs; scores of a refitted model, or averaged ones, would be sharper than those of the source.
"""

import warnings

import numpy as np
from sklearn.base import ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold, check_cv
from sklearn.utils import _safe_indexing, column_or_1d, get_tags, indexable
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples, check_is_fitted

from shiftfix._learner import fit_weighted, learner_of
from shiftfix._validation import (
    check_generator,
    check_labels,
    check_number,
    check_option,
    check_repeat_counts,
    check_same_columns,
    check_scores,
    column_names,
)
from shiftfix.corrected._base import BaseCorrected, estimator_has
from shiftfix.corrected._target_sample import target_rows
from shiftfix.exceptions import NotIdentifiedError, PoorIdentificationWarning, ShiftDataError
from shiftfix.label import MLLS, adjust_proba, unadjusted_threshold


class LabelShiftClassifier(ClassifierMixin, BaseCorrected):
    """Classifier corrected for the target's class prior.

    Exactly one correction is applied: either the posteriors are adjusted, or the training is weighted.

    Parameters
    ----------
    estimator : classifier with ``predict_proba``
        Cloned before fitting. A trained one in ``sklearn.frozen.FrozenEstimator`` is used as it is; then
        X and y must be rows it was not trained on.
    prior : prior estimator, default=None
        Fitted on out-of-fold source scores and target scores; None means ``MLLS(shrink="significance")``: scores
        calibrated by the kind that held-out rows prefer, and no correction where no shift can be told.
    correction : {"adjust", "retrain"}, default="adjust"
        "adjust" calibrates the posteriors as the prior estimator does and reweights them by q / ``score_prior_``:
        no retraining, and Bayes-optimal when they are calibrated. "retrain" fits again with row weights q / p, where
        q is taken as at least half a target row: for models too simple to represent p(y given x).
    cv : int, splitter or iterable, default=5
        Folds for the out-of-fold scores; an int means shuffled stratified folds, at most as many as the
        rarest class has rows.
    on_abstain : {"uncorrected", "error"}, default="uncorrected"
        What to do when the scores cannot tell the prior: warn and predict uncorrected, or raise.
    fallback : {None, "resample"}, default=None
        For a learner that takes no weights, where weights are needed.
    random_state : int, numpy Generator or RandomState, default=None
        For the folds, for the intervals of the default ``prior``, and for ``fallback``.

    Attributes
    ----------
    estimator_ : classifier
        Fitted on all source rows.
    prior_ : prior estimator
        Holds the interval, the confusion matrices and the condition number.
    classes_ : ndarray of shape (n_classes,)
    source_prior_, target_prior_ : ndarray of shape (n_classes,)
        p, the class frequencies of the source, and q; equal when not corrected.
    score_prior_ : ndarray of shape (n_classes,)
        The prior that posteriors are divided by: p, or what the scores imply when they disagree with p (a
        classifier trained with balanced classes, or on another population).
    corrected_ : bool
        Whether the correction is applied; False also where the prior estimator's ``shrink`` found no shift.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had string column names.

    Notes
    -----
    Preprocessing belongs inside ``estimator``, as a Pipeline: a Pipeline around this one transforms X but not
    X_target. Cross-validated scores (``GridSearchCV``) judge predictions meant for the target on source rows, so
    they favour less correction; search the parameters of ``estimator`` by themselves.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = load_digits(return_X_y=True)
    >>> target = (y == 3) | (y == 8)
    >>> model = LabelShiftClassifier(LogisticRegression(max_iter=1000, C=0.01), random_state=0)
    >>> model = model.fit(X[::2], y[::2], X_target=X[target])
    >>> bool(model.target_prior_[[3, 8]].sum() > 0.9)
    True
    """

    def __init__(
        self,
        estimator,
        prior=None,
        *,
        correction="adjust",
        cv=5,
        on_abstain="uncorrected",
        fallback=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.prior = prior
        self.correction = correction
        self.cv = cv
        self.on_abstain = on_abstain
        self.fallback = fallback
        self.random_state = random_state

    def fit(self, X, y, X_target=None, *, sample_weight=None, scores_source=None, scores_target=None):
        """Estimate the target prior and fit the corrected classifier.

        Parameters
        ----------
        X : array-like of shape (n_source, n_features)
            Source rows.
        y : array-like of shape (n_source,)
            Their labels.
        X_target : array-like of shape (n_target, n_features) or TargetSample
            Unlabelled target rows; required, unless their scores are given.
        sample_weight : array-like of shape (n_source,), default=None
            Repeat counts of the source rows: they enter the prior and multiply its weights. Weights below 1
            compare the rows and are rescaled to average 1.
        scores_source, scores_target : array-like of shape (n_rows, n_classes), default=None
            Class probabilities of X and of the target rows by models that were NOT trained on those rows, with
            columns in sorted order of the labels. Given both, no model is cross-fitted.

        Returns
        -------
        self

        Raises
        ------
        ShiftDataError
            Without ``X_target``, for unusable data or settings, a class with a single row, or a classifier
            without ``predict_proba``.
        NotIdentifiedError
            When the scores cannot tell the prior and ``on_abstain="error"``.

        Warns
        -----
        PoorIdentificationWarning
            When the scores cannot tell the prior; nothing is corrected then.
        """
        check_option(self.correction, "correction", ["adjust", "retrain"])
        check_option(self.on_abstain, "on_abstain", ["uncorrected", "error"])
        check_option(self.fallback, "fallback", [None, "resample"])
        given = scores_source is not None, scores_target is not None
        if any(given) and not all(given):
            raise ShiftDataError("scores_source and scores_target belong together: pass both, or neither.")
        if not any(given):
            X_target = target_rows(X_target)
        labels = check_labels(y if y is None else column_or_1d(y, warn=True), "y")
        check_classification_targets(labels)
        X, labels = indexable(X, labels)
        if not any(given):
            X_target = indexable(X_target)[0]
        if not any(given) and len(np.shape(X)) == len(np.shape(X_target)) == 2:
            check_same_columns(column_names(X), X_target, "X", "X_target", np.shape(X)[1])
        if self.prior is not None and not hasattr(self.prior, "adjust_proba"):
            raise ShiftDataError(f"prior={self.prior!r} is no prior estimator: pass one from shiftfix.label, or None.")
        if not hasattr(self.estimator, "predict_proba"):
            raise ShiftDataError(
                f"{type(self.estimator).__name__} has no predict_proba, and the prior is learned from class "
                "probabilities: wrap it in scikit-learn's CalibratedClassifierCV."
            )
        if self.correction == "retrain" and isinstance(self.estimator, FrozenEstimator):
            raise ShiftDataError('A FrozenEstimator cannot be retrained: use correction="adjust".')
        if self.correction == "retrain" and getattr(learner_of(self.estimator), "class_weight", None) is not None:
            learner = learner_of(self.estimator)
            raise ShiftDataError(
                f"{type(learner).__name__} has class_weight={learner.class_weight!r}, which would work against the "
                'weights of retraining: set it to None, or use correction="adjust".'
            )
        counts = None if sample_weight is None else check_repeat_counts(sample_weight, len(labels))
        rng = check_generator(self.random_state)
        rows = np.arange(len(labels)) if counts is None else np.flatnonzero(counts)
        self.classes_ = np.unique(labels[rows])
        if any(given):
            scored = rows
            scores = check_scores(scores_source, "scores_source", len(self.classes_))
            if len(scores) != len(labels):
                raise ShiftDataError(f"scores_source has {len(scores)} rows for {len(labels)} of X: pass one per row.")
            scores = scores[rows]
        else:
            folds = self._folds(X, labels, rows, rng)
            scores, scores_target, scored = self._out_of_fold_scores(X, labels, counts, X_target, folds, rng)
        scored_labels, scored_counts = labels[scored], None if counts is None else counts[scored]
        self._fit_prior(scores, scored_labels, scores_target, scored_counts, rng)

        if counts is not None:
            X, labels, counts = _safe_indexing(X, rows), labels[rows], counts[rows]
        codes = np.searchsorted(self.classes_, labels)
        totals = np.bincount(codes, weights=counts)
        self.source_prior_ = self.score_prior_ = totals / totals.sum()
        self.target_prior_ = self.prior_.target_prior_ if self.corrected_ else self.source_prior_
        if self.corrected_ and not np.array_equal(self.prior_.score_prior_, self.prior_.source_prior_):
            # Otherwise the scores agree with the frequencies of the scored rows, and the final classifier's with those
            # of all rows; the two differ when the folds leave rows out.
            self.score_prior_ = self.prior_.score_prior_
        weights = counts
        if self.correction == "retrain" and self.corrected_:
            # Half a target row is the least prior that the sample can speak of; a class of weight 0 would
            # vanish from the retrained classifier, columns and all.
            class_weight = np.maximum(self.target_prior_, 0.5 / len(scores_target)) / self.source_prior_
            weights = class_weight[codes] * (1.0 if counts is None else counts)
        self.estimator_ = fit_weighted(self.estimator, X, labels, weights, fallback=self.fallback, rng=rng)
        self._copy_input_attributes()
        return self

    def class_weight(self):
        """Weights q / p by label, for learners that take ``class_weight``; all 1 when nothing is corrected.

        Returns
        -------
        dict of label to float

        Raises
        ------
        ShiftDataError
            When this estimator adjusts its posteriors: a learner trained with these weights must not be adjusted too.
        """
        check_is_fitted(self)
        if self.correction == "adjust":
            raise ShiftDataError(
                'correction="adjust" corrects the posteriors already, and weights would correct them again: fit with '
                'correction="retrain", or take prior_.class_weight() for a learner that is used by itself.'
            )
        return dict(zip(self.classes_.tolist(), (self.target_prior_ / self.source_prior_).tolist(), strict=True))

    def adjusted_threshold(self, threshold=0.5):
        """Threshold on ``estimator_``'s probability of ``classes_[1]`` that does what ``threshold`` does here.

        As :meth:`shiftfix.label.MLLS.adjusted_threshold`; ``threshold`` itself when the posteriors are not adjusted.
        """
        check_is_fitted(self)
        if not (self.corrected_ and self.correction == "adjust"):
            return check_number(threshold, "threshold", above=0, below=1)
        self.prior_.adjusted_threshold(threshold)  # checks
        # The prior estimator divides by the frequencies of the scored rows, which folds may draw from some rows only.
        return unadjusted_threshold(
            threshold,
            self.prior_.calibration_scale_,
            self.prior_.calibration_bias_,
            self.score_prior_,
            self.target_prior_,
        )

    def _folds(self, X, labels, rows, rng):
        """List of (training rows, held-out rows), both among the rows that count."""
        found, n_rows = np.unique(labels[rows], return_counts=True)
        if len(found) < 2:
            raise ShiftDataError(
                f"y holds one class only ({found.tolist()[0]!r}): label shift needs at least two classes."
            )
        if isinstance(self.estimator, FrozenEstimator):
            return [(rows, rows)]
        if isinstance(self.cv, int):
            if self.cv < 2:
                raise ShiftDataError(f"cv={self.cv}: at least 2 folds are needed for out-of-fold scores.")
            if n_rows.min() < 2:
                raise ShiftDataError(
                    f"Of class {found.tolist()[n_rows.argmin()]!r} y has a single row: out-of-fold scores need at "
                    "least 2 rows of every class. Collect more, or drop the class."
                )
            seed = int(rng.integers(2**31 - 1))
            splitter = StratifiedKFold(min(self.cv, n_rows.min()), shuffle=True, random_state=seed)
            return [(rows[a], rows[b]) for a, b in splitter.split(rows, labels[rows])]
        folds = check_cv(self.cv, labels, classifier=True).split(X, labels)
        return [(np.intersect1d(training, rows), np.intersect1d(held_out, rows)) for training, held_out in folds]

    def _out_of_fold_scores(self, X, labels, counts, X_target, folds, rng):
        """Source scores, target scores, and the source rows that the former belong to."""
        n_target = _num_samples(X_target)
        if n_target == 0:
            raise ShiftDataError("X_target has no rows: pass at least one.")
        scores_source, scores_target = [], np.empty((n_target, len(self.classes_)))
        for number, (training, held_out) in enumerate(folds):
            model = fit_weighted(
                self.estimator,
                _safe_indexing(X, training),
                labels[training],
                None if counts is None else counts[training],
                fallback=self.fallback,
                rng=rng,
            )
            if not np.array_equal(model.classes_, self.classes_):
                raise ShiftDataError(
                    f"A classifier knows the classes {model.classes_.tolist()}, and y holds {self.classes_.tolist()}: "
                    "use folds, or a frozen classifier, with all of them."
                )
            scores_source.append(model.predict_proba(_safe_indexing(X, held_out)))
            dealt = np.arange(number, n_target, len(folds))
            if dealt.size:
                scores_target[dealt] = model.predict_proba(_safe_indexing(X_target, dealt))
        return np.concatenate(scores_source), scores_target, np.concatenate([test for _, test in folds])

    def _fit_prior(self, scores_source, labels, scores_target, counts, rng):
        """Set prior_ and corrected_, and report when there is no answer."""
        if self.prior is None:
            prior = MLLS(shrink="significance", random_state=int(rng.integers(2**31 - 1)))
        else:
            prior = clone(self.prior)
        try:
            with warnings.catch_warnings():
                # The same finding is reported below, with what was done about it.
                warnings.simplefilter("ignore", PoorIdentificationWarning)
                prior.fit(scores_source, labels, scores_target, classes=self.classes_, sample_weight_source=counts)
            trouble = None if prior.identified_ else prior.reason_
        except NotIdentifiedError as error:
            if self.on_abstain == "error":
                raise
            trouble = str(error)
        if trouble is not None and self.on_abstain == "error":
            raise NotIdentifiedError(f"The scores do not tell the target prior: {trouble}.")
        self.prior_ = prior
        self.corrected_ = trouble is None and not prior.shrunk_
        if trouble is not None:
            warnings.warn(
                f"The scores do not tell the target prior: {trouble.rstrip('.')}. Predictions are left uncorrected.",
                PoorIdentificationWarning,
                stacklevel=3,
            )

    @available_if(estimator_has("predict_proba"))
    def predict_proba(self, X):
        """Class probabilities under the target prior, shape (n_rows, n_classes)."""
        check_is_fitted(self)
        return self.adjust_proba(self.estimator_.predict_proba(X))

    def adjust_proba(self, scores):
        """Class probabilities under the target prior from those of ``estimator_``, as ``predict_proba`` makes them.

        Parameters
        ----------
        scores : array-like of shape (n_rows, n_classes)
            What ``estimator_.predict_proba`` says of some rows.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            ``scores`` themselves when nothing is corrected, or the correction was to retrain.
        """
        check_is_fitted(self)
        if not (self.corrected_ and self.correction == "adjust"):
            return scores
        return adjust_proba(self.prior_.calibrate(scores), self.score_prior_, self.target_prior_)

    def predict(self, X):
        """Most probable class under the target prior, shape (n_rows,)."""
        scores = self.predict_proba(X)
        return self.classes_[np.argmax(scores, axis=1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator).input_tags
        tags.input_tags.sparse, tags.input_tags.allow_nan = inner.sparse, inner.allow_nan
        return tags
