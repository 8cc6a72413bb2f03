"""A failure between clone and exec as a value, and the errors that are more than one of the kernel. Pure."""

from __future__ import annotations

import errno
import sys

from rootless.runtime.userdb import UnknownUserError
from unionfs.light_types import NamedTuple


class Failure(NamedTuple):
    """A failure in the child: `stage` is `set up`, `chdir` or `exec`, `step` its description, `errno` 0 where the
    kernel gave none, `path` the object where there is one.
    """

    stage: str
    step: str
    errno: int
    path: str | None = None


LISTENING = "get a seccomp listener, which recording owners takes"
"""The step that fails when the kernel refuses one."""


class HookError(Exception):
    """A hook of the spec did not succeed. The message is one line."""


class ListenerRefusedError(OSError):
    """The kernel gives no listener for the notifications of a filter."""


class NotFoundInPathError(FileNotFoundError):
    """No directory of PATH has the command."""


def failure_of(stage: str, doing: str, error: BaseException) -> Failure:
    """The failure of the step that `doing` describes."""
    number, path = 0, None
    if isinstance(error, OSError):
        number = error.errno or errno.EIO
        path = _text(error.filename)
        if isinstance(error, NotFoundInPathError):
            doing = "search PATH"
        elif isinstance(error, ListenerRefusedError):
            stage, doing = "set up", LISTENING
    elif isinstance(error, UnknownUserError | HookError):
        doing = str(error)
    elif isinstance(error, ValueError):
        doing = f"{doing}: {error}"  # of os and resource, about an argument: a null byte, a limit
    else:
        doing = f"{doing}: {type(error).__name__}: {error}"
    return Failure(stage, doing, number, path)


def _text(name: object) -> str | None:
    if isinstance(name, bytes):
        return name.decode(sys.getfilesystemencoding(), "surrogateescape")
    return None if name is None else str(name)
