import json
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import drawing
import figures
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook import forms
from tests.charting import chart, drawn, file, row

RECORDED = Path(__file__).parent.parent / "docs" / "recorded" / "bench.json"
BARS = [row("one", 1.0), row("two", 2.0), row("five", 5.0)]
LINES = [
    row(label, factor * x, x)
    for label, factor in [("slow", 1.0), ("fast", 2.0)]
    for x in [10.0, 1.0, 100.0]
]


def svg(shown: figures.Chart) -> ET.Element:
    """Return the drawing, parsed."""
    return ET.fromstring(drawing.svg(shown))


def parts(root: ET.Element, tag: str, kind: str = "") -> list[Any]:
    """Return the elements of a kind."""
    found = root.iter(f"{{http://www.w3.org/2000/svg}}{tag}")
    return [one for one in found if kind in one.get("class", "")]


def texts(root: ET.Element) -> list[str]:
    """Return what is written."""
    return [one.text or "" for one in parts(root, "text")]


def place(element: ET.Element, name: str) -> float:
    """Return an attribute in percent or ems."""
    return float(element.get(name, "").rstrip("%em"))


# Bars


def test_each_row_of_bars_is_drawn_and_named_once_in_order() -> None:
    root = svg(drawn(BARS))
    assert len(parts(root, "rect", "bar")) == len(BARS)
    assert len(parts(root, "line", "spread")) == len(BARS)
    written = ["things", "one", "1.00", "two", "2.00", "five", "5.00"]
    assert texts(root) == written


def test_bars_are_as_long_as_their_figures_are_high() -> None:
    one, two, five = (
        place(bar, "width") for bar in parts(svg(drawn(BARS)), "rect")
    )
    assert two / one == pytest.approx(2, rel=0.01)
    assert five / one == pytest.approx(5, rel=0.01)


def test_a_spread_lies_around_the_end_of_its_bar_and_in_the_plot() -> None:
    root = svg(drawn(BARS))
    bars, spreads = parts(root, "rect"), parts(root, "line", "spread")
    for bar, spread in zip(bars, spreads, strict=True):
        end = place(bar, "width")
        assert place(spread, "x1") == pytest.approx(0.9 * end, abs=0.02)
        assert place(spread, "x2") == pytest.approx(1.1 * end, abs=0.02)
    assert max(place(spread, "x2") for spread in spreads) == 100


def test_on_a_logarithmic_scale_a_row_is_a_dot_and_no_bar() -> None:
    rows = [row("one", 1.0), row("ten", 10.0), row("hundred", 100.0)]
    root = svg(drawn(rows, log=True))
    assert not parts(root, "rect")
    first, second, third = (
        place(dot, "cx") for dot in parts(root, "circle", "dot")
    )
    assert first > 5
    assert third - second == pytest.approx(second - first, abs=0.02)
    assert third < 95
    assert [tick for tick in texts(root) if tick in ("1", "10", "100")]


def test_rows_of_several_pythons_stand_below_the_name_of_theirs() -> None:
    rows = [row("a", 1), row("b", 2, series="3.14"), row("c", 3)]
    written = texts(svg(drawn(rows)))
    names = ["Python 3.13", "a", "c", "Python 3.14", "b"]
    assert [text for text in written if text in names] == names


def test_rows_of_one_python_stand_below_no_name() -> None:
    assert "Python 3.13" not in texts(svg(drawn(BARS)))


def test_the_reference_is_a_line_at_its_figure() -> None:
    reference = {"label": "the ceiling", "value": 4.0}
    root = svg(drawn(BARS, reference=reference))
    [line] = parts(root, "line", "reference")
    bars = parts(root, "rect")
    assert line.get("x1") == line.get("x2")
    two = place(bars[1], "width")
    assert place(line, "x1") == pytest.approx(2 * two, abs=0.02)
    assert "the ceiling: 4.00" in texts(root)


def test_a_reference_above_all_figures_is_in_the_plot() -> None:
    reference = {"label": "the ceiling", "value": 50.0}
    root = svg(drawn(BARS, reference=reference))
    [line] = parts(root, "line", "reference")
    assert line.get("x1") == "100.00%"


# Lines


def test_each_point_is_drawn_once_and_each_line_is_named_once() -> None:
    root = svg(drawn(LINES))
    assert len(parts(root, "circle", "dot")) == len(LINES)
    assert len(parts(root, "line", "spread")) == len(LINES)
    assert len(parts(root, "line", "line")) == len(LINES) - 2
    assert [texts(root).count(name) for name in ("slow", "fast")] == [1, 1]
    assert "an axis" in texts(root)


@pytest.mark.parametrize("log", [False, True])
def test_a_line_runs_to_the_right_and_up_with_its_figures(log: bool) -> None:
    axis = {"label": "an axis", "log": log}
    root = svg(drawn(LINES, x=axis, log=log))
    [slow, fast] = parts(root, "g")
    for group in slow, fast:
        points = [
            (place(dot, "cx"), place(dot, "cy"))
            for dot in parts(group, "circle")
        ]
        for (x1, y1), (x2, y2) in pairwise(points):
            assert x1 < x2
            assert y1 > y2
    if not log:
        [one, ten, hundred] = (place(it, "cy") for it in parts(slow, "circle"))
        assert (one - hundred) / (one - ten) == pytest.approx(11, rel=0.01)
    for lower, upper in zip(
        parts(slow, "circle"), parts(fast, "circle"), strict=True
    ):
        assert lower.get("cx") == upper.get("cx")
        assert place(lower, "cy") > place(upper, "cy")


def test_names_at_the_ends_of_lines_that_meet_do_not_overlap() -> None:
    rows = [
        row(f"line {n}", 5.0 + n / 100, x) for n in range(20) for x in (1, 2)
    ]
    root = svg(drawn(rows))
    heights = sorted(
        place(text, "y")
        for text in parts(root, "text")
        if (text.text or "").startswith("line ")
    )
    assert len(heights) == 20
    assert all(b - a >= drawing.LINE for a, b in pairwise(heights))
    assert heights[-1] < place(root, "height")
    assert heights[0] > 0
    # half of them beside each half of the ends, which are all in one place
    end = place(parts(root, "circle")[-1], "cy")
    assert heights[0] < end < heights[-1]


def test_names_at_the_ends_of_lines_stay_beside_the_plot() -> None:
    for values in ([9.0] * 9 + [0.0], [0.0] * 9 + [9.0]):
        rows = [
            row(f"line {n}", value, x)
            for n, value in enumerate(values)
            for x in (1, 2)
        ]
        root = svg(drawn(rows))
        dots = [place(dot, "cy") for dot in parts(root, "circle")]
        names = [
            place(text, "y")
            for text in parts(root, "text")
            if (text.text or "").startswith("line ")
        ]
        assert min(dots) - 1 <= min(names)
        assert max(names) <= max(dots) + 1.5


def test_ticks_that_would_run_into_each_other_are_left_out() -> None:
    rows = [row("a long name for it", 1, 10.0**n) for n in range(12)]
    root = svg(drawn(rows, x={"label": "an axis", "log": True}))
    ticks = [text for text in texts(root) if text.startswith("1")]
    assert "1" in ticks
    assert 1 < len(ticks) < 10


def test_lines_of_several_pythons_are_told_apart_by_name() -> None:
    one = [
        row("a", 1, x, series) for series in ("3.13", "3.14") for x in (1, 2)
    ]
    assert {"Python 3.13", "Python 3.14"} <= set(texts(svg(drawn(one))))
    two = [row("b", 2, x) for x in (1, 2)]
    names = {"a, 3.13", "a, 3.14", "b, 3.13"}
    assert names <= set(texts(svg(drawn(one + two))))


def test_the_reference_of_lines_lies_across_at_its_figure() -> None:
    rows = [row("a", 1.0, 1.0), row("a", 3.0, 2.0)]
    reference = {"label": "the loop", "value": 2.0}
    root = svg(drawn(rows, reference=reference))
    across, key = parts(root, "line", "reference")
    low, high = parts(root, "circle")
    middle = (place(low, "cy") + place(high, "cy")) / 2
    assert place(across, "y1") == pytest.approx(middle, abs=0.02)
    assert (across.get("x1"), across.get("x2")) == ("0", "100%")
    assert place(key, "y1") < place(high, "cy")
    assert "the loop: 2.00" in texts(root)


# Every chart


@pytest.mark.parametrize("rows", [BARS, LINES])
def test_a_chart_has_a_name_and_leads_to_its_figures_in_words(
    rows: list[dict[str, Any]],
) -> None:
    root = svg(drawn(rows))
    assert root.get("role") == "img"
    [title], [words] = parts(root, "title"), parts(root, "desc")
    assert title.text == "A title"
    assert words.text == "things; the table below has the figures"
    assert root.get("aria-labelledby") == title.get("id")
    assert root.get("aria-describedby") == words.get("id")


@pytest.mark.parametrize("rows", [BARS, LINES])
def test_what_a_file_says_is_written_and_never_markup(
    rows: list[dict[str, Any]],
) -> None:
    bad = '<b> & "c"'
    named = [{**one, "label": f"{bad} {one['label']}"} for one in rows]
    changes: dict[str, Any] = {"title": bad, "unit": bad}
    changes["reference"] = {"label": bad, "value": 1.0}
    if rows is LINES:
        changes["x"] = {"label": bad, "log": False}
    root = svg(drawn(named, **changes))
    assert not parts(root, "b")
    assert parts(root, "title")[0].text == bad
    assert bad in texts(root)
    assert f"{bad}: 1.00" in texts(root)


def test_a_name_that_is_too_long_is_cut_at_a_capital_and_loses_nothing() -> (
    None
):
    rows = [row("InterpreterPoolExecutor, with words", 1.0)]
    written = texts(svg(drawn(rows)))[1:-1]
    assert written[0] == "InterpreterPool"
    assert "".join(written).replace(" ", "") == (
        "InterpreterPoolExecutor,withwords"
    )
    assert max(map(len, written)) <= drawing.BESIDE
    [_, *small, _] = texts(svg(drawn([row("x" * 50, 1.0)])))
    assert "".join(small) == "x" * 50


@given(
    st.lists(st.floats(1e-9, 1e9), min_size=2, max_size=9, unique=True),
    st.booleans(),
)
def test_a_higher_figure_is_never_lower_on_a_scale(
    values: list[float], log: bool
) -> None:
    scale = drawing.Scale(min(values), max(values), log)
    places = [scale.at(value) for value in sorted(values)]
    assert places[0] == 0
    assert places[-1] == pytest.approx(1)
    assert places == sorted(places)


@given(st.floats(1e-6, 1e6), st.floats(1.5, 1e6), st.booleans())
def test_ticks_are_round_and_lie_between_the_ends(
    low: float, factor: float, log: bool
) -> None:
    scale = drawing.Scale(low, low * factor, log)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 14
    assert ticks == sorted(set(ticks))
    for tick in ticks:
        assert -1e-6 <= scale.at(tick) <= 1 + 1e-6
        if tick not in (scale.low, scale.high):
            assert float(f"{tick:.1e}") == pytest.approx(tick)


def test_one_figure_alone_and_none_but_zero_can_be_drawn() -> None:
    nothing = {**row("a", 0.0), "high": 0.0}
    assert parts(svg(drawn([nothing])), "rect")[0].get("width") == "0.00%"
    [dot] = parts(svg(drawn([row("a", 1.0, 5.0)])), "circle")
    assert dot.get("cx") == "50.00%"
    assert "5" in texts(svg(drawn([row("a", 1.0, 5.0)])))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.0123, "0.012"),
        (0.954, "0.95"),
        (1, "1.00"),
        (1.966, "1.97"),
        (0.999, "1.0"),
        (9.999, "10.0"),
        (17.04, "17.0"),
        (250.4, "250"),
        (1831, "1,830"),
        (123456, "123,000"),
    ],
)
def test_a_figure_is_shown_with_the_digits_that_mean_something(
    value: float, shown: str
) -> None:
    assert figures.number(value) == shown


# The table


def test_the_table_holds_each_row_once_with_its_spread_and_rounds() -> None:
    shown = drawn(BARS)
    assert shown.columns == ["Measured", "Median", "Spread", "Rounds"]
    assert shown.cells[1] == ["two", "2.00", "1.80 to 2.20", "3"]
    assert len(shown.cells) == len(BARS)


def test_the_table_of_lines_on_several_pythons_says_where_each_row_is() -> (
    None
):
    rows = [row("a", 1, 10, series) for series in ("3.13", "3.13t")]
    shown = drawn(rows)
    assert shown.columns[:3] == ["Python", "Measured", "an axis"]
    assert [cells[:3] for cells in shown.cells] == [
        ["3.13", "a", "10"],
        ["3.13t", "a", "10"],
    ]


# The file


def put(whole: object, path: tuple[str | int, ...], value: object) -> None:
    """Set a value deep in a file."""
    here: Any = whole
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("charts",), [], "the file: 'charts' is []"),
        (("machine", "cores"), None, "'machine': 'cores' is None"),
        (("source",), {}, "'source' has no 'bench'"),
        (("pythons", "3.13"), 3, "'pythons': '3.13' is 3"),
        (("charts", "c"), [], "chart 'c' is no object"),
        (("charts", "c", "holds"), 1, "chart 'c': 'holds' is 1"),
        (("charts", "c", "kind"), "pie", "chart 'c': 'kind' is none of"),
        (("charts", "c", "rows"), [], "chart 'c' has no rows"),
        (
            ("charts", "c", "x"),
            {"label": "x", "log": True},
            "chart 'c': lines have an 'x', and bars have none",
        ),
        (("charts", "c", "rows", 1), 5, "chart 'c', row 2 is no object"),
        (("charts", "c", "rows", 1), {}, "chart 'c', row 2 has no 'series'"),
        (
            ("charts", "c", "rows", 1, "median"),
            "2",
            "chart 'c', row 2: 'median' is '2'",
        ),
        (
            ("charts", "c", "rows", 1, "median"),
            True,
            "chart 'c', row 2: 'median' is True",
        ),
        (
            ("charts", "c", "rows", 1, "median"),
            float("nan"),
            "chart 'c', row 2: 'median' is nan",
        ),
        (
            ("charts", "c", "rows", 1, "low"),
            2.1,
            "chart 'c', row 2: the median is outside its spread",
        ),
        (
            ("charts", "c", "rows", 1, "high"),
            1.9,
            "chart 'c', row 2: the median is outside its spread",
        ),
        (
            ("charts", "c", "rows", 1, "low"),
            -1,
            "chart 'c', row 2: -1.0 has no place on the scale",
        ),
        (("charts", "c", "rows", 1, "x"), 1, "chart 'c', row 2: 'x' is 1.0"),
        (
            ("charts", "c", "rows", 1, "label"),
            "one",
            "chart 'c', row 2 was there before",
        ),
        (
            ("charts", "c", "reference"),
            {"label": "r"},
            "chart 'c', 'reference' has no 'value'",
        ),
        (("targets", 0, "met"), "yes", "target 1: 'met' is 'yes'"),
        (("targets", 0, "target"), "= 1", "no target: '= 1'"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused_with_the_place(
    path: tuple[str | int, ...], value: object, message: str
) -> None:
    target = {"text": "t", "target": ">= 1", "measured": 2}
    target |= {"low": 1, "high": 3, "met": True}
    whole = file({"c": chart([dict(one) for one in BARS])}, targets=[target])
    figures.read(json.dumps(whole))
    put(whole, path, value)
    with pytest.raises(figures.FiguresError) as raised:
        figures.read(json.dumps(whole))
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("log", ["the scale", "the axis"])
def test_what_is_not_above_zero_is_refused_on_a_logarithmic_scale(
    log: str,
) -> None:
    rows = [row("a", 1.0, 1.0), row("a", 1.0, 0.0)]
    changes: dict[str, Any] = {"x": {"label": "x", "log": True}}
    if log == "the scale":
        rows = [row("a", 1.0), row("b", 0.0)]
        changes = {"log": True}
    with pytest.raises(figures.FiguresError, match=f"row 2: 0.0 .* {log}"):
        drawn(rows, **changes)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_text_that_holds_no_object_is_refused(text: str) -> None:
    with pytest.raises(figures.FiguresError):
        figures.read(text)


@pytest.mark.skipif(not RECORDED.exists(), reason="nothing was measured yet")
def test_the_file_of_the_book_can_be_read_and_every_chart_drawn() -> None:
    found = figures.read(RECORDED.read_text(encoding="utf-8"))
    assert found.charts
    for one in found.charts:
        assert parts(svg(one), "circle") or parts(svg(one), "rect")


def test_versions_are_in_order_and_say_which_are_free_threaded() -> None:
    pythons = {"3.14": "3.14.1", "3.13t": "3.13.9", "3.13": "3.13.0"}
    found = figures.read(json.dumps(file({}, pythons=pythons)))
    assert found.builds == ["3.13.0", "3.13.9t", "3.14.1"]


# What may be published


def test_a_sentence_that_does_not_hold_is_named_with_its_chart() -> None:
    charts = {"good": chart(BARS), "bad": chart(BARS, holds=False)}
    found = figures.read(json.dumps(file(charts)))
    assert [*found.problems(set())] == [
        "chart 'bad' does not bear out its sentence: A sentence."
    ]


def test_a_chart_for_a_recipe_that_is_not_there_is_named() -> None:
    charts = {"c": chart(BARS, recipes=["a.b", "a.c"])}
    found = figures.read(json.dumps(file(charts)))
    assert [*found.problems({"a.b"})] == ["chart 'c' names no recipe: 'a.c'"]
    assert [one.name for one in found.of("a.b")] == ["c"]
    assert found.of("a.d") == []


def test_figures_are_stale_once_the_code_changes_but_not_its_docstrings(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "bench" / "a.py", tmp_path / "bench" / "b.py"
    recipe = tmp_path / "cookbook" / "chapter" / "recipe.py"
    for path in first, second, recipe:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'"""Words."""\nname = "{path.stem}"\n', "utf-8")
    bench = (path.read_text(encoding="utf-8") for path in (first, second))
    source = {
        "bench": forms.fingerprint(*bench),
        "chapter.recipe": forms.fingerprint(recipe.read_text("utf-8")),
    }
    found = figures.read(json.dumps(file({}, source=source)))
    assert found.stale(tmp_path) == []
    second.write_text('"""Other words."""\nname = "b"\n', "utf-8")
    assert found.stale(tmp_path) == []
    second.write_text("name = 'b'\n", "utf-8")
    assert found.stale(tmp_path) == ["bench"]
    recipe.unlink()
    assert found.stale(tmp_path) == ["bench", "chapter.recipe"]


@pytest.mark.parametrize(
    ("target", "measured", "met", "bound", "verdict"),
    [
        (">= 0.95", 0.97, True, "at least 0.95", "met"),
        (">= 0.9", 0.81, False, "at least 0.9", "missed by 0.090 (10%)"),
        ("<= 1.2", 1.5, False, "at most 1.2", "missed by 0.30 (25%)"),
        (
            ">= 1, within the spread",
            0.98,
            True,
            "at least 1, within the spread",
            "met",
        ),
    ],
)
def test_a_target_is_met_or_it_says_by_how_much_it_is_missed(
    target: str, measured: float, met: bool, bound: str, verdict: str
) -> None:
    one = {"text": "t", "target": target, "measured": measured}
    one |= {"low": 0, "high": 2, "met": met}
    [found] = figures.read(json.dumps(file({}, targets=[one]))).targets
    assert (found.bound, found.verdict) == (bound, verdict)
