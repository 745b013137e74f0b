"""What the recipe says of failures that nobody waits for, shown to be so."""

import inspect
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from cookbook import forms
from cookbook.threads import background_exceptions
from cookbook.threads.background_exceptions import (
    Job,
    broken_run_all,
    run_all,
    start_reported,
    threads_reported,
)


def run(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a bare interpreter."""
    return subprocess.run(
        [sys.executable, "-I", *options, "-c", program],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


def fail(text: str = "lost") -> None:
    raise LookupError(text)


def test_run_all_runs_every_job_and_returns_nothing_if_none_fails() -> None:
    done: list[int] = []
    run_all((partial(done.append, n) for n in range(5)), workers=2)
    assert sorted(done) == [0, 1, 2, 3, 4]
    run_all([])


def test_run_all_has_four_workers_unless_told_otherwise() -> None:
    meeting = threading.Barrier(4, timeout=10)
    run_all([meeting.wait] * 4)
    meeting = threading.Barrier(4, timeout=0.1)
    with pytest.raises(ExceptionGroup) as caught:
        run_all([meeting.wait] * 4, workers=3)
    assert len(caught.value.exceptions) == 4


def test_run_all_raises_the_error_of_each_job_that_failed() -> None:
    both_run = threading.Barrier(2, timeout=10)

    def meet_and_fail(text: str) -> None:
        both_run.wait()
        fail(text)

    with pytest.raises(ExceptionGroup, match=r"^jobs failed$") as caught:
        run_all([partial(meet_and_fail, "a"), partial(meet_and_fail, "b")])
    errors = caught.value.exceptions
    assert [type(one) for one in errors] == [LookupError] * 2
    assert [str(one) for one in errors] == ["a", "b"]


def test_an_error_that_is_false_as_a_bool_is_an_error_all_the_same() -> None:
    class Empty(Exception):  # noqa: N818
        def __bool__(self) -> bool:
            return False

    def job() -> None:
        raise Empty

    with pytest.raises(ExceptionGroup, match=r"^jobs failed$"):
        run_all([job])
    reported: list[BaseException | None] = []
    with ThreadPoolExecutor(1) as pool:
        start_reported(pool, job, reported.append)
    assert [type(one) for one in reported] == [Empty]


class TellingPool(ThreadPoolExecutor):
    """A pool that tells the running jobs when it is shut down."""

    told: threading.Event

    def shutdown(
        self, wait: bool = True, *, cancel_futures: bool = False
    ) -> None:
        """Cancel first, then tell, then wait."""
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        self.told.set()
        super().shutdown(wait=wait)


@pytest.fixture
def shut_down(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return an event that is set when the recipe's pool is shut down."""
    told = threading.Event()
    pool = type("Pool", (TellingPool,), {"told": told})
    monkeypatch.setattr(background_exceptions, "ThreadPoolExecutor", pool)
    return told


def test_after_a_failure_jobs_that_run_are_waited_for_and_others_cancelled(
    shut_down: threading.Event,
) -> None:
    began: list[int] = []
    ended: list[int] = []

    def slow(number: int) -> None:
        began.append(number)
        assert shut_down.wait(timeout=10)
        ended.append(number)

    jobs: list[Job] = [partial(slow, 0), fail]
    with pytest.raises(ExceptionGroup) as caught:
        run_all(jobs + [partial(slow, n) for n in range(1, 9)], workers=2)
    assert [str(one) for one in caught.value.exceptions] == ["lost"]
    # The worker of the failed job may have been quicker than the shutdown.
    assert sorted(began) in ([0], [0, 1])
    assert sorted(ended) == sorted(began)


@pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="only Unix has pthread_kill"
)
def test_ctrl_c_cancels_waits_and_is_raised_instead_of_the_jobs_errors(
    shut_down: threading.Event,
) -> None:
    main = threading.main_thread().ident or 0
    began: list[int] = []
    steps: list[str] = []

    def handler(*_: object) -> None:
        if not steps:
            steps.append("pressed")
            raise KeyboardInterrupt

    def slow() -> None:
        assert all_taken.wait(timeout=10)
        # A signal just before the wait is seen at the next one.
        while not steps:
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.02)
        assert shut_down.wait(timeout=10)
        steps.append("ended")
        raise LookupError

    def jobs() -> Iterator[Job]:
        yield slow
        for number in range(5):
            yield partial(began.append, number)
        all_taken.set()

    all_taken = threading.Event()
    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_all(jobs(), workers=1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert steps == ["pressed", "ended"]
    assert not began


def test_an_error_while_the_jobs_are_taken_ends_the_pool() -> None:
    def jobs() -> Iterator[Job]:
        yield lambda: None
        raise LookupError("no more jobs")

    with pytest.raises(LookupError, match=r"^no more jobs$"):
        run_all(jobs())


def test_run_all_refuses_less_than_one_worker_before_it_takes_a_job() -> None:
    jobs = iter([fail])
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        run_all(jobs, workers=0)
    assert list(jobs) == [fail]


def test_a_job_that_calls_sys_exit_makes_a_base_exception_group() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        run_all([partial(sys.exit, 3)])
    assert not isinstance(caught.value, ExceptionGroup)
    assert [type(one) for one in caught.value.exceptions] == [SystemExit]


def test_each_background_error_is_reported_in_the_thread_of_its_job() -> None:
    reported: list[tuple[str, int]] = []
    threads: list[int] = []
    go_on = threading.Event()

    def report(error: BaseException | None) -> None:
        reported.append((str(error), threading.get_ident()))

    def job(text: str) -> None:
        threads.append(threading.get_ident())
        assert go_on.wait(timeout=10)
        fail(text)

    with ThreadPoolExecutor(1) as pool:
        for text in "ab":
            start_reported(pool, partial(job, text), report)
            start_reported(pool, list, report)
        go_on.set()
    assert reported == list(zip("ab", threads, strict=True))


def test_an_error_before_the_callback_is_added_is_reported_at_once() -> None:
    reported: list[int] = []

    class AtOnce(ThreadPoolExecutor):
        def submit(self, *args, **kwargs):  # type: ignore[no-untyped-def] # noqa: ANN002, ANN003, ANN202
            future = super().submit(*args, **kwargs)
            future.exception()
            return future

    with AtOnce(1) as pool:
        start_reported(
            pool, fail, lambda _: reported.append(threading.get_ident())
        )
        assert reported == [threading.get_ident()]


def test_a_job_that_is_cancelled_is_not_reported_as_an_error() -> None:
    reported: list[BaseException | None] = []
    began, go_on = threading.Event(), threading.Event()

    def job() -> None:
        began.set()
        go_on.wait(timeout=10)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(job)
        assert began.wait(timeout=10)
        start_reported(pool, fail, reported.append)
        pool.shutdown(wait=False, cancel_futures=True)
        go_on.set()
    assert reported == []


@pytest.mark.parametrize("where", ["pool", "thread"])
def test_an_error_is_logged_with_its_traceback_if_nothing_else_is_said(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    if where == "pool":
        with ThreadPoolExecutor(1) as pool:
            start_reported(pool, fail)
    else:
        with threads_reported():
            thread = threading.Thread(target=fail)
            thread.start()
            thread.join()
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "background job failed"
    assert caplog.text.endswith("LookupError: lost\n")
    assert "in fail\n" in caplog.text


def test_a_log_that_nobody_has_set_up_prints_the_error_on_stderr() -> None:
    source = background_exceptions.__file__
    program = f"""
import runpy
names = runpy.run_path({source!r})
with names["ThreadPoolExecutor"]() as pool:
    names["start_reported"](pool, lambda: 1 // 0)
"""
    ended = run(program)
    assert ended.stderr.startswith("background job failed\nTraceback ")
    assert "ZeroDivisionError: " in ended.stderr


def test_the_hook_is_told_of_plain_threads_and_put_back_after_the_block() -> (
    None
):
    before = threading.excepthook
    reported: list[str] = []

    def report(error: BaseException | None) -> None:
        reported.append(f"{type(error).__name__}: {error}")

    def in_a_block() -> None:
        with threads_reported(report):
            for job in fail, partial(sys.exit, 3):
                thread = threading.Thread(target=job)
                thread.start()
                thread.join()
            raise KeyError

    with pytest.raises(KeyError):
        in_a_block()
    assert reported == ["LookupError: lost", "SystemExit: 3"]
    assert threading.excepthook is before


def test_the_hook_of_threads_does_not_see_the_errors_of_a_pool() -> None:
    reported: list[BaseException | None] = []
    with threads_reported(reported.append), ThreadPoolExecutor(1) as pool:
        future = pool.submit(fail)
    assert isinstance(future.exception(), LookupError)
    assert reported == []


def test_an_error_in_a_callback_is_logged_by_the_pool_and_goes_no_further(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def report(error: BaseException | None) -> None:
        raise ValueError from error

    saved: list[int] = []
    go_on = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(go_on.wait, 10)
        start_reported(pool, fail, report)
        start_reported(pool, partial(saved.append, 1))
        go_on.set()
    [record] = caplog.records
    assert record.name == "concurrent.futures"
    assert record.getMessage().startswith("exception calling callback for ")
    assert saved == [1]


def test_broken_run_all_raises_nothing_and_goes_on_after_a_failure(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    saved: list[int] = []
    broken_run_all([fail, partial(saved.append, 1)], workers=1)
    assert saved == [1]
    assert not caplog.records
    assert capsys.readouterr() == ("", "")


def test_a_map_whose_results_are_not_read_swallows_the_errors() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.map(fail, ["lost"])


def test_not_even_development_mode_warns_of_an_error_nobody_asks_for() -> None:
    source = inspect.getsource(background_exceptions)
    program = forms.program(source, "broken_main")
    ended = run(program, "-X", "dev", "-W", "error")
    assert ended.stdout == "no error, rows saved: [1, 3]\n"
    assert ended.stderr == ""
    assert ended.returncode == 0


def test_asyncio_does_warn_of_an_error_that_was_never_retrieved() -> None:
    program = """
import asyncio
async def fail():
    raise LookupError
async def main():
    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
asyncio.run(main())
"""
    assert "exception was never retrieved" in run(program).stderr
