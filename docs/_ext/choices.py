"""The questions of the chooser, and where their answers lead.

``docs/choosing.toml`` holds them; ``chooser.py`` makes the page of them.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

CHART = "chart:"
COLUMN = "waits"  # the question whose answers are the columns

Answers = Mapping[str, str]


class ChoicesError(ValueError):
    """The file does not hold what it should."""


@dataclass(frozen=True)
class Question:
    """A question and its answers, in words.

    Attributes:
        asks: The question.
        answers: The words of each answer, by its name.
    """

    asks: str
    answers: dict[str, str]


@dataclass(frozen=True)
class Leaf:
    """What to use, and why.

    Attributes:
        use: It, in a few words.
        recipe: The recipe to start with; empty for a column.
        why: The test that proves it, or the chart that shows it.
    """

    use: str
    recipe: str
    why: str

    @property
    def chart(self) -> str:
        """The name of the chart that shows it; empty if a test proves it."""
        return self.why.removeprefix(CHART) if self.measured else ""

    @property
    def measured(self) -> bool:
        """Whether the reason is a chart."""
        return self.why.startswith(CHART)

    @property
    def mark(self) -> str:
        """What the reason is, in a word."""
        return "measured" if self.measured else "proved"


@dataclass(frozen=True)
class Row:
    """An answer that decides, and what it leads to in each column.

    Attributes:
        question: The name of the question; empty if the row fits always.
        answer: The name of the answer.
        leaves: Where it leads, by the answer to :data:`COLUMN`; an exit has
            the same leaf for each.
    """

    question: str
    answer: str
    leaves: dict[str, Leaf]

    def fits(self, answers: Answers) -> bool:
        """Tell whether *answers* lead here."""
        return not self.question or answers[self.question] == self.answer


@dataclass(frozen=True)
class Choices:
    """The whole file.

    Attributes:
        questions: In the order in which the answers are listed.
        columns: What is used by the answer to :data:`COLUMN`.
        exits: The rows that are the same in each column.
        rows: The others; the last one fits always.
    """

    questions: dict[str, Question]
    columns: dict[str, Leaf]
    exits: tuple[Row, ...]
    rows: tuple[Row, ...]

    def combinations(self) -> Iterator[dict[str, str]]:
        """Yield each way to answer all questions."""
        names = list(self.questions)
        for chosen in product(
            *(one.answers for one in self.questions.values())
        ):
            yield dict(zip(names, chosen, strict=True))

    def decide(self, answers: Answers) -> Leaf:
        """Return where *answers* lead: to the first row that fits."""
        for row in self.exits + self.rows:
            if row.fits(answers):
                return row.leaves[answers[COLUMN]]
        raise ChoicesError(f"no row fits {dict(answers)}")

    def leaves(self) -> list[Leaf]:
        """Return every leaf once, in order."""
        every = (
            leaf
            for row in self.exits + self.rows
            for leaf in row.leaves.values()
        )
        return list(dict.fromkeys(every))

    def reasons(self) -> Iterator[tuple[str, Leaf]]:
        """Yield for each edge the words of its answers, and its leaf."""
        for row in self.exits:
            yield self.words(row), next(iter(row.leaves.values()))
        for name, leaf in self.columns.items():
            yield self.questions[COLUMN].answers[name], leaf
        for row in self.rows:
            for name, leaf in row.leaves.items():
                yield f"{self.columns[name].use}, {self.words(row)}", leaf

    def words(self, row: Row) -> str:
        """Return the answer that leads to *row*."""
        if not row.question:
            return "otherwise"
        return self.questions[row.question].answers[row.answer]

    def question(self, row: Row) -> str:
        """Return the question that is asked before *row*."""
        return self.questions[row.question].asks if row.question else ""


def load(docs: Path) -> Choices:
    """Return what ``choosing.toml`` in *docs* holds.

    Raises:
        ChoicesError: If it does not hold what it should.
    """
    path = docs / "choosing.toml"
    try:
        return read(path.read_text(encoding="utf-8"))
    except (KeyError, TypeError, ValueError) as error:
        raise ChoicesError(f"{path}: {error!r}") from error


def read(text: str) -> Choices:
    """Return what a file with this *text* holds."""
    given = tomllib.loads(text)
    questions = {
        name: Question(one["asks"], one["answers"])
        for name, one in given["questions"].items()
    }
    names = list(questions[COLUMN].answers)
    columns = {
        one["answer"]: Leaf(one["use"], "", one["why"])
        for one in given["columns"]
    }
    exits = tuple(
        _row(one, dict.fromkeys(names, _leaf(one))) for one in given["exits"]
    )
    rows = tuple(
        _row(one, {name: _leaf(one[name]) for name in names})
        for one in given["rows"]
    )
    if list(columns) != names:
        raise ChoicesError(f"the columns are {list(columns)}, not {names}")
    for row in exits + rows:
        if row.question and row.answer not in questions[row.question].answers:
            raise ChoicesError(
                f"no answer to {row.question!r}: {row.answer!r}"
            )
    return Choices(questions, columns, exits, rows)


def _row(given: Mapping[str, Any], leaves: dict[str, Leaf]) -> Row:
    return Row(given.get("question", ""), given.get("answer", ""), leaves)


def _leaf(given: Mapping[str, str]) -> Leaf:
    return Leaf(given["use"], given["recipe"], given["why"])
