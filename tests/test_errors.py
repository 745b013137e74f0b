"""The messages of the page on errors, each brought about by its program."""

import ast
import importlib.util
import itertools
import platform
import queue
import re
import sys

import errors
import pytest

from cookbook import catalogue, forms
from tests.exploring import BUILD, BUILDS
from tests.reproducing import DOCS, output, record, words

PARTS = errors.load(DOCS)
ENTRIES = [entry for part in PARTS for entry in part.entries]
RUN = [entry for entry in ENTRIES if entry.program]
RECIPES = {recipe.name for recipe in catalogue.recipes()}

every_program = pytest.mark.parametrize(
    "entry", RUN, ids=lambda entry: entry.anchor
)


@pytest.fixture
def recorded(request: pytest.FixtureRequest) -> dict[str, errors.Record]:
    """What was recorded; it is not whole yet while it is recorded."""
    if request.config.getoption("--record"):
        pytest.skip("it is being recorded")
    return errors.recording(DOCS)


@pytest.mark.skipif(
    sys.platform != "linux", reason="the words are those on Linux"
)
@every_program
def test_the_program_brings_the_message_about(
    entry: errors.Entry, request: pytest.FixtureRequest
) -> None:
    if not forms.applies(entry.when):
        pytest.skip(f"is for {entry.when}")
    if entry.needs and not importlib.util.find_spec(entry.needs):
        pytest.skip(f"needs {entry.needs}")
    printed = output(entry)
    found = words(entry, printed)
    if request.config.getoption("--record"):
        record(entry, found)
        return
    known, pythons = entry.recorded, errors.pythons(DOCS)
    assert BUILD in known or BUILD not in pythons, "not recorded"
    version = platform.python_version()
    # A patch release may bring words that another version had before, and a
    # build that nothing was recorded on has those of another one.
    expected = (
        [known[BUILD]]
        if version == pythons.get(BUILD)
        else sorted(set(known.values()))
    )
    assert found in expected, (
        f"Python {version} has other words than recorded. If they are right:"
        f" nox -s record -- tests/test_errors.py. It printed:\n{printed}"
    )


def test_what_is_shown_was_recorded_on_every_build_from_these_programs(
    recorded: dict[str, errors.Record],
) -> None:
    for entry in RUN:
        facts = recorded[entry.anchor]
        assert facts["program"] == entry.fingerprint, entry.anchor
        assert list(facts["words"]) == builds_that(entry.when), entry.anchor
        assert entry.messages, entry.anchor


def builds_that(when: str) -> list[str]:
    """Return the builds that *when* names."""
    return [
        build
        for build in BUILDS
        if forms.applies(
            when,
            version=(3, int(build.removesuffix("t").partition(".")[2])),
            gil=not build.endswith("t"),
        )
    ]


def test_a_program_can_be_read_and_fits_on_the_page() -> None:
    for entry in RUN:
        lines = entry.program.splitlines()
        assert ast.parse(entry.program).body, entry.anchor
        assert max(map(len, lines)) <= 79, entry.anchor
        assert len(lines) <= 30, entry.anchor


def test_an_entry_says_something_and_leads_to_recipes() -> None:
    for entry in ENTRIES:
        assert entry.says.strip().endswith("."), entry.anchor
        assert entry.recipes, entry.anchor
        assert set(entry.recipes) <= RECIPES, entry.anchor


def test_a_message_is_reproduced_or_it_is_said_what_that_needs() -> None:
    for entry in ENTRIES:
        here = bool(entry.program or entry.symptom)
        assert bool(entry.words) is bool(entry.why) is not here, entry.anchor


def test_each_entry_has_an_anchor_of_its_own() -> None:
    anchors = [entry.anchor for entry in ENTRIES]
    assert len(set(anchors)) == len(anchors)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one) for one in anchors)


def test_no_anchor_that_was_recorded_is_gone(
    recorded: dict[str, errors.Record],
) -> None:
    assert recorded.keys() == {entry.anchor for entry in RUN}
    assert list(errors.pythons(DOCS)) == list(BUILDS)


def test_a_counter_keeps_jobs_of_one_priority_from_being_compared() -> None:
    count = itertools.count()
    jobs: queue.PriorityQueue[tuple[int, int, object]] = queue.PriorityQueue()
    pair = [object(), object()]
    for job in pair:
        jobs.put((1, next(count), job))
    assert [jobs.get()[2] for _ in pair] == pair


def test_the_builds_of_the_same_words_are_named_as_spans() -> None:
    recorded = dict.fromkeys(BUILDS, "new") | {"3.11": "old", "3.13": ""}
    entry = errors.Entry("one", "", [], recorded=recorded)
    assert entry.variants == [
        ("old", "3.11"),
        ("new", "3.12, 3.13t to 3.15"),
        ("", "3.13"),
    ]
    assert entry.messages == ["old", "new"]


def test_words_that_are_the_same_on_all_builds_name_none() -> None:
    recorded = dict.fromkeys(BUILDS, "same")
    entry = errors.Entry("one", "", [], recorded=recorded)
    assert entry.variants == [("same", "")]


def test_the_message_is_the_last_line_that_can_be_one() -> None:
    printed = (
        "ValueError: first\n  File x\nOSError: [Errno 9] last\n  and ^^^\n"
    )
    entry = errors.Entry("one", "", [])
    assert words(entry, printed) == "OSError: [Errno 9] last"
    assert not words(entry, "  nothing here\n")


def test_what_varies_is_masked() -> None:
    printed = (
        "Error: <f at 0xffe1> took 0.25 seconds, pid=12, /a/b/python3.13/c"
    )
    entry = errors.Entry("one", "", [], mask=["f(?= at)"])
    assert words(entry, printed) == (
        "Error: <… at 0x…> took … seconds, pid=…, …c"
    )
