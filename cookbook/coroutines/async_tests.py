"""Test coroutines, and see that the tests are run.

A test that is an ``async def`` function does nothing until an event loop runs
it. :class:`unittest.IsolatedAsyncioTestCase` runs each on a loop of its own;
pytest needs a plugin. In an ordinary :class:`unittest.TestCase` such a test
passes without having been run. Give each test a limit of time, so that one
that waits for ever fails, and let events decide what happens when, not sleeps.

:models: asyncio
:work: I/O-bound
:level: first steps
:since: 3.11
:trap: every build
:told by: a RuntimeWarning and a DeprecationWarning; the second is an error of
    the test with ``python -W error``
:search: test async function, pytest asyncio, pytest-asyncio, anyio pytest
    plugin, IsolatedAsyncioTestCase, AsyncMock, unittest async test, async test
    passes but does not run, "async def functions are not natively supported",
    "RuntimeWarning: coroutine 'BrokenPriceTest.test_price' was never awaited",
    "DeprecationWarning: It is deprecated to return a value that is not None
    from a test case", "TypeError: object Mock can't be used in 'await'
    expression", "TypeError: 'Mock' object can't be awaited"

Use this when
    you test an ``async def`` function.

Prefer instead
    with pytest, ``pytest-asyncio`` and ``@pytest.mark.asyncio``, or anyio's
    plugin and ``@pytest.mark.anyio``; without a plugin pytest (tried with 9)
    fails such a test: ``async def functions are not natively supported``. A
    single ``asyncio.run(main())`` in an ordinary test needs none of them.
    :mod:`cookbook.testing.without_sleeping` for code that waits by the clock.

Pitfalls
    - Each test has a loop of its own. What belongs to one, such as a client
      made in ``setUpClass``, does not work in the next test: make it in
      ``asyncSetUp``, and close it with ``addAsyncCleanup``.
    - Tasks that a test leaves behind are cancelled as it ends, in silence.
    - :class:`unittest.mock.AsyncMock` stands for a coroutine function; to
      await what a ``Mock`` returns is a :exc:`TypeError`.
    - The loop is in debug mode (:mod:`cookbook.coroutines.find_what_blocks`).
    - ``asyncio.sleep(0.1)`` until something "will have happened" can fail on a
      busy machine, and wastes the time on all others. Await an
      :class:`asyncio.Event` that the code sets.

If a job raises
    the test fails, or is an error, as any other.

If it takes too long
    :func:`asyncio.timeout` in the test cancels what it awaits, and the test
    is an error with :exc:`TimeoutError`.
"""

import asyncio
import unittest
import warnings


async def price(item: str) -> int:
    """Return the price of *item*: of tea, a wrong one."""
    await asyncio.sleep(0)  # stands for a request
    return {"tea": 4}[item]


class PriceTest(unittest.IsolatedAsyncioTestCase):
    """Finds that the price of tea is wrong."""

    async def test_price(self) -> None:
        """Compare it, and wait 10 seconds at most."""
        async with asyncio.timeout(10):
            self.assertEqual(await price("tea"), 3)


def run_tests(case: type[unittest.TestCase]) -> None:
    """Print what came of the tests of *case*, and of which warnings."""
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = tests.run(unittest.TestResult())
    print("run:", result.testsRun, "failed:", len(result.failures))
    for name in sorted(warning.category.__name__ for warning in caught):
        print(name)


def main() -> None:
    """Test the wrong price.

    >>> main()
    run: 1 failed: 1
    """
    run_tests(PriceTest)


class BrokenPriceTest(unittest.TestCase):
    """The same in an ordinary test case.

    Warning:
        The runner calls the method, gets a coroutine, and drops it: nothing
        in the test is run. By default a test runner shows the two warnings
        that tell of it, and counts the test as passed.
    """

    async def test_price(self) -> None:
        """Compare it; nobody awaits this."""
        self.assertEqual(await price("tea"), 3)


def broken_main() -> None:
    """Let the wrong price pass.

    >>> broken_main()
    run: 1 failed: 0
    DeprecationWarning
    RuntimeWarning
    """
    run_tests(BrokenPriceTest)


if __name__ == "__main__":
    main()
    broken_main()
