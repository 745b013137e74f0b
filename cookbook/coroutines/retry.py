"""Try again when a call fails, with back-off and a deadline.

Name the exceptions that may pass by themselves, and try again after these
alone. Double the pause each time, so that a server in trouble is left alone,
and take a random part of it (jitter), so that all who failed together do not
come back together. Limit the attempts, and put one timeout around them all.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: ruff E722
:search: exponential back-off, backoff with jitter, retry with delay, retry
    decorator, tenacity, stamina, retry on exception, transient errors, retry
    storm, thundering herd, too many retries, retry deadline, idempotent,
    "RuntimeError: cannot reuse already awaited coroutine"

Use this when
    a call to another machine fails now and then, and may be made twice.

Prefer instead
    what the client library has: retries of its own, or a library such as
    ``tenacity`` or ``stamina``. :mod:`cookbook.coroutines.periodic_task` when
    the call comes back anyway. With anyio, the same with ``anyio.fail_after``
    and ``anyio.sleep``.

Pitfalls
    - An attempt that timed out may have been carried out. Repeat what changes
      something (a payment, a message) only if the other side recognises the
      repeat.
    - :exc:`TimeoutError` and :exc:`ConnectionError` are an :exc:`OSError`, and
      so are :exc:`FileNotFoundError` and :exc:`PermissionError`, which no
      pause cures.
    - Retries multiply: three layers of three attempts make 27 calls. Retry in
      one layer.
    - A coroutine runs once; awaited again it raises ``RuntimeError: cannot
      reuse already awaited coroutine``. Pass the function, not its call.
    - For a timeout of each attempt, put it into the job:
      ``lambda: asyncio.wait_for(call(), 5)``.

If a job raises
    it is tried again after an error that you named, and the last attempt's
    error goes to the caller. Any other error goes there at once.

If it takes too long
    :exc:`TimeoutError` is raised, in an attempt as in a pause. The traceback
    of one raised in a pause shows the last error.

On cancellation
    the attempt or the pause ends at once, and there is no further attempt. An
    error that the attempt raises while it cleans up takes the place of the
    cancellation, and of the :exc:`TimeoutError`.

On Ctrl-C
    the same, and :func:`asyncio.run` raises :exc:`KeyboardInterrupt`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

R = TypeVar("R")
LONGEST_PAUSE = 10.0  # seconds


async def retry(
    job: Callable[[], Awaitable[R]],
    *,
    on: type[Exception] | tuple[type[Exception], ...],
    attempts: int = 5,
    pause: float = 0.1,
    within: float | None = 60.0,
) -> R:
    """Return the result of the first attempt that does not fail.

    Args:
        job: A coroutine function that needs no argument.
        on: The exceptions after which to try again.
        attempts: How many times to call *job* at most.
        pause: How many seconds to wait at most after the first failure; it
            doubles each time. None is longer than ``LONGEST_PAUSE``.
        within: How many seconds all of it may take; None is for ever.

    Raises:
        TypeError: If *job* is no function or *on* no kind of Exception.
        ValueError: If a number makes no sense; *job* is not called.
        TimeoutError: If there is no result in time.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.retry import retry
        >>> job = lambda: asyncio.sleep(0, "an answer")
        >>> asyncio.run(retry(job, on=ConnectionError))
        'an answer'
    """
    check(job, on, attempts, pause, within)
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    requests = task.cancelling()
    async with asyncio.timeout(within):
        for _ in range(attempts - 1):
            try:
                return await job()
            except on:
                if task.cancelling() > requests:
                    raise  # it failed to clean up: this task is to end
                pause = min(pause, LONGEST_PAUSE)
                await asyncio.sleep(random.uniform(0, pause))
                pause *= 2
        return await job()


def check(job: object, on: object, attempts: int, *seconds: object) -> None:
    """Raise TypeError or ValueError if :func:`retry` cannot work with it."""
    if not callable(job):
        raise TypeError(f"job must be a function, not {job!r}")
    for kind in on if isinstance(on, tuple) else (on,):
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise TypeError(f"on must be kinds of Exception, not {kind!r}")
    if attempts < 1:
        raise ValueError(f"attempts must be 1 or more, not {attempts!r}")
    for number in seconds:
        if isinstance(number, int | float) and not number >= 0:
            raise ValueError(f"seconds must be 0 or more, not {number!r}")


class Server:
    """Fails as it is told, and counts the calls.

    Args:
        *failures: One for each call; the calls after these get an answer.
            None is a call that waits until it is cancelled.
    """

    def __init__(self, *failures: Exception | None) -> None:
        self.calls = 0
        self.called = asyncio.Event()
        self._failures = iter(failures)

    async def call(self) -> str:
        """Fail, wait, or answer."""
        self.calls += 1
        self.called.set()
        for failure in self._failures:
            if failure is None:
                await asyncio.Event().wait()
            else:
                raise failure
        return "an answer"


async def show(
    run: Callable[[Callable[[], Awaitable[str]]], Coroutine[Any, Any, object]],
) -> None:
    """Run calls that fail for a moment, by a bug, and are cancelled."""
    trouble, bug = ConnectionError(), KeyError("prime")
    for failures in ([trouble, trouble], [bug] * 9, [None]):
        server = Server(*failures)
        task = asyncio.create_task(run(server.call))
        await server.called.wait()
        if failures == [None]:
            task.cancel()
        [result] = await asyncio.gather(task, return_exceptions=True)
        kind = type(failures[0] or asyncio.CancelledError()).__name__
        outcome = result if isinstance(result, str) else type(result).__name__
        print(f"{kind}: {outcome} after {server.calls}")


def main() -> None:
    """Try again after a connection error, and after nothing else.

    >>> main()
    ConnectionError: an answer after 3
    KeyError: KeyError after 1
    CancelledError: CancelledError after 1
    """
    asyncio.run(show(lambda job: retry(job, on=OSError, pause=0.001)))


async def broken_retry(
    job: Callable[[], Awaitable[R]], *, attempts: int = 5, pause: float = 0.1
) -> R | None:
    """Return the result of the first attempt that does not fail.

    Warning:
        A bare ``except`` also catches the bug that no pause cures, and in the
        end hides it: the caller gets None. It catches the cancellation, too:
        who cancels, or has set a timeout around it, is not heeded, and the
        attempts go on. And as all pauses are equal, all who failed together
        come back together.
    """
    for _ in range(attempts):
        try:
            return await job()
        except:
            await asyncio.sleep(pause)
    return None


def broken_main() -> None:
    """Try again after whatever it is.

    >>> broken_main()
    ConnectionError: an answer after 3
    KeyError: NoneType after 5
    CancelledError: an answer after 2
    """
    asyncio.run(show(lambda job: broken_retry(job, pause=0.001)))


if __name__ == "__main__":
    main()
    broken_main()
