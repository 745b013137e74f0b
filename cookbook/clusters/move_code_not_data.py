"""Send the code to the data on a cluster.

A function is small and data are large, so let the data travel once, or not at
all. If the workers can read it themselves, from a shared file system or an
object store, send each job the *place* of its part: a path and a range. If
only your program has it, hand it over once with ``client.scatter``, and give
the jobs the handle that this returns. Dask runs a job where its data is, and
a worker that lacks it fetches it from one that has it, once.

An argument that is data itself is packed into every job.

Run with Dask 2026.8 on Python 3.13 on Linux, on one machine.

:models: cluster
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:needs: dask[distributed]
:search: dask scatter, data locality, move computation to data, large argument,
    broadcast, dask slow with large numpy array, dask DataFrame argument,
    send data once, Future as argument, dask Sending large graph,
    large object in task graph,
    "UserWarning: Sending large graph of size",
    "This may cause some slowdown. Consider loading the data with Dask directly
    or using futures or delayed objects to embed the data into the graph
    without repetition."

Use this when
    jobs share a large argument, or each needs a part of a
    large file.

Prefer instead
    :mod:`cookbook.processes.big_data` on one machine, where a block of memory
    can be shared; Dask's own arrays and data frames when the work is on such
    ones, since they read their parts by themselves.

Pitfalls
    - ``UserWarning: Sending large graph of size 11.44 MiB. This may cause some
      slowdown.`` comes when one call of ``submit`` or ``map`` sends more than
      10 MB. Below that nothing
      warns, however many calls there are.
    - ``scatter`` of a list or a dict sends its items one by one and returns
      as many handles. Put it into a list of one: ``[handle] =
      client.scatter([table])``.
    - By default the handle's key is a hash of the data, which has to be read
      for it, and equal data is one. ``hash=False`` draws a random key.
    - The data stays in the workers' memory as long as somebody holds the
      handle. It is with one worker at first; ``broadcast=True`` gives it to
      all at once, which pays when all will need it, and it then survives the
      loss of a worker.
    - Return little, too: counts and paths rather than tables. What the next
      jobs need can stay where it is, since the future of one job may be an
      argument of another.
    - A path is read on the worker: it must lead to the same file on every
      machine.

If a job raises
    the handle remains good for other jobs.

If a worker is killed
    what was scattered to it alone is lost, see
    :mod:`cookbook.clusters.survive_a_lost_worker`. What a job has read from
    a file is read again.
"""

import contextlib
import pickle
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cookbook.primes import split_range

SIZE, JOBS, SMALL = 12_000_000, 8, 1000


def count_zeros(table: bytes, start: int, stop: int) -> int:
    """Count the zeros in a part of a table."""
    return table[start:stop].count(0)


def count_zeros_in_file(path: Path, start: int, stop: int) -> int:
    """Read a part of a file, and count the zeros in it."""
    with path.open("rb") as file:
        file.seek(start)
        return file.read(stop - start).count(0)


def count_where_it_lies(client: Any, path: Path, jobs: int) -> int:
    """Let the workers read their parts of the file at *path*."""
    spans = split_range(0, path.stat().st_size, jobs)
    with client.get_executor(pure=False) as executor:
        counts = [
            executor.submit(count_zeros_in_file, path, *span) for span in spans
        ]
        return sum(count.result() for count in counts)


def count_scattered(client: Any, table: bytes, jobs: int) -> int:
    """Hand *table* over once, and give each job the handle."""
    spans = split_range(0, len(table), jobs)
    handle = client.scatter(table, hash=False)
    with client.get_executor(pure=False) as executor:
        counts = [
            executor.submit(count_zeros, handle, *span) for span in spans
        ]
        return sum(count.result() for count in counts)


@contextlib.contextmanager
def connected(address: str | None, workers: int) -> Iterator[Any]:
    """Open a client of the scheduler at *address*, or of a new cluster."""
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
        yield stack.enter_context(Client(address))


@contextlib.contextmanager
def counting_warnings(name: str) -> Iterator[None]:
    """Print how often Dask warns that a job is large."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    large = [one for one in caught if "large graph" in str(one.message)]
    print(f"{name}: {len(large)} warnings")


def main() -> None:
    """Count the zeros of a table, in jobs that are small.

    >>> main()
    zeros in the file: 46875
    read by the workers: 0 warnings
    zeros in the table: 46875
    scattered: 0 warnings
    a job with a handle has less than 1000 bytes: True
    """
    table = bytes(range(256)) * (SIZE // 256)
    with connected(None, 2) as client, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table")
        path.write_bytes(table)
        with counting_warnings("read by the workers"):
            print(
                "zeros in the file:", count_where_it_lies(client, path, JOBS)
            )
        with counting_warnings("scattered"):
            print("zeros in the table:", count_scattered(client, table, JOBS))
        job = client.scatter(table, hash=False), 0, SIZE
        small = len(pickle.dumps(job)) < SMALL
        print(f"a job with a handle has less than {SMALL} bytes:", small)


def broken_count(client: Any, table: bytes, jobs: int) -> int:
    """Give each job the table.

    Warning:
        Each job holds all of it. The client packs it *jobs* times, and each
        copy goes through the scheduler, which keeps it in memory as long as
        somebody holds the future.
    """
    spans = split_range(0, len(table), jobs)
    with client.get_executor(pure=False) as executor:
        counts = [executor.submit(count_zeros, table, *span) for span in spans]
        return sum(count.result() for count in counts)


def broken_main() -> None:
    """Count the zeros of the table, in jobs that are large.

    >>> broken_main()
    zeros in the table: 46875
    sent with each job: 8 warnings
    """
    table = bytes(range(256)) * (SIZE // 256)
    with (
        connected(None, 2) as client,
        counting_warnings("sent with each job"),
    ):
        print("zeros in the table:", broken_count(client, table, JOBS))


if __name__ == "__main__":
    main()
    broken_main()
