"""Run other programs from a coroutine.

A pipe holds little. A program that writes more waits until somebody reads; if
you wait for its end before you read, both wait for ever. ``communicate`` reads
everything while it waits. Give it a timeout, and kill the program's whole
group when that is over: killing the program alone leaves the programs that it
started.

:models: asyncio, processes
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: create_subprocess_exec, create_subprocess_shell, communicate, PIPE
    deadlock, subprocess wait hangs, Popen.wait hangs, run a shell command
    async, timeout kills only the shell, killpg, start_new_session,
    process_group, child watcher, ThreadedChildWatcher, get_child_watcher,
    "EOFError: EOF when reading a line"

Use this when
    a coroutine needs what another program prints.

Prefer instead
    :func:`subprocess.run` in synchronous code. ``process.stdout.readline()``
    in a loop for a program that never ends; then read ``stderr`` in a task of
    its own, or merge it with ``stderr=asyncio.subprocess.STDOUT``.

Pitfalls
    - ``input()`` in a program whose stdin is empty raises ``EOFError: EOF
      when reading a line``; so it does in a process of
      :mod:`multiprocessing`, whose stdin is ``os.devnull``. Ask in the
      parent, and send the answer: here as *data*.
    - ``communicate`` keeps everything in memory.
    - A program that starts a session of its own leaves the group, and is not
      killed. Windows has no such groups: there the program alone is.
    - Child watchers are gone in 3.14: delete ``set_child_watcher``.

If a job raises
    an exit status other than 0 is returned, not raised. A program that does
    not exist raises :exc:`FileNotFoundError`.

If it takes too long
    the group is killed, and when the program has ended :exc:`TimeoutError` is
    raised; so it is if the program has ended and one that it started still
    holds the pipe.

On cancellation
    the group is killed, and the cancellation goes on when the program has
    ended.

On Ctrl-C
    a program in a session of its own does not get it; :func:`asyncio.run`
    cancels the main task, and that kills the group.
"""

import asyncio
import contextlib
import math
import os
import signal
import sys
from asyncio.subprocess import PIPE


async def run_program(
    *command: str, data: bytes = b"", seconds: float = 60.0
) -> tuple[int, bytes, bytes]:
    """Run a program, and return its exit status and what it wrote.

    Args:
        command: The program and its arguments; no shell reads them.
        data: What the program reads from its standard input.
        seconds: How long it may run until it is killed.

    Returns:
        Its exit status, and what it wrote to stdout and to stderr.

    Raises:
        ValueError: If there is no *command*, or *seconds* is out of range.
        TypeError: If *data* is not bytes.
        TimeoutError: If the program has not ended in time.

    Example:
        >>> import asyncio, sys
        >>> from cookbook.coroutines.subprocesses import run_program
        >>> asyncio.run(run_program(sys.executable, "-c", "exit(3)"))
        (3, b'', b'')
    """
    if not command:
        raise ValueError(f"command must name a program, not {command!r}")
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds must be more than 0, not {seconds!r}")
    if not isinstance(data, bytes):
        raise TypeError(f"data must be bytes, not {data!r}")
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,  # leads a group of its own; not on Windows
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate(data)
    except BaseException:
        kill_group(process)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await process.communicate()  # until the pipes are closed
        raise
    return await process.wait(), out, err


def kill_group(process: asyncio.subprocess.Process) -> None:
    """Kill a program, and on POSIX the programs that it started.

    Args:
        process: Started with ``start_new_session=True``.
    """
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


PRINTS_A_MILLION = [sys.executable, "-c", "print('x' * 1_000_000, end='')"]


def main() -> None:
    """Read all that a program prints.

    >>> main()
    exit status 0, 1000000 bytes
    """
    status, out, _ = asyncio.run(run_program(*PRINTS_A_MILLION))
    print(f"exit status {status}, {len(out)} bytes")


async def broken_run_program(*command: str, seconds: float = 0.2) -> bytes:
    """Wait until a program has ended, then read what it printed.

    Args:
        command: The program and its arguments.
        seconds: How long until the deadlock is ended.

    Warning:
        The program waits until somebody empties the pipe, and this waits
        until the program has ended. With a short output, as in a test, it
        works: asyncio and the pipe hold it between them.
    """
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        print("the program has ended:", process.returncode is not None)
        process.kill()
        await process.communicate()
        raise
    out, _ = await process.communicate()
    return out


def broken_main() -> None:
    """Wait for the same program first, and read afterwards.

    >>> broken_main()
    the program has ended: False
    TimeoutError
    """
    try:
        print(len(asyncio.run(broken_run_program(*PRINTS_A_MILLION))), "bytes")
    except TimeoutError as error:
        print(type(error).__name__)


if __name__ == "__main__":
    main()
    broken_main()
