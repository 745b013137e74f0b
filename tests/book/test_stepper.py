"""Schedules that are stepped through in the built book, tried in Chromium."""

import json
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from cookbook import catalogue
from tests.book.browser import ROOT, Site
from tests.stepping import Facts

RECORDS: dict[str, Facts] = {
    recipe.address: record
    for recipe in catalogue.recipes()
    if (path := ROOT / f"docs/recorded/{recipe.address}.json").exists()
    and "graphs" in (record := json.loads(path.read_text(encoding="utf-8")))
}
CLICK = """(button, times) => {
  for (let time = 0; time < times; time++) button.click();
}"""
COUNTER = "recipes/threads/shared_counter.html"
Theme = Literal["light", "dark"]

OTHERS = ["deadlocks/lock_ordering", "threads/condition", "threads/barrier"]

every_record = pytest.mark.parametrize("address", RECORDS)


def losing_schedules(address: str) -> list[list[int] | None]:
    """Return one for each exploration; None if it never goes wrong."""
    record = RECORDS[address]
    return [graph.get("losing") for graph in record["graphs"].values()]


def stepper(page: Page) -> Locator:
    return page.locator("div.stepper")


def said(page: Page) -> Locator:
    return page.locator("div.stepper .said")


@every_record
def test_each_losing_schedule_ends_as_the_test_says(
    address: str, site: Site
) -> None:
    with site.page(f"recipes/{address}.html", on="file") as page:
        select = stepper(page).locator("select")
        for facts in RECORDS[address]["builds"]["3.14"]:
            graph = RECORDS[address]["graphs"].get(facts["subject"], {})
            if losing := graph.get("losing"):
                select.select_option(facts["subject"].replace("``", ""))
                button = page.get_by_role("button", name="losing schedule")
                button.evaluate(CLICK, len(losing))
                wrong = next(text for text, bad, _ in facts["outcomes"] if bad)
                expect(said(page)).to_contain_text(f"The end: {wrong} (wrong)")
                expect(said(page).locator(".wrong")).to_have_text(wrong)


def test_the_reader_steps_back_and_on_with_the_keyboard(site: Site) -> None:
    with site.page(COUNTER) as page:
        page.get_by_role("button", name="Thread 1").focus()
        for key in "1122":
            page.keyboard.press(key)
        schedule = stepper(page).locator(".schedule")
        expect(schedule).to_have_text("Schedule: 1 1 2 2")
        values = stepper(page).locator(".thread .values")
        expect(values).to_have_text(["value = 0", "value = 0"])
        page.keyboard.press("Backspace")
        expect(schedule).to_have_text("Schedule: 1 1 2")
        for key in "22111":  # the last finds a thread that has ended
            page.keyboard.press(key)
        expect(schedule).to_have_text("Schedule: 1 1 2 2 2 1")
        expect(said(page)).to_contain_text("one update lost")
        for name in ("Back", "Start again"):
            page.get_by_role("button", name=name, exact=True).focus()
            page.keyboard.press("Enter")
        expect(schedule).to_have_text("Schedule: no step yet")


def test_the_line_that_a_thread_is_on_is_marked_in_its_own_column(
    site: Site,
) -> None:
    with site.page(COUNTER) as page:
        page.get_by_role("button", name="Thread 2").click()
        now = stepper(page).locator("[aria-current=step]")
        lines = ["counter.change(add_one)", "self.value = step(self.value)"]
        expect(now).to_have_text(lines)


def test_what_the_last_step_did_is_marked_with_its_thread_and_said(
    site: Site,
) -> None:
    with site.page(COUNTER) as page:
        shared = stepper(page).locator(":scope > .values")
        for key in "11222":
            page.get_by_role("button", name=f"Thread {key}").click()
        expect(shared).to_contain_text("counter.value = 1 (was 0, Thread 2)")
        expect(said(page)).to_contain_text("counter.value went from 0 to 1.")
        last = stepper(page).locator(".thread.last")
        expect(last.locator(".name")).to_have_text("Thread 2: the last step")
        expect(last.locator(".ran")).to_contain_text("return value + 1")
        page.get_by_role("button", name="Back", exact=True).click()
        expect(shared).to_have_text("Shared: counter.value = 0")
        expect(said(page)).not_to_contain_text("went")


def test_the_right_one_cannot_be_broken(site: Site) -> None:
    with site.page(COUNTER) as page:
        page.get_by_role("button", name="Try to break the right one").click()
        expect(said(page)).to_have_text(
            "From here 0 of 36 schedules end wrong."
        )
        for key in "1122":
            page.get_by_role("button", name=f"Thread {key}").click()
        expect(stepper(page).locator(":scope > .values")).to_contain_text(
            "counter._lock = held by Thread 1"
        )
        waits = page.get_by_role("button", name="Thread 2 waits")
        expect(waits).to_have_attribute("aria-disabled", "true")
        waits.focus()
        page.keyboard.press("Enter")
        expect(stepper(page).locator(".schedule")).to_have_text(
            "Schedule: 1 1 2 2"
        )
        for _ in range(10):
            if ready := page.get_by_role("button", name=": next step").all():
                ready[0].click()
        expect(said(page)).to_contain_text("The end: both updates kept.")


def test_a_finger_hits_every_button(site: Site) -> None:
    with site.page(COUNTER, touch=True, width=360) as page:
        buttons = stepper(page).get_by_role("button")
        assert buttons.count() >= 5
        for button in buttons.all():
            button.scroll_into_view_if_needed()
            box = button.bounding_box()
            assert box
            assert min(box["width"], box["height"]) >= 44
        page.get_by_role("button", name="Thread 2").tap()
        expect(stepper(page).locator(".schedule")).to_have_text("Schedule: 2")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing_wrong_on_the_way(
    width: int, theme: Theme, site: Site
) -> None:
    with site.page(COUNTER, width=width, theme=theme) as page:
        button = page.get_by_role("button", name="losing schedule")
        button.evaluate(CLICK, 6)
        expect(said(page).locator(".wrong")).to_be_visible()
        found = Axe().run(page, context="div.stepper")
    assert not found.violations_count, found.generate_report()


@pytest.mark.parametrize("address", OTHERS)
def test_axe_finds_nothing_wrong_in_a_stepper_of_locks_or_many_threads(
    address: str, site: Site
) -> None:
    losing = next(filter(None, losing_schedules(address)))
    with site.page(f"recipes/{address}.html", width=360) as page:
        button = page.get_by_role("button", name="losing schedule")
        button.evaluate(CLICK, len(losing))
        found = Axe().run(page, context="div.stepper")
    assert not found.violations_count, found.generate_report()


def test_without_javascript_the_losing_schedule_is_a_table(site: Site) -> None:
    with site.page(COUNTER, java_script=False) as page:
        expect(stepper(page)).to_have_count(0)
        expect(page.locator("table.steps")).to_contain_text(
            "self.value = step(self.value)"
        )


def test_a_page_with_nothing_to_step_through_loads_no_stepper(
    site: Site,
) -> None:
    for address, count in ((COUNTER, 1), ("index.html", 0)):
        with site.page(address) as page:
            scripts = page.locator("script[src*='stepper.js']")
            expect(scripts).to_have_count(count)
