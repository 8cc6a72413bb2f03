"""`update`: changes the limits and the restart policy of a container, also while it runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from rootless.cgroups.devices import block_device_number
from rootless.containers.container_options import options_in
from rootless.containers.launch_document import NAME as LAUNCH_NAME
from rootless.containers.launch_document import encode_launch
from rootless.containers.options_document import NAME as OPTIONS_NAME
from rootless.containers.options_document import encode_options
from rootless.containers.status import MONITORED, Verb
from rootless.durable import write_atomically
from rootless.engine.lifecycle.connection import ask
from rootless.engine.lifecycle.starting import read_launch
from rootless.errors import UsageError
from rootless.light_json import dumps
from rootless.spec.options import NO_LIMITS, RestartName
from rootless.spec.resources import make_resources

if TYPE_CHECKING:
    from rootless.containers.launch_description import LaunchDescription
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.spec.options import ResourceLimits, RestartPolicy


def update(
    paths: StoragePaths,
    record: ContainerRecord,
    changes: ResourceLimits,
    restart: RestartPolicy | None,
) -> None:
    """Set the limits that are not zero, and the restart policy unless it is None.

    A container that runs is asked first: what it cannot enforce changes nothing.

    Raises:
        ConflictError: its status does not allow it.
        UsageError: limits that make no sense together.
        RootlessError: a limit cannot be enforced.
    """
    record.require(Verb.UPDATE)
    if record.auto_remove and restart is not None and restart.name is not RestartName.NO:
        raise UsageError(
            "Restart policy cannot be updated because AutoRemove is enabled for the container"
        )
    directory = paths.containers.directory(record.id)
    options = options_in(directory)
    given = {name: value for name, value in changes._asdict().items() if value}
    options = options._replace(
        limits=options.limits._replace(**given), restart=restart or options.restart
    )
    resources: dict[str, Any] = {}
    if changes != NO_LIMITS:
        resources = make_resources(
            options.limits, cpu_count=os.cpu_count() or 1, device_number=block_device_number
        )
        if changes.pids_limit < 0:
            resources["pids"] = {"limit": -1}
    if record.status in MONITORED:
        _tell_monitor(paths, record, resources, restart)
    write_atomically(f"{directory}/{OPTIONS_NAME}", encode_options(options))
    # A container that is removed at its end has no launch.json.
    if os.path.exists(f"{directory}/{LAUNCH_NAME}"):
        _write(read_launch(paths, record), resources, restart)


def _tell_monitor(
    paths: StoragePaths,
    record: ContainerRecord,
    resources: dict[str, Any],
    restart: RestartPolicy | None,
) -> None:
    policy = None if restart is None else (restart.name.value, restart.maximum)
    # One that has ended meanwhile has them at its next start.
    ask(paths, record, lambda client: client.update(resources, policy))


def _write(
    description: LaunchDescription, resources: dict[str, Any], restart: RestartPolicy | None
) -> None:
    """For the next start."""
    directory = description.directory
    if resources:
        linux = description.spec["linux"]
        changed = linux | {"resources": linux.get("resources", {}) | resources}
        spec = description.spec | {"linux": changed}
        write_atomically(f"{directory}/config.json", dumps(spec))
    if restart is not None:
        launch = encode_launch(description._replace(restart=restart))
        write_atomically(f"{directory}/{LAUNCH_NAME}", launch)
