"""Reads one CDI specification: from a parsed JSON or YAML document to values. Raises an error with the reason for a
refusal. Pure.

A member that the specification does not have is refused, as by the library of the specification: it would be an edit
that is not carried out.
"""

from __future__ import annotations

from rootless.cdi.names import is_device, is_kind
from rootless.errors import InvalidDocumentError
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    Value = TypeVar("Value")

VERSIONS = ("0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0")
HOOK_NAMES = (
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
)
_DEVICE_TYPES = ("", "b", "c", "u", "p")


class DeviceNode(NamedTuple):
    """`host_path` is `path` where the file names no other. The access (`permissions`), the owner and the mode of
    the node are the host's: without the right to mknod(2) the node is a bind mount."""

    path: str
    host_path: str


class Mount(NamedTuple):
    host_path: str
    container_path: str
    options: tuple[str, ...] = ()
    type: str = ""


class Hook(NamedTuple):
    """A program of the host. `timeout` is in seconds, 0 for none."""

    name: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int = 0


class ContainerEdits(NamedTuple):
    """Edits of an OCI runtime spec. `env` are NAME=VALUE. `has_intel_rdt`: it asks for a class of service of
    Intel's Resource Director Technology, which only root can give.
    """

    env: tuple[str, ...] = ()
    devices: tuple[DeviceNode, ...] = ()
    mounts: tuple[Mount, ...] = ()
    hooks: tuple[Hook, ...] = ()
    additional_gids: tuple[int, ...] = ()
    has_intel_rdt: bool = False


NO_EDITS = ContainerEdits()


class CdiSpec(NamedTuple):
    """`devices`: the edits of each, by name. `edits` are carried out once for a container that is given any of
    them."""

    kind: str
    devices: Mapping[str, ContainerEdits]
    edits: ContainerEdits = NO_EDITS


def parse_spec(document: object) -> CdiSpec:
    """The values of a document. Raises InvalidDocumentError."""
    top = _object(document, "the specification")
    _refuse_unknown(
        top, ("cdiVersion", "kind", "annotations", "devices", "containerEdits"), "the specification"
    )
    version = _text(top, "cdiVersion").removeprefix("v")
    if version not in VERSIONS:
        raise InvalidDocumentError(f"invalid version {version!r}")
    kind = _text(top, "kind")
    if not is_kind(kind):
        raise InvalidDocumentError(f"invalid kind {kind!r}")
    needed = _Needed()
    if "." in kind.partition("/")[2]:
        needed.at_least("0.6.0", "a class with a dot")
    if top.get("annotations"):
        needed.at_least("0.6.0", "annotations")
    devices: dict[str, ContainerEdits] = {}
    for entry in _list(top, "devices"):
        device = _object(entry, "devices")
        _refuse_unknown(device, ("name", "annotations", "containerEdits"), "a device")
        name = _text(device, "name")
        if not is_device(name):
            raise InvalidDocumentError(f"invalid device name {name!r}")
        if name in devices:
            raise InvalidDocumentError(f"multiple devices {name!r}")
        if not name[0].isalpha():
            needed.at_least("0.5.0", "a name that begins with a digit")
        if device.get("annotations"):
            needed.at_least("0.6.0", "annotations")
        devices[name] = _edits(device, needed)
        if devices[name] == NO_EDITS:
            raise InvalidDocumentError(f"device {name!r} has no edits")
    if not devices:
        raise InvalidDocumentError("no devices")
    edits = _edits(top, needed)
    needed.check(version)
    return CdiSpec(kind, devices, edits)


class _Needed:
    """The first version that has all that a document uses."""

    def __init__(self) -> None:
        self._version, self._reason = VERSIONS[0], ""

    def at_least(self, version: str, reason: str) -> None:
        if VERSIONS.index(version) > VERSIONS.index(self._version):
            self._version, self._reason = version, reason

    def check(self, version: str) -> None:
        if VERSIONS.index(version) < VERSIONS.index(self._version):
            raise InvalidDocumentError(
                f"the spec version must be at least v{self._version} for {self._reason}"
            )


def _edits(holder: Mapping[str, Any], needed: _Needed) -> ContainerEdits:
    given = holder.get("containerEdits")
    if given is None:
        return NO_EDITS
    edits = _object(given, "containerEdits")
    known = ("env", "deviceNodes", "mounts", "hooks", "additionalGids", "intelRdt")
    _refuse_unknown(edits, known, "containerEdits")
    if edits.get("additionalGids"):
        needed.at_least("0.7.0", "additionalGids")
    if edits.get("intelRdt") is not None:
        needed.at_least("0.7.0", "intelRdt")
    return ContainerEdits(
        env=_environment(edits),
        devices=_each(edits, "deviceNodes", lambda entry: _device_node(entry, needed)),
        mounts=_each(edits, "mounts", lambda entry: _mount(entry, needed)),
        hooks=_each(edits, "hooks", _hook),
        additional_gids=tuple(
            _number(each, "additionalGids") for each in _list(edits, "additionalGids") if each
        ),
        has_intel_rdt=edits.get("intelRdt") is not None,
    )


def _device_node(entry: Mapping[str, Any], needed: _Needed) -> DeviceNode:
    known = ("path", "hostPath", "type", "major", "minor", "fileMode", "permissions", "uid", "gid")
    _refuse_unknown(entry, known, "a device node")
    path = _path(entry, "path", "device node")
    host_path = _optional_text(entry, "hostPath")
    if host_path:
        needed.at_least("0.5.0", "hostPath")
    kind = _optional_text(entry, "type")
    if kind not in _DEVICE_TYPES:
        raise InvalidDocumentError(f"device {path!r}: invalid type {kind!r}")
    permissions = _optional_text(entry, "permissions")
    if set(permissions) - set("rwm"):
        raise InvalidDocumentError(f"device {path!r}: invalid permissions {permissions!r}")
    return DeviceNode(path, host_path or path)


def _mount(entry: Mapping[str, Any], needed: _Needed) -> Mount:
    _refuse_unknown(entry, ("hostPath", "containerPath", "options", "type"), "a mount")
    kind = _optional_text(entry, "type")
    if kind:
        needed.at_least("0.4.0", "the type of a mount")
    return Mount(
        _path(entry, "hostPath", "mount"),
        _path(entry, "containerPath", "mount"),
        _texts(entry, "options"),
        kind,
    )


def _hook(entry: Mapping[str, Any]) -> Hook:
    _refuse_unknown(entry, ("hookName", "path", "args", "env", "timeout"), "a hook")
    name = _text(entry, "hookName")
    if name not in HOOK_NAMES:
        raise InvalidDocumentError(f"invalid hook name {name!r}")
    timeout = entry.get("timeout")
    return Hook(
        name,
        _path(entry, "path", f"hook {name}"),
        _texts(entry, "args"),
        _environment(entry),
        0 if timeout is None else _number(timeout, "timeout"),
    )


def _environment(holder: Mapping[str, Any]) -> tuple[str, ...]:
    variables = _texts(holder, "env")
    for each in variables:
        if each.find("=") < 1:
            raise InvalidDocumentError(f"invalid environment variable {each!r}")
    return variables


def _path(entry: Mapping[str, Any], key: str, what: str) -> str:
    path = _optional_text(entry, key)
    if not path.startswith("/"):
        raise InvalidDocumentError(f"invalid {what}: {key} {path!r} is not an absolute path")
    return path


def _each(
    holder: Mapping[str, Any], key: str, parse: Callable[[Mapping[str, Any]], Value]
) -> tuple[Value, ...]:
    return tuple(parse(_object(entry, key)) for entry in _list(holder, key))


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidDocumentError(f"{what} is not an object")
    return value


def _list(holder: Mapping[str, Any], key: str) -> list[Any]:
    value = holder.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidDocumentError(f"{key} is not a list")
    return value


def _texts(holder: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return tuple(_scalar(each, key) for each in _list(holder, key))


def _text(holder: Mapping[str, Any], key: str) -> str:
    text = _optional_text(holder, key)
    if not text:
        raise InvalidDocumentError(f"{key} is missing")
    return text


def _optional_text(holder: Mapping[str, Any], key: str) -> str:
    value = holder.get(key)
    return "" if value is None else _scalar(value, key)


def _scalar(value: object, what: str) -> str:
    """YAML reads a name such as 0 as a number."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidDocumentError(f"{what} is not a string")
    text = str(value)
    if "\0" in text:
        raise InvalidDocumentError(f"{what} has a null byte")
    return text


def _number(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise InvalidDocumentError(f"{what} is not a number")
    return value


def _refuse_unknown(holder: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    for key in holder:
        if key not in known:
            raise InvalidDocumentError(f"unknown member {key!r} of {what}")
