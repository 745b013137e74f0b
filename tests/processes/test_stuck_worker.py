"""What the recipe says of jobs that take too long, shown to be so."""

import math
import multiprocessing
import multiprocessing.connection
import operator
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cookbook.primes import is_prime
from cookbook.processes import stuck_worker
from cookbook.processes.stuck_worker import (
    broken_result,
    call_with_timeout,
    end,
    receive_outcome,
)
from tests.calls import Call

METHODS = multiprocessing.get_all_start_methods()
SPAWN = multiprocessing.get_context("spawn")
ENDLESS = 2**127 - 1  # a prime that no worker ever finds to be one
ROOT = Path(stuck_worker.__file__).parents[2]

every_method = pytest.mark.parametrize("method", METHODS)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
forks = pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseProcess]]:
    """Note the processes that are started."""
    noted: list[BaseProcess] = []
    start = BaseProcess.start

    def note(process: BaseProcess) -> None:
        noted.append(process)
        start(process)

    monkeypatch.setattr(BaseProcess, "start", note)
    yield noted
    noted.clear()  # each keeps a file open


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """Return a file that makes its reader wait for a writer."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


@contextmanager
def sigterm(handler: signal.Handlers | Callable[..., None]) -> Iterator[None]:
    """Handle SIGTERM in this way meanwhile."""
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@every_method
def test_a_result_in_time_is_returned_and_the_process_ends_by_itself(
    method: str, started: list[BaseProcess]
) -> None:
    context = multiprocessing.get_context(method)
    found = call_with_timeout(
        is_prime, 97, timeout=60, grace=60, context=context
    )
    assert found is True
    assert [process.exitcode for process in started] == [0]


@every_method
def test_when_the_time_is_up_the_process_has_ended(
    method: str, started: list[BaseProcess]
) -> None:
    context = multiprocessing.get_context(method)
    text = r"^no result in 0\.1 seconds$"
    with pytest.raises(TimeoutError, match=text):
        call_with_timeout(
            is_prime, ENDLESS, timeout=0.1, grace=60, context=context
        )
    codes = [process.exitcode for process in started]
    assert codes == [-signal.SIGTERM]


@every_method
def test_an_error_of_the_job_is_raised_in_the_parent(
    method: str, started: list[BaseProcess]
) -> None:
    context = multiprocessing.get_context(method)
    with pytest.raises(ValueError, match="'eight'") as caught:
        call_with_timeout(int, "eight", timeout=60, context=context)
    assert caught.value.__cause__ is None
    assert not any(process.is_alive() for process in started)


def test_an_error_of_the_job_is_not_taken_for_the_end_of_the_pipe() -> None:
    with pytest.raises(EOFError, match="Ran out of input"):
        call_with_timeout(pickle.loads, b"", timeout=60)


@every_method
def test_a_worker_that_dies_is_told_with_its_exit_code(method: str) -> None:
    context = multiprocessing.get_context(method)
    text = "^worker ended with exit code 7$"
    with pytest.raises(RuntimeError, match=text):
        call_with_timeout(os._exit, 7, timeout=60, context=context)


@posix
def test_a_worker_that_is_killed_is_told_with_its_exit_code() -> None:
    text = "^worker ended with exit code -9$"
    with pytest.raises(RuntimeError, match=text):
        call_with_timeout(signal.raise_signal, signal.SIGKILL, timeout=60)


@posix
@pytest.mark.parametrize("written", [b"", b"\0\0\0\x09half"])
def test_an_end_before_or_in_the_result_is_told_of_and_the_pipe_is_closed(
    written: bytes,
) -> None:
    ends: list[Connection] = []

    def pipe(*, duplex: bool) -> list[Connection]:
        ends.extend(SPAWN.Pipe(duplex=duplex))
        os.write(ends[1].fileno(), written)
        return ends

    context: Any = SimpleNamespace(Pipe=pipe, Process=SPAWN.Process)
    context.get_context = lambda: context
    with pytest.raises(RuntimeError, match=r"exit code 7$"):
        call_with_timeout(os._exit, 7, timeout=60, context=context)
    assert [end.closed for end in ends] == [True, True]


def test_a_result_that_cannot_be_sent_is_exit_code_1(
    capfd: pytest.CaptureFixture[str],
) -> None:
    text = "^worker ended with exit code 1$"
    with pytest.raises(RuntimeError, match=text):
        call_with_timeout(open, os.devnull, timeout=60, context=SPAWN)
    assert "cannot pickle" in capfd.readouterr().err


@posix
@every_method
def test_sigterm_ends_a_job_wherever_it_is(method: str, fifo: Path) -> None:
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=fifo.read_text)
    process.start()
    with fifo.open("w"):  # waits until the job reads
        end(process, 60)
    assert process.exitcode == -signal.SIGTERM


@posix
@pytest.mark.parametrize("method", [m for m in METHODS if m != "forkserver"])
def test_a_process_that_ignores_sigterm_is_killed(
    method: str, fifo: Path
) -> None:
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=fifo.read_text)
    with sigterm(signal.SIG_IGN):
        process.start()
    with fifo.open("w"):
        end(process, 0.05)
    assert process.exitcode == -signal.SIGKILL


@forks
@pytest.mark.parametrize(
    ("method", "code"),
    [("fork", -signal.SIGKILL), ("spawn", -signal.SIGTERM)],
)
def test_a_forked_worker_has_the_handler_of_its_parent(
    method: str, code: int, fifo: Path
) -> None:
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=fifo.read_text)
    with sigterm(lambda *_: None):
        process.start()
    with fifo.open("w"):
        end(process, 0.05 if method == "fork" else 60)
    assert process.exitcode == code


STOPPED = """
import multiprocessing, sys
from pathlib import Path
from cookbook.processes.stuck_worker import end

def job(path):
    try:
        path.read_text()
    finally:
        print("finally", flush=True)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    for is_stopped in True, False:
        path = Path(sys.argv[2])
        process = context.Process(target=job, args=(path,))
        process.start()
        with path.open("w"):
            if is_stopped:
                end(process, 60)
        process.join()
        print(process.exitcode, flush=True)
"""


@posix
@every_method
def test_a_terminated_worker_runs_no_finally(
    method: str, tmp_path: Path, fifo: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(STOPPED, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, str(script), method, str(fifo)],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        timeout=60,
    )
    assert ended.stdout.split() == ["-15", "finally", "0"]


@posix
def test_a_process_with_a_result_gets_the_grace_to_end(
    fifo: Path, started: list[BaseProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    join = BaseProcess.join

    def let_go(process: BaseProcess, timeout: float | None = None) -> None:
        if not waits:
            fifo.write_text("the thread of the job may end")
        waits.append(timeout)
        join(process, timeout)

    waits: list[float | None] = []
    monkeypatch.setattr(BaseProcess, "join", let_go)
    thread: Any = Call(partial(threading.Thread, target=fifo.read_text))
    start: Any = operator.methodcaller("start")
    call_with_timeout(start, thread, timeout=60, grace=30, context=SPAWN)
    assert waits == [30, 30, None]
    assert [process.exitcode for process in started] == [0]


@posix
def test_the_end_of_the_process_is_seen_though_another_holds_the_pipe() -> (
    None
):
    receiver, sender = SPAWN.Pipe(duplex=False)
    with receiver, sender:
        process = SPAWN.Process(target=os.getpid)
        process.start()
        with pytest.raises(RuntimeError, match=r"exit code 0$"):
            receive_outcome(receiver, process, 60)


@every_method
def test_ctrl_c_ends_the_process(
    method: str, started: list[BaseProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(multiprocessing.connection, "wait", press)
    context = multiprocessing.get_context(method)
    with pytest.raises(KeyboardInterrupt):
        call_with_timeout(
            is_prime, ENDLESS, timeout=60, grace=60, context=context
        )
    assert [process.exitcode for process in started] == [-signal.SIGTERM]


@pytest.mark.parametrize("name", ["timeout", "grace"])
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_a_time_that_is_not_positive_and_finite_is_refused(
    name: str, value: float
) -> None:
    starts_nothing: Any = object()
    options: Any = {"timeout": 1, name: value}
    text = f"^{name} must be positive, finite, not {value!r}$"
    with pytest.raises(ValueError, match=text):
        call_with_timeout(abs, -7, context=starts_nothing, **options)


def test_a_job_that_cannot_be_sent_leaves_neither_process_nor_pipe() -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        call_with_timeout(lambda n: n, 7, timeout=60, context=SPAWN)


@pytest.mark.parametrize("method", [None, *METHODS])
def test_the_process_is_started_by_the_context_or_the_default(
    method: str | None, started: list[BaseProcess]
) -> None:
    context: Any = multiprocessing.get_context(method)
    given: Any = {} if method is None else {"context": context}
    assert call_with_timeout(abs, -7, timeout=60, **given) == 7
    assert [type(process) for process in started] == [context.Process]


def test_many_jobs_may_be_called_in_threads() -> None:
    job = partial(call_with_timeout, abs, timeout=60, context=SPAWN)
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(job, [-1, -2, -3])) == [1, 2, 3]


@posix
@every_method
def test_a_job_that_has_begun_in_an_executor_is_not_stopped_by_the_timeout(
    method: str, fifo: Path
) -> None:
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        future = executor.submit(Path.read_text, fifo)
        with fifo.open("w") as file:  # waits until the job reads
            assert broken_result(future, timeout=0.01) is None
            assert not future.cancelled()
            leave = threading.Thread(target=executor.shutdown)
            leave.start()
            leave.join(0.05)
            assert leave.is_alive()
            file.write("done all the same")
        leave.join(60)
    assert future.result() == "done all the same"
    with pytest.raises(TimeoutError):
        call_with_timeout(Path.read_text, fifo, timeout=0.1, context=context)


AT_EXIT = """
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

if __name__ == "__main__":
    executor = ProcessPoolExecutor(1)
    executor.submit(Path.read_text, Path(sys.argv[1]))
    executor.shutdown(wait=False)
    print("at exit", flush=True)
"""


@posix
def test_the_interpreter_waits_at_its_exit_for_the_job_of_an_executor(
    tmp_path: Path, fifo: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(AT_EXIT, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script), str(fifo)],
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        with fifo.open("w"):  # waits until the job reads
            assert program.stdout is not None
            assert program.stdout.readline() == "at exit\n"
            with pytest.raises(subprocess.TimeoutExpired):
                program.wait(timeout=0.1)
        assert program.wait(timeout=60) == 0


@posix
@pytest.mark.skipif(sys.version_info < (3, 14), reason="new in 3.14")
@pytest.mark.parametrize("way", ["terminate_workers", "kill_workers"])
def test_from_3_14_an_executor_can_end_its_workers(
    way: str, fifo: Path
) -> None:
    with ProcessPoolExecutor(1, mp_context=SPAWN) as executor:
        running = executor.submit(Path.read_text, fifo)
        pending = [executor.submit(abs, -n) for n in range(5)]
        with fifo.open("w"):  # waits until the job reads
            getattr(executor, way)()
            error = running.exception(timeout=60)
    assert isinstance(error, BrokenProcessPool)
    assert pending[-1].cancelled()


@posix
def test_a_pool_has_a_timeout_error_of_its_own_and_ends_the_job(
    fifo: Path,
) -> None:
    assert not issubclass(multiprocessing.TimeoutError, TimeoutError)
    name = multiprocessing.TimeoutError.__module__
    assert name == "multiprocessing.context"
    with SPAWN.Pool(1) as pool:
        [worker] = multiprocessing.active_children()
        result = pool.apply_async(Path.read_text, [fifo])
        file = fifo.open("w")  # waits until the job reads
        with pytest.raises(multiprocessing.TimeoutError):
            result.get(timeout=0.01)
    file.close()
    assert worker.exitcode == -signal.SIGTERM


@posix
def test_join_returns_none_whether_the_process_has_ended_or_not(
    fifo: Path,
) -> None:
    process: Any = SPAWN.Process(target=fifo.read_text)
    process.start()
    with fifo.open("w"):
        assert process.join(0.01) is None
        assert process.exitcode is None
    assert process.join(60) is None
    assert process.exitcode == 0
