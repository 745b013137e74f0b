"""Record which tests of each recipe passed on this interpreter, for its page.

``pytest --verify FILE`` writes down what one run has checked. A recipe is left
out if not every test of it was asked for, or if all were skipped.
``python -m tests.verify`` runs what is due and keeps it in
``docs/recorded/verified/``.
"""

import ast
import json
import platform
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cookbook import catalogue, forms
from tests.exploring import BUILD, RECORDED

OPTION = "--verify"
ROOT = Path(__file__).parent.parent
VERIFIED = RECORDED / "verified"
PLATFORM = f"{platform.system()} {platform.machine()}"
METHODS = ("fork", "forkserver", "spawn")
OTHER = "other"  # the tests that are not run with each start method
OUTCOMES = ("passed", "skipped", "failed")  # the worst last
PARAMETERS = re.compile(r"\[(.*)\]$", re.DOTALL)
Facts = dict[str, Any]


class Ended(NamedTuple):
    """How a test came to its end, and if it was skipped, why."""

    outcome: str
    reason: str = ""


class Recorder:
    """The plugin: notes how the tests of recipes end, and writes it down.

    The file is written anew when a recipe is complete, so that a run that is
    cut short has recorded something.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.due: dict[str, set[str]] = defaultdict(set)  # by recipe
        self.ended: dict[str, dict[str, Ended]] = defaultdict(dict)
        self.deselected: set[str] = set()
        self.code: dict[str, Facts] = {}  # fingerprints of what is run
        self.records: dict[str, Facts] = {}

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Leave out the recipes whose tests were not all asked for."""
        self.deselected |= {recipe_of(item.nodeid) for item in items}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note which tests there are."""
        for item in session.items:
            if name := recipe_of(item.nodeid):
                self.due[name].add(item.nodeid)
        for name in [*self.due]:
            if name in self.deselected or not is_whole(name, self.due[name]):
                del self.due[name]
        self.code = {name: fingerprints(recipes()[name]) for name in self.due}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a test ended, or a part of it."""
        name, test = recipe_of(report.nodeid), report.nodeid
        if name not in self.due:
            return
        known = self.ended[name].get(test, Ended("passed"))
        self.ended[name][test] = max(
            known, ended(report), key=lambda one: OUTCOMES.index(one.outcome)
        )
        if report.when == "teardown":
            self.due[name].discard(test)
            outcomes = {end.outcome for end in self.ended[name].values()}
            if not self.due[name] and outcomes != {"skipped"}:
                self.records[name] = {
                    **self.code[name],
                    **record(self.ended[name]),
                }
                self.path.write_text(json.dumps(self.records), "utf-8")


def ended(report: pytest.TestReport) -> Ended:
    """Return how a part of a test ended; what fails as expected has passed."""
    if hasattr(report, "wasxfail"):
        return Ended("passed")
    reason = ""
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
    return Ended(report.outcome, reason)


def files_of(recipe: catalogue.Recipe) -> tuple[Path, Path]:
    """Return the module of *recipe* and the file of its tests."""
    *chapter, name = recipe.name.split(".")
    tests = ROOT.joinpath("tests", *chapter, f"test_{name}.py")
    return recipe.path, tests


@cache
def recipes() -> dict[str, catalogue.Recipe]:
    """Return the recipes by name."""
    return {recipe.name: recipe for recipe in catalogue.recipes()}


@cache
def names_by_file() -> dict[str, str]:
    """Return the names of the recipes, by the files that hold their tests."""
    return {
        path.relative_to(ROOT).as_posix(): recipe.name
        for recipe in recipes().values()
        for path in files_of(recipe)
    }


def recipe_of(test: str) -> str:
    """Return the recipe that a test is of; an empty name for none."""
    return names_by_file().get(test.partition("::")[0], "")


def is_whole(name: str, tests: Iterable[str]) -> bool:
    """Tell whether *tests* are all those of a recipe, doctests too.

    What a test is run with is not looked at.
    """
    _, proof = files_of(recipes()[name])
    expected = {
        node.name
        for node in ast.parse(proof.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_")
    }
    found = {function(test).rpartition(".")[2] for test in tests}
    return {"main", *expected} <= found


def function(test: str) -> str:
    """Return the name of the function of a test, or of its doctest."""
    return PARAMETERS.sub("", test.partition("::")[2])


def method(test: str) -> str:
    """Return the start method that a test is run with, or ``"other"``."""
    match = PARAMETERS.search(test)
    words = match[1].split("-") if match else []
    return next((word for word in words if word in METHODS), OTHER)


def fingerprints(recipe: catalogue.Recipe) -> dict[str, str]:
    """Return the fingerprints of the code of *recipe* and of its tests."""
    module, proof = files_of(recipe)
    return {
        "code": forms.fingerprint(module.read_text(encoding="utf-8")),
        "proof": forms.fingerprint(proof.read_text(encoding="utf-8")),
    }


def record(tests: Mapping[str, Ended]) -> Facts:
    """Return what came of *tests* on this build only."""
    python, run = platform.python_version(), run_of(tests)
    return {
        "runs": {
            PLATFORM: {BUILD: {"python": python, "build": build(), **run}}
        }
    }


def build() -> str:
    """Return what tells this build from others of the same version."""
    branch, date = platform.python_build()
    day = " ".join(date.split()[:3])
    return ", ".join(filter(None, [branch, day, platform.python_compiler()]))


def run_of(tests: Mapping[str, Ended]) -> Facts:
    """Return what came of *tests*.

    Returns:
        For each start method, and for the other tests, how many of them
        passed, why some were skipped and which failed. And the functions of
        which no case ran, with the reason.
    """
    cells: dict[str, Facts] = {}
    functions: dict[str, list[Ended]] = defaultdict(list)
    for column in (*METHODS, OTHER):
        found = {t: e for t, e in tests.items() if method(t) == column}
        for test, end in found.items():
            functions[function(test)].append(end)
        outcomes = [end.outcome for end in found.values()]
        reasons = {e.reason for e in found.values() if e.outcome == "skipped"}
        failed = [t for t, e in found.items() if e.outcome == "failed"]
        if found:
            cells[column] = {"passed": outcomes.count("passed")}
            if reasons:
                cells[column]["skipped"] = sorted(reasons)
            if failed:
                cells[column]["failed"] = sorted(
                    test.partition("::")[2] for test in failed
                )
    not_run = {
        name: ends[0].reason
        for name, ends in sorted(functions.items())
        if all(end.outcome == "skipped" for end in ends)
    }
    return {"cells": cells, "not run": not_run}


def failures(found: Facts) -> list[str]:
    """Return the tests that failed in any run of a record."""
    return [
        test
        for runs in found["runs"].values()
        for run in runs.values()
        for cell in run["cells"].values()
        for test in cell.get("failed", [])
    ]


def merged(name: str, *records: Facts) -> Facts:
    """Return one record of a recipe out of several; a later run wins.

    Raises:
        ValueError: If they are of different code.
    """
    runs: dict[str, dict[str, Facts]] = defaultdict(dict)
    first = records[0]
    for one in records:
        for key in ("code", "proof"):
            if one[key] != first[key]:
                raise ValueError(
                    f"{name}: recorded from different code "
                    f"({key} {first[key]} and {one[key]})"
                )
        for where, builds in one["runs"].items():
            runs[where] |= builds
    return {
        "code": first["code"],
        "proof": first["proof"],
        "runs": {
            where: {
                one: runs[where][one] for one in sorted(runs[where], key=age)
            }
            for where in sorted(runs)
        },
    }


def age(build: str) -> tuple[int, bool]:
    """Return what sorts builds: ``3.9`` before ``3.13`` before ``3.13t``."""
    number = build.removesuffix("t")
    return int(number.partition(".")[2]), number != build


def path_of(recipe: catalogue.Recipe) -> Path:
    """Return the file of what was verified of *recipe*."""
    return VERIFIED / f"{recipe.address}.json"


def known(recipe: catalogue.Recipe) -> Facts | None:
    """Return what is recorded of *recipe* as it is; None if nothing is."""
    path = path_of(recipe)
    if not path.exists():
        return None
    found: Facts = json.loads(path.read_text(encoding="utf-8"))
    return found if fingerprints(recipe).items() <= found.items() else None


def builds(recipe: catalogue.Recipe) -> set[str]:
    """Return the builds that *recipe* as it is was verified on."""
    found = known(recipe) or {"runs": {}}
    return {build for runs in found["runs"].values() for build in runs}


def keep(name: str, *records: Facts) -> None:
    """Add *records* to what is recorded of the recipe *name*.

    Raises:
        ValueError: If they are of other code than the recipe's.
    """
    recipe = recipes()[name]
    found = merged(name, *records)
    if not (now := fingerprints(recipe)).items() <= found.items():
        parts = [key for key in now if now[key] != found[key]]
        raise ValueError(f"{name}: recorded from other code ({parts[0]})")
    if old := known(recipe):
        found = merged(name, old, found)
    path = path_of(recipe)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(written(found), encoding="utf-8", newline="\n")


def written(found: Facts) -> str:
    """Return a record as JSON whose lines can be compared."""
    text = json.dumps(found, indent=1, ensure_ascii=False)
    # a cell, and a list of reasons, on one line
    return re.sub(r"\n {6,}|\n {5}(?=[\]}])", " ", text) + "\n"
