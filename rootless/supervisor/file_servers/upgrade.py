"""The request UPGRADE: a file server of another release takes over while the container runs.

The new one is executed first and has to announce itself. Then the old one is killed, which loses nothing
(docs/decisions/1672), and the new one gets its device and memory. One that does not come up is
reported, and the old one goes on.
"""

from __future__ import annotations

import os

from rootless.supervisor.file_servers.file_server import FileServer
from rootless.supervisor.protocol import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from rootless.supervisor.clients import Client

TakeOver: TypeAlias = "Callable[[FileServer], bool]"
"""Puts a server in the place of the container's; False if the kernel cannot go on with another."""


class ServerUpgrade:
    """One request. `watched` are descriptors for the loop of the monitor, `advance` is called with those
    that are readable.
    """

    def __init__(self, client: Client, executable: str, path: str, take_over: TakeOver) -> None:
        """Raises OSError if the new server cannot be executed."""
        self._client = client
        self._take_over = take_over
        self._server: FileServer | None = FileServer.execute(executable, path)

    def watched(self) -> tuple[int, ...]:
        return () if self._server is None else (self._server.fileno(),)

    def advance(self, ready: set[int]) -> None:
        """Hand over to the new server if it has announced itself."""
        server = self._server
        if server is None or server.fileno() not in ready:
            return
        self._server = None
        if not server.is_announced():
            server.end(0)
            self._client.refuse("the file server of the other release ended: see engine.log")
        elif not self._take_over(server):
            server.end(0)
            self._client.refuse("the kernel cannot continue the file system with another server")
        else:
            self._client.send(Kind.DONE)

    def abandon(self) -> None:
        """The container has ended."""
        if self._server is not None:
            self._server.end(0)
            self._server = None


def begin(
    client: Client,
    fields: Mapping[str, object],
    take_over: TakeOver,
    pending: ServerUpgrade | None,
) -> ServerUpgrade | None:
    """Begin to carry out the request; if it is refused, what is `pending` stays."""
    if pending is not None and pending.watched():
        client.refuse("another server is about to take over")
        return pending
    executable, path = fields.get("executable"), fields.get("path")
    if not isinstance(executable, str) or not isinstance(path, str):
        client.refuse("upgrade: no interpreter is named")
        return None
    try:
        return ServerUpgrade(client, executable, path, take_over)
    except OSError as error:
        client.refuse(f"cannot execute {executable}: {os.strerror(error.errno or 0).lower()}")
        return None
