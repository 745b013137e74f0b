"""Choose the number of worker processes.

For CPU-bound jobs start as many workers as there are CPUs that the program may
use: more of them only take turns. On Python 3.13 and later ask
:func:`os.process_cpu_count`. Before that, ask ``len(os.sched_getaffinity(0))``
on Linux, and :func:`os.cpu_count` elsewhere, which counts the CPUs of the
whole machine.

None of them sees the CPU quota of a container (documented: CPython issue
149452). Read it from ``cpu.max``, or say from outside what is to count:
``PYTHON_CPU_COUNT=2`` or ``python -X cpu_count=2``, from Python 3.13.

:models: processes
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: every build, on Linux
:search: number of processes, how many workers, max_workers, os.cpu_count,
    os.process_cpu_count, sched_getaffinity, cpu count in docker, Kubernetes
    CPU limit, cgroup cpu.max, PYTHON_CPU_COUNT, -X cpu_count, taskset, slurm,
    multiprocessing uses only a single core after import numpy,
    max_workers must be <= 61 windows need at most 63 handles,
    "ValueError: max_workers must be <= 61",
    "ValueError: need at most 63 handles, got a sequence of length"

Use this when
    jobs are CPU-bound and the program runs in a container, under ``taskset``
    or a batch system, or on a machine that others use too.

Prefer instead
    the default from Python 3.13 on, where there is no quota:
    :class:`~concurrent.futures.ProcessPoolExecutor` and
    :class:`~multiprocessing.pool.Pool` start :func:`os.process_cpu_count`
    workers at most. On 3.11 and 3.12 it is :func:`os.cpu_count`.
    :mod:`cookbook.processes.oversubscription` when the jobs have threads.

Pitfalls
    - On Windows an executor takes 61 workers at most, for one call can wait
      for 63 handles: ``ValueError: max_workers must be <= 61``. Its default
      stops there too (documented:
      :class:`~concurrent.futures.ProcessPoolExecutor`). A pool with more than
      about 60 fails in a thread and hangs: ``ValueError: need at most 63
      handles, got a sequence of length 66`` (documented: CPython pull request
      13132, issues 89240 and 94243). Start 60 at most.
    - If all workers share one core after ``import numpy``, its BLAS library
      has changed the affinity, which workers inherit: look at
      ``os.sched_getaffinity(0)``. Keep what it returns before the import as
      ``cpus``, and let the initializer of the workers call
      ``os.sched_setaffinity(0, cpus)``; or set ``OPENBLAS_NUM_THREADS=1``
      before the import (documented: Stack Overflow 15639779). All CPUs of the
      machine would undo what ``taskset`` has set.
    - :func:`multiprocessing.cpu_count` is :func:`os.cpu_count`, on every
      Python.
    - The memory has to hold the data of all workers. It may be the tighter
      limit.
"""

import math
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")  # in a container, under cgroup v2


def usable_cpus() -> int:
    """Return how many CPUs this process may use.

    Example:
        >>> import os
        >>> from cookbook.processes.how_many_workers import usable_cpus
        >>> 1 <= usable_cpus() <= os.cpu_count()
        True
    """
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(path: Path = CPU_MAX) -> float:
    """Return how many CPUs' time the container may use; inf if unlimited.

    Args:
        path: A file with quota and period in microseconds, or with ``max`` for
            the quota. There is no limit if there is no such file.
    """
    try:
        quota, period = path.read_text(encoding="ascii").split()
    except OSError:
        return math.inf
    return math.inf if quota == "max" else int(quota) / int(period)


def workers_for(jobs: int, *, quota: float | None = None) -> int:
    """Return how many processes to start for *jobs* CPU-bound jobs.

    Args:
        jobs: How many jobs there are.
        quota: How many CPUs' time they may use; by default what
            :func:`cpu_quota` says.

    Raises:
        TypeError: If *jobs* is not an int.
        ValueError: If *jobs* or *quota* is negative, or *quota* nan.

    Example:
        >>> from cookbook.processes.how_many_workers import workers_for
        >>> workers_for(1), workers_for(1000, quota=0.5)
        (1, 1)
    """
    if isinstance(jobs, bool) or not isinstance(jobs, int):
        raise TypeError(f"jobs must be an int, not {jobs!r}")
    quota = cpu_quota() if quota is None else quota
    if not (jobs >= 0 and quota >= 0):
        raise ValueError(f"not 0 or more: {jobs=}, {quota=}")
    limits = [jobs, usable_cpus()]
    if quota < math.inf:
        limits.append(math.ceil(quota))
    if os.name == "nt":
        limits.append(60)
    return max(1, min(limits))


@contextmanager
def on_one_cpu() -> Iterator[None]:
    """Let the block use one CPU, as ``taskset`` does; Linux has this."""
    if not hasattr(os, "sched_setaffinity"):
        raise RuntimeError("this system does not set CPU affinity")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def main() -> None:
    """Ask on one CPU of the machine, and read the quota of a container.

    >>> main()
    on one CPU, workers: 1
    a quota of 150000 in 100000 microseconds: 1.5 CPUs
    """
    with on_one_cpu():
        print("on one CPU, workers:", workers_for(100))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cpu.max")
        path.write_text("150000 100000\n", encoding="ascii")
        print("a quota of 150000 in 100000 microseconds:", end=" ")
        print(cpu_quota(path), "CPUs")


def broken_workers() -> int:
    """Return how many CPUs the machine has.

    Warning:
        The program may be confined to a few of them. Then the workers take
        turns, each with all the memory it needs.
    """
    return os.cpu_count() or 1


def broken_main() -> None:
    """Ask on one CPU of a machine that has several.

    >>> broken_main()
    on one CPU, more workers than one: True
    """
    with on_one_cpu():
        print("on one CPU, more workers than one:", broken_workers() > 1)


if __name__ == "__main__":
    main()
    broken_main()
