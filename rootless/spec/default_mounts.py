"""Docker's default mounts, masked paths and read-only paths. Pure."""

from __future__ import annotations

import posixpath

from rootless.runtime.mount_options import (
    CHOWN,
    IF_PARENT_EXISTS,
    IMAGE,
    OF_CONTAINER,
    OVERLAY,
    OWN,
    SUBPATH,
    TMPFS,
    VOLUME,
)
from rootless.spec.etc_files import APT_SANDBOX_PATH
from rootless.spec.host import HostFacts
from rootless.spec.options import Bind, ContainerOptions, Device, ImageMount, Tmpfs, Volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TypeAlias

OciMount: TypeAlias = "dict[str, Any]"


MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
STANDARD_DEVICES = ("full", "null", "random", "tty", "urandom", "zero")

_QUIET = ["nosuid", "noexec", "nodev"]


def _mount(target: str, fstype: str, source: str, options: Sequence[str]) -> OciMount:
    return {"destination": target, "type": fstype, "source": source, "options": list(options)}


def bind(source: str, target: str, *options: str) -> OciMount:
    return _mount(target, "bind", source, ["rbind", *options])


def default_mounts(options: ContainerOptions, host: HostFacts) -> list[OciMount]:
    """/proc, /dev and what is in it, /sys.

    A namespace that is the host's cannot have a file system of its own: the kernel mounts proc only
    for an own PID namespace, sysfs for an own network namespace, mqueue for an own IPC namespace.
    There the host's is bound.
    """
    own = options.namespaces
    read_only = [] if options.privileged else ["ro"]
    proc = (
        _mount("/proc", "proc", "proc", _QUIET)
        if own.pid
        else _shared("/proc", "pid" in own.joined)
    )
    mounts = [
        proc,
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        *[
            _mount(f"/dev/{name}", "bind", f"/dev/{name}", ["bind", "nosuid", "noexec"])
            for name in STANDARD_DEVICES
        ],
        _mount(
            "/dev/pts",
            "devpts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
    ]
    if own.ipc and not own.shm:
        mounts.append(_mount("/dev/mqueue", "mqueue", "mqueue", _QUIET))
    elif own.ipc:
        size = f"size={options.shm_size}"
        mounts.append(_mount("/dev/shm", "tmpfs", "shm", [*_QUIET, "mode=1777", size]))
        mounts.append(_mount("/dev/mqueue", "mqueue", "mqueue", _QUIET))
    else:
        is_joined = "ipc" in own.joined
        mounts.append(_shared("/dev/shm", is_joined))
        if host.mqueue or is_joined:
            mounts.append(_shared("/dev/mqueue", is_joined))
    if options.network.is_own:
        mounts.append(_mount("/sys", "sysfs", "sysfs", [*_QUIET, *read_only]))
    else:
        # Read-only all the way down: what is mounted below /sys comes along, and a plain `ro` stops
        # at the first mount.
        mounts.append(bind("/sys", "/sys", *_QUIET, *["rro" for _ in read_only]))
    if own.cgroup and host.cgroup2:
        mounts.append(_mount("/sys/fs/cgroup", "cgroup2", "cgroup", [*_QUIET, *read_only]))
    return mounts


def _shared(path: str, is_joined: bool) -> OciMount:
    """The file system of a namespace that is not the container's own: of another container's, or the host's."""
    if is_joined:
        return _mount(path, "bind", path, ["bind", *_QUIET, OF_CONTAINER])
    return bind(path, path, *_QUIET)


def device_mounts(options: ContainerOptions, host: HostFacts) -> list[OciMount]:
    devices = list(options.devices)
    if options.privileged:
        standard = {f"/dev/{name}" for name in (*STANDARD_DEVICES, "console", "ptmx")}
        devices += [Device(p, p) for p in host.devices if p not in standard]
    return [
        _mount(device.target, "bind", device.source, ["bind", "nosuid", "noexec"])
        for device in devices
    ]


def user_mounts(options: ContainerOptions, volumes: str) -> list[OciMount]:
    """`volumes` is the directory of the volumes."""
    result = [_mount(path, "bind", path, ["rbind", "rprivate", OWN]) for path in options.writable]
    for mount in options.mounts:
        match mount:
            case Bind():
                kind = "rbind" if mount.recursive else "bind"
                words = [kind, mount.propagation, *mount.flags]
                if mount.chown:
                    words.append(CHOWN)
                if mount.overlay:
                    words.append(f"{OVERLAY}real")
                if mount.read_only:
                    words.append("rro" if mount.recursive and mount.read_only_below else "ro")
                result.append(_mount(mount.target, "bind", mount.source, words))
            case Tmpfs():
                result.append(_mount(mount.target, "tmpfs", "tmpfs", _tmpfs_options(mount)))
            case Volume():
                result.append(_volume_mount(mount, volumes))
            case ImageMount():
                words = ["bind", "rprivate", f"{IMAGE}{mount.image_id}", "ro"]
                words += [f"{SUBPATH}{mount.subpath}"] if mount.subpath else []
                result.append(_mount(mount.target, "bind", f"/{mount.image}", words))
    return result


def _volume_mount(mount: Volume, volumes: str) -> OciMount:
    flags = ["ro"] if mount.read_only else []
    flags += [CHOWN] if mount.chown else []
    flags += mount.flags
    if mount.device:
        source = posixpath.join(mount.device, mount.subpath)
        words = ["rbind", "rprivate", *mount.device_flags, *flags]
        return _mount(mount.target, "bind", source, words)
    kind = f"{OVERLAY}data" if mount.overlay else f"{VOLUME}{mount.name}"
    words = [kind, *([f"{SUBPATH}{mount.subpath}"] if mount.subpath else [])]
    words += [TMPFS] if mount.is_tmpfs else []
    source = f"{volumes}/{mount.name}/_data"
    return _mount(mount.target, "bind", source, ["bind", "rprivate", *words, *flags])


def _tmpfs_options(mount: Tmpfs) -> list[str]:
    """Docker's, and after them those of the user, which win."""
    has_mode = any(option.startswith("mode=") for option in mount.options)
    return ["nosuid", "nodev", "noexec", *mount.options, *([] if has_mode else ["mode=1777"])]


def file_mounts(files: Mapping[str, str], *, read_only: bool) -> list[OciMount]:
    """Files that the engine wrote, by their path in the container, read-only where its root is. apt's
    is for images that have apt."""
    result = []
    for target, source in sorted(files.items()):
        words = ["rprivate", *(["ro"] if read_only else [])]
        words += [IF_PARENT_EXISTS] if target == APT_SANDBOX_PATH else []
        result.append(bind(source, target, *words))
    return result


def merged(defaults: Sequence[OciMount], users: Sequence[OciMount]) -> list[OciMount]:
    """The user's mount takes the place of a default one on the same path, and one on /dev of all below it
    (moby, daemon/oci_linux.go, withMounts); then outer before inner."""
    taken = {posixpath.normpath(mount["destination"]) for mount in users}
    below = "/dev/" if "/dev" in taken else "//"
    kept = [
        mount
        for mount in defaults
        if mount["destination"] not in taken and not mount["destination"].startswith(below)
    ]
    return sorted([*kept, *users], key=lambda mount: mount["destination"].count("/"))
