"""The pages that lead from names, traps and terms to recipes."""

import pytest
import terms
from playwright.sync_api import expect

from cookbook import catalogue
from tests.book.browser import BOOK, ROOT, Site

TERMS = terms.load(ROOT / "docs" / "glossary.toml", catalogue.chapters())
LINKS = """() => [...document.querySelectorAll("a:has(> .std-term)")]
  .filter(one => !one.matches(".external"))
  .map(one => ({
    href: one.getAttribute("href").split("#")[1],
    apart: one.closest("pre, code, h1, h2, h3, a a, table") !== null,
    below: document.querySelector("div.recipe") !== null
      && document.querySelector("div.recipe").compareDocumentPosition(one)
      === Node.DOCUMENT_POSITION_FOLLOWING,
    line: getComputedStyle(one).textDecorationStyle,
    color: getComputedStyle(one).color
      === getComputedStyle(one.parentElement).color,
  }))"""


def test_without_javascript_all_users_of_a_name_can_be_unfolded(
    site: Site,
) -> None:
    with site.page("names.html", java_script=False) as page:
        row = page.locator("table.names tr").filter(
            has=page.get_by_role("link", name="run", exact=True)
        )
        last = row.first.locator("details a").last
        expect(last).to_be_hidden()
        row.first.locator("summary").click()
        expect(last).to_be_visible()


def test_every_recipe_with_a_trap_is_the_way_out_of_one(site: Site) -> None:
    with site.page("traps.html") as page:
        links = page.locator("table.traps td:last-child a")
        led_to = {link.get_attribute("href") for link in links.all()}
    assert led_to == {
        f"recipes/{recipe.address}.html"
        for recipe in catalogue.recipes()
        if not recipe.fields["trap"].startswith("none")
    }


def test_the_glossary_defines_each_term_once_and_leads_to_its_chapter(
    site: Site,
) -> None:
    with site.page("glossary.html") as page:
        defined = page.locator("dl.glossary > dt")
        assert [
            (one.text_content() or "").removesuffix("¶").strip()
            for one in defined.all()
        ] == [one.name for one in TERMS]
        links = page.locator("dl.glossary a.reference.internal")
        led_to = {link.get_attribute("href") for link in links.all()}
    chapters = {f"recipes/{one.chapter}/index.html" for one in TERMS}
    assert chapters - {"recipes//index.html"} <= led_to


@pytest.mark.parametrize(
    ("address", "some"),
    [
        ("recipes/processes/start_methods.html", {"term-fork", "term-worker"}),
        ("recipes/threads/index.html", {"term-process", "term-lock"}),
        ("choosing.html", {"term-free-threaded-build", "term-CPU-bound"}),
        ("tested.html", {"term-schedule"}),
    ],
)
def test_the_first_use_of_a_term_leads_calmly_to_the_glossary(
    address: str, some: set[str], site: Site
) -> None:
    with site.page(address) as page:
        links = page.evaluate(LINKS)
    targets = [link["href"] for link in links]
    assert some <= set(targets)
    assert len(set(targets)) == len(targets)
    for link in links:
        assert not link["apart"], link
        assert not link["below"], link
        assert link["line"] == "dotted"
        assert link["color"]


def test_a_word_that_is_no_term_on_its_page_is_not_linked() -> None:
    for address, words in terms.other(ROOT / "docs" / "glossary.toml").items():
        html = (BOOK / f"{address}.html").read_text(encoding="utf-8")
        for word in words:
            assert word in html.lower()
            assert f"#term-{word}" not in html
