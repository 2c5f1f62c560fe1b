"""The functions that trust their data say what those that check it say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftfix import weights as package
from shiftfix.exceptions import ShiftDataError
from shiftfix.weights import (
    clip_threshold,
    clip_threshold_of,
    clip_weights,
    clip_weights_of,
    summarize_weights,
    summary_of,
)
from tests.strategies import counts, weight_vectors

PLAIN = ["effective_sample_size", "pareto_k", "smooth_weights", "normalize_weights"]


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAIN)
@given(w=weight_vectors(), data=st.data())
def test_both_doors_give_one_answer(name, w, data):
    c = np.maximum(data.draw(counts(w.size)), 1).astype(float)
    checked = getattr(package, name)(w.tolist(), sample_weight=c.tolist())
    assert np.array_equal(checked, getattr(package, f"{name}_of")(w, c))


@pytest.mark.parametrize("clip", ["sqrt", 2.0, "80%", "ess", "pareto", None])
def test_both_doors_clip_and_summarize_alike(clip, rng):
    w, c = rng.exponential(size=60), rng.integers(1, 4, 60).astype(float)
    assert clip_threshold(w, clip, sample_weight=c, min_ess=20) == clip_threshold_of(w, c, clip, 20)
    assert np.array_equal(clip_weights(w, clip, sample_weight=c, min_ess=20), clip_weights_of(w, c, clip, 20))
    assert summarize_weights(w, clip=clip, sample_weight=c, min_ess=20) == summary_of(w, c, clip=clip, min_ess=20)


@pytest.mark.parametrize("clip", [None, "sqrt", "50%", "ess"])
def test_weights_that_are_zero_wherever_rows_count_are_refused(clip):
    with pytest.raises(ShiftDataError, match="zero wherever sample_weight is not"):
        summarize_weights([0, 0, 5.0], sample_weight=[1, 2, 0], clip=clip)
