"""What the recipe says of other programs, shown to be so."""

import asyncio
import contextlib
import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cookbook.coroutines.subprocesses import (
    PRINTS_A_MILLION,
    broken_run_program,
    kill_group,
    run_program,
)

PYTHON = sys.executable
posix = pytest.mark.skipif(
    os.name == "nt", reason="Windows has no process groups to kill"
)
# A program that starts another one; both hold the write end of a pipe.
STARTS_ANOTHER = """
import os, subprocess, sys, time
pipe = os.open(sys.argv[1], os.O_WRONLY)
other = [sys.executable, "-c", "import time; time.sleep(60)"]
more = {}
if sys.argv[2] == "escapes":
    null = subprocess.DEVNULL
    more = dict(start_new_session=True, stdout=null, stderr=null)
if sys.argv[2] == "escapes with the pipe":
    more = dict(start_new_session=True)
process = subprocess.Popen(other, pass_fds=[pipe], **more)
os.write(pipe, b"%7d" % process.pid)
if sys.argv[2] != "leaves":
    time.sleep(60)
"""


class Family:
    """A program that starts another one, and whether both have ended."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        self.pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    async def run(self, then: str, seconds: float = 60.0) -> None:
        """Run the program; then it waits, or leaves the other behind."""
        command = [PYTHON, "-c", STARTS_ANOTHER, self.path, then]
        await run_program(*command, seconds=seconds)

    async def has_started(self) -> None:
        """Wait until both have started."""
        ready = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self.pipe, ready.set)
        await asyncio.wait_for(ready.wait(), 30)
        loop.remove_reader(self.pipe)
        self.other = int(os.read(self.pipe, 7))

    def have_all_ended(self) -> bool:
        """Wait until nobody holds the write end any more."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                if os.read(self.pipe, 7) == b"":
                    return True
            time.sleep(0.001)
        return False


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    """Return a family, and close its pipe at the end."""
    made = Family(tmp_path / "pipe")
    yield made
    os.close(made.pipe)


@posix
def test_a_cancellation_kills_the_program_and_what_it_has_started(
    family: Family,
) -> None:
    async def main() -> None:
        task = asyncio.create_task(family.run("waits"))
        await family.has_started()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert family.have_all_ended()


@posix
def test_a_program_in_a_session_of_its_own_is_not_killed(
    family: Family,
) -> None:
    async def main() -> None:
        task = asyncio.create_task(family.run("escapes"))
        await family.has_started()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    with pytest.raises(BlockingIOError):
        os.read(family.pipe, 1)
    os.kill(family.other, signal.SIGKILL)
    assert family.have_all_ended()


@posix
def test_a_cancellation_goes_on_although_the_pipe_stays_open(
    family: Family,
) -> None:
    async def main() -> None:
        task = asyncio.create_task(family.run("escapes with the pipe"))
        await family.has_started()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        os.kill(family.other, signal.SIGKILL)
        await asyncio.to_thread(family.have_all_ended)

    asyncio.run(main())
    assert family.have_all_ended()


def test_a_program_that_has_just_ended_is_not_killed() -> None:
    async def main() -> int:
        process = await asyncio.create_subprocess_exec(PYTHON, "-c", "")
        await process.wait()
        kill_group(process)
        return await process.wait()

    assert asyncio.run(main()) == 0


@posix
def test_ctrl_c_ends_the_wait_and_kills_the_group(family: Family) -> None:
    async def press_ctrl_c() -> None:
        await family.has_started()
        signal.raise_signal(signal.SIGINT)

    async def main() -> None:
        task = asyncio.create_task(press_ctrl_c())
        await family.run("waits")
        await task

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert family.have_all_ended()


@posix
def test_one_that_still_holds_the_pipe_is_killed_at_the_timeout(
    family: Family,
) -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(family.run("leaves", seconds=0.3))
    assert family.have_all_ended()


@posix
def test_killing_the_program_alone_leaves_what_it_has_started(
    family: Family,
) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            *[PYTHON, "-c", STARTS_ANOTHER, family.path, "waits"],
            start_new_session=True,
        )
        await family.has_started()
        process.kill()
        await process.wait()
        with pytest.raises(BlockingIOError):
            os.read(family.pipe, 1)
        os.killpg(process.pid, signal.SIGKILL)

    asyncio.run(main())
    assert family.have_all_ended()


def test_a_million_bytes_are_read_while_the_program_runs() -> None:
    expected = (0, b"x" * 1_000_000, b"")
    assert asyncio.run(run_program(*PRINTS_A_MILLION)) == expected


def test_wait_before_read_hangs_when_the_pipe_is_full_until_a_timeout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(broken_run_program(*PRINTS_A_MILLION, seconds=0.2))
    assert capsys.readouterr().out == "the program has ended: False\n"


def test_wait_before_read_works_with_a_short_output() -> None:
    command = [PYTHON, "-c", "print('x' * 1000, end='')"]
    out = asyncio.run(broken_run_program(*command, seconds=60))
    assert out == b"x" * 1000


def test_the_exit_status_and_both_outputs_are_returned() -> None:
    source = "import sys; print('a', end=''); sys.exit('b')"
    status, out, err = asyncio.run(run_program(PYTHON, "-c", source))
    assert (status, out, err.strip()) == (1, b"a", b"b")


def test_data_is_what_the_program_reads_and_input_then_ends() -> None:
    source = "print(input()); input()"
    status, out, err = asyncio.run(
        run_program(PYTHON, "-c", source, data=b"hello\n")
    )
    assert (status, out.strip()) == (1, b"hello")
    assert b"EOFError: EOF when reading a line" in err


def test_stdin_of_a_multiprocessing_process_is_devnull() -> None:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=input)
    process.start()
    process.join()
    assert process.exitcode == 1


def test_a_program_that_does_not_exist_raises_file_not_found_error() -> None:
    with pytest.raises(FileNotFoundError):
        asyncio.run(run_program("no-such-program-anywhere"))


def test_a_program_that_takes_too_long_is_killed_and_has_ended() -> None:
    command = [PYTHON, "-c", "import time; time.sleep(60)"]
    with pytest.raises(TimeoutError):
        asyncio.run(run_program(*command, seconds=0.05))


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_seconds_out_of_range_are_refused_by_value(seconds: float) -> None:
    with pytest.raises(ValueError, match=f"not {seconds!r}$"):
        asyncio.run(run_program(PYTHON, seconds=seconds))


def test_no_command_is_refused_by_value() -> None:
    with pytest.raises(ValueError, match=r"not \(\)$"):
        asyncio.run(run_program())


def test_child_watchers_are_gone_in_3_14() -> None:
    assert hasattr(asyncio, "set_child_watcher") is (
        sys.version_info < (3, 14)
    )
