"""Let jobs make more jobs without filling the pool.

A job that submits to its own pool and waits for the result keeps its worker
while it waits. When every worker waits like that, nobody is left to run what
they wait for: the program hangs, with jobs in the queue. Let a job return what
is to be done next, and submit it from outside; or give each level of jobs a
pool of its own, so that no job waits for its own pool.

:models: threads
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: :func:`faulthandler.dump_traceback_later`, which prints the line
    where each worker waits
:search: nested submit, submit inside a job, recursive submit, executor inside
    an executor, ThreadPoolExecutor hangs, future.result() never returns, pool
    deadlock, thread starvation, thread pool exhausted, all workers waiting,
    max_workers=1, web crawler, walk a tree in threads,
    "TypeError: cannot pickle '_thread.lock' object",
    "NotImplementedError: pool objects cannot be passed between processes or
    pickled", "RuntimeError: cannot schedule new futures after shutdown"

Use this when
    a job finds out what else is to be done: links in a page, folders in a
    folder, parts of a problem.

Prefer instead
    :meth:`~concurrent.futures.Executor.map` over all the items, if you know
    them before you start.

Pitfalls
    - More workers only move the hang: as many jobs as there are workers have
      to wait at once, and a chain of jobs one level deeper does that.
    - Two jobs that wait for each other's future hang in a pool of any size.
      Shutting down with ``cancel_futures=True`` does not end them, as both
      are running; a timeout in ``result()`` does.
    - A job in a process cannot submit to its own executor at all. The
      executor does not travel: ``TypeError: cannot pickle '_thread.lock'
      object``, and for a :class:`~multiprocessing.pool.Pool`
      ``NotImplementedError: pool objects cannot be passed between processes
      or pickled``. A forked worker that finds it in a global variable waits
      for ever.
    - A callback given to ``add_done_callback`` while the job runs is called
      in the worker: it may submit, but not wait for what it submits.
    - A job that submits while the with-block of its pool is left gets
      ``RuntimeError: cannot schedule new futures after shutdown``.

If a job raises
    the error reaches the caller of :func:`crawl`. Jobs that have not started
    are cancelled, and those that run are waited for.

If it takes too long
    a timeout in ``result()`` ends the waiting and frees the worker. A pool
    that hangs already is freed by ``shutdown(wait=False,
    cancel_futures=True)``: the jobs that wait for a queued one get
    :exc:`~concurrent.futures.CancelledError`.

On Ctrl-C
    :func:`crawl` cancels what has not started, waits for the jobs that run
    and raises :exc:`KeyboardInterrupt`. The with-block of a pool that hangs
    waits for ever, because leaving it waits for the workers.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    ThreadPoolExecutor,
    wait,
)

SITE = {"/": ["/a", "/b"], "/a": ["/a/1"], "/a/1": [], "/b": []}


def crawl(
    first: str, links_of: Callable[[str], list[str]], *, workers: int = 4
) -> dict[str, list[str]]:
    """Follow all links from *first*; each page is a job, made out here.

    Args:
        first: The page to begin with.
        links_of: The job: gets a page and returns the pages it links to. It
            runs in several threads at once, one time for each page.
        workers: How many jobs run at once.

    Returns:
        The links of each page that was reached.

    Raises:
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.deadlocks.nested_submit import crawl
        >>> links = {"home": ["news", "home"], "news": ["home"]}
        >>> sorted(crawl("home", links.get))
        ['home', 'news']
    """
    links: dict[str, list[str]] = {}
    seen = {first}
    with ThreadPoolExecutor(workers) as pool:
        try:
            jobs = {pool.submit(links_of, first): first}
            while jobs:
                done, _ = wait(jobs, return_when=FIRST_COMPLETED)
                for job in done:
                    links[jobs.pop(job)] = job.result()
                    for link in job.result():
                        if link not in seen:
                            seen.add(link)
                            jobs[pool.submit(links_of, link)] = link
        finally:
            pool.shutdown(cancel_futures=True)
    return links


def count_in_two_pools(
    pages: Iterable[str],
    links_of: Callable[[str], list[str]],
    *,
    workers: int = 4,
) -> list[int]:
    """Count the links one click away from each of *pages*.

    The jobs of the outer pool wait for those of the inner one, which wait
    for none.

    Args:
        pages: Where to click.
        links_of: Gets a page and returns the pages it links to.
        workers: How many jobs run at once, in each pool.

    Example:
        >>> from cookbook.deadlocks.nested_submit import count_in_two_pools
        >>> links = {"home": ["news", "home"], "news": ["home"]}
        >>> count_in_two_pools(["home", "news"], links.get, workers=1)
        [3, 2]
    """
    # The outer pool is closed first, while its jobs still need the inner.
    with (
        ThreadPoolExecutor(workers) as inner,
        ThreadPoolExecutor(workers) as outer,
    ):

        def count(page: str) -> int:
            return sum(map(len, inner.map(links_of, links_of(page))))

        return list(outer.map(count, pages))


def main() -> None:
    """Crawl a site with one worker; count with one worker in each pool.

    >>> main()
    crawl, 1 worker: ['/', '/a', '/a/1', '/b']
    two pools: [1, 0]
    """
    pages = sorted(crawl("/", SITE.__getitem__, workers=1))
    print("crawl, 1 worker:", pages)
    counts = count_in_two_pools(["/", "/a"], SITE.__getitem__, workers=1)
    print("two pools:", counts)


def broken_crawl(
    page: str, links_of: Callable[[str], list[str]], pool: ThreadPoolExecutor
) -> int:
    """Count the pages from *page* on, as a job that makes jobs of its own.

    Warning:
        The job waits for jobs that stand behind it in the queue of the same
        pool, and its worker with it. As soon as all workers wait, nothing
        runs any more. It works while the pool has more workers than there are
        jobs that wait.
    """
    jobs = [
        pool.submit(broken_crawl, link, links_of, pool)
        for link in links_of(page)
    ]
    return 1 + sum(job.result() for job in jobs)


def broken_pair(pool: ThreadPoolExecutor, timeout: float) -> list[str]:
    """Submit two jobs, each of which waits for the other's result.

    Args:
        pool: Has two workers or more.
        timeout: After how many seconds they give up; without it, never.

    Returns:
        The names of the errors that they end with.

    Warning:
        Each job needs the end of the other one to get to its own.
    """
    jobs: list[Future[None]] = []
    both: Future[None] = Future()

    def wait_for(other: int) -> None:
        both.result(timeout)
        jobs[other].result(timeout)

    jobs += [pool.submit(wait_for, other) for other in (1, 0)]
    both.set_result(None)
    return [type(job.exception()).__name__ for job in jobs]


def broken_main() -> None:
    """Crawl with one worker, then end it; let two jobs wait in a circle.

    >>> broken_main()
    1 worker: still waiting
    queued jobs cancelled: CancelledError
    waiting for each other: ['TimeoutError', 'TimeoutError']
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            job = pool.submit(broken_crawl, "/", SITE.__getitem__, pool)
            job.result(timeout=0.1)
        except TimeoutError:
            print("1 worker: still waiting")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    try:
        job.result()
    except CancelledError as error:
        print("queued jobs cancelled:", type(error).__name__)
    with ThreadPoolExecutor(max_workers=2) as pool:
        print("waiting for each other:", broken_pair(pool, timeout=0.1))


if __name__ == "__main__":
    main()
    broken_main()
