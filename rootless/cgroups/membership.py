"""Finds the control groups for a further process of a container, by those of the container's first process."""

from __future__ import annotations

import os

from rootless.cgroups.hierarchy import hierarchy_of, own_path

_PREFIX = "rootless-"
_LEAF = "container"


def groups_of(pid: int) -> tuple[str, ...]:
    """Directories of the groups, the container's own first; empty where the container has no group.

    The second is the one that the container has moved its first process to: where the container has
    handed controllers down, no process may be in its own (cgroup-v2.rst, "No Internal Process
    Constraint").
    """
    path = own_path(_read(f"/proc/{pid}/cgroup"))
    if path is None or f"/{_PREFIX}" not in path:
        return ()
    top = hierarchy_of("", _read("/proc/self/mountinfo")).top
    names = path.split("/")
    for number, name in enumerate(names[:-1]):
        if top is not None and name.startswith(_PREFIX) and names[number + 1] == _LEAF:
            own = "/".join(names[: number + 2])
            return tuple(top + each for each in dict.fromkeys((own, path)))
    return ()


def is_frozen(group: str) -> bool:
    """Whether the processes of the group have been paused."""
    return _read(f"{group}/cgroup.freeze").strip() == "1"


def _read(path: str) -> str:
    """A file's text; empty where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(descriptor, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
