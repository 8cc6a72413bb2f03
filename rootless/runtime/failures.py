"""Turns failures of a process between clone and exec into errors for the user. Imported only for a failure."""

from __future__ import annotations

import errno
import posix

from rootless.errors import CommandNotExecutableError, CommandNotFoundError, LaunchError
from rootless.runtime.failure import LISTENING
from rootless.runtime.refused_namespaces import remedy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.runtime.failure import Failure


_EMULATOR = (
    "a program for another platform needs an emulator that is registered with binfmt_misc, such as "
    "qemu-user-static"
)


def launch_error(failure: Failure) -> LaunchError:
    """The error for what the process reported."""
    reason = posix.strerror(failure.errno).lower() if failure.errno else ""
    if failure.stage == "chdir" and failure.path is not None:
        # Docker's status: 127.
        return CommandNotFoundError(f'chdir to cwd ("{failure.path}") failed: {reason}')
    if failure.stage == "exec" and failure.path is not None:
        return _command_error(failure, reason)
    where = f" ({failure.path})" if failure.path and failure.path not in failure.step else ""
    what = f"cannot {failure.step}{where}: {reason}" if reason else failure.step
    details = {"stage": failure.stage, "errno": failure.errno, "path": failure.path}
    return LaunchError(what, hint=_hint(failure), details=details)


def _hint(failure: Failure) -> str | None:
    """What to do about the refusals that have one well-known reason."""
    if failure.path == "/dev/fuse":
        if failure.errno in {errno.EACCES, errno.EPERM}:
            return "the account must be able to open /dev/fuse: ask for mode 0666"
        return "FUSE is not there: ask for modprobe fuse"
    if failure.step.startswith("mount proc ") and failure.errno == errno.EPERM:
        return (
            "the engine runs in a container whose /proc has masked paths: start that one without them, "
            "or this one in the pid namespace that is there"
        )
    if failure.step.startswith("mount fuse.") and failure.errno == errno.ENODEV:
        return "FUSE is not there: ask for modprobe fuse"
    if failure.step.startswith("mount kernel overlayfs "):
        if failure.errno == errno.EPERM:
            return "kernel overlayfs of ordinary users needs Linux 5.11 or later"
        return (
            "kernel overlayfs needs the container's directory on a file system with user attributes and whiteouts, as local "
            "disks are"
        )
    if failure.step.startswith("make every mount a slave ") and failure.errno in {
        errno.EACCES,
        errno.EPERM,
    }:
        return remedy(("user",)) or None
    if failure.step == "enter a new cgroup namespace" and failure.errno == errno.ENOSPC:
        return remedy(("cgroup",)) or None
    if failure.step == LISTENING:
        return "use --chown=pretend: of engines in containers of each other, one can record owners"
    if failure.step.startswith("set limit ") and failure.errno == errno.EPERM:
        return "a limit cannot be above the hard limit of the process that starts the container"
    return None


def _command_error(failure: Failure, reason: str) -> LaunchError:
    if failure.step == "search PATH":
        return CommandNotFoundError(f'exec: "{failure.path}": executable file not found in $PATH')
    text = f'exec: "{failure.path}": {reason}'
    if failure.errno in {errno.ENOENT, errno.ENOTDIR}:
        return CommandNotFoundError(text)
    if failure.errno == errno.EISDIR:
        text += ": permission denied"
    hint = _EMULATOR if failure.errno == errno.ENOEXEC else None
    return CommandNotExecutableError(text, hint=hint, details={"errno": failure.errno})
