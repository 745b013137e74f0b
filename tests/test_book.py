"""What every recipe owes its reader, held by walking the package."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest

from cookbook import catalogue, forms
from tests.engines import ENGINES
from tests.exploring import BUILDS as RECORDED_BUILDS
from tests.exploring import RECORDED
from tests.linting import ruff

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
TESTS = Path(__file__).parent
RECIPES = catalogue.recipes()
TRAPS = [one for one in RECIPES if not one.fields["trap"].startswith("none")]
MODELS = {"threads", "asyncio", "processes", "interpreters", "cluster"}
WORK = {"CPU-bound", "I/O-bound"}
LEVELS = {"first steps", "everyday", "expert"}
ADVICE = [
    "Use this when",
    "Prefer instead",
    "Pitfalls",
    "If a job raises",
    "If it takes too long",
    "On cancellation",
    "On Ctrl-C",
    "If a worker is killed",
]
BUILDS = [
    ((3, minor), has_gil)
    for minor in range(11, 16)
    for has_gil in (True, False)
    if has_gil or minor >= 13
]

every_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
every_trap = pytest.mark.parametrize("recipe", TRAPS, ids=lambda r: r.name)


def definitions(source: str) -> list[Definition]:
    return [
        node for node in ast.parse(source).body if isinstance(node, Definition)
    ]


def proofs(recipe: catalogue.Recipe) -> list[str]:
    *chapter, name = recipe.name.split(".")
    path = TESTS.joinpath(*chapter, f"test_{name}.py")
    found = definitions(path.read_text(encoding="utf-8"))
    return [one.name for one in found if one.name.startswith("test_")]


def test_every_module_of_a_chapter_has_its_place_in_the_order() -> None:
    for chapter in catalogue.chapters():
        modules = {path.stem for path in chapter.path.parent.glob("[!_]*.py")}
        listed = [one.name.split(".")[1] for one in chapter.recipes]
        assert sorted(listed) == sorted(modules)


def test_the_groups_of_a_chapter_hold_each_recipe_once_in_order() -> None:
    for chapter in catalogue.chapters():
        grouped = [one for group in chapter.groups.values() for one in group]
        assert grouped == list(chapter.recipes)


def test_a_chapter_of_more_than_ten_recipes_names_its_groups() -> None:
    for chapter in catalogue.chapters():
        if len(chapter.recipes) > 10:
            assert all(chapter.groups)


def test_every_package_is_a_chapter() -> None:
    packages = {
        path.parent.name for path in catalogue.ROOT.glob("*/__init__.py")
    }
    assert sorted(one.name for one in catalogue.chapters()) == sorted(packages)


def test_every_chapter_has_an_introduction_and_a_vocabulary() -> None:
    for chapter in catalogue.chapters():
        assert chapter.title
        assert re.search(
            r"^\w[^\n]*\n {4}\S", chapter.introduction, re.MULTILINE
        )


def test_no_chapter_and_no_recipe_shadows_a_standard_module() -> None:
    names = {part for one in RECIPES for part in one.name.split(".")}
    assert not names & sys.stdlib_module_names


@every_recipe
def test_nothing_is_left_to_write(recipe: catalogue.Recipe) -> None:
    if left := recipe.unwritten:
        text = "\n".join([f"{recipe.path} is not written yet:", *left])
        pytest.fail(text, pytrace=False)


@every_recipe
def test_the_task_fits_in_60_characters(recipe: catalogue.Recipe) -> None:
    assert 0 < len(recipe.title) <= 60
    assert recipe.title[0].isupper()
    docstring = ast.get_docstring(ast.parse(recipe.source)) or ""
    assert docstring.partition("\n")[0] == f"{recipe.title}."


@every_recipe
def test_the_answer_stands_before_the_fields(recipe: catalogue.Recipe) -> None:
    assert recipe.answer


@every_recipe
def test_the_fields_have_values_of_the_closed_lists(
    recipe: catalogue.Recipe,
) -> None:
    required = {"models", "work", "level", "since", "trap", "search"}
    optional = {"told by", "needs", "fails"}
    assert required <= recipe.fields.keys() <= required | optional
    assert set(recipe.needs) <= ENGINES.keys()
    assert set(recipe.values("models")) <= MODELS
    assert set(recipe.values("work")) <= WORK
    assert recipe.fields["level"] in LEVELS
    assert re.fullmatch(r"3\.1[1-5]", recipe.fields["since"])
    assert len(recipe.values("search")) >= 3


@every_recipe
def test_the_advice_has_terms_of_the_closed_list_in_order(
    recipe: catalogue.Recipe,
) -> None:
    terms = [
        line
        for line in recipe.advice.splitlines()
        if line and not line.startswith(" ")
    ]
    assert terms == [term for term in ADVICE if term in terms]
    assert terms[:1] == ["Use this when"]


@every_recipe
def test_main_documents_one_output_for_each_build(
    recipe: catalogue.Recipe,
) -> None:
    assert_one_output_for_each_build(recipe, "main")


@every_trap
def test_broken_main_documents_one_outcome_for_each_build(
    recipe: catalogue.Recipe,
) -> None:
    assert_one_output_for_each_build(recipe, "broken_main")


def assert_one_output_for_each_build(
    recipe: catalogue.Recipe, entry: str
) -> None:
    for version, gil in BUILDS:
        fitting = [
            output
            for output in forms.outputs(recipe.source, entry)
            if forms.applies(output.when, version=version, gil=gil)
        ]
        assert len(fitting) == 1, (version, gil)
        assert fitting[0].text.strip()


@every_recipe
def test_a_recipe_without_a_trap_says_why(recipe: catalogue.Recipe) -> None:
    if recipe not in TRAPS:
        assert recipe.fields["trap"].removeprefix("none:").strip()
        assert "def broken_main" not in recipe.source


@every_trap
def test_the_trap_says_why_it_breaks(recipe: catalogue.Recipe) -> None:
    warned = [
        node.name
        for node in definitions(recipe.source)
        if "\nWarning:\n" in (ast.get_docstring(node) or "")
    ]
    assert warned
    assert all("broken" in one.lower() or "blocked" in one for one in warned)


@every_recipe
def test_the_right_way_stands_first(recipe: catalogue.Recipe) -> None:
    names = [node.name for node in definitions(recipe.source)]
    broken = [name for name in names if name.lower().startswith("broken")]
    assert all(names.index("main") < names.index(name) for name in broken)


@every_recipe
def test_the_module_ends_with_the_guard_that_calls_both(
    recipe: catalogue.Recipe,
) -> None:
    calls = "    main()\n" + "    broken_main()\n" * (recipe in TRAPS)
    assert recipe.source.endswith(f'\n\nif __name__ == "__main__":\n{calls}')


@every_recipe
def test_everything_public_is_documented(recipe: catalogue.Recipe) -> None:
    for node in ast.walk(ast.parse(recipe.source)):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                nested = node.col_offset and isinstance(node, ast.FunctionDef)
                if not name.startswith("_") and not nested:
                    assert ast.get_docstring(node), name


@every_recipe
def test_it_imports_the_standard_library_and_the_core_alone(
    recipe: catalogue.Recipe,
) -> None:
    tree = ast.parse(recipe.source)
    needed = {module for name in recipe.needs for module in ENGINES[name]}
    assert foreign_imports(tree) == needed


@every_recipe
def test_it_imports_with_nothing_installed(recipe: catalogue.Recipe) -> None:
    tree = ast.parse(recipe.source)
    tree.body = [one for one in tree.body if not isinstance(one, Definition)]
    assert not foreign_imports(tree)


def foreign_imports(tree: ast.Module) -> set[str]:
    """Return the packages imported that are neither Python's nor the core."""
    modules = set()
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module)):
                modules.add(module)
            case ast.Import(names=names):
                modules |= {alias.name for alias in names}
    return {module.split(".")[0] for module in modules - {forms.CORE}} - set(
        sys.stdlib_module_names
    )


@every_recipe
def test_no_comment_speaks_to_a_linter(recipe: catalogue.Recipe) -> None:
    comments = re.findall(r"#\s*(?:noqa|type:|pragma|pylint)", recipe.source)
    assert not comments


@every_recipe
def test_the_proofs_read_as_claims(recipe: catalogue.Recipe) -> None:
    names = proofs(recipe)
    assert len(names) >= 3
    for name in names:
        words = name.removeprefix("test_").split("_")
        assert len(words) >= 5, f"{name} is no sentence"


@every_recipe
def test_what_is_explored_is_recorded_on_every_build_from_this_code(
    recipe: catalogue.Recipe,
) -> None:
    *chapter, name = recipe.name.split(".")
    proof = TESTS.joinpath(*chapter, f"test_{name}.py")
    explores = "explore: Explore" in proof.read_text(encoding="utf-8")
    path = RECORDED / f"{recipe.address}.json"
    told = f"nox -s record -- -k {name}" if explores else f"remove {path}"
    assert path.exists() is explores, told
    if explores:
        record = json.loads(path.read_text(encoding="utf-8"))
        assert tuple(record["builds"]) == RECORDED_BUILDS, told
        assert record["code"] == forms.fingerprint(recipe.source), told
        lengths = {len(facts) for facts in record["builds"].values()}
        assert len(lengths) == 1


def test_nothing_is_recorded_of_a_recipe_that_is_not_there() -> None:
    recorded = {
        path.relative_to(RECORDED).with_suffix("").as_posix()
        for path in RECORDED.rglob("*.json")
        # of tests/test_bench.py, tests/test_errors.py, tests/test_faults.py,
        # tests/test_timelines.py, tests/test_verified.py
        if path.name not in ("bench.json", "errors.json", "faults.json")
        if RECORDED / "timelines" not in path.parents
        if RECORDED / "verified" not in path.parents
    }
    assert recorded <= {recipe.address for recipe in RECIPES}


@every_trap
def test_the_linter_reports_what_it_is_said_to_report(
    recipe: catalogue.Recipe,
) -> None:
    told_by = recipe.fields.get("told by", "")
    trap = forms.program(recipe.source, "broken_main")
    right = forms.program(recipe.source, "main")
    for code in re.findall(r"ruff ([A-Z]+\d+)", told_by):
        assert ruff(trap, code), f"{code} is not reported"
        assert not ruff(right, code), f"{code} is reported on the right way"
