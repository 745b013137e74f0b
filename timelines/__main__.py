"""Record what the programs of the book do: ``nox -s timelines``."""

import argparse
import contextlib
import doctest
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cookbook import catalogue, forms
from timelines import lanes, layout

ROOT = Path(__file__).parent.parent
RECORDED = ROOT / "docs" / "recorded" / "timelines"
INJECTED = Path(__file__).parent / "inject"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
MEMORY = Path("/dev/shm")
PAUSE = 2  # milliseconds until the next look for new processes
PATIENCE = 60.0  # seconds that a program gets
PARTS = {"trap": "broken_main", "recipe": "main"}
# What the recorder cannot tell, by a chapter or a model of the recipe.
LEFT_OUT = {
    "measuring": "it measures, and to be recorded makes it slower",
    "interpreters": "each interpreter would have to be watched by itself",
    "cluster": "it runs on an engine",
}


def main() -> None:
    """Record the recipes that have changed, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m timelines")
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = parser.parse_args().names
    recipes = catalogue.recipes()
    for recipe in recipes:
        path = RECORDED / f"{recipe.address}.json"
        code = forms.fingerprint(recipe.source)
        if recipe.name in names or (not names and known(path) != code):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(record(recipe, code), encoding="utf-8")
    addresses = {f"{recipe.address}.json" for recipe in recipes}
    for path in RECORDED.rglob("*.json"):
        if path.relative_to(RECORDED).as_posix() not in addresses:
            path.unlink()


def known(path: Path) -> str:
    """Return the fingerprint of the code that a record is of."""
    if not path.exists():
        return ""
    return str(json.loads(path.read_text(encoding="utf-8"))["code"])


def record(recipe: catalogue.Recipe, code: str) -> str:
    """Return the record of *recipe*, as JSON with a line for each lane."""
    facts: dict[str, Any] = {"code": code, "python": PYTHON}
    try:
        facts["pictures"] = layout.facts(dict(pictures(recipe)))
    except lanes.RecordError as error:
        facts |= {"pictures": [], "why": str(error)}
    shown = [len(one["lanes"]) for one in facts["pictures"]]
    why = facts.get("why", "" if shown else "fewer than two lanes run")
    sys.stdout.write(f"{recipe.name}: {shown or why}\n")
    sys.stdout.flush()
    return written(facts)


def written(facts: dict[str, Any]) -> str:
    """Return *facts* as JSON, of which a line is not too long to compare."""
    text = json.dumps(facts)
    for start in ('{"of"', '{"kind"'):
        text = text.replace(start, f"\n{start}")
    return f"{text}\n"


def pictures(
    recipe: catalogue.Recipe,
) -> Iterator[tuple[str, lanes.Picture]]:
    """Yield what the trap does, and what the recipe does.

    Raises:
        RecordError: If that cannot be told.
    """
    chapter = recipe.name.partition(".")[0]
    for one in (chapter, *recipe.values("models")):
        if one in LEFT_OUT:
            raise lanes.RecordError(f"{one}: {LEFT_OUT[one]}")
    for part, entry in PARTS.items():
        if f"\ndef {entry}(" in recipe.source:
            program = forms.program(recipe.source, entry)
            expected = [
                one.text
                for one in forms.outputs(recipe.source, entry)
                if forms.applies(one.when)
            ]
            yield part, take(program, "".join(expected))


def take(program: str, expected: str) -> lanes.Picture:
    """Run *program* once and return what it does.

    Raises:
        RecordError: If it does not print what the page shows, for then it
            did something else than what it does for the reader.
    """
    # In memory, where there is such a folder: no event waits for a disk.
    memory = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        path = Path(folder).resolve() / "program.py"
        path.write_text(program, encoding="utf-8")
        process, printed, gone = run(path)
        checker = doctest.OutputChecker()
        if not checker.check_output(expected, printed, doctest.ELLIPSIS):
            raise lanes.RecordError("it prints something else when recorded")
        return lanes.picture(lanes.read(path.parent), process, gone)


def run(path: Path) -> tuple[int, str, dict[int, int]]:
    """Run the program at *path* with the recorder in each interpreter.

    Returns:
        The number of its process, what it prints, and when each of its
        processes ended.
    """
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(INJECTED),
        "TIMELINE_FOLDER": str(path.parent),
        "TIMELINE_PROGRAM": str(path),
    }
    gone: dict[int, int] = {}
    done = threading.Event()
    watching = threading.Thread(target=watch, args=(path.parent, gone, done))
    with subprocess.Popen(
        [sys.executable, path],
        cwd=path.parent,
        start_new_session=True,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as running:
        watching.start()
        try:
            printed, _ = running.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired as error:
            os.killpg(running.pid, signal.SIGKILL)
            raise lanes.RecordError("it takes too long") from error
        finally:
            done.set()
            watching.join()
    return running.pid, printed, gone


def watch(folder: Path, gone: dict[int, int], done: threading.Event) -> None:
    """Note when the processes that write to *folder* end.

    Where it is allowed, before any of them goes on: see ``sitecustomize.py``.
    """
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))
    poll = select.poll()
    processes: dict[int, int] = {}
    while not done.is_set():
        for path in folder.glob("*.events"):
            process = int(path.name.partition("-")[0])
            if process in processes.values() or process in gone:
                continue
            try:
                descriptor = os.pidfd_open(process)
            except ProcessLookupError:
                gone[process] = time.monotonic_ns()
            else:
                processes[descriptor] = process
                poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(PAUSE):
            gone[processes.pop(descriptor)] = time.monotonic_ns()
            poll.unregister(descriptor)
            os.close(descriptor)
    for descriptor in processes:
        os.close(descriptor)


if __name__ == "__main__":
    main()
