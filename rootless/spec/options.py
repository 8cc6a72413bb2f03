"""The options of a container, as values: the argument of `Engine.run`, for the command line and for the Python API.
Pure.

Values are typed: sizes are bytes, times have the unit that the field says, modes are enumerations or booleans,
paths of the host are absolute. `rootless.spec.check_options` refuses invalid numbers and combinations, whatever
their source.
"""

from __future__ import annotations

from rootless.network.options import DEFAULT_NETWORK, NetworkOptions
from rootless.runtime.idmap import UserNamespaceMode
from rootless.spec.storage_driver import StorageDriver
from unionfs.light_types import Enum, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.oci.platform import Platform
    from rootless.runtime.extensions import ChownMode
    from rootless.spec.health import HealthCheck

DEFAULT_SHM_SIZE = 64 * 1024 * 1024
HOST_GATEWAY = "host-gateway"
DEFAULT_CAPABILITIES = frozenset(
    [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ]
)
"""Docker's fourteen."""

Variables = tuple[tuple[str, str | None], ...]
"""Environment variables in order; None removes a variable of the image."""


class PullPolicy(Enum):
    """When the image is pulled (--pull)."""

    ALWAYS = "always"
    MISSING = "missing"
    NEVER = "never"
    NEWER = "newer"


class Streams(NamedTuple):
    """The caller's standard streams that are connected to the container."""

    stdin: bool = True
    stdout: bool = True
    stderr: bool = True


class StorageLimits(NamedTuple):
    """Limits of the writable layer: bytes and inodes that it may hold, bytes and requests per second
    of reads and writes together. 0: no limit.
    """

    size: int = 0
    inodes: int = 0
    bps: int = 0
    iops: int = 0


NO_STORAGE_LIMITS = StorageLimits()


class Overlay(NamedTuple):
    """A layer over the image: the writable one, in the directories `upper` and `work` of the directory `path`,
    or a read-only one. `path` is absolute.
    """

    path: str
    read_only: bool = False


class Bind(NamedTuple):
    """A directory or file of the host.

    Both paths are absolute. `propagation` is an option of mount(8), such as `rprivate`; `flags` are others,
    such as `noexec`. `create`: a missing source is made as a directory, as Docker's -v does. `read_only_below`:
    with `read_only`, mounts below the source are read-only too.
    """

    source: str
    target: str
    read_only: bool = False
    propagation: str = "rprivate"
    recursive: bool = True
    flags: tuple[str, ...] = ()
    create: bool = False
    read_only_below: bool = True
    inherited: bool = False
    """It is another container's (--volumes-from)."""
    overlay: bool = False
    """The container's changes are not written to the source, and are dropped at its end."""
    chown: bool = False
    """The owner of the source's files is changed to the container's user."""
    idmap: bool = False
    """The container's user is the caller on the host: `rootless.engine.preparation.prepare` chooses the id maps
    for that.
    """


class Tmpfs(NamedTuple):
    """A file system in memory. `options` are those of mount(8), in order; the default is nosuid, nodev, noexec
    and mode=1777. `by_mount`: `inspect` shows it in docker's Mounts (--mount) and not in Tmpfs (--tmpfs).
    """

    target: str
    options: tuple[str, ...] = ()
    by_mount: bool = False


class Volume(NamedTuple):
    """A volume. With an empty `name` a new one is made for the container.

    `nocopy`: an empty volume is not filled with the image's files at `target`. `subpath` is a path inside the
    volume, without `..`. `labels` and `driver_options` are for a volume that does not exist yet. `mode` are the
    options of -v, for `inspect`. `by_mount`: `inspect` shows it in docker's Mounts (--mount) and not in Binds.
    """

    name: str
    target: str
    read_only: bool = False
    nocopy: bool = False
    subpath: str = ""
    labels: Mapping[str, str] = {}
    driver_options: Mapping[str, str] = {}
    mode: str = ""
    by_mount: bool = False
    device: str = ""
    """The directory of the host that the volume stands for; empty for one with files of its own."""
    device_flags: tuple[str, ...] = ()
    """Options of mount(8) of a volume that stands for a directory."""
    is_tmpfs: bool = False
    """Its files are in memory, until the last container that mounts it ends."""
    is_anonymous: bool = False
    """Made for the container, and removed with it by `rm -v` and `run --rm`."""
    inherited: bool = False
    """It is another container's (--volumes-from)."""
    overlay: bool = False
    """The container's changes are not written to the volume, and are dropped at its end."""
    chown: bool = False
    """The owner of the files is changed to the container's user."""
    flags: tuple[str, ...] = ()
    """Options of mount(8), such as `noexec`."""


class ImageMount(NamedTuple):
    """The files of an image, read-only. `subpath` is a path inside, without `..`; `image_id` is found by
    `rootless.engine.preparation.prepare`."""

    image: str
    target: str
    subpath: str = ""
    image_id: str = ""
    inherited: bool = False

    @property
    def read_only(self) -> bool:
        return True


UserMount = Bind | Tmpfs | Volume | ImageMount


class VolumesFrom(NamedTuple):
    """The binds and volumes of another container, by its name or id. `mode` are the options after its name."""

    container: str
    mode: str = ""

    @property
    def read_only(self) -> bool:
        return "ro" in self.mode.split(",")


class Device(NamedTuple):
    """A device node of the host. Both paths are absolute; `access` is some of r, w and m."""

    source: str
    target: str
    access: str = "rwm"


class Ulimit(NamedTuple):
    """A limit of setrlimit(2); -1 is no limit. `name` is in lower case, without RLIMIT_."""

    name: str
    soft: int
    hard: int


class HostEntry(NamedTuple):
    """A line of /etc/hosts. `address` is an IP address or HOST_GATEWAY."""

    name: str
    address: str


class Dns(NamedTuple):
    """The contents of resolv.conf(5), in place of the host's; `servers` are IP addresses."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class NamespaceModes(NamedTuple):
    """True: a new namespace; False: the host's. NetworkOptions has the network namespace."""

    pid: bool = True
    ipc: bool = True
    shm: bool = True
    """Whether a container with an IPC namespace of its own has /dev/shm: False for --ipc none."""
    uts: bool = True
    cgroup: bool = True
    container: str = ""
    """The name or id of the container whose namespaces `joined` are shared."""
    joined: tuple[str, ...] = ()
    """The shared ones of pid, ipc and uts; the fields of these names are False."""


class SecurityOptions(NamedTuple):
    """`capabilities` are names without CAP_, in upper case. `seccomp` is None for the default
    profile, `unconfined`, or the path of a profile. `mask` and `unmask` are absolute paths.
    `chown`: the effect of chown(2) in an account with one id; None: RECORD where possible, else PRETEND.
    """

    capabilities: frozenset[str] = DEFAULT_CAPABILITIES
    seccomp: str | None = None
    no_new_privileges: bool = False
    mask: tuple[str, ...] = ()
    unmask: tuple[str, ...] = ()
    unmask_all: bool = False
    labels: tuple[str, ...] = ()
    """The values of `label=`, which have no effect and are shown by `inspect`."""
    chown: ChownMode | None = None


class Throttle(NamedTuple):
    """A limit on a block device: its path below /dev, and bytes/s or operations/s."""

    device: str
    rate: int


class ResourceLimits(NamedTuple):
    """Limits that control groups enforce; 0 or empty: no limit. Memory is in bytes, CPU times are in
    microseconds, `nano_cpus` in billionths of a processor.
    """

    memory: int = 0
    memory_swap: int = 0
    """Memory and swap together; -1 is no limit of swap."""
    memory_reservation: int = 0
    oom_kill_disable: bool = False
    nano_cpus: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    """A list of processors as cpuset(7) writes it: `0-3,7`."""
    cpuset_mems: str = ""
    pids_limit: int = 0
    blkio_weight: int = 0
    read_bps: tuple[Throttle, ...] = ()
    write_bps: tuple[Throttle, ...] = ()
    read_iops: tuple[Throttle, ...] = ()
    write_iops: tuple[Throttle, ...] = ()


class RestartName(Enum):
    """Docker's restart policies."""

    NO = "no"
    ALWAYS = "always"
    UNLESS_STOPPED = "unless-stopped"
    ON_FAILURE = "on-failure"


class RestartPolicy(NamedTuple):
    """When the monitor restarts a container that has ended. `maximum`: of restarts, with on-failure; 0: no
    limit.
    """

    name: RestartName = RestartName.NO
    maximum: int = 0


class LogDriver(Enum):
    """Where the container's output is stored."""

    JSON_FILE = "json-file"
    K8S_FILE = "k8s-file"
    JOURNALD = "journald"
    NONE = "none"
    PASSTHROUGH = "passthrough"


class LogOptions(NamedTuple):
    """How the container's output is stored. `max_size` is in bytes, 0: no limit.

    Each entry has the values of the labels and variables named in `labels` and `variables` or matched by the
    patterns (`logs --details`), and `tag`, a Go template that the monitor renders. `given` are the options as
    typed, for `inspect`.
    """

    driver: LogDriver = LogDriver.JSON_FILE
    max_size: int = 0
    max_file: int = 1
    compress: bool = False
    labels: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    labels_pattern: str = ""
    variables_pattern: str = ""
    tag: str = ""
    given: Mapping[str, str] = {}


ALL_STREAMS = Streams()
NO_RESTART = RestartPolicy()
DEFAULT_LOG = LogOptions()
NO_DNS = Dns()
NO_LIMITS = ResourceLimits()
DEFAULT_NAMESPACES = NamespaceModes()
ROOT_IS_CALLER = UserNamespaceMode()
DEFAULT_SECURITY = SecurityOptions()


class TraceOptions(NamedTuple):
    """The trace of the files that a container uses.

    Args:
        file: Absolute path of a copy that is written at the end; empty: none besides that in the container's
        directory.
        every_name: Record each use of a name, also of one in a directory that was listed. It makes listings
            slower.
    """

    file: str = ""
    every_name: bool = False


class ContainerOptions(NamedTuple):
    """The options of one container. None: the image's value, or the default.

    Its root file system is that of `image`, a reference or an id, or `rootfs`, a directory or an image file of
    the host.
    """

    image: str | None = None
    rootfs: str | None = None
    in_place: bool = False
    """The container writes to the directory `rootfs` itself."""
    platform: Platform | None = None
    pull: PullPolicy = PullPolicy.MISSING
    storage_driver: StorageDriver | None = None
    always_sync: bool = False
    """Honour fsync(2) in the writable layer even if the container is removed at its end."""
    storage: StorageLimits = NO_STORAGE_LIMITS
    overlays: tuple[Overlay, ...] = ()
    """At most one is writable; of the read-only ones the first is on top."""
    writable_tmpfs: int | None = None
    """Size in bytes of a writable layer in memory, which is dropped at the end of each run; 0: half of the
    machine's memory (tmpfs(5)).
    """

    name: str | None = None
    replace: bool = False
    """Remove the container that has the name before, also if it runs."""
    remove: bool = False
    """Remove the container when it has ended."""
    remove_image: bool = False
    """Remove the image as well, unless another container uses it. Only with `remove`."""
    cidfile: str | None = None
    """A new file for the container's id. It must not exist."""
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    trace: TraceOptions | None = None
    """None: no trace."""
    prefetch: str = ""
    """Absolute path of a list of files to read ahead (`rootless.tracing.reading_list`); empty: none."""
    snapshot_each: str = ""
    """When snapshots are taken: `exec`, before each command of exec, or the interval in seconds; empty: on
    request only.
    """

    command: tuple[str, ...] = ()
    entrypoint: str | None = None
    """An empty one removes the image's."""
    workdir: str | None = None
    workdir_required: bool = False
    """A missing working directory is an error; otherwise it is made."""
    user: str | None = None
    """USER or USER:GROUP, names or numbers, looked up in the container's own files."""
    groups: tuple[str, ...] = ()
    umask: int | None = None
    variables: Variables = ()
    terminal: bool = False
    interactive: bool = False
    attach: Streams = ALL_STREAMS
    signals: bool = True
    """Forward signals of the caller to the container."""
    detach_keys: bytes = b""
    """The keys that detach a terminal; empty: docker's, ctrl-p ctrl-q."""
    job_control: bool = False
    """In the foreground: whether the caller is stopped with the command, and the command with the caller. On a
    terminal this needs `init`.
    """
    log: LogOptions = DEFAULT_LOG
    init: bool = False
    stop_signal: str | None = None
    """A name with SIG, or SIGRTMIN+N."""
    stop_timeout: int | None = None
    """Seconds."""
    time_limit: int = 0
    """Seconds after which a run is killed; 0: no limit."""
    restart: RestartPolicy = NO_RESTART
    health: HealthCheck | None = None
    oom_score_adj: int | None = None
    ulimits: tuple[Ulimit, ...] = ()

    mounts: tuple[UserMount, ...] = ()
    volumes_from: tuple[VolumesFrom, ...] = ()
    devices: tuple[Device, ...] = ()
    cdi_devices: tuple[str, ...] = ()
    """Qualified names of CDI devices, vendor.com/class=name."""
    cdi_directories: tuple[str, ...] = ()
    """Directories of CDI specifications, lowest priority first; empty: /etc/cdi and /var/run/cdi."""
    read_only: bool = False
    writable: tuple[str, ...] = ()
    """With `read_only`: directories of the root file system that are writable."""
    hidden: tuple[str, ...] = ()
    """With a directory as `rootfs`: absolute paths of the host that appear empty, by all names of the file."""
    own_etc: bool = False
    """/etc/hosts, /etc/hostname and /etc/resolv.conf are those of the root file system; with a network of its
    own, except /etc/resolv.conf.
    """
    shm_size: int = DEFAULT_SHM_SIZE
    """Bytes."""

    hostname: str | None = None
    domainname: str | None = None
    """The NIS domain name (uts_namespaces(7))."""
    hosts: tuple[HostEntry, ...] = ()
    dns: Dns = NO_DNS
    network: NetworkOptions = DEFAULT_NETWORK

    namespaces: NamespaceModes = DEFAULT_NAMESPACES
    userns: UserNamespaceMode = ROOT_IS_CALLER
    privileged: bool = False
    security: SecurityOptions = DEFAULT_SECURITY
    sysctls: Mapping[str, str] = {}

    limits: ResourceLimits = NO_LIMITS
    cgroup_parent: str | None = None
