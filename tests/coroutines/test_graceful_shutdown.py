"""What the recipe says of a graceful shutdown, shown to be so."""

import asyncio
import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cookbook.coroutines import graceful_shutdown
from cookbook.coroutines.graceful_shutdown import (
    SIGNALS,
    answer_requests,
    broken_run_until_signal,
    run_until_signal,
)
from cookbook.testing.without_sleeping import run_in_virtual_time

ROOT = Path(__file__).parents[2]

posix = pytest.mark.skipif(
    os.name == "nt", reason="Windows ends a process without asking it"
)


@pytest.fixture(autouse=True)
def handlers_stay_as_they_were() -> Iterator[None]:
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before


@contextlib.contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a program that says "ready" when it may be sent a signal."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


class Service:
    """Waits until it is told to stop, and then for its last request."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.is_done = asyncio.Event()

    async def serve(self, stop: asyncio.Event) -> None:
        """Send a signal to itself; finish the last request."""
        try:
            signal.raise_signal(signal.SIGTERM)
            await stop.wait()
            self.log.append("asked to stop")
            await self.is_done.wait()
            self.log.append("finished")
        finally:
            await asyncio.sleep(0)
            self.log.append("cleaned up")


@pytest.mark.parametrize("number", SIGNALS)
def test_each_signal_asks_to_stop_and_what_is_under_way_is_finished(
    number: int,
) -> None:
    async def serve(stop: asyncio.Event) -> None:
        signal.raise_signal(number)
        assert not stop.is_set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert stop.is_set()

    assert asyncio.run(run_until_signal(serve)) is True


@posix
def test_a_signal_while_the_loop_waits_for_nothing_wakes_it() -> None:
    me = threading.get_ident()

    async def serve(stop: asyncio.Event) -> None:
        timer = threading.Timer(
            0.05, signal.pthread_kill, (me, signal.SIGTERM)
        )
        timer.start()
        await stop.wait()
        timer.join()

    assert asyncio.run(run_until_signal(serve)) is True


def test_a_service_that_ends_without_a_signal_has_finished() -> None:
    async def serve(_: asyncio.Event) -> None:
        pass

    assert asyncio.run(run_until_signal(serve, grace=0)) is True


def test_what_has_not_ended_by_the_deadline_is_cancelled_and_cleans_up() -> (
    None
):
    service = Service()

    async def main() -> tuple[bool, float]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        finished = await run_until_signal(service.serve, grace=3)
        return finished, loop.time() - start

    finished, seconds = run_in_virtual_time(main())
    assert finished is False
    assert seconds == pytest.approx(3)
    assert service.log == ["asked to stop", "cleaned up"]


def test_there_is_no_deadline_before_the_first_signal() -> None:
    async def serve(_: asyncio.Event) -> None:
        await asyncio.sleep(1000)

    assert run_in_virtual_time(run_until_signal(serve, grace=1)) is True


def test_a_request_that_ends_within_the_grace_is_not_lost() -> None:
    service = Service()

    async def main() -> bool:
        asyncio.get_running_loop().call_later(2.9, service.is_done.set)
        return await run_until_signal(service.serve, grace=3)

    assert run_in_virtual_time(main()) is True
    assert service.log == ["asked to stop", "finished", "cleaned up"]


@pytest.mark.parametrize("times", [2, 3, 5])
def test_a_second_signal_cancels_at_once_and_more_change_nothing(
    times: int,
) -> None:
    async def serve(stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: errors.append(context))
        for _ in range(times):
            loop.call_soon(signal.raise_signal, signal.SIGINT)
        await stop.wait()
        try:
            await asyncio.sleep(1000)
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
            ended.append("cleaned up")

    errors: list[Any] = []
    ended: list[str] = []
    assert asyncio.run(run_until_signal(serve, grace=100)) is False
    assert ended == ["cleaned up"]
    assert not errors


def test_a_signal_as_the_service_ends_is_no_error() -> None:
    errors: list[Any] = []

    async def serve(_: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: errors.append(context))
        signal.raise_signal(signal.SIGTERM)

    async def main() -> bool:
        finished = await run_until_signal(serve)
        await asyncio.sleep(0)
        return finished

    assert asyncio.run(main()) is True
    assert not errors


@pytest.mark.parametrize("error", [OSError("no"), TimeoutError("own")])
def test_an_exception_of_the_service_is_raised(error: Exception) -> None:
    async def serve(_: asyncio.Event) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        asyncio.run(run_until_signal(serve))
    assert caught.value is error


def test_a_service_that_swallows_its_cancellation_goes_on() -> None:
    log = []

    async def serve(_: asyncio.Event) -> None:
        signal.raise_signal(signal.SIGTERM)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)
        await asyncio.sleep(100)
        log.append("went on")

    run_in_virtual_time(run_until_signal(serve, grace=1))
    assert log == ["went on"]


def test_a_cancellation_cancels_the_service_and_restores_the_handlers() -> (
    None
):
    service = Service()

    async def main() -> None:
        before = [signal.getsignal(number) for number in SIGNALS]
        task = asyncio.create_task(run_until_signal(service.serve))
        for _ in range(5):
            await asyncio.sleep(0)
        assert [signal.getsignal(number) for number in SIGNALS] != before
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [signal.getsignal(number) for number in SIGNALS] == before

    asyncio.run(main())
    assert service.log == ["asked to stop", "cleaned up"]


def test_after_it_ctrl_c_is_a_keyboard_interrupt_again() -> None:
    async def main() -> None:
        await run_until_signal(answer_requests)
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())


@pytest.mark.parametrize("grace", [-1, -0.001, math.nan, math.inf])
def test_a_grace_that_is_negative_or_not_finite_is_refused_by_value(
    grace: float,
) -> None:
    with pytest.raises(ValueError, match=f"not {grace!r}$"):
        asyncio.run(run_until_signal(answer_requests, grace=grace))


def test_a_service_that_cannot_be_called_is_refused_by_value() -> None:
    with pytest.raises(TypeError, match="must be a function, not 5"):
        asyncio.run(run_until_signal(5))  # type: ignore[arg-type]


def test_outside_the_main_thread_it_is_refused_before_anything_starts() -> (
    None
):
    caught = []
    started = []

    async def serve(_: asyncio.Event) -> None:
        started.append(1)

    def work() -> None:
        try:
            asyncio.run(run_until_signal(serve))
        except ValueError as error:
            caught.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    message = "signal only works in main thread of the main interpreter"
    assert caught == [message]
    assert not started


def test_a_handler_that_exits_loses_the_request_and_says_status_0(
    capsys: pytest.CaptureFixture[str],
) -> None:
    graceful_shutdown.broken_main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == ["request B: lost", "exit status 0"]


def test_under_the_same_signal_the_right_way_loses_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    graceful_shutdown.main()
    assert "lost" not in capsys.readouterr().out


def test_the_handler_that_exits_may_raise_in_any_line_of_the_service() -> None:
    before = signal.getsignal(signal.SIGTERM)
    where = []

    async def serve(_: asyncio.Event) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except SystemExit:
            where.append("in the middle of a line")

    try:
        asyncio.run(broken_run_until_signal(serve))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert where == ["in the middle of a line"]


@posix
def test_the_handler_that_exits_may_raise_in_a_loop_that_calls_nothing() -> (
    None
):
    before = signal.getsignal(signal.SIGTERM)
    main = threading.main_thread().ident
    assert main
    where: list[str] = []
    loops: list[bool] = []

    def send() -> None:
        while not loops:
            time.sleep(0.001)
        signal.pthread_kill(main, signal.SIGTERM)

    async def serve(_: asyncio.Event) -> None:
        sender = threading.Thread(target=send)
        sender.start()
        try:
            while True:
                loops[:] = [True]
        except SystemExit:
            where.append("in a loop")
        sender.join()

    try:
        asyncio.run(broken_run_until_signal(serve))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert where == ["in a loop"]


def test_loop_stop_ends_asyncio_run_with_a_runtime_error() -> None:
    async def main() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(10)

    message = "^Event loop stopped before Future completed.$"
    with pytest.raises(RuntimeError, match=message):
        asyncio.run(main())


def test_run_cancels_the_main_task_on_ctrl_c_and_then_the_others() -> None:
    log = []

    async def wait(name: str) -> None:
        try:
            await asyncio.sleep(10)
        finally:
            log.append(f"{name} cleaned up")

    async def main() -> None:
        task = asyncio.create_task(wait("other task"))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(
            signal.raise_signal, signal.SIGINT
        )
        await wait("main task")
        await task

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert log == ["main task cleaned up", "other task cleaned up"]


def test_a_task_nobody_waits_for_is_cancelled_when_main_returns() -> None:
    log = []

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async def main() -> asyncio.Task[None]:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        return task

    assert asyncio.run(main()).cancelled()
    assert log == ["cancelled"]


@posix
def test_removing_a_handler_of_the_loop_leaves_the_default_action() -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        loop.add_signal_handler(signal.SIGTERM, print)
        loop.remove_signal_handler(signal.SIGTERM)

    try:
        asyncio.run(main())
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


@posix
def test_by_default_sigterm_ends_the_process_and_no_finally_runs() -> None:
    source = """
import asyncio, atexit
atexit.register(print, "atexit", flush=True)
async def main():
    try:
        print("ready", flush=True)
        await asyncio.sleep(10)
    finally:
        print("finally", flush=True)
asyncio.run(main())
"""
    with program("-c", source) as process:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("", "", -signal.SIGTERM)


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_from_another_process_stops_an_idle_program(
    number: signal.Signals,
) -> None:
    source = """
import asyncio
from cookbook.coroutines.graceful_shutdown import run_until_signal
async def serve(stop):
    print("ready", flush=True)
    await stop.wait()
    print("drained", flush=True)
print(asyncio.run(run_until_signal(serve)))
"""
    with program("-c", source) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("drained\nTrue\n", "", 0)


WORKERS = """
import multiprocessing, signal, time

def work(stop, ready, sent):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ready.release()
    stop.wait()
    sent.put("finished")

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    stop, ready = context.Event(), context.Semaphore(0)
    sent = context.SimpleQueue()
    worker = context.Process(target=work, args=(stop, ready, sent))
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker.start()
    ready.acquire()
    print("ready", flush=True)
    deadline = time.monotonic() + 30
    while worker.is_alive() and time.monotonic() < deadline:
        worker.join(0.05)
    if worker.is_alive():
        worker.terminate()
        worker.join(5)
    if worker.is_alive():
        worker.kill()
    print(sent.get(), worker.exitcode)
"""


@posix
def test_a_parent_asks_worker_processes_by_an_event_and_joins_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "workers.py"
    path.write_text(WORKERS)
    with program(str(path)) as process:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (out, err) == ("finished 0\n", "")
