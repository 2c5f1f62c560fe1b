"""Results print alike: the words of their text are in the notebook's table and in what rich draws."""

import dataclasses
import inspect
import io
import subprocess
import sys
import tempfile
import typing
from functools import cache

import numpy as np
import polars as pl
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

import shiftfix
from shiftfix._printed import Printed, Printout, as_html, printed
from shiftfix._verdict import Verdict
from shiftfix.conformal import ConformalClassifier
from shiftfix.detect import covariate_or_label, diagnose_shift, feature_tests, performance_drop
from shiftfix.label import BBSE, label_shift_fit, label_shift_test, prior_from_labels, prior_table
from shiftfix.large import StreamingLogisticWeighter
from shiftfix.mlp._table_scaler import TableScaler
from shiftfix.report import ShiftReport
from shiftfix.risk import (
    RiskMonitor,
    WeightedScorer,
    certify_no_harm,
    compare_risks,
    iw_cross_val_score,
    plan_labels,
    target_risk,
)
from shiftfix.simulate import LoanApplicants, feedback_loop, gaussian_covariate_shift
from shiftfix.weights import balance_table, summarize_weights

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(300, 2)), RNG.integers(0, 2, 300)
X_TARGET = RNG.normal(0.3, 1, (200, 2))
MODEL = LogisticRegression().fit(X, Y)
GROUPS = (np.where(X[:, 0] > 0, "[red]", "<b>"), np.where(X_TARGET[:, 0] > 0, "[red]", "<b>"))
NAMES = ["<b>age</b>", "[red]height[/red]"]

LABELS_TARGET = RNG.integers(0, 2, 200)
SCORES, SCORES_TARGET = MODEL.predict_proba(X), MODEL.predict_proba(X_TARGET)
LOSSES, LOSSES_TARGET = (MODEL.predict(X) != Y) * 1.0, (MODEL.predict(X_TARGET) != LABELS_TARGET) * 1.0


@cache
def diagnosis():
    return diagnose_shift(X, Y, X_TARGET, LogisticRegression(), random_state=0)


@cache
def grouped():
    return target_risk(MODEL, X, Y, X_TARGET, method="cbpe", n_bootstrap=20, groups=GROUPS)


@cache
def plan():
    return plan_labels(losses=np.arange(20) % 2)


@cache
def summary():
    return summarize_weights(np.ones(300), balance=balance_table(X, X_TARGET, np.ones(300), feature_names=NAMES))


def monitor():
    watched = RiskMonitor(0.9, n_reference=1000, classes=[0, 1], window=200)
    watched.update(np.full((100, 2), [0.1, 0.9]))
    watched.update_labels(np.arange(100), np.zeros(100, dtype=int))
    return watched


def written(folder):
    return StreamingLogisticWeighter().fit(X, X_TARGET).write_weights(pl.DataFrame(X), folder)


# One of each class that a public function, a method or a field of a result gives.
RESULTS = {
    "weights": summary,
    "balance": lambda: balance_table(X, X_TARGET, np.ones(300), feature_names=NAMES),
    "worst balanced": lambda: next(one for one in summary().worst_balanced if "[" in one.name),
    "diagnosis": diagnosis,
    "class share": lambda: diagnosis().class_shares[0],
    "weighting": lambda: diagnosis().effect,
    "samples": lambda: diagnosis().samples,
    "mechanism": lambda: covariate_or_label(SCORES, Y, SCORES_TARGET[:40], LABELS_TARGET[:40]),
    "columns": lambda: feature_tests(X, X_TARGET),
    "column": lambda: feature_tests(X, X_TARGET).columns[0],
    "drop": lambda: performance_drop(LOSSES, LOSSES_TARGET, X, X_TARGET),
    "part": lambda: performance_drop(LOSSES, LOSSES_TARGET, X, X_TARGET).total,
    "risk": lambda: target_risk(MODEL, X, Y, X_TARGET, method="cbpe", n_bootstrap=20),
    "groups": grouped,
    "group": lambda: next(one for one in grouped().groups if one.group == "[red]"),
    "comparison": lambda: compare_risks(MODEL, X, Y, X_TARGET, methods=["source", "cbpe"], n_bootstrap=20, n_worlds=0),
    "no harm": lambda: certify_no_harm(LOSSES_TARGET, np.roll(LOSSES_TARGET, 1)),
    "validation": lambda: iw_cross_val_score(LogisticRegression(), X, Y, weights=np.ones(300)),
    "estimate in use": lambda: monitor().estimate(),
    "alarm": lambda: next(iter(monitor().alarms_.values())),
    "prior": lambda: prior_table(
        BBSE("hard").fit(["<b>", "[red]"] * 20, ["<b>", "[red]"] * 20, ["<b>", "[red]", "<b>"] * 9)
    ),
    "shares by labels": lambda: prior_from_labels(["<b>", "[red]"] * 20),
    "label shift": lambda: label_shift_fit(SCORES, Y, SCORES_TARGET),
    "test of label shift": lambda: label_shift_test(SCORES, Y, SCORES_TARGET, n_bootstrap=99, random_state=0),
    "plan": plan,
    "spread": lambda: plan().spread,
    "coverage": lambda: ConformalClassifier(LogisticRegression(), random_state=0).fit(X, Y).summarize(X_TARGET),
    "simulated": lambda: gaussian_covariate_shift(20, 10, random_state=0),
    "round": lambda: feedback_loop(LoanApplicants(), LogisticRegression(), n_rounds=1, n_rows=50, random_state=0)[0],
    "crowd": lambda: LoanApplicants().draw(None, 50, np.random.default_rng(0)),
    "cells": lambda: LoanApplicants().cells(None),
    "files": lambda: written(tempfile.mkdtemp()),
    "file": lambda: written(tempfile.mkdtemp()).files[0],
}
# A word, a page, and fitted parts: these print as such.
OF_THEIR_OWN = (Verdict, ShiftReport, WeightedScorer, TableScaler)
# Everything public.
PUBLIC = [
    getattr(getattr(shiftfix, folder), name)
    for folder in shiftfix.__all__
    for name in getattr(getattr(shiftfix, folder), "__all__", ())
]


def classes_in(hint):
    """Classes of ours that an annotation names."""
    if inspect.isclass(hint) and hint.__module__.split(".")[0] == "shiftfix":
        yield hint
    for part in typing.get_args(hint):
        yield from classes_in(part)


def returned_by(function):
    hints = typing.get_type_hints(inspect.unwrap(function)) if callable(function) else {}
    return classes_in(hints.get("return"))


def holds_values(thing):
    return hasattr(thing, "_fields") or dataclasses.is_dataclass(thing)


def given_by(thing):
    """Classes of what a public name gives: its result, or those of its methods and public fields."""
    if not inspect.isclass(thing):
        yield from returned_by(thing)
        return
    for name, member in inspect.getmembers(thing):
        if not name.startswith("_"):
            yield from returned_by(member.fget if isinstance(member, property) else member)
    if holds_values(thing):
        for name, hint in typing.get_type_hints(thing).items():
            if not name.startswith("_"):
                yield from classes_in(hint)


def result_classes():
    """All results there are; those within results too. Estimators are none."""
    found, ahead = set(), PUBLIC
    while ahead:
        new = {cls for thing in ahead for cls in given_by(thing) if not issubclass(cls, BaseEstimator)} - found
        found |= new
        ahead = list(new)
    return found - set(OF_THEIR_OWN)


@pytest.fixture(scope="module")
def shown_classes():
    return {type(make()) for make in RESULTS.values()}


@pytest.mark.slow
def test_no_result_is_left_out(shown_classes):
    """A new class of results comes into ``RESULTS`` and so meets the tests below."""
    assert {cls.__name__ for cls in result_classes() - shown_classes} == set()


@pytest.mark.parametrize("cls", sorted(result_classes(), key=lambda cls: cls.__name__), ids=lambda cls: cls.__name__)
def test_every_result_prints_in_notebooks_and_by_rich(cls):
    assert callable(getattr(cls, "_repr_html_", None))
    assert callable(getattr(cls, "__rich__", None))


def test_every_public_named_tuple_is_a_result():
    results = {cls.__name__ for cls in result_classes()}
    assert {thing.__name__ for thing in PUBLIC if hasattr(thing, "_fields")} - results == set()


def by_rich(result):
    console = pytest.importorskip("rich.console").Console(file=io.StringIO(), width=400)
    console.print(result)
    return console.file.getvalue()


def words(text):
    return {word.strip("();,:") for word in text.split()} - {"", "*"}


@pytest.mark.slow
@pytest.mark.parametrize("name", RESULTS)
def test_rich_and_notebook_show_the_words_of_the_text(name):
    result = RESULTS[name]()
    plain, page = str(result), result._repr_html_()
    shown = by_rich(result)
    unescaped = page.replace("&lt;", "<").replace("&gt;", ">").replace("&#x27;", "'").replace("&quot;", '"')
    # Of groups the text is a sentence each, and the table has its numbers.
    missing_by_rich = [word for word in words(plain) if word not in shown]
    missing_on_page = [word for word in words(plain) if word not in unescaped]
    allowed = {"source", "target", "rows", "effective"} if name == "groups" else set()
    effective = {word for word in missing_by_rich if word.isdigit()} if name == "groups" else set()
    assert set(missing_by_rich) - allowed - effective == set()
    assert set(missing_on_page) - allowed - effective == set()


NAMED = ["weights", "balance", "worst balanced", "group", "groups", "prior", "shares by labels"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
def test_names_are_neither_tags_nor_markup(name):
    """ "<b>" must not be bold in a notebook, nor "[red]" red in a terminal."""
    result = RESULTS[name]()
    assert "<b>" not in result._repr_html_()
    assert "[red]" in by_rich(result)


def test_a_result_without_a_table_keeps_its_lines():
    class Lines(Printed):
        def __str__(self):
            return "one <1>\n  two"

    page = Lines()._repr_html_()
    assert "one &lt;1&gt;\n  two" in page
    assert "pre-wrap" in page
    assert by_rich(Lines()) == "one <1>\n  two\n"


def test_a_named_tuple_prints_its_fields():
    @printed
    class Found(typing.NamedTuple):
        name: str
        share: float
        few: np.ndarray
        many: np.ndarray

    found = Found("<b>\n", 0.123456, np.array([0.5, 1.0]), np.ones((7, 2)))
    assert str(found).splitlines() == [
        "name   <b>\\n",
        "share  0.1235",
        "few    0.5, 1",
        "many   array of shape (7, 2)",
    ]
    assert ">0.1235<" in found._repr_html_()
    assert "&lt;b&gt;" in found._repr_html_()
    assert found == Found(*found)
    assert repr(found).startswith("Found(name=")


def test_a_named_tuple_keeps_its_own_words():
    @printed
    class Said(typing.NamedTuple):
        value: float

        def __str__(self):
            return f"{self.value:.0%} of <all>"

    assert str(Said(0.5)) == "50% of <all>"
    assert "50% of &lt;all&gt;" in Said(0.5)._repr_html_()
    assert by_rich(Said(0.5)) == "50% of <all>\n"


def test_heads_and_rows():
    page = as_html(Printout((("a", "1"),), ("name", "value"), head="above", foot=("below",)))
    order = [page.index(word) for word in ("above", "name", "value", ">a<", ">1<", "below")]
    assert order == sorted(order)


@pytest.mark.slow
def test_rich_is_not_imported():
    code = (
        "import sys, numpy as np\n"
        "from shiftfix.weights import summarize_weights\n"
        "found = summarize_weights(np.ones(9)); str(found), found._repr_html_()\n"
        "print([name for name in sys.modules if name.startswith('rich')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
