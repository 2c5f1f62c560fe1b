"""What new class shares bring where no target label is known: the accuracy that the source's recalls promise.

Under label shift the rows of a class are alike in both samples, and so is the share r_k of them that a model says
right, which source rows tell that it was not fitted with. With the target's class shares q the accuracy to expect is
sum_k q_k r_k, whatever the scores' calibration. Draws of q by its sampling error, and of r by its rows (Dirichlet with
Jeffreys' half rows), make the intervals. The recalls are those of models that were fitted to part of the rows: with a
few hundred rows, where these differ much from the one fitted to all, the intervals are too short (some 85% of them hold
the truth at 300 source rows, and 95% at 2,000).
Source: Saerens, Latinne & Decaestecker (2002), Neural Computation 14(1), section 2 (what label shift keeps); Brown,
Cai & DasGupta (2001), Statistical Science 16(2), section 4 (Jeffreys' interval of a share).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix._numerics import Floats
from shiftfix.corrected import LabelShiftClassifier
from shiftfix.report._record import Automatic, Record

N_DRAWS = 200
LEAST_SHARE = 1e-6


def adjusting_corrector(model: Any) -> LabelShiftClassifier | None:
    """The part of a model that adjusts its probabilities to other class shares; None where none does."""
    inner = model.corrector_ if isinstance(model, Automatic) else model
    if not isinstance(inner, LabelShiftClassifier) or not inner.corrected_ or inner.correction != "adjust":
        return None
    return inner if hasattr(inner.prior_, "prior_covariance_") else None


def drawn_shares(estimate: Floats, covariance: Floats, rng: np.random.Generator) -> Floats:
    """Class shares as the data leave them open, shape (n_draws, n_classes): the estimate first."""
    values, vectors = np.linalg.eigh(covariance)
    spread = vectors * np.sqrt(np.maximum(values, 0))
    draws = estimate + rng.normal(size=(N_DRAWS, len(estimate))) @ spread.T
    draws = np.maximum(np.vstack([estimate, draws]), LEAST_SHARE)
    return np.asarray(draws / draws.sum(axis=1, keepdims=True))


def ends_of_draws(values: Floats) -> Record:
    """The estimate, which is the first, and the middle 95% of the others."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return {"value": float(values[0]), "low": float(min(low, values[0])), "high": float(max(high, values[0]))}


def right_by_class(codes: Sequence[NDArray[np.intp]], labels: NDArray[np.intp], counts: Floats, K: int) -> Floats:
    """Rows of each class that neither, the second alone, the first alone or both of two models say right: (K, 4)."""
    first, second = (code == labels for code in codes)
    cells = np.bincount(4 * labels + 2 * first + second, weights=counts, minlength=4 * K)
    return np.asarray(cells.reshape(K, 4))


def drawn_recalls(cells: Floats, rng: np.random.Generator) -> Floats:
    """Recalls of both models as the rows of each class leave them open, shape (1 + n_draws, n_classes, 2).

    The first are those of the rows. Half a row more in each cell, so that a class of few rows is not taken for sure.
    """
    drawn = rng.standard_gamma(cells + 0.5, size=(N_DRAWS, *cells.shape))
    found = np.vstack([cells[np.newaxis], drawn])
    found /= found.sum(axis=2, keepdims=True)
    return np.stack([found[:, :, 2] + found[:, :, 3], found[:, :, 1] + found[:, :, 3]], axis=2)


def expected_accuracy(model: Any) -> list[Record]:
    """Accuracy to expect of a model before and after its class shares are corrected, if label shift is what moved.

    Parameters
    ----------
    model : fitted meta-estimator

    Returns
    -------
    list of dict
        As that of ``before_and_after``; empty for a model that adjusts no class shares, and for one whose prior has not
        kept the source's scores.
    """
    corrector = adjusting_corrector(model)
    sample = None if corrector is None else getattr(corrector.prior_, "_source_sample", None)
    if corrector is None or sample is None:
        return []
    prior, rng = corrector.prior_, np.random.default_rng(0)
    codes = [np.argmax(scores, axis=1) for scores in (sample.scores, corrector.adjust_proba(sample.scores))]
    cells = right_by_class(codes, sample.class_index, sample.counts, len(prior.target_prior_))
    shares = drawn_shares(prior.target_prior_, prior.prior_covariance_, rng)
    before, after = np.einsum("dk,dkm->md", shares, drawn_recalls(cells, rng))
    return [
        {
            "metric": "accuracy",
            "better": "higher",
            "n_rows": len(sample.class_index),
            "before": ends_of_draws(before),
            "after": ends_of_draws(after),
            "change": ends_of_draws(after - before),
        }
    ]
