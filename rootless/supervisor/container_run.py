"""One run of a container: its file server and its first process, from clone to the end of both. A
container that is restarted has several, one after the other.
"""

from __future__ import annotations

import os
import time

from rootless.containers.record import IN_DIRECTORY
from rootless.errors import LaunchError, RootlessError
from rootless.light_stdlib import signal
from rootless.runtime.parent import (
    ContainerProcess,
    LaunchArgs,
    Stdio,
    create,
    execute_runtime_hooks,
)
from rootless.runtime.rootfs import OverlayRootfs
from rootless.supervisor.engine_log import log
from rootless.supervisor.file_servers.file_server import FileServer, WatchedServer
from rootless.supervisor.record_keeper import Ending
from rootless.supervisor.signal_delivery import SignalDelivery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rootless.cgroups.control_group import ControlGroup
    from rootless.containers.launch_description import LaunchDescription
    from rootless.network.listening import PublishedSocket
    from rootless.runtime.nested import SharedNamespace
    from rootless.runtime.rootfs import Rootfs
    from rootless.supervisor.clients import Client
    from rootless.supervisor.container_network import ContainerNetwork
    from rootless.supervisor.file_servers.run_layer import RunLayer
    from rootless.supervisor.file_servers.upgrade import ServerUpgrade
    from rootless.supervisor.file_servers.volume_mounts import VolumeMounts
    from rootless.supervisor.life_events import LifeEvents
    from rootless.supervisor.owners.owner_recording import OwnerRecording
    from rootless.supervisor.record_keeper import RecordKeeper
    from rootless.supervisor.streams.container_streams import ContainerStreams

_SERVER_GRACE = 10.0
"""Seconds the file server has to write out what the container left behind, before it is killed."""

_MAX_REPLACEMENTS = 20
_PERIOD = 60.0
"""Seconds in which file servers may be replaced so often: else the cause is in what they are asked."""


class ContainerRun:
    """Made with a file server that waits for its description; `create` makes the container, `start`
    executes its command.

    `signals` is there once it has been created. `server_failure` says why the file server ended
    before its work was done.
    """

    def __init__(
        self,
        description: LaunchDescription,
        group: ControlGroup | None,
        server: FileServer,
        events: LifeEvents,
        published: Sequence[PublishedSocket] = (),
    ) -> None:
        """`published` are the sockets of its ports. Raises RootlessError if the file server has ended."""
        self._published = published
        self.server_failure = ""
        self.server_has_ended = False
        self._description = description
        self._group = group
        self._events = events
        self._oom_kills = 0 if group is None else group.oom_kills()
        if description.volatile:
            _allow_another_mount(description.work)
        self._replacements: list[float] = []
        """When file servers were replaced, by the monotonic clock."""
        self.server = server
        self._layer = _open_layer(description)
        server.describe(description, layer=() if self._layer is None else self._layer.descriptors)
        self._volumes: VolumeMounts | None = None
        self._upgrade: ServerUpgrade | None = None
        self._network: ContainerNetwork | None = None
        self._owners: OwnerRecording | None = None

    @property
    def memory_fd(self) -> int:
        """The descriptor of its writable layer in memory; 0 if that is elsewhere."""
        return 0 if self._layer is None else self._layer.memory_fd

    def _release_layer(self) -> None:
        if self._layer is not None:
            self._layer.release()

    def create(
        self, streams: ContainerStreams, debug: int | None, meanwhile: Callable[[], None]
    ) -> None:
        """Create the container, up to exec. `debug`: where the steps are written; closed here. `meanwhile` is called
        while other processes work.

        Raises LaunchError.
        """
        description, group = self._description, self._group
        volumes, network = self._open_volumes(), self._make_network(debug)
        stdio = streams.container_ends
        shared = self._open_shared_network(volumes)

        def write_step(line: str) -> None:
            os.write(debug or 2, f"{line}\n".encode())

        try:
            self.process: ContainerProcess = create(
                LaunchArgs(
                    spec=description.spec,
                    bundle=description.directory,
                    rootfs=_rootfs(description),
                    id_maps=description.id_maps,
                    stdio=None if stdio is None else Stdio(*stdio),
                    cgroup_fd=None if group is None else group.directory_fd,
                    serve=self.server.serve,
                    server=WatchedServer(lambda: self.server, self.replace_server),
                    connect=None if network is None else network.connect,
                    meanwhile=meanwhile,
                    seccomp_cache=description.seccomp_cache,
                    debug=None if debug is None else write_step,
                    trees={} if volumes is None else volumes.trees,
                    below=shared if volumes is None else volumes.namespace,
                )
            )
        finally:
            if shared is not None:
                os.close(shared.descriptor)
            if volumes is not None:
                volumes.close_trees()
            streams.close_container_ends()
            if debug is not None:
                os.close(debug)
        process = self.process
        streams.take_console(process.console)
        if network is not None:
            network.wait_until_ready()
        self.signals = SignalDelivery(
            process.pid, process.pidfd, description.stop_timeout, self._events.signalled
        )

    def _open_volumes(self) -> VolumeMounts | None:
        """Raises RootlessError."""
        if not self._description.has_served_mounts:
            return None
        from rootless.supervisor.file_servers.served_mounts import mounted_volumes
        from rootless.supervisor.file_servers.volume_mounts import open_volumes

        self._volumes = open_volumes(self._description)
        self._events.mounted(mounted_volumes(self._description.spec))
        return self._volumes

    def _make_network(self, debug: int | None) -> ContainerNetwork | None:
        setup = self._description.network
        if setup is None:
            endpoint = self._description.record.endpoint
            if debug is not None and endpoint is not None and endpoint.reason:
                line = f"use the host's network: {endpoint.reason}"
                os.write(debug, f"{line}\n".encode())
            return None
        from rootless.supervisor.container_network import ContainerNetwork

        self._network = ContainerNetwork(setup, self._description.id_maps, self._published)
        if debug is not None:
            os.write(debug, f"{self._network.describe()}\n".encode())
        return self._network

    def _open_shared_network(self, volumes: VolumeMounts | None) -> SharedNamespace | None:
        """Raises RootlessError."""
        namespaces = self._description.spec["linux"]["namespaces"]
        if not any("path" in each for each in namespaces):
            return None
        if volumes is not None:
            raise LaunchError(
                "a container that shares the network of another one cannot mount a volume yet",
                hint="mount a directory of the host in place of the volume",
            )
        from rootless.supervisor.shared_network import open_shared_network

        return open_shared_network(self._description)

    def start(self) -> None:
        """Let the container execute its command. Raises LaunchError if it cannot."""
        self.process.start()
        if self.process.listener is not None:
            self.add_listener(self.process.listener)
        self._execute_hooks("poststart", self.process.pid, "running")
        if self._volumes is not None:
            self._volumes.keep()

    def _execute_hooks(self, point: str, pid: int, status: str) -> None:
        """The container goes on, or has ended, whatever becomes of them (OCI runtime specification, "Lifecycle")."""
        if "hooks" not in self._description.spec:
            return
        spec, directory = self._description.spec, self._description.directory
        try:
            execute_runtime_hooks(spec, directory, pid, point, status=status)
        except LaunchError as error:
            log(error.message)

    def watched(self) -> tuple[int, ...]:
        """Descriptors that become readable when one of its processes ends."""
        server = () if self.server_has_ended else (self.server.pidfd,)
        volumes = () if self._volumes is None or self.server_failure else self._volumes.watched()
        upgrade = () if self._upgrade is None else self._upgrade.watched()
        network = () if self._network is None else self._network.watched()
        return (self.process.pidfd, *server, *volumes, *upgrade, *network)

    def add_listener(self, listener: int) -> None:
        """Have the owners recorded that processes of a seccomp filter set. The listener is closed here."""
        if self._owners is None:
            from rootless.supervisor.owners.owner_recording import OwnerRecording

            namespace = self.process.user_namespace
            assert (
                namespace is not None
            )  # filters of containers with a single id alone have listeners
            self._owners = OwnerRecording(namespace)
        self._owners.add(listener)

    def owners_interest(self) -> dict[int, int]:
        """Descriptors and events that `record_owners` waits for (poll(2))."""
        return {} if self._owners is None else self._owners.interest()

    def record_owners(self, ready: set[int]) -> None:
        """Some of them are ready."""
        if self._owners is not None:
            self._owners.advance(ready)

    def upgrade_server(
        self, client: Client, keeper: RecordKeeper, fields: Mapping[str, object]
    ) -> None:
        """Carry out UPGRADE: have a file server of another release take over."""
        from rootless.supervisor.file_servers.upgrade import begin

        self._upgrade = begin(
            client, fields, lambda other: self._take_over(other, keeper), self._upgrade
        )

    def has_lost_server(self, ready: set[int], keeper: RecordKeeper) -> bool:
        """Whether one of the descriptors is that of a file server which has ended too early, and was not
        seen before.
        """
        if self._upgrade is not None:
            self._upgrade.advance(ready)
        if self.server.pidfd in ready and self.replace_server():
            keeper.server_replaced(self.server.pid)
            return False
        if self.server.pidfd in ready and not self.server_has_ended:
            return self.note_server_exit()
        if self._volumes is not None and not self.server_failure:
            self.server_failure = self._volumes.failure()
            return bool(self.server_failure)
        return False

    def note_server_exit(self) -> bool:
        """After the end of the root's file server: whether it ended before its work was done.

        One that is done ends too, when the file system is unmounted: that may be seen a moment before
        the container's end.
        """
        self.server_has_ended = True
        if self.server.is_finished():
            return False
        self.server.let_go()
        self.server_failure = self.server.exit_reason()
        return True

    def replace_server(self) -> bool:
        """After the end of the root's file server: start another that goes on in its place. False if that
        cannot be, or the servers end too often.
        """
        now = time.monotonic()
        self._replacements = [at for at in self._replacements if now - at < _PERIOD]
        if (
            self.server_has_ended
            or len(self._replacements) >= _MAX_REPLACEMENTS
            or not self.server.can_be_replaced()
        ):
            return False
        self._replacements.append(now)
        log(self.server.exit_reason() + "; another one goes on")
        try:
            self.server = self.server.replace(self._description)
        except OSError as error:
            log(f"it cannot be replaced: {error.strerror}")
            return False
        return True

    def _take_over(self, other: FileServer, keeper: RecordKeeper) -> bool:
        """Have another server, which waits for its description, take the place of the root's. False if the
        kernel cannot go on with another.
        """
        if self.server_has_ended or not self.server.is_continued():
            return False
        self.server.kill()
        self.server = self.server.replace(self._description, other)
        keeper.server_replaced(self.server.pid)
        return True

    def check_network(self, ready: set[int]) -> str:
        """Have a helper program of the network that has ended started again. Returns why that is not done any more,
        once, and otherwise nothing.
        """
        return "" if self._network is None else self._network.check(ready)

    def abandon(self) -> None:
        """End the file server of a container that could not be created or started."""
        self._close_owners()
        self._release_network()
        self.server.end(_SERVER_GRACE)
        self._release_layer()
        self._release_volumes()

    def _close_owners(self) -> None:
        if self._owners is not None:
            self._owners.close()
            self._owners = None

    def _release_network(self) -> None:
        if self._network is not None:
            self._network.release()

    def _release_volumes(self) -> None:
        if self._volumes is not None:
            self._volumes.release()

    def clean_up(self) -> Ending:
        """After the end of the container: end what is left of it, and say how it ended."""
        self._close_owners()
        if self.process.user_namespace is not None:
            os.close(self.process.user_namespace)
        status = _exit_status(self.process.pidfd)
        os.close(self.process.pidfd)
        self._release_network()
        group = self._group
        out_of_memory = False
        if group is not None:
            out_of_memory = group.oom_kills() > self._oom_kills
            group.kill()
        if self._upgrade is not None:
            self._upgrade.abandon()
        if not self.server_has_ended and self.server.was_killed():
            # What the kernel has still to write back needs another.
            self.replace_server()
        self.server.end(_SERVER_GRACE)
        self._release_layer()
        self._release_volumes()
        self._execute_hooks("poststop", 0, "stopped")
        if not self.server_has_ended:
            self.note_server_exit()
        if self.signals.killed_for and status == 128 + signal.SIGKILL:
            status = 128 + self.signals.killed_for
        if self.server_failure and status == 0:
            # What the container wrote last is lost, whatever its command says.
            status = RootlessError.exit_status
        return Ending(status, out_of_memory, self.server_failure)


def _open_layer(description: LaunchDescription) -> RunLayer | None:
    """None for one in the container's directory. Raises RootlessError."""
    if description.record.layer == IN_DIRECTORY:
        return None
    from rootless.supervisor.file_servers.run_layer import RunLayer

    return RunLayer(description)


def _rootfs(description: LaunchDescription) -> Rootfs:
    """The root file system, over the unpacked image if there is one: the container's record has been
    written, and keeps it."""
    rootfs = description.rootfs
    if not isinstance(rootfs, OverlayRootfs) or description.record.overlays:
        return rootfs
    from rootless.containers.unpacked import unpacked_directory

    native = unpacked_directory(description.store, description.tree, description.id_maps)
    return rootfs._replace(native=native)


def _allow_another_mount(work: str) -> None:
    """Overlayfs refuses a work directory of a volatile mount that may have lost data (overlayfs.rst,
    "Volatile mount"). Between two runs on one boot it has lost none.
    """
    mark = f"{work}/work/incompat/volatile"
    try:
        for directory in (f"{work}/work", os.path.dirname(mark), mark):
            os.chmod(directory, 0o700)  # overlayfs makes them without permissions
        os.unlink(f"{mark}/dirty")
        os.rmdir(mark)
        os.rmdir(os.path.dirname(mark))
    except OSError:
        pass  # the first mount


def _exit_status(pidfd: int) -> int:
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    if result is None:
        return 255
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status
