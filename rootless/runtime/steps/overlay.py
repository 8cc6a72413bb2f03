"""The step that mounts kernel overlayfs over the union, as mount(8) does with `-t overlay`.

The four places are named relative to the container's directory, which is the working directory
meanwhile: so no path has a colon or comma that the options would need escaped, and /proc/mounts tells
the container nothing about the host.
"""

from __future__ import annotations

import errno
import os

from rootless.runtime.steps.context import Context, exists_in_root
from rootless.syscalls import mount_flags, mounts
from unionfs.light_types import NamedTuple

LOWER, UPPER, WORK, MERGED = "lower", "upper", "work", "rootfs"

_OPTIONS = f"userxattr,lowerdir={LOWER},upperdir={UPPER},workdir={WORK}"
_UPPER_IN_MEMORY, _WORK_IN_MEMORY = f"{UPPER}/{UPPER}", f"{UPPER}/{WORK}"
_PROBE = "user.overlay.probe"


class BindLower(NamedTuple):
    """A directory of the host in the place of a union."""

    path: str
    lower: str

    def describe(self) -> str:
        return f"bind {self.path} on {self.lower}"

    def perform(self, context: Context) -> None:
        mounts.mount(self.path, self.lower, None, mount_flags.MS_BIND)
        context.root = os.open(self.lower, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


class AttachLower(NamedTuple):
    """The detached mount that the parent has brought under `key`, in the place of a union."""

    key: int
    lower: str

    def describe(self) -> str:
        return f"attach the shared mount of the image to {self.lower}"

    def perform(self, context: Context) -> None:
        place = os.open(self.lower, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        # The descriptor of the mount is one of its root, wherever it is attached.
        context.root = context.trees.pop(self.key)
        mounts.move_mount(context.root, place)
        os.close(place)


class MountOverlayInMemory(NamedTuple):
    """As MountOverlay, with upper and work in a tmpfs, and only if lower lacks one of the paths `targets`, which are to
    be mounted on: the root becomes read-only. None: in any case, because files are changed before.
    """

    directory: str
    targets: tuple[str, ...] | None

    def describe(self) -> str:
        return (
            f"mount kernel overlayfs in memory on {self.directory}/rootfs for missing mount points"
        )

    def perform(self, context: Context) -> None:
        targets = self.targets
        if targets is not None and all(exists_in_root(context, target) for target in targets):
            return
        os.close(context.root)
        context.root = -1
        memory = f"{self.directory}/{UPPER}"
        mounts.mount("tmpfs", memory, "tmpfs", 0, "size=1m,mode=755")
        with _WorkingDirectory(self.directory):
            for name in (_UPPER_IN_MEMORY, _WORK_IN_MEMORY):
                os.mkdir(name)
            _take_after_lower(_UPPER_IN_MEMORY)
            options = (
                f"userxattr,lowerdir={LOWER},upperdir={_UPPER_IN_MEMORY},workdir={_WORK_IN_MEMORY}"
            )
            mounts.mount("overlay", MERGED, "overlay", 0, options)
            context.root = os.open(MERGED, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


class MountOverlay(NamedTuple):
    """Kernel overlayfs over what the step before has mounted on lower below `directory`."""

    directory: str
    volatile: bool

    def describe(self) -> str:
        return f"mount kernel overlayfs on {self.directory}/rootfs"

    def perform(self, context: Context) -> None:
        lower, context.root = context.root, -1
        os.close(lower)
        context.root = _mount(self.directory, volatile=self.volatile)


def _mount(directory: str, *, volatile: bool) -> int:
    """Mount upper and work over lower, which is mounted already, on rootfs; returns its root.

    Raises:
        OSError: the kernel refused, or accepted and would fail later: overlayfs mounts over an upper
            without `user.*` attributes and over one that it cannot write to, with a word in its log.
    """
    with _WorkingDirectory(directory):
        _require_attributes(directory)
        if not os.listdir(WORK):
            _take_after_lower(UPPER)
        options = f"{_OPTIONS},volatile" if volatile else _OPTIONS
        mounts.mount("overlay", MERGED, "overlay", 0, options)
        if os.statvfs(MERGED).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), f"{directory}/{UPPER}")
        return os.open(MERGED, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


class _WorkingDirectory:
    """The working directory of a block."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._before = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.chdir(self._path)

    def __exit__(self, *_: object) -> None:
        os.fchdir(self._before)
        os.close(self._before)


def _require_attributes(directory: str) -> None:
    try:
        os.setxattr(WORK, _PROBE, b"y")
        os.removexattr(WORK, _PROBE)
    except OSError as error:
        number = error.errno or errno.EIO
        raise OSError(number, os.strerror(number), f"{directory}/{WORK}") from None


def _take_after_lower(upper: str) -> None:
    """The root of an overlay is its upper's: owner, mode and times are made those of the image the
    first time, which is before overlayfs has made its own directory in work."""
    root = os.stat(LOWER)
    os.chown(upper, root.st_uid, root.st_gid)
    os.chmod(upper, root.st_mode & 0o7777)
    os.utime(upper, ns=(root.st_atime_ns, root.st_mtime_ns))
