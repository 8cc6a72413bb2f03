"""Health checks: what an image and the options ask for together, and docker's document of it. Pure."""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.spec.options import HealthCheck, OnUnhealthy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_FIELDS = {
    "test": "Test",
    "interval": "Interval",
    "timeout": "Timeout",
    "start_period": "StartPeriod",
    "start_interval": "StartInterval",
    "retries": "Retries",
}
"""By our name: docker's (api/types/container, HealthConfig), in its order."""
_SECOND = 10**9
_DEFAULTS = HealthCheck(
    interval=30 * _SECOND, timeout=30 * _SECOND, start_interval=5 * _SECOND, retries=3
)
_SHELL = ("/bin/sh", "-c")


def merged(given: HealthCheck | None, image: Mapping[str, Any]) -> HealthCheck:
    """The health check of a container: what was given, and of the `config` object of its image what was
    not.
    """
    document = image.get("Healthcheck") or {}
    inherited = HealthCheck(
        **{name: document[key] for name, key in _FIELDS.items() if document.get(key)}
    )
    inherited = inherited._replace(test=tuple(inherited.test))
    if given is None:
        return inherited
    set_fields = {name: value for name, value in given._asdict().items() if value}
    return inherited._replace(**set_fields)


def effective(check: HealthCheck, shell: Sequence[str] | None) -> HealthCheck | None:
    """The check as it is carried out: `test` is the command, and no field is unset; None if there is
    nothing to carry out. `shell` is the image's.

    Raises UsageError if there is an action and no command.
    """
    kind, *words = check.test or ("NONE",)
    command: tuple[str, ...] = ()
    if kind == "CMD":
        command = tuple(words)
    elif kind == "CMD-SHELL" and words:
        command = (*(shell or _SHELL), words[0])
    if not command:
        if check.on_unhealthy is not OnUnhealthy.NONE:
            raise UsageError(
                f"cannot set on-failure action to {check.on_unhealthy.value} without a health check"
            )
        return None
    filled = {name: getattr(check, name) or getattr(_DEFAULTS, name) for name in _FIELDS}
    return check._replace(**{**filled, "test": command})


def as_plain(check: HealthCheck) -> dict[str, Any]:
    """A health check as JSON and marshal have it; `from_plain` is the inverse."""
    return check._asdict() | {"test": list(check.test), "on_unhealthy": check.on_unhealthy.value}


def from_plain(plain: Mapping[str, Any]) -> HealthCheck:
    """Raises LookupError, TypeError or ValueError for what is none."""
    fields = {"test": tuple(plain["test"]), "on_unhealthy": OnUnhealthy(plain["on_unhealthy"])}
    return HealthCheck(**{**plain, **fields})


def document(check: HealthCheck) -> dict[str, object] | None:
    """`Config.Healthcheck` of `inspect`; None where nothing is set."""
    found: dict[str, object] = {
        key: value for name, key in _FIELDS.items() if (value := getattr(check, name))
    }
    if "Test" in found:
        found["Test"] = list(check.test)
    return found or None
