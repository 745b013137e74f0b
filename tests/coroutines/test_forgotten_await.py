"""What the recipe says of coroutines that nobody awaits, shown to be so."""

import asyncio
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cookbook.coroutines.forgotten_await import (
    broken_save_all,
    may_save,
    save,
    save_all,
)

FORGETS = """
import asyncio

async def save():
    print("saved")

def test_it():
    async def main():
        save()
        print("goes on")
    asyncio.run(main())
"""


def test_who_may_save_saves_all_records_in_order() -> None:
    records: list[str] = []
    assert asyncio.run(save_all(["editor"], ["one", "two"], records)) == 2
    assert records == ["one", "two"]
    assert asyncio.run(save("three", records)) == "three"


def test_who_is_not_allowed_saves_nothing() -> None:
    records: list[str] = []
    assert asyncio.run(save_all(["guest"], ["one", "two"], records)) == 0
    assert not records


@pytest.mark.parametrize("role", ["editor", "guest"])
def test_without_await_everybody_may_save_and_nothing_is_saved(
    role: str,
) -> None:
    records: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        said = asyncio.run(broken_save_all([role], ["one", "two"], records))
    assert said == 2
    assert not records
    lines = [str(one.message).splitlines()[0] for one in caught]
    assert lines == [
        "coroutine 'may_save' was never awaited",
        "coroutine 'save' was never awaited",
        "coroutine 'save' was never awaited",
    ]


def test_a_coroutine_is_true_and_runs_none_of_its_code() -> None:
    started = []

    async def no() -> bool:
        started.append(1)
        return False

    coroutine = no()
    assert bool(coroutine)
    assert not started
    coroutine.close()


def test_a_coroutine_runs_when_a_task_is_made_of_it() -> None:
    records: list[str] = []

    async def main() -> None:
        task = asyncio.create_task(save("one", records))
        await asyncio.wait([task])

    asyncio.run(main())
    assert records == ["one"]


def test_the_warning_comes_when_the_coroutine_is_collected() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        coroutine = may_save("editor")
        assert not caught
        del coroutine
    assert [one.category for one in caught] == [RuntimeWarning]


def test_a_coroutine_that_is_closed_ends_without_a_warning() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        may_save("editor").close()
    assert not caught


@pytest.mark.parametrize("debug", [True, False])
def test_the_debug_mode_says_where_the_coroutine_was_created(
    *, debug: bool
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(broken_save_all(["editor"], [], []), debug=debug)
    text = str(caught[0].message)
    assert ("Coroutine created at" in text) is debug
    assert ("in broken_save_all" in text) is debug


def test_an_asynchronous_generator_that_nobody_uses_is_not_reported() -> None:
    async def generate() -> AsyncIterator[int]:
        yield 1

    async def main() -> None:
        generate()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(main())
    assert not caught


def test_with_w_error_the_warning_is_printed_and_the_program_goes_on() -> None:
    run = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", FORGETS + "\ntest_it()"],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert run.stdout == "goes on\n"
    assert "Exception ignored" in run.stderr
    assert "coroutine 'save' was never awaited" in run.stderr


def test_pytest_fails_a_test_that_forgets_an_await_if_warnings_are_errors(
    tmp_path: Path,
) -> None:
    path = tmp_path / "test_forgets.py"
    path.write_text(FORGETS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1
    assert "coroutine 'save' was never awaited" in run.stdout
    assert "1 failed" in run.stdout


def test_a_coroutine_can_be_awaited_once_and_a_task_many_times() -> None:
    async def main() -> None:
        coroutine = may_save("editor")
        assert await coroutine
        message = "^cannot reuse already awaited coroutine$"
        with pytest.raises(RuntimeError, match=message):
            await coroutine
        task = asyncio.create_task(may_save("editor"))
        assert await task
        assert await task

    asyncio.run(main())


def test_two_tasks_that_await_one_coroutine_are_told_so() -> None:
    async def main() -> None:
        coroutine = asyncio.sleep(0)

        async def await_it() -> None:
            await coroutine

        await asyncio.gather(await_it(), await_it())

    with pytest.raises(
        RuntimeError, match="coroutine is being awaited already"
    ):
        asyncio.run(main())


def test_what_is_done_with_a_coroutine_instead_of_its_result_fails() -> None:
    async def get() -> object:
        pass

    coroutine: Any = get()
    with pytest.raises(AttributeError) as lacks:
        coroutine.json()
    with pytest.raises(TypeError) as has_no_items:
        coroutine["key"]
    with pytest.raises(TypeError) as has_no_end:
        list(coroutine)
    coroutine.close()
    assert str(lacks.value) == "'coroutine' object has no attribute 'json'"
    message = "'coroutine' object is not "
    assert str(has_no_items.value) == message + "subscriptable"
    assert str(has_no_end.value) == message + "iterable"


def test_get_dot_json_needs_brackets_around_the_await() -> None:
    class Reply:
        def json(self) -> str:
            return "{}"

    async def get() -> Reply:
        return Reply()

    async def main() -> str:
        return (await get()).json()

    assert asyncio.run(main()) == "{}"


def test_what_an_ordinary_function_returned_cannot_be_awaited() -> None:
    def ordinary() -> object:
        return None

    async def main() -> None:
        awaitable: Any = ordinary()
        await awaitable

    with pytest.raises(TypeError) as caught:
        asyncio.run(main())
    assert str(caught.value) == (
        "'NoneType' object can't be awaited"
        if sys.version_info >= (3, 14)
        else "object NoneType can't be used in 'await' expression"
    )


def test_the_await_raises_and_what_is_not_awaited_does_not() -> None:
    async def fail() -> None:
        raise OSError("no answer")

    async def main() -> None:
        coroutine = fail()
        coroutine.close()
        with pytest.raises(OSError, match="no answer"):
            await fail()

    asyncio.run(main())


def test_a_cancellation_is_raised_by_the_await() -> None:
    records: list[str] = []

    async def main() -> None:
        task = asyncio.create_task(
            save_all(["editor"], ["one", "two"], records)
        )
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert not records
