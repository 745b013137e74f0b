"""The engines that a few recipes need, and the packages each is imported as.

A requirement is one of the group ``engines`` in ``pyproject.toml``. The
session ``engines`` installs them all and runs what needs them; any other run
leaves it out and says why.
"""

import importlib
import importlib.metadata
from functools import cache
from pathlib import Path

import pytest

from cookbook import catalogue

ENGINES: dict[str, set[str]] = {
    "cryptography": set(),  # distributed imports it to make a certificate
    "dask[distributed]": {"distributed"},
    "mpi4py": {"mpi4py"},
    "ray": {"ray"},
}
OPTION = "--engines"
# What it opens stays open in the process that has used it.
NEVER_CLOSED = "ray"


def needs(path: Path) -> list[str]:
    """Return what the recipe of a module, or of its test file, needs."""
    name = path.stem.removeprefix("test_")
    return needs_of_recipes().get(f"{path.parent.name}.{name}", [])


@cache  # asked for each test, of which there are thousands
def needs_of_recipes() -> dict[str, list[str]]:
    """Return what each recipe needs, by name."""
    return {recipe.name: recipe.needs for recipe in catalogue.recipes()}


def leave_out(item: pytest.Item) -> None:
    """Skip what needs an engine, outside the session that has them."""
    if missing := needs(item.path):
        reason = f"needs {', '.join(missing)}: nox -s engines runs it"
        item.add_marker(pytest.mark.skip(reason=reason))


def leave_to_the_programs(item: pytest.Item) -> None:
    """Skip a doctest that would leave something open in the test run."""
    doctest = isinstance(item, pytest.DoctestItem)
    if doctest and NEVER_CLOSED in needs(item.path):
        reason = f"{NEVER_CLOSED} stays open: test_programs.py runs it"
        item.add_marker(pytest.mark.skip(reason=reason))


def versions() -> str:
    """Return the installed version of each engine, for the log."""
    names = [name.partition("[")[0] for name in ENGINES]
    return ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in names
    )


def warm_up() -> None:
    """Start what an engine keeps as long as its process lives."""
    offload = importlib.import_module("distributed.utils")._offload_executor
    offload.submit(int).result(timeout=60)
