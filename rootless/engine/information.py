"""`info`: the engine, its store and the machine, under Docker's keys where Docker has one."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rootless.cgroups.delegation import facts
from rootless.configuration.values import KEYS
from rootless.containers.record import ContainerRecord
from rootless.containers.status import MONITORED, Status
from rootless.containers.storage_paths import StoragePaths
from rootless.engine.doctor.findings import file_system_name, has_attributes
from rootless.errors import RootlessError
from rootless.runtime.account import read_id_maps
from rootless.runtime.idmap import IdMaps, UserNamespaceMode
from rootless.spec.storage_driver import StorageDriver
from rootless.version import __version__

if TYPE_CHECKING:
    from rootless.configuration.values import Configuration
    from rootless.store.layout import Store


def information(
    environ: Mapping[str, str],
    paths: StoragePaths,
    records: list[ContainerRecord],
    store: Store,
    driver: StorageDriver,
    *,
    configuration: Configuration | None,
) -> dict[str, Any]:
    """The whole document of `info`. Takes some milliseconds. `configuration` is what rootless.toml sets."""
    from rootless.store.image import all_images

    cgroups = facts(environ)
    maps = read_id_maps(UserNamespaceMode())
    states = [record.status for record in records]
    system = os.uname()
    return {
        "ServerVersion": __version__,
        "Containers": len(records),
        "ContainersRunning": states.count(Status.RUNNING) + states.count(Status.RESTARTING),
        "ContainersPaused": states.count(Status.PAUSED),
        "ContainersStopped": sum(each not in MONITORED for each in states),
        "Images": len(all_images(store)),
        "Driver": driver.value,
        "DriverStatus": [
            ["Backing Filesystem", file_system_name(Path(paths.root))],
            ["userxattr", "true" if has_attributes(Path(paths.store)) else "false"],
            *(
                [["Read-only Store", f"containers are in {paths.store}"]]
                if paths.root != paths.store
                else []
            ),
            *([["Writable Layers", _uppers(paths, environ)]] if paths.uppers[0] else []),
        ],
        "CgroupVersion": {"v2": "2", "v1": "1"}.get(cgroups.version, cgroups.version),
        "CgroupDriver": cgroups.driver,
        "CgroupControllers": list(cgroups.controllers),
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"],
        "DefaultNetwork": _default_network(
            environ, "" if configuration is None else configuration.network
        ),
        "Chown": _chown(maps, driver, "" if configuration is None else configuration.chown),
        "KernelVersion": system.release,
        "OperatingSystem": _operating_system(),
        "OSType": "linux",
        "Architecture": system.machine,
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "Name": system.nodename,
        "RootlessRootDir": paths.root,
        "RootlessRuntimeDir": paths.runtime,
        "ImageStores": [path for path in paths.shared if path != paths.root],
        "Configuration": [] if configuration is None else _settings(configuration),
        "IdMappings": {
            "uidmap": [list(each) for each in maps.uids],
            "gidmap": [list(each) for each in maps.gids],
        },
    }


def _settings(configuration: Configuration) -> list[dict[str, Any]]:
    """What rootless.toml sets, in the order of the keys: the value, the files that set it, and whether the site has locked it."""
    values, found = configuration._asdict(), []
    for key in KEYS:
        if files := configuration.files.get(key):
            value = values[key]
            found.append(
                {
                    "Key": key,
                    "Value": list(value) if isinstance(value, tuple) else value,
                    "Files": list(files),
                    "Locked": key in configuration.locked,
                }
            )
    return found


def _uppers(paths: StoragePaths, environ: Mapping[str, str]) -> str:
    """Where writable layers are, or why they cannot be there."""
    from rootless.containers.writable_layers.uppers import Uppers

    uppers = Uppers(*paths.uppers)
    try:
        return f"{uppers.place(environ)} ({uppers.origin})"
    except RootlessError as error:
        return error.message


def _default_network(environ: Mapping[str, str], configured: str) -> str:
    """The network of a container for which none is asked, and which driver makes it, or why it is the host's."""
    from rootless.network.default import default_network
    from rootless.network.drivers.choice import available
    from rootless.network.options import BRIDGE

    name, reason = default_network(environ, configured)
    more = available(environ) if name == BRIDGE else reason
    return f"{name} ({more})" if more else name


def _chown(maps: IdMaps, driver: StorageDriver, configured: str) -> str:
    """What chown(2) does in a container for which nothing is asked: `kernel` where there are ids, else what is configured,
    `record`, or `pretend` and why."""
    from rootless.engine.doctor.probe import probe_in_child
    from rootless.runtime.extensions import ChownMode

    if not maps.single:
        return "kernel"
    if configured:
        return configured
    if driver is StorageDriver.OVERLAY:
        return f"{ChownMode.PRETEND.value} (the storage driver is {driver.value})"
    refused = probe_in_child(_listen)
    if refused is None:
        return ChownMode.RECORD.value
    return f"{ChownMode.PRETEND.value} (seccomp listener: {(refused.strerror or '').lower()})"


def _listen() -> None:
    """Load the filter that a container has. Raises OSError, RootlessError."""
    from rootless.runtime.seccomp import compile_profile
    from rootless.runtime.seccomp_rules import notifying_profile
    from rootless.syscalls.processes import PR_SET_NO_NEW_PRIVS, prctl
    from rootless.syscalls.seccomp import load_notifying_filter

    prctl(PR_SET_NO_NEW_PRIVS, 1)
    load_notifying_filter(compile_profile(notifying_profile(os.uname().machine)))


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
