"""Run an executor's jobs on a Dask cluster.

``Client.get_executor()`` of Dask's ``distributed`` returns an
:class:`~concurrent.futures.Executor`: ``map``, ``submit`` and the with-block
look like those of a process pool, and the jobs run on all machines of the
cluster. The differences are under Pitfalls. Without an address this recipe
starts a scheduler and workers of its own, on this machine; with the address of
a scheduler it uses those that run there.

Pass ``pure=False``. By default Dask takes every function for a pure one, whose
answer depends on its arguments alone: jobs with the same function and the same
arguments are then one job, which runs once and has one answer.

Run with Dask 2026.8 on Python 3.13 on Linux, on one machine.

:models: cluster
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: every build
:needs: dask[distributed]
:search: dask executor, Client.get_executor, ClientExecutor, LocalCluster,
    concurrent.futures on a cluster, ProcessPoolExecutor on several machines,
    dask same random number, dask job runs only once, pure=False, upload_file,
    dask function of my module on workers, wait_for_workers, dask hangs,
    "ModuleNotFoundError: No module named",
    "RuntimeError: Error during deserialization of the task graph. This
    frequently occurs if the Scheduler and Client have different
    environments.",
    "OSError: Timed out trying to connect to tcp://",
    "Could not serialize object of type LLGExpr",
    "TypeError: Dask no longer supports mapping over Iterators or Queues.",
    "unexpected arguments to map(): ['buffersize']"

Use this when
    the program has outgrown one machine and is written for an executor.

Prefer instead
    :mod:`cookbook.processes.executor_map` as long as one machine will do. It
    starts at once, where a cluster of one's own takes seconds, and needs
    nothing installed.

Pitfalls
    - A function of the program itself is sent along, a lambda too. One of a
      module that you import is sent by its name, and the scheduler and the
      workers import it: ``Error during deserialization of the task graph``,
      caused by :exc:`ModuleNotFoundError`, says that they cannot. Install the
      module there, or send it with ``client.upload_file("module.py")``.
    - A scheduler without workers keeps the jobs until one comes, and the
      program waits. ``client.wait_for_workers(2, timeout=30)`` raises
      :exc:`TimeoutError` instead.
    - ``map`` takes a list or a range and no iterator or generator. It ignores
      *chunksize* and refuses the *buffersize* of Python 3.14: ``Dask no
      longer supports mapping over Iterators or Queues.`` and ``unexpected
      arguments to map(): ['buffersize']``. Each job is scheduled on its own
      and sent to a worker, so send ranges rather than numbers.
    - What cannot be pickled cannot be sent: ``Could not serialize object of
      type LLGExpr``. The error that caused it names the type.
    - ``submit`` keeps keyword arguments with the names of its own options,
      such as *key*, *workers* or *retries*. Wrap those for the job in a
      :func:`functools.partial`.
    - Nobody listens at the address: ``Timed out trying to connect to tcp://``
      comes after 30 seconds, or after ``Client(address, timeout=5)``.
    - Plain ``dask worker`` runs all jobs of a host in one process, which with
      the GIL uses about one core. Start it with ``--nworkers`` and
      ``--nthreads 1``, see :mod:`cookbook.clusters.real_cluster`.
    - By default the dashboard listens at every address of the machine, and
      shows what runs. Name one with *dashboard_address*.
    - The workers that it starts itself are spawned: the program needs its main
      guard, see :mod:`cookbook.processes.main_guard`.

If a job raises
    the error is raised again where its answer is read, with the worker's
    lines in its traceback. Jobs not begun are cancelled.

If it takes too long
    ``map(..., timeout=5)`` raises :exc:`TimeoutError`, and cancels the jobs
    that no worker has begun. One that runs goes on.

If a worker is killed
    its jobs run again on another, see
    :mod:`cookbook.clusters.survive_a_lost_worker`.
"""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

from cookbook.primes import PRIMES, WORKERS, checked, is_prime_with_pid


@contextlib.contextmanager
def connected(
    address: str | None, workers: int, security: Any = None
) -> Iterator[Any]:
    """Open a client of the scheduler at *address*, or of a new cluster.

    Args:
        address: Of the scheduler; ``None`` starts one here.
        workers: How many processes to start, if there is no *address*.
        security: The certificate and its key, for a ``tls://`` address.

    Yields:
        The client.
    """
    from distributed import Client, LocalCluster

    with contextlib.ExitStack() as stack:
        if address is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",  # nobody else can reach it
                dashboard_address="127.0.0.1:0",
                local_directory=folder,
                scheduler_kwargs={"local_directory": folder},
            )
            address = stack.enter_context(cluster).scheduler_address
        yield stack.enter_context(Client(address, security=security))


def parallelism_with_cluster_executor(
    *,
    numbers: Iterable[int] = PRIMES,
    workers: int = WORKERS,
    address: str | None = None,
    security: Any = None,
) -> list[tuple[int, bool, int]]:
    """Tell of each number whether it is prime, in an executor's processes.

    Args:
        numbers: What to test.
        workers: How many processes to start, if there is no *address*.
        address: Of a scheduler that runs, such as ``tls://10.0.0.5:8786``.
        security: The certificate and its key, for a ``tls://`` address: see
            :mod:`cookbook.clusters.real_cluster`.

    Returns:
        Number, answer and process id of the worker, in the order of
        *numbers*. Two machines may use the same process id.

    Raises:
        TypeError: If *numbers* is not iterable or *workers* not an int,
            before a process is started; or from a worker, if one of
            *numbers* is not an int.
        ValueError: If *workers* is less than 1.
        OSError: If nobody answers at *address*.
    """
    jobs = checked(numbers, workers)
    with (
        connected(address, workers, security) as client,
        client.get_executor(pure=False) as executor,
    ):
        return list(executor.map(is_prime_with_pid, jobs))


def main() -> None:
    """Test four numbers in two processes.

    >>> main()
    2 True
    9 False
    97 True
    100 False
    all in worker processes: True
    """
    answers = parallelism_with_cluster_executor(
        numbers=(2, 9, 97, 100), workers=2
    )
    for number, prime, _ in answers:
        print(number, prime)
    here = os.getpid()
    print("all in worker processes:", all(pid != here for *_, pid in answers))


def broken_draw_tokens(
    count: int, *, workers: int = WORKERS, address: str | None = None
) -> list[str]:
    """Draw *count* secret tokens, each in a job of its own.

    Warning:
        All calls are of one function with the same arguments, and without
        ``pure=False`` Dask makes the key of a job from these. So all futures
        are of one job: it runs once, and everybody gets the same token. A job
        that sends a message or counts a visit does so once, too.
    """
    with (
        connected(address, workers) as client,
        client.get_executor() as executor,
    ):
        drawn = [executor.submit(secrets.token_hex) for _ in range(count)]
        return [one.result() for one in drawn]


def broken_main() -> None:
    """Draw three tokens.

    >>> broken_main()
    3 tokens, 1 of them different
    """
    tokens = broken_draw_tokens(3, workers=1)
    print(f"{len(tokens)} tokens, {len(set(tokens))} of them different")


if __name__ == "__main__":
    main()
    broken_main()
