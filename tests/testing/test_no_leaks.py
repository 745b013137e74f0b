"""What the recipe says of leaks, shown to be so."""

import asyncio
import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import unittest
from collections.abc import Callable
from multiprocessing import shared_memory
from pathlib import Path

import pytest

from cookbook.testing import no_leaks as recipe
from cookbook.testing.no_leaks import broken_test, no_leaks

ROOT = Path(__file__).parents[2]
on_linux = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(),
    reason="only Linux shows its processes and descriptors as files",
)


def left_by(leak: Callable[[], object]) -> str:
    """Return what ``no_leaks`` says that *leak* leaves behind."""
    with pytest.raises(AssertionError) as caught, no_leaks(grace=0):
        leak()
    return str(caught.value)


@pytest.mark.parametrize("daemon", [False, True])
def test_a_thread_that_still_runs_is_left_behind(*, daemon: bool) -> None:
    may_end = threading.Event()
    thread = threading.Thread(
        target=may_end.wait, name="worker", daemon=daemon
    )
    try:
        assert left_by(thread.start) == "left behind: thread worker"
    finally:
        may_end.set()
        thread.join()


def test_two_threads_of_one_name_are_told_apart() -> None:
    may_end = threading.Event()
    threads = [
        threading.Thread(target=may_end.wait, name="worker") for _ in range(2)
    ]
    threads[0].start()
    try:
        assert left_by(threads[1].start) == "left behind: thread worker"
    finally:
        may_end.set()
        for thread in threads:
            thread.join()


def test_all_that_is_left_is_named_in_order() -> None:
    may_end = threading.Event()
    threads = [
        threading.Thread(target=may_end.wait, name=name) for name in "ba"
    ]

    def start() -> None:
        for thread in threads:
            thread.start()

    try:
        assert left_by(start) == "left behind: thread a, thread b"
    finally:
        may_end.set()
        for thread in threads:
            thread.join()


def test_a_thread_that_was_there_before_is_not_counted() -> None:
    may_end = threading.Event()
    thread = threading.Thread(target=may_end.wait)
    thread.start()
    try:
        with no_leaks(grace=0):
            pass
    finally:
        may_end.set()
        thread.join()


def test_what_has_been_told_to_end_gets_the_grace_to_be_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_end = threading.Event()
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        may_end.set()
        thread.join()

    thread = threading.Thread(target=may_end.wait)
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", sleep)
        with no_leaks():
            thread.start()
    assert len(pauses) == 1


def test_the_grace_ends_at_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_end = threading.Event()
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += 100 * seconds

    thread = threading.Thread(target=may_end.wait)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(time, "sleep", sleep)
            patch.setattr(time, "monotonic", lambda: now)
            with pytest.raises(AssertionError), no_leaks(grace=10):
                thread.start()
    finally:
        may_end.set()
        thread.join()
    assert now == pytest.approx(10, abs=1)


def test_a_test_that_leaves_nothing_does_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waited"))
    with no_leaks():
        pass


def test_a_task_that_nobody_waited_for_is_left_behind() -> None:
    loop = asyncio.new_event_loop()
    coroutine = asyncio.sleep(0)
    tasks: list[asyncio.Task[None]] = []
    try:
        said = left_by(lambda: tasks.append(loop.create_task(coroutine)))
        assert said.startswith("left behind: task <Task pending name=")
        tasks[0].cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        with no_leaks(grace=0):
            loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()


def test_a_process_of_multiprocessing_is_left_behind_on_every_system() -> None:
    context = multiprocessing.get_context("spawn")
    read_end, write_end = context.Pipe(duplex=False)
    process = context.Process(target=read_end.recv, name="worker")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recipe, "LOOKS", [recipe.processes])
            patch.setattr(recipe, "children", dict)  # not on Linux
            said = left_by(process.start)
        assert said == f"left behind: process {process.pid}: worker"
        write_end.send("end")
    finally:
        process.join()
        process.close()
        read_end.close()
        write_end.close()


@on_linux
def test_a_process_of_any_module_is_left_behind_on_linux() -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    started = []

    def leak() -> None:
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE))

    said = left_by(leak)
    with started[0]:
        running = recipe.command_line(str(started[0].pid))
    assert f"process {started[0].pid}: " in said
    assert "file descriptor" in said
    assert running in ("(starting)", " ".join(command))


@on_linux
def test_a_process_that_starts_is_counted_and_one_that_has_ended_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = {"1": "1 (a) b) S 0", "2": "2 (x) Z 0", "3": "3 (x) R 0"}
    for pid, state in states.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "stat").write_text(state)
        (tmp_path / pid / "cmdline").write_text("")
    (tmp_path / "3" / "cmdline").write_text("python\0-c\0pass\0")
    monkeypatch.setattr(
        recipe, "Path", lambda _, *parts: tmp_path.joinpath(*parts)
    )
    found = [recipe.command_line(pid) for pid in "1234"]
    assert found == ["(starting)", "", "python -c pass", ""]


@on_linux
def test_an_open_file_descriptor_is_left_behind_on_linux() -> None:
    opened: list[int] = []

    def leak() -> None:
        opened.append(os.open(os.devnull, os.O_RDONLY))

    said = left_by(leak)
    os.close(opened[0])
    assert said == f"left behind: file descriptor {opened[0]}: /dev/null"


@on_linux
def test_a_block_of_shared_memory_is_left_behind_on_linux() -> None:
    blocks: list[shared_memory.SharedMemory] = []

    def leak() -> None:
        block = shared_memory.SharedMemory(create=True, size=1)
        block.close()
        blocks.append(block)

    said = left_by(leak)
    blocks[0].unlink()
    name = blocks[0].name.removeprefix("/")
    assert said == f"left behind: shared memory {name}"


@on_linux
def test_a_block_that_is_still_mapped_is_left_behind_too() -> None:
    blocks: list[shared_memory.SharedMemory] = []
    said = left_by(
        lambda: blocks.append(shared_memory.SharedMemory(create=True, size=1))
    )
    blocks[0].close()
    blocks[0].unlink()
    assert f"shared memory {blocks[0].name.removeprefix('/')}" in said


SHARES = """
from multiprocessing.shared_memory import SharedMemory
input()
block = SharedMemory(create=True, size=1)
print(block.name, flush=True)
input()
block.close()
block.unlink()
print("unlinked")
"""


@on_linux
def test_a_block_that_another_program_has_mapped_is_not_counted() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SHARES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin
        assert other.stdout
        with no_leaks(grace=0):
            other.stdin.write("create\n")
            other.stdin.flush()
            name = other.stdout.readline().strip()
        assert Path("/dev/shm", name).exists()
        ended, _ = other.communicate("unlink\n", timeout=60)
    assert ended == "unlinked\n"


def test_a_file_that_nobody_holds_is_closed_and_not_counted(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"

    class Cycle:
        def __init__(self) -> None:
            self.itself = self
            self.descriptor = os.open(path, os.O_CREAT)

        def __del__(self) -> None:
            os.close(self.descriptor)

    gc.disable()
    try:
        with no_leaks(grace=0):
            Cycle()
    finally:
        gc.enable()


def test_an_error_in_the_block_goes_on_and_nothing_is_looked_for() -> None:
    may_end = threading.Event()
    thread = threading.Thread(target=may_end.wait)
    error = OSError("no answer")

    def fail() -> None:
        with no_leaks():
            thread.start()
            raise error

    try:
        with pytest.raises(OSError, match="no answer") as caught:
            fail()
    finally:
        may_end.set()
        thread.join()
    assert caught.value is error


USES_THE_SERVICES = """
import multiprocessing
from multiprocessing import shared_memory
from cookbook.testing.no_leaks import no_leaks

if __name__ == "__main__":
    for method in multiprocessing.get_all_start_methods():
        with no_leaks():
            block = shared_memory.SharedMemory(create=True, size=1)
            block.close()
            block.unlink()
            multiprocessing.get_context(method).Barrier(2)
            process = multiprocessing.get_context(method).Process(target=print)
            process.start()
            process.join()
            process.close()
    print("nothing left")
"""


def test_the_services_of_multiprocessing_are_not_counted() -> None:
    process = subprocess.run(
        [sys.executable, "-c", USES_THE_SERVICES],
        capture_output=True,
        check=True,
        cwd=ROOT,
        text=True,
        timeout=60,
    )
    assert process.stdout.split("\n")[-2:] == ["nothing left", ""]
    assert process.stderr == ""


TESTS = """
import threading

import pytest

from cookbook.testing.no_leaks import no_leaks

{fixture}

def test_forgets():
    threading.Thread(
        target=threading.Event().wait, name="worker", daemon=True
    ).start()


def test_joins():
    thread = threading.Thread(target=print)
    thread.start()
    thread.join()
"""


def test_an_autouse_fixture_fails_the_test_that_leaks_and_no_other(
    tmp_path: Path,
) -> None:
    fixture = (
        "@pytest.fixture(autouse=True)\n"
        "def nothing_left_behind():\n"
        "    with no_leaks():\n"
        "        yield\n"
    )
    text = TESTS.format(fixture=fixture.replace("no_leaks()", "no_leaks(0.1)"))
    path = tmp_path / "test_it.py"
    path.write_text(text)
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", path],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        timeout=60,
    )
    assert "ERROR at teardown of test_forgets" in process.stdout
    assert "left behind: thread worker" in process.stdout
    assert "2 passed, 1 error" in process.stdout


def test_with_unittest_enter_context_fails_the_test_that_leaks() -> None:
    may_end = threading.Event()
    threads = []

    class Tests(unittest.TestCase):
        """One test that leaks and one that does not."""

        def setUp(self) -> None:
            """Watch each test."""
            self.enterContext(no_leaks(grace=0))

        def test_forgets(self) -> None:
            """Leave a thread."""
            threads.append(threading.Thread(target=may_end.wait))
            threads[0].start()

        def test_leaves_nothing(self) -> None:
            """Leave nothing."""

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Tests).run(result)
    may_end.set()
    threads[0].join()
    assert result.testsRun == 2
    assert [test.id().split(".")[-1] for test, _ in result.failures] == [
        "test_forgets"
    ]
    assert result.errors == []


def test_a_test_that_forgets_its_thread_passes_unless_it_is_watched() -> None:
    may_end = threading.Event()
    try:
        broken_test(may_end.wait)
        said = left_by(lambda: broken_test(may_end.wait))
        assert said.startswith("left behind: thread Thread-")
    finally:
        may_end.set()


def test_a_python_in_dev_mode_names_the_file_that_was_dropped_unclosed() -> (
    None
):
    code = "import os; open(os.devnull)"
    process = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert "ResourceWarning: unclosed file <" in process.stderr
    assert "name='/dev/null'" in process.stderr or os.name == "nt"
