"""How lanes are drawn."""

from typing import Any
from xml.etree import ElementTree as ET

import drawing
import lanes
import pytest

Facts = dict[str, Any]
Does = list[tuple[str, float, float, str]]
SVG = "{http://www.w3.org/2000/svg}"


def lane(does: Does, name: str = "one", kind: str = "thread") -> Facts:
    """Return the facts of a lane."""
    return {
        "kind": kind,
        "name": name,
        "alive": [does[0][1], does[-1][2]],
        "does": does,
    }


def timeline(*found: Facts, **changes: object) -> lanes.Timeline:
    """Return a timeline of one picture, 1000 microseconds long."""
    picture: Facts = {
        "of": "recipe",
        "took": 1000,
        "axis": 1000,
        "cuts": [],
        "more": 0,
        "lanes": found,
    } | changes
    return lanes.Timeline("a.recipe", "0", "3.14", [lanes.picture(picture)])


def drawn(shown: lanes.Timeline) -> ET.Element:
    """Return the drawing, parsed."""
    return ET.fromstring(lanes.svg(shown))


def bars(root: ET.Element, kind: str) -> list[tuple[float, float]]:
    """Return where bars of a kind begin and how wide they are, in percent."""
    return [
        (float(x.rstrip("%")), float(one.get("width", "").rstrip("%")))
        for one in root.iter(f"{SVG}rect")
        if one.get("class") == kind and (x := one.get("x", "")).endswith("%")
    ]


def texts(root: ET.Element) -> list[str]:
    """Return what is written."""
    return [one.text or "" for one in root.iter(f"{SVG}text")]


def test_each_stretch_is_drawn_where_its_time_is_on_the_axis() -> None:
    does: Does = [
        ("runs", 0, 250, "work"),
        ("waits", 250, 500, "Event.wait"),
        ("blocked", 500, 750, "a lock"),
        ("turns", 750, 1000, "work"),
    ]
    root = drawn(timeline(lane(does), lane(does)))
    for number, (state, *_) in enumerate(does):
        assert bars(root, state) == [(25 * number, 25)] * 2


def test_a_stretch_too_short_to_be_seen_is_seen_and_on_the_axis() -> None:
    root = drawn(timeline(lane([("runs", 0, 1, ""), ("runs", 999, 1000, "")])))
    (first, width), (last, same) = bars(root, "runs")
    assert first == 0
    assert width == same == pytest.approx(lanes.LEAST)
    assert last + width == pytest.approx(100)


def marks(root: ET.Element, kind: str) -> int:
    """Return how many marks of a kind there are, that of the legend too."""
    return sum(one.get("class") == kind for one in root.iter(f"{SVG}path"))


def test_what_is_cut_out_of_the_axis_takes_a_gap_with_a_mark() -> None:
    does: Does = [
        ("runs", 0, 10, ""),
        ("waits", 10, 990, "Event.wait"),
        ("runs", 990, 1000, ""),
    ]
    root = drawn(timeline(lane(does), cuts=[(10, 990)]))
    half = (100 - lanes.GAP) / 2
    (first, width), (last, same) = bars(root, "runs")
    assert first == 0
    assert last == pytest.approx(half + lanes.GAP, abs=0.01)
    assert width == same == pytest.approx(half, abs=0.01)
    assert marks(root, "break") == 2
    assert "nothing runs, left out" in texts(root)


def test_times_on_a_broken_axis_are_those_since_the_start() -> None:
    does: Does = [("runs", at, at + 10, "") for at in (0, 500, 990)]
    cuts = [(10, 500), (510, 990)]
    root = drawn(timeline(lane(does), cuts=cuts))
    places = {
        one.text: float(one.get("x", "").rstrip("%"))
        for one in root.iter(f"{SVG}text")
        if (one.text or "").removesuffix(" µs").isdigit()
    }
    shown = sorted(places, key=places.__getitem__)
    assert shown == ["0", "500", "990", "1000 µs"]
    assert lanes.numbers([0, 99.1, 99.4, 102]) == ["0", "99.1", "99.4", "102"]
    assert lanes.numbers([0, 1.25, 4]) == ["0", "1.2", "4"]


def test_the_end_of_an_axis_is_written_whatever_is_beside_it() -> None:
    does: Does = [("runs", 0, 1000, "")]
    for axis in (1000, 999_999, 2_100_000):
        root = drawn(timeline(lane(does), axis=axis, took=0))
        units = [one for one in texts(root)[2:] if one[-1] == "s" != one]
        assert len([one for one in units if one[0].isdigit()]) == 1


def test_a_label_is_written_only_where_it_fits_on_a_phone_or_a_desk() -> None:
    def kinds(end: int) -> list[str]:
        root = drawn(timeline(lane([("waits", 0, end, "Event.wait")])))
        found = [
            one for one in root.iter(f"{SVG}text") if one.text == "Event.wait"
        ]
        return [one.get("class", "") for one in found]

    assert kinds(1000) == ["in-waits"]
    assert kinds(250) == ["in-waits wide"]
    assert kinds(50) == []


def test_the_legend_names_the_looks_that_are_drawn_and_no_others() -> None:
    written = texts(drawn(timeline(lane([("runs", 0, 1000, "work")]))))
    assert "runs" in written
    assert not {"waits", "blocked", "in turns", "dies"} & {*written}


def test_turns_too_short_for_stripes_are_drawn_as_one_run() -> None:
    does: Does = [("turns", 0, 5, ""), ("waits", 5, 1000, "Event.wait")]
    root = drawn(timeline(lane(does)))
    assert bars(root, "runs")
    assert not bars(root, "turns")
    assert "in turns" not in texts(root)


def test_a_process_that_dies_is_marked_where_it_does() -> None:
    died = lane([("runs", 0, 400, "work")]) | {"dies": True}
    shown = timeline(died, lane([("runs", 0, 1000, "work")]))
    root = drawn(shown)
    _, mark, _ = root.iter(f"{SVG}svg")
    assert mark.get("x") == "40.00%"
    assert marks(root, "dies") == 2
    assert "dies" in texts(root)
    first_lane, other = shown.pictures[0].lanes
    assert first_lane.words == "from 0 on: runs 400 µs, dies at 400 µs"
    assert "dies" not in other.words


def test_what_is_written_beside_the_axis_fits_on_a_phone() -> None:
    found = [
        lane([("runs", 0, 1000, "")], name=f"a_task_with_a_long_name_{n}")
        for n in range(9)
    ]
    root = drawn(timeline(*found, axis=123_456_789, took=123_456_789, more=3))
    left = float(
        root.get("style", "").partition("0 0 0 ")[2].partition("em")[0]
    )
    assert left < drawing.PHONE / 2
    assert "and 3 more" in texts(root)
    names = [one for one in texts(root) if one.startswith("a_task")]
    assert {len(one) for one in names} == {lanes.NAME}


def test_two_pictures_on_one_axis_have_one_and_else_two() -> None:
    def axes(other: float) -> int:
        one = timeline(lane([("runs", 0, 1000, "")])).pictures
        two = timeline(lane([("runs", 0, 1000, "")]), axis=other).pictures
        shown = lanes.Timeline("a.recipe", "0", "3.14", one + two)
        assert shown.one_axis is (other == 1000)
        found = drawn(shown).iter(f"{SVG}line")
        return sum(line.get("class") == "axis" for line in found)

    assert axes(1000) == 1
    assert axes(5000) == 2


def test_a_lane_is_said_in_words_that_name_what_it_waits_for() -> None:
    does: Does = [
        ("runs", 0, 12, "work"),
        ("waits", 12, 5_012, "Event.wait"),
        ("waits", 5_012, 5_112, "the GIL"),
        ("blocked", 5_112, 2_005_112, "a lock"),
        ("turns", 2_005_112, 2_005_113, "work"),
    ]
    [picture] = timeline(lane(does)).pictures
    assert picture.lanes[0].words == (
        "from 0 on: runs 12 µs, waits 5.0 ms in Event.wait,"
        " waits 100 µs for the GIL, blocked 2.0 s by a lock,"
        " runs and waits in turns 1.0 µs"
    )


def test_a_lane_of_many_stretches_is_not_said_to_its_end() -> None:
    does: Does = [("runs", n, n + 1, "") for n in range(20)]
    [picture] = timeline(lane(does)).pictures
    assert picture.lanes[0].words.endswith("and so on, 12 more")
    assert picture.lanes[0].words.count("runs") == lanes.WORDS


def test_a_thumbnail_shows_what_runs_and_writes_nothing() -> None:
    does: Does = [
        ("runs", 0, 250, "work"),
        ("waits", 250, 750, "Event.wait"),
        ("blocked", 750, 1000, "a lock"),
    ]
    shown = timeline(lane(does), lane(does[:1]), of="trap")
    root = ET.fromstring(lanes.thumbnail(shown))
    assert root.get("aria-hidden") == "true"
    assert bars(root, "runs") == [(0, 25), (0, 25)]
    assert bars(root, "blocked") == [(75, 25)]
    assert not bars(root, "waits")
    assert not texts(root)
    [group] = root.iter(f"{SVG}g")
    assert group.get("class") == "trap"
