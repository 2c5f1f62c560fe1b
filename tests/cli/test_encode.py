"""The encoder fills in what scikit-learn's SimpleImputer does."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.impute import SimpleImputer

from shiftfix.cli._encode import fit_encoder


@pytest.mark.parametrize("n_target", [4, 5])
def test_medians_and_indicators(n_target):
    rng = np.random.default_rng(0)
    source, target = (pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc")) for n in (6, n_target))
    source.loc[1, "b"], target.loc[2, "b"], target.loc[0, "c"] = np.nan, np.nan, np.nan
    both = pd.concat([source, target], ignore_index=True)
    imputer = SimpleImputer(strategy="median").fit(both)
    encoder = fit_encoder(source, target, ["a", "b", "c"], [])
    filled = imputer.transform(both)[:, [0, 2, 1]]
    assert_array_equal(encoder.transform(both), np.column_stack([filled, both["b"].isna()]))
    assert list(encoder.transform(both).columns) == ["a", "c", "b", "b missing"]


def test_rows_stay_as_they_are():
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0]})
    encoder = fit_encoder(frame, frame, ["a"], [])
    assert encoder.transform(frame)["a"].tolist() == [1.0, 2.0, 3.0]
    assert frame["a"].isna().sum() == 1
