"""The programs that a reader can copy out of a recipe's module.

A *form* is a slice of the module: all that ``main()`` (the Recipe) or
``broken_main()`` (the Trap) reaches, in source order, with the guard. What it
uses of :mod:`cookbook.primes` is written in, and each docstring is cut to its
first line. It is a complete program that needs only the standard library.

The page, the download, ``python -m cookbook show`` and the tests all get their
programs here, so what is read, copied and proved is one text.
"""

import ast
import doctest
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

WIDTH = 79  # of a line on the page
CORE = "cookbook.primes"
CORE_PATH = Path(__file__).with_name("primes.py")
_DEFINITION = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Output:
    """What an entry function prints, as its docstring says.

    Attributes:
        when: The builds it is printed on, such as ``"3.14 and later"`` or
            ``"with the GIL"``; empty for every build.
        text: The lines printed; ``...`` stands for what can vary.
    """

    when: str
    text: str

    @property
    def varies(self) -> bool:
        """Whether a part of the text is masked."""
        return "..." in self.text


@dataclass(frozen=True)
class _Statement:
    """A top-level statement: its text, what it binds, what it uses."""

    text: str
    binds: frozenset[str]
    uses: frozenset[str]
    is_block: bool


@dataclass
class _Program:
    """The statements that an entry function reaches, and their imports."""

    statements: list[_Statement] = field(default_factory=list)
    modules: set[str] = field(default_factory=set)
    members: dict[str, set[str]] = field(default_factory=dict)


def program(source: str, entry: str = "main") -> str:
    """Return the program that runs *entry* of the module *source*.

    Args:
        source: The text of a recipe's module.
        entry: ``"main"`` for the Recipe, ``"broken_main"`` for the Trap.

    Raises:
        ValueError: If the module has no such function, or a top-level
            statement that cannot be sliced.
    """
    sliced = _Program()
    _add_reached(ast.parse(source), source, {entry}, sliced)
    if not any(entry in statement.binds for statement in sliced.statements):
        raise ValueError(f"the module has no function {entry!r}")
    return _layout(sliced, entry)


def outputs(source: str, entry: str = "main") -> list[Output]:
    """Return what *entry* prints: one output, or one for each kind of build.

    Args:
        source: The text of a recipe's module.
        entry: ``"main"`` or ``"broken_main"``.

    Returns:
        The expected texts of the ``>>> main()`` examples in its docstring.
    """
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == entry:
            examples = doctest.DocTestParser().get_examples(
                ast.get_docstring(node) or ""
            )
            return [
                Output(condition(example.source), example.want)
                for example in examples
                if example.source.startswith(f"{entry}()")
            ]
    return []


def fingerprint(*sources: str) -> str:
    """Return a hash of the code of *sources*, their docstrings left out.

    It is the same on every Python, and stands beside recorded facts: they are
    of this code.
    """
    if len(sources) == 1:
        code = "\n".join(_code(*sources))
    else:
        code = "".join(map(fingerprint, sources))
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def condition(line: str) -> str:
    """Return the build that a doctest's line is for: its trailing comment."""
    comment = line.rstrip().partition("  # ")[2]
    return "" if comment.startswith("doctest:") else comment


def applies(
    when: str,
    *,
    version: tuple[int, int] | None = None,
    gil: bool | None = None,
) -> bool:
    """Tell whether a build is one that *when* names.

    Args:
        when: Conditions joined by commas, each ``3.13``, ``3.11 to 3.13``,
            ``3.14 and later``, ``with the GIL`` or ``without the GIL``.
        version: Major and minor version of the build; by default this one's.
        gil: Whether the build has a GIL; by default whether this one has.

    Raises:
        ValueError: If a condition is none of these.

    Example:
        >>> from cookbook.forms import applies
        >>> applies("3.11 to 3.13", version=(3, 13))
        True
        >>> applies("3.14 and later", version=(3, 13))
        False
    """
    version = version or sys.version_info[:2]
    if gil is None:
        gil = not hasattr(sys, "_is_gil_enabled") or sys._is_gil_enabled()
    return all(
        _applies_one(one.strip(), version, has_gil=gil)
        for one in when.split(",")
        if one
    )


def _applies_one(
    when: str, version: tuple[int, int], *, has_gil: bool
) -> bool:
    if when in ("with the GIL", "without the GIL"):
        return has_gil == (when == "with the GIL")
    match = re.fullmatch(r"3\.(\d+)(?: to 3\.(\d+)|( and later))?", when)
    if match is None:
        raise ValueError(f"no build is described by {when!r}")
    first = (3, int(match[1]))
    if match[3]:
        return version >= first
    return first <= version <= (3, int(match[2] or match[1]))


def _code(source: str) -> list[str]:
    """Return the lines that hold more than space and docstrings."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | _DEFINITION):
            continue
        if ast.get_docstring(node):
            text = node.body[0]
            for number in range(text.lineno, (text.end_lineno or 0) + 1):
                lines[number - 1] = ""
    return [line.rstrip() for line in lines if line.strip()]


@cache
def _core() -> tuple[ast.Module, str]:
    source = CORE_PATH.read_text(encoding="utf-8")
    return ast.parse(source), source


def _add_reached(
    tree: ast.Module, source: str, wanted: set[str], sliced: _Program
) -> None:
    """Add what *wanted* reaches in *tree*, after what it needs of the core."""
    statements = list(_statements(tree, source))
    reached = _closure(statements, wanted)
    from_core = set()
    for node in tree.body:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    if (alias.asname or alias.name.split(".")[0]) in reached:
                        sliced.modules.add(_with_alias(alias))
            case ast.ImportFrom(module=str(module), names=names):
                used = [a for a in names if (a.asname or a.name) in reached]
                if module == CORE:
                    from_core |= {_unaliased(alias) for alias in used}
                elif used:
                    members = sliced.members.setdefault(module, set())
                    members |= {_with_alias(alias) for alias in used}
    if from_core:
        _add_reached(*_core(), from_core, sliced)
        held = {name for one in sliced.statements for name in one.binds}
        own = {name for one in statements for name in one.binds & reached}
        if clash := sorted(held & own):
            raise ValueError(f"the core has names of the module's: {clash}")
    sliced.statements += [one for one in statements if one.binds & reached]


def _statements(tree: ast.Module, source: str) -> Iterator[_Statement]:
    """Yield the definitions and assignments of a module."""
    lines = source.split("\n")
    end = 0
    for position, node in enumerate(tree.body):
        start, previous_end, end = _first_line(node), end, node.end_lineno or 0
        if isinstance(node, ast.Import | ast.ImportFrom) or _is_guard(node):
            continue
        if position == 0 and ast.get_docstring(tree) is not None:
            continue
        while start - 1 > previous_end and lines[start - 2].startswith("#"):
            start -= 1
        binds = frozenset(_bound(node))
        if not binds:
            raise ValueError(
                f"line {start} cannot be sliced: {lines[start - 1]!r}"
            )
        uses = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        yield _Statement(
            _cut_docstrings(node, lines, start, end),
            binds,
            frozenset(uses),
            not isinstance(node, ast.Assign | ast.AnnAssign),
        )


def _closure(statements: Iterable[_Statement], wanted: set[str]) -> set[str]:
    """Return *wanted* and every name that their definitions lead to."""
    reached = set(wanted)
    grown = True
    while grown:
        used = {
            name
            for statement in statements
            if statement.binds & reached
            for name in statement.uses
        }
        grown = not used <= reached
        reached |= used
    return reached


def _bound(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name
        case ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            for target in targets:
                yield from (
                    n.id for n in ast.walk(target) if isinstance(n, ast.Name)
                )
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name


def _first_line(node: ast.stmt) -> int:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return min(one.lineno for one in [node, *node.decorator_list])
    return node.lineno


def _is_guard(node: ast.stmt) -> bool:
    match node:
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return True
    return False


def _unaliased(alias: ast.alias) -> str:
    if alias.asname:
        raise ValueError(f"{alias.name} of the core has an alias")
    return alias.name


def _with_alias(alias: ast.alias) -> str:
    return f"{alias.name} as {alias.asname}" if alias.asname else alias.name


def _cut_docstrings(
    node: ast.stmt, lines: list[str], start: int, end: int
) -> str:
    """Return the statement's text, each docstring cut to its first line."""
    text: dict[int, str] = {n: lines[n - 1] for n in range(start, end + 1)}
    for one in ast.walk(node):
        if not isinstance(
            one, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ):
            continue
        if (docstring := ast.get_docstring(one)) is None:
            continue
        literal = one.body[0]
        for number in range(literal.lineno, (literal.end_lineno or 0) + 1):
            del text[number]
        summary = docstring.partition("\n")[0]
        text[literal.lineno] = f'{" " * literal.col_offset}"""{summary}"""'
    return "\n".join(text[number] for number in sorted(text))


def _layout(sliced: _Program, entry: str) -> str:
    """Write the program out as a formatter would."""
    imports = [f"import {name}" for name in sorted(sliced.modules)]
    for module, members in sorted(sliced.members.items()):
        names = _in_order(members)
        line = f"from {module} import {', '.join(names)}"
        if len(line) > WIDTH:
            rows = "".join(f"    {name},\n" for name in names)
            line = f"from {module} import (\n{rows})"
        imports.append(line)
    text = "\n".join(imports)
    after_block = False
    for statement in sliced.statements:
        if text:
            is_import = text.endswith(imports[-1]) if imports else False
            blank = statement.is_block or after_block
            text += "\n\n\n" if blank else "\n\n" if is_import else "\n"
        text += statement.text
        after_block = statement.is_block
    return f'{text}\n\n\nif __name__ == "__main__":\n    {entry}()\n'


def _in_order(names: Iterable[str]) -> list[str]:
    """Sort imported names: constants, then classes, then the rest."""
    return sorted(
        names, key=lambda n: (not n.isupper(), not n[0].isupper(), n)
    )
