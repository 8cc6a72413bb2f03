"""The base of the steps, the state that they share, and how a step opens a path of the container.

A path that the root file system, a mount or a spec supplies is opened by openat2(2) with RESOLVE_IN_ROOT and
used as a descriptor from then on, so that a symbolic link cannot lead a step onto the host's tree.
RESOLVE_NO_MAGICLINKS refuses the links of /proc/PID/fd, cwd, root and exe, which lead out of any
root, to what the engine or its caller has open (CVE-2024-21626).
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.light_stdlib import socket
from rootless.runtime.userdb import Identity
from rootless.syscalls import mount_flags, mounts
from rootless.syscalls.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from unionfs.light_types import NamedTuple

_LINK_LIMIT = 40  # MAXSYMLINKS of the kernel

_NO_TREES: Mapping[int, int] = {}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    class Step(Protocol):
        """One action of the child."""

        def describe(self) -> str:
            """The action in a few words that fit after `cannot`: a line of the plan's description, and
            what an error names."""
            ...

        def perform(self, context: Context) -> None:
            """Do it.

            Raises:
                OSError: the kernel refused.
                UnknownUserError: a user or group has no entry in the container's files.
            """
            ...


class Context:
    """The state that steps share. Descriptors are closed by exec, or by the end of the process."""

    __slots__ = ("channel", "identity", "keeps_ids", "root", "sources", "terminal", "trees")

    def __init__(self, channel: socket.socket, trees: Mapping[int, int] = _NO_TREES) -> None:
        self.channel = channel
        self.root = -1
        """An O_PATH descriptor of the container's root, -1 before there is one."""
        self.sources: dict[int, int] = {}
        """Detached mounts that OpenSource or TakeTree took, by key."""
        self.trees = dict(trees)
        """Detached mounts that the parent has brought, by key."""
        self.terminal = -1
        self.identity = Identity(0, 0, (), "/")
        """Set by ResolveUser."""
        self.keeps_ids = False
        """The container has a single id: the process keeps the ids that the set-up has."""


def open_in_root(context: Context, path: str, flags: int = os.O_PATH) -> int:
    """A descriptor of `path`. Raises OSError; ELOOP for a magic link."""
    return openat2(context.root, path, flags, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def open_or_make(context: Context, path: str, *, directory: bool, links: int = 0) -> int:
    """A descriptor of `path`, which is made with its parents where it is missing. The
    target of a dangling link is made, beneath the root."""
    try:
        return open_in_root(context, path)
    except FileNotFoundError:
        pass
    head, _, name = path.rstrip("/").rpartition("/")
    parent = open_or_make(context, head or "/", directory=True, links=links)
    try:
        if not directory:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
            return os.open(name, flags, 0o644, dir_fd=parent)
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        if links == _LINK_LIMIT:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
        target = os.readlink(name, dir_fd=parent)
        onward = target if target.startswith("/") else f"{head}/{target}"
        return open_or_make(context, onward, directory=directory, links=links + 1)
    finally:
        os.close(parent)
    return open_in_root(context, path)


def exists_in_root(context: Context, path: str) -> bool:
    try:
        os.close(open_in_root(context, path))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


class MountChange(NamedTuple):
    """What mount_setattr(2) sets: MOUNT_ATTR_* bits and an MS_* flag of propagation, with `recursive` also for the
    mounts below."""

    attributes: int = 0
    propagation: int = 0
    recursive: bool = True


def attach(context: Context, tree: int, target: str, *changes: MountChange) -> None:
    """Change a detached mount and attach it to `target`, which is made where it is missing. Closes `tree`."""
    is_directory = stat.S_ISDIR(os.stat(tree).st_mode)
    at = open_or_make(context, target, directory=is_directory)
    if stat.S_ISDIR(os.fstat(at).st_mode) is not is_directory:
        # move_mount(2) reports EINVAL.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    attach_at(tree, at, *changes)
    os.close(at)
    os.close(tree)


def attach_at(tree: int, at: int, *changes: MountChange) -> None:
    """Change a detached mount and attach it to the place that `at` is a descriptor of."""
    changes = tuple(each for each in changes if each.attributes or each.propagation)
    if mounts.has_mount_setattr():
        for change in changes:
            # The three ways of access times are one field, which has to be cleared to be set.
            has_times = change.attributes & mount_flags.MOUNT_ATTR__ATIME
            mounts.mount_setattr(
                tree,
                attr_set=change.attributes,
                attr_clr=mount_flags.MOUNT_ATTR__ATIME if has_times else 0,
                propagation=change.propagation,
                recursive=change.recursive,
            )
        mounts.move_mount(tree, at)
        return
    from rootless.runtime.steps import bind_remount  # the parent has loaded it

    # mount(2) changes attached mounts only. Nothing of the container runs yet.
    mounts.move_mount(tree, at)
    own = f"/proc/self/fd/{tree}"
    for change in changes:
        if change.propagation:
            bind_remount.set_propagation(own, change.propagation)
        if change.attributes:
            bind_remount.set_attributes(own, change.attributes)
            for path in bind_remount.below(tree) if change.recursive else ():
                bind_remount.set_attributes(path, change.attributes)
