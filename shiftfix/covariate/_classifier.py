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

import warnings

import numpy as np
from scipy import sparse
from scipy.special import expit
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model._base import LinearClassifierMixin

from shiftfix._crossfit import assign_folds
from shiftfix._learner import fit_weighted, learner_of, weight_parameter
from shiftfix._validation import check_count, check_generator, check_matrix, check_option
from shiftfix.covariate._base import BaseWeighter, bounded
from shiftfix.covariate._logistic import SOURCE, TARGET, odds_to_log_ratio
from shiftfix.exceptions import ShiftDataError, UncalibratedRatioWarning
from shiftfix.weights._summary import RAW_MEAN_HIGH, RAW_MEAN_LOW

AUTO_FOLDS = 5
# Decision values are log odds when their sigmoid is the probability: up to single precision.
SAME_PROBABILITY = 1e-6


def proba_to_log_odds(proba, n_rows):
    """log(p_target / p_source), with both probabilities bounded below by half a row in ``n_rows``.

    From both columns and not from p / (1 - p): a p that is rounded to 1 keeps what its complement says.

    Parameters
    ----------
    proba : ndarray of shape (n_rows_asked, 2)
        Probabilities of source and target.
    n_rows : float
        Rows (or total repeat counts) the classifier saw. Where it saw only one sample, the other is thought to be
        present with half a row: a probability of exactly 0 becomes 1 / (2 n_rows).

    Returns
    -------
    ndarray of shape (n_rows_asked,)
        Within +-log(2 n_rows).
    """
    log_p = np.log(np.maximum(proba, 0.5 / n_rows))
    return log_p[:, 1] - log_p[:, 0]


def decision_is_log_odds(decision, proba):
    """Whether decision values are the log odds of the probabilities: sigmoid(decision) = p_target at every row.

    Parameters
    ----------
    decision : ndarray of shape (n_rows,)
    proba : ndarray of shape (n_rows, 2)
    """
    decision = np.asarray(decision)
    return decision.shape == proba[:, 1].shape and bool(np.abs(expit(decision) - proba[:, 1]).max() <= SAME_PROBABILITY)


def fit_sigmoid(scores, domain, counts):
    """Platt's slope and intercept: log odds = slope * score + intercept.

    A logistic regression on the standardised score, with L2 penalty 1/2 on its slope, so that separated scores
    stay finite.

    Parameters
    ----------
    scores : ndarray of shape (n_rows,)
        Held-out scores, larger for the target.
    domain : ndarray of shape (n_rows,)
        -1 for source, +1 for target rows.
    counts : ndarray of shape (n_rows,)
        Repeat counts.

    Returns
    -------
    slope, intercept : float
    """
    mean = np.average(scores, weights=counts)
    scale = np.sqrt(np.average((scores - mean) ** 2, weights=counts)) or 1.0
    model = LogisticRegression(tol=1e-10, max_iter=1000)
    model.fit(((scores - mean) / scale)[:, np.newaxis], domain, sample_weight=counts)
    slope = float(model.coef_[0, 0] / scale)
    return slope, float(model.intercept_[0] - slope * mean)


def _stack(source, target):
    return (
        sparse.vstack([source, target], format="csr") if sparse.issparse(source) else np.concatenate([source, target])
    )


def _with_seeds(classifier, rng):
    """Clone whose unset ``random_state`` parameters are seeded, so that no global generator is read."""
    clone_ = clone(classifier)
    parameters = clone_.get_params(deep=True)
    unset = [name for name in sorted(parameters) if name.split("__")[-1] == "random_state" and parameters[name] is None]
    return clone_.set_params(**{name: int(rng.integers(2**31 - 1)) for name in unset})


def _refuse_unusable(classifier):
    """Raise for classifiers whose odds are not those of the two samples."""
    for name, value in classifier.get_params(deep=True).items():
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
    for part in [classifier, *classifier.get_params(deep=True).values()]:
        if isinstance(part, CalibratedClassifierCV) and part.method == "isotonic":
            raise ShiftDataError(ISOTONIC)


ISOTONIC = (
    "Isotonic calibration gives probabilities of exactly 0 and 1, that is weights of 0 and infinity: "
    'use calibration="sigmoid".'
)


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
        it is seeded from ours. None means ``LogisticRegression()``.
    cv : "auto", int, None or splitter, default="auto"
        Number of folds, at least 2; None fits once and judges the rows in-sample; a splitter's
        ``split(X, domain)`` must test every row once, source rows first. ``"auto"`` is None for linear models and 5
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
        ``normalize=None``. A row with repeat count 0 gets what ``transform`` says.
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

    def __init__(
        self,
        classifier=None,
        *,
        cv="auto",
        calibration=None,
        clip="sqrt",
        min_ess=100,
        normalize="mean",
        random_state=None,
    ):
        self.classifier = classifier
        self.cv = cv
        self.calibration = calibration
        self.clip = clip
        self.min_ess = min_ess
        self.normalize = normalize
        self.random_state = random_state

    def fit_transform(self, X_source, X_target, *, sample_weight_source=None, sample_weight_target=None):
        """``fit``, then ``source_weights_``, shape (n_source,): out of fold when cross-fitted."""
        self.fit(
            X_source,
            X_target,
            sample_weight_source=sample_weight_source,
            sample_weight_target=sample_weight_target,
        )
        return self.source_weights_

    def _check_rows(self, X, name):
        return check_matrix(X, name, accept_sparse=True)

    def _n_folds(self, classifier, n_least):
        """Number of folds, None for in-sample, or the user's splitter."""
        if isinstance(self.cv, str):
            check_option(self.cv, "cv", ["auto"])
            linear = isinstance(learner_of(classifier), LinearClassifierMixin)
            n_folds = None if linear and self.calibration is None else AUTO_FOLDS
        else:
            n_folds = self.cv
        if n_folds is None:
            if self.calibration is not None:
                raise ShiftDataError(
                    f"calibration={self.calibration!r} with cv=None would calibrate on scores of rows the classifier "
                    'knows: use cv="auto" or a number of folds.'
                )
            return None
        if hasattr(n_folds, "split"):
            return n_folds
        check_count(n_folds, "cv", least=2)
        if n_folds > n_least:
            raise ShiftDataError(
                f"{n_folds} folds need as many rows of each sample, and the smaller one has {n_least}: pass more rows, "
                "fewer folds, or a linear classifier with cv=None."
            )
        return n_folds

    def _fold_numbers(self, cv, source, target, domain, rng):
        if not hasattr(cv, "split"):
            return np.concatenate(assign_folds([source, target], cv, int(rng.integers(2**63 - 1))))
        fold, tested = np.zeros(len(domain), dtype=int), np.zeros(len(domain), dtype=int)
        for number, (_, test) in enumerate(cv.split(_stack(source, target), domain)):
            fold[test], tested[test] = number, tested[test] + 1
        if (tested != 1).any():
            raise ShiftDataError(
                f"cv={cv!r} tests {(tested != 1).sum()} rows not exactly once: pass a splitter that partitions the "
                "rows, such as StratifiedKFold."
            )
        return fold

    def _fit_log_ratio(self, X_source, X_target, sample_weight_source, sample_weight_target):
        if self.calibration == "isotonic":
            raise ShiftDataError(ISOTONIC)
        check_option(self.calibration, "calibration", [None, "sigmoid"])
        classifier = LogisticRegression(max_iter=1000) if self.classifier is None else self.classifier
        _refuse_unusable(classifier)
        rng = check_generator(self.random_state)
        counts = np.concatenate([sample_weight_source, sample_weight_target])
        domain = np.repeat([SOURCE, TARGET], [X_source.shape[0], X_target.shape[0]])
        weighted = bool((counts != 1).any())
        if weighted and weight_parameter(classifier) is None:
            raise ShiftDataError(
                f"{type(learner_of(classifier)).__name__} takes no sample_weight, so repeat counts cannot reach it: "
                "use a classifier that does, or repeat the rows."
            )
        self.n_source_, self.n_target_ = float(sample_weight_source.sum()), float(sample_weight_target.sum())
        cv = self._n_folds(classifier, min(X_source.shape[0], X_target.shape[0]))
        self.cross_fitted_ = cv is not None
        X = _stack(X_source, X_target)
        # In-sample is one fold that is judged, and learned from, as a whole.
        fold = np.zeros(len(domain), int) if cv is None else self._fold_numbers(cv, X_source, X_target, domain, rng)
        self.classifiers_, self._models = [], []
        log_ratio = np.empty(len(domain))
        for number in range(fold.max() + 1):
            judged = np.flatnonzero(fold == number)
            seen = judged if cv is None else np.flatnonzero(fold != number)
            n_seen = [float(counts[seen][domain[seen] == side].sum()) for side in (SOURCE, TARGET)]
            if min(n_seen) == 0:
                raise ShiftDataError(
                    f"cv={self.cv!r} leaves a fold without rows of one of the samples to learn from: stratify the "
                    "folds by sample, as StratifiedKFold(shuffle=True) does."
                )
            model = _with_seeds(classifier, rng)
            model = fit_weighted(model, X[seen], domain[seen], counts[seen] if weighted else None)
            self.classifiers_.append(model)
            self._models.append((model, self._score_kind(model, X[seen]), *n_seen))
            log_ratio[judged] = self._model_log_ratio(self._models[-1], X[judged])
        self.calibration_ = None
        if self.calibration == "sigmoid":
            slope, intercept = fit_sigmoid(log_ratio, domain, counts)
            self.calibration_ = (slope, odds_to_log_ratio(intercept, self.n_source_, self.n_target_))
            log_ratio = slope * log_ratio + self.calibration_[1]
        self._fitted_log_ratio = log_ratio

    def _score_kind(self, model, X):
        """Where a fitted classifier's log odds stand: "decision" or "proba"."""
        has_decision = hasattr(model, "decision_function")
        if hasattr(model, "predict_proba"):
            use_decision = has_decision and decision_is_log_odds(model.decision_function(X), model.predict_proba(X))
            return "decision" if use_decision else "proba"
        name = type(learner_of(model)).__name__
        if has_decision and self.calibration is not None:
            return "decision"
        if has_decision:
            raise ShiftDataError(
                f"{name} has no predict_proba, and its decision_function gives no log odds: "
                'pass calibration="sigmoid", or a classifier with predict_proba.'
            )
        raise ShiftDataError(f"{name} has neither predict_proba nor decision_function: use a classifier that has.")

    def _model_log_ratio(self, model, X):
        """Log ratio at rows by one fitted model, before any calibration."""
        classifier, kind, n_source, n_target = model
        if kind == "decision":
            log_odds = np.asarray(classifier.decision_function(X), dtype=np.float64)
        else:
            log_odds = proba_to_log_odds(np.asarray(classifier.predict_proba(X), np.float64), n_source + n_target)
        return odds_to_log_ratio(log_odds, n_source, n_target)

    def _log_ratio(self, X):
        mean = np.mean([self._model_log_ratio(model, X) for model in self._models], axis=0)
        return mean if self.calibration_ is None else self.calibration_[0] * mean + self.calibration_[1]

    def _fitted_log_ratios(self, source, target):
        # Held only from one step of fit to the next.
        log_ratio = self.__dict__.pop("_fitted_log_ratio")
        return log_ratio[: source.shape[0]], log_ratio[source.shape[0] :]

    def _keep_source_weights(self, source, counts, log_ratio):
        log_all = np.empty(len(counts))
        log_all[counts > 0] = log_ratio
        if (counts == 0).any():
            log_all[counts == 0] = bounded(self._log_ratio(source[counts == 0]))
        self.source_weights_ = self._finish(log_all)

    def _report(self, summary):
        super()._report(summary)
        if not RAW_MEAN_LOW <= summary.raw_mean <= RAW_MEAN_HIGH:
            remedy = 'pass calibration="sigmoid"' if self.cross_fitted_ else 'pass cv=5 and calibration="sigmoid"'
            warnings.warn(
                f"The raw weights average {summary.raw_mean:.3g} over the source, and density ratios average 1 "
                f"(accepted: {RAW_MEAN_LOW} to {RAW_MEAN_HIGH}): {remedy}, or a less flexible classifier.",
                UncalibratedRatioWarning,
                stacklevel=3,
            )
