"""The networks that a user has defined, for one container: what connects it, and what it sees of them in /etc/hosts."""

from __future__ import annotations

from rootless.errors import NotFoundError
from rootless.network.bridge import BridgeDriver
from rootless.network.holder.protocol import Guest, Wanted
from rootless.network.store import Networks
from rootless.supervisor.network_holder import HolderClient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.containers.launch_description import LaunchDescription
    from rootless.network.endpoint import Assigned
    from rootless.network.options import Attachment


class DefinedNetworks:
    """Made before the container, with the holder of the networks. `driver` connects the container; `close` at its end."""

    def __init__(self, description: LaunchDescription) -> None:
        """Raises RootlessError, NotFoundError if a network is no longer there."""
        self._description = description
        setup = description.network
        assert setup is not None
        wanted = [find_network(description.store, each) for each in setup.attachments]
        self._holder = HolderClient(description.runtime)
        record = description.record
        hostname = str(description.spec.get("hostname", ""))
        guest = Guest(record.id, record.name, hostname, setup.host_loopback, setup.name_servers)
        self.driver = BridgeDriver(guest, wanted, self._holder.connect)
        self.namespace = self._holder.namespace

    def write_files(self, places: Sequence[Assigned]) -> None:
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
