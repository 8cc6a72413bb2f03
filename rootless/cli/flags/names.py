"""--add-host, --dns and --dns-search."""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.spec.options import HOST_GATEWAY, HostEntry


def is_address(text: str) -> bool:
    """Whether it is an address of IPv4 or IPv6."""
    import socket

    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False


def parse_add_host(text: str) -> HostEntry:
    """NAME:ADDRESS or NAME=ADDRESS; an IPv6 address may stand in brackets. Raises UsageError."""
    separator = "=" if "=" in text else ":"
    name, _, address = text.partition(separator)
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    if not name or separator not in text:
        raise UsageError(f'bad format for add-host: "{text}"', hint="use NAME:ADDRESS")
    if address != HOST_GATEWAY and not is_address(address):
        raise UsageError(f'invalid IP address in add-host: "{address}"')
    return HostEntry(name, address)


def parse_dns(text: str) -> str:
    """An IP address. Raises UsageError."""
    if not is_address(text):
        raise UsageError(f"IP address is not correctly formatted: {text}")
    return text


def parse_dns_search(text: str) -> str:
    """A domain, or `.` for none. Raises UsageError."""
    import re

    label = "[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?"
    if text.strip() != "." and not re.fullmatch(rf"{label}(\.{label})*\.?", text.strip()):
        raise UsageError(f"{text} is not a valid domain")
    return text.strip()
