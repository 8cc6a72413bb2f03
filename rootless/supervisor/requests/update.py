"""UPDATE: changes the limits and the restart policy of a container that has a monitor."""

from __future__ import annotations

from rootless.errors import HostSupportError, RootlessError
from rootless.spec.options import RestartName, RestartPolicy
from rootless.supervisor.protocol import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.cgroups.control_group import ControlGroup
    from rootless.supervisor.clients import Client
    from rootless.supervisor.restarts import Restarts


def update(
    client: Client, fields: Mapping[str, Any], group: ControlGroup | None, restarts: Restarts
) -> None:
    """Carry it out; `group` is the container's, if it has one."""
    try:
        resources = fields.get("resources")
        if resources:
            if group is None:
                raise HostSupportError("the container has no control group")
            group.apply(resources)
        restart = fields.get("restart")
        if restart is not None:
            name, maximum = restart
            restarts.policy = RestartPolicy(RestartName(name), int(maximum))
    except RootlessError as error:
        client.refuse(error.message)
        return
    client.send(Kind.DONE)
