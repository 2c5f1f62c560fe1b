"""Fit a model that is diagnosed first, on the user's own columns, so that the diagnosis speaks of those."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from shiftfix.cli._exit import UnsupportedError
from shiftfix.cli._labels import KnownLabels
from shiftfix.cli._tables import Tables
from shiftfix.cli._words import out_of

MICROSECONDS = 86_400_000_000  # of a day
PASS_LABELS = (
    "to pass labels of target rows, give the target file a column for them, blank elsewhere, and --target-labels."
)


def raw_learner(encoder: Any, learner: Any) -> Pipeline:
    """The learner behind the fitted encoder, which stays as it is: it takes the columns of the files."""
    from sklearn.frozen import FrozenEstimator

    return Pipeline([("encode", FrozenEstimator(encoder)), ("model", learner)])


class RawSamples(NamedTuple):
    """Both samples as a diagnosis reads them: dates are dates again, so that it calls them so.

    Attributes
    ----------
    source, target : pandas.DataFrame
    """

    source: Any
    target: Any


def raw_samples(tables: Tables) -> RawSamples:
    """Both samples, with dates for days."""
    return RawSamples(*(_with_dates(frame, tables.dates) for frame in (tables.source, tables.target)))


def _with_dates(frame: Any, names: list[str]) -> Any:
    return frame.assign(**{name: _dates_of_days(frame[name].to_numpy()) for name in names})


def _dates_of_days(days: NDArray[np.float64]) -> NDArray[np.datetime64]:
    """Dates, to the microsecond, of days since 1970; NaT for NaN."""
    known = ~np.isnan(days)
    dates = np.full(len(days), np.datetime64("NaT"), dtype="datetime64[us]")
    dates[known] = np.rint(days[known] * MICROSECONDS).astype(np.int64).astype("datetime64[us]")
    return dates


def raw_weighter(model: Any, samples: RawSamples, clip: Any) -> Any:
    """The default weighter of such columns, with the largest weight that was asked for."""
    from shiftfix.risk import default_weighter

    return default_weighter(model, *samples).set_params(clip=clip)


def target_sample(samples: RawSamples, known: KnownLabels | None) -> Any:
    """The target rows, with the labels that are to be learned from."""
    from shiftfix.corrected import TargetSample

    return TargetSample(samples.target) if known is None else TargetSample(samples.target, y=known.y, rows=known.rows)


def make_automatic(model: Any, task: str, samples: RawSamples, options: Mapping[str, Any]) -> Any:
    """Unfitted meta-estimator that diagnoses the shift.

    Parameters
    ----------
    model : estimator
        Of :func:`raw_learner`.
    task : {"classification", "regression"}
    samples : RawSamples
    options : mapping
        With "clip", "causes" and "seed".
    """
    from shiftfix.corrected import ShiftCorrectedClassifier, ShiftCorrectedRegressor

    corrected = ShiftCorrectedClassifier if task == "classification" else ShiftCorrectedRegressor
    weighter = raw_weighter(model, samples, options["clip"])
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
