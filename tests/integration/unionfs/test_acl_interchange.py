"""An upper with POSIX ACLs means the same to the union, to fuse-overlayfs and to kernel overlayfs: who may
read is tried by users of a user namespace with a range of ids."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("subuid", "fuse")

PROBE = """
import json, os, struct, sys

def acl(*entries):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)

NO_ID = 0xFFFFFFFF
VALUE = acl((1, 6, NO_ID), (2, 4, 1000), (4, 0, NO_ID), (8, 4, 2000), (16, 4, NO_ID), (32, 0, NO_ID))

def may_read(path, uid, gid, groups):
    pid = os.fork()
    if pid == 0:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        try:
            open(path).close()
        except PermissionError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

def look(root):
    found = {}
    for name in ("below", "new", "directory/made"):
        path = f"{root}/{name}"
        found[name] = (
            oct(os.stat(path).st_mode),
            os.getxattr(path, "system.posix_acl_access").hex(),
            [
                may_read(path, *who)
                for who in ((1000, 1000, []), (1001, 1001, []), (1001, 1001, [2000]), (0, 0, []))
            ],
        )
    found["default"] = os.getxattr(f"{root}/directory", "system.posix_acl_default").hex()
    return found

def change(root):
    open(f"{root}/new", "w").close()
    os.mkdir(f"{root}/directory")
    for name in ("below", "new"):
        os.setxattr(f"{root}/{name}", "system.posix_acl_access", VALUE)
    os.setxattr(f"{root}/directory", "system.posix_acl_default", VALUE)
    os.umask(0o077)
    open(f"{root}/directory/made", "w").close()

if sys.argv[1] == "change":
    change(sys.argv[2])
print(json.dumps(look(sys.argv[2])))
"""

SCRIPT = """
set -e
cd "$1"
seen() {{ "$PYTHON" probe.py "$@"; umount m; }}
ours() {{ "$PYTHON" -m unionfs -o "$1,allow_other" m; }}
ours lowerdir=l,upperdir=u,workdir=w{options}; seen change m
while ! ours lowerdir=l,upperdir=u,workdir=w{options} 2>errors; do :; done; seen look m
{others}
"""

OTHERS = """
fuse-overlayfs -o lowerdir=l,upperdir=u,workdir=w,allow_other m; seen look m
mount -t overlay -o lowerdir=l,upperdir=u,workdir=w,userxattr overlay m; seen look m
ours lowerdir=u:l; seen look m
"""


def looks(top: Path, *, options: str, others: str) -> list[object]:
    """What each of the mounts shows, in turn."""
    for name in ("l", "u", "w", "m"):
        (top / name).mkdir()
    (top / "l" / "below").write_bytes(b"x")
    (top / "probe.py").write_text(PROBE)
    # Other users of the namespace have to get there.
    for directory in (top, *top.parents):
        if directory.stat().st_uid == os.geteuid():
            directory.chmod(directory.stat().st_mode | 0o111)
    script = SCRIPT.format(options=options, others=others)
    done = subprocess.run(
        [
            "unshare",
            "--user",
            "--map-auto",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
            top,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHON": sys.executable},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.needs("fuse-overlayfs")
def test_real_acls_are_those_of_every_overlay(tmp_path):
    first, *rest = looks(tmp_path, options="", others=OTHERS)
    assert [who for _, _, who in (first["below"], first["new"], first["directory/made"])] == [
        [True, False, True, True]
    ] * 3
    assert rest == [first] * 4


def test_acls_beside_the_files_are_enforced_too(tmp_path):
    first, *rest = looks(tmp_path, options=",ownership=data", others="")
    assert first["below"][2] == [True, False, True, True]
    assert rest == [first]
    assert "system.posix_acl_access" not in os.listxattr(tmp_path / "u" / "below")
