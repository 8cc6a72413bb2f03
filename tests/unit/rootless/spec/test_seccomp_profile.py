"""The default profile against an independent one, and the cache of compiled filters."""

import json
import os
from pathlib import Path

import pytest

from rootless.errors import InvalidDocumentError
from rootless.runtime import seccomp
from rootless.runtime.seccomp_rules import pretending_profile
from rootless.spec.host import HostFacts
from rootless.spec.options import DEFAULT_CAPABILITIES
from rootless.spec.seccomp_profile import (
    ALLOWED,
    BY_CAPABILITY,
    WITHHELD,
    default_profile,
    profile_of,
    read_docker_profile,
)
from rootless.syscalls.capabilities import NAMES

HOST = HostFacts(machine=os.uname().machine, kernel=(6, 1))
ORACLE = Path("/usr/share/containers/seccomp.json")

# What the containers/common profile of 2022 allows and Docker's does not: mounts and namespaces
# without a capability (for nested containers), and calls that are no longer or were never there.
THEIRS = {
    # Calls of 32-bit programs of old, which Docker's does not have.
    "sigaction",
    "sigpending",
    "sigsuspend",
    "clone3",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "get_mempolicy",
    "keyctl",
    "mbind",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "pidfd_getfd",
    "pivot_root",
    "readdir",
    "reboot",
    "set_mempolicy",
    "setns",
    "signal",
    "syscall",
    "syslog",
    "timerfd",
    "umount",
    "umount2",
    "unshare",
}
# Newer than that profile, or allowed by Docker and not there.
OURS = {
    "cachestat",
    "fchmodat2",
    "futex_requeue",
    "futex_wait",
    "futex_waitv",
    "futex_wake",
    "getxattrat",
    "io_pgetevents",
    "io_pgetevents_time64",
    "listmount",
    "listxattrat",
    "map_shadow_stack",
    "mseal",
    "removexattrat",
    "setxattrat",
    "statmount",
    "uretprobe",
    "vmsplice",
}


def allowed(profile):
    return {
        name
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]
    }


@pytest.mark.skipif(not ORACLE.exists(), reason="containers-common is not installed")
def test_default_profile_agrees_with_an_independent_one():
    oracle = read_docker_profile(
        json.loads(ORACLE.read_text()), DEFAULT_CAPABILITIES, "x86_64", (6, 1)
    )
    theirs, ours = allowed(oracle), allowed(default_profile(DEFAULT_CAPABILITIES, "x86_64"))
    assert theirs - ours <= THEIRS
    assert ours - theirs <= OURS


def test_tables_do_not_contradict_each_other():
    withheld = {name for names in WITHHELD.values() for name in names.split()}
    assert not withheld & ALLOWED
    given = {name for names in BY_CAPABILITY.values() for name in names.split()}
    assert given <= withheld | {"clone3"}
    assert set(BY_CAPABILITY) <= set(NAMES)


def test_capabilities_bring_their_calls_back():
    assert "mount" not in allowed(default_profile(DEFAULT_CAPABILITIES, "x86_64"))
    assert {"mount", "unshare", "clone3"} <= allowed(
        default_profile(DEFAULT_CAPABILITIES | {"SYS_ADMIN"}, "x86_64")
    )


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_profiles_compile(machine):
    for profile in (
        default_profile(DEFAULT_CAPABILITIES, machine),
        default_profile(frozenset(NAMES), machine),
        pretending_profile(machine, owners=True),
    ):
        program = seccomp.compile_profile(profile)
        assert program
        assert len(program) % 8 == 0
        # BPF_MAXINSNS: the kernel takes no more.
        assert len(program) // 8 <= 4096


def test_docker_profile_conditions_are_applied():
    document = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["a"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_CHOWN"]}},
            {"names": ["b"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_CHOWN"]}},
            {"names": ["c"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
            {"names": ["d"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.10"}},
            {"name": "e", "action": "SCMP_ACT_ALLOW", "args": []},
        ],
    }
    profile = read_docker_profile(document, frozenset({"CHOWN"}), "x86_64", (6, 9))
    assert allowed(profile) == {"a", "e"}
    assert profile["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert "d" in allowed(read_docker_profile(document, frozenset(), "x86_64", (6, 10)))


def test_filter_comes_from_the_cache_and_a_torn_one_is_made_again(tmp_path):
    profile = pretending_profile(os.uname().machine, owners=True)
    cache = str(tmp_path / "cache")
    program = seccomp.compiled(profile, cache)
    (entry,) = (tmp_path / "cache").iterdir()
    whole = entry.read_bytes()
    inode = entry.stat().st_ino
    assert seccomp.compiled(profile, cache) == program
    assert entry.stat().st_ino == inode
    for damaged in (whole[:-1], b"", whole[:-8] + bytes(8), b"x" * len(whole)):
        entry.write_bytes(damaged)
        assert seccomp.compiled(profile, cache) == program
        assert entry.read_bytes() == whole


def test_filter_of_another_profile_in_its_place_is_not_used(tmp_path):
    cache = str(tmp_path)
    machine = os.uname().machine
    first = default_profile(frozenset(), machine)
    seccomp.compiled(first, cache)
    (entry,) = tmp_path.iterdir()
    seccomp.compiled(pretending_profile(machine, owners=True), cache)
    (other,) = set(tmp_path.iterdir()) - {entry}
    entry.write_bytes(other.read_bytes())
    assert seccomp.compiled(first, cache) == seccomp.compile_profile(first)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"defaultAction": "SCMP_ACT_NOPE", "syscalls": []},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "X"}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_PDP11"], "syscalls": []},
    ],
)
def test_profile_that_makes_no_sense_is_refused(document, tmp_path):
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(document))

    def compile_it():
        seccomp.compile_profile(
            profile_of(str(path), frozenset(), host=HOST, read=lambda path: Path(path).read_bytes())
        )

    with pytest.raises(InvalidDocumentError):
        compile_it()


def test_profile_file_that_is_missing_is_told(tmp_path):
    with pytest.raises(InvalidDocumentError, match="opening seccomp profile"):
        profile_of(
            str(tmp_path / "none"),
            frozenset(),
            host=HOST,
            read=lambda path: Path(path).read_bytes(),
        )
