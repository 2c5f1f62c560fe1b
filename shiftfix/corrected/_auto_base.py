"""What the classifier and the regressor that diagnose first share: the diagnosis, and the corrector that follows."""

from dataclasses import replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier
from sklearn.utils import Tags, get_tags
from sklearn.utils.validation import check_is_fitted

from shiftfix._crossfit import check_folds, is_fold_count
from shiftfix._learner import Fallback, fit_weighted_of, unchanged_on_error
from shiftfix._setting_checks import check_generator, check_methods, check_option
from shiftfix._target_sample import LabelledRows, TargetSample, target_rows
from shiftfix._validation import check_rows
from shiftfix._verdict import KeepsVerdicts, Level, Verdict
from shiftfix.corrected._base import BaseCorrected
from shiftfix.detect import (
    NO_PROBABILITIES,
    Causes,
    Corrections,
    ShiftDiagnosis,
    ShiftEvidence,
    corrections_for,
    diagnosis_of,
    gather_evidence,
    known_labels,
    read_samples,
    refuse_new_classes,
    refuse_unlike,
)
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import SourceRows, Weighing, check_target, check_weighter

Shift = Literal["auto", "covariate", "label", "none"]
ALLOWED: dict[str, Corrections] = {
    "auto": ("none", "weights", "prior", "labels"),
    "covariate": ("none", "weights"),
    "label": ("none", "prior"),
    "none": ("none",),
}


def only_decides(self: Any) -> bool:
    """Whether the model inside has decision values and no probabilities."""
    model = getattr(self, "estimator_", self.estimator)
    return hasattr(model, "decision_function") and not hasattr(model, "predict_proba")


class Parts(NamedTuple):
    """What a corrector is made from: the labelled rows, the target, its labels, and folds."""

    source: SourceRows
    X_target: Any
    few: LabelledRows | None
    cv: Any


def without_labels(diagnosis: ShiftDiagnosis, shift: Shift) -> ShiftDiagnosis:
    """The diagnosis, with why the target labels that there are were not used."""
    why = NO_PROBABILITIES if shift == "auto" else f"the target labels are not used: shift={shift!r}"
    found = diagnosis.verdict
    level: Level = "abstain" if found == "abstain" else "caution"
    return replace(diagnosis, verdict=Verdict(level, [why, *found.reasons], found.action))


class BaseShiftCorrected(KeepsVerdicts, BaseCorrected):
    """Shared fit of the classifier and the regressor."""

    estimator: Any
    shift: Shift
    causes: Causes
    weighter: Any
    cv: Any
    fallback: Fallback
    random_state: Any
    diagnosis_: ShiftDiagnosis
    corrector_: Any

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_target: Any = None,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Diagnose the shift, and fit the model with the correction that follows.

        Parameters
        ----------
        X : array-like of shape (n_source, n_features)
            Source rows.
        y : array-like of shape (n_source,)
            Their labels or values.
        X_target : array-like of shape (n_target, n_features) or TargetSample
            Target rows; a ``TargetSample(X_target, y=labels, rows=positions)`` carries the labels of some. Required.
        sample_weight : array-like of shape (n_source,), default=None
            Repeat counts of the source rows. Weights below 1 compare the rows and are rescaled to average 1.
        groups : array-like of shape (n_source,), default=None
            Rows of one group (one person, say) stay in one fold.

        Returns
        -------
        self

        Raises
        ------
        ShiftDataError
            Without ``X_target``, for unusable data or settings, for a target label that the source does not have, for
            folds that judge rows they learn from, and for a learner that takes no weights.
        """
        self._check_settings()
        given = target_rows(X_target)
        source = self._check_source(X, y, sample_weight, groups)
        known = known_labels(X_target, None, None)
        refuse_new_classes(known, source, is_classifier(self))
        few = known if "labels" in self._allowed() else None
        X_target = check_target(source.X, given)
        refuse_unlike(source.X, X_target)
        cv = self.cv if is_fold_count(self.cv) or hasattr(self.cv, "split") else list(self.cv)
        rng = check_generator(self.random_state)
        seed = int(rng.integers(2**31 - 1))
        evidence = gather_evidence(
            self.estimator,
            source,
            X_target,
            weighter=self.weighter,
            cv=cv,
            fallback=self.fallback,
            rng=rng,
            # With labels weights are not used, and their fits would be for nothing.
            weighs=few is None and "weights" in self._allowed(),
            is_class=is_classifier(self),
        )
        samples = read_samples(source, X_target, few, is_classifier(self))
        diagnosis = diagnosis_of(samples, evidence, self.causes, self._allowed(), self.estimator, seed)
        if known is not None and few is None:
            diagnosis = without_labels(diagnosis, self.shift)
        corrector = self._corrector(Parts(source, X_target, few, cv), evidence, diagnosis, rng)
        with unchanged_on_error(self):
            self.diagnosis_, self.corrector_ = diagnosis, corrector
            self.estimator_ = getattr(corrector, "estimator_", corrector)
            self._keep(evidence, few)
            self._copy_input_attributes()
            return self

    def _allowed(self) -> Corrections:
        """Corrections to choose from."""
        can = corrections_for(self.estimator, is_classifier(self))
        return tuple(name for name in ALLOWED[self.shift] if name in can)

    def _check_source(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> SourceRows:
        """The labelled source rows, checked."""
        raise NotImplementedError

    def _keep(self, evidence: ShiftEvidence, few: LabelledRows | None) -> None:
        """Set what else is learned."""

    def _few_label(self, cv: Any) -> Any:
        """Unfitted corrector by target labels."""
        raise NotImplementedError

    def _covariate_shift(self) -> Any:
        """Unfitted corrector by weights."""
        raise NotImplementedError

    def _corrector(
        self, parts: Parts, evidence: ShiftEvidence, diagnosis: ShiftDiagnosis, rng: np.random.Generator
    ) -> Any:
        """The fitted meta-estimator that makes the predictions, or the model alone where none has a say."""
        source, few = parts.source, parts.few
        if few is not None:
            target = TargetSample(parts.X_target, y=few.y, rows=few.rows)
            kept = {"sample_weight": source.counts, "groups": source.groups}
            return self._few_label(parts.cv).fit(source.X, source.labels, X_target=target, **kept)
        if evidence.weighing is not None:
            weighing = self._used(evidence.weighing, diagnosis.correction == "weights")
            corrector = self._covariate_shift()
            corrector._fit_weighed(source.X, source.labels, source.counts, weighing, rng)
            corrector.verdict_ = diagnosis.verdict
            return corrector
        rows, values, counts = source.counted()
        return fit_weighted_of(self.estimator, rows, values, counts, fallback=self.fallback, rng=rng)

    def _used(self, weighing: Weighing, use: bool) -> Weighing:
        """The weights, left out unless they are to be used."""
        choice = weighing.choice
        return weighing if use else weighing._replace(choice=choice._replace(exponent=0.0, scale=None, bias=None))

    def _check_settings(self) -> None:
        """Raise for settings that are not known."""
        check_option(self.shift, "shift", list(ALLOWED))
        check_option(self.causes, "causes", [None, "label", "features"])
        check_option(self.fallback, "fallback", [None, "resample"])
        check_methods(self.estimator, "estimator", ["fit", "get_params"], "an estimator of scikit-learn's kind")
        if is_classifier(self.estimator) != is_classifier(self):
            kind = "Classifier" if is_classifier(self.estimator) else "Regressor"
            raise ShiftDataError(
                f"estimator is a {type(self.estimator).__name__}, which {type(self).__name__} cannot correct: "
                f"ShiftCorrected{kind} can."
            )
        check_folds(self.cv)
        check_weighter(self.weighter)

    @property
    def correction_(self) -> str:
        """What was done: "none", "weights", "prior" or "labels"."""
        check_is_fitted(self)
        return self.diagnosis_.correction

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Predictions of the corrected model, shape (n_rows,)."""
        check_is_fitted(self)
        return self.corrector_.predict(check_rows(X, "X"))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator).input_tags
        tags.input_tags.sparse, tags.input_tags.allow_nan = inner.sparse, inner.allow_nan
        return tags
