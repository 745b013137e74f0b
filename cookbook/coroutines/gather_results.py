"""Get every result, and every error, in order.

``await asyncio.gather(*coroutines, return_exceptions=True)`` runs all of them
to their end, and returns a list in the order of the arguments, in which an
exception stands where its result would. It looks like any other result:
divide the list before you use it, and do not return exceptions that you did
not expect.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: gather return_exceptions, return_exceptions=True swallows exceptions,
    gather order of results, partial results, exceptions as results, collect
    errors, "TypeError: unsupported operand type(s) for +: 'int' and", which
    coroutine failed

Use this when
    each job may fail on its own, and the others' results are of use.

Prefer instead
    :mod:`cookbook.coroutines.task_groups` when a failure makes the rest
    pointless. A handler inside the job when there is a value to use in place
    of a result.

Pitfalls
    - Results come in the order of the arguments, whichever ended first.
    - Without ``return_exceptions`` the first error is raised at once and the
      others' results and errors are lost.
    - With it, a programming error such as :exc:`TypeError` is a result as
      well: raise again what you did not expect, as this function does.
    - A job that is cancelled gives :exc:`asyncio.CancelledError` as its
      result. It is not an :exc:`Exception`: ``isinstance(result, Exception)``
      takes it for a value; test for :exc:`BaseException`.
    - :exc:`KeyboardInterrupt` and :exc:`SystemExit` are never results: they
      end the event loop.

If a job raises
    one of the errors that you name stands in the second list, with its
    argument. All others are raised in an :exc:`ExceptionGroup` when all jobs
    have ended.

If it takes too long
    :func:`asyncio.timeout` around the call cancels all jobs and raises
    :exc:`TimeoutError`; all results are lost. A timeout within each job costs
    that one's alone.

On cancellation
    all jobs are cancelled, and the cancellation goes on when they have ended.

On Ctrl-C
    :func:`asyncio.run` cancels the main task, and with it all jobs, and
    raises :exc:`KeyboardInterrupt` when they have ended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

A = TypeVar("A")
R = TypeVar("R")


async def results_and_errors(
    job: Callable[[A], Coroutine[Any, Any, R]],
    arguments: Iterable[A],
    *,
    expected: type[Exception] | tuple[type[Exception], ...],
) -> tuple[list[tuple[A, R]], list[tuple[A, Exception]]]:
    """Run ``job(argument)`` for all *arguments* at the same time.

    Args:
        job: A coroutine function.
        arguments: What it is called with.
        expected: What it may raise.

    Returns:
        Arguments with their results, and arguments with their errors; both
        in the order of *arguments*.

    Raises:
        TypeError: If *job* cannot be called; nothing is started.
        ExceptionGroup: If a job raises what is not *expected*.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.gather_results import results_and_errors
        >>> async def length(word):
        ...     return len(word)
        >>> words = results_and_errors(length, ["a", "bc"], expected=OSError)
        >>> asyncio.run(words)
        ([('a', 1), ('bc', 2)], [])
    """
    if not callable(job):
        raise TypeError(f"job must be a coroutine function, not {job!r}")
    arguments = list(arguments)
    found = await asyncio.gather(*map(job, arguments), return_exceptions=True)
    results: list[tuple[A, R]] = []
    errors: list[tuple[A, Exception]] = []
    surprises: list[BaseException] = []
    for argument, result in zip(arguments, found, strict=True):
        if not isinstance(result, BaseException):
            results.append((argument, result))
        elif isinstance(result, expected):
            errors.append((argument, result))
        else:
            surprises.append(result)
    if surprises:
        raise BaseExceptionGroup("jobs failed", surprises)
    return results, errors


async def price(item: str) -> int:
    """Ask a shop, which does not know every item."""
    await asyncio.sleep(0)  # stands for a request
    prices = {"tea": 3, "jam": 4}
    if item not in prices:
        raise LookupError(f"no price for {item}")
    return prices[item]


async def print_total(items: Iterable[str]) -> None:
    """Print what *items* cost, and which have no price."""
    priced, failed = await results_and_errors(
        price, items, expected=LookupError
    )
    print("total:", sum(cost for _, cost in priced))
    for item, error in failed:
        print(f"{item}: {error}")


def main() -> None:
    """Add up three prices, of which one is not known.

    >>> main()
    total: 7
    milk: no price for milk
    """
    asyncio.run(print_total(["tea", "milk", "jam"]))


async def broken_print_count(items: Iterable[str]) -> None:
    """Print how many of *items* have a price.

    Warning:
        An exception is a result like another here: it is counted, and it is
        true in an ``if``. Nobody hears of the error.
    """
    prices: list[Awaitable[int]] = [price(item) for item in items]
    found = await asyncio.gather(*prices, return_exceptions=True)
    print("with a price:", sum(1 for result in found if result))


def broken_main() -> None:
    """Count three, of which one has no price.

    >>> broken_main()
    with a price: 3
    """
    asyncio.run(broken_print_count(["tea", "milk", "jam"]))


if __name__ == "__main__":
    main()
    broken_main()
