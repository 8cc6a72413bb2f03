"""Finds the setting of the host that forbids namespaces to users, and the command with which an administrator allows
them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ALL = ("user", "mount", "pid", "network", "ipc", "uts", "cgroup")
_LIMITS = {"mount": "mnt", "network": "net"}
"""Names in /proc/sys/user/max_NAME_namespaces (namespaces(7)) that differ from those of the OCI runtime specification."""


def remedy(kinds: Iterable[str] = ALL, settings: str = "/proc/sys") -> str:
    """The setting that refuses namespaces of these kinds, and the command for root; empty if no setting is known to
    refuse them.

    `settings`: the directory of sysctl(8).
    """
    kinds = tuple(kinds)
    if "user" in kinds:
        if _read(f"{settings}/kernel/apparmor_restrict_unprivileged_userns") == "1":
            return (
                "AppArmor restricts user namespaces: as root, sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, "
                "or load an AppArmor profile for rootless that allows userns"
            )
        if _read(f"{settings}/kernel/unprivileged_userns_clone") == "0":
            return "users may make no user namespaces: as root, sysctl -w kernel.unprivileged_userns_clone=1"
    for kind in kinds:
        limit = f"max_{_LIMITS.get(kind, kind)}_namespaces"
        if _read(f"{settings}/user/{limit}") == "0":
            return f"{kind} namespaces are switched off: as root, sysctl -w user.{limit}=15000"
    return ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
