"""Draw `decision_tree.svg`: from what is known of two samples to what to take.

`python notebooks/pictures/decision_tree.py` writes it beside this file. It has no fixed colors: those of the page it
stands in, light or dark, reach it by CSS variables, with fallbacks for a page that has none. No word of it is a path,
so that it is found by a search and read aloud.
"""

from html import escape
from pathlib import Path

WIDTH, STEP = 920, 104
QUESTION, ANSWER = (330, 64), (330, 64)
LEFT, RIGHT = 40, 540

# A question, the answer that leads to the right and what is found there, with the page of the reference; the other
# answer leads on down.
TREE = [
    (
        ["Do you have labels of 25", "or more target rows?"],
        "yes",
        ["FewLabelClassifier, FewLabelRegressor", "right whatever moved; 100 are better"],
        "api/shiftfix.corrected.FewLabelClassifier.html",
    ),
    (
        ["Could the same row have", "another label over there?"],
        "yes",
        ["concept shift: no weight repairs it", "label target rows: plan_labels says how many"],
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
    ["ShiftCorrectedClassifier, ...Regressor", "diagnoses, then corrects what the evidence supports"],
    "api/shiftfix.corrected.ShiftCorrectedClassifier.html",
)
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


def words(lines: list[str], x: float, y: float) -> str:
    """Two centred lines, the first one bold."""
    first, second = (escape(line) for line in lines)
    return f'<text class="head" x="{x}" y="{y}">{first}</text><text x="{x}" y="{y + 22}">{second}</text>'


def question(lines: list[str], top: float) -> str:
    """A rounded box on the left."""
    wide, high = QUESTION
    box = f'<rect class="ask" x="{LEFT}" y="{top}" width="{wide}" height="{high}" rx="30"/>'
    return box + words(lines, LEFT + wide / 2, top + 28)


def answer(lines: list[str], link: str, top: float, left: float) -> str:
    """A square box that leads to a page."""
    wide, high = ANSWER
    wide += 0 if left == RIGHT else 60
    box = f'<rect class="take" x="{left}" y="{top}" width="{wide}" height="{high}" rx="4"/>'
    return f'<a href="{link}">{box}{words(lines, left + wide / 2, top + 28)}</a>'


def arrow(x1: float, y1: float, x2: float, y2: float, word: str) -> str:
    """A straight arrow, to the right or down, with the answer that leads along it."""
    line = f'<path class="line" d="M{x1} {y1} L{x2} {y2}"/>'
    if y1 == y2:
        tip = f'<path class="tip" d="M{x2 + 9} {y2} l-10 -5 v10 z"/>'
        return line + tip + f'<text class="way" x="{(x1 + x2) / 2}" y="{y1 - 8}">{word}</text>'
    tip = f'<path class="tip" d="M{x2} {y2 + 9} l-5 -10 h10 z"/>'
    return line + tip + f'<text class="way" x="{x1 + 44}" y="{(y1 + y2) / 2 + 8}">{word}</text>'


def tree() -> str:
    """The whole picture, as SVG."""
    parts = []
    middle = LEFT + QUESTION[0] / 2
    for i, (asked, way, found, link) in enumerate(TREE):
        top = 12 + i * STEP
        onward = "yes" if way == "no" else ("no" if way == "yes" else "not sure")
        parts.append(question(asked, top))
        parts.append(arrow(LEFT + QUESTION[0], top + 32, RIGHT - 10, top + 32, way))
        parts.append(answer(found, link, top, RIGHT))
        parts.append(arrow(middle, top + QUESTION[1], middle, top + STEP - 10, onward))
    parts.append(answer(*LAST, 12 + len(TREE) * STEP, LEFT - 30))
    height = 12 + len(TREE) * STEP + ANSWER[1] + 12
    told = "Decision tree: " + "; ".join(f"{' '.join(a)} {w}: {' '.join(f)}" for a, w, f, _ in TREE)
    told += f"; otherwise {' '.join(LAST[0])}"
    return (
        f'<svg class="tree" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH - 40} {height}" role="group" '
        f'aria-label="{escape(told)}"><style>{STYLE}</style>{"".join(parts)}</svg>\n'
    )


if __name__ == "__main__":
    path = Path(__file__).with_suffix(".svg")
    path.write_text(tree(), encoding="utf-8")
    print(path.name, path.stat().st_size, "bytes")
