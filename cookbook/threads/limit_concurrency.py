"""Limit how many threads do one thing at once.

A :class:`threading.BoundedSemaphore` holds a number of places. ``acquire()``
takes one and waits while there is none; ``release()`` gives it back. Take the
place before the ``try``, so that its ``finally`` gives back only a place that
was taken. One release too many raises the limit; a plain
:class:`~threading.Semaphore` does not notice.

:models: threads
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: :class:`threading.BoundedSemaphore`, which raises an error when a
    place too many is given back; :mod:`cookbook.testing.every_interleaving`
:search: semaphore, bounded semaphore, limit number of threads, at most n at
    once, maximum concurrency, throttle, connection limit, acquire with
    timeout, too many threads, acquire before try,
    "ValueError: Semaphore released too many times",
    "RuntimeError: can't start new thread"

Use this when
    threads that are not all yours share something that stands only so many at
    once: a server, a licence, a disk.

Prefer instead
    a :class:`~concurrent.futures.ThreadPoolExecutor` of as many workers, when
    all the jobs are yours: :mod:`cookbook.threads.thread_pool`. It needs no
    semaphore, and no thread that only waits.

Pitfalls
    - ``ValueError: Semaphore released too many times`` means more calls of
      ``release()`` than of ``acquire()`` that took a place. It is raised where
      the places overflow, perhaps in a thread that has done nothing wrong;
      look for a ``release()`` after an ``acquire()`` that failed, and for two
      after one.
    - With a deadline look at what ``acquire(timeout=...)`` returns: after
      ``False`` there is nothing to release. Without one, ``with places:`` is
      enough.
    - A job that calls itself through the limit needs a second place while it
      holds the first; when all have done so, all wait for ever.
    - ``RuntimeError: can't start new thread``: the operating system refused
      one more. A semaphore limits the threads that go on, not those that
      exist and wait; a thread for each task, or a pool in each call that is
      never shut down, has no bound. On Linux the limits are those of the user
      (``ulimit -u`` prints it), of the container or service (``cat
      /sys/fs/cgroup/pids.max`` in it) and of memory for the stacks
      (documented: pthread_create(3)). If the very first thread fails in a
      container, the host's Docker or libseccomp may be too old for the
      image's glibc (docker-library/python issue 835).

If a job raises
    its place is free again, and the error goes to the caller.

If it takes too long
    :exc:`TimeoutError` is raised when there was no place in time; the limit
    stays what it was.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def limited(
    job: Callable[P, R], at_most: int, *, timeout: float | None = None
) -> Callable[P, R]:
    """Return *job* as a function that few threads may be in at once.

    Args:
        job: What to limit.
        at_most: How many threads may be in it; the others wait.
        timeout: For how many seconds they wait; None is for ever.

    Returns:
        A function that does what *job* does. It raises :exc:`TimeoutError`
        if there was no place in time.

    Raises:
        ValueError: If *at_most* is less than 1, or *timeout* out of range.

    Example:
        >>> from cookbook.threads.limit_concurrency import limited
        >>> shout = limited(str.upper, at_most=2)
        >>> shout("one at a time is fine, too")
        'ONE AT A TIME IS FINE, TOO'
    """
    if at_most < 1:
        raise ValueError(f"at_most must be 1 or more, not {at_most!r}")
    if timeout is not None and not 0 <= timeout <= threading.TIMEOUT_MAX:
        raise ValueError(f"timeout must be 0 or more, not {timeout!r}")
    places = threading.BoundedSemaphore(at_most)

    @wraps(job)
    def limited_job(*args: P.args, **kwargs: P.kwargs) -> R:
        if not places.acquire(timeout=timeout):
            raise TimeoutError(f"no place within {timeout!r} s")
        try:
            return job(*args, **kwargs)
        finally:
            places.release()

    return limited_job


class Visitors:
    """Counts the threads in its ``with`` block.

    Attributes:
        most: How many there were at once.
    """

    def __init__(self) -> None:
        self.most = 0
        self._inside = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1


def main() -> None:
    """Call a function from six threads; let two of them in, in pairs.

    >>> main()
    calls: 6, most at once: 2
    """
    visitors = Visitors()
    two_inside = threading.Barrier(2, timeout=10)

    def visit(number: int) -> int:
        with visitors:
            two_inside.wait()
        return number

    with ThreadPoolExecutor(max_workers=6) as pool:
        calls = list(pool.map(limited(visit, at_most=2), range(6)))
    print(f"calls: {len(calls)}, most at once: {visitors.most}")


def broken_limited(
    job: Callable[P, R], places: threading.Semaphore, *, timeout: float
) -> Callable[P, R]:
    """Return *job* as a function that *places* should limit.

    Warning:
        The ``finally`` belongs to the acquire, too. A caller who got no place
        in time gives one back all the same, so that the next one comes in
        while all places are taken. A bounded semaphore notices, but only when
        the others leave: one of those gets the error.
    """

    @wraps(job)
    def limited_job(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            if not places.acquire(timeout=timeout):
                raise TimeoutError(f"no place within {timeout!r} s")
            return job(*args, **kwargs)
        finally:
            places.release()

    return limited_job


def let_three_visit(places: threading.Semaphore) -> None:
    """Let one in; another waits in vain; let a third one come."""
    visitors = Visitors()
    one_inside = threading.Event()
    two_inside = threading.Barrier(2, timeout=10)

    def visit() -> None:
        with visitors:
            one_inside.set()
            two_inside.wait()

    job = broken_limited(visit, places, timeout=0.05)
    with ThreadPoolExecutor(max_workers=2) as pool:
        first = pool.submit(job)
        one_inside.wait(timeout=10)
        with suppress(TimeoutError):
            job()
        third = pool.submit(job)
    errors = [str(one.exception()) for one in (first, third)]
    print(f"{visitors.most} at once, errors: {sorted(errors)}")


def broken_main() -> None:
    """Give back a place too many, to both kinds of semaphore.

    >>> broken_main()
    2 at once, errors: ['None', 'None']
    2 at once, errors: ['None', 'Semaphore released too many times']
    """
    let_three_visit(threading.Semaphore(1))
    let_three_visit(threading.BoundedSemaphore(1))


if __name__ == "__main__":
    main()
    broken_main()
