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
        """Return the decision table, a column for each answer.

        The exits, which are asked for before the columns, stand in a table of
        their own above: a head can only come first.
        """
        answers = chooser.questions[choices.COLUMN].answers
        heads = [
            f"{answers[name]}\n\n**{leaf.use}**"
            for name, leaf in chooser.columns.items()
        ]
        asks = chooser.questions[choices.COLUMN].asks
        exits = [
            [label(chooser, row), cell(next(iter(row.leaves.values())))]
            for row in chooser.exits
        ]
        rows = [
            [label(chooser, row), *map(cell, row.leaves.values())]
            for row in chooser.rows
        ]
        return [self.grid([], exits), self.grid([asks, *heads], rows)]

    def grid(self, heads: list[str], rows: list[list[str]]) -> nodes.table:
        """Return a table whose first column names the rows."""
        columns = len(rows[0]) - 1
        group = nodes.tgroup(cols=columns + 1)
        group += nodes.colspec(colwidth=40, stub=1)
        group += [
            nodes.colspec(colwidth=60 // columns) for _ in range(columns)
        ]
        if heads:
            group += nodes.thead("", self.row(heads))
        group += nodes.tbody("", *map(self.row, rows))
        return nodes.table("", group, classes=["chooser"])

    def row(self, texts: list[str]) -> nodes.row:
        """Return a row with a cell for each text."""
        return nodes.row(
            "",
            *(
                nodes.entry("", *self.parse_text_to_nodes(text))
                for text in texts
            ),
        )


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
