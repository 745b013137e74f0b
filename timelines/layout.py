"""What of two pictures a page can show: on one axis, and no finer than it is.

Times are nanoseconds, as in ``lanes.py``; in the facts they are microseconds.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from timelines.lanes import Lane, Picture, Segment, State

LANES = 8  # that fit on a screen
STEPS = 250  # that can be told apart along the axis
MANY = 60  # stretches of a lane are more than anyone looks at
RATIO = 4  # of the lengths of two pictures that one axis still serves
SPARSE = 0.4  # of the time something runs: else the axis is cut
IDLE = 0.05  # of the time, at least, is a stretch that is cut out
GAP = 0.03  # of the axis is what stands for it
CUTS = 6  # of the axis, at most
MOSTLY = 0.9  # of its time, at least, what is said to run does so

Cut = tuple[int, int]


class Axis:
    """Time, less the stretches in which nothing runs.

    Attributes:
        length: From its begin to its end.
        cuts: The stretches left out, in order.
        kept: How long the rest is.
    """

    def __init__(self, length: int, cuts: list[Cut]) -> None:
        self.length = length
        self.cuts = cuts
        self.kept = length - sum(end - start for start, end in cuts)

    def steps(self, start: int, end: int) -> float:
        """Return how many steps there are from one time to another."""
        left_out = sum(
            max(0, min(end, stop) - max(start, begin))
            for begin, stop in self.cuts
        )
        return (end - start - left_out) * STEPS / max(self.kept, 1)


def facts(pictures: dict[str, Picture]) -> list[dict[str, Any]]:
    """Return the facts of the pictures that are shown, in their order.

    None are if there are not two lanes in any that ever run.
    """
    trimmed = {name: trim(one) for name, one in pictures.items()}
    if not any(len(one.lanes) > 1 for one in trimmed.values()):
        return []
    shared = axis([*trimmed.values()])
    own = {name: axis([one]) for name, one in trimmed.items()}
    together = any(
        max(lengths) <= RATIO * min(lengths)
        for lengths in (
            [max(1, one.length) for one in trimmed.values()],
            [max(1, one.kept) for one in own.values()],
        )
    )
    return [
        describe(name, one, shared if together else own[name])
        for name, one in trimmed.items()
        if one.lanes
    ]


def trim(picture: Picture) -> Picture:
    """Leave out lanes that never run, and the time before any does."""
    lanes = [one for one in picture.lanes if one.time("runs")]
    if not lanes:
        return Picture(0, [])
    first = min(one.segments[0].start for one in lanes)
    last = max(one.segments[-1].end for one in lanes)
    return Picture(last - first, [shifted(one, first) for one in lanes])


def shifted(lane: Lane, first: int) -> Lane:
    """Count the times of *lane* from another one."""
    born, seen = lane.alive
    return replace(
        lane,
        alive=(max(0, born - first), seen - first),
        segments=[
            replace(one, start=one.start - first, end=one.end - first)
            for one in lane.segments
        ],
    )


def axis(pictures: list[Picture]) -> Axis:
    """Return an axis on which all of *pictures* are seen."""
    length = max(one.length for one in pictures)
    running = sorted(
        (one.start, one.end)
        for picture in pictures
        for lane in picture.lanes
        for one in lane.segments
        if one.state == "runs"
    )
    idle: list[Cut] = []
    seen = busy = 0
    for start, end in [*running, (length, length)]:
        if start > seen:
            idle.append((seen, start))
        busy += max(0, end - max(start, seen))
        seen = max(seen, end)
    if busy >= SPARSE * length:
        return Axis(length, [])
    idle = [cut for cut in idle if cut[1] - cut[0] >= IDLE * length]
    longest = sorted(idle, key=lambda cut: cut[0] - cut[1])[:CUTS]
    margin = busy // 50  # the ends of what is left out are seen to wait
    cuts = [(start + margin, end - margin) for start, end in sorted(longest)]
    return Axis(length, [cut for cut in cuts if cut[0] < cut[1]])


def describe(name: str, picture: Picture, along: Axis) -> dict[str, Any]:
    """Return the facts of a picture, for the page."""
    return {
        "of": name,
        "took": picture.length // 1000,
        "axis": along.length // 1000,
        "cuts": [[start // 1000, end // 1000] for start, end in along.cuts],
        "more": max(0, len(picture.lanes) - LANES),
        "lanes": [
            {
                "kind": lane.kind,
                "name": lane.name,
                "alive": [at // 1000 for at in lane.alive],
                "does": [
                    [
                        one.state,
                        round(one.start / 1000, 1),
                        round(one.end / 1000, 1),
                        one.label,
                    ]
                    for one in merged(lane.segments, along)
                ],
                **({"dies": True} if lane.dies else {}),
            }
            for lane in picture.lanes[:LANES]
        ],
    }


def merged(segments: list[Segment], along: Axis) -> list[Segment]:
    """Return *segments* with nothing in them that is too short to be seen.

    What is too short becomes one with its neighbours, in the state in which
    they are for longest; where some of them run, they take turns. A single
    short run among waits stays: the drawing gives it a step.
    """
    joined = [*_joined(iter(segments), 1)]
    found = joined
    least = 1  # steps that a stretch is long
    while least < STEPS:
        groups = _groups(joined, along, least)
        found = [*_joined(groups, least * along.kept / STEPS)]
        if len(found) <= MANY:
            break
        least *= 2
    return found


def _groups(
    segments: list[Segment], along: Axis, least: int
) -> Iterator[Segment]:
    """Yield long segments, and what lies between them a step at a time."""
    group: list[Segment] = []
    for one in segments:
        apart = group and along.steps(group[-1].end, one.start) >= least
        if apart or along.steps(one.start, one.end) >= least:
            yield from _group(group, isolated=True)
            group = []
        if along.steps(one.start, one.end) >= least:
            yield one
            continue
        group.append(one)
        if along.steps(group[0].start, one.end) >= least:
            yield from _group(group, isolated=False)
            group = []
    yield from _group(group, isolated=True)


def _group(group: list[Segment], *, isolated: bool) -> Iterator[Segment]:
    """Yield one segment for a group of short ones."""
    if not group:
        return
    lengths: Counter[tuple[State, str]] = Counter()
    for one in group:
        lengths[one.state, one.label] += one.length
    (state, label), _ = lengths.most_common(1)[0]
    runs = [one for one in group if one.state == "runs"]
    share = sum(one.length for one in runs) / (group[-1].end - group[0].start)
    if runs and (share > MOSTLY or (isolated and not runs[1:])):
        state, label = "runs", runs[0].label
    elif runs:
        state, label = "turns", runs[0].label
    yield Segment(group[0].start, group[-1].end, state, label)


def _joined(segments: Iterator[Segment], apart: float) -> Iterator[Segment]:
    """Yield *segments*, those that follow each other and are alike as one.

    Those in turns may be *apart*: they do nothing more often than is seen.
    """
    last: Segment | None = None
    for one in segments:
        if (
            last is not None
            and (last.state, last.label) == (one.state, one.label)
            and one.start <= last.end + (apart if last.state == "turns" else 1)
        ):
            last = replace(last, end=max(last.end, one.end))
            continue
        if last is not None:
            yield last
        last = one
    if last is not None:
        yield last
