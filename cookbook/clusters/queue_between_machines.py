"""Share a queue between machines with the standard library.

Derive a class from :class:`~multiprocessing.managers.BaseManager` and register
two queues with it. One program serves them at a host and port; workers on
other machines connect with the same *authkey*, get jobs from the first queue
and put their answers into the second. The queues live in the memory of the
server, and each call on them is a message there and back.

A job that a worker has got is in no queue any more. So the program that puts
the jobs in notes which were answered, and puts the rest in again when nobody
has answered for a while.

On several machines, copy the program to each as ``queues.py``, with your own
job in ``do_jobs``, and a file ``key``. Choose a port that the firewalls let
through. On the machine with the address 10.0.0.5, run the lines that serve
and ask:

.. code-block:: text

   from pathlib import Path
   from queues import collect, put_all, queues_at

   if __name__ == "__main__":
       key = Path("key").read_bytes()
       with queues_at(("10.0.0.5", 50000), key) as manager:
           jobs, answers = manager.jobs(), manager.answers()
           put_all([97, 100], jobs)
           print(collect([97, 100], jobs, answers))
           jobs.put(None)
           input("Press Enter when the workers have ended.")

On each of the others, once for each of its cores:

.. code-block:: text

   from pathlib import Path
   from queues import do_jobs

   do_jobs(("10.0.0.5", 50000), Path("key").read_bytes())

All of this was run on one machine, over loopback.

:models: processes, cluster
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: share queue between machines, multiprocessing remote manager
    BaseManager queue network, network queue, distributed queue without broker,
    standard library only, authkey, serve_forever, connect, remote worker,
    "multiprocessing.context.AuthenticationError: digest sent was rejected",
    "ConnectionRefusedError: [Errno 111] Connection refused",
    "AttributeError: 'QueueManager' object has no attribute 'jobs'"

Use this when
    a few machines that you trust, on a network that you trust, work off one
    list, and nothing may be installed.

Prefer instead
    :mod:`cookbook.clusters.job_queue` and the engines that it names when jobs
    must survive the server, :mod:`cookbook.clusters.executor_on_a_cluster`
    when functions and data are to be sent along.

Pitfalls
    - What is sent is pickled: whoever knows the key can run any code on the
      server, and the server on the workers. Nothing is encrypted. Bind to
      loopback or to the address of a trusted network, never to ``""``, and go
      through a tunnel, such as ``ssh -L``, for the rest. See :doc:`/safety`.
    - An empty key lets everybody in who tries an empty key. Make one with
      ``secrets.token_bytes(32)``, and copy it to the workers in a file that
      only you can read. Without *authkey* the key is that of the process,
      which is random: others get ``AuthenticationError: digest sent was
      rejected``.
    - Both sides register the same names, or there is ``AttributeError:
      'QueueManager' object has no attribute 'jobs'``. Those of the class that
      connects need no callable.
    - Start the server first, and connect to the address that it serves at.
      Otherwise ``connect`` raises ``ConnectionRefusedError: [Errno 111]
      Connection refused``, with the number that Linux has for it.
    - Each silence puts *all* missing jobs in again, also those that still
      wait in the queue. What is there twice is done twice, before the None
      that ends the workers. ``collect`` drops an answer to a job that it does
      not wait for, such as a late one to the call before.
    - A worker that is killed while it waits in ``get()`` takes the next job
      with it: the server has already asked the queue on its behalf.
    - The functions of the jobs are on the workers before; only arguments and
      answers travel. All machines should run the same version of Python.

If a job raises
    its worker ends here, and the job is handed out again. Catch what you
    expect, and send it as an answer.

If it takes too long
    a job that takes longer than *patience* may run twice. Both answers are
    the same if they depend on the arguments alone. After *rounds* times
    *patience* seconds without any answer ``collect`` raises
    :exc:`TimeoutError`.

If a worker is killed
    its job is put in again. When the server is killed, or its with-block
    ends, its queues are gone, and all callers get :exc:`EOFError` or
    :exc:`ConnectionError`. A ``get`` that comes as the block ends may return
    None instead, which ends a worker, too.
"""

import multiprocessing
import os
import secrets
import threading
from collections.abc import Callable, Iterable
from functools import cache
from multiprocessing.context import BaseContext
from multiprocessing.managers import BaseManager
from queue import Empty, Queue
from typing import Any, TypeAlias

from cookbook.primes import is_prime

Address: TypeAlias = tuple[str, int]
Jobs: TypeAlias = "Queue[int | None]"
Answers: TypeAlias = "Queue[tuple[int, bool]]"


@cache
def the_jobs() -> Jobs:
    """Return the one queue of jobs, in the process of the server."""
    return Queue()


@cache
def the_answers() -> Answers:
    """Return the one queue of answers, in the process of the server."""
    return Queue()


class QueueManager(BaseManager):
    """Serves the queues, or connects to them."""

    jobs: Callable[[], Jobs]
    answers: Callable[[], Answers]


def queues_at(
    address: Address, authkey: bytes, context: BaseContext | None = None
) -> QueueManager:
    """Return a manager: use it in a with-block to serve, or connect it.

    Args:
        address: Host and port; with port 0 the system chooses one for the
            server, and ``manager.address`` tells which.
        authkey: What all must know; secret.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        TypeError: If *authkey* is not bytes: of an int there would be zeros.
        ValueError: If *authkey* is empty.
    """
    if not isinstance(authkey, bytes):
        raise TypeError(f"authkey must be bytes, not {type(authkey).__name__}")
    if not authkey:
        raise ValueError("authkey must not be empty")
    QueueManager.register("jobs", the_jobs)
    QueueManager.register("answers", the_answers)
    return QueueManager(address, authkey=authkey, ctx=context)


def do_jobs(address: Address, authkey: bytes) -> None:
    """Answer the jobs at *address* until there is a None: run by a worker."""
    manager = queues_at(address, authkey)
    manager.connect()
    jobs, answers = manager.jobs(), manager.answers()
    while (number := jobs.get()) is not None:
        answers.put((number, is_prime(number)))
    jobs.put(None)  # for the other workers


def collect(
    numbers: Iterable[int],
    jobs: Jobs,
    answers: Answers,
    *,
    patience: float = 60.0,
    rounds: int = 3,
) -> dict[int, bool]:
    """Wait for the answers; put jobs in again that may have been lost.

    Args:
        numbers: The jobs that were put in.
        jobs: The queue of jobs.
        answers: The queue of answers.
        patience: For how many seconds nobody answers before the jobs that
            are left are put in again; longer than one job takes.
        rounds: After how many silences in a row it gives up.

    Raises:
        TimeoutError: If it gives up.
        ValueError: If *patience* is out of range or *rounds* less than 1.
    """
    if not (0 <= patience <= threading.TIMEOUT_MAX and rounds >= 1):
        raise ValueError(f"out of range: {patience=}, {rounds=}")
    missing = dict.fromkeys(numbers)
    found: dict[int, bool] = {}
    silent = 0
    while missing:
        try:
            number, prime = answers.get(timeout=patience)
        except Empty:
            silent += 1
            if silent >= rounds:
                raise TimeoutError(f"no answer for {list(missing)}") from None
            put_all(missing, jobs)
        else:
            silent = 0
            if number in missing:
                del missing[number]
                found[number] = prime
    return found


def put_all(numbers: Iterable[int], jobs: Jobs) -> None:
    """Put a job in for each number."""
    for number in numbers:
        jobs.put(number)


def take_one_and_die(address: Address, authkey: bytes) -> None:
    """Take a job, and end before there is an answer."""
    manager = queues_at(address, authkey)
    manager.connect()
    manager.jobs().get()
    os._exit(1)


def run_workers(
    work: Callable[[Address, bytes], None],
    manager: QueueManager,
    authkey: bytes,
    context: BaseContext | None = None,
) -> list[Any]:
    """Start two workers here, as they would be on other machines."""
    own = (context or multiprocessing).get_context()
    arguments = manager.address, authkey
    workers = [own.Process(target=work, args=arguments) for _ in range(2)]
    for worker in workers:
        worker.start()
    return workers


def main(context: BaseContext | None = None) -> None:
    """Let two workers take a job each and die, and two more do the rest.

    >>> main()
    jobs left after two workers died: 2 of 4
    2 True
    9 False
    97 True
    100 False
    """
    numbers = (2, 9, 97, 100)
    authkey = secrets.token_bytes(32)
    with queues_at(("127.0.0.1", 0), authkey, context) as manager:
        jobs, answers = manager.jobs(), manager.answers()
        put_all(numbers, jobs)
        for worker in run_workers(take_one_and_die, manager, authkey, context):
            worker.join()
        print("jobs left after two workers died:", jobs.qsize(), "of 4")
        workers = run_workers(do_jobs, manager, authkey, context)
        try:
            found = collect(numbers, jobs, answers, patience=0.5, rounds=60)
        finally:
            jobs.put(None)
            for worker in workers:
                worker.join()
    for number, prime in sorted(found.items()):
        print(number, prime)


def broken_collect(
    numbers: Iterable[int], answers: Answers, patience: float
) -> dict[int, bool]:
    """Wait for one answer to each job.

    Warning:
        ``get`` has taken the job out of the queue, and nobody else knows of
        it. If the worker is killed, loses its connection or raises an error,
        its answer never comes. With ``get()`` instead of a timeout this
        function waits for ever.
    """
    found: dict[int, bool] = {}
    for _ in numbers:
        try:
            number, prime = answers.get(timeout=patience)
        except Empty:
            break
        found[number] = prime
    return found


def broken_main(context: BaseContext | None = None) -> None:
    """Do the same, and wait for one answer to each job.

    >>> broken_main()
    answered: {97: True, 100: False}
    no answer: [2, 9]
    """
    numbers = (2, 9, 97, 100)
    authkey = secrets.token_bytes(32)
    with queues_at(("127.0.0.1", 0), authkey, context) as manager:
        jobs, answers = manager.jobs(), manager.answers()
        put_all(numbers, jobs)
        for worker in run_workers(take_one_and_die, manager, authkey, context):
            worker.join()
        jobs.put(None)
        for worker in run_workers(do_jobs, manager, authkey, context):
            worker.join()
        found = broken_collect(numbers, answers, patience=0.5)
    print("answered:", dict(sorted(found.items())))
    print("no answer:", [number for number in numbers if number not in found])


if __name__ == "__main__":
    main()
    broken_main()
