"""Get results and errors out of threads.

``Thread.join()`` waits until the thread has ended and returns ``None``; it
does not raise what the function raised. Let the thread keep both for you: a
pool's future does, and so does a short thread class. The ``result()`` of
either waits, then returns the value or raises the error where you ask.

:models: threads
:work: I/O-bound
:level: first steps
:since: 3.11
:trap: every build
:told by: pytest, ``PytestUnhandledThreadExceptionWarning``: make it an error
    with ``-W error::pytest.PytestUnhandledThreadExceptionWarning``
:search: return value from thread, return value of a thread, get result from
    thread, join returns None, exception in a thread, catch thread exception in
    the caller, future.result, threading.excepthook, is_alive, join with
    timeout, what is join for, wait for all threads, wait until threads are
    done, "Exception in thread Thread-1 (f):", "RuntimeError: cannot join
    thread before it is started", "PytestUnhandledThreadExceptionWarning:
    Exception in thread"

Use this when
    a function runs in a thread and you need what it returns, or must know
    that it failed. A pool is the short way; :class:`ResultThread` is for one
    long job that must not wait for a free thread.

Prefer instead
    :mod:`cookbook.threads.thread_pool`, whose ``map`` raises the first error
    in the order of the items, not in time;
    :mod:`cookbook.threads.background_exceptions` for work whose value nobody
    waits for.

Pitfalls
    - Start all threads, then join them. Joining each one right after its
      start makes the work serial.
    - ``join(timeout)`` returns ``None`` too, whether the thread has ended or
      not: ask ``is_alive()`` afterwards.
    - Joining is not what keeps the program alive: at its end the interpreter
      waits for all threads that are not daemons, joined or not. Join to know
      that a result is there.
    - A test passes although a thread of it failed: the exception does not
      reach the test, and pytest only warns.

If a job raises
    the pool returns the error in the place of the value; ``result()`` raises
    it, with the traceback of the job. In a plain thread it goes to
    :func:`threading.excepthook`, which prints ``Exception in thread Thread-1
    (f):`` and the traceback on stderr. The main thread goes on, and the
    program ends with exit status 0. ``SystemExit`` is not even printed.

If it takes too long
    ``result(timeout)`` raises :exc:`TimeoutError`. The job runs on, and you
    can ask again.

On Ctrl-C
    ``result()`` raises :exc:`KeyboardInterrupt`. The job runs on, and you can
    ask again: it waits for an event, as a ``join()`` that is interrupted in
    Python 3.11 and 3.12 takes the thread for ended.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, ParamSpec, TypeVar

Item = TypeVar("Item")
P = ParamSpec("P")
R = TypeVar("R")


def outcomes(
    function: Callable[[Item], R], items: Iterable[Item], *, workers: int = 4
) -> list[R | BaseException]:
    """Call *function* for each item, in a pool of threads.

    Args:
        function: Called once for each item.
        items: All are taken before this function waits.
        workers: How many threads to use.

    Returns:
        For each item, in the order given, the value or the error. An error
        that *function* returns looks like one that it raises.

    Raises:
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.threads.thread_results import outcomes
        >>> outcomes(len, ["four", 4])
        [4, TypeError("object of type 'int' has no len()")]
    """
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(function, item) for item in items]
    found: list[R | BaseException] = []
    for future in futures:
        error = future.exception()
        found.append(future.result() if error is None else error)
    return found


class ResultThread(threading.Thread, Generic[R]):
    """A thread that keeps what its function returns or raises.

    Args:
        function: What the thread runs.
        args: Its arguments.
        kwargs: Its keyword arguments.

    Example:
        >>> from cookbook.threads.thread_results import ResultThread
        >>> thread = ResultThread(max, [3, 5, 4], default=0)
        >>> thread.start()
        >>> thread.result()
        5
    """

    def __init__(
        self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        super().__init__()
        self._call = partial(function, *args, **kwargs)
        self._error: BaseException | None = None
        self._ended = threading.Event()

    def run(self) -> None:
        """Call the function; started by ``start()``."""
        try:
            self._value = self._call()
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()

    def result(self, timeout: float | None = None) -> R:
        """Wait for the thread; return the value or raise the error.

        Args:
            timeout: For how many seconds to wait; ``None`` is for ever.

        Raises:
            RuntimeError: If the thread was not started.
            TimeoutError: If the thread still runs after *timeout*.
        """
        self.join(timeout=0)  # raises if the thread was not started
        if not self._ended.wait(timeout):
            raise TimeoutError(f"{self.name} still runs after {timeout!r} s")
        self.join()
        if self._error is not None:
            raise self._error
        return self._value


def main() -> None:
    """Turn two words into numbers, in a pool and in a thread each.

    >>> main()
    pool: [4, ValueError("invalid literal for int() with base 10: 'five'")]
    thread: 4
    thread: ValueError("invalid literal for int() with base 10: 'five'")
    """
    words = ["4", "five"]
    print("pool:", outcomes(int, words))
    threads = [ResultThread(int, word) for word in words]
    for thread in threads:
        thread.start()
    for thread in threads:
        try:
            print("thread:", thread.result())
        except ValueError as error:
            print(f"thread: {error!r}")


def broken_outcomes(
    function: Callable[[Item], R], items: Iterable[Item]
) -> list[R | None]:
    """Call *function* for each item and return what ``join()`` returns.

    Warning:
        ``join()`` returns ``None`` whatever happened: the values are lost,
        and the errors do not come here. A ``try`` around ``start()`` and
        ``join()`` catches neither.
    """
    threads = [
        threading.Thread(target=function, args=(item,)) for item in items
    ]
    for thread in threads:
        thread.start()
    return list(map(threading.Thread.join, threads))


def broken_main() -> None:
    """Wait for two numbers that do not come, and for an error.

    >>> broken_main()
    Exception in thread: invalid literal for int() with base 10: 'five'
    results: [None, None]
    """

    def print_error(failed: threading.ExceptHookArgs) -> None:
        # The default prints this, and the traceback, on stderr.
        print("Exception in thread:", failed.exc_value)

    hook, threading.excepthook = threading.excepthook, print_error
    try:
        print("results:", broken_outcomes(int, ["4", "five"]))
    except ValueError:
        print("never reached")
    finally:
        threading.excepthook = hook


if __name__ == "__main__":
    main()
    broken_main()
