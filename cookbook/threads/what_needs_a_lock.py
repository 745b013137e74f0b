"""Know which operations need a lock.

Most single operations of a list, dict or deque are one step: no other thread
comes in between. Two operations are two steps, also on one line, and ``+=`` is
two: a read and a write. So a line that reads something shared and then writes
what depends on it needs a lock, with the GIL and without. The output is the
table.

No test can prove that an operation is one step. *FAQ*: documented in the
manual's Library and Extension FAQ, "What kinds of global value mutation are
thread-safe?", which speaks of builds with the GIL. *list* and *dict*:
documented for free-threaded builds, from Python 3.14 on
(:ref:`thread-safety-list`, :ref:`thread-safety-dict`). *deque*: documented in
:class:`collections.deque`. *observed*: it is one instruction, and in a stress
run on the free-threaded 3.13 nothing was lost. *proved*: switched between two
of its instructions, it goes wrong.

:models: threads
:work: CPU-bound, I/O-bound
:level: expert
:since: 3.11
:trap: every build
:told by: :mod:`cookbook.testing.every_interleaving`, by bytecode
:search: atomic operations, is += atomic, is list.append thread-safe, is dict
    thread-safe, is deque thread-safe, do I still need locks without the GIL,
    free-threaded thread safety, no-GIL locks, per-object lock, does the GIL
    make my code thread-safe, bytecode, dis, setdefault atomic, swap two items,
    free threading no speed-up, contention

Use this when
    threads share a list, dict, deque or number and you ask whether that line
    is safe.

Prefer instead
    a lock whenever you have to ask, as in
    :mod:`cookbook.threads.shared_counter` and
    :mod:`cookbook.threads.check_then_act`; a :class:`queue.Queue` between
    threads.

Pitfalls
    - Without the GIL you need the same locks as before. But a bare
      ``total += 1`` in a loop, which may never fail with the GIL, loses
      updates on a free-threaded build.
    - An operation can run Python code: ``__eq__`` of a key, ``__del__`` of
      what is replaced, the methods of a subclass. Other threads run
      meanwhile.
    - Iterating is one step for each item: iterate over ``table.copy()``. To
      sort, make a new list: while ``items.sort()`` runs, the list looks empty.
      ``items.insert(0, x)`` and ``items.pop(0)`` move the other items, and
      without the GIL a reader may see them half moved (documented, *list*).
    - Why a free-threaded program does not scale: each list, dict and deque
      has a lock of its own, so threads that change one object all the time
      wait for each other; threads that use one object contend for its
      reference count; and an extension that is not marked as safe switches
      the GIL on again (documented: :ref:`freethreading-python-howto`). Look at
      ``sys._is_gil_enabled()``. Let each thread fill its own, and merge at
      the end.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple


class Operation(NamedTuple):
    """What threads do to something that they share.

    Attributes:
        code: The shared ones are ``total``, ``box``, ``items`` (a list),
            ``table`` (a dict with keys written in C, such as str) and
            ``queue`` (a deque); ``more`` is of the same type.
        without: What goes wrong without a lock; empty if nothing does.
        known: What says so.
    """

    code: str
    without: str
    known: str


OPERATIONS = (
    Operation("total = x", "", "FAQ, observed"),
    Operation("box.total = x", "", "FAQ, observed"),
    Operation("x = items[0]", "", "FAQ, list"),
    Operation("items[0] = x", "", "list"),
    Operation("items.append(x)", "", "FAQ, list"),
    Operation("items.extend(more)", "", "FAQ, list"),
    Operation("x = items.pop()", "", "FAQ, list"),
    Operation("x = table[key]", "", "dict"),
    Operation("table[key] = x", "", "FAQ, dict"),
    Operation("table.setdefault(key, x)", "", "dict"),
    Operation("table.pop(key, None)", "", "dict"),
    Operation("table.update(more)", "", "FAQ, dict"),
    Operation("x = table.copy()", "", "dict"),
    Operation("queue.append(x)", "", "deque"),
    Operation("x = queue.popleft()", "", "deque"),
    Operation("total += 1", "loses an update", "proved"),
    Operation("box.total += 1", "loses an update", "proved"),
    Operation("items[0] += 1", "loses an update", "proved"),
    Operation(
        "table[key] = table.get(key, 0) + 1", "loses an update", "proved"
    ),
    Operation("items.append(len(items))", "appends one twice", "proved"),
    Operation(
        "items[0], items[1] = items[1], items[0]", "loses an item", "proved"
    ),
    Operation("if items: x = items.pop()", "IndexError", "proved"),
    Operation("if key in table: del table[key]", "KeyError", "proved"),
    Operation("for key in table: x = key", "RuntimeError", "proved"),
    Operation("items.sort()", "looks empty meanwhile", "list"),
)


def main() -> None:
    """Print the table.

    >>> main()
    NO LOCK NEEDED                           KNOWN FROM
    total = x                                FAQ, observed
    box.total = x                            FAQ, observed
    x = items[0]                             FAQ, list
    items[0] = x                             list
    items.append(x)                          FAQ, list
    items.extend(more)                       FAQ, list
    x = items.pop()                          FAQ, list
    x = table[key]                           dict
    table[key] = x                           FAQ, dict
    table.setdefault(key, x)                 dict
    table.pop(key, None)                     dict
    table.update(more)                       FAQ, dict
    x = table.copy()                         dict
    queue.append(x)                          deque
    x = queue.popleft()                      deque
    LOCK NEEDED                              WITHOUT IT
    total += 1                               loses an update (proved)
    box.total += 1                           loses an update (proved)
    items[0] += 1                            loses an update (proved)
    table[key] = table.get(key, 0) + 1       loses an update (proved)
    items.append(len(items))                 appends one twice (proved)
    items[0], items[1] = items[1], items[0]  loses an item (proved)
    if items: x = items.pop()                IndexError (proved)
    if key in table: del table[key]          KeyError (proved)
    for key in table: x = key                RuntimeError (proved)
    items.sort()                             looks empty meanwhile (list)
    """
    print(f"{'NO LOCK NEEDED':40} KNOWN FROM")
    for code, without, known in OPERATIONS:
        if not without:
            print(f"{code:40} {known}")
    print(f"{'LOCK NEEDED':40} WITHOUT IT")
    for code, without, known in OPERATIONS:
        if without:
            print(f"{code:40} {without} ({known})")


def broken_count(table: dict[str, int], word: str) -> None:
    """Count *word*.

    Warning:
        Reading is one step and so is the assignment, and neither needs a
        lock. Together they do: between the two, another thread reads the same
        number.
    """
    table[word] = table[word] + 1


class MeetingTable(dict[str, int]):
    """A dict whose readers wait for each other before they go on."""

    def __init__(self, readers: int, **values: int) -> None:
        super().__init__(values)
        self.all_have_read = threading.Barrier(readers, timeout=10)

    def __getitem__(self, word: str) -> int:
        found = super().__getitem__(word)
        self.all_have_read.wait()
        return found


def broken_main() -> None:
    """Let two threads count one word, both between read and write.

    >>> broken_main()
    2 threads counted 1 each: {'word': 1}
    """
    table = MeetingTable(readers=2, word=0)
    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs = [pool.submit(broken_count, table, "word") for _ in range(2)]
    for job in jobs:
        job.result()
    print("2 threads counted 1 each:", table)


if __name__ == "__main__":
    main()
    broken_main()
