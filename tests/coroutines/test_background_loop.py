"""What the recipe says of a loop in the background, shown to be so."""

import asyncio
import concurrent.futures
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cookbook import forms
from cookbook.coroutines import background_loop
from cookbook.coroutines.background_loop import (
    BackgroundLoop,
    BrokenBackgroundLoop,
    stop_during_a_call,
)
from cookbook.testing.without_sleeping import wait_until
from tests.interrupts import one_interrupt

SOURCE = Path(background_loop.__file__).read_text(encoding="utf-8")


@pytest.fixture
def background() -> Iterator[BackgroundLoop]:
    with BackgroundLoop() as started:
        yield started


class Slow:
    """A coroutine that waits until it is cancelled, then cleans up."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.cleaned_up = threading.Event()

    async def run(self) -> None:
        """Wait for ever."""
        try:
            self.begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.001)
            self.cleaned_up.set()


async def square(number: int) -> int:
    await asyncio.sleep(0)
    return number * number


async def where() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
    return asyncio.get_running_loop(), threading.current_thread()


def run_alone(script: str) -> subprocess.CompletedProcess[str]:
    """Run the copied program, with *script* in the place of its main."""
    program = forms.program(SOURCE, "main").partition("def main()")[0]
    return subprocess.run(
        [sys.executable, "-I", "-c", program + textwrap.dedent(script)],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )


def test_the_caller_gets_what_the_coroutine_returns(
    background: BackgroundLoop,
) -> None:
    assert background.run(square, 7, timeout=10) == 49


def test_all_calls_run_on_one_loop_in_a_thread_of_its_own(
    background: BackgroundLoop,
) -> None:
    loop, thread = background.run(where, timeout=10)
    assert (loop, thread) == background.run(where, timeout=10)
    assert thread is not threading.current_thread()


def test_calls_of_many_threads_run_on_the_loop_at_the_same_time(
    background: BackgroundLoop,
) -> None:
    threads = 8

    async def make() -> asyncio.Barrier:
        return asyncio.Barrier(threads)

    meeting = background.run(make, timeout=10)

    def call(_: int) -> int:
        return background.run(meeting.wait, timeout=10)

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        assert sorted(pool.map(call, range(threads))) == list(range(threads))


def test_the_caller_gets_the_same_exception_and_the_loop_goes_on(
    background: BackgroundLoop,
) -> None:
    error = OSError("no answer")

    async def fail() -> None:
        raise error

    with pytest.raises(OSError, match=r"no answer") as caught:
        background.run(fail, timeout=10)
    assert caught.value is error
    assert background.run(square, 2, timeout=10) == 4


def test_a_timeout_cancels_the_coroutine_and_the_loop_goes_on(
    background: BackgroundLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow()
    start = asyncio.run_coroutine_threadsafe

    def begin(*arguments: Any) -> Any:  # noqa: ANN401
        """Return when it has begun: one that has not has nothing to clean."""
        future = start(*arguments)
        assert slow.begun.wait(timeout=10)
        return future

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", begin)
    with pytest.raises(TimeoutError):
        background.run(slow.run, timeout=0.02)
    monkeypatch.undo()
    assert slow.cleaned_up.wait(timeout=10)
    assert background.run(square, 2, timeout=10) == 4


def test_stop_cancels_what_runs_and_waits_until_it_has_cleaned_up() -> None:
    slow = Slow()
    background = BackgroundLoop()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(background.run, slow.run, timeout=10)
        assert slow.begun.wait(timeout=10)
        background.stop()
        assert slow.cleaned_up.is_set()
        error = call.exception(timeout=10)
    assert type(error) is concurrent.futures.CancelledError


def test_a_call_that_comes_just_before_stop_is_not_left_waiting() -> None:
    background = BackgroundLoop()
    blocked, may_go_on = threading.Event(), threading.Event()

    async def block() -> None:
        blocked.set()
        may_go_on.wait(timeout=10)

    async def forever() -> None:
        await asyncio.Event().wait()

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        first = pool.submit(background.run, block, timeout=10)
        assert blocked.wait(timeout=10)
        second = pool.submit(background.run, forever, timeout=10)
        waiting = vars(background._loop)["_ready"]  # noqa: SLF001
        wait_until(lambda: len(waiting) > 0)
        stopping = pool.submit(background.stop)
        may_go_on.set()
        stopping.result(timeout=10)
        first.exception(timeout=10)
        error = second.exception(timeout=10)
    assert type(error) is concurrent.futures.CancelledError


def test_a_stop_in_the_midst_of_a_call_waits_until_it_can_cancel_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    background = BackgroundLoop()
    hand_over = asyncio.run_coroutine_threadsafe

    def stop_before(
        *args: Any,  # noqa: ANN401 - a coroutine and its loop
    ) -> concurrent.futures.Future[None]:
        stopping = pool.submit(background.stop)
        concurrent.futures.wait([stopping], timeout=0.05)  # it must not end
        return hand_over(*args)

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", stop_before)
    with (
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        pytest.raises(concurrent.futures.CancelledError),
    ):
        background.run(Slow().run, timeout=10)


def test_after_stop_a_call_is_refused_and_stop_does_nothing() -> None:
    background = BackgroundLoop()
    background.stop()
    background.stop()
    with pytest.raises(RuntimeError, match=r"^the background loop does not"):
        background.run(square, 1, timeout=10)


def test_while_what_ran_still_cleans_up_after_stop_a_call_is_refused() -> None:
    background = BackgroundLoop()
    begun, cleans_up, may_end = (threading.Event() for _ in range(3))

    async def clean_up_long() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            cleans_up.set()
            may_end.wait(timeout=10)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        pool.submit(background.run, clean_up_long, timeout=10)
        assert begun.wait(timeout=10)
        stopping = pool.submit(background.stop)
        try:
            assert cleans_up.wait(timeout=10)
            with pytest.raises(RuntimeError, match=r"^the background loop"):
                background.run(square, 1, timeout=0.05)
        finally:
            may_end.set()
        stopping.result(timeout=10)


@pytest.mark.parametrize("timeout", [0, threading.TIMEOUT_MAX])
def test_the_shortest_and_the_longest_timeout_are_taken(
    background: BackgroundLoop, timeout: float
) -> None:
    try:
        assert background.run(square, 7, timeout=timeout) == 49
    except TimeoutError:
        assert timeout == 0


def test_the_with_block_stops_the_loop_when_it_raises() -> None:
    slow = Slow()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with pytest.raises(OSError, match=r"no answer"):
            fail_during_a_call(slow, pool)
        assert slow.cleaned_up.is_set()


def fail_during_a_call(
    slow: Slow, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    with BackgroundLoop() as background:
        pool.submit(background.run, slow.run, timeout=10)
        assert slow.begun.wait(timeout=10)
        raise OSError("no answer")


def test_a_call_in_the_thread_of_the_loop_is_refused(
    background: BackgroundLoop,
) -> None:
    async def call() -> int:
        return background.run(square, 1, timeout=10)

    with pytest.raises(RuntimeError, match=r"^use await: this is the thread"):
        background.run(call, timeout=10)


def test_an_error_at_the_start_is_raised_to_the_caller_with_no_thread_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise OSError("too many open files")

    monkeypatch.setattr(asyncio.events, "new_event_loop", fail)
    with pytest.raises(OSError, match=r"^too many open files$"):
        BackgroundLoop()


def test_a_coroutine_that_exits_ends_the_loop_and_calls_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended_by: list[object] = []

    def note(what: threading.ExceptHookArgs) -> None:
        ended_by.append(what.exc_type)

    async def leave() -> None:
        sys.exit("enough")

    monkeypatch.setattr(threading, "excepthook", note)
    with BackgroundLoop() as background:
        with pytest.raises(SystemExit, match=r"^enough$"):
            background.run(leave, timeout=10)
        background._thread.join(timeout=10)  # noqa: SLF001
        with pytest.raises(RuntimeError, match=r"does not run$"):
            background.run(square, 1, timeout=10)
    assert ended_by == [SystemExit]


@pytest.mark.parametrize("timeout", [-1, math.nan, math.inf])
def test_a_timeout_that_is_no_number_of_seconds_is_refused_by_value(
    timeout: float, background: BackgroundLoop
) -> None:
    with pytest.raises(ValueError, match=f"not {timeout}$"):
        background.run(square, 1, timeout=timeout)


def test_what_is_no_coroutine_function_is_refused_by_asyncio(
    background: BackgroundLoop,
) -> None:
    with pytest.raises(TypeError, match=r"^A coroutine object is required"):
        background.run(int, timeout=10)  # type: ignore[arg-type]


@pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="no signal to a thread"
)
def test_ctrl_c_cancels_the_coroutine_of_the_main_thread(
    background: BackgroundLoop,
) -> None:
    slow = Slow()

    main = threading.main_thread().ident
    assert main

    def main_waits() -> bool:
        return sys._current_frames()[main].f_code.co_name == "wait"  # noqa: SLF001

    async def interrupt() -> None:
        await asyncio.to_thread(wait_until, main_waits)
        pressing = asyncio.create_task(asyncio.to_thread(press))
        await slow.run()
        await pressing

    with one_interrupt() as press, pytest.raises(KeyboardInterrupt):
        background.run(interrupt, timeout=10)
    assert slow.cleaned_up.wait(timeout=10)


NEVER_STOPPED = """
async def wait(begun):
    try:
        begun.set()
        await asyncio.Event().wait()
    finally:
        print("cleans up", flush=True)

def call():
    with contextlib.suppress(CancelledError):
        background.run(wait, begun, timeout=60)

begun = threading.Event()
background = BackgroundLoop()
{register}
threading.Thread(target=call, daemon=True).start()
begun.wait(10)
print("main ends", flush=True)
"""


@pytest.mark.parametrize(
    ("register", "printed"),
    [
        ("", "main ends\n"),
        (
            "import atexit; atexit.register(background.stop)",
            "main ends\ncleans up\n",
        ),
    ],
    ids=["never stopped", "atexit"],
)
def test_a_program_that_never_stops_it_ends_and_atexit_cleans_up(
    register: str, printed: str
) -> None:
    assert run_alone(NEVER_STOPPED.format(register=register)).stdout == printed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_in_a_forked_child_a_call_is_refused() -> None:
    script = """
    import os, warnings
    warnings.simplefilter("ignore")
    with BackgroundLoop() as background:
        if child := os.fork():
            os.waitpid(child, 0)
        else:
            try:
                background.run(asyncio.sleep, 0, timeout=60)
            except RuntimeError as error:
                print(error, flush=True)
            os._exit(0)
    print("parent ends")
    """
    printed = "the background loop does not run\nparent ends\n"
    assert run_alone(script).stdout == printed


@pytest.mark.parametrize(
    ("make", "timeout", "printed"),
    [
        (BackgroundLoop, 10, "CancelledError\nthe coroutine: cleans up\n"),
        (BrokenBackgroundLoop, 0.02, "TimeoutError\nthe coroutine:\n"),
    ],
    ids=["right", "broken"],
)
def test_loop_stop_leaves_the_task_and_its_caller_waiting_and_stop_does_not(
    make: Callable[[], BackgroundLoop | BrokenBackgroundLoop],
    timeout: float,
    printed: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    background = make()
    stop_during_a_call(background.run, background.stop, timeout)
    assert capsys.readouterr().out == f"the caller gets: {printed}"
    if isinstance(background, BrokenBackgroundLoop):
        (left,) = asyncio.all_tasks(background.loop)
        left.cancel()
        background.loop.run_until_complete(asyncio.wait([left]))
        background.loop.close()


def test_a_task_that_nobody_cancelled_is_reported_when_it_is_collected() -> (
    None
):
    script = """
    import gc
    async def wait():
        begun.set()
        await asyncio.get_running_loop().create_future()

    begun = threading.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(wait(), loop)
    begun.wait(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    gc.collect()
    loop.close()
    """
    errors = run_alone(script).stderr
    assert "Task was destroyed but it is pending!" in errors


def test_run_until_complete_on_it_says_that_the_loop_is_already_running(
    background: BackgroundLoop,
) -> None:
    loop, _ = background.run(where, timeout=10)
    coroutine = square(1)
    with pytest.raises(RuntimeError, match=r"^This event loop is already run"):
        loop.run_until_complete(coroutine)
    coroutine.close()


def test_asyncio_run_makes_a_new_loop_for_each_call() -> None:
    first, _ = asyncio.run(where())
    second, _ = asyncio.run(where())
    assert first is not second
