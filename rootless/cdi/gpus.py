"""Translates --gpus, as Docker has it, to names of CDI devices of NVIDIA. Pure."""

from __future__ import annotations

from rootless.csv_fields import split_fields
from rootless.errors import UsageError

KIND = "nvidia.com/gpu"
_KEYS = frozenset({"count", "device", "driver", "capabilities", "options"})
"""Capabilities and options are those of NVIDIA's own hook: what a CDI device brings is in its specification."""


def parse_gpus(text: str) -> tuple[str, ...]:
    """`all`, a number of devices, or fields of CSV: device=ID[,ID...] (in quotes), count=, driver=, capabilities=.

    Raises UsageError.
    """
    try:
        fields = split_fields(text)
    except ValueError as error:
        raise _invalid(text, str(error)) from None
    if len(fields) == 1 and "=" not in text:
        fields = [f"count={text}"]
    given: dict[str, str] = {}
    for field in fields:
        key, separator, value = field.partition("=")
        if not separator:
            raise _invalid(text, f"invalid field {field!r}")
        if key not in _KEYS:
            raise _invalid(text, f"unexpected key '{key}' in '{field}'")
        given[key] = value
    if given.get("driver", "") not in {"", "nvidia", "cdi"}:
        raise _invalid(text, f"unknown driver {given['driver']!r}")
    if "device" in given:
        if "count" in given:
            raise _invalid(text, "cannot set both Count and DeviceIDs on device request")
        return _devices(given["device"], text)
    return _counted(given.get("count", "1"), text)


def _counted(count: str, text: str) -> tuple[str, ...]:
    if count in {"all", "-1"}:
        return (f"{KIND}=all",)
    if not count.isdecimal():
        raise _invalid(text, f"count must be an integer or 'all': {count!r}")
    return tuple(f"{KIND}={number}" for number in range(int(count)))


def _devices(value: str, text: str) -> tuple[str, ...]:
    names = [each.strip() for each in value.split(",")]
    if not all(names):
        raise _invalid(text, "an empty device")
    return tuple(f"{KIND}={each}" for each in names)


def _invalid(text: str, reason: str) -> UsageError:
    return UsageError(f'invalid argument "{text}" for "--gpus" flag: {reason}')
