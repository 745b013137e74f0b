"""Change the right half of recipes, one operator at a time: do tests notice?

``python -m tests.mutants threads.barrier`` has Cosmic Ray run the tests of a
recipe on each mutant of its code. A mutant that passes is kept in
``tests/mutants.json``, where somebody has to say why it is harmless, or write
the test that it fails.
"""

import ast
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cookbook import catalogue, forms

ROOT = Path(__file__).parent.parent
PATH = Path(__file__).with_suffix(".json")
LIMIT = 120  # seconds for the tests of a mutant; one that waits is noticed
# One change of each kind: the tests that notice `<=` notice `==` too. Of
# operators on bits there are none but those of annotations.
KINDS = (
    "AddNot|ExceptionReplacer|NumberReplacer|RemoveDecorator"
    "|Replace(AndWithOr|OrWithAnd|TrueWithFalse|FalseWithTrue)"
    "|Replace(BreakWithContinue|ContinueWithBreak)|ZeroIterationForLoop"
    "|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_FloorDiv|FloorDiv_Mul|Mod_Mul)"
    "|ReplaceComparisonOperator_(Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Eq_NotEq|NotEq_Eq"
    "|Is_IsNot|IsNot_Is|In_NotIn|NotIn_In)"
)
CONFIGURATION = """\
[cosmic-ray]
module-path = "{module}"
timeout = {limit}
excluded-modules = []
test-command = "{python} -m pytest -q -x -p no:cacheprovider {tests} {module}"

[cosmic-ray.distributor]
name = "local"

[cosmic-ray.filters.operators-filter]
exclude-operators = ["core/(?!({kinds})$)"]

[cosmic-ray.filters.line-filter.lines]
"{module}" = {lines}
"""


def right_half(source: str) -> Iterator[str]:
    """Yield the lines, such as ``"12-20"``, of what a reader copies to use.

    ``main()`` shows it off and is left out.
    """
    program = ast.parse(forms.program(source, "main"))
    used = {getattr(node, "name", "main") for node in program.body}
    for node in ast.parse(source).body:
        if getattr(node, "name", "main") in used - {"main"}:
            yield f"{node.lineno}-{node.end_lineno}"


def survivors(recipe: catalogue.Recipe) -> tuple[int, list[str]]:
    """Return how many mutants were tried, and those that passed."""
    chapter, name = recipe.name.split(".")
    configuration = CONFIGURATION.format(
        module=f"cookbook/{chapter}/{name}.py",
        tests=f"tests/{chapter}/test_{name}.py",
        limit=LIMIT,
        python=sys.executable,
        kinds=KINDS,
        lines=json.dumps([*right_half(recipe.source)]),
    )
    with tempfile.TemporaryDirectory() as folder:
        copy(Path(folder))
        Path(folder, "config.toml").write_text(configuration, encoding="utf-8")
        for step in (
            ["cosmic-ray", "init", "config.toml", "session"],
            ["cr-filter-operators", "session", "config.toml"],
            ["cr-filter-lines", "session", "--config", "config.toml"],
            ["cosmic-ray", "baseline", "config.toml"],
            ["cosmic-ray", "exec", "config.toml", "session"],
        ):
            subprocess.run(step, cwd=folder, check=True)
        listing = ["cosmic-ray", "dump", "session"]
        dump = subprocess.run(
            listing,
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
    tried = [json.loads(line)[1] for line in dump.stdout.splitlines()]
    tried = [one for one in tried if one["worker_outcome"] == "normal"]
    passed = [one for one in tried if one["test_outcome"] == "survived"]
    return len(tried), [change(one["diff"]) for one in passed]


def copy(folder: Path) -> None:
    """Copy the project, so that nobody works on a mutant."""
    listing = ["git", "ls-files", "-z"]
    files = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True)
    for name in files.stdout.decode().rstrip("\0").split("\0"):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())


def change(diff: str) -> str:
    """Return the lines that differ: ``n < 1 -> n <= 1``."""
    lines = diff.partition("@@")[2].splitlines()  # without the files' names
    old, new = (
        " ".join(line[1:].strip() for line in lines if line[:1] == sign)
        for sign in "-+"
    )
    return f"{old} -> {new}"


def main(names: list[str]) -> None:
    """Try the recipes with *names*; say which mutants have no reason yet."""
    known: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    unexplained = 0
    for recipe in map(catalogue.find, names):
        before = known.get(recipe.name, {"harmless": {}})["harmless"]
        number, passed = survivors(recipe)
        harmless = {one: before.get(one, "") for one in passed}
        known[recipe.name] = {"mutants": number, "harmless": harmless}
        text = json.dumps(dict(sorted(known.items())), indent=1)
        PATH.write_text(text + "\n", encoding="utf-8")
        print(f"{recipe.name}: {number} mutants, {len(passed)} pass")
        for one, why in harmless.items():
            print(f"  {one}: {why or 'say why it is harmless'}")
            unexplained += not why
    sys.exit(bool(unexplained))


if __name__ == "__main__":
    main(sys.argv[1:])
