"""What the recipe says of full pipes, shown to be so."""

import asyncio
import inspect
import multiprocessing
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import pytest

from cookbook.deadlocks import join_before_drain
from cookbook.deadlocks.join_before_drain import (
    LARGE,
    broken_collect,
    broken_output_of,
    children,
    collect_from_pipes,
    collect_from_queue,
    output_of,
    receive,
    send_result,
    text,
)

ROOT = Path(join_before_drain.__file__).parents[2]
METHODS = multiprocessing.get_all_start_methods()
QUICKEST = multiprocessing.get_context(
    "fork" if "fork" in METHODS else "spawn"
)
PRINT_LARGE = [sys.executable, "-c", f"print('x' * {LARGE}, end='')"]
Collect = Callable[..., list[object]]
RIGHT = [partial(collect_from_queue, timeout=30), collect_from_pipes]

every_method = pytest.mark.parametrize("method", METHODS)
every_right_way = pytest.mark.parametrize(
    "collect", RIGHT, ids=["queue", "pipes"]
)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


def wait_for_item(results: "Queue[object]") -> None:
    """Wait until the child's feeder thread has begun to write."""
    deadline = time.monotonic() + 30
    while results.empty():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@every_method
@every_right_way
def test_results_larger_than_a_pipe_arrive_under_every_start_method(
    collect: Collect, method: str
) -> None:
    context = multiprocessing.get_context(method)
    found = collect(text, [LARGE, 1], context=context)
    assert sorted(len(str(one)) for one in found) == [1, LARGE]


def test_results_from_pipes_are_in_the_order_of_the_items() -> None:
    found = collect_from_pipes(chr, [98, 97], context=QUICKEST)
    assert found == ["b", "a"]


@every_right_way
def test_without_a_timeout_a_result_is_waited_for(collect: Collect) -> None:
    assert collect(time.sleep, [0], timeout=None, context=QUICKEST) == [None]


def test_the_default_timeout_is_60_seconds() -> None:
    for function in (collect_from_queue, collect_from_pipes, output_of):
        timeout = inspect.signature(function).parameters["timeout"]
        assert timeout.default == 60


@every_right_way
def test_no_items_give_no_results(collect: Collect) -> None:
    assert collect(text, []) == []


def test_waiting_for_the_child_before_reading_never_ends() -> None:
    with pytest.raises(TimeoutError, match="the child has not ended"):
        broken_collect(text, LARGE, patience=0.2, context=QUICKEST)


def test_a_result_that_fits_into_the_pipe_hides_the_wrong_order() -> None:
    assert broken_collect(text, 1000, context=QUICKEST) == "x" * 1000


@every_method
def test_reading_the_result_lets_the_child_end_that_was_waited_for(
    method: str,
) -> None:
    own = multiprocessing.get_context(method).get_context()
    results = own.Queue()
    with children() as processes:
        process = own.Process(
            target=send_result, args=(results.put, text, LARGE)
        )
        process.start()
        processes.append(process)
        wait_for_item(results)
        process.join(timeout=0.1)
        assert process.is_alive()
        assert results.get(timeout=30) == "x" * LARGE
    assert process.exitcode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_a_pipe_of_linux_holds_64_kib() -> None:
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        assert os.write(writer, bytes(1_000_000)) == 65536
    finally:
        os.close(reader)
        os.close(writer)


def test_cancel_join_thread_lets_the_child_end_and_loses_the_result() -> None:
    program = """
import multiprocessing, queue
from cookbook.deadlocks.join_before_drain import *
def put(results):
    results.cancel_join_thread()
    for _ in range(1000):
        results.put("x" * 1000)
if __name__ == "__main__":
    methods = multiprocessing.get_all_start_methods()
    own = multiprocessing.get_context("fork" if "fork" in methods else "spawn")
    results = own.Queue()
    process = own.Process(target=put, args=(results,))
    process.start()
    process.join(30)
    print(process.exitcode)
    try:
        for count in range(1000):
            results.get(timeout=0.1)
    except queue.Empty:
        print("Empty")
"""
    assert run_main(program).split() == ["0", "Empty"]


@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_a_child_killed_while_it_sends_makes_get_wait_for_ever() -> None:
    program = """
import faulthandler, multiprocessing, sys, time
from cookbook.deadlocks.join_before_drain import *
own = multiprocessing.get_context("fork")
results = own.Queue()
process = own.Process(target=send_result, args=(results.put, text, LARGE))
process.start()
while results.empty():
    time.sleep(0.001)
process.join(0.05)
process.kill()
process.join()
faulthandler.dump_traceback_later(0.2, exit=True, file=sys.stdout)
results.get(timeout=0.01)
"""
    assert "in recv_bytes" in run_main(program)


def run_main(program: str, *arguments: str) -> str:
    """Run a program of its own, and return what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "program.py")
        path.write_text(program, encoding="utf-8")
        run = subprocess.run(
            [sys.executable, "-W", "ignore", str(path), *arguments],
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
            timeout=60,
        )
    return run.stdout


def test_a_job_that_raises_ends_the_wait_for_its_pipe(
    capfd: pytest.CaptureFixture[str],
) -> None:
    message = r"^\w+Process-\S+ sent no result: exit code 1$"
    with pytest.raises(RuntimeError, match=message):
        collect_from_pipes(chr, [-1], context=QUICKEST)
    assert "ValueError: chr() arg not in range" in capfd.readouterr().err


def test_a_job_that_raises_makes_the_queue_empty_after_the_timeout(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(queue.Empty):
        collect_from_queue(chr, [-1, 97], timeout=0.3, context=QUICKEST)
    assert "ValueError: chr() arg not in range" in capfd.readouterr().err


@every_right_way
def test_a_job_that_cannot_be_sent_is_an_error_and_leaves_no_child(
    collect: Collect,
) -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        collect(lambda n: n, [1], context=multiprocessing.get_context("spawn"))


def test_the_error_of_a_child_is_not_seen_before_the_results_before_it() -> (
    None
):
    with pytest.raises(TimeoutError, match=r": no result within 0\.5 s$"):
        collect_from_pipes(time.sleep, [60, -1], timeout=0.5, context=QUICKEST)


@posix
def test_a_killed_child_is_reported_with_its_exit_code() -> None:
    with pytest.raises(RuntimeError, match=r"sent no result: exit code -9$"):
        collect_from_pipes(
            signal.raise_signal, [signal.SIGKILL], context=QUICKEST
        )


@posix
@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_a_child_killed_while_it_sends_to_a_pipe_is_reported_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def send_half_and_die(sender: Connection, message: bytes) -> None:
        os.write(sender.fileno(), message[: len(message) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(Connection, "_send", send_half_and_die)
    with pytest.raises(
        RuntimeError, match=r"sent no result: exit code -9$"
    ) as caught:
        collect_from_pipes(text, [1000], context=QUICKEST)
    assert type(caught.value.__cause__) is OSError
    assert str(caught.value.__cause__) == "got end of file during message"


def test_the_exit_code_is_that_of_a_child_that_was_waited_for() -> None:
    class Ending(BaseProcess):
        """A process that has closed its pipe and is about to end."""

        code: int | None = None
        exitcode = property(lambda self: self.code)

        def join(self, timeout: float | None = None) -> None:
            """Wait for its end."""
            assert timeout is None
            self.code = 3

    receiver, sender = QUICKEST.Pipe(duplex=False)
    sender.close()
    message = "^ending sent no result: exit code 3$"
    with receiver, pytest.raises(RuntimeError, match=message):
        receive(receiver, Ending(name="ending"))


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_kills_the_children_that_still_send(
    failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = processes_started(monkeypatch)
    items = [60, 60]
    items[failing] = -1  # time.sleep() refuses it
    if failing:
        items[0] = 0
    with pytest.raises(RuntimeError, match="exit code 1"):
        collect_from_pipes(time.sleep, items, context=QUICKEST)
    assert all(process.exitcode is not None for process in started)


def processes_started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that will hold the processes that are started."""
    started: list[Any] = []
    start = BaseProcess.start

    def note(process: BaseProcess) -> None:
        start(process)
        started.append(process)

    monkeypatch.setattr(BaseProcess, "start", note)
    return started


@pytest.mark.parametrize(
    ("collect", "error"),
    [(collect_from_queue, queue.Empty), (collect_from_pipes, TimeoutError)],
    ids=["queue", "pipes"],
)
def test_when_it_takes_too_long_the_children_have_been_killed(
    collect: Collect,
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = processes_started(monkeypatch)
    with pytest.raises(error) as caught:
        collect(time.sleep, [60, 60], timeout=0.05, context=QUICKEST)
    if error is TimeoutError:
        assert str(caught.value).endswith(": no result within 0.05 s")
    assert len(started) == 2
    assert all(process.exitcode for process in started)


@posix
@every_right_way
def test_ctrl_c_kills_the_children_and_waits_for_them(
    collect: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = processes_started(monkeypatch)
    raised = threading.Event()
    main = threading.main_thread().ident or 0

    def press() -> None:
        while len(started) < 2:
            time.sleep(0.001)
        while not raised.wait(timeout=0.1):
            signal.pthread_kill(main, signal.SIGINT)

    def interrupt(*_: object) -> None:
        raised.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    thread = threading.Thread(target=press)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            collect(time.sleep, [60, 60], context=QUICKEST)
    finally:
        signal.signal(signal.SIGINT, before)
        raised.set()
        thread.join()
    assert [process.exitcode for process in started] == [-signal.SIGKILL] * 2


@posix
def test_ctrl_c_kills_the_program_whose_output_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Interrupted(subprocess.Popen[str]):
        """A program at which Ctrl-C comes while its output is read."""

        def communicate(self, *_: object, **__: object) -> tuple[str, str]:
            """Read."""
            started.append(self)
            raise KeyboardInterrupt

    started: list[Interrupted] = []
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        output_of([sys.executable, "-c", "import time; time.sleep(60)"])
    [process] = started
    assert process.wait(timeout=10) == -signal.SIGKILL


def test_the_output_of_a_program_may_be_larger_than_a_pipe() -> None:
    assert output_of(PRINT_LARGE) == "x" * LARGE


def test_waiting_for_a_program_before_reading_never_ends() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        broken_output_of(PRINT_LARGE, patience=0.3)
    small = [sys.executable, "-c", "print('x', end='')"]
    assert broken_output_of(small) == "x"


def test_a_program_that_takes_too_long_is_killed_and_timeout_expired_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed = []
    kill = subprocess.Popen.kill

    def note(process: "subprocess.Popen[str]") -> None:
        kill(process)
        killed.append(process)

    monkeypatch.setattr(subprocess.Popen, "kill", note)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(subprocess.TimeoutExpired):
        output_of(command, timeout=0.1)
    assert [process.poll() is not None for process in killed] == [True]


def test_an_exit_code_that_is_not_0_raises_called_process_error() -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        output_of([sys.executable, "-c", "import sys; sys.exit(3)"])
    assert caught.value.returncode == 3


PRINT_ERRORS = f"import sys; sys.stderr.write('x' * {LARGE}); print('end')"


def test_reading_stdout_to_its_end_hangs_while_stderr_is_full() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PRINT_ERRORS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    read: list[bytes] = []
    with process:
        assert process.stdout is not None
        stdout = process.stdout
        thread = threading.Thread(target=lambda: read.append(stdout.read()))
        thread.start()
        thread.join(timeout=0.3)
        hung = thread.is_alive()
        process.kill()
        thread.join()
    assert hung
    assert read == [b""]


def test_communicate_reads_stdout_and_stderr_at_once() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PRINT_ERRORS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.communicate(timeout=30) == ("end\n", "x" * LARGE)


def test_wait_of_asyncio_hangs_on_a_full_pipe_and_communicate_does_not() -> (
    None
):
    async def main() -> None:
        command = [sys.executable, "-c", "print('x' * 2_000_000, end='')"]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE
        )
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await process.wait()
        output, _ = await process.communicate()
        assert len(output) == 2_000_000
        assert process.returncode == 0

    asyncio.run(main())


HANGING = """
import faulthandler, sys
from cookbook.deadlocks.join_before_drain import *
if __name__ == "__main__":
    methods = multiprocessing.get_all_start_methods()
    method = "fork" if "fork" in methods else "spawn"
    context = multiprocessing.get_context(method)
    command = [sys.executable, "-c", f"print('x' * {LARGE})"]
    faulthandler.dump_traceback_later(0.1, file=sys.stdout)
    try:
        broken_collect(text, LARGE, patience=0.2, context=context)
    except TimeoutError:
        faulthandler.dump_traceback_later(0.1, file=sys.stdout)
    try:
        broken_output_of(command, patience=0.2)
    except subprocess.TimeoutExpired:
        pass
"""


def test_faulthandler_shows_the_lines_where_the_parent_waits() -> None:
    shown = run_main(HANGING)
    traps = (broken_collect, ".join("), (broken_output_of, ".wait(")
    for function, call in traps:
        lines, first = inspect.getsourcelines(function)
        where = first + [call in line for line in lines].index(True)
        assert f'join_before_drain.py", line {where} in' in shown
