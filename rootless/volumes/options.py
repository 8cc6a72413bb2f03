"""Options of the local driver (docker volume create --opt). Pure."""

from __future__ import annotations

from rootless.errors import HostSupportError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

LOCAL = "local"
_KNOWN = frozenset({"device", "o", "type"})
_MANDATORY = {"type": ("device",), "o": ("type", "device"), "device": ("type",)}


def check_driver(name: str, driver: str) -> None:
    """Raise UsageError for any driver but the local one. `name` is the volume's."""
    if driver not in {"", LOCAL}:
        raise UsageError(
            f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found'
        )


def check_driver_options(name: str, options: Mapping[str, str]) -> None:
    """Raise UsageError for options that docker's local driver does not have, and HostSupportError for
    those that ask for a mount that an ordinary user cannot make: only `o=bind` remains.
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
    if not options:
        return
    words = set(options.get("o", "").split(","))
    if options["type"] not in {"none", "bind"} or not words & {"bind", "rbind"}:
        raise HostSupportError(
            f"create {name}: an ordinary user cannot mount {options['type']} for every container",
            hint="use --tmpfs, or bind a directory: -o type=none -o o=bind -o device=DIR",
        )
    if not options["device"].startswith("/"):
        raise UsageError(f"create {name}: device {options['device']!r} is not an absolute path")
