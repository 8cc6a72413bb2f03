"""What of the host a spec depends on: gathered here, decided upon in `spec`."""

from __future__ import annotations

import os
import resource

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class HostFacts(NamedTuple):
    """`cgroup2`: /sys/fs/cgroup is the unified hierarchy. `mqueue`: /dev/mqueue is there to be
    bound. `devices`: the nodes of /dev that the user can open, for --privileged. `hard_limits`: by
    name without RLIMIT_, -1 for none."""

    cgroup2: bool = False
    mqueue: bool = False
    devices: tuple[str, ...] = ()
    hard_limits: Mapping[str, int] = {}


def gather_host_facts(*, devices: bool = False) -> HostFacts:
    """Ask the running system. The devices are looked at only on request: there may be hundreds."""
    return HostFacts(
        cgroup2=os.path.exists("/sys/fs/cgroup/cgroup.controllers"),
        mqueue=os.path.isdir("/dev/mqueue"),
        devices=tuple(_openable_devices()) if devices else (),
        hard_limits={"nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[1]},
    )


def _openable_devices() -> list[str]:
    found = []
    with os.scandir("/dev") as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False):
                continue
            if not entry.is_symlink() and os.access(entry.path, os.R_OK | os.W_OK):
                found.append(entry.path)
    return sorted(found)
