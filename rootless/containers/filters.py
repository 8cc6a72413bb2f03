"""The filters of `ps`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rootless.containers.directory import Containers
from rootless.containers.record import ContainerRecord
from rootless.containers.status import MONITORED, Status
from rootless.errors import NotFoundError, UsageError
from rootless.filters import Filters, has_label
from rootless.store.image import Image, resolve
from rootless.store.layout import Store

_STATUSES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
_KNOWN = ("ancestor", "before", "exited", "id", "label", "name", "since", "status")

Test = Callable[[ContainerRecord], bool]


def select(
    records: Sequence[ContainerRecord],
    filters: Filters,
    containers: Containers,
    store: Store,
    *,
    everything: bool,
    last: int | None,
) -> list[ContainerRecord]:
    """Of containers, oldest first, those that pass, newest first. Filters of one name are
    alternatives, those of different names conditions (docker ps); labels are all conditions.

    Without `everything` only running ones pass, unless a status is asked for. `last`: at most this
    many, the newest. Raises UsageError, NotFoundError.
    """
    tests: dict[str, list[Test]] = {}
    for key, value in filters:
        name = f"label={value}" if key == "label" else key
        tests.setdefault(name, []).append(_test(key, value, containers, store))
    everything = everything or "status" in tests
    found = [
        record
        for record in reversed(records)
        if (everything or record.status in MONITORED)
        and all(any(test(record) for test in each) for each in tests.values())
    ]
    return found if last is None or last < 0 else found[:last]


def _test(key: str, value: str, containers: Containers, store: Store) -> Test:
    if key == "id":
        return lambda record: record.id.startswith(value)
    if key == "name":
        pattern = _pattern(value)
        return lambda record: (
            pattern.search(record.name) is not None or pattern.search(f"/{record.name}") is not None
        )
    if key == "label":
        return lambda record: has_label(record.labels, value)
    if key == "status":
        if value not in _STATUSES:
            raise UsageError(
                f"invalid filter 'status={value}': invalid value for state ({value}): "
                f"must be one of {', '.join(_STATUSES)}"
            )
        return lambda record: record.status.value == value
    if key == "exited":
        return _exited(value)
    if key in ("before", "since"):
        other = containers.find(value)
        if key == "before":
            return lambda record: (record.created, record.id) < (other.created, other.id)
        return lambda record: (record.created, record.id) > (other.created, other.id)
    if key == "ancestor":
        return _descends(value, store)
    raise UsageError(f"invalid filter '{key}'", hint=f"one of {', '.join(_KNOWN)}")


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"invalid filter 'name={text}': {error}") from error


def _exited(value: str) -> Test:
    if not value.lstrip("-").isdecimal():
        raise UsageError(f"invalid filter 'exited={value}'")
    code = int(value)
    return lambda record: record.status is Status.EXITED and record.exit_code == code


def _descends(name: str, store: Store) -> Test:
    """Made of an image, or of one that was built on it."""
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
    try:
        layers = resolve(store, image_id).diff_ids if image_id else ()
    except NotFoundError:
        return False
    return bool(ancestor.diff_ids) and layers[: len(ancestor.diff_ids)] == ancestor.diff_ids
