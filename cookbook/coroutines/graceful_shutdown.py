"""Shut an asyncio program down gracefully.

Ctrl-C sends SIGINT; service managers, ``docker stop`` and Kubernetes send
SIGTERM, wait, and then kill. SIGTERM does not raise :exc:`KeyboardInterrupt`:
by default it ends the process at once, and no ``finally`` runs. Install a
handler that only sets an event; let the program take no new work, finish what
is under way, and cancel what has not ended by a deadline.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: graceful shutdown, SIGTERM, SIGINT, signal handler in asyncio,
    add_signal_handler on Windows, NotImplementedError add_signal_handler,
    catch Ctrl-C, docker stop takes 10 seconds, terminationGracePeriodSeconds,
    drain connections, wait for running tasks to finish before shutting down,
    finally is not executed on SIGTERM, exit code 143, "RuntimeError: Event
    loop stopped before Future completed.", "signal only works in main thread
    of the main interpreter"

Use this when
    a service has requests or jobs under way that must not be lost when it is
    told to stop.

Prefer instead
    ``try``/``finally`` alone when Ctrl-C is the only signal and nothing needs
    time: on the first Ctrl-C :func:`asyncio.run` cancels the main task (it
    sees :exc:`asyncio.CancelledError`), then the remaining tasks, and raises
    :exc:`KeyboardInterrupt`. :meth:`asyncio.loop.add_signal_handler` for
    SIGTERM where Windows does not matter: it is not supported there
    (documented: asyncio, *Platform Support*), and removing the handler leaves
    the default action, not the handler of before. In trio,
    ``trio.open_signal_receiver``. With worker processes the parent's handler
    sets a :class:`multiprocessing.Event` that they look at between two jobs;
    the parent calls ``join(timeout)``, then ``terminate()``, then ``kill()``.
    It joins in short steps: a signal that comes just before a call that waits
    is handled when that call returns (:mod:`signal`, "Execution of Python
    signal handlers").

Pitfalls
    - Keep *grace* shorter than the time until SIGKILL: by default 10 seconds
      with ``docker stop``, 30 with Kubernetes (documented: Docker,
      *docker container stop*; Kubernetes, *Pod Lifecycle*).
    - A task that you do not wait for is cancelled when the main coroutine
      returns: keep tasks, and wait for them before *serve* returns.
    - ``loop.stop()`` in a handler ends :func:`asyncio.run` with
      ``RuntimeError: Event loop stopped before Future completed.``
    - Handlers work in the main thread only; elsewhere ``signal.signal``
      raises :exc:`ValueError`, here before anything starts.
    - Windows has no SIGTERM from outside: ``taskkill /F`` and
      ``Popen.terminate()`` kill. It has Ctrl-C, and Ctrl-Break (SIGBREAK)
      (documented: :func:`os.kill`, :meth:`subprocess.Popen.terminate`).

If a job raises
    the exception of *serve* is raised, and the handlers of before are back.

If it takes too long
    *serve* is cancelled *grace* seconds after the signal, and ``False`` is
    returned when it has cleaned up. One that swallows
    :exc:`asyncio.CancelledError` goes on until SIGKILL.

On cancellation
    *serve* is cancelled, and the handlers of before are back.

On Ctrl-C
    the first asks *serve* to stop, a second one cancels it at once.
"""

import asyncio
import contextlib
import math
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGBREAK")  # SIGBREAK: on Windows only
SIGNALS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]


async def run_until_signal(
    serve: Callable[[asyncio.Event], Awaitable[Any]], *, grace: float = 8.0
) -> bool:
    """Run *serve* until it returns; on a signal, ask it to stop.

    Args:
        serve: Takes an event. When that is set, it takes no new work,
            finishes what is under way, and returns.
        grace: Seconds from the first signal until *serve* is cancelled.

    Returns:
        Whether *serve* returned; ``False`` if it was cancelled at the
        deadline or by a second signal.

    Raises:
        TypeError: If *serve* cannot be called.
        ValueError: If *grace* is negative or not finite, or if this is not
            the main thread; nothing is started.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.graceful_shutdown import run_until_signal
        >>> asyncio.run(run_until_signal(lambda stop: asyncio.sleep(0)))
        True
    """
    if not callable(serve):
        raise TypeError(f"serve must be a function, not {serve!r}")
    if not 0 <= grace < math.inf:
        raise ValueError(f"grace must be 0 or more, not {grace!r}")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    deadline = asyncio.timeout(None)

    def ask_to_stop() -> None:
        seconds = 0.0 if stop.is_set() else grace
        stop.set()
        with contextlib.suppress(RuntimeError):  # it has ended meanwhile
            deadline.reschedule(loop.time() + seconds)

    try:
        with on_signals(ask_to_stop):
            async with deadline:
                await serve(stop)
    except TimeoutError:
        if not deadline.expired():
            raise
        return False
    return True


@contextlib.contextmanager
def on_signals(callback: Callable[[], object]) -> Iterator[None]:
    """Let the running loop call *callback* when a signal arrives.

    Args:
        callback: Called by the loop between two steps of its tasks, not in
            the middle of one.
    """
    loop = asyncio.get_running_loop()

    def handle(*_: object) -> None:
        loop.call_soon_threadsafe(callback)  # wakes the loop, on Windows too

    before = [(number, signal.signal(number, handle)) for number in SIGNALS]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


async def answer_requests(stop: asyncio.Event) -> None:
    """Answer requests until *stop* is set; SIGTERM comes during B.

    Args:
        stop: Asked between two requests.
    """
    loop = asyncio.get_running_loop()
    for request in "ABCD":
        if stop.is_set():
            break
        if request == "B":
            loop.call_soon(signal.raise_signal, signal.SIGTERM)
        outcome = "lost"
        try:
            await asyncio.sleep(0.01)  # stands for the work
            outcome = "answered"
        finally:
            print(f"request {request}: {outcome}")


def main() -> None:
    """Stop a service in the middle of its second request.

    >>> main()
    request A: answered
    request B: answered
    exit status 0
    """
    finished = asyncio.run(run_until_signal(answer_requests))
    print("exit status", 0 if finished else 1)


async def broken_run_until_signal(
    serve: Callable[[asyncio.Event], Awaitable[Any]],
) -> None:
    """Run *serve*, and leave the program on SIGTERM.

    Args:
        serve: Takes an event, which is never set.

    Warning:
        A handler may run wherever the main thread calls something or ends a
        turn of a loop, and there ``sys.exit`` raises :exc:`SystemExit`. It
        ends the event loop; :func:`asyncio.run` then cancels every task, in
        the middle of its work, and the exit status 0 says that all went well.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    await serve(asyncio.Event())


def broken_main() -> None:
    """Do the same with a handler that exits.

    >>> broken_main()
    request A: answered
    request B: lost
    exit status 0
    """
    before = signal.getsignal(signal.SIGTERM)
    try:
        asyncio.run(broken_run_until_signal(answer_requests))
    except SystemExit as error:
        print("exit status", error.code)
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    main()
    broken_main()
