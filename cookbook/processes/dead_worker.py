"""Go on when a worker process dies.

A worker can die in the midst of a job: the system kills it when memory runs
out, C code crashes, someone calls ``os._exit``. The executor then ends its
other workers too. Whatever has no result by then raises
:exc:`~concurrent.futures.process.BrokenProcessPool`, with nothing to say which
job was to blame, and the executor takes no more jobs.

Keep the results that are there, and run what is left in a new executor. Jobs
are handed out in order, so the one whose worker died is among the first that
are left, at most one for each worker. Run those alone, each in an executor of
its own: what kills that worker, as often as you are ready to try, is the job.
Alone, it also has the memory for itself.

:models: processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: BrokenProcessPool, worker died, OOM killer,
    worker killed by OOM killer, out of memory, killed,
    segmentation fault in a worker, recover, retry, restart the executor,
    which job crashed, exit code -9, exit code -11, os._exit,
    BrokenProcessPool A process in the process pool was terminated abruptly,
    initializer failed, "Exception in initializer:",
    "concurrent.futures.process.BrokenProcessPool",
    "A process in the process pool was terminated abruptly while the future
    was running or pending.",
    "A child process terminated abruptly, the process pool is not usable
    anymore"

Use this when
    jobs may take their worker down, and the others have to be done.

Prefer instead
    to mend the job, once you know which it is. Fewer workers, or smaller
    jobs, when memory runs out. :mod:`cookbook.processes.worker_exceptions`
    for a job that raises.

Pitfalls
    - What is run again may have run before, to its end or halfway. Retry only
      jobs that may be done twice.
    - The exit code says how a worker died: ``-9`` is SIGKILL, on Linux
      often for want of memory (the kernel's log says so: ``dmesg``); ``-11``
      is a crash in C code, of which ``python -X faulthandler`` prints the
      place, in workers too. From Python 3.15 the cause of the error names it,
      as a rule. Before, run the job in a
      :class:`~multiprocessing.Process` and look at its ``exitcode``.
    - If every job fails in this way, workers cannot start: the main guard is
      missing (:mod:`cookbook.processes.main_guard`), or the *initializer*
      raises, and ``Exception in initializer:`` is logged.
    - If the worker is killed while it sends a large answer, the executor does
      not notice, and waits for ever: :mod:`cookbook.processes.ctrl_c_pools`.
      So it does if an idle worker is killed while the executor shuts down:
      the others wait for the lock that it held.
    - :class:`multiprocessing.pool.Pool` replaces the worker, and waits for the
      lost job for ever: see :mod:`cookbook.processes.pool_map`.

If a job raises
    the error is raised when the jobs that were started with it have ended,
    and the results are lost.

If it takes too long
    nothing ends it: see :mod:`cookbook.processes.stuck_worker`.
"""

import contextlib
import functools
import multiprocessing
import os
import tempfile
import textwrap
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def run_in_new_executor(
    job: Callable[[T], R],
    items: dict[int, T],
    workers: int,
    context: BaseContext,
) -> dict[int, R | BrokenProcessPool]:
    """Return the result of each job, or the error if there is none.

    What was not handed out when a worker died is left out.
    """
    futures: dict[int, Future[R]] = {}
    with (
        contextlib.suppress(BrokenProcessPool),  # raised by submit
        ProcessPoolExecutor(workers, mp_context=context) as executor,
    ):
        for number, item in items.items():
            futures[number] = executor.submit(job, item)
    answers: dict[int, R | BrokenProcessPool] = {}
    for number, future in futures.items():
        try:
            answers[number] = future.result()
        except BrokenProcessPool as error:
            answers[number] = error
    return answers


def map_with_retries(
    job: Callable[[T], R],
    items: Iterable[T],
    *,
    attempts: int = 2,
    workers: int = 2,
    context: BaseContext | None = None,
) -> list[R | BrokenProcessPool]:
    """Return the result of each job, or the error if it kills its worker.

    Args:
        job: A function at the top level of a module, which may be called
            again with the same item.
        items: One for each job.
        attempts: How often to run a job alone before it is given up.
        workers: How many processes to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        ValueError: If *attempts* or *workers* is less than 1.

    Example:
        >>> from cookbook.processes.dead_worker import map_with_retries
        >>> map_with_retries(abs, [-1, -2, -3])
        [1, 2, 3]
    """
    for name, value in ("attempts", attempts), ("workers", workers):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    context = context or multiprocessing.get_context()
    left = dict(enumerate(items))
    answers: dict[int, R | BrokenProcessPool] = {}
    while left:
        answers |= run_in_new_executor(job, left, workers, context)
        left = {n: left[n] for n in left if is_lost(answers, n)}
        for n in list(left)[:workers]:
            alone = {n: left.pop(n)}
            for _ in range(attempts):
                answers |= run_in_new_executor(job, alone, 1, context)
                if not is_lost(answers, n):
                    break
    return list(answers.values())  # in the order of the items


def is_lost(answers: dict[int, R | BrokenProcessPool], number: int) -> bool:
    """Tell whether the job of this number has no result."""
    answer = answers.get(number, BrokenProcessPool())
    return isinstance(answer, BrokenProcessPool)


def work(name: str, *, folder: str) -> str:
    """Return a text, if this process does not die of *name*."""
    mark = Path(folder, name)
    if name == "always" or (name == "once" and not mark.exists()):
        mark.touch()
        os._exit(3)  # as a crash does: at once, and with no exception
    return "done"


def main() -> None:
    """Run four jobs; one kills its worker once, and one always.

    >>> main()
    never: done
    once: done
    always: BrokenProcessPool
    never: done
    """
    names = ["never", "once", "always", "never"]
    with tempfile.TemporaryDirectory() as folder:
        job = functools.partial(work, folder=folder)
        answers = map_with_retries(job, names)
    for name, answer in zip(names, answers, strict=True):
        lost = isinstance(answer, BrokenProcessPool)
        print(f"{name}:", type(answer).__name__ if lost else answer)


def broken_map_with_retries(
    job: Callable[[T], R],
    items: Iterable[T],
    *,
    attempts: int,
    context: BaseContext | None = None,
) -> list[R]:
    """Run all the jobs again, in the same executor.

    Warning:
        An executor that has lost a worker refuses every further job. In a new
        one, all that had a result would be done again, until the same job
        kills again.
    """
    jobs = list(items)
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        for attempt in range(attempts):
            try:
                return list(executor.map(job, jobs))
            except BrokenProcessPool as error:
                print(f"attempt {attempt + 1}:")
                print(textwrap.fill(str(error), width=75))
    return []


def broken_main() -> None:
    """Retry a job that would work the second time.

    >>> broken_main()
    attempt 1:
    A process in the process pool was terminated abruptly while the future was
    running or pending.
    attempt 2:
    A child process terminated abruptly, the process pool is not usable anymore
    results: []
    """
    with tempfile.TemporaryDirectory() as folder:
        job = functools.partial(work, folder=folder)
        results = broken_map_with_retries(job, ["once"], attempts=2)
    print("results:", results)


if __name__ == "__main__":
    main()
    broken_main()
