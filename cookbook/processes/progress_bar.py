"""Show a progress bar for a process pool.

Count the jobs as they end, in whatever order that is: submit them all, and
let :func:`~concurrent.futures.as_completed` give each future when it is done.
``map`` is of no use for that. ``Pool.map`` returns when all the jobs have
ended, and ``Executor.map`` gives results in the order of the input: while the
first job runs, the bar stands still, whatever the others have done.

:models: processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: progress bar for multiprocessing, multiprocessing progress bar tqdm
    imap_unordered, tqdm, tqdm with ProcessPoolExecutor, rich progress,
    pool.map progress, percentage done, how many jobs are left, callback,
    as_completed, progress bar does not move, progress bar jumps to 100 %

Use this when
    there are many jobs, and somebody watches.

Prefer instead
    - with tqdm (a package to install) ``for future in
      tqdm(as_completed(futures), total=len(futures)):`` in place of the loop
      and of ``show``; with rich ``for future in track(as_completed(futures),
      total=len(futures)):``. Without *total* neither knows how far it is.
    - ``pool.imap_unordered(function, items, chunksize)`` of a
      :class:`multiprocessing.pool.Pool` for very many short jobs: it also
      gives results as the jobs end. Have the job return its argument along
      with its result, for the order is lost.

Pitfalls
    - Draw in the parent. Bars that several workers draw overwrite each other.
    - With very many short jobs, do not draw for each of them. Ten times a
      second is enough; tqdm sees to that by itself (documented: tqdm).
    - ``callback=`` of ``apply_async`` and ``add_done_callback`` are called in
      a thread of the pool: lock what they change, or only put into a queue.
    - A log file is no terminal: there each state is a line of its own.

If a job raises
    the error is raised when the job has ended, not when its turn comes in the
    order of the input. Jobs that have not been sent are cancelled; those that
    run are waited for.

If a worker is killed
    :exc:`BrokenProcessPool <concurrent.futures.process.BrokenProcessPool>` is
    raised at once. With ``imap_unordered`` the bar stands still for ever.
"""

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
Show = Callable[[int, int], object]


def show_bar(done: int, total: int) -> None:
    """Draw a bar: in a terminal over the last one, else on a new line.

    Example:
        >>> from cookbook.processes.progress_bar import show_bar
        >>> show_bar(3, 4)
        [###############.....] 3/4
    """
    bar = ("#" * (20 * done // total)).ljust(20, ".")
    same_line = sys.stdout.isatty() and done < total
    print(f"[{bar}] {done}/{total}", end="\r" if same_line else "\n")
    sys.stdout.flush()


def map_with_progress(
    function: Callable[[T], R],
    items: Iterable[T],
    show: Show = show_bar,
    *,
    workers: int = 2,
    context: BaseContext | None = None,
) -> list[R]:
    """Call *function* for each item, in processes, and show how far it is.

    Args:
        function: A function of a module, which a worker can import.
        items: One for each job.
        show: Called with the number of jobs that have ended and that of all,
            each time that one ends.
        workers: How many processes to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Returns:
        The results in the order of *items*.

    Raises:
        ValueError: If *workers* is less than 1.
    """
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, context) as executor:
        try:
            futures = [executor.submit(function, item) for item in items]
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()  # raises the job's error, if it has one
                show(done, len(futures))
            return [future.result() for future in futures]
        finally:
            executor.shutdown(cancel_futures=True)


JOBS = 4


def job(folder: Path, n: int) -> int:
    """Make a file; the first job does so after all the others."""
    deadline = time.monotonic() + 60
    while n == 0 and len(list(folder.iterdir())) < JOBS - 1:
        if time.monotonic() > deadline:
            raise TimeoutError("the other jobs have not ended")
        time.sleep(0.001)
    (folder / str(n)).touch()
    return n


def main() -> None:
    """Run four jobs; the first of them takes longest.

    >>> main()
    [#####...............] 1/4
    [##########..........] 2/4
    [###############.....] 3/4
    [####################] 4/4
    results: [0, 1, 2, 3]
    """
    with tempfile.TemporaryDirectory() as name:
        results = map_with_progress(partial(job, Path(name)), range(JOBS))
    print("results:", results)


def broken_map_with_progress(
    function: Callable[[T], R],
    items: Iterable[T],
    show: Show = show_bar,
    *,
    workers: int = 2,
    context: BaseContext | None = None,
) -> list[R]:
    """Count the results as ``map`` gives them.

    Warning:
        ``map`` keeps the order of the input, so nothing is counted before the
        first job has ended. If that takes longest, the bar stays empty until
        all is done, and then is full at once.
    """
    jobs, results = list(items), []
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, context) as executor:
        for result in executor.map(function, jobs):
            results.append(result)
            show(len(results), len(jobs))
    return results


def broken_main() -> None:
    """Tell how many jobs have ended whenever the bar is drawn.

    >>> broken_main()
    1/4 shown, 4 done
    2/4 shown, 4 done
    3/4 shown, 4 done
    4/4 shown, 4 done
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def show(done: int, total: int) -> None:
            ended = len(list(folder.iterdir()))
            print(f"{done}/{total} shown, {ended} done")

        broken_map_with_progress(partial(job, folder), range(JOBS), show)


if __name__ == "__main__":
    main()
    broken_main()
