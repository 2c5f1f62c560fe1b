"""The test of label shift: its size, its power, and what it says."""

import numpy as np
import pytest

from shiftfix.exceptions import ShiftDataError
from shiftfix.label import label_shift_test
from tests.registry import overlapping_scores

SOURCE = [1 / 3] * 3
TARGET = [0.2, 0.3, 0.5]


def moved_scores(seed, n, tilt):
    """Exact posteriors of the three Gaussians of ``overlapping_scores`` when p(x) is multiplied by exp(tilt x_1).

    Every class then moves by tilt along x_1 and has its prior multiplied by exp(tilt centre_1); p(y | x) stays.
    """
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi / 3 * np.arange(3)
    centres = 2 / np.sqrt(3) * np.column_stack([np.cos(angle), np.sin(angle)])
    prior = np.exp(tilt * centres[:, 0])
    y = rng.choice(3, size=n, p=prior / prior.sum())
    x = centres[y] + [tilt, 0] + rng.normal(size=(n, 2))
    density = np.exp(-0.5 * ((x[:, np.newaxis] - centres) ** 2).sum(axis=2))
    return density / density.sum(axis=1, keepdims=True)


class TestLabelShiftTest:
    @pytest.mark.slow
    def test_size_and_power(self):
        """100 problems at level 0.05, n = 500: right rejects 5 +- 2.2; under the tilt of 0.9 nearly all."""
        rejected = np.zeros(2)
        for seed in range(100):
            scores, y = overlapping_scores([seed, 0], SOURCE, 500)
            for k, target in enumerate([overlapping_scores([seed, 1], TARGET, 500)[0], moved_scores(seed, 500, 0.9)]):
                # The bootstrap only where its size matters; the tilt is clear by chi-squared.
                outcome = label_shift_test(scores, y, target, n_bootstrap=0 if k else 99, random_state=seed)
                assert outcome.degrees_of_freedom == 3
                rejected[k] += outcome.p_value <= 0.05
        assert rejected[0] <= 12
        assert rejected[1] >= 90

    @pytest.mark.slow
    def test_the_bootstrap_agrees_with_chi_squared_for_many_rows(self):
        """One p-value of 399 draws: standard error 0.025."""
        scores, y = overlapping_scores(0, SOURCE, 2000)
        for seed in range(2):
            outcome = label_shift_test(scores, y, overlapping_scores(seed + 1, TARGET, 2000)[0], random_state=seed)
            assert outcome.p_value == pytest.approx(outcome.p_value_chi2, abs=0.1)

    def test_counts_are_repeated_rows_and_seeds_repeat(self, rng):
        scores, y = overlapping_scores(5, SOURCE, 200)
        target, _ = overlapping_scores(6, TARGET, 150)
        counts, target_counts = rng.integers(1, 4, 200), rng.integers(0, 3, 150)
        settings = {"n_bootstrap": 49, "random_state": 3}
        weighted = label_shift_test(
            scores, y, target, sample_weight_source=counts, sample_weight_target=target_counts, **settings
        )
        repeated = label_shift_test(
            np.repeat(scores, counts, axis=0),
            np.repeat(y, counts),
            np.repeat(target, target_counts, axis=0),
            **settings,
        )
        assert weighted.statistic == pytest.approx(repeated.statistic, rel=1e-9)
        assert weighted.p_value == pytest.approx(repeated.p_value, abs=0.3)
        again = label_shift_test(
            scores, y, target, sample_weight_source=counts, sample_weight_target=target_counts, **settings
        )
        assert again.p_value == weighted.p_value

    def test_says_what_it_does_not_show(self):
        scores, y = overlapping_scores(5, SOURCE, 200)
        text = str(label_shift_test(scores, y, scores, n_bootstrap=9, random_state=0))
        assert "failure to reject is not evidence of label shift" in text
        assert "3 degrees of freedom" in text

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"y_source": np.zeros(60, int)}, "2 classes|1 classes|scores_source"),
            ({"y_source": np.arange(59) % 3}, "59 labels"),
            ({"scores_target": np.ones((5, 3))}, "probabilities"),
            ({"scores_target": np.full((5, 2), 0.5)}, "2 columns for 3 classes"),
            ({"classes": [0, 1, 5]}, "the classes are"),
            ({"n_bootstrap": -1}, "n_bootstrap=-1"),
            ({"random_state": "a"}, "random_state"),
        ],
    )
    def test_errors(self, change, message):
        scores, _ = overlapping_scores(5, SOURCE, 60)
        given = {"scores_source": scores, "y_source": np.arange(60) % 3, "scores_target": scores} | change
        with pytest.raises(ShiftDataError, match=message):
            label_shift_test(**given)
