"""What the recipe says of several event loops, shown to be so."""

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cookbook.coroutines import one_loop_per_thread
from cookbook.coroutines.one_loop_per_thread import (
    Client,
    ask_both,
    count_answers,
    run_in_threads,
)
from tests.interrupts import one_interrupt

WAIT = 30.0


class Waiting:
    """Jobs that wait in their threads until they are cancelled."""

    def __init__(self, jobs: int) -> None:
        self.meeting = threading.Barrier(jobs, timeout=WAIT)
        self.log: list[str] = []

    async def job(self, share: object) -> None:
        """Meet the others; wait, or raise *share* if it is an error."""
        try:
            await asyncio.to_thread(self.meeting.wait)
            if isinstance(share, Exception):
                raise share
            await asyncio.sleep(WAIT)
            self.log.append("was not cancelled")
        finally:
            await asyncio.sleep(0)
            self.log.append("cleaned up")


@contextlib.contextmanager
def future_of_another_loop() -> Iterator[asyncio.Future[None]]:
    """Give a future of a loop that does not run."""
    loop = asyncio.new_event_loop()
    future: asyncio.Future[None] = loop.create_future()
    yield future
    future.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_each_share_has_a_thread_and_a_loop_of_its_own() -> None:
    meeting = threading.Barrier(3, timeout=WAIT)

    async def job(share: int) -> tuple[int, int, int]:
        meeting.wait()
        loop = asyncio.get_running_loop()
        return share, threading.get_ident(), id(loop)

    shares, threads, loops = zip(*run_in_threads(job, [3, 1, 2]), strict=True)
    assert shares == (3, 1, 2)
    assert len(set(threads)) == len(set(loops)) == 3
    assert threading.get_ident() not in threads


def test_no_shares_give_no_results() -> None:
    assert run_in_threads(count_answers, []) == []


def test_if_one_raises_the_others_are_cancelled_and_it_is_raised() -> None:
    waiting = Waiting(3)
    shares = ["a", OSError("no answer"), "b"]
    with pytest.raises(OSError, match="no answer"):
        run_in_threads(waiting.job, shares)
    assert waiting.log == 3 * ["cleaned up"]


def test_a_thread_that_starts_late_is_cancelled_too() -> None:
    first_waits, others_are_cancelled = threading.Event(), threading.Event()
    log: list[str] = []

    async def wait(share: str) -> None:
        try:
            first_waits.set()
            await asyncio.sleep(WAIT)
            log.append(f"{share}: not cancelled")
        finally:
            others_are_cancelled.set()

    async def fail() -> None:
        await asyncio.to_thread(first_waits.wait, WAIT)
        raise OSError("no answer")

    def job(share: str) -> Coroutine[Any, Any, None]:
        if share == "fails":
            return fail()
        if share == "late":
            others_are_cancelled.wait(WAIT)
            time.sleep(0.05)  # all calls that cancel have been made by then
        return wait(share)

    with pytest.raises(OSError, match="no answer"):
        run_in_threads(job, ["fails", "waits", "late"])
    assert not log


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pthread_kill")
def test_ctrl_c_cancels_all_jobs_and_is_raised_when_they_have_ended() -> None:
    waiting = Waiting(3)

    def press_when_they_wait() -> None:
        waiting.meeting.wait()
        press()

    with one_interrupt() as press:
        thread = threading.Thread(target=press_when_they_wait)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            run_in_threads(waiting.job, ["a", "b"])
        thread.join()
    assert waiting.log == ["cleaned up", "cleaned up"]


def test_ctrl_c_while_the_threads_are_started_cancels_all_jobs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting = Waiting(2)

    class Interrupted(ThreadPoolExecutor):
        def submit(self, *arguments: object) -> None:  # type: ignore[override]
            super().submit(*arguments)  # type: ignore[arg-type]
            waiting.meeting.wait()
            raise KeyboardInterrupt

    executor = "cookbook.coroutines.one_loop_per_thread.ThreadPoolExecutor"
    monkeypatch.setattr(executor, Interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_in_threads(waiting.job, ["a", "b"])
    assert waiting.log == ["cleaned up"]


def test_a_client_for_each_loop_answers_in_both_threads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one_loop_per_thread.main()
    out = capsys.readouterr().out
    assert out == "['first: 2 answers', 'second: 2 answers']\n"


def test_a_shared_client_fails_in_the_second_loop(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one_loop_per_thread.broken_main()
    assert capsys.readouterr().out.splitlines() == [
        "first: 2 answers",
        "second: RuntimeError, its lock is bound to a different event loop",
    ]


def test_while_nobody_has_to_wait_a_shared_client_goes_well() -> None:
    client = Client()

    async def ask_one(share: str) -> str:
        return await client.ask(share)

    for share in ("one", "two"):
        assert run_in_threads(ask_one, [share]) == [share.upper()]
    assert len(asyncio.run(ask_both(client))) == 2


def test_a_future_of_another_loop_cannot_be_awaited() -> None:
    with future_of_another_loop() as future:

        async def main() -> None:
            message = (
                "got Future <Future pending.*attached to a different loop"
            )
            with pytest.raises(RuntimeError, match=message):
                await future

        asyncio.run(main())


def test_from_3_14_gather_raises_value_error_for_a_foreign_future() -> None:
    with future_of_another_loop() as future:

        async def main() -> None:
            if sys.version_info >= (3, 14):
                message = "The future belongs to a different loop than the one"
                with pytest.raises(ValueError, match=message):
                    await asyncio.gather(future)
            else:
                message = "attached to a different loop"
                with pytest.raises(RuntimeError, match=message):
                    await asyncio.gather(future)

        asyncio.run(main())


@pytest.mark.parametrize("debug", [True, False])
def test_to_set_a_future_from_another_thread_does_not_wake_its_loop(
    *, debug: bool
) -> None:
    errors: list[str] = []

    def set_result(future: asyncio.Future[None]) -> None:
        try:
            future.set_result(None)
        except RuntimeError as error:
            errors.append(str(error))

    async def main() -> bool:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        woken: list[int] = []
        future.add_done_callback(lambda _: woken.append(1))
        thread = threading.Thread(target=set_result, args=(future,))
        thread.start()
        thread.join()
        return bool(woken)

    assert asyncio.run(main(), debug=debug) is False
    expected = "Non-thread-safe operation invoked on an event loop other than"
    assert [error[: len(expected)] for error in errors] == debug * [expected]


def test_a_job_that_cannot_be_called_is_refused_by_value() -> None:
    wrong: Any = 5
    with pytest.raises(TypeError, match="a coroutine function, not 5"):
        run_in_threads(wrong, [1])
