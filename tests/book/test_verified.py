"""What was verified, as a reader sees it."""

from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.book.browser import BOOK, Site

PAGES = {  # by what the grid shows there
    "start methods": "processes/pickling",
    "not applicable": "parallel_threads/interpreter_pool",
    "one column": "threads/producer_consumer",
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
def test_the_grid_fits_and_axe_finds_nothing_wrong(
    page: str, width: int, theme: Literal["light", "dark"], site: Site
) -> None:
    address = f"recipes/{page}.html"
    with site.page(address, width=width, theme=theme) as shown:
        grid = shown.locator("#proved-by table.verified").bounding_box()
        proofs = shown.locator("#proved-by .proof > ul").bounding_box()
        found = Axe().run(shown, ".proof")
    assert grid
    assert proofs
    assert grid["x"] >= 0
    assert grid["x"] + grid["width"] <= width
    beside = grid["x"] >= proofs["x"] + proofs["width"]
    below = grid["y"] >= proofs["y"] + proofs["height"]
    assert beside if width == 1280 else below
    assert not found.violations_count, found.generate_report()


def test_without_scripts_the_marks_have_words_and_the_sentences_versions(
    site: Site,
) -> None:
    address = f"recipes/{PAGES['not applicable']}.html"
    with site.page(address, java_script=False) as page:
        rows = page.locator("table.verified tbody tr")
        row = rows.filter(has=page.get_by_role("rowheader", name="3.11"))
        expect(row).to_contain_text("the recipe is for Python 3.14 and later")
        row = rows.filter(has=page.get_by_role("rowheader", name="3.14"))
        expect(row).to_contain_text("32 passed")
        older = page.locator("#proved-by li", has_text="Up to python 3 13")
        expect(older).to_contain_text("(up to 3.13)")


def test_the_words_of_the_grids_are_not_searched_for() -> None:
    index = (BOOK / "searchindex.js").read_text(encoding="utf-8")
    assert "x86_64" not in index
