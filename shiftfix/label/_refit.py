"""Target priors and calibrations learned again from resampled rows, as a bootstrap of both samples asks for.

Each begins where the fit on all rows ended, and takes the kind of calibration that was chosen there.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix._numerics import Floats
from shiftfix.label._implied_prior import score_prior_from
from shiftfix.label._likelihood import CalibrationKind, fit_log_scores, log_scores, softmax_block
from shiftfix.label._mlls_solver import mlls_prior

# Of the gradient of the mean log likelihood: far below what a resample changes.
TOLERANCE = 1e-7
# Steps from a start that is nearly the answer, certified to this gap per row.
GAP = 1e-7

Calibrates = Callable[[Floats], tuple[Floats, Floats]]
EstimatesPrior = Callable[[Floats, Floats], Floats]


def calibration_refits(
    scores: NDArray[Any],
    class_index: NDArray[np.intp],
    kind: CalibrationKind,
    start: tuple[Floats, Floats] | None = None,
) -> Calibrates:
    """A function of repeat counts that gives scale and bias of the calibration which these would have.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_classes)
        Class probabilities.
    class_index : ndarray of shape (n_rows,)
        True class of each row.
    kind : {"none", "temperature", "bcts", "vector"}
    start : (ndarray, ndarray), default=None
        Scale and bias to begin at.

    Returns
    -------
    callable
        ``fit(counts)``, an ndarray of shape (n_rows,), gives (scale, bias), each of shape (n_classes,). Counts may be
        weights.
    """
    z = log_scores(scores)

    def fit(counts: Floats) -> tuple[Floats, Floats]:
        rows = np.flatnonzero(counts)
        return fit_log_scores(z[rows], class_index[rows], counts[rows], kind, start, TOLERANCE)[:2]

    return fit


def prior_refits(
    fitted: Any, scores_source: NDArray[Any], class_index: NDArray[np.intp], scores_target: NDArray[Any]
) -> EstimatesPrior:
    """A function of repeat counts of both samples that gives the target prior of maximum likelihood.

    Parameters
    ----------
    fitted : fitted MLLS
        Left as it is.
    scores_source, scores_target : ndarray of shape (n_rows, n_classes)
        The class probabilities that it was fitted to.
    class_index : ndarray of shape (n_source,)
        True class of each source row.

    Returns
    -------
    callable
        ``estimate(counts_source, counts_target)``, each an ndarray of shape (n_rows,), gives q, shape (n_classes,).
        Every class must count.
    """
    source, prior = fitted._source, fitted.target_prior_
    calibration = calibration_refits(scores_source, class_index, source.calibration, (source.scale, source.bias))
    z, z_target = log_scores(scores_source), log_scores(scores_target)
    calibrates = source.calibration != "none"

    def estimate(counts_source: Floats, counts_target: Floats) -> Floats:
        rows, rows_target = np.flatnonzero(counts_source), np.flatnonzero(counts_target)
        here, there = scores_source[rows], scores_target[rows_target]
        if calibrates:
            scale, bias = calibration(counts_source)
            here, there = (softmax_block(x, scale, bias)[0] for x in (z[rows], z_target[rows_target]))
        implied = score_prior_from(here, class_index[rows], counts_source[rows], source.prior_from)
        return mlls_prior(there, implied, counts_target[rows_target], start=prior, tol=GAP).prior

    return estimate
