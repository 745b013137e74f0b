"""What the recipe says of a counter that processes share, shown to be so."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Lock, RLock
from pathlib import Path
from typing import Any, cast

import pytest

from cookbook.primes import count_primes
from cookbook.processes.shared_counter_processes import (
    TOTAL,
    add,
    add_answer,
    broken_add_answer,
    broken_add_to_global,
    count_if_prime,
    count_in_executor,
    count_in_processes,
    keep,
    meet,
    run_in_processes,
)

METHODS = multiprocessing.get_all_start_methods()
INHERITANCE = "{} objects should only be shared between processes through {}"
MIXED = (
    "A SemLock created in a fork context is being shared with a process in a"
    " spawn context. This is not supported. Please use the same context to"
    " create multiprocessing objects and Process."
)

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
forks = pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
every_method = pytest.mark.parametrize("method", METHODS)


def meeting(context: BaseContext) -> Callable[[], int]:
    """Return a job that waits until two processes run it."""
    return partial(meet, context.Barrier(2, timeout=60))


@every_method
def test_two_processes_that_meet_at_work_lose_no_count(method: str) -> None:
    context = multiprocessing.get_context(method)
    assert count_in_processes([meeting(context)] * 2, context=context) == 2


@every_method
def test_two_processes_that_meet_between_read_and_write_lose_a_count(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    counter = context.Value("q", 0)
    arguments = [(counter, meeting(context))] * 2
    run_in_processes(broken_add_answer, arguments, context=context)
    assert counter.value == 1


@every_method
def test_a_global_that_workers_add_to_stays_as_it_was_in_the_parent(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOTAL, "primes", 5)
    arguments = [(partial(count_primes, 0, 10),)]
    context = multiprocessing.get_context(method)
    run_in_processes(broken_add_to_global, arguments, context=context)
    assert TOTAL["primes"] == 5


@every_method
def test_the_initializer_hands_the_counter_to_every_worker_of_a_pool(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    numbers = iter([7, 8, 9, 2])
    assert count_in_executor(numbers, workers=2, context=context) == 2


def test_the_answers_of_all_jobs_are_added_up_from_zero() -> None:
    jobs = iter([partial(count_primes, 0, 10), partial(count_primes, 10, 14)])
    context = multiprocessing.get_context("spawn")
    assert count_in_processes(jobs, context=context) == 6
    assert count_in_processes([], context=context) == 0


@pytest.mark.parametrize(
    ("add_to", "held"), [(add, [True, True]), (None, [False])]
)
def test_the_lock_is_held_from_the_read_to_the_write_by_get_lock_alone(
    add_to: Callable[..., None] | None, held: list[bool]
) -> None:
    counter = multiprocessing.get_context("spawn").Value("q", 0)
    seen = []

    class Amount(int):
        """A number that looks, as it is added, who may have the lock."""

        def __radd__(self, other: int) -> int:
            seen.append(free_for_another_thread(counter.get_lock()))
            return other + int(self)

    if add_to is None:
        counter.value += Amount(3)
    else:
        add_to(counter, Amount(3))
        add_to(counter, Amount(3))
    assert seen == [not one for one in held]
    assert counter.value == 3 * len(held)


def free_for_another_thread(lock: Lock | RLock) -> bool:
    """Tell whether another thread than this gets the lock."""
    found = []

    def look() -> None:
        if lock.acquire(block=False):
            lock.release()
            found.append("free")

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return bool(found)


def test_the_job_of_the_right_way_runs_without_the_lock() -> None:
    counter = multiprocessing.get_context("spawn").Value("q", 0)
    add_answer(
        counter, lambda: 10 + free_for_another_thread(counter.get_lock())
    )
    assert counter.value == 11


@every_method
def test_a_pool_and_an_executor_take_no_shared_object_with_a_job(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    shared = {
        "Synchronized": context.Value("q", 0),
        "SynchronizedArray": context.Array("q", 2),
        "Lock": context.Lock(),
        "Queue": context.Queue(),
        "Condition": context.Event(),
    }
    with (
        context.Pool(1) as pool,
        ProcessPoolExecutor(1, mp_context=context) as executor,
    ):
        for name, one in shared.items():
            text = INHERITANCE.format(name, "inheritance")
            with pytest.raises(RuntimeError) as caught:
                pool.apply(id, [one])
            assert str(caught.value) == text
            with pytest.raises(RuntimeError) as caught:
                executor.submit(id, one).result(timeout=60)
            assert str(caught.value) == text


def test_put_raises_nothing_for_a_shared_object_and_prints_the_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    context = multiprocessing.get_context("spawn")
    queue: Any = context.Queue()
    queue.put(context.Value("q", 0))
    queue.close()
    queue.join_thread()
    text = INHERITANCE.format("Synchronized", "inheritance")
    assert capfd.readouterr().err.endswith(f"\nRuntimeError: {text}\n")


@forks
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
@pytest.mark.parametrize("name", ["Value", "Lock", "Queue", "Event"])
def test_what_a_fork_context_made_goes_to_no_process_of_another(
    name: str, method: str
) -> None:
    arguments = ["q", 0] if name == "Value" else []
    made = getattr(multiprocessing.get_context("fork"), name)(*arguments)
    context = multiprocessing.get_context(method)
    with pytest.raises(RuntimeError) as caught:
        run_in_processes(id, [(made,)], context=context)
    assert str(caught.value) == MIXED


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's default")
@pytest.mark.parametrize("make", ["Lock()", "Value('q')", "Queue()"])
def test_what_the_module_makes_fits_spawn_from_python_3_14_alone(
    make: str,
) -> None:
    program = (
        f"import multiprocessing as m; made = m.{make}\n"
        "p = m.get_context('spawn').Process(target=id, args=(made,))\n"
        "p.start(); p.join()"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-c", program],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (MIXED in ended.stderr) == (sys.version_info < (3, 14))


def test_the_number_has_64_bits_and_one_of_32_overflows_unseen() -> None:
    context = multiprocessing.get_context("spawn")
    jobs = [partial(int, 2**31)]
    assert count_in_processes(jobs, context=context) == 2**31
    small = context.Value("i", 2**31 - 1)
    add(small, 1)
    assert small.value == -2147483648


@pytest.mark.parametrize(
    ("count", "error", "text"),
    [
        (
            lambda context: count_in_processes(
                cast("Any", [int, 7]), context=context
            ),
            TypeError,
            "a job must be callable, not 7",
        ),
        (
            lambda context: count_in_executor(cast("Any", 7), context=context),
            TypeError,
            "numbers must be iterable, not 7",
        ),
        (
            lambda context: count_in_executor([], workers=0, context=context),
            ValueError,
            "workers must be at least 1, not 0",
        ),
    ],
)
def test_bad_arguments_are_refused_before_a_process_is_started(
    count: Callable[[Any], int], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        count(object())


def test_every_object_and_process_is_of_the_context_that_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = multiprocessing.get_context("spawn")
    monkeypatch.setattr(multiprocessing, "get_context", None)  # not called
    jobs = [partial(count_primes, 0, 10)]
    assert count_in_processes(jobs, context=context) == 4
    assert count_in_executor([7], workers=1, context=context) == 1


@every_method
def test_an_error_in_a_process_is_printed_and_raises_the_exit_codes(
    method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    bad: Any = "ten"
    jobs = [partial(count_primes, 0, bad), partial(count_primes, 0, 10)]
    context = multiprocessing.get_context(method)
    with pytest.raises(RuntimeError) as caught:
        count_in_processes(jobs, context=context)
    assert str(caught.value) == "exit codes of the workers: [1, 0]"
    if method != "forkserver":  # whose stderr is that of its start
        assert "TypeError: a bound must be an int" in capfd.readouterr().err


def test_an_error_in_a_job_of_the_executor_is_raised_itself() -> None:
    numbers: list[Any] = [7, "eight"]
    context = multiprocessing.get_context("spawn")
    with pytest.raises(TypeError, match="n must be an int, not 'eight'"):
        count_in_executor(numbers, workers=1, context=context)


@posix
@every_method
def test_the_exit_code_of_a_killed_worker_is_in_the_error(method: str) -> None:
    jobs = [
        partial(count_primes, 0, 10),
        partial(cast("Any", signal.raise_signal), signal.SIGKILL),
    ]
    context = multiprocessing.get_context(method)
    with pytest.raises(RuntimeError) as caught:
        count_in_processes(jobs, context=context)
    assert str(caught.value) == "exit codes of the workers: [0, -9]"


class Killer:
    """Kills the process that unpickles it."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return signal.raise_signal, (signal.SIGKILL,)


@posix
def test_a_killed_worker_breaks_the_executor_and_nothing_waits_for_ever() -> (
    None
):
    numbers: list[Any] = [7, Killer()]
    context = multiprocessing.get_context("spawn")
    with pytest.raises(BrokenProcessPool):
        count_in_executor(numbers, workers=1, context=context)


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_process_that_cannot_be_started_takes_those_before_it_along(
    method: str,
) -> None:
    if method not in METHODS:
        pytest.skip("no forkserver here")
    arguments: list[Any] = [(600,), (threading.Lock(),)]
    context = multiprocessing.get_context(method)
    with pytest.raises(TypeError, match="cannot pickle"):
        run_in_processes(time.sleep, arguments, context=context)
    assert not multiprocessing.active_children()


@every_method
def test_ctrl_c_in_the_wait_kills_the_workers_and_leaves_none_behind(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    join = BaseProcess.join
    interrupts = [KeyboardInterrupt()]

    def interrupted(self: BaseProcess, timeout: float | None = None) -> None:
        if interrupts:
            raise interrupts.pop()
        join(self, timeout)

    monkeypatch.setattr(BaseProcess, "join", interrupted)
    jobs: list[Any] = [partial(time.sleep, 600)] * 2
    context = multiprocessing.get_context(method)
    with pytest.raises(KeyboardInterrupt):
        count_in_processes(jobs, context=context)
    assert not multiprocessing.active_children()


@every_method
def test_the_parent_reads_the_number_while_the_work_goes_on(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    counter = context.Value("q", 0)
    with context.Pool(1, keep, [counter]) as pool:
        for n, count in (7, 1), (8, 1), (11, 2):
            pool.apply(count_if_prime, [n])
            assert counter.value == count


GLOBALS = """
import multiprocessing, sys
first = "first value"

def look():
    print(first, "| second" if "second" in globals() else "| no second")

if __name__ == "__main__":
    first = "set later"
    second = "set in the parent"
    process = multiprocessing.get_context(sys.argv[1]).Process(target=look)
    process.start()
    process.join()
"""


@every_method
def test_a_global_set_under_the_main_guard_is_there_only_in_a_forked_worker(
    method: str, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(GLOBALS, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-I", program, method],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    expected = "first value | no second\n"
    if method == "fork":
        expected = "set later | second\n"
    assert ended.stdout == expected
