"""The description of a container for its monitor and file server, made before they start."""

from __future__ import annotations

import marshal

from rootless.containers.record import ContainerRecord
from rootless.containers.status import Status
from rootless.network.endpoint import endpoint_in, plain_endpoint
from rootless.runtime.idmap import IdMaps, IdRange
from rootless.runtime.rootfs import ROOT_NAME, BindRootfs, FuseRootfs, OverlayRootfs
from rootless.spec.options import (
    NO_RESTART,
    NO_STORAGE_LIMITS,
    LogDriver,
    RestartName,
    RestartPolicy,
    StorageLimits,
    TraceOptions,
)
from rootless.spec.storage_driver import StorageDriver
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.network.setup import NetworkSetup
    from rootless.spec.health import HealthCheck


class HostTree(NamedTuple):
    """A directory of the machine as the only lower layer. `hidden` are absolute paths not to be
    seen through it. `in_place`: there is no layer over it, and the container writes to it.
    """

    path: str
    hidden: tuple[str, ...] = ()
    in_place: bool = False


class ImageTree(NamedTuple):
    """The layers of an image, bottom first: (layer.tar, index.sqlite) of each; and the index of all
    of them merged, where there are several. `above`: how many of the topmost layers the merged index
    leaves out.
    """

    layers: tuple[tuple[str, str], ...]
    chain: str | None = None
    above: int = 0


class OutputLog(NamedTuple):
    """The log of the container's output: the current file, and the rest as in LogOptions.
    `attributes` are written to each entry, and so is what the template `tag` makes of the container.
    """

    driver: LogDriver
    path: str
    max_size: int = 0
    max_file: int = 1
    compress: bool = False
    attributes: tuple[tuple[str, str], ...] = ()
    tag: str = ""


NO_LOG = OutputLog(LogDriver.NONE, "")
STOP_TIMEOUT = 10
"""Docker's seconds between the stop signal and SIGKILL."""


class Shared(NamedTuple):
    """A container that the ranks of a launcher enter: how many of them, 0 if that is not known, and the file by which
    they find it, which is removed when the last one has ended.
    """

    local_size: int
    state: str


class LaunchDescription(NamedTuple):
    """A container as its monitor, file server and first process see it.

    `stop_signal` ends it, and `stop_timeout` seconds later SIGKILL does (None: Docker's 10 for a stop,
    and no limit for a SIGTERM that is only passed on).
    `spec` is the OCI runtime configuration, as written to config.json of `directory`.
    `control_directory` is where the monitor's socket lies. `ends_with_client`: when the connection
    of the first client ends, however it ends, the container is killed; a client that sends DETACH
    first is exempt. `streams`: whether stdin, stdout and stderr are connected (without a terminal);
    the others are /dev/null. `input_once`: stdin ends with the first client that is attached to it
    (Docker's StdinOnce). `volatile`: the writable layer is removed with the container, so that
    nothing in it has to be synced. `is_new`: it has just been created, to be started at
    once, and the monitor writes the event of that. `health` has the command alone in `test`, and no field
    that is unset. `is_traced`: the file server writes what was seen of the tree to `trace`.
    """

    record: ContainerRecord
    directory: str
    spec: dict[str, Any]
    id_maps: IdMaps
    tree: HostTree | ImageTree
    storage_driver: StorageDriver
    terminal: bool
    stop_signal: int
    stop_timeout: int | None
    cgroup_parent: str | None
    seccomp_cache: str
    control_directory: str
    output_log: OutputLog = NO_LOG
    streams: tuple[bool, bool, bool] = (False, True, True)
    input_once: bool = False
    ends_with_client: bool = True
    volatile: bool = False
    is_new: bool = False
    restart: RestartPolicy = NO_RESTART
    health: HealthCheck | None = None
    storage: StorageLimits = NO_STORAGE_LIMITS
    is_traced: bool = False
    prefetch: str = ""
    """A file that names what to read ahead at a start; empty for none."""
    access_trace: TraceOptions | None = None
    """None unless the file server writes trace.json, which says what was read, by which process."""
    network: NetworkSetup | None = None
    """None without a private network."""
    memory_size: int = 0
    """Bytes of a writable layer in memory; 0: tmpfs(5)'s own limit, half of the machine's memory."""
    layer: str = ""
    """A directory that holds the writable layer of this run; empty for the container's, whose `upper` and `work` may be
    links (`rootless.containers.writable_layers.place`)."""
    time_limit: int = 0
    """Seconds after which a run is killed; 0 for no limit."""
    removes_image: bool = False
    """The image is removed with the container, unless another one uses it."""
    preserved: tuple[int, ...] = ()
    """Descriptors of the monitor, as its starter has left them to it, that the container's command gets by their numbers;
    not in launch.json, as a later start has none."""
    mount_points: tuple[str, ...] = ()
    """Files that the first process mounts something on, which the file server makes ahead where a new container lacks them;
    not in launch.json."""
    shared: Shared | None = None
    """None for a container with a command of its own."""
    extra: Mapping[str, object] = {}
    """What else launch.json holds, by key."""

    def packed(self) -> bytes:
        """For another process of this program; `unpack` is the other half."""
        tree = self.tree
        plain = self._asdict() | {
            "record": self.record._asdict()
            | {
                "status": self.record.status.value,
                "endpoint": plain_endpoint(self.record.endpoint),
            },
            "id_maps": tuple(tuple(map(tuple, each)) for each in self.id_maps[:2]),
            "tree": (isinstance(tree, HostTree), *tree),
            "storage_driver": self.storage_driver.value,
            "restart": (self.restart.name.value, self.restart.maximum),
            "output_log": (self.output_log.driver.value, *self.output_log[1:]),
            "storage": tuple(self.storage),
            "health": None if self.health is None else _plain_health(self.health),
            "network": None if self.network is None else _plain_network(self.network),
            "shared": None if self.shared is None else tuple(self.shared),
            "access_trace": None if self.access_trace is None else tuple(self.access_trace),
        }
        return marshal.dumps((plain, self.id_maps.helper))

    @property
    def store(self) -> str:
        """The directory of the store: `directory` is STORE/containers/ID."""
        return self.directory.rsplit("/", 2)[0]

    @property
    def runtime(self) -> str:
        """The directory of sockets and locks."""
        return self.control_directory.rsplit("/", 2)[0]

    @property
    def has_served_mounts(self) -> bool:
        """Whether a file server of its own shows one of its mounts, such as a volume."""
        from rootless.runtime.mount_options import SERVED

        mounts = self.spec.get("mounts", ())
        return any(word.startswith(SERVED) for mount in mounts for word in mount["options"])

    @property
    def upper(self) -> str:
        return f"{self.layer or self.directory}/upper"

    @property
    def work(self) -> str:
        return f"{self.layer or self.directory}/work"

    @property
    def trace(self) -> str:
        """Where the file server writes its trace (`unionfs.traced.trace`) at its end."""
        return f"{self.directory}/trace"

    @property
    def traces_every_name(self) -> bool:
        """Whether listings come without attributes, so that each name that is used is looked up."""
        return self.is_traced or (self.access_trace is not None and self.access_trace.every_name)

    @property
    def rootfs(self) -> FuseRootfs | OverlayRootfs | BindRootfs:
        """The root that is mounted, in its mount namespace only."""
        if isinstance(self.tree, HostTree) and self.tree.in_place:
            return BindRootfs(self.tree.path)
        if self.storage_driver is StorageDriver.OVERLAY:
            return OverlayRootfs(self.directory, volatile=self.volatile)
        return FuseRootfs(f"{self.directory}/rootfs", root_name=ROOT_NAME)

    @property
    def log(self) -> str:
        """The log of the monitor and the file server."""
        return log_of(self.directory)


def log_path(driver: LogDriver, directory: str, container_id: str) -> str:
    """The log in the container's directory, named as Docker names it, and k8s-file as Podman does.
    Empty for a driver that has no file.
    """
    if driver is LogDriver.JSON_FILE:
        return f"{directory}/{container_id}-json.log"
    return f"{directory}/ctr.log" if driver is LogDriver.K8S_FILE else ""


def log_of(directory: str) -> str:
    """The log in a container's directory. Locked, it is the right to serve the container's files."""
    return f"{directory}/engine.log"


def unpack(data: bytes) -> LaunchDescription:
    """The inverse of `LaunchDescription.packed`."""
    plain, helper = marshal.loads(data)
    status = Status(plain["record"]["status"])
    uids, gids = (tuple(IdRange(*each) for each in ranges) for ranges in plain["id_maps"])
    on_host, *tree = plain["tree"]
    log_driver, *log = plain["output_log"]
    return LaunchDescription(
        **plain
        | {
            "record": ContainerRecord(
                **plain["record"]
                | {"status": status, "endpoint": endpoint_in(plain["record"]["endpoint"])}
            ),
            "id_maps": IdMaps(uids, gids, helper),
            "tree": HostTree(*tree) if on_host else ImageTree(*tree),
            "storage_driver": StorageDriver(plain["storage_driver"]),
            "health": None if plain["health"] is None else _health_of(plain["health"]),
            "restart": RestartPolicy(RestartName(plain["restart"][0]), plain["restart"][1]),
            "output_log": OutputLog(LogDriver(log_driver), *log),
            "storage": StorageLimits(*plain["storage"]),
            "network": None if plain["network"] is None else _network_of(plain["network"]),
            "shared": None if plain["shared"] is None else Shared(*plain["shared"]),
            "access_trace": _trace_of(plain["access_trace"]),
        }
    )


def _trace_of(plain: tuple[str, bool] | None) -> TraceOptions | None:
    return None if plain is None else TraceOptions(*plain)


def _plain_health(check: HealthCheck) -> dict[str, Any]:
    from rootless.spec.health import as_plain

    return as_plain(check)


def _plain_network(setup: NetworkSetup) -> dict[str, Any]:
    from rootless.network.setup import plain_setup

    return plain_setup(setup)


def _network_of(plain: dict[str, Any]) -> NetworkSetup:
    from rootless.network.setup import setup_of

    return setup_of(plain)


def _health_of(plain: dict[str, Any]) -> HealthCheck:
    from rootless.spec.health import from_plain

    return from_plain(plain)
