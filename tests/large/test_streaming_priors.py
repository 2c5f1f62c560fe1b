"""Streaming priors against those in memory, which have tests of their own."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.exceptions import NotIdentifiedError, ShiftDataError
from shiftfix.label import BBSE, MLLS, label_shift_fit, label_shift_test
from shiftfix.large import StreamingBBSE, StreamingMLLS
from shiftfix.large._score_bins import bounded_cells, unit_cells, weighted_scores
from shiftfix.large._score_sums import Layout, largest_place, unit_scores
from shiftfix.large._units import ArrayPart, Unit
from tests.registry import overlapping_scores

SCORES, Y = overlapping_scores(0, [1 / 3] * 3, 9000)
TARGET, _ = overlapping_scores(1, [0.2, 0.3, 0.5], 6000)
RNG = np.random.default_rng(2)
COUNTS, TARGET_COUNTS = RNG.integers(1, 4, 9000).astype(float), RNG.integers(1, 4, 6000).astype(float)


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_bbse_is_that_of_memory(kind):
    """Hard counts are exact; soft scores are added up in float32 blocks, to seven digits."""
    made = StreamingBBSE(kind, rows_per_unit=2500).fit(
        SCORES, TARGET, label=Y, sample_weight_source=COUNTS, sample_weight_target=TARGET_COUNTS
    )
    reference = BBSE(kind).fit(SCORES, Y, TARGET, sample_weight_source=COUNTS, sample_weight_target=TARGET_COUNTS)
    rtol = 1e-6 if kind == "soft" else 1e-12
    for name in ("target_prior_", "source_prior_", "class_weight_", "joint_confusion_", "conditional_confusion_"):
        assert_allclose(getattr(made, name), getattr(reference, name), rtol=rtol)
    assert_allclose(made.prior_covariance_, reference.prior_covariance_, rtol=1e-4)
    assert_allclose(made.interval(), reference.interval(), rtol=1e-5)
    assert made.verdict_ == reference.verdict_
    assert made.reason_ == reference.reason_
    assert_allclose(made.adjust_proba(TARGET), reference.adjust_proba(TARGET), rtol=1e-5)
    assert made.class_weight() == pytest.approx(reference.class_weight(), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("calibration", ["none", "bcts"])
@pytest.mark.parametrize("max_cells", [5000, 300])
def test_mlls_in_cells_is_near_that_of_rows(calibration, max_cells):
    """With 5000 cells .05 standard errors away, with 300 .2: cells cost precision, and no bias."""
    made = StreamingMLLS(calibration, max_cells=max_cells, rows_per_unit=2500).fit(SCORES, TARGET, label=Y)
    reference = MLLS(calibration, n_bootstrap=0).fit(SCORES, Y, TARGET)
    errors = np.sqrt(np.diag(reference.prior_covariance_))
    assert made.n_cells_ <= max_cells
    assert np.max(np.abs(made.target_prior_ - reference.target_prior_) / errors) < (0.1 if max_cells == 5000 else 0.5)
    assert_allclose(np.sqrt(np.diag(made.prior_covariance_)), errors, rtol=0.02)
    assert made.verdict_ == reference.verdict_ == "ok"


def test_two_classes_in_cells_are_exact_enough():
    p, p_target = SCORES[:, 0] / SCORES[:, :2].sum(axis=1), TARGET[:, 0] / TARGET[:, :2].sum(axis=1)
    pair, pair_target = np.column_stack([p, 1 - p]), np.column_stack([p_target, 1 - p_target])
    kept = Y < 2
    made = StreamingMLLS("none").fit(pair[kept], pair_target, label=Y[kept])
    reference = MLLS("none", n_bootstrap=0).fit(pair[kept], Y[kept], pair_target)
    error = np.sqrt(reference.prior_covariance_[0, 0])
    assert abs(made.target_prior_[0] - reference.target_prior_[0]) < 0.01 * error


@pytest.mark.slow
def test_the_questions_about_label_shift_get_the_answers_of_rows():
    made = StreamingMLLS(max_cells=2000).fit(SCORES, TARGET, label=Y)
    found, reference = made.test_label_shift(), label_shift_test(SCORES, Y, TARGET, n_bootstrap=0)
    assert found.statistic == pytest.approx(reference.statistic, abs=0.5)
    assert found.degrees_of_freedom == reference.degrees_of_freedom
    share, of_rows = made.explain_shift(), label_shift_fit(SCORES, Y, TARGET)
    assert share.passes
    assert share.passes == of_rows.passes
    assert share.explained_share == pytest.approx(of_rows.explained_share, abs=0.05)
    moved = TARGET**3 / (TARGET**3).sum(axis=1, keepdims=True)
    assert StreamingMLLS(max_cells=2000).fit(SCORES, moved, label=Y).test_label_shift().p_value < 1e-6


def test_units_and_their_order_change_no_cell():
    """Whatever is merged with what, a cell's counts are those of all rows."""
    layout = Layout((0.0, 1.0, 2.0), True)
    table = np.column_stack([SCORES, Y])
    whole = unit_cells(Unit(ArrayPart(table, None, ("p",) * 4, "x"), 0, 9000, 0), layout, 400).cells
    boxes = np.floor(np.sqrt(SCORES) * 2**whole.level).astype(int)
    found, counts = np.unique(boxes, axis=0, return_counts=True)
    assert len(found) == len(whole.keys)
    order = np.lexsort(whole.boxes.T[::-1])
    assert np.array_equal(whole.boxes[order], found)
    assert np.array_equal(whole.counts[order].sum(axis=1), counts)
    assert_allclose(whole.sums[:, 1].sum(axis=0), SCORES.sum(axis=0))
    rows = weighted_scores(bounded_cells(whole, 50))
    assert rows.source_counts.sum() == 9000
    assert np.array_equal(np.bincount(rows.labels, weights=rows.source_counts), np.bincount(Y))


def test_ties_go_to_the_first_class():
    Z = np.array([[0.5, 0.2, 0.3], [0.5, 0.4, 0.3], [0.0, 0.4, 0.4]])
    assert largest_place(Z).tolist() == np.argmax(Z, axis=0).tolist() == [0, 1, 2]


@pytest.mark.slow
def test_predicted_labels_of_files(tmp_path):
    """p = (.6, .4), q = (.3, .7): mu = (.41, .59), as in memory's own test."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("polars")
    y = np.repeat([7, 9], [600, 400])
    predicted = np.concatenate([np.repeat([7, 9], [540, 60]), np.repeat([7, 9], [80, 320])])
    pq.write_table(pa.table({"said": predicted, "y": y}), tmp_path / "source.parquet", row_group_size=100)
    pq.write_table(pa.table({"said": np.repeat([7, 9], [41, 59])}), tmp_path / "target.parquet")
    made = StreamingBBSE("hard", rows_per_unit=300).fit(
        tmp_path / "source.parquet", tmp_path / "target.parquet", scores=["said"], label="y"
    )
    assert made.classes_.tolist() == [7, 9]
    assert_allclose(made.target_prior_, [0.3, 0.7], atol=1e-12)
    assert_allclose(made.joint_confusion_, [[0.54, 0.08], [0.06, 0.32]])


REFUSED = {
    "no probabilities": (SCORES * 2, Y, "sum to 2"),
    "negative": (SCORES - [0.9, -0.9, 0], Y, "a score is -0.9"),
    "unknown label": (SCORES, np.where(Y == 2, 5, Y), "3000 labels|labels are none of the classes"),
    "labels missing": (SCORES, None, "label holds the labels"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", [StreamingBBSE, StreamingMLLS])
def test_bad_scores_and_labels_are_named(kind, name):
    scores, labels, message = REFUSED[name]
    with pytest.raises(ShiftDataError, match=message):
        kind(classes=[0, 1, 2]).fit(scores, TARGET, label=labels)


def test_scores_that_tell_nothing():
    flat = np.full((30, 2), 0.5)
    with pytest.raises(NotIdentifiedError):
        StreamingBBSE().fit(flat, flat, label=np.arange(30) % 2)


def test_soft_sums_are_those_of_the_rows():
    layout = Layout((0.0, 1.0, 2.0), True)
    unit = Unit(ArrayPart(np.column_stack([SCORES, Y]), None, ("p",) * 4, "x"), 0, 9000, 0)
    found, _ = unit_scores(unit, layout)
    for k in range(3):
        rows = SCORES[k == Y]
        assert_allclose(found.scores[k], rows.sum(axis=0), rtol=1e-6)
        assert_allclose(found.products[k], rows.T @ rows, rtol=1e-5)
