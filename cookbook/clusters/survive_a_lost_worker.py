"""Survive the loss of a worker on a Dask cluster.

When a worker dies, Dask gives the jobs that it was running to another one.
Answers that only the dead worker held are computed again, when somebody still
needs them. You write nothing for it. But a job can so run *twice*, and a job
with an effect, such as a line in a file or a payment, has it twice.

Make the effect harmless to repeat. Give it a key that is the same in every
run of the job, write the whole of it under a name of this run, and then
publish it under the key in one step that does nothing if the key is there:
here :func:`os.link`, in a folder that all workers share and that allows hard
links. In a database it is a unique column with ``insert ... on conflict do
nothing``; for a service, an idempotency key.

Run with Dask 2026.8 on Python 3.13 on Linux, on one machine.

:models: cluster
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:needs: dask[distributed]
:search: dask worker killed, dask worker died, lost worker, fault tolerance,
    out of memory, nanny restarts worker, allowed-failures, retries,
    KilledWorker Attempted to run task on different workers died,
    task executed twice at least once idempotent retry, exactly once,
    idempotent job, side effect twice, os.link, atomic create,
    "distributed.scheduler.KilledWorker: Attempted to run task",
    "on 4 different workers, but all those workers died while running it.",
    "caused the cluster to lose already computed task(s), which will be
    recomputed elsewhere", "caused the cluster to lose scattered data, which
    can't be recovered",
    "exceeded 95% memory budget. Restarting..."

Use this when
    jobs run for longer than machines stay up, or on machines that may be
    taken away.

Prefer instead
    :mod:`cookbook.clusters.job_queue` when the jobs must also survive the
    program that sent them, or the scheduler: both keep all in memory.

Pitfalls
    - ``KilledWorker: Attempted to run task ... on 4 different workers, but
      all those workers died while running it``: each of them held this job
      when it died, so Dask takes it for the cause. Usually it needs more
      memory than a worker has, or it crashes the interpreter. Give it a
      smaller partition, the workers more memory or fewer threads, and read
      the last lines in the log of the workers.
    - Four, since ``distributed.scheduler.allowed-failures`` is 3: the fourth
      loss is one too many. A job that only waited for its turn at a worker
      that died counts too: raise the number if others killed it.
    - ``retries=2`` is for a job that raises an error. It does not help
      against workers that die.
    - The memory limit of a worker is its share of the machine; the nanny, a
      process that watches it, restarts it at 95 per cent of that
      (documented: Dask). The log then says ``exceeded 95% memory budget.
      Restarting...``. Nobody restarts a ``dask worker --no-nanny``.
    - Data sent with ``scatter`` to one worker is lost with it, for nothing can
      compute it again; ``broadcast=True`` sends it to all of them. The
      scheduler logs ``caused the cluster to lose scattered data, which can't
      be recovered``, or, of answers, ``caused the cluster to lose already
      computed task(s), which will be recomputed elsewhere``.
    - Checking first whether it was done does not help:
      :mod:`cookbook.threads.check_then_act`. Nor does ``open(path, "x")``
      alone: a worker that is killed before it has written leaves an empty
      file, which looks done.
    - A file that is published here can be read by its owner alone. A run that
      is killed leaves its draft: a file whose name begins with a dot.

If a job raises
    it fails; it runs again only if *retries* says so.

If it takes too long
    a worker that does not answer for five minutes counts as lost
    (``distributed.scheduler.worker-ttl``), and its jobs run elsewhere while
    it may still be at work on them.

If a worker is killed
    its jobs run again elsewhere, and a nanny starts another worker in its
    place. Without a nanny the cluster has one worker less; without workers,
    jobs wait.
"""

import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from cookbook.primes import count_primes

Effect = Callable[[Path, str, str], object]


def publish_once(folder: Path, key: str, text: str) -> bool:
    """Create the file *key* with *text*, at once, unless it is there.

    Args:
        folder: Where the files are; all workers see it.
        key: The name; the same whenever this job runs.
        text: What to write.

    Returns:
        Whether this call has created the file.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from cookbook.clusters.survive_a_lost_worker import publish_once
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     publish_once(Path(folder), "invoice 7", "10 EUR")
        ...     publish_once(Path(folder), "invoice 7", "10 EUR")
        True
        False
    """
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".") as draft:
        draft.write(text)
        draft.flush()
        os.fsync(draft.fileno())
        try:
            os.link(draft.name, folder / key)
        except FileExistsError:
            return False
        return True


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


def report_primes(effect: Effect, folder: Path, stop: int) -> int:
    """Count the primes below *stop*, and report them: a job with an effect."""
    count = count_primes(0, stop)
    effect(folder, f"below {stop}", f"{count}\n")
    die_once(folder)
    return count


def die_once(folder: Path) -> None:
    """Kill this worker, the first time that this is called."""
    if publish_once(folder, ".died", ""):
        os.kill(os.getpid(), signal.SIGKILL)


def reports(
    effect: Effect, *, workers: int = 2, address: str | None = None
) -> list[str]:
    """Let jobs report through *effect*; one of the workers is killed."""
    with (
        tempfile.TemporaryDirectory() as name,
        connected(address, workers) as client,
        client.get_executor(pure=False) as executor,
    ):
        folder = Path(name)
        job = partial(report_primes, effect, folder)
        counts = list(executor.map(job, [10, 100]))
        print("answers:", counts)
        return [
            f"{path.name}: {line}"
            for path in sorted(folder.glob("[!.]*"))
            for line in path.read_text(encoding="utf-8").splitlines()
        ]


def main() -> None:
    """Kill a worker in its job, and look what was reported.

    >>> main()
    answers: [4, 25]
    below 10: 4
    below 100: 25
    """
    print("\n".join(reports(publish_once)))


def broken_append(folder: Path, key: str, text: str) -> None:
    """Append to a file.

    Warning:
        A worker may die after it has appended and before its answer arrives.
        The job runs again, and there are two lines. No engine can prevent it:
        it cannot know how far the dead worker came.
    """
    with Path(folder, key).open("a", encoding="utf-8") as file:
        file.write(text)


def broken_main() -> None:
    """Do the same, and append.

    >>> broken_main()
    answers: [4, 25]
    reports: 3
    """
    print("reports:", len(reports(broken_append)))


if __name__ == "__main__":
    main()
    broken_main()
