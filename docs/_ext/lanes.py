"""What a recipe's programs do, drawn as lanes out of what was recorded.

``nox -s record`` writes the facts to ``docs/recorded/timelines/``; nothing is
run here, and no Sphinx is needed. Places are those of ``drawing.py``: across
in percent and down in ems, so that text keeps its size on a phone.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from drawing import (
    HALF,
    LETTER,
    PHONE,
    Scale,
    _line,
    _percent,
    _text,
)

LOOKS = {
    "runs": "runs",
    "waits": "waits",
    "blocked": "blocked",
    "turns": "in turns",
    "dies": "dies",
    "break": "nothing runs, left out",
}
MARKS = {  # what is no bar, in pixels around its middle
    "dies": "M-4 -4L4 4M-4 4L4 -4",
    "break": "M-5 5L-1 -5M1 5L5 -5",
}
PARTS = {"trap": "The trap", "recipe": "The recipe"}
UNITS = ((1_000_000, "s"), (1_000, "ms"), (1, "µs"))
TWO_DIGITS = 10  # is the first number that has them
NAME = 14  # letters of a lane's name that are shown
ROW = 1.7  # ems from a lane to the next
BAR = 1.1  # ems that a lane is thick
SMALL = 0.5  # ems from a lane of a thumbnail to the next
GAP = 3.0  # percent of the axis that stand for a stretch left out
LEAST = 0.6  # percent across what is too short to be seen
STRIPED = 1.5  # percent across the least that stripes are seen in
DESK = 48.0  # ems across a page on a desk, at least
WORDS = 8  # stretches of a lane that the table spells out


@dataclass(frozen=True)
class Stretch:
    """What a lane does from one time to another, in microseconds."""

    state: str
    start: float
    end: float
    label: str

    @property
    def words(self) -> str:
        """What it does, and for how long."""
        if self.state == "turns":
            return f"runs and waits in turns {duration(self.end - self.start)}"
        words = f"{self.state} {duration(self.end - self.start)}"
        if self.state == "waits" and self.label == "the GIL":
            return f"{words} for the GIL"
        if self.state == "blocked" and self.label == "a lock":
            return f"{words} by a lock"
        if self.state in ("waits", "blocked") and self.label:
            return f"{words} in {self.label}"
        return words


@dataclass(frozen=True)
class Lane:
    """A thread, a task or a process.

    Attributes:
        kind: Which of these.
        name: What the page calls it.
        alive: When it comes to be, and when it was last seen.
        does: What it does, in order.
        dies: Whether it is a process that ends in the midst of a job.
    """

    kind: str
    name: str
    alive: tuple[float, float]
    does: list[Stretch]
    dies: bool = False

    @property
    def words(self) -> str:
        """What it does, in words."""
        said = [one.words for one in self.does[:WORDS]]
        if more := self.does[WORDS:]:
            said.append(f"and so on, {len(more)} more")
        if self.dies:
            said.append(f"dies at {duration(self.alive[1])}")
        return f"from {duration(self.does[0].start)} on: {', '.join(said)}"


@dataclass(frozen=True)
class Picture:
    """What one program does.

    Attributes:
        of: ``"trap"`` or ``"recipe"``.
        took: Microseconds from its begin to its end.
        axis: Microseconds that the axis is long.
        cuts: The stretches that are left out of it.
        more: How many lanes are not shown.
        lanes: Those that are.
    """

    of: str
    took: float
    axis: float
    cuts: list[tuple[float, float]]
    more: int
    lanes: list[Lane]

    @property
    def title(self) -> str:
        """What the page calls the program."""
        return PARTS[self.of]

    @property
    def left_out(self) -> str:
        """The lanes that are not shown, in words; empty if all are."""
        return f"and {self.more} more" if self.more else ""

    def at(self, time: float) -> float:
        """Return where *time* is on the axis, in percent."""
        before = sum(
            min(time, end) - start for start, end in self.cuts if start < time
        )
        gaps = sum(
            min(1, (time - start) / (end - start))
            for start, end in self.cuts
            if start < time
        )
        left_out = sum(end - start for start, end in self.cuts)
        room = 100 - GAP * len(self.cuts)
        kept = max(self.axis - left_out, 1)
        return (time - before) / kept * room + gaps * GAP


@dataclass(frozen=True)
class Timeline:
    """What was recorded of a recipe.

    Attributes:
        name: The recipe's name.
        code: The fingerprint of the code that was run.
        python: The Python that it was run on.
        pictures: The trap's first; none if they would show nothing.
    """

    name: str
    code: str
    python: str
    pictures: list[Picture]

    @property
    def one_axis(self) -> bool:
        """Whether all pictures are on the same axis."""
        first, *others = self.pictures
        return all(
            (one.axis, one.cuts) == (first.axis, first.cuts) for one in others
        )


def read(name: str, text: str) -> Timeline:
    """Return the facts of a recipe out of its file's text."""
    facts = json.loads(text)
    pictures = [picture(one) for one in facts["pictures"]]
    return Timeline(name, facts["code"], facts["python"], pictures)


def picture(fact: dict[str, Any]) -> Picture:
    """Return a picture out of its facts."""
    return Picture(
        fact["of"],
        fact["took"],
        fact["axis"],
        [(start, end) for start, end in fact["cuts"]],
        fact["more"],
        [
            Lane(
                lane["kind"],
                lane["name"],
                (lane["alive"][0], lane["alive"][1]),
                [Stretch(*one) for one in lane["does"]],
                lane.get("dies", False),
            )
            for lane in fact["lanes"]
        ],
    )


def duration(microseconds: float) -> str:
    """Return a time with two digits or more, and its unit."""
    for size, unit in UNITS:
        if microseconds >= size:
            value = microseconds / size
            return f"{value:.{int(value < TWO_DIGITS)}f} {unit}"
    return "0"


def svg(shown: Timeline) -> str:
    """Return *shown* as an ``svg`` element, each part of it on a line."""
    return "\n".join(_drawn(shown))


def thumbnail(shown: Timeline) -> str:
    """Return *shown* so small that only its shape is seen.

    What waits is a line, and nothing is written: a text beside it must say
    what it is.
    """
    parts: list[str] = []
    y = 0.0
    for picture in shown.pictures:
        kind = ' class="trap"' if picture.of == "trap" else ""
        parts.append(f"<g{kind}>")
        for lane in picture.lanes:
            born, seen = (
                _percent(picture.at(at) / 100)
                for at in (lane.does[0].start, lane.does[-1].end)
            )
            middle = y + 0.35 * SMALL
            parts.append(_line("alive", born, middle, seen, middle))
            parts += [
                f'<rect class="{one.state}"'
                f' x="{picture.at(one.start):.1f}%" y="{y:.2f}em" width='
                f'"{max(1, picture.at(one.end) - picture.at(one.start)):.1f}%"'
                f' height="{0.7 * SMALL:.2f}em"/>'
                for one in lane.does
                if one.state != "waits"
            ]
            y += SMALL
        parts.append("</g>")
        y += SMALL
    opening = (
        '<svg xmlns="http://www.w3.org/2000/svg" aria-hidden="true"'
        f' width="100%" height="{y:.2f}em" fill="currentColor">'
    )
    return "\n".join([opening, *parts, "</svg>"])


def _drawn(shown: Timeline) -> Iterator[str]:
    names = [lane.name for one in shown.pictures for lane in one.lanes]
    left = round(LETTER * min(NAME, max(map(len, names))) + 0.6, 2)
    parts: list[str] = []
    y = 0.0
    for number, picture in enumerate(shown.pictures):
        last = number == len(shown.pictures) - 1
        kind = "part trap" if picture.of == "trap" else "part"
        parts += _text(picture.title, f"-{left}em", y + 1, kind)
        took = f"takes {duration(picture.took)}"
        parts += _text(took, "100%", y + 1, "quiet", anchor="end")
        y += ROW
        for lane in picture.lanes:
            parts += _lane(shown, picture, lane, left, y + ROW / 2)
            y += ROW
        if picture.more:
            parts += _text(picture.left_out, f"-{left}em", y + 1, "quiet")
            y += ROW
        if last or not shown.one_axis:
            parts += _axis(picture, left, y + 0.2)
            y += 2.2
        y += 0.4 * (not last)
    looks = {*_looks(shown)}
    legend, y = _legend(shown, [one for one in LOOKS if one in looks], left, y)
    yield from _opening(shown, left, y)
    yield from parts
    yield from legend
    yield "</svg>"


def _looks(shown: Timeline) -> Iterator[str]:
    """Yield what is seen in *shown*, as often as it is."""
    for picture in shown.pictures:
        yield from ["break"] * len(picture.cuts)
        for lane in picture.lanes:
            yield from ["dies"] * lane.dies
            yield from (_look(picture, one) for one in lane.does)


def _look(picture: Picture, one: Stretch) -> str:
    """Return how a stretch is drawn: stripes need room."""
    width = picture.at(one.end) - picture.at(one.start)
    narrow = one.state == "turns" and width < STRIPED
    return "runs" if narrow else one.state


def _mark(kind: str, x: str, y: float) -> str:
    """Draw what is no bar; its size is the same on every page."""
    return (
        f'<svg x="{x}" y="{y:.2f}em" overflow="visible">'
        f'<path class="{kind}" d="{MARKS[kind]}" stroke="currentColor"/></svg>'
    )


def _opening(shown: Timeline, left: float, height: float) -> Iterator[str]:
    """Open the element, and say how hatching looks."""
    name = escape(shown.name)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img"'
        f' aria-labelledby="{name}-title" aria-describedby="{name}-text"'
        f' width="100%" height="{height:.2f}em" fill="currentColor"'
        f' style="box-sizing: border-box; padding: 0 0 0 {left:.2f}em;'
        f' overflow: visible">'
    )
    parts = " and ".join(one.title.lower() for one in shown.pictures)
    yield f'<title id="{name}-title">What happens in {parts}</title>'
    yield f'<desc id="{name}-text">The table below says it in words.</desc>'
    yield from _patterns(name)


def _patterns(name: str) -> Iterator[str]:
    yield (
        f'<defs><pattern id="{name}-blocked" width="6" height="6"'
        f' patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        f'<line class="hatch" x1="0" y1="0" x2="0" y2="6"'
        f' stroke="currentColor" stroke-width="4"/></pattern>'
    )
    yield (
        f'<pattern id="{name}-turns" width="4" height="4"'
        f' patternUnits="userSpaceOnUse">'
        f'<rect class="runs" width="2" height="4"/></pattern></defs>'
    )


def _lane(
    shown: Timeline, picture: Picture, lane: Lane, left: float, middle: float
) -> Iterator[str]:
    """Draw a lane: its name, how long it lives, what it does."""
    name = lane.name
    if len(name) > NAME:
        name = f"{name[: NAME - 1]}…"
    yield from _text(name, f"-{left}em", middle + HALF, "quiet")
    born, seen = (_percent(picture.at(at) / 100) for at in lane.alive)
    yield _line("alive", born, middle, seen, middle)
    for one in lane.does:
        yield from _stretch(shown, picture, lane, one, (left, middle))
    for start, end in picture.cuts:
        x, width = picture.at(start), picture.at(end) - picture.at(start)
        yield (
            f'<rect class="cut" x="{x:.2f}%" y="{middle - ROW / 2:.2f}em"'
            f' width="{width:.2f}%" height="{ROW}em"/>'
        )
    if lane.dies:
        yield _mark("dies", seen, middle)


def _stretch(
    shown: Timeline,
    picture: Picture,
    lane: Lane,
    one: Stretch,
    place: tuple[float, float],
) -> Iterator[str]:
    """Draw what a lane does, and in it the words that fit."""
    left, middle = place
    x = picture.at(one.start)
    width = max(LEAST, picture.at(one.end) - x)
    x = min(x, 100 - width)
    fill = ""
    look = _look(picture, one)
    if look in ("blocked", "turns"):
        fill = f' style="fill: url(#{escape(shown.name)}-{look})"'
    yield (
        f'<rect class="{look}" x="{x:.2f}%"'
        f' y="{middle - BAR / 2:.2f}em" width="{width:.2f}%"'
        f' height="{BAR}em"{fill}/>'
    )
    label = one.label.partition(",")[0]
    if one.state not in ("runs", "waits") or label in ("", lane.name):
        return
    if one.state == "runs" and (lane.kind == "task" or lane.name == "main"):
        return
    # what lies between two gaps is room for words
    ends = [x, *map(picture.at, _inside(picture, one)), x + width]
    start, stop = max(
        zip(ends[::2], ends[1::2], strict=True),
        key=lambda pair: pair[1] - pair[0],
    )
    needs = LETTER * len(label) + 0.8
    for room, kind in ((PHONE, ""), (DESK, " wide")):
        if (stop - start) / 100 * (room - left) >= needs:
            at = f"{(start + stop) / 2:.2f}%"
            yield from _text(
                label,
                at,
                middle + HALF - 0.03,
                f"in-{one.state}{kind}",
                anchor="middle",
            )
            return


def _inside(picture: Picture, one: Stretch) -> Iterator[float]:
    """Yield the ends of the gaps that lie within a stretch."""
    for start, end in picture.cuts:
        if one.start < start and end < one.end:
            yield from (start, end)


def _axis(picture: Picture, left: float, y: float) -> Iterator[str]:
    """Draw the axis: round times, or those at which it goes on."""
    yield _line("axis", "0", y, "100%", y)
    size, unit = next(
        (one for one in UNITS if picture.axis >= 2 * one[0]), UNITS[-1]
    )
    times = Scale(0, picture.axis / size, log=False).ticks()
    if picture.cuts:
        times = [end / size for _, end in picture.cuts]
        times = [0.0, *times, picture.axis / size]
    for start, end in picture.cuts:
        x, width = picture.at(start), picture.at(end) - picture.at(start)
        yield (
            f'<rect class="cut" x="{x:.2f}%" y="{y - 0.2:.2f}em"'
            f' width="{width:.2f}%" height="0.4em"/>'
        )
        yield _mark("break", f"{x + width / 2:.2f}%", y)
        goes_on = f"{x + width:.2f}%"
        yield _line("axis", goes_on, y, goes_on, y + 0.25)
    places = [picture.at(time * size) for time in times]
    marks = [*zip(places, numbers(times), strict=True)]
    yield from _below(marks, unit, PHONE - left, y + 1.2)


def _below(
    marks: list[tuple[float, str]], unit: str, room: float, y: float
) -> Iterator[str]:
    """Write the begin of an axis, its end, and of the rest what fits."""
    *others, (place, words) = marks
    words = f"{words} {unit}"
    half = LETTER * len(words) / 2
    stop = min(place / 100 * room - half, room - 2 * half)
    if stop < room - 2 * half:
        yield from _text(words, f"{place:.2f}%", y, "quiet", anchor="middle")
    else:
        yield from _text(words, "100%", y, "quiet", anchor="end")
    edge = -LETTER
    for place, words in others:
        across, half = place / 100 * room, LETTER * len(words) / 2
        if not place:
            yield from _text(words, "0", y, "quiet")
        elif across - half >= edge and across + half + LETTER <= stop:
            at = f"{place:.2f}%"
            yield from _text(words, at, y, "quiet", anchor="middle")
        else:
            continue
        edge = across + half + LETTER


def numbers(times: list[float]) -> list[str]:
    """Return *times* in as few digits as tell them apart."""
    few = int(0 < times[-1] < TWO_DIGITS)
    for digits in range(few, 3):
        shown = [f"{round(time, digits):g}" for time in times]
        if len({*shown}) == len(shown):
            break
    return shown


def _legend(
    shown: Timeline, looks: list[str], left: float, y: float
) -> tuple[list[str], float]:
    """Say what is seen in the lanes; return where that ends."""
    parts: list[str] = []
    x = -left
    for look in looks:
        width = LETTER * len(LOOKS[look]) + 2.3
        if x + width > PHONE - left + 1:
            x, y = -left, y + 1.5
        if look in MARKS:
            parts.append(_mark(look, f"{x + 0.6:.2f}em", y + 0.75))
        else:
            fill = ""
            if look in ("blocked", "turns"):
                fill = f' style="fill: url(#{escape(shown.name)}-{look})"'
            parts.append(
                f'<rect class="{look}" x="{x:.2f}em" y="{y + 0.35:.2f}em"'
                f' width="1.2em" height="0.8em"{fill}/>'
            )
        parts += _text(LOOKS[look], f"{x + 1.5:.2f}em", y + 1.1, "quiet")
        x += width
    return parts, y + 1.6
