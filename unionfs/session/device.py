"""The device session: answers the requests that arrive on a /dev/fuse descriptor.

One request is read, handled and answered before the next is read: no event loop stands between two
of them, because one turn of trio costs more than most requests do (docs/decisions/0300). Only the
copying of big files goes to threads (copies.py). `serve_in_trio` is the same thing for programs
that live in trio.

The server never dies of a request: whatever a handler raises becomes an errno.
"""

from __future__ import annotations

import os
import sys
from errno import EAGAIN, ECONNABORTED, EINTR, EIO, ENODEV, ENOENT, ENOSYS, EOPNOTSUPP, EPROTO
from io import FileIO
from os import sched_yield, write
from struct import Struct
from time import perf_counter_ns

from unionfs.filesystem import FileSystem
from unionfs.model import ROOT_NODE
from unionfs.session import decoding, negotiation, replies, requests, wire
from unionfs.session.busy_poll import LOOK, Patience
from unionfs.session.copies import CHANGES, Copies
from unionfs.session.counters import FINISH, Counters
from unionfs.session.decoding import ProtocolError
from unionfs.session.fast_data import HotPaths
from unionfs.session.fast_names import HotNames
from unionfs.session.handlers import Handler, Handlers
from unionfs.session.options import DEFAULTS, ServeOptions
from unionfs.session.requests import Header
from unionfs.session.slow_reads import SLOW, SlowReads
from unionfs.session.splicing import Splicer
from unionfs.session.wire import InitFlag, Opcode
from unionfs.session.workers import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.session.transfers import Transfers

_HEADER = wire.IN_HEADER.size
_HEAD = _HEADER + decoding.FIXED_PART
_BUFFER = _HEAD + negotiation.MAX_WRITE + wire.MIN_READ_BUFFER
_PID = Struct("=I")
_PID_AT = 32
"""Where fuse_in_header has the process."""
_START = Struct("=IIQQ12xH")
"""Of fuse_in_header: length, opcode, unique, node, and how much of it is extensions."""
_COPY_BELOW = 8192
"""A reply up to this size is cheaper to copy behind its header than to write from two places."""

_GONE = frozenset({ENODEV, ECONNABORTED})
_TRY_AGAIN = frozenset({EINTR, EAGAIN, ENOENT})
"""ENOENT: the request was interrupted before it could be read (fuse_dev_do_read)."""


_TRANSFERS = (
    Opcode.FSYNC,
    Opcode.FSYNCDIR,
    Opcode.SYNCFS,
    Opcode.COPY_FILE_RANGE,
    Opcode.COPY_FILE_RANGE_64,
)
_CHANGES_NAMES = frozenset(
    (
        Opcode.CREATE,
        Opcode.TMPFILE,
        Opcode.MKNOD,
        Opcode.MKDIR,
        Opcode.SYMLINK,
        Opcode.LINK,
        Opcode.UNLINK,
        Opcode.RMDIR,
        Opcode.RENAME,
        Opcode.RENAME2,
    )
)
_OWN = frozenset({Opcode.INIT, Opcode.INTERRUPT})
_COPYING_THREADS = 4
_FLUSHING_THREADS = 16
_READING_THREADS = 16
_LSEEK = int(Opcode.LSEEK)
_READ = int(Opcode.READ)
_WRITE = int(Opcode.WRITE)
_NOTHING = memoryview(b"")
_REQUESTS_PER_TURN = 64


class DeviceSession:
    """One connection to the kernel. `run` serves it to its end.

    A signal handler that raises (SystemExit) ends it at once, as any exception that is not an
    `Exception`.
    """

    def __init__(self, device: int, filesystem: FileSystem, options: ServeOptions) -> None:
        self.counters = Counters()
        self._requests, self._nanoseconds = self.counters.requests, self.counters.nanoseconds
        self.negotiated: negotiation.Session | None = None
        self._device = device
        self._after_reply = filesystem.after_reply
        self._filesystem = filesystem
        self._options = options
        self.buffer = memoryview(bytearray(_BUFFER))
        """Where requests are read to."""
        self._read = FileIO(device, "r+", closefd=False).readinto
        self._handlers = Handlers(filesystem, options.timeout, self.counters).table
        self._setxattr_ext = False
        self._writeback = False
        copying, reading = Workers(_COPYING_THREADS), Workers(_READING_THREADS)
        self._flushing = Workers(_FLUSHING_THREADS)
        self.crews = (copying, self._flushing, reading)
        """Apart, for a flush may wait for a write that waits for a copy, and for a page that is
        being read."""
        self._handlers |= dict.fromkeys(_TRANSFERS, self._first_transfer)
        self._getxattr = self._handlers[Opcode.GETXATTR]
        self._handlers[Opcode.GETXATTR] = self._control
        self._late: int | None = None
        self._copies = Copies(
            filesystem, copying, self._answer_late, self._fault, durable=options.fsync
        )
        filesystem.know_callers(self._caller)
        if not options.fsync:
            del self._handlers[Opcode.FSYNC], self._handlers[Opcode.FSYNCDIR]
        if not options.xattrs:
            for opcode in (Opcode.GETXATTR, Opcode.LISTXATTR, Opcode.SETXATTR, Opcode.REMOVEXATTR):
                del self._handlers[opcode]
        self._splicer = Splicer(device)
        self._slow_reads = SlowReads(
            filesystem, reading, self._write, self._fault, counters=self.counters
        )
        must_wait = self._copies.must_wait
        hot = HotNames(filesystem, options.timeout, self.buffer, must_wait).table
        hot |= HotPaths(
            filesystem,
            options.timeout,
            self.buffer,
            must_wait,
            counters=self.counters,
            splicer=self._splicer,
            slow_reads=self._slow_reads,
        ).table
        self._hot = {opcode: path for opcode, path in hot.items() if opcode in self._handlers}

    def run(self) -> None:
        """Serve until the file system is unmounted, then wait for what still runs in threads."""
        read, buffer, handle = self._read, self.buffer, self.handle
        copying, flushing, reading = self.crews
        patience = Patience(wanted=self._options.spin)
        os.set_blocking(self._device, patience.rest != 0)
        try:
            while True:
                if copying.outstanding or flushing.outstanding or reading.outstanding:
                    if not self._run_beside_threads():
                        break
                    os.set_blocking(self._device, patience.rest != 0)
                    continue
                try:
                    received = read(buffer)
                    if received is None:
                        received = self._look()
                        if received is None:
                            patience.missed()
                            os.set_blocking(self._device, True)
                            continue
                        patience.found()
                except OSError as error:
                    if error.errno in _GONE:
                        break
                    if error.errno in _TRY_AGAIN:
                        continue
                    raise
                handle(received)
                if patience.rest > 0:
                    patience.rest -= 1
                    if not patience.rest:
                        os.set_blocking(self._device, False)
        finally:
            self.finish()

    def _look(self) -> int | None:
        """Read the request that comes within a moment; None if there is none. The descriptor does
        not block."""
        read, buffer, end = self._read, self.buffer, perf_counter_ns() + LOOK
        received = None
        while received is None and perf_counter_ns() < end:
            sched_yield()
            received = read(buffer)
        return received

    def finish(self) -> None:
        """Wait for what runs in threads."""
        for crew in self.crews:
            crew.finish()
        self._splicer.close()

    def run_available(self, limit: int) -> bool:
        """Serve at most `limit` requests, and no more than there are. False once the file system is
        unmounted. The descriptor must not block."""
        for _ in range(limit):
            try:
                received = self._read(self.buffer)
            except OSError as error:
                if error.errno in _GONE:
                    return False
                if error.errno in _TRY_AGAIN:
                    continue
                raise
            if received is None:
                return True
            self.handle(received)
        return True

    def _run_beside_threads(self) -> bool:
        """Serve while something is outstanding. False once the file system is unmounted."""
        from select import POLLIN, poll

        waiting = poll()
        waiting.register(self._device, POLLIN)
        for crew in self.crews:
            if crew.outstanding:
                waiting.register(crew.wakeup, POLLIN)
        waiting.poll()
        for crew in self.crews:
            if crew.outstanding:
                crew.settle()
        os.set_blocking(self._device, False)
        try:
            return self.run_available(1)
        finally:
            os.set_blocking(self._device, True)

    def handle(self, received: int) -> None:
        """Answer the message of `received` bytes in the buffer. Raises nothing for whatever it
        holds."""
        started = perf_counter_ns()
        if received >= _HEADER:
            length, opcode, unique, nodeid, extensions = _START.unpack_from(self.buffer)
            hot = self._hot.get(opcode)
            if hot is not None and length == received and not extensions:
                try:
                    reply = hot(unique, nodeid, length)
                except Exception as raised:  # noqa: BLE001 - the server must outlive every request
                    reply = self._refusal(opcode, unique, nodeid, raised)
                if reply is not None:
                    if reply:
                        try:
                            write(self._device, reply)
                        except OSError as failed:
                            self._unwritten(failed)
                    taken = perf_counter_ns() - started
                    self._requests[opcode] += 1
                    self._nanoseconds[opcode] += taken
                    if opcode in _CHANGES_NAMES:
                        self._run_after_reply()
                    elif taken >= SLOW and opcode == _READ:
                        self._slow_reads.expect()
                    return
        self._refer(received, started)

    def _refusal(self, opcode: int, unique: int, nodeid: int, raised: Exception) -> bytes:
        """The reply to a request that has raised; empty if the kernel wants none."""
        self.counters.errors += 1
        error = EIO
        if isinstance(raised, OSError):
            error = self._errno(opcode, nodeid, raised)
        else:
            self._fault(_name(opcode), raised)
        return b"" if opcode in wire.UNANSWERED else replies.error(unique, error)

    def _run_after_reply(self) -> None:
        try:
            self._after_reply()
        except Exception as raised:  # noqa: BLE001 - the server must outlive every request
            self._fault("tidy", raised)

    def _refer(self, received: int, started: int) -> None:
        """Answer by way of the reference: decoding.py, handlers.py, replies.py."""
        buffer = self.buffer
        try:
            header = decoding.decode_header(buffer, received)
        except ProtocolError as error:
            self._fault("message", error)
            return
        handler = self._handlers.get(header.opcode)
        if handler is None and header.opcode not in _OWN:
            self._send(header, ENOSYS, b"")
            return
        try:
            request = decoding.decode(
                header,
                bytes(buffer[_HEADER : min(received, _HEAD)]),
                buffer[_HEAD:received] if received > _HEAD else _NOTHING,
                setxattr_ext=self._setxattr_ext,
            )
        except ProtocolError as error:
            self._fault(_name(header.opcode), error)
            self._send(header, EIO, b"")
            return
        if handler is None:
            self._own(header, request)
        elif header.opcode == _LSEEK and self._writeback:
            self._flush_first(header, handler, request, started)
        elif header.opcode not in CHANGES or not self._held_back(header, handler, request, started):
            self._answer(header, handler, request, started)

    def _held_back(
        self, header: Header, handler: Handler, request: requests.Request, started: int
    ) -> bool:
        """True if the request waits for a copy, or has been answered that there can be none."""
        try:
            return self._copies.hold(header, handler, request, started)
        except OSError as raised:
            self._send(header, raised.errno or EIO, b"")
        except Exception as raised:  # noqa: BLE001 - the server must outlive every request
            self._fault(_name(header.opcode), raised)
            self._send(header, EIO, b"")
        return True

    def _flush_first(
        self, header: Header, handler: Handler, request: requests.Request, started: int
    ) -> None:
        """Answer once what the kernel has not written yet is with us: for LSEEK it does not see to
        that itself (fuse_lseek), and a caller that copies only what is no hole would lose data.

        An invalidation writes dirty pages back before it drops them
        (invalidate_inode_pages2_range), and so takes a server: it is sent from a thread.
        """
        invalidate = replies.notify_inval_inode(header.nodeid)

        def flush() -> None:
            write(self._device, invalidate)

        def flushed(_raised: BaseException | None) -> None:
            # Not told of: ENOENT, the kernel has nothing cached; EBUSY, a page is in use, yet
            # clean.
            self._answer(header, handler, request, started)

        self._flushing.start(flush, flushed)

    def _own(self, header: Header, request: requests.Request) -> None:
        """What concerns the session itself."""
        if isinstance(request, requests.Init):
            self._initialize(header, request)
        elif isinstance(request, requests.Interrupt) and self._copies.cancel(request.unique):
            # Anything not waiting for a thread was answered before this was read, or goes on to its
            # end.
            self._write(replies.error(request.unique, EINTR))

    def _initialize(self, header: Header, request: requests.Init) -> None:
        wishes = negotiation.Wishes(
            self._options.writeback, self._options.allow_idmap, self._options.posix_acl
        )
        agreed = negotiation.negotiate(request, wishes)
        if isinstance(agreed, negotiation.Unsupported):
            error, payload = (EPROTO, b"") if agreed.reply is None else (0, agreed.reply)
            self._send(header, error, payload)
            return
        self.negotiated = agreed
        self._setxattr_ext = agreed.has(InitFlag.SETXATTR_EXT)
        self._writeback = agreed.has(InitFlag.WRITEBACK_CACHE)
        self._send(header, 0, negotiation.init_out(agreed))

    def _answer(
        self, header: Header, handler: Handler, request: requests.Request, started: int
    ) -> None:
        """Run a handler and reply."""
        error = 0
        payload: bytes | None = b""
        try:
            payload = handler(header, request)
        except OSError as raised:
            error = self._errno(header.opcode, header.nodeid, raised)
        except Exception as raised:  # noqa: BLE001 - the server must outlive every request
            error = EIO
            self._fault(_name(header.opcode), raised)
        opcode = header.opcode
        if payload is not None or error:
            self._send(header, error, payload or b"")
        counters = self.counters
        counters.requests[opcode] += 1
        if opcode == _READ:
            counters.bytes[opcode] += len(payload or b"")
        elif opcode == _WRITE and not error:
            counters.bytes[opcode] += header.length - _HEAD
        counters.nanoseconds[opcode] += perf_counter_ns() - started
        if opcode in _CHANGES_NAMES:
            self._run_after_reply()

    def _transfers(self) -> Transfers:
        from unionfs.session.transfers import Transfers

        return Transfers(
            self._filesystem, self.crews[0], self._send, self._fault, counters=self.counters
        )

    def _first_transfer(self, header: Header, request: requests.Request) -> bytes | None:
        """Most mounts that live for a moment have none."""
        table = self._transfers().table
        self._handlers |= {opcode: table[opcode] for opcode in table if opcode in self._handlers}
        return self._handlers[header.opcode](header, request)

    def _control(self, header: Header, request: requests.Getxattr) -> bytes | None:
        """GETXATTR: what concerns the server, and else the file system."""
        if request.name == FINISH and header.nodeid == ROOT_NODE:
            from unionfs.session.callers import is_owner

            if is_owner(header.pid):
                return self._transfers().finish_all(header, request)
        return self._getxattr(header, request)

    def _answer_late(
        self, header: Header, handler: Handler, request: requests.Request, started: int
    ) -> None:
        """Answer a request that has waited, while the buffer holds another."""
        self._late = header.pid
        try:
            self._answer(header, handler, request, started)
        finally:
            self._late = None

    def _caller(self) -> int:
        """The process whose request is being answered. Asked for rather than told: few requests
        have anybody who wants to know."""
        if self._late is not None:
            return self._late
        pid: int = _PID.unpack_from(self.buffer, _PID_AT)[0]
        return pid

    def _errno(self, opcode: int, nodeid: int, raised: OSError) -> int:
        if self._options.debug:
            _log(f"{_name(opcode)} of node {nodeid}: {raised}")
        # ENOSYS would tell the kernel never to ask again for any file.
        return EOPNOTSUPP if raised.errno == ENOSYS else raised.errno or EIO

    def _send(self, header: Header, error: int, payload: bytes) -> None:
        unique = header.unique
        if error:
            self.counters.errors += 1
            if header.opcode not in wire.UNANSWERED:
                self._write(replies.error(unique, error))
        elif len(payload) <= _COPY_BELOW:
            self._write(replies.reply(unique, payload))
        else:
            try:
                os.writev(self._device, (replies.reply_header(unique, len(payload)), payload))
            except OSError as failed:
                self._unwritten(failed)

    def _write(self, message: bytes) -> None:
        try:
            write(self._device, message)
        except OSError as failed:
            self._unwritten(failed)

    def _unwritten(self, failed: OSError) -> None:
        """ENOENT: the request is no longer waited for. Gone: the next read says so too. Else the
        reply was malformed, and the kernel has failed the request."""
        if failed.errno != ENOENT and failed.errno not in _GONE:
            self._fault("reply", failed)

    def _fault(self, where: str, error: BaseException) -> None:
        self.counters.faults += 1
        from traceback import format_exception

        _log(f"{where}: {error!r}\n{''.join(format_exception(error))}")


def serve(device: int, filesystem: FileSystem, options: ServeOptions = DEFAULTS) -> Counters:
    """Answer requests on `device` until the file system is unmounted; then `filesystem.destroy()`.

    Runs in the calling thread and returns what was counted. The descriptor stays the caller's to
    close.
    """
    session = DeviceSession(device, filesystem, options)
    try:
        session.run()
    finally:
        filesystem.destroy()
    return session.counters


async def serve_in_trio(
    device: int, filesystem: FileSystem, options: ServeOptions = DEFAULTS
) -> Counters:
    """`serve` as a trio task, for a process that has other tasks. Cancellation ends it between two
    requests.

    A turn of trio is taken only when no request is waiting, or after sixty-four of them.
    """
    import trio

    os.set_blocking(device, False)
    session = DeviceSession(device, filesystem, options)
    settling: set[Workers] = set()

    async def settle(crew: Workers) -> None:
        while crew.outstanding:
            await trio.lowlevel.wait_readable(crew.wakeup)
            crew.settle()
        settling.discard(crew)

    try:
        async with trio.open_nursery() as nursery:
            while session.run_available(_REQUESTS_PER_TURN):
                for crew in session.crews:
                    if crew.outstanding and crew not in settling:
                        settling.add(crew)
                        nursery.start_soon(settle, crew)
                await trio.lowlevel.wait_readable(device)
            nursery.cancel_scope.cancel()
    finally:
        session.finish()
        filesystem.destroy()
    return session.counters


def _name(opcode: int) -> str:
    try:
        return Opcode(opcode).name.lower()
    except ValueError:
        return f"operation {opcode}"


def _log(text: str) -> None:
    try:
        sys.stderr.write(f"rootless-unionfs: {text.rstrip()}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        # Nobody listens any more; the file system goes on.
        pass
