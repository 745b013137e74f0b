"""What the page on safety says, shown to be so.

Nobody else can call: what is bound to every address of the machine never
listens, and the rest is on loopback.
"""

import asyncio
import hmac
import inspect
import json
import multiprocessing
import os
import pickle
import select
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import current_process, forkserver
from multiprocessing.connection import Client, Listener
from multiprocessing.context import AuthenticationError
from multiprocessing.managers import BaseManager
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.calls import Call

METHODS = multiprocessing.get_all_start_methods()
OWN = multiprocessing.get_context("fork" if "fork" in METHODS else "spawn")
HERE = ("127.0.0.1", 0)
KEY = b"the key of the tests"
SAID = "what was said in confidence"
LONG = 60.0
MADE = Path("made")  # the folder that is there once a stranger's code ran
STRANGE = Call(os.mkdir, str(MADE))
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)
on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="looks at the files of Linux"
)
with_unix_sockets = pytest.mark.skipif(
    not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets"
)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_unpickling_calls_what_the_sender_chose() -> None:
    data = pickle.dumps(STRANGE)
    assert not MADE.exists()
    assert pickle.loads(data) is None  # no object to check
    assert MADE.exists()


def test_what_is_got_from_a_pipe_or_a_queue_is_unpickled() -> None:
    here, there = OWN.Pipe()
    with here, there:
        here.send(STRANGE)
        assert not MADE.exists()
        there.recv()
    MADE.rmdir()
    queue = OWN.SimpleQueue()
    queue.put(STRANGE)
    assert not MADE.exists()
    queue.get()
    MADE.rmdir()
    queue.close()


def test_what_a_worker_is_sent_is_unpickled_in_the_worker() -> None:
    argument: Any = Call(os.getpid)
    with ProcessPoolExecutor(1, mp_context=OWN) as executor:
        worker = executor.submit(os.getpid).result(LONG)
        assert executor.submit(abs, argument).result(LONG) == worker
    with OWN.Pool(1) as pool:
        worker = pool.apply_async(os.getpid).get(LONG)
        assert pool.apply_async(abs, [argument]).get(LONG) == worker
        pool.close()
        pool.join()


def test_what_a_worker_returns_is_unpickled_in_the_parent() -> None:
    job: Any = partial(Call, os.getpid)  # returns what calls, unpickled
    with ProcessPoolExecutor(1, mp_context=OWN) as executor:
        assert executor.submit(job).result(LONG) == os.getpid()
    with OWN.Pool(1) as pool:
        assert pool.apply_async(job).get(LONG) == os.getpid()
        pool.close()
        pool.join()


class OfBuiltins(pickle.Unpickler):
    """Refuses what is of another module than builtins."""

    def find_class(self, module: str, name: str) -> object:
        """Return what a name leads to."""
        if module != "builtins":
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return super().find_class(module, name)


def test_one_function_too_many_in_find_class_lets_any_code_run() -> None:
    Path("os").write_bytes(pickle.dumps(STRANGE))
    with Path("os").open("rb") as file, pytest.raises(pickle.UnpicklingError):
        OfBuiltins(file).load()
    code = "__import__('os').mkdir('made')"
    Path("builtins").write_bytes(pickle.dumps(Call(eval, code)))
    with Path("builtins").open("rb") as file:
        OfBuiltins(file).load()
    assert MADE.exists()


def test_recv_bytes_hands_over_what_came_and_runs_nothing() -> None:
    here, there = OWN.Pipe()
    with here, there:
        here.send(STRANGE)
        data = there.recv_bytes()
        with pytest.raises(UnicodeDecodeError):
            json.loads(data)
        here.send_bytes(json.dumps({"n": [2, 9]}).encode())
        assert json.loads(there.recv_bytes()) == {"n": [2, 9]}
    assert data == pickle.dumps(STRANGE, pickle.DEFAULT_PROTOCOL)
    assert not MADE.exists()


def test_recv_bytes_refuses_a_message_above_its_limit() -> None:
    here, there = OWN.Pipe()
    with here, there:
        here.send_bytes(b"a" * 100)
        assert len(there.recv_bytes(100)) == 100
        here.send_bytes(b"a" * 101)
        with pytest.raises(OSError, match="message"):
            there.recv_bytes(100)


def test_a_listener_without_a_key_runs_what_a_stranger_sends() -> None:
    with Listener(HERE) as listener, Client(listener.address) as stranger:
        stranger.send(STRANGE)
        with listener.accept() as connection:
            connection.recv()
    assert MADE.exists()


def test_a_listener_with_a_key_runs_nothing_of_one_who_lacks_it() -> None:
    with (
        Listener(HERE, authkey=KEY) as listener,
        Client(listener.address) as stranger,
    ):
        stranger.send(STRANGE)
        with pytest.raises(AuthenticationError):
            listener.accept()
    assert not MADE.exists()


@pytest.mark.parametrize(
    ("size", "error"),
    [(0, EOFError), (200, AuthenticationError), (300, OSError)],
)
def test_a_stranger_makes_accept_raise_an_error(
    size: int, error: type[Exception]
) -> None:
    with (
        Listener(HERE, authkey=KEY) as listener,
        ThreadPoolExecutor(1) as pool,
        Client(listener.address) as stranger,
    ):
        accepting = pool.submit(listener.accept)
        assert stranger.poll(LONG)
        assert stranger.recv_bytes().startswith(b"#CHALLENGE#")
        if size:
            stranger.send_bytes(b"a" * size)
        else:
            stranger.close()
        with pytest.raises(error):
            accepting.result(LONG)


def test_a_stranger_who_says_nothing_holds_up_a_listener_with_a_key() -> None:
    with (
        Listener(HERE, authkey=KEY, backlog=2) as listener,
        ThreadPoolExecutor(1) as pool,
        Client(listener.address) as stranger,
        Client(listener.address) as friend,
    ):
        accepting = pool.submit(listener.accept)
        assert stranger.poll(LONG)  # asked for the key
        assert select.select([friend], [], [], 0)[0] == []
        assert not accepting.done()
        stranger.recv_bytes()
        stranger.close()
        with pytest.raises(EOFError):
            accepting.result(LONG)


def test_a_manager_lets_others_in_while_a_stranger_says_nothing() -> None:
    with BaseManager(HERE, KEY, ctx=OWN) as manager:
        address: Any = manager.address
        with Client(address) as stranger:
            assert stranger.poll(LONG)
            BaseManager(address, KEY).connect()


def test_neither_listener_nor_client_nor_manager_has_an_option_for_tls() -> (
    None
):
    every = {*names_of(Listener), *names_of(Client), *names_of(BaseManager)}
    addresses = {"address", "family", "backlog", "authkey"}
    assert every == addresses | {"serializer", "ctx", "shutdown_timeout"}


def names_of(function: Callable[..., object]) -> list[str]:
    return [*inspect.signature(function).parameters]


def test_the_key_of_a_process_cannot_be_pickled() -> None:
    text = "disallowed for security reasons"
    with pytest.raises(TypeError, match=text):
        pickle.dumps(current_process().authkey)


@pytest.mark.parametrize("method", METHODS)
def test_a_process_has_the_key_of_the_one_that_started_it(method: str) -> None:
    context = multiprocessing.get_context(method)
    code = "bytes(__import__('multiprocessing').current_process().authkey)"
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        key = executor.submit(eval, code).result(LONG)
    assert key == bytes(current_process().authkey)


class Wire(NamedTuple):
    """What went over the wire."""

    of_server: bytes
    of_client: bytes

    def messages(self, side: bytes) -> list[bytes]:
        """Cut what one side has sent: before each message stands its size."""
        found = []
        while side:
            (size,) = struct.unpack("!i", side[:4])
            found.append(side[4 : 4 + size])
            side = side[4 + size :]
        return found


def say(listener: Listener) -> None:
    with listener.accept() as connection:
        connection.send(SAID)


def hear(address: tuple[str, int]) -> object:
    with Client(address, authkey=KEY) as connection:
        return connection.recv()


def pass_on(source: socket.socket, target: socket.socket) -> bytes:
    """Pass on what comes until there is no more, and return it."""
    wire = b""
    while data := source.recv(1000):
        wire += data
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)
    return wire


@pytest.fixture
def wire() -> Wire:
    """Listen to a server and a client that have the key."""
    with (
        Listener(HERE, authkey=KEY) as listener,
        socket.create_server(HERE) as between,
        ThreadPoolExecutor(4) as pool,
    ):
        between.settimeout(LONG)
        pool.submit(say, listener)
        heard = pool.submit(hear, between.getsockname())
        client, _ = between.accept()
        address: Any = listener.address
        with client, socket.create_connection(address, LONG) as server:
            of_server = pool.submit(pass_on, server, client)
            of_client = pool.submit(pass_on, client, server)
            assert heard.result(LONG) == SAID
            return Wire(of_server.result(LONG), of_client.result(LONG))


def test_the_key_is_not_sent_and_what_is_said_can_be_read(wire: Wire) -> None:
    assert KEY not in wire.of_client + wire.of_server
    assert SAID.encode() in wire.of_server


def test_the_digest_is_md5_before_3_12_and_sha256_from_then_on(
    wire: Wire,
) -> None:
    challenge = wire.messages(wire.of_server)[0].removeprefix(b"#CHALLENGE#")
    digest = "sha256" if sys.version_info >= (3, 12) else "md5"
    answer = hmac.new(KEY, challenge, digest).digest()
    assert wire.messages(wire.of_client)[0].endswith(answer)


def listens(address: tuple[str, int]) -> set[str]:
    with Listener(address) as listener:
        return {listener.address[0]}


def manages(address: tuple[str, int]) -> set[str]:
    server: Any = BaseManager(address, KEY).get_server()
    with server.listener:
        return {server.address[0]}


def streams(address: tuple[str, int]) -> set[str]:
    async def bind() -> set[str]:
        server = await asyncio.start_server(
            lambda *_: None, address[0] or None, 0, start_serving=False
        )
        async with server:
            return {one.getsockname()[0] for one in server.sockets}

    return asyncio.run(bind())


@pytest.mark.parametrize("bound", [listens, manages, streams])
def test_a_server_without_a_host_is_at_every_address_of_the_machine(
    bound: Callable[[tuple[str, int]], set[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket.socket, "listen", lambda *_: None)
    assert "0.0.0.0" in bound(("", 0)) <= {"0.0.0.0", "::"}
    assert bound(HERE) == {"127.0.0.1"}


@with_unix_sockets
def test_a_socket_without_an_address_is_in_a_folder_of_its_user_alone() -> (
    None
):
    with Listener() as listener:
        path = Path(str(listener.address))
        assert path.is_socket()
        assert mode(path.parent) == 0o700
    server: Any = BaseManager(authkey=KEY).get_server()
    with server.listener:
        assert mode(Path(server.address).parent) == 0o700


@pytest.mark.skipif("forkserver" not in METHODS, reason="has no fork server")
def test_the_fork_server_has_a_socket_of_its_user_alone() -> None:
    forkserver.ensure_running()
    server = vars(forkserver)["_forkserver"]
    path = Path(vars(server)["_forkserver_address"])
    assert path.is_socket()
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700


@pytest.mark.skipif(sys.version_info < (3, 14), reason="new in 3.14")
@pytest.mark.skipif("forkserver" not in METHODS, reason="has no fork server")
def test_from_3_14_on_the_fork_server_asks_for_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forkserver.ensure_running()
    server = vars(forkserver)["_forkserver"]
    monkeypatch.setattr(server, "_forkserver_authkey", KEY)
    with pytest.raises(AuthenticationError):
        server.connect_to_new_process([])


@on_linux
def test_on_linux_a_block_of_shared_memory_is_a_file_of_its_user_alone() -> (
    None
):
    block = SharedMemory(create=True, size=len(SAID))
    try:
        memory: Any = block.buf
        memory[: len(SAID)] = SAID.encode()
        path = Path("/dev/shm", block.name)
        assert mode(path) == 0o600
        assert path.read_text(encoding="utf-8") == SAID
    finally:
        block.close()
        block.unlink()


@pytest.mark.parametrize("method", METHODS)
def test_only_a_forked_process_has_the_open_files_of_its_parent(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    with (
        Path("key").open("wb") as file,
        ProcessPoolExecutor(1, mp_context=context) as executor,
    ):
        asked = executor.submit(os.fstat, file.fileno())
        own = os.fstat(file.fileno())
        found = asked.exception(LONG) is None
        same = found and os.path.samestat(asked.result(), own)
    assert same == (method == "fork")


@on_linux
def test_on_linux_every_user_may_read_a_command_line_but_no_environment() -> (
    None
):
    assert mode(Path("/proc/self/cmdline")) == 0o444
    assert mode(Path("/proc/self/environ")) == 0o400


def test_a_shell_runs_what_is_in_a_word_and_a_list_does_not() -> None:
    word = "a && mkdir made"
    subprocess.run(f"echo {word}", shell=True, check=True, timeout=LONG)
    MADE.rmdir()
    show = [sys.executable, "-c", "import sys; print(sys.argv[1])"]
    shown = subprocess.run(
        [*show, word], capture_output=True, check=True, text=True, timeout=LONG
    )
    assert shown.stdout == f"{word}\n"
    assert not MADE.exists()
