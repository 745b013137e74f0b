"""Lanes out of what the processes of a program have written down.

A lane is a thread, a task or the one thread of a worker process. At each
moment it runs, or waits, or is blocked, or has nothing of the program to do.
Nothing here starts a program or looks at a clock.
"""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Literal

# In turns, a lane runs and waits too often for each time to be seen.
State = Literal["runs", "turns", "waits", "blocked"]
ENTRIES = ("main", "broken_main")
# Tasks of the standard library; its others come without a name.
OF_THE_LOOP = ("", "shutdown_asyncgens", "shutdown_default_executor")
DEFAULT_NAME = re.compile(r"Thread-\d+( \(.*\))?|.*_\d+|Dummy-\d+")
PRIVATE = re.compile(r"^_|Base(?=\.)")
BUSY = 0.5  # the share of its time that a call in C runs, if it does not wait
LONG = 1_000_000  # nanoseconds from which on a call in C may have waited


class RecordError(Exception):
    """What was written down cannot be shown."""


@dataclass(frozen=True)
class Event:
    """A line of a process.

    Attributes:
        at: When, in nanoseconds on a clock that all processes share.
        process: The process's number.
        thread: The thread's number in its process.
        cpu: Nanoseconds for which the thread has used a processor.
        kind: What happened.
        words: What more is to be said of it.
    """

    at: int
    process: int
    thread: int
    cpu: int
    kind: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Segment:
    """A stretch of a lane in one state.

    Attributes:
        start: When it begins.
        end: When it ends.
        state: What the lane does.
        label: What runs, or what it waits in.
    """

    start: int
    end: int
    state: State
    label: str = ""

    @property
    def length(self) -> int:
        """How long it is."""
        return self.end - self.start


@dataclass(frozen=True)
class Lane:
    """What one thread, task or process does.

    Attributes:
        kind: ``"thread"``, ``"task"`` or ``"process"``.
        name: What the page calls it.
        alive: When it comes to be, and when it was last seen: a process until
            it ends, a thread until it has done its last job.
        segments: In their order, without overlap.
        dies: Whether it is a process that ends in the midst of a job.
    """

    kind: str
    name: str
    alive: tuple[int, int]
    segments: list[Segment]
    dies: bool = False

    def time(self, state: State) -> int:
        """Return for how long it is in *state*."""
        return sum(one.length for one in self.segments if one.state == state)


@dataclass
class Picture:
    """The lanes of a program, from the start of ``main()`` to its end.

    Attributes:
        length: How long it took.
        lanes: In the order in which they first do something.
        lost: For how long lanes were ready to run and another program ran.
    """

    length: int
    lanes: list[Lane]
    lost: int = 0


@dataclass
class _Thread:
    """A thread's events, in order, and what they say of it."""

    process: int
    number: int
    events: list[Event] = field(default_factory=list)
    name: str = ""


def read(folder: Path) -> list[Event]:
    """Return all events that were written to *folder*, in order.

    Raises:
        RecordError: If a process has written more than its file holds.
    """
    events = []
    for path in sorted(folder.glob("*.events")):
        text = path.read_bytes().rstrip(b"\0").decode()
        if text.startswith("overflow"):
            raise RecordError("more happened than can be written down")
        if not text:  # the process was killed before it wrote a line
            continue
        first, *lines = (line.split("\t") for line in text.splitlines())
        for at, thread, cpu, kind, *words in lines:
            event = Event(
                int(at), int(first[4]), int(thread), int(cpu), kind, (*words,)
            )
            events.append(event)
    return sorted(events, key=lambda event: event.at)


def picture(
    events: list[Event], process: int, gone: Mapping[int, int]
) -> Picture:
    """Return the lanes of the program that *process* ran.

    Args:
        events: Those of all processes, in order.
        process: The number of the first.
        gone: When other processes ended. What they did last, they did until
            then: one that is killed writes nothing more.

    Raises:
        RecordError: If its ``main()`` did not begin, or did not end.
    """
    begin, end = _span(events, process)
    threads = _threads(events)
    lanes: list[Lane] = []
    lost = 0
    for thread in threads:
        others = [
            event.at
            for event in events
            if event.process == thread.process
            and event.thread not in (thread.number, 0)
            and event.kind != "call"
        ]
        last = max(thread.events[-1].at, gone.get(thread.process, 0))
        dies = thread.process in gone and bool(_job(thread))
        if thread.process == process:
            last = max(end, last)
            dies = False
        stretches = [*_stretches(thread, others, last, dies=dies)]
        lost += _lost(thread, stretches, begin, end)
        if tasks := [*_tasks(thread, end)]:
            lanes += _lanes_of_tasks(tasks, stretches)
        elif stretches:
            kind = "thread" if thread.process == process else "process"
            if kind == "thread":  # of which nobody notes the end
                last = stretches[-1].end
            alive = thread.events[0].at, last
            lanes.append(Lane(kind, thread.name, alive, stretches, dies))
    found = [_within(lane, begin, end) for lane in lanes]
    shown = [lane for lane in found if lane.segments]
    shown.sort(key=lambda lane: lane.segments[0].start)
    return Picture(end - begin, [*_named(shown)], lost)


def _within(lane: Lane, begin: int, end: int) -> Lane:
    """Return what of *lane* lies between two times, counted from the first."""
    first, last = (min(max(at, begin), end) - begin for at in lane.alive)
    segments = [
        replace(one, start=one.start - begin, end=one.end - begin)
        for one in _between(lane.segments, begin, end)
    ]
    return replace(
        lane,
        alive=(first, last),
        segments=segments,
        dies=lane.dies and lane.alive[1] <= end,
    )


def _span(events: list[Event], process: int) -> tuple[int, int]:
    """Return when the program's entry function begins and ends."""
    times: list[int] = []
    for kind in ("enter", "leave"):
        times += [
            event.at
            for event in events
            if event.process == process
            and event.kind == kind
            and event.words[0] in ENTRIES
        ][:1]
    if len(times) != len(ENTRIES):
        raise RecordError("main() was not seen to begin and to end")
    return times[0], times[1]


def _threads(events: list[Event]) -> list[_Thread]:
    """Return the threads of all processes."""
    threads: dict[tuple[int, int], _Thread] = {}
    for event in events:
        if not event.thread:
            continue
        key = event.process, event.thread
        thread = threads.setdefault(key, _Thread(*key))
        if event.kind == "name":
            thread.name = event.words[0]
        else:
            thread.events.append(event)
    return list(threads.values())


def _job(thread: _Thread) -> str:
    """Return the function that *thread* was in last; empty if it left it."""
    stack = _Stack()
    for event in thread.events:
        stack.see(event)
    return stack.job


def _stretches(
    thread: _Thread, others: list[int], last: int, *, dies: bool
) -> Iterator[Segment]:
    """Yield what *thread* does while it is in the program.

    Where nothing says that it is in a call that waits, it runs until another
    thread of its process does: there is one GIL. From there on it waits. What
    dies in a job that did not wait ran until then: a call that ends a process
    is the last that is known of it.
    """
    stack = _Stack()
    events = [*thread.events]
    events.append(replace(events[-1], at=last))
    for event, following in pairwise(events):
        stack.see(event)
        start, stop = event.at, following.at
        if not stack.job:
            continue
        if stack.calls and (
            waited := _waits(stack.calls[-1], event, following)
        ):
            yield Segment(start, stop, *waited)
            continue
        if following is events[-1]:
            if dies:
                yield Segment(start, stop, "runs", stack.job)
            continue  # else nothing says how long it ran
        next_one = bisect_right(others, start)
        ran_out = others[next_one] if next_one < len(others) else stop
        if ran_out < stop and not (stack.calls and _ran(event, following)):
            yield Segment(start, ran_out, "runs", stack.job)
            yield Segment(ran_out, stop, "waits", "the GIL")
        else:
            yield Segment(start, stop, "runs", stack.job)


class _Stack:
    """What a thread is in.

    Attributes:
        job: The outermost function of the program; empty if there is none.
        calls: The calls of C in it.
    """

    def __init__(self) -> None:
        self.job = ""
        self.calls: list[tuple[str, ...]] = []

    def see(self, event: Event) -> None:
        """Go on to the next event."""
        match event.kind:
            case "enter":
                self.job = event.words[0].rpartition(".")[2]
            case "leave":
                self.job = ""
                self.calls = []
            case "call":
                self.calls.append(event.words)
            case "return":
                while self.calls and self.calls.pop()[0] != event.words[0]:
                    pass


def _waits(
    call: tuple[str, ...], event: Event, following: Event
) -> tuple[State, str] | None:
    """Return how and in what *call* waits; None if it runs."""
    name, *where = call
    if where:
        inner, lock = where
        return (
            ("blocked", "a lock")
            if lock
            else ("waits", _public(inner or name))
        )
    if following.at - event.at > LONG and not _ran(event, following):
        return "waits", name
    return None


def _public(name: str) -> str:
    """Return the name that a reader knows a method by."""
    return PRIVATE.sub("", name.partition(".<locals>")[0])


def _ran(event: Event, following: Event) -> bool:
    """Tell whether the thread used a processor from one event to the next."""
    wall = following.at - event.at
    return following.cpu - event.cpu > BUSY * wall


def _lost(
    thread: _Thread, stretches: list[Segment], begin: int, end: int
) -> int:
    """Return for how long *thread* would have run, had the machine let it."""
    cpu = {event.at: event.cpu for event in thread.events}
    ran = {one.start: one for one in stretches if one.state == "runs"}
    lost = 0
    for start, one in ran.items():
        if begin <= start and one.end <= end and one.end in cpu:
            lost += max(0, one.length - (cpu[one.end] - cpu[start]))
    return lost


class _Task:
    """A task of a thread.

    Attributes:
        name: What it is called.
        turns: When it was run.
        waits: What it did between its turns.
        suspended: What it waits for since its last turn; None if it does not.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.turns: list[Segment] = []
        self.waits: list[Segment] = []
        self.suspended: Segment | None = None

    def resume(self, at: int) -> None:
        """Begin a turn: a wait is over."""
        if self.suspended is not None:
            self.waits.append(replace(self.suspended, end=at))
            self.suspended = None

    def suspend(self, begin: int, end: int) -> None:
        """End a turn: if it waits now, then from here on."""
        self.turns.append(Segment(begin, end, "runs"))
        if self.suspended is not None:
            self.suspended = replace(self.suspended, start=end)


def _tasks(thread: _Thread, end: int) -> Iterator[_Task]:
    """Yield the tasks that *thread* has run."""
    tasks: dict[str, _Task] = {}
    current: _Task | None = None
    since = 0
    for event in thread.events:
        if event.kind == "task":
            if current is not None:
                current.suspend(since, event.at)
            since = event.at
            current = None
            if event.words[0] != "0":
                number, name = event.words
                current = tasks.setdefault(number, _Task(name))
                current.resume(since)
        elif event.kind == "await" and current is not None:
            label, lock = event.words
            state: State = "blocked" if lock else "waits"
            label = "a lock" if lock else _public(label)
            current.suspended = Segment(event.at, event.at, state, label)
    for task in tasks.values():
        task.resume(end)
        if task.name not in OF_THE_LOOP:
            yield task


def _lanes_of_tasks(
    tasks: list[_Task], stretches: list[Segment]
) -> Iterator[Lane]:
    """Yield the lane of each task.

    In its turn it does what its thread does; where the thread waits in a
    call, the task holds up its event loop.
    """
    for task in tasks:
        segments = list(task.waits)
        for turn in task.turns:
            for one in _between(stretches, turn.start, turn.end):
                if one.state == "waits" and one.label != "the GIL":
                    label = f"{one.label}, which blocks the event loop"
                    segments.append(replace(one, state="blocked", label=label))
                else:
                    segments.append(one)
        if segments:
            segments.sort(key=lambda one: (one.start, one.end))
            alive = segments[0].start, segments[-1].end
            yield Lane("task", task.name, alive, segments)


def _between(
    segments: list[Segment], begin: int, end: int
) -> Iterator[Segment]:
    """Yield what of *segments*, in order, lies between two times."""
    first = bisect_right(segments, begin, key=lambda one: one.end)
    for one in islice(segments, first, None):
        if one.start >= end:
            break
        start, stop = max(one.start, begin), min(one.end, end)
        if start < stop:
            yield replace(one, start=start, end=stop)


def _named(lanes: list[Lane]) -> Iterator[Lane]:
    """Give the lanes the names that the page shows."""
    names = [_name(lane) for lane in lanes]
    seen: dict[str, int] = defaultdict(int)
    for lane, name in zip(lanes, names, strict=True):
        seen[name] += 1
        many = names.count(name) > 1 or name in ("thread", "process")
        yield replace(lane, name=f"{name} {seen[name]}" if many else name)


def _name(lane: Lane) -> str:
    if lane.kind == "process":
        return "process"
    if lane.kind == "thread" and lane.name == "MainThread":
        return "main"
    if lane.kind == "thread" and DEFAULT_NAME.fullmatch(lane.name):
        return "thread"
    return lane.name.rpartition(".")[2] or lane.kind
