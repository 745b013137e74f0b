"""Close an async generator when you stop early.

``break``, ``return`` and an exception end an ``async for``, but not the
generator behind it: its ``finally`` and ``async with`` blocks may have to
await, and nobody awaits them. Python hands it to the event loop instead, and
a task of the loop's own closes it later, or is cancelled half-way as the
program ends. :func:`contextlib.aclosing` closes it, in your task, before the
next line runs.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: async generator, aclosing, aclose, async for break, break out of async
    for, yield in async def, finally of an async generator is not run, async
    generator cleanup, async generator is never closed, connection stays open,
    shutdown_asyncgens, "RuntimeError: aclose(): asynchronous generator is
    already running", "RuntimeError: anext(): asynchronous generator is already
    running", "RuntimeError: async generator ignored GeneratorExit", "unhandled
    exception during asyncio.run() shutdown", "RuntimeError: Attempted to exit
    cancel scope in a different task than it was entered in"

Use this when
    a generator holds something open (a connection, a file, a cursor) and the
    loop over it may end before the generator does.

Prefer instead
    an ``async with`` around the resource, in the code that runs the loop,
    where you can choose: :mod:`cookbook.coroutines.async_context`. A plain
    ``async for`` when it always runs to the generator's end.

Pitfalls
    - A generator that loops over another one needs ``aclosing`` as well:
      closing the outer one does not close the inner one.
    - Do not ``yield`` inside :func:`asyncio.timeout` or a task group. Such a
      timeout cancels whoever uses the generator, and no :exc:`TimeoutError`
      comes. If another task closes the generator, anyio raises ``Attempted to
      exit cancel scope in a different task than it was entered in``: enter
      and exit in the same task. ruff ASYNC119 reports such a ``yield``, with
      ``--preview``.
    - One task at a time: :func:`anext` and ``aclose()`` raise
      :exc:`RuntimeError` while another task waits for the next item.
    - A generator that yields in its ``finally`` cannot be closed: ``async
      generator ignored GeneratorExit``.

If a job raises
    the generator is closed first, then the error of the loop's body is
    raised. If closing it fails too, that error is raised, and the first one
    is lost: it is not even its ``__context__``.

If it takes too long
    :func:`asyncio.timeout` around the loop closes the generator, then raises
    :exc:`TimeoutError`. It does not limit how long closing takes.

On cancellation
    the generator is closed, then the cancellation goes on.

On Ctrl-C
    :func:`asyncio.run` cancels the main task, the generator is closed, and
    :exc:`KeyboardInterrupt` is raised.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def first_match(
    items: AsyncGenerator[T, None], wanted: Callable[[T], bool]
) -> T | None:
    """Return the first of *items* that is *wanted*, and close *items*.

    Args:
        items: An async generator; it is closed in any case.
        wanted: Says whether an item is the one.

    Returns:
        The item, or None if there is none.

    Raises:
        TypeError: If *items* cannot be closed or *wanted* cannot be called;
            *items* has not been started.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.async_generators import first_match, lines
        >>> asyncio.run(first_match(lines([]), str.isupper))
        'B'
    """
    if not hasattr(items, "aclose"):
        raise TypeError(f"items must be an async generator, not {items!r}")
    if not callable(wanted):
        raise TypeError(f"wanted must be a function, not {wanted!r}")
    async with contextlib.aclosing(items):
        async for item in items:
            if wanted(item):
                return item
    return None


async def lines(log: list[str]) -> AsyncGenerator[str, None]:
    """Yield the lines a, B and c, as if from a server.

    Args:
        log: Gets what happens to the connection.

    Yields:
        A line.
    """
    log.append("connected")
    try:
        for line in ("a", "B", "c"):
            yield line
    finally:
        log.append("closing")
        await asyncio.sleep(0)  # stands for a farewell to the server
        log.append("closed")


async def search(
    log: list[str],
    find: Callable[..., Awaitable[str | None]],
) -> None:
    """Look for the first line in capitals, and go on to something else.

    Args:
        log: Gets what happens.
        find: :func:`first_match`, or a function with its signature.
    """
    log.append(f"found {await find(lines(log), str.isupper)}")
    await asyncio.sleep(0)  # stands for the rest of the program


def main() -> None:
    """Stop at the second line of three.

    >>> main()
    connected, closing, closed, found B
    """
    log: list[str] = []
    asyncio.run(search(log, first_match))
    print(", ".join(log))


async def broken_first_match(
    items: AsyncGenerator[T, None], wanted: Callable[[T], bool]
) -> T | None:
    """Return the first of *items* that is *wanted*, and leave *items* open.

    Args:
        items: An async generator.
        wanted: Says whether an item is the one.

    Returns:
        The item, or None if there is none.

    Warning:
        A plain generator would be closed here, as its last reference goes.
        The ``finally`` of an async one runs later, in another task; as long
        as a variable or a traceback holds the generator, not before
        :func:`asyncio.run` ends. What it raises goes to the log instead of
        you. When :func:`asyncio.run` ends, it cancels that task wherever it
        waits.
    """
    async for item in items:
        if wanted(item):
            return item
    return None


def broken_main() -> None:
    """Stop at the second line; "closed" is never reached.

    >>> broken_main()
    connected, found B, closing
    """
    log: list[str] = []
    asyncio.run(search(log, broken_first_match))
    print(", ".join(log))


if __name__ == "__main__":
    main()
    broken_main()
