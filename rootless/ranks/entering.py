"""Makes this process a rank of a running container: registers it with the monitor, enters the namespaces and executes
the command in its place.

    RUNROOT/join/<hash of tag and image>          which container it is; removed by its monitor at the end
    RUNROOT/join/<hash of tag and image>.lock     held while a rank makes the container
"""

from __future__ import annotations

import os
import time

from rootless.containers.exec_target import join_args
from rootless.errors import ConflictError, InvalidDocumentError, NotFoundError
from rootless.light_json import loads
from rootless.spec.command import arguments
from rootless.spec.exec_options import ExecOptions
from rootless.supervisor.client import MonitorClient, MonitorEndedError, RefusedError
from rootless.supervisor.protocol import Kind
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.containers.storage_paths import StoragePaths
    from rootless.ranks.rank import RankCommand
    from rootless.runtime.join import JoinArgs

_RETRY = 0.01
_ATTEMPTS = 1000


class SharedContainer(NamedTuple):
    """A container that runs, and the `config` of its image."""

    container: str
    image: Mapping[str, Any]


def find(state: str) -> SharedContainer | None:
    """The container that is shared, by the file that names it. Raises InvalidDocumentError."""
    try:
        with open(state, "rb") as file:
            document = loads(file.read())
        return SharedContainer(str(document["container"]), dict(document["image"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidDocumentError(f"{state} cannot be read: {error!r}") from error


def join(found: SharedContainer, paths: StoragePaths) -> MonitorClient | None:
    """The connection to the monitor that has taken this process as a rank; None if the container has ended, or is
    about to.
    """
    pidfd = os.pidfd_open(os.getpid())
    try:
        for _ in range(_ATTEMPTS):
            try:
                client = MonitorClient.connect(paths.control_directory(found.container))
                client.join(pidfd)
                client.receive_until(Kind.DONE)
            except RefusedError as error:
                if "too many clients" not in error.message:
                    return None
                time.sleep(_RETRY)
            else:
                return client
    except (NotFoundError, MonitorEndedError):
        return None
    finally:
        os.close(pidfd)
    return None


def rank_args(
    found: SharedContainer,
    client: MonitorClient,
    command: RankCommand,
    variables: Mapping[str, str],
) -> JoinArgs | None:
    """What enters the container as a rank that the monitor has taken; `variables` are the launcher's. None if the
    container has ended meanwhile; the connection is closed then.

    Raises UsageError: there is no command.
    """
    paths = command.paths
    asked = ExecOptions(
        command=arguments(command.command, command.entrypoint, found.image),
        variables=(*variables.items(), *command.variables),
        workdir=command.workdir,
        user=command.user,
    )
    try:
        return join_args(
            paths.containers.read(found.container),
            paths.containers.directory(found.container),
            asked,
            hand_over=client.hand_over,
            seccomp_cache=f"{paths.store}/seccomp",
        )
    except (ConflictError, NotFoundError):
        client.close()
        return None
