"""What the recipe says of a loop that runs already, shown to be so."""

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cookbook import forms
from cookbook.coroutines import notebook_and_repl
from cookbook.coroutines.notebook_and_repl import add, broken_add, run_anywhere

T = TypeVar("T")

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
REFUSED = r"^asyncio.run\(\) cannot be called from a running event loop$"


def prompt(*arguments: str, lines: str) -> tuple[str, str]:
    """Type *lines* at the prompt of Python; return what it answers."""
    run = subprocess.run(
        [sys.executable, *arguments],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHON_COLORS": "0", "NO_COLOR": "1"},
    )
    return run.stdout, run.stderr


def test_the_asyncio_prompt_takes_await_and_refuses_asyncio_run() -> None:
    out, err = prompt(
        *["-m", "asyncio"],
        lines="import asyncio\n"
        "await asyncio.sleep(0, 'seven')\n"
        "asyncio.run(asyncio.sleep(0))\n",
    )
    assert "'seven'" in out
    assert (
        "RuntimeError: asyncio.run() cannot be called from a running event"
        " loop" in err
    )


def test_a_task_of_the_prompt_runs_on_after_its_line() -> None:
    out, _ = prompt(
        *["-m", "asyncio"],
        lines="import asyncio\n"
        "end = asyncio.Event()\n"
        "task = asyncio.create_task(end.wait())\n"
        "1 + 1\n"
        "end.set()\n"
        "await asyncio.wait_for(task, 10) and 'has ended'\n",
    )
    assert "'has ended'" in out


def test_the_recipe_itself_runs_where_a_loop_runs(tmp_path: Path) -> None:
    source = Path(notebook_and_repl.__file__).read_text(encoding="utf-8")
    path = tmp_path / "recipe.py"
    path.write_text(forms.program(source, "main"), encoding="utf-8")
    out, err = prompt(
        *["-m", "asyncio"],
        lines="import runpy\n"
        f"_ = runpy.run_path({str(path)!r}, run_name='__main__')\n",
    )
    assert "from ordinary code: 7" in out
    assert "Error" not in err


def test_at_the_ordinary_prompt_asyncio_run_works_and_await_does_not() -> None:
    out, err = prompt(
        "-i",
        "-q",
        lines="import asyncio\n"
        "asyncio.run(asyncio.sleep(0, 'seven'))\n"
        "await asyncio.sleep(0)\n",
    )
    assert "'seven'" in out
    assert "SyntaxError: 'await' outside function" in err


def test_ordinary_code_runs_a_coroutine_where_a_loop_runs() -> None:
    async def cell() -> int:
        return run_anywhere(add, 3, 4)

    assert asyncio.run(cell()) == 7


def test_it_runs_where_no_loop_runs_too_and_within_itself() -> None:
    async def cell() -> int:
        return run_anywhere(add, 3, 4)

    assert run_anywhere(add, 1, 2) == 3
    assert run_anywhere(cell) == 7


def test_the_broken_way_works_in_a_script_and_fails_in_a_loop() -> None:
    async def cell() -> None:
        with pytest.raises(RuntimeError, match=REFUSED):
            broken_add(3, 4)

    assert broken_add(3, 4) == 7
    with pytest.warns(RuntimeWarning, match=r"^coroutine 'add' was never awa"):
        asyncio.run(cell())


def test_asyncio_run_works_in_a_thread_of_a_pool() -> None:
    async def main() -> int:
        return await asyncio.to_thread(broken_add, 3, 4)

    assert asyncio.run(main()) == 7


def test_a_loop_that_runs_is_already_running() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        text = r"^This event loop is already running$"
        with pytest.raises(RuntimeError, match=text):
            loop.run_until_complete(loop.create_future())
        with pytest.raises(RuntimeError, match=text):
            loop.run_forever()

    asyncio.run(main())


def test_another_loop_does_not_run_in_the_thread_of_a_running_loop() -> None:
    async def main() -> None:
        other = asyncio.new_event_loop()
        text = "^Cannot run the event loop while another loop is running$"
        with pytest.raises(RuntimeError, match=text):
            other.run_until_complete(other.create_future())
        with pytest.raises(RuntimeError, match=text):
            other.run_forever()
        other.close()

    asyncio.run(main())


def test_a_runner_is_refused_in_a_running_loop_too() -> None:
    async def main() -> None:
        coroutine = add(1, 2)
        text = r"^Runner.run\(\) cannot be called from a running event loop$"
        runner = asyncio.Runner()
        with pytest.raises(RuntimeError, match=text):
            runner.run(coroutine)
        coroutine.close()

    asyncio.run(main())


def test_the_loop_of_the_caller_stands_still_meanwhile() -> None:
    turns: list[str] = []

    async def take_turns() -> None:
        while True:
            turns.append("a turn")
            await asyncio.sleep(0)

    async def some_time() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def cell() -> None:
        task = asyncio.create_task(take_turns())
        await asyncio.sleep(0)
        before = len(turns)
        run_anywhere(some_time)
        assert len(turns) == before
        task.cancel()

    asyncio.run(cell())


def test_a_coroutine_that_waits_for_the_callers_loop_is_a_deadlock() -> None:
    seen: list[str] = []

    async def cell() -> None:
        loop = asyncio.get_running_loop()

        async def ask() -> None:
            future = asyncio.run_coroutine_threadsafe(add(3, 4), loop)
            answer = asyncio.wrap_future(future)
            done, _ = await asyncio.wait([answer], timeout=0.05)
            seen.append("no answer" if not done else "an answer")
            future.cancel()

        run_anywhere(ask)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        asyncio.run(cell())
    assert seen == ["no answer"]


def test_a_lock_of_the_callers_loop_cannot_be_used() -> None:
    async def cell() -> None:
        lock = asyncio.Lock()
        async with lock:
            waiter = asyncio.create_task(lock.acquire())
            await asyncio.sleep(0)
            text = "is bound to a different event loop"
            with pytest.raises(RuntimeError, match=text):
                run_anywhere(lock.acquire)
        await waiter

    asyncio.run(cell())


def test_the_caller_gets_the_same_exception() -> None:
    error = OSError("no answer")

    async def fail() -> None:
        raise error

    async def cell() -> None:
        run_anywhere(fail)

    with pytest.raises(OSError, match=r"^no answer$") as caught:
        asyncio.run(cell())
    assert caught.value is error


def test_a_timeout_inside_the_coroutine_ends_the_call() -> None:
    async def slow() -> None:
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run_anywhere(slow)


def test_the_coroutine_sees_the_callers_context_variables() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")

    async def get() -> str:
        return name.get()

    async def cell() -> str:
        name.set("the caller's")
        return run_anywhere(get)

    assert asyncio.run(cell()) == "the caller's"


@pytest.mark.parametrize("wrong", [7, None, "add"])
def test_what_is_no_function_is_refused_and_named(
    wrong: object,
) -> None:
    function: Any = wrong
    with pytest.raises(TypeError, match=rf"not {wrong!r}$"):
        run_anywhere(function)


def test_a_coroutine_in_place_of_its_function_is_refused() -> None:
    coroutine: Any = add(1, 2)
    with pytest.raises(TypeError, match=r"not <coroutine object add at"):
        run_anywhere(coroutine)
    coroutine.close()


def test_a_cancellation_arrives_at_the_next_await_of_the_caller() -> None:
    log: list[object] = []

    async def cell() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task

        async def cancel_the_caller() -> str:
            loop.call_soon_threadsafe(task.cancel)
            await asyncio.sleep(0.001)
            return "goes on"

        log.append(run_anywhere(cancel_the_caller))
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cell())
    assert log == ["goes on", "cancelled"]


def press_ctrl_c(has_arrived: Callable[[], object]) -> None:
    """Send SIGINT to the main thread; after a second, once more.

    One that comes just before a wait is handled when the wait is over.
    """
    main_thread = threading.main_thread().ident
    assert main_thread
    for turn in range(10_000):
        if has_arrived():
            return
        if turn % 1000 == 0:
            signal.pthread_kill(main_thread, signal.SIGINT)
        time.sleep(0.001)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return an event that is set when somebody waits for a result."""
    event, result = threading.Event(), Future.result

    def telling_result(self: Future[T]) -> T:
        event.set()
        return result(self)

    monkeypatch.setattr(Future, "result", telling_result)
    return event


class Waiting:
    """A coroutine that waits, while a thread presses Ctrl-C.

    Args:
        press: What the thread calls, with a function that tells whether the
            coroutine has been cancelled.
    """

    def __init__(self, press: Callable[[Callable[[], bool]], object]) -> None:
        self.log: list[str] = []
        self.is_cancelled = threading.Event()
        self.thread = threading.Thread(
            target=press, args=(self.is_cancelled.is_set,)
        )

    async def wait(self) -> None:
        """Wait until it is cancelled; clean up."""
        self.thread.start()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.is_cancelled.set()
            await asyncio.sleep(0.001)
            self.log.append("has cleaned up")
            raise


@posix
def test_ctrl_c_raises_when_the_coroutine_has_cleaned_up(
    waits: threading.Event,
) -> None:
    def press(is_cancelled: Callable[[], bool]) -> None:
        assert waits.wait(timeout=10)
        press_ctrl_c(is_cancelled)

    waiting = Waiting(press)
    with pytest.raises(KeyboardInterrupt):
        run_anywhere(waiting.wait)
    assert waiting.log == ["has cleaned up"]
    waiting.thread.join()


@posix
def test_under_asyncio_run_the_first_ctrl_c_cancels_the_caller_only() -> None:
    log: list[str] = []

    async def some_time(task: asyncio.Task[None]) -> None:
        press_ctrl_c(task.cancelling)
        await asyncio.sleep(0.001)
        log.append("goes on")

    async def cell() -> None:
        run_anywhere(some_time, asyncio.current_task())
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(cell())
    assert log == ["goes on", "cancelled"]


@posix
def test_under_asyncio_run_a_second_ctrl_c_interrupts_the_call(
    waits: threading.Event,
) -> None:
    callers: list[asyncio.Task[None]] = []

    def press(is_cancelled: Callable[[], bool]) -> None:
        assert waits.wait(timeout=10)
        press_ctrl_c(callers[0].cancelling)
        press_ctrl_c(is_cancelled)

    waiting = Waiting(press)

    async def cell() -> None:
        task = asyncio.current_task()
        assert task
        callers.append(task)
        run_anywhere(waiting.wait)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(cell())
    assert waiting.log == ["has cleaned up"]
    waiting.thread.join()
