"""p(y given x), shared by source and target: the part a covariate shift leaves alone."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from shiftfix._setting_checks import check_number, check_option
from shiftfix.exceptions import ShiftDataError

CONDITIONALS = ["quadratic", "linear", "logistic"]
Conditional = Literal["quadratic", "linear", "logistic"] | Callable[[NDArray[np.float64], np.random.Generator], Any]


def draw_outcome(
    X: NDArray[np.float64], conditional: Conditional, noise: float, generator: np.random.Generator
) -> NDArray[Any]:
    """Draw y given x, one value per row.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    conditional : {"quadratic", "linear", "logistic"} or callable
        With s = sum_j x_j / sqrt(n_features): "quadratic" is mean_j x_j^2 + noise * e, "linear" is
        s + noise * e, with e standard normal, and "logistic" is a 0/1 label with
        P(y = 1 given x) = 1 / (1 + exp(-2 s)). A callable ``f(X, generator)`` returns y itself.
    noise : float
        Standard deviation of the added normal error, in the unit of y; "logistic" and a callable
        do not use it.
    generator : numpy.random.Generator

    Returns
    -------
    ndarray of shape (n_rows,)

    Raises
    ------
    ShiftDataError
        For an unknown name, a negative noise, or a callable that does not return one value per row.
    """
    check_number(noise, "noise", least=0, most=1e100)
    if callable(conditional):
        y = np.asarray(conditional(X, generator))
        if y.shape != (len(X),):
            raise ShiftDataError(
                f"conditional returned shape {y.shape} for {len(X)} rows: return one value per row, in one dimension."
            )
        return y
    check_option(conditional, "conditional", CONDITIONALS)
    index = X.sum(axis=1) / np.sqrt(X.shape[1])
    if conditional == "logistic":
        return (generator.random(len(X)) < expit(2 * index)).astype(np.int64)
    mean = index if conditional == "linear" else (X**2).mean(axis=1)
    return mean + noise * generator.standard_normal(len(X))
