"""Programs of their own, which tests start, interrupt and see end."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def program(
    folder: Path, source: str, *arguments: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a program in a process group of its own, and kill what is left."""
    path = folder / "program.py"
    path.write_text(source, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, path, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            end_group(running.pid)


def end_group(group: int) -> None:
    """Kill what is left of a process group, but let its trackers finish.

    A resource tracker ends when the others have, and removes what they leave:
    the semaphores of a pool, for one.
    """
    for pid, command in members(group).items():
        if "multiprocessing.resource_tracker" not in command:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    if not group_is_gone(group):
        # On macOS only zombies may be left, which is a PermissionError.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def end_by_ctrl_c(running: subprocess.Popen[str]) -> None:
    """Send what a terminal sends, and again to one that sleeps through it.

    Not soon: a second one changes what a program prints that is ending.
    """
    for _ in range(6):
        os.killpg(running.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(timeout=10)
            return


def group_is_gone(group: int) -> bool:
    """Wait until no process of the group runs."""
    deadline = time.monotonic() + 10
    while (left := group_runs(group)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not left


def group_runs(group: int) -> bool:
    """Tell whether a process of the group runs; on Linux, a zombie does not.

    Elsewhere a zombie counts until its parent has asked for it.
    """
    if Path("/proc/self/stat").exists():
        return bool(members(group))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False


def members(group: int) -> dict[int, str]:
    """Return how the running processes of a group were started, on Linux."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            fields = (path / "stat").read_text().rpartition(") ")[2].split()
            if int(fields[2]) == group and fields[0] not in "ZX":
                command = (path / "cmdline").read_text(errors="replace")
                found[int(path.name)] = command.replace("\0", " ")
    return found
