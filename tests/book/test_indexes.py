"""The pages that lead from names, traps and terms to recipes."""

from playwright.sync_api import expect

from cookbook import catalogue
from tests.book.browser import Site


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
        links = page.locator("table.traps a")
        led_to = {link.get_attribute("href") for link in links.all()}
    assert led_to == {
        f"recipes/{recipe.address}.html"
        for recipe in catalogue.recipes()
        if not recipe.fields["trap"].startswith("none")
    }
