"""Choose the event loop without a policy.

Pass a factory, a function that makes the loop, to what starts it:
``asyncio.run(main(), loop_factory=uvloop.new_event_loop)`` from 3.12,
``asyncio.Runner(loop_factory=...)`` in 3.11 too. Only that call gets the loop.
An event loop policy is a setting of the whole program; policies are
deprecated from 3.14 and are to be removed in 3.16. Nothing has to be set to
get the default loop.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build; from 3.14 it is deprecated as well
:told by: ``python -W error::DeprecationWarning``, or pytest, from 3.14; by
    default Python shows the warning only for code in ``__main__``
:search: uvloop, loop_factory, set_event_loop_policy, get_event_loop_policy,
    WindowsSelectorEventLoopPolicy, WindowsProactorEventLoopPolicy,
    DefaultEventLoopPolicy, AbstractEventLoopPolicy, child watcher,
    get_child_watcher, get_event_loop, new_event_loop, set_event_loop, Python
    3.14 asyncio, "DeprecationWarning: 'asyncio.set_event_loop_policy' is
    deprecated and slated for removal in Python 3.16", "DeprecationWarning:
    'asyncio.get_event_loop_policy' is deprecated and slated for removal in
    Python 3.16", "DeprecationWarning: There is no current event loop",
    "RuntimeError: There is no current event loop in thread 'MainThread'.",
    "RuntimeError: There is no current event loop in thread 'Thread-1'",
    "There is no current event loop in thread",
    "run() got an unexpected keyword argument 'loop_factory'", "module
    'asyncio' has no attribute 'ThreadedChildWatcher'"

Use this when
    a program needs another loop than the default: uvloop, or on Windows the
    selector loop for a library that calls ``loop.add_reader``.

Prefer instead
    ``asyncio.run(main())``, as long as the default loop will do: on Windows
    that is the proactor loop. :mod:`cookbook.coroutines.run_from_sync` for
    several calls on one loop.

Pitfalls
    - ``asyncio.run`` in 3.11 has no ``loop_factory``: ``run() got an
      unexpected keyword argument``. Use :func:`run_on`, or ``uvloop.run``.
    - ``asyncio.get_event_loop()`` without a running loop raises
      ``RuntimeError: There is no current event loop in thread 'MainThread'.``
      from 3.14. In 3.11 it made a loop in the main thread; 3.12 and 3.13
      warn as they do (``DeprecationWarning: There is no current event
      loop``); after ``asyncio.run``, and in other threads, it raised on each.
      Write ``asyncio.run(main())``, or :class:`asyncio.Runner`, and in a
      coroutine ``asyncio.get_running_loop()``.
    - ``asyncio.ensure_future``, ``asyncio.gather`` and ``asyncio.Future``
      outside a coroutine fail the same way.
    - Child watchers are gone in 3.14. Nothing replaces them, for nothing has
      to be set: :func:`asyncio.create_subprocess_exec` works without.

If a job raises
    the call raises the same exception, and the loop is closed.

On Ctrl-C
    the coroutine is cancelled, the loop is closed, and the call raises
    :exc:`KeyboardInterrupt`.
"""

import asyncio
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_on(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
    function: Callable[..., Coroutine[Any, Any, T]],
    *args: object,
) -> T:
    """Run a coroutine on a loop that *loop_factory* makes.

    Args:
        loop_factory: Such as ``uvloop.new_event_loop`` or
            ``asyncio.SelectorEventLoop``; not a loop.
        function: A coroutine function.
        args: What it is called with.

    Raises:
        TypeError: If *loop_factory* cannot be called.

    Example:
        >>> from cookbook.coroutines.policies_and_loops import *
        >>> run_on(asyncio.SelectorEventLoop, asyncio.sleep, 0, "done")
        'done'
    """
    if not callable(loop_factory):
        raise TypeError(f"pass a function, not {loop_factory!r}")
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(function(*args))


class OtherLoop(asyncio.SelectorEventLoop):
    """Stands for another implementation, such as ``uvloop.Loop``."""


async def what_runs() -> str:
    """Say which loop runs."""
    loop = asyncio.get_running_loop()
    return "the other" if isinstance(loop, OtherLoop) else "asyncio's own"


def main() -> None:
    """Run one call on the other loop; then one as ever.

    >>> main()
    this call runs on: the other
    a call of another library: asyncio's own
    """
    print("this call runs on:", run_on(OtherLoop, what_runs))
    print("a call of another library:", asyncio.run(what_runs()))


def broken_install() -> None:
    """Make the other loop the loop of the program.

    Warning:
        The policy changes each loop that is made without a factory from now
        on, in all threads and all libraries, and stays until the next
        ``set_event_loop_policy``, which takes it away without a word. From
        3.14 all of this warns.
    """

    class Policy(asyncio.DefaultEventLoopPolicy):
        """Makes the other loop."""

        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return OtherLoop()

    asyncio.set_event_loop_policy(Policy())


def broken_main() -> None:
    """Set a policy; look what others get, and what Python says.

    >>> broken_main()  # 3.11 to 3.13
    this call runs on: the other
    a call of another library: the other
    >>> broken_main()  # 3.14 and later
    this call runs on: the other
    a call of another library: the other
    asyncio.DefaultEventLoopPolicy is deprecated
    asyncio.set_event_loop_policy is deprecated
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeprecationWarning)
        broken_install()
    try:
        print("this call runs on:", asyncio.run(what_runs()))
        print("a call of another library:", asyncio.run(what_runs()))
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            asyncio.set_event_loop_policy(None)
    for warning in caught:
        print(str(warning.message).split("'")[1], "is deprecated")


if __name__ == "__main__":
    main()
    broken_main()
