"""Kernel overlayfs over the union: mount(8)'s `-t overlay`, in the child, between clone and exec.

The four places are named relative to the container's directory, which is the working directory
meanwhile: so no path has a colon or comma that the options would need escaped, and /proc/mounts tells
the container nothing about the host.
"""

from __future__ import annotations

import errno
import os

from rootless.syscalls import mounts

LOWER, UPPER, WORK, MERGED = "lower", "upper", "work", "rootfs"

_OPTIONS = f"userxattr,lowerdir={LOWER},upperdir={UPPER},workdir={WORK}"
_PROBE = "user.overlay.probe"


def mount_overlay(directory: str) -> int:
    """Mount upper and work over lower, which is mounted already, on rootfs; returns its root.

    Raises:
        OSError: the kernel refused, or accepted and would fail later: overlayfs mounts over an upper
            without `user.*` attributes and over one that it cannot write to, with a word in its log.
    """
    before = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.chdir(directory)
    try:
        _require_attributes(directory)
        if not os.listdir(WORK):
            _take_after_lower()
        mounts.mount("overlay", MERGED, "overlay", 0, _OPTIONS)
        if os.statvfs(MERGED).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), f"{directory}/{UPPER}")
        return os.open(MERGED, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.fchdir(before)
        os.close(before)


def _require_attributes(directory: str) -> None:
    try:
        os.setxattr(WORK, _PROBE, b"y")
        os.removexattr(WORK, _PROBE)
    except OSError as error:
        number = error.errno or errno.EIO
        raise OSError(number, os.strerror(number), f"{directory}/{WORK}") from None


def _take_after_lower() -> None:
    """The root of an overlay is its upper's: owner, mode and times are made those of the image the
    first time, which is before overlayfs has made its own directory in work."""
    root = os.stat(LOWER)
    os.chown(UPPER, root.st_uid, root.st_gid)
    os.chmod(UPPER, root.st_mode & 0o7777)
    os.utime(UPPER, ns=(root.st_atime_ns, root.st_mtime_ns))
