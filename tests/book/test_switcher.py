"""Two versions of a small book on one site, and the way between them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.book.browser import ROOT, Site, served

HOST = "https://example.org/book/"
INDEX = "The book\n========\n\n.. toctree::\n   :glob:\n\n   part/*\n"
TEXTS = {"index": INDEX, "part/same": "Same\n====\n\nText.\n"}
OLD = {"part/gone": "Gone\n====\n\nText.\n"}


@dataclass(frozen=True)
class Host:
    """A site with two versions, on disk and served."""

    folder: Path
    versions: Site


def build(source: Path, built: Path, texts: dict[str, str], told: str) -> None:
    """Build a book of *texts* that looks as this one does."""
    for name, text in texts.items():
        path = source / f"{name}.rst"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (source / "moved.json").write_text("{}", encoding="utf-8")
    command = [
        *(
            sys.executable,
            "-m",
            "sphinx",
            "-q",
            "-W",
            "-c",
            str(ROOT / "docs"),
        ),
        *("-D", "extensions=addresses,switcher", "-D", told),
        *("-D", f"html_baseurl={HOST}", str(source), str(built)),
    ]
    environment = os.environ | {"PYTHONWARNINGS": "ignore::DeprecationWarning"}
    subprocess.run(command, check=True, env=environment, timeout=120)


@pytest.fixture(scope="module")
def host(
    site: Site, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    """A site with a latest version and 0.9, which has a page more."""
    folder = tmp_path_factory.mktemp("site")
    books, latest = folder / "books", folder / "latest"
    build(folder / "old", books / "0.9", TEXTS | OLD, "edition=0.9")
    build(folder / "new", latest, TEXTS, f"editions={books}")
    with served(latest) as port:
        roots = {
            "http": f"http://127.0.0.1:{port}/",
            "file": f"{latest.as_uri()}/",
        }
        yield Host(latest, Site(site.browser, roots))


def switch(page: Page, version: str) -> None:
    """Open the list in the sidebar and choose a version."""
    page.locator(".versions summary").click()
    page.locator(".versions").get_by_role("link", name=version).click()


def test_the_switcher_leads_to_the_same_page_of_the_other_version(
    host: Host,
) -> None:
    with host.versions.page("part/same.html") as page:
        expect(page.locator(".versions summary")).to_have_text(
            "Version: latest"
        )
        switch(page, "0.9")
        page.wait_for_url("**/0.9/part/same.html")
        expect(page.locator(".versions summary")).to_have_text("Version: 0.9")
        page.goto(f"{page.url}#same")
        switch(page, "latest")
        page.wait_for_url(re.compile(r"\d/part/same.html#same$"))


def test_it_leads_to_the_first_page_if_the_page_is_in_no_other_version(
    host: Host,
) -> None:
    with host.versions.reader() as context:
        page = context.new_page()
        asked: list[str] = []
        said: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        context.on("console", lambda message: said.append(message.text))
        page.goto(f"{host.versions.roots['http']}0.9/part/gone.html")
        page.wait_for_load_state("networkidle")
        before = len(asked)
        assert not [u for u in asked if re.search(r"versions|switcher", u)]
        switch(page, "latest")
        page.wait_for_url(f"{host.versions.roots['http']}index.html")
        assert [u for u in asked[before:] if u.endswith("/versions.json")]
        assert not said


@pytest.mark.parametrize("address", ["", "0.9/", "part/same.html"])
def test_without_a_script_a_list_leads_to_each_version(
    address: str, host: Host
) -> None:
    with host.versions.page(address, java_script=False) as page:
        page.get_by_role("link", name="Other versions").click()
        page.wait_for_url(f"{host.versions.roots['http']}other-versions.html")
        expect(page.locator("h1")).to_have_text("Other versions")
        page.locator("article").get_by_role("link", name="0.9").click()
        page.wait_for_url("**/0.9/index.html")


def test_where_the_list_of_pages_is_missing_there_is_still_the_list(
    host: Host,
) -> None:
    with host.versions.page("0.9/index.html") as page:
        page.route("**/versions.json", lambda route: route.abort())
        switch(page, "All versions")
        page.wait_for_url("**/other-versions.html")


def test_a_file_says_its_version_and_leads_to_none(host: Host) -> None:
    with host.versions.reader() as context:
        page = context.new_page()
        said: list[str] = []
        context.on("console", lambda message: said.append(message.text))
        page.goto(f"{host.versions.roots['file']}0.9/index.html")
        place = page.locator(".versions")
        expect(place).to_have_text("Version: 0.9")
        assert not place.get_by_role("link").count()
        assert not said


def test_a_book_that_stands_alone_says_nothing_of_others(site: Site) -> None:
    with site.page("index.html") as page:
        assert not page.locator(".versions").count()


def test_each_version_says_that_the_latest_is_the_one_to_be_found(
    host: Host,
) -> None:
    link = f'<link rel="canonical" href="{HOST}part/same.html">'
    for book in host.folder, host.folder / "0.9":
        page = (book / "part/same.html").read_text(encoding="utf-8")
        assert link in page


def test_the_site_lists_the_pages_of_each_version(host: Host) -> None:
    listed = json.loads((host.folder / "versions.json").read_text("utf-8"))
    assert list(listed) == ["latest", "0.9"]
    assert "other-versions.html" in listed["latest"]
    assert "part/gone.html" not in listed["latest"]
    assert "part/gone.html" in listed["0.9"]
    for name, pages in listed.items():
        book = host.folder / name.removeprefix("latest")
        assert all((book / one).is_file() for one in pages)
    assert (host.folder / "404.html").is_file()
    assert not (host.folder / "0.9/404.html").exists()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing_wrong_with_the_list_open(
    width: int, theme: Literal["light", "dark"], host: Host
) -> None:
    with host.versions.page(
        "other-versions.html", width=width, theme=theme
    ) as page:
        if width == 360:
            page.locator(".nav-overlay-icon").click()
        page.locator(".versions summary").click()
        link = page.locator(".versions").get_by_role("link", name="0.9")
        expect(link).to_be_in_viewport()
        found = Axe().run(page)
    assert not found.violations_count, found.generate_report()
