"""A container's root during one run, and its file server, which is replaced when it is killed, or by one of another release."""

from __future__ import annotations

import os
import time

from rootless.containers.record import IN_DIRECTORY
from rootless.errors import RootlessError
from rootless.runtime.rootfs import BindRootfs, OverlayRootfs
from rootless.supervisor.engine_log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.containers.launch_description import LaunchDescription
    from rootless.runtime.rootfs import Rootfs
    from rootless.supervisor.clients import Client
    from rootless.supervisor.file_servers.file_server import FileServer, NextServer
    from rootless.supervisor.file_servers.first_server import FirstServer
    from rootless.supervisor.file_servers.run_layer import RunLayer
    from rootless.supervisor.file_servers.upgrade import ServerUpgrade
    from rootless.supervisor.file_servers.volume_server import ServedTree
    from rootless.supervisor.record_keeper import RecordKeeper

_GRACE = 10.0
"""Seconds the file server has to write out what the container left behind, before it is killed."""


class RootServer:
    """The file server of a container's root, from the creation of the container on. The runtime creates the container with it
    (`runtime.parent.RootServer`).

    `has_ended`: no process serves the root any more. `failure` says why the server ended before its work was done.
    """

    def __init__(
        self, description: LaunchDescription, server: FileServer, layer: tuple[int, ...] = ()
    ) -> None:
        """`server` waits for its description, `layer` is the descriptor of a writable layer in memory or in an image. Raises
        RootlessError if the server has ended.
        """
        # The caller, who made the server, has loaded it.
        from rootless.supervisor.file_servers.file_server import Replacements

        self.has_ended = False
        self.failure = ""
        self._description = description
        self._server = server
        self._upgrade: ServerUpgrade | None = None
        self._is_of_another_release = False
        self._replacements = Replacements()
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
        """The process has ended while the container is created: replace it, or note that nothing serves the root."""
        if not self._replace():
            self._note_exit()

    def watched(self) -> tuple[int, ...]:
        """Descriptors that become readable when there is something to do for `check`."""
        server = () if self.has_ended else (self._server.pidfd,)
        return server if self._upgrade is None else (*server, *self._upgrade.watched())

    def upgrade(self, client: Client, keeper: RecordKeeper, fields: Mapping[str, object]) -> None:
        """Carry out UPGRADE: replace the file server by one of another release."""
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
            # The kernel needs a server for what it has still to write back.
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
        if (
            self.has_ended
            or not (self._server.can_be_replaced() or self._has_not_understood())
            or not self._replacements.add(time.monotonic())
        ):
            return False
        log(self._server.exit_reason() + "; another one goes on")
        self._is_of_another_release = False
        try:
            self._server = self._server.replace(self._description)
        except OSError as error:
            log(f"it cannot be replaced: {error.strerror}")
            return False
        except RootlessError as error:
            log(f"it cannot be replaced: {error.message}")
            return False
        return True

    def _has_not_understood(self) -> bool:
        """Whether it is of another release and has failed: that release may not understand the description."""
        return (
            self._is_of_another_release
            and not self._server.is_finished()
            and self._server.is_continued()
        )

    def _take_over(self, other: FileServer, keeper: RecordKeeper) -> bool:
        """Replace this server by another one, which waits for its description. False if the
        kernel cannot go on with another.
        """
        if self.has_ended or not self._server.is_continued():
            return False
        self._server.kill()
        self._server = self._server.replace(self._description, other)
        self._is_of_another_release = True
        keeper.server_replaced(self._server.pid)
        return True


class RunRoot:
    """The root of a container during one run. A file server of its own serves it, or the server of an image that
    containers share, or the kernel alone. Leave it by `abandon` or `finish`.

    `rootfs` is what the runtime mounts. `image` is to be served for this container and for others, where the image is
    shared. `server` is the file server of its own, if it has one.
    """

    def __init__(
        self, description: LaunchDescription, servers: NextServer, image_server: FirstServer | None
    ) -> None:
        """Raises RootlessError if the file server has ended."""
        self._description = description
        self._servers = servers
        self._layer = _open_layer(description)
        self.rootfs, self.image = _root(description)
        self.server: RootServer | None = None
        if self.image is None and image_server is not None:
            image_server.end()
        if self.image is None and not _is_native(self.rootfs):
            self.server = self._take_server()
        else:
            # It waits for a description, and holds the standard streams of the starter meanwhile.
            servers.end(0)

    @property
    def layer_fd(self) -> int:
        """The descriptor of the writable layer in memory or in an image; 0 if that is elsewhere."""
        return 0 if self._layer is None else self._layer.layer_fd

    def stop_sharing(self) -> None:
        """The shared image cannot be served: take a file server of its own."""
        self.image = None
        self.server = self._take_server()
        self.rootfs = _own_root(self._description)

    def abandon(self) -> None:
        """The container could not be created or started."""
        if self.server is not None:
            self.server.abandon()
        self._release_layer()

    def finish(self, *, waits: bool) -> str:
        """After the end of the container: `RootServer.finish`. Returns why the file server failed, or nothing."""
        failure = ""
        if self.server is not None:
            self.server.finish(waits=waits)
            failure = self.server.failure
        self._release_layer()
        return failure

    def _take_server(self) -> RootServer:
        layer = () if self._layer is None else self._layer.descriptors
        return RootServer(self._description, self._servers.take(), layer)

    def _release_layer(self) -> None:
        if self._layer is not None:
            self._layer.release()


def _open_layer(description: LaunchDescription) -> RunLayer | None:
    """None for one in the container's directory. Raises RootlessError."""
    if description.record.layer == IN_DIRECTORY:
        return None
    from rootless.supervisor.file_servers.run_layer import RunLayer

    return RunLayer(description)


def _root(description: LaunchDescription) -> tuple[Rootfs, ServedTree | None]:
    """The root file system, and what has to be served for it and for other containers alike, if its image is shared."""
    own = _own_root(description)
    is_read_only = bool(description.spec["root"].get("readonly"))
    if _is_native(own) or not (isinstance(own, OverlayRootfs) or is_read_only):
        return own, None
    from rootless.supervisor.file_servers.shared_image import shared_image, shared_rootfs

    image = shared_image(description)
    return (own, None) if image is None else (shared_rootfs(description), image)


def _own_root(description: LaunchDescription) -> Rootfs:
    """The root file system of a container that shares none, over the unpacked image if there is one: the
    container's record has been written, and keeps it."""
    rootfs = description.rootfs
    if not isinstance(rootfs, OverlayRootfs) or description.record.overlays:
        return rootfs
    from rootless.containers.unpacked import unpacked_directory

    native = unpacked_directory(description.store, description.tree, description.id_maps)
    return rootfs._replace(native=native)


def _is_native(rootfs: Rootfs) -> bool:
    """Whether the kernel alone serves it."""
    return isinstance(rootfs, BindRootfs) or (
        isinstance(rootfs, OverlayRootfs) and bool(rootfs.native)
    )
