"""Record where a schedule can lead, for the page to be stepped through.

The schedules that ``every_interleaving`` tries are a tree; what can be seen in
a state and what can come of it are the same in many. Such states are recorded
as one, so a graph with all schedules in it is small.
"""

import ast
import inspect
import re
import textwrap
from _thread import get_ident
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from cookbook.testing.every_interleaving import (
    Make,
    Setup,
    _is_under_test,
    _Lock,
    _Run,
)

IDENT = re.compile(r"\d{10}")  # of a thread: it is never the same
BRACKETS = {list: ("[", "]"), tuple: ("(", ")")}
PLAIN = (bool, int, float, str, type(None))
GROUPS = (list, tuple, dict, set, frozenset)
Facts = dict[str, Any]
DEEPEST = 2  # attributes of attributes of what the functions share
LONGEST = 60  # characters of a value
View = tuple[Any, ...]  # what is seen of a thread; empty when it has ended
Named = tuple[tuple[str, str], ...]  # names and values
NOWHERE: View = ((), (), False)  # in a function that is not Python
State = tuple[tuple[View, ...], Named]


class Watched(_Run):
    """A run that notes what can be seen before and after each step.

    Attributes:
        files: Where the functions stand that the threads come through.
        seen: The states, one more than steps.
    """

    def __init__(
        self, make: Make, start: list[int], preemptions: int | None
    ) -> None:
        super().__init__(self.make_watched, start, "line")
        self.preemptions = preemptions
        self.real_make = make
        self.shared: list[Callable[..., object]] = []
        self.files: set[str] = set()
        self.frames: dict[int, FrameType] = {}
        self.firsts: dict[int, View] = {}
        self.seen: list[State] = []
        self.objects: dict[int, int] = {}

    def make_watched(self) -> Setup:
        """Set up, and keep what refers to the shared objects."""
        functions, result = self.real_make()
        self.shared = [*functions, result]
        return functions, result

    def trace_step(self, frame: FrameType, event: str, _arg: object) -> object:
        """Note where a thread is, before it is parked there."""
        if event == self.event:
            ident = get_ident()
            self.files.add(frame.f_code.co_filename)
            self.frames[ident] = frame
            self.firsts.setdefault(ident, (stack(frame), (), False))
        return super().trace_step(frame, event, _arg)

    def take_step(self) -> bool:
        """Take a step after a look at the state."""
        self.seen.append(self.look())
        return super().take_step()

    def abandon(self, threads: list[Any]) -> None:
        """Look at the last state, which no step follows."""
        if len(self.seen) == len(self.taken):
            self.seen.append(self.look())
        super().abandon(threads)

    def look(self) -> State:
        """Return what can be seen of the threads and of what they share."""
        idents = {worker: ident for ident, worker in self.known.items()}
        views: list[View] = []
        for worker in self.workers:
            frame = self.frames.get(idents[worker])
            if worker.finished:
                views.append(())
            elif frame is None:
                views.append((idents[worker],))  # has not begun
            else:
                waits = not worker.can_go_on()
                views.append((stack(frame), self.own(frame), waits))
        return tuple(views), tuple(self.values())

    def states(self) -> list[State]:
        """Return the states, the first line known of threads not begun."""
        return [
            (
                tuple(
                    self.firsts.get(view[0], NOWHERE)
                    if len(view) == 1
                    else view
                    for view in views
                ),
                shared,
            )
            for views, shared in self.seen
        ]

    def values(self) -> Iterator[tuple[str, str]]:
        """Yield what the functions share: names and values."""
        met: set[int] = set()
        for function in self.shared:
            for name, value in captured(function):
                yield from self.describe(name, value, met, DEEPEST)

    def describe(
        self, name: str, value: object, met: set[int], depth: int
    ) -> Iterator[tuple[str, str]]:
        """Yield a value, or those of its attributes, once for each object."""
        if not isinstance(value, PLAIN):
            if id(value) in met:
                return
            met.add(id(value))
        if isinstance(value, _Lock):
            holder = self.known.get(value.owner or 0)
            number = self.workers.index(holder) + 1 if holder else 0
            yield name, f"held by {number}" if number else "free"
        elif isinstance(value, list | tuple) and any(
            isinstance(one, _Lock) for one in value
        ):
            for number, one in enumerate(value):
                yield from self.describe(f"{name}[{number}]", one, met, depth)
        elif (text := self.plain(value)) is not None:
            yield name, text
        elif depth and not isinstance(value, (FunctionType, ModuleType, type)):
            for attribute, part in getattr(value, "__dict__", {}).items():
                label = f"{name}.{attribute}"
                yield from self.describe(label, part, met, depth - 1)

    def plain(self, value: object) -> str | None:
        """Return a value as text that is the same in each run, or None."""
        if not isinstance(value, PLAIN + GROUPS):
            return None
        text = self.text(value)
        return (
            text if len(text) <= LONGEST and not IDENT.search(text) else None
        )

    def text(self, value: object) -> str:
        """Return what ``repr`` does, but call no method of an object.

        It might take a lock. A number tells the objects apart.
        """
        if isinstance(value, PLAIN):
            return repr(value)
        if isinstance(value, dict):
            pairs = value.items()
            inner = (f"{self.text(key)}: {self.text(of)}" for key, of in pairs)
            return f"{{{', '.join(inner)}}}"
        if isinstance(value, GROUPS) and not value:
            return repr(value)
        if isinstance(value, GROUPS):
            left, right = BRACKETS.get(type(value), ("{", "}"))
            return f"{left}{', '.join(map(self.text, value))}{right}"
        number = self.objects.setdefault(id(value), len(self.objects) + 1)
        return f"<{type(value).__name__} {number}>"

    def own(self, frame: FrameType) -> Named:
        """Return a frame's plain variables that no other frame sees."""
        shared = frame.f_code.co_freevars + frame.f_code.co_cellvars
        return tuple(
            (name, text)
            for name, value in frame.f_locals.items()
            if name not in shared and (text := self.plain(value)) is not None
        )


def captured(function: Callable[..., object]) -> Iterator[tuple[str, object]]:
    """Yield the names and the values that a function takes with it."""
    if isinstance(function, partial):
        function = function.func
    bound = getattr(function, "__self__", None)
    if bound is not None:
        yield type(bound).__name__.lower(), bound
    if isinstance(function, FunctionType):
        names = function.__code__.co_freevars
        for name, cell in zip(names, function.__closure__ or (), strict=True):
            try:
                yield name, cell.cell_contents
            except ValueError:  # it is bound later
                continue


def stack(frame: FrameType | None) -> tuple[tuple[CodeType, int], ...]:
    """Return where a thread is: functions and lines, the outermost first."""
    found = []
    while frame is not None:
        if _is_under_test(frame.f_code):
            found.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return tuple(reversed(found))


def source(code: CodeType) -> list[tuple[int, str]]:
    """Return the lines of a function with their numbers, no docstring."""
    lines, first = inspect.getsourcelines(code)
    text = textwrap.dedent("".join(lines))
    numbered = list(enumerate(text.splitlines(), first))
    try:
        [node] = ast.parse(text).body
    except (SyntaxError, ValueError):  # a lambda, within a line
        return numbered
    if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
        doc = node.body[0]
        ends = doc.end_lineno or doc.lineno
        return numbered[: doc.lineno - 1] + numbered[ends:]
    return numbered


@dataclass
class Node:
    """A state on the way of one or more schedules.

    Attributes:
        state: What can be seen there.
        then: For each thread that takes the next step, what comes of it.
        outcome: How it ended, if it did.
    """

    state: State
    then: dict[int, "Node"] = field(default_factory=dict)
    outcome: Hashable = None


def tree(make: Make, preemptions: int | None, files: set[str]) -> Node | None:
    """Return the first state of *make*, and in it all that can follow.

    None if the threads come through a function that is not in *files*.
    """
    root: Node | None = None
    start: list[int] | None = []
    while start is not None:  # every_interleaving has seen to an end
        run = Watched(make, start, preemptions)
        outcome, states = run.execute(), run.states()
        if not run.files <= files:
            return None
        node = root = root or Node(states[0])
        for number, state in zip(run.taken, states[1:], strict=True):
            node = node.then.setdefault(number, Node(state))
        node.outcome = outcome
        start = run.next_start()
    return root


class Table:
    """Numbers what it is given, the same the same."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self._known: dict[Hashable, int] = {}

    def number(self, key: Hashable, row: object = None) -> int:
        """Return the number of *key*; *row* is what stands for it."""
        if key not in self._known:
            self._known[key] = len(self.rows)
            self.rows.append(key if row is None else row)
        return self._known[key]


def graph(
    make: Make,
    preemptions: int | None,
    outcomes: Sequence[Hashable],
    files: set[str],
) -> Facts | None:
    """Return the states of *make* and the steps between them, for JSON.

    Args:
        make: As for ``every_interleaving``.
        preemptions: As for ``every_interleaving``.
        outcomes: All outcomes; the page has words for each.
        files: Those whose lines may be shown.

    Returns:
        None if the threads come through other lines. Else ``sources``, for
        each function its lines; ``views``, for each place of a thread the
        functions and lines, its own variables and whether it waits;
        ``values``, what the threads share; ``nodes``, for each state the
        numbers of the threads' views (-1 if ended) and of the values, then
        the number of the node that each thread's step leads to (-1 if none)
        and of the outcome (-1 before the end); ``codes``, for each thread
        the functions that it comes through. The first state is last.
    """
    sources, views, values, nodes = Table(), Table(), Table(), Table()
    if (root := tree(make, preemptions, files)) is None:
        return None
    count = len(root.state[0])
    codes: list[dict[int, None]] = [{} for _ in range(count)]
    numbered: dict[CodeType, list[tuple[int, str]]] = {}

    def place(code: CodeType, line: int) -> tuple[int, int]:
        lines = numbered.setdefault(code, source(code))
        key = (code.co_filename, lines[0][0])
        number = sources.number(key, [text for _, text in lines])
        return number, [at for at, _ in lines].index(line)

    def view_number(thread: int, view: View) -> int:
        if not view:
            return -1
        places = tuple(place(*one) for one in view[0])
        codes[thread] |= dict.fromkeys(number for number, _ in places)
        return views.number((places, view[1], view[2]))

    def number(node: Node) -> int:
        seen = [view_number(*one) for one in enumerate(node.state[0])]
        then = {one: number(after) for one, after in node.then.items()}
        ends = -1 if then else outcomes.index(node.outcome)
        return nodes.number(
            (
                tuple(seen),
                values.number(node.state[1]),
                tuple(then.get(thread, -1) for thread in range(count)),
                ends,
            )
        )

    number(root)
    always = set.intersection(*map(set, values.rows))  # tells nothing
    return {
        "codes": [list(one) for one in codes],
        "sources": sources.rows,
        "views": views.rows,
        "values": [
            [pair for pair in row if pair not in always] for row in values.rows
        ],
        "nodes": nodes.rows,
    }


def endings(graph: Facts) -> dict[int, int]:
    """Return for each outcome's number how many schedules lead to it."""
    found: list[Counter[int]] = []
    for _, _, then, ends in graph["nodes"]:  # what follows comes before
        if ends >= 0:
            found.append(Counter([ends]))
        else:
            nexts = [found[number] for number in then if number >= 0]
            found.append(sum(nexts, Counter()))
    return dict(found[-1])


def follow(graph: Facts, schedule: Sequence[int]) -> int:
    """Return the number of the outcome at the end of a schedule; or -1."""
    node = graph["nodes"][-1]
    for thread in schedule:
        node = graph["nodes"][node[2][thread]]
    return int(node[3])
