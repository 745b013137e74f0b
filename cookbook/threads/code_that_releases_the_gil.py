"""Know which calls let other threads run.

With the GIL one thread at a time runs Python code. A call that waits, or that
computes in C on a large buffer, can let go of the GIL meanwhile, and jobs made
of such calls run at once in a pool of threads: ``hashlib``, ``zlib``, ``bz2``
and ``lzma``, files and sockets, :func:`time.sleep`. Python code does not, nor
do ``json``, ``re`` or :func:`sorted`. :func:`lets_others_run` tells you about
any call, without a stopwatch: it asks the interpreter not to switch threads
of its own accord, and looks whether another thread has run all the same.

:models: threads
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: builds with the GIL
:told by: the recipe's own ``lets_others_run``
:search: release the GIL, which functions release the GIL, GIL, hashlib
    threads, threads not faster, multithreading slow, CPU-bound threads, check
    whether the GIL is disabled, sys._is_gil_enabled, Py_GIL_DISABLED, "Fatal
    Python error: config_read_gil: Disabling the GIL is not supported by this
    build", is the GIL gone, free-threaded Python, PYTHON_GIL, -X gil=0,
    setswitchinterval, Py_BEGIN_ALLOW_THREADS, UI freezes although a thread
    does the work, numpy threads

Use this when
    you wonder whether threads will help, or one thread keeps the others, such
    as that of a GUI, from answering.

Prefer instead
    :mod:`cookbook.processes.executor_map` for Python code that computes, on a
    build with the GIL.

Pitfalls
    - ``hashlib`` lets go of the GIL for more than 2048 bytes in one call; up
      to 3.14 exactly 2048 are enough. Hand over large pieces:
      :func:`hashlib.file_digest` takes 256 KiB at a time. ``zlib.crc32`` lets
      go for more than 5 KiB.
    - The default build of 3.13, 3.14 and 3.15 still has the GIL. The
      free-threaded build is another one, ``python3.13t``: experimental in
      3.13 (documented: PEP 703), supported but optional from 3.14 (documented:
      PEP 779). Its threads run Python code at once, and nothing here keeps
      them waiting. Get it by an option of the installers for macOS and
      Windows, ``uv python install 3.14t``, ``pyenv install 3.14t``, or
      ``./configure --disable-gil``.
    - ``sysconfig.get_config_var("Py_GIL_DISABLED")`` is 1 on that build.
      ``sys._is_gil_enabled()``, from 3.13, is False while the GIL is off:
      ``-X gil=1``, ``PYTHON_GIL=1`` or the import of an extension that is
      not marked as safe turns it on again (the last is documented: *Python
      support for free threading*). The other way round does not exist: on a
      default build ``-X gil=0`` ends in ``config_read_gil: Disabling the GIL
      is not supported by this build``, and before 3.13 it does nothing.
    - A library's C code lets go where its authors wrote so: NumPy does for
      much of its arithmetic (documented: NumPy, *Thread Safety*). Measure the
      call that you make.
    - :func:`lets_others_run` stops the switching of threads in the whole
      process while it looks. Use it to find out, not in production.

If a job raises
    :func:`lets_others_run` passes the error of the call on, after it has set
    the switch interval back and ended its thread.
"""

import bz2
import hashlib
import lzma
import sys
import threading
import time
import zlib
from collections.abc import Callable


def digest(blob: bytes) -> str:
    """Hash *blob* in one call, which lets go of the GIL once.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> from cookbook.threads.code_that_releases_the_gil import digest
        >>> with ThreadPoolExecutor() as pool:
        ...     [
        ...         one[:8]
        ...         for one in pool.map(digest, [bytes(9999), b"a" * 9999])
        ...     ]
        ['877f59e9', '5e239d7f']
    """
    return hashlib.sha256(blob).hexdigest()


def lets_others_run(
    call: Callable[[], object], *, patience: float = 10.0
) -> bool:
    """Tell whether another thread runs during *call*.

    Args:
        call: Called again and again until another thread has run.
        patience: How many seconds to go on calling. With the GIL a call that
            does not let go makes use of them all.

    Returns:
        True as soon as another thread has run; False if none has.

    Raises:
        ValueError: If *patience* is negative.

    Example:
        >>> import time
        >>> from cookbook.threads.code_that_releases_the_gil import *
        >>> lets_others_run(lambda: time.sleep(0.001))
        True
    """
    if not patience >= 0:
        raise ValueError(f"patience must be 0 or more, not {patience!r}")
    may_run = threading.Event()
    has_run = threading.Event()

    def other() -> None:
        may_run.wait()
        has_run.set()

    thread = threading.Thread(target=other)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # seconds: whoever has the GIL keeps it
    try:
        thread.start()  # returns when the other thread has let go, and waits
        may_run.set()
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            call()
            if has_run.is_set():
                return True
        return False
    finally:
        sys.setswitchinterval(interval)
        may_run.set()
        thread.join()


def tell(name: str, call: Callable[[], object], patience: float) -> None:
    """Print what the other threads do during *call*."""
    run = lets_others_run(call, patience=patience)
    print(f"{name}: others {'run' if run else 'wait'}")


def main() -> None:
    """Look at five calls that let go of the GIL.

    >>> main()
    time.sleep: others run
    hashlib.sha256: others run
    zlib.compress: others run
    bz2.compress: others run
    lzma.compress: others run
    """
    blob = bytes(100_000)
    tell("time.sleep", lambda: time.sleep(0.001), 10)
    tell("hashlib.sha256", lambda: digest(blob), 10)
    tell("zlib.compress", lambda: zlib.compress(blob), 10)
    tell("bz2.compress", lambda: bz2.compress(blob), 10)
    tell("lzma.compress", lambda: lzma.compress(blob), 10)


def broken_digest(blob: bytes, *, piece: int = 1024) -> str:
    """Hash *blob* piece by piece.

    Warning:
        Below 2048 bytes ``update`` keeps the GIL: other threads get it only
        when the interpreter takes it away, every 5 milliseconds, as from any
        Python code. Threads that do this take turns; they do not run at once.
    """
    found = hashlib.sha256()
    for start in range(0, len(blob), piece):
        found.update(blob[start : start + piece])
    return found.hexdigest()


def broken_checksum(blob: bytes) -> int:
    """Add up *blob* byte by byte.

    Warning:
        This is Python code, and with the GIL Python code of one thread at a
        time runs. A second thread makes it no faster.
    """
    total = 0
    for byte in blob:
        total = (total + byte) % 65_536
    return total


def broken_main() -> None:
    """Look at two jobs that keep the GIL, if there is one.

    >>> broken_main()  # with the GIL
    hashlib, 1 KiB at a time: others wait
    a loop in Python: others wait
    >>> broken_main()  # without the GIL
    hashlib, 1 KiB at a time: others run
    a loop in Python: others run
    """
    blob = bytes(100_000)
    tell("hashlib, 1 KiB at a time", lambda: broken_digest(blob), 0.3)
    tell("a loop in Python", lambda: broken_checksum(blob), 0.3)


if __name__ == "__main__":
    main()
    broken_main()
