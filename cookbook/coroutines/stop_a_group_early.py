"""Stop a task group early, without an error.

A task group ends when all its tasks have ended; leaving its block waits for
them. To end it before, call ``group.cancel()``, which Python 3.15 brought:
all tasks and the block are cancelled, and the group ends without an
exception. On older versions cancel the task that runs the block, and take the
cancellation back (:meth:`~asyncio.Task.uncancel`) as it leaves the block.

:models: asyncio
:work: I/O-bound
:level: expert
:since: 3.11
:trap: every build
:search: TaskGroup.cancel, cancel a TaskGroup, terminate a task group, stop
    all tasks of a group, break out of a TaskGroup, return inside async with
    TaskGroup hangs, cancel siblings when one has the answer, cancel scope,
    "AttributeError: 'TaskGroup' object has no attribute 'cancel'",
    TerminateTaskGroup, "is shutting down"

Use this when
    one task's result makes the others pointless, or a request to stop arrives
    while they run.

Prefer instead
    the :class:`asyncio.TaskGroup` of Python 3.15 and later. ``task.cancel()``
    for one task: its group goes on without it. In trio and anyio,
    ``cancel_scope.cancel()``. If the group may fail as well as stop, a task
    that raises an exception of yours, and ``except*`` around the group, will
    do on every version.

Pitfalls
    - A task that calls ``cancel()`` goes on until its next ``await``, which
      raises :exc:`asyncio.CancelledError`: return after it.
    - To raise :exc:`asyncio.CancelledError` in a task ends that task alone.
    - ``cancel()`` may be called again, or when the group has ended: nothing
      happens. Before the block, it stops the group as it begins.
    - In a task that cleans up because it was cancelled itself, the group of
      3.15 raises that cancellation again at the end of its block (observed
      on 3.15.0); the one below ends without an error there, too.

If a job raises
    the others are cancelled, and an :exc:`ExceptionGroup` with every error is
    raised, whether the group was stopped or not.

If it takes too long
    :func:`asyncio.timeout` around the block cancels all tasks, waits until
    they have ended, and raises :exc:`TimeoutError`.

On cancellation
    all tasks are cancelled, and the cancellation goes on when they have
    ended, even if it comes as the group is being stopped.

On Ctrl-C
    :func:`asyncio.run` cancels the main task, and with it all others, and
    raises :exc:`KeyboardInterrupt` when they have ended.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, cast

T = TypeVar("T")


class StoppableGroup:
    """A task group with the ``cancel()`` of Python 3.15.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.stop_a_group_early import StoppableGroup
        >>> async def main():
        ...     async with StoppableGroup() as group:
        ...         group.create_task(asyncio.sleep(3600))
        ...         group.cancel()
        >>> asyncio.run(main())
    """

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._owner: asyncio.Task[Any] | None = None
        self._is_stopped = False

    async def __aenter__(self) -> Self:
        """Begin, and stop at once if ``cancel()`` was called before."""
        await self._group.__aenter__()
        owner = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelled_before = owner.cancelling()
        if self._is_stopped:
            owner.cancel()
        self._owner = owner
        return self

    def create_task(self, job: Coroutine[Any, Any, T]) -> Awaitable[T]:
        """Run *job* in a task of the group, and return the task."""
        return self._group.create_task(job)

    def cancel(self) -> None:
        """Cancel all tasks and the block; the group ends without an error."""
        if self._owner and not self._is_stopped:
            self._owner.cancel()
        self._is_stopped = True

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Wait for the tasks; take back the cancellation of ``cancel()``."""
        if self._is_stopped:
            # If the block has not awaited since, it is cancelled here.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            error = error or asyncio.CancelledError()
            kind = type(error)
        try:
            await self._group.__aexit__(kind, error, traceback)
        except asyncio.CancelledError:
            if not self._take_back():
                raise
        except BaseException:
            self._take_back()
            raise
        self._owner = None
        return True

    def _take_back(self) -> bool:
        owner, self._owner = self._owner, None
        if not owner or not self._is_stopped:
            return False
        return owner.uncancel() <= self._cancelled_before


async def search_rooms(
    rooms: Sequence[Sequence[str]], wanted: str, searched: list[int]
) -> int | None:
    """Search all rooms at the same time, until one task finds *wanted*.

    Args:
        rooms: The things in each room.
        wanted: What to find.
        searched: Gets the number of each room that was searched to its end.

    Returns:
        The number of the room, or ``None`` if none has it.
    """
    found: list[int] = []

    async def search(number: int) -> None:
        for thing in rooms[number]:
            await asyncio.sleep(0)  # stands for opening a box
            if thing == wanted:
                found.append(number)
                group.cancel()
                return
        searched.append(number)

    async with StoppableGroup() as group:
        for number in range(len(rooms)):
            group.create_task(search(number))
    return found[0] if found else None


def search_house(
    search: Callable[..., Coroutine[Any, Any, int | None]],
) -> None:
    """Look for a key that is in the second of three rooms.

    Args:
        search: :func:`search_rooms`, or a function with its signature.
    """
    rooms = [100 * ["book"], ["hat", "key", "coat"], 100 * ["cup"]]
    searched: list[int] = []
    print("found in room", asyncio.run(search(rooms, "key", searched)))
    print("searched to the end:", searched)


def main() -> None:
    """Find the key, and let the others stop.

    >>> main()
    found in room 1
    searched to the end: []
    """
    search_house(search_rooms)


async def broken_search_rooms(
    rooms: Sequence[Sequence[str]], wanted: str, searched: list[int]
) -> int | None:
    """Return from the block as soon as it is found.

    Args:
        rooms: The things in each room.
        wanted: What to find.
        searched: Gets the number of each room that was searched to its end.

    Returns:
        The number of the room, when all other rooms have been searched.

    Warning:
        ``return`` and ``break`` leave the block, and leaving it waits for
        every task. If one of them never ends, nor does this.
    """
    found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def search(number: int) -> None:
        for thing in rooms[number]:
            await asyncio.sleep(0)
            if thing == wanted:
                found.set_result(number)
                return
        searched.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(len(rooms)):
            group.create_task(search(number))
        return await found


def broken_main() -> None:
    """Find the key, and search the other rooms to the end.

    >>> broken_main()
    found in room 1
    searched to the end: [0, 2]
    """
    search_house(broken_search_rooms)


if __name__ == "__main__":
    main()
    broken_main()
