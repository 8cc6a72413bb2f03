"""The attributes of a container's log entries: values of labels and variables. Pure."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rootless.spec.options import LogOptions


def attributes_of(
    log: LogOptions, labels: Mapping[str, str], environment: Sequence[str]
) -> dict[str, str]:
    """By name. A variable hides a label of the same name, as with Docker (logger.Info,
    ExtraAttributes)."""
    variables = dict(each.split("=", 1) for each in environment)
    return {
        **_chosen(labels, log.labels, log.labels_pattern),
        **_chosen(variables, log.variables, log.variables_pattern),
    }


def _chosen(values: Mapping[str, str], names: Collection[str], pattern: str) -> dict[str, str]:
    """Those of the names, and those in whose names the pattern is found."""
    found = re.compile(pattern).search if pattern else None
    return {
        name: value
        for name, value in values.items()
        if name in names or (found is not None and found(name))
    }
