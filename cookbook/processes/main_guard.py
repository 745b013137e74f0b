"""Start processes under the main guard.

Under spawn each worker imports your main module, to find the functions that it
is to run; under forkserver each worker does, or the server does for them all.
Whatever stands at the module's top level runs again there; if that starts a
process, Python stops it with an error. The name of the module, ``__name__``,
is then ``"__mp_main__"``, so what stands under
``if __name__ == "__main__":`` runs in the parent alone. The error also speaks
of ``freeze_support()``: that is for programs that are frozen into an
executable, and does nothing in others (documented:
:func:`multiprocessing.freeze_support`).

Only fork does without the guard. It is the default on Linux up to Python
3.13, so a program without a guard works there and fails on macOS, on Windows
and, from Python 3.14, on Linux.

:models: processes
:work: CPU-bound, I/O-bound
:level: first steps
:since: 3.11
:trap: every build, start methods spawn and forkserver
:search: if __name__ == "__main__", main guard, freeze_support, __mp_main__,
    script runs twice, starts again and again, endless processes,
    multiprocessing on Windows, multiprocessing on macOS, Jupyter, REPL,
    "RuntimeError: An attempt has been made to start a new process before the
    current process has finished its bootstrapping phase.",
    "EOFError: unexpected EOF",
    "ConnectionResetError: [Errno 104] Connection reset by peer",
    "AttributeError: Can't get attribute 'f' on <module '__main__'",
    "AttributeError: module '__main__' has no attribute 'f'"

Use this when
    a program starts processes, by whatever means: a
    :class:`multiprocessing.Process`, a pool, an executor.

Pitfalls
    Under spawn a :class:`~multiprocessing.pool.Pool` without the guard never
    ends: each worker fails and is replaced by one that fails. An executor
    ends with :exc:`~concurrent.futures.process.BrokenProcessPool`. The message
    about the bootstrapping phase is on the standard error of the workers.

    Under forkserver, from Python 3.13.8 and 3.14.1, the server imports the
    main module, once, and its workers inherit what that made (documented:
    CPython pull request 141859). A generator of random numbers, a connection
    or a lock at the top level is then a copy in each, as under fork. Without
    the guard it is then the server that fails, up to Python 3.14: the parent
    ends with ``EOFError: unexpected EOF``, ``ConnectionResetError`` or
    ``BrokenPipeError``, and the message stands above that.

    A function typed into an interactive session, or given to ``python -c``,
    is in no file that a worker could import: ``Can't get attribute 'f' on
    <module '__main__'``, from Python 3.14 ``module '__main__' has no attribute
    'f'``. Put it into a module, and import that.

If a job raises
    the worker prints the traceback on its standard error and ends with exit
    code 1; nothing is raised in the parent.

If a worker is killed
    the exit code is the signal's number, negative, on Linux and macOS.
"""

import multiprocessing
import subprocess
import sys
import tempfile
from multiprocessing.context import BaseContext
from pathlib import Path

from cookbook.primes import is_prime

UNGUARDED = """\
import multiprocessing
import sys


def work():
    pass


context = multiprocessing.get_context(sys.argv[1])
process = context.Process(target=work)
process.start()
process.join()
print("exit code of the worker:", process.exitcode)
"""


def exit_with_answer(n: int) -> None:
    """End this process: with exit code 0 if *n* is prime, else with 3."""
    sys.exit(0 if is_prime(n) else 3)


def run_in_process(
    n: int, *, context: BaseContext | None = None
) -> int | None:
    """Run :func:`exit_with_answer` in a process, and wait for its end.

    Args:
        n: The number to test.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Returns:
        The exit code: 0 for a prime, 3 for another number, 1 after an error,
        a signal's number, negative, if the process was killed.

    Example:
        >>> from cookbook.processes.main_guard import run_in_process
        >>> run_in_process(7)
        0
    """
    own = (context or multiprocessing).get_context()
    process = own.Process(target=exit_with_answer, args=(n,))
    try:
        process.start()
        process.join()
    finally:
        if process.pid:  # it was started, and the wait was interrupted
            process.kill()
            process.join()
    return process.exitcode


def main() -> None:
    """Test two numbers, each in a process of its own.

    >>> main()
    exit code of the worker for 97: 0
    exit code of the worker for 100: 3
    """
    for n in 97, 100:
        print(f"exit code of the worker for {n}:", run_in_process(n))


def broken_run_unguarded(method: str) -> tuple[str, str]:
    """Run ``UNGUARDED`` in a fresh interpreter.

    Args:
        method: The start method that it uses.

    Returns:
        What it wrote on standard output and on standard error.

    Warning:
        The worker imports the main module and comes to ``process.start()``
        itself, before it has come to ``work()``. Python refuses that second
        start, so the job never runs.
    """
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "unguarded.py")
        program.write_text(UNGUARDED, encoding="utf-8")
        ended = subprocess.run(
            [sys.executable, "-I", program, method],
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
    return ended.stdout, ended.stderr


def broken_main() -> None:
    """Run a program without the guard; print how its worker ends.

    >>> broken_main()
    exit code of the worker: 1
    RuntimeError:
    An attempt has been made to start a new process before the
    current process has finished its bootstrapping phase.
    """
    output, errors = broken_run_unguarded("spawn")
    print(output, end="")
    lines = [line.strip() for line in errors.splitlines()]
    start = lines.index("RuntimeError:")
    print(*lines[start : start + 3], sep="\n")


if __name__ == "__main__":
    main()
    broken_main()
