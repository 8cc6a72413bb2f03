"""How each step is done. Runs in the child, between clone and exec: standard library and system
calls only.

A place inside the container is always reached by openat2(2) with RESOLVE_IN_ROOT and used as a
descriptor, so a symbolic link in an image or a volume cannot lead a mount onto the host's tree.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import stat
import struct
import termios

from rootless.light_stdlib import socket
from rootless.runtime import steps
from rootless.runtime.handshake import Kind, Message, send
from rootless.runtime.overlay import mount_overlay
from rootless.runtime.steps import Step
from rootless.runtime.userdb import Identity, UnknownUserError, find_identity
from rootless.syscalls import identity, mounts, processes
from rootless.syscalls.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

_TIOCGPTPEER = 0x5441  # asm-generic/ioctls.h; the same on x86 and arm
_TIOCSPTLCK = 0x40045431
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_USER_FILE_LIMIT = 16 * 1024 * 1024
_LINK_LIMIT = 40


_NOBODY_YET = Identity(0, 0, (), "/")


class Context:
    """What the steps hand on to each other. Descriptors die with the process or at exec."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.root = -1
        self.sources: dict[int, int] = {}
        self.terminal = -1
        self.identity = _NOBODY_YET


def perform(step: Step, context: Context) -> None:
    """Do one step.

    Raises:
        OSError: the kernel refused.
        UnknownUserError: a user or group without an entry.
    """
    match step:
        case (
            steps.DetachPropagation()
            | steps.OpenSource()
            | steps.MountUnion()
            | steps.MountOverlay()
            | steps.BindRoot()
        ):
            _from_the_host(step, context)
        case steps.Mount() | steps.AttachSource() | steps.MakeSymlink() | steps.AllocateTerminal():
            _place_in_root(step, context)
        case steps.MaskPath() | steps.ProtectPath() | steps.ProtectRoot():
            _restrict(step, context)
        case steps.EnterRoot():
            _enter_root(context)
        case steps.ResolveUser():
            context.identity = _resolve_user(step)
        case steps.ChangeDirectory():
            _change_directory(step.path)
        case _:
            _set(step)


def _from_the_host(
    step: steps.DetachPropagation
    | steps.OpenSource
    | steps.MountUnion
    | steps.MountOverlay
    | steps.BindRoot,
    context: Context,
) -> None:
    """What is done with the caller's ids and groups, on the host's tree."""
    match step:
        case steps.DetachPropagation():
            mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_SLAVE)
        case steps.OpenSource():
            context.sources[step.key] = mounts.open_tree(step.path, recursive=step.recursive)
        case steps.MountUnion():
            _mount_union(step, context)
        case steps.MountOverlay():
            lower, context.root = context.root, -1
            os.close(lower)
            context.root = mount_overlay(step.directory)
        case steps.BindRoot():
            _bind_root(step, context)


def _place_in_root(
    step: steps.Mount | steps.AttachSource | steps.MakeSymlink | steps.AllocateTerminal,
    context: Context,
) -> None:
    match step:
        case steps.Mount():
            tree = mounts.new_mount(step.fstype, step.source, step.options, step.attributes)
            _attach(context, tree, step.target)
        case steps.AttachSource():
            _attach_source(step, context)
        case steps.MakeSymlink():
            _make_symlink(step, context)
        case steps.AllocateTerminal():
            _allocate_terminal(step, context)


def _restrict(
    step: steps.MaskPath | steps.ProtectPath | steps.ProtectRoot, context: Context
) -> None:
    match step:
        case steps.MaskPath():
            _mask(step.path, context)
        case steps.ProtectPath():
            _protect(step.path, context)
        case steps.ProtectRoot():
            mounts.mount_setattr(context.root, attr_set=mounts.MOUNT_ATTR_RDONLY)


def _set(step: Step) -> None:
    """The steps that set one thing of the process or its namespaces."""
    match step:
        case steps.BecomeSetupUser():
            _become_setup_user(step)
        case steps.WriteSysctl():
            with open("/proc/sys/" + step.name.replace(".", "/"), "wb") as file:
                file.write(os.fsencode(step.value))
        case steps.SetHostname():
            processes.sethostname(step.hostname)
            if step.domainname:
                processes.setdomainname(step.domainname)
        case steps.JoinCgroupNamespace():
            processes.unshare(processes.CLONE_NEWCGROUP)
        case steps.RaiseLoopback():
            _raise_loopback()
        case steps.SetLimit():
            number = getattr(resource, step.resource)
            resource.setrlimit(number, (_limit(step.soft), _limit(step.hard)))
        case steps.AdjustOomScore():
            with open("/proc/self/oom_score_adj", "wb") as file:
                file.write(b"%d" % step.value)
        case steps.SetUmask():
            os.umask(step.mask)
        case _:
            raise AssertionError(step)


def _limit(value: int) -> int:
    return resource.RLIM_INFINITY if value < 0 or value >= 2**63 else value


def _become_setup_user(step: steps.BecomeSetupUser) -> None:
    if step.drop_groups:
        identity.setgroups(())
    identity.setresgid(step.gid)
    identity.setresuid(step.uid)
    # A change of id made the process non-dumpable, which would hide /proc/PID/ns from whoever
    # configures the network.
    processes.prctl(processes.PR_SET_DUMPABLE, 1)


def _mount_union(step: steps.MountUnion, context: Context) -> None:
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    data = (
        f"fd={device},rootmode=40000,user_id={step.uid},group_id={step.gid},"
        "allow_other,default_permissions"
    )
    flags = mounts.MS_RDONLY if step.read_only else 0
    mounts.mount(step.source, step.mountpoint, step.fstype, flags, data)
    send(context.channel, Message(Kind.FUSE, descriptor=device))
    os.close(device)
    context.root = os.open(step.mountpoint, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _bind_root(step: steps.BindRoot, context: Context) -> None:
    tree = context.sources.pop(step.key)
    # pivot_root(2) refuses a root whose parent is shared, and a shared root would carry our mounts
    # to the host.
    mounts.mount_setattr(tree, propagation=mounts.MS_PRIVATE, recursive=True)
    place = os.open(step.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mounts.move_mount(tree, place)
    os.close(place)
    context.root = tree


def inside(context: Context, path: str, flags: int = os.O_PATH) -> int:
    return openat2(context.root, path, flags, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def place(context: Context, path: str, *, directory: bool, links: int = 0) -> int:
    """A descriptor of `path` in the container, made with its parents when missing (a dangling
    link's target is made, within the root, as Docker does)."""
    try:
        return inside(context, path)
    except FileNotFoundError:
        pass
    head, _, name = path.rstrip("/").rpartition("/")
    parent = place(context, head or "/", directory=True, links=links)
    try:
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
            os.close(os.open(name, flags, 0o644, dir_fd=parent))
    except FileExistsError:
        if links == _LINK_LIMIT:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
        target = os.readlink(name, dir_fd=parent)
        onward = target if target.startswith("/") else f"{head}/{target}"
        return place(context, onward, directory=directory, links=links + 1)
    finally:
        os.close(parent)
    return inside(context, path)


def _attach(context: Context, tree: int, target: str) -> None:
    is_directory = stat.S_ISDIR(os.stat(tree).st_mode)
    at = place(context, target, directory=is_directory)
    mounts.move_mount(tree, at)
    os.close(at)
    os.close(tree)


def _has_parent(context: Context, target: str) -> bool:
    try:
        os.close(inside(context, target.rpartition("/")[0] or "/"))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _attach_source(step: steps.AttachSource, context: Context) -> None:
    tree = context.sources.pop(step.key)
    if step.optional and not _has_parent(context, step.target):
        os.close(tree)
        return
    mounts.mount_setattr(tree, propagation=step.propagation, recursive=True)
    for attributes, recursive in ((step.attributes, False), (step.recursive_attributes, True)):
        if attributes:
            # The three ways of access times are one field, which has to be cleared to be set.
            cleared = mounts.MOUNT_ATTR__ATIME if attributes & mounts.MOUNT_ATTR__ATIME else 0
            mounts.mount_setattr(tree, attr_set=attributes, attr_clr=cleared, recursive=recursive)
    _attach(context, tree, step.target)


def _make_symlink(step: steps.MakeSymlink, context: Context) -> None:
    head, _, name = step.path.rpartition("/")
    parent = inside(context, head or "/")
    os.symlink(step.target, name, dir_fd=parent)
    os.close(parent)


def _allocate_terminal(step: steps.AllocateTerminal, context: Context) -> None:
    master = inside(context, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    terminal = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    if step.rows and step.columns:
        size = struct.pack("HHHH", step.rows, step.columns, 0, 0)
        fcntl.ioctl(master, termios.TIOCSWINSZ, size)
    _attach(context, mounts.open_tree(terminal), "/dev/console")
    send(context.channel, Message(Kind.CONSOLE, descriptor=master))
    os.close(master)
    context.terminal = terminal


def _mask(path: str, context: Context) -> None:
    """A file becomes /dev/null, a directory an empty one. What is not there needs no mask."""
    try:
        at = inside(context, path)
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(os.stat(at).st_mode):
        attributes = mounts.MOUNT_ATTR_RDONLY | mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NODEV
        tree = mounts.new_mount("tmpfs", "tmpfs", ("size=0k",), attributes)
    else:
        tree = mounts.open_tree("/dev/null")
    mounts.move_mount(tree, at)
    os.close(tree)
    os.close(at)


def _protect(path: str, context: Context) -> None:
    try:
        at = inside(context, path)
    except (FileNotFoundError, NotADirectoryError):
        return
    tree = mounts.open_tree(at, recursive=True)
    mounts.mount_setattr(tree, attr_set=mounts.MOUNT_ATTR_RDONLY, recursive=True)
    mounts.move_mount(tree, at)
    os.close(tree)
    os.close(at)


def _enter_root(context: Context) -> None:
    os.fchdir(context.root)
    # The old root is stacked on the new one's "/" and taken off again: no directory for it is
    # needed (pivot_root(2), NOTES).
    mounts.pivot_root(".", ".")
    mounts.umount2(".", mounts.MNT_DETACH)
    os.chdir("/")
    os.close(context.root)
    context.root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _raise_loopback() -> None:
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    request = struct.pack("16sH22x", b"lo", 0)
    (flags,) = struct.unpack_from("H", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)
    fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))
    control.close()


def _resolve_user(step: steps.ResolveUser) -> Identity:
    found = find_identity(
        step.user, _user_file("/etc/passwd"), _user_file("/etc/group"), step.groups
    )
    if step.fixed:
        if step.required and found.uid != os.getuid():
            raise UnknownUserError(
                f"cannot become {step.user}: the account has no subordinate ids, "
                f"so {os.getuid()} is the only user"
            )
        return Identity(os.getuid(), os.getgid(), (), found.home)
    # Now, while files can be opened whatever --ulimit nofile will say.
    _check_mapped(found)
    return found


def _check_mapped(identity: Identity) -> None:
    for name, numbers in (("uid", [identity.uid]), ("gid", [identity.gid, *identity.groups])):
        with open(f"/proc/self/{name}_map", "rb") as file:
            ranges = [tuple(map(int, line.split())) for line in file]
        for number in numbers:
            if not any(first <= number < first + size for first, _, size in ranges):
                raise UnknownUserError(f"{name} {number} is not in the id map of the container")


def _user_file(path: str) -> bytes:
    """Empty when there is none. Never waits on a FIFO, never reads without end."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b""
        return file.read(_USER_FILE_LIMIT)


def _change_directory(path: str) -> None:
    """Never through a magic link: /proc/self/fd/N could be a directory of the host that is still
    open (CVE-2024-21626)."""
    os.makedirs(path, 0o755, exist_ok=True)
    directory = openat2(
        mounts.AT_FDCWD, path, os.O_PATH | os.O_DIRECTORY, resolve=RESOLVE_NO_MAGICLINKS
    )
    os.fchdir(directory)
    os.close(directory)
