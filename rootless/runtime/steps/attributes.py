"""The steps that set the attributes of the process: user, directory, limits, namespaces."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

from rootless.light_stdlib import socket
from rootless.runtime import extensions
from rootless.runtime.execution import resolve_user
from rootless.runtime.steps.context import Context, open_in_root, open_or_make
from rootless.runtime.userdb import entry_to_append
from rootless.syscalls import identity, processes
from rootless.syscalls.openat2 import (
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_XDEV,
    openat2,
)
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.runtime.idmap import IdMaps

_RLIMIT_LOCKS = 10  # of asm-generic/resource.h; the resource module has no name for it
_USER_FILE_LIMIT = 16 * 1024 * 1024  # bytes of /etc/passwd or /etc/group that are read
_IN_MOUNT_OF_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1


class BecomeSetupUser(NamedTuple):
    """The set-up runs as the container's root, so that what it makes belongs to it."""

    uid: int
    gid: int
    drop_groups: bool

    def describe(self) -> str:
        return f"become {self.uid}:{self.gid} inside"

    def perform(self, context: Context) -> None:
        identity.become(self.uid, self.gid, drop_groups=self.drop_groups)
        # A change of id made the process non-dumpable, which would hide /proc/PID/ns from the
        # program that configures the network.
        processes.prctl(processes.PR_SET_DUMPABLE, 1)


class AddUser(NamedTuple):
    """Give /etc/passwd and /etc/group of the container the lines of a user and a group. A file that is
    missing, mounted, read-only, on a full disk, or has the name or the number, is left as it is. With `first` the lines come
    first whatever a file has, so that they are the ones that are found, and a missing file is made."""

    user: str
    group: str
    first: bool = False

    def describe(self) -> str:
        return f"add the user {self.user.partition(':')[0]} to /etc/passwd"

    def perform(self, context: Context) -> None:
        _add_entry(context, "/etc/passwd", self.user, first=self.first)
        _add_entry(context, "/etc/group", self.group, first=self.first)


def _add_entry(context: Context, path: str, entry: str, *, first: bool) -> None:
    flags = os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY
    try:
        if first:
            os.close(open_or_make(context, path, directory=False))
        # Not across a mount: the device numbers of files do not tell, which overlayfs has several of.
        fd = openat2(context.root, path, flags, resolve=_IN_MOUNT_OF_ROOT)
    except OSError:
        return
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _USER_FILE_LIMIT:
            return
        content = file.read(_USER_FILE_LIMIT)
        try:
            if first:
                os.pwrite(fd, entry.encode(errors="surrogateescape") + b"\n" + content, 0)
            else:
                os.pwrite(fd, entry_to_append(content, entry), len(content))
        except OSError as error:
            # The container starts all the same: it may be the one that makes room.
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise


class ResolveUser(NamedTuple):
    """Look `user` and `groups` up in the container's own /etc/passwd and /etc/group. With `fixed`
    the container has a single id, and every user is that one unless it is `required`."""

    user: str
    groups: tuple[str, ...]
    fixed: bool
    required: bool

    def describe(self) -> str:
        return f"look up the user {self.user!r}"

    def perform(self, context: Context) -> None:
        context.keeps_ids = self.fixed
        context.identity = resolve_user(
            context.root, self.user, self.groups, fixed=self.fixed, required=self.required
        )


class ChangeDirectory(NamedTuple):
    """A missing directory is made. The directory is opened beneath the root and without magic
    links: /proc/self/fd/N could be a directory of the host (CVE-2024-21626)."""

    path: str

    def describe(self) -> str:
        return f"change to the working directory {self.path}"

    def perform(self, context: Context) -> None:
        directory = open_or_make(context, self.path, directory=True)
        os.fchdir(directory)
        os.close(directory)


class EnterDirectory(NamedTuple):
    """As ChangeDirectory, of a directory that has to exist."""

    path: str

    def describe(self) -> str:
        return f"change to the working directory {self.path}"

    def perform(self, context: Context) -> None:
        directory = open_in_root(context, self.path, os.O_PATH | os.O_DIRECTORY)
        os.fchdir(directory)
        os.close(directory)


class SetUmask(NamedTuple):
    mask: int

    def describe(self) -> str:
        return f"set the umask to {self.mask:04o}"

    def perform(self, context: Context) -> None:
        os.umask(self.mask)


class AdjustOomScore(NamedTuple):
    value: int

    def describe(self) -> str:
        return f"set oom_score_adj to {self.value}"

    def perform(self, context: Context) -> None:
        try:
            _write("/proc/self/oom_score_adj", b"%d" % self.value)
        except PermissionError:
            pass  # an account may not go below what it has (proc_pid_oom_score_adj(5)): it stays, as under Docker


class WriteSysctl(NamedTuple):
    """`name` with dots: each becomes a slash of a path below /proc/sys."""

    name: str
    value: str

    def describe(self) -> str:
        return f"set sysctl {self.name}={self.value}"

    def perform(self, context: Context) -> None:
        _write("/proc/sys/" + self.name.replace(".", "/"), os.fsencode(self.value))


class SetHostname(NamedTuple):
    hostname: str
    domainname: str

    def describe(self) -> str:
        return f"set the host name {self.hostname}"

    def perform(self, context: Context) -> None:
        processes.sethostname(self.hostname)
        if self.domainname:
            processes.setdomainname(self.domainname)


class JoinCgroupNamespace(NamedTuple):
    """After the move into the cgroup, because the namespace's root is the cgroup at that time
    (cgroup_namespaces(7))."""

    def describe(self) -> str:
        return "enter a new cgroup namespace"

    def perform(self, context: Context) -> None:
        processes.unshare(processes.CLONE_NEWCGROUP)


class RaiseLoopback(NamedTuple):
    """A new network namespace has its loopback interface down."""

    def describe(self) -> str:
        return "bring the loopback interface up"

    def perform(self, context: Context) -> None:
        control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        request = struct.pack("16sH22x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))
        control.close()


class SetLimit(NamedTuple):
    """`resource` is RLIMIT_NAME; a negative limit, or one of 2^63 and above, means none."""

    resource: str
    soft: int
    hard: int

    def describe(self) -> str:
        return f"set limit {self.resource}={self.soft}:{self.hard}"

    def perform(self, context: Context) -> None:
        import resource  # `limits_of` has loaded it

        number, soft, hard = self.values()
        resource.setrlimit(number, (soft, hard))

    def values(self) -> tuple[int, int, int]:
        """Number and values for setrlimit(2)."""
        import resource

        known = self.resource != "RLIMIT_LOCKS"
        number = getattr(resource, self.resource) if known else _RLIMIT_LOCKS
        return int(number), _limit(self.soft), _limit(self.hard)


def identity_steps(
    spec: Mapping[str, Any], process: Mapping[str, Any], id_maps: IdMaps
) -> list[AddUser | ResolveUser]:
    """The steps that find out, in the container's root, who a process of the spec is to be."""
    user = process.get("user", {})
    given = spec.get("annotations", {})
    name = given.get(extensions.USER)
    groups = tuple(str(g) for g in user.get("additionalGids", ()))
    groups += tuple(filter(None, given.get(extensions.GROUPS, "").split(",")))
    if name is None:
        name = f"{user.get('uid', 0)}:{user.get('gid', 0)}"
    result: list[AddUser | ResolveUser] = []
    if entry := given.get(extensions.USER_ENTRY):
        first = given.get(extensions.USER_ENTRY_FIRST) == "true"
        result.append(AddUser(entry, given[extensions.GROUP_ENTRY], first))
    result.append(
        ResolveUser(
            str(name),
            groups,
            fixed=not id_maps.helper,
            required=given.get(extensions.USER_REQUIRED) == "true",
        )
    )
    return result


def limits_of(process: Mapping[str, Any]) -> list[SetLimit]:
    """The limits of a process of the spec, and what sets them loaded: the child imports nothing."""
    rlimits = process.get("rlimits", ())
    if rlimits:
        import resource  # noqa: F401
    return [SetLimit(str(each["type"]), int(each["soft"]), int(each["hard"])) for each in rlimits]


def _limit(value: int) -> int:
    return -1 if value < 0 or value >= 2**63 else value  # RLIM_INFINITY of `resource`


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
