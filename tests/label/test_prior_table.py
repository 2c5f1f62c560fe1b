import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from shiftfix.corrected import LabelShiftClassifier
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import BBSE, prior_table

# 100 source rows, 60 of class a, of which 54 are predicted so, and 40 of class b, of which 32 are; of 100 target rows
# 41 are predicted a. The true shares of the target are 0.3 and 0.7.
Y = np.repeat(["a", "a", "b", "b"], [54, 6, 8, 32])
PREDICTED = np.repeat(["a", "b", "a", "b"], [54, 6, 8, 32])
TARGET = np.repeat(["a", "b"], [41, 59])


def example():
    return BBSE("hard").fit(PREDICTED, Y, TARGET)


def test_shares_and_intervals_are_those_of_the_estimate():
    table = prior_table(example(), level=0.9)
    assert_allclose(table.source, [0.6, 0.4])
    assert_allclose(table.target, [0.3, 0.7])
    assert_allclose(np.column_stack([table.low, table.high]), example().interval(0.9))
    assert table.classes.tolist() == ["a", "b"]
    assert len(table) == 2


def test_prints_each_class_with_its_weight():
    """q / p by hand: 0.3 / 0.6 and 0.7 / 0.4."""
    first, *rows, foot = str(prior_table(example())).splitlines()
    assert first.split() == ["class", "source", "target", "interval", "weight"]
    cells = {row.split()[0]: row.split() for row in rows}
    assert (cells["a"][1], cells["a"][2], cells["a"][-1]) == ("0.600", "0.300", "0.5")
    assert (cells["b"][1], cells["b"][2], cells["b"][-1]) == ("0.400", "0.700", "1.75")
    assert foot == "2 of 2 classes moved beyond their 0.95 interval"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_of_a_classifier_its_prior(rng):
    X, y = rng.normal(size=(200, 2)), rng.integers(0, 2, 200)
    model = LabelShiftClassifier(LogisticRegression(), random_state=0).fit(X + y[:, None], y, X_target=X[:80] + 1)
    assert_allclose(prior_table(model).target, model.prior_.target_prior_)


def test_errors():
    with pytest.raises(ShiftDataError, match=r"level=1\.5"):
        prior_table(example(), level=1.5)
    with pytest.raises(ShiftDataError, match="LogisticRegression estimates no class shares"):
        prior_table(LogisticRegression())
    with pytest.raises(NotFittedError):
        prior_table(BBSE())
