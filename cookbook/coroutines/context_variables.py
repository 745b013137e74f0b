"""Carry a request's values through its tasks and threads.

A :class:`contextvars.ContextVar` has a value for each task: a task gets a copy
of the context of the code that creates it, and what it sets then is its own.
:func:`asyncio.to_thread` takes the context along to its thread. Set the
variable where the request begins, read it where you log, and reset it at the
end.

:models: asyncio, threads
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: contextvars, ContextVar, request id in logs, correlation id, trace id,
    thread local in asyncio, threading.local with coroutines, asyncio local
    storage, copy_context, run_in_executor loses context, context variable is
    empty in thread, token reset, "was created in a different Context",
    "LookupError: <ContextVar name="

Use this when
    code deep down (a logger, a database session) needs a value of the request
    that it works for, and passing it through every call would be too much.

Prefer instead
    an argument, wherever you can pass one. For threads without asyncio,
    :mod:`cookbook.threads.thread_local_state`.

Pitfalls
    - What a task sets, the code that created it does not see. A coroutine
      that is awaited without a task shares the context, and its caller sees
      what it sets.
    - ``loop.run_in_executor`` does not take the context along: pass it
      ``contextvars.copy_context().run`` and the function, or use
      :func:`asyncio.to_thread`. A :class:`threading.Thread` starts with an
      empty context; from 3.14 it gets a copy on a free-threaded build, or
      with ``-X thread_inherit_context=1``. A thread of a pool keeps that copy:
      under ``run_in_executor`` a later request sees the values of an earlier
      one.
    - Make the variable at the top of a module: contexts refer to it, so one
      made in a function is not collected in time (documented:
      :mod:`contextvars`). Without a default ``get()`` raises
      :exc:`LookupError`.
    - A copy of the context is shallow: a list in it is the same list.
    - ``reset(token)`` in another task: ``ValueError: ... was created in a
      different Context``. From 3.14 the token is a context manager: ``with
      request.set("a"):`` resets it.

If a job raises
    the variable has the value of before when the block has been left.

On cancellation
    the same: the block resets it.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar

request: ContextVar[str] = ContextVar("request", default="-")


@contextlib.contextmanager
def serving(name: str) -> Iterator[None]:
    """Let ``request`` be *name* in this block, and in tasks it creates.

    Args:
        name: Of the request.

    Example:
        >>> from cookbook.coroutines.context_variables import request, serving
        >>> with serving("a"):
        ...     request.get()
        'a'
        >>> request.get()
        '-'
    """
    token = request.set(name)
    try:
        yield
    finally:
        request.reset(token)


async def serve_two(
    serving: Callable[[str], AbstractContextManager[None]],
    current: Callable[[], str],
) -> None:
    """Serve two requests at once, and print what each of them sees.

    Args:
        serving: :func:`serving`, or a function with its signature.
        current: Returns the name of the request it is called for.
    """
    meeting = asyncio.Barrier(2)

    async def serve(name: str) -> str:
        with serving(name):
            await meeting.wait()
            in_task = current()
            in_thread = await asyncio.to_thread(current)
            await meeting.wait()
        return f"{name}: its task sees {in_task}, its thread {in_thread}"

    for line in await asyncio.gather(serve("a"), serve("b")):
        print(line)


def main() -> None:
    """Serve two requests; each sees its own name.

    >>> main()
    a: its task sees a, its thread a
    b: its task sees b, its thread b
    """
    asyncio.run(serve_two(serving, request.get))


local = threading.local()


@contextlib.contextmanager
def broken_serving(name: str) -> Iterator[None]:
    """Do the same with a :class:`threading.local`.

    Warning:
        All tasks of a loop run in one thread, so all have the same value:
        the one that was set last. The thread of ``to_thread`` has none.
    """
    local.request = name
    yield


def broken_current() -> str:
    """Return the name of the request that was set last in this thread."""
    return getattr(local, "request", "-")


def broken_main() -> None:
    """Serve two requests; one sees the other's name.

    >>> broken_main()
    a: its task sees b, its thread -
    b: its task sees b, its thread -
    """
    asyncio.run(serve_two(broken_serving, broken_current))


if __name__ == "__main__":
    main()
    broken_main()
