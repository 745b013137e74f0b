"""Verify the recipes that have changed: ``nox -s verify``.

Their tests run, and what they have checked on this interpreter is kept in
``docs/recorded/verified/``. A recipe whose test fails is run again by itself,
since a busy machine can make a test fail. If it fails again, nothing is kept
of it, unless ``--failures`` says that the failure is what the book is to say.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from cookbook import catalogue
from tests import engines, verifying
from tests.exploring import BUILD
from tests.verifying import PLATFORM, Facts

TESTS = [sys.executable, "-X", "dev", "-m", "pytest", "-q"]


def main() -> None:
    """Verify the recipes that are due, or merge files of other machines."""
    parser = argparse.ArgumentParser(prog="python -m tests.verify")
    parser.add_argument("names", nargs="*", metavar="NAME or FILE")
    parser.add_argument(
        "--merge", action="store_true", help="add what is in the files"
    )
    parser.add_argument(
        "--failures", action="store_true", help="keep failures, too"
    )
    parser.add_argument(
        engines.OPTION,
        dest="engines",
        action="store_true",
        help="only what needs an engine",
    )
    asked = parser.parse_args()
    if asked.merge:
        failed = merge(map(Path, asked.names), asked.failures)
    else:
        failed = verify(due(asked.names, asked.engines), asked)
    forget()
    for line in failed:
        say(line)
    sys.exit(bool(failed))


def due(names: list[str], on_engines: bool) -> list[catalogue.Recipe]:
    """Return the recipes to verify on this build.

    Args:
        names: Those that are asked for; none for all that have changed or
            were never verified here, and need no engine.
        on_engines: Whether to return all that need an engine.
    """
    if names:
        return [catalogue.find(name) for name in names]
    recipes = catalogue.recipes()
    if on_engines:
        return [one for one in recipes if one.needs]
    return [one for one in recipes if not (one.needs or is_known(one))]


def is_known(recipe: catalogue.Recipe) -> bool:
    """Tell whether *recipe* as it is was verified on this build, here."""
    found = verifying.known(recipe) or {"runs": {}}
    return BUILD in found["runs"].get(PLATFORM, {})


def verify(
    recipes: list[catalogue.Recipe], asked: argparse.Namespace
) -> list[str]:
    """Run the tests of *recipes*, chapter by chapter; return what failed."""
    options = [engines.OPTION] if asked.engines else []
    failed: list[str] = []
    for _, group in groupby(recipes, lambda one: one.name.partition(".")[0]):
        chapter = list(group)
        found = run(chapter, options)
        for recipe in chapter:
            first = found.get(recipe.name)
            if first is None or verifying.failures(first):
                say(f"{recipe.name}: failed, is run again by itself")
                found |= run([recipe], options)
        for recipe in chapter:
            failed += keep(recipe.name, found.get(recipe.name), asked.failures)
    say(f"{len(recipes)} recipes on {BUILD}, {len(failed)} not verified")
    return failed


def run(
    recipes: Iterable[catalogue.Recipe], options: list[str]
) -> dict[str, Facts]:
    """Run the tests of *recipes* and return the records, by name."""
    files = [path for one in recipes for path in verifying.files_of(one)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "verified.json")
        subprocess.run(
            [*TESTS, *options, f"{verifying.OPTION}={path}", *files],
            cwd=verifying.ROOT,
            check=False,
        )
        return read(path) if path.exists() else {}


def merge(paths: Iterable[Path], failures: bool) -> list[str]:
    """Add what is in the files at *paths*; return what failed there."""
    records: dict[str, list[Facts]] = {}
    failed: list[str] = []
    for path in paths:
        for name, found in read(path).items():
            if failures or not verifying.failures(found):
                records.setdefault(name, []).append(found)
            else:
                failed += keep(name, found, failures)
    for name, several in records.items():
        verifying.keep(name, *several)
    return failed


def read(path: Path) -> dict[str, Facts]:
    """Return the records in the file that a run has written."""
    found: dict[str, Facts] = json.loads(path.read_text(encoding="utf-8"))
    return found


def keep(name: str, found: Facts | None, failures: bool) -> list[str]:
    """Keep what was found of a recipe; return what is wrong with it."""
    if found is None:
        return [f"{name}: its tests did not all run"]
    wrong = verifying.failures(found)
    if failures or not wrong:
        try:
            verifying.keep(name, found)
        except ValueError as error:  # it was edited meanwhile
            return [str(error)]
    kept = "" if failures else "; nothing is kept of it"
    return [f"{name}: {', '.join(wrong)} failed{kept}"] if wrong else []


def forget() -> None:
    """Remove what is recorded of recipes that are no more."""
    paths = {verifying.path_of(one) for one in catalogue.recipes()}
    for path in verifying.VERIFIED.rglob("*.json"):
        if path not in paths:
            path.unlink()


def say(line: str) -> None:
    """Write a line of the report."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
