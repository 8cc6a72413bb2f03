"""The filters of `events`, as Docker 28.5 was seen to apply them."""

import pytest

from rootless.events.event import Event, EventType
from rootless.events.filters import event_filters
from rootless.filters import LabelFilter


def container(action: str, name: str, **attributes: str) -> Event:
    shown = {"image": "evt:1", "name": name, **attributes}
    return Event(1, EventType.CONTAINER, action, f"{name}0ffe", shown)


EVENTS = {
    "tag": Event(1, EventType.IMAGE, "tag", "sha256:288a", {"name": "evt:1"}),
    "untag": Event(1, EventType.IMAGE, "untag", "sha256:288a", {"name": "sha256:288a"}),
    "create": container("create", "b1", a="b", c=""),
    "exec": container("exec_create: true ", "b1", a="b", c=""),
    "health": container("health_status: healthy", "b1", a="b", c=""),
    "die": container("die", "b2"),
    "volume": Event(1, EventType.VOLUME, "create", "vq", {"driver": "local"}),
    "connect": Event(1, EventType.NETWORK, "connect", "99", {"name": "none", "container": "b1"}),
}


def shown(*pairs: tuple[str, str], labels: tuple[LabelFilter, ...] = ()) -> list[str]:
    filters = event_filters(pairs, labels)
    return [name for name, event in EVENTS.items() if filters.match(event)]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], list(EVENTS)),
        ([("foo", "bar")], list(EVENTS)),
        ([("container", "b1")], ["create", "exec", "health"]),
        ([("container", "b")], ["create", "exec", "health", "die"]),
        ([("container", "b20ff")], ["die"]),
        ([("container", "nonsense")], []),
        ([("container", "b1"), ("container", "b2")], ["create", "exec", "health", "die"]),
        ([("event", "create")], ["create", "volume"]),
        ([("event", "create"), ("event", "die")], ["create", "die", "volume"]),
        ([("event", "creat")], []),
        ([("event", "exec_create")], ["exec"]),
        ([("event", "exec_create: true")], []),
        ([("event", "health_status")], ["health"]),
        ([("event", "health_status: healthy")], ["health"]),
        ([("type", "image")], ["tag", "untag"]),
        ([("type", "nonsense")], []),
        ([("type", "volume"), ("event", "create")], ["volume"]),
        ([("image", "evt")], ["tag", "create", "exec", "health", "die"]),
        ([("image", "evt:1"), ("event", "die")], ["die"]),
        ([("image", "evt:2")], []),
        ([("image", "sha256:288a")], ["tag", "untag"]),
        ([("volume", "vq")], ["volume"]),
        ([("network", "none")], ["connect"]),
        ([("daemon", "x")], []),
        ([("scope", "local"), ("event", "die")], ["die"]),
        ([("scope", "swarm")], []),
    ],
)
def test_pairs(pairs: list[tuple[str, str]], expected: list[str]) -> None:
    assert shown(*pairs) == expected


def test_every_label_has_to_match() -> None:
    both = (LabelFilter("a", "b"), LabelFilter("c"))
    assert shown(labels=both) == ["create", "exec", "health"]
    assert shown(labels=(LabelFilter("a"), LabelFilter("zz"))) == []
