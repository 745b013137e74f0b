"""The built book, in a real browser.

Chromium is the one that the environment variable ``CHROMIUM`` names, or the
first of ``chromium``, ``chromium-browser`` and ``google-chrome`` on PATH. The
book is in ``docs/_build/html``, or in the folder that ``BOOK`` names.
"""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal, NoReturn, TypedDict, Unpack

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright

ROOT = Path(__file__).parents[2]
BOOK = Path(os.environ.get("BOOK", ROOT / "docs/_build/html")).resolve()
CI = bool(os.environ.get("CI"))

NAMES = ("chromium", "chromium-browser", "google-chrome")
NAMED_HOST = "book.test"  # unlike 127.0.0.1, no secure context: plain HTTP
# no name but this one is looked up, so nothing can leave the machine
OFFLINE = f"MAP {NAMED_HOST} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    f"--host-resolver-rules={OFFLINE}",
)


def missing(what: str) -> NoReturn:
    """Skip the test for want of *what*; in CI, where all is there, fail."""
    if CI:
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


def chromium() -> str | None:
    """Return the path of Chromium; None if there is none."""
    if named := os.environ.get("CHROMIUM"):
        return shutil.which(named)
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launched(driver: Playwright, path: str) -> Iterator[Browser]:
    """Run Chromium; only root, who has no sandbox, goes without."""
    browser = driver.chromium.launch(
        executable_path=path,
        args=ARGUMENTS,
        chromium_sandbox=os.geteuid() != 0,
    )
    try:
        yield browser
    finally:
        browser.close()


class _Quiet(SimpleHTTPRequestHandler):
    timeout = 5  # seconds until a connection that asks nothing is closed

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for every request

    def handle_error(self, *_: object) -> None:
        """Let a page that is closed while it loads pass in silence."""


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """Serve *folder* on a port of 127.0.0.1, until the block is left."""
    handler = partial(_Quiet, directory=str(folder))
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class Options(TypedDict, total=False):
    """What can be different about a reader, and is not unless it is said."""

    theme: Literal["light", "dark"]  # of the reader's system
    java_script: bool
    touch: bool
    width: int


@dataclass(frozen=True)
class Site:
    """The built book, open in Chromium.

    Attributes:
        browser: Chromium.
        roots: The book's addresses by kind: ``http``, ``plain http`` (not a
            secure context) and ``file``.
    """

    browser: Browser
    roots: dict[str, str]

    @contextmanager
    def reader(self, **options: Unpack[Options]) -> Iterator[BrowserContext]:
        """Open a new profile, as a reader has who was never here."""
        touch = options.get("touch", False)
        with self.browser.new_context(
            color_scheme=options.get("theme", "light"),
            has_touch=touch,
            is_mobile=touch,
            java_script_enabled=options.get("java_script", True),
            viewport={"width": options.get("width", 1280), "height": 800},
        ) as context:
            yield context

    @contextmanager
    def page(
        self, address: str, on: str = "http", **options: Unpack[Options]
    ) -> Iterator[Page]:
        """Open the page at *address* in a new profile."""
        with self.reader(**options) as context:
            page = context.new_page()
            page.set_default_timeout(10_000)
            response = page.goto(self.roots[on] + address)
            if response is None or not response.ok:
                pytest.fail(f"there is no page {address}", pytrace=False)
            yield page


class Clipboard:
    """What a reader pastes: the clipboard, read through a text area."""

    EMPTY = "nothing was copied"

    def __init__(self, context: BrowserContext) -> None:
        self._paper = context.new_page()
        self._paper.set_content("<textarea></textarea>")
        self._area = self._paper.locator("textarea")

    def after(self, page: Page, act: Callable[[], None]) -> str:
        """Return what *act*, done on *page*, has copied."""
        self._paper.bring_to_front()
        self._area.fill(self.EMPTY)
        self._area.press("Control+A")
        self._area.press("Control+X")
        page.bring_to_front()
        act()
        for _ in range(100):
            self._paper.bring_to_front()
            self._area.fill("")
            self._area.press("Control+V")
            text = self._area.input_value()
            if text not in ("", self.EMPTY):  # it is empty while it changes
                break
            self._paper.wait_for_timeout(20)
        return text


class _Pres(HTMLParser):
    """Counts the ``<pre>`` elements of a page, with no browser."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def handle_starttag(self, tag: str, _: object) -> None:
        self.count += tag == "pre"


def pres(address: str) -> int:
    """Return how many ``<pre>`` elements the file of a page holds."""
    parser = _Pres()
    parser.feed((BOOK / address).read_text(encoding="utf-8"))
    parser.close()
    return parser.count


def pages() -> list[str]:
    """Return the address of every page of the book that has not moved.

    Raises:
        UsageError: If the book is not built.
    """
    if not (BOOK / "index.html").exists():
        raise pytest.UsageError(
            f"there is no book in {BOOK}: build it first, with `nox -s book`"
        )
    found = (path.relative_to(BOOK) for path in BOOK.rglob("*.html"))
    moved = json.loads((ROOT / "docs/moved.json").read_text(encoding="utf-8"))
    return sorted({path.as_posix() for path in found} - {*moved})
