"""The search of the built book, asked in readers' words, right and misspelt.

``tests/searches.tsv`` has one line for each query: its kind, the query, and
the recipes or other pages that answer it, or a question of
``tests/questions.tsv`` that recipes answer. A kind is *asked* by a reader,
*reworded* or *misspelt*; a right page must be among the first three results
for nearly all of them. Of the kind *first* it must be the very first, for
each.
"""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from playwright.sync_api import Page, expect

from cookbook import catalogue
from tests.book.browser import Site
from tests.test_questions import QUESTIONS

PATH = catalogue.ROOT.parent / "tests" / "searches.tsv"
SHOWN = 3  # results that a reader sees without scrolling, even on a phone
WANTED = 0.95  # of the queries
SEARCH = """queries => queries.map(query =>
  Search._performSearch(...Search._parseQuery(query)).reverse()
    .map(([page]) => page))"""
ITEMS = "#search-results ul.search > li > a"


class Query(NamedTuple):
    """What a reader types, and the pages that are right.

    Attributes:
        kind: One of *first*, *asked*, *reworded* and *misspelt*.
        text: What is typed.
        pages: The pages, without ``.html``.
    """

    kind: str
    text: str
    pages: frozenset[str]


def read_queries() -> list[Query]:
    lines = PATH.read_text(encoding="utf-8").splitlines()
    queries = []
    for kind, text, right in (line.split("\t") for line in lines):
        answers = [one.recipe for one in QUESTIONS if one.name == right]
        pages = frozenset(map(address, answers or right.split()))
        queries.append(Query(kind, text, pages))
    return queries


def address(name: str) -> str:
    """Return the address of a recipe, or of a page written by hand."""
    if "." in name or name == "primes":
        return f"recipes/{catalogue.find(name).address}"
    assert (catalogue.ROOT.parent / "docs" / f"{name}.rst").exists()
    return name


QUERIES = read_queries()


@pytest.fixture(scope="module")
def search(site: Site) -> Iterator[Page]:
    with site.page("search.html?q=lock", on="file") as page:
        page.wait_for_function("Search.hasIndex()")
        yield page


def test_each_query_is_asked_once() -> None:
    texts = [query.text.lower() for query in QUERIES]
    assert len(set(texts)) == len(texts)


def test_for_what_a_recipe_is_about_it_is_the_first_result(
    search: Page,
) -> None:
    assert not missed(search, "first", among=1)


@pytest.mark.parametrize("kind", ["asked", "reworded", "misspelt"])
def test_a_right_page_is_in_the_first_three_results(
    kind: str, search: Page
) -> None:
    count = sum(query.kind == kind for query in QUERIES)
    assert count >= 60
    wrong = missed(search, kind, among=SHOWN)
    assert len(wrong) <= count * (1 - WANTED), "\n".join(wrong)


@pytest.mark.parametrize("on", ["http", "file"])
def test_what_is_found_is_what_a_reader_sees(on: str, site: Site) -> None:
    with site.page("search.html?q=semafore", on=on) as page:
        summary = page.locator("#search-results p.search-summary")
        expect(summary).to_contain_text("finished")
        [found] = page.evaluate(SEARCH, ["semafore"])
        shown = page.locator(ITEMS).evaluate_all(
            "all => all.map(one => one.pathname)"
        )
    assert found
    assert len(shown) == len(found)
    for address, name in zip(shown, found, strict=True):
        assert address.endswith(f"/{name}.html")


def test_the_page_that_a_search_leads_to_is_not_full_of_marks(
    site: Site,
) -> None:
    with site.page("search.html?q=worker killed i/o") as page:
        page.locator(ITEMS).first.click()
        page.wait_for_url("**/recipes/**")
        # Sphinx marks 10 ms after the page is there, and timers keep order.
        page.evaluate("new Promise(done => setTimeout(done, 20))")
        assert page.locator(".highlighted").count() == 0


def missed(search: Page, kind: str, among: int) -> list[str]:
    """Return the queries with no right page among the first so many."""
    queries = [query for query in QUERIES if query.kind == kind]
    found = search.evaluate(SEARCH, [query.text for query in queries])
    return [
        f"{query.text!r} finds {pages[:among]}"
        for query, pages in zip(queries, found, strict=True)
        if not query.pages.intersection(pages[:among])
    ]
