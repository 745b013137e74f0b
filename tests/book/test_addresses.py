"""Addresses that were published lead somewhere; others to a page of help."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urldefrag

import pytest
from playwright.sync_api import expect

from tests.book.addresses import moved, offered, published, there
from tests.book.browser import BOOK, Site, pages

PUBLISHED = published()


def leads_somewhere(page: str, anchor: str) -> bool:
    """Tell whether an address is there, itself or where it has moved to."""
    page, new = urldefrag(moved().get(page, page))
    return (BOOK / page).is_file() and {anchor, new} - {""} <= there(page)


def test_the_list_holds_what_was_published_and_nothing_made_up() -> None:
    assert (
        "cookbook.threads.shared_counter.Counter"
        in (PUBLISHED["recipes/threads/shared_counter.html"])
    )
    assert len(PUBLISHED) > 100


@pytest.mark.parametrize("page", PUBLISHED)
def test_every_address_ever_published_leads_somewhere(page: str) -> None:
    lost = {
        f"{page}#{anchor}"
        for anchor in PUBLISHED[page] | {""}
        if not leads_somewhere(page, anchor)
    }
    assert not lost, "say in docs/moved.json where they have gone"


@pytest.mark.parametrize("page", pages())
def test_the_address_that_a_heading_offers_is_there(page: str) -> None:
    assert offered(page) <= there(page)


# A page that is not there


class _Host(SimpleHTTPRequestHandler):
    """Answers as hosts of static pages do: 404, with the book's own page."""

    timeout = 5

    def send_error(self, code: int, *_: object) -> None:
        body = (BOOK / "404.html").read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def hosted() -> Iterator[str]:
    """Serve the book as a host does, until the block is left."""
    handler = partial(_Host, directory=str(BOOK))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = False
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("lost", ["lost.html", "recipes/threads/gone/lost"])
def test_a_page_that_is_not_there_says_where_to_look_at_any_depth(
    lost: str, site: Site
) -> None:
    with hosted() as root, site.reader() as context:
        page = context.new_page()
        failed: list[str] = []
        context.on(
            "response",
            lambda one: failed.append(one.url) if not one.ok else None,
        )
        page.goto(root + lost)
        page.wait_for_load_state("networkidle")
        assert failed == [root + lost]
        expect(page.locator("h1")).to_have_text("Page not found")
        expect(page.locator(".sidebar-brand")).to_be_visible()
        page.locator("article input[name=q]").fill("deadlock")
        page.locator("article input[name=q]").press("Enter")
        page.wait_for_url(f"{root}search.html?q=deadlock")
        page.go_back()
        page.locator("article").get_by_role("link", name="chapters").click()
        page.wait_for_url(f"{root}index.html")
