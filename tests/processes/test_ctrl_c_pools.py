"""What the recipe says of Ctrl-C, SIGTERM and workers, shown to be so."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, cast

import pytest

from cookbook.processes.ctrl_c_pools import (
    ending_executor,
    ending_pool,
    exit_on_sigterm,
)
from tests.programs import group_is_gone, program

METHODS = multiprocessing.get_all_start_methods()
SIGNALS = (signal.SIGINT, signal.SIGTERM)
KINDS: tuple[Callable[..., Any], ...] = (ending_executor, ending_pool)
RAISED = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: SystemExit}

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
linux = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="looks into /proc"
)
every_method = pytest.mark.parametrize("method", METHODS)
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


@pytest.fixture(autouse=True)
def handlers_stay_as_they_were() -> Iterator[None]:
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Give a fifo: a job that reads it waits until somebody writes."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


@every_method
@pytest.mark.parametrize("kind", KINDS)
def test_the_answers_come_as_from_any_executor_or_pool(
    kind: Callable[..., Any], method: str
) -> None:
    context = multiprocessing.get_context(method)
    with kind(2, context=context) as workers:
        assert list(workers.map(abs, [-1, -2, -3])) == [1, 2, 3]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("workers", "error", "text"),
    [
        (0, ValueError, "workers must be at least 1, not 0"),
        ("2", TypeError, "workers must be an int, not '2'"),
    ],
)
def test_bad_arguments_are_refused_before_a_process_is_started(
    kind: Callable[..., Any],
    workers: object,
    error: type[Exception],
    text: str,
) -> None:
    starts_nothing = object()
    with (
        pytest.raises(error, match=text),
        kind(workers, context=cast("Any", starts_nothing)),
    ):
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_outside_the_main_thread_it_is_refused_before_a_process_is_started(
    kind: Callable[..., Any],
) -> None:
    errors: list[str] = []

    def work() -> None:
        try:
            with kind(1):
                errors.append("it was not")
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    message = "signal only works in main thread of the main interpreter"
    assert errors == [message]


def test_without_an_error_all_jobs_that_were_submitted_are_run() -> None:
    context = multiprocessing.get_context("spawn")
    with ending_executor(1, context=context) as executor:
        futures = [executor.submit(abs, -n) for n in range(5)]
    assert [future.result(timeout=0) for future in futures] == list(range(5))


@posix
@every_method
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_leaves_ctrl_c_to_its_parent_and_ends_on_sigterm(
    kind: Callable[..., Any], method: str
) -> None:
    context = multiprocessing.get_context(method)
    with kind(1, context=context) as workers:
        found = list(workers.map(signal.getsignal, SIGNALS))
    assert found == [signal.SIG_IGN, signal.SIG_DFL]


@posix
@every_method
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_job_of_an_executor_and_drops_those_that_wait(
    number: signal.Signals, method: str, tmp_path: Path, gate: Path
) -> None:
    context = multiprocessing.get_context(method)
    with (  # noqa: PT012
        pytest.raises(RAISED[number]),
        contextlib.ExitStack() as at_the_end,
    ):
        executor = at_the_end.enter_context(
            ending_executor(1, context=context)
        )
        running = executor.submit(Path.read_text, gate)
        late = executor.submit(os.mkdir, tmp_path / "late")
        opened = gate.open("w")  # opens when the job does
        signal.raise_signal(number)
    opened.close()
    assert isinstance(running.exception(timeout=0), BrokenProcessPool)
    with pytest.raises((BrokenProcessPool, CancelledError)):
        late.result(timeout=0)
    assert not (tmp_path / "late").exists()


@posix
@every_method
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_to_the_parent_ends_a_pool_in_the_middle_of_its_jobs(
    number: signal.Signals, method: str, gate: Path
) -> None:
    context = multiprocessing.get_context(method)
    with pytest.raises(RAISED[number]):  # noqa: PT012, SIM117
        with ending_pool(1, context=context) as pool:
            pool.apply_async(Path.read_text, (gate,))
            opened = gate.open("w")  # opens when the job does
            signal.raise_signal(number)
    opened.close()
    assert not multiprocessing.active_children()


def test_sigterm_exits_with_the_status_that_a_shell_shows_for_it() -> None:
    with pytest.raises(SystemExit) as caught, exit_on_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 143


def test_after_the_block_the_handler_is_the_one_from_before() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda n, _: heard.append(n))
    try:
        with pytest.raises(LookupError), exit_on_sigterm():
            raise LookupError
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


@posix
def test_an_error_in_the_block_kills_the_job_that_runs_and_goes_on(
    gate: Path,
) -> None:
    context = multiprocessing.get_context("spawn")
    with pytest.raises(LookupError):  # noqa: PT012, SIM117
        with ending_executor(1, context=context) as executor:
            running = executor.submit(Path.read_text, gate)
            raise LookupError
    assert isinstance(running.exception(timeout=0), BrokenProcessPool)
    assert not multiprocessing.active_children()


def main_thread_sleeps() -> bool:
    """Tell whether it does, on Linux."""
    stat = Path(f"/proc/self/task/{os.getpid()}/stat").read_text()
    return stat.rpartition(") ")[2].startswith("S")


def end_the_sleep(begun: Callable[[], bool]) -> None:
    """Send SIGTERM when something has begun and the main thread sleeps."""
    asleep = 0
    while asleep < 3:
        asleep = asleep + 1 if begun() and main_thread_sleeps() else 0
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)


@linux
def test_a_signal_while_the_block_waits_for_its_jobs_ends_them_too(
    gate: Path,
) -> None:
    context = multiprocessing.get_context("spawn")
    entered: list[Any] = []
    sender = threading.Thread(
        target=end_the_sleep, args=(lambda: entered[0]._shutdown_thread,)
    )
    with pytest.raises(SystemExit):  # noqa: PT012, SIM117
        with ending_executor(1, context=context) as executor:
            entered.append(executor)
            executor.submit(Path.read_text, gate)
            sender.start()
    sender.join()
    # Up to 3.12 the block does not wait again (CPython issue 90882).
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not multiprocessing.active_children()


@linux
@pytest.mark.skipif(
    sys.version_info >= (3, 13), reason="there the block waits again"
)
def test_up_to_3_12_what_the_executor_still_reads_stays_open(
    gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[Any] = []
    held, left = threading.Event(), threading.Event()

    def wait(objects: list[Any], timeout: float | None = None) -> list[Any]:
        if entered[0]._shutdown_thread:
            held.set()
            assert left.wait(timeout=30)
        return connection_wait(objects, timeout)

    connection_wait = multiprocessing.connection.wait
    monkeypatch.setattr(multiprocessing.connection, "wait", wait)
    sender = threading.Thread(target=end_the_sleep, args=(held.is_set,))
    context = multiprocessing.get_context("spawn")
    with pytest.raises(SystemExit):  # noqa: PT012, SIM117
        with ending_executor(1, context=context) as executor:
            entered.append(executor)
            future = executor.submit(Path.read_text, gate)
            sender.start()
    left.set()
    assert isinstance(future.exception(timeout=30), BrokenProcessPool)
    sender.join()


class InterruptedStart(multiprocessing.context.SpawnContext):
    """Starts processes; a Ctrl-C comes before it returns."""

    class Process(multiprocessing.context.SpawnProcess):
        """A process that has started before the executor knows of it."""

        def start(self) -> None:
            """Start, and be interrupted."""
            super().start()
            signal.raise_signal(signal.SIGINT)


@posix
def test_a_worker_that_was_just_started_is_killed_and_another_one_spared() -> (
    None
):
    other = multiprocessing.get_context("spawn").Process(
        target=time.sleep, args=(60,)
    )
    other.start()
    try:
        with pytest.raises(KeyboardInterrupt):  # noqa: SIM117
            with ending_executor(1, context=InterruptedStart()) as executor:
                executor.submit(abs, -1)
        deadline = time.monotonic() + 10
        while len(multiprocessing.active_children()) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert other.is_alive()
    finally:
        other.kill()
        other.join()


@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_a_worker_that_is_still_inside_start_is_left() -> None:
    pids: list[int] = []

    class Process(multiprocessing.context.ForkProcess):
        @staticmethod
        def _Popen(process: Any) -> Any:  # noqa: ANN401, N802
            pids.append(
                multiprocessing.context.ForkProcess._Popen(process).pid
            )
            raise KeyboardInterrupt

    context = multiprocessing.context.ForkContext()
    vars(context)["Process"] = Process
    with pytest.raises(KeyboardInterrupt):  # noqa: SIM117
        with ending_executor(1, context=context) as executor:
            executor.submit(abs, -1)
    assert multiprocessing.active_children() == []
    assert os.waitpid(pids[0], os.WNOHANG) == (0, 0)  # it runs
    os.kill(pids[0], signal.SIGKILL)
    os.waitpid(pids[0], 0)


def send_half_an_answer(executor: ProcessPoolExecutor) -> None:
    """Do what a worker does that is killed while it sends an answer."""
    length = (100).to_bytes(4, "big")  # and no 100 bytes after it
    os.write(cast("Any", executor)._result_queue._writer.fileno(), length)


@posix
def test_half_an_answer_of_a_killed_worker_does_not_keep_the_block() -> None:
    context = multiprocessing.get_context("spawn")
    with pytest.raises(LookupError):  # noqa: PT012, SIM117
        with ending_executor(1, context=context) as executor:
            executor.submit(abs, -1).result()
            send_half_an_answer(executor)
            raise LookupError


@posix
def test_an_executor_waits_for_the_rest_of_an_answer_of_a_killed_worker(
    gate: Path,
) -> None:
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(1, mp_context=context)
    executor.submit(abs, -1).result()
    private: Any = executor
    manager = private._executor_manager_thread
    processes, answers = private._processes, private._result_queue
    waiting = executor.submit(Path.read_text, gate)
    # It runs: kill_workers cancels a job that is not yet handed over.
    writer = gate.open("w")
    send_half_an_answer(executor)
    if sys.version_info >= (3, 14):
        executor.kill_workers()
    else:
        for process in processes.values():
            process.kill()
    for process in list(processes.values()):
        process.join()
    manager.join(timeout=0.2)
    assert manager.is_alive()
    assert not waiting.done()
    writer.close()
    answers._writer.close()
    manager.join()
    assert isinstance(waiting.exception(timeout=0), BrokenProcessPool)
    executor.shutdown()


@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_a_forked_worker_goes_on_after_sigterm_if_its_parent_handles_that(
    gate: Path,
) -> None:
    context = multiprocessing.get_context("fork")
    with exit_on_sigterm(), ProcessPoolExecutor(1, context) as executor:
        worker = executor.submit(os.getpid).result()
        job = executor.submit(Path.read_text, gate)
        with gate.open("w"):  # opens when the job does
            os.kill(worker, signal.SIGTERM)
        assert isinstance(job.exception(timeout=60), SystemExit)
        assert executor.submit(os.getpid).result() == worker


@posix
def test_after_ctrl_c_an_ordinary_executor_runs_all_that_was_submitted(
    tmp_path: Path, gate: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    folders = [tmp_path / str(n) for n in range(5)]
    opens = threading.Thread(target=gate.write_text, args=("go",))
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012, SIM117
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            executor.submit(Path.read_text, gate)
            for folder in folders:
                executor.submit(os.mkdir, folder)
            try:
                signal.raise_signal(signal.SIGINT)
            finally:
                assert not any(folder.exists() for folder in folders)
                opens.start()
    opens.join()
    assert all(folder.exists() for folder in folders)


PROGRAM = """
import multiprocessing, os, signal, sys
from pathlib import Path
from cookbook.processes import ctrl_c_pools
from cookbook.processes.ctrl_c_pools import *

def work(gate):
    os.write(1, b"%d\\n" % os.getpid())
    Path(gate).read_text()
    Path(gate).with_name("read").mkdir()

if __name__ == "__main__":
    # A shell that starts a program in the background lets it ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    context = multiprocessing.get_context(sys.argv[2])
    kind = getattr(ctrl_c_pools, sys.argv[1])
    with kind(2, context=context) as workers:
        list(workers.map(work, [sys.argv[3]] * 2))
"""


@linux
@pytest.mark.parametrize("kind", ["ending_executor", "ending_pool"])
@pytest.mark.parametrize(
    ("case", "method"),
    [
        *(((os.killpg, signal.SIGINT, -signal.SIGINT), m) for m in METHODS),
        ((os.kill, signal.SIGINT, -signal.SIGINT), "spawn"),
        ((os.kill, signal.SIGTERM, 143), "spawn"),
    ],
)
def test_a_program_ends_on_a_signal_and_leaves_no_process_and_no_semaphore(
    kind: str,
    case: tuple[Callable[[int, int], None], int, int],
    method: str,
    tmp_path: Path,
    gate: Path,
) -> None:
    send, number, code = case
    with program(tmp_path, PROGRAM, kind, method, str(gate)) as running:
        assert running.stdout
        assert running.stderr
        for _ in range(2):
            assert running.stdout.readline()
        for _ in range(20):  # again, if it came just before a wait
            send(running.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(timeout=3)
                break
        assert running.returncode == code
        assert group_is_gone(running.pid)
        complaints = running.stderr.read().splitlines()
    assert complaints[-1:] == ["KeyboardInterrupt"] * (code != 143)
    assert not [one for one in complaints if "leaked" in one]
    assert complaints.count("KeyboardInterrupt") <= 1


BROKEN = """
import multiprocessing, os, signal, sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

def work(gate):
    os.write(1, b"%d\\n" % os.getpid())
    Path(gate).read_text()
    Path(gate).with_name("made").mkdir()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        executor.submit(work, sys.argv[2]).result()
"""


@linux
@every_method
def test_after_sigterm_to_its_parent_a_worker_ends_its_job_and_waits_for_more(
    method: str, tmp_path: Path, gate: Path
) -> None:
    made = tmp_path / "made"
    with program(tmp_path, BROKEN, method, str(gate)) as running:
        assert running.stdout
        worker = int(running.stdout.readline())
        with gate.open("w") as opened:  # opens when the job does
            running.terminate()
            assert running.wait(timeout=60) == -signal.SIGTERM
            opened.write("go")
        deadline = time.monotonic() + 60
        while not made.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert made.exists()
        os.kill(worker, 0)  # raises ProcessLookupError if it has ended
        reads, writes = pipes(worker)
        assert len(reads & writes) >= 2  # of its jobs and answers


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
