"""`Engine` for programs that use trio.

Its methods are those that wait, and can be cancelled. The others are methods of its `Engine`, `engine`; call
one in a thread (trio.to_thread) if it may take long.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import trio

from rootless.engine.captured import (
    Completed,
    completed,
    exec_argv,
    exec_environment,
    kept,
    reported_error,
)
from rootless.engine.engine import Engine
from rootless.engine.lifecycle.verbs import begin_wait
from rootless.errors import NotFoundError

if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord
    from rootless.events.event import Event
    from rootless.events.filters import EventFilters
    from rootless.events.stream import EventStream
    from rootless.logs.reader import LogRequest
    from rootless.spec.exec_options import ExecOptions
    from rootless.spec.options import ContainerOptions

_Value = TypeVar("_Value")
_CHUNK = 65536


class AsyncEngine:
    """The operations on one store that wait for containers, for trio. Several tasks may use it at the same
    time.

    Args:
        engine: By default that of the caller's environment.
    """

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine = engine or Engine()

    async def run(self, options: ContainerOptions) -> Completed:
        """Run a container to its end, without standard input, and return its status and its output.

        The container is removed if `options.remove` is set. It is killed if the task is cancelled. Raises
        RootlessError if it could not be started.
        """
        record = await self.start_new(kept(options))
        try:
            status = await self.wait(record.id)
            pieces = await self._in_thread(lambda: list(self.engine.logs(record.id)))
            return completed(status, pieces)
        finally:
            with trio.CancelScope(shield=True):
                await self._in_thread(lambda: self._end(record, remove=options.remove))

    async def start_new(self, options: ContainerOptions) -> ContainerRecord:
        """Create a container and start it in the background; it outlives this process. A cancellation takes
        effect after the start. Raises RootlessError.
        """
        return await self._in_thread(lambda: self.engine.run_detached(options))

    async def exec(self, name: str, options: ExecOptions, data: bytes = b"") -> Completed:
        """Run a command in a running container, with `data` as its standard input, and return its status and
        its output. The command continues if the task is cancelled, as one that has lost its client does.

        Raises NotFoundError, ConflictError if the container does not run or is paused, LaunchError if the
        command could not be executed.
        """
        with reported_error() as writer:
            done = await trio.run_process(
                exec_argv(self.engine.paths, name, options, writer),
                stdin=data,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                env=exec_environment(),
                pass_fds=(writer,),
            )
        return Completed(done.returncode, done.stdout, done.stderr)

    async def wait(self, name: str) -> int:
        """Wait for the end of a container; returns its exit status. Raises NotFoundError."""
        ending = await self._in_thread(lambda: begin_wait(self.engine.paths, name))
        if ending is None:
            return await self._in_thread(lambda: self.engine.wait(name))
        try:
            while True:
                await trio.lowlevel.wait_readable(ending.fileno())
                status = await self._in_thread(ending.receive)
                if status is not None:
                    return status
        finally:
            ending.close()

    @asynccontextmanager
    async def logs(
        self, name: str, request: LogRequest | None = None
    ) -> AsyncIterator[AsyncIterator[tuple[int, bytes]]]:
        """The output of a container, with `follow` until it ends: an iterator, valid in the block, over pieces
        with the number of their stream, 1 or 2.

        Raises NotFoundError, and RootlessError if its log driver keeps nothing.
        """
        sender, receiver = trio.open_memory_channel[tuple[int, bytes]](0)
        cancelled, cancel = os.pipe2(os.O_CLOEXEC)
        pieces = self.engine.logs(name, request, cancelled=cancelled)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_send_each, pieces, sender)
                nursery.start_soon(_write_when_cancelled, cancel)
                async with receiver:
                    yield receiver
                nursery.cancel_scope.cancel()
        finally:
            pieces.close()
            os.close(cancelled)
            os.close(cancel)

    @asynccontextmanager
    async def events(
        self,
        filters: EventFilters | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """The events of containers, images and volumes: an iterator, valid in the block. The arguments are
        those of `Engine.events`.
        """
        with self.engine.events(filters, since=since, until=until) as stream:
            yield _Events(stream)

    def _end(self, record: ContainerRecord, *, remove: bool) -> None:
        """Kill a container that still runs, and remove it if asked for."""
        try:
            if remove:
                self.engine.remove(record.id, force=True)
            else:
                self.engine.stop(record.id, timeout=0)
        except NotFoundError:
            pass

    @staticmethod
    async def _in_thread(function: Callable[[], _Value]) -> _Value:
        return await trio.to_thread.run_sync(function)


class _Events:
    """The events of a stream, which the caller closes. No generator: one that is left before its end would
    have to be closed by a task.
    """

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._found: deque[Event] = deque()
        self._is_over = False

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        await trio.lowlevel.checkpoint()
        while not self._found:
            if self._is_over:
                raise StopAsyncIteration
            await self._read()
        return self._found.popleft()

    async def _read(self) -> None:
        """Add what has been written; wait if that is nothing."""
        remaining = self._stream.remaining()
        self._found.extend(self._stream.read())
        self._is_over = remaining == 0
        if not self._found and not self._is_over:
            with trio.move_on_after(math.inf if remaining is None else remaining):
                await trio.lowlevel.wait_readable(self._stream.fileno())


async def _send_each(
    pieces: Iterator[tuple[int, bytes]], sender: trio.MemorySendChannel[tuple[int, bytes]]
) -> None:
    """Each piece is read in a thread: a log that is followed is waited for there."""
    async with sender:
        while (piece := await trio.to_thread.run_sync(next, pieces, None)) is not None:
            await sender.send(piece)


async def _write_when_cancelled(descriptor: int) -> None:
    """The thread that follows a log learns by it that its task is cancelled."""
    try:
        await trio.sleep_forever()
    finally:
        os.write(descriptor, b"\n")
