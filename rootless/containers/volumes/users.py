"""Finds the containers that use a volume, by their options."""

from __future__ import annotations

from rootless.containers.container_options import options_in
from rootless.errors import InvalidDocumentError
from rootless.spec.options import Bind, ImageMount, Tmpfs, Volume
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.directory import Containers


def volume_users(containers: Containers) -> dict[str, list[str]]:
    """The ids of the containers that mount each volume, by the volume's name."""
    users: dict[str, list[str]] = {}
    for container_id in containers.ids():
        for name in _volumes_of(containers.directory(container_id)):
            users.setdefault(name, []).append(container_id)
    return users


class MountName(NamedTuple):
    """A mount as `ps` lists it: the name of a volume or an image, or the source of a bind."""

    name: str
    is_volume: bool
    target: str


def mount_names(directory: str) -> list[MountName]:
    """The binds and volumes of the container whose directory it is; none where its options cannot be read."""
    try:
        options = options_in(directory)
    except (OSError, InvalidDocumentError):
        return []
    return [
        MountName(_name(each), isinstance(each, Volume), each.target)
        for each in options.mounts
        if not isinstance(each, Tmpfs)
    ]


def _name(mount: Bind | ImageMount | Volume) -> str:
    if isinstance(mount, Bind):
        return mount.source
    return mount.name if isinstance(mount, Volume) else mount.image


def _volumes_of(directory: str) -> set[str]:
    """A container whose options cannot be read uses what its configuration mounts."""
    try:
        options = options_in(directory)
    except FileNotFoundError:
        return set()
    except (OSError, InvalidDocumentError):
        return _volumes_of_spec(directory)
    return {each.name for each in options.mounts if isinstance(each, Volume)}


def _volumes_of_spec(directory: str) -> set[str]:
    from rootless.light_json import loads
    from rootless.runtime.mount_options import VOLUME

    try:
        with open(f"{directory}/config.json", "rb") as file:
            mounts = loads(file.read())["mounts"]
        words = [word for mount in mounts for word in mount["options"]]
    except (OSError, LookupError, TypeError, ValueError):
        return set()
    return {word.removeprefix(VOLUME) for word in words if word.startswith(VOLUME)}
