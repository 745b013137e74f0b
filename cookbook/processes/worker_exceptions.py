"""See what a job raised in a worker process, and where.

An exception crosses to the parent as a pickle, which has no traceback. The
executor sends that along as text and chains it to the exception, so that it
is printed above ``The above exception was the direct cause of the following
exception:``. Ask each future for its own outcome, and one error costs no other
answer.

What is pickled has to be unpickled. That calls the exception's class with
:attr:`~BaseException.args`, which is what went to ``super().__init__``: pass
all the arguments on, and write the text in ``__str__``. For exceptions that
you did not write, try it in the worker.

:models: processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:told by: ``pickle.loads(pickle.dumps(error))``, which raises the same error
    with no process
:search: RemoteTraceback, multiprocessing traceback, original error,
    original traceback, exception in worker process, which job failed,
    exception cannot be pickled, Pool hangs after exception, custom exception,
    exception in multiprocessing pool not detected apply_async no error,
    error_callback, return_exceptions, sys.exit in a worker, cannot pickle,
    "concurrent.futures.process._RemoteTraceback:",
    "multiprocessing.pool.RemoteTraceback:",
    "The above exception was the direct cause of the following exception:",
    "multiprocessing.pool.MaybeEncodingError: Error sending result:",
    "TypeError: cannot pickle '_thread.lock' object",
    "__init__() missing 1 required positional argument",
    "AssertionError: Cannot have cache with result_handler not alive"

Use this when
    some jobs may fail, and you want the answers of the others, and to know
    which job failed and at which line.

Prefer instead
    :mod:`cookbook.processes.executor_map` when the first error ends it all.
    Return the error as a value when it is an expected answer.

Pitfalls
    - The traceback of the worker is text: ``str(error.__cause__)``. It is a
      ``concurrent.futures.process._RemoteTraceback``; in a pool, a
      ``multiprocessing.pool.RemoteTraceback``.
    - An exception that cannot be unpickled stops the thread that reads a
      pool's answers: whatever waits for one waits for ever. The only sign is a
      traceback of ``_handle_results`` on standard error. ``terminate()`` then
      raises ``AssertionError: Cannot have cache with result_handler not
      alive``, which some releases spell ``result_hander``.
    - With a class whose ``__init__`` takes just the one argument that it
      makes its text from, nothing fails: the text is made of the text.
    - ``multiprocessing.pool.MaybeEncodingError: Error sending result: ...
      Reason: 'TypeError("cannot pickle '_thread.lock' object")'`` is no error
      of the job. It ran, but what it returned, or raised, cannot be pickled,
      such as a lock, a generator, a client. Return plain data. An executor
      raises the ``TypeError`` itself.
    - ``pool.apply_async`` keeps an error for ``get()``; ``close()`` and
      ``join()`` say nothing. Keep what it returns and call ``get()``, or pass
      ``error_callback=``.
    - ``sys.exit()`` in a job of an executor is the error of that job. In a
      pool it ends the worker, and the job is waited for for ever.
    - A :class:`~multiprocessing.Process` prints its traceback on standard
      error, and the parent sees nothing but exit code 1. To have the error
      there, send ``traceback.format_exc()`` through a pipe or a queue.

If a job raises
    its place in the list holds the exception, and the other jobs run.

If a worker is killed
    the answers that were there stay, and every other place holds a
    :exc:`~concurrent.futures.process.BrokenProcessPool`; if jobs are still
    being handed out, that is raised. See
    :mod:`cookbook.processes.dead_worker`.
"""

import multiprocessing
import pickle
import statistics
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class PayError(Exception):
    """More is to be paid than is there.

    Example:
        >>> import pickle
        >>> from cookbook.processes.worker_exceptions import PayError
        >>> pickle.loads(pickle.dumps(PayError(500, 100)))
        PayError(500, 100)
        >>> print(PayError(500, 100))
        500 is more than 100
    """

    def __init__(self, amount: int, balance: int) -> None:
        super().__init__(amount, balance)  # pickle hands these back

    def __str__(self) -> str:
        """Say what was to be paid."""
        amount, balance = self.args
        return f"{amount} is more than {balance}"


def pay(amount: int) -> int:
    """Return what is left of 100."""
    if amount > 100:
        raise PayError(amount, 100)
    return 100 - amount


def call(job: Callable[[T], R], item: T) -> R:
    """Call *job* in a worker; let its error cross, if only as text.

    Raises:
        Exception: What *job* raises; a :exc:`RuntimeError` with its text if
            it cannot be pickled or unpickled.
    """
    try:
        return job(item)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            text = f"{type(error).__name__}: {error}"
            raise RuntimeError(text) from error
        raise


def outcome(future: Future[R]) -> R | BaseException:
    """Wait for *future*; return its result or its exception."""
    error = future.exception()
    return future.result() if error is None else error


def map_keeping_errors(
    job: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int = 2,
    context: BaseContext | None = None,
) -> list[R | BaseException]:
    """Return for each item what its job returned, or what it raised.

    Args:
        job: A function at the top level of a module.
        items: One for each job.
        workers: How many processes to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.processes.worker_exceptions import *
        >>> map_keeping_errors(pay, [30, 500])
        [70, PayError(500, 100)]
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        futures = [executor.submit(call, job, item) for item in items]
    return list(map(outcome, futures))


def main() -> None:
    """Take three means, one of nothing; unpickle an error of one's own.

    >>> main()
    [1, 2]: 1.5
    []: StatisticsError: fmean requires at least one data point
    raised in: fmean
    [7]: 7.0
    unpickled: PayError: 500 is more than 100
    """
    rows: list[list[int]] = [[1, 2], [], [7]]
    answers = map_keeping_errors(statistics.fmean, rows)
    for row, answer in zip(rows, answers, strict=True):
        if isinstance(answer, BaseException):
            print(f"{row}: {type(answer).__name__}: {answer}")
            where = str(answer.__cause__).rpartition(", in ")[2].split()[0]
            print("raised in:", where)
        else:
            print(f"{row}: {answer}")
    error = pickle.loads(pickle.dumps(PayError(500, 100)))
    print(f"unpickled: {type(error).__name__}: {error}")


class BrokenPayError(Exception):
    """More is to be paid than is there.

    Warning:
        Its *args* are one text, since that is what ``super().__init__`` got.
        Unpickling calls ``BrokenPayError(text)``, and that is one argument
        too few.
    """

    def __init__(self, amount: int, balance: int) -> None:
        super().__init__(f"{amount} is more than {balance}")


def broken_pay(amount: int) -> int:
    """Return what is left of 100."""
    if amount > 100:
        raise BrokenPayError(amount, 100)
    return 100 - amount


def broken_main() -> None:
    """Pay three times; unpickle the error, with no process.

    >>> broken_main()
    all three answers: BrokenProcessPool
    TypeError:
    BrokenPayError.__init__() missing 1 required positional argument: 'balance'
    """
    try:
        with ProcessPoolExecutor(2) as executor:
            print(list(executor.map(broken_pay, [30, 500, 99])))
    except BrokenProcessPool:
        print("all three answers: BrokenProcessPool")
    try:
        pickle.loads(pickle.dumps(BrokenPayError(500, 100)))
    except TypeError as error:
        print(f"TypeError:\n{error}")


if __name__ == "__main__":
    main()
    broken_main()
