"""Selects containers by the filters of `ps`."""

from __future__ import annotations

from rootless.containers.status import MONITORED, Status
from rootless.errors import NotFoundError
from rootless.filters import is_older
from rootless.network.endpoint import Endpoint
from rootless.network.options import ExposedPort, predefined_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rootless.containers.directory import Containers
    from rootless.containers.record import ContainerRecord
    from rootless.filters import ContainerFilters, PortRange
    from rootless.store.image import Image
    from rootless.store.layout import Store

    Test = Callable[[ContainerRecord], bool]


def select(
    records: Sequence[ContainerRecord],
    filters: ContainerFilters,
    containers: Containers,
    open_store: Callable[[], Store],
    *,
    everything: bool,
    last: int | None,
) -> list[ContainerRecord]:
    """Of containers, oldest first, those that pass, newest first.

    Without `everything` only running ones pass, unless a status is asked for. `last`: at most this
    many, the newest. `open_store` is called for a filter that asks for images. Raises NotFoundError for the
    container of before and since.
    """
    tests = _tests(filters, containers, open_store)
    everything = everything or bool(filters.statuses)
    found = [
        record
        for record in reversed(records)
        if (everything or record.status in MONITORED) and all(test(record) for test in tests)
    ]
    return found if last is None or last < 0 else found[:last]


def _tests(
    filters: ContainerFilters, containers: Containers, open_store: Callable[[], Store]
) -> list[Test]:
    """A test for each field that is set."""
    tests = _identity_tests(filters)
    if filters.until is not None:
        tests.append(lambda record: is_older(record.created, filters.until or 0.0))
    if filters.restart_policies:
        tests.append(
            lambda record: (
                _restart_policy(containers.directory(record.id)) in filters.restart_policies
            )
        )
    if filters.statuses:
        tests.append(lambda record: record.status.value in filters.statuses)
    if filters.volumes:
        from rootless.containers.volumes.users import mount_names

        wanted = set(filters.volumes)
        tests.append(
            lambda record: any(
                wanted & {each.name, each.target}
                for each in mount_names(containers.directory(record.id))
            )
        )
    tests += _network_tests(filters)
    if filters.healths:
        tests.append(lambda record: (record.health or "none") in filters.healths)
    if filters.exit_codes:
        tests.append(
            lambda record: record.status is Status.EXITED and record.exit_code in filters.exit_codes
        )
    if filters.before:
        latest = max(_age(containers.find(name)) for name in filters.before)
        tests.append(lambda record: _age(record) < latest)
    if filters.since:
        earliest = min(_age(containers.find(name)) for name in filters.since)
        tests.append(lambda record: _age(record) > earliest)
    if filters.ancestors:
        store = open_store()
        ancestors = [_descends(name, store) for name in filters.ancestors]
        tests.append(lambda record: any(descends(record) for descends in ancestors))
    return tests


def _identity_tests(filters: ContainerFilters) -> list[Test]:
    """By ids, names and labels."""
    tests: list[Test] = []
    if filters.ids or filters.id_patterns:
        tests.append(
            lambda record: (
                record.id.startswith(filters.ids)
                or any(pattern.search(record.id) for pattern in filters.id_patterns)
            )
        )
    if filters.names:
        tests.append(
            lambda record: any(
                pattern.search(record.name) or pattern.search(f"/{record.name}")
                for pattern in filters.names
            )
        )
    if filters.labels:
        tests.append(lambda record: all(each.matches(record.labels) for each in filters.labels))
    if filters.without_labels:
        tests.append(
            lambda record: not any(each.matches(record.labels) for each in filters.without_labels)
        )
    return tests


def _restart_policy(directory: str) -> str:
    """A word of docker's; `no` of a container of a version that wrote no options."""
    from rootless.containers.container_options import options_in

    try:
        return options_in(directory).restart.name.value
    except FileNotFoundError:
        return "no"


def _network_tests(filters: ContainerFilters) -> list[Test]:
    tests: list[Test] = []
    if filters.networks:
        tests.append(lambda record: _is_in(_endpoint(record), filters.networks))
    if filters.published:
        tests.append(
            lambda record: _has_port(
                filters.published,
                (ExposedPort(each.host_port, each.protocol) for each in _endpoint(record).ports),
            )
        )
    if filters.exposed:
        tests.append(
            lambda record: _has_port(
                filters.exposed,
                (
                    *_endpoint(record).exposed,
                    *(each.exposed for each in _endpoint(record).ports),
                ),
            )
        )
    return tests


def _is_in(endpoint: Endpoint, networks: Iterable[str]) -> bool:
    """By names and ids of networks."""
    named = {
        *endpoint.networks,
        *(each.network_id for each in endpoint.attachments),
        predefined_id(endpoint.default),
    }
    return not named.isdisjoint(networks)


def _endpoint(record: ContainerRecord) -> Endpoint:
    return record.endpoint or Endpoint("")


def _has_port(ranges: Iterable[PortRange], ports: Iterable[ExposedPort]) -> bool:
    found = tuple(ports)
    return any(
        each.first <= port.number <= each.last and each.protocol == port.protocol
        for each in ranges
        for port in found
    )


def _age(record: ContainerRecord) -> tuple[str, str]:
    return record.created, record.id


def _descends(name: str, store: Store) -> Test:
    """Made of an image, or of one that was built on it."""
    from rootless.store.image import resolve

    try:
        ancestor = resolve(store, name)
    except NotFoundError:
        return lambda record: record.image == name
    known: dict[str, bool] = {}

    def descends(record: ContainerRecord) -> bool:
        if record.image_id not in known:
            known[record.image_id] = _is_built_on(store, record.image_id, ancestor)
        return known[record.image_id]

    return descends


def _is_built_on(store: Store, image_id: str, ancestor: Image) -> bool:
    if image_id == ancestor.id:
        return True
    from rootless.store.image import resolve

    try:
        layers = resolve(store, image_id).diff_ids if image_id else ()
    except NotFoundError:
        return False
    return bool(ancestor.diff_ids) and layers[: len(ancestor.diff_ids)] == ancestor.diff_ids
