"""Draw `decision_tree.svg` and `decision_tree_narrow.svg`: from what is known of two samples to what to take.

`python notebooks/pictures/decision_tree.py` writes them beside this file. They have no fixed colors: those of the page
they stand in, light or dark, reach them by CSS variables, with fallbacks for a page that has none. No word is a path,
so that it is found by a search and read aloud.
"""

from html import escape
from pathlib import Path

WIDTH, STEP = 900, 104
QUESTION, ANSWER = (330, 64), (380, 64)
LEFT, RIGHT = 40, 500
# On a narrow screen answers stand below their questions.
NARROW_WIDTH, NARROW_STEP, ANSWER_BELOW = 440, 206, 98

# A question, the answer that leads to the right and what is found there, with the page of the reference; the other
# answer leads on down.
TREE = [
    (
        ["Do you have labels of 25", "or more target rows?"],
        "yes",
        ["FewLabelClassifier, FewLabelRegressor", "whatever moved; 100 are better"],
        "api/shiftfix.corrected.FewLabelClassifier.html",
    ),
    (
        ["Could the same row have", "another label over there?"],
        "yes",
        ["concept shift: no weight repairs it", "label target rows; plan_labels says how many"],
        "api/shiftfix.risk.plan_labels.html",
    ),
    (
        ["Does y cause x, and did only the", "shares of the classes move?"],
        "I know",
        ['LabelShiftClassifier(causes="label")', "new class shares, no retraining needed"],
        "api/shiftfix.corrected.LabelShiftClassifier.html",
    ),
    (
        ["Did only x move, and does", "x cause y?"],
        "I know",
        ["CovariateShiftClassifier, ...Regressor", "weights, as far as they are shown to pay"],
        "api/shiftfix.corrected.CovariateShiftClassifier.html",
    ),
    (
        ["Are there source rows", "where the target is?"],
        "no",
        ["no overlap: verdict abstain", "the model is left alone; label target rows"],
        "limits.html",
    ),
]
LAST = (
    ["ShiftCorrectedClassifier, ...Regressor", "diagnoses; corrects what is supported"],
    "api/shiftfix.corrected.ShiftCorrectedClassifier.html",
)
HEAD = ' class="head"'
STYLE = """
.tree text { font: 15px system-ui, sans-serif; fill: var(--pst-color-text-base, #1b2a3a); text-anchor: middle; }
.tree .head { font-weight: 600; }
.tree .way { font-style: italic; font-size: 14px; }
.tree .ask { fill: var(--pst-color-surface, #eef3f8); stroke: var(--pst-color-border, #8aa0b5); }
.tree .take { fill: var(--pst-color-background, #fff); stroke: var(--pst-color-primary, #1f4e79); stroke-width: 2; }
.tree .line { stroke: var(--pst-color-text-muted, #53677a); fill: none; stroke-width: 1.5; }
.tree .tip { fill: var(--pst-color-text-muted, #53677a); }
.tree a:focus rect, .tree a:hover rect { stroke-width: 4; }
"""


def words(lines: list[str], x: float, y: float, look: str = "") -> str:
    """Two centred lines, the first one in the look of a class."""
    first, second = (escape(line) for line in lines)
    return f'<text{look} x="{x}" y="{y}">{first}</text><text x="{x}" y="{y + 22}">{second}</text>'


def question(lines: list[str], top: float) -> str:
    """A rounded box on the left."""
    wide, high = QUESTION
    box = f'<rect class="ask" x="{LEFT}" y="{top}" width="{wide}" height="{high}" rx="30"/>'
    return box + words(lines, LEFT + wide / 2, top + 28)


def answer(lines: list[str], link: str, top: float, left: float) -> str:
    """A square box that leads to a page."""
    wide, high = ANSWER
    box = f'<rect class="take" x="{left}" y="{top}" width="{wide}" height="{high}" rx="4"/>'
    return f'<a href="{link}">{box}{words(lines, left + wide / 2, top + 28, HEAD)}</a>'


def arrow(x1: float, y1: float, x2: float, y2: float, word: str) -> str:
    """A straight arrow, to the right or down, with the answer that leads along it."""
    line = f'<path class="line" d="M{x1} {y1} L{x2} {y2}"/>'
    if y1 == y2:
        tip = f'<path class="tip" d="M{x2 + 9} {y2} l-10 -5 v10 z"/>'
        return line + tip + f'<text class="way" x="{(x1 + x2) / 2}" y="{y1 - 8}">{word}</text>'
    tip = f'<path class="tip" d="M{x2} {y2 + 9} l-5 -10 h10 z"/>'
    return line + tip + f'<text class="way" x="{x1 + 44}" y="{(y1 + y2) / 2 + 8}">{word}</text>'


def otherwise(way: str) -> str:
    """The answer that leads on."""
    return {"no": "yes", "yes": "no"}.get(way, "not sure")


def told() -> str:
    """The whole tree in words, for those who do not see it."""
    steps = "; ".join(f"{' '.join(asked)} {way}: {' '.join(found)}" for asked, way, found, _ in TREE)
    return escape(f"Decision tree: {steps}; otherwise {' '.join(LAST[0])}")


def picture(parts: list[str], width: float, height: float, name: str) -> str:
    """An SVG of its parts."""
    head = f'<svg class="tree {name}" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="group" '
    return f'{head}aria-label="{told()}"><style>{STYLE}</style>{"".join(parts)}</svg>\n'


def wide_tree() -> str:
    """Questions on the left, answers on the right."""
    parts = []
    middle = LEFT + QUESTION[0] / 2
    for i, (asked, way, found, link) in enumerate(TREE):
        top = 12 + i * STEP
        parts += [question(asked, top), answer(found, link, top, RIGHT)]
        parts.append(arrow(LEFT + QUESTION[0], top + 32, RIGHT - 10, top + 32, way))
        parts.append(arrow(middle, top + QUESTION[1], middle, top + STEP - 10, otherwise(way)))
    parts.append(answer(*LAST, 12 + len(TREE) * STEP, middle - ANSWER[0] / 2))
    return picture(parts, WIDTH, 24 + len(TREE) * STEP + ANSWER[1], "wide")


def narrow_tree() -> str:
    """Answers below their questions, and the way on along the left edge."""
    parts = []
    middle = LEFT + QUESTION[0] / 2
    for i, (asked, way, found, link) in enumerate(TREE):
        top = 12 + i * NARROW_STEP
        parts += [question(asked, top), answer(found, link, top + ANSWER_BELOW, LEFT + 14)]
        parts.append(arrow(middle, top + QUESTION[1], middle, top + ANSWER_BELOW - 10, way))
        parts.append(f'<path class="line" d="M{LEFT} {top + 32} H16 V{top + NARROW_STEP + 32} H{LEFT - 10}"/>')
        parts.append(f'<path class="tip" d="M{LEFT - 1} {top + NARROW_STEP + 32} l-10 -5 v10 z"/>')
        parts.append(f'<text class="way" x="58" y="{top + NARROW_STEP - 14}">{otherwise(way)}</text>')
    parts.append(answer(*LAST, 12 + len(TREE) * NARROW_STEP, LEFT))
    return picture(parts, NARROW_WIDTH, 24 + len(TREE) * NARROW_STEP + ANSWER[1], "narrow")


if __name__ == "__main__":
    here = Path(__file__)
    for name, drawn in (("decision_tree", wide_tree()), ("decision_tree_narrow", narrow_tree())):
        here.with_name(f"{name}.svg").write_text(drawn, encoding="utf-8")
        print(f"{name}.svg", len(drawn), "characters")
