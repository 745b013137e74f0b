"""What the recipe says of progress, shown to be so."""

import io
import multiprocessing
import operator
import os
import re
import signal
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from cookbook.processes import progress_bar
from cookbook.processes.progress_bar import (
    JOBS,
    broken_map_with_progress,
    job,
    map_with_progress,
    show_bar,
)

METHODS = multiprocessing.get_all_start_methods()

every_method = pytest.mark.parametrize("method", METHODS)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@posix
@every_method
def test_the_bar_moves_while_the_first_job_still_runs(
    method: str, tmp_path: Path
) -> None:
    gate, shown = tmp_path / "gate", []
    os.mkfifo(gate)

    def show(done: int, total: int) -> None:
        shown.append((done, total))
        if done == total - 1:
            gate.write_text("first")  # waits for the first job to read it

    call: Any = operator.call
    results: list[Any] = map_with_progress(
        call,
        [partial(Path.read_text, gate), *(partial(abs, n) for n in (1, 2))],
        show,
        context=multiprocessing.get_context(method),
    )
    assert shown == [(1, 3), (2, 3), (3, 3)]
    assert results == ["first", 1, 2]


@every_method
def test_map_shows_nothing_until_the_slow_first_job_is_done(
    method: str, tmp_path: Path
) -> None:
    shown = []

    def show(done: int, total: int) -> None:
        shown.append((done, total, len(list(tmp_path.iterdir()))))

    results = broken_map_with_progress(
        partial(job, tmp_path),
        range(JOBS),
        show,
        context=multiprocessing.get_context(method),
    )
    assert results == [0, 1, 2, 3]
    assert shown == [(1, 4, 4), (2, 4, 4), (3, 4, 4), (4, 4, 4)]


def never(done: int, total: int) -> None:
    """Fail when anything is shown."""
    pytest.fail(f"shown: {done}/{total}")


def test_no_items_give_no_results_and_no_bar() -> None:
    assert map_with_progress(abs, [], never) == []


def test_as_many_workers_as_asked_for_start_as_asked_for() -> None:
    context = multiprocessing.get_context("spawn")
    with patch.object(
        progress_bar, "ProcessPoolExecutor", wraps=ProcessPoolExecutor
    ) as executor:
        assert map_with_progress(
            abs, iter([-1]), print, workers=1, context=context
        ) == [1]
    assert executor.call_args.args == (1, context)


def test_less_than_one_worker_is_refused_and_nothing_shown() -> None:
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        map_with_progress(abs, [1], never, workers=0)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(
    ("stream", "end"), [(Terminal(), "\r"), (io.StringIO(), "\n")]
)
def test_a_bar_is_drawn_over_the_last_one_in_a_terminal_alone(
    stream: io.StringIO, end: str
) -> None:
    with patch("sys.stdout", stream):
        show_bar(0, 2)
        show_bar(1, 2)
        show_bar(2, 2)
    half, full = 10 * "#", 20 * "#"
    assert stream.getvalue() == (
        f"[{20 * '.'}] 0/2{end}[{half}{10 * '.'}] 1/2{end}[{full}] 2/2\n"
    )


def test_a_bar_is_not_kept_back_in_a_buffer() -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written)
    with patch("sys.stdout", stream):
        show_bar(1, 2)
    assert b"1/2" in written.getvalue()


@posix
def test_an_error_is_raised_while_an_earlier_job_still_runs(
    tmp_path: Path,
) -> None:
    gates, made = [tmp_path / "a", tmp_path / "b"], tmp_path / "made"
    for gate in gates:
        os.mkfifo(gate)
    made.mkdir()
    kept = []  # else the executor may be gone before it cancels

    class Opening(ProcessPoolExecutor):
        def shutdown(
            self, wait: bool = True, *, cancel_futures: bool = False
        ) -> None:
            del wait
            if self not in kept:
                kept.append(self)
                super().shutdown(wait=False, cancel_futures=cancel_futures)
                for gate in gates:
                    gate.write_text("go")  # waits for the job that reads it

    jobs: list[Any] = [
        partial(Path.read_text, gates[0]),
        partial(int, "eight"),
        partial(Path.read_text, gates[1]),
        *(partial(os.mkdir, made / str(n)) for n in range(15)),
    ]
    call: Any = operator.call
    with (
        patch.object(progress_bar, "ProcessPoolExecutor", Opening),
        pytest.raises(ValueError, match="invalid literal"),
    ):
        map_with_progress(call, jobs, print, workers=2)
    for worker in multiprocessing.active_children():
        worker.join(timeout=60)
    assert len(list(made.iterdir())) <= 3


@posix
def test_a_killed_worker_is_reported_and_leaves_no_process() -> None:
    with pytest.raises(BrokenProcessPool):
        map_with_progress(signal.raise_signal, [signal.SIGKILL], workers=1)
    assert multiprocessing.active_children() == []


def test_imap_unordered_gives_a_result_while_the_first_job_runs(
    tmp_path: Path,
) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.imap_unordered(partial(job, tmp_path), range(JOBS))
        assert next(results) == 1
        assert sorted(results) == [0, 2, 3]


@posix
def test_the_result_of_a_killed_worker_never_comes_from_imap_unordered() -> (
    None
):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        kill = signal.raise_signal
        results = pool.imap_unordered(kill, [signal.SIGKILL])
        # A pool of one worker answers in turn: this comes after that job.
        assert pool.apply(abs, [-1]) == 1
        with pytest.raises(multiprocessing.TimeoutError):
            results.next(timeout=0)


def test_callbacks_run_in_a_thread_of_the_pool() -> None:
    threads = []

    def note(_: object) -> None:
        threads.append(threading.current_thread())

    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        pool.apply_async(abs, [-1], callback=note).get(timeout=60)
    with ProcessPoolExecutor(1, context) as executor:
        executor.submit(abs, -1).add_done_callback(note)
    assert len(threads) == 2
    assert threading.main_thread() not in threads


@pytest.mark.parametrize(
    ("package", "name"), [("tqdm", "tqdm"), ("rich.progress", "track")]
)
def test_with_tqdm_or_rich_it_is_the_line_that_the_page_says(
    package: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = pytest.importorskip(package, reason=f"{package} is missing")
    if package == "tqdm":  # it would start a thread that stays
        monkeypatch.setattr(module.tqdm, "monitor_interval", 0)
    page = " ".join((progress_bar.__doc__ or "").split())
    lines = re.findall(rf"``(for future in {name}\(.*?:)``", page)
    assert len(lines) == 1
    done: list[Future[int]] = []
    space = {
        name: getattr(module, name),
        "as_completed": as_completed,
        "done": done,
    }
    with ProcessPoolExecutor(1) as executor:
        futures: Iterable[Future[int]] = [
            executor.submit(abs, -n) for n in range(3)
        ]
        exec(f"{lines[0]} done.append(future)", {**space, "futures": futures})
    assert sorted(future.result() for future in done) == [0, 1, 2]
