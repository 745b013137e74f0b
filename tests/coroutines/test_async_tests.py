"""What the recipe says of tests of coroutines, shown to be so."""

import asyncio
import subprocess
import sys
import unittest
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cookbook.coroutines import async_tests

ROOT = Path(__file__).parents[2]
PLAIN = "async def test_price():\n    assert 4 == 3\n"
WITH_PLUGINS = """
import anyio, asyncio, pytest

@pytest.mark.asyncio
async def test_with_pytest_asyncio():
    await asyncio.sleep(0)
    assert 4 == 3

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_with_anyio(anyio_backend):
    await anyio.sleep(0)
    assert 4 == 3

def test_with_run():
    asyncio.run(asyncio.sleep(0))
"""


def result_of(
    case: type[unittest.TestCase],
) -> tuple[unittest.TestResult, list[str]]:
    """Return the result of the tests of *case*, and the warnings."""
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = tests.run(unittest.TestResult())
    return result, [str(warning.message) for warning in caught]


def run_pytest(
    folder: Path, source: str, *options: str
) -> subprocess.CompletedProcess[str]:
    """Run pytest in a process of its own, on a file with *source*."""
    path = folder / "test_it.py"
    path.write_text(source)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, str(path)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_an_isolated_test_case_runs_the_test_and_finds_the_wrong_price() -> (
    None
):
    result, messages = result_of(async_tests.PriceTest)
    assert (result.testsRun, len(result.failures)) == (1, 1)
    assert "AssertionError: 4 != 3" in result.failures[0][1]
    assert not messages


def test_an_ordinary_test_case_passes_the_test_without_running_it() -> None:
    result, messages = result_of(async_tests.BrokenPriceTest)
    assert result.testsRun == 1
    assert result.wasSuccessful()
    first, second = sorted(messages)
    assert first.startswith(
        "It is deprecated to return a value that is not None from a test case"
    )
    assert second == (
        "coroutine 'BrokenPriceTest.test_price' was never awaited"
    )


def run_broken(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the ordinary test case with the runner of unittest."""
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r});"
        "import unittest; unittest.main(module=None)"
    )
    name = f"{async_tests.__name__}.BrokenPriceTest"
    return subprocess.run(
        [sys.executable, "-I", *options, "-c", program, name],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_runner_of_unittest_says_ok_unless_warnings_are_errors() -> None:
    by_default = run_broken()
    assert by_default.returncode == 0
    assert "\nOK\n" in by_default.stderr
    assert "was never awaited" in by_default.stderr
    strict = run_broken("-W", "error")
    assert strict.returncode == 1
    assert "DeprecationWarning" in strict.stderr


def test_pytest_without_a_plugin_fails_an_async_test(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, PLAIN, "-p", "no:asyncio", "-p", "no:anyio")
    assert run.returncode == 1
    assert "async def functions are not natively supported" in run.stdout


def test_with_pytest_asyncio_or_anyio_an_async_test_is_run(
    tmp_path: Path,
) -> None:
    reason = "the plugin is not installed"
    pytest.importorskip("pytest_asyncio", reason=reason)
    pytest.importorskip("anyio", reason=reason)
    run = run_pytest(tmp_path, WITH_PLUGINS)
    assert "2 failed, 1 passed" in run.stdout
    assert run.stdout.count("assert 4 == 3") >= 2


def test_each_test_has_an_event_loop_of_its_own_in_debug_mode() -> None:
    loops = []

    class Case(unittest.IsolatedAsyncioTestCase):
        async def test_one(self) -> None:
            loops.append(asyncio.get_running_loop())

        async def test_two(self) -> None:
            loops.append(asyncio.get_running_loop())

    assert result_of(Case)[0].wasSuccessful()
    one, two = loops
    assert one is not two
    assert one.get_debug()


def test_what_is_opened_in_async_set_up_is_closed_on_the_same_loop() -> None:
    log: list[Any] = []

    class Case(unittest.IsolatedAsyncioTestCase):
        async def asyncSetUp(self) -> None:
            log.append(asyncio.get_running_loop())
            self.addAsyncCleanup(self.close)

        async def close(self) -> None:
            log.append(asyncio.get_running_loop())

        async def test_it(self) -> None:
            log.append(asyncio.get_running_loop())

    assert result_of(Case)[0].wasSuccessful()
    first, second, third = log
    assert first is second is third


def test_tasks_that_a_test_leaves_behind_are_cancelled_in_silence() -> None:
    log: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    class Case(unittest.IsolatedAsyncioTestCase):
        async def test_it(self) -> None:
            self.task = asyncio.create_task(wait())
            await asyncio.sleep(0)

    result, messages = result_of(Case)
    assert result.wasSuccessful()
    assert (log, messages) == (["cancelled"], [])


def test_a_test_that_waits_for_ever_is_an_error_when_its_time_is_over() -> (
    None
):
    class Case(unittest.IsolatedAsyncioTestCase):
        async def test_it(self) -> None:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()

    result, _ = result_of(Case)
    [(_, text)] = result.errors
    assert "TimeoutError" in text


def test_the_recipe_gives_up_a_price_that_does_not_come_in_10_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = []

    def timeout(seconds: float) -> asyncio.Timeout:
        limits.append(seconds)
        return real_timeout(0)

    async def price(_: str) -> int:
        await asyncio.sleep(1)
        return 3

    real_timeout = asyncio.timeout
    monkeypatch.setattr(asyncio, "timeout", timeout)
    monkeypatch.setattr(async_tests, "price", price)
    result, _ = result_of(async_tests.PriceTest)
    [(_, text)] = result.errors
    assert "TimeoutError" in text
    assert limits == [10]


def test_an_async_mock_can_be_awaited_and_a_mock_cannot() -> None:
    async def main() -> None:
        answer = mock.AsyncMock(return_value=5)
        assert await answer("tea") == 5
        answer.assert_awaited_once_with("tea")
        message = (
            "^'Mock' object can't be awaited$"
            if sys.version_info >= (3, 14)
            else "^object Mock can't be used in 'await' expression$"
        )
        with pytest.raises(TypeError, match=message):
            await mock.Mock()()

    asyncio.run(main())


def test_what_the_programs_print_is_what_the_page_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async_tests.main()
    async_tests.broken_main()
    assert capsys.readouterr().out.splitlines() == [
        "run: 1 failed: 1",
        "run: 1 failed: 0",
        "DeprecationWarning",
        "RuntimeWarning",
    ]
