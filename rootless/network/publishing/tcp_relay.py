"""Copies the bytes of a TCP connection of the host to one in the container and back, by splice(2): they do not pass
through this process's memory.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct

from rootless.light_stdlib import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.network.publishing.source_address import SourceAddresses

_PIPE_SIZE = 1 << 19
"""Bytes, half of the kernel's default limit for an unprivileged user (pipe(7)): more would leave the processor's caches
before they are written."""
_TURNS = 16
"""How often one direction is served before the others are."""
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
_RESET = struct.pack("=ii", 1, 0)
_SPARE_PIPES = 8


class Pipes:
    """Pipes that are empty, for the next direction that needs one."""

    def __init__(self) -> None:
        self._free: list[tuple[int, int]] = []

    def take(self) -> tuple[int, int]:
        if self._free:
            return self._free.pop()
        ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        except OSError:
            pass  # the user has many: a small one does
        return ends

    def give_back(self, ends: tuple[int, int]) -> None:
        """An empty pipe."""
        if len(self._free) < _SPARE_PIPES:
            self._free.append(ends)
        else:
            self.drop(ends)

    def drop(self, ends: tuple[int, int]) -> None:
        for end in ends:
            os.close(end)


class _Direction:
    """Bytes of one socket on their way to the other. There is a pipe only while some of them wait."""

    __slots__ = ("_pipe", "_pipes", "_target", "_waiting", "is_done", "is_read", "source")

    def __init__(self, source: socket.socket, target: socket.socket, pipes: Pipes) -> None:
        self.source, self._target, self._pipes = source, target, pipes
        self._pipe: tuple[int, int] | None = None
        self._waiting = 0
        self.is_read = False
        """The source has sent its last byte."""
        self.is_done = False
        """The target has it."""

    @property
    def wants_input(self) -> bool:
        return not self.is_read and not self._waiting

    @property
    def wants_output(self) -> bool:
        return bool(self._waiting)

    def pump(self) -> None:
        """Copy what there is. Raises OSError if one side is gone."""
        for _ in range(_TURNS):
            if self._waiting and not self._write():
                return
            if self.is_read or not self._read():
                break
        if self.is_read and not self._waiting and not self.is_done:
            self.is_done = True
            self._target.shutdown(socket.SHUT_WR)

    def _read(self) -> bool:
        """False if there is nothing to read."""
        if self._pipe is None:
            self._pipe = self._pipes.take()
        try:
            count = os.splice(self.source.fileno(), self._pipe[1], _PIPE_SIZE, flags=_FLAGS)
        except BlockingIOError:
            self._release()
            return False
        self._waiting = count
        if not count:
            self.is_read = True
            self._release()
        return True

    def _write(self) -> bool:
        """False if the target takes no more."""
        assert self._pipe is not None
        try:
            self._waiting -= os.splice(
                self._pipe[0], self._target.fileno(), self._waiting, flags=_FLAGS
            )
        except BlockingIOError:
            return False
        return not self._waiting

    def _release(self) -> None:
        if self._pipe is not None:
            self._pipes.give_back(self._pipe)
            self._pipe = None

    def close(self) -> None:
        if self._pipe is not None:
            self._pipes.drop(self._pipe)
            self._pipe = None


class TcpRelay:
    """One connection. `advance` is called when one of its sockets is ready; `interest` are the events of poll(2) that
    each waits for, by descriptor, until `is_finished`.
    """

    def __init__(
        self,
        client: socket.socket,
        peer: tuple[str, int],
        targets: list[tuple[str, int]],
        sources: SourceAddresses,
        pipes: Pipes,
    ) -> None:
        """`targets` are addresses of the container, tried one after the other."""
        self._client, self._peer = client, peer
        self._targets, self._sources, self._pipes = targets, sources, pipes
        self._upstream: socket.socket | None = None
        self._directions: tuple[_Direction, ...] = ()
        self.is_finished = False
        self._connect()

    @property
    def is_delivered(self) -> bool:
        """The kernel has everything for the client that the container has sent before it ended its half."""
        return self.is_finished or (bool(self._directions) and self._directions[1].is_done)

    def _connect(self) -> None:
        """Begin with the next address of the container; without one the client is reset, as if nothing listened."""
        while self._targets:
            target = self._targets.pop(0)
            family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
            kind = socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            upstream = socket.socket(family, kind)
            self._sources.bind(upstream, *self._peer)
            number = upstream.connect_ex(target)
            if number in {0, errno.EINPROGRESS}:
                self._upstream = upstream
                return
            upstream.close()
        self.abort()

    def interest(self) -> dict[int, int]:
        upstream = self._upstream
        if self.is_finished or upstream is None:
            return {}
        if not self._directions:
            return {upstream.fileno(): select.POLLOUT}
        found: dict[int, int] = {}
        for direction, other in zip(self._directions, reversed(self._directions), strict=True):
            events = select.POLLIN if direction.wants_input else 0
            found[direction.source.fileno()] = events | (
                select.POLLOUT if other.wants_output else 0
            )
        return {descriptor: events for descriptor, events in found.items() if events}

    def advance(self) -> None:
        try:
            if not self._directions and not self._is_connected():
                return
            for direction in self._directions:
                direction.pump()
        except OSError:
            # A reset is passed on as one: what was sent before it is lost on the other side too.
            self.abort()
            return
        if all(direction.is_done for direction in self._directions):
            self._close()

    def _is_connected(self) -> bool:
        upstream = self._upstream
        assert upstream is not None
        number = upstream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            # Closed only now: the next socket must not have the number that epoll knows this one by.
            self._upstream = None
            self._connect()
            upstream.close()
            return False
        for each in (self._client, upstream):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._directions = (
            _Direction(self._client, upstream, self._pipes),
            _Direction(upstream, self._client, self._pipes),
        )
        return True

    def abort(self) -> None:
        """Reset both sides."""
        for each in (self._client, self._upstream):
            if each is not None:
                # Closing it sends a reset (socket(7), SO_LINGER).
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._close()

    def _close(self) -> None:
        self.is_finished = True
        for direction in self._directions:
            direction.close()
        self._client.close()
        if self._upstream is not None:
            self._upstream.close()
