"""Run coroutines from ordinary code.

``asyncio.run(main())`` makes an event loop, runs one coroutine to its end,
cancels the tasks that it left, and closes the loop: call it once, at the top
of the program. A synchronous program that needs several calls gives them one
loop: :class:`asyncio.Runner` keeps it open between calls, so that
connections, locks, queues and tasks of one call can be used in the next.

:models: asyncio
:work: I/O-bound
:level: first steps
:since: 3.11
:trap: every build
:told by: asyncio itself, but only when a task has to wait for the object; a
    lock that is free passes from loop to loop unnoticed
:search: asyncio.run, asyncio.Runner, call async function from sync function,
    run_until_complete, several asyncio.run calls, synchronous wrapper around
    an async client, await outside async, "Event loop is closed", "Exception
    ignored in: <function _ProactorBasePipeTransport.__del__", "is bound
    to a different event loop", "got Future <Future pending> attached to a
    different loop", "ValueError: a coroutine was expected, got <function
    main", "TypeError: An asyncio.Future, a coroutine or an awaitable is
    required", "SyntaxError: 'await' outside async function", "SyntaxError:
    'await' outside function", "asyncio.run() cannot be called from a running
    event loop"

Use this when
    ordinary code in one thread calls asyncio code, once or several times.

Prefer instead
    one ``asyncio.run(main())`` around the whole program, wherever you can make
    ``main`` an ``async def``. :mod:`cookbook.coroutines.background_loop` when
    several threads call, as in a web framework, or when tasks must go on
    between the calls. ``await main()`` where a loop runs already, as in a
    notebook: ``asyncio.run() cannot be called from a running event loop`` says
    so. With trio, ``trio.run``; with anyio, ``anyio.run``.

Pitfalls
    - A lock, queue, event or semaphore binds to a loop when a task first has
      to wait for it. On another loop it says ``is bound to a different event
      loop``; a stream says ``got Future <Future pending> attached to a
      different loop``, or ``Event loop is closed`` when you close it. Create
      such objects inside ``main()`` and close them there.
    - ``Event loop is closed`` from ``_ProactorBasePipeTransport.__del__``, at
      the exit on Windows, came from transports left unclosed (documented:
      CPython issue 92841). From 3.11 on it is a :exc:`ResourceWarning`.
    - ``await`` in an ordinary function is ``SyntaxError: 'await' outside
      async function``, at module level ``'await' outside function``.
    - ``asyncio.run(main)`` without the call is ``ValueError: a coroutine was
      expected``; from 3.14, where any awaitable will do, ``TypeError: An
      asyncio.Future, a coroutine or an awaitable is required``.
    - Between two calls of ``Runner.run`` the loop stands still, and the tasks
      of the first call with it. They are cancelled when the runner closes.

If a job raises
    the call raises the same exception, and the runner takes the next call.

If it takes too long
    nothing ends it: put :func:`asyncio.timeout` inside the coroutine.

On Ctrl-C
    the call's coroutine is cancelled, and when it has cleaned up the call
    raises :exc:`KeyboardInterrupt`; the end of the ``with`` block closes the
    loop. In any other thread than the main one it gets no Ctrl-C.
"""

import asyncio
from typing import Self


class Client:
    """Stands for a client of a server: its connection is a task."""

    def __init__(self) -> None:
        self._questions: asyncio.Queue[int] = asyncio.Queue()
        self._answers: asyncio.Queue[int] = asyncio.Queue()
        self._connection: asyncio.Task[None] | None = None

    async def square(self, number: int) -> int:
        """Ask the server for the square of *number*."""
        if self._connection is None:
            self._connection = asyncio.create_task(self._serve())
        self._questions.put_nowait(number)
        return await self._answers.get()

    async def _serve(self) -> None:
        while True:
            number = await self._questions.get()
            self._answers.put_nowait(number * number)


class SyncClient:
    """A :class:`Client` for ordinary code: one loop for all its calls.

    Example:
        >>> from cookbook.coroutines.run_from_sync import SyncClient
        >>> with SyncClient() as client:
        ...     client.square(3)
        9
    """

    def __init__(self) -> None:
        self._client = Client()
        self._runner = asyncio.Runner()

    def square(self, number: int) -> int:
        """Ask the server for the square of *number*, and wait."""
        return self._runner.run(self._client.square(number))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()


async def ask(*numbers: int) -> list[int]:
    """Make a client, ask it for squares, and leave it."""
    client = Client()
    return [await client.square(number) for number in numbers]


def main() -> None:
    """Do all in one call; then in several calls on one loop.

    >>> main()
    one call: [4, 9]
    first call: 4
    second call: 9
    """
    print("one call:", asyncio.run(ask(2, 3)))
    with SyncClient() as client:
        print("first call:", client.square(2))
        print("second call:", client.square(3))


class BrokenSyncClient:
    """A :class:`Client` for ordinary code, with a new loop for each call.

    Warning:
        Each :func:`asyncio.run` cancels all tasks at its end and closes its
        loop. The connection of the first call is dead in the second, and what
        a task has waited for belongs to the closed loop. Where nobody has to
        wait, nothing is raised: it works in the test and fails under load.
    """

    def __init__(self) -> None:
        self._client = Client()

    def square(self, number: int) -> int:
        """Ask the server for the square of *number*, and wait."""
        return asyncio.run(self._client.square(number))


def broken_main() -> None:
    """Use one client on two loops, one after the other.

    >>> broken_main()
    first call: 4
    second call: the queue is bound to a different event loop
    """
    client = BrokenSyncClient()
    print("first call:", client.square(2))
    try:
        client.square(3)
    except RuntimeError as error:
        print("second call: the queue", str(error).partition("> ")[2])


if __name__ == "__main__":
    main()
    broken_main()
