"""Fetch many pages, and keep what arrives.

Servers are slow, and sometimes fail. Let a fixed number of tasks take one URL
after another from the same iterator; give each request a timeout; try again,
after a pause, what may work the next time; and store an error where the page
would be, so that one failure loses nothing. :func:`asyncio.to_thread` runs the
standard library's client, which blocks.

:models: asyncio, threads
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: many HTTP requests, 100,000 HTTP requests, download many URLs, fetch
    urls concurrently, requests with asyncio, httpx, aiohttp, urllib, scraping,
    timeout and retry, partial results, too many connections, "HTTP Error 503:
    Service Unavailable", "HTTP Error 429: Too Many Requests", "HTTP Error
    404: Not Found", "urllib.error.URLError: <urlopen error", Connection
    refused, "Remote end closed connection without response"

Use this when
    there are many addresses, and each answer is of use without the others.

Prefer instead
    a client for asyncio when there are hundreds of requests at a time: it
    reuses connections, and needs no threads. With httpx (a package to
    install), make ``httpx.AsyncClient(timeout=10)`` once, with ``async with``,
    and replace the call of ``to_thread`` by ``(await
    client.get(url)).raise_for_status().content``; its errors are
    ``httpx.HTTPError``. aiohttp has ``aiohttp.ClientSession``.

    :mod:`cookbook.threads.bounded_map`, with tens to hundreds of threads, in
    a program without an event loop.

Pitfalls
    - ``to_thread`` runs at most ``min(32, CPUs + 4)`` calls at once
      (:mod:`cookbook.coroutines.to_thread`), whatever *at_most* says.
    - A client for asyncio has a limit too: 100 connections at once; httpx
      keeps 20 of them for reuse (documented: httpx, *Resource Limits*;
      aiohttp, *TCPConnector*). Raise it with *at_most*:
      ``limits=httpx.Limits(max_connections=at_most,
      max_keepalive_connections=at_most)``, or
      ``connector=aiohttp.TCPConnector(limit=at_most)``.
    - The timeout of ``urlopen`` is for each wait for the server (documented:
      :func:`urllib.request.urlopen`); one that sends a byte now and then can
      take for ever. *within* limits the whole.
    - Try again what may pass: no connection, a timeout, 429 and 5xx. Other
      4xx say that the request is wrong. What changes something at the server
      must not be sent twice.
    - ``urlopen`` opens ``file:`` addresses too; only http and https pass here.
    - To limit how many begin in a second:
      :mod:`cookbook.coroutines.rate_limit`.

If a job raises
    the error stands in the dict in place of the page: the last one, when all
    attempts have failed. What is not an error of the connection is raised, in
    an :exc:`ExceptionGroup`.

If it takes too long
    *within* seconds after the start, what has not arrived is given up:
    :exc:`TimeoutError` stands in its place. Threads end when their request
    does.

On cancellation
    no request is begun any more. Threads that wait for a server end when
    their request does; :func:`asyncio.run` waits for them.
"""

import asyncio
import contextlib
import random
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.error import HTTPError

FAILURES = (OSError, HTTPException)


def get(url: str, timeout: float) -> bytes:
    """Return the page at *url*."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            page: bytes = response.read()
            return page
    except HTTPError as error:
        error.close()  # it holds the connection
        raise


def may_pass(error: Exception) -> bool:
    """Tell whether it makes sense to try again after *error*."""
    if isinstance(error, HTTPError):
        return (
            error.code == HTTPStatus.TOO_MANY_REQUESTS
            or error.code >= HTTPStatus.INTERNAL_SERVER_ERROR
        )
    return True


async def fetch(
    url: str, *, timeout: float, attempts: int, pause: float
) -> bytes:
    """Return the page at *url*; try again what may pass."""
    for attempt in range(1, attempts):
        try:
            return await asyncio.to_thread(get, url, timeout)
        except FAILURES as error:
            if not may_pass(error):
                raise
        await asyncio.sleep(pause * 2**attempt * random.random())
    return await asyncio.to_thread(get, url, timeout)


async def fetch_many(
    urls: Iterable[str],
    *,
    at_most: int = 5,
    timeout: float = 10.0,
    attempts: int = 3,
    pause: float = 0.5,
    within: float | None = None,
) -> dict[str, bytes | Exception]:
    """Fetch *urls*, some at the same time.

    Args:
        urls: Addresses that begin with http: or https:.
        at_most: How many requests are under way at once.
        timeout: How many seconds a request waits for the server each time.
        attempts: How often a page is asked for at most.
        pause: How many seconds pass before the second attempt, on average;
            before each further one, twice as many.
        within: How many seconds there are for everything.

    Returns:
        For each address its page, or the error; in the order of *urls*.

    Raises:
        ValueError: If an address is none of http, or a number is less than 1
            or negative; nothing is sent.
    """
    urls = list(dict.fromkeys(urls))
    check(urls, at_most, timeout, attempts, pause, within=within)
    results: dict[str, bytes | Exception] = {}
    todo = iter(urls)

    async def work() -> None:
        for url in todo:
            try:
                results[url] = await fetch(
                    url, timeout=timeout, attempts=attempts, pause=pause
                )
            except FAILURES as error:
                results[url] = error

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within), asyncio.TaskGroup() as group:
            for _ in range(at_most):
                group.create_task(work())
    late = TimeoutError(f"not fetched within {within} seconds")
    return {url: results.get(url, late) for url in urls}


def check(
    urls: list[str],
    at_most: int,
    timeout: float,
    attempts: int,
    pause: float,
    *,
    within: float | None,
) -> None:
    """Raise the error that names a bad argument."""
    for url in urls:
        if not url.startswith(("http:", "https:")):
            raise ValueError(f"not an address of http or https: {url!r}")
    for name, value in (("at_most", at_most), ("attempts", attempts)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value!r}")
    if not 0 < timeout <= threading.TIMEOUT_MAX:
        raise ValueError(f"timeout must be positive, not {timeout!r}")
    if not pause >= 0:
        raise ValueError(f"pause must not be negative, not {pause!r}")
    if within is not None and not within >= 0:
        raise ValueError(f"within must not be negative, not {within!r}")


class Handler(BaseHTTPRequestHandler):
    """Answers, but ``/jam`` at the second time only, and never ``/pie``."""

    asked: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        """Answer."""
        self.asked[self.path] += 1
        if self.path == "/pie":
            self.send_error(404)
        elif self.path == "/jam" and self.asked["/jam"] == 1:
            self.send_error(503)
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"about {self.path[1:]}".encode())

    def log_message(self, *_: object) -> None:
        """Write no log."""


class Server(ThreadingHTTPServer):
    """Waits for the threads of its requests as it closes."""

    daemon_threads = False


@contextlib.contextmanager
def serving() -> Iterator[list[str]]:
    """Run a server on this machine; give the addresses of three pages."""
    Handler.asked.clear()
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            host = f"http://127.0.0.1:{server.server_port}"
            yield [f"{host}/{page}" for page in ("tea", "jam", "pie")]
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    """Fetch three pages: one fails once, one is not there.

    >>> main()
    tea: b'about tea'
    jam: b'about jam'
    pie: <HTTPError 404: 'Not Found'>
    """
    with serving() as urls:
        pages = asyncio.run(fetch_many(urls, pause=0))
    for url, page in pages.items():
        print(f"{url.rpartition('/')[2]}: {page!r}")


async def broken_fetch_many(urls: Iterable[str]) -> list[bytes]:
    """Fetch *urls*, all at the same time.

    Warning:
        The first error is all that you get: the pages that have arrived are
        lost. Only the threads of the default pool limit how many requests
        there are at once.
    """
    requests = [asyncio.to_thread(get, url, 10) for url in urls]
    return await asyncio.gather(*requests)


def broken_main() -> None:
    """Fetch pages of which one is not there: you get none.

    >>> broken_main()
    HTTP Error 404: Not Found
    """
    with serving() as (tea, _, pie):
        try:
            print(asyncio.run(broken_fetch_many([tea, pie])))
        except HTTPError as error:
            print(error)


if __name__ == "__main__":
    main()
    broken_main()
