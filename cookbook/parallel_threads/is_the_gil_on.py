"""Check whether the GIL is on.

Two things decide. The build: only a free-threaded Python, such as
``python3.13t``, can run without the GIL. And the run: on such a build an
option, an environment variable or the import of an extension module can turn
the GIL on. So ask the interpreter, with ``sys._is_gil_enabled()`` (from 3.13),
and ask after all imports. Before 3.13 the GIL is always on.

:models: threads
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: free-threaded builds
:told by: a RuntimeWarning, if an extension module turns the GIL on
:search: check GIL disabled, is the GIL enabled, sys._is_gil_enabled,
    Py_GIL_DISABLED, sysconfig, free-threaded build, nogil, python3.14t,
    python3.13t, PYTHON_GIL, -X gil=1, -X gil=0, Py_MOD_GIL_NOT_USED,
    "RuntimeWarning: The global interpreter lock (GIL) has been enabled to load
    module", "which has not declared that it can run safely without the GIL",
    "To override this behavior and keep the GIL disabled (at your own risk),
    run with PYTHON_GIL=0 or -Xgil=0.", "Fatal Python error: config_read_gil:
    PYTHON_GIL / -X gil must be"

Use this when
    a program picks threads or processes by whether threads run in parallel, or
    when threads on a free-threaded build are no faster than one.

Prefer instead
    :mod:`cookbook.threads.code_that_releases_the_gil` to learn which calls let
    other threads run while the GIL is on, and how to get a free-threaded
    build.

Pitfalls
    - An extension module that does not say that it is safe without the GIL
      turns the GIL on when it is imported, for the rest of the process. A
      ``RuntimeWarning: The global interpreter lock (GIL) has been enabled to
      load module`` names it. Run once with ``-W error::RuntimeWarning`` and
      the traceback shows who imports it.
    - ``PYTHON_GIL=0`` or ``-X gil=0`` keeps the GIL off even then, at your own
      risk: the module may crash, or corrupt its data.
    - ``PYTHON_GIL=1`` or ``-X gil=1`` turns it on from the start, to find out
      whether an error has to do with it. The option comes before the variable.
    - The default build has the GIL, in 3.13, 3.14 and 3.15 too, and cannot do
      without: ``-X gil=0`` is a fatal error there, ``config_read_gil:
      Disabling the GIL is not supported by this build``.
    - ``sysconfig.get_config_var("Py_GIL_DISABLED")`` is 1 on a free-threaded
      build, 0 on a default build from 3.13, and None before.
    - This page was run on the free-threaded 3.13. The free-threaded 3.14 is
      run in the project's workflow alone.
"""

import inspect
import subprocess
import sys
import sysconfig
from collections.abc import Callable


def can_run_without_gil() -> bool:
    """Tell whether this is a free-threaded build."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def is_gil_on() -> bool:
    """Tell whether the GIL is on now.

    Example:
        >>> from cookbook.parallel_threads.is_the_gil_on import is_gil_on
        >>> is_gil_on()  # with the GIL
        True
    """
    ask = getattr(sys, "_is_gil_enabled", None)
    return ask is None or bool(ask())


def refuse_the_gil() -> None:
    """Raise an error that says why the GIL is on; do nothing if it is off.

    Raises:
        RuntimeError: If the GIL is on.
    """
    if not can_run_without_gil():
        raise RuntimeError("this build of Python always has the GIL")
    if is_gil_on():
        raise RuntimeError(
            "the GIL was turned on: by -X gil=1, by PYTHON_GIL=1"
            " or by an extension module"
        )


def answer_with_gil(question: Callable[[], bool]) -> str:
    """Return the answer to *question* of a Python whose GIL is turned on.

    Args:
        question: A function that uses :mod:`sys` and :mod:`sysconfig` alone.
    """
    code = f"import sys, sysconfig\n{inspect.getsource(question)}"
    asked = f"{code}\nprint({question.__name__}())"
    command = [sys.executable, "-X", "gil=1", "-c", asked]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return ended.stdout.decode().strip()


def main() -> None:
    """Ask this Python, and the same Python with the GIL turned on.

    >>> main()  # with the GIL
    this build of Python always has the GIL
    GIL is on with -X gil=1: True
    >>> main()  # without the GIL
    the GIL is off
    GIL is on with -X gil=1: True
    """
    try:
        refuse_the_gil()
    except RuntimeError as error:
        print(error)
    else:
        print("the GIL is off")
    print("GIL is on with -X gil=1:", answer_with_gil(is_gil_on))


def broken_is_gil_on() -> bool:
    """Tell whether the GIL is on, by how Python was built.

    Warning:
        A free-threaded build can have the GIL on. This says what the build
        could do, not what the interpreter does: code that relies on it starts
        threads that take turns.
    """
    return not sysconfig.get_config_var("Py_GIL_DISABLED")


def broken_main() -> None:
    """Ask a Python whose GIL is on.

    >>> broken_main()  # with the GIL
    GIL is on with -X gil=1: True
    >>> broken_main()  # without the GIL
    GIL is on with -X gil=1: False
    """
    print("GIL is on with -X gil=1:", answer_with_gil(broken_is_gil_on))


if __name__ == "__main__":
    main()
    broken_main()
