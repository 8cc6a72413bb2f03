"""The device session: serves the requests that arrive on a /dev/fuse descriptor.

One request is read, handled and answered before the next is read: no event loop stands between two
of them, because one turn of trio costs more than most requests do (docs/decisions/0300). Only threads
copy big files and wait for disks (workers.py). `serve_in_trio` is the same thing for programs that
live in trio.
"""

from __future__ import annotations

import os
from errno import EAGAIN, EINTR, ENOENT
from io import FileIO
from os import sched_yield
from time import perf_counter_ns

from unionfs.filesystem import FileSystem
from unionfs.session.busy_poll import SPIN_NS, BusyPoll
from unionfs.session.counters import Counters
from unionfs.session.dispatch import GONE, Dispatcher
from unionfs.session.options import DEFAULTS, ServeOptions
from unionfs.session.workers import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from unionfs.session.continuation import Continuation
    from unionfs.session.tracer import Tracer

_TRY_AGAIN = frozenset({EINTR, EAGAIN, ENOENT})
"""ENOENT: the request was interrupted before it could be read (fuse_dev_do_read)."""

_REQUESTS_PER_TURN = 64


class DeviceSession:
    """One connection to the kernel. `run` serves it to its end.

    A signal handler that raises (SystemExit) ends it at once, as does any exception that is not an
    `Exception`.
    """

    def __init__(
        self,
        device: int,
        filesystem: FileSystem,
        options: ServeOptions,
        continuation: Continuation | None = None,
        tracer: Tracer | None = None,
        *,
        rest: Callable[[Counters], None] | None = None,
    ) -> None:
        """`rest`: as in `serve`."""
        self.dispatcher = Dispatcher(device, filesystem, options, continuation, tracer)
        self._device = device
        self._rest = rest
        self._spin = options.spin
        self._buffer = self.dispatcher.buffer
        self._read = FileIO(device, "r+", closefd=False).readinto

    def run(self) -> None:
        """Serve until the file system is unmounted, then wait for what threads still do."""
        read, buffer, handle = self._read, self._buffer, self.dispatcher.handle
        busy = self.dispatcher.busy
        poll = BusyPoll(wanted=self._spin)
        os.set_blocking(self._device, poll.rest != 0)
        try:
            while True:
                if busy.count:
                    if not self._run_beside_threads():
                        break
                    os.set_blocking(self._device, poll.rest != 0)
                    continue
                try:
                    received = read(buffer)
                    if received is None:
                        received = self._spin_for_request()
                        if received is None:
                            if self._rest is not None:
                                self._rest(self.dispatcher.counters)
                            poll.missed()
                            os.set_blocking(self._device, True)
                            continue
                        poll.found()
                except OSError as error:
                    if error.errno in GONE:
                        break
                    if error.errno in _TRY_AGAIN:
                        continue
                    raise
                handle(received)
                if poll.rest > 0:
                    poll.rest -= 1
                    if not poll.rest:
                        os.set_blocking(self._device, False)
        finally:
            self.dispatcher.finish()

    def _spin_for_request(self) -> int | None:
        """Read the request that comes within `SPIN_NS`; None if there is none. The descriptor does
        not block."""
        read, buffer, end = self._read, self._buffer, perf_counter_ns() + SPIN_NS
        received = None
        while received is None and perf_counter_ns() < end:
            sched_yield()
            received = read(buffer)
        return received

    def run_available(self, limit: int) -> bool:
        """Serve at most `limit` requests, and no more than there are. False once the file system is
        unmounted. The descriptor must not block."""
        for _ in range(limit):
            try:
                received = self._read(self._buffer)
            except OSError as error:
                if error.errno in GONE:
                    return False
                if error.errno in _TRY_AGAIN:
                    continue
                raise
            if received is None:
                return True
            self.dispatcher.handle(received)
        return True

    def _run_beside_threads(self) -> bool:
        """Serve while threads have work. False once the file system is unmounted."""
        from select import POLLIN, poll

        waiting = poll()
        waiting.register(self._device, POLLIN)
        for pool in self.dispatcher.pools:
            if pool.outstanding:
                waiting.register(pool.wakeup, POLLIN)
        waiting.poll()
        for pool in self.dispatcher.pools:
            if pool.outstanding:
                pool.run_completions()
        os.set_blocking(self._device, False)
        try:
            return self.run_available(1)
        finally:
            os.set_blocking(self._device, True)


def serve(
    device: int,
    filesystem: FileSystem,
    options: ServeOptions = DEFAULTS,
    continuation: Continuation | None = None,
    tracer: Tracer | None = None,
    *,
    rest: Callable[[Counters], None] | None = None,
) -> Counters:
    """Answer requests on `device` until the file system is unmounted; then `filesystem.destroy()`.

    Runs in the calling thread and returns the counters. The caller closes the descriptor.

    Args:
        continuation: of a connection that goes on if this process is killed. If it is not the first
            server, the kernel is asked for the requests that the last one has not answered.
        tracer: notes what is read, listed and looked for; None: nothing does.
        rest: called between two requests, and without one that is read and not answered, whenever the descriptor does not
            block and has no request; a signal handler may make it so. It need not return.
    """
    session = DeviceSession(device, filesystem, options, continuation, tracer, rest=rest)
    if continuation is not None and not continuation.is_first:
        continuation.resume(device)
    try:
        session.run()
    finally:
        filesystem.destroy()
    return session.dispatcher.counters


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
    dispatcher = session.dispatcher
    completing: set[Workers] = set()

    async def run_completions(pool: Workers) -> None:
        while pool.outstanding:
            await trio.lowlevel.wait_readable(pool.wakeup)
            pool.run_completions()
        completing.discard(pool)

    try:
        async with trio.open_nursery() as nursery:
            while session.run_available(_REQUESTS_PER_TURN):
                for pool in dispatcher.pools:
                    if pool.outstanding and pool not in completing:
                        completing.add(pool)
                        nursery.start_soon(run_completions, pool)
                await trio.lowlevel.wait_readable(device)
            nursery.cancel_scope.cancel()
    finally:
        dispatcher.finish()
        filesystem.destroy()
    return dispatcher.counters
