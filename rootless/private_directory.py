"""Directories that only their owner writes to, below directories such as /tmp in which other users may have made them
first.

/tmp/rootless-UID can be made by any user of the machine before its owner first needs it, as a directory
of theirs, as a link, or as a file; so may a directory that is named on the command line. A directory
that was found and not made is therefore looked at through a descriptor, and used only if it belongs to
this user.
"""

from __future__ import annotations

import os
import stat

from rootless.errors import HostSupportError

_LOOK = os.O_PATH | os.O_CLOEXEC
_OTHERS_WRITE = 0o002


def make_private_directory(path: str, variable: str) -> None:
    """Make `path` and its missing parents with mode 0700, or check the one that is there.

    A symbolic link of this user's to such a directory is taken too. `variable` names the setting that
    leads elsewhere, for the hint.

    Raises:
        HostSupportError: it is not a directory, belongs to another user, every user can write to it, or it cannot
            be made.
        OSError: it cannot be looked at.
    """
    try:
        found = os.open(path, _LOOK | os.O_NOFOLLOW)
    except FileNotFoundError:
        try:
            _make(path)
        except OSError as error:
            where = "" if error.filename in {None, path} else f"{error.filename}: "
            raise HostSupportError(
                f"the directory {path} cannot be made: {where}{(error.strerror or '').lower()}",
                hint=f"set {variable} to a directory that you can write to",
            ) from None
        found = os.open(path, _LOOK | os.O_NOFOLLOW)
    try:
        status = os.fstat(found)
        if stat.S_ISLNK(status.st_mode) and status.st_uid == os.geteuid():
            os.close(found)
            found = os.open(path, _LOOK)
            status = os.fstat(found)
    finally:
        os.close(found)
    reason = _reason(status)
    if reason is not None:
        raise HostSupportError(
            f"the directory {path} cannot be used: {reason}",
            hint=f"remove it, or set {variable} to a directory of your own",
        )


def _make(path: str) -> None:
    parent = os.path.dirname(path)
    if parent and not os.path.lexists(parent):
        _make(parent)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass  # another process was first: the caller checks whose it is


def _reason(status: os.stat_result) -> str | None:
    if status.st_uid != os.geteuid():
        return f"it belongs to another user (uid {status.st_uid})"
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a directory"
    if status.st_mode & _OTHERS_WRITE:
        return f"every user can write to it (mode {stat.S_IMODE(status.st_mode):04o})"
    return None
