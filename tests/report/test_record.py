"""The record of a run: what it says of each meta-estimator, and what JSON can hold of it."""

import json
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression, LogisticRegression

from shiftfix.corrected import CovariateShiftClassifier, CovariateShiftRegressor, LabelShiftClassifier
from shiftfix.exceptions import LabelShiftRejectedWarning
from shiftfix.report import fit_record, run_record, source_weights, summary_rows, summary_text
from shiftfix.report._record import finite
from shiftfix.weights import effective_sample_size, summarize_weights


def gaussians(rng, prior, n):
    y = (rng.random(n) < prior).astype(int)
    return rng.normal(2 * y - 1, 1)[:, np.newaxis], y


def run(fit, **options):
    """A record as the command line makes it."""
    return run_record(
        fit,
        task="classification",
        target_score=None,
        notices=["one column was dropped."],
        source={"file": "s.csv", "sha256": "1" * 64, "rows": 500},
        target={"file": "t.csv", "sha256": "2" * 64, "rows": 300},
        columns={"label": "y", "weight": None, "numeric": ["a"], "text": [], "dropped": []},
        options={"learner": "logistic", "seed": 3, "correction": "adjust"} | options,
    )


@pytest.mark.slow
def test_covariate_shift(rng):
    X, y = gaussians(rng, 0.5, 500)
    counts = rng.integers(1, 4, 500).astype(float)
    model = CovariateShiftClassifier(LogisticRegression(), exponent=1.0)
    model.fit(X, y, X[:300] + 0.3, sample_weight=counts)
    record = fit_record(model, y, sample_weight=counts)
    assert list(record) == ["shift", "verdict", "reasons", "action", "corrected", "weights", "priors", "exponent"]
    assert [record["shift"], record["corrected"], record["priors"]] == ["covariate", True, None]
    assert [record["verdict"], tuple(record["reasons"])] == [model.verdict_, model.verdict_.reasons]
    assert record["verdict"] == "caution"  # nobody asked whether weights help
    assert type(record["verdict"]) is str
    assert record["weights"]["effective_size"] == model.summary_.effective_size
    assert "verdict" not in record["weights"]
    assert source_weights(model, y) is model.weights_
    regressor = CovariateShiftRegressor(LinearRegression()).fit(X, X[:, 0], X[:300] + 0.3)
    assert fit_record(regressor, X[:, 0])["weights"]["n_source"] == 500


@pytest.mark.slow
@pytest.mark.parametrize("correction", ["adjust", "retrain"])
def test_label_shift(correction, rng):
    """Weights q / p by class, whichever way the correction is made."""
    (X, y), (X_target, _) = gaussians(rng, 0.5, 2000), gaussians(rng, 0.9, 1000)
    labels = np.array(["no", "yes"])[y]
    model = LabelShiftClassifier(LogisticRegression(), correction=correction, random_state=0).fit(X, labels, X_target)
    record = fit_record(model, labels)
    weights = source_weights(model, labels)
    assert_allclose(weights, (model.target_prior_ / model.source_prior_)[y])
    assert record["weights"]["effective_size"] == effective_sample_size(weights)
    assert [prior["class"] for prior in record["priors"]] == ["no", "yes"]
    for prior, p, q in zip(record["priors"], model.source_prior_, model.target_prior_, strict=True):
        assert [prior["source"], prior["target"]] == [p, q]
        assert prior["low"] < q < prior["high"]
    assert [record["verdict"], record["reasons"]] == ["ok", []]


@pytest.mark.slow
def test_retraining_on_poor_weights_asks_for_care_and_adjusting_does_not(rng):
    (X, y), (X_target, _) = gaussians(rng, 0.93, 250), gaussians(rng, 0.1, 500)
    models = {
        correction: LabelShiftClassifier(LogisticRegression(), correction=correction, random_state=0).fit(
            X, y, X_target
        )
        for correction in ("adjust", "retrain")
    }
    summary = summarize_weights(source_weights(models["retrain"], y))
    assert summary.verdict != "ok"
    records = {correction: fit_record(model, y) for correction, model in models.items()}
    assert records["adjust"]["verdict"] == "ok"
    assert [records["retrain"]["verdict"], tuple(records["retrain"]["reasons"])] == ["caution", summary.reasons]


@pytest.mark.slow
def test_where_nothing_moved_the_reason_says_so(rng):
    (X, y), (X_target, _) = gaussians(rng, 0.4, 400), gaussians(rng, 0.4, 200)
    model = LabelShiftClassifier(LogisticRegression(), random_state=0).fit(X, y, X_target)
    record = fit_record(model, y)
    assert record["verdict"] == "ok"
    assert record["reasons"] == [
        "no shift was detected: the mean scores of source and target do not differ, p = "
        f"{model.prior_.shift_p_value_:.2g}"
    ]
    assert_array_equal(source_weights(model, y), np.ones(400))
    assert record["weights"]["effective_size"] == 400
    assert "not used" in summary_text(run(record))


@pytest.mark.slow
def test_classes_that_scores_cannot_tell_apart():
    """There is no estimate, hence no interval either."""
    X, y = np.zeros((100, 1)), np.tile([0, 1], 50)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LabelShiftClassifier(LogisticRegression()).fit(X, y, X)
    record = fit_record(model, y)
    assert record["verdict"] == "abstain"
    assert "confusion matrix is singular" in record["reasons"][0]
    assert [prior["low"] for prior in record["priors"]] == [None, None]
    assert "no interval, not used" in summary_text(run(record))


def test_numbers_that_json_lacks_become_none():
    assert finite({"a": [np.inf, 1.5, (np.nan,)], "b": "inf", "c": {"d": -np.inf}}) == {
        "a": [None, 1.5, [None]],
        "b": "inf",
        "c": {"d": None},
    }


def test_a_record_is_json_and_a_text_with_every_line(rng):
    X, y = gaussians(rng, 0.5, 500)
    model = CovariateShiftClassifier(LogisticRegression(), exponent=1.0).fit(X, y, X[:300] + 0.3)
    record = run(fit_record(model, y))
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert set(record["versions"]) >= {"python", "shiftfix", "torch"}
    text = summary_text(record)
    for label, value in summary_rows(record):
        assert f"{label} " in text
        assert f" {value}\n" in text
    assert "notice" in text
    assert "the model was trained on weighted source rows" in text
    scored = record | {"target_score": {"metric": "accuracy", "uncorrected": 0.5, "corrected": 0.75}}
    assert summary_rows(scored)[-1] == ("target accuracy", "0.5000 uncorrected, 0.7500 corrected")
    network = record | {"options": {"learner": "mlp", "hidden": [8, 4], "epochs": 7}}
    assert ("task, learner", "classification, mlp (8, 4 hidden units, at most 7 epochs)") in summary_rows(network)


@pytest.mark.slow
def test_weights_that_are_not_shown_to_help_are_told(rng):
    X, y = gaussians(rng, 0.5, 500)
    record = run(fit_record(CovariateShiftClassifier(LogisticRegression()).fit(X, y, X[:300] + 0.3), y))
    assert [record["verdict"], record["corrected"]] == ["ok", False]
    rows = dict(summary_rows(record))
    assert "weights are not shown to help this model (estimated target loss higher by" in rows["  because"]
    assert rows["corrected"] == "nothing: no weights are needed"
    assert record["weights"]["effective_size"] < 500  # of the weights that were left out


@pytest.mark.slow
def test_a_rejected_label_shift_is_told(rng):
    """Something else moved: no share is used, and the intervals reach over three worlds."""
    (X, y), (X_target, _) = gaussians(rng, 0.5, 1000), gaussians(rng, 0.8, 600)
    X, X_target = (np.column_stack([part, rng.normal(i, 1, len(part))]) for i, part in enumerate((X, X_target)))
    with pytest.warns(LabelShiftRejectedWarning):
        model = LabelShiftClassifier(LogisticRegression(), random_state=0).fit(X, y, X_target)
    record = run(fit_record(model, y))
    assert [record["verdict"], record["corrected"]] == ["abstain", False]
    assert "causes" in record["action"]
    rows = dict(summary_rows(record))
    assert rows["  because"] == model.label_shift_fit_.reason
    assert rows["corrected"] == "nothing: the source's class shares were kept"
    assert rows["share of 1"].endswith("not used)")
    assert [[prior["low"], prior["high"]] for prior in record["priors"]] == model.interval().tolist()
    assert_array_equal(source_weights(model, y), np.ones(1000))


def test_of_a_power_of_the_weights_the_numbers_are_those_that_were_used(rng):
    """Half the power: the effective size by its formula from the weights that are written."""
    X, y = gaussians(rng, 0.5, 500)
    model = CovariateShiftClassifier(LogisticRegression(), exponent=0.5).fit(X, y, X[:300] + 0.5)
    record = run(fit_record(model, y))
    w = source_weights(model, y)
    assert record["exponent"] == 0.5
    assert record["weights"]["effective_size"] == pytest.approx(w.sum() ** 2 / (w @ w))
    assert record["weights"]["max_weight"] == pytest.approx(w.max() / w.mean())
    assert record["weights"]["effective_size"] > model.summary_.effective_size
    assert record["weights"]["worst_balanced"] is None
    assert dict(summary_rows(record))["effective sample size"].endswith("the weights to the power 0.5, which are used")
    left_out = run(fit_record(CovariateShiftClassifier(LogisticRegression(), exponent=0.0).fit(X, y, X[:300] + 0.5), y))
    assert dict(summary_rows(left_out))["effective sample size"].endswith("of the weights, which are not used")
