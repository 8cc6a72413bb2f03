"""The first process of a container that ranks share: it holds the namespaces and does nothing.

It is a program in memory, as the trampoline is, which waits for ever in ppoll(2): 100 bytes in place of an interpreter.
Signals but SIGKILL are ignored, so that they are the ranks' matter, and orphans are reaped by the kernel.
"""

from __future__ import annotations

import os

from rootless.light_stdlib import signal
from rootless.runtime.trampoline import program_in_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.light_stdlib import socket

CODE: dict[str, bytes] = {
    "x86_64": bytes.fromhex("31ff31f631d24531d2b80f0100000f05ebee"),
    "aarch64": bytes.fromhex("000080d2010080d2020080d2030080d2280980d2010000d4faffff17"),
    "riscv64": bytes.fromhex("1305000093050000130600009306000093089004730000006ff09ffe"),
    "ppc64le": bytes.fromhex("00006038000080380000a0380000c0381901003802000044e8ffff4b"),
    "s390x": bytes.fromhex("a7290000a7390000a7490000a7590000a719012e0a00a7f4fff5"),
}
"""By uname(2)'s machine: ppoll(NULL, 0, NULL, NULL) again and again. The sources are in scripts/holder."""

_NAME = "rootless-join"


def hold(channel: socket.socket) -> NoReturn:
    """Replace this process. The parent reads the end of `channel`. Raises OSError."""
    machine = os.uname().machine
    if machine not in CODE:
        raise NotImplementedError(f"there is no holder of namespaces for {machine}")
    program = program_in_memory(machine, CODE[machine], b"\0")
    for number in range(1, signal.NSIG):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            continue  # SIGKILL, SIGSTOP, and the two numbers that the C library keeps for itself
    os.set_inheritable(channel.fileno(), False)
    os.execve(program, [_NAME], {})
