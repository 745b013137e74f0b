"""The built book, as readers find it: each claim tried in Chromium."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Literal
from urllib.parse import unquote, urldefrag, urlsplit

import figures
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Locator, Page, expect

from cookbook import catalogue
from tests.book.blocks import Block, blocks, programs
from tests.book.browser import BOOK, ROOT, Clipboard, Site, pages

RECIPE = "recipes/threads/shared_counter.html"
PRIMES = "recipes/primes.html"
KINDS = (
    "index.html",
    "recipes/threads/index.html",
    RECIPE,
    PRIMES,
    "search.html",
    "choosing.html",
    "errors.html",
    "measured.html",
    "versions.html",
    "names.html",
    "traps.html",
    "glossary.html",
    "tested.html",
    "safety.html",
    "formats.html",
    "genindex.html",
    "404.html",
)
LOOK = """() => {
  const all = query => [...document.querySelectorAll(query)];
  const resolved = value => new URL(value, document.baseURI).href;
  return {
    title: document.title,
    headings: all("h1").map(one => one.firstChild.textContent),
    description: document.querySelector("meta[name=description]")?.content,
    links: [
      ...all("[href]").map(one => resolved(one.getAttribute("href"))),
      ...all("[src]").map(one => resolved(one.getAttribute("src"))),
    ],
    anchors: all("[id]").map(one => one.id),
  };
}"""
# What sticks out on the right, and is in no box of code that scrolls: the
# theme lets the whole text scroll sideways instead of the page.
WIDER = """() => {
  const width = document.documentElement.clientWidth;
  const scrolls = one => one !== null && !one.matches(".content") && (
    ["auto", "scroll"].includes(getComputedStyle(one).overflowX)
    || scrolls(one.parentElement));
  return [...document.querySelectorAll("header *, .content *")]
    .filter(one => one.getBoundingClientRect().right > width + 1)
    .filter(one => !scrolls(one.parentElement))
    .map(one => one.outerHTML.slice(0, 80));
}"""
BACKGROUND = "() => getComputedStyle(document.body).backgroundColor"
FOCUSED = """() => {
  const one = document.activeElement;
  const is = query => one.matches(query);
  const style = getComputedStyle(one);
  return {
    name: is(".skip-to-content") ? "skip"
      : is(".sidebar-search") ? "search"
      : is(".sidebar-tree a") ? "chapters"
      : is("button.theme-toggle") ? "theme"
      : is("button.copy") ? "copy"
      : is("pre") ? "code"
      : is("article a") ? "text"
      : is("body") ? "end" : "other",
    seen: style.outlineStyle !== "none" || style.boxShadow !== "none",
  };
}"""

# Each text of the charts: where it is, how large, how much it stands out.
WRITTEN = """() => {
  const numbers = color => color.match(/[\\d.]+/g).map(Number);
  const brightness = color => {
    const [red, green, blue] = numbers(color).map(one => {
      const share = one / 255;
      return share > 0.04045
        ? ((share + 0.055) / 1.055) ** 2.4 : share / 12.92;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const page = brightness(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll("div.chart svg")].map(svg =>
    [...svg.querySelectorAll("text")].map(text => {
      const box = text.getBoundingClientRect();
      const style = getComputedStyle(text);
      const ink = brightness(style.fill);
      return {
        text: text.textContent,
        left: box.left, right: box.right, top: box.top, bottom: box.bottom,
        size: parseFloat(style.fontSize),
        contrast: (Math.max(ink, page) + 0.05) / (Math.min(ink, page) + 0.05),
      };
    }));
}"""
RECORDED = ROOT / "docs" / "recorded" / "bench.json"
MEASURED = (
    figures.read(RECORDED.read_text(encoding="utf-8"))
    if RECORDED.exists()
    else None
)
CHARTS = MEASURED.charts if MEASURED else ()

every_chart = pytest.mark.parametrize(
    "chart", CHARTS, ids=lambda chart: chart.name
)
every_page = pytest.mark.parametrize("address", pages())
every_recipe = pytest.mark.parametrize(
    "recipe", catalogue.recipes(), ids=lambda recipe: recipe.name
)


@dataclass(frozen=True)
class Visit:
    """What a visit to a page brought up.

    Attributes:
        url: Where the page was.
        title: Its title.
        headings: Its headings of the first level.
        description: What search engines show of it.
        links: What it links to and loads, as whole addresses.
        anchors: The ids that a link can lead to.
        requests: What was asked for while it loaded.
        complaints: What the console said: errors and warnings.
        wider: What does not fit when it is 360 pixels wide.
    """

    url: str
    title: str
    headings: list[str]
    description: str | None
    links: list[str]
    anchors: set[str]
    requests: list[str]
    complaints: list[str]
    wider: list[str]


@pytest.fixture(scope="session")
def visit(site: Site) -> Callable[[str], Visit]:
    """A visit to a page, made once."""

    @cache
    def go(address: str) -> Visit:
        requests: list[str] = []
        complaints: list[str] = []

        def listen(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                where = message.location["url"]
                complaints.append(f"{message.text} ({where})")

        with site.reader() as context:
            context.on("request", lambda request: requests.append(request.url))
            page = context.new_page()
            page.on("console", listen)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            # On a busy machine the network rests before the page is read.
            page.goto(site.roots["http"] + address)
            page.wait_for_load_state("networkidle")
            seen = page.evaluate(LOOK)
            page.set_viewport_size({"width": 360, "height": 640})
            return Visit(
                page.url,
                seen["title"],
                seen["headings"],
                seen["description"],
                seen["links"],
                set(seen["anchors"]),
                requests,
                complaints,
                page.evaluate(WIDER),
            )

    return go


Visited = Callable[[str], Visit]
BlocksOf = Callable[[str], list[Block]]
Theme = Literal["light", "dark"]


# Every page


@every_page
def test_the_page_has_one_heading_a_title_and_a_description(
    address: str, visit: Visited
) -> None:
    seen = visit(address)
    assert len(seen.headings) == 1
    assert seen.headings[0].strip() in seen.title
    assert seen.description
    assert seen.description.strip()


def test_no_two_pages_have_the_same_title(visit: Visited) -> None:
    titles = [visit(address).title for address in pages()]
    assert len(set(titles)) == len(titles)


@every_page
def test_the_console_stays_empty(address: str, visit: Visited) -> None:
    assert not visit(address).complaints


@every_page
def test_nothing_is_asked_of_another_host(
    address: str, visit: Visited, site: Site
) -> None:
    asked = visit(address).requests
    assert asked
    assert not [u for u in asked if not u.startswith(site.roots["http"])]


@every_page
def test_every_link_inside_the_book_leads_somewhere(
    address: str, visit: Visited, site: Site
) -> None:
    dead = []
    for link in visit(address).links:
        url, anchor = urldefrag(link)
        if not url.startswith(site.roots["http"]):
            continue
        path = unquote(urlsplit(url).path.lstrip("/")) or "index.html"
        if not (BOOK / path).is_file() or (
            anchor and unquote(anchor) not in visit(path).anchors
        ):
            dead.append(link)
    assert not dead


@every_page
def test_the_page_fits_into_360_pixels(address: str, visit: Visited) -> None:
    assert not visit(address).wider


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("address", KINDS)
def test_axe_finds_nothing_wrong(
    address: str, width: int, theme: Theme, site: Site
) -> None:
    query = "?q=lock" if address == "search.html" else ""
    with site.page(address + query, width=width, theme=theme) as page:
        page.wait_for_load_state("networkidle")
        found = Axe().run(page)
    assert not found.violations_count, found.generate_report()


# What is copied, downloaded and linked


def test_after_scrolling_all_that_is_seen_belongs_to_a_landmark(
    site: Site,
) -> None:
    with site.page(RECIPE) as page:
        page.mouse.wheel(0, 2000)
        page.wait_for_function("scrollY > 1000")
        page.mouse.wheel(0, -500)  # the link comes when the reader turns back
        expect(page.get_by_text("Back to top")).to_be_visible()
        found = Axe().run(page, options={"runOnly": ["region"]})
    assert not found.violations_count, found.generate_report()


@pytest.mark.parametrize("on", ["http", "plain http", "file"])
def test_every_kind_of_address_copies_the_same(on: str, site: Site) -> None:
    copied = [block.copied for block in blocks(site, RECIPE, on)]
    assert copied == [block.copied for block in blocks(site, RECIPE)]


@every_recipe
def test_a_program_is_copied_as_it_is_shown(
    recipe: catalogue.Recipe, blocks_of: BlocksOf
) -> None:
    shown = programs(blocks_of(f"recipes/{recipe.address}.html"))
    assert shown
    for program in shown:
        assert program.block.copied == program.block.text


@every_recipe
def test_each_program_is_downloaded_as_it_is_copied(
    recipe: catalogue.Recipe,
    blocks_of: BlocksOf,
    site: Site,
) -> None:
    address = f"recipes/{recipe.address}.html"
    with site.page(address) as page:
        downloads = []
        for link in page.locator("a.download").all():
            with page.expect_download() as download:
                link.click()
            assert download.value.suggested_filename.endswith(".py")
            downloads.append(download.value.path().read_text(encoding="utf-8"))
    copied = [program.block.copied for program in programs(blocks_of(address))]
    assert downloads == copied


@every_recipe
def test_a_recipe_links_to_its_module_to_view_and_edit_it(
    recipe: catalogue.Recipe, site: Site
) -> None:
    path = f"cookbook/{recipe.address}.py"
    with site.page(f"recipes/{recipe.address}.html") as page:
        for link, view in (
            (".view-this-page", "blob"),
            (".edit-this-page", "edit"),
        ):
            href = page.locator(f"{link} a").get_attribute("href")
            assert href
            assert re.fullmatch(rf"https://.+/{view}/[^/]+/{path}", href)


def test_a_doctest_is_copied_without_prompts_and_output(site: Site) -> None:
    found = [one for one in blocks(site, RECIPE) if one.kind == "doctest"]
    assert found[0].copied == (
        "from cookbook.threads.shared_counter import Counter\n"
        "counter = Counter()\n"
        "counter.change(lambda value: value + 5)\n"
        "counter.value\n"
    )


def test_a_command_is_copied_without_its_prompt(site: Site) -> None:
    found = [one for one in blocks(site, RECIPE) if one.kind == "shell"]
    assert found[0].copied == "nox -s tests -- -k shared_counter\n"


def test_enter_on_the_focused_button_copies(site: Site) -> None:
    with site.page(RECIPE) as page:
        clipboard = Clipboard(page.context)
        button = page.locator("button.copy").first
        press_tab_until(page, button)

        def press() -> None:
            page.keyboard.press("Enter")

        copied = clipboard.after(page, press)
        assert copied == page.locator("div.recipe pre").text_content()
        expect(button).to_be_focused()


def test_a_finger_sees_the_button_and_copies_with_it(site: Site) -> None:
    with site.page(RECIPE, touch=True, width=360) as page:
        clipboard = Clipboard(page.context)
        button = page.locator("button.copy").first
        expect(button).to_be_visible()
        expect(button).to_have_css("opacity", "1")
        box = button.bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 24
        copied = clipboard.after(page, button.tap)
        assert copied == page.locator("div.recipe pre").text_content()


def test_what_was_copied_is_said_to_a_screen_reader(site: Site) -> None:
    with site.page(RECIPE) as page:
        page.locator("button.copy").first.click()
        said = page.locator("[aria-live=polite].visually-hidden")
        expect(said).to_have_text("Copied")


# Without JavaScript


def test_without_javascript_all_can_be_read_and_no_button_is_dead(
    site: Site, blocks_of: BlocksOf
) -> None:
    with site.page(RECIPE, java_script=False) as page:
        expect(page.locator("button.copy")).to_have_count(0)
        expect(page.locator("h1")).to_be_visible()
        pres = page.locator("pre")
        shown = [block.text for block in blocks_of(RECIPE)]
        assert pres.all_text_contents() == shown
        for pre in pres.all():
            expect(pre).to_be_visible()
        links = page.locator(".sidebar-tree a.reference")
        link = links.filter(has_text="asyncio and processes")
        expect(link.first).to_be_visible()
        expect(page.locator("button.theme-toggle:visible")).to_have_count(0)


def test_without_javascript_the_search_page_says_where_to_look(
    site: Site,
) -> None:
    with site.page("search.html", java_script=False) as page:
        ways_out = page.locator("article noscript a")
        expect(ways_out.first).to_be_visible()
        assert ways_out.all_text_contents() == [
            "chapters",
            "error messages",
            "index",
        ]


# The search


def test_the_search_works_from_a_file(site: Site) -> None:
    with site.page("search.html", on="file") as page:
        search_for(page, "lost update")
        assert first_result(page) == RECIPE


def test_the_search_works_from_the_sidebar_with_the_keyboard(
    site: Site,
) -> None:
    with site.page(RECIPE) as page:
        press_tab_until(page, page.locator("input.sidebar-search"))
        page.keyboard.type("race condition")
        page.keyboard.press("Enter")
        page.wait_for_url("**/search.html?*")
        assert first_result(page) == RECIPE


def test_a_search_for_what_is_not_in_the_book_says_so(site: Site) -> None:
    with site.page("search.html") as page:
        search_for(page, "xylophone")
        expect(page.locator("#search-results")).to_contain_text(
            "did not match"
        )


# What was measured


@pytest.mark.skipif(MEASURED is not None, reason="there are figures")
def test_a_book_without_figures_says_so(site: Site) -> None:
    with site.page("measured.html") as page:
        text = page.locator("article").text_content() or ""
        assert "Nothing was measured yet." in text
        expect(page.locator("div.chart")).to_have_count(0)


@every_chart
def test_the_table_below_a_chart_holds_every_row_of_the_file(
    chart: figures.Chart, site: Site
) -> None:
    with site.page("measured.html", java_script=False) as page:
        box = page.locator("div.chart").filter(
            has=page.get_by_role("img", name=chart.title, exact=True)
        )
        table = box.locator("table")
        expect(table).to_be_hidden()
        box.locator("summary").click()
        expect(table).to_be_visible()
        lines = [
            row.locator("th, td").all_inner_texts()
            for row in table.locator("tr").all()
        ]
        assert lines == [chart.columns, *chart.cells]


@every_chart
def test_a_chart_stands_below_its_sentence_on_the_pages_of_its_recipes(
    chart: figures.Chart, site: Site
) -> None:
    sentence = chart.sentence.partition(" ")[0]
    for name in chart.recipes:
        address = f"recipes/{name.replace('.', '/')}.html"
        with site.page(address) as page:
            part = page.locator("section#measured")
            image = part.get_by_role("img", name=chart.title, exact=True)
            expect(image).to_be_visible()
            expect(part).to_contain_text(sentence)
            link = part.get_by_role("link", name="What was measured")
            assert link.get_attribute("href") == "../../measured.html"


@pytest.mark.skipif(MEASURED is None, reason="nothing was measured yet")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_what_is_written_in_a_chart_can_be_read(
    width: int, theme: Theme, site: Site
) -> None:
    with site.page("measured.html", width=width, theme=theme) as page:
        written = page.evaluate(WRITTEN)
    assert len(written) == len(CHARTS)
    for texts in written:
        for text in texts:
            assert text["size"] >= 11
            assert text["contrast"] >= 4.5, text
            assert 0 <= text["left"] < text["right"] <= width, text
        for one, other in combinations(texts, 2):
            assert not (
                one["left"] < other["right"]
                and other["left"] < one["right"]
                and one["top"] + 3 < other["bottom"]
                and other["top"] + 3 < one["bottom"]
            ), f"{one['text']} is written over {other['text']}"


@pytest.mark.skipif(MEASURED is None, reason="nothing was measured yet")
@pytest.mark.parametrize("width", [1280, 360])
def test_the_tables_below_the_charts_fit_and_axe_finds_nothing_wrong(
    width: int, site: Site
) -> None:
    with site.page("measured.html", width=width) as page:
        for summary in page.locator("div.chart summary").all():
            summary.click()
        assert not page.evaluate(WIDER)
        found = Axe().run(page)
    assert not found.violations_count, found.generate_report()


# Light and dark


def test_the_theme_follows_the_system(site: Site) -> None:
    with site.page(RECIPE, theme="light") as page:
        assert brightness(page) > 200
    with site.page(RECIPE, theme="dark") as page:
        assert brightness(page) < 50


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_switch_overrules_the_system_on_the_next_page_too(
    system: Theme, site: Site
) -> None:
    wanted = "dark" if system == "light" else "light"
    with site.page(RECIPE, theme=system) as page:
        body = page.locator("body")
        for _ in range(3):
            if body.get_attribute("data-theme") == wanted:
                break
            page.locator("button.theme-toggle:visible").click()
        page.goto(site.roots["http"] + PRIMES)
        expect(body).to_have_attribute("data-theme", wanted)
        assert (brightness(page) < 50) == (wanted == "dark")


# The keyboard


def test_the_first_tab_offers_to_skip_to_the_text(site: Site) -> None:
    with site.page(RECIPE) as page:
        page.keyboard.press("Tab")
        link = page.locator("a.skip-to-content")
        expect(link).to_be_focused()
        expect(link).to_be_in_viewport()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement.closest('article') !== null"
        )


def test_tab_reaches_search_chapters_and_code_in_order_and_gets_out(
    site: Site, blocks_of: BlocksOf
) -> None:
    with_button = [one for one in blocks_of(RECIPE) if one.copied]
    with site.page(RECIPE) as page:
        steps = []
        for _ in range(300):
            page.keyboard.press("Tab")
            steps.append(page.evaluate(FOCUSED))
            if steps[-1]["name"] == "end":
                break
    names = [step["name"] for step in steps]
    order = ["skip", "search", "chapters", "theme", "code", "copy", "end"]
    assert [names.index(name) for name in order] == sorted(
        names.index(name) for name in order
    )
    assert names.count("code") == len(blocks_of(RECIPE))
    assert names.count("copy") == len(with_button)
    assert not [step for step in steps[:-1] if not step["seen"]]


def press_tab_until(page: Page, wanted: Locator) -> None:
    """Press Tab until the wanted element has the focus."""
    for _ in range(200):
        page.keyboard.press("Tab")
        if wanted.evaluate("one => one === document.activeElement"):
            return
    pytest.fail(f"Tab never reaches {wanted}")


def search_for(page: Page, query: str) -> None:
    """Type a query into the search page's own form."""
    page.locator("article input[name=q]").fill(query)
    page.locator("article input[name=q]").press("Enter")


def first_result(page: Page) -> str:
    """Return the address of the first result, once the search has ended."""
    summary = page.locator("#search-results p.search-summary")
    expect(summary).to_contain_text(re.compile("finished|did not match"))
    found = page.locator("#search-results ul.search li a")
    if not found.count():
        return "nothing"
    url = found.first.evaluate("one => one.origin + one.pathname")
    root = page.evaluate("new URL('.', location).href")
    return str(url).removeprefix(root)


def brightness(page: Page) -> float:
    """Return how bright the page's background is, from 0 to 255."""
    red, green, blue = re.findall(r"\d+", page.evaluate(BACKGROUND))[:3]
    return (int(red) + int(green) + int(blue)) / 3
