"""Diagnoses made by hand, and what the tests of the page read of it."""

import html.parser

import numpy as np

from shiftfix._verdict import Verdict
from shiftfix.detect import ClassShare, ColumnShift, FeatureTests, ShiftDiagnosis, ShiftTest
from shiftfix.label import LabelShiftFit
from shiftfix.weights import summarize_weights

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</style><style>body{display:none}</style>",
    "{{ 7 * 7 }}",
    "'; DROP TABLE rows; --",
    "عمر المريض",
    "\u202eevil\u202c",
    "🦊 fox",
    "line\nend\tand \x1b[31mred",
    "a very long name " * 60,
    "</title></script><!--",
    "&lt;b&gt; &amp; http://example.com/?a=1&b=2",
]


def shift_test(p_value=0.001, effect=0.8):
    return ShiftTest(1.0, p_value, effect, 500, 300, "a test", 0.1, "AUC")


def column(name, distance=0.4, kind="number", why=""):
    p_value = 1e-6 if distance > 0.1 else 0.5
    return ColumnShift(name, kind, 9.0, p_value, p_value, distance, why)


def feature_tests_of(columns):
    return FeatureTests(9.0, 1e-6, 0.4, 500, 300, "every column", 0.1, columns=tuple(columns))


def made_diagnosis(names=("age", "ward"), classes=("no", "yes"), correction="none", level="caution", **changes):
    """A diagnosis of which every part is there that the page shows."""
    overlap = summarize_weights(np.linspace(0.2, 1.8, 500), target_weights=np.linspace(0.2, 2.5, 300))
    fit = LabelShiftFit(0.3, 0.05, 6.0, 0.02, 0.08, 1e-5, 0.4, True, correction == "prior", "the reason of the fit")
    share = 1 / len(classes)
    columns = [column(name, 0.5 - 0.4 * i / len(names)) for i, name in enumerate(names)]
    columns.append(column("patient_id", 0.0, "identifier", "a number of its own in every row"))
    action = "Label 50 target rows drawn at random and pass them: they repair what they can."
    parts = {
        "samples": shift_test(),
        "columns": feature_tests_of(columns),
        "scores": shift_test(0.002, 0.3),
        "label_shift": fit,
        "class_shares": tuple(
            ClassShare(name, share, share * (0.5 + i / len(classes)), 0.0, min(3 * share, 1.0))
            for i, name in enumerate(classes)
        ),
        "overlap": overlap,
        "gain": (0.12, 0.02),
        "prior_changes": 0.125,
        "cannot_exclude": (f"that {names[0]} moved unseen",),
    }
    verdict = Verdict(level, [f"the column {names[0]} moved"], action)
    return ShiftDiagnosis(verdict, correction, 500, 300, 0, "LogisticRegression", **(parts | changes))


class PageReader(html.parser.HTMLParser):
    """Elements of a page, their attributes, and the text outside of style."""

    INLINE = frozenset({"a", "bdi", "button", "code", "span", "strong"})
    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.texts, self.unbalanced = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)
        if tag not in self.INLINE:
            self.texts.append(" ")

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join("".join(self.texts).split())

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def ids(self):
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]
