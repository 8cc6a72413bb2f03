"""--network, --publish, --publish-all, --expose and --mac-address."""

from __future__ import annotations

from rootless.cli.flags.names import is_address
from rootless.csv_fields import split_fields
from rootless.errors import UsageError
from rootless.network.options import (
    BRIDGE,
    CONTAINER,
    HOST,
    NONE,
    PASTA,
    PRIVATE,
    SLIRP4NETNS,
    Attachment,
    ExposedPort,
    NetworkOptions,
)
from rootless.network.ports import parse_expose, parse_publish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FIELDS = frozenset(
    {"name", "alias", "ip", "ip6", "mac-address", "driver-opt", "gw-priority", "link-local-ip"}
)
"""Docker's keys of the long form."""
_BUILT_IN = frozenset({"", "default", HOST, NONE, *PRIVATE})
_BOTH = "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
_ONLY_USER_DEFINED = "network-scoped aliases are only supported for user-defined networks"
DISCARDED = "Published ports are discarded when using host network mode"
"""Docker's warning."""


def parse_network(
    names: Sequence[str],
    *,
    publish: Sequence[str],
    publish_all: bool,
    expose: Sequence[str],
    mac_address: str,
    own: Attachment = Attachment(""),
) -> NetworkOptions:
    """`own` is what the options for one network say: --network-alias, --ip, --ip6. Raises UsageError with docker's words."""
    network, attachments = _attachments(names)
    first = attachments[0] if attachments else Attachment(network.name)
    first = _with_own(first, own)
    if _is_user_defined(first.network):
        if mac_address and not first.mac_address:
            first = first._replace(mac_address=parse_mac_address(mac_address))
        network = network._replace(attachments=(first, *attachments[1:]))
    else:
        _check_built_in(first)
    ports = tuple(port for text in publish for port in parse_publish(text, is_address))
    exposed = tuple(port for text in expose for port in parse_expose(text))
    if network.container:
        _check_shared(exposed, is_published=bool(ports) or publish_all)
    if mac_address and network.mac_address not in {"", mac_address}:
        raise UsageError(
            "conflicting options: cannot specify both --mac-address and per-network MAC address"
        )
    return network._replace(
        mac_address=parse_mac_address(mac_address or network.mac_address),
        ports=() if network.name == HOST else ports,
        publish_all=publish_all and network.name != HOST,
        exposed=exposed,
    )


def _attachments(names: Sequence[str]) -> tuple[NetworkOptions, list[Attachment]]:
    """The first network, and the attachments to all of them. Raises UsageError."""
    network = NetworkOptions()
    attachments: list[Attachment] = []
    for text in names:
        options, attachment = _network(text)
        if any(each.network == attachment.network for each in attachments):
            raise UsageError(f'network "{attachment.network}" is specified multiple times')
        network = network if attachments else options
        attachments.append(attachment)
        if len(attachments) > 1 and not all(_is_user_defined(each.network) for each in attachments):
            raise UsageError(_BOTH)
    return network, attachments


def discards_ports(names: Sequence[str], publish: Sequence[str]) -> bool:
    """Whether docker warns of that: on the host's network every port is the host's."""
    return bool(publish) and tuple(names) == (HOST,)


def _is_user_defined(name: str) -> bool:
    return name not in _BUILT_IN and not name.startswith(CONTAINER)


def _with_own(attachment: Attachment, own: Attachment) -> Attachment:
    """With the options for one network, which belong to the first. Raises UsageError."""
    for what, given, option in (
        ("per-network alias", attachment.aliases and own.aliases, "--network-alias"),
        ("per-network IPv4 address", attachment.ip and own.ip, "--ip"),
        ("per-network IPv6 address", attachment.ip6 and own.ip6, "--ip6"),
    ):
        if given:
            raise UsageError(f"conflicting options: cannot specify both {option} and {what}")
    return attachment._replace(
        aliases=attachment.aliases or own.aliases,
        ip=attachment.ip or own.ip,
        ip6=attachment.ip6 or own.ip6,
    )


def _check_built_in(attachment: Attachment) -> None:
    if attachment.aliases:
        raise UsageError(_ONLY_USER_DEFINED)
    if attachment.ip or attachment.ip6:
        raise UsageError(
            f"invalid config for network {attachment.network or BRIDGE}: invalid endpoint settings: user specified "
            "IP address is supported on user defined networks only"
        )


def _network(text: str) -> tuple[NetworkOptions, Attachment]:
    """NAME, a driver's name with arguments after a colon (podman's form), or docker's fields KEY=VALUE; what is asked for
    of the network too.
    """
    if not text:
        raise UsageError("no name set for network")
    if text == CONTAINER:
        raise UsageError("invalid network mode: invalid container format container:<name|id>")
    driver, colon, arguments = text.partition(":")
    if driver in {PASTA, SLIRP4NETNS}:
        words = tuple(filter(None, arguments.split(","))) if colon else ()
        return NetworkOptions(driver, words), Attachment(driver)
    if "=" not in driver and "=" in arguments and driver != CONTAINER.rstrip(":"):
        text = f"name={driver},{arguments}"  # podman's form
    if "=" not in text:
        return NetworkOptions(text), Attachment(text)
    fields: dict[str, list[str]] = {}
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        if not equals:
            raise _invalid(text, f"invalid field {key}")
        key = _PODMAN_KEYS.get(key.strip().lower(), key.strip().lower())
        if key not in _FIELDS:
            raise _invalid(text, f"invalid field key {key}")
        fields.setdefault(key, []).append(value.strip())
    attachment = _attachment(text, fields)
    return NetworkOptions(attachment.network, mac_address=attachment.mac_address), attachment


_PODMAN_KEYS = {"mac": "mac-address"}


def _invalid(text: str, why: str) -> UsageError:
    return UsageError(f'invalid argument "{text}" for "--network" flag: {why}')


def _attachment(text: str, fields: Mapping[str, Sequence[str]]) -> Attachment:
    """The values of the long form. Raises UsageError."""
    last = {key: values[-1] for key, values in fields.items()}
    if not last.get("name"):
        raise _invalid(text, "network name/id is not specified")
    options = []
    for each in fields.get("driver-opt", ()):
        key, equals, value = each.partition("=")
        if not equals:
            raise _invalid(text, "invalid key value pair format in driver options")
        options.append((key, value))
    priority = last.get("gw-priority", "0")
    try:
        number = int(priority)
    except ValueError:
        raise _invalid(text, f"invalid gw-priority ({priority}): invalid syntax") from None
    return Attachment(
        last["name"],
        tuple(fields.get("alias", ())),
        last.get("ip", ""),
        last.get("ip6", ""),
        parse_mac_address(last.get("mac-address", "")),
        tuple(options),
        number,
    )


def _check_shared(exposed: Sequence[ExposedPort], *, is_published: bool) -> None:
    if is_published:
        raise UsageError("conflicting options: port publishing and the container type network mode")
    if exposed:
        raise UsageError("conflicting options: port exposing and the container type network mode")


def parse_mac_address(text: str) -> str:
    """Six bytes in hexadecimal digits. Raises UsageError."""
    if not text:
        return ""
    pairs = text.replace("-", ":").split(":")
    digits = set("0123456789abcdefABCDEF")
    if len(pairs) != 6 or not all(len(pair) == 2 and set(pair) <= digits for pair in pairs):
        raise UsageError(f"{text} is not a valid mac address")
    if int(pairs[0], 16) & 1:
        raise UsageError(f"{text} is not the mac address of one interface: it is that of a group")
    return ":".join(pairs).lower()
