"""What a driver of private networks has to do. One file below `rootless.network` is one driver;
`rootless.network.drivers` lists them.

    prepare     when the container is created: read the driver's arguments, find its program
    attach      when the container's namespaces have been made: start the program in them
    publish     where connections to the published ports are made to
    detach      when the container has ended
"""

from __future__ import annotations

from unionfs.light_types import NamedTuple, Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.network.helper import Helper
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
    """

    ipv4: str
    ipv4_gateway: str
    ipv6: str = ""
    ipv6_gateway: str = ""


class Driver(Protocol):
    """One way to connect a network namespace."""

    def prepare(self, options: NetworkOptions, host: Host) -> NetworkSetup:
        """Raises UsageError for arguments that it does not have, HostSupportError if it cannot work here."""

    def attach(self, setup: NetworkSetup, namespaces: Namespaces) -> Helper:
        """Start its program, which stays a child of the caller's. Raises OSError."""

    def publish(self, setup: NetworkSetup) -> Target:
        """Where published ports lead to."""

    def detach(self, helper: Helper) -> None:
        """End its program."""
