"""Covariate shift between two distributions on a few levels: the weights are q / p, exactly."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._door import public
from shiftfix._setting_checks import check_count, check_generator, check_option
from shiftfix._validation import check_prior, check_vector
from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate._problem import ShiftProblem


def _level_counts(
    probabilities: NDArray[np.float64], name: str, n_rows: int, exact_counts: bool, generator: np.random.Generator
) -> NDArray[np.int64]:
    if not exact_counts:
        return generator.multinomial(n_rows, probabilities)
    expected = probabilities * n_rows
    counts = np.rint(expected).astype(np.int64)
    # Decimal probabilities such as 0.3 are not exact in binary: a relative 1e-9 is their rounding.
    if (np.abs(counts - expected) > 1e-9 * n_rows).any():
        raise ShiftDataError(
            f"{name} times {n_rows} rows is {expected.tolist()}, and whole numbers are needed: take "
            "another number of rows, or exact_counts=False."
        )
    return counts


@public
def discrete_covariate_shift(
    p: ArrayLike,
    q: ArrayLike,
    n_source: int,
    n_target: int,
    *,
    outcomes: ArrayLike | None = None,
    exact_counts: bool = True,
    random_state: int | np.random.Generator | np.random.RandomState | None = None,
) -> ShiftProblem:
    """Covariate shift on one-hot rows, level j having probability p[j] (source) and q[j] (target).

    With exact counts every method that can represent the levels (saturated logistic regression, least
    squares without ridge, kernel mean matching with a delta kernel) must return q / p to rounding.

    Parameters
    ----------
    p : array-like of shape (n_levels,)
        Source probabilities, all positive: a level the source lacks has no weight.
    q : array-like of shape (n_levels,)
        Target probabilities.
    n_source, n_target : int
        Rows, at least 1 each.
    outcomes : array-like of shape (n_levels,), default=None
        The value of y at each level, the same in both. None means 0, 1, 2, ...
    exact_counts : bool, default=True
        Give level j exactly p[j] n_source and q[j] n_target rows; False draws the counts.
    random_state : int, RandomState, Generator or None, default=None
        Decides the order of the rows, and the counts unless they are exact.

    Returns
    -------
    ShiftProblem
        With ``source_weights`` and ``target_weights``; kind "covariate".

    Raises
    ------
    ShiftDataError
        For vectors that are no probabilities or differ in length, a source probability of 0, or
        exact counts that are no whole numbers.

    See Also
    --------
    gaussian_covariate_shift : N(0, I) to N(mu, diag(s^2)).
    exponential_covariate_shift : Weights with a Pareto tail of known index.

    Examples
    --------
    >>> problem = discrete_covariate_shift([0.5, 0.3, 0.2], [0.1, 0.3, 0.6], 10, 10, random_state=0)
    >>> sorted(set(problem.source_weights.round(9).tolist()))
    [0.2, 1.0, 3.0]
    """
    source_prior = check_prior(p, "p")
    target_prior = check_prior(q, "q", source_prior.size)
    if (source_prior == 0).any():
        level = int(np.flatnonzero(source_prior == 0)[0])
        raise ShiftDataError(f"p is 0 for level {level}: the ratio q / p needs source rows at every level.")
    n_source, n_target = check_count(n_source, "n_source"), check_count(n_target, "n_target")
    check_option(exact_counts, "exact_counts", [True, False])
    levels = np.arange(source_prior.size)
    y = levels if outcomes is None else check_vector(outcomes, "outcomes", levels.size, of="levels")
    generator = check_generator(random_state)
    levels_source = np.repeat(levels, _level_counts(source_prior, "p", n_source, exact_counts, generator))
    levels_target = np.repeat(levels, _level_counts(target_prior, "q", n_target, exact_counts, generator))
    generator.shuffle(levels_source)
    generator.shuffle(levels_target)
    one_hot, ratio = np.eye(levels.size), target_prior / source_prior
    return ShiftProblem(
        one_hot[levels_source],
        y[levels_source],
        one_hot[levels_target],
        y[levels_target],
        kind="covariate",
        description=f"{levels.size} levels",
        source_weights=ratio[levels_source],
        target_weights=ratio[levels_target],
    )
