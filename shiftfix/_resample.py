"""The bootstrap of two samples, by repeat counts of the rows at hand.

Drawing n rows with replacement is drawing how often each row is taken. Whatever takes repeat counts can so be resampled
without copying a row. Source: Efron & Tibshirani (1993), "An Introduction to the Bootstrap", chapter 8 (more than one
sample).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._setting_checks import import_optional

# Rows of equal chance from which on the rows are drawn and counted, in a fourth to a fifth of the time that drawing how
# often each is taken needs; as long as there are not many times as many draws.
MANY_ROWS, FEW_TIMES = 50_000, 4


def resampled_counts(
    sample_weight: NDArray[np.float64],
    rng: np.random.Generator,
    strata: Sequence[NDArray[np.intp]] | None = None,
) -> NDArray[np.float64]:
    """Repeat counts of as many rows drawn with replacement, within each stratum.

    Parameters
    ----------
    sample_weight : ndarray of shape (n_rows,)
        Repeat counts of the rows: the chance to be drawn, and in sum the number of rows to draw.
    rng : numpy.random.Generator
    strata : sequence of ndarray of int, default=None
        Positions of the rows of each stratum; None means one stratum of all.

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    drawn = np.zeros(len(sample_weight))
    for rows in [slice(None)] if strata is None else strata:
        drawn[rows] = _counts_of_draws(sample_weight[rows], rng)
    return drawn


def _counts_of_draws(weight: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.intp]:
    """How often each row is drawn, of as many draws as the weights add up to."""
    n_draws = max(1, round(weight.sum()))
    is_fast = len(weight) >= MANY_ROWS and n_draws <= FEW_TIMES * len(weight)
    if is_fast and (weight == weight[0]).all():
        return np.bincount(rng.integers(len(weight), size=n_draws), minlength=len(weight))
    return rng.multinomial(n_draws, weight / weight.sum())


def bootstrap_two_samples(
    estimate: Callable[[NDArray[np.float64], NDArray[np.float64]], ArrayLike],
    source_weight: NDArray[np.float64],
    target_weight: NDArray[np.float64],
    *,
    n_bootstrap: int,
    rng: np.random.Generator,
    source_strata: Sequence[NDArray[np.intp]] | None = None,
    progress: bool = False,
) -> NDArray[np.float64]:
    """Estimates from resampled data, both samples drawn anew each time.

    Parameters
    ----------
    estimate : callable
        ``estimate(source_weight, target_weight)`` gives a number or an array for repeat counts of both samples.
    source_weight, target_weight : ndarray of shape (n_source,), (n_target,)
        Repeat counts of the rows at hand.
    n_bootstrap : int
    rng : numpy.random.Generator
    source_strata : sequence of ndarray of int, default=None
        Positions of source rows that are resampled among themselves: classes, say.
    progress : bool, default=False
        Show a bar.

    Returns
    -------
    ndarray of shape (n_bootstrap, ...)

    Raises
    ------
    MissingDependencyError
        For ``progress`` without tqdm.
    """
    rounds = range(n_bootstrap)
    if progress:
        rounds = import_optional("tqdm", "cli").tqdm(rounds, desc="bootstrap")
    return np.array(
        [
            estimate(resampled_counts(source_weight, rng, source_strata), resampled_counts(target_weight, rng))
            for _ in rounds
        ]
    )
