"""Who it is that asks. A request may not say: where idmapped mounts are allowed the kernel sends no
owner with it (FUSE_INVALID_UIDGID, fuse_get_req), so proc(5) is asked."""

from __future__ import annotations

import os

_CAP_FOWNER = 1 << 3


def is_owner(pid: int) -> bool:
    """Whether a process belongs to the user who serves."""
    try:
        return os.stat(f"/proc/{pid}").st_uid == os.geteuid()
    except OSError:
        return False


def may_be_owner(pid: int, uid: int) -> bool:
    """Whether a process may do what the owner of a file may (inode_owner_or_capable, fs/inode.c), or
    cannot be asked: it is in a PID namespace that is not below that of the mount."""
    fields = {}
    try:
        with open(f"/proc/{pid}/status", "rb") as status:
            for line in status:
                name, _, value = line.partition(b":")
                fields[name] = value.split()
    except OSError:
        return True
    return int(fields[b"Uid"][3]) == uid or bool(int(fields[b"CapEff"][0], 16) & _CAP_FOWNER)
