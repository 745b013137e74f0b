"""The recorder of timelines, on programs whose schedule is forced."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import lanes as drawn
import pytest

from cookbook import catalogue, forms
from timelines import __main__ as program
from timelines import lanes, layout
from timelines.lanes import Lane, Picture, RecordError, Segment

Does = tuple[int, int, str, str]
Facts = dict[str, Any]

RECORDED = program.RECORDED
recorder = pytest.mark.skipif(
    sys.platform != "linux"
    or sys.version_info[:2] != (3, 14)
    or not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="timelines are recorded on Linux, on 3.14 with the GIL",
)


def record(source: str, printed: str = "") -> dict[str, Lane]:
    """Return what a program does, each lane by its name."""
    found = program.take(
        f"{source}\nif __name__ == '__main__':\n    main()\n", printed
    )
    return {lane.name: lane for lane in found.lanes}


def states(lane: Lane) -> list[tuple[str, str]]:
    """Return the states of a lane, one for several that follow each other.

    A stretch in which it waits for the GIL, or in the start or the end of a
    thread, is not forced, and left out.
    """
    found: list[tuple[str, str]] = []
    for one in lane.segments:
        label = "" if one.state == "runs" else one.label
        if label in ("the GIL", "Thread.start"):
            continue
        if found[-1:] != [(one.state, label)]:
            found.append((one.state, label))
    return found


RUNS = ("runs", "")


@recorder
def test_a_thread_that_waits_for_an_event_waits_until_it_is_set() -> None:
    found = record("""
import threading

def wait(go):
    go.wait()

def main():
    go = threading.Event()
    thread = threading.Thread(target=wait, args=(go,), name="waiter")
    thread.start()
    while not go._cond._waiters:
        pass
    go.set()
    thread.join()
""")
    assert list(found) == ["main", "waiter"]
    waiter = states(found["waiter"])
    assert waiter[0] == waiter[-1] == RUNS
    assert set(waiter) == {RUNS, ("waits", "Event.wait")}


@recorder
def test_a_thread_that_cannot_have_a_lock_is_blocked() -> None:
    found = record("""
import threading

LOCK = threading.Lock()

def want():
    LOCK.acquire(timeout=0.01)

def main():
    thread = threading.Thread(target=want)
    with LOCK:
        thread.start()
        thread.join()
""")
    assert states(found["thread 1"]) == [RUNS, ("blocked", "a lock"), RUNS]
    assert ("waits", "Thread.join") in states(found["main"])


@recorder
def test_a_lock_within_the_standard_library_blocks_nobody() -> None:
    found = record("""
import queue
import threading

def take(jobs):
    jobs.get()

def main():
    jobs = queue.Queue()
    thread = threading.Thread(target=take, args=(jobs,))
    thread.start()
    while not jobs.not_empty._waiters:
        pass
    jobs.put(1)
    thread.join()
""")
    assert set(states(found["thread 1"])) == {RUNS, ("waits", "Queue.get")}


@recorder
def test_two_threads_that_compute_never_run_at_the_same_time() -> None:
    found = record("""
import threading

turn = 0

def count(mine):
    global turn
    for _ in range(3):
        while turn != mine:
            pass
        turn = 1 - mine

def main():
    threads = [threading.Thread(target=count, args=(n,)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
""")
    runs = sorted(
        (one.start, one.end)
        for lane in found.values()
        for one in lane.segments
        if one.state == "runs"
    )
    assert all(one[1] <= other[0] for one, other in pairwise(runs))
    for name in ("thread 1", "thread 2"):
        assert "the GIL" in [one.label for one in found[name].segments]
        assert sum(one.state == "runs" for one in found[name].segments) >= 3


@recorder
def test_a_task_waits_between_its_turns_and_the_others_run() -> None:
    found = record("""
import asyncio

async def wait(go):
    await go.wait()

async def both():
    go = asyncio.Event()
    task = asyncio.create_task(wait(go))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    go.set()
    await task

def main():
    asyncio.run(both())
""")
    assert list(found) == ["both", "wait"]
    assert states(found["wait"]) == [RUNS, ("waits", "Event.wait"), RUNS]
    assert states(found["both"])[:3] == [
        RUNS,
        ("waits", "asyncio.sleep"),
        RUNS,
    ]


@recorder
def test_a_task_that_waits_in_a_call_blocks_its_event_loop() -> None:
    found = record("""
import asyncio
import time

async def block():
    time.sleep(0.01)

async def other():
    pass

async def both():
    await asyncio.gather(block(), other())

def main():
    asyncio.run(both())
""")
    label = "time.sleep, which blocks the event loop"
    assert states(found["block"]) == [RUNS, ("blocked", label), RUNS]
    [blocked] = [one for one in found["block"].segments if one.label == label]
    assert found["other"].segments[0].start >= blocked.end


@recorder
def test_a_lock_of_asyncio_blocks_the_task_that_wants_it() -> None:
    found = record("""
import asyncio

async def want(lock):
    async with lock:
        pass

async def both():
    lock = asyncio.Lock()
    async with lock:
        task = asyncio.create_task(want(lock))
        await asyncio.sleep(0)
    await task

def main():
    asyncio.run(both())
""")
    assert states(found["want"]) == [RUNS, ("blocked", "a lock"), RUNS]


@recorder
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_worker_process_is_a_lane_on_the_clock_of_its_parent(
    method: str,
) -> None:
    found = record(f"""
import multiprocessing

def answer(connection):
    connection.send(1)
    connection.recv()
    connection.send(2)

def main():
    context = multiprocessing.get_context({method!r})
    here, there = context.Pipe()
    worker = context.Process(target=answer, args=(there,))
    worker.start()
    here.recv()
    here.send(None)
    here.recv()
    worker.join()
""")
    assert list(found) == ["main", "process 1"]
    worker = found["process 1"]
    waits = [one for one in worker.segments if one.label == "Connection.recv"]
    if waits:  # the answer may be there already
        assert waits[0].state == "waits"
    recv = [
        one for one in found["main"].segments if one.label == "Connection.recv"
    ]
    # the parent has its first answer after the worker began to run
    assert recv[0].end > worker.segments[0].start
    assert recv[0].start < worker.segments[0].start
    assert worker.alive[0] < worker.segments[0].start


@recorder
def test_what_a_worker_did_is_known_when_it_is_killed() -> None:
    found = record("""
import multiprocessing
import time
from pathlib import Path

def hang(connection):
    connection.send(1)
    time.sleep(60)

def main():
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    worker = context.Process(target=hang, args=(there,))
    worker.start()
    here.recv()
    while Path(f"/proc/{worker.pid}/stat").read_text().split()[2] != "S":
        pass  # it does not sleep yet
    worker.kill()
    worker.join()
""")
    assert states(found["process 1"])[-1:] == [("waits", "time.sleep")]
    [*_, killed] = found["process 1"].segments
    [*_, joined] = [
        one for one in found["main"].segments if one.state == "waits"
    ]
    assert joined.start <= killed.end <= found["main"].alive[1]


@recorder
def test_a_worker_that_computes_runs_until_it_is_killed() -> None:
    found = record("""
import multiprocessing

def compute(connection):
    connection.send(1)
    while True:
        pass

def main():
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    worker = context.Process(target=compute, args=(there,))
    worker.start()
    here.recv()
    worker.join(0.1)
    worker.kill()
    worker.join()
""")
    lane = found["process 1"]
    assert states(lane) == [RUNS]
    assert lane.time("runs") > 10_000_000


def test_a_worker_that_ends_within_its_job_runs_until_then_and_dies() -> None:
    def worker(gone: int, *does: Does) -> Lane:
        at = [
            (1, 0, 1, "enter", "main"),
            *((2, *one) for one in does),
            (1, 90, 1, "leave", "main"),
        ]
        events = [
            lanes.Event(when, process, thread, when, kind, (word,))
            for process, when, thread, kind, word in at
        ]
        found = lanes.picture(events, 1, {2: gone})
        return found.lanes[-1]

    begins, ends = (20, 1, "enter", "work"), (30, 1, "leave", "work")
    died = worker(50, begins)
    assert died.segments == [Segment(20, 50, "runs", "work")]
    assert (died.alive, died.dies) == ((20, 50), True)
    assert not worker(50, begins, ends).dies  # when it was idle
    assert not worker(95, begins).dies  # when all is over


@recorder
def test_a_program_that_prints_something_else_is_not_recorded() -> None:
    with pytest.raises(RecordError, match="prints something else"):
        record("def main():\n    print(1)\n", "2\n")


@recorder
def test_a_program_that_does_not_come_to_its_end_is_not_recorded() -> None:
    with pytest.raises(RecordError, match="not seen to begin and to end"):
        record("import os\n\ndef main():\n    os._exit(0)\n")


@recorder
def test_an_interpreter_that_is_not_recorded_is_left_alone() -> None:
    code = "import sitecustomize as s; print(s.monitoring.get_tool(s.TOOL))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(program.INJECTED)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert run.stdout == "None\n"


# What of it is shown


def lane(*does: tuple[int, int, lanes.State], name: str = "one") -> Lane:
    """Return a lane that does so, its times in microseconds."""
    segments = [
        Segment(start * 1000, end * 1000, state, state)
        for start, end, state in does
    ]
    return Lane("thread", name, (0, segments[-1].end), segments)


def shown(**pictures: list[Lane]) -> list[Facts]:
    """Return the facts of pictures that are as long as their lanes."""
    return layout.facts(
        {
            name: Picture(max(one.alive[1] for one in found), found)
            for name, found in pictures.items()
        }
    )


def test_a_picture_with_one_lane_that_runs_shows_nothing() -> None:
    alone = [lane((0, 10, "runs")), lane((0, 10, "waits"))]
    assert shown(recipe=alone) == []
    two = [*alone, lane((2, 4, "runs"))]
    assert len(shown(recipe=alone, trap=two)) == 2


def test_lanes_that_never_run_are_left_out() -> None:
    found = [
        lane((0, 5, "runs"), name="one"),
        lane((0, 9, "waits"), name="idle"),
        lane((5, 9, "runs"), name="two"),
    ]
    [picture] = shown(recipe=found)
    names = [one["name"] for one in picture["lanes"]]
    assert names == ["one", "two"]


def test_what_is_too_short_to_be_seen_is_shown_as_turns() -> None:
    turns: list[tuple[int, int, lanes.State]] = []
    for start in range(1000, 9000, 2):
        turns.append((start, start + 1, "runs"))
        turns.append((start + 1, start + 2, "waits"))
    axis = layout.Axis(10_000_000, [])
    whole = lane((0, 1000, "runs"), *turns, (9000, 10_000, "waits"))
    found = layout.merged(whole.segments, axis)
    assert [one.state for one in found] == ["runs", "turns", "waits"]
    assert abs(found[1].start - 1_000_000) <= 1000
    assert abs(found[1].end - 9_000_000) <= 1000


def test_a_single_short_run_among_waits_is_kept() -> None:
    whole = lane(
        (0, 5000, "waits"), (5000, 5001, "runs"), (5001, 10_000, "waits")
    )
    found = layout.merged(whole.segments, layout.Axis(10_000_000, []))
    assert [one.state for one in found] == ["waits", "runs", "waits"]


def test_many_short_jobs_are_shown_as_turns_and_far_ones_are_not() -> None:
    jobs = [Segment(at, at + 500, "runs") for at in range(0, 90_000, 1000)]
    far = Segment(900_000, 900_500, "runs")
    found = layout.merged([*jobs, far], layout.Axis(1_000_000, []))
    assert [one.state for one in found] == ["turns", "runs"]
    assert found[1] == far


def test_time_in_which_nothing_runs_is_cut_where_little_runs() -> None:
    found = [
        lane((0, 10, "runs"), (10, 990, "waits"), (990, 1000, "runs")),
        lane((5, 15, "runs"), (15, 985, "blocked"), (985, 995, "runs")),
    ]
    [picture] = shown(trap=found)
    [[start, end]] = picture["cuts"]
    assert 15 <= start < 20
    assert 980 < end <= 985


def test_time_is_not_cut_where_a_lane_of_the_other_picture_runs() -> None:
    trap = [
        lane((0, 10, "runs"), (10, 990, "waits"), (990, 1000, "runs")),
        lane((0, 10, "runs")),
    ]
    busy = [lane((0, 1000, "runs")), lane((0, 10, "runs"))]
    assert [one["cuts"] for one in shown(trap=trap, recipe=busy)] == [[], []]


@pytest.mark.parametrize(("length", "same"), [(300, True), (5000, False)])
def test_pictures_share_an_axis_unless_one_would_be_too_small(
    length: int, same: bool
) -> None:
    first = [lane((0, 100, "runs")), lane((0, 100, "runs"))]
    other = [lane((0, length, "runs")), lane((0, length, "runs"))]
    one, two = shown(trap=first, recipe=other)
    assert (one["axis"] == two["axis"]) is same


# What is recorded


def test_every_timeline_is_of_a_recipe_as_it_is() -> None:
    found = {
        path.relative_to(RECORDED).with_suffix("").as_posix(): json.loads(
            path.read_text(encoding="utf-8")
        )["code"]
        for path in RECORDED.rglob("*.json")
    }
    now = {
        one.address: forms.fingerprint(one.source)
        for one in catalogue.recipes()
    }
    stale = [name for name, code in found.items() if now.get(name) != code]
    names = " ".join(name.replace("/", ".") for name in stale)
    assert not stale, f"record them again: nox -s timelines -- {names}"


def test_only_a_recipe_that_has_changed_is_recorded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[str] = []

    def pretend(recipe: catalogue.Recipe, code: str) -> str:
        recorded.append(recipe.name)
        return json.dumps({"code": code, "pictures": []})

    monkeypatch.setattr(program, "RECORDED", tmp_path)
    monkeypatch.setattr(program, "record", pretend)
    monkeypatch.setattr("sys.argv", ["timelines"])
    program.main()
    assert recorded == [one.name for one in catalogue.recipes()]
    (tmp_path / "threads" / "barrier.json").write_text('{"code": "other"}')
    (tmp_path / "threads" / "gone.json").write_text('{"code": "other"}')
    recorded.clear()
    program.main()
    assert recorded == ["threads.barrier"]
    assert not (tmp_path / "threads" / "gone.json").exists()


# How it is drawn: tests/test_lanes.py


def test_the_page_reads_what_the_recorder_writes() -> None:
    facts = shown(
        trap=[lane((0, 5, "runs")), lane((2, 9, "blocked"), (9, 10, "runs"))]
    )
    text = program.written({"code": "0", "python": "3.14", "pictures": facts})
    [picture] = drawn.read("a.recipe", text).pictures
    assert picture.title == "The trap"
    assert [one.name for one in picture.lanes] == ["one", "one"]
    assert picture.lanes[1].does[0].words.startswith("blocked 7.0 µs")


def test_the_page_knows_of_a_worker_that_it_died() -> None:
    died = replace(lane((0, 5, "runs")), dies=True)
    facts = shown(trap=[died, lane((2, 9, "runs"))])
    text = program.written({"code": "0", "python": "3.14", "pictures": facts})
    [picture] = drawn.read("a.recipe", text).pictures
    assert [one.dies for one in picture.lanes] == [True, False]


def test_a_process_that_is_killed_before_its_first_line_has_no_events(
    tmp_path: Path,
) -> None:
    (tmp_path / "7.events").write_bytes(b"\0" * 8)
    assert lanes.read(tmp_path) == []
