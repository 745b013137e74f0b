"""What the recipe says of the memory of a worker, shown to be so."""

import contextlib
import gc
import inspect
import mmap
import multiprocessing
import operator
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast
from unittest.mock import patch

import pytest

from cookbook.measuring import memory_per_worker
from cookbook.measuring.memory_per_worker import (
    broken_one_more_worker,
    family,
    memory,
    one_more_worker,
    total,
    worker,
)

ROOT = Path(memory_per_worker.__file__).parents[2]
METHODS = multiprocessing.get_all_start_methods()
MB = 1_000_000
SIZE = 24 * MB
PARENT = """
import multiprocessing, sys, time
from cookbook.measuring.memory_per_worker import worker

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with worker(int, context) as pid:
        print(pid, flush=True)
        time.sleep(60)
"""
IMPORTED = """
import multiprocessing, sys
from cookbook.measuring.memory_per_worker import one_more_worker

DATA = b"x" * 24_000_000

if __name__ == "__main__":
    if len(sys.argv) > 1:
        multiprocessing.set_forkserver_preload(sys.argv[1:])
    forkserver = multiprocessing.get_context("forkserver")
    print(one_more_worker(int, forkserver), len(DATA))
"""

every_method = pytest.mark.parametrize("method", METHODS)
pytestmark = [
    pytest.mark.skipif(
        not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux"
    ),
    # The watchdog of faulthandler is a thread, so every fork of a test warns.
    pytest.mark.filterwarnings(
        "ignore:This process .* is multi-threaded, use of fork:"
        "DeprecationWarning"
    ),
]
FORK = multiprocessing.get_context("fork" if "fork" in METHODS else None)


def test_what_is_private_is_a_part_of_pss_and_pss_of_rss() -> None:
    with worker(int, FORK) as pid:
        for process in (os.getpid(), pid):
            found = memory(process)
            assert 0 < found.private < found.pss < found.rss


def fresh_block() -> mmap.mmap:
    """Return memory that was not there before, and is all in use."""
    block = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(0, SIZE, mmap.PAGESIZE):
        block[page] = 1
    return block


def test_what_a_process_allocates_is_private_and_in_all_three() -> None:
    before = memory(os.getpid())
    with fresh_block():
        after = memory(os.getpid())
    for small, large in zip(before, after, strict=True):
        assert large - small > SIZE / 2


def test_a_process_that_is_gone_has_no_memory() -> None:
    with worker(int, FORK) as pid:
        pass
    with pytest.raises(FileNotFoundError):
        memory(pid)


@every_method
def test_what_a_worker_loads_is_in_what_it_costs(method: str) -> None:
    load = partial(operator.mul, b"x", SIZE)
    cost = one_more_worker(load, multiprocessing.get_context(method))
    assert SIZE <= cost < 4 * SIZE


def test_a_spawned_worker_costs_more_than_a_forked_one() -> None:
    spawn = multiprocessing.get_context("spawn")
    assert one_more_worker(int, FORK) < one_more_worker(int, spawn)


def test_the_family_of_a_process_holds_the_workers_and_the_fork_server() -> (
    None
):
    context = multiprocessing.get_context("forkserver")
    with worker(int, context) as first, worker(int, FORK) as second:
        found = list(family(os.getpid()))
        server = int(Path(f"/proc/{first}/stat").read_text().split()[3])
    assert found[0] == os.getpid()
    assert len(set(found)) == len(found)
    assert {first, second, server} < set(found)
    assert server != os.getpid()


def test_a_thread_that_ends_meanwhile_has_no_children() -> None:
    list_of = Path.glob

    def with_one_that_has_ended(path: Path, pattern: str) -> list[Path]:
        return [path / "0" / "children", *list_of(path, pattern)]

    with (
        worker(int, FORK) as pid,
        patch.object(Path, "glob", with_one_that_has_ended),
    ):
        assert pid in family(os.getpid())


def test_where_the_kernel_lists_no_children_there_is_no_total() -> None:
    with (
        patch.object(Path, "stat", side_effect=FileNotFoundError),
        pytest.raises(FileNotFoundError),
    ):
        total()


def test_what_workers_share_is_in_the_rss_of_each_and_once_in_the_total() -> (
    None
):
    before = total()
    with (
        fresh_block(),
        worker(int, FORK) as first,
        worker(int, FORK) as second,
    ):
        pids = [os.getpid(), first, second]
        assert all(memory(pid).rss > SIZE for pid in pids)
        assert memory(first).private < SIZE / 2
        assert SIZE / 2 < total() - before < 2 * SIZE


def test_the_rss_of_a_worker_counts_what_it_only_shares() -> None:
    block = b"x" * SIZE
    assert broken_one_more_worker(lambda: len(block), FORK) > SIZE
    assert one_more_worker(lambda: len(block), FORK) < SIZE / 2


def test_a_worker_that_reads_a_list_of_numbers_copies_them() -> None:
    numbers = [float(n) for n in range(SIZE // 24)]
    assert one_more_worker(lambda: len(numbers), FORK) < SIZE / 2
    assert one_more_worker(lambda: sum(numbers), FORK) > SIZE / 2


def test_a_worker_that_reads_an_array_copies_nothing() -> None:
    array = bytearray(b"x") * SIZE
    assert one_more_worker(lambda: sum(array), FORK) < SIZE / 2


def test_a_worker_that_writes_to_an_array_copies_what_it_changes() -> None:
    array = bytearray(b"x") * SIZE

    def change() -> None:
        array[: SIZE // 2 : 1024] = bytes(len(range(0, SIZE // 2, 1024)))

    assert SIZE / 4 < one_more_worker(change, FORK) < SIZE


def shares_main_module(script: Path, *preload: str) -> bool:
    script.write_text(IMPORTED)
    ended = subprocess.run(
        [sys.executable, script, *preload],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    cost, size = map(int, ended.stdout.split())
    return cost < size / 2


def test_a_worker_shares_what_a_mended_fork_server_has_imported(
    tmp_path: Path,
) -> None:
    mended = "init_main_from_path" in inspect.getsource(forkserver)
    assert mended or sys.version_info < (3, 14)
    assert shares_main_module(tmp_path / "program.py") is mended


def test_a_list_to_preload_without_main_leaves_it_to_each_worker(
    tmp_path: Path,
) -> None:
    mended = "init_main_from_path" in inspect.getsource(forkserver)
    script = tmp_path / "program.py"
    assert not shares_main_module(script, "json")
    assert shares_main_module(script, "__main__", "json") is mended


@contextlib.contextmanager
def frozen() -> Iterator[None]:
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def test_the_garbage_collector_of_a_worker_writes_to_what_is_not_frozen() -> (
    None
):
    lists = [[n] for n in range(SIZE // 80)]
    size = len(lists) * 80
    assert one_more_worker(gc.collect, FORK) > size / 2
    with frozen():
        assert one_more_worker(gc.collect, FORK) < size / 2


def test_the_stack_of_a_thread_is_address_space_and_hardly_any_memory() -> (
    None
):
    def address_space() -> int:
        pages = Path("/proc/self/statm").read_text().split()[0]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    may_end = threading.Event()
    threads = [threading.Thread(target=may_end.wait) for _ in range(20)]
    before, mapped = total(), address_space()
    usual = threading.stack_size(8 * 1024 * 1024)
    try:
        for thread in threads:
            thread.start()
        assert address_space() - mapped > 100 * MB
        assert total() - before < 20 * MB
    finally:
        threading.stack_size(usual)
        may_end.set()
        for thread in threads:
            thread.join()


@every_method
def test_the_worker_is_gone_when_the_block_has_ended(method: str) -> None:
    context = multiprocessing.get_context(method)
    with worker(int, context) as pid:
        (child,) = multiprocessing.active_children()
        assert child.pid == pid
        assert child.daemon  # ends with the program, whatever happens
        os.kill(pid, 0)
    assert not Path(f"/proc/{pid}").exists()


def test_an_error_in_the_block_leaves_no_worker() -> None:
    with pytest.raises(EOFError, match="own"), worker(int, FORK):
        raise EOFError("own")
    assert multiprocessing.active_children() == []


def test_ctrl_c_while_a_worker_loads_leaves_no_worker() -> None:
    with (
        patch.object(Connection, "recv", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
        worker(partial(time.sleep, 60), FORK),
    ):
        pytest.fail("the worker has not loaded yet")
    assert multiprocessing.active_children() == []


def test_a_worker_that_raises_is_reported() -> None:
    text = r"^the worker ended with exit code 1$"
    with (
        pytest.raises(RuntimeError, match=text),
        worker(partial(divmod, 7, 0), FORK),
    ):
        pytest.fail("there is no worker")


def test_a_worker_that_raises_prints_its_traceback(
    capfd: pytest.CaptureFixture[str],
) -> None:
    spawn = multiprocessing.get_context("spawn")
    with pytest.raises(RuntimeError, match="ended with exit code 1"):
        one_more_worker(partial(divmod, 7, 0), spawn)
    assert "ZeroDivisionError" in capfd.readouterr().err


@every_method
def test_a_worker_that_is_killed_while_it_loads_is_reported(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    killed = partial(signal.raise_signal, signal.SIGKILL)
    text = r"^the worker ended with exit code -9$"
    with pytest.raises(RuntimeError, match=text):
        one_more_worker(killed, context)


def test_what_cannot_be_sent_leaves_no_process() -> None:
    spawn = multiprocessing.get_context("spawn")
    errors = AttributeError, pickle.PicklingError
    with pytest.raises(errors, match="local object"):
        one_more_worker(lambda: None, spawn)
    assert multiprocessing.active_children() == []


def running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@every_method
def test_a_worker_whose_parent_is_killed_ends(
    method: str, tmp_path: Path
) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, script, method],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert running(pid)
        parent.kill()
    deadline = time.monotonic() + 30
    while running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_program_s_own_start_method_is_the_default() -> None:
    with worker(int):
        (child,) = multiprocessing.active_children()
        kind = cast("type", multiprocessing.get_context().Process)
        assert isinstance(child, kind)
