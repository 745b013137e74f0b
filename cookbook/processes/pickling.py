"""Know what can be sent to a process.

What crosses to another process is pickled: the function, its arguments and
its answer. Numbers, texts, bytes and containers of them are written out. A
function or a class is written as the name that it is imported by, so it has to
stand at the top level of a module. An object is written as the name of its
class and its attributes, so each of those must be picklable too. A bound
method takes its whole object along.

To give a function a setting, use :func:`functools.partial` or an object with
``__call__``. Leave a lock or a pool out in ``__getstate__``, and make in
``__setstate__`` what the copy needs. A file, a generator or a database
connection stays where it is: send a path or the parameters, and open it in the
worker. From Python 3.14 the error has notes that say which attribute it was.

:models: processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:told by: the recipe's own ``why_not``, before a process is started
:search: what can be pickled, picklable, what can be sent to another process,
    multiprocessing pool map instance method class, bound method, self in
    multiprocessing, nested function, lambda, closure, functools.partial,
    callable object, __getstate__, __setstate__, __reduce__, unpicklable,
    decorator, dict_keys, "Can't pickle local object",
    "Can't get local object",
    "PicklingError: Can't pickle <function <lambda>",
    "attribute lookup <lambda> on __main__ failed",
    "it's not found as __main__.<lambda>",
    "TypeError: cannot pickle 'generator' object",
    "cannot pickle '_io.TextIOWrapper' object",
    "cannot pickle 'TextIOWrapper' instances",
    "cannot pickle '_thread.lock' object", "cannot pickle 'module' object",
    "cannot pickle 'sqlite3.Connection' object",
    "cannot pickle 'SSLContext' object", "it's not the same object as",
    "pool objects cannot be passed between processes or pickled",
    "should only be shared between processes through inheritance",
    "AttributeError: Can't get attribute 'work' on <module '__main__'",
    "AttributeError: module '__main__' has no attribute 'work'"

Use this when
    a pool or an executor refuses a function or an argument, or a class is to
    run its own methods in workers.

Prefer instead
    a plain function at the top level that takes all it needs. Large data goes
    to each worker once, or not at all: :mod:`cookbook.processes.big_data`. For
    what is opened in each worker, ``initializer``, as in
    :mod:`cookbook.processes.start_methods`.

Pitfalls
    What is refused, on which Python, and in which words:

    .. list-table::

       * - a function or a lambda inside a function
         - 3.11 to 3.12
         - ``AttributeError: Can't pickle local object 'f.<locals>.g'``
       * - a function or a lambda inside a function
         - 3.13
         - ``AttributeError: Can't get local object 'f.<locals>.g'``
       * - a function or a lambda inside a function
         - 3.14 and later
         - ``PicklingError: Can't pickle local object <function f.<locals>.g at
           0x...>``
       * - a lambda outside of any function
         - 3.11 to 3.13
         - ``PicklingError: Can't pickle <function <lambda> at 0x...>:
           attribute lookup <lambda> on __main__ failed``
       * - a lambda outside of any function
         - 3.14 and later
         - ``PicklingError: Can't pickle <function <lambda> at 0x...>: it's not
           found as __main__.<lambda>``
       * - an object of a local class
         - 3.11 to 3.12
         - ``AttributeError: Can't pickle local object 'f.<locals>.C'``
       * - an object of a local class
         - 3.13
         - ``AttributeError: Can't get local object 'f.<locals>.C'``
       * - an object of a local class
         - 3.14 and later
         - ``PicklingError: Can't pickle local object <class
           '__main__.f.<locals>.C'>``
       * - a function whose name leads to another, such as its decorated form
         - 3.11 and later
         - ``PicklingError: Can't pickle <function work at 0x...>: it's not the
           same object as __main__.work``
       * - a generator
         - 3.11 and later
         - ``TypeError: cannot pickle 'generator' object``
       * - ``table.keys()``
         - 3.11 and later
         - ``TypeError: cannot pickle 'dict_keys' object``
       * - an open text file
         - 3.11
         - ``TypeError: cannot pickle '_io.TextIOWrapper' object``
       * - an open text file
         - 3.12 and later
         - ``TypeError: cannot pickle 'TextIOWrapper' instances``
       * - a database connection
         - 3.11 and later
         - ``TypeError: cannot pickle 'sqlite3.Connection' object``
       * - an SSL context
         - 3.11 and later
         - ``TypeError: cannot pickle 'SSLContext' object``
       * - a module
         - 3.11 and later
         - ``TypeError: cannot pickle 'module' object``
       * - a lock of threading, or what holds one: an event, a queue, an
           executor
         - 3.11 and later
         - ``TypeError: cannot pickle '_thread.lock' object``
       * - a lock of multiprocessing, as an argument of a job; it is for
           ``initargs``, or the ``args`` of a process
         - 3.11 and later
         - ``RuntimeError: Lock objects should only be shared between processes
           through inheritance``

    To unpickle what somebody else has sent can run code of theirs:
    :doc:`/safety`.

    A socket is refused by :mod:`pickle`, and so by ``why_not``, but a pool and
    an executor send it.

    What is changed in a worker is changed in the copy there. Return it.

    A worker that does not find the name fails when it takes the job:
    ``AttributeError: Can't get attribute 'work' on <module '__main__'``, from
    Python 3.14 ``module '__main__' has no attribute 'work'``. Under fork the
    pool was made before the function was defined. Under spawn and forkserver,
    where the module is called ``__mp_main__`` in a worker, the function is
    defined under the main guard or in an interactive session. An executor ends
    with :exc:`~concurrent.futures.process.BrokenProcessPool`. A
    :class:`~multiprocessing.pool.Pool` prints the error, loses the job, and
    ``map`` waits for ever.

    Under fork a ``Process`` pickles neither its target nor its arguments: a
    lambda works on Linux up to Python 3.13, and no longer from 3.14.

If a job raises
    the error is pickled on its way back, as an answer is. What happens if
    that fails: :mod:`cookbook.processes.worker_exceptions`.
"""

import functools
import pickle
import threading
from collections.abc import Iterable
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import Pool
from typing import Any


def multiply(factor: int, n: int) -> int:
    """Return *n* times *factor*."""
    return n * factor


class Times:
    """Multiplies by a factor, when it is called.

    Args:
        factor: What is sent along with the name of this class.
    """

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, n: int) -> int:
        """Return *n* times the factor."""
        return n * self.factor


class Scaler:
    """Multiplies in the workers, with a method of its own.

    Args:
        factor: What to multiply by.
        executor: Where the workers are; it is used and not shut down.

    Attributes:
        scaled: How many numbers were multiplied for this object.
    """

    def __init__(self, factor: int, executor: Executor) -> None:
        self.factor = factor
        self.scaled = 0
        self._executor = executor
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent: all but the executor and the lock."""
        left_out = {"_executor", "_lock"}
        items = vars(self).items()
        return {name: value for name, value in items if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the copy in a worker: it has a lock and no executor."""
        vars(self).update(state)
        self._lock = threading.Lock()

    def scale(self, n: int) -> int:
        """Return *n* times the factor."""
        with self._lock:
            self.scaled += 1
        return n * self.factor

    def scale_all(self, numbers: Iterable[int]) -> list[int]:
        """Return each number times the factor, found in the workers."""
        answers = list(self._executor.map(self.scale, numbers))
        with self._lock:
            self.scaled += len(answers)  # the workers count in their copies
        return answers


def why_not(thing: object) -> str:
    """Return why *thing* cannot be pickled; nothing if it can be.

    Args:
        thing: A function or an argument for a worker.

    Returns:
        The error, and from Python 3.14 its notes, one to a line: each names
        what holds the one before.

    Example:
        >>> from cookbook.processes.pickling import why_not
        >>> why_not(print)
        ''
        >>> why_not({}.keys())
        "TypeError: cannot pickle 'dict_keys' object"
    """
    try:
        pickle.dumps(thing)
    except Exception as error:
        notes = getattr(error, "__notes__", [])
        return "\n".join([f"{type(error).__name__}: {error}", *notes])
    return ""


def main() -> None:
    """Send a partial, an object that is called, and a bound method.

    >>> main()
    partial: [10, 20, 30]
    callable object: [10, 20, 30]
    bound method: [10, 20, 30] and 3 counted
    a generator? TypeError: cannot pickle 'generator' object
    """
    with ProcessPoolExecutor(1) as executor:
        job = functools.partial(multiply, 10)
        print("partial:", list(executor.map(job, [1, 2, 3])))
        print("callable object:", list(executor.map(Times(10), [1, 2, 3])))
        scaler = Scaler(10, executor)
        answers = scaler.scale_all([1, 2, 3])
        print(f"bound method: {answers} and {scaler.scaled} counted")
    print("a generator?", why_not(n for n in (1, 2, 3)))


class BrokenScaler:
    """Multiplies, and keeps something that it has a use for.

    Args:
        factor: What to multiply by.
        kept: A lock, a pool, or nothing of that kind.

    Warning:
        ``self.scale`` is pickled with ``self``, and that with all that it
        keeps. Pickle refuses a lock and a pool. Without them a copy goes to
        the worker, and what the method changes is changed there.
    """

    def __init__(self, factor: int, kept: object) -> None:
        self.factor = factor
        self.scaled = 0
        self.kept = kept

    def scale(self, n: int) -> int:
        """Return *n* times the factor."""
        self.scaled += 1
        return n * self.factor


def broken_main() -> None:
    """Let the object keep a lock, then the pool, then neither.

    >>> broken_main()
    TypeError: cannot pickle '_thread.lock' object
    NotImplementedError:
    pool objects cannot be passed between processes or pickled
    [10, 20, 30] and 0 counted
    """
    with Pool(1) as pool:
        for kept in threading.Lock(), pool, None:
            scaler = BrokenScaler(10, kept)
            try:
                answers = pool.map(scaler.scale, [1, 2, 3])
                print(f"{answers} and {scaler.scaled} counted")
            except TypeError as error:
                print("TypeError:", error)
            except NotImplementedError as error:
                print(f"NotImplementedError:\n{error}")


if __name__ == "__main__":
    main()
    broken_main()
