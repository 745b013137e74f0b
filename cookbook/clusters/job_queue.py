"""Keep jobs in a queue that outlives its workers.

A pool keeps its jobs in memory: when the program ends, they are gone. A job
queue keeps them in a file or on a server, until somebody confirms that they
are done. To take a job is to lease it for a time. A worker that is killed
confirms nothing; its lease runs out, and the job is handed out again. So each
job runs *at least once* unless it ends as dead, and when a worker was only
slow, another may run its job a second time: make it harmless to do so.

Here the queue is a file of SQLite: one machine, nothing to install. Its steps
are much the same in many engines: add under a unique key, lease, renew,
confirm, try again a bounded number of times with a growing pause, and lay
aside as *dead* what fails every time.

It needs SQLite 3.35 or later, for ``returning`` (documented: SQLite).
``sqlite3.sqlite_version`` tells yours; it was run with 3.40 and 3.53.

:models: cluster, processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: job queue, task queue, durable queue, sqlite queue, background jobs,
    celery vs dask vs ray vs multiprocessing, RQ, dramatiq, Procrastinate,
    Huey, visibility timeout, lease, acks_late, dead letter queue, poison
    message, retry with back-off, at least once, exactly once, idempotent,
    task executed twice at least once idempotent retry, lost jobs,
    "WorkerLostError: Worker exited prematurely: signal 9 (SIGKILL)",
    "billiard.exceptions.WorkerLostError", "database is locked"

Use this when
    jobs have to survive a restart, are added by one program and done by
    another, or are tried again when they fail: mails, payments, reports.

Prefer instead
    First make sure that one bigger machine is not enough. Then:

    - a program that waits for its answers: an executor, on one machine
      (:mod:`cookbook.processes.executor_map`, joblib) or on several
      (:mod:`cookbook.clusters.executor_on_a_cluster`);
    - background jobs on several machines, with retries and schedules: Celery
      (a broker such as RabbitMQ or Redis), RQ (Redis, simpler), dramatiq
      (both; confirms after the job, always), Procrastinate (PostgreSQL,
      asyncio too) (documented: their manuals);
    - a queue of your own in a database that you have: PostgreSQL, with
      ``for update skip locked`` (documented: PostgreSQL);
    - data frames, arrays and graphs of tasks: Dask; actors and machine
      learning: Ray, see :mod:`cookbook.clusters.ray_and_mpi`;
    - a few trusted machines and the standard library alone:
      :mod:`cookbook.clusters.queue_between_machines`.

Pitfalls
    - Run twice, a job must have the effect of running once. Here its result
      is stored under its key. For an effect elsewhere hand ``job.key`` on:
      to a unique column with ``insert ... on conflict do nothing``, to a
      file that is written under another name and then linked, see
      :mod:`cookbook.clusters.survive_a_lost_worker`, or as the idempotency
      key of a payment service.
    - A lease must be longer than the job, or be renewed while it runs: *do*
      gets *renew* for this. Call it between steps, in the thread that called
      *do*; when it returns False, another has the job, so give up. If each
      worker is slower than its lease, and another one is free, no result is
      stored, and the job ends as dead with the error ``lease ran out``.
    - Leases follow the time of day. A clock that is set forward ends them
      early, one that is set back makes them longer.
      :func:`time.monotonic` cannot be stored in a file: its starting point
      is undefined (documented: Python).
    - SQLite's locks do not work on many network file systems (documented:
      SQLite): the file is for the processes of one machine. ``database is
      locked`` comes when another holds the file for longer than *timeout*,
      here 30 seconds.
    - Celery confirms a job before it runs, unless ``task_acks_late`` is set:
      set it only for jobs that are harmless to repeat. Even then a job whose
      process was killed counts as confirmed, unless
      ``task_reject_on_worker_lost`` is set too (documented: Celery).
    - With RabbitMQ a job comes back when the connection of its worker closes,
      and when it is not confirmed within 30 minutes (``consumer_timeout``;
      documented: RabbitMQ, *Delivery Acknowledgement Timeout*). Celery on
      Redis has a ``visibility_timeout``, by default an hour: a job that is
      not confirmed by then goes to another worker (documented: Celery).

If a job raises
    it is tried again after a pause that doubles; after the last try it is
    dead, with its last error beside it. ``retry_dead`` gives it new tries.

If a worker is killed
    its job waits for the end of the lease, and is handed out again. A job
    that kills each of its workers ends as dead, too. Celery reports the kill
    as ``WorkerLostError: Worker exited prematurely: signal 9 (SIGKILL)``.
    Often the kernel's OOM killer did it: the machine, or the
    container, ran out of memory. Look into ``dmesg``. Lower the concurrency,
    give more memory, or replace workers with ``worker_max_memory_per_child``
    and ``worker_max_tasks_per_child`` (documented: Celery).
"""

import multiprocessing
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import NamedTuple, Self

from cookbook.primes import is_prime

TABLE = """
create table if not exists jobs (
    key text primary key, payload text not null, result text, error text,
    state text not null default 'open', tries integer not null default 0,
    due real not null default 0
)
"""
LEASE = """
update jobs set tries = tries + 1, due = :until, error = null
where key = (
    select key from jobs where state = 'open' and due <= :now
    order by due, rowid limit 1
) returning key, payload, tries
"""
STILL_MINE = "where key = :key and tries = :tries and state = 'open'"


class Job(NamedTuple):
    """A job that was leased; *tries* counts this time, too."""

    key: str
    payload: str
    tries: int


class JobQueue:
    """Jobs in a file; each process and each thread opens one of its own.

    Args:
        path: The file. It is created if it is not there.
        lease: How many seconds a worker has for a job, or until it renews.
        tries: How often a job is handed out before it is dead.
        pause: How many seconds a job waits after its first error.

    Raises:
        ValueError: If *lease* or *tries* is not positive, or *pause* negative.

    Example:
        >>> from cookbook.clusters.job_queue import JobQueue
        >>> with JobQueue(":memory:") as queue:
        ...     (
        ...         queue.add("mail to Ada", "hello"),
        ...         queue.add("mail to Ada", "?"),
        ...     )
        ...     job = queue.lease()
        ...     job, queue.lease()
        ...     queue.finish(job, "sent"), queue.count()
        (True, False)
        (Job(key='mail to Ada', payload='hello', tries=1), None)
        (True, Counter({'done': 1}))
    """

    def __init__(
        self,
        path: Path | str,
        *,
        lease: float = 60.0,
        tries: int = 3,
        pause: float = 1.0,
    ) -> None:
        if not (lease > 0 and tries > 0):
            raise ValueError(f"not positive: {lease=}, {tries=}")
        if not pause >= 0:
            raise ValueError(f"pause must be 0 or more, not {pause!r}")
        self.seconds, self.tries, self.pause = lease, tries, pause
        # Without isolation level, each statement is a transaction.
        self.db = sqlite3.connect(path, timeout=30, isolation_level=None)
        try:
            self.db.execute(TABLE)
        except BaseException:  # such as that of a file that is no database
            self.db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

    def change(self, statement: str, **values: object) -> bool:
        """Run one statement; tell whether it has changed a row."""
        return self.db.execute(statement, values).rowcount > 0

    def add(self, key: str, payload: str) -> bool:
        """Add a job, unless there is or was one with this *key*."""
        return self.change(
            "insert or ignore into jobs (key, payload)"
            " values (:key, :payload)",
            key=key,
            payload=payload,
        )

    def lease(self) -> Job | None:
        """Take a job that nobody has; return None if there is none now."""
        now = time.time()
        self.change(
            "update jobs set state = 'dead',"
            " error = coalesce(error, 'lease ran out')"
            " where state = 'open' and tries >= :tries and due <= :now",
            tries=self.tries,
            now=now,
        )
        leased = {"now": now, "until": now + self.seconds}
        rows = self.db.execute(LEASE, leased).fetchall()
        return Job(*rows[0]) if rows else None

    def renew(self, job: Job) -> bool:
        """Begin the lease anew; False if another has the job by now."""
        return self.change(
            f"update jobs set due = :due {STILL_MINE}",
            **job._asdict(),
            due=time.time() + self.seconds,
        )

    def finish(self, job: Job, result: str) -> bool:
        """Store the result; False if another has the job by now."""
        return self.change(
            f"update jobs set state = 'done', result = :result {STILL_MINE}",
            **job._asdict(),
            result=result,
        )

    def fail(self, job: Job, error: Exception) -> bool:
        """Store the error; the job is due again after a pause."""
        return self.change(
            f"update jobs set due = :due, error = :error {STILL_MINE}",
            **job._asdict(),
            due=time.time() + self.pause * 2 ** (job.tries - 1),
            error=repr(error),
        )

    def retry_dead(self) -> bool:
        """Open all dead jobs again, with new tries."""
        return self.change(
            "update jobs set state = 'open', tries = 0, due = 0"
            " where state = 'dead'"
        )

    def count(self) -> Counter[str]:
        """Count the jobs that are open, done and dead."""
        query = "select state, count(*) from jobs group by state"
        return Counter(dict(self.db.execute(query).fetchall()))


def work(
    queue: JobQueue, do: Callable[[Job, Callable[[], bool]], object]
) -> None:
    """Do jobs until none is open; wait for those that others have.

    Args:
        queue: Where the jobs are.
        do: Is called with the job and *renew*, which begins the lease anew
            and returns False if another has the job by now.
    """
    while queue.count()["open"]:
        job = queue.lease()
        if job is None:
            time.sleep(0.01)
            continue
        try:
            result = str(do(job, partial(queue.renew, job)))
        except Exception as error:
            queue.fail(job, error)
        else:
            queue.finish(job, result)  # not stored if another has the job


def is_payload_prime(job: Job, renew: Callable[[], bool]) -> bool:
    """Tell whether the payload is a prime number."""
    number = int(job.payload)
    renew()  # between the steps of a job, so that none outlasts the lease
    return is_prime(number)


def lease_one(path: Path, taken: Connection) -> None:
    """Take a job with a short lease, say so, and never finish it."""
    with JobQueue(path, lease=0.2) as queue:
        taken.send(getattr(queue.lease(), "key", None))
        time.sleep(60)  # it is killed meanwhile


def take_and_be_killed(
    take: Callable[[Path, Connection], None],
    path: Path,
    context: BaseContext | None = None,
) -> str:
    """Kill a worker process when it has taken a job; return its key."""
    own = (context or multiprocessing).get_context()
    here, there = own.Pipe()
    with here, there:
        worker = own.Process(target=take, args=(path, there))
        worker.start()
        there.close()  # so that the end of the worker is the end of the pipe
        try:
            if not here.poll(60):
                raise TimeoutError("the worker has taken no job")
            return str(here.recv())
        finally:
            worker.kill()
            worker.join()


def main(context: BaseContext | None = None) -> None:
    """Kill a worker that has a job, and do all jobs.

    >>> main()
    killed with: 97
    97: done, try 2, True
    100: done, try 1, False
    x: dead, try 3, ValueError("invalid literal for int() with base 10: 'x'")
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "jobs.sqlite")
        with JobQueue(path, pause=0.01) as queue:
            for text in ("97", "100", "x"):
                queue.add(key=text, payload=text)
            key = take_and_be_killed(lease_one, path, context)
            print("killed with:", key)
            work(queue, is_payload_prime)
            query = (
                "select key, state, tries, coalesce(result, error)"
                " from jobs order by rowid"
            )
            for key, state, tries, text in queue.db.execute(query):
                print(f"{key}: {state}, try {tries}, {text}")


def broken_lease(db: sqlite3.Connection) -> str | None:
    """Take a job out of the queue.

    Warning:
        Nobody but this worker knows of the job any more. If the worker is
        killed, or the program raises an error before the job is done, the job
        is lost. So it is with a list in memory, with ``queue.get()``, with
        ``LPOP`` on a list of Redis, and with a broker's automatic
        confirmation.
    """
    rows = db.execute(
        "delete from jobs where rowid = (select min(rowid) from jobs)"
        " returning key"
    ).fetchall()
    return rows[0][0] if rows else None


def broken_take_one(path: Path, taken: Connection) -> None:
    """Take a job out of the queue, say so, and never finish it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        taken.send(broken_lease(db))
        time.sleep(60)  # it is killed meanwhile


def broken_main(context: BaseContext | None = None) -> None:
    """Kill a worker that took a job out, and do the jobs that are left.

    >>> broken_main()
    killed with: 97
    100: done, False
    jobs left: None
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "jobs.sqlite")
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("create table jobs (key text)")
            db.executemany("insert into jobs values (?)", [["97"], ["100"]])
            key = take_and_be_killed(broken_take_one, path, context)
            print("killed with:", key)
            while left := broken_lease(db):
                print(f"{left}: done, {is_prime(int(left))}")
            print("jobs left:", broken_lease(db))


if __name__ == "__main__":
    main()
    broken_main()
