"""POSIX ACLs of a container: enforced for its users, and kept by commit, save and load."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.rootless import Rootless

pytestmark = pytest.mark.needs("userns", "subuid", "fuse", "busybox")

HOST_PYTHON = ("-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro")

SET = """
import os, struct
def acl(*entries):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
none = 0xFFFFFFFF
value = acl((1, 6, none), (2, 4, 1000), (4, 0, none), (16, 4, none), (32, 0, none))
os.makedirs("/data")
open("/data/file", "w").write("secret")
os.setxattr("/data/file", "system.posix_acl_access", value)
os.setxattr("/data", "system.posix_acl_default", value)
open("/data/made", "w").write("inherits")
os.chown("/data/file", 5, 6)
"""

LOOK = """
import os
for name in ("file", "made"):
    path = f"/data/{name}"
    known = os.stat(path)
    print(name, oct(known.st_mode), known.st_uid, os.getxattr(path, "system.posix_acl_access").hex())
print(os.getxattr("/data", "system.posix_acl_default").hex(), flush=True)
for uid in (1000, 1001):
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        try:
            print(uid, open("/data/file").read(), flush=True)
        except PermissionError:
            print(uid, "denied", flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
"""

ENTRIES = "0200000001000600ffffffff02000400e803000004000000ffffffff10000400ffffffff"
ACL = ENTRIES + "20000000ffffffff"
SHOWN = [
    f"file 0o100640 5 {ACL}",
    f"made 0o100640 0 {ACL}",
    ACL,
    "1000 secret",
    "1001 denied",
]


def test_acls_are_enforced_committed_saved_and_loaded(
    rootless: Rootless, busybox_image: Path, tmp_path: Path
) -> None:
    rootless("import", busybox_image, "base:1").ok()
    python = ("/usr/bin/python3", "-c")
    rootless("run", "--name", "made", *HOST_PYTHON, "base:1", *python, SET).ok()
    rootless("commit", "made", "with-acls:1").ok()
    assert look(rootless, "with-acls:1") == SHOWN
    rootless("save", "-o", tmp_path / "saved.tar", "with-acls:1").ok()
    rootless("rmi", "with-acls:1").ok()
    rootless("load", "-i", tmp_path / "saved.tar").ok()
    assert look(rootless, "with-acls:1") == SHOWN


def look(rootless: Rootless, image: str) -> list[str]:
    done = rootless("run", "--rm", *HOST_PYTHON, image, "/usr/bin/python3", "-c", LOOK).ok()
    return done.stdout.splitlines()
