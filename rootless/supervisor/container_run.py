"""One run of a container: its file server and its first process, from clone to the end of both. A
container that is restarted has several, one after the other.
"""

from __future__ import annotations

import os

from rootless.errors import LaunchError, RootlessError
from rootless.light_stdlib import signal
from rootless.runtime.parent import (
    ContainerProcess,
    LaunchArgs,
    Stdio,
    create,
    execute_runtime_hooks,
)
from rootless.runtime.rootfs import ROOT_TREE
from rootless.supervisor.engine_log import log
from rootless.supervisor.file_servers.root_server import RunRoot
from rootless.supervisor.record_keeper import Ending
from rootless.supervisor.signal_delivery import SignalDelivery
from unionfs.light_types import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless.containers.launch_description import LaunchDescription
    from rootless.network.endpoint import Assigned
    from rootless.runtime.nested import SharedNamespace
    from rootless.supervisor.clients import Client
    from rootless.supervisor.file_servers.volume_mounts import VolumeMounts
    from rootless.supervisor.file_servers.volume_server import ServedTree
    from rootless.supervisor.life_events import LifeEvents
    from rootless.supervisor.networks.run_networks import RunNetworks
    from rootless.supervisor.owners.owner_recording import OwnerRecording
    from rootless.supervisor.record_keeper import RecordKeeper
    from rootless.supervisor.run_resources import RunResources
    from rootless.supervisor.shared_namespaces import SharedNamespaces
    from rootless.supervisor.streams.container_streams import ContainerStreams

_UNKNOWN_STATUS = 255
"""Of a process that is another one's to wait for."""
_OVER_TIME = 255
"""Podman's status of a container that was killed at the end of its time limit."""


class ContainerRun:
    """Made with file servers of which one waits for its description; `create` makes the container, `start`
    executes its command.

    `signals` is there once it has been created. `server_failure` says why a file server ended
    before its work was done.
    """

    def __init__(
        self,
        description: LaunchDescription,
        resources: RunResources,
        events: LifeEvents,
    ) -> None:
        """Raises RootlessError if the file server has ended."""
        self.server_failure = ""
        self._description = description
        self._resources = resources
        self._group = group = resources.group
        self._events = events
        self._oom_kills = 0 if group is None else group.oom_kills()
        if description.volatile:
            _allow_another_mount(description.work)
        self._root = RunRoot(description, resources.servers, resources.image_server)
        self._volumes: VolumeMounts | None = None
        self._networks: RunNetworks | None = None
        """None where it has no network namespace of its own."""
        self._owners: OwnerRecording | None = None

    @property
    def server_pid(self) -> int:
        """The PID of the file server of its own; 0 if it has none."""
        return 0 if self._root.server is None else self._root.server.pid

    @property
    def layer_fd(self) -> int:
        """The descriptor of its writable layer in memory or in an image; 0 if that is elsewhere."""
        return self._root.layer_fd

    def create(
        self, streams: ContainerStreams, debug: int | None, meanwhile: Callable[[], None]
    ) -> None:
        """Create the container, up to exec. `debug`: where the steps are written; closed here. `meanwhile` is called
        while other processes work.

        Raises LaunchError.
        """
        volumes, networks = self._open_volumes(), self._make_networks(debug)
        shared = self._open_shared_namespaces(volumes)
        args = self._launch_args(streams.container_ends, volumes, networks, shared)
        try:
            self.process: ContainerProcess = create(
                args._replace(
                    meanwhile=meanwhile,
                    debug=None if debug is None else partial(_write_step, debug),
                )
            )
        except LaunchError:
            if reason := self._failure_of_servers():
                raise RootlessError(reason) from None
            raise
        finally:
            if shared is not None:
                shared.close()
            if volumes is not None:
                volumes.close_trees()
            streams.close_container_ends()
            if debug is not None:
                os.close(debug)
        process = self.process
        streams.take_console(process.console)
        if networks is not None:
            self._wait_for_networks(networks)
        self.signals = SignalDelivery(
            process.pid, process.pidfd, self._description.stop_timeout, self._events.signalled
        )

    def _launch_args(
        self,
        stdio: tuple[int, int, int] | None,
        volumes: VolumeMounts | None,
        networks: RunNetworks | None,
        shared: SharedNamespaces | None,
    ) -> LaunchArgs:
        description, group, server = self._description, self._group, self._root.server
        trees = {
            **({} if volumes is None else volumes.trees),
            **({} if shared is None else shared.trees),
        }
        return LaunchArgs(
            spec=description.spec,
            bundle=description.directory,
            rootfs=self._root.rootfs,
            id_maps=description.id_maps,
            stdio=None if stdio is None else Stdio(*stdio),
            cgroup_fd=None if group is None else group.directory_fd,
            serve=None if server is None else server.serve,
            server=server,
            connect=None if networks is None else networks.connect,
            seccomp_cache=description.seccomp_cache,
            trees=trees,
            caller=self._resources.caller,
            below=_namespace_above(volumes, networks, shared),
            preserved=description.preserved,
        )

    def _failure_of_servers(self) -> str:
        """Why a file server ended while the container was created; empty if none has."""
        reason = "" if self._volumes is None else self._volumes.failure_of_start()
        return reason or ("" if self._root.server is None else self._root.server.failure)

    def _wait_for_networks(self, networks: RunNetworks) -> None:
        """Raises LaunchError, OSError; then there is no container."""
        try:
            networks.wait_until_ready()
        except BaseException:
            signal.pidfd_send_signal(self.process.pidfd, signal.SIGKILL)
            os.waitid(os.P_PIDFD, self.process.pidfd, os.WEXITED)
            raise

    def _open_volumes(self) -> VolumeMounts | None:
        """The mounts that file servers of their own serve, with the image if it is shared; None if there are none.
        Raises RootlessError.
        """
        if self._root.image is not None:
            try:
                return self._open_image(self._root.image)
            except RootlessError as error:
                log(f"the image is not shared: {error.message}")
            self._root.stop_sharing()
        return self._open_served({}) if self._description.has_served_mounts else None

    def _open_image(self, image: ServedTree) -> VolumeMounts:
        """Connect to the server of the shared image; the process that waits becomes that server if there is none."""
        first = self._resources.image_server
        if first is None or not first.waits:
            return self._open_served({ROOT_TREE: image})
        try:
            start = partial(first.start, self._description)
            return self._open_served({ROOT_TREE: image._replace(start=start)})
        finally:
            first.end()

    def _open_served(self, served: Mapping[int, ServedTree]) -> VolumeMounts:
        from rootless.supervisor.file_servers.volume_mounts import VolumeMounts

        description = self._description
        if not description.has_served_mounts:
            self._volumes = VolumeMounts(served, description.runtime)
            return self._volumes
        from rootless.supervisor.file_servers.served_mounts import mounted_volumes, served_mounts

        self._volumes = VolumeMounts(
            {**served, **served_mounts(description, keeps_copies=False)}, description.runtime
        )
        self._events.mounted(mounted_volumes(description.spec))
        return self._volumes

    def _make_networks(self, debug: int | None) -> RunNetworks | None:
        setup = self._description.network
        if setup is None:
            endpoint = self._description.record.endpoint
            if debug is not None and endpoint is not None and endpoint.reason:
                line = f"use the host's network: {endpoint.reason}"
                os.write(debug, f"{line}\n".encode())
            return None
        from rootless.supervisor.networks.run_networks import RunNetworks

        self._networks = networks = RunNetworks(self._description, setup, self._resources.published)
        if debug is not None:
            os.write(debug, f"{networks.describe()}\n".encode())
        return networks

    def _open_shared_namespaces(self, volumes: VolumeMounts | None) -> SharedNamespaces | None:
        """Raises RootlessError."""
        namespaces = self._description.spec["linux"]["namespaces"]
        if not any("path" in each for each in namespaces):
            return None
        from rootless.supervisor.shared_namespaces import is_below, open_shared_namespaces

        shared = open_shared_namespaces(self._description)
        if shared is None or volumes is None:
            return shared
        if not is_below(shared.namespace.descriptor, volumes.namespace.descriptor):
            shared.close()
            raise LaunchError(
                "a container that shares the namespaces of another one cannot mount a volume that the other's could not",
                hint="mount a volume in the other container too, or a directory of the host in place of the volume",
            )
        return shared

    def start(self) -> None:
        """Execute the container's command. Raises LaunchError if that fails."""
        self.process.start()
        if self.process.listener is not None:
            self.add_listener(self.process.listener)
        self._execute_hooks("poststart", self.process.pid, "running")

    def keep_mounts(self) -> None:
        """Take what is needed to replace the servers of its mounts that are killed from now on."""
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
        server = () if self._root.server is None else self._root.server.watched()
        volumes = () if self._volumes is None or self.server_failure else self._volumes.watched()
        network = () if self._networks is None else self._networks.watched()
        stops = () if self.process.stops is None else (self.process.stops,)
        return (self.process.pidfd, *server, *volumes, *network, *stops)

    def has_stopped(self, ready: set[int]) -> bool:
        """Whether the command has stopped (SIGTSTP, SIGSTOP), told once each time; only of one on a terminal under an
        init of the engine's.
        """
        stops = self.process.stops
        if stops is None or stops not in ready:
            return False
        if os.read(stops, 64):
            return True
        os.close(stops)
        self.process.stops = None
        return False

    def add_listener(self, listener: int) -> None:
        """Record the owners that processes set under a seccomp filter. The listener is closed here."""
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
        """Carry out UPGRADE: replace the file server by one of another release."""
        if self._root.server is None:
            client.refuse(
                "the container shares the file server of its image, which ends with its last container"
            )
        else:
            self._root.server.upgrade(client, keeper, fields)

    def has_lost_server(self, ready: set[int], keeper: RecordKeeper) -> bool:
        """Whether one of the descriptors is that of a file server which has ended too early, and was not
        seen before.
        """
        server = self._root.server
        if server is not None and server.check(ready, keeper):
            self.server_failure = server.failure
            return True
        if self._volumes is not None and not self.server_failure:
            self.server_failure = self._volumes.failure()
            return bool(self.server_failure)
        return False

    @property
    def places(self) -> tuple[Assigned, ...]:
        """What the container has in networks that a user has defined."""
        return () if self._networks is None else self._networks.places

    def rename(self, client: Client, name: str) -> bool:
        """Rename the container in its networks. Returns whether that succeeded; else the client's request is refused."""
        try:
            if self._networks is not None:
                self._networks.rename(name)
        except (OSError, RootlessError) as error:
            client.refuse(str(error))
            return False
        return True

    @property
    def networks(self) -> RunNetworks:
        """The networks of the container, which runs. Raises RootlessError if it has no network namespace of its own."""
        if self._networks is None:
            raise RootlessError("the container has no network of its own")
        return self._networks

    def check_network(self, ready: set[int]) -> str:
        """Restart a helper program of the network that has ended. Returns why it is not restarted any more, once, and
        otherwise nothing.
        """
        return "" if self._networks is None else self._networks.check(ready)

    def abandon(self) -> None:
        """End the file server of a container that could not be created or started."""
        self._close_owners()
        self._release_networks()
        self._root.abandon()
        self._release_volumes()

    def _close_owners(self) -> None:
        if self._owners is not None:
            self._owners.close()
            self._owners = None

    def _release_networks(self) -> None:
        if self._networks is not None:
            self._networks.release()

    def _release_volumes(self) -> None:
        if self._volumes is not None:
            self._volumes.release()

    def clean_up(self) -> Ending:
        """After the end of the container: end what is left of it, and say how it ended."""
        self._close_owners()
        if self.process.user_namespace is not None:
            os.close(self.process.user_namespace)
        if self.process.stops is not None:
            os.close(self.process.stops)
        status = _exit_status(self.process.pidfd) if self.process.is_child else _UNKNOWN_STATUS
        os.close(self.process.pidfd)
        self._release_networks()
        group = self._group
        out_of_memory = False
        if group is not None:
            out_of_memory = group.oom_kills() > self._oom_kills
            group.kill()
        # Other processes of a container that has no PID namespace may go on.
        failure = self._root.finish(waits=not self.process.is_child)
        self.server_failure = self.server_failure or failure
        self._release_volumes()
        self._execute_hooks("poststop", 0, "stopped")
        if self.signals.killed_for and status == 128 + signal.SIGKILL:
            status = 128 + self.signals.killed_for
        if self.signals.is_over_time and status == 128 + signal.SIGKILL:
            status = _OVER_TIME
        if self.server_failure and status == 0:
            # What the container wrote last is lost, whatever its command says.
            status = RootlessError.exit_status
        return Ending(status, out_of_memory, self.server_failure)


def _namespace_above(
    volumes: VolumeMounts | None, networks: RunNetworks | None, shared: SharedNamespaces | None
) -> SharedNamespace | None:
    """The user namespace below which that of the container is made; None: this process's own. Volumes and defined networks have
    the same one, and that of a container whose namespaces are shared is below it."""
    if shared is not None:
        return shared.namespace
    if networks is not None and networks.below is not None:
        return networks.below
    return None if volumes is None else volumes.namespace


def _write_step(output: int, line: str) -> None:
    os.write(output, f"{line}\n".encode())


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
        return _UNKNOWN_STATUS
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status
