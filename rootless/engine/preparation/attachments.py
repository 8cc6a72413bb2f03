"""The user-defined networks of a new container: docker's checks of addresses, and the driver for traffic to the
outside.
"""

from __future__ import annotations

from rootless.errors import HostSupportError, NotFoundError, UsageError
from rootless.network.cidr import parse_address
from rootless.network.defined.driver_options import HOST_ADDRESS
from rootless.network.drivers.choice import available, prepare
from rootless.network.holder.bridges import WAY_OUT_IPV4
from rootless.network.options import BRIDGE
from rootless.network.setup import Addresses, NetworkSetup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rootless.network.defined.record import NetworkRecord, Subnet
    from rootless.network.defined.store import Networks
    from rootless.network.options import Attachment, NetworkOptions
    from rootless.spec.options import ContainerOptions


def with_ids(attachments: Iterable[Attachment], networks: Networks) -> tuple[Attachment, ...]:
    """The attachments with the ids of the networks. Raises NotFoundError, and UsageError for an address that a network
    cannot give.
    """
    found = []
    seen: set[str] = set()
    for each in attachments:
        try:
            record = networks.find(each.network)
        except NotFoundError as error:
            raise NotFoundError(
                f"failed to set up container networking: {error.message}",
                hint="'rootless network ls' lists those that there are",
            ) from None
        if record.id in seen:
            raise UsageError(f'network "{each.network}" is specified multiple times')
        seen.add(record.id)
        check_addresses(each, record, f"invalid config for network {each.network}: ")
        found.append(each._replace(network=record.name, network_id=record.id))
    return tuple(found)


def check_addresses(attachment: Attachment, record: NetworkRecord, prefix: str = "") -> None:
    """Raise UsageError, in docker's words, for an address that is asked for and cannot be given."""
    for text, family, is_ipv6 in ((attachment.ip, "IPv4", False), (attachment.ip6, "IPv6", True)):
        if text:
            subnet = record.subnet(ipv6=is_ipv6) if record.has_chosen_subnets else None
            reason = _reason(text, family, is_ipv6, subnet)
            if reason:
                raise UsageError(f"{prefix}invalid endpoint settings: {reason}")


def _reason(text: str, family: str, is_ipv6: bool, subnet: Subnet | None) -> str:
    try:
        address, bits = parse_address(text)
    except ValueError:
        address, bits = 0, 0
    if bits != (128 if is_ipv6 else 32):
        return f"invalid {family} address: {text}"
    if subnet is None:
        return (
            "user specified IP address is supported only when connecting to networks with user "
            "configured subnets"
        )
    if address not in subnet.range:
        return f"no configured subnet or ip-range contain the IP address {text}"
    return ""


def prepare_attachments(
    options: ContainerOptions, environ: Mapping[str, str], networks: Networks
) -> NetworkSetup:
    """How the container is connected. Raises HostSupportError if there is no way out for a network that has one."""
    network = options.network
    records = [networks.find(each.network_id) for each in network.attachments]
    setup = NetworkSetup("", "")
    if any(not record.is_internal for record in records):
        setup = way_out(network, environ, with_ipv6=any(each.has_ipv6 for each in records))
    first = min(records, key=lambda each: (each.is_internal, each.name))
    return setup._replace(
        ipv4=Addresses("", 0, WAY_OUT_IPV4.gateway, first.resolver),
        ipv6=setup.ipv6,
        attachments=network.attachments,
        name_servers=options.dns.servers,
    )


def published_address(network: NetworkOptions, networks: Networks) -> str:
    """Where ports are published that name no address, as the first network says; empty for every address."""
    first = networks.find(network.attachments[0].network_id)
    return first.options.get(HOST_ADDRESS, "")


def way_out(
    network: NetworkOptions, environ: Mapping[str, str], *, with_ipv6: bool
) -> NetworkSetup:
    """The helper program of the way out of all networks. Raises HostSupportError."""
    name = available(environ)
    if not name:
        raise HostSupportError(
            f"--network {network.name}: neither pasta nor slirp4netns is installed",
            hint="install the package passt or slirp4netns, or make the network with --internal",
        )
    chosen = network._replace(name=name if with_ipv6 else BRIDGE, arguments=(), mac_address="")
    return prepare(chosen, environ)
