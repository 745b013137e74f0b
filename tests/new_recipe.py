"""Write the two files of a new recipe, and its line in the chapter.

``python -m tests.new_recipe threads my_recipe``, or ``nox -s new``. What it
writes is a small recipe that works; each TODO in it says what to write. A test
and, in CI, the build of the book fail while there is one.
"""

import argparse
import keyword
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from string import Template

from cookbook import catalogue

OUTLINE = Path(__file__).with_name("outline")
NEXT = """\
{module}
    the recipe: write what each TODO says
{tests}
    its tests: a sentence for each strong statement
{chapter}
    its line is the last: move it to its place in the order of reading

See the page as you write:       nox -s serve
Run its tests:                   nox -s tests-{python} -- -k {name}
Check it and build the book:     nox -s lint types book
Record what happens, at the end: nox -s timelines -- {full_name}
                                 (on Python 3.14 on Linux)
Record where it passes:          nox -s verify -- {full_name}
If a reader's question is answered, add it to tests/questions.tsv.
"""


class NewRecipeError(Exception):
    """There can be no recipe of this name in this chapter."""


def write(chapter: str, name: str) -> str:
    """Write the files of a new recipe.

    Args:
        chapter: A chapter's name, such as ``threads``.
        name: What the recipe's module shall be called.

    Returns:
        What to do next.

    Raises:
        NewRecipeError: If it cannot be; then nothing is written.
    """
    root = catalogue.ROOT.parent
    order = catalogue.ROOT / chapter / "__init__.py"
    module = order.parent / f"{name}.py"
    tests = root / "tests" / chapter / f"test_{name}.py"
    if problem := wrong_with(chapter, name, module, tests):
        raise NewRecipeError(problem)
    before, bracket, after = order.read_text("utf-8").rpartition("\n]")
    for path, outline in (module, "recipe.txt"), (tests, "test_recipe.txt"):
        text = Template((OUTLINE / outline).read_text("utf-8"))
        path.write_text(text.substitute(chapter=chapter, name=name), "utf-8")
    order.write_text(f'{before}\n    "{name}",{bracket}{after}', "utf-8")
    return NEXT.format(
        module=module.relative_to(root),
        tests=tests.relative_to(root),
        chapter=order.relative_to(root),
        name=name,
        full_name=f"{chapter}.{name}",
        python=".".join(map(str, sys.version_info[:2])),
    )


def wrong_with(chapter: str, name: str, *paths: Path) -> str:
    """Return why there can be no such recipe; nothing if there can be."""
    chapters = [one.name for one in catalogue.chapters()]
    if chapter not in chapters:
        return f"no chapter is called {chapter!r}: {', '.join(chapters)} are"
    if not re.fullmatch(r"[a-z][a-z0-9_]{,29}", name) or keyword.iskeyword(
        name
    ):
        return (
            f"no module can be called {name!r}: take at most 30 small "
            "letters, digits and underscores, and no keyword"
        )
    if name in sys.stdlib_module_names:
        return f"{name!r} is a module of Python's"
    if name == "index" or name.endswith("_trap"):
        return f"{name!r} is the address of something else in the book"
    return next(
        (f"{path} is there already" for path in paths if path.exists()), ""
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says.

    Args:
        arguments: The chapter and the name; by default those of this process.
    """
    parser = argparse.ArgumentParser(prog="nox -s new --")
    parser.add_argument("chapter", help="such as threads")
    parser.add_argument("name", help="of its module, such as my_recipe")
    options = parser.parse_args(arguments)
    try:
        sys.stdout.write(write(options.chapter, options.name))
    except NewRecipeError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
