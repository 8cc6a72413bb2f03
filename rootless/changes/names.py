"""Names of files in text, quoted as git quotes them, so that git apply and patch read them and a terminal shows
them as they are. Pure."""

from __future__ import annotations

_SHORT = {
    7: b"\\a", 8: b"\\b", 9: b"\\t", 10: b"\\n", 11: b"\\v", 12: b"\\f", 13: b"\\r",
    34: b'\\"', 92: b"\\\\",
}  # fmt: skip


def quoted(name: bytes, *, blanks: bool = False) -> bytes:
    """The name, in double quotes with the escapes of C if it holds a quote, a backslash, or what is not printable
    UTF-8; with `blanks` also if it holds a blank."""
    if _is_plain(name) and not (blanks and b" " in name):
        return name
    return b'"' + b"".join(map(_escape, name)) + b'"'


def _is_plain(name: bytes) -> bool:
    if b'"' in name or b"\\" in name:
        return False
    try:
        return name.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _escape(byte: int) -> bytes:
    short = _SHORT.get(byte)
    if short is not None:
        return short
    return b"%c" % byte if 32 <= byte < 127 else b"\\%03o" % byte
