"""From a message to its reply: one table of methods by opcode, and what is common to all of them.

The server never dies of a request: whatever a method raises becomes an errno.
"""

from __future__ import annotations

import os
import select
import sys
from errno import ECONNABORTED, EINTR, EIO, ENODEV, ENOENT, ENOSYS, EOPNOTSUPP, EPROTO
from os import write
from struct import Struct
from time import perf_counter_ns

from unionfs.filesystem import FileSystem
from unionfs.light_types import partial
from unionfs.model import LOOKED_UP_ROOT, ROOT_NODE, NodeId
from unionfs.session import decoding, negotiation, replies, requests, wire
from unionfs.session.copies import Copies, Kept, MustWait
from unionfs.session.counters import BUCKET_BITS, FINISH, FREEZE, Counters
from unionfs.session.decoding import ProtocolError
from unionfs.session.fast_data import Answer, FastData
from unionfs.session.fast_names import FastNames
from unionfs.session.handlers import Handlers, sized
from unionfs.session.options import ServeOptions
from unionfs.session.requests import Header
from unionfs.session.slow_reads import SLOW, SlowReads
from unionfs.session.splicing import Splicer
from unionfs.session.wire import InitFlag, Opcode
from unionfs.session.workers import Busy, Workers
from unionfs.syscalls.memory import zeros

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.session.continuation import Continuation
    from unionfs.session.throttle import Throttle
    from unionfs.session.tracer import Tracer
    from unionfs.session.transfers import TransferHandlers

_HEADER = wire.IN_HEADER.size
_BUFFER = _HEADER + wire.WRITE_IN.size + negotiation.MAX_WRITE + wire.MIN_READ_BUFFER
_PID = Struct("=I")
_PID_AT = 32
"""Of fuse_in_header: the process."""
_START = Struct("=IIQQ12xH")
"""Of fuse_in_header: length, opcode, unique, node, and how much of it is extensions."""

GONE = frozenset({ENODEV, ECONNABORTED})
"""What reading and writing a device gives once the file system is unmounted."""

_TRANSFERS = (
    Opcode.FSYNC,
    Opcode.FSYNCDIR,
    Opcode.FLUSH,
    Opcode.SYNCFS,
    Opcode.COPY_FILE_RANGE,
    Opcode.COPY_FILE_RANGE_64,
)
_XATTRS = (Opcode.GETXATTR, Opcode.LISTXATTR, Opcode.SETXATTR, Opcode.REMOVEXATTR)
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
_COPYING_THREADS = 4
_FLUSHING_THREADS = 16
_READING_THREADS = 16
_READ = int(Opcode.READ)


def _left_to_kernel(options: ServeOptions, *, flushes: bool) -> tuple[Opcode, ...]:
    """The requests that are answered ENOSYS by choice. `flushes`: FLUSH is not one of them."""
    syncs = () if options.fsync else (Opcode.FSYNC, Opcode.FSYNCDIR)
    return (*syncs, *(() if flushes else (Opcode.FLUSH,)), *(() if options.xattrs else _XATTRS))


class Dispatcher:
    """Answers the messages that are put into `buffer`, on `device`. `continuation`: what another server
    of the connection will need, and what one has left. `tracer` notes what is read."""

    def __init__(
        self,
        device: int,
        filesystem: FileSystem,
        options: ServeOptions,
        continuation: Continuation | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._continuation = continuation
        self.counters = Counters()
        self._buckets, self._nanoseconds = self.counters.buckets, self.counters.nanoseconds
        self.negotiated: negotiation.Agreement | None = None
        self._device = device
        self._filesystem = filesystem
        self._after_reply = filesystem.after_reply
        self._options = options
        self.buffer = zeros(_BUFFER)
        """Where messages are read to."""
        self.busy = Busy()
        self._copying = Workers(_COPYING_THREADS, self.busy)
        self._flushing = Workers(_FLUSHING_THREADS, self.busy)
        reading = Workers(_READING_THREADS, self.busy)
        self.pools = [self._copying, self._flushing, reading]
        """Separate, for a flush may wait for a write that waits for a copy, and for a page that is
        being read."""
        self._setxattr_ext = False
        self._writeback = False
        self._flushed = 0
        """The number of the request that is handled again after a flush; never that of another, for
        numbers do not repeat."""
        filesystem.know_callers(self._caller)
        self._copies = Copies(
            filesystem,
            self._copying,
            self._resume,
            self._fault,
            durable=options.fsync or filesystem.defers_errors,
        )
        self._splicer = Splicer(device)
        self._slow_reads = SlowReads(
            filesystem, reading, self._write, self._fault, counters=self.counters
        )
        seconds = int(options.timeout)
        valid = (seconds, int((options.timeout - seconds) * 1_000_000_000))
        self._valid = valid
        self._handlers = Handlers(
            filesystem,
            valid,
            self._copies,
            acls=options.posix_acl,
            records_owners=options.records_owners,
            writeback=options.writeback,
        ).table
        self._handlers |= dict.fromkeys(_TRANSFERS, self._first_transfer)
        self._table: dict[int, Answer] = dict.fromkeys(self._handlers, self._decoded)
        self._table |= FastNames(filesystem, valid, self.buffer, self._copies).table
        self._table |= FastData(
            filesystem,
            valid,
            self.buffer,
            self._copies,
            counters=self.counters,
            splicer=self._splicer,
            slow_reads=self._slow_reads,
            device=device,
            control=self._control,
            acls=options.posix_acl,
        ).table
        self._table |= {
            Opcode.INIT: self._initialize,
            Opcode.INTERRUPT: self._interrupt,
            Opcode.LSEEK: self._lseek,
        }
        if tracer is not None:
            self._table |= tracer.wrap(self._table, filesystem, self.buffer, self._write)
        self._throttle = self._make_throttle()
        if self._throttle is not None:
            self._table |= self._throttle.wrap(self._table)
        if continuation is not None:
            self._table |= continuation.wrap(self._table, filesystem, self.buffer)
            if continuation.agreement is not None:
                self._agree(continuation.agreement)
        if options.root_name:
            self._lookup = self._table[Opcode.LOOKUP]
            self._root_name = os.fsencode(options.root_name) + b"\0"
            self._table[Opcode.LOOKUP] = self._lookup_root
        for opcode in _left_to_kernel(options, flushes=filesystem.defers_errors):
            del self._table[opcode]

    def _make_throttle(self) -> Throttle | None:
        bps, iops = self._options.bps, self._options.iops
        if bps is None and iops is None:
            return None
        from unionfs.session.throttle import Throttle

        clock = Workers(1, self.busy)
        self.pools.append(clock)
        return Throttle(bps, iops, self.buffer, clock, self._resume)

    def handle(self, received: int, started: int = 0) -> None:
        """Answer the message of `received` bytes in the buffer, which was read at `started` (now by
        default). Raises nothing for whatever it holds."""
        if not started:
            started = perf_counter_ns()
        length, opcode, unique, nodeid, extensions = _START.unpack_from(self.buffer)
        if received < _HEADER or length != received:
            self._fault("message", ProtocolError(f"{received} bytes with a length of {length}"))
            return
        method = self._table.get(opcode)
        if method is None:
            # The kernel does the operation itself, or without it, and does not ask again.
            self._send(unique, ENOSYS, b"")
            return
        try:
            if extensions:
                # None is asked for at INIT; they are at the end.
                length = _without_extensions(length, extensions)
            reply = method(unique, nodeid, length)
        except MustWait as wait:
            kept = self._keep(wait, Kept(bytes(self.buffer[:received]), unique, started))
            if kept is None:
                return
            reply = self._refusal(opcode, unique, nodeid, kept)
        except Exception as raised:  # noqa: BLE001 - the server must outlive every request
            reply = self._refusal(opcode, unique, nodeid, raised)
        if reply:
            try:
                write(self._device, reply)
            except OSError as failed:
                self._unwritten(failed)
        taken = perf_counter_ns() - started
        self._buckets[opcode << BUCKET_BITS | taken.bit_length()] += 1
        self._nanoseconds[opcode] += taken
        if opcode in _CHANGES_NAMES:
            self._run_after_reply()
        elif taken >= SLOW and opcode == _READ:
            self._slow_reads.note_request(taken)

    @staticmethod
    def _keep(wait: MustWait, request: Kept) -> Exception | None:
        """Have a request wait. Returns what prevents that."""
        try:
            wait.keep(request)
        except Exception as raised:  # noqa: BLE001 - the server must outlive every request
            return raised
        return None

    def _resume(self, kept: Kept) -> None:
        """Handle a request again. Called between two messages: the buffer is free."""
        size = len(kept.message)
        self.buffer[:size] = kept.message
        self.handle(size, kept.started)

    def finish(self) -> None:
        """Wait for what threads do."""
        for pool in self.pools:
            pool.finish()
        self._splicer.close()

    # ---- failures --------------------------------------------------------------------------------

    def _refusal(self, opcode: int, unique: int, nodeid: int, raised: Exception) -> bytes:
        """The reply to a request that has raised; empty if the kernel wants none."""
        self.counters.errors += 1
        error = EIO
        if isinstance(raised, OSError):
            if self._options.debug:
                _log(f"{_name(opcode)} of node {nodeid}: {raised}")
            # ENOSYS would tell the kernel never to ask again for any file.
            error = EOPNOTSUPP if raised.errno == ENOSYS else raised.errno or EIO
        else:
            self._fault(_name(opcode), raised)
        return b"" if opcode in wire.UNANSWERED else replies.error(unique, error)

    def _run_after_reply(self) -> None:
        try:
            self._after_reply()
        except Exception as raised:  # noqa: BLE001 - the server must outlive every request
            self._fault("after_reply", raised)

    def _fault(self, where: str, error: BaseException) -> None:
        self.counters.faults += 1
        from traceback import format_exception

        _log(f"{where}: {error!r}\n{''.join(format_exception(error))}")

    # ---- requests that are decoded to values -----------------------------------------------------

    def _decoded(self, unique: int, _nodeid: NodeId, length: int) -> bytes:
        header = decoding.decode_header(self.buffer)
        body = bytes(self.buffer[_HEADER:length])
        request = decoding.decode(header.opcode, body, setxattr_ext=self._setxattr_ext)
        payload = self._handlers[header.opcode](header, request)
        return b"" if payload is None else replies.reply(unique, payload)

    def _first_transfer(self, header: Header, request: requests.Request) -> bytes | None:
        """Most mounts that live for a moment have none."""
        self._handlers |= self._transfers().table
        return self._handlers[header.opcode](header, request)

    def _transfers(self) -> TransferHandlers:
        from unionfs.session.transfers import TransferHandlers

        return TransferHandlers(
            self._filesystem,
            self._copying,
            self._copies,
            self._send,
            self._fault,
            counters=self.counters,
        )

    def _lseek(self, unique: int, nodeid: NodeId, length: int) -> bytes:
        """Under writeback the kernel does not write dirty pages back before it sends LSEEK
        (fuse_lseek), and a caller that copies only what is no hole would lose data."""
        if self._writeback and unique != self._flushed:
            raise MustWait(partial(self._flush, nodeid))
        return self._decoded(unique, nodeid, length)

    def _flush(self, nodeid: NodeId, request: Kept) -> None:
        """Have the kernel write a file's dirty pages back, then handle the request again.

        An invalidation writes dirty pages back before it drops them
        (invalidate_inode_pages2_range), and so needs the server: it is sent by a thread.
        """
        invalidate = replies.notify_inval_inode(nodeid)

        def flush() -> None:
            write(self._device, invalidate)

        def flushed(_raised: BaseException | None) -> None:
            # Not reported: ENOENT, the kernel has nothing cached; EBUSY, a page is in use, yet
            # clean.
            self._flushed = request.unique
            self._resume(request)

        self._flushing.start(flush, flushed)

    def _lookup_root(self, unique: int, nodeid: NodeId, length: int) -> bytes | memoryview:
        if nodeid != ROOT_NODE or self.buffer[_HEADER:length] != self._root_name:
            return self._lookup(unique, nodeid, length)
        # It is asked for once.
        self._table[Opcode.LOOKUP] = self._lookup
        root = self._filesystem.getattr(ROOT_NODE)
        return replies.reply(unique, replies.entry_out(LOOKED_UP_ROOT, root, self._valid))

    # ---- the session's own requests --------------------------------------------------------------

    def _initialize(self, unique: int, _nodeid: NodeId, length: int) -> bytes:
        request = decoding.decode_init(bytes(self.buffer[_HEADER:length]))
        wishes = negotiation.Wishes(
            self._options.writeback,
            self._options.allow_idmap,
            self._options.posix_acl,
            self._options.readdirplus,
        )
        agreed = negotiation.negotiate(request, wishes)
        if isinstance(agreed, negotiation.Unsupported):
            if agreed.reply is None:
                raise OSError(EPROTO, os.strerror(EPROTO))
            return replies.reply(unique, agreed.reply)
        self._agree(agreed)
        if self._continuation is not None:
            resends = bool(request.flags & InitFlag.HAS_RESEND)
            self._continuation.note_agreement(agreed, resends=resends)
        return replies.reply(unique, negotiation.init_out(agreed))

    def _agree(self, agreed: negotiation.Agreement) -> None:
        self.negotiated = agreed
        self._setxattr_ext = agreed.has(InitFlag.SETXATTR_EXT)
        self._writeback = agreed.has(InitFlag.WRITEBACK_CACHE)

    def _interrupt(self, _unique: int, _nodeid: NodeId, length: int) -> bytes:
        """The request that is interrupted has been answered before this was read, or waits for a
        copy or until it is due, or is carried out by a thread and goes on to its end."""
        interrupted = decoding.decode_interrupt(bytes(self.buffer[_HEADER:length]))
        waited = self._copies.cancel(interrupted) or (
            self._throttle is not None and self._throttle.cancel(interrupted)
        )
        if not waited:
            return b""
        return replies.error(interrupted, EINTR)

    def _control(self, unique: int, name: bytes, size: int) -> bytes | None:
        """Read an attribute of the root that the session itself has, for its owner."""
        from unionfs.session.callers import is_owner

        if name.startswith(FREEZE):
            if size:
                self._wait_for_files()
                self._filesystem.request_freeze(name[len(FREEZE) :])
            return replies.reply(unique, sized(b"1", size))
        if not is_owner(self._caller()):
            return None
        if name == FINISH:
            return self._transfers().finish_all(unique, size)
        document = self.counters.document("device", self._filesystem.copy_up_stats)
        return replies.reply(unique, sized(document, size))

    def _wait_for_files(self) -> None:
        """Wait for the threads that copy and sync files. None of them waits for this one."""
        pool = self._copying
        while pool.outstanding:
            poll = select.poll()
            poll.register(pool.wakeup, select.POLLIN)
            poll.poll()
            pool.run_completions()

    def _caller(self) -> int:
        """The process whose request is being handled. The file system asks for it, because few
        requests need it."""
        pid: int = _PID.unpack_from(self.buffer, _PID_AT)[0]
        return pid

    # ---- replies ---------------------------------------------------------------------------------

    def _send(self, unique: int, error: int, payload: bytes) -> None:
        """Reply to a request that has no method, or that a thread has carried out."""
        if error:
            self.counters.errors += 1
            self._write(replies.error(unique, error))
        else:
            self._write(replies.reply(unique, payload))

    def _write(self, message: bytes | memoryview) -> None:
        try:
            write(self._device, message)
        except OSError as failed:
            self._unwritten(failed)

    def _unwritten(self, failed: OSError) -> None:
        """ENOENT: the caller no longer waits for the request. Gone: the next read says so too. Else
        the reply was malformed, and the kernel has failed the request."""
        if failed.errno != ENOENT and failed.errno not in GONE:
            self._fault("reply", failed)


def _without_extensions(length: int, extensions: int) -> int:
    """The length of a message without its extensions, which are counted in units of 8 bytes."""
    length -= 8 * extensions
    if length < _HEADER:
        raise ProtocolError("the extensions are longer than the message")
    return length


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
        # The reader of stderr has gone; the file system goes on.
        pass
