"""The script that disturbs programs, and the table that it fills."""

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import disturbed
import pytest

from cookbook.processes.shared_memory import shared_block
from tests import faults

ROOT = Path(__file__).parent.parent
LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="programs are disturbed on Linux"
)
CHILD = (
    "import subprocess, sys\n"
    "sleep = 'import time; time.sleep(60)'\n"
    "subprocess.Popen([sys.executable, '-c', sleep])"
)
FILE = "import os; open(os.environ['TMPDIR'] + '/left', 'w').close()"


@LINUX
@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("print('fine')", ("done", "")),
        ("raise ValueError", ("ValueError", "")),
        ("raise SystemExit(3)", ("silent", "")),
        ("import os; os.kill(os.getpid(), 9)", ("SIGKILL", "")),
        (CHILD, ("done", "processes")),
        (FILE, ("done", "files")),
    ],
)
def test_it_is_told_how_a_program_ends_and_what_it_leaves(
    source: str, found: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "GRACE", 0)
    assert faults.run([sys.executable, "-c", source]) == found


@LINUX
def test_a_program_that_does_not_end_is_said_to_wait_and_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faults, "LIMIT", 0.1)
    waits = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert faults.run(waits) == ("waits", "")


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"done": 3, "SIGINT": 7, "OSError": 1}, []),
        ({"done": 8, "waits": 2}, ["2 wait"]),
        ({"silent": 1}, ["1 silent"]),
        (
            {"SIGTERM processes": 1, "silent processes": 2, "done files": 3},
            ["3 processes", "2 silent", "3 files"],
        ),
        (
            {"SIGBUS": 4, "left a block": 1, "left a semaphore": 2},
            ["4 SIGBUS", "1 block", "2 semaphores"],
        ),
    ],
)
def test_a_cell_tells_what_did_not_go_well_and_nothing_else(
    counts: dict[str, int], words: list[str]
) -> None:
    assert disturbed.cell(counts) == words


@LINUX
@pytest.mark.parametrize(
    ("make", "prefix"),
    [
        (multiprocessing.get_context("spawn").Lock, "sem."),
        (shared_block(1).__enter__, ""),
    ],
    ids=["semaphore", "block"],
)
def test_ctrl_c_before_the_tracker_knows_of_it_leaves_what_was_made(
    make: Callable[[], object], prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(name: str, _kind: str) -> None:
        names.append(name.removeprefix("/"))
        raise KeyboardInterrupt

    names: list[str] = []
    monkeypatch.setattr(resource_tracker, "register", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make()
    (faults.SHM / f"{prefix}{names[0]}").unlink()  # an error if it is not left


def test_with_no_room_who_writes_to_a_block_is_killed() -> None:
    known = json.loads(faults.PATH.read_text(encoding="utf-8"))
    full = known["processes.shared_memory"]["faults"]["full /dev/shm"]
    assert full == {"SIGBUS": 1}


@LINUX
def test_a_worker_killed_with_the_lock_of_the_jobs_lets_shutdown_wait(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    executor = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))
    private: Any = executor
    job = executor.submit(Path.read_text, gate)
    idle = executor.submit(os.getpid).result()
    lock = private._call_queue._rlock._semlock
    until(lock._is_zero)  # it is the idle worker's: the other one has a job
    os.kill(idle, signal.SIGSTOP)
    gate.write_text("", encoding="utf-8")
    job.result()
    manager = private._executor_manager_thread
    workers = [*private._processes]
    executor.shutdown(wait=False)
    until(lambda: "join_executor_internals" in functions_of(manager))
    os.kill(idle, signal.SIGKILL)
    manager.join(timeout=0.2)
    assert manager.is_alive()
    for worker in set(workers) - {idle}:
        os.kill(worker, signal.SIGKILL)
    manager.join()


def until(condition: Callable[[], bool]) -> None:
    """Return when it is so; fail after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def functions_of(thread: threading.Thread) -> set[str]:
    """Return the names of the functions that a thread is in."""
    frames = sys._current_frames()
    frame = frames.get(thread.ident or 0)
    return {one.f_code.co_name for one, _ in traceback.walk_stack(frame)}


def test_ten_programs_were_disturbed_as_they_are() -> None:
    found = disturbed.load(ROOT / "docs")
    assert found
    assert [name for name, _ in found.rows] == list(faults.RECIPES)
    if found.stale and "CI" not in os.environ:
        pytest.skip(f"run nox -s faults: {', '.join(found.stale)} changed")
    assert not found.stale, "run nox -s faults"


def test_each_signal_was_sent_two_hundred_times_and_each_fault_recorded() -> (
    None
):
    known = json.loads(faults.PATH.read_text(encoding="utf-8"))
    every = [*faults.SIGNALS, *faults.SHORTAGES, "full /dev/shm"]
    for one in known.values():
        assert list(one["faults"]) == every
        for fault in faults.SIGNALS:
            counts = one["faults"][fault]
            ends = [
                n for how, n in counts.items() if how not in disturbed.LEFT
            ]
            assert sum(ends) == 200


def test_a_program_that_has_changed_since_is_named(tmp_path: Path) -> None:
    facts = {"code": "other", "python": "3.14.0", "faults": {"x": {"done": 1}}}
    kept = tmp_path / "recorded" / "faults.json"
    kept.parent.mkdir()
    name = faults.RECIPES[0]
    kept.write_text(json.dumps({name: facts}), encoding="utf-8")
    found = disturbed.load(tmp_path)
    assert found == ("3.14.0", ["x"], [(name, [[]])], [name])
