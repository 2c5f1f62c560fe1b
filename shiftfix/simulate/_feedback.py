"""Rounds of a model that decides: who comes, and what they show, answers to the rule that is in use.

The textbook's story (Zhang, Lipton, Li & Smola, "Dive into Deep Learning", section 4.7.1): a model learns that
applicants in Oxford shoes repay their loans; when the rule is known, everybody wears them. The framework is Perdomo,
Zrnic, Mendler-Dünner & Hardt (2020), "Performative prediction", ICML: a population D(theta) for each rule theta, and
repeated risk minimization, theta of the next round = argmin of the loss over D(theta of this round).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from shiftfix._door import public
from shiftfix._printed import Printed, printed
from shiftfix._setting_checks import check_count, check_generator, check_number
from shiftfix._validation import check_matrix, check_vector
from shiftfix.exceptions import ShiftDataError

Rule = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@printed
class Crowd(NamedTuple):
    """Who comes in one round, and the truth about them: what ``draw`` of a population returns.

    Attributes
    ----------
    X : ndarray of shape (n_rows, n_features)
    y : ndarray of shape (n_rows,)
        0 or 1.
    chance : ndarray of shape (n_rows,)
        True P(y = 1 | x) under the rule in use.
    ratio : ndarray of shape (n_rows,) or None
        Density of x under the rule / density without any rule, no unit; None where it is not known.

    See Also
    --------
    feedback_loop : Rounds of a rule, a population that answers, and retraining.
    LoanApplicants : Shoes and loans.
    """

    X: NDArray[np.float64]
    y: NDArray[np.int64]
    chance: NDArray[np.float64]
    ratio: NDArray[np.float64] | None = None


@dataclass(frozen=True, repr=False, eq=False)
class FeedbackRound(Printed):
    """One round of :func:`feedback_loop`: the rows, the decisions, and the truth.

    Attributes
    ----------
    number : int
        From 0; in round 0 no rule is in use.
    X : ndarray of shape (n_rows, n_features)
    y : ndarray of shape (n_rows,)
        0 or 1, of all rows. The learner sees those of accepted rows; the others are for the judge.
    chance : ndarray of shape (n_rows,)
        True P(y = 1 | x) in this round.
    ratio : ndarray of shape (n_rows,) or None
        True density of x in this round / in round 0, no unit, where the population tells it.
    score : ndarray of shape (n_rows,) or None
        What the model in use says of the rows, in [0, 1]. None without a model.
    accept_chance : ndarray of shape (n_rows,)
        Chance to be accepted, and so to leave a label. Where it is 0 no weight stands for a row; else
        1 / accept_chance is the true weight of an accepted row, up to a constant.
    accepted : ndarray of bool of shape (n_rows,)
        Rows that leave a label.
    model : fitted model or None
        In use in this round.
    learned : fitted model or None
        In use in the next one. ``model`` itself where the labels of this round held fewer than two classes.

    See Also
    --------
    feedback_loop : Rounds of a rule, a population that answers, and retraining.
    """

    number: int
    X: NDArray[np.float64]
    y: NDArray[np.int64]
    chance: NDArray[np.float64]
    ratio: NDArray[np.float64] | None
    score: NDArray[np.float64] | None
    accept_chance: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    model: Any
    learned: Any

    def __repr__(self) -> str:
        return (
            f"FeedbackRound({self.number}: {len(self.y)} rows, {self.accepted.sum()} accepted and labelled, "
            f"{self.y.mean():.3f} of all are 1)"
        )


class _Policy(NamedTuple):
    """How scores become chances to be accepted; everybody is where there is no threshold."""

    threshold: float | None
    explore: float

    def accept_chance(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.threshold is None:
            return np.ones(len(score))
        return np.where(score >= self.threshold, 1.0, self.explore)


def _scores_of(model: Any, X: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a model says of rows: P(y = 1), or its prediction held within [0, 1]."""
    if not hasattr(model, "predict_proba"):
        return np.clip(check_vector(model.predict(X), "predict(X)", len(X)), 0.0, 1.0)
    of_one = np.flatnonzero(np.asarray(model.classes_) == 1)
    if of_one.size != 1:
        raise ShiftDataError(
            f"The model knows the classes {list(model.classes_)}, and 1 is not one of them: it must learn 0 and 1."
        )
    return check_vector(np.asarray(model.predict_proba(X))[:, of_one[0]], "predict_proba(X)", len(X))


def _announced(model: Any, policy: _Policy) -> Rule | None:
    """What a population learns of the model in use: its scores or, where it decides, the chance to be accepted."""
    if model is None:
        return None
    if policy.threshold is None:
        return lambda X: _scores_of(model, X)
    return lambda X: policy.accept_chance(_scores_of(model, X))


def _check_crowd(crowd: Any, n_rows: int) -> Crowd:
    """What a population of the reader's own has drawn."""
    try:
        X, y, chance, *rest = crowd
    except (TypeError, ValueError):
        raise ShiftDataError(
            f"draw of the population returned a {type(crowd).__name__}: it must return (X, y, chance), or with the "
            "density ratio as a fourth."
        ) from None
    X = check_matrix(X, "X of the population")
    if len(X) != n_rows:
        raise ShiftDataError(f"draw of the population returned {len(X)} rows, and {n_rows} were asked for.")
    labels, chance = check_vector(y, "y of the population", n_rows), check_vector(chance, "chance", n_rows)
    if not np.isin(labels, (0, 1)).all():
        raise ShiftDataError(f"y of the population holds {labels[~np.isin(labels, (0, 1))][0]:g}: 0 and 1 are needed.")
    if not ((chance >= 0) & (chance <= 1)).all():
        raise ShiftDataError(f"chance of the population runs from {chance.min():g} to {chance.max():g}: within [0, 1].")
    ratio = None if not rest or rest[0] is None else check_vector(rest[0], "ratio", n_rows)
    return Crowd(X, labels.astype(np.int64), chance, ratio)


def _teach(learner: Any, rounds: list[FeedbackRound], fresh: FeedbackRound) -> Any:
    """The model of the next round."""
    if not hasattr(learner, "fit"):
        return learner((*rounds, fresh))
    labels = fresh.y[fresh.accepted]
    if np.unique(labels).size < 2:
        return fresh.model
    return clone(learner).fit(fresh.X[fresh.accepted], labels)


def _play(
    population: Any, model: Any, policy: _Policy, n_rows: int, number: int, generator: np.random.Generator
) -> FeedbackRound:
    """One round with a model in use; what is learned from it comes later."""
    crowd = _check_crowd(population.draw(_announced(model, policy), n_rows, generator), n_rows)
    score = None if model is None else _scores_of(model, crowd.X)
    accept_chance = np.ones(n_rows) if score is None else policy.accept_chance(score)
    accepted = generator.random(n_rows) < accept_chance
    return FeedbackRound(number, *crowd, score, accept_chance, accepted, model, None)


def _check_policy(threshold: float | None, explore: float) -> _Policy:
    explore = check_number(explore, "explore", least=0, most=1)
    if threshold is not None:
        return _Policy(float(check_number(threshold, "threshold", least=0, most=1)), float(explore))
    if explore > 0:
        raise ShiftDataError(
            f"explore={explore!r} without a threshold: everybody is accepted, and there is nobody to accept at "
            "random. Pass a threshold, or leave explore out."
        )
    return _Policy(None, 0.0)


@public
def feedback_loop(
    population: Any,
    learner: Any,
    *,
    n_rounds: int = 8,
    n_rows: int = 1000,
    threshold: float | None = None,
    explore: float = 0.0,
    random_state: int | np.random.Generator | np.random.RandomState | None = None,
) -> tuple[FeedbackRound, ...]:
    """Put a model to use, see who comes, retrain on the labels that are left, and again.

    In round 0 no model is in use, everybody is accepted, and every label is seen. In each later round the population
    answers to the model that the round before has taught; only accepted rows leave a label, and those teach the next.

    Parameters
    ----------
    population : LoanApplicants, BiasedCoin, or an object with ``draw(rule, n_rows, generator)``
        ``draw`` returns (X, y, chance) or, with the density ratio to round 0 where it is known, a fourth; see
        ``FeedbackRound`` for what they are. ``rule`` is None in round 0; later a function of rows to numbers in
        [0, 1]: the model's scores or, with a threshold, the chance to be accepted.
    learner : estimator or callable
        An estimator is cloned and fitted to the accepted rows of the last round. A callable gets the tuple of all
        rounds so far and returns a fitted model: to learn from several rounds, with weights, or not at all. Scores are
        P(y = 1) or, without ``predict_proba``, the prediction held within [0, 1].
    n_rounds : int, default=8
        Round 0 included.
    n_rows : int, default=1000
        That come in each round.
    threshold : float in [0, 1], default=None
        Rows with at least this score are accepted. None accepts all.
    explore : float in [0, 1], default=0.0
        Chance of a row below the threshold to be accepted nevertheless. 0 leaves no label of anybody refused.
    random_state : int, RandomState, Generator or None, default=None
        The first rounds are the same, however many follow.

    Returns
    -------
    tuple of FeedbackRound

    Raises
    ------
    ShiftDataError
        For settings out of range, a population without ``draw`` or whose rows are not as described, and a learner that
        can neither be fitted nor called.

    See Also
    --------
    FeedbackRound : One round.
    LoanApplicants : Shoes and loans.
    BiasedCoin : A loop with a closed form.
    concept_shift : P(y given x) moves: the negative control.

    Notes
    -----
    A selection by x alone, such as a threshold, leaves p(y | x) as it is: it is covariate shift between accepted rows
    and all rows, and weights repair it as long as everybody has a chance to be accepted. What people change of x for
    the rule's sake moves p(y | x), and only new labels tell.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from shiftfix.simulate import BiasedCoin
    >>> coin = BiasedCoin(mu=0.2, eps=0.3)
    >>> rounds = feedback_loop(coin, LinearRegression(), n_rows=20_000, random_state=0)
    >>> bool(abs(rounds[-1].learned.coef_[0] - coin.stable) < 0.02)
    True
    """
    if not hasattr(population, "draw"):
        raise ShiftDataError(
            f"population is a {type(population).__name__} without draw: pass LoanApplicants(), BiasedCoin(), or an "
            "object with draw(rule, n_rows, generator)."
        )
    if isinstance(learner, type) or not (hasattr(learner, "fit") or callable(learner)):
        raise ShiftDataError(
            f"learner is {learner!r}: an estimator such as LogisticRegression(), or a function of the rounds so far "
            "that returns a fitted model, is needed."
        )
    n_rounds, n_rows = check_count(n_rounds, "n_rounds"), check_count(n_rows, "n_rows")
    policy, generator = _check_policy(threshold, explore), check_generator(random_state)
    rounds: list[FeedbackRound] = []
    model = None
    for number in range(n_rounds):
        fresh = _play(population, model, policy, n_rows, number, generator)
        model = _teach(learner, rounds, fresh)
        rounds.append(FeedbackRound(**{**vars(fresh), "learned": model}))
    return tuple(rounds)
