"""The script that disturbs programs, and the table that it fills."""

import json
import multiprocessing
import os
import sys
from multiprocessing import resource_tracker
from pathlib import Path

import disturbed
import pytest

from tests import faults

ROOT = Path(__file__).parent.parent
LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="programs are disturbed on Linux"
)
CHILD = (
    "import subprocess, sys\n"
    "sleep = 'import time; time.sleep(60)'\n"
    "subprocess.Popen([sys.executable, '-c', sleep])"
)
FILE = "import os; open(os.environ['TMPDIR'] + '/left', 'w').close()"


@LINUX
@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("print('fine')", ("done", "")),
        ("raise ValueError", ("ValueError", "")),
        ("raise SystemExit(3)", ("silent", "")),
        ("import os; os.kill(os.getpid(), 9)", ("SIGKILL", "")),
        (CHILD, ("done", "processes")),
        (FILE, ("done", "files")),
    ],
)
def test_it_is_told_how_a_program_ends_and_what_it_leaves(
    source: str, found: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "GRACE", 0)
    assert faults.run([sys.executable, "-c", source]) == found


@LINUX
def test_a_program_that_does_not_end_is_said_to_wait_and_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faults, "LIMIT", 0.1)
    waits = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert faults.run(waits) == ("waits", "")


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"done": 3, "SIGINT": 7, "OSError": 1}, []),
        ({"done": 8, "waits": 2}, ["waits 2"]),
        ({"silent": 1}, ["silent 1"]),
        (
            {"SIGTERM processes": 1, "silent processes": 2, "done files": 3},
            ["silent 2", "processes 3", "files 3"],
        ),
        (
            {"done": 4, "left a block": 1, "left a semaphore": 2},
            ["semaphores 2", "blocks 1"],
        ),
    ],
)
def test_a_cell_tells_what_did_not_go_well_and_nothing_else(
    counts: dict[str, int], words: list[str]
) -> None:
    assert disturbed.cell(counts) == words


@LINUX
def test_ctrl_c_before_the_tracker_knows_of_a_semaphore_leaves_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(name: str, *_kind: str) -> None:
        names.append(f"sem.{name.removeprefix('/')}")
        raise KeyboardInterrupt

    names: list[str] = []
    monkeypatch.setattr(resource_tracker, "register", interrupt)
    with pytest.raises(KeyboardInterrupt):
        multiprocessing.get_context("spawn").Lock()
    (faults.SHM / names[0]).unlink()  # or FileNotFoundError: it was not left


def test_ten_programs_were_disturbed_as_they_are() -> None:
    found = disturbed.load(ROOT / "docs")
    assert found
    assert [name for name, _ in found.rows] == list(faults.RECIPES)
    if found.stale and "CI" not in os.environ:
        pytest.skip(f"run nox -s faults: {', '.join(found.stale)} changed")
    assert not found.stale, "run nox -s faults"


def test_each_signal_was_sent_two_hundred_times_and_each_fault_recorded() -> (
    None
):
    known = json.loads(faults.PATH.read_text(encoding="utf-8"))
    every = [*faults.SIGNALS, *faults.SHORTAGES, "full /dev/shm"]
    for one in known.values():
        assert list(one["faults"]) == every
        for fault in faults.SIGNALS:
            counts = one["faults"][fault]
            ends = [
                n for how, n in counts.items() if how not in disturbed.LEFT
            ]
            assert sum(ends) == 200


def test_a_program_that_has_changed_since_is_named(tmp_path: Path) -> None:
    facts = {"code": "other", "python": "3.14.0", "faults": {"x": {"done": 1}}}
    kept = tmp_path / "recorded" / "faults.json"
    kept.parent.mkdir()
    name = faults.RECIPES[0]
    kept.write_text(json.dumps({name: facts}), encoding="utf-8")
    found = disturbed.load(tmp_path)
    assert found == ("3.14.0", ["x"], [(name, [[]])], [name])
