"""What the recipe says of the rate of calls, shown to be so."""

import asyncio
import math

import pytest

from cookbook.coroutines import rate_limit
from cookbook.coroutines.rate_limit import RateLimit, broken_rate_limit
from cookbook.testing.without_sleeping import run_in_virtual_time


class Calls:
    """Calls that note when they begin, in seconds since the first."""

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self.begun: list[float] = []
        self.most = self.now = 0

    async def call(self, seconds: float = 0.0) -> None:
        """Begin when it may, and take so many seconds."""
        async with self.limit:
            self.begun.append(asyncio.get_running_loop().time())
            self.now += 1
            self.most = max(self.most, self.now)
            try:
                await asyncio.sleep(seconds)
            finally:
                self.now -= 1

    @property
    def times(self) -> list[float]:
        """When they began, since the first."""
        return [begun - self.begun[0] for begun in self.begun]


def test_calls_begin_evenly_spaced_and_never_more_than_the_rate() -> None:
    calls = Calls(RateLimit(10, seconds=60))

    async def main() -> None:
        await asyncio.gather(*(calls.call() for _ in range(30)))

    run_in_virtual_time(main())
    assert calls.times == pytest.approx([6.0 * n for n in range(30)])


def test_a_call_that_takes_long_does_not_delay_the_next() -> None:
    calls = Calls(RateLimit(1, seconds=2))

    async def main() -> None:
        await asyncio.gather(*(calls.call(100) for _ in range(5)))

    run_in_virtual_time(main())
    assert calls.times == pytest.approx([0, 2, 4, 6, 8])
    assert calls.most == 5


def test_a_call_after_a_long_pause_begins_at_once_and_earns_no_burst() -> None:
    calls = Calls(RateLimit(1, seconds=2))

    async def main() -> None:
        await calls.call()
        await asyncio.sleep(100)
        await asyncio.gather(*(calls.call() for _ in range(3)))

    run_in_virtual_time(main())
    assert calls.times == pytest.approx([0, 100, 102, 104])


def test_with_a_semaphore_all_quick_calls_begin_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rate_limit.broken_main()
    assert capsys.readouterr().out == "begun at once: 10 of 10\n"


def test_with_the_rate_limit_one_of_the_same_calls_begins_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rate_limit.main()
    assert capsys.readouterr().out == "begun at once: 1 of 10\n"


def test_a_semaphore_lets_more_begin_the_quicker_they_are_answered() -> None:
    async def begun_in_a_second(answer: float) -> int:
        semaphore = broken_rate_limit(2)
        begun = 0

        async def call() -> None:
            nonlocal begun
            async with semaphore:
                begun += 1
                await asyncio.sleep(answer)

        tasks = [asyncio.create_task(call()) for _ in range(100)]
        await asyncio.sleep(0.999)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return begun

    assert run_in_virtual_time(begun_in_a_second(1)) == 2
    assert run_in_virtual_time(begun_in_a_second(0.1)) == 20


def test_within_a_semaphore_both_limits_hold() -> None:
    calls = Calls(RateLimit(1, seconds=2))
    semaphore = asyncio.Semaphore(2)

    async def call() -> None:
        async with semaphore:
            await calls.call(5)

    async def main() -> None:
        await asyncio.gather(*(call() for _ in range(4)))

    run_in_virtual_time(main())
    assert calls.most == 2
    assert calls.times == pytest.approx([0, 2, 5, 7])


def test_the_error_of_a_call_is_raised_and_the_next_begins_at_its_time() -> (
    None
):
    calls = Calls(RateLimit(1, seconds=2))

    async def fail() -> None:
        async with calls.limit:
            raise OSError("no answer")

    async def main() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises(OSError, match="no answer"):
            await fail()
        await calls.call()
        return calls.begun[0] - start

    assert run_in_virtual_time(main()) == pytest.approx(2)


def test_a_cancelled_call_leaves_its_time_unused_for_the_others() -> None:
    calls = Calls(RateLimit(1, seconds=2))

    async def main() -> None:
        tasks = [asyncio.create_task(calls.call()) for _ in range(4)]
        await asyncio.sleep(1)
        tasks[1].cancel()
        await asyncio.wait(tasks)

    run_in_virtual_time(main())
    assert calls.times == pytest.approx([0, 4, 6])


def test_a_timeout_gives_up_the_wait() -> None:
    calls = Calls(RateLimit(1, seconds=60))

    async def main() -> None:
        await calls.call()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await calls.call()

    run_in_virtual_time(main())
    assert len(calls.begun) == 1


def test_after_something_blocked_the_loop_overdue_calls_begin_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns: list[int] = []

    async def main() -> None:
        limit = RateLimit(1)
        clock = [0.0]
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda: clock[-1])
        turn = 0

        async def call() -> None:
            async with limit:
                turns.append(turn)

        tasks = [asyncio.create_task(call()) for _ in range(3)]
        loop.call_soon(clock.append, 5.0)  # blocks it for 5 seconds
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            turn += 1

    asyncio.run(main())
    first, second, third = turns
    assert first < second == third


def test_two_limits_have_each_a_rate_of_its_own() -> None:
    one, two = Calls(RateLimit(1)), Calls(RateLimit(1))

    async def main() -> None:
        await asyncio.gather(*(calls.call() for calls in (one, two, one)))

    run_in_virtual_time(main())
    assert one.times == pytest.approx([0, 1])
    assert two.times == [0]


@pytest.mark.parametrize("calls", [0, -1])
def test_less_than_one_call_is_refused_by_value(calls: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, not {calls}"):
        RateLimit(calls)


@pytest.mark.parametrize("seconds", [0, -1.5, math.nan, math.inf])
def test_seconds_that_are_not_positive_or_not_finite_are_refused_by_value(
    seconds: float,
) -> None:
    with pytest.raises(ValueError, match=f"be positive, not {seconds!r}"):
        RateLimit(1, seconds)
