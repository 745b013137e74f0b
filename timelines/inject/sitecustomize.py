"""Write down who runs and who waits, in each process of a program.

Every interpreter that finds this module on its path imports it when it
starts: so does a worker process, however it was started. What it needs is in
the environment. It uses the standard library alone, and ``sys.monitoring`` of
Python 3.12, so the program stays as it is.

Each process writes a file of its own: a line for each event, its fields
separated by tabs. The file is mapped into memory, so that writing neither
gives the GIL away nor is lost when the process is killed. ``lanes.py`` makes
lanes of it.
"""

import atexit
import contextlib
import functools
import mmap
import operator
import os
import re
import sys
import time
from _asyncio import _get_running_loop, current_task
from _thread import get_ident
from pathlib import Path
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any

FOLDER = os.environ.get("TIMELINE_FOLDER", "")
PROGRAM = os.environ.get("TIMELINE_PROGRAM", "")
SIZE = 1 << 26  # bytes that a process may write; what is not used costs none
SLOW = 50_000  # nanoseconds from which on a call is worth a line
OPTIMIZED = 0x1  # a flag of code: a function
BEAT = 2_000_000  # nanoseconds after which a loop says that it still runs
COROUTINE = 0x80 | 0x100 | 0x200  # and these: a coroutine, a generator of one
DEFAULT_NAME = re.compile(r"Task-\d+")
# Callables of C that wait, as a rule, other than for a lock.
WAITING = {
    "_ThreadHandle.join",
    "SimpleQueue.get",
    "accept",
    "connect",
    "epoll.poll",
    "pause",
    "poll.poll",
    "read",
    "select",
    "sigwait",
    "sleep",
    "socket.accept",
    "socket.connect",
    "socket.recv",
    "socket.recv_into",
    "waitid",
    "waitpid",
}
LOCKS = {
    f"{kind}.{method}"
    for kind in ("lock", "RLock", "SemLock")
    for method in ("__enter__", "acquire")
}
# Functions of the standard library that take a lock for their caller.
TAKING = {
    "Condition.__enter__",
    "Condition.acquire",
    "SemLock.__enter__",
    "_ContextManagerMixin.__aenter__",
    "Lock.acquire",
}
# Functions of the standard library that run a job.
RUNNERS = {"Process.run", "Thread.run", "WorkerContext.run", "_process_chunk"}
STEP = "Handle._run"  # and the one that runs a task's turn
# Callables of C that keep the GIL: what happens meanwhile says more.
KEEP_THE_GIL = {
    "_bisect",
    "_collections",
    "_contextvars",
    "_functools",
    "_heapq",
    "_imp",
    "_io",
    "_operator",
    "_random",
    "_struct",
    "_weakref",
    "builtins",
    "collections",
    "itertools",
    "marshal",
    "math",
    "operator",
}
ON_DISK = {"listdir", "open", "open_code", "stat"}

monitoring = sys.monitoring
events = monitoring.events
TOOL = monitoring.PROFILER_ID
WATCHED = (
    events.PY_START,
    events.PY_RESUME,
    events.PY_THROW,
    events.PY_RETURN,
    events.PY_YIELD,
    events.PY_UNWIND,
    events.JUMP,
    events.CALL,  # and so C_RETURN and C_RAISE
)


class Thread:
    """What is known of a thread.

    Attributes:
        number: Its number in this process, for identifiers are used again.
        ident: Its identifier.
        named: Whether its name has been written.
        depth: How many functions of the program it is in.
        calls: The calls of C that it is in, each with what to write and
            whether that was done.
        task: The task that it is running; 0 for none.
        suspended: Whether it has been written what that task waits for.
    """

    __slots__ = (
        "calls",
        "depth",
        "ident",
        "named",
        "number",
        "suspended",
        "task",
    )

    def __init__(self, ident: int, number: int) -> None:
        self.number = number
        self.ident = ident
        self.named = False
        self.depth = 0
        self.calls: list[list[Any]] = []
        self.task = 0
        self.suspended = False


class Log:
    """The file of this process, and the threads that write to it."""

    def __init__(self) -> None:
        self.process = os.getpid()
        path = Path(FOLDER, f"{self.process}-{time.monotonic_ns()}.events")
        with path.open("xb+") as file:
            file.truncate(SIZE)
            self.memory = mmap.mmap(file.fileno(), SIZE)
        self.written = 0
        self.threads: dict[int, Thread] = {}
        self.last = Thread(0, 0)
        self.started = 0
        self.tasks: dict[int, tuple[int, Any]] = {}
        self.line(time.monotonic_ns(), 0, 0, "process", self.process)

    def line(self, *fields: object) -> None:
        """Write a line; if the file is full, write no more at all.

        A forked process shares the file of its parent until it has its own.
        """
        if os.getpid() != self.process:
            return
        data = "\t".join(map(str, fields)).encode() + b"\n"
        if self.memory.tell() + len(data) >= SIZE:
            monitoring.set_events(TOOL, 0)
            self.memory[:8] = b"overflow"
        else:
            self.memory.write(data)
            self.written = time.monotonic_ns()

    def thread(self, *, begins: bool = False) -> Thread:
        """Return this thread; note it if another one was running."""
        ident = get_ident()
        if (last := self.last).ident == ident and not begins:
            return last
        if begins or (thread := self.threads.get(ident)) is None:
            self.started += 1
            thread = self.threads[ident] = Thread(ident, self.started)
        now = time.monotonic_ns()
        for call in last.calls:
            self.call(last, call)
        self.last = thread
        self.line(now, thread.number, time.thread_time_ns(), "runs")
        if not thread.named:
            self.name(thread)
        return thread

    def name(self, thread: Thread) -> None:
        """Write what a thread is called, once that is known."""
        threading = sys.modules.get("threading")
        found = getattr(threading, "_active", {}).get(thread.ident)
        if found is not None:
            thread.named = True
            now = time.monotonic_ns()
            self.line(now, thread.number, 0, "name", found.name)

    def note(self, thread: Thread, kind: str, *fields: object) -> None:
        """Write that something happens now."""
        now, cpu = time.monotonic_ns(), time.thread_time_ns()
        self.line(now, thread.number, cpu, kind, *fields)

    def call(self, thread: Thread, call: list[Any]) -> None:
        """Write that a thread has made a call, unless that was done."""
        _, began, cpu, name, where, written = call
        if not written:
            call[5] = True
            self.line(began, thread.number, cpu, "call", name, *where)


log: Log


def is_program(code: CodeType) -> bool:
    """Tell whether *code* is a function of the program, and no class."""
    return code.co_filename == PROGRAM and bool(code.co_flags & OPTIMIZED)


def entered(code: CodeType, *_: object) -> object:
    """Note the outermost function of the program, and each task's turn."""
    mine = is_program(code)
    coroutine = code.co_flags & COROUTINE
    if not mine and not coroutine:
        return monitoring.DISABLE
    thread = log.thread()
    if coroutine:
        see_task(thread)
    if mine:
        thread.depth += 1
        if thread.depth == 1:
            log.note(thread, "enter", code.co_qualname)
    return None


def left(code: CodeType, *_: object) -> object:
    """Note that the program's outermost function returns."""
    if not is_program(code):
        return monitoring.DISABLE
    leave(code)
    return None


def unwound(code: CodeType, *_: object) -> None:
    """Note that the program's outermost function raises."""
    if is_program(code):
        leave(code)


def leave(code: CodeType) -> None:
    """Go out of a function of the program."""
    thread = log.thread()
    thread.depth = max(0, thread.depth - 1)
    if not thread.depth:
        log.note(thread, "leave", code.co_qualname)


def yielded(code: CodeType, *_: object) -> object:
    """Note what a task waits for, in the innermost of its coroutines."""
    mine = is_program(code)
    if not mine and not code.co_flags & COROUTINE:
        return monitoring.DISABLE
    thread = log.thread()
    if thread.task and not thread.suspended and code.co_flags & 0x180:
        thread.suspended = True
        log.note(thread, "await", *waits_in(sys._getframe(1)))
    if mine:
        leave(code)
    return None


def jumped(code: CodeType, *_: object) -> object:
    """See in the loops of the program which thread runs."""
    if code.co_filename != PROGRAM:
        return monitoring.DISABLE
    thread = log.thread()
    if time.monotonic_ns() - log.written > BEAT:
        log.note(thread, "beat")
    return None


def called(code: CodeType, _: int, callee: object, first: object) -> object:
    """Note the calls of C that may wait."""
    if isinstance(callee, FunctionType | MethodType):
        log.thread(begins=code.co_qualname == "Thread._bootstrap")
        return None
    thread = log.thread()
    if not thread.named:
        log.name(thread)
    if code.co_qualname in RUNNERS and code.co_filename != PROGRAM:
        thread.depth += 1
        if thread.depth == 1:
            log.note(thread, "enter", title(callee, first))
    if not thread.depth and code.co_qualname != STEP:
        return None
    name = getattr(callee, "__qualname__", "")
    if keeps_the_gil(callee, name):
        return None
    where: tuple[str, ...] = ()
    now, cpu = time.monotonic_ns(), time.thread_time_ns()
    call = [callee, now, cpu, name, where, False]
    if name in LOCKS or name in WAITING:
        call[4] = waits_in(sys._getframe(1), lock=name in LOCKS, of=first)
    call[3] = full_name(callee, first, name)
    thread.calls.append(call)
    if name in WAITING or (name in LOCKS and is_taken(first)):
        log.call(thread, call)
    return None


def returned(code: CodeType, _: int, callee: object, first: object) -> None:
    """Note that a call that took its time is over."""
    thread = log.thread()
    calls = thread.calls
    if callee in [call[0] for call in calls]:
        while (call := calls.pop())[0] is not callee:
            pass
        if call[5] or time.monotonic_ns() - call[1] > SLOW:
            log.call(thread, call)
            log.note(thread, "return", call[3])
    if code.co_qualname in RUNNERS and code.co_filename != PROGRAM:
        thread.depth = max(0, thread.depth - 1)
        if not thread.depth:
            log.note(thread, "leave", title(callee, first))
    if thread.task and code.co_qualname == STEP:
        thread.task = 0
        log.note(thread, "task", 0)


def is_taken(lock: object) -> bool:
    """Tell whether a thread that wants *lock* now must wait, as a rule."""
    if hasattr(lock, "locked"):
        return bool(lock.locked())
    return not hasattr(lock, "_is_zero") or bool(lock._is_zero())


def keeps_the_gil(callee: object, name: str) -> bool:
    """Tell whether a call of C does not wait, or only for a file on disk."""
    owner = getattr(callee, "__objclass__", callee)
    return (
        isinstance(callee, type)
        or (
            getattr(owner, "__module__", "") in KEEP_THE_GIL
            and name not in ("input", "print")
        )
        or name in ON_DISK
        or name.endswith((".__exit__", ".release"))
    )


def title(callee: object, first: object) -> str:
    """Return what a job is called that is no function of Python."""
    while isinstance(callee, functools.partial):
        callee, first = callee.func, (callee.args or (None,))[0]
    name = getattr(callee, "__name__", "")
    if name == "run" and callable(first):
        return title(first, None)
    return name or type(callee).__name__


def full_name(callee: object, first: object, name: str) -> str:
    """Return the name of a callable of C as a program would write it."""
    if not name or name == "Context.run":
        return title(callee, first)
    module = getattr(callee, "__module__", None) or ""
    return f"{module}.{name}" if module and "." not in name else name


def see_task(thread: Thread) -> None:
    """Note that a thread goes on with another task."""
    if _get_running_loop() is None or (task := current_task()) is None:
        return
    if thread.task == id(task):
        return
    thread.task = id(task)
    thread.suspended = False
    number, known = log.tasks.get(id(task), (0, None))
    if known is not task:
        number = len(log.tasks) + 1
        log.tasks[id(task)] = number, task
    name = task.get_name()
    code = getattr(task.get_coro(), "cr_code", None)
    if code is not None and DEFAULT_NAME.fullmatch(name):
        name = code.co_qualname
        if name.startswith("_") and not is_program(code):
            name = ""  # the standard library's own
    log.note(thread, "task", number, name.rpartition(".")[2])


def waits_in(
    frame: FrameType | None, *, lock: bool = False, of: object = None
) -> tuple[str, ...]:
    """Return what the program has called that waits, and if it is a lock."""
    inner: list[str] = []
    while frame is not None and not is_program(frame.f_code):
        if frame.f_code.co_qualname in (STEP, *RUNNERS):
            break
        inner.append(frame.f_code.co_qualname)
        if "." not in inner[-1]:
            module = str(frame.f_globals.get("__name__", ""))
            inner[-1] = f"{module.partition('.')[0]}.{inner[-1]}"
        frame = frame.f_back
    if frame is None:
        return ("", "")
    if not inner:
        return ("", "lock" if lock else "")
    takes = inner[-1] in TAKING
    if takes and not lock:  # a lock of asyncio
        takes = "Lock.acquire" in inner
    if takes and hasattr(of, "maxvalue"):  # a semaphore is no lock
        takes = of.maxvalue == 1 or of.kind == 0
    return inner[-1], "lock" if takes else ""


def start() -> None:
    """Begin a file for this process, and write what happens to it."""
    global log
    log = Log()
    monitoring.set_events(TOOL, functools.reduce(operator.or_, WATCHED))


def stop() -> None:
    """Write no more: the interpreter ends."""
    monitoring.set_events(TOOL, 0)


def install() -> None:
    """Write down what this process does."""
    # Where it is allowed: what else the machine does is no part of it. The
    # threads and processes that this one starts have the same priority.
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    monitoring.use_tool_id(TOOL, "timeline")
    for event, callback in {
        events.PY_START: entered,
        events.PY_RESUME: entered,
        events.PY_THROW: entered_by_error,
        events.PY_RETURN: left,
        events.PY_YIELD: yielded,
        events.PY_UNWIND: unwound,
        events.JUMP: jumped,
        events.CALL: called,
        events.C_RETURN: returned,
        events.C_RAISE: returned,
    }.items():
        monitoring.register_callback(TOOL, event, callback)
    os.register_at_fork(after_in_child=start)
    atexit.register(stop)
    start()


def entered_by_error(code: CodeType, *_: object) -> None:
    """Do the same for a coroutine in which an error is raised."""
    entered(code)


if FOLDER and PROGRAM:
    install()
