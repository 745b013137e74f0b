"""What the recipe says of closing async generators, shown to be so."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
)

import pytest

from cookbook.coroutines.async_generators import (
    broken_first_match,
    first_match,
    lines,
    search,
)
from cookbook.testing.without_sleeping import run_in_virtual_time
from tests.linting import ruff

BOTH = [first_match, broken_first_match]
Find = Callable[..., Awaitable[object]]


def never(_: object) -> bool:
    return False


async def waiting(log: list[str]) -> AsyncGenerator[int, None]:
    """Yield once, then wait until it is cancelled or closed."""
    try:
        yield 1
        await asyncio.Event().wait()
    finally:
        task = asyncio.current_task()
        await asyncio.sleep(0)
        log.append(f"closed in {task.get_name() if task else None}")


def test_the_generator_is_closed_before_the_next_line_runs() -> None:
    log: list[str] = []
    asyncio.run(search(log, first_match))
    assert log == ["connected", "closing", "closed", "found B"]


def test_broken_first_match_is_never_done_with_closing() -> None:
    log: list[str] = []
    asyncio.run(search(log, broken_first_match))
    assert log == ["connected", "found B", "closing"]


@pytest.mark.parametrize("find", BOTH)
def test_the_item_is_found_or_none_is_returned(find: Find) -> None:
    assert asyncio.run(search_for(find, "B".__eq__)) == "B"
    assert asyncio.run(search_for(find, never)) is None


async def search_for(find: Find, wanted: Callable[[str], bool]) -> object:
    return await find(lines([]), wanted)


@pytest.mark.parametrize("find", BOTH)
def test_a_loop_that_runs_to_the_end_closes_the_generator(find: Find) -> None:
    async def main() -> list[str]:
        log: list[str] = []
        await find(lines(log), never)
        return log

    assert asyncio.run(main()) == ["connected", "closing", "closed"]


@pytest.mark.parametrize("find", BOTH)
def test_break_leaves_closing_to_another_task_and_aclosing_does_not(
    find: Find,
) -> None:
    log: list[str] = []

    async def main() -> None:
        assert await find(waiting(log), bool) == 1
        log.append("goes on")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def named() -> None:
        await asyncio.create_task(main(), name="main")

    asyncio.run(named())
    if find is first_match:
        assert log == ["closed in main", "goes on"]
    else:
        assert log[0] == "goes on"
        assert log[1] not in {"closed in main", "closed in None"}


def test_a_generator_that_a_variable_holds_stays_open() -> None:
    async def main() -> None:
        log: list[str] = []
        held = lines(log)
        assert await broken_first_match(held, str.isupper) == "B"
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        assert log == ["connected"]
        await held.aclose()
        assert log == ["connected", "closing", "closed"]

    asyncio.run(main())


def test_a_generator_that_a_traceback_holds_stays_open() -> None:
    def fail(_: object) -> bool:
        raise OSError("no answer")

    async def main() -> None:
        log: list[str] = []
        try:
            await broken_first_match(lines(log), fail)
        except OSError:
            gc.collect()
            for _ in range(5):
                await asyncio.sleep(0)
            assert log == ["connected"]
        for _ in range(5):
            await asyncio.sleep(0)
        assert log == ["connected", "closing", "closed"]

    asyncio.run(main())


def test_a_plain_generator_is_closed_as_its_last_reference_goes() -> None:
    log: list[str] = []

    def plain() -> Iterator[int]:
        try:
            yield 1
        finally:
            log.append("closed")

    for _ in plain():
        break
    gc.collect()
    assert log == ["closed"]


def test_what_an_abandoned_generator_raises_goes_to_the_log() -> None:
    async def fails() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            raise OSError("no farewell")

    assert reported(fails) == [
        ("Task exception was never retrieved", "OSError('no farewell')")
    ]


def reported(
    source: Callable[[], AsyncGenerator[int, None]],
) -> list[tuple[str, str]]:
    """Break out of a loop; return what the loop's handler is told."""
    told: list[tuple[str, str]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: told.append(
                (context["message"], repr(context.get("exception")))
            )
        )
        assert await broken_first_match(source(), bool) == 1
        for _ in range(4):
            await asyncio.sleep(0)
        gc.collect()

    asyncio.run(main())
    return told


def test_what_a_generator_raises_as_it_is_closed_is_raised_to_you() -> None:
    async def fails() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            raise OSError("no farewell")

    with pytest.raises(OSError, match="no farewell"):
        asyncio.run(first_match(fails(), bool))


def test_when_the_body_raises_the_generator_is_closed_first() -> None:
    log: list[str] = []

    def fail(_: object) -> bool:
        raise KeyError("body")

    with pytest.raises(KeyError, match="body"):
        asyncio.run(first_match(lines(log), fail))
    assert log == ["connected", "closing", "closed"]


def test_when_closing_fails_too_the_first_error_is_lost() -> None:
    async def fails() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            raise OSError("no farewell")

    def fail(_: object) -> bool:
        raise KeyError("body")

    with pytest.raises(OSError, match="no farewell") as caught:
        asyncio.run(first_match(fails(), fail))
    chain = []
    error: BaseException | None = caught.value
    while error is not None:
        chain.append(type(error))
        error = error.__context__
    assert chain == [OSError, GeneratorExit]


def test_an_error_of_the_generator_is_raised() -> None:
    async def fails() -> AsyncGenerator[int, None]:
        yield 1
        raise OSError("no answer")

    with pytest.raises(OSError, match="no answer"):
        asyncio.run(first_match(fails(), never))


def test_a_timeout_closes_the_generator_and_is_raised() -> None:
    log: list[str] = []

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await first_match(waiting(log), never)
        assert len(log) == 1

    run_in_virtual_time(main())


def test_a_timeout_does_not_limit_how_long_closing_takes() -> None:
    async def slow() -> AsyncGenerator[int, None]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(100)

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await first_match(slow(), never)
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(main()) == 105


def test_a_cancellation_closes_the_generator_and_goes_on() -> None:
    log: list[str] = []

    async def main() -> None:
        task = asyncio.create_task(
            first_match(waiting(log), never), name="searcher"
        )
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["closed in searcher"]

    asyncio.run(main())


def test_ctrl_c_closes_the_generator_and_is_raised() -> None:
    log: list[str] = []

    async def press_ctrl_c() -> None:
        signal.raise_signal(signal.SIGINT)

    async def main() -> None:
        press = asyncio.create_task(press_ctrl_c())
        await first_match(waiting(log), never)
        await press

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert len(log) == 1


def test_asyncio_run_closes_at_its_end_what_is_still_held() -> None:
    log: list[str] = []
    held = []

    async def main() -> None:
        held.append(lines(log))
        await broken_first_match(held[0], str.isupper)
        log.append("end of main")

    asyncio.run(main())
    assert log == ["connected", "end of main", "closing", "closed"]


@pytest.mark.parametrize("closes", [True, False])
def test_closing_the_outer_generator_does_not_close_the_inner_one(
    closes: bool,
) -> None:
    async def outer(log: list[str]) -> AsyncGenerator[str, None]:
        inner = lines(log)
        keep.append(inner)
        if closes:
            async with contextlib.aclosing(inner):
                async for line in inner:
                    yield line
        else:
            async for line in inner:
                yield line

    keep: list[AsyncGenerator[str, None]] = []

    async def main() -> None:
        log: list[str] = []
        assert await first_match(outer(log), str.isupper) == "B"
        assert ("closed" in log) is closes
        await keep[0].aclose()

    asyncio.run(main())


def test_a_timeout_around_a_yield_cancels_whoever_uses_the_generator() -> None:
    async def timed() -> AsyncGenerator[int, None]:
        async with asyncio.timeout(5):
            yield 1

    async def main() -> str:
        try:
            async with contextlib.aclosing(timed()) as items:
                async for _ in items:
                    await asyncio.sleep(10)
        except BaseException as error:  # noqa: BLE001 - which one it is, is asked
            return type(error).__name__
        return "nothing"

    assert run_in_virtual_time(main()) == "CancelledError"


def test_a_timeout_around_the_loop_raises_timeout_error() -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(5),
            contextlib.aclosing(lines([])) as items,
        ):
            async for _ in items:
                await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        run_in_virtual_time(main())


def test_anyio_refuses_to_leave_a_cancel_scope_in_another_task() -> None:
    anyio = pytest.importorskip("anyio", reason="what the pitfall is about")

    async def scoped() -> AsyncGenerator[int, None]:
        with anyio.CancelScope():
            yield 1

    [(message, error)] = reported(scoped)
    assert message == "Task exception was never retrieved"
    text = "Attempted to exit cancel scope in a different task than"
    assert text in error


@pytest.mark.parametrize("block", ["timeout(5)", "TaskGroup()"])
def test_ruff_reports_a_yield_inside_a_timeout_or_a_task_group(
    block: str,
) -> None:
    source = (
        "import asyncio\n\n\nasync def ones():\n"
        f"    async with asyncio.{block}:\n        yield 1\n"
    )
    reported = ruff(source, "ASYNC119", "--preview")
    assert reported == [("ASYNC119", "yield 1")]


def test_two_tasks_cannot_use_one_generator_at_once() -> None:
    async def main() -> None:
        items = waiting([])
        assert await anext(items) == 1
        task = asyncio.create_task(anext(items))
        await asyncio.sleep(0)
        message = r"anext\(\): asynchronous generator is already running"
        with pytest.raises(RuntimeError, match=message):
            await anext(items)
        message = r"aclose\(\): asynchronous generator is already running"
        with pytest.raises(RuntimeError, match=message):
            await items.aclose()
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())


def test_a_generator_that_yields_in_its_finally_cannot_be_closed() -> None:
    async def stubborn() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            yield 2

    message = "async generator ignored GeneratorExit"
    with pytest.raises(RuntimeError, match=message):
        asyncio.run(first_match(stubborn(), bool))


def test_what_cannot_be_closed_is_refused_before_it_starts() -> None:
    class Items:
        def __aiter__(self) -> AsyncIterator[int]:
            raise AssertionError

    with pytest.raises(TypeError, match=r"an async generator, not \[1\]"):
        asyncio.run(first_match([1], bool))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"an async generator, not <.*Items"):
        asyncio.run(first_match(Items(), bool))  # type: ignore[arg-type]


def test_a_condition_that_is_no_function_is_refused_before_it_starts() -> None:
    log: list[str] = []
    with pytest.raises(TypeError, match="must be a function, not 'B'"):
        asyncio.run(first_match(lines(log), "B"))  # type: ignore[arg-type]
    assert log == []
