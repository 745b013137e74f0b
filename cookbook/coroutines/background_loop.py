"""Run asyncio code from a synchronous program's threads.

A synchronous program, such as a Flask application, keeps one event loop in a
thread of its own: each of its threads hands coroutines to it with
:func:`asyncio.run_coroutine_threadsafe` and waits for the result. All calls
share the loop, and with it clients, connection pools and locks. To stop it,
let the coroutine that keeps the loop open return: :class:`asyncio.Runner`
then cancels what still runs, waits for it, and closes the loop.

:models: asyncio, threads
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: asyncio's log, ``Task was destroyed but it is pending!``, once the
    garbage collector comes to the task that nobody cancelled
:search: call async code from Flask, asyncio with Flask, Django sync view,
    call async from sync, event loop in a thread, loop.run_forever in a
    thread, share an aiohttp session between requests, async_to_sync, asgiref,
    stop an event loop from another thread, gunicorn preload asyncio,
    "Task was destroyed but it is pending!", "This event loop is already
    running", BlockingPortal, start_blocking_portal

Use this when
    synchronous code, in one thread or many, calls asyncio code again and
    again, and the calls share something that belongs to a loop.

Prefer instead
    ``asyncio.run()`` in each request when the calls share nothing: it makes a
    new loop each time (:mod:`cookbook.coroutines.run_from_sync`). An ASGI
    framework (FastAPI, Quart, Starlette) when most of the application is
    asynchronous. With anyio, ``anyio.from_thread.start_blocking_portal()``.

Pitfalls
    - Start it in the process that uses it. After a fork (gunicorn's
      ``--preload``) the child has the object but not its thread: ``run``
      raises :exc:`RuntimeError`.
    - Other threads reach the loop through ``run`` alone
      (:mod:`cookbook.coroutines.call_from_thread`). In the thread of the loop
      it would be a deadlock, and is refused: use ``await`` there.
    - A coroutine that blocks (:mod:`cookbook.coroutines.blocking_call`) holds
      up the calls of all threads.
    - The thread is a daemon, so that a program which never stops it can end;
      then what still runs is dropped, its ``finally`` blocks too. Where there
      is no ``with`` block, use ``atexit.register(background.stop)``.

If a job raises
    the caller gets the same exception, and the loop goes on.

If it takes too long
    the caller gets :exc:`TimeoutError`, and the coroutine is cancelled.

On cancellation
    ``stop`` cancels what still runs and waits until it has cleaned up;
    threads that wait for it get :exc:`concurrent.futures.CancelledError`.
    Later calls raise :exc:`RuntimeError`; nothing is left waiting.

On Ctrl-C
    the main thread's call raises :exc:`KeyboardInterrupt`, its coroutine is
    cancelled, and the end of the ``with`` block stops the loop.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, Self, TypeVar

T = TypeVar("T")


class BackgroundLoop:
    """An event loop in a thread of its own; it starts at once.

    Example:
        >>> from cookbook.coroutines.background_loop import *
        >>> with BackgroundLoop() as background:
        ...     background.run(asyncio.sleep, 0, "done", timeout=10)
        'done'
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = False
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]
        started = Future()
        self._thread = threading.Thread(
            target=self._work, args=[started], name="loop", daemon=True
        )
        self._thread.start()
        self._loop, self._end = started.result()

    def _work(self, started: Future[Any]) -> None:
        async def wait() -> None:
            end = asyncio.Event()
            started.set_result((asyncio.get_running_loop(), end))
            await end.wait()

        try:
            with asyncio.Runner() as runner:
                runner.run(wait())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    def run(
        self,
        function: Callable[..., Coroutine[Any, Any, T]],
        *args: object,
        timeout: float,
    ) -> T:
        """Run a coroutine on the loop; return its result.

        Args:
            function: A coroutine function.
            args: What it is called with.
            timeout: How many seconds to wait; then it is cancelled.

        Raises:
            TimeoutError: If there is no result in time.
            RuntimeError: If the loop is stopped, or if this is its thread.
            ValueError: If *timeout* is no number of seconds.
        """
        if not 0 <= timeout <= threading.TIMEOUT_MAX:
            raise ValueError(f"timeout must be 0 or more, not {timeout!r}")
        if self._thread is threading.current_thread():
            raise RuntimeError("use await: this is the thread of the loop")
        coroutine = function(*args)
        with self._lock:
            if self._stopped or not self._thread.is_alive():
                coroutine.close()
                raise RuntimeError("the background loop does not run")
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(timeout)
        finally:
            future.cancel()  # does nothing when it is done

    def stop(self) -> None:
        """Cancel what still runs, and wait until the thread has ended."""
        with self._lock:
            self._stopped = True
        with contextlib.suppress(RuntimeError):  # it is closed already
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def stop_during_a_call(
    run: Callable[..., object], stop: Callable[[], None], timeout: float
) -> None:
    """Stop a loop while a thread waits for a coroutine on it.

    Args:
        run: :meth:`BackgroundLoop.run`, or a method with its signature.
        stop: Stops the same loop.
        timeout: How many seconds the thread waits, at most.
    """
    begun = threading.Event()
    log: list[str] = []

    async def wait() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            log.append("cleans up")

    def call() -> None:
        try:
            run(wait, timeout=timeout)
        except (CancelledError, TimeoutError) as error:
            print("the caller gets:", type(error).__name__)

    caller = threading.Thread(target=call)
    caller.start()
    begun.wait(timeout=10)
    stop()
    caller.join()
    print("the coroutine:", *log)


def main() -> None:
    """Call coroutines on one loop; then stop it during a call.

    >>> main()
    both calls on one loop: True
    the caller gets: CancelledError
    the coroutine: cleans up
    """

    async def where() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    with BackgroundLoop() as background:
        first = background.run(where, timeout=10)
        second = background.run(where, timeout=10)
        print("both calls on one loop:", first is second)
        stop_during_a_call(background.run, background.stop, timeout=10)


class BrokenBackgroundLoop:
    """An event loop in a thread, stopped with ``loop.stop``.

    Warning:
        ``loop.stop`` only leaves ``run_forever``. Nobody cancels the tasks:
        they neither go on nor clean up, and who waits for one waits for ever,
        or until the timeout, which does not cancel the coroutine either.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, function: Callable[[], Any], timeout: float) -> object:
        """Run a coroutine on the loop; return its result."""
        future = asyncio.run_coroutine_threadsafe(function(), self.loop)
        return future.result(timeout)

    def stop(self) -> None:
        """Stop the loop."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


def broken_main() -> None:
    """Stop a loop with ``loop.stop`` during a call; then look what is left.

    >>> broken_main()
    the caller gets: TimeoutError
    the coroutine:
    tasks that nobody cancelled: 1
    """
    background = BrokenBackgroundLoop()
    try:
        stop_during_a_call(background.run, background.stop, timeout=0.05)
    finally:
        left = asyncio.all_tasks(background.loop)
        print("tasks that nobody cancelled:", len(left))
        for task in left:
            task.cancel()
        background.loop.run_until_complete(asyncio.wait(left))
        background.loop.close()


if __name__ == "__main__":
    main()
    broken_main()
