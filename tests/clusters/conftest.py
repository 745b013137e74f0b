"""A Dask cluster for all tests of a run: a scheduler and two workers."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 120.0  # seconds that a process gets to start on a busy machine
SCHEDULER = ["scheduler", "--port=0"]
WORKER = ["worker", "--nthreads=1", "--no-nanny"]


class Dask:
    """Processes of Dask that listen on this machine alone.

    Args:
        folder: Where they run, and keep their files. They can import the
            book, and no other module of the test run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one process, such as ``start(*WORKER)``."""
        command = [sys.executable, "-m", "dask", *arguments]
        options = [
            "--host=127.0.0.1",
            "--dashboard-address=127.0.0.1:0",
            f"--scheduler-file={self.file}",
        ]
        if arguments[0] == "worker":
            options.append(f"--local-directory={self.folder}")
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [*command, *options],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stderr=log,
            )
        self.processes.append(process)
        return process

    @property
    def address(self) -> str:
        """The address of the scheduler; waits until it has one."""
        deadline = time.monotonic() + LIMIT
        while not self.file.exists():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)
        from distributed import Client

        with Client(scheduler_file=str(self.file)) as client:
            client.wait_for_workers(len(self.processes) - 1, timeout=LIMIT)
            return str(client.scheduler.address)

    @property
    def log(self) -> str:
        """What the processes have written so far."""
        return (self.folder / "log").read_text(encoding="utf-8")

    def stop(self) -> None:
        """End all processes at once."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()


@pytest.fixture(scope="session")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a scheduler with two workers."""
    dask = Dask(tmp_path_factory.mktemp("dask"))
    try:
        dask.start(*SCHEDULER)
        for _ in range(2):
            dask.start(*WORKER)
        yield dask.address
    finally:
        dask.stop()
