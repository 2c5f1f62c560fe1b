"""Score tests are those of the label folder, and of one column."""

import numpy as np
import pytest

from shiftfix.detect import feature_tests, score_test
from shiftfix.label import mean_score_test

RNG = np.random.default_rng(0)
SOURCE, TARGET = RNG.dirichlet([2, 1, 1], 150), RNG.dirichlet([1, 2, 1], 100)


@pytest.mark.slow
def test_class_probabilities_by_their_means():
    found = score_test(SOURCE, TARGET, random_state=0)
    assert found.p_value == mean_score_test(SOURCE, TARGET, random_state=0)
    assert found.effect_size == pytest.approx(np.abs(SOURCE.mean(axis=0) - TARGET.mean(axis=0)).sum() / 2)
    assert (found.n_source, found.n_target) == (150, 100)


def test_other_scores_as_a_column():
    found = score_test(SOURCE[:, 0], TARGET[:, 0])
    column = feature_tests(SOURCE[:, :1], TARGET[:, :1])
    assert (found.p_value, found.effect_size) == (column.p_value, column.effect_size)


@pytest.mark.parametrize(("source", "target"), [(SOURCE, TARGET[:, :2]), (SOURCE, TARGET[:, 0]), (SOURCE[:3], TARGET)])
def test_scores_that_do_not_go_together_are_refused(source, target):
    with pytest.raises(ValueError, match="scores_"):
        score_test(source, target)
