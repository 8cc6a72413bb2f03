"""Events of volumes that commands make and remove."""

from __future__ import annotations

import time

from rootless.events.event import volume_event
from rootless.events.log import EventLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def report_volumes(runtime: str, action: str, names: Iterable[str]) -> None:
    """Write `create` or `destroy` of volumes. `runtime` is the directory of sockets and locks; empty if it is
    not known where the log is.
    """
    events = [volume_event(name, action, time.time_ns(), driver="local") for name in names]
    if events and runtime:
        EventLog(runtime).append(*events)
