"""The value of `--snapshot-each`."""

from __future__ import annotations

from rootless.errors import UsageError

EXEC = "exec"
_MOST_DIGITS = 9


def parse_each(text: str, *, in_memory: bool) -> str:
    """`exec`, or a number of seconds. Raises UsageError, also for a writable layer in memory."""
    is_number = text.isascii() and text.isdecimal() and 0 < len(text) <= _MOST_DIGITS
    if text != EXEC and not (is_number and int(text)):
        raise UsageError(f"invalid --snapshot-each {text}: it is exec, or a number of seconds")
    if in_memory:
        raise UsageError(
            "--snapshot-each and --writable-tmpfs exclude each other: a layer in memory cannot be frozen"
        )
    return text if text == EXEC else str(int(text))
