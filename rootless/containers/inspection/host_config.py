"""HostConfig of `inspect`: the options of a container under docker's names (api/types/container, HostConfig of API
1.51), each field with its zero value if it is not set. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rootless.containers.inspection.mount_points import mount_settings
from rootless.containers.record import ContainerRecord
from rootless.network.options import PortRequest
from rootless.spec.options import DEFAULT_CAPABILITIES, ContainerOptions, NamespaceModes, Throttle
from rootless.syscalls.capabilities import NAMES


def host_config(
    record: ContainerRecord, options: ContainerOptions, spec: Mapping[str, Any]
) -> dict[str, Any]:
    """The object of a container. `spec` is its OCI configuration."""
    linux = spec["linux"]
    limits, own = options.limits, options.namespaces
    mounts = mount_settings(options)
    storage = {name: str(value) for name, value in options.storage._asdict().items() if value}
    added, dropped = _capabilities(options)
    return {
        "Binds": mounts["Binds"],
        "ContainerIDFile": options.cidfile or "",
        "LogConfig": {"Type": options.log.driver.value, "Config": dict(options.log.given)},
        "NetworkMode": options.network.name or "host",
        "PortBindings": _port_bindings(options.network.ports),
        "RestartPolicy": {
            "Name": options.restart.name.value,
            "MaximumRetryCount": options.restart.maximum,
        },
        "AutoRemove": record.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": mounts["VolumesFrom"],
        "ConsoleSize": _console_size(spec),
        **({"Annotations": dict(options.annotations)} if options.annotations else {}),
        "CapAdd": added,
        "CapDrop": dropped,
        "CgroupnsMode": "private" if own.cgroup else "host",
        "Dns": list(options.dns.servers),
        "DnsOptions": list(options.dns.options),
        "DnsSearch": list(options.dns.search),
        "ExtraHosts": [f"{each.name}:{each.address}" for each in options.hosts] or None,
        "GroupAdd": list(options.groups) or None,
        "IpcMode": "private" if own.ipc else _mode(own, "ipc"),
        "Cgroup": "",
        "Links": None,
        "OomScoreAdj": options.oom_score_adj or 0,
        "PidMode": "" if own.pid else _mode(own, "pid"),
        "Privileged": options.privileged,
        "PublishAllPorts": options.network.publish_all,
        "ReadonlyRootfs": options.read_only,
        "SecurityOpt": _security_options(options) or None,
        **({"StorageOpt": storage} if storage else {}),
        **({"Tmpfs": mounts["Tmpfs"]} if "Tmpfs" in mounts else {}),
        "UTSMode": "" if own.uts else _mode(own, "uts"),
        "UsernsMode": _userns(options),
        "ShmSize": options.shm_size,
        **({"Sysctls": dict(options.sysctls)} if options.sysctls else {}),
        "Runtime": "rootless",
        "Isolation": "",
        "CpuShares": limits.cpu_shares,
        "Memory": limits.memory,
        "NanoCpus": limits.nano_cpus,
        "CgroupParent": options.cgroup_parent or "",
        "BlkioWeight": limits.blkio_weight,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": _throttles(limits.read_bps),
        "BlkioDeviceWriteBps": _throttles(limits.write_bps),
        "BlkioDeviceReadIOps": _throttles(limits.read_iops),
        "BlkioDeviceWriteIOps": _throttles(limits.write_iops),
        "CpuPeriod": limits.cpu_period,
        "CpuQuota": limits.cpu_quota,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": limits.cpuset_cpus,
        "CpusetMems": limits.cpuset_mems,
        "Devices": [
            {
                "PathOnHost": each.source,
                "PathInContainer": each.target,
                "CgroupPermissions": each.access,
            }
            for each in options.devices
        ],
        "DeviceCgroupRules": None,
        "DeviceRequests": _device_requests(options) or None,
        "MemoryReservation": limits.memory_reservation,
        "MemorySwap": limits.memory_swap or 2 * limits.memory,
        "MemorySwappiness": None,
        "OomKillDisable": limits.oom_kill_disable,
        "PidsLimit": limits.pids_limit or None,
        "Ulimits": [
            {"Name": each.name, "Hard": each.hard, "Soft": each.soft} for each in options.ulimits
        ],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
        **({"Mounts": mounts["Mounts"]} if "Mounts" in mounts else {}),
        "MaskedPaths": linux.get("maskedPaths") or None,
        "ReadonlyPaths": linux.get("readonlyPaths") or None,
        **({"Init": True} if options.init else {}),
    }


def _mode(modes: NamespaceModes, name: str) -> str:
    """Of a namespace that is not the container's own."""
    return f"container:{modes.container}" if name in modes.joined else "host"


def _port_bindings(ports: Sequence[PortRequest]) -> dict[str, list[dict[str, str]]]:
    """What was asked for, by the port of the container."""
    result: dict[str, list[dict[str, str]]] = {}
    for each in sorted(ports):
        numbers = f"{each.first}-{each.last}" if each.first != each.last else f"{each.first}"
        entry = {"HostIp": each.address, "HostPort": numbers if each.first else ""}
        result.setdefault(str(each.exposed), []).append(entry)
    return result


def _console_size(spec: Mapping[str, Any]) -> list[int]:
    size = spec["process"].get("consoleSize") or {}
    return [size.get("height", 0), size.get("width", 0)]


def _capabilities(options: ContainerOptions) -> tuple[list[str] | None, list[str] | None]:
    """What was added to docker's default set and dropped from it."""
    own = options.security.capabilities
    if options.privileged:
        return None, _prefixed(frozenset(NAMES) - own)
    if not own & DEFAULT_CAPABILITIES:
        return _prefixed(own), ["ALL"]
    if own == frozenset(NAMES):
        return ["ALL"], None
    return _prefixed(own - DEFAULT_CAPABILITIES), _prefixed(DEFAULT_CAPABILITIES - own)


def _prefixed(names: frozenset[str]) -> list[str] | None:
    return [f"CAP_{name}" for name in sorted(names)] or None


def _device_requests(options: ContainerOptions) -> list[dict[str, Any]]:
    if not options.cdi_devices:
        return []
    return [
        {
            "Driver": "cdi",
            "Count": 0,
            "DeviceIDs": list(options.cdi_devices),
            "Capabilities": None,
            "Options": None,
        }
    ]


def _security_options(options: ContainerOptions) -> list[str]:
    security = options.security
    words = ["no-new-privileges"] if security.no_new_privileges else []
    if security.seccomp and not options.privileged:
        words.append(f"seccomp={security.seccomp}")
    words += [f"label={label}" for label in security.labels]
    words += [f"mask={':'.join(security.mask)}"] if security.mask else []
    words += [f"unmask={':'.join(security.unmask)}"] if security.unmask else []
    if security.unmask_all and not options.privileged:
        words.append("systempaths=unconfined")
    return words


def _userns(options: ContainerOptions) -> str:
    mode = options.userns
    if not mode.keep:
        return ""
    pairs = (("uid", mode.uid), ("gid", mode.gid))
    ids = ",".join(f"{name}={value}" for name, value in pairs if value is not None)
    return f"keep-id:{ids}" if ids else "keep-id"


def _throttles(throttles: Sequence[Throttle]) -> list[dict[str, Any]]:
    return [{"Path": each.device, "Rate": each.rate} for each in throttles]
