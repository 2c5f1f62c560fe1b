"""Which shift is it, can it be repaired, and what is to be done: all tests on one pair of samples, and a decision."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, StandardScaler
from sklearn.utils.multiclass import type_of_target

from shiftfix._crossfit import check_folds
from shiftfix._door import public
from shiftfix._learner import Fallback, learner_of
from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_generator, check_methods, check_option
from shiftfix._target_sample import LabelledRows, target_rows
from shiftfix._values import as_array
from shiftfix._verdict import Verdict
from shiftfix.covariate import TableColumns, are_numbers
from shiftfix.detect._classifier import classifier_test
from shiftfix.detect._concept import concept_test
from shiftfix.detect._decision import (
    NO_PROBABILITIES,
    Question,
    corrections_for,
    decide_correction,
    differ,
    verdict_on,
)
from shiftfix.detect._diagnosis import ALL_CORRECTIONS, Causes, ClassShare, Correction, Corrections, ShiftDiagnosis
from shiftfix.detect._evidence import PriorEvidence, ShiftEvidence, gather_evidence
from shiftfix.detect._mechanism import MechanismTest, covariate_or_label
from shiftfix.detect._novel import novel_class_test
from shiftfix.detect._performance import PerformanceDrop, performance_drop
from shiftfix.detect._result import ShiftTest
from shiftfix.detect._row_names import FEWEST_ROWS
from shiftfix.detect._samples import BothSamples, known_labels, read_samples, refuse_new_classes, refuse_unlike
from shiftfix.detect._scores import score_test
from shiftfix.exceptions import NotIdentifiedError
from shiftfix.label import LabelledPrior, intervals_of_worlds, prior_from_labels
from shiftfix.risk import Says, check_source, check_target, check_value_source, check_weighter

CAUSES = (None, "label", "features")
LABELS_OF_DROP, LABELS_OF_CONCEPT = 20, 100
# A new class is told of beyond this level: it asks for people to look.
NOVEL_LEVEL = 0.01
SURE = 0.95
# Numbers of more values than this, with fewer rows of each than that, are values and not classes.
MOST_CLASSES, FEWEST_OF_CLASS = 20, 5


def tests_of_rows(samples: BothSamples, seed: int) -> tuple[ShiftTest | None, ShiftTest | None]:
    """Whether a classifier tells the samples apart, and whether there are rows of a new class."""
    if samples.features is None:
        return None, None
    first, second = samples.halves()
    told = classifier_test(first, second, random_state=seed)
    if not samples.is_class:
        return told, None
    novel = novel_class_test(first, samples.source.labels[samples.places], second, random_state=seed)
    return told, novel if novel.p_value <= NOVEL_LEVEL else None


def test_of_scores(
    samples: BothSamples, labels: PriorEvidence | None, says: Says | None, seed: int
) -> ShiftTest | None:
    """Whether the scores of the model moved."""
    if says is None or says.target is None:
        return None
    _, among = samples.judged(says.rows)
    if min(len(among), samples.n_target) < FEWEST_ROWS:
        return None
    if labels is not None:
        return score_test(labels.scores.source[among], labels.scores.target, random_state=seed)
    return score_test(says.source[0][among, 0], says.target[0][:, 0], random_state=seed)


def class_shares(labels: PriorEvidence | None, samples: BothSamples) -> tuple[ClassShare, ...]:
    """Shares of the classes in both samples: of the target by its labels, or over the worlds that may be."""
    if labels is None:
        return ()
    _, counted_labels, times = samples.source.counted()
    totals = np.bincount(np.searchsorted(labels.classes, counted_labels), weights=times)
    source = totals / totals.sum()
    if samples.few is not None:
        counted = shares_by_labels(labels, samples.few)
        estimates, (low, high) = counted.shares, counted.interval(SURE)
    else:
        estimates = getattr(labels.prior, "target_prior_", np.full(len(source), np.nan))
        passes = labels.fit.passes
        low, high = intervals_of_worlds(labels.prior, len(source), labels.worlds, SURE, is_label_shift=passes).T
    columns = (values.tolist() for values in (labels.classes, source, estimates, low, high))
    return tuple(ClassShare(*row) for row in zip(*columns, strict=True))


def shares_by_labels(labels: PriorEvidence, few: LabelledRows) -> LabelledPrior:
    """Class shares of the target by its labels and the scores of its other rows."""
    rest = np.delete(labels.calibrated, few.rows, axis=0)
    scores = (labels.calibrated[few.rows], rest) if len(rest) else (None, None)
    return prior_from_labels(few.y, *scores, classes=labels.classes)


def mechanism_of(samples: BothSamples, labels: PriorEvidence | None) -> MechanismTest | None:
    """Covariate or label shift, by the labels there are; None where the scores cannot tell."""
    if labels is None or not labels.fit.moved:
        return None
    own, theirs, rows = labels.scores
    _, among = samples.judged(rows)
    y, places = (None, None) if samples.few is None else (samples.few.y, samples.few.rows)
    try:
        return covariate_or_label(own[among], samples.source.labels[rows[among]], theirs, y, rows=places)
    except NotIdentifiedError:
        return None


def concept_of(samples: BothSamples) -> ShiftTest | None:
    """By enough labels, whether p(y given x) moved."""
    if samples.features is None or samples.few is None or len(samples.few.y) < LABELS_OF_CONCEPT:
        return None
    first, second = samples.halves()
    labels = samples.source.labels[samples.places]
    return concept_test(first, labels, second, samples.few.y, rows=samples.few.rows, random_state=0)


def performance_of(samples: BothSamples, says: Says | None) -> PerformanceDrop | None:
    """By enough labels, where a change of the error rate, or of the squared error, comes from."""
    few = samples.few
    if few is None or len(few.y) < LABELS_OF_DROP or says is None or says.target is None or samples.features is None:
        return None
    counted, among = samples.judged(says.rows)
    ours = losses_of(says.source[0][among], samples.source.labels[says.rows[among]], says.classes)
    theirs = losses_of(says.target[0][few.rows], few.y, says.classes)
    first, second = samples.halves()
    return performance_drop(ours, theirs, first[counted], second, rows=few.rows)


def source_loss_of(samples: BothSamples, says: Says | None) -> tuple[float, float] | None:
    """Mean loss of the model on source rows out of fold, and its standard error, each row as often as it counts."""
    if says is None:
        return None
    source = samples.source
    losses = losses_of(says.source[0], source.labels[says.rows], says.classes)
    counts = np.ones(len(losses)) if source.counts is None else source.counts[says.rows]
    mean = float(np.average(losses, weights=counts))
    return mean, float(np.sqrt(counts @ np.square(losses - mean)) / counts.sum())


def losses_of(outputs: Floats, y: NDArray[Any], classes: NDArray[Any]) -> Floats:
    """1 for a wrong class, or squared errors."""
    if not classes.size:
        return np.square(outputs[:, 0] - y)
    said = np.argmax(outputs, axis=1) if outputs.shape[1] > 1 else outputs[:, 0].astype(np.intp)
    return (classes[said] != y).astype(np.float64)


def unseen(samples: BothSamples, correction: Correction, labels: PriorEvidence | None) -> tuple[str, ...]:
    """What the tests cannot exclude."""
    found = []
    if samples.few is None:
        found.append("that p(y given x) moved: no test without target labels can see it")
    if correction == "prior":
        found.append("a covariate shift along the model's score: without labels it looks like label shift")
    if labels is not None and not labels.fit.uses_features:
        found.append("whatever the model's scores do not show: the rows make no numbers to compare")
    if samples.source.groups is not None:
        found.append("that the samples differ by their groups alone: p-values take the rows for independent")
    return tuple(found)


def diagnosis_of(
    samples: BothSamples, evidence: ShiftEvidence, causes: Causes, allowed: Corrections, estimator: Any, seed: int
) -> ShiftDiagnosis:
    """All tests, and what follows from them.

    Parameters
    ----------
    samples : BothSamples
    evidence : ShiftEvidence
    causes : {None, "label", "features"}
    allowed : tuple of {"none", "weights", "prior", "labels"}
        Corrections to choose from, as far as the model can take them.
    estimator : estimator
        The model.
    seed : int
    """
    labels, weighing, says = evidence.labels, evidence.weighing, evidence.choice.says
    can = corrections_for(estimator, samples.is_class)
    n_labels = 0 if samples.few is None else len(samples.few.y)
    unused = NO_PROBABILITIES if n_labels and "labels" in allowed and "labels" not in can else ""
    question = Question(causes, tuple(name for name in allowed if name in can), samples.n_target, n_labels, unused)
    told, novel = tests_of_rows(samples, seed)
    correction = decide_correction(evidence, told, question)
    found = ShiftDiagnosis(
        Verdict("ok"),
        correction,
        len(samples.places),
        samples.n_target,
        n_labels,
        type(learner_of(estimator)).__name__,
        samples.is_class,
        source_loss=source_loss_of(samples, says),
        samples=told,
        columns=samples.columns,
        scores=test_of_scores(samples, labels, says, seed),
        label_shift=None if labels is None else labels.fit,
        class_shares=class_shares(labels, samples),
        overlap=None if weighing is None else weighing.weighter.summary_,
        gain=next(iter(evidence.choice.gains.values()), None),
        weights_help=evidence.choice.exponent > 0 and differ(told),
        effect=None if weighing is None else weighing.effect,
        prior_changes=None if labels is None else labels.changed,
        novel=novel,
        mechanism=mechanism_of(samples, labels),
        concept=concept_of(samples),
        performance=performance_of(samples, says),
        cannot_exclude=unseen(samples, correction, labels),
    )
    return replace(found, verdict=verdict_on(found, evidence, question))


@public
def diagnose_shift(
    X_source: Any,
    y_source: ArrayLike,
    X_target: Any,
    estimator: Any = None,
    target_labels: ArrayLike | None = None,
    causes: Causes = None,
    *,
    rows: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    weighter: Any = None,
    cv: Any = 3,
    fallback: Fallback = None,
    random_state: int | np.random.Generator | np.random.RandomState | None = 0,
) -> ShiftDiagnosis:
    """Tell what moved from source to target, whether it can be repaired, and what to do next.

    Without target labels it never claims covariate shift: no data can show that p(y given x) stayed. Where label shift
    and covariate shift look alike it says so, what each would do to the predictions, and how many labels decide.

    Parameters
    ----------
    X_source : array-like or data frame of shape (n_source, n_features)
        As the estimator takes them; texts and images are compared by what the model says of them.
    y_source : array-like of shape (n_source,)
        Labels or values.
    X_target : array-like or data frame of shape (n_target, n_features), or TargetSample
    estimator : classifier or regressor, default=None
        The model in question: cloned, and fitted six times (three times where weights may not be used). One that must
        not be fitted again goes into ``sklearn.frozen.FrozenEstimator``, with source rows it has not seen. None means a
        logistic regression, or a ridge for values.
    target_labels : array-like of shape (n_target,) or (n_labels,), default=None
        Labels of target rows, None or NaN where unknown; with ``rows`` the known ones alone.
    causes : {None, "label", "features"}, default=None
        What is known of the world: "label" where y causes x (a disease its symptoms) and nothing but the class shares
        moved; "features" where x causes y, and class shares must not be corrected by themselves.
    rows : array-like of int, shape (n_labels,), or of bool, shape (n_target,), default=None
        Which target rows ``target_labels`` belong to. Labels of rows drawn at random only: others tell of those alone.
    sample_weight : array-like of shape (n_source,), default=None
        Repeat counts of the source rows.
    groups : array-like of shape (n_source,), default=None
        Rows of one group stay in one fold.
    weighter : weighter, default=None
        From :mod:`shiftfix.covariate`; None means ``LogisticWeighter()``.
    cv : int, splitter or iterable, default=3
        Folds for the scores and losses out of fold.
    fallback : {None, "resample"}, default=None
        For a learner that takes no weights: an error, or rows drawn in proportion to them.
    random_state : int, numpy Generator, RandomState or None, default=0
        For folds and permutations.

    Returns
    -------
    ShiftDiagnosis
        ``print`` it. Its ``correction`` is what ``ShiftCorrectedClassifier`` would do.

    Raises
    ------
    ShiftDataError
        For data or settings that cannot be used, target labels that the source never had, and a learner that takes no
        weights.

    See Also
    --------
    ShiftDiagnosis : What it returns.
    shiftfix.corrected.ShiftCorrectedClassifier : Diagnoses, and corrects as far as the evidence supports it.
    covariate_or_label : By target labels: did p(y given x) stay, or p(x given y)?

    Notes
    -----
    The rules by which a correction is supported are those of :func:`shiftfix.label.label_shift_fit` and
    :class:`shiftfix.corrected.CovariateShiftClassifier`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y, y_target = np.repeat([0, 1], 500), np.repeat([0, 1], [900, 100])
    >>> X, X_target = (rng.normal(labels[:, np.newaxis], 1, (1000, 3)) for labels in (y, y_target))
    >>> found = diagnose_shift(X, y, X_target)
    >>> found.correction, found.verdict
    ('prior', 'caution')
    """
    check_option(causes, "causes", list(CAUSES))
    check_option(fallback, "fallback", [None, "resample"])
    check_folds(cv)
    check_weighter(weighter)
    if estimator is not None:
        check_methods(estimator, "estimator", ["fit", "predict", "get_params"], "an estimator of scikit-learn's kind")
    few = known_labels(X_target, target_labels, rows)
    is_class = asks_for_classes(estimator, y_source)
    source = (check_source if is_class else check_value_source)(X_source, y_source, sample_weight, groups)
    refuse_new_classes(few, source, is_class)
    if estimator is None:
        estimator = reading_model(source.X, is_class)
    X_target = check_target(source.X, target_rows(X_target))
    refuse_unlike(source.X, X_target)
    rng = check_generator(random_state)
    seed = int(rng.integers(2**31 - 1))
    samples = read_samples(source, X_target, few, is_class)
    evidence = gather_evidence(
        estimator,
        source,
        X_target,
        weighter=weighter,
        cv=cv,
        fallback=fallback,
        rng=rng,
        weighs=True,
        is_class=is_class,
    )
    return diagnosis_of(samples, evidence, causes, ALL_CORRECTIONS, estimator, seed)


def flattened(rows: Any) -> NDArray[Any]:
    """Images as rows of columns."""
    return np.reshape(rows, (len(rows), -1))


def reading_model(X: Any, is_class: bool) -> Any:
    """The default model, behind what makes numbers of texts, of images, or of categories and gaps."""
    learner = LogisticRegression(max_iter=1000) if is_class else Ridge()
    if np.ndim(X) == 1:
        return make_pipeline(TfidfVectorizer(), learner)
    if sparse.issparse(X):
        return make_pipeline(MaxAbsScaler(), learner)
    if np.ndim(X) > 2:
        return make_pipeline(FunctionTransformer(flattened), StandardScaler(), learner)
    model = make_pipeline(StandardScaler(), learner)
    return model if are_numbers(X) else make_pipeline(TableColumns(), model)


def asks_for_classes(estimator: Any, y: Any) -> bool:
    """Whether y is read as classes: by the estimator, else by what it looks like."""
    if estimator is not None:
        return is_classifier(estimator)
    if y is None:
        return True
    values = as_array(y, "y_source")
    if values.dtype.kind in "iuf" and values.size > 1:
        n_values = len(np.unique(values))
        if n_values > MOST_CLASSES and len(values) < FEWEST_OF_CLASS * n_values:
            return False
    return type_of_target(values) in ("binary", "multiclass")
