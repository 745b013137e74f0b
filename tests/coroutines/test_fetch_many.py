"""What the recipe says of many requests, shown to be so."""

import asyncio
import contextlib
import random
import re
import socket
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import RemoteDisconnected
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.error import HTTPError, URLError

import pytest

from cookbook.coroutines import fetch_many as recipe
from cookbook.coroutines.fetch_many import Server, broken_fetch_many
from cookbook.coroutines.fetch_many import fetch_many as fetch
from cookbook.testing.without_sleeping import run_in_virtual_time

WAIT = 30.0


class Site:
    """A server whose answer to a path is what a function says.

    Args:
        answer: Gets the path and how often it was asked for; returns a
            status, or ``None`` to hang up.
    """

    def __init__(self, answer: Callable[[str, int], int | None]) -> None:
        self.answer = answer
        self.asked: Counter[str] = Counter()
        self.now = self.most = 0
        self.lock = threading.Lock()

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Run it; give its address."""
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with site.lock:
                    site.asked[self.path] += 1
                    site.now += 1
                    site.most = max(site.most, site.now)
                status = site.answer(self.path, site.asked[self.path])
                with site.lock:
                    site.now -= 1
                with contextlib.suppress(OSError):
                    if status == 200:
                        self.send_response(200)
                        self.end_headers()
                        self.wfile.write(self.path.encode())
                    elif status:
                        self.send_error(status)

            def log_message(self, *_: object) -> None:
                pass

        with Server(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(
                target=server.serve_forever, args=(0.01,)
            )
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()
                thread.join()


def run(site: Site, paths: str, **options: float) -> list[Any]:
    """Fetch *paths*, words, from *site*; return what came of each."""
    chosen: dict[str, Any] = {"pause": 0, **options}
    with site.serving() as host:
        urls = [f"{host}/{path}" for path in paths.split()]
        pages = asyncio.run(fetch(urls, **chosen))
    assert list(pages) == list(dict.fromkeys(urls))
    return list(pages.values())


def test_each_page_stands_at_its_address_in_the_order_of_the_addresses() -> (
    None
):
    site = Site(lambda _, __: 200)
    assert run(site, "c a b a") == [b"/c", b"/a", b"/b"]
    assert set(site.asked.values()) == {1}


def test_no_more_requests_are_under_way_than_allowed() -> None:
    meeting = threading.Barrier(3, timeout=WAIT)

    def answer(_: str, __: int) -> int:
        meeting.wait()
        return 200

    site = Site(answer)
    pages = run(site, "a b c d e f g h i", at_most=3)
    assert site.most == 3
    assert len(pages) == 9


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_asked_for_again(status: int) -> None:
    site = Site(lambda _, count: 200 if count == 3 else status)
    assert run(site, "a") == [b"/a"]
    assert site.asked == {"/a": 3}


def test_after_the_last_attempt_the_error_stands_in_place_of_the_page() -> (
    None
):
    site = Site(lambda path, _: 200 if path == "/b" else 503)
    error, page = run(site, "a b", attempts=2)
    assert isinstance(error, HTTPError)
    assert str(error) == "HTTP Error 503: Service Unavailable"
    assert page == b"/b"
    assert site.asked["/a"] == 2


@pytest.mark.parametrize("status", [400, 403, 404])
def test_other_errors_of_the_request_are_not_tried_again(status: int) -> None:
    site = Site(lambda _, __: status)
    [error] = run(site, "a")
    assert isinstance(error, HTTPError)
    assert error.code == status
    assert site.asked["/a"] == 1


def test_a_server_that_hangs_up_is_asked_again() -> None:
    site = Site(lambda _, count: 200 if count == 2 else None)
    assert run(site, "a") == [b"/a"]
    site = Site(lambda _, __: None)
    [error] = run(site, "a", attempts=1)
    assert isinstance(error, RemoteDisconnected)
    assert str(error) == "Remote end closed connection without response"


def test_a_refused_connection_is_an_error_in_place_of_the_page() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        pages = asyncio.run(fetch([url], pause=0))
    assert isinstance(pages[url], URLError)
    assert "refused" in str(pages[url])


@pytest.mark.parametrize("timeout", [7.5, None])
def test_each_request_waits_for_the_server_as_long_as_is_said(
    timeout: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []

    def urlopen(_: str, *, timeout: float) -> None:
        waits.append(timeout)
        raise TimeoutError

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    options: dict[str, Any] = {"timeout": timeout} if timeout else {}
    pages = asyncio.run(fetch(["http://localhost/a"], pause=0, **options))
    assert [type(page) for page in pages.values()] == [TimeoutError]
    assert waits == [timeout or 10] * 3


def test_five_requests_are_under_way_if_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now: list[str] = []
    numbers: list[int] = []

    async def fetch_one(url: str, **_: float) -> bytes:
        now.append(url)
        numbers.append(len(now))
        await asyncio.sleep(0)
        now.remove(url)
        return b""

    monkeypatch.setattr(recipe, "fetch", fetch_one)
    urls = [f"http://localhost/{page}" for page in range(10)]
    assert len(asyncio.run(fetch(urls))) == 10
    assert max(numbers) == 5


def test_in_the_program_one_page_is_asked_for_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):  # the server of the second has forgotten the first
        recipe.main()
        assert "b'about jam'" in capsys.readouterr().out
    assert recipe.Handler.asked == {"/tea": 1, "/jam": 2, "/pie": 1}


def test_a_request_that_times_out_is_tried_again() -> None:
    may_end = threading.Event()

    def answer(_: str, count: int) -> int:
        if count == 1:
            may_end.wait(WAIT)
        may_end.set()
        return 200

    site = Site(answer)
    assert run(site, "a", timeout=0.1, attempts=20) == [b"/a"]


def test_what_has_not_arrived_within_the_time_is_given_up_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_up: list[str] = []

    async def fetch_one(url: str, **_: float) -> bytes:
        if url.endswith("slow"):
            try:
                await asyncio.sleep(2)
            finally:
                given_up.append(url)
        return b"/quick"

    monkeypatch.setattr(recipe, "fetch", fetch_one)
    urls = ["http://localhost/quick", "http://localhost/slow"]
    page, error = run_in_virtual_time(fetch(urls, within=1)).values()
    assert page == b"/quick"
    assert repr(error) == "TimeoutError('not fetched within 1 seconds')"
    assert given_up == urls[1:]


def test_after_a_cancellation_no_request_is_begun_any_more() -> None:
    asked, may_end = threading.Semaphore(0), threading.Event()

    def answer(_: str, __: int) -> int:
        asked.release()
        may_end.wait(WAIT)
        return 200

    site = Site(answer)

    async def main(host: str) -> None:
        urls = [f"{host}/{number}" for number in range(9)]
        task = asyncio.create_task(fetch(urls, at_most=2))
        for _ in range(2):
            await asyncio.to_thread(asked.acquire)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may_end.set()

    with site.serving() as host:
        asyncio.run(main(host))
    assert site.asked.total() == 2


def test_what_is_no_error_of_the_connection_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def get(url: str, timeout: float) -> bytes:
        raise KeyError(url, timeout)

    monkeypatch.setattr(recipe, "get", get)
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(fetch(["http://127.0.0.1/"]))
    assert {type(error) for error in caught.value.exceptions} == {KeyError}


def test_the_pauses_grow_and_are_not_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    site = Site(lambda _, __: 503)
    monkeypatch.setattr(random, "random", lambda: 0.5)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    run(site, "a", attempts=4, pause=2)
    assert pauses == [2, 4, 8]


def test_in_the_trap_one_failure_loses_the_pages_that_arrived() -> None:
    site = Site(lambda path, _: 404 if path == "/pie" else 200)
    with (
        site.serving() as host,
        pytest.raises(HTTPError, match="HTTP Error 404: Not Found"),
    ):
        asyncio.run(broken_fetch_many([f"{host}/tea", f"{host}/pie"]))
    tea, pie = run(site, "tea pie")
    assert tea == b"/tea"
    assert isinstance(pie, HTTPError)


def test_what_the_programs_print_is_what_the_page_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe.main()
    recipe.broken_main()
    assert capsys.readouterr().out.splitlines() == [
        "tea: b'about tea'",
        "jam: b'about jam'",
        "pie: <HTTPError 404: 'Not Found'>",
        "HTTP Error 404: Not Found",
    ]


def test_with_httpx_it_is_the_line_that_the_page_says() -> None:
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    text = " ".join(str(recipe.__doc__).split())
    literals = re.findall("``(.*?)``", text)
    client, line = [
        literal
        for literal in literals
        if literal.startswith(("httpx.AsyncClient", "(await client.get"))
    ]
    space = {"httpx": httpx}
    program = (
        f"async def get_page(url):\n    async with {client} as client:\n"
        f"        return {line}\n"
    )
    exec(program, space)
    get_page: Any = space["get_page"]
    site = Site(lambda path, _: 200 if path == "/tea" else 404)
    with site.serving() as host:
        assert asyncio.run(get_page(f"{host}/tea")) == b"/tea"
        with pytest.raises(httpx.HTTPError, match="404"):
            asyncio.run(get_page(f"{host}/pie"))


@pytest.mark.parametrize(
    ("urls", "options", "message"),
    [
        (["file:///etc/hosts"], {}, "http or https: 'file:///etc/hosts'"),
        ([], {"at_most": 0}, "at_most must be at least 1, not 0"),
        ([], {"attempts": 0}, "attempts must be at least 1, not 0"),
        ([], {"timeout": 0}, "timeout must be positive, not 0"),
        ([], {"pause": -1}, "pause must not be negative, not -1"),
    ],
)
def test_bad_arguments_are_refused_by_value_before_anything_is_sent(
    urls: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        asyncio.run(fetch(urls, **options))
