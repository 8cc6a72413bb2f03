"""`inspect` of a container: docker's document (28.5, API 1.51), made of the record, the options and the OCI
configuration. It has every field of docker's, with its zero value where this engine has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rootless.containers.config import read_spec
from rootless.containers.container_options import options_in
from rootless.containers.inspection.host_config import host_config
from rootless.containers.inspection.mount_points import mount_points
from rootless.containers.inspection.network_settings import network_settings
from rootless.containers.launch_description import log_path
from rootless.containers.record import IN_MEMORY
from rootless.containers.status import MONITORED, Status
from rootless.containers.writable_layers.place import UPPER, WORK, layer_directory
from rootless.containers.writable_layers.usage import storage_usage
from rootless.spec.command import variables
from rootless.spec.health import document as health_check_document
from rootless.spec.health import merged
from rootless.spec.options import ContainerOptions, Volume
from rootless.spec.storage_driver import StorageDriver

if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord

_NEVER = "0001-01-01T00:00:00Z"


def container_document(
    record: ContainerRecord,
    directory: Path,
    image_config: Mapping[str, Any],
    mountpoint: Callable[[str], str],
) -> dict[str, Any]:
    """The object that `docker inspect` shows.

    Args:
        image_config: The `config` object of the container's image.
        mountpoint: Gives the directory of a volume by its name.

    Raises:
        InvalidDocumentError: config.json or options.json is damaged.
    """
    spec = read_spec(directory)
    options = read_options(record, directory)
    program, *arguments = spec["process"]["args"]
    driver = StorageDriver(record.storage_driver or StorageDriver.UNIONFS.value)
    return {
        "Id": record.id,
        "Created": record.created,
        "Path": program,
        "Args": arguments,
        "State": _state(record, directory),
        "Image": record.image_id,
        "ResolvConfPath": str(directory / "resolv.conf"),
        "HostnamePath": str(directory / "hostname"),
        "HostsPath": str(directory / "hosts"),
        "LogPath": log_path(options.log.driver, str(directory), record.id),
        "Name": f"/{record.name}",
        "RestartCount": record.restart_count,
        "Driver": driver.value,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": host_config(record, options, spec),
        "GraphDriver": {"Data": _graph_data(driver, record, directory), "Name": driver.value},
        "Mounts": mount_points(options, mountpoint),
        "Config": _config(record, options, spec, image_config),
        "NetworkSettings": network_settings(record, str(spec.get("hostname", ""))),
    }


def read_options(record: ContainerRecord, directory: Path) -> ContainerOptions:
    """The options of a container; for one of an earlier version, those that its record has."""
    try:
        return options_in(str(directory))
    except FileNotFoundError:
        return ContainerOptions(command=record.command, labels=record.labels)


def _state(record: ContainerRecord, directory: Path) -> dict[str, Any]:
    return {
        "Status": record.status.value,
        "Running": record.status in MONITORED,
        "Paused": record.status is Status.PAUSED,
        "Restarting": record.status is Status.RESTARTING,
        "OOMKilled": record.oom_killed,
        "Dead": record.status is Status.DEAD,
        "Pid": record.pid,
        "ExitCode": record.exit_code,
        "Error": record.error,
        "StartedAt": record.started or _NEVER,
        "FinishedAt": record.finished or _NEVER,
        **({"Health": _health(record, directory)} if record.health else {}),
    }


def _health(record: ContainerRecord, directory: Path) -> dict[str, Any]:
    from rootless.containers.health import NAME as HEALTH_NAME
    from rootless.containers.health import decode_health, health_document

    try:
        data = (directory / HEALTH_NAME).read_bytes()
    except OSError:
        data = b""
    return health_document(record.health, decode_health(data))


def _graph_data(driver: StorageDriver, record: ContainerRecord, directory: Path) -> dict[str, str]:
    """`Ownership` tells where the owners of the upper are: `data`, in an attribute of files that all
    belong to the caller, or `real`, on disk, through the container's id maps. `UsedSize` and
    `UsedInodes` tell what a limited upper held when its file server last wrote."""
    owners = "real" if driver is StorageDriver.OVERLAY else "data"
    usage = storage_usage(directory)
    place = f"/proc/{record.monitor_pid}/fd/{record.memory_fd}" if record.memory_fd else ""
    place = place or layer_directory(str(directory))
    return {
        "ID": record.id,
        "LowerDir": record.rootfs,
        "MergedDir": str(directory / "rootfs"),
        "Ownership": owners,
        **({"UsedSize": str(usage.size), "UsedInodes": str(usage.inodes)} if usage else {}),
        "Overlays": ":".join(record.overlays),
        "UpperDir": f"{place}/{UPPER}",
        "WorkDir": f"{place}/{WORK}",
        "WritableLayer": "tmpfs" if record.layer == IN_MEMORY else "directory",
    }


def _config(
    record: ContainerRecord,
    options: ContainerOptions,
    spec: Mapping[str, Any],
    image: Mapping[str, Any],
) -> dict[str, Any]:
    streams = options.attach
    health = health_check_document(merged(options.health, image))
    config: dict[str, Any] = {
        "Hostname": spec.get("hostname", ""),
        "Domainname": spec.get("domainname", ""),
        "User": options.user or image.get("User") or "",
        "AttachStdin": options.interactive and streams.stdin,
        "AttachStdout": streams.stdout,
        "AttachStderr": streams.stderr,
        **_exposed_ports(options, image),
        "Tty": options.terminal,
        "OpenStdin": options.interactive,
        "StdinOnce": options.interactive and streams.stdin,
        "Env": variables(options, image) or None,
        "Cmd": _command(options, image),
        **({"Healthcheck": health} if health else {}),
        "Image": record.image,
        "Volumes": _volumes(options, image),
        "WorkingDir": options.workdir or image.get("WorkingDir") or "",
        "Entrypoint": _entrypoint(options, image),
        "OnBuild": image.get("OnBuild"),
        "Labels": dict(sorted(record.labels.items())),
    }
    stop_signal = options.stop_signal or image.get("StopSignal")
    if stop_signal:
        config["StopSignal"] = stop_signal
    if options.stop_timeout is not None:
        config["StopTimeout"] = options.stop_timeout
    if image.get("Shell"):
        config["Shell"] = image["Shell"]
    return config


def _exposed_ports(options: ContainerOptions, image: Mapping[str, Any]) -> dict[str, Any]:
    """The image's, those of --expose and those that are published."""
    network = options.network
    asked = [str(each) for each in (*network.exposed, *(port.exposed for port in network.ports))]
    ports = {**(image.get("ExposedPorts") or {}), **{each: {} for each in asked}}
    return {"ExposedPorts": dict(sorted(ports.items()))} if ports else {}


def _entrypoint(options: ContainerOptions, image: Mapping[str, Any]) -> list[str] | None:
    if options.entrypoint is not None:
        return [options.entrypoint] if options.entrypoint else None
    return image.get("Entrypoint") or None


def _command(options: ContainerOptions, image: Mapping[str, Any]) -> list[str] | None:
    """An entry point of --entrypoint drops the image's command (docker)."""
    if options.command or options.entrypoint is not None:
        return list(options.command) or None
    return image.get("Cmd") or None


def _volumes(options: ContainerOptions, image: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The image's, and those of -v without a name."""
    asked: dict[str, dict[str, Any]] = {
        each.target: {}
        for each in options.mounts
        if isinstance(each, Volume)
        and each.is_anonymous
        and not each.by_mount
        and not each.inherited
    }
    return dict(sorted({**(image.get("Volumes") or {}), **asked}.items())) or None
