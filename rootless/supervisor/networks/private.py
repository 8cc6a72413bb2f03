"""The network namespace of one run of a container: its connection, and the process that forwards published ports."""

from __future__ import annotations

import os

from rootless.network.namespaces import Namespaces
from rootless.supervisor.engine_log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.network.driver import Target
    from rootless.network.endpoint import Assigned
    from rootless.network.publishing.forwarder import Forwarder
    from rootless.network.publishing.listening import PublishedSocket
    from rootless.runtime.idmap import IdMaps
    from rootless.supervisor.networks.link import NetworkLink


class ContainerNetwork:
    """`connect` when the container's namespaces are there, `wait_until_ready` before its command is executed, `check`
    while it runs, `release` at its end.
    """

    def __init__(
        self,
        id_maps: IdMaps,
        sockets: Sequence[PublishedSocket] = (),
        link: NetworkLink | None = None,
    ) -> None:
        """`sockets` are those of the published ports, and stay the caller's. `link` is what connects the namespace first."""
        self._links = [] if link is None else [link]
        """The first has the way out."""
        self._sockets = sockets
        self._forwarder: Forwarder | None = None
        self._target: Target | None = None
        self._id_maps = id_maps
        self._namespaces: Namespaces | None = None

    def describe(self) -> str:
        """The step of the start, for `run --debug`."""
        if not self._links:
            return "make a network namespace without a network"
        setup = self._links[0].setup
        if setup.attachments:
            names = ", ".join(each.network for each in setup.attachments)
            return f"connect the container to the networks {names}"
        return f"connect the network with {setup.program}"

    def connect(self, pid: int) -> None:
        """Connect the network namespace of a process. Raises OSError, RootlessError."""
        # Opened before the process changes its ids, after which its /proc/PID/ns is its own user namespace's only.
        flags = os.O_RDONLY | os.O_CLOEXEC
        self._namespaces = Namespaces(
            os.open(f"/proc/{pid}/ns/user", flags),
            os.open(f"/proc/{pid}/ns/net", flags),
            self._id_maps.root,
            self._id_maps.helper,
        )
        for link in self._links:
            link.start(self._namespaces)

    @property
    def namespaces(self) -> Namespaces | None:
        """None before `connect` and after `release`."""
        return self._namespaces

    def add(self, link: NetworkLink, *, has_way_out: bool) -> None:
        """Connect the namespace by one more link, and return when that is ready. Raises OSError, RootlessError."""
        if self._namespaces is None:
            return
        try:
            link.start(self._namespaces)
            link.wait_until_ready()
        except BaseException:
            link.end()
            raise
        self._links.insert(0 if has_way_out else len(self._links), link)
        self.retarget()

    def remove(self, link: NetworkLink) -> None:
        """Undo `add`."""
        self._links.remove(link)
        link.end()
        self.retarget()

    def retarget(self) -> None:
        """The places of the container have changed: have published ports lead to where they do now."""
        if self._publish() == self._target:
            return
        if self._forwarder is not None:
            self._forwarder.end()
            self._forwarder = None
        self._forward()

    @property
    def places(self) -> tuple[Assigned, ...]:
        """What the container has in networks that a user has defined."""
        return tuple(place for link in self._links for place in link.places)

    def wait_until_ready(self) -> None:
        """Return when the interface is configured and connections to published ports are passed on. Raises
        LaunchError, OSError.
        """
        for link in self._links:
            link.wait_until_ready()
        self._forward()

    def _forward(self) -> None:
        self._target = self._publish()
        if not self._sockets or self._namespaces is None or self._target is None:
            return
        from rootless.network.publishing.forwarder import Forwarder

        self._forwarder = Forwarder(self._sockets, self._target, self._namespaces)

    def _publish(self) -> Target | None:
        targets = (link.publish() for link in self._links)
        target = next((each for each in targets if each is not None), None)
        if target is None:
            return None
        direct = (address for place in self.places for address in place.addresses)
        return target._replace(direct=tuple(direct))

    def watched(self) -> tuple[int, ...]:
        """Descriptors that become readable when one of its processes ends."""
        processes = (*(link.connection for link in self._links), self._forwarder)
        return tuple(each.pidfd for each in processes if each is not None)

    def check(self, ready: set[int]) -> str:
        """Start a process again that has ended. The text is why it is not, if it ends too often."""
        if self._forwarder is not None and self._forwarder.pidfd in ready:
            log("network: the process that passes connections to published ports on was killed")
            self._forwarder.end()
            self._forwarder = None
            self._forward()
        if self._namespaces is None:
            return ""
        lost = [link.check(ready, self._namespaces) for link in self._links]
        return next((text for text in lost if text), "")

    def release(self) -> None:
        """Idempotent."""
        if self._forwarder is not None:
            self._forwarder.drain()
            self._forwarder.end()
            self._forwarder = None
        for link in self._links:
            link.end()
        if self._namespaces is not None:
            if self._namespaces.user is not None:
                os.close(self._namespaces.user)
            os.close(self._namespaces.network)
            self._namespaces = None
