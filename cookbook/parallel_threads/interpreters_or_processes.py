"""Choose between threads, interpreters and processes.

All three run Python code in parallel: threads on a free-threaded build,
interpreters from Python 3.14, processes always. They differ in what a job
shares with the rest of the program.

=================  ===============  ================  ===========
a worker is a      thread           interpreter       process
=================  ===============  ================  ===========
runs in parallel   without the GIL  from Python 3.14  always
arguments          shared           copied            copied
globals            shared           one each          one each
``os.environ``     shared           one each          one each
current folder     shared           shared            one each
a crash ends       the program      the program       the worker
any extension      yes              no                yes
=================  ===============  ================  ===========

:func:`map_in_parallel` takes the first of the three that runs in parallel on
this Python. The jobs are the same for each: functions of a module that take
and return what can be pickled, and leave the rest alone.

:models: threads, interpreters, processes
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: every build from 3.14, and free-threaded builds
:search: free-threading vs subinterpreters vs multiprocessing, subinterpreters
    vs processes, interpreters or processes, threads or processes without the
    GIL, ProcessPoolExecutor or InterpreterPoolExecutor, choose an executor,
    isolation, start-up time, memory per worker, os.chdir, current directory
    shared, "does not support loading in subinterpreters", "RuntimeError: fork
    not supported for isolated subinterpreters", "RuntimeError: exec not
    supported for isolated subinterpreters", "RuntimeError: daemon threads are
    disabled in this (sub)interpreter", "ValueError: signal only works in main
    thread of the main interpreter"

Use this when
    CPU-bound jobs are to run in parallel on whatever Python they meet.

Prefer instead
    :mod:`cookbook.parallel_threads.threads_that_scale` where jobs share large
    objects: nothing is copied, but you need the free-threaded build, extension
    modules made for it, and locks.

    :mod:`cookbook.parallel_threads.interpreter_pool` for one process with
    objects apart, when all that the jobs import loads there.

    :mod:`cookbook.processes.executor_map` for every Python and every package,
    for a job that may crash, and for one that you may have to kill.

Pitfalls
    - What belongs to the process, all interpreters share: the current folder,
      the process id, the numbers of open files.
    - An extension module that is not made for it fails to import there:
      ``ImportError: module ... does not support loading in subinterpreters``.
      ``curses`` and ``readline`` are such (observed on 3.14 and 3.15).
    - In an interpreter ``os.fork`` and ``os.exec*`` raise a RuntimeError, a
      daemon thread cannot start, and :func:`signal.signal` raises a
      ValueError. ``subprocess`` works.
    - Up to its first answer an interpreter took half the time of a spawned
      process, and longer than one from a forkserver or a forked one. It took
      as much memory as a process from a forkserver, or up to half as much
      again (measured on Linux, 3.14 and 3.15).

If a job raises
    the same error is raised here, whatever the worker is.

If a worker is killed
    you have killed a process. An interpreter and a thread cannot be killed.
"""

import concurrent.futures
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import (
    Executor,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import TypeVar

from cookbook.primes import WORKERS, is_prime

T = TypeVar("T")
R = TypeVar("R")


def kind_of_worker() -> str:
    """Return ``"thread"``, ``"interpreter"`` or ``"process"``.

    It is the first of them that runs in parallel on this Python.
    """
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return "thread"
    return "interpreter" if sys.version_info >= (3, 14) else "process"


def map_in_parallel(
    job: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[R]:
    """Call *job* with each item, in workers that run in parallel.

    Args:
        job: A function at the top level of a module.
        items: What to call it with.
        workers: How many workers to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method, if it comes to processes.

    Returns:
        The answers, in the order of the items.

    Raises:
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.parallel_threads.interpreters_or_processes import (
        ...     map_in_parallel,
        ... )
        >>> map_in_parallel(abs, [-1, 2], workers=2)
        [1, 2]
    """
    executor: Executor
    kind = kind_of_worker()
    if kind == "thread":
        executor = ThreadPoolExecutor(workers)
    elif sys.version_info >= (3, 14):
        executor = concurrent.futures.InterpreterPoolExecutor(workers)
    else:
        executor = ProcessPoolExecutor(workers, mp_context=context)
    with executor:
        return list(executor.map(job, items))


def main() -> None:
    """Test four numbers in two workers.

    >>> main()  # 3.11 to 3.13, with the GIL
    process: [True, False, True, False]
    >>> main()  # 3.14 and later, with the GIL
    interpreter: [True, False, True, False]
    >>> main()  # without the GIL
    thread: [True, False, True, False]
    """
    found = map_in_parallel(is_prime, [2, 9, 97, 100], workers=2)
    print(f"{kind_of_worker()}: {found}")


def broken_count_files(folder: str) -> int:
    """Count the files of *folder*, from within.

    Warning:
        In a process of its own this is right. An interpreter and a thread
        have no current folder of their own: the whole program moves, and two
        jobs at once count files in each other's folder. Use the path.
    """
    os.chdir(folder)
    return len(list(Path().iterdir()))


def broken_main() -> None:
    """Count the files of an empty folder, and look where the program is.

    >>> broken_main()  # 3.11 to 3.13, with the GIL
    process: [0] files, the program has moved: False
    >>> broken_main()  # 3.14 and later, with the GIL
    interpreter: [0] files, the program has moved: True
    >>> broken_main()  # without the GIL
    thread: [0] files, the program has moved: True
    """
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        files = map_in_parallel(broken_count_files, [folder], workers=1)
        moved = Path.cwd() != here
        os.chdir(here)  # for Windows deletes no current folder
    kind = kind_of_worker()
    print(f"{kind}: {files} files, the program has moved: {moved}")


if __name__ == "__main__":
    main()
    broken_main()
