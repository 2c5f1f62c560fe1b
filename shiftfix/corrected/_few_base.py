"""What the classifier and the regressor that learn from a few target labels share."""

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Tags, _safe_indexing, get_tags
from sklearn.utils.validation import _num_samples, check_is_fitted

from shiftfix._crossfit import check_folds
from shiftfix._learner import Fallback, fit_weighted_of, unchanged_on_error
from shiftfix._row_order import Rows
from shiftfix._setting_checks import check_generator, check_methods, check_number, check_option
from shiftfix._target_sample import labelled_rows, target_rows
from shiftfix.corrected._base import BaseCorrected
from shiftfix.corrected._few_classes import NOTHING, TARGET
from shiftfix.corrected._few_kernels import LEVELS, READ_FEATURES
from shiftfix.corrected._few_many import TRAINED, DrawnLabels, draw_labels, notes_of_draw
from shiftfix.corrected._few_rows import LabelledFeatures, read_labelled
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import SourceRows, check_target

Levels = tuple[str, ...]
ALL_LEVELS: Levels = tuple(LEVELS)
# Fewer labels say nothing: all corrections of them are noise, and leaving one out leaves next to none.
LEAST_LABELS = 5
# From here on labels can speak for themselves, and a process that learns from them alone joins.
LABELS_ALONE = 100
# With so many nothing is corrected by any number of labels that anyone would call few.
MOST_PSEUDO_ROWS = 1e6
WORDS = {
    NOTHING: "uncorrected",
    "intercept": "intercept",
    "slope": "slope and intercept",
    "linear": "linear in the features",
    "smooth": "smooth in the features",
    TARGET: "target labels alone",
    TRAINED: "the estimator trained on the target labels",
}


class FewLabels(NamedTuple):
    """The labelled target rows.

    Attributes
    ----------
    X : array-like of n_labels rows
    y : ndarray of shape (n_labels,)
    drawn : DrawnLabels
        Which of them processes learn from, and experts are judged on.
    """

    X: Any
    y: NDArray[Any]
    drawn: DrawnLabels


class Tried(NamedTuple):
    """What is tried on the labels.

    Attributes
    ----------
    levels : tuple of str
        Keys of ``LEVELS``.
    alone : bool
        Whether a process of the target labels alone joins.
    features : LabelledFeatures
        Of the labels that processes learn from.
    notes : list of str
        What is to be told of it.
    """

    levels: Levels
    alone: bool
    features: LabelledFeatures
    notes: list[str]


def check_levels(levels: Any) -> Levels:
    """The levels as a tuple of names.

    Raises
    ------
    ShiftDataError
        For anything but a sequence of different names.
    """
    names = [levels] if isinstance(levels, str) else list(levels) if isinstance(levels, list | tuple) else None
    if names is None or any(name not in ALL_LEVELS for name in names) or len(set(names)) < len(names):
        raise ShiftDataError(f"levels={levels!r}: a tuple of {', '.join(map(repr, ALL_LEVELS))} is needed, each once.")
    return tuple(names)


def in_words(weights: dict[str, float]) -> str:
    """Weights of the experts, the largest first: "70% uncorrected, 30% slope and intercept"."""
    shares = sorted(((round(100 * w), WORDS[name]) for name, w in weights.items()), key=lambda share: -share[0])
    return ", ".join(f"{percent}% {words}" for percent, words in shares if percent > 0)


class BaseFewLabel(BaseCorrected):
    """Shared fit of the classifier and the regressor."""

    weights_: dict[str, float]
    notes_: tuple[str, ...]
    a0: float
    levels: Any
    experts: Any
    cv: Any
    fallback: Fallback
    random_state: Any

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_target: Any = None,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Fit the model to the source, and its correction to the target labels.

        Parameters
        ----------
        X : array-like of shape (n_source, n_features)
            Source rows.
        y : array-like of shape (n_source,)
            Their labels or values.
        X_target : TargetSample
            Target rows and the labels of some: ``TargetSample(X_target, y=labels, rows=positions)``; required.
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
            Without target labels, for unusable data or settings, for a target label that the source does not have, and
            for folds that judge rows they learn from.
        """
        self._check_settings()
        given = target_rows(X_target)
        source = self._check_source(X, y, sample_weight, groups)
        given = check_target(source.X, given)
        found = labelled_rows(X_target, _num_samples(given))
        labels = self._check_few(found.y, source)
        rng = check_generator(self.random_state)
        X_labelled = _safe_indexing(given, found.rows)
        few = FewLabels(X_labelled, labels, draw_labels(X_labelled, labels, self._n_processes(source), rng))
        tried = self._tried(given, found.rows[few.drawn.learned])
        rows, values, counts = source.counted()
        model = fit_weighted_of(self.estimator, rows, values, counts, fallback=self.fallback, rng=rng)
        learned = self._learn(source, few, tried, given, model, rng)
        with unchanged_on_error(self):
            for name, value in learned.items():
                setattr(self, name, value)
            self.estimator_ = model
            self._copy_input_attributes()
            return self

    def _check_source(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> SourceRows:
        """The labelled source rows, checked."""
        raise NotImplementedError

    def _check_few(self, y: NDArray[Any], source: SourceRows) -> NDArray[Any]:
        """The target labels, checked."""
        raise NotImplementedError

    def _n_processes(self, source: SourceRows) -> int:
        """Gaussian processes of one correction."""
        return 1

    def _learn(
        self, source: SourceRows, few: FewLabels, tried: Tried, X_target: Any, model: Any, rng: Any
    ) -> dict[str, Any]:
        """Learned attributes but for the model."""
        raise NotImplementedError

    def _tried(self, X_target: Any, rows: Rows) -> Tried:
        """What is tried on the labels of these target rows: all levels need numbers of the features."""
        levels, alone, enough = check_levels(self.levels), self._alone(len(rows)), len(rows) >= LEAST_LABELS
        reads = enough and bool(alone or set(levels) & set(READ_FEATURES))
        notes = [] if enough else [f"fewer than {LEAST_LABELS} labels are no evidence"]
        all_or_none = set(levels) == set(ALL_LEVELS) or not set(levels) & set(READ_FEATURES)
        try:
            return Tried(levels, alone, read_labelled(self.estimator, X_target, rows, reads), notes)
        except ShiftDataError as refusal:
            # Of a table numbers can be made: what is wrong with it is the user's to mend.
            if len(np.shape(X_target)) == 2 or not all_or_none or self.experts == "target":
                raise
            notes.append(f"linear and smooth corrections left out, since {str(refusal).partition(':')[0]}")
        scores_alone = tuple(level for level in levels if level not in READ_FEATURES)
        return Tried(scores_alone, False, read_labelled(self.estimator, X_target, rows, False), notes)

    def _notes(self, few: FewLabels, tried: Tried, *further: str) -> tuple[str, ...]:
        return (*tried.notes, *notes_of_draw(len(few.y), few.drawn), *further)

    def _alone(self, n_labels: int) -> bool:
        """Whether a process of the target labels alone joins."""
        return self.experts == "target" or (self.experts == "auto" and n_labels >= LABELS_ALONE)

    def _check_settings(self) -> None:
        """Raise for settings that are not known."""
        check_methods(self.estimator, "estimator", ["fit", "get_params"], "an estimator of scikit-learn's kind")
        check_number(self.a0, "a0", least=0, most=MOST_PSEUDO_ROWS)
        check_levels(self.levels)
        check_option(self.experts, "experts", ["auto", "target", None])
        check_option(self.fallback, "fallback", [None, "resample"])
        check_folds(self.cv)

    @property
    def correction_(self) -> str:
        """What the prediction is made of, in words: "70% uncorrected, 30% slope and intercept"."""
        check_is_fitted(self)
        return "; ".join([in_words(self.weights_), *self.notes_])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator).input_tags
        tags.input_tags.sparse, tags.input_tags.allow_nan = inner.sparse, inner.allow_nan
        return tags
