"""What the recipe says of trying again, shown to be so."""

import asyncio
import random
import signal
import traceback
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from cookbook.coroutines.retry import Server, broken_retry, retry
from cookbook.testing.without_sleeping import run_in_virtual_time

Job = Callable[[], Awaitable[str]]


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Make each pause as long as it can be, and note it."""
    pauses: list[float] = []

    def uniform(shortest: float, longest: float) -> float:
        assert shortest == 0
        pauses.append(longest)
        return longest

    monkeypatch.setattr(random, "uniform", uniform)
    return pauses


def trouble(times: int) -> list[OSError]:
    return [OSError(f"failure {number}") for number in range(times)]


@pytest.mark.parametrize("times", [0, 1, 4])
def test_the_first_attempt_that_does_not_fail_gives_the_result(
    times: int,
) -> None:
    server = Server(*trouble(times))
    answer = run_in_virtual_time(retry(server.call, on=OSError))
    assert (answer, server.calls) == ("an answer", times + 1)


@pytest.mark.parametrize(
    ("numbers", "attempts"),
    [
        ({}, 5),
        *(({"attempts": times, "pause": 0}, times) for times in (1, 2, 3)),
    ],
)
def test_the_error_of_the_last_attempt_goes_to_the_caller(
    numbers: dict[str, int], attempts: int
) -> None:
    server = Server(*trouble(9))
    run = retry(server.call, on=OSError, **numbers)
    with pytest.raises(OSError, match=f"failure {attempts - 1}"):
        run_in_virtual_time(run)
    assert server.calls == attempts


def test_another_error_goes_to_the_caller_at_once() -> None:
    server = Server(OSError(), KeyError("prime"), OSError())
    with pytest.raises(KeyError, match="prime"):
        run_in_virtual_time(retry(server.call, on=(OSError, ValueError)))
    assert server.calls == 2


def test_the_pause_doubles_up_to_ten_seconds(longest: list[float]) -> None:
    server = Server(*trouble(7))
    run = retry(server.call, on=OSError, attempts=8, pause=1, within=None)
    assert run_in_virtual_time(run) == "an answer"
    assert longest == [1, 2, 4, 8, 10, 10, 10]


@pytest.mark.parametrize("pause", [10.5, 3600, float("inf")])
def test_no_pause_is_longer_than_ten_seconds_not_even_the_first(
    longest: list[float], pause: float
) -> None:
    server = Server(*trouble(3))
    run = retry(server.call, on=OSError, pause=pause)
    assert run_in_virtual_time(run) == "an answer"
    assert longest == [10, 10, 10]


def test_a_random_part_of_the_pause_keeps_the_clients_apart() -> None:
    async def main(run: Callable[[Job], Awaitable[Any]]) -> int:
        calls: list[float] = []

        async def client() -> None:
            async def job() -> str:
                calls.append(now())
                raise ConnectionError

            await asyncio.gather(run(job), return_exceptions=True)

        await asyncio.gather(*(client() for _ in range(20)))
        return len(set(calls))

    right = run_in_virtual_time(main(partial(retry, on=OSError, attempts=3)))
    trap = run_in_virtual_time(main(partial(broken_retry, attempts=3)))
    assert trap == 3  # moments, at each of which all clients call
    assert right == 1 + 20 + 20


def test_one_timeout_is_around_all_attempts_and_pauses(
    longest: list[float],
) -> None:
    async def main() -> float:
        server = Server(*trouble(99))
        with pytest.raises(TimeoutError):
            await retry(
                server.call, on=OSError, attempts=99, pause=4, within=7
            )
        assert server.calls == 2
        return now()

    assert round(run_in_virtual_time(main())) == 7
    assert longest == [4, 8]


def test_the_timeout_ends_an_attempt_and_is_not_retried() -> None:
    async def main() -> float:
        server = Server(None)
        with pytest.raises(TimeoutError):
            await retry(server.call, on=(OSError, TimeoutError), within=7)
        assert server.calls == 1
        return now()

    assert round(run_in_virtual_time(main())) == 7


def test_the_traceback_of_a_timeout_in_a_pause_shows_the_last_error(
    longest: list[float],
) -> None:
    server = Server(*trouble(9))
    with pytest.raises(TimeoutError) as caught:
        run_in_virtual_time(retry(server.call, on=OSError, pause=9, within=5))
    text = "".join(traceback.format_exception(caught.value))
    assert "OSError: failure 0" in text
    assert longest == [9]


def test_a_timeout_of_each_attempt_is_an_os_error_and_tried_again() -> None:
    async def main() -> float:
        server = Server(None, None)
        job = partial(asyncio.wait_for, timeout=5)
        await retry(lambda: job(server.call()), on=OSError)
        assert server.calls == 3
        return now()

    assert 10 <= run_in_virtual_time(main()) <= 11


def test_the_errors_that_no_pause_cures_are_os_errors_too() -> None:
    kinds = (TimeoutError, ConnectionError, FileNotFoundError, PermissionError)
    assert all(issubclass(kind, OSError) for kind in kinds)


def test_an_attempt_that_timed_out_may_have_been_carried_out() -> None:
    paid: list[int] = []

    async def pay() -> str:
        paid.append(100)
        if len(paid) == 1:
            await asyncio.sleep(60)  # the answer is lost
        return "thank you"

    job = partial(asyncio.wait_for, timeout=5)
    run = retry(lambda: job(pay()), on=TimeoutError)
    assert run_in_virtual_time(run) == "thank you"
    assert paid == [100, 100]


def test_three_layers_of_three_attempts_make_27_calls() -> None:
    server = Server(*trouble(99))
    job: Callable[[], Awaitable[str]] = server.call
    for _ in range(3):
        job = partial(retry, job, on=OSError, attempts=3)
    with pytest.raises(OSError, match="failure 26"):
        run_in_virtual_time(job())  # type: ignore[arg-type]
    assert server.calls == 27


def test_a_coroutine_awaited_again_raises_a_runtime_error() -> None:
    async def main() -> None:
        call = Server().call()
        await call
        await call

    message = "cannot reuse already awaited coroutine"
    with pytest.raises(RuntimeError, match=message):
        asyncio.run(main())


def test_a_coroutine_in_the_place_of_the_function_is_refused() -> None:
    call = Server().call()
    with pytest.raises(TypeError, match="must be a function, not <coroutine"):
        asyncio.run(retry(call, on=OSError))  # type: ignore[arg-type]
    call.close()


@pytest.mark.parametrize(
    "on",
    [
        BaseException,
        asyncio.CancelledError,
        (OSError, KeyboardInterrupt),
        "OSError",
        OSError | ValueError,
        OSError("no answer"),
        int,
    ],
)
def test_what_is_no_kind_of_exception_is_refused_before_a_call(
    on: type[Exception],
) -> None:
    server = Server()
    with pytest.raises(TypeError, match="on must be kinds of Exception, not"):
        asyncio.run(retry(server.call, on=on))
    assert not server.calls


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"pause": -0.5},
        {"within": -1},
        {"pause": float("nan")},
    ],
)
def test_a_number_that_makes_no_sense_is_refused_before_a_call(
    wrong: dict[str, Any],
) -> None:
    server = Server()
    [number] = wrong.values()
    with pytest.raises(ValueError, match=f"more, not {number}"):
        asyncio.run(retry(server.call, on=OSError, **wrong))
    assert not server.calls


@pytest.mark.parametrize("failures", [[None], [OSError("no answer"), None]])
def test_a_cancellation_ends_the_attempt_and_no_other_follows(
    failures: list[OSError | None],
) -> None:
    async def main() -> None:
        server = Server(*failures)
        task = asyncio.create_task(retry(server.call, on=OSError))
        while server.calls < len(failures):
            server.called.clear()
            await server.called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert server.calls == len(failures)

    run_in_virtual_time(main())


@pytest.mark.parametrize("ended_by", ["timeout", "cancellation"])
def test_a_named_error_in_the_cleanup_ends_the_attempts_too(
    ended_by: str,
) -> None:
    attempts: list[float] = []

    async def job() -> str:
        attempts.append(now())
        if len(attempts) > 1:
            return "an answer"
        try:
            await asyncio.sleep(100)
        finally:
            raise OSError("in cleaning up")

    async def main() -> str:
        within = 1 if ended_by == "timeout" else None
        run = retry(job, on=OSError, pause=0, within=within)
        task = asyncio.create_task(run)
        await asyncio.sleep(1)
        if ended_by == "cancellation":
            task.cancel()
        return await task

    with pytest.raises(OSError, match="in cleaning up"):
        run_in_virtual_time(main())
    assert attempts == [0]


def test_in_the_cleanup_of_a_cancelled_task_it_tries_again() -> None:
    server = Server(*trouble(2))
    answers: list[str] = []

    async def job() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            answers.append(await retry(server.call, on=OSError))

    async def main() -> bool:
        task = asyncio.create_task(job())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run_in_virtual_time(main())
    assert answers == ["an answer"]


def test_a_cancellation_ends_a_pause_and_no_attempt_follows() -> None:
    async def main() -> None:
        server = Server(OSError("no answer"))
        run = retry(server.call, on=OSError, pause=3600, within=None)
        task = asyncio.create_task(run)
        await server.called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert server.calls == 1

    asyncio.run(main())


def test_ctrl_c_ends_the_attempts_and_goes_to_the_caller() -> None:
    calls: list[int] = []

    async def job() -> None:
        calls.append(1)
        signal.raise_signal(signal.SIGINT)
        await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(retry(job, on=OSError))
    assert calls == [1]


def test_a_bare_except_swallows_the_cancellation_and_goes_on() -> None:
    async def main() -> None:
        server = Server(None)
        task = asyncio.create_task(broken_retry(server.call))
        await server.called.wait()
        task.cancel()
        assert await task == "an answer"
        assert server.calls == 2

    run_in_virtual_time(main())


def test_a_timeout_around_a_bare_except_is_not_heeded() -> None:
    async def main() -> None:
        server = Server(None, OSError(), OSError())
        async with asyncio.timeout(5):
            answer = await broken_retry(server.call, pause=10)
        assert (answer, server.calls) == ("an answer", 4)
        assert round(now()) == 5 + 3 * 10

    run_in_virtual_time(main())


def test_a_bare_except_tries_a_bug_again_and_hides_it() -> None:
    server = Server(*[KeyError("prime")] * 9)
    assert run_in_virtual_time(broken_retry(server.call)) is None
    assert server.calls == 5
