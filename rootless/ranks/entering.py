"""Makes this process a rank of a running container: registers it with the monitor, and finds out how to enter.

RUNROOT/join/<hash of tag and image>          which container it is; removed by its monitor at the end
RUNROOT/join/<hash of tag and image>.lock     held while a rank makes the container
"""

from __future__ import annotations

import os
import time

from rootless.containers.exec_target import join_args
from rootless.errors import ConflictError, InvalidDocumentError, NotFoundError
from rootless.light_json import dumps, loads
from rootless.ranks.recipe import Way
from rootless.runtime.enter import Entry
from rootless.runtime.join import make_join_plan
from rootless.runtime.seccomp import filters_of
from rootless.spec.command import arguments
from rootless.spec.exec_options import ExecOptions
from rootless.supervisor.client import MonitorClient, MonitorEndedError, RefusedError
from rootless.supervisor.protocol import PAUSED, VERSION, Kind
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.containers.storage_paths import StoragePaths
    from rootless.ranks.rank import RankCommand

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
    about to. Raises ConflictError if it is paused.
    """
    pidfd = os.pidfd_open(os.getpid())
    try:
        for _ in range(_ATTEMPTS):
            try:
                client = MonitorClient.connect(paths.control_directory(found.container))
                client.join(pidfd)
                for each in client.receive_until(Kind.DONE).descriptors:
                    os.close(each)  # for those that enter by a recipe
            except RefusedError as error:
                if error.message == PAUSED:
                    raise ConflictError(
                        "the container of the ranks is paused, unpause it before more join"
                    ) from None
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


def way_to(found: SharedContainer, paths: StoragePaths) -> Way:
    """How a rank with a recipe does what `join` does."""
    return Way(
        paths.control_directory(found.container),
        dumps({"kind": Kind.HELLO.value, "version": VERSION}),
        dumps({"kind": Kind.JOIN.value}),
        dumps({"kind": Kind.DONE.value}),
        dumps({"kind": Kind.LISTENER.value}),
    )


def rank_entry(
    found: SharedContainer, client: MonitorClient, command: RankCommand
) -> tuple[Entry, int] | None:
    """How ranks with the command enter, and a pidfd of the container's first process. None if the container has ended
    meanwhile; the connection is closed then.

    Raises UsageError: there is no command.
    """
    paths = command.paths
    asked = ExecOptions(
        command=arguments(command.command, command.entrypoint, found.image),
        variables=command.variables,
        workdir=command.workdir,
        user=command.user,
    )
    try:
        args = join_args(
            paths.containers.read(found.container),
            paths.containers.directory(found.container),
            asked,
            hand_over=client.hand_over,
            seccomp_cache=f"{paths.store}/seccomp",
        )
    except (ConflictError, NotFoundError):
        client.close()
        return None
    filters = filters_of(args.spec, args.seccomp_cache)
    groups = tuple(args.groups) if args.spec["linux"].get("resources") else ()
    return Entry(make_join_plan(args.spec), filters, groups), args.container
