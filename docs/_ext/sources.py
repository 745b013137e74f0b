"""Where the book's sources are: on disk for us, on the web for the reader."""

import ast
import os
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cookbook.catalogue import Recipe

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
BRANCH = "main"
INITIALS = {word.lower(): word for word in ("CPU", "GIL", "ID", "PID")}


@dataclass(frozen=True)
class Claim:
    """A test, read as the sentence that it proves.

    Attributes:
        name: The test function's name.
        path: The file that it is in.
        line: The line that it starts on.
    """

    name: str
    path: Path
    line: int

    @property
    def sentence(self) -> str:
        """The test's name as a sentence."""
        name = self.name.removeprefix("test_").replace("ctrl_c", "Ctrl-C")
        words = [INITIALS.get(word, word) for word in name.split("_")]
        return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])

    @property
    def url(self) -> str:
        """The address of the test's source, at its line."""
        return f"{address(self.path)}#L{self.line}"


def tests_of(recipe: Recipe) -> Path:
    """Return where the tests of *recipe* are; they may not be written yet."""
    *folders, name = recipe.name.split(".")
    return TESTS.joinpath(*folders, f"test_{name}.py")


def claims(path: Path) -> list[Claim]:
    """Return the claims of the tests in *path*; none if there is no file.

    The file is read as text, so a parametrised test is one claim.
    """
    if not path.exists():
        return []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        Claim(node.name, path, node.lineno)
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]


@cache
def repository() -> str:
    """Return the address of the project's repository."""
    if name := os.environ.get("GITHUB_REPOSITORY"):
        return f"https://github.com/{name}"
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["urls"]["Source"])


def address(path: Path, view: str = "blob") -> str:
    """Return where the reader sees the file *path*.

    Args:
        path: A file of the project.
        view: ``"blob"`` to read it, ``"edit"`` to change it.
    """
    inside = path.relative_to(ROOT).as_posix()
    return f"{repository()}/{view}/{BRANCH}/{inside}"
