"""Requests that wait for a disk or move many bytes: FSYNC, FLUSH, SYNCFS, COPY_FILE_RANGE, and the completion
of lazy copies. Threads carry them out, and other requests go on.

These are handlers as those of handlers.py; one that returns None replies later.
"""

from __future__ import annotations

from errno import EINVAL, EIO
from os import strerror
from time import perf_counter_ns

from unionfs.filesystem import CopyCompletion, Nodes, Transfer, Transfers
from unionfs.model import NodeId
from unionfs.session import replies, requests, wire
from unionfs.session.copies import BIG, Copies
from unionfs.session.counters import Counters
from unionfs.session.handlers import Handler, dropped_set_id
from unionfs.session.requests import Header
from unionfs.session.wire import Opcode
from unionfs.session.workers import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from unionfs.light_types import Protocol

    class _FileSystem(Nodes, Transfers, Protocol): ...


_COPY_LIMIT = 1 << 30
"""Bytes that one COPY_FILE_RANGE copies at most: it may do less than asked, and its caller can be
interrupted between two."""

_SLOW = 2_000_000
"""Nanoseconds a sync may take for the next to be tried without a thread."""


class TransferHandlers:
    """`send` replies: unique number, errno, payload. `table` is by opcode."""

    def __init__(
        self,
        filesystem: _FileSystem,
        workers: Workers,
        copies: Copies,
        send: Callable[[int, int, bytes], None],
        fault: Callable[[str, BaseException], None],
        *,
        counters: Counters,
    ) -> None:
        self._fs = filesystem
        self._workers = workers
        self._require_copied = copies.require_copied
        self._send = send
        self._fault = fault
        self._counters = counters
        self._last_sync = 0
        self.table: dict[int, Handler] = {
            Opcode.FSYNC: self._fsync,
            Opcode.FSYNCDIR: self._fsync,
            Opcode.FLUSH: self._flush,
            Opcode.SYNCFS: self._syncfs,
            Opcode.COPY_FILE_RANGE: self._copy_file_range,
            Opcode.COPY_FILE_RANGE_64: self._copy_file_range_64,
        }

    def _fsync(self, header: Header, request: requests.Fsync) -> bytes | None:
        return self._sync(
            header,
            self._fs.begin_fsync(NodeId(header.nodeid), bool(request.flags & wire.FSYNC_FDATASYNC)),
        )

    def _flush(self, header: Header, _request: requests.Flush) -> bytes | None:
        transfer = self._fs.begin_flush(NodeId(header.nodeid))
        if transfer is None:
            return b""
        return self._sync(header, transfer)

    def _sync(self, header: Header, transfer: Transfer) -> bytes | None:
        """A small one without a thread, which would take longer than it does."""
        if transfer.unsynced >= BIG or self._last_sync >= _SLOW:
            return self._start(header, transfer, self._nothing, self._note_sync)
        started = perf_counter_ns()
        try:
            transfer.run()
        finally:
            transfer.finish()
            self._note_sync(perf_counter_ns() - started)
        return b""

    def _note_sync(self, nanoseconds: int) -> None:
        self._last_sync = nanoseconds

    def _syncfs(self, header: Header, _request: requests.Empty) -> bytes | None:
        return self._start(header, self._fs.begin_syncfs(), self._nothing)

    def _copy_file_range(self, header: Header, request: requests.CopyFileRange) -> bytes | None:
        return self._copy(header, request, replies.write_out)

    def _copy_file_range_64(self, header: Header, request: requests.CopyFileRange) -> bytes | None:
        return self._copy(header, request, replies.copy_file_range_out)

    def _copy(
        self, header: Header, request: requests.CopyFileRange, encode: Callable[[int], bytes]
    ) -> bytes | None:
        if request.flags:
            raise OSError(EINVAL, strerror(EINVAL))
        target = NodeId(request.target)
        self._require_copied(target)
        transfer = self._fs.begin_copy_range(
            NodeId(header.nodeid),
            request.offset_in,
            target,
            request.offset_out,
            min(request.length, _COPY_LIMIT),
            drop_set_id=dropped_set_id(self._fs, target, header.pid),
        )
        if request.length >= BIG:
            return self._start(header, transfer, encode)
        try:
            return encode(transfer.run())
        finally:
            transfer.finish()

    @staticmethod
    def _nothing(_done: int) -> bytes:
        return b""

    def _start(
        self,
        header: Header,
        transfer: Transfer,
        encode: Callable[[int], bytes],
        note: Callable[[int], None] | None = None,
    ) -> bytes | None:
        """Run it in a thread, and reply then. Returns None."""
        started = perf_counter_ns()
        moved = 0

        def work() -> None:
            nonlocal moved
            moved = transfer.run()

        def done(raised: BaseException | None) -> None:
            transfer.finish()
            taken = perf_counter_ns() - started
            self._counters.lengthen(header.opcode, taken)
            if note is not None:
                note(taken)
            self._reply(header.unique, raised, encode(moved) if raised is None else b"")

        self._workers.start(work, done)
        return None

    def _reply(self, unique: int, raised: BaseException | None, payload: bytes) -> None:
        error = 0
        if isinstance(raised, OSError):
            error = raised.errno or EIO
        elif raised is not None:
            self._fault("transfer", raised)
            error = EIO
        self._send(unique, error, payload)

    def finish_all(self, unique: int, size: int) -> bytes:
        """Complete all lazy copies; the reply is the value of `FINISH`, sent after the last. Returns
        what is to be sent at once: the reply to a caller who asks for the size of the value first,
        and will ask again."""
        if not size:
            return replies.reply(unique, replies.getxattr_out(len(b"%d" % (1 << 63))))
        self._finish(unique, self._fs.begin_complete_copies())
        return b""

    def _finish(self, unique: int, completion: CopyCompletion) -> None:
        """Complete one file, and so on; reply after the last."""
        transfer = completion.next()
        if transfer is None:
            self._reply(unique, completion.failed, b"%d" % completion.copied)
            return

        def done(raised: BaseException | None) -> None:
            try:
                completion.done(transfer, raised)
                self._finish(unique, completion)
            except Exception as error:  # noqa: BLE001 - the server must outlive every request
                self._reply(unique, error, b"")

        self._workers.start(transfer.run, done)
