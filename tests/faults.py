"""Disturb the programs of ten recipes, and record how each ends.

``python -m tests.faults 200`` runs each program 200 times for each signal,
sent at a random moment, and once for each number of threads or descriptors
that it may have. It needs Linux and root: the programs get a ``/dev/shm`` of
their own, and run as a user whom limits bind.

What is found goes to ``docs/recorded/faults.json``, and the page on how the
book is tested shows it.
"""

import contextlib
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from cookbook import catalogue, forms
from tests.programs import end_group, group_runs, members

RECIPES = (
    "threads.producer_consumer",
    "threads.ctrl_c_threads",
    "coroutines.task_groups",
    "coroutines.subprocesses",
    "coroutines.cpu_bound",
    "processes.executor_map",
    "processes.pool_map",
    "processes.ctrl_c_pools",
    "processes.stuck_worker",
    "processes.shared_memory",
)
PATH = Path(__file__).parents[1] / "docs" / "recorded" / "faults.json"
SHM = Path("/dev/shm")
MOUNT = "/usr/bin/mount"
LIMIT = 20  # seconds that a program gets to end
GRACE = 2  # seconds that processes get to end after it
AT_ONCE = 2 * (os.cpu_count() or 1)  # most of them wait
# Neither root nor anybody who runs other processes, whom limits would count;
# but one who may read where this Python is installed.
USER = [
    *("setpriv", "--reuid=54321", "--clear-groups"),
    *("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"),
]


class Ending(NamedTuple):
    """How a program ended.

    Attributes:
        how: ``done``, the name of a signal, the type of the error that it
            printed, ``silent`` if it failed and said nothing, or ``waits`` if
            it did not end.
        left: Whether a process or a file of it was left.
    """

    how: str
    left: str


Running = subprocess.Popen[bytes]
Row = tuple[str, list[Ending]]


def run(
    command: list[str], disturb: Callable[[Running], None] | None = None
) -> Ending:
    """Run a program in a group and a folder of its own; see what is left."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)  # for a program of another user
        errors = Path(folder, "errors")
        with errors.open("w") as stream:
            running = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=stream,
                env={**os.environ, "TMPDIR": folder},
                start_new_session=True,
            )
        try:
            if disturb:
                disturb(running)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(LIMIT)
            how = ending(running.returncode, errors.read_text())
            left = [] if how == "waits" else [*remains(running.pid, folder)]
        finally:
            end_group(running.pid)
            running.wait()
    return Ending(how, " and ".join(left))


def ending(code: int | None, errors: str) -> str:
    """Tell how a program ended, by its exit code and what it printed."""
    if code is None:
        return "waits"
    if code <= 0:
        return signal.Signals(-code).name if code else "done"
    errors = errors.partition("Exception ignored")[0]
    named = re.findall(
        r"^(\w[\w.]*(?:Error|Pool|Interrupt))\b", errors, re.MULTILINE
    )
    return named[-1].rpartition(".")[2] if named else "silent"


def remains(group: int, folder: str) -> Iterator[str]:
    """Tell what is left, some time after the end of a program."""
    deadline = time.monotonic() + GRACE
    while group_runs(group) and time.monotonic() < deadline:
        time.sleep(0.02)
    if group_runs(group):
        yield "processes"
    elif len(list(Path(folder).iterdir())) > 1:  # the errors are one
        yield "files"


def press(number: int, latest: float, running: Running) -> None:
    """Send SIGINT to the group, as a terminal does, at a random moment."""
    time.sleep(random.Random(number).uniform(0, latest))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGINT)


def terminate(number: int, latest: float, running: Running) -> None:
    """Send SIGTERM to the program, and to nobody else."""
    time.sleep(random.Random(number).uniform(0, latest))
    running.send_signal(signal.SIGTERM)


def kill_worker(number: int, latest: float, running: Running) -> None:
    """Kill a worker: no helper of multiprocessing, and not the program."""
    choice = random.Random(number)
    time.sleep(choice.uniform(0, latest))
    while running.poll() is None:
        workers = [
            pid
            for pid, command in members(running.pid).items()
            if pid != running.pid
            and "resource_tracker" not in command
            and ("forkserver" not in command or parent(pid) != running.pid)
        ]
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(choice.choice(workers), signal.SIGKILL)
            return


def parent(pid: int) -> int:
    """Return whose child a process is; 0 if it has ended."""
    try:
        stat = Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(") ")[2].split()[1])


SIGNALS: dict[str, Callable[[int, float, Running], None]] = {
    "Ctrl-C": press,
    "SIGTERM": terminate,
    "a worker killed": kill_worker,
}
SHORTAGES = {
    "few threads": [
        [*USER, "prlimit", f"--nproc={number}"] for number in range(1, 13)
    ],
    "few descriptors": [
        ["prlimit", f"--nofile={number}"] for number in range(4, 28)
    ],
}


def own_shm() -> None:
    """Mount a new /dev/shm, for this process and those that it starts."""
    whose = str(os.getppid()), "self"
    mounts = {Path("/proc", one, "ns/mnt").readlink() for one in whose}
    if len(mounts) == 1:  # it would be everybody's
        raise RuntimeError("start it with: unshare --mount")
    options = "size=64m,mode=1777"  # the size that Docker gives
    tmpfs = ("-t", "tmpfs", "-o", options, "tmpfs", str(SHM))
    subprocess.run([MOUNT, *tmpfs], check=True)


def signals(command: list[str], times: int) -> Iterator[Row]:
    """Send each signal so many times, at moments spread over the run."""
    begin = time.monotonic()
    first = run(command)
    if first != ("done", ""):
        raise RuntimeError(f"{command}: undisturbed it ends with {first}")
    latest = time.monotonic() - begin
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for fault, disturb in SIGNALS.items():
            ways = [partial(disturb, n, latest) for n in range(times)]
            yield fault, list(pool.map(partial(run, command), ways))


def shortages(command: list[str]) -> Iterator[Row]:
    """Let a program run short of threads, descriptors and shared memory."""
    for fault, limits in SHORTAGES.items():
        yield fault, [run([*limit, *command]) for limit in limits]
    full = SHM / "full"
    with contextlib.suppress(OSError), full.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
    endings = [run(command)]
    full.unlink()
    yield "full /dev/shm", endings


def faults(source: str, times: int) -> Iterator[tuple[str, dict[str, int]]]:
    """Disturb a program in each way; count how it ends, and what it leaves."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # another user is to run what is in it
        program = Path(folder, "program.py")
        program.write_text(source, encoding="utf-8")
        command = [sys.executable, str(program)]
        for fault, endings in chain(
            signals(command, times), shortages(command)
        ):
            count = Counter(" ".join(one).strip() for one in endings)
            for left in SHM.iterdir():
                semaphore = left.name.startswith("sem.")
                count["left a semaphore" if semaphore else "left a block"] += 1
                left.unlink()
            yield fault, dict(count.most_common())


def main(times: int, names: list[str]) -> None:
    """Disturb the programs whose code has changed, or those with *names*."""
    # Where it was ignored, as by nohup, the programs would ignore it, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    own_shm()
    known = json.loads(PATH.read_text("utf-8")) if PATH.exists() else {}
    for recipe in map(catalogue.find, names or RECIPES):
        code = forms.fingerprint(recipe.source)
        if not names and known.get(recipe.name, {}).get("code") == code:
            continue
        found: dict[str, dict[str, int]] = {}
        program = forms.program(recipe.source, "main")
        for fault, count in faults(program, times):
            print(recipe.name, fault, count, flush=True)
            found[fault] = count
        known[recipe.name] = {
            "code": code,
            "python": platform.python_version(),
            "faults": found,
        }
        rows = {name: known[name] for name in RECIPES if name in known}
        PATH.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
