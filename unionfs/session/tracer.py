"""Notes which files the requests of a session read, list and look for: the methods of a dispatcher's table,
wrapped. A session without a tracer has the table as it is, and so costs nothing.

The kernel asks for each name, listing and page at least once in the life of a mount, because its caches begin
empty, and not again while they hold it. So every file with contents that is read has a record; later accesses, and
the processes that make them, have one as far as the kernel asks.
"""

from __future__ import annotations

from struct import Struct
from time import time_ns

from unionfs.light_types import IntEnum, NamedTuple
from unionfs.model import NodeId
from unionfs.session import wire
from unionfs.session.wire import Opcode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from unionfs.filesystem import Nodes
    from unionfs.session.fast_data import Answer

    Send: TypeAlias = Callable[[bytes | memoryview], None]

_HEADER = wire.IN_HEADER.size
_PID = Struct("=I")
_PID_AT = 32
"""Of fuse_in_header: the thread."""
_READ = Struct("=8xQI")
"""Of fuse_read_in: offset and size."""
_COPY = Struct("=8xQ24xQ")
"""Of fuse_copy_file_range_in: offset in the source, and length."""
_BODY_AT = wire.OUT_HEADER.size
_NO_NODE = bytes(8)

_YOUNG = 50_000
"""Nanoseconds for which the name of a new process is taken to be right: it may be about to execute a program."""
_OLD = 100_000_000
"""The same of one that has been known for long."""

_EXECUTABLE = 0o111
"""Mode bits of which an executable file has one."""

_FORGETS = (Opcode.FORGET, Opcode.BATCH_FORGET)
_RENAMES = (Opcode.RENAME, Opcode.RENAME2)
_COPIES = (Opcode.COPY_FILE_RANGE, Opcode.COPY_FILE_RANGE_64)


class AccessKind(IntEnum):
    """The kind of an access to a path."""

    MISSING = 0
    """It was looked for, and is not there."""
    FOUND = 1
    """It was looked for and is there, so that its attributes were seen."""
    READ = 2
    """Its contents were read: the bytes of a file, the target of a symbolic link."""
    LISTED = 3
    """The names in it were read."""


class ProcessIdentity(NamedTuple):
    """A process of the mount's PID namespace. `host` is its PID where the server runs, which tells two apart
    that have had the same `pid`; 0 if it is not known. `is_starting`: it has not executed its program yet."""

    pid: int
    host: int
    name: str
    is_starting: bool = False


class TracedProcess:
    """`name` is the last one that was seen of it."""

    __slots__ = ("due", "name", "pid", "since")

    def __init__(self, pid: int, name: str, since: int) -> None:
        self.pid = pid
        self.name = name
        self.since = since
        self.due = 0
        """When the name is to be read again, in nanoseconds since the epoch."""


class Access:
    """Accesses of one kind to one path. Times are nanoseconds since the epoch. `bytes` are those that the kernel
    asked for of a file: it reads ahead, and asks once for what it keeps."""

    __slots__ = ("bytes", "count", "first", "last", "processes")

    def __init__(self, now: int, process: TracedProcess) -> None:
        self.first = self.last = now
        self.count = 1
        self.bytes = 0
        self.processes: tuple[TracedProcess, ...] = (process,)

    def repeat(self, now: int, process: TracedProcess) -> None:
        """Count one more."""
        self.last = now
        self.count += 1
        if process not in self.processes:
            self.processes += (process,)


_Names: TypeAlias = "dict[bytes, Access | tuple[int, TracedProcess]]"
"""Accesses by name: of most names there is one, of which the time and the process are all there is to know. A tuple costs
a third of an object."""


_Directory: TypeAlias = "tuple[_Names, _Names, dict[bytes, Access]]"
"""Of names in a directory: look-ups of those that are missing and of those that are there, and reads."""


def _whole(access: Access | tuple[int, TracedProcess]) -> Access:
    return access if isinstance(access, Access) else Access(*access)


def _repeated(known: _Names, name: bytes, access: Access | tuple[int, TracedProcess]) -> Access:
    """The record of a name, to count one more access."""
    known[name] = whole = _whole(access)
    return whole


class Tracer:
    """The trace of one session.

    Args:
        path_of: gives a path of a node, absolute; None if it has none any more.
        place_of: gives the directory and the name of a node; None if it has none.
        identify: gives the process of a thread, by the number that a request has; None if it is not known.
    """

    def __init__(
        self,
        path_of: Callable[[NodeId], bytes | None],
        place_of: Callable[[NodeId], tuple[NodeId, bytes] | None],
        identify: Callable[[int], ProcessIdentity | None],
    ) -> None:
        self._path_of = path_of
        self._place_of = place_of
        self._identify = identify
        self._by_identity: dict[tuple[int, int], TracedProcess] = {}
        self._threads: dict[int, TracedProcess] = {}
        """By number."""
        self._listed: dict[bytes, Access] = {}
        self._names: dict[bytes, _Directory] = {}
        """By directory."""
        # By node, until a name or a number may belong to another object.
        self._nodes: dict[NodeId, Access] = {}
        self._directories: dict[NodeId, _Directory] = {}

    def records(self) -> Iterator[tuple[bytes, AccessKind, Access]]:
        """Every path and kind of access, in no particular order."""
        for path, listed in self._listed.items():
            yield path, AccessKind.LISTED, listed
        for directory, (missing, found, files) in self._names.items():
            prefix = directory if directory == b"/" else directory + b"/"
            for kind, names in ((AccessKind.MISSING, missing), (AccessKind.FOUND, found)):
                for name, access in names.items():
                    yield prefix + name, kind, _whole(access)
            for name, read in files.items():
                yield prefix + name, AccessKind.READ, read

    def wrap(
        self,
        table: dict[int, Answer],
        filesystem: Nodes,
        buffer: memoryview,
        send: Send,
    ) -> dict[int, Answer]:
        """The methods of requests that read, list and look up, with what they note. `send` writes a reply to the kernel and
        raises nothing."""
        wrapped = {
            Opcode.LOOKUP: self._lookup(table[Opcode.LOOKUP], buffer, send),
            Opcode.READ: self._read(table[Opcode.READ], filesystem, buffer, _READ, send),
            Opcode.READLINK: self._readlink(table[Opcode.READLINK], buffer),
        }
        for opcode in (Opcode.READDIR, Opcode.READDIRPLUS):
            wrapped[opcode] = self._list(table[opcode], buffer, send)
        for opcode in _COPIES:
            wrapped[opcode] = self._read(table[opcode], filesystem, buffer, _COPY, send)
        for opcode in (*_FORGETS, *_RENAMES):
            wrapped[opcode] = self._dropping(table[opcode])
        return {int(opcode): method for opcode, method in wrapped.items()}

    def _lookup(self, method: Answer, buffer: memoryview, send: Send) -> Answer:
        directories, threads, pid_of = self._directories, self._threads, _PID.unpack_from

        def lookup(unique: int, nodeid: NodeId, length: int) -> bytes:
            reply = method(unique, nodeid, length)
            # `_process_of` without the call: no other requests are as frequent.
            now = time_ns()
            (pid,) = pid_of(buffer, _PID_AT)
            process = threads.get(pid)
            if process is None or now >= process.due:
                process = self._process(pid, now)
            if reply:
                send(reply)
            names = directories.get(nodeid)
            if names is None:
                names = self._names_in(nodeid)
            known = names[0] if reply[_BODY_AT : _BODY_AT + 8] == _NO_NODE else names[1]
            name = bytes(buffer[_HEADER : length - 1])
            access = known.get(name)
            if access is None:
                known[name] = now, process
            else:
                _repeated(known, name, access).repeat(now, process)
            return b""

        return lookup

    def _read(
        self,
        method: Answer,
        filesystem: Nodes,
        buffer: memoryview,
        request: Struct,
        send: Send,
    ) -> Answer:
        getattr_, extent, pid_of = filesystem.getattr, request.unpack_from, _PID.unpack_from
        nodes, threads = self._nodes, self._threads

        def read(unique: int, nodeid: NodeId, length: int) -> bytes:
            reply = method(unique, nodeid, length)
            # `_process_of` without the call: no other requests are as frequent.
            now = time_ns()
            (pid,) = pid_of(buffer, _PID_AT)
            process = threads.get(pid)
            if process is None or now >= process.due:
                process = self._process(pid, now)
            if reply:
                send(reply)
            access = nodes.get(nodeid)
            if access is not None:
                access.repeat(now, process)
            else:
                access = self._first(nodeid, now, process)
                if access is None:
                    return b""
            offset, size = extent(buffer, _HEADER)
            attributes = getattr_(nodeid)
            left = attributes.size - offset
            if left > 0:
                access.bytes += min(left, size)
            if not offset and attributes.mode & _EXECUTABLE:
                # It may be about to execute the program: its name is read again at its next request.
                process.since, process.due = now, 0
            return b""

        return read

    def _readlink(self, method: Answer, buffer: memoryview) -> Answer:
        def readlink(unique: int, nodeid: NodeId, length: int) -> bytes | memoryview:
            reply = method(unique, nodeid, length)
            access = self._note(nodeid, buffer)
            if access is not None:
                access.bytes += len(reply) - _BODY_AT
            return reply

        return readlink

    def _list(self, method: Answer, buffer: memoryview, send: Send) -> Answer:
        def listing(unique: int, nodeid: NodeId, length: int) -> bytes:
            reply = method(unique, nodeid, length)
            now = time_ns()
            process = self._process_of(buffer, now)
            if reply:
                send(reply)
            path = self._path_of(nodeid)
            if path is not None:
                access = self._listed.get(path)
                if access is None:
                    self._listed[path] = Access(now, process)
                else:
                    access.repeat(now, process)
            return b""

        return listing

    def _dropping(self, method: Answer) -> Answer:
        """A request after which a node number or a path may be another object's."""

        def answer(unique: int, nodeid: NodeId, length: int) -> bytes | memoryview:
            self._nodes.clear()
            self._directories.clear()
            return method(unique, nodeid, length)

        return answer

    def _note(self, nodeid: NodeId, buffer: memoryview) -> Access | None:
        """Count one read of a link. Returns its record; None if it has no name."""
        now = time_ns()
        process = self._process_of(buffer, now)
        access = self._nodes.get(nodeid)
        if access is None:
            return self._first(nodeid, now, process)
        access.repeat(now, process)
        return access

    def _first(self, nodeid: NodeId, now: int, process: TracedProcess) -> Access | None:
        """Count the first read by this number of a node. Returns its record; None if it has no name."""
        place = self._place_of(nodeid)
        if place is None:
            return None
        directory, name = place
        names = self._directories.get(directory)
        if names is None:
            names = self._names_in(directory)
        files = names[2]
        access = files.get(name)
        if access is None:
            access = files[name] = Access(now, process)
        else:
            access.repeat(now, process)
        self._nodes[nodeid] = access
        return access

    def _names_in(self, nodeid: NodeId) -> _Directory:
        path = self._path_of(nodeid)
        names: _Directory = ({}, {}, {})
        if path is not None:
            names = self._names.setdefault(path, names)
        self._directories[nodeid] = names
        return names

    def _process_of(self, buffer: memoryview, now: int) -> TracedProcess:
        """The process that makes the request."""
        (number,) = _PID.unpack_from(buffer, _PID_AT)
        process = self._threads.get(number)
        if process is None or now >= process.due:
            process = self._process(number, now)
        return process

    def _process(self, number: int, now: int) -> TracedProcess:
        """The process of a thread that is not known, or of which the name is to be read again. Number 0 stands
        for the kernel, and for processes outside the PID namespace."""
        found = self._identify(number) if number else None
        if found is None:
            process = self._threads.get(number) or self._add(ProcessIdentity(number, 0, ""), now)
        else:
            process = self._by_identity.get(found[:2]) or self._add(found, now)
            process.name = found.name
        self._threads[number] = process
        if found is None or not found.is_starting:
            process.due = now + min(_OLD, max(_YOUNG, now - process.since))
        return process

    def _add(self, identity: ProcessIdentity, now: int) -> TracedProcess:
        process = self._by_identity[identity[:2]] = TracedProcess(identity.pid, identity.name, now)
        return process
