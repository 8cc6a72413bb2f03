"""container.json: one container as a value, and its JSON. Pure.

Fields that this version does not know are kept, so that an older engine does not lose what a newer
one wrote. `format` is raised only when an older engine would misread the document.
"""

from __future__ import annotations

from rootless.containers.status import Status, check_transition, check_verb
from rootless.errors import InvalidDocumentError
from rootless.light_json import dumps, read_versioned
from rootless.network.endpoint import Endpoint, endpoint_in, plain_endpoint
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.containers.status import Verb

FORMAT = 1

KILL_CONTAINER = 35
"""A command sends a monitor this signal (SIGRTMIN + 1) to have its container killed and not started again. No scheduler sends
it to the processes of a job."""
LISTEN_AGAIN = 36
"""A command sends a monitor this signal (SIGRTMIN + 2) to have it make its control socket again, which something has removed."""

IN_DIRECTORY = ""
"""In the container's directory."""
IN_OVERLAY = "overlay"
"""In a directory or an image of the user's, which outlives the container (--overlay)."""
IN_UPPERS = "uppers"
"""In a directory that was made for it where the configuration keeps writable layers."""
IN_MEMORY = "memory"
"""In a tmpfs, which each run makes anew (--writable-tmpfs)."""


def snapshots_of(directory: str) -> str:
    """The file beside the record that lists the container's snapshots (`rootless.snapshots.SNAPSHOTS`). A start that does not
    find it loads nothing of `rootless.snapshots`.
    """
    return f"{directory}/snapshots.json"


class ContainerRecord(NamedTuple):
    """Times are RFC 3339 in UTC, empty when it has not happened yet.

    `pid` is the container's first process as the host sees it and `pid_start` the field starttime
    of its /proc/PID/stat: together they name a process for good, so that a number used again is not
    taken for the container. `monitor_pid` and `server_pid`, the file server's, likewise.
    """

    id: str
    name: str
    created: str
    status: Status = Status.CREATED
    image: str = ""
    """The name as the user gave it, or empty for --rootfs."""
    image_id: str = ""
    """Digest of the image's config; `rmi` keeps what it names."""
    mounted_images: tuple[str, ...] = ()
    """Digests of the configs of images that it mounts (--mount type=image)."""
    storage_driver: str = ""
    """Empty in records of versions that had but one: unionfs."""
    rootfs: str = ""
    """The directory of --rootfs, absolute, or empty for an image."""
    overlays: tuple[str, ...] = ()
    """Directories and files of file systems that are read-only layers over the image, top first (--overlay PATH:ro)."""
    layer: str = ""
    """Where its writable layer is: IN_DIRECTORY, IN_OVERLAY, IN_UPPERS or IN_MEMORY."""
    memory_fd: int = 0
    """The descriptor by which its monitor holds the top of a layer in memory or in an image while the container runs; 0 for one
    in directories."""
    snapshot_each: str = ""
    """When snapshots are taken: `exec`, before each command of exec; a number: at this interval in seconds; empty: on request."""
    command: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    auto_remove: bool = False
    pid: int = 0
    pid_start: int = 0
    monitor_pid: int = 0
    monitor_pid_start: int = 0
    server_pid: int = 0
    server_pid_start: int = 0
    started: str = ""
    finished: str = ""
    exit_code: int = 0
    oom_killed: bool = False
    restart_count: int = 0
    """How often the restart policy has started it since it was last started by a user."""
    stopped_by_user: bool = False
    """A user has ended it (stop, kill): a boot does not start it where the policy is unless-stopped."""
    health: str = ""
    """A word of rootless.containers.health.HealthStatus; empty without a health check."""
    boot: str = ""
    """The boot id of the kernel that the PIDs are of (random(4), boot_id)."""
    host: str = ""
    """The host name of the machine on which it was last started; a store in a network home has containers of several."""
    error: str = ""
    endpoint: Endpoint | None = None
    """None in records of versions that had no networks."""
    extra: Mapping[str, object] = {}
    """Whatever else the document holds, by key."""

    @property
    def used_images(self) -> tuple[str, ...]:
        """Digests of the configs of the images that it needs."""
        return (*((self.image_id,) if self.image_id else ()), *self.mounted_images)

    def without_processes(self) -> ContainerRecord:
        """This record of a container without container process, monitor and file server."""
        return self._replace(
            pid=0,
            pid_start=0,
            monitor_pid=0,
            monitor_pid_start=0,
            server_pid=0,
            server_pid_start=0,
            memory_fd=0,
        )

    def require(self, verb: Verb) -> None:
        """Raises ConflictError with Docker's message if the status does not allow the verb."""
        check_verb(verb, self.status, container_id=self.id, name=self.name, error=self.error)

    def moved_to(self, status: Status, **changes: object) -> ContainerRecord:
        """This record in another status. Raises UsageError if the table of transitions has no such
        step."""
        check_transition(self.name, self.status, status)
        return self._replace(status=status, **changes)  # type: ignore[arg-type]


_SCALARS: dict[str, type] = {
    "id": str,
    "name": str,
    "created": str,
    "image": str,
    "image_id": str,
    "storage_driver": str,
    "rootfs": str,
    "layer": str,
    "memory_fd": int,
    "snapshot_each": str,
    "auto_remove": bool,
    "pid": int,
    "pid_start": int,
    "monitor_pid": int,
    "monitor_pid_start": int,
    "server_pid": int,
    "server_pid_start": int,
    "started": str,
    "finished": str,
    "exit_code": int,
    "oom_killed": bool,
    "restart_count": int,
    "stopped_by_user": bool,
    "health": str,
    "boot": str,
    "host": str,
    "error": str,
}


def encode(record: ContainerRecord) -> bytes:
    """The document of a record."""
    document: dict[str, object] = {"format": FORMAT, **record.extra}
    document |= {name: value for name, value in record._asdict().items() if name != "extra"}
    document["status"] = record.status.value
    document["endpoint"] = plain_endpoint(record.endpoint)
    return dumps(document) + b"\n"


def decode(data: bytes, what: str) -> ContainerRecord:
    """The record of a document; `what` names the file in errors. Raises InvalidDocumentError."""
    document = read_versioned(data, what, FORMAT)
    values: dict[str, object] = {}
    for name, kind in _SCALARS.items():
        value = document.pop(name, kind())
        if type(value) is not kind:
            raise InvalidDocumentError(f"{what}: {name} is not of type {kind.__name__}")
        values[name] = value
    command = _words(document, "command", what)
    mounted_images = _words(document, "mounted_images", what)
    overlays = _words(document, "overlays", what)
    labels = document.pop("labels", {})
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise InvalidDocumentError(f"{what}: labels is not an object of strings")
    try:
        status = Status(document.pop("status", "created"))
    except (TypeError, ValueError) as error:
        raise InvalidDocumentError(f"{what}: {error}") from error
    try:
        endpoint = endpoint_in(document.pop("endpoint", None))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InvalidDocumentError(f"{what}: endpoint is damaged: {error}") from error
    return ContainerRecord(
        status=status,
        endpoint=endpoint,
        command=command,
        mounted_images=mounted_images,
        overlays=overlays,
        labels=labels,
        extra=document,
        **values,  # type: ignore[arg-type]
    )


def _words(document: dict[str, object], name: str, what: str) -> tuple[str, ...]:
    value = document.pop(name, [])
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise InvalidDocumentError(f"{what}: {name} is not a list of strings")
    return tuple(value)
