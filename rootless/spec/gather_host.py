"""Gathers the facts of the host that a spec depends on."""

from __future__ import annotations

import os

from rootless.light_stdlib import read_file
from rootless.spec.host import HostFacts


def gather_host_facts(*, devices: bool = False, limits: bool = False) -> HostFacts:
    """Ask the running system. Devices only on request, because there may be hundreds, and limits, whose module is a shared
    object of its own.
    """
    system = os.uname()
    return HostFacts(
        machine=system.machine,
        kernel=_version(system.release),
        cgroup2=os.path.exists("/sys/fs/cgroup/cgroup.controllers"),
        mqueue=os.path.isdir("/dev/mqueue"),
        devices=tuple(_openable_devices()) if devices else (),
        hard_limits=_hard_limits() if limits else {},
    )


def host_resolv_conf() -> str:
    """The host's /etc/resolv.conf; empty where it cannot be read."""
    try:
        return os.fsdecode(read_file("/etc/resolv.conf"))
    except OSError:
        return ""


def console_size() -> tuple[int, int] | None:
    """Rows and columns of the caller's terminal; None where no standard stream is one."""
    for descriptor in (1, 0, 2):
        try:
            size = os.get_terminal_size(descriptor)
        except OSError:
            continue
        return size.lines, size.columns
    return None


def _hard_limits() -> dict[str, int]:
    """Without privileges over the machine no limit can be raised above these (setrlimit(2))."""
    import resource

    return {
        name.removeprefix("RLIMIT_").lower(): resource.getrlimit(number)[1]
        for name, number in vars(resource).items()
        if name.startswith("RLIMIT_")
    }


def _version(release: str) -> tuple[int, int]:
    """Major and minor of a release such as `6.18.0-rc1` or `5.4+`."""
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0]
    digits = "".join(c for c in minor.partition("-")[0] if c.isdecimal())
    return int(major), int(digits or 0)


def _openable_devices() -> list[str]:
    found = []
    with os.scandir("/dev") as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False):
                continue
            if not entry.is_symlink() and os.access(entry.path, os.R_OK | os.W_OK):
                found.append(entry.path)
    return sorted(found)
