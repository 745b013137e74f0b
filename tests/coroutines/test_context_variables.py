"""What the recipe says of context variables, shown to be so."""

import asyncio
import contextvars
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from cookbook.coroutines import context_variables
from cookbook.coroutines.context_variables import request, serving

NAMES: ContextVar[list[str]] = ContextVar("NAMES")


@pytest.fixture(autouse=True)
def nothing_stays_set() -> Iterator[None]:
    assert request.get() == "-"
    yield
    assert request.get() == "-"


def test_two_requests_at_once_see_each_its_own_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    context_variables.main()
    assert capsys.readouterr().out.splitlines() == [
        "a: its task sees a, its thread a",
        "b: its task sees b, its thread b",
    ]


def test_with_a_thread_local_one_sees_the_name_of_the_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    context_variables.broken_main()
    assert capsys.readouterr().out.splitlines() == [
        "a: its task sees b, its thread -",
        "b: its task sees b, its thread -",
    ]


def test_a_task_has_a_copy_of_the_context_of_its_creation() -> None:
    async def read() -> str:
        return request.get()

    async def main() -> str:
        with serving("a"):
            task = asyncio.create_task(read())
        with serving("b"):
            return await task

    assert asyncio.run(main()) == "a"


def test_what_a_task_sets_its_creator_does_not_see() -> None:
    async def write() -> None:
        request.set("child")

    async def main() -> str:
        await asyncio.create_task(write())
        return request.get()

    assert asyncio.run(main()) == "-"


def test_what_an_awaited_coroutine_sets_its_caller_sees() -> None:
    async def write() -> None:
        request.set("callee")

    async def main() -> str:
        await write()
        return request.get()

    assert asyncio.run(main()) == "callee"


def test_to_thread_takes_the_context_along_and_run_in_executor_does_not() -> (
    None
):
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        with serving("a"):
            context = contextvars.copy_context()
            return [
                await asyncio.to_thread(request.get),
                await loop.run_in_executor(None, request.get),
                await loop.run_in_executor(None, context.run, request.get),
            ]

    seen = asyncio.run(main())
    if getattr(sys.flags, "thread_inherit_context", 0):
        # The pool's thread was started by to_thread, in this context.
        assert seen == ["a", "a", "a"]
    else:
        assert seen == ["a", "-", "a"]


def test_a_new_thread_starts_with_an_empty_context_unless_it_inherits() -> (
    None
):
    seen = []
    with serving("a"):
        thread = threading.Thread(target=lambda: seen.append(request.get()))
        thread.start()
        thread.join()
    inherits = getattr(sys.flags, "thread_inherit_context", 0)
    assert seen == ["a" if inherits else "-"]


POOL = """
import asyncio
from cookbook.coroutines.context_variables import request, serving

async def main():
    loop = asyncio.get_running_loop()
    for name in "ab":
        with serving(name):
            print(name, "sees", await loop.run_in_executor(None, request.get))

asyncio.run(main())
"""


@pytest.mark.skipif(
    sys.version_info < (3, 14), reason="threads inherit a context from 3.14"
)
@pytest.mark.parametrize(
    ("inherits", "printed"),
    [(0, ["a sees -", "b sees -"]), (1, ["a sees a", "b sees a"])],
)
def test_a_thread_of_a_pool_keeps_the_context_that_it_inherited(
    inherits: int, printed: list[str]
) -> None:
    option = f"thread_inherit_context={inherits}"
    ended = subprocess.run(
        [sys.executable, "-X", option, "-c", POOL],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
        text=True,
        timeout=60,
    )
    assert ended.stdout.splitlines() == printed


def test_callbacks_have_a_copy_of_the_context_too() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        seen: asyncio.Future[str] = loop.create_future()
        with serving("a"):
            loop.call_soon(lambda: seen.set_result(request.get()))
        return await seen

    assert asyncio.run(main()) == "a"


def test_a_list_in_a_copied_context_is_the_same_list() -> None:
    async def append() -> None:
        NAMES.get().append("child")

    async def main() -> list[str]:
        NAMES.set([])
        await asyncio.create_task(append())
        return NAMES.get()

    assert asyncio.run(main()) == ["child"]


def test_without_a_default_get_raises_lookup_error() -> None:
    with pytest.raises(LookupError, match="<ContextVar name='NAMES'"):
        NAMES.get()


def test_a_token_cannot_be_reset_in_another_task() -> None:
    async def main() -> None:
        async def reset(token: contextvars.Token[str]) -> None:
            request.reset(token)

        token = request.set("a")
        message = re.escape("was created in a different Context")
        with pytest.raises(ValueError, match=message):
            await asyncio.create_task(reset(token))

    asyncio.run(main())


@pytest.mark.skipif(
    sys.version_info < (3, 14), reason="tokens are context managers from 3.14"
)
def test_from_3_14_a_token_is_a_context_manager_that_resets() -> None:
    token: Any = request.set("a")
    with token:
        assert request.get() == "a"
    assert request.get() == "-"


@pytest.mark.parametrize("error", [OSError("no"), asyncio.CancelledError()])
def test_after_an_error_or_a_cancellation_the_value_is_that_of_before(
    error: BaseException,
) -> None:
    def fail() -> None:
        with serving("inner"):
            assert request.get() == "inner"
            raise error

    with serving("outer"):
        with pytest.raises(type(error)):
            fail()
        assert request.get() == "outer"


def test_a_cancelled_task_resets_the_variable() -> None:
    seen = []

    async def serve() -> None:
        try:
            with serving("a"):
                await asyncio.Event().wait()
        finally:
            seen.append(request.get())

    async def main() -> None:
        task = asyncio.create_task(serve())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert seen == ["-"]
