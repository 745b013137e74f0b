"""The index of error messages, and the search for one, in Chromium."""

import re

import errors
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.book.browser import ROOT, Clipboard, Site
from tests.reproducing import output
from tests.test_questions import QUESTIONS

PAGE = "errors.html"
PARTS = errors.load(ROOT / "docs")
ENTRIES = [entry for part in PARTS for entry in part.entries]
MESSAGES = [(words, one) for one in ENTRIES for words in one.messages]
MASKS = ("4711", "/home/ada/shop/")
# The names in the programs, and what a reader's own program may call them.
NAMES = {
    "area": "price_of",
    "load": "fetch_page",
    "main": "start_shop",
    "save": "write_order",
    "session": "basket",
    "work": "crunch",
}
# What readers ask for in other words than the name of an error first.
ALSO_ASKED = [
    "Task exception was never retrieved",
    "object MagicMock can't be used in 'await' expression",
    "BrokenProcessPool",
    "KilledWorker: Attempted to run task",
    "run_coroutine_threadsafe result never returns",
    "SynchronousOnlyOperation: You cannot call this from an async context",
]
ASKED = ALSO_ASKED + [
    found[1]
    for question in QUESTIONS
    for found in re.finditer(
        r'"((?:[\w.]+\.)?[A-Z]\w+(?:Error|Warning|Group): [^"]{8,})"',
        question.text,
    )
]
TRACEBACK = """\
Traceback (most recent call last):
  File "shop.py", line 12, in start_shop
    with ProcessPoolExecutor() as pool, asyncio.Lock() as lock:
         ~~~~~~~~~~~~~~~~~~~^^
  File "/usr/lib/python3.14/queue.py", line 7, in get
    raise Empty
{}"""
GROUP = """\
  + Exception Group Traceback (most recent call last):
  |   File "shop.py", line 12, in start_shop
  |     async with asyncio.TaskGroup() as group:
  |                ~~~~~~~~~~~~~~~~~^^
  | Lost: nothing that anybody knows (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "shop.py", line 7, in crunch
    |     raise RuntimeError("another loop")
    | {}
    +------------------------------------
"""
# Programs whose tracebacks are pasted as they come, and what must be found.
WHOLE: dict[str, list[str]] = {
    "release-unlocked-lock": [],
    "no-running-event-loop": [],  # a warning follows
    "bootstrapping-phase": [],  # of many lines
    "task-exception-was-never-retrieved": [],  # comes before the traceback
    "remote-traceback": [],  # is the cause of another error
    "af-unix-path-too-long": ["eof-error-of-a-pipe"],  # the last of a chain
    "taskgroup-is-shutting-down": [],  # in a group
}
SHOWN = """() =>
  [...document.querySelectorAll(".messages-found li p:first-child a")]
    .map(link => new URL(link.href).hash.slice(1))"""
FIND = f"""queries => queries.map(query => {{
  const input = document.querySelector("article input[name=q]");
  input.value = query;
  input.dispatchEvent(new Event("input", {{ bubbles: true }}));
  return ({SHOWN})();
}})"""


def found(
    site: Site, queries: list[str], address: str = "search.html"
) -> list[list[str]]:
    """Return the anchors that are shown for each query, in order."""
    with site.page(address) as page:
        result: list[list[str]] = page.evaluate(FIND, queries)
        return result


def said_alike(entry: errors.Entry) -> set[str]:
    """Return the anchors of the entries that share words with *entry*."""
    return {
        other.anchor
        for other in ENTRIES
        if set(other.messages) & set(entry.messages)
    }


@pytest.mark.parametrize("address", ["search.html", PAGE])
@pytest.mark.parametrize("own_names", [False, True])
def test_every_message_that_is_pasted_finds_its_entry_first(
    own_names: bool, address: str, site: Site
) -> None:
    queries = [words for words, _ in MESSAGES]
    if own_names:
        queries = [with_own_names(words) for words in queries]
    wrong = [
        (query, anchors)
        for query, anchors, (_, entry) in zip(
            queries, found(site, queries, address), MESSAGES, strict=True
        )
        if not anchors or anchors[0] not in said_alike(entry)
    ]
    assert not wrong


def with_own_names(words: str) -> str:
    """Return the message as another program would show it."""
    for name, other in NAMES.items():
        words = re.sub(rf"\b{name}\b", other, words)
    return words.replace("…", MASKS[0]).replace("program.py", "shop.py")


@pytest.mark.parametrize("around", [TRACEBACK, GROUP])
def test_a_message_is_found_first_with_the_traceback_around_it(
    around: str, site: Site
) -> None:
    errors_alone = [
        (with_own_names(words), entry)
        for words, entry in MESSAGES
        if re.match(r"[\w.]+(?:$|: )", words)
    ]
    assert len(errors_alone) > 100
    queries = [
        around.format(words).replace("\n", " ") for words, _ in errors_alone
    ]
    wrong = [
        (words, anchors)
        for (words, entry), anchors in zip(
            errors_alone, found(site, queries), strict=True
        )
        if not anchors or anchors[0] not in said_alike(entry)
    ]
    assert not wrong


@pytest.mark.parametrize(("anchor", "before"), WHOLE.items())
def test_the_whole_of_what_a_program_prints_can_be_pasted(
    anchor: str, before: list[str], site: Site
) -> None:
    [entry] = [one for one in ENTRIES if one.anchor == anchor]
    printed = output(entry)
    assert printed.count("\n") > 2
    with site.page(PAGE) as page:
        paper = page.context.new_page()
        paper.set_content("<textarea></textarea>")
        paper.locator("textarea").fill(printed)
        paper.locator("textarea").press("Control+A")
        paper.locator("textarea").press("Control+C")
        page.bring_to_front()
        page.locator("article input[name=q]").press("Control+V")
        expect(page.locator(".messages-found a").first).to_be_visible()
        shown = page.evaluate(SHOWN)
    assert shown[: len(before) + 1] == [*before, anchor]


def test_every_message_that_readers_ask_for_is_found(site: Site) -> None:
    assert len(ASKED) > 40
    shown = zip(ASKED, found(site, ASKED), strict=True)
    assert not [query for query, anchors in shown if not anchors]


def test_a_search_for_no_message_shows_none(site: Site) -> None:
    queries = ["thread pool", "asyncio", "how to stop a thread", "deadlock"]
    assert found(site, queries) == [[], [], [], []]


def test_a_pasted_message_is_shown_above_the_results_with_its_recipes(
    site: Site,
) -> None:
    query = "SyntaxError: 'await' outside function"
    with site.page("search.html") as page:
        page.locator("article input[name=q]").fill(query)
        page.locator("article input[name=q]").press("Enter")
        page.wait_for_url("**/search.html?*")
        first = page.locator(".messages-found li").first
        expect(first).to_contain_text("stands at module level")
        expect(page.locator("ul.search li").first).to_be_visible()
        assert not Axe().run(page).violations_count
        first.locator("a").first.click()
        page.wait_for_url("**/errors.html#await-outside-function")
        expect(page.locator("#await-outside-function")).to_be_in_viewport()


@pytest.mark.parametrize("on", ["http", "file"])
def test_a_message_pasted_on_the_page_of_errors_is_found_there(
    on: str, site: Site
) -> None:
    with site.page(PAGE, on=on) as page:
        page.locator("article input[name=q]").fill("no running event loop")
        link = page.locator(".messages-found a").first
        expect(link).to_have_text("RuntimeError: no running event loop")


def test_every_entry_can_be_linked_to_and_shows_its_words(site: Site) -> None:
    with site.page(PAGE, java_script=False) as page:
        for entry in ENTRIES:
            text = page.locator(f"#{entry.anchor}").text_content() or ""
            assert not [one for one in entry.messages if one not in text]


def test_the_programs_shown_are_those_that_were_run(site: Site) -> None:
    with site.page(PAGE) as page:
        for entry in ENTRIES:
            box = page.locator(f"#{entry.anchor}")
            shown = box.locator(".highlight-python pre").all_text_contents()
            assert shown == ([entry.program] if entry.program else [])


def test_a_program_opens_and_is_copied_as_it_is_shown(site: Site) -> None:
    [entry] = [one for one in ENTRIES if one.anchor == "release-unlocked-lock"]
    with site.page(PAGE) as page:
        box = page.locator(f"#{entry.anchor}")
        expect(box.locator("pre")).to_be_hidden()
        box.locator("summary").click()
        expect(box.locator("pre")).to_be_visible()
        clipboard = Clipboard(page.context)
        copied = clipboard.after(page, box.locator("button.copy").click)
        assert copied == entry.program
