"""Python without the GIL.

The GIL is a lock of the interpreter: with it, one thread at a time runs
Python code. There are two ways to run Python code in parallel inside one
process. A free-threaded build has no GIL, so its threads run at once and
share every object, as they always did. A subinterpreter is one more
interpreter in the same process, with a GIL and objects of its own: code in
two of them runs at once, on every build of 3.14 and later, and shares next to
nothing.

The free-threaded build was experimental in Python 3.13 (documented: PEP 703)
and is supported from 3.14 (documented: PEP 779); the default build of 3.13,
3.14 and 3.15 has the GIL. Interpreters have a GIL of their own from 3.12
(documented: PEP 684), and the standard library opens them to Python code from
3.14 (documented: PEP 734).

What this chapter says of free-threaded builds was run on the free-threaded
3.13. The project's workflow on GitHub runs the free-threaded 3.14 as well; the
one of 3.15 was not run. What it says of interpreters was run on the default
builds of 3.14 and 3.15.

GIL
    the global interpreter lock, which a thread holds while it runs Python
    code.

default build
    a Python with the GIL; what you get unless you ask for the other.

free-threaded build
    a Python that can run without the GIL, such as ``python3.13t``.

extension module
    a module written in C or another compiled language. It has to say that it
    works without the GIL, and in a subinterpreter.

interpreter
    what runs Python code: the modules, the objects and the lock that belong
    together. Every process starts with one, the main interpreter.

subinterpreter
    any further interpreter in the process.

shareable
    of an object: able to cross from one interpreter to another.

race condition
    the result depends on which thread comes first.

contention
    threads wait for one lock, or for one object, that all of them use.
"""

__all__ = [
    # Free-threaded builds
    "is_the_gil_on",
    "what_breaks_without_the_gil",
    "threads_that_scale",
    # Several interpreters
    "interpreter_pool",
    "interpreter_queues",
    # Which of them
    "interpreters_or_processes",
]
