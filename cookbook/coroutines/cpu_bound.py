"""Run CPU-bound work from a coroutine.

A function that computes never awaits, so a coroutine that calls it stops
every other task of its loop. A thread does not help much with the GIL: it
computes in turns with the loop, on one core. Hand the work to processes:
:meth:`asyncio.loop.run_in_executor` sends a function and its arguments to a
:class:`~concurrent.futures.ProcessPoolExecutor`, and you await the result.

:models: asyncio, processes
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: every build
:search: asyncio with multiprocessing, ProcessPoolExecutor in async def,
    run_in_executor, CPU-bound in asyncio, event loop blocked by computation,
    async def runs in serial, asyncio with multiprocessing queue, FastAPI
    CPU-bound endpoint, ThreadPoolExecutor vs ProcessPoolExecutor, spawn,
    forkserver, "A process in the process pool was terminated abruptly while
    the future was running or pending."

Use this when
    a coroutine needs the result of a computation that takes longer than the
    other tasks can wait.

Prefer instead
    :mod:`cookbook.coroutines.to_thread` for calls that wait (I/O), or on a
    free-threaded build: threads share memory and start cheaply, but with the
    GIL they compute one at a time. Processes compute in parallel, but need
    pickling, the main guard (:mod:`cookbook.processes.main_guard`) and more
    memory.

Pitfalls
    - Do not fork from inside a running loop: the child would get copies of
      its locks and sockets. Here *context* is ``spawn`` unless you say
      otherwise; ``forkserver`` is as safe.
    - An :class:`asyncio.Queue` is of one loop and cannot be shared with a
      process. Read a :class:`multiprocessing.Queue` in a thread:
      ``await asyncio.to_thread(queue.get)``.
    - Leaving ``with ProcessPoolExecutor()`` in a coroutine blocks the loop
      until the workers have ended (documented:
      :meth:`~concurrent.futures.Executor.shutdown`); here a thread waits for
      them. A service keeps one pool for all its calls.
    - A program that is ended by SIGTERM leaves its workers
      (:mod:`cookbook.processes.orphans`).

If a job raises
    its error is raised here, when all workers have ended.

On cancellation
    nothing stops a call that a worker has begun: it is waited for while the
    loop goes on, and then the cancellation goes on.

If a worker is killed
    :exc:`BrokenProcessPool <concurrent.futures.process.BrokenProcessPool>` is
    raised; make a new pool.
"""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext

from cookbook.primes import count_primes, split_range


async def count_in_processes(
    stop: int, *, workers: int = 2, context: BaseContext | None = None
) -> int:
    """Count the primes below *stop* while other tasks go on.

    Args:
        stop: The first number not tried.
        workers: How many processes share the range.
        context: What :func:`multiprocessing.get_context` returned; by
            default ``spawn``.

    Raises:
        TypeError: If *stop* or *workers* is not an int.
        ValueError: If *stop* is negative or *workers* less than 1; no
            process is started.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.cpu_bound import count_in_processes
        >>> asyncio.run(count_in_processes(100))
        25
    """
    spans = split_range(0, stop, workers)
    context = context or multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context)
    loop = asyncio.get_running_loop()
    try:
        jobs = [loop.run_in_executor(pool, count_primes, *s) for s in spans]
        return sum(await asyncio.gather(*jobs))
    finally:
        await asyncio.to_thread(pool.shutdown, cancel_futures=True)


async def turns_during(count: Callable[[int], Awaitable[int]]) -> str:
    """Count primes, and the turns that another task gets meanwhile.

    Args:
        count: :func:`count_in_processes`, or a function like it.
    """
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(take_turns())
    await asyncio.sleep(0)  # it starts, and waits for its first turn
    try:
        primes = await count(1000)
        return f"{primes} primes, {'some' if turns else 'no'} turns"
    finally:
        other.cancel()


def main() -> None:
    """Count primes in processes; another task gets its turns.

    >>> main()
    168 primes, some turns
    """
    print(asyncio.run(turns_during(count_in_processes)))


async def broken_count(stop: int, *, workers: int = 2) -> int:
    """Count the primes below *stop* in the coroutine itself.

    Args:
        stop: The first number not tried.
        workers: How many calls share the range.

    Warning:
        ``async def`` makes nothing parallel. Each call computes from its
        start to its end without an ``await`` that waits, so the loop runs no
        other task, timer or connection meanwhile.
    """

    async def count(start: int, end: int) -> int:
        return count_primes(start, end)

    spans = split_range(0, stop, workers)
    return sum([await count(*span) for span in spans])


def broken_main() -> None:
    """Count primes in the loop's own thread; the other task stands still.

    >>> broken_main()
    168 primes, no turns
    """
    print(asyncio.run(turns_during(broken_count)))


if __name__ == "__main__":
    main()
    broken_main()
