"""The driver of networks that a user has defined: a container's place in each is a port of a bridge, which the holder of the
networks makes (`rootless.network.holder`).
"""

from __future__ import annotations

from rootless.errors import ConflictError, LaunchError, RootlessError
from rootless.network.driver import Target
from rootless.network.endpoint import Assigned
from rootless.network.holder import protocol
from rootless.run_in_child import error_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from rootless.light_stdlib import socket
    from rootless.network.driver import Connection
    from rootless.network.holder.protocol import Guest, Wanted
    from rootless.network.namespaces import Namespaces
    from rootless.network.setup import NetworkSetup

NAME = "bridge"
_ANSWER_WAIT = 30.0
"""Seconds that the holder has to answer."""
_END_WAIT = 5.0
"""The same at the end of a container, which `stop` and `rm` wait for."""


class BridgeConnection:
    """A container's connection to the holder, for as long as it is in networks."""

    name = "the holder of the networks"

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(_ANSWER_WAIT)
        self._end = end
        self.pidfd = end.fileno()
        """Becomes readable when the holder has ended: it sends answers only."""
        self.places: tuple[Assigned, ...] = ()
        self.has_way_out = False

    def request(self, message: dict[str, Any], *passed: int) -> dict[str, Any]:
        """The holder's answer. Raises what it says is wrong; LaunchError if it has ended or does not answer."""
        try:
            protocol.send(self._end, message, *passed)
            answer, _ = protocol.receive(self._end)
        except (OSError, ValueError) as error:
            reason = "does not answer" if isinstance(error, TimeoutError) else "has ended"
            raise LaunchError(
                f"cannot connect the container to a network: the holder of the networks {reason}"
            ) from None
        if "error" in answer:
            raise error_from(answer)
        return answer

    def change(self, message: dict[str, Any], *passed: int) -> None:
        """A request that changes the places of the container."""
        answer = self.request(message, *passed)
        self.places = tuple(Assigned(**each) for each in answer["places"])

    def wait_until_ready(self) -> None:
        if self.has_way_out:
            self.request({"request": "ready"})

    def reason(self) -> str:
        return "the holder of the networks was killed"

    def end(self) -> None:
        """No name leads to the container any more when this returns, unless the holder does not answer."""
        self._end.settimeout(_END_WAIT)
        try:
            self.request({"request": "end"})
        except RootlessError:
            pass  # the holder has ended, hangs, or is of a release that does not know the request
        self._end.close()


class BridgeDriver:
    """For one container. `wanted` are its attachments. `connect` gives a new connection to the holder, which it starts if
    there is none.
    """

    def __init__(
        self, guest: Guest, wanted: Sequence[Wanted], connect: Callable[[], socket.socket]
    ) -> None:
        self._guest = guest
        self._wanted = list(wanted)
        self._connect = connect

    def attach(self, setup: NetworkSetup, namespaces: Namespaces) -> BridgeConnection:
        connection = BridgeConnection(self._connect())
        try:
            connection.change(
                {
                    "request": "attach",
                    "guest": self._guest._asdict(),
                    "wanted": protocol.plain_wanted(self._wanted),
                    **self._way_out(setup, connection, self._wanted),
                },
                namespaces.network,
            )
        except BaseException as error:
            connection.end()
            if type(error) in {RootlessError, ConflictError}:
                raise type(error)(f"failed to set up container networking: {error}") from None
            raise
        self._keep_places(connection)
        return connection

    def _way_out(
        self, setup: NetworkSetup, connection: BridgeConnection, wanted: Sequence[Wanted]
    ) -> dict[str, Any]:
        needs = any(not each.record.is_internal for each in wanted)
        if needs and not setup.driver:
            raise RootlessError("neither pasta nor slirp4netns is installed")
        connection.has_way_out = connection.has_way_out or needs
        return {"way_out": protocol.plain_way_out(setup if needs else None)}

    def _keep_places(self, connection: BridgeConnection) -> None:
        """With another holder the container has the same addresses again."""
        places = {each.network_id: each for each in connection.places}
        self._wanted = [each._replace(previous=places.get(each.record.id)) for each in self._wanted]

    def connect(self, setup: NetworkSetup, connection: BridgeConnection, wanted: Wanted) -> None:
        """One more network for the container, which runs. Raises RootlessError."""
        connection.change(
            {
                "request": "connect",
                "wanted": protocol.plain_wanted([wanted]),
                **self._way_out(setup, connection, [wanted]),
            }
        )
        connection.wait_until_ready()
        self._wanted.append(wanted)
        self._keep_places(connection)

    def disconnect(self, connection: BridgeConnection, network: str) -> None:
        """Take it out of a network, which is named by its id. Raises RootlessError."""
        connection.change({"request": "disconnect", "network": network})
        self._wanted = [each for each in self._wanted if each.record.id != network]

    def rename(self, connection: BridgeConnection, name: str) -> None:
        """Another name for the container. Raises RootlessError."""
        connection.change({"request": "rename", "name": name})
        self._guest = self._guest._replace(name=name)

    def leave_way_out(self, connection: BridgeConnection, *, has_default: bool) -> None:
        """Leave the default route to the default network, which the container has from now on; or take it back. Raises
        RootlessError.
        """
        connection.change({"request": "default", "has_default": has_default})
        self._guest = self._guest._replace(has_default=has_default)

    def publish(self, setup: NetworkSetup, connection: Connection) -> Target:  # noqa: ARG002
        """In the network with the way out."""
        first = connection.places[0] if connection.places else Assigned("", "", "", "", "")
        return Target(
            first.address,
            first.gateway or first.resolver,
            first.ipv6_address,
            first.ipv6_gateway,
            tuple(address for each in connection.places for address in each.addresses),
        )

    def detach(self, connection: Connection) -> None:
        connection.end()
