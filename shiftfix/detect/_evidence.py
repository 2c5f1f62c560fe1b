"""What unlabelled target rows, labelled source rows and one model say of a shift, gathered in few fits of the model.

The same models out of fold serve all questions: their scores tell how far the class shares explain what moved, their
losses whether weights help, and what they say of the target rows what each correction would change.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.frozen import FrozenEstimator

from shiftfix._learner import Fallback, weight_parameter
from shiftfix._numerics import Floats
from shiftfix._verdict import Verdict
from shiftfix.detect._label_gate import ask_for_label_shift, features_of
from shiftfix.label import (
    MLLS,
    LabelShiftFit,
    ScoreCalibrator,
    adjust_proba,
    bounded_scores,
    careful_prior,
    mean_score,
    share_of_counts,
)
from shiftfix.risk import (
    Choice,
    Says,
    Scores,
    SourceRows,
    Weighing,
    choose_exponent,
    default_weighter,
    fit_prior,
    fit_weighter,
    weighting_effect,
)

# Weights are used or not: with three folds six fits of the model.
ALL_OR_NOTHING = (0.0, 1.0)


Worlds = tuple[tuple[Floats, Floats], ...]


class PriorEvidence(NamedTuple):
    """What the scores say of the class shares.

    Attributes
    ----------
    scores : Scores
        Class probabilities out of fold.
    classes : ndarray of shape (n_classes,)
    prior : prior estimator
        Fitted, as far as the scores tell the classes apart.
    verdict : Verdict
        On the estimate.
    fit : LabelShiftFit
    calibrated : ndarray of shape (n_target, n_classes)
        The target's scores after a temperature.
    worlds : tuple of (ndarray, ndarray)
        Shares where nothing moved for y, and where p(y given x) stayed, with their standard errors.
    changed : float
        Share of target rows of which another class would be predicted; NaN without an estimate.
    """

    scores: Scores
    classes: NDArray[Any]
    prior: Any
    verdict: Verdict
    fit: LabelShiftFit
    calibrated: Floats
    worlds: Worlds
    changed: float

    @property
    def is_estimated(self) -> bool:
        """Whether a shift of the class shares was found at all, and they can be told."""
        return bool(getattr(self.prior, "identified_", False)) and not getattr(self.prior, "shrunk_", False)


class ShiftEvidence(NamedTuple):
    """All that is known without target labels.

    Attributes
    ----------
    weighing : Weighing or None
        None where the rows make no numbers that a weighter could read.
    choice : Choice
        Of the exponent: with what the models say out of fold.
    labels : PriorEvidence or None
        None for values, and where the folds lack a class.
    """

    weighing: Weighing | None
    choice: Choice
    labels: PriorEvidence | None


def gather_evidence(
    estimator: Any,
    source: SourceRows,
    X_target: Any,
    *,
    weighter: Any,
    cv: Any,
    fallback: Fallback,
    rng: np.random.Generator,
    weighs: bool,
    is_class: bool,
) -> ShiftEvidence:
    """Fit the model out of fold, with and without weights, and ask what follows.

    Parameters
    ----------
    estimator : estimator
    source : SourceRows
    X_target : array-like of n_target rows
    weighter : weighter or None
        None means the default one.
    cv : int, splitter or iterable
    fallback : {None, "resample"}
    rng : numpy.random.Generator
    weighs : bool
        Whether the model is fitted with weights too, where they may be used and it takes any.
    is_class : bool
        Whether ``source.labels`` are classes.
    """
    fitted = None
    if weighter is not None or (len(np.shape(source.X)) == 2 and features_of(source.X, X_target) is not None):
        new = default_weighter(estimator, source.X, X_target) if weighter is None else weighter
        fitted = fit_weighter(new, source.X, X_target, source.counts, source.groups)
    usable = fitted is not None and fitted.summary_.verdict != "abstain"
    takes = fallback is not None or weight_parameter(estimator) is not None
    weighs = weighs and takes and not isinstance(estimator, FrozenEstimator)
    weights = np.ones(len(source.labels)) if fitted is None else fitted.source_weights_
    choice = choose_exponent(
        estimator,
        source.X,
        source.labels,
        weights,
        sample_weight=source.counts,
        cv=cv,
        groups=source.groups,
        fallback=fallback,
        rng=rng,
        exponents=ALL_OR_NOTHING if usable and weighs else ALL_OR_NOTHING[:1],
        X_target=X_target,
    )
    effect = weighting_effect(choice.says, weights, source.counts)
    weighing = None if fitted is None else Weighing(fitted, usable, choice, usable and weighs, effect)
    labels = prior_evidence(source, X_target, choice.says, rng) if is_class else None
    return ShiftEvidence(weighing, choice, labels)


def scores_of(says: Says) -> Scores:
    """Class probabilities by the unweighted models, of both samples."""
    return Scores(softmax(says.source[0], axis=1), softmax(says.target[0], axis=1), says.rows)  # type: ignore[index]


def prior_evidence(
    source: SourceRows, X_target: Any, says: Says | None, rng: np.random.Generator
) -> PriorEvidence | None:
    """What the scores say of the class shares; None without scores of all classes."""
    classes = np.unique(source.labels[source.rows])
    if says is None or says.source.shape[2] != len(classes) or len(classes) < 2:
        return None
    scores = scores_of(says)
    prior = MLLS(shrink="significance", random_state=int(rng.integers(2**31 - 1)))
    prior, verdict = fit_prior(prior, source, scores, classes, raise_as_found=False)
    fit = ask_for_label_shift(source, scores, classes, X_target, prior)
    counts = None if source.counts is None else source.counts[scores.rows]
    own = bounded_scores(scores.source, len(classes))
    calibrator = ScoreCalibrator("temperature")
    calibrator.fit(own, source.labels[scores.rows], classes=classes, sample_weight=counts)
    calibrated = calibrator.transform(bounded_scores(scores.target, len(classes)))
    _, counted, times = source.counted()
    totals = np.bincount(np.searchsorted(classes, counted), weights=times).astype(np.float64)
    worlds = share_of_counts(totals), mean_score(calibrated)
    changed = changed_by(prior, scores.target)
    return PriorEvidence(scores, classes, prior, verdict, fit, calibrated, worlds, changed)


def changed_by(prior: Any, scores: Floats) -> float:
    """Share of rows of which another class would be predicted with a prior corrected; NaN without an estimate."""
    if not hasattr(prior, "target_prior_"):
        return float("nan")
    q = careful_prior(prior.target_prior_, prior.source_prior_, prior.prior_covariance_, len(scores))
    adjusted = adjust_proba(prior.calibrate(scores), prior.score_prior_, q)
    return float(np.mean(np.argmax(adjusted, axis=1) != np.argmax(scores, axis=1)))
