"""Run a coroutine where an event loop already runs.

In a notebook, and in ``python -m asyncio``, a loop runs already: write
``await main()`` in the cell, not ``asyncio.run(main())``. Loops of asyncio do
not nest: while one runs in a thread, neither it nor another can be started
there. Ordinary code that is called from such a place, and cannot ``await``,
runs the coroutine on a loop of its own in another thread, and waits for it.

:models: asyncio, threads
:work: I/O-bound
:level: first steps
:since: 3.11
:trap: every build
:told by: asyncio itself, at once, with a :exc:`RuntimeError`; but only where a
    loop runs: the same code passes its tests in a script
:search: asyncio in Jupyter, notebook, IPython, Colab, Spyder, FastAPI,
    top-level await, python -m asyncio, nest_asyncio, nest_asyncio.apply,
    nest-asyncio2, call async from sync inside a running loop, nested event
    loop, "RuntimeError: asyncio.run() cannot be called from a running event
    loop", "RuntimeError: This event loop is already running", "RuntimeError:
    Cannot run the event loop while another loop is running", "Runner.run()
    cannot be called from a running event loop"

Use this when
    you work in a notebook, or write ordinary code that others call from one.

Prefer instead
    ``await`` wherever you can: make the caller an ``async def``, as in an
    endpoint of FastAPI. ``asyncio.run`` in a ``def`` that a thread pool runs
    (:func:`asyncio.to_thread`, a ``def`` endpoint): no loop runs in that
    thread. :mod:`cookbook.coroutines.background_loop` when several calls share
    a client.

Pitfalls
    - ``This event loop is already running`` is ``loop.run_until_complete()``
      or ``loop.run_forever()`` on the loop that runs; ``Cannot run the event
      loop while another loop is running`` is the same on a new loop. Use
      ``await``, or ``asyncio.create_task()`` and go on: in a notebook the task
      runs on after its cell. From another thread, use
      :func:`asyncio.run_coroutine_threadsafe`
      (:mod:`cookbook.coroutines.call_from_thread`).
    - While :func:`run_anywhere` waits, the loop of its caller stands still: a
      coroutine that waits for a task of that loop is a deadlock. Nor can it
      use a client, lock or queue that belongs to that loop.
    - ``nest_asyncio`` patches asyncio so that loops nest. It is a work-around,
      and unmaintained: the project is archived (documented: ipykernel issue
      1381).
    - The ordinary ``python`` prompt has no loop: ``await`` is a
      :exc:`SyntaxError` there, and ``asyncio.run`` works.

If a job raises
    the caller gets the same exception.

If it takes too long
    nothing ends it: put :func:`asyncio.timeout` inside the coroutine.

On cancellation
    a task that calls :func:`run_anywhere` cannot be cancelled while it waits:
    the cancellation arrives at its next ``await``.

On Ctrl-C
    if no loop runs in the main thread, the coroutine is cancelled, and when it
    has cleaned up the call raises :exc:`KeyboardInterrupt`. Under
    ``asyncio.run`` the first Ctrl-C cancels the task that calls, as above; a
    second interrupts the call.
"""

import asyncio
import contextlib
import contextvars
import gc
import warnings
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def run_anywhere(
    function: Callable[..., Coroutine[Any, Any, T]], *args: object
) -> T:
    """Run a coroutine in another thread; wait, and return its result.

    Args:
        function: A coroutine function. It sees the caller's context variables.
        args: What it is called with.

    Raises:
        TypeError: If *function* cannot be called.

    Example:
        >>> from cookbook.coroutines.notebook_and_repl import *
        >>> run_anywhere(asyncio.sleep, 0, "done")
        'done'
    """
    if not callable(function):
        raise TypeError(f"pass a coroutine function, not {function!r}")
    end: Future[None] = Future()

    async def call() -> T:
        loop = asyncio.get_running_loop()
        task = loop.create_task(function(*args))

        def cancel(_: Future[None]) -> None:
            with contextlib.suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(task.cancel)

        end.add_done_callback(cancel)
        return await task

    def work() -> T:
        return asyncio.run(call())

    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(context.run, work).result()
        finally:
            end.cancel()  # what still runs, after Ctrl-C


async def add(a: int, b: int) -> int:
    """Stand for something that takes time."""
    await asyncio.sleep(0)
    return a + b


def main() -> None:
    """Start a loop, as a notebook does, and call coroutines in it.

    >>> main()
    with await: 3
    from ordinary code: 7
    """

    async def cell() -> None:
        print("with await:", await add(1, 2))
        print("from ordinary code:", run_anywhere(add, 3, 4))

    run_anywhere(cell)  # works in a notebook too


def broken_add(a: int, b: int) -> int:
    """Add two numbers, from ordinary code.

    Warning:
        It works in a script, in a test and at the ordinary prompt, and fails
        for the first who calls it from a notebook or from an ``async def``.
        The coroutine has been made by then, and is thrown away: hence the
        second message, which is only a consequence.
    """
    return asyncio.run(add(a, b))


def broken_main() -> None:
    """Call it in a script; then where a loop runs.

    >>> broken_main()
    in a script: 7
    in a cell: asyncio.run() cannot be called from a running event loop
    and then: coroutine 'add' was never awaited
    """

    async def cell() -> None:
        try:
            broken_add(3, 4)
        except RuntimeError as error:
            print("in a cell:", error)

    print("in a script:", broken_add(3, 4))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RuntimeWarning)
        asyncio.run(cell())
        gc.collect()
    print("and then:", str(caught[0].message).partition("\n")[0])


if __name__ == "__main__":
    main()
    broken_main()
