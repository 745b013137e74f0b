"""What the recipe says of finding where a program hangs, shown to be so."""

import asyncio
import contextlib
import faulthandler
import io
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from cookbook.deadlocks import find_where_it_hangs
from cookbook.deadlocks.find_where_it_hangs import (
    broken_stacks,
    dump_after,
    hanging_threads,
    stacks,
)

ROOT = Path(find_where_it_hangs.__file__).parents[2]
HANGING = """
import sys, threading, time

a, b, both = threading.Lock(), threading.Lock(), threading.Barrier(3)

def transfer(source, target):
    with source:
        both.wait()
        with target:
            pass

threads = [
    threading.Thread(target=transfer, args=locks) for locks in [(a, b), (b, a)]
]
for thread in threads:
    thread.start()
both.wait()

def tell_when_main_waits():
    main = threading.main_thread().ident
    joining = ("join", "_wait_for_tstate_lock")
    while sys._current_frames()[main].f_code.co_name not in joining:
        time.sleep(0.001)
    print("ready", flush=True)

threading.Thread(target=tell_when_main_waits).start()
for thread in threads:
    thread.join()
"""
REGISTERED = (
    "import faulthandler, signal\nfaulthandler.register(signal.SIGUSR1)"
)
# A shell that runs the tests in the background has Ctrl-C ignored.
CTRL_C = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
"""
NO_CORE = "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))"
POLLING = """
import time

def wait_for_answer():
    while True:
        time.sleep(0.01)

print("ready", flush=True)
wait_for_answer()
"""
AWAITING = """
import asyncio

async def wait_for_answer(answer):
    await answer.wait()

async def main():
    task = asyncio.create_task(wait_for_answer(asyncio.Event()), name="reader")
    await asyncio.sleep(0)
    print("ready", flush=True)
    await task

asyncio.run(main())
"""
NOT_ENDING = """
import multiprocessing, sys, threading, time

def calls_of_main():
    frame = sys._current_frames()[threading.main_thread().ident]
    while frame:
        yield frame.f_code.co_name
        frame = frame.f_back

def wait_for(call):
    while call not in calls_of_main():
        time.sleep(0.001)

def watch():
    wait_for("_exit_function")
    print(*multiprocessing.active_children())
    go_on.set()
    wait_for("_finalize_join")
    print(*(thread.name for thread in threading.enumerate()), flush=True)
    queue.get()

context = multiprocessing.get_context("fork")
go_on, queue = context.Event(), context.Queue()
context.Process(target=go_on.wait, args=(20,), name="child").start()
threading.Thread(target=watch, name="watch", daemon=True).start()
queue.put(bytes(1_000_000))
"""
unix_only = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no such signals"
)


class Program:
    """A program that runs, and what it has printed on standard error."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self.process = process
        self.errors = errors

    def wait_for(self, text: str, times: int) -> str:
        """Return what it printed, as soon as *text* is in it often enough."""
        deadline = time.monotonic() + 30
        while (printed := self.errors.read_text()).count(text) < times:
            assert time.monotonic() < deadline, printed
            time.sleep(0.01)
        return printed


@contextlib.contextmanager
def running(source: str, tmp_path: Path, *options: str) -> Iterator[Program]:
    """Run a program until the block ends; it is ready when it begins."""
    errors = tmp_path / "errors.txt"
    with (
        errors.open("w") as stream,
        subprocess.Popen(
            [sys.executable, *options, "-c", source],
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield Program(process, errors)
        finally:
            process.kill()


def look(command: Sequence[str], program: Program, typed: str = "") -> str:
    """Return what a tool says that looks into another process."""
    run = subprocess.run(
        [*command, str(program.process.pid)],
        check=False,
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    if "ermission" in run.stdout or "not permitted" in run.stdout:
        pytest.skip("this machine forbids to look into another process")
    assert run.returncode == 0, run.stdout
    return run.stdout


def test_the_stacks_of_all_threads_are_read_from_inside() -> None:
    with hanging_threads():
        listed = stacks()
        assert len(listed) == threading.active_count()
    found = dict(listed)
    assert set(found) == {"MainThread", "reader", "writer"}
    assert "read_data" in [frame.name for frame in found["reader"]]
    assert "write_log" in [frame.name for frame in found["writer"]]
    assert found["MainThread"][-1].name == "stacks"


def test_a_thread_that_has_not_started_or_has_ended_has_no_stack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = threading.Thread()
    ended.start()
    ended.join()
    every = [ended, threading.Thread(), threading.main_thread()]
    monkeypatch.setattr(threading, "enumerate", lambda: every)
    assert [name for name, _ in stacks()] == ["MainThread"]


def test_threads_of_one_name_have_a_stack_each() -> None:
    may_end = threading.Event()
    workers = [
        threading.Thread(target=may_end.wait, name="worker") for _ in range(3)
    ]
    for thread in workers:
        thread.start()
    names = [name for name, _ in stacks()]
    may_end.set()
    for thread in workers:
        thread.join()
    assert names.count("worker") == 3


def test_the_hanging_threads_wait_until_the_block_ends_and_end_with_it() -> (
    None
):
    with hanging_threads():
        names = ("reader", "writer")
        threads = [one for one in threading.enumerate() if one.name in names]
        for thread in threads:
            thread.join(timeout=0.05)
        assert [thread.is_alive() for thread in threads] == [True, True]
    assert [thread.is_alive() for thread in threads] == [False, False]


def test_after_an_error_in_the_block_the_threads_end_too() -> None:
    with pytest.raises(OSError, match="no answer"), hanging_threads():
        raise OSError("no answer")


def test_ctrl_c_shows_the_main_thread_alone() -> None:
    with hanging_threads():
        found = dict(broken_stacks())
    assert list(found) == ["MainThread"]
    assert [frame.name for frame in found["MainThread"]] == ["broken_stacks"]


@unix_only
def test_after_ctrl_c_the_traceback_shows_join_and_the_program_still_hangs(
    tmp_path: Path,
) -> None:
    with running(CTRL_C + HANGING, tmp_path) as program:
        program.process.send_signal(signal.SIGINT)
        printed = program.wait_for("KeyboardInterrupt", 1)
        assert "in join" in printed
        assert "in transfer" not in printed
        assert program.process.poll() is None


@unix_only
def test_a_child_and_a_feeder_keep_a_script_alive_and_are_listed() -> None:
    run = subprocess.run(
        [sys.executable, "-c", NOT_ENDING],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    children, threads = run.stdout.splitlines()
    assert "name='child'" in children
    assert threads == "MainThread watch QueueFeederThread"


@unix_only
def test_a_registered_signal_prints_every_stack_and_the_program_goes_on(
    tmp_path: Path,
) -> None:
    with running(REGISTERED + HANGING, tmp_path) as program:
        for times in (2, 4):
            program.process.send_signal(signal.SIGUSR1)
            printed = program.wait_for("in <module>", times // 2)
            assert printed.count("in transfer") == times
        assert program.process.poll() is None


@unix_only
def test_started_with_faulthandler_an_abort_prints_every_stack_and_ends_it(
    tmp_path: Path,
) -> None:
    source = NO_CORE + HANGING
    with running(source, tmp_path, "-X", "faulthandler") as program:
        program.process.send_signal(signal.SIGABRT)
        assert program.process.wait(timeout=30) == -signal.SIGABRT
        printed = program.wait_for("in <module>", 1)
    assert printed.startswith("Fatal Python error: Aborted\n")
    assert printed.count("in transfer") == 2


BLOCK = """
import os, threading, time
from cookbook.deadlocks.find_where_it_hangs import *

answer = threading.Event()
thread = threading.Thread(target=answer.wait)
thread.start()
try:
    with dump_after(0.05{options}):
        while not os.fstat(2).st_size or "{options}":
            time.sleep(0.01)
finally:
    print("cleaned up")
    answer.set()
"""


@pytest.mark.parametrize("options", ["", ", ends=True"])
def test_a_block_that_takes_too_long_prints_every_stack_and_ends_if_asked(
    options: str, tmp_path: Path
) -> None:
    errors = tmp_path / "errors.txt"
    with errors.open("w") as stream:
        run = subprocess.run(
            [sys.executable, "-c", BLOCK.format(options=options)],
            check=False,
            cwd=ROOT,
            stderr=stream,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    printed = errors.read_text()
    assert printed.startswith("Timeout (0:00:00.050000)!\n")
    assert " in wait" in printed
    if options:
        assert run.returncode == 1
        assert not run.stdout
    else:
        assert run.returncode == 0
        assert run.stdout == "cleaned up\n"


@pytest.fixture
def timer(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return what is asked of the timer, which pytest needs itself."""
    asked: list[object] = []

    def start(seconds: float, *, exit: bool) -> None:  # noqa: A002
        asked.append((seconds, exit))

    monkeypatch.setattr(faulthandler, "dump_traceback_later", start)
    monkeypatch.setattr(
        faulthandler,
        "cancel_dump_traceback_later",
        lambda: asked.append("cancelled"),
    )
    return asked


def test_the_timer_is_cancelled_when_the_block_ends_in_time(
    timer: list[object],
) -> None:
    with dump_after(5):
        assert timer == [(5, False)]
    assert timer == [(5, False), "cancelled"]


def test_the_timer_is_cancelled_when_the_block_raises(
    timer: list[object],
) -> None:
    with pytest.raises(OSError, match="no answer"), dump_after(5, ends=True):
        raise OSError("no answer")
    assert timer == [(5, True), "cancelled"]


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_timeout_that_is_not_above_0_is_refused(seconds: float) -> None:
    message = "^timeout must be greater than 0$"
    with pytest.raises(ValueError, match=message), dump_after(seconds):
        pytest.fail("the block was run")


HANGING_TEST = """
import threading

def test_waits_for_ever():
    threading.Event().wait()
"""


def test_pytest_ends_a_test_that_hangs_and_prints_its_stack(
    tmp_path: Path,
) -> None:
    (tmp_path / "test_it.py").write_text(HANGING_TEST)
    options = ["faulthandler_timeout=0.2", "faulthandler_exit_on_timeout=true"]
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
            *("--rootdir", str(tmp_path), "--noconftest"),
            *[word for option in options for word in ("-o", option)],
        ],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        text=True,
        timeout=60,
    )
    assert run.returncode == 1
    assert "Timeout (0:00:00.200000)!" in run.stderr
    assert "in test_waits_for_ever" in run.stderr


@pytest.mark.skipif(sys.version_info < (3, 14), reason="pdb -p is of 3.14")
def test_pdb_attaches_to_a_main_thread_that_runs_and_lets_it_go_on(
    tmp_path: Path,
) -> None:
    with running(POLLING, tmp_path) as program:
        command = [sys.executable, "-m", "pdb", "-p"]
        said = look(command, program, "w\nq\n")
        assert "in wait_for_answer" in said or "wait_for_answer()" in said
        assert program.process.poll() is None


@pytest.mark.skipif(sys.version_info < (3, 14), reason="new in 3.14")
@pytest.mark.parametrize("form", ["ps", "pstree"])
def test_asyncio_shows_from_outside_what_each_task_awaits(
    tmp_path: Path, form: str
) -> None:
    with running(AWAITING, tmp_path) as program:
        said = look([sys.executable, "-m", "asyncio", form], program)
    assert "reader" in said
    assert "wait_for_answer" in said
    assert "Event.wait" in said


async def wait_for_answer(answer: asyncio.Event) -> None:
    await answer.wait()


async def read_data(answer: asyncio.Event) -> None:
    await wait_for_answer(answer)


async def printed_of_others(show: Callable[..., object]) -> str:
    """Return what *show* prints of a task that waits, and end the task."""
    answer, printed = asyncio.Event(), io.StringIO()
    reader = asyncio.create_task(read_data(answer), name="reader")
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        show(task, file=printed)
    answer.set()
    await reader
    return printed.getvalue()


def test_a_coroutine_lists_the_tasks_and_where_each_of_them_waits() -> None:
    said = asyncio.run(printed_of_others(asyncio.Task.print_stack))
    assert "name='reader'" in said
    assert "in read_data" in said
    assert "in wait_for_answer" not in said


@pytest.mark.skipif(sys.version_info < (3, 14), reason="new in 3.14")
def test_the_call_graph_of_a_task_shows_the_whole_chain_of_awaits() -> None:
    show = getattr(asyncio, "print_call_graph")  # noqa: B009
    said = asyncio.run(printed_of_others(show))
    chain = ["'reader'", "Event.wait", "wait_for_answer", "read_data"]
    places = [said.index(part) for part in chain]
    assert places == sorted(places)


@pytest.mark.skipif(sys.version_info < (3, 15), reason="new in 3.15")
def test_the_sampling_profiler_dumps_the_stack_of_every_thread(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "profiling.sampling", "dump", "-a"]
    with running(HANGING, tmp_path) as program:
        said = look(command, program)
        assert program.process.poll() is None
    assert said.count("in transfer") == 2
    assert said.count("in <module>") == 1


@pytest.mark.skipif(not shutil.which("py-spy"), reason="py-spy is missing")
@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="py-spy 0.4 cannot read a free-threaded build",
)
def test_py_spy_dumps_the_stack_of_every_thread(tmp_path: Path) -> None:
    with running(HANGING, tmp_path) as program:
        said = look(["py-spy", "dump", "--pid"], program)
        assert program.process.poll() is None
    assert said.count("transfer (") == 2
