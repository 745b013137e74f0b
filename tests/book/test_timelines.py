"""What happens, as a reader sees it."""

from itertools import combinations

import happens
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from cookbook import catalogue
from tests.book.browser import ROOT, Site

SHOWN = [
    recipe
    for recipe in catalogue.recipes()
    if happens.of(recipe, ROOT / "docs")[0]
]
PAGES = (
    "threads/shared_counter",
    "threads/thread_pool",
    "coroutines/run_together",
    "processes/dead_worker",
    "processes/executor_map",
    "deadlocks/dining_philosophers",
)
WRITTEN = """() => [...document.querySelectorAll("div.lanes svg text")]
  .map(text => [text.textContent, text.getBoundingClientRect()])
  .filter(([_, box]) => box.width)
  .map(([text, box]) => ({
    text, left: box.left, right: box.right, top: box.top, bottom: box.bottom,
  }))"""


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("name", PAGES)
def test_what_is_written_in_lanes_is_on_the_page_and_over_nothing(
    name: str, width: int, site: Site
) -> None:
    with site.page(f"recipes/{name}.html", width=width) as page:
        written = page.evaluate(WRITTEN)
    assert written
    for text in written:
        assert 0 <= text["left"] < text["right"] <= width, text
    for one, other in combinations(written, 2):
        assert not (
            one["left"] < other["right"]
            and other["left"] < one["right"]
            and one["top"] + 3 < other["bottom"]
            and other["top"] + 3 < one["bottom"]
        ), f"{one['text']} is written over {other['text']}"


@pytest.mark.parametrize("width", [1280, 360])
def test_the_words_for_the_lanes_fit_and_axe_finds_nothing_wrong(
    width: int, site: Site
) -> None:
    address = f"recipes/{PAGES[0]}.html"
    with site.page(address, width=width, java_script=False) as page:
        expect(page.locator("div.lanes table")).to_be_hidden()
        page.locator("div.lanes summary").click()
        expect(page.locator("div.lanes table")).to_contain_text("thread 1")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    with site.page(address, width=width) as page:
        page.locator("div.lanes details").evaluate("one => one.open = true")
        found = Axe().run(page)
    assert not found.violations_count, found.generate_report()


def test_each_recipe_with_lanes_has_a_thumbnail_that_leads_to_it(
    site: Site,
) -> None:
    with site.page("pictures.html") as page:
        links = page.locator("div.picture a").evaluate_all(
            "all => all.map(one => one.getAttribute('href'))"
        )
        assert page.locator("div.picture svg").count() == len(SHOWN)
    assert links == [f"recipes/{one.address}.html" for one in SHOWN]
