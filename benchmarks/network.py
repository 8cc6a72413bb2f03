"""Networks of several containers: this engine, podman, and docker where its daemon answers, on the same image.

Each workload prepares what it needs, without being timed, for each sample.
"""

from __future__ import annotations

import io
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from benchmarks.lifecycle import IMAGE, NAMES, SIZES, SLEEP, Measured, Stage, Stopwatch, engines
from benchmarks.measure import Key, Measurement, Results, short_runroot

__all__ = ["NAMES", "WORKLOADS", "measure"]

_NETWORK = "benchnet"
_PORT = 5000
_PORTS = 100
_CONNECTIONS = 500
_SERVER = ("httpd", "-f", "-p", str(_PORT))
_SINK = ("talk", "sink", str(_PORT))
_ON_NETWORK = ("--network", _NETWORK)
_WAIT = 20.0


def _run_true(stage: Stage, *options: str) -> float:
    with _container(stage, *SLEEP), Stopwatch() as watch:
        stage.engine("run", "--rm", *_ON_NETWORK, *options, IMAGE, "true")
    return watch.seconds


def _run_default(stage: Stage) -> float:
    with Stopwatch() as watch:
        stage.engine("run", "--rm", IMAGE, "true")
    return watch.seconds


def _run_many_ports(stage: Stage) -> float:
    first = _free_ports(_PORTS)
    ports = f"127.0.0.1:{first}-{first + _PORTS - 1}:8000-{8000 + _PORTS - 1}"
    with Stopwatch() as watch:
        stage.engine("run", "--rm", *_ON_NETWORK, "-p", ports, IMAGE, "true")
    return watch.seconds


def _first_name(stage: Stage) -> float:
    """How long a container that has just started waits for the address of another, by its own clock."""
    with _container(stage, *SLEEP) as server:
        printed = stage.engine("run", "--rm", *_ON_NETWORK, IMAGE, "talk", "ask", server[:12])
    return int(printed) / 1e6


def _connections(stage: Stage) -> float:
    """One after the other, each for one answer of a server that forks."""
    port = _free_port()
    with _container(stage, *_SERVER, options=("-p", f"127.0.0.1:{port}:{_PORT}")):
        _until_served(port)
        with Stopwatch() as watch:
            for _ in range(_CONNECTIONS):
                _get(port)
    return watch.seconds


def _until_served(port: int) -> None:
    until = time.monotonic() + _WAIT
    while time.monotonic() < until:
        try:
            _get(port)
        except OSError:
            time.sleep(0.01)
            continue
        return
    raise RuntimeError("nothing answers at the published port")


def _get(port: int) -> None:
    """Raises OSError if there is no answer."""
    with socket.create_connection(("127.0.0.1", port), _WAIT) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        if not connection.recv(4096):
            raise OSError("no answer")


def _to_host(stage: Stage) -> float:
    """From a container with the default network to an address of this machine that is not a loopback one."""
    blocks = stage.size.output >> 20
    with socket.create_server((_own_address(), 0)) as listener:
        listener.settimeout(_WAIT)
        address, port = listener.getsockname()
        # With podman's pasta the container has the host's address itself, and this one leads to the host.
        reached = "169.254.1.2" if stage.engine.name == "podman" else address
        client = stage.engine("run", "-d", IMAGE, *_sending(reached, port, blocks))
        try:
            connection, _ = listener.accept()
            with connection, Stopwatch() as watch:
                received = 0
                while part := connection.recv(1 << 20):
                    received += len(part)
        finally:
            stage.engine.remove(client)
    if received != blocks << 20:
        raise RuntimeError(f"{received} of {blocks << 20} bytes")
    return watch.seconds


def _own_address() -> str:
    """That of the interface of the default route. Raises OSError without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("192.0.2.1", 9))
        return str(one.getsockname()[0])


def _run_published(stage: Stage) -> float:
    return _run_true(stage, "-p", f"127.0.0.1:{_free_port()}:{_PORT}")


def _run_first(stage: Stage) -> float:
    with Stopwatch() as watch:
        stage.engine("run", "--rm", *_ON_NETWORK, IMAGE, "true")
    return watch.seconds


def _run_many(stage: Stage) -> float:
    made: list[str] = []
    try:
        with Stopwatch() as watch:
            made.extend(
                stage.engine("run", "-d", *_ON_NETWORK, IMAGE, *SLEEP)
                for _ in range(stage.size.parallel)
            )
    finally:
        stage.engine.remove(*made)
    return watch.seconds


def _between(stage: Stage) -> float:
    """By the clock of the container that sends."""
    blocks = stage.size.output >> 20
    with _container(stage, *_SINK) as server:
        found = f"{{{{.NetworkSettings.Networks.{_NETWORK}.IPAddress}}}}"
        address = stage.engine("inspect", "-f", found, server)
        sending = _sending(address, _PORT, blocks)
        printed = stage.engine("run", "--rm", *_ON_NETWORK, IMAGE, *sending)
    return int(printed) / 1e6


def _sending(address: str, port: int, blocks: int) -> tuple[str, ...]:
    return ("talk", "send", address, str(port), str(blocks))


def _published(stage: Stage) -> float:
    port = _free_port()
    block = bytes(1 << 20)
    with _container(stage, *_SINK, options=("-p", f"127.0.0.1:{port}:{_PORT}")):
        _send(port, [b"\n"])
        with Stopwatch() as watch:
            _send(port, [block] * (stage.size.output >> 20))
    return watch.seconds


def _send(port: int, blocks: Sequence[bytes]) -> None:
    """Send everything through a connection that is accepted, and wait for its end. Raises RuntimeError."""
    until = time.monotonic() + _WAIT
    while time.monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), _WAIT) as connection:
                for block in blocks:
                    connection.sendall(block)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)
        except OSError:
            time.sleep(0.01)  # the server is between two connections
            continue
        return
    raise RuntimeError("no connection to the published port")


WORKLOADS: dict[str, Measured] = {
    "run true on the default network": _run_default,
    "run true on a network": _run_true,
    "run true on a network, alone": _run_first,
    "run true on a network with a port": _run_published,
    "run true on a network with 100 ports": _run_many_ports,
    "first name on a network": _first_name,
    "run -d of many on a network": _run_many,
    "send between containers": _between,
    "send to a published port": _published,
    "send to the host": _to_host,
    "500 connections to a published port": _connections,
}


@contextmanager
def _container(stage: Stage, *command: str, options: Sequence[str] = ()) -> Iterator[str]:
    """A container on the network for the length of a block."""
    made = stage.engine("run", "-d", *_ON_NETWORK, *options, IMAGE, *command)
    try:
        yield made
    finally:
        stage.engine.remove(made)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _free_ports(count: int) -> int:
    """The first of ports that follow each other and are free."""
    for first in range(20000, 60000, count):
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    one = stack.enter_context(socket.socket())
                    one.bind(("127.0.0.1", port))
            except OSError:
                continue
        return first
    raise RuntimeError("there are not enough free ports")


def _talk(scratch: Path) -> bytes:
    """A layer with the program `talk`."""
    program = scratch / "talk"
    source = Path(__file__).with_name("talk.c")
    subprocess.run(["gcc", "-O2", "-static", "-o", program, source], check=True)
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        member = tarfile.TarInfo("bin/talk")
        member.size, member.mode = program.stat().st_size, 0o755
        archive.addfile(member, io.BytesIO(program.read_bytes()))
    return layer.getvalue()


def measure(measurement: Measurement) -> None:
    """Time every workload with every engine."""
    with short_runroot() as runroot:
        prepared = [
            Stage(engine, SIZES[measurement.scale], measurement.scratch)
            for engine in engines(measurement.scratch, runroot, _talk(measurement.scratch))
            if engine.name in measurement.subjects
        ]
        for stage in prepared:
            stage.engine("network", "create", _NETWORK)
        try:
            measurement.sample_in_rounds(prepared, partial(_sample, measurement.results))
        finally:
            for stage in prepared:
                stage.engine("network", "rm", _NETWORK)


def _sample(results: Results, workload: str, stage: Stage) -> None:
    key = Key(workload, stage.engine.name, "warm")
    results.time(key, lambda: WORKLOADS[workload](stage))
