"""Wait in a test for what happens, not for a time.

A test that sleeps "long enough" is slow on every day and fails on a busy one.
Let the code under test say that it is there: wait for an event, a future or a
thread, with a timeout that only a failure reaches. Where nothing tells you,
ask again and again until a deadline: :func:`wait_until`. To test what asyncio
code does in an hour, give it a clock that jumps to the next timer:
:func:`run_in_virtual_time`.

:models: threads, asyncio
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: time.sleep in tests, flaky test, wait until condition, polling with
    timeout, eventually, test asyncio.sleep without waiting, fake clock,
    virtual time, mock time, fast-forward event loop, freeze time asyncio,
    test hangs in CI, faulthandler_timeout, pytest-timeout, AsyncMock, mock
    async function, "object MagicMock can't be used in 'await' expression",
    "'MagicMock' object can't be awaited", test race conditions

Use this when
    a test has to wait for another thread, or for a timeout, a retry or a
    period of asyncio code.

Prefer instead
    a :class:`threading.Barrier` or an event in the code that you pass in,
    when the test is about the order in which threads come:
    :mod:`cookbook.testing.force_a_race`.
    :mod:`cookbook.testing.every_interleaving` tries all orders.

Pitfalls
    - Give every ``join``, ``get``, ``result`` and ``wait`` a timeout, so that
      a failure does not hang, and look at what it returns: ``join(10)`` says
      nothing when the time is over, ``Event.wait(10)`` returns False. In
      coroutines, :func:`asyncio.timeout`.
    - For the test that hangs all the same, pytest's ``faulthandler_timeout``
      prints where each thread is, and from pytest 9
      ``faulthandler_exit_on_timeout`` ends the run. A thread that a test
      abandons lets the interpreter exit only if it is a daemon.
    - Virtual time knows timers alone. While a thread or a server works, no
      timer stands still: a timeout around real I/O is over at once. Other
      clocks, such as :func:`time.monotonic`, go on as usual. It ends after
      97 days.
    - A mock in the place of :func:`asyncio.sleep` returns without giving way:
      other tasks do not run, and a loop around it never ends.
    - ``await`` of a ``MagicMock`` raises ``TypeError: object MagicMock can't
      be used in 'await' expression``, from 3.14 ``'MagicMock' object can't be
      awaited``. Use :class:`unittest.mock.AsyncMock`; ``patch()`` makes one
      in the place of an ``async def`` function, of itself.

If a job raises
    the error of a condition, or of the coroutine, goes to the test.

If it takes too long
    :func:`wait_until` raises :exc:`TimeoutError`.
    :func:`run_in_virtual_time` raises :exc:`RuntimeError` as soon as every
    task waits and no timer is set: a deadlock is found, not waited for.

On Ctrl-C
    both raise :exc:`KeyboardInterrupt` at once.
"""

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# 97 days. Up to 3.14 asyncio runs a timer when it is less than a
# nanosecond away; added to a larger number of seconds, that is lost.
LONGEST = 2**23


def wait_until(
    condition: Callable[[], object],
    timeout: float = 10.0,
    *,
    pause: float = 0.01,
) -> None:
    """Return as soon as *condition* holds.

    Args:
        condition: Called until what it returns is true.
        timeout: How many seconds that may take. Only a failure takes them,
            so be generous.
        pause: How many seconds to sleep between two calls.

    Raises:
        TimeoutError: If *condition* does not hold in time; it names it.
        ValueError: If *timeout* or *pause* is negative.

    Example:
        >>> import threading
        >>> from cookbook.testing.without_sleeping import wait_until
        >>> threading.Thread(target=(found := []).append, args=[1]).start()
        >>> wait_until(lambda: found == [1])
    """
    if not (timeout >= 0 and pause >= 0):
        raise ValueError(f"not 0 or more: {timeout=}, {pause=}")
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{condition} did not hold within {timeout} s")
        time.sleep(pause)


class JumpingClock(selectors.DefaultSelector):
    """Waits for nothing: if nothing is ready, the time is over at once.

    Attributes:
        now: In seconds.
    """

    now = 0.0

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, move the clock on.

        Raises:
            RuntimeError: If there is no timer to jump to, or the next one is
                too far away.
        """
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("every task waits, and no timer is set")
        self.now += timeout
        if self.now > LONGEST:
            raise RuntimeError(f"virtual time ends after {LONGEST} s")
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer."""

    def __init__(self) -> None:
        self._jumping = JumpingClock()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual time, which starts at 0."""
        return self._jumping.now


def run_in_virtual_time(main: Coroutine[object, object, T]) -> T:
    """Run a coroutine as :func:`asyncio.run` does, without waiting.

    Args:
        main: What it returns is returned, what it raises is raised. It may
            sleep and set timeouts; it must do no real I/O and start no
            thread.

    Raises:
        RuntimeError: If every task waits and no timer is set, or if *main*
            takes more than 97 days.

    Example:
        >>> import asyncio
        >>> from cookbook.testing.without_sleeping import *
        >>> run_in_virtual_time(asyncio.sleep(3600, "an hour later"))
        'an hour later'
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def main() -> None:
    """Wait for a thread that is late; then for retries, an hour apart.

    >>> main()
    the thread has written: ['done']
    retries at 0, 1, 61 and 3661 s
    two tasks that wait for each other: RuntimeError
    """
    written: list[str] = []
    has_been_looked_at = threading.Event()

    def work() -> None:
        has_been_looked_at.wait(timeout=10)
        written.append("done")

    def has_written() -> bool:
        has_been_looked_at.set()
        return bool(written)

    with ThreadPoolExecutor(max_workers=1) as pool:
        working = pool.submit(work)
        wait_until(has_written)
        working.result()
    print("the thread has written:", written)

    async def retry() -> list[str]:
        loop = asyncio.get_running_loop()
        times = [loop.time()]
        for pause in (1, 60, 3600):
            await asyncio.sleep(pause)
            times.append(loop.time())
        return [f"{at:.0f}" for at in times]

    *first, last = run_in_virtual_time(retry())
    print("retries at", ", ".join(first), "and", last, "s")

    async def deadlock() -> None:
        one, other = asyncio.Event(), asyncio.Event()
        await asyncio.gather(one.wait(), other.wait())

    try:
        run_in_virtual_time(deadlock())
    except RuntimeError as error:
        print("two tasks that wait for each other:", type(error).__name__)


def broken_test(written: list[str]) -> None:
    """Test that a thread writes that it is done.

    Warning:
        No time is long enough. A busy machine, a debugger or a pause of the
        garbage collector makes the thread later than the sleep, and the test
        fails although the code is right; on all other days everybody waits
        for the whole of it.
    """
    time.sleep(0.05)
    assert written == ["done"]


def broken_main() -> None:
    """Run that test on a thread that comes after the look at it.

    >>> broken_main()
    the test fails
    the thread has written: ['done']
    """
    written: list[str] = []
    has_been_looked_at = threading.Event()

    def work() -> None:
        has_been_looked_at.wait(timeout=10)
        written.append("done")

    with ThreadPoolExecutor(max_workers=1) as pool:
        working = pool.submit(work)
        try:
            broken_test(written)
        except AssertionError:
            print("the test fails")
        finally:
            has_been_looked_at.set()
        working.result()
    print("the thread has written:", written)


if __name__ == "__main__":
    main()
    broken_main()
