import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cookbook import catalogue
from tests import new_recipe

ROOT = Path(__file__).parent.parent
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the recipes and their tests, to write into."""
    ignored = shutil.ignore_patterns("__pycache__", "book")
    for part in ("cookbook", "docs/_ext", "docs/recorded", "tests"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignored)
    for part in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / part, tmp_path)
    monkeypatch.setattr(catalogue, "ROOT", tmp_path / "cookbook")
    return tmp_path


def run(checkout: Path, *command: str) -> tuple[int, str]:
    """Return the exit status of a module run there, and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        check=False,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        cwd=checkout,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_new_recipe_runs_and_fails_only_for_what_is_not_written(
    checkout: Path, capsys: Capture
) -> None:
    new_recipe.main(["clusters", "my_recipe_with_a_name_as_long_"])
    said = capsys.readouterr().out
    name = "clusters.my_recipe_with_a_name_as_long_"
    recipe = catalogue.find(name)
    tests = checkout / "tests/clusters/test_my_recipe_with_a_name_as_long_.py"
    assert catalogue.chapters()[-1].recipes[-1] == recipe
    assert str(tests.relative_to(checkout)) in said
    files = [str(recipe.path), str(tests)]
    assert run(checkout, "ruff", "check", "-q", *files) == (0, "")
    assert run(checkout, "ruff", "format", "-q", "--check", *files) == (0, "")
    quiet = ("-q", "-p", "no:cacheprovider", "--tb=short")
    pytest_run = ("pytest", *quiet, *files, "tests/test_book.py")
    status, said = run(checkout, *pytest_run, "-k", "my_recipe")
    assert status == 1
    assert "1 failed" in said
    lines = "\n".join(recipe.unwritten)
    assert f"{recipe.path} is not written yet:\n{lines}\n" in said
    text = recipe.source.replace("TODO: t", "T").replace("TODO", "Done")
    recipe.path.write_text(text, encoding="utf-8")
    status, said = run(checkout, *pytest_run, "-k", "my_recipe")
    assert status == 0, said


@pytest.mark.parametrize(
    ("chapter", "name", "says"),
    [
        ("thread", "one", "no chapter is called 'thread': threads, "),
        ("..", "one", "no chapter is called '..'"),
        ("", "one", "no chapter is called ''"),
        ("threads", "My-Recipe", "no module can be called 'My-Recipe'"),
        ("threads", "../one", "no module can be called '../one'"),
        ("threads", "_one", "no module can be called '_one'"),
        ("threads", "async", "no module can be called 'async'"),
        ("threads", "o" * 31, f"no module can be called '{'o' * 31}'"),
        ("threads", "queue", "'queue' is a module of Python's"),
        ("threads", "index", "'index' is the address of something else"),
        ("threads", "lock_trap", "'lock_trap' is the address of something"),
        ("threads", "barrier", "barrier.py is there already"),
        ("threads", "", "no module can be called ''"),
    ],
)
def test_what_cannot_be_a_recipe_is_named_and_nothing_is_written(
    chapter: str, name: str, says: str, checkout: Path, capsys: Capture
) -> None:
    before = contents(checkout)
    with pytest.raises(SystemExit) as ended:
        new_recipe.main([chapter, name])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err
    assert contents(checkout) == before


def test_tests_that_are_there_are_not_written_over(
    checkout: Path, capsys: Capture
) -> None:
    tests = checkout / "tests" / "threads" / "test_one.py"
    tests.write_text("pass\n", encoding="utf-8")
    with pytest.raises(SystemExit):
        new_recipe.main(["threads", "one"])
    assert f"{tests} is there already" in capsys.readouterr().err
    assert not (checkout / "cookbook" / "threads" / "one.py").exists()


def contents(folder: Path) -> dict[Path, bytes]:
    """Return what is in each file below *folder*."""
    return {
        path: path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
