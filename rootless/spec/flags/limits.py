"""--ulimit and --sysctl."""

from __future__ import annotations

from rootless.errors import UsageError
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

RESOURCES = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
]
_IPC = frozenset(
    f"kernel.{name}"
    for name in [
        "msgmax",
        "msgmnb",
        "msgmni",
        "sem",
        "shmall",
        "shmmax",
        "shmmni",
        "shm_rmid_forced",
    ]
)


class Limit(NamedTuple):
    """setrlimit(2); -1 is no limit. `name` is without RLIMIT_."""

    name: str
    soft: int
    hard: int


def parse_ulimit(text: str) -> Limit:
    """NAME=SOFT[:HARD]."""
    name, separator, values = text.partition("=")
    if not separator or not values:
        raise UsageError(f"invalid ulimit argument: {text}", hint="use NAME=SOFT[:HARD]")
    if name not in RESOURCES:
        raise UsageError(f"invalid ulimit type: {name}", hint=f"there are {', '.join(RESOURCES)}")
    numbers = []
    for part in values.split(":"):
        try:
            number = int(part)
        except ValueError:
            raise UsageError(f"invalid ulimit argument: {text}: {part!r} is not a number") from None
        if number < -1:
            raise UsageError(f"invalid ulimit argument: {text}: {part} is below -1")
        numbers.append(number)
    if len(numbers) > 2:
        raise UsageError(
            f"too many limit value arguments - {values}, can only have up to two, soft[:hard]"
        )
    soft, hard = numbers[0], numbers[-1]
    if hard != -1 and (soft == -1 or soft > hard):
        raise UsageError(
            f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )
    return Limit(name, soft, hard)


def parse_sysctls(
    entries: Sequence[str], *, private_ipc: bool, private_network: bool
) -> dict[str, str]:
    """Those that a namespace of the container's own has; anything else would be the host's.

    Raises:
        UsageError: not of that kind, or the namespace is the host's.
    """
    result = {}
    for entry in entries:
        name, separator, value = entry.partition("=")
        if not separator or not name:
            raise UsageError(f"invalid sysctl {entry!r}", hint="use NAME=VALUE")
        # A path component would be written below /proc/sys by the container's root: it must stay
        # there.
        if "/" in name or ".." in name:
            raise UsageError(f"sysctl {entry!r} is not allowed")
        if name in _IPC or name.startswith("fs.mqueue."):
            if not private_ipc:
                raise UsageError(f"sysctl {entry!r} is not allowed in the host's IPC namespace")
        elif name.startswith("net."):
            if not private_network:
                raise UsageError(f"sysctl {entry!r} is not allowed in the host's network namespace")
        else:
            raise UsageError(f"sysctl {entry!r} is not allowed: it has no namespace")
        result[name] = value
    return result
