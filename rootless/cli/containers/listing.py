"""`ps`: the containers there are, and what became of them."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.formats import print_list
from rootless.cli.grammar import Command, Flag, Number, Parsed, Texts
from rootless.cli.output import human_size, local_time, short_id, shortened, since
from rootless.cli.shared_options import LIST_FORMAT, NO_TRUNC, QUIET_IDS, SIZE, filter_pairs
from rootless.containers.record import ContainerRecord
from rootless.containers.status import ALIVE, Status
from rootless.filters import ContainerFilters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rootless.containers.volumes.users import MountName
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
    "Ports": "PORTS",
    "RunningFor": "CREATED",
    "Size": "SIZE",
    "State": "STATE",
    "Status": "STATUS",
}
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
    "before, since, health, volume, network, publish, expose",
    "FILTER",
)
_LAST = Number(("last", "n"), "Show n last created containers (includes all states)", "NUMBER")
_LATEST = Flag(("latest", "l"), "Show the latest created container (includes all states)")


def ps(parsed: Parsed, settings: Settings) -> int:
    """List containers, the newest first; those that have ended only when they are asked for."""
    engine = engine_of(settings)
    last = 1 if parsed[_LATEST] else parsed[_LAST]
    filters = ContainerFilters()
    if pairs := filter_pairs(parsed, _FILTER):
        from rootless.cli.flags.filters import container_filters

        filters = container_filters(pairs)
    records = engine.find_containers(
        filters,
        everything=parsed[_ALL] or last is not None,
        last=last,
    )
    full = parsed[NO_TRUNC]
    if parsed[QUIET_IDS]:
        for record in records:
            print(record.id if full else short_id(record.id))
        return 0
    form = parsed[LIST_FORMAT]
    sizes = parsed[SIZE] or any(word in (form or "") for word in (".Size", "json"))
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
    columns = [*_COLUMNS, *(["Size"] if parsed[SIZE] else [])]
    sample = _row(ContainerRecord("", "", ""), full, "")
    print_list(form, "*formatter.ContainerContext", _TITLES, columns, rows, sample=sample)
    return 0


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
        "Command": f'"{command if full else shortened(command, _COMMAND_WIDTH)}"',
        "CreatedAt": local_time(record.created),
        "ID": record.id if full else short_id(record.id),
        "Image": record.image or "<rootfs>",
        "Label": lambda key: record.labels.get(str(key), ""),
        "Labels": ",".join(f"{key}={value}" for key, value in record.labels.items()),
        "LocalVolumes": str(sum(each.is_volume for each in mounts)),
        "Mounts": ",".join(shown),
        "Names": record.name,
        "Networks": _network(record),
        "Ports": _ports(record),
        "RunningFor": since(record.created),
        "Size": size,
        "State": record.status.value,
        "Status": status_of(record),
    }


PS = Command(
    "ps",
    "List containers",
    "",
    (_ALL, _FILTER, LIST_FORMAT, _LAST, _LATEST, NO_TRUNC, QUIET_IDS, SIZE),
    ps,
    most=0,
)
