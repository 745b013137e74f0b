"""What the recipe says of calls from other threads, shown to be so."""

import asyncio
import concurrent.futures
import math
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cookbook.coroutines.call_from_thread import (
    broken_send,
    call_from_thread,
    deliver,
    send_from_thread,
)


async def square(number: int) -> int:
    await asyncio.sleep(0)
    return number * number


class Slow:
    """A coroutine that waits until it is cancelled, then cleans up."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.begun = threading.Event()
        self.may_clean_up = threading.Event()
        self.cleaned_up = threading.Event()

    async def run(self) -> None:
        """Wait for ever."""
        try:
            self.begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.to_thread(self.may_clean_up.wait, 10)
            self.cleaned_up.set()
            raise


def in_thread(work: Callable[[asyncio.AbstractEventLoop], Any]) -> Any:  # noqa: ANN401
    """Run *work* in a thread with a loop that runs in this one."""

    async def main() -> Any:  # noqa: ANN401
        return await asyncio.to_thread(work, asyncio.get_running_loop())

    return asyncio.run(main())


def test_the_thread_gets_what_the_coroutine_returns() -> None:
    assert in_thread(lambda o: call_from_thread(o, square, 7, timeout=9)) == 49


def test_the_coroutine_runs_in_the_thread_of_the_loop() -> None:
    async def where() -> threading.Thread:
        return threading.current_thread()

    thread = in_thread(lambda o: call_from_thread(o, where, timeout=9))
    assert thread is threading.current_thread()


def test_send_from_thread_wakes_a_loop_that_waits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    deliver(send_from_thread, patience=10)
    assert capsys.readouterr().out.startswith("the loop wakes up: True\n")


def test_broken_send_leaves_the_loop_asleep_until_something_else_wakes_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    deliver(broken_send, patience=0.02)
    first = "the loop wakes up: False\n"
    assert capsys.readouterr().out == f"{first}in the end it gets: item\n"


@pytest.mark.parametrize("debug", [True, False])
def test_the_debug_mode_raises_in_the_thread_that_touches_the_loop(
    *, debug: bool
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        handle = await asyncio.to_thread(loop.call_soon, print)
        handle.cancel()

    if debug:
        text = (
            "^Non-thread-safe operation invoked on an event loop other than "
            "the current one$"
        )
        with pytest.raises(RuntimeError, match=text):
            asyncio.run(main(), debug=True)
    else:
        asyncio.run(main(), debug=False)


@pytest.mark.parametrize("touch", ["event.set", "cancel", "set_result"])
def test_event_set_and_cancel_and_set_result_call_soon_in_the_thread(
    touch: str,
) -> None:
    calls: list[threading.Thread] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        future.add_done_callback(lambda _: None)
        event = asyncio.Event()
        waiter = asyncio.create_task(event.wait())
        await asyncio.sleep(0)
        touches: dict[str, Callable[[], object]] = {
            "event.set": event.set,
            "cancel": waiter.cancel,
            "set_result": lambda: future.set_result(None),
        }

        def call_soon(*args: Any, **options: Any) -> asyncio.Handle:  # noqa: ANN401
            calls.append(threading.current_thread())
            return loop.call_soon_threadsafe(*args, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "call_soon", call_soon)
            thread = threading.Thread(target=touches[touch])
            thread.start()
            thread.join(timeout=10)
        assert calls == [thread]
        waiter.cancel()

    asyncio.run(main())


def test_in_a_thread_create_task_and_get_running_loop_find_no_loop() -> None:
    def work(_: asyncio.AbstractEventLoop) -> None:
        coroutine = square(1)
        with pytest.raises(RuntimeError, match=r"^no running event loop$"):
            asyncio.create_task(coroutine)  # noqa: RUF006
        coroutine.close()
        with pytest.raises(RuntimeError, match=r"^no running event loop$"):
            asyncio.get_running_loop()
        name = threading.current_thread().name
        text = f"^There is no current event loop in thread '{name}'.$"
        with pytest.raises(RuntimeError, match=text):
            asyncio.get_event_loop()

    in_thread(work)


def test_in_the_main_thread_create_task_needs_a_running_loop_as_well() -> None:
    coroutine = square(1)
    with pytest.raises(RuntimeError, match=r"^no running event loop$"):
        asyncio.create_task(coroutine)  # noqa: RUF006
    coroutine.close()


def test_call_from_thread_refuses_to_wait_in_the_thread_of_a_loop() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(RuntimeError, match=r"^use await: <.*Loop running"):
            call_from_thread(loop, square, 1, timeout=9)

    asyncio.run(main())


def test_an_exception_of_the_coroutine_is_raised_in_the_thread() -> None:
    error = OSError("no answer")

    async def fail() -> None:
        raise error

    def work(loop: asyncio.AbstractEventLoop) -> None:
        with pytest.raises(OSError, match=r"no answer") as caught:
            call_from_thread(loop, fail, timeout=9)
        assert caught.value is error

    in_thread(work)


def test_what_a_callback_raises_goes_to_the_exception_handler() -> None:
    error = OSError("no answer")
    handled: list[dict[str, Any]] = []

    def fail() -> None:
        raise error

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: handled.append(context))
        await asyncio.to_thread(loop.call_soon_threadsafe, fail)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert [one["exception"] for one in handled] == [error]


def test_a_timeout_cancels_the_coroutine_and_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = Slow()
    start = asyncio.run_coroutine_threadsafe

    def begin(*arguments: Any) -> Any:  # noqa: ANN401
        """Return when it has begun: one that has not has nothing to clean."""
        future = start(*arguments)
        assert slow.begun.wait(timeout=10)
        return future

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", begin)

    def work(loop: asyncio.AbstractEventLoop) -> None:
        with pytest.raises(TimeoutError):
            call_from_thread(loop, slow.run, timeout=0.02)
        assert not slow.cleaned_up.is_set()
        slow.may_clean_up.set()
        assert slow.cleaned_up.wait(timeout=10)

    in_thread(work)


def test_a_cancelled_task_gives_the_thread_the_other_cancelled_error() -> None:
    async def cancel_itself() -> None:
        task = asyncio.current_task()
        assert task
        task.cancel()
        await asyncio.sleep(0)

    def work(loop: asyncio.AbstractEventLoop) -> None:
        with pytest.raises(concurrent.futures.CancelledError) as caught:
            call_from_thread(loop, cancel_itself, timeout=9)
        assert isinstance(caught.value, Exception)
        assert not isinstance(caught.value, asyncio.CancelledError)

    in_thread(work)


@pytest.mark.parametrize("ctrl_c", [True, False])
def test_the_end_of_run_and_ctrl_c_cancel_the_coroutine_of_the_thread(
    *, ctrl_c: bool
) -> None:
    slow = Slow()
    slow.may_clean_up.set()
    caught: list[BaseException] = []
    threads: list[threading.Thread] = []

    def work(loop: asyncio.AbstractEventLoop) -> None:
        try:
            call_from_thread(loop, slow.run, timeout=10)
        except concurrent.futures.CancelledError as error:
            caught.append(error)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        threads.append(threading.Thread(target=work, args=[loop]))
        threads[0].start()
        await asyncio.to_thread(slow.begun.wait, 10)
        if ctrl_c:
            signal.raise_signal(signal.SIGINT)
            await asyncio.Event().wait()

    if ctrl_c:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())
    else:
        asyncio.run(main())
    threads[0].join(timeout=10)
    assert slow.cleaned_up.is_set()
    assert len(caught) == 1


def test_a_call_after_run_has_cancelled_the_tasks_gets_a_timeout_error() -> (
    None
):
    ending = threading.Event()
    called = asyncio.Event()
    caught: list[BaseException] = []
    tasks: list[asyncio.Task[None]] = []

    async def wait() -> None:
        await asyncio.Event().wait()

    def work(loop: asyncio.AbstractEventLoop) -> None:
        assert ending.wait(timeout=10)
        try:
            call_from_thread(loop, wait, timeout=0.02)
        except (TimeoutError, concurrent.futures.CancelledError) as error:
            caught.append(error)
        finally:
            loop.call_soon_threadsafe(called.set)

    async def last() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()  # run has chosen whom to cancel
            await called.wait()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        tasks.append(asyncio.create_task(last()))
        await asyncio.sleep(0)
        loop.run_in_executor(None, work, loop)

    asyncio.run(main())
    assert [type(error) for error in caught] == [TimeoutError]


def test_when_the_loop_has_ended_both_raise_and_nothing_is_started() -> None:
    async def main() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    loop = asyncio.run(main())
    with pytest.raises(RuntimeError, match=r"^the loop does not run: <"):
        call_from_thread(loop, square, 1, timeout=9)
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        send_from_thread(loop, asyncio.Queue(), 1)


@pytest.mark.parametrize("timeout", [-1, math.nan, math.inf])
def test_a_timeout_that_is_no_number_of_seconds_is_refused_by_value(
    timeout: float,
) -> None:
    def work(loop: asyncio.AbstractEventLoop) -> None:
        with pytest.raises(ValueError, match=f"not {timeout}$"):
            call_from_thread(loop, square, 1, timeout=timeout)

    in_thread(work)


@pytest.mark.parametrize("timeout", [0, threading.TIMEOUT_MAX])
def test_the_shortest_and_the_longest_timeout_are_taken(
    timeout: float,
) -> None:
    def work(loop: asyncio.AbstractEventLoop) -> None:
        try:
            assert call_from_thread(loop, square, 7, timeout=timeout) == 49
        except TimeoutError:
            assert timeout == 0

    in_thread(work)


def test_what_is_no_coroutine_function_is_refused_by_asyncio() -> None:
    def work(loop: asyncio.AbstractEventLoop) -> None:
        with pytest.raises(
            TypeError, match=r"^A coroutine object is required"
        ):
            call_from_thread(loop, int, timeout=9)  # type: ignore[arg-type]

    in_thread(work)


def test_a_queue_with_a_limit_is_refused_by_send_and_waited_for_by_call() -> (
    None
):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
        with pytest.raises(ValueError, match=r"limit, not 1$"):
            send_from_thread(loop, queue, 1)

        def work() -> None:
            for number in range(3):
                call_from_thread(loop, queue.put, number, timeout=10)

        working = asyncio.create_task(asyncio.to_thread(work))
        assert [await queue.get() for _ in range(3)] == [0, 1, 2]
        await working

    asyncio.run(main())


def test_items_sent_from_a_thread_arrive_in_order() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[int] = asyncio.Queue()

        def work() -> None:
            for number in range(5):
                send_from_thread(loop, queue, number)

        await asyncio.to_thread(work)
        return [await queue.get() for _ in range(5)]

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]
