"""Docker's filters of events (daemon/events/filter.go). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rootless.events.event import EventType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.events.event import Event
    from rootless.filters import LabelFilter

_WITH_OBJECT = frozenset({"exec_create", "exec_start", "health_status"})
"""Actions that have an object behind a colon."""
_BY_NAME = frozenset(
    {
        "builder",
        "config",
        "container",
        "daemon",
        "network",
        "node",
        "plugin",
        "secret",
        "service",
        "volume",
    }
)


class EventFilters(NamedTuple):
    """An event passes if it passes every condition that is set. The values of one field are
    alternatives, except those of `labels`.
    """

    actions: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    """An image's id or name, with or without its tag, or that of a container's image."""
    actors: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """By docker's name of the filter, such as `container`: beginnings of ids and names. As under docker
    the name of the filter does not restrict the type of the event."""
    labels: tuple[LabelFilter, ...] = ()

    def match(self, event: Event) -> bool:
        """Whether the event is shown."""
        return (
            self._matches_action(event.action)
            and (not self.types or event.type.value in self.types)
            and (not self.scopes or "local" in self.scopes)
            and (not self.images or self._matches_image(event))
            and all(_begins(event, names) for _, names in self.actors)
            and all(label.matches(event.attributes) for label in self.labels)
        )

    def _matches_action(self, action: str) -> bool:
        if not self.actions:
            return True
        if _WITH_OBJECT.intersection(self.actions):
            return action.startswith(self.actions)
        return action in self.actions

    def _matches_image(self, event: Event) -> bool:
        key = "name" if event.type is EventType.IMAGE else "image"
        name = event.attributes.get(key, "")
        return any(
            text in self.images
            for text in (event.actor, name, _without_tag(event.actor), _without_tag(name))
        )


def event_filters(
    pairs: Sequence[tuple[str, str]], labels: tuple[LabelFilter, ...]
) -> EventFilters:
    """The filters of NAME=VALUE pairs. Docker ignores the names that it does not know."""

    def of(name: str) -> tuple[str, ...]:
        return tuple(value for each, value in pairs if each == name)

    named = sorted({name for name, _ in pairs} & _BY_NAME)
    return EventFilters(
        actions=of("event"),
        types=of("type"),
        scopes=of("scope"),
        images=of("image"),
        actors=tuple((name, of(name)) for name in named),
        labels=labels,
    )


def _begins(event: Event, names: tuple[str, ...]) -> bool:
    return event.actor.startswith(names) or event.attributes.get("name", "").startswith(names)


def _without_tag(name: str) -> str:
    """A reference without tag and digest; an id is none."""
    head, slash, last = name.partition("@")[0].rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"
