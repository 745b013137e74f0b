"""Test the same primes on Ray and on MPI.

Ray is an engine of its own: a function becomes a *remote* one,
``f.remote(x)`` hands a job out and returns a reference at once, and
``ray.get`` waits for the answers, in the order of the references. MPI is how
programs of supercomputers talk to each other. mpi4py's ``MPIPoolExecutor`` is
an :class:`~concurrent.futures.Executor` on it, with the lines of
:mod:`cookbook.processes.executor_map`.

An MPI program is started as several processes, its *ranks*, and how you start
it decides who runs what. After ``mpiexec -n 3 python -m mpi4py.futures
program.py`` one rank runs the program and two do its jobs. After ``mpiexec -n
3 python program.py`` all three run the whole program, each on its own.

:models: cluster
:work: CPU-bound
:level: expert
:since: 3.11
:trap: every build
:needs: ray, mpi4py
:search: ray vs dask vs mpi, ray.remote, ray.get, ray.init, ray.put,
    ray actors, ray.get in a loop is sequential, max_retries, mpi4py,
    mpi4py.futures, MPIPoolExecutor, MPICommExecutor, mpirun, mpiexec, srun,
    slurm python parallel, supercomputer, HPC, MPI program runs several times,
    every rank prints, output printed n times, all ranks are rank 0,
    "ray.exceptions.WorkerCrashedError: The worker died unexpectedly while
    executing this task.", "ray.exceptions.GetTimeoutError",
    "Maybe you called ray.init twice by accident?",
    "The current node timed out during startup. This could happen because
    some of the raylet failed to startup or the GCS has become overloaded.",
    "BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES",
    "application called MPI_Abort(MPI_COMM_WORLD, 1)",
    "The main script or module attempted to spawn new MPI worker processes.",
    "This singleton init program attempted to access some feature",
    "But the necessary mpiexec is not in your path.",
    "mpi4py.MPI.Exception: Other MPI error, error stack:
    internal_Comm_spawn"

Use this when
    - Ray: jobs need objects that live on the workers and keep their state
      (actors), share large data through its object store, or run on a cluster
      that grows and shrinks; much of machine learning builds on it.
    - MPI: the machine is a supercomputer. Its batch system starts a fixed
      number of ranks over a fast network, and may offer nothing else.

Prefer instead
    :mod:`cookbook.clusters.executor_on_a_cluster` otherwise: an executor,
    too, that goes on when a worker is lost, on machines that you start
    yourself.

Pitfalls
    - ``ray.get`` inside the loop that calls ``remote`` waits for each job
      before it hands out the next: one after another. Make the list of
      references first.
    - An argument of more than 100 kB is stored again for each job. Store it
      once, ``reference = ray.put(data)``, and pass the reference: the job
      gets the data (documented: Ray).
    - Ray listens at all addresses of the machine, also when it is told
      127.0.0.1 (observed on Ray 2.60). Whoever reaches a port and has its
      token, which lies in ``~/.ray/auth_token``, runs code on it; older
      versions ask for none (documented: Ray).
    - On a busy machine Ray may not start within 30 seconds, and gives up:
      ``The current node timed out during startup`` (observed on Ray 2.60).
    - ``ray.init`` raises ``Maybe you called ray.init twice by accident?`` in
      a program that has called it already.
    - Without the main guard each rank runs the whole program, in spite of
      ``-m mpi4py.futures``: see :mod:`cookbook.processes.main_guard`.
    - If all ranks say that they are rank 0 of 1, ``mpiexec`` belongs to
      another MPI than the one that mpi4py uses (documented: mpi4py).
    - Plain ``python program.py`` spawns *workers* ranks with
      ``MPI_Comm_spawn``. Many supercomputers do not have it (documented:
      mpi4py), and MPICH needs its ``mpiexec`` for it: ``But the necessary
      mpiexec is not in your path``, and the program never ends.

If a job raises
    the error is raised again where its answer is read. Ray's is of the same
    type and also a ``RayTaskError``; the job does not run again unless
    *retry_exceptions* says so. An error that ends the main program of an MPI
    job ends its ranks: ``application called MPI_Abort``. MPICH loses this
    line now and then, and other lines that ranks print last (observed on
    MPICH 5.0).

If it takes too long
    ``ray.get(references, timeout=5)`` raises ``GetTimeoutError``, which is a
    :exc:`TimeoutError`. The jobs go on.

If a worker is killed
    Ray runs its job again, by default up to three times (*max_retries*), and
    then raises ``WorkerCrashedError``. So a job may run twice, see
    :mod:`cookbook.clusters.survive_a_lost_worker`. An MPI job ends as a
    whole, and the answers that it had are lost: ``BAD TERMINATION OF ONE OF
    YOUR APPLICATION PROCESSES``. Write to files what must survive. MPICH then
    leaves a ``mpich_shm_`` block in ``/dev/shm`` (observed on MPICH 5.0).
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cookbook.primes import PRIMES, WORKERS, checked, is_prime_with_pid


@contextlib.contextmanager
def ray_at(address: str | None, workers: int) -> Iterator[Any]:
    """Connect to the Ray cluster at *address*, or start one here."""
    import ray

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        here = {
            "num_cpus": workers,  # so many jobs run at once
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
            "_temp_dir": folder,
        }
        ray.init(
            address or "local",
            log_to_driver=False,
            **({} if address else here),
        )
        try:
            yield ray
        finally:
            ray.shutdown()


def parallelism_with_ray(
    *,
    numbers: Iterable[int] = PRIMES,
    workers: int = WORKERS,
    address: str | None = None,
) -> list[tuple[int, bool, int]]:
    """Tell of each number whether it is prime, in processes of Ray.

    Args:
        numbers: What to test.
        workers: How many processes to start, if there is no *address*.
        address: Of a cluster that runs, such as ``10.0.0.5:6379``.

    Returns:
        Number, answer and process id of the worker, in the order of
        *numbers*.

    Raises:
        TypeError: If *numbers* is not iterable or *workers* not an int,
            before a process is started; or from a worker, if one of
            *numbers* is not an int.
        ValueError: If *workers* is less than 1.
        RuntimeError: If the program has called ``ray.init`` itself.
    """
    jobs = checked(numbers, workers)
    with ray_at(address, workers) as ray:
        job = ray.remote(is_prime_with_pid)
        references = [job.remote(number) for number in jobs]
        return list(ray.get(references))


def parallelism_with_mpi_pool(
    *, numbers: Iterable[int] = PRIMES, workers: int = WORKERS
) -> list[tuple[int, bool, int]]:
    """Tell of each number whether it is prime, in an MPI job.

    Args:
        numbers: What to test.
        workers: How many ranks to spawn, if plain ``python`` started the
            program. After ``mpiexec -n 3 python -m mpi4py.futures`` all
            ranks but the first are the workers.

    Returns:
        Number, answer and process id of the worker, in the order of
        *numbers*.

    Raises:
        TypeError: If *numbers* is not iterable or *workers* not an int,
            before a job is sent; or from a worker, if one of *numbers* is
            not an int.
        ValueError: If *workers* is less than 1.
    """
    jobs = checked(numbers, workers)
    from mpi4py.futures import MPIPoolExecutor

    with MPIPoolExecutor(workers) as executor:
        return list(executor.map(is_prime_with_pid, jobs))


def main() -> None:
    """Test four numbers: on MPI if it is started there, else on Ray.

    >>> main()
    on Ray: [(2, True), (9, False), (97, True), (100, False)]
    all in worker processes: True
    """
    mpi = "mpi4py" in sys.modules  # imported by python -m mpi4py.futures
    test = parallelism_with_mpi_pool if mpi else parallelism_with_ray
    answers = test(numbers=(2, 9, 97, 100), workers=2)
    found = [(number, prime) for number, prime, _ in answers]
    print("on MPI:" if mpi else "on Ray:", found)
    here = os.getpid()
    print("all in worker processes:", all(pid != here for *_, pid in answers))


PROGRAM = """
from mpi4py.futures import MPIPoolExecutor

if __name__ == "__main__":
    with MPIPoolExecutor() as executor:
        total = sum(executor.map(abs, [-1, -2]))
    with open("sums.txt", "a", encoding="utf-8") as file:
        print("sum:", total, file=file)
"""


def start_on_mpi(program: str, *options: str) -> str:
    """Start a program on three ranks; return the ``sums.txt`` they write."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "program.py")
        path.write_text(program, encoding="utf-8")
        subprocess.run(
            ["mpiexec", "-n", "3", sys.executable, *options, path],
            check=True,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
        return Path(folder, "sums.txt").read_text(encoding="utf-8")


def broken_start_on_mpi(program: str) -> str:
    """Start a program on three ranks, as a program that knows of its ranks.

    Warning:
        Nobody tells two of the ranks that they are workers. Each of the three
        runs the whole program, and spawns one more process for its pool. The
        answers are right, so all that you see is that the file has each line
        three times, and that it is no faster.
    """
    return start_on_mpi(program)


def broken_main() -> None:
    """Start the same program both ways.

    >>> broken_main()
    python -m mpi4py.futures program.py: 1 sum
    python program.py: 3 sums
    """
    printed = start_on_mpi(PROGRAM, "-m", "mpi4py.futures")
    sums = printed.count("sum: 3")
    print("python -m mpi4py.futures program.py:", sums, "sum")
    sums = broken_start_on_mpi(PROGRAM).count("sum: 3")
    print("python program.py:", sums, "sums")


if __name__ == "__main__":
    main()
    broken_main()
