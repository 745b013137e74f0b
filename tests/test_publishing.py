"""What GitHub and Read the Docs are told, and what readers are asked for."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCK = ROOT / "docs" / "requirements.txt"
LOCKED = re.compile(r"^([\w.-]+)==(\S+)(?: ; .*)? \\$", re.MULTILINE)
NAME = re.compile(r"[\w-]+")
BOUND = re.compile(r"(>=|<)([\d.]+)")
FORM = ROOT / ".github" / "ISSUE_TEMPLATE" / "recipe-failed.yml"
GITHUB = pytest.mark.skipif(
    not FORM.exists(), reason="not in this copy of the book"
)


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(one) for one in version.split("."))


def test_the_docs_are_locked_to_versions_that_pyproject_allows() -> None:
    text = LOCK.read_text(encoding="utf-8")
    locked = dict(LOCKED.findall(text))
    wanted = PYPROJECT["dependency-groups"]["docs"]
    assert wanted
    for requirement in wanted:
        [name] = NAME.findall(requirement)[:1]
        assert name in locked, "lock it again: nox -s lock"
        version = numbers(locked[name])
        for sign, bound in BOUND.findall(requirement):
            allowed = version >= numbers(bound)
            assert allowed == (sign == ">="), f"{requirement}: nox -s lock"


def test_each_file_that_the_docs_need_is_locked_by_its_hash() -> None:
    text = LOCK.read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert len(blocks) > 10
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", b) for b in blocks)
    assert "://" not in text


def test_the_version_that_is_cited_is_the_version_of_the_book() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    project = PYPROJECT["project"]
    assert f"\nversion: {project['version']}\n" in text
    assert f"\nlicense: {project['license']}\n" in text
    assert project["description"] in text
    assert project["urls"]["Source"] in text


@GITHUB
def test_what_a_reader_is_asked_to_run_says_version_and_start_method() -> None:
    text = FORM.read_text(encoding="utf-8")
    [code] = re.findall(r'python -c "(.*)"$', text, re.MULTILINE)
    run = subprocess.run(
        [sys.executable, "-I", "-c", code],
        check=True,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    version, *_, cores, method, gil = run.stdout.splitlines()
    assert version == sys.version.splitlines()[0]
    assert cores.endswith(" cores")
    assert method in {"fork", "forkserver", "spawn"}
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    assert gil == ("GIL" if has_gil else "no GIL")


@GITHUB
def test_every_action_is_pinned_to_a_commit_with_its_version() -> None:
    folder = ROOT / ".github" / "workflows"
    used = [
        line.partition("uses: ")[2]
        for path in folder.iterdir()
        for line in path.read_text(encoding="utf-8").splitlines()
        if "uses: " in line
    ]
    pinned = re.compile(r"[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+")
    assert used
    assert [one for one in used if not pinned.fullmatch(one)] == []
