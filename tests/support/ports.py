"""Ports for servers that are told which one to take."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000


def free_port() -> int:
    """A TCP port that is free, and that the kernel gives to no connection, and to no server that asks for any."""
    end = int(_RANGE.read_text().split()[0])
    chosen = random.SystemRandom()  # pytest-randomly begins each test with the same numbers
    while True:
        port = chosen.randrange(_LOWEST, end)
        with socket.socket() as one:
            try:
                one.bind(("", port))
            except OSError:
                continue
        return port
