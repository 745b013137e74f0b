"""Read what was verified of a recipe, and draw it as a grid.

A row is an interpreter, a column a start method, or else the only column is
all tests. ``verified.py`` says what must not be published.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

METHODS = ("fork", "forkserver", "spawn")
OTHER = "other"
BESIDE = "the tests that are not run with each start method"
SYSTEMS = {"Darwin": "macOS"}  # what readers call it
MARKS = {"passed": "✓", "failed": "✗", "not applicable": "&#8211;"}
Facts = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """What came of the tests of one start method on one interpreter.

    Attributes:
        outcome: Passed, failed or not applicable.
        words: The same, with numbers and reasons.
    """

    outcome: str
    words: str


@dataclass(frozen=True)
class Verified:
    """What was verified of a recipe.

    Attributes:
        code: The fingerprint of the recipe's code.
        proof: The fingerprint of the code of its tests.
        runs: By platform and build, what came of the tests.
        since: The first Python that the recipe is for.
    """

    code: str
    proof: str
    runs: dict[str, dict[str, Facts]]
    since: str = "3.11"

    @property
    def columns(self) -> list[str]:
        """The start methods that are tried, then the other tests."""
        tried = {
            column
            for builds in self.runs.values()
            for run in builds.values()
            for column in run["cells"]
        }
        return [*(one for one in METHODS if one in tried), OTHER]

    @property
    def failing(self) -> list[str]:
        """Where a test fails, such as ``3.12 on Linux (fork)``."""
        return [
            f"{build} on {system(where)}"
            + (f" ({column})" if column != OTHER else "")
            for where, builds in self.runs.items()
            for build, run in builds.items()
            for column, cell in run["cells"].items()
            if "failed" in cell
        ]

    def cell(self, where: str, build: str, column: str) -> Cell:
        """Return what stands in a cell of the grid."""
        found = self.runs[where][build]["cells"].get(column)
        if found is None:
            return Cell(
                "not applicable",
                f"not applicable: no test with {column} on {system(where)}",
            )
        passed, reasons = found["passed"], found.get("skipped", [])
        if failed := found.get("failed"):
            return Cell("failed", f"failed: {', '.join(failed)}")
        words = f"{passed} passed"
        if minor(build) < minor(self.since):
            tried = f"the recipe is for Python {self.since} and later"
            return Cell("not applicable", f"not applicable: {tried}; {words}")
        left_out = f"not applicable: {'; '.join(reasons)}"
        if not passed:
            return Cell("not applicable", left_out)
        return Cell("passed", f"{words}; {left_out}" if reasons else words)

    def when(self, test: str) -> str:
        """Return where the sentence of *test* holds; empty for everywhere.

        Args:
            test: The name of the test's function.
        """
        by_words: dict[str, list[str]] = defaultdict(list)
        for where, builds in self.runs.items():
            held = [b for b, run in builds.items() if holds(run, test)]
            failed = [b for b, run in builds.items() if fails(run, test)]
            words = condition(held, list(builds))
            if failed:
                words = f"{words}; " if words else ""
                words += f"fails on {', '.join(failed)}"
            by_words[words or "always"].append(where)
        if len(by_words) == 1:
            [only] = by_words
            if only == NEVER:
                return f"not run: {self.reason(test)}"
            return only.replace("always", "")
        return "; ".join(
            on(places) + (f", {words}" if words != "always" else "")
            for words, places in by_words.items()
            if words != NEVER
        )

    def reason(self, test: str) -> str:
        """Return why *test* was run nowhere."""
        return next(
            str(reason)
            for builds in self.runs.values()
            for run in builds.values()
            for name, reason in run["not run"].items()
            if name == test
        )


def read(text: str, since: str = "3.11") -> Verified:
    """Return what is recorded in *text*, for a recipe of *since*."""
    facts = json.loads(text)
    return Verified(facts["code"], facts["proof"], facts["runs"], since)


def minor(build: str) -> int:
    """Return 13 for ``3.13t``."""
    return int(build.removesuffix("t").partition(".")[2])


def system(where: str) -> str:
    """Return what readers call a platform's system."""
    name = where.partition(" ")[0]
    return SYSTEMS.get(name, name)


def on(places: list[str]) -> str:
    """Return the words for some platforms: on Linux and macOS."""
    names = list(dict.fromkeys(map(system, places)))
    return "on " + " and ".join(
        filter(None, [", ".join(names[:-1]), names[-1]])
    )


def fails(run: Facts, test: str) -> bool:
    """Tell whether a case of *test* failed in a run."""
    return any(
        one.partition("[")[0] == test
        for cell in run["cells"].values()
        for one in cell.get("failed", [])
    )


def holds(run: Facts, test: str) -> bool:
    """Tell whether *test* passed in a run, at least for a case."""
    return test not in run["not run"] and not fails(run, test)


NEVER = "nowhere"


def condition(held: list[str], builds: list[str]) -> str:
    """Return the words that pick *held* out of *builds*; empty for all.

    Args:
        held: Builds such as ``3.13`` and ``3.13t``, the oldest first.
        builds: All builds that were tried.
    """
    if not held:
        return NEVER
    for words, picks in conditions(held):
        if [one for one in builds if picks(one)] == held:
            return words
    return f"on {', '.join(held)}"


def conditions(
    held: list[str],
) -> Iterator[tuple[str, Callable[[str], bool]]]:
    """Yield words and what they pick, the simplest first."""
    first, last = minor(held[0]), minor(held[-1])
    gil = {
        "": lambda _: True,
        "with the GIL": lambda one: not one.endswith("t"),
        "without the GIL": lambda one: one.endswith("t"),
    }
    span: dict[str, Callable[[str], bool]] = {
        "": lambda _: True,
        f"from {first_of(held)}": lambda one: minor(one) >= first,
        f"up to {first_of(held[::-1])}": lambda one: minor(one) <= last,
    }
    for when, spans in span.items():
        for which, builds in gil.items():
            words = ", ".join(filter(None, [when, which]))

            def picks(
                one: str,
                spans: Callable[[str], bool] = spans,
                builds: Callable[[str], bool] = builds,
            ) -> bool:
                return spans(one) and builds(one)

            yield words, picks


def first_of(builds: list[str]) -> str:
    """Return the version of the first of *builds*."""
    return builds[0].removesuffix("t")


def html(found: Verified) -> str:
    """Return the grid as a table."""
    columns = found.columns
    heads = "".join(
        f'<th scope="col">{one}</th>' for one in columns if one in METHODS
    )
    if heads:
        heads += f'<th scope="col" title="{BESIDE}">other</th>'
    else:
        heads = '<th scope="col">tests</th>'
    bodies = "".join(
        f"<tbody>{''.join(rows(found, where, columns))}</tbody>"
        for where in found.runs
    )
    return (
        '<table class="verified"><caption>Verified on</caption>'
        f'<thead><tr><th scope="col">Python</th>{heads}</tr></thead>'
        f"{bodies}</table>"
    )


def rows(found: Verified, where: str, columns: list[str]) -> Iterator[str]:
    """Yield the rows of one platform, its name first."""
    name = escape(where.replace(where.partition(" ")[0], system(where), 1))
    span = len(columns) + 1
    yield f'<tr><th scope="rowgroup" colspan="{span}">{name}</th></tr>'
    for build, run in found.runs[where].items():
        python = run["python"] + ("t" if build.endswith("t") else "")
        cells = "".join(
            drawn(found.cell(where, build, column)) for column in columns
        )
        yield (
            f'<tr><th scope="row" title="{escape(run["build"])}">{python}</th>'
            f"{cells}</tr>"
        )


def drawn(cell: Cell) -> str:
    """Return a cell: a mark, and the words for who cannot see it."""
    words = escape(cell.words)
    return (
        f'<td class="{cell.outcome.replace(" ", "-")}" title="{words}">'
        f'<span aria-hidden="true">{MARKS[cell.outcome]}</span>'
        f'<span class="visually-hidden">{words}</span></td>'
    )
