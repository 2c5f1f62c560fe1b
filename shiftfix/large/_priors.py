"""What the streaming estimators of the target prior share: how samples are read, and what a prior is used for."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from shiftfix._door import PublicCalls
from shiftfix._learner import unchanged_on_error
from shiftfix._naming import column_names
from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_count
from shiftfix._validation import check_class_order, check_matrix, check_vector
from shiftfix._values import as_array
from shiftfix._verdict import Verdict, tell
from shiftfix.exceptions import PoorIdentificationWarning, ShiftDataError
from shiftfix.label import adjust_proba
from shiftfix.large._driver import Passes, Statistic
from shiftfix.large._engines import Engine, KeepsConnections, opened_engine
from shiftfix.large._score_sums import Layout, merge_labels, unit_labels
from shiftfix.large._sources import SAMPLE_NAMES, check_column_names, choose_columns, is_files, make_plan
from shiftfix.large._units import Unit

LABELS = Statistic(unit_labels, merge_labels)


class BaseStreamingPrior(PublicCalls, KeepsConnections):
    """What both estimators share: how samples are read, and what a prior is used for."""

    classes: Any
    engine: Any
    n_workers: int | None
    scheduler: Any
    retries: int
    rows_per_unit: int
    classes_: NDArray[Any]
    target_prior_: Floats
    source_prior_: Floats
    class_weight_: Floats
    score_prior_: Floats
    identified_: bool
    reason_: str
    verdict_: Verdict

    def _units(self, source: Any, target: Any, scores: Any, label: Any, weights: Sequence[Any]) -> list[Unit]:
        """Units of both samples, each with the columns it needs."""
        check_count(self.rows_per_unit, "rows_per_unit")
        check_count(self.retries, "retries", least=0)
        rows = int(self.rows_per_unit)
        if is_files(source) != is_files(target):
            raise ShiftDataError("source and target: pass both as files, or both as arrays.")
        samples: tuple[Any, Any]
        columns: list[list[str] | None]
        if is_files(source):
            names = check_column_names(scores)
            if names is None or not isinstance(label, str):
                raise ShiftDataError("Of files, scores and label name columns: scores=[...], label='...'.")
            samples, columns = (source, target), [[*names, label], names]
        else:
            if label is None or isinstance(label, str):
                raise ShiftDataError("Of arrays, label holds the labels of the source: pass an array.")
            source, target = self._of_one_order(source, target, scores, label)
            samples, columns = (_with_labels(source, label), target), [None, None]
        units: list[Unit] = []
        for domain, (sample, wanted, weight) in enumerate(zip(samples, columns, weights, strict=True)):
            units += make_plan((sample,), wanted, (weight,), rows, domain).units
        n_source, n_target = len(units[0].part.columns) - 1, len(units[-1].part.columns)
        if n_source != n_target:
            raise ShiftDataError(
                f"source has {n_source} columns of scores, and target {n_target}: pass a score for each class in both."
            )
        return units

    def _of_one_order(self, source: Any, target: Any, scores: Any, label: Any) -> tuple[Any, Any]:
        """Both samples with the columns of scores that were chosen; raise where names tell that their order differs."""
        wanted = check_column_names(scores)
        if wanted is not None:
            source, target = (
                choose_columns(sample, wanted, name)[0]
                for sample, name in zip((source, target), SAMPLE_NAMES, strict=True)
            )
        names = [column_names(sample) for sample in (source, target)]
        if None not in names and names[0] != names[1]:
            raise ShiftDataError(
                f"The columns of the source's scores are {names[0]}, and those of the target's {names[1]}: pass the "
                "same in one order, or name them with scores=[...]."
            )
        labels = np.unique(check_vector(label, "label")) if self.classes is None else self.classes
        for sample, name, known in zip((source, target), SAMPLE_NAMES, names, strict=True):
            if known is not None:
                check_class_order(sample, name, _as_whole(labels))
        return source, target

    def _engine(self) -> AbstractContextManager[Engine]:
        return opened_engine(self.engine, self.n_workers, self.scheduler, int(self.retries))

    @contextmanager
    def _reading(
        self, samples: tuple[Any, Any], scores: Any, label: Any, weights: Sequence[Any], progress: Any, soft: bool
    ) -> Iterator[tuple[Passes, Layout]]:
        """Passes over both samples, and the classes; whatever fails in the block leaves the estimator as it was."""
        units = self._units(*samples, scores, label, weights)
        with unchanged_on_error(self), self._engine() as engine:
            passes = Passes(engine, units, progress)
            yield passes, self._layout(passes, soft)

    def _layout(self, passes: Passes, soft: bool) -> Layout:
        """The classes as given, or those that a pass finds."""
        n_scores = len(passes.units[-1].part.columns)
        given = self.classes is not None
        labels = check_vector(self.classes, "classes") if given else passes.run(LABELS, n_scores)
        if len(labels) < 2 or (n_scores > 1 and len(labels) != n_scores):
            raise ShiftDataError(
                f"{len(labels)} classes, and {n_scores} columns of scores: pass a score for each class, or one column "
                'of predicted labels with kind="hard".'
            )
        if n_scores == 1 and soft:
            raise ShiftDataError('One column of scores: pass one per class, or predicted labels with kind="hard".')
        return Layout(tuple(map(float, labels)), soft)

    def _set_classes(self, layout: Layout) -> None:
        self.classes_ = _as_whole(layout.classes)

    def _warn_if_vague(self) -> None:
        if not self.identified_:
            tell(PoorIdentificationWarning(f"The scores do not tell the target prior: {self.reason_}."))

    def class_weight(self) -> dict[Any, float]:
        """Weights q / p by label, for learners that take ``class_weight``; dict of label to float."""
        check_is_fitted(self, "target_prior_")
        return dict(zip(self.classes_.tolist(), self.class_weight_.tolist(), strict=True))

    def adjust_proba(self, scores: ArrayLike) -> NDArray[Any]:
        """Class probabilities under the estimated target prior.

        Parameters
        ----------
        scores : array-like of shape (n_rows, n_classes)
            By the classifier that scored the fitted rows.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)

        Raises
        ------
        ShiftDataError
            For scores that are no probabilities or have another number of columns.
        """
        check_is_fitted(self, "target_prior_")
        return adjust_proba(scores, self.score_prior_, self.target_prior_)


def _as_whole(labels: ArrayLike) -> NDArray[Any]:
    """Labels as whole numbers, where they are."""
    labels = np.asarray(labels)
    # Beyond 2^53 floats are whole, and not all whole numbers are floats.
    whole = labels.dtype.kind == "f" and (labels == np.floor(labels)).all() and np.abs(labels).max() <= 2**53
    return labels.astype(np.int64) if whole else labels


def _with_labels(scores: Any, labels: Any) -> Any:
    """Scores of an array with the labels as one column more."""
    given = as_array(scores, "source")
    table = check_vector(given, "source")[:, np.newaxis] if given.ndim == 1 else check_matrix(given, "source")
    return np.column_stack([table, check_vector(labels, "label", len(table), of="rows of scores")])
