"""The signal that ends a container, from its name."""

from __future__ import annotations

from rootless.light_stdlib import signal


def signal_number(name: str | None) -> int:
    """The number of a signal by its name, with or without SIG, or by its number; SIGTERM where there
    is none, or where an image names one that does not exist.
    """
    text = (name or "SIGTERM").upper()
    if text.isascii() and text.isdecimal():
        return int(text) if int(text) in signal.valid_signals() else int(signal.SIGTERM)
    text = text if text.startswith("SIG") else f"SIG{text}"
    base, sign, offset = text.partition("+")
    number = getattr(signal, base, None)
    if not isinstance(number, int):
        return int(signal.SIGTERM)
    return int(number) + (int(offset) if sign and offset.isdecimal() else 0)
