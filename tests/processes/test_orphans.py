"""What the recipe says of orphans and zombies, shown to be so."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from cookbook.processes.orphans import (
    broken_work,
    end_with_parent,
    outlives_parent,
    work,
)
from tests.programs import ROOT, end_group

METHODS = multiprocessing.get_all_start_methods()
GATES = ("gate0", "gate1")  # a job that reads one waits until it is written

linux = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="looks into /proc"
)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
forks = pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
every_method = pytest.mark.parametrize("method", METHODS)
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)

PROGRAM = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from cookbook.processes.orphans import end_with_parent

def say_and(wait, *arguments):
    os.write(1, b"%d\\n" % os.getpid())
    wait(*arguments)

def say_and_watch(gate):
    end_with_parent()
    os.write(1, b"%d watches\\n" % os.getpid())
    gate.read_text()

def start(job, gate, daemon):
    context.Process(target=job, args=(gate,), daemon=daemon).start()

def say_and_read(gate):
    os.write(1, b"%d\\n" % os.getpid())
    gate.read_text()

if __name__ == "__main__":
    method, kind, *watch = sys.argv[1:]
    gates = Path("gate0"), Path("gate1")
    context = multiprocessing.get_context(method)
    initializer = end_with_parent if watch else None
    if kind == "pool":
        with context.Pool(2, initializer) as workers:
            workers.map(say_and_read, gates, 1)
    elif kind == "executor":
        with ProcessPoolExecutor(2, context, initializer) as workers:
            list(workers.map(say_and_read, gates))
    elif kind == "siblings":
        start(say_and_watch, gates[0], False)
        start(say_and_read, gates[1], False)
    else:
        job = say_and_watch if watch else say_and_read
        for gate in gates:
            start(job, gate, kind == "daemon")
    time.sleep(60)
"""


def running(pid: int) -> bool:
    """Tell whether the process runs, on Linux."""
    return state(pid) not in ("", "Z", "X")


def state(pid: int) -> str:
    """Return the state of a process; nothing if there is none, on Linux."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(") ")[2][:1]


def ended(*pids: int) -> bool:
    """Wait until none of the processes runs any more, on Linux."""
    deadline = time.monotonic() + 30
    while any(map(running, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(map(running, pids))


@contextlib.contextmanager
def orphans(tmp_path: Path, *arguments: str) -> Iterator[list[int]]:
    """Give two workers that wait at a gate, and whose parent was killed."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    for gate in GATES:
        os.mkfifo(tmp_path / gate)
    with subprocess.Popen(
        [sys.executable, path, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            assert program.stdout
            lines = [program.stdout.readline() for _ in range(2)]
            lines.sort(key=len, reverse=True)  # first the one that watches
            pids = [int(line.split()[0]) for line in lines]
            program.kill()
            program.wait()
            yield pids
        finally:
            end_group(program.pid)


def open_gates(tmp_path: Path) -> None:
    """Wait until both jobs read, and let them end."""
    for gate in GATES:
        (tmp_path / gate).write_text("go")


@linux
@every_method
@pytest.mark.parametrize("kind", ["process", "daemon", "pool", "executor"])
def test_a_worker_that_watches_ends_in_mid_job_when_its_parent_is_killed(
    kind: str, method: str, tmp_path: Path
) -> None:
    with orphans(tmp_path, method, kind, "watch") as pids:
        assert ended(*pids)


@linux
@every_method
@pytest.mark.parametrize("kind", ["process", "daemon", "pool", "executor"])
def test_any_worker_that_does_not_watch_goes_on_with_its_job(
    kind: str, method: str, tmp_path: Path
) -> None:
    with orphans(tmp_path, method, kind) as pids:
        open_gates(tmp_path)
        assert len(set(pids)) == 2


@linux
@every_method
def test_a_worker_of_a_pool_ends_when_it_has_finished_its_job(
    method: str, tmp_path: Path
) -> None:
    with orphans(tmp_path, method, "pool") as pids:
        open_gates(tmp_path)
        assert ended(*pids)


@linux
@every_method
def test_a_worker_of_an_executor_waits_for_ever_for_its_next_job(
    method: str, tmp_path: Path
) -> None:
    with orphans(tmp_path, method, "executor") as pids:
        open_gates(tmp_path)
        for pid in pids:
            reads, writes = pipes(pid)
            assert reads & writes  # no end of the pipe comes while it waits
        assert all(map(running, pids))


def pipes(pid: int) -> tuple[set[str], set[str]]:
    """Return the pipes that a process can read, and those it can write."""
    found = {0o400: set[str](), 0o200: set[str]()}
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            target, mode = descriptor.readlink(), descriptor.lstat().st_mode
            if str(target).startswith("pipe:"):
                for bit, targets in found.items():
                    if mode & bit:
                        targets.add(str(target))
    return found[0o400], found[0o200]


@linux
@every_method
def test_under_fork_a_later_child_keeps_an_earlier_one_from_noticing(
    method: str, tmp_path: Path
) -> None:
    with orphans(tmp_path, method, "siblings") as pids:
        watching, other = pids
        if method == "fork":
            assert pipes(watching)[0] & pipes(other)[1]
            assert running(watching)
            os.kill(other, signal.SIGKILL)
        assert ended(watching)


@posix
def test_the_worker_that_watches_ends_and_the_daemonic_one_must_be_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed: list[int] = []
    kill = os.kill

    def note(pid: int, number: int) -> None:
        assert number == signal.SIGKILL
        killed.append(pid)
        kill(pid, number)

    monkeypatch.setattr(os, "kill", note)
    assert outlives_parent(work, patience=30) is False
    assert len(killed) == 1  # the parent
    assert outlives_parent(broken_work, patience=0.1) is True
    assert len(killed) == 3  # a parent and a worker
    assert ended(*killed)


def test_a_worker_that_says_nothing_is_an_error_and_leaves_nothing() -> None:
    says_nothing: Any = id
    with pytest.raises(EOFError) as caught:
        outlives_parent(says_nothing, patience=0)
    [found] = [
        entry.locals for entry in caught.traceback if "here" in entry.locals
    ]
    assert found["here"].closed
    assert vars(found["parent"])["_popen"].returncode is not None


def test_where_there_is_no_parent_to_watch_it_says_so() -> None:
    with pytest.raises(
        RuntimeError, match=r"^this process has no parent to watch$"
    ):
        end_with_parent()


@every_method
def test_a_worker_that_watches_ends_as_any_other_while_its_parent_lives(
    method: str,
) -> None:
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=end_with_parent)
    process.start()
    process.join()
    assert process.exitcode == 0


@posix
@every_method
def test_the_parent_by_process_id_is_the_server_under_forkserver(
    method: str,
) -> None:
    with multiprocessing.get_context(method).Pool(1) as pool:
        found = pool.apply(os.getppid) == os.getpid()
    assert found is (method != "forkserver")


def zombie(method: str) -> BaseProcess:
    """Return a process that has ended, and that nobody has asked about."""
    context: Any = multiprocessing.get_context(method)
    process: BaseProcess = context.Process()
    process.start()
    wait([process.sentinel])
    deadline = time.monotonic() + 10
    while running(process.pid or 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


@linux
@pytest.mark.parametrize("method", [m for m in METHODS if m != "forkserver"])
@pytest.mark.parametrize("by", ["join", "close", "active_children", "start"])
def test_a_child_that_has_ended_is_a_zombie_until_its_parent_asks(
    by: str, method: str
) -> None:
    process = zombie(method)
    assert process.pid
    pid = process.pid
    assert state(pid) == "Z"
    if by == "join":
        process.join()
    elif by == "close":
        process.close()
    elif by == "active_children":
        assert multiprocessing.active_children() == []
    else:
        context: Any = multiprocessing.get_context(method)
        other = context.Process()
        other.start()
        assert state(pid) == ""
        other.join()
    assert state(pid) == ""


@linux
def test_an_executor_leaves_no_zombie_when_its_block_has_ended() -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as executor:
        pid = executor.submit(os.getpid).result()
        assert state(pid) != ""
    assert state(pid) == ""


@linux
@pytest.mark.skipif("forkserver" not in METHODS, reason="needs forkserver")
def test_under_forkserver_the_server_removes_a_child_that_has_ended() -> None:
    process = zombie("forkserver")
    assert process.pid
    deadline = time.monotonic() + 10
    while state(process.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert state(process.pid) == ""
    process.join()


KILLED = """
import multiprocessing, os, signal, sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = multiprocessing.get_context("forkserver").Process()
    process.start()
    process.join()
    os.kill(os.getpid(), int(sys.argv[1]))
    signal.pause()
"""


@pytest.mark.skipif("forkserver" not in METHODS, reason="needs forkserver")
@pytest.mark.parametrize(
    ("number", "left"), [(signal.SIGKILL, 1), (signal.SIGINT, 0)]
)
def test_a_parent_that_is_killed_leaves_the_folder_of_its_fork_server(
    number: int, left: int, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(KILLED, encoding="utf-8")
    # The path of a socket is short, and tmp_path may not be.
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(
            [sys.executable, "-I", script, str(int(number))],
            check=False,
            env={**os.environ, "TMPDIR": folder},
            stderr=subprocess.DEVNULL,
            timeout=60,
        )
        assert ended.returncode == -number
        assert len(list(Path(folder).glob("pymp-*"))) == left
