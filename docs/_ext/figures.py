"""What was measured: the figures of ``docs/recorded/bench.json``.

``nox -s bench`` writes the file; the book draws it, and measures nothing.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from cookbook import forms

KINDS = ("bars", "lines")
TARGET = re.compile(r"(>=|<=) *([0-9.]+)(.*)")
PYTHON = re.compile(r"3\.[0-9]+t?")


class FiguresError(ValueError):
    """The file does not hold what it should."""


@dataclass(frozen=True)
class Row:
    """One measurement: the median of its rounds, and how far they lie apart.

    Attributes:
        series: What the row belongs to, such as ``"3.13"``, a Python.
        label: What was measured.
        x: Where it stands on the axis; None if the chart has no axis.
        median: The figure.
        low: The lowest of the rounds.
        high: The highest of them.
        rounds: How many there were.
    """

    series: str
    label: str
    x: float | None
    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True)
class Axis:
    """What a chart's lines run along."""

    label: str
    log: bool


@dataclass(frozen=True)
class Reference:
    """A figure that the others are held against."""

    label: str
    value: float


@dataclass(frozen=True)
class Chart:
    """Rows that are drawn together, and the sentence that they support.

    Attributes:
        name: Its key in the file.
        title: Its heading.
        sentence: What it shows, in reStructuredText, with no figure in it.
        holds: Whether the sentence is true of these rows.
        recipes: The recipes that show the chart on their page.
        unit: What the figures count.
        kind: One of :data:`KINDS`.
        x: The axis of lines; None for bars.
        log: Whether the figures are drawn on a logarithmic scale.
        reference: What they are held against; None if there is nothing.
        rows: The measurements in the order in which they are shown, those
            of a series together.
    """

    name: str
    title: str
    sentence: str
    holds: bool
    recipes: tuple[str, ...]
    unit: str
    kind: str
    x: Axis | None
    log: bool
    reference: Reference | None
    rows: tuple[Row, ...]

    @property
    def series(self) -> list[str]:
        """The series of the rows, in their order."""
        return list(dict.fromkeys(row.series for row in self.rows))

    @property
    def columns(self) -> list[str]:
        """The headings of the chart's table."""
        python = all(map(PYTHON.fullmatch, self.series))
        return [
            *(["Python" if python else "Series"] if self.series[1:] else []),
            "Measured",
            *([self.x.label] if self.x else []),
            "Median",
            "Spread",
            "Rounds",
        ]

    @property
    def cells(self) -> list[list[str]]:
        """The lines of the chart's table."""
        return [
            [
                *([row.series] if self.series[1:] else []),
                row.label,
                *([f"{row.x:,g}"] if row.x is not None else []),
                number(row.median),
                f"{number(row.low)} to {number(row.high)}",
                str(row.rounds),
            ]
            for row in self.rows
        ]


@dataclass(frozen=True)
class Target:
    """What the book asks of its own recipes, and what came of it.

    Attributes:
        text: What was measured.
        target: The bound, such as ``">= 0.95"``.
        measured: The median.
        low: The lowest of the rounds.
        high: The highest of them.
        met: Whether the target is met.
        note: Why not, or how it was judged; may be empty.
    """

    text: str
    target: str
    measured: float
    low: float
    high: float
    met: bool
    note: str

    @property
    def bound(self) -> str:
        """The target in words."""
        match = _target(self.target)
        words = {">=": "at least", "<=": "at most"}[match[1]]
        return f"{words} {match[2]}{match[3]}"

    @property
    def verdict(self) -> str:
        """Whether the target is met, or by how much it is missed."""
        if self.met:
            return "met"
        goal = float(_target(self.target)[2])
        by = abs(self.measured - goal)
        return f"missed by {number(by)} ({by / goal:.0%})"


@dataclass(frozen=True)
class Figures:
    """The whole file.

    Attributes:
        machine: ``cpu``, ``cores``, ``memory`` and ``system``.
        pythons: The version of each Python, by the name of its build.
        packages: The version of each package.
        source: The fingerprint of the code that was measured, by module.
        charts: In the order of the file.
        targets: In the order of the file.
        left_out: Why something was not measured, by what it is.
    """

    machine: dict[str, str]
    pythons: dict[str, str]
    packages: dict[str, str]
    source: dict[str, str]
    charts: tuple[Chart, ...]
    targets: tuple[Target, ...]
    left_out: dict[str, str]

    @property
    def builds(self) -> list[str]:
        """The versions, in order, a ``t`` at the end of free-threaded ones."""
        return [
            version + "t" * build.endswith("t")
            for build, version in sorted(self.pythons.items())
        ]

    def of(self, recipe: str) -> list[Chart]:
        """Return the charts that the page of *recipe* shows."""
        return [one for one in self.charts if recipe in one.recipes]

    def stale(self, root: Path) -> list[str]:
        """Return the modules below *root* that have changed since."""
        return [
            name
            for name, code in self.source.items()
            if forms.fingerprint(*_sources(name, root)) != code
        ]

    def problems(self, known: set[str]) -> Iterator[str]:
        """Yield what must not be published.

        Args:
            known: The names of the recipes that there are.
        """
        for chart in self.charts:
            if not chart.holds:
                yield (
                    f"chart {chart.name!r} does not bear out its sentence: "
                    f"{chart.sentence}"
                )
            for name in chart.recipes:
                if name not in known:
                    yield f"chart {chart.name!r} names no recipe: {name!r}"


def read(text: str) -> Figures:
    """Return what the file with this *text* holds.

    Raises:
        FiguresError: If something is missing or is not what it should be; it
            says what, and where.
    """
    try:
        whole = json.loads(text)
    except ValueError as error:
        raise FiguresError(f"no JSON: {error}") from None
    charts = _get(whole, "charts", dict, "the file")
    targets = _get(whole, "targets", list, "the file")
    source = _texts(whole, "source")
    _get(source, "bench", str, "'source'")
    machine = _get(whole, "machine", dict, "the file")
    return Figures(
        {
            key: str(_get(machine, key, str | int, "'machine'"))
            for key in ("cpu", "cores", "memory", "system")
        },
        _texts(whole, "pythons"),
        _texts(whole, "packages"),
        source,
        tuple(_chart(name, one) for name, one in charts.items()),
        tuple(_read_target(n, one) for n, one in enumerate(targets, 1)),
        _texts({"left out": {}} | whole, "left out"),
    )


def number(value: float) -> str:
    """Return *value* as it is shown: to three digits, or two below one."""
    if value == 0:
        return "0"
    digits = 2 if abs(value) < 1 else 3
    value = float(f"{value:.{digits - 1}e}")
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:,.{max(places, 0)}f}"


def _sources(name: str, root: Path) -> Iterator[str]:
    """Yield the texts of the files that *name* stands for, if they exist."""
    paths = (
        sorted((root / name).glob("*.py"))
        if name == "bench"
        else [root / "cookbook" / f"{name.replace('.', '/')}.py"]
    )
    for path in paths:
        if path.exists():
            yield path.read_text(encoding="utf-8")


def _chart(name: str, given: Any) -> Chart:
    where = f"chart {name!r}"
    x = _get(given, "x", dict | None, where)
    reference = _get(given, "reference", dict | None, where)
    rows = _get(given, "rows", list, where)
    chart = Chart(
        name,
        _get(given, "title", str, where),
        _get(given, "sentence", str, where),
        _get(given, "holds", bool, where),
        tuple(map(str, _get(given, "recipes", list, where))),
        _get(given, "unit", str, where),
        _get(given, "kind", str, where),
        x
        and Axis(
            _get(x, "label", str, f"{where}, 'x'"),
            _get(x, "log", bool, f"{where}, 'x'"),
        ),
        _get(given, "log", bool, where),
        reference
        and Reference(
            _get(reference, "label", str, f"{where}, 'reference'"),
            _number(reference, "value", f"{where}, 'reference'"),
        ),
        _together(
            _row(one, f"{where}, row {n}") for n, one in enumerate(rows, 1)
        ),
    )
    _check(chart, where)
    return chart


def _together(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return the rows series by series, in the order of the first of each."""
    series: dict[str, list[Row]] = {}
    for row in rows:
        series.setdefault(row.series, []).append(row)
    return tuple(chain.from_iterable(series.values()))


def _row(given: Any, where: str) -> Row:
    return Row(
        _get(given, "series", str, where),
        _get(given, "label", str, where),
        None if given.get("x") is None else _number(given, "x", where),
        _number(given, "median", where),
        _number(given, "low", where),
        _number(given, "high", where),
        _get(given, "rounds", int, where),
    )


def _check(chart: Chart, where: str) -> None:
    """Raise an error if the parts of a chart do not go together."""
    if chart.kind not in KINDS:
        raise FiguresError(
            f"{where}: 'kind' is none of {KINDS}: {chart.kind!r}"
        )
    if not chart.rows:
        raise FiguresError(f"{where} has no rows")
    if (chart.kind == "lines") is not (chart.x is not None):
        raise FiguresError(f"{where}: lines have an 'x', and bars have none")
    seen = set()
    for count, row in enumerate(chart.rows, 1):
        here = f"{where}, row {count}"
        if (row.x is None) is not (chart.x is None):
            raise FiguresError(f"{here}: 'x' is {row.x!r}")
        if not row.low <= row.median <= row.high:
            raise FiguresError(f"{here}: the median is outside its spread")
        if row.low < 0 or (chart.log and not row.low):
            raise FiguresError(f"{here}: {row.low} has no place on the scale")
        if chart.x and chart.x.log and (row.x or 0) <= 0:
            raise FiguresError(f"{here}: {row.x} has no place on the axis")
        key = (row.series, row.label, row.x)
        if key in seen:
            raise FiguresError(f"{here} was there before: {key}")
        seen.add(key)


def _read_target(count: int, given: Any) -> Target:
    where = f"target {count}"
    target = Target(
        _get(given, "text", str, where),
        _get(given, "target", str, where),
        _number(given, "measured", where),
        _number(given, "low", where),
        _number(given, "high", where),
        _get(given, "met", bool, where),
        str(given.get("note", "")),
    )
    _target(target.target)
    return target


def _target(text: str) -> re.Match[str]:
    if match := TARGET.fullmatch(text):
        return match
    raise FiguresError(f"no target: {text!r}")


def _texts(whole: Mapping[str, Any], key: str) -> dict[str, str]:
    values = _get(whole, key, dict, "the file")
    return {name: _get(values, name, str, repr(key)) for name in values}


def _number(given: Any, key: str, where: str) -> float:
    value = float(_get(given, key, int | float, where))
    if not math.isfinite(value):
        raise FiguresError(f"{where}: {key!r} is {value}")
    return value


def _get(given: Any, key: str, kind: Any, where: str) -> Any:
    """Return ``given[key]``, of which it is known that it is a *kind*."""
    if not isinstance(given, dict):
        raise FiguresError(f"{where} is no object")
    if key not in given:
        raise FiguresError(f"{where} has no {key!r}")
    value = given[key]
    if not isinstance(value, kind) or (
        isinstance(value, bool) and kind is not bool
    ):
        raise FiguresError(f"{where}: {key!r} is {value!r}")
    return value
