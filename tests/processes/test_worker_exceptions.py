"""What the recipe says of exceptions in workers, shown to be so."""

import multiprocessing
import multiprocessing.pool
import operator
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from cookbook.processes import worker_exceptions
from cookbook.processes.worker_exceptions import (
    BrokenPayError,
    PayError,
    broken_pay,
    call,
    map_keeping_errors,
    pay,
)
from tests.calls import Call

METHODS = multiprocessing.get_all_start_methods()
ROOT = Path(worker_exceptions.__file__).parents[2]
MaybeEncodingError: type[Exception] = vars(multiprocessing.pool)[
    "MaybeEncodingError"
]
TOO_FEW = (
    "TypeError: BrokenPayError.__init__() missing 1 required positional"
    " argument: 'balance'"
)

every_method = pytest.mark.parametrize("method", METHODS)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


class TextError(Exception):
    """Makes its text from its one argument."""

    def __init__(self, n: object) -> None:
        super().__init__(f"{n} is bad")


@every_method
def test_an_error_takes_its_own_place_and_costs_no_other_answer(
    method: str,
) -> None:
    answers = map_keeping_errors(
        pay, [500, 30, 101, 100], context=multiprocessing.get_context(method)
    )
    assert [repr(one) for one in answers] == [
        "PayError(500, 100)",
        "70",
        "PayError(101, 100)",
        "0",
    ]


def test_an_error_that_cannot_be_unpickled_comes_as_its_text() -> None:
    answers = map_keeping_errors(broken_pay, [500, 30])
    text = "BrokenPayError: 500 is more than 100"
    assert repr(answers) == f"[RuntimeError({text!r}), 70]"
    assert isinstance(answers[0], RuntimeError)
    where = str(answers[0].__cause__)
    assert ", in broken_pay\n" in where
    assert "The above exception was the direct cause of" in where


def test_an_error_that_cannot_be_pickled_comes_as_its_text() -> None:
    key: Any = Call(memoryview, b"x")
    [answer] = map_keeping_errors({}.__getitem__, [key])
    assert type(answer) is RuntimeError
    assert re.fullmatch(r"KeyError: <memory at 0x\w+>", str(answer))


def test_an_error_that_can_cross_is_raised_as_it_is() -> None:
    with pytest.raises(PayError) as caught:
        call(pay, 500)
    assert caught.value.args == (500, 100)
    assert caught.value.__cause__ is None


def test_the_text_of_an_error_is_made_where_it_was_caught() -> None:
    with pytest.raises(RuntimeError) as caught:
        call(broken_pay, 500)
    assert isinstance(caught.value.__cause__, BrokenPayError)


def test_an_exit_of_the_job_is_an_error_among_the_others() -> None:
    answers = map_keeping_errors(sys.exit, [5, 6], workers=1)
    assert repr(answers) == "[SystemExit(5), SystemExit(6)]"


def test_the_traceback_of_the_worker_is_the_text_of_the_cause() -> None:
    [error] = map_keeping_errors(pay, [500])
    assert isinstance(error, PayError)
    assert 'worker_exceptions.py", line ' in str(error.__cause__)
    assert ", in pay\n" in str(error.__cause__)
    shown = "".join(traceback.format_exception(error))
    assert shown.startswith("concurrent.futures.process._RemoteTraceback: \n")
    assert (
        "\nThe above exception was the direct cause of the following"
        " exception:\n"
    ) in shown


def test_a_pickled_exception_has_no_traceback() -> None:
    with pytest.raises(PayError) as caught:
        pay(500)
    assert caught.value.__traceback__
    assert pickle.loads(pickle.dumps(caught.value)).__traceback__ is None


def test_a_pool_has_a_remote_traceback_of_its_own() -> None:
    with (
        multiprocessing.get_context("spawn").Pool(1) as pool,
        pytest.raises(PayError) as caught,
    ):
        pool.apply(pay, [500])
    cause = caught.value.__cause__
    assert type(cause).__name__ == "RemoteTraceback"
    assert type(cause).__module__ == "multiprocessing.pool"
    assert ", in pay\n" in str(cause)


@posix
@every_method
def test_an_error_that_cannot_be_unpickled_breaks_an_executor(
    method: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        before = executor.submit(Path.read_text, gate)
        futures = [executor.submit(broken_pay, n) for n in (500, 30)]
        gate.write_text("go")  # waits for the reader
    assert before.result() == "go"
    for future in futures:
        error = future.exception()
        assert isinstance(error, BrokenProcessPool)
        assert TOO_FEW in str(error.__cause__)


IN_A_POOL = """
import multiprocessing, sys
from cookbook.processes.worker_exceptions import broken_pay, pay

if __name__ == "__main__":
    pool = multiprocessing.get_context(sys.argv[1]).Pool(1)
    results = [pool.apply_async(broken_pay, [500])]
    pool._result_handler.join(30)
    results.append(pool.apply_async(broken_pay, [30]))
    print([result.wait(0.2) for result in results])
    print([result.ready() for result in results])
    try:
        pool.terminate()
    except AssertionError as error:
        print(error)
    [worker] = pool._pool
    worker.kill()
    worker.join()
"""


@every_method
def test_an_error_that_cannot_be_unpickled_lets_a_pool_wait_for_ever(
    method: str, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(IN_A_POOL, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), method],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        timeout=60,
    )
    *waits, error = ended.stdout.splitlines()
    assert waits == ["[None, None]", "[False, False]"]
    # some releases misspell it
    assert re.fullmatch(
        r"Cannot have cache with result_handl?er not alive", error
    )
    assert "(_handle_results):\n" in ended.stderr
    assert ended.stderr.endswith(f"{TOO_FEW}\n")


def test_pickle_tells_of_the_trap_without_a_process() -> None:
    with pytest.raises(TypeError) as caught:
        pickle.loads(pickle.dumps(BrokenPayError(500, 100)))
    assert f"TypeError: {caught.value}" == TOO_FEW


def test_what_goes_to_super_is_unpickled_though_it_was_given_by_keyword() -> (
    None
):
    error = PayError(amount=500, balance=100)
    assert repr(pickle.loads(pickle.dumps(error))) == "PayError(500, 100)"


def test_an_init_of_one_argument_makes_the_text_of_the_text() -> None:
    error = pickle.loads(pickle.dumps(TextError(7)))
    assert str(error) == "7 is bad is bad"


def test_a_pool_that_cannot_send_an_answer_raises_maybe_encoding_error() -> (
    None
):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        with pytest.raises(MaybeEncodingError) as caught:
            pool.apply(threading.Lock)
        assert re.fullmatch(
            r"Error sending result: '<unlocked _thread.lock object at 0x\w+>'"
            r"\. Reason: 'TypeError\(.cannot pickle '_thread.lock' object.\)'",
            str(caught.value),
        )
        with pytest.raises(MaybeEncodingError, match="ExceptionWithTraceback"):
            pool.apply(operator.getitem, ({}, Call(memoryview, b"x")))
        assert pool.apply(pay, [30]) == 70


def test_an_executor_that_cannot_send_an_answer_raises_the_type_error() -> (
    None
):
    answers = map_keeping_errors(operator.call, [threading.Lock, int])
    text = "cannot pickle '_thread.lock' object"
    assert repr(answers) == f"[{TypeError(text)!r}, 0]"


def test_an_error_of_apply_async_is_told_by_get_or_by_its_callback_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    told: list[BaseException] = []
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        result = pool.apply_async(pay, [500])
        other = pool.apply_async(pay, [501], error_callback=told.append)
        pool.close()
        pool.join()
    assert capfd.readouterr() == ("", "")
    with pytest.raises(PayError, match=r"^500 is more"):
        result.get()
    assert repr(told) == "[PayError(501, 100)]"
    assert not other.successful()


@posix
def test_an_exit_in_a_pool_ends_the_worker_and_its_job_has_no_answer() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        first_worker = pool.apply(os.getpid)
        job = pool.apply_async(sys.exit)
        # A pool of one worker answers in turn: this comes after that job.
        assert pool.apply(os.getpid) != first_worker
        assert not job.ready()


# The server of forkserver writes where it did when it was started.
@pytest.mark.parametrize("method", [m for m in METHODS if m != "forkserver"])
def test_a_process_prints_its_traceback_and_its_parent_sees_exit_code_1(
    method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=pay, args=(500,))
    process.start()
    process.join()
    assert process.exitcode == 1
    err = capfd.readouterr().err
    assert ", in pay\n" in err
    assert err.endswith("PayError: 500 is more than 100\n")


@posix
def test_after_a_kill_the_answers_that_were_there_stay(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    def jobs() -> Iterator[Callable[[], object]]:
        yield partial(Path.read_text, gate)
        yield partial(signal.raise_signal, signal.SIGKILL)
        yield partial(pay, 30)
        gate.write_text("all are handed out")  # waits for the reader

    first, *others = map_keeping_errors(operator.call, jobs(), workers=1)
    assert first == "all are handed out"
    assert [type(one) for one in others] == [BrokenProcessPool] * 2


@posix
def test_a_kill_while_jobs_are_handed_out_is_raised() -> None:
    def jobs() -> Iterator[Callable[[], object]]:
        yield partial(signal.raise_signal, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while any(
            type(one).__name__ == "_ExecutorManagerThread"
            for one in threading.enumerate()
        ):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield partial(pay, 30)

    with pytest.raises(BrokenProcessPool, match="not usable anymore"):
        map_keeping_errors(operator.call, jobs())


@pytest.mark.parametrize("workers", [0, -1])
def test_too_few_workers_are_refused_before_a_process_is_started(
    workers: int,
) -> None:
    starts_nothing: Any = object()
    with pytest.raises(ValueError, match=f"at least 1, not {workers}$"):
        map_keeping_errors(pay, [30], workers=workers, context=starts_nothing)


def test_an_error_of_the_items_is_raised_and_leaves_no_process() -> None:
    def amounts() -> Iterator[int]:
        yield 30
        raise OSError("no more")

    with pytest.raises(OSError, match=r"^no more$"):
        map_keeping_errors(pay, amounts())
    assert multiprocessing.active_children() == []


def test_every_job_runs_in_one_of_the_workers() -> None:
    pids = map_keeping_errors(operator.call, [os.getpid] * 4, workers=1)
    assert len(set(pids)) == 1
    assert os.getpid() not in pids


@pytest.mark.parametrize("method", [None, *METHODS])
def test_workers_are_started_by_the_context_or_the_default(
    method: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    start = BaseProcess.start

    def note(process: BaseProcess) -> None:
        started.append(type(process))
        start(process)

    monkeypatch.setattr(BaseProcess, "start", note)
    context: Any = multiprocessing.get_context(method)
    given = {} if method is None else {"context": context}
    assert map_keeping_errors(pay, [30], workers=1, **given) == [70]
    assert started == [context.Process]
