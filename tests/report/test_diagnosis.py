"""A diagnosis as a dict: everything it holds, and nothing that JSON lacks."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from shiftfix._verdict import Verdict
from shiftfix.cli._outcome import outcome_code
from shiftfix.corrected import ShiftCorrectedClassifier, ShiftCorrectedRegressor, TargetSample
from shiftfix.detect import ClassShare, ShiftDiagnosis, ShiftTest
from shiftfix.label import LabelShiftFit
from shiftfix.report import (
    diagnosis_record,
    fit_record,
    report_from_record,
    source_weights,
    summary_rows,
    summary_text,
)
from tests.report.test_record import gaussians, run

NOTHING = ShiftDiagnosis(Verdict("ok", ["no shift was detected"], "Deploy, and monitor."), "none", 50, 40, 0, "Ridge")
FOUND = dataclasses.replace(
    NOTHING,
    verdict=Verdict("caution", ["one\nline"], "Label 50."),
    samples=ShiftTest(1.5, 0.25, 0.5, 50, 40, "A test", 7.0),
    label_shift=LabelShiftFit(np.nan, np.inf, 0.1, 0.2, 0.3, 0.5, 0.4, True, False, "unseen"),
    class_shares=(ClassShare("a", 0.5, 0.2, 0.1, 0.9), ClassShare(np.int64(1), np.float64(0.5), np.nan, 0.1, 0.9)),
    gain=(0.1, np.nan),
    seconds=3.0,
)


@pytest.mark.parametrize("diagnosis", [NOTHING, FOUND])
def test_a_record_is_json_and_holds_every_attribute(diagnosis):
    record = diagnosis_record(diagnosis)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    names = {field.name for field in dataclasses.fields(ShiftDiagnosis)}
    assert set(record) == names - {"seconds"} | {"reasons", "action", "lines", "moved"}
    assert [record["verdict"], tuple(record["reasons"])] == [diagnosis.verdict, diagnosis.verdict.reasons]
    assert record["action"] == diagnosis.verdict.action
    printed = [f"{label:<17}{text}" for label, text in record["lines"]]
    assert str(diagnosis).splitlines()[1:] == printed


def test_tests_are_dicts_of_their_own_attributes():
    record = diagnosis_record(FOUND)
    assert record["samples"] == {
        "statistic": 1.5,
        "p_value": 0.25,
        "effect_size": 0.5,
        "n_source": 50,
        "n_target": 40,
        "method": "A test",
        "effect": "effect",
        "note": "",
    }
    assert [record["label_shift"][name] for name in ("explained_share", "explained_share_error")] == [None, None]
    assert record["class_shares"][0] == {"label": "a", "source": 0.5, "estimate": 0.2, "low": 0.1, "high": 0.9}
    assert [record["class_shares"][1][name] for name in ("label", "estimate")] == [1, None]
    assert record["gain"] == [0.1, None]
    assert ["because", r"one\nline"] in record["lines"]


class Fitted:
    """What a record reads of a fitted model, without the fit."""

    def __new__(cls, diagnosis, correction_of="nothing", kind=ShiftCorrectedClassifier, kept=0.7, **learned):
        model = kind(LogisticRegression())
        model.diagnosis_, model.estimator_ = diagnosis, LogisticRegression()
        model.corrector_ = type(
            "Corrector", (), {"correction_": correction_of, "weights_": {"nothing": kept}, **learned}
        )()
        return model


def test_each_correction_is_told():
    y = np.repeat(["a", "b"], 25)
    for correction, words in [
        ("none", "nothing: the model was fitted on the source as it is"),
        ("labels", "the predictions were corrected by 30 target labels: 70% uncorrected, 30% intercept"),
    ]:
        diagnosis = dataclasses.replace(FOUND, correction=correction, n_labels=30 * (correction == "labels"))
        model = Fitted(diagnosis, "70% uncorrected, 30% intercept")
        record = run(fit_record(model, y))
        rows = summary_rows(record)
        assert ("corrected", words) in rows
        assert ("next", "Label 50.") in rows
        assert ("  because", r"one\nline") in rows
        assert [record["shift"], record["correction"]] == ["auto", correction]
        assert record["corrected"] == (correction != "none")
        np.testing.assert_array_equal(source_weights(model, y), np.ones(50))
        shown = [label for label, _ in rows]
        assert ("share of a" in shown) == (correction == "labels")
        assert "effective sample size" not in shown
        assert "rows" in dict(rows)
        assert ("30 of them labelled" in dict(rows)["rows"]) == (correction == "labels")


def test_labels_that_ask_for_no_correction_are_not_called_a_repair():
    """99.4% of the prediction is the model's own: a correction; 99.5% is written as 100%, and none."""
    diagnosis = dataclasses.replace(FOUND, correction="labels", n_labels=30)
    for kept, is_corrected in ((0.994, True), (0.995, False), (1.0, False)):
        record = run(fit_record(Fitted(diagnosis, "100% uncorrected", kept=kept), np.repeat(["a", "b"], 25)))
        assert record["corrected"] is is_corrected
        told = "nothing: by 30 target labels the model predicts best as it is"
        assert (("corrected", told) in summary_rows(record)) is not is_corrected
        assert outcome_code(record) == (6 if is_corrected else 0)
        page = report_from_record(record).to_html()
        assert ("Repaired by labels of target rows" in page) is is_corrected
        assert ("the target labels ask for no correction" in page) is not is_corrected
        assert ("The model is not changed: there is no before and after." in page) is not is_corrected


def test_values_have_no_class_shares():
    diagnosis = dataclasses.replace(NOTHING, class_shares=())
    record = fit_record(Fitted(diagnosis, kind=ShiftCorrectedRegressor), np.arange(50.0))
    assert record["priors"] is None
    assert record["used"] is None


@pytest.mark.slow
def test_a_fitted_model_that_corrects_the_class_shares(rng):
    (X, y), (X_target, _) = gaussians(rng, 0.5, 800), gaussians(rng, 0.9, 500)
    model = ShiftCorrectedClassifier(LogisticRegression()).fit(X, y, X_target)
    assert model.correction_ == "prior"
    record = run(fit_record(model, y))
    corrector = model.corrector_
    np.testing.assert_allclose(source_weights(model, y), (corrector.target_prior_ / corrector.source_prior_)[y])
    assert [prior["target"] for prior in record["priors"]] == corrector.target_prior_.tolist()
    assert [[prior["low"], prior["high"]] for prior in record["priors"]] == model.interval().tolist()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    text = summary_text(record)
    for label, value in summary_rows(record):
        assert f"{label} " in text
        assert f" {value}\n" in text


@pytest.mark.slow
def test_a_fitted_model_that_follows_labels(rng):
    (X, y), (X_target, y_target) = gaussians(rng, 0.5, 300), gaussians(rng, 0.5, 200)
    target = TargetSample(X_target, y=1 - y_target[:50], rows=np.arange(50))
    model = ShiftCorrectedClassifier(LogisticRegression()).fit(X, y, target)
    record = run(fit_record(model, y))
    assert record["used"] == model.corrector_.correction_
    assert [prior["target"] for prior in record["priors"]] == [
        share.estimate for share in model.diagnosis_.class_shares
    ]
