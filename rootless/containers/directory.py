"""The containers directory, with one directory per container: finds containers by id, prefix of an id, or name.

    containers/<64 hex digits>/container.json  the record; the engine's own files lie beside it
    containers/names/<name> -> <id>            a symbolic link whose target is the id
    containers/.lock                           held while names are given, changed or taken back
    containers/.new-<id>/, .old-<id>/          being made, being removed; found by `leftovers`
    containers/<64 hex digits>/container.json.reserve  room for the next record, for a full disk

Crash consistency. Create: (1) `.new-<id>` with its record is written and fsynced, (2) the name is linked, (3) the directory
is renamed to `<id>`. Of a container that a monitor starts at once nothing is synced before the record that says how that
went, which is written before the command that created it returns. Killed after 1, a directory that no lookup sees; after 2,
a name whose target does not exist, which is free for the next taker. Remove: (1) the directory is renamed to `.old-<id>`,
(2) the name goes, (3) the tree goes. Killed after 1 or 2: the same two leftovers. So a name without a directory, and a dot
directory, never count.
"""

from __future__ import annotations

import os
import time

from rootless.containers.record import ContainerRecord, decode, encode, snapshots_of
from rootless.containers.status import Status
from rootless.containers.timestamps import timestamp
from rootless.durable import (
    NO_ROOM,
    fsync_directory,
    is_name_of_open_file,
    locked,
    overwrite,
    remove_tree,
    write_atomically,
    write_with_reserve,
)
from rootless.errors import ExistsError, InvalidDocumentError, NotFoundError, UsageError
from rootless.light_stdlib import read_file
from rootless.private_directory import make_private_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RECORD = "container.json"
CONTROL_SOCKET = "control.sock"


def new_container_id() -> str:
    """64 random hex digits. Never all decimal in the first twelve: Docker's rule, so that a short
    id is no number."""
    while True:
        container_id = os.urandom(32).hex()
        if not container_id[:12].isdecimal():
            return container_id


def control_directory(runtime: str, container_id: str) -> str:
    """Where the control socket of a container's monitor lies. Short: a socket's path has 107 bytes."""
    return f"{runtime}/containers/{container_id[:24]}"


def _is_id(text: str) -> bool:
    return len(text) == 64 and _is_hex(text)


_LONGEST = 255
"""Bytes of a file's name (NAME_MAX): the index of names has one for each container."""


def _is_hex(text: str) -> bool:
    return text != "" and text.strip("0123456789abcdef") == ""


def _invalid_name(name: str) -> UsageError:
    if len(name) > _LONGEST:
        return UsageError(
            f"Invalid container name ({name[:20]}...): it is longer than {_LONGEST} characters"
        )
    return UsageError(
        f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
        hint="a name has two characters or more",
    )


def _is_name(text: str) -> bool:
    """What dockerd allows: [a-zA-Z0-9][a-zA-Z0-9_.-]+"""
    plain = text.replace("_", "").replace(".", "").replace("-", "")
    is_of_length = 2 <= len(text) <= _LONGEST
    return is_of_length and text[0].isalnum() and plain.isalnum() and text.isascii()


class Containers:
    """The records under one directory. Holds no state: any number of processes may use the same
    directory.

    `delete` removes a container's tree, which may hold files of other ids. `runtime` is where the
    directories of control sockets and the log of events lie; empty for a user of the records that has
    no socket to remove and no event to write.
    """

    __slots__ = ("_delete", "_names", "root", "runtime")

    def __init__(
        self,
        root: str | os.PathLike[str],
        delete: Callable[[str], None] = remove_tree,
        runtime: str = "",
    ) -> None:
        self.root = os.fspath(root)
        self._delete = delete
        self.runtime = runtime
        self._names = f"{self.root}/names"

    def directory(self, container_id: str) -> str:
        """Where a container's files lie."""
        return f"{self.root}/{container_id}"

    def create(self, record: ContainerRecord, prepare: Callable[[str], None] | None = None) -> str:
        """Make the directory of a new container and take its name; returns the directory.

        `prepare` is called with the directory while it is still hidden: what it writes there exists
        from the first moment that the container does. Raises ExistsError if the name is taken,
        UsageError if it is not a valid name.
        """
        if not _is_name(record.name):
            raise _invalid_name(record.name)
        for each in (os.path.dirname(self.root), self.root, self._names):
            make_private_directory(each, "ROOTLESS_ROOT")
        hidden = f"{self.root}/.new-{record.id}"
        os.mkdir(hidden, 0o700)
        target = self.directory(record.id)
        try:
            durable = not record.monitor_pid
            self._write(hidden, record, durable=durable)
            if prepare is not None:
                prepare(hidden)
            with locked(f"{self.root}/.lock"):
                self._take_name(record.name, record.id)
                os.rename(hidden, target)
        except BaseException:
            self._delete(hidden)
            raise
        if durable and not record.auto_remove:
            fsync_directory(self.root)
        return target

    def read(self, container_id: str) -> ContainerRecord:
        """The record of a container by its whole id. Raises NotFoundError, InvalidDocumentError."""
        path = f"{self.directory(container_id)}/{_RECORD}"
        try:
            data = read_file(path)
        except OSError as error:
            if not self._is_there(container_id):
                raise NotFoundError(f"No such container: {container_id}") from None
            raise InvalidDocumentError(f"{path} cannot be read: {error.strerror}") from error
        record = decode(data, path)
        if record.id != container_id or not _is_name(record.name):
            raise InvalidDocumentError(f"{path} is not the record of container {container_id}")
        return record

    def read_or_dead(self, container_id: str) -> ContainerRecord:
        """As `read`; a container whose record cannot be read is shown by what is left: its id, its
        name, the time of its directory, the status dead and the reason. Raises NotFoundError."""
        try:
            return self.read(container_id)
        except InvalidDocumentError as error:
            reason = error.message
        try:
            changed = os.stat(self.directory(container_id)).st_mtime_ns
        except OSError:
            raise NotFoundError(f"No such container: {container_id}") from None
        return ContainerRecord(
            id=container_id,
            name=self._name_of(container_id) or container_id[:12],
            created=timestamp(changed),
            status=Status.DEAD,
            error=reason,
        )

    def change(
        self,
        container_id: str,
        change: Callable[[ContainerRecord], ContainerRecord],
        *,
        unreadable: ContainerRecord | None = None,
    ) -> ContainerRecord:
        """Replace a record by a function of itself, under the container's lock; returns the new one.
        `unreadable` stands for a record that cannot be read, which is an error without it."""
        try:
            with locked(f"{self.directory(container_id)}/.lock"):
                try:
                    record = self.read(container_id)
                except InvalidDocumentError:
                    if unreadable is None:
                        raise
                    record = unreadable
                never_ran = not record.started
                record = change(record)
                self._write(self.directory(container_id), record)
                if never_ran and not record.auto_remove:
                    fsync_directory(self.root)  # if it was created without
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(f"No such container: {container_id}") from None
        return record

    def rename(self, container_id: str, name: str) -> ContainerRecord:
        """Give a container another name. Raises ExistsError if it is taken.

        The new name is linked before the record says it and the old one goes last, so at no instant
        has the container none.
        """
        if not name:
            raise UsageError("neither old nor new names may be empty")
        if not _is_name(name):
            raise _invalid_name(name)
        with locked(f"{self.root}/.lock"):
            old = self.read(container_id)
            self._take_name(name, container_id)
            record = self.change(container_id, lambda record: record._replace(name=name))
            if old.name != name:
                _unlink(f"{self._names}/{old.name}")
        from rootless.containers.events import report

        report(self.runtime, record, "rename", {"oldName": f"/{old.name}"})
        return record

    def find(self, what: str) -> ContainerRecord:
        """A container by whole id, name, or beginning of an id, in this order as Docker does.

        A name may have a slash before it, as `inspect` shows it. Raises NotFoundError, or UsageError
        if the beginning fits several."""
        if not what:
            raise UsageError("invalid container name or ID: value is empty")
        shown, what = what, what.removeprefix("/")
        if _is_id(what) and self._is_there(what):
            return self.read_or_dead(what)
        if _is_name(what) and (container_id := self._name_target(what)) is not None:
            return self.read_or_dead(container_id)
        matches = [name for name in self.ids() if name.startswith(what)] if _is_hex(what) else []
        if len(matches) > 1:
            raise UsageError(
                f"multiple IDs found with provided prefix: {what}", details={"ids": matches}
            )
        if not matches:
            raise NotFoundError(f"No such container: {shown}")
        return self.read_or_dead(matches[0])

    def require_free(self, name: str) -> None:
        """Raises ExistsError if a container has this name, UsageError if it is none."""
        if not _is_name(name):
            raise _invalid_name(name)
        owner = self._name_target(name)
        if owner is not None:
            raise _taken(name, owner)

    def all(self) -> list[ContainerRecord]:
        """Every container, oldest first. One that vanishes while being read is left out."""
        records = []
        for container_id in self.ids():
            try:
                records.append(self.read_or_dead(container_id))
            except NotFoundError:
                continue
        return sorted(records, key=lambda record: (record.created, record.id))

    def ids(self) -> Iterator[str]:
        """Of every container."""
        try:
            with os.scandir(self.root) as entries:
                yield from sorted(entry.name for entry in entries if _is_id(entry.name))
        except FileNotFoundError:
            return

    def remove(self, container_id: str) -> None:
        """Forget a container and delete its directory. Removing what is gone is no error."""
        trash = f"{self.root}/.old-{container_id}"
        place = self._layer_elsewhere(container_id)
        with locked(f"{self.root}/.lock"):
            try:
                record = self.read_or_dead(container_id)
            except NotFoundError:
                return
            self._move_away(container_id, trash)
            if self._name_link(record.name) == container_id:
                _unlink(f"{self._names}/{record.name}")
        if place:
            self._delete(place)
        has_snapshots = os.path.exists(snapshots_of(trash))
        if os.path.lexists(trash):
            try:
                self._delete(trash)
            except OSError as error:
                if not is_name_of_open_file(error):
                    raise
                # The container is gone, and what is left of its directory is found by `leftovers`.
        if has_snapshots:
            from rootless.snapshots.layers import sweep

            sweep(os.path.dirname(self.root), self._delete)
        self.remove_control(container_id)
        from rootless.containers.events import report

        report(self.runtime, record, "destroy")

    def _layer_elsewhere(self, container_id: str) -> str:
        """Where the writable layer is that was made for this container outside its directory; else ""."""
        directory = self.directory(container_id)
        if not os.path.islink(f"{directory}/upper"):
            return ""
        from rootless.containers.writable_layers.place import own_place

        return own_place(container_id, directory)

    def _move_away(self, container_id: str, trash: str) -> None:
        """On a full disk there may be no room for another name: then files go first."""
        directory = self.directory(container_id)
        try:
            os.rename(directory, trash)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self._delete(directory)

    def remove_control(self, container_id: str) -> None:
        """Remove the control socket that a killed monitor left. No error if there is none."""
        if self.runtime:
            directory = control_directory(self.runtime, container_id)
            try:
                _unlink(f"{directory}/{CONTROL_SOCKET}")
                os.rmdir(directory)
            except OSError:
                pass

    def leftovers(self, *, age: float = 0, remove: bool = False) -> list[str]:
        """The remains of killed creations and removals, by file name; with `remove` it is deleted.

        A container that is being made lies in a directory like one of those, so beside other
        commands only those of some `age` in seconds are asked for.
        """
        found: list[str] = []
        if not os.path.isdir(self.root):
            return found
        with locked(f"{self.root}/.lock"):
            limit = time.time() - age
            for entry in sorted(os.scandir(self.root), key=lambda entry: entry.name):
                if entry.name.startswith((".new-", ".old-")) and _changed(entry) <= limit:
                    found.append(entry.name)
                    if remove:
                        self._delete(entry.path)
            for entry in sorted(os.scandir(self._names), key=lambda entry: entry.name):
                if self._name_target(entry.name) is None and _changed(entry) <= limit:
                    found.append(f"names/{entry.name}")
                    if remove:
                        os.unlink(entry.path)
        return found

    @staticmethod
    def _write(directory: str, record: ContainerRecord, *, durable: bool = True) -> None:
        """A container that is removed at its end needs no durable record: after a loss of power it is
        dead, or found to have no monitor. It keeps no room for its last record either: on a full disk it is overwritten.
        """
        path, data = f"{directory}/{_RECORD}", encode(record)
        if record.auto_remove:
            try:
                write_atomically(path, data, 0o600, durable=False)
            except OSError as error:
                if error.errno not in NO_ROOM or not overwrite(path, data):
                    raise
        else:
            write_with_reserve(path, data, 0o600, durable=durable)

    def _is_there(self, container_id: str) -> bool:
        return os.path.isdir(self.directory(container_id))

    def _name_of(self, container_id: str) -> str | None:
        try:
            names = os.listdir(self._names)
        except OSError:
            return None
        return next((name for name in names if self._name_link(name) == container_id), None)

    def _name_link(self, name: str) -> str | None:
        try:
            return os.readlink(f"{self._names}/{name}")
        except OSError:
            return None

    def _name_target(self, name: str) -> str | None:
        container_id = self._name_link(name)
        if container_id is None:
            return None
        return container_id if self._is_there(container_id) else None

    def _take_name(self, name: str, container_id: str) -> None:
        """Called with the lock held, so that no other process replaces a dangling name in between."""
        owner = self._name_target(name)
        if owner is not None and owner != container_id:
            raise _taken(name, owner)
        link = f"{self._names}/{name}"
        if owner is None:
            _unlink(link)
            os.symlink(container_id, link)


def _taken(name: str, owner: str) -> ExistsError:
    return ExistsError(
        f'Conflict. The container name "/{name}" is already in use by container "{owner}". You have to '
        "remove (or rename) that container to be able to reuse that name.",
        hint=f"remove it (rootless rm {name}) or choose another name",
    )


def _changed(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_ctime
    except FileNotFoundError:
        return time.time()


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
