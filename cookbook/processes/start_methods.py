"""Give workers their settings under any start method.

Fork copies the parent with all that it holds. Spawn starts a fresh
interpreter, forkserver forks a server that was started fresh: under both, a
worker has what importing your module gives, and what you send it. So both need
the main guard (:mod:`cookbook.processes.main_guard`), and what you send has to
be picklable (:mod:`cookbook.processes.pickling`). Send what a job needs, as an
argument, or once to each worker through ``initializer``, and it works under
all three.

The default is spawn on macOS and Windows (which has no other). On Linux it is
fork up to Python 3.13 and forkserver from 3.14. Where it matters, name the
method: ``multiprocessing.get_context("spawn")`` starts the processes of that
context and leaves the program's default as it is. Fork starts a process
fastest, spawn slowest; forkserver is between them (measured on Linux, once the
server runs).

:models: processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, start methods spawn and forkserver
:search: fork, spawn, forkserver, fork vs spawn vs forkserver, start method,
    set_start_method, get_context, default start method, Python 3.14,
    global variable in child process, global not updated, initializer,
    initargs, per worker set-up,
    CUDA, PyTorch, gunicorn preload,
    "RuntimeError: context has already been set",
    "RuntimeError: Cannot re-initialize CUDA in forked subprocess. To use CUDA
    with multiprocessing, you must use the 'spawn' start method",
    "NameError: name 'factor' is not defined",
    "multi-threaded, use of fork() may lead to deadlocks in the child"

Use this when
    jobs need a setting, a connection or a table besides their own number.
    An argument is right for what is small. ``initializer`` is right for what
    is large or has to be opened in the worker: it runs once in each.

Prefer instead
    spawn or forkserver rather than fork in a program that has threads, its
    own or those of a library. A forked process has the locks of all threads
    but only one of the threads; a lock that another one held stays locked for
    ever.

Pitfalls
    Forking while threads run warns from Python 3.12: ``DeprecationWarning:
    This process (pid=...) is multi-threaded, use of fork() may lead to
    deadlocks in the child.``

    :func:`~multiprocessing.set_start_method` is for the main program, once. A
    second call raises ``RuntimeError: context has already been set``, and so
    does the first after a process was started in the default way. A library
    takes a context.

    A global that is set under the main guard is not there in a worker that was
    not forked: ``NameError: name 'factor' is not defined``. What stands
    outside the guard is there: see :mod:`cookbook.processes.main_guard`.

    ``RuntimeError: Cannot re-initialize CUDA in forked subprocess. To use CUDA
    with multiprocessing, you must use the 'spawn' start method``: use spawn
    or forkserver, since CUDA does not support fork (documented: PyTorch,
    *Multiprocessing best practices*). Where a server forks, such as gunicorn
    with ``--preload``, use CUDA in its workers alone, and not before
    (documented: PyTorch issue 68861).

If a job raises
    the error is raised again in the parent. If ``initializer`` raises, the
    parent gets :exc:`~concurrent.futures.process.BrokenProcessPool`, and the
    error itself is on the standard error of the worker. A
    :class:`~multiprocessing.pool.Pool` would replace the worker by one that
    fails in the same way, for ever.
"""

import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing.context import BaseContext

from cookbook.primes import WORKERS, checked

SETTINGS = {"factor": 1}


def multiply(n: int, factor: int) -> int:
    """Return *n* times *factor*."""
    return n * factor


def scale_by_argument(
    *,
    numbers: Iterable[int],
    factor: int,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[int]:
    """Multiply each number by *factor*, which is sent along with each.

    Args:
        numbers: What to multiply.
        factor: The setting that each job needs.
        workers: How many processes to start.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Example:
        >>> from cookbook.processes.start_methods import scale_by_argument
        >>> scale_by_argument(numbers=[1, 2, 3], factor=10, workers=1)
        [10, 20, 30]
    """
    jobs = checked(numbers, workers)
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        return list(executor.map(multiply, jobs, repeat(factor)))


def set_factor(factor: int) -> None:
    """Set the factor in the process that calls this."""
    SETTINGS["factor"] = factor


def multiply_by_setting(n: int) -> int:
    """Return *n* times the factor that is set in this process."""
    return n * SETTINGS["factor"]


def scale_by_initializer(
    *,
    numbers: Iterable[int],
    factor: int,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[int]:
    """Multiply each number by *factor*, which is sent to each worker once.

    Args:
        numbers: What to multiply.
        factor: The setting that each worker needs.
        workers: How many processes to start.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Example:
        >>> from cookbook.processes.start_methods import scale_by_initializer
        >>> scale_by_initializer(numbers=[1, 2, 3], factor=10, workers=1)
        [10, 20, 30]
    """
    jobs = checked(numbers, workers)
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(
        workers,
        mp_context=context,
        initializer=set_factor,
        initargs=(factor,),
    ) as executor:
        return list(executor.map(multiply_by_setting, jobs))


def main() -> None:
    """Multiply by ten under every start method that this system has.

    >>> main()
    scale_by_argument: [10, 20, 30]
    the same under every start method: True
    scale_by_initializer: [10, 20, 30]
    the same under every start method: True
    """
    methods = multiprocessing.get_all_start_methods()
    contexts = [multiprocessing.get_context(method) for method in methods]
    for scale in scale_by_argument, scale_by_initializer:
        first, *others = [
            scale(numbers=[1, 2, 3], factor=10, workers=1, context=context)
            for context in contexts
        ]
        same = all(other == first for other in others)
        print(f"{scale.__name__}:", first)
        print("the same under every start method:", same)


def broken_scale(
    *,
    numbers: Iterable[int],
    factor: int,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[int]:
    """Multiply each number by *factor*, which is set in the parent only.

    Warning:
        The parent changes its own ``SETTINGS``. A worker that was not forked
        from it imports the module and finds the first value, with no error.
    """
    set_factor(factor)
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        return list(executor.map(multiply_by_setting, numbers))


def broken_main() -> None:
    """Multiply by ten under every start method that this system has.

    >>> broken_main()
    under spawn: [1, 2, 3]
    right only under fork: True
    """
    found = {
        method: broken_scale(
            numbers=[1, 2, 3],
            factor=10,
            workers=1,
            context=multiprocessing.get_context(method),
        )
        for method in multiprocessing.get_all_start_methods()
    }
    print("under spawn:", found["spawn"])
    right = {method for method in found if found[method] == [10, 20, 30]}
    print("right only under fork:", right <= {"fork"})


if __name__ == "__main__":
    main()
    broken_main()
