"""`inspect` of a container: Docker's document made of the record and the OCI configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rootless.engine.storage_driver import StorageDriver
from rootless.errors import InvalidDocumentError
from rootless.state.record import ContainerRecord
from rootless.state.status import Status

_NEVER = "0001-01-01T00:00:00Z"


def container_document(record: ContainerRecord, directory: Path) -> dict[str, Any]:
    """The object that `docker inspect` shows. Raises InvalidDocumentError if config.json is
    damaged.
    """
    path = directory / "config.json"
    try:
        spec: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidDocumentError(f"{path} cannot be read: {error}") from error
    process = spec["process"]
    program, *arguments = process["args"]
    driver = StorageDriver(record.storage_driver or StorageDriver.UNIONFS.value)
    return {
        "Id": record.id,
        "Created": record.created,
        "Path": program,
        "Args": arguments,
        "State": {
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
        },
        "Image": record.image_id,
        "ResolvConfPath": str(directory / "resolv.conf"),
        "HostnamePath": str(directory / "hostname"),
        "HostsPath": str(directory / "hosts"),
        "LogPath": "",
        "Name": f"/{record.name}",
        "RestartCount": 0,
        "Driver": driver.value,
        "Platform": "linux",
        "GraphDriver": {"Name": driver.value, "Data": _graph_data(driver, directory)},
        "HostConfig": {
            "AutoRemove": record.auto_remove,
            "ReadonlyRootfs": bool(spec["root"].get("readonly")),
            "NetworkMode": "none" if _has_namespace(spec, "network") else "host",
            "Memory": spec["linux"].get("resources", {}).get("memory", {}).get("limit", 0),
        },
        "Mounts": [_mount(entry) for entry in spec["mounts"] if entry.get("type") == "bind"],
        "Config": {
            "Hostname": spec.get("hostname", ""),
            "User": _user(spec),
            "Tty": bool(process.get("terminal")),
            "Env": process.get("env", []),
            "Cmd": process["args"],
            "Image": record.image,
            "WorkingDir": process.get("cwd", "/"),
            "Labels": record.labels,
        },
        "NetworkSettings": {"Networks": {}},
    }


def _graph_data(driver: StorageDriver, directory: Path) -> dict[str, str]:
    """`Ownership` says where the owners of the upper are: `data`, in an attribute of files that are
    all the caller's, or `real`, on disk, through the container's id maps."""
    owners = "real" if driver is StorageDriver.OVERLAY else "data"
    return {
        "UpperDir": str(directory / "upper"),
        "WorkDir": str(directory / "work"),
        "Ownership": owners,
    }


def _user(spec: dict[str, Any]) -> str:
    from rootless.launcher.plan import ANNOTATION_USER

    return str(spec.get("annotations", {}).get(ANNOTATION_USER, ""))


def _has_namespace(spec: dict[str, Any], kind: str) -> bool:
    return any(entry["type"] == kind for entry in spec["linux"]["namespaces"])


def _mount(entry: dict[str, Any]) -> dict[str, Any]:
    options = entry.get("options", [])
    return {
        "Type": "bind",
        "Source": entry.get("source", ""),
        "Destination": entry["destination"],
        "Mode": ",".join(options),
        "RW": "ro" not in options,
    }
