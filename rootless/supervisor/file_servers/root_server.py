"""The file server of a container's root during one run: replaced when it is killed, or by one of another release."""

from __future__ import annotations

import os
import time

from rootless.errors import RootlessError
from rootless.supervisor.engine_log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.containers.launch_description import LaunchDescription
    from rootless.supervisor.clients import Client
    from rootless.supervisor.file_servers.file_server import FileServer
    from rootless.supervisor.file_servers.upgrade import ServerUpgrade
    from rootless.supervisor.record_keeper import RecordKeeper

_GRACE = 10.0
"""Seconds the file server has to write out what the container left behind, before it is killed."""

_MAX_REPLACEMENTS = 20
_PERIOD = 60.0
"""Seconds in which file servers may be replaced so often: else the cause is in what they are asked."""


class RootServer:
    """Of a container from its creation on; `runtime.parent.RootServer` while that goes on.

    `has_ended`: no process serves the root any more. `failure` says why the server ended before its work was done.
    """

    def __init__(
        self, description: LaunchDescription, server: FileServer, layer: tuple[int, ...] = ()
    ) -> None:
        """`server` waits for its description, `layer` is the descriptor of a writable layer in memory. Raises RootlessError
        if the server has ended.
        """
        self.has_ended = False
        self.failure = ""
        self._description = description
        self._server = server
        self._upgrade: ServerUpgrade | None = None
        self._replacements: list[float] = []
        """When file servers were replaced, by the monotonic clock."""
        server.describe(description, layer=layer)

    @property
    def pid(self) -> int:
        return self._server.pid

    def serve(self, device: int, init: int) -> None:
        """As `FileServer.serve`."""
        if self.has_ended:
            os.close(device)
            raise RootlessError(self.failure)
        self._server.serve(device, init)

    def fileno(self) -> int:
        """Readable when the process has ended; -1 if none can serve any more."""
        return -1 if self.has_ended else self._server.pidfd

    def note_end(self) -> None:
        """The process has ended while the container is created: have another go on, or let requests fail."""
        if not self._replace():
            self._note_exit()

    def watched(self) -> tuple[int, ...]:
        """Descriptors that become readable when there is something to do for `check`."""
        server = () if self.has_ended else (self._server.pidfd,)
        return server if self._upgrade is None else (*server, *self._upgrade.watched())

    def upgrade(self, client: Client, keeper: RecordKeeper, fields: Mapping[str, object]) -> None:
        """Carry out UPGRADE: have a file server of another release take over."""
        from rootless.supervisor.file_servers.upgrade import begin

        self._upgrade = begin(
            client, fields, lambda other: self._take_over(other, keeper), self._upgrade
        )

    def check(self, ready: set[int], keeper: RecordKeeper) -> bool:
        """Replace the server if it was killed; True if it has ended too early, and was not seen before."""
        if self._upgrade is not None:
            self._upgrade.advance(ready)
        if self._server.pidfd not in ready:
            return False
        if self._replace():
            keeper.server_replaced(self._server.pid)
            return False
        return not self.has_ended and self._note_exit()

    def abandon(self) -> None:
        """End the file server of a container that could not be created or started."""
        self._server.end(_GRACE)

    def finish(self, *, waits: bool = False) -> None:
        """After the end of the container: wait until all it wrote is in its layer; with `waits` without a limit of
        time, as long as other processes use the files.
        """
        if self._upgrade is not None:
            self._upgrade.abandon()
        if not self.has_ended and self._server.was_killed():
            # What the kernel has still to write back needs another.
            self._replace()
        self._server.end(None if waits else _GRACE)
        if not self.has_ended:
            self._note_exit()

    def _note_exit(self) -> bool:
        """After the end of the process: whether it ended before its work was done.

        One that is done ends too, when the file system is unmounted: that may be seen a moment before
        the container's end.
        """
        self.has_ended = True
        if self._server.is_finished():
            return False
        self._server.let_go()
        self.failure = self._server.exit_reason()
        return True

    def _replace(self) -> bool:
        """After the end of the process: start another that goes on in its place. False if that
        cannot be, or the servers end too often.
        """
        now = time.monotonic()
        self._replacements = [at for at in self._replacements if now - at < _PERIOD]
        if (
            self.has_ended
            or len(self._replacements) >= _MAX_REPLACEMENTS
            or not self._server.can_be_replaced()
        ):
            return False
        self._replacements.append(now)
        log(self._server.exit_reason() + "; another one goes on")
        try:
            self._server = self._server.replace(self._description)
        except OSError as error:
            log(f"it cannot be replaced: {error.strerror}")
            return False
        except RootlessError as error:
            log(f"it cannot be replaced: {error.message}")
            return False
        return True

    def _take_over(self, other: FileServer, keeper: RecordKeeper) -> bool:
        """Replace this server by another one, which waits for its description. False if the
        kernel cannot go on with another.
        """
        if self.has_ended or not self._server.is_continued():
            return False
        self._server.kill()
        self._server = self._server.replace(self._description, other)
        keeper.server_replaced(self._server.pid)
        return True
