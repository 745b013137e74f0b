"""Take the README's picture of a page: ``nox -s picture``.

What it shows is recorded beside it, and ``tests/test_readme.py`` fails when
the recipe has changed since.
"""

from hashlib import sha256
from pathlib import Path

from playwright.sync_api import sync_playwright

from cookbook import catalogue
from tests.book.browser import BOOK, ROOT, chromium, launched

NAME = "shared_counter"
PICTURE = ROOT / "docs" / "page.png"
RECORD = PICTURE.with_suffix(".sha256")


def digest() -> str:
    """Return the hash of the recipe that the picture shows."""
    source = catalogue.find(NAME).source
    return sha256(source.encode()).hexdigest()


def take(path: Path = PICTURE) -> None:
    """Write the picture and the hash of what it shows."""
    page_address = f"{BOOK.as_uri()}/recipes/threads/{NAME}.html"
    executable = chromium()
    if executable is None:
        raise SystemExit("there is no Chromium to take the picture with")
    with (
        sync_playwright() as driver,
        launched(driver, executable) as browser,
        browser.new_context(
            color_scheme="light", viewport={"width": 1280, "height": 1150}
        ) as context,
    ):
        page = context.new_page()
        page.goto(page_address)
        page.screenshot(path=path)
    RECORD.write_text(f"{digest()}\n", encoding="utf-8")


if __name__ == "__main__":
    take()
