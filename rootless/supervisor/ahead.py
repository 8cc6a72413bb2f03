"""The monitor of `run`, started before the command line has been read.

Each process of a start then imports its own modules while the others import theirs, and has few pages of the caller's to copy
(docs/decisions/0703).
"""

from __future__ import annotations

import os

from rootless.supervisor.start import StartedMonitor, start_monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OTHERWISE = ("--help", "--join", "--read-only", "--record")
"""Options with which there is no monitor, or one that begins otherwise."""
RANK_VARIABLES = (
    *("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID", "FLUX_TASK_RANK"),
)
"""Of launchers, each of whose processes has one; it can be a rank of a container."""
_STORAGE_DRIVER = "ROOTLESS_STORAGE_DRIVER"
"""It may name a driver with another file server."""


class MonitorAhead:
    """A monitor with a file server, which nothing has been asked of. It is waited for at its end unless it is taken."""

    def __init__(self, started: StartedMonitor) -> None:
        self._started: StartedMonitor | None = started

    def take(self) -> StartedMonitor | None:
        """The monitor, the caller's from here on; None if it has been taken or abandoned."""
        started, self._started = self._started, None
        return started

    def abandon(self) -> None:
        """End it. Idempotent."""
        started = self.take()
        if started is not None:
            started.wait()


def start_ahead(arguments: Sequence[str], environ: Mapping[str, str]) -> MonitorAhead | None:
    """Start the monitor of the container that these arguments of the program are likely to ask for. None: they ask for no
    such container, or no monitor can be started, which another attempt reports. This process must have one thread.
    """
    if not _is_wanted(arguments, environ):
        return None
    try:
        for stream in range(3):
            os.fstat(stream)  # else the descriptor of a socket would be that of a standard stream
        return MonitorAhead(start_monitor())
    except OSError:
        return None


def _is_wanted(arguments: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether the monitor is likely to be one of `run` that forks its file server. The words of the container's command are
    not told apart: with one that looks like an option, the monitor is started when the command line has been read.
    """
    words = arguments[1:] if arguments[:1] == ["container"] else arguments
    return (
        words[:1] == ["run"]
        and not any(each.startswith(_OTHERWISE) for each in words)
        and not any(name in environ for name in (*RANK_VARIABLES, _STORAGE_DRIVER))
    )
