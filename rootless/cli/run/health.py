"""The health check of `run` and `create`. Imported only if one of its options is given."""

from __future__ import annotations

import os
import stat

from rootless.cli.flags.health import HealthFlags, parse_health
from rootless.cli.run import options as rows
from rootless.errors import UsageError
from rootless.spec.health import EVENTS_LOGGER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.grammar import Parsed
    from rootless.spec.health import HealthCheck

_TIMES = (
    rows.HEALTH_INTERVAL,
    rows.HEALTH_TIMEOUT,
    rows.HEALTH_START_PERIOD,
    rows.HEALTH_START_INTERVAL,
    rows.HEALTH_STARTUP_INTERVAL,
    rows.HEALTH_STARTUP_TIMEOUT,
)
_NUMBERS = (
    rows.HEALTH_RETRIES,
    rows.HEALTH_STARTUP_RETRIES,
    rows.HEALTH_STARTUP_SUCCESS,
    rows.HEALTH_MAX_LOG_COUNT,
    rows.HEALTH_MAX_LOG_SIZE,
)


def read_health(parsed: Parsed) -> HealthCheck | None:
    """The check; None if the options set nothing. Raises UsageError."""
    return parse_health(
        HealthFlags(
            parsed[rows.HEALTH_CMD],
            parsed[rows.HEALTH_STARTUP_CMD],
            {row.long: parsed[row] for row in _TIMES},
            {row.long: parsed[row] for row in _NUMBERS},
            parsed[rows.HEALTH_ON_FAILURE],
            parsed[rows.NO_HEALTHCHECK],
            _log_destination(parsed[rows.HEALTH_LOG_DESTINATION]),
        )
    )


def _log_destination(text: str | None) -> str:
    """`log_destination` of a health check. Raises UsageError, in podman's words, for what is not a directory."""
    if text is None or text == "local":
        return ""
    if text == EVENTS_LOGGER:
        return text
    try:
        is_directory = stat.S_ISDIR(os.stat(text).st_mode)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise UsageError(
            f"HealthCheck Log '{text}' destination error: stat {text}: {reason}"
        ) from None
    if not is_directory:
        raise UsageError(f"HealthCheck Log '{text}' destination must be directory")
    return os.path.abspath(text)
