"""Opens the built book in Chromium."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest
from playwright.sync_api import sync_playwright

from tests.book.blocks import Block, blocks
from tests.book.browser import (
    BOOK,
    NAMED_HOST,
    NAMES,
    Site,
    chromium,
    launched,
    missing,
    served,
)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The built book, served and opened in Chromium."""
    if (path := chromium()) is None:
        missing(f"no Chromium: neither $CHROMIUM nor {', '.join(NAMES)}")
    with (
        served(BOOK) as port,
        sync_playwright() as driver,
        launched(driver, path) as browser,
    ):
        roots = {
            "http": f"http://127.0.0.1:{port}/",
            "plain http": f"http://{NAMED_HOST}:{port}/",
            "file": f"{BOOK.as_uri()}/",
        }
        yield Site(browser, roots)


@pytest.fixture(scope="session")
def blocks_of(site: Site) -> Callable[[str], list[Block]]:
    """The blocks of a page, read and copied once."""

    @cache
    def read(address: str) -> list[Block]:
        return blocks(site, address)

    return read
