"""What the fixture in ``conftest.py`` must not let pass."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
KEPT = """
import asyncio, os, subprocess, sys, threading
from multiprocessing import shared_memory
kept = []
"""
LEAKS = {
    "thread Thread-": """
def test_leaks():
    threading.Thread(target=threading.Event().wait, daemon=True).start()
""",
    "process ": """
def test_leaks():
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    kept.append(subprocess.Popen(command, stdin=subprocess.PIPE))
""",
    "task <Task pending": """
def test_leaks():
    loop = asyncio.new_event_loop()
    coroutine = asyncio.sleep(0)
    kept.extend([loop, loop.create_task(coroutine)])
    loop.close()
""",
    "shared memory psm_": """
def test_leaks():
    shared_memory.SharedMemory(create=True, size=1).close()
""",
    "file descriptor": """
def test_leaks():
    os.open(os.devnull, os.O_RDONLY)
""",
    "file descriptor *null": """
def leaks():
    '''
    >>> descriptor = os.open(os.devnull, os.O_RDONLY)
    '''
""",
}


def watch(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, grace: str
) -> None:
    """Hold the tests in *pytester* to this project's conftest.py."""
    text = (ROOT / "conftest.py").read_text(encoding="utf-8")
    assert "GRACE = 10.0" in text
    pytester.makeconftest(text.replace("GRACE = 10.0", f"GRACE = {grace}"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.skipif(
    not Path("/proc/self/fd").exists(),
    reason="only Linux shows its processes and descriptors as files",
)
@pytest.mark.parametrize("name", LEAKS)
def test_a_test_that_leaves_something_behind_fails_and_names_it(
    name: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(pytester, monkeypatch, grace="0.1")
    pytester.makepyfile(KEPT + LEAKS[name])
    result = pytester.runpytest_subprocess("--doctest-modules")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"*left behind: *{name}*"])


def test_a_test_that_cleans_up_passes(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(pytester, monkeypatch, grace="10.0")
    pytester.makepyfile(
        """
        import multiprocessing
        import threading
        from multiprocessing import shared_memory

        def test_cleans_up():
            thread = threading.Thread(target=print)
            thread.start()
            block = shared_memory.SharedMemory(create=True, size=1)
            block.close()
            block.unlink()
            context = multiprocessing.get_context("spawn")
            with context.Pool(1) as pool:
                pool.map(abs, [1])
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)
