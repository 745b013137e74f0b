"""The parts of the chooser, all made of ``docs/choosing.toml``.

``.. chooser:: table``
    shows it as a decision table.
``.. chooser:: diagram``
    shows it as a drawing.
``.. chooser:: reasons``
    lists for each answer what says that it leads there.

A recipe, a test or a chart that does not exist is a warning.
"""

from pathlib import Path

import choices
import flow
import sources
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

PARTS = ("diagram", "reasons", "table")


class ChooserDirective(SphinxDirective):
    """A part of the chooser."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the part that the argument names."""
        docs = Path(self.env.srcdir)
        self.env.note_dependency(docs / "choosing.toml")
        try:
            chooser = choices.load(docs)
        except choices.ChoicesError as error:
            raise ExtensionError(str(error)) from error
        part = self.arguments[0]
        if part not in PARTS:
            raise self.error(f"there is no part {part!r} of the chooser")
        if part == "diagram":
            return diagram(chooser)
        return (
            self.table(chooser) if part == "table" else self.reasons(chooser)
        )

    def reasons(self, chooser: choices.Choices) -> list[nodes.Node]:
        """Return a list of all edges and what each rests on."""
        text = "".join(
            f"{capital(words)}: {leaf.use}\n"
            f"    {capital(leaf.mark)}: {reason(leaf)}.\n"
            for words, leaf in chooser.reasons()
        )
        return self.parse_text_to_nodes(text)

    def table(self, chooser: choices.Choices) -> list[nodes.Node]:
        """Return the decision table, a column for each answer."""
        columns = len(chooser.columns)
        answers = chooser.questions[choices.COLUMN].answers
        heads = [
            f"{answers[name]}\n\n**{leaf.use}**"
            for name, leaf in chooser.columns.items()
        ]
        group = nodes.tgroup(cols=columns + 1)
        group += nodes.colspec(colwidth=40, stub=1)
        group += [nodes.colspec(colwidth=20) for _ in answers]
        head, body = nodes.thead(), nodes.tbody()
        asks = chooser.questions[choices.COLUMN].asks
        head += self.row([asks, *heads])
        for row in chooser.exits:
            leaf = next(iter(row.leaves.values()))
            body += self.row([label(chooser, row), cell(leaf)], columns - 1)
        for row in chooser.rows:
            cells = map(cell, row.leaves.values())
            body += self.row([label(chooser, row), *cells])
        group += [head, body]
        return [nodes.table("", group, classes=["chooser"])]

    def row(self, texts: list[str], more: int = 0) -> nodes.row:
        """Return a row; the last cell spans *more* columns."""
        entries = [
            nodes.entry("", *self.parse_text_to_nodes(text)) for text in texts
        ]
        if more:
            entries[-1]["morecols"] = more
        return nodes.row("", *entries)


def label(chooser: choices.Choices, row: choices.Row) -> str:
    """Return the words at the head of a row."""
    words = chooser.words(row)
    if not row.question:
        return capital(words)
    return f"{chooser.question(row)} {capital(words)}"


def capital(words: str) -> str:
    """Return *words* as the beginning of a line."""
    return words[:1].upper() + words[1:]


def cell(leaf: choices.Leaf) -> str:
    """Return a leaf as the table shows it."""
    return f":recipe:`{leaf.use} <{leaf.recipe}>`"


def reason(leaf: choices.Leaf) -> str:
    """Return a link to what says so."""
    if leaf.measured:
        return f":ref:`chart-{leaf.chart}`"
    return f":proof:`{leaf.why}`"


def diagram(chooser: choices.Choices) -> list[nodes.Node]:
    """Return the drawings: one for a wide page, one for a phone."""
    links = flow.Links(
        {
            leaf.recipe: f"recipes/{leaf.recipe.replace('.', '/')}.html"
            for leaf in chooser.leaves()
        },
        {leaf.why: address(leaf) for _, leaf in chooser.reasons()},
    )
    drawings = [flow.svg(chooser, links, name) for name in flow.ROOMS]
    html = "\n".join(['<div class="flow">', *drawings, "</div>"])
    return [nodes.raw("", html, format="html")]


def address(leaf: choices.Leaf) -> str:
    """Return where the reason of a leaf is: a chart or the line of a test."""
    if leaf.measured:
        return f"measured.html#chart-{leaf.chart.replace('_', '-')}"
    file, _, name = leaf.why.partition("::")
    claims = sources.claims(sources.TESTS / f"{file}.py")
    return next((one.url for one in claims if one.name == name), "")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add the directive."""
    app.add_directive("chooser", ChooserDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
