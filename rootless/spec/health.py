"""Health checks: their options, merged with those of the image, and docker's document of them. Pure."""

from __future__ import annotations

from rootless.errors import UsageError
from unionfs.light_types import Enum, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


class OnUnhealthy(Enum):
    """The action on an unhealthy container (podman's --health-on-failure)."""

    NONE = "none"
    KILL = "kill"
    RESTART = "restart"
    STOP = "stop"


class StartupCheck(NamedTuple):
    """A check that comes before the others, until it has succeeded (podman's --health-startup-cmd). Times are nanoseconds;
    a field that is zero is the default.
    """

    test: tuple[str, ...]
    """As of HealthCheck."""
    interval: int = 0
    timeout: int = 0
    retries: int = 0
    """Failures after which the container is restarted; 0: never."""
    successes: int = 0
    """Consecutive successes that end the startup; 0: 1."""


EVENTS_LOGGER = "events_logger"
"""Results of health checks are events."""


class HealthLog(NamedTuple):
    """Limits of the kept results of health checks; 0: no limit."""

    results: int = 5
    """Number of results."""
    size: int = 4096
    """Bytes of the output of each."""


class HealthCheck(NamedTuple):
    """The health check of a container. Times are nanoseconds; a zero or empty field: the image's value, or else
    docker's default.
    """

    test: tuple[str, ...] = ()
    """CMD and the words of a command, CMD-SHELL and a line for the shell, or NONE."""
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    """Failures in this time after the start do not count."""
    start_interval: int = 0
    """Interval of the checks in the start period."""
    retries: int = 0
    """Consecutive failures that make a container unhealthy."""
    on_unhealthy: OnUnhealthy = OnUnhealthy.NONE
    startup: StartupCheck | None = None
    log: HealthLog | None = None
    """None: docker's limits."""
    log_destination: str = ""
    """Where the results are also written (podman): the absolute path of a directory, or EVENTS_LOGGER."""


_FIELDS = {
    "test": "Test",
    "interval": "Interval",
    "timeout": "Timeout",
    "start_period": "StartPeriod",
    "start_interval": "StartInterval",
    "retries": "Retries",
}
"""Docker's names of the fields (api/types/container, HealthConfig) by those used here, in docker's order."""
_SECOND = 10**9
_DEFAULTS = HealthCheck(
    interval=30 * _SECOND, timeout=30 * _SECOND, start_interval=5 * _SECOND, retries=3
)
_SHELL = ("/bin/sh", "-c")


def merged(given: HealthCheck | None, image: Mapping[str, Any]) -> HealthCheck:
    """The health check of a container: the given fields, and the others from the `config` object of its image."""
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
    """The check that is executed: `test` is the command, and every field is set. None if there is no command.
    `shell` is the image's.

    Raises UsageError if there is an action and no command.
    """
    command = _command(check.test, shell)
    if not command:
        if check.on_unhealthy is not OnUnhealthy.NONE:
            raise UsageError(
                f"cannot set on-failure action to {check.on_unhealthy.value} without a health check"
            )
        if check.startup is not None and not check.test:
            raise UsageError(
                "cannot set a startup healthcheck when there is no regular healthcheck"
            )
        return None
    filled = {name: getattr(check, name) or getattr(_DEFAULTS, name) for name in _FIELDS}
    return check._replace(
        **{**filled, "test": command, "startup": _effective_startup(check.startup, shell)}
    )


def _effective_startup(
    startup: StartupCheck | None, shell: Sequence[str] | None
) -> StartupCheck | None:
    command = () if startup is None else _command(startup.test, shell)
    if startup is None or not command:
        return None
    return startup._replace(
        test=command,
        interval=startup.interval or _DEFAULTS.interval,
        timeout=startup.timeout or _DEFAULTS.timeout,
        successes=startup.successes or 1,
    )


def _command(test: Sequence[str], shell: Sequence[str] | None) -> tuple[str, ...]:
    """Empty if there is no command."""
    kind, *words = test or ("NONE",)
    if kind == "CMD":
        return tuple(words)
    if kind == "CMD-SHELL" and words:
        return (*(shell or _SHELL), words[0])
    return ()


def as_plain(check: HealthCheck) -> dict[str, Any]:
    """A health check as JSON and marshal have it; `from_plain` is the inverse."""
    startup, log = check.startup, check.log
    return check._asdict() | {
        "test": list(check.test),
        "on_unhealthy": check.on_unhealthy.value,
        "startup": startup and startup._asdict() | {"test": list(startup.test)},
        "log": log and log._asdict(),
    }


def from_plain(plain: Mapping[str, Any]) -> HealthCheck:
    """The health check of such a document. Earlier versions had no `startup` and no `log`. Raises LookupError,
    TypeError or ValueError.
    """
    startup, log = plain.get("startup"), plain.get("log")
    fields = {
        "test": tuple(plain["test"]),
        "on_unhealthy": OnUnhealthy(plain["on_unhealthy"]),
        "startup": startup and StartupCheck(**{**startup, "test": tuple(startup["test"])}),
        "log": log and HealthLog(**log),
    }
    return HealthCheck(**{**plain, **fields})


def document(check: HealthCheck) -> dict[str, object] | None:
    """`Config.Healthcheck` of `inspect`; None if no field is set."""
    found: dict[str, object] = {
        key: value for name, key in _FIELDS.items() if (value := getattr(check, name))
    }
    if "Test" in found:
        found["Test"] = list(check.test)
    return found or None


def startup_document(startup: StartupCheck | None) -> dict[str, object] | None:
    """`Config.StartupHealthCheck` of podman's `inspect`."""
    if startup is None:
        return None
    found = {
        "Test": list(startup.test),
        "Interval": startup.interval or _DEFAULTS.interval,
        "Timeout": startup.timeout or _DEFAULTS.timeout,
        "Retries": startup.retries,
        "Successes": startup.successes,
    }
    return {key: value for key, value in found.items() if value}
