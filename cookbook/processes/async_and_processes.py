"""Hear from worker processes in a coroutine.

``queue.get()`` of a :class:`multiprocessing.Queue`, ``recv()`` of a pipe and
``join()`` of a process wait as any ordinary call does: in a coroutine they
stop every task of the loop. Let a thread wait instead. It hands each message
to the loop by ``call_soon_threadsafe()``, until the worker's end of the pipe
is closed.

A worker may run an event loop of its own: its job is an ordinary function that
calls :func:`asyncio.run`.

:models: asyncio, processes
:work: CPU-bound, I/O-bound
:level: expert
:since: 3.11
:trap: every build, every start method
:search: asyncio with multiprocessing queue, multiprocessing.Queue in asyncio,
    read a pipe in asyncio, loop.add_reader, queue.get blocks event loop,
    asyncio.run in a process, event loop per process, progress of workers,
    asyncio.Queue between processes, fork with a running event loop,
    aioprocessing, multiprocessing.Pipe, Connection.recv in a coroutine

Use this when
    workers report progress or results while they work, and the parent serves
    other tasks meanwhile.

Prefer instead
    :mod:`cookbook.coroutines.cpu_bound` when you send a call and await one
    answer. :mod:`cookbook.coroutines.subprocesses` for another program.

Pitfalls
    - Close your copy of the worker's end after ``start()``. While it is open
      the pipe has no end, and a worker that dies is waited for for ever.
    - A pipe with an end tells of a worker that was killed. A
      :class:`multiprocessing.Queue` does not: its reader holds both ends.
    - ``loop.add_reader(connection.fileno(), ...)`` needs no thread, on Unix.
      Its callback still blocks in ``recv()`` while the rest of a long message
      is on its way.
    - A thread in ``recv()`` cannot be cancelled. Here the worker is killed, so
      that the pipe ends and the thread returns.
    - Do not fork while a loop runs: see :mod:`cookbook.coroutines.cpu_bound`.
      Here *context* is ``spawn`` unless you say otherwise.
    - An :class:`asyncio.Queue` or lock does not join two processes: sent to
      one it is an error, or arrives as a copy. A coroutine cannot be pickled
      at all.

If a job raises
    its traceback is on the worker's standard error, and its end of the pipe is
    closed: the messages end, and :exc:`ChildProcessError` gives the exit code.

If it takes too long
    :func:`asyncio.timeout` around the loop cancels it, as below.

On cancellation
    the worker is killed and waited for, and then the cancellation goes on.

If a worker is killed
    the messages that it had sent are read, and then
    :exc:`ChildProcessError` is raised.
"""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any

Job = Callable[[Connection], object]
Report = Callable[[Any], object]


async def listen(
    job: Job, report: Report, *, context: BaseContext | None = None
) -> None:
    """Run *job* in a process, and call *report* with each of its messages.

    Args:
        job: A function of a module. It gets a connection, and sends messages.
        report: Called in the thread of the loop; it must not wait.
        context: What :func:`multiprocessing.get_context` returned; by
            default ``spawn``.

    Raises:
        ChildProcessError: If the worker ends with another exit code than 0.
        TypeError: If *job* or *report* cannot be called; no process is
            started.

    Example:
        >>> import asyncio
        >>> from operator import methodcaller
        >>> from cookbook.processes.async_and_processes import listen
        >>> asyncio.run(listen(methodcaller("send", "done"), print))
        done
    """
    for function in job, report:
        if not callable(function):
            raise TypeError(f"pass a function, not {function!r}")
    loop = asyncio.get_running_loop()
    own = (context or multiprocessing.get_context("spawn")).get_context()
    ours, theirs = own.Pipe(duplex=False)
    process = own.Process(target=job, args=(theirs,))

    def read() -> None:
        with suppress(EOFError, OSError):  # its end, or one in mid-message
            while True:
                loop.call_soon_threadsafe(report, ours.recv())
        process.join()

    with ours:
        with theirs:
            process.start()
        reading = asyncio.ensure_future(asyncio.to_thread(read))
        try:
            await asyncio.shield(reading)
        finally:
            process.kill()  # if it still runs: so the pipe ends, too
            process.join()
            await reading
    if process.exitcode:
        raise ChildProcessError(f"exit code {process.exitcode}")


async def send_squares(link: Connection) -> None:
    """Send three numbers, with a wait before each."""
    for n in 1, 2, 3:
        await asyncio.sleep(0.01)
        link.send(n * n)


def work(link: Connection) -> None:
    """Send squares, from a loop that runs in this process."""
    asyncio.run(send_squares(link))


async def hear(listen: Callable[[Job, Report], Awaitable[None]]) -> None:
    """Print the messages, and whether another task had its turns meanwhile.

    Args:
        listen: :func:`listen`, or a function like it.
    """
    heard: list[int] = []
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(take_turns())
    await asyncio.sleep(0)  # it starts, and waits for its first turn
    try:
        await listen(work, heard.append)
        print(heard, "some turns" if turns else "no turns")
    finally:
        other.cancel()


def main() -> None:
    """Listen to a worker while another task goes on.

    >>> main()
    [1, 4, 9] some turns
    """
    asyncio.run(hear(listen))


async def broken_listen(job: Job, report: Report) -> None:
    """Run *job* in a process, and call *report* with each of its messages.

    Args:
        job: A function of a module. It gets a connection, and sends messages.
        report: Called with each message.

    Warning:
        Nothing here awaits. From the first ``recv()`` to the last the loop
        runs nothing else: no task, no timer, no timeout, no cancellation.
    """
    own = multiprocessing.get_context("spawn")
    ours, theirs = own.Pipe(duplex=False)
    process = own.Process(target=job, args=(theirs,))
    with ours:
        with theirs:
            process.start()
        with suppress(EOFError):
            while True:
                report(ours.recv())
    process.join()


def broken_main() -> None:
    """Listen to a worker while another task stands still.

    >>> broken_main()
    [1, 4, 9] no turns
    """
    asyncio.run(hear(broken_listen))


if __name__ == "__main__":
    main()
    broken_main()
