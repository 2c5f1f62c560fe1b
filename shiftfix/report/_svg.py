"""The page's drawings, as SVG that takes its colors from the page: light, dark or on paper.

A few rectangles and lines of their own take a tenth of what a plotting library writes, their text is text, and they
follow the reader's colors.
"""

from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT, FOOT = 300.0, 104.0, 16.0
TRACK_WIDTH, TRACK_HEIGHT = 180.0, 18.0


def drawing(width: float, height: float, label: str, content: str) -> Markup:
    """An SVG element with what it shows in words."""
    return Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">').format(width, height, label) + Markup(
        content + "</svg>"
    )


def _rect(x: float, y: float, width: float, height: float, name: str) -> str:
    return f'<rect class="{name}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"/>'


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return str(Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, text))


def _segment(x1: float, y1: float, x2: float, y2: float, name: str) -> str:
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def histogram(
    source: Sequence[float], target: Sequence[float], ticks: Sequence[tuple[float, str]], label: str
) -> Markup:
    """Shares of both samples in equal bins: the source filled, the target as a line.

    Parameters
    ----------
    source, target : sequence of float of the same length
    ticks : sequence of (float, str)
        Place from 0 to 1, and what stands there.
    label : str
        What it shows, for those who do not see it.
    """
    top, base = max(*source, *target, 1e-12), HEIGHT - FOOT
    step, unit = WIDTH / len(source), (base - 4) / top
    bars = "".join(
        _rect(i * step, base - share * unit, step - 0.5, share * unit, "source") for i, share in enumerate(source)
    )
    edges = [f"{i * step:.1f},{base - share * unit:.1f} {(i + 1) * step:.1f},{base - share * unit:.1f}"
             for i, share in enumerate(target)]  # fmt: skip
    outline = f'<polyline class="target" points="0,{base:.1f} {" ".join(edges)} {WIDTH:.1f},{base:.1f}"/>'
    marks = "".join(_tick(place, text, base) for place, text in ticks)
    return drawing(WIDTH, HEIGHT, label, bars + outline + _segment(0, base, WIDTH, base, "axis") + marks)


def _tick(place: float, text: str, base: float) -> str:
    anchor = "start" if place < 0.1 else "end" if place > 0.9 else "middle"
    return _segment(place * WIDTH, base, place * WIDTH, base + 3, "axis") + _text(
        place * WIDTH, base + 14, anchor, text
    )


def paired_bars(rows: Sequence[tuple[str, float, float]], label: str) -> Markup:
    """Shares of categories: one bar of the source and one of the target below it, the name above both."""
    height = 30.0
    top = max(max(row[1], row[2]) for row in rows) or 1.0
    parts = []
    for i, (name, source, target) in enumerate(rows):
        y = i * height
        parts.append(_text(0, y + 11, "start", name) + _text(WIDTH, y + 11, "end", f"{source:.0%} → {target:.0%}"))
        parts.append(_rect(0, y + 15, WIDTH * source / top, 5, "source"))
        parts.append(_rect(0, y + 21, WIDTH * target / top, 5, "target-fill"))
    return drawing(WIDTH, height * len(rows), label, "".join(parts))


def track(
    ends: tuple[float, float], low: float | None, high: float | None, points: Sequence[tuple[float, str]], label: str,
    zero: float | None = None,
) -> Markup:  # fmt: skip
    """An interval on a line, and points on it.

    Parameters
    ----------
    ends : (float, float)
        Values at the left and the right end.
    low, high : float or None
        Of the interval; None draws none.
    points : sequence of (float, str)
        Value, and the class of the mark: "source", "target" or "after".
    label : str
    zero : float or None
        Where a line across is drawn.
    """
    middle = TRACK_HEIGHT / 2

    def x(value: float) -> float:
        share = (value - ends[0]) / ((ends[1] - ends[0]) or 1.0)
        return 5 + (TRACK_WIDTH - 10) * min(max(share, 0.0), 1.0)

    parts = [_segment(5, middle, TRACK_WIDTH - 5, middle, "rail")]
    if zero is not None:
        parts.append(_segment(x(zero), 2, x(zero), TRACK_HEIGHT - 2, "axis"))
    if low is not None and high is not None:
        parts.append(_rect(x(low), middle - 2, max(x(high) - x(low), 1.5), 4, "span"))
    parts += [_mark(x(value), middle, kind) for value, kind in points]
    return drawing(TRACK_WIDTH, TRACK_HEIGHT, label, "".join(parts))


def _mark(x: float, y: float, kind: str) -> str:
    """A circle for the source and for before, a diamond for the target and for after: told apart without color."""
    if kind == "source":
        return f'<circle class="dot-source" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    return f'<path class="dot-target" d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5-5z"/>'


def bar(share: float, label: str) -> Markup:
    """A share of 1 as a bar."""
    content = _rect(0, 5, TRACK_WIDTH, 8, "rail-fill") + _rect(0, 5, TRACK_WIDTH * min(max(share, 0), 1), 8, "span")
    return drawing(TRACK_WIDTH, TRACK_HEIGHT, label, content)
