"""Take the answers of a pool's workers as they come.

:meth:`~multiprocessing.pool.Pool.imap_unordered` gives an answer as soon as
it is there, :meth:`~multiprocessing.pool.Pool.imap` in the order of the items,
:meth:`~multiprocessing.pool.Pool.map` all of them in a list at the end. An
answer does not say which item it is for, so let the job return the item along
with it, and catch an error in the job for the same reason.

Read the answers inside the with-block: leaving it terminates the workers,
whatever they run. The methods differ in what they give, and when:

.. list-table::
   :header-rows: 1

   * - Method
     - Calls
     - Gives
   * - ``apply``
     - ``job(*args, **kwargs)``
     - the answer, when it is there
   * - ``apply_async``
     - ``job(*args, **kwargs)``
     - at once an :class:`~multiprocessing.pool.AsyncResult`; its ``get()``
       waits and returns the answer, or raises the job's error
   * - ``map``
     - ``job(item)`` for each
     - a list in order, when all are there
   * - ``map_async``
     - ``job(item)`` for each
     - at once an ``AsyncResult`` of that list
   * - ``imap``
     - ``job(item)`` for each
     - at once an iterator, in order
   * - ``imap_unordered``
     - ``job(item)`` for each
     - at once an iterator, first the answer that is there first
   * - ``starmap``, ``starmap_async``
     - ``job(*item)`` for each
     - what ``map`` and ``map_async`` give

:models: processes
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: pool map vs imap vs apply_async vs map_async, imap_unordered, imap,
    apply, AsyncResult, results as they complete, progress bar, which input
    does a result belong to, exception in multiprocessing pool not detected
    apply_async no error, error_callback, exception disappears, nothing
    printed, with Pool apply_async nothing happens terminate, pool does not run
    jobs, multiprocessing.TimeoutError, order of results,
    "multiprocessing.context.TimeoutError"

Use this when
    jobs take unequal time and each answer is of use at once: it is shown,
    saved, or counted by a progress bar.

Prefer instead
    :mod:`cookbook.threads.as_completed` for the same with an executor: it
    works with processes too, and each future keeps its own error. ``map``
    when nothing can be done before the last answer.

Pitfalls
    - ``apply`` waits for its one call, so a loop over it keeps one worker
      busy and the others idle.
    - :exc:`multiprocessing.TimeoutError` is not the built-in
      :exc:`TimeoutError`: catch it by its full name.
    - With a chunk size above 1, answers come chunk by chunk, the iterator has
      no ``next(timeout)``, and an error ends it
      (:mod:`cookbook.processes.chunk_size`).
    - The items of ``imap`` are read by a thread of the pool, ahead of the
      answers that you have asked for.

If a job raises
    here its traceback comes in place of the answer, and the other answers
    still come. Without that, the error of ``imap`` and ``imap_unordered`` is
    raised by the loop and ends it. The error of ``apply_async`` is raised by
    ``get()`` alone, or given to ``error_callback``.

If it takes too long
    *timeout* is for one answer: :exc:`multiprocessing.TimeoutError` is raised
    when none has come for so long, and the workers are terminated. They are,
    too, when you leave the loop by ``break`` and nothing keeps the iterator.

If a worker is killed
    its job is lost, and only a *timeout* ends the wait for the answer.
"""

import math
import multiprocessing
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

from cookbook.primes import WORKERS, checked, is_prime

T = TypeVar("T")
R = TypeVar("R")

# A worker leaves Ctrl-C to the parent, which terminates the pool.
IGNORE_CTRL_C = (signal.signal, (signal.SIGINT, signal.SIG_IGN))


def attempt(function: Callable[[T], R], item: T) -> tuple[T, R | None, str]:
    """Return *item*, the answer for it, and the traceback if there is none.

    Example:
        >>> from cookbook.processes.results_as_they_come import attempt
        >>> attempt(len, "four")
        ('four', 4, '')
    """
    try:
        return item, function(item), ""
    except Exception:
        return item, None, traceback.format_exc()


def answers_as_they_come(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int = WORKERS,
    timeout: float | None = None,
    context: BaseContext | None = None,
) -> Iterator[tuple[T, R | None, str]]:
    """Yield each item with its answer, the first that is there first.

    Nothing starts before you ask for the first answer.

    Args:
        function: Called with one item in a worker; a function of a module.
        items: All of them are read before a process is started.
        workers: How many processes to start.
        timeout: How many seconds to wait for one answer at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Yields:
        The item, the answer and an empty text; if the job raised, the item,
        ``None`` and the traceback.

    Raises:
        multiprocessing.TimeoutError: If no answer came in time.
        TypeError: If *items* is not iterable or *workers* not an int.
        ValueError: If *workers* is less than 1 or *timeout* is not a positive
            number.

    Example:
        >>> from cookbook.processes.results_as_they_come import *
        >>> for word, length, _ in answers_as_they_come(len, ["four"]):
        ...     print(word, length)
        four 4
    """
    checked((), workers)
    if timeout is not None and not 0 < timeout < math.inf:
        raise ValueError(f"timeout must be positive, not {timeout!r}")
    jobs = list(items)
    context = context or multiprocessing.get_context()
    with context.Pool(workers, *IGNORE_CTRL_C) as pool:
        answers = pool.imap_unordered(partial(attempt, function), jobs)
        for _ in jobs:
            yield answers.next(timeout)


def answers_of_apply_async(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[R]:
    """Start a call for each item, then get every answer, in order.

    Args:
        function: Called with one item in a worker; a function of a module.
        items: What to call it with.
        workers: How many processes to start.
        context: The start method's context, as above.

    Raises:
        Exception: What a job raised; the others are then terminated.

    Example:
        >>> from cookbook.processes.results_as_they_come import *
        >>> answers_of_apply_async(abs, [-3, 5], workers=1)
        [3, 5]
    """
    checked((), workers)
    jobs = list(items)
    context = context or multiprocessing.get_context()
    with context.Pool(workers, *IGNORE_CTRL_C) as pool:
        results = [pool.apply_async(function, (job,)) for job in jobs]
        return [result.get() for result in results]


def main() -> None:
    """Test what is no number along with two numbers.

    >>> main()
    97: True
    eight: TypeError: n must be an int, not 'eight'
    100: False
    get: TypeError: n must be an int, not 'eight'
    """
    numbers: list[Any] = [97, "eight", 100]
    found: dict[object, object] = {}
    for n, prime, error in answers_as_they_come(is_prime, numbers, workers=2):
        found[n] = error.splitlines()[-1] if error else prime
    for n in numbers:
        print(f"{n}: {found[n]}")
    try:
        answers_of_apply_async(is_prime, numbers, workers=2)
    except TypeError as error:
        print("get: TypeError:", error)


def broken_leave_the_block(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int,
    context: BaseContext | None = None,
) -> list[Callable[[float], R]]:
    """Start a call for each item, and get the answers later.

    Warning:
        Leaving the with-block of a pool terminates its workers. What has not
        ended by then never does; no error is raised, and ``get()`` without a
        timeout waits for ever. An executor's with-block waits for its jobs.
    """
    context = context or multiprocessing.get_context()
    with context.Pool(workers) as pool:
        return [pool.apply_async(function, (item,)).get for item in items]


def broken_never_get(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int,
    context: BaseContext | None = None,
) -> None:
    """Start a call for each item, and wait until all have ended.

    Warning:
        ``close()`` and ``join()`` wait for the jobs but raise no error of
        theirs. It is kept in the result that nobody has kept.
    """
    context = context or multiprocessing.get_context()
    with context.Pool(workers) as pool:
        for item in items:
            pool.apply_async(function, (item,))
        pool.close()
        pool.join()


def broken_main() -> None:
    """Leave the with-block while a job runs; then never get an answer.

    >>> broken_main()
    with-block left, workers: 0
    get: TimeoutError
    closed and joined: no error
    """
    [get] = broken_leave_the_block(time.sleep, [60], workers=1)
    workers = multiprocessing.active_children()
    print("with-block left, workers:", len(workers))
    try:
        get(0.1)
    except multiprocessing.TimeoutError:
        print("get: TimeoutError")
    no_number: Any = "eight"
    broken_never_get(is_prime, [no_number], workers=1)
    print("closed and joined: no error")


if __name__ == "__main__":
    main()
    broken_main()
