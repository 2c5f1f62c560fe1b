"""The loop, by the closed form of the coin and by exact sums over the loan applicants."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression, LogisticRegression

from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate import BiasedCoin, LoanApplicants, feedback_loop


def slope(model):
    return model.coef_.item()


def test_retraining_goes_where_the_closed_form_says():
    """theta of each round is mu + eps theta of the one before: .2, .26, .278, ..., .285714. The standard error of a
    slope is at most .5 / sqrt(40000) = .0025; allowed .0125. Loops that forget eps stay at .2, those that jump to the
    optimum reach .5."""
    coin = BiasedCoin(mu=0.2, eps=0.3)
    rounds = feedback_loop(coin, LinearRegression(), n_rounds=6, n_rows=40_000, random_state=0)
    theta = 0.0
    for turn in rounds:
        theta = coin.retrained(theta)
        assert slope(turn.learned) == pytest.approx(theta, abs=0.0125)
        theta = slope(turn.learned)
    assert theta == pytest.approx(0.2 / 0.7, abs=0.0125)


def test_what_is_in_use_has_the_risk_of_the_closed_form():
    """Squared loss of 40000 rows, standard error at most .0013; allowed .0065. The stable point loses .168, the
    optimum .150."""
    coin = BiasedCoin(mu=0.2, eps=0.3)
    for theta in (coin.stable, coin.optimum):
        model = LinearRegression().fit([[-1.0], [1.0]], [0.5 - theta, 0.5 + theta])
        turn = feedback_loop(coin, lambda rounds, model=model: model, n_rounds=2, n_rows=40_000, random_state=1)[1]
        assert np.mean((turn.y - turn.score) ** 2) == pytest.approx(coin.risk(theta), abs=0.0065)


def test_each_round_is_taught_by_the_one_before():
    rounds = feedback_loop(
        LoanApplicants(), LogisticRegression(), n_rounds=3, n_rows=200, threshold=0.5, random_state=0
    )
    assert rounds[0].model is None
    assert rounds[0].score is None
    assert rounds[0].accepted.all()
    for before, after in pairwise(rounds):
        assert after.model is before.learned
        again = LogisticRegression().fit(before.X[before.accepted], before.y[before.accepted])
        assert_array_equal(before.learned.coef_, again.coef_)
        assert_array_equal(after.score, again.predict_proba(after.X)[:, 1])


def test_only_who_is_accepted_leaves_a_label():
    turn = feedback_loop(LoanApplicants(), LogisticRegression(), n_rounds=2, n_rows=500, threshold=0.5, random_state=0)[
        1
    ]
    assert_array_equal(turn.accepted, turn.score >= 0.5)
    assert_array_equal(turn.accept_chance, turn.score >= 0.5)


def test_exploration_accepts_the_refused_at_random():
    """5000 rows of a chance .1 each: standard error of the share .006; allowed .03."""
    turn = feedback_loop(
        LoanApplicants(), LogisticRegression(), n_rounds=2, n_rows=10_000, threshold=0.5, explore=0.1, random_state=0
    )[1]
    refused = turn.score < 0.5
    assert turn.accepted[refused].mean() == pytest.approx(0.1, abs=0.03)
    assert turn.accepted[~refused].all()
    assert_array_equal(np.unique(turn.accept_chance), [0.1, 1.0])


def test_weights_of_known_chances_bring_everybody_back():
    """Mean income of all applicants from those accepted, each standing for 1 / accept_chance: standard error some .03
    with 20000 rows; allowed .12. Accepted rows alone miss by more than .3."""
    turn = feedback_loop(
        LoanApplicants(), LogisticRegression(), n_rounds=2, n_rows=20_000, threshold=0.5, explore=0.1, random_state=0
    )[1]
    accepted, everybody = turn.X[turn.accepted, 0], turn.X[:, 0].mean()
    weighted = np.average(accepted, weights=1 / turn.accept_chance[turn.accepted])
    assert weighted == pytest.approx(everybody, abs=0.12)
    assert accepted.mean() > everybody + 0.3


def test_a_callable_sees_all_rounds():
    seen = []

    def teach(rounds):
        seen.append([turn.number for turn in rounds])
        return LogisticRegression().fit(
            np.concatenate([turn.X for turn in rounds]), np.concatenate([turn.y for turn in rounds])
        )

    feedback_loop(LoanApplicants(), teach, n_rounds=3, n_rows=50, random_state=0)
    assert seen == [[0], [0, 1], [0, 1, 2]]


def test_labels_of_one_class_teach_nothing():
    """A threshold that nobody reaches leaves no labels: the rule stays."""
    rounds = feedback_loop(LoanApplicants(), LogisticRegression(), n_rounds=3, n_rows=60, threshold=1.0, random_state=0)
    assert not rounds[1].accepted.any()
    assert rounds[2].model is rounds[1].model


def test_a_seed_gives_the_same_and_more_rounds_change_no_earlier_one():
    settings = {"n_rows": 100, "threshold": 0.5, "explore": 0.2, "random_state": 5}
    few, many = (feedback_loop(LoanApplicants(), LogisticRegression(), n_rounds=n, **settings) for n in (2, 4))
    for first, second in zip(few, many, strict=False):
        for name in ("X", "y", "accepted", "chance", "ratio"):
            assert_array_equal(getattr(first, name), getattr(second, name))
    other = feedback_loop(LoanApplicants(), LogisticRegression(), n_rounds=1, n_rows=100, random_state=6)
    assert not np.array_equal(few[0].X, other[0].X)


class Own:
    """A population of the reader's own, without a ratio."""

    def __init__(self, **changes):
        self.changes = changes

    def draw(self, rule, n_rows, generator):
        drawn = {"X": generator.normal(size=(n_rows, 1)), "y": np.arange(n_rows) % 2, "chance": np.full(n_rows, 0.5)}
        return tuple((drawn | self.changes).values())


def test_a_population_of_your_own():
    turn = feedback_loop(Own(), LogisticRegression(), n_rounds=2, n_rows=20, random_state=0)[1]
    assert turn.ratio is None
    assert_allclose(turn.chance, 0.5)
    assert "20 rows, 20 accepted" in repr(turn)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_rounds": 0}, "n_rounds=0"),
        ({"n_rows": 0}, "n_rows=0"),
        ({"threshold": 1.5}, "threshold=1.5"),
        ({"threshold": 0.5, "explore": -0.1}, "explore=-0.1"),
        ({"explore": 0.1}, "without a threshold"),
        ({"population": 3}, "int without draw"),
        ({"learner": 3}, "learner is 3"),
        ({"learner": LogisticRegression}, "an estimator such as"),
        ({"population": Own(y=np.full(50, 2.0))}, "y of the population holds 2"),
        ({"population": Own(chance=np.full(50, 1.5))}, "chance of the population"),
        ({"population": Own(X=np.ones((3, 1)))}, "returned 3 rows, and 50"),
        ({"population": type("Bad", (), {"draw": lambda *_: 7})()}, "returned a int"),
        ({"learner": lambda rounds: LogisticRegression().fit([[0, 0], [1, 1]], ["a", "b"])}, "must learn 0 and 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors_say_what_is_needed(settings, words):
    call = {"population": LoanApplicants(), "learner": LogisticRegression(), "n_rounds": 2, "n_rows": 50} | settings
    with pytest.raises(ShiftDataError, match=words):
        feedback_loop(**call)
