"""The network of another container, which a container shares (--network container:NAME).

The user namespace of the container is made below the other's, because only a process that has entered that may enter its
network namespace. The container has no capabilities over the network: its addresses and routes are the other's to change.
"""

from __future__ import annotations

import os

from rootless.containers.config import read_spec
from rootless.containers.directory import Containers
from rootless.containers.exec_target import open_process
from rootless.containers.status import ALIVE
from rootless.errors import ConflictError
from rootless.network.options import CONTAINER
from rootless.runtime.idmap import IdMaps
from rootless.runtime.nested import SharedNamespace
from rootless.syscalls import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.containers.launch_description import LaunchDescription


def open_shared_network(description: LaunchDescription) -> SharedNamespace | None:
    """The namespaces of the other container; the descriptor is the caller's to close. None for a container that shares
    no network.

    Raises NotFoundError, and ConflictError if it does not run.
    """
    container = _container(description.spec)
    if not container:
        return None
    containers = Containers(os.path.dirname(description.directory))
    record = containers.read(container)
    if record.status not in ALIVE:
        raise ConflictError(
            "cannot join network namespace of a non running container: "
            f"container {record.name} is {record.status.value}"
        )
    spec = read_spec(containers.directory(container))
    flags = processes.CLONE_NEWUSER | processes.CLONE_NEWNET
    return SharedNamespace(open_process(record, spec), IdMaps.from_spec(spec["linux"]), flags)


def _container(spec: Mapping[str, Any]) -> str:
    """The id of the other container, by which the OCI configuration names its namespace; empty if there is none."""
    paths = (str(each.get("path", "")) for each in spec["linux"]["namespaces"])
    return next((path.removeprefix(CONTAINER) for path in paths if path.startswith(CONTAINER)), "")
