"""What the recipe says of TCP streams, shown to be so."""

import asyncio
import gc
import math
import socket
import struct
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from cookbook.coroutines.streams import (
    LIMIT,
    Service,
    answer,
    answer_lines,
    ask,
    ask_in_pieces,
    broken_answer,
    close,
)
from cookbook.primes import is_prime

CLIENTS = 1000
HOST = "127.0.0.1"
OPEN_FILES = Path("/proc/self/fd")
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

linux = pytest.mark.skipif(
    not OPEN_FILES.is_dir(), reason="counts open descriptors"
)


@contextmanager
def room_for_descriptors(needed: int) -> Iterator[None]:
    """Raise the soft limit of open files, or skip where it cannot be."""
    resource = pytest.importorskip("resource", reason="POSIX only")
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < needed:
        if 0 <= hard < needed:
            pytest.skip(f"at most {hard} open files are allowed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def descriptors() -> int:
    return sum(1 for _ in OPEN_FILES.iterdir())


async def connect(service: Service) -> Connection:
    return await asyncio.open_connection(HOST, service.port)


async def until_idle(service: Service, clients: int = 0) -> None:
    """Wait until the service holds so many clients."""
    async with asyncio.timeout(10):
        while len(service.clients) != clients:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def never_reads(service: Service) -> socket.socket:
    """Return a connection with a small buffer, which nobody reads."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((HOST, service.port))
    return client


class Load:
    """A thousand clients; each tenth hangs up in the middle of a request."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.held = 0
        self.answers: dict[int, list[bytes]] = {}

    def run(self) -> None:
        """Connect all, ask, count, let some hang up, ask again."""
        with ExitStack() as stack:
            clients = [
                stack.enter_context(
                    socket.create_connection((HOST, self.service.port), 30)
                )
                for _ in range(CLIENTS)
            ]
            first = self.ask(dict(enumerate(clients)), 0)
            self.held = len(self.service.clients)
            for client in clients[::10]:
                client.sendall(b"12")
            for client in clients[::20]:  # these reset the connection
                linger = struct.pack("ii", 1, 0)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            for client in clients[::10]:
                client.close()
            stay = {n: one for n, one in enumerate(clients) if n % 10}
            second = self.ask(stay, 1)
        self.answers = {n: [first[n], second[n]] for n in second}

    def ask(
        self, clients: dict[int, socket.socket], add: int
    ) -> dict[int, bytes]:
        """Return the answers, after all have sent their request."""
        for number, client in clients.items():
            client.sendall(b"%d\n" % (number + add))
        return {n: client.recv(100) for n, client in clients.items()}


@linux
def test_a_thousand_clients_are_held_at_once_and_no_answer_is_lost() -> None:
    async def main() -> Load:
        loop = asyncio.get_running_loop()
        errors: list[Any] = []
        loop.set_exception_handler(lambda _, context: errors.append(context))
        before = descriptors()
        async with Service(most=CLIENTS) as service:
            load = Load(service)
            await asyncio.to_thread(load.run)
            await until_idle(service)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert descriptors() == before
        assert not errors
        return load

    with room_for_descriptors(2 * CLIENTS + 200):
        # Debug mode would note where each of the thousands of steps came from.
        load = asyncio.run(main(), debug=False)
    assert load.held == CLIENTS
    assert load.answers == {
        number: [
            b"yes\n" if is_prime(one) else b"no\n"
            for one in (number, number + 1)
        ]
        for number in range(CLIENTS)
        if number % 10
    }
    assert len(load.answers) == CLIENTS * 9 // 10


def open_sockets(stack: ExitStack, number: int) -> None:
    for _ in range(number):
        stack.enter_context(socket.socket())


@linux
def test_above_the_limit_of_descriptors_comes_too_many_open_files() -> None:
    resource = pytest.importorskip("resource", reason="POSIX only")
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in OPEN_FILES.iterdir())
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 10, hard))
        with pytest.raises(OSError, match="Too many open files") as caught:
            open_sockets(stack, highest + 20)
    assert str(caught.value) == "[Errno 24] Too many open files"
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft


def test_requests_cut_anywhere_are_read_line_by_line() -> None:
    assert asyncio.run(ask_in_pieces(answer_lines)) == "yes, no"


def test_what_read_returns_is_one_request_and_a_part_of_the_next() -> None:
    assert asyncio.run(ask_in_pieces(broken_answer)) == "error, yes"


def test_the_next_line_is_not_answered_before_the_answer_is_taken() -> None:
    class Slow:
        """Stands for a writer whose other side takes one answer at a time."""

        def __init__(self) -> None:
            self.written: list[bytes] = []
            self.taken = asyncio.Semaphore(0)

        def write(self, data: bytes) -> None:
            self.written.append(data)

        async def drain(self) -> None:
            await self.taken.acquire()

    async def main() -> None:
        reader, writer = asyncio.StreamReader(), Slow()
        reader.feed_data(b"7\n8\n")
        task = asyncio.create_task(
            answer_lines(reader, writer, 10)  # type: ignore[arg-type]
        )
        for answers in (1, 2):
            for _ in range(10):
                await asyncio.sleep(0)
            assert writer.written == [b"yes\n", b"no\n"][:answers]
            writer.taken.release()
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())


def test_two_numbers_that_arrive_together_get_an_answer_each() -> None:
    async def main() -> list[bytes]:
        async with Service() as service:
            reader, writer = await connect(service)
            writer.write(b"17\n18\n19\n")
            writer.write_eof()
            lines = (await reader.read()).splitlines()
            await close(writer)
            return lines

    assert asyncio.run(main()) == [b"yes", b"no", b"yes"]


@pytest.mark.parametrize(
    "line", [b"x\n", b"\n", b"-7\n", b"1.5\n", b"4294967297\n", b"1 7\n"]
)
def test_a_line_that_is_no_number_or_too_large_is_an_error(
    line: bytes,
) -> None:
    assert answer(line) == b"error\n"
    assert answer(b"4294967291\r\n") == b"yes\n"
    assert answer(b"4294967296\n") == b"no\n"


def test_a_client_that_is_refused_raises_connection_error() -> None:
    async def main() -> None:
        async with Service() as service:
            with pytest.raises(ConnectionError, match="says b'error"):
                await ask(7, -1, 7, port=service.port)
            assert await ask(port=service.port) == []
            assert await ask(7, 8, port=service.port) == [True, False]

    asyncio.run(main())


def test_a_service_without_a_port_gets_a_free_one_of_its_own() -> None:
    async def main() -> None:
        async with Service() as one, Service() as other:
            assert one.port != other.port
            for service in (one, other):
                assert await ask(7, port=service.port) == [True]

    asyncio.run(main())


def test_a_service_that_hangs_up_raises_eof_error_at_the_client() -> None:
    async def hang_up(*_: object) -> None:
        pass

    async def main() -> None:
        async with Service(hang_up) as service:
            with pytest.raises((EOFError, ConnectionError)) as caught:
                await ask(7, port=service.port)
            if isinstance(caught.value, EOFError):
                message = "0 bytes read on a total of undefined expected bytes"
                assert str(caught.value) == message

    asyncio.run(main())


def test_an_answer_over_the_limit_raises_limit_overrun_error() -> None:
    async def answer_without_end(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: float
    ) -> None:
        writer.write(b"1" * (LIMIT + 1))
        await reader.read()

    async def main() -> None:
        async with Service(answer_without_end) as service:
            with pytest.raises(asyncio.LimitOverrunError):
                async with asyncio.timeout(10):
                    await ask(7, port=service.port)

    asyncio.run(main())


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_over_the_limit_ends_the_connection(end: bytes) -> None:
    async def main() -> bytes:
        async with Service() as service:
            reader, writer = await connect(service)
            writer.write(b"1" * (LIMIT + 2) + end)
            try:
                return await reader.read()
            except ConnectionError:
                return b""
            finally:
                await close(writer)

    assert asyncio.run(main()) == b""


def test_readline_over_the_limit_raises_value_error_and_its_text() -> None:
    async def main(data: bytes) -> str:
        reader = asyncio.StreamReader(limit=LIMIT)
        reader.feed_data(data)
        with pytest.raises(ValueError, match="limit") as caught:
            await reader.readline()
        return str(caught.value)

    assert asyncio.run(main(b"1" * 100)) == (
        "Separator is not found, and chunk exceed the limit"
    )
    assert asyncio.run(main(b"1" * 100 + b"\n")) == (
        "Separator is found, but chunk is longer than limit"
    )


def test_readline_takes_half_a_number_for_a_whole_one() -> None:
    async def main() -> None:
        for method in ("readline", "readuntil"):
            reader = asyncio.StreamReader()
            reader.feed_data(b"1")
            reader.feed_eof()
            if method == "readline":
                assert await reader.readline() == b"1"
            else:
                with pytest.raises(asyncio.IncompleteReadError):
                    await reader.readuntil(b"\n")

    asyncio.run(main())


def test_one_client_more_than_the_limit_hears_busy() -> None:
    async def main() -> None:
        async with Service(most=2) as service:
            held = [await connect(service) for _ in range(2)]
            await until_idle(service, 2)
            reader, writer = await connect(service)
            assert await reader.read() == b"busy\n"
            await close(writer)
            for _, one in held:
                await close(one)
            await until_idle(service)
            assert await ask(7, port=service.port) == [True]

    asyncio.run(main())


@pytest.mark.parametrize("sent", [b"", b"1"])
def test_a_client_that_sends_no_line_in_time_is_disconnected(
    sent: bytes,
) -> None:
    async def main() -> bytes:
        async with Service(idle=0.02) as service:
            reader, writer = await connect(service)
            writer.write(sent)
            try:
                return await asyncio.wait_for(reader.read(), 10)
            finally:
                await close(writer)

    assert asyncio.run(main()) == b""


async def send_for_ever(
    _: asyncio.StreamReader, writer: asyncio.StreamWriter, idle: float
) -> None:
    async with asyncio.timeout(idle):
        while True:
            writer.write(b"1" * 65536)
            await writer.drain()


def test_a_client_that_takes_no_answer_in_time_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(close, "__defaults__", (0.02,))

    async def main() -> None:
        async with Service(send_for_ever, idle=0.05) as service:
            with never_reads(service):
                await until_idle(service, 1)
                await until_idle(service)

    asyncio.run(main())


def test_wait_closed_waits_for_a_client_that_does_not_read() -> None:
    async def main() -> None:
        waited = []

        async def converse(
            _: asyncio.StreamReader, writer: asyncio.StreamWriter, __: float
        ) -> None:
            writer.write(b"1" * 50_000_000)
            writer.close()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), 0.02)
            waited.append(writer)
            await close(writer, 0.01)
            assert writer.transport.is_closing()

        async with Service(converse) as service:
            with never_reads(service):
                await until_idle(service, 1)
                await until_idle(service)
        assert waited

    asyncio.run(main())


@pytest.mark.parametrize("drains", [True, False])
def test_without_drain_the_answers_pile_up_in_memory(*, drains: bool) -> None:
    async def main() -> None:
        sizes = []

        async def converse(
            _: asyncio.StreamReader, writer: asyncio.StreamWriter, __: float
        ) -> None:
            try:
                async with asyncio.timeout(0.05):
                    for _piece in range(500):
                        writer.write(b"1" * 65536)
                        if drains:
                            await writer.drain()
            finally:
                sizes.append(writer.transport.get_write_buffer_size())
                writer.transport.abort()

        async with Service(converse) as service:
            with never_reads(service):
                await until_idle(service, 1)
                await until_idle(service)
        [size] = sizes
        assert size < 200_000 if drains else size > 10_000_000

    asyncio.run(main())


@pytest.mark.parametrize("resets", [True, False])
def test_a_client_that_hangs_up_in_a_request_ends_its_own_task_only(
    *, resets: bool
) -> None:
    async def main() -> None:
        errors: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: errors.append(context))
        async with Service() as service:
            reader, writer = await connect(service)
            _, rude = await connect(service)
            rude.write(b"1")
            await until_idle(service, 2)
            if resets:
                rude.transport.abort()
            await close(rude)
            await until_idle(service, 1)
            writer.write(b"7\n")
            assert await reader.readline() == b"yes\n"
            await close(writer)
        gc.collect()
        assert not errors

    asyncio.run(main())


def test_another_error_reaches_the_exception_handler_and_closes_it() -> None:
    async def fail(*_: object) -> None:
        raise KeyError("bug")

    async def main() -> None:
        errors: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: errors.append(context))
        async with Service(fail) as service:
            reader, writer = await connect(service)
            assert await reader.read() == b""
            await close(writer)
            await until_idle(service)
            await asyncio.sleep(0.001)
            gc.collect()
        [context] = errors
        assert context["message"] == "Task exception was never retrieved"
        assert repr(context["exception"]) == "KeyError('bug')"

    asyncio.run(main())


def test_leaving_the_block_disconnects_all_clients_and_stops_listening() -> (
    None
):
    async def main() -> None:
        async with Service() as service:
            connections = [await connect(service) for _ in range(3)]
            await until_idle(service, 3)
        assert not service.clients
        for reader, writer in connections:
            assert await reader.read() == b""
            await close(writer)
        with pytest.raises(ConnectionRefusedError):
            await connect(service)
        async with service:
            assert await ask(7, port=service.port) == [True]

    asyncio.run(main())


@pytest.mark.parametrize("turns", [0, 1, 5])
def test_a_client_that_has_just_come_is_disconnected_too(turns: int) -> None:
    async def main() -> None:
        async with Service() as service:
            client = socket.create_connection((HOST, service.port))
            for _ in range(turns):
                await asyncio.sleep(0)
        with client:
            client.settimeout(10)
            for _ in range(5):
                await asyncio.sleep(0)
            with suppress(ConnectionResetError):
                assert client.recv(10) in (b"", b"busy\n")

    asyncio.run(main())


@pytest.mark.skipif(
    sys.version_info < (3, 12, 1), reason="the wait for clients is of 3.12.1"
)
def test_no_client_is_let_in_after_the_block_was_left() -> None:
    class Notes(Service):
        left = False

        def _connected(
            self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            calls.append("late" if self.left else "in time")
            super()._connected(reader, writer)

    async def main(turns: int) -> None:
        async with Notes() as service:
            client = socket.create_connection((HOST, service.port))
            for _ in range(turns):
                await asyncio.sleep(0)
        service.left = True
        with client:
            for _ in range(5):
                await asyncio.sleep(0)

    calls: list[str] = []
    for turns in (0, 1, 3, 4, 5):  # after 2, it is dropped
        asyncio.run(main(turns))
    assert set(calls) == {"in time"}


def test_a_task_cancelled_before_it_began_leaves_no_connection() -> None:
    class CancelsAtOnce(set[Any]):
        def add(self, task: Any) -> None:  # noqa: ANN401 - of a set of any
            super().add(task)
            task.cancel()

    async def main() -> None:
        async with Service() as service:
            service.clients = CancelsAtOnce()
            reader, writer = await connect(service)
            assert await asyncio.wait_for(reader.read(), 10) == b""
            await close(writer)

    asyncio.run(main())


def test_close_sends_what_is_left_and_aborts_nothing_that_is_closed() -> None:
    sent = b"1" * 20_000_000

    async def converse(
        _: asyncio.StreamReader, writer: asyncio.StreamWriter, __: float
    ) -> None:
        writer.write(sent)
        assert writer.transport.get_write_buffer_size() > 0
        await close(writer, 60)

    async def main() -> None:
        errors: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: errors.append(context))
        async with Service(converse) as service:
            reader, writer = await connect(service)
            assert len(await reader.read()) == len(sent)
            await close(writer)
            await until_idle(service)
        await asyncio.sleep(0)
        gc.collect()
        assert not errors

    asyncio.run(main())


def test_to_abort_what_is_closed_can_raise_attribute_error_up_to_3_13() -> (
    None
):
    async def main() -> str:
        server, [accepted], writer = await server_with_a_client()
        accepted.write(b"1" * 20_000_000)
        accepted.close()
        reading = asyncio.create_task(read_all(writer))
        await accepted.wait_closed()
        try:
            accepted.transport.abort()
        except AttributeError as error:
            return str(error)
        finally:
            await reading
            await close(writer)
            server.close()
            await server.wait_closed()
        return "nothing"

    assert asyncio.run(main()) == (
        "nothing"
        if sys.version_info >= (3, 14)
        else "'NoneType' object has no attribute 'call_soon'"
    )


async def read_all(writer: asyncio.StreamWriter) -> None:
    """Read what comes for a connection of which the writer is known."""
    client = writer.transport.get_protocol()
    reader = client._stream_reader  # type: ignore[attr-defined]  # noqa: SLF001
    await reader.read()


def test_a_client_that_does_not_read_is_aborted_by_close() -> None:
    async def main() -> None:
        server, [accepted], writer = await server_with_a_client()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        accepted.write(b"1" * 50_000_000)
        await close(accepted, 0.01)
        assert accepted.transport.get_write_buffer_size() == 0
        await asyncio.sleep(0)
        assert accepted.get_extra_info("socket").fileno() == -1
        server.close()
        writer.transport.abort()
        await close(writer)
        await server.wait_closed()

    asyncio.run(main())


def test_a_client_accepted_as_the_server_closes_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)

    async def close_after(turns: int) -> list[str]:
        errors: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _, context: errors.append(repr(context["exception"]))
        )
        server = await asyncio.start_server(lambda _, w: w.close(), HOST, 0)
        with socket.create_connection(server.sockets[0].getsockname()):
            for _ in range(turns):
                await asyncio.sleep(0)
            server.close()
            for _ in range(5):
                await asyncio.sleep(0)
            gc.collect()
        return errors

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        seen = [
            asyncio.run(close_after(turns), debug=True) for turns in range(5)
        ]
    assert ["AssertionError()"] in seen
    assert all(one in ([], ["AssertionError()"]) for one in seen)


def test_what_is_no_int_is_refused_before_anything_is_sent() -> None:
    message = "'float' object cannot be interpreted as an integer"
    with pytest.raises(TypeError, match=message):
        asyncio.run(ask(7, 1.5, port=0))  # type: ignore[arg-type]


def test_a_cancelled_question_closes_its_connection() -> None:
    async def main() -> None:
        async with Service(lambda *_: asyncio.sleep(100)) as service:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await ask(7, port=service.port)

    asyncio.run(main())


async def server_with_a_client() -> tuple[
    asyncio.Server, list[asyncio.StreamWriter], asyncio.StreamWriter
]:
    clients: list[asyncio.StreamWriter] = []
    has_come = asyncio.Event()

    def connected(
        _: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        clients.append(writer)
        has_come.set()

    server = await asyncio.start_server(connected, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection(HOST, port)
    await has_come.wait()
    return server, clients, writer


def test_server_wait_closed_waits_for_clients_from_3_12_1_only() -> None:
    async def main() -> None:
        server, clients, writer = await server_with_a_client()
        server.close()
        closed = asyncio.create_task(server.wait_closed())
        await asyncio.sleep(0.01)
        assert closed.done() is (sys.version_info < (3, 12, 1))
        await close(writer)
        await close(clients[0])
        await closed

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="new in 3.13")
@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
def test_the_server_can_close_its_connections_from_3_13(method: str) -> None:
    async def main() -> None:
        server, clients, writer = await server_with_a_client()
        server.close()
        getattr(server, method)()
        await asyncio.wait_for(server.wait_closed(), 10)
        await close(writer)
        await close(clients[0])

    asyncio.run(main())


def test_a_writer_closed_after_run_raises_event_loop_is_closed() -> None:
    async def main() -> asyncio.StreamWriter:
        async with Service() as service:
            _, writer = await connect(service)
            return writer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        writer = asyncio.run(main())
        with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
            writer.close()
        writer.transport.get_extra_info("socket")._sock.close()  # noqa: SLF001
        del writer
        gc.collect()


@pytest.mark.parametrize("most", [0, -1])
def test_a_limit_of_clients_below_one_is_refused_by_value(most: int) -> None:
    with pytest.raises(ValueError, match=f"not {most}$"):
        Service(most=most)
    assert Service(most=1).most == 1


@pytest.mark.parametrize("idle", [0, -0.1, math.nan, math.inf])
def test_an_idle_time_out_of_range_is_refused_by_value(idle: float) -> None:
    with pytest.raises(ValueError, match=f"not {idle!r}$"):
        Service(idle=idle)
