"""Run threads on every schedule.

A race shows on some schedules and not on others, and a test cannot wait for
the right one to turn up. Let a scheduler decide instead: it lets one thread at
a time run up to its next line, tries every order in which two or three small
functions can take these steps, and tells how each order ends. A deadlock is
one of the outcomes, not a hang. A schedule is written as the number of the
thread that takes each step: ``0 1 1 0``.

This is a proof over schedules at that grain. It takes in switches that never
happen: with the GIL the interpreter does not switch threads at every line. It
leaves out switches within a line (unless you go by bytecode), within C code
and the standard library, and what a processor may reorder.

:models: threads
:work: CPU-bound, I/O-bound
:level: expert
:since: 3.11
:trap: every build
:search: test for race conditions, reproduce a race condition, flaky test,
    thread interleaving, interleavings, model checking, deterministic threads,
    deterministic schedule, detect deadlock, stress test, sys.settrace

Use this when
    you want to know that a few lines are thread-safe, or to see the schedule
    on which they are not.

Prefer instead
    a job that meets the other thread at a :class:`threading.Barrier`, when
    you know the one schedule that you want to force.

Pitfalls
    The functions must be small and take the same steps each time: no endless
    loop, no randomness, no clock. The number of schedules grows exponentially
    with the number of steps.

    Under control is what *make* or a function under test creates by the
    module's name: ``threading.Lock()``, ``RLock``, ``Condition``,
    ``Semaphore``, ``BoundedSemaphore``, ``Event`` and ``Barrier``,
    ``queue.Queue`` and its kin, ``concurrent.futures.Future``; all but the
    locks are the standard library's own code. A name imported before, as by
    ``from threading import Lock``, is not, nor is a
    :class:`queue.SimpleQueue`. A thread that waits for anything else, or that
    one of the functions starts and that takes one of these locks, ends the
    exploration with a :exc:`RuntimeError`.

    The tool traces by :func:`sys.settrace`, and a thread has one trace
    function: a coverage tool or a debugger that traces so, too, does not see
    the functions meanwhile. On Linux they run on one core meanwhile.

    A wait with a timeout may give up at any step until it is over: every
    duration is tried. Time passes in such waits alone; ``time.sleep`` in a
    function under test takes its time and proves nothing.

    With *preemptions* the proof is over the schedules with so few switches,
    not over all.

If a job raises
    the error is the outcome, as text; the other threads go on.
"""

import _thread
import dis
import gc
import linecache
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

Functions = Sequence[Callable[[], object]]
Setup = tuple[Functions, Callable[[], Hashable]]
Make = Callable[[], Setup]

DEADLOCK = "deadlock"
# Instructions that touch nothing but the frame's own stack and variables: no
# other thread can tell when they run, so a switch before one shows nothing.
OWN_FRAME = (
    "BUILD",
    "CACHE",
    "COPY",
    "EXTENDED_ARG",
    "JUMP",
    "KW_NAMES",
    "LOAD_COMMON",
    "LOAD_CONST",
    "LOAD_FAST",
    "LOAD_SMALL_INT",
    "MAKE",
    "NOP",
    "NOT_TAKEN",
    "POP",
    "PRECALL",
    "PUSH_NULL",
    "RESUME",
    "RETURN",
    "STORE_FAST",
    "SWAP",
)
PATIENCE = 10  # seconds that one step may take
STANDARD_LIBRARY = f"{Path(threading.__file__).parent}{os.sep}"
# What these create is made of locks, and theirs are under control too.
MADE_OF_LOCKS = {
    method.__code__.co_filename
    for method in (
        threading.Condition.wait,
        queue.Queue.get,
        Future.result,
    )
}


class Outcome(NamedTuple):
    """How often an outcome comes about, and how to see it again.

    Attributes:
        schedules: On how many schedules the threads end so.
        shortest: One of these, with the fewest steps and then the fewest
            switches: for each step the number of the thread that takes it.
    """

    schedules: int
    shortest: tuple[int, ...]


class Step(NamedTuple):
    """What a thread does in one step of a schedule.

    Attributes:
        thread: The number of the thread.
        code: The line that it runs, or the instruction.
        note: ``"waits"`` if the thread comes to a lock, or to another wait,
            and cannot go on; ``"gives up"`` if that wait timed out;
            otherwise nothing.
    """

    thread: int
    code: str
    note: str = ""


def every_interleaving(
    make: Make,
    *,
    by: str = "line",
    preemptions: int | None = None,
    most: int = 20_000,
) -> dict[Hashable, Outcome]:
    """Run the functions that *make* returns on every schedule.

    Args:
        make: Called once for each schedule. Sets everything up and returns
            the functions to run, each in a thread of its own, and a function
            that returns the result when all have ended.
        by: How far a thread runs in one step: to the next ``"line"`` or, for
            a race within a line, to the next ``"bytecode"`` instruction. The
            number of instructions differs between versions of Python.
        preemptions: Try only the schedules with at most so many switches
            away from a thread that could have gone on. Most races need one
            or two (documented: Musuvathi and Qadeer, *Iterative Context
            Bounding*), and the number of schedules stays small enough for
            longer functions. None tries them all.
        most: How many schedules, and steps in one, there may be.

    Returns:
        For each outcome, how many schedules lead to it and a shortest one.
        An outcome is a result, ``"deadlock"``, or the first error that a
        function raised, as text.

    Raises:
        ValueError: If *by* is neither of the two, *preemptions* is below 0,
            or *most* is exceeded.
        RuntimeError: If a thread waits for something out of control, or does
            not take the same steps each time.

    Example:
        >>> from cookbook.testing.every_interleaving import every_interleaving
        >>> def make():
        ...     log = []
        ...     return [lambda: log.append(1), lambda: log.append(2)], log.pop
        >>> for outcome, (schedules, shortest) in every_interleaving(
        ...     make
        ... ).items():
        ...     print(outcome, schedules, shortest)
        2 1 (0, 1)
        1 1 (1, 0)
    """
    outcomes: dict[Hashable, Outcome] = {}
    start: list[int] = []
    for _ in range(most):
        run = _Run(make, start, by, most, preemptions)
        outcome, taken = run.execute(), tuple(run.taken)
        known = outcomes.get(outcome, Outcome(0, taken))
        shortest = min(known.shortest, taken, key=_length)
        outcomes[outcome] = Outcome(known.schedules + 1, shortest)
        if (next_start := run.next_start()) is None:
            return outcomes
        start = next_start
    raise ValueError(f"there are more than {most} schedules")


def replay(
    make: Make, schedule: Sequence[int], *, by: str = "line"
) -> Hashable:
    """Run the functions that *make* returns on one schedule.

    Args:
        make: As for :func:`every_interleaving`.
        schedule: The number of the thread that takes each step, such as
            :attr:`Outcome.shortest`. Where it ends early, the first thread
            that can go on does.
        by: As for :func:`every_interleaving`.

    Returns:
        The outcome.

    Raises:
        ValueError: If *by* is neither of the two.
        RuntimeError: If a thread cannot take the step when it is its turn.
    """
    return _Run(make, schedule, by).execute()


def steps(
    make: Make, schedule: Sequence[int], *, by: str = "line"
) -> list[Step]:
    """Tell what each thread does on one schedule.

    Args:
        make: As for :func:`every_interleaving`.
        schedule: As for :func:`replay`.
        by: As for :func:`every_interleaving`.

    Returns:
        The steps in their order.

    Raises:
        ValueError: If *by* is neither of the two.
        RuntimeError: If a thread cannot take the step when it is its turn.

    Example:
        >>> from cookbook.testing.every_interleaving import steps
        >>> def make():
        ...     log = []
        ...     return [log.clear, log.copy], log.copy
        >>> [step.thread for step in steps(make, [1, 0])]
        [1, 0]
    """
    run = _Run(make, schedule, by)
    run.told = []
    run.execute()
    return run.told


def _length(schedule: tuple[int, ...]) -> tuple[int, int]:
    """Return the numbers of steps and of switches between threads."""
    switches = sum(one != after for one, after in pairwise(schedule))
    return len(schedule), switches


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector out: it would take steps of its own.

    A collection runs finalizers and callbacks in whatever thread it starts.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep the threads that start here on one core, on Linux.

    One thread runs at a time and wakes the next. To wake it on another core
    takes longer, on a busy machine many times as long.
    """
    if sys.platform != "linux":
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


class _Abandoned(BaseException):
    """Unwinds a thread that will never go on."""


class _Worker:
    """One of the threads: parked before a step, or taking it."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function
        self.turn = _thread.allocate_lock()
        self.turn.acquire()
        self.waits_for: _Lock | None = None
        self.at_start = True
        self.has_moved = False  # since it was parked: an acquire parks again
        self.finished = False
        self.unwinds = False  # from here on only an acquire stops it
        self.code = getattr(function, "__name__", "")
        self.note = ""

    def can_go_on(self) -> bool:
        """Tell whether a step can be taken."""
        waits = self.waits_for is not None and self.waits_for.locked()
        return not self.finished and not waits


class _Run:
    """One execution: the threads and the schedule that they are held to."""

    def __init__(
        self,
        make: Make,
        start: Sequence[int],
        by: str,
        most: int = 20_000,
        preemptions: int | None = None,
    ) -> None:
        if by not in ("line", "bytecode"):
            raise ValueError(f"by must be 'line' or 'bytecode', not {by!r}")
        if preemptions is not None and preemptions < 0:
            raise ValueError(
                f"preemptions must be 0 or more, not {preemptions!r}"
            )
        self.make = make
        self.start = start
        self.event = "line" if by == "line" else "opcode"
        self.most = most
        self.preemptions = preemptions
        self.told: list[Step] | None = None
        self.clock = 0.0
        self.taken: list[int] = []
        self.options: list[list[int]] = []
        self.workers: list[_Worker] = []
        self.errors: list[str] = []
        self.misuse = ""
        self.abandoned = False
        self.parked = _thread.allocate_lock()
        self.parked.acquire()
        self.known: dict[int, _Worker | None] = {_thread.get_ident(): None}
        self.real_lock, self.real_rlock = threading.Lock, threading.RLock

    def execute(self) -> Hashable:
        """Return how the threads end."""
        with _no_collection(), _one_core(), self.control():
            functions, result = self.make()
            self.workers = [_Worker(function) for function in functions]
            threads: list[threading.Thread] = []
            try:
                for worker in self.workers:
                    thread = threading.Thread(
                        target=self.work, args=[worker], daemon=True
                    )
                    threads.append(thread)
                    thread.start()
                    self.await_step(worker)
                while not all(worker.finished for worker in self.workers):
                    if not self.take_step():
                        return self.errors[0] if self.errors else DEADLOCK
                if self.misuse:
                    raise RuntimeError(self.misuse)
                return self.errors[0] if self.errors else result()
            finally:
                self.abandon(threads)

    @contextmanager
    def control(self) -> Iterator[None]:
        """Put the stand-ins where the locks and the clock are looked up."""
        stand_ins = (
            (threading, "Lock", self.make_lock),
            (threading, "RLock", self.make_rlock),
            (threading, "_allocate_lock", self.make_waiter),
            (threading, "_time", self.now),
            (queue, "time", self.now),
        )
        real = [getattr(module, name) for module, name, _ in stand_ins]
        for module, name, stand_in in stand_ins:
            setattr(module, name, stand_in)
        try:
            yield
        finally:
            for (module, name, _), one in zip(stand_ins, real, strict=True):
                setattr(module, name, one)

    def take_step(self) -> bool:
        """Let one thread take a step, unless all wait for each other."""
        options = [n for n, one in enumerate(self.workers) if one.can_go_on()]
        if not options:
            return False
        step = len(self.taken)
        if step == self.most:
            raise ValueError(f"a schedule has more than {self.most} steps")
        last = self.taken[-1] if self.taken else None
        if last in options and self.preemptions == 0:
            options = [last]
        number = self.start[step] if step < len(self.start) else options[0]
        if number not in options:
            raise RuntimeError(f"thread {number} cannot take step {step}")
        if self.preemptions and last in options and number != last:
            self.preemptions -= 1
        self.options.append(options)
        self.taken.append(number)
        worker = self.workers[number]
        worker.turn.release()
        self.await_step(worker)
        if self.told is not None:
            self.told.append(Step(number, worker.code, worker.note))
        return True

    def await_step(self, worker: _Worker) -> None:
        """Wait until *worker* is parked again, or has finished."""
        if not self.parked.acquire(timeout=PATIENCE):
            number = self.workers.index(worker)
            raise RuntimeError(
                f"thread {number} waits for something out of control,"
                " such as a lock that was not created inside make"
            )

    def next_start(self) -> list[int] | None:
        """Return how the next schedule starts, depth first."""
        for step in reversed(range(len(self.taken))):
            options, taken = self.options[step], self.taken[step]
            if taken != options[-1]:
                other = options[options.index(taken) + 1]
                return [*self.taken[:step], other]
        return None

    def abandon(self, threads: list[threading.Thread]) -> None:
        """End the threads that have not finished, one after another."""
        self.abandoned = True
        for worker, thread in zip(self.workers, threads, strict=False):
            if not worker.finished:
                worker.turn.release()
            thread.join(PATIENCE)

    def work(self, worker: _Worker) -> None:
        """Run one function under control."""
        self.known[_thread.get_ident()] = worker
        sys.settrace(self.trace)
        try:
            self.park()
            worker.function()
        except _Abandoned:
            pass
        except BaseException as error:
            self.errors.append(f"{type(error).__name__}: {error}")
        finally:
            sys.settrace(None)
            worker.finished = True
            if not self.abandoned:
                self.parked.release()

    def trace(self, frame: FrameType, _event: str, _arg: object) -> Any:
        """Follow a call, if it is to code under test."""
        if not _is_under_test(frame.f_code):
            return None
        if self.event == "opcode":
            frame.f_trace_lines = False
            frame.f_trace = self.trace_step  # or 3.13 sends no event
            frame.f_trace_opcodes = True
            sys.settrace(self.trace)  # or 3.12 sends no event
        return self.trace_step

    def trace_step(self, frame: FrameType, event: str, _arg: object) -> Any:
        """Park before each step but the first, which starts parked."""
        if event == self.event and (event == "line" or _is_visible(frame)):
            worker = self.known[_thread.get_ident()]
            if worker is not None and worker.at_start:
                worker.at_start = False
            elif worker is None or not worker.unwinds:
                self.park()
            if worker is not None:
                worker.has_moved = False
                if self.told is not None:
                    worker.code = _code(frame, event)
        return self.trace_step

    def now(self) -> float:
        """Return the time: for code under test it passes in waits alone."""
        is_known = _thread.get_ident() in self.known
        return self.clock if is_known else time.monotonic()

    def park(self, waits_for: "_Lock | None" = None, note: str = "") -> None:
        """Give the turn back, and wait for the next one."""
        if _thread.get_ident() not in self.known:
            self.misuse = "a thread that a function started uses a lock"
            raise RuntimeError(self.misuse)
        worker = self.known[_thread.get_ident()]
        if worker is None:
            if waits_for:
                raise RuntimeError("make or its result waits for a lock")
            return
        if not self.abandoned:
            worker.waits_for, worker.note = waits_for, note
            self.parked.release()
            worker.turn.acquire()
            worker.note = ""
        if self.abandoned:
            worker.unwinds = True
            raise _Abandoned

    def park_before_acquire(self) -> None:
        """Park, unless nothing has happened since the last time."""
        worker = self.known.get(_thread.get_ident())
        if worker is None or worker.has_moved:
            self.park()
        else:
            worker.has_moved = True

    def give_up(self, deadline: float) -> None:
        """Let a wait time out: *deadline* is over."""
        # One nanosecond more, so that no rest of a float is waited for.
        self.clock = max(self.clock, deadline) + 1e-9
        if worker := self.known[_thread.get_ident()]:
            worker.note = "gives up"

    def make_lock(self) -> Any:
        """Stand in for ``threading.Lock``."""
        return _Lock(self) if self.is_called_by_test() else self.real_lock()

    def make_rlock(self) -> Any:
        """Stand in for ``threading.RLock``."""
        return _RLock(self) if self.is_called_by_test() else self.real_rlock()

    def make_waiter(self) -> Any:
        """Stand in for the lock that ``Condition.wait`` waits with."""
        condition = sys._getframe(1).f_locals.get("self")
        if isinstance(getattr(condition, "_lock", None), _Lock):
            return _Waiter(self)
        return _thread.allocate_lock()

    def is_called_by_test(self) -> bool:
        """Tell the code under test from all else that creates a lock."""
        if _thread.get_ident() not in self.known:
            return False
        frame: FrameType | None = sys._getframe(2)
        while frame and frame.f_code.co_filename in MADE_OF_LOCKS:
            if isinstance(frame.f_locals.get("self"), threading.Thread):
                return False
            frame = frame.f_back
        return frame is not None and _is_under_test(frame.f_code)


class _Lock:
    """A lock that does not block its thread but parks it."""

    reentrant = False

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.owner: int | None = None
        self.depth = 0

    def locked(self) -> bool:
        """Tell whether a thread holds it."""
        return self.owner is not None

    def is_free_for(self, ident: int) -> bool:
        """Tell whether the thread *ident* could take it."""
        return not self.locked() or (self.reentrant and self.owner == ident)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, as ``threading.Lock.acquire`` does."""
        _thread.allocate_lock().acquire(blocking, timeout)  # checks both
        self.run.park_before_acquire()
        return self.take(blocking, timeout)

    def take(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock as soon as it is free; give up after *timeout*."""
        ident = _thread.get_ident()
        deadline = self.run.clock + timeout
        while not self.is_free_for(ident):
            if not blocking:
                return False
            self.run.park(None if timeout >= 0 else self, "waits")
            if timeout >= 0 and not self.is_free_for(ident):
                self.run.give_up(deadline)
                return False
        self.owner, self.depth = ident, self.depth + 1
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self.owner is None:
            raise RuntimeError("release unlocked lock")
        self.depth -= 1
        self.owner = self.owner if self.depth else None

    def _is_owned(self) -> bool:
        """Tell a Condition whether its lock is held."""
        return self.locked()

    def _release_save(self) -> int:
        """Let a Condition free the lock, however often it was taken."""
        depth, self.depth, self.owner = self.depth, 0, None
        return depth

    def _acquire_restore(self, depth: int) -> None:
        """Let a Condition take it again: a part of the same step."""
        self.take()
        self.depth = depth

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class _Waiter(_Lock):
    """What a Condition waits with: no other thread takes it."""

    acquire = _Lock.take


class _RLock(_Lock):
    """The same for ``threading.RLock``."""

    reentrant = True

    def release(self) -> None:
        """Give the lock back, once for each time it was taken."""
        if not self._is_owned():
            raise RuntimeError("cannot release un-acquired lock")
        super().release()

    def _is_owned(self) -> bool:
        """Tell a Condition whether its lock is held by this thread."""
        return self.owner == _thread.get_ident()


def _is_under_test(code: CodeType) -> bool:
    """Tell whether *code* is neither this tool nor the standard library."""
    name = code.co_filename
    if name.startswith(STANDARD_LIBRARY) and "site-packages" not in name:
        return False
    return code not in OWN_CODE and not name.startswith("<frozen")


OWN_CODE = {
    member.__code__
    for one in (_Worker, _Run, _Lock, _Waiter, _RLock)
    for member in vars(one).values()
    if hasattr(member, "__code__")
} | {_is_under_test.__code__}  # a job that makes a lock calls it


def _is_visible(frame: FrameType) -> bool:
    """Tell whether other threads may notice the instruction that is next."""
    opcode = frame.f_code.co_code[frame.f_lasti]
    return not dis.opname[opcode].startswith(OWN_FRAME)


def _code(frame: FrameType, event: str) -> str:
    """Return the line that is next in *frame*, or the instruction."""
    code = frame.f_code
    if event == "line":
        line = linecache.getline(code.co_filename, frame.f_lineno)
        return line.strip()
    for one in dis.get_instructions(code):
        if one.offset == frame.f_lasti:
            return f"{one.opname} {one.argrepr}".strip()
    return ""


def unlocked_counter() -> Setup:
    """Set up two threads that add one to a number without a lock."""
    box = [0]

    def add_one() -> None:
        value = box[0]
        box[0] = value + 1

    return [add_one, add_one], box.pop


def locked_counter() -> Setup:
    """Set up two threads that add one to a number, with a lock."""
    box = [0]
    lock = threading.Lock()

    def add_one() -> None:
        with lock:
            value = box[0]
            box[0] = value + 1

    return [add_one, add_one], box.pop


def crosswise_locks() -> Setup:
    """Set up two threads that take two locks, in opposite orders."""
    one, two = threading.Lock(), threading.Lock()

    def take(first: threading.Lock, second: threading.Lock) -> None:
        with first, second:
            pass

    return [lambda: take(one, two), lambda: take(two, one)], lambda: "done"


def main() -> None:
    """Explore a counter without a lock and with one, and a deadlock.

    >>> main()
    unlocked_counter: 2 on 2 schedules, such as 0 0 1 1
    unlocked_counter: 1 on 4 schedules, such as 0 1 1 0
    locked_counter: 2 on 8 schedules, such as 0 0 0 0 1 1 1 1
    crosswise_locks: done on 30 schedules, such as 0 0 0 0 0 1 1 1 1 1
    crosswise_locks: deadlock on 12 schedules, such as 0 0 1 1 1 0
    """
    for make in unlocked_counter, locked_counter, crosswise_locks:
        for outcome, (schedules, shortest) in every_interleaving(make).items():
            print(
                f"{make.__name__}: {outcome} on {schedules} schedules,",
                end=" ",
            )
            print("such as", *shortest)


def broken_test(make: Make, runs: int) -> set[Hashable]:
    """Look for a race by running the threads many times.

    Args:
        make: As for :func:`every_interleaving`.
        runs: How often to run them.

    Returns:
        The outcomes seen.

    Warning:
        A thread that is joined before the next one starts never meets it,
        so this test sees one schedule, however often it runs. Starting all
        threads before joining them is hardly better: a small function may
        have ended before the next thread starts.
    """
    outcomes = set()
    for _ in range(runs):
        functions, result = make()
        for function in functions:
            thread = threading.Thread(target=function)
            thread.start()
            thread.join()
        outcomes.add(result())
    return outcomes


def broken_main() -> None:
    """Run the counter without a lock a thousand times.

    >>> broken_main()
    1000 runs, outcomes: {2}
    """
    print("1000 runs, outcomes:", broken_test(unlocked_counter, runs=1000))


if __name__ == "__main__":
    main()
    broken_main()
