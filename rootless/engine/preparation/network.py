"""Chooses the network of a container and its driver, and refuses options that contradict it."""

from __future__ import annotations

import os

from rootless.errors import HostSupportError, NotFoundError, UsageError
from rootless.network.endpoint import Endpoint, endpoint_of
from rootless.network.options import BRIDGE, CONTAINER, HOST, NONE, PRIVATE, mac_address_with
from rootless.spec.options import HOST_GATEWAY, ContainerOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rootless.containers.directory import Containers
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.network.options import NetworkOptions
    from rootless.network.setup import NetworkSetup

DEFAULT = "default"
"""Docker's word for the network of a container for which none is asked."""


def with_network_name(
    options: ContainerOptions, environ: Mapping[str, str], paths: StoragePaths
) -> ContainerOptions:
    """The options with the name of the network spelled out. Raises UsageError for one that does not exist."""
    network = options.network
    name = network.name
    reason = ""
    if name in {"", DEFAULT}:
        from rootless.network.default import default_network

        name, reason = default_network(environ)
        if name in {HOST, NONE} and (network.ports or network.publish_all):
            name, reason = BRIDGE, ""
    if options.namespaces.container:
        options = _with_joined(options, paths.containers)
    if network.container:
        name = f"{CONTAINER}{_find(network.container, paths.containers).id}"
        if options.namespaces.container not in {"", name.removeprefix(CONTAINER)}:
            raise UsageError("the namespaces of two containers cannot be shared")
    elif name not in {HOST, NONE, *PRIVATE}:
        from rootless.engine.preparation.attachments import with_ids

        network = network._replace(attachments=with_ids(network.attachments, paths.networks))
    return options._replace(network=network._replace(name=name, reason=reason))


def _with_joined(options: ContainerOptions, containers: Containers) -> ContainerOptions:
    """With the id of the container whose namespaces are shared. Raises NotFoundError."""
    modes = options.namespaces
    record = containers.find(modes.container)
    return options._replace(namespaces=modes._replace(container=record.id))


def _find(name: str, containers: Containers) -> ContainerRecord:
    try:
        return containers.find(name)
    except NotFoundError as error:
        raise NotFoundError(f"joining network namespace of container: {error.message}") from None


def prepare_network(
    options: ContainerOptions,
    exposed: Iterable[str],
    environ: Mapping[str, str],
    paths: StoragePaths,
) -> tuple[NetworkSetup | None, Endpoint]:
    """How the container is connected, and its endpoint. `exposed` are the ports that its image names.

    Raises UsageError; HostSupportError if it is asked for a private network that cannot be made here.
    """
    network = options.network
    if not network.is_private:
        return None, Endpoint(network.name, reason=network.reason)
    from rootless.network.drivers.choice import prepare
    from rootless.network.ports import exposed_by, with_all_published

    host_address = ""

    if network.attachments:
        from rootless.engine.preparation.attachments import (
            prepare_attachments,
            published_address,
        )

        setup = prepare_attachments(options, environ, paths.networks)
        host_address = published_address(network, paths.networks)
    else:
        if not network.mac_address:
            network = network._replace(mac_address=mac_address_with(os.urandom(4)))
        setup = prepare(network, environ)._replace(name_servers=options.dns.servers)
    of_container = (*exposed_by(exposed), *network.exposed)
    ports = with_all_published(network.ports, of_container if network.publish_all else ())
    _check_ports(network)
    if host_address:
        ports = tuple(
            each if each.address else each._replace(address=host_address) for each in ports
        )
    setup = setup._replace(
        ports=ports
        if setup.driver
        else (),  # without a driver, nothing leads out of its networks or into them
        host_loopback=setup.host_loopback
        or any(each.address == HOST_GATEWAY for each in options.hosts),
    )
    return setup, endpoint_of(network, setup, tuple(sorted(set(of_container))))


def _check_ports(network: NetworkOptions) -> None:
    for each in network.ports:
        if each.protocol == "sctp":
            raise HostSupportError(
                f"cannot publish port {each.exposed}: only TCP and UDP ports are published"
            )
