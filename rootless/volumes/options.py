"""Options of the local driver (docker volume create --opt), and the mount that they describe. Pure."""

from __future__ import annotations

from rootless.errors import HostSupportError, UsageError
from rootless.syscalls import mount_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

LOCAL = "local"
_KNOWN = frozenset({"device", "o", "type"})
_MANDATORY = {"type": ("device",), "o": ("device", "type"), "device": ("type",)}
FLAGS = {
    "ro": mount_flags.MS_RDONLY,
    "nosuid": mount_flags.MS_NOSUID,
    "nodev": mount_flags.MS_NODEV,
    "noexec": mount_flags.MS_NOEXEC,
    "noatime": mount_flags.MS_NOATIME,
    "nodiratime": mount_flags.MS_NODIRATIME,
    "strictatime": mount_flags.MS_STRICTATIME,
}
"""Words of `o` that are flags of mount(2)."""


def check_driver(name: str, driver: str) -> None:
    """Raise UsageError for any driver but the local one. `name` is the volume's."""
    if driver not in {"", LOCAL}:
        raise UsageError(
            f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found'
        )


def check_driver_options(name: str, options: Mapping[str, str]) -> None:
    """Raise UsageError for options that docker's local driver does not have, and HostSupportError for
    those that ask for a mount that an ordinary user cannot make: a tmpfs and `o=bind` remain.
    """
    for key in options:
        if key == "size":
            raise HostSupportError(f"create {name}: quota size requested but no quota support")
        if key not in _KNOWN:
            raise UsageError(f'create {name}: invalid option: "{key}"')
    for key in options:
        for needed in _MANDATORY[key]:
            if not options.get(needed):
                raise UsageError(f'create {name}: missing required option: "{needed}"')
    if not options or is_tmpfs(options):
        return
    if options["type"] not in {"none", "bind"} or not _words(options) & {"bind", "rbind"}:
        raise HostSupportError(
            f"create {name}: an ordinary user cannot mount {options['type']} for every container",
            hint="use -o type=tmpfs -o device=tmpfs, or bind a directory: -o type=none -o o=bind -o device=DIR",
        )
    if not options["device"].startswith("/"):
        raise UsageError(f"create {name}: device {options['device']!r} is not an absolute path")


def is_tmpfs(options: Mapping[str, str]) -> bool:
    """Whether the volume is a tmpfs, which containers share while one of them has it mounted."""
    return options.get("type") == "tmpfs"


def bind_flags(options: Mapping[str, str]) -> tuple[str, ...]:
    """The words of mount(8) that a volume that stands for a directory is mounted with."""
    return tuple(sorted(_words(options) & FLAGS.keys()))


def _words(options: Mapping[str, str]) -> set[str]:
    return set(options.get("o", "").split(","))
