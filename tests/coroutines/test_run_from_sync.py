"""What the recipe says of calls from ordinary code, shown to be so."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
import threading
from asyncio import proactor_events
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any

import pytest

from cookbook.coroutines.run_from_sync import (
    BrokenSyncClient,
    SyncClient,
    ask,
)


class Slow:
    """A coroutine that waits until it is cancelled, and cleans up."""

    def __init__(self) -> None:
        self.log: list[str] = []

    async def run(self) -> None:
        """Wait for ever."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.001)
            self.log.append("has cleaned up")
            raise


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


async def where() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def wait_for(object_: Callable[[], Awaitable[object]]) -> None:
    """Wait a moment for something that does not come."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(object_(), 0.001)


def test_one_call_runs_all_of_it() -> None:
    assert asyncio.run(ask(2, 3)) == [4, 9]


def test_the_calls_of_a_runner_use_one_connection_and_one_loop(
    runner: asyncio.Runner,
) -> None:
    with SyncClient() as client:
        assert [client.square(2), client.square(3)] == [4, 9]
    assert runner.run(where()) is runner.run(where())


def test_each_asyncio_run_makes_a_loop_and_closes_it() -> None:
    first, second = asyncio.run(where()), asyncio.run(where())
    assert first is not second
    assert first.is_closed()
    assert second.is_closed()


def test_the_broken_client_fails_at_the_second_call() -> None:
    client = BrokenSyncClient()
    assert client.square(2) == 4
    with pytest.raises(RuntimeError, match=r"is bound to a different event l"):
        client.square(3)


@pytest.mark.parametrize("kind", ["lock", "queue", "event", "semaphore"])
def test_a_lock_queue_event_or_semaphore_binds_to_a_loop_at_the_first_wait(
    kind: str,
) -> None:
    waits: dict[str, Callable[[], Awaitable[object]]] = {
        "lock": locked().acquire,
        "queue": asyncio.Queue[int]().get,
        "event": asyncio.Event().wait,
        "semaphore": asyncio.Semaphore(0).acquire,
    }
    asyncio.run(wait_for(waits[kind]))
    with pytest.raises(RuntimeError, match=r"> is bound to a different event"):
        asyncio.run(wait_for(waits[kind]))


def locked() -> asyncio.Lock:
    """Return a lock that is held."""
    lock = asyncio.Lock()
    asyncio.run(lock.acquire())
    return lock


def test_a_lock_that_is_free_passes_from_loop_to_loop_unnoticed() -> None:
    lock = asyncio.Lock()

    async def take() -> None:
        async with lock:
            await asyncio.sleep(0)

    asyncio.run(take())
    asyncio.run(take())


@pytest.mark.parametrize("debug", [True, False])
def test_a_stream_of_another_loop_got_a_future_attached_to_a_different_loop(
    *, debug: bool
) -> None:
    one, other = socket.socketpair()

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(sock=one)

    async def close() -> None:
        writer.close()
        await writer.wait_closed()

    with other, asyncio.Runner(debug=debug) as runner:
        reader, writer = runner.run(connect())
        future = "pending created at .*" if debug else "pending"
        text = f"got Future <Future {future}> attached to a different loop$"
        with pytest.raises(RuntimeError, match=text):
            asyncio.run(reader.read(1), debug=False)
        runner.run(close())


def close_too_late(one: socket.socket) -> None:
    """Close a stream in another loop than its own, which is closed."""

    async def connect() -> asyncio.StreamWriter:
        _, writer = await asyncio.open_connection(sock=one)
        return writer

    writer = asyncio.run(connect())

    async def close() -> None:
        writer.close()

    asyncio.run(close())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_stream_of_a_closed_loop_says_so_when_you_close_it() -> None:
    one, other = socket.socketpair()
    with other, one:
        with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
            close_too_late(one)
        gc.collect()


def test_an_unclosed_transport_of_windows_warns_and_is_no_error() -> None:
    one, other = socket.socketpair()

    async def leave() -> None:
        loop = asyncio.get_running_loop()
        made = vars(proactor_events)["_ProactorBasePipeTransport"](
            loop, one, asyncio.Protocol()
        )
        await asyncio.sleep(0)
        left.append(made)

    left: list[object] = []
    with other:
        asyncio.run(leave())
        with pytest.warns(ResourceWarning, match="^unclosed transport"):
            left.clear()
        assert one.fileno() == -1


def test_await_outside_async_def_is_a_syntax_error_of_two_texts() -> None:
    text = r"^'await' outside async function"
    with pytest.raises(SyntaxError, match=text):
        compile("def main():\n    await work()", "main", "exec")
    with pytest.raises(SyntaxError, match=r"^'await' outside function"):
        compile("await work()", "main", "exec")


def test_run_without_the_call_is_a_value_error_from_3_14_a_type_error() -> (
    None
):
    kind, text = ValueError, "^a coroutine was expected, got <function where"
    if sys.version_info >= (3, 14):
        kind = TypeError  # type: ignore[assignment]
        text = "^An asyncio.Future, a coroutine or an awaitable is required$"
    with pytest.raises(kind, match=text):
        asyncio.run(where)  # type: ignore[arg-type]


def test_from_3_14_run_takes_any_awaitable() -> None:
    class Seven:
        def __await__(self) -> Generator[Any, None, int]:
            yield from asyncio.sleep(0).__await__()
            return 7

    if sys.version_info >= (3, 14):
        assert asyncio.run(Seven()) == 7
    else:
        with pytest.raises(ValueError, match=r"^a coroutine was expected"):
            asyncio.run(Seven())  # type: ignore[arg-type]


def test_run_refuses_a_thread_whose_loop_runs() -> None:
    async def main() -> None:
        coroutine = where()
        text = r"^asyncio.run\(\) cannot be called from a running event loop$"
        with pytest.raises(RuntimeError, match=text):
            asyncio.run(coroutine)
        coroutine.close()

    asyncio.run(main())


def test_tasks_stand_still_between_calls_and_are_cancelled_at_the_end() -> (
    None
):
    turns: list[str] = []

    async def take_turns() -> None:
        try:
            while True:
                turns.append("a turn")
                await asyncio.sleep(0)
        finally:
            turns.append("cleans up")

    async def start() -> asyncio.Task[None]:
        task = asyncio.create_task(take_turns())
        await asyncio.sleep(0)
        return task

    with asyncio.Runner() as runner:
        task = runner.run(start())
        before = len(turns)
        asyncio.run(asyncio.sleep(0.001))
        assert len(turns) == before
        runner.run(asyncio.sleep(0))
        assert len(turns) > before
        assert not task.done()
    assert task.cancelled()
    assert turns[-1] == "cleans up"


def test_run_cancels_the_tasks_that_the_coroutine_left() -> None:
    slow = Slow()

    async def main() -> asyncio.Task[None]:
        task = asyncio.create_task(slow.run())
        await asyncio.sleep(0)
        return task

    assert asyncio.run(main()).cancelled()
    assert slow.log == ["has cleaned up"]


def test_the_call_raises_the_same_exception_and_the_runner_goes_on(
    runner: asyncio.Runner,
) -> None:
    error = OSError("no answer")

    async def fail() -> None:
        raise error

    with pytest.raises(OSError, match=r"no answer") as caught:
        runner.run(fail())
    assert caught.value is error
    assert runner.run(asyncio.sleep(0, "next")) == "next"


def test_a_timeout_inside_the_coroutine_ends_the_call(
    runner: asyncio.Runner,
) -> None:
    slow = Slow()

    async def main() -> None:
        async with asyncio.timeout(0):
            await slow.run()

    with pytest.raises(TimeoutError):
        runner.run(main())
    assert slow.log == ["has cleaned up"]


def test_ctrl_c_cancels_the_coroutine_and_the_call_raises_when_it_is_clean(
    runner: asyncio.Runner,
) -> None:
    slow = Slow()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(signal.raise_signal, signal.SIGINT)
        await slow.run()

    with pytest.raises(KeyboardInterrupt):
        runner.run(main())
    assert slow.log == ["has cleaned up"]


def test_a_call_in_another_thread_gets_no_ctrl_c() -> None:
    slow, begun, log = Slow(), threading.Event(), []
    loops: list[asyncio.AbstractEventLoop] = []
    tasks: list[asyncio.Task[Any] | None] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        tasks.append(asyncio.current_task())
        begun.set()
        await slow.run()

    def call() -> None:
        try:
            asyncio.run(main())
        except asyncio.CancelledError:
            log.append("cancelled by the test")

    thread = threading.Thread(target=call)
    thread.start()
    assert begun.wait(timeout=10)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert slow.log == []
    assert tasks[0]
    loops[0].call_soon_threadsafe(tasks[0].cancel)
    thread.join(timeout=10)
    assert log == ["cancelled by the test"]
