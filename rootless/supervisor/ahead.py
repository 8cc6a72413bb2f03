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

_EXCLUDING = ("--help", "--join", "--read-only", "--record")
"""Options with which `run` has no monitor, or one without a file server of its own."""
RANK_VARIABLES = frozenset(
    {"PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID", "FLUX_TASK_RANK"}
)
"""A launcher sets one of them in each process that it starts. The process can be a rank of a container."""
_STORAGE_DRIVER = "ROOTLESS_STORAGE_DRIVER"
"""It may name a driver with another file server."""


class MonitorAhead:
    """A monitor with a file server, to which no request has been sent. `take` or `abandon` it."""

    def __init__(self, started: StartedMonitor) -> None:
        self._started: StartedMonitor | None = started

    def take(self) -> StartedMonitor | None:
        """Hand the monitor over to the caller; None if it has been taken or abandoned."""
        started, self._started = self._started, None
        return started

    def abandon(self) -> None:
        """End it. Idempotent."""
        started = self.take()
        if started is not None:
            started.wait()


def start_ahead(arguments: Sequence[str], environ: Mapping[str, str]) -> MonitorAhead | None:
    """Start the monitor of the container that these arguments of the program are likely to ask for. This process must have
    one thread.

    Returns None if they ask for no such container, or if no monitor can be started: the next attempt reports why.
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
    """Whether the monitor is likely to be one of `run` that forks its file server. Words of the container's command count as
    options too: the monitor is then started after the command line has been read.
    """
    words = arguments[1:] if arguments[:1] == ["container"] else arguments
    return (
        words[:1] == ["run"]
        and not any(each.startswith(_EXCLUDING) for each in words)
        and not any(name in environ for name in RANK_VARIABLES | {_STORAGE_DRIVER})
    )
