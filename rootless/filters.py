"""Filters of images and containers, for lists and prunes. Pure."""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Mapping


class LabelFilter(NamedTuple):
    """A label `key`; `value` None: with any value."""

    key: str
    value: str | None = None

    def matches(self, labels: object) -> bool:
        """Whether `labels`, of an image's config or a container's record, include it."""
        from collections.abc import Mapping

        return (
            isinstance(labels, Mapping)
            and self.key in labels
            and (self.value is None or labels[self.key] == self.value)
        )


class PruneFilters(NamedTuple):
    """Conditions of a prune: it removes objects that pass every one."""

    until: float | None = None
    """Created before this time, in seconds since the epoch."""
    labels: tuple[LabelFilter, ...] = ()
    without_labels: tuple[LabelFilter, ...] = ()

    def match(self, created: str, labels: object) -> bool:
        """Whether an object passes. `created` is RFC 3339; a time that cannot be read passes."""
        return (
            (self.until is None or is_older(created, self.until))
            and all(each.matches(labels) for each in self.labels)
            and not any(each.matches(labels) for each in self.without_labels)
        )


class ImageFilters(NamedTuple):
    """Conditions of a list of images: it has those that pass every one, under the names that match any of
    `references`.
    """

    dangling: bool | None = None
    """True: only images without a name. False: only those with one."""
    labels: tuple[LabelFilter, ...] = ()
    until: float | None = None
    """Created before this time, in seconds since the epoch."""
    before: tuple[str, ...] = ()
    """Created before each of these images."""
    since: tuple[str, ...] = ()
    """Created after each of these images."""
    references: tuple[str, ...] = ()
    """Patterns of names: `*`, `?` and `[...]` match within a component."""


class VolumeFilters(NamedTuple):
    """Conditions of a list or a prune of volumes: it has those that pass every one. The values of `names` and of
    `drivers` are alternatives.
    """

    names: tuple[str, ...] = ()
    """Names, or regular expressions that are searched for in a name. One that is none finds nothing else, as in
    Docker."""
    drivers: tuple[str, ...] = ()
    labels: tuple[LabelFilter, ...] = ()
    without_labels: tuple[LabelFilter, ...] = ()
    dangling: bool | None = None
    """True: only those that no container uses."""

    def match(self, name: str, labels: Mapping[str, str], *, in_use: bool) -> bool:
        """Whether a volume of the local driver passes."""
        return (
            (not self.names or any(_finds(each, name) for each in self.names))
            and (not self.drivers or "local" in self.drivers)
            and all(each.matches(labels) for each in self.labels)
            and not any(each.matches(labels) for each in self.without_labels)
            and (self.dangling is None or self.dangling is not in_use)
        )


class NetworkFilters(NamedTuple):
    """Conditions of a list or a prune of networks: it has those that pass every one. The values of one field are
    alternatives, except those of `labels`, which all have to match.
    """

    names: tuple[str, ...] = ()
    """Names, or regular expressions that are searched for in a name."""
    ids: tuple[str, ...] = ()
    """Prefixes of ids."""
    drivers: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    labels: tuple[LabelFilter, ...] = ()
    without_labels: tuple[LabelFilter, ...] = ()
    dangling: bool | None = None
    """True: only those that no container is in which runs."""
    is_builtin: bool | None = None
    """True: docker's own. False: those that a user has defined."""
    until: float | None = None
    """Created before this time, in seconds since the epoch."""

    def match(
        self,
        name: str,
        network_id: str,
        driver: str,
        labels: Mapping[str, str],
        created: str,
        *,
        is_builtin: bool,
        in_use: bool,
    ) -> bool:
        """Whether a network passes, whose scope is `local`."""
        return (
            (not self.names or any(_finds(each, name) for each in self.names))
            and (not self.ids or any(network_id.startswith(each) for each in self.ids))
            and (not self.drivers or driver in self.drivers)
            and (not self.scopes or "local" in self.scopes)
            and all(each.matches(labels) for each in self.labels)
            and not any(each.matches(labels) for each in self.without_labels)
            and (self.dangling is None or self.dangling is not in_use)
            and (self.is_builtin is None or self.is_builtin is is_builtin)
            and (self.until is None or is_older(created, self.until))
        )


def _finds(pattern: str, name: str) -> bool:
    """As the filters of Docker that have no other meaning (api/types/filters, Args.Match)."""
    import re

    if pattern == name:
        return True
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return False


class PortRange(NamedTuple):
    """Ports from `first` to `last`, both included, of one protocol."""

    first: int
    last: int
    protocol: str


class ContainerFilters(NamedTuple):
    """Conditions of a list of containers: it has those that pass each one that is set. The values of one field are
    alternatives, except those of `labels`, which all have to match.
    """

    ids: tuple[str, ...] = ()
    """Prefixes of ids."""
    id_patterns: tuple[re.Pattern[str], ...] = ()
    """Searched for in the id; alternatives to `ids`."""
    names: tuple[re.Pattern[str], ...] = ()
    """Searched for in the name, with and without a `/` before it."""
    labels: tuple[LabelFilter, ...] = ()
    without_labels: tuple[LabelFilter, ...] = ()
    statuses: tuple[str, ...] = ()
    """Words of Docker's, such as `exited`; some of them no container has."""
    healths: tuple[str, ...] = ()
    """Words of Docker's: starting, healthy, unhealthy, and none for a container without a health check."""
    exit_codes: tuple[int, ...] = ()
    """Of containers that have ended."""
    before: tuple[str, ...] = ()
    """Created before these containers: names, ids or prefixes of ids."""
    since: tuple[str, ...] = ()
    """Created after these containers."""
    until: float | None = None
    """Created before this time, in seconds since the epoch."""
    restart_policies: tuple[str, ...] = ()
    """Words of Docker's, such as `unless-stopped`."""
    ancestors: tuple[str, ...] = ()
    """Made of these images, or of images that were built on them."""
    volumes: tuple[str, ...] = ()
    """Names of volumes, sources of binds, or paths in the container that one of them is mounted on."""
    networks: tuple[str, ...] = ()
    """Names of networks."""
    published: tuple[PortRange, ...] = ()
    """Ports of the host that lead to it."""
    exposed: tuple[PortRange, ...] = ()
    """Ports of the container that it exposes or publishes."""


def age_key(created: str) -> tuple[float, str]:
    """A sort key of RFC 3339 times, whichever zones and fractions they have; one that cannot be read
    comes first."""
    from datetime import datetime

    try:
        # Python's times end at microseconds; the text decides beyond.
        return datetime.fromisoformat(created).timestamp(), created
    except (ValueError, OverflowError):
        return float("-inf"), created


def is_older(created: str, moment: float) -> bool:
    """Whether an RFC 3339 time is before `moment`, in seconds since the epoch; one that cannot be
    read is."""
    return age_key(created)[0] < moment
