"""Which shift is it, can it be repaired, and what is to be done: all tests on one pair of samples, and a decision."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _num_samples

from shiftfix._crossfit import check_folds
from shiftfix._door import public
from shiftfix._learner import Fallback, learner_of
from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_generator, check_methods, check_option
from shiftfix._target_sample import LabelledRows, TargetSample, labelled_rows, target_rows
from shiftfix._values import as_array, is_missing
from shiftfix._verdict import Verdict
from shiftfix.covariate import TableColumns, are_numbers
from shiftfix.detect._classifier import classifier_test
from shiftfix.detect._concept import concept_test, default_model
from shiftfix.detect._decision import (
    FEW_LABELS,
    decide_correction,
    labels_to_ask,
    verdict_on_nothing,
    verdict_on_prior,
    verdict_on_weights,
)
from shiftfix.detect._diagnosis import Causes, ClassShare, Correction, Corrections, ShiftDiagnosis
from shiftfix.detect._evidence import Evidence, PriorEvidence, gather_evidence
from shiftfix.detect._features import FeatureTests
from shiftfix.detect._label_gate import features_of
from shiftfix.detect._mechanism import MechanismTest, covariate_or_label
from shiftfix.detect._novel import novel_class_test
from shiftfix.detect._performance import PerformanceDrop, performance_drop
from shiftfix.detect._result import LEVEL, ShiftTest
from shiftfix.detect._row_names import FEWEST_ROWS, tests_of_columns, without_columns
from shiftfix.detect._scores import score_test
from shiftfix.exceptions import NotIdentifiedError, ShiftDataError
from shiftfix.label import LabelledPrior, intervals_of_worlds, prior_from_labels
from shiftfix.risk import Says, SourceRows, check_source, check_target, check_value_source

ALL: Corrections = ("none", "weights", "prior", "labels")
CAUSES = (None, "label", "features")
# Labels below which the tests say nothing.
LABELS_OF_DROP, LABELS_OF_CONCEPT = 20, 100
# A new class is told of beyond this level: it asks for people to look.
NOVEL_LEVEL = 0.01
SURE = 0.95


class Samples(NamedTuple):
    """Both samples, checked.

    Attributes
    ----------
    source : SourceRows
    X_target : array-like of n_target rows
    few : LabelledRows or None
    is_class : bool
    features : ndarray of shape (n_source + n_target, n_columns) or None
        As numbers, without columns that name rows; None where they make none.
    columns : FeatureTests or None
    """

    source: SourceRows
    X_target: Any
    few: LabelledRows | None
    is_class: bool
    features: Floats | None
    columns: FeatureTests | None

    def halves(self) -> tuple[Floats, Floats]:
        """Numbers of the source and of the target."""
        assert self.features is not None
        n_source = len(self.source.labels)
        return self.features[:n_source], self.features[n_source:]


def read_samples(source: SourceRows, X_target: Any, few: LabelledRows | None, is_class: bool) -> Samples:
    """Both samples with what their columns are."""
    columns = tests_of_columns(source.X, X_target)
    features = features_of(without_columns(source.X, columns), without_columns(X_target, columns))
    enough = min(len(source.labels), _num_samples(X_target)) >= FEWEST_ROWS
    return Samples(source, X_target, few, is_class, features if enough else None, columns)


def known_labels(X_target: Any, target_labels: ArrayLike | None, rows: ArrayLike | None) -> LabelledRows | None:
    """The target labels there are, from a TargetSample or from a vector in which gaps are unknown."""
    n_target = _num_samples(target_rows(X_target))
    if target_labels is None:
        held = isinstance(X_target, TargetSample) and X_target.y is not None
        return labelled_rows(X_target, n_target) if held else None
    given = as_array(target_labels, "target_labels")
    if rows is not None:
        return labelled_rows(TargetSample(X_target, y=given, rows=rows), n_target)
    if given.shape != (n_target,):
        raise ShiftDataError(
            f"target_labels has shape {given.shape} for {n_target} target rows: pass one per row, None or NaN where it "
            "is unknown, or the labels known and their positions in rows."
        )
    known = np.flatnonzero([not is_missing(label) for label in given.tolist()])
    return LabelledRows(known, _plain(given[known])) if known.size else None


def _plain(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels without the type that gaps gave them."""
    found = np.asarray(labels.tolist()) if labels.dtype == object else labels
    whole = found.dtype.kind == "f" and bool((found == np.floor(found)).all())
    return found.astype(np.int64) if whole and np.abs(found).max(initial=0) < 2**53 else found


def refuse_new_classes(few: LabelledRows | None, source: SourceRows, is_class: bool) -> None:
    """Raise for target labels of a class that the source never had."""
    if few is None or not is_class:
        return
    known = set(np.unique(source.labels[source.rows]).tolist())
    new = sorted(set(few.y.tolist()) - known, key=str)
    if new:
        raise ShiftDataError(
            f"The target labels hold {new[0]!r}, and the source holds {', '.join(map(repr, sorted(known, key=str)))} "
            "only: a model of the source cannot predict another class. Leave such rows out, or add rows of it there."
        )


def tests_of_rows(samples: Samples, seed: int) -> tuple[ShiftTest | None, ShiftTest | None]:
    """Whether a classifier tells the samples apart, and whether there are rows of a new class."""
    if samples.features is None:
        return None, None
    first, second = samples.halves()
    told = classifier_test(first, second, random_state=seed)
    if not samples.is_class:
        return told, None
    novel = novel_class_test(first, samples.source.labels, second, random_state=seed)
    return told, novel if novel.p_value <= NOVEL_LEVEL else None


def test_of_scores(labels: PriorEvidence | None, says: Says | None, seed: int) -> ShiftTest | None:
    """Whether what the model says moved."""
    if says is None or says.target is None or min(len(says.rows), len(says.target[0])) < FEWEST_ROWS:
        return None
    if labels is not None:
        return score_test(labels.scores.source, labels.scores.target, random_state=seed)
    return score_test(says.source[0][:, 0], says.target[0][:, 0], random_state=seed)


def class_shares(labels: PriorEvidence | None, few: LabelledRows | None) -> tuple[ClassShare, ...]:
    """Shares of the classes in both samples: of the target by its labels, or over the worlds that may be."""
    if labels is None:
        return ()
    source = labels.worlds[0][0]
    if few is not None:
        counted = shares_by_labels(labels, few)
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


def mechanism_of(samples: Samples, labels: PriorEvidence | None) -> MechanismTest | None:
    """Covariate or label shift, by the labels there are; None where the scores cannot tell."""
    if labels is None or not labels.fit.moved:
        return None
    few = samples.few
    given = (None, None) if few is None else (few.y, few.rows)
    try:
        return covariate_or_label(
            labels.scores.source,
            samples.source.labels[labels.scores.rows],
            labels.scores.target,
            given[0],
            rows=given[1],
        )
    except NotIdentifiedError:
        return None


def concept_of(samples: Samples) -> ShiftTest | None:
    """By enough labels, whether p(y given x) moved."""
    if samples.features is None or samples.few is None or len(samples.few.y) < LABELS_OF_CONCEPT:
        return None
    first, second = samples.halves()
    return concept_test(first, samples.source.labels, second, samples.few.y, rows=samples.few.rows, random_state=0)


def performance_of(samples: Samples, says: Says | None) -> PerformanceDrop | None:
    """By enough labels, where a change of the error rate, or of the squared error, comes from."""
    few = samples.few
    if few is None or len(few.y) < LABELS_OF_DROP or says is None or says.target is None or samples.features is None:
        return None
    ours = losses_of(says.source[0], samples.source.labels[says.rows], says.classes)
    theirs = losses_of(says.target[0][few.rows], few.y, says.classes)
    first, second = samples.halves()
    return performance_drop(ours, theirs, first[says.rows], second, rows=few.rows)


def losses_of(outputs: Floats, y: NDArray[Any], classes: NDArray[Any]) -> Floats:
    """1 for a wrong class, or squared errors."""
    if not classes.size:
        return np.square(outputs[:, 0] - y)
    said = np.argmax(outputs, axis=1) if outputs.shape[1] > 1 else outputs[:, 0].astype(np.intp)
    return (classes[said] != y).astype(np.float64)


def unseen(samples: Samples, correction: Correction, labels: PriorEvidence | None) -> tuple[str, ...]:
    """What the tests cannot exclude."""
    found = []
    if samples.few is None:
        found.append("that p(y given x) moved: no test without target labels can see it")
    if correction == "prior":
        found.append("a covariate shift along the model's score: without labels it looks like label shift")
    if samples.features is None or (labels is not None and not labels.fit.uses_features):
        found.append("whatever the model's scores do not show: the rows make no numbers to compare")
    return tuple(found)


def verdict_on_labels(samples: Samples, performance: PerformanceDrop | None) -> Verdict:
    """On a model that is corrected by target labels."""
    assert samples.few is not None
    n_labels = len(samples.few.y)
    reasons = [f"{n_labels} target labels decide how much of which correction is used"]
    if n_labels < FEW_LABELS / 2:
        return Verdict("caution", [*reasons, "so few tell little"], labels_to_ask(None))
    if performance is not None and performance.p_value <= LEVEL and performance.effect_size > 0:
        reasons.append(
            f"without correction the model's mean loss is higher by {performance.effect_size:.2g} on the target"
        )
        return Verdict(
            "caution", reasons, "Label a few hundred target rows in all: the more it lost, the more they bring."
        )
    return Verdict("ok", reasons, "Deploy, and monitor; every further label, drawn at random, makes it better.")


def diagnosis_of(
    samples: Samples, evidence: Evidence, causes: Causes, allowed: Corrections, model: str, seed: int
) -> ShiftDiagnosis:
    """All tests, and what follows from them.

    Parameters
    ----------
    samples : Samples
    evidence : Evidence
    causes : {None, "label", "features"}
    allowed : tuple of {"none", "weights", "prior", "labels"}
        Corrections to choose from.
    model : str
        Its name.
    seed : int
    """
    labels, weighing, says = evidence.labels, evidence.weighing, evidence.choice.says
    told, novel = tests_of_rows(samples, seed)
    scores, mechanism = test_of_scores(labels, says, seed), mechanism_of(samples, labels)
    performance = performance_of(samples, says)
    n_labels = 0 if samples.few is None else len(samples.few.y)
    correction = decide_correction(evidence, told, causes, n_labels, allowed)
    needed = None if mechanism is None else mechanism.labels_needed
    found = ShiftDiagnosis(
        Verdict("ok"),
        correction,
        len(samples.source.labels),
        _num_samples(samples.X_target),
        n_labels,
        model,
        samples=told,
        columns=samples.columns,
        scores=scores,
        label_shift=None if labels is None else labels.fit,
        class_shares=class_shares(labels, samples.few),
        overlap=None if weighing is None else weighing.weighter.summary_,
        gain=next(iter(evidence.choice.gains.values()), None),
        effect=None if weighing is None else weighing.effect,
        prior_changes=None if labels is None else labels.changed,
        novel=novel,
        mechanism=mechanism,
        concept=concept_of(samples),
        performance=performance,
        cannot_exclude=unseen(samples, correction, labels),
    )
    if correction == "labels":
        verdict = verdict_on_labels(samples, performance)
    elif correction == "prior" and labels is not None:
        verdict = verdict_on_prior(labels, causes, needed)
    elif correction == "weights":
        verdict = verdict_on_weights(evidence)
    else:
        verdict = verdict_on_nothing(evidence, found.moved)
    return replace(found, verdict=verdict)


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
    few = known_labels(X_target, target_labels, rows)
    is_class = asks_for_classes(estimator, y_source)
    source = (check_source if is_class else check_value_source)(X_source, y_source, sample_weight, groups)
    refuse_new_classes(few, source, is_class)
    if estimator is None:
        estimator = reading_model(source.X, source.labels)
    check_methods(estimator, "estimator", ["fit", "predict"], "an estimator of scikit-learn's kind")
    X_target = check_target(source.X, target_rows(X_target))
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
    name = type(learner_of(estimator)).__name__
    return diagnosis_of(samples, evidence, causes, ALL, name, seed)


def reading_model(X: Any, y: NDArray[Any]) -> Any:
    """The default model, behind what makes numbers of texts, or of categories and gaps."""
    model = default_model(y)
    if np.ndim(X) == 1:
        return make_pipeline(TfidfVectorizer(), model[-1])
    return model if len(np.shape(X)) != 2 or are_numbers(X) else make_pipeline(TableColumns(), model)


def asks_for_classes(estimator: Any, y: Any) -> bool:
    """Whether y is read as classes: by the estimator, else by what it looks like."""
    if estimator is not None:
        return is_classifier(estimator)
    return y is None or type_of_target(as_array(y, "y_source")) in ("binary", "multiclass")
