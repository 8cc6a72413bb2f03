"""The default profile beside Docker's: the same calls but for those below, each with its reason.

Docker's is github.com/moby/profiles, seccomp/default.json, commit 3c28324 of 2026-05-06. Here are the differences from it, and
the digest of Docker's lists. ROOTLESS_DOCKER_SECCOMP=FILE compares with that file too, and shows what differs.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import socket
from pathlib import Path

import pytest

from rootless.runtime.seccomp import compile_profile
from rootless.runtime.seccomp_rules import ARCHITECTURES
from rootless.spec.options import DEFAULT_CAPABILITIES
from rootless.spec.seccomp_profile import AF_ALG, AF_VSOCK, default_profile, read_docker_profile
from rootless.syscalls.capabilities import NAMES
from rootless.syscalls.processes import PR_SET_NO_NEW_PRIVS, prctl
from rootless.syscalls.seccomp import load_filter

DOCKERS = "2333cff77596514a34435da3dede6d518eb641ade8eac8919cc6cef67536663e"

ONLY_HERE = {
    "open_tree_attr": "with SYS_ADMIN, as open_tree and mount_setattr, which it does in one; Linux 6.15",
}
ONLY_DOCKER = {
    "riscv_hwprobe": "allowed where there is such a call, on riscv64",
}
OTHERWISE = {
    "calls that are in neither list": "ENOSYS, not EPERM: decision 0402",
    "clone with new namespaces": "EPERM as with Docker; said by rules of its own, because the default is ENOSYS",
    "socket of a family above 63": "ENOSYS, not EAFNOSUPPORT: no such family exists",
    "socket of AF_ALG or AF_VSOCK plus 2^32": "EPERM; Docker's rules compare all 64 bits, of which the kernel takes 32",
    "socketcall": "none: 32-bit programs need it for every socket, and reach AF_VSOCK and AF_ALG by it; no filter reads memory",
}


def allowed(profile) -> set[str]:
    rules = [rule for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]
    return {name for rule in rules for name in rule["names"]}


def text(profile_of) -> str:
    """What each machine allows by default, and what each capability adds."""
    lines = []
    for machine in sorted(ARCHITECTURES):
        lines.append(
            f"{machine}: {' '.join(sorted(allowed(profile_of(DEFAULT_CAPABILITIES, machine))))}"
        )
        without = allowed(profile_of(frozenset(), machine))
        for name in sorted(NAMES):
            added = allowed(profile_of(frozenset({name}), machine)) - without
            lines.append(f"{machine} {name}: {' '.join(sorted(added))}")
    return "\n".join(lines)


def ours_as_dockers(capabilities, machine):
    """This project's profile with the differences undone."""
    names = allowed(default_profile(capabilities, machine)) - ONLY_HERE.keys() | ONLY_DOCKER.keys()
    return {"syscalls": [{"names": sorted(names), "action": "SCMP_ACT_ALLOW"}]}


def test_profile_is_dockers_but_for_the_differences():
    path = os.environ.get("ROOTLESS_DOCKER_SECCOMP")
    ours = text(ours_as_dockers)
    if path is not None:
        document = json.loads(Path(path).read_text())
        dockers = text(lambda caps, machine: read_docker_profile(document, caps, machine, (6, 18)))
        assert ours.splitlines() == dockers.splitlines()
    digest = hashlib.sha256(ours.encode()).hexdigest()
    assert digest == DOCKERS, "a call that was added or dropped is named above, with the reason"


@pytest.mark.parametrize("upper", [0, 1 << 32, 0xDEAD << 32])
def test_families_that_no_namespace_holds_are_refused_whatever_the_upper_half_says(upper):
    """Only the lower half of the argument reaches the kernel's function."""
    program = compile_profile(default_profile(DEFAULT_CAPABILITIES, os.uname().machine))
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            prctl(PR_SET_NO_NEW_PRIVS, 1)
            load_filter(program)
            libc = ctypes.CDLL(None, use_errno=True)
            number = {"x86_64": 41, "s390x": 359, "ppc64le": 326}.get(os.uname().machine, 198)
            found = {}
            for family in (
                AF_ALG,
                AF_VSOCK,
                socket.AF_UNIX,
                socket.AF_INET6,
                socket.AF_NETLINK,
                45,
            ):
                made = libc.syscall(
                    ctypes.c_long(number),
                    ctypes.c_uint64(upper | family),
                    ctypes.c_long(3),
                    ctypes.c_long(0),
                )
                found[int(family)] = ctypes.get_errno() if made < 0 else 0
            os.write(writer, json.dumps(found).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        found = json.loads(answer.read())
    os.waitpid(pid, 0)
    refused = {int(family) for family, number in found.items() if number == 1}
    assert refused >= {AF_ALG, AF_VSOCK}
    # Others get the kernel's own answer: EPERM of a raw socket is not the filter's.
    assert found[str(int(socket.AF_NETLINK))] == 0
    assert 38 not in set(found.values())
