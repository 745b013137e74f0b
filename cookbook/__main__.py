"""List, show and run the recipes: ``python -m cookbook``."""

import argparse
import runpy
import sys
from collections.abc import Sequence

from cookbook import catalogue, forms


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Args:
        arguments: The words after ``python -m cookbook``; by default those
            of this process.

    Returns:
        The exit status: 0, or 2 if no recipe has the name given.
    """
    options = _parser().parse_args(arguments)
    if options.command in (None, "list"):
        _list()
        return 0
    try:
        recipe = catalogue.find(options.name)
    except catalogue.UnknownRecipeError as error:
        print(error, file=sys.stderr)
        for match in error.matches:
            print(f"    {match}", file=sys.stderr)
        return 2
    if options.command == "run":
        runpy.run_module(recipe.module, run_name="__main__", alter_sys=True)
        return 0
    entry = "broken_main" if options.trap else "main"
    try:
        print(forms.program(recipe.source, entry), end="")
    except ValueError:
        print(f"{recipe.name} has no trap", file=sys.stderr)
        return 2
    return 0


def _list() -> None:
    core, *_ = catalogue.recipes()
    width = max(len(recipe.name) for recipe in catalogue.recipes())
    print(f"{core.name:<{width}}  {core.title}")
    for chapter in catalogue.chapters():
        print(f"\n{chapter.title}")
        for recipe in chapter.recipes:
            print(f"{recipe.name:<{width}}  {recipe.title}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cookbook",
        description="Recipes for concurrency and parallelism in Python.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("list", help="list the chapters and recipes")
    show = commands.add_parser("show", help="print a recipe's program")
    show.add_argument("--trap", action="store_true", help="print the trap's")
    run = commands.add_parser("run", help="run a recipe and its trap")
    for command in (show, run):
        command.add_argument(
            "name",
            metavar="NAME",
            help="chapter.name, or the name alone where that is unique",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
