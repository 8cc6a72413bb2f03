"""--stop-signal."""

from __future__ import annotations

from rootless.errors import UsageError


def parse_signal(text: str) -> str:
    """A signal's name with SIG, from a name with or without it or a number. Raises UsageError."""
    import signal

    if text.isascii() and text.isdecimal():
        number = int(text)
        if 1 <= number < signal.NSIG:
            try:
                return signal.Signals(number).name
            except ValueError:
                return f"SIGRTMIN+{number - signal.SIGRTMIN}"
        raise UsageError(f"invalid signal: {text}")
    name = text.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    base, _, offset = name.partition("+")
    valid = base in signal.Signals.__members__ and (
        not offset or (base == "SIGRTMIN" and offset.isdecimal() and int(offset) <= 30)
    )
    if not valid:
        raise UsageError(f"invalid signal: {text}")
    return name
