"""Moves bytes between the caller's standard streams and the container's, with back-pressure.

One thread, one poll(2) loop, three flows at most. Every flow holds at most one chunk: while the sink
is full, the source is not read, so memory does not grow, and a container that writes faster than its
reader reads is slowed down as by a plain pipe.

The caller's descriptors are shared with other processes, so they are never made non-blocking
(O_NONBLOCK belongs to the open file description, open(2)). Instead the container's ends are
non-blocking, and the caller's pipes are written with splice(2) and SPLICE_F_NONBLOCK, which does not
copy. Only a terminal or a file is written with a plain write(2): a terminal blocks when the user wants
it to (ctrl-s), and a file not for long.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import time

from rootless.light_stdlib import signal
from unionfs.light_types import Enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless.supervisor.terminals.detach_keys import KeyFilter

CHUNK = 65536
_SPLICE_F_NONBLOCK = 2  # not in os before Python 3.12
_HOLD = 0.5
"""Seconds after which keys that may be the first of those that detach go to the container."""
_HELD = 0.1
"""Seconds after which a source that may not be read is looked at again."""
_PEER_CLOSED = (errno.EPIPE, errno.ECONNRESET)


class Flow:
    """One direction. `ours` are those of the two descriptors that belong to the flow and close with
    it. `typed`: what is read is typed by a user, and goes through this filter. `may_read`: whether the source
    may be read now, which is asked again after some time if not.

    So the end of the source is passed on by closing the sink, and a sink that is gone closes the
    source: the writer then gets the SIGPIPE that a plain pipe would have given it. No descriptor
    may be in two flows; duplicate it.
    """

    def __init__(
        self,
        source: int,
        sink: int,
        *,
        ours: tuple[int, ...],
        typed: KeyFilter | None = None,
        may_read: Callable[[], bool] | None = None,
    ) -> None:
        self.source = source
        self.sink = sink
        self.done = False
        self._ours = ours
        self._typed = typed
        self._may_read = may_read
        self._released_at: float | None = None
        self._pending = b""
        self._waits_for_room = False
        self._splices = typed is None and _is_pipe(source) and _is_pipe(sink)

    def interest(self) -> tuple[int, int]:
        """The descriptor and the event to wait for (poll(2))."""
        if self._pending or self._waits_for_room:
            return self.sink, select.POLLOUT
        return self.source, select.POLLIN

    @property
    def is_held(self) -> bool:
        """Whether it has to wait, because the source may not be read now."""
        return self._may_read is not None and not self._pending and not self._may_read()

    def advance(self) -> None:
        """Move what can be moved without blocking."""
        try:
            if self._splices:
                self._splice()
            else:
                self._copy()
        except BlockingIOError:
            # The side that poll(2) named was ready, so it is the other one that is not.
            self._waits_for_room = self._splices and not self._waits_for_room
        except OSError as error:
            # EIO is how the master of a pseudo-terminal says that no slave is open (pty(7)).
            if error.errno not in (*_PEER_CLOSED, errno.EIO):
                self.finish()
                raise
            self.finish()

    def _splice(self) -> None:
        moved = os.splice(self.source, self.sink, 1 << 20, flags=_SPLICE_F_NONBLOCK)
        self._waits_for_room = False
        if moved == 0:
            self.finish()

    def _copy(self) -> None:
        if not self._pending:
            data = os.read(self.source, CHUNK)
            if not data:
                self.finish()
                return
            self._pending = data if self._typed is None else self._filtered(self._typed, data)
        written = os.write(self.sink, self._pending)
        self._pending = self._pending[written:]

    def _filtered(self, typed: KeyFilter, data: bytes) -> bytes:
        passed = typed(data)
        self._released_at = time.monotonic() + _HOLD if typed.holds else None
        return passed

    def wait_limit(self) -> float | None:
        """Milliseconds until keys that are held back are to be released."""
        if self._released_at is None or self.done:
            return None
        return max(0.0, self._released_at - time.monotonic()) * 1000

    def release(self) -> None:
        """Pass keys on that have been held back for long enough."""
        if self._typed is not None and self.wait_limit() == 0:
            self._released_at = None
            self._pending += self._typed.release()

    def finish(self) -> None:
        """End the flow and close `ours`. Idempotent."""
        if self.done:
            return
        self.done = True
        self._pending = b""
        for descriptor in self._ours:
            os.close(descriptor)


class SignalWakeup:
    """Wakes poll(2) for a signal that came just before it. Python's handlers run between two instructions of
    the interpreter: the handler of a signal after the last of them would wait as long as the call.

    From its making to `close`, `fd` can be read when a signal with a handler has come. In another thread
    than the main one, where no handler runs, `fd` is -1.
    """

    def __init__(self) -> None:
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        except ValueError:  # not in the main thread
            os.close(reader)
            os.close(writer)
            reader = -1
        self.fd = reader
        self._writer = writer

    def read(self) -> bool:
        """Make room; the handler runs before the next call. Returns True, as a function that `relay` calls."""
        try:
            os.read(self.fd, CHUNK)
        except BlockingIOError:
            pass
        return True

    def close(self) -> None:
        if self.fd >= 0:
            signal.set_wakeup_fd(self._before, warn_on_full_buffer=False)
            os.close(self.fd)
            os.close(self._writer)
            self.fd = -1


class _Step(Enum):
    """What has come of one poll(2)."""

    MOVED = "moved"
    """Something, or a flow waits for a time."""
    IDLE = "idle"
    """Nothing within the limit."""
    ENDED = "ended"
    """A watched function has returned False."""


def relay(
    flows: list[Flow],
    watched: Mapping[int, Callable[[], bool]],
    *,
    seconds: float | None = None,
    quiet: float | None = None,
) -> bool:
    """Keep all flows going, and call the function of a watched descriptor whenever it can be read. Handlers
    of signals run at once. A flow that ends is left out; the others go on.

    Returns False when a watched function has returned False, and True after `seconds`, or when nothing has come for
    `quiet` seconds and no flow waits for a time.
    """
    wakeup = SignalWakeup()
    if wakeup.fd >= 0:
        watched = {**watched, wakeup.fd: wakeup.read}
    try:
        if seconds is None:
            limit = None if quiet is None else quiet * 1000
            while (step := _relay_once(flows, watched, limit)) is _Step.MOVED:
                pass
            return step is _Step.IDLE
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if _relay_once(flows, watched, left * 1000) is _Step.ENDED:
                return False
        return True
    finally:
        wakeup.close()


def _relay_once(
    flows: list[Flow], watched: Mapping[int, Callable[[], bool]], limit: float | None
) -> _Step:
    """`limit`: milliseconds to wait at most."""
    poll = select.poll()
    waiting: dict[int, Flow] = {}
    held = False
    for flow in flows:
        if not flow.done and flow.is_held:
            held = True
        elif not flow.done:
            descriptor, events = flow.interest()
            waiting[descriptor] = flow
            poll.register(descriptor, events)
    for descriptor in watched:
        poll.register(descriptor, select.POLLIN)
    limits = [each for flow in flows if (each := flow.wait_limit()) is not None]
    if held:
        limits.append(_HELD * 1000)
    is_timed = bool(limits)
    if limit is not None:
        limits.append(limit)
    ready = poll.poll(min(limits, default=None))
    for flow in flows:
        flow.release()
    for descriptor, _ in ready:
        if descriptor in watched:
            if not watched[descriptor]():
                return _Step.ENDED
        elif not waiting[descriptor].done:
            waiting[descriptor].advance()
    return _Step.MOVED if ready or is_timed else _Step.IDLE


def drain(flows: list[Flow]) -> None:
    """Move what the container had written when it ended, and end the flows.

    Its processes have ended, so everything is in the pipes already. A process of the host that holds
    a pipe open (--pid=host) is not waited for: the flow ends when nothing can be read.
    """
    for flow in flows:
        while not flow.done:
            descriptor, events = flow.interest()
            poll = select.poll()
            poll.register(descriptor, events)
            if events == select.POLLIN and not poll.poll(0):
                flow.finish()
            else:
                poll.poll()
                flow.advance()


def catch_up(flows: list[Flow]) -> None:
    """Move what can be read of the container's output now."""
    for flow in flows:
        poll = select.poll()
        poll.register(flow.source, select.POLLIN)
        while flow.source != 0 and not flow.done and poll.poll(0):
            flow.advance()


def _is_pipe(descriptor: int) -> bool:
    """Whether splice(2) takes it as a pipe; it refuses what is open for appending."""
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
        return False
    return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
