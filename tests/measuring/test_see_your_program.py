"""What the recipe says of timelines, shown to be so."""

import asyncio
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cookbook.measuring import see_your_program
from cookbook.measuring.see_your_program import (
    Lane,
    Span,
    Timeline,
    broken_record,
    check,
    draw,
    record,
    trace,
)
from cookbook.primes import is_prime
from tests.calls import Call

METHODS = multiprocessing.get_all_start_methods()
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
# A number that kills the process that compares it.
KILLER = """type("Killer", (int,), {
    "__lt__": lambda *_: __import__("signal").raise_signal(9)
})(7)"""
BUSY = """
import threading

def compute():
    n = 0
    while not done.is_set():
        n += 1

done = threading.Event()
threads = [threading.Thread(target=compute, name=n) for n in ("one", "two")]
for thread in threads:
    thread.start()
threading.Timer(1.5, done.set).start()  # long enough for the samples
for thread in threads:
    thread.join()
"""

every_method = pytest.mark.parametrize("method", METHODS)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


@pytest.fixture
def timeline(tmp_path: Path) -> Timeline:
    folder = tmp_path / "notes"
    folder.mkdir()
    return Timeline(folder)


def at_once(spans: Sequence[Span]) -> int:
    """Return how many spans contain the same moment, at most."""
    return max(
        sum(one.begin <= other.begin < one.end for one in spans)
        for other in spans
    )


def written(path: Path) -> list[str]:
    """Return the names of the jobs in a file."""
    events = json.loads(path.read_text())["traceEvents"]
    return [event["name"] for event in events if event["ph"] == "X"]


@every_method
def test_jobs_of_a_worker_have_its_lane_and_lie_within_what_waits_for_them(
    method: str, timeline: Timeline
) -> None:
    context = multiprocessing.get_context(method)
    with (
        timeline.job("wait"),
        ProcessPoolExecutor(1, mp_context=context) as executor,
    ):
        pid = executor.submit(os.getpid).result()
        answers = [*executor.map(partial(check, timeline), (7, 8))]
    assert answers == [True, False]
    wait, *jobs = timeline.spans()
    assert [span.job for span in jobs] == ["7", "8"]
    assert len({span.lane for span in jobs}) == 1
    assert jobs[0].lane.pid == pid != wait.lane.pid == os.getpid()
    assert jobs[0].lane.process != wait.lane.process == "MainProcess"
    times = [t for span in jobs for t in (span.begin, span.end)]
    assert times == sorted(times)
    assert wait.begin < times[0] < times[-1] < wait.end
    assert len(list(timeline.folder.iterdir())) == 2


def test_jobs_of_two_threads_that_meet_overlap_in_two_lanes(
    timeline: Timeline,
) -> None:
    meeting = threading.Barrier(2, timeout=20)

    def job(name: str) -> None:
        with timeline.job(name):
            meeting.wait()

    with ThreadPoolExecutor(2, thread_name_prefix="pool") as executor:
        list(executor.map(job, "ab"))
    spans = timeline.spans()
    assert at_once(spans) == 2
    assert {span.lane.name for span in spans} == {"pool_0", "pool_1"}


def test_each_task_has_a_lane_even_if_two_have_the_same_name(
    timeline: Timeline,
) -> None:
    async def job() -> None:
        with timeline.job("job"):
            await asyncio.sleep(0)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(job(), name="same")

    asyncio.run(main())
    spans = timeline.spans()
    assert at_once(spans) == 2
    assert [span.lane.name for span in spans] == ["same", "same"]
    assert len({span.lane for span in spans}) == 2


def test_where_no_task_runs_the_lane_is_that_of_the_thread(
    timeline: Timeline,
) -> None:
    def job(name: str) -> None:
        with timeline.job(name):
            pass

    async def main() -> None:
        called = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.call_soon(job, "callback")
        loop.call_soon(called.set)
        await called.wait()
        await asyncio.to_thread(job, "to_thread")

    asyncio.run(main())
    job("plain")
    lanes = {span.job: span.lane for span in timeline.spans()}
    here = threading.current_thread()
    assert lanes["callback"] == lanes["plain"]
    assert lanes["plain"][2:] == (here.name, here.ident)
    assert lanes["to_thread"].name == "asyncio_0"


def test_threads_that_note_at_once_have_a_file_each_and_lose_nothing(
    timeline: Timeline,
) -> None:
    meeting = threading.Barrier(8, timeout=20)

    def job(name: str) -> None:
        meeting.wait()
        for n in range(50):
            with timeline.job(f"{name}{n}"):
                pass

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(job, "abcdefgh"))
    names = {f"{name}{n}" for name in "abcdefgh" for n in range(50)}
    assert {span.job for span in timeline.spans()} == names
    assert len(list(timeline.folder.iterdir())) == 8


def test_broken_record_shows_jobs_at_once_that_a_thread_did_one_by_one(
    timeline: Timeline,
) -> None:
    all_there = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(all_there.wait, 20)
        wrong = broken_record(executor, partial(check, timeline), (7, 8, 9))
        all_there.set()
    right = timeline.spans()
    assert (at_once(wrong), at_once(right)) == (3, 1)
    assert [span.job for span in wrong] == [span.job for span in right]
    assert len({span.lane for span in wrong}) == 3
    assert len({span.lane for span in right}) == 1


@posix
@every_method
def test_broken_record_shows_jobs_at_once_that_a_worker_did_one_by_one(
    method: str, timeline: Timeline, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        executor.submit(Path.read_text, gate)
        wrong = broken_record(executor, partial(check, timeline), (7, 8, 9))
        gate.write_text("go")
    right = timeline.spans()
    assert (at_once(wrong), at_once(right)) == (3, 1)
    assert {span.lane.pid for span in wrong} == {os.getpid()}
    assert os.getpid() not in {span.lane.pid for span in right}


@posix
@every_method
def test_in_the_trap_a_job_that_waits_for_its_turn_contains_the_one_before(
    method: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        executor.submit(Path.read_text, gate)
        spans = broken_record(executor, is_prime, (7, 8, 9))
        gate.write_text("go")
    for one, following in pairwise(spans):
        assert one.begin < following.begin < one.end <= following.end


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyboardInterrupt("no"), SystemExit("no")]
)
def test_a_job_that_raises_is_a_span_and_its_error_goes_on(
    error: BaseException, timeline: Timeline
) -> None:
    with pytest.raises(type(error)) as caught, timeline.job("bad"):
        raise error
    assert caught.value is error
    assert [span.job for span in timeline.spans()] == ["bad"]


def test_an_error_of_a_worker_is_raised_and_its_job_is_in_the_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "trace.json"
    numbers: list[Any] = [7, "eight"]
    context = multiprocessing.get_context("spawn")
    with (
        pytest.raises(TypeError, match=r"^n must be an int, not 'eight'$"),
        record(path) as timeline,
        ProcessPoolExecutor(1, mp_context=context) as executor,
    ):
        list(executor.map(partial(check, timeline), numbers))
    assert written(path) == ["7", "eight"]


@posix
def test_ctrl_c_in_the_block_writes_the_file_and_removes_the_folder(
    tmp_path: Path,
) -> None:
    path = tmp_path / "trace.json"
    folders = []

    def work() -> None:
        with record(path) as timeline:
            folders.append(timeline.folder)
            with timeline.job("first"):
                pass
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert written(path) == ["first"]
    assert [folder.exists() for folder in folders] == [False]


def test_the_span_of_a_cancelled_task_ends_where_it_is_cancelled(
    timeline: Timeline,
) -> None:
    async def job() -> None:
        with timeline.job("cancelled"):
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(job())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with timeline.job("later"):
            pass

    asyncio.run(main())
    cancelled, later = timeline.spans()
    assert (cancelled.job, later.job) == ("cancelled", "later")
    assert cancelled.end < later.begin


@posix
@every_method
def test_of_a_killed_worker_the_jobs_that_it_had_ended_are_in_the_file(
    method: str, tmp_path: Path
) -> None:
    path = tmp_path / "trace.json"
    killer: Any = Call(eval, KILLER)
    context = multiprocessing.get_context(method)
    with (
        record(path) as timeline,
        ProcessPoolExecutor(1, mp_context=context) as executor,
        pytest.raises(BrokenProcessPool),
    ):
        list(executor.map(partial(check, timeline), [7, killer]))
    assert written(path) == ["7"]


@pytest.mark.parametrize("name", [7, None, b"job"])
def test_a_name_that_is_no_str_is_refused_before_the_job_begins(
    name: object, timeline: Timeline
) -> None:
    text = f"name must be a str, not {name!r}"
    begun = []
    with pytest.raises(TypeError) as caught, timeline.job(cast("Any", name)):
        begun.append(name)
    assert str(caught.value) == text
    assert (begun, timeline.spans()) == ([], [])


def test_a_file_that_cannot_be_written_is_refused_before_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    begun = []
    with (
        pytest.raises(FileNotFoundError),
        record(tmp_path / "no" / "trace.json"),
    ):
        begun.append("block")
    assert begun == []
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_ends_after_the_block_has_no_place_for_its_note(
    tmp_path: Path,
) -> None:
    with record(tmp_path / "trace.json") as timeline:
        pass
    with pytest.raises(FileNotFoundError), timeline.job("late"):
        pass
    with pytest.raises(FileNotFoundError):
        timeline.spans()


def test_a_name_of_any_characters_comes_back_from_the_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "trace.json"
    name = 'two\nlines, "quoted", \u00e9, \U0001f40d'
    path.write_text("a longer file that was there before" * 100)
    with record(str(path)) as timeline:
        with timeline.job(name):
            pass
        assert [span.job for span in timeline.spans()] == [name]
    assert written(path) == [name]


def test_no_jobs_give_an_empty_picture_and_a_file_that_can_be_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "trace.json"
    with record(path) as timeline:
        assert draw(timeline.spans()) == ""
    assert json.loads(path.read_text()) == {"traceEvents": []}


def test_a_span_has_the_times_of_both_clocks(
    timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall, cpu = iter([1000, 9000]), iter([70, 75])
    clocks = SimpleNamespace(
        perf_counter_ns=lambda: next(wall), thread_time_ns=lambda: next(cpu)
    )
    monkeypatch.setattr(see_your_program, "time", clocks)
    with timeline.job("job"):
        pass
    assert [span[:4] for span in timeline.spans()] == [(1000, 9000, 5, "job")]


def test_the_file_numbers_the_lanes_names_them_and_counts_microseconds() -> (
    None
):
    main, pool = Lane(5, "Main", "thread", 7), Lane(6, "Worker", "pool", 7)
    spans = [
        Span(1000, 9500, 2500, "a", main),
        Span(2500, 4000, 500, "b", pool),
        Span(5000, 6000, 0, "c", main),
    ]
    one, two = {"pid": 5, "tid": 1}, {"pid": 6, "tid": 2}
    assert trace(spans)["traceEvents"] == [
        {"ph": "M", **one, "name": "process_name", "args": {"name": "Main"}},
        {"ph": "M", **one, "name": "thread_name", "args": {"name": "thread"}},
        {"ph": "M", **two, "name": "process_name", "args": {"name": "Worker"}},
        {"ph": "M", **two, "name": "thread_name", "args": {"name": "pool"}},
        {"ph": "X", **one, "name": "a", "ts": 0, "dur": 8.5, "tdur": 2.5},
        {"ph": "X", **two, "name": "b", "ts": 1.5, "dur": 1.5, "tdur": 0.5},
        {"ph": "X", **one, "name": "c", "ts": 4, "dur": 1, "tdur": 0},
    ]


def test_the_drawing_shows_jobs_within_jobs_and_a_line_for_each_lane() -> None:
    one, two = Lane(5, "", "t", 1), Lane(6, "", "t", 1)
    spans = [
        Span(0, 900, 0, "outer", one),
        Span(1, 20, 0, "inner", one),
        Span(10, 500, 0, "other", two),
        Span(30, 40, 0, "last", one),
    ]
    assert draw(spans).splitlines() == [
        "[[=][]=]  process 1, t: outer, inner, last",
        "  [===]   process 2, t: other",
    ]


def test_the_drawing_keeps_apart_a_job_that_begins_as_another_ends() -> None:
    lane = Lane(5, "", "t", 1)
    spans = [Span(0, 5, 0, "a", lane), Span(5, 5, 0, "b", lane)]
    assert draw(spans) == "[][]  process 1, t: a, b"


def test_the_timeline_is_sent_to_a_worker_as_no_more_than_its_folder(
    timeline: Timeline,
) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as executor:
        assert executor.submit(repr, timeline).result() == repr(timeline)
    assert vars(timeline) == {"folder": timeline.folder}


def sample(command: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run a sampler on a program with two busy threads; read its file."""
    program = folder / "busy.py"
    program.write_text(BUSY)
    run = subprocess.run(
        [*command, str(program)],
        check=False,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )
    if "ermission" in run.stdout or "not permitted" in run.stdout:
        pytest.skip("this machine forbids to look into another process")
    assert run.returncode == 0, run.stdout
    found = json.loads((folder / "found.json").read_text())
    return found if isinstance(found, dict) else {"traceEvents": found}


@posix
@pytest.mark.skipif(sys.version_info < (3, 15), reason="new in 3.15")
def test_the_sampling_profiler_writes_when_a_thread_waits_for_the_gil(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "profiling.sampling", "run", "-a"]
    command += ["--subprocesses", "--gecko", "-o", "found.json"]
    found = sample(command, tmp_path)
    names = found["shared"]["stringArray"]
    assert "Has GIL" in names
    assert "Waiting for GIL" in names


@posix
@pytest.mark.skipif(not shutil.which("py-spy"), reason="py-spy is missing")
@pytest.mark.skipif(
    FREE_THREADED, reason="py-spy 0.4 cannot read a free-threaded build"
)
def test_py_spy_writes_a_file_of_the_same_format(tmp_path: Path) -> None:
    command = ["py-spy", "record", "-s", "-f", "chrometrace"]
    command += ["-o", "found.json", "--", sys.executable]
    events = sample(command, tmp_path)["traceEvents"]
    computing = [event for event in events if event["name"] == "compute"]
    assert {event["ph"] for event in computing} == {"B", "E"}
    assert len({event["tid"] for event in computing}) == 2
