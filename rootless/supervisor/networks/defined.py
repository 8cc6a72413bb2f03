"""The networks that a user has defined, for one container: what connects it, and what it sees of them in /etc/hosts."""

from __future__ import annotations

from rootless.errors import LaunchError, NotFoundError
from rootless.network.bridge import BridgeConnection, BridgeDriver
from rootless.network.holder.protocol import Guest, Wanted
from rootless.network.store import Networks
from rootless.supervisor.networks.holder import HolderClient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.containers.launch_description import LaunchDescription
    from rootless.network.endpoint import Assigned
    from rootless.network.options import Attachment
    from rootless.supervisor.networks.private import ContainerNetwork


class DefinedNetworks:
    """Made before the container, with the holder of the networks; `begin` when its network is ready, `close` at its end.

    `driver` connects a container that has such networks alone. One that has the default network too is connected to
    these by a second one.
    """

    def __init__(self, description: LaunchDescription) -> None:
        """Raises RootlessError, NotFoundError if a network is no longer there."""
        self._description = description
        setup, endpoint = description.network, description.record.endpoint
        assert setup is not None
        self._setup = setup
        attachments = endpoint.attachments if endpoint is not None else ()
        wanted = [find_network(description.store, each) for each in attachments]
        self._holder = HolderClient(description.runtime)
        record = description.record
        guest = Guest(
            record.id,
            record.name,
            str(description.spec.get("hostname", "")),
            setup.host_loopback,
            setup.name_servers,
            has_default=not setup.attachments,
        )
        self.driver = BridgeDriver(guest, wanted, self._holder.connect)
        self.namespace = self._holder.namespace
        self._network: ContainerNetwork | None = None
        self._default: ContainerNetwork | None = None
        self._second: ContainerNetwork | None = None
        """Beside the default network."""

    def begin(self, network: ContainerNetwork) -> None:
        """The container's network is ready. Raises OSError, RootlessError."""
        self._network = network
        if not self._setup.attachments:
            from rootless.supervisor.networks.private import ContainerNetwork

            self._network = self._second = ContainerNetwork(
                self._setup._replace(ports=()),
                self._description.id_maps,
                (),
                self.driver,
            )
            self._second.join(network)
            self._second.wait_until_ready()
            self._default = network
        self._changed()

    @property
    def places(self) -> tuple[Assigned, ...]:
        """What the container has."""
        return () if self._network is None else self._network.places

    def watched(self) -> tuple[int, ...]:
        """Descriptors for `check`, beside those of the container's network."""
        return () if self._second is None else self._second.watched()

    def check(self, ready: set[int]) -> str:
        """As that of ContainerNetwork."""
        return "" if self._second is None else self._second.check(ready)

    def connect(self, attachment: Attachment) -> None:
        """One more network. Raises RootlessError."""
        connection = self._connection()
        wanted = find_network(self._description.store, attachment)
        self.driver.connect(self._setup, connection, wanted)
        self._changed()

    def disconnect(self, network: str) -> None:
        """One less, which is named by its id. Raises RootlessError."""
        self.driver.disconnect(self._connection(), network)
        self._changed()

    def _connection(self) -> BridgeConnection:
        connection = None if self._network is None else self._network.connection
        if not isinstance(connection, BridgeConnection):
            raise LaunchError("the container has no network any more")
        return connection

    def _changed(self) -> None:
        if self._second is None and self._network is not None:
            self._network.retarget()
        elif self._default is not None:
            self._default.retarget(
                tuple(address for each in self.places for address in each.addresses)
            )
        self._write_files(self.places)

    def _write_files(self, places: Sequence[Assigned]) -> None:
        """Have /etc/hosts name the container's addresses, and /etc/resolv.conf the DNS of the network with the way out."""
        names = _names(str(self._description.spec.get("hostname", "")))
        addresses = [
            address for each in places for address in (each.address, each.ipv6_address) if address
        ]

        def hosts(lines: list[str]) -> list[str]:
            kept = [line for line in lines if line.partition("\t")[2] != names]
            return [*kept, *(f"{each}\t{names}" for each in addresses)]

        def resolv_conf(lines: list[str]) -> list[str]:
            asked = [f"nameserver {each.resolver}" for each in places[:1] if each.resolver]
            kept = [line for line in lines if not line.startswith("nameserver ")]
            return [*asked, *kept] if asked else lines

        _rewrite(f"{self._description.directory}/hosts", hosts)
        _rewrite(f"{self._description.directory}/resolv.conf", resolv_conf)

    def close(self) -> None:
        """Idempotent."""
        if self._second is not None:
            self._second.release()
        self._holder.close()


def find_network(store: str, attachment: Attachment) -> Wanted:
    """The network of an attachment, as it is now. Raises NotFoundError."""
    try:
        record = Networks(f"{store}/networks").find(attachment.network_id or attachment.network)
    except NotFoundError:
        raise NotFoundError(
            f"failed to set up container networking: network {attachment.network} not found"
        ) from None
    return Wanted(attachment, record)


def _rewrite(path: str, change: Callable[[list[str]], list[str]]) -> None:
    """Change the lines of a file in place: it is mounted in the container."""
    with open(path, "r+", encoding="utf-8", errors="surrogateescape") as file:
        lines = file.read().splitlines()
        changed = change(lines)
        if changed != lines:
            file.seek(0)
            file.write("\n".join(changed) + "\n")
            file.truncate()


def _names(hostname: str) -> str:
    """As docker: the name without its domain is an alias."""
    first = hostname.partition(".")[0]
    return hostname if first in {"", hostname} else f"{hostname} {first}"
