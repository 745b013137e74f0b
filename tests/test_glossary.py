"""The terms: each is defined once, and found where it is used."""

from pathlib import Path

import pytest
import terms

from cookbook import catalogue

PATH = Path(__file__).parent.parent / "docs" / "glossary.toml"
TERMS = terms.load(PATH, catalogue.chapters())
NAMES = [one.name for one in TERMS]
FIELD = [
    *("thread", "task", "coroutine", "event loop", "process", "worker"),
    *("pool", "executor", "future", "lock", "race condition", "deadlock"),
    *("livelock", "starvation", "critical section", "cancellation"),
    *("back-pressure", "start method", "free-threaded build"),
    *("subinterpreter", "concurrency", "parallelism"),
    *("CPU-bound", "I/O-bound"),
]
EMPTY = "unlinked = []\n[other]\n[chapters]\n[terms]\n"


def test_the_terms_of_the_field_are_all_there() -> None:
    assert set(FIELD) <= set(NAMES)


def test_each_term_is_defined_once_in_words_that_end_as_a_sentence() -> None:
    assert len({name.lower() for name in NAMES}) == len(NAMES)
    assert all(one.text.endswith(".") for one in TERMS)


def test_every_term_of_every_chapter_is_in_the_glossary() -> None:
    for chapter in catalogue.chapters():
        names = [name for name, _ in terms.defined(chapter.introduction)]
        assert names
        assert set(names) <= set(NAMES)


def test_a_term_of_several_chapters_needs_one_whose_words_stand(
    tmp_path: Path,
) -> None:
    path = tmp_path / "glossary.toml"
    path.write_text(EMPTY, encoding="utf-8")
    with pytest.raises(terms.TermsError, match="'GIL' is defined by"):
        terms.load(path, catalogue.chapters())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[]", '["lock"]', r"nothing defines \['lock'\]"),
        ("[chapters]", "[chapters]\nlock = 'x'", r"nothing defines \['lock'"),
        ("[chapters]", "[chapters]\nown = 'x'", "'own' is defined by"),
    ],
)
def test_what_the_file_says_of_a_term_that_it_cannot_mean_is_refused(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "glossary.toml"
    text = f"{EMPTY}own = 'a term.'\n"
    path.write_text(text, encoding="utf-8")
    assert [one.name for one in terms.load(path, [])] == ["own"]
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(terms.TermsError, match=message):
        terms.load(path, [])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("An event loop runs tasks.", ["event loop", "task"]),
        ("Race conditions and processes", ["race condition", "process"]),
        ("A thread, another thread", ["thread"]),
        ("THREADS", ["thread"]),
        ("multi-threaded, threading, a worker-thread", []),
        ("a free-threaded build", ["free-threaded build"]),
        ("work that is I/O-bound", ["i/o-bound"]),
        ("await the client", []),
        ("", []),
    ],
)
def test_the_first_use_of_a_term_is_found_the_longest_first(
    text: str, found: list[str]
) -> None:
    parts = terms.split(text, terms.pattern(TERMS), set())
    assert "".join(part for part, _ in parts) == text
    assert [term for _, term in parts if term] == found


def test_a_term_that_was_seen_before_is_left_alone() -> None:
    seen = {"thread"}
    parts = terms.split("a thread and a lock", terms.pattern(TERMS), seen)
    assert parts == [("a thread and a ", ""), ("lock", "lock")]
    assert seen == {"thread", "lock"}
