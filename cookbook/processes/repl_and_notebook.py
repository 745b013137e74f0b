"""Use processes from a notebook or the REPL.

A function travels to a worker as a name: module and function. The worker
imports the module and looks the name up. What you type at the prompt, in a
cell or after ``python -c`` is in ``__main__``, but in no file, so a worker
that was not forked has nothing to import. Put the function into a module,
``jobs.py``, and import it: ``from jobs import square``. In Jupyter, the line
``%%writefile jobs.py`` on top of a cell writes the rest into that file.

Only fork copies what you typed. On Linux it is the default up to Python 3.13;
from 3.14 that is forkserver, and the same session fails there too.

:models: processes
:work: CPU-bound
:level: first steps
:since: 3.11
:trap: every build, start methods spawn and forkserver
:search: multiprocessing in Jupyter, notebook, REPL, interactive interpreter,
    IPython, Colab, python -c, heredoc, stdin, %%writefile, function defined in
    notebook, Pool hangs in Jupyter, Can't get attribute on module __main__
    (built-in) jupyter multiprocessing, Can't get attribute on module
    '__main__' from multiprocessing Pool, BrokenProcessPool in notebook,
    multiprocessing works on Linux but not on Windows, joblib, loky,
    cloudpickle, "AttributeError: Can't get attribute 'square' on <module
    '__main__' (built-in)>", "FileNotFoundError: [Errno 2] No such file or
    directory: '/folder/<stdin>'"

Use this when
    you try things out interactively, and want all your cores for it.

Prefer instead
    threads on a free-threaded build, which share what you typed.
    ``joblib`` with its default backend, which sends the code of interactive
    functions along (documented: joblib).

Pitfalls
    - The message is ``AttributeError: Can't get attribute 'square' on <module
      '__main__' (built-in)>`` in Python 3.11, with something else after
      ``<module`` in 3.12 and 3.13, and ``module '__main__' has no attribute
      'square'`` from 3.14. It comes from the worker. An executor raises
      :exc:`BrokenProcessPool <concurrent.futures.process.BrokenProcessPool>`;
      a pool starts another worker, and waits for the lost job for ever; a
      process ends with exit code 1.
    - Under fork too, define the function before you make the pool. A worker is
      a copy of the session as it was then, and fails with that message.
    - A program on standard input, ``python < program.py`` or a heredoc, fails
      under spawn and forkserver even if its functions are imported: workers
      look for a file called ``<stdin>``. ``python -c`` and ``python -i`` do
      not have that.
    - A worker keeps the module as it was when it imported it. After a change
      of the file make a new pool; :func:`importlib.reload` is for your
      session.
    - The session needs no main guard, since no worker runs it again. A module
      or script does (:mod:`cookbook.processes.main_guard`).

If a job raises
    an error of the function itself comes back as in
    :mod:`cookbook.processes.executor_map`.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

JOBS = """\
def square(n):
    return n * n
"""
BEGIN = """\
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
context = multiprocessing.get_context(sys.argv[1])
"""
USE = """
executor = ProcessPoolExecutor(1, mp_context=context)
print(list(executor.map(square, [1, 2, 3])))
executor.shutdown()
"""


def type_in(lines: str, *, method: str = "spawn") -> tuple[str, str]:
    """Type *lines* into an interactive interpreter, beside ``jobs.py``.

    Args:
        lines: As you would type them.
        method: The start method, ``sys.argv[1]`` of the session.

    Returns:
        What appears on standard output and on standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "jobs.py").write_text(JOBS, encoding="utf-8")
        ended = subprocess.run(
            [sys.executable, "-E", "-q", "-i", "-", method],
            capture_output=True,
            check=False,
            cwd=folder,
            input=lines,
            text=True,
            timeout=60,
        )
    return ended.stdout, ended.stderr


def with_import(*, method: str = "spawn") -> tuple[str, str]:
    """Import the function from a file, and give it to workers.

    Args:
        method: The start method.

    Example:
        >>> from cookbook.processes.repl_and_notebook import with_import
        >>> with_import()[0].strip()
        '[1, 4, 9]'
    """
    return type_in(BEGIN + "from jobs import square\n" + USE, method=method)


def main() -> None:
    """Give workers a function that is in a file.

    >>> main()
    [1, 4, 9]
    """
    output, _ = with_import()
    print(output.strip())


def broken_with_definition(*, method: str = "spawn") -> tuple[str, str]:
    """Type the function in, and give it to workers.

    Args:
        method: The start method.

    Warning:
        The function is sent as ``__main__.square``. The worker has a
        ``__main__`` of its own, which is not your session and holds no such
        name.
    """
    return type_in(BEGIN + JOBS + USE, method=method)


def broken_main() -> None:
    """Give workers a function that was typed in.

    >>> broken_main()  # 3.11 to 3.13
    AttributeError: Can't get attribute 'square' on <module '__main__'
    concurrent.futures.process.BrokenProcessPool
    >>> broken_main()  # 3.14 and later
    AttributeError: module '__main__' has no attribute 'square'
    concurrent.futures.process.BrokenProcessPool
    """
    _, errors = broken_with_definition()
    lines = errors.splitlines()
    print(next(one for one in lines if "AttributeError" in one).split(" (")[0])
    print(next(one for one in lines if "BrokenProcess" in one).split(": ")[0])


if __name__ == "__main__":
    main()
    broken_main()
