"""--log-driver and --log-opt."""

from __future__ import annotations

import re

from rootless.errors import UsageError
from rootless.sizes import decimal_size_in_bytes, ram_in_bytes
from rootless.spec.options import LogDriver, LogOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FILES = ("max-size", "max-file", "compress")
_METADATA = ("labels", "labels-regex", "env", "env-regex", "tag")
_MODES = ("mode", "max-buffer-size")
_OPTIONS = {
    LogDriver.JSON_FILE: (*_FILES, *_METADATA, *_MODES),
    LogDriver.K8S_FILE: (*_FILES, *_MODES),
    LogDriver.JOURNALD: (*_METADATA, *_MODES),
}
_TRUTH = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
_TAG_FIELDS = ("ID", "FullID", "Name", "ImageName", "ImageID", "ImageFullID", "DaemonName")


def parse_log(driver: str | None, options: Sequence[str]) -> LogOptions:
    """The log of a container. Raises UsageError, with docker's words where it has some."""
    kind = _driver(driver or LogDriver.JSON_FILE.value)
    given = {name: value for name, _, value in (each.partition("=") for each in options)}
    if given and kind is LogDriver.NONE:
        raise UsageError("invalid logging opts for driver none")
    for name in given:
        if name not in _OPTIONS.get(kind, ()):
            raise UsageError(f"unknown log opt '{name}' for {kind.value} log driver")
    _check_mode(given)
    log = LogOptions(
        kind,
        max_size=_size(given.get("max-size")),
        max_file=_count(given.get("max-file")),
        compress=_truth(given.get("compress")),
        labels=_names(given.get("labels")),
        variables=_names(given.get("env")),
        labels_pattern=_pattern(given, "labels-regex"),
        variables_pattern=_pattern(given, "env-regex"),
        tag=_tag(given.get("tag", "")),
        given=dict(sorted(given.items())),
    )
    if log.compress and (log.max_file < 2 or not log.max_size):
        raise UsageError(
            "compress cannot be true when max-file is less than 2 or max-size is not set"
        )
    return log


def _driver(name: str) -> LogDriver:
    try:
        return LogDriver(name)
    except ValueError:
        pass
    known = ", ".join(each.value for each in LogDriver)
    raise UsageError(
        f'error looking up logging plugin {name}: plugin "{name}" not found',
        hint=f"log drivers are {known}",
    )


def _check_mode(given: Mapping[str, str]) -> None:
    """The log is a file, whose writer does not wait for a reader, so that Docker's two modes are one."""
    mode = given.get("mode", "")
    if mode not in {"", "blocking", "non-blocking"}:
        raise UsageError(f"logger: logging mode not supported: {mode}")
    size = given.get("max-buffer-size")
    if size is None:
        return
    if mode != "non-blocking":
        raise UsageError(
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
        )
    try:
        ram_in_bytes(size)
    except ValueError as error:
        raise UsageError(f"error parsing option max-buffer-size: {error}") from None


def _size(text: str | None) -> int:
    if text is None:
        return 0
    try:
        size = decimal_size_in_bytes(text)  # as Docker and podman have it
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
        raise UsageError(f'max-file: parsing "{text}": invalid syntax') from None
    if count < 1:
        raise UsageError("max-file cannot be less than 1")
    return count


def _truth(text: str | None) -> bool:
    if text is None:
        return False
    if text not in _TRUTH:
        raise UsageError(f'compress: parsing "{text}": invalid syntax')
    return _TRUTH[text]


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (text or "").split(",")))


def _pattern(given: Mapping[str, str], name: str) -> str:
    text = given.get(name, "")
    try:
        re.compile(text)
    except re.error as error:
        raise UsageError(f"{name}: error parsing regexp {text!r}: {error}") from None
    return text


def _tag(text: str) -> str:
    """A template that can be rendered."""
    if "{{" in text:
        from rootless.gotemplate import Struct, TemplateError, parse

        try:
            parse(text, name="log-tag").render(Struct("Info", dict.fromkeys(_TAG_FIELDS, "")))
        except TemplateError as error:
            raise UsageError(str(error)) from None
    return text
