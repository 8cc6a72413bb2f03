"""The networks of one run of a container: its network namespace, and its connections to the default network and to
user-defined ones.
"""

from __future__ import annotations

from rootless.errors import RootlessError
from rootless.supervisor.networks.private import ContainerNetwork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.containers.launch_description import LaunchDescription
    from rootless.network.endpoint import Assigned
    from rootless.network.options import Attachment
    from rootless.network.publishing.listening import PublishedSocket
    from rootless.network.setup import NetworkSetup
    from rootless.runtime.nested import SharedNamespace
    from rootless.supervisor.networks.defined import DefinedNetworks
    from rootless.supervisor.networks.link import NetworkLink


class RunNetworks:
    """`connect` when the container's namespaces are there, `wait_until_ready` before its command is executed, `check`
    while it runs, `release` at its end.
    """

    def __init__(
        self,
        description: LaunchDescription,
        setup: NetworkSetup,
        published: Sequence[PublishedSocket],
    ) -> None:
        """`published` are the sockets of the published ports, and stay the caller's. Raises OSError, RootlessError."""
        self._description = description
        self._defined: DefinedNetworks | None = None
        self._default: NetworkLink | None = None
        """Connects the container to the default network."""
        link: NetworkLink | None = None
        endpoint = description.record.endpoint
        if endpoint is not None and endpoint.attachments:
            from rootless.supervisor.networks.defined import DefinedNetworks

            self._defined = DefinedNetworks(description, has_default=bool(endpoint.default))
            link = self._defined.link
        if endpoint is not None and endpoint.default:
            from rootless.supervisor.networks.default import default_link

            self._default = link = default_link(setup, endpoint)
        self._network = ContainerNetwork(description.id_maps, published, link)

    def describe(self) -> str:
        """The step of the start, for `run --debug`."""
        return self._network.describe()

    @property
    def below(self) -> SharedNamespace | None:
        """The user namespace that the container's has to lie below, so that the holder of defined networks may connect it."""
        return None if self._defined is None else self._defined.namespace

    @property
    def places(self) -> tuple[Assigned, ...]:
        """What the container has in networks that a user has defined."""
        return self._network.places

    def connect(self, pid: int) -> None:
        """Connect the network namespace of a process. Raises OSError, RootlessError."""
        self._network.connect(pid)

    def wait_until_ready(self) -> None:
        """Return when the container can use its networks. Raises LaunchError, OSError."""
        endpoint = self._description.record.endpoint
        self._network.wait_until_ready()
        if self._defined is not None and self._default is not None:
            self._network.add(self._defined.link, has_way_out=False)
        if self._defined is not None or endpoint is None or not endpoint.default:
            self._write_files()

    def connect_defined(self, attachment: Attachment) -> None:
        """Connect the container, which runs, to a network that a user has defined. Raises OSError, RootlessError."""
        if self._defined is None:
            from rootless.supervisor.networks.defined import DefinedNetworks, check_namespace

            check_namespace(self._description.record.name, self._network)
            has_default = self._default is not None
            self._defined = defined = DefinedNetworks(self._description, has_default=has_default)
            try:
                self._network.add(defined.link, has_way_out=not has_default)
            except BaseException:
                defined.close()
                self._defined = None
                raise
        self._defined.connect(attachment)
        self._network.retarget()
        self._write_files()

    def disconnect_defined(self, network: str) -> None:
        """Disconnect it from the one with an id. Raises RootlessError."""
        if self._defined is None:
            raise RootlessError("the container is in no such network")
        self._defined.disconnect(network)
        self._network.retarget()
        self._write_files()

    def rename(self, name: str) -> None:
        """The container has another name in networks that a user has defined. Raises RootlessError."""
        record = self._description.record._replace(name=name)
        self._description = self._description._replace(record=record)
        if self._defined is not None:
            self._defined.rename(name)

    def connect_default(self, asked: Attachment) -> NetworkSetup:
        """Connect it to the default network, and return what that is. Raises OSError, RootlessError."""
        from rootless.supervisor.networks.default import new_default_link

        link = new_default_link(asked, self.places)
        if self._defined is not None:
            self._defined.leave_way_out(has_default=True)
        try:
            self._network.add(link, has_way_out=True)
        except BaseException:
            if self._defined is not None:
                self._defined.leave_way_out(has_default=False)
            raise
        self._default = link
        self._write_files()
        return link.setup

    def disconnect_default(self) -> None:
        """Undo `connect_default`. Raises RootlessError."""
        if self._default is None:
            raise RootlessError("the container is not in the default network")
        self._network.remove(self._default)
        self._default = None
        if self._defined is not None:
            self._defined.leave_way_out(has_default=False)
        self._write_files()

    def _write_files(self) -> None:
        from rootless.supervisor.networks.files import write_network_files

        description = self._description
        write_network_files(
            description.directory,
            description.spec,
            None if self._default is None else self._default.setup,
            self.places,
        )

    def watched(self) -> tuple[int, ...]:
        """Descriptors that become readable when one of its processes ends."""
        return self._network.watched()

    def check(self, ready: set[int]) -> str:
        """Restart a helper program that has ended. Returns why it is not restarted any more, once, and otherwise
        nothing.
        """
        return self._network.check(ready)

    def release(self) -> None:
        """Disconnect the container."""
        self._network.release()
        if self._defined is not None:
            self._defined.close()
