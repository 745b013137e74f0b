"""Start a cluster on several hosts, and encrypt it.

A Dask cluster is a ``dask scheduler`` on one host and ``dask worker`` on the
others. With ``tls://`` they encrypt what they send each other, and talk only
to those who have a certificate of the same authority. Make one with
``make_certificate``, and copy ``ca.pem``, ``cert.pem`` and ``key.pem`` to
every host, that of your program too. Then type, on 10.0.0.5 and on 10.0.0.6:

.. code-block:: text

    tls="--tls-ca-file ca.pem --tls-cert cert.pem --tls-key key.pem"
    local="--dashboard-address 127.0.0.1:8787"
    dask scheduler --host 10.0.0.5 --port 8786 --protocol tls $local $tls

    tls="--tls-ca-file ca.pem --tls-cert cert.pem --tls-key key.pem"
    local="--dashboard-address 127.0.0.1:0"
    ports="--worker-port 9000:9003 --nanny-port 9100:9103"
    use="--nworkers 4 --nthreads 1"
    dask worker tls://10.0.0.5:8786 --host 10.0.0.6 $use $ports $local $tls

``--nworkers`` is the number of cores, and each range has as many ports. Your
program opens ``Client("tls://10.0.0.5:8786", security=security_of(folder))``.

The code below runs the same on addresses of this machine, with two
differences: the system chooses the ports, and ``--no-nanny`` makes a worker
one process that nobody watches. Without it, a nanny restarts a worker that
dies or reaches its memory limit.

Without TLS, whoever reaches the port of the scheduler or of a worker runs code
there. By default the scheduler listens at every address of its host
(documented: Dask). What else a program opens to others: :doc:`/safety`.

Run with Dask 2026.8 on Python 3.13 on Linux, at addresses of loopback and
between network namespaces of one machine.

:models: cluster
:work: CPU-bound
:level: expert
:since: 3.11
:trap: every build
:needs: dask[distributed], cryptography
:search: dask scheduler, dask worker, dask command line, dask on several
    machines, dask TLS, dask security, tls-ca-file, tls-cert, tls-key,
    Security.temporary, dask certificate, dask firewall, arbitrary code
    execution, scheduler-file, dask ssh, dask kubernetes, dask slurm jobqueue,
    "TLS certificate does not match. Check your security settings.",
    "TypeError: TLS expects a `ssl_context` argument of type ssl.SSLContext",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "CommClosedError: in <TCP (closed)",
    "RuntimeError: Worker failed to start."

Use this when
    the jobs of :mod:`cookbook.clusters.executor_on_a_cluster` are to run on
    several machines of your own.

Prefer instead
    a helper that starts these processes for you: ``dask_jobqueue`` on Slurm
    and PBS, ``dask_kubernetes``, ``distributed.SSHCluster``
    (documented: Dask).

Pitfalls
    - ``Security.temporary()`` makes one certificate that is its own
      authority, and all share it with its key. It is good for a year. Whoever
      has the key is one of them: copy it as you would a password. For one key
      per host, sign one for each with a certificate authority of your own.
      Dask does not compare the names in a certificate with the host.
    - ``TLS certificate does not match``: the two sides have different
      authorities. ``TLS expects a `ssl_context` argument``: this side was
      given no certificate or no key; a worker ends with ``RuntimeError: Worker
      failed to start.`` ``CommClosedError: in <TCP (closed)``: it speaks
      ``tcp://`` to one who speaks ``tls://``.
    - The dashboard has a port of its own, by default without TLS: keep it on
      loopback, and go through a tunnel, such as ``ssh -L``, to look at it.
    - Plain ``dask worker`` is one process with a thread for each core. With
      the GIL, jobs in pure Python then use about one core of the host:
      ``--nworkers 4 --nthreads 1`` starts four processes, and needs the nanny.
    - Without *port* the scheduler takes 8786, and a worker any port unless
      ``--worker-port`` and ``--nanny-port`` say which. Open the first to
      workers and clients, the others to the scheduler and all workers.
    - All hosts need the same packages, best in the same versions (documented:
      Dask, *Manage Environments*).
    - Linux has all of 127.0.0.0/8 for loopback; elsewhere use one address.

If it takes too long
    ``wait_for_workers`` raises :exc:`TimeoutError`; look into the log.

If a worker is killed
    its jobs run again on another, see
    :mod:`cookbook.clusters.survive_a_lost_worker`. SIGTERM ends a worker
    or a scheduler in order; that is what leaving the with-block sends.
"""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cookbook.primes import is_prime

LIMIT = 240.0  # seconds for a process to start


def make_certificate(folder: Path) -> None:
    """Write a new certificate and its key, for all of a cluster."""
    from distributed import Security

    made = Security.temporary()
    (folder / "ca.pem").write_text(made.tls_ca_file, encoding="ascii")
    (folder / "cert.pem").write_text(made.tls_client_cert, encoding="ascii")
    key = folder / "key.pem"
    key.touch(mode=0o600)  # readable by nobody else, before there is a key
    key.write_text(made.tls_client_key, encoding="ascii")


def security_of(folder: Path) -> Any:
    """Return what a client needs to be let in."""
    from distributed import Security

    return Security(
        tls_ca_file=str(folder / "ca.pem"),
        tls_client_cert=str(folder / "cert.pem"),
        tls_client_key=str(folder / "key.pem"),
        require_encryption=True,
    )


def tls_options(folder: Path) -> list[str]:
    """Return what a scheduler or a worker needs to be let in."""
    certificate = ["--tls-cert", str(folder / "cert.pem")]
    key = ["--tls-key", str(folder / "key.pem")]
    return ["--tls-ca-file", str(folder / "ca.pem"), *certificate, *key]


def scheduler_command(host: str, folder: Path) -> list[str]:
    """Return the command for the scheduler: the system chooses its port."""
    file = folder / "scheduler.json"
    listen = ["--host", host, "--port", "0", "--scheduler-file", str(file)]
    dashboard = ["--dashboard-address", "127.0.0.1:0"]
    return [sys.executable, "-m", "dask", "scheduler", *listen, *dashboard]


def worker_command(address: str, host: str, folder: Path) -> list[str]:
    """Return the command for a worker with one thread, without a nanny."""
    listen = ["--host", host, "--dashboard-address", "127.0.0.1:0"]
    files = ["--local-directory", str(folder)]
    kind = ["--nthreads", "1", "--no-nanny"]
    worker = [sys.executable, "-m", "dask", "worker", address]
    return [*worker, *listen, *files, *kind]


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, grace: float = 30.0
) -> Iterator[Any]:
    """Run a command; end it in order, or kill it after *grace* seconds."""
    with log.open("ab") as file:
        process = subprocess.Popen(command, stderr=file)
    try:
        yield process
    finally:
        process.terminate()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=grace)
        finally:
            process.kill()
            process.wait()


def address_of(scheduler: Any, folder: Path) -> str:
    """Wait until the scheduler has written its address, and return it."""
    file = folder / "scheduler.json"
    deadline = time.monotonic() + LIMIT
    while True:
        # it is there before all of it is written
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            text = file.read_text(encoding="utf-8")
            return str(json.loads(text)["address"])
        if scheduler.poll() is not None or time.monotonic() > deadline:
            log = (folder / "log").read_text(encoding="utf-8")
            raise RuntimeError(f"the scheduler does not run:\n{log}")
        time.sleep(0.01)


@contextlib.contextmanager
def cluster(host: str, *workers: str) -> Iterator[tuple[str, Any]]:
    """Run a scheduler at *host* and a worker at each of *workers*.

    Args:
        host: The address at which the scheduler listens.
        workers: The address of each worker.

    Yields:
        The address of the scheduler, and what a client needs to be let in.

    Raises:
        RuntimeError: If the scheduler does not start.
    """
    with (
        tempfile.TemporaryDirectory() as name,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        make_certificate(folder)
        tls, log = tls_options(folder), folder / "log"
        command = [*scheduler_command(host, folder), "--protocol", "tls", *tls]
        scheduler = stack.enter_context(running(command, log))
        address = address_of(scheduler, folder)
        for worker in workers:
            command = [*worker_command(address, worker, folder), *tls]
            stack.enter_context(running(command, log))
        yield address, security_of(folder)


def why_refused(address: str) -> str:
    """Call as a stranger without a certificate; return why it is refused."""
    stranger = ssl.create_default_context()
    stranger.check_hostname = False  # does not care who answers
    stranger.verify_mode = ssl.CERT_NONE
    parts = urlsplit(address)
    place = parts.hostname, parts.port
    with (
        socket.create_connection(place, timeout=30) as connection,
        stranger.wrap_socket(connection) as tls,
    ):
        try:
            return f"let in: {tls.recv(1)!r}"
        except ssl.SSLError as error:
            return str(error.reason)


def main() -> None:
    """Run jobs on two workers, and let a stranger call.

    >>> main()
    scheduler: tls 127.0.0.1
    workers: 127.0.0.2 127.0.0.3
    primes: [2, 97]
    stranger: TLSV13_ALERT_CERTIFICATE_REQUIRED
    """
    from distributed import Client

    with cluster("127.0.0.1", "127.0.0.2", "127.0.0.3") as (address, security):
        with Client(address, security=security) as client:
            client.wait_for_workers(2, timeout=LIMIT)
            found = urlsplit(address)
            print("scheduler:", found.scheme, found.hostname)
            hosts = map(urlsplit, client.scheduler_info(-1)["workers"])
            print("workers:", *sorted(str(one.hostname) for one in hosts))
            numbers = [2, 9, 97, 100]
            with client.get_executor(pure=False) as executor:
                answers = executor.map(is_prime, numbers)
                pairs = zip(numbers, answers, strict=True)
                print("primes:", [n for n, prime in pairs if prime])
        print("stranger:", why_refused(address))


@contextlib.contextmanager
def broken_cluster(host: str) -> Iterator[tuple[str, int]]:
    """Run a scheduler without TLS; yield its address and its process id.

    Warning:
        Nobody has to say who they are. All that a stranger needs is a way to
        the port, and by default the scheduler listens at every address of the
        host. What they send is unpickled and run with your rights, on the
        scheduler and on the workers.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = scheduler_command(host, folder)
        with running(command, folder / "log") as scheduler:
            yield address_of(scheduler, folder), scheduler.pid


def broken_main() -> None:
    """Run code in the scheduler, knowing nothing but its address.

    >>> broken_main()
    a stranger's code ran in the scheduler: True
    """
    from distributed import Client

    with (
        broken_cluster("127.0.0.1") as (address, pid),
        Client(address) as stranger,
    ):
        ran = stranger.run_on_scheduler(os.getpid) == pid
        print("a stranger's code ran in the scheduler:", ran)


if __name__ == "__main__":
    main()
    broken_main()
