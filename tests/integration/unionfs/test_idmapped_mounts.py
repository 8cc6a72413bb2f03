"""A union is mounted with ids shifted (mount_setattr(2), MOUNT_ATTR_IDMAP), as a bind mount of another container would be."""

import json
import os
import subprocess
import sys

import pytest

FIRST = 1000
PROGRAM = r"""
import ctypes, errno, json, os, signal, struct, subprocess, sys

libc = ctypes.CDLL(None, use_errno=True)
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
CLONE_NEWUSER, AT_FDCWD, AT_EMPTY_PATH = 0x10000000, -100, 0x1000
OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH, MOUNT_ATTR_IDMAP = 1, 4, 0x100000


def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def as_user(number, body):
    pid = os.fork()
    if pid == 0:
        try:
            os.setgid(number)
            os.setuid(number)
            body()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def user_namespace(first):
    # A process that lives in a namespace where `first` and those after it are 0 and on.
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        libc.unshare(CLONE_NEWUSER)
        os.write(tell, b"x")
        signal.pause()
    os.read(ready, 1)
    for kind in ("uid", "gid"):
        with open(f"/proc/{pid}/{kind}_map", "w") as file:
            file.write(f"0 {first} 10")
    namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return namespace


place, session, first = sys.argv[1], sys.argv[2], int(sys.argv[3])
plain, shifted = f"{place}/plain", f"{place}/shifted"
options = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work,allow_other"
mount = [sys.executable, "-m", "unionfs", "--session", session, "-o", options, plain]
subprocess.run(mount, check=True)
try:
    tree = call(OPEN_TREE, AT_FDCWD, plain.encode(), OPEN_TREE_CLONE)
    attributes = struct.pack("4Q", MOUNT_ATTR_IDMAP, 0, 0, user_namespace(first))
    try:
        call(MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH, attributes, len(attributes))
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOSYS}:  # ENOSYS: before Linux 5.12
            raise
        print(json.dumps(None))
        sys.exit()
    call(MOVE_MOUNT, tree, b"", AT_FDCWD, shifted.encode(), MOVE_MOUNT_F_EMPTY_PATH)
    os.close(tree)
    made = as_user(first, lambda: open(f"{shifted}/new", "x").close())
    changed = as_user(first, lambda: open(f"{shifted}/f", "a").close())
    stranger = as_user(first + 1, lambda: open(f"{shifted}/f", "a").close())
    owners = {
        name: [os.stat(f"{at}/{name}").st_uid for at in (plain, shifted)] for name in ("f", "new")
    }
    print(json.dumps([made, changed, stranger, owners]))
    subprocess.run(["umount", shifted], check=True)
finally:
    subprocess.run(["umount", plain], check=True)
"""


@pytest.mark.needs("userns", "subuid", "fuse")
def test_union_shows_and_keeps_ids_as_an_idmapped_mount_shifts_them(tmp_path):
    for name in ("lower", "upper", "work", "plain", "shifted"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower/f").write_text("x")
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.getuid():
            directory.chmod(0o755)
    namespace = ["unshare", "--map-root-user", "--map-auto", "--mount"]
    program = [sys.executable, "-c", PROGRAM, str(tmp_path), "device", str(FIRST)]
    done = subprocess.run(
        [*namespace, *program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    if answer is None:
        pytest.skip("this kernel has no idmapped mounts of FUSE (before 6.12)")
    made, changed, stranger, owners = answer
    assert (made, changed) == (0, 0)
    assert stranger == 13, "EACCES: the mode says that only the owner may write"
    assert owners == {"f": [0, FIRST], "new": [0, FIRST]}
    assert (tmp_path / "upper/new").stat().st_uid == os.getuid()
