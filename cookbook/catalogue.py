"""What the book holds: its chapters, its recipes, what each says of itself.

The modules are read as text and never imported, so one that fails to import
can still be listed and shown.
"""

import ast
import difflib
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parent
WORD = re.compile(r'"(\w+)"')
FIELD = re.compile(
    r"^:(?P<name>[\w -]+): (?P<value>.*(?:\n[ ].*)*)", re.MULTILINE
)


class UnknownRecipeError(LookupError):
    """No recipe, or more than one, has this name.

    Attributes:
        name: What was asked for.
        matches: The names that were perhaps meant, best first.
    """

    def __init__(self, name: str, matches: list[str]) -> None:
        super().__init__(f"no recipe is called {name!r}")
        self.name = name
        self.matches = matches


@dataclass(frozen=True)
class Recipe:
    """A recipe's module, read as text.

    Attributes:
        name: ``chapter.module``, or ``primes`` for the shared core.
        path: The module's file.
    """

    name: str
    path: Path

    @property
    def module(self) -> str:
        """The module's import name."""
        return f"cookbook.{self.name}"

    @property
    def address(self) -> str:
        """The page's address below ``recipes/``, without an ending."""
        return self.name.replace(".", "/")

    @cached_property
    def source(self) -> str:
        """The module's text."""
        return self.path.read_text(encoding="utf-8")

    @property
    def _parts(self) -> tuple[str, str, dict[str, str], str]:
        return _parts_of(self.source)

    @property
    def title(self) -> str:
        """The task, in the imperative: the docstring's first line."""
        return self._parts[0]

    @property
    def answer(self) -> str:
        """The paragraphs before the fields, in reStructuredText."""
        return self._parts[1]

    @property
    def fields(self) -> dict[str, str]:
        """The fields' values by name, each on one line."""
        return self._parts[2]

    @property
    def needs(self) -> list[str]:
        """The requirements to install first; none for most recipes."""
        return self.values("needs")

    @property
    def advice(self) -> str:
        """The definition list after the fields, in reStructuredText."""
        return self._parts[3]

    @property
    def unwritten(self) -> list[str]:
        """The lines of an outline that still say what to write."""
        return re.findall(r"TODO.*", self.source)

    def values(self, field: str) -> list[str]:
        """Return the comma-separated values of *field*; none if it is absent.

        A comma inside quotes does not separate.
        """
        values = [""]
        quoted = False
        for character in self.fields.get(field, ""):
            quoted ^= character == '"'
            if character == "," and not quoted:
                values.append("")
            else:
                values[-1] += character
        return [value.strip() for value in values if value.strip()]


@dataclass(frozen=True)
class Chapter:
    """A chapter's package, read as text.

    Attributes:
        name: The package's name in ``cookbook``.
        path: Its ``__init__.py``.
        recipes: Its recipes, in reading order.
    """

    name: str
    path: Path
    recipes: tuple[Recipe, ...]

    @cached_property
    def _docstring(self) -> str:
        return (
            ast.get_docstring(ast.parse(self.path.read_text(encoding="utf-8")))
            or ""
        )

    @property
    def title(self) -> str:
        """The docstring's first line."""
        return self._docstring.partition("\n")[0].removesuffix(".")

    @property
    def introduction(self) -> str:
        """The rest of the docstring: introduction and vocabulary."""
        return self._docstring.partition("\n")[2].strip()

    @property
    def groups(self) -> dict[str, list[Recipe]]:
        """The recipes under the comments that stand between them.

        A chapter whose ``__all__`` has no comment is one group without name.
        """
        lines = self.path.read_text(encoding="utf-8").splitlines()
        names = {one.name.split(".")[-1]: one for one in self.recipes}
        groups: dict[str, list[Recipe]] = {}
        title = ""
        value = _all_of(self.path)
        for line in lines[value.lineno - 1 : value.end_lineno]:
            if line.lstrip().startswith("#"):
                title = line.strip("# ")
            found = [names[name] for name in WORD.findall(line)]
            if found:
                groups.setdefault(title, []).extend(found)
        return groups


def chapters() -> list[Chapter]:
    """Return the chapters in the order of the book."""
    return [
        Chapter(
            name,
            package / "__init__.py",
            tuple(
                Recipe(f"{name}.{recipe}", package / f"{recipe}.py")
                for recipe in _names_of(package / "__init__.py")
            ),
        )
        for name in _names_of(ROOT / "__init__.py")
        for package in [ROOT / name]
    ]


def recipes() -> list[Recipe]:
    """Return the shared core, then the recipes chapter by chapter."""
    core = Recipe("primes", ROOT / "primes.py")
    return [
        core,
        *(recipe for chapter in chapters() for recipe in chapter.recipes),
    ]


def find(name: str) -> Recipe:
    """Return the recipe called *name*.

    Args:
        name: ``chapter.module``, or the module alone where that is unique.

    Raises:
        UnknownRecipeError: If there is none, or more than one.
    """
    every = recipes()
    found = [
        one for one in every if name in (one.name, one.name.split(".")[-1])
    ]
    if len(found) == 1:
        return found[0]
    names = {one.name.split(".")[-1]: one.name for one in every}
    names |= {one.name: one.name for one in every}
    close = difflib.get_close_matches(name, names, n=3)
    matches = [one.name for one in found] or [names[match] for match in close]
    raise UnknownRecipeError(name, list(dict.fromkeys(matches)))


def _names_of(path: Path) -> list[str]:
    """Return what ``__all__`` of the module in *path* lists."""
    return list(ast.literal_eval(_all_of(path)))


def _all_of(path: Path) -> ast.expr:
    """Return the literal ``__all__`` of the module in *path*."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case (
                ast.Assign(
                    targets=[ast.Name(id="__all__")], value=ast.expr() as value
                )
                | ast.AnnAssign(
                    target=ast.Name(id="__all__"), value=ast.expr() as value
                )
            ):
                return value
    raise ValueError(f"{path} has no __all__")


@cache
def _parts_of(source: str) -> tuple[str, str, dict[str, str], str]:
    """Return the parts of a module's docstring."""
    return _split_docstring(ast.get_docstring(ast.parse(source)) or "")


def _split_docstring(text: str) -> tuple[str, str, dict[str, str], str]:
    """Split into title, text before the fields, fields, text after them."""
    title, _, rest = text.partition("\n")
    paragraphs = rest.strip().split("\n\n")
    at = next(
        (n for n, one in enumerate(paragraphs) if FIELD.match(one)), None
    )
    if at is None:
        return title.removesuffix("."), rest.strip(), {}, ""
    fields = {
        match["name"]: " ".join(match["value"].split())
        for match in FIELD.finditer(paragraphs[at])
    }
    before, after = paragraphs[:at], paragraphs[at + 1 :]
    return (
        title.removesuffix("."),
        "\n\n".join(before).strip(),
        fields,
        "\n\n".join(after).strip(),
    )
