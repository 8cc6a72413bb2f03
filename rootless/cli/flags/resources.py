"""The grammar of the limit flags: --cpus and --device-*; the docker command line's (opts/opts.go,
opts/throttledevice.go)."""

from __future__ import annotations

from rootless.cli.flags.sizes import parse_size
from rootless.errors import UsageError
from rootless.sizes import ram_in_bytes
from rootless.spec.options import Throttle

_NANO = 10**9
_RATIONAL = r"[+-]?((\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?|\d+/\d+)"


def parse_memory(text: str | None, flag: str) -> int:
    """Bytes; 0 when not given. Raises UsageError."""
    return 0 if text is None else parse_size(text, flag)


def parse_memory_swap(text: str | None) -> int:
    """Bytes, -1 for no limit; 0 when not given. Raises UsageError."""
    return -1 if text == "-1" else parse_memory(text, "--memory-swap")


def parse_cpus(text: str | None) -> int:
    """Billionths of a processor; 0 when not given. Raises UsageError."""
    if text is None:
        return 0
    import re

    denominator = text.partition("/")[1:]
    if not re.fullmatch(_RATIONAL, text, re.ASCII) or (
        denominator[0] and not denominator[1].strip("0")
    ):
        raise _refuse("--cpus", text, f"failed to parse {text} as a rational number")
    from fractions import Fraction

    nano = Fraction(text) * _NANO
    if nano.denominator != 1:
        raise _refuse("--cpus", text, "value is too precise")
    return int(nano)


def parse_throttles_bps(texts: tuple[str, ...], flag: str) -> tuple[Throttle, ...]:
    """DEVICE:SIZE, bytes per second, of each. Raises UsageError."""
    return tuple(_throttle_bps(text, flag) for text in texts)


def parse_throttles_iops(texts: tuple[str, ...], flag: str) -> tuple[Throttle, ...]:
    """DEVICE:NUMBER, operations per second, of each. Raises UsageError."""
    return tuple(_throttle_iops(text, flag) for text in texts)


def _throttle_bps(text: str, flag: str) -> Throttle:
    device, rate = _split(text, flag)
    try:
        return Throttle(device, ram_in_bytes(rate))
    except ValueError:
        raise _bad_rate(
            text,
            flag,
            "[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb",
        ) from None


def _throttle_iops(text: str, flag: str) -> Throttle:
    device, rate = _split(text, flag)
    if not (rate.isascii() and rate.isdigit()):
        raise _bad_rate(text, flag, ". Number must be a positive integer")
    return Throttle(device, int(rate))


def _split(text: str, flag: str) -> tuple[str, str]:
    device, colon, rate = text.partition(":")
    if not colon or not device or ":" in rate:
        raise _refuse(flag, text, f"bad format: {text}")
    if not device.startswith("/dev/"):
        raise _refuse(flag, text, f"bad format for device path: {text}")
    return device, rate


def _bad_rate(text: str, flag: str, form: str) -> UsageError:
    why = f"invalid rate for device: {text}. The correct format is <device-path>:<number>{form}"
    return _refuse(flag, text, why)


def _refuse(flag: str, text: str, why: str) -> UsageError:
    return UsageError(f'invalid argument "{text}" for "{flag}" flag: {why}')
