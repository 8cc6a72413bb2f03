"""Copies large files up in threads, so that other requests are served meanwhile.

The request that causes a copy waits until it has been published, and so does every later change to
the same file; reads go on from the lower. Requests that copy nothing big are answered in microseconds,
or change the tables of names and nodes, which one thread owns.
"""

from __future__ import annotations

from unionfs.filesystem import Copy, CopyUps
from unionfs.light_types import NamedTuple, partial
from unionfs.model import NodeId
from unionfs.session.workers import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BIG = 1 << 20
"""Bytes from which a copy is made by a thread: about a millisecond of copying."""


class Kept(NamedTuple):
    """A request whose answer waits. `message` is as it was read, `started` the time of that in
    nanoseconds (perf_counter_ns)."""

    message: bytes
    unique: int
    started: int


class MustWait(Exception):  # noqa: N818 - an answer, not an error
    """Raised by the handler of a request that cannot be answered yet, before it has changed anything.
    `keep` takes the request; it raises OSError where waiting cannot be begun."""

    def __init__(self, keep: Callable[[Kept], None]) -> None:
        super().__init__()
        self.keep = keep


class Copies:
    """The copies under way, and the requests that wait for each.

    Args:
        resume: handles a kept request again.
        fault: reports an unexpected exception.
        durable: copies are synced before they replace the original.
    """

    def __init__(
        self,
        filesystem: CopyUps,
        workers: Workers,
        resume: Callable[[Kept], None],
        fault: Callable[[str, BaseException], None],
        *,
        durable: bool,
    ) -> None:
        self._filesystem = filesystem
        self._pending_copy = filesystem.pending_copy
        self._workers = workers
        self._resume = resume
        self._fault = fault
        self._durable = durable
        self._waiting: dict[NodeId, list[Kept]] = {}
        self._may_wait = True

    def require_copied(self, nodeid: NodeId, *, times_only: bool = False) -> None:
        """To be called before a change to a file, or only to its times.

        Raises:
            MustWait: the file has to be copied first.
            OSError: as `CopyUps.pending_copy`.
        """
        must = self._pending_copy(nodeid, times_only=times_only) >= BIG or nodeid in self._waiting
        if must and self._may_wait:
            raise MustWait(partial(self._keep, nodeid))

    def _keep(self, nodeid: NodeId, request: Kept) -> None:
        waiting = self._waiting.get(nodeid)
        if waiting is None:
            copy = self._filesystem.begin_copy(nodeid)
            waiting = self._waiting[nodeid] = []
            self._workers.start(
                lambda: self._copy(copy), lambda error: self._copied(nodeid, copy, error)
            )
        waiting.append(request)

    def cancel(self, unique: int) -> bool:
        """Drop the request of this number. True if it waited: the caller then answers it."""
        for waiting in self._waiting.values():
            for request in waiting:
                if request.unique == unique:
                    waiting.remove(request)
                    return True
        return False

    def _copy(self, copy: Copy) -> None:
        """In a thread. What is on disk when the copy is published need not be waited for then."""
        copy.copy()
        if self._durable:
            copy.sync()

    def _copied(self, nodeid: NodeId, copy: Copy, raised: BaseException | None) -> None:
        """Publish the copy, then handle the requests that waited. If it failed, each of them copies
        for itself and so gets its own errno."""
        published = False
        try:
            if raised is None:
                copy.publish()
                published = True
            else:
                copy.abandon()
        except OSError:
            # The requests that waited will meet the same obstacle, and report it.
            pass
        except Exception as error:  # noqa: BLE001 - the server must outlive every copy
            self._fault("copy-up", error)
        for request in self._waiting.pop(nodeid):
            self._may_wait = published
            try:
                self._resume(request)
            finally:
                self._may_wait = True
