"""What every test and every doctest is held to: it leaves nothing behind."""

import asyncio
import gc
import multiprocessing
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis.strategies import none

from cookbook import forms
from tests.exploring import Explore

# A slow machine is no failure.
settings.register_profile("book", deadline=None)
settings.load_profile("book")

SERVICES = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
GRACE = 10.0  # seconds that an ended thread or process gets to be gone


def threads() -> set[str]:
    """Return the threads that run, by name."""
    return {
        repr(thread)
        for thread in threading.enumerate()
        if thread is not threading.current_thread()
    }


def processes() -> set[str]:
    """Return the child processes, without the interpreter's own services."""
    found = {repr(child) for child in multiprocessing.active_children()}
    for thread in Path("/proc/self/task").glob("*"):
        for pid in read(thread / "children").split():
            line = read(Path("/proc", pid, "cmdline")).replace("\0", " ")
            if line and not any(service in line for service in SERVICES):
                found.add(f"process {pid}: {line}")
    return found


def read(path: Path) -> str:
    """Return what a file below /proc says; nothing if its owner has ended."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def tasks() -> set[str]:
    """Return the asyncio tasks that nobody waited for."""
    return {
        repr(one)
        for one in gc.get_objects()
        if isinstance(one, asyncio.Task) and not one.done()
    }


def shared_memory() -> set[str]:
    """Return the blocks of shared memory."""
    return {str(path) for path in Path("/dev/shm").glob("psm_*")}


def descriptors() -> set[str]:
    """Return the open file descriptors, without those of the services."""
    services = _service_descriptors()
    found = set()
    for entry in Path("/proc/self/fd").glob("*"):
        try:
            target = str(entry.readlink())
        except OSError:  # the one that lists this folder
            continue
        if int(entry.name) not in services and not target.startswith("/proc/"):
            found.add(f"file descriptor {entry.name}: {target}")
    return found


def _service_descriptors() -> set[int | None]:
    held: set[int | None] = set()
    if tracker := sys.modules.get("multiprocessing.resource_tracker"):
        held.add(tracker._resource_tracker._fd)
    if forkserver := sys.modules.get("multiprocessing.forkserver"):
        server = forkserver._forkserver
        held |= {server._forkserver_alive_fd}
    return held


LOOKS = (threads, processes, tasks, shared_memory, descriptors)


def left_behind(before: dict[str, set[str]]) -> set[str]:
    """Return what is there now and was not there *before*."""
    gc.collect()
    return set().union(*(look() - before[look.__name__] for look in LOOKS))


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail the test if a thread, process, task, block or file stays."""
    gc.collect()
    before = {look.__name__: look() for look in LOOKS}
    yield
    deadline = time.monotonic() + GRACE
    while (left := left_behind(before)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left, f"left behind: {sorted(left)}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let ``nox -s record`` ask for a record of what is explored."""
    parser.addoption("--record", action="store_true", help="record schedules")


RECIPES_BEGUN = pytest.StashKey[set[str]]()


@pytest.fixture
def explore(request: pytest.FixtureRequest) -> Explore:
    """Explore schedules for the recipe that the test file is about."""
    path = request.path
    recipe = f"{path.parent.name}.{path.stem.removeprefix('test_')}"
    recording = request.config.getoption("--record")
    begun = request.config.stash.setdefault(RECIPES_BEGUN, set())
    return Explore(recipe, begun if recording else None)


@given(none())
def set_up_hypothesis(_: None) -> None:
    """Let hypothesis look for who refers to its generator.

    It warns if it finds nobody, as it would once the objects are frozen.
    """


def pytest_collection_finish() -> None:
    """Keep what the test run itself consists of out of each collection."""
    set_up_hypothesis()
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out of each doctest the outputs of other builds."""
    for item in items:
        if isinstance(item, pytest.DoctestItem) and item.dtest is not None:
            item.dtest.examples = [
                example
                for example in item.dtest.examples
                if forms.applies(forms.condition(example.source))
            ]
