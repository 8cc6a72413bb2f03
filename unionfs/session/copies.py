"""Requests that would have to copy a big file first: the copy goes to a thread, other requests go
on.

The request that caused it, and every later change to the same file, is held back until the copy has
been published; reading goes on from the lower all the while. Which operations change a file, and of
which node, is the table CHANGES. Everything else either finishes in microseconds or changes the
tables of names and nodes, which one thread owns.
"""

from __future__ import annotations

from unionfs.filesystem import Copy, FileSystem
from unionfs.light_types import NamedTuple
from unionfs.model import NodeId
from unionfs.session import requests
from unionfs.session.handlers import Handler
from unionfs.session.requests import Header
from unionfs.session.wire import Opcode, SetattrValid
from unionfs.session.workers import Workers
from unionfs.syscalls.files import RENAME_EXCHANGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BIG = 1 << 20
"""Bytes from which a copy goes to a thread: about a millisecond of copying."""

_VALID_SIZE = int(SetattrValid.SIZE)
MORE_THAN_TIMES = int(
    SetattrValid.MODE
    | SetattrValid.UID
    | SetattrValid.GID
    | SetattrValid.SIZE
    | SetattrValid.KILL_SUIDGID
)


def _own_node(_fs: FileSystem, header: Header, _request: Any) -> int:  # noqa: ANN401 - any request
    return header.nodeid


def _unless_truncated(_fs: FileSystem, header: Header, request: requests.Setattr) -> int:
    """Of a file that is cut to little, only that little is copied."""
    cut = request.valid & _VALID_SIZE and request.size < BIG
    return 0 if cut else header.nodeid


def _linked(_fs: FileSystem, _header: Header, request: requests.Link) -> int:
    return request.nodeid


def _target(_fs: FileSystem, _header: Header, request: requests.CopyFileRange) -> int:
    return request.target


def _renamed(fs: FileSystem, header: Header, request: requests.Rename) -> int:
    """What is renamed; of two that change places the one that is still to be copied."""
    node = fs.known(NodeId(header.nodeid), request.name)
    if request.flags & RENAME_EXCHANGE and not (node and fs.pending_copy(node) >= BIG):
        node = fs.known(NodeId(request.new_parent), request.new_name)
    return node


CHANGES: dict[int, Callable[[FileSystem, Header, Any], int]] = {
    Opcode.WRITE: _own_node,
    Opcode.SETATTR: _unless_truncated,
    Opcode.FALLOCATE: _own_node,
    Opcode.SETXATTR: _own_node,
    Opcode.REMOVEXATTR: _own_node,
    Opcode.LINK: _linked,
    Opcode.RENAME: _renamed,
    Opcode.RENAME2: _renamed,
    Opcode.COPY_FILE_RANGE: _target,
    Opcode.COPY_FILE_RANGE_64: _target,
}
"""The node whose file the request changes; 0 if that takes no copy."""


class Held(NamedTuple):
    """A request that waits for a copy."""

    header: Header
    handler: Handler
    request: requests.Request
    started: int


class Copies:
    """`answer` handles a request and replies, `fault` tells of an error of ours. `durable`: copies
    are synced before they replace the original."""

    def __init__(
        self,
        filesystem: FileSystem,
        workers: Workers,
        answer: Callable[[Header, Handler, requests.Request, int], None],
        fault: Callable[[str, BaseException], None],
        *,
        durable: bool,
    ) -> None:
        self._filesystem = filesystem
        self._pending_copy = filesystem.pending_copy
        self._workers = workers
        self._answer = answer
        self._fault = fault
        self._durable = durable
        self._held: dict[int, list[Held]] = {}

    def hold(
        self, header: Header, handler: Handler, request: requests.Request, started: int
    ) -> bool:
        """True if the request has to wait, and will be answered when it has waited.

        Raises OSError where the copy cannot be begun.
        """
        nodeid = CHANGES[header.opcode](self._filesystem, header, request)
        held = self._held.get(nodeid)
        if held is None:
            times_only = isinstance(request, requests.Setattr) and not (
                request.valid & MORE_THAN_TIMES
            )
            if not nodeid or self._pending_copy(NodeId(nodeid), times_only=times_only) < BIG:
                return False
            copy = self._filesystem.begin_copy(NodeId(nodeid))
            held = self._held[nodeid] = []
            self._workers.start(
                lambda: self._copy(copy), lambda error: self._copied(nodeid, copy, error)
            )
        if isinstance(request, requests.Write):
            # The read buffer is needed for the next request.
            request = request._replace(data=memoryview(bytes(request.data)))
        held.append(Held(header, handler, request, started))
        return True

    def must_wait(self, nodeid: NodeId, times_only: bool = False) -> bool:
        """Whether a change to this file has to be held. Raises OSError as `pending_copy` does."""
        return self._pending_copy(nodeid, times_only=times_only) >= BIG or nodeid in self._held

    def cancel(self, unique: int) -> bool:
        """Take back a request that waits. True if there was one: it is then the caller's to
        answer."""
        for held in self._held.values():
            for waiting in held:
                if waiting.header.unique == unique:
                    held.remove(waiting)
                    return True
        return False

    def _copy(self, copy: Copy) -> None:
        """In a thread. What is on disk when the copy is published need not be waited for then."""
        copy.copy()
        if self._durable:
            copy.sync()

    def _copied(self, nodeid: int, copy: Copy, raised: BaseException | None) -> None:
        """Publish the copy, then answer what waited. If it failed, each request tries for itself
        and so gets an errno of its own."""
        published = False
        try:
            if raised is None:
                self._filesystem.finish_copy(copy)
                published = True
            else:
                self._filesystem.abandon_copy(copy)
        except OSError:
            # What waited will meet the same obstacle, and report it.
            pass
        except Exception as error:  # noqa: BLE001 - the server must outlive every copy
            self._fault("copy-up", error)
        for held in self._held.pop(nodeid):
            # It may have another file to wait for.
            if not (published and self._hold_again(held)):
                self._answer(*held)

    def _hold_again(self, held: Held) -> bool:
        try:
            return self.hold(*held)
        except OSError:
            return False
