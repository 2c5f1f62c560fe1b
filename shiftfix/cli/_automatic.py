"""Fit a model that is diagnosed first, on the user's own columns, so that the diagnosis speaks of those."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from shiftfix.cli._exit import UnsupportedError
from shiftfix.cli._tables import Tables
from shiftfix.cli._words import out_of

PASS_LABELS = (
    "to pass labels of target rows, give the target file a column for them, blank elsewhere, and --target-labels."
)


def raw_learner(encoder: Any, learner: Any) -> Pipeline:
    """The learner behind the fitted encoder, which stays as it is: it takes the columns of the files."""
    from sklearn.frozen import FrozenEstimator

    return Pipeline([("encode", FrozenEstimator(encoder)), ("model", learner)])


def raw_weighter(model: Any, tables: Tables, clip: Any) -> Any:
    """The default weighter of such columns, with the largest weight that was asked for."""
    from shiftfix.risk import default_weighter

    return default_weighter(model, tables.source, tables.target).set_params(clip=clip)


def target_sample(tables: Tables) -> Any:
    """The target rows, with the labels that are to be learned from."""
    from shiftfix.corrected import TargetSample

    known = tables.known
    return TargetSample(tables.target) if known is None else TargetSample(tables.target, y=known.y, rows=known.rows)


def make_automatic(model: Any, tables: Tables, options: Mapping[str, Any]) -> Any:
    """Unfitted meta-estimator that diagnoses the shift.

    Parameters
    ----------
    model : estimator
        Of :func:`raw_learner`.
    tables : Tables
    options : mapping
        With "clip", "causes" and "seed".
    """
    from shiftfix.corrected import ShiftCorrectedClassifier, ShiftCorrectedRegressor

    corrected = ShiftCorrectedClassifier if tables.task == "classification" else ShiftCorrectedRegressor
    weighter = raw_weighter(model, tables, options["clip"])
    return corrected(model, causes=options["causes"], weighter=weighter, random_state=options["seed"])


def check_supported(fit: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raise UnsupportedError where a diagnosis says that no correction reaches the target, if that is asked for."""
    if "diagnosis" in fit and fit["verdict"] == "abstain" and options["on_abstain"] == "error":
        raise UnsupportedError(
            f"the data do not support a correction: {'; '.join(fit['reasons'])}. {fit['action']} To fit without one, "
            "pass --on-abstain uncorrected."
        )


def advice_on_labels(verdict: str, tables: Tables) -> list[str]:
    """How labels of target rows are passed, where a diagnosis asks for some."""
    return [] if verdict == "ok" or tables.known is not None else [PASS_LABELS]


def rows_to_score(tables: Tables) -> NDArray[np.bool_]:
    """Target rows whose labels were not learned from, shape (n_target,)."""
    fresh = np.ones(len(tables.target), dtype=bool)
    if tables.known is not None:
        fresh[tables.known.rows] = False
    return fresh


def scoring_notices(tables: Tables) -> list[str]:
    """Which target rows are scored, where some labels were learned from."""
    if tables.known is None or tables.y_target is None:
        return []
    n_fresh = int(rows_to_score(tables).sum())
    if not n_fresh:
        return ["every target label was used for fitting, so none is scored."]
    return [f"the score is that of the {out_of(n_fresh, 'target row')} whose labels were not used for fitting."]
