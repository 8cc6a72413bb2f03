"""The documents of `inspect` as the Go structs that docker's client reads them into (api/types of
28.5), for templates. Pure.

A struct has a value for every field, also for those that JSON leaves out (`omitempty`): that is why
`{{if .State.Health}}` and `{{.SizeRw}}` are no errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rootless.gotemplate import NilMap, NilPointer, NilSlice, StringMap, Struct


class Shape(NamedTuple):
    """One type of struct: the fields that JSON leaves out, with their zero values, and the fields that
    are structs, or lists of structs, themselves.
    """

    omitted: Mapping[str, Any] = {}
    structs: Mapping[str, Shape] = {}


_NIL = NilPointer()
_MAPS = frozenset({"Labels", "Options", "Volumes"})
_STRING_MAPS = frozenset(
    {"Annotations", "Config", "Data", "Labels", "Options", "StorageOpt", "Sysctls", "Tmpfs"}
)
_POINTERS = frozenset({"MemorySwappiness", "PidsLimit", "OomKillDisable", "IPAMConfig"})
_PLAIN = Shape()
_CONFIG = Shape(
    {
        "ExposedPorts": {},
        "ArgsEscaped": False,
        "Healthcheck": _NIL,
        "MacAddress": "",
        "NetworkDisabled": False,
        "Shell": [],
        "StopSignal": "",
        "StopTimeout": _NIL,
    },
    {"Healthcheck": _PLAIN},
)
_MOUNT_POINT = Shape({"Name": "", "Driver": ""})
_HOST_CONFIG = Shape(
    {
        "Annotations": {},
        "Init": _NIL,
        "Mounts": [],
        "StorageOpt": {},
        "Sysctls": {},
        "Tmpfs": {},
    },
    {"LogConfig": _PLAIN, "RestartPolicy": _PLAIN},
)
CONTAINER = Shape(
    {"SizeRw": _NIL, "SizeRootFs": _NIL, "ImageManifestDescriptor": _NIL},
    {
        "Config": _CONFIG,
        "GraphDriver": _PLAIN,
        "HostConfig": _HOST_CONFIG,
        "Mounts": _MOUNT_POINT,
        "NetworkSettings": _PLAIN,
        "State": Shape({"Health": _NIL}),
    },
)
IMAGE = Shape(
    {
        "Container": "",
        "ContainerConfig": _NIL,
        "Descriptor": _NIL,
        "Manifests": [],
        "OsVersion": "",
        "Variant": "",
        "VirtualSize": 0,
    },
    {
        "Config": _CONFIG,
        "GraphDriver": _PLAIN,
        "Metadata": _PLAIN,
        "RootFS": Shape({"Layers": []}),
    },
)


VOLUME = Shape({"ClusterVolume": _NIL, "Status": {}, "UsageData": _NIL})


def as_struct(document: Mapping[str, Any]) -> Struct:
    """The document of a container, an image or a volume as a struct; `.ID` is `.Id` of the former two."""
    if "Mountpoint" in document:
        return _struct(document, VOLUME)
    shape = CONTAINER if "HostConfig" in document else IMAGE
    struct = _struct(document, shape)
    struct.fields["ID"] = document["Id"]
    return Struct(struct.type_name, struct.fields, struct.omitted | {"ID"})


def _struct(document: Mapping[str, Any], shape: Shape) -> Struct:
    omitted = {name: value for name, value in shape.omitted.items() if name not in document}
    fields = {
        name: _nil(name) if value is None else _field(name, value, shape.structs.get(name))
        for name, value in document.items()
    }
    return Struct("struct", fields | omitted, frozenset(omitted))


def _nil(name: str) -> object:
    """The zero value of a field that is null as JSON: a pointer, a map, or, mostly, a slice."""
    return _NIL if name in _POINTERS else NilMap() if name in _MAPS else NilSlice()


def _field(name: str, value: Any, shape: Shape | None) -> Any:  # noqa: ANN401 - a value of a JSON document
    if shape is None:
        is_map = name in _STRING_MAPS and isinstance(value, Mapping)
        return StringMap(value) if is_map else value
    if isinstance(value, Mapping):
        return _struct(value, shape)
    if isinstance(value, list):
        return [_field(name, each, shape) for each in value]
    return value
