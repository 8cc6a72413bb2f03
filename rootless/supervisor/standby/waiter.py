"""The program in memory of a process that stands by: a hundred bytes in place of an interpreter, as the trampoline is
(`rootless.runtime.trampoline`).

It takes the name of the process, waits for descriptors (ppoll(2)), and executes the interpreter again with its own arguments
but the first, and its own environment; once a second, where the kernel could not execute it.
"""

from __future__ import annotations

import os
import struct

from rootless.runtime.trampoline import program_in_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

CODE: dict[str, bytes] = {
    "x86_64": bytes.fromhex(
        "488d1df9fe0000bf0f000000488d7308b89d0000000f05488d7b288b730431d2"
        "4531d2b80f0100000f058b3b488d7317488b0424488d5424104c8d14c241b800"
        "100000b8420100000f05488d7b1831f6b8230000000f05ebd1"
    ),
    "aarch64": bytes.fromhex(
        "13f80710e00180d261220091e81480d2010000d460a20091610640b9020080d2"
        "030080d2280980d2010000d4600240b9615e0091e90340f9e2430091430c098b"
        "040082d2282380d2010000d460620091010080d2a80c80d2010000d4f4ffff17"
    ),
    "riscv64": bytes.fromhex(
        "17040100130404f01305f000930584009308700a730000001305840283254400"
        "1306000093060000930890047300000003250400930574018332010013060101"
        "93923200b3065600371700009308901173000000130584019305000093085006"
        "730000006ff0dffc"
    ),
    "ppc64le": bytes.fromhex(
        "05000048a602e87f0100ff3ffcfeff3b0f00603808009f38ab00003802000044"
        "28007f3804009f800000a0380000c038190100380200004400007f8017009f38"
        "0000c1e81000a138241fc6781432c57c0010e0386a0100380200004418007f38"
        "00008038a200003802000044ccffff4b"
    ),
    "s390x": bytes.fromhex(
        "c06000007f80a729000f41306008a71900ac0a0041206028e33060040016a749"
        "0000a7590000a719012e0a00e3206000001641306017e350f00000044140f010"
        "eb550003000d41554000b9040076a7691000a71901620a00b904006741206018"
        "a7390000a71900a20a00a7f4ffe1"
    ),
}
"""By uname(2)'s machine; the sources are in scripts/waiter."""

_LONGEST_NAME = 15
"""Bytes (PR_SET_NAME of prctl(2))."""


def waiter(interpreter: int, waits: Mapping[int, int], name: str) -> int:
    """The program, as a descriptor: for a process of this name that waits for the descriptors and events. `interpreter` is
    another descriptor.

    Raises OSError, and NotImplementedError where there is none for this processor.
    """
    machine = os.uname().machine
    if machine not in CODE:
        raise NotImplementedError(machine)
    # The last byte of the name, which is zero, is also the empty path of execveat(2).
    head = struct.pack("=II16sqq", interpreter, len(waits), name.encode()[:_LONGEST_NAME], 1, 0)
    polled = (struct.pack("=ihh", *each, 0) for each in waits.items())
    return program_in_memory(machine, CODE[machine], head + b"".join(polled))
