"""Runs a container in the place of the calling process, which becomes the container's command: no process stands
between the command and the process that waits for it, and no process copies its streams.

The monitor outlives the process, as that of `run -d` does, serves the container's files and removes it at the end.
"""

from __future__ import annotations

import os

from rootless.containers.launch_description import LaunchDescription
from rootless.containers.record import IN_OVERLAY
from rootless.containers.writable_layers.place import layer_directory
from rootless.runtime.in_place import (
    NotBecomeError,
    become_container,
    enter_namespaces,
    receive_root,
)
from rootless.runtime.parent import Caller, clone_error
from rootless.runtime.plan import make_plan
from rootless.runtime.rootfs import SharedRootfs
from rootless.runtime.seccomp import filters_of
from rootless.supervisor.protocol import Kind
from rootless.supervisor.start import start_monitor
from rootless.syscalls import descriptors
from unionfs.light_types import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from rootless.supervisor.file_servers.claim import ServerClaim


def run_in_place(
    prepare: Callable[[int], LaunchDescription],
    *,
    debug: bool,
    forks_server: bool,
    claim: ServerClaim | None,
) -> NoReturn:
    """Become the command of the container that `prepare` makes; it is given the monitor's PID. The process must have
    one thread, and the container neither a PID namespace, nor a terminal of its own, nor volumes. `forks_server` and
    `claim` are those of `start_monitor`.

    Raises what `prepare` raises, and RootlessError if the container could not be started. After that no module can be
    imported.
    """
    # What an error is made of, which cannot be imported once it has happened.
    from rootless.run_in_child import error_from  # noqa: F401

    ours, theirs = descriptors.pair()
    caller = Caller(os.pidfd_open(os.getpid()), os.getpid(), theirs)
    started = start_monitor(
        outlives_caller=True,
        debug=debug,
        forks_server=forks_server,
        claim=claim,
        caller=caller,
        callers_end=ours,
    )
    theirs.close()
    os.close(caller.pidfd)
    client = started.client
    try:
        client.hello()
        client.start()
        description = prepare(started.pid)
        started.describe(
            description._replace(streams=(False, False, False), ends_with_client=False)
        )
        filters = filters_of(description.spec, description.seccomp_cache)
        shared = receive_root(ours)
        join = _hold_end(description, started.pid)
        plan = make_plan(
            description.spec,
            rootfs=(
                description.rootfs
                if shared is None
                else SharedRootfs(description.directory, in_memory=True)
            ),
            id_maps=description.id_maps,
            bundle=description.directory,
        )
        try:
            enter_namespaces(plan, shared)
        except OSError as error:
            if shared is not None:
                # The server of the image ends with the last copy of the mount, and the monitor after the server.
                os.close(shared.tree)
            raise clone_error(error, plan.namespaces, in_cgroup=False) from error
        become_container(plan, ours, filters, shared, join)
    except NotBecomeError:
        client.receive_until(Kind.EXITED)
        raise
    except BaseException:
        ours.close()
        started.wait()
        raise


def _hold_end(description: LaunchDescription, monitor: int) -> Callable[[], None] | None:
    """What this process has to do in its namespaces so that its end is known when the image that it writes to is written;
    None if it writes to none."""
    is_overlay = description.record.layer == IN_OVERLAY
    if not is_overlay or not os.path.isfile(layer_directory(description.directory)):
        return None
    from rootless.supervisor.held_end import join_holder, start_holder

    return partial(join_holder, start_holder(monitor))
