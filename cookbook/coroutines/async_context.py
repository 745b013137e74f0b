"""Open several resources, and close them all in order.

A nested ``async with`` for each is right as long as you know how many there
are. For a list of them, enter each into a
:class:`contextlib.AsyncExitStack`. As soon as one is open, the stack knows
how to close it; when the block ends, or when the next one cannot be opened,
it closes those that are open, the last one first.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: AsyncExitStack, async with several context managers, list of async
    context managers, enter_async_context, push_async_callback, aclose,
    asynccontextmanager, dynamic number of connections, close connections in
    reverse order, error in __aenter__, __aexit__ is not called, calling
    __aenter__ by hand, resource leak when startup fails, lifespan, gather
    async context managers, "object does not support the asynchronous context
    manager protocol", "RuntimeError: Attempted to exit cancel scope in a
    different task than it was entered in"

Use this when
    a number of connections, files or clients must be open together.

Prefer instead
    ``async with first() as a, second() as b:`` when you know them all.
    :mod:`cookbook.coroutines.async_generators` to close a generator.

Pitfalls
    - ``stack.enter_context`` takes an ordinary context manager,
      ``stack.push_async_callback(client.close)`` what has only a ``close()``.
    - ``stack.pop_all()``, without ``await``, hands everything to a new stack,
      so that it stays open when the block ends; await that one's ``aclose()``.
    - Leave a stack in the task that entered it. anyio raises ``Attempted to
      exit cancel scope in a different task`` otherwise.
    - Do not open with :func:`asyncio.gather`. When one fails, the others go
      on opening, and what they add to the closed stack nobody closes.
    - In a function with ``@asynccontextmanager``, what stands after ``yield``
      runs after an error only if ``try``/``finally`` is around it.

If a job raises
    all are closed, the last one first; each is told of the error, and one
    whose ``__aexit__`` returns true ends it. If one cannot be opened, those
    before it are closed, and its error is raised. If closing one fails, the
    others are closed all the same; the last error is raised, with the one
    before as its ``__context__``.

If it takes too long
    :func:`asyncio.timeout` around the block closes all, then raises
    :exc:`TimeoutError`. It does not limit how long closing takes.

On cancellation
    all are closed, then the cancellation goes on. If it comes while one of
    them is being closed, the others are closed all the same.

On Ctrl-C
    :func:`asyncio.run` cancels the main task, all are closed, and
    :exc:`KeyboardInterrupt` is raised.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Self, TypeVar

T = TypeVar("T")


@contextlib.asynccontextmanager
async def open_all(
    *managers: AbstractAsyncContextManager[T],
) -> AsyncIterator[list[T]]:
    """Open *managers* one after another; close them in reverse order.

    Args:
        managers: What ``async with`` takes.

    Yields:
        What each of them gave, in order.

    Raises:
        TypeError: If one is no async context manager; none is opened.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.async_context import Connection, open_all
        >>> async def main():
        ...     async with open_all(Connection("a", []), Connection("b", [])):
        ...         return "both are open"
        >>> asyncio.run(main())
        'both are open'
    """
    for one in managers:
        if not isinstance(one, AbstractAsyncContextManager):
            raise TypeError(f"not an async context manager: {one!r}")
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(one) for one in managers]


class Connection:
    """Stands for a connection to a server.

    Args:
        name: Of the server.
        log: Gets what happens.
        up: Whether the server answers.
    """

    def __init__(self, name: str, log: list[str], *, up: bool = True) -> None:
        self.name, self.log, self.up = name, log, up

    async def __aenter__(self) -> Self:
        """Connect, or raise :exc:`OSError`."""
        await asyncio.sleep(0)  # stands for a greeting
        if not self.up:
            raise OSError(f"no answer from {self.name}")
        self.log.append(f"open {self.name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await asyncio.sleep(0)  # stands for a farewell
        self.log.append(f"close {self.name}")


async def connect_to_three(
    open_all: Callable[..., AbstractAsyncContextManager[object]],
) -> list[str]:
    """Connect to three servers, of which the last does not answer.

    Args:
        open_all: :func:`open_all`, or a function with its signature.

    Returns:
        What happened.
    """
    log: list[str] = []
    a, b = Connection("a", log), Connection("b", log)
    try:
        async with open_all(a, b, Connection("c", log, up=False)):
            log.append("never reached")
    except OSError as error:
        log.append(str(error))
    return log


def main() -> None:
    """Connect to three servers; what is open is closed.

    >>> main()
    open a, open b, close b, close a, no answer from c
    """
    print(", ".join(asyncio.run(connect_to_three(open_all))))


@contextlib.asynccontextmanager
async def broken_open_all(
    *managers: AbstractAsyncContextManager[T],
) -> AsyncIterator[list[T]]:
    """Open *managers*, then see to it that they are closed.

    Args:
        managers: What ``async with`` takes.

    Yields:
        What each of them gave, in order.

    Warning:
        If the third one cannot be opened, ``try`` has not been reached, and
        the first two stay open. If closing one of them fails, those after it
        stay open. And none of them is told of an error in the block.
    """
    opened = [await one.__aenter__() for one in managers]
    try:
        yield opened
    finally:
        for one in reversed(managers):
            await one.__aexit__(None, None, None)


def broken_main() -> None:
    """Connect to the same servers; two connections stay open.

    >>> broken_main()
    open a, open b, no answer from c
    """
    print(", ".join(asyncio.run(connect_to_three(broken_open_all))))


if __name__ == "__main__":
    main()
    broken_main()
