"""Results print alike: the words of their text are in the notebook's table and in what rich draws."""

import io
import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from shiftfix._printed import Printed, Printout, as_html
from shiftfix.detect import diagnose_shift
from shiftfix.label import BBSE, prior_table
from shiftfix.risk import compare_risks, plan_labels, target_risk
from shiftfix.weights import balance_table, summarize_weights

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(300, 2)), RNG.integers(0, 2, 300)
X_TARGET = RNG.normal(0.3, 1, (200, 2))
MODEL = LogisticRegression().fit(X, Y)
GROUPS = (np.where(X[:, 0] > 0, "[red]", "<b>"), np.where(X_TARGET[:, 0] > 0, "[red]", "<b>"))
NAMES = ["<b>age</b>", "[red]height[/red]"]

RESULTS = {
    "weights": lambda: summarize_weights(
        np.ones(300), balance=balance_table(X, X_TARGET, np.ones(300), feature_names=NAMES)
    ),
    "balance": lambda: balance_table(X, X_TARGET, np.ones(300), feature_names=NAMES),
    "diagnosis": lambda: diagnose_shift(X, Y, X_TARGET, LogisticRegression(), random_state=0),
    "risk": lambda: target_risk(MODEL, X, Y, X_TARGET, method="cbpe", n_bootstrap=20),
    "groups": lambda: target_risk(MODEL, X, Y, X_TARGET, method="cbpe", n_bootstrap=20, groups=GROUPS),
    "comparison": lambda: compare_risks(MODEL, X, Y, X_TARGET, methods=["source", "cbpe"], n_bootstrap=20, n_worlds=0),
    "prior": lambda: prior_table(
        BBSE("hard").fit(["<b>", "[red]"] * 20, ["<b>", "[red]"] * 20, ["<b>", "[red]", "<b>"] * 9)
    ),
    "plan": lambda: plan_labels(losses=np.arange(20) % 2),
}


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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weights", "balance", "groups", "prior"])
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
