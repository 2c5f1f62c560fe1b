"""What weighting does to one model: whether its score is balanced then, and whether its predictions change at all.

Weights that balance every column may leave the model's score as far from the target's as before; a model whose
predictions do not change has nothing to gain from them, and nothing to lose.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._numerics import Floats
from shiftfix._printed import printed
from shiftfix.risk._exponent import Choice, Says, weighted_means

# A standardised difference of means beyond which groups are commonly called unbalanced (Austin 2009, Stat. Med.
# 28(25):3083-3107, section 4), here by more than two standard errors.
BALANCED, ERRORS = 0.1, 2.0


@printed
class WeightingEffect(NamedTuple):
    """What full weights do to a model, out of fold.

    Attributes
    ----------
    imbalance : float
        Largest distance of the weighted source mean of the model's score, or of its absolute value, from the target's,
        in the target's standard deviations.
    imbalance_error : float
        Its standard error.
    changed : float
        Share of the target rows of which the weighted model predicts another class; of numbers the mean absolute
        change of the prediction, in standard deviations. None where no weighted model was fitted.
    """

    imbalance: float
    imbalance_error: float
    changed: float | None

    @property
    def is_balanced(self) -> bool:
        """Whether nothing but chance lies beyond a tenth of a standard deviation."""
        return self.imbalance <= BALANCED + ERRORS * self.imbalance_error


class Weighing(NamedTuple):
    """Weights of one model, how far they are used, and what they do to it.

    Attributes
    ----------
    weighter : fitted weighter
    usable : bool
        Whether its weights may be used.
    choice : Choice
    chosen : bool
        Whether the exponent was chosen by the loss it is estimated to have.
    effect : WeightingEffect or None
    """

    weighter: Any
    usable: bool
    choice: Choice
    chosen: bool
    effect: WeightingEffect | None

    @property
    def unbalanced_score(self) -> list[str]:
        """What to know of a weighted model whose score is not that of the target; empty where it is."""
        if self.effect is None or self.effect.is_balanced:
            return []
        return [
            "weighted source rows still differ from the target's in the model's own score, by "
            f"{self.effect.imbalance:.2f} standard deviations in its mean or that of its absolute value"
        ]


def score_columns(outputs: Floats, is_class: bool) -> Floats:
    """The score and its absolute value, one row each: of two classes their log odds, of more the centred logits.

    Parameters
    ----------
    outputs : ndarray of shape (n_rows, n_outputs)
    is_class : bool

    Returns
    -------
    ndarray of shape (n_columns, n_rows)
    """
    columns = outputs - outputs.mean(axis=1, keepdims=True) if is_class and outputs.shape[1] > 1 else outputs
    columns = columns[:, 1:] if is_class and outputs.shape[1] == 2 else columns
    return np.vstack([columns.T, np.abs(columns.T)]) if is_class else columns.T


def score_imbalance(source: Floats, target: Floats, w: Floats, counts: Floats) -> tuple[float, float]:
    """Largest standardised difference of means of any row after weighting, and its standard error.

    Parameters
    ----------
    source, target : ndarray of shape (n_columns, n_rows)
    w, counts : ndarray of shape (n_source,)
    """
    spread = target.std(axis=1)
    unit = np.where(spread > 0, spread, np.inf)
    means, errors = (np.asarray(part) for part in weighted_means(source, w, counts))
    gaps = np.abs(means - target.mean(axis=1)) / unit
    worst = int(np.argmax(gaps))
    return float(gaps[worst]), float(np.hypot(errors[worst] / unit[worst], 1 / np.sqrt(target.shape[1])))


def changed_predictions(first: Floats, second: Floats, is_class: bool) -> float:
    """Share of rows of another class, or mean absolute change in standard deviations; outputs of two models."""
    if is_class and first.shape[1] > 1:
        return float(np.mean(np.argmax(first, axis=1) != np.argmax(second, axis=1)))
    if is_class:
        return float(np.mean(first != second))
    spread = float(first.std())
    return float(np.abs(second - first).mean()) / (spread if spread > 0 else 1.0)


def weighting_effect(says: Says | None, w: NDArray[np.float64], counts: Floats | None) -> WeightingEffect | None:
    """What the last exponent compared does to a model; None where nothing is known of the target.

    Parameters
    ----------
    says : Says or None
    w : ndarray of shape (n_source,)
        Finished weights.
    counts : ndarray of shape (n_source,) or None
    """
    if says is None or says.target is None:
        return None
    is_class = bool(says.classes.size)
    here = np.ones(len(says.rows)) if counts is None else counts[says.rows]
    source, target = (score_columns(outputs[0], is_class) for outputs in (says.source, says.target))
    found = score_imbalance(source, target, w[says.rows], here)
    compared = len(says.target) > 1
    changed = changed_predictions(says.target[0], says.target[-1], is_class) if compared else None
    return WeightingEffect(*found, changed)
