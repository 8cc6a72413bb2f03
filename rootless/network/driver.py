"""The protocol of a driver of private networks. `rootless.network.drivers` has a module for each driver.

prepare     when the container is created: read the driver's arguments, find its program
attach      when the container's namespaces have been made: connect them
publish     where connections to the published ports are made to
detach      when the container has ended
"""

from __future__ import annotations

from unionfs.light_types import NamedTuple, Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.network.endpoint import Assigned
    from rootless.network.namespaces import Namespaces
    from rootless.network.options import NetworkOptions
    from rootless.network.setup import NetworkSetup


class Host(NamedTuple):
    """What decides how a container is connected. `program` is the absolute path of the driver's program, empty if it
    is not installed. `has_ipv6`: it is to have IPv6 too.
    """

    program: str
    has_ipv6: bool


class Target(NamedTuple):
    """Where the connections to published ports are made to: addresses of the container, and the gateway's that it is
    to see in place of a loopback address of the host. An empty address is one of a family that it does not have.
    `direct` are its addresses, with the lengths of their prefixes, in networks whose other containers reach it themselves.
    """

    ipv4: str
    ipv4_gateway: str
    ipv6: str = ""
    ipv6_gateway: str = ""
    direct: tuple[tuple[str, int], ...] = ()


class Connection(Protocol):
    """A network namespace that has been connected. `name` is that of the program that keeps it so, `pidfd` a descriptor
    that becomes readable when the program has ended, and `places` what it has in networks that a user has defined.
    """

    name: str
    pidfd: int
    places: tuple[Assigned, ...]

    def wait_until_ready(self) -> None:
        """Return when packets pass. Raises LaunchError if that cannot be."""

    def reason(self) -> str:
        """Why the program ended, in one line."""

    def end(self) -> None:
        """End it."""


class Driver(Protocol):
    """One way to connect a network namespace."""

    def attach(self, setup: NetworkSetup, namespaces: Namespaces) -> Connection:
        """Connect the namespace. Raises OSError, RootlessError."""

    def publish(self, setup: NetworkSetup, connection: Connection) -> Target:
        """Where published ports lead to."""

    def detach(self, connection: Connection) -> None:
        """End the connection."""


class HelperDriver(Driver, Protocol):
    """One that connects a network namespace by a program."""

    def prepare(self, options: NetworkOptions, host: Host) -> NetworkSetup:
        """Raises UsageError for arguments that it does not have, HostSupportError if it cannot work here."""
