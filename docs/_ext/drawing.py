"""Draw a chart as SVG, out of its figures and nothing else.

Places across are in percent and places down in ems: a chart is as wide as the
page and its text keeps its size, on a phone too, without a script. What stands
beside the plot stands in the padding. The colours are those of the style
sheet, by class; without it all is in the colour of the text.
"""

import math
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Literal

from figures import PYTHON, Chart, Row, number

PHONE = 25.0  # ems across the narrowest page
LETTER = 0.58  # ems across a letter, as a rule
LINE = 1.25  # ems from a line of text to the next
HALF = 0.35  # ems from the middle of a line of text to where it stands
BESIDE = 20  # letters that fit beside a bar
AFTER = 15  # letters that fit after a line
HEIGHT = 20.0  # ems that lines go up, at least
MARGIN = 4.0  # percent that lines keep from either end
LOOKS = 6  # that a line can have
TICKS = 5  # on a linear scale, about
CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Scale:
    """Where figures lie between two ends.

    Attributes:
        low: The figure at the one end.
        high: The figure at the other.
        log: Whether equal steps are equal factors.
    """

    low: float
    high: float
    log: bool

    def at(self, value: float) -> float:
        """Return the place of *value*, from 0 to 1."""
        if self.low == self.high:
            return 0.5
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Return round figures from end to end; the ends if there are none."""
        if self.low == self.high:
            return [self.low]
        if not self.log:
            step = _round_up((self.high - self.low) / TICKS)
            first = math.ceil(self.low / step)
            return [
                count * step
                for count in range(first, int(self.high / step + 1e-9) + 1)
            ]
        decades = range(
            math.floor(math.log10(self.low)),
            math.floor(math.log10(self.high)) + 1,
        )
        ticks: list[float] = []
        for steps in ((1,), (1, 3), (1, 2, 5)):
            every = [step * 10.0**n for n in decades for step in steps]
            ticks = [one for one in every if self.low <= one <= self.high]
            if ticks[2:]:
                break
        return ticks or [self.low, self.high]


def svg(chart: Chart) -> str:
    """Return *chart* as an ``svg`` element, each part of it on a line."""
    return "\n".join(_bars(chart) if chart.kind == "bars" else _lines(chart))


def _bars(chart: Chart) -> Iterator[str]:
    """Draw a bar for each row.

    On a logarithmic scale it is a dot, for there a length means nothing.
    """
    scale = _scale(chart)
    labels = [_wrapped(row.label, BESIDE) for row in chart.rows]
    left = round(_width(line for lines in labels for line in lines) + 0.6, 2)
    right = _width(number(row.median) for row in chart.rows) + 0.6
    parts: list[str] = []
    top = y = LINE * len(_wrapped(chart.unit)) + 0.6
    if chart.reference:
        top = y = y + LINE
    series = ""
    for row, lines in zip(chart.rows, labels, strict=True):
        if chart.series[1:] and row.series != series:
            y += 0.6 * bool(series)
            parts += _text(_name(row.series), f"-{left}em", y + 1, "series")
            y += 1.8
        series = row.series
        height = LINE * len(lines) + 0.7
        middle = y + height / 2
        parts += _bar(row, lines, scale, middle, height)
        shown = number(row.median)
        parts += _text(shown, "100%", middle + HALF, anchor="end", dx=right)
        y += height
    yield from _opening(chart, left, right, y + 2 * chart.log)
    room = PHONE - left - right
    if chart.log:
        ticks = scale.ticks()
        for tick in ticks:
            across = _percent(scale.at(tick))
            yield _line("grid", across, top, across, y)
        yield from _below(ticks, scale.at, y, room)
    yield from parts
    if chart.reference:
        place = scale.at(chart.reference.value)
        across = _percent(place)
        yield _line("reference", across, top, across, y)
        words = f"{chart.reference.label}: {number(chart.reference.value)}"
        if left + place * room > LETTER * len(words):
            yield from _text(words, across, top - 0.5, "quiet", anchor="end")
        else:
            yield from _text(words, f"-{left}em", top - 0.5, "quiet")
    yield "</svg>"


def _bar(
    row: Row, lines: list[str], scale: Scale, middle: float, height: float
) -> Iterator[str]:
    """Draw a row: its label, its bar or dot, its spread."""
    y = middle + HALF - LINE * (len(lines) - 1) / 2
    yield from _text("\n".join(lines), "-0.6em", y, anchor="end")
    low, median, high = (
        _percent(scale.at(value)) for value in (row.low, row.median, row.high)
    )
    if not scale.log:
        yield _line("axis", "0", middle - height / 2, "0", middle + height / 2)
        yield (
            f'<rect class="bar" x="0" y="{middle - 0.55:.2f}em"'
            f' width="{median}" height="1.1em"/>'
        )
    yield _line("spread", low, middle, high, middle)
    if scale.log:
        yield _dot(median, middle)


def _lines(chart: Chart) -> Iterator[str]:
    """Draw a line for each thing measured, and its name at its end."""
    lines = _grouped(chart)
    names = [_wrapped(name, AFTER) for name in lines]
    scale = _scale(chart)
    places = [row.x or 0 for row in chart.rows]
    along = Scale(
        min(places), max(places), chart.x is not None and chart.x.log
    )
    ticks = scale.ticks()
    left = round(_width(map(_tick, ticks)) + 0.6, 2)
    right = _width(line for name in names for line in name) + 0.9
    heights = [LINE * len(name) + 0.3 for name in names]
    top = LINE * len(_wrapped(chart.unit)) + 1
    top += 1.5 * bool(chart.reference)
    bottom = top + max(HEIGHT, sum(heights))

    def across(x: float) -> float:
        return (MARGIN + along.at(x) * (100 - 2 * MARGIN)) / 100

    def down(value: float) -> float:
        return bottom - scale.at(value) * (bottom - top)

    yield from _opening(chart, left, right, bottom + 3.5)
    for tick in ticks:
        y = down(tick)
        yield _line("grid", "0", y, "100%", y)
        yield from _text(
            _tick(tick), "-0.6em", y + HALF, "quiet", anchor="end"
        )
    room = PHONE - left - right
    yield from _below(along.ticks(), across, bottom, room)
    label = chart.x.label if chart.x else ""
    yield from _text(label, "100%", bottom + 3, "quiet", anchor="end")
    if chart.reference:
        y = down(chart.reference.value)
        yield _line("reference", "0", y, "100%", y)
        words = f"{chart.reference.label}: {number(chart.reference.value)}"
        y = top - 1.5
        yield _line("reference", f"-{left}em", y, f"{1.5 - left:.2f}em", y)
        yield from _text(words, f"{2 - left:.2f}em", y + HALF, "quiet")
    ends = [down(rows[-1].median) for rows in lines.values()]
    beside = _apart(ends, heights, top, bottom)
    for count, rows in enumerate(lines.values()):
        points = [
            (
                _percent(across(row.x or 0)),
                down(row.low),
                down(row.median),
                down(row.high),
            )
            for row in rows
        ]
        yield f'<g class="look-{count % LOOKS}">'
        yield from _curve(points, names[count], beside[count])
        yield "</g>"
    yield "</svg>"


def _curve(
    points: list[tuple[str, float, float, float]],
    name: list[str],
    beside: float,
) -> Iterator[str]:
    """Draw a line: each spread, each point, and the name *beside* it."""
    for x, low, _, high in points:
        yield _line("spread", x, low, x, high)
    for (x1, _, y1, _), (x2, _, y2, _) in pairwise(points):
        yield _line("line", x1, y1, x2, y2)
    for x, _, y, _ in points:
        yield _dot(x, y)
    x, _, y, _ = points[-1]
    yield _line("leader", x, y, "100%", beside)
    first = beside + HALF - LINE * (len(name) - 1) / 2
    yield from _text("\n".join(name), "100%", first, dx=0.4)


def _grouped(chart: Chart) -> dict[str, list[Row]]:
    """Return the rows of each line, from left to right, by its name."""
    labels = {row.label for row in chart.rows}
    lines: dict[str, list[Row]] = {}
    for row in sorted(chart.rows, key=lambda row: row.x or 0):
        if not chart.series[1:]:
            name = row.label
        elif len(labels) == 1:
            name = _name(row.series)
        else:
            name = f"{row.label}, {row.series}"
        lines.setdefault(name, []).append(row)
    return lines


def _apart(
    wanted: list[float], heights: list[float], top: float, bottom: float
) -> list[float]:
    """Return places near those *wanted* at which texts do not overlap."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    places = list(wanted)
    edge = top - 1
    for one in order:
        places[one] = max(places[one], edge + heights[one] / 2)
        edge = places[one] + heights[one] / 2
    edge = bottom + 1
    for one in reversed(order):
        places[one] = min(places[one], edge - heights[one] / 2)
        edge = places[one] - heights[one] / 2
    return places


def _opening(
    chart: Chart, left: float, right: float, height: float
) -> Iterator[str]:
    """Open the element; say what it shows, and what its figures count."""
    title, text = f"chart-{chart.name}-title", f"chart-{chart.name}-text"
    padding = f"0 {right:.2f}em 0 {left:.2f}em"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img"'
        f' aria-labelledby="{escape(title)}"'
        f' aria-describedby="{escape(text)}"'
        f' width="100%" height="{height:.2f}em" fill="currentColor"'
        f' style="box-sizing: border-box; padding: {padding};'
        f' overflow: visible">'
    )
    yield f'<title id="{escape(title)}">{escape(chart.title)}</title>'
    words = f"{chart.unit}; the table below has the figures"
    yield f'<desc id="{escape(text)}">{escape(words)}</desc>'
    unit = "\n".join(_wrapped(chart.unit))
    yield from _text(unit, f"-{left:.2f}em", 0.9, "quiet")


def _below(
    ticks: list[float], across: Callable[[float], float], y: float, room: float
) -> Iterator[str]:
    """Write below a plot every tick, or every second, as fit in *room*."""
    shown = ticks
    for step in range(1, len(ticks) + 1):
        shown = ticks[::step]
        if all(
            (across(right) - across(left)) * room
            > LETTER * (len(_tick(left)) + len(_tick(right))) / 2 + 0.5
            for left, right in pairwise(shown)
        ):
            break
    for tick in shown:
        x = _percent(across(tick))
        yield from _text(_tick(tick), x, y + 1.4, "quiet", anchor="middle")


def _scale(chart: Chart) -> Scale:
    """Return the scale of the figures, and of what they are held against."""
    reference = [chart.reference.value] if chart.reference else []
    high = max([row.high for row in chart.rows] + reference)
    if chart.log:
        low = min([row.low for row in chart.rows] + reference)
        return Scale(low / 1.2, high * 1.2, log=True)
    return Scale(0, high or 1, log=False)


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5, 10, 20 and so on."""
    decade = 10.0 ** math.floor(math.log10(value))
    steps = (step * decade for step in (1, 2, 5))
    return next((one for one in steps if one >= value), 10 * decade)


def _tick(value: float) -> str:
    if value >= 1000:
        return f"{value / 1000:,.6g}k"
    return f"{value:.6g}"


def _name(series: str) -> str:
    return f"Python {series}" if PYTHON.fullmatch(series) else series


def _wrapped(text: str, letters: int = int(PHONE / LETTER)) -> list[str]:
    """Return *text* in lines of so many letters."""
    words = " ".join(" ".join(_cut(one, letters)) for one in text.split())
    return textwrap.wrap(words, letters) or [""]


def _cut(word: str, letters: int) -> Iterator[str]:
    """Cut a name that is too long for a line before a capital."""
    while len(word) > letters:
        capitals = (found.start() for found in CAPITAL.finditer(word))
        fit = [place for place in capitals if place <= letters]
        place = max(fit, default=letters)
        yield word[:place]
        word = word[place:]
    yield word


def _width(texts: Iterable[str]) -> float:
    """Return how many ems the longest of *texts* takes."""
    return LETTER * max(map(len, texts), default=0)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _line(kind: str, x1: str, y1: float, x2: str, y2: float) -> str:
    return (
        f'<line class="{kind}" x1="{x1}" y1="{y1:.2f}em"'
        f' x2="{x2}" y2="{y2:.2f}em" stroke="currentColor"/>'
    )


def _dot(x: str, y: float) -> str:
    return f'<circle class="dot" cx="{x}" cy="{y:.2f}em" r="0.3em"/>'


def _text(
    text: str,
    x: str,
    y: float,
    kind: str = "",
    *,
    anchor: Anchor = "start",
    dx: float = 0,
) -> Iterator[str]:
    """Write *text*, its first line at *y*."""
    more = f' class="{kind}"' if kind else ""
    more += f' text-anchor="{anchor}"' if anchor != "start" else ""
    more += f' dx="{dx:.2f}em"' if dx else ""
    for count, line in enumerate(text.splitlines()):
        down = f"{y + LINE * count:.2f}em"
        yield f'<text x="{x}" y="{down}"{more}>{escape(line)}</text>'
