"""What changed by version: each probe is true from its version on only."""

import asyncio
import builtins
import contextvars
import importlib.util
import inspect
import multiprocessing
import os
import queue
import re
import sys
import threading
import tomllib
import warnings
from collections.abc import Awaitable as AwaitableType
from collections.abc import Callable, Generator
from concurrent import futures
from fractions import Fraction
from logging import handlers
from multiprocessing import managers, shared_memory, synchronize
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cookbook import catalogue

TESTS = Path(__file__).parent
PATH = TESTS.parent / "docs" / "versions.toml"
CHANGES: list[dict[str, Any]] = tomllib.loads(PATH.read_text("utf-8"))[
    "changes"
]
KINDS = ["New", "Changed", "Deprecated", "Removed"]
KEYS = {"version", "kind", "text", "recipes"}
NAMES = {
    "asyncio": asyncio,
    "builtins": builtins,
    "contextvars": contextvars,
    "Fraction": Fraction,
    "futures": futures,
    "handlers": handlers,
    "managers": managers,
    "multiprocessing": multiprocessing,
    "queue": queue,
    "shared_memory": shared_memory,
    "synchronize": synchronize,
    "sys": sys,
    "threading": threading,
}
PROBED = [one for one in CHANGES if "probe" in one]


def label(change: dict[str, Any]) -> str:
    return f"{change['version']}-{change['text'].split('`')[1]}"


every_change = pytest.mark.parametrize("change", CHANGES, ids=label)
every_probe = pytest.mark.parametrize("change", PROBED, ids=label)


def version(change: dict[str, Any]) -> tuple[int, ...]:
    return tuple(map(int, change["version"].split(".")))


def name(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a probe use *function*."""
    NAMES[function.__name__] = function
    return function


@name
def parameters(function: Callable[..., object]) -> set[str]:
    return set(inspect.signature(function).parameters)


@name
def importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package above it is not there
        return False


@name
def raises(kind: type[Exception], call: Callable[[], object]) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except kind:
            return True
    return False


@name
def warned(call: Callable[[], object]) -> bool:
    """Tell whether a call is deprecated, or is an error by now."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        try:
            call()
        except RuntimeError:
            return True
    return any(one.category is DeprecationWarning for one in found)


@name
def no_loop_yet() -> None:
    """Ask for the loop of a thread that has none."""
    with mock.patch("asyncio.events._event_loop_policy", None):
        asyncio.get_event_loop().close()


@name
def fork_beside_a_thread() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        if not (child := os.fork()):
            os._exit(0)
        os.waitpid(child, 0)
    finally:
        done.set()
        thread.join()


@name
def workers_by_default(cores: int) -> int:
    with mock.patch("os.process_cpu_count", return_value=cores, create=True):
        executor = futures.ThreadPoolExecutor()
    return int(vars(executor)["_max_workers"])


@name
async def wait_for_a_coroutine() -> None:
    waiting: Any = asyncio.sleep(0)
    try:
        await asyncio.wait([waiting])
    finally:
        waiting.close()


@name
async def as_completed_is_asynchronous() -> bool:
    return hasattr(asyncio.as_completed([]), "__aiter__")


@name
async def start_eagerly() -> bool:
    job = asyncio.sleep(0, "done")
    create: Callable[..., asyncio.Task[str]] = asyncio.create_task
    try:
        task = create(job, eager_start=True)
    except TypeError:
        job.close()
        return False
    await task
    return True


@name
class Awaitable(AwaitableType[int]):
    """Can be awaited, and is no coroutine."""

    def __await__(self) -> Generator[Any, None, int]:
        yield from asyncio.sleep(0).__await__()
        return 1


@every_probe
def test_a_change_is_there_from_its_version_on_and_not_before(
    change: dict[str, Any],
) -> None:
    if not sys.platform.startswith(change.get("on", "")):
        pytest.skip(f"only on {change['on']}")
    expected = sys.version_info >= version(change)
    assert bool(eval(change["probe"], NAMES)) == expected


@every_change
def test_a_change_says_what_where_and_which_recipes_to_revisit(
    change: dict[str, Any],
) -> None:
    assert KEYS <= change.keys() <= KEYS | {"probe", "proof", "on"}
    assert change["kind"] in KINDS
    assert re.search(r":\w+:`", change["text"])
    assert change["recipes"]
    known = {recipe.name for recipe in catalogue.recipes()}
    assert set(change["recipes"]) <= known


@every_change
def test_a_change_is_probed_or_proved_or_names_the_document_that_says_so(
    change: dict[str, Any],
) -> None:
    assert not {"probe", "proof"} <= change.keys()
    if "proof" in change:
        file, _, test = change["proof"].partition("::")
        source = (TESTS / f"{file}.py").read_text("utf-8")
        assert f"\ndef {test}(" in source
    elif "probe" not in change:
        assert "<whatsnew" in change["text"]


def test_the_changes_stand_in_the_order_of_versions() -> None:
    assert [version(one) for one in CHANGES] == sorted(map(version, CHANGES))
    assert {one["version"] for one in CHANGES} == {
        f"3.{minor}" for minor in range(11, 16)
    }
