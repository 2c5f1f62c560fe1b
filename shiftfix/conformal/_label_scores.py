"""How badly each class fits a row, by its probabilities: the scores of classification.

Any function of row and label is valid; a good one gives small sets.

Sources: Sadinle, Lei & Wasserman (2019), JASA 114(525):223-234 (LAC: the smallest sets on average);
Romano, Sesia & Candès (2020), "Classification with valid and adaptive coverage", NeurIPS 33 (APS: coverage
more even over easy and hard rows).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from shiftfix._numerics import Floats

LabelScore = Literal["lac", "aps"]
LABEL_SCORES: tuple[LabelScore, ...] = ("lac", "aps")
LEAST_LOGGED = 1e-12
# Steps of the golden ratio: no two columns share a factor.
GOLDEN = 0.6180339887498949
TURNS = 1000.0  # of the uniform number, as the logarithm of a probability grows by 1


def least_ambiguous_scores(proba: Floats) -> Floats:
    """1 minus the probability of each class, shape (n_rows, n_classes)."""
    return 1 - proba


def row_fractions(proba: Floats) -> Floats:
    """A number in [0, 1) for each row that is as good as drawn, and follows from its probabilities; (n_rows, 1).

    The same row gets the same set whenever and beside whatever it is asked for. Scores that are a function of the row
    and its label are valid as they are, so nothing is lost against a draw.
    """
    factors = 0.5 + np.arange(1, proba.shape[1] + 1) * GOLDEN % 1
    turns = TURNS * (np.log(np.maximum(proba, LEAST_LOGGED)) @ factors)
    return (turns - np.floor(turns))[:, np.newaxis]


def adaptive_scores(proba: Floats, fractions: Floats) -> Floats:
    """Probability of the classes that are likelier than each, plus a fraction of its own; shape (n_rows, n_classes).

    ``fractions`` has shape (n_rows, 1).
    """
    order = np.argsort(-proba, axis=1, kind="stable")
    ordered = np.take_along_axis(proba, order, axis=1)
    likelier = np.zeros_like(proba)
    np.put_along_axis(likelier, order, np.cumsum(ordered, axis=1) - ordered, axis=1)
    return likelier + fractions * proba


def label_scores(probas: Sequence[Floats], kind: LabelScore) -> list[Floats]:
    """Scores of all classes at all rows by each of several models, arrays of shape (n_rows, n_classes).

    A row has one fraction for all models: with one for each, p-values of several models would average to the middle.
    """
    if kind == "lac":
        return [least_ambiguous_scores(proba) for proba in probas]
    fractions = row_fractions(probas[0])
    return [adaptive_scores(proba, fractions) for proba in probas]


def proba_at_target(proba: Floats, class_weight: Floats) -> Floats:
    """Probabilities at the target's class shares, same shape: the smallest sets there are made of them.

    Rows that no class of the target may have stay as they are.
    """
    raw = proba * class_weight
    total = raw.sum(axis=1, keepdims=True)
    return np.divide(raw, total, out=proba.copy(), where=total > 0)
