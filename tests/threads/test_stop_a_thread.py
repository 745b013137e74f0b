"""What the recipe says of the end of a thread, shown to be so."""

import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from multiprocessing.context import BaseContext
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from cookbook.threads.stop_a_thread import (
    broken_kill,
    run_for,
    stoppable,
    wait_for,
    write_lines,
)

Target = Callable[..., object]
Wait = Callable[[], None]
METHODS = multiprocessing.get_all_start_methods()

# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


unix_only = pytest.mark.skipif(
    os.name == "nt", reason="Windows has no such signals"
)


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a bare interpreter."""
    return subprocess.run(
        [sys.executable, "-I", "-c", program, *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


def test_a_thread_that_waits_for_the_event_is_stopped_at_once() -> None:
    lines: list[str] = []
    with stoppable(partial(write_lines, lines=lines, pause=10_000)):
        pass
    assert lines == ["began", "tidied up"]


def test_a_thread_works_until_the_block_ends() -> None:
    three_lines = threading.Event()

    class Lines(list[str]):
        def append(self, line: str) -> None:
            """Add a line, and tell when there are three."""
            super().append(line)
            if len(self) == 3:
                three_lines.set()

    lines = Lines()
    with stoppable(partial(write_lines, lines=lines, pause=0)):
        assert three_lines.wait(timeout=10)
    assert lines[:3] == ["began", "goes on", "goes on"]
    assert lines[-1] == "tidied up"


def test_a_stop_before_the_thread_has_begun_is_not_lost() -> None:
    stop = threading.Event()
    stop.set()
    lines: list[str] = []
    write_lines(stop, lines, pause=10_000)
    assert lines == ["began", "tidied up"]


def test_an_error_in_the_block_stops_the_thread_and_goes_on() -> None:
    lines: list[str] = []

    def interrupted() -> None:
        with stoppable(partial(write_lines, lines=lines)):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted()
    assert lines == ["began", "tidied up"]
    assert not hasattr(caught.value, "__notes__")


@pytest.fixture
def deaf() -> Iterator[Callable[[threading.Event], None]]:
    """Give work that does not look at the event; it ends with the test."""
    go_on = threading.Event()
    threads: list[threading.Thread] = []

    def work(_: threading.Event) -> None:
        threads.append(threading.current_thread())
        go_on.wait(timeout=10)

    yield work
    assert threads[0].is_alive()
    go_on.set()
    threads[0].join()


def test_work_that_does_not_look_at_the_event_runs_on_after_the_timeout(
    deaf: Callable[[threading.Event], None],
) -> None:
    message = r" still runs 0\.05 s after the stop$"
    with (
        pytest.raises(TimeoutError, match=message),
        stoppable(deaf, timeout=0.05),
    ):
        pass


def test_an_error_of_the_block_goes_on_with_a_note_that_the_thread_runs_on(
    deaf: Callable[[threading.Event], None],
) -> None:
    def interrupted() -> None:
        with stoppable(deaf, timeout=0.05):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted()
    [note] = caught.value.__notes__
    assert note.endswith(" still runs 0.05 s after the stop")


def test_an_error_of_the_work_goes_to_the_hook_and_the_block_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = threading.Event()
    found: list[BaseException | None] = []

    def hook(args: threading.ExceptHookArgs) -> None:
        found.append(args.exc_value)
        failed.set()

    def work(_: threading.Event) -> None:
        raise LookupError

    monkeypatch.setattr(threading, "excepthook", hook)
    with stoppable(work):
        assert failed.wait(timeout=10)
    assert [type(one) for one in found] == [LookupError]


def test_a_thread_that_sleeps_sleeps_on_after_the_event_is_set() -> None:
    began, stop = threading.Event(), threading.Event()
    slept: list[float] = []

    def work() -> None:
        while not stop.is_set():
            since = time.monotonic()
            began.set()
            time.sleep(0.2)
            slept.append(time.monotonic() - since)

    thread = threading.Thread(target=work)
    thread.start()
    assert began.wait(timeout=10)
    stop.set()
    thread.join()
    assert min(slept) > 0.19


def test_a_none_on_the_queue_wakes_a_thread_that_waits_there() -> None:
    jobs: queue.Queue[str | None] = queue.Queue()
    done: list[str] = []

    def work() -> None:
        while (job := jobs.get()) is not None:
            done.append(job)

    thread = threading.Thread(target=work)
    thread.start()
    for job in "a", "b", None:
        jobs.put(job)
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert done == ["a", "b"]


class NamedStop(threading.Thread):
    """A thread that keeps its event under the name of a method."""

    def __init__(self) -> None:
        super().__init__()
        self._stop = threading.Event()

    def run(self) -> None:
        """Do nothing."""


def test_an_event_named_stop_with_an_underscore_breaks_join_up_to_3_12() -> (
    None
):
    thread = NamedStop()
    thread.start()
    if sys.version_info >= (3, 13):
        thread.join()
        return
    message = "^'Event' object is not callable$"
    with pytest.raises(TypeError, match=message):
        thread.join()
    del thread._stop  # noqa: SLF001
    thread.join()


def test_a_killed_thread_that_waits_for_a_lock_goes_on_waiting() -> None:
    lock, began = threading.Lock(), threading.Lock()
    thread = threading.Thread(target=wait_for, args=(lock, began))
    with lock, began:
        thread.start()
        assert began.acquire(timeout=10)
        broken_kill(thread)
        thread.join(timeout=0.1)
        assert thread.is_alive()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_a_killed_thread_ends_when_it_runs_python_code_again() -> None:
    began = threading.Event()
    deadline = time.monotonic() + 10
    steps: list[str] = []

    def work() -> None:
        with suppress(SystemExit):
            began.set()
            while time.monotonic() < deadline:
                time.sleep(0.001)
            steps.append("not killed")

    thread = threading.Thread(target=work)
    thread.start()
    assert began.wait(timeout=10)
    broken_kill(thread)
    thread.join()
    assert steps == []


def test_a_killed_thread_may_leave_a_lock_held_in_its_finally_block() -> None:
    lock, began, go_on = [threading.Lock() for _ in range(3)]
    steps: list[str] = []

    def work() -> None:
        with suppress(SystemExit):
            try:
                lock.acquire()
            finally:
                began.release()
                go_on.acquire()
                lock.release()
                steps.append("tidied up")

    thread = threading.Thread(target=work)
    with began:
        go_on.acquire()
        thread.start()
        assert began.acquire(timeout=10)
        broken_kill(thread)
        go_on.release()
        thread.join()
    assert steps == []
    assert lock.locked()


DAEMON = """
import threading

def work():
    try:
        began.set()
        threading.Event().wait()
    finally:
        print("tidied up", flush=True)

began = threading.Event()
threading.Thread(target=work, daemon=True).start()
began.wait()
print("began", flush=True)
"""


def test_a_daemon_thread_is_stopped_at_exit_without_its_finally_block() -> (
    None
):
    ended = run(DAEMON)
    assert ended.stdout == "began\n"
    assert ended.stderr == ""
    assert ended.returncode == 0


DAEMON_FILE = """
import sys, threading

def work():
    with open(sys.argv[1], "w") as file:
        file.write("half a sentence")
        began.set()
        threading.Event().wait()

began = threading.Event()
threading.Thread(target=work, daemon=True).start()
began.wait()
"""


def test_what_a_daemon_thread_has_not_flushed_is_lost_at_exit(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    ended = run(DAEMON_FILE, str(path))
    assert ended.returncode == 0
    assert path.read_text(encoding="utf-8") == ""


DAEMON_PRINT = """
import atexit, os, resource, threading

def work():
    threading.main_thread().join()
    print("x" * 1_000_000)

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
pipe, end = os.pipe()
os.dup2(end, 1)
threading.Thread(target=work, daemon=True).start()
atexit.register(os.read, pipe, 1)
"""


@unix_only
def test_a_daemon_thread_stopped_inside_print_aborts_the_program() -> None:
    ended = run(DAEMON_PRINT)
    assert ended.returncode == -signal.SIGABRT
    assert ended.stderr.startswith(
        "Fatal Python error: _enter_buffered_busy: could not acquire lock for"
        " <_io.BufferedWriter name='<stdout>'> at interpreter shutdown,"
    )


DAEMON_READ = """
import os, threading

end, pipe = os.pipe()
os.dup2(end, 0)
began = threading.Event()

def read():
    began.set()
    os.read(0, 1)

threading.Thread(target=read, daemon=True).start()
began.wait()
"""


@unix_only
def test_a_daemon_thread_may_wait_for_input_in_os_read() -> None:
    ended = run(DAEMON_READ)
    assert ended.returncode == 0
    assert ended.stderr == ""


def test_the_program_ends_when_the_last_thread_has_that_is_no_daemon() -> None:
    program = """
import threading
main = threading.current_thread()
def work():
    main.join()
    print("still there after the main thread")
threading.Thread(target=work).start()
"""
    assert run(program).stdout == "still there after the main thread\n"


@pytest.mark.parametrize("method", METHODS)
def test_a_process_that_does_not_end_in_time_is_killed(method: str) -> None:
    context = multiprocessing.get_context(method)
    assert not run_for(time.sleep, 10_000, seconds=0.01, context=context)


def test_a_process_that_ends_in_time_is_told_from_one_that_was_killed() -> (
    None
):
    assert run_for(abs, -1, seconds=60)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("work", "argument", "code"), [(os._exit, 3, 3), (int, "four", 1)]
)
def test_a_process_that_fails_is_an_error_that_names_its_exit_code(
    work: Target, argument: object, code: int, method: str
) -> None:
    context = multiprocessing.get_context(method)
    with pytest.raises(RuntimeError, match=f"^the exit code is {code}$"):
        run_for(work, argument, seconds=60, context=context)


@unix_only
def test_a_process_that_somebody_else_kills_is_an_error_too() -> None:
    spawn = multiprocessing.get_context("spawn")
    with pytest.raises(RuntimeError, match=r"^the exit code is -9$"):
        run_for(signal.raise_signal, signal.SIGKILL, seconds=60, context=spawn)
    assert multiprocessing.active_children() == []


class WaitingProcess:
    """A process for which one waits otherwise than up to a time."""

    def __init__(
        self, target: Target, args: tuple[object, ...], wait: Wait
    ) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._process = spawn.Process(target=target, args=args)
        self._wait = wait

    def __getattr__(self, name: str) -> object:
        return getattr(self._process, name)

    def join(self, timeout: float | None = None) -> None:
        """Call what was given, instead of waiting for *timeout*."""
        if timeout is None:
            self._process.join()
        else:
            self._wait()


def context_that_waits(wait: Wait) -> BaseContext:
    """Return a context whose processes call *wait* to wait up to a time."""
    context = SimpleNamespace(Process=partial(WaitingProcess, wait=wait))
    context.get_context = lambda: context
    return cast("BaseContext", context)


SLEEPER = """
import pathlib, time
try:
    writer.send("began")
    time.sleep(60)
finally:
    pathlib.Path(path).write_text("tidied up")
"""


def test_a_process_that_is_killed_does_not_run_its_finally_block(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    reader, writer = multiprocessing.Pipe(duplex=False)
    names = {"writer": writer, "path": str(path)}

    def wait() -> None:
        assert reader.recv() == "began"

    context = context_that_waits(wait)
    with reader, writer:
        assert not run_for(exec, SLEEPER, names, seconds=0, context=context)
    assert not path.exists()


def test_an_interrupted_wait_leaves_no_process_behind() -> None:
    def wait() -> None:
        raise KeyboardInterrupt

    context = context_that_waits(wait)
    with pytest.raises(KeyboardInterrupt):
        run_for(time.sleep, 10_000, seconds=60, context=context)
    assert multiprocessing.active_children() == []
