"""`inspect` of a container: Docker's document made of the record and the OCI configuration.

Every field of Docker's is there that scripts are known to read, also those whose value is always
the same here, because a template that names a missing one is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rootless.containers.config import config_of, read_spec
from rootless.containers.status import Status
from rootless.spec.storage_driver import StorageDriver

if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord

_NEVER = "0001-01-01T00:00:00Z"
_ENGINE_MADE = frozenset({"hosts", "hostname", "resolv.conf", "apt.conf"})
"""Files of the container's directory that are mounted in it; no mounts of the user's."""


def container_document(
    record: ContainerRecord, directory: Path, image_config: Mapping[str, Any]
) -> dict[str, Any]:
    """The object that `docker inspect` shows. Raises InvalidDocumentError if config.json is
    damaged.
    """
    spec = read_spec(directory)
    program, *arguments = spec["process"]["args"]
    mounts = [_mount(entry) for entry in spec["mounts"] if _is_users(entry, directory)]
    driver = StorageDriver(record.storage_driver or StorageDriver.UNIONFS.value)
    return {
        "Id": record.id,
        "Created": record.created,
        "Path": program,
        "Args": arguments,
        "State": _state(record),
        "Image": record.image_id,
        "ResolvConfPath": str(directory / "resolv.conf"),
        "HostnamePath": str(directory / "hostname"),
        "HostsPath": str(directory / "hosts"),
        "LogPath": "",
        "Name": f"/{record.name}",
        "RestartCount": 0,
        "Driver": driver.value,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": _host_config(record, spec, mounts),
        "GraphDriver": {"Name": driver.value, "Data": _graph_data(driver, record, directory)},
        "Mounts": mounts,
        "Config": _config(record, spec, image_config),
        "NetworkSettings": {
            "Bridge": "",
            "SandboxID": "",
            "SandboxKey": f"/proc/{record.pid}/ns/net" if record.pid else "",
            "Ports": {},
            "Gateway": "",
            "IPAddress": "",
            "IPPrefixLen": 0,
            "MacAddress": "",
            "Networks": {},
        },
    }


def _state(record: ContainerRecord) -> dict[str, Any]:
    return {
        "Status": record.status.value,
        "Running": record.status is Status.RUNNING,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": record.oom_killed,
        "Dead": False,
        "Pid": record.pid,
        "ExitCode": record.exit_code,
        "Error": record.error,
        "StartedAt": record.started or _NEVER,
        "FinishedAt": record.finished or _NEVER,
    }


def _graph_data(driver: StorageDriver, record: ContainerRecord, directory: Path) -> dict[str, str]:
    """`Ownership` says where the owners of the upper are: `data`, in an attribute of files that are
    all the caller's, or `real`, on disk, through the container's id maps."""
    owners = "real" if driver is StorageDriver.OVERLAY else "data"
    return {
        "LowerDir": record.rootfs,
        "UpperDir": str(directory / "upper"),
        "WorkDir": str(directory / "work"),
        "MergedDir": str(directory / "rootfs"),
        "Ownership": owners,
    }


def _host_config(
    record: ContainerRecord, spec: dict[str, Any], mounts: list[dict[str, Any]]
) -> dict[str, Any]:
    linux = spec["linux"]
    resources = linux.get("resources", {})
    memory, cpu = resources.get("memory", {}), resources.get("cpu", {})
    process = spec["process"]
    limits = process.get("rlimits", [])
    period, quota = cpu.get("period", 0), cpu.get("quota", 0)
    return {
        "Binds": [f"{each['Source']}:{each['Destination']}" for each in mounts] or None,
        "ContainerIDFile": "",
        "LogConfig": {"Type": "none", "Config": {}},
        "NetworkMode": "none" if _has_namespace(spec, "network") else "host",
        "PortBindings": {},
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "AutoRemove": record.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": None,
        "CapAdd": None,
        "CapDrop": None,
        "CgroupnsMode": "private" if _has_namespace(spec, "cgroup") else "host",
        "Dns": [],
        "DnsOptions": [],
        "DnsSearch": [],
        "ExtraHosts": None,
        "GroupAdd": None,
        "IpcMode": "private" if _has_namespace(spec, "ipc") else "host",
        "OomScoreAdj": process.get("oomScoreAdj", 0),
        "PidMode": "" if _has_namespace(spec, "pid") else "host",
        "Privileged": not linux.get("maskedPaths") and "seccomp" not in linux,
        "PublishAllPorts": False,
        "ReadonlyRootfs": bool(spec["root"].get("readonly")),
        "SecurityOpt": ["no-new-privileges"] if process.get("noNewPrivileges") else None,
        "UTSMode": "" if _has_namespace(spec, "uts") else "host",
        "UsernsMode": "",
        "ShmSize": 0,
        "Runtime": "rootless",
        "CpuShares": cpu.get("shares", 0),
        "Memory": memory.get("limit", 0),
        "MemoryReservation": memory.get("reservation", 0),
        "MemorySwap": memory.get("swap", 0),
        "NanoCpus": quota * 1_000_000_000 // period if period and quota > 0 else 0,
        "CpuPeriod": period,
        "CpuQuota": quota,
        "CpusetCpus": cpu.get("cpus", ""),
        "CpusetMems": cpu.get("mems", ""),
        "PidsLimit": resources.get("pids", {}).get("limit"),
        "Ulimits": [
            {
                "Name": each["type"].removeprefix("RLIMIT_").lower(),
                "Soft": each["soft"],
                "Hard": each["hard"],
            }
            for each in limits
        ],
        "MaskedPaths": linux.get("maskedPaths", []),
        "ReadonlyPaths": linux.get("readonlyPaths", []),
    }


def _config(
    record: ContainerRecord, spec: dict[str, Any], image_config: Mapping[str, Any]
) -> dict[str, Any]:
    process = spec["process"]
    config = config_of(spec, record, image_config)
    return {
        "Hostname": spec.get("hostname", ""),
        "Domainname": spec.get("domainname", ""),
        "User": config.get("User", ""),
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "ExposedPorts": config.get("ExposedPorts") or {},
        "Tty": bool(process.get("terminal")),
        "OpenStdin": False,
        "StdinOnce": False,
        "Env": process.get("env", []),
        "Cmd": config.get("Cmd"),
        "Image": record.image,
        "Volumes": config.get("Volumes"),
        "WorkingDir": process.get("cwd", "/"),
        "Entrypoint": config.get("Entrypoint"),
        "OnBuild": config.get("OnBuild"),
        "Labels": record.labels,
        "StopSignal": config.get("StopSignal") or "SIGTERM",
        "Healthcheck": config.get("Healthcheck"),
    }


def _has_namespace(spec: dict[str, Any], kind: str) -> bool:
    return any(entry["type"] == kind for entry in spec["linux"]["namespaces"])


def _is_users(entry: dict[str, Any], directory: Path) -> bool:
    if entry.get("type") != "bind":
        return False
    source, target = Path(entry.get("source", "")), entry["destination"]
    if str(source) == target and target.startswith(_OF_THE_HOST):
        return False
    return not (source.parent == directory and source.name in _ENGINE_MADE)


_OF_THE_HOST = ("/dev/", "/sys", "/proc")
"""Devices, and what of the host stands in for a namespace that the container has not got."""


def _mount(entry: dict[str, Any]) -> dict[str, Any]:
    options = entry.get("options", [])
    return {
        "Type": "bind",
        "Source": entry.get("source", ""),
        "Destination": entry["destination"],
        "Mode": ",".join(options),
        "RW": "ro" not in options,
        "Propagation": next((each for each in options if each.endswith(_PROPAGATION)), "rprivate"),
    }


_PROPAGATION = ("private", "shared", "slave")
