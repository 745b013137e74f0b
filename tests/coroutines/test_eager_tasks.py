"""What the recipe says of eager tasks, shown to be so."""

import asyncio
import contextvars
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cookbook.coroutines.eager_tasks import broken_start, run_eagerly, start
from cookbook.testing.without_sleeping import run_in_virtual_time

from_3_12 = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="eager tasks exist from 3.12"
)
from_3_14 = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="eager_start of create_task: from 3.14"
)
Tasks = dict[str, asyncio.Task[None]]
create_task: Any = asyncio.create_task
USER = contextvars.ContextVar("user", default="nobody")


CHAIN = """
import asyncio, sys

async def chain(length):
    if length:
        await asyncio.create_task(chain(length - 1))

async def main():
    await chain(sys.getrecursionlimit() + 10)
    print("ordinary: ends")
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    try:
        await chain(sys.getrecursionlimit() + 10)
    except RecursionError as error:
        print("eager:", error)

asyncio.run(main())
"""


class Job:
    """A job that says what it does, and waits once if it is told to."""

    def __init__(self, *, waits: bool) -> None:
        self.log: list[str] = []
        self.waits = waits

    async def __call__(self) -> None:
        """Do it."""
        self.log.append("starts")
        if self.waits:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self.log.append("is cancelled")
                raise
        self.log.append("ends")


async def nothing() -> None:
    pass


async def fail() -> None:
    raise OSError("no answer")


async def order(create: Callable[..., asyncio.Task[None]], job: Job) -> None:
    task = create(job())
    job.log.append("next line")
    await task


def ordinary(job: Job) -> list[str]:
    asyncio.run(order(create_task, job))
    return job.log


def eager(job: Job) -> list[str]:
    run_eagerly(order(create_task, job))
    return job.log


def test_an_ordinary_task_starts_after_the_line_that_creates_it() -> None:
    assert ordinary(Job(waits=False)) == ["next line", "starts", "ends"]
    assert ordinary(Job(waits=True)) == ["next line", "starts", "ends"]


@from_3_12
def test_an_eager_task_runs_as_far_as_its_first_wait_in_create_task() -> None:
    assert eager(Job(waits=False)) == ["starts", "ends", "next line"]
    assert eager(Job(waits=True)) == ["starts", "next line", "ends"]


@from_3_12
def test_a_task_that_does_not_wait_is_done_when_create_task_returns() -> None:
    async def main() -> list[bool]:
        waits = asyncio.create_task(Job(waits=True)())
        done = [asyncio.create_task(nothing()).done(), waits.done()]
        await waits
        return done

    assert run_eagerly(main()) == [True, False]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="what 3.11 says")
def test_python_3_11_says_that_it_has_no_eager_tasks() -> None:
    coroutine = nothing()
    with pytest.raises(RuntimeError, match="eager tasks need Python"):
        run_eagerly(coroutine)
    assert not hasattr(asyncio, "eager_task_factory")


@from_3_12
def test_run_eagerly_returns_and_raises_what_main_does() -> None:
    assert run_eagerly(asyncio.sleep(0, "result")) == "result"
    with pytest.raises(OSError, match="no answer"):
        run_eagerly(fail())


@from_3_12
@pytest.mark.parametrize("waits", [True, False])
def test_a_started_task_is_among_the_running_ones_until_it_has_ended(
    *, waits: bool
) -> None:
    async def main() -> None:
        running: Tasks = {}
        task = start("name", Job(waits=waits), running)
        assert running == {"name": task}
        await task
        await asyncio.sleep(0)
        assert not running

    asyncio.run(main())
    run_eagerly(main())


@from_3_12
@pytest.mark.parametrize("waits", [True, False])
def test_a_task_that_removes_itself_and_does_not_wait_stays_for_ever(
    *, waits: bool
) -> None:
    async def left() -> list[str]:
        running: Tasks = {}
        await broken_start("name", Job(waits=waits), running)
        for _ in range(5):
            await asyncio.sleep(0)
        return list(running)

    assert asyncio.run(left()) == []
    assert run_eagerly(left()) == ([] if waits else ["name"])


@from_3_12
def test_the_task_runs_before_the_attribute_is_assigned() -> None:
    class Service:
        task: asyncio.Task[bool] | None = None

        async def run(self) -> bool:
            return self.task is not None

        async def main(self) -> bool:
            self.task = asyncio.create_task(self.run())
            return await self.task

    assert asyncio.run(Service().main())
    assert not run_eagerly(Service().main())


@from_3_12
def test_tasks_that_do_not_wait_give_other_tasks_no_turn() -> None:
    async def main() -> list[str]:
        other = Job(waits=True)
        task = asyncio.create_task(other())
        for _ in range(100):
            await asyncio.create_task(nothing())
        seen = list(other.log)
        await task
        return seen

    assert run_eagerly(main()) == ["starts"]
    assert asyncio.run(main()) == ["starts", "ends"]


@from_3_12
def test_a_chain_of_eager_tasks_is_limited_by_the_recursion_limit() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHAIN],
        capture_output=True,  # the coroutines in the middle complain, too
        check=True,
        text=True,
        timeout=60,
    )
    assert run.stdout.splitlines() == [
        "ordinary: ends",
        "eager: maximum recursion depth exceeded",
    ]


@from_3_12
def test_plain_await_starts_at_once_on_every_loop() -> None:
    log = []

    async def main() -> None:
        job = Job(waits=False)
        asyncio.get_running_loop().call_soon(job.log.append, "a turn")
        await job()
        log.append(job.log)

    asyncio.run(main())
    run_eagerly(main())
    assert log[0][:2] == log[1][:2] == ["starts", "ends"]


@from_3_12
def test_an_eager_task_of_an_ordinary_loop_starts_at_once() -> None:
    def create(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task: Any = asyncio.Task
        loop = asyncio.get_running_loop()
        return task(coroutine, loop=loop, eager_start=True)  # type: ignore[no-any-return]

    job = Job(waits=True)
    asyncio.run(order(create, job))
    assert job.log == ["starts", "next line", "ends"]


@from_3_14
@pytest.mark.parametrize("run", [asyncio.run, run_eagerly])
@pytest.mark.parametrize("eager_start", [True, False])
def test_eager_start_decides_for_one_task_on_both_loops_from_3_14(
    run: Callable[..., None], *, eager_start: bool
) -> None:
    def create(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return create_task(coroutine, eager_start=eager_start)  # type: ignore[no-any-return]

    job = Job(waits=False)
    run(order(create, job))
    starts = ["starts", "ends"]
    line = ["next line"]
    assert job.log == (starts + line if eager_start else line + starts)


@from_3_12
def test_an_error_is_raised_by_the_await_and_not_by_create_task() -> None:
    async def main() -> None:
        task = asyncio.create_task(fail())
        assert task.done()
        with pytest.raises(OSError, match="no answer"):
            await task

    run_eagerly(main())


@from_3_12
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_keyboard_interrupt_and_system_exit_come_out_of_create_task(
    kind: type[BaseException],
) -> None:
    async def leave() -> None:
        raise kind

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)  # nobody has the task
        with pytest.raises(kind):
            create_task(leave())

    run_eagerly(main())


@from_3_12
def test_a_task_group_of_an_eager_loop_raises_the_errors_of_its_tasks() -> (
    None
):
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as caught:
        run_eagerly(main())
    [error] = caught.value.exceptions
    assert repr(error) == "OSError('no answer')"


@from_3_12
def test_an_eager_task_is_the_current_one_and_has_a_context_of_its_own() -> (
    None
):
    async def job() -> asyncio.Task[Any] | None:
        USER.set("me")
        return asyncio.current_task()

    async def main() -> None:
        task = asyncio.create_task(job())
        assert task.result() is task
        assert USER.get() == "nobody"
        assert asyncio.current_task() is not task

    run_eagerly(main())


@from_3_12
def test_a_timeout_in_an_eager_task_is_raised_on_time() -> None:
    async def job() -> None:
        async with asyncio.timeout(5):
            await asyncio.sleep(10)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(vars(asyncio)["eager_task_factory"])
        task = asyncio.create_task(job())
        with pytest.raises(TimeoutError):
            await task
        return loop.time()

    assert run_in_virtual_time(main()) == 5


def cancelled_at_once(
    run: Callable[..., Any],
    job: Job,
) -> tuple[bool, list[str]]:
    async def main() -> bool:
        task = asyncio.create_task(job())
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    return run(main()), job.log


@from_3_12
def test_an_eager_task_cancelled_at_once_has_started_or_is_done() -> None:
    waiting = cancelled_at_once(run_eagerly, Job(waits=True))
    assert waiting == (True, ["starts", "is cancelled"])
    done = cancelled_at_once(run_eagerly, Job(waits=False))
    assert done == (False, ["starts", "ends"])


def test_an_ordinary_task_cancelled_at_once_never_starts() -> None:
    assert cancelled_at_once(asyncio.run, Job(waits=False)) == (True, [])
