"""A column that only names the rows is named where it is what keeps class shares from being corrected."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shiftfix.corrected import LabelShiftClassifier
from shiftfix.corrected._gate import act_on
from shiftfix.detect import names_of_rows
from shiftfix.exceptions import LabelShiftRejectedWarning
from tests.corrected.test_gate import PASSED, REJECTED, draw

NAMES = ["'a' looks like an identifier", "'b' too"]


def patients(first, rows):
    return pd.DataFrame(rows, columns=["x", "z"]).assign(patient=first + np.arange(len(rows)))


def test_names_follow_the_reason_where_the_fit_does_not_pass():
    with pytest.warns(LabelShiftRejectedWarning, match="something else moved; 'a' looks like an identifier; 'b' too"):
        _, verdict = act_on(REJECTED, "uncorrected", None, NAMES)
    assert verdict.reasons == ("something else moved; 'a' looks like an identifier; 'b' too",)
    assert act_on(PASSED, "uncorrected", None, NAMES)[1].reasons == ()


def test_which_columns_are_named(rng):
    rows = rng.normal(size=(50, 2))
    source, target = patients(1000, rows), patients(5000, rows)
    (named,) = names_of_rows(source, target)
    assert named.startswith("'patient' looks like an identifier, a whole number of its own in every row (1000 to 1049")
    source.loc[1, "patient"] = 1000  # twice: no identifier, yet it tells the samples apart
    (named,) = names_of_rows(source, target)
    assert named.startswith("'patient' has ranges that do not overlap")
    assert names_of_rows(rows, rows[::-1]) == []
    assert names_of_rows(rows[:4], rows) == []  # too few
    assert names_of_rows(np.array(["one text", "another"] * 9), np.array(["a third"] * 9)) == []  # no table


@pytest.mark.slow
def test_an_identifier_left_in_is_named_and_the_prior_left_alone(rng):
    """Class shares moved from .5 to .8, and an id that is 1000 and more here, 5000 and more there, hides it."""
    (X, y), (X_target, _) = draw(rng, 0.5, 300), draw(rng, 0.8, 300)
    model = LabelShiftClassifier(make_pipeline(StandardScaler(), LogisticRegression()))
    with pytest.warns(LabelShiftRejectedWarning, match="'patient' looks like an identifier"):
        model.fit(patients(1000, X), y, patients(5000, X_target))
    assert [model.verdict_, model.corrected_] == ["abstain", False]
    assert "'patient' looks like an identifier" in model.verdict_.reasons[0]
    np.testing.assert_array_equal(model.target_prior_, model.source_prior_)
