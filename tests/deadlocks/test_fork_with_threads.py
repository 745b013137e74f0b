"""What the recipe says of forks with threads, shown to be so.

Each fork is in a program of its own, which ends what it has started.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from cookbook import forms
from cookbook.deadlocks import fork_with_threads
from cookbook.deadlocks.fork_with_threads import (
    BrokenJournal,
    Journal,
    add_line,
    exit_code_of,
    fresh_context,
)

ROOT = Path(fork_with_threads.__file__).parents[2]
METHODS = multiprocessing.get_all_start_methods()
WARNING = (
    "DeprecationWarning: This process (pid={}) is multi-threaded, use of "
    "fork() may lead to deadlocks in the child."
)

forks = pytest.mark.skipif("fork" not in METHODS, reason="needs fork")

BEGIN = """
import logging, os, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from cookbook.deadlocks.fork_with_threads import *

def forked(job):
    \"\"\"Run job in a forked child; tell whether it ended by itself.\"\"\"
    pid = os.fork()
    if pid == 0:
        signal.setitimer(signal.ITIMER_REAL, 0.3)  # ends it, if it waits
        try:
            job()
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)
    return "waits" if os.waitpid(pid, 0)[1] == signal.SIGALRM else "ends"

def while_held(take, let_go, job):
    \"\"\"Run job in a forked child while a thread holds a lock.\"\"\"
    held, ended = threading.Event(), threading.Event()
    def hold():
        take()
        held.set()
        ended.wait()
        let_go()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        return forked(job)
    finally:
        ended.set()
        thread.join()
"""


def run(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter; by default it shows no warning."""
    command = [sys.executable, *(options or ("-W", "ignore"))]
    return subprocess.run(
        [*command, "-c", f"{BEGIN}\n{program}"],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": ""},  # stdout has its buffer
        text=True,
        timeout=60,
    )


@forks
def test_a_lock_that_another_thread_held_stays_held_in_a_forked_child() -> (
    None
):
    shown = run(
        "lock = threading.Lock()\n"
        "print(while_held(lock.acquire, lock.release, lock.acquire))\n"
        "print(forked(lock.acquire))\n"
    )
    assert shown.stdout.split() == ["waits", "ends"]


@forks
def test_a_forked_child_has_only_the_thread_that_forked() -> None:
    shown = run(
        "lock = threading.Lock()\n"
        "count = lambda: print(threading.active_count(), flush=True)\n"
        "while_held(lock.acquire, lock.release, count)\n"
    )
    assert shown.stdout.split() == ["1"]


@forks
def test_the_journal_holds_its_lock_around_the_fork_and_lets_go_after_it() -> (
    None
):
    shown = run(
        "journal = Journal()\n"
        "in_add, log = threading.Event(), []\n"
        "def slow():\n"
        "    in_add.set()\n"
        "    time.sleep(0.05)\n"  # gives a fork that does not wait its time
        "    log.append('added')\n"
        "    return 'parent'\n"
        "def child():\n"
        "    journal.add(lambda: 'child')\n"
        "    print(journal.lines, log, flush=True)\n"
        "thread = threading.Thread(target=journal.add, args=(slow,))\n"
        "thread.start()\n"
        "in_add.wait()\n"
        "print(forked(child))\n"
        "thread.join()\n"
        "other = threading.Thread(\n"
        "    target=journal.add, args=(lambda: 'other',), daemon=True\n"
        ")\n"
        "other.start()\n"
        "other.join(10)\n"
        "print(journal.lines)\n"
    )
    assert shown.stdout.split("\n")[:3] == [
        "['parent', 'child'] ['added']",
        "ends",
        "['parent', 'other']",
    ]


@forks
def test_a_thread_that_holds_the_journal_may_fork() -> None:
    shown = run(
        "journal = Journal()\n"
        "def fork():\n"
        "    return forked(lambda: journal.add(lambda: 'child'))\n"
        "thread = threading.Thread(target=journal.add, args=(fork,))\n"
        "thread.start()\n"
        "thread.join()\n"
        "print(journal.lines)\n"
    )
    assert shown.stdout.split("\n")[0] == "['ends']"


@forks
def test_a_forked_child_of_the_broken_journal_waits_for_ever() -> None:
    shown = run(
        "journal = BrokenJournal()\n"
        "add = lambda: journal.add(lambda: 'child')\n"
        "lock = journal._lock\n"
        "print(while_held(lock.acquire, lock.release, add))\n"
        "print(forked(add))\n"
    )
    assert shown.stdout.split() == ["waits", "ends"]


@pytest.mark.parametrize("method", [m for m in METHODS if m != "fork"])
def test_a_process_that_is_not_forked_has_locks_of_its_own(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    held, ended = threading.Event(), threading.Event()

    def hold() -> str:
        held.set()
        assert ended.wait(timeout=60)
        return "parent"

    add = fork_with_threads.JOURNAL.add
    thread = threading.Thread(target=add, args=(hold,))
    thread.start()
    assert held.wait(timeout=10)
    try:
        assert exit_code_of(add_line, timeout=30, context=context) == 0
    finally:
        ended.set()
        thread.join()


def test_the_line_of_a_child_is_in_the_journal_of_its_process() -> None:
    before = list(fork_with_threads.JOURNAL.lines)
    add_line()
    assert fork_with_threads.JOURNAL.lines == [*before, "child"]


def test_the_fresh_context_is_forkserver_where_there_is_one_else_spawn() -> (
    None
):
    expected = "forkserver" if "forkserver" in METHODS else "spawn"
    assert fresh_context().get_start_method() == expected


def test_without_a_context_the_process_is_a_fresh_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = []
    start = BaseProcess.start

    def note(process: BaseProcess) -> None:
        started.append(type(process).__name__)
        start(process)

    monkeypatch.setattr(BaseProcess, "start", note)
    assert exit_code_of(add_line) == 0
    assert started in (["ForkServerProcess"], ["SpawnProcess"])


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_the_default_of_linux_is_forkserver_since_3_14_and_was_fork() -> None:
    expected = "forkserver" if sys.version_info >= (3, 14) else "fork"
    shown = run(
        "import multiprocessing; print(multiprocessing.get_start_method())"
    )
    assert shown.stdout.strip() == expected


@forks
def test_forking_before_the_threads_start_leaves_no_lock_held() -> None:
    shown = run(
        "lock = threading.Lock()\n"
        "print(forked(lock.acquire))\n"
        "threading.Thread(target=lock.acquire).start()\n",
        *("-W", "always"),
    )
    assert shown.stdout.split() == ["ends"]
    assert shown.stderr == ""


FORK_WITH_A_THREAD = """
ended = threading.Event()
thread = threading.Thread(target=ended.wait)
thread.start()
try:
    print(os.getpid(), forked(int))
finally:
    ended.set()
    thread.join()
"""


@forks
@pytest.mark.parametrize("options", [("-X", "dev"), ("-W", "always")])
def test_a_fork_while_a_thread_runs_warns_since_3_12(
    options: tuple[str, str],
) -> None:
    shown = run(FORK_WITH_A_THREAD, *options)
    pid, outcome = shown.stdout.split()
    assert outcome == "ends"
    warned = WARNING.format(pid) in shown.stderr
    assert warned == (sys.version_info >= (3, 12))


@forks
def test_the_dev_mode_warns_of_the_trap_and_a_default_run_says_nothing(
    tmp_path: Path,
) -> None:
    source = Path(fork_with_threads.__file__).read_text(encoding="utf-8")
    trap = tmp_path / "trap.py"
    trap.write_text(forms.program(source, "broken_main"), encoding="utf-8")
    for options in ["-I"], ["-I", "-X", "dev"]:
        shown = subprocess.run(
            [sys.executable, *options, str(trap)],
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        assert shown.stdout.endswith("holds the lock: exit code -9\n")
        warned = "is multi-threaded, use of fork() may" in shown.stderr
        assert warned == ("dev" in options and sys.version_info >= (3, 12))


@forks
def test_a_pool_of_threads_made_before_the_fork_runs_no_job_in_the_child() -> (
    None
):
    shown = run(
        "with ThreadPoolExecutor(max_workers=1) as pool:\n"
        "    pool.submit(int).result()\n"
        "    print(forked(lambda: pool.submit(int).result()))\n"
    )
    assert shown.stdout.split() == ["waits"]


@forks
def test_logging_renews_the_locks_of_its_handlers_in_the_child() -> None:
    shown = run(
        "handler = logging.StreamHandler()\n"
        "logging.getLogger().addHandler(handler)\n"
        "log = lambda: logging.warning('from the child')\n"
        "print(while_held(handler.acquire, handler.release, log))\n"
    )
    assert shown.stdout.split() == ["ends"]
    assert shown.stderr == "from the child\n"


@forks
def test_the_lock_of_the_buffer_of_stdout_is_not_renewed_in_the_child() -> (
    None
):
    shown = run(
        "reader, writer = os.pipe()\n"
        "result = os.dup(1)\n"
        "os.dup2(writer, 1)\n"
        "write = lambda: sys.stdout.write('x' * 1_000_000)\n"
        "thread = threading.Thread(target=write, daemon=True)\n"
        "thread.start()\n"
        "os.read(reader, 1)\n"  # it is in the midst of its write
        "thread.join(0.05)\n"
        "def child():\n"
        "    os.set_blocking(1, False)\n"  # so it is not the pipe that waits
        "    sys.stdout.buffer.write(b'y')\n"
        "outcome = forked(child)\n"
        "os.write(result, outcome.encode())\n"
        "os._exit(0)\n"
    )
    assert shown.stdout == "waits"


@forks
def test_what_register_at_fork_was_given_stays_after_its_object() -> None:
    shown = run(
        "import gc, weakref\n"
        "kept = weakref.ref(Journal()._lock)\n"
        "gc.collect()\n"
        "print(kept() is not None)\n"
    )
    assert shown.stdout.split() == ["True"]


def test_an_error_of_make_leaves_the_lines_and_the_lock_free() -> None:
    def fail() -> str:
        raise OSError("no line")

    for journal in Journal(), BrokenJournal():
        journal.add(lambda: "a")
        with pytest.raises(OSError, match="no line"):
            journal.add(fail)
        thread = threading.Thread(target=journal.add, args=(lambda: "b",))
        thread.start()
        thread.join(timeout=10)
        assert journal.lines == ["a", "b"]


def test_nobody_else_adds_while_a_line_is_made() -> None:
    journal = Journal()
    held, ended = threading.Event(), threading.Event()

    def slow() -> str:
        held.set()
        assert ended.wait(timeout=10)
        return "slow"

    threads = [threading.Thread(target=journal.add, args=(slow,))]
    threads[0].start()
    assert held.wait(timeout=10)
    quick = threading.Thread(target=journal.add, args=(lambda: "quick",))
    quick.start()
    quick.join(timeout=0.05)
    assert quick.is_alive()
    ended.set()
    for thread in (*threads, quick):
        thread.join()
    assert journal.lines == ["slow", "quick"]


@forks
def test_an_error_in_the_child_is_an_exit_code_of_1(
    capfd: pytest.CaptureFixture[str],
) -> None:
    context = multiprocessing.get_context("spawn")
    assert exit_code_of(os.getpid, context=context) == 0
    assert exit_code_of(os.wait, context=context) == 1
    assert "ChildProcessError" in capfd.readouterr().err


@forks
def test_a_child_that_takes_too_long_is_killed_by_a_signal() -> None:
    code = exit_code_of(signal.pause, timeout=0.1)
    assert code == -signal.SIGKILL


@forks
def test_ctrl_c_kills_the_child_and_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[BaseProcess] = []
    start = BaseProcess.start

    def note(process: BaseProcess) -> None:
        start(process)
        started.append(process)

    def press() -> None:
        while not started:
            time.sleep(0.001)
        while not raised.wait(timeout=0.1):
            signal.pthread_kill(main, signal.SIGINT)

    def interrupt(*_: object) -> None:
        raised.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(BaseProcess, "start", note)
    raised = threading.Event()
    main = threading.main_thread().ident or 0
    before = signal.signal(signal.SIGINT, interrupt)
    thread = threading.Thread(target=press)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            exit_code_of(signal.pause)
    finally:
        signal.signal(signal.SIGINT, before)
        raised.set()
        thread.join()
    assert [process.exitcode for process in started] == [-signal.SIGKILL]
