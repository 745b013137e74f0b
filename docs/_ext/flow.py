"""Draw the questions of the chooser as SVG.

Places across are in percent and places down in ems, and colours go by class,
as in ``drawing.py``. As text does not wrap in a drawing, there is one for a
wide page and one for a phone; the style sheet shows the one that fits.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from choices import COLUMN, Choices, Leaf

ROOMS = {"desk": 54, "phone": 25}  # ems across the page
LETTER = 0.56  # ems across a letter, as a rule
BOLD = 0.63  # and across one of a heading
LINE = 1.3  # ems from a line of text to the next
LOW = 0.95  # ems from the top of a line to where its text stands
PAD = 0.25  # ems between a box and its text
TRUNK = 0.04  # of a column: where its line runs
BOX = (0.1, 0.98)  # of a column: where its boxes begin and end


@dataclass(frozen=True)
class Links:
    """Addresses of recipes by their names, and of reasons by theirs."""

    recipes: Mapping[str, str]
    reasons: Mapping[str, str]


def svg(choices: Choices, links: Links, name: str) -> str:
    """Return the drawing for a page of that name, each part on a line."""
    pen = Pen(links, ROOMS[name], [])
    height = pen.draw(choices)
    title = "The four questions, and where their answers lead"
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="group"'
        f' class="{name}" aria-labelledby="chooser-{name}" width="100%"'
        f' height="{height:.2f}em" fill="currentColor">'
    )
    words = f'<title id="chooser-{name}">{title}</title>'
    return "\n".join([opening, words, *pen.parts, "</svg>"])


@dataclass(frozen=True)
class Pen:
    """Draws on a page so many ems wide.

    Attributes:
        links: Where the words lead.
        room: The width.
        parts: What was drawn.
    """

    links: Links
    room: int
    parts: list[str]

    def draw(self, choices: Choices) -> float:
        """Draw all, and return how high it is."""
        y = 0.0
        for row in choices.exits:
            leaf = next(iter(row.leaves.values()))
            y = self.heading(choices.question(row), choices.words(row), y)
            y = self.boxes([leaf], y, columns=1)
        y = self.heading(choices.questions[COLUMN].asks, "", y)
        y = self.columns(choices, y)
        for row in choices.rows:
            words = choices.words(row)
            asks = choices.question(row) or words.capitalize()
            y = self.heading(asks, words if row.question else "", y)
            last = row is choices.rows[-1]
            y = self.boxes(list(row.leaves.values()), y, last=last)
        return y

    def heading(self, asks: str, words: str, y: float) -> float:
        """Write a question and an answer to it, on one line if they fit."""
        self.text(asks, 0, y, "asks")
        across = BOLD * (len(asks) + 1)
        if across + LETTER * len(words) > self.room:
            y += LINE
            across = self.room * BOX[0] / 3
        if words:
            self.text(words, across / self.room, y)
        return y + LINE + 0.2

    def columns(self, choices: Choices, y: float) -> float:
        """Write at the head of each column the answer that leads there."""
        count = len(choices.columns)
        letters = int(self.room / count * (1 - BOX[0]) / LETTER)
        answers = choices.questions[COLUMN].answers
        lines = {
            name: textwrap.wrap(answers[name], letters)
            for name in choices.columns
        }
        below = [  # the mark goes below the model where it does not fit beside
            BOLD * (len(leaf.use) + 1) + LETTER * len(leaf.mark)
            > self.room / count * (1 - BOX[0])
            for leaf in choices.columns.values()
        ]
        rows = max(map(len, lines.values())) + 1 + any(below)
        bottom = y + LINE * rows + 0.4
        self.line(TRUNK / count, y, (count - 1 + TRUNK) / count, y)
        for number, (name, leaf) in enumerate(choices.columns.items()):
            trunk, left = ((number + at) / count for at in (TRUNK, BOX[0]))
            self.line(trunk, y, trunk, bottom)
            self.text("\n".join(lines[name]), left, y + 0.2)
            down = y + 0.2 + LINE * len(lines[name])
            self.text(leaf.use, left, down, "asks")
            if any(below):
                self.mark(leaf, left, down + LINE)
            else:
                beside = left + BOLD * (len(leaf.use) + 1) / self.room
                self.mark(leaf, beside, down)
        return bottom + 0.3

    def boxes(
        self,
        leaves: list[Leaf],
        y: float,
        *,
        columns: int = 0,
        last: bool = False,
    ) -> float:
        """Draw a box for each leaf, and the line that leads there."""
        count = columns or len(leaves)
        # An exit's line is that of the first column.
        trunks = len(leaves) if count > 1 else 3
        width = self.room * (1 / count - (1 - BOX[1] + BOX[0]) / trunks)
        letters = int((width - 2 * PAD) / LETTER)
        texts = [_wrapped(leaf, letters) for leaf in leaves]
        height = LINE * max(map(len, texts)) + 2 * PAD
        for number, (leaf, lines) in enumerate(
            zip(leaves, texts, strict=True)
        ):
            trunk = number / count + TRUNK / trunks
            left = number / count + BOX[0] / trunks
            right = (number + 1) / count - (1 - BOX[1]) / trunks
            middle = y + height / 2
            self.line(
                trunk, y - 0.1, trunk, middle if last else y + height + 0.2
            )
            self.line(trunk, middle, left, middle)
            self.parts.append(
                f'<rect x="{left:.2%}" y="{y:.2f}em"'
                f' width="{right - left:.2%}" height="{height:.2f}em" rx="3"/>'
            )
            self.box(leaf, lines, left, right, y + PAD)
        return y + height + 0.3

    def box(
        self, leaf: Leaf, lines: list[str], left: float, right: float, y: float
    ) -> None:
        """Write what is in a box: what to use, and what says so."""
        pad = 2 * PAD / self.room
        link = self.links.recipes[leaf.recipe]
        self.text(
            "\n".join(lines[: 1 if len(lines) == 1 else -1]),
            left + pad,
            y,
            link=link,
        )
        if len(lines) > 1:
            self.mark(leaf, left + pad, y + LINE * (len(lines) - 1))
        else:
            width = LETTER * len(leaf.mark) / self.room
            self.mark(leaf, right - pad - width, y)

    def mark(self, leaf: Leaf, x: float, y: float) -> None:
        """Write what says so, and link to it."""
        link = self.links.reasons[leaf.why]
        self.text(
            leaf.mark,
            x,
            y,
            "quiet",
            link=link,
            label=f"{leaf.mark}: {leaf.use}",
        )

    def text(
        self,
        text: str,
        x: float,
        y: float,
        kind: str = "",
        *,
        link: str = "",
        label: str = "",
    ) -> None:
        """Write *text*, the top of its first line at *y*."""
        more = f' class="{kind}"' if kind else ""
        lines = "".join(
            f'<tspan x="{x:.2%}" y="{y + LOW + LINE * count:.2f}em">'
            f"{escape(line)}</tspan>"
            for count, line in enumerate(text.splitlines())
        ).replace("</tspan><tspan", "</tspan> <tspan")
        whole = f"<text{more}>{lines}</text>"
        if link:
            named = f' aria-label="{escape(label)}"' if label else ""
            whole = f'<a href="{escape(link)}"{named}>{whole}</a>'
        self.parts.append(whole)

    def line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """Draw a line."""
        self.parts.append(
            f'<line x1="{x1:.2%}" y1="{y1:.2f}em" x2="{x2:.2%}"'
            f' y2="{y2:.2f}em" stroke="currentColor"/>'
        )


def _wrapped(leaf: Leaf, letters: int) -> list[str]:
    """Return the lines of a box: one if the mark fits beside the words."""
    if len(leaf.use) + len(leaf.mark) + 2 <= letters:
        return [leaf.use]
    return [*textwrap.wrap(leaf.use, letters), leaf.mark]
