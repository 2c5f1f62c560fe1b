"""Row weights on their way into the loss, against formulas written out in numpy."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from shiftfix.exceptions import LowEffectiveSizeWarning, ShiftDataError
from shiftfix.mlp._training._row_weights import (
    check_row_weights,
    class_weights,
    training_weights,
    warn_of_few_rows,
    weighted_loss,
)
from shiftfix.weights import clip_weights, normalize_weights, temper_weights
from tests.mlp.settings import check_weight_settings

positive = arrays(float, st.integers(1, 30), elements=st.floats(1e-3, 1e3))


class TestWeightedLoss:
    @pytest.mark.slow
    @given(losses=arrays(float, 7, elements=st.floats(-5, 5)), w=arrays(float, 7, elements=st.floats(0, 5)))
    def test_value_and_gradient(self, losses, w):
        """mean(w l), and w / n for the gradient with respect to l."""
        losses = torch.tensor(losses, requires_grad=True)
        found = weighted_loss(losses, torch.tensor(w))
        found.backward()
        assert found.shape == ()
        assert found.item() == pytest.approx(np.mean(w * losses.detach().numpy()), rel=1e-12, abs=1e-12)
        assert_allclose(losses.grad, w / 7, rtol=1e-12)

    def test_it_is_divided_by_rows_and_not_by_weights(self):
        """Batches of one row each: 2 l and l / 2, not l and l."""
        for w in (2.0, 0.5):
            assert weighted_loss(torch.tensor([3.0]), torch.tensor([w])).item() == 3 * w

    def test_batches_of_weights_of_mean_one_average_to_the_weighted_mean(self, rng):
        losses, w = rng.normal(size=12), normalize_weights(rng.exponential(size=12))
        parts = [weighted_loss(torch.tensor(losses[i : i + 3]), torch.tensor(w[i : i + 3])) for i in range(0, 12, 3)]
        assert np.mean(parts) == pytest.approx(np.average(losses, weights=w), rel=1e-12)

    @pytest.mark.parametrize("dtype", [torch.int64, torch.float64, torch.bool])
    def test_weights_of_other_types_count_the_same(self, dtype):
        found = weighted_loss(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1, 0, 1]).to(dtype))
        assert found.dtype == torch.float32
        assert found.item() == pytest.approx(5 / 3)

    @pytest.mark.parametrize(
        ("losses", "w"),
        [
            (torch.ones(3, 1), torch.ones(3)),
            (torch.ones(3), torch.ones(3, 1)),
            (torch.ones(3, 1), torch.ones(3, 1)),
            (torch.tensor(1.0), torch.ones(3)),
            (torch.tensor(1.0), torch.tensor(1.0)),
            (torch.ones(3), torch.ones(2)),
            (torch.ones(0), torch.ones(0)),
        ],
    )
    def test_other_shapes(self, losses, w):
        with pytest.raises(ShiftDataError, match=r"both need to be \(n_rows,\), one loss per row"):
            weighted_loss(losses, w)

    @pytest.mark.parametrize("value", [-1e-9, np.nan, np.inf, -np.inf])
    def test_weights_that_are_none(self, value):
        with pytest.raises(ShiftDataError, match="negative, NaN or infinite weights"):
            weighted_loss(torch.ones(2), torch.tensor([1.0, value]))

    def test_a_loss_of_whole_numbers_would_round_the_weights(self):
        with pytest.raises(ShiftDataError, match=r"a tensor of torch\.int64: a floating-point type"):
            weighted_loss(torch.tensor([1, 2]), torch.tensor([0.5, 1.5]))

    def test_arrays(self):
        """Weights may be one, as normalize_weights returns them; losses may not, for they would have no gradient."""
        loss = torch.tensor([1.0, 2.0], requires_grad=True)
        found = weighted_loss(loss, np.array([0.5, 1.5]))
        found.backward()
        assert found.item() == 1.75
        assert loss.grad.tolist() == [0.25, 0.75]
        with pytest.raises(ShiftDataError, match="loss is a list: a torch tensor is needed"):
            weighted_loss([1.0], torch.ones(1))


class TestCheckRowWeights:
    @pytest.mark.slow
    @given(w=positive, scale=st.sampled_from([1e-300, 1e-6, 1.0, 1e300]))
    def test_the_largest_is_one_and_the_ratios_stay(self, w, scale):
        found = check_row_weights(w * scale, len(w))
        assert found.max() == 1
        assert_allclose(found, w / w.max(), rtol=1e-12)

    def test_none_is_ones(self):
        assert check_row_weights(None, 3).tolist() == [1, 1, 1]

    @pytest.mark.parametrize("w", [[1, -1], [1, np.nan], [0, 0], [1, np.inf], [1, 2, 3], [[1, 2]]])
    def test_unusable(self, w):
        with pytest.raises(ShiftDataError, match="the eval_set's sample_weight"):
            check_row_weights(w, 2, "the eval_set's sample_weight")


class TestTrainingWeights:
    @pytest.mark.slow
    @given(w=positive, exponent=st.floats(0, 1), clip=st.sampled_from([None, 0.5, 2.0, "sqrt", "90%"]))
    def test_clip_of_mean_one_then_power(self, w, exponent, clip):
        u = w if clip is None else clip_weights(normalize_weights(w), clip)
        assert_allclose(training_weights(w, exponent, clip), temper_weights(u, exponent), rtol=1e-12)

    def test_by_hand(self):
        """Weights of mean 1, cut at 1.5, to the power 1/2; the power first would cut 2 at 2.25."""
        w = np.array([1.0, 2.0, 9.0])
        assert_allclose(training_weights(w, 0.5, 1.5), np.sqrt([0.25, 0.5, 1.5]))
        assert_allclose(training_weights(w, 1.0, None), w)
        assert_allclose(training_weights(w, 0.0, "sqrt"), 1)
        assert_allclose(training_weights(w, 1.0, "sqrt"), [0.25, 0.5, np.sqrt(3)])

    @pytest.mark.slow
    @given(w=positive, scale=st.floats(1e-6, 1e6), exponent=st.floats(0, 1))
    def test_a_clip_does_not_see_the_scale(self, w, scale, exponent):
        for clip in (1.3, "sqrt", "75%"):
            assert_allclose(training_weights(scale * w, exponent, clip), training_weights(w, exponent, clip), rtol=1e-9)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (("rows", 1, None), "weighting="),
            (("loss", 1.5, None), "exponent="),
            (("loss", -0.1, None), "exponent="),
            (("loss", 1, 0.0), "clip="),
            (("loss", 1, "100%"), "clip="),
            (("loss", 1, "root"), "clip="),
        ],
    )
    def test_bad_settings(self, settings, message):
        with pytest.raises(ShiftDataError, match=message):
            check_weight_settings(*settings)

    @pytest.mark.parametrize("clip", [None, 2.0, "sqrt", "ess", "pareto", "99.5%"])
    def test_good_settings(self, clip):
        check_weight_settings("resample", 0, clip)
        check_weight_settings("loss", 1, clip)


class TestClassWeights:
    LABELS = np.array(["a", "b", "c"])

    @pytest.mark.slow
    @given(index=arrays(np.int64, 20, elements=st.integers(0, 2)), w=arrays(float, 20, elements=st.floats(0.01, 10)))
    def test_balanced_gives_all_classes_one_weight_and_leaves_the_total(self, index, w):
        index[:3] = [0, 1, 2]
        found = class_weights("balanced", index, w, self.LABELS)
        masses = [(found[index] * w)[index == k].sum() for k in range(3)]
        assert_allclose(masses, w.sum() / 3, rtol=1e-9)

    def test_balanced_by_hand(self):
        """4 rows worth 1 + 3 and 2 + 2 of 8, and 2 classes."""
        found = class_weights("balanced", np.array([0, 0, 1, 1]), np.array([1.0, 3.0, 2.0, 10.0]), np.array([5, 7]))
        assert_allclose(found, [16 / (2 * 4), 16 / (2 * 12)])

    def test_none_and_dict(self):
        index, w = np.array([0, 1, 2]), np.ones(3)
        assert class_weights(None, index, w, self.LABELS).tolist() == [1, 1, 1]
        assert class_weights({"c": 2, "b": 1, "a": 0.5}, index, w, self.LABELS).tolist() == [0.5, 1, 2]
        # A label that no row has is no error.
        assert class_weights({"a": 3, "b": 1, "c": 1, "d": 9}, index, w, self.LABELS).tolist() == [3, 1, 1]
        assert class_weights({np.int64(7): 2, 5: 1}, np.array([0, 1]), w[:2], np.array([5, 7])).tolist() == [1, 2]

    @pytest.mark.parametrize(
        ("class_weight", "message"),
        [
            ({"d": 1.0}, r"no weight for \['a', 'b', 'c'\]: it names \['d'\], and the classes of y are \['a'"),
            ({"a": 1.0, "c": 2.0}, r"no weight for \['b'\].*Name every class"),
            ({}, "Name every class"),
            ({"a": 0.0, "b": 1, "c": 1}, r"class_weight\['a'\]"),
            ({"a": -1.0, "b": 1, "c": 1}, r"class_weight\['a'\]"),
            ({"a": np.nan, "b": 1, "c": 1}, r"class_weight\['a'\]"),
            ({"a": np.inf, "b": 1, "c": 1}, r"class_weight\['a'\]"),
            ("equal", 'None, "balanced" or a dict'),
            ([1, 2, 3], 'None, "balanced" or a dict'),
        ],
    )
    def test_unusable(self, class_weight, message):
        with pytest.raises(ShiftDataError, match=message):
            class_weights(class_weight, np.array([0, 1, 2]), np.ones(3), self.LABELS)

    def test_balanced_needs_every_class(self):
        with pytest.raises(ShiftDataError, match=r"there are none of \['b'\]"):
            class_weights("balanced", np.array([0, 2]), np.ones(2), self.LABELS)


def worth(size, n_rows):
    """Weights of that effective size: one of 1 and n - 1 of x, with (1 + (n - 1) x)^2 = size (1 + (n - 1) x^2)."""
    m = n_rows - 1
    x = min(root.real for root in np.roots([m * m - size * m, 2 * m, 1 - size]) if root.real > 0)
    w = np.full(n_rows, x)
    w[0] = 1
    return w


class TestFewRows:
    @pytest.mark.parametrize(
        ("size", "n_rows", "warns"),
        [(29, 200, True), (31, 200, False), (29, 88, True), (29, 86, False), (4, 11, False), (4, 13, True)],
    )
    def test_training_below_30_rows_and_a_third(self, size, n_rows, warns):
        w = worth(size, n_rows)
        assert w.sum() ** 2 / (w**2).sum() == pytest.approx(size)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            sizes = warn_of_few_rows(7 * w, None)
        assert sizes[0] == pytest.approx(size)
        assert sizes[1] is None
        assert bool(found) is warns
        if warns:
            assert found[0].category is LowEffectiveSizeWarning
            assert f"The weights make {n_rows} training rows worth {size:.1f}" in str(found[0].message)

    @pytest.mark.parametrize(
        ("size", "n_rows", "warns"), [(9, 50, True), (11, 50, False), (9, 28, True), (9, 26, False), (2, 5, False)]
    )
    def test_validation_below_10_rows_and_a_third(self, size, n_rows, warns):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            sizes = warn_of_few_rows(np.ones(100), worth(size, n_rows))
        assert sizes == (pytest.approx(100), pytest.approx(size))
        assert bool(found) is warns
        if warns:
            assert f"The weights make {n_rows} validation rows worth {size:.1f}" in str(found[0].message)
            assert "the best epoch is mostly luck" in str(found[0].message)

    def test_equal_weights_never_warn(self):
        for n_rows in (1, 2, 3, 9, 29):
            assert warn_of_few_rows(np.ones(n_rows), np.ones(n_rows)) == (pytest.approx(n_rows), pytest.approx(n_rows))

    def test_both_at_once(self):
        with pytest.warns(LowEffectiveSizeWarning) as found:
            warn_of_few_rows(worth(5, 100), worth(3, 50))
        assert len(found) == 2
