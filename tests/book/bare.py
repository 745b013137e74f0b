"""Bare interpreters: a program is pasted into an empty file, and run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.book.browser import ROOT
from tests.programs import members

NAMES = (
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.13t",
    "python3.14",
    "python3.15",
)
START_METHODS = ("fork", "spawn", "forkserver")
TIMEOUT = 120.0  # seconds that a program gets
GRACE = 10.0  # seconds that its processes get to be gone
PROBE = """
import importlib.util, json, multiprocessing, sys
gil = getattr(sys, "_is_gil_enabled", lambda: True)()
bare = importlib.util.find_spec("cookbook") is None
method = multiprocessing.get_start_method()
print(json.dumps([sys.version_info[:2], gil, method, bare]))
"""
WITH_METHOD = """
import multiprocessing, runpy, sys
multiprocessing.set_start_method(sys.argv[1])
runpy.run_path(sys.argv[2], run_name="__main__")
"""
# What the interactive interpreter does with each statement of the file, but
# that the printed text is kept: argv[1] is pasted, argv[2] is written.
AS_TYPED = """
import ast, contextlib, io, json, sys, traceback
with open(sys.argv[1], encoding="utf-8") as file:
    statements = ast.parse(file.read()).body
names = {"__name__": "__main__"}
printed = []
for statement in statements:
    code = compile(ast.Interactive([statement]), "<pasted>", "single")
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        try:
            exec(code, names)
        except Exception as error:
            print("Traceback (most recent call last):")
            print("".join(traceback.format_exception_only(error)), end="")
    printed.append(text.getvalue())
with open(sys.argv[2], "w", encoding="utf-8") as file:
    json.dump(printed, file)
"""


@dataclass(frozen=True)
class Python:
    """An interpreter in which nothing of the book is installed.

    Attributes:
        name: What it is called on PATH.
        path: Its executable.
        version: Its major and minor version.
        gil: Whether it has a GIL.
        method: The start method that is its default.
    """

    name: str
    path: Path
    version: tuple[int, int]
    gil: bool
    method: str


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        code: The exit code; None if the time was up.
        stdout: What was printed.
        stderr: What was complained about.
        left: The processes and files that it left behind.
    """

    code: int | None
    stdout: str
    stderr: str
    left: list[str]


@cache
def find(name: str) -> Python | None:
    """Return the interpreter called *name*; None if there is none that runs.

    Raises:
        ValueError: If the book is installed in it.
    """
    if (found := shutil.which(name)) is None:
        return None
    path = Path(found).resolve()  # a venv's link leads to the bare one
    probe = subprocess.run(
        [path, "-I", "-c", PROBE], capture_output=True, text=True, check=False
    )
    if probe.returncode:
        return None
    version, gil, method, bare = json.loads(probe.stdout)
    if not bare:
        raise ValueError(f"the book is installed in {path}")
    return Python(name, path, (version[0], version[1]), gil, method)


def run(python: Python, text: str, start_method: str = "") -> Ended:
    """Paste *text* into an empty file and run it, with nothing installed.

    Args:
        python: The interpreter.
        text: The program.
        start_method: The default of :mod:`multiprocessing`; the interpreter's
            own if empty.
    """
    with _pasted(text) as file:
        command = (
            ["-c", WITH_METHOD, start_method, file.name]
            if start_method
            else [file.name]
        )
        return _run([str(python.path), "-I", *command], file.parent)


def run_as_typed(python: Python, text: str) -> tuple[Ended, list[str]]:
    """Run the statements of *text* one by one, the book at hand.

    Returns:
        How it ended, and what each statement printed.
    """
    with _pasted(text) as file:
        report = file.parent.with_suffix(".json")
        command = [str(python.path), "-c", AS_TYPED, file.name, str(report)]
        ended = _run(command, file.parent, PYTHONPATH=str(ROOT))
        if not report.exists():
            return ended, []
        return ended, json.loads(report.read_text(encoding="utf-8"))


def run_commands(text: str) -> Ended:
    """Run the commands *text* in an empty folder, the book at hand."""
    with _pasted(text) as file:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        command = ["sh", "-e", file.name]
        return _run(command, file.parent, PATH=path, PYTHONPATH=str(ROOT))


@contextmanager
def _pasted(text: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="book-") as folder:
        here = Path(folder, "here")
        here.mkdir()
        Path(folder, "tmp").mkdir()
        file = here / "pasted.py"
        file.write_text(text, encoding="utf-8")
        yield file


def _run(command: list[str], here: Path, **environment: str) -> Ended:
    """Run a command in a process group of its own, and see what it leaves."""
    stdout, stderr = here.with_name("stdout"), here.with_name("stderr")
    temporary = here.with_name("tmp")
    with (
        stdout.open("wb") as out,
        stderr.open("wb") as err,
        subprocess.Popen(
            command,
            cwd=here,
            env=os.environ
            | {"TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
            | environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        ) as process,
    ):
        try:
            code: int | None = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            code = None
            os.killpg(process.pid, signal.SIGKILL)
        left = _processes_left(process.pid)
    files = {*here.iterdir(), *temporary.iterdir()} - {here / "pasted.py"}
    left += sorted(f"file {path.name}" for path in files)
    return Ended(
        code,
        stdout.read_text(encoding="utf-8"),
        stderr.read_text(encoding="utf-8"),
        left,
    )


def _processes_left(group: int) -> list[str]:
    """Return the processes that stay in a group, and end them."""
    deadline = time.monotonic() + GRACE
    while (left := members(group)) and time.monotonic() < deadline:
        time.sleep(0.01)
    if left:
        os.killpg(group, signal.SIGKILL)
    return [f"process {pid}: {command}" for pid, command in left.items()]
