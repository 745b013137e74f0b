"""Limit how many calls begin in a second.

A semaphore limits how many calls are under way at once; how many that is in a
second depends on how long each takes. For a rate, give each call the time at
which it may begin, one pause after the call before it, and let it sleep until
then. No lock is needed: nothing is awaited between reading the next free time
and moving it on.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: rate limit, calls per second, requests per minute, throttle, HTTP 429
    Too Many Requests, aiolimiter, token bucket, leaky bucket, semaphore is
    not a rate limit, space requests, Retry-After

Use this when
    a service allows so many requests per second or per minute.

Prefer instead
    :mod:`cookbook.coroutines.limit_concurrency` when the service allows so
    many at the same time. Both, one inside the other, when it says both.

Pitfalls
    - Calls are spaced: with 10 in a second, one begins every 0.1 seconds.
      There are no bursts, unless something blocks the event loop: calls whose
      time has come meanwhile begin together.
    - A call that takes long does not delay the next: many can be under way.
    - Two programs, or two limits, share nothing: each has its own rate.

If a job raises
    the error is raised, and the next call begins at its time.

If it takes too long
    :func:`asyncio.timeout` around the block gives up the wait.

On cancellation
    a call that is cancelled while it waits leaves its time unused; the others
    keep theirs. The rate is never exceeded for it.
"""

import asyncio
import math
from contextlib import AbstractAsyncContextManager


class RateLimit:
    """Let at most *calls* begin in *seconds*, evenly spaced.

    Args:
        calls: How many.
        seconds: In how many seconds.

    Raises:
        ValueError: If *calls* is less than 1, or *seconds* not positive or
            not finite.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.rate_limit import RateLimit
        >>> async def main():
        ...     limit = RateLimit(1000, seconds=1)
        ...     for _ in range(3):
        ...         async with limit:
        ...             pass
        >>> asyncio.run(main())
    """

    def __init__(self, calls: int, seconds: float = 1.0) -> None:
        if calls < 1:
            raise ValueError(f"calls must be at least 1, not {calls!r}")
        if not 0 < seconds < math.inf:
            raise ValueError(f"seconds must be positive, not {seconds!r}")
        self._pause = seconds / calls
        self._next = -math.inf

    async def __aenter__(self) -> None:
        """Wait until this call may begin."""
        now = asyncio.get_running_loop().time()
        begin = max(now, self._next)
        self._next = begin + self._pause
        await asyncio.sleep(begin - now)

    async def __aexit__(self, *_: object) -> None:
        """Do nothing: how long the call takes does not matter."""


async def count_at_once(limit: AbstractAsyncContextManager[object]) -> None:
    """Print how many of ten calls begin before any time has passed.

    Args:
        limit: What each call enters.
    """
    begun = 0

    async def call() -> None:
        nonlocal begun
        async with limit:
            begun += 1
            await asyncio.sleep(0)  # stands for a request

    tasks = [asyncio.create_task(call()) for _ in range(10)]
    for _ in range(50):
        await asyncio.sleep(0)  # more turns than all calls need
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    print(f"begun at once: {begun} of 10")


def main() -> None:
    """Allow two calls in an hour.

    >>> main()
    begun at once: 1 of 10
    """
    asyncio.run(count_at_once(RateLimit(2, seconds=3600)))


def broken_rate_limit(calls: int) -> asyncio.Semaphore:
    """Return what is meant to let *calls* begin in an hour.

    Args:
        calls: How many.

    Warning:
        A semaphore counts calls that are under way. The quicker they are
        answered, the more of them begin.
    """
    return asyncio.Semaphore(calls)


def broken_main() -> None:
    """Allow two calls in an hour, with a semaphore: all ten begin.

    >>> broken_main()
    begun at once: 10 of 10
    """
    asyncio.run(count_at_once(broken_rate_limit(2)))


if __name__ == "__main__":
    main()
    broken_main()
