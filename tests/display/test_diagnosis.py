"""The picture of a diagnosis: each mark is a number of the diagnosis."""

from dataclasses import replace

import pytest
from numpy.testing import assert_allclose

from shiftfix._verdict import Verdict
from shiftfix.display import DiagnosisDisplay
from shiftfix.exceptions import ShiftDataError
from tests.display.helpers import labels, pyplot
from tests.report.helpers import made_diagnosis, shift_test


def names(display):
    return [text.get_text() for text in display.ax_.get_yticklabels()]


def test_each_mark_is_a_number_of_the_diagnosis():
    found = made_diagnosis(names=("age", "ward"))
    display = DiagnosisDisplay.from_diagnosis(found)
    kept, lost = found.overlap.effective_size / found.overlap.n_source, found.overlap.target_lost_mass
    rows = ["samples differ", "most moved: age", "label shift explains", "covariate shift: weights keep"]
    assert names(display) == [*rows, "target beyond the source", "concept shift"]
    moved, unmoved = display.moved_, display.unmoved_
    assert_allclose(moved.get_xdata(), [0.6, 0.5] + ([lost] if lost > 0.05 else []))  # AUC .8 is .6 of the way
    assert list(moved.get_ydata())[:2] == [0, 1]
    assert_allclose(unmoved.get_xdata(), [0.3, kept] + ([] if lost > 0.05 else [lost]))
    # .3 +- 1.96 standard errors of .05.
    assert_allclose(display.intervals_.get_segments()[0][:, 0], [0.202, 0.398])
    words = [text.get_text() for text in display.words_]
    assert words[:3] == ["AUC 0.80, p = 0.001", "p < 0.001, adjusted", "30% of it; label shift does not fit"]
    assert words[-1] == "not known: 0 target labels"
    assert display.ax_.get_title(loc="left") == "caution: leave the model as it is"
    assert labels(display.ax_).splitlines() == ["shown by the data", "not shown"]
    pyplot().close("all")


def test_the_title_is_the_finding_and_axes_that_are_given_are_drawn_on():
    figure, ax = pyplot().subplots()
    found = replace(made_diagnosis(correction="prior"), verdict=Verdict("ok"), concept=shift_test(0.001))
    display = DiagnosisDisplay.from_diagnosis(found, ax=ax)
    assert (display.ax_, display.figure_, display.title) == (ax, figure, "ok: correct the class shares")
    assert display.words_[-1].get_text() == "seen (p = 0.001)"
    assert display.plot().ax_ is not ax
    pyplot().close("all")


def test_what_was_not_asked_has_no_row():
    missing = dict.fromkeys(["samples", "columns", "label_shift", "overlap"])
    display = DiagnosisDisplay.from_diagnosis(made_diagnosis(**missing))
    assert names(display) == ["concept shift"]
    assert display.moved_ is display.unmoved_ is None
    assert display.ax_.get_title(loc="left") == "caution: leave the model as it is"
    pyplot().close("all")


def test_names_of_the_users_are_text():
    display = DiagnosisDisplay.from_diagnosis(
        made_diagnosis(names=("$x^2$ \n" + "long " * 20,), novel=shift_test(0.5, 0.1))
    )
    assert names(display)[1] == "most moved: $x^2$ \\nlong long…"
    assert "rows unlike any class" in names(display)
    display.figure_.canvas.draw()
    pyplot().close("all")


def test_a_fitted_model_is_asked_for_its_diagnosis_and_all_else_is_refused():
    class Model:
        diagnosis_ = made_diagnosis()

    assert DiagnosisDisplay.from_diagnosis(Model()).title == "caution: leave the model as it is"
    for wrong in (None, "diagnosis", {"verdict": "ok"}):
        with pytest.raises(ShiftDataError, match="A ShiftDiagnosis is needed"):
            DiagnosisDisplay.from_diagnosis(wrong)
    pyplot().close("all")
