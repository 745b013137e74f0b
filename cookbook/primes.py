"""Find primes: the CPU-bound example.

Telling whether a number is prime by trial division keeps one core busy and
nothing else: no memory, no disk, no network. Recipes that need CPU-bound work
all run this function, so that what differs between them is only who calls it.

A better algorithm beats any number of cores. :func:`is_prime` is slow on
purpose: it is a stand-in for *your* CPU-bound function.

:models: threads, asyncio, processes
:work: CPU-bound
:level: first steps
:since: 3.11
:trap: every build
:search: prime numbers, trial division, is_prime, CPU-bound example, isqrt,
    "OverflowError: int too large to convert to float"

Use this when
    you want to try a recipe on work that is CPU-bound and easy to check.

Prefer instead
    a probabilistic test with proven bounds, such as Miller-Rabin, when you
    need primes themselves.
"""

import math
import os
from collections.abc import Iterable
from itertools import pairwise

#: Seven numbers, the same for every model; three of them are prime.
PRIMES = (
    999999999999988,
    999999999999989,
    999999999999990,
    1000000000000091,
    1000000000000092,
    1000000000000159,
    1000000000000160,
)
#: How many workers share the numbers, unless you say otherwise.
WORKERS = 4


def is_prime(n: int) -> bool:
    """Tell whether *n* is prime, by trial division.

    The cost is about ``sqrt(n) / 2`` divisions for a prime and fewer for
    every other number: half a second or more for one of fifteen digits.
    The answer is exact for every int, because :func:`math.isqrt` is.

    Args:
        n: Any int; numbers below 2 are not prime.

    Raises:
        TypeError: If *n* is a bool or not an int.

    Example:
        >>> from cookbook.primes import is_prime
        >>> [n for n in range(-3, 30) if is_prime(n)]
        [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
    """
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"n must be an int, not {n!r}")
    if n < 2 or n % 2 == 0:
        return n == 2
    for divisor in range(3, math.isqrt(n) + 1, 2):
        if n % divisor == 0:
            return False
    return True


def is_prime_with_pid(n: int) -> tuple[int, bool, int]:
    """Tell whether *n* is prime, and which process found out.

    Args:
        n: Any int.

    Returns:
        The number, the answer, and the id of the process that ran this call.

    Raises:
        TypeError: If *n* is a bool or not an int.

    Example:
        >>> import os
        >>> from cookbook.primes import is_prime_with_pid
        >>> is_prime_with_pid(7) == (7, True, os.getpid())
        True
    """
    return n, is_prime(n), os.getpid()


def count_primes(start: int, stop: int) -> int:
    """Count the primes from *start* up to, not including, *stop*.

    Args:
        start: The first number tried.
        stop: The first number not tried; an empty range holds no primes.

    Raises:
        TypeError: If a bound is a bool or not an int.

    Example:
        >>> from cookbook.primes import count_primes
        >>> count_primes(0, 100)
        25
    """
    for bound in (start, stop):
        if isinstance(bound, bool) or not isinstance(bound, int):
            raise TypeError(f"a bound must be an int, not {bound!r}")
    return sum(map(is_prime, range(start, stop)))


def split_range(start: int, stop: int, parts: int) -> list[tuple[int, int]]:
    """Split a range into spans whose lengths differ by at most one.

    Args:
        start: The first number of the range.
        stop: The first number after the range.
        parts: How many spans at most; none of them is empty.

    Returns:
        ``(start, stop)`` of each span, in order and without gaps: ready for
        :func:`count_primes`.

    Raises:
        TypeError: If an argument is not an int.
        ValueError: If *parts* is less than 1, or *stop* is below *start*.

    Example:
        >>> from cookbook.primes import count_primes, split_range
        >>> split_range(0, 100, 3)
        [(0, 34), (34, 67), (67, 100)]
        >>> sum(count_primes(*span) for span in split_range(0, 100, 3))
        25
    """
    for value in (start, stop, parts):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"a bound must be an int, not {value!r}")
    if parts < 1:
        raise ValueError(f"parts must be at least 1, not {parts!r}")
    if stop < start:
        raise ValueError(f"stop {stop!r} is below start {start!r}")
    parts = min(parts, stop - start)
    cuts = [
        start + -(-(stop - start) * part // parts) for part in range(parts)
    ]
    return list(pairwise([*cuts, stop]))


def checked(numbers: Iterable[int], workers: int) -> list[int]:
    """Return *numbers* as a list, or say what is wrong before work starts.

    Args:
        numbers: What the workers are to be given.
        workers: How many workers are to share it.

    Raises:
        TypeError: If *numbers* cannot be iterated over, or *workers* is not
            an int.
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.primes import checked
        >>> checked(range(3), workers=2)
        [0, 1, 2]
        >>> checked([1, 2], workers=0)
        Traceback (most recent call last):
        ValueError: workers must be at least 1, not 0
    """
    if not isinstance(numbers, Iterable):
        raise TypeError(f"numbers must be iterable, not {numbers!r}")
    if isinstance(workers, bool) or not isinstance(workers, int):
        raise TypeError(f"workers must be an int, not {workers!r}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers!r}")
    return list(numbers)


def main() -> None:
    """Find small primes, and split a range between four workers.

    >>> main()
    primes below 20: [2, 3, 5, 7, 11, 13, 17, 19]
    primes below 10000: 1229
    four spans: [(0, 2500), (2500, 5000), (5000, 7500), (7500, 10000)]
    """
    print("primes below 20:", [n for n in range(20) if is_prime(n)])
    print("primes below 10000:", count_primes(0, 10_000))
    print("four spans:", split_range(0, 10_000, 4))


def broken_is_prime(n: int) -> bool:
    """Tell whether *n* is prime, as it is often copied.

    Warning:
        There is no test for numbers below 2 or for even numbers, so 0, 1, 4
        and 8 pass for primes. And :func:`math.sqrt` works with floats: it is
        not exact above 2**53, and fails on an int above about 1e308.
    """
    for divisor in range(3, int(math.sqrt(n)) + 1, 2):
        if n % divisor == 0:
            return False
    return True


def broken_main() -> None:
    """Ask the copied version about numbers that are not prime.

    >>> broken_main()
    called prime: [0, 1, 4, 6, 8, 10, 14, 16]
    10**400 - OverflowError: int too large to convert to float
    """
    wrong = [n for n in range(17) if broken_is_prime(n) and not is_prime(n)]
    print("called prime:", wrong)
    try:
        broken_is_prime(10**400)
    except OverflowError as error:
        print("10**400 - OverflowError:", error)


if __name__ == "__main__":
    main()
    broken_main()
