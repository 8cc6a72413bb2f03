"""--filter NAME=VALUE of lists and prunes. `now`: seconds since the epoch. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rootless.durations import parse_duration
from rootless.errors import UsageError
from rootless.filters import (
    ContainerFilters,
    ImageFilters,
    LabelFilter,
    NetworkFilters,
    PortRange,
    PruneFilters,
    VolumeFilters,
)

Pairs = Sequence[tuple[str, str]]

_STATUSES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
_STATUSES_OF_PODMAN = {"configured": "created", "initialized": "created", "stopped": "exited"}
_RESTART_POLICIES = ("no", "always", "unless-stopped", "on-failure")
_HEALTHS = ("none", "starting", "healthy", "unhealthy")
_CONTAINER = (
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "label",
    "label!",
    "name",
    "network",
    "publish",
    "restart-policy",
    "since",
    "status",
    "until",
    "volume",
)
_IMAGE = ("before", "dangling", "label", "reference", "since", "until")
_VOLUME = ("dangling", "driver", "label", "name")
_NETWORK = ("dangling", "driver", "id", "label", "name", "scope", "type")
_BUILTIN = {"builtin": True, "custom": False}
_VOLUME_PRUNE = ("all", "label", "label!")
_PRUNE = ("label", "label!", "until")
_NONE = "(?!)"
"""A pattern of nothing: an empty id is that of no container."""
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def container_filters(pairs: Pairs, now: float) -> ContainerFilters:
    """The filters of `ps`. Raises UsageError."""
    values = _by_name(pairs, _CONTAINER)
    return ContainerFilters(
        ids=tuple(text.lower() for text in values["id"] if _is_hex(text)),
        id_patterns=tuple(
            _pattern(text or _NONE, "id") for text in values["id"] if not _is_hex(text)
        ),
        names=tuple(_pattern(text, "name") for text in values["name"]),
        labels=tuple(map(label_filter, values["label"])),
        without_labels=tuple(map(label_filter, values["label!"])),
        statuses=tuple(map(_status, values["status"])),
        healths=tuple(map(_health, values["health"])),
        exit_codes=tuple(map(_exit_code, values["exited"])),
        before=values["before"],
        since=values["since"],
        until=_earliest(values["until"], now),
        restart_policies=tuple(map(_restart_policy, values["restart-policy"])),
        ancestors=values["ancestor"],
        volumes=values["volume"],
        networks=values["network"],
        published=tuple(map(_ports, values["publish"])),
        exposed=tuple(map(_ports, values["expose"])),
    )


def image_filters(pairs: Pairs, now: float) -> ImageFilters:
    """The filters of `images`. Raises UsageError."""
    values = _by_name(pairs, _IMAGE)
    return ImageFilters(
        dangling=_dangling(values["dangling"]),
        labels=tuple(map(label_filter, values["label"])),
        until=_earliest(values["until"], now),
        before=values["before"],
        since=values["since"],
        references=values["reference"],
    )


def prune_filters(pairs: Pairs, now: float) -> PruneFilters:
    """The filters of `container prune` and `system prune`. Raises UsageError."""
    values = _by_name(pairs, _PRUNE)
    return PruneFilters(
        until=_earliest(values["until"], now),
        labels=tuple(map(label_filter, values["label"])),
        without_labels=tuple(map(label_filter, values["label!"])),
    )


def image_prune_filters(pairs: Pairs, now: float) -> tuple[PruneFilters, bool | None]:
    """The filters of `image prune`, and the value of dangling=; None if it is not given. Raises
    UsageError."""
    dangling = _dangling([value for name, value in pairs if name == "dangling"])
    return prune_filters([pair for pair in pairs if pair[0] != "dangling"], now), dangling


def volume_filters(pairs: Pairs) -> VolumeFilters:
    """The filters of `volume ls`. Raises UsageError."""
    values = _by_name(pairs, _VOLUME)
    return VolumeFilters(
        names=values["name"],
        drivers=values["driver"],
        labels=tuple(map(label_filter, values["label"])),
        dangling=_dangling(values["dangling"]),
    )


def volume_prune_filters(pairs: Pairs) -> tuple[VolumeFilters, bool]:
    """The filters of `volume prune`, and whether all=1 is one of them. Raises UsageError."""
    values = _by_name(pairs, _VOLUME_PRUNE)
    for text in values["all"]:
        if text not in _TRUTH:
            raise UsageError(f"invalid filter 'all={text}'", hint="use true or false")
    filters = VolumeFilters(
        labels=tuple(map(label_filter, values["label"])),
        without_labels=tuple(map(label_filter, values["label!"])),
    )
    return filters, any(_TRUTH[text] for text in values["all"])


def network_filters(pairs: Pairs) -> NetworkFilters:
    """The filters of `network ls`. Raises UsageError."""
    values = _by_name(pairs, _NETWORK)
    for text in values["type"]:
        if text not in _BUILTIN:
            raise UsageError(f"invalid filter: 'type'='{text}'", hint="use builtin or custom")
    types = {_BUILTIN[text] for text in values["type"]}
    return NetworkFilters(
        names=values["name"],
        ids=values["id"],
        drivers=values["driver"],
        scopes=values["scope"],
        labels=tuple(map(label_filter, values["label"])),
        dangling=_dangling(
            values["dangling"],
            'invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")',
        ),
        is_builtin=types.pop() if len(types) == 1 else None,
    )


def network_prune_filters(pairs: Pairs, now: float) -> NetworkFilters:
    """The filters of `network prune`. Raises UsageError."""
    pruned = prune_filters(pairs, now)
    return NetworkFilters(
        labels=pruned.labels, without_labels=pruned.without_labels, until=pruned.until
    )


def moment_of(text: str, now: float) -> float:
    """Seconds since the epoch of `until=`: a Go duration before `now`, an RFC 3339 time, a date, or
    seconds since the epoch. Raises UsageError."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    try:
        return now - parse_duration(text) / 1e9
    except ValueError:
        pass
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise UsageError(
            f'failed to parse value as time or duration: "{text}"',
            hint="use a time such as 2026-01-31, or an age such as 24h",
        ) from None


def _by_name(pairs: Pairs, known: Sequence[str]) -> dict[str, tuple[str, ...]]:
    for name, _ in pairs:
        if name not in known:
            raise UsageError(f"invalid filter '{name}'", hint=f"use one of {', '.join(known)}")
    return {name: tuple(value for each, value in pairs if each == name) for name in known}


def label_filter(text: str) -> LabelFilter:
    """The filter of `label=KEY[=VALUE]`."""
    key, equals, value = text.partition("=")
    return LabelFilter(key, value if equals else None)


def _earliest(texts: Iterable[str], now: float) -> float | None:
    return min((moment_of(text, now) for text in texts), default=None)


def _dangling(texts: Iterable[str], message: str = "") -> bool | None:
    """The last value. `message` is docker's for a value that is neither true nor false."""
    found = None
    for text in texts:
        if text not in _TRUTH:
            raise UsageError(
                message or f"invalid filter 'dangling={text}'", hint="use true or false"
            )
        found = _TRUTH[text]
    return found


def _pattern(text: str, name: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"invalid filter '{name}={text}': {error}") from error


def _is_hex(text: str) -> bool:
    """Whether it is the beginning of an id; anything else is a regular expression, as in podman."""
    return re.fullmatch("[0-9A-Fa-f]+", text) is not None


def _restart_policy(text: str) -> str:
    word = "no" if text == "none" else text
    if word not in _RESTART_POLICIES:
        raise UsageError(
            f"invalid filter 'restart-policy={text}': {text} invalid restart policy",
            hint=f"use one of {', '.join(_RESTART_POLICIES)}",
        )
    return word


def _status(text: str) -> str:
    text = _STATUSES_OF_PODMAN.get(text, text)
    if text not in _STATUSES:
        raise UsageError(
            f"invalid filter 'status={text}': invalid value for state ({text}): "
            f"must be one of {', '.join(_STATUSES)}"
        )
    return text


def _health(text: str) -> str:
    if text not in _HEALTHS:
        raise UsageError(
            f"invalid filter 'health={text}': invalid value for health ({text}): "
            f"must be one of {', '.join(_HEALTHS)}"
        )
    return text


def _ports(text: str) -> PortRange:
    """FIRST[-LAST][/PROTOCOL]."""
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", text, re.ASCII)
    if found is None:
        raise UsageError(
            f"invalid filter port '{text}'", hint="use a port, or a range such as 80-90/tcp"
        )
    first, last, protocol = found.groups()
    return PortRange(int(first), int(last or first), protocol or "tcp")


def _exit_code(text: str) -> int:
    if not re.fullmatch(r"-?\d+", text, re.ASCII):
        raise UsageError(f"invalid filter 'exited={text}'", hint="use a number")
    return int(text)
