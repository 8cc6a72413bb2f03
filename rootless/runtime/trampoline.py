"""The exec trampoline: a program of some hundred bytes between the engine and the container's command.

Until execve(2) has succeeded, /proc/self/exe of the process is the engine's interpreter, a file of
the host. An image can have that executed in the container: its command, or the interpreter of its
script, is a link to /proc/self/exe. Its new process then opens /proc/self/exe for writing, and where
the interpreter belongs to the caller it has the caller's account (CVE-2019-5736). No check before the
call can exclude that: a file may be unreadable, or be replaced meanwhile.

Therefore the process first executes a sealed file in memory, which is its own, and that executes the
command. Then /proc/self/exe is the file in memory, and there is nothing of the host's to reach. The
trampoline

1. marks the descriptor of the handshake close-on-exec; where there is none it has been executed by
   the container, and exits with 126,
2. executes the path with its own arguments and environment,
3. on failure writes errno and the path, as one packet, and exits with 126
   (`rootless.runtime.handshake.decode` reads it).

The file is an ELF executable: header, machine code at 0x100, and data on a page of its own, whose size
is the largest of any processor.
"""

from __future__ import annotations

import errno
import fcntl
import posix
import sys

from rootless.light_stdlib import struct
from rootless.syscalls.libc import encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CODE_OFFSET = 0x100
_DATA_OFFSET = 0x10000
_BASE = 0x400000
_MFD_EXEC = 0x10  # linux/memfd.h, Linux 6.3: needed where sysctl vm.memfd_noexec is 1

CODE: dict[str, bytes] = {
    "x86_64": bytes.fromhex(
        "488d1df9fe00008b3bbe02000000ba01000000b8480000000f0585c0752e488b"
        "0424488d742408488d54c608488d7b0cb83b0000000f05f7d88943088b3b488d"
        "73088b5304b8010000000f05bf7e000000b8e70000000f05"
    ),
    "aarch64": bytes.fromhex(
        "13f80710600240b9410080522200805228038052010000d4e0010035e90340f9"
        "e1230091220c098b4220009160320091a81b8052010000d4e003004b600a00b9"
        "600240b961220091620640b908088052010000d4c00f8052c80b8052010000d4"
    ),
    "riscv64": bytes.fromhex(
        "17040100130404f003250400930520001306100093089001730000006310050"
        "483320100930581009392320033865500130686001305c4009308d00d7300000"
        "03b05a0402324a4000325040093058400032644009308000473000000"
        "1305e0079308e00573000000"
    ),
    "ppc64le": bytes.fromhex(
        "05000048a602e87f0100ff3ffcfeff3b00007f80020080380100a03837000038"
        "020000443c0083410000c1e808008138241fc6781432a47c0800a5380c007f38"
        "0b0000380200004408007f9000007f8008009f380400bf800400003802000044"
        "7e006038ea00003802000044"
    ),
    "s390x": bytes.fromhex(
        "c06000007f80e32060000016a7390002a74900010a371222a774001be370f000"
        "00044130f008eb770003000d414730084120600c0a0b132250206008e3206000"
        "001641306008e340600400160a04a729007e0af8"
    ),
}
"""By uname(2)'s machine; the sources are in scripts/trampoline."""

_MACHINES = {
    "x86_64": 62,
    "aarch64": 183,
    "riscv64": 243,
    "ppc64le": 21,
    "s390x": 22,
}  # elf.h, EM_*


def execute_by_trampoline(
    path: str, args: Sequence[str], environment: Mapping[str, str], descriptor: int
) -> None:
    """Replace this process. Returns only where the trampoline cannot be executed: there is none for
    this processor, or the kernel forbids files in memory as programs (vm.memfd_noexec=2, a seccomp
    filter without execveat).

    `descriptor` is the one that failures are written to; it is left close-on-exec on return.
    """
    machine = posix.uname().machine
    if machine not in CODE:
        return
    try:
        program = _program(machine, descriptor, encoded(path))
    except OSError:
        return
    posix.set_inheritable(descriptor, True)
    try:
        posix.execve(program, list(args), environment)
    except OSError:
        posix.set_inheritable(descriptor, False)
        posix.close(program)


def _program(machine: str, descriptor: int, path: bytes) -> int:
    data = struct.pack("=III", descriptor, 4 + len(path), 0) + path + b"\0"
    return program_in_memory(machine, CODE[machine], data)


def program_in_memory(machine: str, code: bytes, data: bytes) -> int:
    """A sealed file in memory that can be executed: this code, and behind it the data. Raises OSError."""
    memory = _memory()
    posix.write(memory, _header(machine, len(code), len(data)) + code)
    posix.pwrite(memory, data, _DATA_OFFSET)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, seals)
    return memory


def _memory() -> int:
    flags = posix.MFD_CLOEXEC | posix.MFD_ALLOW_SEALING
    try:
        return posix.memfd_create("exec", flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return posix.memfd_create("exec", flags)


def _header(machine: str, size: int, data_size: int) -> bytes:
    """ELF header and three program headers (elf(5)): code, data, and a stack that is not executable."""
    byte_order = 1 if sys.byteorder == "little" else 2
    flags = 2 if machine == "ppc64le" else 0  # the ELFv2 ABI
    ident = b"\x7fELF" + bytes((2, byte_order, 1)).ljust(12, b"\0")
    entry = _BASE + CODE_OFFSET
    header = struct.pack(
        "=HHIQQQIHHHHHH", 2, _MACHINES[machine], 1, entry, 64, 0, flags, 64, 56, 3, 0, 0, 0
    )
    code_size = CODE_OFFSET + size
    segments = (
        (1, 5, 0, _BASE, _BASE, code_size, code_size, _DATA_OFFSET),
        (1, 6, _DATA_OFFSET, _BASE + _DATA_OFFSET, _BASE + _DATA_OFFSET, data_size, data_size, _DATA_OFFSET),
        (0x6474E551, 6, 0, 0, 0, 0, 0, 16),
    )  # fmt: skip
    packed = b"".join(struct.pack("=IIQQQQQQ", *segment) for segment in segments)
    return (ident + header + packed).ljust(CODE_OFFSET, b"\0")
