"""Await every coroutine that you call.

Calling an ``async def`` function runs none of its code: it returns a
coroutine, which runs when it is awaited or when a task is made of it. Without
``await`` nothing happens, and nothing fails; in an ``if`` or in ``any()`` the
coroutine is true. Python warns when the forgotten coroutine is collected:
make your tests fail on that warning.

:models: asyncio
:work: I/O-bound
:level: first steps
:since: 3.11
:trap: every build
:told by: a RuntimeWarning, on every run
:search: "RuntimeWarning: coroutine 'main' was never awaited", "was never
    awaited", "Enable tracemalloc to get the object allocation traceback",
    forgot await, missing await, async function does not run, async function
    returns coroutine object, "<coroutine object", if async function always
    true, "RuntimeError: cannot reuse already awaited coroutine",
    "RuntimeError: coroutine is being awaited already", "AttributeError:
    'coroutine' object has no attribute", "TypeError: 'coroutine' object is
    not subscriptable", "TypeError: 'coroutine' object is not iterable",
    "TypeError: object NoneType can't be used in 'await' expression",
    "TypeError: 'NoneType' object can't be awaited", unused-coroutine

Use this when
    you call an ``async def`` function.

Prefer instead
    :mod:`cookbook.coroutines.run_from_sync` where ``await`` is not allowed:
    in an ordinary function and at module level.
    :mod:`cookbook.coroutines.lost_task` for what must not be waited for.

Pitfalls
    - ``'coroutine' object has no attribute 'json'`` and ``'coroutine' object
      is not subscriptable`` are a forgotten await too: ``get().json()`` has
      to be ``(await get()).json()``.
    - ``RuntimeError: cannot reuse already awaited coroutine``: a coroutine
      can be awaited once. Call the function again for a new one, or make a
      task of it, which can be awaited many times. ``coroutine is being
      awaited already``: two tasks await the same one.
    - ``object NoneType can't be used in 'await' expression``, from 3.14
      ``'NoneType' object can't be awaited``: you awaited what an ordinary
      function returned.
    - The warning comes when the coroutine is collected: not while you hold
      it. The debug mode adds ``Coroutine created at`` and the stack.
    - ``python -W error`` prints the warning as an ignored exception, and goes
      on. Pytest with ``filterwarnings = error`` fails the test.
    - An asynchronous generator that nobody iterates over is not reported.
      mypy's manual: ``unused-coroutine`` reports a call whose coroutine is
      not used; ``truthy-bool``, which is off by default, one in an ``if``.

If a job raises
    the await raises the same exception. What is not awaited cannot fail.

On cancellation
    the await raises :exc:`asyncio.CancelledError`. Call ``close()`` on a
    coroutine that you do not need after all: it ends without a warning.
"""

import asyncio
import warnings
from collections.abc import Callable, Coroutine, Sequence
from typing import Any


async def may_save(role: str) -> bool:
    """Return whether users with the role *role* may save records."""
    await asyncio.sleep(0)  # stands for a question to a database
    return role == "editor"


async def save(record: str, records: list[str]) -> str:
    """Append *record* to *records*, and return it."""
    await asyncio.sleep(0)
    records.append(record)
    return record


async def save_all(
    roles: Sequence[str], new: Sequence[str], records: list[str]
) -> int:
    """Save records, if one of the user's roles allows it.

    Args:
        roles: The roles of the user.
        new: The records.
        records: What they are appended to.

    Returns:
        How many were saved.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.forgotten_await import save_all
        >>> asyncio.run(save_all(["editor"], ["one", "two"], []))
        2
    """
    if not any([await may_save(role) for role in roles]):
        return 0
    saved = [await save(record, records) for record in new]
    return len(saved)


def save_as_guest(
    save_all: Callable[..., Coroutine[Any, Any, int]],
) -> None:
    """Print what comes of a call that is not allowed, and all warnings.

    Args:
        save_all: :func:`save_all`, or a function with its signature.
    """
    records: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count = asyncio.run(save_all(["guest"], ["one"], records))
    print("a guest saves", count, "of 1; records:", records)
    for warning in caught:
        first, *_ = str(warning.message).splitlines()
        print(f"{warning.category.__name__}: {first}")


def main() -> None:
    """Refuse a guest.

    >>> main()
    a guest saves 0 of 1; records: []
    """
    save_as_guest(save_all)


async def broken_save_all(
    roles: Sequence[str], new: Sequence[str], records: list[str]
) -> int:
    """Do the same without ``await``.

    Args:
        roles: The roles of the user.
        new: The records.
        records: What they are not appended to.

    Returns:
        How many were said to be saved.

    Warning:
        ``may_save(role)`` is a coroutine, which is true: every role will do.
        ``save(...)`` is a coroutine too, which nobody runs.
    """
    if not any(may_save(role) for role in roles):
        return 0
    saved = [save(record, records) for record in new]
    return len(saved)


def broken_main() -> None:
    """Let the guest in, and save nothing.

    >>> broken_main()
    a guest saves 1 of 1; records: []
    RuntimeWarning: coroutine 'may_save' was never awaited
    RuntimeWarning: coroutine 'save' was never awaited
    """
    save_as_guest(broken_save_all)


if __name__ == "__main__":
    main()
    broken_main()
