"""The steps that build the container's mount tree: its root, its mounts, masked and read-only paths."""

from __future__ import annotations

import fcntl
import os
import stat
import struct

from rootless.runtime.channel import send
from rootless.runtime.handshake import HandshakeMessage, MessageKind
from rootless.runtime.steps.context import (
    Context,
    MountChange,
    attach,
    attach_at,
    exists_in_root,
    open_in_root,
)
from rootless.syscalls import mount_flags, mounts, openat2
from unionfs.light_types import NamedTuple

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_PRIVATE = MountChange(propagation=mount_flags.MS_PRIVATE)
_TIOCGPTPEER = 0x5441  # asm-generic/ioctls.h; the same on x86 and arm
_TIOCSPTLCK = 0x40045431
_TIOCSWINSZ = 0x5414  # asm-generic/ioctls.h; `termios` is a shared object of its own


class DetachPropagation(NamedTuple):
    """Mounts made here stay here; mounts made on the host still arrive where a bind asks for it
    (rslave)."""

    def describe(self) -> str:
        return "make every mount a slave of the host's"

    def perform(self, context: Context) -> None:
        mounts.mount(None, "/", None, mount_flags.MS_REC | mount_flags.MS_SLAVE)


class MountUnion(NamedTuple):
    """Open /dev/fuse in this user namespace, mount, pass the descriptor to the parent: the kernel
    wants device and mount in one user namespace (fuse_fill_super)."""

    mountpoint: str
    source: str
    fstype: str
    read_only: bool
    uid: int
    gid: int

    def describe(self) -> str:
        return f"mount {self.fstype} on {self.mountpoint}"

    def perform(self, context: Context) -> None:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        data = (
            f"fd={device},rootmode=40000,user_id={self.uid},group_id={self.gid},"
            "allow_other,default_permissions"
        )
        flags = mount_flags.MS_RDONLY if self.read_only else 0
        mounts.mount(self.source, self.mountpoint, self.fstype, flags, data)
        send(context.channel, HandshakeMessage(MessageKind.FUSE, descriptor=device))
        os.close(device)
        context.root = os.open(self.mountpoint, _DIRECTORY)


class EnterUnion(NamedTuple):
    """Take the directory `name` of the union as root in place of node 1, whose ACLs the kernel does not keep: it makes
    that inode before it knows that the server has ACLs (fuse_init_inode), and would ask at every absolute path of a process
    that does not own the root. See docs/decisions/1851."""

    mountpoint: str
    name: str

    def describe(self) -> str:
        return f"enter {self.name} of the union"

    def perform(self, context: Context) -> None:
        try:
            tree = mounts.open_tree(f"{self.mountpoint}/{self.name}")
        except PermissionError:
            return  # a root of another user that no other may search: node 1 is the same directory
        attach_at(tree, context.root, _PRIVATE)
        os.close(context.root)
        context.root = tree


class BindRoot(NamedTuple):
    """A plain directory, opened by OpenSource under `key`, as root."""

    key: int
    path: str

    def describe(self) -> str:
        return f"bind the root {self.path}"

    def perform(self, context: Context) -> None:
        tree = context.sources.pop(self.key)
        # pivot_root(2) refuses a root whose parent is shared, and a shared root would carry the
        # container's mounts to the host.
        at = os.open(self.path, _DIRECTORY)
        attach_at(tree, at, _PRIVATE)
        os.close(at)
        context.root = tree


class EnterRoot(NamedTuple):
    """pivot_root(2), and the host's tree is detached."""

    def describe(self) -> str:
        return "enter the root"

    def perform(self, context: Context) -> None:
        os.fchdir(context.root)
        # The old root is stacked on the new one's "/" and taken off again: no directory for it is
        # needed (pivot_root(2), NOTES).
        mounts.pivot_root(".", ".")
        mounts.umount2(".", mount_flags.MNT_DETACH)
        os.chdir("/")
        os.close(context.root)
        context.root = os.open("/", _DIRECTORY)


class ProtectRoot(NamedTuple):
    def describe(self) -> str:
        return "make the root read-only"

    def perform(self, context: Context) -> None:
        if mounts.has_mount_setattr():
            mounts.mount_setattr(context.root, attr_set=mount_flags.MOUNT_ATTR_RDONLY)
        else:
            from rootless.runtime.steps import bind_remount  # the parent has loaded it

            bind_remount.set_attributes("/", mount_flags.MOUNT_ATTR_RDONLY)


class OpenSource(NamedTuple):
    """Take a detached copy of a mount of the host while the caller's groups and the host's tree are
    still there."""

    key: int
    path: str
    recursive: bool

    def describe(self) -> str:
        return f"open the bind source {self.path}"

    def perform(self, context: Context) -> None:
        context.sources[self.key] = mounts.open_tree(self.path, recursive=self.recursive)


class TakeTree(NamedTuple):
    """Take the detached mount that the parent has brought, or of a path inside it. For the
    latter it is attached for a moment to `place`, a directory of the host, because the kernel clones only
    what is attached (open_tree(2)).
    """

    key: int
    source: str
    subpath: str
    place: str

    def describe(self) -> str:
        inside = f" at {self.subpath}" if self.subpath else ""
        return f"take the mount of {self.source}{inside}"

    def perform(self, context: Context) -> None:
        tree = context.trees.pop(self.key)
        if self.subpath:
            at = os.open(self.place, _DIRECTORY)
            mounts.move_mount(tree, at)
            os.close(at)
            resolve = openat2.RESOLVE_IN_ROOT | openat2.RESOLVE_NO_MAGICLINKS
            inside = openat2.openat2(tree, self.subpath, os.O_PATH, resolve=resolve)
            os.close(tree)
            tree = mounts.open_tree(inside)
            os.close(inside)
            mounts.umount2(self.place, mount_flags.MNT_DETACH)
        context.sources[self.key] = tree


class AttachSource(NamedTuple):
    """Attach what OpenSource took. `propagation` is an MS_* flag; `optional` leaves it out where
    the target's directory is missing."""

    key: int
    source: str
    target: str
    attributes: int
    recursive_attributes: int
    propagation: int
    optional: bool

    def describe(self) -> str:
        return f"bind {self.source} on {self.target}"

    def perform(self, context: Context) -> None:
        tree = context.sources.pop(self.key)
        if self.optional and not exists_in_root(context, self.target.rpartition("/")[0] or "/"):
            os.close(tree)
            return
        attach(
            context,
            tree,
            self.target,
            MountChange(propagation=self.propagation),
            MountChange(self.attributes, recursive=False),
            MountChange(self.recursive_attributes),
        )


class BindInRoot(NamedTuple):
    """A directory of the root mounted on itself: it stays writable when the root's mount becomes read-only."""

    path: str

    def describe(self) -> str:
        return f"bind {self.path} on itself"

    def perform(self, context: Context) -> None:
        at = open_in_root(context, self.path)
        tree = mounts.open_tree(at, recursive=True)
        attach_at(tree, at, _PRIVATE)
        os.close(tree)
        os.close(at)


class GiveToUser(NamedTuple):
    """Make the container's user the owner of what is mounted on `target` (-v with U of podman), unless it is
    already the owner of the mount's root."""

    target: str

    def describe(self) -> str:
        return f"give {self.target} to the container's user"

    def perform(self, context: Context) -> None:
        owner = (context.identity.uid, context.identity.gid)
        top = open_in_root(context, self.target, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        found = os.fstat(top)
        if (found.st_uid, found.st_gid) != owner:
            if stat.S_ISDIR(found.st_mode):
                _give(top, owner)
            os.fchown(top, *owner)
        os.close(top)


def _give(directory: int, owner: tuple[int, int]) -> None:
    """Everything below a directory."""
    for name in os.listdir(directory):
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            inner = os.open(name, flags, dir_fd=directory)
            _give(inner, owner)
            os.fchown(inner, *owner)
            os.close(inner)
        else:
            os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)


class Mount(NamedTuple):
    """A new file system at `target`. `options` are the file system's, `attributes` MOUNT_ATTR_*
    bits."""

    target: str
    fstype: str
    source: str
    options: tuple[str, ...]
    attributes: int

    def describe(self) -> str:
        return f"mount {self.fstype} on {self.target}"

    def perform(self, context: Context) -> None:
        tree = mounts.new_mount(self.fstype, self.source, self.options, self.attributes)
        attach(context, tree, self.target)


class MakeSymlink(NamedTuple):
    target: str
    path: str

    def describe(self) -> str:
        return f"link {self.path} to {self.target}"

    def perform(self, context: Context) -> None:
        head, _, name = self.path.rpartition("/")
        parent = open_in_root(context, head or "/")
        os.symlink(self.target, name, dir_fd=parent)
        os.close(parent)


class AllocateTerminal(NamedTuple):
    """A terminal of the container's own devpts: bound on /dev/console, made the controlling
    terminal later; its master goes to the parent."""

    rows: int
    columns: int

    def describe(self) -> str:
        return "allocate the container's terminal"

    def perform(self, context: Context) -> None:
        open_terminal(context, self.rows, self.columns)
        attach(context, mounts.open_tree(context.terminal), "/dev/console")


class OpenTerminal(NamedTuple):
    """A further terminal of the container's devpts, for a process that joins the container."""

    rows: int
    columns: int

    def describe(self) -> str:
        return "allocate a terminal in the container"

    def perform(self, context: Context) -> None:
        open_terminal(context, self.rows, self.columns)


def open_terminal(context: Context, rows: int, columns: int) -> None:
    """Allocate a terminal of the container's devpts as `context.terminal`; its master goes to the parent."""
    master = open_in_root(context, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    context.terminal = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    if rows and columns:
        fcntl.ioctl(master, _TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    send(context.channel, HandshakeMessage(MessageKind.CONSOLE, descriptor=master))
    os.close(master)


class MaskPath(NamedTuple):
    """A file becomes /dev/null, a directory an empty one. A missing path needs no mask."""

    path: str

    def describe(self) -> str:
        return f"mask {self.path}"

    def perform(self, context: Context) -> None:
        try:
            at = open_in_root(context, self.path)
        except (FileNotFoundError, NotADirectoryError):
            return
        if stat.S_ISDIR(os.stat(at).st_mode):
            attributes = (
                mount_flags.MOUNT_ATTR_RDONLY
                | mount_flags.MOUNT_ATTR_NOSUID
                | mount_flags.MOUNT_ATTR_NODEV
            )
            tree = mounts.new_mount("tmpfs", "tmpfs", ("size=0k",), attributes)
        else:
            tree = mounts.open_tree("/dev/null")
        mounts.move_mount(tree, at)
        os.close(tree)
        os.close(at)


class ProtectPath(NamedTuple):
    """A path and all mounts below it become read-only. A missing path is left out."""

    path: str

    def describe(self) -> str:
        return f"make {self.path} read-only"

    def perform(self, context: Context) -> None:
        try:
            at = open_in_root(context, self.path)
        except (FileNotFoundError, NotADirectoryError):
            return
        tree = mounts.open_tree(at, recursive=True)
        attach_at(tree, at, MountChange(mount_flags.MOUNT_ATTR_RDONLY))
        os.close(tree)
        os.close(at)
