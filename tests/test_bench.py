import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as program
from bench import charts, engines, figures
from bench.__main__ import NotMeasuredError, Run, answer, main
from bench.charts import CHARTS, GOALS, Case, Goal
from bench.engines import CEILING, ENGINES, Engine
from bench.figures import Rows, row
from cookbook import catalogue

Record = dict[str, Any]

every_chart = pytest.mark.parametrize("name", CHARTS)
posix = pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX")


@pytest.fixture(scope="module")
def recorded() -> Record:
    """What stands in the book."""
    record: Record = json.loads(program.RECORDED.read_text(encoding="utf-8"))
    return record


def recorded_rows(record: Record, name: str) -> Rows:
    return Rows(record["charts"][name]["rows"], record["own"])


def test_a_row_holds_the_median_and_how_far_the_rounds_lie_apart() -> None:
    found = row("3.13", "Pool", 10.0, [2.0, 1.23456, 5.0, 3.0])
    assert found == {
        "series": "3.13",
        "label": "Pool",
        "x": 10.0,
        "median": 2.5,
        "low": 1.235,
        "high": 5.0,
        "rounds": 4,
        "values": [2.0, 1.235, 5.0, 3.0],
    }


def test_no_row_is_made_of_nothing() -> None:
    with pytest.raises(ValueError, match="nothing was measured for 'Pool'"):
        row("3.13", "Pool", None, [])


def test_a_row_that_was_not_measured_is_not_found() -> None:
    rows = Rows([row("3.13", "Pool", None, [1.0])], "3.13")
    assert rows.at("Pool") == 1.0
    for look in (
        lambda: rows.at("Pool", "3.14"),
        lambda: rows.line("Pool"),
        lambda: rows.series("mpire"),
    ):
        with pytest.raises(LookupError):
            look()


def test_rows_are_compared_round_by_round() -> None:
    rows = [row("3.13", "a", None, [4, 9]), row("3.13", "b", None, [2, 3])]
    assert Rows(rows, "3.13").ratios("a", "b") == [2.0, 3.0]


def test_each_round_has_all_the_names_in_another_order() -> None:
    names = ["a", "b", "c", "d"]
    orders = [program.turned(names, number) for number in range(4)]
    assert all(sorted(order) == names for order in orders)
    assert len(set(map(tuple, orders))) == 4
    assert program.turned([], 3) == []


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        (Goal("", "", lambda _: [0.8, 0.9, 1.0], least=0.9), 0.9, True),
        (Goal("", "", lambda _: [0.8, 0.9, 1.0], least=0.91), 0.9, False),
        (
            Goal("", "", lambda _: [0.8, 0.9, 1.0], least=1, spread=True),
            0.9,
            True,
        ),
        (
            Goal("", "", lambda _: [0.8, 0.9, 0.99], least=1, spread=True),
            0.9,
            False,
        ),
        (Goal("", "", lambda _: [1.1, 1.2, 1.3], most=1.2), 1.2, True),
        (Goal("", "", lambda _: [1.1, 1.21, 1.3], most=1.2), 1.21, False),
    ],
)
def test_a_target_is_met_by_the_median_or_within_the_spread(
    goal: Goal, *, value: float, met: bool
) -> None:
    found = goal.judge(Rows([], "3.13"))
    assert (found["measured"], found["met"]) == (value, met)


def test_a_target_whose_chart_was_not_measured_is_left_out() -> None:
    assert charts.targets({}) == []
    assert charts.targets({"data": Rows([], "3.13")}) == []


@every_chart
def test_a_chart_stands_on_the_pages_of_recipes_that_exist(name: str) -> None:
    there = {one.name for one in catalogue.recipes()}
    begun = {one.name for one in catalogue.chapters() if one.recipes}
    named = {
        one for one in CHARTS[name].recipes if one.partition(".")[0] in begun
    }
    assert named <= there


@every_chart
def test_a_chart_is_measured_by_functions_and_engines_that_exist(
    name: str,
) -> None:
    for case in CHARTS[name].cases:
        module, _, function = case.measurement.partition(".")
        source = (figures.HERE / f"{module}.py").read_text(encoding="utf-8")
        assert f"\ndef {function}(" in source
        if module == "computing":
            assert set(case.names) <= {CEILING, *ENGINES}


@every_chart
def test_what_is_recorded_is_a_chart_as_it_is_drawn(
    recorded: Record, name: str
) -> None:
    chart = recorded["charts"][name]
    assert chart["kind"] == ("lines" if chart["x"] else "bars")
    assert chart["rows"]
    for one in chart["rows"]:
        assert one["series"] in recorded["pythons"]
        assert (one["x"] is None) is (chart["x"] is None)
        assert len(one["values"]) == one["rounds"]
        median = statistics.median(one["values"])
        assert one["median"] == pytest.approx(median, rel=0.001)
        assert one["low"] == min(one["values"]) > 0
        assert one["high"] == max(one["values"])
    keys = [(one["series"], one["label"], one["x"]) for one in chart["rows"]]
    assert len(set(keys)) == len(keys)


@every_chart
def test_each_sentence_of_the_book_holds_for_what_is_recorded(
    recorded: Record, name: str
) -> None:
    chart = recorded["charts"][name]
    rows = recorded_rows(recorded, name)
    assert chart == program.drawn(CHARTS[name], rows)
    assert chart["holds"]


def test_the_targets_are_what_the_recorded_rows_say(recorded: Record) -> None:
    measured = {name: recorded_rows(recorded, name) for name in CHARTS}
    assert recorded["targets"] == charts.targets(measured)
    assert len(recorded["targets"]) == len(GOALS)


def test_the_record_says_of_what_and_on_what_it_is(recorded: Record) -> None:
    assert set(recorded["machine"]) == {"cpu", "cores", "memory", "system"}
    assert recorded["own"] in recorded["pythons"]
    assert set(recorded["source"]) == set(figures.sources())


def test_all_that_is_measured_has_a_fingerprint() -> None:
    names = {"bench", "primes", "processes.chunk_size"}
    assert names <= set(figures.sources())


def test_a_change_in_what_measures_or_is_measured_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "HERE", tmp_path)
    monkeypatch.setattr(catalogue, "ROOT", tmp_path)
    measuring = tmp_path / "measuring.py"
    recipe = tmp_path / "recipe.py"

    def changed(path: Path, text: str) -> set[str]:
        before = figures.sources()
        path.write_text(text, encoding="utf-8")
        after = figures.sources()
        return {name for name in after if after[name] != before.get(name)}

    recipe.write_text("x = 1\n", encoding="utf-8")
    measuring.write_text("from cookbook.recipe import x\n", encoding="utf-8")
    assert changed(recipe, "x = 2\n") == {"bench", "recipe"}
    monkeypatch.setattr(catalogue, "ROOT", tmp_path / "elsewhere")
    catalogue.ROOT.mkdir()
    recipe = catalogue.ROOT / "recipe.py"
    recipe.write_text("x = 1\n", encoding="utf-8")
    assert changed(recipe, '"""Words."""\nx = 1\n') == set()
    assert changed(recipe, "x = 2\n") == {"recipe"}
    text = "from cookbook.recipe import x\n\nx += 1\n"
    assert changed(measuring, text) == {"bench"}


def test_a_missing_interpreter_is_left_out_and_named() -> None:
    run = Run(quick=True)
    case = Case("sharing.locks", python="3.99")
    assert run.samples(case, "3.99", 0) == []
    assert run.left_out == {
        "sharing.locks, Python 3.99": "there is no Python 3.99 on PATH"
    }


@posix
def test_an_interpreter_that_does_not_start_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotMeasuredError, match=r"no Python 3\.99 on PATH"):
        Run().pythons.find("3.99")


def test_an_engine_that_is_not_installed_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    absent = Engine(engines.threads, "no_such_package")
    monkeypatch.setitem(ENGINES, "joblib", absent)
    assert engines.lacking("joblib") == "no_such_package is not installed"
    later = Engine(engines.threads, since=(3, 99))
    monkeypatch.setitem(ENGINES, "joblib", later)
    assert engines.lacking("joblib") == "it needs Python 3.99"
    assert engines.lacking("ThreadPoolExecutor") == ""
    with pytest.raises(ValueError, match="no engine is called 'nobody'"):
        engines.lacking("nobody")


def test_an_engine_that_is_not_there_is_left_out_by_name() -> None:
    run = Run(quick=True)
    names = ("ThreadPoolExecutor", "InterpreterPoolExecutor")
    case = Case("computing.per_task", names)
    samples = run.samples(case, run.pythons.own, 0)
    missing = sys.version_info < (3, 14)
    assert [label for label, *_ in samples] == [*names[: 2 - missing]]
    assert len(run.left_out) == missing
    if missing:
        [(what, why)] = run.left_out.items()
        assert what.startswith("InterpreterPoolExecutor, Python 3.1")
        assert why == "it needs Python 3.14"


@pytest.mark.parametrize(
    ("measurement", "names", "labels"),
    [
        (
            "computing.models",
            ("recipe pool_map", CEILING),
            {"recipe pool_map", CEILING},
        ),
        ("waiting.waits", ("asyncio",), {"asyncio"}),
        ("starting.startup", ("spawn",), {"spawn, first", "spawn, again"}),
        (
            "sharing.locks",
            (),
            {
                "one thread, no lock",
                "one thread, a lock",
                "two threads, a lock for each",
                "two threads, one lock",
            },
        ),
    ],
)
def test_a_measurement_yields_one_positive_figure_for_each_label(
    measurement: str, names: tuple[str, ...], labels: set[str]
) -> None:
    run = Run(quick=True)
    samples = run.samples(Case(measurement, names), run.pythons.own, 0)
    assert run.left_out == {}
    assert {label for label, *_ in samples} == labels
    assert len(samples) == len(labels)
    assert all(value > 0 for *_, value in samples)


def test_a_measurement_that_fails_is_left_out_with_its_error() -> None:
    command = [sys.executable, "-c", "raise ValueError('no luck')"]
    with pytest.raises(NotMeasuredError, match=r"^ValueError: no luck$"):
        answer(command, 60)
    with pytest.raises(NotMeasuredError, match=r"^exit code 3$"):
        answer([sys.executable, "-c", "raise SystemExit(3)"], 60)


def test_what_an_engine_prints_is_not_taken_for_figures() -> None:
    script = (
        "import bench.child, bench.sharing\n"
        "def chatty(quick):\n"
        "    print('noise')\n"
        "    yield 'a', None, 1.0\n"
        "bench.sharing.locks = chatty\n"
        "bench.child.main('sharing.locks', 'quick')\n"
    )
    found = answer([sys.executable, "-c", script], 60)
    assert found == {"samples": [["a", None, 1.0]], "missing": {}}


@posix
def test_a_measurement_that_hangs_is_ended_with_all_it_started(
    tmp_path: Path,
) -> None:
    pid = tmp_path / "pid"
    script = (
        "import pathlib, subprocess, sys, time\n"
        "wait = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "child = subprocess.Popen(wait)\n"
        "pathlib.Path(sys.argv[1]).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    began = time.monotonic()
    limit = 0.5
    pid.touch()
    while not pid.read_text("ascii") and time.monotonic() < began + 60:
        with pytest.raises(NotMeasuredError, match=f"^more than {limit:g} s$"):
            answer([sys.executable, "-c", script, str(pid)], limit)
        limit *= 2  # a busy machine starts it late
    assert_ended(int(pid.read_text(encoding="ascii")))


def assert_ended(pid: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        except OSError:
            return
        if state.rpartition(") ")[2].startswith("Z"):
            return
    raise AssertionError(f"{pid} still runs")


def test_a_run_of_one_chart_is_printed_and_written_where_it_is_asked_to(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", "")
    path = tmp_path / "mine.json"
    assert main(["--quick", "--only", "locks", "--output", str(path)]) == 0
    record = json.loads(path.read_text(encoding="utf-8"))
    run = Run()
    assert [*record["charts"]] == ["locks"]
    assert record["own"] == run.pythons.own
    own = {one["series"] for one in record["charts"]["locks"]["rows"]}
    assert own == {run.pythons.own}
    printed, progress = capsys.readouterr()
    for version in {"3.13t", "3.14", "3.15"} - own:
        assert f"there is no Python {version} on PATH" in printed
    assert "two threads, one lock" in printed
    assert CHARTS["locks"].sentence not in printed  # it is no measurement
    assert "1 of 1: " in progress


def test_a_run_of_one_chart_leaves_what_is_recorded_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(program, "RECORDED", tmp_path / "bench.json")
    assert main(["--quick", "--only", "locks"]) == 0
    assert [*tmp_path.iterdir()] == []


def test_what_is_written_has_a_row_to_a_line_and_is_read_as_it_was() -> None:
    rows = [row("3.13", "a", None, [1.0]), row("3.13", "b", None, [2.0])]
    record = {
        "machine": {"cores": 2},
        "charts": {"x": {"title": "t", "rows": rows}},
        "targets": [{"met": True}],
    }
    written = program.text(record)
    assert json.loads(written) == record
    assert sum('"median"' in line for line in written.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "nonsense"], "invalid choice: 'nonsense'"),
        (["--only"], "expected at least one argument"),
        (["--output", "no/such/folder/x.json"], "there is no folder"),
        (["nonsense"], "unrecognized arguments: nonsense"),
    ],
)
def test_a_bad_argument_is_refused_before_anything_is_measured(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert words in capsys.readouterr().err
