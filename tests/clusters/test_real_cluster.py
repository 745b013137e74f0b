"""What the recipe says of a cluster over TLS, shown to be so."""

import contextlib
import inspect
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cookbook.clusters import real_cluster
from cookbook.clusters.real_cluster import (
    LIMIT,
    address_of,
    broken_cluster,
    cluster,
    make_certificate,
    running,
    scheduler_command,
    security_of,
    tls_options,
    why_refused,
    worker_command,
)

ROOT = Path(__file__).parents[2]
CALLS = """
import sys
import time
from distributed import Client, Security
address = sys.argv[1]
for name, where, security in [
    ("no certificate", address, None),
    ("another authority", address, Security.temporary()),
    ("no encryption", address.replace("tls:", "tcp:"), None),
]:
    try:
        Client(where, security=security, timeout=10).run_on_scheduler(int)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}")
    else:
        print(f"{name}: let in")
"""
JOBS = """
import sys
import time
from pathlib import Path
from distributed import Client
from cookbook.clusters.real_cluster import security_of, why_refused
address, folder = sys.argv[1:]
print(why_refused(address))
with Client(address, security=security_of(Path(folder))) as client:
    client.wait_for_workers(1, timeout=240)
    print(*client.scheduler_info(-1)["workers"])
    with client.get_executor(pure=False) as executor:
        print(*executor.map(abs, [-1, 2]))
"""


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, Any]]:
    """A scheduler and one worker over TLS: address, and what lets one in."""
    with cluster("127.0.0.1", "127.0.0.2") as served:
        yield served


@pytest.fixture
def client(served: tuple[str, Any]) -> Iterator[Any]:
    from distributed import Client

    address, security = served
    with Client(address, security=security) as client:
        client.wait_for_workers(1, timeout=LIMIT)
        yield client


def run(
    *command: str, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run Python with *command*; *before* it, where that is to be."""
    return subprocess.run(
        [*before, sys.executable, *command],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        timeout=LIMIT,
    )


def test_scheduler_and_worker_talk_over_tls_at_their_addresses(
    client: Any,
) -> None:
    assert client.scheduler.address.startswith("tls://127.0.0.1:")
    [worker] = client.scheduler_info(-1)["workers"]
    assert worker.startswith("tls://127.0.0.2:")
    assert client.submit(abs, -7, pure=False).result(timeout=LIMIT) == 7


def test_nobody_listens_elsewhere_than_on_loopback(client: Any) -> None:
    import psutil

    pids = client.run(os.getpid).values()
    for pid in (client.run_on_scheduler(os.getpid), *pids):
        for one in psutil.Process(pid).net_connections():
            if one.status == psutil.CONN_LISTEN:
                assert one.laddr.ip.startswith("127.0.0.")


def test_a_client_without_the_certificate_gets_the_errors_of_the_page(
    served: tuple[str, Any],
) -> None:
    assert why_refused(served[0]) == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    lines = run("-c", CALLS, served[0]).stdout.splitlines()
    expected = [
        "no certificate: TypeError: TLS expects a `ssl_context` argument",
        "another authority: FatalCommClosedError: TLS certificate does not",
        "no encryption: CommClosedError: in <TCP (closed)",
    ]
    assert len(lines) == len(expected)
    for line, text in zip(lines, expected, strict=True):
        assert line.startswith(text)


def test_a_worker_without_the_certificate_is_refused(
    served: tuple[str, Any], client: Any, tmp_path: Path
) -> None:
    command = worker_command(served[0], "127.0.0.1", tmp_path)
    ended = run(*command[1:], "--death-timeout", "5")
    assert ended.returncode != 0
    assert "RuntimeError: Worker failed to start." in ended.stderr
    assert len(client.scheduler_info(-1)["workers"]) == 1


def test_the_key_is_readable_by_its_owner_alone_and_new_each_time(
    tmp_path: Path,
) -> None:
    keys = set()
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        make_certificate(folder)
        key = folder / "key.pem"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        keys.add(key.read_text())
        certificates = [folder / "ca.pem", folder / "cert.pem"]
        texts = {one.read_text() for one in certificates}
        assert len(texts) == 1
        assert texts.pop().startswith("-----BEGIN CERTIFICATE-----")
    assert len(keys) == 2


class Writer:
    """A scheduler that writes its file in pieces, one whenever it is asked."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.pieces = ["", '{"address": "tls:', '//127.0.0.1:1"}']

    def poll(self) -> None:
        """Write the next piece; it still runs."""
        with self.file.open("a") as file:
            file.write(self.pieces.pop(0))


def test_an_address_that_is_not_written_to_its_end_is_waited_for(
    tmp_path: Path,
) -> None:
    scheduler = Writer(tmp_path / "scheduler.json")
    assert address_of(scheduler, tmp_path) == "tls://127.0.0.1:1"
    assert not scheduler.pieces


def test_a_scheduler_that_does_not_start_is_an_error_with_its_log() -> None:
    text = r"^the scheduler does not run:\n(.|\n)*Scheduler failed to start\."
    with (
        pytest.raises(RuntimeError, match=text),
        broken_cluster("192.0.2.1"),  # of nobody
    ):
        pass


def test_a_command_is_ended_in_order(tmp_path: Path) -> None:
    program = "import signal; signal.pause()"
    with running([sys.executable, "-c", program], tmp_path / "log") as process:
        assert process.poll() is None
    assert process.returncode == -signal.SIGTERM


def test_a_command_that_does_not_end_in_order_is_killed(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    program = (
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', file=sys.stderr, flush=True)\n"
        "while True: signal.pause()\n"
    )
    command = [sys.executable, "-c", program]
    with running(command, log, grace=0.1) as process:
        deadline = time.monotonic() + LIMIT
        while "ready" not in log.read_text(encoding="utf-8"):
            assert time.monotonic() < deadline
    assert process.returncode == -signal.SIGKILL


@contextlib.contextmanager
def namespaces() -> Iterator[list[str]]:
    """Make three network namespaces, the first one linked to the others."""
    names = [f"cookbook-{os.getpid()}-{one}" for one in "swc"]
    scheduler, *others = names
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        for number, other in enumerate(others, start=1):
            link = "link", "add", f"to{number}", "type", "veth"
            ip("-n", scheduler, *link, "peer", "name", "up0", "netns", other)
            for name, end, host in [
                (scheduler, f"to{number}", 1),
                (other, "up0", 2),
            ]:
                address = f"10.77.{number}.{host}/24"
                ip("-n", name, "address", "add", address, "dev", end)
                ip("-n", name, "link", "set", end, "up")
        ip("-n", others[1], "route", "add", "10.77.1.1", "via", "10.77.2.1")
        yield names
    finally:
        for name in names:
            subprocess.run(
                ["ip", "netns", "del", name], check=False, capture_output=True
            )


def ip(*arguments: str) -> None:
    """Run ip, or skip the test if it may not do this."""
    ended = subprocess.run(
        ["ip", *arguments], check=False, capture_output=True, text=True
    )
    if ended.returncode:
        pytest.skip(f"no network namespaces here: {ended.stderr.strip()}")


@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("ip"),
    reason="needs the network namespaces of Linux",
)
def test_the_same_commands_join_hosts_with_networks_of_their_own(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    make_certificate(tmp_path)
    tls = tls_options(tmp_path)
    with namespaces() as names, contextlib.ExitStack() as stack:
        at = {name[-1]: ("ip", "netns", "exec", name) for name in names}
        start = [*scheduler_command("10.77.1.1", tmp_path), *tls]
        scheduler = stack.enter_context(
            running([*at["s"], *start, "--protocol", "tls"], log)
        )
        address = address_of(scheduler, tmp_path)
        start = [*worker_command(address, "10.77.1.2", tmp_path), *tls]
        stack.enter_context(running([*at["w"], *start], log))
        ended = run("-c", JOBS, address, str(tmp_path), before=at["c"])
    assert ended.returncode == 0, ended.stderr
    refused, worker, answers = ended.stdout.splitlines()
    assert refused == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    assert worker.startswith("tls://10.77.1.2:")
    assert answers == "1 2"


def test_the_commands_of_the_page_start_workers_behind_nannies(
    tmp_path: Path,
) -> None:
    from distributed import Client

    make_certificate(tmp_path)
    text = inspect.getdoc(real_cluster) or ""
    block = text.split(".. code-block:: text")[1].split("``--nworkers``")[0]
    for typed, here in {
        "dask ": f"exec {sys.executable} -m dask ",
        "10.0.0.5": "127.0.0.1",
        "10.0.0.6": "127.0.0.2",
        "8786": str(free_port("127.0.0.1")),
        "9000:9003": "0",  # of the system, for other tests run beside it
        "9100:9103": "0",
        "--nworkers 4": "--nworkers 2",
        "127.0.0.1:8787": "127.0.0.1:0",
    }.items():
        assert typed in block
        block = block.replace(typed, here)
    scheduler, worker = block.strip().split("\n\n")
    [address] = re.findall(r"tls://[\d.:]+", worker)
    log = tmp_path / "log"
    where = f"cd {tmp_path}\n"
    with (
        running(["sh", "-c", where + scheduler], log),
        running(["sh", "-c", where + worker], log),
        Client(
            address, security=security_of(tmp_path), timeout=LIMIT
        ) as client,
    ):
        client.wait_for_workers(2, timeout=LIMIT)
        found = client.scheduler_info(-1)["workers"]
        assert {urlsplit(one).hostname for one in found} == {"127.0.0.2"}
        for one in found.values():
            assert one["nthreads"] == 1
            assert one["nanny"].startswith("tls://127.0.0.2:")


def free_port(host: str) -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def test_a_plain_worker_is_one_process_with_a_thread_for_each_core(
    tmp_path: Path,
) -> None:
    from dask.system import CPU_COUNT
    from distributed import Client

    with broken_cluster("127.0.0.1") as (address, _):
        command = worker_command(address, "127.0.0.1", tmp_path)
        plain = command[: command.index("--nthreads")]
        with running(plain, tmp_path / "log"), Client(address) as client:
            client.wait_for_workers(1, timeout=LIMIT)
            [worker] = client.scheduler_info(-1)["workers"].values()
    assert worker["nthreads"] == CPU_COUNT
    assert worker["nanny"]


def test_several_workers_of_one_command_need_the_nanny(
    tmp_path: Path,
) -> None:
    command = worker_command("tcp://127.0.0.1:9", "127.0.0.1", tmp_path)
    ended = run(*command[1:], "--nworkers", "2")
    assert ended.returncode == 1
    assert "cannot use the --no-nanny argument" in ended.stderr


def test_by_default_the_dashboard_is_without_tls() -> None:
    import distributed
    from dask.config import get

    assert distributed.Client
    assert get("distributed.scheduler.dashboard.tls.cert") is None


def test_dask_does_not_compare_the_names_in_a_certificate(
    tmp_path: Path,
) -> None:
    make_certificate(tmp_path)
    for role in ("client", "worker", "scheduler"):
        security = security_of(tmp_path)
        for name in ("cert", "key"):
            path = str(tmp_path / f"{name}.pem")
            setattr(security, f"tls_{role}_{name}", path)
        context = security.get_connection_args(role)["ssl_context"]
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert not context.check_hostname


def test_a_certificate_is_good_for_a_year(tmp_path: Path) -> None:
    x509 = pytest.importorskip("cryptography.x509")
    make_certificate(tmp_path)
    made = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
    valid = made.not_valid_after_utc - made.not_valid_before_utc
    assert valid.days == 365
