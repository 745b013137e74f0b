"""What the recipe says of coroutines and workers, shown to be so."""

import asyncio
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

from cookbook.processes.async_and_processes import (
    broken_listen,
    listen,
    work,
)
from tests.calls import Call

METHODS = multiprocessing.get_all_start_methods()

forks = pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
every_method = pytest.mark.parametrize("method", METHODS)
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


async def listen_forked(
    job: Callable[[Connection], object], report: Callable[[Any], object]
) -> None:
    """Listen to a forked worker, which can run a function of a test."""
    await listen(job, report, context=multiprocessing.get_context("fork"))


@every_method
def test_the_messages_come_in_order_and_all_before_the_call_ends(
    method: str,
) -> None:
    heard: list[int] = []
    context = multiprocessing.get_context(method)
    asyncio.run(listen(work, heard.append, context=context))
    assert heard == [1, 4, 9]


def test_each_message_is_reported_in_the_thread_of_the_loop() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        await listen(work, lambda _: loops.append(asyncio.get_running_loop()))
        assert loops == [asyncio.get_running_loop()] * 3

    asyncio.run(main())


def test_by_default_the_worker_is_spawned_and_not_forked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    get_context = multiprocessing.get_context

    def note(method: str | None = None) -> Any:  # noqa: ANN401
        asked.append(method)
        return get_context(method)

    monkeypatch.setattr(multiprocessing, "get_context", note)
    asyncio.run(listen(work, asked.append))
    assert asked == ["spawn", 1, 4, 9]


@forks
def test_the_worker_can_send_messages_and_receive_none() -> None:
    heard: list[tuple[bool, bool]] = []

    def job(link: Connection) -> None:
        link.send((link.writable, link.readable))

    asyncio.run(listen_forked(job, heard.append))
    assert heard == [(True, False)]


@pytest.mark.parametrize("functions", [(5, print), (work, 5)])
def test_what_cannot_be_called_is_refused_before_a_process_is_started(
    functions: tuple[Any, Any],
) -> None:
    starts_nothing: Any = object()
    with pytest.raises(TypeError, match=r"^pass a function, not 5$"):
        asyncio.run(listen(*functions, context=starts_nothing))


@forks
def test_other_tasks_go_on_while_the_worker_is_silent(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    heard: list[str] = []

    async def main() -> None:
        async def open_gate() -> None:
            await asyncio.to_thread(gate.write_text, "opened by another task")

        other = asyncio.create_task(open_gate())
        await listen_forked(
            lambda link: link.send(gate.read_text()), heard.append
        )
        await other

    asyncio.run(main())
    assert heard == ["opened by another task"]


def test_the_broken_one_lets_no_other_task_run_between_its_messages() -> None:
    log: list[object] = []

    async def main() -> None:
        other = asyncio.create_task(asyncio.sleep(0))
        other.add_done_callback(lambda _: log.append("another task"))
        await broken_listen(work, log.append)
        await other
        await asyncio.sleep(0)

    asyncio.run(main())
    assert log == [1, 4, 9, "another task"]


@forks
@pytest.mark.parametrize("error", [asyncio.CancelledError, TimeoutError])
def test_a_cancellation_kills_the_worker_and_goes_on(
    error: type[BaseException],
) -> None:
    pids: list[int] = []

    def job(link: Connection) -> None:
        link.send(os.getpid())
        time.sleep(60)

    async def main() -> None:
        heard = asyncio.Event()

        def report(pid: int) -> None:
            pids.append(pid)
            heard.set()

        task = asyncio.create_task(listen_forked(job, report))
        await heard.wait()
        if error is TimeoutError:
            async with asyncio.timeout(0):
                await task
        task.cancel()
        await task

    with pytest.raises(error):
        asyncio.run(main())
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


@forks
def test_a_message_that_is_being_read_is_reported_before_a_cancellation_ends(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    heard: list[str] = []

    async def main() -> None:
        message = Call(Path.read_text, gate)
        task = asyncio.create_task(
            listen_forked(lambda link: link.send(message), heard.append)
        )
        with await asyncio.to_thread(gate.open, "w") as file:
            task.cancel()
            await asyncio.sleep(0)
            file.write("read to its end")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert heard == ["read to its end"]

    asyncio.run(main())


def test_an_error_of_report_is_the_loops_and_the_messages_go_on() -> None:
    errors: list[object] = []
    heard: list[int] = []

    def report(message: int) -> None:
        heard.append(message)
        if message == 4:
            raise LookupError

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _, context: errors.append(type(context["exception"]))
        )
        await listen(work, report)

    asyncio.run(main())
    assert heard == [1, 4, 9]
    assert errors == [LookupError]


@forks
@pytest.mark.parametrize(
    ("end", "code"),
    [(signal.SIGKILL, -9), (LookupError, 1)],
)
def test_what_was_sent_is_read_before_a_worker_that_failed_is_an_error(
    end: Any,  # noqa: ANN401
    code: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    heard: list[str] = []

    def job(link: Connection) -> None:
        link.send("first")
        if end is LookupError:
            raise LookupError
        signal.raise_signal(end)

    with pytest.raises(ChildProcessError, match=f"^exit code {code}$"):
        asyncio.run(listen_forked(job, heard.append))
    assert heard == ["first"]
    assert capfd.readouterr().err.endswith("LookupError\n") is (code == 1)


@forks
def test_a_worker_killed_in_mid_message_ends_the_messages_too() -> None:
    def job(link: Connection) -> None:
        os.write(link.fileno(), (100).to_bytes(4, "big"))
        signal.raise_signal(signal.SIGKILL)

    with pytest.raises(ChildProcessError, match=r"^exit code -9$"):
        asyncio.run(listen_forked(job, print))


class Unreadable:
    """Raises ValueError where it is unpickled."""

    def __reduce__(self) -> tuple[type[int], tuple[str]]:
        return int, ("eight",)


@forks
def test_a_message_that_cannot_be_read_is_raised_and_the_worker_killed() -> (
    None
):
    pids: list[int] = []

    def job(link: Connection) -> None:
        link.send(os.getpid())
        link.send(Unreadable())
        time.sleep(60)

    with pytest.raises(ValueError, match="'eight'"):
        asyncio.run(listen_forked(job, pids.append))
    with pytest.raises(ChildProcessError):
        os.waitpid(pids[0], 0)  # it was waited for


def test_a_job_that_cannot_be_sent_is_raised_and_leaves_no_pipe() -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        asyncio.run(listen(lambda _: None, print))


@forks
def test_the_pipe_of_a_killed_worker_has_an_end_and_a_queue_has_none() -> None:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=signal.raise_signal, args=(9,))
    process.start()
    process.join()
    with pytest.raises(Empty):  # and no EOFError
        queue.get(timeout=0.1)
    queue.close()
    queue.join_thread()
    ours, theirs = context.Pipe(duplex=False)
    with ours, theirs:
        assert not ours.poll(0.1)  # nor has it while a copy is open here
        theirs.close()
        with pytest.raises(EOFError):
            ours.recv()


@posix
def test_add_reader_calls_when_a_message_is_there() -> None:
    async def main() -> list[object]:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        got: asyncio.Queue[object] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        with ours, theirs:
            loop.add_reader(ours.fileno(), lambda: got.put_nowait(ours.recv()))
            try:
                theirs.send("one")
                theirs.send("two")
                return [await got.get(), await got.get()]
            finally:
                loop.remove_reader(ours.fileno())

    assert asyncio.run(main()) == ["one", "two"]


def test_a_queue_of_asyncio_is_sent_as_a_copy_or_not_at_all() -> None:
    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        copy = pickle.loads(pickle.dumps(queue))  # noqa: S301
        copy.put_nowait(1)
        assert queue.empty()
        getting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        with pytest.raises(TypeError, match="cannot pickle"):
            pickle.dumps(queue)
        queue.put_nowait(1)
        assert await getting == 1

    asyncio.run(main())


def test_a_coroutine_cannot_be_pickled_for_another_process() -> None:
    waiting = asyncio.sleep(0)
    with pytest.raises(TypeError, match=r"cannot pickle 'coroutine' object"):
        pickle.dumps(waiting)
    asyncio.run(waiting)


@posix
def test_recv_waits_for_the_rest_of_a_message_that_has_begun() -> None:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    data, got = pickle.dumps("whole"), []
    thread = threading.Thread(target=lambda: got.append(ours.recv()))
    with ours, theirs:
        os.write(theirs.fileno(), len(data).to_bytes(4, "big"))
        assert ours.poll()  # so add_reader would call
        thread.start()
        thread.join(timeout=0.1)
        assert thread.is_alive()
        os.write(theirs.fileno(), data)
        thread.join()
    assert got == ["whole"]
