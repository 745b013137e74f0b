"""What the recipe says of loops and policies, shown to be so."""

import asyncio
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cookbook.coroutines.policies_and_loops import (
    OtherLoop,
    broken_install,
    run_on,
    what_runs,
)

FROM_3_14 = sys.version_info >= (3, 14)
NO_LOOP = r"^There is no current event loop in thread '%s'\.$"


@pytest.fixture
def the_policy_is_reset() -> Iterator[None]:
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop_policy(None)


def python(
    *arguments: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of its own, with Python's own filters of warnings."""
    return subprocess.run(
        [sys.executable, "-E", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=cwd,
    )


def fresh(code: str) -> str:
    """Run *code* in a fresh main thread, warnings on; return its errors."""
    return python("-Walways", "-c", f"import asyncio\n{code}").stderr


def test_only_that_call_runs_on_the_loop_of_the_factory() -> None:
    assert run_on(OtherLoop, what_runs) == "the other"
    assert asyncio.run(what_runs()) == "asyncio's own"


@pytest.mark.usefixtures("the_policy_is_reset")
def test_a_policy_changes_the_loops_of_all_threads_and_libraries() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        broken_install()
    seen: list[str] = []
    thread = threading.Thread(
        target=lambda: seen.append(asyncio.run(what_runs()))
    )
    thread.start()
    thread.join(timeout=10)
    seen.append(asyncio.run(what_runs()))
    assert seen == ["the other", "the other"]


@pytest.mark.usefixtures("the_policy_is_reset")
def test_the_next_policy_takes_the_first_away_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        broken_install()
        asyncio.set_event_loop_policy(None)
    assert asyncio.run(what_runs()) == "asyncio's own"


def test_setting_and_asking_for_a_policy_warn_from_3_14_on() -> None:
    for name in ["set_event_loop_policy(None)", "get_event_loop_policy()"]:
        said = fresh(f"asyncio.{name}")
        text = (
            f"DeprecationWarning: 'asyncio.{name.partition('(')[0]}' is"
            " deprecated and slated for removal in Python 3.16"
        )
        assert (text in said) is FROM_3_14


def test_by_default_the_warning_is_shown_for_code_in_main_alone(
    tmp_path: Path,
) -> None:
    code = "import asyncio; asyncio.set_event_loop_policy(None)"
    (tmp_path / "library.py").write_text(code)
    (tmp_path / "program.py").write_text("import library")
    shown = "DeprecationWarning" in python("library.py", cwd=tmp_path).stderr
    assert shown is FROM_3_14
    assert python("program.py", cwd=tmp_path).stderr == ""
    strict = python("-Werror::DeprecationWarning", "program.py", cwd=tmp_path)
    assert ("DeprecationWarning" in strict.stderr) is FROM_3_14


def test_asyncio_run_takes_a_loop_factory_from_3_12_on() -> None:
    run: Any = asyncio.run
    coroutine = what_runs()
    if sys.version_info >= (3, 12):
        assert run(coroutine, loop_factory=OtherLoop) == "the other"
    else:
        text = r"run\(\) got an unexpected keyword argument 'loop_factory'"
        with pytest.raises(TypeError, match=text):
            run(coroutine, loop_factory=OtherLoop)
        coroutine.close()


UVLOOP = """
import asyncio
import uvloop
from cookbook.coroutines.policies_and_loops import run_on, what_runs

async def main():
    return isinstance(asyncio.get_running_loop(), uvloop.Loop)

assert run_on(uvloop.new_event_loop, main)
assert uvloop.run(main())
print(asyncio.run(what_runs()))
"""


def test_uvloop_runs_through_a_loop_factory() -> None:
    pytest.importorskip("uvloop", reason="uvloop is not installed")
    # It keeps a pipe for signals until the process ends.
    run = python("-c", UVLOOP, cwd=Path(__file__).parents[2])
    assert (run.returncode, run.stdout) == (0, "asyncio's own\n"), run.stderr


@pytest.mark.parametrize("wrong", [None, "uvloop", 7])
def test_a_factory_that_cannot_be_called_is_refused_and_named(
    wrong: object,
) -> None:
    factory: Any = wrong
    with pytest.raises(TypeError, match=rf"not {wrong!r}$"):
        run_on(factory, what_runs)


def test_a_loop_in_place_of_a_factory_is_refused() -> None:
    loop: Any = OtherLoop()
    with pytest.raises(TypeError, match=r"^pass a function, not <OtherLoop"):
        run_on(loop, what_runs)
    loop.close()


def test_get_event_loop_in_a_fresh_main_thread_raises_from_3_14_on() -> None:
    said = fresh("asyncio.get_event_loop().close()")
    text = "RuntimeError: There is no current event loop in thread 'MainThr"
    assert (text in said) is FROM_3_14
    if sys.version_info < (3, 12):
        assert said == ""
    elif not FROM_3_14:
        assert "DeprecationWarning: There is no current event loop" in said


def test_get_event_loop_raises_after_asyncio_run_on_each_version() -> None:
    asyncio.run(what_runs())
    with pytest.raises(RuntimeError, match=NO_LOOP % "MainThread"):
        asyncio.get_event_loop()


def test_get_event_loop_raises_in_another_thread_on_each_version() -> None:
    seen: list[str] = []

    def work() -> None:
        with pytest.raises(RuntimeError, match=NO_LOOP % "Thread-1"):
            asyncio.get_event_loop()
        seen.append("raised")

    thread = threading.Thread(target=work, name="Thread-1")
    thread.start()
    thread.join(timeout=10)
    assert seen == ["raised"]


def test_in_a_coroutine_both_give_the_loop_that_runs() -> None:
    async def main() -> bool:
        return asyncio.get_event_loop() is asyncio.get_running_loop()

    assert asyncio.run(main())


@pytest.mark.parametrize("make", [asyncio.ensure_future, asyncio.gather, None])
def test_ensure_future_gather_and_future_fail_the_same_way(
    make: Callable[..., object] | None,
) -> None:
    asyncio.run(what_runs())
    coroutine = what_runs()
    with pytest.raises(RuntimeError, match=NO_LOOP % "MainThread"):
        make(coroutine) if make else asyncio.Future()
    coroutine.close()


def test_in_a_fresh_main_thread_they_fail_from_3_14_on() -> None:
    for name in ["gather", "ensure_future"]:
        said = fresh(
            "async def job(): pass\n"
            f"future = asyncio.{name}(job())\n"
            "loop = future.get_loop()\n"
            "loop.run_until_complete(future)\n"
            "loop.close()\n"
        )
        text = "RuntimeError: There is no current event loop in thread 'Main"
        assert (text in said) is FROM_3_14


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_child_watchers_are_gone_in_3_14() -> None:
    for name in ["ThreadedChildWatcher", "SafeChildWatcher"]:
        assert hasattr(asyncio, name) is not FROM_3_14
    assert hasattr(asyncio, "set_child_watcher") is not FROM_3_14


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_a_subprocess_runs_on_the_loop_of_a_factory_without_a_watcher() -> (
    None
):
    async def main() -> int | None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-S", "-c", ""
        )
        async with asyncio.timeout(60):
            return await process.wait()

    assert run_on(OtherLoop, main) == 0


@pytest.mark.skipif(sys.platform != "win32", reason="Windows")
def test_on_windows_the_default_is_the_proactor_loop() -> None:
    async def main() -> str:
        return type(asyncio.get_running_loop()).__name__

    assert asyncio.run(main()) == "ProactorEventLoop"


def test_the_call_raises_the_same_exception_and_closes_the_loop() -> None:
    loops: list[asyncio.AbstractEventLoop] = []
    error = OSError("no answer")

    async def fail() -> None:
        loops.append(asyncio.get_running_loop())
        raise error

    with pytest.raises(OSError, match=r"^no answer$") as caught:
        run_on(OtherLoop, fail)
    assert caught.value is error
    assert loops[0].is_closed()


def test_ctrl_c_cancels_the_coroutine_and_closes_the_loop() -> None:
    log: list[str] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        loops[0].call_soon(signal.raise_signal, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    with pytest.raises(KeyboardInterrupt):
        run_on(OtherLoop, main)
    assert log == ["cancelled"]
    assert loops[0].is_closed()
