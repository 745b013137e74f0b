"""What the recipe says of a pool of interpreters, shown to be so."""

import concurrent.futures
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cookbook.parallel_threads import interpreter_pool
from cookbook.parallel_threads.interpreter_pool import (
    FOUND,
    broken_primes_in,
    map_in_interpreters,
    primes_in,
)
from cookbook.primes import is_prime
from cookbook.threads.code_that_releases_the_gil import lets_others_run

# A type checker for 3.11 knows no interpreters.
Pool: Any = getattr(concurrent.futures, "InterpreterPoolExecutor", Executor)
HAS_GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()

needs_interpreters = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="subinterpreters need Python 3.14"
)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@pytest.fixture(autouse=True)
def no_interpreter_stays() -> Iterator[None]:
    yield
    if sys.version_info >= (3, 14):
        from concurrent import interpreters

        assert len(interpreters.list_all()) == 1


# Functions that use nothing from around them are sent as code.


def where(_: object) -> tuple[int, int]:
    import os
    from concurrent import interpreters  # type: ignore[attr-defined]

    return os.getpid(), interpreters.get_current().id


def say_and_wait(write_end: int, read_end: int) -> bytes:
    import os

    os.write(write_end, b"x")
    return os.read(read_end, 1)


def say_and_wait_in_the_lock(write_end: int, read_end: int) -> bytes:
    import os

    from cookbook.parallel_threads.interpreter_pool import LOCK

    with LOCK:
        os.write(write_end, b"x")
        return os.read(read_end, 1)


def answer_at_once(view: memoryview) -> None:
    view[0] = 1
    while not view[1]:
        pass
    view[2] = 1


@contextmanager
def two_pipes() -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Each of two jobs says to the other that it is there."""
    one_reads, other_says = os.pipe()
    other_reads, one_says = os.pipe()
    try:
        yield (one_says, one_reads), (other_says, other_reads)
    finally:
        for end in (one_reads, other_says, other_reads, one_says):
            os.close(end)


@needs_interpreters
def test_the_answers_come_in_the_order_of_the_items() -> None:
    answers = map_in_interpreters(is_prime, iter([97, 100, 2, 1]), workers=2)
    assert answers == [True, False, True, False]
    assert map_in_interpreters(primes_in, [], workers=1) == []


@needs_interpreters
def test_each_job_runs_in_an_interpreter_of_its_worker_in_this_process() -> (
    None
):
    answers = map_in_interpreters(where, range(8), workers=2)
    assert {pid for pid, _ in answers} == {os.getpid()}
    ids = {number for _, number in answers}
    assert 0 not in ids
    assert len(ids) in {1, 2}


@needs_interpreters
def test_two_workers_have_two_interpreters_that_run_at_once() -> None:
    with two_pipes() as pipes, Pool(2) as pool:
        jobs = [pool.submit(say_and_wait, *ends) for ends in pipes]
        assert [job.result(timeout=60) for job in jobs] == [b"x", b"x"]


def gets_on_while_this_thread_keeps_its_gil(
    executor: Executor,
) -> bool:
    """Tell whether a job runs Python code while this thread does."""
    cells = bytearray(3)
    interval = sys.getswitchinterval()
    with executor as pool, memoryview(cells) as view:
        job = pool.submit(answer_at_once, view)
        try:
            start = time.monotonic()
            while not cells[0] and time.monotonic() < start + 60:
                time.sleep(0.001)
            sys.setswitchinterval(1000)  # seconds: who has it keeps it
            cells[1] = 1
            start = time.monotonic()
            while not cells[2] and time.monotonic() < start + 60:
                pass
            return bool(cells[2])
        finally:
            cells[1] = 1
            sys.setswitchinterval(interval)
            job.result(timeout=60)


@needs_interpreters
def test_a_job_runs_python_code_while_another_interpreter_does() -> None:
    pool = Pool(1)
    assert gets_on_while_this_thread_keeps_its_gil(pool)


def test_a_thread_does_so_only_without_the_gil() -> None:
    patience = 0.05 if HAS_GIL else 60
    runs = lets_others_run(lambda: is_prime(10_007), patience=patience)
    assert runs is not HAS_GIL


@pytest.mark.parametrize("workers", [0, -1])
def test_fewer_than_one_worker_is_refused_on_every_python(
    workers: int,
) -> None:
    text = f"^workers must be at least 1, not {workers}$"
    with pytest.raises(ValueError, match=text):
        map_in_interpreters(math.sqrt, [1], workers=workers)


def test_items_that_cannot_be_iterated_over_are_refused() -> None:
    items: Any = 7
    with pytest.raises(TypeError, match="'int' object is not iterable"):
        map_in_interpreters(math.sqrt, items)


@needs_interpreters
def test_there_are_as_many_interpreters_as_workers_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    class Asked(Pool):  # type: ignore[misc]
        def __init__(self, workers: int) -> None:
            asked.append(workers)
            super().__init__(workers)

    monkeypatch.setattr(
        concurrent.futures, "InterpreterPoolExecutor", Asked, raising=False
    )
    assert map_in_interpreters(math.sqrt, [4], workers=3) == [2.0]
    assert asked == [3]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="has the pool")
def test_up_to_python_3_13_there_is_no_pool_and_the_error_says_so() -> None:
    with pytest.raises(RuntimeError) as refused:
        map_in_interpreters(math.sqrt, [4])
    text = "subinterpreters need Python 3.14 or later"
    assert str(refused.value) == text
    with pytest.raises(ImportError) as caught:
        exec("from concurrent.futures import InterpreterPoolExecutor")
    assert str(caught.value).startswith(
        "cannot import name 'InterpreterPoolExecutor' from"
        " 'concurrent.futures' ("
    )
    with pytest.raises(ModuleNotFoundError) as missing:
        exec("import concurrent.interpreters")
    assert str(missing.value) == "No module named 'concurrent.interpreters'"


@needs_interpreters
def test_an_error_of_a_job_is_raised_here_and_its_cause_shows_where() -> None:
    spans: list[Any] = [(0, 10), (0, "ten")]
    with pytest.raises(
        TypeError, match=r"^a bound must be an int, not 'ten'$"
    ) as caught:
        map_in_interpreters(primes_in, spans, workers=1)
    cause = caught.value.__cause__
    assert type(cause).__name__ == "ExecutionFailed"
    assert "Uncaught in the interpreter:" in str(cause)
    assert "in count_primes" in str(cause)


@needs_interpreters
def test_an_error_that_cannot_be_pickled_is_told_as_text_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def job(_: int) -> None:
        class LocalError(Exception):
            pass

        raise LocalError("no number")

    with pytest.raises(Exception, match=r"LocalError: no number") as caught:
        map_in_interpreters(job, [1], workers=1)
    assert type(caught.value).__name__ == "ExecutionFailed"
    assert "exception is not shareable:\n" in capfd.readouterr().err


@needs_interpreters
def test_a_function_that_uses_nothing_from_around_it_is_sent_as_code() -> None:
    answers: list[int] = map_in_interpreters(
        lambda n: abs(n) + 1, [1, -2], workers=1
    )
    assert answers == [2, 3]


@needs_interpreters
@pytest.mark.parametrize("kind", ["closure", "global", "default", "argument"])
def test_what_cannot_be_sent_is_not_shareable(kind: str) -> None:
    one = 1

    def add(number: int, step: int = 1) -> int:
        return number + step

    jobs: dict[str, Callable[[Any], Any]] = {
        "closure": lambda n: n + one,
        "global": lambda n: (n, HAS_GIL),
        "default": add,
        "argument": is_prime,
    }
    item = threading.Lock() if kind == "argument" else 7
    with pytest.raises(Exception, match="does not support cross") as caught:
        map_in_interpreters(jobs[kind], [item], workers=1)
    assert type(caught.value).__name__ == "NotShareableError"
    assert str(caught.value).endswith(
        "does not support cross-interpreter data"
    )


@needs_interpreters
def test_source_text_is_not_taken_as_a_job() -> None:
    text = "scripts not supported"
    with Pool(1) as pool, pytest.raises(TypeError, match=text):
        pool.submit("1 + 1")


@needs_interpreters
def test_the_initializer_fills_the_globals_of_each_interpreter() -> None:
    def fill(number: int) -> None:
        from cookbook.parallel_threads import interpreter_pool

        interpreter_pool.FOUND.append(number)

    def look(_: int) -> list[int]:
        from cookbook.parallel_threads import interpreter_pool

        return interpreter_pool.FOUND

    with Pool(2, initializer=fill, initargs=(42,)) as pool:
        assert list(pool.map(look, range(6))) == [[42]] * 6
    assert FOUND == []


@needs_interpreters
def test_if_the_initializer_fails_every_job_ends_with_a_broken_pool(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Pool(1, initializer=math.sqrt, initargs=(-1,)) as pool:
        job = pool.submit(math.sqrt, 4)
        with pytest.raises(Exception, match="initializer failed") as caught:
            job.result(timeout=60)
    assert type(caught.value).__name__ == "BrokenInterpreterPool"
    assert str(caught.value) == (
        "A thread initializer failed, the thread pool is not usable anymore"
    )
    assert "Exception in initializer" in caplog.text


@needs_interpreters
def test_the_globals_of_an_interpreter_stay_from_job_to_job() -> None:
    def count(_: int) -> int:
        from cookbook.parallel_threads import interpreter_pool

        interpreter_pool.FOUND.append(0)
        return len(interpreter_pool.FOUND)

    assert map_in_interpreters(count, range(3), workers=1) == [1, 2, 3]


def test_threads_find_each_answer_in_the_shared_list() -> None:
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(broken_primes_in, [(0, 10), (10, 20)]))
        assert FOUND == [4, 4]
    finally:
        FOUND.clear()


@needs_interpreters
def test_interpreters_leave_their_answers_in_lists_of_their_own() -> None:
    spans = [(0, 10), (10, 20)]
    assert map_in_interpreters(broken_primes_in, spans, workers=1) == [
        None,
        None,
    ]
    assert FOUND == []
    assert map_in_interpreters(primes_in, spans, workers=1) == [4, 4]


@needs_interpreters
def test_two_interpreters_hold_the_lock_of_one_name_at_the_same_time() -> None:
    job = say_and_wait_in_the_lock
    with interpreter_pool.LOCK, two_pipes() as pipes, Pool(2) as pool:
        jobs = [pool.submit(job, *ends) for ends in pipes]
        assert [one.result(timeout=60) for one in jobs] == [b"x", b"x"]


def run(path: Path, source: str) -> subprocess.CompletedProcess[str]:
    """Run a script, in a file since an interpreter runs it again."""
    path.write_text(source, encoding="utf-8")
    return subprocess.run(
        [sys.executable, path],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


SCRIPT = """
from concurrent.futures import InterpreterPoolExecutor
THREE = 3
def job(n):
    return n * THREE
"""


@needs_interpreters
def test_a_job_of_a_script_is_found_by_running_the_script_again(
    tmp_path: Path,
) -> None:
    use = (
        "print('runs')\n"
        "def main():\n"
        "    with InterpreterPoolExecutor(1) as pool:\n"
        "        print(list(pool.map(job, [1, 2])))\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
    )
    ended = run(tmp_path / "script.py", SCRIPT + use)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "runs\nruns\n[3, 6]\n"


@needs_interpreters
def test_without_the_guard_a_job_of_a_script_is_not_shareable(
    tmp_path: Path,
) -> None:
    use = (
        "with InterpreterPoolExecutor(1) as pool:\n"
        "    list(pool.map(job, [1, 2]))\n"
    )
    ended = run(tmp_path / "script.py", SCRIPT + use)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "concurrent.interpreters.NotShareableError: args not shareable"
    )


@needs_interpreters
def test_a_crash_in_one_interpreter_ends_the_process(tmp_path: Path) -> None:
    use = (
        "import os\n"
        "with InterpreterPoolExecutor(1) as pool:\n"
        "    pool.submit(os.abort).result()\n"
    )
    ended = run(tmp_path / "script.py", SCRIPT + use)
    assert ended.returncode not in (0, 1)


@posix
@needs_interpreters
def test_ctrl_c_leaves_when_the_jobs_that_run_have_ended() -> None:
    source = (
        "import os, signal, sys, time\n"
        "from concurrent.futures import InterpreterPoolExecutor\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with InterpreterPoolExecutor(1) as pool:\n"
        "    job = pool.submit(os.read, 0, 1)\n"
        "    try:\n"
        "        os.write(1, b'ready\\n')\n"
        "        job.result()\n"
        "    except KeyboardInterrupt:\n"
        "        os.write(1, b'interrupted\\n')\n"
        "        raise\n"
        "    finally:\n"
        "        print('job done:', job.done(), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdin
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            process.send_signal(2)
            assert process.stdout.readline() == "interrupted\n"
            assert process.stdout.readline() == "job done: False\n"
            assert process.poll() is None
            process.stdin.write("x")
            process.stdin.close()
            assert process.wait(timeout=60) == -2
        finally:
            process.kill()


@needs_interpreters
def test_an_interpreter_driven_by_hand_runs_text_and_calls_functions() -> None:
    from concurrent import interpreters  # type: ignore[attr-defined]

    interpreter = interpreters.create()
    try:
        interpreter.exec("answer = 6 * 7")
        assert interpreter.call(math.sqrt, 9) == 3.0
        thread = interpreter.call_in_thread(math.sqrt, 9)
        assert isinstance(thread, threading.Thread)
        thread.join()
        assert not hasattr(sys.modules["__main__"], "answer")
    finally:
        interpreter.close()


@needs_interpreters
def test_a_job_changes_a_copy_of_the_list_that_it_is_given() -> None:
    mine = [1]
    with Pool(1) as pool:
        pool.submit(list.append, mine, 2).result(timeout=60)
    assert mine == [1]
