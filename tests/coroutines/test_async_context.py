"""What the recipe says of closing several resources, shown to be so."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Self

import pytest

from cookbook.coroutines.async_context import (
    Connection,
    broken_open_all,
    connect_to_three,
    open_all,
)
from cookbook.testing.without_sleeping import run_in_virtual_time

OpenAll = Callable[..., AbstractAsyncContextManager[object]]
BOTH = [open_all, broken_open_all]


class Noisy(Connection):
    """Logs the error that it is told of, and may fail or wait."""

    fails = False
    waits: asyncio.Event | None = None
    suppresses = False

    async def __aenter__(self) -> Self:
        self.log.append(f"open {self.name}")
        return self

    async def __aexit__(self, *told: object) -> bool:  # type: ignore[override]
        error = told[0]
        name = error.__name__ if isinstance(error, type) else "nothing"
        self.log.append(f"{self.name} is told {name}")
        if self.waits is not None:
            self.waits.set()
            await asyncio.Event().wait()
        if self.fails:
            raise OSError(f"no farewell from {self.name}")
        return self.suppresses


def three(log: list[str]) -> list[Noisy]:
    return [Noisy(name, log) for name in "abc"]


def test_when_one_cannot_be_opened_those_before_it_are_closed_in_order() -> (
    None
):
    log = asyncio.run(connect_to_three(open_all))
    assert log == [
        "open a", "open b", "close b", "close a", "no answer from c"
    ]  # fmt: skip


def test_broken_open_all_leaves_open_what_was_opened_before_the_error() -> (
    None
):
    log = asyncio.run(connect_to_three(broken_open_all))
    assert log == ["open a", "open b", "no answer from c"]


@pytest.mark.parametrize("opens", BOTH)
def test_all_are_open_in_the_block_and_closed_in_reverse_order(
    opens: OpenAll,
) -> None:
    log: list[str] = []
    connections = [Connection(name, log) for name in "abc"]

    async def main() -> None:
        async with opens(*connections) as opened:
            assert opened == connections
            assert log == ["open a", "open b", "open c"]

    asyncio.run(main())
    assert log[3:] == ["close c", "close b", "close a"]


def test_no_resources_give_an_empty_list() -> None:
    async def main() -> object:
        managers: list[Connection] = []
        async with open_all(*managers) as opened:
            return opened

    assert asyncio.run(main()) == []


async def fail_inside(opens: OpenAll, connections: list[Noisy]) -> None:
    async with opens(*connections):
        raise KeyError("body")


def test_when_the_block_raises_each_is_told_of_the_error() -> None:
    log: list[str] = []
    with pytest.raises(KeyError, match="body"):
        asyncio.run(fail_inside(open_all, three(log)))
    assert log[3:] == [f"{name} is told KeyError" for name in "cba"]


def test_broken_open_all_tells_none_of_them_of_the_error() -> None:
    log: list[str] = []
    with pytest.raises(KeyError, match="body"):
        asyncio.run(fail_inside(broken_open_all, three(log)))
    assert log[3:] == [f"{name} is told nothing" for name in "cba"]


def test_one_whose_exit_returns_true_ends_the_error() -> None:
    log: list[str] = []
    connections = three(log)
    connections[1].suppresses = True
    asyncio.run(fail_inside(open_all, connections))
    assert log[3:] == [
        "c is told KeyError", "b is told KeyError", "a is told nothing"
    ]  # fmt: skip


def test_when_closing_one_fails_the_others_are_closed_all_the_same() -> None:
    log: list[str] = []
    connections = three(log)
    connections[0].fails = connections[2].fails = True
    with pytest.raises(OSError, match="no farewell from a") as caught:
        asyncio.run(fail_inside(open_all, connections))
    assert log[3:] == [
        "c is told KeyError", "b is told OSError", "a is told OSError"
    ]  # fmt: skip
    before = caught.value.__context__
    assert repr(before) == "OSError('no farewell from c')"
    assert before is not None
    assert repr(before.__context__) == "KeyError('body')"


def test_broken_open_all_leaves_open_what_follows_one_that_fails() -> None:
    log: list[str] = []
    connections = three(log)
    connections[2].fails = True
    with pytest.raises(OSError, match="no farewell from c"):
        asyncio.run(fail_inside(broken_open_all, connections))
    assert log[3:] == ["c is told nothing"]


def test_a_timeout_closes_all_and_is_raised() -> None:
    log: list[str] = []

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5), open_all(*three(log)):
                await asyncio.sleep(10)

    run_in_virtual_time(main())
    assert log[3:] == [f"{name} is told CancelledError" for name in "cba"]


def test_a_timeout_does_not_limit_how_long_closing_takes() -> None:
    @contextlib.asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.sleep(100)

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5), open_all(slow()):
                await asyncio.sleep(10)
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(main()) == 105


async def stay_inside(connections: list[Noisy], inside: asyncio.Event) -> None:
    async with open_all(*connections):
        inside.set()
        await asyncio.Event().wait()


def test_a_cancellation_closes_all_and_goes_on() -> None:
    log: list[str] = []

    async def main() -> None:
        inside = asyncio.Event()
        task = asyncio.create_task(stay_inside(three(log), inside))
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log[3:] == [f"{name} is told CancelledError" for name in "cba"]


def test_a_cancellation_while_one_is_opened_closes_those_before() -> None:
    log: list[str] = []

    async def main() -> None:
        opening = asyncio.Event()

        @contextlib.asynccontextmanager
        async def never_opens() -> AsyncIterator[None]:
            opening.set()
            await asyncio.Event().wait()
            yield

        async def open_three() -> None:
            async with open_all(*three(log), never_opens()):
                pass

        task = asyncio.create_task(open_three())
        await opening.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log[3:] == [f"{name} is told CancelledError" for name in "cba"]


def test_a_cancellation_while_one_is_closed_closes_the_others() -> None:
    log: list[str] = []

    async def main() -> None:
        connections = three(log)
        closing = connections[2].waits = asyncio.Event()
        task = asyncio.create_task(fail_inside(open_all, connections))
        await closing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log[3:] == [
        "c is told KeyError",
        "b is told CancelledError",
        "a is told CancelledError",
    ]


def test_ctrl_c_closes_all_and_is_raised() -> None:
    log: list[str] = []

    async def main() -> None:
        inside = asyncio.Event()
        task = asyncio.create_task(press_ctrl_c(inside))
        await stay_inside(three(log), inside)
        await task

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert log[3:] == [f"{name} is told CancelledError" for name in "cba"]


async def press_ctrl_c(inside: asyncio.Event) -> None:
    await inside.wait()
    signal.raise_signal(signal.SIGINT)


def test_what_is_no_async_context_manager_is_refused_before_any_opens() -> (
    None
):
    log: list[str] = []

    async def main() -> None:
        async with open_all(*three(log), 5):  # type: ignore[arg-type]
            pass

    message = "not an async context manager: 5"
    with pytest.raises(TypeError, match=message):
        asyncio.run(main())
    assert log == []


def test_async_with_names_what_it_cannot_enter() -> None:
    async def main() -> None:
        async with contextlib.nullcontext(), 5:  # type: ignore[attr-defined]
            pass

    text = "object does not support the asynchronous context manager protocol"
    with pytest.raises(TypeError, match=f"^'int' {text}"):
        asyncio.run(main())


def test_a_stack_takes_context_managers_and_what_has_only_a_close() -> None:
    log: list[str] = []

    @contextlib.contextmanager
    def ordinary() -> Iterator[None]:
        yield
        log.append("ordinary is closed")

    class Client:
        async def close(self) -> None:
            log.append("client is closed")

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(ordinary())
            stack.push_async_callback(Client().close)

    asyncio.run(main())
    assert log == ["client is closed", "ordinary is closed"]


def test_pop_all_is_a_plain_method_and_keeps_everything_open() -> None:
    log: list[str] = []

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for one in three(log):
                await stack.enter_async_context(one)
            kept = stack.pop_all()
        assert len(log) == 3
        assert isinstance(kept, contextlib.AsyncExitStack)
        await kept.aclose()

    asyncio.run(main())
    assert log[3:] == [f"{name} is told nothing" for name in "cba"]


def test_anyio_refuses_a_stack_that_another_task_leaves() -> None:
    anyio = pytest.importorskip("anyio", reason="what the pitfall is about")

    @contextlib.asynccontextmanager
    async def scoped() -> AsyncIterator[None]:
        with anyio.CancelScope():
            yield

    async def main() -> None:
        stack = contextlib.AsyncExitStack()
        entered = asyncio.create_task(stack.enter_async_context(scoped()))
        await entered
        text = "Attempted to exit cancel scope in a different task"
        with pytest.raises(RuntimeError, match=text):
            await stack.aclose()

    asyncio.run(main())


def test_what_gather_opens_after_an_error_is_not_closed() -> None:
    log: list[str] = []

    async def main() -> None:
        stack = contextlib.AsyncExitStack()
        slow, fails = Connection("a", log), Connection("b", log, up=False)
        enter, answered = stack.enter_async_context, asyncio.Event()

        @contextlib.asynccontextmanager
        async def slower() -> AsyncIterator[None]:
            await answered.wait()
            async with slow:
                log.append("a is in use")
                yield

        kept = slower()
        with pytest.raises(OSError, match="no answer from b"):
            async with stack:
                await asyncio.gather(enter(kept), enter(fails))
        log.append("left")
        answered.set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert log == ["left", "open a", "a is in use"]
        await kept.__aexit__(None, None, None)

    asyncio.run(main())


@pytest.mark.parametrize("guarded", [True, False])
def test_after_an_error_what_stands_after_yield_needs_a_finally(
    guarded: bool,
) -> None:
    log = []

    @contextlib.asynccontextmanager
    async def careless() -> AsyncIterator[None]:
        yield
        log.append("closed")

    @contextlib.asynccontextmanager
    async def careful() -> AsyncIterator[None]:
        try:
            yield
        finally:
            log.append("closed")

    async def main() -> None:
        async with careful() if guarded else careless():
            raise KeyError("body")

    with pytest.raises(KeyError, match="body"):
        asyncio.run(main())
    assert log == (["closed"] if guarded else [])
