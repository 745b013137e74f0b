"""What was verified of the recipes: recorded, merged, and read by the page."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import grids
import pytest

from cookbook import catalogue
from tests import verify, verifying
from tests.exploring import BUILD, BUILDS

pytest_plugins = ["pytester"]

Facts = dict[str, Any]
ROOT = Path(__file__).parent.parent
ON_ENGINES = "3.13"  # where the session `engines` runs what needs one
LINUX, MAC = "Linux x86_64", "Darwin arm64"
MODULE = '''
def main():
    """Print.

    >>> main()
    1
    """
    print(1)
'''
PROOF = """
import pytest

@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_job_is_done(method):
    pass

@pytest.mark.skip(reason="new in 3.99")
def test_new():
    pass

def test_old():
    assert {holds}
"""


# What is recorded


@pytest.mark.skipif(BUILD not in BUILDS, reason="the book is not about it")
def test_what_was_verified_is_of_the_recipes_as_they_are() -> None:
    stale = [
        recipe.name
        for recipe in catalogue.recipes()
        if (ON_ENGINES if recipe.needs else BUILD)
        not in verifying.builds(recipe)
    ]
    told = f"{len(stale)} not verified on {BUILD} as they are: "
    told += ", ".join([*stale[:3], *["..."] * (len(stale) > 3)])
    if stale and "CI" not in os.environ:
        pytest.skip(f"{told}; nox -s verify does it")
    assert not stale, (
        f"{told}. Run nox -s verify, or nox -s verify-3.13 -- --merge with "
        "the files that this workflow has kept."
    )


def test_nothing_was_verified_of_a_recipe_that_is_not_there() -> None:
    paths = {verifying.path_of(recipe) for recipe in catalogue.recipes()}
    assert {*verifying.VERIFIED.rglob("*.json")} <= paths


# How it is recorded


@pytest.fixture
def recipe(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> catalogue.Recipe:
    """A recipe in a project of its own, which is the only one."""
    found = catalogue.Recipe("counted", pytester.path / "counted.py")
    monkeypatch.setattr(verifying, "ROOT", pytester.path)
    monkeypatch.setattr(verifying, "VERIFIED", pytester.path / "verified")
    monkeypatch.setattr(verifying, "recipes", lambda: {"counted": found})
    # a plugin that is imported here may keep a file open
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    files = {"counted.py": "counted", "tests/test_counted.py": "counted"}
    monkeypatch.setattr(verifying, "names_by_file", lambda: files)
    monkeypatch.setattr(catalogue, "recipes", lambda: [found])
    found.path.write_text(MODULE, encoding="utf-8")
    (pytester.path / "tests").mkdir()
    proof(found).write_text(PROOF.format(holds=True), encoding="utf-8")
    return found


def proof(recipe: catalogue.Recipe) -> Path:
    """Return the file of a recipe's tests."""
    return verifying.files_of(recipe)[1]


def recorded(pytester: pytest.Pytester, *options: str) -> Facts:
    """Run the tests and return what is recorded of them."""
    path = pytester.path / "found.json"
    recorder = verifying.Recorder(path)
    options = ("--doctest-modules", "-p", "no:cacheprovider", *options)
    run = pytester.inline_run(*options, plugins=[recorder])
    assert run.ret in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
    return verify.read(path) if path.exists() else {}


def only_run(found: Facts) -> Facts:
    """Return the run of a record that has one."""
    [builds] = found["runs"].values()
    [run] = builds.values()
    return dict(run)


@pytest.mark.usefixtures("recipe")
def test_each_start_method_has_a_cell_and_a_skip_its_reason(
    pytester: pytest.Pytester,
) -> None:
    run = only_run(recorded(pytester)["counted"])
    assert run["python"] == sys.version.split()[0]
    assert run["cells"] == {
        "fork": {"passed": 1},
        "spawn": {"passed": 1},
        "other": {"passed": 2, "skipped": ["new in 3.99"]},
    }
    assert run["not run"] == {"test_new": "new in 3.99"}


def test_a_failure_is_recorded_by_its_name(
    recipe: catalogue.Recipe, pytester: pytest.Pytester
) -> None:
    proof(recipe).write_text(PROOF.format(holds=False), encoding="utf-8")
    found = recorded(pytester)["counted"]
    assert verifying.failures(found) == ["test_old"]
    assert only_run(found)["cells"]["fork"] == {"passed": 1}


@pytest.mark.usefixtures("recipe")
@pytest.mark.parametrize(
    "options",
    [
        ["-k", "spawn"],
        ["--deselect=tests/test_counted.py::test_a_job_is_done[fork]"],
        ["tests"],
        ["counted.py"],
        ["counted.py", "tests/test_counted.py::test_old"],
    ],
)
def test_a_recipe_of_which_not_all_tests_run_is_left_out(
    options: list[str], pytester: pytest.Pytester
) -> None:
    assert recorded(pytester, *options) == {}


def test_a_recipe_of_which_all_tests_are_skipped_is_left_out(
    recipe: catalogue.Recipe, pytester: pytest.Pytester
) -> None:
    mark = "pytestmark = pytest.mark.skip(reason='needs an engine')"
    text = proof(recipe).read_text(encoding="utf-8")
    skipped = text.replace("import pytest\n", f"import pytest\n{mark}\n")
    proof(recipe).write_text(skipped, encoding="utf-8")
    module = recipe.path.read_text(encoding="utf-8")
    no_doctest = module.replace("main()\n    1", "main()  # doctest: +SKIP")
    recipe.path.write_text(no_doctest, encoding="utf-8")
    assert recorded(pytester) == {}


def test_the_start_method_is_a_word_of_its_own_among_the_parameters() -> None:
    assert verifying.method("a.py::test_a[1-spawn]") == "spawn"
    assert verifying.method("a.py::test_a[forkserver-pool-x]") == "forkserver"
    assert verifying.method("a.py::test_a[os.fork]") == "other"
    assert verifying.method("a.py::test_fork") == "other"


def test_an_edit_of_the_recipe_or_its_tests_makes_it_due_again(
    recipe: catalogue.Recipe, pytester: pytest.Pytester
) -> None:
    assert verify.due([], on_engines=False) == [recipe]
    verifying.keep("counted", recorded(pytester)["counted"])
    assert verify.due([], on_engines=False) == []
    for path in verifying.files_of(recipe):
        text = path.read_text(encoding="utf-8")
        path.write_text(f"{text}\nMORE = 1\n", encoding="utf-8")
        assert verifying.known(edited(recipe)) is None
        path.write_text(text, encoding="utf-8")
        assert verifying.known(edited(recipe))


def edited(recipe: catalogue.Recipe) -> catalogue.Recipe:
    """Return a recipe as it is on disk now."""
    return catalogue.Recipe(recipe.name, recipe.path)


# A busy machine is no failure


def ran(recipe: catalogue.Recipe, failed: list[str]) -> Facts:
    """Return the record of a recipe whose tests ended so, here."""
    cell = {"passed": 3, **({"failed": failed} if failed else {})}
    run = {"python": "3", "build": "", "cells": {"other": cell}, "not run": {}}
    runs = {verifying.PLATFORM: {BUILD: run}}
    return {**verifying.fingerprints(recipe), "runs": runs}


@pytest.fixture
def runs(
    recipe: catalogue.Recipe, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[list[str]]]:
    """What fails in each run of the tests; ``["hangs"]`` ends the run."""
    failing: list[list[str]] = []

    def run(*_: object) -> dict[str, Facts]:
        failed = failing.pop(0)
        return {} if failed == ["hangs"] else {"counted": ran(recipe, failed)}

    monkeypatch.setattr(verify, "run", run)
    yield failing
    assert not failing


def asked(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """Run the command and return its exit status."""
    monkeypatch.setattr("sys.argv", ["verify", *arguments])
    with pytest.raises(SystemExit) as ended:
        verify.main()
    return ended.value.code


@pytest.mark.parametrize("first", ["test_old", "hangs"])
def test_what_passes_when_it_is_run_again_by_itself_has_passed(
    first: str,
    recipe: catalogue.Recipe,
    runs: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs += [[first], []]
    assert not asked(monkeypatch)
    found = verifying.known(recipe)
    assert found
    assert not verifying.failures(found)


@pytest.mark.parametrize("again", ["test_old", "hangs"])
def test_nothing_is_kept_of_what_fails_again_and_it_is_named(
    again: str,
    recipe: catalogue.Recipe,
    runs: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs += [["hangs"], [again]]
    assert asked(monkeypatch)
    assert verifying.known(recipe) is None
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("counted: ")
    assert ("test_old" in last) == (again == "test_old")


def test_a_failure_that_is_asked_for_is_kept(
    recipe: catalogue.Recipe,
    runs: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs += [["test_old"], ["test_old"]]
    assert asked(monkeypatch, "--failures")
    found = verifying.known(recipe)
    assert found
    assert verifying.failures(found) == ["test_old"]


# Merging


def of(where: str, *builds: str, **changes: str) -> Facts:
    """Return a record of runs on a platform."""
    run = {"python": "3.13.0", "cells": {"other": {"passed": 1}}}
    runs = {where: dict.fromkeys(builds, run)}
    return {"code": "1", "proof": "2", "runs": runs} | changes


def test_runs_of_two_platforms_are_merged_in_one_order() -> None:
    parts = of(MAC, "3.14", "3.9"), of(LINUX, "3.13t"), of(LINUX, "3.13")
    found = verifying.merged("a.b", *parts)
    assert {where: [*runs] for where, runs in found["runs"].items()} == {
        MAC: ["3.9", "3.14"],
        LINUX: ["3.13", "3.13t"],
    }
    text = verifying.written(found)
    assert text == verifying.written(verifying.merged("a.b", *parts[::-1]))


@pytest.mark.parametrize("part", ["code", "proof"])
def test_runs_of_different_code_are_not_merged(part: str) -> None:
    parts = of(LINUX, "3.13"), of(MAC, "3.13", **{part: "other"})
    with pytest.raises(ValueError, match=rf"a\.b: .* different code \({part}"):
        verifying.merged("a.b", *parts)


def test_files_of_other_machines_are_added_to_what_is_recorded(
    recipe: catalogue.Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verifying.keep("counted", ran(recipe, []))
    now = verifying.fingerprints(recipe)
    paths = [tmp_path / "mac.json", tmp_path / "windows.json"]
    for path, where in zip(paths, [MAC, "Windows AMD64"], strict=True):
        facts = {"counted": of(where, "3.14", **now)}
        path.write_text(json.dumps(facts), encoding="utf-8")
    assert not asked(monkeypatch, "--merge", *map(str, paths))
    found = verifying.known(recipe)
    assert found
    assert {*found["runs"]} == {MAC, "Windows AMD64", verifying.PLATFORM}


def test_a_file_about_other_code_is_refused_with_the_name_of_the_recipe(
    recipe: catalogue.Recipe, tmp_path: Path
) -> None:
    verifying.keep("counted", ran(recipe, []))
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"counted": of(MAC, "3.14")}), "utf-8")
    with pytest.raises(ValueError, match=r"counted: recorded from other code"):
        verify.merge([path], failures=False)


def test_what_failed_elsewhere_is_named_and_not_kept(
    recipe: catalogue.Recipe, tmp_path: Path
) -> None:
    path = tmp_path / "failed.json"
    path.write_text(
        json.dumps({"counted": ran(recipe, ["test_old"])}), "utf-8"
    )
    [line] = verify.merge([path], failures=False)
    assert line.startswith("counted: test_old failed")
    assert verifying.known(recipe) is None
    verify.merge([path], failures=True)
    assert verifying.known(recipe)


# How the page reads it

SIX = ["3.11", "3.12", "3.13", "3.13t", "3.14", "3.15"]


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (SIX, ""),
        (["3.14", "3.15"], "from 3.14"),
        (["3.13", "3.13t", "3.14", "3.15"], "from 3.13"),
        (["3.15"], "from 3.15"),
        (["3.11", "3.12", "3.13", "3.13t"], "up to 3.13"),
        (["3.11", "3.12"], "up to 3.12"),
        (["3.11", "3.12", "3.13", "3.14", "3.15"], "with the GIL"),
        (["3.13t"], "without the GIL"),
        (["3.13", "3.14", "3.15"], "from 3.13, with the GIL"),
        (["3.11", "3.12", "3.13"], "up to 3.13, with the GIL"),
        (["3.12", "3.14"], "on 3.12, 3.14"),
    ],
)
def test_a_sentence_carries_the_versions_on_which_it_held(
    held: list[str], words: str
) -> None:
    assert grids.condition(held, SIX) == words
    left_out = {build: {"test_a": "why"} for build in SIX if build not in held}
    assert verified({LINUX: (SIX, left_out)}).when("test_a") == words


def verified(
    runs: dict[str, tuple[list[str], dict[str, Facts]]],
    cells: Facts | None = None,
    since: str = "3.11",
) -> grids.Verified:
    """Return what was verified, with the tests not run by build."""
    facts = {
        where: {
            build: {
                "python": f"{build.removesuffix('t')}.1",
                "build": "main, <GCC>",
                "cells": cells or {"other": {"passed": 1}},
                "not run": left_out.get(build, {}),
            }
            for build in builds
        }
        for where, (builds, left_out) in runs.items()
    }
    text = json.dumps({"code": "1", "proof": "2", "runs": facts})
    return grids.read(text, since)


def test_a_sentence_that_held_on_one_system_says_so() -> None:
    no_test = {"3.13": {"test_a": "needs fork"}, "3.14": {"test_a": "no"}}
    both = ["3.13", "3.14"]
    found = verified({LINUX: (both, {}), "Windows AMD64": (both, no_test)})
    assert found.when("test_a") == "on Linux"
    del no_test["3.14"]
    found = verified({LINUX: (both, {}), "Windows AMD64": (both, no_test)})
    assert found.when("test_a") == "on Linux; on Windows, from 3.14"
    no_test |= {"3.14": {"test_a": "needs fork"}}
    found = verified({"Windows AMD64": (both, no_test)})
    assert found.when("test_a") == "not run: needs fork"


def test_a_sentence_that_failed_says_where() -> None:
    cells = {"spawn": {"passed": 1, "failed": ["test_a[spawn]"]}}
    found = verified({LINUX: (["3.13"], {})}, cells)
    assert "fails on 3.13" in found.when("test_a")
    assert found.when("test_b") == ""
    assert found.failing == ["3.13 on Linux (spawn)"]


def test_a_cell_says_what_passed_and_why_the_rest_did_not_run() -> None:
    cells = {
        "fork": {"passed": 2},
        "spawn": {"passed": 0, "skipped": ["<why>", "not"]},
        "other": {"passed": 3, "skipped": ["new"], "failed": ["test_a"]},
    }
    found = verified({LINUX: (["3.13t"], {})}, cells)
    drawn = [found.cell(LINUX, "3.13t", one) for one in found.columns]
    assert [(one.outcome, one.words) for one in drawn] == [
        ("passed", "2 passed"),
        ("not applicable", "not applicable: <why>; not"),
        ("failed", "failed: test_a"),
    ]
    table = ET.fromstring(grids.html(found))  # an EPUB must be XML
    texts = ["".join(one.itertext()) for one in table.iter("th")]
    assert texts[:4] == ["Python", "fork", "spawn", "other"]
    assert texts[4:] == [LINUX, "3.13.1t"]
    hidden = table.findall(".//span[@class='visually-hidden']")
    assert [one.text for one in hidden] == [one.words for one in drawn]


def test_a_python_that_is_older_than_the_recipe_is_not_applicable() -> None:
    found = verified({LINUX: (["3.13t", "3.14"], {})}, since="3.14")
    older, newer = (found.cell(LINUX, one, "other") for one in SIX[3:5])
    assert older.outcome == "not applicable"
    assert "for Python 3.14 and later; 1 passed" in older.words
    assert newer.outcome == "passed"


def test_a_start_method_that_a_system_lacks_is_not_applicable() -> None:
    found = verified({LINUX: (["3.14"], {})}, {"fork": {"passed": 1}})
    windows = verified({"Windows AMD64": (["3.14"], {})})
    found.runs.update(windows.runs)
    assert found.columns == ["fork", "other"]
    assert found.cell("Windows AMD64", "3.14", "fork").words == (
        "not applicable: no test with fork on Windows"
    )


def test_the_option_of_the_tests_writes_what_the_page_reads(
    tmp_path: Path,
) -> None:
    path = tmp_path / "found.json"
    files = "cookbook/coroutines/shield.py", "tests/coroutines/test_shield.py"
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    subprocess.run(
        [*run, f"--verify={path}", *files],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    found = verify.read(path)
    assert [*found] == ["coroutines.shield"]
    text = verifying.written(found["coroutines.shield"])
    page = grids.html(grids.read(text))
    assert page.count('<td class="passed"') == 1
