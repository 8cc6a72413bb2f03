"""Events of containers, with docker's attributes."""

from __future__ import annotations

import time

from rootless.events.event import Event, EventType
from rootless.events.log import EventLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.containers.record import ContainerRecord
    from rootless.network.endpoint import ConnectedNetwork

NO_ATTRIBUTES: Mapping[str, str] = {}


def container_event(
    record: ContainerRecord,
    action: str,
    attributes: Mapping[str, str] = NO_ATTRIBUTES,
    moment: int | None = None,
) -> Event:
    """The event of a container, with its labels, image and name. `moment`: nanoseconds since the epoch,
    now by default.
    """
    shown = dict(record.labels)
    if record.image:
        shown["image"] = record.image
    shown["name"] = record.name
    moment = time.time_ns() if moment is None else moment
    return Event(moment, EventType.CONTAINER, action, record.id, {**shown, **attributes})


def network_event(
    container: str, action: str, network: ConnectedNetwork, moment: int | None = None
) -> Event:
    """connect or disconnect of a container, which is named by its id."""
    attributes = {"container": container, "name": network.name, "type": network.driver}
    moment = time.time_ns() if moment is None else moment
    return Event(moment, EventType.NETWORK, action, network.id, attributes)


def report_networks(runtime: str, record: ContainerRecord, action: str) -> None:
    """Write the events of the networks that a container is in. `runtime` is as of `report`."""
    if runtime and record.endpoint is not None:
        connected = record.endpoint.connected(record.endpoint.places)
        events = [network_event(record.id, action, each) for each in connected]
        EventLog(runtime).append(*events)


def report(
    runtime: str,
    record: ContainerRecord,
    action: str,
    attributes: Mapping[str, str] = NO_ATTRIBUTES,
) -> None:
    """Write the event of a container. `runtime`: the directory that the log is in; empty where that is not known, and
    nothing is written.
    """
    if runtime:
        EventLog(runtime).append(container_event(record, action, attributes))
