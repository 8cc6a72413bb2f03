"""The directory that the configuration names for writable layers (`uppers`), such as a local disk of a node whose home is
on a network file system:

    UPPERS/rootless-<uid>/               mode 0700
    UPPERS/rootless-<uid>/<id>/          upper and work of a container, removed with it; `container` is a link to its directory
    UPPERS/rootless-<uid>/build-<pid>-<start>-<number>/  of a step of a build; the next build removes those of processes
                                         that have ended

UPPERS may be a directory that every user writes to, as /tmp is; then it has to be sticky.
"""

from __future__ import annotations

import os
import stat
import time

from rootless.containers.delete_tree import remove_container_tree
from rootless.containers.process_identity import is_alive, start_time
from rootless.containers.writable_layers.place import make_layer
from rootless.durable import remove_tree
from rootless.errors import HostSupportError
from rootless.private_directory import make_private_directory
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_BUILD = "build-"
_CONTAINER = "container"
_LOOK = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Uppers(NamedTuple):
    """`text`: the directory, with variables ($USER, ${TMPDIR}) that are replaced when it is needed. `origin`: the file or
    variable that names it.
    """

    text: str
    origin: str

    def directory(self, environ: Mapping[str, str]) -> str:
        """The directory of this user's in it, made if there is none.

        Raises HostSupportError if it cannot be made or is not this user's alone.
        """
        place = self.place(environ)
        try:
            return _own_directory(place, self.origin)
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise self._unusable(place, reason) from None
        except _UnusableError as error:
            raise self._unusable(place, str(error)) from None

    def place(self, environ: Mapping[str, str]) -> str:
        """The path without variables. Raises HostSupportError if one is not set."""
        pieces = []
        rest = self.text
        while rest:
            plain, dollar, rest = rest.partition("$")
            pieces.append(plain)
            if dollar:
                name, rest = _variable(rest)
                value = environ.get(name) or (_user_name() if name == "USER" else "")
                if not value:
                    raise HostSupportError(
                        f"writable layers cannot be kept in {self.text} ({self.origin}): {name} is not set",
                        hint=f"set {name}, or use --writable-tmpfs",
                    )
                pieces.append(value)
        path = os.path.normpath("".join(pieces))
        if not path.startswith("/"):
            raise self._unusable(path, "it is not an absolute path")
        return path

    def new_layer(self, container: str, environ: Mapping[str, str]) -> str:
        """Make the directories of the layer of the container with this directory, which is named by its id; returns the
        one that holds them. Raises HostSupportError.
        """
        directory = self.directory(environ)
        place = f"{directory}/{os.path.basename(container)}"
        try:
            os.mkdir(place, 0o700)
            os.symlink(container, f"{place}/{_CONTAINER}")
            make_layer(place)
        except OSError as error:
            raise self._unusable(directory, (error.strerror or "").lower()) from None
        return place

    def _unusable(self, path: str, reason: str) -> HostSupportError:
        return HostSupportError(
            f"writable layers cannot be kept in {path} ({self.origin}): {reason}",
            hint="name another directory there, or use --writable-tmpfs",
        )


def abandoned_layers(directory: str, containers: str, *, age: float, remove: bool) -> list[str]:
    """The layers in the directory of `Uppers.directory` that were made for a container below `containers` which does not
    exist: its creation or removal was killed. Only those of some `age` in seconds; with `remove` they are deleted.
    """
    found = []
    limit = time.time() - age
    for name in sorted(os.listdir(directory)):
        place = f"{directory}/{name}"
        try:
            container = os.readlink(f"{place}/{_CONTAINER}")
            made = os.stat(place).st_mtime
        except OSError:
            continue  # of a build, or gone
        if (
            os.path.dirname(container) == containers
            and not os.path.lexists(container)
            and made <= limit
        ):
            found.append(place)
            if remove:
                remove_container_tree(place)
    return found


def new_layer_of_build(directory: str, number: int) -> str:
    """Make the directories of the layer of a step, in the directory of `Uppers.directory`. Raises OSError."""
    pid = os.getpid()
    place = f"{directory}/{_BUILD}{pid}-{start_time(pid)}-{number}"
    os.mkdir(place, 0o700)
    make_layer(place)
    return place


def remove_abandoned(directory: str) -> None:
    """Remove the layers of steps whose process was killed."""
    for name in os.listdir(directory):
        if name.startswith(_BUILD):
            pid, started, *_ = name.removeprefix(_BUILD).split("-")
            if not is_alive(int(pid), int(started)):
                remove_tree(f"{directory}/{name}")


class _UnusableError(Exception):
    """The directory cannot be made, or another user could change what is in it."""


def _own_directory(place: str, origin: str) -> str:
    """`rootless-<uid>` in a directory that exists or can be made. Both are looked at through descriptors."""
    if not os.path.lexists(place):
        try:
            make_private_directory(place, origin)
        except HostSupportError as error:
            raise _UnusableError(error.message.rpartition(": ")[2]) from None
    name = f"rootless-{os.geteuid()}"
    top = os.open(place, _LOOK)
    try:
        _check_shared(os.fstat(top))
        try:
            os.mkdir(name, 0o700, dir_fd=top)
        except FileExistsError:
            pass
        own = os.open(name, _LOOK | os.O_NOFOLLOW, dir_fd=top)
        try:
            _check_own(os.fstat(own), name)
        finally:
            os.close(own)
    finally:
        os.close(top)
    return f"{place}/{name}"


def _check_shared(status: os.stat_result) -> None:
    if status.st_uid not in {0, os.geteuid()}:
        raise _UnusableError(f"it belongs to another user (uid {status.st_uid})")
    if status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX:
        mode = stat.S_IMODE(status.st_mode)
        raise _UnusableError(f"other users can rename what is in it (mode {mode:04o})")


def _check_own(status: os.stat_result, name: str) -> None:
    if status.st_uid != os.geteuid():
        raise _UnusableError(f"{name} in it belongs to another user (uid {status.st_uid})")
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise _UnusableError(f"{name} in it is open to other users (mode {mode:04o})")


def _variable(text: str) -> tuple[str, str]:
    """The name that follows a dollar sign, bare or in braces, and the rest."""
    if text.startswith("{"):
        name, _, rest = text[1:].partition("}")
        return name, rest
    length = 0
    while length < len(text) and (text[length].isalnum() or text[length] == "_"):
        length += 1
    return text[:length], text[length:]


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""
