"""What a reader's first view weighs, in bytes and requests."""

import gzip
from urllib.parse import urlsplit

import pytest

from tests.book.browser import BOOK, Site

PAGES = (
    "index.html",
    "recipes/threads/shared_counter.html",
    "errors.html",
    "choosing.html",
    "measured.html",
)
# Scripts that stop the reading of the page: not deferred, before its end.
BLOCKING = """() => [...document.querySelectorAll("script[src]")]
  .filter(one => !one.defer && !one.async && one.type !== "module")
  .filter(one => one.compareDocumentPosition(
    document.querySelector("article"))
    & Node.DOCUMENT_POSITION_FOLLOWING)
  .map(one => one.src)"""


def compressed(url: str) -> int:
    """Return how many bytes a host sends that compresses its files."""
    path = BOOK / urlsplit(url).path.lstrip("/")
    return len(gzip.compress(path.read_bytes(), 6))


@pytest.mark.parametrize("address", PAGES)
def test_a_first_view_takes_few_bytes_and_requests(
    address: str, site: Site
) -> None:
    with site.reader() as context:
        asked: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.goto(site.roots["http"] + address)
        page.wait_for_load_state("networkidle")
        blocking = page.evaluate(BLOCKING)
    assert sum(map(compressed, asked)) < 100_000
    assert 0 < len(asked) < 15
    assert not blocking
