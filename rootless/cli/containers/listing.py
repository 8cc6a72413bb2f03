"""`ps`: lists containers."""

from __future__ import annotations

import sys
import time

from rootless.cli.context import Settings, engine_of
from rootless.cli.formats import print_list
from rootless.cli.grammar import Command, Flag, Number, Parsed, Text, Texts, Toggle
from rootless.cli.output import human_size, local_time, short_id, shortened, since
from rootless.cli.shared_options import (
    LIST_FORMAT,
    NO_HEADING,
    NO_TRUNC,
    QUIET_IDS,
    filter_pairs,
)
from rootless.containers.record import ContainerRecord
from rootless.containers.status import ALIVE, Status
from rootless.errors import UsageError
from rootless.filters import ContainerFilters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from rootless.containers.volumes.users import MountName
    from rootless.engine import Engine
    from rootless.rootfs.sizes import ContainerSizes

_COMMAND_WIDTH = 20
_MOUNT_WIDTH = 15
_TITLES = {
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Labels": "LABELS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Mounts": "MOUNTS",
    "Names": "NAMES",
    "Networks": "NETWORKS",
    "Platform": "PLATFORM",
    "Ports": "PORTS",
    "RunningFor": "CREATED",
    "Size": "SIZE",
    "State": "STATE",
    "Status": "STATUS",
}
_PODMAN_TITLES = {
    "Created": "CREATED",
    "CreatedHuman": "CREATED",
    "ExitCode": "EXIT CODE",
    "Exited": "EXITED",
    "ExitedAt": "EXITED",
    "ImageID": "IMAGE ID",
    "Pid": "PID",
    "Pod": "POD ID",
    "PodName": "PODNAME",
    "Restarts": "RESTARTS",
    "StartedAt": "STARTED",
}
"""Fields of podman's templates that docker's have not."""
_COLUMNS = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"]

_OTHER_STATUSES = {
    Status.CREATED: "Created",
    Status.REMOVING: "Removal In Progress",
    Status.DEAD: "Dead",
}

_ALL = Flag(("all", "a"), "Show all containers (default shows just running)")
_FILTER = Texts(
    ("filter", "f"),
    "Filter output based on conditions provided: id, name, label, status, exited, ancestor, "
    "before, since, until, health, volume, network, publish, expose, restart-policy",
    "FILTER",
)
_LAST = Number(("last", "n"), "Show n last created containers (includes all states)", "NUMBER")
_LATEST = Flag(("latest", "l"), "Show the latest created container (includes all states)")
_SIZE = Toggle(("size", "s"), "Display total file sizes")
_SORT = Text(
    ("sort",),
    "Sort output by: command, created, id, image, names, runningfor, size, status",
    "KEY",
    choices=("command", "created", "id", "image", "names", "runningfor", "size", "status"),
)


def ps(parsed: Parsed, settings: Settings) -> int:
    """List containers, the newest first; those that have ended only when they are asked for."""
    engine = engine_of(settings)
    last = _last(parsed)
    records = engine.find_containers(
        _filters(parsed), everything=parsed[_ALL] or last is not None, last=last
    )
    records = _sorted(records, parsed[_SORT], engine)
    if parsed[QUIET_IDS]:
        _print_ids(records, parsed)
    else:
        _print_table(records, parsed, engine)
    return 0


def _last(parsed: Parsed) -> int | None:
    """How many containers are shown; None for any number."""
    # Docker takes a number below one for none that was given.
    last = parsed[_LAST] if (parsed[_LAST] or 0) > 0 else None
    return 1 if parsed[_LATEST] and last is None else last


def _filters(parsed: Parsed) -> ContainerFilters:
    pairs = filter_pairs(parsed, _FILTER)
    if not pairs:
        return ContainerFilters()
    from rootless.cli.flags.filters import container_filters

    return container_filters(pairs, time.time())


def _print_ids(records: Sequence[ContainerRecord], parsed: Parsed) -> None:
    if parsed[LIST_FORMAT]:
        print(
            "WARNING: Ignoring custom format, because both --format and --quiet are set.",
            file=sys.stderr,
        )
    for record in records:
        print(record.id if parsed[NO_TRUNC] else short_id(record.id))


def _print_table(records: Sequence[ContainerRecord], parsed: Parsed, engine: Engine) -> None:
    form, full = parsed[LIST_FORMAT], parsed[NO_TRUNC]
    # Each takes a look into every container.
    sizes = parsed[_SIZE]
    if sizes is None:
        sizes = form != "json" and any(word in (form or "") for word in (".Size", "json"))
    mounts = any(word in (form or "") for word in (".Mounts", ".LocalVolumes", "json"))
    rows = [
        _row(
            each,
            full,
            _size(engine.container_sizes(each)) if sizes else "0B",
            engine.container_mounts(each) if mounts else (),
        )
        for each in records
    ]
    columns = [*_COLUMNS, *(["Size"] if parsed[_SIZE] else [])]
    sample = _row(ContainerRecord("", "", ""), full, "")
    print_list(
        form,
        "*formatter.ContainerContext",
        {**_TITLES, **_PODMAN_TITLES},
        columns,
        rows,
        sample=sample,
        heading=not parsed[NO_HEADING],
        unlisted=frozenset(_PODMAN_TITLES),
    )


def _sorted(
    records: list[ContainerRecord], key: str | None, engine: Engine
) -> list[ContainerRecord]:
    """By podman's --sort; None for the newest first. Raises UsageError."""
    if key is None:
        return records
    keys: dict[str, Callable[[ContainerRecord], str | int]] = {
        "command": lambda record: " ".join(record.command),
        "created": lambda record: record.created,
        "id": lambda record: record.id,
        "image": lambda record: record.image,
        "names": lambda record: record.name,
        "runningfor": lambda record: record.started,
        "size": lambda record: engine.container_sizes(record).total,
        "status": lambda record: record.status.value,
    }
    if key not in keys:
        raise UsageError(f'invalid option type for --sort: "{key}"', hint=f"use {', '.join(keys)}")
    return sorted(records, key=keys[key])


def _size(sizes: ContainerSizes) -> str:
    return f"{human_size(sizes.written)} (virtual {human_size(sizes.total)})"


def status_of(record: ContainerRecord) -> str:
    """Docker's STATUS column."""
    if record.status in ALIVE:
        return f"Up {since(record.started).removesuffix(' ago')}{_condition(record)}"
    if record.status is Status.RESTARTING:
        return f"Restarting ({record.exit_code}) {since(record.finished)}"
    if record.status is Status.EXITED:
        return f"Exited ({record.exit_code}) {since(record.finished)}"
    return _OTHER_STATUSES[record.status]


def _condition(record: ContainerRecord) -> str:
    """What follows the time of a container that is up."""
    if record.status is Status.PAUSED:
        return " (Paused)"
    if record.health == "starting":
        return " (health: starting)"
    return f" ({record.health})" if record.health else ""


def _network(record: ContainerRecord) -> str:
    """The names of its networks."""
    return "" if record.endpoint is None else ",".join(sorted(record.endpoint.networks))


def _ports(record: ContainerRecord) -> str:
    endpoint = record.endpoint
    if endpoint is None or record.status not in ALIVE or not (endpoint.ports or endpoint.exposed):
        return ""
    from rootless.network.ports import ports_column

    return ports_column(endpoint.ports, endpoint.exposed)


def _row(
    record: ContainerRecord, full: bool, size: str, mounts: Sequence[MountName] = ()
) -> dict[str, Any]:
    shown = [each.name if full else shortened(each.name, _MOUNT_WIDTH) for each in mounts]
    first, *arguments = record.command or ("",)
    command = " ".join((first, *(f"'{each}'" if " " in each else each for each in arguments)))
    return {
        **_podman_fields(record, full),
        "Command": f'"{command if full else shortened(command, _COMMAND_WIDTH)}"',
        "CreatedAt": local_time(record.created),
        "ID": record.id if full else short_id(record.id),
        "Image": record.image or "<rootfs>",
        "Label": lambda key: record.labels.get(str(key), ""),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(record.labels.items())),
        "LocalVolumes": str(sum(each.is_volume for each in mounts)),
        "Mounts": ",".join(shown),
        "Names": record.name,
        "Networks": _network(record),
        "Platform": None,  # docker knows it with containerd's image store alone
        "Ports": _ports(record),
        "RunningFor": since(record.created),
        "Size": size,
        "State": record.status.value,
        "Status": status_of(record),
    }


def _podman_fields(record: ContainerRecord, full: bool) -> dict[str, Any]:
    """The values of _PODMAN_TITLES."""
    age = since(record.created)
    return {
        "Created": age,
        "CreatedHuman": age,
        "ExitCode": record.exit_code,
        "Exited": record.status is Status.EXITED,
        "ExitedAt": local_time(record.finished),
        "ImageID": (record.image_id if full else short_id(record.image_id)),
        "Pid": record.pid,
        "Pod": "",
        "PodName": "",
        "Restarts": record.restart_count,
        "StartedAt": local_time(record.started),
    }


PS = Command(
    "ps",
    "List containers",
    "",
    (
        _ALL,
        _FILTER,
        LIST_FORMAT,
        _LAST,
        _LATEST,
        NO_TRUNC,
        NO_HEADING,
        QUIET_IDS,
        _SIZE,
        _SORT,
    ),
    ps,
    most=0,
)
