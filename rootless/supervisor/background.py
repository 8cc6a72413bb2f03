"""`run -d`: starts a container whose monitor outlives the caller."""

from __future__ import annotations

from rootless.errors import RootlessError
from rootless.supervisor.protocol import Kind
from rootless.supervisor.start import start_monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.containers.launch_description import LaunchDescription
    from rootless.containers.record import ContainerRecord
    from rootless.supervisor.file_servers.claim import ServerClaim
    from rootless.supervisor.start import StartedMonitor


def run_in_background(
    prepare: Callable[[int], LaunchDescription],
    created: Callable[[ContainerRecord], None] | None,
    *,
    debug: bool,
    forks_server: bool,
    claim: ServerClaim | None,
    caller_ends: bool = False,
    started: StartedMonitor | None = None,
) -> ContainerRecord:
    """Start the container that `prepare` makes, and return when its command has been executed.

    `prepare` is given the monitor's PID; `created` the record of the container that it has made. `started` is the monitor, if
    there is one; `forks_server` and `claim` are for `start_monitor` otherwise. `caller_ends`: the calling process ends soon,
    and so need not be spared a child that it would have to wait for.

    Raises what `prepare` raises, RootlessError if the container could not be started, and once it runs the OSError of
    `created`.
    """
    if started is None:
        started = start_monitor(
            outlives_caller=not caller_ends, debug=debug, forks_server=forks_server, claim=claim
        )
    client = started.client
    try:
        client.hello()
        client.start()
        description = prepare(started.pid)
        started.describe(description)
        failure: OSError | None = None
        try:
            if created is not None:
                created(description.record)
        except OSError as error:
            failure = error
        client.receive_until(Kind.RUNNING)
    except (RootlessError, OSError):
        started.wait()
        raise
    client.close()
    if failure is not None:
        raise failure
    return description.record
