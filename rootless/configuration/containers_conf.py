"""The network that containers.conf(5) sets: `netns` and `default_rootless_network_cmd`."""

from __future__ import annotations

from rootless.configuration.values import NETWORKS
from rootless.errors import InvalidDocumentError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_KEYS = (b"netns", b"default_rootless_network_cmd")
_COMMANDS = ("pasta", "slirp4netns")


def network(files: Iterable[str]) -> str:
    """The network that the last file with one of the keys names; empty if none does. Raises UsageError for one that
    does not exist, InvalidDocumentError for a file that cannot be understood."""
    name, driver = "", ""
    for path in files:
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError:
            continue
        if not any(_is_set(data, key) for key in _KEYS):
            continue
        netns, command = _values(data, path)
        name, driver = netns or name, command or driver
    if name in {"", "private", "bridge"} and driver:
        return driver
    return "bridge" if name == "private" else name


def _is_set(data: bytes, key: bytes) -> bool:
    """Whether a line begins with the key. Reading the whole document would cost a start more than a private network."""
    return any(line.lstrip().startswith(key) for line in data.splitlines())


def _values(data: bytes, path: str) -> tuple[str, str]:
    import tomllib

    try:
        document = tomllib.loads(data.decode())
        netns = document.get("containers", {}).get("netns", "")
        command = document.get("network", {}).get("default_rootless_network_cmd", "")
    except (AttributeError, ValueError) as error:
        raise InvalidDocumentError(f"{path} cannot be read: {error}") from error
    if netns not in {"", "private", *NETWORKS}:
        raise UsageError(
            f"{path}: netns: network {netns} not found", hint=f"use {', '.join(NETWORKS)}"
        )
    if command not in {"", *_COMMANDS}:
        raise UsageError(f"{path}: default_rootless_network_cmd: {command!r} is not known")
    return netns, command
