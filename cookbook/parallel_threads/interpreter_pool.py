"""Run CPU-bound jobs with InterpreterPoolExecutor.

From Python 3.14 ``concurrent.futures.InterpreterPoolExecutor`` runs its jobs
in interpreters, one for each worker thread. An interpreter has a GIL of its
own, so the jobs run in parallel on every build, inside one process.
You use it like a :class:`~concurrent.futures.ThreadPoolExecutor`.

An interpreter shares no module, no global and no lock with yours: it imports
the module of the job again. What goes in and comes back is copied. So a job
takes all that it needs as arguments, and returns all that it has found.

:models: interpreters
:work: CPU-bound
:level: everyday
:since: 3.14
:trap: every build from 3.14
:search: InterpreterPoolExecutor, subinterpreters, subinterpreters example,
    sub-interpreter, concurrent.interpreters, PEP 734, PEP 684, per-interpreter
    GIL, parallel without multiprocessing, InterpreterPoolExecutor vs
    ProcessPoolExecutor, InterpreterPoolExecutor vs ThreadPoolExecutor, global
    variable not shared, initializer, interpreters.create, call_in_thread,
    "ImportError: cannot import name 'InterpreterPoolExecutor' from
    'concurrent.futures'", "ModuleNotFoundError: No module named
    'concurrent.interpreters'", "RuntimeError: subinterpreters need Python 3.14
    or later", "concurrent.interpreters.ExecutionFailed", "Uncaught in the
    interpreter", "concurrent.interpreters.NotShareableError: args not
    shareable", "exception is not shareable", "BrokenInterpreterPool: A thread
    initializer failed, the thread pool is not usable anymore",
    "TypeError: scripts not supported"

Use this when
    the jobs are CPU-bound Python code with small arguments and answers that
    can be pickled. They run in parallel as processes do, start sooner than
    spawned ones and stay in one process (compared in
    :mod:`cookbook.parallel_threads.interpreters_or_processes`).

Prefer instead
    :mod:`cookbook.processes.executor_map` up to Python 3.13, where the import
    fails: ``cannot import name 'InterpreterPoolExecutor' from
    'concurrent.futures'``. Prefer it later too when a job may crash, or needs
    an extension module that refuses to load in a subinterpreter.

    :mod:`cookbook.threads.thread_pool` when the jobs wait, or when they share
    objects on a free-threaded build.

    ``concurrent.interpreters.create()`` for an interpreter that you drive by
    hand: ``exec(text)`` runs source text, ``call(function, ...)`` returns its
    answer, ``call_in_thread`` does the same in a new thread and drops the
    answer. Up to 3.13 there are private modules alone. On 3.13 the package
    ``interpreters-pep-734`` has an ``InterpreterPoolExecutor`` for trials, not
    for important things (documented: PyPI; seen to run on 3.13).

Pitfalls
    - Give a function of a module as the job. A lambda or a local function is
      sent as code, and works only if it uses nothing from around it: no
      closure, no global of the module, no default argument (builtins work).
      Otherwise: ``NotShareableError: ... does not support cross-interpreter
      data``.
    - To find a job of your script, an interpreter runs the script once more.
      Keep the guard (:mod:`cookbook.processes.main_guard`): without it the
      script ends in ``NotShareableError: args not shareable``.
    - ``initializer=`` and ``initargs=`` run a function in each interpreter
      before its first job: use it to fill the globals there. If it fails,
      every job ends with ``BrokenInterpreterPool``.
    - Globals stay from job to job, in each interpreter apart. Which
      interpreter takes a job is not yours to choose.

If a job raises
    ``result()`` raises the same error, with an ``ExecutionFailed`` as its
    cause that shows where in the interpreter it came from. An error that
    cannot be pickled stays there: then you get the ``ExecutionFailed`` alone,
    and a line ``exception is not shareable:`` on the standard error.

On Ctrl-C
    the interpreters are not told. :exc:`KeyboardInterrupt` leaves the function
    when the jobs that run have ended, as with threads.

If a worker is killed
    all is: a crash in one interpreter ends the process.
"""

import concurrent.futures
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cookbook.primes import WORKERS, count_primes, split_range

T = TypeVar("T")
R = TypeVar("R")


def map_in_interpreters(
    job: Callable[[T], R], items: Iterable[T], *, workers: int = WORKERS
) -> list[R]:
    """Call *job* with each item, in a pool of interpreters.

    Args:
        job: A function at the top level of a module.
        items: What to call it with.
        workers: How many interpreters to start at most.

    Returns:
        The answers, in the order of the items.

    Raises:
        TypeError: If *items* is not iterable.
        ValueError: If *workers* is less than 1.
        RuntimeError: If this Python is older than 3.14.

    Example:
        >>> import math
        >>> from cookbook.parallel_threads.interpreter_pool import *
        >>> map_in_interpreters(math.sqrt, [1, 4, 9])  # 3.14 and later
        [1.0, 2.0, 3.0]
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers!r}")
    jobs = list(items)
    if sys.version_info >= (3, 14):
        with concurrent.futures.InterpreterPoolExecutor(workers) as pool:
            return list(pool.map(job, jobs))
    raise RuntimeError("subinterpreters need Python 3.14 or later")


def primes_in(span: tuple[int, int]) -> int:
    """Return how many primes there are in *span*.

    Args:
        span: The first number, and the first that is left out.
    """
    return count_primes(*span)


def main() -> None:
    """Count primes in two interpreters, and add up what each has found.

    >>> main()  # 3.14 and later
    in each span: [367, 302, 281, 279]
    together: 1229
    >>> main()  # 3.11 to 3.13
    subinterpreters need Python 3.14 or later
    """
    spans = split_range(0, 10_000, 4)
    try:
        found = map_in_interpreters(primes_in, spans, workers=2)
    except RuntimeError as error:
        print(error)
    else:
        print("in each span:", found)
        print("together:", sum(found))


FOUND: list[int] = []
LOCK = threading.Lock()


def broken_primes_in(span: tuple[int, int]) -> None:
    """Put into a list how many primes there are in *span*.

    Args:
        span: As for :func:`primes_in`.

    Warning:
        This is right for threads. But each interpreter imports this module,
        and so makes a list and a lock of its own. The answers end up in lists
        that nobody reads, and two jobs can hold "the" lock at once.
    """
    count = count_primes(*span)
    with LOCK:
        FOUND.append(count)


def broken_main() -> None:
    """Collect answers in a global, from threads and from interpreters.

    >>> broken_main()  # 3.14 and later
    threads: 4 answers
    interpreters: 0 answers
    >>> broken_main()  # 3.11 to 3.13
    threads: 4 answers
    subinterpreters need Python 3.14 or later
    """
    spans = split_range(0, 10_000, 4)
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(broken_primes_in, spans))
    print("threads:", len(FOUND), "answers")
    FOUND.clear()
    try:
        map_in_interpreters(broken_primes_in, spans, workers=2)
        print("interpreters:", len(FOUND), "answers")
    except RuntimeError as error:
        print(error)


if __name__ == "__main__":
    main()
    broken_main()
