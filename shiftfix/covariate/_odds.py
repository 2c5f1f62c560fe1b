"""Log odds of a source-versus-target classifier, and the log ratio they mean.

With labels -1 (source) and +1 (target) and h(x) the log odds of a classifier that saw n_source and n_target rows (or
totals of repeat counts), Bayes' rule gives

    log w(x) = h(x) + log(n_source / n_target),

because the odds are (n_target p_target) / (n_source p_source).
Source: Bickel, Brueckner & Scheffer (2009), JMLR 10:2137-2155, section 3; Platt (1999), "Probabilistic outputs for
support vector machines", for the sigmoid on held-out scores.
"""

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from shiftfix._numerics import Floats

SOURCE, TARGET = -1, 1
# Decision values are log odds when their sigmoid is the probability: up to single precision.
SAME_PROBABILITY = 1e-6


def odds_to_log_ratio(log_odds: Any, n_source: float, n_target: float) -> Any:
    """Log w = h + log(n_source / n_target), same shape as ``log_odds``.

    Parameters
    ----------
    log_odds : ndarray of shape (n_rows,) or float
        log P(target | x) / P(source | x) by a classifier fitted to both samples.
    n_source, n_target : float
        Rows (or total sample weights) the classifier saw of each.
    """
    return log_odds + np.log(n_source / n_target)


def proba_to_log_odds(proba: Floats, n_rows: float) -> Floats:
    """log(p_target / p_source), with both probabilities bounded below by half a row in ``n_rows``.

    From both columns and not from p / (1 - p): a p that is rounded to 1 keeps what its complement says.

    Parameters
    ----------
    proba : ndarray of shape (n_rows_asked, 2)
        Probabilities of source and target.
    n_rows : float
        Rows (or total repeat counts) the classifier saw. Where it saw only one sample, the other is thought to be
        present with half a row: a probability of exactly 0 becomes 1 / (2 n_rows).

    Returns
    -------
    ndarray of shape (n_rows_asked,)
        Within +-log(2 n_rows).
    """
    log_p = np.log(np.maximum(proba, 0.5 / n_rows))
    return log_p[:, 1] - log_p[:, 0]


def decision_is_log_odds(decision: Floats, proba: Floats) -> bool:
    """Whether decision values are the log odds of the probabilities: sigmoid(decision) = p_target at every row.

    Parameters
    ----------
    decision : ndarray of shape (n_rows,)
    proba : ndarray of shape (n_rows, 2)
    """
    decision = np.asarray(decision)
    return decision.shape == proba[:, 1].shape and bool(np.abs(expit(decision) - proba[:, 1]).max() <= SAME_PROBABILITY)


def fit_sigmoid(scores: Floats, domain: NDArray[np.int_], counts: Floats) -> tuple[float, float]:
    """Platt's slope and intercept: log odds = slope * score + intercept.

    A logistic regression on the standardised score, with L2 penalty 1/2 on its slope, so that separated scores
    stay finite.

    Parameters
    ----------
    scores : ndarray of shape (n_rows,)
        Held-out scores, larger for the target.
    domain : ndarray of shape (n_rows,)
        -1 for source, +1 for target rows.
    counts : ndarray of shape (n_rows,)
        Repeat counts.

    Returns
    -------
    slope, intercept : float
    """
    mean = np.average(scores, weights=counts)
    scale = np.sqrt(np.average((scores - mean) ** 2, weights=counts)) or 1.0
    model = LogisticRegression(tol=1e-10, max_iter=1000)
    model.fit(((scores - mean) / scale)[:, np.newaxis], domain, sample_weight=counts)
    slope = float(model.coef_[0, 0] / scale)
    return slope, float(model.intercept_[0] - slope * mean)


def stack_rows(source: Any, target: Any) -> Any:
    """Both samples one below the other: arrays, sparse matrices, or data frames of one library."""
    if hasattr(source, "columns"):
        library = import_module(type(source).__module__.partition(".")[0])
        if library.__name__ == "pandas":
            source, target = _with_common_categories(source, target)
        options = {"how": "vertical_relaxed"} if library.__name__ == "polars" else {"ignore_index": True}
        return library.concat([source, target], **options)
    if sparse.issparse(source):
        return sparse.vstack([source, target], format="csr")
    return np.concatenate([source, target])


def _with_common_categories(source: Any, target: Any) -> tuple[Any, Any]:
    """Two pandas frames whose categorical columns have the categories of both, so that they stay categorical."""
    for place, name in enumerate(source.columns):
        ours, theirs = (getattr(frame.dtypes.iloc[place], "categories", None) for frame in (source, target))
        if ours is not None and theirs is not None and not ours.equals(theirs):
            both = ours.union(theirs)
            source, target = (
                frame.assign(**{name: frame[name].cat.set_categories(both)}) for frame in (source, target)
            )
    return source, target
