"""What the recipe says of shared memory, shown to be so.

A program with a resource tracker of its own runs in a process of its own. The
tracker holds its standard error until it has ended.
"""

import importlib
import mmap
import multiprocessing
import os
import select
import signal
import subprocess
import sys
from array import array
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from importlib.util import find_spec
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, cast

import pytest

from cookbook.processes import shared_memory
from cookbook.processes.shared_memory import (
    attach,
    broken_read_elsewhere,
    broken_share,
    double_all,
    double_span,
    is_there,
    numbers_in,
    shared_block,
    unlink,
)
from tests.calls import Call
from tests.programs import program

ROOT = Path(shared_memory.__file__).parents[2]
METHODS = multiprocessing.get_all_start_methods()
# Imported here and not in a test: NumPy keeps a file open from then on.
numpy: Any = find_spec("numpy") and importlib.import_module("numpy")
LEAKED = "There appear to be 1 leaked shared_memory objects to clean up at"

every_method = pytest.mark.parametrize("method", METHODS)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
forks = pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
linux = pytest.mark.skipif(sys.platform != "linux", reason="is of Linux")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the blocks that the recipe creates from now on."""
    names = []
    create: Any = SharedMemory

    def noted(name: str | None = None, **options: object) -> SharedMemory:
        block: SharedMemory = create(name, **options)
        if options.get("create"):
            names.append(block.name)
        return block

    monkeypatch.setattr(shared_memory, "SharedMemory", noted)
    return names


@every_method
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_each_worker_doubles_its_span_where_it_is(
    method: str, workers: int, made: list[str]
) -> None:
    doubled = double_all(
        numbers=iter([1, 2, -3]),
        workers=workers,
        context=multiprocessing.get_context(method),
    )
    assert doubled == [2, 4, -6]
    assert [is_there(name) for name in made] == [False]


def test_each_worker_gets_one_span_and_the_context_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[object] = []
    context: Any = object()

    def executor(workers: int, mp_context: object) -> ThreadPoolExecutor:
        sent.extend([workers, mp_context])
        return ThreadPoolExecutor(workers)

    def span(_: str, start: int, stop: int) -> None:
        sent.append((start, stop))

    monkeypatch.setattr(shared_memory, "ProcessPoolExecutor", executor)
    monkeypatch.setattr(shared_memory, "double_span", span)
    assert double_all(numbers=[1, 2], workers=2, context=context) == [1, 2]
    assert sent[:2] == [2, context]
    assert sorted(sent[2:], key=str) == [(0, 1), (1, 2)]


def test_a_block_of_whole_pages_gives_as_many_numbers_as_were_put_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def in_pages(*, create: bool, size: int) -> SharedMemory:
        asked.append(size)
        return SharedMemory(create=create, size=mmap.PAGESIZE)

    monkeypatch.setattr(shared_memory, "SharedMemory", in_pages)
    spawn = multiprocessing.get_context("spawn")
    answers = double_all(numbers=[1, 2, 3], workers=1, context=spawn)
    assert answers == [2, 4, 6]
    assert asked == [24]


def test_who_attaches_closes_its_access(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = []

    def noted(name: str) -> SharedMemory:
        opened.append(attach(name))
        return opened[-1]

    monkeypatch.setattr(shared_memory, "attach", noted)
    with shared_block(8) as block:
        double_span(block.name, 0, 1)
        assert is_there(block.name)
        with pytest.raises(IndexError):
            double_span(block.name, 0, 10**9)
    assert [one.buf for one in opened] == [None, None, None]


def test_a_span_ends_before_stop_and_leaves_the_other_numbers() -> None:
    with shared_block(32) as block:
        with numbers_in(block) as numbers:
            numbers[:4] = array("q", [1, 1, 1, 1])
        double_span(block.name, 1, 3)
        with numbers_in(block) as numbers:
            assert list(numbers[:4]) == [1, 2, 2, 1]


def test_no_numbers_need_no_block(made: list[str]) -> None:
    assert double_all(numbers=[]) == []
    assert made == []


@pytest.mark.parametrize(
    ("numbers", "workers", "error", "text"),
    [
        ([7], 0, ValueError, "workers must be at least 1, not 0"),
        ([7], "2", TypeError, "workers must be an int, not '2'"),
        (7, 2, TypeError, "numbers must be iterable, not 7"),
        ([7, "eight"], 2, TypeError, "cannot be interpreted as an integer"),
        ([2**63], 2, OverflowError, "too (big|large) to convert"),
    ],
)
def test_bad_arguments_are_refused_before_there_is_a_block(
    numbers: object,
    workers: object,
    error: type[Exception],
    text: str,
    made: list[str],
) -> None:
    starts_nothing: Any = object()
    with pytest.raises(error, match=text):
        double_all(
            numbers=cast("Any", numbers),
            workers=cast("Any", workers),
            context=starts_nothing,
        )
    assert made == []


def test_what_one_process_writes_another_reads() -> None:
    with shared_block(8) as block:
        with numbers_in(block) as numbers:
            numbers[0] = 7
        with closing(attach(block.name)) as other, numbers_in(other) as there:
            assert there[0] == 7


def test_a_closed_block_has_no_numbers() -> None:
    with shared_block(8) as block:
        pass
    with pytest.raises(ValueError, match="the block is closed"):
        numbers_in(block)


def test_an_error_in_the_with_block_unlinks_the_block() -> None:
    with pytest.raises(ZeroDivisionError), shared_block(8) as block:
        _ = 1 / 0
    assert not is_there(block.name)


def test_the_trap_leaves_the_block_behind_after_an_error() -> None:
    names: list[str] = []

    def fail(name: str) -> None:
        names.append(name)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken_share(fail)
    assert is_there(names[0])
    unlink(names[0])
    broken_share(names.append)
    assert not is_there(names[1])


def test_a_view_in_use_keeps_close_from_working_but_not_unlink() -> None:
    text = "^cannot close exported pointers exist$"
    with pytest.raises(BufferError, match=text), shared_block(8) as block:
        view = numbers_in(block)
    assert not is_there(block.name)
    view.release()
    block.close()


@linux
def test_on_linux_a_block_has_the_size_that_was_asked_for() -> None:
    with shared_block(10) as block:
        assert block.size == 10
        other = attach(block.name)
        assert other.size == 10
        other.close()


@every_method
def test_an_error_of_a_job_is_raised_and_the_block_is_unlinked(
    method: str, made: list[str]
) -> None:
    text = "invalid value for format 'q'"
    with pytest.raises(ValueError, match=text):
        double_all(
            numbers=[1, 2**62, 3],
            workers=2,
            context=multiprocessing.get_context(method),
        )
    assert [is_there(name) for name in made] == [False]


@posix
@every_method
def test_a_killed_worker_is_told_of_and_the_block_is_unlinked(
    method: str, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    killer = Call(signal.raise_signal, signal.SIGKILL)
    monkeypatch.setattr(shared_memory, "split_range", lambda *_: [(0, killer)])
    with pytest.raises(BrokenProcessPool):
        double_all(
            numbers=[1, 2, 3],
            workers=1,
            context=multiprocessing.get_context(method),
        )
    assert [is_there(name) for name in made] == [False]


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program to the end of it and of its resource tracker."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        timeout=60,
    )


@posix
def test_another_program_that_attaches_unlinks_the_block_when_it_ends() -> (
    None
):
    block = SharedMemory(create=True, size=8)
    assert broken_read_elsewhere(block.name) == "read elsewhere: 0\n"
    assert not is_there(block.name)
    text = rf"\[Errno 2\] No such file or directory: '/{block.name}'"
    with pytest.raises(FileNotFoundError, match=text):
        block.unlink()
    block.close()
    # The tracker of this program would report the block that it has lost.
    SharedMemory(block.name, create=True, size=8).close()
    unlink(block.name)


@posix
@pytest.mark.skipif(sys.version_info < (3, 13), reason="no track=False yet")
def test_from_python_313_another_program_leaves_the_block_it_attaches() -> (
    None
):
    program = shared_memory.PROGRAM.replace(")", ", track=False)", 1)
    with shared_block(8) as block:
        ended = run(program, block.name)
        assert (ended.stdout, ended.stderr) == ("read elsewhere: 0\n", "")
        assert is_there(block.name)


FORKED = """
import multiprocessing, os, sys
from cookbook.processes.shared_memory import *

first, access = sys.argv[1:]
(names, name), (ended, end) = os.pipe(), os.pipe()

def work():
    os.close(name)
    os.close(ended)
    os.dup2(end, 2)  # for a tracker of its own, which holds it too
    globals()[access](os.read(names, 100).decode()).close()

worker = multiprocessing.get_context("fork").Process(target=work)
if first == "worker":
    worker.start()
block = SharedMemory(create=True, size=8)
if first == "block":
    worker.start()
os.close(end)
os.write(name, block.name.encode())
with open(ended) as stream:
    sys.stderr.write(stream.read())  # to the end of the worker and its tracker
worker.join()
print(is_there(block.name))
if not is_there(block.name):
    SharedMemory(block.name, create=True, size=8).close()
unlink(block.name)
"""


@forks
@pytest.mark.parametrize(
    ("first", "survives"), [("block", True), ("worker", False)]
)
def test_a_worker_forked_before_the_first_block_unlinks_it_when_it_ends(
    first: str, survives: object
) -> None:
    ended = run(FORKED, first, "SharedMemory")
    assert ended.stdout == f"{survives}\n"
    if survives:
        assert ended.stderr == ""
    else:
        assert LEAKED in ended.stderr


@forks
@pytest.mark.skipif(sys.version_info < (3, 13), reason="no track=False yet")
def test_from_python_313_attach_leaves_the_block_in_any_order() -> None:
    for first in "block", "worker":
        ended = run(FORKED, first, "attach")
        assert (ended.stdout, ended.stderr) == ("True\n", "")


INTERRUPTED = """
import os, signal, sys
from cookbook.processes.shared_memory import *

with shared_block(8) as block:
    print(block.name, flush=True)
    os.kill(os.getpid(), signal.Signals[sys.argv[1]])
    while True:
        signal.pause()
"""


@posix
def test_ctrl_c_unlinks_the_block() -> None:
    ended = run(INTERRUPTED, "SIGINT")
    assert ended.returncode == -signal.SIGINT
    assert ended.stderr.endswith("\nKeyboardInterrupt\n")
    assert "leaked" not in ended.stderr
    assert not is_there(ended.stdout.strip())


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_the_tracker_of_a_killed_program_unlinks_the_block_and_warns(
    name: str,
) -> None:
    ended = run(INTERRUPTED, name)
    assert ended.returncode == -signal.Signals[name]
    assert LEAKED in ended.stderr
    assert not is_there(ended.stdout.strip())


ORPHANED = """
import multiprocessing, os, signal
from concurrent.futures import ProcessPoolExecutor
from cookbook.processes.shared_memory import *

if __name__ == "__main__":
    with shared_block(8) as block:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            worker = executor.submit(os.getpid).result()
            print(block.name, worker, flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
"""


@linux
def test_the_tracker_waits_for_the_workers_of_an_executor_that_stay(
    tmp_path: Path,
) -> None:
    with program(tmp_path, ORPHANED) as running:
        assert running.stdout
        assert running.stderr
        name, worker = running.stdout.readline().split()
        assert running.wait(timeout=60) == -signal.SIGTERM
        assert select.select([running.stderr], [], [], 0.3) == ([], [], [])
        assert Path("/dev/shm", name).exists()
        os.kill(int(worker), signal.SIGKILL)
        assert LEAKED in running.stderr.read()  # to the end of the tracker
    assert not Path("/dev/shm", name).exists()


@linux
def test_the_block_stays_if_the_tracker_is_killed_too() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, "SIGCONT"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout
        assert program.stderr
        path = Path("/dev/shm", program.stdout.readline().strip())
        os.killpg(program.pid, signal.SIGKILL)
        assert program.stderr.read() == ""  # to the end of both
    assert path.stat().st_size == 8
    path.unlink()


@pytest.mark.skipif(numpy is None, reason="NumPy is not installed")
def test_an_array_of_numpy_on_the_block_keeps_it_open() -> None:
    text = "^cannot close exported pointers exist$"
    with shared_block(24) as block:
        shared = numpy.frombuffer(block.buf, dtype="q", count=3)
        shared[:] = [1, 2, 3]
        double_span(block.name, 0, 3)
        assert shared.tolist() == [2, 4, 6]
        again = attach(block.name)
        other = numpy.frombuffer(again.buf, dtype="q", count=3)
        with pytest.raises(BufferError, match=text):
            again.close()
        del shared, other
        again.close()
