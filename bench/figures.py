"""Turn samples into rows, and look at rows.

A row is what a chart shows: a median, and how far the rounds lie apart.
"""

import ast
import hashlib
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypedDict

from cookbook import catalogue, forms

HERE = Path(__file__).parent


class Row(TypedDict):
    """A figure of a chart.

    Attributes:
        series: The Python, such as ``3.13t``.
        label: What was measured.
        x: Its place on the x-axis, if the chart has one.
        median: The middle one of the rounds' values.
        low: The lowest of them.
        high: The highest of them.
        rounds: How many rounds there were.
        values: The value of each round.
    """

    series: str
    label: str
    x: float | None
    median: float
    low: float
    high: float
    rounds: int
    values: list[float]


def rounded(value: float) -> float:
    """Return *value* with four digits that count.

    Example:
        >>> from bench.figures import rounded
        >>> rounded(1.96584), rounded(123456.7)
        (1.966, 123500.0)
    """
    return float(f"{value:.4g}")


def row(
    series: str, label: str, x: float | None, values: Iterable[float]
) -> Row:
    """Return the row of the values of some rounds.

    Raises:
        ValueError: If there is no value.

    Example:
        >>> from bench.figures import row
        >>> found = row("3.13", "Pool", None, [1.9, 2.0, 1.7])
        >>> found["low"], found["median"], found["high"]
        (1.7, 1.9, 2.0)
    """
    found = [rounded(value) for value in values]
    if not found:
        raise ValueError(f"nothing was measured for {label!r}")
    return {
        "series": series,
        "label": label,
        "x": x,
        "median": rounded(statistics.median(found)),
        "low": min(found),
        "high": max(found),
        "rounds": len(found),
        "values": found,
    }


class Rows:
    """The rows of a chart, for the predicates of its sentence.

    Attributes:
        rows: All of them.
        own: The series of the Python that has the engines.
    """

    def __init__(self, rows: Iterable[Row], own: str) -> None:
        self.rows = list(rows)
        self.own = own

    def find(
        self, label: str, series: str = "", x: float | None = None
    ) -> Row:
        """Return one row.

        Args:
            label: What was measured.
            series: The Python; by default the one with the engines.
            x: The place on the x-axis.

        Raises:
            LookupError: If there is no such row.
        """
        wanted = (series or self.own, label, x)
        for one in self.rows:
            if (one["series"], one["label"], one["x"]) == wanted:
                return one
        raise LookupError(wanted)

    def at(
        self, label: str, series: str = "", x: float | None = None
    ) -> float:
        """Return the median of one row."""
        return self.find(label, series, x)["median"]

    def line(self, label: str, series: str = "") -> dict[float, float]:
        """Return the medians of a line by their place on the x-axis.

        Raises:
            LookupError: If there is no such line.
        """
        found = {
            one["x"]: one["median"]
            for one in self.rows
            if (one["series"], one["label"]) == (series or self.own, label)
            and one["x"] is not None
        }
        if not found:
            raise LookupError(label)
        return found

    def series(self, label: str) -> dict[str, float]:
        """Return the median of each Python that has a row of this label.

        Raises:
            LookupError: If none has.
        """
        found = {
            one["series"]: one["median"]
            for one in self.rows
            if one["label"] == label
        }
        if not found:
            raise LookupError(label)
        return found

    def ratios(self, label: str, other: str) -> list[float]:
        """Return what the quotient of two rows is in each round."""
        pairs = zip(
            self.find(label)["values"], self.find(other)["values"], strict=True
        )
        return [value / by for value, by in pairs]


def sources() -> dict[str, str]:
    """Return a fingerprint of everything that is measured, by name.

    These are the modules of this package, together as ``bench``, and each
    module of the book that one of them imports.
    """
    texts = [
        path.read_text(encoding="utf-8") for path in sorted(HERE.glob("*.py"))
    ]
    prints = "".join(map(forms.fingerprint, texts))
    found = {"bench": hashlib.sha256(prints.encode()).hexdigest()[:16]}
    for name in sorted({one for text in texts for one in measured(text)}):
        path = catalogue.ROOT / f"{name.replace('.', '/')}.py"
        found[name] = forms.fingerprint(path.read_text(encoding="utf-8"))
    return found


def measured(source: str) -> Iterator[str]:
    """Yield the names of the recipes that a module imports from.

    Example:
        >>> from bench.figures import measured
        >>> [*measured("from cookbook.threads.barrier import Turns")]
        ['threads.barrier']
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            package, _, name = node.module.partition(".")
            if package == "cookbook" and name:
                yield name
