import math
import os
from enum import IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook.primes import (
    PRIMES,
    WORKERS,
    broken_is_prime,
    checked,
    count_primes,
    is_prime,
    is_prime_with_pid,
    split_range,
)

LIMIT = 20_000


def sieve(limit: int) -> list[bool]:
    primes = [False, False] + [True] * (limit - 2)
    for n in range(2, math.isqrt(limit) + 1):
        primes[n * n :: n] = [False] * len(primes[n * n :: n])
    return primes


def test_is_prime_agrees_with_a_sieve_below_20000() -> None:
    assert [is_prime(n) for n in range(LIMIT)] == sieve(LIMIT)


def test_no_number_below_2_is_prime() -> None:
    assert not any(is_prime(n) for n in (1, 0, -1, -2, -3, -7, -(10**30)))


@pytest.mark.parametrize("root", [65537, 99991, 1299709])
def test_the_square_of_a_prime_is_not_prime(root: int) -> None:
    assert is_prime(root)
    assert not is_prime(root**2)


@pytest.mark.parametrize("root", [94906249, 94906297])
def test_squares_on_both_sides_of_2_to_the_53_are_not_prime(root: int) -> None:
    assert (root**2 < 2**53) == (root == 94906249)
    assert not any(root % n == 0 for n in range(2, math.isqrt(root) + 1))
    assert not is_prime(root**2)


@pytest.mark.parametrize("n", [561, 1105, 1729, 2465, 6601, 9746347772161])
def test_carmichael_numbers_are_not_prime(n: int) -> None:
    assert all(pow(base, n, n) == base for base in (2, 3, 5, 7))
    assert not is_prime(n)


@pytest.mark.parametrize(
    "n", [2047, 1373653, 25326001, 3215031751, 2152302898747]
)
def test_strong_pseudoprimes_are_not_prime(n: int) -> None:
    assert not is_prime(n)


def test_an_int_of_any_size_gets_an_answer() -> None:
    assert not is_prime(10**400)
    assert not is_prime(3 * (10**400 + 1))


@given(st.integers(2, 10**6), st.integers(2, 10**6))
def test_a_product_is_not_prime(one: int, other: int) -> None:
    assert not is_prime(one * other)


@given(st.integers(max_value=10**9))
def test_a_prime_is_a_number_with_no_smaller_divisor(n: int) -> None:
    divisors = range(2, math.isqrt(max(n, 0)) + 1)
    assert is_prime(n) == (n > 1 and all(n % one for one in divisors))


@pytest.mark.parametrize("n", [True, 7.0, "7", None, 1j])
def test_what_is_no_int_is_an_error_that_names_it(n: object) -> None:
    with pytest.raises(TypeError, match=f"n must be an int, not {n!r}"):
        is_prime(n)  # type: ignore[arg-type]


def test_a_subclass_of_int_is_an_int() -> None:
    class Size(IntEnum):
        LARGE = 7

    assert is_prime(Size.LARGE)


def test_the_seven_numbers_stand_in_order_and_three_are_prime() -> None:
    assert list(PRIMES) == sorted(PRIMES)
    assert [is_prime(n) for n in PRIMES] == [0, 1, 0, 1, 0, 1, 0]
    assert WORKERS == 4


def test_the_answer_comes_with_the_number_and_the_process() -> None:
    assert is_prime_with_pid(9) == (9, False, os.getpid())


@given(st.integers(-50, 300), st.integers(-50, 300))
def test_count_primes_counts_the_primes_of_a_range(
    start: int, stop: int
) -> None:
    assert count_primes(start, stop) == sum(
        is_prime(n) for n in range(start, stop)
    )


@pytest.mark.parametrize("bound", [1.5, "9", False, None])
def test_a_bound_that_is_no_int_is_an_error(bound: object) -> None:
    with pytest.raises(TypeError, match=f"not {bound!r}"):
        count_primes(0, bound)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=f"not {bound!r}"):
        split_range(0, bound, 3)  # type: ignore[arg-type]


@given(st.integers(-99, 99), st.integers(0, 999), st.integers(1, 99))
def test_spans_cover_the_range_once_and_differ_by_at_most_one(
    start: int, length: int, parts: int
) -> None:
    spans = split_range(start, start + length, parts)
    numbers = [n for span in spans for n in range(*span)]
    assert numbers == list(range(start, start + length))
    lengths = {stop - first for first, stop in spans}
    assert not lengths or max(lengths) - min(lengths) <= 1
    assert len(spans) == min(parts, length)


@pytest.mark.parametrize("parts", [0, -1])
def test_fewer_than_one_part_is_an_error(parts: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, not {parts}"):
        split_range(0, 9, parts)


def test_a_range_that_ends_before_it_starts_is_an_error() -> None:
    with pytest.raises(ValueError, match="stop 3 is below start 9"):
        split_range(9, 3, 1)


def test_checked_takes_an_iterator_once_and_keeps_its_order() -> None:
    assert checked(iter([3, 1, 2]), 1) == [3, 1, 2]


def test_the_copied_version_calls_0_1_4_and_8_prime() -> None:
    assert all(broken_is_prime(n) for n in (0, 1, 4, 8))
    assert not any(is_prime(n) for n in (0, 1, 4, 8))


def test_the_square_root_of_a_large_int_overflows_as_a_float() -> None:
    with pytest.raises(OverflowError, match="int too large"):
        broken_is_prime(10**400)


def test_a_float_square_root_is_one_too_large_below_2_to_the_53() -> None:
    n = 67108865**2 - 1
    assert n < 2**53
    assert int(math.sqrt(n)) == math.isqrt(n) + 1


def test_a_float_square_root_is_too_small_for_some_squares() -> None:
    root = 2**53 + 1
    assert int(math.sqrt(root**2)) == root - 1
    assert math.isqrt(root**2) == root
