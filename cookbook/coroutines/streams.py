"""Serve clients over TCP with streams.

TCP carries bytes, not messages: what one side writes at once may arrive in
pieces, or together with what follows. Say where a message ends: here each
request and each answer is a line, read with ``readuntil``. Give everything a
limit: the length of a line, the number of clients, the time that one of them
may take. Then close every connection, and wait until it is closed.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: asyncio TCP server, start_server, open_connection, StreamReader,
    StreamWriter, message framing, read(100) returns half a message, partial
    read, readline limit, drain, slow client, maximum connections, idle
    timeout, wait_closed hangs, close_clients, Connection reset by peer,
    "Separator is not found, and chunk exceed the limit", "Separator is found,
    but chunk is longer than limit", "0 bytes read on a total of undefined
    expected bytes", "AttributeError: 'NoneType' object has no attribute
    'call_soon'", "OSError: [Errno 24] Too many open files", "RuntimeError:
    Event loop is closed", _ProactorBasePipeTransport.__del__

Use this when
    you speak a protocol of your own, or one that has no library.

Prefer instead
    HTTP where you may choose. In anyio and trio ``send`` waits by itself;
    framing remains yours.

Pitfalls
    - ``readline`` returns half a line when the client hangs up;
      ``readuntil`` raises :exc:`asyncio.IncompleteReadError` then.
    - ``write`` never waits: without ``await writer.drain()`` the answers to a
      client that does not read pile up in memory.
    - ``writer.close()`` first sends what is left: ``wait_closed`` waits for
      ever for a client that does not read, unless you abort the transport;
      if that is closed already, this can raise :exc:`AttributeError` up to
      3.13.
    - ``Server.close()`` only stops listening. From 3.12.1
      ``Server.wait_closed()`` waits until every client has gone; in 3.11 it
      waits for none. ``Server.close_clients()`` is there from 3.13.
    - A client accepted in the very turn in which the server closes is
      dropped; debug mode reports an ``AssertionError`` (documented: CPython
      issue 109564).
    - Each client takes a file descriptor: keep *most* below ``ulimit -n``,
      where ``OSError: [Errno 24] Too many open files`` begins.
    - A writer closed after :func:`asyncio.run` raises ``RuntimeError: Event
      loop is closed``. Open, use and close it (and a client or database
      session) inside the same ``main()``.

If a job raises
    a client that hangs up in the middle of a request ends its own task only.
    Other errors reach the loop's exception handler; the connection is closed.

If it takes too long
    a client that sends no line, or takes no answer, for *idle* seconds is
    disconnected. :func:`asyncio.timeout` around ``ask`` closes its connection.

On cancellation
    leaving the ``async with`` block stops listening, cancels the tasks of all
    clients, and waits until their connections are closed.
"""

import asyncio
import contextlib
import math
import operator
from collections.abc import Awaitable, Callable
from typing import Self, TypeAlias

from cookbook.primes import is_prime

HOST, LIMIT = "127.0.0.1", 64  # LIMIT: bytes in a line
# A client took too long or has gone, in a line or not; a line is too long.
RUDE = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
Converse = Callable[[Reader, Writer, float], Awaitable[None]]


async def answer_lines(reader: Reader, writer: Writer, idle: float) -> None:
    """Answer each line; *idle* is the time for one of them, in seconds."""
    while True:
        async with asyncio.timeout(idle):
            line = await reader.readuntil(b"\n")
            writer.write(answer(line))
            await writer.drain()


def answer(line: bytes) -> bytes:
    """Return the answer to one line: ``yes``, ``no`` or ``error``."""
    if not line.strip().isdigit() or int(line) > 2**32:
        return b"error\n"
    return b"yes\n" if is_prime(int(line)) else b"no\n"


class Service:
    """A TCP service; it listens inside ``async with``.

    Args:
        converse: Talks to one client until that hangs up.
        host: The address to listen at.
        port: 0 lets the system choose; inside the block it is set.
        most: How many clients there may be at once; more hear ``busy``.
        idle: Handed to *converse*: how many seconds a client may take.

    Raises:
        ValueError: If *most* or *idle* is out of range.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.streams import Service, ask
        >>> async def main():
        ...     async with Service() as service:
        ...         return await ask(17, 18, port=service.port)
        >>> asyncio.run(main())
        [True, False]
    """

    def __init__(
        self,
        converse: Converse = answer_lines,
        *,
        host: str = HOST,
        port: int = 0,
        most: int = 1000,
        idle: float = 60.0,
    ) -> None:
        if most < 1:
            raise ValueError(f"most must be 1 or more, not {most!r}")
        if not 0 < idle < math.inf:
            raise ValueError(f"idle must be more than 0, not {idle!r}")
        self.converse, self.most, self.idle = converse, most, idle
        self.host, self.port = host, port
        self.clients: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Listen."""
        self._closing = False
        options = {"limit": LIMIT, "backlog": self.most}
        self._server = await asyncio.start_server(
            self._connected, self.host, self.port, **options
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening, and close the connections of all clients."""
        self._closing = True
        self._server.close()
        for task in self.clients:
            task.cancel()
        if self.clients:
            await asyncio.wait(self.clients)
        await self._server.wait_closed()

    def _connected(self, reader: Reader, writer: Writer) -> None:
        if self._closing or len(self.clients) >= self.most:
            writer.write(b"busy\n")
            writer.close()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self.clients.add(task)
        task.add_done_callback(self.clients.discard)
        # For a task that is cancelled before it has begun:
        task.add_done_callback(lambda _: writer.close())

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        try:
            with contextlib.suppress(*RUDE):
                await self.converse(reader, writer, self.idle)
        finally:
            await close(writer)


async def close(writer: Writer, seconds: float = 1.0) -> None:
    """Close a connection; drop what is not taken within *seconds*."""
    try:
        writer.close()
        with contextlib.suppress(OSError):  # it was reset, or took too long
            async with asyncio.timeout(seconds):
                await writer.wait_closed()
    finally:
        if writer.transport.get_write_buffer_size():
            writer.transport.abort()


async def ask(*numbers: int, port: int, host: str = HOST) -> list[bool]:
    """Ask the service, on one connection, whether *numbers* are prime.

    Raises:
        TypeError: If a number is no int; nothing is sent.
        ConnectionError: If the service refuses to answer.
        EOFError: If it hangs up.
        asyncio.LimitOverrunError: If its answer is too long.
    """
    lines = [b"%d\n" % operator.index(number) for number in numbers]
    reader, writer = await asyncio.open_connection(host, port, limit=LIMIT)
    answers = []
    try:
        for line in lines:
            writer.write(line)
            await writer.drain()
            answers.append(await reader.readuntil(b"\n"))
            if answers[-1] not in (b"yes\n", b"no\n"):
                raise ConnectionError(f"the service says {answers[-1]!r}")
    finally:
        await close(writer)
    return [one == b"yes\n" for one in answers]


async def ask_in_pieces(converse: Converse) -> str:
    """Ask for 7 and 15, cut where a network may cut."""
    answers = []
    async with Service(converse) as service:
        reader, writer = await asyncio.open_connection(HOST, service.port)
        try:
            for piece in (b"7\n1", b"5\n"):
                writer.write(piece)
                answers.append((await reader.readline()).decode().strip())
        finally:
            await close(writer)
    return ", ".join(answers)


def main() -> None:
    """Ask whether 7 and 15 are prime; two pieces arrive: "7 1" and "5".

    >>> main()
    are 7 and 15 prime? yes, no
    """
    print("are 7 and 15 prime?", asyncio.run(ask_in_pieces(answer_lines)))


async def broken_answer(reader: Reader, writer: Writer, _: float) -> None:
    """Answer whatever has arrived.

    Warning:
        ``read(100)`` returns as soon as there is one byte, and up to 100. It
        knows no messages: it may return a part of one, or several. On one
        machine a message mostly arrives whole, so your tests pass.
    """
    while data := await reader.read(100):
        writer.write(answer(data))
        await writer.drain()


def broken_main() -> None:
    """Ask the same of a service that takes each piece for a message.

    >>> broken_main()
    are 7 and 15 prime? error, yes
    """
    print("are 7 and 15 prime?", asyncio.run(ask_in_pieces(broken_answer)))


if __name__ == "__main__":
    main()
    broken_main()
