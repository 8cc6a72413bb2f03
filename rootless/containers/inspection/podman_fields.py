"""Fields that only podman's `inspect` of a container has. Scripts written for podman name them in templates."""

from __future__ import annotations

from rootless.containers.health import DOCKERS_LOG
from rootless.containers.launch_description import log_path
from rootless.spec.health import HealthCheck, startup_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.containers.record import ContainerRecord
    from rootless.spec.options import ContainerOptions


def with_podman_fields(
    document: Mapping[str, Any],
    record: ContainerRecord,
    options: ContainerOptions,
    spec: Mapping[str, Any],
    directory: str,
) -> dict[str, Any]:
    """The document of `inspect` with them.

    Args:
        document: As `container_document` makes it.
        spec: The container's OCI configuration.
        directory: The container's.
    """
    capabilities = spec["process"].get("capabilities", {})
    state, config, host = document["State"], document["Config"], document["HostConfig"]
    return {
        **document,
        "ImageName": record.image,
        "Rootfs": record.rootfs,
        "OCIRuntime": host["Runtime"],
        "OCIConfigPath": f"{directory}/config.json",
        "StaticDir": directory,
        "EffectiveCaps": capabilities.get("effective", []),
        "BoundingCaps": capabilities.get("bounding", []),
        "IsInfra": False,
        "Pod": "",
        "State": {
            **state,
            "OciVersion": spec["ociVersion"],
            "ConmonPid": record.monitor_pid,
            "CgroupPath": spec["linux"].get("cgroupsPath", ""),
            "StoppedByUser": record.stopped_by_user,
            **({"Healthcheck": state["Health"]} if "Health" in state else {}),
        },
        "Config": {
            **config,
            "DomainName": config["Domainname"],
            "Annotations": dict(options.annotations),
            **_health_fields(options),
            "Timeout": options.time_limit,
            "Umask": f"{spec['process']['user'].get('umask', 0o022):04o}",
        },
        "HostConfig": {
            **host,
            "AutoRemoveImage": options.remove_image,
            "LogConfig": {
                **host["LogConfig"],
                "Path": log_path(options.log.driver, directory, record.id),
                "Size": _size(options.log.max_size),
                "Tag": options.log.tag,
            },
        },
    }


def _health_fields(options: ContainerOptions) -> dict[str, Any]:
    check = options.health or HealthCheck()
    log = check.log or DOCKERS_LOG
    startup = startup_document(check.startup)
    return {
        "HealthcheckOnFailureAction": check.on_unhealthy.value,
        "HealthLogDestination": check.log_destination or "local",
        "HealthMaxLogCount": log.results,
        "HealthMaxLogSize": log.size,
        **({} if startup is None else {"StartupHealthCheck": startup}),
    }


def _size(size: int) -> str:
    """Bytes as podman writes the size of a log: `0B`, `10kB`, `1.5MB`."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.4g}{unit}"
        value /= 1000
    return f"{value:.4g}TB"
