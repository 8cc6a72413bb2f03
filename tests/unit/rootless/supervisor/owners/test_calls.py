import errno
import os
import struct

import pytest

from rootless.runtime.seccomp import compile_profile
from rootless.runtime.seccomp_rules import notifying_profile
from rootless.supervisor.owners.calls import AT_FDCWD, NUMBERS, ChownCall, MknodCall, decode
from rootless.syscalls import libseccomp
from unionfs.syscalls.light_ctypes import ctypes

X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
NO_ID = 0xFFFFFFFF


def notification(architecture: int, number: int, *arguments: int) -> bytes:
    filled = [*arguments, *[0] * (6 - len(arguments))]
    return struct.pack("=QIIiIQ6Q", 7, 42, 0, number, architecture, 0, *filled)


@pytest.mark.parametrize(
    ("architecture", "number", "arguments", "call"),
    [
        (X86_64, 92, (0x1000, 5, 6), ChownCall(7, 42, 0x1000, AT_FDCWD, 5, 6)),
        (X86_64, 94, (0x1000, 5, NO_ID), ChownCall(7, 42, 0x1000, AT_FDCWD, 5, None, False)),
        (X86_64, 93, (3, NO_ID, 6), ChownCall(7, 42, None, 3, None, 6)),
        (X86_64, 93, (0xFFFFFFFFFFFFFFFF, 1, 1), ChownCall(7, 42, None, -1, 1, 1)),
        (X86_64, 260, (NO_ID - 99, 0x1000, 5, 6, 0), ChownCall(7, 42, 0x1000, AT_FDCWD, 5, 6)),
        (X86_64, 260, (4, 8, 5, 6, 0x100), ChownCall(7, 42, 8, 4, 5, 6, False)),
        (X86_64, 260, (4, 8, 5, 6, 0x1000), ChownCall(7, 42, 8, 4, 5, 6, True, True)),
        # The upper halves of 32-bit arguments do not count.
        (X86_64, 92, (1, 5 | 1 << 40, 6 | 1 << 63), ChownCall(7, 42, 1, AT_FDCWD, 5, 6)),
        # x32
        (X86_64, 92 | 0x40000000, (0x1000, 5, 6), ChownCall(7, 42, 0x1000, AT_FDCWD, 5, 6)),
        # The calls of old, with ids of 16 bits; 65535 leaves one as it is.
        (I386, 182, (0x1000, 0xFFFF, 6), ChownCall(7, 42, 0x1000, AT_FDCWD, None, 6)),
        (I386, 212, (0x1000, 0xFFFF, 6), ChownCall(7, 42, 0x1000, AT_FDCWD, 0xFFFF, 6)),
        (I386, 16, (0x1000, 5, 6), ChownCall(7, 42, 0x1000, AT_FDCWD, 5, 6, False)),
        (I386, 207, (9, 70000, 6), ChownCall(7, 42, None, 9, 70000, 6)),
        (X86_64, 133, (0x1000, 0o20644, 0x103), MknodCall(7, 42, 0x1000, AT_FDCWD, 0o20644, 0x103)),
        (X86_64, 259, (4, 8, 0o60600 | 1 << 16, 1 << 32), MknodCall(7, 42, 8, 4, 0o60600, 0)),
        (AARCH64, 54, (9, 0x1000, 5, 6, 0x1100), ChownCall(7, 42, 0x1000, 9, 5, 6, False, True)),
    ],
)
def test_call_is_decoded(architecture, number, arguments, call):
    assert decode(notification(architecture, number, *arguments)) == call


@pytest.mark.parametrize(
    ("architecture", "number", "arguments", "expected"),
    [
        (X86_64, 260, (4, 8, 5, 6, 0x2), errno.EINVAL),
        (X86_64, 0, (), errno.ENOSYS),
        (0x12345678, 92, (), errno.ENOSYS),
    ],
)
def test_call_that_makes_no_sense_is_an_error(architecture, number, arguments, expected):
    with pytest.raises(OSError, match=os.strerror(expected)) as raised:
        decode(notification(architecture, number, *arguments))
    assert raised.value.errno == expected


def test_numbers_are_those_of_libseccomp():
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    for architecture, numbers in NUMBERS.items():
        for number, name in numbers.items():
            found = library.seccomp_syscall_resolve_name_arch(
                ctypes.c_uint(architecture), ctypes.c_char_p(name.encode())
            )
            assert found == number, (hex(architecture), name)


def test_every_notified_call_can_be_decoded():
    rules = notifying_profile("x86_64")["syscalls"]
    known = {name for numbers in NUMBERS.values() for name in numbers.values()}
    assert {name for rule in rules for name in rule["names"]} == known


def test_notifying_profile_compiles_to_a_program_that_notifies():
    program = compile_profile(notifying_profile(os.uname().machine))
    returned = {
        value
        for code, _, _, value in struct.iter_unpack("=HBBI", program)
        if code == 0x06  # BPF_RET | BPF_K
    }
    actions = libseccomp.ACTIONS
    assert actions["SCMP_ACT_NOTIFY"] in returned
    assert actions["SCMP_ACT_ALLOW"] in returned
