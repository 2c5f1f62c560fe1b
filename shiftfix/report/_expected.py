"""What new class shares bring where no target label is known: the accuracy that calibrated probabilities promise.

Under label shift the probability that a target row is of class k is the calibrated score times q_k / p_k, rescaled. The
mean of it over the target, for the class that a model says, is the accuracy to expect (Guillory et al. 2021, ICCV,
section 3, of calibrated confidences). Draws of q by its sampling error, and of the rows, make the intervals.
"""

from typing import Any

import numpy as np
from sklearn.utils.validation import _num_samples

from shiftfix._numerics import Floats
from shiftfix.corrected import LabelShiftClassifier
from shiftfix.label import adjust_proba
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


def expected_accuracy(model: Any, X: Any) -> list[Record]:
    """Accuracy to expect of a model before and after its class shares are corrected, if label shift is what moved.

    Parameters
    ----------
    model : fitted meta-estimator
    X : array-like of n_rows target rows

    Returns
    -------
    list of dict
        As that of ``before_and_after``; empty for a model that adjusts no class shares.
    """
    corrector = adjusting_corrector(model)
    if corrector is None:
        return []
    prior, rows = corrector.prior_, np.arange(_num_samples(X))
    scores = corrector.estimator_.predict_proba(X)
    said = np.argmax(scores, axis=1), np.argmax(corrector.predict_proba(X), axis=1)
    calibrated, rng = prior.calibrate(scores), np.random.default_rng(0)
    found = []
    for i, q in enumerate(drawn_shares(prior.target_prior_, prior.prior_covariance_, rng)):
        P = adjust_proba(calibrated, prior.score_prior_, q)
        counts = np.ones(len(rows)) if i == 0 else rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)))
        found.append([counts @ P[rows, codes] / len(rows) for codes in said])
    before, after = np.array(found).T
    return [
        {
            "metric": "accuracy",
            "better": "higher",
            "n_rows": len(rows),
            "before": ends_of_draws(before),
            "after": ends_of_draws(after),
            "change": ends_of_draws(after - before),
        }
    ]
