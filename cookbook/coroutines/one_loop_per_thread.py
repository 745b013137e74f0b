"""Run one event loop in each of several threads.

A thread runs one event loop at a time, and :func:`asyncio.run` works in any
thread. What belongs to a loop stays with it: make clients, queues and locks
in the coroutine that uses them, once for each loop, and let threads exchange
plain values. On a free-threaded build the loops run in parallel; with the GIL
they compute in turns.

:models: asyncio, threads
:work: CPU-bound, I/O-bound
:level: expert
:since: 3.11
:trap: every build
:search: event loop per thread, several event loops, asyncio with multiple
    threads, asyncio free-threaded, scale asyncio to several cores, shared
    client between event loops, "is bound to a different event loop",
    "attached to a different loop", "ValueError: The future belongs to a
    different loop than the one specified as the loop argument", "Non-thread-
    safe operation invoked on an event loop other than the current one"

Use this when
    a free-threaded Python has more asyncio work than one core can do, or a
    library wants a loop in a thread of its own.

Prefer instead
    one loop. With the GIL, a process for each core:
    :mod:`cookbook.coroutines.cpu_bound`. To call into one loop from other
    threads, :mod:`cookbook.coroutines.background_loop`.

Pitfalls
    - ``is bound to a different event loop``: a lock, queue, event or
      semaphore was used in two loops. It belongs to the first in which a task
      waited for it.
    - ``got Future <Future pending> attached to a different loop``: a task
      awaits a future of another loop. From 3.14 :func:`asyncio.gather` raises
      ``ValueError: The future belongs to a different loop than the one
      specified as the loop argument``.
    - To set the future of another loop's task does not wake that loop; in
      debug mode it is an error. Use
      :meth:`~asyncio.loop.call_soon_threadsafe`.
    - Ctrl-C reaches the main thread alone; this function passes it on as a
      cancellation.
    - Free-threading was experimental in 3.13, and asyncio made for it in 3.14
      (documented: What's New In Python 3.14).

If a job raises
    the jobs of the other threads are cancelled, and the error is raised when
    all threads have ended.

If it takes too long
    :func:`asyncio.timeout` in the job: a thread cannot be stopped from
    outside.

On Ctrl-C
    all jobs are cancelled, and :exc:`KeyboardInterrupt` is raised when all
    threads have ended. One that blocks its loop is waited for.
"""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

A = TypeVar("A")
R = TypeVar("R")


def run_in_threads(
    job: Callable[[A], Coroutine[Any, Any, R]], shares: Iterable[A]
) -> list[R]:
    """Run ``job(share)`` on an event loop of its own for each of *shares*.

    Args:
        job: A coroutine function.
        shares: One for each thread.

    Returns:
        The results, in the order of *shares*.

    Raises:
        TypeError: If *job* cannot be called; no thread is started.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.one_loop_per_thread import run_in_threads
        >>> async def double(number):
        ...     await asyncio.sleep(0)
        ...     return 2 * number
        >>> run_in_threads(double, [1, 2])
        [2, 4]
    """
    if not callable(job):
        raise TypeError(f"job must be a coroutine function, not {job!r}")
    stop = threading.Event()
    cancels: list[Callable[[], object]] = []

    async def run(share: A) -> R:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(job(share))
        cancels.append(
            functools.partial(loop.call_soon_threadsafe, task.cancel)
        )
        if stop.is_set():  # a thread that starts late has missed the call
            task.cancel()
        return await task

    def run_share(share: A) -> R:
        return asyncio.run(run(share))

    shares = list(shares)
    with ThreadPoolExecutor(len(shares) or 1) as threads:
        try:
            futures = [threads.submit(run_share, share) for share in shares]
            for future in as_completed(futures):
                future.result()
        except BaseException:
            stop.set()
            for cancel in cancels:
                with contextlib.suppress(RuntimeError):  # its loop is closed
                    cancel()
            raise
    return [future.result() for future in futures]


class Client:
    """A client that sends one question at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def ask(self, question: str) -> str:
        """Wait for its turn, and return the answer."""
        async with self._turn:
            await asyncio.sleep(0)  # stands for a request
            return question.upper()


async def ask_both(client: Client) -> list[str]:
    """Ask two questions at the same time."""
    questions = [client.ask("one"), client.ask("two")]
    return await asyncio.gather(*questions)


async def count_answers(share: str) -> str:
    """Ask with a client of this loop."""
    answers = await ask_both(Client())
    return f"{share}: {len(answers)} answers"


def main() -> None:
    """Ask in two threads.

    >>> main()
    ['first: 2 answers', 'second: 2 answers']
    """
    print(run_in_threads(count_answers, ["first", "second"]))


def broken_main() -> None:
    """Ask in two threads with one client.

    Warning:
        The lock in the client belongs to the loop in which a task first had
        to wait for it. While nobody has to wait, all goes well.

    >>> broken_main()
    first: 2 answers
    second: RuntimeError, its lock is bound to a different event loop
    """
    client = Client()

    async def broken_count_answers(share: str) -> str:
        try:
            answers = await ask_both(client)
        except RuntimeError as error:
            _, _, text = str(error).rpartition("> ")
            return f"{share}: RuntimeError, its lock {text}"
        return f"{share}: {len(answers)} answers"

    for share in ("first", "second"):
        print(*run_in_threads(broken_count_answers, [share]))


if __name__ == "__main__":
    main()
    broken_main()
