"""The monitor: the process that a container belongs to, from before its start until nothing of it is left.

It is forked by `run`, is a session of its own, and keeps nothing of the caller's: no terminal, no
standard streams, no working directory. It forks the union server, starts the container, passes
signals on, and cleans up. Whoever dies, the rest follows:

    run dies        its end of the channel closes; the monitor kills the container and cleans up
    monitor dies    the container was told to die with it (PR_SET_PDEATHSIG); the union server ends
                    when the mount is gone; the next command marks or removes the container
    server dies     the container's file operations fail with ENOTCONN; `run` is told
    container ends  the mount goes with its namespace, and so the server; then the monitor cleans up

The loop is poll(2) on four descriptors (docs/decisions/0700-no-event-loop-on-the-way-to-exec.md).
"""

from __future__ import annotations

import os
import select
import signal
import time
from dataclasses import replace
from typing import NoReturn

from rootless.durable import remove_tree
from rootless.engine.channel import Channel, Kind, close_all_but
from rootless.engine.container import Container
from rootless.engine.process_identity import start_time
from rootless.engine.signals import would_end
from rootless.errors import NotFoundError, RootlessError
from rootless.launcher.parent import ContainerProcess, Stdio, launch
from rootless.launcher.rootfs import FuseRootfs
from rootless.state.containers import Containers
from rootless.state.status import Status

_SERVER_GRACE = 10.0  # seconds to write out what the container left behind, before it is killed


class Monitor:
    """One container's life. `main` is the whole program of the process."""

    def __init__(self, container: Container, containers: Containers, channel: Channel) -> None:
        self._container = container
        self._containers = containers
        self._channel = channel
        self._server: UnionServer | None = None
        self._ended_by = 0
        """The signal that stands for the container's end when the kernel only knows SIGKILL."""

    def main(self, stdio: tuple[int, int, int] | None, debug: int | None) -> NoReturn:
        """Never returns and never raises."""
        status = 1
        try:
            self._detach(stdio, debug)
            self._supervise(stdio, debug)
            status = 0
        except RootlessError as error:
            self._report(error)
        except BaseException as error:  # noqa: BLE001 - the last resort of this process
            self._report(RootlessError(f"the monitor failed: {type(error).__name__}: {error}"))
        finally:
            os._exit(status)
