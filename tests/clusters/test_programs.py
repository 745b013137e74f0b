"""The programs of recipes that need an engine, pasted and run with it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cookbook import catalogue, forms
from tests import engines

LIMIT = 120.0  # seconds that a program gets
PROGRAMS = [
    (recipe, entry)
    for recipe in catalogue.recipes()
    if recipe.needs
    for entry in ("main", "broken_main")
    if f"def {entry}(" in recipe.source
]


def test_a_program_prints_what_the_page_shows(
    subtests: pytest.Subtests,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    if not request.config.getoption(engines.OPTION):
        pytest.skip("needs the engines: nox -s engines runs it")
    for recipe, entry in PROGRAMS:
        with subtests.test(recipe=recipe.name, entry=entry):
            folder = tmp_path / f"{recipe.name}-{entry}"
            assert_prints_its_output(recipe, entry, folder)


def assert_prints_its_output(
    recipe: catalogue.Recipe, entry: str, folder: Path
) -> None:
    """Run a program from an empty folder, without this book on its path."""
    folder.mkdir()
    script = folder / "pasted.py"
    script.write_text(forms.program(recipe.source, entry), encoding="utf-8")
    [output] = [
        output.text
        for output in forms.outputs(recipe.source, entry)
        if forms.applies(output.when)
    ]
    ran = subprocess.run(
        [sys.executable, script],
        check=False,
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
    )
    assert ran.returncode == 0, ran.stderr
    expected = ".*".join(map(re.escape, output.split("...")))
    assert re.fullmatch(expected, ran.stdout, re.DOTALL), ran.stdout
    assert [path.name for path in folder.iterdir()] == [script.name]
