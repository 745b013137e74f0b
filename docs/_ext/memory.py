"""What was rendered last time, so that an edit is on screen soon.

To render every recipe takes seconds, to read what was rendered none. A recipe
is rendered again if anything that its page is made of has changed.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import sources

from cookbook import catalogue

Files = dict[str, str]  # name and text


class Memory:
    """Keeps files by a hash of what they were made of."""

    def __init__(self, path: Path, shared: Iterable[Path]) -> None:
        """Read what is in the file *path*, if there is one.

        Args:
            path: Where it is kept.
            shared: The files that every recipe's page depends on.
        """
        self._path = path
        self._shared = _digest(shared)
        text = path.read_text(encoding="utf-8") if path.exists() else "{}"
        self._old: dict[str, Files] = json.loads(text)
        self._new: dict[str, Files] = {}

    def files(
        self, recipe: catalogue.Recipe, render: Callable[[], Files]
    ) -> Files:
        """Return the files of *recipe*, rendered only if they must be."""
        own = _digest([recipe.path, sources.tests_of(recipe)])
        key = f"{recipe.name} {self._shared} {own}"
        if (found := self._old.get(key)) is None:
            found = render()
        self._new[key] = found
        return found

    def save(self) -> None:
        """Write what was asked for, and nothing else."""
        if self._new.keys() != self._old.keys():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self._new), encoding="utf-8")


def shared(docs: Path) -> list[Path]:
    """Return the files that every recipe's page depends on."""
    folders = docs / "_ext", docs / "_templates", docs / "recorded"
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
