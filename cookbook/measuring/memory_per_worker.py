"""Measure what one more worker costs in memory.

RSS, which ``top`` and ``ps`` show, counts a shared page of memory in full for
each process. PSS divides it between them, so the sum of the PSS of all your
processes is what they need. Start a second worker, and see by how much the sum
grows. The functions below read the figure in ``/proc``, on Linux.

Each worker has an interpreter and modules of its own, and what is sent to it
and what it returns are copies. A spawned worker imports your main module
again. A forked one shares the pages of its parent until one of them writes;
and Python writes to almost every object that it uses, for it counts
references.

:models: processes, threads, asyncio
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, with fork
:search: multiprocessing memory usage each process, workers use too much
    memory, memory per worker, RAM per process, RSS, PSS, USS, shared memory
    counted twice, copy-on-write, smaps_rollup, memory of fork and spawn,
    gc.freeze, psutil, memory of a thread, how many processes fit, out of
    memory, OOM, "the worker ended with exit code -9"

Use this when
    you decide how many workers fit, or which start method. With
    :func:`total` before and after you measure threads and tasks as well.

Prefer instead
    - ``psutil.Process(pid).memory_full_info()`` (third party) elsewhere: it
      has ``pss`` on Linux only, and ``uss``, what a process shares with none,
      on macOS and Windows too (documented: *psutil*).
    - :mod:`tracemalloc` to see which lines of one process allocate.

Pitfalls
    - This measures the moment after *load*. What a job needs for a while is
      in the highest RSS of its worker, ``VmHWM`` in ``/proc/PID/status``
      (documented: *proc(5)*).
    - Workers need too much? Start fewer. Import less in the main module, or
      behind the guard. Load data once for each worker, in an initializer, and
      only its part: :mod:`cookbook.processes.big_data`. Let all map one block:
      :mod:`cookbook.processes.shared_memory`. Take ``imap`` rather than
      ``map``, which keeps all results. Replace workers that grow:
      :mod:`cookbook.processes.recycle_workers`.
    - Under fork the garbage collector of a worker writes to all objects that
      hold others. :func:`gc.freeze` in the parent, before it forks, keeps it
      from that.
    - A forked worker that only reads an array copies nothing; one that reads a
      list of numbers copies it.
    - A worker of a forkserver shares what the server has imported. That is
      the main module from 3.13.8 and 3.14.1; before, each worker imported it
      (documented: CPython pull request 135295).
      ``multiprocessing.set_forkserver_preload()`` replaces the list of what
      it imports: name ``"__main__"`` with your modules to keep that.
    - A task that waits takes a fraction of the memory of a thread, a thread a
      small fraction of a process, and a forked worker less than a spawned one
      (see *Measured*). The stack of a thread, often 8 MB, is address space;
      only what is used of it is memory.

If a job raises
    the worker prints its traceback, and the parent raises ``RuntimeError: the
    worker ended with exit code 1``.

On Ctrl-C
    the worker is killed and waited for. If it comes inside ``start()``, the
    worker may go on: see :mod:`cookbook.processes.queues_and_pipes`.

If a worker is killed
    by the kernel's OOM killer, say, ``RuntimeError: the worker ended with exit
    code -9`` is raised.
"""

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import NamedTuple


class Memory(NamedTuple):
    """What a process holds of the machine's memory, in bytes.

    Attributes:
        rss: All its pages, those that it shares included.
        pss: The same, but of each shared page only its part.
        private: The pages that it shares with nobody.
    """

    rss: int
    pss: int
    private: int


def memory(pid: int) -> Memory:
    """Read what the system knows of a process.

    Args:
        pid: Its id.

    Raises:
        OSError: If there is no such process, it is somebody else's, or the
            system is not Linux.

    Example:
        >>> import os
        >>> from cookbook.measuring.memory_per_worker import memory
        >>> mine = memory(os.getpid())
        >>> mine.private <= mine.pss <= mine.rss
        True
    """
    text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    lines = (line.split() for line in text.splitlines()[1:])
    kib = {line[0]: int(line[1]) for line in lines}
    private = kib["Private_Clean:"] + kib["Private_Dirty:"]
    return Memory(kib["Rss:"] * 1024, kib["Pss:"] * 1024, private * 1024)


def family(pid: int) -> Iterator[int]:
    """Yield a process, its children, and theirs.

    Args:
        pid: The id of the first.
    """
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        children: list[str] = []
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            children = path.read_text("ascii").split()  # not if it has ended
        for child in children:
            yield from family(int(child))


def total() -> int:
    """Return what this program and all its processes need, in bytes.

    Call it while none of them starts or ends.

    Raises:
        OSError: If the system is not Linux, or its kernel lists no children.
    """
    Path("/proc/thread-self/children").stat()  # without it family() finds none
    return sum(memory(pid).pss for pid in family(os.getpid()))


def hold(load: Callable[[], object], link: Connection) -> object:
    """Load what a worker needs, and keep it; this runs in a worker.

    Args:
        load: Called once.
        link: What is told when all is there.
    """
    held = load()
    link.send(None)
    if parent := multiprocessing.parent_process():
        parent.join()
    return held


@contextlib.contextmanager
def worker(
    load: Callable[[], object], context: BaseContext | None = None
) -> Iterator[int]:
    """Run a worker that has called *load*, until the block ends.

    Args:
        load: What a worker does before it has a job: a function of a module,
            or, under fork, any. It cannot start processes of its own.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Yields:
        The worker's process id.

    Raises:
        RuntimeError: If the worker ends before *load* has returned.
    """
    own = (context or multiprocessing.get_context()).get_context()
    here, there = own.Pipe(duplex=False)
    process = own.Process(target=hold, args=(load, there), daemon=True)
    with here:
        try:
            with there:
                process.start()
            try:
                here.recv()
            except EOFError:
                process.join()
                code = process.exitcode
                text = f"the worker ended with exit code {code}"
                raise RuntimeError(text) from None
            yield process.pid or 0
        finally:
            if process.pid:
                process.kill()
                process.join()


def one_more_worker(
    load: Callable[[], object], context: BaseContext | None = None
) -> int:
    """Return how many bytes the second worker adds.

    The first is not counted: a forkserver and other helpers come with it.

    Args:
        load: As for :func:`worker`.
        context: As for :func:`worker`.

    Raises:
        OSError: If the system is not Linux.
        RuntimeError: If a worker ends before *load* has returned.
    """
    with worker(load, context):
        before = total()
        with worker(load, context):
            return total() - before


def show(cost: Callable[[Callable[[], object], BaseContext], int]) -> None:
    """Print what forked workers cost that see data, and that use it.

    Args:
        cost: :func:`one_more_worker`, or a function with its signature.
    """
    data = [float(n) for n in range(750_000)]
    size = sys.getsizeof(data) + sum(map(sys.getsizeof, data))
    fork = multiprocessing.get_context("fork")
    seen = cost(lambda: len(data), fork)
    print("data seen: half its size or more:", seen >= size / 2)
    used = cost(lambda: sum(data), fork)
    print("data used: half its size or more:", used >= size / 2)


def main() -> None:
    """Fork workers that share a list, and that read it.

    >>> main()
    data seen: half its size or more: False
    data used: half its size or more: True
    """
    show(one_more_worker)


def broken_one_more_worker(
    load: Callable[[], object], context: BaseContext | None = None
) -> int:
    """Return the RSS of a worker.

    Args:
        load: As for :func:`worker`.
        context: As for :func:`worker`.

    Warning:
        All that the worker shares with its parent and its siblings is in it.
        For ten workers that is counted ten times: the sum may exceed what the
        machine has, and says nothing of how many more would fit.
    """
    with worker(load, context) as pid:
        return memory(pid).rss


def broken_main() -> None:
    """Take shared pages for copies.

    >>> broken_main()
    data seen: half its size or more: True
    data used: half its size or more: True
    """
    show(broken_one_more_worker)


if __name__ == "__main__":
    main()
    broken_main()
