"""The keyboard: the search, the next page, and what keeps its own keys."""

import pytest
from playwright.sync_api import Page, expect

from tests.book.browser import Site

RECIPE = "recipes/threads/shared_counter.html"
WIDE = "div.recipe pre"
NEXT = "document.querySelector('link[rel=next]').href"
PREVIOUS = "document.querySelector('link[rel=prev]').href"


@pytest.mark.parametrize("key", ["/", "Control+k", "Meta+k"])
@pytest.mark.parametrize("width", [1280, 800])
def test_a_key_leads_to_the_search(key: str, width: int, site: Site) -> None:
    with site.page(RECIPE, width=width) as page:
        page.keyboard.press(key)
        field = page.locator(".sidebar-search")
        expect(field).to_be_focused()
        expect(field).to_be_in_viewport()
        page.keyboard.type("a/b")
        expect(field).to_have_value("a/b")


@pytest.mark.parametrize(
    ("key", "address"), [("ArrowRight", NEXT), ("ArrowLeft", PREVIOUS)]
)
def test_an_arrow_turns_the_page(key: str, address: str, site: Site) -> None:
    with site.page(RECIPE) as page:
        wanted = page.evaluate(address)
        page.keyboard.press(key)
        page.wait_for_url(wanted)


def narrow(page: Page) -> None:
    """Let the first program be wider than its box."""
    page.locator(WIDE).evaluate("one => one.style.width = '12rem'")


def test_an_arrow_scrolls_code_that_has_the_focus(site: Site) -> None:
    with site.page(RECIPE) as page:
        narrow(page)
        page.locator(WIDE).focus()
        page.keyboard.press("ArrowRight")
        scrolled = f"document.querySelector('{WIDE}').scrollLeft > 0"
        page.wait_for_function(scrolled)
        for _ in range(3):  # nor does it at either end
            page.keyboard.press("ArrowLeft")
        page.wait_for_function(f"!({scrolled})")
        assert page.url.endswith(RECIPE)


def test_an_arrow_moves_the_cursor_in_what_is_typed(site: Site) -> None:
    with site.page(RECIPE) as page:
        page.keyboard.press("/")
        page.keyboard.type("lck")
        for _ in range(2):
            page.keyboard.press("ArrowLeft")
        page.keyboard.type("o")
        expect(page.locator(".sidebar-search")).to_have_value("lock")
        assert page.url.endswith(RECIPE)
