"""The resources that a monitor prepares for the runs of its container: processes forked in advance, the control
group, and the sockets of published ports.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.cgroups.control_group import ControlGroup
    from rootless.containers.launch_description import LaunchDescription
    from rootless.network.options import PublishedPort
    from rootless.network.publishing.listening import PublishedSocket
    from rootless.runtime.parent import Caller
    from rootless.supervisor.file_servers.file_server import NextServer
    from rootless.supervisor.file_servers.first_server import FirstServer

_SERVER_GRACE = 2.0
"""Seconds that a file server has to end which was forked for a run that does not take place."""


class RunResources:
    """The resources of one container, for all of its runs. Leave it by `release`.

    `servers` has the file server of the next run. `image_server` can become the server of the image that the container
    shares. `caller` is the process that becomes the first one of the container; None: a new process does.
    """

    def __init__(
        self,
        servers: NextServer,
        image_server: FirstServer | None = None,
        caller: Caller | None = None,
    ) -> None:
        self.servers = servers
        self.image_server = image_server
        self.caller = caller
        self.group: ControlGroup | None = None
        """The control group of the container, if it has one."""
        self.published: Sequence[PublishedSocket] = ()

    def make_group(self, description: LaunchDescription) -> None:
        """Make the control group, if it is needed and can be made. Raises RootlessError."""
        if self.caller is not None:
            # It stays where its own caller, such as a batch system, has put it.
            return
        from rootless.cgroups.hierarchy import may_delegate, observe

        resources = description.spec["linux"].get("resources", {})
        view = observe(os.environ)
        if not (may_delegate(view) or resources or description.cgroup_parent):
            return
        from rootless.cgroups.delegation import create

        image_server = () if self.image_server is None else self.image_server.pids()
        self.group = create(
            view,
            description.record.id,
            resources,
            (os.getpid(), *self.servers.pids, *image_server),
            description.cgroup_parent,
        )

    def publish(self, description: LaunchDescription) -> tuple[PublishedPort, ...]:
        """Bind the published ports of the container. Returns them as they are bound. Raises RootlessError."""
        network, record = description.network, description.record
        if network is None or not network.ports:
            return ()
        from rootless.network.publishing.listening import listen

        self.published = listen(network.ports, f"{record.name} ({record.id})")
        return tuple(each.port for each in self.published)

    def release(self) -> None:
        """After the last run."""
        self.servers.end(_SERVER_GRACE)
        for each in self.published:
            each.socket.close()
        if self.group is not None:
            self.group.remove()
