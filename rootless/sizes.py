"""Byte sizes as Docker spells them (github.com/docker/go-units, RAMInBytes and FromHumanSize). Pure."""

from __future__ import annotations

# What strconv.ParseFloat takes and a size can be: no hexadecimal, no underscores, no infinities.
_NUMBER = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_INT64_MAX = 2**63 - 1


def ram_in_bytes(text: str) -> int:
    """`64m`, `1.5 GiB`, `4096`: powers of 1024 whatever the spelling, a fraction of a byte cut off.

    Raises ValueError with go-units' words.
    """
    return _size(text, 1024)


def decimal_size_in_bytes(text: str) -> int:
    """As `ram_in_bytes` with powers of 1000, whatever the spelling."""
    return _size(text, 1000)


def _size(text: str, base: int) -> int:
    import re

    last = max((i for i, char in enumerate(text) if char in "0123456789. "), default=-1)
    number, suffix = text[: last + 1].removesuffix(" "), text[last + 1 :].lower()
    if last == -1 or re.fullmatch(_NUMBER, number, re.ASCII) is None:
        raise ValueError(f"invalid size: '{text}'")
    if suffix in {"", "b"}:
        factor = 1
    elif suffix[0] in _POWERS and suffix[1:] in {"", "b", "ib"}:
        factor = base ** _POWERS[suffix[0]]
    else:
        raise ValueError(f"invalid suffix: '{suffix}'")
    size = float(number) * factor
    if not 0 <= size <= _INT64_MAX:
        raise ValueError(f"invalid size: '{text}'")
    return int(size)
