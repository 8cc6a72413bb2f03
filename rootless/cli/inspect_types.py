"""The documents of `inspect` as the Go structs that docker's client reads them into (api/types of
28.5), for templates. Pure.

A struct has a value for every field, also for those that JSON leaves out (`omitempty`): that is why
`{{if .State.Health}}` and `{{.SizeRw}}` are no errors, and why `{{.State}}` ends with `<nil>`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rootless.durations import format_duration
from rootless.gotemplate import NilMap, NilPointer, NilSlice, Stringer, StringMap, Struct


class Shape(NamedTuple):
    """One type of struct.

    `fields` has the zero value of each by its name in Go, in Go's order. `json` has the names that differ in JSON,
    `types` how the value of a field is read: as a struct, and for lists and maps each of their values.
    `embedded` names the structs within this one whose fields it has as its own.
    """

    fields: Mapping[str, Any]
    types: Mapping[str, Shape | Callable[[Any], Any]] = {}
    json: Mapping[str, str] = {}
    embedded: Mapping[str, tuple[str, ...]] = {}
    as_text: Callable[[Mapping[str, Any]], str] | None = None
    """The method String of the type, if it has one."""


class _Duration(int, Stringer):
    """time.Duration: nanoseconds."""

    def string(self) -> str:
        return format_duration(int(self))


class _Time(str, Stringer):
    """time.Time, as JSON has it."""

    __slots__ = ()

    def string(self) -> str:
        date, _, rest = self.partition("T")
        utc = rest.endswith("Z")
        time, zone = (rest[:-1], "+0000") if utc else (rest[:-6], rest[-6:].replace(":", ""))
        whole, point, fraction = time.partition(".")
        fraction = fraction.rstrip("0")
        return (
            f"{date} {whole}{point if fraction else ''}{fraction} {zone} {'UTC' if utc else zone}"
        )


class _Text(Struct, Stringer):
    """A struct with a method String."""

    __slots__ = ("_text",)

    def __init__(self, text: str, struct: Struct) -> None:
        super().__init__(struct.type_name, struct.fields, omitempty=struct.omitempty)
        self._text = text

    def string(self) -> str:
        return self._text


_NIL, _SLICE, _MAP = NilPointer(), NilSlice(), NilMap()


def _zeros(text: str = "", **others: Any) -> dict[str, Any]:  # noqa: ANN401 - the zero value of a field
    """Fields in the order of `text`; those that `others` does not name are strings."""
    return {name: others.get(name, "") for name in text.split()}


def _of(value: object, *names: str) -> dict[str, Any]:
    return dict.fromkeys(names, value)


_EMPTY = Shape({})
_HEALTHCHECK = Shape(
    _zeros(
        "Test Interval Timeout StartPeriod StartInterval Retries",
        Test=_SLICE,
        Retries=0,
        **_of(_Duration(), "Interval", "Timeout", "StartPeriod", "StartInterval"),
    ),
    dict.fromkeys(("Interval", "Timeout", "StartPeriod", "StartInterval"), _Duration),
)
_CONFIG = Shape(
    _zeros(
        """Hostname Domainname User AttachStdin AttachStdout AttachStderr ExposedPorts Tty OpenStdin StdinOnce Env Cmd
        Healthcheck ArgsEscaped Image Volumes WorkingDir Entrypoint NetworkDisabled MacAddress OnBuild Labels
        StopSignal StopTimeout Shell""",
        **_of(
            False, "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"
        ),
        **_of(False, "ArgsEscaped", "NetworkDisabled"),
        **_of(_SLICE, "Env", "Cmd", "Entrypoint", "OnBuild", "Shell"),
        **_of(_MAP, "ExposedPorts", "Volumes", "Labels"),
        **_of(_NIL, "Healthcheck", "StopTimeout"),
    ),
    {"ExposedPorts": _EMPTY, "Healthcheck": _HEALTHCHECK, "Volumes": _EMPTY},
)
_IMAGE_EXTENSION = ("Healthcheck", "OnBuild", "Shell")
_IMAGE_CONFIG = Shape(
    _zeros(
        """User ExposedPorts Env Entrypoint Cmd Volumes WorkingDir Labels StopSignal ArgsEscaped
        Healthcheck OnBuild Shell""",
        ArgsEscaped=False,
        **_of(_SLICE, "Env", "Entrypoint", "Cmd", "OnBuild", "Shell"),
        **_of(_MAP, "ExposedPorts", "Volumes", "Labels"),
        Healthcheck=_NIL,
    ),
    {"ExposedPorts": _EMPTY, "Healthcheck": _HEALTHCHECK, "Volumes": _EMPTY},
    embedded={
        "ImageConfig": (
            *("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir"),
            *("Labels", "StopSignal", "ArgsEscaped"),
        ),
        "DockerOCIImageConfigExt": _IMAGE_EXTENSION,
    },
)
_GRAPH_DRIVER = Shape({"Data": _MAP, "Name": ""})
_PORTS = Shape({"HostIP": "", "HostPort": ""}, json={"HostIP": "HostIp"})
_MOUNT_POINT = Shape(
    _zeros("Type Name Source Destination Driver Mode RW Propagation", RW=False),
)
_MOUNT = Shape(
    _zeros(
        """Type Source Target ReadOnly Consistency BindOptions VolumeOptions ImageOptions TmpfsOptions
        ClusterOptions""",
        ReadOnly=False,
        **_of(_NIL, "BindOptions", "VolumeOptions", "ImageOptions", "TmpfsOptions"),
        ClusterOptions=_NIL,
    ),
)
_THROTTLED = Shape({"Path": "", "Rate": 0}, as_text=lambda each: f"{each['Path']}:{each['Rate']}")
_WEIGHTED = Shape(
    {"Path": "", "Weight": 0}, as_text=lambda each: f"{each['Path']}:{each['Weight']}"
)


def _ulimit(ulimit: Mapping[str, Any]) -> str:
    return f"{ulimit['Name']}={ulimit['Soft']}:{ulimit['Hard']}"


_RESOURCES = _zeros(
    """CPUShares Memory NanoCPUs CgroupParent BlkioWeight BlkioWeightDevice BlkioDeviceReadBps
    BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps CPUPeriod CPUQuota CPURealtimePeriod
    CPURealtimeRuntime CpusetCpus CpusetMems Devices DeviceCgroupRules DeviceRequests KernelMemory
    KernelMemoryTCP MemoryReservation MemorySwap MemorySwappiness OomKillDisable PidsLimit Ulimits CPUCount
    CPUPercent IOMaximumIOps IOMaximumBandwidth""",
    **_of(0, "CPUShares", "Memory", "NanoCPUs", "BlkioWeight", "CPUPeriod", "CPUQuota", "CPUCount"),
    **_of(0, "CPURealtimePeriod", "CPURealtimeRuntime", "KernelMemory", "KernelMemoryTCP"),
    **_of(
        0, "MemoryReservation", "MemorySwap", "CPUPercent", "IOMaximumIOps", "IOMaximumBandwidth"
    ),
    **_of(_NIL, "MemorySwappiness", "OomKillDisable", "PidsLimit"),
    **_of(_SLICE, "BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "Ulimits"),
    **_of(_SLICE, "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps", "Devices", "DeviceCgroupRules"),
    DeviceRequests=_SLICE,
)
_HOST_CONFIG = Shape(
    _zeros(
        """Binds ContainerIDFile LogConfig NetworkMode PortBindings RestartPolicy AutoRemove VolumeDriver
        VolumesFrom ConsoleSize Annotations CapAdd CapDrop CgroupnsMode DNS DNSOptions DNSSearch ExtraHosts
        GroupAdd IpcMode Cgroup Links OomScoreAdj PidMode Privileged PublishAllPorts ReadonlyRootfs
        SecurityOpt StorageOpt Tmpfs UTSMode UsernsMode ShmSize Sysctls Runtime Isolation""",
        **_of(
            _SLICE, "Binds", "VolumesFrom", "CapAdd", "CapDrop", "DNS", "DNSOptions", "DNSSearch"
        ),
        **_of(_SLICE, "ExtraHosts", "GroupAdd", "Links", "SecurityOpt", "ConsoleSize"),
        **_of(_MAP, "PortBindings", "Annotations", "StorageOpt", "Tmpfs", "Sysctls"),
        **_of(False, "AutoRemove", "Privileged", "PublishAllPorts", "ReadonlyRootfs"),
        **_of(0, "OomScoreAdj", "ShmSize"),
    )
    | _RESOURCES
    | {"Mounts": _SLICE, "MaskedPaths": _SLICE, "ReadonlyPaths": _SLICE, "Init": _NIL},
    {
        "LogConfig": Shape({"Type": "", "Config": _MAP}),
        "RestartPolicy": Shape({"Name": "", "MaximumRetryCount": 0}),
        "PortBindings": _PORTS,
        "Mounts": _MOUNT,
        "Devices": Shape(_zeros("PathOnHost PathInContainer CgroupPermissions")),
        "DeviceRequests": Shape(
            _zeros(
                "Driver Count DeviceIDs Capabilities Options",
                Count=0,
                DeviceIDs=_SLICE,
                Capabilities=_SLICE,
                Options=_MAP,
            )
        ),
        "Ulimits": Shape({"Name": "", "Hard": 0, "Soft": 0}, as_text=_ulimit),
        "BlkioWeightDevice": _WEIGHTED,
        **dict.fromkeys(("BlkioDeviceReadBps", "BlkioDeviceWriteBps"), _THROTTLED),
        **dict.fromkeys(("BlkioDeviceReadIOps", "BlkioDeviceWriteIOps"), _THROTTLED),
    },
    json={
        "DNS": "Dns",
        "DNSOptions": "DnsOptions",
        "DNSSearch": "DnsSearch",
        "CPUShares": "CpuShares",
        "NanoCPUs": "NanoCpus",
        "CPUPeriod": "CpuPeriod",
        "CPUQuota": "CpuQuota",
        "CPURealtimePeriod": "CpuRealtimePeriod",
        "CPURealtimeRuntime": "CpuRealtimeRuntime",
        "CPUCount": "CpuCount",
        "CPUPercent": "CpuPercent",
    },
    embedded={"Resources": tuple(_RESOURCES)},
)
_ENDPOINT = Shape(
    _zeros(
        """IPAMConfig Links Aliases MacAddress DriverOpts GwPriority NetworkID EndpointID Gateway IPAddress
        IPPrefixLen IPv6Gateway GlobalIPv6Address GlobalIPv6PrefixLen DNSNames""",
        **_of(0, "GwPriority", "IPPrefixLen", "GlobalIPv6PrefixLen"),
        **_of(_SLICE, "Links", "Aliases", "DNSNames"),
        IPAMConfig=_NIL,
        DriverOpts=_MAP,
    ),
    {"IPAMConfig": Shape(_zeros("IPv4Address IPv6Address LinkLocalIPs", LinkLocalIPs=_SLICE))},
)
_SANDBOX = _zeros(
    """Bridge SandboxID SandboxKey Ports HairpinMode LinkLocalIPv6Address LinkLocalIPv6PrefixLen
    SecondaryIPAddresses SecondaryIPv6Addresses""",
    Ports=_MAP,
    HairpinMode=False,
    LinkLocalIPv6PrefixLen=0,
    **_of(_SLICE, "SecondaryIPAddresses", "SecondaryIPv6Addresses"),
)
_DEFAULT_NETWORK = _zeros(
    """EndpointID Gateway GlobalIPv6Address GlobalIPv6PrefixLen IPAddress IPPrefixLen IPv6Gateway
    MacAddress""",
    **_of(0, "GlobalIPv6PrefixLen", "IPPrefixLen"),
)
_NETWORK_SETTINGS = Shape(
    {**_SANDBOX, **_DEFAULT_NETWORK, "Networks": _MAP},
    {"Ports": _PORTS, "Networks": _ENDPOINT},
    embedded={
        "NetworkSettingsBase": tuple(_SANDBOX),
        "DefaultNetworkSettings": tuple(_DEFAULT_NETWORK),
    },
)
_HEALTH = Shape(
    {"Status": "", "FailingStreak": 0, "Log": _SLICE},
    {
        "Log": Shape(
            {"Start": _Time(), "End": _Time(), "ExitCode": 0, "Output": ""},
            {"Start": _Time, "End": _Time},
        )
    },
)
_STATE = Shape(
    _zeros(
        "Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt Health",
        **_of(False, "Running", "Paused", "Restarting", "OOMKilled", "Dead"),
        **_of(0, "Pid", "ExitCode"),
        Health=_NIL,
    ),
    {"Health": _HEALTH},
)
CONTAINER = Shape(
    _zeros(
        """ID Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name RestartCount
        Driver Platform MountLabel ProcessLabel AppArmorProfile ExecIDs HostConfig GraphDriver SizeRw
        SizeRootFs Mounts Config NetworkSettings ImageManifestDescriptor""",
        **_of(_SLICE, "Args", "ExecIDs", "Mounts"),
        **_of(_NIL, "SizeRw", "SizeRootFs", "ImageManifestDescriptor"),
        RestartCount=0,
    ),
    {
        "Config": _CONFIG,
        "GraphDriver": _GRAPH_DRIVER,
        "HostConfig": _HOST_CONFIG,
        "Mounts": _MOUNT_POINT,
        "NetworkSettings": _NETWORK_SETTINGS,
        "State": _STATE,
    },
    json={"ID": "Id"},
)
IMAGE = Shape(
    _zeros(
        """ID RepoTags RepoDigests Parent Comment Created Container ContainerConfig DockerVersion Author
        Config Architecture Variant Os OsVersion Size VirtualSize GraphDriver RootFS Metadata Descriptor
        Manifests""",
        **_of(_SLICE, "RepoTags", "RepoDigests", "Manifests"),
        **_of(_NIL, "ContainerConfig", "Config", "Descriptor"),
        **_of(0, "Size", "VirtualSize"),
    ),
    {
        "Config": _IMAGE_CONFIG,
        "GraphDriver": _GRAPH_DRIVER,
        "Metadata": Shape({"LastTagTime": _Time()}, {"LastTagTime": _Time}),
        "RootFS": Shape({"Type": "", "Layers": _SLICE}),
    },
    json={"ID": "Id"},
)
VOLUME = Shape(
    _zeros(
        "ClusterVolume CreatedAt Driver Labels Mountpoint Name Options Scope Status UsageData",
        **_of(_NIL, "ClusterVolume", "UsageData"),
        **_of(_MAP, "Labels", "Options", "Status"),
    )
)
NETWORK = Shape(
    _zeros(
        """Name ID Created Scope Driver EnableIPv4 EnableIPv6 IPAM Internal Attachable Ingress ConfigFrom
        ConfigOnly Containers Options Labels Peers Services""",
        **_of(False, "EnableIPv4", "EnableIPv6", "Internal", "Attachable", "Ingress", "ConfigOnly"),
        **_of(_MAP, "Containers", "Options", "Labels", "Services"),
        Peers=_SLICE,
    ),
    {
        "Created": _Time,
        "IPAM": Shape(
            {"Driver": "", "Options": _MAP, "Config": _SLICE},
            {
                "Config": Shape(
                    _zeros("Subnet IPRange Gateway AuxAddress", AuxAddress=_MAP),
                    json={"AuxAddress": "AuxiliaryAddresses"},
                )
            },
        ),
        "ConfigFrom": Shape({"Network": ""}),
        "Containers": Shape(_zeros("Name EndpointID MacAddress IPv4Address IPv6Address")),
    },
    json={"ID": "Id"},
)


def as_struct(document: Mapping[str, Any]) -> Struct:
    """The document of a container, an image, a network or a volume as a struct."""
    if "Mountpoint" in document:
        shape = VOLUME
    elif "IPAM" in document:
        shape = NETWORK
    else:
        shape = CONTAINER if "HostConfig" in document else IMAGE
    return _struct(document, shape)


def _struct(document: Mapping[str, Any], shape: Shape) -> Struct:
    fields: dict[str, Any] = {}
    omitempty = set()
    left = dict(document)
    for name, zero in shape.fields.items():
        key = shape.json.get(name, name)
        if key not in document:
            omitempty.add(name)
        value = left.pop(key, None)
        fields[name] = zero if value is None else _field(value, zero, shape.types.get(name))
    fields |= left
    struct = Struct(
        "struct",
        fields,
        omitempty=frozenset(omitempty),
        json_names=shape.json,
        embedded=shape.embedded,
    )
    return struct if shape.as_text is None else _Text(shape.as_text(document), struct)


def _field(value: Any, zero: object, kind: Shape | Callable[[Any], Any] | None) -> Any:  # noqa: ANN401 - a value of a JSON document
    if kind is None:
        return StringMap(value) if isinstance(zero, NilMap) else value
    if isinstance(zero, NilMap):
        return {name: _each(part, kind) for name, part in value.items()}
    return _each(value, kind)


def _each(value: Any, kind: Shape | Callable[[Any], Any]) -> Any:  # noqa: ANN401 - a value of a JSON document
    if value is None:
        return _SLICE
    if isinstance(value, list):
        return [_each(each, kind) for each in value]
    if not isinstance(kind, Shape):
        return kind(value)
    return _struct(value, kind)
