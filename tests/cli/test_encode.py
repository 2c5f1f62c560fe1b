"""The encoder fills in what scikit-learn's SimpleImputer does."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.impute import SimpleImputer

from shiftfix.cli._columns import Column, feature_frame
from shiftfix.cli._encode import encoded_rows, fit_encoder


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


@pytest.mark.parametrize("gap", [None, "source", "target"])
@pytest.mark.parametrize("text", [[], ["word"]])
def test_rows_that_need_no_encoding_are_not_copied(gap, text):
    """And others are encoded: with text, with gaps, with the columns in another order."""
    rng = np.random.default_rng(0)
    frames = {name: pd.DataFrame(rng.normal(size=(5, 2)), columns=["a", "b"]) for name in ("source", "target")}
    if gap:
        frames[gap].loc[1, "b"] = np.nan
    for frame in frames.values():
        frame[text] = "x"
    encoder = fit_encoder(frames["source"], frames["target"], ["a", "b"], text)
    for name, frame in frames.items():
        found = encoded_rows(encoder, frame)
        assert (found is frame) == (not text and gap != "source" and gap != name)
        pd.testing.assert_frame_equal(found, encoder.transform(frame), check_dtype=True)
    turned = frames["target"][["b", "a", *text]]
    assert list(encoded_rows(encoder, turned).columns) == list(encoder.transform(turned).columns)


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_numbers_stand_once_and_in_the_order_of_the_columns(order):
    cells = {"a": np.array([1.0, np.nan]), "b": np.array([3.0, 4.0]), "t": np.array(["x", np.nan], object)}
    columns = [Column(name, "source", "number", cells[name]) for name in order]
    frame = feature_frame(columns, 2)
    assert np.shares_memory(frame.to_numpy(), frame[order[0]].to_numpy())
    words = feature_frame([*columns, Column("t", "source", "text", cells["t"])], 2)
    assert list(words.columns) == [*order, "t"]
    pd.testing.assert_frame_equal(words[list(order)], frame)
    for name in order:
        assert_array_equal(frame[name], cells[name])
    assert feature_frame([], 3).shape == (3, 0)
