"""--log-driver and --log-opt."""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.sizes import ram_in_bytes
from rootless.spec.options import LogDriver, LogOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_JSON_FILE = ("max-size", "max-file", "compress", "labels", "env")
_K8S_FILE = ("max-size", "max-file", "compress")
_OPTIONS = {LogDriver.JSON_FILE: _JSON_FILE, LogDriver.K8S_FILE: _K8S_FILE}
_TRUTH = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def parse_log(driver: str | None, options: Sequence[str]) -> LogOptions:
    """The log of a container. Raises UsageError, with docker's words where it has some."""
    try:
        kind = LogDriver(driver or LogDriver.JSON_FILE.value)
    except ValueError:
        known = ", ".join(each.value for each in LogDriver)
        raise UsageError(
            f'error looking up logging plugin {driver}: plugin "{driver}" not found',
            hint=f"log drivers are {known}",
        ) from None
    given = {name: value for name, _, value in (each.partition("=") for each in options)}
    if given and kind is LogDriver.NONE:
        raise UsageError("invalid logging opts for driver none")
    for name in given:
        if name not in _OPTIONS.get(kind, ()):
            raise UsageError(f"unknown log opt '{name}' for {kind.value} log driver")
    log = LogOptions(
        kind,
        max_size=_size(given.get("max-size")),
        max_file=_count(given.get("max-file")),
        compress=_truth(given.get("compress")),
        labels=_names(given.get("labels")),
        variables=_names(given.get("env")),
        given=dict(sorted(given.items())),
    )
    if log.compress and (log.max_file < 2 or not log.max_size):
        raise UsageError(
            "compress cannot be true when max-file is less than 2 or max-size is not set"
        )
    return log


def _size(text: str | None) -> int:
    if text is None or text == "-1":
        return 0
    try:
        size = ram_in_bytes(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if size == 0:
        raise UsageError("max-size must be a positive number")
    return size


def _count(text: str | None) -> int:
    if text is None:
        return 1
    try:
        count = int(text)
    except ValueError:
        raise UsageError(f'max-file: "{text}" is not a number') from None
    if count < 1:
        raise UsageError("max-file cannot be less than 1")
    return count


def _truth(text: str | None) -> bool:
    if text is None:
        return False
    if text not in _TRUTH:
        raise UsageError(f'compress: "{text}" is neither true nor false')
    return _TRUTH[text]


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (text or "").split(",")))
