"""dig, curl, iperf3 and a WebSocket client in networks and through published ports."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.networked import network_in, store_with
from tests.support.rootless import Rootless
from tests.support.traffic import ROOT
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.needs("userns", "fuse", "tun", "pasta", "slirp4netns"),
    pytest.mark.slow,
]

WEB = r"""
import http.server, socket

class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.client_address[0]}\n".encode())

print("listening", flush=True)
Server(("::", 80), Handler).serve_forever()
"""
WEBSOCKET = r"""
import base64, hashlib, socketserver, struct

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        headers = {}
        while line := self.rfile.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        key = headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        while True:
            first, second = self.rfile.read(2)
            size = second & 127
            if size == 126:
                (size,) = struct.unpack("!H", self.rfile.read(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", self.rfile.read(8))
            mask = self.rfile.read(4)
            data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.rfile.read(size)))
            length = struct.pack("!BQ", 127, size) if size > 125 else bytes([size])
            self.wfile.write(bytes([first]) + length + data)
            if first & 15 == 8:
                return

with socketserver.ThreadingTCPServer(("0.0.0.0", 80), Handler) as server:
    print("listening", flush=True)
    server.serve_forever()
"""
"""Echoes frames (RFC 6455)."""


@pytest.fixture(scope="module")
def engine(clients_image: Path) -> Iterator[Rootless]:
    with store_with(clients_image, "clients") as engine:
        yield engine


@pytest.fixture
def clients(engine: Rootless) -> Iterator[Rootless]:
    with network_in(engine):
        yield engine


def serve(engine: Rootless, name: str, script: str, *options: str) -> None:
    command = ("run", "-d", "--name", name, "--network", "net", *options, *ROOT)
    engine(*command, "python3", "-c", script).ok()
    wait_until(lambda: "listening" in engine("logs", name).stdout)


def run(engine: Rootless, *command: str, network: str = "net") -> str:
    return engine("run", "--rm", "--network", network, "clients", *command).ok().stdout


def port_of(engine: Rootless, name: str, at: int = 0) -> int:
    return int(engine("port", name).ok().stdout.splitlines()[at].rpartition(":")[2])


def test_dig_finds_names_and_addresses(clients: Rootless) -> None:
    serve(clients, "web", WEB, "--network-alias", "www")
    for how in ((), ("+tcp",), ("+noedns",), ("+bufsize=512",), ("+cookie",)):
        assert run(clients, "dig", *how, "+short", "web", "A") == "10.77.0.2\n", how
    assert run(clients, "dig", "+short", "WWW.net", "AAAA") == "fd00:77::2\n"
    assert run(clients, "dig", "+short", "-x", "10.77.0.2") == "web.net.\n"
    assert run(clients, "dig", "+short", "-x", "fd00:77::2") == "web.net.\n"
    whole = run(clients, "dig", "web", "A")
    assert "status: NOERROR" in whole
    assert "flags: qr aa rd ra" in whole
    assert "ANSWER: 1" in whole
    assert "ANSWER: 0" in run(clients, "dig", "web", "MX")
    assert run(clients, "dig", "@fd00:77::1", "+short", "web", "A") == "10.77.0.2\n"


def test_curl_reaches_a_server_over_ipv4_and_ipv6(clients: Rootless) -> None:
    serve(clients, "web", WEB, "-p", "127.0.0.1::80", "-p", "[::1]::80")
    curl = ("curl", "-sS", "--max-time", "20")
    assert run(clients, *curl, "-4", "http://web/") == "::ffff:10.77.0.3\n"
    assert run(clients, *curl, "-6", "http://web/") == "fd00:77::3\n"
    assert run(clients, *curl, "http://[fd00:77::2]/") == "fd00:77::3\n"
    ports = [port_of(clients, "web", at) for at in (0, 1)]
    address = f"http://127.0.0.1:{ports[0]}/"
    assert run(clients, *curl, address, network="host") == "::ffff:10.77.0.1\n"
    address = f"http://[::1]:{ports[1]}/"
    assert run(clients, *curl, address, network="host") == "fd00:77::1\n"


@pytest.mark.parametrize("options", [(), ("-R",), ("-6",), ("-P", "8"), ("-u", "-b", "50M")])
def test_iperf3_passes_a_network(clients: Rootless, options: tuple[str, ...]) -> None:
    clients(
        "run",
        "-d",
        "--name",
        "server",
        "--network",
        "net",
        "clients",
        "iperf3",
        "-s",
        "--forceflush",
    ).ok()
    wait_until(lambda: "listening" in clients("logs", "server").stdout)
    report = json.loads(run(clients, "iperf3", "-c", "server", "-t", "1", "-J", *options))
    assert "error" not in report
    end = report["end"]
    received = end["sum"] if "-u" in options else end["sum_received"]
    assert received["bytes"] > 100_000
    if "-u" not in options:
        # What is on its way when the time is over is not counted.
        assert received["bytes"] > 0.5 * end["sum_sent"]["bytes"]


def test_iperf3_passes_a_published_port(clients: Rootless) -> None:
    command = ("run", "-d", "--name", "server", "--network", "net", "-p", "127.0.0.1::5201")
    clients(*command, "clients", "iperf3", "-s", "--forceflush").ok()
    wait_until(lambda: "listening" in clients("logs", "server").stdout)
    port = str(port_of(clients, "server"))
    words = ("iperf3", "-c", "127.0.0.1", "-p", port, "-n", "256M", "-J")
    report = json.loads(run(clients, *words, network="host"))
    assert report["end"]["sum_received"]["bytes"] >= 0.9 * (256 << 20)


def frame(opcode: int, data: bytes, *, is_last: bool = True) -> bytes:
    """A frame of a client, which are masked (RFC 6455, section 5.2)."""
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
    if len(data) > 65535:
        size = struct.pack("!BQ", 255, len(data))
    else:
        size = struct.pack("!BH", 254, len(data)) if len(data) > 125 else bytes([128 | len(data)])
    return bytes([opcode | (128 if is_last else 0)]) + size + mask + masked


def test_websocket_stays_open_through_a_published_port(clients: Rootless) -> None:
    serve(clients, "web", WEBSOCKET, "-p", "127.0.0.1::80")
    with socket.create_connection(("127.0.0.1", port_of(clients, "web")), 120) as connection:
        key = base64.b64encode(os.urandom(16)).decode()
        connection.sendall(
            f"GET /chat HTTP/1.1\r\nHost: web\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        with connection.makefile("rb") as stream:
            assert stream.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
            headers = b"".join(iter(stream.readline, b"\r\n")).decode()
            digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
            assert f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}" in headers
            messages = [(1, b"hello"), (2, os.urandom(200)), (2, os.urandom(70_000)), (9, b"ping")]
            for opcode, data in messages * 3:
                connection.sendall(frame(opcode, data))
                first, size = stream.read(2)
                if size == 127:
                    (size,) = struct.unpack("!Q", stream.read(8))
                assert (first & 15, stream.read(size)) == (opcode, data)
            connection.sendall(frame(8, b""))
            assert stream.read(2) == b"\x88\0"
            assert stream.read() == b""
