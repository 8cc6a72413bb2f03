"""The user-defined networks of a container: connects it to them."""

from __future__ import annotations

import fcntl
import os

from rootless.errors import HostSupportError, LaunchError, NotFoundError
from rootless.network.bridge import BridgeConnection, BridgeDriver
from rootless.network.defined.store import Networks
from rootless.network.holder.protocol import Guest, Wanted
from rootless.supervisor.networks.holder import HolderClient
from rootless.supervisor.networks.link import NetworkLink

_NS_GET_PARENT = 0xB702
"""ioctl_ns(2)"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.launch_description import LaunchDescription
    from rootless.network.options import Attachment
    from rootless.supervisor.networks.private import ContainerNetwork


class DefinedNetworks:
    """Made with the holder of the networks, before the container or when it is connected to its first one; `close` at its
    end. `link` connects the container's network namespace to all of them.
    """

    def __init__(self, description: LaunchDescription, *, has_default: bool) -> None:
        """`has_default`: the container is in the default network too. Raises RootlessError, NotFoundError if a network is no
        longer there.
        """
        self._store = description.store
        setup, record = description.network, description.record
        assert setup is not None
        endpoint = record.endpoint
        attachments = endpoint.attachments if endpoint is not None else ()
        wanted = [find_network(self._store, each) for each in attachments]
        self._holder = HolderClient(description.runtime)
        guest = Guest(
            record.id,
            record.name,
            str(description.spec.get("hostname", "")),
            setup.host_loopback,
            setup.name_servers,
            has_default=has_default,
        )
        self._driver = BridgeDriver(guest, wanted, self._holder.connect)
        self.namespace = self._holder.namespace
        self.link = NetworkLink(setup._replace(ports=()), self._driver)

    def connect(self, attachment: Attachment) -> None:
        """One more network. Raises RootlessError."""
        wanted = find_network(self._store, attachment)
        self._driver.connect(self.link.setup, self._connection(), wanted)

    def disconnect(self, network: str) -> None:
        """One less, which is named by its id. Raises RootlessError."""
        self._driver.disconnect(self._connection(), network)

    def rename(self, name: str) -> None:
        """Another name for the container. Raises RootlessError."""
        self._driver.rename(self._connection(), name)

    def leave_way_out(self, *, has_default: bool) -> None:
        """The container has the default network too from now on, whose default route is its own; or no longer. Raises
        RootlessError.
        """
        self._driver.leave_way_out(self._connection(), has_default=has_default)

    def _connection(self) -> BridgeConnection:
        connection = self.link.connection
        if not isinstance(connection, BridgeConnection):
            raise LaunchError("the container has no network any more")
        return connection

    def close(self) -> None:
        """Idempotent."""
        self._holder.close()


def check_namespace(name: str, network: ContainerNetwork) -> None:
    """Raise HostSupportError for a container whose user namespace is not below that of the networks: the kernel gives the
    holder no capabilities over it.
    """
    namespaces = network.namespaces
    if namespaces is None or namespaces.user is None:
        return
    try:
        parent = fcntl.ioctl(namespaces.user, _NS_GET_PARENT, 0)
    except OSError:
        return
    try:
        is_own = os.path.samestat(os.fstat(parent), os.stat("/proc/self/ns/user"))
    finally:
        os.close(parent)
    if is_own:
        raise HostSupportError(
            f"container {name} was started without networks of 'rootless network create', in a user namespace that they "
            "cannot reach: stop it, connect it, and start it again"
        )


def find_network(store: str, attachment: Attachment) -> Wanted:
    """The network of an attachment, as it is now. Raises NotFoundError."""
    try:
        record = Networks(f"{store}/networks").find(attachment.network_id or attachment.network)
    except NotFoundError:
        raise NotFoundError(
            f"failed to set up container networking: network {attachment.network} not found"
        ) from None
    return Wanted(attachment, record)
