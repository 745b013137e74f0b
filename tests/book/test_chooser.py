"""The chooser, as a reader with and without JavaScript finds it."""

from itertools import combinations
from pathlib import Path

import choices
import pytest
from playwright.sync_api import expect

from tests.book.browser import ROOT, Site
from tests.book.test_pages import WRITTEN, Theme

CHOOSER = choices.load(Path(ROOT, "docs"))
DRAWN = WRITTEN.replace("div.chart svg", "div.flow svg")


def test_table_and_drawing_fit_on_the_screen_of_a_laptop(site: Site) -> None:
    with site.page("choosing.html", width=1280) as page:
        for part in "table.chooser >> nth=-1", "div.flow svg.desk":
            box = page.locator(part).bounding_box()
            assert box
            assert box["y"] + box["height"] <= 800


def test_without_javascript_every_leaf_is_in_the_table_and_leads_on(
    site: Site,
) -> None:
    with site.page("choosing.html", java_script=False) as page:
        links = page.locator("table.chooser a")
        expect(links).to_have_count(len(CHOOSER.leaves()))
        for link, leaf in zip(links.all(), CHOOSER.leaves(), strict=True):
            expect(link).to_have_text(leaf.use)
            address = f"recipes/{leaf.recipe.replace('.', '/')}.html"
            assert link.get_attribute("href") == address


def test_the_table_names_each_row_and_column(site: Site) -> None:
    with site.page("choosing.html") as page:
        rows = page.locator("table.chooser tbody th")
        expect(rows).to_have_count(len(CHOOSER.exits + CHOOSER.rows))
        heads = page.locator("table.chooser thead th")
        expect(heads).to_have_count(1 + len(CHOOSER.columns))


def test_the_table_asks_in_the_order_of_the_drawing(site: Site) -> None:
    with site.page("choosing.html") as page:
        asked = page.locator(
            "table.chooser :is(tbody th, thead th:first-child)"
        ).all_inner_texts()
        drawn = page.locator("div.flow svg.desk .asks").all_text_contents()
    models = [leaf.use for leaf in CHOOSER.columns.values()]
    drawn = [text for text in drawn if text not in models]
    assert len(asked) == len(drawn)
    for text, asks in zip(asked, drawn, strict=True):
        assert text.startswith(asks)


def test_the_list_of_reasons_names_each_edge_once(site: Site) -> None:
    with site.page("choosing.html") as page:
        terms = page.locator("#why dt").all_inner_texts()
    assert [term.lower() for term in terms] == [
        f"{words}: {leaf.use}".lower() for words, leaf in CHOOSER.reasons()
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_what_is_written_in_the_drawing_can_be_read(
    width: int, theme: Theme, site: Site
) -> None:
    with site.page("choosing.html", width=width, theme=theme) as page:
        drawings = page.evaluate(DRAWN)
    # The other drawing is hidden: its texts are nowhere.
    [texts] = [
        texts for texts in drawings if any(one["right"] for one in texts)
    ]
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
