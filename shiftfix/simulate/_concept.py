"""Concept shift, the negative control: p(x) stays and p(y given x) turns."""

import numpy as np

from shiftfix._door import public
from shiftfix._setting_checks import check_count, check_generator, check_number
from shiftfix.simulate._problem import ShiftProblem


@public
def rotated_accuracy(angle: float, noise: float = 0.0) -> float:
    """Target accuracy of the best source rule when the boundary turns by ``angle``.

    The rule is the sign of z, the label the sign of z' + noise e, where z and z' are standard normal with
    correlation cos(angle). Their correlation is r = cos(angle) / sqrt(1 + noise^2), and two centred jointly
    normal variables agree in sign with probability 1 - arccos(r) / pi (Sheppard 1899, the quadrant
    probability).

    Parameters
    ----------
    angle : float
        In radians. 0 gives the accuracy of the best rule in its own population.
    noise : float, default=0.0
        Standard deviation of the error in the label rule, in standard deviations of a feature.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ShiftDataError
        For an angle that is no finite number or a negative noise.

    See Also
    --------
    concept_shift : P(y given x) moves: the negative control.

    Examples
    --------
    >>> round(rotated_accuracy(np.pi / 2, 0.3), 12), rotated_accuracy(0.0)
    (0.5, 1.0)
    """
    angle = float(check_number(angle, "angle", above=-np.inf, below=np.inf))
    check_number(noise, "noise", least=0, most=1e100)
    return float(1 - np.arccos(np.cos(angle) / np.hypot(1, noise)) / np.pi)


@public
def concept_shift(
    n_source: int,
    n_target: int,
    *,
    angle: float,
    n_features: int = 2,
    noise: float = 0.3,
    random_state: int | np.random.Generator | np.random.RandomState | None = None,
) -> ShiftProblem:
    """Concept shift: x ~ N(0, I) in both, and the class boundary turns by ``angle``.

    y = 1 when x'u + noise e > 0, e standard normal; u is the first axis in the source and is turned towards
    the second axis in the target. Reweighting cannot repair this: the true ratio of p(x) is 1 everywhere,
    and nothing in the unlabelled target rows tells the angle. A method that claims a gain here is wrong.

    Parameters
    ----------
    n_source, n_target : int
        Rows, at least 1 each.
    angle : float
        In radians; 0 is no shift, pi swaps the classes.
    n_features : int, default=2
        At least 2; features beyond the second carry nothing.
    noise : float, default=0.3
        Standard deviation of the error in the label rule, in standard deviations of a feature.
    random_state : int, RandomState, Generator or None, default=None

    Returns
    -------
    ShiftProblem
        Kind "concept"; weights and priors are None. The best rule of each population has accuracy
        ``rotated_accuracy(0, noise)`` at home, the best source rule ``rotated_accuracy(angle, noise)`` on
        the target.

    Raises
    ------
    ShiftDataError
        For sizes below 1, fewer than 2 features, or a negative noise.

    See Also
    --------
    rotated_accuracy : The accuracy left there.
    gaussian_covariate_shift : N(0, I) to N(mu, diag(s^2)).

    Examples
    --------
    >>> concept_shift(100, 50, angle=np.pi / 4, random_state=0).source_weights is None
    True
    """
    n_source, n_target = check_count(n_source, "n_source"), check_count(n_target, "n_target")
    n_features = check_count(n_features, "n_features", least=2)
    at_home = rotated_accuracy(0.0, noise)
    abroad, angle = rotated_accuracy(angle, noise), float(angle)
    generator = check_generator(random_state)
    samples = []
    for n_rows, turn in ((n_source, 0.0), (n_target, angle)):
        X = generator.standard_normal((n_rows, n_features))
        index = np.cos(turn) * X[:, 0] + np.sin(turn) * X[:, 1]
        y = (index + noise * generator.standard_normal(n_rows) > 0).astype(np.int64)
        samples.append((X, y))
    (X_source, y_source), (X_target, y_target) = samples
    return ShiftProblem(
        X_source,
        y_source,
        X_target,
        y_target,
        kind="concept",
        description=f"boundary turned by {angle:g} radians; best source rule {at_home:.3f} at home, "
        f"{abroad:.3f} on the target",
    )
