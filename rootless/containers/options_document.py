"""options.json: the options of a container, as JSON beside its record. Pure.

Only what differs from the default is written. Fields that this version does not know are ignored.
"""

from __future__ import annotations

from rootless.errors import InvalidDocumentError
from rootless.light_json import dumps, loads
from rootless.network.options import NONE, ExposedPort, NetworkOptions, PortRequest, attachment_of
from rootless.runtime.idmap import UserNamespaceMode
from rootless.spec import options as values
from rootless.spec.options import ContainerOptions
from rootless.spec.storage_driver import StorageDriver
from unionfs.light_types import Enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from rootless.spec.health import HealthCheck

NAME = "options.json"
_DEFAULT = ContainerOptions()
_MOUNT_TYPES: dict[str, type[values.UserMount]] = {
    "bind": values.Bind,
    "tmpfs": values.Tmpfs,
    "volume": values.Volume,
    "image": values.ImageMount,
}


def encode_options(options: ContainerOptions) -> bytes:
    """The document of the options."""
    given = zip(options._fields, options, _DEFAULT, strict=True)
    changed = {name: _plain(value) for name, value, default in given if value != default}
    return dumps(changed) + b"\n"


def decode_options(data: bytes, what: str) -> ContainerOptions:
    """The options of a document; `what` names the file in errors. Raises InvalidDocumentError."""
    try:
        document = loads(data)
        known = {name: value for name, value in document.items() if name in _DEFAULT._fields}
        if "network" not in known and (document.get("namespaces") or {}).get("network"):
            known["network"] = _plain(NetworkOptions(NONE))
        return ContainerOptions(
            **{name: _READERS.get(name, _as_it_is)(value) for name, value in known.items()}
        )
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise InvalidDocumentError(f"{what} cannot be read: {error}") from error


def _plain(value: Any) -> object:  # noqa: ANN401 - the fields of options
    """As JSON has it. A NamedTuple is an object with its fields, a mount one with its type as well."""
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "_asdict"):
        fields = {name: _plain(part) for name, part in value._asdict().items()}
        for name, kind in _MOUNT_TYPES.items():
            if isinstance(value, kind):
                fields["type"] = name
        return fields
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value


def _as_it_is(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _each(kind: Callable[..., object]) -> Callable[[Any], object]:
    return lambda value: tuple(kind(**entry) for entry in value)


def _mounts(value: list[dict[str, Any]]) -> tuple[values.UserMount, ...]:
    return tuple(map(_mount, value))


def _mount(entry: dict[str, Any]) -> values.UserMount:
    fields: dict[str, Any] = {name: _as_it_is(part) for name, part in entry.items()}
    return _MOUNT_TYPES[fields.pop("type")](**fields)


def _security(value: dict[str, Any]) -> values.SecurityOptions:
    fields: dict[str, Any] = {name: _as_it_is(part) for name, part in value.items()}
    fields["capabilities"] = frozenset(fields["capabilities"])
    if fields.get("chown"):
        from rootless.runtime.extensions import ChownMode

        fields["chown"] = ChownMode(fields["chown"])
    return values.SecurityOptions(**fields)


def _limits(value: dict[str, Any]) -> values.ResourceLimits:
    throttles = _each(values.Throttle)
    fields: dict[str, Any] = {
        name: throttles(part) if isinstance(part, list) else part for name, part in value.items()
    }
    return values.ResourceLimits(**fields)


def _log(value: dict[str, Any]) -> values.LogOptions:
    fields: dict[str, Any] = {name: _as_it_is(part) for name, part in value.items()}
    return values.LogOptions(**fields | {"driver": values.LogDriver(fields["driver"])})


def _health(value: dict[str, Any]) -> HealthCheck:
    from rootless.spec.health import from_plain

    return from_plain(value)


def _namespaces(value: dict[str, Any]) -> values.NamespaceModes:
    """Earlier versions had `network` among them."""
    known = {name: part for name, part in value.items() if name in values.NamespaceModes._fields}
    return values.NamespaceModes(**known | {"joined": tuple(known.get("joined", ()))})


def _network(value: dict[str, Any]) -> NetworkOptions:
    ports, exposed = _each(PortRequest), _each(ExposedPort)
    fields = {
        **value,
        "arguments": tuple(value["arguments"]),
        "ports": ports(value["ports"]),
        "exposed": exposed(value["exposed"]),
        "attachments": tuple(map(attachment_of, value.get("attachments", ()))),
    }
    return NetworkOptions(**fields)


def _platform(value: dict[str, str]) -> object:
    from rootless.oci.platform import Platform

    return Platform(**value)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "platform": _platform,
    "pull": values.PullPolicy,
    "storage_driver": StorageDriver,
    "variables": lambda value: tuple(map(tuple, value)),
    "storage": lambda value: values.StorageLimits(**value),
    "overlays": _each(values.Overlay),
    "restart": lambda value: values.RestartPolicy(
        values.RestartName(value["name"]), value["maximum"]
    ),
    "health": _health,
    "attach": lambda value: values.Streams(**value),
    "log": _log,
    "detach_keys": lambda value: value.encode("latin-1"),
    "ulimits": _each(values.Ulimit),
    "mounts": _mounts,
    "volumes_from": _each(values.VolumesFrom),
    "devices": _each(values.Device),
    "hosts": _each(values.HostEntry),
    "dns": lambda value: values.Dns(**{name: tuple(part) for name, part in value.items()}),
    "namespaces": _namespaces,
    "network": _network,
    "userns": lambda value: UserNamespaceMode(**value),
    "security": _security,
    "limits": _limits,
    "trace": lambda value: values.TraceOptions(**value),
}
