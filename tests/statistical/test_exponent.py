"""What the exponent chosen by default does where weights help, and where nothing moved."""

import pytest

from tests.statistical.measure_exponent import study


@pytest.mark.slow
def test_most_of_the_gain_is_kept_where_a_line_is_fitted_to_a_curve():
    """250 problems kept 97% of the accuracy and 96% of the log loss at this size."""
    found = study("curve", 0.7, 500, 20)
    assert found["one_points"] > 1
    assert found["kept_points"] > 0.8
    assert found["kept_mn"] > 0.8


@pytest.mark.slow
def test_nothing_is_done_where_nothing_moved():
    """Of 250 problems 2% were weighted: 5 of 20 are no chance."""
    assert study("line", 0.0, 200, 20)["acted"] < 0.25
