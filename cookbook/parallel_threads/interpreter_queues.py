"""Pass data between interpreters with a queue.

From Python 3.14 ``concurrent.interpreters.create_queue()`` makes a queue that
several interpreters can use. None, bool, int, float, str, bytes, memoryviews,
queues and tuples of these cross directly. Anything else crosses as a copy, if
it can be pickled. What cannot, such as a lock, an open file or a generator,
ends in ``NotShareableError``: send data instead, and open files or make locks
where they are used.

An item belongs to the interpreter that put it in. So read what is in the queue
before you close that interpreter.

:models: interpreters
:work: CPU-bound
:level: expert
:since: 3.14
:trap: every build from 3.14
:search: create_queue, interpreter queue, share data between subinterpreters,
    concurrent.interpreters.Queue, cross-interpreter data, is_shareable,
    UNBOUND, ItemInterpreterDestroyed, memoryview between interpreters, pickle
    subinterpreters, QueueEmpty, timeout,
    "concurrent.interpreters.NotShareableError",
    "does not support cross-interpreter data",
    "concurrent.interpreters._queues.UNBOUND",
    "RuntimeWarning: remaining subinterpreters; close them with
    Interpreter.close()"

Use this when
    an interpreter runs for long and takes its work piece by piece, or tells
    how far it is.

Prefer instead
    :mod:`cookbook.parallel_threads.interpreter_pool` for calls that have an
    argument and an answer: it sends both for you.

Pitfalls
    - A list that arrives is another list: changes to it stay there. A
      memoryview is no copy: both interpreters see one memory, and no lock
      guards it.
    - ``get(timeout=0.9)`` does not wait at all: the timeout is cut to whole
      seconds (observed on 3.14 and 3.15). After it ``QueueEmpty`` is raised,
      which is a :exc:`queue.Empty` too.
    - ``get()`` looks every 10 milliseconds (observed on 3.14 and 3.15). Do not
      send many small items back and forth.
    - A :class:`queue.Queue` is for threads; it cannot cross.
    - ``interpreters.is_shareable()`` says of a tuple that it crosses
      directly, whatever is in it.
    - An interpreter that nobody closes makes Python say ``RuntimeWarning:
      remaining subinterpreters`` at exit.

If a job raises
    the worker ends, and so does the loop that reads the answers, since the
    end of the worker puts the last item. Then ``result()`` raises an
    ``ExecutionFailed`` that tells the error. The answers are lost.
"""

import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import ModuleType
from typing import Any


def needs_interpreters() -> ModuleType:
    """Return the module ``concurrent.interpreters``.

    Raises:
        RuntimeError: If this Python is older than 3.14.
    """
    if sys.version_info >= (3, 14):
        from concurrent import interpreters

        return interpreters
    raise RuntimeError("subinterpreters need Python 3.14 or later")


def add_up(jobs: Any, answers: Any) -> None:
    """Put the sum of each list in *jobs* into *answers*, until None comes."""
    for numbers in iter(jobs.get, None):
        answers.put(sum(numbers))


def sums(lists: Iterable[list[int]]) -> list[int]:
    """Add up each list in another interpreter, one after the other.

    Args:
        lists: They may come slowly: the other interpreter works meanwhile.

    Raises:
        RuntimeError: If this Python is older than 3.14.
        concurrent.interpreters.ExecutionFailed: If one of *lists* holds
            something else than numbers.

    Example:
        >>> from cookbook.parallel_threads.interpreter_queues import sums
        >>> sums([[1, 2], [3]])  # 3.14 and later
        [3, 3]
    """
    interpreters = needs_interpreters()
    jobs, answers = interpreters.create_queue(), interpreters.create_queue()
    with (
        closing(interpreters.create()) as interpreter,
        ThreadPoolExecutor(max_workers=1) as pool,
    ):
        try:
            worker = pool.submit(interpreter.call, add_up, jobs, answers)
            worker.add_done_callback(lambda _: answers.put(None))
            for numbers in lists:
                jobs.put(numbers)
        finally:
            jobs.put(None)  # or the worker would wait for ever
        found = list(iter(answers.get, None))
        worker.result()
    return found


def main() -> None:
    """Add up three lists in another interpreter.

    >>> main()  # 3.14 and later
    sums: [3, 7, 0]
    >>> main()  # 3.11 to 3.13
    subinterpreters need Python 3.14 or later
    """
    try:
        print("sums:", sums([[1, 2], [3, 4], []]))
    except RuntimeError as error:
        print(error)


def broken_sums(lists: list[list[int]]) -> list[int]:
    """Close the interpreter, and then read what it has put into the queue.

    Args:
        lists: As for :func:`sums`.

    Warning:
        With the interpreter its items go. In their place ``get()`` returns a
        placeholder, ``UNBOUND``, and raises nothing.
    """
    interpreters = needs_interpreters()
    jobs, answers = interpreters.create_queue(), interpreters.create_queue()
    with closing(interpreters.create()) as interpreter:
        for numbers in [*lists, None]:
            jobs.put(numbers)
        interpreter.call(add_up, jobs, answers)
    return [answers.get() for _ in lists]


def broken_sum_of_squares(lists: Iterable[list[int]]) -> list[int]:
    """Send a generator for each list.

    Args:
        lists: As for :func:`sums`.

    Warning:
        A generator is code that has stopped halfway in this interpreter. It
        cannot be pickled, so it cannot cross. Send a list.
    """
    squares: Any = [(n * n for n in numbers) for numbers in lists]
    return sums(squares)


def broken_main() -> None:
    """Read answers too late, and send a generator.

    >>> broken_main()  # 3.14 and later
    concurrent.interpreters._queues.UNBOUND
    concurrent.interpreters._queues.UNBOUND
    NotShareableError:
    <generator object ...> does not support cross-interpreter data
    >>> broken_main()  # 3.11 to 3.13
    subinterpreters need Python 3.14 or later
    """
    try:
        print(*broken_sums([[1, 2], [3, 4]]), sep="\n")
    except RuntimeError as error:
        print(error)
        return
    try:
        broken_sum_of_squares([[1, 2], [3, 4]])
    except needs_interpreters().NotShareableError as error:
        print(f"{type(error).__name__}:\n{error}")


if __name__ == "__main__":
    main()
    broken_main()
