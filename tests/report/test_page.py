"""The page: its order, what it says of each record, and that nothing of the user's is ever more than text."""

import copy
import json
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from shiftfix.corrected import (
    CovariateShiftClassifier,
    FewLabelRegressor,
    LabelShiftClassifier,
    ShiftCorrectedClassifier,
    TargetSample,
)
from shiftfix.exceptions import MissingDependencyError, ShiftDataError
from shiftfix.report import (
    ShiftReport,
    diagnosis_record,
    fit_record,
    report_from_record,
    report_record,
    run_record,
    shift_report,
)
from shiftfix.report._render import page_template
from tests.report.helpers import HOSTILE, PageReader, made_diagnosis, shift_test

SECTIONS = ["samples", "moved", "matters", "kind", "usable", "gain", "next", "reproduce", "glossary"]
LARGEST = 300_000


def frames(rng, n_source=400, n_target=300, shift=1.0):
    """Two frames whose first column moves, and labels that follow it."""
    X = pd.DataFrame(rng.normal(size=(n_source, 3)), columns=["age", "pressure", "height"])
    X_target = pd.DataFrame(rng.normal([shift, 0, 0], 1, (n_target, 3)), columns=X.columns)
    y, y_target = (np.where(Z["age"] + rng.normal(size=len(Z)) > 0, "ill", "well") for Z in (X, X_target))
    return X, y, X_target, y_target


def read(report):
    return PageReader(report.to_html())


def test_the_order_is_that_in_which_one_decides():
    page = read(shift_report(made_diagnosis()))
    assert [a["id"] for a in page.of("section")] == SECTIONS
    assert not page.unbalanced
    assert not page.open
    assert len(set(page.ids())) == len(page.ids())
    text = page.text
    wanted = ["Leave the model as it is", "With care", "Next:", "Did the data change?", "Which kind", "The two samples"]
    places = [text.index(words) for words in wanted]
    assert places == sorted(places)


def test_every_link_and_every_explanation_leads_somewhere():
    page = read(shift_report(made_diagnosis()))
    ids = set(page.ids())
    assert {a["href"][1:] for a in page.of("a")} <= ids
    terms = [a["popovertarget"] for a in page.of("button")]
    assert len(terms) > 10
    assert set(terms) <= ids
    assert all("aria-label" in a for a in page.of("svg"))


def test_numbers_are_told_in_words():
    text = read(shift_report(made_diagnosis())).text
    assert "of 100 pairs of one row each, it tells 80 the right way round" in text
    assert "AUC 0.80, p = 0.001" in text
    summary = made_diagnosis().overlap
    assert f"tell as much as {summary.effective_size:.3g} unweighted ones" in text
    assert f"source rows stand for {1 - summary.target_lost_mass:.1%} of the target" in text
    assert "−0.12 (−0.16 to −0.081)" in text  # the gain of .12 +- .02 as a change of the loss
    assert "New class shares: 12.5% of the predicted classes" in text
    assert "patient_id: identifier, a number of its own in every row" in text


def test_how_good_the_model_is_where_it_comes_from_is_told():
    text = read(shift_report(made_diagnosis(source_loss=(0.25, 0.01)))).text
    assert "On source rows that it was not fitted with the model is right in 75.0% ± 1.0%." in text
    text = read(shift_report(made_diagnosis(source_loss=(6.25, 0.1), is_class=False))).text
    assert "the model's root mean squared error is 2.5." in text
    assert "not fitted with" not in read(shift_report(made_diagnosis())).text


def test_a_gain_without_an_error_is_no_interval():
    """Of one row there is none, and the page is there all the same."""
    assert "What weights would bring" not in read(shift_report(made_diagnosis(gain=(0.1, np.nan)))).text


@pytest.mark.parametrize(
    ("correction", "level", "headline"),
    [
        ("none", "ok", "Leave the model as it is"),
        ("none", "abstain", "Not repairable with these data"),
        ("weights", "caution", "Can be repaired: train on weighted source rows"),
        ("prior", "caution", "Can be repaired: correct the class shares"),
        ("labels", "ok", "The target labels decide how far it is corrected"),
    ],
)
def test_the_headline_says_what_to_do(correction, level, headline):
    page = read(shift_report(made_diagnosis(correction=correction, level=level)))
    assert headline in page.text
    assert next(a for a in page.of("header"))["class"] == f"verdict tone-{level}"


def test_an_estimate_that_takes_a_label_shift_for_granted_is_left_out_where_there_is_none():
    without, granted = (read(shift_report(made_diagnosis(correction=c))).text for c in ("none", "prior"))
    assert "25.0% (0.0% to 100.0%)" not in without
    assert "25.0% (0.0% to 100.0%)" in granted
    assert "The reason of the fit." in granted
    assert "known to within ± 50.0% of the target" in granted


def test_what_was_not_asked_is_said():
    missing = dict.fromkeys(["samples", "columns", "scores", "label_shift", "overlap", "gain", "prior_changes"])
    text = read(shift_report(made_diagnosis(**missing, class_shares=(), cannot_exclude=()))).text
    for words in ["No test of the rows was made", "Columns were not compared", "No weights were estimated"]:
        assert words in text
    assert "Columns are not drawn: pass X_source and X_target" in text


def test_many_notices_are_counted():
    record = shift_report(made_diagnosis()).to_dict() | {"notices": [f"notice {i}." for i in range(40)]}
    page = read(report_from_record(record))
    assert "notice 9." in page.text
    assert "notice 10." not in page.text
    assert "30 more notices" in page.text


def test_novel_rows_and_too_small_p_values_are_told():
    text = read(shift_report(made_diagnosis(novel=shift_test(1e-9, 0.2), samples=shift_test(1e-9)))).text
    assert "some 20.0% of the target rows lie beyond" in text
    assert "p < 0.001" in text


# Every place that a user's text can reach.
def hostile_report():
    diagnosis = made_diagnosis(names=HOSTILE, classes=HOSTILE)
    record = shift_report(diagnosis).to_dict() | {
        "model": HOSTILE[0],
        "settings": {HOSTILE[0]: HOSTILE[1], "random_state": HOSTILE[2]},
        "options": {"seed": HOSTILE[0], "learner": HOSTILE[3]},
        "notices": HOSTILE,
        "source": {"file": HOSTILE[1], "rows": 500, "sha256": HOSTILE[0]},
        "target": {"file": HOSTILE[0], "rows": 300, "sha256": HOSTILE[2]},
        "columns": {"label": HOSTILE[0], "numeric": HOSTILE, "text": HOSTILE},
        "used": HOSTILE[0],
        "versions": {HOSTILE[0]: HOSTILE[1], "shiftfix": HOSTILE[2]},
        "target_score": {"metric": HOSTILE[0], "uncorrected": 0.5, "corrected": 0.6},
        "shares": {HOSTILE[0]: 0.5},
        "pictures": {
            "columns": [
                {"name": HOSTILE[i], "kind": "category", "names": HOSTILE[:6], "source": [0.1] * 6, "target": [0.2] * 6,
                 "more": 3, "missing": [0.1, 0.2]}
                for i in range(len(HOSTILE))
            ],
            "ratio": None,
        },
    }  # fmt: skip
    return report_from_record(record)


def test_nothing_of_the_users_is_more_than_text():
    report = hostile_report()
    page, raw = read(report), report.to_html()
    plain = read(shift_report(made_diagnosis()))
    assert not page.unbalanced
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in plain.elements} | {"figure", "figcaption", "text"}
    assert page.of("img") == page.of("script") == []
    assert len(page.of("style")) == len(page.of("title")) == 1
    attributes = {name for _, found in page.elements for name in found}
    assert not {name for name in attributes if name.startswith("on")} | ({"src", "style", "action"} & attributes)
    # As text it is there, and what a terminal or an editor would obey is spelled out.
    for name in HOSTILE[:6]:
        assert name in page.text
    for character in ("\u202e", "\x1b"):
        assert character not in raw
    assert "49" not in [word for word in page.text.split() if "{{" in word]
    assert len(raw.encode()) < LARGEST


def test_the_page_asks_for_nothing():
    page = read(shift_report(made_diagnosis()))
    raw = shift_report(made_diagnosis()).to_html()
    assert "http:" not in raw
    assert "https:" not in raw
    assert "url(" not in raw
    assert "@import" not in raw
    policy = next(a["content"] for a in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert all(a["href"] == "data:," for a in page.of("link"))


def test_thousands_of_columns_and_classes_fit_on_the_page():
    names, classes = [f"gene_{i:05d}" for i in range(5000)], [f"class {i}" for i in range(1000)]
    report = shift_report(made_diagnosis(names=names, classes=classes))
    raw, text = report.to_html(), read(report).text
    assert len(raw.encode()) < LARGEST / 3
    assert "Of 5,000 columns" in text
    assert "4,988 more are not" in text
    assert "12 of 1,000 classes are listed" in text
    assert len(report.to_dict()["diagnosis"]["columns"]["columns"]) == 5001  # the record holds them all


@pytest.mark.slow
def test_a_model_with_its_data(rng):
    X, y, X_target, y_target = frames(rng)
    model = ShiftCorrectedClassifier(LogisticRegression()).fit(X, y, X_target=X_target)
    report = shift_report(model, X_source=X, y_source=y, X_target=X_target, y_target=y_target)
    record, page = report.to_dict(), read(report)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["pictures"]["columns"][0]["name"] == "age"
    assert len(page.of("figure")) == 3
    assert record["before_after"][0]["after"]["value"] == pytest.approx(model.score(X_target, y_target))
    assert f"{model.score(X_target, y_target):.3g} (" in page.text
    assert (record["expected"] != []) == (model.correction_ == "prior") == ("Accuracy to expect without" in page.text)
    assert record["settings"]["cv"] == "3"
    assert record["source"] | record["target"] == record["target"] | {"sha256_labels": None}
    assert "ShiftCorrectedClassifier" in page.text
    again = report_from_record(json.loads(json.dumps(record)))
    assert again.to_html() == report.to_html()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.LabelShiftRejectedWarning")
def test_every_meta_estimator_has_a_page(rng):
    X, y, X_target, y_target = frames(rng)
    few = TargetSample(X_target, y=y_target[:40], rows=range(40))
    values = TargetSample(X_target, y=X_target["age"].to_numpy()[:40], rows=range(40))
    models = [
        ShiftCorrectedClassifier(LogisticRegression()).fit(X, y, X_target=few),
        CovariateShiftClassifier(LogisticRegression(), exponent=1.0).fit(X, y, X_target),
        LabelShiftClassifier(LogisticRegression(), on_reject="correct").fit(X, y, X_target),
        FewLabelRegressor(Ridge()).fit(X, X["age"].to_numpy(), X_target=values),
    ]
    assert models[0].corrector_.weights_["nothing"] > 0.995 > models[3].weights_["nothing"]
    wanted = [
        "The model is left as it is: the target labels ask for no correction",
        "Repaired: trained on weighted source rows",
        "Repaired: the class shares are corrected",
        "Repaired by labels of target rows",
    ]
    for model, words in zip(models, wanted, strict=True):
        report = shift_report(model)
        json.dumps(report.to_dict(), allow_nan=False)
        assert words in read(report).text
    scored = report_record(models[3], X_target=values, y_target=X_target["age"])
    assert {row["n_rows"] for row in scored["before_after"]} == {260}  # not those that were learned from
    assert "40 target labels were learned from" in scored["notices"][-1]
    covariate = shift_report(models[1], X_source=X, X_target=X_target)
    assert covariate.to_dict()["columns_tested"]["columns"][0]["name"] == "age"
    assert len(read(covariate).of("figure")) == 4  # the columns, and the ratio


def test_the_record_of_a_run_on_files():
    """As the command writes it: the diagnosis alone, or with what was fitted."""
    diagnosis = diagnosis_record(made_diagnosis())
    parts = {
        "task": "classification",
        "target_score": None,
        "notices": ["one column was dropped."],
        "source": {"file": "a b.csv", "sha256": "1" * 64, "rows": 500},
        "target": {"file": "t.csv", "sha256": "2" * 64, "rows": 300},
        "columns": {"label": "got ill", "numeric": ["age"], "text": []},
        "options": {"seed": 3, "learner": "logistic"},
    }
    for fit in ({"diagnosis": diagnosis}, {"verdict": "ok", "reasons": [], "action": "", "diagnosis": diagnosis}):
        text = read(report_from_record(run_record(fit, **parts))).text
        assert "one column was dropped." in text
        assert "a b.csv" in text
        assert "1" * 64 in text
        assert "seed (seed) 3" in text
    assert (
        "shiftfix correct 'a b.csv' t_labelled.csv --label 'got ill' --learner logistic --seed 3"
        " --target-labels known_label --out repaired_by_labels"
        in read(report_from_record(run_record({"diagnosis": diagnosis}, **parts))).text
    )


@pytest.mark.slow
@pytest.mark.parametrize("action", ["label", "drop", "drop positions", "deploy", "deploy fitted", "fit"])
def test_the_code_of_the_next_action_runs(action, rng, tmp_path, monkeypatch, capsys):
    X, y, X_target, y_target = frames(rng, 150, 120)
    names = {"X_source": X, "y_source": y, "X_target": X_target, "estimator": LogisticRegression()}
    diagnosis = made_diagnosis(names=("age",))
    record = diagnosis_record(diagnosis) | {"task": "classification"}
    record = {"verdict": "ok", "reasons": [], "action": diagnosis.verdict.action, "diagnosis": record}
    if action.startswith("drop"):
        record["action"] = "Drop 'patient_id', and diagnose again."
        names |= {"X_source": X.assign(patient_id=1.0), "X_target": X_target.assign(patient_id=2.0)}
    if action == "drop positions":
        record["diagnosis"]["columns"]["columns"][-1]["name"] = "column 3"
        names |= {name: names[name].to_numpy() for name in ("X_source", "X_target")}
    if action.startswith("deploy"):
        record |= {"action": "Deploy, and monitor."} | ({"corrected": True} if "fitted" in action else {})
        names["model"] = LogisticRegression().fit(X, y)
    if action == "fit":
        record |= {"action": "", "correction": "weights"}
    code = PageCode(report_from_record(record).to_html()).code
    monkeypatch.chdir(tmp_path)
    names["label"] = lambda rows: y_target[rows]
    exec(compile(code, "next", "exec"), names)
    if action == "label":
        assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
        assert names["model"].correction_ == "labels"
        assert len(names["rows"]) == 50
    if action.startswith("drop"):
        assert names["X_source"].shape[1] == 3


class PageCode(PageReader):
    """The text of the one element ``code``."""

    def __init__(self, page):
        self.code = ""
        super().__init__(page)

    def handle_data(self, data):
        if self.open and self.open[-1] == "code":
            self.code += data


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    report, path = shift_report(made_diagnosis()), tmp_path / "report.html"
    report.save(path)
    assert path.read_text(encoding="utf-8") == report.to_html()
    assert report.to_html().startswith("<!doctype html>")
    with pytest.raises(FileExistsError):
        report.save(path, overwrite=False)
    with pytest.raises(ShiftDataError, match="missing"):
        report.save(tmp_path / "missing" / "report.html")
    broken = ShiftReport({"verdict": "ok", "reasons": 7, "action": ""})
    with pytest.raises(ShiftDataError, match="cannot be shown"):
        broken.save(path)
    assert path.read_text(encoding="utf-8") == report.to_html()
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]


def test_a_notebook_gets_a_frame_that_its_style_cannot_leave():
    shown = shift_report(made_diagnosis())._repr_html_()
    frame = PageReader(shown)
    assert [tag for tag, _ in frame.elements] == ["iframe"]
    assert frame.of("iframe")[0]["sandbox"] is None  # no scripts, no origin
    assert frame.of("iframe")[0]["srcdoc"] == shift_report(made_diagnosis()).to_html()
    assert repr(shift_report(made_diagnosis())) == "ShiftReport(verdict='caution'); .save(path) writes the page"


def test_the_record_is_the_reports_own():
    report = shift_report(made_diagnosis())
    given = report.to_dict()
    before = copy.deepcopy(given)
    report.to_dict()["verdict"] = "changed"
    assert report.to_dict() == before == given
    again = report_from_record(given)
    given["diagnosis"]["n_source"] = -1
    assert again.to_dict() == before


def test_what_cannot_be_shown_is_refused(rng):
    X, y, X_target, _ = frames(rng, 40, 30)
    for wrong in (LogisticRegression(), "model", None, {"verdict": "ok"}):
        with pytest.raises(ShiftDataError, match="ShiftDiagnosis or a fitted meta-estimator"):
            shift_report(wrong)
    for wrong in ({}, [], None, {"rows": 3}):
        with pytest.raises(ShiftDataError, match="A record with a verdict"):
            report_from_record(wrong)
    with pytest.raises(ShiftDataError, match="X_target has 30 rows, and the diagnosis was made with 300"):
        shift_report(made_diagnosis(), X_target=X_target)
    with pytest.raises(ShiftDataError, match="X_source has 40 rows and y_source 39"):
        shift_report(made_diagnosis(), X_source=X, y_source=y[1:])
    with pytest.raises(ShiftDataError, match="y_target needs the rows"):
        shift_report(made_diagnosis(), y_target=y)
    with pytest.raises(ShiftDataError, match="KeyError: 'correction'"):
        report_from_record(diagnosis_record(made_diagnosis()) | {"diagnosis": {"columns": {}, "n_labels": 0}}).to_html()


def test_without_jinja2_it_says_what_to_install(monkeypatch):
    page_template.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    report = shift_report(made_diagnosis())
    assert report.to_dict()["verdict"] == "caution"
    with pytest.raises(MissingDependencyError, match=r"shiftfix\[report\]"):
        report.to_html()


def test_labels_are_needed_for_weights_that_the_model_does_not_keep(rng):
    X, y, X_target, _ = frames(rng, 60, 60, 0)
    model = LabelShiftClassifier(LogisticRegression()).fit(X, y, X_target)
    assert fit_record(model)["weights"] is None
    assert fit_record(model, y)["weights"]["n_source"] == 60
    assert fit_record(model) | {"weights": None} == fit_record(model, y) | {"weights": None}
