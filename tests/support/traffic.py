"""Real traffic for the tests of networks: a server to run in a container, and clients on the host."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import children_of

ROOT = ("--rootfs", "/")
"""A container of the machine's own files, which have an interpreter."""

SERVER = r"""
import socket, sys, threading

def echo(connection, peer):
    with connection:
        connection.sendall(f"{peer[0]}\n".encode())
        while data := connection.recv(1 << 20):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

def serve(listener):
    while True:
        threading.Thread(target=echo, args=listener.accept(), daemon=True).start()

def answer(udp):
    while True:
        data, peer = udp.recvfrom(65535)
        udp.sendto(f"{peer[0]} ".encode() + data, peer)

for port in map(int, sys.argv[1:]):
    threading.Thread(target=serve, args=(socket.create_server(("0.0.0.0", port), backlog=4096),), daemon=True).start()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("0.0.0.0", port))
    threading.Thread(target=answer, args=(udp,), daemon=True).start()
print("listening", flush=True)
threading.Event().wait()
"""
"""Echoes, over TCP and UDP at each port of its arguments, after the address of the client."""


def serving(*ports: int) -> tuple[str, ...]:
    """The command of a container that runs SERVER."""
    return ("python3", "-c", SERVER, *map(str, ports))


def exchange(
    address: str, port: int, data: bytes = b"", source: str | None = None
) -> tuple[str, bytes]:
    """Send everything to the server, end that direction, and return what address it saw and what it sent back.

    Raises: OSError if the connection cannot be made or read. One that breaks while it is written to ends what comes back.
    """
    origin = None if source is None else (source, 0)
    with socket.create_connection((address, port), 20, source_address=origin) as connection:
        sender = threading.Thread(target=_send, args=(connection, data))
        sender.start()
        received = bytearray()
        while part := connection.recv(1 << 20):
            received += part
        sender.join()
    first, _, rest = bytes(received).partition(b"\n")
    return first.decode(), rest


def _send(connection: socket.socket, data: bytes) -> None:
    # An exception of this thread would fail whichever test runs; the reader of the connection sees that it broke.
    with contextlib.suppress(OSError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)


def ask(address: str, port: int, data: bytes) -> bytes:
    """The answer to one datagram."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.settimeout(120)
        udp.connect((address, port))
        udp.send(data)
        return udp.recv(65535)


@contextlib.contextmanager
def greeter(address: str = "127.0.0.1") -> Iterator[int]:
    """The port of a server on the host that greets each client."""
    with socket.create_server((address, 0)) as listener:
        threading.Thread(target=_greet, args=(listener,), daemon=True).start()
        yield int(listener.getsockname()[1])
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _greet(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            with listener.accept()[0] as connection:
                connection.sendall(b"hello from the host\n")


CONNECT = r"""
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as connection:
        print(connection.recv(99).decode().strip())
except OSError as error:
    print("refused:", error)
"""
"""Prints the greeting of a server, or why there is none."""


def is_free(port: int, address: str = "127.0.0.1") -> bool:
    """Whether nothing is bound to a TCP port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((address, port))
        except OSError:
            return False
    return True


def children(pid: int, name: str) -> list[int]:
    """PIDs of the children of a process whose names begin like this."""
    return [each for each in children_of(pid) if _name(each).startswith(name)]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""
