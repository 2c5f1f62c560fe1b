"""A prior estimator fitted to scores of both samples, with the verdict on it."""

from typing import Any

from numpy.typing import NDArray

from shiftfix._verdict import Verdict, caller_warns
from shiftfix.exceptions import NotIdentifiedError
from shiftfix.risk._scores import Scores, SourceRows


def fit_prior(
    prior: Any, source: SourceRows, scores: Scores, classes: NDArray[Any], *, raise_as_found: bool
) -> tuple[Any, Verdict]:
    """Fit a prior estimator; returns it with the verdict on it, which is yet to be told.

    Parameters
    ----------
    prior : prior estimator
        Changed by the fit.
    source : SourceRows
    scores : Scores
    classes : ndarray of shape (n_classes,)
    raise_as_found : bool
        Whether the NotIdentifiedError of classes that cannot be told apart, which names them, goes to the caller; else
        it becomes the verdict.

    Returns
    -------
    prior : prior estimator
    verdict : Verdict
    """
    counts = None if source.counts is None else source.counts[scores.rows]
    try:
        with caller_warns():
            prior.fit(
                scores.source, source.labels[scores.rows], scores.target, classes=classes, sample_weight_source=counts
            )
    except NotIdentifiedError as error:
        if raise_as_found:
            raise
        prior.verdict_ = Verdict("abstain", [str(error).rstrip(".")])
        prior.identified_, prior.shrunk_, prior.reason_ = False, False, prior.verdict_.reasons[0]
    return prior, prior.verdict_
