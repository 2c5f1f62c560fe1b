"""Covariate shift from Exp(1) to Exp(rate): weights with a power-law tail of known index.

With lam the target rate, w(x) = lam exp((1 - lam) x) for x >= 0. Because exp(X) is exactly Pareto
distributed for X ~ Exp(1), the weights are Pareto with tail index k = 1 - lam when lam < 1:

    P_S(w > t) = P(X > log(t / lam) / (1 - lam)) = (t / lam)^(-1/k),   t >= lam
    E_S[w^2]   = lam^2 / (2 lam - 1)   for lam > 1/2, infinite otherwise.
"""

import numpy as np

from shiftfix._door import public
from shiftfix._setting_checks import check_count, check_generator, check_number
from shiftfix.simulate._conditional import Conditional, draw_outcome
from shiftfix.simulate._problem import ShiftProblem

# Rates of which squares and inverses are numbers.
LEAST_RATE, MOST_RATE = 1e-100, 1e100


@public
def exponential_chi2(rate: float) -> float:
    """Chi-squared divergence of Exp(rate) from Exp(1), E_S[w^2] - 1 = rate^2 / (2 rate - 1) - 1.

    Parameters
    ----------
    rate : float
        Rate of the target, > 0, per unit of x.

    Returns
    -------
    float
        Infinite for rate <= 1/2.

    See Also
    --------
    exponential_covariate_shift : Weights with a Pareto tail of known index.
    gaussian_chi2 : Chi-square divergence.

    Examples
    --------
    >>> exponential_chi2(0.75)
    0.125
    """
    check_number(rate, "rate", least=LEAST_RATE, most=MOST_RATE)
    return rate**2 / (2 * rate - 1) - 1 if rate > 0.5 else np.inf


@public
def exponential_covariate_shift(
    n_source: int,
    n_target: int,
    *,
    rate: float = 0.75,
    conditional: Conditional = "linear",
    noise: float = 0.1,
    random_state: int | np.random.Generator | np.random.RandomState | None = None,
) -> ShiftProblem:
    """Covariate shift from Exp(1) to Exp(rate), one feature, with the exact ratio.

    For rate < 1 the weights have tail index k = 1 - rate: finite variance above rate 1/2 (0.75 gives
    k = 0.25), infinite variance below (0.4 gives k = 0.6). For rate >= 1 they are bounded by ``rate``.

    Parameters
    ----------
    n_source, n_target : int
        Rows, at least 1 each.
    rate : float, default=0.75
        Rate of the target, > 0, per unit of x; its mean is 1 / rate.
    conditional : {"quadratic", "linear", "logistic"} or callable, default="linear"
        p(y given x), the same in both, as in ``gaussian_covariate_shift``.
    noise : float, default=0.1
        Standard deviation of the normal error of y.
    random_state : int, RandomState, Generator or None, default=None

    Returns
    -------
    ShiftProblem
        With ``source_weights`` and ``target_weights``; kind "covariate".

    Raises
    ------
    ShiftDataError
        For sizes below 1, a rate that is not positive, or an unknown conditional.

    See Also
    --------
    exponential_chi2 : Chi-square divergence.
    gaussian_covariate_shift : N(0, I) to N(mu, diag(s^2)).
    shiftfix.weights.pareto_k : Shape of the tail of the weights.

    Examples
    --------
    >>> exponential_covariate_shift(100, 50, rate=0.4, random_state=0).X_target.shape
    (50, 1)
    """
    n_source, n_target = check_count(n_source, "n_source"), check_count(n_target, "n_target")
    check_number(rate, "rate", least=LEAST_RATE, most=MOST_RATE)
    generator = check_generator(random_state)
    X_source = generator.standard_exponential((n_source, 1))
    X_target = generator.standard_exponential((n_target, 1)) / rate
    return ShiftProblem(
        X_source,
        draw_outcome(X_source, conditional, noise, generator),
        X_target,
        draw_outcome(X_target, conditional, noise, generator),
        kind="covariate",
        description=f"Exp(1) to Exp({rate:g})",
        source_weights=rate * np.exp((1 - rate) * X_source[:, 0]),
        target_weights=rate * np.exp((1 - rate) * X_target[:, 0]),
    )
