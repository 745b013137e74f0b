"""What Sphinx makes of a copy of the checkout."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from tests.charting import chart, file, row

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the book is built from, in a folder with a space."""
    folder = tmp_path_factory.mktemp("a checkout")
    ignored = shutil.ignore_patterns("_build", "recipes", "__pycache__")
    for part in ("bench", "cookbook", "docs", "tests"):
        if (ROOT / part).exists():
            shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    for name in ("LICENSE", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def build(checkout: Path, name: str, *options: str) -> str:
    """Build the book into the folder *name*, and return what Sphinx says."""
    command = [
        *(sys.executable, "-m", "sphinx", "-b", "html", "-W", "-n"),
        *("-d", str(checkout / f"{name}-doctrees"), *options),
        *(str(checkout / "docs"), str(checkout / name)),
    ]
    environment = os.environ | {
        "SOURCE_DATE_EPOCH": "1700000000",
        "PYTHONWARNINGS": "ignore::DeprecationWarning",
        "NO_COLOR": "1",
    }
    run = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def contents(folder: Path) -> dict[str, str]:
    """Return the hash of each file below *folder*."""
    return {
        path.relative_to(folder).as_posix(): sha256(
            path.read_bytes()
        ).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_two_builds_of_one_checkout_are_the_same_to_the_byte(
    checkout: Path,
) -> None:
    build(checkout, "first")
    # One more process writes pages, in another order.
    build(checkout, "second", "-j", "2")
    first, second = contents(checkout / "first"), contents(checkout / "second")
    assert len(first) > 50
    different = {
        name for name in first | second if first.get(name) != second.get(name)
    }
    assert different <= {".buildinfo"}


def test_a_recipe_that_is_edited_is_the_one_page_that_is_read_again(
    checkout: Path,
) -> None:
    build(checkout, "book")
    said = build(checkout, "book")
    assert "0 added, 0 changed, 0 removed" in said
    recipe = checkout / "cookbook" / "threads" / "shared_counter.py"
    source = recipe.read_text(encoding="utf-8")
    recipe.write_text(source.replace("thousand times", "1000 times"), "utf-8")
    said = build(checkout, "book")
    assert "0 added, 1 changed, 0 removed" in said
    page = checkout / "book" / "recipes" / "threads" / "shared_counter.html"
    assert "1000 times each" in page.read_text(encoding="utf-8")
    recipe.write_text(source, encoding="utf-8")


def test_a_recipe_that_is_taken_out_leaves_no_page_behind(
    checkout: Path,
) -> None:
    chapter = checkout / "cookbook" / "coroutines" / "__init__.py"
    module = chapter.with_name("extra.py")
    source = (chapter.with_name("run_together.py")).read_text("utf-8")
    listed = chapter.read_text(encoding="utf-8")
    module.write_text(source, encoding="utf-8")
    chapter.write_text(
        listed.replace('"run_together"', '"run_together", "extra"'), "utf-8"
    )
    build(checkout, "changing")
    page = Path("recipes", "coroutines", "extra")
    assert (checkout / "changing" / page.with_suffix(".html")).exists()
    module.unlink()
    chapter.write_text(listed, encoding="utf-8")
    said = build(checkout, "changing")
    assert "1 removed" in said
    assert not (checkout / "docs" / page.with_suffix(".rst")).exists()


def test_a_reference_to_nothing_fails_the_build(checkout: Path) -> None:
    page = checkout / "docs" / "tested.rst"
    text = page.read_text(encoding="utf-8")
    page.write_text(f"{text}\n:recipe:`threads.nothing`\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"no recipe 'threads\.nothing'"):
        build(checkout, "broken")
    page.write_text(text, encoding="utf-8")


def test_a_timeline_of_other_code_fails_the_build_in_ci(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkout / "docs/recorded/timelines/threads/shared_counter.json"
    facts = json.loads(path.read_text(encoding="utf-8")) | {"code": "other"}
    monkeypatch.setenv("CI", "true")
    message = r"shared_counter\.json.*the timeline is of other code"
    with replaced(path, json.dumps(facts)):
        with pytest.raises(AssertionError, match=message):
            build(checkout, "alone", *ALONE)
        monkeypatch.delenv("CI")
        build(checkout, "desk", *ALONE)
        page = checkout / "docs" / "recipes" / "threads" / "shared_counter.rst"
        assert "Not recorded since the last edit" in page.read_text("utf-8")


def test_a_recipe_that_fails_somewhere_must_say_what_happens_there(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    path = checkout / "docs/recorded/verified/threads/shared_counter.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    for run in facts["runs"]["Linux x86_64"].values():
        run["cells"]["other"]["failed"] = ["test_a"]
    recipe = checkout / "cookbook" / "threads" / "shared_counter.py"
    source = recipe.read_text(encoding="utf-8")
    says = source.replace(
        ":level:", ":fails: on all of them, it sulks\n:level:"
    )
    with replaced(path, json.dumps(facts)):
        message = r"shared_counter\.py: fails on 3\.11 on Linux, .* :fails:"
        with pytest.raises(AssertionError, match=message):
            build(checkout, "alone", *ALONE)
        with replaced(recipe, says):
            build(checkout, "alone", *ALONE)
        page = checkout / "docs" / "recipes" / "threads" / "shared_counter.rst"
        assert "on all of them, it sulks" in page.read_text(encoding="utf-8")


def test_what_was_verified_on_other_code_fails_the_build_in_ci(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkout / "docs/recorded/verified/threads/shared_counter.json"
    facts = json.loads(path.read_text(encoding="utf-8")) | {"proof": "other"}
    monkeypatch.setenv("CI", "true")
    message = r"verified/threads/shared_counter\.json.* on other code"
    with replaced(path, json.dumps(facts)):
        with pytest.raises(AssertionError, match=message):
            build(checkout, "alone", *ALONE)
        monkeypatch.delenv("CI")
        build(checkout, "desk", *ALONE)
        page = checkout / "docs" / "recipes" / "threads" / "shared_counter.rst"
        assert "Not verified since the last edit" in page.read_text("utf-8")


# The page of what was measured alone, which reads fast.
ALONE = (
    *("-D", "root_doc=measured"),
    *("-D", "exclude_patterns=_build,_templates,recipes,[!m]*.rst"),
    *("-D", "suppress_warnings=ref.doc,ref.term"),  # to the other pages
)


def test_a_recipe_that_is_not_written_fails_the_build_in_ci(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkout / "cookbook" / "threads" / "barrier.py"
    source = path.read_text(encoding="utf-8")
    monkeypatch.setenv("CI", "true")
    message = r"barrier\.py:1: .*not written yet: TODO: the answer"
    outline = source.replace("\n\n", "\n\nTODO: the answer ", 1)
    with (
        replaced(path, outline),
        pytest.raises(AssertionError, match=message),
    ):
        build(checkout, "outline", *ALONE)


CHARTS = {"bars": chart([row("one", 1.0)], recipes=["threads.barrier"])}
FALSE = {"bars": chart([row("one", 1.0)], holds=False)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps(file(CHARTS)), r"bench\.json: .* other code \(bench\)"),
        (json.dumps(file(FALSE)), "'bars' does not bear out its sentence"),
        (json.dumps({}), r"bench\.json: the file has no 'charts'"),
    ],
)
def test_figures_that_must_not_be_published_fail_the_build_in_ci(
    text: str, message: str, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkout / "docs" / "recorded" / "bench.json"
    monkeypatch.setenv("CI", "true")
    with replaced(path, text), pytest.raises(AssertionError, match=message):
        build(checkout, "measured", *ALONE)


def test_at_a_desk_figures_of_other_code_are_shown_as_what_they_are(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkout / "docs" / "recorded" / "bench.json"
    monkeypatch.delenv("CI", raising=False)
    with replaced(path, json.dumps(file(CHARTS))):
        build(checkout, "measured", *ALONE)
    recipe = checkout / "docs" / "recipes" / "threads" / "barrier.rst"
    for path in checkout / "measured" / "measured.html", recipe:
        text = path.read_text(encoding="utf-8")
        assert "Not measured since the last edit" in text


def test_a_book_of_text_alone_holds_the_tables_of_the_charts(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkout / "docs" / "recorded" / "bench.json"
    monkeypatch.delenv("CI", raising=False)
    with replaced(path, json.dumps(file(CHARTS))):
        build(checkout, "text", "-b", "text", *ALONE)
    text = (checkout / "text" / "measured.txt").read_text(encoding="utf-8")
    assert "A title: things" in text
    assert "0.90 to 1.10" in text
    assert "svg" not in text


def test_what_has_moved_is_found_at_its_old_address(checkout: Path) -> None:
    table = {
        "old/page.html": "measured.html",
        "measured.html#old": "measured.html#what-was-measured",
    }
    path = checkout / "docs" / "moved.json"
    with replaced(path, json.dumps(table)):
        build(checkout, "moved", *ALONE)
    book = checkout / "moved"
    page = (book / "old" / "page.html").read_text(encoding="utf-8")
    assert '<a href="../measured.html">' in page
    assert 'content="0; url=../measured.html"' in page
    page = (book / "measured.html").read_text(encoding="utf-8")
    assert '<section id="what-was-measured"><span id="old"></span>' in (
        page.replace("\n", "")
    )


def test_an_anchor_that_is_said_to_be_on_another_page_fails_the_build(
    checkout: Path,
) -> None:
    path = checkout / "docs" / "moved.json"
    with (
        replaced(path, json.dumps({"measured.html#old": "index.html"})),
        pytest.raises(AssertionError, match=r"#old can only move on its page"),
    ):
        build(checkout, "lost", *ALONE)


@pytest.mark.parametrize(
    ("host", "base"), [("", "/"), ("https://example.org/book/", "/book/")]
)
def test_the_page_for_what_is_not_there_knows_where_the_book_is(
    host: str, base: str, checkout: Path
) -> None:
    build(checkout, "hosted", "-D", f"html_baseurl={host}", *ALONE)
    page = (checkout / "hosted" / "404.html").read_text(encoding="utf-8")
    assert f'<base href="{base}">' in page


@contextmanager
def replaced(path: Path, text: str) -> Iterator[None]:
    """Let a file hold *text* until the block is left."""
    before = path.read_bytes() if path.exists() else None
    path.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)
