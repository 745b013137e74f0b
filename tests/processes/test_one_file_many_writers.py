"""What the recipe says of many processes and one file, shown to be so."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import groupby
from multiprocessing.synchronize import Lock
from pathlib import Path
from typing import Any, Self, cast

import pytest

from cookbook.processes.one_file_many_writers import (
    LOCKS,
    append_in_workers,
    append_record,
    broken_append_record,
    describe,
    fill_the_buffer,
    write_in_parent,
)

Write = Callable[..., None]
METHODS = multiprocessing.get_all_start_methods()
RIGHT = [write_in_parent, append_in_workers]

every_method = pytest.mark.parametrize("method", METHODS)
every_way = pytest.mark.parametrize("write", RIGHT)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@every_method
@every_way
def test_two_workers_that_meet_in_the_middle_of_a_line_tear_no_line(
    write: Write, method: str, tmp_path: Path
) -> None:
    path = tmp_path / "lines"
    context = multiprocessing.get_context(method)
    with context.Manager() as manager:
        turn = manager.Barrier(2, timeout=60)
        jobs = [partial(fill_the_buffer, letter, turn) for letter in "AB"]
        write(path, jobs, workers=2, context=context)
    assert sorted(lines_of(path)) == ["A" * 200_001, "B" * 200_001]


@every_method
def test_two_workers_that_write_the_pieces_as_they_come_tear_their_lines(
    method: str, tmp_path: Path
) -> None:
    path = tmp_path / "lines"
    context = multiprocessing.get_context(method)
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(2, mp_context=context) as executor,
    ):
        turn = manager.Barrier(2, timeout=60)
        jobs = [partial(fill_the_buffer, letter, turn) for letter in "AB"]
        list(executor.map(partial(broken_append_record, path), jobs))
    first, second = lines_of(path)
    runs = "".join(letter for letter, _ in groupby(first))
    assert runs in {"AB", "BA", "ABA", "BAB"}
    assert len(first) == 400_001
    assert second in {"A", "B"}


def test_the_parent_writes_in_the_order_of_the_jobs_after_what_is_there(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lines"
    path.write_text("first\n", encoding="utf-8")
    jobs = (partial(describe, n) for n in range(2, 7))
    context = multiprocessing.get_context("spawn")
    write_in_parent(path, jobs, workers=2, context=context)
    assert lines_of(path) == [
        "first",
        "2 is prime",
        "3 is prime",
        "4 is not prime",
        "5 is prime",
        "6 is not prime",
    ]


def test_the_workers_append_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("first\n", encoding="utf-8")
    jobs = (partial(describe, n) for n in (2, 4))
    context = multiprocessing.get_context("spawn")
    append_in_workers(path, jobs, workers=1, context=context)
    assert lines_of(path) == ["first", "2 is prime", "4 is not prime"]


class Watched:
    """A file that notes, when it is used, whether the lock is held."""

    def __init__(self, lock: Lock) -> None:
        self.lock = lock
        self.log: list[tuple[str, object]] = []

    def note(self, what: str) -> None:
        """Note what is done, and whether somebody else may do so too."""
        free = self.lock.acquire(block=False)
        if free:
            self.lock.release()
        self.log.append((what, "free" if free else "held"))

    def open(self, mode: str, *, encoding: str) -> "Watched":
        """Open the file."""
        self.note(f"open {mode} {encoding}")
        return self

    def write(self, text: str) -> None:
        """Write to the file."""
        self.note(f"write {text!r}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.note("close")


def test_the_lock_is_held_from_opening_to_closing_but_not_by_the_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lock = multiprocessing.get_context("spawn").Lock()
    monkeypatch.setitem(LOCKS, "file", lock)
    watched = Watched(lock)

    def job() -> list[str]:
        watched.note("job")
        return ["one ", "record"]

    append_record(cast("Any", watched), job)
    assert watched.log == [
        ("job", "free"),
        ("open a utf-8", "held"),
        (r"write 'one record\n'", "held"),
        ("close", "held"),
    ]


def test_the_parent_opens_the_file_once_for_all_and_needs_no_lock() -> None:
    context = multiprocessing.get_context("spawn")
    watched = Watched(context.Lock())
    jobs = [partial(describe, n) for n in (7, 8)]
    write_in_parent(cast("Any", watched), jobs, workers=1, context=context)
    assert watched.log == [
        ("open a utf-8", "free"),
        (r"write '7 is prime\n'", "free"),
        (r"write '8 is not prime\n'", "free"),
        ("close", "free"),
    ]


def test_a_record_that_is_written_is_in_the_file_when_it_is_flushed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lines"
    with path.open("a", encoding="utf-8") as file:
        file.write("a record\n")
        assert not lines_of(path)
        file.flush()
        assert lines_of(path) == ["a record"]


@every_way
@pytest.mark.parametrize(
    ("workers", "error", "text"),
    [
        (0, ValueError, "workers must be at least 1, not 0"),
        ("2", TypeError, "workers must be an int, not '2'"),
    ],
)
def test_bad_arguments_are_refused_before_a_process_is_started(
    write: Write,
    tmp_path: Path,
    workers: object,
    error: type[Exception],
    text: str,
) -> None:
    path = tmp_path / "lines"
    with pytest.raises(error, match=text):
        write(path, [], workers=workers, context=object())
    assert not path.exists()


def test_a_file_that_cannot_be_opened_is_refused_before_a_job_is_run(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "made by a job"
    job: Any = folder.mkdir
    with pytest.raises(FileNotFoundError):
        write_in_parent(tmp_path / "missing" / "lines", [job])
    assert not folder.exists()


@every_way
def test_every_process_is_of_the_context_that_is_given(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = multiprocessing.get_context("spawn")
    monkeypatch.setattr(multiprocessing, "get_context", None)  # not called
    path = tmp_path / "lines"
    write(path, [partial(describe, 7)], workers=1, context=context)
    assert lines_of(path) == ["7 is prime"]


@every_way
def test_an_error_in_a_job_leaves_the_records_before_it_and_no_part_of_one(
    write: Write, tmp_path: Path
) -> None:
    path = tmp_path / "lines"
    bad: Any = "eight"  # of which the first piece can be made
    jobs = [partial(describe, n) for n in (6, 7, bad)]
    with pytest.raises(TypeError, match="n must be an int, not 'eight'"):
        write(
            path,
            jobs,
            workers=1,
            context=multiprocessing.get_context("spawn"),
        )
    assert lines_of(path) == ["6 is not prime", "7 is prime"]


def test_the_parent_drops_the_records_after_an_error_and_workers_do_not(
    tmp_path: Path,
) -> None:
    found = []
    for write in RIGHT:
        path = tmp_path / write.__name__
        context = multiprocessing.get_context(METHODS[0])
        with context.Manager() as manager:
            # Both run by then: eight is no text, which is found at the end.
            turn = manager.Barrier(2, timeout=60)
            jobs = [
                partial(fill_the_buffer, cast("Any", 8), turn),
                partial(fill_the_buffer, "B", turn),
            ]
            with pytest.raises(TypeError, match="expected str instance"):
                write(path, jobs, workers=2, context=context)
        found.append(len(lines_of(path)))
    assert found == [0, 1]


@posix
@every_way
def test_a_killed_worker_breaks_the_executor_and_what_was_written_stays(
    write: Write, tmp_path: Path
) -> None:
    path = tmp_path / "lines"
    kill: Any = partial(signal.raise_signal, signal.SIGKILL)
    with pytest.raises(BrokenProcessPool):
        write(
            path,
            [partial(describe, 7), kill],
            workers=1,
            context=multiprocessing.get_context("spawn"),
        )
    assert lines_of(path) == ["7 is prime"]


class Deadly:
    """A path; to open it kills the process that has taken the lock."""

    def open(self, *_: object, **__: object) -> None:
        """Kill this process."""
        signal.raise_signal(signal.SIGKILL)


@posix
@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_workers_that_wait_for_the_lock_of_a_killed_one_are_ended() -> None:
    with pytest.raises(BrokenProcessPool):
        append_in_workers(
            cast("Any", Deadly()),
            [partial(describe, n) for n in range(4)],
            workers=2,
            context=multiprocessing.get_context("fork"),
        )
    assert not multiprocessing.active_children()


APPEND = """
import multiprocessing, os, sys

def append(path, letter, barrier):
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    record = (letter * 20_000 + "\\n").encode()
    barrier.wait()
    for _ in range(100):
        assert os.write(descriptor, record) == len(record)
    os.close(descriptor)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    barrier = context.Barrier(2)
    processes = [
        context.Process(target=append, args=(sys.argv[2], letter, barrier))
        for letter in "AB"
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="said of Linux")
def test_one_os_write_to_a_file_that_is_open_to_append_is_not_torn(
    tmp_path: Path,
) -> None:
    program, path = tmp_path / "program.py", tmp_path / "lines"
    program.write_text(APPEND, encoding="utf-8")
    subprocess.run(
        [sys.executable, "-I", program, METHODS[0], path],
        check=True,
        timeout=60,
    )
    lines = ["A" * 20_000] * 100 + ["B" * 20_000] * 100
    assert sorted(lines_of(path)) == lines


HOLD = """
import fcntl, signal, sys
with open(sys.argv[1], "a") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    signal.pause()
"""


@posix
def test_flock_lets_go_when_the_process_that_holds_it_is_killed(
    tmp_path: Path,
) -> None:
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "lines"
    with subprocess.Popen(
        [sys.executable, "-I", "-c", HOLD, path],
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with path.open("a", encoding="utf-8") as file:
            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            holder.kill()
            holder.wait(60)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_thread_of_the_parent_writes_what_workers_put_into_a_queue(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lines"
    context = multiprocessing.get_context(METHODS[0]).get_context()
    queue = context.SimpleQueue()

    def write() -> None:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(iter(queue.get, None))

    writer = threading.Thread(target=write)
    processes = [
        context.Process(target=queue.put, args=(f"{n}\n",)) for n in range(3)
    ]
    for process in processes:
        process.start()
    writer.start()
    for process in processes:
        process.join()
    queue.put(None)
    writer.join()
    queue.close()
    assert sorted(lines_of(path)) == ["0", "1", "2"]
