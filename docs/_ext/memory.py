"""What was made of each recipe last time, so that an edit is on screen soon.

To make it for every recipe takes seconds, to read what was made none. It is
made again if anything that a recipe's page is made of has changed.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import sources

from cookbook import catalogue

Files = dict[str, str]  # name and text
Made = TypeVar("Made", Files, list[str])


class Memory:
    """Keeps what JSON can hold by a hash of what it was made of."""

    def __init__(self, path: Path, shared: Iterable[Path]) -> None:
        """Read what is in the file *path*, if there is one.

        Args:
            path: Where it is kept.
            shared: The files that every recipe's page depends on.
        """
        self._path = path
        self._shared = _digest(shared)
        text = path.read_text(encoding="utf-8") if path.exists() else "{}"
        self._old: dict[str, Any] = json.loads(text)
        self._new: dict[str, Any] = {}

    def recall(
        self, what: str, recipe: catalogue.Recipe, make: Callable[[], Made]
    ) -> Made:
        """Return *what* is made of *recipe*, made only if it must be."""
        own = _digest([recipe.path, sources.tests_of(recipe)])
        key = f"{what} {recipe.name} {self._shared} {own}"
        found: Made | None = self._old.get(key)
        if found is None:
            found = make()
        self._new[key] = found
        return found

    def save(self) -> None:
        """Write what was asked for, and nothing else."""
        if self._new.keys() != self._old.keys():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self._new), encoding="utf-8")


def shared(docs: Path) -> list[Path]:
    """Return the files that every recipe's page depends on."""
    names = "_ext", "_inventory", "_templates", "recorded"
    folders = [docs / name for name in names]
    files = [one for folder in folders for one in folder.rglob("*.*")]
    files += catalogue.ROOT.glob("*.py")
    return sorted(one for one in files if one.suffix != ".pyc")


def _digest(paths: Iterable[Path]) -> str:
    # in CI what is stale is a warning, and links lead to a repository
    surroundings = [os.environ.get(n) for n in ("CI", "GITHUB_REPOSITORY")]
    found = hashlib.sha256(repr(surroundings).encode())
    for path in paths:
        found.update(path.name.encode())
        if path.is_file():
            found.update(path.read_bytes())
    return found.hexdigest()
